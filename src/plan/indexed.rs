//! Cuts an axis of an operand along which a kernel gathers or scatters (accesses elements at computed indices). Each
//! dispatch must bind all elements to which an index may refer. If these elements span more than a binding, the axis is
//! cut into windows. The kernel of each window binds only this window, and stores only those elements whose index is in
//! the window.

use super::planner::{Planner, span};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::{IndexMode, Kernel, Load, Op, Position, Scattered, Value};
use smallvec::smallvec;
use std::ops::Range;

/// The maximum number of windows of an indexed axis. Each window has a kernel, and a kernel takes about 1 KiB of the
/// plan. With WebGPU's default of 128 MiB per binding, this many windows cover half a TiB, so a larger number indicates
/// that the device has unreasonable limits.
const MOST_WINDOWS: usize = 1 << 12;

/// An operand that a kernel accesses at computed indices along one of its axes. `stride` and `extent` are the stride
/// and the length of that axis, and `strides` has the strides along the kernel's own dimensions.
struct Indexed<'k> {
    dtype: DType,
    strides: &'k [isize],
    stride: isize,
    extent: usize,
}

impl Indexed<'_> {
    /// Cuts the indexed axis of the operand into windows that each fit a binding. Each window is a range of indices.
    /// Returns one window if the whole axis fits.
    fn windows(&self, p: &Planner<'_>, k: &Kernel) -> Result<Vec<Range<usize>>> {
        let most = p.most_bytes();
        if span(self.extent, self.stride, self.dtype) <= most {
            return Ok(std::iter::once(0..self.extent).collect());
        }
        // a binding must also cover the range of the kernel's own dimensions, so a window of the indexed axis may fill
        // only the rest of the binding, but at least half of it; `windows` in `shape.rs` then cuts the kernel's own
        // dimensions until they fit the other half
        let rest = k
            .outer
            .iter()
            .zip(self.strides)
            .fold(0, |sum: u64, (n, s)| sum.saturating_add(span(*n, *s, self.dtype) - self.dtype.size() as u64));
        let step = (self.stride.unsigned_abs() as u64).saturating_mul(self.dtype.size() as u64);
        let longest = ((most - rest.min(most / 2)) / step.max(1)).max(1) as usize;
        let count = self.extent.div_ceil(longest);
        if count > MOST_WINDOWS {
            let detail = format!("an axis of {} needs more than {MOST_WINDOWS} dispatches", self.extent);
            return Err(Error::with_line(ErrorKind::LimitExceeded, k.name, detail, None));
        }
        let each = self.extent.div_ceil(count);
        Ok((0..self.extent).step_by(each).map(|low| low..(low + each).min(self.extent)).collect())
    }
}

/// Cuts an elementwise kernel into one kernel for each window of the axis along which it gathers or scatters. Cuts only
/// the first operand that needs windows, because the planner assigns every `take` that needs them to its own kernel
/// (`Planner::is_cut`).
pub(super) fn cut(p: &Planner<'_>, kernel: Kernel) -> Result<Vec<Kernel>> {
    for (i, v) in kernel.values.iter().enumerate() {
        let Op::Gather { load, stride, position } = &v.op else { continue };
        let Load { dtype, strides, .. } = &kernel.loads[*load];
        let source = Indexed { dtype: *dtype, strides, stride: *stride, extent: position.extent };
        let windows = source.windows(p, &kernel)?;
        if windows.len() > 1 {
            return Ok(windows.into_iter().map(|window| gather_window(&kernel, i, window)).collect());
        }
    }
    for (i, s) in kernel.stores.iter().enumerate() {
        let Some(Scattered { stride, extent, .. }) = s.scattered() else { continue };
        let to = Indexed { dtype: s.dtype, strides: &s.strides, stride: *stride, extent: *extent };
        let windows = to.windows(p, &kernel)?;
        if windows.len() > 1 {
            return Ok(windows.into_iter().map(|window| store_window(&kernel, i, window)).collect());
        }
    }
    Ok(vec![kernel])
}

/// Returns a value that is the constant `n`, written as an `Op::Index` with stride 0 along every axis. The offset of an
/// `Op::Index` is a run-time parameter of the shader, so the kernels of all windows share one shader.
fn number(k: &Kernel, n: usize, dtype: DType) -> Value {
    let strides = Box::new(smallvec![0; k.outer.len()]);
    Value { op: Op::Index { strides, offset: n as i64 }, dtype, inner: false }
}

/// Returns the kernel for one window of the axis along which the value `gather` reads. The kernel binds only this
/// window, and stores only elements whose index is in the window.
fn gather_window(kernel: &Kernel, gather: usize, window: Range<usize>) -> Kernel {
    let mut k = kernel.clone();
    let Op::Gather { load, stride, position } = k.values[gather].op.clone() else { return k };
    let count = mutant!(last_of_a_window_left_out, window.len() - 1, window.len());
    let value = |op, dtype| Value { op, dtype, inner: false };
    // the new values are inserted before the gather, so the first one gets the number that the gather had
    let at = |n: usize| gather + n;
    let within = [
        value(Op::Position(position.clone()), DType::I32),
        number(kernel, window.start, DType::I32),
        value(Op::Ufunc(&arithmetic::subtract, smallvec![at(0), at(1)]), DType::I32),
        // a negative position becomes 2^31 or more, so one comparison detects positions before and after the window
        value(Op::Cast(at(2)), DType::U32),
        number(kernel, count, DType::U32),
        value(Op::Ufunc(&logic::less, smallvec![at(3), at(4)]), DType::Bool),
    ];
    let added = within.len();
    let number = |v: usize| if v >= gather { v + added } else { v };
    for v in &mut k.values[gather + 1..] {
        v.op.map_operands(number);
    }
    let position = Box::new(Position { index: at(2), extent: window.len(), mode: IndexMode::Clip, ..*position });
    k.values[gather].op = Op::Gather { load, stride, position };
    k.values.splice(gather..gather, within);
    k.loads[load].offset += window.start as isize * stride;
    for s in &mut k.stores {
        s.map_operands(number);
        s.only_if(at(5));
    }
    k.continues = window.start > 0;
    k
}

/// Returns the kernel for one window of the axis along which the store `store` scatters. The kernel binds only this
/// window, and stores only elements whose index is in the window.
fn store_window(kernel: &Kernel, store: usize, window: Range<usize>) -> Kernel {
    let mut k = kernel.clone();
    let Some(to) = k.stores[store].scattered().cloned() else { return k };
    let first = number(kernel, window.start, DType::I32);
    let at = k.values.len();
    k.values.push(first);
    let op = Op::Ufunc(&arithmetic::subtract, smallvec![to.index, at]);
    k.values.push(Value { op, dtype: DType::I32, inner: false });
    let s = &mut k.stores[store];
    s.offset += window.start as isize * to.stride;
    if let Some(to) = s.scattered_mut() {
        to.index = at + 1;
        to.extent = mutant!(last_of_a_target_window_left_out, window.len() - 1, window.len());
    }
    k.continues = window.start > 0;
    k
}
