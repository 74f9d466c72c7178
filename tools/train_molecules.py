"""Train the streams on what GFN2-xTB says of molecules, and write the weights that ship.

    python -m tools.train_molecules /tmp/molecules.npz --start default

The archives are those of ``tools.molecules``. Some 13 minutes of one core.
"""

from pathlib import Path

import numpy as np

from tools import molecules
from tools.train_sensors import beyond_elements, normal, parser_of, train

#: Of these, what a linear fit to fractions of elements leaves is learned too.
ADDITIVE = [molecules.COLUMNS[column] for column in (0, 8, 9)]


def main():
    """Train on the molecules of the archives."""
    parser = parser_of(__doc__.partition("\n")[0], "triforces_molecules.trisk", epochs=40)
    parser.add_argument("archives", type=Path, nargs="+", help="of tools.molecules")
    arguments = parser.parse_args()
    frames, rows = molecules.read(arguments.archives)
    rest = beyond_elements(frames, rows[:, list(map(molecules.COLUMNS.index, ADDITIVE))])
    names = [*molecules.COLUMNS, *(f"{name}, beyond elements" for name in ADDITIVE)]
    train(frames, normal(np.column_stack([rows, rest])), names, arguments)


if __name__ == "__main__":
    main()
