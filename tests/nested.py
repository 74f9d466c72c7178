"""Estimators from flat settings: each goes where the estimator has it."""


def make(cls, **settings):
    """An estimator; settings of its network and its training need no prefix."""
    estimator = cls()
    known = estimator.get_params(deep=True)
    for name, value in settings.items():
        places = [p for p in (name, f"network__{name}", f"training__{name}") if p in known]
        if not places:
            raise TypeError(f"{cls.__name__} and its nested parameters have no {name!r}")
        estimator.set_params(**{places[0]: value})
    return estimator
