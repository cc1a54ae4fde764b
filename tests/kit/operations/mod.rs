//! The operations that are not in the table of elementwise functions, one entry each: reductions, functions of rows,
//! products, gathers, joins, conversions and generators. The contract, random programs, the comparison with NumPy,
//! fuzzing, hashes, refusals, errors and golden values read this list as they read `testing::rows()`. A new operation
//! needs an entry in a file here, its lines in `contract.csv`, and its reference and bound in `contract/`.

mod elements;
mod generators;
mod indices;
mod moves;
mod network;
mod orders;
mod products;
mod reductions;

use cupric::*;

/// The arguments of an operation besides its operands. Each operation reads only those that it needs.
#[derive(Clone)]
pub struct Params {
    /// The axes of a reduction or a function of rows.
    pub axes: AxesArg,
    /// The axis of a gather, scatter or join.
    pub axis: isize,
    /// What a norm adds to the variance or mean square.
    pub epsilon: f64,
    /// The result's dtype, for conversions and generators.
    pub dtype: DType,
    /// The result's shape, for generators.
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
    /// One operand. All elements along the axes are combined into one result.
    Reduction,
    /// One operand. Each element has a result, which also depends on the other elements along the axes.
    Row,
    Product,
    /// Reads an array at indices.
    Gather,
    /// Combines values with an array's elements at indices.
    Scatter,
    Join,
    /// Moves or selects elements of one or more arrays, or takes their differences. The result has another shape.
    Move,
    Conversion,
    /// Built from other operations. `contract/composites/` has a call and a reference for each.
    Composite,
    /// No operand. `types` are then the dtypes of the result.
    Generator,
}

/// A call that must fail: the public function's name, the kind of error, and the expression that carries the error.
pub type Refusal = (&'static str, ErrorKind, Expr);

/// A reference in f64: the results of the elements along the axes, or `None` where the operation must give an error.
pub type Meaning = fn(&[f64]) -> Option<Vec<f64>>;

/// One operation.
pub struct Operation {
    pub name: &'static str,
    pub kind: Kind,
    /// The dtypes that the operation takes, separated by spaces. `contract.csv` has a bound for each.
    pub types: &'static str,
    /// The result's dtype for operands of a dtype.
    pub result: fn(DType) -> DType,
    pub build: fn(&[Expr], &Params) -> Expr,
    /// The reference of a reduction or a function of rows.
    pub meaning: Option<Meaning>,
    /// Returns calls that must fail, given a matrix of 3 × 4 and one of 0 × 3.
    pub refuses: fn(&Expr, &Expr) -> Vec<Refusal>,
    /// Whether the function takes only one axis or `..`, and not a list of axes.
    pub one_axis: bool,
    /// Whether it reads the elements along its axes several times, and computes integers in f32.
    pub several_passes: bool,
    /// The types of operands for which `hashes.txt` has a line with the hash of the result's bits.
    pub pinned: Pinned,
    /// The test of the contract that runs it.
    pub suite: Suite,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    Reductions,
    /// Reductions and functions of rows that use exponentials, and norms.
    Rows,
    Products,
    Composites,
    Others,
    /// Operations that move elements, and differences of neighbours.
    Moves,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pinned {
    Every,
    /// All dtypes except bool.
    Numbers,
    Floats,
    /// No hashes here, because the hashes of whole programs cover it.
    Elsewhere,
}

impl Operation {
    /// Whether the operation works along axes, as `sum` and `softmax` do.
    pub fn along_axes(&self) -> bool {
        matches!(self.kind, Kind::Reduction | Kind::Row)
    }

    /// Whether the result has the shape of the operand.
    pub fn keeps_shape(&self) -> bool {
        self.kind == Kind::Row
    }

    /// Whether the operation takes this dtype, and so has a bound for it in the contract.
    pub fn takes(&self, dtype: DType) -> bool {
        self.types.split(' ').any(|t| t == dtype.name())
    }
}

/// The operation with this name.
pub fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|o| o.name == name)
}

/// The operations that work along axes.
pub fn along_axes() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(|o| o.along_axes())
}

const EVERY: &str = "bool u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64";
const INTEGERS: &str = "u8 i8 u16 i16 u32 i32 u64 i64";
const NUMBERS: &str = "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64";

/// An entry with the usual values, for `..PLAIN`.
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

/// An expression for the index list `[0]`, which has no device yet.
fn first() -> Expr {
    arange(0, 1, 1, DType::I32)
}

/// The parts of the list. Their order must stay, because random programs, fuzzing and their output depend on it.
const PARTS: [&[Operation]; 8] = [
    reductions::REDUCTIONS,
    products::PRODUCTS,
    elements::ELEMENTS,
    indices::INDICES,
    moves::MOVES,
    orders::ORDERS,
    generators::GENERATORS,
    network::NETWORK,
];

const fn count() -> usize {
    let (mut n, mut part) = (0, 0);
    while part < PARTS.len() {
        n += PARTS[part].len();
        part += 1;
    }
    n
}

const fn joined() -> [Operation; count()] {
    let mut all = [PLAIN; count()];
    let (mut n, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut i = 0;
        while i < PARTS[part].len() {
            all[n] = Operation { ..PARTS[part][i] };
            (n, i) = (n + 1, i + 1);
        }
        part += 1;
    }
    all
}

/// The complete list.
pub static OPERATIONS: &[Operation] = &joined();
