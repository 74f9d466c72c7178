"""Crystal systems from structures: a question of geometry alone.

    python examples/crystal_systems.py

Learns the crystal system of the prototypes that come with pymatgen from graphs without any
chemistry, beside a forest on the composition, and says how many cycles of the recursion the
network took. Takes a minute on one core.
"""

import argparse

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

import trisk


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="hardly train; a test of the script")
    arguments = parser.parse_args()

    X, y = trisk.load_prototypes()
    # Four triclinic prototypes are too few to learn from and to test on; large cells take long.
    kept = (y != "triclinic") & X.map(lambda structure: len(structure) <= 24)
    X, y = X[kept], y[kept]
    train, test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

    settings = {"n_members": 1, "max_epochs": 1 if arguments.quick else 20}
    network = trisk.GraphTRIADSClassifier(
        class_weight="balanced", batch_size=16, random_state=0, verbose=1, **settings
    )
    model = make_pipeline(trisk.CrystalGraphFeaturizer(composition=None), network)
    model.fit(train, y_train)

    forest = make_pipeline(
        trisk.MagpieFeaturizer(missing="mean"), ExtraTreesClassifier(300, random_state=0)
    )
    formulas = X.map(lambda structure: structure.composition.reduced_formula)
    forest.fit(formulas[train.index], y_train)

    print(f"{len(train)} prototypes to learn from, {len(test)} to test on; balanced accuracy:")
    for name, predicted in (
        ("GraphTRIADS, no chemistry", model.predict(test)),
        ("ExtraTrees on Magpie", forest.predict(formulas[test.index])),
        ("always the same", np.full(len(test), y_train.mode()[0])),
    ):
        print(f"  {name:26s} {balanced_accuracy_score(y_test, predicted):.2f}")
    cycles = network.count_cycles(model[0].transform(test))
    most = network.get_params()["network__max_cycles"]
    print(f"cycles of the recursion: {cycles.mean():.1f} of at most {most}")


if __name__ == "__main__":
    main()
