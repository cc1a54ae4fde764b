"""What each node of a program means, in NumPy: views, joins, reductions, rows, products, writes."""

import numpy as np

import elementwise
import values
from elementwise import cast, promote, settled
from values import HALVES, LARGEST, LONG_ERROR, NATIVE, Refused, Value, high, is_float, is_integer, is_unsigned, ulp

def sum_type(t):
    """The type of sums and products: integers and bool have 64 bits."""
    return t if is_float(t) else "u64" if is_unsigned(t) else "i64"


def product_type(t):
    """The type of products of matrices: their own."""
    return t


POSITION = "i64"


def float_type(t):
    return t if is_float(t) else "f32"


def work_type(t):
    """What means and spreads work in."""
    return "f32" if t in HALVES or not is_float(t) else t


def half_ulp(t):
    return 2.0 ** -values.PRECISION["f32" if t in HALVES else t][0]


def tree(n, t):
    return (np.ceil(np.log2(max(n, 1))) + 16) * half_ulp(t)


# --- views ---


def items_of(items):
    return tuple(slice(*i) if isinstance(i, list) else Ellipsis if i == "..." else None if i == "new" else i
                 for i in items)


def view(node):
    """The function that moves elements, for a node."""
    op, n = node["op"], node.get("n", [])
    if op == "slice":
        return lambda v: v[items_of(node["items"])]
    if op == "t":
        return lambda v: v.T
    if op == "permute_dims":
        return lambda v: np.transpose(v, n)
    if op == "matrix_transpose":
        return lambda v: np.swapaxes(v, -1, -2)
    if op == "reshape":
        return lambda v: np.reshape(v, n)
    if op == "expand_dims":
        return lambda v: np.expand_dims(v, n[0])
    if op == "squeeze":
        return lambda v: np.squeeze(v, tuple(n))
    if op == "broadcast_to":
        return lambda v: np.broadcast_to(v, n)
    if op == "flip":
        return lambda v: np.flip(v, n[0])
    if op == "diagonal":
        return lambda v: np.diagonal(v, n[0], -2, -1)  # diagonal
    if op == "sliding_windows":
        return lambda v: np.lib.stride_tricks.sliding_window_view(v, n[0], n[1])
    return None


VIEWS = {"slice", "t", "permute_dims", "matrix_transpose", "reshape", "expand_dims", "squeeze", "broadcast_to", "flip",
         "diagonal", "sliding_windows"}


def zip_moved(values_, t, f):
    """Elements of several values of one type, put together."""
    parts = [cast(x, t) for x in values_]
    v = f([p.v for p in parts])
    e = core = None
    if any(p.e is not None for p in parts):
        e = f([np.broadcast_to(p.error(), p.shape) for p in parts])
        core = f([np.broadcast_to(0.0 if p.core is None else p.core, p.shape) for p in parts])
    return Value(t, v, e, core if t in HALVES else None, all(p.signed for p in parts))


# --- reductions ---


def axes_of(node, x):
    axes = node.get("axes")
    return tuple(range(x.v.ndim)) if axes is None else tuple(a % x.v.ndim for a in axes)


def exact_sum(magnitudes, axes, t):
    """Whether sums of these numbers are exact in any order: all of them are multiples of one small power of two."""
    scale = 1024.0
    scaled = magnitudes.astype(np.float64) * scale
    if not np.all(np.isfinite(scaled)) or np.any(scaled != np.rint(scaled)):
        return False
    most = np.sum(scaled, axis=axes)
    return bool(np.all(most < 2.0 ** values.PRECISION["f32" if t in HALVES else t][0]))


def add_up(x, axes, keep, device):
    """Sum of floats, with its bound."""
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
    """The largest or smallest of the elements up to each; without an axis in C order, in the operand's shape."""
    best, shape = np.maximum if op == "cummax" else np.minimum, x.shape

    def along(function, v):
        return function.accumulate(v.reshape(-1)).reshape(shape) if axis is None else function.accumulate(v, axis=axis)

    if x.v.size == 0:
        return x
    if x.t == "bool":
        return Value("bool", along(np.logical_or if op == "cummax" else np.logical_and, x.v))
    v = along(best, x.v)
    # an error bound of any element so far bounds that of the best one
    e = None if x.e is None else np.where(np.isfinite(v), along(np.maximum, np.broadcast_to(x.e, shape)), 0)
    core = None if x.core is None else np.where(np.isfinite(v), along(np.maximum, np.broadcast_to(x.core, shape)), 0)
    return Value(x.t, v, e, core, False)


def cumulative_sum(x, axis):
    """Sums of the elements up to each; without an axis in C order, in the operand's shape."""
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
    """Spreads, softmax and norms, with the contract's bounds."""
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
        # what is left of equal elements is less than the roundings of their sum
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
    """Whether all elements of each row are equal and exact, or so round that sums are exact."""
    return w.e is None and exact_sum(np.abs(w.v), axes, w.t)


# --- products, joins, gathers ---


def matmul(a, b, device):
    t = promote(a.t, b.t)
    if t == "bool":
        raise Refused("a product of truths")
    out = product_type(t)
    if a.v.ndim == 0 or b.v.ndim == 0:
        raise Refused("a product of a 0-d value")
    a, b = cast(a, out), cast(b, out)
    try:
        if not is_float(out):
            return Value(out, np.asarray(np.matmul(a.v, b.v)))
        k = a.shape[-1]
        v = np.asarray(np.matmul(a.v, b.v))
        if not np.all(np.isfinite(a.v)) or not np.all(np.isfinite(b.v)):
            raise Refused("infinities in a product")
        x, y = np.abs(a.v).astype(np.float64), np.abs(b.v).astype(np.float64)
        size = np.matmul(x, y)
        ea, eb = np.broadcast_to(a.error(), a.shape), np.broadcast_to(b.error(), b.shape)
        if np.any(size > LARGEST["f32" if out in HALVES else out] / 4):
            raise Refused("partial sums that may overflow")
        e = np.zeros(np.shape(v))
        if a.e is not None:
            e = e + np.matmul(ea, y + eb)
        if b.e is not None:
            e = e + np.matmul(x, eb)
        scaled = [p * 32.0 for p in (x, y)]
        digits = values.PRECISION["f32" if out in HALVES else out][0]
        exact = a.e is None and b.e is None and all(np.all(p == np.rint(p)) for p in scaled)
        if exact and np.all(size * 1024.0 < 2.0 ** digits):
            own = 0.0
        else:
            own = (k / 2 + 16) * half_ulp(out) * (size + e) + (LONG_ERROR * k * size if out == "f64" else 0)
            if out != "f64":
                # what products below the smallest normal number lose
                own = own + k * 2.0 ** -149
        return settled(out, v, e, own, False)
    except ValueError as problem:
        raise Refused(str(problem)) from problem


def positions(op, indices, n):
    """The positions that indices mean along an axis of length n, by the operation's last word."""
    i = indices.v
    if not is_integer(indices.t) or n == 0:
        raise Refused("no index")
    exact = i.astype(object) if indices.t == "u64" else i.astype(np.int64)
    if not op.endswith(("_clip", "_wrap")):
        if np.any(exact < -n) or np.any(exact >= n):
            raise Refused("an index out of range")
        return exact.astype(np.int64)
    if op.endswith("_wrap"):
        return np.asarray(exact % n).astype(np.int64)
    return np.asarray(np.clip(exact, 0, n - 1)).astype(np.int64)


def take(node, x, indices):
    axis = node["n"][0]
    i = positions(node["op"], indices, x.shape[axis])
    return x.moved(lambda v: np.take(v, i, axis=axis))


COMBINES = {"index_add": np.add, "index_min": np.minimum, "index_max": np.maximum}


def combine(node, x, indices, values):
    """Values combined into a copy at positions along an axis: NumPy's `add.at`."""
    axis, name = node["n"][0], node["op"].removesuffix("_clip").removesuffix("_wrap")
    if not is_integer(x.t) or indices.v.ndim != 1:
        raise Refused("only integers are combined, at positions of one axis")
    i = positions(node["op"], indices, x.shape[axis])
    wanted = list(x.shape)
    wanted[axis] = len(i)
    try:
        v = np.broadcast_to(cast(values, x.t).v, wanted)
    except ValueError as problem:
        raise Refused(str(problem)) from problem
    out = x.v.copy()
    COMBINES[name].at(np.moveaxis(out, axis, 0), i, np.moveaxis(v, axis, 0))
    return Value(x.t, out)


# --- writes ---


def same_kind(a, b):
    if "bf16" in (a, b):
        a, b = ("f32" if x == "bf16" else x for x in (a, b))
    return a == b or np.can_cast(NATIVE[a], NATIVE[b], casting="same_kind")


def write(node, args, device):
    """A new state of an array: the old one with a part replaced."""
    x = args[0].stored()
    items = items_of(node["items"]) if "items" in node else Ellipsis
    part = x.moved(lambda v: v[items])
    value = args[1]
    if "with" in node:
        value = elementwise.apply(node["with"], [part, value], device)
    if isinstance(value, Value):
        if not same_kind(value.t, x.t):
            raise Refused(f"{value.t} into {x.t}")
        if value.shape and len(value.shape) > len(part.shape):
            raise Refused("more axes than the target")
        value = cast(value, x.t).stored()
    else:
        if elementwise.weak(value, x.t) != x.t:
            raise Refused(f"{value} into {x.t}")
        value = elementwise.number(value, x.t)
    try:
        value = value.moved(lambda v: np.broadcast_to(v, part.shape))
    except ValueError as problem:
        raise Refused(str(problem)) from problem
    v = x.v.copy()
    v[items] = value.v
    e = None
    if x.e is not None or value.e is not None:
        e = np.broadcast_to(x.error(), x.shape).copy()
        e[items] = value.error()
    return Value(x.t, v, e, None, x.signed and value.signed)


# --- movement, order, counts ---


def exact(x, nan=False):
    """The elements as they are stored, where rounding errors decide nothing."""
    x = x.stored()
    if x.e is not None:
        raise Refused("elements decided by rounding")
    if not nan and is_float(x.t) and np.any(np.isnan(x.v)):
        raise Refused("the order of NaNs")
    return x


def arrange(node):
    """The function that moves or copies elements, for a node."""
    op, n = node["op"], node["n"]
    return {
        "roll": lambda v: np.roll(v, n[0], n[1]),
        "repeat": lambda v: np.repeat(v, n[0], n[1]),
        "tile": lambda v: np.tile(v, n),
        "pad_constant": lambda v: np.pad(v, n),
        "pad_edge": lambda v: np.pad(v, n, "edge"),
        "pad_reflect": lambda v: np.pad(v, n, "reflect"),
        "pad_symmetric": lambda v: np.pad(v, n, "symmetric"),
        "pad_wrap": lambda v: np.pad(v, n, "wrap"),
        "tril": lambda v: np.tril(v, n[0]),
        "triu": lambda v: np.triu(v, n[0]),
        "swapaxes": lambda v: np.swapaxes(v, *n),
        "moveaxis": lambda v: np.moveaxis(v, *n),
        "rot90": lambda v: np.rot90(v, n[0], n[1:]),
    }[op]


ARRANGE = ("roll", "repeat", "tile", "pad_constant", "pad_edge", "pad_reflect", "pad_symmetric", "pad_wrap", "tril",
           "triu", "swapaxes", "moveaxis", "rot90")


def order(node, x):
    """A stable sort along an axis, or its positions."""
    op, axis = node["op"], node["n"][0]
    x = exact(x, nan=not op.endswith("_descending"))
    if op.endswith("_descending"):
        # of equal elements the first stays first
        i = np.argsort(np.flip(x.v, axis), axis=axis, kind="stable")
        i = np.flip(x.shape[axis] - 1 - i, axis)
    else:
        i = np.argsort(x.v, axis=axis, kind="stable")
    if op.startswith("arg"):
        return Value(POSITION, i.astype(NATIVE[POSITION]))
    return Value(x.t, np.take_along_axis(x.v, i, axis), signed=False)


def take_along(node, x, indices):
    axis = node["n"][0]
    i = positions(node["op"], indices, x.shape[axis])
    return x.moved(lambda v: np.take_along_axis(v, i, axis))


def tally(node, args):
    """Searches, sets and counts: integers, or elements whose number depends on the elements."""
    op, x = node["op"], args[0]
    if op == "compress":
        mask = args[1]
        if mask.t != "bool" or mask.shape != x.shape:
            raise Refused("no mask")
        return x.stored().moved(lambda v: v[mask.v])
    if op == "flatnonzero":
        return Value(POSITION, np.flatnonzero(cast(x, "bool").v).astype(NATIVE[POSITION]))
    if op == "unique_values":
        return Value(x.t, np.unique(exact(x).v), signed=False)
    if op == "bincount":
        if not is_integer(x.t) or np.any(x.v < 0) or np.any(x.v >= node["n"][0]):
            raise Refused("a value that has no count")
        return Value("i64", np.bincount(x.v.ravel().astype(np.int64), minlength=node["n"][0]))
    y = exact(args[1])
    x = exact(x)
    if op == "isin":
        return Value("bool", np.isin(x.v, y.v))
    ends = x if op.startswith("searchsorted") else y
    if ends.v.ndim != 1 or np.any(ends.v[1:] < ends.v[:-1]):
        raise Refused("what is not sorted")
    if op.startswith("searchsorted"):
        side = op.removeprefix("searchsorted_")
        return Value(POSITION, np.asarray(np.searchsorted(x.v, y.v, side)).astype(NATIVE[POSITION]))
    return Value("i64", np.histogram(x.v.astype(np.float64), y.v.astype(np.float64))[0].astype(np.int64))


TALLY = ("compress", "flatnonzero", "unique_values", "bincount", "isin", "searchsorted_left", "searchsorted_right",
         "histogram_with_edges")


def diff(node, x, device):
    """Differences of neighbours, taken several times."""
    times, axis = node["n"]
    for _ in range(times):
        ends = [slice(None)] * x.v.ndim
        after, before = list(ends), list(ends)
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        pair = [x.moved(lambda v, at=tuple(at): v[at]) for at in (after, before)]
        x = elementwise.apply("subtract", pair, device)
    return x


def without_nan(node, x, device):
    """A reduction of the elements that are no NaN."""
    op = node["op"].removeprefix("nan")
    if is_float(x.t):
        instead = {"sum": 0.0, "min": np.inf, "max": -np.inf}[op]
        missing = np.isnan(x.v)
        if op != "sum" and np.any(np.all(missing, axis=axes_of(node, x))):
            raise Refused("nothing but NaN")
        if np.any(missing):
            x = x.stored()
            e = None if x.e is None else np.where(missing, 0.0, x.e)
            x = Value(x.t, np.where(missing, instead, x.v), e, None, x.signed)
    return reduce({**node, "op": op}, x, device)


def cumulative_prod(node, x):
    if is_float(x.t):
        raise Refused("products of floats")
    t = sum_type(x.t)
    with np.errstate(over="ignore"):
        return Value(t, np.cumprod(cast(x, t).v.astype(NATIVE[t]), axis=node["n"][0]))


ORDERED = ("take_along", "sort", "argsort", "diff", "cumulative_prod", "nan")


def arranged(node, args, device):
    """The value of a node that moves, orders or counts elements."""
    op, x = node["op"], args[0]
    if op in ARRANGE:
        return x.moved(arrange(node))
    if op in TALLY:
        return tally(node, args)
    if op.startswith("take_along"):
        return take_along(node, x, args[1])
    if op == "diff":
        return diff(node, x, device)
    if op == "cumulative_prod":
        return cumulative_prod(node, x)
    return without_nan(node, x, device) if op.startswith("nan") else order(node, x)


ROWS = ("var", "std", "layer_norm", "rms_norm", "softmax", "log_softmax", "logsumexp")
FOLDS = ("sum", "prod", "mean", "min", "max", "any", "all", "count_nonzero", "argmin", "argmax",
         "cumulative_sum", "cummax", "cummin")
# folds that take one axis, or all
ONE_AXIS = ("argmin", "argmax", "cumulative_sum", "cummax", "cummin")
WRITES = ("set", "assign", "update", "set_update", "fill")


def evaluate(node, args, device):
    """The value of a node; its operands are values and numbers."""
    op = node["op"]
    if op == "leaf":
        out = values.leaf(node["kind"], node["seed"], node["t"], node["shape"])
    elif op in elementwise.EVERY or op == "select":
        try:
            out = elementwise.apply(op, args, device)
        except ValueError as problem:
            raise Refused(str(problem)) from problem
    elif op == "astype":
        out = cast(args[0], node["t"])
    elif op in VIEWS:
        try:
            out = args[0].moved(view(node))
        except (ValueError, IndexError) as problem:
            raise Refused(str(problem)) from problem
    elif op in FOLDS or op in ROWS:
        out = reduce(node, args[0], device)
    elif op == "matmul":
        out = matmul(args[0], args[1], device)
    elif op in ("concat", "stack"):
        t = args[0].t
        for a in args[1:]:
            t = promote(t, a.t)
        join = np.concatenate if op == "concat" else np.stack
        try:
            out = zip_moved(args, t, lambda parts: join(parts, axis=node["n"][0]))
        except ValueError as problem:
            raise Refused(str(problem)) from problem
    elif op.startswith(ORDERED) or op in ARRANGE or op in TALLY:
        try:
            out = arranged(node, args, device)
        except (ValueError, IndexError) as problem:
            raise Refused(str(problem)) from problem
    elif op.startswith("take"):
        out = take(node, args[0], args[1])
    elif op.startswith("index_"):
        out = combine(node, *args)
    elif op in WRITES:
        out = write(node, args, device)
    else:
        raise ValueError(f"no operation {op}")
    if node.get("eval"):
        out = out.stored()
    check(out)
    return out


def check(x):
    """A float that may be nearly anything tests nothing."""
    if x.e is None:
        return
    loose = {"f16": 0.02, "bf16": 0.1, "f32": 1e-4, "f64": 1e-11}[x.t]
    size = np.abs(np.where(np.isfinite(x.v), x.v, 0)).astype(np.float64)
    if np.any(x.e > loose * (1 + size)):
        raise Refused("too little is known of it")


def wrong(x, got):
    """Where stored elements are not those of a value: a mask, or None."""
    x = x.stored()
    if not is_float(x.t):
        bad = got != x.v
        return bad if np.any(bad) else None
    near = np.abs(got - x.v) <= x.error() * (1 + 1e-9)
    same = (got == x.v) | (np.isnan(got) & np.isnan(x.v))
    if x.signed:
        zero = (got == 0) & (x.v == 0)
        exact = np.broadcast_to(x.error(), x.shape) == 0
        same &= ~(zero & exact & (np.signbit(got) != np.signbit(x.v)))
    bad = ~(near & np.isfinite(got) & np.isfinite(x.v) & (np.broadcast_to(x.error(), x.shape) > 0) | same)
    return bad if np.any(bad) else None
