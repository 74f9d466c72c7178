"""Energies, forces and stresses that ASE Atoms carry."""

from dataclasses import dataclass

import numpy as np

_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class FrameTargets:
    """Results of calculations, with NaN where there are none.

    Attributes
    ----------
    energy : ndarray of shape (n_structures,)
        Total energies in eV.
    forces : ndarray of shape (n_atoms, 3)
        Forces in eV/Å.
    stress : ndarray of shape (n_structures, 3, 3)
        Stresses in eV/Å³, positive under tension.
    """

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray


def voigt_to_matrix(stress):
    """Stresses in the order xx, yy, zz, yz, xz, xy → symmetric matrices.

    Parameters
    ----------
    stress : ndarray of shape (..., 6)
        Components.

    Returns
    -------
    ndarray of shape (..., 3, 3)
        Matrices.
    """
    order = [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
    return np.asarray(stress)[..., order]


def matrix_to_voigt(stress):
    """Symmetric matrices → stresses in the order xx, yy, zz, yz, xz, xy.

    Parameters
    ----------
    stress : ndarray of shape (..., 3, 3)
        Matrices.

    Returns
    -------
    ndarray of shape (..., 6)
        Components.
    """
    return np.stack([np.asarray(stress)[..., i, j] for i, j in _VOIGT], axis=-1)


def read_targets(X, y, counts):
    """Collect what frames carry, or what `y` holds.

    Parameters
    ----------
    X : collection
        Structures; where `y` is None, ASE ``Atoms`` with a calculator's results.
    y : None, array-like of shape (n_structures,) or mapping
        Energies; or any of "energy", "forces" (one array per structure) and "stress", as
        :meth:`TriForcesPotential.predict` gives them.
    counts : ndarray of shape (n_structures,)
        Atoms per structure.

    Returns
    -------
    FrameTargets
        With NaN where a frame has no result.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is infinite, or a structure has neither energy nor forces.
    """
    rows = [_results(frame) for frame in X] if y is None else _rows_of(y, len(counts))
    n = len(counts)
    energy, stress = np.full(n, np.nan), np.full((n, 3, 3), np.nan)
    forces = []
    for row, (results, count) in enumerate(zip(rows, counts, strict=True)):
        of_row = results.get("forces")
        of_row = np.full((count, 3), np.nan) if of_row is None else np.asarray(of_row, dtype=float)
        if of_row.shape != (count, 3):
            raise ValueError(
                f"Row {row} has {count} atoms, but forces of shape {of_row.shape}, not "
                f"({count}, 3)."
            )
        forces.append(of_row)
        if results.get("energy") is not None:
            energy[row] = results["energy"]
        if results.get("stress") is not None:
            values = np.asarray(results["stress"], dtype=float)
            stress[row] = values if values.shape == (3, 3) else voigt_to_matrix(values)
        known = np.concatenate([energy[row : row + 1], of_row.ravel(), stress[row].ravel()])
        if np.isinf(known).any():
            raise ValueError(f"Row {row} has an infinite energy, force or stress.")
        if np.isnan(energy[row]) and not np.isfinite(of_row).any():
            raise ValueError(
                f"Row {row} carries neither an energy nor forces. Attach the results of a "
                "calculation (ase.calculators.singlepoint.SinglePointCalculator) or give y."
            )
    return FrameTargets(energy, np.concatenate(forces), stress)


def _results(frame):
    """Results that Atoms carry, without computing anything."""
    calculator = getattr(frame, "calc", None)
    return dict(getattr(calculator, "results", {}))


def _rows_of(y, n_structures):
    """One dictionary per structure from energies or a mapping of columns."""
    columns = dict(y.items()) if hasattr(y, "items") else {"energy": np.asarray(y, dtype=float)}
    unknown = set(columns) - {"energy", "forces", "stress"}
    if unknown or ("energy" not in columns and "forces" not in columns):
        raise ValueError(
            "y must be energies or hold 'energy', 'forces' and 'stress' by name, but holds "
            f"{sorted(map(str, columns))}."
        )
    for name, values in columns.items():
        if len(values) != n_structures:
            raise ValueError(f"y has {len(values)} values of {name} for {n_structures} structures.")
    values = {name: list(column) for name, column in columns.items()}
    return [{name: column[i] for name, column in values.items()} for i in range(n_structures)]
