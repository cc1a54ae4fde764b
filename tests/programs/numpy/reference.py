"""The value of each node of a program in NumPy. Products and writes are here, the rest in the other files."""

import numpy as np

import elementwise
import values
from elementwise import cast, promote, settled
from movement import ARRANGE, ORDERED, TALLY, VIEWS, arranged, combine, items_of, take, view, zip_moved
from reductions import FOLDS, ROWS, half_ulp, reduce
from values import HALVES, LARGEST, LONG_ERROR, NATIVE, Refused, Value, is_float

WRITES = ("set", "assign", "update", "set_update", "fill")


# --- products ---


def product_type(t):
    """The type of matrix products: that of the operands."""
    return t


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
                # the error of products below the smallest normal number
                own = own + k * 2.0 ** -149
        return settled(out, v, e, own, False)
    except ValueError as problem:
        raise Refused(str(problem)) from problem


# --- writes ---


def same_kind(a, b):
    if "bf16" in (a, b):
        a, b = ("f32" if x == "bf16" else x for x in (a, b))
    return a == b or np.can_cast(NATIVE[a], NATIVE[b], casting="same_kind")


def write(node, args, device):
    """The array after a write: a copy with a part replaced."""
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


# --- nodes ---


def evaluate(node, args, device):
    """The value of a node. Its operands are values and numbers."""
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
    """Raises if the error bound of a float is too large for a useful test."""
    if x.e is None:
        return
    loose = {"f16": 0.02, "bf16": 0.1, "f32": 1e-4, "f64": 1e-11}[x.t]
    size = np.abs(np.where(np.isfinite(x.v), x.v, 0)).astype(np.float64)
    if np.any(x.e > loose * (1 + size)):
        raise Refused("too little is known of it")


def wrong(x, got):
    """A mask of the stored elements that are wrong, or None."""
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
