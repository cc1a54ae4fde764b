#!/usr/bin/env python3
"""Writes network.txt, for tests/operations/network/golden.rs: convolutions, transposed convolutions and pools that JAX computes.

    python3 -m venv /tmp/jax && /tmp/jax/bin/pip install jax && /tmp/jax/bin/python tests/data/make_network.py

A line has a name, its options, and the shapes and numbers of the input, the weights and the result, separated by tabs.
The result of a line whose name has `_by_x` or `_by_w` is the derivative of half the sum of the squared elements.
The options are stride, padding before, padding after, dilation and groups, the same for all axes. Instead of weights a
pool has the lengths of its window.
"""

import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(7)
here = os.path.dirname(os.path.abspath(__file__))


def numbers(*shape):
    return rng.integers(-4, 5, shape).astype(np.float64)


def spell(a):
    a = np.asarray(a)
    return " ".join(map(str, a.shape)) + "\t" + " ".join(f"{v:.17g}" for v in a.ravel())


def labels(n):
    axes = "DHW"[3 - n :]
    return ("NC" + axes, "OI" + axes, "NC" + axes)


def convolution(n, stride, before, after, dilation, groups):
    """Returns a convolution over n axes as a function of the input and the weights."""
    return lambda x, w: jax.lax.conv_general_dilated(
        x,
        w,
        (stride,) * n,
        [(before, after)] * n,
        rhs_dilation=(dilation,) * n,
        dimension_numbers=labels(n),
        feature_group_count=groups,
    )


lines = []
spatial = {1: (9,), 2: (5, 6), 3: (4, 3, 4)}
windows = {1: (3,), 2: (3, 2), 3: (2, 2, 2)}
for n, (stride, before, after, dilation, groups) in itertools.product(
    (1, 2, 3), [(1, 0, 0, 1, 1), (2, 1, 1, 1, 1), (1, 1, 0, 2, 2), (3, 0, 1, 1, 2), (2, 1, 2, 2, 1)]
):
    x, w = numbers(1, 2, *spatial[n]), numbers(2, 2 // groups, *windows[n])
    conv = convolution(n, stride, before, after, dilation, groups)
    options = f"{stride} {before} {after} {dilation} {groups}"
    y = conv(x, w)
    lines.append("\t".join([f"conv{n}d", options, spell(x), spell(w), spell(y)]))
    # the derivative with respect to the input, whose shape determines the output padding
    g = numbers(*y.shape)
    (dx,) = jax.vjp(lambda x: conv(x, w), x)[1](jnp.asarray(g))
    lines.append("\t".join([f"conv_transpose{n}d", options, spell(g), spell(w), spell(dx)]))

for n, (window, stride, padding) in itertools.product((1, 2, 3), [(2, 2, 0), (3, 2, 1), (3, 1, 1)]):
    x = rng.permutation(2 * int(np.prod(spatial[n]))).astype(np.float64).reshape(1, 2, *spatial[n])
    dims, strides = (1, 1) + (window,) * n, (1, 1) + (stride,) * n
    pads = [(0, 0)] * 2 + [(padding, padding)] * n

    def reduce(x, init, f):
        return jax.lax.reduce_window(x, init, f, dims, strides, pads)

    largest = reduce(x, -np.inf, jax.lax.max)
    mean = reduce(x, 0.0, jax.lax.add) / reduce(np.ones_like(x), 0.0, jax.lax.add)
    (d,) = jax.vjp(lambda x: reduce(x, -np.inf, jax.lax.max), x)[1](jnp.ones_like(largest))
    options = f"{stride} {padding} {padding} 1 1"
    window = spell(np.full(n, float(window)))
    for name, result in (("max_pool", largest), ("avg_pool", mean), ("max_pool_grad", d)):
        lines.append("\t".join([f"{name}{n}d", options, spell(x), window, spell(result)]))

# derivatives, with numbers of their own
rng = np.random.default_rng(8)
for n, (stride, before, after, dilation, groups) in itertools.product(
    (1, 2, 3), [(1, 0, 0, 1, 1), (2, 1, 1, 1, 1), (1, 1, 0, 2, 2), (3, 0, 1, 1, 2), (2, 1, 2, 2, 1)]
):
    conv = convolution(n, stride, before, after, dilation, groups)

    def transposed(g, w):
        return jax.vjp(lambda x: conv(x, w), jnp.zeros_like(x))[1](g)[0]

    x, w = jnp.asarray(numbers(2, 2, *spatial[n])), jnp.asarray(numbers(2, 2 // groups, *windows[n]))
    g = jnp.asarray(numbers(*conv(x, w).shape))
    options = f"{stride} {before} {after} {dilation} {groups}"
    for name, f, a in (("conv", conv, x), ("conv_transpose", transposed, g)):
        both = jax.grad(lambda a, w: (f(a, w) ** 2).sum() / 2, (0, 1))(a, w)
        for by, d in zip("xw", both):
            lines.append("\t".join([f"{name}_by_{by}{n}d", options, spell(a), spell(w), spell(d)]))

for n, (window, stride, padding) in itertools.product((1, 2, 3), [(2, 2, 0), (3, 2, 1), (3, 1, 1)]):
    x = rng.permutation(2 * int(np.prod(spatial[n]))).astype(np.float64).reshape(1, 2, *spatial[n])
    dims, strides = (1, 1) + (window,) * n, (1, 1) + (stride,) * n
    pads = [(0, 0)] * 2 + [(padding, padding)] * n

    def mean(x):
        total = jax.lax.reduce_window(x, 0.0, jax.lax.add, dims, strides, pads)
        return total / jax.lax.reduce_window(jnp.ones_like(x), 0.0, jax.lax.add, dims, strides, pads)

    options = f"{stride} {padding} {padding} 1 1"
    d = jax.grad(lambda x: (mean(x) ** 2).sum() / 2)(jnp.asarray(x))
    lines.append("\t".join([f"avg_pool_by_x{n}d", options, spell(x), spell(np.full(n, float(window))), spell(d)]))

with open(os.path.join(here, "network.txt"), "w") as f:
    f.write("\n".join(lines) + "\n")
