"""trisk's pipeline beside a forest, boosted trees and a guess, on the same folds."""

from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from trisk.model_selection._materials import grouped_folds, rows_of
from trisk.model_selection._nested import CrossValidationResults, nested_cross_validate


@dataclass(frozen=True, repr=False)
class Comparison:
    """Scores of several models on the same folds.

    Parameters
    ----------
    table : DataFrame of shape (n_models, 5)
        By model: mean and standard deviation of the score over folds, mean and standard
        deviation of its difference to the first model fold by fold, and seconds to fit a fold.
    results : dict of str to CrossValidationResults
        Everything about each model: all scores of all folds, predictions, fitted estimators.
    metric : str
        What the score is.
    notes : list of str
        What was decided about folds and targets.
    """

    table: pd.DataFrame
    results: dict[str, CrossValidationResults]
    metric: str
    notes: list[str] = field(default_factory=list)

    def parity(self, models=None, *, ax=None):
        """Draw held-out predictions of some models, for numbers, against actual values.

        Parameters
        ----------
        models : list of str, default=None
            Names; None takes the first model and the best of the others.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.

        Returns
        -------
        display : ParityDisplay
            The display of the last of them; they share its axes.
        """
        from trisk.plotting import ParityDisplay

        if models is None:
            first, *others = self.table.index
            models = [first, *self.table.loc[others, "mean"].nsmallest(1).index]
        for name in models:
            found = self.results[name]
            if found.classification:
                raise ValueError("A parity plot is for numbers; results[name].displays() has more.")
            rows = found.predictions
            display = ParityDisplay.from_predictions(
                rows["y_true"], rows["y_pred"], folds=rows["fold"], name=name, ax=ax,
                quantity=found.quantity, unit=found.unit,
            )  # fmt: skip
            ax = display.ax_
        return display

    def _shown(self):
        """Title and table as text."""
        unit = next(iter(self.results.values())).unit
        title = f"{self.metric}{f' ({unit})' if unit else ''}, {self.notes[0]}"
        digits = {"mean": ".4g", "std": ".2g", "difference": "+.3g", "difference_std": ".2g"}
        shown = self.table.apply(
            lambda column: [format(v, digits.get(column.name, ".3g")) for v in column]
        )
        return title, shown

    def __repr__(self):
        title, shown = self._shown()
        return "\n".join([title, shown.to_string(), *self.notes[1:]])

    def _repr_html_(self):
        title, shown = self._shown()
        notes = "".join(f"<p>{note}</p>" for note in self.notes[1:])
        return f"<p><b>{title}</b></p>{shown.to_html()}{notes}"


def compare(
    X, y, *, models=None, cv=5, groups=None, classification=None, n_jobs=None, random_state=0
):
    """Cross-validate trisk's pipeline beside a forest, boosted trees and a guess.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Formulas or structures; a DataFrame of a column of these and columns of the process; or a
        table of numbers.
    y : array-like of shape (n_samples,)
        Targets; ``y.attrs["quantity"]`` and ``y.attrs["unit"]`` label the results.
    models : dict of str to estimator, default=None
        What to compare. None takes what suits X: ``"trisk"`` (:func:`trisk.composition_pipeline`,
        :func:`trisk.structure_pipeline` or a stacked HybridTRIADS), ``"ExtraTrees"`` and
        ``"boosted trees"`` (on Magpie statistics, with a spring model's frequencies for
        structures, or on the table), and ``"guess"`` (the median, or shares of classes).
    cv : int, splitter or iterable, default=5
        Folds, the same for all models. A number means shuffled folds that keep rows of equal
        formula (of equal values, in a table) together, as they would leak; a note says so.
    groups : array-like of shape (n_samples,), default=None
        Labels of rows to keep together instead.
    classification : bool or None, default=None
        Whether targets are classes; None says so of booleans, text, and zeros and ones.
    n_jobs : int, default=None
        Number of processes for the folds of a model; None is 1, -1 all processors. Two folds of a
        :func:`trisk.structure_pipeline` at a time take half as long on two processors.
    random_state : int, default=0
        Seed of the folds and the models.

    Returns
    -------
    comparison : Comparison
        With a ``table``, ``results`` in full, ``parity()``, and a representation in notebooks.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from trisk import compare
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> models = {"line": Ridge(), "guess": DummyRegressor()}
    >>> compare(X, X[:, 0], models=models).table["mean"].round(1).tolist()
    [0.0, 0.9]
    """
    notes = []
    if classification is None:
        classification = holds_classes(y)
        if classification and np.asarray(y).dtype.kind in "iuf":
            notes.append("Zeros and ones are classes; classification=False takes them as numbers.")
    folds, note = grouped_folds(
        X, y, cv, groups=groups, classification=classification, random_state=random_state
    )
    if models is None and np.ndim(y) == 2 and np.shape(y)[1] > 1:
        raise ValueError("Of several targets boosted trees learn one: pass models=…")
    if models is None:
        models = default_models(X, classification=classification, random_state=random_state)
    results = {}
    for name, model in models.items():
        results[name] = nested_cross_validate(model, X, y, outer=folds, n_jobs=n_jobs, verbose=0)
    metric = "roc_auc" if classification else "mae"
    first = next(iter(results.values())).folds[metric]
    rows = {}
    for name, found in results.items():
        score, difference = found.folds[metric], found.folds[metric] - first
        rows[name] = {
            "mean": score.mean(),
            "std": score.std(ddof=0),
            "difference": difference.mean(),
            "difference_std": difference.std(ddof=0),
            "seconds": found.folds["fit_seconds"].mean(),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    return Comparison(table, results, metric, [note, *notes])


def holds_classes(y):
    """Whether targets look like classes: booleans, text, or zeros and ones."""
    values = np.asarray(y)
    if values.dtype == object and values.ndim == 1:
        values = pd.Series(values).infer_objects().to_numpy()
    if values.dtype.kind not in "iuf":
        return True
    return set(np.unique(values).tolist()) == {0, 1}


def default_models(X, *, classification, random_state):
    """Models for rows of any kind, trisk's first."""
    from trisk import pipelines
    from trisk.estimators import HybridTRIADSClassifier, HybridTRIADSRegressor
    from trisk.featurizers import CrystalGraphFeaturizer, MagpieFeaturizer, SpringModelFeaturizer
    from trisk.featurizers._rows import with_process

    kind, column = rows_of(X)
    process = [] if column is None else [c for c in X.columns if c != column]
    about = {"classification": classification, "random_state": random_state}
    if kind == "formulas":
        main = pipelines.composition_pipeline(process=process, formula=column, **about)
        features = [with_process(MagpieFeaturizer(), process, column)]
    elif kind == "structures":
        about["calibrate"] = False  # it takes long, and scores need no spread
        main = pipelines.structure_pipeline(process=process, structure=column, **about)
        graphs = CrystalGraphFeaturizer(
            order=0,
            composition=["magpie"],
            structure=[SpringModelFeaturizer()],
            process=process,
            column=column,
        )
        features = [graphs, FunctionTransformer(attrgetter("context"))]
    else:
        network = HybridTRIADSClassifier if classification else HybridTRIADSRegressor
        main = network(stack_with="auto", calibrate=True, random_state=random_state)
        features = []
    forest = ExtraTreesClassifier if classification else ExtraTreesRegressor
    boosted = HistGradientBoostingClassifier if classification else HistGradientBoostingRegressor
    guess = DummyClassifier() if classification else DummyRegressor(strategy="median")
    return {
        "trisk": main,
        "ExtraTrees": make_pipeline(*features, forest(300, n_jobs=-1, random_state=random_state)),
        "boosted trees": make_pipeline(*features, boosted(random_state=random_state)),
        "guess": guess,
    }
