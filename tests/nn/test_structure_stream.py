"""The structural stream is alive, smooth, invariant and blind to elements."""

import numpy as np
import pytest
import torch
from ase import Atoms
from crystal_batches import REFERENCE_CRYSTALS, batch_of, rattled, rotated, rotation

from trisk.nn import StructureStream
from trisk.nn.basis import real_spherical_harmonics, smooth_cutoff
from trisk.nn.streams import PowerSpectrum, coordination

CUTOFF = 5.0


def stream(cutoff=CUTOFF):
    torch.manual_seed(0)
    return StructureStream(cutoff, 16).double()


def describe(spectrum, batch):
    radial = spectrum.basis(batch.lengths)
    return spectrum(batch, radial, coordination(batch, spectrum.basis.cutoff))


def embed(crystal, module=None):
    return (module or stream())(batch_of([crystal], CUTOFF)).detach()


def test_spherical_harmonics_are_orthonormal_and_add_up():
    nodes, weights = np.polynomial.legendre.leggauss(12)
    azimuths = 2 * np.pi * np.arange(24) / 24
    z, phi = (a.ravel() for a in np.meshgrid(nodes, azimuths, indexing="ij"))
    ring = np.sqrt(1 - z * z)
    directions = torch.tensor(np.stack([ring * np.cos(phi), ring * np.sin(phi), z], 1))
    values = real_spherical_harmonics(directions)
    area = torch.tensor(np.repeat(weights, 24) / 48)
    gram = values.T @ (values * area.unsqueeze(1))
    torch.testing.assert_close(gram, torch.eye(25, dtype=torch.float64), atol=1e-12, rtol=0)
    for degree in range(5):
        part = values[:, degree**2 : (degree + 1) ** 2]
        squares = part.square().sum(1)
        torch.testing.assert_close(squares, torch.full_like(squares, 2 * degree + 1))
        # Legendre's addition theorem, between the first direction and all others.
        cosine = (directions @ directions[0]).numpy()
        legendre = np.polynomial.legendre.Legendre.basis(degree)(cosine)
        np.testing.assert_allclose(part @ part[0], (2 * degree + 1) * legendre, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_spectrum_is_alive_on_the_fourteen_crystals(seed):
    torch.manual_seed(seed)
    spectrum = PowerSpectrum(6.0).double()
    batch = batch_of(list(REFERENCE_CRYSTALS.values()), 6.0)
    values = describe(spectrum, batch).detach()
    for index, name in enumerate(REFERENCE_CRYSTALS):
        spread = float(values[batch.atom_structure == index].std())
        assert 0.3 < spread < 3, name


def test_spectrum_sees_a_neighbor_at_five_angstrom():
    spectrum = PowerSpectrum(6.0).double()
    pairs = [Atoms("H2", [[0, 0, 0], [d, 0, 0]], cell=[30] * 3, pbc=True) for d in (4.9, 5.0)]
    first, second = (describe(spectrum, batch_of([p], 6.0)) for p in pairs)
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize("improper", [False, True])
def test_invariant_under_rotation_and_inversion(improper):
    crystal = rattled("MgO")
    turned = rotated(crystal, rotation(1, improper))
    torch.testing.assert_close(embed(turned), embed(crystal), atol=1e-10, rtol=0)


def test_invariant_under_translation_supercell_cell_choice_and_elements():
    crystal = rattled("MgO")
    expected = embed(crystal)
    moved = crystal.copy()
    moved.positions += [0.3, 1.7, -0.9]
    moved.wrap()
    sheared = crystal.copy()
    sheared.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ crystal.cell.array)
    other = crystal.copy()
    other.numbers[:] = [79, 3]
    for same in (moved, sheared):
        torch.testing.assert_close(embed(same), expected, atol=1e-10, rtol=0)
    assert torch.equal(embed(other), expected)
    large = embed(crystal.repeat((2, 1, 2)))
    torch.testing.assert_close(large, expected.repeat(4, 1), atol=1e-10, rtol=0)
    swapped = crystal[[1, 0]]
    torch.testing.assert_close(embed(swapped), expected.flip(0), atol=1e-10, rtol=0)


@pytest.mark.parametrize("edge", [0.5 * CUTOFF, 0.75 * CUTOFF, CUTOFF])
def test_smooth_where_a_neighbor_crosses_a_cutoff(edge):
    """Value and first derivative change by no more across the cutoff than elsewhere."""
    module = stream()
    step = 1e-4

    def embed_at(distance):
        trimer = [[0, 0, 0], [distance, 0, 0], [0, 1.5, 0]]
        crystal = Atoms("H3", trimer, cell=[30] * 3, pbc=True)
        batch = batch_of([crystal], CUTOFF + 0.1)
        batch.positions.requires_grad_()
        value = module(batch)[0]
        (slope,) = torch.autograd.grad(value.sum(), batch.positions)
        return value.detach(), slope

    crossing = zip(embed_at(edge - step), embed_at(edge + step), strict=True)
    nearby = zip(embed_at(edge - 6 * step), embed_at(edge - 4 * step), strict=True)
    for (before, after), (inside, further) in zip(crossing, nearby, strict=True):
        assert (before - after).abs().max() < 1e-6 + 2 * (inside - further).abs().max()


def test_cutoff_function_has_two_continuous_derivatives():
    ratio = torch.tensor([0.0, 1 - 1e-6, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    value = smooth_cutoff(ratio)
    (slope,) = torch.autograd.grad(value.sum(), ratio, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), ratio)
    torch.testing.assert_close(value.detach()[[0, 2, 3]], torch.tensor([1.0, 0, 0]).double())
    assert slope.abs().max() < 1e-9
    assert curvature.abs().max() < 1e-3


def test_twice_differentiable():
    module = stream()
    batch = batch_of([rattled("MgO")], 3.0)

    def total(positions):
        return module(batch.moved(positions)).square().sum(1)

    assert torch.autograd.gradgradcheck(total, batch.positions.requires_grad_(), atol=1e-3)
