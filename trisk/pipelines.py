"""Whole recipes, formulas in and predictions out, one per kind of task.

What a recipe fixes (columns and settings) was chosen by validation inside the training folds of
the Matbench task it is named after; see ``benchmarks/``.
"""

from dataclasses import dataclass, field
from typing import Any

from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.pipeline import Pipeline, make_pipeline

from trisk.estimators import (
    CompositionEncoderClassifier,
    CompositionEncoderRegressor,
    HurdleRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSOptions,
    HybridTRIADSRegressor,
)
from trisk.estimators.stacking import MedianTrees
from trisk.featurizers import CompositionFeaturizer
from trisk.featurizers.composition.presets import PRESETS
from trisk.training.settings import TrainingOptions


@dataclass(frozen=True)
class Recipe:
    """Settings of the estimator on a preset's columns, and what ``stack_with="auto"`` means."""

    classification: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    stack_with: Any = "extra_trees"


#: Columns of plain element fractions.
_FRACTIONS = "^ElementFraction (?!log10)"


def _on_fractions(model):
    """A model that sees plain element fractions only, of all columns."""
    fractions = make_column_selector(_FRACTIONS)
    return make_pipeline(ColumnTransformer([("fractions", "passthrough", fractions)]), model)


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
        stack_with=_on_fractions(MedianTrees(n_estimators=200)),
    ),
    # Zero gaps and large ones: the median of the members keeps to one side.
    "band_gap": Recipe(
        settings={"n_neighbors": None, "aggregation": "median", "max_epochs": 60},
        stack_with=HurdleRegressor(),
    ),
    "metallicity": Recipe(classification=True, settings={"max_epochs": 60}),
    "glass": Recipe(classification=True, settings={"n_neighbors": None, "max_epochs": 60}),
    **{
        name: Recipe(name.endswith(("glass", "metallicity")), _PUBLISHED)
        for name in PRESETS
        if name.startswith("published_")
    },
}

#: Matbench task → the preset that was chosen in its training folds.
MATBENCH_PRESETS = {
    "steels": "steels",
    "expt_gap": "band_gap",
    "expt_is_metal": "metallicity",
    "glass": "glass",
    "jdft2d": "exfoliation",
}


def composition_pipeline(preset="general", *, classification=None, pretrained=False, **parameters):
    """Make a pipeline from formulas to predictions.

    Parameters
    ----------
    preset : str, default="general"
        Columns, as in :class:`~trisk.featurizers.CompositionFeaturizer`, and settings for a kind
        of task; ``"published_…"`` are columns, network and training of the TRIADS paper.
    classification : bool or None, default=None
        Whether to classify; None follows the preset.
    pretrained : bool or "fine-tuned", default=False
        Whether to add the columns of :class:`~trisk.featurizers.PretrainedFeaturizer`: formation
        energies and band gaps predicted by an encoder that was trained on them.
        ``"fine-tuned"`` trains this encoder on for the task and stacks it with a network that
        is trained from scratch and sees none of this: where held-out rows say that the encoder
        does harm, its weight is zero, and the prediction that from scratch.
    **parameters
        Parameters of the estimator, over those of the preset; nested ones as for ``set_params``,
        such as ``network__n_steps``. ``stack_with="auto"`` is the second model of the preset:
        trees, for steels on plain element fractions only, or a
        :class:`~trisk.estimators.HurdleRegressor` of trees for band gaps.

    Returns
    -------
    pipeline : Pipeline
        Steps ``"features"`` (:class:`~trisk.featurizers.CompositionFeaturizer`) and ``"model"``
        (:class:`~trisk.estimators.HybridTRIADSRegressor` or the classifier).

    Raises
    ------
    ValueError
        If there is no such preset or parameter, or a fine-tuned encoder would take the place of
        another ``stack_with``.

    Examples
    --------
    >>> from trisk import composition_pipeline
    >>> composition_pipeline("steels", n_members=5)["model"].n_members
    5
    """
    if preset not in {*PRESETS, "auto"}:
        raise ValueError(f"There is no preset {preset!r}; there are {sorted(PRESETS)}.")
    if pretrained not in (False, True, "auto", "fine-tuned"):
        raise ValueError(
            f'pretrained={pretrained!r} is none of False, True, "auto" and "fine-tuned".'
        )
    recipe = RECIPES.get(preset, Recipe())
    if classification is None:
        classification = recipe.classification
    if pretrained != "fine-tuned":
        featurizer = CompositionFeaturizer(preset=preset, pretrained=pretrained)
    if pretrained == "fine-tuned":
        if parameters.get("stack_with") is not None:
            raise ValueError(
                'pretrained="fine-tuned" stacks the encoder with the network; leave '
                f"stack_with={parameters['stack_with']!r} out, or use pretrained=True."
            )
        encoder = CompositionEncoderClassifier if classification else CompositionEncoderRegressor
        parameters["stack_with"] = _on_fractions(encoder())
        featurizer = CompositionFeaturizer(preset=preset)
        if "ElementFraction Fe" not in clone(featurizer).fit(["Fe"]).get_feature_names_out():
            featurizer.set_params(blocks=[*PRESETS[preset], "element_fraction"])
            parameters["stack_only"] = _FRACTIONS
    elif parameters.get("stack_with") == "auto":
        # A recipe is shared: whoever changes a pipeline must not change the recipe.
        parameters["stack_with"] = clone(recipe.stack_with, safe=False)
    estimator = HybridTRIADSClassifier if classification else HybridTRIADSRegressor
    model = clone(estimator(**recipe.settings)).set_params(**parameters)
    return Pipeline([("features", featurizer), ("model", model)])
