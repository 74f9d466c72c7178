"""Encoders of compositions as members of an ensemble."""

import numpy as np
import pytest
import torch
from pymatgen.core import Composition

from trisk.featurizers import PretrainedFeaturizer
from trisk.nn import (
    CompositionEncoder,
    CompositionEncoderNetwork,
    DeepSupervisionLoss,
    initialize_members,
    select_members,
)

_SIZES = {"dim": 8, "n_layers": 2, "n_heads": 2, "embedding_dim": 6, "n_answers": 3}
_SEEDS = [3, 1, 4]
_TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}


def _make(seeds):
    return CompositionEncoderNetwork(seeds, 2, head_dim=5, **_SIZES).double()


@pytest.fixture
def tokens():
    """Nine compositions of one to five elements, and their fractions, ``(9, 10)``."""
    generator = torch.Generator().manual_seed(0)
    elements = torch.rand(9, 118, generator=generator).argsort(1)[:, :5] + 1
    fractions = torch.rand(9, 5, dtype=torch.float64, generator=generator)
    lengths = torch.tensor([1, 3, 2, 5, 4, 1, 2, 3, 3])
    fractions = fractions * (torch.arange(5) < lengths[:, None])
    return torch.cat([elements, fractions / fractions.sum(1, keepdim=True)], dim=1)


def _train(network, x, n_steps):
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    criterion, k = DeepSupervisionLoss("absolute_error"), network.n_members
    weight = torch.ones(k, len(x), dtype=torch.float64)
    for _ in range(n_steps):
        optimizer.zero_grad()
        target = x[:, -2:].expand(k, -1, -1)
        criterion(network(x.expand(k, *x.shape)), (target, weight)).sum().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("n_steps", [0, 5])
def test_member_alone_equals_member_in_a_batch(tokens, n_steps):
    together = _train(_make(_SEEDS), tokens, n_steps)(tokens.expand(3, *tokens.shape))
    assert not torch.allclose(together["answer"][0], together["answer"][1])
    for k, seed in enumerate(_SEEDS):
        alone = _train(_make([seed]), tokens, n_steps)(tokens[None])
        for name, value in alone.items():
            torch.testing.assert_close(together[name][k], value[0], **_TOLERANCE)


def test_selected_members_predict_as_before(tokens):
    network, part = _make(_SEEDS), _make([0, 0])
    part.load_state_dict(select_members(network.state_dict(), slice(1, 3)))
    expected = network(tokens.expand(3, *tokens.shape))["answer"][1:]
    torch.testing.assert_close(part(tokens.expand(2, *tokens.shape))["answer"], expected)


def test_rows_do_not_depend_on_their_company(tokens):
    network = _make([0])
    together = network(tokens[None])["answer"][0]
    for row, expected in zip(tokens, together, strict=True):
        torch.testing.assert_close(network(row[None, None])["answer"][0, 0], expected, **_TOLERANCE)


def test_shipped_weights_compute_what_the_featurizer_computes():
    """Both are written independently, with torch for members and with numpy for one table."""
    formulas = ["Fe2O3", "NaCl", "Si", "YBa2Cu3O7", "Al0.3Ga0.7As"]
    featurizer = PretrainedFeaturizer().fit(formulas)
    expected = featurizer.transform(formulas).to_numpy()
    weights = {name: torch.from_numpy(array) for name, array in featurizer.encoder_.items()}
    network = CompositionEncoderNetwork([1, 2], 1)
    network.load_encoder(weights)
    rows = torch.zeros(len(formulas), 8, dtype=torch.float64)
    for row, formula in zip(rows, formulas, strict=True):
        for place, (element, fraction) in enumerate(
            Composition(formula).fractional_composition.items()
        ):
            row[place], row[4 + place] = element.Z, fraction
    embedding, answers = network.double().encoder(rows.expand(2, *rows.shape))
    found = torch.cat([answers * weights["scale"] + weights["center"], embedding], dim=-1)
    for member in found.detach():
        np.testing.assert_allclose(member, expected, rtol=1e-6, atol=1e-6)


def test_arrays_of_an_encoder_give_it_to_another(tokens):
    first, second = (CompositionEncoder(1, **_SIZES) for _ in range(2))
    initialize_members(first, [0])
    second.load_arrays(first.arrays())
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_a_part_of_a_batch_is_cut_to_its_longest_row(tokens):
    encoder = _make([0]).encoder
    elements, fractions = tokens[None].chunk(2, dim=-1)
    whole = encoder.read(encoder.encode(elements.long(), fractions)[1])
    for found, expected in zip(encoder(tokens[None]), whole, strict=True):
        torch.testing.assert_close(found, expected, **_TOLERANCE)
