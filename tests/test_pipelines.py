import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.pipeline import Pipeline

from trisk import HurdleRegressor, composition_pipeline, load_band_gaps
from trisk.pipelines import RECIPES

QUICK = {"n_members": 1, "max_epochs": 2, "random_state": 0}


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_turns_formulas_into_predictions(recipe):
    X, y = load_band_gaps()
    X, y = X[:60], y[:60]
    pipeline = composition_pipeline(recipe, **QUICK)
    target = y > 2 if RECIPES[recipe].classification else y
    assert len(pipeline.fit(X, target).predict(X[:5])) == 5


def test_classification_can_be_asked_for():
    pipeline = composition_pipeline("general", classification=True)
    assert hasattr(pipeline["model"], "classes_") is False
    assert type(pipeline["model"]).__name__ == "HybridTRIADSClassifier"


def test_parameters_override_the_recipe():
    assert composition_pipeline("published", max_epochs=3)["model"].max_epochs == 3
    network = composition_pipeline("published", network__n_steps=3)["model"].network
    assert (network.n_steps, network.hidden_dim) == (3, 96)
    assert RECIPES["published"].settings["network"].n_steps == 20
    assert composition_pipeline("general", training__patience=5)["model"].training.patience == 5


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_has_a_model_to_stack_with(recipe):
    assert composition_pipeline(recipe)["model"].stack_with is None
    pipeline = composition_pipeline(recipe, stack_with="auto", **QUICK)
    expected = {"band_gap": HurdleRegressor, "steels": Pipeline}.get(recipe, str)
    assert isinstance(pipeline["model"].stack_with, expected)
    assert pipeline["model"].stack_with is not RECIPES[recipe].stack_with or expected is str


def test_a_model_of_ones_own_to_stack_with_goes_before_that_of_the_recipe():
    trees = ExtraTreesRegressor(n_estimators=2)
    pipeline = composition_pipeline("band_gap", stack_with=trees, **QUICK)
    assert pipeline["model"].stack_with is trees


def test_changing_a_pipeline_leaves_the_recipe_alone():
    composition_pipeline("steels").set_params(features__missing="nan")
    assert (
        composition_pipeline("steels")["features"].missing == RECIPES["steels"].featurizer.missing
    )
    assert composition_pipeline("steels")["features"].missing != "nan"


def test_unknown_recipe_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'alloys'.*'band_gap'.*'steels'"):
        composition_pipeline("alloys")


@pytest.mark.parametrize("recipe", ["steels", "metallicity", "exfoliation"])
def test_fine_tuned_encoder_stands_beside_the_network_from_scratch(recipe):
    X, y = load_band_gaps()
    pipeline = composition_pipeline(recipe, pretrained="fine-tuned", **QUICK)
    encoder = pipeline["model"].stack_with[-1].set_params(n_members=1, max_epochs=1)
    target = y > 2 if RECIPES[recipe].classification else y
    pipeline.fit(X[:30], target[:30])
    assert pipeline["model"].stacked_[-1].n_features_in_ == 118
    assert type(pipeline["model"].stacked_[-1]) is type(encoder)
    # Without weight for the encoder, the prediction is that of the recipe from scratch.
    pipeline["model"].stacked_weight_ = 0.0
    scratch = composition_pipeline(recipe, **QUICK).fit(X[:30], target[:30])
    answer = "predict_proba" if RECIPES[recipe].classification else "predict"
    new, old = (getattr(p, answer)(X[30:60]) for p in (pipeline, scratch))
    np.testing.assert_allclose(new, old, rtol=1e-9)


def test_fine_tuning_takes_no_second_model_to_stack_with():
    with pytest.raises(ValueError, match=r"leave stack_with='auto' out"):
        composition_pipeline("band_gap", pretrained="fine-tuned", stack_with="auto")
    with pytest.raises(ValueError, match=r"pretrained='default' is none of"):
        composition_pipeline("band_gap", pretrained="default")
