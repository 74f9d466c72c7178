"""Sensors of sites and bonds from a potential: known springs, EMT, symmetry, citizenship."""

import pickle

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.neighborlist import neighbor_list
from sklearn.base import clone

from trisk.estimators import GraphTRIADSRegressor
from trisk.featurizers import CrystalGraphFeaturizer, FeaturizationError, PotentialFeaturizer
from trisk.featurizers.potential._bond_force_constants import NEWTON_PER_METRE
from trisk.featurizers.potential._vibrations import WAVENUMBER

STIFFNESS = 3.0  # eV/Å²
LENGTH = 4.0 * np.sqrt(3) / 2  # Å, of the bond in caesium chloride with a = 4 Å


class CentralSprings(Calculator):
    """Springs at rest between nearest neighbours, stiff along the bond alone."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, lengths, vectors = neighbor_list("idD", self.atoms, 1.08 * LENGTH)
        forces = np.zeros((len(self.atoms), 3))
        stretch = STIFFNESS * (lengths - LENGTH)
        np.add.at(forces, i, (stretch / lengths)[:, None] * vectors)
        self.results = {"energy": (stretch**2).sum() / STIFFNESS / 4, "forces": forces}


def cesium_chloride():
    return bulk("CsCl", "cesiumchloride", a=4.0)


def copper_gold():
    atoms = bulk("Cu", cubic=True, a=3.75)
    atoms.numbers[0] = 79
    return atoms


def featurizer_of(calculator, **settings):
    potential = PotentialFeaturizer(calculator, **settings)
    return CrystalGraphFeaturizer(order=1, composition=None, potential=potential)


def graphs_of(calculator, crystals, **settings):
    return featurizer_of(calculator, **settings).fit_transform(crystals)


def column(graphs, name):
    return graphs.bond_sensors[:, graphs.names["bond_sensors"].index(name)]


def test_springs__are_found_again():
    crystal = cesium_chloride()
    graphs = graphs_of(CentralSprings(), [crystal])
    nearest = graphs.bond_lengths < LENGTH + 0.1
    stiffness = column(graphs, "bond stiffness (N/m)")
    assert pytest.approx(16.0217663) == NEWTON_PER_METRE
    np.testing.assert_allclose(stiffness[nearest], STIFFNESS * NEWTON_PER_METRE, rtol=1e-3)
    np.testing.assert_allclose(stiffness[~nearest], 0, atol=1e-3)
    np.testing.assert_allclose(column(graphs, "transverse stiffness (N/m)"), 0, atol=2e-3)
    masses = crystal.get_masses()
    # Eight springs along the diagonals: Φᵢᵢ is 8 k / 3 times the unit matrix.
    on_site = 8 * STIFFNESS / 3 / masses
    einstein = np.sqrt(on_site) * WAVENUMBER
    np.testing.assert_allclose(
        graphs.atom_features[:, -3:], einstein[:, None].repeat(3, 1), rtol=1e-3
    )
    squared = on_site.mean() + np.hypot(np.diff(on_site)[0] / 2, STIFFNESS / np.sqrt(masses.prod()))
    frequency = column(graphs, "Einstein frequency (1/cm)")[nearest]
    np.testing.assert_allclose(frequency, np.sqrt(squared) * WAVENUMBER, rtol=1e-3)
    reduced = column(graphs, "reduced mass (u)")[nearest]
    np.testing.assert_allclose(reduced, masses.prod() / masses.sum(), rtol=1e-5)


def test_blocks__are_derivatives_of_forces():
    crystal = copper_gold()
    crystal.positions += [1.1, -2.3, 0.4]  # outside the cell
    crystal.positions[2] += crystal.cell[0]
    graphs = graphs_of(EMT(), [crystal], supercell_length=11.0)
    supercell = crystal.repeat((3, 3, 3))
    for bond in np.flatnonzero(graphs.bond_atoms[:, 0] == 1)[::5]:
        end = crystal.positions[graphs.bond_atoms[bond, 1]]
        end = end + graphs.bond_images[bond] @ crystal.cell[:]
        u = (end - crystal.positions[1]) / graphs.bond_lengths[bond]
        apart = (supercell.positions - end) @ np.linalg.inv(supercell.cell[:])
        neighbor = np.linalg.norm(apart - np.round(apart), axis=1).argmin()
        forces = []
        for sign in (1, -1):
            displaced = supercell.copy()
            displaced.positions[1] += 0.01 * sign * u
            displaced.calc = EMT()
            forces.append(displaced.get_forces()[neighbor] @ u)
        stiffness = (forces[0] - forces[1]) / 0.02 * NEWTON_PER_METRE
        assert graphs.bond_sensors[bond, 0] == pytest.approx(stiffness, abs=0.02)


def test_sensors__depend_on_neither_orientation_nor_cell():
    crystal = copper_gold()
    turned = crystal.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    shuffled = crystal[[2, 0, 3, 1]]
    shuffled.positions += [9.0, -7.0, 5.0]
    graphs = graphs_of(EMT(), [crystal, turned, shuffled, crystal.repeat((2, 1, 1))])

    def summary(row):
        one = graphs[row]
        return np.quantile(one.bond_sensors, [0, 0.25, 0.5, 0.75, 1], axis=0)

    for row in (1, 2):
        np.testing.assert_allclose(summary(row), summary(0), rtol=1e-3, atol=1e-2)
    # A supercell is not displaced along the same directions.
    np.testing.assert_allclose(summary(3), summary(0), rtol=2e-3, atol=2e-2)


def test_images__share_force_constants_by_distance():
    crystal = cesium_chloride()
    graphs = graphs_of(CentralSprings(), [crystal], supercell_length=4.0)
    nearest = graphs.bond_lengths < LENGTH + 0.1
    # In one cell all eight neighbours are one atom, whose block is the sum of eight springs.
    np.testing.assert_allclose(
        column(graphs, "bond stiffness (N/m)")[nearest],
        STIFFNESS * NEWTON_PER_METRE / 3,
        rtol=1e-3,
    )


def test_structures_the_potential_cannot_do__are_reported():
    crystals = [bulk("Cu"), bulk("Si"), bulk("Au")]
    with pytest.raises(FeaturizationError, match=r"row 1: 'Si2'"):
        graphs_of(EMT(), crystals, supercell_length=3.0)
    featurizer = featurizer_of(EMT(), supercell_length=3.0).set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 3 rows are graphs without atoms"):
        graphs = featurizer.fit_transform(crystals)
    assert graphs.counts("atom").tolist() == [1, 0, 1]
    assert featurizer.errors_["featurizer"].tolist() == ["PotentialFeaturizer"]
    alone = graphs_of(EMT(), [crystals[2]], supercell_length=3.0)
    np.testing.assert_array_equal(graphs[2].bond_sensors, alone.bond_sensors)


def test_settings_that_do_not_fit__are_refused():
    with pytest.raises(ValueError, match="use relax=None"):
        graphs_of(EMT(), [bulk("Cu")], relax="cell")
    featurizer = featurizer_of(EMT()).set_params(physics=False)
    with pytest.raises(ValueError, match="use physics=True"):
        featurizer.fit([bulk("Cu")])
    with pytest.raises(ValueError, match="'potential' parameter"):
        CrystalGraphFeaturizer(potential=EMT()).fit([bulk("Cu")])


def test_contract__clone_pickle_memory(tmp_path):
    class Counting(CentralSprings):
        calls = 0

        def calculate(self, *args, **kwargs):
            Counting.calls += 1
            super().calculate(*args, **kwargs)

    featurizer = featurizer_of(
        Counting(), memory=tmp_path, potential_name="springs", supercell_length=5.0
    )
    graphs = featurizer.fit_transform([cesium_chloride()])
    calls = Counting.calls
    assert calls > 0
    again = clone(featurizer).fit_transform([cesium_chloride()])
    assert Counting.calls == calls
    np.testing.assert_array_equal(again.bond_sensors, graphs.bond_sensors)
    assert clone(featurizer).get_params()["potential__supercell_length"] == 5.0
    copy = pickle.loads(pickle.dumps(featurizer_of(EMT()).fit([])))
    assert copy.transform([bulk("Cu")]).counts("bond").tolist() == [12]
    assert copy.transform([]).bond_sensors.shape == (0, 4)


def test_network__reads_force_constants_of_either_sign():
    crystals = [bulk(metal, a=a) for metal in ("Cu", "Au") for a in (3.7, 3.9, 4.1)]
    graphs = graphs_of(EMT(), crystals, supercell_length=3.0)
    assert (graphs.bond_sensors[:, :2] < 0).any()
    network = GraphTRIADSRegressor(
        n_members=1, max_epochs=2, order=1, hidden_dim=8, bond_dim=8, random_state=0
    )
    predicted = network.fit(graphs, np.arange(6.0)).predict(graphs)
    assert np.isfinite(predicted).all()
    assert predicted.std() > 0
