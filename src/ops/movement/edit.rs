//! `insert` and `delete`, which add or remove elements at positions that are known on the host.

use super::parts::{AxisRun, MOST_PARTS, along, assembled, joined};
use super::with_ones;
use crate::array::prepared;
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::{self, Given, Integers, IntoAxes, SliceItem, View};
use crate::graph::expr::{Arg, Expr, Operand, cast, common, reshape, result_of, view};
use crate::ops::functions::join;
use smallvec::smallvec;
use std::panic::Location;

/// One or more positions along an axis, as an argument of [`Expr::delete`] or [`Expr::insert`].
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Positions {
    /// One position.
    One(isize),
    /// A list of positions.
    List(Given),
    /// The positions of a slice.
    Slice(SliceItem),
}

mod sealed {
    pub trait Positions {}
}

/// A type that names positions along an axis: [`Integers`], or a slice `s![2..8;3]` of one range. Negative positions
/// count from the end.
pub trait IntoPositions: sealed::Positions {
    #[doc(hidden)]
    fn into_positions(self) -> Positions;
}
impl<T: Integers> sealed::Positions for T {}
impl<T: Integers> IntoPositions for T {
    fn into_positions(self) -> Positions {
        match self.integers() {
            position if T::IS_ONE => Positions::One(position.first().copied().unwrap_or(0)),
            list => Positions::List(list),
        }
    }
}
impl sealed::Positions for [SliceItem; 1] {}
impl IntoPositions for [SliceItem; 1] {
    fn into_positions(self) -> Positions {
        match self[0] {
            SliceItem::Index(i) => Positions::One(i),
            item @ (SliceItem::Range { .. } | SliceItem::Ellipsis | SliceItem::NewAxis) => Positions::Slice(item),
        }
    }
}

/// `len` evenly spaced positions: `start`, `start + step`, …
#[derive(Clone, Copy)]
struct Comb {
    start: usize,
    step: usize,
    len: usize,
    /// Whether the caller's slice has a negative step, so that it names the positions from the last to the first.
    is_backward: bool,
}

impl Comb {
    /// Returns the positions that a slice selects on an axis of `n` elements.
    fn of(op: &'static str, item: SliceItem, n: usize, at: Loc) -> Result<Comb> {
        let v = View::slice(&[n], &[item]).map_err(|f| f.at(op, at))?;
        match (v.shape[..].first(), v.coef[..].first()) {
            (Some(len), Some(step)) if matches!(item, SliceItem::Range { .. }) => {
                let lowest = if *step < 0 { v.offset[0] + (*len as isize - 1) * step } else { v.offset[0] };
                let start = if *len == 0 { 0 } else { lowest as usize };
                Ok(Comb { start, step: step.unsigned_abs(), len: *len, is_backward: *step < 0 })
            }
            _ => Err(Error::with_line(ErrorKind::Argument, op, "a slice must be one range along the axis", at)),
        }
    }

    /// Returns the last position. There must be at least one position.
    fn last(self) -> usize {
        self.start + self.len.saturating_sub(1) * self.step
    }

    /// Returns the elements of `e` from the first position up to, but not including, the last one. The axis is split
    /// into two: index i of the first axis selects the `step` elements that begin at the i-th position.
    fn teeth(self, op: &'static str, e: &Expr, axis: usize, at: Loc) -> Expr {
        let part = assembled(op, e, axis, &[AxisRun::forward(self.start, self.last())], at, &Expr::clone);
        split(op, &part, axis, self.step, at)
    }
}

/// Splits an axis into two. The second has length `step`, which must divide the length of the axis.
fn split(op: &'static str, e: &Expr, axis: usize, step: usize, at: Loc) -> Expr {
    if e.error().is_some() {
        return e.clone();
    }
    let mut to: Vec<isize> = e.0.shape.iter().map(|n| *n as isize).collect();
    to[axis] /= step as isize;
    to.insert(axis + 1, step as isize);
    reshape(op, e, &to, at)
}

/// Merges an axis with the one after it.
fn merged(op: &'static str, e: &Expr, axis: usize, at: Loc) -> Expr {
    if e.error().is_some() {
        return e.clone();
    }
    let mut to: Vec<isize> = e.0.shape.iter().map(|n| *n as isize).collect();
    to[axis] *= to.remove(axis + 1);
    reshape(op, e, &to, at)
}

/// Converts a position, which may count from the end, to a position that counts from the front. Returns an error unless
/// the result is less than `n`.
fn from_front(op: &'static str, i: isize, n: usize, axis: usize, at: Loc) -> Result<usize> {
    let from_end = if i < 0 { i.saturating_add(n as isize) } else { i };
    match usize::try_from(from_end) {
        Ok(place) if place < n => Ok(place),
        _ => {
            let detail = format!("position {i} is out of range for axis {axis} of length {n}");
            Err(Error::with_line(ErrorKind::Index, op, detail, at))
        }
    }
}

/// # Insertion and deletion
impl Expr {
    /// Returns the array without the elements at some positions along an axis. The positions are an integer, a list, or
    /// a slice of one range. With `..` the array is flattened in C order first (NumPy's `axis=None`). Repeated
    /// positions count once. A position out of range is an [`ErrorKind::Index`] error.
    ///
    /// ```
    /// use cupric::{array, s};
    /// let x = array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!(x.delete(1, 1).to_vec::<i32>()?, [1, 3, 4, 6]);
    /// assert_eq!(x.delete([0, -1], 1).to_vec::<i32>()?, [2, 5]);
    /// assert_eq!(x.delete(s![..;2], ..).to_vec::<i32>()?, [2, 4, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn delete(&self, positions: impl IntoPositions, axis: impl IntoAxes) -> Expr {
        const OP: &str = "delete";
        let (at, positions, axis) = (Location::caller(), positions.into_positions(), axis.into_axes());
        result_of(OP, at, || {
            let (e, axis) = along(OP, self, &axis, at)?;
            let n = e.checked()?.shape[axis];
            let named = match positions {
                Positions::One(i) => smallvec![i],
                Positions::List(list) => list,
                Positions::Slice(item) => return Ok(without(&e, axis, Comb::of(OP, item, n, at)?, at)),
            };
            let (mut gone, mut runs) = (room(named.len(), OP, at)?, room(named.len() + 1, OP, at)?);
            for i in &named {
                gone.push(from_front(OP, *i, n, axis, at)?);
            }
            gone.sort_unstable();
            gone.dedup();
            let mut start = 0;
            for place in gone.into_iter().chain([n]) {
                runs.push(AxisRun::forward(start, place));
                start = place + 1;
            }
            Ok(assembled(OP, &e, axis, &runs, at, &Expr::clone))
        })
    }

    /// Returns the array with values inserted before the given positions along an axis. On an axis of `n` elements,
    /// position `n` is the end. With `..` the array is flattened in C order first (NumPy's `axis=None`). A position out
    /// of range is an [`ErrorKind::Index`] error.
    ///
    /// If the position is a single integer, any number of values can be inserted there. If the values have as many axes
    /// as the array, their first axis is moved to the given axis, as in NumPy. A list or a slice of positions needs one
    /// value for each position. These values broadcast to the array's shape, with the number of positions as the length
    /// of the axis. Values are cast to the array's dtype, as in [`Array::assign`](crate::Array::assign).
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2], [3, 4]];
    /// assert_eq!(x.insert(1, 9, 1).to_vec::<i32>()?, [1, 9, 2, 3, 9, 4]);
    /// assert_eq!(x.insert(0, array![7, 8], 1).to_vec::<i32>()?, [7, 1, 2, 8, 3, 4]);
    /// assert_eq!(x.insert([0, 2], array![7, 8], 1).to_vec::<i32>()?, [7, 1, 2, 8, 7, 3, 4, 8]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn insert(&self, positions: impl IntoPositions, values: impl Operand, axis: impl IntoAxes) -> Expr {
        const OP: &str = "insert";
        let (at, positions, axis) = (Location::caller(), positions.into_positions(), axis.into_axes());
        let values = values.into_arg();
        result_of(OP, at, || {
            let (e, axis) = along(OP, self, &axis, at)?;
            let n = e.checked()?.shape[axis];
            let named = match positions {
                Positions::One(i) => {
                    let place = from_front_or_end(OP, i, n, axis, at)?;
                    let values = turned(values, e.0.shape.len(), axis, at);
                    return together(&e, axis, place, values, at);
                }
                Positions::List(list) => list,
                Positions::Slice(item) => match Comb::of(OP, item, n, at)? {
                    one @ Comb { len: 1, .. } => smallvec![one.start as isize],
                    comb => return at_each(&e, axis, comb, values, at),
                },
            };
            let mut places = room(named.len(), OP, at)?;
            for i in &named {
                places.push(from_front_or_end(OP, *i, n, axis, at)?);
            }
            if let [place] = places[..] {
                let values = lifted(values, e.0.shape.len(), at);
                return together(&e, axis, place, values, at);
            }
            apart(&e, axis, &places, values, at)
        })
    }
}

/// Removes evenly spaced elements from an axis. Joins the elements before the first removed one, the elements between
/// the removed ones, and the elements after the last.
fn without(e: &Expr, axis: usize, comb: Comb, at: Loc) -> Expr {
    const OP: &str = "delete";
    let n = e.0.shape[axis];
    if comb.len == 0 {
        return e.clone();
    }
    let part = |from, to| assembled(OP, e, axis, &[AxisRun::forward(from, to)], at, &Expr::clone);
    let between = match comb.step {
        1 => part(0, 0),
        _ => merged(
            OP,
            &assembled(OP, &comb.teeth(OP, e, axis, at), axis + 1, &[AxisRun::forward(1, comb.step)], at, &Expr::clone),
            axis,
            at,
        ),
    };
    joined(OP, vec![part(0, comb.start), between, part(comb.last() + 1, n)], axis, at)
}

/// Converts a position for an insertion, which may count from the end, to a position from 0 to n, where n is the end of
/// the axis. −1 is the position before the last element.
fn from_front_or_end(op: &'static str, i: isize, n: usize, axis: usize, at: Loc) -> Result<usize> {
    if i == n as isize { Ok(n) } else { from_front(op, i, n, axis, at) }
}

/// Adds axes of length 1 in front of the values, up to `ndim` axes.
fn lifted(values: Arg, ndim: usize, at: Loc) -> Arg {
    match values {
        Arg::Expr(e) if e.error().is_none() && e.0.shape.len() < ndim => Arg::Expr(view("insert", &e, at, |shape| {
            let to: Vec<usize> = std::iter::repeat_n(1, ndim - shape.len()).chain(shape.iter().copied()).collect();
            with_ones(shape, &to)
        })),
        values @ (Arg::Expr(_) | Arg::Scalar(_)) => values,
    }
}

/// Prepares values for an insertion at one position: adds axes of length 1 up to `ndim` axes, and moves the first axis
/// to `axis`.
fn turned(values: Arg, ndim: usize, axis: usize, at: Loc) -> Arg {
    match lifted(values, ndim, at) {
        Arg::Expr(e) if e.error().is_none() && !e.0.shape.is_empty() => Arg::Expr(view("insert", &e, at, |shape| {
            let mut order: Vec<isize> = (1..shape.len() as isize).collect();
            order.insert(axis.min(order.len()), 0);
            View::permute(shape, &order)
        })),
        values @ (Arg::Expr(_) | Arg::Scalar(_)) => values,
    }
}

/// Inserts all values at one position.
fn together(e: &Expr, axis: usize, place: usize, values: Arg, at: Loc) -> Result<Expr> {
    const OP: &str = "insert";
    let n = e.0.shape[axis];
    let count = match &values {
        Arg::Expr(v) => v.checked()?.shape.get(axis).copied().unwrap_or(1),
        Arg::Scalar(_) => 1,
    };
    let values = fitted(e, axis, count, values, at)?;
    let part = |from, to| assembled(OP, e, axis, &[AxisRun::forward(from, to)], at, &Expr::clone);
    Ok(joined(OP, vec![part(0, place), values, part(place, n)], axis, at))
}

/// Broadcasts the values to the array's shape with `count` elements along the axis, and casts them to the array's
/// dtype.
fn fitted(e: &Expr, axis: usize, count: usize, values: Arg, at: Loc) -> Result<Expr> {
    let mut shape = e.0.shape.clone();
    shape[axis] = count;
    layout::size_of_shape(&shape).map_err(|f| f.at("insert", at))?;
    let mut total = e.0.shape.clone();
    total[axis] = total[axis].saturating_add(count);
    layout::size_of_shape(&total).map_err(|f| f.at("insert", at))?;
    let values = prepared(values, &shape, e.0.dtype, "insert", at)?;
    common("insert", [e, &values].into_iter(), at)?;
    Ok(cast(values, e.0.dtype, at))
}

/// Inserts one value at each of several evenly spaced positions.
fn at_each(e: &Expr, axis: usize, comb: Comb, values: Arg, at: Loc) -> Result<Expr> {
    const OP: &str = "insert";
    let values = fitted(e, axis, comb.len, values, at)?;
    let Some(last) = comb.len.checked_sub(1) else { return Ok(e.clone()) };
    let values = match comb.is_backward {
        true => view(OP, &values, at, |shape| Ok(View::flip(shape, &[axis]))),
        false => values,
    };
    let part = |e: &Expr, from, to| assembled(OP, e, axis, &[AxisRun::forward(from, to)], at, &Expr::clone);
    let each = split(OP, &part(&values, 0, last), axis, 1, at);
    let pairs = join(OP, vec![each, comb.teeth(OP, e, axis, at)], axis as isize + 1, at);
    let (head, tail) = (part(e, 0, comb.start), part(e, comb.last(), e.0.shape[axis]));
    Ok(joined(OP, vec![head, merged(OP, &pairs, axis, at), part(&values, last, last + 1), tail], axis, at))
}

/// Inserts one value at each of several positions. The values of a repeated position keep their order.
fn apart(e: &Expr, axis: usize, places: &[usize], values: Arg, at: Loc) -> Result<Expr> {
    const OP: &str = "insert";
    let n = e.0.shape[axis];
    let values = fitted(e, axis, places.len(), values, at)?;
    let (mut order, mut runs) = (room(places.len(), OP, at)?, room::<AxisRun>(2 * places.len() + 1, OP, at)?);
    order.extend(0..places.len());
    order.sort_by_key(|k| places[*k]);
    // each run is a range of indices: an index below n is an element of the array, and n + k is inserted value k
    let mut start = 0;
    for k in order {
        if places[k] > start {
            runs.push(AxisRun::forward(start, places[k]));
            start = places[k];
        }
        match runs.last_mut() {
            Some(last) if last.start >= n && last.start + last.len == n + k => last.len += 1,
            _ => runs.push(AxisRun::forward(n + k, n + k + 1)),
        }
    }
    if start < n {
        runs.push(AxisRun::forward(start, n));
    }
    if runs.len() > MOST_PARTS {
        let both = joined(OP, vec![e.clone(), values], axis, at);
        return Ok(assembled(OP, &both, axis, &runs, at, &Expr::clone));
    }
    let part = |run: AxisRun| match run.start.checked_sub(n) {
        Some(start) => assembled(OP, &values, axis, &[AxisRun { start, ..run }], at, &Expr::clone),
        None => assembled(OP, e, axis, &[run], at, &Expr::clone),
    };
    match runs.is_empty() {
        true => Ok(e.clone()),
        false => Ok(joined(OP, runs.into_iter().map(part).collect(), axis, at)),
    }
}
