//! Medians and quantiles. A quantile between two elements of the sorted order is interpolated.

mod interpolate;
mod method;

pub use method::QuantileMethod;

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result, room};
use crate::base::layout::{self, AxesArg, IntoAxes, Shape, SliceItem, SortAxis, View};
use crate::graph::expr::{Expr, binary, cast, choose, reduce, reshape, result_of, strong, unary, view};
use crate::graph::routine::SORT;
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{expanded, named, stack_at};
use crate::ops::index::{take, take_along};
use crate::ops::sorting::{selected, sorted};
use crate::plan::kernel::{Fold, IndexMode};
use interpolate::{between, finished_in, interpolated, is_supported, mixed, wide};
use method::QuantilePosition;
use smallvec::smallvec;
use std::panic::Location;

/// Up to this many quantiles are each found by selection; more are found by one sort. Chosen by hand, not measured.
const FEW: usize = 3;

/// More quantiles than this are looked up by tables of positions, because a look-up for each would add graph nodes.
const LISTED: usize = 32;

/// The requested quantiles: one number, or a list of numbers. For a list the result has an additional first axis.
pub trait Quantiles: sealed::Quantiles {
    #[doc(hidden)]
    fn list(self) -> (Vec<f64>, bool);
}

mod sealed {
    pub trait Quantiles {}
}

impl sealed::Quantiles for f64 {}
impl Quantiles for f64 {
    fn list(self) -> (Vec<f64>, bool) {
        (vec![self], false)
    }
}

macro_rules! several {
    ($($t:ty $(, $n:ident)?;)*) => { $(
        impl$(<const $n: usize>)? sealed::Quantiles for $t {}
        impl$(<const $n: usize>)? Quantiles for $t {
            fn list(self) -> (Vec<f64>, bool) {
                (self.to_vec(), true)
            }
        }
    )* };
}
several! {
    [f64; N], N;
    &[f64; N], N;
    &[f64];
    Vec<f64>;
    &Vec<f64>;
}

/// # Medians and quantiles
impl Expr {
    /// Computes the median along axes: the middle element in sorted order, or the mean of the two middle ones. The
    /// result is NaN if any element is NaN or there are none. i64 and u64 become f64, other integers and bool f32; f16 and
    /// bf16 are computed in f32. [`QuantileMethod::Lower`] of [`Expr::quantile`] keeps the integers.
    ///
    /// The mean of the two middle elements is the sum of their halves, so it cannot overflow. The time is linear.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[3., 1., 2., 9.], [6., 5., 4., 5.]];
    /// assert_eq!(x.median(1).to_vec::<f32>()?, [2.5, 5.]);
    /// assert_eq!(x.median(..).item::<f32>()?, 4.5);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Axis`] if an axis does not exist, [`ErrorKind::Unsupported`] for i64 and u64
    /// on a device without f64, and the errors of [`Expr::sort`].
    #[track_caller]
    pub fn median(&self, axes: impl IntoAxes) -> Expr {
        const OP: &str = "median";
        let at = Location::caller();
        let axes = axes.into_axes();
        result_of(OP, at, || {
            let rows = Rows::of(OP, self, &axes, false, at)?;
            is_supported(OP, &rows.e, at)?;
            rows.quantile(OP, 0.5, QuantileMethod::Linear, at)
        })
    }

    /// Computes, along axes, the median of the elements that are not NaN. The result is NaN if all elements are NaN or
    /// there are none. The dtypes are as in [`Expr::median`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[3., f32::NAN, 2., 9.], [f32::NAN, 1., 4., f32::NAN]];
    /// assert_eq!(x.nanmedian(1).to_vec::<f32>()?, [3., 2.5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::median`].
    #[track_caller]
    pub fn nanmedian(&self, axes: impl IntoAxes) -> Expr {
        const OP: &str = "nanmedian";
        let at = Location::caller();
        let axes = axes.into_axes();
        result_of(OP, at, || {
            // the middle positions depend on how many elements are NaN, so they are not known before the evaluation
            let is_float = self.0.dtype.is_float();
            let rows = Rows::of(OP, self, &axes, is_float, at)?;
            is_supported(OP, &rows.e, at)?;
            match is_float && rows.n > 0 {
                true => rows.median_of_numbers(OP, at),
                false => rows.quantile(OP, 0.5, QuantileMethod::Linear, at),
            }
        })
    }

    /// Computes quantiles along axes by one of NumPy's methods. `q` is a number from 0 to 1, or a list of such numbers.
    /// For a list, the result has an additional first axis. It is NaN if an element is NaN or there are no elements.
    ///
    /// Methods that pick an element (`Lower`, `Higher`, `Nearest`, `InvertedCdf`, `ClosestObservation`) return it in
    /// the array's dtype. The other methods return f64 for i64 and u64, f32 for other integers and bool, and compute f16 and
    /// bf16 in f32. A result is never outside the two elements around it. Positions are computed in f64. Up to three quantiles take linear
    /// time each; for more quantiles, the elements are sorted once. For more than 32 quantiles, an expression without a
    /// device, such as a generator, runs on the device of [`Device::scope`], or on the CPU.
    ///
    /// ```
    /// use cupric::{QuantileMethod, array};
    /// let x = array![3., 1., 2., 9.];
    /// assert_eq!(x.quantile(0.25, 0, QuantileMethod::Linear).item::<f32>()?, 1.75);
    /// assert_eq!(x.quantile([0.5, 1.0], 0, QuantileMethod::Lower).to_vec::<f32>()?, [2., 9.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::median`], [`ErrorKind::Argument`] if `q` is outside 0 to 1 or an empty list, [`ErrorKind::Shape`] if a method picks from
    /// an empty integer array, and [`ErrorKind::LimitExceeded`] for more than 32 quantiles of 2^31 or more elements.
    #[track_caller]
    pub fn quantile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "quantile", whole: 1.0, numbers: false, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }

    /// Computes percentiles along axes: like [`Expr::quantile`], with `q` as percentages from 0 to 100.
    ///
    /// ```
    /// use cupric::{QuantileMethod, array};
    /// let x = array![3., 1., 2., 9.];
    /// assert_eq!(x.percentile(25.0, 0, QuantileMethod::Linear).item::<f32>()?, 1.75);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::quantile`].
    #[track_caller]
    pub fn percentile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "percentile", whole: 100.0, numbers: false, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }

    /// Computes, along axes, quantiles of the elements that are not NaN. The result is NaN if all elements are NaN or
    /// there are none. `q`, methods and dtypes are as in [`Expr::quantile`].
    ///
    /// A quantile's position depends on how many elements of a row are not NaN. The call computes the positions for all
    /// counts from 0 to n on the host, as a table of n + 1 entries for each `q`, where n is the row's length. An
    /// expression without a device, such as a generator, runs on the device of [`Device::scope`], or on the CPU.
    ///
    /// ```
    /// use cupric::{QuantileMethod, array};
    /// let x = array![[3., f32::NAN, 2., 9.], [f32::NAN, 1., 4., f32::NAN]];
    /// assert_eq!(x.nanquantile(0.25, 1, QuantileMethod::Linear).to_vec::<f32>()?, [2.5, 1.75]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::quantile`], [`ErrorKind::LimitExceeded`] for 2^31 or more elements
    /// along the axes, and [`ErrorKind::OutOfMemory`] if there is no memory for the table.
    #[track_caller]
    pub fn nanquantile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "nanquantile", whole: 1.0, numbers: true, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }

    /// Computes percentiles of elements that are not NaN: like [`Expr::nanquantile`], with `q` in percent (0 to 100).
    ///
    /// ```
    /// use cupric::{QuantileMethod, array};
    /// let x = array![3., f32::NAN, 2., 9.];
    /// assert_eq!(x.nanpercentile(25.0, 0, QuantileMethod::Linear).item::<f32>()?, 2.5);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::nanquantile`].
    #[track_caller]
    pub fn nanpercentile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "nanpercentile", whole: 100.0, numbers: true, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }
}

/// The parameters that differ between the public methods. `q` is from 0 to `whole`; `numbers` is true to ignore NaN.
struct Asked {
    op: &'static str,
    whole: f64,
    numbers: bool,
    method: QuantileMethod,
}

/// Computes the quantiles `q / whole` of an operand along axes.
fn quantiles(e: &Expr, (q, several): (Vec<f64>, bool), asked: Asked, axes: &AxesArg, at: Loc) -> Expr {
    let Asked { op, whole, numbers, method } = asked;
    result_of(op, at, || {
        let rows = Rows::of(op, e, axes, numbers || q.len() > FEW, at)?;
        if let Some(q) = q.iter().find(|q| !(0.0..=whole).contains(*q)) {
            return Err(Error::with_line(ErrorKind::Argument, op, format!("quantile {q} is outside 0..={whole}"), at));
        }
        if !method.picks() {
            is_supported(op, &rows.e, at)?;
        }
        let q: Vec<f64> = q.into_iter().map(|q| q / whole).collect();
        let of_numbers = numbers && rows.e.0.dtype.is_float() && rows.n > 0;
        match &q[..] {
            [] => Err(Error::with_line(ErrorKind::Argument, op, "at least one quantile is needed", at)),
            _ if of_numbers => rows.quantiles_of_numbers(op, &q, several, method, at),
            [q] if !several => rows.quantile(op, *q, method, at),
            // if the rows have no elements, all quantiles are equal, so one is broadcast
            [q0, ..] if rows.n == 0 => Ok(view(op, &rows.quantile(op, *q0, method, at)?, at, |s| {
                let to: Shape = std::iter::once(q.len()).chain(s.iter().copied()).collect();
                View::broadcast_to(s, &to)
            })),
            _ if q.len() > LISTED => rows.listed(op, &q, method, at),
            _ => {
                let each: Result<Vec<Expr>> = q.iter().map(|q| rows.quantile(op, *q, method, at)).collect();
                Ok(stack_at(op, each?, 0, at))
            }
        }
    })
}

/// An operand arranged as rows. Each row has the elements from which one result is computed.
struct Rows<'a> {
    e: Expr,
    axes: &'a AxesArg,
    /// The operand with the reduced axes merged into the last axis.
    rows: Expr,
    /// Whether the rows are sorted; if not, elements are found by selection.
    is_sorted: bool,
    /// The number of elements in a row.
    n: usize,
    /// The shape of the result.
    shape: Shape,
}

impl<'a> Rows<'a> {
    fn of(op: &'static str, e: &Expr, axes: &'a AxesArg, sort: bool, at: Loc) -> Result<Rows<'a>> {
        e.checked()?;
        let e = strong(e.clone(), at);
        let shape = &e.0.shape;
        let reduced = axes.resolve(shape.len()).map_err(|f| f.at(op, at))?;
        let kept: Vec<usize> = (0..shape.len()).filter(|d| !reduced.contains(d)).collect();
        let order: Vec<isize> = kept.iter().chain(reduced.iter()).map(|d| *d as isize).collect();
        let n = layout::product(reduced.iter().map(|d| &shape[*d]));
        let out: Shape = kept.iter().map(|d| shape[*d]).collect();
        layout::size_of_shape(&out).map_err(|f| f.at(op, at))?;
        let turned = view(op, &e, at, |s| View::permute(s, &order));
        // a single axis needs no copy before the sort; several axes are merged into one, which may need a copy
        let rows = match reduced.len() {
            1 => turned,
            _ => {
                let lengths: Vec<isize> = out.iter().chain(&[n]).map(|n| *n as isize).collect();
                reshape(op, &turned, &lengths, at)
            }
        };
        // a row of fewer than two elements is sorted already
        let is_sorted = sort || n < 2 || out.contains(&0);
        let rows = match is_sorted {
            true => named(op, sorted(&SORT, &rows, SortAxis { axis: -1, descending: false }, at), at),
            false => rows,
        };
        rows.checked()?;
        Ok(Rows { e, axes, rows, is_sorted, n, shape: out })
    }

    /// Returns the elements of each row at two positions of the sorted order, and the last element. `high` is `low` or
    /// the position after it.
    fn in_order(&self, op: &'static str, low: usize, high: usize, at: Loc) -> Result<[Expr; 3]> {
        let (from, places) = match self.is_sorted {
            true => (self.rows.clone(), [low, high, self.n - 1]),
            false => {
                let selected = selected(&self.rows, [low, high], at)?;
                (named(op, selected, at), [0, 1, 2])
            }
        };
        Ok(places.map(|i| {
            let items = [SliceItem::Ellipsis, SliceItem::Index(i as isize)];
            view(op, &from, at, |s| View::slice(s, &items))
        }))
    }

    fn quantile(&self, op: &'static str, q: f64, method: QuantileMethod, at: Loc) -> Result<Expr> {
        let dtype = if method.picks() { self.e.0.dtype } else { interpolated(self.e.0.dtype) };
        if self.n == 0 {
            if !dtype.is_float() && !self.shape.contains(&0) {
                let shape = self.e.0.shape.as_slice();
                let detail = format!("shape {shape:?} has no elements to pick, and dtype {dtype} has no NaN");
                return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
            }
            let nan = if dtype.is_float() { Scalar::Float(f64::NAN) } else { Scalar::Int(0) };
            let none = Expr::fill_on(self.e.0.device, nan, self.shape.clone(), dtype, at);
            return Ok(expanded(none, &self.e, self.axes, at));
        }
        let place = method.place(self.n, q);
        // a row has a NaN if its last element in sorted order is NaN
        let [low, high, last] = self.in_order(op, place.low, place.high, at)?;
        let value = if method.picks() {
            low
        } else {
            match place.share {
                0.0 => wide(&low, at),
                share => between(&low, &high, share, at),
            }
        };
        let value = match self.e.0.dtype.is_float() {
            true => choose(unary(&logic::isnan, &last, at), f64::NAN, value, at),
            false => value,
        };
        let value = if method.picks() { value } else { finished_in(value, &self.e, at) };
        Ok(expanded(named(op, value, at), &self.e, self.axes, at))
    }

    /// Returns an error if positions in a row do not fit i32, the dtype of the tables.
    fn fits(&self, op: &'static str, at: Loc) -> Result<()> {
        match self.n < i32::MAX as usize {
            true => Ok(()),
            false => {
                let detail = format!("{} elements along the axes; their positions must fit i32", self.n);
                Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at))
            }
        }
    }

    /// Counts the elements of each row of floats that are not NaN. The result has a last axis of length 1.
    fn numbers(&self, op: &'static str, at: Loc) -> Result<Expr> {
        self.fits(op, at)?;
        let number = unary(&logic::logical_not, unary(&logic::isnan, &self.rows, at), at);
        let last = AxesArg { keep: true, ..(-1isize).into_axes() };
        Ok(reduce(op, Fold::of(&arithmetic::add), &cast(number, DType::I32, at), &last, at))
    }

    /// Returns the element of each row at its position in `positions`, whose last axis has length 1.
    fn at_each(&self, op: &'static str, positions: Expr, at: Loc) -> Expr {
        let axis = self.shape.len();
        let element = take_along(op, &self.rows, positions, axis as isize, IndexMode::Clip, at);
        view(op, &element, at, |s| Ok(View::drop_axes(s, &[axis])))
    }

    /// Computes the median of each row's elements that are not NaN, for floats.
    fn median_of_numbers(&self, op: &'static str, at: Loc) -> Result<Expr> {
        let count = self.numbers(op, at)?;
        let int = |v: i128| Expr::fill(Scalar::Int(v), smallvec![], DType::I32, at);
        let half = |e: &Expr| binary(&logic::bitwise_right_shift, e, int(1), at);
        // if all elements are NaN, both positions are clipped to the first element, which is NaN
        let places = [half(&binary(&arithmetic::subtract, &count, int(1), at)), half(&count)];
        let [low, high] = places.map(|i| self.at_each(op, i, at));
        let value = finished_in(between(&low, &high, 0.5, at), &self.e, at);
        Ok(expanded(named(op, value, at), &self.e, self.axes, at))
    }

    /// Computes quantiles by tables of their positions in a row. The tables are the same for all rows.
    fn listed(&self, op: &'static str, q: &[f64], method: QuantileMethod, at: Loc) -> Result<Expr> {
        self.fits(op, at)?;
        let axis = self.shape.len();
        let place = |k: usize| method.place(self.n, q[k]);
        let look = |table: Expr| take(&self.rows, table, axis as isize, IndexMode::Clip, at);
        let low = look(self.table(op, &[q.len()], |k| place(k).first() as i32, at)?);
        let value = match method.picks() {
            true => low,
            false => {
                let high = look(self.table(op, &[q.len()], |k| place(k).second() as i32, at)?);
                let first = self.shares(op, &[q.len()], |k| 1.0 - place(k).share, at)?;
                let second = self.shares(op, &[q.len()], |k| place(k).share, at)?;
                let (low, high) = (wide(&low, at), wide(&high, at));
                // if both positions are the same, the result is the element itself, because 0 · ∞ would be NaN
                let alone = self.table(op, &[q.len()], |k| place(k).first() == place(k).second(), at)?;
                choose(alone, low.clone(), mixed([&low, &high], [first, second], at), at)
            }
        };
        // a row has a NaN if its last element in sorted order is NaN
        let value = match self.e.0.dtype.is_float() {
            true => {
                let last = SliceItem::Range { start: Some(-1), end: None, step: 1 };
                let last = view(op, &self.rows, at, |s| View::slice(s, &[SliceItem::Ellipsis, last]));
                choose(unary(&logic::isnan, &last, at), f64::NAN, value, at)
            }
            false => value,
        };
        let value = if method.picks() { value } else { finished_in(value, &self.e, at) };
        Ok(self.in_front(named(op, value, at), at))
    }

    /// Computes quantiles of each row's elements that are not NaN, for floats.
    fn quantiles_of_numbers(
        &self,
        op: &'static str,
        q: &[f64],
        several: bool,
        method: QuantileMethod,
        at: Loc,
    ) -> Result<Expr> {
        let (axis, count) = (self.shape.len(), self.numbers(op, at)?);
        // row k of the tables is for rows of the operand with k elements that are not NaN
        let lengths = [self.n + 1, q.len()];
        let place = |i: usize| match i / q.len() {
            0 => QuantilePosition { low: 0, high: 0, share: 0.0 },
            n => method.place(n, q[i % q.len()]),
        };
        let look = |table: Expr| {
            let rows = take(&table, count.clone(), 0, IndexMode::Clip, at);
            view(op, &rows, at, |s| Ok(View::drop_axes(s, &[axis])))
        };
        let element = |positions: Expr| take_along(op, &self.rows, positions, axis as isize, IndexMode::Clip, at);
        let finished = |e: Expr| match several {
            true => self.in_front(named(op, e, at), at),
            false => {
                expanded(view(op, &named(op, e, at), at, |s| Ok(View::drop_axes(s, &[axis]))), &self.e, self.axes, at)
            }
        };
        let places = look(self.table(op, &lengths, |i| place(i).first() as i32, at)?);
        let low = element(places.clone());
        if method.picks() {
            return Ok(finished(low));
        }
        // `most` keeps an interpolation weight below 1 from being rounded up to 1 in f32
        let most = if self.e.0.dtype == DType::F64 { 1.0 } else { 1.0 - f64::from(f32::EPSILON) / 2.0 };
        let share = |i: usize| Some(place(i).share).filter(|s| *s < 1.0).unwrap_or(0.0).min(most);
        let share = look(self.shares(op, &lengths, share, at)?);
        let number = |v: i128, dtype: DType| Expr::fill(Scalar::Int(v), smallvec![], dtype, at);
        let next = binary(&arithmetic::add, &places, number(1, DType::I32), at);
        let (low, high) = (wide(&low, at), wide(&element(next), at));
        let rest = binary(&arithmetic::subtract, number(1, low.0.dtype), &share, at);
        let mixed = mixed([&low, &high], [rest, share.clone()], at);
        // the element after a row's last number may be NaN, so it must not be added, even multiplied by a weight of 0
        let alone = binary(&logic::equal, &share, number(0, low.0.dtype), at);
        Ok(finished(finished_in(choose(alone, low, mixed, at), &self.e, at)))
    }

    /// Moves the last axis of a result, which counts the quantiles, to the front.
    fn in_front(&self, e: Expr, at: Loc) -> Expr {
        view("keep", &e, at, |s| {
            let order: Vec<isize> = std::iter::once(-1).chain(0..s.len() as isize - 1).collect();
            let turned = View::permute(s, &order)?;
            let mut shape: Shape = turned.shape.clone();
            if self.axes.keep {
                shape.truncate(1);
                shape.extend(self.e.0.shape.iter().copied());
                let reduced = self.axes.resolve(self.e.0.shape.len()).unwrap_or_default();
                reduced.iter().for_each(|d| shape[1 + d] = 1);
            }
            Ok(View::reshape(&turned.shape, &shape).unwrap_or_else(|| View::identity(&turned.shape)).after(&turned))
        })
    }

    /// Makes a table of interpolation weights, as f64 if the result is f64 and otherwise as f32.
    fn shares(&self, op: &'static str, shape: &[usize], of: impl Fn(usize) -> f64, at: Loc) -> Result<Expr> {
        match interpolated(self.e.0.dtype) == DType::F64 {
            true => self.table(op, shape, of, at),
            false => self.table(op, shape, |i| of(i) as f32, at),
        }
    }

    /// Makes a table on the operand's device. `of` maps an index in C order to an element.
    fn table<T: Element>(&self, op: &'static str, shape: &[usize], of: impl Fn(usize) -> T, at: Loc) -> Result<Expr> {
        let n = layout::size_of_shape(shape).map_err(|f| f.at(op, at))?;
        let mut table = room(n, op, at)?;
        table.extend((0..n).map(of));
        let there = Array::adopt(table, shape, at).to_device(&Device::of(self.e.0.device)).map_err(|e| e.or_at(at))?;
        Ok((*there).clone())
    }
}
