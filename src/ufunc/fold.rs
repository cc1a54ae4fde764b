//! The table of folds: how a reduction combines its elements. One row each, as plain data.
//!
//! A [`Fold`] is a commutative monoid with a state of one to three numbers (*components*). `lift` makes a state of an
//! element and its position, `combine` makes one state of two, and `finish` makes the result of the state of all. The
//! three are [`Term`]s: formulas over rows of the table of functions, of which the CPU takes the loops and a GPU the
//! WGSL text, so that a fold is written once. `fold/program.rs` turns them into steps for elements of one type.
//!
//! Most folds are made from a binary function: the key `reduce:` of `add` makes the fold whose state is the element
//! itself and which combines by `add` ([`Fold::of`]). A row may name a faster [`Form`] than its formulas; it has the same
//! bits. Planner and backends see components and columns, and never ask which fold they have. The rows that no function
//! has stand in `fold/rows.rs`.
//!
//! A row that is not commutative is refused: the tree of a reduction does not keep the order of its elements. `lift`
//! takes the position, so that a fold can break ties by it. A reduction that is cut into parts stores the components of
//! its parts' states, and the next pass combines those without `lift`.

mod program;
mod rows;

pub(crate) use program::{Operand, Program, Step, Term};
pub(crate) use rows::{ARGMAX, ARGMIN};

use super::{Neutral, Ufunc};
use crate::dtype::{Compute, DType};
use crate::error::Fault;
use program::Typing;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The most components of a state. A GPU keeps a state for each lane of a workgroup in its shared memory: 256 states of three
/// 8-byte numbers are 6 KiB of the 16 KiB that every device has.
pub(crate) const MOST_COMPONENTS: usize = 3;

/// The type of a component, a result or a number of a row, by the type of the elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// That of the elements.
    Operand,
    /// The float type of the elements: f32 for integers and bool.
    #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code))]
    Float,
    /// This one.
    Is(Compute),
}

impl Kind {
    /// The type that it computes in, for elements of a type.
    pub fn compute(self, element: DType) -> Compute {
        match self {
            Kind::Operand => element.compute(),
            Kind::Float => element.float().compute(),
            Kind::Is(compute) => compute,
        }
    }
}

/// One number of a fold's state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Component {
    pub kind: Kind,
    /// What changes no state that it is combined with.
    pub init: Neutral,
}

impl Component {
    /// Components that live as long as the process, as rows do.
    pub fn list(state: &[Component]) -> &'static [Component] {
        static LISTS: program::Lists<Component> = LazyLock::new(Mutex::default);
        program::kept(&LISTS, state)
    }
}

/// How a fold runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Form {
    /// By its formulas. No row of the table lacks a faster form yet; tests have such rows.
    #[cfg_attr(not(any(test, feature = "testing")), allow(dead_code))]
    Formulas,
    /// The state is the element itself, and this function combines: by the function's own loops and text.
    Function(&'static Ufunc),
    /// The state is an element and its position, and the result the position. This function says which of two elements
    /// is picked (its `picks`); of equal ones, and of several NaNs, it is the first.
    FirstOf(&'static Ufunc),
}

/// In which order the elements of a reduction must be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Any order gives the same bits.
    Any,
    /// That of the reduction's own tree, because each step rounds.
    Tree,
    /// Row-major, because positions are counted so.
    RowMajor,
}

/// The columns of a row. Rows of equal columns are one fold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Definition {
    /// The name that a plan prints.
    pub name: &'static str,
    /// The method that users call.
    pub method: &'static str,
    pub state: &'static [Component],
    /// The components of the state of one element, of [`Term::X`] and [`Term::Position`].
    pub lift: &'static [Term],
    /// The components of one state of two, of [`Term::A`] and [`Term::B`].
    pub combine: &'static [Term],
    /// The result, of the components [`Term::A`].
    pub finish: Term,
    pub result: Kind,
    /// What a reduction of no elements gives, as bits of an f64; none where it is refused. It need not be what `finish`
    /// makes of `init`: a sum gives 0, though −0 is its neutral element.
    pub empty: Option<u64>,
    /// Whether `combine` gives the same for its operands in either order: a row that says no is refused.
    pub commutative: bool,
    /// Whether states of floats can be combined in any order with the same bits. Those of integers always can.
    pub exact: bool,
    pub form: Form,
}

/// A row of the table of folds. It lives as long as the process, so that copies are free.
#[derive(Clone, Copy)]
pub(crate) struct Fold(&'static Row);

/// A row with what is known of it.
struct Row {
    /// Equal for rows of equal columns, and never given again.
    id: usize,
    definition: Definition,
    counts: bool,
}

/// What a fold computes for elements of one type.
pub(crate) struct Programs {
    /// The type of each component.
    pub state: SmallVec<[Compute; MOST_COMPONENTS]>,
    pub lift: Program,
    pub combine: Program,
    pub finish: Program,
}

/// The rows so far. Nothing is ever removed, so that no id is given twice.
static ROWS: LazyLock<Mutex<HashMap<Definition, Fold>>> = LazyLock::new(Mutex::default);

impl Fold {
    /// The fold of the table that combines by a binary function: its key `reduce:` says the rest.
    pub fn of(function: &'static Ufunc) -> Fold {
        *function.fold.get_or_init(|| Fold::intern(rows::of_function(function)))
    }

    /// The fold of a definition that is not in the table, or why it is none.
    #[cfg(any(test, feature = "testing"))]
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

    /// The fold's number: equal for rows of equal columns.
    pub fn id(&self) -> usize {
        self.0.id
    }

    /// The method that users call for what the elements up to each make.
    pub fn cumulative(&self) -> &'static str {
        self.function().and_then(|row| row.reduce).map_or(self.name, |r| r.cumulative)
    }

    /// What a reduction of no elements gives; none where it is refused.
    pub fn empty(&self) -> Option<f64> {
        self.empty.map(f64::from_bits)
    }

    /// Whether the positions of elements matter, and not their values alone.
    pub fn counts(&self) -> bool {
        self.0.counts
    }

    /// The function that combines elements, where the state is the element itself and the result the state.
    pub fn function(&self) -> Option<&'static Ufunc> {
        match self.form {
            Form::Function(row) => Some(row),
            Form::FirstOf(_) | Form::Formulas => None,
        }
    }

    /// Whether a state can stand for an element.
    pub fn is_plain(&self) -> bool {
        self.function().is_some()
    }

    /// Whether elements of this type can be combined in any order with the same bits.
    pub fn is_exact(&self, element: DType) -> bool {
        let is_float = |c: &Component| matches!(c.kind.compute(element), Compute::F32 | Compute::F64);
        self.exact || !self.state.iter().any(is_float)
    }

    /// In which order elements of this type must be taken.
    pub fn order(&self, element: DType) -> Order {
        match (self.counts(), self.is_exact(element)) {
            (true, _) => Order::RowMajor,
            (false, false) => Order::Tree,
            (false, true) => Order::Any,
        }
    }

    /// The type in which component `n` of a part's state is stored: that of its elements where it is one of them, else
    /// the type that it computes in, because formulas may leave the range of a narrow type.
    pub fn stored(&self, n: usize, element: DType) -> DType {
        let kind = self.state.get(n).map_or(self.result, |c| c.kind);
        match (kind, self.form) {
            (Kind::Operand, Form::Function(_) | Form::FirstOf(_)) => element,
            (kind, _) => kind.compute(element).dtype(),
        }
    }

    /// The type of the result for elements of a type. Halves give halves; formulas may leave the range of a narrow integer.
    pub fn result_type(&self, element: DType) -> DType {
        match (self.result, self.form) {
            (Kind::Operand, Form::Function(_) | Form::FirstOf(_)) => element,
            (Kind::Operand | Kind::Float, _) if element.is_half() => element,
            (kind, _) => kind.compute(element).dtype(),
        }
    }

    /// Refuses elements of a type that the formulas do not take. A form of its own has the types of its function, which
    /// the caller has checked or cast to.
    pub fn takes(&self, element: DType) -> Result<(), Fault> {
        match self.form {
            Form::Function(_) | Form::FirstOf(_) => Ok(()),
            Form::Formulas => self.programs(element).map(|_| ()),
        }
    }

    /// What the fold computes for elements of a type.
    ///
    /// # Errors
    /// A function that does not take its operands' type, or numbers of another type than the row says.
    pub fn programs(&self, element: DType) -> Result<Programs, Fault> {
        self.0.definition.programs(element)
    }

    /// What a driver's compiler has to do for it, in additions: 1 where the fold has a form of its own.
    pub fn compile_cost(&self, element: DType) -> u32 {
        match self.form {
            Form::Function(_) | Form::FirstOf(_) => 1,
            Form::Formulas => self.functions(element).iter().map(|(row, compute)| row.compile_cost(*compute)).sum(),
        }
    }

    /// The functions that the fold calls for elements of a type, with the type of their operands.
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

    /// Refuses what is no fold.
    #[cfg(any(test, feature = "testing"))]
    fn check(&self) -> Result<(), Fault> {
        let refuse = |detail: String| {
            Err(Fault::new(crate::error::ErrorKind::Argument, format!("fold {}: {detail}", self.name)))
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
        // the formulas need not do for every type: where they do for none, the error for f32 says why
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
