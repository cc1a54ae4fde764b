//! A reduction or scan of a kernel: what it combines, of what, and what it gives.

use crate::dtype::DType;
use crate::ufunc::{Fold, MOST_COMPONENTS};
use smallvec::SmallVec;
use std::fmt;

/// A reduction along `inner`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reduction {
    pub fold: Fold,
    /// The type of the elements, from which the fold's other types follow.
    pub element: DType,
    pub source: Source,
    pub gives: Gives,
}

/// What a reduction combines: inner values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// Elements. Their positions are counted along `inner` from `base` on, an i32 at the outer level, or from 0.
    Elements { x: usize, base: Option<usize> },
    /// States that an earlier kernel made of parts: the fold's components.
    States(SmallVec<[usize; MOST_COMPONENTS]>),
}

/// What a reduction gives of the state of all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Gives {
    /// The fold's result.
    Result,
    /// One component, for a further kernel to combine.
    Component(usize),
}

impl Reduction {
    /// The result of a fold of value `x`, of a type.
    pub fn of(fold: Fold, x: usize, element: DType) -> Reduction {
        Reduction { fold, element, source: Source::Elements { x, base: None }, gives: Gives::Result }
    }

    /// Component `n` of the same reduction of a part, whose positions begin at `base`.
    pub fn component(&self, n: usize, base: Option<usize>) -> Reduction {
        let source = match &self.source {
            Source::Elements { x, .. } => Source::Elements { x: *x, base },
            Source::States(states) => Source::States(states.clone()),
        };
        // of a plain fold the state is the result already
        let gives = if self.fold.is_plain() { Gives::Result } else { Gives::Component(n) };
        Reduction { source, gives, ..self.clone() }
    }

    /// What the reduction gives, from the states of its parts.
    pub fn of_states(&self, states: &[usize]) -> Reduction {
        let source = match self.fold.is_plain() {
            true => Source::Elements { x: states[0], base: None },
            false => Source::States(states.into()),
        };
        Reduction { source, ..self.clone() }
    }

    /// The inner values that it combines.
    pub fn inputs(&self) -> SmallVec<[usize; MOST_COMPONENTS]> {
        match &self.source {
            Source::Elements { x, .. } => SmallVec::from_slice(&[*x]),
            Source::States(states) => states.clone(),
        }
    }

    /// The outer value from which positions are counted.
    pub fn base(&self) -> Option<usize> {
        match self.source {
            Source::Elements { base, .. } => base,
            Source::States(_) => None,
        }
    }

    /// Whether both combine the same, so that one walk gives what both give.
    pub fn shares_walk(&self, other: &Reduction) -> bool {
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

impl fmt::Display for Reduction {
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
