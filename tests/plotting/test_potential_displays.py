"""Phonon bands, energies against volume, and parity of energies, forces and stresses."""

import sys

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from trisk.estimators import TriForcesOptions, TriForcesPotential
from trisk.plotting import EnergyVolumeDisplay, PhononDisplay, draw_potential
from trisk.plotting._base import drawn


def frame(seed, element="Cu"):
    """A rattled crystal with the results of EMT."""
    atoms = bulk(element, cubic=bool(seed % 2)) * (2, 1, 1)
    atoms.rattle(0.1, seed=seed)
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    results["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture(scope="module")
def potential():
    network = TriForcesOptions(hidden_dim=8, n_layers=2, cutoff=4.0)
    settings = {"network": network, "max_epochs": 2, "random_state": 0}
    return TriForcesPotential(**settings).fit([frame(seed) for seed in range(4)])


def test_phonons__bands_follow_the_path_and_vanish_at_gamma():
    pytest.importorskip("phonopy", reason="phonopy is not installed")
    display = PhononDisplay.from_calculator(EMT(), bulk("Cu", cubic=True), n_points=11, name="EMT")
    assert display.labels_[:6] == ["Γ", "X", "W", "K", "Γ", "L"]
    assert "K|U" in display.labels_
    assert display.frequencies_.shape == (10 * 11, 3)
    np.testing.assert_allclose(display.frequencies_[0], 0, atol=0.1)
    # Longitudinal and transversal frequencies at X, from the phonons themselves.
    display.phonons.run_qpoints([[0.5, 0, 0.5]])
    at_x = display.phonons.qpoints.frequencies[0] * 33.35641
    np.testing.assert_allclose(display.frequencies_[10], at_x, rtol=1e-5)
    other = PhononDisplay(phonons=display.phonons, n_points=11, name="again").plot(display.ax_)
    assert len(drawn(other.ax_.lines)) == 2
    assert [t.get_text() for t in other.ax_.get_xticklabels()] == display.labels_
    assert [t.get_text() for t in other.ax_.get_legend().get_texts()] == ["EMT", "again"]
    other.figure_.canvas.draw()
    short = PhononDisplay(phonons=display.phonons, path="GX").plot()
    assert short.labels_ == ["Γ", "X"]


def test_phonons__of_a_fitted_potential_and_its_calculator(potential):
    pytest.importorskip("phonopy", reason="phonopy is not installed")
    found = [
        PhononDisplay.from_calculator(source, bulk("Cu"), supercell_length=5, n_points=3)
        for source in (potential, potential.calculator())
    ]
    np.testing.assert_allclose(found[0].frequencies_, found[1].frequencies_, atol=1e-3)


def test_phonons__phonopy_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "phonopy", None)
    with pytest.raises(ImportError, match=r"trisk\[phonopy\]"):
        PhononDisplay.from_calculator(EMT(), bulk("Cu"))


def test_energies_and_volumes__give_the_bulk_modulus(potential):
    display = EnergyVolumeDisplay.from_calculator(EMT(), bulk("Cu"), strain=0.03, name="EMT")
    atoms = bulk("Cu")
    atoms.set_cell(atoms.cell.array * (display.volume_ / atoms.get_volume()) ** (1 / 3), True)
    atoms.calc = EMT()
    assert abs(atoms.get_stress()[:3]).max() < 1e-3
    assert display.energy_ == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
    pressures = []
    for change in (0.999, 1.001):
        image = Atoms(atoms, calculator=EMT())
        image.set_cell(atoms.cell.array * change, scale_atoms=True)
        pressures.append(-image.get_stress()[:3].mean())
    modulus = (pressures[0] - pressures[1]) / 0.006 / units.GPa
    assert display.bulk_modulus_ == pytest.approx(modulus, rel=0.02)
    volumes = np.linspace(10, 14, 9)
    reference = {"volumes": volumes, "energies": 5 + 0.1 * (volumes - 12) ** 2, "name": "reference"}
    other = EnergyVolumeDisplay(**reference).plot(display.ax_)
    assert (other.volume_, other.energy_) == pytest.approx((12, 5), abs=0.02)
    assert len(display.ax_.get_legend().get_texts()) == 2
    other.figure_.canvas.draw()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EnergyVolumeDisplay(volumes=[1, 2], energies=[1, 2, 3]).plot()
    with pytest.raises(ValueError, match="needs at least 5 volumes, not 2"):
        EnergyVolumeDisplay(volumes=[1, 2], energies=[1, 2]).plot()


def test_results_of_a_calculation__against_those_of_a_potential(potential):
    frames = [frame(seed) for seed in range(4, 8)]
    displays = draw_potential(EMT(), frames, name="EMT")
    assert {name: d.text_ for name, d in displays.items()} == {
        "energy": "EMT: MAE 0 eV/atom, R² 1.00",
        "forces": "EMT: MAE 0 eV/Å, R² 1.00",
        "stress": "EMT: MAE 0 GPa, R² 1.00",
    }
    displays = draw_potential(potential, frames)
    results = potential.predict(frames)
    counts = [len(atoms) for atoms in frames]
    energy, forces, stress = (displays[k].points_.get_offsets() for k in displays)
    np.testing.assert_allclose(energy[:, 1], results["energy"] / counts)
    np.testing.assert_allclose(forces[:, 1], np.concatenate(results["forces"]).ravel(), atol=1e-9)
    np.testing.assert_allclose(stress[:, 1], results["stress"].ravel() / units.GPa, rtol=1e-6)
    np.testing.assert_allclose(stress[:6, 0], frames[0].get_stress() / units.GPa)
    assert displays["forces"].ax_.get_xlabel() == "actual force (eV/Å)"
    energies = [atoms.get_potential_energy() for atoms in frames]
    assert list(draw_potential(potential.calculator(), frames, energies)) == ["energy"]
