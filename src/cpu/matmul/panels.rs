//! Packs parts of operands in the order in which the micro-kernels read them. A *line* is a row of the left operand or a column of
//! the right one. A *panel* holds a few lines side by side: for each k the elements of all its lines.

use super::lanes::{Lanes, MOST_DEPTH};

/// Lines of an operand that become a panel. Strides are in elements.
///
/// The conditions of the functions that pack, cited by name. *Inside*: the `lines × k` elements of `from` and the `height × k`
/// of `to` lie in live memory; nobody writes those of `from`, and nobody else uses those of `to`. *Features*: the machine has
/// the instruction set of the function.
pub(super) struct Lines<T> {
    pub lines: usize,
    pub k: usize,
    pub from: *const T,
    pub line: isize,
    pub step: isize,
    pub to: *mut T,
    /// How many lines the panel has room for; those beyond `lines` are filled with zeros.
    pub height: usize,
}

/// Packs lines that are neighbours in memory: `line` is 1.
///
/// # Safety
/// *Inside* and *features* ([`Lines`]).
#[inline(always)]
pub(super) unsafe fn pack_contiguous<S: Lanes>(x: &Lines<S::Element>) {
    let (whole, left) = (x.lines / S::WIDTH * S::WIDTH, x.lines % S::WIDTH);
    // SAFETY: *inside* and *features*: every index is below `lines` and `k`.
    unsafe {
        let mask = S::mask(left);
        for k in 0..x.k {
            let (from, to) = (x.from.wrapping_offset(k as isize * x.step), x.to.add(k * x.height));
            let mut i = 0;
            while i < whole {
                S::store(to.add(i), S::load(from.add(i)));
                i += S::WIDTH;
            }
            if left > 0 {
                S::store_masked(to.add(i), mask, S::load_masked(from.add(i), mask));
            }
        }
    }
}

/// Packs lines that are contiguous along k: `step` is 1. `LEFT` is how many lines beyond whole vectors are packed as vectors
/// too.
///
/// # Safety
/// *Inside* and *features* ([`Lines`]).
#[inline(always)]
pub(super) unsafe fn pack_turned<S: Lanes, const LEFT: usize>(x: &Lines<S::Element>) {
    let deep = x.k / S::DEPTH * S::DEPTH;
    let mut line = 0;
    // SAFETY: *inside* and *features*: every index is below `lines` and `k`, and no line is written twice.
    unsafe {
        while line < x.lines {
            let from = x.from.wrapping_offset(line as isize * x.line);
            let to = x.to.add(line);
            let left = x.lines - line;
            let mut out = [S::zero(); MOST_DEPTH];
            let (mut k, mut width) = (0, 1);
            if left >= S::WIDTH {
                width = S::WIDTH;
                while k < deep {
                    S::transposed::<{ usize::MAX }>(from.add(k), x.line, &mut out);
                    for d in 0..S::DEPTH {
                        S::store(to.add((k + d) * x.height), out[d]);
                    }
                    k += S::DEPTH;
                }
            } else if LEFT > 0 && left == LEFT {
                width = LEFT;
                let mask = S::mask(LEFT);
                while k < deep {
                    S::transposed::<LEFT>(from.add(k), x.line, &mut out);
                    for d in 0..S::DEPTH {
                        S::store_masked(to.add((k + d) * x.height), mask, out[d]);
                    }
                    k += S::DEPTH;
                }
            }
            while k < x.k {
                for i in 0..width {
                    *to.add(k * x.height + i) = *from.wrapping_offset(i as isize * x.line).add(k);
                }
                k += 1;
            }
            line += width;
        }
    }
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

