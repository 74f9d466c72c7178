"""Intervals that hold: conformal prediction with MAPIE around a network and trees.

    python examples/intervals.py

Trains on most of the band gaps that ship with trisk, conforms the intervals on rows kept aside, and
counts how often they hold the measured gap of rows that nobody has seen. Needs MAPIE
(`pip install trisk[intervals]`). Takes about a minute on two cores.
"""

import argparse

import pandas as pd
from mapie.regression import SplitConformalRegressor
from sklearn.model_selection import train_test_split

from trisk import HybridTRIADSRegressor, MagpieFeaturizer, load_band_gaps


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="hardly train; a test of the script")
    arguments = parser.parse_args()

    formulas, gaps = load_band_gaps()
    # MAPIE passes on arrays without column names.
    table = MagpieFeaturizer().fit_transform(formulas).to_numpy()
    X, X_test, y, y_test = train_test_split(table, gaps, test_size=0.25, random_state=0)
    X_train, X_conform, y_train, y_conform = train_test_split(X, y, test_size=0.3, random_state=0)

    settings = {"n_members": 2, "max_epochs": 2} if arguments.quick else {"max_epochs": 40}
    model = HybridTRIADSRegressor(
        stack_with="extra_trees", calibrate=True, random_state=0, verbose=1, **settings
    ).fit(X_train, y_train)
    print(f"The trees' share in the prediction: {model.stacked_weight_:.0%}")

    # Errors are divided by the predicted standard deviation, so that sure rows get short intervals.
    mapie = SplitConformalRegressor(
        model, confidence_level=[0.8, 0.9], conformity_score="std_normalized"
    ).conformalize(X_conform, y_conform)
    center, ends = mapie.predict_interval(X_test)
    for index, level in enumerate((0.8, 0.9)):
        low, high = ends[:, 0, index], ends[:, 1, index]
        inside = ((low <= y_test) & (y_test <= high)).mean()
        print(f"{level:.0%} intervals hold {inside:.0%} of {len(y_test)} measured gaps; ", end="")
        print(f"their mean width is {(high - low).mean():.2f} eV")

    shown = pd.DataFrame(
        {"measured": y_test, "predicted": center, "from": ends[:, 0, 1], "to": ends[:, 1, 1]}
    )
    shown.insert(0, "formula", formulas[y_test.index])
    print("\nSome of the 90 % intervals, in eV:")
    print(shown[:8].round(2).to_string(index=False))


if __name__ == "__main__":
    main()
