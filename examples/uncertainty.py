"""What the spread of an ensemble tells: where to trust a prediction, and where not.

    python examples/uncertainty.py

Predicts every band gap of the table that ships with trisk by networks that never saw it, with
`return_std=True`, and compares the spread of the members, as it is and calibrated on inner folds,
with the error that was really made. Takes a few minutes on two cores.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

import trisk
from trisk import HybridTRIADSRegressor, MagpieFeaturizer


def predict_held_out(X, y, model):
    """Prediction and spread for every row, by the model of the fold that left it out."""
    results = trisk.cross_validate(model, X, y, cv=trisk.matbench_folds())
    table = pd.DataFrame({"formula": X, "measured": y})
    for fitted, rows in zip(results["estimator"], results["indices"]["test"], strict=True):
        center, std = fitted.predict(X.iloc[rows], return_std=True)
        table.loc[rows, ["predicted", "std"]] = np.column_stack([center, std])
        # What calibration did can be undone: std² = (factor · spread)² + floor².
        factor, floor = fitted[-1].spread_scale_
        table.loc[rows, "spread"] = np.sqrt(np.maximum(std**2 - floor**2, 0)) / factor
    table["error"] = (table["predicted"] - table["measured"]).abs()
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="hardly train; a test of the script")
    arguments = parser.parse_args()

    X, y = trisk.load_band_gaps()
    settings = {"n_members": 2, "max_epochs": 2} if arguments.quick else {"max_epochs": 40}
    network = HybridTRIADSRegressor(calibrate=True, random_state=0, verbose=1, **settings)
    table = predict_held_out(X, y, make_pipeline(MagpieFeaturizer(), network))

    names = ["smallest", "small", "middle", "large", "largest"]
    quintile = pd.qcut(table["spread"], 5, labels=names)
    groups = table.groupby(quintile, observed=True)[["spread", "error"]].mean()
    print("\nRows in five equal groups by their spread, means in eV:")
    print(groups.rename_axis("by spread").round(2).to_string())
    correlation = table["spread"].corr(table["error"], method="spearman")
    print(f"\nRank correlation of spread and error: {correlation:.2f}")
    for column in ("spread", "std"):
        inside = (table["error"] <= 2 * table[column]).mean()
        print(f"Errors within twice the {column}: {inside:.0%}")
    print("Members agree on what the data cannot tell them, so their spread alone is too small.")
    print("The calibrated standard deviation (calibrate=True) should hold some 95 % of the errors.")
    print("\nThe least certain predictions:")
    print(table.nlargest(5, "std").round(2).to_string(index=False))


if __name__ == "__main__":
    main()
