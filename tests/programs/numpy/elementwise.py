"""Elementwise functions and casts in NumPy, with the types of cupric and its known differences."""

import math
from itertools import product

import numpy as np

import values
from values import HALVES, LARGEST, LONG, LONG_ERROR, NATIVE, Refused, Value, high, is_float, is_integer
from values import is_signed, round_to, ulp

# Deliberate differences from NumPy. src/guide/numpy.md must contain each sentence. Comments in the code below and in the
# other files mark with the key the lines that implement a difference.
DIFFERENCES = {
    "float of integers": "a float function or a quotient of integers gives f32",
    "integer with float": "an integer with a float gives that float",
    "u64 with signed": "u64 with a signed type has no common type",
    "bool arithmetic": "`floor_divide`, `remainder`, `pow`, `sign` and the like take no bool",
    "division by zero": "an integer `// 0` and `% 0` give 0",
    "shifts": "a shift by the width or more, or by a negative number, gives 0 "
              "(−1 for a right shift of a negative number)",
    "negative power": "an integer array to a negative power gives 1/x truncated",
    "float to integer": "a float out of an integer's range saturates, and NaN gives 0",
    "signed zeros": "`minimum(-0, +0)` is −0 and `maximum(-0, +0)` is +0",
    "half intermediates": "f16 and bf16 are rounded where they are stored, not after each step",
    "half accumulation": "sums, products and `matmul` of f16 accumulate in f32",
    "mean of integers": "the mean, variance and standard deviation of integers are f32",
    "half power": "`pow(-∞, 0.5)` is ∞, as IEEE 754 has it",
    "diagonal": "`diagonal` is that of the last two axes",
}


def promote(a, b):
    """The common type of two arrays."""
    if a == b:
        return a
    if "bool" in (a, b):
        return b if a == "bool" else a
    if is_float(a) != is_float(b):  # integer with float
        return a if is_float(a) else b
    if set(HALVES) == {a, b}:
        return "f32"
    if "bf16" in (a, b):
        return a if b == "bf16" else b
    if "u64" in (a, b) and (is_signed(a) or is_signed(b)):  # u64 with signed
        raise Refused(f"{a} with {b}")
    return values.NAMES[np.promote_types(NATIVE[a], NATIVE[b])]


def weak(number, t):
    """The type of a result of an array of type t and a number."""
    if isinstance(number, bool):
        return t
    if isinstance(number, int):
        if t == "bool":
            return "i32"
        if is_integer(t):
            info = np.iinfo(NATIVE[t])
            if not info.min <= number <= info.max:
                raise Refused(f"{number} in {t}")
        return t
    return t if is_float(t) else "f32"


def number(x, t):
    """A number as a 0-d value of the type t."""
    if t == "bool":
        return Value(t, np.array(x != 0))
    if is_float(t):
        return Value(t, np.asarray(round_to(np.asarray(x, LONG), t)))
    return Value(t, np.array(int(x), NATIVE[t]))


def common(args):
    """Operands (values and numbers) and their common type."""
    types = [a.t for a in args if isinstance(a, Value)]
    t = types[0]
    for other in types[1:]:
        t = promote(t, other)
    for a in args:
        if not isinstance(a, Value):
            t = weak(a, t)
    return t


def cast(x, t):
    """`astype`, with the results of Rust's `as`."""
    if not isinstance(x, Value):
        return number(x, t)
    if x.t == t:
        return x
    v = x.v
    if t == "bool":
        if x.e is not None:
            low, top = x.ends()
            if np.any((low <= 0) & (top >= 0) & (low != top)):
                raise Refused("a truth decided by rounding")
            v = np.where(low == top, low, v)
        return Value(t, v != 0)
    if not is_float(t):
        if not is_float(x.t):
            return Value(t, v.astype(NATIVE[t]))
        x = x.stored()
        if x.e is not None:
            low, top = saturated(x.v - x.e, t), saturated(x.v + x.e, t)
            if np.any(low != top):
                raise Refused("an integer decided by rounding")
            return Value(t, low)
        return Value(t, saturated(x.v, t))
    if not is_float(x.t):
        return Value(t, round_to(v.astype(np.uint8) if x.t == "bool" else v, t))
    wider = values.PRECISION[t][0] >= values.PRECISION[x.t][0] and t != "f16"
    if x.e is None:
        return Value(t, np.asarray(v if wider else round_to(v, t)).astype(high(t)), signed=x.signed)
    if wider:
        return Value(t, v.astype(high(t)), x.e, None, x.signed)
    own = 0.0 if t in HALVES else 0.5 * ulp(np.abs(v).astype(np.float64) + x.e, t)
    return settled(t, v, x.e, own, x.signed)


def saturated(v, t):
    """Float to integer."""
    info = np.iinfo(NATIVE[t])
    v = np.trunc(np.where(np.isnan(v), 0, v).astype(LONG))  # float to integer
    low, top = v <= info.min, v >= info.max
    inside = np.where(low | top, 0, v).astype(NATIVE[t])
    return np.where(low, NATIVE[t](info.min), np.where(top, NATIVE[t](info.max), inside))


def settled(t, y, e, ulps_error, signed=True):
    """A result of type t near y. e is the error that comes from the operands, ulps_error the allowed error of the function.
    f16 and bf16 are rounded at the end, or later."""
    finite = np.isfinite(y)
    e = np.where(finite, np.asarray(e, np.float64) + ulps_error, 0.0)
    if not np.all(np.isfinite(e)):
        raise Refused("nothing is known of a result")
    top = LARGEST[t]
    size = np.where(finite, np.abs(y), 0)
    if t in HALVES:
        # a larger intermediate is finite in a register and infinite in memory
        if np.any(finite & (size + e > top)):
            raise Refused("overflow of a half")
        core = e.copy()
        e = np.where(finite & ~((core == 0) & values.fits(y, t)), core + 0.5 * ulp(size + core, t), 0.0)
        return Value(t, y, e, core, signed)
    if t == "f64":
        # a result between the two smallest numbers may be rounded to either
        e = e + np.where((y != 0) & (size < 2.0 ** -1022), 2.0 ** -1074, 0)
    over = finite & (size - e > top * 1.001)
    if np.any(finite & ~over & (size + e > top * 0.999)):
        raise Refused("at the edge of overflow")
    e = np.where(over, 0.0, e)
    y = np.where(over, np.copysign(np.inf, y), y).astype(high(t))
    if not np.any(e):
        y = np.asarray(round_to(y, t))
    return Value(t, y, e, None, signed and not np.any((y == 0) & (e > 0)))


def ranges(args):
    """All combinations of the lower and upper ends of inexact operands. The first combination has their centres."""
    yield [a.v for a in args]
    inexact = [i for i, a in enumerate(args) if a.e is not None]
    if inexact:
        for signs in product((-1.0, 1.0), repeat=len(inexact)):
            moved = [a.v for a in args]
            for i, s in zip(inexact, signs):
                moved[i] = args[i].v + s * args[i].e.astype(args[i].v.dtype)
            yield moved


def spread(f, args, steps=False):
    """f of the centres, and the largest difference from it for operands within their errors."""
    y = e = None
    for operands in ranges(args):
        z = f(*operands)
        if y is None:
            y = np.asarray(z)
            e = np.zeros(y.shape)
            finite = np.isfinite(y)
            continue
        same = np.isfinite(z) == finite
        if not np.all(same) or np.any(~finite & ~((z == y) | (np.isnan(z) & np.isnan(y)))):
            raise Refused("rounding decides whether a result is finite")
        if steps and np.any(finite & (z != y)):
            raise Refused("a step decided by rounding")
        e = np.maximum(e, np.where(finite, np.abs(z - y), 0).astype(np.float64))
    return y, e * 1.0001


# --- the functions ---

SQRT2 = LONG(2) ** LONG(0.5)
_erf, _erfc, _lgamma = (np.frompyfunc(f, 1, 1) for f in (math.erf, math.erfc, math.lgamma))


def by_math(f):
    def apply(x):
        if x.dtype == LONG:
            raise Refused("no more digits than f64 to compare with")
        out = f(np.where(np.isfinite(x), x, 1.0))
        return np.asarray(out).astype(np.float64)
    return apply


def erf(x):
    return np.where(np.isinf(x), np.sign(x), np.where(np.isnan(x), x, by_math(_erf)(x)))


def erfc(x):
    return np.where(np.isinf(x), 1 - np.sign(x), np.where(np.isnan(x), x, by_math(_erfc)(x)))


def lgamma(x):
    pole = (x <= 0) & (x == np.floor(x))
    y = by_math(_lgamma)(np.where(pole | (np.abs(x) > 1e300), 1.0, x))
    return np.where(pole | np.isinf(x), np.inf, np.where(np.isnan(x), x, y))


def sigmoid(x):
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + t), t / (1 + t))


def limited(f):
    """A product with a factor that is 0 at −∞ has its limit there."""
    return lambda x: np.where(x == -np.inf, x.dtype.type(-0.0), f(x))


def tanh_gelu(x):
    c = np.sqrt(x.dtype.type(2) / x.dtype.type(LONG(np.pi) if x.dtype != LONG else 4 * np.arctan(LONG(1))))
    return x * sigmoid(2 * c * (x + x.dtype.type(0.044715) * x * x * x))


def minimum(x, y):
    return np.where((x == 0) & (y == 0), np.where(np.signbit(x), x, y), np.minimum(x, y))  # signed zeros


def maximum(x, y):
    return np.where((x == 0) & (y == 0), np.where(np.signbit(x), y, x), np.maximum(x, y))  # signed zeros


def fminimum(x, y):
    return np.where(np.isnan(x), y, np.where(np.isnan(y), x, minimum(x, y)))


def fmaximum(x, y):
    return np.where(np.isnan(x), y, np.where(np.isnan(y), x, maximum(x, y)))


def power(x, y):
    """The `pow` of IEEE 754. NumPy uses a square root for the exponent 0.5, which differs at −∞ and −0."""
    x, y = np.broadcast_arrays(x, y)
    return np.power(np.stack([x, x]), np.stack([y, y]))[0]


# accept any numbers, return a float
FLOAT = {
    "divide": lambda x, y: x / y, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "cbrt": np.cbrt,
    "reciprocal": lambda x: x.dtype.type(1) / x, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin,
    "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "atan2": np.arctan2, "hypot": np.hypot, "logaddexp": np.logaddexp,
    "lerp": lambda a, b, t: a + t * (b - a), "copysign": np.copysign,
    "deg2rad": lambda x: x * (4 * np.arctan(x.dtype.type(1)) / 180),
    "rad2deg": lambda x: x * (180 / (4 * np.arctan(x.dtype.type(1)))),
    "erf": erf, "erfc": erfc, "lgamma": lgamma, "sigmoid": sigmoid, "softplus": lambda x: np.logaddexp(x, np.zeros_like(x)),
    "silu": limited(lambda x: x * sigmoid(x)), "gelu": limited(lambda x: x * erfc(-x / math.sqrt(2)) / 2),
    "gelu_tanh": limited(tanh_gelu),
}
# accept and return the common type
NUMERIC = {
    "add": lambda x, y: x + y, "subtract": lambda x, y: x - y, "multiply": lambda x, y: x * y,
    "floor_divide": np.floor_divide, "remainder": np.remainder, "fmod": np.fmod, "pow": power, "minimum": minimum,
    "maximum": maximum, "fmin": fminimum, "fmax": fmaximum, "clip": lambda x, lo, hi: minimum(maximum(x, lo), hi),
    "negative": np.negative, "positive": np.positive, "abs": np.abs, "square": np.square, "sign": np.sign,
    "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint, "relu": lambda x: np.maximum(x, np.zeros_like(x)),
}
COMPARE = {"equal": np.equal, "not_equal": np.not_equal, "less": np.less, "less_equal": np.less_equal,
           "greater": np.greater, "greater_equal": np.greater_equal}
TESTS = {"isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "signbit": np.signbit}
LOGICAL = {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor,
           "logical_not": np.logical_not}
BITS = {"bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor,
        "bitwise_invert": np.bitwise_not, "bitwise_left_shift": np.left_shift,
        "bitwise_right_shift": np.right_shift}
OF_BOOL = {"add": np.logical_or, "multiply": np.logical_and, "minimum": np.logical_and, "maximum": np.logical_or,
           "positive": lambda x: x.copy()}
# functions that jump, and functions without a bounded slope at their extrema
STEPS = {"floor", "ceil", "trunc", "round", "sign"}
WAVES = {"sin", "cos"}
# the sign of a zero decides the result
OF_ZEROS = {"divide", "reciprocal", "rsqrt", "atan2", "copysign", "pow", "lgamma", "log", "log2", "log10", "remainder",
            "fmod", "floor_divide"}
# functions that IEEE 754 rounds once; the first ones need no division
EXACT = {"add", "subtract", "multiply", "square"}
ROUNDS = EXACT | {"divide", "sqrt", "reciprocal", "remainder"}
STEADY = set(NUMERIC) - {"pow"}
EVERY = {**FLOAT, **NUMERIC, **COMPARE, **TESTS, **LOGICAL, **BITS}
ARITY = {name: 2 for name in list(COMPARE) + list(BITS) + list(LOGICAL)} | {name: 1 for name in TESTS}
ARITY |= {"bitwise_invert": 1, "logical_not": 1, "clip": 3, "lerp": 3}
ARITY |= {n: 2 for n in ("divide", "atan2", "hypot", "logaddexp", "copysign", "add", "subtract", "multiply",
                         "floor_divide", "remainder", "fmod", "pow", "minimum", "maximum", "fmin", "fmax")}
for _name in EVERY:
    ARITY.setdefault(_name, 1)


def of_integers(op, x):
    """Arithmetic of integers of one type, which wraps."""
    t = x[0].dtype
    if op in ("floor_divide", "remainder", "fmod"):
        zero = x[1] == 0
        y = EVERY[op](x[0], np.where(zero, t.type(1), x[1]))
        return np.where(zero, t.type(0), y)  # division by zero
    if op == "pow":
        if t.kind == "u":
            return np.power(x[0], x[1])
        negative = x[1] < 0
        y = np.power(x[0], np.where(negative, t.type(0), x[1]))
        odd = (x[1] & t.type(1)) == 1
        inverse = np.where(x[0] == 1, 1, np.where(x[0] == -1, np.where(odd, -1, 1), 0)).astype(t)
        return np.where(negative, inverse, y)  # negative power
    if op in ("minimum", "fmin"):
        return np.minimum(*x)
    if op in ("maximum", "fmax"):
        return np.maximum(*x)
    if op == "clip":
        return np.minimum(np.maximum(x[0], x[1]), x[2])
    if op in ("floor", "ceil", "trunc", "round", "positive"):
        return x[0].copy()
    if op in ("bitwise_left_shift", "bitwise_right_shift"):
        width = 8 * t.itemsize
        out = (x[1] < 0) | (x[1] >= width)  # shifts
        y = EVERY[op](x[0], np.where(out, t.type(0), x[1]))
        beyond = np.where(x[0] < 0, t.type(0) - t.type(1), t.type(0)) if op == "bitwise_right_shift" else t.type(0)
        return np.where(out, beyond, y)
    return EVERY[op](*x)


def apply(op, args, device):
    """An elementwise function of values and numbers."""
    if op == "select":
        return select(args)
    if op in COMPARE:
        return compare(op, args)
    t = common(args)
    if op in LOGICAL:
        return Value("bool", LOGICAL[op](*[cast(a, "bool").v for a in args]))
    if op in TESTS:
        x = cast(args[0], t).stored()
        if not is_float(t):
            if op == "signbit":
                return Value("bool", x.v < 0 if t != "bool" else np.zeros(x.shape, bool))
            return Value("bool", np.full(x.shape, op == "isfinite"))
        unsure = np.isnan(x.v) | (np.abs(x.v) < x.error()) | ((x.v == 0) & (not x.signed))
        if op == "signbit" and np.any(unsure):
            raise Refused("an unsure sign")
        return Value("bool", TESTS[op](x.v))
    if op in BITS:
        if is_float(t) or t == "bool" and "shift" in op:
            raise Refused(f"{op} of {t}")
        x = [cast(a, t).v for a in args]
        return Value(t, BITS[op](*x) if t == "bool" else of_integers(op, x))
    if op in NUMERIC and not is_float(t):
        if t == "bool":
            if op not in OF_BOOL:  # bool arithmetic
                raise Refused(f"{op} of bool")
            return Value(t, OF_BOOL[op](*[cast(a, t).v for a in args]))
        if op == "pow" and not isinstance(args[1], Value) and args[1] < 0:
            raise Refused("a negative power")
        if op == "relu":
            return Value(t, np.maximum(cast(args[0], t).v, NATIVE[t](0)))
        return Value(t, np.asarray(of_integers(op, [cast(a, t).v for a in args]), NATIVE[t]))
    own = t
    t = t if is_float(t) else "f32"  # float of integers
    return of_floats(op, [cast(a, t) for a in args], t, own, device)


def of_floats(op, args, t, own, device):
    """A function of floats of one type. `own` is the original type of the operands."""
    f = EVERY[op]
    refuse_unsure(op, args, t, device)
    rule = values.bound(op, own, device)
    signed = all(a.signed for a in args) and op not in ("relu", "sign")
    if rule == "0" and t in ("f32", "f64") and all(a.e is None for a in args):
        # a single operation of NumPy in the type itself; the bits must be equal
        native = [a.v.astype(NATIVE[t]) for a in args]
        return Value(t, np.asarray(f(*native)).astype(high(t)), None, None, signed)
    if t in HALVES and rule != "0":
        rule = values.bound(op, "f32", device)
    if op in ("floor_divide", "remainder", "fmod"):
        whole = np.trunc if op == "fmod" else np.floor
        spread(lambda x, y: whole(x / y), args, steps=True)
    y, e = spread(f, args, steps=op in STEPS)
    if op in WAVES and args[0].e is not None:
        e = np.maximum(e, np.where(np.isfinite(y), args[0].e, 0))
    out = settled(t, y, e, np.where(np.isfinite(y), function_error(op, rule, y, e, args, t, device), 0.0), signed)
    if op == "floor_divide" and out.e is not None and t not in HALVES:
        # the results are whole numbers
        return Value(t, out.v, np.where(out.e < 0.5, 0.0, out.e), None, signed)
    return out


def refuse_unsure(op, args, t, device):
    """Rejects operands if the result depends on a bit that is not known."""
    inexact = [a for a in args if a.e is not None]
    if op in OF_ZEROS:
        if any(not a.signed and np.any(a.v == 0) for a in args):
            raise Refused("an unsure sign of a zero")
        if any(np.any((np.abs(a.v) <= a.e) & (a.e > 0)) for a in inexact):
            raise Refused("a number that may be 0")
    if op == "lgamma" and inexact:
        low, top = args[0].v - args[0].e, args[0].v + args[0].e
        if np.any((low <= 0) & (args[0].e > 0) & (np.floor(top) >= np.ceil(low))):
            raise Refused("a number that may be a pole")
    if op == "copysign" and np.any(np.isnan(args[1].v)):
        raise Refused("the sign of a NaN")
    if op == "pow" and args[1].e is not None and np.any(args[0].v <= args[0].error()):
        raise Refused("a power of a negative number decided by rounding")
    if op == "floor_divide" and inexact and np.any(np.abs(args[0].v / args[1].v) > 1e15):
        raise Refused("a quotient without a fraction")
    if device == "gpu" and t != "f16":
        # a driver may flush subnormals
        smallest = 2.0 ** (-1000 if t == "f64" else -120)
        if any(np.any((a.v != 0) & (np.abs(a.v) < smallest)) for a in args):
            raise Refused("subnormals on a GPU")


def function_error(op, rule, y, e, args, t, device):
    """The allowed error of a function, in its compute type (f32 for f16 and bf16)."""
    compute = "f32" if t in HALVES else t
    size = np.abs(np.where(np.isfinite(y), y, 0)).astype(np.float64)
    # an exact result has no rounding error, with or without contraction
    representable = values.fits(y, compute) & (e == 0)
    if rule == "0":
        # correctly rounded for all operands
        return np.where(representable, 0.0, 0.5 * ulp(size + e, compute)) if op in ROUNDS else 0.0
    own = values.allowed(rule, size + e, [a.v for a in args], compute)
    if op in EXACT:
        own = np.where(representable, 0.0, own)
    elif device == "gpu":
        own = own + 2.0 ** -126
    if t in HALVES and op not in ROUNDS and op not in STEADY:
        # 1 ULP of the operand type, half of which is the final rounding
        own = np.maximum(own, 0.5 * ulp(y, t))
    # the error of the reference
    return own + size * (64 * LONG_ERROR if t == "f64" else 2.0 ** -48)


def compare(op, args):
    """Compares by value, integers of different types exactly."""
    if all(isinstance(a, Value) and not is_float(a.t) for a in args):
        return Value("bool", COMPARE[op](args[0].v, args[1].v))
    t = common(args)
    x, y = (cast(a, t).stored() for a in args)
    if not is_float(t):
        return Value("bool", COMPARE[op](x.v, y.v))
    e = x.error() + y.error()
    if np.any((np.abs(x.v - y.v) <= e) & (e > 0)):
        raise Refused("a comparison decided by rounding")
    return Value("bool", COMPARE[op](x.v, y.v))


def select(args):
    condition = cast(args[0], "bool").v if isinstance(args[0], Value) else np.array(bool(args[0]))
    if not any(isinstance(a, Value) for a in args[1:]):
        raise Refused("two numbers")
    t = common(args[1:])
    a, b = (cast(x, t) for x in args[1:])
    v = np.where(condition, a.v, b.v).astype(high(t))
    if a.e is None and b.e is None:
        return Value(t, v, None, None, a.signed and b.signed)
    e = np.where(condition, a.error(), b.error())
    core = np.where(condition, 0.0 if a.core is None else a.core, 0.0 if b.core is None else b.core)
    return Value(t, v, e, core if t in HALVES else None, a.signed and b.signed)
