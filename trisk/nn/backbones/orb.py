"""Orb-v3 as a backbone, through the package orb-models."""

from types import SimpleNamespace

from torch import Tensor, nn

from trisk.nn.backbones.packages import using
from trisk.nn.batch import CrystalBatch

# Orb's cutoff is part of its code; distances are scaled to it.
_ORB_CUTOFF = 6.0


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
        pairs = batch.real_pairs
        vectors = batch.vectors.index_select(0, pairs) * (_ORB_CUTOFF / self.cutoff)
        graphs = SimpleNamespace(
            node_features={
                "atomic_numbers": batch.atomic_numbers,
                "atomic_numbers_embedding": None,
            },
            edge_features={"vectors": vectors},
            senders=batch.centers.index_select(0, pairs),
            receivers=batch.neighbors.index_select(0, pairs),
        )
        return self.network(graphs)["node_features"], None
