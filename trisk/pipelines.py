"""Whole pipelines, formulas or crystals in and predictions out.

What a preset fixes (columns and settings) was chosen by validation inside the training folds of
the Matbench task it is named after; see ``benchmarks/``.
"""

from dataclasses import dataclass, field
from typing import Any

from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from trisk.estimators import (
    CalibratedVotingRegressor,
    GraphTRIADSClassifier,
    GraphTRIADSRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
    TriForcesClassifier,
    TriForcesRegressor,
    TriForcesSensors,
)
from trisk.estimators.stacking import MedianTrees
from trisk.featurizers import (
    CompositionFeaturizer,
    CrystalGraphFeaturizer,
    LayerFeaturizer,
    SpringModelFeaturizer,
)
from trisk.featurizers._rows import with_process
from trisk.featurizers.composition.presets import PRESETS
from trisk.training.settings import TrainingOptions


@dataclass(frozen=True)
class Recipe:
    """Settings of the estimator on a preset's columns, and what ``stack_with="auto"`` means.

    ``bare`` ones are neither stacked nor calibrated nor given pre-trained columns.
    """

    classification: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    stack_with: Any = "auto"
    bare: bool = False


_FRACTIONS = ("fractions", "passthrough", make_column_selector("^ElementFraction (?!log10)"))

# The network and the training of the TRIADS paper (its model V13A).
_PUBLISHED = {
    "n_neighbors": None,
    "n_members": 5,
    "max_epochs": 300,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "network": HybridTRIADSOptions(
        n_attention_layers=2,
        attention_dim=64,
        shared_projection=True,
        embedding_dim=None,
        hidden_dim=96,
        feedforward_dim=150,
        n_steps=20,
        dropout=0.2,
        scaling="standard",
    ),
    "training": TrainingOptions(weight_decay=1e-4, beta2=0.999, averaging="swa"),
}

#: Preset of columns → settings; presets that are not here have the defaults.
RECIPES = {
    "steels": Recipe(
        settings={"n_members": 16},
        # The network gains from logarithms, trees split worse on them.
        stack_with=make_pipeline(ColumnTransformer([_FRACTIONS]), MedianTrees(n_estimators=200)),
    ),
    # Zero gaps and large ones: the median of the members keeps to one side.
    "band_gap": Recipe(
        settings={"n_neighbors": None, "aggregation": "median", "max_epochs": 60},
    ),
    "metallicity": Recipe(classification=True, settings={"max_epochs": 60}),
    "glass": Recipe(classification=True, settings={"n_neighbors": None, "max_epochs": 60}),
    **{
        name: Recipe(name.endswith(("glass", "metallicity")), _PUBLISHED, bare=True)
        for name in PRESETS
        if name.startswith("published_")
    },
}


def composition_pipeline(
    preset="auto",
    *,
    classification=None,
    target=None,
    process=(),
    formula=None,
    pretrained="auto",
    fast=False,
    **parameters,
):
    """Make a pipeline from formulas to predictions.

    Without arguments it does what wins on small tables: columns chosen by held-out rows, a forest
    stacked with the network, calibrated uncertainty. On one core that takes a minute for 300
    rows and four for 4,000.

    Parameters
    ----------
    preset : str, default="auto"
        Columns, as in :class:`~trisk.featurizers.CompositionFeaturizer`, and settings for a kind
        of task; ``"published_…"`` are columns, network and training of the TRIADS paper.
    classification : bool or None, default=None
        Whether to classify; None follows the preset, and is False for ``"auto"``.
    target : {"auto", "positive", "bounded"} or None, default=None
        ``"positive"`` learns the logarithm; ``"auto"`` does where targets are positive and span
        decades; ``"bounded"`` keeps predictions of a share between 0 and 1.
    process : list of str, default=()
        Columns beside the formula, such as temperatures or routes, of a DataFrame. Missing
        numbers become the median, with a column that says so; text becomes one column per
        value, missing ones included.
    formula : str or None, default=None
        Column of formulas in a DataFrame; None takes the only one that is not in `process`.
    pretrained : bool or "auto", default="auto"
        Whether to add the columns of :class:`~trisk.featurizers.PretrainedFeaturizer`; ``"auto"``
        adds them where held-out rows gain.
    fast : bool, default=False
        Whether to leave out stacking, calibration and ``pretrained="auto"``, and keep the bare
        network.
    **parameters
        Parameters of the estimator, over those of the preset; nested ones as for ``set_params``,
        such as ``network__n_steps``. ``stack_with="auto"`` is the second model of the preset:
        trees, for steels on plain element fractions only.

    Returns
    -------
    pipeline : Pipeline
        Steps ``"features"`` (:class:`~trisk.featurizers.CompositionFeaturizer`, or a
        ColumnTransformer around it with `process`) and ``"model"``
        (:class:`~trisk.estimators.HybridTRIADSRegressor` or the classifier).

    See Also
    --------
    structure_pipeline : The same for crystals.

    Examples
    --------
    >>> from trisk import composition_pipeline
    >>> composition_pipeline("steels", n_members=5)["model"].n_members
    5
    """
    if preset not in {*PRESETS, "auto"}:
        raise ValueError(f"There is no preset {preset!r}; there are {['auto', *sorted(PRESETS)]}.")
    if pretrained not in (False, True, "auto"):
        raise ValueError(f'pretrained={pretrained!r} is none of False, True and "auto".')
    recipe = RECIPES.get(preset, Recipe())
    if classification is None:
        classification = recipe.classification
    bare = fast or recipe.bare
    settings = {**recipe.settings, "stack_with": None if bare else "auto", "calibrate": not bare}
    settings |= _of_target(target, classification) | parameters
    if bare and pretrained == "auto":
        pretrained = False
    featurizer = CompositionFeaturizer(preset=preset, pretrained=pretrained)
    if isinstance(settings["stack_with"], str) and settings["stack_with"] == "auto":
        # A recipe is shared: whoever changes a pipeline must not change the recipe.
        settings["stack_with"] = clone(recipe.stack_with, safe=False)
    featurizer = with_process(featurizer, process, formula)
    estimator = HybridTRIADSClassifier if classification else HybridTRIADSRegressor
    model = clone(estimator()).set_params(**_copies(settings))
    return Pipeline([("features", featurizer), ("model", model)])


def _copies(settings):
    """Settings whose nested parameters are nobody else's."""
    nested = ("network", "training")
    return {k: clone(v) if k in nested and v is not None else v for k, v in settings.items()}


def _of_target(target, classification):
    """What a kind of target asks of an estimator."""
    links = {"auto": "auto", "positive": "log", "bounded": "logit"}
    if target is None or (classification and target == "auto"):
        return {}
    if target not in links:
        raise ValueError(f"target={target!r} is none of {', '.join(map(repr, links))} and None.")
    if classification:
        raise ValueError(f"target={target!r} is for numbers, and this is a classification.")
    return {"link": links[target]}


def structure_pipeline(
    *,
    classification=False,
    target="auto",
    process=(),
    structure=None,
    pretrained=True,
    calibrate=None,
    fast=False,
    **parameters,
):
    """Make a pipeline from crystal structures to predictions.

    The mean of a GraphTRIADS network and a TriForces network. Both see areas and faces of single
    layers, TriForces also frequencies of a spring model. Of the pre-trained ones, GraphTRIADS sees
    these too and predicted measurements of a universal potential, and TriForces starts from the
    network that predicts them. On one core 1,000 crystals of ten atoms take seven minutes.

    Parameters
    ----------
    classification : bool, default=False
        Whether to classify.
    target : {"auto", "positive", "bounded"} or None, default="auto"
        ``"positive"`` learns the logarithm; ``"auto"`` does where targets are positive and span
        decades; ``"bounded"`` keeps predictions of a share between 0 and 1. See `link` of
        :class:`~trisk.estimators.GraphTRIADSRegressor`.
    process : list of str, default=()
        Columns beside the structure, such as temperatures or routes, of a DataFrame; treated as
        in :func:`composition_pipeline`, and read by both networks.
    structure : str or None, default=None
        Column of structures in a DataFrame; None takes the only one that is not in `process`.
    pretrained : bool, default=True
        Whether to use the weights that come with trisk. They learned from crystals of other
        formulas than those of Matbench's phonons or, for molecules, from others than QM9's.
    calibrate : bool or None, default=None
        Whether inner folds scale standard deviations and intervals, or temper probabilities; None
        does unless `fast`. From 240 crystals on a fit then takes 1.7 times as long.
    fast : bool, default=False
        Whether to keep one GraphTRIADS network from scratch, a minute for 1,000 crystals.
    **parameters
        Parameters of both networks, such as ``random_state`` or ``max_epochs``. The `checkpoint`
        of TriForces ends in ``.triforces``.

    Returns
    -------
    model : CalibratedVotingRegressor, VotingClassifier or Pipeline
        Takes what :func:`trisk.structures.read_structures` does, or a DataFrame with a column of
        that; one pipeline if `fast`.

    Raises
    ------
    ValueError
        If `class_weight` names classes, which a mean of classifiers only knows by numbers.

    See Also
    --------
    composition_pipeline : The same for formulas.

    Examples
    --------
    >>> from trisk import structure_pipeline
    >>> structure_pipeline(fast=True, n_members=2)["model"].n_members
    2
    """
    if pretrained not in (False, True):
        raise ValueError(f"pretrained={pretrained!r} is neither True nor False.")
    link = _of_target(target, classification)
    graph_network = GraphTRIADSClassifier if classification else GraphTRIADSRegressor
    scratch = fast or not pretrained
    springs, layers = SpringModelFeaturizer(), LayerFeaturizer(others="zero")
    sensors = [layers] if scratch else [springs, TriForcesSensors(), layers]
    process = [process] if isinstance(process, str) else process
    columns = {"process": list(process), "column": structure}
    graphs = CrystalGraphFeaturizer(order=2, structure=sensors, **columns)
    if calibrate is None:
        calibrate = not fast
    if classification or fast:  # the mean of two regressors calibrates itself
        parameters = {"calibrate": calibrate, **parameters}
    settings = {"n_members": 1, "max_epochs": "auto", "network__order": 2, **link, **parameters}
    first = Pipeline([("graphs", graphs), ("model", graph_network().set_params(**settings))])
    if fast:
        return first
    streams = TriForcesClassifier if classification else TriForcesRegressor
    weights = "default" if pretrained else None
    if isinstance(parameters.get("class_weight"), dict):
        raise ValueError(
            "A mean of classifiers knows classes by numbers only, not as class_weight names them. "
            'Give class_weight="balanced", or set fast=True.'
        )
    if parameters.get("checkpoint") is not None:
        parameters = {**parameters, "checkpoint": f"{parameters['checkpoint']}.triforces"}
    settings = {"pretrained": weights, "max_epochs": 60, **link, **parameters}
    network = streams(context=True).set_params(**settings)
    cells = CrystalGraphFeaturizer(
        order=0, composition=None, structure=[springs, layers], **columns
    )
    second = Pipeline([("graphs", cells), ("model", network)])
    both = [("graph_triads", first), ("triforces", second)]
    if classification:
        return VotingClassifier(both, voting="soft")
    seed = parameters.get("random_state")
    return CalibratedVotingRegressor(both, calibrate=calibrate, random_state=seed)
