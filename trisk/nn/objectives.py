"""Objectives of training: of properties with deep supervision, of potentials, of pre-training."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

#: Objectives of pre-training in the order in which they are reported.
OBJECTIVES = ("denoising", "masking", "lejepa")

# Samples for which the weight of SIGReg is meant: at few it is the larger, as the statistic of a
# batch of that size is.
_REFERENCE_SAMPLES = 256
# Points of the characteristic function, and the end of the interval they divide.
_N_POINTS, _END = 17, 3.0


#: Loss of each row; cross-entropy takes class probabilities as targets.
_ROW_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "absolute_error": lambda prediction, target: (prediction - target).abs().mean(-1),
    "squared_error": lambda prediction, target: (prediction - target).square().mean(-1),
    "huber": lambda p, target: F.huber_loss(p, target.expand_as(p), reduction="none").mean(-1),
    "cross_entropy": lambda prediction, target: -(prediction.log_softmax(-1) * target).sum(-1),
}


def _known(target: Tensor, prediction: Tensor) -> Tensor:
    """Targets of which missing ones are predicted exactly, so that they teach nothing."""
    return torch.where(target.isnan(), prediction.detach(), target)


class DeepSupervisionLoss(nn.Module):
    """Loss of every recursion step, weighted in proportion to the step's number.

    With `deep`, all steps are supervised with weights 1, 2, … T (normalised); otherwise the last
    one only. Of a network with halting, cycles that no crystal of a member needed do not count,
    and the `ponder_cost` is added for each cycle for which it stays open. Where the network gives
    a confidence in each step, the loss of the confidence-weighted answer is added.

    ``forward(output, (target, weight))`` takes the network's output dictionary, targets
    ``(K, B, n_outputs)`` and row weights ``(K, B)`` and returns one loss per member, ``(K,)``.
    """

    def __init__(self, kind: str, *, deep: bool = True, ponder_cost: float = 0.0):
        super().__init__()
        self.row_loss = _ROW_LOSSES[kind]
        self.deep = deep
        self.ponder_cost = ponder_cost

    def forward(self, output: dict[str, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
        values, row_weight = target
        steps = output["steps"] if self.deep else output["steps"][:, -1:]
        losses = self.row_loss(steps, _known(values.unsqueeze(1), steps))
        losses = (losses * row_weight.unsqueeze(1)).mean(-1)
        weight = torch.arange(1, steps.shape[1] + 1, device=steps.device, dtype=steps.dtype)
        if "cycles" in output and self.deep:
            weight = weight * (weight <= output["cycles"].amax(1, keepdim=True))
        loss = (losses * (weight / weight.sum(-1, keepdim=True))).sum(-1)
        if "confidence" in output:
            answer = output["answer"]
            losses = self.row_loss(answer, _known(values, answer))
            loss = loss + (losses * row_weight).mean(-1)
        if "openness" in output and self.ponder_cost:
            loss = loss + self.ponder_cost * (output["openness"] * row_weight).mean(-1)
        return loss


class PropertyLoss(nn.Module):
    """Weighted mean loss over structures.

    `forward` takes outputs ``(n_structures, n_outputs)`` and a dictionary with ``target`` of
    that shape and ``weight`` ``(n_structures,)``; `kind` is one of those of
    :class:`DeepSupervisionLoss`.
    """

    def __init__(self, kind: str):
        super().__init__()
        self.row_loss = _ROW_LOSSES[kind]

    def forward(self, output: Tensor, targets: dict[str, Tensor]) -> Tensor:
        target = _known(targets["target"].to(output.dtype), output)
        losses = self.row_loss(output, target)
        return (losses * targets["weight"].to(losses.dtype)).mean()


class PotentialLoss(nn.Module):
    """Mean errors of energies per atom, forces and stresses, each weighted and over its spread.

    `forward` takes the output of :class:`PotentialNetwork` and a dictionary with ``energy``,
    ``forces`` and ``stress`` of the same shapes and ``n_atoms``. Missing values are NaN and do
    not count. Errors of forces and stresses are lengths of vectors and matrices, so that the
    loss does not depend on the axes. The scales are the spread of the energies per atom without
    references in eV, and the root mean squares of forces in eV/Å and of stresses in eV/Å³.
    """

    def __init__(
        self,
        energy_weight: float,
        forces_weight: float,
        stress_weight: float,
        energy_scale: float,
        forces_scale: float,
        stress_scale: float,
    ):
        super().__init__()
        self.weights = (
            energy_weight / energy_scale,
            forces_weight / forces_scale,
            stress_weight / stress_scale,
        )

    def forward(self, output: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
        errors = self._errors(output, targets)
        weighted = [w * _mean_length(e) for w, e in zip(self.weights, errors, strict=True)]
        return torch.stack(weighted).sum()

    def measure(
        self, output: dict[str, Tensor], targets: dict[str, Tensor]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Sums of absolute errors in the units of their names, and how many there are."""
        errors = zip(
            ("energy_meV_per_atom", "forces_meV_per_A", "stress_meV_per_A3"),
            self._errors(output, targets),
            strict=True,
        )
        return {name: (1e3 * e.abs().nansum(), e.isfinite().sum()) for name, e in errors}

    @staticmethod
    def _errors(output: dict[str, Tensor], targets: dict[str, Tensor]) -> tuple[Tensor, ...]:
        energy = (output["energy"] - targets["energy"]) / targets["n_atoms"]
        return (
            energy.unsqueeze(1),
            output["forces"] - targets["forces"],
            (output["stress"] - targets["stress"]).flatten(1),
        )


def _mean_length(errors: Tensor) -> Tensor:
    """Mean length of the rows without missing values, zero if there are none."""
    known = errors.isfinite().all(1)
    squares = torch.where(known.unsqueeze(1), errors, 0).square().sum(1)
    # The constant keeps the root differentiable at zero.
    lengths = (squares + 1e-12).sqrt()
    return (lengths * known).sum() / known.sum().clamp_min(1)


class PretrainingLoss(nn.Module):
    """Three objectives of self-supervision, each with its weight.

    Denoising, masking and LeJEPA as in ``docs/networks/triforces.md``; every stream that sees
    elements guesses those of all atoms, lest it forget what no objective asks for.

    An objective without weight is not computed; `sigreg_weight` λ is that of SIGReg in LeJEPA,
    against 1 − λ of the variance between views. If the batch is `distributed` over processes of
    :mod:`torch.distributed`, every process gets the loss of the whole batch, and the mean of
    their gradients is its gradient. `forward` takes the output of :class:`PretrainingNetwork`
    for a batch of all first, then all second views, and targets of its atoms: ``noise``,
    ``moved``, ``masked`` and ``elements``.
    """

    def __init__(
        self, weights: dict[str, float], sigreg_weight: float = 0.02, distributed: bool = False
    ):
        super().__init__()
        self.weights = {name: weights[name] for name in OBJECTIVES if weights.get(name)}
        self.sigreg_weight = sigreg_weight
        self.distributed = distributed

    def terms(self, output: dict, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        compute = {"denoising": self._denoising, "masking": self._masking, "lejepa": self._lejepa}
        return {name: compute[name](output, targets) for name in self.weights}

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def forward(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        return self.total(self.terms(output, targets))

    def _total(self, values: Tensor) -> Tensor:
        return sum_over_processes(values) if self.distributed else values

    def _mean(self, values: Tensor, counted: Tensor | None = None) -> Tensor:
        """Mean of rows, or of those that are counted."""
        if counted is None:
            counted = torch.ones_like(values)
        counted = counted.to(values.dtype)
        return self._total((values * counted).sum()) / self._total(counted.sum()).clamp_min(1)

    def _denoising(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        squares = (output["noise"] - targets["noise"]).square().mean(1)
        return self._mean(squares, targets["moved"])

    def _masking(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        counted = [targets["masked"], *[None] * len(output["stream_elements"])]
        guesses = []
        for logits, rows in zip(
            [output["elements"], *output["stream_elements"].values()], counted, strict=True
        ):
            losses = F.cross_entropy(logits, targets["elements"], reduction="none")
            guesses.append(self._mean(losses, rows))
        return torch.stack(guesses).sum()

    def _lejepa(self, output: dict, targets: dict[str, Tensor]) -> Tensor:
        losses = [
            self._agreement(projection, output["directions"])
            for level in ("atoms", "structures")
            for projection in output[level].values()
        ]
        return torch.stack(losses).mean()

    def _agreement(self, projection: Tensor, directions: Tensor) -> Tensor:
        """LeJEPA loss of one stream at one level."""
        first, second = projection.chunk(2)
        between = self._mean(0.25 * (first - second).square().mean(1))
        gaussian = [sigreg(view, directions, self._total) for view in (first, second)]
        weight = self.sigreg_weight * _REFERENCE_SAMPLES
        return (1 - self.sigreg_weight) * between + weight * torch.stack(gaussian).mean()


def _itself(values: Tensor) -> Tensor:
    return values


def epps_pulley(projections: Tensor, total: Callable[[Tensor], Tensor] = _itself) -> Tensor:
    """Epps–Pulley statistic of each column against the standard normal distribution.

    Projections are ``(n_samples, n_slices)``, the result ``(n_slices,)``: T of
    ``docs/networks/triforces.md`` by the trapezoidal rule, *not* multiplied by the number of
    samples: times it, the expectation for Gaussian samples is 1.05 (Biometrika 70, 723, 1983).
    `total` adds a tensor over the processes that hold the samples together.
    """
    points = torch.linspace(0, _END, _N_POINTS, dtype=projections.dtype, device=projections.device)
    normal = torch.exp(-0.5 * points.square())
    # Both halves of the interval at once: the integrand is even.
    weights = 2 * (_END / (_N_POINTS - 1)) * normal
    weights = torch.cat([weights[:1] / 2, weights[1:-1], weights[-1:] / 2])
    n_samples = total(projections.new_full((), float(len(projections))))
    real, imaginary = total(_CharacteristicSums.apply(projections)) / n_samples
    distance = (real - normal.unsqueeze(1)).square() + imaginary.square()
    return weights @ distance


def sigreg(
    embeddings: Tensor, directions: Tensor, total: Callable[[Tensor], Tensor] = _itself
) -> Tensor:
    """Mean Epps–Pulley statistic of random one-dimensional projections: SIGReg of LeJEPA.

    The `embeddings` ``(n_samples, width)`` should become standard normal in all `directions`
    ``(width, n_slices)``, which all processes have in common; the weight of the mean does not
    depend on the number of samples.
    """
    return epps_pulley(embeddings @ directions.to(embeddings.dtype), total).mean()


class _CharacteristicSums(torch.autograd.Function):
    """Sums over samples of cos(t x) and sin(t x) at t = 0, h, 2 h, …, ``(2, n_points, n_slices)``.

    Multiples of an angle follow from each other, and the gradient reuses them, which is several
    times as fast as cosines, sines and their derivatives one by one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        phase = _END / (_N_POINTS - 1) * x
        cosines, sines = [torch.ones_like(x), phase.cos()], [torch.zeros_like(x), phase.sin()]
        doubled = 2 * cosines[1]
        for _ in range(_N_POINTS - 2):
            cosines.append(torch.addcmul(-cosines[-2], doubled, cosines[-1]))
            sines.append(torch.addcmul(-sines[-2], doubled, sines[-1]))
        ctx.save_for_backward(*cosines, *sines)
        return torch.stack(
            [torch.stack([value.sum(0) for value in part]) for part in (cosines, sines)]
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        cosines, sines = ctx.saved_tensors[:_N_POINTS], ctx.saved_tensors[_N_POINTS:]
        real, imaginary = gradient
        total = torch.zeros_like(cosines[0])
        for k in range(1, _N_POINTS):
            point = _END / (_N_POINTS - 1) * k
            total.addcmul_(sines[k], real[k], value=-point)
            total.addcmul_(cosines[k], imaginary[k], value=point)
        return total


def sum_over_processes(values: Tensor) -> Tensor:
    """Add a tensor of the same shape in every process over all of them, differentiably.

    Where every process differentiates the same function of such sums, and gradients are then
    averaged over processes, the result is the gradient that one process with all samples has.
    """
    return _SumOverProcesses.apply(values)


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
