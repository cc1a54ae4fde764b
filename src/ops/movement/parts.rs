//! Functions that cut an axis into parts, each a strided view, and join parts again. The movement functions are built
//! from them.

use crate::array::Array;
use crate::array::device::Device;
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::{self, AxesArg, View};
use crate::graph::expr::{Expr, reshape, strong, view};
use crate::ops::functions::join;
use crate::ops::index::take;
use crate::plan::kernel::IndexMode;

/// The maximum number of short parts of an axis that are copied one by one. If there are more, a single gather copies
/// all of them. Each copy of a part is a kernel, and starting a kernel takes as long as copying about ten thousand
/// elements. The value was chosen by hand; no benchmark compares other values.
pub(super) const MOST_PARTS: usize = 32;

/// A single gather replaces the separate copies of many parts of an axis only if the average length of the parts is
/// less than this number of elements. The gather reads a list with a position of 4 bytes for each element, so on
/// average the list takes less than 16 KiB for a part.
const SHORT: usize = 4096;

/// A sequence of `len` elements of an axis, at `start`, `start + step`, …, each repeated `each` times. A step of 0
/// repeats one element.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct AxisRun {
    pub start: usize,
    pub step: isize,
    pub len: usize,
    pub each: usize,
}

impl AxisRun {
    pub fn forward(from: usize, to: usize) -> AxisRun {
        AxisRun { start: from, step: 1, len: to - from, each: 1 }
    }

    fn positions(self) -> impl Iterator<Item = usize> {
        let at = move |i: usize| (self.start as isize + i as isize * self.step) as usize;
        (0..self.len).flat_map(move |i| std::iter::repeat_n(at(i), self.each))
    }
}

/// Returns the operand with a definite dtype (an untyped number gets its default dtype), or the error that it carries.
pub(super) fn whole(e: &Expr, at: Loc) -> Result<Expr> {
    e.checked()?;
    Ok(strong(e.clone(), at))
}

/// Returns the operand and the one axis that a caller names. With `..` it returns the elements in C order along one
/// axis, and the index of this axis, 0.
pub(super) fn along(op: &'static str, e: &Expr, axes: &AxesArg, at: Loc) -> Result<(Expr, usize)> {
    let e = whole(e, at)?;
    match axes.axes.as_deref() {
        None => Ok((reshape(op, &e, &[-1], at), 0)),
        Some([axis]) => {
            let axis = layout::normalize_axis(*axis, e.0.shape.len()).map_err(|f| f.at(op, at))?;
            Ok((e, axis))
        }
        Some(axes) => {
            let detail = format!("axes {axes:?}: expected one axis, or `..` for the elements in C order");
            Err(Error::with_line(ErrorKind::Axis, op, detail, at))
        }
    }
}

/// Returns the elements of one run of an axis, as a view unless elements are repeated.
fn part(op: &str, e: &Expr, axis: usize, run: AxisRun, at: Loc) -> Expr {
    let taken = view(op, e, at, |shape| {
        let mut v = View::identity(shape);
        v.shape[axis] = run.len;
        layout::size_of_shape(&v.shape)?;
        if run.len > 0 {
            v.offset[axis] = run.start as isize;
        }
        let n = shape.len();
        v.coef[axis * n + axis] = run.step;
        Ok(v)
    });
    repeated(op, &taken, axis, run.each, at)
}

/// Repeats each element along an axis. It is a broadcast followed by a reshape, which copies only if the consumer needs
/// the reshaped array in memory.
pub(super) fn repeated(op: &str, e: &Expr, axis: usize, times: usize, at: Loc) -> Expr {
    if times == 1 || e.error().is_some() {
        return e.clone();
    }
    let Some(n) = e.0.shape[axis].checked_mul(times) else {
        let detail = format!("axis {axis} of {:?}, repeated {times} times, is too long", e.0.shape.as_slice());
        return Expr::failed(Error::with_line(ErrorKind::LimitExceeded, op, detail, at), at);
    };
    let wide = view(op, e, at, |shape| {
        let mut to = shape.to_vec();
        to[axis] = n;
        layout::size_of_shape(&to)?;
        to[axis] = shape[axis];
        to.insert(axis + 1, times);
        let spread = View::expand(shape, axis as isize + 1)?;
        Ok(View::broadcast_to(&spread.shape, &to)?.after(&spread))
    });
    let mut to: Vec<isize> = e.0.shape.iter().map(|n| *n as isize).collect();
    to[axis] = n as isize;
    reshape(op, &wide, &to, at)
}

/// Repeats the whole axis, one copy after another.
pub(super) fn tiled(op: &str, e: &Expr, axis: usize, times: usize, at: Loc) -> Expr {
    if times == 1 || e.error().is_some() {
        return e.clone();
    }
    let copies = view(op, e, at, |shape| {
        let mut to = shape.to_vec();
        to.insert(axis, times);
        layout::size_of_shape(&to)?;
        let apart = View::expand(shape, axis as isize)?;
        Ok(View::broadcast_to(&apart.shape, &to)?.after(&apart))
    });
    let mut to: Vec<isize> = e.0.shape.iter().map(|n| *n as isize).collect();
    to[axis] = to[axis].saturating_mul(times as isize);
    reshape(op, &copies, &to, at)
}

/// Joins parts along an axis, and leaves out the empty ones. All parts have the same dtype.
pub(super) fn joined(op: &'static str, parts: Vec<Expr>, axis: usize, at: Loc) -> Expr {
    let some = |p: &Expr| p.error().is_some() || p.0.shape[axis] > 0;
    let mut kept: Vec<Expr> = parts.iter().filter(|p| some(p)).cloned().collect();
    match (kept.len(), parts.into_iter().next()) {
        (0, Some(first)) => first,
        (1, _) => kept.remove(0),
        _ => join(op, kept, axis as isize, at),
    }
}

/// Joins the runs of an axis, after applying `finish` to each. Each run is a strided copy. If there are more than
/// [`MOST_PARTS`] short runs, a single gather with positions that the host computes replaces the copies.
pub(super) fn assembled(
    op: &'static str,
    e: &Expr,
    axis: usize,
    runs: &[AxisRun],
    at: Loc,
    finish: &dyn Fn(&Expr) -> Expr,
) -> Expr {
    let runs: Vec<AxisRun> = runs.iter().copied().filter(|r| r.len > 0 && r.each > 0).collect();
    if runs.is_empty() {
        return finish(&part(op, e, axis, AxisRun::forward(0, 0), at));
    }
    let device = e.0.device;
    // without a device the copies are not replaced by a gather, because the list of positions would put the result on a
    // device
    let n = runs.iter().fold(0usize, |sum, r| sum.saturating_add(r.len.saturating_mul(r.each)));
    let is_list = runs.len() > MOST_PARTS && n / runs.len() < SHORT;
    if is_list && device != 0 && e.0.shape[axis] <= i32::MAX as usize {
        return match positions_of(op, &runs, n, device, at) {
            Ok(positions) => finish(&take(e, positions, axis as isize, IndexMode::Clip, at)),
            Err(error) => Expr::failed(error.or_at(at), at),
        };
    }
    joined(op, runs.iter().map(|r| finish(&part(op, e, axis, *r, at))).collect(), axis, at)
}

/// Returns the `n` positions of all elements of the runs, as a list on a device.
fn positions_of(op: &'static str, runs: &[AxisRun], n: usize, device: u32, at: Loc) -> Result<Expr> {
    let mut positions = room(n, op, at)?;
    positions.extend(runs.iter().flat_map(|r| r.positions()).map(|p| p as i32));
    Ok((*Array::adopt(positions, &[n], at).to_device(&Device::of(device))?).clone())
}
