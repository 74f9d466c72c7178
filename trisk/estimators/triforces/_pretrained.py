"""Pre-trained streams: where they come from, and whether they fit."""

import os
from importlib import resources
from pathlib import Path

from sklearn.utils.validation import check_is_fitted

#: File of the weights that come with trisk.
_DEFAULT = "triforces_default.safetensors"


def load_pretrained(source):
    """Bring a pre-trained estimator.

    Parameters
    ----------
    source : estimator, str or path-like
        A fitted TriForces estimator, the file of one, or ``"default"`` for the weights that come
        with trisk.

    Returns
    -------
    estimator
        Fitted.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If it is no TriForces estimator.
    NotFittedError
        If it is not fitted.
    """
    if isinstance(source, str | os.PathLike):
        from trisk.persistence import load

        if source == "default":
            folder = resources.files("trisk.estimators.triforces")
            source = Path(str(folder.joinpath("data", _DEFAULT)))
        source = load(source)
    if not hasattr(source, "_encoder_params"):
        raise TypeError(
            f"pretrained is a {type(source).__name__}; it must be a fitted TriForces estimator, "
            'the path of one, or "default".'
        )
    check_is_fitted(source)
    return source


def find_streams(source, wanted):
    """Weights of pre-trained streams.

    Parameters
    ----------
    source : estimator, str, path-like or None
        As for :func:`load_pretrained`.
    wanted : dict
        Parameters of the encoder that is to start from them. Some of the streams may be left
        out.

    Returns
    -------
    dict of str to Tensor or None
        State of the encoder; None without a source.

    Raises
    ------
    ValueError
        If the streams are of another shape.
    """
    if source is None:
        return None
    source = load_pretrained(source)
    found = source._encoder_params()
    for name, value in wanted.items():
        fits = set(value) <= set(found[name]) if name == "streams" else found[name] == value
        if not fits:
            raise ValueError(
                f"The pre-trained streams have {name}={found[name]!r}, but this estimator has "
                f"{value!r}."
            )
    state = source.nets_[0].module_.encoder.state_dict()
    left_out = set(found["streams"]) - set(wanted["streams"])
    return {k: v for k, v in state.items() if not left_out & set(k.split(".")[:2])}
