//! `index_min` and `index_max` of floats and bools, for which no device has atomic operations. The values are sorted so
//! that, among the values for one element, the least (for a minimum) or the greatest is last. The table of
//! [`last_writers`] then tells which value is last for each element.

use super::places::flat_along;
use super::writes::{Places, in_axis, last_writers};
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Combine, Shape, View};
use crate::graph::expr::{Expr, NodeOp, Operand, cast, reshape, routine, ufunc, view};
use crate::graph::routine::ARGSORT;
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::plan::kernel::IndexMode;
use smallvec::{SmallVec, smallvec};

/// The parameters of a call of `index_min` or `index_max`. `axis` is the axis along which the indices count.
pub(super) struct Extremes {
    pub op: &'static str,
    pub combine: Combine,
    pub mode: IndexMode,
    pub axis: usize,
    pub device: u32,
    pub at: Loc,
}

impl Extremes {
    /// Returns the array in which each element at an index is replaced by the minimum (or maximum) of the element and
    /// the values for this index. `values` has the shape `wanted`. `indices` has one index for each position of the
    /// values along the axis.
    pub fn of(&self, array: Expr, indices: Expr, values: &Expr, wanted: &Shape) -> Result<Expr> {
        let &Extremes { op, at, axis, .. } = self;
        let shape = array.0.shape.clone();
        let (size, count) = (layout::product(&shape), layout::product(wanted));
        if size.max(count) > i32::MAX as usize {
            let detail = format!("{size} elements and {count} values; their numbers must fit i32");
            return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
        }
        let i = in_axis(op, indices, (axis, &shape), self.mode, at)?;
        if count == 0 || size == 0 {
            return Ok(array);
        }
        let mut across: SmallVec<[isize; 6]> = smallvec![1; shape.len()];
        across[axis] = wanted[axis] as isize;
        let i = view(op, &reshape(op, &i, &across, at), at, |from| View::broadcast_to(from, wanted));
        let flat = [count as isize];
        let positions = reshape(op, &flat_along(i, axis, &shape, wanted, at), &flat, at);
        let values = reshape(op, values, &flat, at);
        let order = self.order(&values)?;
        let placed = Places { at: self.taken(&positions, order.clone()), mode: IndexMode::Clip };
        let table = last_writers(op, &placed, size, self.device, at);
        // The table numbers the values from 1. For an element without a value, `number` is −1, which the gather clips
        // to 0. The value found there is not used.
        let number = self.call(&arithmetic::subtract, cast(table.clone(), DType::I32, at), 1);
        let best = self.taken(&values, self.taken(&order, number));
        let best = self.with_sign_of_zero(best, &values, positions, size);
        let lengths: SmallVec<[isize; 6]> = shape.iter().map(|n| *n as isize).collect();
        let best = reshape(op, &best, &lengths, at);
        let is_met = self.call(&logic::not_equal, reshape(op, &table, &lengths, at), 0);
        let both = self.call(self.row(array.0.dtype), array.clone(), best);
        Ok(ufunc(&logic::SELECT, smallvec![is_met.into_arg(), both.into_arg(), array.into_arg()], at))
    }

    fn row(&self, dtype: DType) -> &'static Ufunc {
        match (self.combine == Combine::Min, dtype) {
            (true, DType::Bool) => &logic::logical_and,
            (false, DType::Bool) => &logic::logical_or,
            (true, _) => &arithmetic::minimum,
            (false, _) => &arithmetic::maximum,
        }
    }

    fn call(&self, row: &'static Ufunc, a: impl Operand, b: impl Operand) -> Expr {
        ufunc(row, smallvec![a.into_arg(), b.into_arg()], self.at)
    }

    /// Returns the elements of a 1-d array at positions of dtype i32.
    fn taken(&self, from: &Expr, i: Expr) -> Expr {
        let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: self.op };
        let shape = i.0.shape.clone();
        Expr::node(take, smallvec![i, from.clone()], shape, from.0.dtype, self.device, self.at)
    }

    /// Returns the order that sorts the values so that the value to keep is last: positions of the values, as i32. NaN
    /// is last whether the order is ascending or descending.
    fn order(&self, values: &Expr) -> Result<Expr> {
        let count = values.checked()?.shape[0];
        if count == 1 {
            return Ok(Expr::fill_on(self.device, Scalar::Int(0), smallvec![1], DType::I32, self.at));
        }
        let descending = u64::from(self.combine == Combine::Min);
        let params = smallvec![count as u64, descending, count as u64];
        let results = routine(&ARGSORT, smallvec![values.clone()], params, self.at)?;
        let first = results.into_iter().next();
        let order = first.ok_or_else(|| Error::with_line(ErrorKind::Internal, self.op, "no result", self.at))?;
        Ok(cast(order, DType::I32, self.at))
    }

    /// Sets the sign of best values that are zero, because the sort treats −0 and +0 as equal. A minimum is −0, and a
    /// maximum is +0, if any value for the element is that zero.
    fn with_sign_of_zero(&self, best: Expr, values: &Expr, positions: Expr, size: usize) -> Expr {
        let (at, dtype) = (self.at, values.0.dtype);
        if !dtype.is_float() {
            return best;
        }
        let is_zero = |x: &Expr| self.call(&logic::equal, x, 0);
        let sign = ufunc(&logic::signbit, smallvec![values.into_arg()], at);
        let is_min = self.combine == Combine::Min;
        let has_sign = self.call(&logic::equal, sign, is_min);
        let wins = cast(self.call(&logic::logical_and, is_zero(values), has_sign), DType::U32, at);
        let none = Expr::fill_on(self.device, Scalar::Int(0), smallvec![size], DType::U32, at);
        let scatter = NodeOp::Scatter { axis: 0, mode: IndexMode::Clip, combine: Combine::Max, name: self.op };
        let found = Expr::node(scatter, smallvec![none, positions, wins], smallvec![size], DType::U32, self.device, at);
        let zero = |negative: bool| {
            let number = if negative { (-0f64).scalar() } else { 0f64.scalar() };
            Expr::fill(number, smallvec![], dtype, at).into_arg()
        };
        let is_found = self.call(&logic::not_equal, found, 0);
        let signed = ufunc(&logic::SELECT, smallvec![is_found.into_arg(), zero(is_min), zero(!is_min)], at);
        ufunc(&logic::SELECT, smallvec![is_zero(&best).into_arg(), signed.into_arg(), best.into_arg()], at)
    }
}
