//! Evaluates an expression by blocks of rows, so that neither its result nor a copy of it has to fit into memory. Each
//! block is an expression of its own. Three rules ensure that a block has the same bits as its rows in the whole
//! result:
//!
//! * A block has at least two rows, unless the axis has only one. A sum over a block of one row could have another
//!   order.
//! * If an inner node is f16 or bf16, the whole expression and each block must be a single kernel, because kernels
//!   round to these types only when they store.
//! * On a GPU, an expression with sums is evaluated as a whole, because the operand's size may change the order of a
//!   sum.

use super::Array;
use super::evaluate::run;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout;
use crate::base::replace::Stopped;
use crate::graph::expr::{Args, Expr, Rows, doubts, strong};
use crate::plan::backend::wait;
use std::io::{self, Write};
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
    /// Returns an iterator over blocks of `step` indices along an axis of `e`, which must have elements. Evaluates the
    /// subexpressions that every block needs, or all of `e` if its blocks cannot be computed separately.
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

/// # Evaluation in blocks of rows
impl Expr {
    /// Returns an iterator over blocks of `rows` rows (indices along the first axis). The last block may have fewer
    /// rows. Each block is an expression that computes only its own rows, so an expression of a memory-mapped file can
    /// be processed even if it does not fit into memory.
    ///
    /// This call computes only what every block needs, such as the means of all columns. If the rows cannot be computed
    /// separately, as after a scan or a sort along the first axis, it computes the whole expression.
    ///
    /// The blocks have the same bits as the rows of the whole result, with two exceptions. f16 and bf16 values are
    /// rounded only where they are stored, which may differ between a block and the whole expression. On a GPU, a float
    /// sum may be added in another order.
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
            // an array without elements is evaluated here as a whole, and its blocks are views of it
            let array = e.eval_at(at)?;
            let length = array.shape()[0];
            return Ok(Chunks { rows: Rows::whole(&array.0), length, step: rows, next: 0 });
        }
        Chunks::of(&e, 0, rows, at)
    }

    /// Evaluates the expression, writes the bytes of its elements in C order, and returns the writer. The bytes are those
    /// of [`Expr::to_bytes`]. An expression of more than 16 MiB is evaluated block by block if its rows can be computed
    /// separately, as in [`Expr::to_npy`], so the result need not fit into memory.
    ///
    /// # Errors
    /// Returns the errors of the evaluation, and [`ErrorKind::Io`] if a write fails.
    ///
    /// ```
    /// let bytes = (cupric::array![1u8, 2] * 10).to_bytes_writer(vec![])?;
    /// assert_eq!(bytes, [10, 20]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to_bytes_writer<W: Write>(&self, mut to: W) -> Result<W> {
        const OP: &str = "to_bytes_writer";
        let at = Location::caller();
        let written = self.pieces(at, &mut |bytes| to.write_all(bytes));
        written.map_err(|e| match e {
            Stopped::Failed(e) => e,
            Stopped::Io(e) => Error::with_line(ErrorKind::Io, OP, e.to_string(), at),
        })?;
        Ok(to)
    }

    /// Evaluates the expression and passes the bytes of its elements to `give`, in C order and in several calls. Where
    /// possible, each call passes a block of rows that has just been computed. An array that is already in host memory
    /// in C order is passed without a copy.
    pub(crate) fn pieces(&self, at: Loc, give: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Stopped> {
        self.checked()?;
        let e = strong(self.clone(), at);
        match blocks(&e, at)? {
            None => give_bytes(e.eval_at(at)?, at, give),
            Some(mut blocks) => blocks.try_for_each(|block| give_bytes(block.eval_at(at)?, at, give)),
        }
    }
}

/// Returns the blocks of rows in which an expression is evaluated. Returns `None` if the expression is evaluated as a
/// whole, because it is small or because blocks could produce other bits.
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
    // f16 and bf16 values are rounded only when a kernel stores them. So blocks produce the same bits only if the whole
    // expression and each block are a single kernel.
    if doubts.rounds && (!rows.wholes.is_empty() || e.plan()?.kernels() > 1 || rows.part(0, step).plan()?.kernels() > 1)
    {
        return Ok(None);
    }
    Chunks::of(e, axis, step, at).map(Some)
}

/// The number of elements of a block of [`in_blocks`], unless the caller needs more. An intermediate result of 4 bytes
/// for each element has the size of [`BLOCK`].
const ELEMENTS: usize = BLOCK / 4;
/// The maximum number of blocks of [`in_blocks`]. A block adds about 50 nodes to the graph, so that a plan of 512 blocks
/// has about as many nodes as a large training step, and the plan is small compared with the work on 2^30 elements.
const MOST_BLOCKS: usize = 512;

/// Divides expressions of equal shape into blocks along one of the axes. A function that combines results of blocks then
/// needs no memory for intermediate results of the size of its operands. Each item has the blocks of all expressions.
///
/// A block has at least `least` elements, except the last. Returns `None` if the expressions are too small to be
/// divided, if the blocks cannot be computed separately, if their values could differ from those of the whole (half
/// precision), or on a GPU, where the operands themselves must fit into memory.
pub(crate) fn in_blocks(list: &[&Expr], axes: &[usize], least: usize) -> Option<Vec<Args>> {
    let shape = &list.first()?.0.shape;
    let (size, least) = (layout::product(shape), least.max(ELEMENTS));
    let is_gpu = |e: &&Expr| Device::with(e.0.device, Device::is_gpu);
    if size / 2 < least || list.iter().any(|e| is_gpu(e) || doubts(e).rounds) {
        return None;
    }
    axes.iter().find_map(|axis| {
        let length = shape[*axis];
        let step = (least / (size / length).max(1)).max(length.div_ceil(MOST_BLOCKS)).max(2);
        if step > length / 2 {
            return None;
        }
        let rows = list.iter().map(|e| Rows::of(e, *axis, step)).collect::<Option<Vec<Rows>>>()?;
        // at most `MOST_BLOCKS` entries
        let mut blocks = vec![];
        for from in (0..length).step_by(step) {
            blocks.push(rows.iter().map(|rows| rows.part(from, (from + step).min(length))).collect());
        }
        Some(blocks)
    })
}

/// Returns the bytes of an array's elements without a copy, or `None` if they are not in host memory in C order. Also
/// returns `None` for bool arrays, because a kernel may store `true` as any byte except 0.
fn host_bytes(array: &Array) -> Option<&[u8]> {
    let (buffer, _, offset) = array.stored();
    let (size, dtype) = (array.size(), array.dtype());
    if dtype == DType::Bool || !layout::is_c_contiguous(array.shape(), array.strides()) {
        return None;
    }
    Device::host_bytes(buffer)?.get(offset * dtype.size()..(offset + size) * dtype.size())
}

/// Passes the bytes of an array's elements to `give`, without a copy if they are in host memory in C order.
fn give_bytes(array: Array, at: Loc, give: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Stopped> {
    if let Some(bytes) = host_bytes(&array) {
        return Ok(give(bytes)?);
    }
    let bytes = wait("to_bytes", "to_bytes_async", array.bytes("to_bytes", at)).map_err(|e| e.or_at(at))?;
    Ok(give(&bytes)?)
}
