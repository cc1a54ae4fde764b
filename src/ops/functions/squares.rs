//! Sums of squares whose squares may overflow or underflow, for norms. The folds `squares` and `norm`
//! (`graph/ufunc/fold/rows.rs`) also sum the squares of scaled elements. Such a sum is used only where the ordinary sum
//! has lost digits, and elsewhere results have the bits of the ordinary formula.

use super::reductions::{expanded, gone, kept, root_or_zero};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Loc;
use crate::base::layout::AxesArg;
use crate::graph::expr::{Expr, Operand, Reach, binary, choose, reduce, unary};
use crate::graph::ufunc::{Fold, Scales, arithmetic, logic, scales, squares};
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
    let Scales { bounds: [low, high], factors: [large, small], .. } = *scales(norm.0.dtype);
    let is_small = binary(&logic::less, norm, low.sqrt(), at);
    let is_large = binary(&logic::greater, norm, high.sqrt(), at);
    choose(is_large, number(large, norm, at), choose(is_small, number(small, norm, at), 1.0, at), at)
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
        // no quotient overflows or loses digits, because the elements and the norm are scaled
        let scale = scale_of(&norm, at);
        let slope = over(g, times(&norm, &scale, at), at);
        let slope = choose(binary(&logic::equal, &norm, 0.0, at), 0.0, slope, at);
        let [scale, slope] = [scale, slope].map(|e| expanded(e, &of, &kept(&along), at));
        Ok(vec![times(times(&of, scale, at), slope, at)])
    };
    let norm = norm.with_rule_of(vec![x.clone()], Some(Box::new(back)), Reach::Along(gone(axes)));
    expanded(norm, x, axes, at)
}

/// Sums of squares along axes. They do not have these axes.
#[cfg(feature = "train")]
pub(crate) struct Squares {
    /// The sums. Where `scaled` is true, an element is not a sum but stands for one.
    sum: Expr,
    scaled: Option<Scaled>,
}

/// What the sums of squares that are beyond the bounds stand for. Elsewhere the numbers are harmless.
#[cfg(feature = "train")]
struct Scaled {
    is: Expr,
    /// The square root of the sum, times `scale`, which is a power of two.
    root: Expr,
    scale: Expr,
}

#[cfg(feature = "train")]
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

    /// Multiplies `x` by the scale where the sum along `axes` is scaled.
    fn scale(&self, x: &Expr, axes: &AxesArg, at: Loc) -> Expr {
        let Some(s) = &self.scaled else { return x.clone() };
        let [is, scale] = [&s.is, &s.scale].map(|e| expanded(e.clone(), x, &kept(axes), at));
        choose(is, times(x, scale, at), x, at)
    }
}
