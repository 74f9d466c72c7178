"""What pre-training asks of two views: to guess what was changed, and to agree."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trisk.nn import sigreg, sum_over_processes

#: Objectives in the order in which they are reported.
OBJECTIVES = ("denoising", "masking", "lejepa")

# Samples for which the weight of SIGReg is meant: at few it is the larger, as the statistic of a
# batch of that size is.
_REFERENCE_SAMPLES = 256


class PretrainingLoss(nn.Module):
    """Three objectives of self-supervision, each with its weight.

    Denoising: mean squared error of the noise over its standard deviation, per component.
    Masking: cross-entropy of the elements of hidden atoms from all streams together, and of all
    atoms from each stream that sees elements, lest a stream forget what no objective asks for.
    LeJEPA [1]_: for atoms and for structures in each stream, the
    variance between the two views of a projection, plus the distance of the projections'
    distribution from a Gaussian.

    Parameters
    ----------
    weights : dict of str to float
        Weight of each objective; one without weight is not computed.
    sigreg_weight : float, default=0.02
        Weight λ of SIGReg in LeJEPA, against 1 − λ of the variance between views.
    n_slices : int, default=128
        Random projections of SIGReg in a step.
    distributed : bool, default=False
        Whether the batch is spread over processes of :mod:`torch.distributed`. Every process then
        gets the loss of the whole batch, and the mean of their gradients is its gradient.

    Notes
    -----
    `forward` takes the output of :class:`trisk.nn.PretrainingNetwork` for the batch of a
    :class:`ViewMaker` and its targets.

    References
    ----------
    .. [1] R. Balestriero, Y. LeCun, "LeJEPA: provable and scalable self-supervised learning
       without the heuristics", arXiv:2511.08544 (2025).
    """

    def __init__(
        self,
        weights: dict[str, float],
        sigreg_weight: float = 0.02,
        n_slices: int = 128,
        distributed: bool = False,
    ):
        super().__init__()
        self.weights = {name: weights[name] for name in OBJECTIVES if weights.get(name)}
        self.sigreg_weight = sigreg_weight
        self.n_slices = n_slices
        self.distributed = distributed

    def terms(self, output: dict, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute the objectives that have a weight, without it.

        Parameters
        ----------
        output : dict
            Output of the network.
        targets : dict of str to Tensor
            What the views were made with.

        Returns
        -------
        dict of str to Tensor of shape ()
            Loss by name of the objective.
        """
        compute = {"denoising": self._denoising, "masking": self._masking, "lejepa": self._lejepa}
        return {name: compute[name](output, targets) for name in self.weights}

    def forward(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        """Add the objectives with their weights.

        Parameters
        ----------
        output : dict
            Output of the network.
        targets : dict of str to Tensor
            What the views were made with.

        Returns
        -------
        Tensor of shape ()
            Loss.
        """
        return self.total(self.terms(output, targets))

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Add objectives with their weights.

        Parameters
        ----------
        terms : dict of str to Tensor of shape ()
            Losses from :meth:`terms`.

        Returns
        -------
        Tensor of shape ()
            Loss.
        """
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def _total(self, values: Tensor) -> Tensor:
        return sum_over_processes(values) if self.distributed else values

    def _mean(self, values: Tensor, count: Tensor) -> Tensor:
        """Mean of rows of which only `count` are not zero."""
        return self._total(values.sum()) / self._total(count.to(values.dtype)).clamp_min(1)

    def _denoising(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        squares = (output["noise"] - targets["noise"]).square().mean(1)
        return self._mean(squares * targets["moved"], targets["moved"].sum())

    def _masking(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        rows = targets["masked"].nonzero().squeeze(1)
        logits = output["elements"].index_select(0, rows)
        elements = targets["elements"].index_select(0, rows)
        losses = F.cross_entropy(logits, elements, reduction="none")
        guesses = [self._mean(losses, targets["masked"].sum())]
        for logits in output["stream_elements"].values():
            losses = F.cross_entropy(logits, targets["elements"], reduction="none")
            guesses.append(self._mean(losses, losses.new_tensor(len(losses))))
        return torch.stack(guesses).sum()

    def _lejepa(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        losses = [
            self._agreement(projection)
            for level in ("atoms", "structures")
            for projection in output[level].values()
        ]
        return torch.stack(losses).mean()

    def _agreement(self, projection: Tensor) -> Tensor:
        """LeJEPA loss of one stream at one level."""
        first, second = projection.chunk(2)
        squares = 0.25 * (first - second).square().mean(1)
        between = self._mean(squares, squares.new_tensor(len(squares)))
        gaussian = [sigreg(view, self.n_slices, self._total) for view in (first, second)]
        weight = self.sigreg_weight * _REFERENCE_SAMPLES
        return (1 - self.sigreg_weight) * between + weight * torch.stack(gaussian).mean()
