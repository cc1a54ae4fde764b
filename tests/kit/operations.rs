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
    Conversion,
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
    /// The types that it takes, separated by spaces; those after a `!` on the CPU alone. `contract.csv` has a bound for each.
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
    Others,
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

    /// Whether it takes a type, on a GPU or on the CPU, and so has a bound for it in the contract.
    pub fn takes(&self, dtype: DType, gpu: bool) -> bool {
        self.types.split(' ').any(|t| if gpu { t == dtype.name() } else { t.trim_start_matches('!') == dtype.name() })
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
/// Every type, but f64 on the CPU alone, because WGSL has no exp of f64.
const NO_F64_ON_GPU: &str = "bool u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 !f64";

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
        name: "softmax",
        kind: Kind::Row,
        types: NO_F64_ON_GPU,
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
        types: NO_F64_ON_GPU,
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
        types: NO_F64_ON_GPU,
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
        types: NO_F64_ON_GPU,
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
        types: NO_F64_ON_GPU,
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
        types: INTEGERS,
        build: |x, p| x[0].index_add(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_add", K::Unsupported, x.index_add(0, first(), 1.0)),
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
        types: INTEGERS,
        build: |x, p| x[0].index_min(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_min", K::Unsupported, x.index_min(0, first(), 1.0)),
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
        types: INTEGERS,
        build: |x, p| x[0].index_max(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_max", K::Unsupported, x.index_max(0, first(), 1.0)),
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
        name: "uniform",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).uniform(&p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::uniform", K::LimitExceeded, Rng::new(1).uniform([1 << 20, 1 << 20], DType::F32))],
        ..GENERATOR
    },
    Operation {
        name: "normal",
        types: "f16 bf16 f32 !f64",
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
];
