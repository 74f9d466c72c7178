"""Runs a script as users do, with trainings of two epochs: ``python tests/short.py SCRIPT …``."""

import runpy
import sys

from trisk.training.settings import AutomaticSchedule

_resolve = AutomaticSchedule.resolve


def shortened(schedule, estimator, n_rows):
    """Batch size, and at most two epochs."""
    batch_size, max_epochs = _resolve(schedule, estimator, n_rows)
    return batch_size, min(max_epochs, 2)


if __name__ == "__main__":
    AutomaticSchedule.resolve = shortened
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
