"""CHGNet with its weights, through the package chgnet."""

from typing import Any

import torch
from torch import Tensor, nn

from trisk.nn.backbones.potentials import Potential, network_of
from trisk.nn.batch import CrystalBatch

# Its table of elements ends with plutonium.
_N_ELEMENTS = 94
# Puts the images of an atom in an order; more than twice as many as any direction has.
_IMAGES = 1024


class CHGNetPotential(Potential):
    """CHGNet [1]_ with its weights.

    `forward` takes a :class:`CrystalBatch` and gives the atom features after each of the four
    layers as scalars ``(n_atoms, 256)``; from the last but one CHGNet reads magnetic moments,
    from the last energies. There are no vectors. Needs ``trisk[chgnet]``.

    References
    ----------
    .. [1] B. Deng et al., "CHGNet as a pretrained universal neural network potential for
       charge-informed atomistic modelling", Nat. Mach. Intell. 5, 1031 (2023).
    """

    requires = ("chgnet", "chgnet")
    has_readout = True

    @classmethod
    def _load(cls, version: str) -> Any:
        from chgnet.model import CHGNet

        return CHGNet.load(model_name=version, use_device="cpu", verbose=False)

    @classmethod
    def _make(cls, description: dict) -> nn.Module:
        from chgnet.model import CHGNet

        # Any known table of energies of the elements; that of the weights takes its place.
        table = "MPtrj" if description.get("composition_model") else None
        return CHGNet(**{**description, "composition_model": table})

    @classmethod
    def _describe(cls, source: Any) -> dict | None:
        network = network_of(source)
        return {**network.model_args, "composition_model": network.composition_model is not None}

    def _set_up(self) -> list[int]:
        network: Any = self.network.requires_grad_(True)
        read = (network.mlp, network.readout_norm, network.composition_model)
        for stays in (network.site_wise, *read):
            if stays is not None:
                stays.requires_grad_(False)
        self.cutoff = float(network.graph_converter.atom_graph_cutoff)
        self.out_features = len(network.atom_conv_layers) * network.atom_fea_dim
        return list(range(1, _N_ELEMENTS + 1))

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, None]:
        network: Any = self.network
        first, second, bonds = self._bonds(batch)
        lengths = batch.lengths.index_select(0, bonds)
        directions = batch.directions.index_select(0, bonds)
        ends = torch.stack([torch.cat([first, second]), torch.cat([second, first])], dim=1)
        to_bond = torch.arange(len(bonds), device=bonds.device).repeat(2)
        angles = self._angles(ends[:, 0], lengths, len(batch.atomic_numbers))
        directions = torch.cat([directions, -directions])
        left, right = (directions.index_select(0, side) for side in angles)
        triples = torch.stack([ends[angles[0], 0], *(to_bond[side] for side in angles)], dim=1)

        radial = network.bond_basis_expansion.rbf_expansion_ag(lengths)
        of_bonds = network.bond_embedding(radial)
        weights = network.bond_weights_ag(radial)
        near = network.bond_weights_bg(network.bond_basis_expansion.rbf_expansion_bg(lengths))
        of_angles = network.angle_embedding(network.angle_basis_expansion(left, right))
        of_atoms = network.atom_embedding(self.index[batch.atomic_numbers])
        scalars = []
        inner = zip(network.bond_conv_layers, network.angle_layers, strict=True)
        for layer in network.atom_conv_layers:
            of_atoms = layer(of_atoms, of_bonds, weights, ends, to_bond)
            scalars.append(of_atoms)
            bond_layer, angle_layer = next(inner, (None, None))
            if bond_layer is not None:
                of_bonds = bond_layer(of_atoms, of_bonds, near, of_angles, triples)
            if angle_layer is not None:
                of_angles = angle_layer(of_atoms, of_bonds, of_angles, triples)
        return torch.cat(scalars, dim=1), None

    def readout(self, scalars: Tensor, batch: CrystalBatch) -> Tensor:
        network: Any = self.network
        last = scalars[:, -network.atom_fea_dim :]
        energies = network.mlp(last if network.readout_norm is None else network.readout_norm(last))
        if network.composition_model is not None:
            of_elements = network.composition_model.fc.weight.t()
            energies = energies + of_elements[self.index[batch.atomic_numbers]]
        return energies

    def _bonds(self, batch: CrystalBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Ends and places of pairs within the cutoff, in one of their two directions."""
        first, second = batch.centers, batch.neighbors
        order = batch.images @ batch.images.new_tensor([_IMAGES**2, _IMAGES, 1])
        ahead = torch.where(first == second, order > 0, first < second)
        places = (ahead & (batch.lengths < self.cutoff)).nonzero().squeeze(1)
        return first[places], second[places], places

    def _angles(self, centers: Tensor, lengths: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
        """All ordered pairs of different short bonds that start at the same atom."""
        network: Any = self.network
        short = (lengths.repeat(2) < network.graph_converter.bond_graph_cutoff).nonzero().squeeze(1)
        short = short[centers[short].argsort(stable=True)]
        counts = centers[short].bincount(minlength=n_atoms)
        starts = (counts.cumsum(0) - counts)[centers[short]]
        repeats = counts[centers[short]]
        left = torch.arange(len(short), device=short.device).repeat_interleave(repeats)
        right = torch.arange(len(left), device=short.device)
        right = right - (repeats.cumsum(0) - repeats - starts)[left]
        differ = left != right
        return short[left[differ]], short[right[differ]]
