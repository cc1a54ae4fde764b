//! Interpolation between two elements of the sorted order.

use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::{Expr, binary, cast};
use crate::graph::ufunc::arithmetic;
use crate::ops::functions::within;
use smallvec::smallvec;

/// Returns the dtype of an interpolated quantile: the float type itself, f64 for the integers of 64 bits, and f32 for
/// bool and the other integers. f32 would round the middle element of large i64 to a number that is far from it.
pub(super) fn interpolated(dtype: DType) -> DType {
    let is_wide = dtype.is_integer() && dtype.size() == 8;
    mutant!(median_of_i64_in_f32, dtype.float(), if is_wide { DType::F64 } else { dtype.float() })
}

/// Returns an error if the operand's device cannot represent its interpolated quantiles.
pub(super) fn is_supported(op: &'static str, e: &Expr, at: Loc) -> Result<()> {
    let dtype = e.0.dtype;
    if dtype.is_float() || interpolated(dtype) != DType::F64 || e.0.device == 0 {
        return Ok(());
    }
    let device = Device::of(e.0.device);
    if device.supports(DType::F64) {
        return Ok(());
    }
    let detail = format!(
        "the result of dtype {dtype} is f64, which {} does not support; \
         `quantile` with `QuantileMethod::Lower` returns an element in {dtype}",
        device.name()
    );
    Err(Error::with_line(ErrorKind::Unsupported, op, detail, at))
}

/// Converts elements to the dtype in which quantiles are interpolated.
pub(super) fn wide(e: &Expr, at: Loc) -> Expr {
    let to = interpolated(e.0.dtype);
    cast(e.clone(), if to.is_half() { DType::F32 } else { to }, at)
}

/// Converts an interpolated quantile of `of` to its dtype.
pub(super) fn finished_in(value: Expr, of: &Expr, at: Loc) -> Expr {
    cast(value, interpolated(of.0.dtype), at)
}

/// Interpolates between two numbers; `high` is not less than `low`. `share` is the weight of `high`.
pub(super) fn between(low: &Expr, high: &Expr, share: f64, at: Loc) -> Expr {
    let (low, high) = (wide(low, at), wide(high, at));
    if share == 1.0 {
        return high;
    }
    let part = |share: f64| Expr::fill(Scalar::Float(share), smallvec![], low.0.dtype, at);
    mixed([&low, &high], [part(1.0 - share), part(share)], at)
}

/// Returns the weighted sum of two numbers, clipped to the interval between them.
pub(super) fn mixed([low, high]: [&Expr; 2], [first, second]: [Expr; 2], at: Loc) -> Expr {
    // `low + share · (high − low)` is not used, because `high − low` may have a larger error than the products;
    // clipping removes rounding errors outside the interval, so two equal numbers return themselves
    let part = |e: &Expr, share: Expr| binary(&arithmetic::multiply, e, share, at);
    let sum = binary(&arithmetic::add, part(low, first), part(high, second), at);
    within(sum, [low, high], at)
}
