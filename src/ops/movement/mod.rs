//! Functions that move elements and compute nothing. The result is a view if strides can express it. Otherwise the
//! result is copied part by part: each part is a strided view, and is written once to its position.

mod edit;
mod joins;
mod pad;
mod parts;

pub use edit::IntoPositions;
pub use joins::{Blocks, block, broadcast_arrays, broadcast_shapes, column_stack, dstack, hstack, vstack};
pub(crate) use pad::pad_constant;
pub use pad::{IntoPadWidths, Pad};

use crate::base::error::{Error, ErrorKind, Fault, Loc, Result, listed, room};
use crate::base::layout::{self, AxesArg, Given, Integer, Integers, IntoAxes, IntoShape, Shape, View};
use crate::graph::expr::{Expr, reshape, result_of, view};
use parts::{AxisRun, along, assembled, repeated, whole};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// Returns the axes that a caller names, counted from the front, in the caller's order. For `..` it returns an error.
fn in_order(op: &'static str, axes: &AxesArg, ndim: usize, at: Loc) -> Result<SmallVec<[usize; 6]>> {
    let Some(given) = &axes.axes else {
        let detail = "`..` is not allowed here; pass the numbers of the axes";
        return Err(Error::with_line(ErrorKind::Axis, op, detail, at));
    };
    axes.resolve(ndim).map_err(|f| f.at(op, at))?;
    Ok(given.iter().filter_map(|a| layout::normalize_axis(*a, ndim).ok()).collect())
}

/// # Order, repetition and splitting
impl Expr {
    /// Returns a view with axes moved to other positions. `source` and `destination` are single axes, or lists of axes
    /// of the same length. The other axes keep their order.
    ///
    /// ```
    /// let x = cupric::zeros([2, 3, 4], cupric::DType::F32);
    /// assert_eq!(x.moveaxis(0, -1).shape()?, [3, 4, 2]);
    /// assert_eq!(x.moveaxis([0, 1], [2, 0]).shape()?, [3, 4, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "movedim")]
    #[doc(alias = "rollaxis")]
    #[track_caller]
    pub fn moveaxis(&self, source: impl IntoAxes, destination: impl IntoAxes) -> Expr {
        const OP: &str = "moveaxis";
        let at = Location::caller();
        let (source, destination) = (source.into_axes(), destination.into_axes());
        result_of(OP, at, || {
            let n = self.checked()?.shape.len();
            let (from, to) = (in_order(OP, &source, n, at)?, in_order(OP, &destination, n, at)?);
            if from.len() != to.len() {
                let detail = format!("{} axes cannot move to {} positions", from.len(), to.len());
                return Err(Error::with_line(ErrorKind::Axis, OP, detail, at));
            }
            let mut others = (0..n).filter(|d| !from.contains(d));
            let order: SmallVec<[isize; 6]> = (0..n)
                .filter_map(|place| match to.iter().position(|t| *t == place) {
                    Some(k) => Some(from[k] as isize),
                    None => others.next().map(|d| d as isize),
                })
                .collect();
            Ok(view(OP, self, at, |shape| View::permute(shape, &order)))
        })
    }

    /// Returns a view with two axes exchanged.
    ///
    /// ```
    /// let x = cupric::zeros([2, 3, 4], cupric::DType::F32);
    /// assert_eq!(x.swapaxes(0, -1).shape()?, [4, 3, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "swapdims")]
    #[doc(alias = "swap_axes")]
    #[track_caller]
    pub fn swapaxes(&self, axis1: impl Integer, axis2: impl Integer) -> Expr {
        view("swapaxes", self, Location::caller(), |shape| {
            let (a, b) = (
                layout::normalize_axis(axis1.saturated(), shape.len())?,
                layout::normalize_axis(axis2.saturated(), shape.len())?,
            );
            let mut order: SmallVec<[isize; 6]> = (0..shape.len() as isize).collect();
            order.swap(a, b);
            View::permute(shape, &order)
        })
    }

    /// Returns the elements in C order as an array of one axis. The result is a view if strides can express this order.
    ///
    /// ```
    /// assert_eq!(cupric::array![[1, 2], [3, 4]].t().ravel().to_vec::<i32>()?, [1, 3, 2, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn ravel(&self) -> Expr {
        reshape("ravel", self, &[-1], Location::caller())
    }

    /// Rotates the array by `k` quarter turns from the first of two axes towards the second, as a view. As in NumPy, a
    /// matrix is rotated counterclockwise by `x.rot90(1, (0, 1))`.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2], [3, 4]];
    /// assert_eq!(x.rot90(1, (0, 1)).to_vec::<i32>()?, [2, 4, 1, 3]);
    /// assert_eq!(x.rot90(-1, (0, 1)).to_vec::<i32>()?, [3, 1, 4, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn rot90(&self, k: isize, axes: impl IntoAxes) -> Expr {
        const OP: &str = "rot90";
        let (at, axes) = (Location::caller(), axes.into_axes());
        result_of(OP, at, || {
            let n = self.checked()?.shape.len();
            let [a, b] = in_order(OP, &axes, n, at)?[..] else {
                return Err(Error::with_line(ErrorKind::Axis, OP, "two axes are needed", at));
            };
            let quarters = k.rem_euclid(4);
            Ok(view(OP, self, at, |shape| {
                let mut order: SmallVec<[isize; 6]> = (0..n as isize).collect();
                if quarters % 2 == 1 {
                    order.swap(a, b);
                }
                let turned = View::permute(shape, &order)?;
                let flipped: &[usize] = match quarters {
                    0 => &[],
                    1 => &[a],
                    2 => &[a, b],
                    _ => &[b],
                };
                Ok(View::flip(&turned.shape.clone(), flipped).after(&turned))
            }))
        })
    }

    /// Returns a view with at least one axis: a 0-d array gets the shape `[1]`.
    ///
    /// ```
    /// assert_eq!(cupric::array![5, 6].sum(..).atleast_1d().shape()?, [1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn atleast_1d(&self) -> Expr {
        at_least("atleast_1d", self, 1, Location::caller())
    }

    /// Returns a view with at least two axes: the shape `[n]` becomes `[1, n]`.
    ///
    /// ```
    /// assert_eq!(cupric::array![5, 6].atleast_2d().shape()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn atleast_2d(&self) -> Expr {
        at_least("atleast_2d", self, 2, Location::caller())
    }

    /// Returns a view with at least three axes: the shape `[n]` becomes `[1, n, 1]`, and `[m, n]` becomes `[m, n, 1]`.
    ///
    /// ```
    /// assert_eq!(cupric::array![5, 6].atleast_3d().shape()?, [1, 2, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn atleast_3d(&self) -> Expr {
        at_least("atleast_3d", self, 3, Location::caller())
    }

    /// Shifts the elements by `shift` positions along an axis. Elements that leave at one end come in at the other.
    /// With several axes there is a shift for each, or one for all; the shifts of a repeated axis add up. With `..` the
    /// elements are shifted in C order (NumPy's `axis=None`), by the sum of the shifts.
    ///
    /// A roll along one axis exchanges two parts of the array. Evaluated alone, it copies the two parts in one pass. An
    /// elementwise formula of rolled arrays reads the parts from the original memory, in one kernel if there are at
    /// most nine. So the neighbours of all cells of a grid (NumPy's idiom for stencils) need no copies.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!((x.roll(1, 0) + &x).plan()?.kernels(), 1);
    /// assert_eq!(x.roll(1, 1).to_vec::<i32>()?, [3, 1, 2, 6, 4, 5]);
    /// assert_eq!(x.roll([1, -1], (0, 1)).to_vec::<i32>()?, [5, 6, 4, 2, 3, 1]);
    /// assert_eq!(x.roll(2, ..).to_vec::<i32>()?, [5, 6, 1, 2, 3, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn roll(&self, shift: impl IntoShape, axes: impl IntoAxes) -> Expr {
        const OP: &str = "roll";
        let (at, shifts, axes) = (Location::caller(), shift.into_shape(), axes.into_axes());
        result_of(OP, at, || {
            let e = whole(self, at)?;
            let shape: SmallVec<[isize; 6]> = e.0.shape.iter().map(|n| *n as isize).collect();
            let Some(named) = &axes.axes else {
                let flat = reshape(OP, &e, &[-1], at);
                let n = layout::product(&e.0.shape);
                let moved = shifts.iter().fold(0, |sum, s| shifted(sum, *s, n));
                return Ok(reshape(OP, &rolled(OP, &flat, &[(0, moved)], at), &shape, at));
            };
            let pairs = named.len().max(shifts.len());
            if [named.len(), shifts.len()].iter().any(|n| *n != pairs && *n != 1) {
                let detail = format!("{} shifts for {} axes", shifts.len(), named.len());
                return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
            }
            let mut moves: Vec<(usize, usize)> = (0..shape.len()).map(|d| (d, 0)).collect();
            for k in 0..pairs {
                let axis = named[k.min(named.len() - 1)];
                let axis = layout::normalize_axis(axis, shape.len()).map_err(|f| f.at(OP, at))?;
                moves[axis].1 = shifted(moves[axis].1, shifts[k.min(shifts.len() - 1)], e.0.shape[axis]);
            }
            Ok(rolled(OP, &e, &moves, at))
        })
    }

    /// Repeats each element along an axis. `counts` is one count for all elements, or a list with a count for each
    /// element. With `..` the array is flattened in C order first (NumPy's `axis=None`). The counts are Rust integers
    /// and not an array, because the result's shape depends on them.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2], [3, 4]];
    /// assert_eq!(x.repeat(2, 1).to_vec::<i32>()?, [1, 1, 2, 2, 3, 3, 4, 4]);
    /// assert_eq!(x.repeat([0, 2], 0).to_vec::<i32>()?, [3, 4, 3, 4]);
    /// assert_eq!(x.repeat(2, ..).to_vec::<i32>()?, [1, 1, 2, 2, 3, 3, 4, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "repeat_interleave")]
    #[track_caller]
    pub fn repeat(&self, counts: impl IntoShape, axis: impl IntoAxes) -> Expr {
        const OP: &str = "repeat";
        let (at, counts, axis) = (Location::caller(), counts.into_shape(), axis.into_axes());
        result_of(OP, at, || {
            let (e, axis) = along(OP, self, &axis, at)?;
            let n = e.checked()?.shape[axis];
            if let Some(count) = counts.iter().find(|c| **c < 0) {
                return Err(Error::with_line(ErrorKind::Argument, OP, format!("a count of {count} is negative"), at));
            }
            if counts.len() != 1 && counts.len() != n {
                let detail = format!("{} counts for {n} elements along axis {axis}", counts.len());
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            }
            if let [count] = counts[..] {
                return Ok(repeated(OP, &e, axis, count as usize, at));
            }
            let total = counts.iter().try_fold(0isize, |sum, c| sum.checked_add(*c));
            let mut shape = e.0.shape.clone();
            shape[axis] = total.unwrap_or(isize::MAX) as usize;
            layout::size_of_shape(&shape).map_err(|f| f.at(OP, at))?;
            // neighbouring elements with the same count form one run
            let mut runs: Vec<AxisRun> = vec![];
            for (i, count) in counts.iter().enumerate() {
                match runs.last_mut() {
                    Some(run) if run.each == *count as usize => run.len += 1,
                    _ => runs.push(AxisRun { each: *count as usize, ..AxisRun::forward(i, i + 1) }),
                }
            }
            Ok(assembled(OP, &e, axis, &runs, at, &Expr::clone))
        })
    }

    /// Repeats the array along its last axes, with one count for each of these axes; other axes are not repeated. If
    /// there are more counts than axes, new axes are added in front.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1, 2];
    /// assert_eq!(x.tile(2).to_vec::<i32>()?, [1, 2, 1, 2]);
    /// assert_eq!(x.tile([2, 1]).shape()?, [2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn tile(&self, counts: impl IntoShape) -> Expr {
        const OP: &str = "tile";
        let (at, counts) = (Location::caller(), counts.into_shape());
        result_of(OP, at, || {
            let e = whole(self, at)?;
            if let Some(count) = counts.iter().find(|c| **c < 0) {
                return Err(Error::with_line(ErrorKind::Argument, OP, format!("a count of {count} is negative"), at));
            }
            let ndim = counts.len().max(e.0.shape.len());
            let (lead, more) = (ndim - e.0.shape.len(), ndim - counts.len());
            // each axis is split into two, one for the copies and one for its elements; the reshape merges the two
            // again
            let (mut apart, mut out): (Shape, SmallVec<[isize; 6]>) = (smallvec![], smallvec![]);
            let mut places: SmallVec<[usize; 6]> = smallvec![];
            for d in 0..ndim {
                let count = if d < more { 1 } else { counts[d - more] as usize };
                let n = if d < lead { 1 } else { e.0.shape[d - lead] };
                if count != 1 {
                    apart.push(count);
                }
                if d >= lead {
                    places.push(apart.len());
                    apart.push(n);
                }
                let length = count.checked_mul(n).and_then(|n| isize::try_from(n).ok());
                out.push(length.unwrap_or(isize::MAX));
            }
            let lengths: Shape = out.iter().map(|n| *n as usize).collect();
            layout::size_of_shape(&lengths).map_err(|f| f.at(OP, at))?;
            let copies = view(OP, &e, at, |shape| {
                let ones: Shape = (0..apart.len()).map(|k| if places.contains(&k) { apart[k] } else { 1 }).collect();
                Ok(View::broadcast_to(&ones, &apart)?.after(&with_ones(shape, &ones)?))
            });
            Ok(reshape(OP, &copies, &out, at))
        })
    }

    /// Returns a view for each position along an axis, without that axis.
    ///
    /// # Errors
    /// Returns the error that the expression carries, [`ErrorKind::Axis`] if the axis does not exist, and
    /// [`ErrorKind::LimitExceeded`] for more than 2^24 parts.
    ///
    /// ```
    /// let rows = cupric::array![[1, 2], [3, 4]].unstack(0)?;
    /// assert_eq!(rows.len(), 2);
    /// assert_eq!(rows[1].to_vec::<i32>()?, [3, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "unbind")]
    #[track_caller]
    pub fn unstack(&self, axis: impl Integer) -> Result<Vec<Expr>> {
        let axis = axis.saturated();
        const OP: &str = "unstack";
        let at = Location::caller();
        let e = whole(self, at)?;
        let axis = layout::normalize_axis(axis, e.0.shape.len()).map_err(|f| f.at(OP, at))?;
        let one = |i: usize| {
            view(OP, &e, at, |shape| {
                let mut v = View::drop_axes(shape, &[axis]);
                v.offset[axis] = i as isize;
                Ok(v)
            })
        };
        let n = e.0.shape[axis];
        let mut parts = listed(n, "parts", OP, at)?;
        parts.extend((0..n).map(one));
        Ok(parts)
    }

    /// Splits an axis into parts, which are views. `sections` is a number of equal parts, or a list of the positions at
    /// which parts end and begin (`[2, 5]` returns `..2`, `2..5` and `5..`). As in a slice, positions out of range are
    /// clamped, and negative ones count from the end.
    ///
    /// # Errors
    /// Returns the error that the expression carries, [`ErrorKind::Axis`] if the axis does not exist,
    /// [`ErrorKind::Argument`] if the axis cannot be divided equally ([`Expr::array_split`] makes unequal parts), and
    /// [`ErrorKind::LimitExceeded`] for more than 2^24 parts.
    ///
    /// ```
    /// let x = cupric::array![1, 2, 3, 4, 5, 6];
    /// assert_eq!(x.split(3, 0)?[1].to_vec::<i32>()?, [3, 4]);
    /// assert_eq!(x.split([1, 4], 0)?[2].to_vec::<i32>()?, [5, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "chunk")]
    #[doc(alias = "hsplit")]
    #[doc(alias = "vsplit")]
    #[doc(alias = "dsplit")]
    #[track_caller]
    pub fn split(&self, sections: impl IntoSections, axis: impl Integer) -> Result<Vec<Expr>> {
        sections_of(("split", true), self, sections.into_sections(), axis.saturated(), Location::caller())
    }

    /// Splits an axis like [`Expr::split`], but the number of parts need not divide the axis's length. If it does not,
    /// the first parts have one element more than the others.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::split`], and [`ErrorKind::Argument`] for a number of parts below 1.
    ///
    /// ```
    /// let x = cupric::array![1, 2, 3, 4, 5];
    /// assert_eq!(x.array_split(2, 0)?[0].to_vec::<i32>()?, [1, 2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "tensor_split")]
    #[track_caller]
    pub fn array_split(&self, sections: impl IntoSections, axis: impl Integer) -> Result<Vec<Expr>> {
        sections_of(("array_split", false), self, sections.into_sections(), axis.saturated(), Location::caller())
    }
}

/// Inserts axes of length 1, so that there are at least `ndim` axes.
fn at_least(op: &str, e: &Expr, ndim: usize, at: Loc) -> Expr {
    view(op, e, at, |shape| {
        let to: Shape = match shape {
            [] => smallvec![1; ndim],
            [n] if ndim == 2 => smallvec![1, *n],
            [n] if ndim == 3 => smallvec![1, *n, 1],
            [m, n] if ndim == 3 => smallvec![*m, *n, 1],
            more => more.into(),
        };
        with_ones(shape, &to)
    })
}

/// Returns the view with the shape `to`, which differs from `shape` only by axes of length 1.
fn with_ones(shape: &[usize], to: &[usize]) -> std::result::Result<View, Fault> {
    let odd = || Fault::new(ErrorKind::Internal, format!("{to:?} is not {shape:?} with axes of length 1"));
    View::reshape(shape, to).ok_or_else(odd)
}

/// Adds two shifts of an axis of `n` elements, modulo `n`.
fn shifted(shift: usize, more: isize, n: usize) -> usize {
    match n {
        0 => 0,
        n => (shift + more.rem_euclid(n as isize) as usize) % n,
    }
}

/// Shifts elements along axes. `moves` has pairs of an axis and its shift, which is less than the length of the axis.
/// If k axes have a shift other than 0, the result joins 2^k parts.
pub(crate) fn rolled(op: &'static str, e: &Expr, moves: &[(usize, usize)], at: Loc) -> Expr {
    let Some(((axis, shift), rest)) = moves.split_first() else { return e.clone() };
    if e.error().is_some() || *shift == 0 {
        return rolled_rest(op, e, rest, at);
    }
    let n = e.0.shape[*axis];
    let runs = [AxisRun::forward(n - shift, n), AxisRun::forward(0, n - shift)];
    assembled(op, e, *axis, &runs, at, &|part| rolled(op, part, rest, at))
}

fn rolled_rest(op: &'static str, e: &Expr, rest: &[(usize, usize)], at: Loc) -> Expr {
    match e.error() {
        Some(_) => e.clone(),
        None => rolled(op, e, rest, at),
    }
}

/// How an axis is cut into parts.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Sections {
    /// A number of equal parts.
    Count(isize),
    /// The positions at which parts begin.
    At(Given),
}

/// A type that specifies how an axis is split: an integer is the number of parts, and a list of integers (see
/// [`Integers`]) has the positions at which the second and later parts begin.
pub trait IntoSections: Integers {
    #[doc(hidden)]
    fn into_sections(self) -> Sections;
}
impl<T: Integers> IntoSections for T {
    fn into_sections(self) -> Sections {
        match self.integers() {
            parts if T::IS_ONE => Sections::Count(parts.first().copied().unwrap_or(0)),
            list => Sections::At(list),
        }
    }
}

fn sections_of(
    (op, equal): (&'static str, bool),
    e: &Expr,
    sections: Sections,
    axis: isize,
    at: Loc,
) -> Result<Vec<Expr>> {
    let e = whole(e, at)?;
    let axis = layout::normalize_axis(axis, e.0.shape.len()).map_err(|f| f.at(op, at))?;
    let n = e.0.shape[axis];
    let wrong = |detail: String| Error::with_line(ErrorKind::Argument, op, detail, at);
    let ends: Vec<usize> = match sections {
        Sections::Count(count) if count <= 0 => return Err(wrong(format!("{count} parts; at least one is needed"))),
        Sections::Count(count) => {
            let count = count as usize;
            let mut ends = listed(count, "parts", op, at)?;
            if equal && n % count != 0 {
                return Err(wrong(format!(
                    "axis {axis} of length {n} cannot be split into {count} equal parts; see array_split"
                )));
            }
            ends.extend((1..=count).map(|k| k * (n / count) + k.min(n % count)));
            ends
        }
        Sections::At(list) => {
            let from_end = |i: isize| if i < 0 { i.saturating_add(n as isize) } else { i };
            let mut ends = room(list.len() + 1, op, at)?;
            ends.extend(list.iter().map(|i| from_end(*i).clamp(0, n as isize) as usize).chain([n]));
            ends
        }
    };
    let mut start = 0;
    let mut parts = room(ends.len(), op, at)?;
    for end in ends {
        // if a position is before the previous one, the part between them is empty, and the next part begins there
        let run = AxisRun::forward(start, end.max(start));
        parts.push(assembled(op, &e, axis, &[run], at, &Expr::clone));
        start = end;
    }
    Ok(parts)
}
