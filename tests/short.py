"""Runs a script as users do, with short trainings: ``python tests/short.py SCRIPT …``."""

import functools
import runpy
import sys

from sklearn.ensemble._forest import BaseForest

from trisk.training.settings import AutomaticSchedule

_resolve, _fit = AutomaticSchedule.resolve, BaseForest.fit


@functools.wraps(_resolve)
def _few_epochs(schedule, estimator, n_rows):
    batch_size, max_epochs = _resolve(schedule, estimator, n_rows)
    return batch_size, min(max_epochs, 2)


@functools.wraps(_fit)
def _few_trees(forest, *arguments, **named):
    forest.n_estimators = min(forest.n_estimators, 30)
    return _fit(forest, *arguments, **named)


def shorten(replace=setattr):
    """No network trains for more than two epochs, and no forest has more than thirty trees."""
    replace(AutomaticSchedule, "resolve", _few_epochs)
    replace(BaseForest, "fit", _few_trees)


if __name__ == "__main__":
    shorten()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
