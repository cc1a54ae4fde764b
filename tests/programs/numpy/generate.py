"""Makes random programs from seeds. Each node is valid, and the choice of nodes favours those that fuse into kernels."""

import values
from families import PLAIN, Families
from reductions import ROWS
from values import Refused, is_float

# numbers and lengths of rows near the sizes of tiles, blocks and workgroups
ROW_COUNTS = [1, 2, 3, 15, 16, 17, 28, 63, 64, 65]
ROW_LENGTHS = [1, 2, 17, 31, 64, 100, 119, 127, 128, 129, 200, 255, 256, 257]


class Maker(Families):
    def opening(self):
        """The first nodes: arbitrary leaves, or operands of row functions and products."""
        r, kind = self.r, self.r.randrange(12)
        large = 1 if self.device == "gpu" else 4
        if kind == 0:
            shape = [r.choice(ROW_COUNTS), r.choice(ROW_LENGTHS)]
            if self.chance(20 * large):
                shape = r.choice([[256, 100], [256, 256], [16, 4096], [64, 4096], [20011], [3, 5000], [256, 4096]])
            self.limit = max(self.limit, 2 * shape[0] * shape[-1])
            x = self.leaf(shape, r.choice([t for t in self.types if values.bits_of(t) == 64] or self.types))
            for _ in range(r.randrange(3)):
                x = self.add(r.choice(PLAIN[:6]), x, self.number(self.held[x].t))
            x = self.add("astype", x, t=r.choice([t for t in self.types if is_float(t)]))
            op = r.choice(ROWS)
            self.add(op, x, axes=[-1], keep=self.chance(2), **self.parameter(op))
        elif kind == 1:
            t = self.dtype()
            a, b = self.leaf([r.choice([1, 2, 17, 65])], t), self.leaf([r.choice([1, 2, 17, 65])], t)
            a, b = self.add("expand_dims", a, n=[1]), self.add("expand_dims", b, n=[0])
            p = self.add("matmul", a, b)
            self.add(r.choice(PLAIN), *r.sample([p, r.choice([a, b])], 2))
        elif kind == 2 and self.chance(4):
            # more inputs than one kernel may have
            t, shape = self.dtype(), self.shape()
            parts = [self.leaf(shape, t, "small") for _ in range(r.randrange(9, 14))]
            total = parts[0]
            for p in parts[1:]:
                total = self.add("add", total, p)
        else:
            shape = self.shape()
            for _ in range(r.randrange(1, 4)):
                self.leaf(shape)

    def program(self):
        try:
            self.opening()
        except Refused:
            pass
        if not self.nodes:
            self.leaf(self.shape())
        want = len(self.nodes) + self.r.randrange(1, 24)
        for _ in range(want * 3):
            if len(self.nodes) >= want:
                break
            try:
                self.r.choice(self.FAMILIES)(self)
            except Refused:
                if self.chance(6):
                    self.leaf(self.shape())
        roots = [len(self.nodes) - 1]
        if self.device == "cpu" and self.chance(2):
            # nodes that no other node reads
            read = {g for node in self.nodes for g in node.get("in", []) if not isinstance(g, dict)}
            roots += [k for k in range(len(self.nodes) - 1) if k not in read and self.nodes[k]["op"] != "leaf"][-6:]
        roots += [self.r.randrange(len(self.nodes)) for _ in range(self.r.randrange(3))]
        program = {"nodes": self.nodes, "roots": roots, "together": self.chance(2)}
        drops(program)
        return program


def drops(program):
    """Marks for each node which earlier nodes are not read afterwards. A write to such an array may be in place, even if the
    written value is computed from the array."""
    last = {}
    for k, node in enumerate(program["nodes"]):
        node.pop("drop", None)
        last[k] = k
        for g in node.get("in", []):
            if not isinstance(g, dict):
                last[g] = k
    for k, at in last.items():
        if k not in program["roots"] and at > k:
            program["nodes"][at].setdefault("drop", []).append(k)


def generate(seed, device, types):
    return Maker(seed, device, types).program()
