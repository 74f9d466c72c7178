"""Vibrations of springs against a diagonalised dynamical matrix."""

import numpy as np
import pytest
import torch
from graph_batches import make_batch

from trisk.nn.springs import SpringVibrations
from trisk.structures.elements import ATOMIC_MASSES


def test_masses_agree_with_another_table():
    ase_data = pytest.importorskip("ase.data")
    assert np.allclose(ATOMIC_MASSES, ase_data.atomic_masses[1:119], atol=0.05)


def test_a_lone_pair_vibrates_as_a_diatomic_molecule():
    batch = make_batch(numbers=[6, 8], bonds=[(0, 1), (1, 0)], directions=[(0, 0, 1), (0, 0, -1)])
    springs = SpringVibrations(1, 4).double()
    stiffness = torch.full((1, 2, 1), 1900.0, dtype=torch.float64)
    squares = springs.squared_frequencies(stiffness, 0 * stiffness, springs.prepare(batch), batch)
    reduced = 1 / (1 / ATOMIC_MASSES[5] + 1 / ATOMIC_MASSES[7])
    assert torch.allclose(squares[0, :, 0], torch.full((2,), 1900 / reduced).double())
    # A pair has no further neighbours: the recursion finds the same.
    assert torch.allclose(squares[0, :, 1], squares[0, :, 0])


def test_recursion_is_exact_for_a_star():
    """A light atom between two fixed walls of heavy ones."""
    batch = make_batch(
        numbers=[1, 92, 92],
        bonds=[(0, 1), (0, 2), (1, 0), (2, 0)],
        directions=[(1, 0, 0), (-1, 0, 0), (-1, 0, 0), (1, 0, 0)],
    )
    springs = SpringVibrations(1, 4).double()
    stiffness = torch.full((1, 4, 1), 100.0, dtype=torch.float64)
    squares = springs.squared_frequencies(stiffness, 0 * stiffness, springs.prepare(batch), batch)
    light, heavy = ATOMIC_MASSES[0], ATOMIC_MASSES[91]
    coupling = -100 / (light * heavy) ** 0.5
    matrix = [
        [200 / light, coupling, coupling],
        [coupling, 100 / heavy, 0],
        [coupling, 0, 100 / heavy],
    ]
    assert np.isclose(squares[0, 0, 1].item(), np.linalg.eigvalsh(matrix)[-1], rtol=1e-6)


def test_rotation_changes_nothing():
    directions = torch.nn.functional.normalize(torch.randn(4, 3, dtype=torch.float64), dim=1)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    bonds = [(0, 1), (1, 0), (0, 2), (2, 1)]
    first = make_batch(numbers=[3, 8, 8], bonds=bonds, directions=directions)
    second = make_batch(numbers=[3, 8, 8], bonds=bonds, directions=directions @ rotation.T)
    springs = SpringVibrations(2, 4).double()
    torch.nn.init.normal_(springs.stiffness.weight)
    torch.nn.init.zeros_(springs.stiffness.bias)
    torch.nn.init.ones_(springs.log_sharpness)
    states = torch.randn(2, 4, 4, dtype=torch.float64)
    assert torch.allclose(
        springs(states, springs.prepare(first), first),
        springs(states, springs.prepare(second), second),
    )


def test_derivatives_are_finite_for_stiffnesses_decades_apart():
    directions = torch.nn.functional.normalize(torch.randn(6, 3), dim=1)
    batch = make_batch(
        numbers=[1, 8, 82],
        bonds=[(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)],
        directions=directions,
        stiffness=[1000, 1000, 1e-4, 1e-4, 1, 1],
        dtype=torch.float32,
    )
    springs = SpringVibrations(1, 4)
    springs.reset_member(0, torch.Generator())
    springs.stiffness.reset_member(0, torch.Generator().manual_seed(0))
    states = torch.randn(1, 6, 4, requires_grad=True)
    springs(states, springs.prepare(batch), batch).sum().backward()
    assert torch.isfinite(states.grad).all()
