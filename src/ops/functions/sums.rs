//! Sums and means, and helpers for functions that are built from reductions.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::Loc;
use crate::base::layout::{self, AxesArg, View};
use crate::graph::expr::{Expr, Operand, Reach, binary, cast, choose, reduce, strong, ufunc, unary, view};
use crate::graph::ufunc::{arithmetic, float, logic};
use crate::plan::kernel::Fold;
use smallvec::smallvec;

/// Returns the number of elements along the axes, or 0 for axes out of range, which callers have already rejected.
pub(crate) fn count(e: &Expr, axes: &AxesArg) -> usize {
    let shape = &e.0.shape;
    axes.resolve(shape.len()).map_or(0, |a| layout::product(a.iter().map(|d| &shape[*d])))
}

/// Casts to the dtype in which functions built from several operations compute: f64 is kept, and every other dtype
/// becomes f32.
pub(crate) fn wide(e: &Expr, at: Loc) -> Expr {
    let e = strong(e.clone(), at);
    let to = match e.0.dtype {
        d if d.is_half() => DType::F32,
        d => d.float(),
    };
    cast(e, to, at)
}

/// Casts to the dtype that a float function returns for the operand `like`: the dtype of `like`, or f32 for integers
/// and bool.
pub(crate) fn narrow(e: Expr, like: &Expr, at: Loc) -> Expr {
    cast(e, like.0.dtype.float(), at)
}

/// Returns the same axes with `keep` unset, so that the result of a reduction does not have the reduced axes.
pub(crate) fn gone(axes: &AxesArg) -> AxesArg {
    AxesArg { keep: false, ..axes.clone() }
}

/// Returns the same axes with `keep` set, so that the result of a reduction has the reduced axes with length 1.
pub(crate) fn kept(axes: &AxesArg) -> AxesArg {
    AxesArg { keep: true, ..axes.clone() }
}

pub(crate) fn sum_at(e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    reduce("sum", Fold::of(&arithmetic::add), e, axes, at)
}

/// Returns the dtype in which `count` elements of a dtype are summed. A float dtype is kept. Integers and bool use 32
/// bits if 32 bits can hold every possible sum, because SIMD vectors and GPUs add these faster, and 64 bits otherwise.
pub(super) fn summed_in(dtype: DType, count: usize) -> DType {
    let (least, most) = dtype.integer_range();
    let total = most.max(-least).saturating_mul(count as i128);
    match dtype {
        d if d.is_float() => d,
        d if d.is_unsigned_integer() && total <= u32::MAX as i128 => DType::U32,
        d if !d.is_unsigned_integer() && total <= i32::MAX as i128 => DType::I32,
        d => d.sum(),
    }
}

/// Sums integers or bools in the dtype that [`summed_in`] returns.
pub(super) fn narrow_sum(op: &'static str, e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    let to = summed_in(e.0.dtype, count(e, axes));
    reduce(op, Fold::of(&arithmetic::add), &cast(e.clone(), to, at), axes, at)
}

/// Builds the sum as [`Expr::sum`] defines it. Errors name the operation `op`.
pub(crate) fn sum_in_its_type(op: &'static str, e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    match e.0.dtype.is_float() {
        true => reduce(op, Fold::of(&arithmetic::add), e, axes, at),
        false => cast(narrow_sum(op, e, axes, at), e.0.dtype.sum(), at),
    }
}

/// Sums integers or bools exactly, and rounds the sum once to f32.
pub(super) fn exact_sum(op: &'static str, e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    if e.0.dtype.size() < 8 {
        return cast(narrow_sum(op, e, axes, at), DType::F32, at);
    }
    let wide = e.0.dtype;
    let sum = |x: &Expr| reduce(op, Fold::of(&arithmetic::add), x, axes, at);
    let x = e.clone();
    // A 64-bit sum could overflow. So the 32-bit halves of the elements are summed separately, because 64 bits hold the
    // sum of 2^31 halves.
    let constant = |v: u32| Expr::fill(Scalar::Int(v as i128), smallvec![], wide, at);
    let shifted = |row, x: &Expr| binary(row, x, constant(32), at);
    let low_half = |x: &Expr| binary(&logic::bitwise_and, x, constant(u32::MAX), at);
    let low = sum(&low_half(&x));
    let carry = shifted(&logic::bitwise_right_shift, &low);
    let high = binary(&arithmetic::add, sum(&shifted(&logic::bitwise_right_shift, &x)), carry, at);
    let low = low_half(&low);
    // A sum between -2^62 and 2^62 fits one integer, which is rounded to f32. A larger sum is `high`, rounded to f32,
    // times 2^32. If the low half is not 0, the last bit of `high` is set (a sticky bit, below f32's 24 bits), so that
    // the rounding takes the low half into account.
    let whole = binary(&logic::bitwise_or, shifted(&logic::bitwise_left_shift, &high), &low, at);
    let some = cast(binary(&logic::not_equal, &low, constant(0), at), wide, at);
    let odd = mutant!(sticky_bit_of_a_long_sum, high.clone(), binary(&logic::bitwise_or, &high, some, at));
    let rounded = cast(odd, DType::F32, at);
    let long = binary(&arithmetic::multiply, rounded, 2f64.powi(32), at);
    let fits = binary(&logic::less, binary(&arithmetic::add, &high, constant(1 << 30), at), constant(1 << 31), at);
    let fits = if wide == DType::I64 {
        let above = binary(&logic::greater_equal, &high, -(1i64 << 30), at);
        binary(&logic::logical_and, fits, above, at)
    } else {
        fits
    };
    ufunc(&logic::SELECT, smallvec![fits.into_arg(), cast(whole, DType::F32, at).into_arg(), long.into_arg()], at)
}

/// Builds the mean, in f64 for an f64 operand and in f32 for any other.
pub(crate) fn mean_at(op: &'static str, e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    let x = wide(e, at);
    let sum = reduce(op, Fold::of(&arithmetic::add), &x, &gone(axes), at);
    // the sum is computed without the reduced axes, and a view restores them, so that a mean that keeps the axes and a
    // mean that removes them share one reduction
    expanded(binary(&arithmetic::divide, sum, count(&x, axes) as f64, at), &x, axes, at)
}

/// Restores the reduced axes with length 1, if `axes` keeps them. `from` is the operand before the reduction.
pub(crate) fn expanded(e: Expr, from: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    if !axes.keep {
        return e;
    }
    let mut shape = from.0.shape.clone();
    axes.resolve(shape.len()).unwrap_or_default().iter().for_each(|d| shape[*d] = 1);
    view("keep", &e, at, |s| Ok(View::reshape(s, &shape).unwrap_or_else(|| View::identity(s))))
}

/// Returns the square root of a sum of squares. Where the root is 0, its derivative is 0, because the derivative of
/// `sqrt` would be infinite there.
pub(crate) fn root_or_zero(squares: Expr, at: Loc) -> Expr {
    let root = unary(&float::sqrt, &squares, at);
    if root.error().is_some() {
        return root;
    }
    let out = root.clone();
    let back = move |g: &Expr, at: Loc| {
        let d = binary(&arithmetic::divide, binary(&arithmetic::multiply, g, 0.5, at), &out, at);
        Ok(vec![choose(binary(&logic::equal, &out, 0.0, at), 0.0, d, at)])
    };
    root.with_rule_of(vec![squares], Some(Box::new(back)), Reach::SameElement)
}
