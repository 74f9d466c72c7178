"""Models that releases saved load for ever and give the same answers; copies of any kind too."""

import copy
import importlib
import io
import json
import pickle
import pkgutil
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import trisk
from reliability.models import case, cases, flatten
from reliability.mutations import at, nodes, split
from reliability.save_models import from_plain
from trisk.persistence._classes import CLASSES

_RELEASES = sorted((Path(__file__).parents[1] / "data").glob("models_*"))
_SAVED = [(folder, name) for folder in _RELEASES
          for name in json.loads((folder / "answers.json").read_text())]  # fmt: skip
_NAMES = [c.name for c in cases()]
# Sums of double precision in another order.
_RTOL = 1e-6
# Training in single precision on another processor goes another way, slightly.
_RTOL_OF_FITS = 1e-2
#: Public classes with parameters that are not stored, and why.
_NOT_STORED = {"OptunaSearch": "a search is no model; its best_estimator_ is, and is stored"}


def _known(folder, name):
    known = json.loads((folder / "answers.json").read_text())[name]
    expected = np.array(known["answer"], dtype=float)
    return known, from_plain(known["inputs"], known["X"]), expected


@pytest.mark.parametrize(("folder", "name"), _SAVED, ids=[f"{f.name}-{n}" for f, n in _SAVED])
def test_saved_by_a_release__loads_and_answers_as_then(folder, name):
    known, X, expected = _known(folder, name)
    model = trisk.load(folder / f"{name}.trisk")
    answer = flatten(getattr(model, known["method"])(X))
    np.testing.assert_allclose(answer, expected, rtol=_RTOL, atol=_RTOL * np.nanmax(abs(expected)))


@pytest.mark.parametrize("name", _NAMES)
def test_golden_predictions__a_new_fit__agrees_with_the_one_that_was_kept(fitted, name):
    # After a change of a network that is meant: python -m reliability.save_models NAME
    _, X, expected = _known(_RELEASES[-1], name)
    subject, model = fitted(name)
    scale = np.nanmax(abs(expected))
    np.testing.assert_allclose(subject.ask(model, X), expected, rtol=0, atol=_RTOL_OF_FITS * scale)


def _public_estimators():
    """Names of everything public of trisk that can be fitted."""
    found = set()
    for module in pkgutil.walk_packages(trisk.__path__, "trisk."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            public = importlib.import_module(module.name)
            objects = {n: getattr(public, n, None) for n in getattr(public, "__all__", ())}
            found |= {n for n, o in objects.items() if hasattr(o, "get_params")}
    return found


def test_every_estimator_and_featurizer_has_a_saved_model():
    kept = {name.split("-")[0] for folder, name in _SAVED if folder == _RELEASES[-1]}
    missing = _public_estimators() - kept - set(_NOT_STORED)
    assert not missing, f"add {missing} to reliability/models.py; python -m reliability.save_models"
    assert not kept & set(_NOT_STORED)


def test_every_class_that_files_may_name__is_in_one():
    named = set()
    for path in _RELEASES[-1].glob("*.trisk"):
        description = json.loads(split(path.read_bytes())[1]["trisk"])
        named |= {at(description, p) for p in nodes(description) if p and p[-1] == "class"}
    missing = set(CLASSES) - named
    assert not missing, f"add {missing} to reliability/models.py; python -m reliability.save_models"


def test_calculator__is_code_and_goes_back_by_hand(tmp_path):
    from ase.calculators.emt import EMT

    frames = case("PotentialFeaturizer").data()[0][:2]
    featurizer = trisk.PotentialFeaturizer(EMT, sensors=["energy", "forces"]).fit(frames)
    expected = featurizer.transform(frames)
    path = tmp_path / "model.trisk"
    for calculator in (EMT, EMT()):
        featurizer.set_params(calculator=calculator)
        with pytest.raises(TypeError, match=r"calculator is .*EMT, .* set it to None by set_param"):
            trisk.save(featurizer, path)
    trisk.save(featurizer.set_params(calculator=None), path)
    again = trisk.load(path).set_params(calculator=EMT)
    np.testing.assert_array_equal(again.transform(frames), expected)


def _through_skops(model):
    content = skops.io.dumps(model)
    return skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))


def _through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


_COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "joblib": _through_joblib,
    "deepcopy": copy.deepcopy,
    "skops": _through_skops,
}


@pytest.mark.parametrize("kind", _COPIES)
@pytest.mark.parametrize("name", _NAMES)
def test_copy__answers_the_same_to_the_bit(fitted, name, kind):
    subject, model = fitted(name)
    X = subject.data()[0][:6]
    again = _COPIES[kind](model)
    np.testing.assert_array_equal(subject.ask(again, X), subject.ask(model, X))
    assert str(again.get_params()) == str(model.get_params())


@pytest.mark.parametrize("name", _NAMES)
def test_file__answers_the_same_to_the_bit(fitted, name, tmp_path):
    subject, model = fitted(name)
    X = subject.data()[0][:6]
    trisk.save(model, tmp_path / "model.trisk")
    again = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(subject.ask(again, X), subject.ask(model, X))


@pytest.mark.parametrize("name", _NAMES)
def test_clone__has_the_parameters_and_is_not_fitted(fitted, name):
    _, model = fitted(name)
    fresh = clone(model)
    assert str(fresh.get_params()) == str(clone(fresh).get_params())
    with pytest.raises(NotFittedError):
        check_is_fitted(fresh)


@pytest.mark.parametrize(
    "name", ["HybridTRIADSRegressor", "GraphTRIADSClassifier", "TriForcesRegressor"]
)
@pytest.mark.filterwarnings("ignore:There is no device 'cuda'")
def test_model_of_another_device__loads_on_the_cpu(name, tmp_path):
    subject = case(name)
    model = subject.fit()
    X = subject.data()[0][:4]
    expected = subject.ask(model, X)
    devices = [p for p in model.get_params() if p.split("__")[-1] == "device"]
    trisk.save(model.set_params(**dict.fromkeys(devices, "cuda")), tmp_path / "model.trisk")
    again = trisk.load(tmp_path / "model.trisk")
    np.testing.assert_array_equal(subject.ask(again, X), expected)
    assert again.get_params()[devices[0]] == "cuda"
