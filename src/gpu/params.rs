//! Computes the words of a dispatch's parameters, which the shader reads as the uniform variable `params`.
//! [`ParamPositions`] defines the position of each word.

use super::wgsl::{HEADER, ParamHeader, ParamPositions};
use crate::plan::kernel::{CHAIN, Kernel, KernelKind, Op, Window};
use smallvec::SmallVec;

/// Returns the parameters of a window, with 0 for the values that each run sets: in the header, the grid and the error
/// id; in the words, the header itself (the first [`HEADER`] words), the scalars and the operands' offsets.
///
/// `lines` is the outer axis along which the lines of squares are counted, if the kernel computes squares
/// ([`Variant::lines`](super::wgsl::Variant::lines)). `strides` has the strides of the loads, then of the stores.
/// `count` is the number of indices of the window, and `inner` the number of indices of a row.
pub(super) fn template(
    kernel: &Kernel,
    form: &ParamPositions,
    (window, lines): (&Window, Option<usize>),
    strides: &[&[isize]],
    (count, inner): (usize, usize),
) -> (ParamHeader, Vec<u32>) {
    let matmul = kernel.kind == KernelKind::Matmul;
    // The numbers of rows in the table of axes. Every shader reads at least one outer and one inner row. The shader of
    // a product reads three outer rows, for the batch, m and n
    let outer_rows = window.shape.len().max(if matmul { 3 } else { 1 });
    let inner_rows = kernel.inner.len().max(1);
    let mut p = vec![0u32; (form.table + (outer_rows + inner_rows) * form.row) * 4];
    let mut header = ParamHeader {
        outer_size: count as u32,
        outer_rank: outer_rows as u32,
        inner_rank: inner_rows as u32,
        inner_size: kernel.length_of_k() as u32,
        k_size: inner as u32,
        ..ParamHeader::default()
    };
    if matmul {
        let [_, m, n] = kernel.matrices(&window.shape);
        (header.matrix_rows, header.matrix_columns) = (m as u32, n as u32);
        let rank = window.shape.len();
        let [a_along_k, b_along_k] =
            [0, 1].map(|n| is_along_k(kernel, strides[n], rank, (rank - 2 + n, window.shape[rank - 2 + n])));
        header.contiguous_along_k = a_along_k as u32 | (b_along_k as u32) << 1;
        if let Some(part) = kernel.values[0].op.part_of_k() {
            let chains = if part.of_chains { window.start[0] } else { 0 };
            header.first_k = (part.first + chains * CHAIN) as u32;
        }
    }
    let mut at = HEADER + 2 * form.scalars.len();
    for v in &form.gathers {
        let op = &kernel.values[*v].op;
        if let Op::Gather { stride, .. } = op {
            p[at] = *stride as u32;
        }
        p[at + 1] = op.position().map_or(0, |position| position.extent as u32);
        at += 2;
    }
    for to in kernel.stores.iter().filter_map(|s| s.scattered()) {
        (p[at], p[at + 1]) = (to.stride as u32, to.extent as u32);
        at += 2;
    }
    write_table(&mut p, kernel, form, (window, lines), strides, outer_rows);
    (header, p)
}

/// Returns whether neighbouring invocations fetch a factor of a product along k. They do if the factor is contiguous
/// along k and not along its own axis, which has length `n`.
fn is_along_k(kernel: &Kernel, strides: &[isize], rank: usize, (own, n): (usize, usize)) -> bool {
    let last = (0..kernel.inner.len()).rev().find(|d| kernel.inner[*d] > 1);
    let by_one = |stride: isize| stride.unsigned_abs() == 1;
    last.is_some_and(|d| by_one(strides[rank + d])) && !(n > 1 && by_one(strides[own]))
}

/// Writes the table of axes (extents and strides), and the offset of each value that is affine in the index
/// (`Op::Index`).
fn write_table(
    p: &mut [u32],
    kernel: &Kernel,
    form: &ParamPositions,
    (window, lines): (&Window, Option<usize>),
    strides: &[&[isize]],
    outer_rows: usize,
) {
    let axes = window.shape.len();
    let word = |row: usize| (form.table + row * form.row) * 4;
    // the table has the outer axes from last to first, then the inner axes from last to first. If the kernel computes
    // squares, the axis `lines` has the second row
    let row_of = |axis: usize| match axis < axes {
        true if lines == Some(axis) => 1,
        true if lines.is_some_and(|lines| lines < axis && axis + 1 < axes) => axes - axis,
        true => axes - 1 - axis,
        false => outer_rows + kernel.inner.len() - 1 - (axis - axes),
    };
    let starts: SmallVec<[usize; 8]> = (0..axes + kernel.inner.len()).map(|axis| word(row_of(axis))).collect();
    for (start, extent) in starts.iter().zip(window.shape.iter().chain(&kernel.inner)) {
        p[*start] = *extent as u32;
    }
    // rows of the table that belong to no axis have extent 1
    for row in axes..outer_rows {
        p[word(row)] = 1;
    }
    if kernel.inner.is_empty() {
        p[word(outer_rows)] = 1;
    }
    for (n, strides) in strides.iter().enumerate() {
        for (start, stride) in starts.iter().zip(*strides) {
            p[start + 1 + n] = *stride as u32;
        }
    }
    for (v, column) in &form.indices {
        if let Op::Index { strides, offset } = &kernel.values[*v].op {
            let start: i64 =
                window.start.iter().zip(&**strides).map(|(i, s)| (*i as i64).wrapping_mul(*s as i64)).sum();
            let is_64_bit = kernel.values[*v].dtype.size() == 8;
            let mut put = |at: usize, bits: i64| {
                p[at] = bits as u32;
                if is_64_bit {
                    p[at + 1] = (bits >> 32) as u32;
                }
            };
            put(form.offsets + column, offset.wrapping_add(mutant!(index_without_its_window, 0, start)));
            for (at, stride) in starts.iter().zip(&**strides) {
                put(at + 1 + column, *stride as i64);
            }
        }
    }
}
