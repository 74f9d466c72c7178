"""Tables of calculated properties → one row of targets per reduced formula."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from trisk.featurizers.composition._charge_balance import integer_counts
from trisk.featurizers.composition._compositions import CompositionTable, parse_compositions
from trisk.structures.elements import ELEMENT_SYMBOLS

#: What the encoder learns to predict, in the order of its answers.
TARGETS = ("formation energy", "band gap", "largest band gap", "metal")


@dataclass(frozen=True)
class FormulaTargets:
    """Reduced formulas and what is known of each.

    Parameters
    ----------
    table : CompositionTable
        One row per reduced formula.
    values : ndarray of shape (n_formulas, 4)
        Lowest formation energy (eV/atom), band gap of that polymorph (eV), largest band gap (eV),
        and whether the gap is zero (0 or 1); NaN where unknown.
    """

    table: CompositionTable
    values: np.ndarray


def held_out_rows(n_rows):
    """Choose the rows that pre-training holds out: 3 %, the same ones always.

    Parameters
    ----------
    n_rows : int
        Number of reduced formulas.

    Returns
    -------
    ndarray of int
        Ascending.
    """
    return np.sort(np.random.default_rng(0).permutation(n_rows)[: round(0.03 * n_rows)])


def reduced_formulas(X):
    """Write compositions in one form, so that equal ones are equal strings.

    Parameters
    ----------
    X : array-like of shape (n_samples,)
        Compositions of any accepted kind.

    Returns
    -------
    ndarray of str objects of shape (n_samples,)
        Elements in order of atomic number with whole numbers of atoms without a common factor;
        rows whose amounts have no such ratio carry their fractions instead.
    """
    table, errors = parse_compositions(X)
    if errors:
        raise ValueError(f"row {errors[0].row}: {errors[0].formula!r}: {errors[0].cause}")
    counts, decided = integer_counts(table)
    common = np.gcd.reduceat(counts, table.offsets[:-1])[table.rows]
    amounts = np.where(
        decided[table.rows], counts // np.maximum(common, 1), np.round(table.fractions, 6)
    )
    order = np.lexsort((table.elements, table.rows))
    words = [
        f"{ELEMENT_SYMBOLS[z - 1]}{amount:g}"
        for z, amount in zip(table.elements[order], amounts[order], strict=True)
    ]
    joined = ["".join(words[a:b]) for a, b in pairwise(table.offsets)]
    return np.array(joined, dtype=object)


def read_formula_targets(energies, gaps):
    """Read formation energies and band gaps and join them by reduced formula.

    Parameters
    ----------
    energies : path-like
        CSV file with the columns ``formula`` and ``e_form_per_atom_eV``, one row per polymorph.
    gaps : path-like
        CSV file with the columns ``formula`` and ``gap_pbe_eV``. The polymorph of lowest energy
        is found by its unreduced formula; where several share that, their median counts.

    Returns
    -------
    FormulaTargets
        Sorted by formula.
    """
    # NaN is a formula, sodium and nitrogen.
    energies = pd.read_csv(energies, keep_default_na=False)
    gaps = pd.read_csv(gaps, keep_default_na=False)
    energies["key"] = reduced_formulas(energies["formula"])
    gaps["key"] = reduced_formulas(gaps["formula"])
    energies = energies.sort_values(["key", "e_form_per_atom_eV"], kind="stable")
    ground = energies.drop_duplicates("key").set_index("key")
    by_key = gaps.groupby("key")["gap_pbe_eV"]
    own = gaps[gaps["formula"].to_numpy() == ground["formula"].reindex(gaps["key"]).to_numpy()]
    gap = by_key.median()
    gap.update(own.groupby("key")["gap_pbe_eV"].median())
    frame = pd.DataFrame({"energy": ground["e_form_per_atom_eV"], "gap": gap})
    frame["largest"] = by_key.max()
    frame["metal"] = (frame["gap"] <= 0).where(frame["gap"].notna()).astype(float)
    frame = frame.sort_index()
    table, _ = parse_compositions(frame.index.tolist())
    return FormulaTargets(table, frame.to_numpy(dtype=np.float64))
