"""SIGReg: the statistic's constants, its gradient, and what it makes of a collapsed batch."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.nn import functional as F

from trisk.nn.objectives import epps_pulley, sigreg


def _integral(characteristic_function):
    def integrand(t):
        return abs(characteristic_function(t) - np.exp(-t * t / 2)) ** 2 * np.exp(-t * t / 2)

    return quad(integrand, -3, 3)[0]


def test_gaussian_samples_give_the_known_constant_whatever_their_number():
    expected = quad(lambda t: (1 - np.exp(-t * t)) * np.exp(-t * t / 2), -3, 3)[0]
    assert expected == pytest.approx(1.053, abs=5e-4)
    torch.manual_seed(0)
    for n_samples in (32, 512):
        samples = torch.randn(n_samples, 5_000, dtype=torch.float64)
        assert float(n_samples * epps_pulley(samples).mean()) == pytest.approx(1.053, abs=0.03)


def test_two_equal_views_together_count_double():
    torch.manual_seed(0)
    samples = torch.randn(256, 5_000, dtype=torch.float64)
    both = torch.cat([samples, samples])
    assert float(len(both) * epps_pulley(both).mean()) == pytest.approx(2.14, abs=0.06)


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, 0.402), (10.0, 3.95)], ids=["collapse to zero", "constant ten"]
)
def test_constants(value, expected):
    statistic = epps_pulley(torch.full((50, 1), value, dtype=torch.float64))
    assert float(statistic) == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize(
    ("samples", "characteristic_function"),
    [
        (lambda u: 2 * np.sqrt(2) * torch.erfinv(2 * u - 1), lambda t: np.exp(-2 * t * t)),
        (lambda u: np.sqrt(12) * (u - 0.5), lambda t: np.sinc(np.sqrt(3) * t / np.pi)),
    ],
    ids=["wide Gaussian", "uniform"],
)
def test_other_distributions_give_their_integrals(samples, characteristic_function):
    quantiles = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    statistic = epps_pulley(samples(quantiles).unsqueeze(1))
    assert float(statistic) == pytest.approx(_integral(characteristic_function), rel=0.01)


def test_gradient_is_that_of_the_statistic():
    torch.manual_seed(0)
    samples = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(epps_pulley, samples)


def test_makes_a_collapsed_batch_gaussian():
    torch.manual_seed(0)

    def directions(number):
        return F.normalize(torch.randn(4, number), dim=0)

    embeddings = (0.01 * torch.randn(256, 4)).requires_grad_()
    optimizer = torch.optim.Adam([embeddings], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        sigreg(embeddings, directions(32)).backward()
        optimizer.step()
    covariance = torch.cov(embeddings.detach().T)
    torch.testing.assert_close(covariance, torch.eye(4), atol=0.15, rtol=0)
    assert float(256 * sigreg(embeddings.detach(), directions(512))) < 1.5
