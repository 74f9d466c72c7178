"""Arithmetic whose result for a row does not depend on the rows beside it."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

aten = torch.ops.aten

# Rows and columns of matrices are filled up to multiples of these. A library of linear algebra
# takes other paths for the few that are left over, and adds in another order there.
_ROWS, _COLUMNS = 16, 8


class BatchInvariance(TorchDispatchMode):
    """Context in which predictions are the same bits whatever batch a row is in.

    Matrix products are done on matrices that are filled up with zeros and stand in memory in
    one order. Functions whose vectorised part and whose remainder differ in the last bit are
    composed of others that agree. Sums over the members of a batch, as of a loss, are not
    covered: nothing in a prediction has one.

    Notes
    -----
    The rows of a batch must be the rows of the left factor of each product, or matrices of a
    batched product; what stands in columns on the right, weights, is the same for every batch.
    """

    @staticmethod
    def is_active() -> bool:
        """Whether this thread computes in such a context now."""
        return isinstance(_get_current_dispatch_mode(), BatchInvariance)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Compute one operation."""
        kwargs = kwargs or {}
        if func in _COMPOSED:
            with self:
                return func.decompose(*args, **kwargs)
        return _REPLACED.get(func, func)(*args, **kwargs)


def _filled(matrix: Tensor, n_rows: int, n_columns: int) -> Tensor:
    """A matrix, or a batch of them, with zeros up to a size, contiguous."""
    missing = n_rows - matrix.shape[-2], n_columns - matrix.shape[-1]
    if missing == (0, 0):
        return matrix.contiguous()
    return F.pad(matrix, (0, missing[1], 0, missing[0]))


def _product(left: Tensor, right: Tensor) -> Tensor:
    n_rows, n_columns = left.shape[-2], right.shape[-1]
    left = _filled(left, -(-n_rows // _ROWS) * _ROWS, left.shape[-1])
    right = _filled(right, right.shape[-2], -(-n_columns // _COLUMNS) * _COLUMNS)
    multiply = torch.bmm if left.dim() == 3 else torch.mm
    return multiply(left, right)[..., :n_rows, :n_columns].contiguous()


def _sum_and_product(
    summand: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return beta * summand + alpha * _product(left, right)


def _sigmoid(x: Tensor) -> Tensor:
    return (1 + (-x.contiguous()).exp()).reciprocal()


def _silu(x: Tensor) -> Tensor:
    return x * _sigmoid(x)


def _silu_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    share = _sigmoid(x)
    return gradient * (share * (1 + x * (1 - share)))


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        return 0.5 * x * (1 + (0.7978845608028654 * (x + 0.044715 * x**3)).contiguous().tanh())
    return 0.5 * x * (1 + (x * 0.7071067811865476).contiguous().erf())


_COMPOSED = {aten.matmul.default, aten.linear.default, aten.einsum.default}
_REPLACED = {
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _sum_and_product,
    aten.baddbmm.default: _sum_and_product,
    aten.sigmoid.default: _sigmoid,
    aten.silu.default: _silu,
    aten.silu_backward.default: _silu_gradient,
    aten.gelu.default: _gelu,
}
