"""Cross-validation with a search inside every training fold, and a record of all of it."""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib.parallel import get_active_backend
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import _safe_indexing, indexable
from tqdm.auto import tqdm

from trisk.estimators.tables._networks import trains_together
from trisk.model_selection._batched import fit_folds
from trisk.model_selection._folds import matbench_folds, shuffled_folds
from trisk.model_selection._scoring import in_one_process, last_step
from trisk.model_selection._search import OptunaSearch

#: Scores by kind of task; the first is what a search maximises. Errors are shown as such.
_SCORING = {
    "regression": {
        "mae": "neg_mean_absolute_error",
        "rmse": "neg_root_mean_squared_error",
        "r2": "r2",
    },
    "classification": {
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
        where there was a search ``search_score`` (its best mean score) and the parameters it
        chose.
    predictions : DataFrame of shape (n_test_rows, n_columns)
        By row of the input: ``fold``, ``y_true``, ``y_pred``; ``y_std`` where the estimator
        gives it, or the probability of each class in ``probability <class>``.
    estimators : list
        The fitted estimator of every fold.
    classification : bool
        Whether the targets are classes.
    quantity : str or None, default=None
        What was predicted.
    unit : str or None, default=None
        Its unit.
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
            Where to put ``folds.csv``, ``predictions.csv`` and, as far as the predictions have
            what they show, ``parity.png`` and ``calibration.png``.

        Returns
        -------
        files : list of pathlib.Path
            The files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / "folds.csv", folder / "predictions.csv"]
        self.folds.to_csv(files[0])
        self.predictions.to_csv(files[1])
        for name, display in self.displays().items():
            path = folder / f"{name}.png"
            display.figure_.savefig(path, dpi=150, bbox_inches="tight")
            _close(display.figure_)
            files.append(path)
        return files

    def displays(self):
        """Draw the plots that the predictions allow.

        Returns
        -------
        displays : dict of str to display
            ``"parity"`` for numbers; ``"calibration"`` where there are spreads, or the
            probabilities of two classes.
        """
        from trisk.plotting import draw_predictions

        return draw_predictions(
            self.predictions,
            classification=self.classification,
            quantity=self.quantity,
            unit=self.unit,
        )


def _close(figure):
    from matplotlib import pyplot as plt

    plt.close(figure)


def nested_cross_validate(
    estimator,
    X,
    y,
    *,
    outer="matbench",
    inner=5,
    search=None,
    groups=None,
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
        What to validate, alone or in a pipeline; may itself be a search, such as
        :class:`sklearn.model_selection.GridSearchCV`.
    X : array-like of shape (n_samples, ...)
        Inputs.
    y : array-like of shape (n_samples,)
        Targets; ``y.attrs["quantity"]`` and ``y.attrs["unit"]`` label plots.
    outer : "matbench", int, splitter or iterable, default="matbench"
        Outer folds; ``"matbench"`` is :func:`matbench_folds`, a number means shuffled ones.
    inner : int, splitter or iterable, default=5
        Folds of the search within each outer training fold; a number means shuffled ones.
    search : dict or None, default=None
        Parameters of :class:`OptunaSearch`, such as ``{"n_trials": 30}``; None validates the
        estimator as it is. Each fold's study is named after it, so one storage serves all.
    groups : array-like of shape (n_samples,), default=None
        Group labels for the splitters.
    scoring : str, callable, list or dict, default=None
        As in :func:`sklearn.model_selection.cross_validate`. None means mean absolute error,
        root mean squared error and R² for numbers, and the area under the ROC curve of
        probabilities, balanced accuracy and log loss for classes; errors are then positive.
    n_jobs : int, default=None
        Processes for outer folds, by joblib's current backend (such as Dask's). Without them a
        trisk estimator that is not tuned trains all folds as one batched computation.
    verbose : int, default=1
        Whether to show a progress bar over the outer folds, where they run one by one.

    Returns
    -------
    results : CrossValidationResults
        Frames of ``folds`` and ``predictions``, the fitted ``estimators``, and ``save``.

    Raises
    ------
    ValueError
        If ``outer`` is an unknown name.

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
    folds = _outer_folds(outer, X, y, groups, classification)
    kind = "classification" if classification else "regression"
    names = _SCORING[kind] if scoring is None else scoring
    scorer = check_scoring(estimator, names)
    first = next(iter(names.values())) if scoring is None else scoring
    job = _Fold(estimator, X, y, groups, inner, search, scorer, first)

    n_processes = joblib.effective_n_jobs(n_jobs)
    batched = trains_together(last_step(estimator)) and search is None
    if batched and n_processes == 1:
        outcomes = _fit_batched(job, folds)  # the estimator's own bar shows its epochs
    else:
        backend, _ = get_active_backend()
        # Ray's cannot hand out folds one by one; the bar then moves once, at the end.
        handing_out = "generator" if backend.supports_return_generator else "list"
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as=handing_out)
        call = joblib.delayed(job if n_processes == 1 else partial(in_one_process, job))
        running = parallel(call(k, *fold) for k, fold in enumerate(folds))
        bar = {"unit": "fold", "desc": "outer folds", "disable": not verbose}
        outcomes = list(tqdm(running, total=len(folds), **bar))
    return _collect(outcomes, y, classification, errors_positive=scoring is None)


def _outer_folds(outer, X, y, groups, classification):
    if isinstance(outer, str):
        if outer != "matbench":
            raise ValueError(f"outer={outer!r} is not 'matbench'; or pass a number or a splitter.")
        outer = matbench_folds(classification=classification)
    return shuffled_folds(outer, X, y, groups, classification=classification)


@dataclass(frozen=True, eq=False)  # hashed by identity, as Dask asks for
class _Fold:
    """Tunes, fits and judges an estimator on one outer fold."""

    estimator: Any
    X: Any
    y: Any
    groups: Any
    inner: Any
    search: dict[str, Any] | None
    scorer: Callable
    inner_scoring: Any

    def __call__(self, number, train, test):
        started = time.perf_counter()
        model = self._model(number)
        rows, target = _safe_indexing(self.X, train), _safe_indexing(self.y, train)
        if isinstance(model, OptunaSearch):
            groups = None if self.groups is None else _safe_indexing(self.groups, train)
            model.fit(rows, target, groups=groups)
        else:
            model.fit(rows, target)
        return self.judge(number, model, train, test, time.perf_counter() - started)

    def _model(self, number):
        if self.search is None:
            return clone(self.estimator)
        settings = {"cv": self.inner, "scoring": self.inner_scoring, "verbose": 0, **self.search}
        name = settings.pop("study_name", None) or "trisk"
        return OptunaSearch(clone(self.estimator), study_name=f"{name}, fold {number}", **settings)

    def judge(self, number, model, train, test, fit_seconds):
        """Scores and predictions of a fitted model on the fold's test rows."""
        started = time.perf_counter()
        rows = _safe_indexing(self.X, test)
        predictions = _predict(model, rows)
        predict_seconds = time.perf_counter() - started
        scores = self.scorer(model, rows, _safe_indexing(self.y, test))
        record = {
            "n_train": len(train),
            "n_test": len(test),
            "fit_seconds": fit_seconds,
            "predict_seconds": predict_seconds,
            **(scores if isinstance(scores, dict) else {"score": scores}),
        }
        if hasattr(model, "best_params_"):
            record |= {"search_score": model.best_score_, **model.best_params_}
        fitted = getattr(model, "best_estimator_", model)
        return number, fitted, record, test, predictions


def _fit_batched(job, folds):
    started = time.perf_counter()
    fitted, _ = fit_folds(job.estimator, job.X, job.y, cv=folds)
    seconds = (time.perf_counter() - started) / len(folds)
    return [
        job.judge(number, model, *fold, seconds)
        for number, (model, fold) in enumerate(zip(fitted, folds, strict=True))
    ]


def _predict(model, X):
    """Predictions and whatever tells how sure they are, as columns."""
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(X)
        classes = np.asarray(model.classes_)
        columns = {f"probability {c}": probabilities[:, k] for k, c in enumerate(classes)}
        return {"y_pred": classes[probabilities.argmax(axis=1)], **columns}
    last = last_step(getattr(model, "best_estimator_", model))
    if "return_std" in inspect.signature(last.predict).parameters:
        y_pred, y_std = model.predict(X, return_std=True)
        return {"y_pred": y_pred, "y_std": y_std}
    return {"y_pred": model.predict(X)}


def _errors(classification):
    """Scores of the default ones that scikit-learn negates."""
    names = _SCORING["classification" if classification else "regression"]
    return [name for name, scoring in names.items() if scoring.startswith("neg_")]


def _collect(outcomes, y, classification, *, errors_positive):
    records, parts, estimators = {}, [], []
    errors = _errors(classification) if errors_positive else []
    index = y.index if hasattr(y, "index") else np.arange(len(y))
    for number, fitted, record, test, predictions in outcomes:
        records[number] = record | {name: -record[name] for name in errors}
        estimators.append(fitted)
        columns = {"fold": number, "y_true": np.asarray(y)[test], **predictions}
        parts.append(pd.DataFrame(columns, index=index[test]))
    attributes = getattr(y, "attrs", {})
    return CrossValidationResults(
        folds=pd.DataFrame.from_dict(records, orient="index").rename_axis("fold"),
        predictions=pd.concat(parts).rename_axis("row"),
        estimators=estimators,
        classification=classification,
        quantity=attributes.get("quantity"),
        unit=attributes.get("unit"),
    )
