"""What the displays draw, and that the pictures hold together."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from trisk.datasets import load_band_gaps
from trisk.estimators import (
    GraphTRIADSOptions,
    GraphTRIADSRegressor,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
    TriForcesOptions,
    TriForcesPretrainer,
)
from trisk.featurizers import CrystalGraphFeaturizer, MagpieFeaturizer
from trisk.model_selection import nested_cross_validate
from trisk.plotting import (
    CalibrationDisplay,
    EmbeddingDisplay,
    draw_predictions,
)
from trisk.testing import make_structures

TINY = {"n_members": 2, "max_epochs": 4, "random_state": 0}
NETWORK = {"hidden_dim": 8, "feedforward_dim": 8, "n_steps": 3}
GRAPHS = {"order": 1, "hidden_dim": 8, "bond_dim": 8, "max_cycles": 5, "min_cycles": 2}
SMALL_STREAMS = TriForcesOptions(hidden_dim=8, cutoff=4.0)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(80, 3))
    y = pd.Series(X[:, 0] + 2 * X[:, 1], name="gap")
    y.attrs = {"quantity": "band gap", "unit": "eV"}
    return X, y


@pytest.fixture(scope="module")
def network(table):
    return make_pipeline(StandardScaler(), tiny()).fit(*table)


def tiny(estimator=HybridTRIADSRegressor, **architecture):
    return estimator(**TINY, network=HybridTRIADSOptions(**NETWORK, **architecture))


def boxes_apart(figure):
    """Nothing is cut off, and no label lies over another axes' picture."""
    figure.canvas.draw()
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1
    panels = [ax.get_window_extent() for ax in figure.axes]
    for i, first in enumerate(panels):
        assert not any(first.overlaps(second) for second in panels[i + 1 :])


def test_calibration__normal_errors__lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.5, 3, 5000)
    display = CalibrationDisplay.from_predictions(
        rng.normal(0, std), np.zeros(5000), std, unit="eV"
    )
    assert display.miscalibration_area_ < 0.02
    np.testing.assert_allclose(display.group_error_, display.group_spread_, rtol=0.12)
    assert display.rank_correlation_ > 0.3
    assert display.ax_[1].get_xlabel() == "predicted standard deviation (eV)"
    boxes_apart(display.figure_)


@pytest.mark.parametrize(("factor", "below"), [(0.2, True), (5.0, False)])
def test_calibration__too_sure_or_too_shy__below_or_above(factor, below):
    error = np.random.default_rng(0).normal(size=1000)
    display = CalibrationDisplay.from_predictions(error, np.zeros(1000), np.full(1000, factor))
    middle = display.coverage_[24]
    assert (middle < 0.3) if below else (middle > 0.9)
    assert display.miscalibration_area_ > 0.25
    line = next(line for line in display.ax_[0].lines if line.get_gid() == "model")
    np.testing.assert_allclose(line.get_ydata()[1:-1], display.coverage_)


def test_calibration__two_models_share_the_axes(table):
    X, y = table
    model = GaussianProcessRegressor(optimizer=None).fit(X[::2], y[::2])
    first = CalibrationDisplay.from_estimator(model, X, y)
    second = CalibrationDisplay.from_predictions(y, y + 0.1, np.ones(80), name="shy", ax=first.ax_)
    assert len(second.legend_.get_texts()) == 2
    assert first.legend_.get_texts()[0].get_text().startswith("GaussianProcessRegressor:")
    assert second.figure_ is first.figure_


def test_calibration__mistakes__are_named():
    with pytest.raises(ValueError, match=r"row 1 has -1\.0"):
        CalibrationDisplay.from_predictions([1, 2], [1, 2], [1, -1])
    with pytest.raises(ValueError, match="y_std contains NaN"):
        CalibrationDisplay.from_predictions([1, 2], [1, 2], [1, np.nan])
    with pytest.raises(NotFittedError):
        CalibrationDisplay.from_estimator(HybridTRIADSRegressor(), [[1.0]], [1.0])


def test_attention__properties_attend_to_properties():
    X, y = (values[:40] for values in load_band_gaps())
    model = make_pipeline(MagpieFeaturizer(), tiny(n_attention_layers=2)).fit(X, y)
    weights, properties = model[-1].attention(model[:-1].transform(X))
    assert weights.shape == (2, 22, 22)
    np.testing.assert_allclose(weights.sum(axis=2), 1)
    assert len(set(properties)) == 22
    assert "Electronegativity" in properties


def test_attention__columns_without_names_and_no_attention(table):
    X, y = table
    model = tiny(n_attention_layers=1).fit(X, y)
    assert model.attention(X)[1] == ["column 0", "column 1", "column 2"]
    flat = tiny().fit(X, y)
    with pytest.raises(ValueError, match="no attention between properties: fit with"):
        flat.attention(X)


def test_attention__in_one_row_chunks__is_the_same(table, monkeypatch):
    X, y = table
    model = tiny(n_attention_layers=1).fit(X, y)
    whole, _ = model.attention(X)
    monkeypatch.setattr("trisk.estimators.hybrid._ATTENTION_ELEMENTS", 1)
    np.testing.assert_allclose(model.attention(X)[0], whole)


@pytest.fixture(scope="module")
def crystals():
    from pymatgen.core import Lattice, Structure

    lengths = np.linspace(3.8, 5.2, 12)
    X = [
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Mg", "O"], [[0, 0, 0], [0.5] * 3])
        for a in lengths
    ]
    return X, pd.Series(lengths**3)


def test_graph_estimators__cross_validated_one_by_one(crystals):
    X, y = crystals
    model = make_pipeline(
        CrystalGraphFeaturizer(order=1),
        GraphTRIADSRegressor(
            network=GraphTRIADSOptions(**GRAPHS), n_members=2, max_epochs=1, random_state=0
        ),
    )
    results = nested_cross_validate(model, X, y, outer=2, verbose=0)
    assert (results.predictions["y_std"] >= 0).all()


def test_embedding__of_structures_by_one_stream():
    structures, frequency, kinds = make_structures(40)
    pretrainer = TriForcesPretrainer(network=SMALL_STREAMS, max_epochs=1, random_state=0)
    pretrainer.fit(structures)
    stream = make_pipeline(
        pretrainer, FunctionTransformer(lambda table: table.filter(like="structure "))
    )
    display = EmbeddingDisplay.from_estimator(stream, structures, color=kinds, quantity="kind")
    assert len(display.points_) == 4
    expected = stream.transform(structures)
    assert expected.shape == (40, 8)
    numbers = EmbeddingDisplay.from_estimator(pretrainer, structures, color=frequency)
    assert len(numbers.points_[0].get_offsets()) == 40


def test_embedding__numbers_classes_and_other_reducers():
    X, y = (values[:50] for values in load_band_gaps())
    featurizer = MagpieFeaturizer().fit(X)
    display = EmbeddingDisplay.from_estimator(featurizer, X, color=y)
    np.testing.assert_allclose(display.points_[0].get_array(), y)
    assert "of variance" in display.ax_.get_xlabel()
    assert display.figure_.axes[1].get_ylabel() == "band gap (eV)"
    boxes_apart(display.figure_)
    classes = EmbeddingDisplay.from_estimator(
        featurizer,
        X,
        color=np.where(y > 2, "wide", "narrow"),
        reducer=TruncatedSVD(2, random_state=0),
    )
    assert [len(points.get_offsets()) for points in classes.points_] == [
        (y <= 2).sum(), (y > 2).sum(),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="color holds 50 classes"):
        EmbeddingDisplay.from_estimator(featurizer, X, color=X)
    assert len(EmbeddingDisplay.from_estimator(featurizer, X).points_) == 1


def test_draw_predictions__what_the_table_allows():
    table = pd.DataFrame({"y_true": [1.0, 2.0, 3.0], "y_pred": [1.1, 2.1, 2.9]})
    assert list(draw_predictions(table)) == ["parity"]
    table["y_std"] = 0.1
    assert list(draw_predictions(table, unit="eV")) == ["parity", "calibration"]
    classes = pd.DataFrame(
        {
            "y_true": ["a", "b", "b"],
            "probability a": [0.9, 0.2, 0.4],
            "probability b": [0.1, 0.8, 0.6],
        }
    )
    drawn = draw_predictions(classes, classification=True)
    assert list(drawn) == ["roc", "calibration"]
    classes["y_pred"] = ["a", "b", "a"]
    drawn = draw_predictions(classes, classification=True)
    assert drawn["confusion"].confusion_matrix.tolist() == [[1, 0], [1, 1]]
    assert drawn["roc"].roc_auc == 1
    three = classes.assign(**{"probability c": 0.0, "y_true": ["a", "b", "c"]})
    assert list(draw_predictions(three, classification=True)) == ["confusion"]
    plt.close("all")
