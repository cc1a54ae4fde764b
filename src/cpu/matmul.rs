//! Matrix products. The planner says how each is computed (`kernel/product.rs`), and makes epilogues kernels of their own
//! (`plan/product.rs`); operands and results of narrow types are converted here. Every element is the sum that `matmul/tile.rs`
//! defines, whatever the strategy, so its bits follow from its row, its column and the element type alone.

// kernels index arrays of registers by row, vector and chain, often two of them at once
#![allow(clippy::needless_range_loop)]

mod blocked;
mod kernels;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operands;
mod panels;
mod plain;
mod scratch;
mod tile;
mod vector;

use super::bind::Run;
use super::program::internal;
use super::share::share;
use super::strided::Axis;
use crate::dtype::{Compute, DType};
use crate::error::Result;
use crate::kernel::{BufferRef, Kernel, Matrices, Product};
use crate::layout::{Shape, span_of};
use crate::ufunc::cast;
use blocked::Block;
use operands::{Operand, Target};
use smallvec::SmallVec;

/// The memory of an operand or of the result: buffer, first element, the span to check, element type, and strides over the
/// batch.
struct Place {
    buffer: BufferRef,
    first: isize,
    span: Option<(isize, isize)>,
    dtype: DType,
    batch: SmallVec<[isize; 6]>,
}

/// A product that is ready to be bound, as its strategy computes it: if that is the transposed one, `a` is the kernel's second
/// operand.
pub(super) struct Matmul {
    name: &'static str,
    batch: Shape,
    matrices: Matrices,
    compute: Compute,
    product: Product,
    a: Place,
    b: Place,
    c: Place,
}

/// Prepares a product whose result is not empty.
pub(super) fn prepare(kernel: &Kernel) -> Result<Matmul> {
    // `validate` has checked that the kernel is only a product, and that its strides are those that the strategy asks for
    let (Some(product), Some(matrices), [value], [a, b], [store]) =
        (kernel.schedule.product(), Matrices::of(kernel), &kernel.values[..], &kernel.loads[..], &kernel.stores[..])
    else {
        return Err(internal(kernel.name, "a matmul without the strategy of one"));
    };
    let rank = kernel.outer.len();
    let dims: Shape = kernel.outer.iter().chain(&kernel.inner).copied().collect();
    let [a, b] = [a, b].map(|load| Place {
        buffer: load.buffer,
        first: load.offset,
        span: span_of(&dims, &load.strides),
        dtype: load.dtype,
        batch: load.strides[..rank - 2].into(),
    });
    let c = Place {
        buffer: store.buffer,
        first: store.offset,
        span: span_of(&kernel.outer, &store.strides),
        dtype: store.dtype,
        batch: store.strides[..rank - 2].into(),
    };
    let (matrices, a, b) = if product.turned { (matrices.turned(), b, a) } else { (matrices, a, b) };
    let batch = kernel.outer[..rank - 2].into();
    Ok(Matmul { name: kernel.name, batch, matrices, compute: value.compute(), product, a, b, c })
}

impl Matmul {
    /// Runs the product on the buffers of a run.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        let at = |p: &Place| run.locate(self.name, p.buffer, p.dtype.size(), p.first, p.span);
        let (a, b, c) = (at(&self.a)?, at(&self.b)?, at(&self.c)?);
        if run.rehearses {
            return Ok(());
        }
        let x = &self.matrices;
        let operand = |at: *mut u8, place: &Place, [line, step]: [isize; 2]| {
            let widen = cast::widen(place.dtype).map(|loops| loops.get());
            Operand { at, line, step, size: place.dtype.size(), widen }
        };
        let narrow = cast::narrow(self.c.dtype).map(|loops| loops.get());
        let whole = Block {
            m: x.m,
            n: x.n,
            k: x.k,
            a: operand(a, &self.a, x.a),
            b: operand(b, &self.b, x.b),
            c: Target { at: c, row: x.c[0], col: x.c[1], size: self.c.dtype.size(), narrow },
        };
        match self.compute {
            Compute::F32 => self.share(&whole, Block::compute::<f32>),
            Compute::F64 => self.share(&whole, Block::compute::<f64>),
            Compute::Bool => self.share(&whole, Block::compute::<u8>),
            Compute::I32 | Compute::U32 => self.share(&whole, Block::compute::<u32>),
            Compute::I64 | Compute::U64 => self.share(&whole, Block::compute::<u64>),
        }
        Ok(())
    }

    /// Computes the products of all matrices of the batch by `compute`, task by task. `first` is the first matrix.
    fn share(&self, first: &Block, compute: unsafe fn(&Block, crate::kernel::Method)) {
        let count: usize = self.batch.iter().product();
        let axis = |place: &Place| Axis::new(&self.batch, &place.batch);
        let (along_a, along_b, along_c) = (axis(&self.a), axis(&self.b), axis(&self.c));
        let Product { method, matrices, alone, .. } = self.product;
        let (m, n, matrices) = (self.matrices.m, self.matrices.n, matrices as usize);
        let [rows, cols] = self.product.part(m, n);
        let down = m.div_ceil(rows);
        let parts = down * n.div_ceil(cols);
        let task = |i: usize| {
            let (group, part) = (i / parts, i % parts);
            let (row, col) = (part % down * rows, part / down * cols);
            for matrix in group * matrices..count.min((group + 1) * matrices) {
                let block = Block {
                    m: rows.min(m - row),
                    n: cols.min(n - col),
                    k: first.k,
                    a: first.a.shifted(along_a.offset(matrix)).from(row, 0),
                    b: first.b.shifted(along_b.offset(matrix)).from(col, 0),
                    c: first.c.shifted(along_c.offset(matrix)).from(row, col),
                };
                // SAFETY: *inside*: `locate` has checked the spans of all matrices. *Apart*: no two tasks have a part of the
                // result in common, and the planner never writes a product in place. `validate` has checked that the strides
                // are those that the method asks for.
                unsafe { compute(&block, method) };
            }
        };
        share(count.div_ceil(matrices) * parts, alone, task);
    }
}
