"""Reductions, scans and row functions in NumPy, with error bounds."""

import numpy as np

import values
from elementwise import cast, settled
from values import HALVES, LARGEST, LONG_ERROR, NATIVE, Refused, Value, high, is_float, is_unsigned, ulp

ROWS = ("var", "std", "layer_norm", "rms_norm", "softmax", "log_softmax", "logsumexp")
FOLDS = ("sum", "prod", "mean", "min", "max", "any", "all", "count_nonzero", "argmin", "argmax",
         "cumulative_sum", "cummax", "cummin")
# folds over one axis or all axes
ONE_AXIS = ("argmin", "argmax", "cumulative_sum", "cummax", "cummin")


def sum_type(t):
    """The type of sums and products. Integers and bool give 64 bits."""
    return t if is_float(t) else "u64" if is_unsigned(t) else "i64"


POSITION = "i64"


def float_type(t):
    return t if is_float(t) else "f32"


def work_type(t):
    """The type in which means, variances and row functions compute."""
    return "f32" if t in HALVES or not is_float(t) else t


def half_ulp(t):
    return 2.0 ** -values.PRECISION["f32" if t in HALVES else t][0]


def tree(n, t):
    return (np.ceil(np.log2(max(n, 1))) + 16) * half_ulp(t)


def axes_of(node, x):
    axes = node.get("axes")
    return tuple(range(x.v.ndim)) if axes is None else tuple(a % x.v.ndim for a in axes)


def exact_sum(magnitudes, axes, t):
    """Whether sums of these numbers are exact in any order, because all are multiples of 1/1024 and small."""
    scale = 1024.0
    scaled = magnitudes.astype(np.float64) * scale
    if not np.all(np.isfinite(scaled)) or np.any(scaled != np.rint(scaled)):
        return False
    most = np.sum(scaled, axis=axes)
    return bool(np.all(most < 2.0 ** values.PRECISION["f32" if t in HALVES else t][0]))


def add_up(x, axes, keep, device):
    """The sum of floats, with its error bound."""
    t = x.t
    v = np.sum(x.v, axis=axes, keepdims=keep)
    size = np.sum(np.abs(x.v), axis=axes, keepdims=keep).astype(np.float64)
    e = np.sum(np.broadcast_to(x.error(), x.shape), axis=axes, keepdims=keep)
    n = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    if x.e is None and exact_sum(np.abs(x.v), axes, t):
        own = 0.0
    else:
        own = np.where(np.isfinite(size), tree(n, t) * (size + e), 0) + (LONG_ERROR * n * size if t == "f64" else 0)
        if np.any(np.isfinite(size) & (size > LARGEST["f32" if t in HALVES else t] / 4)):
            raise Refused("partial sums that may overflow")
    return v, e, own


def reduce(node, x, device):
    op, keep, axes = node["op"], node.get("keep", False), axes_of(node, x)
    n = int(np.prod([x.shape[a] for a in axes], dtype=np.int64))
    if op in ("any", "all"):
        return Value("bool", np.asarray(getattr(np, op)(cast(x, "bool").v, axis=axes, keepdims=keep)))
    if op == "count_nonzero":
        count = np.count_nonzero(cast(x, "bool").v, axis=axes, keepdims=keep)
        return Value(POSITION, np.asarray(count).astype(NATIVE[POSITION]))
    if op in ("argmin", "argmax"):
        return position(node, x)
    if op in ("min", "max"):
        if n == 0:
            raise Refused(f"{op} of nothing")
        if x.t == "bool":
            return Value("bool", np.asarray((np.all if op == "min" else np.any)(x.v, axis=axes, keepdims=keep)))
        v = np.asarray(getattr(np, op)(x.v, axis=axes, keepdims=keep))
        e = None if x.e is None else np.max(x.e, axis=axes, keepdims=keep)
        core = None if x.core is None else np.max(x.core, axis=axes, keepdims=keep)
        if e is not None and not np.all(np.isfinite(v)):
            e, core = np.where(np.isfinite(v), e, 0), None if core is None else np.where(np.isfinite(v), core, 0)
        return Value(x.t, v, e, core, False)
    if op in ("cummax", "cummin"):
        return running(op, x, None if node.get("axes") is None else axes[0])
    if op == "cumulative_sum":
        return cumulative_sum(x, None if node.get("axes") is None else axes[0])
    if op in ("sum", "prod") and not is_float(x.t):
        t = sum_type(x.t)
        return Value(t, np.asarray(getattr(np, op)(cast(x, t).v, axis=axes, keepdims=keep, dtype=NATIVE[t])))
    if op == "sum":
        v, e, own = add_up(x, axes, keep, device)
        return settled(x.t, v, e, own, False)
    if op == "prod":
        v = np.prod(x.v, axis=axes, keepdims=keep)
        if x.e is not None and np.any((x.v == 0) & (x.e > 0)):
            raise Refused("a factor that may be 0")
        relative = np.where(x.v == 0, 0, np.broadcast_to(x.error(), x.shape) / np.abs(x.v)).astype(np.float64)
        e = np.abs(v).astype(np.float64) * np.expm1(np.sum(relative, axis=axes, keepdims=keep))
        sizes = np.sum(np.abs(np.log2(np.where((x.v == 0) | ~np.isfinite(x.v), 1, np.abs(x.v)))), axis=axes)
        if np.any(sizes > (15 if x.t == "f16" else 120)):
            raise Refused("partial products that may overflow")
        g = 2 if device == "gpu" else 1
        own = np.where(np.isfinite(v), g * (n + 16) * half_ulp(x.t) * np.abs(v), 0).astype(np.float64)
        return settled(x.t, v, np.where(np.isfinite(v), e, 0), own, False)
    if op == "mean" and not is_float(x.t):
        # the exact sum, rounded once
        total = np.sum(x.v.astype(object) if bits(x.t) == 64 else x.v.astype(np.int64), axis=axes, keepdims=keep)
        v = np.asarray(np.asarray(total).astype(np.longdouble) / n if n else np.full(np.shape(total), np.nan))
        return settled("f32", values.round_to(v, "f32"), 0.0, ulp(v, "f32"), False)
    if op == "mean":
        w = cast(x, work_type(x.t))
        v, e, own = add_up(w, axes, keep, device)
        v, e, own = v / n if n else v * np.nan, e / max(n, 1), own / max(n, 1)
        own = own + ulp(np.abs(v).astype(np.float64) + e, w.t) * (2.5 if device == "gpu" else 0.5)
        return settled(float_type(x.t), v, e, np.where(np.isfinite(v), own, 0), False)
    return of_rows(node, x, axes, keep, n, device)


def running(op, x, axis):
    """The running maximum or minimum along an axis. Without an axis, in C order with the operand's shape."""
    best, shape = np.maximum if op == "cummax" else np.minimum, x.shape

    def along(function, v):
        return function.accumulate(v.reshape(-1)).reshape(shape) if axis is None else function.accumulate(v, axis=axis)

    if x.v.size == 0:
        return x
    if x.t == "bool":
        return Value("bool", along(np.logical_or if op == "cummax" else np.logical_and, x.v))
    v = along(best, x.v)
    # the largest error bound so far is a bound for the selected element
    e = None if x.e is None else np.where(np.isfinite(v), along(np.maximum, np.broadcast_to(x.e, shape)), 0)
    core = None if x.core is None else np.where(np.isfinite(v), along(np.maximum, np.broadcast_to(x.core, shape)), 0)
    return Value(x.t, v, e, core, False)


def cumulative_sum(x, axis):
    """The running sum along an axis. Without an axis, in C order with the operand's shape."""
    shape = x.shape

    def along(v):
        return np.cumsum(v.reshape(-1)).reshape(shape) if axis is None else np.cumsum(v, axis=axis)

    if not is_float(x.t):
        t = sum_type(x.t)
        with np.errstate(over="ignore"):
            return Value(t, along(cast(x, t).v.astype(NATIVE[t])).astype(NATIVE[t]))
    if x.v.size == 0:
        return settled(x.t, x.v, 0.0, 0.0, False)
    v, size = along(x.v), along(np.abs(x.v)).astype(np.float64)
    e = along(np.broadcast_to(x.error(), shape))
    if x.e is None and exact_sum(np.abs(x.v), None if axis is None else (axis,), x.t):
        own = 0.0
    else:
        n = along(np.ones(shape))
        steps = (np.ceil(np.log2(n)) + 16) * half_ulp("f64" if x.t == "f64" else "f32")
        own = np.where(np.isfinite(size), steps * (size + e), 0) + (LONG_ERROR * n * size if x.t == "f64" else 0)
        if np.any(np.isfinite(size) & (size > LARGEST["f32" if x.t in HALVES else x.t] / 4)):
            raise Refused("partial sums that may overflow")
    return settled(x.t, v, np.where(np.isfinite(v), e, 0), np.where(np.isfinite(v), own, 0), False)


def bits(t):
    return values.bits_of(t)


def position(node, x):
    op, axes = node["op"], node.get("axes")
    x = x.stored()
    axis = None if axes is None else axes[0] % max(x.v.ndim, 1)
    n = x.v.size if axis is None else x.shape[axis]
    if n == 0:
        raise Refused(f"{op} of nothing")
    keep = {"keepdims": node.get("keep", False)}
    v = getattr(np, op)(x.v, axis=axis, **keep)
    if x.e is not None:
        sign = 1 if op == "argmax" else -1
        low, top = sign * x.v - x.e, sign * x.v + x.e
        best = np.max(low, axis=axis, keepdims=True)
        rivals = np.sum(top >= best, axis=axis, keepdims=True)
        if np.any(np.isnan(x.v)) or np.any((rivals > 1) & np.any((x.e > 0) & (top >= best), axis=axis, keepdims=True)):
            raise Refused("a position decided by rounding")
    return Value(POSITION, np.asarray(v).astype(NATIVE[POSITION]))


def of_rows(node, x, axes, keep, n, device):
    """Variance, softmax and norms, with the bounds of the contract."""
    op = node["op"]
    out, g = float_type(x.t), 2 if device == "gpu" else 1
    w = cast(x, work_type(x.t))
    t, u, T = w.t, half_ulp(w.t), tree(n, w.t)
    L = np.ceil(np.log2(max(n, 1)))
    v, e = w.v, np.broadcast_to(w.error(), w.shape)
    if n == 0 and op not in ("logsumexp", "var", "std"):
        return Value(out, v.astype(high(out)))
    if n == 0:
        shape = np.sum(v, axis=axes, keepdims=keep).shape
        return Value(out, np.full(shape, -np.inf if op == "logsumexp" else np.nan).astype(high(out)))
    if not np.all(np.isfinite(v)) and op not in ("softmax", "log_softmax", "logsumexp"):
        raise Refused("a spread of what is no number")
    if np.any(np.isfinite(v) & (np.abs(v) > 1e15)):
        raise Refused("squares that overflow")

    def total(y):
        return np.sum(y, axis=axes, keepdims=True)

    def done(y, error, own):
        if not keep and op in ("var", "std", "logsumexp"):
            y, error, own = (np.squeeze(np.broadcast_to(a, np.shape(y)), axes) for a in (y, error, own))
        own = own + ulp(np.abs(y).astype(np.float64), t)
        if t == "f64":
            own = own + np.abs(y).astype(np.float64) * LONG_ERROR * (n + 64)
        if device == "gpu":
            own = own + 2.0 ** -126
        return settled(out, np.asarray(y), np.where(np.isfinite(y), error, 0), np.where(np.isfinite(y), own, 0), False)

    mean = total(v) / n
    d = v - mean
    mean_e = total(e) / n
    shift = (total(2 * np.abs(d) * (e + mean_e) + (e + mean_e) ** 2)).astype(np.float64)
    squares = total(d * d)
    if op in ("var", "std"):
        degrees = n - node.get("x", 0.0)
        if degrees <= 0:
            raise Refused("no degree of freedom")
        var = squares / degrees
        # the variance of equal elements is below the rounding errors of their sum
        mean_size = (total(np.abs(v)) / n).astype(np.float64)
        floor = 0.0 if exact_rows(w, axes) else (T * mean_size) ** 2 * (n / degrees) * 4
        if op == "var":
            return done(var, shift / degrees, 2 * T * np.abs(var).astype(np.float64) + floor)
        std = np.sqrt(var)
        top = np.sqrt((var + shift / degrees + floor).astype(np.float64))
        low = np.sqrt(np.maximum(var - shift / degrees - floor, 0).astype(np.float64))
        return done(std, np.maximum(top - std, std - low).astype(np.float64), 2 * T * std.astype(np.float64))
    if op == "layer_norm":
        eps = node["x"]
        s = np.sqrt(squares / n + eps).astype(np.float64)
        y = d / np.sqrt(squares / n + eps)
        size = np.abs(y).astype(np.float64)
        own = g * (T * ((total(np.abs(v)) / n).astype(np.float64) / s + 2 * size) + 8 * u * size)
        return done(y, (e + mean_e) / s + size * (shift / n) / (2 * s * s), own)
    if op == "rms_norm":
        eps = node["x"]
        power = total(v * v) / n + eps
        s = np.sqrt(power).astype(np.float64)
        y = v / np.sqrt(power)
        size = np.abs(y).astype(np.float64)
        moved = total(2 * np.abs(v) * e + e * e).astype(np.float64) / n
        return done(y, e / s + size * moved / (2 * s * s), g * (T + 8 * u) * size)
    # softmax, log_softmax, logsumexp
    if np.any(np.isnan(v)) or np.any(np.isinf(v)):
        raise Refused("infinities under a softmax")
    most = np.max(v, axis=axes, keepdims=True)
    powers = np.exp(v - most)
    total_powers = total(powers)
    far = (most - v).astype(np.float64)
    widest = np.max(e, axis=axes, keepdims=True)
    if op == "logsumexp":
        y = np.log(total_powers) + most
        return done(y, widest, g * ((2 * L + 24) * u + 4 * u * np.maximum(np.abs(y), np.abs(most)).astype(np.float64)))
    if op == "log_softmax":
        y = v - most - np.log(total_powers)
        return done(y, e + widest, g * (4 * L + 32 + 2 * far) * u)
    y = powers / total_powers
    size = y.astype(np.float64)
    smallest = 2.0 ** (-149 if t == "f32" else -1074)
    return done(y, size * np.expm1(2 * widest), g * ((8 + far) * u + T) * size + smallest)


def exact_rows(w, axes):
    """Whether the elements are exact and their sums too."""
    return w.e is None and exact_sum(np.abs(w.v), axes, w.t)
