"""MACE as a backbone, through the package mace-torch."""

import os
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from trisk.nn.backbones.packages import using
from trisk.nn.backbones.potentials import Potential, network_of
from trisk.nn.batch import N_ELEMENTS, CrystalBatch

# Parameters of MACE that are classes, with the package's table of these, or irreps.
_CLASSES = {
    "interaction_cls": "interaction_classes",
    "interaction_cls_first": "interaction_classes",
    "readout_cls": "readout_classes",
}
_IRREPS = ("hidden_irreps", "edge_irreps", "MLP_irreps")


class MACEBackbone(nn.Module):
    """MACE [1]_ with random weights; nothing is downloaded.

    `forward` takes a :class:`CrystalBatch` and gives scalars ``(n_atoms, n_layers * dim)``, those
    of all layers, and vectors ``(n_atoms, 3, dim)``, those of the layer before the last.
    `correlation` is the body order of the products, less one; sums are divided by the typical
    number of neighbours. Needs ``trisk[mace]``.

    References
    ----------
    .. [1] I. Batatia et al., "MACE", NeurIPS 2022. https://arxiv.org/abs/2206.07697
    """

    def __init__(
        self,
        cutoff: float,
        dim: int,
        n_layers: int = 2,
        correlation: int = 3,
        max_degree: int = 3,
        n_neighbors: float = 30.0,
    ):
        super().__init__()
        if n_layers < 2:
            raise ValueError(f"MACE needs at least 2 layers here, but n_layers is {n_layers}")
        modules, irreps = _import_mace()
        interaction = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        self.cutoff = cutoff
        self.dim = dim
        self.n_layers = n_layers
        self.out_features = n_layers * dim
        with using("mace-torch", "mace"):
            self.network = modules.MACE(
                r_max=cutoff,
                num_bessel=8,
                num_polynomial_cutoff=6,
                max_ell=max_degree,
                interaction_cls=interaction,
                interaction_cls_first=interaction,
                num_interactions=n_layers,
                num_elements=N_ELEMENTS,
                hidden_irreps=irreps(f"{dim}x0e + {dim}x1o"),
                MLP_irreps=irreps("16x0e"),
                atomic_energies=np.zeros(N_ELEMENTS),
                avg_num_neighbors=n_neighbors,
                atomic_numbers=list(range(N_ELEMENTS)),
                correlation=correlation,
                gate=nn.functional.silu,
            )
        # Energies come from the head on all streams.
        self.network.readouts.requires_grad_(False)

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        elements = nn.functional.one_hot(batch.atomic_numbers, N_ELEMENTS)
        features = _embed(self.network, batch, batch.real_pairs, elements)
        width = 4 * self.dim
        inner = features[:, : (self.n_layers - 1) * width].unflatten(1, (-1, width))
        scalars = [inner[:, :, : self.dim].flatten(1), features[:, -self.dim :]]
        vectors = inner[:, -1, self.dim :].unflatten(1, (self.dim, 3)).transpose(1, 2)
        return torch.cat(scalars, dim=1), vectors


class MACEPotential(Potential):
    """MACE with its weights, from an object of the package mace-torch.

    `forward` takes a :class:`CrystalBatch` and gives the scalars after each layer and None.
    """

    requires = ("mace-torch", "mace")
    invariant: list[slice]

    @classmethod
    def _describe(cls, source: Any) -> dict | None:
        _import_mace()
        from mace.tools.scripts_utils import extract_config_mace_model

        network = network_of(source)
        if type(network).__name__ != "ScaleShiftMACE":
            return None
        found = extract_config_mace_model(network)
        for key, value in found.items():
            if key in _CLASSES or key == "gate":
                found[key] = getattr(value, "__name__", str(value))
            elif key in _IRREPS:
                found[key] = value and str(value)
            elif hasattr(value, "tolist"):
                found[key] = value.tolist()
        return found

    @classmethod
    def _make(cls, description: dict) -> nn.Module:
        modules, irreps = _import_mace()
        made = {**description, "atomic_numbers": torch.tensor(description["atomic_numbers"])}
        for key, value in description.items():
            if key in _CLASSES:
                made[key] = getattr(modules, _CLASSES[key])[value]
            elif key == "gate":
                made[key] = modules.gate_dict[value]
            elif key in _IRREPS:
                made[key] = value and irreps(value)
            elif key.startswith("atomic_") and key != "atomic_numbers":
                made[key] = np.array(value)
        return modules.ScaleShiftMACE(**made)

    def _set_up(self) -> list[int]:
        network: Any = self.network.requires_grad_(True)
        network.readouts.requires_grad_(False)
        self.cutoff, self.invariant, start = float(network.r_max), [], 0
        for product in network.products:
            irreps = product.linear.irreps_out
            self.invariant.append(slice(start, start + irreps.count("0e")))
            start += irreps.dim
        self.out_features = sum(part.stop - part.start for part in self.invariant)
        return network.atomic_numbers.tolist()

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, None]:
        elements = nn.functional.one_hot(self.index[batch.atomic_numbers], len(self.elements))
        features = _embed(self.network, batch, self.pairs(batch), elements)
        return torch.cat([features[:, part] for part in self.invariant], dim=1), None


def _embed(network: nn.Module, batch: CrystalBatch, pairs: Tensor, elements: Tensor) -> Tensor:
    """Features of atoms after each layer, side by side."""
    centers = batch.centers.index_select(0, pairs)
    neighbors = batch.neighbors.index_select(0, pairs)
    positions = batch.positions
    between = positions.index_select(0, centers) - positions.index_select(0, neighbors)
    starts = torch.cumsum(batch.structures.counts, 0)
    data = {
        "positions": positions,
        "cell": batch.lattices.flatten(0, 1),
        "node_attrs": elements.to(positions.dtype),
        "edge_index": torch.stack([neighbors, centers]),
        # MACE's vectors end at the centre.
        "shifts": -batch.vectors.index_select(0, pairs) - between,
        "batch": batch.atom_structure,
        "ptr": nn.functional.pad(starts, (1, 0)),
    }
    return network(data, compute_force=False)["node_feats"]


def _import_mace():
    """The modules of MACE and the irreps of e3nn, with no trace left in the process."""
    # Importing MACE switches torch's safe loading off, by a variable of the whole process.
    unchanged = patch.dict(os.environ)
    with unchanged, using("mace-torch", "mace"), torch.serialization.safe_globals([slice]):
        from e3nn.o3 import Irreps
        from mace import modules
    return modules, Irreps
