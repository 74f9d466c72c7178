"""Estimators from flat settings: each goes where the estimator has it."""


def make(cls, **settings):
    """An estimator; settings of its network and its training need no prefix."""
    estimator = cls()
    known = estimator.get_params(deep=True)
    prefixes = ("", "network__", "training__")
    found = {
        next(prefix + name for prefix in prefixes if prefix + name in known): value
        for name, value in settings.items()
    }
    return estimator.set_params(**found)
