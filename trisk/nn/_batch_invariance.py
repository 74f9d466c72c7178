"""Arithmetic whose result for a row does not depend on the rows beside it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

aten = torch.ops.aten

# Rows and columns of matrices are filled up to multiples of these. A library of linear algebra
# takes other paths for the few that are left over, and adds in another order there.
_ROWS, _COLUMNS = 16, 8
# Blocks of columns that such a library takes at once, where their number varies with the batch:
# of 1,860 products 863 differ with columns in eights, 108 in 32s, none in 24s.
_VARYING_COLUMNS = 24


class BatchInvariance(TorchDispatchMode):
    """Context in which predictions are the same bits whatever batch a row is in.

    Matrix products are done on matrices that are filled up with zeros and stand in memory in
    one order. Functions whose vectorised part and whose remainder differ in the last bit are
    composed of others that agree. Sums over the members of a batch, as of a loss, are not
    covered: nothing in a prediction has one.

    Parameters
    ----------
    columns_vary : bool, default=False
        Whether the number of columns of a right factor depends on the batch, as that of pairs
        does in derivatives. If not, what stands there, weights, is the same for every batch.

    Notes
    -----
    The rows of a batch must be the rows of the left factor of each product, or matrices of a
    batched product.
    """

    def __init__(self, *, columns_vary: bool = False):
        super().__init__()
        self.n_columns = _VARYING_COLUMNS if columns_vary else _COLUMNS

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
        if func in _PRODUCTS:
            return _PRODUCTS[func](*args, **kwargs, block=self.n_columns)
        return _REPLACED.get(func, func)(*args, **kwargs)


def _filled(matrix: Tensor, n_rows: int, n_columns: int) -> Tensor:
    """A matrix, or a batch of them, with zeros up to a size, contiguous."""
    missing = n_rows - matrix.shape[-2], n_columns - matrix.shape[-1]
    if missing == (0, 0):
        return matrix.contiguous()
    return F.pad(matrix, (0, missing[1], 0, missing[0]))


def _product(left: Tensor, right: Tensor, *, block: int) -> Tensor:
    n_rows, n_columns = left.shape[-2], right.shape[-1]
    left = _filled(left, -(-n_rows // _ROWS) * _ROWS, left.shape[-1])
    right = _filled(right, right.shape[-2], -(-n_columns // block) * block)
    multiply = torch.bmm if left.dim() == 3 else torch.mm
    return multiply(left, right)[..., :n_rows, :n_columns].contiguous()


def _sum_and_product(
    summand: Tensor,
    left: Tensor,
    right: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    block: int,
) -> Tensor:
    return beta * summand + alpha * _product(left, right, block=block)


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
_PRODUCTS: dict[OpOverload, Callable[..., Tensor]] = {
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _sum_and_product,
    aten.baddbmm.default: _sum_and_product,
}
_REPLACED = {
    aten.sigmoid.default: _sigmoid,
    aten.silu.default: _silu,
    aten.silu_backward.default: _silu_gradient,
    aten.gelu.default: _gelu,
}
