"""The spring model: against sums written out, under all that must not change it, as a citizen."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from crystals import CRYSTALS, another_description, random_crystal
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline, make_union

import trisk
from trisk.featurizers import FeaturizationError, MagpieFeaturizer, SpringModelFeaturizer
from trisk.featurizers.structure._springs import _quantiles, bond_sensors, bond_valences

WAVENUMBER = 1e-2 / (2 * np.pi * 2.99792458e8) / np.sqrt(1.66053906660e-27)


def named(X, row=0):
    return {name.removeprefix("SpringModel "): X.iloc[row][name] for name in X}


def written_out(crystal, cutoff=6.0):
    """The main columns of one crystal, bond by bond."""
    masses = np.array([site.specie.atomic_mass for site in crystal], dtype=float)
    numbers = np.array([site.specie.Z for site in crystal])
    neighbors = crystal.get_all_neighbors(cutoff)
    sites, bonds = np.zeros((len(crystal), 3, 3)), []
    for i, around in enumerate(neighbors):
        for other in around:
            j, d = other.index, other.nn_distance
            u = (other.coords - crystal[i].coords) / d
            pair = np.array([numbers[i]]), np.array([numbers[j]]), np.array([d])
            k, valence = bond_sensors(*pair)[0, 0], bond_valences(*pair)[0]
            sites[i] += k * np.outer(u, u)
            bonds.append((i, j, u, k, valence))
    einstein = np.concatenate(
        [
            WAVENUMBER * np.sqrt(np.linalg.eigvalsh(a) / m)
            for a, m in zip(sites, masses, strict=True)
        ]
    )
    pairs, own = [], []
    for i, j, u, k, _ in bonds:
        c = -k / np.sqrt(masses[i] * masses[j])
        matrix = [[u @ sites[i] @ u / masses[i], c], [c, u @ sites[j] @ u / masses[j]]]
        pairs.append(WAVENUMBER * np.sqrt(np.linalg.eigvalsh(matrix)[-1]))
        own.append(WAVENUMBER * np.sqrt(k * (1 / masses[i] + 1 / masses[j])))
    valences = np.array([bond[-1] for bond in bonds])
    sums = np.bincount([bond[0] for bond in bonds], weights=valences)
    return {
        "highest pair frequency (1/cm)": max(pairs),
        "mean pair frequency (1/cm)": np.average(pairs, weights=valences),
        "highest bond frequency (1/cm)": max(own),
        "lowest Einstein frequency (1/cm)": einstein.min(),
        "highest Einstein frequency (1/cm)": einstein.max(),
        "mean Einstein frequency (1/cm)": einstein.mean(),
        "rms Einstein frequency (1/cm)": np.sqrt((einstein**2).mean()),
        "lowest valence sum": sums.min(),
        "highest valence sum": sums.max(),
        "fastest bond stiffness (N/m)": bonds[int(np.argmax(pairs))][3],
        "volume per atom (A3)": crystal.volume / len(crystal),
    }


@pytest.mark.parametrize("name", CRYSTALS)
def test_columns__any_crystal__equal_sums_written_out(name):
    columns = named(SpringModelFeaturizer().fit_transform([CRYSTALS[name]]))
    for column, expected in written_out(CRYSTALS[name]).items():
        assert columns[column] == pytest.approx(expected, rel=2e-4), column


def test_two_atoms_alone__vibrate_on_their_own_spring():
    molecule = Atoms("OC", [[0, 0, 0], [0, 0, 1.13]], cell=[15, 15, 15], pbc=True)
    columns = named(SpringModelFeaturizer().fit_transform([molecule]))
    pair = columns["highest pair frequency (1/cm)"]
    assert pair == pytest.approx(columns["highest bond frequency (1/cm)"], rel=1e-6)
    assert columns["fastest bond lighter atom mass (u)"] == pytest.approx(12.0107, abs=1e-3)
    assert columns["fastest bond heavier atom mass (u)"] == pytest.approx(15.9994, abs=1e-3)
    assert columns["lowest Einstein frequency (1/cm)"] == pytest.approx(0, abs=1e-3)


def test_quantiles__are_values_of_the_run_and_do_not_feel_repetition():
    rng = np.random.default_rng(0)
    runs = [rng.random(n) for n in (1, 2, 7, 10, 30)]
    offsets = np.cumsum([0] + [len(run) for run in runs])
    found = _quantiles(np.concatenate(runs), offsets)
    levels = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
    for run, row in zip(runs, found, strict=True):
        np.testing.assert_array_equal(row, np.quantile(run, levels, method="inverted_cdf"))
    repeated = np.concatenate([np.tile(run, 3) for run in runs])
    np.testing.assert_array_equal(_quantiles(repeated, 3 * offsets), found)


@pytest.mark.filterwarnings("ignore:SpringModelFeaturizer")
def test_columns__random_crystals__depend_on_nothing_but_the_crystal():
    rng = np.random.default_rng(1)
    crystals = [random_crystal(rng) for _ in range(60)]
    others = [another_description(crystal, rng) for crystal in crystals]
    featurizer = SpringModelFeaturizer(on_error="nan").fit([])
    before, after = featurizer.transform(crystals), featurizer.transform(others)
    failed = featurizer.explain_errors(crystals)["row"].tolist()
    assert featurizer.explain_errors(others)["row"].tolist() == failed
    assert len(failed) < 20
    assert before.drop(index=failed).notna().all(axis=None)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-3)


def test_bad_structures__are_reported_and_nan():
    values = [bulk("Cu"), None, Atoms("Na", cell=[9, 9, 9], pbc=True), bulk("Si")]
    with pytest.raises(FeaturizationError, match=r"row 1: .*missing(.|\n)*row 2: 'Na': atom 0 has"):
        SpringModelFeaturizer().fit_transform(values)
    featurizer = SpringModelFeaturizer(on_error="nan")
    with pytest.warns(UserWarning, match="2 of 4 rows hold NaN"):
        X = featurizer.fit_transform(values)
    assert X.isna().all(axis=1).tolist() == [False, True, True, False]
    assert featurizer.explain_errors(values)["row"].tolist() == [1, 2]
    pd.testing.assert_frame_equal(
        X.iloc[[3]].reset_index(drop=True), SpringModelFeaturizer().fit_transform([bulk("Si")])
    )


def test_contract__names_index_clone_pickle_save(tmp_path):
    frame = pd.DataFrame({"structure": list(CRYSTALS.values())}, index=list(CRYSTALS))
    featurizer = SpringModelFeaturizer(n_jobs=1)
    X = featurizer.fit_transform(frame)
    assert X.index.tolist() == list(CRYSTALS)
    assert X.columns.tolist() == featurizer.get_feature_names_out().tolist()
    assert X.shape[1] == featurizer.n_features_out_ == X.columns.nunique()
    trisk.save(featurizer, tmp_path / "springs.trisk")
    for copy in (
        clone(featurizer).fit(frame),
        pickle.loads(pickle.dumps(featurizer)),
        trisk.load(tmp_path / "springs.trisk"),
    ):
        pd.testing.assert_frame_equal(copy.transform(frame), X)
    assert isinstance(featurizer.set_output(transform="default").transform(frame), pd.DataFrame)
    assert clone(featurizer).fit_transform([]).shape == (0, X.shape[1])
    with pytest.raises(ValueError, match="cutoff"):
        SpringModelFeaturizer(cutoff=0).fit([])


def test_pipeline__beside_magpie__cross_validates():
    X, _ = trisk.load_prototypes()
    X = X[:40]
    y = [structure.density for structure in X]
    forest = ExtraTreesRegressor(20, random_state=0)
    both = make_union(MagpieFeaturizer(), SpringModelFeaturizer())
    assert cross_val_score(make_pipeline(both, forest), X, y, cv=4).mean() > 0.5


def test_phonons__fastest_pair__is_near_the_last_peak(matbench_dir):
    X, y = trisk.load_matbench("phonons")
    columns = SpringModelFeaturizer().fit_transform(X[:200])
    fastest = columns["SpringModel highest pair frequency (1/cm)"]
    assert np.corrcoef(fastest, y[:200])[0, 1] > 0.95
    assert 0.9 < (fastest / y[:200]).median() < 1.2
