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
from trisk.featurizers import CompositionFeaturizer, ElementFractionFeaturizer
from trisk.training.settings import TrainingOptions


@dataclass(frozen=True)
class Recipe:
    """Columns, settings of the estimator, and what ``stack_with="auto"`` means."""

    featurizer: CompositionFeaturizer
    classification: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    stack_with: Any = "extra_trees"


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


def _on_fractions(model):
    """A model that sees plain element fractions only, of all columns."""
    fractions = make_column_selector(_FRACTIONS)
    return make_pipeline(ColumnTransformer([("fractions", "passthrough", fractions)]), model)


RECIPES = {
    "general": Recipe(CompositionFeaturizer(blocks=["magpie"])),
    # Statistics of elemental properties blur the traces that make a steel.
    "steels": Recipe(
        CompositionFeaturizer(blocks=[ElementFractionFeaturizer(scale="both")]),
        settings={"n_members": 16},
        # The network gains from logarithms, trees split worse on them.
        stack_with=_on_fractions(MedianTrees(n_estimators=200)),
    ),
    # Zero gaps and large ones: the median of the members keeps to one side.
    "band_gap": Recipe(
        _ALL_BLOCKS,
        settings={"n_neighbors": None, "aggregation": "median", "max_epochs": 60},
        stack_with=HurdleRegressor(),
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
        ``"fine-tuned"`` trains this encoder on for the task and stacks it with a network that
        is trained from scratch and sees none of this: where held-out rows say that the encoder
        does harm, its weight is zero, and the prediction that from scratch.
    **parameters
        Parameters of the estimator, over those of the recipe; nested ones as for ``set_params``,
        such as ``network__n_steps``. ``stack_with="auto"`` is the second model of the recipe:
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
        If there is no such recipe or parameter, ``pretrained`` is wanted of the published
        recipe, or a fine-tuned encoder would take the place of another ``stack_with``.

    Examples
    --------
    >>> from trisk import composition_pipeline
    >>> composition_pipeline("steels", n_members=5)["model"].n_members
    5
    """
    if recipe not in RECIPES:
        raise ValueError(f"There is no recipe {recipe!r}; there are {sorted(RECIPES)}.")
    if pretrained not in (False, True, "fine-tuned"):
        raise ValueError(f'pretrained={pretrained!r} is none of False, True and "fine-tuned".')
    chosen = RECIPES[recipe]
    if classification is None:
        classification = chosen.classification
    # A recipe is shared: whoever changes a pipeline must not change the recipe.
    featurizer = clone(chosen.featurizer)
    if pretrained and featurizer.blocks is None:
        raise ValueError(f"The recipe {recipe!r} has no pre-trained form; choose another one.")
    further = ["pretrained"] if pretrained is True else []
    if pretrained == "fine-tuned":
        if parameters.get("stack_with") is not None:
            raise ValueError(
                'pretrained="fine-tuned" stacks the encoder with the network; leave '
                f"stack_with={parameters['stack_with']!r} out, or use pretrained=True."
            )
        encoder = CompositionEncoderClassifier if classification else CompositionEncoderRegressor
        parameters["stack_with"] = _on_fractions(encoder())
        if not _holds_fractions(featurizer):
            further, parameters["stack_only"] = ["element_fraction"], _FRACTIONS
    elif parameters.get("stack_with") == "auto":
        parameters["stack_with"] = clone(chosen.stack_with, safe=False)
    if further:
        featurizer.set_params(blocks=[*featurizer.blocks, *further])
    estimator = HybridTRIADSClassifier if classification else HybridTRIADSRegressor
    model = clone(estimator(**chosen.settings)).set_params(**parameters)
    return Pipeline([("features", featurizer), ("model", model)])


def _holds_fractions(featurizer):
    """Whether plain element fractions are among the columns."""
    return any(
        block == "element_fraction" or isinstance(block, ElementFractionFeaturizer)
        for block in featurizer.blocks
    )
