//! The table of folds, one row of plain data for each way in which a reduction combines its elements.
//!
//! A [`Fold`] is a commutative monoid with a state of one to three numbers (*components*). `lift` makes a state from an
//! element and its position, `combine` makes one state from two, and `finish` makes the result from the state of all
//! elements. The three are [`Term`]s: formulas over rows of the table of functions, of which the CPU takes the loops and a
//! GPU the WGSL text, so that a fold is written once. `fold/program.rs` turns them into steps for elements of one type.
//!
//! Most folds are made from a binary function: the key `reduce:` of `add` makes the fold whose state is the element
//! itself and which combines by `add` ([`Fold::of`]). A row may name a faster [`Form`] than its formulas, which gives the
//! same bits. Planner and backends decide by components and columns, never by which fold it is. The rows that no function's
//! key makes, `argmin` and `argmax`, stand in `fold/rows.rs`.
//!
//! A row that is not commutative is refused: the tree of a reduction does not keep the order of its elements. A fold whose
//! result depends on the order, as `argmin` does in a tie, keeps positions in its state. A reduction that is cut into parts
//! stores the components of its parts' states, and the next pass combines those without `lift`.

mod program;
mod rows;

pub(crate) use program::{Operand, Program, Step, Term};
pub(crate) use rows::{ARGMAX, ARGMIN, SUM_OF_CHAINS};

use super::{Neutral, Ufunc};
use crate::base::dtype::{Compute, DType};
use crate::base::error::Fault;
use program::Typing;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The most components that a state may have; no fold has needed more. A GPU workgroup holds a state for each of its at most
/// 256 invocations in shared memory: 256 × 3 × 8 bytes are 6 KiB of the 16 KiB that WebGPU guarantees.
pub(crate) const MOST_COMPONENTS: usize = 3;

/// How the compute type of a component, a result or a constant of a fold follows from the type of the elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// The compute type of the elements.
    Operand,
    /// The float type of the elements: f64 for f64, f32 for all others.
    Float,
    /// The named type, whatever the type of the elements.
    Is(Compute),
}

impl Kind {
    /// Returns the compute type for elements of the type `element`.
    pub fn compute(self, element: DType) -> Compute {
        match self {
            Kind::Operand => element.compute(),
            Kind::Float => element.float().compute(),
            Kind::Is(compute) => compute,
        }
    }
}

/// The column of one component: one number of a fold's state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Component {
    pub kind: Kind,
    /// The component's start value. Combining the state of all start values with a state gives that state again.
    pub init: Neutral,
}

impl Component {
    /// Returns a copy of `state` that lives as long as the process, as rows do; equal lists share one.
    pub fn list(state: &[Component]) -> &'static [Component] {
        static LISTS: program::Lists<Component> = LazyLock::new(Mutex::default);
        program::kept(&LISTS, state)
    }
}

/// The code by which backends run a fold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Form {
    /// The steps of its formulas. All rows of the product have a faster form; rows that tests make have this one.
    Formulas,
    /// The function's own loops and WGSL text: the state is the element itself, and the function combines.
    Function(&'static Ufunc),
    /// The search for the first best element: the state is an element and its position, and the result is the position. The
    /// function says by its `picks` which of two elements is better. Of equal elements, and of several NaNs, the first wins.
    FirstOf(&'static Ufunc),
}

/// The order in which a reduction must combine its elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Any order, because all give the same bits.
    Any,
    /// The order of the reduction's tree: each step rounds, so another order gives other bits.
    Tree,
    /// Row-major along the reduced axes, because positions are counted in that order.
    RowMajor,
    /// One element after another along the inner space: no tree, and no two lanes combine elements of one row. Only the planner
    /// makes such folds, to add the chains of a product (`plan/chains.rs`).
    Sequence,
}

/// The columns of a row. Rows with equal columns are one fold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Definition {
    /// The name that a printed plan shows.
    pub name: &'static str,
    /// The name of the reduction's method, such as `sum`.
    pub method: &'static str,
    pub state: &'static [Component],
    /// A formula for each component of an element's state, over [`Term::X`] and [`Term::Position`].
    pub lift: &'static [Term],
    /// A formula for each component of the combined state, over the two states [`Term::A`] and [`Term::B`].
    pub combine: &'static [Term],
    /// The formula of the result, over the components [`Term::A`] of the state of all elements.
    pub finish: Term,
    pub result: Kind,
    /// The result of a reduction of no elements, as bits of an f64; `None` where that is an error. It may differ from `finish`
    /// of the start values: a sum gives 0, though −0 is its neutral element.
    pub empty: Option<u64>,
    /// Whether `combine(a, b)` equals `combine(b, a)`: a row that says no is refused.
    pub commutative: bool,
    /// Whether states that hold floats give the same bits in any order. States of integers and bool always do.
    pub exact: bool,
    /// Whether elements are combined one after another.
    pub in_sequence: bool,
    pub form: Form,
}

/// A row of the table of folds. The row lives as long as the process, so that a copy is a copy of a reference.
#[derive(Clone, Copy)]
pub(crate) struct Fold(&'static Row);

/// A row of the table, with what is derived from its columns.
struct Row {
    /// The number of the row, which no other columns ever get.
    id: usize,
    definition: Definition,
    /// Whether `lift` takes the position.
    counts: bool,
}

/// The formulas of a fold as steps, for elements of one type.
pub(crate) struct Programs {
    /// The compute type of each component.
    pub state: SmallVec<[Compute; MOST_COMPONENTS]>,
    pub lift: Program,
    pub combine: Program,
    pub finish: Program,
}

/// The rows made so far. No row is ever removed, so that no id is given twice.
static ROWS: LazyLock<Mutex<HashMap<Definition, Fold>>> = LazyLock::new(Mutex::default);

impl Fold {
    /// Returns the fold that combines by a binary function, with the columns that the function's key `reduce:` gives.
    pub fn of(function: &'static Ufunc) -> Fold {
        *function.fold.get_or_init(|| Fold::intern(rows::of_function(function)))
    }

    /// Returns the fold with these columns, or the reason why they are refused. Tests make their folds so.
    #[cfg(any(feature = "testing", feature = "kernels"))]
    pub fn new(definition: Definition) -> Result<Fold, Fault> {
        definition.check()?;
        Ok(Fold::intern(definition))
    }

    fn intern(definition: Definition) -> Fold {
        let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = mutant!(
            fold_of_another_row,
            rows.values().find(|fold| fold.method == definition.method),
            rows.get(&definition)
        );
        if let Some(known) = known {
            return *known;
        }
        let counts = definition.lift.iter().any(Term::takes_position);
        let row = Row { id: rows.len() + 1, definition: definition.clone(), counts };
        let fold = Fold(Box::leak(Box::new(row)));
        rows.insert(definition, fold);
        fold
    }

    /// Returns the fold's number, which no fold of other columns ever gets.
    pub fn id(&self) -> usize {
        self.0.id
    }

    /// Returns the name of the scan's method, such as `cumulative_sum`; for a fold that does not scan, the fold's name.
    pub fn cumulative(&self) -> &'static str {
        self.function().and_then(|row| row.reduce).map_or(self.name, |r| r.cumulative)
    }

    /// Returns the result of a reduction of no elements; `None` where that is an error.
    pub fn empty(&self) -> Option<f64> {
        self.empty.map(f64::from_bits)
    }

    /// Says whether the fold counts the positions of elements, because its `lift` takes them.
    pub fn counts(&self) -> bool {
        self.0.counts
    }

    /// Returns the function that combines elements, if the state is the element itself and the result is the state.
    pub fn function(&self) -> Option<&'static Ufunc> {
        match self.form {
            Form::Function(row) => Some(row),
            Form::FirstOf(_) | Form::Formulas => None,
        }
    }

    /// Says whether a state is a value like an element, so that partial results are combined as elements are.
    pub fn is_plain(&self) -> bool {
        self.function().is_some()
    }

    /// Says whether elements of this type give the same bits, in whatever order they are combined.
    pub fn is_exact(&self, element: DType) -> bool {
        let is_float = |c: &Component| matches!(c.kind.compute(element), Compute::F32 | Compute::F64);
        self.exact || !self.state.iter().any(is_float)
    }

    /// Returns the order in which elements of this type must be combined.
    pub fn order(&self, element: DType) -> Order {
        match (self.counts(), self.is_exact(element)) {
            _ if self.in_sequence => Order::Sequence,
            (true, _) => Order::RowMajor,
            (false, false) => Order::Tree,
            (false, true) => Order::Any,
        }
    }

    /// Returns the type in which component `n` of a partial state is stored between two passes: the elements' type if the fold
    /// has a form of its own and the component is an element or made of some by its function; else the component's compute
    /// type, because formulas may leave the range of a narrow type.
    pub fn stored(&self, n: usize, element: DType) -> DType {
        let kind = self.state.get(n).map_or(self.result, |c| c.kind);
        match (kind, self.form) {
            (Kind::Operand, Form::Function(_) | Form::FirstOf(_)) => element,
            (kind, _) => kind.compute(element).dtype(),
        }
    }

    /// Returns the type of the result for elements of a type. Formulas over an 8- or 16-bit integer type give 32-bit integers,
    /// because they may leave its range; f16 and bf16 stay as they are.
    pub fn result_type(&self, element: DType) -> DType {
        match (self.result, self.form) {
            (Kind::Operand, Form::Function(_) | Form::FirstOf(_)) => element,
            (Kind::Operand | Kind::Float, _) if element.is_half() => element,
            (kind, _) => kind.compute(element).dtype(),
        }
    }

    /// Returns an error for elements of a type that the formulas do not take. A fold with a form of its own takes what its
    /// function takes, which the caller has checked or cast to.
    pub fn takes(&self, element: DType) -> Result<(), Fault> {
        match self.form {
            Form::Function(_) | Form::FirstOf(_) => Ok(()),
            Form::Formulas => self.programs(element).map(|_| ()),
        }
    }

    /// Returns the fold's formulas as steps, for elements of a type.
    ///
    /// # Errors
    /// A formula calls a function that does not take its operands' types, gives another type than the row's columns say, or
    /// names a component that the state does not have.
    pub fn programs(&self, element: DType) -> Result<Programs, Fault> {
        self.0.definition.programs(element)
    }

    /// Returns the cost for a GPU driver of compiling the fold, in additions: 1 if the fold has a form of its own, which is
    /// a call of one short function; else the sum over the calls of its formulas.
    pub fn compile_cost(&self, element: DType) -> u32 {
        match self.form {
            Form::Function(_) | Form::FirstOf(_) => 1,
            Form::Formulas => self.functions(element).iter().map(|(row, compute)| row.compile_cost(*compute)).sum(),
        }
    }

    /// Returns the functions that the fold calls for elements of a type, once for each call, with the compute type of the
    /// operands. It is empty if the formulas do not take the type.
    pub fn functions(&self, element: DType) -> Vec<(&'static Ufunc, Compute)> {
        match self.form {
            Form::Function(row) | Form::FirstOf(row) => vec![(row, element.compute())],
            Form::Formulas => self
                .programs(element)
                .map_or(vec![], |p| [&p.lift, &p.combine, &p.finish].into_iter().flat_map(Program::calls).collect()),
        }
    }
}

impl Definition {
    fn programs(&self, element: DType) -> Result<Programs, Fault> {
        let state: SmallVec<[Compute; MOST_COMPONENTS]> = self.state.iter().map(|c| c.kind.compute(element)).collect();
        let typing = Typing { fold: self.name, element, state: &state };
        Ok(Programs {
            lift: typing.program(self.lift, &state)?,
            combine: typing.program(self.combine, &state)?,
            finish: typing.program(std::slice::from_ref(&self.finish), &[self.result.compute(element)])?,
            state,
        })
    }

    /// Returns an error if the columns are no fold: a wrong number of components or formulas, a formula over operands that it
    /// does not have, no commutativity, or no type of elements that the formulas take.
    #[cfg(any(feature = "testing", feature = "kernels"))]
    fn check(&self) -> Result<(), Fault> {
        let refuse = |detail: String| {
            Err(Fault::new(crate::base::error::ErrorKind::Argument, format!("fold {}: {detail}", self.name)))
        };
        let n = self.state.len();
        if !(1..=MOST_COMPONENTS).contains(&n) {
            return refuse(format!("a state of {n} components; there may be 1 to {MOST_COMPONENTS}"));
        }
        if !self.commutative {
            return refuse("not commutative, and the tree of a reduction does not keep the order of elements".into());
        }
        for (what, terms) in [("lift", self.lift), ("combine", self.combine)] {
            if terms.len() != n {
                return refuse(format!("{what} gives {} components of {n}", terms.len()));
            }
        }
        let names = |terms: &[Term], named: fn(&Term) -> bool| terms.iter().any(|t| t.any(named));
        let of_states = |t: &Term| matches!(t, Term::A(_) | Term::B(_));
        let of_elements = |t: &Term| matches!(t, Term::X | Term::Position);
        if names(self.lift, of_states) {
            return refuse("lift takes a state".into());
        }
        if names(self.combine, of_elements) || names(std::slice::from_ref(&self.finish), of_elements) {
            return refuse("only lift takes an element".into());
        }
        if self.finish.any(|t| matches!(t, Term::B(_))) {
            return refuse("finish takes one state".into());
        }
        // such a fold is not commutative, and a CPU, which copies such components one after another, would mix them up
        if let Some(i) = self.combine.iter().position(of_states) {
            return refuse(format!(
                "component {i} of combine is a component of one state alone, so it is not commutative"
            ));
        }
        // the formulas need not take every type of elements; if they take none, the error for f32 says why
        match DType::ALL.into_iter().any(|d| self.programs(d).is_ok()) {
            true => Ok(()),
            false => self.programs(DType::F32).map(|_| ()),
        }
    }
}

impl Deref for Fold {
    type Target = Definition;
    fn deref(&self) -> &Definition {
        &self.0.definition
    }
}

impl PartialEq for Fold {
    fn eq(&self, other: &Fold) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Fold {}

impl Hash for Fold {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.id());
    }
}

impl std::fmt::Debug for Fold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
