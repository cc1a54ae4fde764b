//! Packs parts of operands in the order in which the micro-kernels read them. A *line* is a row of the left operand or
//! a column of the right one. A *panel* holds a few lines side by side: for each k, the elements of all its lines.

use super::lanes::{MOST_DEPTH, Register, prefetch};
use crate::math::simd::Loop;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Lines of an operand that are packed into consecutive panels. Strides are in elements.
///
/// The conditions of the functions that pack, cited by name. *Inside*: the `lines × k` elements of `from` and the
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
    /// The number of lines of a panel. The part of the last panel beyond `lines` is not written.
    pub height: usize,
}

/// How far ahead memory is prefetched, as a number of k. The rows that are packed often begin some KiB apart, a pattern
/// that no hardware prefetcher follows.
const AHEAD: isize = 8;

/// Packs lines that are neighbours in memory: `line` is 1. All panels are packed together, one k after another, because
/// reading a row of memory from end to end is fastest.
///
/// # Safety
/// *Inside* and *features* ([`Lines`]).
#[inline(always)]
pub(super) unsafe fn pack_contiguous<S: Register>(x: &Lines<S::Element>) {
    // SAFETY: *inside* and *features*: every index is below `lines` and `k`, and so is every element of a panel that is
    // written.
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
/// *Inside* and *features* ([`Lines`]).
#[inline(always)]
pub(super) unsafe fn pack_turned<S: Register, const LEFT: usize>(x: &Lines<S::Element>) {
    let mut line = 0;
    // SAFETY: *inside* and *features*: every index is below `lines` and `k`, and no line is written twice.
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

/// Packs `width` lines from line `line` on by transposing blocks of them, and returns the number of k that it packed.
/// The last few k, which do not fill a block, are left to the caller. `ROWS` is `width` if the lines are fewer than a
/// vector has lanes; if they fill a vector, it is more than the number of lanes.
///
/// # Safety
/// *Inside* and *features* ([`Lines`]), and there are this many lines.
#[inline(always)]
unsafe fn turned<S: Register, const ROWS: usize>(x: &Lines<S::Element>, line: usize, width: usize) -> usize {
    let (from, to) = (x.from.wrapping_offset(line as isize * x.line), x.to.wrapping_add(line));
    let mut k = 0;
    // SAFETY: *inside* and *features*: every index is below `lines` and `k`.
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
/// *Inside* ([`Lines`]).
pub(super) unsafe fn pack_strided<T: Copy>(x: &Lines<T>) {
    for k in 0..x.k {
        for i in 0..x.lines {
            let from = x.from.wrapping_offset(i as isize * x.line + k as isize * x.step);
            // SAFETY: *inside*: `i` is below `lines`.
            unsafe { *x.to.add(k * x.height + i) = *from };
        }
    }
}

/// The parts of a panel's lines that have one stride: the first line, its offset, the number of lines and the stride.
pub(super) type PanelParts = SmallVec<[[isize; 4]; 8]>;

/// The lines of one panel whose elements are at `from` plus the offset of their line plus the offset of their k.
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

/// Packs scattered lines. Neighbours in memory are copied by vectors.
///
/// # Safety
/// *Inside* and *features* ([`Lines`]), for the elements of the panel in `to`.
#[inline(always)]
pub(super) unsafe fn pack_scattered<S: Register>(x: &ScatteredLines<'_>, to: *mut S::Element) {
    for (k, step) in x.steps.iter().enumerate() {
        let from = (x.from as *const S::Element).wrapping_offset(*step);
        let to = to.wrapping_add(k * x.height);
        for [first, offset, n, stride] in x.parts {
            let (from, to, n) = (from.wrapping_offset(*offset), to.wrapping_offset(*first), *n as usize);
            // SAFETY: *inside* and *features*: every index is below `n`.
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
    /// Copies the elements of all lines at one k, whose offset is `step`. `T` has the size of an element.
    ///
    /// # Safety
    /// *Inside* ([`Lines`]), and `to` has room for the lines.
    #[inline(always)]
    unsafe fn collect<T: Copy>(&self, step: isize, to: *mut T) {
        for [first, offset, n, stride] in self.parts {
            let (from, to) = ((self.from as *const T).wrapping_offset(step + offset), to.wrapping_offset(*first));
            // SAFETY: *inside*: every index is below `n`.
            unsafe {
                match stride {
                    1 => std::ptr::copy_nonoverlapping(from, to, *n as usize),
                    _ => (0..*n).for_each(|i| *to.offset(i) = *from.wrapping_offset(i * stride)),
                }
            }
        }
    }

    /// Packs lines, and converts them on the way.
    ///
    /// # Safety
    /// *Inside* ([`Lines`]), for the elements of the panel in `to`, which have the type to which `widen` converts.
    pub unsafe fn widened<T>(&self, widen: Loop, to: *mut T) {
        assert!(self.lines <= MOST_LINES, "a panel has {} lines; at most {MOST_LINES} are packed", self.lines);
        let mut together = [MaybeUninit::<u64>::uninit(); MOST_LINES];
        let bytes = together.as_mut_ptr() as *mut u8;
        for (k, step) in self.steps.iter().enumerate() {
            // SAFETY: *inside*; `together` has room for a panel's lines of up to 8 bytes.
            unsafe {
                match self.size {
                    1 => self.collect(*step, bytes),
                    2 => self.collect(*step, bytes as *mut u16),
                    4 => self.collect(*step, bytes as *mut u32),
                    _ => self.collect(*step, bytes as *mut u64),
                }
            }
            // SAFETY: *inside*: the elements of one k are contiguous in the panel.
            unsafe { widen(self.lines, bytes, bytes, bytes, to.add(k * self.height) as *mut u8) };
        }
    }
}
