//! A reduction or scan of a kernel: its fold (such as a sum, a maximum or an argmin), the values that it combines, and
//! its result. While a fold combines elements, its state consists of one or more *components*: for an argmin, for
//! example, the smallest element so far and its position.

use crate::base::dtype::DType;
use crate::base::heap::Heap;
use crate::graph::ufunc::{Fold, MOST_COMPONENTS};
use smallvec::SmallVec;
use std::fmt;

/// A reduction over the kernel's inner dimensions, or a scan along them. For a scan, `source` is always
/// [`Source::Elements`] and `gives` is always [`Gives::Result`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KernelReduction {
    pub fold: Fold,
    /// The type of the elements, from which the types of the fold's state and result follow.
    pub element: DType,
    pub source: Source,
    pub gives: Gives,
}

/// What a reduction combines: elements, or partial results of an earlier kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The elements of value number `x`. A fold that needs the position of each element (argmin) counts along `inner`.
    /// The position of the first element is 0 or, if there is a `base`, the value with the index `base`: an i32 with
    /// one element per outer index.
    Elements { x: usize, base: Option<usize> },
    /// Partial results that an earlier kernel computed for parts of the elements. There is one value for each component
    /// of the fold's state.
    States(SmallVec<[usize; MOST_COMPONENTS]>),
}

heap! { KernelReduction: source; }

impl Heap for Source {
    fn heap(&self) -> usize {
        if let Source::States(states) = self { states.heap() } else { 0 }
    }
}

/// What a reduction returns after it has combined all elements into one state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Gives {
    /// The result of the fold, computed from the final state.
    Result,
    /// The component of the state with this index, as a partial result that a later kernel combines.
    Component(usize),
}

impl KernelReduction {
    /// Returns the reduction by `fold` of value number `x`, whose elements have type `element`.
    pub fn of(fold: Fold, x: usize, element: DType) -> KernelReduction {
        KernelReduction { fold, element, source: Source::Elements { x, base: None }, gives: Gives::Result }
    }

    /// Returns this reduction restricted to a part of the elements. Its result is component `n` of the part's state. If
    /// the fold needs positions, `base` is the index of the value that holds the position of the part's first element.
    pub fn component(&self, n: usize, base: Option<usize>) -> KernelReduction {
        let source = match &self.source {
            Source::Elements { x, .. } => Source::Elements { x: *x, base },
            Source::States(states) => Source::States(states.clone()),
        };
        // a plain fold has one component, and its state is already its result
        let gives = if self.fold.is_plain() { Gives::Result } else { Gives::Component(n) };
        KernelReduction { source, gives, ..self.clone() }
    }

    /// Returns the reduction that computes the same result from the partial results of parts. For each component of the
    /// state, `states` has the index of the value that holds the partial results.
    pub fn of_states(&self, states: &[usize]) -> KernelReduction {
        let source = match self.fold.is_plain() {
            true => Source::Elements { x: states[0], base: None },
            false => Source::States(states.into()),
        };
        KernelReduction { source, ..self.clone() }
    }

    /// Returns the indices of the kernel's values that the reduction combines.
    pub fn inputs(&self) -> SmallVec<[usize; MOST_COMPONENTS]> {
        match &self.source {
            Source::Elements { x, .. } => SmallVec::from_slice(&[*x]),
            Source::States(states) => states.clone(),
        }
    }

    /// Returns the index of the value (with one element per outer index) that is the position of the first element, or
    /// `None` if that position is 0.
    pub fn base(&self) -> Option<usize> {
        match self.source {
            Source::Elements { base, .. } => base,
            Source::States(_) => None,
        }
    }

    /// Returns whether both reductions combine the same values by the same fold and differ at most in their result, so
    /// that one loop can compute both.
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
