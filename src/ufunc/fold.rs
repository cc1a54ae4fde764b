//! How a reduction combines: a monoid, with a state of one or two numbers.
//!
//! The first number of the state is a value, and a binary row of the table combines values: the fold of `add` is a sum.
//! A fold that gives a position has a second number beside it, the place of the value that the row picked: argmin is
//! the fold of `minimum` that gives a position, argmax that of `maximum`. Nobody asks which fold it has, only what its
//! row's [`Reduction`](super::Reduction) says and what it [gives](Gives).
//!
//! What the table of folds grows to: a state of one to three numbers of types that the row names, with `lift` (an
//! element and its position make a state), `combine` (two states make one) and `finish` (a state makes the result),
//! each as scalar Rust and as WGSL text, so that a variance or a sum of squares with a count is one row. A row that is
//! not commutative is refused, because the tree of a reduction does not keep the order of its elements; `lift` takes
//! the position, so that a fold can break ties by it. A reduction that is cut into parts stores the numbers of its
//! state, and its second pass combines them without `lift`: `split` in `plan/shape.rs` does this for the two kinds of
//! state that there are.

use super::Ufunc;
use crate::dtype::DType;

/// How a reduction combines its elements, and what it gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Fold {
    /// The binary function that combines values.
    pub row: &'static Ufunc,
    pub gives: Gives,
}

/// What a reduction gives of its state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Gives {
    /// The value.
    Value,
    /// The position (row-major in `inner`) of the first element that the row picks, or of the first NaN; i32.
    Position,
}

/// Which of its operands a row picks, where it picks one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Extreme {
    Smallest,
    Largest,
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

impl Fold {
    /// The reduction that gives what the row makes of all elements.
    pub fn of(row: &'static Ufunc) -> Fold {
        Fold { row, gives: Gives::Value }
    }

    /// The reduction that gives where the element is that the row picks of all.
    pub fn position_of(row: &'static Ufunc) -> Fold {
        Fold { row, gives: Gives::Position }
    }

    pub fn gives_position(&self) -> bool {
        self.gives == Gives::Position
    }

    /// The name that a plan prints.
    pub fn name(&self) -> &'static str {
        match (self.gives, self.picks()) {
            (Gives::Value, _) | (Gives::Position, None) => self.row.name,
            (Gives::Position, Some(Extreme::Smallest)) => "argmin",
            (Gives::Position, Some(Extreme::Largest)) => "argmax",
        }
    }

    /// The method that users call.
    pub fn method(&self) -> &'static str {
        match self.gives {
            Gives::Value => self.row.reduce.map_or(self.row.name, |r| r.method),
            Gives::Position => self.name(),
        }
    }

    /// The method that users call for what the elements up to each make.
    pub fn cumulative(&self) -> &'static str {
        self.row.reduce.map_or(self.row.name, |r| r.cumulative)
    }

    /// What a reduction of no elements gives; none where it is refused. Nothing has no position.
    pub fn empty(&self) -> Option<f64> {
        match self.gives {
            Gives::Value => self.row.reduce?.empty,
            Gives::Position => None,
        }
    }

    /// Which element the row picks, where it picks one.
    pub fn picks(&self) -> Option<Extreme> {
        self.row.reduce?.picks
    }

    /// In which order elements of this type must be taken.
    pub fn order(&self, dtype: DType) -> Order {
        match self.gives {
            Gives::Position => Order::RowMajor,
            // a row that does not say that order is free must keep its own
            Gives::Value if dtype.is_float() && !self.row.reduce.is_some_and(|r| r.reorders_floats) => Order::Tree,
            Gives::Value => Order::Any,
        }
    }
}
