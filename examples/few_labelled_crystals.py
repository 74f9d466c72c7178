"""
Few labelled crystals
=====================

Twenty crystals have a measured property, and that of others is wanted. The property is the highest
vibration of ordered alloys, "measured" with ASE's effective-medium potential so that nothing need
be downloaded. A forest on compositions, the same with predicted measurements of a universal
potential, and networks from scratch and from weights that come with trisk. A minute or two.
"""

import itertools

import pandas as pd
from ase.build import bulk
from ase.calculators.emt import EMT
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline, make_union

import trisk
from trisk import MagpieFeaturizer, ParityDisplay, TriForcesRegressor, TriForcesSensors

edges = {"Al": 4.05, "Ni": 3.52, "Cu": 3.61, "Pd": 3.89, "Ag": 4.09, "Pt": 3.92, "Au": 4.08}
alloys = []
for host, guest in itertools.permutations(edges, 2):
    for sites in ([0], [0, 1]):  # A3B as Cu3Au, AB as CuAu, at Vegard's lattice constant
        if len(sites) == 2 and host > guest:
            continue  # AB is BA
        share = len(sites) / 4
        edge = (1 - share) * edges[host] + share * edges[guest]
        alloy = bulk(host, "fcc", a=edge, cubic=True)
        alloy.symbols[sites] = guest
        alloys.append(alloy)

measured = trisk.PotentialFeaturizer(EMT, sensors=["gamma"], relax="cell").fit_transform(alloys)
X, y = pd.Series(alloys), measured["Potential gamma highest 1 (1/cm)"]
y.attrs = {"quantity": "highest frequency", "unit": "cm⁻¹"}
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=20, random_state=0)
print(f"{len(X_train)} alloys to learn from, {len(X_test)} to test on")

# %%
# Four models. ``make_union`` puts predicted measurements beside Magpie's columns.

forest = ExtraTreesRegressor(300, random_state=0)
network = TriForcesRegressor(max_epochs=60, random_state=0)
models = {
    "forest, Magpie": make_pipeline(MagpieFeaturizer(), forest),
    "forest, Magpie and sensors": make_pipeline(
        make_union(MagpieFeaturizer(), TriForcesSensors()), forest
    ),
    "TriForces, from scratch": network,
    "TriForces, pre-trained": TriForcesRegressor(**network.get_params(deep=False)).set_params(
        pretrained="default"
    ),
}
found = {name: model.fit(X_train, y_train).predict(X_test) for name, model in models.items()}
errors = {name: mean_absolute_error(y_test, predicted) for name, predicted in found.items()}
print(pd.Series(errors, name="MAE, cm⁻¹").round(1).to_string())

# %%
# One draw of twenty says little; :doc:`/results` has three draws on real phonons. Here are two of
# the models.

ax = None
for name in ("forest, Magpie", "TriForces, pre-trained"):
    ax = ParityDisplay.from_predictions(y_test, found[name], name=name, ax=ax).ax_
