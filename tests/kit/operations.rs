//! The operations that are no rows of the ufunc table, an entry each: reductions, functions of rows, products, gathers,
//! joins, conversions and generators. The contract, random programs, the comparison with NumPy, fuzzing, hashes,
//! refusals, errors and golden values read this list as they read `testing::rows()`: a new operation is one entry here,
//! its lines in `contract.csv`, and its reference and bound in `contract/`.

use cupric::ErrorKind as K;
use cupric::*;

/// The arguments of an operation besides its operands. Each operation reads those that it has.
#[derive(Clone)]
pub struct Params {
    /// The axes of a reduction or a function of rows.
    pub axes: AxesArg,
    /// The axis of a gather, scatter or join.
    pub axis: isize,
    /// What a norm adds to the variance or mean square.
    pub epsilon: f64,
    /// The result's type of a conversion or generator.
    pub dtype: DType,
    /// The result's shape of a generator.
    pub shape: Vec<usize>,
}

impl Params {
    pub fn along(axes: impl IntoAxes) -> Params {
        Params { axes: axes.into_axes(), axis: 0, epsilon: 1e-5, dtype: DType::F32, shape: vec![] }
    }

    pub fn axis(axis: isize) -> Params {
        Params { axis, ..Params::along(..) }
    }

    pub fn epsilon(self, epsilon: f64) -> Params {
        Params { epsilon, ..self }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One operand; all elements along the axes together have one result.
    Reduction,
    /// One operand; each element has a result, which depends on the others along the axes too.
    Row,
    Product,
    /// An array and indices.
    Gather,
    /// An array, indices, and values that are combined with the elements there.
    Scatter,
    Join,
    /// One array or more, whose elements it moves, picks, or takes the differences of, into a shape of its own.
    Move,
    Conversion,
    /// Made of other operations; `contract/composites.rs` has a call and a reference of each.
    Composite,
    /// No operand. The types that it takes are those of its result.
    Generator,
}

/// A call that must fail: the public function, the kind of error, and the expression that carries it.
pub type Refusal = (&'static str, ErrorKind, Expr);

/// A reference in f64: the results of the elements along the axes, or `None` where the operation must give an error.
pub type Meaning = fn(&[f64]) -> Option<Vec<f64>>;

/// One operation.
pub struct Operation {
    pub name: &'static str,
    pub kind: Kind,
    /// The types that it takes, separated by spaces. `contract.csv` has a bound for each.
    pub types: &'static str,
    /// The result's type for operands of a type.
    pub result: fn(DType) -> DType,
    pub build: fn(&[Expr], &Params) -> Expr,
    /// The reference of a reduction or a function of rows.
    pub meaning: Option<Meaning>,
    /// Returns calls that must fail, given a matrix of 3 × 4 and one of 0 × 3.
    pub refuses: fn(&Expr, &Expr) -> Vec<Refusal>,
    /// Whether it takes one axis or `..`, and no other list of axes.
    pub one_axis: bool,
    /// Whether it reads the elements along its axes several times, and computes integers in f32.
    pub several_passes: bool,
    /// The types of operands for which `hashes.txt` has a line with the hash of the result's bits.
    pub pinned: Pinned,
    /// The test of the contract that covers it.
    pub suite: Suite,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    Reductions,
    /// Reductions and functions of rows with exponentials, and norms.
    Rows,
    Products,
    Composites,
    Others,
    /// Where elements go, and differences of neighbours.
    Moves,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pinned {
    Every,
    /// All but bool.
    Numbers,
    Floats,
    /// None here: hashes of whole programs cover it.
    Elsewhere,
}

impl Operation {
    /// Whether it is a function along axes, as `sum` and `softmax` are.
    pub fn along_axes(&self) -> bool {
        matches!(self.kind, Kind::Reduction | Kind::Row)
    }

    /// Whether the result has the shape of the operand.
    pub fn keeps_shape(&self) -> bool {
        self.kind == Kind::Row
    }

    /// Whether it takes a type, and so has a bound for it in the contract.
    pub fn takes(&self, dtype: DType) -> bool {
        self.types.split(' ').any(|t| t == dtype.name())
    }
}

/// The operation of a name.
pub fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|o| o.name == name)
}

/// The functions along axes.
pub fn along_axes() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|o| o.along_axes())
}

const EVERY: &str = "bool u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64";
const INTEGERS: &str = "u8 i8 u16 i16 u32 i32 u64 i64";
const NUMBERS: &str = "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64";

/// An entry with the values that most have, for `..PLAIN`.
const PLAIN: Operation = Operation {
    name: "",
    kind: Kind::Reduction,
    types: EVERY,
    result: |d| d,
    build: |x, _| x[0].clone(),
    meaning: None,
    refuses: |_, _| vec![],
    one_axis: false,
    several_passes: false,
    pinned: Pinned::Every,
    suite: Suite::Reductions,
};
const MOVE: Operation = Operation { kind: Kind::Move, pinned: Pinned::Elsewhere, suite: Suite::Moves, ..PLAIN };
const COMPOSITE: Operation =
    Operation { kind: Kind::Composite, pinned: Pinned::Elsewhere, suite: Suite::Composites, ..PLAIN };
const GENERATOR: Operation =
    Operation { kind: Kind::Generator, pinned: Pinned::Elsewhere, suite: Suite::Others, ..PLAIN };

fn sum_type(d: DType) -> DType {
    match d {
        d if d.is_float() => d,
        d if d.is_unsigned_integer() => DType::U64,
        _ => DType::I64,
    }
}

fn float_type(d: DType) -> DType {
    if d.is_float() { d } else { DType::F32 }
}

fn one(x: f64) -> Option<Vec<f64>> {
    Some(vec![x])
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    mean(&x.iter().map(|x| (x - m) * (x - m)).collect::<Vec<_>>())
}

fn log_sum_exp(x: &[f64]) -> f64 {
    x.iter().map(|x| x.exp()).sum::<f64>().ln()
}

/// The position of the first element that no other element beats; `None` if there are no elements.
fn position(x: &[f64], beats: fn(f64, f64) -> bool) -> Option<usize> {
    (0..x.len()).reduce(|best, i| if beats(x[i], x[best]) { i } else { best })
}

/// Indices with position 0 alone, as an expression that has no device.
fn first() -> Expr {
    arange(0, 1, 1, DType::I32)
}

fn each(x: &[f64], f: impl Fn(f64) -> f64) -> Option<Vec<f64>> {
    Some(x.iter().map(|x| f(*x)).collect())
}

/// Calls a function that takes one axis. Where all axes are asked for, it goes along the elements in C order.
fn cumulative(x: &Expr, axes: &AxesArg, f: fn(&Expr, isize) -> Expr) -> Expr {
    match (testing::axes(axes), x.shape()) {
        (Some(axes), _) => f(x, axes[0]),
        (None, Ok(shape)) => {
            let shape: Vec<isize> = shape.iter().map(|n| *n as isize).collect();
            f(&x.reshape([-1]), 0).reshape(shape)
        }
        (None, Err(_)) => x.clone(),
    }
}

pub static OPERATIONS: &[Operation] = &[
    Operation {
        name: "sum",
        result: sum_type,
        build: |x, p| x[0].sum(p.axes.clone()),
        meaning: Some(|x| one(x.iter().sum())),
        refuses: |x, _| {
            let huge = zeros([1usize << 32, 0, 1 << 32], DType::F32);
            vec![("Expr::sum", K::Axis, x.sum(2)), ("Expr::sum", K::LimitExceeded, huge.sum(1))]
        },
        ..PLAIN
    },
    Operation {
        name: "mean",
        result: float_type,
        build: |x, p| x[0].mean(p.axes.clone()),
        meaning: Some(|x| one(mean(x))),
        refuses: |x, _| vec![("Expr::mean", K::Axis, x.mean(-3))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "min",
        build: |x, p| x[0].min(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a < b)?])),
        refuses: |_, none| vec![("Expr::min", K::Shape, none.min(0))],
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "max",
        build: |x, p| x[0].max(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a > b)?])),
        refuses: |_, none| vec![("Expr::max", K::Shape, none.max(..))],
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "argmin",
        result: |_| DType::I64,
        build: |x, p| x[0].argmin(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a < b)? as f64)),
        refuses: |_, none| vec![("Expr::argmin", K::Shape, none.argmin(0))],
        one_axis: true,
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "argmax",
        result: |_| DType::I64,
        build: |x, p| x[0].argmax(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a > b)? as f64)),
        refuses: |x, _| vec![("Expr::argmax", K::Axis, x.argmax([0, 1]))],
        one_axis: true,
        pinned: Pinned::Numbers,
        ..PLAIN
    },
    Operation {
        name: "any",
        result: |_| DType::Bool,
        build: |x, p| x[0].any(p.axes.clone()),
        meaning: Some(|x| one(x.iter().any(|x| *x != 0.0).into())),
        refuses: |x, _| vec![("Expr::any", K::Axis, x.any(2))],
        ..PLAIN
    },
    Operation {
        name: "all",
        result: |_| DType::Bool,
        build: |x, p| x[0].all(p.axes.clone()),
        meaning: Some(|x| one(x.iter().all(|x| *x != 0.0).into())),
        refuses: |x, _| vec![("Expr::all", K::Axis, x.all(2))],
        ..PLAIN
    },
    Operation {
        name: "count_nonzero",
        result: |_| DType::I64,
        build: |x, p| x[0].count_nonzero(p.axes.clone()),
        meaning: Some(|x| one(x.iter().filter(|x| **x != 0.0).count() as f64)),
        refuses: |x, _| vec![("Expr::count_nonzero", K::Axis, x.count_nonzero(2))],
        ..PLAIN
    },
    Operation {
        name: "prod",
        result: sum_type,
        build: |x, p| x[0].prod(p.axes.clone()),
        meaning: Some(|x| one(x.iter().product())),
        refuses: |x, _| vec![("Expr::prod", K::Axis, x.prod([0, 0]))],
        ..PLAIN
    },
    Operation {
        name: "cumulative_sum",
        kind: Kind::Row,
        result: sum_type,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cumulative_sum),
        meaning: Some(|x| Some((0..x.len()).map(|i| x[..=i].iter().sum()).collect())),
        refuses: |x, _| {
            let scalar = x.sum(..);
            vec![
                ("Expr::cumulative_sum", K::Axis, x.cumulative_sum(2)),
                ("Expr::cumulative_sum", K::Axis, scalar.cumulative_sum(0)),
            ]
        },
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "cumulative_prod",
        kind: Kind::Row,
        result: sum_type,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cumulative_prod),
        meaning: Some(|x| Some((0..x.len()).map(|i| x[..=i].iter().product()).collect())),
        refuses: |x, _| vec![("Expr::cumulative_prod", K::Axis, x.cumulative_prod(2))],
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "cummax",
        kind: Kind::Row,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cummax),
        meaning: Some(|x| {
            Some((0..x.len()).map(|i| x[..=i].iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect())
        }),
        refuses: |x, _| {
            let both = x.cummax(exclusive(include_initial(0)));
            vec![("Expr::cummax", K::Axis, x.cummax(-3)), ("Expr::cummax", K::Argument, both)]
        },
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "logcumsumexp",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::logcumsumexp),
        meaning: Some(|x| Some((0..x.len()).map(|i| log_sum_exp(&x[..=i])).collect())),
        refuses: |x, _| {
            let both = x.logcumsumexp(exclusive(include_initial(0)));
            let axis = x.logcumsumexp(2);
            vec![("Expr::logcumsumexp", K::Axis, axis), ("Expr::logcumsumexp", K::Argument, both)]
        },
        one_axis: true,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "cummin",
        kind: Kind::Row,
        build: |x, p| cumulative(&x[0], &p.axes, Expr::cummin),
        meaning: Some(|x| Some((0..x.len()).map(|i| x[..=i].iter().copied().fold(f64::INFINITY, f64::min)).collect())),
        refuses: |x, _| vec![("Expr::cummin", K::Axis, x.cummin(2))],
        one_axis: true,
        ..PLAIN
    },
    Operation {
        name: "var",
        result: float_type,
        build: |x, p| x[0].var(p.axes.clone()),
        meaning: Some(|x| one(variance(x))),
        refuses: |x, _| {
            vec![("Expr::var", K::Axis, x.var(2)), ("Expr::var_corrected", K::Axis, x.var_corrected(2, 1.0))]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "std",
        result: float_type,
        build: |x, p| x[0].std(p.axes.clone()),
        meaning: Some(|x| one(variance(x).sqrt())),
        refuses: |x, _| {
            vec![("Expr::std", K::Axis, x.std(2)), ("Expr::std_corrected", K::Axis, x.std_corrected(-3, 1.0))]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nansum",
        result: sum_type,
        build: |x, p| x[0].nansum(p.axes.clone()),
        meaning: Some(|x| one(x.iter().sum())),
        refuses: |x, _| vec![("Expr::nansum", K::Axis, x.nansum(2))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanmean",
        result: float_type,
        build: |x, p| x[0].nanmean(p.axes.clone()),
        meaning: Some(|x| one(mean(x))),
        refuses: |x, _| vec![("Expr::nanmean", K::Axis, x.nanmean(2))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanmin",
        build: |x, p| x[0].nanmin(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a < b)?])),
        refuses: |_, none| vec![("Expr::nanmin", K::Shape, none.nanmin(0))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanmax",
        build: |x, p| x[0].nanmax(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a > b)?])),
        refuses: |_, none| vec![("Expr::nanmax", K::Shape, none.nanmax(0))],
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanvar",
        result: float_type,
        build: |x, p| x[0].nanvar(p.axes.clone()),
        meaning: Some(|x| one(variance(x))),
        refuses: |x, _| {
            vec![
                ("Expr::nanvar", K::Axis, x.nanvar(2)),
                ("Expr::nanvar_corrected", K::Axis, x.nanvar_corrected(2, 1.0)),
            ]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanstd",
        result: float_type,
        build: |x, p| x[0].nanstd(p.axes.clone()),
        meaning: Some(|x| one(variance(x).sqrt())),
        refuses: |x, _| {
            vec![
                ("Expr::nanstd", K::Axis, x.nanstd(2)),
                ("Expr::nanstd_corrected", K::Axis, x.nanstd_corrected(2, 1.0)),
            ]
        },
        several_passes: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanargmin",
        result: |_| DType::I64,
        build: |x, p| x[0].nanargmin(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a < b)? as f64)),
        refuses: |_, none| vec![("Expr::nanargmin", K::Shape, none.nanargmin(0))],
        one_axis: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "nanargmax",
        result: |_| DType::I64,
        build: |x, p| x[0].nanargmax(p.axes.clone()),
        meaning: Some(|x| one(position(x, |a, b| a > b)? as f64)),
        refuses: |_, none| vec![("Expr::nanargmax", K::Shape, none.nanargmax(0))],
        one_axis: true,
        pinned: Pinned::Floats,
        ..PLAIN
    },
    Operation {
        name: "ptp",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |x, p| x[0].ptp(p.axes.clone()),
        meaning: Some(|x| one(x[position(x, |a, b| a > b)?] - x[position(x, |a, b| a < b)?])),
        refuses: |x, none| vec![("Expr::ptp", K::Shape, none.ptp(0)), ("Expr::ptp", K::DType, x.less(0).ptp(0))],
        pinned: Pinned::Elsewhere,
        ..PLAIN
    },
    Operation {
        name: "softmax",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].softmax(p.axes.clone()),
        meaning: Some(|x| each(x, |v| (v - log_sum_exp(x)).exp())),
        refuses: |x, _| vec![("Expr::softmax", K::Axis, x.softmax(2))],
        several_passes: true,
        pinned: Pinned::Floats,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "log_softmax",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].log_softmax(p.axes.clone()),
        meaning: Some(|x| each(x, |v| v - log_sum_exp(x))),
        refuses: |x, _| vec![("Expr::log_softmax", K::Axis, x.log_softmax(2))],
        several_passes: true,
        pinned: Pinned::Floats,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "logsumexp",
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].logsumexp(p.axes.clone()),
        meaning: Some(|x| one(log_sum_exp(x))),
        refuses: |x, _| vec![("Expr::logsumexp", K::Axis, x.logsumexp(2))],
        several_passes: true,
        pinned: Pinned::Floats,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "layer_norm",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].layer_norm(p.axes.clone(), p.epsilon),
        // 1e-5 is the epsilon of `Params::along`, with which tests that use the reference call it
        meaning: Some(|x| each(x, |v| (v - mean(x)) / (variance(x) + 1e-5).sqrt())),
        refuses: |x, _| vec![("Expr::layer_norm", K::Axis, x.layer_norm(2, 1e-5))],
        several_passes: true,
        pinned: Pinned::Elsewhere,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "rms_norm",
        kind: Kind::Row,
        types: EVERY,
        result: float_type,
        build: |x, p| x[0].rms_norm(p.axes.clone(), p.epsilon),
        meaning: Some(|x| {
            let square = mean(&x.iter().map(|x| x * x).collect::<Vec<_>>());
            each(x, |v| v / (square + 1e-5).sqrt())
        }),
        refuses: |x, _| vec![("Expr::rms_norm", K::Axis, x.rms_norm(2, 1e-5))],
        several_passes: true,
        pinned: Pinned::Elsewhere,
        suite: Suite::Rows,
        ..PLAIN
    },
    Operation {
        name: "matmul",
        kind: Kind::Product,
        build: |x, _| x[0].matmul(&x[1]),
        refuses: |x, _| vec![("Expr::matmul", K::Shape, x.matmul(x)), ("matmul", K::Shape, matmul(x, 2.0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Products,
        ..PLAIN
    },
    Operation { name: "vecdot", refuses: |x, _| vec![("Expr::vecdot", K::Shape, x.vecdot(x.t(), -1))], ..COMPOSITE },
    Operation { name: "inner", refuses: |x, none| vec![("Expr::inner", K::Shape, x.inner(none))], ..COMPOSITE },
    Operation {
        name: "tensordot",
        refuses: |x, _| vec![("tensordot", K::Axis, tensordot(x, x, 3)), ("tensordot", K::Shape, tensordot(x, x, 1))],
        ..COMPOSITE
    },
    Operation {
        name: "einsum",
        refuses: |x, _| {
            vec![("einsum", K::Argument, einsum("ij,jk", [x])), ("einsum", K::Shape, einsum("ij,ij", [x, &x.t()]))]
        },
        ..COMPOSITE
    },
    Operation {
        name: "multi_dot",
        refuses: |x, _| vec![("multi_dot", K::Argument, multi_dot([x])), ("multi_dot", K::Shape, multi_dot([x, x]))],
        ..COMPOSITE
    },
    Operation {
        name: "cross",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        refuses: |x, _| {
            vec![("Expr::cross", K::Shape, x.cross(x, 1)), ("Expr::cross", K::DType, x.less(0).cross(x.less(0), 0))]
        },
        ..COMPOSITE
    },
    Operation {
        name: "outer",
        refuses: |x, _| vec![("Expr::outer", K::Shape, (x + x.reshape([12])).outer(x))],
        ..COMPOSITE
    },
    Operation {
        name: "kron",
        refuses: |x, _| vec![("Expr::kron", K::Shape, x.kron(x + x.reshape([12])))],
        ..COMPOSITE
    },
    Operation {
        name: "trace",
        result: sum_type,
        refuses: |x, _| vec![("Expr::trace", K::Axis, x.trace(0, 1, 1))],
        ..COMPOSITE
    },
    Operation {
        name: "matrix_power",
        refuses: |x, _| {
            vec![
                ("Expr::matrix_power", K::Shape, x.matrix_power(2)),
                ("Expr::matrix_power", K::Unsupported, x.slice(s![.., ..3]).matrix_power(-1)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "vector_norm",
        types: EVERY,
        result: float_type,
        refuses: |x, _| {
            vec![
                ("Expr::vector_norm", K::Axis, x.vector_norm(2, 2.0)),
                ("Expr::vector_norm", K::Argument, x.vector_norm(0, NAN)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "matrix_norm",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::matrix_norm", K::Axis, x.matrix_norm(0, MatrixNorm::One))],
        ..COMPOSITE
    },
    Operation {
        name: "average",
        types: EVERY,
        result: float_type,
        refuses: |x, none| vec![("Expr::average", K::Shape, x.average(1, none))],
        ..COMPOSITE
    },
    Operation {
        name: "cov",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::cov", K::Shape, x.expand_dims(0).cov(true, 1.0))],
        ..COMPOSITE
    },
    Operation {
        name: "corrcoef",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::corrcoef", K::Shape, x.expand_dims(0).corrcoef(true))],
        ..COMPOSITE
    },
    Operation {
        name: "convolve",
        refuses: |x, _| vec![("convolve", K::Shape, convolve(x, x, WindowMode::Full))],
        ..COMPOSITE
    },
    Operation {
        name: "correlate",
        refuses: |x, _| vec![("correlate", K::Shape, correlate(x, x, WindowMode::Full))],
        ..COMPOSITE
    },
    Operation {
        name: "polyval",
        types: EVERY,
        refuses: |x, _| vec![("Expr::polyval", K::Shape, x.polyval(x))],
        ..COMPOSITE
    },
    Operation {
        name: "isclose",
        types: EVERY,
        result: |_| DType::Bool,
        refuses: |x, _| {
            vec![
                ("Expr::isclose", K::Shape, x.isclose(x.t(), 0.0, 0.0, false)),
                ("isclose", K::Shape, isclose(x, x.t(), 0.0, 0.0, false)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "allclose",
        types: EVERY,
        result: |_| DType::Bool,
        refuses: |x, _| {
            vec![
                ("Expr::allclose", K::Shape, x.allclose(x.t(), 0.0, 0.0, false)),
                ("allclose", K::Shape, allclose(x, x.t(), 0.0, 0.0, false)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "nan_to_num",
        refuses: |x, _| {
            vec![
                ("Expr::nan_to_num", K::Shape, (x + x.reshape([12])).nan_to_num()),
                ("Expr::nan_to_num_with", K::Shape, (x + x.reshape([12])).nan_to_num_with(0.0, 1.0, 2.0)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "round_to",
        types: EVERY,
        refuses: |x, _| vec![("Expr::round_to", K::Shape, (x + x.reshape([12])).round_to(1))],
        ..COMPOSITE
    },
    Operation {
        name: "divmod",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        refuses: |x, _| vec![("Expr::divmod", K::Shape, x.divmod(x.t()).0)],
        ..COMPOSITE
    },
    Operation {
        name: "modf",
        result: float_type,
        refuses: |x, _| vec![("Expr::modf", K::Shape, (x + x.reshape([12])).modf().0)],
        ..COMPOSITE
    },
    Operation {
        name: "frexp",
        result: float_type,
        refuses: |x, _| vec![("Expr::frexp", K::Shape, (x + x.reshape([12])).frexp().1)],
        ..COMPOSITE
    },
    Operation {
        name: "ldexp",
        result: float_type,
        refuses: |x, _| vec![("Expr::ldexp", K::DType, x.ldexp(0.5)), ("ldexp", K::DType, ldexp(x, x))],
        ..COMPOSITE
    },
    Operation {
        name: "heaviside",
        result: float_type,
        refuses: |x, _| {
            vec![("Expr::heaviside", K::Shape, x.heaviside(x.t())), ("heaviside", K::Shape, heaviside(x, x.t()))]
        },
        ..COMPOSITE
    },
    Operation {
        name: "clip_lower",
        refuses: |x, _| vec![("Expr::clip_lower", K::Shape, x.clip_lower(x.t()))],
        ..COMPOSITE
    },
    Operation {
        name: "clip_upper",
        refuses: |x, _| vec![("Expr::clip_upper", K::Shape, x.clip_upper(x.t()))],
        ..COMPOSITE
    },
    Operation {
        name: "take",
        kind: Kind::Gather,
        build: |x, p| x[0].take(&x[1], p.axis),
        refuses: |x, _| vec![("Expr::take", K::DType, x.take(x, 0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "take_clip",
        kind: Kind::Gather,
        // no types, because the contract covers it together with `take`
        types: "",
        build: |x, p| x[0].take_clip(&x[1], p.axis),
        refuses: |x, _| vec![("Expr::take_clip", K::DType, x.take_clip(0.5, 0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "take_wrap",
        kind: Kind::Gather,
        types: "",
        build: |x, p| x[0].take_wrap(&x[1], p.axis),
        refuses: |x, _| vec![("Expr::take_wrap", K::Axis, x.take_wrap(0, 2))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_add",
        kind: Kind::Scatter,
        types: EVERY,
        build: |x, p| x[0].index_add(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_add", K::Shape, x.index_add(0, zeros([1, 1], DType::I32), 1.0)),
                ("Expr::index_add", K::DType, x.index_add(0, zeros([1], DType::F32), 1.0)),
                ("Expr::index_add", K::Shape, whole.index_add(0, zeros([1, 1], DType::I32), 1)),
                ("Expr::index_add", K::Shape, whole.index_add(0, first(), zeros([2], DType::I32))),
                ("Expr::index_add", K::DType, whole.index_add(0, zeros([1], DType::F32), 1)),
                ("Expr::index_add", K::DType, whole.index_add(0, first(), zeros([1], DType::F32))),
                ("Expr::index_add", K::Argument, whole.index_add(0, first(), 1u64 << 40)),
                ("Expr::index_add", K::Index, none.astype(DType::I8).index_add(0, first(), 1)),
            ]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_add_clip",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_add_clip(p.axis, &x[1], &x[2]),
        refuses: |x, _| vec![("Expr::index_add_clip", K::Axis, x.index_add_clip(2, first(), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_add_wrap",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_add_wrap(p.axis, &x[1], &x[2]),
        refuses: |x, _| vec![("Expr::index_add_wrap", K::Axis, x.index_add_wrap(2, first(), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_min",
        kind: Kind::Scatter,
        types: EVERY,
        build: |x, p| x[0].index_min(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_min", K::DType, x.index_min(0, zeros([1], DType::F32), 1.0)),
                ("Expr::index_min", K::Shape, whole.index_min(0, zeros([1, 1], DType::I32), 1)),
                ("Expr::index_min", K::Shape, whole.index_min(0, first(), zeros([2], DType::I32))),
                ("Expr::index_min", K::DType, whole.index_min(0, zeros([1], DType::F32), 1)),
                ("Expr::index_min", K::DType, whole.index_min(0, first(), zeros([1], DType::F32))),
                ("Expr::index_min", K::Argument, whole.index_min(0, first(), 1u64 << 40)),
                ("Expr::index_min", K::Index, none.astype(DType::I8).index_min(0, first(), 1)),
            ]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_min_clip",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_min_clip(p.axis, &x[1], &x[2]),
        refuses: |x, _| vec![("Expr::index_min_clip", K::Axis, x.index_min_clip(2, first(), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_min_wrap",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_min_wrap(p.axis, &x[1], &x[2]),
        refuses: |x, _| vec![("Expr::index_min_wrap", K::Axis, x.index_min_wrap(2, first(), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_max",
        kind: Kind::Scatter,
        types: EVERY,
        build: |x, p| x[0].index_max(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_max", K::DType, x.index_max(0, zeros([1], DType::F32), 1.0)),
                ("Expr::index_max", K::Shape, whole.index_max(0, zeros([1, 1], DType::I32), 1)),
                ("Expr::index_max", K::Shape, whole.index_max(0, first(), zeros([2], DType::I32))),
                ("Expr::index_max", K::DType, whole.index_max(0, zeros([1], DType::F32), 1)),
                ("Expr::index_max", K::DType, whole.index_max(0, first(), zeros([1], DType::F32))),
                ("Expr::index_max", K::Argument, whole.index_max(0, first(), 1u64 << 40)),
                ("Expr::index_max", K::Index, none.astype(DType::I8).index_max(0, first(), 1)),
            ]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_max_clip",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_max_clip(p.axis, &x[1], &x[2]),
        refuses: |x, _| vec![("Expr::index_max_clip", K::Axis, x.index_max_clip(2, first(), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_max_wrap",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_max_wrap(p.axis, &x[1], &x[2]),
        refuses: |x, _| vec![("Expr::index_max_wrap", K::Axis, x.index_max_wrap(2, first(), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "concat",
        kind: Kind::Join,
        build: |x, p| concat(x, p.axis),
        refuses: |x, _| {
            let huge = [zeros([1usize << 62, 0], DType::F32), zeros([1usize << 62, 0], DType::F32)];
            vec![("concat", K::Shape, concat([x, &x.t()], 0)), ("concat", K::LimitExceeded, concat(huge, 0))]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "stack",
        kind: Kind::Join,
        build: |x, p| stack(x, p.axis),
        refuses: |x, _| vec![("stack", K::Shape, stack([x, &x.t()], 0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "take_along_axis",
        build: |x, p| x[0].take_along_axis(&x[1], p.axis),
        refuses: |x, none| {
            let i = zeros([3, 1], DType::I32);
            vec![
                ("Expr::take_along_axis", K::DType, x.take_along_axis(x, 0)),
                ("Expr::take_along_axis", K::Axis, x.take_along_axis(&i, 2)),
                ("Expr::take_along_axis", K::Shape, x.take_along_axis(first(), 0)),
                ("Expr::take_along_axis", K::Shape, x.take_along_axis(zeros([2, 4], DType::I32), 1)),
                ("Expr::take_along_axis", K::Index, none.take_along_axis(zeros([1, 3], DType::I32), 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "take_along_axis_clip",
        types: "",
        build: |x, p| x[0].take_along_axis_clip(&x[1], p.axis),
        refuses: |x, _| vec![("Expr::take_along_axis_clip", K::DType, x.take_along_axis_clip(x, 0))],
        ..MOVE
    },
    Operation {
        name: "take_along_axis_wrap",
        types: "",
        build: |x, p| x[0].take_along_axis_wrap(&x[1], p.axis),
        refuses: |x, _| vec![("Expr::take_along_axis_wrap", K::Axis, x.take_along_axis_wrap(first(), 5))],
        ..MOVE
    },
    Operation {
        name: "put",
        build: |x, _| x[0].put(&x[1], x[0].flip(0)),
        refuses: |x, none| {
            vec![
                ("Expr::put", K::DType, x.put(0.5, 1.0)),
                ("Expr::put", K::DType, x.astype(DType::I32).put(0, zeros([1], DType::F32))),
                ("Expr::put", K::Argument, x.astype(DType::U8).put(0, 300)),
                ("Expr::put", K::Shape, x.put(first(), zeros([2], DType::F32))),
                ("Expr::put", K::Index, none.put(0, 1.0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "put_clip",
        types: "",
        build: |x, _| x[0].put_clip(&x[1], x[0].flip(0)),
        refuses: |x, _| vec![("Expr::put_clip", K::DType, x.put_clip(0.5, 1.0))],
        ..MOVE
    },
    Operation {
        name: "put_wrap",
        types: "",
        build: |x, _| x[0].put_wrap(&x[1], x[0].flip(0)),
        refuses: |x, _| vec![("Expr::put_wrap", K::DType, x.put_wrap(0.5, 1.0))],
        ..MOVE
    },
    Operation {
        name: "put_along_axis",
        build: |x, p| x[0].put_along_axis(&x[1], x[0].flip(0), p.axis),
        refuses: |x, none| {
            let i = zeros([3, 1], DType::I32);
            vec![
                ("Expr::put_along_axis", K::DType, x.put_along_axis(x, 1.0, 0)),
                ("Expr::put_along_axis", K::Axis, x.put_along_axis(&i, 1.0, 2)),
                ("Expr::put_along_axis", K::Shape, x.put_along_axis(first(), 1.0, 0)),
                ("Expr::put_along_axis", K::Shape, x.put_along_axis(zeros([2, 4], DType::I32), 1.0, 1)),
                ("Expr::put_along_axis", K::Shape, x.put_along_axis(&i, zeros([2], DType::F32), 1)),
                ("Expr::put_along_axis", K::Index, none.put_along_axis(zeros([1, 3], DType::I32), 1.0, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "put_along_axis_clip",
        types: "",
        build: |x, p| x[0].put_along_axis_clip(&x[1], x[0].flip(0), p.axis),
        refuses: |x, _| vec![("Expr::put_along_axis_clip", K::DType, x.put_along_axis_clip(x, 1.0, 0))],
        ..MOVE
    },
    Operation {
        name: "put_along_axis_wrap",
        types: "",
        build: |x, p| x[0].put_along_axis_wrap(&x[1], x[0].flip(0), p.axis),
        refuses: |x, _| vec![("Expr::put_along_axis_wrap", K::Axis, x.put_along_axis_wrap(first(), 1.0, 5))],
        ..MOVE
    },
    Operation {
        name: "take_at",
        build: |x, _| x[0].take_at((0, x[1].slice(s![0]).clip(0, 0))),
        refuses: |x, none| {
            vec![
                ("Expr::take_at", K::Argument, x.take_at([0; 0])),
                ("Expr::take_at", K::Argument, x.take_at((0, 0, 0))),
                ("Expr::take_at", K::DType, x.take_at((0, 0.5))),
                ("Expr::take_at", K::Shape, x.take_at((zeros([2], DType::I32), zeros([3], DType::I32)))),
                ("Expr::take_at", K::Index, none.take_at((0,))),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "take_at_clip",
        types: "",
        build: |x, _| x[0].take_at_clip((&x[1], &x[1])),
        refuses: |x, _| vec![("Expr::take_at_clip", K::DType, x.take_at_clip((0, 0.5)))],
        ..MOVE
    },
    Operation {
        name: "take_at_wrap",
        types: "",
        build: |x, _| x[0].take_at_wrap((&x[1], &x[1])),
        refuses: |x, _| vec![("Expr::take_at_wrap", K::Argument, x.take_at_wrap((0, 0, 0)))],
        ..MOVE
    },
    Operation {
        name: "set_at",
        build: |x, _| {
            let written = x[0].eval().and_then(|mut a| a.set_at_wrap((&x[1], &x[1]), x[0].flip(0)).map(|()| a));
            written.map_or_else(|_| x[0].reshape([-1, -1]), Expr::from)
        },
        ..MOVE
    },
    Operation {
        name: "set_where",
        build: |x, _| {
            let written = x[0].eval().and_then(|mut a| a.set_where(x[1].greater(0), x[0].flip(0)).map(|()| a));
            written.map_or_else(|_| x[0].reshape([-1, -1]), Expr::from)
        },
        ..MOVE
    },
    Operation {
        name: "compress",
        build: |x, _| x[0].compress(x[1].greater(0)).map_or_else(|_| x[0].reshape([-1, -1]), Expr::from),
        ..MOVE
    },
    Operation {
        name: "roll",
        build: |x, p| x[0].roll(3, p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::roll", K::Axis, x.roll(1, 2)),
                ("Expr::roll", K::Argument, x.roll([1, 2, 3], [0, 1])),
                ("Expr::roll", K::Argument, x.roll(1, Vec::<isize>::new())),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "repeat",
        build: |x, p| x[0].repeat(3, p.axis),
        refuses: |x, none| {
            vec![
                ("Expr::repeat", K::Axis, x.repeat(2, 2)),
                ("Expr::repeat", K::Axis, x.repeat(2, [0, 1])),
                ("Expr::repeat", K::Argument, x.repeat(-1, 0)),
                ("Expr::repeat", K::Shape, x.repeat([1, 2], 0)),
                ("Expr::repeat", K::LimitExceeded, x.repeat(usize::MAX, 0)),
                ("Expr::repeat", K::LimitExceeded, x.repeat([isize::MAX, 1, 1], 0)),
                ("Expr::repeat", K::LimitExceeded, none.repeat(isize::MAX, 1)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "tile",
        build: |x, _| x[0].tile([2, 3]),
        refuses: |x, _| {
            vec![
                ("Expr::tile", K::Argument, x.tile([2, -1])),
                ("Expr::tile", K::LimitExceeded, x.tile([isize::MAX, 2])),
                ("Expr::tile", K::LimitExceeded, x.tile(vec![1isize; 65])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "rot90",
        build: |x, _| x[0].rot90(1, (0, 1)),
        refuses: |x, _| {
            vec![
                ("Expr::rot90", K::Axis, x.rot90(1, (0, 2))),
                ("Expr::rot90", K::Axis, x.rot90(1, ..)),
                ("Expr::rot90", K::Axis, x.rot90(1, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "pad",
        build: |x, p| x[0].pad([(2, 1), (0, 3)], if p.axis == 0 { Pad::Reflect } else { Pad::constant(true) }),
        refuses: |x, none| {
            let half = Pad::constant(0.5);
            vec![
                ("Expr::pad", K::Argument, x.pad([(1, 1); 3], Pad::Edge)),
                ("Expr::pad", K::Argument, x.astype(DType::U8).pad(1, half)),
                ("Expr::pad", K::Argument, x.astype(DType::U8).pad(1, Pad::constant(300))),
                ("Expr::pad", K::LimitExceeded, x.pad(-1, half)),
                ("Expr::pad", K::LimitExceeded, x.pad((1, usize::MAX), Pad::Wrap)),
                ("Expr::pad", K::Shape, none.pad(1, Pad::Symmetric)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "insert",
        build: |x, p| x[0].insert([0, 1, 1], x[0].slice(s![0, 0]), p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::insert", K::Axis, x.insert(0, 1.0, 2)),
                ("Expr::insert", K::Index, x.insert(4, 1.0, 0)),
                ("Expr::insert", K::Index, x.insert([0, -4], 1.0, 0)),
                ("Expr::insert", K::Shape, x.insert([0, 1], zeros([3], DType::F32), 0)),
                ("Expr::insert", K::DType, x.astype(DType::I32).insert(0, zeros([4], DType::F32), 0)),
                ("Expr::insert", K::Argument, x.astype(DType::I32).insert(0, 0.5, 0)),
                ("Expr::insert", K::Argument, x.insert([SliceItem::Ellipsis], 0.5, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "delete",
        build: |x, p| x[0].delete(s![..;3], p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::delete", K::Axis, x.delete(0, 2)),
                ("Expr::delete", K::Index, x.delete(3, 0)),
                ("Expr::delete", K::Index, x.delete([0, -4], 0)),
                ("Expr::delete", K::Argument, x.delete([SliceItem::NewAxis], 0)),
                ("Expr::delete", K::Argument, x.delete(s![..;0], 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "block",
        build: |x, _| block([[&x[0], &x[0]], [&x[0], &x[0]]]),
        refuses: |x, _| {
            vec![
                ("block", K::Shape, block([[x], [&x.t()]])),
                ("block", K::Argument, block([[x; 0]])),
                ("block", K::DType, block([&x.astype(DType::U64), &x.astype(DType::I64)])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "tril",
        build: |x, p| x[0].tril(p.axis),
        refuses: |x, _| vec![("Expr::tril", K::Shape, x.sum(0).tril(0))],
        ..MOVE
    },
    Operation {
        name: "triu",
        build: |x, p| x[0].triu(p.axis),
        refuses: |x, _| vec![("Expr::triu", K::Shape, x.sum(..).triu(0))],
        ..MOVE
    },
    Operation {
        name: "diag",
        build: |x, p| if p.axis == 0 { x[0].slice(s![0, ..20]).diag(1) } else { x[0].diag(p.axis) },
        refuses: |x, _| {
            vec![
                ("Expr::diag", K::Shape, x.sum(..).diag(0)),
                ("Expr::diag", K::LimitExceeded, x.sum(0).diag(isize::MIN)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "diagflat",
        build: |x, p| x[0].slice(s![..2, ..3]).diagflat(p.axis),
        refuses: |x, _| vec![("Expr::diagflat", K::LimitExceeded, x.diagflat(1 << 40))],
        ..MOVE
    },
    Operation {
        name: "meshgrid",
        build: |x, p| {
            meshgrid([&x[0].slice(s![0]), &x[0].slice(s![.., 0])], Indexing::Xy).remove(p.axis.unsigned_abs())
        },
        refuses: |x, _| {
            let huge = zeros([1usize << 40], DType::F32);
            let one = x.slice(s![0, 0]).broadcast_to([1usize << 40]);
            vec![("meshgrid", K::LimitExceeded, meshgrid([&huge, &one], Indexing::Ij).remove(0))]
        },
        ..MOVE
    },
    Operation {
        name: "select_many",
        build: |x, _| {
            let [zero, one] = [zeros((), DType::Bool), ones((), DType::Bool)];
            select_many([&zero, &one], [&x[0].flip(..), &x[0]], x[0].flip(0))
        },
        refuses: |x, _| {
            let none: [&Expr; 0] = [];
            vec![
                ("select_many", K::Argument, select_many([x], [x, x], 0.0)),
                ("select_many", K::Argument, select_many(none, none, 0.0)),
                ("select_many", K::DType, select_many([x], [x.astype(DType::U64)], x.astype(DType::I64))),
                ("select_many", K::Shape, select_many([&x.t()], [x], 0.0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "choose",
        build: |x, _| arange(0, 2, 1, DType::I32).slice(s![1]).choose([&x[0].flip(..), &x[0]]),
        refuses: |x, _| {
            let none: [&Expr; 0] = [];
            vec![
                ("Expr::choose", K::Argument, first().choose(none)),
                ("Expr::choose", K::DType, x.choose([x])),
                ("Expr::choose", K::Shape, zeros([5], DType::I32).choose([x])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "choose_clip",
        types: "",
        build: |x, _| x[1].choose_clip([&x[0]]),
        refuses: |x, _| vec![("Expr::choose_clip", K::DType, x.choose_clip([x]))],
        ..MOVE
    },
    Operation {
        name: "choose_wrap",
        types: "",
        build: |x, _| x[1].choose_wrap([&x[0]]),
        refuses: |x, _| vec![("Expr::choose_wrap", K::DType, x.choose_wrap([x]))],
        ..MOVE
    },
    Operation {
        name: "fill_diagonal",
        build: |x, _| {
            // what a failed write leaves would not be what the test wants
            let written = x[0].eval().and_then(|mut a| a.fill_diagonal(x[0].slice(s![0, 0])).map(|()| a));
            written.map_or_else(|_| x[0].reshape([-1, -1]), Expr::from)
        },
        ..MOVE
    },
    Operation {
        name: "unravel_index",
        types: INTEGERS,
        result: |_| DType::I64,
        build: |x, p| x[0].unravel_index([16, 16]).remove(p.axis.unsigned_abs()),
        ..MOVE
    },
    Operation {
        name: "ravel_multi_index",
        types: INTEGERS,
        result: |_| DType::I64,
        build: |x, _| ravel_multi_index([&x[0], &x[0]], [128, 128]),
        refuses: |x, none| {
            vec![
                ("ravel_multi_index", K::DType, ravel_multi_index([x, x], [3, 4])),
                ("ravel_multi_index", K::Argument, ravel_multi_index([first()], [3, 4])),
                ("ravel_multi_index", K::Shape, ravel_multi_index([first()], [-1])),
                ("ravel_multi_index", K::LimitExceeded, ravel_multi_index([first(), first()], [1usize << 30, 1 << 40])),
                ("ravel_multi_index", K::LimitExceeded, ravel_multi_index([first()], [1usize << 40])),
                ("ravel_multi_index", K::Index, ravel_multi_index([first()], [0])),
                ("ravel_multi_index_clip", K::DType, ravel_multi_index_clip([x], [3])),
                ("ravel_multi_index_clip", K::Index, ravel_multi_index_clip([first()], [0])),
                ("ravel_multi_index_wrap", K::DType, ravel_multi_index_wrap([none], [3])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "diff",
        build: |x, p| x[0].diff(1, p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::diff", K::Axis, x.diff(1, 2)),
                ("Expr::diff_with", K::Axis, x.diff_with(1, -3, None, None)),
                ("Expr::diff_with", K::Shape, x.diff_with(1, 0, Some(&x.t()), None)),
                ("Expr::diff_with", K::DType, x.astype(DType::I64).diff_with(1, 0, None, Some(&x.astype(DType::U64)))),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "ediff1d",
        types: NUMBERS,
        build: |x, _| x[0].ediff1d(Some(&x[0].slice(s![0])), Some(&x[0].slice(s![..1, 0]))),
        refuses: |x, _| {
            vec![
                ("Expr::ediff1d", K::DType, x.astype(DType::I32).ediff1d(Some(x), None)),
                ("Expr::ediff1d", K::Shape, (x + x.t()).ediff1d(None, None)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "gradient",
        result: float_type,
        build: |x, p| x[0].gradient(0.75, p.axis),
        refuses: |x, none| {
            vec![
                ("Expr::gradient", K::Axis, x.gradient(1.0, 2)),
                ("Expr::gradient", K::Shape, none.gradient(1.0, 0)),
                ("Expr::gradient", K::Shape, x.slice(s![..1]).gradient(1.0, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "trapezoid",
        result: float_type,
        build: |x, p| x[0].trapezoid(0.75, p.axis),
        refuses: |x, _| vec![("Expr::trapezoid", K::Axis, x.trapezoid(1.0, 2))],
        ..MOVE
    },
    Operation { name: "sort", refuses: |x, _| vec![("Expr::sort", K::Axis, x.sort(2))], ..COMPOSITE },
    Operation {
        name: "argsort",
        result: |_| DType::I64,
        refuses: |x, _| vec![("Expr::argsort", K::Axis, x.argsort(descending(-3)))],
        ..COMPOSITE
    },
    Operation {
        name: "topk",
        refuses: |x, _| {
            vec![
                ("Expr::topk", K::Argument, x.topk(5, 1, true).0),
                ("Expr::topk", K::Axis, x.topk(1, 2, false).1),
                ("Expr::argtopk", K::Argument, x.argtopk(4, 0, true)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "partition",
        refuses: |x, none| {
            vec![
                ("Expr::partition", K::Index, x.partition(4, 1)),
                ("Expr::partition", K::Index, none.partition(0, 0)),
                ("Expr::partition", K::Axis, x.partition(0, 2)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "argpartition",
        result: |_| DType::I64,
        refuses: |x, _| vec![("Expr::argpartition", K::Index, x.argpartition(-5, 1))],
        ..COMPOSITE
    },
    Operation {
        name: "lexsort",
        result: |_| DType::I64,
        refuses: |x, _| {
            vec![
                ("lexsort", K::Argument, lexsort([x; 0], 0)),
                ("lexsort", K::Shape, lexsort([x, &x.t()], 0)),
                ("lexsort", K::Axis, lexsort([x, x], 2)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "cummax_with_positions",
        refuses: |x, _| vec![("Expr::cummax_with_positions", K::Axis, x.cummax_with_positions(2).0)],
        ..COMPOSITE
    },
    Operation {
        name: "cummin_with_positions",
        refuses: |x, _| vec![("Expr::cummin_with_positions", K::Axis, x.cummin_with_positions(-3).1)],
        ..COMPOSITE
    },
    Operation {
        name: "searchsorted",
        result: |_| DType::I64,
        refuses: |x, _| {
            let row = x.slice(s![0]);
            vec![
                ("searchsorted", K::Shape, searchsorted(x, x, Side::Left, None)),
                ("searchsorted", K::Shape, searchsorted(&row, x, Side::Left, Some(&x.slice(s![.., 0])))),
                ("searchsorted", K::DType, searchsorted(&row, x, Side::Left, Some(&row))),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "digitize",
        result: |_| DType::I64,
        refuses: |x, _| vec![("Expr::digitize", K::Shape, x.digitize(x, false))],
        ..COMPOSITE
    },
    Operation {
        name: "histogram",
        types: EVERY,
        result: |_| DType::I64,
        refuses: |x, none| {
            vec![
                ("Expr::histogram", K::Argument, x.histogram(0, None).0),
                ("Expr::histogram", K::Argument, x.histogram(3, Some((0.0, INF))).1),
                ("Expr::histogram_with_edges", K::Shape, x.histogram_with_edges(x)),
                ("Expr::histogram_with_edges", K::Shape, x.histogram_with_edges(none.ravel())),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "histogram_weighted",
        types: EVERY,
        result: sum_type,
        refuses: |x, none| {
            vec![
                ("Expr::histogram_weighted", K::Argument, x.histogram_weighted(1.0, 0, None).0),
                ("Expr::histogram_weighted", K::Shape, x.histogram_weighted(x.t(), 3, None).1),
                ("Expr::histogram_with_edges_weighted", K::Shape, x.histogram_with_edges_weighted(1.0, x)),
                ("Expr::histogram_with_edges_weighted", K::Shape, x.histogram_with_edges_weighted(1.0, none.ravel())),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "bincount_weighted",
        result: sum_type,
        refuses: |x, _| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::bincount_weighted", K::DType, x.bincount_weighted(1.0, 3)),
                ("Expr::bincount_weighted", K::Shape, whole.bincount_weighted(x.t(), 3)),
                ("Expr::bincount_weighted", K::Index, whole.bincount_weighted(1.0, 0)),
            ]
        },
        ..COMPOSITE
    },
    Operation { name: "nonzero", ..COMPOSITE },
    Operation { name: "argwhere", ..COMPOSITE },
    Operation { name: "flatnonzero", ..COMPOSITE },
    Operation { name: "isin", ..COMPOSITE },
    Operation { name: "unique_values", ..COMPOSITE },
    Operation { name: "unique_counts", ..COMPOSITE },
    Operation { name: "unique_inverse", ..COMPOSITE },
    Operation { name: "unique_all", ..COMPOSITE },
    Operation { name: "intersect", ..COMPOSITE },
    Operation { name: "union", ..COMPOSITE },
    Operation { name: "setdiff", ..COMPOSITE },
    Operation {
        name: "segment_sum",
        result: sum_type,
        refuses: |x, _| {
            vec![
                ("Expr::segment_sum", K::Shape, x.segment_sum(first(), 3)),
                ("Expr::segment_sum", K::DType, x.segment_sum(zeros([3], DType::F32), 3)),
                ("Expr::segment_sum", K::Index, x.segment_sum(zeros([3], DType::I32), 0)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "reduce_at",
        result: sum_type,
        refuses: |x, none| {
            vec![
                ("Expr::reduce_at", K::Shape, x.reduce_at(zeros([1, 1], DType::I32), 0)),
                ("Expr::reduce_at", K::DType, x.reduce_at(zeros([1], DType::F32), 0)),
                ("Expr::reduce_at", K::Axis, x.reduce_at(first(), 2)),
                ("Expr::reduce_at", K::Index, none.reduce_at(first(), 0)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "histogram2d",
        types: EVERY,
        result: |_| DType::I64,
        refuses: |x, _| {
            let huge = x.histogram2d(x, [1 << 20, 1 << 20], None).0;
            vec![
                ("Expr::histogram2d", K::Shape, x.histogram2d(x.t(), [2, 2], None).0),
                ("Expr::histogram2d", K::LimitExceeded, huge),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "median",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::median", K::Axis, x.median(2))],
        ..COMPOSITE
    },
    Operation {
        name: "nanmedian",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::nanmedian", K::Axis, x.nanmedian([0, 0]))],
        ..COMPOSITE
    },
    Operation {
        name: "quantile",
        types: EVERY,
        result: float_type,
        refuses: |x, none| {
            let method = QuantileMethod::Lower;
            vec![
                ("Expr::quantile", K::Argument, x.quantile(-0.1, 0, method)),
                ("Expr::quantile", K::Axis, x.quantile(0.1, 2, method)),
                ("Expr::quantile", K::Shape, none.astype(DType::I32).quantile(0.1, 0, method)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "percentile",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::percentile", K::Argument, x.percentile([1.0, 101.0], 0, QuantileMethod::Linear))],
        ..COMPOSITE
    },
    Operation {
        name: "nanquantile",
        types: EVERY,
        result: float_type,
        refuses: |x, none| {
            let method = QuantileMethod::Higher;
            vec![
                ("Expr::nanquantile", K::Argument, x.nanquantile([0.5, 1.5], 0, method)),
                ("Expr::nanquantile", K::Axis, x.nanquantile(0.1, 2, method)),
                ("Expr::nanquantile", K::Shape, none.astype(DType::I32).nanquantile(0.1, 0, method)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "nanpercentile",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::nanpercentile", K::Argument, x.nanpercentile(-1.0, 0, QuantileMethod::Linear))],
        ..COMPOSITE
    },
    Operation {
        name: "interp",
        types: EVERY,
        result: float_type,
        refuses: |x, _| {
            let row = x.slice(s![0]);
            vec![
                ("interp", K::Shape, interp(x, x, x)),
                ("interp", K::Shape, interp(x, &row, row.slice(s![1..]))),
                ("interp", K::Shape, interp(x, row.slice(s![..0]), row.slice(s![..0]))),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "astype",
        kind: Kind::Conversion,
        build: |x, p| x[0].astype(p.dtype),
        refuses: |x, _| vec![("Expr::astype", K::Shape, (x + x.reshape([12])).astype(DType::I32))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "arange",
        types: "u8 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| arange(0, p.shape[0], 1, p.dtype),
        refuses: |_, _| vec![("arange", K::Argument, arange(0, 10, 0, DType::I32))],
        ..GENERATOR
    },
    Operation {
        name: "linspace",
        types: "f16 bf16 f32 f64",
        build: |_, p| linspace(0.0, 1.0, p.shape[0], p.dtype),
        refuses: |_, _| vec![("linspace", K::LimitExceeded, linspace(0.0, 1.0, 1 << 40, DType::F32))],
        ..GENERATOR
    },
    Operation {
        name: "tri",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| tri(1, p.shape[0], 50, p.dtype).slice(s![0]),
        refuses: |_, _| {
            vec![
                ("tri", K::LimitExceeded, tri(1 << 40, 1, 0, DType::F32)),
                ("tri", K::LimitExceeded, tri(usize::MAX, 2, 0, DType::F32)),
            ]
        },
        suite: Suite::Moves,
        ..GENERATOR
    },
    Operation {
        name: "eye_shifted",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| eye_shifted(1, p.shape[0], 50, p.dtype).slice(s![0]),
        refuses: |_, _| vec![("eye_shifted", K::LimitExceeded, eye_shifted(1 << 40, 1, 0, DType::F32))],
        suite: Suite::Moves,
        ..GENERATOR
    },
    Operation {
        name: "indices",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| indices(p.shape[0], p.dtype).slice(s![0]),
        refuses: |_, _| {
            vec![
                ("indices", K::Argument, indices([300], DType::U8)),
                ("indices", K::Argument, indices([3], DType::Bool)),
                ("indices", K::Shape, indices([-3], DType::I32)),
                ("indices", K::LimitExceeded, indices([1usize << 40], DType::I64)),
            ]
        },
        suite: Suite::Moves,
        ..GENERATOR
    },
    Operation {
        name: "logspace",
        types: "f16 bf16 f32 f64",
        build: |_, p| logspace(-1.0, 1.0, p.shape[0], 10.0, p.dtype),
        refuses: |_, _| {
            vec![
                ("logspace", K::LimitExceeded, logspace(0.0, 1.0, 1 << 40, 10.0, DType::F32)),
                ("logspace", K::DType, logspace(0.0, 1.0, 3, 10.0, DType::I32)),
                ("logspace", K::Argument, logspace(0.0, INF, 3, 10.0, DType::F32)),
                ("logspace", K::Argument, logspace(0.0, 1.0, 3, -10.0, DType::F32)),
                ("logspace", K::Argument, logspace(0.0, 1e300, 3, 10.0, DType::F32)),
            ]
        },
        ..GENERATOR
    },
    Operation {
        name: "geomspace",
        types: "f16 bf16 f32 f64",
        build: |_, p| geomspace(0.25, 4.0, p.shape[0], p.dtype),
        refuses: |_, _| {
            vec![
                ("geomspace", K::LimitExceeded, geomspace(1.0, 2.0, 1 << 40, DType::F32)),
                ("geomspace", K::DType, geomspace(1.0, 2.0, 3, DType::I32)),
                ("geomspace", K::Argument, geomspace(1.0, NAN, 3, DType::F32)),
                ("geomspace", K::Argument, geomspace(0.0, 1.0, 3, DType::F32)),
                ("geomspace", K::Argument, geomspace(-1.0, 1.0, 3, DType::F32)),
            ]
        },
        ..GENERATOR
    },
    Operation {
        name: "uniform",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).uniform(&p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::uniform", K::LimitExceeded, Rng::new(1).uniform([1 << 20, 1 << 20], DType::F32))],
        ..GENERATOR
    },
    Operation {
        name: "normal",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).normal(&p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::normal", K::LimitExceeded, Rng::new(1).normal([1 << 20, 1 << 20], DType::F32))],
        ..GENERATOR
    },
    Operation {
        name: "integers",
        types: "u8 i32 u64 i64",
        build: |_, p| Rng::new(1).integers(0, 7, &p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::integers", K::Argument, Rng::new(1).integers(3, 3, [2], DType::I32))],
        ..GENERATOR
    },
    Operation {
        name: "bernoulli",
        types: "bool f32",
        build: |_, p| Rng::new(1).bernoulli(0.4, &p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::bernoulli", K::Argument, Rng::new(1).bernoulli(1.5, [2], DType::Bool))],
        ..GENERATOR
    },
    Operation {
        name: "exponential",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).exponential(1.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
    Operation {
        name: "gumbel",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).gumbel(0.0, 1.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
    Operation {
        name: "laplace",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).laplace(0.0, 1.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
    Operation {
        name: "truncated_normal",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).truncated_normal(-1.0, 2.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
];
