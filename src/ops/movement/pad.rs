//! `pad`: adds elements around an array.

use super::parts::{AxisRun, MOST_PARTS, assembled, joined, tiled, whole};
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Loc};
use crate::base::layout::{self, Shape};
use crate::graph::expr::{Expr, result_of};
use std::panic::Location;

/// The elements that [`Expr::pad`] adds around an array.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Pad {
    /// The same number everywhere: see [`Pad::constant`].
    Constant(Scalar),
    /// The element at the edge: `a a | a b c | c c`.
    Edge,
    /// The array mirrored at its edge elements, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The array mirrored beside its edge elements: `b a | a b c | c b`.
    Symmetric,
    /// The array repeated periodically: `b c | a b c | a b`.
    Wrap,
}

impl Pad {
    /// Returns the padding with the same number everywhere. [`Expr::pad`] converts the number to the array's dtype. Its
    /// result carries an error if the dtype cannot hold the number.
    pub fn constant<T: Element>(value: T) -> Pad {
        Pad::Constant(value.scalar())
    }
}

mod sealed {
    pub trait Widths {}
}

/// A type that specifies how many elements [`Expr::pad`] adds before and after the array along its axes: a number for
/// both ends of all axes, a pair `(before, after)` for all axes, or an array, slice or `Vec` of pairs, one for each
/// axis.
pub trait IntoPadWidths: sealed::Widths {
    /// Returns the pair `(before, after)` for each axis, or a single pair for all axes.
    #[doc(hidden)]
    fn into_widths(self) -> Vec<(usize, usize)>;
}
macro_rules! widths {
    ($($t:ty, [$($generic:tt)*]: |$w:ident| $e:expr;)*) => { $(
        impl<$($generic)*> sealed::Widths for $t {}
        impl<$($generic)*> IntoPadWidths for $t {
            fn into_widths(self) -> Vec<(usize, usize)> {
                let $w = self;
                $e
            }
        }
    )* };
}
widths! {
    usize, []: |n| vec![(n, n)];
    // a negative number becomes a width that is too large for every array, and so is rejected later
    i32, []: |n| vec![usize::try_from(n).map_or((usize::MAX, usize::MAX), |n| (n, n))];
    (usize, usize), []: |pair| vec![pair];
    [(usize, usize); N], [const N: usize]: |all| all.to_vec();
    &[(usize, usize); N], [const N: usize]: |all| all.to_vec();
    &[(usize, usize)], []: |all| all.to_vec();
    Vec<(usize, usize)>, []: |all| all;
}

/// # Padding
impl Expr {
    /// Returns the array with elements added around it. `widths` gives the numbers of elements `(before, after)` for
    /// each axis. The axes are padded one after another, so the corners are computed from elements that are padding
    /// themselves.
    ///
    /// Each part of the result is a strided copy, written once. If a width exceeds the length of the axis,
    /// [`Pad::Reflect`], [`Pad::Symmetric`] and [`Pad::Wrap`] repeat their pattern. An axis without elements accepts
    /// only [`Pad::Constant`]. A number that the dtype cannot hold is an [`ErrorKind::Argument`] error.
    ///
    /// ```
    /// use cupric::{Pad, array};
    /// let x = array![1, 2, 3];
    /// assert_eq!(x.pad(1, Pad::constant(0)).to_vec::<i32>()?, [0, 1, 2, 3, 0]);
    /// assert_eq!(x.pad((0, 2), Pad::Edge).to_vec::<i32>()?, [1, 2, 3, 3, 3]);
    /// assert_eq!(x.pad(2, Pad::Reflect).to_vec::<i32>()?, [3, 2, 1, 2, 3, 2, 1]);
    /// assert_eq!(x.pad([(2, 0)], Pad::Wrap).to_vec::<i32>()?, [2, 3, 1, 2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn pad(&self, widths: impl IntoPadWidths, with: Pad) -> Expr {
        const OP: &str = "pad";
        let (at, widths) = (Location::caller(), widths.into_widths());
        result_of(OP, at, || {
            let e = whole(self, at)?;
            let (ndim, dtype) = (e.0.shape.len(), e.0.dtype);
            if widths.len() != ndim && widths.len() != 1 {
                let detail = format!("{} pairs of widths for {ndim} axes", widths.len());
                return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
            }
            let widths: Vec<(usize, usize)> = (0..ndim).map(|d| widths[d.min(widths.len() - 1)]).collect();
            let mut shape = e.0.shape.clone();
            for (n, (before, after)) in shape.iter_mut().zip(&widths) {
                *n = n.saturating_add(*before).saturating_add(*after);
            }
            layout::size_of_shape(&shape).map_err(|f| f.at(OP, at))?;
            match with {
                Pad::Constant(s) => fits(s, dtype, at)?,
                Pad::Edge | Pad::Reflect | Pad::Symmetric | Pad::Wrap => {
                    if let Some(axis) = (0..ndim).find(|d| e.0.shape[*d] == 0 && widths[*d] != (0, 0)) {
                        let detail = format!("axis {axis} has length 0; only a constant can pad it");
                        return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
                    }
                }
            }
            Ok(padded(&e, 0, &widths, with, &shape, at))
        })
    }
}

/// Pads an expression with a number, by a pair of widths for each axis. The dtype must be able to hold the number.
pub(crate) fn pad_constant(op: &'static str, e: &Expr, widths: &[(usize, usize)], with: Scalar, at: Loc) -> Expr {
    result_of(op, at, || {
        let mut shape = e.checked()?.shape.clone();
        for (n, (before, after)) in shape.iter_mut().zip(widths) {
            *n = n.saturating_add(*before).saturating_add(*after);
        }
        layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
        Ok(padded(e, 0, widths, Pad::Constant(with), &shape, at))
    })
}

/// Returns an error if the dtype cannot hold the number.
fn fits(s: Scalar, dtype: DType, at: Loc) -> crate::Result<()> {
    match s.promote_with(dtype) {
        Some(d) if d == dtype => Ok(()),
        _ => Err(Error::with_line(ErrorKind::Argument, "pad", format!("{s} does not fit dtype {dtype}"), at)),
    }
}

/// Pads the axes from `axis` on. `shape` is the shape of the whole result.
fn padded(e: &Expr, axis: usize, widths: &[(usize, usize)], with: Pad, shape: &[usize], at: Loc) -> Expr {
    const OP: &str = "pad";
    let Some((before, after)) = widths.get(axis).copied() else { return e.clone() };
    if e.error().is_some() {
        return e.clone();
    }
    let inner = |part: &Expr| padded(part, axis + 1, widths, with, shape, at);
    if (before, after) == (0, 0) {
        return inner(e);
    }
    let n = e.0.shape[axis];
    if let Pad::Constant(s) = with {
        let border = |length: usize| {
            // the axes before this one keep the lengths of `e`, because the outer calls pad them later
            let mut own: Shape = e.0.shape[..axis].into();
            own.push(length);
            own.extend(shape[axis + 1..].iter().copied());
            Expr::fill_on(e.0.device, s, own, e.0.dtype, at)
        };
        return joined(OP, vec![border(before), inner(e), border(after)], axis, at);
    }
    // The padding repeats the axis in cells of `cell` elements. In a mirror, every second cell is reversed.
    let (cell, is_mirror) = match with {
        Pad::Reflect if n > 1 => (n - 1, true),
        Pad::Symmetric => (n, true),
        Pad::Wrap => (n, false),
        Pad::Edge | Pad::Reflect | Pad::Constant(_) => {
            let edge = |start, len| AxisRun { start, step: 0, len, each: 1 };
            let runs = [edge(0, before), AxisRun::forward(0, n), edge(n - 1, after)];
            return assembled(OP, e, axis, &runs, at, &inner);
        }
    };
    if (before + after) / cell >= MOST_PARTS {
        return periodic(&inner(e), axis, (cell, is_mirror), before, before + n + after, at);
    }
    let around = |from, to| around(n, from, to, (cell as isize, is_mirror));
    let mut runs = around(-(before as isize), 0);
    runs.push(AxisRun::forward(0, n));
    runs.extend(around(n as isize, (n + after) as isize));
    assembled(OP, e, axis, &runs, at, &inner)
}

/// Pads an axis with many repetitions of its elements. Builds one period, and then repeats it. A period has `cell`
/// elements in order; if `is_mirror` is true, `cell` elements in reverse order follow. The result has `total` elements
/// along the axis, and the first `before` of them are padding.
fn periodic(e: &Expr, axis: usize, (cell, is_mirror): (usize, bool), before: usize, total: usize, at: Loc) -> Expr {
    const OP: &str = "pad";
    if e.error().is_some() {
        return e.clone();
    }
    let backward = AxisRun { start: e.0.shape[axis] - 1, step: -1, len: if is_mirror { cell } else { 0 }, each: 1 };
    let one = assembled(OP, e, axis, &[AxisRun::forward(0, cell), backward], at, &Expr::clone);
    let period = cell + backward.len;
    let part = |from, to| assembled(OP, &one, axis, &[AxisRun::forward(from, to)], at, &Expr::clone);
    // `phase` is the offset of the result's first element in its period, and `lead` the number of elements before the
    // next period
    let phase = before.next_multiple_of(period) - before;
    let lead = mutant!(a_period_starts_with_its_axis, 0, (period - phase) % period);
    let rest = total - lead;
    let parts = vec![part(period - lead, period), tiled(OP, &one, axis, rest / period, at), part(0, rest % period)];
    joined(OP, parts, axis, at)
}

/// Returns the sequences of elements ([`AxisRun`]) of an axis of `n` elements that fill the padding at positions
/// `from..to`. These positions are all before the axis or all after it. The padding repeats the axis in cells of `cell`
/// elements. In a mirror, every second cell is reversed.
fn around(n: usize, from: isize, to: isize, (cell, is_mirror): (isize, bool)) -> Vec<AxisRun> {
    let mut runs = vec![];
    let mut at = from;
    while at < to {
        let (number, place) = (at.div_euclid(cell), at.rem_euclid(cell));
        let len = (cell - place).min(to - at);
        let is_backward = is_mirror && number.rem_euclid(2) == 1;
        let start = if is_backward { n as isize - 1 - place } else { place } as usize;
        runs.push(AxisRun { start, step: if is_backward { -1 } else { 1 }, len: len as usize, each: 1 });
        at += len;
    }
    runs
}
