"""The plots that a table of held-out predictions allows."""

from trisk.plotting._calibration import CalibrationDisplay
from trisk.plotting._parity import ParityDisplay


def draw_predictions(predictions, *, classification=False, quantity=None, unit=None, name=None):
    """Draw parity and calibration of held-out predictions.

    Parameters
    ----------
    predictions : DataFrame of shape (n_rows, n_columns)
        Columns ``y_true``, ``y_pred`` and, if there are any, ``fold``, ``y_std`` and
        ``probability <class>``, as :func:`trisk.model_selection.nested_cross_validate` gives
        them.
    classification : bool, default=False
        Whether the targets are classes.
    quantity : str, default=None
        What is predicted.
    unit : str, default=None
        Its unit.
    name : str, default=None
        Name of the model.

    Returns
    -------
    displays : dict of str to display
        ``"parity"`` for numbers; ``"calibration"`` where there are spreads, or the
        probabilities of two classes.
    """
    displays = {}
    if not classification:
        spread = predictions.get("y_std")
        displays["parity"] = ParityDisplay.from_predictions(
            predictions["y_true"],
            predictions["y_pred"],
            y_std=spread,
            folds=predictions.get("fold"),
            name=name,
            quantity=quantity,
            unit=unit,
        )
        if spread is not None:
            displays["calibration"] = CalibrationDisplay.from_predictions(
                predictions["y_true"], predictions["y_pred"], spread, unit=unit, name=name
            )
        return displays
    classes = [c for c in predictions if c.startswith("probability ")]
    if len(classes) == 2:
        from sklearn.calibration import CalibrationDisplay as ProbabilityDisplay

        positive = classes[1].removeprefix("probability ")
        displays["calibration"] = ProbabilityDisplay.from_predictions(
            predictions["y_true"].astype(str) == positive,
            predictions[classes[1]],
            n_bins=10,
            name=name or "held-out predictions",
        )
    return displays
