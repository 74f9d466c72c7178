"""Backbones by name; those of other packages are imported when one is made."""

import importlib

from torch import nn

#: Name → module and class.
BACKBONES = {
    "builtin": ("_equivariant", "EquivariantBackbone"),
    "esen": ("_esen", "ESENBackbone"),
    "mace": ("_mace", "MACEBackbone"),
    "orb": ("_orb", "OrbBackbone"),
}


def make_backbone(name: str, *, cutoff: float, dim: int, n_layers: int, **params) -> nn.Module:
    """Make a backbone with random weights.

    Parameters
    ----------
    name : str
        One of ``BACKBONES``.
    cutoff : float
        Largest distance of neighbours, in Å.
    dim : int
        Width.
    n_layers : int
        Rounds of messages.
    **params
        Further parameters of the backbone.

    Returns
    -------
    Module
        A :class:`Backbone`.
    """
    module, cls = BACKBONES[name]
    found = getattr(importlib.import_module(f"trisk.nn.backbones.{module}"), cls)
    return found(cutoff=cutoff, dim=dim, n_layers=n_layers, **params)
