"""Pipelines of formulas and of crystals: presets, defaults, process columns, targets."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.pipeline import Pipeline

import trisk
from trisk import composition_pipeline, load_band_gaps, structure_pipeline
from trisk.featurizers.composition.presets import PRESETS
from trisk.pipelines import RECIPES
from trisk.testing import make_structures


def classifies(preset):
    return type(composition_pipeline(preset)["model"]).__name__ == "HybridTRIADSClassifier"


QUICK = {"n_members": 1, "max_epochs": 2, "random_state": 0}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_turns_formulas_into_predictions(preset):
    X, y = load_band_gaps()
    X, y = X[:60], y[:60]
    pipeline = composition_pipeline(preset, fast=True, **QUICK)
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


def test_without_arguments__columns_are_chosen_trees_are_stacked_and_spreads_calibrated():
    X, y = load_band_gaps()
    pipeline = composition_pipeline(**{**QUICK, "n_members": 2}).fit(X[:80], y[:80])
    assert pipeline["features"].preset_ in PRESETS
    assert isinstance(pipeline["features"].pretrained_, bool)
    assert pipeline["model"].stacked_ is not None
    low, high = pipeline["model"].predict_interval(pipeline["features"].transform(X[:5]))
    assert (low < high).all()
    labels = np.where(y[:80] > 1, "wide", "narrow")
    classifier = composition_pipeline(classification=True, **QUICK).fit(X[:80], labels)
    assert classifier["model"].temperature_ != 1
    assert set(classifier.predict(X[:5])) <= {"wide", "narrow"}


@pytest.mark.parametrize("preset", [*sorted(PRESETS), "auto"])
def test_fast__leaves_the_bare_network(preset):
    pipeline = composition_pipeline(preset, fast=True)
    assert (pipeline["model"].stack_with, pipeline["model"].calibrate) == (None, False)
    assert pipeline["features"].pretrained is False
    assert composition_pipeline(preset, fast=True, pretrained=True)["features"].pretrained is True


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_has_a_model_to_stack_with(preset):
    bare = preset.startswith("published_")
    assert (composition_pipeline(preset)["model"].stack_with is None) == bare
    pipeline = composition_pipeline(preset, stack_with="auto", **QUICK)
    expected = Pipeline if preset == "steels" else str
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


def test_pretrained_is_checked():
    with pytest.raises(ValueError, match=r"pretrained='default' is none of"):
        composition_pipeline("band_gap", pretrained="default")


def make_alloys(n_rows=80):
    rng = np.random.default_rng(0)
    carbon = rng.uniform(0.001, 0.02, n_rows)
    table = pd.DataFrame(
        {
            "alloy": [f"Fe{0.9 - c:.4f}Ni0.1C{c:.4f}" for c in carbon],
            "T (K)": rng.uniform(300, 900, n_rows),
            "route": rng.choice(["cast", "forged"], n_rows),
        }
    )
    hardness = 100 + 0.2 * table["T (K)"] + 50 * (table["route"] == "forged")
    table.loc[::9, "T (K)"] = np.nan
    table.loc[4, "route"] = None
    return table, hardness


@pytest.mark.parametrize("formula", [None, "alloy"])
def test_process__columns_stand_beside_those_of_the_formula(formula, tmp_path):
    X, y = make_alloys()
    process = ["T (K)", "route"]
    pipeline = composition_pipeline("steels", process=process, formula=formula, fast=True, **QUICK)
    if formula:
        X = X.assign(note="not a formula")
    pipeline.fit(X[:60], y[:60])
    names = pipeline["features"].get_feature_names_out().tolist()
    assert names[0] == "ElementFraction H"
    assert names[236:] == [
        *("T (K)", "missingindicator_T (K)"),
        *("route_cast", "route_forged", "route_None"),
    ]
    new = X[60:].assign(route="rolled")
    assert np.isfinite(pipeline.predict(new)).all()
    trisk.save(pipeline, tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(loaded.predict(new), pipeline.predict(new))
    with pytest.raises(ValueError, match="route"):
        pipeline.predict(X.drop(columns="route"))


def test_process__columns_teach_the_network():
    X, y = make_alloys()
    settings = {**QUICK, "max_epochs": 60, "n_members": 2}
    pipeline = composition_pipeline("steels", process=["T (K)", "route"], fast=True, **settings)
    seen = X["T (K)"][60:].notna()
    predicted = pipeline.fit(X[:60], y[:60]).predict(X[60:])[seen]
    assert np.corrcoef(predicted, y[60:][seen])[0, 1] > 0.8


def test_bounded_target__is_a_logit_for_both_kinds_of_input():
    assert composition_pipeline(target="bounded")["model"].link == "logit"
    both = structure_pipeline(target="bounded").estimators
    assert {steps["model"].link for _, steps in both} == {"logit"}


def test_positive_target__is_learned_as_its_logarithm():
    X, y = load_band_gaps()
    X, y = X[y > 0][:60], np.exp(3 * y[y > 0][:60])
    pipeline = composition_pipeline("general", target="positive", **{**QUICK, "n_members": 2})
    pipeline.fit(X, y)
    assert pipeline["model"].target_scaler_.link == "log"
    center, std = pipeline.predict(X, return_std=True)
    assert center.min() > 0
    assert std.min() > 0
    with pytest.raises(ValueError, match=r"link='log' needs positive targets, .* has -1"):
        clone(pipeline).set_params(model__stack_with=None).fit(X, np.where(y > 50, y, -1))
    for wrong in ({"target": "negative"}, {"target": "positive", "classification": True}):
        for make in (composition_pipeline, structure_pipeline):
            with pytest.raises(ValueError, match="target="):
                make(**wrong)


@pytest.mark.parametrize("classification", [False, True])
@pytest.mark.parametrize("pretrained", [False, True])
def test_structures__both_networks_and_their_mean(classification, pretrained, tmp_path):
    structures, frequency, kind = make_structures(12)
    target = None if classification else "positive"
    model = structure_pipeline(
        classification=classification, target=target, pretrained=pretrained,
        max_epochs=1, random_state=0, calibrate=False,
    )  # fmt: skip
    model.fit(structures, kind if classification else frequency)
    context = model.estimators_[0]["model"].columns_["context"]
    assert any(name.startswith("Sensor ") for name in context) == pretrained
    answer = "predict_proba" if classification else "predict"
    predicted = getattr(model, answer)(structures)
    assert len(predicted) == 12
    assert predicted.min() > 0
    trisk.save(model, tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_allclose(getattr(loaded, answer)(structures), predicted, rtol=1e-12)


def test_structures__networks_have_checkpoints_of_their_own_and_name_no_classes(tmp_path):
    model = structure_pipeline(checkpoint=tmp_path / "run", target="positive")
    paths = [str(pipeline["model"].checkpoint) for _, pipeline in model.estimators]
    assert paths == [str(tmp_path / "run"), str(tmp_path / "run.triforces")]
    with pytest.raises(ValueError, match='class_weight="balanced"'):
        structure_pipeline(classification=True, class_weight={"metal": 2.0})


def test_structures__fast__is_one_network():
    structures, frequency, _ = make_structures(12)
    model = structure_pipeline(fast=True, max_epochs=1, random_state=0)
    assert model.fit(structures, frequency)["model"].architecture_["order"] == 2
    assert model.predict(structures).shape == (12,)


def make_annealed(n_rows=60):
    """Crystals whose frequency falls with the temperature and depends on the route."""
    structures, frequency, _ = make_structures(n_rows)
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "T (K)": rng.uniform(300, 1200, n_rows),
            "crystal": structures,
            "route": rng.choice(["cast", "annealed"], n_rows),
        }
    )
    y = frequency * (1.2 - (table["T (K)"] - 300) / 1200) - 100 * (table["route"] == "cast")
    table.loc[::9, "T (K)"] = np.nan
    return table, y


PROCESS = ["T (K)", "route"]


@pytest.mark.parametrize("fast", [True, False])
def test_structures__process_columns_go_through_files_and_new_rows(fast, tmp_path):
    X, y = make_annealed(16)
    X = X.assign(note="of no use")
    settings = {"process": PROCESS, "structure": "crystal", "calibrate": False}
    model = structure_pipeline(**settings, fast=fast, max_epochs=1)
    model = clone(model).fit(X[:12], y[:12])
    graph = model if fast else model.estimators_[0]
    names = graph["model"].columns_["process"]
    assert names == ("T (K)", "missingindicator_T (K)", "route_annealed", "route_cast")
    assert graph["model"].columns_["context"][-4:] == names
    new = X[12:].assign(route="rolled", **{"T (K)": np.nan})
    predicted = model.predict(new)
    assert np.isfinite(predicted).all()
    assert (predicted != model.predict(X[12:])).all()
    np.testing.assert_allclose(model.predict(new[["route", "crystal", "T (K)"]]), predicted)
    trisk.save(model, tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_allclose(loaded.predict(new), predicted, rtol=1e-12)
    with pytest.raises(ValueError, match="route"):
        model.predict(X.drop(columns="route"))
    changed = clone(graph).set_params(graphs__process=["T (K)"])
    assert changed.fit(X[:12], y[:12])["model"].columns_["process"] == names[:2]


def test_structures__process_columns_teach_the_network():
    X, y = make_annealed()
    seen = X["T (K)"][45:].notna()
    errors = {}
    for process in (PROCESS, []):
        model = structure_pipeline(
            process=process, structure="crystal", fast=True,
            max_epochs=40, random_state=0, unknown_elements="ignore",
        )  # fmt: skip
        predicted = model.fit(X[:45], y[:45]).predict(X[45:])
        errors[len(process)] = np.abs(predicted - y[45:])[seen].mean()
    assert errors[2] < 0.6 * errors[0]


def test_classes_for_a_regression__are_told_what_to_do():
    formulas, crystals = ["Fe", "Al", "Cu", "Ni"] * 6, make_structures(24)[0]
    for y in (["metal", "oxide"] * 12, np.array([True, False] * 12)):
        for pipeline, X in (
            (composition_pipeline("general", fast=True), formulas),
            (structure_pipeline(fast=True), crystals),
            (structure_pipeline(), crystals),
        ):
            with pytest.raises(ValueError, match=f"holds '{y[0]}', .* classification=True"):
                pipeline.fit(X, y)
    with pytest.raises(ValueError, match="neither True nor False"):
        structure_pipeline(pretrained="default")
