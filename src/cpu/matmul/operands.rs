//! Operands and results of products in memory. They may have any strides, and element types that are converted on the
//! way to and from the panels.

use super::instruction_sets::{Kernels, ProductElement};
use super::micro_kernel::CHAIN;
use super::panels::{Lines, PanelParts, ScatteredLines, pack_strided};
use crate::cpu::strided::Axis;
use crate::math::simd::Loop;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// The conversion buffer [`Wide`] holds this many lines (rows of the left operand or columns of the right one) of
/// [`CHAIN`] elements each. As f32, these elements take 16 KiB. The same memory can instead hold `LINES * CHAIN` lines
/// at a single k.
const LINES: usize = 16;

/// A nested operand is packed by transposing blocks if at least this many elements along k are neighbours in memory, on
/// average. Chosen by hand; no benchmark compares other values.
const LONG: usize = 8;

/// A buffer for elements that are converted before they are packed.
struct Wide<T>([MaybeUninit<T>; LINES * CHAIN]);

/// The axes of a nested operand. Such an operand has several strides from line to line or along k, because the reshape
/// that made it a matrix has merged axes. For windows of an image, for instance, one index of the matrix counts the
/// rows and the columns of the image (`plan/axes.rs`).
pub(super) struct NestedAxes {
    pub lines: Axis,
    pub steps: Axis,
}

/// An operand of a product in memory: the address of element (0, 0), and the strides from line to line (`line`) and
/// along k (`step`), in elements. A line is a row of the left operand or a column of the right one.
#[derive(Clone, Copy)]
pub(super) struct ProductOperand<'a> {
    pub at: *const u8,
    pub line: isize,
    pub step: isize,
    /// The size of an element in bytes.
    pub size: usize,
    /// The loop that converts elements to the type of the product; `None` if they already have it.
    pub widen: Option<Loop>,
    /// The index in [`Kernels::halves`] of the kernels that convert the elements as they read them.
    pub half: Option<usize>,
    /// Whether the whole operand, with all matrices of the batch, is probably in main memory, not in a cache.
    pub far: bool,
    /// For a nested operand: its axes, and the line and the index k at which this part of the operand begins. `at` is
    /// then the address of element (0, 0) of the whole operand, not of the part.
    pub nested: Option<(&'a NestedAxes, [usize; 2])>,
}

impl<'a> ProductOperand<'a> {
    /// Returns the part of the operand that begins at the given line and k.
    #[inline]
    pub fn from(&self, line: usize, k: usize) -> ProductOperand<'a> {
        if let Some((axes, first)) = self.nested {
            return ProductOperand { nested: Some((axes, [first[0] + line, first[1] + k])), ..*self };
        }
        let offset = line as isize * self.line + k as isize * self.step;
        ProductOperand { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Returns the same operand for another matrix of the batch, whose elements are `offset` elements further on.
    pub fn shifted(&self, offset: isize) -> ProductOperand<'a> {
        ProductOperand { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Packs the first `lines × k` elements, at most [`CHAIN`] of them along k, into consecutive panels of `height`
    /// lines. Missing lines of the last panel are filled with zeros.
    ///
    /// # Safety
    /// All elements are in live memory, and nobody else changes them (*inside*, see [`Lines`]); `T` is the type of the
    /// product.
    pub unsafe fn pack<T: ProductElement>(
        &self,
        kernels: &Kernels<T>,
        lines: usize,
        k: usize,
        to: *mut T,
        height: usize,
    ) {
        let left = lines % height;
        // SAFETY: the caller ensures that the elements of all lines are in live memory (*inside*, see `Lines`), and
        // `kernels` are compiled for this machine.
        unsafe {
            if left > 0 {
                let last = to.add((lines - left) * k);
                for k in 0..k {
                    // a zero of any type has no bits set
                    last.add(k * height + left).write_bytes(0, height - left);
                }
            }
            if let Some((axes, from)) = self.nested {
                return self.pack_nested(kernels, axes, from, [lines, k], to, height);
            }
            if self.widen.is_none() && self.line == 1 {
                let from = self.at as *const T;
                return (kernels.pack_contiguous)(&Lines { lines, k, from, line: 1, step: self.step, to, height });
            }
            let mut wide = Wide([MaybeUninit::uninit(); LINES * CHAIN]);
            if let Some(widen) = self.widen
                && self.step != 1
            {
                return self.pack_rows(widen, [lines, k], &mut wide, to, height);
            }
            for first in (0..lines).step_by(height) {
                let (some, part, to) = (height.min(lines - first), self.from(first, 0), to.add(first * k));
                let x =
                    Lines { lines: some, k, from: part.at as *const T, line: self.line, step: self.step, to, height };
                match (self.widen, self.step) {
                    (Some(widen), _) => part.pack_lines(kernels, widen, &x, &mut wide),
                    (None, 1) => (kernels.pack_turned)(&x),
                    (None, _) => pack_strided(&x),
                }
            }
        }
    }

    /// Packs a nested operand, as [`ProductOperand::pack`] does for other operands.
    ///
    /// # Safety
    /// All elements are in live memory, and nobody else changes them (*inside*, see [`Lines`]); `T` is the type of the
    /// product.
    unsafe fn pack_nested<T: ProductElement>(
        &self,
        kernels: &Kernels<T>,
        axes: &NestedAxes,
        from: [usize; 2],
        [lines, k]: [usize; 2],
        to: *mut T,
        height: usize,
    ) {
        // `steps` holds the offset of each index k; `runs` counts the groups of neighbouring k that are contiguous in
        // memory
        let (mut steps, mut runs, mut along) = ([0isize; CHAIN], 0, PanelParts::new());
        axes.steps.runs(from[1], k, |first, offset, n, step| {
            (first..first + n).for_each(|i| steps[i] = offset + (i - first) as isize * step);
            runs += if step == 1 { 1 } else { n };
            along.push([first as isize, offset, n as isize, step]);
        });
        let along_k = self.widen.is_none() && k >= LONG * runs;
        let mut rows: Wide<T> = Wide([MaybeUninit::uninit(); LINES * CHAIN]);
        for first in (0..lines).step_by(height) {
            let (some, to) = (height.min(lines - first), to.wrapping_add(first * k));
            let mut parts = PanelParts::new();
            axes.lines.runs(from[0] + first, some, |first, offset, n, step| {
                parts.push([first as isize, offset, n as isize, step])
            });
            let x = ScatteredLines {
                steps: &steps[..k],
                parts: &parts,
                from: self.at,
                size: self.size,
                lines: some,
                height,
            };
            // SAFETY: the caller ensures that the elements of all lines at all k are in live memory (*inside*, see
            // `Lines`), and `kernels` are compiled for this machine.
            unsafe {
                match self.widen {
                    Some(widen) => x.widened(widen, to),
                    None if along_k && parts.iter().all(|part| part[3] != 1 || part[2] < LONG as isize) => {
                        // each line is first copied to a row that is contiguous along k; the rows are then transposed
                        let rows = rows.0.as_mut_ptr() as *mut T;
                        for (i, some) in offsets(&parts).chunks(LINES).enumerate() {
                            let x = ScatteredLines { steps: some, parts: &along, lines: k, height: CHAIN, ..x };
                            (kernels.pack_scattered)(&x, rows);
                            let (lines, to) = (some.len(), to.add(i * LINES));
                            let (from, line) = (rows as *const T, CHAIN as isize);
                            (kernels.pack_turned)(&Lines { lines, k, from, line, step: 1, to, height });
                        }
                    }
                    None => (kernels.pack_scattered)(&x, to),
                }
            }
        }
    }

    /// Packs the lines of one panel, whose elements are contiguous along k, and converts the elements before packing
    /// them.
    ///
    /// # Safety
    /// All elements are in live memory, and nobody else changes them (*inside*, see [`Lines`]). `T` is the type of the
    /// product, to which `widen` converts.
    unsafe fn pack_lines<T: ProductElement>(
        &self,
        kernels: &Kernels<T>,
        widen: Loop,
        x: &Lines<T>,
        wide: &mut Wide<T>,
    ) {
        let wide = wide.0.as_mut_ptr() as *mut T;
        // SAFETY: all indices are below `lines` and `k`, whose elements the caller ensures to be in live memory
        // (*inside*, see `Lines`), or they are inside `wide`.
        unsafe {
            for first in (0..x.lines).step_by(LINES) {
                let lines = LINES.min(x.lines - first);
                for i in 0..lines {
                    self.widen_run(widen, first + i, 0, 1, x.k, wide.add(i * CHAIN));
                }
                (kernels.pack_turned)(&Lines { lines, from: wide, line: CHAIN as isize, to: x.to.add(first), ..*x });
            }
        }
    }

    /// Packs lines of any strides, one k at a time, and converts their elements before packing them.
    ///
    /// # Safety
    /// All elements are in live memory, and nobody else changes them (*inside*, see [`Lines`]); `T` is the type of the
    /// product.
    unsafe fn pack_rows<T: ProductElement>(
        &self,
        widen: Loop,
        [lines, k]: [usize; 2],
        wide: &mut Wide<T>,
        to: *mut T,
        height: usize,
    ) {
        let wide = wide.0.as_mut_ptr() as *mut T;
        // the largest number of lines that fills whole panels and fits into `wide`, which has room for at least one
        // panel
        let most = LINES * CHAIN / height * height;
        // SAFETY: all indices are below `lines` and `k`, whose elements the caller ensures to be in live memory
        // (*inside*, see `Lines`), or they are inside `wide`.
        unsafe {
            for p in 0..k {
                for begin in (0..lines).step_by(most) {
                    let some = most.min(lines - begin);
                    self.widen_run(widen, begin, p, self.line, some, wide);
                    for first in (0..some).step_by(height) {
                        let to = to.add((begin + first) * k + p * height);
                        std::ptr::copy_nonoverlapping(wide.add(first), to, height.min(some - first));
                    }
                }
            }
        }
    }

    /// Converts `n` elements that are `step` elements apart, starting at the given line and k.
    ///
    /// # Safety
    /// These elements are in live memory, and nobody else changes them (*inside*, see [`Lines`]).
    #[inline]
    pub unsafe fn widen_run<T>(&self, widen: Loop, line: usize, k: usize, step: isize, n: usize, to: *mut T) {
        let from = self.from(line, k);
        // SAFETY: the caller ensures that the elements exist (*inside*, see `Lines`). Elements that are not contiguous
        // are first gathered in `together`, without conversion.
        unsafe {
            if step == 1 {
                return widen(n, from.at, from.at, from.at, to as *mut u8);
            }
            let mut together = [MaybeUninit::<u64>::uninit(); CHAIN];
            let bytes = together.as_mut_ptr() as *mut u8;
            for first in (0..n).step_by(CHAIN) {
                let some = CHAIN.min(n - first);
                for i in 0..some {
                    let p = from.at.wrapping_offset((first + i) as isize * step * self.size as isize);
                    std::ptr::copy_nonoverlapping(p, bytes.add(i * self.size), self.size);
                }
                widen(some, bytes, bytes, bytes, to.add(first) as *mut u8);
            }
        }
    }
}

/// Returns the offset of each line of a panel, in elements.
fn offsets(parts: &PanelParts) -> SmallVec<[isize; 32]> {
    let mut offsets = SmallVec::new();
    for [_, first, n, line] in parts {
        (0..*n).for_each(|i| offsets.push(first + i * line));
    }
    offsets
}

/// The result of a product in memory, with strides in elements.
#[derive(Clone, Copy)]
pub(super) struct ProductTarget {
    pub at: *mut u8,
    pub row: isize,
    pub col: isize,
    /// The size of an element in bytes.
    pub size: usize,
    /// The loop that converts elements of the product's type to the stored type; `None` if the types are the same.
    pub narrow: Option<Loop>,
}

impl ProductTarget {
    /// Returns the part of the result that begins at the given row and column.
    #[inline]
    pub fn from(&self, row: usize, col: usize) -> ProductTarget {
        let offset = row as isize * self.row + col as isize * self.col;
        ProductTarget { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Returns the result for another matrix of the batch, whose elements are `offset` elements further on.
    pub fn shifted(&self, offset: isize) -> ProductTarget {
        ProductTarget { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Returns the transposed result: its rows are the columns of this one.
    pub fn turned(&self) -> ProductTarget {
        ProductTarget { row: self.col, col: self.row, ..*self }
    }

    /// Returns whether kernels can store directly into the result: its rows are contiguous and have the product's own
    /// type.
    pub fn is_direct(&self, cols: usize) -> bool {
        self.narrow.is_none() && (self.col == 1 || cols == 1)
    }

    /// Stores zeros to `rows × cols` elements. A zero of any type has no bits set.
    ///
    /// # Safety
    /// The elements are in live memory, and nobody else uses them.
    pub unsafe fn clear(&self, rows: usize, cols: usize) {
        for row in 0..rows {
            for col in 0..cols {
                // SAFETY: the caller ensures that these elements are in live memory and that nobody else uses them.
                unsafe { self.from(row, col).at.write_bytes(0, self.size) };
            }
        }
    }

    /// Stores `rows × cols` computed elements, whose rows begin `row` elements apart in `from`.
    ///
    /// # Safety
    /// The elements of both sides are in live memory, nobody writes the elements of `from`, and nobody else uses the
    /// elements of the result.
    pub unsafe fn store<T: Copy>(&self, from: *const T, row: usize, rows: usize, cols: usize) {
        let mut narrowed = [0u64; CHAIN];
        for r in 0..rows {
            for first in (0..cols).step_by(CHAIN) {
                let n = CHAIN.min(cols - first);
                let to = self.from(r, first);
                // SAFETY: the caller ensures that the elements of both sides are in live memory; `narrowed` has room
                // for CHAIN elements of up to 8 bytes.
                unsafe {
                    let mut p = from.add(r * row + first) as *const u8;
                    if let Some(narrow) = self.narrow {
                        let out = if self.col == 1 { to.at } else { narrowed.as_mut_ptr() as *mut u8 };
                        narrow(n, p, p, p, out);
                        if self.col == 1 {
                            continue;
                        }
                        p = out;
                    }
                    for i in 0..n {
                        let q = to.at.wrapping_offset(i as isize * self.col * self.size as isize);
                        std::ptr::copy_nonoverlapping(p.add(i * self.size), q, self.size);
                    }
                }
            }
        }
    }
}

// SAFETY: sharing an address accesses no memory. The functions that use the address are unsafe, and their conditions
// state who may use which elements.
unsafe impl Send for ProductOperand<'_> {}
// SAFETY: sharing an address accesses no memory. The functions that use the address are unsafe, and their conditions
// state who may use which elements.
unsafe impl Sync for ProductOperand<'_> {}
// SAFETY: sharing an address accesses no memory. The functions that use the address are unsafe, and their conditions
// state who may use which elements.
unsafe impl Send for ProductTarget {}
// SAFETY: sharing an address accesses no memory. The functions that use the address are unsafe, and their conditions
// state who may use which elements.
unsafe impl Sync for ProductTarget {}
