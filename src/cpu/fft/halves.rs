//! The step of a transform of real numbers that combines number k of a complex transform with number h − k, where h is
//! the length of that transform. The complex numbers that are transformed have the real numbers with even indices as
//! their real parts, and those with odd indices as their imaginary parts.
//!
//! With A and B for the numbers k and h − k, the sums S = A + conj(B), the differences D = A − conj(B) and the roots
//! w = exp(−πi·k/h), a forward transform computes T = −i·w·D, an inverse one T = i·conj(w)·D, and both store S + T as
//! number k and conj(S − T) as number h − k.
//!
//! The unsafe functions have the conditions *features* and *inside*, which are defined at [`Planes`].

use super::butterflies::RealLanes;
use super::passes::Planes;
use super::plan::{FftFloat, HalfRoots, VECTOR};

/// The step for all rows of a call.
pub(super) struct Halves<'a, T> {
    pub roots: &'a HalfRoots<T>,
    /// Whether the transform is inverse. The step then comes before the complex transform, and otherwise after it.
    pub is_inverse: bool,
    /// The factor of the numbers A and B.
    pub factor: T,
    /// The factor of numbers 0 and h of the result of a forward transform, or of number 0 of an inverse one.
    pub factor_of_ends: T,
}

/// A number in each lane: the real parts and the imaginary parts.
type Numbers<S> = [<S as crate::cpu::matmul::lanes::Register>::Vector; 2];

/// Computes numbers k and h − k of the result in each lane, from the same numbers of the operand, the cosine and the
/// sine of π·k/h (with the cosine negated for an inverse transform), and the factor. The operands are multiplied before
/// they are added, so that no sum overflows whose result is finite.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Planes`]).
#[inline(always)]
unsafe fn pair<S: RealLanes>(a: Numbers<S>, b: Numbers<S>, [c, s]: Numbers<S>, factor: S::Vector) -> [Numbers<S>; 2] {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        let a = [S::multiply(a[0], factor), S::multiply(a[1], factor)];
        let b = [S::multiply(b[0], factor), S::multiply(b[1], factor)];
        let sum = [S::add(a[0], b[0]), S::subtract(a[1], b[1])];
        let difference = [S::subtract(a[0], b[0]), S::add(a[1], b[1])];
        let t = S::subtract(S::multiply(c, difference[1]), S::multiply(s, difference[0]));
        let minus = S::add(S::multiply(c, difference[0]), S::multiply(s, difference[1]));
        [
            [S::add(sum[0], t), S::subtract(sum[1], minus)],
            [S::subtract(sum[0], t), S::subtract(S::subtract(S::zero(), minus), sum[1])],
        ]
    }
}

/// Computes numbers 0 and h of the result of one row from those of the operand. A forward transform has both from
/// number 0, and an inverse one has number 0 from the real parts of both.
///
/// # Safety
/// The numbers are in live memory and accessed without data races (*inside*, see [`Planes`]).
#[inline(always)]
unsafe fn ends<S: RealLanes>(halves: &Halves<'_, S::Element>, half: usize, [from, to]: [Planes<S::Element>; 2]) {
    let factor = halves.factor_of_ends;
    // SAFETY: the caller ensures that the numbers are in live memory (*inside*). A forward transform has number h of
    // the result, and an inverse one number h of the operand.
    unsafe {
        let a = from.re.get(0);
        let b = if halves.is_inverse { from.re.get(half * from.step) } else { from.im.get(0) };
        let [sum, difference] = [a.plus(b).times(factor), a.minus(b).times(factor)];
        to.re.set(0, sum);
        if halves.is_inverse {
            to.im.set(0, difference);
        } else {
            to.im.set(0, S::Element::default());
            to.re.set(half * to.step, difference);
            to.im.set(half * to.step, S::Element::default());
        }
    }
}

impl<T: FftFloat> Halves<'_, T> {
    /// Returns the cosines and the sines of a group, with the cosines negated for an inverse transform.
    #[inline(always)]
    fn group(&self, group: usize) -> [[T; VECTOR]; 2] {
        let mut roots = self.roots.group(group);
        if self.is_inverse {
            for c in &mut roots[0] {
                *c = T::default().minus(*c);
            }
        }
        roots
    }
}

/// Returns the number of groups of pairs of numbers that the step computes for a row.
pub(super) fn groups(half: usize) -> usize {
    (half / 2).div_ceil(VECTOR)
}

/// The rows for which [`combine`] computes the step.
#[derive(Clone, Copy)]
pub(super) enum Combined {
    /// A range of groups of pairs of a contiguous row.
    Groups([usize; 2]),
    /// This number of rows, whose elements alternate in memory.
    Alternating(usize),
}

/// Computes the step. `from` and `to` may be the same.
///
/// # Safety
/// The conditions of [`combine_row`] for [`Combined::Groups`], and of [`combine_columns`] for [`Combined::Alternating`].
#[inline(always)]
pub(super) unsafe fn combine<S: RealLanes>(
    halves: &Halves<'_, S::Element>,
    half: usize,
    planes: [Planes<S::Element>; 2],
    rows: Combined,
) {
    // SAFETY: the caller ensures the conditions of the function that is called.
    unsafe {
        match rows {
            Combined::Groups(range) => combine_row::<S>(halves, half, planes, range),
            Combined::Alternating(lanes) => combine_columns::<S>(halves, half, lanes, planes),
        }
    }
}

/// Computes the step for a contiguous row, for groups `first..end` of its pairs of numbers. The first group includes
/// the ends of the row: numbers 0 and h. `from` and `to` may be the same.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The row has h numbers, and h + 1 in the operand of an inverse
/// transform and in the result of a forward one. It is in live memory, and the numbers of these groups are accessed
/// without data races (*inside*). See [`Planes`] for both.
#[inline(always)]
unsafe fn combine_row<S: RealLanes>(
    halves: &Halves<'_, S::Element>,
    half: usize,
    planes: [Planes<S::Element>; 2],
    [first, end]: [usize; 2],
) {
    let [from, to] = planes;
    let zeros = [S::Element::default(); VECTOR];
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*). The numbers k and h − k, for k from
    // 1 to h/2, are in the row (*inside*), and `count` is the number of pairs of a group. Arrays have VECTOR elements,
    // and the number of lanes of a vector divides VECTOR.
    unsafe {
        if first == 0 {
            ends::<S>(halves, half, [from, to]);
        }
        let factor = S::splat(halves.factor);
        for group in first..end {
            let k = 1 + group * VECTOR;
            let count = VECTOR.min(half / 2 + 1 - k);
            let roots = halves.group(group);
            let (mut low, mut high) = ([zeros; 2], [zeros; 2]);
            for (part, plane) in [from.re, from.im].into_iter().enumerate() {
                if count == VECTOR {
                    low[part] = plane.at(k).cast::<[S::Element; VECTOR]>().read();
                    high[part] = plane.at(half + 1 - k - VECTOR).cast::<[S::Element; VECTOR]>().read();
                    high[part].reverse();
                } else {
                    for j in 0..count {
                        (low[part][j], high[part][j]) = (plane.get(k + j), plane.get(half - k - j));
                    }
                }
            }
            for at in (0..VECTOR).step_by(S::WIDTH) {
                let a = [S::load(low[0].as_ptr().add(at)), S::load(low[1].as_ptr().add(at))];
                let b = [S::load(high[0].as_ptr().add(at)), S::load(high[1].as_ptr().add(at))];
                let roots = [S::load(roots[0].as_ptr().add(at)), S::load(roots[1].as_ptr().add(at))];
                let [x, y] = pair::<S>(a, b, roots, factor);
                for part in 0..2 {
                    S::store(low[part].as_mut_ptr().add(at), x[part]);
                    S::store(high[part].as_mut_ptr().add(at), y[part]);
                }
            }
            for (part, plane) in [to.re, to.im].into_iter().enumerate() {
                if count == VECTOR {
                    high[part].reverse();
                    plane.at(k).cast::<[S::Element; VECTOR]>().write(low[part]);
                    plane.at(half + 1 - k - VECTOR).cast::<[S::Element; VECTOR]>().write(high[part]);
                } else {
                    for j in 0..count {
                        plane.set(k + j, low[part][j]);
                        plane.set(half - k - j, high[part][j]);
                    }
                }
            }
        }
    }
}

/// Loads a number in each lane that the mask selects, or in all lanes. This is a function, and the loops of this file
/// have no closures, because a closure is compiled without the instruction set.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The elements of these lanes are in live memory and accessed
/// without data races (*inside*). See [`Planes`] for both.
#[inline(always)]
unsafe fn load<S: RealLanes>(from: Planes<S::Element>, mask: Option<S::Mask>) -> Numbers<S> {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*), and that the elements are in live
    // memory (*inside*).
    unsafe {
        match mask {
            None => [S::load(from.re.at(0)), S::load(from.im.at(0))],
            Some(mask) => [S::load_masked(from.re.at(0), mask), S::load_masked(from.im.at(0), mask)],
        }
    }
}

/// Stores the number in each lane that the mask selects, or in all lanes.
///
/// # Safety
/// The conditions of [`load`].
#[inline(always)]
unsafe fn store<S: RealLanes>(to: Planes<S::Element>, mask: Option<S::Mask>, x: Numbers<S>) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*), and that the elements are in live
    // memory (*inside*).
    unsafe {
        match mask {
            None => {
                S::store(to.re.at(0), x[0]);
                S::store(to.im.at(0), x[1]);
            }
            Some(mask) => {
                S::store_masked(to.re.at(0), mask, x[0]);
                S::store_masked(to.im.at(0), mask, x[1]);
            }
        }
    }
}

/// Computes the step for `lanes` rows whose elements alternate in memory, one row in each lane. `from` and `to` may be
/// the same.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The first `lanes` elements of each row of the planes are in
/// live memory and accessed without data races (*inside*). See [`Planes`] for both.
#[inline(always)]
unsafe fn combine_columns<S: RealLanes>(
    halves: &Halves<'_, S::Element>,
    half: usize,
    lanes: usize,
    [from, to]: [Planes<S::Element>; 2],
) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*). The rows k and h − k of the planes,
    // for k from 1 to h/2, exist, and only their first `lanes` elements are accessed (*inside*).
    unsafe {
        for lane in 0..lanes {
            ends::<S>(halves, half, [from.from(lane), to.from(lane)]);
        }
        let factor = S::splat(halves.factor);
        let mask = if lanes == S::WIDTH { None } else { Some(S::mask(lanes)) };
        for group in 0..groups(half) {
            let [cosines, sines] = halves.group(group);
            let first = 1 + group * VECTOR;
            for k in first..(first + VECTOR).min(half / 2 + 1) {
                let roots = [S::splat(cosines[k - first]), S::splat(sines[k - first])];
                let [low, high] = [from.from(k * from.step), from.from((half - k) * from.step)];
                let [x, y] = pair::<S>(load::<S>(low, mask), load::<S>(high, mask), roots, factor);
                store::<S>(to.from(k * to.step), mask, x);
                store::<S>(to.from((half - k) * to.step), mask, y);
            }
        }
    }
}
