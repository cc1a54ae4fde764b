//! The passes of transforms, written once for the vectors of every instruction set. A lane of a vector holds a column
//! of its own, so bits do not depend on the number of lanes.

use super::butterflies::{Butterfly, Radix, RealLanes, product};
use super::plan::{Column, FftPass, Real};
use crate::cpu::matmul::lanes::{ALL_ROWS, MOST_DEPTH};
use crate::cpu::operands::SharedTarget;

/// Complex rows in memory: their real and their imaginary parts, and the distance from row to row.
///
/// The unsafe functions of this file have two conditions, cited by name. *Features*: the machine has the instruction
/// set of the vector type, and the function is inlined into one that enables it. *Inside*: all elements that a function
/// names are in live memory; nobody writes the elements that are read, and nobody else uses those that are written.
#[derive(Clone, Copy)]
pub(super) struct Planes<T> {
    pub re: SharedTarget<T>,
    pub im: SharedTarget<T>,
    pub step: usize,
}

impl<T> Planes<T> {
    /// Returns the planes from element `first` on.
    #[inline(always)]
    pub(super) fn from(self, first: usize) -> Planes<T> {
        Planes { re: SharedTarget(self.re.at(first)), im: SharedTarget(self.im.at(first)), step: self.step }
    }
}

/// What happens to the results of a column's last pass.
#[derive(Clone, Copy)]
pub(super) enum Last<T> {
    Keep,
    Scale(T),
    /// Row k of the results is multiplied by row k of these roots, lane by lane.
    Roots(Planes<T>),
}

/// Runs a pass over columns: butterflies of rows `count · stride` apart, whose results are stored `stride` rows apart. In
/// the last pass of a column, `last` says what happens to them. In other passes they are multiplied by roots. These two
/// are separate functions, because one for both takes 1.2 times as long. More functions would only be larger.
///
/// # Safety
/// *Features* and *inside*, for a vector in each row.
#[inline(always)]
unsafe fn pass<S: RealLanes, const R: usize, const IS_LAST: bool>(
    pass: &FftPass<S::Element>,
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    last: Last<S::Element>,
) where
    Radix: Butterfly<R>,
{
    let (count, stride) = (pass.count, pass.stride);
    // SAFETY: *features* and *inside*: rows are below `R · count · stride`, and each group has `R − 1` roots.
    unsafe {
        let scale = S::splat(if let Last::Scale(scale) = last { scale } else { S::Element::default() });
        for group in 0..count {
            let mut roots = ([S::zero(); R], [S::zero(); R]);
            if !IS_LAST {
                let list = pass.roots.as_ptr().add(2 * (R - 1) * group);
                for j in 1..R {
                    (roots.0[j], roots.1[j]) = (S::splat(*list.add(2 * j - 2)), S::splat(*list.add(2 * j - 1)));
                }
            }
            for q in 0..stride {
                let mut x = ([S::zero(); R], [S::zero(); R]);
                for k in 0..R {
                    let at = (q + stride * (group + count * k)) * from.step;
                    (x.0[k], x.1[k]) = (S::load(from.re.at(at)), S::load(from.im.at(at)));
                }
                Radix::apply::<S>(&mut x);
                for j in 0..R {
                    let row = q + stride * (R * group + j);
                    let mut y = (x.0[j], x.1[j]);
                    match last {
                        _ if !IS_LAST && j == 0 => {}
                        _ if !IS_LAST => y = product::<S>(y, (roots.0[j], roots.1[j])),
                        Last::Keep => {}
                        Last::Scale(_) => y = (S::multiply(y.0, scale), S::multiply(y.1, scale)),
                        Last::Roots(roots) => {
                            let at = row * roots.step;
                            y = product::<S>(y, (S::load(roots.re.at(at)), S::load(roots.im.at(at))));
                        }
                    }
                    S::store(to.re.at(row * to.step), y.0);
                    S::store(to.im.at(row * to.step), y.1);
                }
            }
        }
    }
}

/// Runs a pass of any radix.
///
/// # Safety
/// As for [`pass`].
#[inline(always)]
unsafe fn any_pass<S: RealLanes, const IS_LAST: bool>(
    p: &FftPass<S::Element>,
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    last: Last<S::Element>,
) {
    // SAFETY: the caller ensures the conditions of `pass`.
    unsafe {
        match p.radix {
            2 => pass::<S, 2, IS_LAST>(p, from, to, last),
            3 => pass::<S, 3, IS_LAST>(p, from, to, last),
            4 => pass::<S, 4, IS_LAST>(p, from, to, last),
            5 => pass::<S, 5, IS_LAST>(p, from, to, last),
            7 => pass::<S, 7, IS_LAST>(p, from, to, last),
            _ => pass::<S, 8, IS_LAST>(p, from, to, last),
        }
    }
}

/// Transforms as many columns as a vector has lanes. `scratch` has two pairs of planes of as many rows, from `first`.
///
/// # Safety
/// *Features* and *inside*, for a vector in each row.
#[inline(always)]
pub(super) unsafe fn columns<S: RealLanes>(
    column: &Column<S::Element>,
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    scratch: [Planes<S::Element>; 2],
    last: Last<S::Element>,
) {
    let end = column.passes.len() - 1;
    // SAFETY: the caller ensures the conditions of `pass`.
    unsafe {
        for (i, p) in column.passes.iter().enumerate() {
            let from = if i == 0 { from } else { scratch[(i - 1) % 2] };
            match i == end {
                true => any_pass::<S, true>(p, from, to, last),
                false => any_pass::<S, false>(p, from, scratch[i % 2], Last::Keep),
            }
        }
    }
}

/// Copies the first elements of rows.
///
/// # Safety
/// *Inside*.
#[inline(always)]
pub(super) unsafe fn copy<T: Real>(from: Planes<T>, to: Planes<T>, rows: usize, lanes: usize) {
    for row in 0..rows {
        for lane in 0..lanes {
            // SAFETY: *inside*.
            unsafe {
                to.re.set(row * to.step + lane, from.re.get(row * from.step + lane));
                to.im.set(row * to.step + lane, from.im.get(row * from.step + lane));
            }
        }
    }
}

/// Transposes an area: element `c` of row `r` becomes element `r` of row `c`.
///
/// # Safety
/// *Features* and *inside*.
#[inline(always)]
pub(super) unsafe fn transpose<S: RealLanes>(
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    rows: usize,
    cols: usize,
) {
    let (whole_rows, whole_cols) = (rows / S::WIDTH * S::WIDTH, cols / S::DEPTH * S::DEPTH);
    // SAFETY: *features* and *inside*: all elements are in `rows` rows of `cols` elements.
    unsafe {
        for (from, to) in [(from.re, to.re), (from.im, to.im)].map(|(f, t)| ((f, from.step), (t, to.step))) {
            for r in (0..whole_rows).step_by(S::WIDTH) {
                for c in (0..whole_cols).step_by(S::DEPTH) {
                    let mut out = [S::zero(); MOST_DEPTH];
                    let first = from.0.at(r * from.1 + c);
                    S::transposed::<ALL_ROWS>(first, from.1 as isize, [0, S::DEPTH], &mut out);
                    for (k, v) in out.into_iter().enumerate().take(S::DEPTH) {
                        S::store(to.0.at((c + k) * to.1 + r), v);
                    }
                }
            }
            for r in 0..rows {
                for c in if r < whole_rows { whole_cols } else { 0 }..cols {
                    to.0.set(c * to.1 + r, from.0.get(r * from.1 + c));
                }
            }
        }
    }
}
