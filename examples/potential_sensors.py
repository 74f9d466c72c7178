"""
Sensors from a potential
========================

What an interatomic potential knows of a crystal, as columns for any model. Ordered alloys are
measured with ASE's effective-medium potential; two forests predict their shear modulus, one from
compositions, the other also from vibrations. With a universal potential the same lines work for all
elements. Half a minute.
"""

import itertools
import tempfile
import time

import pandas as pd
from ase.build import bulk
from ase.calculators.emt import EMT
from matplotlib import pyplot as plt
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

import trisk
from trisk import MagpieFeaturizer, ParityDisplay, PotentialFeaturizer
from trisk.featurizers import verify_potential

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

# %%
# Weights that were loaded wrongly give other energies than those they were published with; two
# known energies show it.

verify_potential(EMT, [(bulk("Cu", a=3.61), -0.004), (bulk("Au", a=4.08), 0.003)])

# %%
# Measurements are kept on disk, by the content of the structure: a second run reads them.

with tempfile.TemporaryDirectory() as folder:
    featurizer = PotentialFeaturizer(
        EMT,
        sensors=["energy", "gamma", "einstein", "elasticity"],
        relax="cell",
        memory=folder,
        potential_name="EMT of ASE",
    )
    for attempt in ("measured", "read again"):
        start = time.perf_counter()
        sensors = featurizer.fit_transform(alloys)
        print(f"{len(alloys)} alloys {attempt}: {time.perf_counter() - start:.2f} s")

stiffest = sensors["Potential bulk modulus (GPa)"].idxmax()
print(f"\n{alloys[stiffest].get_chemical_formula()}, the stiffest:")
print(sensors.loc[stiffest].filter(like="modulus").round(1).to_string())

# %%
# Of the sensors, only the elastic ones would give the answer away; vibrations are fair. They help a
# little: how stiff a crystal is against shear has to do with its softer vibrations. For the bulk
# modulus, which follows the composition more closely, they do not.

target = sensors["Potential shear modulus (GPa)"]
target.attrs = {"quantity": "shear modulus", "unit": "GPa"}
vibrations = [name for name in sensors if "gamma" in name or "Einstein" in name]
table = sensors[vibrations].assign(formula=[alloy.get_chemical_formula() for alloy in alloys])
magpie = (MagpieFeaturizer(), "formula")
columns = {
    "composition": make_column_transformer(magpie),
    "composition and vibrations": make_column_transformer(magpie, ("passthrough", vibrations)),
}
folds = KFold(5, shuffle=True, random_state=0)
errors, ax = {}, None
for name, transformer in columns.items():
    model = make_pipeline(transformer, ExtraTreesRegressor(100, random_state=0))
    results = trisk.nested_cross_validate(model, table, target, outer=folds, verbose=0)
    errors[name] = results.folds["mae"].mean()
    held_out = results.predictions.loc[table.index]
    ax = ParityDisplay.from_predictions(target, held_out["y_pred"], name=name, ax=ax).ax_
plt.show()
print(pd.Series(errors, name="MAE, GPa").round(1).to_string())
