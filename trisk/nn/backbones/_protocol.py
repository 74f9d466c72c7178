"""What a network must offer to be the interaction stream."""

from typing import Protocol

from torch import Tensor

from trisk.nn._crystal_batch import CrystalBatch


class Backbone(Protocol):
    """A network on atoms and their neighbours, differentiable in positions and lattices.

    Any :class:`torch.nn.Module` with these two attributes and this call will do. It must take
    distances from ``batch.vectors`` or, as differentiably, from ``batch.positions`` and
    ``batch.lattices``, and ignore pairs with non-zero ``batch.padding``.

    Attributes
    ----------
    cutoff : float
        Largest distance of neighbours, in Å.
    out_features : int
        Width D of the scalars.
    """

    cutoff: float
    out_features: int

    def __call__(self, batch: CrystalBatch) -> tuple[Tensor, Tensor | None]:
        """Embed atoms.

        Parameters
        ----------
        batch : CrystalBatch
            Crystals with their neighbours.

        Returns
        -------
        scalars : Tensor of shape (n_atoms, out_features)
            Invariant embedding.
        vectors : Tensor of shape (n_atoms, 3, width) or None
            Equivariant embedding, from a network that has one.
        """
