"""Shares of a computation's wall time by kind of operation, from torch's profiler."""

import time

from torch.profiler import ProfilerActivity, profile

_KINDS = {
    "matrix products": ("bmm", "baddbmm", "mm", "addmm", "mv", "mkldnn_linear"),
    "normalisation and softmax": (
        "native_layer_norm",
        "native_layer_norm_backward",
        "_softmax",
        "_softmax_backward_data",
    ),
    "optimiser and weight averaging": (
        "_fused_adamw_",
        "_foreach_lerp_",
        "lerp_",
        "addcdiv_",
        "sqrt",
    ),
    "copies and new arrays": (
        "copy_",
        "cat",
        "fill_",
        "zero_",
        "index",
        "index_put_",
        "clone",
        "empty",
        "empty_like",
        "empty_strided",
        "stack",
    ),
    "sums and norms": ("sum", "mean", "linalg_vector_norm"),
    "random numbers of torch": ("bernoulli_", "uniform_", "normal_", "randperm", "native_dropout"),
    "element-wise": (
        "mul",
        "mul_",
        "add",
        "add_",
        "addcmul",
        "addcmul_",
        "sub",
        "sub_",
        "div",
        "div_",
        "neg",
        "abs",
        "sgn",
        "sin",
        "cos",
        "gelu",
        "gelu_backward",
        "ge",
        "where",
    ),
}
_KIND_OF = {f"aten::{operation}": kind for kind, names in _KINDS.items() for operation in names}


def profile_shares(function):
    """Run a function under the profiler; the share of each kind of operation, largest first.

    What is left of the wall time is Python, autograd's bookkeeping, and numpy (dropout masks). The
    profiler's own cost falls on that part, so it is an upper limit.
    """
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        started = time.perf_counter()
        function()
        wall = 1e6 * (time.perf_counter() - started)
    shares = dict.fromkeys(_KINDS, 0.0)
    other = 0.0
    for event in profiler.key_averages():
        share = event.self_cpu_time_total / wall
        if event.key in _KIND_OF:
            shares[_KIND_OF[event.key]] += share
        elif event.key.startswith("aten::"):
            other += share
    ordered = dict(sorted(shares.items(), key=lambda pair: -pair[1]))
    rest = 1 - sum(ordered.values()) - other
    return {**ordered, "other operations": other, "Python, autograd, numpy": rest}
