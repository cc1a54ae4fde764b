"""Runs the rows of `cargo bench --bench isa -- --measure` with PyTorch and CuPy, on the first CUDA card.

Prints a line for each row and library: the row, the library, and the microseconds of one call, separated by tabs. A time is
the median of several batches, which CUDA events measure. PyTorch runs eagerly, and neither library uses TF32.
"""

import sys

N = 4096
WARM, ROUNDS, BATCH = 3, 7, 16

SQUARE, F16 = ((N, N), "float32"), ((N, N), "float16")
SMALL = ((N,), "float32")
GELU = "0.5 * a * (1 + erf(a * 0.70710678))"
SOFTMAX = "(e := xp.exp(a - a.max(-1, keepdims=True))) / e.sum(-1, keepdims=True)"
TWENTY = "[x := a] and [x := abs(x * 0.9 - 0.3) + 0.1 for _ in range(5)][-1]"
STENCIL = "a[1:-1, 1:-1] * 0.5 + (a[:-2, 1:-1] + a[2:, 1:-1] + a[1:-1, :-2] + a[1:-1, 2:]) * 0.125"
ATTENTION = "xp.softmax(a @ b.mT / 8, -1) @ c"
ADAM = "(m := b * 0.9 + d * 0.1, v := c * 0.999 + d * d * 0.001, a - m * 0.01 / (xp.sqrt(v) + 1e-8))"


def norm(weights):
    return [((N, N), weights), ((N,), weights), ((N,), weights)]


# for each row: the operands (shape, dtype, and for integers the exclusive upper bound), then the expressions for PyTorch and CuPy
ROWS = {
    "add": ([SQUARE, SQUARE], "a + b", "a + b"),
    "mul_add": ([SQUARE, SQUARE, SQUARE], "a * b + c", "a * b + c"),
    "scale": ([SQUARE], "a * 2.5 + 1.2", "a * 2.5 + 1.2"),
    "bias": ([SQUARE, SMALL], "a + b", "a + b"),
    "select": ([SQUARE, SQUARE], "xp.where(a > 0, a, b)", "xp.where(a > 0, a, b)"),
    "divide": ([SQUARE, SQUARE], "a / b", "a / b"),
    "sqrt": ([SQUARE], "xp.sqrt(a)", "xp.sqrt(a)"),
    "exp": ([SQUARE], "xp.exp(a)", "xp.exp(a)"),
    "log": ([SQUARE], "xp.log(a)", "xp.log(a)"),
    "tanh": ([SQUARE], "xp.tanh(a)", "xp.tanh(a)"),
    "sigmoid": ([SQUARE], "xp.sigmoid(a)", "1 / (1 + xp.exp(-a))"),
    "sin": ([SQUARE], "xp.sin(a)", "xp.sin(a)"),
    "erf": ([SQUARE], "xp.erf(a)", "erf(a)"),
    "gelu": ([SQUARE], "F.gelu(a)", GELU),
    "pow": ([SQUARE, SQUARE], "xp.pow(a, b)", "xp.power(a, b)"),
    "20 operations": ([SQUARE], TWENTY, TWENTY),
    "5-point stencil": ([SQUARE], STENCIL, STENCIL),
    "transpose + add": ([SQUARE, SQUARE], "a.T + b", "a.T + b"),
    "i32 add": ([((N, N), "int32", 100)] * 2, "a + b", "a + b"),
    "i64 add": ([((N, N), "int64", 100)] * 2, "a + b", "a + b"),
    "f16 add": ([F16, F16], "a + b", "a + b"),
    "f16 mul_add": ([F16, F16, F16], "a * b + c", "a * b + c"),
    "f16 exp": ([F16], "xp.exp(a)", "xp.exp(a)"),
    "f16 gelu": ([F16], "F.gelu(a)", None),
    "f16 divide": ([F16, F16], "a / b", "a / b"),
    "f16 transpose + add": ([F16, F16], "a.T + b", "a.T + b"),
    "bf16 add": ([((N, N), "bfloat16")] * 2, "a + b", None),
    "f32 to f16": ([SQUARE], "a.half()", "a.astype('float16')"),
    "f16 to f32": ([F16], "a.float()", "a.astype('float32')"),
    "f32 to bf16": ([SQUARE], "a.bfloat16()", None),
    "u8 to f32": ([((N, N), "uint8", 256)], "a.float() / 255", "a.astype('float32') / 255"),
    "sum of all": ([SQUARE], "a.sum()", "a.sum()"),
    "sum of rows": ([SQUARE], "a.sum(1)", "a.sum(1)"),
    "sum of columns": ([SQUARE], "a.sum(0)", "a.sum(0)"),
    "sum of rows of 64": ([((100_000, 64), "float32")], "a.sum(1)", "a.sum(1)"),
    "f16 sum of all": ([F16], "a.sum()", "a.sum()"),
    "max of all": ([SQUARE], "a.max()", "a.max()"),
    "argmax of rows": ([SQUARE], "a.argmax(-1)", "a.argmax(-1)"),
    "variance of columns": ([SQUARE], "a.var(0)", "a.var(0)"),
    "softmax": ([SQUARE], "xp.softmax(a, -1)", SOFTMAX),
    "f16 softmax": ([F16], "xp.softmax(a, -1)", None),
    "softmax of rows of 256": ([((16384, 256), "float32")], "xp.softmax(a, -1)", SOFTMAX),
    "softmax of rows of 128": ([((100_000, 128), "float32")], "xp.softmax(a, -1)", SOFTMAX),
    "layer norm": (norm("float32"), "F.layer_norm(a, (4096,), b, c)", None),
    "f16 layer norm": (norm("float16"), "F.layer_norm(a, (4096,), b, c)", None),
    "rms norm": (norm("float32"), "F.rms_norm(a, (4096,), b)", None),
    "f16 rms norm": (norm("float16"), "F.rms_norm(a, (4096,), b)", None),
    "standardize rows": (
        [SQUARE],
        "(a - a.mean(1, keepdim=True)) / a.std(1, keepdim=True)",
        "(a - a.mean(1, keepdims=True)) / a.std(1, keepdims=True)",
    ),
    "cumulative sum of rows": ([SQUARE], "a.cumsum(1)", "a.cumsum(1)"),
    "f16 cumulative sum of rows": ([F16], "a.cumsum(1)", "a.cumsum(1)"),
    "cumulative sum of a vector": ([((N * N,), "float32")], "a.cumsum(0)", "a.cumsum(0)"),
    "matmul 4096": ([SQUARE, SQUARE], "a @ b", "a @ b"),
    "matmul 1024": ([((1024, 1024), "float32")] * 2, "a @ b", "a @ b"),
    "matmul 256": ([((256, 256), "float32")] * 2, "a @ b", "a @ b"),
    "f16 matmul 1024": ([((1024, 1024), "float16")] * 2, "a @ b", "a @ b"),
    "f16 matmul 4096": ([F16, F16], "a @ b", "a @ b"),
    "matmul + bias + relu": ([SQUARE, SQUARE, SMALL], "xp.relu(a @ b + c)", "xp.maximum(a @ b + c, 0)"),
    "matmul of 64 × 128³": ([((64, 128, 128), "float32")] * 2, "a @ b", "a @ b"),
    "matmul by 8 columns": ([SQUARE, ((N, 8), "float32")], "a @ b", "a @ b"),
    "matrix @ vector": ([SQUARE, SMALL], "a @ b", "a @ b"),
    "vector @ matrix": ([SMALL, SQUARE], "a @ b", "a @ b"),
    "f16 matrix @ vector": ([F16, ((N,), "float16")], "a @ b", "a @ b"),
    "attention": ([((8, 8, 256, 64), "float32")] * 3, ATTENTION, None),
    "f16 attention": ([((8, 8, 256, 64), "float16")] * 3, ATTENTION, None),
    "causal attention": (
        [((8, 8, 256, 64), "float32")] * 3,
        "F.scaled_dot_product_attention(a, b, c, is_causal=True)",
        None,
    ),
    "conv2d 3 × 3": ([((32, 64, 56, 56), "float32"), ((64, 64, 3, 3), "float32")], "F.conv2d(a, b)", None),
    "adam": ([SQUARE] * 4, ADAM, ADAM),
    "concat of 4": ([((1024, N), "float32")] * 4, "xp.concatenate([a, b, c, d])", "xp.concatenate([a, b, c, d])"),
    "stack of 4": ([((1024, N), "float32")] * 4, "xp.stack([a, b, c, d], -1)", "xp.stack([a, b, c, d], -1)"),
    "take rows": ([SQUARE, ((N,), "int32", N)], "xp.index_select(a, 0, b)", "a.take(b, 0)"),
    "one_hot": ([((N,), "int64", N)], "F.one_hot(a, 4096).float()", None),
    "sort rows": ([SQUARE], "xp.sort(a, -1)[0]", "xp.sort(a, -1)"),
    "argsort rows": ([SQUARE], "xp.argsort(a, -1)", "xp.argsort(a, -1)"),
    "bincount": ([((N * N,), "int32", 256)], "xp.bincount(a, minlength=256)", "xp.bincount(a, minlength=256)"),
    "random uniform": ([], "xp.rand(4096, 4096, device='cuda')", "xp.random.random((4096, 4096), dtype='float32')"),
    "random normal": ([], "xp.randn(4096, 4096, device='cuda')", "xp.random.standard_normal((4096, 4096), dtype='float32')"),
}


def torch_side():
    import torch

    # convolutions use TF32 by default, products do not
    torch.backends.cudnn.allow_tf32 = False

    def operand(shape, dtype, below=None):
        if below is not None:
            return torch.randint(0, below, shape, device="cuda", dtype=getattr(torch, dtype))
        return torch.rand(shape, device="cuda").to(getattr(torch, dtype))

    def event():
        e = torch.cuda.Event(enable_timing=True)
        e.record()
        return e

    torch.set_grad_enabled(False)
    return torch, operand, event, lambda a, b: a.elapsed_time(b), torch.cuda.synchronize, {"F": torch.nn.functional}


def cupy_side():
    import cupy
    from cupyx.scipy.special import erf

    def operand(shape, dtype, below=None):
        if below is not None:
            return cupy.random.randint(0, below, shape).astype(dtype)
        return cupy.random.random(shape, dtype="float32").astype(dtype)

    def event():
        e = cupy.cuda.Event()
        e.record()
        return e

    return cupy, operand, event, cupy.cuda.get_elapsed_time, cupy.cuda.Device().synchronize, {"erf": erf}


def main():
    wanted = sys.argv[1:]
    for name, side, at in (("PyTorch", torch_side, 1), ("CuPy", cupy_side, 2)):
        try:
            xp, operand, event, between, wait, more = side()
            operand((2,), "float32")
        except Exception as error:  # noqa: BLE001 - a library that is not installed has no times
            print(f"{name}: {error}", file=sys.stderr)
            continue
        for row, entry in ROWS.items():
            if entry[at] is None or not all(word in row for word in wanted):
                continue
            try:
                scope = dict(zip("abcd", (operand(*o) for o in entry[0])), xp=xp, **more)
                run = eval(f"lambda: {entry[at]}", scope)  # noqa: S307 - the expressions above
                for _ in range(WARM):
                    run()
                wait()
                times = []
                for _ in range(ROUNDS):
                    first = event()
                    for _ in range(BATCH):
                        run()
                    last = event()
                    wait()
                    times.append(between(first, last) * 1e3 / BATCH)
                print(f"{row}\t{name}\t{sorted(times)[ROUNDS // 2]:.1f}", flush=True)
            except Exception as error:  # noqa: BLE001 - other rows still run
                print(f"{row}, {name}: {error}", file=sys.stderr)


main()
