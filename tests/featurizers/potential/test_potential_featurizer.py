"""PotentialFeaturizer against crystals with known answers, phonopy and relaxations."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, mx2
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.data import covalent_radii
from ase.filters import FrechetCellFilter
from ase.neighborlist import neighbor_list
from ase.optimize import BFGS
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer

from trisk.estimators import TriForcesOptions, TriForcesPotential
from trisk.featurizers import FeaturizationError, PotentialFeaturizer, verify_potential
from trisk.featurizers.potential._calls import ForceCalls
from trisk.featurizers.potential._columns import (
    MEASUREMENTS,
    elastic_moduli,
    last_peak,
    sensor_columns,
)
from trisk.featurizers.potential._elements import energy_of_element
from trisk.featurizers.potential._measurements import GPA, elastic_constants
from trisk.featurizers.potential._vibrations import (
    WAVENUMBER,
    force_constants,
    gamma_frequencies,
    mesh_frequencies,
    supercell_repeats,
)

ALL_SENSORS = list(MEASUREMENTS)
OF_CRYSTALS = [sensor for sensor in ALL_SENSORS if sensor != "stacking"]
MASSES = bulk("CsCl", "cesiumchloride", a=4.0).get_masses()


class Springs(Calculator):
    """Springs, equally stiff in all directions, between neighbours in the CsCl structure."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, stiffness=2.0, a=4.0):
        super().__init__()
        self.stiffness, self.a = stiffness, a

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        i, vectors = neighbor_list("iD", self.atoms, 0.93 * self.a)
        stretch = vectors - np.sign(vectors) * self.a / 2
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, i, self.stiffness * stretch)
        self.results = {"energy": self.stiffness * (stretch**2).sum() / 4, "forces": forces}


class BatchedEMT:
    """EMT behind calculate_many alone, remembering how often it was called with how many."""

    def __init__(self):
        self.batches = []

    def calculate_many(self, images):
        self.batches.append(sum(map(len, images)))
        results = []
        for atoms in images:
            atoms.calc = EMT()
            results.append(
                {
                    "energy": atoms.get_potential_energy(),
                    "forces": atoms.get_forces(),
                    "stress": atoms.get_stress(),
                }
            )
        return results


class Impatient(BatchedEMT):
    """Counts structures by their first single call, and gives up at the third."""

    def __init__(self, give_up):
        super().__init__()
        self.give_up = give_up

    def calculate_many(self, images):
        if images[0].get_chemical_formula() == "Pt":
            self.give_up()
        return super().calculate_many(images)


def cesium_chloride(n=1):
    return bulk("CsCl", "cesiumchloride", a=4.0) * (n, 1, 1)


def copper_gold():
    atoms = bulk("Cu", cubic=True, a=3.75)
    atoms.numbers[0] = 79
    return atoms


def calls_of(calculator):
    return ForceCalls(calculator, batch_atoms=100)


def rotated(atoms):
    turned = atoms.copy()
    turned.rotate(37, (1, 2, 3), rotate_cell=True)
    return turned


@pytest.fixture
def springs():
    return PotentialFeaturizer(Springs(), sensors=["gamma", "einstein", "phonon_dos"])


def test_springs_have_their_frequencies(springs):
    row = springs.fit_transform([cesium_chloride()]).iloc[0]
    optical = WAVENUMBER * np.sqrt(8 * 2.0 * (1 / MASSES).sum())
    einstein = WAVENUMBER * np.sqrt(8 * 2.0 / MASSES)
    highest = row[[f"Potential gamma highest {k} (1/cm)" for k in (1, 2, 3, 4)]]
    np.testing.assert_allclose(highest, optical, rtol=1e-6)
    assert row["Potential gamma imaginary modes"] == 0
    # Springs reach no images of the same sublattice: both kinds of Einstein mode agree.
    for block in ("Einstein highest", "DOS highest Einstein"):
        np.testing.assert_allclose(row[f"Potential {block} (1/cm)"], einstein.max(), rtol=1e-6)
    np.testing.assert_allclose(row["Potential Einstein lowest (1/cm)"], einstein.min(), rtol=1e-6)
    # Γ, where the optical branch is highest, is on the mesh or close to it.
    np.testing.assert_allclose(row["Potential DOS maximum (1/cm)"], optical, rtol=0.01)


def test_springs_have_their_dispersion():
    settings = (0.01, 1e-3, "central", 7.0, 40.0)
    mesh = mesh_frequencies(cesium_chloride(), calls_of(Springs()), *settings)
    frequencies, weights = mesh["frequencies"], mesh["weights"]
    # The trace of the dynamical matrix is the same at every wave vector.
    of_squares = (frequencies**2).mean(axis=1)
    expected = WAVENUMBER**2 * 8 * 2.0 * (1 / MASSES).sum() / 2
    np.testing.assert_allclose(of_squares, expected, rtol=1e-6)
    # ω± of two atoms: the product is ω₀⁴ (1 − c²), the sum ω₀² as above.
    product = frequencies[:, 0] ** 2 * frequencies[:, -1] ** 2
    bound = (WAVENUMBER**2 * 8 * 2.0) ** 2 / MASSES.prod()
    assert product.max() <= bound * (1 + 1e-6)
    assert weights.sum() == pytest.approx(1)


def test_a_supercell_gives_the_modes_at_gamma_too():
    crystals = [bulk("Cu"), bulk("CuAu", "zincblende", a=5.2), bulk("CuAu", "rocksalt", a=5.0)]
    alone = PotentialFeaturizer(EMT(), sensors=["gamma", "einstein"]).fit_transform(crystals)
    settings = {"sensors": ["gamma", "einstein", "phonon_dos"], "supercell_length": 5.0}
    beside = PotentialFeaturizer(EMT(), **settings).fit_transform(crystals)
    np.testing.assert_allclose(beside[alone.columns], alone, atol=0.01)


def test_forward_differences_halve_the_displacements_and_agree():
    crystal = [bulk("CuAu", "wurtzite", a=3.7)]  # nothing turns its axis around
    found, calls = {}, {}
    for differences in ("central", "forward"):
        calculator = BatchedEMT()
        featurizer = PotentialFeaturizer(
            calculator, sensors=["gamma"], displacement=0.003, differences=differences
        )
        found[differences] = featurizer.fit_transform(crystal)["Potential gamma highest 1 (1/cm)"]
        calls[differences] = sum(calculator.batches)
    np.testing.assert_allclose(found["forward"], found["central"], rtol=3e-3)
    assert calls["forward"] < calls["central"]


def test_imaginary_modes_are_negative_and_counted():
    featurizer = PotentialFeaturizer(Springs(-1.0), sensors=["gamma", "einstein", "phonon_dos"])
    row = featurizer.fit_transform([cesium_chloride()]).iloc[0]
    optical = -WAVENUMBER * np.sqrt(8 * (1 / MASSES).sum())
    assert row["Potential gamma lowest (1/cm)"] == pytest.approx(optical, rel=1e-6)
    assert row["Potential gamma imaginary modes"] == 3
    assert row["Potential Einstein imaginary modes"] == 6
    assert row["Potential DOS imaginary share"] > 0.9
    assert np.isfinite(row).all()


def test_gamma_modes_equal_phonopy():
    import phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = copper_gold()
    atoms.positions[1] += 0.02
    phonons = phonopy.Phonopy(
        PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions),
        np.eye(3),
        primitive_matrix=np.eye(3),
    )
    phonons.generate_displacements(distance=0.01, is_plusminus=True, is_diagonal=False)
    phonons.forces = [
        EMT().get_forces(type(atoms)(s.numbers, s.positions, cell=s.cell, pbc=True))
        for s in phonons.supercells_with_displacements
    ]
    phonons.produce_force_constants()
    phonons.symmetrize_force_constants()
    phonons.run_qpoints([[0, 0, 0]])
    theirs = phonons.qpoints.frequencies[0, 3:] * 33.356409519815205
    hessian = force_constants(atoms, calls_of(EMT()), 0.01, 1e-5)
    np.testing.assert_allclose(gamma_frequencies(hessian, atoms.get_masses()), theirs, rtol=1e-4)


@pytest.mark.parametrize("tolerance", [1e-3, None])
def test_symmetry_only_saves_calls(tolerance):
    emt = BatchedEMT()
    hessian = force_constants(copper_gold(), calls_of(emt), 0.01, tolerance)
    images = sum(emt.batches) // 4
    assert images == 1 + (3 if tolerance else 4 * 6)
    reference = force_constants(copper_gold(), calls_of(EMT()), 0.01, None)
    np.testing.assert_allclose(hessian, reference, atol=1e-6)
    np.testing.assert_allclose(hessian.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(hessian, hessian.T)


def test_symmetry_that_holds_nearly_costs_little_accuracy():
    atoms = copper_gold()
    atoms.positions[1] += [4e-4, 0, 2e-4]
    expected = force_constants(atoms, calls_of(EMT()), 0.005, None)
    for displacement in (0.01, 0.002):
        hessian = force_constants(atoms, calls_of(EMT()), displacement, 1e-3)
        np.testing.assert_allclose(hessian, expected, atol=0.005)


def test_slab_may_cross_the_border_of_its_cell():
    slab = fcc111("Cu", (1, 1, 3), a=3.6, vacuum=6.0)
    moved = slab.copy()
    moved.positions[:, 2] -= 8
    featurizer = PotentialFeaturizer(EMT(), sensors=["gamma", "phonon_dos"], mesh_length=10)
    table = featurizer.fit_transform([slab, moved])
    np.testing.assert_allclose(table.iloc[1], table.iloc[0], atol=1e-3)


def test_sensors_do_not_depend_on_orientation_or_choice_of_cell():
    atoms = copper_gold()
    atoms.set_cell(atoms.cell * [1, 1.02, 0.97], scale_atoms=True)
    variants = [atoms, rotated(atoms), atoms * (2, 1, 1), rotated(atoms * (1, 1, 2))]
    invariant = [sensor for sensor in OF_CRYSTALS if sensor != "elastic_constants"]
    featurizer = PotentialFeaturizer(EMT(), sensors=invariant, mesh_length=15)
    table = featurizer.fit_transform(variants)
    assert np.isfinite(table).all(axis=None)
    for row in range(1, 4):
        # A mesh of wave vectors follows the choice of the primitive cell a little.
        np.testing.assert_allclose(table.iloc[row], table.iloc[0], rtol=5e-3, atol=5e-3)


def test_elastic_constants_are_second_derivatives_of_the_energy():
    copper = bulk("Cu", a=3.6)
    hessian = np.zeros((3, 3))
    constants = elastic_constants(copper, calls_of(EMT()), hessian, 0.005)
    energies = []
    for strain in (-0.004, 0, 0.004):
        strained = copper.copy()
        strained.set_cell(copper.cell[:] @ (np.eye(3) * (1 + strain)), scale_atoms=True)
        energies.append(EMT().get_potential_energy(strained))
    curvature = (energies[0] - 2 * energies[1] + energies[2]) / 0.004**2 / copper.get_volume()
    bulk_modulus = (constants[0, 0] + 2 * constants[0, 1]) / 3
    # Away from zero pressure, stress derivatives differ from energy derivatives by the pressure.
    pressure = -EMT().get_stress(copper)[:3].mean() * GPA
    assert bulk_modulus == pytest.approx(curvature * GPA / 9 + 2 / 3 * pressure, rel=0.01)
    assert elastic_moduli(constants)[0] == pytest.approx(bulk_modulus)


def test_elastic_constants_are_given_out_as_they_are_measured(tmp_path):
    stretched = bulk("Cu", cubic=True)
    stretched.set_cell(stretched.cell.array * [1, 1.02, 0.98], scale_atoms=True)
    calculator = BatchedEMT()
    settings = {"memory": tmp_path, "potential_name": "EMT"}
    moduli = PotentialFeaturizer(calculator, sensors=["elasticity"], **settings)
    expected, n_calls = moduli.fit_transform([stretched]).to_numpy()[0], len(calculator.batches)
    tensor = PotentialFeaturizer(calculator, sensors=["elastic_constants"], **settings)
    table = tensor.fit_transform([stretched])
    assert len(calculator.batches) == n_calls
    assert table.columns[[0, 6, 20]].tolist() == [f"Potential C{k} (GPa)" for k in (11, 22, 66)]
    constants = np.zeros((6, 6))
    constants[np.triu_indices(6)] = table.to_numpy()[0]
    constants += np.triu(constants, 1).T
    np.testing.assert_allclose(elastic_moduli(constants), expected)
    turned = bulk("Cu", cubic=True)
    turned.set_cell(turned.cell.array * [1.02, 1, 0.98], scale_atoms=True)
    other = tensor.fit_transform([turned])["Potential C11 (GPa)"][0]
    assert other == pytest.approx(constants[1, 1])
    assert abs(other - constants[0, 0]) > 0.1


def test_elastic_constants_relax_the_atoms():
    crystal = bulk("Cu", "hcp", a=2.55, c=4.17)
    crystal.numbers[1] = 47
    # Constants are symmetric where nothing presses.
    crystal.calc = EMT()
    BFGS(FrechetCellFilter(crystal), logfile=None).run(fmax=1e-5)
    hessian = force_constants(crystal, calls_of(EMT()), 0.01, 1e-3)
    constants = elastic_constants(crystal, calls_of(EMT()), hessian, 0.005)
    stresses = []
    for sign in (1, -1):
        strained = crystal.copy()
        strained.set_cell(crystal.cell[:] @ np.diag([1 + sign * 0.005, 1, 1]), scale_atoms=True)
        strained.calc = EMT()
        clamped = strained.get_stress()
        BFGS(strained, logfile=None).run(fmax=1e-5)
        stresses.append((clamped, strained.get_stress()))
    clamped, relaxed = (np.array(stresses[0]) - np.array(stresses[1])) / 0.01 * GPA
    assert abs(clamped - relaxed).max() > 0.5
    np.testing.assert_allclose(constants[0, :3], relaxed[:3], atol=0.3)


def test_moduli_of_an_isotropic_solid():
    shear, lame = 30.0, 50.0
    constants = np.diag([2 * shear] * 3 + [shear] * 3)
    constants[:3, :3] += lame
    bulk_modulus, shear_modulus, anisotropy, softest = elastic_moduli(constants)
    assert bulk_modulus == pytest.approx(lame + 2 / 3 * shear)
    assert (shear_modulus, softest) == pytest.approx((shear, 2 * shear))
    assert anisotropy == pytest.approx(0, abs=1e-12)
    assert elastic_moduli(np.diag([1.0, 1, 1, 1, 1, -1]))[3] == pytest.approx(-2)


def test_last_peak_is_the_last():
    rng = np.random.default_rng(0)
    low, high = rng.normal(100, 10, (300, 3)), rng.normal(400, 4, (300, 1))
    frequencies = np.hstack([low, high])
    weights = np.full(300, 1 / 300)
    assert last_peak(frequencies, weights, 10) == pytest.approx(400, abs=4)
    frequencies[0, 3] = 700  # one mode in a thousand is no peak
    assert last_peak(frequencies, weights, 10) == pytest.approx(400, abs=4)


def test_supercell_is_wide_enough_in_every_direction():
    cell = np.array([[3.0, 0, 0], [2.9, 1.0, 0], [0, 0, 9]])
    atoms = Atoms("Cu", cell=cell, pbc=True)
    repeats = supercell_repeats(atoms, 8.0)
    heights = 1 / np.linalg.norm(np.linalg.inv(cell * repeats[:, None]), axis=0)
    assert (heights > 7.99).all()
    assert repeats[2] == 1
    atoms.pbc[0] = False
    assert supercell_repeats(atoms, 8.0).tolist() == [1, *repeats[1:]]


@pytest.mark.parametrize("relax", ["cell", "positions"])
def test_relaxation_lowers_stress_and_forces(relax):
    atoms = copper_gold()
    atoms.positions[1] += [0.1, 0.05, 0]
    featurizer = PotentialFeaturizer(
        EMT(), sensors=["stress", "forces", "relaxation"], relax=relax, max_force=0.01
    )
    row = featurizer.fit_transform([atoms]).iloc[0]
    assert row["Potential relaxation converged"] == 1
    assert row["Potential largest force (eV/A)"] <= 0.02
    if relax == "cell":
        assert abs(row["Potential pressure (GPa)"]) < 0.5
        assert row["Potential relaxed volume ratio"] != 1
    else:
        assert row["Potential relaxed volume ratio"] == 1
    featurizer.set_params(max_relaxation_steps=1)
    assert featurizer.fit_transform([atoms])["Potential relaxation converged"].item() == 0


def test_batched_calls_are_bounded_and_equal_single_ones():
    emt = BatchedEMT()
    structures = [copper_gold(), bulk("Pt")]
    batched = PotentialFeaturizer(emt, batch_atoms=13).fit_transform(structures)
    assert max(emt.batches) <= 13
    single = PotentialFeaturizer(EMT()).fit_transform(structures)
    pd.testing.assert_frame_equal(batched, single)


def test_fitted_potential_is_a_calculator():
    frames = []
    for seed in range(4):
        frame = bulk("Cu", cubic=True)
        frame.rattle(0.1, seed=seed)
        frame.calc = EMT()
        frame.get_stress()
        frames.append(frame)
    potential = TriForcesPotential(
        network=TriForcesOptions(hidden_dim=8, cutoff=4.0), max_epochs=2, random_state=0
    )
    sensors = ["energy", "stress", "forces"]
    with pytest.raises(NotFittedError):
        PotentialFeaturizer(potential, sensors=sensors).fit(frames)
    frozen = FrozenEstimator(potential.fit(frames))
    featurizer = clone(PotentialFeaturizer(frozen, sensors=sensors))
    expected = PotentialFeaturizer(potential.calculator(), sensors=sensors).fit_transform(frames)
    np.testing.assert_allclose(featurizer.fit_transform(frames), expected, atol=1e-5)


def test_workers_build_their_own_calculators():
    structures = [bulk(symbol) for symbol in ("Cu", "Ag", "Au", "Pt")]
    parallel = PotentialFeaturizer(EMT, n_jobs=2).fit_transform(structures)
    pd.testing.assert_frame_equal(parallel, PotentialFeaturizer(EMT).fit_transform(structures))


def test_threads_do_not_mix_up_results_of_one_calculator():
    structures = [bulk(symbol) * (2, 1, 1) for symbol in ("Cu", "Ag", "Au", "Pt", "Ni", "Pd")] * 5
    for row, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=row)
    expected = PotentialFeaturizer(EMT()).fit_transform(structures)
    with parallel_config("threading", n_jobs=6):
        for calculator in (EMT(), EMT):
            table = PotentialFeaturizer(calculator).fit_transform(structures)
            pd.testing.assert_frame_equal(table, expected)


def test_workers_of_multiprocessing_hand_back_results():
    structures = [bulk(symbol) for symbol in ("Cu", "Ag", "Au", "Pt")]
    featurizer = PotentialFeaturizer(EMT, sensors=["energy"])
    with parallel_config("multiprocessing", n_jobs=2):
        parallel = featurizer.fit_transform(structures)
    pd.testing.assert_frame_equal(parallel, featurizer.fit_transform(structures))


def test_memory_answers_a_second_time(tmp_path):
    structures = pd.Series([bulk("Cu"), copper_gold()], index=["a", "b"])
    emt = BatchedEMT()
    featurizer = PotentialFeaturizer(emt, memory=tmp_path, potential_name="EMT").fit(structures)
    first = featurizer.transform(structures)
    n_calls = len(emt.batches)
    pd.testing.assert_frame_equal(featurizer.transform(structures), first)
    assert len(emt.batches) == n_calls
    # What is there already serves further sensors; another potential starts anew.
    featurizer.set_params(sensors=["gamma"]).fit_transform(structures)
    assert len(emt.batches) == n_calls
    featurizer.set_params(sensors=["gamma", "elasticity"]).fit_transform(structures)
    assert len(emt.batches) == n_calls + 2
    featurizer.set_params(sensors=["energy"], potential_name="EMT 2").fit_transform(structures)
    assert len(emt.batches) == n_calls + 4


def test_interrupted_run_continues(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    structures = [bulk("Cu"), bulk("Au"), bulk("Pt"), bulk("Ag")]
    settings = {"memory": tmp_path, "potential_name": "EMT", "sensors": ["energy"]}
    with pytest.raises(KeyboardInterrupt):
        PotentialFeaturizer(Impatient(interrupt), **settings).fit_transform(structures)
    emt = BatchedEMT()
    PotentialFeaturizer(emt, **settings).fit_transform(structures)
    assert len(emt.batches) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_killed_run_continues(tmp_path):
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_potential_featurizer import Impatient, bulk, PotentialFeaturizer
killed = Impatient(lambda: os.kill(os.getpid(), signal.SIGKILL))
PotentialFeaturizer(
    killed, memory={str(tmp_path)!r}, potential_name="EMT", sensors=["energy"]
).fit_transform([bulk("Cu"), bulk("Au"), bulk("Pt")])
"""
    result = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True)
    assert result.returncode == -signal.SIGKILL, result.stderr.decode()
    emt = BatchedEMT()
    PotentialFeaturizer(
        emt, memory=tmp_path, potential_name="EMT", sensors=["energy"]
    ).fit_transform([bulk("Cu"), bulk("Au"), bulk("Pt")])
    assert len(emt.batches) == 1


def test_equal_structures_are_measured_once():
    emt = BatchedEMT()
    table = PotentialFeaturizer(emt, sensors=["energy"]).fit_transform([bulk("Cu")] * 3)
    assert len(emt.batches) == 1
    assert table["Potential energy (eV/atom)"].nunique() == 1


def test_structures_the_potential_cannot_do_are_reported():
    structures = pd.Series([bulk("Cu"), bulk("Si"), "no such file"], index=list("abc"))
    with pytest.raises(FeaturizationError, match="row 2: 'no such file'"):
        PotentialFeaturizer(EMT()).fit_transform(structures)
    with pytest.raises(FeaturizationError, match=r"row 1: 'Si2': NotImplementedError.*\n.*nan"):
        PotentialFeaturizer(EMT()).fit_transform(structures[:2])
    featurizer = PotentialFeaturizer(EMT(), on_error="nan").fit(structures)
    with pytest.warns(UserWarning, match="2 of 3 rows hold NaN"):
        table = featurizer.transform(structures)
    assert list(table.index) == list("abc")
    assert table.isna().all(axis=1).tolist() == [False, True, True]
    assert featurizer.explain_errors(structures)["row"].tolist() == [1, 2]


def test_forces_that_are_not_finite_are_an_error():
    class Broken(BatchedEMT):
        def calculate_many(self, images):
            return [{"energy": 0.0, "forces": np.full((len(a), 3), np.nan)} for a in images]

    with pytest.raises(FeaturizationError, match="not finite"):
        PotentialFeaturizer(Broken()).fit_transform([bulk("Cu")])


def test_elasticity_without_stress_is_an_error():
    with pytest.raises(FeaturizationError, match="no stress"):
        PotentialFeaturizer(Springs(), sensors=["elasticity"]).fit_transform([cesium_chloride()])


def test_time_limit_ends_a_structure():
    class Slow(BatchedEMT):
        def calculate_many(self, images):
            time.sleep(0.05)
            return super().calculate_many(images)

    featurizer = PotentialFeaturizer(Slow(), batch_atoms=1, time_limit=0.1, on_error="nan")
    with pytest.warns(UserWarning, match=r"time_limit=0\.1 s"):
        table = featurizer.fit_transform([copper_gold()])
    assert table.isna().all(axis=None)
    relaxing = PotentialFeaturizer(
        Slow(), sensors=["energy"], relax="cell", time_limit=0.1, on_error="nan"
    )
    with pytest.warns(UserWarning, match=r"time_limit=0\.1 s"):
        relaxing.fit_transform([copper_gold()])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sensors": ["energy", "magic"]}, "sensors=.*magic.*some of .*gamma"),
        ({"sensors": []}, "must be a list"),
        ({"calculator": 3.0}, "3.0 is no calculator"),
        ({"memory": "folder"}, "potential_name"),
        ({"displacement": -1}, "displacement"),
        ({"relax": "everything"}, "relax"),
    ],
)
def test_bad_parameters(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PotentialFeaturizer(**{"calculator": EMT(), **settings}).fit([bulk("Cu")])


@pytest.mark.parametrize("sensor", ALL_SENSORS)
def test_columns_have_names(sensor):
    copper = fcc111("Cu", (1, 1, 1), vacuum=8.0) if sensor == "stacking" else bulk("Cu")
    featurizer = PotentialFeaturizer(EMT(), sensors=[sensor], mesh_length=10).fit([copper])
    table = featurizer.transform([copper])
    assert np.isfinite(table).all(axis=None)
    assert (
        list(table.columns) == list(featurizer.get_feature_names_out()) == sensor_columns([sensor])
    )
    assert table.columns.is_unique
    assert featurizer.n_features_out_ == table.shape[1]


def test_is_a_scikit_learn_transformer():
    featurizer = PotentialFeaturizer(EMT, sensors=["energy", "forces"])
    copy = clone(featurizer)
    assert copy.get_params() == featurizer.get_params()
    structures = [bulk("Cu"), bulk("Au"), bulk("Pt")]
    model = make_pipeline(featurizer, Ridge()).fit(structures, [1.0, 2.0, 3.0])
    assert model.predict(structures).shape == (3,)
    assert PotentialFeaturizer(EMT()).fit([]).transform([]).shape == (0, 30)


def test_progress_bar_is_shown_on_demand(capfd):
    PotentialFeaturizer(EMT(), sensors=["energy"]).fit_transform([bulk("Cu")])
    assert capfd.readouterr().err == ""
    PotentialFeaturizer(EMT(), sensors=["energy"], verbose=1).fit_transform([bulk("Cu")])
    assert "potential sensors" in capfd.readouterr().err


def test_wrong_energies_are_noticed():
    verify_potential(EMT(), [(bulk("Cu"), -0.006)])
    with pytest.raises(ValueError, match=r"Au: 0\.003 instead of -3\.000"):
        verify_potential(EMT, [(bulk("Cu"), -0.006), (bulk("Au"), -3.0)])


def test_energies_of_known_weights_are_known():
    with pytest.raises(ValueError, match=r"Si2: \S+ instead of -5\.312"):
        verify_potential(Springs(stiffness=0.0), "chgnet")
    with pytest.raises(ValueError, match="no energies of 'chgnte', but of chgnet"):
        verify_potential(EMT, "chgnte")


@pytest.mark.parametrize(("name", "version"), [("chgnet", "0.3.0"), ("chgnet-r2scan", "r2scan")])
def test_chgnet_gives_its_energies(name, version):
    model = pytest.importorskip("chgnet.model")
    network = model.CHGNet.load(model_name=version, use_device="cpu", verbose=False)
    calculator = model.CHGNetCalculator(network, use_device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CHGNet makes numbers of tensors with gradients
        verify_potential(calculator, name)


@pytest.mark.parametrize(("name", "version"), [("sevennet-0", "7net-0"), ("7net-l3i5",) * 2])
def test_sevennet_gives_its_energies(name, version):
    sevenn = pytest.importorskip("sevenn.calculator")
    with pytest.warns(UserWarning, match="tensor product accelerator"):
        verify_potential(sevenn.SevenNetCalculator(version, device="cpu"), name)


def test_several_potentials_stand_side_by_side_with_their_disagreement():
    class Stiffer(EMT):
        def get_potential_energy(self, *args, **kwargs):
            return 1.0 + super().get_potential_energy(*args, **kwargs)

    both = FeatureUnion([("a", PotentialFeaturizer(EMT)), ("b", PotentialFeaturizer(Stiffer))])
    both.set_params(a__sensors=["energy"], b__sensors=["energy"]).set_output(transform="pandas")
    spread = FunctionTransformer(
        lambda X: X.T.groupby(lambda name: name.partition("__")[2]).std().T.add_prefix("spread of ")
    )
    steps = make_pipeline(both, make_union("passthrough", spread).set_output(transform="pandas"))
    columns = steps.fit_transform([bulk("Cu"), bulk("Au")])
    assert [name.rpartition("__")[2] for name in columns] == [
        *["Potential energy (eV/atom)"] * 2,
        "spread of Potential energy (eV/atom)",
    ]
    np.testing.assert_allclose(columns.iloc[:, 2], np.sqrt(0.5))


def test_equals_published_sensors_of_a_universal_potential(shared_data, matbench_dir):
    pytest.importorskip("matgl", reason="needs matgl 2.0.4: see benchmarks/data.py")
    expected = shared_data / "phonons_tensornet_sensors.npz"
    if not expected.is_file():
        pytest.skip(f"{expected} is absent")
    from benchmarks import data
    from trisk import load_matbench

    rows = [0, 7, 300, 801]
    X = load_matbench("phonons")[0].iloc[rows]
    table = PotentialFeaturizer(data.potential()).fit_transform(X)
    with np.load(expected) as known:
        offsets = np.concatenate([[0], np.cumsum(known["n_atoms"])])
        gamma = [known["gamma_cm1"][3 * offsets[r] : 3 * offsets[r + 1]] for r in rows]
        einstein = [known["einstein_cm1"][offsets[r] : offsets[r + 1]] for r in rows]
        energies = known["energy_per_atom"][rows]
    np.testing.assert_allclose(table["Potential energy (eV/atom)"], energies, atol=1e-5)
    for column, values in [
        ("gamma highest 1 (1/cm)", [g.max() for g in gamma]),
        ("Einstein highest (1/cm)", [e.max() for e in einstein]),
        ("Einstein lowest (1/cm)", [e.min() for e in einstein]),
    ]:
        np.testing.assert_allclose(table[f"Potential {column}"], values, atol=0.3)


class PairEnergies(Calculator):
    """Lennard-Jones energies of pairs, whatever the elements; no forces."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        lengths = neighbor_list("d", self.atoms, 9.0)
        energy = 0.01 * ((3.0 / lengths) ** 12 - 2 * (3.0 / lengths) ** 6).sum() / 2
        self.results = {"energy": energy, "forces": np.zeros((len(self.atoms), 3))}


@pytest.fixture
def stacks():
    return PotentialFeaturizer(PairEnergies(), sensors=["stacking"], symmetry_tolerance=None)


def test_stacked_layers_gain_the_energy_between_them(stacks):
    layer = Atoms("C", cell=[2.5, 2.5, 20.0], pbc=True)
    found = stacks.fit_transform([layer]).iloc[0]

    def energy(gap, *shift):
        stack = layer.copy()
        stack.set_cell([[2.5, 0, 0], [0, 2.5, 0], [*shift, gap]])
        stack.calc = PairEnergies()
        return stack.get_potential_energy()

    alone, gaps = energy(15.0, 0.0, 0.0), (0.8, 1.6, 2.2, 2.6, 3.0, 3.4, 3.8)
    shifts = [(0.0, 0.0), (1.25, 1.25), (1.25, 0.0)]
    gains = alone - np.array([[energy(gap, *shift) for gap in gaps] for shift in shifts])
    best = gains.max(axis=1)
    assert found["Potential stacking energy (eV/atom)"] == pytest.approx(best.max())
    assert found["Potential stacking energy (meV/A2)"] == pytest.approx(1e3 * best.max() / 6.25)
    far = 1e3 * gains[:, 4:].max() / 6.25
    assert found["Potential stacking energy beyond 3 A (meV/A2)"] == pytest.approx(far)
    spread = found["Potential stacking energy spread over shifts (meV/A2)"]
    assert spread == pytest.approx(1e3 * np.ptp(best) / 6.25)
    assert found["Potential stacking gap (A)"] == gaps[gains.max(axis=0).argmax()]


def test_stacking_is_of_the_layer_and_not_of_its_cell(stacks):
    layer = mx2("MoS2", vacuum=8.0)
    layer.pbc = True
    apart = layer.copy()  # the cell parts it
    apart.positions[:, 2] -= layer.positions[0, 2] + 1.0
    apart.wrap()
    standing = Atoms(layer.numbers, scaled_positions=layer.get_scaled_positions()[:, [2, 0, 1]],
                     cell=np.array(layer.cell)[[2, 0, 1]], pbc=True)  # fmt: skip
    film = layer.copy()
    film.pbc = [True, True, False]
    narrow = Atoms(layer.numbers, positions=layer.positions, pbc=True,
                   cell=[layer.cell[0], layer.cell[0] + layer.cell[1], layer.cell[2]])  # fmt: skip
    found = stacks.fit_transform([layer, apart, rotated(layer), standing, film, narrow])
    np.testing.assert_allclose(found, np.tile(found.iloc[0], (6, 1)), rtol=1e-6)


def test_stacking_needs_a_single_layer(stacks):
    with pytest.raises(FeaturizationError, match=r"no single layer: its widest gap is 2\.\d+ Å"):
        stacks.fit([bulk("Cu")]).transform([bulk("Cu")])


def test_formation_energies_are_those_above_the_elements(tmp_path):
    calculator = BatchedEMT()
    featurizer = PotentialFeaturizer(
        calculator,
        sensors=["energy", "formation"],
        memory=tmp_path,
        potential_name="EMT",
        symmetry_tolerance=None,
    )
    crystals = [bulk("Cu", a=3.59), bulk("Au", a=4.06), bulk("CuAu", "rocksalt", a=5.0)]
    found = featurizer.fit_transform(crystals)["Potential formation energy (eV/atom)"]
    # Both are fcc, so that their own crystals have no formation energy.
    np.testing.assert_allclose(found[:2], 0, atol=0.006)
    energies = featurizer.transform(crystals)["Potential energy (eV/atom)"]
    assert found[2] - energies[2] == pytest.approx((found[:2] - energies[:2]).mean())
    n_calls = len(calculator.batches)
    featurizer.transform([bulk("CuAu", "zincblende", a=5.2)])
    assert len(calculator.batches) == n_calls + 1  # elements are known


@pytest.mark.parametrize("number", [7, 14, 26, 79])
def test_elements_find_their_distance(number):
    found = energy_of_element(number, calls_of(Pairs(2 * covalent_radii[number])))
    assert found == pytest.approx(-6.0, rel=2e-3)


class Pairs(Calculator):
    """A narrow well at the given distance, one eV deep."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, distance):
        super().__init__()
        self.distance = distance

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        lengths = neighbor_list("d", self.atoms, 1.2 * self.distance)
        energy = -np.exp(-50 * (lengths / self.distance - 1) ** 2).sum() / 2
        self.results = {"energy": energy, "forces": np.zeros((len(self.atoms), 3))}
