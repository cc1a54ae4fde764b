"""Views, joins, gathers, sorts, searches and other movements of elements in NumPy."""

import numpy as np

import elementwise
from elementwise import cast
from reductions import POSITION, axes_of, reduce, sum_type
from values import HALVES, NATIVE, Refused, Value, is_float, is_integer


# --- views ---


def items_of(items):
    return tuple(slice(*i) if isinstance(i, list) else Ellipsis if i == "..." else None if i == "new" else i
                 for i in items)


def view(node):
    """The NumPy function for a node that makes a view."""
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
    """Joins values after casting them to the type t."""
    parts = [cast(x, t) for x in values_]
    v = f([p.v for p in parts])
    e = core = None
    if any(p.e is not None for p in parts):
        e = f([np.broadcast_to(p.error(), p.shape) for p in parts])
        core = f([np.broadcast_to(0.0 if p.core is None else p.core, p.shape) for p in parts])
    return Value(t, v, e, core if t in HALVES else None, all(p.signed for p in parts))


# --- gathers, sums by key ---


def positions(op, indices, n):
    """The positions that indices select along an axis of length n. The end of the operation's name is the mode."""
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
    """Combines values into a copy at positions along an axis, with NumPy's `add.at` and similar functions."""
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


# --- movement, order, counts ---


def exact(x, nan=False):
    """The stored elements. Raises if they have rounding errors."""
    x = x.stored()
    if x.e is not None:
        raise Refused("elements decided by rounding")
    if not nan and is_float(x.t) and np.any(np.isnan(x.v)):
        raise Refused("the order of NaNs")
    return x


def arrange(node):
    """The NumPy function for a node that moves or copies elements."""
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
    """A stable sort or argsort along an axis."""
    op, axis = node["op"], node["n"][0]
    x = exact(x, nan=not op.endswith("_descending"))
    if op.endswith("_descending"):
        # equal elements keep their order
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
    """Searches, sets and counts. For some the number of results depends on the elements."""
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
    """Differences of neighbours, repeated."""
    times, axis = node["n"]
    for _ in range(times):
        ends = [slice(None)] * x.v.ndim
        after, before = list(ends), list(ends)
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        pair = [x.moved(lambda v, at=tuple(at): v[at]) for at in (after, before)]
        x = elementwise.apply("subtract", pair, device)
    return x


def without_nan(node, x, device):
    """A reduction that ignores NaN."""
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
    """The value of a node that moves, sorts or counts elements."""
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
