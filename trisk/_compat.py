"""Names that other packages keep private or renamed; nothing else imports private names of theirs.

Works from scikit-learn 1.6 and optuna 4.3 on; earlier journals stay locked by a killed process.
"""

from sklearn.base import _clone_parametrized as clone_parameters
from sklearn.model_selection._search import BaseSearchCV
from sklearn.neighbors._base import KNeighborsMixin
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_method_params as check_method_params
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "BaseSearchCV",
    "HasMethods",
    "Interval",
    "KNeighborsMixin",
    "Options",
    "StrOptions",
    "check_feature_names",
    "check_feature_names_in",
    "check_method_params",
    "check_sample_weight",
    "clone_parameters",
    "routing_enabled",
    "safe_indexing",
    "stale_trial_retry",
    "validate_parameter_constraints",
    "validate_params",
]


def safe_indexing(X, rows):
    """Rows of any collection; of None, None."""
    return None if X is None else _safe_indexing(X, rows)


def stale_trial_retry():
    """Optuna's callback class that queues a lost trial again, and its parameter of RDBStorage."""
    from optuna import storages

    if hasattr(storages, "RetryHeartbeatStaleTrialCallback"):  # since optuna 4.9
        return storages.RetryHeartbeatStaleTrialCallback, "heartbeat_stale_trial_callback"
    return storages.RetryFailedTrialCallback, "failed_trial_callback"
