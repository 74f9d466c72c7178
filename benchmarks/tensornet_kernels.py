"""TensorNet's sums over neighbours as compiled loops, with their derivatives.

Tensors are arrays (10 components, atoms, channels): trace, axial vector, symmetric part. Radial
functions come as tables of cubic splines, shape (intervals, 4, 3, channels).
"""

import numpy as np
import torch
from numba import njit

#: Radial function (of three) that a component goes with.
_KIND = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
_fast = njit(fastmath=True, cache=True)


@_fast
def _radial(table, start, step, distance, value, slope):
    """Fill value and slope, each (3, channels), at one distance."""
    last = table.shape[0] - 1
    interval = min(max(int((distance - start) / step), 0), last)
    x = np.float32(distance - start - interval * step)
    for k in range(3):
        for c in range(value.shape[1]):
            c3, c2 = table[interval, 0, k, c], table[interval, 1, k, c]
            c1, c0 = table[interval, 2, k, c], table[interval, 3, k, c]
            value[k, c] = ((c3 * x + c2) * x + c1) * x + c0
            slope[k, c] = (3 * c3 * x + 2 * c2) * x + c1


@_fast
def _geometry(vector, out):
    """Components of 1, the axial tensor and the traceless square of a unit vector."""
    r = np.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2)
    x, y, z = vector[0] / r, vector[1] / r, vector[2] / r
    out[0] = 1
    out[1], out[2], out[3] = x, y, z
    out[4], out[5], out[6] = x * x - 1 / 3, y * y - 1 / 3, z * z - 1 / 3
    out[7], out[8], out[9] = x * y, x * z, y * z
    return r, x, y, z


@_fast
def _embed(vectors, target, pair, table, start, step, kind, total):
    n_channels = pair.shape[1]
    value, slope = np.empty((2, 3, n_channels), np.float32)
    shape = np.empty(10, np.float32)
    for edge in range(len(target)):
        r, _, _, _ = _geometry(vectors[edge], shape)
        _radial(table, start, step, r, value, slope)
        for m in range(10):
            k, weight, sum_at = kind[m], shape[m], total[m, target[edge]]
            for c in range(n_channels):
                sum_at[c] += weight * value[k, c] * pair[edge, c]


@_fast
def _embed_gradient(vectors, target, pair, table, start, step, kind, gradient, out):
    n_channels = pair.shape[1]
    value, slope = np.empty((2, 3, n_channels), np.float32)
    shape, by_shape = np.empty(10, np.float32), np.empty(10, np.float32)
    for edge in range(len(target)):
        r, x, y, z = _geometry(vectors[edge], shape)
        _radial(table, start, step, r, value, slope)
        by_distance = np.float32(0)
        for m in range(10):
            k, arrived = kind[m], gradient[m, target[edge]]
            with_value, with_slope = np.float32(0), np.float32(0)
            for c in range(n_channels):
                weighted = pair[edge, c] * arrived[c]
                with_value += weighted * value[k, c]
                with_slope += weighted * slope[k, c]
            by_shape[m] = with_value
            by_distance += shape[m] * with_slope
        g = by_shape
        gx = g[1] + 2 * x * g[4] + y * g[7] + z * g[8]
        gy = g[2] + 2 * y * g[5] + x * g[7] + z * g[9]
        gz = g[3] + 2 * z * g[6] + x * g[8] + y * g[9]
        along = gx * x + gy * y + gz * z
        out[edge, 0] = by_distance * x + (gx - along * x) / r
        out[edge, 1] = by_distance * y + (gy - along * y) / r
        out[edge, 2] = by_distance * z + (gz - along * z) / r


@_fast
def _interact(sent, distance, source, target, table, start, step, kind, total):
    n_channels = sent.shape[2]
    value, slope = np.empty((2, 3, n_channels), np.float32)
    for edge in range(len(target)):
        _radial(table, start, step, distance[edge], value, slope)
        for m in range(10):
            k = kind[m]
            arriving, sum_at = sent[m, target[edge]], total[m, source[edge]]
            for c in range(n_channels):
                sum_at[c] += value[k, c] * arriving[c]


@_fast
def _interact_gradient(
    sent, distance, source, target, table, start, step, kind, gradient, by_sent, by_distance
):
    n_channels = sent.shape[2]
    value, slope = np.empty((2, 3, n_channels), np.float32)
    for edge in range(len(target)):
        _radial(table, start, step, distance[edge], value, slope)
        total = np.float32(0)
        for m in range(10):
            k, arrived = kind[m], gradient[m, source[edge]]
            arriving, sum_at = sent[m, target[edge]], by_sent[m, target[edge]]
            for c in range(n_channels):
                sum_at[c] += value[k, c] * arrived[c]
                total += slope[k, c] * arriving[c] * arrived[c]
        by_distance[edge] = total


class Embed(torch.autograd.Function):
    """First tensors (10, n_atoms, channels) of edge vectors (n_edges, 3)."""

    @staticmethod
    def forward(ctx, vectors, target, pair, n_atoms, table):
        ctx.inputs = (vectors.numpy(), target.numpy(), pair.numpy(), *table, _KIND)
        total = np.zeros((10, n_atoms, pair.shape[1]), np.float32)
        _embed(*ctx.inputs, total)
        return torch.from_numpy(total)

    @staticmethod
    def backward(ctx, gradient):
        out = np.empty((len(ctx.inputs[1]), 3), np.float32)
        _embed_gradient(*ctx.inputs, gradient.contiguous().numpy(), out)
        return torch.from_numpy(out), None, None, None, None


class Interact(torch.autograd.Function):
    """Sums of neighbours' tensors (10, n_atoms, channels) at distances (n_edges,)."""

    @staticmethod
    def forward(ctx, sent, distance, source, target, table):
        sent = sent.contiguous().numpy()
        ctx.inputs = (sent, distance.numpy(), source.numpy(), target.numpy(), *table, _KIND)
        total = np.zeros_like(sent)
        _interact(*ctx.inputs, total)
        return torch.from_numpy(total)

    @staticmethod
    def backward(ctx, gradient):
        by_sent = np.zeros_like(ctx.inputs[0])
        by_distance = np.empty_like(ctx.inputs[1])
        _interact_gradient(*ctx.inputs, gradient.contiguous().numpy(), by_sent, by_distance)
        return torch.from_numpy(by_sent), torch.from_numpy(by_distance), None, None, None
