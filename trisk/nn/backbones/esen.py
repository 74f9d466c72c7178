"""eSEN as a backbone, through the package fairchem-core."""

import torch
from torch import Tensor, nn

from trisk.nn.backbones.packages import using
from trisk.nn.batch import N_ELEMENTS, CrystalBatch


class ESENBackbone(nn.Module):
    """eSEN [1]_ with random weights; nothing is downloaded.

    `forward` takes a :class:`CrystalBatch` and gives scalars ``(n_atoms, dim)`` and vectors
    ``(n_atoms, 3, dim)``. Embeddings have degrees up to `max_degree`, distances `n_radial`
    Gaussians. Needs ``trisk[esen]``, which pip does not install beside ``trisk[mace]``, for they
    ask for different versions of e3nn.

    References
    ----------
    .. [1] X. Fu et al., "Learning smooth and expressive interatomic potentials", arXiv:2502.12147.
    """

    def __init__(
        self, cutoff: float, dim: int, n_layers: int = 2, max_degree: int = 2, n_radial: int = 64
    ):
        super().__init__()
        self.cutoff = cutoff
        self.out_features = dim
        with using("fairchem-core", "esen"):
            from fairchem.core.models.uma.escn_md import eSCNMDBackbone

            self.network = eSCNMDBackbone(
                max_num_elements=N_ELEMENTS,
                sphere_channels=dim,
                hidden_channels=dim,
                edge_channels=dim,
                lmax=max_degree,
                mmax=max_degree,
                num_distance_basis=n_radial,
                num_layers=n_layers,
                cutoff=cutoff,
                otf_graph=False,
                direct_forces=True,
                regress_forces=False,
                use_dataset_embedding=False,
            )

    def forward(self, batch: CrystalBatch) -> tuple[Tensor, Tensor]:
        pairs = batch.real_pairs
        centers = batch.centers.index_select(0, pairs)
        neighbors = batch.neighbors.index_select(0, pairs)
        positions = batch.positions
        between = positions.index_select(0, neighbors) - positions.index_select(0, centers)
        one = torch.zeros(1, dtype=torch.int64, device=positions.device)
        # All crystals as one system without charge and spin, its shifts of neighbours in a cell
        # of unit length.
        data = _Data(
            atomic_numbers=batch.atomic_numbers,
            batch=torch.zeros_like(batch.atomic_numbers),
            pos=positions,
            cell=torch.eye(3, dtype=positions.dtype, device=positions.device).unsqueeze(0),
            natoms=one + len(positions),
            edge_index=torch.stack([neighbors, centers]),
            cell_offsets=batch.vectors.index_select(0, pairs) - between,
            charge=one,
            spin=one,
        )
        features = self.network(data)["node_embedding"]
        return features[:, 0], features[:, 1:4]


class _Data(dict):
    """A dictionary that takes the default of `get` by name, as the package asks for it."""

    def get(self, key, default=None):
        """Value of a key, or the default."""
        return super().get(key, default)
