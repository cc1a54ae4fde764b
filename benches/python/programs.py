"""The programs of `benches/backends/programs.rs` for the Python libraries, with the same steps. `xp` is NumPy, PyTorch,
`jax.numpy` or CuPy. `jax` is the module `jax` if `xp` is `jax.numpy`, else None."""

import functools
import math
import os

IMAGES, PIXELS, BATCH = 1437, 64, 32
DIGITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "data", "digits.npy")


def is_torch(xp):
    return xp.__name__ == "torch"


def cast(x, dtype):
    return x.to(dtype) if hasattr(x, "to") else x.astype(dtype)


def softmax(xp, x):
    if is_torch(xp):
        return xp.softmax(x, -1)
    e = xp.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def arange_like(xp, n, x):
    return xp.arange(n, device=x.device) if is_torch(xp) else xp.arange(n)


def kmeans(xp, points, centres):
    distance = (centres * centres).sum(1) - points @ centres.T * 2.0
    nearest = distance.argmin(-1)[:, None] == arange_like(xp, len(centres), points)
    one = arange_like(xp, 2, points)[1]
    count = xp.maximum(nearest.sum(0), one)[:, None]
    return cast(nearest, points.dtype).T @ points / cast(count, xp.float32)


def forward(xp, x, p):
    hidden = x @ p[0] + p[1]
    hidden = xp.relu(hidden) if is_torch(xp) else xp.maximum(hidden, 0)
    return hidden, hidden @ p[2] + p[3]


def gradients(xp, x, hidden, d, w2):
    back = (d @ w2.T) * (hidden > 0)
    return [x.T @ back, back.sum(0), hidden.T @ d, d.sum(0)]


class Mlp:
    """One step of gradient descent on one batch."""

    def __init__(self, xp, jax, x, labels, p):
        self.p, self.x = list(p), x
        self.y = cast(labels[:, None] == arange_like(xp, 10, x), x.dtype)
        self.in_place = jax is None

        def step(p, x, y):
            hidden, scores = forward(xp, x, p)
            # the softmax always computes in f32
            probability = softmax(xp, cast(scores, xp.float32))
            d = cast((probability - y) / len(x), x.dtype)
            return gradients(xp, x, hidden, d, p[2])

        def pure(p, x, y):
            return [a - 0.1 * g for a, g in zip(p, step(p, x, y))]

        self.step = step if self.in_place else jax.jit(pure).lower(self.p, self.x, self.y).compile()

    def __call__(self):
        if not self.in_place:
            self.p = self.step(self.p, self.x, self.y)
            return self.p
        for p, g in zip(self.p, self.step(self.p, self.x, self.y)):
            p -= 0.1 * g
        return self.p


def split(x, w, shape):
    batch, heads, length, width = shape
    return (x @ w).reshape(batch, length, heads, width)


def attention(xp, x, wq, wk, wv, wo, shape):
    batch, heads, length, width = shape
    q, k, v = (split(x, w, shape).transpose(0, 2, 1, 3) for w in (wq, wk, wv))
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(width)
    mixed = (softmax(xp, scores) @ v).transpose(0, 2, 1, 3)
    return mixed.reshape(batch, length, heads * width) @ wo + x


def attention_torch(xp, x, wq, wk, wv, wo, shape):
    batch, heads, length, width = shape
    q, k, v = (split(x, w, shape).transpose(1, 2) for w in (wq, wk, wv))
    mixed = xp.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return mixed.reshape(batch, length, heads * width) @ wo + x


class Digits:
    """Trains with Adam on a number of handwritten digits, in batches of 32. Passes compute in `dtype`, parameters are f32."""

    def __init__(self, xp, jax, p, dtype, images):
        import numpy as np

        self.images = images
        raw = np.load(DIGITS)[:IMAGES]
        dtype = {"f16": xp.float16, "f32": xp.float32}[dtype]
        self.dtype, self.xp = dtype, xp

        def array(a):
            return xp.from_numpy(a).to(p[0].device) if is_torch(xp) else xp.asarray(a)

        self.x = cast(array(raw[:, :PIXELS].astype(np.float32) / 8 - 1), dtype)
        self.y = array((raw[:, PIXELS:] == np.arange(10)).astype(np.float32))
        self.state = [[p, xp.zeros_like(p), xp.zeros_like(p)] for p in p]
        self.in_place = jax is None
        self.time = 0
        self.pure = None if self.in_place else jax.jit(self.adam_pure)

    def descent(self, p, x, y):
        p = [cast(p, self.dtype) for p in p]
        hidden, scores = forward(self.xp, x, p)
        d = cast((softmax(self.xp, cast(scores, self.xp.float32)) - y) / len(x), self.dtype)
        return [cast(g, self.xp.float32) for g in gradients(self.xp, x, hidden, d, p[2])]

    def adam_pure(self, state, x, y, rate):
        new = []
        for (p, mean, square), g in zip(state, self.descent([s[0] for s in state], x, y)):
            mean = mean * 0.9 + g * 0.1
            square = square * 0.999 + g * g * 0.001
            new.append([p - mean * rate / (self.xp.sqrt(square) + 1e-8), mean, square])
        return new

    def adam(self, x, y, rate):
        for (p, mean, square), g in zip(self.state, self.descent([s[0] for s in self.state], x, y)):
            mean *= 0.9
            mean += g * 0.1
            square *= 0.999
            square += g * g * 0.001
            p -= mean * rate / (self.xp.sqrt(square) + 1e-8)

    def __call__(self):
        for start in range(0, self.images, BATCH):
            self.time += 1
            rate = 0.002 * math.sqrt(1 - 0.999**self.time) / (1 - 0.9**self.time)
            x, y = self.x[start : start + BATCH], self.y[start : start + BATCH]
            if self.in_place:
                self.adam(x, y, rate)
            else:
                self.state = self.pure(self.state, x, y, rate)
        return self.state


class Loop:
    """Small operations, each of which reads the result of the previous one."""

    def __init__(self, xp, jax, x, b, steps):
        self.x, self.b, self.steps = x, b, steps
        self.scale, self.add = lambda x: x * 0.999, lambda x, b: x + b
        if jax is not None:
            self.scale, self.add = jax.jit(self.scale), jax.jit(self.add)

    def __call__(self):
        x = self.x
        for _ in range(self.steps // 2):
            x = self.scale(x)
            x = self.add(x, self.b)
        return x


class Rows:
    """Writes the rows of a matrix one after another. JAX makes a new matrix each time, in the memory of the old one."""

    def __init__(self, jax, x, row):
        self.x, self.row = x, row
        self.pure = None if jax is None else jax.jit(self.new, donate_argnums=0)

    def __call__(self):
        for i in range(len(self.x)):
            if self.pure is None:
                self.write(i)
            else:
                self.x = self.pure(self.x, i, self.row)
        return self.x


class SetRows(Rows):
    def write(self, i):
        self.x[i] = self.row

    def new(self, x, i, row):
        return x.at[i].set(row)


class UpdateRows(Rows):
    def write(self, i):
        row = self.x[i]
        row *= 0.5
        row += self.row

    def new(self, x, i, row):
        return x.at[i].set(x[i] * 0.5 + row)


class Grow:
    """The attention of one query to a sequence that grows by one element at each step. JAX compiles for each length, so for JAX
    the sequence has its full length from the start, and a mask."""

    def __init__(self, xp, jax, k, v, q):
        self.k, self.v, self.q = k, v, q
        self.step = functools.partial(self.attend, xp) if jax is None else jax.jit(functools.partial(self.masked, xp))

    @staticmethod
    def attend(xp, k, v, q, n):
        return softmax(xp, k[:n] @ q * 0.125) @ v[:n]

    @staticmethod
    def masked(xp, k, v, q, n):
        scores = xp.where(xp.arange(len(k)) < n, k @ q * 0.125, -xp.inf)
        return softmax(xp, scores) @ v

    def __call__(self):
        for n in range(1, len(self.k) + 1):
            out = self.step(self.k, self.v, self.q, n)
        return out
