//! A reduction or scan of a kernel: its fold, the values that it combines, and its result.

use crate::base::dtype::DType;
use crate::base::heap::Heap;
use crate::graph::ufunc::{Fold, MOST_COMPONENTS};
use smallvec::SmallVec;
use std::fmt;

/// A reduction along `inner`, or a scan. A scan has [`Source::Elements`] and [`Gives::Result`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KernelReduction {
    pub fold: Fold,
    /// The type of the elements, which determines the fold's other types.
    pub element: DType,
    pub source: Source,
    pub gives: Gives,
}

/// The inner values that a reduction combines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The elements of value `x`. A fold that needs positions (argmin) counts them along `inner`, starting at value
    /// `base` (an i32 at the outer level), or at 0 if there is no base.
    Elements { x: usize, base: Option<usize> },
    /// States that an earlier pass computed for parts of the elements: one value for each component of the fold.
    States(SmallVec<[usize; MOST_COMPONENTS]>),
}

heap! { KernelReduction: source; }

impl Heap for Source {
    fn heap(&self) -> usize {
        if let Source::States(states) = self { states.heap() } else { 0 }
    }
}

/// The result of a reduction, after it has combined all elements into one state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Gives {
    /// The fold's result.
    Result,
    /// One component of the state, for a later pass to combine.
    Component(usize),
}

impl KernelReduction {
    /// Returns the reduction of value `x`, of type `element`, with the result of `fold`.
    pub fn of(fold: Fold, x: usize, element: DType) -> KernelReduction {
        KernelReduction { fold, element, source: Source::Elements { x, base: None }, gives: Gives::Result }
    }

    /// Returns this reduction for a part of the elements, whose positions begin at `base`. Its result is component `n`
    /// of the part's state.
    pub fn component(&self, n: usize, base: Option<usize>) -> KernelReduction {
        let source = match &self.source {
            Source::Elements { x, .. } => Source::Elements { x: *x, base },
            Source::States(states) => Source::States(states.clone()),
        };
        // the state of a plain fold is its result
        let gives = if self.fold.is_plain() { Gives::Result } else { Gives::Component(n) };
        KernelReduction { source, gives, ..self.clone() }
    }

    /// Returns the reduction that computes the same result from the states of the parts: one value for each component.
    pub fn of_states(&self, states: &[usize]) -> KernelReduction {
        let source = match self.fold.is_plain() {
            true => Source::Elements { x: states[0], base: None },
            false => Source::States(states.into()),
        };
        KernelReduction { source, ..self.clone() }
    }

    /// Returns the inner values that the reduction combines.
    pub fn inputs(&self) -> SmallVec<[usize; MOST_COMPONENTS]> {
        match &self.source {
            Source::Elements { x, .. } => SmallVec::from_slice(&[*x]),
            Source::States(states) => states.clone(),
        }
    }

    /// Returns the outer value at which positions start, or `None` if they start at 0.
    pub fn base(&self) -> Option<usize> {
        match self.source {
            Source::Elements { base, .. } => base,
            Source::States(_) => None,
        }
    }

    /// Returns whether both reductions combine the same values by the same fold, so that one loop can compute both.
    pub fn shares_walk(&self, other: &KernelReduction) -> bool {
        (self.fold, self.element, &self.source) == (other.fold, other.element, &other.source)
    }

    pub(super) fn map_operands(&mut self, mut number: impl FnMut(usize) -> usize) {
        match &mut self.source {
            Source::Elements { x, base } => {
                *x = number(*x);
                if let Some(base) = base {
                    *base = number(*base);
                }
            }
            Source::States(states) => states.iter_mut().for_each(|s| *s = number(*s)),
        }
    }
}

impl fmt::Display for KernelReduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = if matches!(self.source, Source::States(_)) { "states " } else { "" };
        let values = self.inputs().iter().map(|v| format!("v{v}")).collect::<Vec<_>>().join(", ");
        write!(f, "reduce {}({states}{values}", self.fold.name)?;
        if let Some(base) = self.base() {
            write!(f, " from v{base}")?;
        }
        match self.gives {
            Gives::Result => write!(f, ")"),
            Gives::Component(n) => write!(f, ").{n}"),
        }
    }
}
