"""Cross-validation with a search inside every training fold, and a record of all of it."""

import inspect
import re
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib.parallel import get_active_backend
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import indexable
from tqdm.auto import tqdm

from trisk._compat import check_method_params, safe_indexing
from trisk.model_selection._folds import (
    batch_weight,
    fit_folds,
    last_step,
)
from trisk.model_selection._matbench import matbench_folds
from trisk.model_selection._materials import grouped_folds
from trisk.model_selection._search import OptunaSearch

#: Scores by kind of task; the first is what a search maximises. Errors are shown as such.
_SCORING = {
    False: {"mae": "neg_mean_absolute_error", "rmse": "neg_root_mean_squared_error", "r2": "r2"},
    True: {
        "roc_auc": "roc_auc_ovr",
        "balanced_accuracy": "balanced_accuracy",
        "log_loss": "neg_log_loss",
    },
}


@dataclass(frozen=True)
class CrossValidationResults:
    """What a cross-validation found.

    Parameters
    ----------
    folds : DataFrame of shape (n_folds, n_columns)
        By fold: ``n_train``, ``n_test``, ``fit_seconds``, ``predict_seconds``, the scores, and
        where there was a search ``search_score`` (its best mean score) and the parameters it chose.
    predictions : DataFrame of shape (n_test_rows, n_columns)
        By row of the input: ``fold``, ``y_true``, ``y_pred``; ``y_std`` where the estimator
        gives it, or the probability of each class in ``probability <class>``. Of several
        targets each has columns of its own, such as ``y_pred <target>``.
    estimators : list
        The fitted estimator of every fold.
    classification : bool
        Whether the targets are classes.
    quantity, unit : str or None, default=None
        What was predicted, and its unit.
    """

    folds: pd.DataFrame
    predictions: pd.DataFrame
    estimators: list = field(repr=False)
    classification: bool
    quantity: str | None = None
    unit: str | None = None

    def save(self, folder):
        """Write tables and plots.

        Parameters
        ----------
        folder : str or path-like
            Where to put ``folds.csv``, ``predictions.csv`` and the plots of `displays`.

        Returns
        -------
        files : list of pathlib.Path
            The files.
        """
        from matplotlib import pyplot as plt

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / "folds.csv", folder / "predictions.csv"]
        self.folds.to_csv(files[0])
        self.predictions.to_csv(files[1])
        for name, display in self.displays().items():
            path = folder / (re.sub(r"[^\w.-]+", "_", name) + ".png")
            display.figure_.savefig(path, dpi=150, bbox_inches="tight")
            plt.close(display.figure_)
            files.append(path)
        return files

    def displays(self):
        """Draw the plots that the predictions allow.

        Returns
        -------
        displays : dict of str to display
            As :func:`trisk.plotting.draw_predictions` gives them. Of several targets each has
            its own, such as ``"parity <target>"``.
        """
        from trisk.plotting import draw_predictions

        table, columns = self.predictions, map(str, self.predictions.columns)
        targets = [name.removeprefix("y_true") for name in columns if name.startswith("y_true")]
        drawn: dict[str, Any] = {}
        for target in targets:
            names = {f"{kind}{target}": kind for kind in ("y_true", "y_pred", "y_std")}
            displays = draw_predictions(
                table.rename(columns=names),
                classification=self.classification,
                quantity=target.strip() or self.quantity,
                unit=self.unit,
            )
            drawn |= {f"{name}{target}": display for name, display in displays.items()}
        return drawn


def nested_cross_validate(
    estimator,
    X,
    y,
    *,
    outer="matbench",
    inner=5,
    search=None,
    groups=None,
    params=None,
    scoring=None,
    n_jobs=None,
    verbose=1,
):
    """Cross-validate an estimator that is tuned anew inside every training fold.

    Test rows take no part in any choice: the search of a fold, its transformers and its scalers
    see the fold's training rows only.

    Parameters
    ----------
    estimator : estimator
        What to validate, alone or in a pipeline; may itself be a search of scikit-learn's.
    X, y : array-like of shape (n_samples, ...)
        Inputs and targets; ``y.attrs["quantity"]`` and ``y.attrs["unit"]`` label plots.
    outer : "matbench", int, splitter or iterable, default="matbench"
        Outer folds; ``"matbench"`` is :func:`matbench_folds`, a number means shuffled ones that
        keep rows of one group, or of one formula or equal values, together.
    inner : int, splitter or iterable, default=5
        Folds of the search within each outer training fold; a number means shuffled ones.
    search : dict or None, default=None
        Parameters of :class:`OptunaSearch`, such as ``{"n_trials": 30}``; None validates the
        estimator as it is. Each fold's study is named after it, so one storage serves all.
    groups : array-like of shape (n_samples,), default=None
        Group labels for the splitters.
    params : dict, default=None
        Parameters of ``fit``, such as ``sample_weight``, in searches and outer folds.
    scoring : str, callable, list or dict, default=None
        As in scikit-learn. None means MAE, RMSE and R² for numbers, and ROC-AUC of probabilities,
        balanced accuracy and log loss for classes; errors are then positive.
    n_jobs : int, default=None
        Processes for outer folds, by joblib's current backend (such as Dask's). Without them a
        trisk estimator that is not tuned trains all folds as one batched computation.
    verbose : int, default=1
        Whether to show a progress bar over the outer folds, where they run one by one.

    Returns
    -------
    results : CrossValidationResults
        Frames of ``folds`` and ``predictions``, the fitted ``estimators``, and ``save``.

    See Also
    --------
    cross_validate : Scores alone, as scikit-learn's function of that name gives them.
    optuna_search : The search without outer folds.

    Examples
    --------
    >>> import numpy as np
    >>> from optuna.distributions import FloatDistribution
    >>> from sklearn.linear_model import Ridge
    >>> from trisk.model_selection import nested_cross_validate
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> search = {"n_trials": 3, "space": {"alpha": FloatDistribution(0.01, 10)}}
    >>> results = nested_cross_validate(Ridge(), X, X[:, 0], search=search, verbose=0)
    >>> len(results.folds), len(results.predictions)
    (5, 50)
    """
    X, y, groups = indexable(X, y, groups)
    classification = is_classifier(estimator)
    if isinstance(outer, str):
        if outer != "matbench":
            raise ValueError(f"outer={outer!r} is not 'matbench'; or pass a number or a splitter.")
        outer = matbench_folds(classification=classification)
    folds, _ = grouped_folds(X, y, outer, groups=groups, classification=classification)
    if scoring is None and classification and np.ndim(y) == 2 and np.shape(y)[1] > 1:
        raise ValueError("Several targets of classes have no default scores: pass scoring=…")
    names = _SCORING[classification] if scoring is None else scoring
    if search is not None:
        several = names.values() if isinstance(names, dict) else names
        best = scoring if isinstance(scoring, str) or callable(scoring) else next(iter(several))
        search = {"cv": inner, "scoring": best, "verbose": 0, **search}
    job = _Fold(
        estimator, X, y, groups, params, search, check_scoring(estimator, names, raise_exc=False)
    )

    n_processes = joblib.effective_n_jobs(n_jobs)
    can_batch, weight = batch_weight(estimator, params)
    if can_batch and search is None and n_processes == 1:
        started = time.perf_counter()  # the estimator's own bar shows its epochs
        models, _ = fit_folds(estimator, X, y, cv=folds, sample_weight=weight)
        seconds = (time.perf_counter() - started) / len(folds)
        outcomes = [
            job.judge(model, train, test, seconds)
            for model, (train, test) in zip(models, folds, strict=True)
        ]
    else:
        backend, _ = get_active_backend()
        # Ray's cannot hand out folds one by one; the bar then moves once, at the end.
        handing_out = "generator" if backend.supports_return_generator else "list"
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as=handing_out)
        running = parallel(joblib.delayed(job)(k, *fold) for k, fold in enumerate(folds))
        bar = {"unit": "fold", "desc": "outer folds", "disable": not verbose}
        outcomes = list(tqdm(running, total=len(folds), **bar))
    errors = [] if scoring is not None else [n for n in names if names[n].startswith("neg_")]
    return _collect(outcomes, y, folds, classification, errors)


@dataclass(frozen=True, eq=False)  # hashed by identity, as Dask asks for
class _Fold:
    """Tunes, fits and judges an estimator on one outer fold."""

    estimator: Any
    X: Any
    y: Any
    groups: Any
    params: dict[str, Any] | None
    search: dict[str, Any] | None
    scorer: Any

    def __call__(self, number, train, test):
        started = time.perf_counter()
        model = clone(self.estimator)
        params = check_method_params(self.X, self.params or {}, train)
        if self.search is not None:
            study = f"{self.search.get('study_name') or 'trisk'}, fold {number}"
            model = OptunaSearch(model, **self.search | {"study_name": study})
            if self.groups is not None:
                params["groups"] = safe_indexing(self.groups, train)
        model.fit(safe_indexing(self.X, train), safe_indexing(self.y, train), **params)
        return self.judge(model, train, test, time.perf_counter() - started)

    def judge(self, model, train, test, fit_seconds):
        """The model that was chosen, its scores and its predictions on the fold's test rows."""
        started = time.perf_counter()
        rows = safe_indexing(self.X, test)
        predictions = _predict(model, rows)
        predict_seconds = time.perf_counter() - started
        scores = self.scorer(model, rows, safe_indexing(self.y, test))
        if isinstance(scores, dict):
            for name in [name for name, score in scores.items() if isinstance(score, str)]:
                warnings.warn(
                    f"{name} is NaN for a fold: {scores[name].splitlines()[-1]}", stacklevel=2
                )
                scores[name] = np.nan
        record = {
            "n_train": len(train),
            "n_test": len(test),
            "fit_seconds": fit_seconds,
            "predict_seconds": predict_seconds,
            **(scores if isinstance(scores, dict) else {"score": scores}),
        }
        if hasattr(model, "best_params_"):
            record |= {"search_score": model.best_score_, **model.best_params_}
        return getattr(model, "best_estimator_", model), record, predictions


def _predict(model, X):
    """Predictions and whatever tells how sure they are."""
    model = getattr(model, "best_estimator_", model)
    last = last_step(model)
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(X)
        if isinstance(probabilities, np.ndarray):  # a list, where there are several targets
            classes = np.asarray(model.classes_)
            columns = {f"probability {c}": probabilities[:, k] for k, c in enumerate(classes)}
            return {"y_pred": model.predict(X), **columns}
    elif "return_std" in inspect.signature(last.predict).parameters and getattr(
        last, "_has_spread", True
    ):
        with config_context(enable_metadata_routing=False):
            y_pred, y_std = model.predict(X, return_std=True)
        return {"y_pred": y_pred, "y_std": y_std}
    return {"y_pred": model.predict(X)}


def _collect(outcomes, y, folds, classification, errors):
    """Tables of what the folds found; scores that scikit-learn negates become errors."""
    index = y.index if hasattr(y, "iloc") else np.arange(len(y))
    targets = list(y.columns) if hasattr(y, "columns") else None
    records, parts, estimators = [], [], []
    for number, ((fitted, record, predictions), (_, test)) in enumerate(
        zip(outcomes, folds, strict=True)
    ):
        records.append(record | {name: -record[name] for name in errors})
        estimators.append(fitted)
        columns = {"fold": number}
        for name, values in {"y_true": np.asarray(y)[test], **predictions}.items():
            columns |= _by_target(name, np.asarray(values), targets)
        parts.append(pd.DataFrame(columns, index=index[test]))
    attributes = getattr(y, "attrs", {})
    return CrossValidationResults(
        folds=pd.DataFrame(records).rename_axis("fold"),
        predictions=pd.concat(parts).rename_axis("row"),
        estimators=estimators,
        classification=classification,
        quantity=attributes.get("quantity"),
        unit=attributes.get("unit"),
    )


def _by_target(name, values, targets):
    """Columns of values, one per target where there are several."""
    if values.ndim == 1 or values.shape[1] == 1:
        return {name: values.ravel()}
    names = range(values.shape[1]) if targets is None else targets
    return {f"{name} {target}": values[:, k] for k, target in enumerate(names)}
