"""The compiled inner loop of a WaveNet: sample after sample for a block of sounds at once.

Past inputs of each dilated convolution are kept in a ring buffer; matrix products go through BLAS,
a whole block of sounds in each; everything between them is in loops that vectorise. Compiled code
is cached beside this file, or in the user's cache where that cannot be written.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from ...models.compiling import tell_compiling
from .outputs import MARGIN

tell_compiling()

#: Kinds of outputs, as the kernel knows them.
LOGISTICS, GAUSSIAN, SOFTMAX = range(3)

_fast = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(fastmath=_fast, cache=True)
def _tanh(x):
    """Approximate tanh to 3e-7 by a ratio of polynomials, which vectorises; math.tanh does not.

    The coefficients are those of the Eigen library.
    """
    x = min(max(x, np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
    y = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * y + np.float32(2.00018790482477e-13)
    p = p * y + np.float32(-8.60467152213735e-11)
    p = p * y + np.float32(5.12229709037114e-08)
    p = p * y + np.float32(1.48572235717979e-05)
    p = p * y + np.float32(6.37261928875436e-04)
    p = p * y + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * y + np.float32(1.18534705686654e-04)
    q = q * y + np.float32(2.26843463243900e-03)
    q = q * y + np.float32(4.89352518554385e-03)
    return x * p / q


@numba.njit(fastmath=_fast, cache=True)
def _gate(gates, conditioning, out):
    """Write tanh(a) * sigmoid(b) of the two halves of the gates, with the conditioning added."""
    half, rows = out.shape
    for i in range(half):
        a, c, b, d, o = gates[i], conditioning[i], gates[half + i], conditioning[half + i], out[i]
        for row in range(rows):
            wide = np.float32(0.5) * (b[row] + d[row])
            o[row] = _tanh(a[row] + c[row]) * (np.float32(0.5) + np.float32(0.5) * _tanh(wide))


@numba.njit(cache=True)
def _product(weights, x, out):
    """Write the matrix product; a single sound takes the matrix-vector one, which packs nothing."""
    if x.shape[1] == 1:
        np.dot(weights, x.reshape(x.size), out.reshape(out.size))
    else:
        np.dot(weights, x, out)


@numba.njit(fastmath=_fast, cache=True)
def _add_bias(x, bias, floor):
    """Add a bias to each channel; what lies below `floor` becomes it."""
    for i in range(len(bias)):
        for row in range(x.shape[1]):
            x[i, row] = max(x[i, row] + bias[i], floor)


@numba.njit(cache=True)
def _draw(parameters, uniforms, kind, floor):
    """Draw one sample, or level, from the parameters of its distribution."""
    if kind == SOFTMAX:
        largest = parameters.max()
        total = 0.0
        for p in parameters:
            total += math.exp(p - largest)
        wanted, below = uniforms[0] * total, 0.0
        for level in range(len(parameters)):
            below += math.exp(parameters[level] - largest)
            if below > wanted:
                return float(level)
        return float(len(parameters) - 1)
    last = len(uniforms) - 1
    u = MARGIN + uniforms[last] * (1 - 2 * MARGIN)
    if kind == GAUSSIAN:
        v = MARGIN + uniforms[0] * (1 - 2 * MARGIN)
        drawn = math.sqrt(-2 * math.log(v)) * math.cos(2 * math.pi * u)
        mean, log_scale = parameters[0], parameters[1]
    else:
        best, chosen = -math.inf, 0
        for i in range(last):
            v = MARGIN + uniforms[i] * (1 - 2 * MARGIN)
            value = parameters[i] - math.log(-math.log(v))
            if value > best:
                best, chosen = value, i
        drawn = math.log(u) - math.log(1 - u)
        mean, log_scale = parameters[last + chosen], parameters[2 * last + chosen]
    return min(max(mean + math.exp(max(log_scale, floor)) * drawn, -1.0), 1.0)


@numba.njit(nogil=True, cache=True, fastmath=_fast)
def generate_steps(
    net,
    dilations,
    skip_scale,
    end_scale,
    kind,
    floor,
    conditioning,
    repeat,
    state,
    begin,
    noise,
    forced,
    out,
    parameters_out,
):
    """Generate the samples of one stretch of time.

    Channels come first and sounds last: each sound is one lane of the vector instructions, so that
    its bits do not depend on its position.

    Args:
        net: weights, transposed: first kernel [shape=(residual, inputs)] and bias, the layers'
            kernels [shape=(layers, gate, taps * residual)], out kernels [shape=(layers,
            residual + skip, gate // 2)] and out biases, then kernel and bias of the hidden and of
            the last layer.
        dilations: [shape=(layers,)].
        skip_scale, end_scale: factors of the skips after each layer but the first, and at the end.
        kind, floor: of the output, and the smallest log-scale.
        conditioning: added to the gates, biases included [shape=(steps // repeat, layers, gate,
            sounds)].
        repeat: number of steps that share one row of the conditioning.
        state: ring buffers [shape=(all, residual, sounds)], the first row of each layer's, and the
            last samples or levels [shape=(sounds,)]; changed in place.
        begin: number of the first step.
        noise: uniform draws [shape=(sounds, steps, draws)].
        forced: samples to continue with instead of those drawn [shape=(sounds, steps)], or empty.
        out: samples or levels drawn [shape=(sounds, steps)].
        parameters_out: their distributions' parameters [shape=(sounds, steps, channels)], or empty.
    """
    first, first_bias, kernels, out_kernels, out_biases, hidden, hidden_bias, end, end_bias = net
    rings, starts, last = state
    rows, steps = out.shape
    residual, gate, wide = first.shape[0], kernels.shape[1], out_kernels.shape[1]
    taps = kernels.shape[2] // residual
    newest = (taps - 1) * residual
    root = np.float32(math.sqrt(0.5))
    side = np.empty((taps * residual, rows), np.float32)
    x = side[newest:]
    gates = np.empty((gate, rows), np.float32)
    gated = np.empty((gate // 2, rows), np.float32)
    both = np.empty((wide, rows), np.float32)
    skips = np.empty((wide - residual, rows), np.float32)
    head = np.empty((hidden.shape[0], rows), np.float32)
    parameters = np.empty((end.shape[0], rows), np.float32)
    for step in range(steps):
        for i in range(residual):
            for row in range(rows):
                if kind == SOFTMAX:
                    x[i, row] = first[i, int(last[row])] + first_bias[i]
                else:
                    x[i, row] = last[row] * first[i, 0] + first_bias[i]
        added = conditioning[step // repeat]
        for layer in range(len(kernels)):
            length = (taps - 1) * dilations[layer]
            for tap in range(taps - 1):
                place = starts[layer] + (begin + step + tap * dilations[layer]) % length
                side[tap * residual : (tap + 1) * residual] = rings[place]
            if length:
                rings[starts[layer] + (begin + step) % length] = x
            _product(kernels[layer], side, gates)
            _gate(gates, added[layer], gated)
            _product(out_kernels[layer], gated, both)
            bias = out_biases[layer]
            for i in range(residual):
                for row in range(rows):
                    x[i, row] = (x[i, row] + both[i, row] + bias[i]) * root
            for i in range(wide - residual):
                skip = both[residual + i]
                for row in range(rows):
                    if layer == 0:
                        skips[i, row] = skip[row] + bias[residual + i]
                    else:
                        so_far = skips[i, row] + skip[row]
                        skips[i, row] = (so_far + bias[residual + i]) * skip_scale
        for i in range(wide - residual):
            for row in range(rows):
                skips[i, row] = max(skips[i, row] * end_scale, np.float32(0.0))
        _product(hidden, skips, head)
        _add_bias(head, hidden_bias, np.float32(0.0))
        _product(end, head, parameters)
        _add_bias(parameters, end_bias, np.float32(-np.inf))
        for row in range(rows):
            drawn = _draw(parameters[:, row], noise[row, step], kind, floor)
            out[row, step] = drawn
            last[row] = forced[row, step] if forced.size else drawn
            if parameters_out.size:
                parameters_out[row, step] = parameters[:, row]
