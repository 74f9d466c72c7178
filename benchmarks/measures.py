"""How models are fitted, scored and timed."""

import os
import time

import numpy as np
from sklearn.metrics import (
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    roc_auc_score,
)


def cpu_seconds():
    """CPU time of this process and of children that have ended."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def fit_and_score(model, X, y, train, test):
    """Scores of held-out rows, and CPU seconds of fitting, featurizers included."""
    started = cpu_seconds()
    model.fit(X.iloc[train], y.iloc[train])
    seconds = cpu_seconds() - started
    if y.dtype != bool:
        return {"MAE": mae(y.iloc[test], model.predict(X.iloc[test])), "seconds": seconds}
    probability = np.asarray(model.predict_proba(X.iloc[test]))[:, 1]
    return {
        "ROC-AUC": float(roc_auc_score(y.iloc[test], probability)),
        "balanced accuracy": float(balanced_accuracy_score(y.iloc[test], probability >= 0.5)),
        "log loss": float(log_loss(y.iloc[test], probability)),
        "seconds": seconds,
    }


def mae(expected, predicted):
    """Mean absolute error as a float."""
    return float(mean_absolute_error(expected, np.asarray(predicted, dtype=float)))


def in_turns(functions, repeats=5, clock=cpu_seconds):
    """Median seconds of each function, all taking turns so that a busy moment hits all alike."""
    taken = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            started = clock()
            function()
            taken[name].append(clock() - started)
    return {name: float(np.median(values)) for name, values in taken.items()}
