"""
Crystal systems from geometry alone
===================================

The crystal system of the prototypes that come with pymatgen, learned from graphs without any
chemistry, beside a forest on the composition. A gate ends the recursion of each crystal when it is
done. A minute on one core.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

import trisk

X, y = trisk.load_prototypes()
# Four triclinic prototypes are too few to learn from and to test on; large cells take long.
kept = (y != "triclinic") & X.map(lambda structure: len(structure) <= 16)
X, y = X[kept], y[kept]
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

# Some prototypes are alone with their elements, which say little of the crystal system.
network = trisk.GraphTRIADSClassifier(
    class_weight="balanced",
    n_members=1,
    batch_size=16,
    max_epochs=20,
    unknown_elements="ignore",
    random_state=0,
)
model = make_pipeline(trisk.CrystalGraphFeaturizer(composition=None), network)
model.fit(X_train, y_train)

# %%
# A forest that sees formulas only.

formulas = X.map(lambda structure: structure.composition.reduced_formula)
forest = make_pipeline(
    trisk.MagpieFeaturizer(missing="mean"), ExtraTreesClassifier(300, random_state=0)
)
forest.fit(formulas[X_train.index], y_train)

print(f"{len(X_train)} prototypes to learn from, {len(X_test)} to test on; balanced accuracy:")
for name, predicted in (
    ("GraphTRIADS, no chemistry", model.predict(X_test)),
    ("ExtraTrees on Magpie", forest.predict(formulas[X_test.index])),
    ("always the same", np.full(len(X_test), y_train.mode()[0])),
):
    print(f"  {name:26s} {balanced_accuracy_score(y_test, predicted):.2f}")

# %%
# How many cycles of the recursion did each crystal take?

cycles = network.count_cycles(model[0].transform(X_test))
plt.hist(cycles, bins=20)
plt.xlabel("cycles before halting")
plt.ylabel("structures")
plt.show()
