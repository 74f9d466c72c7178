"""Seeds for models that are part of another."""


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
