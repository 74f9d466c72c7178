"""Crystals of the tests, as batches with ASE's neighbours."""

import numpy as np
import torch
from ase.build import bulk
from ase.neighborlist import neighbor_list

from trisk.nn import CrystalBatch

#: Fourteen crystals, from the shortest bonds to the longest.
REFERENCE_CRYSTALS = {
    "C": bulk("C"),
    "MgO": bulk("MgO", "rocksalt", a=4.21),
    "Si": bulk("Si"),
    "GaAs": bulk("GaAs", "zincblende", a=5.653),
    "Fe": bulk("Fe"),
    "Cu": bulk("Cu"),
    "W": bulk("W"),
    "NaCl": bulk("NaCl", "rocksalt", a=5.64),
    "Ti": bulk("Ti"),
    "Mg": bulk("Mg"),
    "Pb": bulk("Pb"),
    "CsCl": bulk("CsCl", "cesiumchloride", a=4.123),
    "Ca": bulk("Ca"),
    "K": bulk("K"),
}


def batch_of(crystals, cutoff=6.0, dtype=torch.float64):
    """Batch of ASE crystals in double precision."""
    starts = np.cumsum([0, *map(len, crystals)])
    lists = [neighbor_list("ijS", crystal, cutoff) for crystal in crystals]
    bonds = [np.stack([i, j], 1) + s for (i, j, _), s in zip(lists, starts, strict=False)]
    return CrystalBatch.from_arrays(
        np.concatenate([c.numbers for c in crystals]),
        np.concatenate([c.positions for c in crystals]),
        np.stack([c.cell.array for c in crystals]),
        np.array([len(c) for c in crystals]),
        np.concatenate(bonds),
        np.concatenate([images for *_, images in lists]),
        dtype,
    )


def rattled(name="GaAs", seed=0, strain=0.08, amplitude=0.15):
    """A triclinic crystal without any symmetry."""
    rng = np.random.default_rng(seed)
    crystal = REFERENCE_CRYSTALS[name].copy()
    deformation = np.eye(3) + strain * rng.standard_normal((3, 3))
    crystal.set_cell(crystal.cell.array @ deformation, scale_atoms=True)
    crystal.positions += amplitude * rng.standard_normal((len(crystal), 3))
    return crystal


def rotation(seed=0, improper=False):
    """A random rotation matrix, or one with an inversion."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    proper = q * np.sign(np.linalg.det(q))
    return -proper if improper else proper


def rotated(crystal, matrix):
    """The crystal with cell and positions rotated."""
    turned = crystal.copy()
    turned.set_cell(crystal.cell.array @ matrix.T)
    turned.set_positions(crystal.positions @ matrix.T)
    return turned
