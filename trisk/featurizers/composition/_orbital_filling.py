"""Filling the atomic orbitals of a formula with its electrons, all formulas at once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trisk.data import data_file

from trisk.featurizers._segments import row_sum
from trisk.featurizers.composition._compositions import CompositionTable
from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS, N_ELEMENTS

_SHELL_CAPACITY = {"s": 2, "p": 6, "d": 10, "f": 14}


@dataclass(frozen=True)
class OrbitalTable:
    """Orbitals of all elements, element by element.

    Parameters
    ----------
    starts : ndarray of int64 of shape (119,)
        First orbital of each atomic number.
    n_orbitals : ndarray of int64 of shape (119,)
        Number of orbitals of each atomic number; 0 without data.
    energies : ndarray of shape (n_orbitals,)
        In hartree.
    ranks : ndarray of int64 of shape (n_orbitals,)
        Place of each orbital in the order of energies.
    capacities : ndarray of int64 of shape (n_orbitals,)
        Electrons that each can hold.
    """

    starts: np.ndarray
    n_orbitals: np.ndarray
    energies: np.ndarray
    ranks: np.ndarray
    capacities: np.ndarray


@lru_cache(maxsize=1)
def orbital_table():
    """Read the orbital energies that ship with the package.

    Returns
    -------
    OrbitalTable
    """
    lines = [line.split(",") for line in data_file("atomic_orbital_energies.csv").read_text("utf-8").splitlines()[1:]]
    elements = np.array([ATOMIC_NUMBERS[symbol] for symbol, _, _ in lines])
    energies = np.array([float(energy) for _, _, energy in lines])
    n_orbitals = np.bincount(elements, minlength=N_ELEMENTS + 1)
    return OrbitalTable(
        starts=np.cumsum(n_orbitals) - n_orbitals,
        n_orbitals=n_orbitals,
        energies=energies,
        ranks=np.argsort(np.argsort(energies, kind="stable")),
        capacities=np.array([_SHELL_CAPACITY[orbital[-1]] for _, orbital, _ in lines]),
    )


def band_edges(table, counts):
    """Energies of the highest occupied and the lowest unoccupied orbital.

    Parameters
    ----------
    table : CompositionTable
        Parsed compositions, none empty.
    counts : ndarray of int64 of shape (n_entries,)
        Whole number of atoms of each entry.

    Returns
    -------
    homo, lumo : ndarray of shape (n_rows,)
        In hartree; NaN without orbitals, and for the LUMO if all orbitals are full.
    """
    orbitals = orbital_table()
    entries, chosen = _expand(orbitals, np.where(counts > 0, table.elements, 0))
    key = table.rows[entries] * len(orbitals.energies) + orbitals.ranks[chosen]
    order = np.argsort(key)
    entries, chosen = entries[order], chosen[order]
    rows, energies = table.rows[entries], orbitals.energies[chosen]
    room = np.cumsum(counts[entries] * orbitals.capacities[chosen])
    n_per_row = np.bincount(rows, minlength=table.n_rows)
    starts = np.cumsum(n_per_row) - n_per_row
    before_row = np.append(0, room)[starts]
    electrons = row_sum(table, counts * table.elements).astype(np.int64)

    filled = np.bincount(
        rows, weights=room - before_row[rows] < electrons[rows], minlength=table.n_rows
    ).astype(np.int64)  # orbitals that are full before the one that takes the last electron
    level = np.minimum(filled, n_per_row - 1)
    energies, room = np.append(energies, np.nan), np.append(room, 0)
    last = np.where(n_per_row > 0, starts + level, -1)
    partial = room[last] - before_row != electrons
    following = np.where(level + 1 < n_per_row, last + 1, -1)
    return energies[last], energies[np.where(partial, last, following)]


@lru_cache(maxsize=1)
def mean_levels():
    """Mean HOMO and mean LUMO energy of the elements that have them.

    Returns
    -------
    homo, lumo : float
        In hartree.
    """
    elements = np.flatnonzero(orbital_table().n_orbitals)
    table = CompositionTable(
        offsets=np.arange(len(elements) + 1),
        elements=elements,
        amounts=np.ones(len(elements)),
        formulas=np.array([ELEMENT_SYMBOLS[z - 1] for z in elements], dtype=object),
    )
    homo, lumo = band_edges(table, np.ones(len(elements), dtype=np.int64))
    return float(np.nanmean(homo)), float(np.nanmean(lumo))


def _expand(orbitals, elements):
    """One item per orbital of each entry: the entry's index and the orbital's."""
    repeats = orbitals.n_orbitals[elements]
    entries = np.repeat(np.arange(len(elements)), repeats)
    within = np.arange(len(entries)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    return entries, orbitals.starts[elements[entries]] + within
