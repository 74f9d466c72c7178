"""The three streams together: an encoder that keeps them apart by name."""

from typing import NamedTuple

from torch import Tensor, nn

from trisk.nn._composition_stream import CompositionStream
from trisk.nn._crystal_batch import CrystalBatch
from trisk.nn._elements import ElementVectors
from trisk.nn._structure_stream import StructureStream

#: All streams, in the order of their blocks.
STREAMS = ("composition", "structure", "interaction")


class StreamEmbeddings(NamedTuple):
    """Embeddings of a batch, one block for each stream.

    Attributes
    ----------
    atoms : dict of str to Tensor of shape (n_atoms, width)
        Normalised embeddings of atoms.
    structures : dict of str to Tensor of shape (n_structures, width)
        Embeddings of structures: the mean over atoms, or the composition's own.
    vectors : Tensor of shape (n_atoms, 3, width) or None
        Equivariant embedding of the interaction stream, from a backbone that has one.
    """

    atoms: dict[str, Tensor]
    structures: dict[str, Tensor]
    vectors: Tensor | None


class TriForcesEncoder(nn.Module):
    """Three streams that see one geometry, each with its own normalised block [1]_.

    Parameters
    ----------
    composition : CompositionStream or None
        Sees elements and their counts.
    structure : StructureStream or None
        Sees positions and the lattice.
    interaction : Backbone or None
        Sees both.

    Notes
    -----
    `forward` takes a :class:`CrystalBatch` and gives :class:`StreamEmbeddings`.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.
    """

    def __init__(
        self,
        composition: CompositionStream | None = None,
        structure: StructureStream | None = None,
        interaction: nn.Module | None = None,
    ):
        super().__init__()
        if composition is None and structure is None and interaction is None:
            raise ValueError("an encoder needs at least one stream")
        self.composition = composition
        self.structure = structure
        self.interaction = interaction
        self.norms = nn.ModuleDict({k: nn.LayerNorm(v) for k, v in self.widths.items()})

    def start_elements_from(self, properties: Tensor) -> None:
        """Draw the vectors of the elements from what is known of them.

        Parameters
        ----------
        properties : Tensor of shape (119, n_properties)
            As for :meth:`~trisk.nn.ElementVectors.start_from`. Backbones of other packages have
            vectors of their own, which stay as they are.
        """
        for module in self.modules():
            if isinstance(module, ElementVectors):
                module.start_from(properties)

    @property
    def widths(self) -> dict[str, int]:
        """Width of each stream's block, in the order of the blocks."""
        widths = {}
        if self.composition is not None:
            widths["composition"] = self.composition.embed.embedding_dim
        if self.structure is not None:
            widths["structure"] = self.structure.linear.out_features
        if self.interaction is not None:
            widths["interaction"] = int(self.interaction.out_features)  # type: ignore[arg-type]
        return widths

    def forward(self, batch: CrystalBatch) -> StreamEmbeddings:
        """Embed atoms and structures."""
        atoms, structures, vectors = {}, {}, None
        if self.composition is not None:
            of_atoms, of_structures = self.composition(batch)
            norm = self.norms["composition"]
            atoms["composition"] = norm(of_atoms)
            structures["composition"] = norm(of_structures)
        if self.structure is not None:
            atoms["structure"] = self.norms["structure"](self.structure(batch))
        if self.interaction is not None:
            scalars, vectors = self.interaction(batch)
            atoms["interaction"] = self.norms["interaction"](scalars)
        for name in atoms:
            if name not in structures:
                structures[name] = batch.mean_over_atoms(atoms[name])
        return StreamEmbeddings(atoms, structures, vectors)
