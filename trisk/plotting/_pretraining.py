"""How a pre-training went: its objectives, and what each asks of each stream."""

from trisk.plotting._style import COLORS, legend_above, new_axes, plain_axes

_LOSSES = {
    "denoising": "denoising (variance left)",
    "masking": "masking (nats)",
    "lejepa": "LeJEPA",
}
_DASHES = {"denoising": "-", "masking": "--", "lejepa": ":"}


class PretrainingDisplay:
    """Objectives of a pre-training, or the gradients they give the streams, by epoch.

    Parameters
    ----------
    history : pandas.DataFrame
        ``history_`` of a :class:`trisk.estimators.TriForcesPretrainer`.
    kind : {"losses", "gradients"}, default="losses"
        What to draw: the objectives without their weights, or the norms of their weighted
        gradients in each stream.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the plot.
    figure_ : matplotlib.figure.Figure
        Their figure.
    lines_ : dict of str to matplotlib.lines.Line2D
        Lines by name of the history's column.
    legend_ : matplotlib.legend.Legend
        The legend.
    """

    def __init__(self, *, history, kind="losses"):
        self.history = history
        self.kind = kind

    @classmethod
    def from_estimator(cls, estimator, *, kind="losses", ax=None):
        """Draw the history of a fitted pre-trainer.

        Parameters
        ----------
        estimator : TriForcesPretrainer
            Fitted pre-trainer.
        kind : {"losses", "gradients"}, default="losses"
            What to draw.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.

        Returns
        -------
        PretrainingDisplay
            The display, drawn.
        """
        return cls(history=estimator.history_, kind=kind).plot(ax)

    def plot(self, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.

        Returns
        -------
        PretrainingDisplay
            This display.

        Raises
        ------
        ValueError
            If `kind` is neither of the two.
        """
        if self.kind not in ("losses", "gradients"):
            raise ValueError(f"kind must be 'losses' or 'gradients', but is {self.kind!r}.")
        self.ax_ = new_axes(ax, (7.2, 4.4))
        self.figure_, self.lines_ = self.ax_.figure, {}
        if self.kind == "losses":
            self._draw_losses()
        else:
            self._draw_gradients()
        self.ax_.set(xlabel="epoch", yscale="log")
        plain_axes(self.ax_)
        self.legend_ = legend_above(self.ax_, ncols=3)
        return self

    def _draw(self, column, **style):
        epochs, values = self.history["epoch"], self.history[column]
        (self.lines_[column],) = self.ax_.plot(epochs, values, **style)

    def _draw_losses(self):
        for color, (name, label) in zip(COLORS, _LOSSES.items(), strict=False):
            if name in self.history:
                self._draw(name, color=color, label=label)
        self.ax_.set_ylabel("objective")

    def _draw_gradients(self):
        columns = [c for c in self.history if " gradient " in c]
        streams = list(dict.fromkeys(column.split()[-1] for column in columns))
        for column in columns:
            objective, _, stream = column.split()
            style = {"color": COLORS[streams.index(stream)], "linestyle": _DASHES[objective]}
            self._draw(column, label=f"{stream}, {objective}", **style)
        self.ax_.set_ylabel("norm of the weighted gradient")
