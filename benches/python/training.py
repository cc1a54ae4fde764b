"""The training steps of `benches/backends/training.rs`, as users of PyTorch and JAX write them. `o` has the operations that the
two libraries spell differently, `p` the parameters.

    python3 benches/python/training.py torch|jax    prints the memory that a step of the block needs in addition to its inputs
"""

import functools
import sys

HEADS, RATE = 8, 0.01


class Torch:
    def __init__(self, torch):
        f = torch.nn.functional
        self.relu, self.gelu, self.cross_entropy = f.relu, f.gelu, f.cross_entropy
        self.dense = lambda x, w, b: f.linear(x, w.T, b)
        self.conv = lambda x, w, b: f.conv2d(x, w, b, padding=1)
        self.pool = lambda x: f.max_pool2d(x, 2)
        self.norm = lambda x, gain, bias: f.layer_norm(x, gain.shape, gain, bias, 1e-5)

        def attention(q, k, v):
            heads = [x.unflatten(-1, (HEADS, -1)).transpose(1, 2) for x in (q, k, v)]
            return f.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)

        self.attention = attention


class Jax:
    def __init__(self, jax):
        np, nn, lax = jax.numpy, jax.nn, jax.lax
        self.relu = nn.relu
        self.gelu = lambda x: nn.gelu(x, approximate=False)
        self.dense = lambda x, w, b: x @ w + b
        self.conv = lambda x, w, b: lax.conv(x, w, (1, 1), "SAME") + b[:, None, None]
        self.pool = lambda x: lax.reduce_window(x, -np.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

        def cross_entropy(scores, y):
            return -np.take_along_axis(nn.log_softmax(scores), y[:, None], 1).mean()

        def norm(x, gain, bias):
            return nn.standardize(x, -1, epsilon=1e-5) * gain + bias

        def attention(q, k, v):
            heads = [x.reshape(*x.shape[:2], HEADS, -1) for x in (q, k, v)]
            return nn.dot_product_attention(*heads).reshape(q.shape)

        self.cross_entropy, self.norm, self.attention = cross_entropy, norm, attention


def mlp(o, p, x, y):
    for w, b in zip(p[:-2:2], p[1:-2:2]):
        x = o.relu(o.dense(x, w, b))
    return o.cross_entropy(o.dense(x, *p[-2:]), y)


def cnn(o, p, x, y):
    for w, b in (p[:2], p[2:4]):
        x = o.pool(o.relu(o.conv(x, w, b)))
    return o.cross_entropy(o.dense(x.reshape(len(x), -1), *p[4:]), y)


def block(o, p, x, y):
    width = x.shape[-1]
    qkv = o.dense(o.norm(x, *p[:2]), *p[2:4])
    x = x + o.dense(o.attention(*(qkv[..., i * width : (i + 1) * width] for i in range(3))), *p[4:6])
    x = x + o.dense(o.gelu(o.dense(o.norm(x, *p[6:8]), *p[8:10])), *p[10:])
    return ((x - y) ** 2).mean()


def torch_step(torch, loss, p, x, y, trains):
    o, y = Torch(torch), y if y.is_floating_point() else y.long()

    def variables():
        return [q.clone().requires_grad_() for q in p]

    def backward(p):
        with torch.enable_grad():
            value = loss(o, p, x, y)
            value.backward()
        return value.detach()

    own = variables()
    sgd = torch.optim.SGD(own, lr=RATE)

    def run():
        if not trains:
            return loss(o, p, x, y)
        sgd.zero_grad()
        value = backward(own)
        sgd.step()
        return value

    def values():
        fresh = variables()
        return [run()] if not trains else [backward(fresh), *(q.grad for q in fresh)]

    run.values = values
    return run


def jax_step(jax, loss, p, x, y, trains):
    o = Jax(jax)
    forward = functools.partial(loss, o)
    gradients = jax.value_and_grad(forward)

    def step(p, x, y):
        value, g = gradients(p, x, y)
        return [q - RATE * d for q, d in zip(p, g)], value

    if not trains:
        compiled = jax.jit(forward).lower(p, x, y).compile()
        run = functools.partial(compiled, p, x, y)
        run.values = lambda: [run()]
        return run
    compiled = jax.jit(step, donate_argnums=0).lower(p, x, y).compile()
    own = [q.copy() for q in p]

    def run():
        nonlocal own
        own, value = compiled(own, x, y)
        return own, value

    def values():
        value, g = jax.jit(gradients)(p, x, y)
        return [value, *g]

    run.values = values
    return run


def step(xp, jax, loss, p, x, y, trains=True):
    """A function that makes one step of stochastic gradient descent on one batch, or only computes the loss. Its `values` are
    the loss and the gradients of the first step."""
    return torch_step(xp, loss, p, x, y, trains) if jax is None else jax_step(jax, loss, p, x, y, trains)


def resident(key):
    """`VmRSS` or `VmHWM` (its peak) of this process, in MB."""
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[key].split()[0]) * 1024 / 1e6


def memory(name):
    import numpy as np

    jax = __import__("jax") if name == "jax" else None
    xp = jax.numpy if jax else __import__("torch")
    rng = np.random.default_rng(0)
    # a small step first, so that the library is loaded before we measure
    for batch, length, width in ((1, 8, 64), (8, 128, 256)):
        shapes = [(width,), (width,), (width, 3 * width), (3 * width,), (width, width), (width,)]
        shapes += [(width,), (width,), (width, 4 * width), (4 * width,), (4 * width, width), (width,)]
        shapes += [(batch, length, width)] * 2
        *p, x, y = (xp.asarray(rng.random(s, dtype=np.float32) - 0.5) for s in shapes)
        run = step(xp, jax, block, p, x, y)
        before = resident("VmRSS")
        for _ in range(3):
            result = run()
        if jax:
            jax.block_until_ready(result)
        peak = resident("VmHWM") - before
    print(f"{name}: {peak:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:] not in (["torch"], ["jax"]):
        sys.exit(__doc__)
    memory(sys.argv[1])
