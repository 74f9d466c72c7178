"""What all displays share: colours, lines, labels, and the check of what they are given."""

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils import check_array

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Lines that mark what would be perfect.
GUIDE: dict[str, Any] = {"color": "0.35", "linewidth": 1, "linestyle": (0, (5, 3))}


def numbers(values, name):
    """One column of finite numbers, or an error that names the array at fault."""
    values = check_array(values, ensure_2d=False, dtype="numeric", input_name=name)
    if values.size != len(values):
        raise ValueError(
            f"{name} has shape {values.shape}, but a plot shows one target: pass one column at a "
            "time."
        )
    return values.ravel().astype(float)


def class_name(estimator):
    """Name of what predicts, for a legend."""
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    return type(last).__name__


def with_unit(words, unit):
    """Label of an axis."""
    return f"{words} ({unit})" if unit else words


def plain_axes(ax):
    """Pale grid behind the data, and no frame where no axis is."""
    ax.grid(True, color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def legend_above(ax, **settings):
    """Legend over the plot, where it hides nothing."""
    return ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        frameon=False,
        fontsize="small",
        handletextpad=0.3,
        **settings,
    )


def new_axes(ax, size=(5.2, 4.2)):
    """The given axes, or those of a new figure."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]
