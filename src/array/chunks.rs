//! Evaluates an expression by blocks of rows, so that neither its result nor a copy of it has to fit into memory. Each
//! block is an expression of its own, which `graph/expr/rows.rs` makes. Blocks of equal length share a plan, because
//! they differ only in the offsets of what they read.
//!
//! The elements of a block have the same bits as in the result of the whole expression, because the order in which a
//! sum adds depends only on the row that it sums. Three rules keep that true:
//!
//! * A block has at least two rows if the axis has at least two. The order of a sum depends on how its operand is
//!   stored, and that order ignores axes of length 1, so a block of one row could be summed in another order.
//! * If an inner node is f16 or bf16, the whole expression and each block must be a single kernel, because values are
//!   rounded to these types only where a kernel stores them.
//! * On a GPU, an expression with sums is evaluated as a whole, because a GPU kernel may choose the order of a sum by
//!   its sizes, and a block has other sizes.

use super::Array;
use super::evaluate::run;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout;
use crate::base::replace::Stopped;
use crate::graph::expr::{Expr, Rows, doubts, strong};
use crate::plan::backend::wait;
use std::io;
use std::iter::FusedIterator;
use std::panic::Location;

/// The size of a block in bytes. A block costs about 50 µs for its plan and a system call. That is small compared with
/// the 2 ms in which a disk of 4 GB/s writes 8 MiB.
const BLOCK: usize = 8 << 20;

/// An iterator over blocks of rows of an array or expression: see [`Expr::chunks`].
#[derive(Clone)]
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Chunks {
    rows: Rows,
    length: usize,
    step: usize,
    next: usize,
}

impl Chunks {
    /// Prepares an iterator over blocks of `step` indices along an axis. Evaluates the subexpressions that every block
    /// needs, or the whole expression if its blocks cannot be computed separately. The expression must have elements.
    fn of(e: &Expr, axis: usize, step: usize, at: Loc) -> Result<Chunks> {
        let length = e.0.shape[axis];
        let rows = match Rows::of(e, axis, step.min(length)) {
            Some(rows) => Some(rows),
            None => Rows::of(&e.eval_at(at)?.0, axis, step.min(length)),
        };
        let mut rows =
            rows.ok_or_else(|| Error::with_line(ErrorKind::Internal, "chunks", "an array has no rows", at))?;
        let wholes: Vec<&Expr> = rows.wholes.iter().collect();
        let known = Device::with(e.0.device, |device| run(&wholes, device, at, false))?;
        rows.know(known.into_iter().map(Expr::from));
        Ok(Chunks { rows, length, step, next: 0 })
    }
}

impl Iterator for Chunks {
    type Item = Expr;

    fn next(&mut self) -> Option<Expr> {
        if self.next >= self.length {
            return None;
        }
        let from = self.next;
        self.next = from.saturating_add(self.step).min(self.length);
        Some(self.rows.part(from, self.next))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.length - self.next).div_ceil(self.step);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Chunks {}
impl FusedIterator for Chunks {}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunks({} rows of {}, next {})", self.step, self.length, self.next)
    }
}

impl Expr {
    /// Returns an iterator over blocks of `rows` rows (indices along the first axis). The last block may have fewer.
    /// Each block is an expression that computes only its own rows.
    ///
    /// So a memory-mapped file, or an expression of it, can be processed although it exceeds the memory of the host or
    /// of a GPU. The call itself computes only what every block needs, such as the means of all columns. If the rows
    /// cannot be computed separately, as after a scan or a sort along the first axis, it computes the whole expression.
    ///
    /// The blocks have the same bits as the result of the whole expression, with two exceptions. A half-precision value
    /// is rounded only where a plan stores it, and the plan of a block may store other values than the plan of the
    /// whole expression. On a GPU, a float sum may be added in another order.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.], [3., 4.], [5., 9.]];
    /// let centred = &x - x.mean(0);
    /// let blocks = centred.chunks(2)?.map(|block| block.to_vec::<f32>());
    /// assert_eq!(blocks.collect::<cupric::Result<Vec<_>>>()?, [vec![-2., -3., 0., -1.], vec![2., 4.]]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if the expression has no axes, [`ErrorKind::Argument`] if `rows` is 0, and the
    /// errors of [`Expr::eval`].
    #[doc(alias("batches", "blocks"))]
    #[track_caller]
    pub fn chunks(&self, rows: usize) -> Result<Chunks> {
        const OP: &str = "chunks";
        let at = Location::caller();
        self.checked()?;
        let e = strong(self.clone(), at);
        if e.0.shape.is_empty() {
            return Err(Error::with_line(ErrorKind::Shape, OP, "an array without axes has no rows", at));
        }
        if rows == 0 {
            return Err(Error::with_line(ErrorKind::Argument, OP, "blocks of 0 rows; use at least 1", at));
        }
        if e.0.shape.contains(&0) {
            // an array without elements is computed here; its blocks are views of it
            let array = e.eval_at(at)?;
            let length = array.shape()[0];
            return Ok(Chunks { rows: Rows::whole(&array.0), length, step: rows, next: 0 });
        }
        Chunks::of(&e, 0, rows, at)
    }

    /// Evaluates the expression and passes the bytes of its elements to `give`, in C order and in pieces. Where
    /// possible, each piece is a block of rows that is computed just before it is passed. If the array is already in
    /// the CPU's memory in C order, `give` receives that memory without a copy.
    pub(crate) fn pieces(&self, at: Loc, give: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Stopped> {
        self.checked()?;
        let e = strong(self.clone(), at);
        match blocks(&e, at)? {
            None => give_bytes(e.eval_at(at)?, at, give),
            Some(mut blocks) => blocks.try_for_each(|block| give_bytes(block.eval_at(at)?, at, give)),
        }
    }
}

/// Returns the blocks in which an expression is evaluated. Returns `None` if it is evaluated as a whole, because it is
/// small or because its blocks could have other bits than the whole result.
fn blocks(e: &Expr, at: Loc) -> Result<Option<Chunks>> {
    let shape = &e.0.shape;
    let Some(axis) = shape.iter().position(|n| *n > 1).filter(|_| !shape.contains(&0)) else { return Ok(None) };
    let Some(rows) = Rows::of(e, axis, shape[axis]) else { return Ok(None) };
    let step = (BLOCK / rows.row_bytes.max(1)).max(2);
    let is_there = e.0.stored().is_some_and(|_| host_bytes(&Array(e.clone())).is_some());
    if is_there || step > shape[axis] / 2 {
        return Ok(None);
    }
    let Some(rows) = Rows::of(e, axis, step) else { return Ok(None) };
    let doubts = doubts(e);
    let is_gpu = Device::with(e.0.device, Device::is_gpu);
    if is_gpu && doubts.sums {
        return Ok(None);
    }
    // a half-precision value that stays inside a kernel is not rounded, so the whole expression and each block must be
    // a single kernel
    if doubts.rounds && (!rows.wholes.is_empty() || e.plan()?.kernels() > 1 || rows.part(0, step).plan()?.kernels() > 1)
    {
        return Ok(None);
    }
    Chunks::of(e, axis, step, at).map(Some)
}

/// Returns the bytes of an array's elements without a copy, or `None` if they are not in host memory in C order. Also
/// returns `None` for bools, because a kernel may store true as any byte except 0.
fn host_bytes(array: &Array) -> Option<&[u8]> {
    let (buffer, _, offset) = array.stored();
    let (size, dtype) = (array.size(), array.dtype());
    if dtype == DType::Bool || !layout::is_c_contiguous(array.shape(), array.strides()) {
        return None;
    }
    Device::host_bytes(buffer)?.get(offset * dtype.size()..(offset + size) * dtype.size())
}

/// Passes the bytes of an array's elements to `give`.
fn give_bytes(array: Array, at: Loc, give: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Stopped> {
    if let Some(bytes) = host_bytes(&array) {
        return Ok(give(bytes)?);
    }
    let bytes = wait("to_bytes", "to_bytes_async", array.bytes("to_bytes", at)).map_err(|e| e.or_at(at))?;
    Ok(give(&bytes)?)
}
