"""Makes single nodes of random programs: leaves, numbers, and the arguments of other nodes."""

import math
import random

import numpy as np

import elementwise
import values
from reference import evaluate
from values import Refused, is_float, is_integer, is_signed

LENGTHS = [0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 33, 64, 65]


def numbers_of(given):
    """The value of a number in a program: `{"f": "2.5"}`, `{"i": 3}` or `{"b": true}`."""
    if "f" in given:
        return float(given["f"])
    return given["i"] if "i" in given else given["b"]


def operands(node, held):
    return [numbers_of(g) if isinstance(g, dict) else held[g] for g in node.get("in", [])]


def size_of(node, args):
    """The number of elements of a node's result, or of its multiplications, before it is computed."""
    shapes = [a.shape for a in args if not isinstance(a, (bool, int, float))]
    op = node["op"]
    if op == "leaf":
        return math.prod(node["shape"])
    if op.startswith("take_along"):
        return math.prod(shapes[1])
    if op.startswith("take"):
        axis = node["n"][0]
        return math.prod(shapes[1]) * math.prod(n for k, n in enumerate(shapes[0]) if k != axis % len(shapes[0]))
    if op == "matmul":
        a, b = shapes
        return math.prod(a) * math.prod(b[:-2]) * (b[-1] if len(b) > 1 else 1)
    if op == "broadcast_to":
        return math.prod(node["n"])
    if op == "sliding_windows":
        return math.prod(shapes[0]) * node["n"][0]
    if op in elementwise.EVERY or op == "select":
        try:
            return math.prod(np.broadcast_shapes(*shapes))
        except ValueError as problem:
            raise Refused(str(problem)) from problem
    return 0


def values_of(program, device):
    """The values of all nodes."""
    held = []
    for node in program["nodes"]:
        held.append(evaluate(node, operands(node, held), device))
    return held


class Nodes:
    def __init__(self, seed, device, types):
        self.r = random.Random(seed)
        self.device, self.types = device, types
        self.nodes, self.held = [], []
        self.limit = 3000
        if device == "gpu":
            # types of 64 bits are half as likely as others, because they are slow
            self.types = [t for t in types for _ in range(1 if values.bits_of(t) == 64 else 2)]

    def chance(self, one_in):
        return self.r.randrange(one_in) == 0

    def add(self, op, *given, **more):
        """Adds a node and returns its number. Raises if the node is not valid."""
        node = {"op": op}
        if given:
            node["in"] = list(given)
        node.update(more)
        if op != "leaf" and self.chance(7):
            node["eval"] = True
        args = operands(node, self.held)
        if size_of(node, args) > self.limit * (100 if op == "matmul" else 1):
            raise Refused("too large")
        value = evaluate(node, args, self.device)
        if value.v.size > self.limit or value.v.ndim > 6:
            raise Refused("too large")
        if self.device == "gpu" and is_float(value.t) and value.t != "f16":
            small = 2.0 ** (-1000 if value.t == "f64" else -120)
            if ((value.v != 0) & (abs(value.v) < small)).any():
                raise Refused("subnormals on a GPU")
        self.nodes.append(node)
        self.held.append(value)
        return len(self.nodes) - 1

    def dtype(self):
        return self.r.choice(self.types)

    def leaf(self, shape, t=None, kind=None):
        if kind is None:
            kind = self.r.choice(["small"] * 6 + ["wide"] * 3 + ["special"] + ["raw"] * (self.device == "cpu"))
        return self.add("leaf", t=t or self.dtype(), shape=list(shape), seed=self.r.randrange(1 << 40), kind=kind)

    def shape(self):
        shape, size = [], 1
        for _ in range(self.r.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])):
            n = self.r.choice(LENGTHS)
            n = n if size * max(n, 1) <= 2000 else 1
            shape.append(n)
            size *= max(n, 1)
        return shape

    def pick(self):
        """The number of a random node, more often a recent one."""
        n = len(self.nodes)
        return self.r.randrange(n) if self.chance(3) else n - 1 - self.r.randrange(min(n, 4))

    def number(self, t):
        """A number as an operand with an array of type t."""
        if t == "bool":
            return {"b": bool(self.r.randrange(2))} if self.chance(2) else {"i": self.r.randrange(4)}
        if is_integer(t) and not self.chance(4):
            return {"i": self.r.randrange(-5 if is_signed(t) else 0, 10)}
        return {"f": repr(self.r.choice([0.5, 2.0, -1.5, 0.1, 3.0, 1.0, 0.0, 1e-3, 7.25]))}

    def beside(self, a):
        """The second operand of a binary function of a: a node whose shape fits, a new node, or a number."""
        shape, t = self.held[a].shape, self.held[a].t
        if self.chance(4):
            return self.number(t)
        for _ in range(6):
            b = self.pick()
            other = self.held[b].shape
            n = min(len(shape), len(other))
            if all(x == y or 1 in (x, y) for x, y in zip(shape[len(shape) - n:], other[len(other) - n:])):
                return b
        part = [n if not self.chance(4) else 1 for n in shape]
        return self.leaf(part[self.r.randrange(len(part) + 1) if self.chance(3) else 0:], t if self.chance(2) else None)

    def binary(self, op):
        a = self.pick()
        pair = [a, self.beside(a)]
        if self.chance(3):
            pair.reverse()
        return self.add(op, *pair)

    def slice_items(self, shape):
        items, r = [], self.r
        for n in shape:
            kind = r.randrange(8)
            if kind < 2:
                items.append([None, None, 1])
            elif kind < 3 and n:
                items.append(r.randrange(-n, n))
            else:
                ends = [None if self.chance(3) else r.randrange(-n - 2, n + 3) for _ in range(2)]
                items.append(ends + [r.choice([1, 1, 2, 3, -1, -1, -2, -3])])
        if self.chance(6):
            items.insert(r.randrange(len(items) + 1), "new")
        if self.chance(6):
            whole = [k for k in range(len(items)) if items[k] == [None, None, 1]]
            if whole:
                items[whole[0]] = ".."
        return items

    def axes(self, shape, one=False):
        nd = len(shape)
        if nd == 0 or self.chance(5):
            return {"axes": None, "keep": self.chance(2)}
        count = 1 if one or self.chance(2) else self.r.randrange(1, nd + 1)
        some = [d - nd if self.chance(2) else d for d in self.r.sample(range(nd), count)]
        return {"axes": some, "keep": self.chance(2)}

    def parameter(self, op):
        """The parameter of a row function: an epsilon or a correction."""
        if op in ("layer_norm", "rms_norm"):
            return {"x": self.r.choice([1e-5, 0.125])}
        return {"x": self.r.choice([0.0, 1.0])} if op in ("var", "std") else {}
