"""Loops that replace library operations on a CPU, compiled by numba.

Each sample is computed by itself and in a fixed order, so its bits are the same in any batch and
with any number of threads. The innermost loops run over long stretches of memory, because only
those are vectorised: short ones spend their time on checks whether their arrays overlap.
"""

from __future__ import annotations

import numba
import numpy as np

from ..compiling import tell_compiling

tell_compiling()

compiled = numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"})
#: Stretches are a multiple of this many values, so that nothing is left over for a slow last part.
STRETCH = 32
#: Terms that are added at once.
TERMS = 4
_ZERO = np.float32(0)


@compiled
def _fill(target, value):
    for n in range(len(target)):
        target[n] = value


@compiled
def _add(target, values):
    for n in range(len(target)):
        target[n] += values[n]


@compiled
def _add_products(target, weights, a, b, c, d):
    """Add four weighted stretches."""
    p, q, r, s = weights[0], weights[1], weights[2], weights[3]
    for n in range(len(target)):
        target[n] += p * a[n] + q * b[n] + r * c[n] + s * d[n]


@compiled
def _take_larger(best, choice, values, number, new_best, new_choice):
    """Write the largest value so far, and the number of where it was first found.

    Not in place: where a value may stay, the compiler would write behind a mask, which takes ten
    times as long.
    """
    for n in range(len(best)):
        more = values[n] > best[n]
        new_best[n] = values[n] if more else best[n]
        new_choice[n] = number if more else choice[n]


@compiled
def _where_chosen(target, values, choice, number):
    for n in range(len(target)):
        target[n] = values[n] if choice[n] == number else _ZERO


@compiled
def _where_above(target, values, outputs, floor):
    for n in range(len(target)):
        target[n] = values[n] if outputs[n] > floor else _ZERO


@compiled
def _at_least(target, values, floor):
    for n in range(len(target)):
        target[n] = values[n] if values[n] > floor else floor


@compiled
def _split(x, height, width, planes):
    """Part a map by the remainders of its places [shape=(height * width, values)].

    Then what a pooling compares stands at one place of several planes.
    """
    across = -(-x.shape[1] // width)
    for i in range(x.shape[0]):
        place = (i // height) * across
        for k in range(width):
            plane = planes[(i % height) * width + k, place : place + across]
            line = x[i, k:]
            for q in range(-(-len(line) // width)):
                plane[q] = line[q * width]


@compiled
def _join(planes, height, width, x):
    """Undo `_split`."""
    across = -(-x.shape[1] // width)
    for i in range(x.shape[0]):
        place = (i // height) * across
        for k in range(width):
            plane = planes[(i % height) * width + k, place : place + across]
            line = x[i, k:]
            for q in range(-(-len(line) // width)):
                line[q * width] = plane[q]


@compiled
def convolve_and_pool(x, starts, weights, bias, pool, length, y, choice):
    """Write the largest of each window of a rectified convolution, and which one it was.

    Args:
        x: maps of one channel [shape=(samples, height, width)].
        starts: where the terms of each place in a window begin in the planes of `_split`
            [shape=(places, terms)].
        weights: of the terms [shape=(filters, terms)]; terms are a multiple of `TERMS`.
        bias: [shape=(filters,)].
        pool: height and width of a window.
        length: of a plane.
        y: result [shape=(samples, rows, columns, filters)].
        choice: number of the largest place, -1 where none is above zero
            [shape=(samples, filters, stretch)].
    """
    height, width = pool
    samples, rows, columns, filters = y.shape
    stretch, across = choice.shape[2], -(-x.shape[2] // width)
    planes = np.zeros((height * width, length), np.float32)
    flat = planes.reshape(-1)
    line, best = np.empty(stretch, np.float32), np.empty((2, stretch), np.float32)
    which = np.empty((2, stretch), np.int32)
    for s in range(samples):
        _split(x[s], height, width, planes)
        for f in range(filters):
            now, after = 0, 1
            _fill(best[now], _ZERO)
            _fill(which[now], np.int32(-1))
            for place in range(height * width):
                _fill(line, bias[f])
                for t in range(0, starts.shape[1], TERMS):
                    a, b, c, d = starts[place, t : t + TERMS]
                    _add_products(
                        line,
                        weights[f, t : t + TERMS],
                        flat[a : a + stretch],
                        flat[b : b + stretch],
                        flat[c : c + stretch],
                        flat[d : d + stretch],
                    )
                number = np.int32(place)
                _take_larger(best[now], which[now], line, number, best[after], which[after])
                now, after = after, now
            choice[s, f] = which[now]
            for p in range(rows):
                line_of_y = y[s, p, :, f]
                found = best[now, p * across : p * across + columns]
                for q in range(len(found)):
                    line_of_y[q] = found[q]


@compiled
def convolve_and_pool_back(dy, choice, starts, weights, pool, length, dx):
    """Write the gradient of `convolve_and_pool` with respect to `x`.

    Only places that were chosen have a gradient; the others are not computed.

    Args:
        dy: gradient with respect to `y`.
        choice, starts, pool, length: as there.
        weights: of the terms [shape=(terms, filters)]; filters are a multiple of `TERMS`.
        dx: result [shape=(samples, height, width)].
    """
    height, width = pool
    samples, rows, columns, filters = dy.shape
    stretch, across = choice.shape[2], -(-dx.shape[2] // width)
    planes = np.empty((height * width, length), np.float32)
    flat = planes.reshape(-1)
    given = np.zeros(stretch, np.float32)
    chosen = np.zeros((weights.shape[1], height * width, stretch), np.float32)
    for s in range(samples):
        for f in range(filters):
            for p in range(rows):
                line_of_dy = dy[s, p, :, f]
                line = given[p * across : p * across + columns]
                for q in range(len(line)):
                    line[q] = line_of_dy[q]
            for place in range(height * width):
                _where_chosen(chosen[f, place], given, choice[s, f], np.int32(place))
        _fill(flat, _ZERO)
        for place in range(height * width):
            for t in range(weights.shape[0]):
                start = starts[place, t]
                for f in range(0, weights.shape[1], TERMS):
                    _add_products(
                        flat[start : start + stretch],
                        weights[t, f : f + TERMS],
                        chosen[f, place],
                        chosen[f + 1, place],
                        chosen[f + 2, place],
                        chosen[f + 3, place],
                    )
        _join(planes, height, width, dx[s])


@compiled
def _add_strided(target, to, source, start, count, channels):
    """Add `count` groups of channels; `to` and `start` are the first place and the step."""
    for q in range(count):
        # Unsigned, or each access asks first whether it counts from the end.
        n, m = np.uint64(to[0] + q * to[1]), np.uint64(start[0] + q * start[1])
        if channels == 1:
            target[n] += source[m]
        else:
            for c in range(np.uint64(channels)):
                target[n + c] += source[m + c]


@compiled
def _places(tap, phase, factor, margin, width):
    """Say which columns of the small map a column of the kernel meets, at one phase of the large.

    Returns the first column of the small map, the one of the large that it belongs to, in steps of
    `factor`, and how many there are.
    """
    offset = (phase + tap - margin) // factor
    first = max(0, -offset)
    return first + offset, first, min(width, width - offset) - first


@compiled
def add_up_taps(products, bias, factors, margins, floor, y):
    """Write the convolution of an enlarged map, from the products of the small one.

    Args:
        products: of each place with the kernel's taps
            [shape=(samples, height, width, kernel height, kernel width, channels)].
        bias: for each value of a line [shape=(width * factor * channels,)].
        factors: by which the map is enlarged.
        margins: rows and columns of zeros above and left of the enlarged map.
        floor: smallest value: 0 for a rectified result, minus infinity else.
        y: result [shape=(samples, height * factor, width * factor * channels)].
    """
    samples, height, width, rows, columns, channels = products.shape
    flat = products.reshape((samples, height, width * rows * columns * channels))
    step = rows * columns * channels
    lines = np.empty((rows, height, y.shape[2]), np.float32)
    total = np.empty(y.shape[2], np.float32)
    for s in range(samples):
        for p in range(height):
            for a in range(rows):
                line = lines[a, p]
                _fill(line, _ZERO)
                for b in range(columns):
                    for phase in range(factors[1]):
                        small, large, count = _places(b, phase, factors[1], margins[1], width)
                        to = ((large * factors[1] + phase) * channels, factors[1] * channels)
                        start = (small * step + (a * columns + b) * channels, step)
                        _add_strided(line, to, flat[s, p], start, count, channels)
        for i in range(y.shape[1]):
            total[:] = bias
            for a in range(rows):
                source = i + a - margins[0]
                if 0 <= source < y.shape[1]:
                    _add(total, lines[a, source // factors[0]])
            _at_least(y[s, i], total, floor)


@compiled
def add_up_taps_back(dy, y, factors, margins, floor, products):
    """Write the gradient of `add_up_taps` with respect to `products`.

    Args:
        dy: gradient with respect to `y`.
        y, factors, margins, floor: as there.
        products: result, of the same shape as there.
    """
    samples, height, width, rows, columns, channels = products.shape
    flat = products.reshape((samples, height, width * rows * columns * channels))
    step = rows * columns * channels
    lines = np.empty((rows, height, y.shape[2]), np.float32)
    passed = np.empty(y.shape[2], np.float32)
    for s in range(samples):
        lines[:] = 0
        for i in range(y.shape[1]):
            _where_above(passed, dy[s, i], y[s, i], floor)
            for a in range(rows):
                source = i + a - margins[0]
                if 0 <= source < y.shape[1]:
                    _add(lines[a, source // factors[0]], passed)
        for p in range(height):
            target = flat[s, p]
            _fill(target, _ZERO)
            for a in range(rows):
                for b in range(columns):
                    for phase in range(factors[1]):
                        small, large, count = _places(b, phase, factors[1], margins[1], width)
                        to = (small * step + (a * columns + b) * channels, step)
                        start = ((large * factors[1] + phase) * channels, factors[1] * channels)
                        _add_strided(target, to, lines[a, p], start, count, channels)
