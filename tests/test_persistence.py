"""Models on disk: what comes back, what is refused, and that nothing is ever executed."""

import inspect
import json
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load as from_bytes
from safetensors.numpy import save as to_bytes
from scipy import special
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EpochScoring

import trisk.estimators
import trisk.featurizers
from trisk.datasets import load_band_gaps
from trisk.estimators import HurdleRegressor, HybridTRIADSClassifier, HybridTRIADSRegressor
from trisk.featurizers import CompositionFeaturizer, MagpieFeaturizer, Mat2VecFeaturizer
from trisk.featurizers.composition._base import BaseCompositionFeaturizer
from trisk.persistence import ModelFileError, _files, load, save
from trisk.persistence._classes import CLASSES

_SMALL = {
    "n_members": 2,
    "max_epochs": 3,
    "hidden_dim": 8,
    "feedforward_dim": 12,
    "n_steps": 2,
    "batch_size": 64,
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def band_gaps():
    X, y = load_band_gaps()
    return X[:160], y[:160]


@pytest.fixture(scope="module")
def features(band_gaps):
    return MagpieFeaturizer().fit_transform(band_gaps[0])


@pytest.fixture(scope="module")
def regressor(features, band_gaps):
    return HybridTRIADSRegressor(**_SMALL).fit(features, band_gaps[1])


@pytest.fixture
def saved(regressor, tmp_path):
    path = tmp_path / "model.safetensors"
    save(regressor, path)
    return path


def _rewrite(path, change=None, *, model=None):
    """Alter a file's description and give it a checksum that agrees, as a forger would."""
    content = path.read_bytes()
    arrays = from_bytes(content)
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()["trisk"]
    if change is not None:
        description = json.loads(text)
        change(description)
        text = json.dumps(description)
    if model is not None:
        text = model
    metadata = {"trisk": text, "sha256": _files._checksum(text, arrays)}
    path.write_bytes(to_bytes(arrays, metadata))


def _checksum(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()["sha256"]


def _tree(node):
    """All dictionaries of a description."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from _tree(child)


# ------------------------------------------------------------------------------- round trips


def test_regressor_comes_back_whole(regressor, features, saved):
    loaded = load(saved)
    assert type(loaded) is HybridTRIADSRegressor
    assert loaded.get_params() == regressor.get_params()
    for expected, got in zip(
        regressor.predict(features, return_std=True),
        loaded.predict(features, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(
        list(loaded.staged_predict(features)), list(regressor.staged_predict(features))
    )
    assert list(loaded.feature_names_in_) == list(features.columns)
    assert loaded.n_features_in_ == features.shape[1]
    assert loaded.net_.history[:, "train_loss"] == regressor.net_.history[:, "train_loss"]


@pytest.mark.parametrize(
    "params",
    [
        {"n_attention_layers": 1, "attention_dim": 8, "confidence": True, "scaling": "standard"},
        {"n_attention_layers": 2, "attention_dim": 8, "shared_projection": True},
        {"embedding_dim": None, "averaging": "swa", "aggregation": "median"},
        {"validation_fraction": 0.2, "patience": 2, "max_grad_norm": None},
    ],
    ids=lambda p: "-".join(p),
)
def test_every_option_survives(features, band_gaps, tmp_path, params):
    model = HybridTRIADSRegressor(**{**_SMALL, **params}).fit(features, band_gaps[1])
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))
    assert loaded.get_params() == model.get_params()


@pytest.mark.parametrize("as_object", [True, False])
def test_classifier_with_string_labels_comes_back(features, band_gaps, tmp_path, as_object):
    labels = np.where(band_gaps[1] > 0, "insulator", "metal").astype(object if as_object else "U")
    model = HybridTRIADSClassifier(class_weight="balanced", **_SMALL).fit(features, labels)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(features), model.predict_proba(features))
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))
    assert loaded.classes_.dtype == model.classes_.dtype


@pytest.mark.parametrize("kind", [bool, int])
def test_classifier_with_other_labels_comes_back(features, band_gaps, tmp_path, kind):
    labels = (band_gaps[1] > 0).to_numpy().astype(kind)
    class_weight = {kind(0): 1.0, kind(1): np.float64(2.0)}
    model = HybridTRIADSClassifier(class_weight=class_weight, **_SMALL).fit(features, labels)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.class_weight == class_weight
    assert loaded.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))


def test_multi_output_regressor_comes_back(features, band_gaps, tmp_path):
    y = np.column_stack([band_gaps[1], band_gaps[1] ** 2])
    model = HybridTRIADSRegressor(**_SMALL).fit(features, y)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.predict(features).shape == y.shape
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))


_FEW = {"n_estimators": 3, "random_state": 0}
_HURDLE = HurdleRegressor(ExtraTreesClassifier(**_FEW), ExtraTreesRegressor(**_FEW))
_COMPANIONS = [
    (HybridTRIADSRegressor(companion=ExtraTreesRegressor(**_FEW), calibrate=True, **_SMALL), False),
    (HybridTRIADSRegressor(companion=_HURDLE, **_SMALL), False),
    (HybridTRIADSClassifier(companion=RandomForestClassifier(**_FEW), **_SMALL), True),
]


@pytest.mark.parametrize(("model", "classify"), _COMPANIONS, ids=["trees", "hurdle", "forest"])
def test_companion_comes_back(features, band_gaps, tmp_path, model, classify):
    y = band_gaps[1] > 3 if classify else np.where(band_gaps[1] < 1, 0, band_gaps[1])
    model = clone(model).fit(features, y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    method = "predict_proba" if classify else "predict"
    np.testing.assert_array_equal(
        getattr(loaded, method)(features), getattr(model, method)(features)
    )
    if not classify:
        np.testing.assert_array_equal(
            loaded.predict(features, return_std=True), model.predict(features, return_std=True)
        )
    importances = (m.companion_ for m in (model, loaded))
    if not isinstance(model.companion_, HurdleRegressor):
        np.testing.assert_array_equal(*(m.feature_importances_ for m in importances))
    clone(loaded).fit(features, y)


@pytest.mark.parametrize(
    "featurizer",
    [
        MagpieFeaturizer(),
        CompositionFeaturizer(preset="steels"),
        CompositionFeaturizer(blocks=["magpie", Mat2VecFeaturizer(vectors="megnet16")]),
    ],
    ids=["magpie", "steels", "blocks"],
)
def test_pipeline_of_formulas_comes_back(featurizer, band_gaps, tmp_path):
    X, y = band_gaps
    pipeline = make_pipeline(featurizer, HybridTRIADSRegressor(**_SMALL)).fit(X, y)
    save(pipeline, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert isinstance(loaded, Pipeline)
    assert list(loaded.named_steps) == list(pipeline.named_steps)
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))
    np.testing.assert_array_equal(
        loaded[:-1].get_feature_names_out(), pipeline[:-1].get_feature_names_out()
    )


_FEATURIZERS = [
    name
    for name in trisk.featurizers.__all__
    if inspect.isclass(cls := getattr(trisk.featurizers, name))
    and issubclass(cls, BaseCompositionFeaturizer)
]


@pytest.mark.parametrize("name", _FEATURIZERS)
def test_every_featurizer_comes_back(name, tmp_path):
    formulas = ["Fe0.9C0.1", "Ni3Al", "TiAl"]
    featurizer = getattr(trisk.featurizers, name)()
    expected = featurizer.fit_transform(formulas)
    save(featurizer, tmp_path / "featurizer")
    loaded = load(tmp_path / "featurizer")
    np.testing.assert_array_equal(loaded.transform(formulas), expected)
    assert list(loaded.get_feature_names_out()) == list(expected.columns)


def test_featurizer_keeps_its_report_and_its_output_container(tmp_path):
    featurizer = MagpieFeaturizer(on_error="nan").set_output(transform="default")
    with pytest.warns(UserWarning, match="could not be featurized"):
        featurizer.fit(["Fe"]).transform(["Fe", "no formula", "GaAs"])
    save(featurizer, tmp_path / "featurizer")
    loaded = load(tmp_path / "featurizer")
    assert loaded.errors_.equals(featurizer.errors_)
    assert loaded.errors_["row"].tolist() == [1]
    assert type(loaded.transform(["Fe"])) is type(featurizer.transform(["Fe"]))


def test_loaded_model_is_a_full_citizen(regressor, features, band_gaps, saved, tmp_path):
    loaded = load(saved)
    expected = regressor.predict(features)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(loaded)).predict(features), expected)
    np.testing.assert_array_equal(
        clone(loaded).fit(features, band_gaps[1]).predict(features), expected
    )
    save(loaded, tmp_path / "again")
    assert _checksum(tmp_path / "again") == _checksum(saved)


# ------------------------------------------------------------------------------- what is written


def test_file_holds_no_pickle(saved):
    content = saved.read_bytes()
    with pytest.raises(ValueError, match="opcode"):
        list(pickletools.genops(content[8:]))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    # Everything that is not JSON is numbers of a known type.
    assert {v["dtype"] for k, v in header.items() if k != "__metadata__"} <= {"F32", "F64", "I64"}


def test_file_may_be_read_by_whoever_the_umask_allows(regressor, tmp_path):
    previous = os.umask(0o022)
    try:
        save(regressor, tmp_path / "model")
    finally:
        os.umask(previous)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("No space left on device")])
def test_interrupted_save_leaves_the_previous_file(regressor, saved, monkeypatch, stop):
    before = saved.read_bytes()

    def interrupt(_):
        raise stop

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises((KeyboardInterrupt, OSError)):
        save(regressor, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_saving_replaces_the_previous_file_as_a_whole(regressor, saved, monkeypatch):
    number = saved.stat().st_ino
    save(regressor, saved)
    assert saved.stat().st_ino != number
    before = saved.read_bytes()

    def fail(*_):
        raise OSError("read-only")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="read-only"):
        save(regressor, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_saving_into_a_missing_folder_names_the_path(regressor, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save(regressor, tmp_path / "nowhere" / "model")


# ------------------------------------------------------------------------------- what is refused


class _MyRegressor(HybridTRIADSRegressor):
    pass


def test_unsupported_objects_are_named(features, band_gaps, tmp_path):
    y = band_gaps[1]
    path = tmp_path / "model"
    boosted = GradientBoostingRegressor(n_estimators=2, random_state=0).fit(features, y)
    with pytest.raises(TypeError, match=r"sklearn\.ensemble\._gb\.GradientBoostingRegressor"):
        save(boosted, path)
    companion = GradientBoostingRegressor(n_estimators=2, random_state=0)
    beside = HybridTRIADSRegressor(companion=companion, **_SMALL).fit(features, y)
    with pytest.raises(TypeError, match=r"companion is a .*GradientBoostingRegressor"):
        save(beside, path)
    scaled = make_pipeline(StandardScaler(), HybridTRIADSRegressor(**_SMALL)).fit(features, y)
    with pytest.raises(TypeError, match=r"Pipeline\.steps\.0\.1 is a .*StandardScaler"):
        save(scaled, path)
    own = _MyRegressor(**_SMALL).fit(features, y)
    with pytest.raises(TypeError, match="_MyRegressor"):
        save(own, path)
    with pytest.raises(TypeError, match="function"):
        save(lambda x: x, path)
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("callbacks", [EpochScoring("r2", on_train=True)], r"callbacks\.0 is a .*EpochScoring"),
        ("random_state", np.random.RandomState(0), "random_state is a RandomState"),
    ],
)
def test_parameters_that_need_code_are_named(features, band_gaps, tmp_path, name, value, message):
    model = HybridTRIADSRegressor(**_SMALL).fit(features, band_gaps[1])
    model.set_params(**{name: value})
    with pytest.raises(TypeError, match=message):
        save(model, tmp_path / "model")


@pytest.mark.parametrize(
    "model",
    [
        HybridTRIADSRegressor(),
        HybridTRIADSClassifier(),
        MagpieFeaturizer(),
        make_pipeline(MagpieFeaturizer(), HybridTRIADSRegressor()),
    ],
    ids=lambda m: type(m).__name__,
)
def test_saving_before_fitting_says_so(model, tmp_path):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        save(model, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_save_method_before_fitting_says_so(tmp_path):
    with pytest.raises(NotFittedError, match="HybridTRIADSRegressor"):
        HybridTRIADSRegressor().save(tmp_path / "model")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        load(tmp_path / "nothing_here")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.1, 0.5, 0.9, 0.9999])
def test_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError, match=r"model\.safetensors.*truncated"):
        load(saved)


def test_any_flipped_byte_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    end_of_header = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    places = {
        *range(16),
        *range(end_of_header - 8, end_of_header + 8),
        *rng.integers(16, end_of_header, 60).tolist(),
        *rng.integers(end_of_header, len(content), 40).tolist(),
    }
    for place in sorted(places):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(flipped)
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            load(saved)


class _Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_pickle_is_refused_and_never_run(tmp_path):
    target = tmp_path / "made_by_the_pickle"
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(_Bomb(target)))
    with pytest.raises(ModelFileError, match="not a trisk model"):
        load(path)
    assert not target.exists()
    pickle.loads(path.read_bytes()).close()  # the bomb itself works
    assert target.exists()


def test_foreign_safetensors_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(to_bytes({"weight": np.zeros(3, dtype=np.float32)}, {"format": "pt"}))
    with pytest.raises(ModelFileError, match="not a trisk model"):
        load(path)


def test_newer_format_asks_for_an_update(saved):
    def to_the_future(description):
        description |= {"format": 99, "trisk": "7.1"}

    _rewrite(saved, to_the_future)
    with pytest.raises(ModelFileError, match=r"trisk 7\.1 in format 99.*Update trisk"):
        load(saved)


@pytest.mark.parametrize("name", ["Popen", "GradientBoostingRegressor", "os.system", "_Bomb"])
def test_class_off_the_list_is_refused(saved, name):
    def rename(description):
        description["model"]["class"] = name

    _rewrite(saved, rename)
    with pytest.raises(ModelFileError, match=f"{name!r}, which trisk does not load"):
        load(saved)


def test_nested_class_off_the_list_is_refused(saved):
    def rename(description):
        for node in _tree(description):
            if node.get("class") == "ColumnScaler":
                node["class"] = "Popen"

    _rewrite(saved, rename)
    with pytest.raises(ModelFileError, match="'Popen', which trisk does not load"):
        load(saved)


def test_function_off_the_list_is_refused(features, band_gaps, tmp_path):
    forest = ExtraTreesRegressor(2, max_depth=2, random_state=0)
    model = TransformedTargetRegressor(forest, func=np.log1p, inverse_func=np.expm1)
    save(model.fit(features, band_gaps[1]), tmp_path / "model")
    expected = model.predict(features)
    np.testing.assert_array_equal(load(tmp_path / "model").predict(features), expected)

    def rename(description):
        for node in _tree(description):
            if node.get("function") == "expm1":
                node["function"] = "load"

    _rewrite(tmp_path / "model", rename)
    with pytest.raises(ModelFileError, match="function 'load', which trisk does not load"):
        load(tmp_path / "model")
    model.set_params(func=np.sort, inverse_func=np.sort, check_inverse=False)
    with pytest.raises(TypeError, match="without code"):
        save(model.fit(features, band_gaps[1]), tmp_path / "model")
    # Of scipy, under names that numpy has too.
    model.set_params(func=special.log1p, inverse_func=special.expm1, check_inverse=True)
    with pytest.raises(TypeError, match=r"function 'log1p', .* stores numpy's cbrt, exp"):
        save(model.fit(features, band_gaps[1]), tmp_path / "model")


@pytest.mark.parametrize("model", ["", "not json", "[]", "{}", '{"format": 1}', '{"format": "1"}'])
def test_forged_description_is_refused(saved, model):
    _rewrite(saved, model=model)
    with pytest.raises(ModelFileError, match="does not describe a trisk model"):
        load(saved)


def test_description_without_its_weights_is_refused(saved):
    def drop_weights(description):
        for node in _tree(description):
            if "array" in node:
                node["array"] = "no such array"

    _rewrite(saved, drop_weights)
    with pytest.raises(ModelFileError, match="does not describe a trisk model"):
        load(saved)


@pytest.mark.parametrize(
    ("field", "forge"),
    [
        ("left_child", lambda v: np.where(v == -1, v, 10**6)),
        ("right_child", lambda v: np.where(v == -1, v, 0)),
        ("feature", lambda v: v + 10**6),
        ("feature", lambda v: v - 10**6),
        ("shape", lambda v: v + 10**6),
        ("values", lambda v: v[:1]),
        ("n_classes", lambda v: v + 1),
    ],
)
def test_forged_tree_is_refused(features, band_gaps, tmp_path, field, forge):
    path = tmp_path / "model"
    forest = ExtraTreesRegressor(n_estimators=2, random_state=0).fit(features, band_gaps[1])
    save(forest, path)
    arrays = from_bytes(path.read_bytes())
    with safe_open(path, framework="numpy") as file:
        text = file.metadata()["trisk"]
    description = json.loads(text)
    trees = [dict(node["tree"]["dict"]) for node in _tree(description) if "tree" in node]
    name = trees[0][field]["array"]
    arrays[name] = forge(arrays[name])
    checksum = _files._checksum(text, arrays)
    path.write_bytes(to_bytes(arrays, {"trisk": text, "sha256": checksum}))
    with pytest.raises(ModelFileError, match="decision tree"):
        load(path)


def test_unknown_parameter_is_refused(saved):
    def add(description):
        description["model"]["parameters"]["temperature"] = 300

    _rewrite(saved, add)
    with pytest.raises(ModelFileError, match="temperature"):
        load(saved)


def test_every_public_estimator_and_featurizer_is_on_the_list():
    for module in (trisk.estimators, trisk.featurizers):
        for name in module.__all__:
            exported = getattr(module, name)
            if inspect.isclass(exported) and issubclass(exported, BaseEstimator):
                assert CLASSES[name] == module.__name__
