"""What the spread of an ensemble tells: where to trust a prediction, and where not.

    python examples/uncertainty.py

Predicts every band gap of the table that ships with trisk by networks that never saw it, with
`return_std=True`, and compares the spread of the members with the error that was really made.
Takes about a minute on two cores.
"""

import argparse

import pandas as pd
from sklearn.pipeline import make_pipeline

import trisk
from trisk import HybridTRIADSRegressor, MagpieFeaturizer


def predict_held_out(X, y, model):
    """Prediction and spread for every row, by the model of the fold that left it out."""
    results = trisk.cross_validate(model, X, y, cv=trisk.matbench_folds())
    table = pd.DataFrame({"formula": X, "measured": y})
    for fitted, rows in zip(results["estimator"], results["indices"]["test"], strict=True):
        table.loc[rows, "predicted"], table.loc[rows, "spread"] = fitted.predict(
            X.iloc[rows], return_std=True
        )
    table["error"] = (table["predicted"] - table["measured"]).abs()
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="hardly train; a test of the script")
    arguments = parser.parse_args()

    X, y = trisk.load_band_gaps()
    settings = {"n_members": 2, "max_epochs": 2} if arguments.quick else {"max_epochs": 40}
    network = HybridTRIADSRegressor(random_state=0, verbose=1, **settings)
    table = predict_held_out(X, y, make_pipeline(MagpieFeaturizer(), network))

    names = ["smallest", "small", "middle", "large", "largest"]
    quintile = pd.qcut(table["spread"], 5, labels=names)
    groups = table.groupby(quintile, observed=True)[["spread", "error"]].mean()
    print("\nRows in five equal groups by their spread, means in eV:")
    print(groups.rename_axis("by spread").round(2).to_string())
    correlation = table["spread"].corr(table["error"], method="spearman")
    print(f"\nRank correlation of spread and error: {correlation:.2f}")
    inside = (table["error"] <= 2 * table["spread"]).mean()
    print(f"Errors within two spreads: {inside:.0%}. A calibrated spread would give some 95 %:")
    print("members agree on what the data cannot tell them, so rank by the spread, do not read")
    print("it as an error bar.")
    print("\nThe least certain predictions:")
    print(table.nlargest(5, "spread").round(2).to_string(index=False))


if __name__ == "__main__":
    main()
