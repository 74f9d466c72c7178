"""Parameters that the graph estimators share: their text and their constraints."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, Options

from trisk.estimators._allocation import MOST_REPETITIONS
from trisk.estimators._search_space import Choice, Range

GRAPH_NETWORK_TEXT = """
    order : {{1, 2, 3}}, default=3
        Geometry the network reads: bond lengths, bond angles too, dihedral angles too. A level
        that no training graph has is left out, with a warning.
    physics : bool, default=True
        Whether the network reads the bonds' physics sensors, and makes springs of their stiffness
        times a learned factor, whose vibrations the prediction starts from.
    n_radial, n_angular : int, default=40, 8
        Gaussians of the bond length, cosines of multiples of the angles.
    element_dim : int, default=16
        Width of the learned vector of each element.
    hidden_dim, bond_dim, angle_dim : int, default=64, 48, 16
        Width of the states of atoms and of bonds, and of the messages along angles.
    feedforward_dim : int, default=128
        Width of the hidden layers of the atoms' updates.
    n_heads : int, default=4
        Attention heads that pool atoms; must divide `hidden_dim`.
    min_cycles, max_cycles : int, default=4, 16
        Fewest and most cycles of the recursion, up to 1000. In between, a gate closes the
        recursion of each crystal, in training and in prediction.
    halting_threshold : float, default=0.1
        Openness of the gate below which a crystal halts.
    openness_cost : float, default=0.01
        Loss for every cycle beyond the fewest; a larger one makes the gate close sooner.
    dropout : float, default=0.1
        Dropout rate.
    deep_supervision : bool, default=True
        Whether every cycle is supervised, with weights 1, 2, …, or the last one only.
    mixed_precision : bool, default=False
        Whether to train in bfloat16 where that is safe; on CUDA only."""

_WIDTH = [Interval(Integral, 1, None, closed="left")]

GRAPH_NETWORK_CONSTRAINTS = {
    "order": [Options(Integral, {1, 2, 3})],
    "physics": ["boolean"],
    "n_radial": [Interval(Integral, 2, None, closed="left")],
    "n_angular": [Interval(Integral, 2, None, closed="left")],
    "element_dim": _WIDTH,
    "hidden_dim": _WIDTH,
    "bond_dim": _WIDTH,
    "angle_dim": _WIDTH,
    "feedforward_dim": _WIDTH,
    "n_heads": _WIDTH,
    "min_cycles": _WIDTH,
    "max_cycles": [Interval(Integral, 1, MOST_REPETITIONS, closed="both")],
    "halting_threshold": [Interval(Real, 0, 1, closed="left")],
    "openness_cost": [Interval(Real, 0, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left")],
    "deep_supervision": ["boolean"],
    "mixed_precision": ["boolean"],
}

GRAPH_NETWORK_SEARCH_SPACE = {
    "order": Choice((1, 2, 3)),
    "hidden_dim": Range(32, 128, step=32),
    "bond_dim": Range(32, 96, step=16),
    "max_cycles": Range(4, 16, step=4),
    "openness_cost": Range(1e-3, 3e-2, log=True),
    "dropout": Range(0.0, 0.3),
}
