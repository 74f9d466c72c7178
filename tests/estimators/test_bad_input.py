"""Bad input gets the error that scikit-learn's users expect, and that says what is wrong."""

import numpy as np
import pytest
from nested import make
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from trisk.estimators import HybridTRIADSClassifier, HybridTRIADSRegressor

_BOTH = pytest.mark.parametrize("cls", [HybridTRIADSRegressor, HybridTRIADSClassifier])


@pytest.fixture(scope="module")
def table(features):
    return features.iloc[:, :6]


@pytest.fixture(scope="module")
def is_metal(gaps):
    return gaps == 0


@pytest.fixture(scope="module")
def fitted(table, gaps, small):
    return make(HybridTRIADSRegressor, **small).fit(table, gaps)


@pytest.fixture
def fit(table, is_metal, small):
    """Fit with something wrong: data and parameters replace the good ones."""

    good_target = is_metal.astype(float)

    def fit(cls, X=table, y=good_target, weight=None, **params):
        return make(cls, **{**small, **params}).fit(X, y, weight)

    return fit


def _with(table, value):
    spoilt = table.copy()
    spoilt.iloc[3, 2] = value
    return spoilt


@_BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_and_infinite_values_are_refused(fit, cls, table, value):
    match = "NaN" if np.isnan(value) else "infinity"
    with pytest.raises(ValueError, match=f"Input X contains {match}"):
        fit(cls, X=_with(table, value))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_values_are_refused_in_prediction(fitted, table, value):
    match = "NaN" if np.isnan(value) else "infinity"
    for method in (fitted.predict, lambda X: list(fitted.staged_predict(X))):
        with pytest.raises(ValueError, match=f"Input X contains {match}"):
            method(_with(table, value))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_targets_are_refused(fit, gaps, value):
    y = gaps.copy()
    y.iloc[3] = value
    match = "NaN" if np.isnan(value) else "infinity"
    with pytest.raises(ValueError, match=f"Input y contains {match}"):
        fit(HybridTRIADSRegressor, y=y)


@_BOTH
def test_one_row_is_refused(fit, cls, table, is_metal):
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2 is required"):
        fit(cls, X=table[:1], y=is_metal[:1])


@_BOTH
def test_empty_tables_are_refused(fit, cls, table, is_metal):
    with pytest.raises(ValueError, match=r"0 sample.* minimum of 2 is required"):
        fit(cls, X=table[:0], y=is_metal[:0])
    with pytest.raises(ValueError, match=r"0 feature.* minimum of 1 is required"):
        fit(cls, X=table.to_numpy()[:, :0])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        fit(cls, X=table.iloc[:, 0].to_numpy())


def test_empty_table_is_refused_in_prediction(fitted, table):
    with pytest.raises(ValueError, match="0 sample"):
        fitted.predict(table[:0])


def test_a_failed_refit_leaves_nothing_of_the_first_fit_to_predict_with(small):
    X = np.random.default_rng(0).uniform(size=(30, 3))
    model = make(HybridTRIADSRegressor, **small).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 0.9, np.nan, X), X[:, 0])
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_one_class_is_refused(fit, table):
    with pytest.raises(
        ValueError, match=r"at least 2 classes in y, but all have the class .?metal"
    ):
        fit(HybridTRIADSClassifier, y=["metal"] * len(table))


def test_one_class_of_positive_weight_is_refused(fit, is_metal):
    with pytest.raises(ValueError, match="at least 2 classes"):
        fit(HybridTRIADSClassifier, weight=is_metal.astype(float))


def test_continuous_labels_are_refused(fit, gaps):
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        fit(HybridTRIADSClassifier, y=gaps)


@_BOTH
def test_formulas_without_a_featurizer_are_refused(fit, cls, formulas):
    with pytest.raises(ValueError, match="could not convert string to float: 'Ag'"):
        fit(cls, X=formulas.to_frame())


def test_string_targets_are_refused(fit, formulas):
    with pytest.raises(ValueError, match="could not convert string to float"):
        fit(HybridTRIADSRegressor, y=formulas.to_numpy(dtype=object))


@_BOTH
def test_unequal_lengths_are_refused(fit, cls, is_metal):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(cls, y=is_metal[:-1])
    with pytest.raises(ValueError, match=r"sample_weight\.shape"):
        fit(cls, weight=np.ones(len(is_metal) - 1))


@_BOTH
def test_missing_target_is_refused(cls, table, small):
    with pytest.raises(ValueError, match="requires y to be passed"):
        make(cls, **small).fit(table, None)


def test_column_vector_target_is_noted_for_classes(fit, is_metal):
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        fit(HybridTRIADSClassifier, y=is_metal.to_numpy()[:, None])


def test_wrong_width_is_refused_in_prediction(fitted, table, gaps, small):
    with pytest.raises(ValueError, match=r"feature names should match[\s\S]*seen at fit time"):
        fitted.predict(table.iloc[:, :5])
    nameless = make(HybridTRIADSRegressor, **small).fit(table.to_numpy(), gaps)
    with pytest.raises(ValueError, match=r"X has 5 features, but .* is expecting 6 features"):
        nameless.predict(table.to_numpy()[:, :5])


def test_wrong_names_are_refused_in_prediction(fitted, table):
    renamed = table.rename(columns={table.columns[0]: "number"})
    with pytest.raises(ValueError, match=r"feature names should match[\s\S]*number"):
        fitted.predict(renamed)
    with pytest.raises(ValueError, match="must be in the same order"):
        fitted.predict(table[table.columns[::-1]])


def test_absent_names_are_noted_in_prediction(fitted, table):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        prediction = fitted.predict(table.to_numpy())
    np.testing.assert_array_equal(prediction, fitted.predict(table))


@_BOTH
def test_negative_weights_are_refused(fit, cls, table):
    weight = np.ones(len(table))
    weight[4] = -1
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        fit(cls, weight=weight)


@_BOTH
def test_weights_that_are_all_zero_are_refused(fit, cls, table):
    with pytest.raises(ValueError, match=r"(?i)weight.*zero"):
        fit(cls, weight=np.zeros(len(table)))


@_BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_weights_are_refused(fit, cls, table, value):
    weight = np.ones(len(table))
    weight[4] = value
    with pytest.raises(ValueError, match="sample_weight contains"):
        fit(cls, weight=weight)


def test_one_row_of_positive_weight_is_all_there_is_to_predict(fit, table, gaps):
    weight = np.zeros(len(table))
    weight[4] = 1
    model = fit(HybridTRIADSRegressor, y=gaps, weight=weight)
    np.testing.assert_array_equal(model.predict(table), gaps.iloc[4])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_members", 0),
        ("n_members", 2.5),
        ("max_epochs", "many"),
        ("max_epochs", 0),
        ("batch_size", -1),
        ("learning_rate", 0),
        ("learning_rate", "fast"),
        ("weight_decay", -1e-3),
        ("beta2", 1.0),
        ("max_grad_norm", 0),
        ("schedule", "linear"),
        ("averaging", "mean"),
        ("ema_decay", 1.0),
        ("validation_fraction", 1.0),
        ("validation_fraction", -0.1),
        ("patience", 0),
        ("callbacks", "checkpoint"),
        ("device", 0.5),
        ("random_state", "seed"),
        ("verbose", -1),
        ("n_attention_layers", -1),
        ("attention_dim", 0),
        ("n_heads", 0),
        ("shared_projection", "yes"),
        ("embedding_dim", 1),
        ("n_frequencies", 0),
        ("frequency_scale", 0),
        ("hidden_dim", 1),
        ("feedforward_dim", 0),
        ("n_steps", 0),
        ("dropout", 1.0),
        ("deep_supervision", None),
        ("confidence", 3),
        ("scaling", "minmax"),
    ],
)
@_BOTH
def test_bad_parameters_are_named(fit, cls, name, value):
    owner = rf"({cls.__name__}|HybridTRIADSOptions|TrainingOptions)"
    with pytest.raises(InvalidParameterError, match=rf"'{name}' parameter of {owner} must be"):
        fit(cls, **{name: value})


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (HybridTRIADSRegressor, "loss", "mse"),
        (HybridTRIADSRegressor, "aggregation", "best"),
        (HybridTRIADSClassifier, "class_weight", "equal"),
    ],
)
def test_bad_parameters_of_one_task_are_named(fit, cls, name, value):
    with pytest.raises(InvalidParameterError, match=rf"'{name}' parameter of {cls.__name__}"):
        fit(cls, **{name: value})


@_BOTH
def test_heads_that_do_not_divide_the_width_are_named(fit, cls):
    with pytest.raises(ValueError, match="n_heads=3 must divide attention_dim=64"):
        fit(cls, n_attention_layers=1, n_heads=3)


@_BOTH
def test_unknown_device_is_named(fit, cls):
    with pytest.raises((ValueError, RuntimeError), match="abacus"):
        fit(cls, device="abacus")


def test_unknown_parameter_is_refused_at_once():
    with pytest.raises(TypeError, match="n_epochs"):
        HybridTRIADSRegressor(n_epochs=3)
    with pytest.raises(TypeError, match="positional"):
        HybridTRIADSRegressor(3)


def test_class_weight_of_an_unknown_class_is_named(fit):
    with pytest.raises(ValueError, match="classes"):
        fit(HybridTRIADSClassifier, class_weight={0.0: 1.0, 5.0: 1.0})


def test_validation_that_leaves_no_training_rows_is_named(fit, table, gaps):
    with pytest.raises(ValueError, match=r"validation_fraction=0\.9 leaves none"):
        fit(HybridTRIADSRegressor, X=table[:2], y=gaps[:2], validation_fraction=0.9)


@pytest.mark.parametrize(
    ("cls", "methods"),
    [
        (HybridTRIADSRegressor, ["predict"]),
        (HybridTRIADSClassifier, ["predict", "predict_proba"]),
    ],
)
def test_prediction_before_fitting_says_so(cls, methods, table):
    for method in methods:
        with pytest.raises(NotFittedError, match=f"{cls.__name__} instance is not fitted yet"):
            getattr(cls(), method)(table)


def test_staged_prediction_before_fitting_says_so(table):
    with pytest.raises(NotFittedError):
        next(HybridTRIADSRegressor().staged_predict(table))
    with pytest.raises(NotFittedError):
        next(HybridTRIADSClassifier().staged_predict(table))


def test_a_failed_fit_leaves_a_new_estimator_unfitted(table, gaps, small):
    model = make(HybridTRIADSRegressor, **small)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(_with(table, np.nan), gaps)
    with pytest.raises(NotFittedError):
        model.predict(table)
