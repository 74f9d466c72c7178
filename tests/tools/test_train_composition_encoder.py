"""Training of the composition encoder whose weights ship."""

import numpy as np
import pytest
import torch

from tools.train_composition_encoder import (
    EncoderTraining,
    FormulaTargets,
    element_properties,
    grouped_batch,
)
from trisk.featurizers import MagpieFeaturizer, PretrainedFeaturizer
from trisk.featurizers.composition.formulas import parse_compositions

ELEMENTS = ["Li", "Na", "K", "Mg", "Ca", "Al", "Ti", "Fe", "Cu", "Zn", "O", "S", "Cl", "F", "N"]


@pytest.fixture(scope="module")
def data():
    """Compositions of one to three elements with smooth targets, some unknown."""
    random = np.random.default_rng(0)
    X = []
    for _ in range(300):
        chosen = random.choice(ELEMENTS, size=random.integers(1, 4), replace=False)
        amounts = random.integers(1, 5, size=len(chosen))
        X.append("".join(f"{e}{n}" for e, n in zip(chosen, amounts, strict=True)))
    table, _ = parse_compositions(X)
    mean = MagpieFeaturizer().fit_transform(X)["MagpieData mean Electronegativity"].to_numpy()
    values = np.stack([-mean, mean, mean + 1, mean < np.median(mean)], axis=1)
    values[::7, 1:] = np.nan
    return FormulaTargets(table, values)


@pytest.fixture(scope="module")
def training(data):
    training = EncoderTraining(
        data,
        np.arange(60),
        dim=16,
        n_layers=1,
        embedding_dim=8,
        max_epochs=25,
        batch_size=64,
        learning_rate=1e-2,
    )
    return training.fit()


def test_what_can_be_learned_is_learned(training):
    scores = training.score(training.held_out)
    assert set(scores) == {"formation energy", "band gap", "largest band gap", "metal"}
    spread = np.nanstd(training.data.values, axis=0)
    assert scores["formation energy"] < 0.5 * spread[0]
    assert scores["band gap"] < 0.5 * spread[1]
    assert scores["metal"] > 0.9


def test_same_seed_gives_the_same_weights(data):
    settings = {"dim": 16, "n_layers": 1, "embedding_dim": 4, "max_epochs": 2, "batch_size": 64}
    first, second = (EncoderTraining(data, np.arange(60), **settings).fit() for _ in range(2))
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name])


def test_training_leaves_torchs_own_generator_alone(data):
    before = torch.get_rng_state()
    EncoderTraining(data, np.arange(60), dim=16, n_layers=1, max_epochs=1).fit()
    assert torch.equal(before, torch.get_rng_state())


def test_report_gets_a_line_per_epoch(data):
    lines = []
    EncoderTraining(data, np.arange(60), dim=16, n_layers=1, max_epochs=5).fit(lines.append)
    assert len(lines) == 5
    assert "band gap" in lines[3]
    assert "band gap" in lines[4]


def test_training_goes_on_where_another_ended(data, training):
    settings = {"dim": 16, "n_layers": 1, "embedding_dim": 8, "random_state": 5}
    second = EncoderTraining(data, np.arange(60), initial=training.arrays(), **settings)
    rows = np.arange(40)
    np.testing.assert_allclose(second.predict(rows), training.predict(rows), atol=1e-5)


def test_featurizer_computes_what_the_network_computes(training, tmp_path):
    path = tmp_path / "encoder.safetensors"
    training.save(path)
    rows = np.arange(training.data.table.n_rows)
    X = PretrainedFeaturizer(weights=path).fit_transform(training.data.table.formulas)
    assert X.shape == (300, 4 + 8)
    np.testing.assert_allclose(X.to_numpy()[:, :4], training.predict(rows), atol=1e-5)


def test_order_of_elements_and_rows_does_not_matter(training):
    table, _ = parse_compositions(["Fe2O3", "O3Fe2", "Fe4O6", "NaCl", "CaTiO3"])
    module = training.average.module
    answers = {}
    for rows in (np.arange(5), np.arange(5)[::-1].copy()):
        ordered, groups = grouped_batch(table, rows)
        with torch.inference_mode():
            answers[rows[0]] = module(groups)[0].numpy()[np.argsort(ordered)]
    np.testing.assert_allclose(answers[0], answers[4], atol=1e-5)
    np.testing.assert_allclose(answers[0][[1, 2]], answers[0][[0, 0]], atol=1e-5)


def test_element_properties_are_standardised():
    values = element_properties()
    assert values.shape == (119, 222)
    assert np.isfinite(values).all()
    assert abs(values[1:]).max() <= 4
    assert not values[0].any()
