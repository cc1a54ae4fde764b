//! Sums of squares whose squares may overflow or underflow, for norms and deviations. The folds of squares
//! (`graph/ufunc/fold/rows.rs`) also sum the squares of scaled elements. Such a sum is used only where the ordinary sum has
//! lost digits, and elsewhere results have the bits of the ordinary formula.

use super::sums::{count, expanded, gone, kept, mean_at, root_or_zero};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Loc;
use crate::base::layout::AxesArg;
use crate::graph::expr::{Expr, Operand, Reach, binary, choose, reduce, unary};
use crate::graph::ufunc::{Fold, OfSquares, arithmetic, float, logic, scales, squares};
use smallvec::smallvec;

/// Returns whether squares of numbers that were cast from this dtype to f32 or f64 may overflow or underflow there.
fn may_leave(from: DType) -> bool {
    match from {
        DType::F32 | DType::F64 | DType::BF16 | DType::I64 | DType::U64 => true,
        DType::F16 | DType::Bool => false,
        DType::I8 | DType::I16 | DType::I32 | DType::U8 | DType::U16 | DType::U32 => false,
    }
}

fn times(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::multiply, a, b, at)
}

fn over(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::divide, a, b, at)
}

/// Returns a power of two for each norm that is beyond the roots of the bounds of ordinary sums, and 1 for any other. The
/// norm times this power is between 2^-49 and 2^49 in f32, and between 2^-274 and 2^316 in f64.
pub(crate) fn scale_of(norm: &Expr, at: Loc) -> Expr {
    scale_beyond(norm, scales(norm.0.dtype).bounds.map(f64::sqrt), at)
}

/// Returns the power of two for small squares where a number is less than `low`, that for large squares where it is greater
/// than `high`, and 1 elsewhere.
pub(crate) fn scale_beyond(x: &Expr, [low, high]: [f64; 2], at: Loc) -> Expr {
    let [large, small] = scales(x.0.dtype).factors;
    let is_small = binary(&logic::less, x, low, at);
    let is_large = binary(&logic::greater, x, high, at);
    choose(is_large, number(large, x, at), choose(is_small, number(small, x, at), 1.0, at), at)
}

/// Returns a number of the dtype of `like`. A choice between two Rust numbers would be f32, which cannot represent the
/// scales of f64.
fn number(value: f64, like: &Expr, at: Loc) -> Expr {
    Expr::fill(Scalar::Float(value), smallvec![], like.0.dtype, at)
}

/// Builds the Euclidean norms along axes of `x`, in its dtype, f64 or f32. Its elements were cast from the dtype `from`.
/// The derivative is x / norm, or 0 where the norm is 0.
pub(crate) fn norm_at(op: &'static str, x: &Expr, from: DType, axes: &AxesArg, at: Loc) -> Expr {
    if !may_leave(from) {
        let sum = reduce(op, Fold::of(&arithmetic::add), &unary(&arithmetic::square, x, at), axes, at);
        return root_or_zero(sum, at);
    }
    let norm = reduce(op, squares(x.0.dtype, OfSquares::Root, true), x, &gone(axes), at);
    if norm.error().is_some() {
        return norm;
    }
    let (of, along) = (x.clone(), gone(axes));
    let back = move |g: &Expr, at: Loc| {
        let norm = norm_at(op, &of, from, &along, at);
        Ok(vec![slope_of_root(&of, &norm, g, &along, at)])
    };
    let norm = norm.with_rule_of(vec![x.clone()], Some(Box::new(back)), Reach::Along(gone(axes)));
    expanded(norm, x, axes, at)
}

/// Returns the derivative x · g / root for a root of a sum of squares of `x`, or 0 where the root is 0. The root and the
/// cotangent `g` do not have the axes of the sum. No quotient overflows or loses digits, because the elements and the
/// root are scaled.
pub(crate) fn slope_of_root(x: &Expr, root: &Expr, g: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    let scale = scale_of(root, at);
    let slope = over(g, times(root, &scale, at), at);
    let slope = choose(binary(&logic::equal, root, 0.0, at), 0.0, slope, at);
    let [scale, slope] = [scale, slope].map(|e| expanded(e, x, &kept(axes), at));
    times(times(x, scale, at), slope, at)
}

/// Sums of squares along axes. They do not have these axes.
pub(crate) struct Squares {
    /// The sums of the squares of the scaled elements.
    sum: Expr,
    /// The scales and their inverses. They are powers of two, or 1 if the sum of the squares is in the bounds of `Scales`.
    /// `None` if all are 1.
    scale: Option<[Expr; 2]>,
}

impl Squares {
    /// Sums the squares of `x`, which is f64 or f32. Its elements were computed from elements of the dtype `from`. Small
    /// squares may underflow if `small` is false.
    pub fn of(op: &'static str, x: &Expr, from: DType, small: bool, axes: &AxesArg, at: Loc) -> Squares {
        if !may_leave(from) {
            let sum = reduce(op, Fold::of(&arithmetic::add), &unary(&arithmetic::square, x, at), &gone(axes), at);
            return Squares { sum, scale: None };
        }
        let [sum, scale, inverse] = [OfSquares::Sum, OfSquares::Scale, OfSquares::Inverse]
            .map(|gives| reduce(op, squares(x.0.dtype, gives, small), x, &gone(axes), at));
        if sum.error().is_some() {
            return Squares { sum, scale: None };
        }
        Squares { sum, scale: Some([scale, inverse]) }
    }

    /// Divides by the scale as often as `count` says.
    fn unscaled(&self, e: Expr, count: usize, at: Loc) -> Expr {
        self.scale.iter().cycle().take(count).fold(e, |e, [_, inverse]| times(e, inverse, at))
    }

    /// Returns the sums of squares, which may overflow.
    #[cfg(feature = "train")]
    pub fn value(&self, at: Loc) -> Expr {
        self.unscaled(self.sum.clone(), 2, at)
    }

    /// Returns the square roots of the sums.
    #[cfg(feature = "train")]
    pub fn root(&self, at: Loc) -> Expr {
        self.unscaled(root_or_zero(self.sum.clone(), at), 1, at)
    }
}

/// How a variance is computed from deviations from a mean, or the standard deviation if `root` is true.
pub(crate) struct Spread {
    pub op: &'static str,
    /// The dtype from which the elements were cast to f64 or f32.
    pub from: DType,
    /// The number of deviations, and the number by which the sum of their squares is divided.
    pub n: Expr,
    pub degrees: Expr,
    pub root: bool,
}

impl Spread {
    /// Returns the variance, or the standard deviation, of `x` along axes. The result does not have these axes.
    ///
    /// The deviations from a rounded mean do not sum to 0, which makes the sum of their squares too large. This excess is
    /// subtracted, as in the corrected two-pass algorithm (Chan, Golub and LeVeque 1983).
    pub fn of(&self, x: &Expr, deviation: &Expr, axes: &AxesArg, at: Loc) -> Expr {
        let squares = Squares::of(self.op, deviation, self.from, true, axes, at);
        let rest = reduce(self.op, Fold::of(&arithmetic::add), deviation, &gone(axes), at);
        let rest = match &squares.scale {
            // if the sum of the deviations overflows, it is not known
            Some([scale, _]) => choose(unary(&logic::isfinite, &rest, at), times(&rest, scale, at), 0.0, at),
            None => rest,
        };
        let excess = over(unary(&arithmetic::square, rest, at), &self.n, at);
        let sum = binary(&arithmetic::maximum, binary(&arithmetic::subtract, &squares.sum, excess, at), 0.0, at);
        let variance = over(sum, &self.degrees, at);
        let result = match self.root {
            true => squares.unscaled(root_or_zero(variance, at), 1, at),
            false => squares.unscaled(variance, 2, at),
        };
        if result.error().is_some() {
            return result;
        }
        let (out, of, degrees, is_root) = (result.clone(), deviation.clone(), self.degrees.clone(), self.root);
        let along = gone(axes);
        let back = move |g: &Expr, at: Loc| {
            let g = over(g, &degrees, at);
            Ok(vec![match is_root {
                true => slope_of_root(&of, &out, &g, &along, at),
                false => times(expanded(times(g, 2.0, at), &of, &kept(&along), at), &of, at),
            }])
        };
        result.with_rule_of(vec![x.clone()], Some(Box::new(back)), Reach::Along(gone(axes)))
    }
}

/// Divides each element by the square root of the mean of squares along axes plus `eps`. If `centred` is true, the
/// elements are deviations from their mean. `x` is f64 or f32, and its elements were cast from the dtype `from`.
pub(crate) fn normalised(
    op: &'static str,
    x: &Expr,
    from: DType,
    axes: &AxesArg,
    (centred, eps): (bool, f64),
    at: Loc,
) -> Expr {
    let elements = match centred {
        true => binary(&arithmetic::subtract, x, mean_at(op, x, &kept(axes), at), at),
        false => x.clone(),
    };
    // squares that are below the bounds do not count beside `eps`, unless it is as small
    let unit = if x.0.dtype == DType::F64 { f64::EPSILON } else { f32::EPSILON as f64 };
    let small = eps < scales(x.0.dtype).bounds[0] / unit;
    let squares = Squares::of(op, &elements, from, small, axes, at);
    let mean = over(&squares.sum, count(x, axes) as f64, at);
    // `eps` times the square of the scale
    let eps_scaled = match &squares.scale {
        Some([scale, _]) => {
            times(times(scale, eps, at), mutant!(epsilon_scaled_once, number(1.0, scale, at), scale.clone()), at)
        }
        None => number(eps, &mean, at),
    };
    let root = unary(&float::sqrt, binary(&arithmetic::add, mean, eps_scaled, at), at);
    let wide = |e: Expr| expanded(e, x, &kept(axes), at);
    // the root of small squares may be subnormal, so it stays scaled, and the elements are scaled too
    let [factor, root] = match (&squares.scale, small) {
        (Some([scale, _]), true) => [Some(wide(scale.clone())), Some(wide(root))],
        _ => [None, Some(wide(squares.unscaled(root, 1, at)))],
    };
    let divided = move |e: &Expr, at: Loc| {
        let scaled = factor.iter().fold(e.clone(), |e, factor| times(e, factor, at));
        root.iter().fold(scaled, |e, root| over(e, root, at))
    };
    let result = divided(&elements, at);
    if result.error().is_some() {
        return result;
    }
    let (out, along) = (result.clone(), axes.clone());
    let back = move |g: &Expr, at: Loc| {
        let mean = |e: &Expr| mean_at(op, e, &kept(&along), at);
        let change = times(&out, mean(&times(g, &out, at)), at);
        let g = if centred { binary(&arithmetic::subtract, g, mean(g), at) } else { g.clone() };
        Ok(vec![divided(&binary(&arithmetic::subtract, g, change, at), at)])
    };
    result.with_rule_of(vec![x.clone()], Some(Box::new(back)), Reach::Along(axes.clone()))
}
