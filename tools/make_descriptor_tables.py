"""Write the tables of the further descriptors from what matminer and pymatgen ship.

Run ``python tools/make_descriptor_tables.py``, with both installed.
"""

import csv
import json
import warnings
from pathlib import Path

import matminer.utils.data
import numpy as np
import pandas as pd
from pymatgen.core import Element

_FOLDER = Path(__file__).parents[1] / "trisk" / "data"
_SOURCE = Path(matminer.utils.data.__file__).parent / "data_files"
_MOST_STATES = 9
_MIEDEMA_COLUMNS = (
    *("molar_volume", "electron_density", "electronegativity", "valence_electrons"),
    *("a_const", "R_const", "H_trans", "compressibility", "shear_modulus", "melting_point"),
    "structural_stability",
)


def number(value):
    """Shortest text that reads back as the same number; empty for none."""
    if value is None or np.isnan(value):
        return ""
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def write(path, header, rows):
    """Write one CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def descriptor_elements(elements):
    """Rows of scalar properties from pymatgen, Deml's, Magpie's, Kittel's and Miedema's tables."""
    ionization = matminer.utils.data.DemlData(impute_nan=False).all_props["ionization_en"]
    magpie = matminer.utils.data.MagpieData(impute_nan=False).all_elemental_props
    cohesive = json.loads((_SOURCE / "cohesive_energies.json").read_text("utf-8"))
    miedema = pd.read_csv(_SOURCE / "Miedema.csv", index_col="element")
    miedema = miedema[list(_MIEDEMA_COLUMNS)].reindex([e.symbol for e in elements])
    for element in elements:
        symbol = element.symbol
        values = (
            float(element.atomic_mass),
            element.X,
            ionization.get(symbol, [None])[0],
            magpie["ElectronAffinity"][symbol],
            magpie["MiracleRadius"][symbol],
            cohesive.get(symbol),
            *miedema.loc[symbol],
        )
        yield [symbol, *(number(value) for value in values)]


def mixing_enthalpies():
    """Rows of Takeuchi and Inoue's table, each pair once, the lighter element first."""
    table = pd.read_csv(_SOURCE / "MiedemaLiquidDeltaHf.tsv", sep=r"\s+")
    pairs = {
        tuple(sorted((Element(a).Z, Element(b).Z))): enthalpy
        for a, b, enthalpy in table.itertuples(index=False)
    }
    for (a, b), enthalpy in sorted(pairs.items()):
        yield [Element.from_Z(a).symbol, Element.from_Z(b).symbol, number(enthalpy)]


def main(folder=_FOLDER):
    """Write all four tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns of every element without data
        write_all(folder, list(Element))


def write_all(folder, elements):
    """Write all four tables for the given elements."""
    names = [
        *("atomic_mass", "pauling_electronegativity", "first_ionization_energy"),
        *("electron_affinity", "miracle_radius", "cohesive_energy"),
        *(f"miedema_{column.lower()}" for column in _MIEDEMA_COLUMNS),
    ]
    header = ["symbol", *names]
    write(folder / "descriptor_elements.csv", header, descriptor_elements(elements))
    states = ((e.symbol, sorted(e.common_oxidation_states)) for e in elements)
    write(
        folder / "oxidation_states.csv",
        ["symbol", *(f"state_{place}" for place in range(1, _MOST_STATES + 1))],
        ([symbol, *own, *[""] * (_MOST_STATES - len(own))] for symbol, own in states),
    )
    orbitals = (
        [element.symbol, orbital, repr(energy)]
        for element in elements
        for orbital, energy in sorted((element.atomic_orbitals or {}).items(), key=lambda o: o[1])
    )
    header = ["symbol", "orbital", "energy_hartree"]
    write(folder / "atomic_orbital_energies.csv", header, orbitals)
    pair_names = ["symbol_a", "symbol_b", "enthalpy_kj_per_mol"]
    write(folder / "mixing_enthalpies.csv", pair_names, mixing_enthalpies())


if __name__ == "__main__":
    main()
