//! Packs parts of operands: copies their elements in the order in which the micro-kernels read them. A *line* is a row
//! of the left operand or a column of the right one. A *panel* holds a few lines side by side: for each k, the elements
//! of all its lines.

use super::lanes::{MOST_DEPTH, Register, prefetch};
use crate::math::simd::Loop;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Lines of an operand that are packed into consecutive panels. `line` is the stride from line to line, and `step` the
/// stride along k, both in elements.
///
/// The functions that pack have two conditions, cited by name. *Inside*: the `lines × k` elements of `from` and the
/// elements of the panels in `to` are in live memory; nobody writes the elements of `from`, and nobody else uses the
/// elements of `to`. *Features*: the machine has the instruction set of the function.
pub(super) struct Lines<T> {
    /// The number of lines. Only [`pack_contiguous`] accepts more lines than one panel has.
    pub lines: usize,
    pub k: usize,
    pub from: *const T,
    pub line: isize,
    pub step: isize,
    pub to: *mut T,
    /// The number of lines of a panel. If the last panel has fewer lines, the rest of it is not written.
    pub height: usize,
}

/// How far ahead memory is prefetched, counted in indices of k. The rows that are packed often begin some KiB apart, a
/// pattern that no hardware prefetcher follows.
const AHEAD: isize = 8;

/// Packs lines that are neighbours in memory (`line` is 1). All panels are packed together, one k after another,
/// because this reads each row of memory from end to end, which is fastest.
///
/// # Safety
/// All elements are in live memory, and nobody else changes them (*inside*); the CPU has the instruction set of `S`
/// (*features*). Both conditions are defined at [`Lines`].
#[inline(always)]
pub(super) unsafe fn pack_contiguous<S: Register>(x: &Lines<S::Element>) {
    // SAFETY: every index that is read or written is below `lines` and `k`, so the element is in live memory
    // (*inside*). The caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        for k in 0..x.k {
            let from = x.from.wrapping_offset(k as isize * x.step);
            let ahead = from.wrapping_offset(AHEAD * x.step);
            let mut first = 0;
            while first < x.lines {
                let height = x.height.min(x.lines - first);
                let to = x.to.add(first * x.k + k * x.height);
                let mut i = 0;
                while i + S::WIDTH <= height {
                    prefetch(ahead.wrapping_add(first + i));
                    S::store(to.add(i), S::load(from.add(first + i)));
                    i += S::WIDTH;
                }
                if i < height {
                    let mask = S::mask(height - i);
                    prefetch(ahead.wrapping_add(first + i));
                    S::store_masked(to.add(i), mask, S::load_masked(from.add(first + i), mask));
                }
                first += x.height;
            }
        }
    }
}

/// Packs lines that are contiguous along k: `step` is 1. If exactly `LEFT` lines remain beyond whole vectors, as in
/// each full panel, they are packed as a partial vector; any other number of remaining lines is packed element by
/// element.
///
/// # Safety
/// All elements are in live memory, and nobody else changes them (*inside*); the CPU has the instruction set of `S`
/// (*features*). Both conditions are defined at [`Lines`].
#[inline(always)]
pub(super) unsafe fn pack_turned<S: Register, const LEFT: usize>(x: &Lines<S::Element>) {
    let mut line = 0;
    // SAFETY: every index is below `lines` and `k`, so the element is in live memory (*inside*), and no line is written
    // twice. The caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        while line < x.lines {
            let left = x.lines - line;
            let (packed, width) = if left >= S::WIDTH {
                (turned::<S, { usize::MAX }>(x, line, S::WIDTH), S::WIDTH)
            } else if LEFT > 0 && left == LEFT {
                (turned::<S, LEFT>(x, line, LEFT), LEFT)
            } else {
                (0, 1)
            };
            for k in packed..x.k {
                for i in line..line + width {
                    *x.to.add(k * x.height + i) = *x.from.wrapping_offset(i as isize * x.line).wrapping_add(k);
                }
            }
            line += width;
        }
    }
}

/// Packs `width` lines from line `line` on by transposing blocks of them. Returns how many indices k it has packed; the
/// caller packs the last few, which do not fill a block. `ROWS` is `width` if there are fewer lines than a vector has
/// lanes. If the lines fill a vector, `ROWS` is `usize::MAX`.
///
/// # Safety
/// All elements are in live memory, and nobody else changes them (*inside*); the CPU has the instruction set of `S`
/// (*features*, see [`Lines`]). There are at least `width` lines from `line` on.
#[inline(always)]
unsafe fn turned<S: Register, const ROWS: usize>(x: &Lines<S::Element>, line: usize, width: usize) -> usize {
    let (from, to) = (x.from.wrapping_offset(line as isize * x.line), x.to.wrapping_add(line));
    let mut k = 0;
    // SAFETY: every index is below `lines` and `k`, so the element is in live memory (*inside*). The caller ensures
    // that the CPU has the instruction set (*features*).
    unsafe {
        let mut out = [S::zero(); MOST_DEPTH];
        let mask = S::mask(width);
        while k + S::DEPTH <= x.k || S::PARTS && k < x.k {
            let mut depth = S::DEPTH;
            if k + S::DEPTH <= x.k {
                S::transposed::<ROWS>(from.wrapping_add(k), x.line, [0, S::DEPTH], &mut out);
            } else {
                depth = x.k - k;
                S::transposed::<ROWS>(from.wrapping_add(k), x.line, [0, depth], &mut out);
            }
            for d in 0..depth {
                let to = to.add((k + d) * x.height);
                if ROWS >= S::WIDTH { S::store(to, out[d]) } else { S::store_masked(to, mask, out[d]) }
            }
            k += depth;
        }
    }
    k
}

/// Packs lines with any strides.
///
/// # Safety
/// All elements are in live memory, and nobody else changes them (*inside*, see [`Lines`]).
pub(super) unsafe fn pack_strided<T: Copy>(x: &Lines<T>) {
    for k in 0..x.k {
        for i in 0..x.lines {
            let from = x.from.wrapping_offset(i as isize * x.line + k as isize * x.step);
            // SAFETY: `i` is below `lines` and `k` below `x.k`, so the element is in live memory (*inside*).
            unsafe { *x.to.add(k * x.height + i) = *from };
        }
    }
}

/// The lines of a panel, divided into parts with one stride each. A part has four numbers: its first line, the offset
/// of that line, the number of lines and the stride from line to line.
pub(super) type PanelParts = SmallVec<[[isize; 4]; 8]>;

/// The lines of one panel of a nested operand, which has no single stride. The address of an element is `from` plus the
/// offset of its line (from `parts`) plus the offset of its k (from `steps`).
pub(super) struct ScatteredLines<'a> {
    /// The offset of each k, in elements.
    pub steps: &'a [isize],
    pub parts: &'a [[isize; 4]],
    pub from: *const u8,
    /// The size of an element in bytes.
    pub size: usize,
    pub lines: usize,
    /// The number of lines of a panel; at most [`MOST_LINES`].
    pub height: usize,
}

/// The maximum number of lines of a panel.
const MOST_LINES: usize = 64;

/// Packs the lines of a nested operand. Lines that are neighbours in memory are copied by vectors.
///
/// # Safety
/// The elements of `x` and of the panel at `to` are in live memory, and nobody else changes them (*inside*); the CPU
/// has the instruction set of `S` (*features*). Both conditions are defined at [`Lines`].
#[inline(always)]
pub(super) unsafe fn pack_scattered<S: Register>(x: &ScatteredLines<'_>, to: *mut S::Element) {
    for (k, step) in x.steps.iter().enumerate() {
        let from = (x.from as *const S::Element).wrapping_offset(*step);
        let to = to.wrapping_add(k * x.height);
        for [first, offset, n, stride] in x.parts {
            let (from, to, n) = (from.wrapping_offset(*offset), to.wrapping_offset(*first), *n as usize);
            // SAFETY: every index is below `n`, so the element is in live memory (*inside*). The caller ensures that
            // the CPU has the instruction set (*features*).
            unsafe {
                if *stride != 1 || n == 1 {
                    for i in 0..n {
                        *to.add(i) = *from.wrapping_offset(i as isize * stride);
                    }
                    continue;
                }
                let mut i = 0;
                while i + S::WIDTH <= n {
                    S::store(to.add(i), S::load(from.add(i)));
                    i += S::WIDTH;
                }
                if i < n {
                    let mask = S::mask(n - i);
                    S::store_masked(to.add(i), mask, S::load_masked(from.add(i), mask));
                }
            }
        }
    }
}

impl ScatteredLines<'_> {
    /// Copies the elements of all lines at one k to `to`, side by side. `step` is the offset of that k. `T` has the
    /// size of an element.
    ///
    /// # Safety
    /// All elements are in live memory, and nobody else changes them (*inside*, see [`Lines`]); `to` has room for an
    /// element of each line.
    #[inline(always)]
    unsafe fn collect<T: Copy>(&self, step: isize, to: *mut T) {
        for [first, offset, n, stride] in self.parts {
            let (from, to) = ((self.from as *const T).wrapping_offset(step + offset), to.wrapping_offset(*first));
            // SAFETY: every index is below `n`, so the element is in live memory (*inside*).
            unsafe {
                match stride {
                    1 => std::ptr::copy_nonoverlapping(from, to, *n as usize),
                    _ => (0..*n).for_each(|i| *to.offset(i) = *from.wrapping_offset(i * stride)),
                }
            }
        }
    }

    /// Packs the lines, and converts their elements by `widen`.
    ///
    /// # Safety
    /// The elements of `x` and of the panel at `to` are in live memory, and nobody else changes them (*inside*, see
    /// [`Lines`]). `T` is the type to which `widen` converts.
    pub unsafe fn widened<T>(&self, widen: Loop, to: *mut T) {
        assert!(self.lines <= MOST_LINES, "a panel has {} lines; at most {MOST_LINES} are packed", self.lines);
        let mut together = [MaybeUninit::<u64>::uninit(); MOST_LINES];
        let bytes = together.as_mut_ptr() as *mut u8;
        for (k, step) in self.steps.iter().enumerate() {
            // SAFETY: the caller ensures that the elements are in live memory (*inside*), and `together` has room for
            // one element of up to 8 bytes of each line.
            unsafe {
                match self.size {
                    1 => self.collect(*step, bytes),
                    2 => self.collect(*step, bytes as *mut u16),
                    4 => self.collect(*step, bytes as *mut u32),
                    _ => self.collect(*step, bytes as *mut u64),
                }
            }
            // SAFETY: the elements of one k are contiguous in the panel, and the caller ensures that the panel is in
            // live memory (*inside*).
            unsafe { widen(self.lines, bytes, bytes, bytes, to.add(k * self.height) as *mut u8) };
        }
    }
}
