"""SevenNet with its weights, through the package sevenn."""

from typing import Any

import torch
from torch import Tensor, nn

from trisk.nn.backbones.potentials import Potential
from trisk.nn.batch import CrystalBatch

# Beginnings of the names of the modules that read energies.
_READOUT = ("reduce_", "readout_", "rescale_", "force_")
# Those that give energies of atoms.
_OF_ATOMS = ("reduce_input_to_hidden", "reduce_hidden_to_energy", "rescale_atomic_energy")
# Parameters of a checkpoint that shape the network; the others tell of its training.
_PARAMETERS = (
    *("_normalize_sph", "_number_of_species", "_type_map", "act_gate", "act_radial", "act_scalar"),
    *("channel", "conv_denominator", "cutoff", "cutoff_function", "interaction_type"),
    *("irreps_manual", "is_parity", "lmax", "lmax_edge", "lmax_node", "num_convolution_layer"),
    *("radial_basis", "readout_as_fcn", "readout_fcn_activation", "readout_fcn_hidden_neurons"),
    *("scale", "self_connection_type", "shift", "train_denominator", "train_shift_scale"),
    *("use_bias_in_linear", "weight_nn_hidden_neurons"),
)


class SevenNetPotential(Potential):
    """SevenNet [1]_ with its weights.

    `forward` takes a :class:`CrystalBatch` and gives the scalars after each layer,
    ``(n_atoms, 640)`` with the weights that come with the package; from those of the last it reads
    energies, the earlier ones know more of other properties. There are no vectors. Needs
    ``trisk[sevennet]``, which pip does not install beside ``trisk[mace]``, for they ask for
    different versions of e3nn.

    References
    ----------
    .. [1] Y. Park, J. Kim, S. Hwang, S. Han, "Scalable parallel algorithm for graph neural
       network interatomic potentials in molecular dynamics simulations", J. Chem. Theory Comput.
       20, 4857 (2024).
    """

    requires = ("sevenn", "sevennet")
    has_readout = True
    invariant: dict[str, list[slice]]

    @classmethod
    def _load(cls, version: str) -> Any:
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(version, device="cpu")

    @classmethod
    def _make(cls, description: dict) -> nn.Module:
        from sevenn.model_build import build_E3_equivariant_model

        return build_E3_equivariant_model(description)

    @classmethod
    def _describe(cls, source: Any) -> dict | None:
        # A network alone does not know its parameters, the calculator that loaded it does.
        known = getattr(source, "sevennet_config", None)
        if known is None:
            return None
        found = {key: known[key] for key in _PARAMETERS if key in known}
        return {key: getattr(v, "tolist", lambda v=v: v)() for key, v in found.items()}

    def _set_up(self) -> list[int]:
        network: Any = self.network
        if network.modal_map:
            raise ValueError(
                "This SevenNet has several fidelities, of which trisk takes none; take one with a "
                "single fidelity, such as '7net-l3i5'."
            )
        for name, module in network.named_children():
            if name.startswith(_READOUT):
                module.requires_grad_(False)
        self.cutoff, self.out_features, self.invariant = float(network.cutoff), 0, {}
        for name, module in network.named_children():
            if name.endswith("_gate"):
                irreps = module.gate.irreps_out
                parts = zip(irreps.slices(), irreps, strict=True)
                self.invariant[name] = [p for p, (_, kind) in parts if (kind.l, kind.p) == (0, 1)]
                self.out_features += sum(part.stop - part.start for part in self.invariant[name])
        return sorted(network.type_map, key=network.type_map.get)

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, None]:
        pairs = self.pairs(batch)
        elements = nn.functional.one_hot(self.index[batch.atomic_numbers], len(self.elements))
        elements = elements.to(batch.positions.dtype)
        ends = [values.index_select(0, pairs) for values in (batch.centers, batch.neighbors)]
        data = {
            "x": elements,
            "node_attr": elements,
            "edge_index": torch.stack(ends),
            "edge_vec": batch.vectors.index_select(0, pairs),
        }
        scalars: list[Tensor] = []
        for name, module in self.network.named_children():
            if name.startswith(_READOUT):
                break
            if name != "onehot_idx_to_onehot":  # which gives single precision
                data = module(data)
            scalars += [data["x"][:, part] for part in self.invariant.get(name, ())]
        return torch.cat(scalars, dim=1), None

    def readout(self, scalars: Tensor, batch: CrystalBatch) -> Tensor:
        width = sum(part.stop - part.start for part in list(self.invariant.values())[-1])
        data = {"x": scalars[:, -width:], "atom_type": self.index[batch.atomic_numbers]}
        for name in _OF_ATOMS:
            data = getattr(self.network, name)(data)
        return data["atomic_energy"]
