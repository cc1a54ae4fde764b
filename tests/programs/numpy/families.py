"""Makes random nodes by family: elementwise functions, views, reductions, products, writes and others."""

import math

import reference
import values
from elementwise import ARITY, BITS, COMPARE, FLOAT, LOGICAL, TESTS
from movement import ARRANGE, TALLY, items_of
from nodes import LENGTHS, Nodes
from reductions import FOLDS, ONE_AXIS, ROWS
from values import INTEGERS, Refused, is_float, is_integer, is_signed

UNARY = [n for n in FLOAT if ARITY[n] == 1]
PLAIN = ["add", "subtract", "multiply", "add", "subtract", "multiply", "divide", "minimum", "maximum"]
BINARY = ["floor_divide", "remainder", "fmod", "pow", "fmin", "fmax", "atan2", "hypot", "logaddexp", "copysign"]
STEADY = ["negative", "abs", "square", "sign", "floor", "ceil", "trunc", "round", "relu", "positive"]


class Families(Nodes):
    def elementwise(self):
        r, kind = self.r, self.r.randrange(20)
        if kind < 8:
            return self.binary(r.choice(PLAIN))
        if kind < 10:
            return self.binary(r.choice(BINARY))
        if kind < 13:
            return self.add(r.choice(UNARY), self.pick())
        if kind < 15:
            return self.add(r.choice(STEADY), self.pick())
        if kind < 16:
            return self.binary(r.choice(list(COMPARE)))
        if kind < 17:
            op = r.choice(list(LOGICAL) + list(TESTS))
            return self.add(op, self.pick()) if ARITY[op] == 1 else self.binary(op)
        if kind < 18:
            op = r.choice(list(BITS))
            a = self.pick()
            if is_float(self.held[a].t):
                a = self.add("astype", a, t=r.choice(INTEGERS))
            return self.add(op, a) if ARITY[op] == 1 else self.add(op, a, self.beside(a))
        a = self.pick()
        if kind < 19:
            return self.add("select", self.pick(), *r.sample([a, self.beside(a)], 2))
        return self.add(r.choice(["clip", "clip", "lerp"]), a, self.beside(a), self.beside(a))

    def undo(self):
        """An operation and its inverse, which a compiler must not remove."""
        pairs = [("add", "subtract"), ("subtract", "add"), ("multiply", "divide"), ("divide", "multiply")]
        there, back = self.r.choice(pairs)
        a = self.pick()
        b = self.beside(a)
        e = self.add(there, *self.r.sample([a, b], 2))
        again = self.r.choice([a, b])
        return self.add(back, *([e, again] if not self.chance(3) else [again, e]))

    def cast(self):
        return self.add("astype", self.pick(), t=self.dtype())

    def view(self):
        a, r = self.pick(), self.r
        shape = self.held[a].shape
        nd = len(shape)
        op = r.choice(["slice", "slice", "slice", "t", "permute_dims", "matrix_transpose", "reshape", "expand_dims",
                       "squeeze", "broadcast_to", "broadcast_to", "flip", "diagonal", "sliding_windows"])
        if op == "slice":
            return self.add(op, a, items=self.slice_items(shape))
        if op == "t":
            return self.add(op, a)
        if op == "matrix_transpose" and nd >= 2:
            return self.add(op, a)
        if op == "permute_dims":
            return self.add(op, a, n=r.sample(range(nd), nd))
        if op == "reshape":
            return self.add(op, a, n=self.other_shape(self.held[a].v.size))
        if op == "expand_dims":
            return self.add(op, a, n=[r.randrange(-nd - 1, nd + 1)])
        if op == "squeeze":
            return self.add(op, a, n=[d for d in range(nd) if shape[d] == 1 and not self.chance(3)])
        if op == "broadcast_to":
            to = [r.choice([2, 3, 5, 17]) if n == 1 and not self.chance(3) else n for n in shape]
            return self.add(op, a, n=[r.choice([1, 2, 3]) for _ in range(r.randrange(3))] + to)
        if nd == 0:
            raise Refused("no axis")
        if op == "flip":
            return self.add(op, a, n=[r.randrange(-nd, nd)])
        if op == "diagonal" and nd >= 2:
            return self.add(op, a, n=[r.randrange(-2, 3)])
        axis = r.randrange(nd)
        if op == "sliding_windows" and shape[axis]:
            return self.add(op, a, n=[r.randrange(1, min(shape[axis], 5) + 1), axis])
        raise Refused("no view")

    def other_shape(self, size):
        if size == 0:
            return [0, 3] if self.chance(2) else [0]
        shape, left = [], size
        for p in (2, 3, 5, 7, 2, 2, 11):
            if left % p == 0 and self.chance(2):
                shape.append(p)
                left //= p
        shape.append(-1 if self.chance(2) else left)
        self.r.shuffle(shape)
        return shape[:5] if len(shape) <= 5 else [size]

    def fold(self):
        a = self.pick()
        op = self.r.choice(["sum", "sum", "sum"] + list(FOLDS))
        return self.add(op, a, **self.axes(self.held[a].shape, op in ONE_AXIS))

    def row(self):
        """A row function, often of a cast, often followed by an elementwise function."""
        a, r = self.pick(), self.r
        if self.chance(2):
            a = self.add("astype", a, t=r.choice([t for t in self.types if is_float(t)]))
        op = r.choice(ROWS)
        e = self.add(op, a, **self.axes(self.held[a].shape), **self.parameter(op))
        return self.add(r.choice(PLAIN), e, self.beside(e)) if self.chance(2) else e

    def product(self):
        """A matrix product, often followed by functions that read an operand again."""
        r, a = self.r, self.pick()
        shape = self.held[a].shape
        if not shape or self.chance(8):
            m = r.choice([0, 1, 2, 17, 65])
            a = self.leaf([m, r.choice([0, 1, 5, 65])])
            shape = self.held[a].shape
        k = shape[-1]
        b = None
        for _ in range(4):
            c = self.pick()
            other = self.held[c].shape
            if other and (other[-2] if len(other) > 1 else other[0]) == k:
                b = c
        if b is None:
            n = r.choice([0, 1, 3, 16, 17, 65])
            batch = list(shape[:-2]) if self.chance(3) else [2] if self.chance(6) else []
            t = self.held[a].t if self.chance(2) else None
            if k == 1 and len(shape) > 1 and self.chance(2):
                b = self.add("reshape", self.leaf([n], t), n=[1, n])
            elif self.chance(4):
                b = self.add("broadcast_to", self.leaf([r.choice([1, k]), 1], t), n=[k, n])
            else:
                b = self.leaf(batch + [k, n] if not self.chance(6) else [k], t)
        p = self.add("matmul", a, b)
        for _ in range(r.randrange(3)):
            again = r.choice([a, b])
            if self.chance(3) and len(self.held[again].shape) > 1:
                again = self.add("slice", again, items=["..", [0, 1, 1]])
            try:
                p = self.add(r.choice(PLAIN), *r.sample([p, again], 2))
            except Refused:
                p = self.add(r.choice(PLAIN), p, self.beside(p))
        return p

    def join(self):
        op, a = self.r.choice(["concat", "concat", "stack"]), self.pick()
        shape = self.held[a].shape
        if not shape and op == "concat":
            raise Refused("no axis")
        axis = self.r.randrange(len(shape) + (op == "stack"))
        parts = [a]
        for _ in range(self.r.randrange(1, 4)):
            b = self.pick()
            if self.held[b].shape != shape:
                other = list(shape)
                if op == "concat":
                    other[axis] = self.r.choice([0, 1, 2, 5])
                b = self.leaf(other, self.held[a].t)
            parts.append(b)
        self.r.shuffle(parts)
        return self.add(op, *parts, n=[axis])

    def take(self):
        a = self.pick()
        shape = self.held[a].shape
        if not shape:
            raise Refused("no axis")
        axis = self.r.randrange(len(shape))
        n = shape[axis]
        t = self.r.choice([t for t in self.types if is_integer(t)])
        i = self.leaf([self.r.choice(LENGTHS)] if self.chance(2) else self.shape()[:2], t)
        op = self.r.choice(["take", "take_clip", "take_wrap"])
        if op == "take" and n:
            # makes the indices valid: 0 … n − 1, or −n … −1
            if n > 100:
                raise Refused("too long an axis for narrow indices")
            i = self.add("remainder", i, {"i": n})
            if is_signed(t) and self.chance(2):
                i = self.add("subtract", i, {"i": n})
        return self.add(op, a, i, n=[axis - len(shape) if self.chance(2) else axis])

    def combine(self):
        a = self.pick()
        shape, t = self.held[a].shape, self.held[a].t
        if not shape or not is_integer(t):
            raise Refused("no axis of integers")
        axis = self.r.randrange(len(shape))
        n = shape[axis]
        u = self.r.choice([u for u in self.types if is_integer(u)])
        i = self.leaf([self.r.choice(LENGTHS)], u)
        op = self.r.choice(["index_add", "index_min", "index_max"]) + self.r.choice(["", "_clip", "_wrap"])
        if not op.endswith(("_clip", "_wrap")) and n:
            # makes the indices valid: 0 … n − 1, or −n … −1
            if n > 100:
                raise Refused("too long an axis for narrow indices")
            i = self.add("remainder", i, {"i": n})
            if is_signed(u) and self.chance(2):
                i = self.add("subtract", i, {"i": n})
        wanted = list(shape)
        wanted[axis] = self.held[i].shape[0]
        v = self.leaf([1 if self.chance(4) else k for k in wanted][self.r.choice([0, 0, 0, 1]):], t)
        return self.add(op, a, i, v, n=[axis - len(shape) if self.chance(2) else axis])

    def arrange(self):
        """Moves elements. May copy or omit some."""
        r, a = self.r, self.pick()
        shape = self.held[a].shape
        nd = len(shape)
        if nd == 0 or nd > 4:
            raise Refused("no axis, or too many")
        op, axis = r.choice(ARRANGE + ("diff", "take_along_axis", "take_along_axis")), r.randrange(-nd, nd)
        if op in ("tril", "triu", "rot90") and nd < 2:
            raise Refused("no matrix")
        if op == "take_along_axis":
            return self.take_along(a, axis % nd)
        if op.startswith("pad"):
            widths = [[r.randrange(4), r.randrange(4)] for _ in shape]
            if op != "pad_constant" and 0 in shape:
                raise Refused("nothing to repeat")
            return self.add(op, a, n=widths)
        if op == "diff" and self.held[a].t == "bool":
            raise Refused("a difference of truths")
        return self.add(op, a, n={
            "roll": lambda: [r.randrange(-70, 70), axis],
            "repeat": lambda: [r.randrange(4), axis],
            "tile": lambda: [r.randrange(3) for _ in range(r.randrange(1, nd + 2))],
            "tril": lambda: [r.randrange(-4, 5)],
            "triu": lambda: [r.randrange(-4, 5)],
            "swapaxes": lambda: [axis, r.randrange(-nd, nd)],
            "moveaxis": lambda: [axis, r.randrange(-nd, nd)],
            "rot90": lambda: [r.randrange(-3, 5)] + r.sample(range(nd), 2),
            "diff": lambda: [r.randrange(3), axis],
        }[op]())

    def take_along(self, a, axis):
        shape = list(self.held[a].shape)
        n = shape[axis]
        t = self.r.choice([t for t in self.types if is_integer(t)])
        wanted = [1 if k != axis and self.chance(5) else m for k, m in enumerate(shape)]
        wanted[axis] = self.r.choice([0, 1, 2, 5, 17])
        op = "take_along_axis" + self.r.choice(["", "_clip", "_wrap"])
        i = self.leaf(wanted, t)
        if op == "take_along_axis" and n:
            if n > 100:
                raise Refused("too long an axis for narrow indices")
            i = self.add("remainder", i, {"i": n})
        return self.add(op, a, i, n=[axis])

    def order(self):
        """A sort, an argsort, a scan, or a reduction that ignores NaN."""
        r, a = self.r, self.pick()
        shape = self.held[a].shape
        if not shape:
            raise Refused("no axis")
        if r.randrange(4) == 0:
            op = r.choice(["nansum", "nanmin", "nanmax"])
            return self.add(op, a, **self.axes(shape))
        op = r.choice(["sort", "sort", "argsort", "sort_descending", "argsort_descending", "cumulative_prod"])
        return self.add(op, a, n=[r.randrange(-len(shape), len(shape))])

    def tally(self):
        """A search, a set function, or a count."""
        r, a = self.r, self.pick()
        op = r.choice(TALLY)
        x = self.held[a]
        if op == "compress":
            mask = self.add(r.choice(list(COMPARE)), a, self.number(x.t))
            return self.add(op, a, mask)
        if op in ("flatnonzero", "unique_values"):
            return self.add(op, a)
        if op == "bincount":
            if not is_integer(x.t):
                raise Refused("no integers")
            k = r.choice([1, 2, 7, 16, 100])
            return self.add(op, self.add("remainder", a, {"i": k}), n=[k])
        if op == "isin":
            return self.add(op, a, self.leaf([r.choice(LENGTHS)], x.t, "small"))
        if x.t == "bool" or values.bits_of(x.t) == 64 and op == "histogram_with_edges":
            raise Refused("nothing that bins have ends in")
        sorted_ = self.add("sort", self.leaf([r.choice([1, 2, 3, 8, 17, 64])], x.t, "small"), n=[0])
        return self.add(op, *([a, sorted_] if op == "histogram_with_edges" else [sorted_, a]))

    def write(self):
        a, r = self.pick(), self.r
        x = self.held[a]
        if self.chance(3) and not self.nodes[a].get("eval"):
            a = self.add("astype", a, t=x.t)
        if x.v.ndim and self.chance(3):
            return self.overlap(a)
        op = r.choice(["set", "set", "set", "set_update", "set_update", "assign", "update", "fill"])
        more = {}
        shape = x.shape
        if op.startswith("set"):
            more["items"] = self.slice_items(shape)
            try:
                shape = x.v[items_of(more["items"])].shape
            except IndexError as problem:
                raise Refused(str(problem)) from problem
        if "update" in op:
            more["with"] = r.choice(["add", "subtract", "multiply", "minimum", "bitwise_xor"])
        if op == "fill":
            value = self.number(x.t)
        elif op in ("set", "set_update") and self.chance(2) or op == "update" and self.chance(4):
            value = self.number(x.t)
        else:
            value = self.fitting(shape, x.t)
        w = self.add(op, a, value, **more)
        # also reads the array before the write, which must keep its elements
        return self.add(r.choice(PLAIN), w, a) if self.chance(4) else w

    def overlap(self, a):
        """A write whose value is a view of the same array."""
        r, x = self.r, self.held[a]
        axis = r.randrange(x.v.ndim)
        n = x.shape[axis]
        kind = r.randrange(3)
        if kind == 0:
            value, op, more = self.add("flip", a, n=[axis]), "assign", {}
        elif kind == 1 and x.v.ndim > 1 and x.shape[-1] == x.shape[-2]:
            value, op, more = self.add("matrix_transpose", a), "assign", {}
        else:
            by = r.randrange(1, 4)
            whole = [[None, None, 1] for _ in range(axis)]
            ends = [whole + [[by, None, 1]], whole + [[None, max(n - by, 0), 1]]]
            r.shuffle(ends)
            if self.chance(4):
                ends[0][-1] = [None, None, -1]
                ends[1] = whole
            value, op, more = self.add("slice", a, items=ends[1]), "set", {"items": ends[0]}
        if self.chance(2):
            value = self.add(r.choice(PLAIN[:6]), value, self.number(x.t))
        return self.add(op, a, value, **more)

    def twin(self):
        """A copy of a node with one change. The two must not be merged."""
        r, node = self.r, dict(self.r.choice(self.nodes[-6:]))
        op, given = node.pop("op"), node.pop("in", [])
        node = {key: node[key] for key in node if key not in ("eval", "drop")}
        x = self.held[given[0]] if given and not isinstance(given[0], dict) else None
        if op.startswith("take_along"):
            op = r.choice(["take_along_axis_clip", "take_along_axis_wrap"])
        elif op.startswith("take"):
            op = r.choice(["take_clip", "take_wrap"])
        elif op.startswith(("sort", "argsort")):
            op = r.choice(["sort", "argsort", "sort_descending", "argsort_descending"])
        elif op in ("roll", "tril", "triu"):
            node["n"] = [r.randrange(-3, 4)] + node["n"][1:]
        elif op.startswith("index_"):
            op = r.choice(["index_add", "index_min", "index_max"]) + r.choice(["_clip", "_wrap"])
        elif op == "astype":
            node["t"] = self.dtype()
        elif op in FOLDS:
            op = r.choice([op, r.choice(FOLDS)])
            node.update(self.axes(x.shape, op in ONE_AXIS))
        elif op in ROWS:
            node.update(self.axes(x.shape))
        elif op == "slice":
            node["items"] = self.slice_items(x.shape)
        elif op == "leaf":
            node["seed"] += 1
        elif "n" in node and op in ("flip", "diagonal", "expand_dims", "concat", "stack"):
            node["n"] = [r.randrange(-2, 3)]
        elif len(given) == 2 and op not in ("matmul",) + reference.WRITES + TALLY:
            op, given = r.choice([op, r.choice(PLAIN)]), given[::-1]
        else:
            raise Refused("no twin")
        return self.add(op, *given, **node)

    def fitting(self, shape, t):
        """A value to write into a target: an existing node or a new one."""
        if len(shape) > 1 and self.chance(4):
            # a reshape that strides cannot express
            b = self.leaf([shape[0], math.prod(shape[1:])], t)
            return self.add("reshape", self.add("t", b), n=list(shape))
        for _ in range(4):
            b = self.pick()
            if self.held[b].shape == shape and reference.same_kind(self.held[b].t, t):
                return b
        return self.leaf([n if not self.chance(5) else 1 for n in shape], t)

    FAMILIES = ([elementwise] * 22 + [cast] * 4 + [view] * 9 + [fold] * 4 + [row] * 2 + [product] * 2 + [join] * 2
                + [take] * 2 + [combine] * 2 + [write] * 4 + [twin] * 3 + [undo] * 2 + [arrange] * 4 + [order] * 2
                + [tally] * 2)
