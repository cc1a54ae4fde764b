//! Matrix products: an `m × k` matrix times a `k × n` matrix, or a batch of such products. In this module, *k* also
//! names the summed axis and an index on it ("one k"). A *line* of an operand is a row of the left operand or a column
//! of the right one; `step` is the stride along k, from one element of a line to the next. A *chain* is a block of 256
//! neighbouring k that is summed on its own (`matmul/micro_kernel.rs`).
//!
//! The planner chooses how each product is computed (`plan/kernel/product.rs`). With every method, each element is
//! summed in the order that `matmul/micro_kernel.rs` defines, so its bits depend only on its row, its column and the
//! element type. The elementwise operations after a product (its epilogue) are a separate kernel (`plan/product.rs`),
//! which may run on each part of a product while that part is in a cache.

// index loops are allowed, because kernels index arrays of registers by row, vector and chain, often by two of these
#![allow(clippy::needless_range_loop)]

mod blocked;
mod chains;
mod dot;
mod dots;
mod instruction_sets;
pub(super) mod lanes;
mod micro_kernel;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
mod operands;
mod panels;
pub(super) mod plain;
#[cfg(cupric_relaxed_simd)]
mod relaxed;
mod scratch;
mod stored;
mod sums;
#[cfg(any(target_arch = "aarch64", cupric_relaxed_simd))]
mod unmasked;
mod widened;

use super::bind::Run;
use super::caches;
use super::elementwise::{self, Elementwise};
use super::parts::internal;
use super::strided::Axis;
use super::tiles::TileBounds;
use super::work_sharing::share;
use crate::base::dtype::{Compute, DType};
use crate::base::error::Result;
use crate::base::layout::{Shape, Strides, copied, extend, span_of};
use crate::graph::ufunc::cast;
use crate::plan::kernel::{BufferRef, Kernel, Matrices, Method, Product};
use blocked::{FinalPart, PART, ProductBlock};
use operands::{NestedAxes, ProductOperand, ProductTarget};

heap! { PlacedMatrix: along; Matmul: a, b, c, next; }

/// Where an operand or the result lies in memory: the buffer, the index of its first element, the range of element
/// offsets that must lie inside the buffer, the size of an element in bytes, and the offset of each matrix of the
/// batch.
struct PlacedMatrix {
    buffer: BufferRef,
    first: isize,
    span: Option<(isize, isize)>,
    size: usize,
    along: Axis,
}

/// A prepared product, whose buffers are known only when it runs. If the planner chose to compute the transposed
/// product (`Product::turned`), `a` is the kernel's second operand and `b` its first.
pub(super) struct Matmul {
    name: &'static str,
    /// The number of matrices in the batch.
    count: usize,
    compute: Compute,
    product: Product,
    a: PlacedMatrix,
    b: PlacedMatrix,
    c: PlacedMatrix,
    /// The first matrix of the batch, whose addresses each run sets.
    first: ProductBlock<'static>,
    /// The axes of each nested operand; `None` for an operand with one stride from line to line and one along k.
    nested: [Option<NestedAxes>; 2],
    /// The elementwise kernel that runs on each part of the result as soon as that part is computed.
    next: Option<Elementwise>,
}

/// Prepares a product whose result is not empty. `next` is the elementwise kernel that runs on the parts of the result,
/// if there is one.
pub(super) fn prepare(kernel: &Kernel, next: Option<&Kernel>) -> Result<Matmul> {
    // `validate` has checked that the kernel is only a product, and that its strides are as the strategy requires
    let (Some(product), Some(matrices), [value], [a, b], [store]) =
        (kernel.schedule.product(), Matrices::of(kernel), &kernel.values[..], &kernel.loads[..], &kernel.stores[..])
    else {
        return Err(internal(kernel.name, "a matmul kernel without a matmul schedule"));
    };
    let mut dims = copied(&kernel.outer);
    extend(&mut dims, &kernel.inner);
    let batch: Shape = matrices.batch.iter().map(|d| kernel.outer[*d]).collect();
    let along = |strides: &[isize]| Axis::new(&batch, &matrices.batch.iter().map(|d| strides[*d]).collect::<Strides>());
    let place = |buffer: BufferRef, first: isize, dtype: DType, dims: &[usize], strides: &[isize]| PlacedMatrix {
        buffer,
        first,
        span: span_of(dims, strides),
        size: dtype.size(),
        along: along(strides),
    };
    let operand = |dtype: DType, [line, step]: [isize; 2]| {
        let widen = cast::widen(dtype).map(|loops| loops.get());
        let half = [DType::F16, DType::BF16].iter().position(|half| *half == dtype);
        let (at, size) = (std::ptr::null(), dtype.size());
        ProductOperand { at, line, step, size, widen, half, far: false, nested: None }
    };
    let [left, right] = [a, b].map(|load| place(load.buffer, load.offset, load.dtype, &dims, &load.strides));
    let c = place(store.buffer, store.offset, store.dtype, &kernel.outer, &store.strides);
    let (x, a, b, [left, right]) = match product.turned {
        true => (matrices.turned(), b.dtype, a.dtype, [right, left]),
        false => (matrices, a.dtype, b.dtype, [left, right]),
    };
    let nested = x.nested.map(|axes| {
        axes.map(|axes| {
            let [lines, steps] = axes.map(|of| Axis::new(&of.lengths, &of.strides));
            NestedAxes { lines, steps }
        })
    });
    // only the left operand of a product with few columns is read from main memory for the most part
    let (lowest, highest) = left.span.unwrap_or_default();
    let far = (highest - lowest) as usize * left.size > caches::sizes()[2] / 2;
    let narrow = cast::narrow(store.dtype).map(|loops| loops.get());
    let first = ProductBlock {
        m: x.m,
        n: x.n,
        k: x.k,
        a: ProductOperand { far, ..operand(a, x.a) },
        b: operand(b, x.b),
        c: ProductTarget { at: std::ptr::null_mut(), row: x.c[0], col: x.c[1], size: store.dtype.size(), narrow },
    };
    let next = next.map(|next| elementwise::prepare(next, &[])).transpose()?;
    let (name, count, compute) = (kernel.name, batch.iter().product(), value.compute());
    Ok(Matmul { name, count, compute, product, a: left, b: right, c, first, nested, next })
}

impl Matmul {
    /// Runs the product on the buffers of `run`, and also the elementwise kernel on its parts, if there is one.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        let at = |p: &PlacedMatrix| run.locate(self.name, p.buffer, p.size, p.first, p.span);
        let (a, b, c) = (at(&self.a)?, at(&self.b)?, at(&self.c)?);
        let x = &self.first;
        let nested = |side: usize| self.nested[side].as_ref().map(|axes| (axes, [0, 0]));
        let (a, b) =
            (ProductOperand { at: a, nested: nested(0), ..x.a }, ProductOperand { at: b, nested: nested(1), ..x.b });
        let first = ProductBlock { a, b, c: ProductTarget { at: c, ..x.c }, ..*x };
        let Some(next) = &self.next else {
            if self.product.chains > 0 && !run.rehearses {
                self.share_chains(&first);
            } else if !run.rehearses {
                self.share(|i| self.task(&first, i, &mut |_| {}));
            }
            return Ok(());
        };
        next.in_parts(run, |next| {
            // SAFETY: each task passes parts of the result to `next`, whose axes have the same lengths as the result's,
            // and no two tasks pass the same part.
            self.share(|i| unsafe { next.task(|run| self.task(&first, i, run)) });
        })
    }

    /// Runs all tasks of the product on the threads. `task` is called once for each task, with the index of the task.
    fn share(&self, task: impl Fn(usize) + Sync) {
        let groups = self.count.div_ceil(self.product.matrices as usize);
        let [down, across] = self.parts();
        share(groups * down * across, self.product.alone, task);
    }

    /// Returns the number of parts that a matrix is cut into, down and across.
    fn parts(&self) -> [usize; 2] {
        let (m, n) = (self.first.m, self.first.n);
        let [rows, cols] = self.product.part(m, n);
        [m.div_ceil(rows), n.div_ceil(cols)]
    }

    /// Computes task `i`, which is several whole matrices of the batch, or a part of one matrix. `first` describes the
    /// batch's first matrix. `done` is called with each part of the kernel's result as soon as that part is computed.
    fn task(&self, first: &ProductBlock<'_>, i: usize, done: &mut dyn FnMut(TileBounds)) {
        let Product { method, matrices, turned, .. } = self.product;
        let (m, n, matrices) = (first.m, first.n, matrices as usize);
        let [rows, cols] = self.product.part(m, n);
        let [down, across] = self.parts();
        let (group, part) = (i / (down * across), i % (down * across));
        let (row, col) = (part % down * rows, part / down * cols);
        let [height, width] = if turned { [n, m] } else { [m, n] };
        // a small matrix has too few elements for the loops of the next kernel to be efficient, so several are passed
        // on together
        let several = matrices > 1 && m * n < PART;
        let end = self.count.min((group + 1) * matrices);
        let mut waiting = group * matrices;
        for matrix in group * matrices..end {
            let (a, b, c) = match matrix {
                0 => (first.a, first.b, first.c),
                _ => (
                    first.a.shifted(self.a.along.offset(matrix)),
                    first.b.shifted(self.b.along.offset(matrix)),
                    first.c.shifted(self.c.along.offset(matrix)),
                ),
            };
            let block = ProductBlock {
                m: rows.min(m - row),
                n: cols.min(n - col),
                k: first.k,
                a: a.from(row, 0),
                b: b.from(col, 0),
                c: c.from(row, col),
            };
            let mut hand_on = |part: FinalPart| {
                if several {
                    return;
                }
                let (r, c) = (row + part.row, col + part.col);
                done(match turned {
                    false => TileBounds { r0: matrix * height + r, nr: part.rows, c0: c, nc: part.cols, start: 0 },
                    true => TileBounds { r0: matrix * height + c, nr: part.cols, c0: r, nc: part.rows, start: 0 },
                });
            };
            // SAFETY: all elements are in live memory (*inside*, see `ProductBlock`), because `locate` has checked the
            // spans of all matrices. Nobody else uses them meanwhile (*apart*), because no two tasks share a part of
            // the result, and the planner never lets a product overwrite its operands. `validate` has checked that the
            // strides are as the method requires.
            unsafe { self.compute(&block, method, &mut hand_on) };
            let count = matrix + 1 - waiting;
            if several && (matrix + 1 == end || count * m * n >= PART) {
                done(TileBounds { r0: waiting * height, nr: count * height, c0: 0, nc: width, start: 0 });
                waiting = matrix + 1;
            }
        }
    }

    /// Computes a product whose summed axis is divided among tasks.
    fn share_chains(&self, x: &ProductBlock<'_>) {
        let (method, chains) = (self.product.method, self.product.chains as usize);
        // SAFETY: all elements are in live memory (*inside*, see `ProductBlock`), because `locate` has checked the
        // spans. Nobody else uses them meanwhile (*apart*), because the planner never lets a product overwrite its
        // operands. `validate` has checked the number of elements, and that the strides are as the method requires.
        unsafe {
            match self.compute {
                Compute::F32 => x.share_chains::<f32>(method, chains),
                Compute::F64 => x.share_chains::<f64>(method, chains),
                Compute::Bool => x.share_chains::<u8>(method, chains),
                Compute::I32 | Compute::U32 => x.share_chains::<u32>(method, chains),
                Compute::I64 | Compute::U64 => x.share_chains::<u64>(method, chains),
            }
        }
    }

    /// Computes a block in the product's type.
    ///
    /// # Safety
    /// All elements of the block are in live memory (*inside*) and nobody else changes them (*apart*, see
    /// [`ProductBlock`]); the block has the strides that `method` requires.
    unsafe fn compute(&self, block: &ProductBlock<'_>, method: Method, done: &mut dyn FnMut(FinalPart)) {
        // SAFETY: this function has the same conditions as `ProductBlock::compute`.
        unsafe {
            match self.compute {
                Compute::F32 => block.compute::<f32>(method, done),
                Compute::F64 => block.compute::<f64>(method, done),
                Compute::Bool => block.compute::<u8>(method, done),
                Compute::I32 | Compute::U32 => block.compute::<u32>(method, done),
                Compute::I64 | Compute::U64 => block.compute::<u64>(method, done),
            }
        }
    }
}
