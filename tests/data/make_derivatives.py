#!/usr/bin/env python3
"""Writes derivatives.txt, for tests/operations/derivatives/golden.rs: results and derivatives that JAX computes in f64.

    python3 -m venv /tmp/jax && /tmp/jax/bin/pip install jax && /tmp/jax/bin/python tests/data/make_derivatives.py

A line has a name, the number of operands with a derivative, and then arrays: the operands, the result, the cotangent and the
derivatives. An array is a shape and its numbers. All fields are separated by tabs.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(11)
here = os.path.dirname(os.path.abspath(__file__))
lines = []


def normal(*shape):
    # two decimals, which keep the file short and make some numbers equal
    return np.round(rng.normal(size=shape), 2)


def spell(a):
    a = np.asarray(a, dtype=np.float64)
    return " ".join(map(str, a.shape)) + "\t" + " ".join(f"{v:.17g}" for v in a.ravel())


def case(name, f, *operands, others=()):
    """A function of operands, the first of which have derivatives."""
    y, back = jax.vjp(lambda *x: f(*x, *others), *map(jnp.asarray, operands))
    g = normal(*y.shape)
    fields = [spell(a) for a in (*operands, *others, y, g, *back(jnp.asarray(g)))]
    lines.append("\t".join([name, str(len(operands)), *fields]))


x = normal(3, 5)
case("softmax", lambda x: jax.nn.softmax(x, -1), x)
case("softmax_columns", lambda x: jax.nn.softmax(x, 0), x * 30)
case("log_softmax", lambda x: jax.nn.log_softmax(x, -1), x * 100)
case("logsumexp", lambda x: jax.nn.logsumexp(x, -1), x * 100)


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-3)


case("layer_norm", layer_norm, x)
case("layer_norm_flat", layer_norm, 1000 + 1e-3 * x)
case("rms_norm", lambda x: x / jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-3), x)
for order in (1.0, 2.0, 3.0, np.inf):
    case(f"vector_norm_{order:g}", lambda x: jnp.linalg.norm(x, order, -1), x)
case("cross_entropy", lambda x, k: -jnp.take_along_axis(jax.nn.log_softmax(x, -1), k[:, None], -1)[:, 0], x * 10,
     others=(np.array([4, 0, 2]),))
case("std", lambda x: x.std(-1), x)
case("var", lambda x: x.var(0), x)


def attention(is_causal):
    def f(q, k, v):
        scores = q @ jnp.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
        allowed = jnp.tril(jnp.ones(scores.shape[-2:], bool)) if is_causal else True
        y = jax.nn.softmax(jnp.where(allowed, scores, -jnp.inf), -1) @ v
        # not JAX's own function, which computes in f32 (axes: batch, length, heads, width)
        turned = (jnp.swapaxes(a, 1, 2) for a in (q, k, v))
        own = jnp.swapaxes(jax.nn.dot_product_attention(*turned, is_causal=is_causal), 1, 2)
        jax.debug.callback(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), y, own)
        return y

    return f


q, k, v = normal(1, 2, 4, 3), normal(1, 2, 6, 3), normal(1, 2, 6, 3)
case("attention", attention(False), q, k, v)
case("attention_causal", attention(True), q, k, v)
case("attention_sharp", attention(False), q * 40, k, v)

ties = rng.integers(0, 3, (4, 5)).astype(np.float64)
case("sort", lambda x: jnp.sort(x, -1), x)
case("sort_ties", lambda x: jnp.sort(x, 0), ties)
case("topk", lambda x: jax.lax.top_k(x, 2)[0], x)
case("max_ties", lambda x: x.max(-1), ties)
case("min_ties", lambda x: x.min(0), ties)
case("maximum_ties", jnp.maximum, ties, ties[:, ::-1].copy())
case("cumulative_sum", lambda x: jnp.cumsum(x, -1), x)
case("cumulative_prod", lambda x: jnp.cumprod(x, -1), x)
case("cumulative_prod_zeros", lambda x: jnp.cumprod(x, -1), ties)
case("logcumsumexp", lambda x: jax.lax.cumlogsumexp(x, 1), x * 10)
case("prod", lambda x: x.prod(-1), x)
case("prod_zeros", lambda x: x.prod(0), ties)
case("logaddexp", jnp.logaddexp, x, x[::-1] * 100)
case("hypot", jnp.hypot, x, x[::-1].copy())
case("take", lambda x, i: x[i], x, others=(np.array([2, 0, 2, 2]),))
case("take_along", lambda x, i: jnp.take_along_axis(x, i, 1), x, others=(rng.integers(0, 5, (3, 7)),))
case("index_add", lambda x, v, i: x.at[i].add(v), x, normal(4, 5), others=(np.array([1, 1, 0, 1]),))
case("segment_sum", lambda x, s: jax.ops.segment_sum(x, s, 4), x, others=(np.array([3, 0, 3]),))
case("median", lambda x: jnp.median(x, -1), x)
case("median_even", lambda x: jnp.median(x, 0), normal(4, 3))
case("quantile", lambda x: jnp.quantile(x, 0.3, -1), x)
case("where", lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0), x)
case("matmul", jnp.matmul, normal(2, 3, 4), normal(4, 2))
case("einsum", lambda a, b: jnp.einsum("bij,bkj->ik", a, b), normal(2, 3, 4), normal(2, 5, 4))

with open(os.path.join(here, "derivatives.txt"), "w") as f:
    f.write("\n".join(lines) + "\n")
