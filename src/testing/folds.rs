//! Folds that the table does not have: one as a row, and those that a test makes while it runs.

use super::Row;
use crate::dtype::DType;
use crate::error::Result;
use crate::expr::{Expr, reduce};
use crate::layout::IntoAxes;
use crate::ufunc::{ARGMAX, ARGMIN, Component, Definition, Fold, Form, Kind, Neutral, Term, all, arithmetic};
use std::panic::Location;

/// A fold: how a reduction combines elements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FoldRow(Fold);

/// The type of a component, a result or a number, by the type of the elements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum TypeOf {
    /// The type in which the elements compute.
    Elements,
    /// The float type of the elements.
    Float,
    /// This one, which must be one that kernels compute in.
    Is(DType),
}

/// What changes no state that it is combined with.
#[derive(Clone, Copy, PartialEq, Debug)]
#[allow(missing_docs)]
pub enum Start {
    Zero,
    One,
    Lowest,
    Highest,
}

/// A formula of a fold.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Formula(Term);

/// The columns of a fold.
#[derive(Clone, Debug)]
pub struct FoldDraft {
    /// Its name.
    pub name: &'static str,
    /// The type of each component, and what changes none.
    pub state: Vec<(TypeOf, Start)>,
    /// The state of an element.
    pub lift: Vec<Formula>,
    /// One state of two.
    pub combine: Vec<Formula>,
    /// The result, of a state.
    pub finish: Formula,
    /// The result's type.
    pub result: TypeOf,
    /// What no elements give; none where that is refused.
    pub empty: Option<f64>,
    /// Whether states may change places.
    pub commutative: bool,
    /// Whether floats may be combined in any order with the same bits.
    pub exact: bool,
}

impl Formula {
    /// The element.
    pub const X: Formula = Formula(Term::X);
    /// The element's position.
    pub const POSITION: Formula = Formula(Term::Position);

    /// A component of the state; of two, of the first.
    pub fn a(n: usize) -> Formula {
        Formula(Term::A(n))
    }

    /// A component of the second state.
    pub fn b(n: usize) -> Formula {
        Formula(Term::B(n))
    }

    /// A number.
    pub fn number(x: f64, of: TypeOf) -> Formula {
        Formula(Term::number(x, of.kind()))
    }

    /// A function of formulas.
    pub fn call(row: Row, args: &[Formula]) -> Formula {
        Formula(Term::call(row.0, &terms(args)))
    }

    /// The value as another type.
    pub fn cast(self, of: TypeOf) -> Formula {
        Formula(Term::Cast(&Term::list(&[self.0])[0], of.kind()))
    }
}

fn terms(formulas: &[Formula]) -> Vec<Term> {
    formulas.iter().map(|f| f.0).collect()
}

impl TypeOf {
    fn kind(self) -> Kind {
        match self {
            TypeOf::Elements => Kind::Operand,
            TypeOf::Float => Kind::Float,
            TypeOf::Is(dtype) => Kind::Is(dtype.compute()),
        }
    }
}

/// The mean of squares, of any type of numbers: what a fold with a state of two numbers costs, one row.
static MEAN_SQUARE: Definition = {
    use Term::{A, B, Call, Cast};
    const NUMBER: Component = Component { kind: Kind::Float, init: Neutral::Zero };
    Definition {
        name: "mean_square",
        method: "mean_square",
        state: &[NUMBER, NUMBER],
        lift: &[Call(&arithmetic::square, &[Cast(&Term::X, Kind::Float)]), Term::number(1.0, Kind::Float)],
        combine: &[Call(&arithmetic::add, &[A(0), B(0)]), Call(&arithmetic::add, &[A(1), B(1)])],
        finish: Call(&arithmetic::divide, &[A(0), A(1)]),
        result: Kind::Float,
        empty: Some(f64::NAN.to_bits()),
        commutative: true,
        exact: false,
        form: Form::Formulas,
    }
};

/// The row of the mean of squares.
///
/// # Errors
/// None.
pub fn mean_square() -> Result<FoldRow> {
    fold_of(MEAN_SQUARE.clone())
}

/// The fold of a draft.
///
/// # Errors
/// What is no fold.
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
        form: Form::Formulas,
    })
}

#[track_caller]
fn fold_of(definition: Definition) -> Result<FoldRow> {
    let at = Location::caller();
    Fold::new(definition).map(FoldRow).map_err(|f| f.at("fold", at))
}

/// A fold of the table, and the same by its formulas alone, with the types of elements that it takes.
#[derive(Clone, Debug)]
pub struct TableFold {
    /// Its name.
    pub name: &'static str,
    /// As it runs.
    pub fold: FoldRow,
    /// Without a form of its own.
    pub by_formulas: FoldRow,
    /// The types that it takes.
    pub types: Vec<DType>,
}

/// Every fold of the table.
///
/// # Errors
/// A row that is no fold by its formulas.
pub fn table_folds() -> Result<Vec<TableFold>> {
    let of_functions = all().filter(|row| row.reduce.is_some()).map(Fold::of);
    let table_fold = |fold: Fold| {
        // its name is part of the functions' names in a shader, where both may stand
        let definition = Definition { form: Form::Formulas, ..(*fold).clone() };
        let takes = |d: &DType| fold.functions(*d).iter().all(|(row, _)| row.on_cpu(d.compute()));
        Ok(TableFold {
            name: fold.name,
            fold: FoldRow(fold),
            by_formulas: fold_of(definition)?,
            types: DType::ALL.into_iter().filter(takes).collect(),
        })
    };
    of_functions.chain([*ARGMIN, *ARGMAX]).map(table_fold).collect()
}

/// A reduction by any fold.
#[track_caller]
pub fn reduce_by(e: &Expr, fold: FoldRow, axes: impl IntoAxes) -> Expr {
    reduce(fold.0.name, fold.0, e, &axes.into_axes(), Location::caller())
}
