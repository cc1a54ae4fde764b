//! Sums of squares whose squares may overflow or underflow, for norms and deviations. The folds `squares` and `norm`
//! (`graph/ufunc/fold/rows.rs`) also sum the squares of scaled elements. Such a sum is used only where the ordinary sum
//! has lost digits, and elsewhere results have the bits of the ordinary formula.

use super::sums::{count, expanded, gone, kept, mean_at, root_or_zero};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Loc;
use crate::base::layout::AxesArg;
use crate::graph::expr::{Expr, Operand, Reach, binary, choose, reduce, unary};
use crate::graph::ufunc::{Fold, Scales, arithmetic, float, logic, scales, squares};
use smallvec::smallvec;

/// The dtype of the elements before they are cast to f32 or f64: the squares of few dtypes leave the range of f32.
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
    let norm = reduce(op, squares(x.0.dtype, true), x, &gone(axes), at);
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
    /// The sums. Where `scaled` is true, an element is not a sum but stands for one.
    sum: Expr,
    scaled: Option<Scaled>,
}

/// What the sums of squares that are beyond the bounds stand for. Elsewhere the numbers are harmless.
struct Scaled {
    is: Expr,
    /// The square root of the sum, times `scale`, which is a power of two.
    root: Expr,
    scale: Expr,
}

impl Squares {
    /// Sums the squares of `x`, which is f64 or f32. Its elements were computed from elements of the dtype `from`.
    pub fn of(op: &'static str, x: &Expr, from: DType, axes: &AxesArg, at: Loc) -> Squares {
        if !may_leave(from) {
            let sum = reduce(op, Fold::of(&arithmetic::add), &unary(&arithmetic::square, x, at), &gone(axes), at);
            return Squares { sum, scaled: None };
        }
        let sum = reduce(op, squares(x.0.dtype, false), x, &gone(axes), at);
        if sum.error().is_some() {
            return Squares { sum, scaled: None };
        }
        let (of, along) = (x.clone(), kept(axes));
        let back = move |g: &Expr, at: Loc| {
            let squares = Squares::of(op, &of, from, &along, at);
            let twice = times(g, 2.0, at);
            // where the sum is the negative root of the squares, times the scale
            let of_root = |s: &Scaled| unary(&arithmetic::negative, over(times(g, &s.scale, at), &s.root, at), at);
            let slope = expanded(squares.choose(of_root, twice, at), &of, &along, at);
            Ok(vec![times(squares.scale(&of, &along, at), slope, at)])
        };
        let sum = sum.with_rule_of(vec![x.clone()], Some(Box::new(back)), Reach::Along(gone(axes)));
        let is = unary(&logic::signbit, &sum, at);
        let Scales { scales: [large, small], between, .. } = *scales(sum.0.dtype);
        let root = unary(&arithmetic::abs, &sum, at);
        let is_large = binary(&logic::less, &sum, -between, at);
        let scale = choose(is_large, number(large, &sum, at), small, at);
        Squares { sum, scaled: Some(Scaled { is, root, scale }) }
    }

    /// Chooses, for each sum, between what `scaled` returns and `ordinary`.
    fn choose(&self, scaled: impl FnOnce(&Scaled) -> Expr, ordinary: Expr, at: Loc) -> Expr {
        match &self.scaled {
            Some(s) => choose(&s.is, scaled(s), ordinary, at),
            None => ordinary,
        }
    }

    /// Returns the sums of squares, which may overflow.
    pub fn value(&self, at: Loc) -> Expr {
        let square = |s: &Scaled| unary(&arithmetic::square, over(&s.root, &s.scale, at), at);
        self.choose(square, self.sum.clone(), at)
    }

    /// Returns the square roots of the sums.
    pub fn root(&self, at: Loc) -> Expr {
        self.choose(|s| over(&s.root, &s.scale, at), root_or_zero(self.sum.clone(), at), at)
    }

    /// Returns the square roots of the means of the squares plus `eps`. Each mean is that of `n` elements. Where the sum
    /// is scaled, so is the root.
    fn root_of_mean(&self, n: f64, eps: f64, at: Loc) -> Expr {
        let mean = over(&self.sum, n, at);
        let ordinary = unary(&float::sqrt, binary(&arithmetic::add, mean, eps, at), at);
        let scaled = |s: &Scaled| {
            // the square of the scale may overflow, so the roots are added
            let root = times(&s.root, n.recip().sqrt(), at);
            binary(&float::hypot, root, times(&s.scale, eps.max(0.0).sqrt(), at), at)
        };
        self.choose(scaled, ordinary, at)
    }

    /// Multiplies `x` by the scale where the sum along `axes` is scaled.
    fn scale(&self, x: &Expr, axes: &AxesArg, at: Loc) -> Expr {
        let Some(s) = &self.scaled else { return x.clone() };
        let [is, scale] = [&s.is, &s.scale].map(|e| expanded(e.clone(), x, &kept(axes), at));
        choose(is, times(x, scale, at), x, at)
    }
}

/// How a variance is computed from deviations from a mean, or the standard deviation if `root` is true.
#[derive(Clone)]
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
        let Spread { op, from, n, degrees, root } = self.clone();
        let squares = Squares::of(op, deviation, from, axes, at);
        let rest = reduce(op, Fold::of(&arithmetic::add), deviation, &gone(axes), at);
        let variance = |squares: &Expr, rest: &Expr| {
            let excess = over(unary(&arithmetic::square, rest, at), &n, at);
            let sum = binary(&arithmetic::maximum, binary(&arithmetic::subtract, squares, excess, at), 0.0, at);
            over(sum, &degrees, at)
        };
        let ordinary = variance(&squares.sum, &rest);
        let ordinary = if root { unary(&float::sqrt, ordinary, at) } else { ordinary };
        let scaled = |s: &Scaled| {
            // divided by the root, whose square then is 1; if the sum has overflowed, it is not known
            let rest = over(times(&rest, &s.scale, at), &s.root, at);
            let rest = choose(unary(&logic::isfinite, &rest, at), &rest, 0.0, at);
            let part = unary(&float::sqrt, variance(&number(1.0, &rest, at), &rest), at);
            let deviation = over(times(&s.root, part, at), &s.scale, at);
            if root { deviation } else { unary(&arithmetic::square, deviation, at) }
        };
        let result = squares.choose(scaled, ordinary, at);
        if result.error().is_some() {
            return result;
        }
        let (of, spread, deviation, along) = (x.clone(), self.clone(), deviation.clone(), gone(axes));
        let back = move |g: &Expr, at: Loc| {
            let g = over(g, &spread.degrees, at);
            Ok(vec![match spread.root {
                true => slope_of_root(&deviation, &spread.of(&of, &deviation, &along, at), &g, &along, at),
                false => times(expanded(times(g, 2.0, at), &of, &kept(&along), at), &deviation, at),
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
    let elements =
        if centred { binary(&arithmetic::subtract, x, mean_at(op, x, &kept(axes), at), at) } else { x.clone() };
    let squares = Squares::of(op, &elements, from, axes, at);
    let root = expanded(squares.root_of_mean(count(x, axes) as f64, eps, at), x, &kept(axes), at);
    let result = over(squares.scale(&elements, axes, at), &root, at);
    if result.error().is_some() {
        return result;
    }
    let (of, along) = (x.clone(), axes.clone());
    let back = move |g: &Expr, at: Loc| {
        let out = normalised(op, &of, from, &along, (centred, eps), at);
        let mean = |e: &Expr| mean_at(op, e, &kept(&along), at);
        let change = times(&out, mean(&times(g, &out, at)), at);
        let g = if centred { binary(&arithmetic::subtract, g, mean(g), at) } else { g.clone() };
        let slope = over(binary(&arithmetic::subtract, g, change, at), &root, at);
        Ok(vec![squares.scale(&slope, &along, at)])
    };
    result.with_rule_of(vec![x.clone()], Some(Box::new(back)), Reach::Along(axes.clone()))
}
