"""A hundred crystals with a measured property, and the property of others is wanted.

    python examples/few_labelled_crystals.py

Learns the highest phonon frequency from a hundred of the structures of Matbench's phonon task
(fetched once if they are not on this machine; MATMINER_DATA names a folder that has them), with a
forest on Magpie columns, the same with measurements that a network predicts, and networks from
scratch and from the weights that come with trisk. Takes two minutes on one core.
"""

import argparse

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline, make_union

import trisk
from trisk import MagpieFeaturizer, TriForcesRegressor, TriForcesSensors


def of_logarithm(regressor):
    """Learn a positive quantity by its logarithm."""
    return TransformedTargetRegressor(regressor, func=np.log, inverse_func=np.exp)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--labels", type=int, default=100, help="crystals to learn from")
    parser.add_argument("--quick", action="store_true", help="hardly train; a test of the script")
    arguments = parser.parse_args()

    X, y = trisk.load_matbench("phonons")
    train, test, y_train, y_test = train_test_split(
        X, y, train_size=arguments.labels, test_size=300, random_state=0
    )

    forest = ExtraTreesRegressor(300, random_state=0)
    network = {"max_epochs": 1 if arguments.quick else 60, "random_state": 0, "verbose": 1}
    models = {
        "ExtraTrees, Magpie": make_pipeline(MagpieFeaturizer(), forest),
        "ExtraTrees, Magpie and predicted sensors": make_pipeline(
            make_union(MagpieFeaturizer(), TriForcesSensors()), forest
        ),
        "TriForces from scratch": of_logarithm(TriForcesRegressor(**network)),
        "TriForces, pre-trained": of_logarithm(TriForcesRegressor(pretrained="sensors", **network)),
    }
    found = {name: model.fit(train, y_train).predict(test) for name, model in models.items()}
    errors = {name: mean_absolute_error(y_test, predicted) for name, predicted in found.items()}
    print(f"{len(train)} crystals to learn from, {len(test)} to test on; MAE in cm⁻¹:")
    for name, error in errors.items():
        print(f"  {name:42s} {error:6.1f}")

    table = pd.DataFrame({"measured": y_test, "predicted": found["TriForces, pre-trained"]})
    table.insert(0, "formula", test.map(lambda structure: structure.composition.reduced_formula))
    highest = table.nlargest(5, "predicted").round(0)
    print("highest frequencies that the last model predicts:")
    print(highest.to_string(index=False))


if __name__ == "__main__":
    main()
