//! The passes of Fourier transforms, written once for the vectors of every instruction set. Each lane of a vector
//! transforms its own column of numbers, so the bits of the results do not depend on the number of lanes.

use super::butterflies::{Butterfly, Radix, RealLanes, product};
use super::plan::{Column, FftFloat, FftPass};
use crate::cpu::matmul::lanes::{ALL_ROWS, MOST_DEPTH};
use crate::cpu::operands::SharedTarget;

/// Rows of complex numbers in memory: the address of their real parts, the address of their imaginary parts, and the
/// distance from the start of a row to the start of the next, in elements.
///
/// The unsafe functions of this file have two conditions, which their docs cite by name. *Features*: the CPU has the
/// instruction set of the vector type, and the function is inlined into one that enables it. *Inside*: all elements
/// that the function reads or writes are in live memory; nobody writes the elements that it reads, and nobody else uses
/// the elements that it writes.
#[derive(Clone, Copy)]
pub(super) struct Planes<T> {
    pub re: SharedTarget<T>,
    pub im: SharedTarget<T>,
    pub step: usize,
}

impl<T> Planes<T> {
    /// Returns the planes that begin at element `first` of these planes, with the same `step`.
    #[inline(always)]
    pub(super) fn from(self, first: usize) -> Planes<T> {
        Planes { re: SharedTarget(self.re.at(first)), im: SharedTarget(self.im.at(first)), step: self.step }
    }

    /// Exchanges the real and the imaginary parts if `exchange` is true.
    #[inline(always)]
    pub(super) fn exchanged(self, exchange: bool) -> Planes<T> {
        if exchange { Planes { re: self.im, im: self.re, step: self.step } } else { self }
    }
}

/// What the last pass of a transform does with its results before storing them.
#[derive(Clone, Copy)]
pub(super) enum Last<T> {
    Keep,
    Scale(T),
    /// Multiplies row k of the results by row k of these roots, lane by lane.
    Roots(Planes<T>),
}

/// Runs a pass over as many columns as a vector has lanes. A butterfly reads rows that are `count · stride` rows apart,
/// and writes rows that are `stride` rows apart. The last pass applies `last` to the results, and every other pass
/// multiplies them by the pass's roots. `IS_LAST` is a const parameter, because one function for both cases takes 1.2
/// times as long.
///
/// # Safety
/// The CPU has the instruction set of `S`, and this function is inlined into one that enables it (*features*). One
/// vector in each row of all planes is in live memory and accessed without data races (*inside*). See [`Planes`] for
/// both.
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
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*), and that the rows are in live
    // memory (*inside*, see [`Planes`]): row numbers are below `R · count · stride`. `pass.roots` has `R − 1` roots for
    // each group.
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

/// Runs a pass of a transform, of any radix (number of inputs of a butterfly).
///
/// # Safety
/// The CPU has the instruction set of `S`, and this function is inlined into one that enables it (*features*). One
/// vector in each row of all planes is in live memory and accessed without data races (*inside*). See [`Planes`] for
/// both.
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

/// Transforms as many columns as a vector has lanes. The passes write their intermediate results to the two elements of
/// `scratch` in turn. Each of these must have `column.length` rows.
///
/// # Safety
/// The CPU has the instruction set of `S`, and this function is inlined into one that enables it (*features*). One
/// vector in each row of all planes is in live memory and accessed without data races (*inside*). See [`Planes`] for
/// both.
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

/// Copies the first `lanes` elements of each of the first `rows` rows.
///
/// # Safety
/// The first `lanes` elements of these rows are in live memory and accessed without data races (*inside*, see
/// [`Planes`]).
#[inline(always)]
pub(super) unsafe fn copy<T: FftFloat>(from: Planes<T>, to: Planes<T>, rows: usize, lanes: usize) {
    for row in 0..rows {
        for lane in 0..lanes {
            // SAFETY: the caller ensures that the elements are in live memory (*inside*).
            unsafe {
                to.re.set(row * to.step + lane, from.re.get(row * from.step + lane));
                to.im.set(row * to.step + lane, from.im.get(row * from.step + lane));
            }
        }
    }
}

/// Transposes the first `cols` elements of the first `rows` rows: element `c` of row `r` becomes element `r` of row
/// `c`.
///
/// # Safety
/// The CPU has the instruction set of `S`, and this function is inlined into one that enables it (*features*). These
/// elements are in live memory and accessed without data races (*inside*). See [`Planes`] for both.
#[inline(always)]
pub(super) unsafe fn transpose<S: RealLanes>(
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    rows: usize,
    cols: usize,
) {
    let (whole_rows, whole_cols) = (rows / S::WIDTH * S::WIDTH, cols / S::DEPTH * S::DEPTH);
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*). All elements that are accessed are
    // in `rows` rows of `cols` elements, which the caller ensures to be in live memory (*inside*).
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
