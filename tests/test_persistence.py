"""Models on disk: what comes back, what is refused, and that nothing is ever executed."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from optuna.distributions import FloatDistribution
from safetensors.numpy import save as to_safetensors
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

import trisk.featurizers
from trisk.datasets import load_band_gaps
from trisk.estimators import HybridTRIADSClassifier, HybridTRIADSRegressor
from trisk.featurizers import CompositionFeaturizer, MagpieFeaturizer, Mat2VecFeaturizer
from trisk.model_selection import OptunaSearch
from trisk.persistence import ModelFileError, load, save


def _network(kind=HybridTRIADSRegressor, **params):
    model = kind(n_members=2, max_epochs=2, batch_size=64, random_state=0)
    small = {"network__hidden_dim": 8, "network__feedforward_dim": 12}
    return model.set_params(**small | params)


@pytest.fixture(scope="module")
def band_gaps():
    X, y = load_band_gaps()
    return X[:80], y[:80]


@pytest.fixture(scope="module")
def features(band_gaps):
    return MagpieFeaturizer().fit_transform(band_gaps[0])


@pytest.fixture(scope="module")
def regressor(features, band_gaps):
    return _network().fit(features, band_gaps[1])


@pytest.fixture
def saved(regressor, tmp_path):
    path = tmp_path / "model.trisk"
    save(regressor, path)
    return path


def _contents(path):
    """Description and members of a file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(members.pop("schema.json")), members


def _forge(path, change):
    """Change the description or the members of a file, as a forger would."""
    description, members = _contents(path)
    change(description, members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        archive.writestr("schema.json", json.dumps(description))


def _nodes(value):
    """All dictionaries of a description."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for child in value if isinstance(value, list) else ():
        yield from _nodes(child)


def _attributes(description, class_name):
    """Attributes of the objects of a class in a description."""
    nodes = _nodes(description)
    return [n["content"]["content"] for n in nodes if n.get("__class__") == class_name]


def _plain(value):
    return {
        "__class__": "str",
        "__module__": "builtins",
        "__loader__": "JsonNode",
        "content": json.dumps(value),
    }


def _array_change(class_name, attribute, change):
    """A forgery of an array: of an attribute, or of the arrays below it where `change` says so."""

    def forge(description, members):
        for attributes in _attributes(description, class_name):
            file = attributes[attribute]["file"]
            buffer = io.BytesIO()
            np.save(buffer, change(np.load(io.BytesIO(members[file]))))
            members[file] = buffer.getvalue()

    return forge


# ------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(
    "params",
    [
        {"network__n_attention_layers": 1, "network__confidence": True},
        {"network__n_attention_layers": 2, "network__shared_projection": True},
        {"network__embedding_dim": None, "training__averaging": "swa", "aggregation": "median"},
        {"training__validation_fraction": 0.2, "training__patience": 2, "n_neighbors": None},
        {"stack_with": ExtraTreesRegressor(3, random_state=0), "calibrate": True},
    ],
    ids=lambda p: "-".join(p),
)
def test_network_comes_back(features, band_gaps, tmp_path, params):
    model = _network(**params).fit(features, band_gaps[1])
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert type(loaded) is HybridTRIADSRegressor
    assert str(loaded.get_params()) == str(model.get_params())
    for expected, got in zip(
        model.predict(features, return_std=True),
        loaded.predict(features, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(
        list(loaded.staged_predict(features)), list(model.staged_predict(features))
    )
    assert list(loaded.feature_names_in_) == list(features.columns)
    assert loaded.net_.history[:, "train_loss"] == model.net_.history[:, "train_loss"]


@pytest.mark.parametrize("kind", [bool, int, str, object])
def test_classifier_comes_back_with_labels_of_any_kind(features, band_gaps, tmp_path, kind):
    labels = (band_gaps[1] > 0).to_numpy()
    if kind in (str, object):
        labels = np.where(labels, "insulator", "metal")
    labels = labels.astype(kind)
    weights = dict(zip(np.unique(labels).tolist(), (1.0, np.float64(2.0)), strict=True))
    model = _network(HybridTRIADSClassifier, class_weight=weights).fit(features, labels)
    model.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(features), model.predict_proba(features))
    np.testing.assert_array_equal(loaded.predict(features), model.predict(features))
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.class_weight == weights


def test_multi_output_regressor_comes_back(features, band_gaps, tmp_path):
    y = np.column_stack([band_gaps[1], band_gaps[1] ** 2])
    model = _network().fit(features, y)
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model").predict(features), model.predict(features)
    )


_COMPOSITION = [
    name
    for name in trisk.featurizers.__all__
    if isinstance(cls := getattr(trisk.featurizers, name), type)
    and cls.__module__.startswith("trisk.featurizers.composition")
    and hasattr(cls, "transform")
]


@pytest.mark.parametrize(
    "featurizer",
    [
        *(getattr(trisk.featurizers, name)() for name in _COMPOSITION),
        CompositionFeaturizer(preset="published_steels"),
        CompositionFeaturizer(blocks=["magpie", Mat2VecFeaturizer(vectors="megnet16")]),
    ],
    ids=str,
)
def test_featurizer_comes_back(featurizer, tmp_path):
    formulas = ["Fe0.9C0.1", "Ni3Al", "TiAl"]
    expected = featurizer.fit_transform(formulas)
    save(featurizer, tmp_path / "featurizer")
    loaded = load(tmp_path / "featurizer")
    np.testing.assert_array_equal(loaded.transform(formulas), expected)
    assert list(loaded.get_feature_names_out()) == list(expected.columns)


def test_featurizer_keeps_its_output_container(tmp_path):
    featurizer = MagpieFeaturizer(on_error="nan").set_output(transform="default").fit(["Fe"])
    save(featurizer, tmp_path / "featurizer")
    loaded = load(tmp_path / "featurizer")
    assert type(loaded.transform(["Fe"])) is type(featurizer.transform(["Fe"]))
    assert loaded.explain_errors(["Fe", "no formula", "GaAs"])["row"].tolist() == [1]


_TREES = RandomForestRegressor(3, random_state=0)
_COLUMNS = ColumnTransformer(
    [
        ("scaled", StandardScaler(), make_column_selector(pattern="^MagpieData mean")),
        ("ranks", QuantileTransformer(n_quantiles=10), ["MagpieData range Number"]),
        ("none", "drop", slice(3, 5)),
    ],
    remainder=MinMaxScaler(),
)
_MODELS = {
    "network": _network(),
    "columns": make_pipeline(_COLUMNS, Ridge()),
    "columns of formulas": make_pipeline(
        ColumnTransformer([("kept", "passthrough", [0, 1])], remainder="passthrough"), Ridge()
    ),
    "vote": VotingRegressor([("network", _network()), ("trees", _TREES)]),
    "stack": StackingRegressor([("r", Ridge()), ("t", _TREES)], SVR(), cv=KFold(3)),
    "scalers": make_pipeline(
        StandardScaler(), RobustScaler(), PowerTransformer(), SplineTransformer(), Ridge()
    ),
    "target": TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    "scaled target": TransformedTargetRegressor(_network(), transformer=StandardScaler()),
    "boosting": GradientBoostingRegressor(n_estimators=3),
    "histograms": HistGradientBoostingRegressor(max_iter=3, categorical_features=[0]),
    "support vectors": make_pipeline(StandardScaler(), SVR()),
    "gaussian process": GaussianProcessRegressor(RBF() + WhiteKernel(), random_state=0),
    "neighbours": KNeighborsRegressor(3, algorithm="kd_tree"),
    "neighbours by p": KNeighborsRegressor(3, algorithm="ball_tree", p=3, weights="distance"),
    "functions": make_pipeline(FunctionTransformer(np.cbrt), Ridge()),
    "selection": make_pipeline(SelectKBest(f_regression, k=5), Ridge()),
    "perceptron": MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0),
    "search": GridSearchCV(Ridge(), {"alpha": [1, 2]}, scoring="r2", cv=3),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("name", _MODELS)
def test_any_model_of_scikit_learn_comes_back(name, band_gaps, tmp_path):
    X, y = band_gaps
    model = make_pipeline(MagpieFeaturizer(), clone(_MODELS[name])).fit(X, y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    save(loaded, tmp_path / "again")
    np.testing.assert_array_equal(load(tmp_path / "again").predict(X), model.predict(X))


@pytest.mark.parametrize(
    "model",
    [
        CalibratedClassifierCV(RandomForestClassifier(3, random_state=0), cv=2),
        CalibratedClassifierCV(_network(HybridTRIADSClassifier), cv=2, method="isotonic"),
        make_pipeline(make_union(StandardScaler(), MinMaxScaler()), LogisticRegression()),
        SVC(decision_function_shape="ovo"),
    ],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_any_classifier_of_scikit_learn_comes_back(model, band_gaps, tmp_path):
    X, y = band_gaps[0], np.digitize(band_gaps[1], [0.5, 3.0])
    model = make_pipeline(MagpieFeaturizer(), clone(model)).fit(X, y)
    save(model, tmp_path / "model")
    method = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    expected = getattr(model, method)(X)
    np.testing.assert_array_equal(getattr(load(tmp_path / "model"), method)(X), expected)


def test_search_comes_back_without_its_study(band_gaps, tmp_path):
    space = {"ridge__alpha": FloatDistribution(0.1, 10)}
    storage, model = str(tmp_path / "study.db"), make_pipeline(MagpieFeaturizer(), Ridge())
    search = OptunaSearch(model, space=space, storage=storage, n_trials=2, cv=2, verbose=0)
    search.fit(*band_gaps)
    save(search, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.best_params_ == search.best_params_
    assert loaded.storage is None
    X = band_gaps[0]
    np.testing.assert_array_equal(loaded.predict(X), search.predict(X))


def test_loaded_model_is_a_full_citizen(regressor, features, band_gaps, saved, tmp_path):
    loaded = load(saved)
    expected = regressor.predict(features)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(loaded)).predict(features), expected)
    np.testing.assert_array_equal(
        clone(loaded).fit(features, band_gaps[1]).predict(features), expected
    )


# ------------------------------------------------------------------------------- what is written


def test_file_holds_arrays_and_json(saved):
    description, members = _contents(saved)
    assert all(name.endswith(".npy") for name in members)
    for member in members.values():
        assert np.load(io.BytesIO(member), allow_pickle=False).dtype.kind in "biufU"
    assert {n["file"] for n in _nodes(description) if "file" in n} == set(members)


_RUN = {"memory": "/somewhere/cache", "verbose": True}


class _Watch(BaseEstimator):
    """A callback of somebody, which holds what no file can."""

    def __init__(self):
        self.hook = lambda net: None


def test_what_belongs_to_a_machine_stays_there(features, band_gaps, tmp_path):
    network = _network(verbose=1, checkpoint=tmp_path / "checkpoint", device="cpu")
    forest = RandomForestRegressor(2, n_jobs=2, random_state=0)
    model = make_pipeline(
        MagpieFeaturizer(n_jobs=2), VotingRegressor([("a", network), ("b", forest)], n_jobs=1)
    )
    model = model.fit(*band_gaps).set_params(**_RUN)
    model[-1].estimators_[0].set_params(callbacks=[("watch", _Watch())])
    save(model, tmp_path / "model")
    text = json.dumps(_contents(tmp_path / "model")[0])
    assert str(tmp_path) not in text
    assert "/somewhere" not in text
    loaded = load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict(band_gaps[0]), model.predict(band_gaps[0]))
    first, second = loaded[-1].estimators_
    assert (loaded.memory, loaded.verbose, loaded[0].n_jobs) == (None, False, None)
    assert (first.callbacks, first.checkpoint, first.verbose) == (None, None, 0)
    assert (first.device, loaded[-1].n_jobs, second.n_jobs) == ("auto", None, None)
    assert load(tmp_path / "model", device="cpu")[-1].estimators_[0].device == "cpu"


@pytest.mark.parametrize("name", ["n_jobs", "memory", "verbose"])
def test_what_a_forger_sets_of_a_machine_is_not_taken(band_gaps, tmp_path, name):
    model = make_pipeline(MagpieFeaturizer(), RandomForestRegressor(2)).fit(*band_gaps)
    save(model, tmp_path / "model")

    def set_it(description, _):
        for node in list(_nodes(description)):
            if name in node and node[name].get("__loader__") == "JsonNode":
                node[name] = _plain("/etc/cache" if name == "memory" else 30)

    _forge(tmp_path / "model", set_it)
    values = {k: v for k, v in load(tmp_path / "model").get_params().items() if k.endswith(name)}
    assert values
    assert not any(values.values())


def test_weights_from_a_path_are_not_looked_for_again(tmp_path):
    path = str(tmp_path / "vectors.model")
    featurizer = Mat2VecFeaturizer(vectors="megnet16").fit(["Fe"]).set_params(vectors=path)
    save(featurizer, tmp_path / "model")
    assert path not in json.dumps(_contents(tmp_path / "model")[0])
    loaded = load(tmp_path / "model")
    assert loaded.vectors == "mat2vec"
    assert loaded.transform(["NaCl"]).equals(featurizer.transform(["NaCl"]))


def test_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own(regressor, tmp_path):
    previous = os.umask(0o022)
    try:
        save(regressor, tmp_path / "model")
        assert (tmp_path / "model").stat().st_mode & 0o777 == 0o644
        (tmp_path / "model").chmod(0o600)
        save(regressor, tmp_path / "model")
    finally:
        os.umask(previous)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o600


def test_symbolic_link_stays_and_its_target_is_replaced(regressor, saved, tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "latest"
    link.symlink_to(saved)
    number = saved.stat().st_ino
    save(regressor, link)
    assert link.readlink() == saved
    assert saved.stat().st_ino != number
    assert list(link.parent.iterdir()) == [link]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("No space left on device")])
@pytest.mark.parametrize("place", [(os, "fsync"), (Path, "replace")], ids=["fsync", "replace"])
def test_interrupted_save_leaves_the_previous_file(regressor, saved, monkeypatch, stop, place):
    before = saved.read_bytes()

    def interrupt(*_):
        raise stop

    monkeypatch.setattr(*place, interrupt)
    with pytest.raises((KeyboardInterrupt, OSError)):
        save(regressor, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_saving_into_a_missing_folder_names_the_path(regressor, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save(regressor, tmp_path / "nowhere" / "model")


class _MyRidge(Ridge):
    pass


def _double(x):
    return 2 * x


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_MyRidge(), r"Pipeline holds .*_MyRidge, which trisk does not store"),
        (make_pipeline(FunctionTransformer(_double), Ridge()), "_double"),
        (make_pipeline(FunctionTransformer(np.sort), Ridge()), r"numpy\.sort"),
        (KNeighborsRegressor(metric=_double), "_double"),
    ],
    ids=["subclass", "function", "no ufunc", "metric"],
)
def test_what_needs_code_is_named_with_a_remedy(model, message, features, band_gaps, tmp_path):
    if not isinstance(model, KNeighborsRegressor):
        model.fit(features, band_gaps[1])
    model = make_pipeline(MagpieFeaturizer(), model)
    model.__sklearn_is_fitted__ = lambda: True
    model[0].fit(["Fe"])
    with pytest.raises(TypeError, match=message) as caught:
        save(model, tmp_path / "model")
    assert "skops.io.load" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_fitted_estimator_is_refused(tmp_path):
    for model in (_network(), MagpieFeaturizer(), make_pipeline(MagpieFeaturizer(), Ridge())):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            save(model, tmp_path / "model")
    with pytest.raises(NotFittedError, match="HybridTRIADSRegressor"):
        _network().save(tmp_path / "model")
    with pytest.raises(TypeError, match="not an estimator"):
        save(_double, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- what is refused


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing_here"):
        load(tmp_path / "nothing_here")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.1, 0.5, 0.9, 0.9999])
def test_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelFileError, match=r"model\.trisk.* is truncated or not a model"):
        load(saved)


def test_any_flipped_byte_is_noticed_or_changes_nothing(saved, regressor, features):
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    expected, n_refused = regressor.predict(features), 0
    for place in [*range(64), *rng.integers(len(content), size=100), *range(-64, 0)]:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(flipped)
        try:
            loaded = load(saved)
        except ModelFileError:
            n_refused += 1
        else:  # in a date, say
            np.testing.assert_array_equal(loaded.predict(features), expected)
    assert n_refused > 150


class _Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_files_of_other_kinds_are_refused_and_never_run(saved, tmp_path):
    target, path = tmp_path / "made_by_the_pickle", tmp_path / "model"
    foreign = skops.io.dumps(Ridge().fit([[0], [1]], [0, 1]))
    weights = to_safetensors({"weight": np.zeros(3)}, {"trisk": "{}"})  # as trisk 0.1 wrote
    for content in (pickle.dumps(_Bomb(target)), weights, foreign, b"", b"PK\x03\x04" + bytes(99)):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"not a model file|another version of trisk"):
            load(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("path", "loader"),
    [
        ("subprocess.Popen", "ObjectNode"),
        ("antigravity.geohash", "FunctionNode"),
        ("os.system", "FunctionNode"),
        ("builtins.eval", "TypeNode"),
        ("trisk.persistence.load", "FunctionNode"),
        ("trisk.cli.main", "FunctionNode"),
        ("trisk.__main__.main", "ObjectNode"),
        ("sklearn.utils.os", "TypeNode"),
        ("sklearn.metrics._scorer.copy", "FunctionNode"),
        ("sklearn.ensemble._forest.threading", "TypeNode"),
        ("torch.nn.Module", "ObjectNode"),
    ],
)
def test_type_off_the_list_is_refused(saved, path, loader):
    module, _, name = path.rpartition(".")

    def name_it(description, _):
        attributes = _attributes(description, "HybridTRIADSRegressor")[0]
        forged = _plain(0) | {"__class__": name, "__module__": module, "__loader__": loader}
        attributes["stack_with"] = forged | {"content": attributes["columns_"]}

    _forge(saved, name_it)
    with pytest.raises(ModelFileError, match=f"holds {path}, which trisk does not load"):
        load(saved)


@pytest.mark.parametrize("loader", ["MethodNode", "OperatorFuncNode", "BytesNode", "CachedNode"])
def test_kind_of_description_off_the_list_is_refused(saved, loader):
    def name_it(description, _):
        attributes = _attributes(description, "HybridTRIADSRegressor")[0]
        attributes["columns_"] |= {"__loader__": loader, "content": {"func": "save", "obj": {}}}

    _forge(saved, name_it)
    with pytest.raises(ModelFileError, match=f"{loader}, which trisk does not load"):
        load(saved)


def test_function_that_is_not_of_numpy_is_refused(features, band_gaps, tmp_path):
    model = TransformedTargetRegressor(_TREES, func=np.log1p, inverse_func=np.expm1)
    save(model.fit(features, band_gaps[1]), tmp_path / "model")

    def rename(description, _):
        for node in _nodes(description):
            if node.get("__class__") == "expm1":
                score = mean_absolute_error
                node.update(__class__=score.__name__, __module__=score.__module__)

    _forge(tmp_path / "model", rename)
    with pytest.raises(ModelFileError, match="a FunctionTransformer in it"):
        load(tmp_path / "model")


def _share_object(description, _):
    columns = _attributes(description, "HybridTRIADSRegressor")[0]
    columns["loss"]["__id__"] = columns["aggregation"]["__id__"]


def _share_file(description, _):
    first, second, *_ = (node for node in _nodes(description) if "file" in node)
    first["file"] = second["file"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, _: d.clear(), "another version"),
        (lambda d, _: d.update(trisk_format=99), "another version"),
        (lambda d, _: d.update(protocol=0), "another version"),
        (lambda d, _: d.pop("protocol"), "cannot be loaded"),
        (_share_object, "in two ways"),
        (_share_file, "two objects share"),
        (lambda _, m: m.popitem(), "cannot be loaded"),
        (lambda _, m: m.update({k: v[:-8] for k, v in m.items()}), "cannot be loaded"),
        (lambda d, _: _attributes(d, "HybridTRIADSRegressor")[0].pop("nets_"), "not fitted"),
    ],
)
def test_forged_description_is_refused(saved, change, message):
    _forge(saved, change)
    with pytest.raises(ModelFileError, match=message):
        load(saved)


@pytest.mark.parametrize("depth", [1000, 10**5])
def test_deep_description_is_refused(saved, depth):
    members = _contents(saved)[1]
    with zipfile.ZipFile(saved, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        archive.writestr("schema.json", '{"trisk_format":' + "[" * depth + "]" * depth + "}")
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        load(saved)


def test_compressed_and_overlapping_members_are_refused(saved):
    description, members = _contents(saved)
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps(description))
        for name, member in members.items():
            archive.writestr(name, member)
        archive.writestr("zeros.npy", bytes(10**7))
    with pytest.raises(ModelFileError, match="compressed or overlap"):
        load(saved)
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("zeros.npy", bytes(10**5))
        for number in range(20):
            copied = zipfile.ZipInfo(f"{number}.npy")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(copied, name, getattr(archive.infolist()[0], name))
            archive.filelist.append(copied)
    with pytest.raises(ModelFileError, match="compressed or overlap"):
        load(saved)


@pytest.mark.parametrize(
    ("model", "class_name", "name", "value"),
    [
        (None, "HybridTRIADSRegressor", "aggregation", "best"),
        (None, "HybridTRIADSRegressor", "n_members", 0),
        (MagpieFeaturizer(), "MagpieFeaturizer", "missing", "guess"),
    ],
)
def test_parameter_out_of_its_range_is_refused(saved, model, class_name, name, value):
    if model is not None:
        save(model.fit(["Fe"]), saved)
    _forge(saved, lambda d, _: _attributes(d, class_name)[0].update({name: _plain(value)}))
    with pytest.raises(ModelFileError, match=f"'{name}' parameter"):
        load(saved)


def _nodes_change(field, change):
    def forge(nodes):
        nodes = nodes.copy()
        nodes[field] = change(nodes[field])
        return nodes

    return forge


_X = np.random.default_rng(0).normal(size=(60, 4))
_FORGED_TREES = [
    ("left_child", lambda v: np.where(v == -1, v, 10**6)),
    ("right_child", lambda v: np.where(v == -1, v, 0)),
    ("feature", lambda v: v + 10**6),
    ("feature", lambda v: v - 10**6),
]


@pytest.mark.parametrize(("field", "change"), _FORGED_TREES)
def test_forged_tree_is_refused(tmp_path, field, change):
    save(DecisionTreeRegressor(random_state=0).fit(_X, _X[:, 0]), tmp_path / "model")

    def forge(description, members):
        tree = next(n for n in _nodes(description) if n.get("__class__") == "Tree")
        file = tree["content"]["content"]["nodes"]["file"]
        buffer = io.BytesIO()
        np.save(buffer, _nodes_change(field, change)(np.load(io.BytesIO(members[file]))))
        members[file] = buffer.getvalue()

    _forge(tmp_path / "model", forge)
    with pytest.raises(ModelFileError, match="a DecisionTreeRegressor in it"):
        load(tmp_path / "model")


@pytest.mark.parametrize("n_outputs", [0, 7, 10**9])
def test_tree_of_more_outputs_than_it_has_classes_is_refused(tmp_path, n_outputs):
    save(DecisionTreeRegressor(random_state=0).fit(_X, _X[:, 0]), tmp_path / "model")

    def forge(description, _):
        tree = next(n for n in _nodes(description) if n.get("__class__") == "Tree")
        tree["__reduce__"]["args"]["content"][2] = _plain(n_outputs)

    _forge(tmp_path / "model", forge)
    with pytest.raises(ModelFileError, match="do not fit its outputs"):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    ("model", "class_name", "attribute", "change"),
    [
        (SVR(), "SVR", "_n_support", lambda v: v * 1000),
        (SVR(), "SVR", "_dual_coef_", lambda v: v[:, :1]),
        (SVR(), "SVR", "support_vectors_", lambda v: v[:, :1]),
        (SVR(), "SVR", "_intercept_", lambda v: v[:0]),
        (
            HistGradientBoostingRegressor(max_iter=2),
            "TreePredictor",
            "nodes",
            _nodes_change("left", lambda v: v + 1000),
        ),
        (
            HistGradientBoostingRegressor(max_iter=2),
            "TreePredictor",
            "nodes",
            _nodes_change("feature_idx", lambda v: v + 1000),
        ),
        (KNeighborsRegressor(algorithm="kd_tree"), "KNeighborsRegressor", "_fit_X", np.ravel),
    ],
)
def test_forged_arrays_of_compiled_code_are_refused(tmp_path, model, class_name, attribute, change):
    save(model.fit(_X, _X[:, 0]), tmp_path / "model")
    _forge(tmp_path / "model", _array_change(class_name, attribute, change))
    with pytest.raises(ModelFileError, match="cannot be loaded"):
        load(tmp_path / "model")


def test_forest_whose_trees_see_other_columns_is_refused(tmp_path):
    forest = RandomForestRegressor(2, random_state=0).fit(_X, _X[:, 0])
    save(forest, tmp_path / "model")
    _forge(
        tmp_path / "model",
        lambda d, _: _attributes(d, "RandomForestRegressor")[0].update(n_features_in_=_plain(2)),
    )
    with pytest.raises(ModelFileError, match="a RandomForestRegressor in it"):
        load(tmp_path / "model")


def test_a_bare_name_of_a_file_is_a_path_too(tmp_path):
    featurizer = Mat2VecFeaturizer().fit(["NaCl"])
    featurizer.vectors = "pretrained_embeddings"
    trisk.save(featurizer, tmp_path / "model.trisk")
    assert trisk.load(tmp_path / "model.trisk").vectors == "mat2vec"
    featurizer.vectors = "megnet16"
    trisk.save(featurizer, tmp_path / "model.trisk")
    assert trisk.load(tmp_path / "model.trisk").vectors == "megnet16"
