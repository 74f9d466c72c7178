"""Seeds for models that are part of another, and for the members of an ensemble."""

import numpy as np
from sklearn.utils import check_random_state


def member_seeds(random_state, n_members):
    """Draw a seed for every member of an ensemble.

    Parameters
    ----------
    random_state : int, RandomState or None
        As of any estimator.
    n_members : int
        Members.

    Returns
    -------
    seeds : list of int
        One per member, below 2³².
    """
    entropy = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return np.random.SeedSequence(entropy).generate_state(n_members).tolist()


def seed_parts(model, seed):
    """Seed a model and its parts wherever their own seeds are None.

    Parameters
    ----------
    model : estimator
        Any scikit-learn estimator; changed in place.
    seed : int
        Seed.

    Returns
    -------
    model : estimator
        The same.
    """
    unseeded = {
        name: seed
        for name, value in model.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    }
    return model.set_params(**unseeded)
