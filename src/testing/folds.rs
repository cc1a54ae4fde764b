//! Folds that are not in the table of folds: one that is defined here, and others that tests build at run time.

use super::Row;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::IntoAxes;
use crate::graph::expr::{Expr, reduce};
use crate::graph::ufunc::{
    ARGMAX, ARGMIN, Component, ComputeKind, Definition, Fold, Form, Neutral, OfSquares, Term, all, arithmetic, squares,
};
use std::panic::Location;

/// A fold: how a reduction combines elements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FoldRow(Fold);

/// The type of a part of a fold (a component of its state, its result, or a number), which may depend on the type of
/// the elements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum TypeOf {
    /// The compute type of the elements.
    Elements,
    /// The float type of the elements: f64 for f64, f32 for all others.
    Float,
    /// The compute type of this dtype, whatever the elements are.
    Is(DType),
}

/// The neutral element of a component of a fold's state. Combining it with a state does not change the state.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Start {
    Zero,
    One,
    Lowest,
    Highest,
}

/// A formula of a fold, or a part of one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FoldFormula(Term);

/// The properties of a fold, from which [`fold`] builds it.
#[derive(Clone, Debug)]
pub struct FoldDraft {
    /// The fold's name.
    pub name: &'static str,
    /// For each component of the state, its type and its neutral element.
    pub state: Vec<(TypeOf, Start)>,
    /// For each component, the formula that computes the state of a single element from the element and its position.
    pub lift: Vec<FoldFormula>,
    /// For each component, the formula that combines two states.
    pub combine: Vec<FoldFormula>,
    /// The formula that computes the result from the final state.
    pub finish: FoldFormula,
    /// The type of the fold's result.
    pub result: TypeOf,
    /// The result of a reduction of no elements; `None` if that is an error.
    pub empty: Option<f64>,
    /// Whether `combine` returns the same result if the two states are swapped. A fold with `false` is rejected.
    pub commutative: bool,
    /// Whether floats combine to the same bits in any order.
    pub exact: bool,
}

impl FoldFormula {
    /// The formula for the element that is reduced.
    pub const X: FoldFormula = FoldFormula(Term::X);
    /// The formula for the element's position along the reduced axes.
    pub const POSITION: FoldFormula = FoldFormula(Term::Position);

    /// Makes the formula for component `n` of the state. In `combine`, the formula refers to the first of the two
    /// states.
    pub fn a(n: usize) -> FoldFormula {
        FoldFormula(Term::A(n))
    }

    /// Makes the formula for component `n` of the second state of `combine`.
    pub fn b(n: usize) -> FoldFormula {
        FoldFormula(Term::B(n))
    }

    /// Makes the formula for a number of a type.
    pub fn number(x: f64, of: TypeOf) -> FoldFormula {
        FoldFormula(Term::number(x, of.kind()))
    }

    /// Makes the formula for a call of a function, whose operands are formulas.
    pub fn call(row: Row, args: &[FoldFormula]) -> FoldFormula {
        FoldFormula(Term::call(row.0, &terms(args)))
    }

    /// Makes the formula that converts the value of this formula to another type.
    pub fn cast(self, of: TypeOf) -> FoldFormula {
        FoldFormula(Term::Cast(&Term::list(&[self.0])[0], of.kind()))
    }
}

fn terms(formulas: &[FoldFormula]) -> Vec<Term> {
    formulas.iter().map(|f| f.0).collect()
}

impl TypeOf {
    fn kind(self) -> ComputeKind {
        match self {
            TypeOf::Elements => ComputeKind::Operand,
            TypeOf::Float => ComputeKind::Float,
            TypeOf::Is(dtype) => ComputeKind::Is(dtype.compute()),
        }
    }
}

/// The mean of squares, for elements of any type: an example of a fold whose state has two numbers.
static MEAN_SQUARE: Definition = {
    use Term::{A, B, Call, Cast};
    const NUMBER: Component = Component { kind: ComputeKind::Float, init: Neutral::Zero };
    Definition {
        name: "mean_square",
        method: "mean_square",
        state: &[NUMBER, NUMBER],
        lift: &[
            Call(&arithmetic::square, &[Cast(&Term::X, ComputeKind::Float)]),
            Term::number(1.0, ComputeKind::Float),
        ],
        combine: &[Call(&arithmetic::add, &[A(0), B(0)]), Call(&arithmetic::add, &[A(1), B(1)])],
        finish: Call(&arithmetic::divide, &[A(0), A(1)]),
        result: ComputeKind::Float,
        empty: Some(f64::NAN.to_bits()),
        commutative: true,
        exact: false,
        in_sequence: false,
        bounds: None,
        form: Form::Formulas,
    }
};

/// Returns the fold of the mean of squares.
///
/// It never returns an error, because the definition is a valid fold.
pub fn mean_square() -> Result<FoldRow> {
    fold_of(MEAN_SQUARE.clone())
}

/// Makes a fold from its properties.
///
/// Returns an error if the draft is not a valid fold: the number of its formulas is wrong, a formula uses a component
/// or position that it may not use, or no element type is possible.
pub fn fold(draft: &FoldDraft) -> Result<FoldRow> {
    let component = |(of, start): &(TypeOf, Start)| Component {
        kind: of.kind(),
        init: match start {
            Start::Zero => Neutral::Zero,
            Start::One => Neutral::One,
            Start::Lowest => Neutral::Lowest,
            Start::Highest => Neutral::Highest,
        },
    };
    fold_of(Definition {
        name: draft.name,
        method: draft.name,
        state: Component::list(&draft.state.iter().map(component).collect::<Vec<_>>()),
        lift: Term::list(&terms(&draft.lift)),
        combine: Term::list(&terms(&draft.combine)),
        finish: draft.finish.0,
        result: draft.result.kind(),
        empty: draft.empty.map(f64::to_bits),
        commutative: draft.commutative,
        exact: draft.exact,
        in_sequence: false,
        bounds: None,
        form: Form::Formulas,
    })
}

#[track_caller]
fn fold_of(definition: Definition) -> Result<FoldRow> {
    let at = Location::caller();
    Fold::new(definition).map(FoldRow).map_err(|f| f.at("fold", at))
}

/// A fold of the table, the same fold run only by its formulas, and the element types that it accepts.
#[derive(Clone, Debug)]
pub struct TableFold {
    /// The fold's name.
    pub name: &'static str,
    /// The fold as the library runs it, possibly in a faster form.
    pub fold: FoldRow,
    /// The same fold, but computed only by its formulas.
    pub by_formulas: FoldRow,
    /// The element types that the fold accepts on the CPU.
    pub types: Vec<DType>,
}

/// Returns every fold of the table.
///
/// Returns an error if the formulas of a fold of the table are not valid.
pub fn table_folds() -> Result<Vec<TableFold>> {
    let of_functions = all().filter(|row| row.reduce.is_some()).map(Fold::of);
    let table_fold = |fold: Fold| {
        // the copy can keep the name, because a shader that contains both folds adds a number to the functions of the
        // second one
        let definition = Definition { form: Form::Formulas, ..(*fold).clone() };
        // folds of squares have the factors of floats
        let takes = |d: &DType| {
            (fold.bounds.is_none() || d.is_float())
                && fold.takes(*d).is_ok()
                && fold.functions(*d).iter().all(|(row, _)| row.on_cpu(d.compute()))
        };
        Ok(TableFold {
            name: fold.name,
            fold: FoldRow(fold),
            by_formulas: fold_of(definition)?,
            types: DType::ALL.into_iter().filter(takes).collect(),
        })
    };
    let gives = [OfSquares::Root, OfSquares::Sum, OfSquares::Scale, OfSquares::Inverse];
    let kinds = [(DType::F32, true), (DType::F32, false), (DType::F64, true), (DType::F64, false)];
    let of_squares = kinds.into_iter().flat_map(|(d, small)| gives.map(|gives| squares(d, gives, small)));
    of_functions.chain([*ARGMIN, *ARGMAX]).chain(of_squares).map(table_fold).collect()
}

/// Reduces an expression along axes by any fold.
#[track_caller]
pub fn reduce_by(e: &Expr, fold: FoldRow, axes: impl IntoAxes) -> Expr {
    reduce(fold.0.name, fold.0, e, &axes.into_axes(), Location::caller())
}
