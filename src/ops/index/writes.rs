//! The code that writes values at positions. If several values are for one position, the last in C order is kept, as in
//! NumPy.
//!
//! A CPU writes the values one after another. A device that runs WGSL sorts the positions if they are few, and writes
//! the last value of each run of equal positions. For many positions it numbers the values from 1 and combines the
//! numbers by maximum into a table with an entry for each position ([`last_writers`]). Then each element of the array
//! is replaced by the value whose number is in its entry. So the result depends neither on threads nor on the device.

use super::sums::in_order;
use super::{checked_positions, positions};
use crate::array::device::Device;
use crate::array::prepared;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Combine, Shape};
use crate::graph::expr::{Arg, Args, Back, Expr, NodeOp, Operand, binary, cast, choose, common, reshape, ufunc};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;

/// The positions of a write. They count, in C order, the elements of the array's first axes.
pub(super) struct Places {
    /// The positions, as integers of any shape, converted by [`positions`].
    pub at: Expr,
    pub mode: IndexMode,
}

/// Returns an error if a count does not fit i32, in which kernels count positions.
pub(super) fn at_most_i32(op: &'static str, count: usize, what: &str, at: Loc) -> Result<()> {
    if count > i32::MAX as usize {
        let detail = format!("{count} {what}; their number must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    Ok(())
}

/// Maps positions along an axis into the range of the axis, as i32. In mode `Check`, a position out of range is an
/// error of the evaluation.
pub(super) fn in_axis(
    op: &'static str,
    i: Expr,
    (axis, shape): (usize, &Shape),
    mode: IndexMode,
    at: Loc,
) -> Result<Expr> {
    let n = shape[axis];
    let i = positions(op, i, (axis, shape), mode, at)?;
    Ok(match mode {
        IndexMode::Check | IndexMode::CheckFromStart => cast(checked_positions(op, i, n, mode, at)?, DType::I32, at),
        IndexMode::Clip => {
            let last = n.saturating_sub(1).into_arg();
            ufunc(&arithmetic::clip, smallvec![i.into_arg(), 0.into_arg(), last], at)
        }
        IndexMode::Wrap => binary(&arithmetic::remainder, i, n.max(1), at),
    })
}

/// Returns a table of `count` entries, one for each position: the number, counted from 1, of the last value for the
/// position, or 0 if there is none. The dtype is u32, because devices have an atomic maximum for it.
pub(super) fn last_writers(op: &'static str, places: &Places, count: usize, device: u32, at: Loc) -> Expr {
    let values = layout::product(&places.at.0.shape);
    let node = |op, args: Args, shape: Shape, dtype| Expr::node(op, args, shape, dtype, device, at);
    let flat = reshape(op, &places.at, &[values as isize], at);
    let from_0 = Expr::node(NodeOp::Iota(0), smallvec![], smallvec![values], DType::I32, 0, at);
    let numbers = binary(&arithmetic::add, cast(from_0, DType::U32, at), 1, at);
    let none = Expr::fill_on(device, Scalar::Int(0), smallvec![count], DType::U32, at);
    let scatter = NodeOp::Scatter { axis: 0, mode: places.mode, combine: Combine::Max, name: op };
    node(scatter, smallvec![none, flat, numbers], smallvec![count], DType::U32)
}

/// Returns the array with values written at positions in its first `lead` axes. The values broadcast to the shape of
/// the positions, followed by the array's other axes.
pub(super) fn written(
    op: &'static str,
    (array, lead): (Expr, usize),
    places: Places,
    values: Arg,
    at: Loc,
) -> Result<Expr> {
    let (shape, dtype) = (array.0.shape.clone(), array.0.dtype);
    let (lead, rest) = shape.split_at(lead);
    let wanted: Shape = places.at.checked()?.shape.iter().chain(rest).copied().collect();
    let count = layout::product(&places.at.0.shape);
    at_most_i32(op, count, "positions", at)?;
    layout::size_of_shape(&wanted).map_err(|f| f.at(op, at))?;
    let values = prepared(values, &wanted, dtype, op, at)?;
    let device = common(op, [&array, &places.at, &values].into_iter(), at)?;
    if count == 0 || shape.contains(&0) {
        return Ok(array);
    }
    let write = Write { op, device, at };
    if dtype.is_float() {
        let operands = vec![array.clone(), values.clone()];
        let rule = derivative_of(&array, lead.len(), Places { at: places.at.clone(), mode: places.mode }, device);
        return Ok(write.of(array, lead.len(), places, values, count)?.with_rule(operands, Some(rule)));
    }
    write.of(array, lead.len(), places, values, count)
}

/// Returns the derivative rule of [`written`]. The derivative with respect to the array is 0 where something is
/// written. The derivative with respect to the values is 0 for a value that a later one replaces.
fn derivative_of(array: &Expr, lead: usize, places: Places, device: u32) -> Back {
    let shape = array.0.shape.clone();
    Box::new(move |g, at| {
        let (op, (lead, rest)) = ("grad", shape.split_at(lead));
        let count = layout::product(&places.at.0.shape);
        let table = last_writers(op, &places, layout::product(lead), device, at);
        let here: Vec<isize> = layout::lengths(lead).into_iter().chain(rest.iter().map(|_| 1)).collect();
        let is_written = binary(&logic::not_equal, reshape(op, &table, &here, at), 0, at);
        let flat = reshape(op, &places.at, &[count as isize], at);
        let taken = |from: &Expr, more: &[usize]| {
            let shape: Shape = std::iter::once(count).chain(more.iter().copied()).collect();
            let take = NodeOp::Take { axis: 0, mode: places.mode, along: false, name: op };
            Expr::node(take, smallvec![flat.clone(), from.clone()], shape, from.0.dtype, device, at)
        };
        let number = Expr::node(NodeOp::Iota(0), smallvec![], smallvec![count], DType::I32, 0, at);
        let number = binary(&arithmetic::add, cast(number, DType::U32, at), 1, at);
        let is_last = binary(&logic::equal, taken(&table, &[]), number, at);
        let each: Vec<isize> = std::iter::once(-1).chain(rest.iter().map(|_| 1)).collect();
        let joined: Vec<isize> = std::iter::once(-1).chain(layout::lengths(rest)).collect();
        let values = choose(reshape(op, &is_last, &each, at), taken(&reshape(op, g, &joined, at), rest), 0.0, at);
        let wanted: Shape = places.at.0.shape.iter().chain(rest).copied().collect();
        Ok(vec![choose(is_written, 0.0, g, at), reshape(op, &values, &layout::lengths(&wanted), at)])
    })
}

/// A device that runs WGSL sorts the positions if their number is at most 1/`FEW` of the number of elements along the
/// first axes. Otherwise it uses a table. The sort makes four passes over two words for each position; the table needs
/// about two passes over one word for each element. Chosen by hand, without a benchmark.
const FEW: usize = 16;

/// The parameters that all methods of writing values share.
struct Write {
    op: &'static str,
    device: u32,
    at: Loc,
}

impl Write {
    /// Writes the values one after another on a CPU. Other devices sort the positions if they are few, or else use a
    /// table.
    fn of(&self, array: Expr, lead: usize, places: Places, values: Expr, count: usize) -> Result<Expr> {
        // an expression without a device may later be evaluated on any device
        if self.device != 0 && !Device::of(self.device).backend().caps().wgsl {
            return self.in_order(array, lead, places, &values);
        }
        if count <= layout::product(&array.0.shape[..lead]) / FEW {
            return self.sorted(array, lead, places, &values);
        }
        Ok(self.by_table(array, lead, &places, &values))
    }

    fn node(&self, op: NodeOp, args: Args, shape: Shape, dtype: DType) -> Expr {
        Expr::node(op, args, shape, dtype, self.device, self.at)
    }

    /// Returns the array with its first `lead` axes merged into one, and the values with the axes of their positions
    /// merged into one.
    fn joined(&self, array: &Expr, lead: usize, values: &Expr, count: usize) -> (Expr, Expr) {
        let (lead, rest) = array.0.shape.split_at(lead);
        let with =
            |first: usize| layout::lengths(&std::iter::once(first).chain(rest.iter().copied()).collect::<Shape>());
        let array = reshape(self.op, array, &with(layout::product(lead)), self.at);
        let values = match values.0.number() {
            Some(number) => {
                let shape = std::iter::once(count).chain(rest.iter().copied()).collect();
                Expr::fill(number, shape, values.0.dtype, self.at)
            }
            None => reshape(self.op, values, &with(count), self.at),
        };
        (array, values)
    }

    /// Writes the values one after another, so that the last one is kept. This is the method for a CPU.
    fn in_order(&self, array: Expr, lead: usize, places: Places, values: &Expr) -> Result<Expr> {
        let count = layout::product(&places.at.0.shape);
        let flat = reshape(self.op, &places.at, &[count as isize], self.at);
        let (joined, values) = self.joined(&array, lead, values, count);
        self.set(&array, smallvec![joined, flat, values], places.mode)
    }

    /// Replaces elements by a scatter. Returns the result in the shape of the array.
    fn set(&self, array: &Expr, args: Args, mode: IndexMode) -> Result<Expr> {
        let shape = args[0].checked()?.shape.clone();
        let scatter = NodeOp::Scatter { axis: 0, mode, combine: Combine::Set, name: self.op };
        let set = self.node(scatter, args, shape, array.0.dtype);
        Ok(reshape(self.op, &set, &layout::lengths(&array.0.shape), self.at))
    }

    /// Sorts the positions with their values, and writes the last value of each run of equal positions. A device that
    /// runs WGSL needs this, because it does not define which of several writes to one element is last.
    fn sorted(&self, array: Expr, lead: usize, places: Places, values: &Expr) -> Result<Expr> {
        let &Write { op, at, .. } = self;
        let count = layout::product(&places.at.0.shape);
        let below = layout::product(&array.0.shape[..lead]);
        let flat = reshape(op, &places.at, &[count as isize], at);
        let keys = in_axis(op, flat, (0, &smallvec![below]), places.mode, at)?;
        let (joined, values) = self.joined(&array, lead, values, count);
        if count == 1 {
            return self.set(&array, smallvec![joined, keys, values], IndexMode::Clip);
        }
        let (keys, values) = in_order(op, cast(keys, DType::U32, at), values, below, at)?;
        let number = self.node(NodeOp::Iota(0), smallvec![], smallvec![count], DType::I32);
        let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: op };
        let after = binary(&arithmetic::add, number.clone(), 1, at);
        let next = self.node(take, smallvec![after, keys.clone()], smallvec![count], DType::U32);
        let ends = binary(&logic::not_equal, next, keys.clone(), at);
        let is_last = binary(&logic::logical_or, ends, binary(&logic::equal, number, count - 1, at), at);
        self.set(&array, smallvec![joined, cast(keys, DType::I32, at), values, is_last], IndexMode::Clip)
    }

    /// Writes the values by the table of [`last_writers`]: looks up the number of the last value for each element, and
    /// selects this value.
    fn by_table(&self, array: Expr, lead: usize, places: &Places, values: &Expr) -> Expr {
        let &Write { op, device, at } = self;
        let (shape, dtype) = (array.0.shape.clone(), array.0.dtype);
        let (lead, rest) = shape.split_at(lead);
        let count = layout::product(&places.at.0.shape);
        let table = last_writers(op, places, layout::product(lead), device, at);
        let is_written = |table: &Expr| binary(&logic::not_equal, table, 0, at);
        // the table is repeated along the axes after the first `lead` axes, so it gets length 1 along these axes
        let across: Vec<isize> = layout::lengths(lead).into_iter().chain(rest.iter().map(|_| 1)).collect();
        let here = is_written(&reshape(op, &table, &across, at));
        let new = match values.0.number() {
            Some(number) => Expr::fill(number, shape.clone(), dtype, at),
            None => {
                let listed: Shape = std::iter::once(count).chain(rest.iter().copied()).collect();
                let listed = reshape(op, values, &layout::lengths(&listed), at);
                // where nothing is written, `number` is −1, which the gather clips to 0; the value found there is not
                // used
                let number = binary(&arithmetic::subtract, cast(table, DType::I32, at), 1, at);
                let number = reshape(op, &number, &layout::lengths(lead), at);
                let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: op };
                self.node(take, smallvec![number, listed], shape.clone(), dtype)
            }
        };
        ufunc(&logic::SELECT, smallvec![here.into_arg(), new.into_arg(), array.into_arg()], at)
    }
}
