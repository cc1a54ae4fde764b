"""The values of a program: the elements that NumPy computes, and the allowed error of each.

Integers and bool are NumPy arrays of the same type, and always exact. Floats are computed with more digits than they are
stored with (float64 for f16, bf16 and f32; long double for f64), and each element has an absolute error bound.
"""

import csv
import itertools
import os

import numpy as np

# infinities and NaN are valid results
np.seterr(all="ignore")

LONG = np.longdouble
# The error of the reference for f64. On some machines long double is f64.
LONG_ERROR = float(np.finfo(LONG).eps)
INTEGERS = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"]
FLOATS = ["f16", "bf16", "f32", "f64"]
TYPES = ["bool"] + INTEGERS + FLOATS
NATIVE = {
    "bool": np.bool_, "u8": np.uint8, "i8": np.int8, "u16": np.uint16, "i16": np.int16, "u32": np.uint32,
    "i32": np.int32, "u64": np.uint64, "i64": np.int64, "f16": np.float16, "f32": np.float32, "f64": np.float64,
}
NAMES = {np.dtype(n): t for t, n in NATIVE.items()}
HALVES = ("f16", "bf16")
# significant bits, and the exponent of the smallest normal number
PRECISION = {"f16": (11, -14), "bf16": (8, -126), "f32": (24, -126), "f64": (53, -1022)}
LARGEST = {"f16": 65504.0, "bf16": 3.3895313892515355e38, "f32": float(np.finfo(np.float32).max),
           "f64": float(np.finfo(np.float64).max)}
SIZES = {"bool": 1, "u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "f16": 2, "bf16": 2,
         "f32": 4, "f64": 8}


class Refused(Exception):
    """Raised for a node that cannot be tested: an error in cupric, or an element that depends on rounding errors."""


def is_float(t):
    return t in PRECISION


def is_integer(t):
    return t in INTEGERS


def is_signed(t):
    return t in ("i8", "i16", "i32", "i64")


def is_unsigned(t):
    return t in ("u8", "u16", "u32", "u64")


def high(t):
    """The NumPy type that computes values of the type t."""
    if not is_float(t):
        return NATIVE[t]
    return LONG if t == "f64" else np.float64


def bits_of(t):
    return 8 * SIZES[t]


def ulp(x, t):
    """The spacing of the numbers of a type at x."""
    digits, lowest = PRECISION[t]
    x = np.asarray(x, np.float64)
    exponent = np.frexp(np.where(np.isfinite(x), x, 0))[1]
    exponent = np.where(x == 0, lowest, exponent - 1)
    return np.ldexp(1.0, np.maximum(exponent, lowest) - (digits - 1))


def round_to(x, t):
    """x rounded once to a float type (to nearest, ties to even), in the NumPy type that holds it here."""
    if t == "f64":
        return np.asarray(x, np.float64).astype(LONG)
    if t == "bf16":
        return _bf16(x)
    x = np.asarray(x)
    if x.dtype == LONG and t != "f64":
        x = _odd(x)
    elif x.dtype.kind in "iu":
        x = _odd(x.astype(LONG))
    return x.astype(NATIVE[t]).astype(np.float64)


def _odd(x):
    """Converts long double to f64 toward zero, and sets the last bit if that is not exact ("round to odd"). Then a second
    rounding has the same result as a single one."""
    y = x.astype(np.float64)
    finite = np.isfinite(y) & np.isfinite(x)
    back = np.where(finite, y, 0).astype(LONG)
    inexact = finite & (back != np.where(finite, x, 0))
    beyond = inexact & (np.abs(back) > np.abs(np.where(finite, x, 0)))
    bits = np.atleast_1d(y).view(np.uint64).reshape(np.shape(y))
    bits = np.where(inexact, (bits - beyond.astype(np.uint64)) | np.uint64(1), bits)
    return np.atleast_1d(bits).view(np.float64).reshape(np.shape(y))


def _bf16(x):
    x = np.asarray(x)
    if x.dtype == LONG:
        x = _odd(x)
    elif x.dtype.kind in "iu":
        x = _odd(x.astype(LONG))
    x = x.astype(np.float64)
    step = ulp(x, "bf16")
    y = np.where(np.isfinite(x), np.rint(x / step) * step, x)
    return np.where(np.abs(y) > LARGEST["bf16"], np.copysign(np.inf, y), y)


def fits(x, t):
    """Whether the type can represent each x. True for infinities and NaN."""
    return (round_to(x, t) == x) | np.isnan(x)


class Value:
    """Elements and their errors. `e` is None if every element is exact. For f16 and bf16, `core` is the error before the
    result is rounded to its type, which happens when it is stored. `signed` means that the sign of a zero is known."""

    def __init__(self, t, v, e=None, core=None, signed=True):
        self.t, self.v, self.signed = t, np.asarray(v), signed
        self.e = np.broadcast_to(e, self.v.shape) if e is not None and np.any(e) else None
        self.core = None
        if t in HALVES and self.e is not None:
            self.core = self.e if core is None else np.broadcast_to(core, self.v.shape)

    @property
    def shape(self):
        return self.v.shape

    def error(self):
        return 0.0 if self.e is None else self.e

    def moved(self, f, signed=None):
        """The same elements at other positions."""
        e = None if self.e is None else f(self.e)
        core = None if self.core is None else f(self.core)
        return Value(self.t, f(self.v), e, core, self.signed if signed is None else signed)

    def stored(self):
        """The value in memory, with f16 and bf16 rounded."""
        if self.t not in HALVES or self.e is None:
            return self
        low, top = self.ends()
        one = (low == top) | np.isnan(self.v)
        signed = self.signed and not np.any((self.v == 0) & (self.e > 0))
        middle = np.where(one, round_to(self.v, self.t), (low + top) / 2)
        return Value(self.t, middle, np.where(one, 0.0, (top - low) / 2), None, signed)

    def ends(self):
        """The smallest and the largest element that may be stored."""
        if self.t in HALVES and self.e is not None:
            return round_to(self.v - self.core, self.t), round_to(self.v + self.core, self.t)
        e = self.error()
        # an infinity without an error stays one
        return np.where(e == 0, self.v, self.v - e), np.where(e == 0, self.v, self.v + e)


def _contract():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "contract.csv")
    with open(path, newline="") as f:
        # bounds of functions that do not exist yet follow a line that begins with this
        rows = list(csv.reader(itertools.takewhile(lambda line: not line.startswith("# planned"), f)))
    ints = "u8 i8 u16 i16 u32 i32 u64 i64"
    return {
        (op, t, device): bound
        for ops, dtypes, cpu, gpu in rows[1:]
        for op in ops.split()
        for t in dtypes.replace("ints", ints).split()
        for device, bound in (("cpu", cpu), ("gpu", gpu))
        if bound
    }


CONTRACT = _contract()


def bound(op, t, device):
    """The error that the contract allows. Functions that convert integers to f32 have rows for i32 only."""
    for name in (t, "f32"):
        if (op, name, device) in CONTRACT:
            return CONTRACT[op, name, device]
    raise Refused(f"{op} of {t} has no bound on the {device}")


def number(text):
    """A number of the contract, or a power of two."""
    return 2.0 ** int(text[2:]) if text.startswith("2^") else float(text)


def allowed(rule, y, inputs, t):
    """The absolute error of results y by a rule of the contract."""
    name, *numbers = rule.split(":")
    magnitude = np.abs(y).astype(np.float64)
    x = np.abs(inputs[0]).astype(np.float64)
    if name == "max":
        return np.maximum(number(numbers[0]) * ulp(magnitude, t), number(numbers[1]) * np.maximum(x, 1))
    if name == "large":
        for other in inputs:
            magnitude = np.maximum(magnitude, np.abs(other).astype(np.float64))
        return float(numbers[0]) * ulp(magnitude, t)
    if name == "lgamma":
        inside = (inputs[0] > -11) & (inputs[0] < -2)
        return np.maximum(float(numbers[0]) * ulp(magnitude, t), np.where(inside, number(numbers[1]), 0))
    ulps, _, more = name.partition("+")
    return float(ulps) * ulp(magnitude, t) + number(more or "0")


# --- leaves, which Python and Rust make from the same seed ---

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def words(seed, n):
    """SplitMix64: 64 random bits for each element."""
    x = np.uint64(seed) + (np.arange(1, n + 1, dtype=np.uint64)) * GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -2.0, 3.0, 1024.0, -0.0078125]


def leaf(kind, seed, t, shape):
    """Elements. `small`: multiples of 1/8, or small integers. `wide`: numbers that use every digit. `special`: also infinities
    and NaN. `raw`: any bits."""
    n = int(np.prod(shape, dtype=np.int64))
    w = words(seed, n)
    if t == "bool":
        return Value(t, ((w >> np.uint64(40)) & np.uint64(1)).astype(bool).reshape(shape))
    if not is_float(t):
        if kind == "small":
            v = ((w >> np.uint64(40)) % np.uint64(19)).astype(np.int64) - (9 if is_signed(t) else 0)
            return Value(t, v.astype(NATIVE[t]).reshape(shape))
        return Value(t, (w >> np.uint64(64 - bits_of(t))).astype(f"u{SIZES[t]}").view(NATIVE[t]).reshape(shape))
    if kind == "raw":
        u = (w >> np.uint64(64 - bits_of(t))).astype(f"u{SIZES[t]}")
        if t == "bf16":
            v = (u.astype(np.uint32) << np.uint32(16)).view(np.float32)
        else:
            v = u.view(NATIVE[t])
        return Value(t, v.astype(high(t)).reshape(shape))
    if kind == "wide":
        digits = PRECISION[t][0]
        v = (w >> np.uint64(64 - digits)).astype(np.int64) - (1 << (digits - 1))
        return Value(t, np.ldexp(v.astype(np.float64), 2 - (digits - 1)).astype(high(t)).reshape(shape))
    v = (((w >> np.uint64(40)) % np.uint64(49)).astype(np.float64) - 24) / 8
    if kind == "special":
        pick = (w >> np.uint64(8)) % np.uint64(64)
        table = np.array(SPECIAL + [0.0] * (64 - len(SPECIAL)))
        v = np.where(pick < len(SPECIAL), table[pick.astype(np.int64)], v)
    return Value(t, v.astype(high(t)).reshape(shape))


def element(word, t):
    """Stored bytes as numbers of the type that they are computed in here."""
    if t == "bool":
        return np.frombuffer(word, np.uint8) != 0
    if t == "bf16":
        return (np.frombuffer(word, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return np.frombuffer(word, NATIVE[t]).astype(high(t))
