"""When the recursion has done enough for a crystal."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from trisk.nn._members import ZeroLinear

# Rebuilding a batch pays once so many of its crystals are done.
_COMPACTION = 0.5
# An untrained gate lets one cycle pass at a quarter and closes then: further cycles cost time,
# so they have to prove their worth.
_FIRST_LOGIT = -1.0


@dataclass(frozen=True)
class Progress:
    """How far the crystals of a batch have come.

    Attributes
    ----------
    openness : Tensor of shape (K, n_running, 1) or None
        How much the next cycle may change each crystal still in the batch, from one down to
        zero for those that are done; None while all are at one.
    cycles : Tensor of shape (K, n_structures)
        Cycles begun.
    total : Tensor of shape (K, n_structures)
        Sum of the openness over cycles after the fewest allowed.
    running : Tensor of shape (n_running,) or None
        Positions of the crystals still in the batch; None for all.
    """

    openness: Tensor | None
    cycles: Tensor
    total: Tensor
    running: Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether all crystals are done."""
        return self.openness is not None and not bool(self.openness.any())

    @property
    def alive(self) -> Tensor:
        """Crystals in the batch that any member still works on, ``(n_running,)``."""
        assert self.openness is not None
        return (self.openness > 0).any(0).squeeze(-1)

    @property
    def mostly_halted(self) -> bool:
        """Whether it pays to go on with fewer crystals."""
        return self.openness is not None and self.alive.float().mean().item() < _COMPACTION

    def place(self, answer: Tensor, previous: Tensor | None) -> Tensor:
        """Put the answers of the crystals in the batch among those of all."""
        if self.running is None or previous is None:
            return answer
        return previous.index_copy(1, self.running, answer)

    def compact(self) -> "Progress":
        """Go on with the crystals that are alive."""
        assert self.openness is not None
        kept = self.alive.nonzero().squeeze(1)
        running = kept if self.running is None else self.running[kept]
        return replace(self, openness=self.openness[:, kept], running=running)


class Halting(nn.Module):
    """A gate that closes the recursion of each crystal.

    After the fewest cycles, a gate read from the pooled answer multiplies the openness, the
    factor of all further updates. Once the openness falls below a threshold the crystal is
    done: nothing in it changes any more.

    Parameters
    ----------
    n_members : int
        Number of members, K.
    in_features : int
        Width of the pooled answer.
    min_cycles : int
        Cycles before the gate acts.
    threshold : float
        Openness below which a crystal is done.
    """

    def __init__(self, n_members: int, in_features: int, min_cycles: int, threshold: float):
        super().__init__()
        self.min_cycles = min_cycles
        self.threshold = threshold
        self.gate = ZeroLinear(n_members, in_features, 1)

    def start(self, n_members: int, n_structures: int, like: Tensor) -> Progress:
        """Progress before the first cycle."""
        cycles = like.new_ones(n_members, n_structures)
        return Progress(None, cycles, torch.zeros_like(cycles))

    def forward(self, progress: Progress, pooled: Tensor, cycle: int) -> Progress:
        """Decide, after a cycle, how far the next one may go.

        Parameters
        ----------
        progress : Progress
            Progress so far.
        pooled : Tensor of shape (K, n_running, in_features)
            Pooled answer after the cycle.
        cycle : int
            Its number, from one.

        Returns
        -------
        progress : Progress
            Progress into the next cycle.
        """
        if cycle < self.min_cycles:
            return replace(progress, cycles=progress.cycles + 1)
        openness = (self.gate(pooled) + _FIRST_LOGIT).sigmoid()
        if progress.openness is not None:
            openness = openness * progress.openness
        openness = openness * (openness >= self.threshold)
        begun = (openness > 0).to(openness.dtype).squeeze(-1)
        cycles, total = progress.cycles, progress.total
        if progress.running is None:
            cycles, total = cycles + begun, total + openness.squeeze(-1)
        else:
            cycles = cycles.index_add(1, progress.running, begun)
            total = total.index_add(1, progress.running, openness.squeeze(-1))
        return replace(progress, openness=openness, cycles=cycles, total=total)
