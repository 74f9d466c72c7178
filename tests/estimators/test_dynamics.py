"""A potential in simulations: repulsion, dynamics, precision, spread, torch-sim, frames' keys."""

import re
import sys

import ase
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.calculators.tersoff import Tersoff, TersoffParameters
from ase.io import read, write
from ase.md.langevin import Langevin
from nested import make

import trisk
from trisk import TriForcesPotential

# J. Tersoff, Phys. Rev. B 38, 9902 (1988).
SILICON = TersoffParameters(
    m=3,
    gamma=1.0,
    lambda3=1.3258,
    c=4.8381,
    d=2.0417,
    h=0.0,
    n=22.956,
    beta=0.33675,
    lambda2=1.3258,
    B=95.373,
    R=3.0,
    D=0.2,
    lambda1=3.2394,
    A=3264.7,
)
SMALL = {"hidden_dim": 8, "n_layers": 2, "cutoff": 4.0, "batch_size": 4, "random_state": 0}


def silicon(seed):
    """Rattled and strained diamond, with energy, forces and stress."""
    rng = np.random.default_rng(seed)
    frame = bulk("Si", cubic=True)
    frame.set_cell(frame.cell.array * rng.uniform(0.9, 1.05), scale_atoms=True)
    frame.positions += 0.15 * rng.standard_normal((8, 3))
    frame.calc = Tersoff({("Si", "Si", "Si"): SILICON})
    results = {
        "energy": frame.get_potential_energy(),
        "forces": frame.get_forces(),
        "stress": frame.get_stress(),
    }
    frame.calc = SinglePointCalculator(frame, **results)
    return frame


@pytest.fixture(scope="module")
def frames():
    return [silicon(seed) for seed in range(10)]


@pytest.fixture(scope="module")
def potential(frames):
    return make(TriForcesPotential, max_epochs=40, learning_rate=1e-2, **SMALL).fit(frames)


def dimer(distance):
    return Atoms("Si2", [[0, 0, 0], [0, 0, distance]])


def test_a_dimer_that_training_never_saw_repels(potential, tmp_path):
    distances = np.geomspace(0.05, 1, 30)
    energies = potential.predict([dimer(distance) for distance in distances])["energy"]
    assert (np.diff(energies) < 0).all()
    assert np.interp(0.2, distances, energies) > 100
    pair = dimer(0.2)
    pair.calc = potential.calculator()
    assert pair.get_forces()[1, 2] > 100
    potential.save(tmp_path / "model.trisk")
    loaded = trisk.load(tmp_path / "model.trisk")
    energies = [model.predict([pair])["energy"] for model in (loaded, potential)]
    np.testing.assert_array_equal(*energies)
    with pytest.raises(ValueError, match="atoms 0 and 1 are 0 Å apart"):
        potential.predict([dimer(0)])
    with pytest.raises(ValueError, match="cannot be used: atoms 0 and 1 are 0 Å apart"):
        Atoms(dimer(0), calculator=potential.calculator()).get_forces()


def test_repulsion_ends_below_bonds_and_leaves_training_as_it_is(frames):
    models = [
        make(TriForcesPotential, max_epochs=2, repulsion=repulsion, **SMALL).fit(frames)
        for repulsion in (True, False)
    ]
    with_it, without = (model.predict([*frames, dimer(1.6)])["energy"] for model in models)
    np.testing.assert_array_equal(with_it, without)
    close = [model.predict([dimer(0.6)])["energy"][0] for model in models]
    assert close[0] > close[1] + 100


def heat(potential, atoms, n_steps, temperature=1500, step=1.0):
    """Shortest distance in a run of Langevin dynamics, and the highest temperature."""
    atoms.calc = potential.calculator()
    rng = np.random.default_rng(0)
    spread = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * spread[:, None])
    dynamics = Langevin(
        atoms,
        step * units.fs,
        temperature_K=temperature,
        friction=0.02 / units.fs,
        fixcm=False,
        rng=rng,
    )
    found = []

    def look():
        distances = atoms.get_all_distances(mic=True)
        found.append((distances[np.triu_indices(len(atoms), 1)].min(), atoms.get_temperature()))

    dynamics.attach(look, interval=10)
    dynamics.run(n_steps)
    return np.min(found, axis=0)[0], np.max(found, axis=0)[1]


def compressed():
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(atoms.cell.array * 0.5 ** (1 / 3), scale_atoms=True)
    return atoms


@pytest.mark.parametrize("atoms", [bulk("Si", cubic=True), compressed()], ids=["as is", "half"])
def test_atoms_stay_apart_in_hot_dynamics(potential, atoms):
    shortest, hottest = heat(potential, atoms.copy(), 200)
    assert shortest > 1.0
    # Older versions of ASE draw another trajectory.
    assert hottest < (10_000 if ase.__version__ >= "3.29" else 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("atoms", [bulk("Si", cubic=True), compressed()], ids=["as is", "half"])
def test_atoms_stay_apart_for_twenty_picoseconds(potential, atoms):
    shortest, hottest = heat(potential, atoms.copy(), 10_000, step=2.0)
    assert shortest > 1.0
    assert hottest < 20_000  # versions of ASE draw other trajectories


def test_single_precision_agrees(potential):
    atoms = bulk("Si", cubic=True).repeat(2)
    atoms.rattle(0.1, seed=0)
    single, double = (
        Atoms(atoms, calculator=potential.calculator(dtype=dtype)) for dtype in ("float32", None)
    )
    error = single.get_potential_energy() - double.get_potential_energy()
    assert abs(error) / len(atoms) < 1e-4
    np.testing.assert_allclose(single.get_forces(), double.get_forces(), atol=1e-3)
    np.testing.assert_allclose(single.get_stress(), double.get_stress(), atol=1e-5)
    assert next(potential.net_.module_.parameters()).dtype.itemsize == 8
    results = potential.predict([atoms], dtype="float32")
    assert results["energy"][0] == pytest.approx(single.get_potential_energy(), abs=1e-5)
    with pytest.raises(ValueError, match="but is 'float16'"):
        potential.calculator(dtype="float16")


def test_large_reference_energies_stay_exact_in_single_precision(frames):
    energies = [frame.get_potential_energy() - 30_000 * len(frame) for frame in frames]
    model = make(TriForcesPotential, max_epochs=1, **SMALL).fit(
        [Atoms(frame, calculator=None) for frame in frames], energies
    )
    found = [model.predict(frames, dtype=dtype)["energy"] for dtype in ("float32", "float64")]
    assert np.abs(found[0] - found[1]).max() / 8 < 1e-4


def test_members_spread_over_energies_and_forces(potential, frames):
    model = make(TriForcesPotential, max_epochs=2, n_members=3, **SMALL).fit(frames)
    results = model.predict(frames, return_std=True)
    assert results["energy_std"].shape == (10,)
    assert {s.shape for s in results["forces_std"]} == {(8, 3)}
    assert (results["energy_std"] > 0).all()
    assert "energy_std" not in model.predict(frames)
    assert list(model.predict(frames[:1], as_frame=True, return_std=True)) == list(results)
    alone = [make(TriForcesPotential, max_epochs=2, **SMALL) for _ in range(3)]
    for single, net in zip(alone, model.nets_, strict=True):
        vars(single).update(vars(model) | {"nets_": [net]})
    energies = [single.predict(frames)["energy"] for single in alone]
    np.testing.assert_allclose(results["energy_std"], np.std(energies, axis=0), rtol=1e-8)
    atoms = frames[0].copy()
    atoms.calc = model.calculator()
    assert atoms.get_potential_energy() == pytest.approx(results["energy"][0])
    assert atoms.calc.results["energy_std"] == pytest.approx(results["energy_std"][0])
    np.testing.assert_allclose(atoms.calc.results["forces_std"], results["forces_std"][0])
    with pytest.raises(ValueError, match="set n_members=4 or more"):
        potential.predict(frames, return_std=True)


def test_energies_of_atoms_add_up(potential, frames):
    results = potential.predict([*frames, dimer(2.3)])
    assert [len(values) for values in results["energies"]] == [8] * 10 + [2]
    sums = [values.sum() for values in results["energies"]]
    np.testing.assert_allclose(sums, results["energy"], rtol=1e-12)
    atoms = frames[0].copy()
    atoms.calc = potential.calculator()
    np.testing.assert_allclose(atoms.get_potential_energies(), results["energies"][0])


def test_calculator_under_any_boundary_conditions():
    copper = [bulk("Cu", cubic=True), fcc111("Cu", (1, 1, 3)), fcc111("Cu", (1, 1, 3), vacuum=9)]
    wire = Atoms("Cu", cell=[0, 0, 2.4], pbc=(False, False, True))
    frames = [*copper, wire, Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]])]
    model = make(TriForcesPotential, max_epochs=1, **SMALL).fit(frames, np.arange(5.0))
    results = model.predict(frames)
    for frame, energy, forces in zip(frames, results["energy"], results["forces"], strict=True):
        atoms = Atoms(frame, calculator=model.calculator())
        assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-9)
        if not atoms.pbc.all():
            with pytest.raises(PropertyNotImplementedError, match="there is no stress"):
                atoms.get_stress()
    assert np.isnan(results["stress"]).all(axis=1).tolist() == [False, True, True, True, True]
    assert results["energy"][1] == pytest.approx(results["energy"][2], rel=1e-9)


def test_results_under_the_names_of_the_field(frames, tmp_path):
    named = []
    for frame in frames:
        bare = Atoms(frame, calculator=None)
        bare.info["REF_energy"] = frame.get_potential_energy()
        bare.arrays["REF_forces"] = frame.get_forces()
        bare.info["dft_virial"] = -frame.get_stress(voigt=False) * frame.get_volume()
        named.append(bare)
    write(tmp_path / "frames.xyz", named, format="extxyz")
    named = read(tmp_path / "frames.xyz", ":")
    model = make(TriForcesPotential, max_epochs=1, **SMALL)
    expected = model.fit(frames).predict(frames)["energy"]
    np.testing.assert_allclose(model.fit(named).predict(frames)["energy"], expected, atol=1e-5)
    assert model.score(named) == pytest.approx(model.score(frames), abs=1e-5)
    for frame in named:  # results of another calculation do not count where labels are named
        frame.calc = SinglePointCalculator(frame, energy=1e3, forces=np.ones((8, 3)))
    np.testing.assert_allclose(model.fit(named).predict(frames)["energy"], expected, atol=1e-5)
    for frame in named:
        frame.info["E"], frame.arrays["F"] = frame.info.pop("REF_energy"), frame.get_forces()
    model.set_params(energy_key="E").fit(named)
    assert model.references_[0] == pytest.approx(expected.mean() / 8, abs=0.1)
    model.set_params(forces_key="F", stress_key="dft_virial").fit(named)
    with pytest.raises(ValueError, match=r"No structure has 'G' in .*: forces_key"):
        model.set_params(forces_key="G").fit(named)


def test_history_and_progress_have_validation_errors_in_units(frames, capsys):
    model = make(TriForcesPotential, max_epochs=2, validation_fraction=0.3, verbose=1, **SMALL)
    model.fit(frames)
    shown = capsys.readouterr().err
    assert re.search(r"energy meV/atom=[\d.e+]+, forces meV/A=[\d.e+]+, stress meV/A3=\d", shown)
    names = ("energy_meV_per_atom", "forces_meV_per_A", "stress_meV_per_A3")
    history = model.net_.plain_history()
    assert all(epoch[f"valid_{name}"] > 0 for epoch in history for name in names)
    bare = [Atoms(frame, calculator=None) for frame in frames]
    model.set_params(verbose=0).fit(bare, [frame.get_potential_energy() for frame in frames])
    last = model.net_.plain_history()[-1]
    assert [f"valid_{name}" in last for name in names] == [True, False, False]
    spread = np.std([frame.get_potential_energy() / 8 for frame in frames])
    assert 0.1 * spread < last["valid_energy_meV_per_atom"] / 1e3 < 10 * spread


def test_torch_sim_runs_many_structures_at_once(potential, frames):
    torch_sim = pytest.importorskip("torch_sim")
    import torch

    model = potential.torch_sim_model()
    atoms = [frames[0].copy(), bulk("Si", cubic=True).repeat((2, 1, 1))]
    state = torch_sim.io.atoms_to_state(atoms, torch.device("cpu"), torch.float64)
    found, expected = model(state), potential.predict(atoms)
    np.testing.assert_allclose(found["energy"], expected["energy"], rtol=1e-9)
    np.testing.assert_allclose(found["forces"], np.concatenate(expected["forces"]), atol=1e-9)
    assert found["stress"].shape == (2, 3, 3)
    integrators = getattr(torch_sim, "Integrator", torch_sim)
    run = torch_sim.integrate(
        atoms, model, integrator=integrators.nvt_langevin, n_steps=5, temperature=300, timestep=1e-3
    )
    assert torch.isfinite(run.energy).all()


def test_torch_sim_is_named_where_it_is_missing(potential, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sim.models.interface", None)
    with pytest.raises(ImportError, match="pip install torch-sim-atomistic"):
        potential.torch_sim_model()


def test_elements_that_training_never_saw_are_refused(potential):
    with pytest.raises(ValueError, match=r"1 of 1 structures have .*: H \(rows \[0\]\), O \(rows"):
        potential.predict([molecule("H2O")])
    with pytest.raises(ValueError, match="the training set had not"):
        Atoms(molecule("H2O"), calculator=potential.calculator()).get_forces()
