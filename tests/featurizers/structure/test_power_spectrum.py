"""The power spectrum: against sums written out, under all that must not change it, as a citizen."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from crystals import CRYSTALS, another_description, random_crystal
from pymatgen.core import Structure
from scipy.special import eval_legendre
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import trisk
from trisk.featurizers import FeaturizationError, PowerSpectrumFeaturizer
from trisk.structures.harmonics import real_spherical_harmonics


def written_out(crystal, cutoff, n_radial, max_degree):
    """Spectra of all atoms, pair of neighbours by pair of neighbours."""
    spectra = []
    for site, around in zip(crystal, crystal.get_all_neighbors(cutoff), strict=True):
        d = np.array([other.nn_distance for other in around])
        u = np.array([other.coords - site.coords for other in around]) / d[:, None]
        fade = (1 + np.cos(np.pi * d / cutoff)) / 2
        g = [
            np.sqrt(2 / cutoff) * np.sin(n * np.pi * d / cutoff) / d * fade
            for n in range(1, n_radial + 1)
        ]
        spectra.append(
            [
                g[a] @ eval_legendre(degree, u @ u.T) @ g[b] / (1 + fade.sum())
                for degree in range(max_degree + 1)
                for a in range(n_radial)
                for b in range(a, n_radial)
            ]
        )
    return np.array(spectra)


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize(("cutoff", "n_radial", "max_degree"), [(6.0, 3, 4), (4.5, 2, 7)])
def test_columns__any_crystal__equal_sums_written_out(name, cutoff, n_radial, max_degree):
    featurizer = PowerSpectrumFeaturizer(cutoff=cutoff, n_radial=n_radial, max_degree=max_degree)
    found = featurizer.fit_transform([CRYSTALS[name]])
    expected = written_out(CRYSTALS[name], cutoff, n_radial, max_degree)
    np.testing.assert_allclose(
        found.iloc[0], np.concatenate([expected.mean(0), expected.std(0)]), rtol=1e-7, atol=1e-9
    )
    assert found.columns[0] == "PowerSpectrum mean l=0 n=1,1"
    assert found.columns[-1] == f"PowerSpectrum std l={max_degree} n={n_radial},{n_radial}"


def test_harmonics__are_orthonormal():
    # Products of Gauss nodes in z and equal steps around integrate such polynomials exactly.
    z, weights = np.polynomial.legendre.leggauss(33)
    angles = np.arange(66) * np.pi / 33
    sine = np.sqrt(1 - z**2)
    points = [np.outer(sine, np.cos(angles)), np.outer(sine, np.sin(angles)), np.tile(z, (66, 1)).T]
    values = np.stack(real_spherical_harmonics(*np.stack(points, -1).reshape(-1, 3).T, 32), 1)
    gram = values.T @ (values * np.repeat(weights, 66)[:, None]) / 132
    np.testing.assert_allclose(gram, np.eye(33**2), atol=1e-12)


@pytest.mark.parametrize("volume", [None, 20.0])
def test_columns__random_crystals__depend_on_nothing_but_the_crystal(volume):
    rng = np.random.default_rng(1)
    crystals = [random_crystal(rng) for _ in range(80)]
    crystals = [c for c in crystals if c.is_valid(0.8) and c.volume / len(c) < 80]
    assert len(crystals) > 40
    others = [another_description(crystal, rng) for crystal in crystals]
    featurizer = PowerSpectrumFeaturizer(volume_per_atom=volume).fit([])
    before, after = featurizer.transform(crystals), featurizer.transform(others)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6 * before.abs().max(axis=None))


def test_mirror_image__is_the_same():
    crystal = CRYSTALS["monoclinic"]
    mirrored = Structure(crystal.lattice.matrix * [1, 1, -1], crystal.species, crystal.frac_coords)
    first, second = PowerSpectrumFeaturizer().fit_transform([crystal, mirrored]).to_numpy()
    np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


def test_exchange_of_elements__changes_nothing():
    crystal = CRYSTALS["quartz"]
    other = crystal.copy()
    other.replace_species({"Si": "Cl", "O": "U"})
    first, second = PowerSpectrumFeaturizer().fit_transform([crystal, other]).to_numpy()
    np.testing.assert_array_equal(first, second)


def test_volume_per_atom__makes_crystals_of_one_prototype_equal():
    crystals = [bulk("Cu"), bulk("Pb"), bulk("Fe")]
    plain = PowerSpectrumFeaturizer().fit_transform(crystals).to_numpy()
    scaled = PowerSpectrumFeaturizer(volume_per_atom=15.0).fit_transform(crystals).to_numpy()
    assert np.abs(plain[0] - plain[1]).max() > 1e-2
    np.testing.assert_allclose(scaled[0], scaled[1], rtol=1e-6, atol=1e-9)
    assert np.abs(scaled[0] - scaled[2]).max() > 1e-2


def test_neighbour_that_crosses_the_cutoff__leaves_no_step():
    distances = np.array([5.99, 5.999, 6.001, 6.01])
    chains = [
        Atoms("H2", [[0, 0, 0], [0, 0, 3]], cell=[20, 20, 3 + d], pbc=True) for d in distances
    ]
    X = PowerSpectrumFeaturizer().fit_transform(chains).to_numpy()
    assert np.abs(np.diff(X, axis=0)).max() < 1e-6
    assert np.abs(X[0] - X[-1]).max() > 0


def test_bad_structures__are_reported_and_nan():
    values = [bulk("Cu"), None, Atoms("Na", cell=[9, 9, 9], pbc=True), bulk("Si")]
    for volume in (None, 20.0):
        featurizer = PowerSpectrumFeaturizer(on_error="nan", cutoff=4.0, volume_per_atom=volume)
        with pytest.warns(UserWarning, match="rows hold NaN"):
            X = featurizer.fit_transform(values)
        assert X.isna().all(axis=1).tolist() == [False, True, volume is None, False]
    with pytest.raises(FeaturizationError, match=r"row 1: .*missing(.|\n)*row 2: 'Na': atom 0 has"):
        PowerSpectrumFeaturizer().fit_transform(values)


def test_contract__names_index_clone_pickle_save(tmp_path):
    frame = pd.DataFrame({"structure": list(CRYSTALS.values())}, index=list(CRYSTALS))
    featurizer = PowerSpectrumFeaturizer(n_radial=3, volume_per_atom=20, n_jobs=1)
    X = featurizer.fit_transform(frame)
    assert X.index.tolist() == list(CRYSTALS)
    assert X.columns.tolist() == featurizer.get_feature_names_out().tolist()
    assert X.shape[1] == featurizer.n_features_out_ == X.columns.nunique() == 60
    trisk.save(featurizer, tmp_path / "spectrum.trisk")
    for copy in (
        clone(featurizer).fit(frame),
        pickle.loads(pickle.dumps(featurizer)),
        trisk.load(tmp_path / "spectrum.trisk"),
    ):
        pd.testing.assert_frame_equal(copy.transform(frame), X)
    assert clone(featurizer).fit_transform([]).shape == (0, 60)
    for name, wrong in {"n_radial": 0, "max_degree": -1, "volume_per_atom": 0}.items():
        with pytest.raises(ValueError, match=name):
            PowerSpectrumFeaturizer(**{name: wrong}).fit([])


def test_pipeline__knows_the_density_of_prototypes():
    X, _ = trisk.load_prototypes()
    y = [len(structure) / structure.volume for structure in X]
    forest = ExtraTreesRegressor(20, random_state=0)
    model = make_pipeline(PowerSpectrumFeaturizer(n_radial=4), forest)
    assert cross_val_score(model, X, y, cv=4).mean() > 0.8
