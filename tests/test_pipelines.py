import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.pipeline import Pipeline

from trisk import HurdleRegressor, composition_pipeline, load_band_gaps
from trisk.featurizers.composition.presets import PRESETS
from trisk.pipelines import RECIPES


def classifies(preset):
    return type(composition_pipeline(preset)["model"]).__name__ == "HybridTRIADSClassifier"


QUICK = {"n_members": 1, "max_epochs": 2, "random_state": 0}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_turns_formulas_into_predictions(preset):
    X, y = load_band_gaps()
    X, y = X[:60], y[:60]
    pipeline = composition_pipeline(preset, **QUICK)
    target = y > 2 if classifies(preset) else y
    assert len(pipeline.fit(X, target).predict(X[:5])) == 5


def test_classification_can_be_asked_for():
    pipeline = composition_pipeline("general", classification=True)
    assert hasattr(pipeline["model"], "classes_") is False
    assert type(pipeline["model"]).__name__ == "HybridTRIADSClassifier"


def test_parameters_override_the_recipe():
    assert composition_pipeline("published_steels", max_epochs=3)["model"].max_epochs == 3
    network = composition_pipeline("published_steels", network__n_steps=3)["model"].network
    assert (network.n_steps, network.hidden_dim) == (3, 96)
    assert RECIPES["published_steels"].settings["network"].n_steps == 20
    assert composition_pipeline("general", training__patience=5)["model"].training.patience == 5


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_a_model_to_stack_with(preset):
    assert composition_pipeline(preset)["model"].stack_with is None
    pipeline = composition_pipeline(preset, stack_with="auto", **QUICK)
    expected = {"band_gap": HurdleRegressor, "steels": Pipeline}.get(preset, str)
    assert isinstance(pipeline["model"].stack_with, expected)
    if preset in RECIPES:
        shared = RECIPES[preset].stack_with
        assert pipeline["model"].stack_with is not shared or expected is str


def test_a_model_of_ones_own_to_stack_with_goes_before_that_of_the_recipe():
    trees = ExtraTreesRegressor(n_estimators=2)
    pipeline = composition_pipeline("band_gap", stack_with=trees, **QUICK)
    assert pipeline["model"].stack_with is trees


def test_changing_a_pipeline_leaves_the_preset_alone():
    pipeline = composition_pipeline("published_steels")
    pipeline.set_params(features__missing="nan", model__network__n_steps=1)
    other = composition_pipeline("published_steels")
    assert (other["features"].missing, other["model"].network.n_steps) == ("mean", 20)


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'alloys'.*'band_gap'.*'steels'"):
        composition_pipeline("alloys")


@pytest.mark.parametrize("preset", ["steels", "metallicity", "exfoliation"])
def test_fine_tuned_encoder_stands_beside_the_network_from_scratch(preset):
    X, y = load_band_gaps()
    pipeline = composition_pipeline(preset, pretrained="fine-tuned", **QUICK)
    encoder = pipeline["model"].stack_with[-1].set_params(n_members=1, max_epochs=1)
    target = y > 2 if classifies(preset) else y
    pipeline.fit(X[:30], target[:30])
    assert pipeline["model"].stacked_[-1].n_features_in_ == 118
    assert type(pipeline["model"].stacked_[-1]) is type(encoder)
    # Without weight for the encoder, the prediction is that of the recipe from scratch.
    pipeline["model"].stacked_weight_ = 0.0
    scratch = composition_pipeline(preset, **QUICK).fit(X[:30], target[:30])
    answer = "predict_proba" if classifies(preset) else "predict"
    new, old = (getattr(p, answer)(X[30:60]) for p in (pipeline, scratch))
    np.testing.assert_allclose(new, old, rtol=1e-9)


def test_fine_tuning_takes_no_second_model_to_stack_with():
    with pytest.raises(ValueError, match=r"leave stack_with='auto' out"):
        composition_pipeline("band_gap", pretrained="fine-tuned", stack_with="auto")
    with pytest.raises(ValueError, match=r"pretrained='default' is none of"):
        composition_pipeline("band_gap", pretrained="default")
