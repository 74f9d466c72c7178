"""Orb-v3 as a backbone, through the package orb-models."""

from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

from trisk.nn.backbones.packages import using
from trisk.nn.backbones.potentials import Potential
from trisk.nn.batch import N_ELEMENTS, CrystalBatch

# Orb's cutoff is part of its code; distances are scaled to it.
_ORB_CUTOFF = 6.0
# A limit of neighbours that hardly an atom reaches.
_ALL_NEIGHBORS = 120


class OrbBackbone(nn.Module):
    """The graph network of Orb-v3 [1]_ with random weights; nothing is downloaded.

    Orb is invariant under translation, not under rotation: it sees the directions of bonds as
    they are, and has to learn from rotated crystals what turns with them.

    `forward` takes a :class:`CrystalBatch` and gives scalars ``(n_atoms, dim)`` and None. Orb's
    own cutoff is 6 Å, to which distances are scaled; its perceptrons are `hidden_dim` wide, or
    four times `dim`, as published. Needs ``trisk[orb]``.

    References
    ----------
    .. [1] B. Rhodes et al., "Orb-v3: atomistic simulation at scale", arXiv:2504.06231, 2025.
    """

    def __init__(self, cutoff: float, dim: int, n_layers: int = 5, hidden_dim: int | None = None):
        super().__init__()
        self.cutoff = cutoff
        self.out_features = dim
        with using("orb-models", "orb"):
            from orb_models.forcefield.angular import SphericalHarmonics
            from orb_models.forcefield.gns import MoleculeGNS
            from orb_models.forcefield.rbf import BesselBasis

            self.network = MoleculeGNS(
                latent_dim=dim,
                num_message_passing_steps=n_layers,
                num_mlp_layers=2,
                mlp_hidden_dim=hidden_dim or 4 * dim,
                rbf_transform=BesselBasis(r_max=_ORB_CUTOFF, num_bases=8),
                angular_transform=SphericalHarmonics(
                    lmax=3, normalize=True, normalization="component"
                ),
                outer_product_with_cutoff=True,
                use_embedding=True,
                interaction_params={"distance_cutoff": True, "attention_gate": "sigmoid"},
                node_feature_names=["feat"],
                edge_feature_names=["feat"],
                activation="silu",
                mlp_norm="rms_norm",
            )
        # Forces come from the energy of all streams.
        self.network._decoder.requires_grad_(False)

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, None]:
        return _embed(self.network, batch, batch.real_pairs, _ORB_CUTOFF / self.cutoff), None


class OrbPotential(Potential):
    """Orb with its weights, from an object of the package orb-models.

    `forward` takes a :class:`CrystalBatch` and gives scalars ``(n_atoms, latent_dim)`` and None.
    The networks that see all neighbours are taken, whose names end in "inf".
    """

    requires = ("orb-models", "orb")

    def _set_up(self) -> list[int]:
        network: Any = self.network
        config = getattr(network, "system_config", None)
        self.network = network = getattr(network, "model", network).requires_grad_(True)
        few = config is not None and config.max_num_neighbors < _ALL_NEIGHBORS
        if few or network.conditioner is not None:
            raise ValueError(
                "trisk takes Orb with all neighbours and without charge and spin, such as "
                "orb_v3_conservative_inf_omat; this one has a limit of neighbours or conditions."
            )
        network._decoder.requires_grad_(False)
        self.cutoff, self.out_features = _ORB_CUTOFF, network.gnn_stacks[0].latent_dim
        return list(range(1, N_ELEMENTS))

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, None]:
        return _embed(self.network, batch, self.pairs(batch)), None


def _embed(network: nn.Module, batch: CrystalBatch, pairs: Tensor, scale: float = 1.0) -> Tensor:
    """Embeddings of atoms with all distances multiplied by a scale, ``(n_atoms, latent_dim)``."""
    graphs = SimpleNamespace(
        node_features={
            "atomic_numbers": batch.atomic_numbers,
            "atomic_numbers_embedding": None,
        },
        edge_features={"vectors": scale * batch.vectors.index_select(0, pairs)},
        senders=batch.centers.index_select(0, pairs),
        receivers=batch.neighbors.index_select(0, pairs),
    )
    return network(graphs)["node_features"]
