"""Columns by name: which are kept, in scikit-learn's terms, and what bad patterns are told."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import trisk
from trisk.featurizers import ColumnSelector

_TABLE = pd.DataFrame([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]], columns=["a x", "a log y", "b x"])


@parametrize_with_checks([ColumnSelector()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [("^a", ["a x", "a log y"]), ("^a (?!log)", ["a x"]), ("x", ["a x", "b x"]), ("", [*_TABLE])],
)
def test_keeps_the_columns_that_match(pattern, kept):
    selector = ColumnSelector(pattern).set_output(transform="pandas")
    pd.testing.assert_frame_equal(selector.fit_transform(_TABLE), _TABLE[kept])
    assert list(selector.get_feature_names_out()) == kept


@pytest.mark.parametrize(
    ("pattern", "table", "message"),
    [
        ("z", _TABLE, "'z' matches none of 3 columns, first 'a x'"),
        ("a(", _TABLE, r"'a\(' is no regular expression"),
        ("a", _TABLE.to_numpy(), "'a' needs the names of columns: give a DataFrame"),
    ],
)
def test_bad_patterns_are_refused(pattern, table, message):
    with pytest.raises(ValueError, match=message):
        ColumnSelector(pattern).fit(table)


def test_comes_back_from_a_file(tmp_path):
    trisk.save(ColumnSelector("b").fit(_TABLE), tmp_path / "selector.safetensors")
    loaded = trisk.load(tmp_path / "selector.safetensors")
    np.testing.assert_array_equal(loaded.transform(_TABLE), _TABLE[["b x"]])
