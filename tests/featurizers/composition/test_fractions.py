"""Element fractions, stoichiometry norms and the transition-metal fraction against matminer."""

import numpy as np
import pytest
from matminer_oracle import all_formulas, matminer_values, numeric_labels

from trisk.featurizers import (
    ElementFractionFeaturizer,
    FeaturizationError,
    StoichiometryFeaturizer,
    TransitionMetalFractionFeaturizer,
)

PAIRS = [
    (ElementFractionFeaturizer, "ElementFraction", "ElementFraction"),
    (StoichiometryFeaturizer, "Stoichiometry", "Stoichiometry"),
    (TransitionMetalFractionFeaturizer, "TMetalFraction", "TMetalFraction"),
]
EDGE_CASES = [
    "Fe", "OFe", "D2O", "He", "Og2Ts", "Fe0.3333333Ni0.6666667", "Fe1000000C1", "ZrHfYTi",
    "LiBeBCNOFNaMgAlSiPSClKCaScTiVCrMnFe",
]  # fmt: skip


@pytest.fixture(params=PAIRS, ids=[name for _, name, _ in PAIRS])
def pair(request):
    import matminer.featurizers.composition as peers

    ours, peer, block = request.param
    return ours(), getattr(peers, peer)(), block


def test_names__are_block_and_matminers_label(pair):
    featurizer, peer, block = pair
    names = featurizer.fit(["Fe"]).get_feature_names_out().tolist()
    assert names == [f"{block} {label}" for label in numeric_labels(peer)]


def test_values__all_matbench_formulas__equal_matminers(pair, matbench_formulas):
    featurizer, peer, _ = pair
    formulas = all_formulas(matbench_formulas)
    expected = matminer_values(peer, formulas)
    np.testing.assert_allclose(featurizer.fit_transform(formulas), expected, rtol=0, atol=1e-9)


def test_values__edge_cases__equal_matminers(pair):
    featurizer, peer, _ = pair
    expected = matminer_values(peer, EDGE_CASES)
    np.testing.assert_allclose(featurizer.fit_transform(EDGE_CASES), expected, rtol=0, atol=1e-9)


def test_element_fraction__logarithms__are_floored():
    X = ElementFractionFeaturizer(scale="log10").fit_transform(["Fe0.9C0.1", "Fe0.99999C0.00001"])
    assert X.shape == (2, 118)
    np.testing.assert_allclose(X["ElementFraction log10 C"], [-1, -4])
    assert (X["ElementFraction log10 Og"] == -4).all()


def test_element_fraction__lower_floor__keeps_traces_apart():
    featurizer = ElementFractionFeaturizer(scale="log10", log_floor=1e-7)
    X = featurizer.fit_transform(["Fe0.99999C0.00001"])
    np.testing.assert_allclose(X["ElementFraction log10 C"], [-5])
    np.testing.assert_allclose(X["ElementFraction log10 N"], [-7])


def test_element_fraction__both_scales__are_the_two_blocks_side_by_side():
    formulas = ["Fe2O3", "GaAs"]
    both, linear, log10 = (
        ElementFractionFeaturizer(scale=scale).fit_transform(formulas)
        for scale in ("both", "linear", "log10")
    )
    assert both.columns.tolist() == linear.columns.tolist() + log10.columns.tolist()
    assert np.array_equal(both, np.hstack([linear, log10]))


@pytest.mark.parametrize("parameters", [{"scale": "log2"}, {"log_floor": 0}, {"log_floor": 1.0}])
def test_element_fraction__bad_parameter__is_refused(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        ElementFractionFeaturizer(**parameters).fit(["Fe"])


def test_unreadable_formula__is_named(pair):
    featurizer, _, _ = pair
    with pytest.raises(FeaturizationError, match=r"row 1: 'Xx2O'"):
        featurizer.fit_transform(["Fe", "Xx2O"])
