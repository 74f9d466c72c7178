import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trisk.plotting import ParityDisplay


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    y_true = pd.Series(rng.uniform(1, 9, 60), name="gap")
    y_true.attrs = {"quantity": "band gap", "unit": "eV"}
    return y_true, y_true.to_numpy() + rng.normal(0, 0.5, 60)


def test_from_predictions__series_with_attrs__labels_points_and_limits(values):
    y_true, y_pred = values
    display = ParityDisplay.from_predictions(y_true, y_pred, name="forest")
    ax = display.ax_
    assert display.figure_ is ax.figure
    assert ax.get_xlabel() == "actual band gap (eV)"
    assert ax.get_ylabel() == "predicted band gap (eV)"
    np.testing.assert_allclose(display.points_.get_offsets(), np.c_[y_true, y_pred])
    low, high = ax.get_xlim()
    assert ax.get_ylim() == (low, high)
    assert low < min(y_true.min(), y_pred.min())
    assert high > max(y_true.max(), y_pred.max())
    assert ax.get_aspect() == 1
    assert ax.get_xticks().tolist() == ax.get_yticks().tolist()
    assert display.errorbar_ is None


def test_from_predictions__legend__tells_name_error_and_r2():
    display = ParityDisplay.from_predictions([0, 1, 2, 3], [0.5, 1, 2, 3.5], name="a", unit="MPa")
    assert display.text_ == "a: MAE 0.25 MPa, R² 0.90"
    assert [text.get_text() for text in display.legend_.get_texts()] == [display.text_]


def test_from_predictions__no_name_no_unit__plain_words():
    display = ParityDisplay.from_predictions([0, 1], [0, 2])
    assert display.text_ == "MAE 0.5, R² -1.00"
    assert display.ax_.get_xlabel() == "actual value"
    assert display.residual_ax_.get_ylabel() == "predicted − actual"


def test_from_predictions__folds__error_is_the_mean_over_folds():
    # Fold 0 has one row off by 3, fold 1 three rows that are exact: 1.5, not 0.75.
    display = ParityDisplay.from_predictions([0, 1, 2, 3], [3, 1, 2, 3], folds=[0, 1, 1, 1])
    assert display.text_.startswith("MAE 1.5 ± 1.5,")


def test_from_predictions__y_std__draws_bars_of_one_deviation(values):
    y_true, y_pred = values
    display = ParityDisplay.from_predictions(y_true, y_pred, y_std=np.full(60, 0.25))
    (bars,) = display.errorbar_.lines[2]
    segments = np.array(bars.get_segments())
    np.testing.assert_allclose(segments[:, :, 1], np.c_[y_pred - 0.25, y_pred + 0.25])
    np.testing.assert_allclose(segments[:, 0, 0], y_true)


def test_from_predictions__two_models_on_one_axes__share_everything(values):
    y_true, y_pred = values
    first = ParityDisplay.from_predictions(y_true, y_pred, name="one")
    second = ParityDisplay.from_predictions(y_true, y_pred + 10, name="two", ax=first.ax_)
    assert second.ax_ is first.ax_
    assert second.residual_ax_ is first.residual_ax_
    assert second.identity_ is first.identity_
    assert len(second.ax_.child_axes) == 1
    colors = [display.points_.get_facecolor()[0, :3].tolist() for display in (first, second)]
    assert colors[0] != colors[1]
    assert len(second.legend_.get_texts()) == 2
    assert second.ax_.get_ylim()[1] > y_pred.max() + 10
    # A filled and an outlined histogram for each model.
    assert len(second.residual_ax_.patches) == 4


def test_from_predictions__residual_panel__counts_every_row(values):
    y_true, y_pred = values
    display = ParityDisplay.from_predictions(y_true, y_pred)
    outline = display.residual_ax_.patches[1].get_xy()
    steps = outline[1:-1:2]  # the corners where a bin starts
    assert display.residual_ax_.get_ylabel() == "predicted − actual (eV)"
    assert steps[:, 0].sum() == len(y_true)
    low, high = display.residual_ax_.get_ylim()
    assert low == -high


def test_from_predictions__own_axes_colour_and_no_residuals(values):
    _, axes = plt.subplots(1, 2)
    style = {"color": "red", "s": 3}
    display = ParityDisplay.from_predictions(
        *values, ax=axes[1], residuals=False, scatter_kwargs=style
    )
    assert display.ax_ is axes[1]
    assert display.residual_ax_ is None
    assert display.points_.get_facecolor()[0, :3].tolist() == [1, 0, 0]
    assert display.points_.get_sizes().tolist() == [3]


@pytest.mark.parametrize("scale", [1, 1e4])
def test_from_predictions__saved_picture__nothing_is_cut_off_or_overlaps(values, scale):
    y_true, y_pred = values
    y_true = y_true * scale
    for name in ("HybridTRIADSRegressor", "ExtraTreesRegressor", "RandomForestRegressor"):
        ax = plt.gca() if plt.get_fignums() else None
        display = ParityDisplay.from_predictions(y_true, y_pred * scale, name=name, ax=ax)
    display.figure_.canvas.draw()
    picture = display.figure_.bbox
    boxes = {
        "plot": display.ax_.get_window_extent(),
        "panel": display.residual_ax_.get_tightbbox(),
        "legend": display.legend_.get_window_extent(),
    }
    labels = (
        display.ax_.yaxis.label.get_window_extent(),
        display.ax_.xaxis.label.get_window_extent(),
    )
    for box in (*boxes.values(), *labels):
        assert picture.x0 <= box.x0 < box.x1 <= picture.x1
        assert picture.y0 <= box.y0 < box.y1 <= picture.y1
    assert not boxes["plot"].overlaps(boxes["panel"])
    assert boxes["legend"].y0 >= boxes["plot"].y1
    assert boxes["plot"].width == pytest.approx(boxes["plot"].height, rel=1e-3)


def test_from_predictions__exact_or_single_values__still_draws():
    assert ParityDisplay.from_predictions([2.0], [2.0]).text_ == "MAE 0"
    ParityDisplay.from_predictions([1.0, 2.0], [1.0, 2.0]).figure_.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2, 3]), "inconsistent numbers of samples"),
        (([1, np.nan], [1, 2]), "y_true contains NaN"),
        (([1, 2], [1, np.inf]), "y_pred contains infinity"),
        (([], []), "minimum of 1 is required"),
        ((np.ones((2, 2)), np.ones((2, 2))), r"y_true has shape \(2, 2\).*one column at a time"),
    ],
)
def test_from_predictions__bad_values__name_the_array(arguments, message):
    with pytest.raises(ValueError, match=message):
        ParityDisplay.from_predictions(*arguments)


def test_from_predictions__negative_std__names_the_row():
    with pytest.raises(ValueError, match=r"y_std must not be negative, but row 1 has -0\.5"):
        ParityDisplay.from_predictions([1, 2], [1, 2], y_std=[0.1, -0.5])


def test_from_estimator__pipeline__is_named_after_its_last_step(values):
    y_true, _ = values
    X = np.arange(60.0)[:, None]
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(X, y_true)
    display = ParityDisplay.from_estimator(model, X, y_true)
    assert display.text_.startswith("LinearRegression: MAE")
    np.testing.assert_allclose(display.points_.get_offsets()[:, 1], model.predict(X))
    assert ParityDisplay.from_estimator(model, X, y_true, name="mine").text_.startswith("mine:")


def test_from_estimator__return_std__draws_the_spread(values):
    y_true, _ = values
    X = np.arange(60.0)[:, None]
    model = GaussianProcessRegressor(optimizer=None).fit(X[::2], y_true[::2])
    display = ParityDisplay.from_estimator(model, X, y_true, return_std=True)
    assert display.errorbar_ is not None


def test_from_estimator__unfitted__raises_not_fitted_error():
    with pytest.raises(NotFittedError):
        ParityDisplay.from_estimator(LinearRegression(), [[1.0]], [1.0])


def test_import_plotting__does_not_load_matplotlib_or_torch():
    code = "import sys, trisk.plotting; print({'matplotlib', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_hollow_markers():
    style = {"facecolors": "none", "edgecolors": "b"}
    display = ParityDisplay.from_predictions(
        [1.0, 2.0, 3.0], [1.1, 2.1, 2.9], [0.1, 0.1, 0.1], scatter_kwargs=style
    )
    assert display.errorbar_ is not None
    plt.close("all")
