"""What all featurizers share, whatever a row is: parameters, errors by row, tags."""

import warnings
from numbers import Integral

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_feature_names

from trisk.structures.rows import as_value_list

_ERRORS_SHOWN = 5
_ERROR_COLUMNS = ["row", "formula", "featurizer", "cause"]


class FeaturizationError(ValueError):
    """Rows that could not be featurized.

    Parameters
    ----------
    errors : list of RowError
        The rows; the first ones are named in the message.
    remedy : str
        What the caller can do.

    Attributes
    ----------
    errors : list of RowError
        The rows, with ``row``, ``formula``, ``featurizer`` and ``cause``.
    """

    def __init__(self, errors, remedy=""):
        self.errors = list(errors)
        self.remedy = remedy
        shown = [f"row {e.row}: {e.formula!r}: {e.cause}" for e in self.errors[:_ERRORS_SHOWN]]
        if len(self.errors) > _ERRORS_SHOWN:
            shown.append(f"and {len(self.errors) - _ERRORS_SHOWN} more")
        lines = "\n  ".join(shown)
        super().__init__(
            f"{len(self.errors)} row(s) could not be featurized:\n  {lines}\n{remedy}".rstrip()
        )

    def __reduce__(self):
        return type(self), (self.errors, self.remedy)


class RowFeaturizer(TransformerMixin, BaseEstimator):
    """Base of the transformers that turn each value of a collection into features.

    A subclass gives ``fit`` through ``_fit_rows`` and ends ``transform`` with ``_report``. What
    must be read once is read in ``_prepare``.

    Parameters
    ----------
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be featurized.
    n_jobs : int, default=None
        Number of joblib workers; None is 1, -1 all processors.
    """

    _parameter_constraints: dict = {
        "on_error": [StrOptions({"raise", "nan"})],
        "n_jobs": [None, Integral],
    }

    #: What ``on_error="nan"`` makes of a row, for messages.
    _failed_rows = "hold NaN"

    def __init__(self, *, on_error="raise", n_jobs=None):
        self.on_error = on_error
        self.n_jobs = n_jobs

    def __getstate__(self):
        """The table of errors as plain values: skops knows no data frames."""
        state = super().__getstate__()
        if "errors_" in state:
            state = state | {"errors_": state["errors_"].to_numpy().tolist()}
        return state

    def __setstate__(self, state):
        if isinstance(state.get("errors_"), list):
            state = state | {"errors_": pd.DataFrame(state["errors_"], columns=_ERROR_COLUMNS)}
        super().__setstate__(state)

    def _fit_rows(self, X, what):
        """Check parameters and the kind of collection; nothing is learned from the values."""
        self._set_up()
        as_value_list(X, what)
        _check_feature_names(self, X, reset=True)
        self.n_features_in_ = 1
        self.errors_ = pd.DataFrame([], columns=_ERROR_COLUMNS)
        return self

    def _set_up(self):
        """Become able to compute, whatever the input."""
        self._validate_params()
        self._prepare()
        return self

    def _prepare(self):
        """Read what the computation needs; a hook of ``fit``."""

    def _report(self, errors, n_rows):
        """Raise, or list in ``errors_`` and warn once, as ``on_error`` says."""
        if errors and self.on_error == "raise":
            raise FeaturizationError(errors, self._remedy())
        self.errors_ = pd.DataFrame(
            [(e.row, e.formula, e.featurizer, e.cause) for e in errors], columns=_ERROR_COLUMNS
        )
        if errors:
            n_failed = self.errors_["row"].nunique()
            first = errors[0]
            warnings.warn(
                f"{type(self).__name__}: {n_failed} of {n_rows} rows {self._failed_rows} because "
                f"they could not be featurized, first row {first.row} ({first.formula!r}: "
                f"{first.cause}); see errors_",
                UserWarning,
                stacklevel=4,  # the caller of transform, past scikit-learn's wrapper
            )

    def _remedy(self):
        return (
            f'Correct or drop these rows, or use {type(self).__name__}(on_error="nan"): they then '
            f"{self._failed_rows}, and errors_ reports them."
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.dict = True
        tags.transformer_tags.preserves_dtype = []
        return tags
