"""Checks of estimators for crystal structures and formulas, ours and others'."""

import pickle
import tempfile
from functools import partial
from pathlib import Path
from unittest import SkipTest

import joblib
import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError

__all__ = [
    "check_structure_estimator",
    "make_structures",
    "structure_estimator_checks",
]

# Geometry in single precision, a dozen layers deep.
_RTOL = 2e-4

# Name, lattice vectors over the cube's edge, cations' and anions' fractional coordinates.
_FCC = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
_KINDS = (
    ("rock salt", _FCC, [[0, 0, 0]], [[0.5, 0.5, 0.5]], 2.0),
    ("zinc blende", _FCC, [[0, 0, 0]], [[0.25, 0.25, 0.25]], 4 / 3**0.5),
    ("caesium chloride", np.eye(3).tolist(), [[0, 0, 0]], [[0.5, 0.5, 0.5]], 2 / 3**0.5),
    ("fluorite", _FCC, [[0, 0, 0]], [[0.25] * 3, [0.75] * 3], 4 / 3**0.5),
)
_CATIONS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Zn", "Cd", "Al", "Ga", "Ti", "Zr")
_ANIONS = ("O", "S", "Se", "F", "Cl", "Br", "N", "P")


def make_structures(n_samples=24, *, random_state=0):
    """Make small binary crystals, slightly strained and displaced, with two targets.

    Parameters
    ----------
    n_samples : int, default=24
        Number of crystals.
    random_state : int, RandomState instance or None, default=0
        Seed.

    Returns
    -------
    structures : list of pymatgen.core.Structure
        Rock salts, zinc blendes, caesium chlorides and fluorites of common elements.
    frequency : ndarray of shape (n_samples,)
        A number that depends on bond lengths and masses as a frequency does.
    kind : ndarray of shape (n_samples,)
        Name of the structure type.

    Examples
    --------
    >>> from trisk.testing import make_structures
    >>> structures, frequency, kind = make_structures(4)
    >>> kind.tolist()
    ['rock salt', 'zinc blende', 'caesium chloride', 'fluorite']
    """
    from pymatgen.core import Element, Structure
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    structures, frequency, kinds = [], [], []
    for number in range(n_samples):
        kind, vectors, cations, anions, edge = _KINDS[number % len(_KINDS)]
        cation, anion = Element(rng.choice(_CATIONS)), Element(rng.choice(_ANIONS))
        length = rng.uniform(0.85, 1.0) * (float(cation.atomic_radius) + 1.0)
        strain = np.eye(3) + rng.uniform(-0.02, 0.02, size=(3, 3))
        lattice = edge * length * np.array(vectors) @ strain
        sites = np.array(cations + anions, dtype=float)
        sites = sites + rng.uniform(-0.01, 0.01, size=sites.shape)
        species = [cation] * len(cations) + [anion] * len(anions)
        structures.append(Structure(lattice, species, sites))
        reduced_mass = 1 / (1 / float(cation.atomic_mass) + 1 / float(anion.atomic_mass))
        frequency.append(1e4 / length**1.5 / reduced_mass**0.5)
        kinds.append(kind)
    return structures, np.array(frequency), np.array(kinds)


def structure_estimator_checks(estimator):
    """List the checks of an estimator that takes crystal structures.

    Parameters
    ----------
    estimator : estimator
        An unfitted regressor or classifier whose `fit` and `predict` take lists of
        :class:`pymatgen.core.Structure`, such as a pipeline that begins with a structure
        featurizer. It should be small: it is fitted on two dozen crystals.

    Yields
    ------
    estimator : estimator
        A clone.
    check : callable
        A check to call with it; it raises AssertionError on failure, and
        :class:`unittest.SkipTest` where it does not apply.
    """
    for check in _CHECKS:
        yield clone(estimator), check


def check_structure_estimator(estimator):
    """Run all checks of an estimator that takes crystal structures.

    Cloning, pickling, files, repetition to the bit, another device, batches, and the symmetries
    of a crystal: order of atoms, translation, rotation, choice of cell.

    Parameters
    ----------
    estimator : estimator
        As for :func:`structure_estimator_checks`.

    Raises
    ------
    AssertionError
        If a check fails.
    """
    for fresh, check in structure_estimator_checks(estimator):
        try:
            check(fresh)
        except SkipTest:
            continue


_FITS: dict[str, tuple] = {}


def _fitted(estimator):
    """The estimator, fitted once for several checks, and crystals it has not seen."""
    key = joblib.hash(estimator)
    if key not in _FITS:
        _FITS.clear()
        _FITS[key] = _fit(estimator)
    return _FITS[key]


def _fit(estimator):
    structures, frequency, kind = make_structures(24, random_state=0)
    target = kind if is_classifier(estimator) else frequency
    fresh, _, _ = make_structures(10, random_state=1)
    return estimator.fit(structures, target), fresh


def _predict(estimator, structures):
    if is_classifier(estimator):
        return np.asarray(estimator.predict_proba(structures))
    return np.asarray(estimator.predict(structures))


def _assert_same(estimator, first, second, what):
    expected = _predict(estimator, first)
    assert np.ptp(expected, axis=0).min() > 0, "all crystals have the same prediction"
    np.testing.assert_allclose(
        _predict(estimator, second),
        expected,
        rtol=_RTOL,
        atol=_RTOL,
        err_msg=f"{type(estimator).__name__}: {what} changes the prediction",
    )


def check_clone(estimator):
    """A clone of a fitted estimator has its parameters and is not fitted."""
    fitted, fresh = _fitted(estimator)
    copy = clone(fitted)
    assert str(copy.get_params()) == str(clone(copy).get_params())
    try:
        _predict(copy, fresh)
    except NotFittedError:
        return
    raise AssertionError(f"{type(estimator).__name__}: an unfitted clone predicts")


def check_seed(estimator):
    """The same seed gives the same predictions, to the bit."""
    first, fresh = _fitted(clone(estimator))
    second, _ = _fit(clone(estimator))
    assert np.array_equal(_predict(first, fresh), _predict(second, fresh)), (
        f"{type(estimator).__name__}: two fits with the same random_state differ"
    )


def check_pickle(estimator):
    """A pickled estimator predicts the same, to the bit."""
    fitted, fresh = _fitted(estimator)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - written a moment ago
    assert np.array_equal(_predict(fitted, fresh), _predict(again, fresh)), (
        f"{type(estimator).__name__}: pickling changes the prediction"
    )


def check_save_load(estimator):
    """An estimator that trisk can store predicts the same after loading."""
    from trisk.persistence import load, save

    fitted, fresh = _fitted(estimator)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.trisk"
        try:
            save(fitted, path)
        except TypeError as error:
            raise SkipTest(str(error)) from error
        again = load(path)
    np.testing.assert_allclose(_predict(again, fresh), _predict(fitted, fresh), rtol=1e-6)


def check_devices(estimator):
    """A model that moves to a CUDA device and back predicts the same everywhere."""
    from trisk.persistence import load, save

    parameters = [p for p in estimator.get_params() if p.split("__")[-1] == "device"]
    if not parameters:
        raise SkipTest("the estimator has no parameter 'device'")
    import torch

    if not torch.cuda.is_available():
        raise SkipTest("there is no CUDA device")
    fitted, fresh = _fitted(estimator.set_params(**dict.fromkeys(parameters, "cuda")))
    expected = _predict(fitted, fresh)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.trisk"
        for device in ("cpu", "cuda"):
            save(fitted.set_params(**dict.fromkeys(parameters, device)), path)
            fitted = load(path, device=device)
            np.testing.assert_allclose(_predict(fitted, fresh), expected, rtol=_RTOL, atol=_RTOL)


def check_batches(estimator):
    """A prediction does not depend on the structures it is made with, nor on their order."""
    fitted, fresh = _fitted(estimator)
    together = _predict(fitted, fresh)
    alone = np.concatenate([_predict(fitted, [structure]) for structure in fresh])
    backwards = _predict(fitted, fresh[::-1])[::-1]
    for other in (alone, backwards):
        np.testing.assert_allclose(other, together, rtol=1e-6, atol=1e-9)


def check_atom_order(estimator):
    """The order of the atoms does not matter."""
    fitted, fresh = _fitted(estimator)
    rng = np.random.default_rng(0)
    shuffled = [type(s).from_sites([s[i] for i in rng.permutation(len(s))]) for s in fresh]
    _assert_same(fitted, fresh, shuffled, "the order of atoms")


def check_translation(estimator):
    """Neither moving all atoms nor wrapping them into the cell matters."""
    fitted, fresh = _fitted(estimator)
    moved = []
    for structure in fresh:
        copy = structure.copy()
        copy.translate_sites(range(len(copy)), [0.31, -0.47, 0.13], to_unit_cell=True)
        moved.append(copy)
    _assert_same(fitted, fresh, moved, "a translation")


def check_rotation(estimator):
    """Turning the crystal does not matter."""
    fitted, fresh = _fitted(estimator)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    turned = [type(s)(s.lattice.matrix @ rotation.T, s.species, s.frac_coords) for s in fresh]
    _assert_same(fitted, fresh, turned, "a rotation")


def check_cell(estimator, repeats):
    """Another cell of the same crystal does not matter."""
    fitted, fresh = _fitted(estimator)
    larger = [s.make_supercell(repeats, in_place=False) for s in fresh]
    _assert_same(fitted, fresh, larger, f"the cell repeated by {repeats}")


_CHECKS = (
    check_clone,
    check_seed,
    check_pickle,
    check_save_load,
    check_devices,
    check_batches,
    check_atom_order,
    check_translation,
    check_rotation,
    partial(check_cell, repeats=(2, 1, 1)),
    partial(check_cell, repeats=((1, 1, 0), (0, 1, 0), (0, 0, 1))),
)
