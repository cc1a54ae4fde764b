//! Computes a block of a product by the method that the planner has chosen: by the kernels for a few columns or rows
//! (`dots.rs` and `sums.rs`), or by tiles (`micro_kernel.rs`), either in place from the operands' memory or from packed
//! panels. The result has the same bits by every method, because `micro_kernel.rs` defines the order in which each
//! element is summed.

use super::dots::Dots;
use super::instruction_sets::{Kernels, ProductElement};
use super::micro_kernel::{CHAIN, ProductTile};
use super::operands::{ProductOperand, ProductTarget};
use super::scratch::{self, Scratch};
use super::sums::Sums;
use crate::plan::kernel::Method;

/// A block of a product: `m` rows and `n` columns of the result, each element summed over all `k`.
///
/// Its functions have two conditions, cited by name. *Inside*: all elements of the operands and of the result are in
/// live memory. *Apart*: nobody writes the elements of the operands, and nobody else uses the elements of the result.
pub(super) struct ProductBlock<'a> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: ProductOperand<'a>,
    pub b: ProductOperand<'a>,
    pub c: ProductTarget,
}

/// A part of a block whose elements are already computed completely: `rows` rows from row `row` on, `cols` columns from
/// column `col` on.
#[derive(Clone, Copy)]
pub(super) struct FinalPart {
    pub row: usize,
    pub rows: usize,
    pub col: usize,
    pub cols: usize,
}

/// Computed rows are passed to the next kernel once they have at least this many elements. This many f32 take 64 KiB,
/// which a second-level cache holds beside the packed panels. The last rows are passed on even if there are fewer.
pub(super) const PART: usize = 1 << 14;

impl ProductBlock<'_> {
    /// Computes the block by `method`, and calls `done` with each part of it as soon as that part is computed.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that the method requires; `T` is the type of the product.
    pub unsafe fn compute<T: ProductElement>(&self, method: Method, done: &mut dyn FnMut(FinalPart)) {
        let kernels = T::kernels();
        // SAFETY: the caller ensures that the elements are in live memory, that nobody else changes them, and that the
        // strides are as the method requires.
        unsafe {
            match method {
                _ if self.k == 0 => self.c.clear(self.m, self.n),
                // the last task may have fewer rows than a vector has lanes; its rows are then computed from packed
                // panels
                Method::Dots if self.m < kernels.width => return self.packed(kernels, self.n, false, done),
                Method::Dots => {
                    let is_done = match self.converts() {
                        false if kernels.dots.is_empty() => false,
                        false => {
                            self.dots(kernels.dots);
                            true
                        }
                        true => T::CONVERTS && self.widened_dots(kernels),
                    };
                    if !is_done {
                        return self.packed(kernels, self.n, false, done);
                    }
                }
                Method::Sums => {
                    let is_done = match (kernels.sums, self.converts()) {
                        (None, _) => false,
                        (Some(sums), false) => {
                            self.sums(sums);
                            true
                        }
                        (Some(sums), true) => T::CONVERTS && self.widened_sums(kernels, sums),
                    };
                    if !is_done {
                        return self.packed(kernels, self.n, true, done);
                    }
                }
                Method::Direct => return self.direct(kernels, done),
                Method::Panels { blocks, left } => return self.packed(kernels, 64 * blocks as usize, left, done),
            }
        }
        done(FinalPart { row: 0, rows: self.m, col: 0, cols: self.n });
    }

    /// Returns whether the computed rows `first` up to `end` should be passed to the next kernel now. They should if
    /// they have enough elements ([`PART`]) or include the block's last row.
    fn is_part(&self, first: usize, end: usize) -> bool {
        end == self.m || (end - first) * self.n >= PART
    }

    /// Computes the block column by column, or a few columns at a time, by the functions of
    /// [`Kernels::dots`](Kernels) for elements of type `A`. The lanes of a vector hold different rows.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that [`Method::Dots`] requires, and at least as many rows as a vector has lanes; `T` is
    /// the type of the product, and of all elements but those of the left operand, whose type is `A`.
    pub unsafe fn dots<T, A>(&self, kernels: &[unsafe fn(&Dots<T, A>)]) {
        let mut col = 0;
        while col < self.n {
            let most = (self.n - col).ilog2().min(kernels.len() as u32 - 1);
            let (x, y) = (self.b.from(col, 0), self.c.from(0, col));
            let part = Dots {
                rows: self.m,
                k: self.k,
                a: self.a.at as *const A,
                a_row: self.a.line,
                x: x.at as *const T,
                x_step: x.step,
                x_col: x.line,
                y: y.at as *mut T,
                y_row: y.row,
                y_col: y.col,
                far: self.a.far,
            };
            // SAFETY: the part lies inside the block, because `1 << most` is at most the number of remaining columns.
            // So the caller's conditions (*inside* and *apart*) hold for it.
            unsafe { kernels[most as usize](&part) };
            col += 1 << most;
        }
    }

    /// Computes the block row by row, by a function of [`Kernels::sums`](Kernels) for elements of type `B`.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that [`Method::Sums`] requires; `T` is the type of the product, and of all elements but
    /// those of the right operand, whose type is `B`.
    pub unsafe fn sums<T, B>(&self, kernel: unsafe fn(&Sums<T, B>)) {
        for row in 0..self.m {
            let (x, y) = (self.a.from(row, 0), self.c.from(row, 0));
            let part = Sums {
                cols: self.n,
                k: self.k,
                x: x.at as *const T,
                x_step: x.step,
                b: self.b.at as *const B,
                b_step: self.b.step,
                y: y.at as *mut T,
            };
            // SAFETY: the part is a row of the block, so the caller's conditions (*inside* and *apart*) hold for it.
            // The rows of the right operand and of the result are contiguous, as this method requires.
            unsafe { kernel(&part) };
        }
    }

    /// Computes the block without packing, and calls `done` with each part as soon as that part is computed.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that [`Method::Direct`] requires; `T` is the type of the product.
    unsafe fn direct<T: ProductElement>(&self, kernels: &Kernels<T>, done: &mut dyn FnMut(FinalPart)) {
        let (columns, panels) = (kernels.columns(), self.m.div_ceil(kernels.rows));
        let (mut row, mut first) = (0, 0);
        for panel in 0..panels {
            // panels (groups of rows) have nearly equal height, because kernels of few rows are slow
            let rows = self.m / panels + (panel < self.m % panels) as usize;
            let (a, c) = (self.a.from(row, 0), self.c.from(row, 0));
            for col in (0..self.n).step_by(columns) {
                let cols = columns.min(self.n - col);
                let kernel = kernels.tile(rows, cols);
                for k in (0..self.k).step_by(CHAIN) {
                    let tile = ProductTile {
                        k: CHAIN.min(self.k - k),
                        a: a.from(0, k).at as *const T,
                        a_row: a.line,
                        a_step: a.step,
                        b: self.b.from(col, k).at as *const T,
                        b_step: self.b.step,
                        c: c.from(0, col).at as *mut T,
                        c_row: c.row,
                        cols,
                        adds: mutant!(earlier_chains_forgotten, false, k > 0),
                    };
                    // SAFETY: the tile is a part of the block, so the caller's conditions (*inside* and *apart*) hold
                    // for it. Its columns are contiguous, or it has only one.
                    unsafe { kernel(&tile) };
                }
            }
            row += rows;
            if self.is_part(first, row) {
                done(FinalPart { row: first, rows: row - first, col: 0, cols: self.n });
                first = row;
            }
        }
    }

    /// Computes the block from packed panels (copies of operands in the order in which tiles read them): `cols` columns
    /// at a time, and as many rows as a tile has. If there is no memory for this many columns, it computes fewer at a
    /// time. Calls `done` with each part of the block as soon as that part is computed.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); `T` is
    /// the type of the product.
    unsafe fn packed<T: ProductElement>(
        &self,
        kernels: &Kernels<T>,
        cols: usize,
        packs_a: bool,
        done: &mut dyn FnMut(FinalPart),
    ) {
        let columns = kernels.columns();
        let is_direct = self.c.is_direct(self.n);
        // a result that must be converted, or whose rows are not contiguous, is first computed in scratch memory, in
        // parts that a second-level cache holds
        let rows = if is_direct { self.m } else { self.m.min(PARTIAL_ROWS) };
        let cols = cols.min(self.n).next_multiple_of(columns);
        let depth = self.k.min(CHAIN);
        let copies_a = packs_a || self.a.widen.is_some();
        let left = if copies_a { kernels.rows } else { 0 };
        let wanted = Sizes { rows, cols, depth, left: LEFT_PANELS * left, is_direct };
        let least = Sizes { rows: kernels.rows.min(rows), cols: columns, depth, left, is_direct };
        let mut use_scratch = |scratch: &mut Scratch<'_>, sizes: Sizes| {
            for col in (0..self.n).step_by(sizes.cols) {
                for row in (0..self.m).step_by(sizes.rows) {
                    let part = ProductBlock {
                        m: sizes.rows.min(self.m - row),
                        n: sizes.cols.min(self.n - col),
                        k: self.k,
                        a: self.a.from(row, 0),
                        b: self.b.from(col, 0),
                        c: self.c.from(row, col),
                    };
                    // SAFETY: each part lies inside the block, so the caller's conditions (*inside* and *apart*, see
                    // `ProductBlock`) hold for it. The scratch memory is as large as `sizes` states.
                    unsafe {
                        part.of_panels(kernels, &sizes, scratch, &mut |p| {
                            done(FinalPart { row: row + p.row, col: col + p.col, ..p })
                        })
                    };
                }
            }
        };
        scratch::with(wanted.bytes::<T>(), least.bytes::<T>(), |scratch, is_wanted| {
            use_scratch(scratch, if is_wanted { wanted } else { least })
        });
    }

    /// Computes a block whose panels fit the scratch memory, and calls `done` with each part as soon as that part is
    /// computed.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); `T` is
    /// the type of the product. The scratch memory has the size that `sizes` states, and the block does not exceed
    /// `sizes`.
    unsafe fn of_panels<T: ProductElement>(
        &self,
        kernels: &Kernels<T>,
        sizes: &Sizes,
        scratch: &mut Scratch<'_>,
        done: &mut dyn FnMut(FinalPart),
    ) {
        let columns = kernels.columns();
        let packed_b = scratch.take::<T>(sizes.cols * sizes.depth);
        let packed_a = scratch.take::<T>(sizes.left * sizes.depth);
        let (c, c_row) = match sizes.is_direct {
            true => (self.c.at as *mut T, self.c.row),
            false => (scratch.take::<T>(sizes.rows * sizes.cols), sizes.cols as isize),
        };
        // SAFETY: every element is a part of the block, so it is in live memory (*inside*) and nobody else changes it
        // (*apart*, see `ProductBlock`). Panels and partial results are in the scratch memory, whose size `sizes` has
        // computed.
        unsafe {
            for k in (0..self.k).step_by(CHAIN) {
                let depth = CHAIN.min(self.k - k);
                self.b.from(0, k).pack(kernels, self.n, depth, packed_b, columns);
                let mut first = 0;
                for row in (0..self.m).step_by(kernels.rows) {
                    let rows = kernels.rows.min(self.m - row);
                    let (a, a_row, a_step) = if sizes.left > 0 {
                        // packs the panels of the next `sizes.left` rows together
                        let of_panels = row % sizes.left;
                        if of_panels == 0 {
                            let lines = sizes.left.min(self.m - row);
                            self.a.from(row, k).pack(kernels, lines, depth, packed_a, kernels.rows);
                        }
                        (packed_a.add(of_panels * depth) as *const T, 1, kernels.rows as isize)
                    } else {
                        let left = self.a.from(row, k);
                        (left.at as *const T, left.line, left.step)
                    };
                    for col in (0..self.n).step_by(columns) {
                        let cols = columns.min(self.n - col);
                        kernels.tile(rows, cols)(&ProductTile {
                            k: depth,
                            a,
                            a_row,
                            a_step,
                            b: packed_b.add(col * depth),
                            b_step: columns as isize,
                            c: c.wrapping_offset(row as isize * c_row + col as isize),
                            c_row,
                            cols,
                            adds: mutant!(earlier_chains_forgotten, false, k > 0),
                        });
                    }
                    let is_last = sizes.is_direct && k + depth == self.k;
                    if is_last && self.is_part(first, row + rows) {
                        done(FinalPart { row: first, rows: row + rows - first, col: 0, cols: self.n });
                        first = row + rows;
                    }
                }
            }
            if !sizes.is_direct {
                self.c.store(c, sizes.cols, self.m, self.n);
                done(FinalPart { row: 0, rows: self.m, col: 0, cols: self.n });
            }
        }
        scratch.clear();
    }
}

/// The maximum number of rows that are computed in scratch memory before they are stored. It applies to results whose
/// rows are not contiguous or have another type. With the usual 512 columns of 4 bytes, the rows take a quarter of a
/// MiB, which a second-level cache holds.
const PARTIAL_ROWS: usize = 120;

/// How many panels of the left operand are packed at a time; a panel holds the rows of one tile. If the operand's
/// columns are contiguous, memory is then read in runs of 8 × 12 elements instead of 12. With f32, these panels take 96
/// KiB.
const LEFT_PANELS: usize = 8;

/// The sizes for which the scratch memory has room: the rows and columns of the partial result and of the panels, and
/// their depth along k.
#[derive(Clone, Copy)]
struct Sizes {
    rows: usize,
    cols: usize,
    depth: usize,
    /// The number of rows of the left operand that are packed at a time, in whole panels. 0 if that operand is read in
    /// place.
    left: usize,
    /// Whether the tiles store directly to the result's memory, not to the scratch memory.
    is_direct: bool,
}

impl Sizes {
    /// Returns the size of the scratch in bytes.
    fn bytes<T>(&self) -> usize {
        let panels = (self.cols + self.left) * self.depth;
        let partial = if self.is_direct { 0 } else { self.rows * self.cols };
        (panels + partial) * size_of::<T>() + 3 * scratch::ALIGN
    }
}
