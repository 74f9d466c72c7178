"""What is drawn from a seed: those of parts and members, and rows kept for validation."""

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


def draw_validation(seed, n_rows, fraction):
    """Draw the rows that a member keeps for validation.

    Parameters
    ----------
    seed : int
        The member's seed.
    n_rows : int
        Rows there are.
    fraction : float
        Share of them to keep.

    Returns
    -------
    training, held_out : ndarray of int
        Rows to train on and rows to validate on, in order.
    """
    order = np.random.default_rng([seed, 0]).permutation(n_rows)
    n_held_out = round(fraction * n_rows)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


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
