//! The rows of the table of folds: those made by the `reduce:` keys of functions, `argmin` and `argmax`, and sums of
//! squares that do not overflow or underflow.

use super::Term::{A, B, Position, X};
use super::{Component, ComputeKind, Definition, Fold, Form, Term};
use crate::base::dtype::{Compute, DType};
use crate::graph::ufunc::{Neutral, Ufunc, arithmetic, float, logic};
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
        bounds: None,
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
        bounds: None,
        form: Form::FirstOf(picks),
    }
}

/// The powers of two by which squares of numbers of a type are scaled.
pub(crate) struct Scales {
    /// The range of a sum of squares whose square root has full precision. Below it, squares may have lost digits to
    /// underflow: its start is the smallest normal number, divided by the unit roundoff.
    pub bounds: [f64; 2],
    /// The factors of the elements for the sum of large squares, and for the sum of small ones. No square overflows or
    /// underflows that matters if the ordinary sum is beyond the bounds.
    pub factors: [f64; 2],
}

/// What a fold of squares returns.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum OfSquares {
    /// The square root of the sum of squares.
    Root,
    /// The sum of the squares of scaled elements.
    Sum,
    /// The scale: 1, if the ordinary sum is in the bounds of [`Scales`], or else one of the factors.
    Scale,
    /// 1 divided by the scale. On a GPU a product is faster than a quotient.
    Inverse,
}

const fn power(n: i64) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

static OF_F32: Scales = Scales { bounds: [power(-102), power(127)], factors: [power(-96), power(100)] };

static OF_F64: Scales = Scales { bounds: [power(-969), power(1023)], factors: [power(-768), power(800)] };

/// Returns the scales of squares that are computed in f64 or, for any other dtype, in f32.
pub(crate) fn scales(dtype: DType) -> &'static Scales {
    if dtype == DType::F64 { &OF_F64 } else { &OF_F32 }
}

/// Returns a fold of the squares of elements of a type, f64 or f32, for any sizes of elements. In one walk it sums the
/// squares, and the squares of the scaled elements (as LAPACK's `nrm2` does after Blue, 1978, but each element is in all
/// sums). If `small` is false, small squares may underflow, so there is one sum less.
pub(crate) fn squares(dtype: DType, gives: OfSquares, small: bool) -> Fold {
    const GIVES: [OfSquares; 4] = [OfSquares::Root, OfSquares::Sum, OfSquares::Scale, OfSquares::Inverse];
    static FOLDS: LazyLock<Vec<Fold>> = LazyLock::new(|| {
        let kinds = [&OF_F32, &OF_F64].into_iter().flat_map(|scales| [false, true].map(|small| (scales, small)));
        let all = kinds.flat_map(|(scales, small)| GIVES.map(|gives| sum_of_squares(scales, gives, small)));
        all.map(Fold::intern).collect()
    });
    FOLDS[8 * (dtype == DType::F64) as usize + 4 * small as usize + gives as usize]
}

/// Returns the sum of elements, for which the CPU checks that it is in these bounds.
pub(super) fn bounded_sum(bounds: Option<[u64; 2]>) -> Fold {
    Fold::intern(Definition { name: "bounded sum", bounds, ..of_function(&arithmetic::add) })
}

fn sum_of_squares(of: &Scales, gives: OfSquares, small: bool) -> Definition {
    let number = |x: f64| Term::Number(x.to_bits(), ComputeKind::Operand);
    let times = |x, factor: f64| Term::call(&arithmetic::multiply, &[x, number(factor)]);
    let square = |x| Term::call(&arithmetic::square, &[x]);
    let sum = |n| Term::call(&arithmetic::add, &[A(n), B(n)]);
    let both = |x, y| Term::call(&logic::logical_and, &[x, y]);
    let either = |condition, x, y| Term::call(&logic::SELECT, &[condition, x, y]);
    let at_most = |x, y| Term::call(&logic::less_equal, &[x, y]);
    let bounds = if small { of.bounds } else { [0.0, of.bounds[1]] };
    let [low, high] = bounds.map(number);
    let [of_large, of_small] = of.factors;
    let is_ordinary = if small { both(at_most(low, A(0)), at_most(A(0), high)) } else { at_most(A(0), high) };
    // what is computed from the sum, and from the sums of scaled squares with their factors
    let result = |n: usize, factor: f64| match gives {
        OfSquares::Root => times(Term::call(&float::sqrt, &[A(n)]), 1.0 / factor),
        OfSquares::Sum => A(n),
        OfSquares::Scale => number(factor),
        OfSquares::Inverse => number(1.0 / factor),
    };
    // a NaN is in all sums, so it is the result
    let is_large = Term::call(&logic::less, &[high, A(0)]);
    let scaled = if small { either(is_large, result(1, of_large), result(2, of_small)) } else { result(1, of_large) };
    let ordinary = match gives {
        OfSquares::Root => Term::call(&float::sqrt, &[A(0)]),
        OfSquares::Sum | OfSquares::Scale | OfSquares::Inverse => result(0, 1.0),
    };
    let part = Component { kind: ComputeKind::Operand, init: Neutral::Zero };
    let lift = [square(X), square(times(X, of_large)), square(times(X, of_small))];
    let combine = [sum(0), sum(1), sum(2)];
    let count = if small { 3 } else { 2 };
    Definition {
        name: match gives {
            OfSquares::Root => "norm",
            OfSquares::Sum => "squares",
            OfSquares::Scale => "scale of squares",
            OfSquares::Inverse => "inverse scale of squares",
        },
        method: "sum",
        state: Component::list(&[part; 3][..count]),
        lift: Term::list(&lift[..count]),
        combine: Term::list(&combine[..count]),
        finish: either(is_ordinary, ordinary, scaled),
        result: ComputeKind::Operand,
        empty: Some(if matches!(gives, OfSquares::Scale | OfSquares::Inverse) { 1f64 } else { 0f64 }.to_bits()),
        commutative: true,
        exact: false,
        in_sequence: false,
        bounds: Some(bounds.map(f64::to_bits)),
        form: Form::SumOf { function: &arithmetic::square, gives },
    }
}
