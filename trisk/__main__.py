"""``python -m trisk`` is the command ``trisk``."""

import sys

from trisk.cli import main

if __name__ == "__main__":
    sys.exit(main())
