//! Medians and quantiles: elements at places of their order that follow from the length, and what lies between two of them.

mod method;

pub use method::QuantileMethod;

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Result, room};
use crate::base::layout::{self, AxesArg, IntoAxes, Shape, SliceItem, SortAxis, View};
use crate::graph::expr::{Expr, carry, cast, reduce, reshape, strong, view};
use crate::graph::routine::{SELECT, SORT};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{along_axis, binary, choose, expanded, named, narrow, sorted, stack_at, unary, wide};
use crate::ops::index::{take, take_along};
use crate::plan::kernel::{Fold, IndexMode};
use method::Place;
use smallvec::smallvec;
use std::panic::Location;

type Loc = &'static Location<'static>;

/// The most quantiles for each of which elements are looked for; more are taken from a sort. A judgement: on a CPU a sort takes some
/// times as long as a look.
const FEW: usize = 3;

/// More quantiles than this are taken by lists of their positions, because each alone is some nodes of the expression. A judgement.
const LISTED: usize = 32;

/// The quantiles that are asked for: a number, whose result has no axis for it, or several, with an axis of the result for them.
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

impl Expr {
    /// The element in the middle of the order along axes, or the mean of the two there. NaN if any element is NaN or there are
    /// none; integers and bool give f32; f16 and bf16 are computed in f32.
    ///
    /// The mean of two elements has half the one and half the other, which does not overflow. It takes linear time.
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
    /// [`ErrorKind::Axis`] if there is no such axis; else those of [`Expr::sort`].
    #[track_caller]
    pub fn median(&self, axes: impl IntoAxes) -> Expr {
        const OP: &str = "median";
        let at = Location::caller();
        let axes = axes.into_axes();
        carry(at, || {
            let rows = Rows::of(OP, self, &axes, false, at)?;
            rows.quantile(OP, 0.5, QuantileMethod::Linear, at)
        })
    }

    /// The median along axes of what is not NaN; NaN where nothing is. Otherwise as [`Expr::median`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[3., f32::NAN, 2., 9.], [f32::NAN, 1., 4., f32::NAN]];
    /// assert_eq!(x.nanmedian(1).to_vec::<f32>()?, [3., 2.5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Expr::median`].
    #[track_caller]
    pub fn nanmedian(&self, axes: impl IntoAxes) -> Expr {
        const OP: &str = "nanmedian";
        let at = Location::caller();
        let axes = axes.into_axes();
        carry(at, || {
            // among NaN the places of the middle are not known before the run
            let is_float = self.0.dtype.is_float();
            let rows = Rows::of(OP, self, &axes, is_float, at)?;
            match is_float && rows.n > 0 {
                true => rows.median_of_numbers(OP, at),
                false => rows.quantile(OP, 0.5, QuantileMethod::Linear, at),
            }
        })
    }

    /// Quantiles along axes, by one of NumPy's methods: `q` is a number from 0 to 1, or several, for which the result has a first
    /// axis. NaN if any element is NaN or there are none.
    ///
    /// A method that picks an element (`Lower`, `Higher`, `Nearest`, `InvertedCdf`, `ClosestObservation`) gives it in the array's
    /// type. Of the others integers and bool give f32, and f16 and bf16 are computed in f32; a result is not beyond the two elements
    /// around it. Positions are computed in f64 for every type. It takes linear time: up to three quantiles are looked for
    /// each; for more the elements are sorted once. More than 32 are looked up by a list of their positions, so an expression without a
    /// device, such as a generator, is computed on the CPU then.
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
    /// [`ErrorKind::Argument`] if a `q` is not from 0 to 1, or there is none; [`ErrorKind::LimitExceeded`] for more than 32
    /// quantiles of 2^31 or more elements; [`ErrorKind::Shape`] if a method picks an element of
    /// an integer array that has none; [`ErrorKind::Axis`] if there is no such axis; else those of [`Expr::sort`].
    #[track_caller]
    pub fn quantile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "quantile", whole: 1.0, numbers: false, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }

    /// As [`Expr::quantile`], with percentages from 0 to 100.
    ///
    /// ```
    /// use cupric::{QuantileMethod, array};
    /// let x = array![3., 1., 2., 9.];
    /// assert_eq!(x.percentile(25.0, 0, QuantileMethod::Linear).item::<f32>()?, 1.75);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Expr::quantile`].
    #[track_caller]
    pub fn percentile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "percentile", whole: 100.0, numbers: false, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }

    /// Quantiles along axes of what is not NaN; NaN where nothing is. Otherwise as [`Expr::quantile`].
    ///
    /// Where a quantile stands among so many numbers is looked up, for every number of them that a row can have, in a table
    /// that the host computes when this is called: memory and time for it are as those for one row, for each `q`. An
    /// expression without a device, such as a generator, is computed on the CPU.
    ///
    /// ```
    /// use cupric::{QuantileMethod, array};
    /// let x = array![[3., f32::NAN, 2., 9.], [f32::NAN, 1., 4., f32::NAN]];
    /// assert_eq!(x.nanquantile(0.25, 1, QuantileMethod::Linear).to_vec::<f32>()?, [2.5, 1.75]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Expr::quantile`]; [`ErrorKind::LimitExceeded`] for 2^31 or more elements along the axes, and
    /// [`ErrorKind::OutOfMemory`] if there is no memory for the table.
    #[track_caller]
    pub fn nanquantile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "nanquantile", whole: 1.0, numbers: true, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }

    /// As [`Expr::nanquantile`], with percentages from 0 to 100.
    ///
    /// ```
    /// use cupric::{QuantileMethod, array};
    /// let x = array![3., f32::NAN, 2., 9.];
    /// assert_eq!(x.nanpercentile(25.0, 0, QuantileMethod::Linear).item::<f32>()?, 2.5);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Expr::nanquantile`].
    #[track_caller]
    pub fn nanpercentile(&self, q: impl Quantiles, axes: impl IntoAxes, method: QuantileMethod) -> Expr {
        let asked = Asked { op: "nanpercentile", whole: 100.0, numbers: true, method };
        quantiles(self, q.list(), asked, &axes.into_axes(), Location::caller())
    }
}

/// Which quantiles: of numbers up to `whole`, of all elements or of those that are numbers.
struct Asked {
    op: &'static str,
    whole: f64,
    numbers: bool,
    method: QuantileMethod,
}

/// The quantiles `q / whole` along axes.
fn quantiles(e: &Expr, (q, several): (Vec<f64>, bool), asked: Asked, axes: &AxesArg, at: Loc) -> Expr {
    let Asked { op, whole, numbers, method } = asked;
    carry(at, || {
        let rows = Rows::of(op, e, axes, numbers || q.len() > FEW, at)?;
        if let Some(q) = q.iter().find(|q| !(0.0..=whole).contains(*q)) {
            return Err(Error::with_line(ErrorKind::Argument, op, format!("{q} is not between 0 and {whole}"), at));
        }
        let q: Vec<f64> = q.into_iter().map(|q| q / whole).collect();
        let of_numbers = numbers && rows.e.0.dtype.is_float() && rows.n > 0;
        match &q[..] {
            [] => Err(Error::with_line(ErrorKind::Argument, op, "at least one number is needed", at)),
            _ if of_numbers => rows.quantiles_of_numbers(op, &q, several, method, at),
            [q] if !several => rows.quantile(op, *q, method, at),
            // all are alike where there is nothing
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

/// An operand whose elements along axes are put in order.
struct Rows<'a> {
    e: Expr,
    axes: &'a AxesArg,
    /// The elements along the last axis; the axes that are not reduced before it.
    rows: Expr,
    /// Whether they are sorted; else those that are needed are looked for.
    is_sorted: bool,
    /// How many elements a row has.
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
        // an axis alone is sorted where it is; several are copied into one
        let rows = match reduced.len() {
            1 => turned,
            _ => {
                let lengths: Vec<isize> = out.iter().chain(&[n]).map(|n| *n as isize).collect();
                reshape(op, &turned, &lengths, at)
            }
        };
        // of less than two elements nothing is to be looked for
        let is_sorted = sort || n < 2 || out.contains(&0);
        let rows = match is_sorted {
            true => named(op, sorted(&SORT, &rows, SortAxis { axis: -1, descending: false }, at), at),
            false => rows,
        };
        rows.checked()?;
        Ok(Rows { e, axes, rows, is_sorted, n, shape: out })
    }

    /// The elements of each row at two places of their order, of which the second is the first or the one after it; and the last.
    fn in_order(&self, op: &'static str, low: usize, high: usize, at: Loc) -> Result<[Expr; 3]> {
        let (from, places) = match self.is_sorted {
            true => (self.rows.clone(), [low, high, self.n - 1]),
            false => {
                let axis = self.shape.len();
                let selected = along_axis(&SELECT, &self.rows, axis, false, &[low as u64, high as u64], at)?;
                (named(op, selected, at), [0, 1, 2])
            }
        };
        Ok(places.map(|i| {
            let items = [SliceItem::Ellipsis, SliceItem::Index(i as isize)];
            view(op, &from, at, |s| View::slice(s, &items))
        }))
    }

    fn quantile(&self, op: &'static str, q: f64, method: QuantileMethod, at: Loc) -> Result<Expr> {
        let dtype = if method.picks() { self.e.0.dtype } else { self.e.0.dtype.float() };
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
        // NaN is last in order
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
        let value = if method.picks() { value } else { narrow(value, &self.e, at) };
        Ok(expanded(named(op, value, at), &self.e, self.axes, at))
    }

    /// Fails if positions in a row do not fit i32, in which tables have them.
    fn fits(&self, op: &'static str, at: Loc) -> Result<()> {
        match self.n < i32::MAX as usize {
            true => Ok(()),
            false => {
                let detail = format!("{} elements along the axes; their positions must fit i32", self.n);
                Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at))
            }
        }
    }

    /// How many numbers each row of floats has, with a last axis of length 1.
    fn numbers(&self, op: &'static str, at: Loc) -> Result<Expr> {
        self.fits(op, at)?;
        let number = unary(&logic::logical_not, unary(&logic::isnan, &self.rows, at), at);
        let last = AxesArg { keep: true, ..(-1isize).into_axes() };
        Ok(reduce(op, Fold::of(&arithmetic::add), &cast(number, DType::I32, at), &last, at))
    }

    /// The element of each row at a position of its own.
    fn at_each(&self, op: &'static str, positions: Expr, at: Loc) -> Expr {
        let axis = self.shape.len();
        let element = take_along(&self.rows, positions, axis as isize, IndexMode::Clip, at);
        view(op, &element, at, |s| Ok(View::drop_axes(s, &[axis])))
    }

    /// The median of each row's numbers, of floats.
    fn median_of_numbers(&self, op: &'static str, at: Loc) -> Result<Expr> {
        let count = self.numbers(op, at)?;
        let int = |v: i128| Expr::fill(Scalar::Int(v), smallvec![], DType::I32, at);
        let half = |e: &Expr| binary(&logic::bitwise_right_shift, e, int(1), at);
        // without numbers both are the first element, which is NaN then
        let places = [half(&binary(&arithmetic::subtract, &count, int(1), at)), half(&count)];
        let [low, high] = places.map(|i| self.at_each(op, i, at));
        let value = narrow(between(&low, &high, 0.5, at), &self.e, at);
        Ok(expanded(named(op, value, at), &self.e, self.axes, at))
    }

    /// Quantiles by lists of their places, at which all rows are read.
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
                // of one place alone both parts are the element, which may be infinite
                let alone = self.table(op, &[q.len()], |k| place(k).first() == place(k).second(), at)?;
                choose(alone, low.clone(), mixed([&low, &high], [first, second], at), at)
            }
        };
        // NaN is last in order
        let value = match self.e.0.dtype.is_float() {
            true => {
                let last = SliceItem::Range { start: Some(-1), end: None, step: 1 };
                let last = view(op, &self.rows, at, |s| View::slice(s, &[SliceItem::Ellipsis, last]));
                choose(unary(&logic::isnan, &last, at), f64::NAN, value, at)
            }
            false => value,
        };
        let value = if method.picks() { value } else { narrow(value, &self.e, at) };
        Ok(self.in_front(named(op, value, at), at))
    }

    /// Quantiles of each row's numbers, of floats.
    fn quantiles_of_numbers(
        &self,
        op: &'static str,
        q: &[f64],
        several: bool,
        method: QuantileMethod,
        at: Loc,
    ) -> Result<Expr> {
        let (axis, count) = (self.shape.len(), self.numbers(op, at)?);
        // for each number of numbers a row of the tables, with all quantiles
        let lengths = [self.n + 1, q.len()];
        let place = |i: usize| match i / q.len() {
            0 => Place { low: 0, high: 0, share: 0.0 },
            n => method.place(n, q[i % q.len()]),
        };
        let look = |table: Expr| {
            let rows = take(&table, count.clone(), 0, IndexMode::Clip, at);
            view(op, &rows, at, |s| Ok(View::drop_axes(s, &[axis])))
        };
        let element = |positions: Expr| take_along(&self.rows, positions, axis as isize, IndexMode::Clip, at);
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
        // one that is below 1 stays there
        let most = if self.e.0.dtype == DType::F64 { 1.0 } else { 1.0 - f64::from(f32::EPSILON) / 2.0 };
        let share = |i: usize| Some(place(i).share).filter(|s| *s < 1.0).unwrap_or(0.0).min(most);
        let share = look(self.shares(op, &lengths, share, at)?);
        let number = |v: i128, dtype: DType| Expr::fill(Scalar::Int(v), smallvec![], dtype, at);
        let next = binary(&arithmetic::add, &places, number(1, DType::I32), at);
        let (low, high) = (wide(&low, at), wide(&element(next), at));
        let rest = binary(&arithmetic::subtract, number(1, low.0.dtype), &share, at);
        let mixed = mixed([&low, &high], [rest, share.clone()], at);
        // the element after the last number is NaN
        let alone = binary(&logic::equal, &share, number(0, low.0.dtype), at);
        Ok(finished(narrow(choose(alone, low, mixed, at), &self.e, at)))
    }

    /// A result of several quantiles whose last axis is theirs, with that axis in front.
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

    /// A table of shares of a distance, in the type in which the rows are computed.
    fn shares(&self, op: &'static str, shape: &[usize], of: impl Fn(usize) -> f64, at: Loc) -> Result<Expr> {
        match self.e.0.dtype == DType::F64 {
            true => self.table(op, shape, of, at),
            false => self.table(op, shape, |i| of(i) as f32, at),
        }
    }

    /// A function of the number of an element in C order, on the device.
    fn table<T: Element>(&self, op: &'static str, shape: &[usize], of: impl Fn(usize) -> T, at: Loc) -> Result<Expr> {
        let n = layout::size_of_shape(shape).map_err(|f| f.at(op, at))?;
        let mut table = room(n, op, at)?;
        table.extend((0..n).map(of));
        let there = Array::adopt(table, shape, at).to_device(&Device::of(self.e.0.device)).map_err(|e| e.or_at(at))?;
        Ok((*there).clone())
    }
}

/// The number that is between two, of which the second is not less, at a share of their distance.
fn between(low: &Expr, high: &Expr, share: f64, at: Loc) -> Expr {
    let (low, high) = (wide(low, at), wide(high, at));
    if share == 1.0 {
        return high;
    }
    let part = |share: f64| Expr::fill(Scalar::Float(share), smallvec![], low.0.dtype, at);
    mixed([&low, &high], [part(1.0 - share), part(share)], at)
}

/// The number between two of which each has a part.
fn mixed([low, high]: [&Expr; 2], [first, second]: [Expr; 2], at: Loc) -> Expr {
    // each part is off by two roundings of its own size at most; the difference of the two may be off by more. What the
    // roundings put beyond the two numbers is clipped, so that equal ones give themselves
    let part = |e: &Expr, share: Expr| binary(&arithmetic::multiply, e, share, at);
    let sum = binary(&arithmetic::add, part(low, first), part(high, second), at);
    binary(&arithmetic::minimum, binary(&arithmetic::maximum, sum, low, at), high, at)
}
