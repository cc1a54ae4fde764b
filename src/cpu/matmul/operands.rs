//! Operands and results of products in memory: of any strides, and of element types that are converted on the way to the panels
//! and from them.

use super::kernels::{Element, Kernels};
use super::panels::{Lines, pack_strided};
use super::tile::CHAIN;
use crate::simd::Loop;

/// An operand of a product in memory: element (0, 0), and the strides from line to line and along k, in elements.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub at: *const u8,
    pub line: isize,
    pub step: isize,
    /// Bytes of an element.
    pub size: usize,
    /// The loop that converts elements to the type of the product; none if they have it.
    pub widen: Option<Loop>,
}

impl Operand {
    /// Returns the operand that begins at another line and k.
    #[inline]
    pub fn from(&self, line: usize, k: usize) -> Operand {
        let offset = line as isize * self.line + k as isize * self.step;
        Operand { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Returns the operand of another matrix, whose elements lie `offset` elements further on.
    pub fn shifted(&self, offset: isize) -> Operand {
        Operand { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Packs the first `lines × k` elements, at most [`CHAIN`] of them along k, into a panel.
    ///
    /// # Safety
    /// *Inside* ([`Lines`]); `T` is the type of the product.
    pub unsafe fn pack<T: Element>(&self, kernels: &Kernels<T>, lines: usize, k: usize, to: *mut T, height: usize) {
        // SAFETY: *inside*, and `kernels` are those of the machine.
        unsafe {
            for k in 0..if lines < height { k } else { 0 } {
                std::slice::from_raw_parts_mut(to.add(k * height + lines), height - lines).fill(T::default());
            }
            if let Some(widen) = self.widen {
                return self.pack_widened(kernels, widen, lines, k, to, height);
            }
            let x = Lines { lines, k, from: self.at as *const T, line: self.line, step: self.step, to, height };
            match (self.line, self.step) {
                (1, _) => (kernels.pack_contiguous)(&x),
                (_, 1) => (kernels.pack_turned)(&x),
                _ => pack_strided(&x),
            }
        }
    }

    /// Packs elements that are converted on the way.
    ///
    /// # Safety
    /// As of [`Operand::pack`].
    unsafe fn pack_widened<T: Element>(
        &self,
        kernels: &Kernels<T>,
        widen: Loop,
        lines: usize,
        k: usize,
        to: *mut T,
        height: usize,
    ) {
        // so many lines of a chain are converted before they are packed; their elements fill 16 KiB at most
        const LINES: usize = 16;
        let mut wide = [T::default(); LINES * CHAIN];
        // SAFETY: *inside*: what is read and written lies below `lines` and `k`, and in `wide`.
        unsafe {
            for first in (0..lines).step_by(LINES) {
                let some = LINES.min(lines - first);
                let from = self.from(first, 0);
                if self.step == 1 {
                    for i in 0..some {
                        from.widen_run(widen, i, 0, 1, k, wide.as_mut_ptr().add(i * CHAIN));
                    }
                    let x = Lines { lines: some, k, from: wide.as_ptr(), line: CHAIN as isize, step: 1, to: to.add(first), height };
                    (kernels.pack_turned)(&x);
                    continue;
                }
                for p in 0..k {
                    from.widen_run(widen, 0, p, self.line, some, wide.as_mut_ptr());
                    std::ptr::copy_nonoverlapping(wide.as_ptr(), to.add(p * height + first), some);
                }
            }
        }
    }

    /// Converts `n` elements that lie `step` elements apart, from a line and k on.
    ///
    /// # Safety
    /// *Inside* ([`Lines`]), for these elements.
    #[inline]
    unsafe fn widen_run<T>(&self, widen: Loop, line: usize, k: usize, step: isize, n: usize, to: *mut T) {
        let from = self.from(line, k);
        // SAFETY: *inside*. Elements that are apart are first brought together, in the same bytes that they have in memory.
        unsafe {
            if step == 1 {
                return widen(n, from.at, from.at, from.at, to as *mut u8);
            }
            let mut together = [0u64; CHAIN];
            let bytes = together.as_mut_ptr() as *mut u8;
            for i in 0..n {
                let p = from.at.wrapping_offset(i as isize * step * self.size as isize);
                std::ptr::copy_nonoverlapping(p, bytes.add(i * self.size), self.size);
            }
            widen(n, bytes, bytes, bytes, to as *mut u8)
        }
    }
}

/// The result of a product in memory, with strides in elements.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub at: *mut u8,
    pub row: isize,
    pub col: isize,
    /// Bytes of an element.
    pub size: usize,
    /// The loop that converts elements of the product's type to those that are stored; none if they are the same.
    pub narrow: Option<Loop>,
}

impl Target {
    /// Returns the part of the result that begins at a row and a column.
    #[inline]
    pub fn from(&self, row: usize, col: usize) -> Target {
        let offset = row as isize * self.row + col as isize * self.col;
        Target { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Returns the result of another matrix, whose elements lie `offset` elements further on.
    pub fn shifted(&self, offset: isize) -> Target {
        Target { at: self.at.wrapping_offset(offset * self.size as isize), ..*self }
    }

    /// Says whether kernels can store into the result itself: whole rows of their own element type.
    pub fn is_direct(&self, cols: usize) -> bool {
        self.narrow.is_none() && (self.col == 1 || cols == 1)
    }

    /// Stores zeros to `rows × cols` elements. Zero has no bits set, whatever its type.
    ///
    /// # Safety
    /// The elements lie in live memory, and nobody else uses them.
    pub unsafe fn clear(&self, rows: usize, cols: usize) {
        for row in 0..rows {
            for col in 0..cols {
                // SAFETY: the caller's condition.
                unsafe { self.from(row, col).at.write_bytes(0, self.size) };
            }
        }
    }

    /// Stores `rows × cols` computed elements, whose rows begin `row` elements apart.
    ///
    /// # Safety
    /// The elements of both sides lie in live memory, nobody writes those of `from`, nobody else uses those of the result.
    pub unsafe fn store<T: Copy>(&self, from: *const T, row: usize, rows: usize, cols: usize) {
        let mut narrowed = [0u64; CHAIN];
        for r in 0..rows {
            for first in (0..cols).step_by(CHAIN) {
                let n = CHAIN.min(cols - first);
                let to = self.from(r, first);
                // SAFETY: the caller's condition; `narrowed` has room for CHAIN elements of up to 8 bytes.
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

// SAFETY: tasks only read operands, and write disjoint parts of results.
unsafe impl Sync for Operand {}
// SAFETY: as of operands.
unsafe impl Sync for Target {}
