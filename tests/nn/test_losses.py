"""Deep supervision against torch's losses."""

import pytest
import torch
from torch.nn import functional as F

from trisk.nn import DeepSupervisionLoss

_K, _T, _B, _C = 2, 3, 4, 5
_TORCH = {"absolute_error": F.l1_loss, "squared_error": F.mse_loss, "huber": F.huber_loss}


def _randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def output():
    return {"steps": _randn(_K, _T, _B, _C) * 2}


@pytest.fixture
def equal_weights():
    return torch.ones(_K, _B, dtype=torch.float64)


@pytest.mark.parametrize("kind", list(_TORCH))
def test_loss_weights_steps_in_proportion_to_their_number(kind, output, equal_weights):
    target = _randn(_K, _B, _C, seed=1)
    loss = DeepSupervisionLoss(kind)(output, (target, equal_weights))
    assert loss.shape == (_K,)
    for k in range(_K):
        of_steps = [_TORCH[kind](output["steps"][k, t], target[k]) for t in range(_T)]
        torch.testing.assert_close(loss[k], (of_steps[0] + 2 * of_steps[1] + 3 * of_steps[2]) / 6)


def test_cross_entropy_equals_torchs(output, equal_weights):
    labels = torch.tensor([[0, 4, 2, 1], [3, 3, 0, 2]])
    target = F.one_hot(labels, _C).double()
    loss = DeepSupervisionLoss("cross_entropy", deep=False)(output, (target, equal_weights))
    for k in range(_K):
        torch.testing.assert_close(loss[k], F.cross_entropy(output["steps"][k, -1], labels[k]))


def test_shallow_supervision_sees_the_last_step_only(output, equal_weights):
    target = _randn(_K, _B, _C, seed=1)
    criterion = DeepSupervisionLoss("absolute_error", deep=False)
    expected = criterion(output, (target, equal_weights))
    output["steps"][:, :-1] += 100
    torch.testing.assert_close(criterion(output, (target, equal_weights)), expected)


def test_row_weights_scale_the_rows_losses(output):
    target = _randn(_K, _B, _C, seed=1)
    weight = torch.tensor([[4.0, 0, 0, 0], [0, 2.0, 0, 2.0]], dtype=torch.float64)
    loss = DeepSupervisionLoss("absolute_error", deep=False)(output, (target, weight))
    error = (output["steps"][:, -1] - target).abs().mean(-1)
    torch.testing.assert_close(loss, torch.stack([error[0, 0], error[1, [1, 3]].mean()]))


def test_confident_answer_is_supervised_too(output, equal_weights):
    target = _randn(_K, _B, _C, seed=1)
    criterion = DeepSupervisionLoss("squared_error")
    plain = criterion(output, (target, equal_weights))
    answer = _randn(_K, _B, _C, seed=2)
    output |= {"answer": answer, "confidence": torch.full((_K, _T, _B), 1 / _T)}
    extra = (answer - target).square().mean((1, 2))
    torch.testing.assert_close(criterion(output, (target, equal_weights)), plain + extra)
