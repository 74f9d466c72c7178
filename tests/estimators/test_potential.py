"""TriForces as a potential: fits, relaxes a cell, conserves energy, and explains bad input."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from nested import make
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

import trisk
from trisk import TriForcesPotential
from trisk.estimators.potential import read_targets, voigt_to_matrix

SMALL = {"hidden_dim": 16, "n_layers": 2, "cutoff": 4.2, "random_state": 0}


def _frame(seed, metal="Cu"):
    rng = np.random.default_rng(seed)
    frame = bulk(metal, cubic=True)
    deformation = np.eye(3) + 0.03 * rng.standard_normal((3, 3))
    frame.set_cell(frame.cell.array @ deformation, scale_atoms=True)
    frame.positions += 0.1 * rng.standard_normal((4, 3))
    frame.calc = EMT()
    results = {
        "energy": frame.get_potential_energy(),
        "forces": frame.get_forces(),
        "stress": frame.get_stress(),
    }
    frame.calc = SinglePointCalculator(frame, **results)
    return frame


@pytest.fixture(scope="module")
def frames():
    """Rattled and strained copper with EMT's energies, forces and stresses."""
    return [_frame(seed) for seed in range(40)]


@pytest.fixture(scope="module")
def potential(frames):
    return make(TriForcesPotential, max_epochs=60, batch_size=8, learning_rate=1e-2, **SMALL).fit(
        frames[:32]
    )


def test_learns_energies_forces_and_stresses(potential, frames):
    test = frames[32:]
    results = potential.predict(test)
    forces = np.concatenate([f.get_forces() for f in test])
    error = np.abs(np.concatenate(results["forces"]) - forces).mean()
    assert error < 0.2 * np.abs(forces).mean()
    energies = np.array([f.get_potential_energy() for f in test])
    assert np.abs(results["energy"] - energies).mean() < 0.3 * energies.std()
    stresses = np.array([f.get_stress() for f in test])
    assert np.abs(results["stress"] - stresses).mean() < 0.3 * np.abs(stresses).mean()
    assert potential.score(test) > 0.9


def test_results_come_as_a_frame_and_survive_a_file(potential, frames, tmp_path):
    results = potential.predict(frames[:3])
    table = potential.predict(frames[:3], as_frame=True)
    assert list(table) == ["energy", "forces", "stress", "energies"]
    potential.save(tmp_path / "potential.trisk")
    loaded = trisk.load(tmp_path / "potential.trisk").predict(frames[:3])
    for name, values in results.items():
        for value, again, cell in zip(values, loaded[name], table[name], strict=True):
            np.testing.assert_array_equal(value, again)
            np.testing.assert_array_equal(value, cell)


def test_one_array_for_scikit_learn(frames):
    frames, small = frames[:8], {"hidden_dim": 8, "n_layers": 1, "cutoff": 4.0, "batch_size": 4}
    model = make(
        TriForcesPotential, output="energy", n_members=2, max_epochs=2, random_state=0, **small
    )
    with_forces = cross_val_predict(model, frames, cv=2)
    expected = model.fit(frames[4:]).predict(frames[:4])
    np.testing.assert_allclose(with_forces[:4], expected, rtol=1e-9)
    pair = model.predict(frames, return_std=True)
    names = ["energy", "forces", "stress", "energies"]
    assert list(model.predict(frames, as_frame=True)) == names
    results = model.set_params(output="all").predict(frames, return_std=True)
    for found, name in zip(pair, ("energy", "energy_std"), strict=True):
        np.testing.assert_array_equal(found, results[name])

    model.set_params(output="energy", n_members=1)
    energies = np.array([frame.get_potential_energy() for frame in frames])
    settings = {"cv": 2, "scoring": "neg_mean_absolute_error", "error_score": "raise"}
    found = cross_val_predict(model, frames, energies, cv=2)
    errors = [np.abs(found - energies)[half].mean() for half in (slice(4), slice(4, None))]
    np.testing.assert_allclose(-cross_val_score(model, frames, energies, **settings), errors)
    search = GridSearchCV(model, {"network__n_layers": [1, 2]}, **settings).fit(frames, energies)
    np.testing.assert_allclose(-search.cv_results_["mean_test_score"][0], np.mean(errors))
    assert search.predict(frames[:3]).shape == (3,)
    with pytest.raises(ValueError, match="The 'output' parameter"):
        model.set_params(output="forces").fit(frames)


def test_results_follow_the_crystal(potential, frames):
    crystal = frames[33].copy()
    expected = potential.predict([crystal])
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turned = crystal.copy()
    turned.set_cell(crystal.cell.array @ q.T)
    turned.set_positions(crystal.positions @ q.T)
    order = [2, 0, 3, 1]
    results = potential.predict([turned, crystal[order], crystal.repeat((1, 2, 1)), crystal])
    energy = expected["energy"][0]
    np.testing.assert_allclose(results["energy"], energy * np.array([1, 1, 2, 1]), rtol=1e-9)
    forces = expected["forces"][0]
    for found, same in zip(
        results["forces"],
        (forces @ q.T, forces[order], np.tile(forces, (2, 1)), forces),
        strict=True,
    ):
        np.testing.assert_allclose(found, same, atol=1e-8)
    stress = voigt_to_matrix(expected["stress"][0])
    np.testing.assert_allclose(voigt_to_matrix(results["stress"][0]), q @ stress @ q.T, atol=1e-9)
    np.testing.assert_allclose(results["stress"][1:], expected["stress"].repeat(3, 0), atol=1e-9)


def test_calculator_agrees_with_predict_and_with_its_derivatives(potential, frames):
    atoms = frames[0].copy()
    atoms.calc = potential.calculator()
    results = potential.predict([atoms])
    np.testing.assert_allclose(atoms.get_potential_energy(), results["energy"][0], rtol=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), results["forces"][0], atol=1e-10)
    np.testing.assert_allclose(atoms.get_stress(), results["stress"][0], atol=1e-12)
    step, energies = 1e-4, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[1, 2] += sign * step
        moved.calc = potential.calculator()
        energies.append(moved.get_potential_energy())
    slope = (energies[0] - energies[1]) / (2 * step)
    np.testing.assert_allclose(atoms.get_forces()[1, 2], -slope, atol=1e-6)


def test_calculator_keeps_its_neighbors_only_while_they_hold(potential):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = potential.calculator(skin=0.4)
    for shift in (0.05, 0.1, 0.3):
        atoms.positions[0] += shift
        fresh = atoms.copy()
        fresh.calc = potential.calculator()
        energies = [a.get_potential_energy() for a in (atoms, fresh)]
        np.testing.assert_allclose(*energies, rtol=1e-10)
    atoms.set_cell(atoms.cell.array * 1.02, scale_atoms=True)
    fresh = atoms.copy()
    fresh.calc = potential.calculator()
    np.testing.assert_allclose(atoms.get_stress(), fresh.get_stress(), atol=1e-12)


def test_structures_that_do_not_repeat_have_no_stress(potential):
    crystal = bulk("Cu", cubic=True)
    cluster, slab = crystal.copy(), crystal.copy()
    cluster.pbc, slab.pbc = False, (True, True, False)
    results = potential.predict([crystal, cluster, Atoms(cluster.symbols, cluster.positions), slab])
    assert np.isnan(results["stress"]).all(axis=1).tolist() == [False, True, True, True]
    assert np.isfinite(np.concatenate(results["forces"])).all()
    np.testing.assert_allclose(results["energy"][1], results["energy"][2], rtol=1e-9)
    atoms = crystal.copy()
    atoms.calc = potential.calculator()
    for pbc, energy in zip(
        (True, False, (True, True, False)), results["energy"][[0, 1, 3]], strict=True
    ):
        atoms.pbc = pbc
        np.testing.assert_allclose(atoms.get_potential_energy(), energy, rtol=1e-9)
        if pbc is not True:
            with pytest.raises(PropertyNotImplementedError, match="there is no stress"):
                atoms.get_stress()
    assert len(np.unique(results["energy"].round(6))) == 3


def test_relaxes_a_cell_to_zero_stress(potential):
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array * 1.03, scale_atoms=True)
    atoms.rattle(0.05, seed=0)
    atoms.calc = potential.calculator()
    assert BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.01, steps=100)
    assert np.abs(atoms.get_stress()).max() < 1e-3
    assert abs(atoms.get_volume() / 4 - bulk("Cu").get_volume()) < 0.6


def test_conserves_energy(potential):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = potential.calculator()
    spread = np.sqrt(atoms.get_masses() * units.kB * 300)
    atoms.set_momenta(np.random.default_rng(0).normal(size=(4, 3)) * spread[:, None])
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    energies = []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(100)
    assert np.ptp(energies) / len(atoms) < 1e-3
    assert atoms.get_kinetic_energy() > 0.01


def test_missing_forces_and_stresses_are_allowed(frames):
    partial = [f.copy() for f in frames[:6]]
    kept = (["energy"], ["forces"], ["energy", "forces"], ["energy", "stress"])
    for index, (frame, source) in enumerate(zip(partial, frames, strict=False)):
        results = {k: source.calc.results[k] for k in kept[index % 4]}
        frame.calc = SinglePointCalculator(frame, **results)
    model = make(TriForcesPotential, max_epochs=2, **SMALL).fit(partial)
    assert np.isfinite(model.predict(partial)["energy"]).all()
    assert np.isfinite(model.nets_[0].history[:, "train_loss"]).all()


def test_takes_targets_apart_from_the_frames(frames):
    bare = [f.copy() for f in frames[:6]]
    energies = [f.get_potential_energy() for f in frames[:6]]
    model = make(TriForcesPotential, max_epochs=2, **SMALL)
    from_array = model.fit(bare, energies).predict(bare)["energy"]
    y = {"energy": energies, "forces": [None] * 6}
    np.testing.assert_array_equal(clone(model).fit(bare, y).predict(bare)["energy"], from_array)
    carried = clone(model).fit(frames[:6]).predict(bare)
    given = clone(model).fit(
        bare,
        {
            "energy": energies,
            "forces": [f.get_forces() for f in frames[:6]],
            "stress": [f.get_stress() for f in frames[:6]],
        },
    )
    np.testing.assert_array_equal(given.predict(bare)["energy"], carried["energy"])
    assert np.isfinite(cross_val_score(model, frames[:6], cv=2)).all()


def test_frames_that_are_read_once_and_results_of_two_calculations(frames):
    model = make(TriForcesPotential, max_epochs=1, **SMALL)
    once = model.fit(frame for frame in frames[:4]).predict(frames[:4])["energy"]
    again = clone(model).fit(frames[:4])
    np.testing.assert_array_equal(again.predict(frames[:4])["energy"], once)
    assert np.isfinite(again.score(iter(frames[:4])))
    named = [frame.copy() for frame in frames[:4]]
    for frame, source in zip(named, frames, strict=False):
        frame.info["REF_energy"] = source.get_potential_energy()
        frame.calc = SinglePointCalculator(frame, energy=0.0, forces=np.zeros((len(frame), 3)))
    counts = np.array([len(frame) for frame in named])
    found = read_targets(named, None, counts)
    assert np.isnan(found["forces"]).all()  # the other calculation's are not taken
    np.testing.assert_allclose(found["energy"], [f.get_potential_energy() for f in frames[:4]])


def test_reference_energies_are_fitted():
    mixed = [_frame(0, "Cu"), _frame(1, "Ag"), _frame(2, "Cu"), _frame(3, "Ag")]
    model = make(TriForcesPotential, max_epochs=1, **SMALL).fit(mixed)
    assert model.elements_.tolist() == [29, 47]
    means = [np.mean([f.get_potential_energy() / 4 for f in mixed[i::2]]) for i in (0, 1)]
    np.testing.assert_allclose(model.references_, means)
    with pytest.raises(ValueError, match=r"1 of 2 structures have elements .* Au \(rows \[1\]\)"):
        model.predict([mixed[0], bulk("Au")])


def test_energies_of_all_electrons_keep_their_digits(frames, tmp_path):
    model = make(TriForcesPotential, max_epochs=3, batch_size=8, **SMALL)
    energies = np.array([f.get_potential_energy() for f in frames[:8]])
    offset = -535_000.123456 * 4  # eV, of gold's size
    bare = clone(model).fit(frames[:8], {"energy": energies}).predict(frames[:8])["energy"]
    model.fit(frames[:8], {"energy": energies + offset})
    found = model.predict(frames[:8])
    np.testing.assert_allclose(found["energy"] - offset, bare, atol=1e-5)
    single = model.predict(frames[:8], dtype="float32")["energy"]
    np.testing.assert_allclose(single, found["energy"], atol=1e-3)
    trisk.save(model, tmp_path / "model.trisk")
    again = trisk.load(tmp_path / "model.trisk").predict(frames[:8])["energy"]
    np.testing.assert_allclose(again, found["energy"], atol=1e-5)


def test_bad_targets_are_named(frames):
    model = make(TriForcesPotential, max_epochs=1, **SMALL)
    with pytest.raises(ValueError, match="Row 1 carries neither an energy nor forces"):
        model.fit([frames[0], frames[1].copy()])
    with pytest.raises(ValueError, match=r"Row 0 has 4 atoms, but forces of shape \(3, 3\)"):
        model.fit(frames[:1], {"energy": [0.0], "forces": [np.zeros((3, 3))]})
    with pytest.raises(ValueError, match="infinite"):
        model.fit(frames[:2], [np.inf, 0.0])
    with pytest.raises(ValueError, match="2 values of energy for 3"):
        model.fit(frames[:3], [0.0, 1.0])
    with pytest.raises(ValueError, match="'virial'"):
        model.fit(frames[:1], {"energy": [0.0], "virial": [np.zeros(6)]})


def test_results_of_other_positions__are_refused():
    frames = [bulk("Cu", cubic=True), bulk("Cu", cubic=True)]
    calculator = EMT()
    for seed, frame in enumerate(frames):
        frame.rattle(0.1, seed=seed)
        frame.calc = calculator
        frame.get_potential_energy()
    model = make(TriForcesPotential, max_epochs=1, **SMALL)
    with pytest.raises(ValueError, match="Row 0 carries results of other positions"):
        model.fit(frames)


def test_forces_that_are_only_rounding__do_not_set_the_scale():
    frames = [bulk("Cu", a=length) for length in (3.4, 3.5, 3.6, 3.8)]
    for frame in frames:
        frame.calc = EMT()
        frame.get_potential_energy()
    model = make(TriForcesPotential, max_epochs=1, **SMALL).fit(frames)
    assert model.architecture_["scale"] == 1.0


def test_close_atoms__are_scored_where_they_are_predicted(potential):
    close = Atoms("Cu2", [[0, 0, 0], [0.4, 0, 0]])
    assert potential.predict([close])["energy"].shape == (1,)
    results = {"energy": [0.0], "forces": [np.array([[-1.0, 0, 0], [1.0, 0, 0]])]}
    assert np.isfinite(potential.score([close], results))


def test_no_structures__give_no_results(potential):
    results = potential.predict([])
    assert all(len(values) == 0 for values in results.values())
    assert potential.predict([], as_frame=True).empty


def test_negative_skin__is_refused(potential):
    with pytest.raises(ValueError, match="skin must be a length in Å of 0 or more, not -1"):
        potential.calculator(skin=-1.0)
