"""Whole recipes, formulas in and predictions out, one per kind of task.

What a recipe fixes (columns and settings) was chosen by validation inside the training folds of
the Matbench task it is named after; see ``benchmarks/``.
"""

from dataclasses import dataclass, field
from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline

from trisk.estimators import (
    CompositionEncoderClassifier,
    CompositionEncoderRegressor,
    HurdleRegressor,
    HybridTRIADSClassifier,
    HybridTRIADSRegressor,
)
from trisk.estimators.stacking import MedianTrees
from trisk.featurizers import (
    ColumnSelector,
    CompositionFeaturizer,
    ElementFractionFeaturizer,
)


@dataclass(frozen=True)
class Recipe:
    """Columns and settings for one kind of task.

    Attributes
    ----------
    featurizer : CompositionFeaturizer
        Formulas to columns.
    classification : bool
        Whether the task is one.
    settings : dict
        Parameters of the estimator that differ from its defaults.
    companion : estimator or str
        What ``companion="auto"`` means.
    """

    featurizer: CompositionFeaturizer
    classification: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    companion: Any = "extra_trees"


#: Columns of plain element fractions.
_FRACTIONS = "^ElementFraction (?!log10)"

# Orbital energies and oxidation states tell metals from the rest; glasses gain a little too.
_ALL_BLOCKS = CompositionFeaturizer(
    blocks=[
        "element_fraction",
        "magpie",
        "stoichiometry",
        "valence_orbital",
        "band_center",
        "transition_metal_fraction",
        "atomic_orbitals",
        "ion_property",
    ]
)

RECIPES = {
    "general": Recipe(CompositionFeaturizer(blocks=["magpie"])),
    # Statistics of elemental properties blur the traces that make a steel.
    "steels": Recipe(
        CompositionFeaturizer(blocks=[ElementFractionFeaturizer(scale="both")]),
        settings={"n_members": 16},
        # The network gains from logarithms, trees split worse on them.
        companion=make_pipeline(ColumnSelector(_FRACTIONS), MedianTrees(n_estimators=200)),
    ),
    # Zero gaps and large ones: the median of the members keeps to one side.
    "band_gap": Recipe(
        _ALL_BLOCKS,
        settings={"n_neighbors": None, "aggregation": "median", "max_epochs": 60},
        companion=HurdleRegressor(),
    ),
    "metallicity": Recipe(_ALL_BLOCKS, classification=True, settings={"max_epochs": 60}),
    "glass": Recipe(
        _ALL_BLOCKS,
        classification=True,
        settings={"n_neighbors": None, "max_epochs": 60},
    ),
    "exfoliation": Recipe(CompositionFeaturizer(blocks=["magpie"])),
    # The network, columns and training of the TRIADS paper (its model V13A).
    "published": Recipe(
        CompositionFeaturizer(preset="steels"),
        settings={
            "n_attention_layers": 2,
            "attention_dim": 64,
            "shared_projection": True,
            "embedding_dim": None,
            "hidden_dim": 96,
            "feedforward_dim": 150,
            "n_steps": 20,
            "dropout": 0.2,
            "scaling": "standard",
            "n_neighbors": None,
            "n_members": 5,
            "max_epochs": 300,
            "batch_size": 32,
            "learning_rate": 1e-3,
            "weight_decay": 1e-4,
            "beta2": 0.999,
            "averaging": "swa",
        },
    ),
}

#: Matbench task → the recipe that was chosen in its training folds.
MATBENCH_RECIPES = {
    "steels": "steels",
    "expt_gap": "band_gap",
    "expt_is_metal": "metallicity",
    "glass": "glass",
    "jdft2d": "exfoliation",
}


def composition_pipeline(recipe="general", *, classification=None, pretrained=False, **parameters):
    """Make a pipeline from formulas to predictions.

    Parameters
    ----------
    recipe : {"general", "steels", "band_gap", "metallicity", "glass", "exfoliation", \
"published"}, default="general"
        Columns and settings for a kind of task; ``"published"`` is the network of the TRIADS
        paper, trained as there.
    classification : bool or None, default=None
        Whether to classify; None follows the recipe.
    pretrained : bool or "fine-tuned", default=False
        Whether to add the columns of :class:`~trisk.featurizers.PretrainedFeaturizer`: formation
        energies and band gaps predicted by an encoder that was trained on them.
        ``"fine-tuned"`` trains this encoder on for the task, as the companion of a network that
        is trained from scratch and sees none of this: where held-out rows say that the encoder
        does harm, its weight is zero, and the prediction that from scratch.
    **parameters
        Parameters of the estimator, over those of the recipe. ``companion="auto"`` is the
        companion of the recipe: trees, for steels on plain element fractions only, or a
        :class:`~trisk.estimators.HurdleRegressor` of trees for band gaps.

    Returns
    -------
    pipeline : Pipeline
        Steps ``"features"`` (:class:`~trisk.featurizers.CompositionFeaturizer`) and ``"model"``
        (:class:`~trisk.estimators.HybridTRIADSRegressor` or the classifier).

    Raises
    ------
    ValueError
        If there is no such recipe, ``pretrained`` is wanted of the published one, or a fine-tuned
        encoder would take the place of another companion.

    Examples
    --------
    >>> from trisk import composition_pipeline
    >>> composition_pipeline("steels", n_members=5)["model"].n_members
    5
    """
    if recipe not in RECIPES:
        raise ValueError(f"There is no recipe {recipe!r}; there are {sorted(RECIPES)}.")
    chosen = RECIPES[recipe]
    if classification is None:
        classification = chosen.classification
    estimator = HybridTRIADSClassifier if classification else HybridTRIADSRegressor
    if pretrained not in (False, True, "fine-tuned"):
        raise ValueError(f'pretrained={pretrained!r} is none of False, True and "fine-tuned".')
    # A recipe is shared: whoever changes a pipeline must not change the recipe.
    featurizer, further = clone(chosen.featurizer), []
    if pretrained and featurizer.blocks is None:
        raise ValueError(f"The recipe {recipe!r} has no pre-trained form; choose another one.")
    if pretrained == "fine-tuned":
        if parameters.get("companion") is not None:
            raise ValueError(
                'pretrained="fine-tuned" makes the encoder the companion of the network; leave '
                f"companion={parameters['companion']!r} out, or use pretrained=True."
            )
        parameters["companion"] = make_pipeline(
            ColumnSelector(_FRACTIONS),
            CompositionEncoderClassifier() if classification else CompositionEncoderRegressor(),
        )
        if not _holds_fractions(featurizer):
            further, parameters["companion_only"] = ["element_fraction"], _FRACTIONS
    elif pretrained:
        further = ["pretrained"]
    if parameters.get("companion") == "auto":
        parameters["companion"] = clone(chosen.companion, safe=False)
    if further:
        featurizer.set_params(blocks=[*featurizer.blocks, *further])
    model = estimator(**{**chosen.settings, **parameters})
    return Pipeline([("features", featurizer), ("model", model)])


def _holds_fractions(featurizer):
    """Whether plain element fractions are among the columns."""
    return any(
        block == "element_fraction" or isinstance(block, ElementFractionFeaturizer)
        for block in featurizer.blocks
    )
