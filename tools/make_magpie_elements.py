"""Write magpie_elements.csv from the element tables that matminer ships.

Run ``python tools/make_magpie_elements.py``, with matminer installed.
"""

from pathlib import Path

import matminer

from trisk.structures.elements import ELEMENT_SYMBOLS

_FOLDER = Path(__file__).parents[1] / "trisk" / "data"
_PROPERTIES = (
    "Number MendeleevNumber AtomicWeight MeltingT Column Row CovalentRadius Electronegativity "
    "NsValence NpValence NdValence NfValence NValence NsUnfilled NpUnfilled NdUnfilled NfUnfilled "
    "NUnfilled GSvolume_pa GSbandgap GSmagmom SpaceGroupNumber"
)
PROPERTIES = _PROPERTIES.split()


def read_table(path):
    """Read one of Magpie's tables: line Z holds the value of atomic number Z, or a remark."""
    lines = path.read_text("utf-8").splitlines()[: len(ELEMENT_SYMBOLS)]
    values = []
    for line in lines:
        try:
            values.append(repr(float(line)))
        except ValueError:
            values.append("")
    return values + [""] * (len(ELEMENT_SYMBOLS) - len(values))


def main(folder=_FOLDER):
    """Write the table into a folder."""
    source = Path(matminer.__file__).parent / "utils/data_files/magpie_elementdata"
    columns = [read_table(source / f"{name}.table") for name in PROPERTIES]
    rows = [",".join(("element", *PROPERTIES))]
    rows += [",".join(row) for row in zip(ELEMENT_SYMBOLS, *columns, strict=True)]
    (folder / "magpie_elements.csv").write_text("\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()
