//! The operations that are no rows of the ufunc table, an entry each: reductions, functions of rows, products, gathers,
//! joins, conversions and generators. The contract, random programs, the comparison with NumPy, fuzzing, hashes,
//! refusals, errors and golden values read this list as they read `testing::rows()`: a new operation is one entry in a
//! file here, its lines in `contract.csv`, and its reference and bound in `contract/`.

mod elements;
mod generators;
mod indices;
mod moves;
mod network;
mod orders;
mod products;
mod reductions;

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
    /// Made of other operations; `contract/composites/` has a call and a reference of each.
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

/// Indices with position 0 alone, as an expression that has no device.
fn first() -> Expr {
    arange(0, 1, 1, DType::I32)
}

/// The parts of the list, in its order: random programs, fuzzing and what they print count on it.
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

/// The whole list.
pub static OPERATIONS: &[Operation] = &joined();
