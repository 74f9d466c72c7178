"""What all featurizers share, whatever a row is: parameters, errors by row, names of columns."""

import copy
import re
import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.validation import check_is_fitted

from trisk._compat import StrOptions, check_feature_names
from trisk._frames import FrameTransformer
from trisk.structures.rows import as_value_list, list_errors


class FeaturizationError(ValueError):
    """Rows that could not be featurized.

    Parameters
    ----------
    errors : list of RowError
        The rows, with ``row``, ``formula``, ``featurizer`` and ``cause``; an attribute, too. The
        first ones are named in the message.
    remedy : str
        What the caller can do.
    """

    def __init__(self, errors, remedy=""):
        self.errors = list(errors)
        self.remedy = remedy
        counted = f"{len(self.errors)} row(s) could not be featurized"
        super().__init__(f"{counted}:\n  {list_errors(self.errors)}\n{remedy}".rstrip())

    def __reduce__(self):
        return type(self), (self.errors, self.remedy)


@dataclass(kw_only=True, repr=False, eq=False)
class RowFeaturizer(TransformerMixin, BaseEstimator):
    """Base of the transformers that turn each value of a collection into features.

    A subclass reads what must be read once in ``_prepare``, and ends ``transform`` with
    ``_report``, the only one to know what becomes of bad rows. ``_texts`` are what docstrings
    share, by the name that stands for it there in braces.
    """

    on_error: str = "raise"
    n_jobs: int | None = None

    _parameter_constraints = {
        "on_error": [StrOptions({"raise", "nan"})],
        "n_jobs": [None, Integral],
    }
    _texts: ClassVar[dict[str, str]] = {}
    #: What rows are, and what ``on_error="nan"`` makes of them, for messages.
    _rows_are, _failed_rows = "values", "hold NaN"
    #: List that takes up errors in place of a warning.
    _found = None

    def __init_subclass__(cls, **kwargs):
        """Constraints of parameters are those of all bases, and of the class itself."""
        super().__init_subclass__(**kwargs)
        bases = [vars(base).get("_parameter_constraints", {}) for base in reversed(cls.__mro__)]
        cls._parameter_constraints = {k: v for base in bases for k, v in base.items()}
        for name, text in cls._texts.items():
            cls.__doc__ = (cls.__doc__ or "").replace(f"{{{name}}}", text)

    def fit(self, X, y=None):
        """Check the parameters and read what is needed; nothing is learned from X.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Structures of any kind that :func:`trisk.structures.read_structures` takes (also paths
            of files); for featurizers of compositions formulas, dicts and pymatgen
            ``Composition`` objects as well; or a mixture.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted featurizer.
        """
        self._set_up()
        if not hasattr(X, "__next__"):  # what can be read only once is left to transform
            as_value_list(X, self._rows_are)
        check_feature_names(self, X, reset=True)
        self.n_features_in_ = 1
        return self

    def explain_errors(self, X):
        """List the rows that ``transform`` cannot featurize, and why.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            What ``transform`` takes.

        Returns
        -------
        pandas.DataFrame
            One row per error, with the columns row (position from 0), formula, featurizer and
            cause; empty if every row can be featurized.
        """
        probe = self._collecting()
        probe.transform(X)
        return pd.DataFrame(probe._found, columns=["row", "formula", "featurizer", "cause"])

    def _collecting(self):
        """A copy that takes up errors in ``_found`` and neither raises nor warns."""
        probe = copy.copy(self)
        probe.on_error, probe._found = "nan", []  # type: ignore[assignment]
        return probe

    def _set_up(self):
        """Become able to compute, whatever the input."""
        self._validate_params()
        self._prepare()
        return self

    def _prepare(self):
        """Read what the computation needs; a hook of ``fit``."""

    def _report(self, errors, n_rows):
        """Raise, warn once or take up, as ``on_error`` and ``_found`` say."""
        if not errors:
            return
        if self._found is not None:
            self._found += errors
        elif self.on_error == "raise":
            remedy = (
                f'Correct or drop these rows, or use {type(self).__name__}(on_error="nan"): they '
                f"then {self._failed_rows}, and explain_errors(X) lists them."
            )
            raise FeaturizationError(errors, remedy)
        else:
            n_failed, first = len({error.row for error in errors}), errors[0]
            warnings.warn(
                f"{type(self).__name__}: {n_failed} of {n_rows} rows {self._failed_rows} because "
                f"they could not be featurized, first row {first.row} ({first.formula!r}: "
                f"{first.cause}); explain_errors(X) lists them",
                UserWarning,
                stacklevel=4,  # the caller of transform, past scikit-learn's wrapper
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.dict = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class TableFeaturizer(FrameTransformer, RowFeaturizer):
    """Base of the row featurizers that give a data frame with the columns ``_feature_names()``.

    ``_transform_rows(X) -> (values, errors)`` gives an array of shape (n_samples, n_features_out)
    and a list of ``RowError``.
    """

    def transform(self, X):
        """Featurize the rows of a collection.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            As for ``fit``.

        Returns
        -------
        pandas.DataFrame of shape (n_samples, n_features_out)
            One row per sample, under the index of X if X is a pandas object.

        Raises
        ------
        FeaturizationError
            With ``on_error="raise"``, when a row cannot be featurized.
        """
        check_is_fitted(self)
        check_feature_names(self, X, reset=False)
        values, errors = self._transform_rows(X)
        self._report(sorted(errors, key=lambda error: error.row), len(values))
        return self._as_frame(values, X)

    def _transform_rows(self, X):
        raise NotImplementedError

    def _set_up(self):
        super()._set_up()
        self.n_features_out_ = len(self._feature_names())
        return self


def with_process(featurizer, process=(), column=None):
    """A featurizer of one column of a DataFrame, and beside it the columns of the process.

    Without `column` it is the only one that is not in `process`. Missing numbers become the
    median, with a column that says so, and text one column per value.
    """
    process = [process] if isinstance(process, str) else list(process)
    if not process:
        return featurizer if column is None else _beside([("material", featurizer, [column])])
    numbers = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    values = _beside(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("words", words, make_column_selector(dtype_exclude="number")),
        ]
    )
    others = "|".join(map(re.escape, process))
    material = make_column_selector(rf"^(?!(?:{others})$)") if column is None else [column]
    return _beside([("material", featurizer, material), ("process", values, process)])


def _beside(parts):
    """Parts of a DataFrame side by side, under the names that they give."""
    made = ColumnTransformer(parts, verbose_feature_names_out=False)
    return made.set_output(transform="pandas")
