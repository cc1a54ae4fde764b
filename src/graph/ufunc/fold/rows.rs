//! The rows of the table of folds: those made by the `reduce:` keys of functions, and `argmin` and `argmax`.

use super::Term::{A, B, Position, X};
use super::{Component, ComputeKind, Definition, Fold, Form, Term};
use crate::base::dtype::Compute;
use crate::graph::ufunc::{Neutral, Ufunc, arithmetic, logic};
use std::sync::LazyLock;

/// The position of the smallest element, or of the first NaN if there is one. Of equal elements, the first wins.
pub(crate) static ARGMIN: LazyLock<Fold> =
    LazyLock::new(|| Fold::intern(first_of("argmin", &arithmetic::minimum, &logic::less)));

/// The position of the largest element, or of the first NaN if there is one. Of equal elements, the first wins.
pub(crate) static ARGMAX: LazyLock<Fold> =
    LazyLock::new(|| Fold::intern(first_of("argmax", &arithmetic::maximum, &logic::greater)));

/// The sum of the chains of a matrix product (the sums over 256 consecutive elements along k), added one after another
/// in the same order as the kernel of a whole product adds them.
pub(crate) static SUM_OF_CHAINS: LazyLock<Fold> = LazyLock::new(|| {
    let sum = of_function(&arithmetic::add);
    Fold::intern(Definition { name: "sum of chains", in_sequence: true, ..sum })
});

/// Returns the columns of the fold that the key `reduce:` of a binary function makes. A function without the key still
/// gets a fold, which both backends reject, so the caller needs no error of its own.
pub(super) fn of_function(function: &'static Ufunc) -> Definition {
    let reduce = function.reduce;
    let init = reduce.map_or(Neutral::Zero, |r| r.neutral);
    Definition {
        name: function.name,
        method: reduce.map_or(function.name, |r| r.method),
        state: Component::list(&[Component { kind: ComputeKind::Operand, init }]),
        lift: &[X],
        combine: Term::list(&[Term::call(function, &[A(0), B(0)])]),
        finish: A(0),
        result: ComputeKind::Operand,
        empty: reduce.and_then(|r| r.empty).map(f64::to_bits),
        commutative: true,
        exact: reduce.is_some_and(|r| r.reorders_floats),
        in_sequence: false,
        form: Form::Function(function),
    }
}

/// Returns the columns of a fold whose result is the position of the element that `picks` picks among all elements.
/// `beyond` is the comparison by which one element beats another, such as `less` for `minimum`. Of equal elements, or
/// of several NaNs, the first wins.
fn first_of(name: &'static str, picks: &'static Ufunc, beyond: &'static Ufunc) -> Definition {
    let both = |x, y| Term::call(&logic::logical_and, &[x, y]);
    let either = |x, y| Term::call(&logic::logical_or, &[x, y]);
    let equal = |x, y| Term::call(&logic::equal, &[x, y]);
    // a NaN is not equal to itself
    let is_nan = |x| Term::call(&logic::not_equal, &[x, x]);
    let tie = either(equal(A(0), B(0)), both(is_nan(A(0)), is_nan(B(0))));
    let earlier = Term::call(&logic::less, &[B(1), A(1)]);
    let first_nan = both(equal(A(0), A(0)), is_nan(B(0)));
    let takes = either(Term::call(beyond, &[B(0), A(0)]), either(first_nan, both(tie, earlier)));
    let chosen = |n| Term::call(&logic::SELECT, &[takes, B(n), A(n)]);
    let position = ComputeKind::Is(Compute::I32);
    let init = picks.reduce.map_or(Neutral::Zero, |r| r.neutral);
    let state = [
        Component { kind: ComputeKind::Operand, init },
        // the start position is larger than every element's position, so an element that equals the neutral element
        // still wins by its position
        Component { kind: position, init: Neutral::Highest },
    ];
    Definition {
        name,
        method: name,
        state: Component::list(&state),
        lift: &[X, Position],
        combine: Term::list(&[chosen(0), chosen(1)]),
        finish: A(1),
        result: position,
        empty: None,
        commutative: true,
        exact: true,
        in_sequence: false,
        form: Form::FirstOf(picks),
    }
}
