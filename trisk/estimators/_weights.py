"""Weights of rows for models that are part of another."""

from sklearn.utils.validation import has_fit_parameter


def check_takes_weights(name, given, estimator):
    """Refuse weights for a model whose `fit` takes none.

    Parameters
    ----------
    name : str
        The parameter that holds the model.
    given : object
        Its value.
    estimator : estimator
        The model that it stands for.

    Raises
    ------
    ValueError
        If `fit` has no parameter ``sample_weight``.
    """
    if not has_fit_parameter(estimator, "sample_weight"):
        raise ValueError(
            f"{name}={given!r} takes no sample_weight in fit. Give no weights, or a {name} that "
            "takes them."
        )
