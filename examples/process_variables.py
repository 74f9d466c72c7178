"""Formulas beside process variables: one ColumnTransformer, one grid search.

    python examples/process_variables.py

A property of a material depends on how it was made. Here a table holds a formula and two process
variables per row; the formula is featurized, the numbers pass as they are, and scikit-learn's
GridSearchCV chooses settings of the network on the rows that are not kept for the final test.

The data are SYNTHETIC: a made-up rule gives the hardness of aged aluminium alloys, with noise. It
stands in for a table of your own and says nothing about real alloys. Takes less than a minute.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from trisk import HybridTRIADSRegressor
from trisk.featurizers import ElementFractionFeaturizer


def make_synthetic_alloys(n_samples, seed=0):
    """A made-up table: copper and magnesium content, ageing temperature and time, hardness."""
    rng = np.random.default_rng(seed)
    cu, mg = rng.uniform(0.005, 0.05, n_samples), rng.uniform(0.0, 0.03, n_samples)
    temperature = rng.uniform(100, 260, n_samples)
    hours = 10 ** rng.uniform(-1, 2, n_samples)
    # The hotter, the sooner the (made-up) peak of hardness comes.
    lateness = np.log10(hours) - (180 - temperature) / 40
    hardness = 40 + 1500 * (cu + 0.5 * mg) * np.exp(-np.square(lateness))
    return pd.DataFrame(
        {
            "formula": [
                f"Al{1 - c - m:.4f}Cu{c:.4f}Mg{m:.4f}" for c, m in zip(cu, mg, strict=True)
            ],
            "ageing temperature, °C": temperature,
            "ageing time, log10 h": np.log10(hours),
            "synthetic hardness, HV": hardness + rng.normal(0, 2, n_samples),
        }
    )


def make_search(quick):
    """Features by column, the network on top, a grid over two of its settings."""
    features = ColumnTransformer(
        [
            ("fractions", ElementFractionFeaturizer(), "formula"),
            ("process", "passthrough", ["ageing temperature, °C", "ageing time, log10 h"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    network = HybridTRIADSRegressor(max_epochs=2 if quick else 60, random_state=0)
    grid = {"model__n_members": [2, 4], "model__learning_rate": [1e-3, 3e-3]}
    pipeline = Pipeline([("features", features), ("model", network)])
    return GridSearchCV(pipeline, grid, cv=3, scoring="neg_mean_absolute_error", verbose=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="hardly train; a test of the script")
    arguments = parser.parse_args()

    table = make_synthetic_alloys(60 if arguments.quick else 240)
    print("Synthetic data, made up for this example:")
    print(table.head(3).to_string(index=False), "\n")
    X, y = table.iloc[:, :-1], table.iloc[:, -1]
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

    search = make_search(arguments.quick).fit(X_train, y_train)
    results = pd.DataFrame(search.cv_results_)
    for settings, score in zip(results["params"], results["mean_test_score"], strict=True):
        print(f"  {settings}: MAE {-score:.2f} HV")
    error = mean_absolute_error(y_test, search.predict(X_test))
    baseline = mean_absolute_error(y_test, np.full(len(y_test), y_train.median()))
    print(f"\nBest settings: {search.best_params_}")
    print(f"MAE on {len(X_test)} rows kept apart: {error:.2f} HV.")
    print(f"Guessing the median gives {baseline:.2f} HV, the noise of the data alone 1.60 HV.")


if __name__ == "__main__":
    main()
