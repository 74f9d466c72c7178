"""How far a batch of embeddings is from an isotropic Gaussian."""

import torch
from torch import Tensor

# Points of the characteristic function, and the end of the interval they divide.
_N_POINTS, _END = 17, 3.0


def epps_pulley(projections: Tensor) -> Tensor:
    r"""Epps–Pulley statistic of each column against the standard normal distribution [1]_.

    Parameters
    ----------
    projections : Tensor of shape (n_samples, n_slices)
        Samples of one-dimensional projections.

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
    real, imaginary = _CharacteristicFunction.apply(projections, points)
    distance = (real - normal.unsqueeze(1)).square() + imaginary.square()
    return weights @ distance


def sigreg(embeddings: Tensor, n_slices: int) -> Tensor:
    """Mean Epps–Pulley statistic of random one-dimensional projections (SIGReg) [1]_.

    Parameters
    ----------
    embeddings : Tensor of shape (n_samples, width)
        Embeddings that should become standard normal in all directions.
    n_slices : int
        Directions, drawn from the global generator.

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
    return epps_pulley(embeddings @ directions).mean()


class _CharacteristicFunction(torch.autograd.Function):
    """Means over samples of cos(t x) and sin(t x) at t = 0, h, 2 h, ….

    Multiples of an angle follow from each other, and the gradient reuses them, which is several
    times as fast as cosines, sines and their derivatives one by one.
    """

    @staticmethod
    def forward(ctx, x: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        phase = points[1] * x
        cosines, sines = [torch.ones_like(x), phase.cos()], [torch.zeros_like(x), phase.sin()]
        doubled = 2 * cosines[1]
        for _ in points[2:]:
            cosines.append(torch.addcmul(-cosines[-2], doubled, cosines[-1]))
            sines.append(torch.addcmul(-sines[-2], doubled, sines[-1]))
        ctx.save_for_backward(points, *cosines, *sines)
        means = [torch.stack([value.mean(0) for value in part]) for part in (cosines, sines)]
        return means[0], means[1]

    @staticmethod
    def backward(ctx, real: Tensor, imaginary: Tensor) -> tuple[Tensor, None]:
        points, *saved = ctx.saved_tensors
        cosines, sines = saved[: len(points)], saved[len(points) :]
        scale = (points / len(cosines[0])).unsqueeze(1)
        real, imaginary = -real * scale, imaginary * scale
        gradient = torch.zeros_like(cosines[0])
        for k in range(1, len(points)):
            gradient.addcmul_(sines[k], real[k]).addcmul_(cosines[k], imaginary[k])
        return gradient, None
