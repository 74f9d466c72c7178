"""What an interatomic potential knows of a crystal, as columns for any model.

    python examples/potential_sensors.py

Measures ordered alloys with ASE's effective-medium potential, which needs no weights, and
compares two forests that predict their bulk modulus from few alloys: one sees compositions, the
other also what the potential says of vibrations (of the sensors, only the elastic ones would give
the answer away). A second run answers from the cache. Takes about half a minute; with a universal
potential the same lines work for all elements (see PotentialFeaturizer).
"""

import argparse
import itertools
import tempfile
import time

from ase.build import bulk
from ase.calculators.emt import EMT
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline

from trisk import MagpieFeaturizer, PotentialFeaturizer
from trisk.featurizers import verify_potential

METALS = {"Al": 4.05, "Ni": 3.52, "Cu": 3.61, "Pd": 3.89, "Ag": 4.09, "Pt": 3.92, "Au": 4.08}


def ordered_alloys(metals):
    """Cells A3B and AB in the structures of Cu3Au and CuAu, at Vegard's lattice constant."""
    alloys = []
    for host, guest in itertools.permutations(metals, 2):
        for sites in ([0], [0, 1]):
            if len(sites) == 2 and host > guest:
                continue  # AB is BA
            share = len(sites) / 4
            a = (1 - share) * METALS[host] + share * METALS[guest]
            alloy = bulk(host, "fcc", a=a, cubic=True)
            alloy.symbols[sites] = guest
            alloys.append(alloy)
    return alloys


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="four metals instead of seven")
    arguments = parser.parse_args()
    alloys = ordered_alloys(list(METALS)[:4] if arguments.quick else METALS)

    # Weights that were loaded wrongly give other energies than those they were published with.
    verify_potential(EMT, [(bulk("Cu", a=3.61), -0.004), (bulk("Au", a=4.08), 0.003)])

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
    print(sensors.loc[stiffest].round(2).to_string())

    target = sensors["Potential bulk modulus (GPa)"]
    vibrations = [name for name in sensors if "gamma" in name or "Einstein" in name]
    table = sensors[vibrations].assign(formula=[alloy.get_chemical_formula() for alloy in alloys])
    magpie = (MagpieFeaturizer(), "formula")
    columns = {
        "composition": make_column_transformer(magpie),
        "composition and vibrations": make_column_transformer(magpie, ("passthrough", vibrations)),
    }
    print("\nbulk modulus, mean absolute error of five folds")
    for name, transformer in columns.items():
        model = make_pipeline(transformer, ExtraTreesRegressor(100, random_state=0))
        folds = KFold(5, shuffle=True, random_state=0)
        scores = cross_val_score(model, table, target, cv=folds, scoring="neg_mean_absolute_error")
        print(f"  {name:28s} {-scores.mean():.1f} GPa")


if __name__ == "__main__":
    main()
