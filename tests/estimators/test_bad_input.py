"""Bad input gets the error that scikit-learn's users expect, and that says what is wrong."""

import numpy as np
import pytest
from nested import make
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from trisk.estimators import HybridTRIADSClassifier, HybridTRIADSRegressor

_BOTH = pytest.mark.parametrize("cls", [HybridTRIADSRegressor, HybridTRIADSClassifier])
_INFINITIES = (np.nan, np.inf, -np.inf)


@pytest.fixture(scope="module")
def table(features):
    return features.iloc[:, :6]


@pytest.fixture(scope="module")
def is_metal(gaps):
    return (gaps == 0).astype(float)


@pytest.fixture(scope="module")
def fitted(table, gaps, small):
    return make(HybridTRIADSRegressor, **small).fit(table, gaps)


@pytest.fixture
def fit(table, is_metal, small):
    """Fit with something wrong: data and parameters replace the good ones."""

    def fit(cls, X=table, y=is_metal, weight=None, **params):
        return make(cls, **{**small, **params}).fit(X, y, weight)

    return fit


def _with(table, value):
    spoilt = table.copy()
    spoilt.iloc[3, 2] = value
    return spoilt


def _weight(y, value):
    weight = np.ones(len(y))
    weight[4] = value
    return weight


def _not_finite(value):
    return "NaN" if np.isnan(value) else "infinity"


_BAD_DATA = [
    *((lambda X, y, v=v: {"X": _with(X, v)}, f"X contains {_not_finite(v)}") for v in _INFINITIES),
    (lambda X, y: {"X": X[:1], "y": y[:1]}, r"1 sample.* minimum of 2 is required"),
    (lambda X, y: {"X": X[:0], "y": y[:0]}, r"0 sample.* minimum of 2 is required"),
    (lambda X, y: {"X": X.to_numpy()[:, :0]}, r"0 feature.* minimum of 1 is required"),
    (lambda X, y: {"X": X.iloc[:, 0].to_numpy()}, "Expected 2D array, got 1D array"),
    (lambda X, y: {"X": _with(X.astype(object), "Ag")}, "to float: 'Ag'"),
    (lambda X, y: {"y": None}, "requires y to be passed"),
    (lambda X, y: {"y": y[:-1]}, "inconsistent numbers of samples"),
    (lambda X, y: {"weight": np.ones(len(y) - 1)}, r"sample_weight\.shape"),
    (lambda X, y: {"weight": _weight(y, -1)}, "Negative values in data passed to `sample_weight`"),
    (lambda X, y: {"weight": _weight(y, np.nan)}, "sample_weight contains"),
    (lambda X, y: {"weight": _weight(y, np.inf)}, "sample_weight contains"),
    (lambda X, y: {"weight": np.zeros(len(y))}, r"(?i)weight.*zero"),
]


@_BOTH
@pytest.mark.parametrize(("change", "match"), _BAD_DATA)
def test_bad_data_are_refused(fit, cls, table, is_metal, change, match):
    with pytest.raises(ValueError, match=match):
        fit(cls, **change(table, is_metal))


@pytest.mark.parametrize(
    ("cls", "change", "match"),
    [
        (HybridTRIADSRegressor, lambda y: y.replace(1.0, np.nan), "Input y contains NaN"),
        (HybridTRIADSRegressor, lambda y: y.replace(1.0, np.inf), "Input y contains infinity"),
        (HybridTRIADSRegressor, lambda y: y.astype(str) + "?", "which is no number"),
        (HybridTRIADSClassifier, lambda y: y + np.arange(len(y)) / 7, "label type: continuous"),
        (
            HybridTRIADSClassifier,
            lambda y: ["metal"] * len(y),
            "at least 2 classes.* the class .*m",
        ),
    ],
)
def test_bad_targets_are_refused(fit, cls, is_metal, change, match):
    with pytest.raises(ValueError, match=match):
        fit(cls, y=change(is_metal))


def test_one_class_of_positive_weight_is_refused(fit, is_metal):
    with pytest.raises(ValueError, match="at least 2 classes"):
        fit(HybridTRIADSClassifier, weight=is_metal)


def test_column_vector_target_is_noted_for_classes(fit, is_metal):
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        fit(HybridTRIADSClassifier, y=is_metal.to_numpy()[:, None])


def test_one_row_of_positive_weight_is_all_there_is_to_predict(fit, table, gaps):
    weight = np.zeros(len(table))
    weight[4] = 1
    model = fit(HybridTRIADSRegressor, y=gaps, weight=weight)
    np.testing.assert_array_equal(model.predict(table), gaps.iloc[4])


# ------------------------------------------------------------------------------- prediction


@pytest.mark.parametrize(
    ("change", "match"),
    [
        *((lambda X, v=v: _with(X, v), f"X contains {_not_finite(v)}") for v in _INFINITIES),
        (lambda X: X[:0], "0 sample"),
        (lambda X: X.iloc[:, :5], r"feature names should match[\s\S]*seen at fit time"),
        (
            lambda X: X.rename(columns={X.columns[0]: "number"}),
            r"feature names should match[\s\S]*number",
        ),
        (lambda X: X[X.columns[::-1]], "must be in the same order"),
    ],
)
def test_bad_data_are_refused_in_prediction(fitted, table, change, match):
    for method in (fitted.predict, lambda X: list(fitted.staged_predict(X))):
        with pytest.raises(ValueError, match=match):
            method(change(table))


def test_absent_names_are_noted_and_do_not_matter(fit, fitted, table, gaps):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        prediction = fitted.predict(table.to_numpy())
    np.testing.assert_array_equal(prediction, fitted.predict(table))
    nameless = fit(HybridTRIADSRegressor, X=table.to_numpy(), y=gaps)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6 features"):
        nameless.predict(table.to_numpy()[:, :5])


@_BOTH
@pytest.mark.parametrize("method", ["predict", "predict_proba", "staged_predict"])
def test_prediction_before_fitting_says_so(cls, method, table):
    if hasattr(cls, method):
        with pytest.raises(NotFittedError, match=f"{cls.__name__} instance is not fitted yet"):
            list(getattr(cls(), method)(table))


def test_a_failed_fit_leaves_nothing_to_predict_with(small):
    X = np.random.default_rng(0).uniform(size=(30, 3))
    spoilt = np.where(X > 0.9, np.nan, X)
    for model in (
        make(HybridTRIADSRegressor, **small),
        make(HybridTRIADSRegressor, **small).fit(X, X[:, 0]),
    ):
        with pytest.raises(ValueError, match="NaN"):
            model.fit(spoilt, X[:, 0])
        with pytest.raises(NotFittedError):
            model.predict(X)


# ------------------------------------------------------------------------------- parameters


_BAD_PARAMETERS = {
    "n_members": (0, 2.5),
    "max_epochs": ("many", 0),
    "batch_size": (-1,),
    "learning_rate": (0, "fast"),
    "weight_decay": (-1e-3,),
    "beta2": (1.0,),
    "max_grad_norm": (0,),
    "schedule": ("linear",),
    "averaging": ("mean",),
    "ema_decay": (1.0,),
    "validation_fraction": (1.0, -0.1),
    "patience": (0,),
    "mixed_precision": ("yes",),
    "callbacks": ("checkpoint",),
    "checkpoint": (3,),
    "device": (0.5,),
    "random_state": ("seed",),
    "verbose": (-1,),
    "n_attention_layers": (-1,),
    "attention_dim": (0,),
    "n_heads": (0,),
    "shared_projection": ("yes",),
    "embedding_dim": (1,),
    "n_frequencies": (0,),
    "frequency_scale": (0,),
    "hidden_dim": (1,),
    "feedforward_dim": (0,),
    "n_steps": (0,),
    "dropout": (1.0,),
    "deep_supervision": (None,),
    "confidence": (3,),
    "scaling": ("minmax",),
    "loss": ("mse",),
    "aggregation": ("best",),
    "class_weight": ("equal",),
}


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (cls, name, value)
        for cls in (HybridTRIADSRegressor, HybridTRIADSClassifier)
        for name, values in _BAD_PARAMETERS.items()
        for value in values
        if name in {parameter.split("__")[-1] for parameter in cls().get_params()}
    ],
)
def test_bad_parameters_are_named(fit, cls, name, value):
    owner = rf"({cls.__name__}|HybridTRIADSOptions|TrainingOptions)"
    with pytest.raises(InvalidParameterError, match=rf"'{name}' parameter of {owner} must be"):
        fit(cls, **{name: value})


@_BOTH
def test_parameters_that_do_not_fit_each_other_are_named(fit, cls, table, is_metal):
    with pytest.raises(ValueError, match="n_heads=3 must divide attention_dim=64"):
        fit(cls, n_attention_layers=1, n_heads=3)
    with pytest.raises((ValueError, RuntimeError), match="abacus"):
        fit(cls, device="abacus")
    with pytest.raises(ValueError, match=r"validation_fraction=0\.99 leaves none of 6"):
        fit(cls, X=table[:6], y=[0, 1, 0, 1, 0, 1], validation_fraction=0.99)


def test_unknown_parameter_is_refused_at_once():
    with pytest.raises(TypeError, match="n_epochs"):
        HybridTRIADSRegressor(n_epochs=3)
    with pytest.raises(TypeError, match="positional"):
        HybridTRIADSRegressor(3)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({0.0: 1.0, 5.0: 1.0}, "classes"),
        ({0.0: 1.0, 1.0: -1.0}, "class_weight holds -1.0"),
        ({0.0: 1.0, 1.0: np.nan}, "class_weight holds nan"),
    ],
)
def test_bad_weights_of_classes_are_named(fit, weights, match):
    with pytest.raises(ValueError, match=match):
        fit(HybridTRIADSClassifier, class_weight=weights)
