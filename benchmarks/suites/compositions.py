"""Properties of formulas: HybridTRIADS beside forests and other packages on the same columns."""

from benchmarks import data
from benchmarks.measures import fit_and_score
from benchmarks.peers import forest, peers
from benchmarks.runner import Model, Suite, Task

#: Task → the recipe of `trisk.composition_pipeline` that was chosen inside its training folds.
RECIPES = {
    "steels": "steels",
    "expt_gap": "band_gap",
    "expt_is_metal": "metallicity",
    "glass": "glass",
    "jdft2d": "exfoliation",
    "demo": "general",
    "formation energy": "general",
}
CLASSES = ("expt_is_metal", "glass")
SIZES = {"1,000 rows": 1000, "5,000 rows": 5000, "20,000 rows": 20_000, "80,000 rows": 80_000}
TASKS = {
    "steels": Task("MPa"),
    "expt_gap": Task("eV"),
    "expt_is_metal": Task(),
    "glass": Task(),
    "jdft2d": Task("meV/atom"),
    "demo": Task("eV", {"five folds": 5}),
    "formation energy": Task("eV/atom", dict.fromkeys(SIZES, 1)),
}


def load(task, split):
    """Formulas, target and folds."""
    if task == "formation energy":
        return data.formation_energies(SIZES[split])
    return data.demo() if task == "demo" else data.matbench(task, formulas=True)


def columns(task):
    """Featurizer of the recipe, as every peer gets it."""
    import trisk

    return trisk.composition_pipeline(RECIPES[task], fast=True)[:-1]


def pipeline(task, recipe, **parameters):
    """trisk's pipeline of the recipe, with nothing that the parameters do not name."""
    import trisk

    return trisk.composition_pipeline(recipe, fast=True, random_state=0, **parameters)


def default_pipeline(task):
    """What a user gets who names nothing but the kind of task."""
    import trisk

    return trisk.composition_pipeline(classification=task in CLASSES, random_state=0)


def trees(task, forest_name, blocks=None, **parameters):
    """A forest on blocks of columns, or on those of the recipe."""
    from sklearn.pipeline import make_pipeline

    from trisk.featurizers import CompositionFeaturizer

    features = CompositionFeaturizer(blocks=blocks) if blocks else columns(task)
    return make_pipeline(
        features, forest(forest_name, classification=task in CLASSES, **parameters)
    )


def encoder(task):
    """The composition encoder alone, trained on from its pre-trained weights."""
    from sklearn.pipeline import make_pipeline

    from trisk.estimators import CompositionEncoderClassifier, CompositionEncoderRegressor
    from trisk.featurizers import ElementFractionFeaturizer

    made = CompositionEncoderClassifier if task in CLASSES else CompositionEncoderRegressor
    return make_pipeline(ElementFractionFeaturizer(), made(random_state=0))


def of_recipe(**settings):
    """Parameters that name the recipe of the task."""
    return lambda task: {"recipe": RECIPES[task], **settings}


EXTRA = {"forest_name": "ExtraTrees"}
ALONE = {"stack_with": None}
MODELS = {
    # Its pre-trained columns have seen most of the formation energies.
    "HybridTRIADS, default pipeline": Model(
        default_pipeline, tasks=[task for task in TASKS if task != "formation energy"]
    ),
    "HybridTRIADS": Model(pipeline, of_recipe(**ALONE)),
    "HybridTRIADS + trees": Model(pipeline, of_recipe(stack_with="auto")),
    "HybridTRIADS, pre-trained": Model(pipeline, of_recipe(**ALONE, pretrained=True)),
    "HybridTRIADS, pre-trained + trees": Model(
        pipeline, of_recipe(stack_with="auto", pretrained=True)
    ),
    "fine-tuned encoder": Model(encoder),
    "ExtraTrees, element fractions": Model(trees, {**EXTRA, "blocks": ["element_fraction"]}),
    "ExtraTrees, Magpie": Model(trees, {**EXTRA, "blocks": ["magpie"]}),
    "RandomForest, Magpie": Model(trees, {"forest_name": "RandomForest", "blocks": ["magpie"]}),
    "ExtraTrees, preset's columns": Model(trees, EXTRA),
    "ExtraTrees, Magpie and pre-trained": Model(
        trees, {**EXTRA, "blocks": ["magpie", "pretrained"]}
    ),
    **peers(columns, CLASSES.__contains__),
}


def measure(task, split, fold, model):
    """Fit on the fold's training rows and score the others."""
    X, y, folds = load(task, split)
    return fit_and_score(MODELS[model].build(task), X, y, *folds[fold])


SUITE = Suite("compositions", TASKS, MODELS, measure)
