//! The table of folds. A fold describes how a reduction combines its elements. Each row of the table is plain data, and
//! its fields are the *columns* of the table ([`Definition`]).
//!
//! A [`Fold`] is a commutative monoid whose state consists of one to three numbers (*components*). `lift` makes a state
//! from an element and its position, `combine` makes one state from two, and `finish` makes the result from the state
//! of all elements. These three are [`Term`]s: formulas over elementwise functions, which the CPU and a GPU evaluate.
//!
//! Most folds are made from a binary function such as `add` ([`Fold::of`]): the state is the element itself. A row may
//! name a [`Form`] that is faster than its formulas and returns the same bits.
//!
//! A reduction combines elements and partial results in a *tree*, which does not keep the order of the elements. So a
//! row that is not commutative is rejected, and a fold whose result depends on the order, such as `argmin` for ties,
//! keeps positions in its state.

mod program;
mod rows;

pub(crate) use program::{FoldOperation, FoldProgram, FoldStep, Term};
pub(crate) use rows::{ARGMAX, ARGMIN, OfSquares, SUM_OF_CHAINS, scales, squares};

use super::{Neutral, Ufunc};
use crate::base::dtype::{Compute, DType};
use crate::base::error::Fault;
use program::Typing;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The maximum number of components of a state; no fold has needed more. A GPU workgroup keeps a state for each of its
/// up to 256 invocations in shared memory: 256 × 3 × 8 bytes are 6 KiB of the 16 KiB that WebGPU guarantees.
pub(crate) const MOST_COMPONENTS: usize = 3;

/// How the compute type of a component, result or constant of a fold follows from the type of the elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ComputeKind {
    /// The compute type of the elements.
    Operand,
    /// The float type of the elements: f64 for f64, and f32 for all others.
    Float,
    /// The given type, whatever the type of the elements.
    Is(Compute),
}

impl ComputeKind {
    /// Returns the compute type for elements of the type `element`.
    pub fn compute(self, element: DType) -> Compute {
        match self {
            ComputeKind::Operand => element.compute(),
            ComputeKind::Float => element.float().compute(),
            ComputeKind::Is(compute) => compute,
        }
    }
}

/// One number of a fold's state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Component {
    pub kind: ComputeKind,
    /// The start value of the component. A state that is combined with the state of all start values does not change.
    pub init: Neutral,
}

impl Component {
    /// Returns a copy of `state` that lives as long as the process, as the table's rows do. Equal lists share one copy.
    pub fn list(state: &[Component]) -> &'static [Component] {
        static LISTS: program::Lists<Component> = LazyLock::new(Mutex::default);
        program::kept(&LISTS, state)
    }
}

/// The implementation by which backends run a fold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Form {
    /// The steps of the fold's formulas. All folds of the library have a faster form; user-defined reductions and folds
    /// made by tests use this one.
    Formulas,
    /// The loops and the WGSL source of the function itself: the state is the element, and the function combines
    /// states.
    Function(&'static Ufunc),
    /// The search for the first best element: the state is an element and its position, and the result is the position.
    /// The function's `picks` defines which of two elements is better. Of equal elements, and of several NaNs, the
    /// first wins.
    FirstOf(&'static Ufunc),
    /// A sum of a function of the elements, such as their squares. While it is in the bounds of the row, the result of
    /// the fold is this sum, or is computed from it as `gives` says. Another sum makes the CPU compute all sums of the
    /// state. A GPU computes all of them in any case.
    SumOf { function: &'static Ufunc, gives: OfSquares },
}

/// The order in which a reduction must combine its elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FoldOrder {
    /// Any order, because all orders return the same bits.
    Any,
    /// A fixed order: the reduction combines elements and partial results as a tree. Each combination rounds, so
    /// another order would return other bits.
    Tree,
    /// Row-major order along the reduced axes, because positions are counted in that order.
    RowMajor,
    /// One element after another along the reduced axes. The elements are not combined as a tree, and a row is never
    /// divided between two lanes. Only the planner makes such folds, to add the chains of a product (sums over 256
    /// consecutive elements along k, see `plan/chains.rs`).
    Sequence,
}

/// The columns of a row of the table of folds. Rows with equal columns are the same fold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Definition {
    /// The name in printed plans.
    pub name: &'static str,
    /// The name of the reduction's method, such as `sum`.
    pub method: &'static str,
    pub state: &'static [Component],
    /// One formula per component of an element's state, over [`Term::X`] and [`Term::Position`].
    pub lift: &'static [Term],
    /// One formula per component of the combined state, over the two states [`Term::A`] and [`Term::B`].
    pub combine: &'static [Term],
    /// The formula of the result, over the components [`Term::A`] of the state of all elements.
    pub finish: Term,
    pub result: ComputeKind,
    /// The result of a reduction of no elements, as bits of an f64; `None` if that is an error. This result may differ
    /// from `finish` of the start values: a sum returns 0, although −0 is its neutral element.
    pub empty: Option<u64>,
    /// Whether `combine(a, b)` equals `combine(b, a)`. A fold that is not commutative is rejected.
    pub commutative: bool,
    /// Whether states that contain floats have the same bits in whatever order they are combined. States of integers
    /// and bool always have the same bits.
    pub exact: bool,
    /// Whether elements are combined strictly one after another.
    pub in_sequence: bool,
    /// The bits of two f64: the range of the sum of [`Form::SumOf`] in which that sum decides the result.
    pub bounds: Option<[u64; 2]>,
    pub form: Form,
}

/// A row of the table of folds. The row lives as long as the process, so copying a `Fold` only copies a reference.
#[derive(Clone, Copy)]
pub(crate) struct Fold(&'static Row);

/// A row of the table of folds, with values derived from its columns.
struct Row {
    /// The number of the row. A row with another definition never gets the same number.
    id: usize,
    definition: Definition,
    /// Whether `lift` uses the position of the element.
    counts: bool,
}

/// The formulas of a fold, translated into steps for elements of one type.
pub(crate) struct Programs {
    /// The compute type of each component.
    pub state: SmallVec<[Compute; MOST_COMPONENTS]>,
    pub lift: FoldProgram,
    pub combine: FoldProgram,
    pub finish: FoldProgram,
}

/// The rows of the table of folds made so far. No row is ever removed, so no id is assigned twice.
static ROWS: LazyLock<Mutex<HashMap<Definition, Fold>>> = LazyLock::new(Mutex::default);

impl Fold {
    /// Returns the fold that the key `reduce:` of a binary function defines, such as the sum for `add`.
    pub fn of(function: &'static Ufunc) -> Fold {
        *function.fold.get_or_init(|| Fold::intern(rows::of_function(function)))
    }

    /// Returns the fold with this definition, or the reason why it is rejected. User-defined reductions and tests make
    /// their folds with this function.
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

    /// Returns the fold's number. A fold with another definition never gets the same number.
    pub fn id(&self) -> usize {
        self.0.id
    }

    /// Returns the name of the scan's method, such as `cumulative_sum`, or the fold's name if it has no scan.
    pub fn cumulative(&self) -> &'static str {
        self.function().and_then(|row| row.reduce).map_or(self.name, |r| r.cumulative)
    }

    /// Returns the result of a reduction of no elements, or `None` if that is an error.
    pub fn empty(&self) -> Option<f64> {
        self.empty.map(f64::from_bits)
    }

    /// Returns whether the fold depends on the positions of elements, because its `lift` uses them.
    pub fn counts(&self) -> bool {
        self.0.counts
    }

    /// Returns the function that combines elements, if the state is the element itself and the result is the state.
    /// Otherwise returns `None`.
    pub fn function(&self) -> Option<&'static Ufunc> {
        match self.form {
            Form::Function(row) => Some(row),
            Form::FirstOf(_) | Form::SumOf { .. } | Form::Formulas => None,
        }
    }

    /// Returns the range in which the sum of the elements (or of a function of them) must be.
    pub fn bounds(&self) -> Option<[f64; 2]> {
        self.bounds.map(|bounds| bounds.map(f64::from_bits))
    }

    /// Returns the function of elements whose sum decides about the result, the sum itself, which has the same bounds, and
    /// what the fold gives. Returns `None` for a fold of another form.
    pub fn ordinary(&self) -> Option<(&'static Ufunc, Fold, OfSquares)> {
        match self.form {
            Form::SumOf { function, gives } => Some((function, rows::bounded_sum(self.bounds), gives)),
            Form::Function(_) | Form::FirstOf(_) | Form::Formulas => None,
        }
    }

    /// Returns whether a state is a value like an element, so that partial results are combined like elements.
    pub fn is_plain(&self) -> bool {
        self.function().is_some()
    }

    /// Returns whether elements of this type produce the same bits in whatever order they are combined.
    pub fn is_exact(&self, element: DType) -> bool {
        let is_float = |c: &Component| matches!(c.kind.compute(element), Compute::F32 | Compute::F64);
        self.exact || !self.state.iter().any(is_float)
    }

    /// Returns the work of combining an element, in additions.
    pub fn cost(&self) -> f64 {
        match self.form {
            Form::SumOf { .. } => 2.0,
            Form::Function(_) | Form::FirstOf(_) | Form::Formulas => self.state.len() as f64,
        }
    }

    /// Returns the order in which elements of this type must be combined.
    pub fn order(&self, element: DType) -> FoldOrder {
        match (self.counts(), self.is_exact(element)) {
            _ if self.in_sequence => FoldOrder::Sequence,
            (true, _) => FoldOrder::RowMajor,
            (false, false) => FoldOrder::Tree,
            (false, true) => FoldOrder::Any,
        }
    }

    /// Returns the type in which component `n` of a state is stored between two passes. A fold that is made from a
    /// function stores the elements' type where a component is an element, or was computed from elements by the
    /// function. Otherwise the type is the component's compute type, because formulas may leave the range of a narrow
    /// type.
    pub fn stored(&self, n: usize, element: DType) -> DType {
        let kind = self.state.get(n).map_or(self.result, |c| c.kind);
        match (kind, self.form) {
            (ComputeKind::Operand, Form::Function(_) | Form::FirstOf(_)) => element,
            (kind, _) => kind.compute(element).dtype(),
        }
    }

    /// Returns the type of the result for elements of a type. Formulas over 8- or 16-bit integers return 32-bit
    /// integers, because they may leave the narrow range; f16 and bf16 are kept.
    pub fn result_type(&self, element: DType) -> DType {
        match (self.result, self.form) {
            (ComputeKind::Operand, Form::Function(_) | Form::FirstOf(_)) => element,
            (ComputeKind::Operand | ComputeKind::Float, _) if element.is_half() => element,
            (kind, _) => kind.compute(element).dtype(),
        }
    }

    /// Returns an error if the formulas do not accept elements of this type. A fold with another form accepts what its
    /// function accepts; the caller has checked that or cast the elements.
    pub fn takes(&self, element: DType) -> Result<(), Fault> {
        match self.form {
            Form::Function(_) | Form::FirstOf(_) => Ok(()),
            Form::SumOf { .. } | Form::Formulas => self.programs(element).map(|_| ()),
        }
    }

    /// Returns the fold's formulas, translated into steps for elements of a type.
    ///
    /// # Errors
    /// Returns an error if a formula calls a function that does not accept its operands' types, has another type than
    /// the row's columns declare, or refers to a component that the state does not have.
    pub fn programs(&self, element: DType) -> Result<Programs, Fault> {
        self.0.definition.programs(element)
    }

    /// Returns the cost of compiling the fold in a GPU driver, in additions. A form other than `Formulas` costs 1,
    /// because it is a call of one short function. Formulas cost the sum over their calls.
    pub fn compile_cost(&self, element: DType) -> u32 {
        match self.form {
            Form::Function(_) | Form::FirstOf(_) => 1,
            Form::SumOf { .. } | Form::Formulas => {
                self.functions(element).iter().map(|(row, compute)| row.compile_cost(*compute)).sum()
            }
        }
    }

    /// Returns the functions that the fold calls for elements of a type, one entry per call, with the compute type of
    /// the operands. The list is empty if the formulas do not accept the type.
    pub fn functions(&self, element: DType) -> Vec<(&'static Ufunc, Compute)> {
        match self.form {
            Form::Function(row) | Form::FirstOf(row) => vec![(row, element.compute())],
            Form::SumOf { .. } | Form::Formulas => self.programs(element).map_or(vec![], |p| {
                [&p.lift, &p.combine, &p.finish].into_iter().flat_map(FoldProgram::calls).collect()
            }),
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

    /// Returns an error if the columns do not define a fold: if the number of components or formulas is wrong, if a
    /// formula uses operands that are not available to it, if the fold is not commutative, or if the formulas accept no
    /// element type.
    #[cfg(any(feature = "testing", feature = "kernels"))]
    fn check(&self) -> Result<(), Fault> {
        let refuse = |detail: String| {
            Err(Fault::new(crate::base::error::ErrorKind::Argument, format!("fold {}: {detail}", self.name)))
        };
        let n = self.state.len();
        if !(1..=MOST_COMPONENTS).contains(&n) {
            return refuse(format!("the state has {n} components; 1 to {MOST_COMPONENTS} are allowed"));
        }
        if !self.commutative {
            return refuse("not commutative, but a reduction does not keep the order of elements".into());
        }
        for (what, terms) in [("lift", self.lift), ("combine", self.combine)] {
            if terms.len() != n {
                return refuse(format!("{what} returns {} components, but the state has {n}", terms.len()));
            }
        }
        let names = |terms: &[Term], named: fn(&Term) -> bool| terms.iter().any(|t| t.any(named));
        let of_states = |t: &Term| matches!(t, Term::A(_) | Term::B(_));
        let of_elements = |t: &Term| matches!(t, Term::X | Term::Position);
        if names(self.lift, of_states) {
            return refuse("lift refers to a state".into());
        }
        if names(self.combine, of_elements) || names(std::slice::from_ref(&self.finish), of_elements) {
            return refuse("only lift may refer to an element".into());
        }
        if self.finish.any(|t| matches!(t, Term::B(_))) {
            return refuse("finish may refer to one state only".into());
        }
        // if a formula of `combine` is a component of one state, unchanged, the fold is not commutative. Besides, a CPU
        // copies such components one after another, so one could overwrite another that is still needed
        if let Some(i) = self.combine.iter().position(of_states) {
            return refuse(format!("component {i} of combine depends on one state only, so it is not commutative"));
        }
        // the formulas do not need to accept every element type; if they accept none, the error for f32 states the
        // reason
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
