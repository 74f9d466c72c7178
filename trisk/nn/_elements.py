"""What a network knows of the elements before it has seen a crystal."""

import math

import torch
from torch import Tensor, nn

#: Rows of an element table: atomic numbers to 118, and zero for a hidden element.
N_ELEMENTS = 119

# Share of the variance of a vector that says no more than which element it is.
_IDENTITY = 0.01


class ElementVectors(nn.Embedding):
    """A learned vector for every element and one for a hidden element.

    Parameters
    ----------
    dim : int
        Width of the vectors.
    """

    def __init__(self, dim: int):
        super().__init__(N_ELEMENTS, dim)

    @torch.no_grad()
    def start_from(self, properties: Tensor) -> None:
        """Draw the vectors anew, as a random projection of what is known of the elements.

        Elements that resemble each other then start from vectors that do, so that what is learned
        of one holds for the other. Random vectors must learn all of this from labels.

        Parameters
        ----------
        properties : Tensor of shape (119, n_properties)
            Properties of each element, by atomic number, with mean 0 and variance 1. Those of the
            hidden element, in row 0, are not read.
        """
        known = properties[1:].to(self.weight)
        projection = torch.randn(known.shape[1], self.embedding_dim).to(self.weight)
        projection *= math.sqrt((1 - _IDENTITY) / known.square().sum(1).mean())
        self.reset_parameters()
        self.weight[1:] *= math.sqrt(_IDENTITY)
        self.weight[1:] += known @ projection
