"""How far a batch of embeddings is from an isotropic Gaussian."""

from collections.abc import Callable

import torch
from torch import Tensor

# Points of the characteristic function, and the end of the interval they divide.
_N_POINTS, _END = 17, 3.0


def _itself(values: Tensor) -> Tensor:
    return values


def epps_pulley(projections: Tensor, total: Callable[[Tensor], Tensor] = _itself) -> Tensor:
    r"""Epps–Pulley statistic of each column against the standard normal distribution [1]_.

    Parameters
    ----------
    projections : Tensor of shape (n_samples, n_slices)
        Samples of one-dimensional projections.
    total : callable, default=identity
        Adds a tensor over the processes that hold the samples together.

    Returns
    -------
    Tensor of shape (n_slices,)
        :math:`\int_{-3}^{3} |\hat\varphi(t) - e^{-t^2/2}|^2 e^{-t^2/2} dt` by the trapezoidal
        rule, with the empirical characteristic function :math:`\hat\varphi`, *not* multiplied
        by the number of samples: times it, the expectation for Gaussian samples is 1.05.

    References
    ----------
    .. [1] T. W. Epps, L. B. Pulley, "A test for normality based on the empirical characteristic
       function", Biometrika 70, 723 (1983).
    """
    points = torch.linspace(0, _END, _N_POINTS, dtype=projections.dtype, device=projections.device)
    normal = torch.exp(-0.5 * points.square())
    # Both halves of the interval at once: the integrand is even.
    weights = 2 * (_END / (_N_POINTS - 1)) * normal
    weights = torch.cat([weights[:1] / 2, weights[1:-1], weights[-1:] / 2])
    n_samples = total(projections.new_tensor(float(len(projections))))
    real, imaginary = total(_CharacteristicSums.apply(projections, points)) / n_samples
    distance = (real - normal.unsqueeze(1)).square() + imaginary.square()
    return weights @ distance


def sigreg(
    embeddings: Tensor, n_slices: int, total: Callable[[Tensor], Tensor] = _itself
) -> Tensor:
    """Mean Epps–Pulley statistic of random one-dimensional projections (SIGReg) [1]_.

    Parameters
    ----------
    embeddings : Tensor of shape (n_samples, width)
        Embeddings that should become standard normal in all directions.
    n_slices : int
        Directions, drawn from the global generator.
    total : callable, default=identity
        As for :func:`epps_pulley`; the generators of all processes must agree.

    Returns
    -------
    Tensor of shape ()
        The mean statistic; its weight does not depend on the number of samples.

    References
    ----------
    .. [1] R. Balestriero, Y. LeCun, "LeJEPA: provable and scalable self-supervised learning
       without the heuristics", arXiv:2511.08544 (2025).
    """
    directions = torch.randn(embeddings.shape[1], n_slices).to(embeddings)
    directions = directions / directions.norm(dim=0)
    return epps_pulley(embeddings @ directions, total).mean()


class _CharacteristicSums(torch.autograd.Function):
    """Sums over samples of cos(t x) and sin(t x) at t = 0, h, 2 h, …, ``(2, n_points, n_slices)``.

    Multiples of an angle follow from each other, and the gradient reuses them, which is several
    times as fast as cosines, sines and their derivatives one by one.
    """

    @staticmethod
    def forward(ctx, x: Tensor, points: Tensor) -> Tensor:
        phase = points[1] * x
        cosines, sines = [torch.ones_like(x), phase.cos()], [torch.zeros_like(x), phase.sin()]
        doubled = 2 * cosines[1]
        for _ in points[2:]:
            cosines.append(torch.addcmul(-cosines[-2], doubled, cosines[-1]))
            sines.append(torch.addcmul(-sines[-2], doubled, sines[-1]))
        ctx.save_for_backward(points, *cosines, *sines)
        return torch.stack(
            [torch.stack([value.sum(0) for value in part]) for part in (cosines, sines)]
        )

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        points, *saved = ctx.saved_tensors
        cosines, sines = saved[: len(points)], saved[len(points) :]
        real, imaginary = gradient * points.unsqueeze(1)
        total = torch.zeros_like(cosines[0])
        for k in range(1, len(points)):
            total.addcmul_(sines[k], -real[k]).addcmul_(cosines[k], imaginary[k])
        return total, None
