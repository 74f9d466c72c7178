"""The two scales of element fractions; test_matminer.py compares the values with matminer's."""

import numpy as np
import pytest

from trisk.featurizers import ElementFractionFeaturizer


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
