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
    /// The scaled root that stands for a sum beyond the bounds is the root times the first number if it is large, and
    /// times the second one if it is small. Products with the first are greater than `between`, those with the second
    /// are less.
    pub scales: [f64; 2],
    pub between: f64,
}

const fn power(n: i64) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

static OF_F32: Scales = Scales {
    bounds: [power(-102), power(127)],
    factors: [power(-96), power(100)],
    scales: [power(-66), power(40)],
    between: power(-6),
};

static OF_F64: Scales = Scales {
    bounds: [power(-969), power(1023)],
    factors: [power(-768), power(800)],
    scales: [power(-540), power(400)],
    between: power(-50),
};

/// Returns the scales of squares that are computed in f64 or, for any other dtype, in f32.
pub(crate) fn scales(dtype: DType) -> &'static Scales {
    if dtype == DType::F64 { &OF_F64 } else { &OF_F32 }
}

/// Returns the fold of the sum of squares of elements of a type, f64 or f32, for any sizes of elements. In one walk it
/// sums the squares, and the squares of the scaled elements (as LAPACK's `nrm2` does after Blue, 1978, but each element
/// is in all three sums).
///
/// If `root` is true, the result is the square root of the sum. Otherwise it is the sum, where it is in the bounds of
/// [`Scales`] or 0, and elsewhere the scaled root with a negative sign.
pub(crate) fn squares(dtype: DType, root: bool) -> Fold {
    static FOLDS: LazyLock<[Fold; 4]> = LazyLock::new(|| {
        [(&OF_F32, false), (&OF_F32, true), (&OF_F64, false), (&OF_F64, true)]
            .map(|(scales, root)| Fold::intern(sum_of_squares(scales, root)))
    });
    FOLDS[2 * (dtype == DType::F64) as usize + root as usize]
}

/// Returns the sum of elements, for which the CPU checks that it is in these bounds.
pub(super) fn bounded_sum(bounds: Option<[u64; 2]>) -> Fold {
    Fold::intern(Definition { name: "bounded sum", bounds, ..of_function(&arithmetic::add) })
}

fn sum_of_squares(of: &Scales, root: bool) -> Definition {
    let number = |x: f64| Term::Number(x.to_bits(), ComputeKind::Operand);
    let times = |x, factor: f64| Term::call(&arithmetic::multiply, &[x, number(factor)]);
    let square = |x| Term::call(&arithmetic::square, &[x]);
    let sum = |n| Term::call(&arithmetic::add, &[A(n), B(n)]);
    let both = |x, y| Term::call(&logic::logical_and, &[x, y]);
    let either = |condition, x, y| Term::call(&logic::SELECT, &[condition, x, y]);
    let at_most = |x, y| Term::call(&logic::less_equal, &[x, y]);
    let root_of = |n| Term::call(&float::sqrt, &[A(n)]);
    let [low, high] = of.bounds;
    let [large, small] = of.factors;
    // the factors of the scaled roots: the root itself, or the root that the result stands for
    let [of_large, of_small] = if root { [1.0, 1.0] } else { of.scales };
    let is_ordinary = both(at_most(number(low), A(0)), at_most(A(0), number(high)));
    // a NaN is in all sums, so it is the result
    let is_large = Term::call(&logic::less, &[number(high), A(0)]);
    let scaled = either(is_large, times(root_of(1), of_large / large), times(root_of(2), of_small / small));
    // 0 is subtracted from, not negated, because the result for zeros is +0
    let coded = Term::call(&arithmetic::subtract, &[number(0.0), scaled]);
    let part = Component { kind: ComputeKind::Operand, init: Neutral::Zero };
    Definition {
        name: if root { "norm" } else { "squares" },
        method: "sum",
        state: Component::list(&[part; 3]),
        lift: Term::list(&[square(X), square(times(X, large)), square(times(X, small))]),
        combine: Term::list(&[sum(0), sum(1), sum(2)]),
        finish: if root { either(is_ordinary, root_of(0), scaled) } else { either(is_ordinary, A(0), coded) },
        result: ComputeKind::Operand,
        empty: Some(0f64.to_bits()),
        commutative: true,
        exact: false,
        in_sequence: false,
        bounds: Some(of.bounds.map(f64::to_bits)),
        form: Form::SumOf { function: &arithmetic::square, then: root.then_some(&float::sqrt) },
    }
}
