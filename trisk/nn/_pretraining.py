"""Streams with the heads of self-supervised pre-training."""

import numpy as np
import torch
from torch import Tensor, nn

from trisk.nn._crystal_batch import CrystalBatch
from trisk.nn._elements import N_ELEMENTS
from trisk.nn._triforces import StreamEmbeddings, TriForcesEncoder


class PretrainingNetwork(nn.Module):
    """Encoder with heads that guess noise and hidden elements, and with projections.

    Parameters
    ----------
    encoder : TriForcesEncoder
        Streams.
    hidden_dim : int
        Width of the heads' hidden layers.
    projection_dim : int, default=64
        Width of the projections of each stream.

    Notes
    -----
    `forward` takes a :class:`CrystalBatch` and gives a dictionary: ``noise`` ``(n_atoms, 3)``,
    without an interaction stream None; ``elements``, logits of the atomic numbers
    ``(n_atoms, 119)`` from all streams; ``stream_elements``, the same from each stream that sees
    elements, by name; ``atoms`` and ``structures``, projections ``(n_atoms, projection_dim)``
    and ``(n_structures, projection_dim)`` of each stream by name.
    """

    def __init__(self, encoder: TriForcesEncoder, hidden_dim: int, projection_dim: int = 64):
        super().__init__()
        self.encoder = encoder
        width = sum(encoder.widths.values())
        self.element_head = nn.Sequential(
            nn.Linear(width, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, N_ELEMENTS)
        )
        # Linear, so that an atom's own element stays easy to read from the streams that see it.
        self.stream_element_heads = nn.ModuleDict(
            {k: nn.Linear(v, N_ELEMENTS) for k, v in encoder.widths.items() if k != "structure"}
        )
        self.noise_head = (
            NoiseHead(width, hidden_dim, _vector_width(encoder.interaction))
            if encoder.interaction is not None
            else None
        )
        self.atom_projections = _projections(encoder.widths, projection_dim)
        self.structure_projections = _projections(encoder.widths, projection_dim)

    def forward(self, batch: CrystalBatch) -> dict:
        """Embed, guess and project."""
        embeddings = self.encoder(batch)
        joined = torch.cat(list(embeddings.atoms.values()), dim=1)
        return {
            "noise": self.noise_head and self.noise_head(embeddings, joined),
            "elements": self.element_head(joined),
            "stream_elements": {
                k: head(embeddings.atoms[k]) for k, head in self.stream_element_heads.items()
            },
            "atoms": {k: p(embeddings.atoms[k]) for k, p in self.atom_projections.items()},
            "structures": {
                k: p(embeddings.structures[k]) for k, p in self.structure_projections.items()
            },
        }


class NoiseHead(nn.Module):
    """Guesses how atoms were displaced, in units of the noise's standard deviation.

    The guess is a sum of the interaction stream's vectors, each times a gate that all streams
    feed, so that every stream learns from the noise and the guess turns with the crystal. For a
    backbone without vectors it comes from the embeddings themselves, which are not invariant
    then.

    Parameters
    ----------
    width : int
        Width of all streams' blocks together.
    hidden_dim : int
        Width of the hidden layer.
    n_vectors : int
        Vectors of an atom; zero if the backbone gives none.

    Notes
    -----
    `forward` takes :class:`StreamEmbeddings` and the joined embeddings of atoms, and gives
    ``(n_atoms, 3)``.
    """

    def __init__(self, width: int, hidden_dim: int, n_vectors: int):
        super().__init__()
        self.n_vectors = n_vectors
        self.gates = nn.Sequential(
            nn.Linear(width, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, n_vectors or 3)
        )

    def forward(self, embeddings: StreamEmbeddings, joined: Tensor) -> Tensor:
        """Guess the noise."""
        gates = self.gates(joined)
        if not self.n_vectors:
            return gates
        assert embeddings.vectors is not None
        return torch.bmm(embeddings.vectors, gates.unsqueeze(2)).squeeze(2)


def _projections(widths: dict[str, int], dim: int) -> nn.ModuleDict:
    """A two-layer network for each stream; none of them mixes samples."""
    return nn.ModuleDict(
        {
            name: nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, dim))
            for name, width in widths.items()
        }
    )


@torch.no_grad()
def _vector_width(backbone: nn.Module) -> int:
    """How many vectors a backbone gives an atom, found by trying."""
    pair = CrystalBatch.from_arrays(
        np.array([6, 6]),
        np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]]),
        9.0 * np.eye(3)[None],
        np.array([2]),
        np.array([[0, 1], [1, 0]]),
        np.zeros((2, 3)),
        next(backbone.parameters()).dtype,
    )
    vectors = backbone(pair.to(next(backbone.parameters()).device))[1]
    return 0 if vectors is None else vectors.shape[2]
