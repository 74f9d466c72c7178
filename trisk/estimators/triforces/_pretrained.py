"""Pre-trained streams: where they come from, and whether they fit."""

import os
from pathlib import Path

from sklearn.utils.validation import check_is_fitted

from trisk.data import data_file

#: Files of the weights that come with trisk.
SHIPPED = {
    "default": "triforces_default.safetensors",
    "sensors": "triforces_sensors.safetensors",
}


def load_pretrained(source):
    """Bring a pre-trained estimator.

    Parameters
    ----------
    source : estimator, str or path-like
        A fitted TriForces estimator, the file of one, or the name of weights that come with
        trisk: ``"default"`` or ``"sensors"``.

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

        if source in SHIPPED:
            source = data_file(SHIPPED[source])
        elif not Path(source).exists():
            raise FileNotFoundError(
                f"There is no model file at {str(source)!r}, and no weights of this name come with "
                f"trisk; it has {sorted(SHIPPED)}."
            )
        source = load(source)
    if not hasattr(source, "_encoder_params"):
        raise TypeError(
            f"pretrained is a {type(source).__name__}; it must be a fitted TriForces estimator, "
            f"the path of one, or one of the names {sorted(SHIPPED)}."
        )
    check_is_fitted(source)
    return source


def find_weights(source, wanted):
    """Weights of pre-trained streams, and of the head behind them.

    Parameters
    ----------
    source : estimator, str, path-like or None
        As for :func:`load_pretrained`.
    wanted : dict
        Parameters of the encoder that is to start from them. Some of the streams may be left
        out.

    Returns
    -------
    tuple of (dict of str to Tensor, StreamHead or None), or None
        State of the encoder; and the head behind it, which there is none of after self-supervised
        training. None without a source.

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
    module = source.nets_[0].module_
    left_out = set(found["streams"]) - set(wanted["streams"])
    state = module.encoder.state_dict().items()
    encoder = {k: v for k, v in state if not left_out & set(k.split(".")[:2])}
    return encoder, getattr(module, "head", None)
