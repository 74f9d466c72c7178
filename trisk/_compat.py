"""Names that other packages keep private or renamed; nothing else imports private names of theirs.

Tested from scikit-learn 1.6 and optuna 4.0 to the newest releases.
"""

from sklearn.utils import _safe_indexing as safe_indexing
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
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "Options",
    "StrOptions",
    "check_feature_names",
    "check_sample_weight",
    "retry_stale_trials",
    "routing_enabled",
    "safe_indexing",
    "validate_parameter_constraints",
    "validate_params",
]


def retry_stale_trials():
    """Parameters of optuna's RDBStorage that put a trial without heartbeats back into the queue."""
    from optuna import storages

    if hasattr(storages, "RetryHeartbeatStaleTrialCallback"):  # since optuna 4.9
        retry = storages.RetryHeartbeatStaleTrialCallback()
        return {"heartbeat_stale_trial_callback": retry}
    return {"failed_trial_callback": storages.RetryFailedTrialCallback()}
