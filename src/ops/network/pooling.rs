//! Pools: the maximum or the mean of each window.
//!
//! The derivative with respect to a window's result is divided equally among the window's elements inside the array
//! (for a mean), or among its elements that equal the maximum. The amount that each of these elements gets is the
//! *share* of the window. The derivative with respect to an element of the input is the sum of the shares of the
//! windows that contain it. There are three ways to compute this sum:
//! * `sum_of_shares`: one kernel computes which windows contain an element, and reads their shares.
//! * `shares_of_tiles`: if windows follow each other without gaps or overlaps, each element has at most one window.
//! * `sum_of_phases`: if windows have few elements, the shares are read as slices, which is faster than reading at
//!   computed positions.

use super::options::{AllWindows, Pool, Windows, numbers, windows as windows_over};
use super::windows::{FEW, affine, every, interleaved, ruled, windows};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{AxesArg, IndexMode, Shape, View, product};
use crate::graph::expr::{Expr, Reach, binary, cast, choose, composed, reduce, reshape, result_of, strong, view};
use crate::graph::ufunc::{Fold, Ufunc, arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::functions::{narrow, wide};
use crate::ops::index::take;
use crate::ops::movement::pad_constant;
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// # Pooling
impl Expr {
    /// Returns the maxima of windows along one spatial axis of an array of shape `[batch, channels, length]`.
    /// Everything else is as in [`Expr::max_pool2d`].
    ///
    /// ```
    /// let x = cupric::array![[[1., 5., 2., 3.]]];
    /// assert_eq!(x.max_pool1d(2).to_vec::<f32>()?, [5., 3.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn max_pool1d(&self, options: impl Into<Pool>) -> Expr {
        pool("max_pool1d", Kind::Max, self, 1, &options.into(), Location::caller())
    }

    /// Returns the maxima of windows along two spatial axes of an array of shape `[batch, channels, height, width]`, or
    /// `[batch, height, width, channels]` with [`Pool::channels_last`]. The array may have no batch axis. The default
    /// stride is the length of the window.
    ///
    /// Each maximum is taken over the elements inside the array, without the padding. The maximum of a window with a
    /// NaN is NaN, as in [`Expr::max`]. If several elements equal the maximum, they share its derivative equally. The
    /// result has the dtype of the array.
    ///
    /// ```
    /// use cupric::{Pool, array, grad};
    /// let x = array![[[[1., 2., 3.], [4., 5., 6.], [7., 8., 9.]]]];
    /// assert_eq!(x.max_pool2d(Pool::new(2).stride(1)).to_vec::<f32>()?, [5., 6., 8., 9.]);
    /// let [d] = grad(&x.max_pool2d(Pool::new(3).stride(2).padding(1)).sum(..), [&x]);
    /// assert_eq!(d.to_vec::<f32>()?, [0., 0., 0., 0., 1., 1., 0., 1., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the array has a wrong number of axes, or if a window is longer
    /// than a padded axis. It carries [`ErrorKind::Argument`] if an option is out of range, [`ErrorKind::DType`] if the
    /// array is bool, and [`ErrorKind::LimitExceeded`] if the positions along an axis do not fit i32.
    #[track_caller]
    pub fn max_pool2d(&self, options: impl Into<Pool>) -> Expr {
        pool("max_pool2d", Kind::Max, self, 2, &options.into(), Location::caller())
    }

    /// Returns the maxima of windows along three spatial axes of an array of shape `[batch, channels, depth, height,
    /// width]`. Everything else is as in [`Expr::max_pool2d`].
    ///
    /// ```
    /// let x = cupric::ones([1, 2, 4, 4, 4], cupric::DType::F32);
    /// assert_eq!(x.max_pool3d([2, 2, 4]).shape()?, [1, 2, 2, 2, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn max_pool3d(&self, options: impl Into<Pool>) -> Expr {
        pool("max_pool3d", Kind::Max, self, 3, &options.into(), Location::caller())
    }

    /// Returns the means of windows along one spatial axis of an array of shape `[batch, channels, length]`. Everything
    /// else is as in [`Expr::avg_pool2d`].
    ///
    /// ```
    /// let x = cupric::array![[[1., 5., 2., 3.]]];
    /// assert_eq!(x.avg_pool1d(2).to_vec::<f32>()?, [3., 2.5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn avg_pool1d(&self, options: impl Into<Pool>) -> Expr {
        pool("avg_pool1d", Kind::Mean, self, 1, &options.into(), Location::caller())
    }

    /// Returns the means of windows along two spatial axes. Shapes, options and errors are as in [`Expr::max_pool2d`].
    /// The sum of a window is divided by the number of its elements inside the array, without padding, which is the
    /// default in ONNX. The means of integers are f32. f16 and bf16 are computed in f32.
    ///
    /// ```
    /// use cupric::{Pool, array};
    /// let x = array![[[[1., 2.], [3., 4.]]]];
    /// assert_eq!(x.avg_pool2d(2).to_vec::<f32>()?, [2.5]);
    /// assert_eq!(x.avg_pool2d(Pool::new(2).padding(1)).to_vec::<f32>()?, [1., 2., 3., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn avg_pool2d(&self, options: impl Into<Pool>) -> Expr {
        pool("avg_pool2d", Kind::Mean, self, 2, &options.into(), Location::caller())
    }

    /// Returns the means of windows along three spatial axes of an array of shape `[batch, channels, depth, height,
    /// width]`. Everything else is as in [`Expr::avg_pool2d`].
    ///
    /// ```
    /// let x = cupric::ones([1, 2, 4, 4, 4], cupric::DType::F32);
    /// assert_eq!(x.avg_pool3d(4).to_vec::<f32>()?, [1., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn avg_pool3d(&self, options: impl Into<Pool>) -> Expr {
        pool("avg_pool3d", Kind::Mean, self, 3, &options.into(), Location::caller())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Max,
    Mean,
}

fn pool(op: &'static str, kind: Kind, x: &Expr, n: usize, options: &Pool, at: Loc) -> Expr {
    let build = || {
        let x = strong(x.clone(), at);
        x.checked()?;
        let shape = x.0.shape.as_slice();
        let wrong = |kind, detail: String| Err(Error::with_line(kind, op, detail, at));
        if x.0.dtype == DType::Bool {
            return wrong(ErrorKind::DType, "the array has dtype bool; use astype".into());
        }
        let is_single = shape.len() == n + 1;
        if !is_single && shape.len() != n + 2 {
            let detail = format!("shape {shape:?}: {} axes are needed, or {} without a batch", n + 2, n + 1);
            return wrong(ErrorKind::Shape, detail);
        }
        let batch = if is_single { view(op, &x, at, |s| View::expand(s, 0)) } else { x.clone() };
        let first = if options.is_last { 1 } else { 2 };
        let lengths: Shape = batch.0.shape[first..first + n].into();
        let window = numbers("window", &options.window, 1, n, (op, at))?;
        let stride = options.stride.as_ref().unwrap_or(&window);
        let lengths_of_windows: Shape = window.iter().map(|k| *k as usize).collect();
        let windows = windows_over(&lengths, &lengths_of_windows, (stride, &[1]), &options.padding, (op, at))?;
        for (j, v) in windows.iter().enumerate() {
            if v.before >= v.window || v.after() >= v.window {
                let detail = format!(
                    "padding of {} before and {} after spatial axis {j} must be less than the window of {}",
                    v.before,
                    v.after(),
                    v.window
                );
                return wrong(ErrorKind::Argument, detail);
            }
        }
        let places = windows.iter().map(|v| v.before + v.length + v.after());
        if let Some(far) = places.clone().find(|n| *n > i32::MAX as usize) {
            return wrong(ErrorKind::LimitExceeded, format!("an axis of {far} elements, whose positions must fit i32"));
        }
        let pooling = Pooling { op, kind, first, windows };
        let y = pooling.pooled(&batch, at)?;
        Ok(if is_single { view(op, &y, at, |s| Ok(View::drop_axes(s, &[0]))) } else { y })
    };
    composed(|| result_of(op, at, build))
}

#[derive(Clone)]
struct Pooling {
    op: &'static str,
    kind: Kind,
    /// The position of the first spatial axis, after a batch axis has been added.
    first: usize,
    windows: AllWindows,
}

impl Pooling {
    fn windows(&self, e: &Expr, with: Scalar, at: Loc) -> Expr {
        windows(self.op, e, self.first, &self.windows, with, at)
    }

    fn pooled(self, x: &Expr, at: Loc) -> Result<Expr> {
        if self.kind == Kind::Mean {
            return self.gathered(x, None, at).map(|y| narrow(y, x, at));
        }
        let pooling = self.clone();
        let least = match x.0.dtype {
            d if d.is_float() => Scalar::Float(f64::NEG_INFINITY),
            d => Scalar::Int(d.integer_range().0),
        };
        let y = self.combined(&arithmetic::maximum, &self.windows(x, least, at), at);
        y.checked()?;
        let largest = Largest { x: x.clone(), y: y.clone() };
        let of = largest.clone();
        let back = move |g: &Expr, at: Loc| Ok(vec![self.clone().spread(g, Some(of.clone()), at)?]);
        let picks = move |mask: Option<&Expr>, at: Loc| {
            let y = &largest.y.0;
            let all = || Expr::fill_on(y.device, Scalar::Float(1.0), y.shape.clone(), y.dtype, at);
            let count = mask.map_or_else(all, |mask| cast(mask.clone(), y.dtype, at));
            let shares = pooling.clone().spread(&count, Some(largest.clone()), at)?;
            Ok(Some(binary(&logic::greater, shares, 0.0, at)))
        };
        Ok(ruled(y, vec![x.clone()], (Box::new(back), Reach::Picked(Arc::new(picks))), at))
    }

    /// Returns whether windows have few elements. In this case each element of a window becomes a separate operand,
    /// read with a stride, because a reduction over few elements is slow.
    fn has_few(&self) -> bool {
        self.windows.iter().fold(1usize, |n, v| n.saturating_mul(v.window)) <= FEW
    }

    /// Folds the elements of each window: by a chain of binary operations if windows have few elements, otherwise by a
    /// reduction.
    fn combined(&self, row: &'static Ufunc, windows: &Expr, at: Loc) -> Expr {
        if windows.error().is_some() || !self.has_few() {
            let (n, count) = (windows.0.shape.len(), self.windows.len());
            let axes: SmallVec<[isize; 6]> = (n.saturating_sub(count)..n).map(|d| d as isize).collect();
            return reduce(self.op, Fold::of(row), windows, &AxesArg { axes: Some(axes), keep: false }, at);
        }
        let element = |i: usize| {
            view(self.op, windows, at, |s| {
                let kept = s.len() - self.windows.len();
                let (mut element, mut rest) = (affine(s[..kept].into(), s.len(), &[]), i);
                (0..kept).for_each(|d| element.coef[d * kept + d] = 1);
                for (d, v) in self.windows.iter().enumerate().rev() {
                    element.offset[kept + d] = (rest % v.window) as isize;
                    rest /= v.window;
                }
                Ok(element)
            })
        };
        let elements = self.windows.iter().map(|v| v.window).product();
        (1..elements).fold(element(0), |y, i| binary(row, y, element(i), at))
    }

    /// Returns the mean of the elements of each window. If `largest` is given, the mean is over only those elements
    /// whose values in `largest.x` equal the maximum of their window.
    fn gathered(self, e: &Expr, largest: Option<Largest>, at: Loc) -> Result<Expr> {
        let values = self.windows(&wide(e, at), Scalar::Int(0), at);
        values.checked()?;
        let values = match &largest {
            Some(largest) => choose(self.are_largest(largest, at), values, 0.0, at),
            None => values,
        };
        let y = binary(
            &arithmetic::divide,
            self.combined(&arithmetic::add, &values, at),
            self.count(e, largest.as_ref(), at),
            at,
        );
        y.checked()?;
        let back = move |g: &Expr, at: Loc| Ok(vec![self.clone().spread(g, largest.clone(), at)?]);
        Ok(ruled(y, vec![e.clone()], (Box::new(back), Reach::Anything), at))
    }

    /// Returns, for each element of the array, the sum of the shares of the windows that contain it. `g` has the
    /// derivatives with respect to the results of the windows. The share of a window is its element of `g` divided by
    /// the number of elements that receive it. This function is the transpose of [`Pooling::gathered`].
    fn spread(self, g: &Expr, largest: Option<Largest>, at: Loc) -> Result<Expr> {
        let shares = binary(&arithmetic::divide, wide(g, at), self.count(g, largest.as_ref(), at), at);
        shares.checked()?;
        let follow = |v: &Windows| v.window == v.stride && v.dilation == 1 && !v.is_padded();
        let phases = self.windows.iter().fold(1usize, |n, v| n.saturating_mul(v.stride));
        let d = match self.windows.iter().all(follow) {
            _ if self.has_few() && phases <= FEW => self.sum_of_phases(&shares, (g, largest.as_ref()), at)?,
            true => self.shares_of_tiles(&shares, largest.as_ref(), at)?,
            false => self.sum_of_shares(&shares, largest.as_ref(), at)?,
        };
        d.checked()?;
        let back = move |g: &Expr, at: Loc| Ok(vec![self.clone().gathered(g, largest.clone(), at)?]);
        Ok(ruled(d, vec![g.clone()], (Box::new(back), Reach::Anything), at))
    }

    /// Returns, for each element of each window, whether it equals the window's maximum.
    fn are_largest(&self, of: &Largest, at: Loc) -> Expr {
        let x = self.windows(&of.x, Scalar::Int(0), at);
        let mut y = of.y.clone();
        for _ in &self.windows {
            y = view(self.op, &y, at, |s| View::expand(s, -1));
        }
        let mut are = binary(&logic::equal, &x, y, at);
        if self.windows.iter().any(Windows::is_padded) && are.error().is_none() {
            // padding does not count, even if it equals the maximum
            let shape = are.0.shape.clone();
            for (j, v) in self.windows.iter().enumerate() {
                let window = binary(&arithmetic::multiply, iota(shape.clone(), self.first + j, at), v.stride, at);
                let element = iota(shape.clone(), shape.len() - self.windows.len() + j, at);
                let place = binary(&arithmetic::add, window, element, at);
                are = binary(&logic::logical_and, are, is_within(&place, v.before, v.before + v.length, at), at);
            }
        }
        are
    }

    /// Returns, for each window, the number of elements among which its derivative is divided, as f64 if `e` is f64 and
    /// otherwise as f32.
    fn count(&self, e: &Expr, largest: Option<&Largest>, at: Loc) -> Expr {
        let dtype = if e.0.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        if let Some(largest) = largest {
            return self.combined(&arithmetic::add, &cast(self.are_largest(largest, at), dtype, at), at);
        }
        let all: f64 = self.windows.iter().map(|v| v.window as f64).product();
        if !self.windows.iter().any(Windows::is_padded) {
            return Expr::fill(Scalar::Float(all), Shape::new(), dtype, at);
        }
        let mut shape: Shape = self.windows.iter().map(|v| v.count).collect();
        // if the channels are last, their axis follows the spatial axes
        shape.extend((self.first == 1).then_some(1));
        let mut count = Expr::fill(Scalar::Float(1.0), Shape::new(), dtype, at);
        for (j, v) in self.windows.iter().enumerate() {
            let begin = binary(&arithmetic::multiply, iota(shape.clone(), j, at), v.stride, at);
            let end = binary(&arithmetic::add, &begin, v.window, at);
            let inside = binary(
                &arithmetic::subtract,
                binary(&arithmetic::minimum, end, v.before + v.length, at),
                binary(&arithmetic::maximum, begin, v.before, at),
                at,
            );
            count = binary(&arithmetic::multiply, count, cast(inside, dtype, at), at);
        }
        count
    }

    /// Returns, for each element, the sum of the shares (see the module's documentation) of the windows that contain
    /// it, if windows have few elements. The elements whose positions in the padded array have the same remainder
    /// modulo the stride are called a *phase*. Each phase is a sum of slices of the padded shares. The phases are
    /// interleaved at the end.
    fn sum_of_phases(&self, shares: &Expr, (g, largest): (&Expr, Option<&Largest>), at: Loc) -> Result<Expr> {
        let counts: SmallVec<[usize; 3]> =
            self.windows.iter().map(|v| (v.before + v.length).div_ceil(v.stride)).collect();
        let ends = |front: &dyn Fn(usize, &Windows) -> (usize, usize)| {
            let mut widths = vec![(0, 0); g.0.shape.len()];
            self.windows.iter().enumerate().for_each(|(j, v)| widths[self.first + j] = front(j, v));
            widths
        };
        let beyond = ends(&|j, v| (v.window.div_ceil(v.stride) - 1, counts[j] - v.count));
        let around = |e: &Expr| pad_constant(self.op, e, &beyond, Scalar::Int(0), at);
        let (shares, mut of) = (around(shares), None);
        if let Some(Largest { x, y }) = largest {
            let whole = ends(&|j, v| (v.before, counts[j] * v.stride - v.before - v.length));
            of = Some((pad_constant(self.op, x, &whole, Scalar::Int(0), at), around(y)));
        }
        // returns `counts` elements along each spatial axis, beginning at the position `from`, `step` positions apart
        let part = |e: &Expr, of: &dyn Fn(usize, &Windows) -> (usize, usize)| {
            view(self.op, e, at, |s| {
                let (n, mut part) = (s.len(), View::identity(s));
                for (j, v) in self.windows.iter().enumerate() {
                    let (d, (from, step)) = (self.first + j, of(j, v));
                    (part.shape[d], part.offset[d], part.coef[d * n + d]) = (counts[j], from as isize, step as isize);
                }
                Ok(part)
            })
        };
        let zero = Expr::fill_on(shares.0.device, Scalar::Int(0), Shape::new(), shares.0.dtype, at);
        let mut shape: Shape = shares.checked()?.shape.clone();
        counts.iter().enumerate().for_each(|(j, n)| shape[self.first + j] = *n);
        let phase = |r: &[usize]| {
            let x = of.as_ref().map(|(x, y)| (part(x, &|j, v| (r[j], v.stride)), y));
            let parts: SmallVec<[usize; 3]> =
                self.windows.iter().zip(r).map(|(v, r)| v.window.saturating_sub(*r).div_ceil(v.stride)).collect();
            let share = |j: SmallVec<[usize; 3]>| {
                let shifted = |e: &Expr| part(e, &|d, v| (v.window.div_ceil(v.stride) - 1 - j[d], 1));
                match &x {
                    Some((x, y)) => choose(binary(&logic::equal, x, shifted(y), at), shifted(&shares), 0.0, at),
                    None => shifted(&shares),
                }
            };
            let sum = every(&parts).map(share).reduce(|a, b| binary(&arithmetic::add, a, b, at));
            sum.unwrap_or_else(|| view(self.op, &zero, at, |s| View::broadcast_to(s, &shape)))
        };
        let strides: SmallVec<[usize; 3]> = self.windows.iter().map(|v| v.stride).collect();
        let phases = every(&strides).map(|r| phase(&r)).collect();
        let all = interleaved(self.op, phases, &strides, self.first, at).unwrap_or(zero);
        let kept = |s: &[usize]| {
            let mut kept = View::identity(s);
            for (j, v) in self.windows.iter().enumerate() {
                (kept.shape[self.first + j], kept.offset[self.first + j]) = (v.length, v.before as isize);
            }
            Ok(kept)
        };
        Ok(view(self.op, &all, at, kept))
    }

    /// Returns, for each element, the share of its window (see the module's documentation). The windows follow each
    /// other without gaps, so each element is in one window, except for the last elements of an axis, which may be in
    /// none.
    fn shares_of_tiles(&self, shares: &Expr, largest: Option<&Largest>, at: Loc) -> Result<Expr> {
        let (n, ndim) = (self.windows.len(), shares.0.shape.len());
        let mut each = shares.clone();
        for _ in 0..n {
            each = view(self.op, &each, at, |s| View::expand(s, -1));
        }
        let full: Shape = shares.0.shape.iter().copied().chain(self.windows.iter().map(|v| v.window)).collect();
        let each = view(self.op, &each, at, |s| View::broadcast_to(s, &full));
        let values = match largest {
            Some(largest) => choose(self.are_largest(largest, at), each, 0.0, at),
            None => each,
        };
        let spatial = self.first..self.first + n;
        let element = |d: usize| spatial.contains(&d).then(|| (ndim + d - self.first) as isize);
        let order: SmallVec<[isize; 8]> =
            (0..ndim).flat_map(|d| [Some(d as isize), element(d)].into_iter().flatten()).collect();
        let values = view(self.op, &values, at, |s| View::permute(s, &order));
        let mut to: SmallVec<[isize; 6]> = shares.0.shape.iter().map(|n| *n as isize).collect();
        let mut widths = vec![(0, 0); ndim];
        for (d, v) in spatial.clone().zip(&self.windows) {
            to[d] *= v.window as isize;
            widths[d].1 = v.length - v.count * v.window;
        }
        let d = reshape(self.op, &values, &to, at);
        d.checked()?;
        Ok(match widths.iter().any(|w| w.1 > 0) {
            true => pad_constant(self.op, &d, &widths, Scalar::Int(0), at),
            false => d,
        })
    }

    /// Returns, for each element, the sum of the shares (see the module's documentation) of the windows that contain
    /// it. For each spatial axis, a new axis numbers these windows, starting from the one that begins last. The new
    /// axes are then summed. A sum written out term by term would be too large for one kernel.
    fn sum_of_shares(&self, shares: &Expr, largest: Option<&Largest>, at: Loc) -> Result<Expr> {
        let n = self.windows.len();
        let mut shape: Shape = self.windows.iter().map(|v| v.length).collect();
        shape.extend(self.windows.iter().map(|v| v.window.div_ceil(v.stride)));
        // `place` is the position of a window among all windows; `contains` is true if this window exists and contains
        // the element
        let mut place = Expr::fill(Scalar::Int(0), Shape::new(), DType::I32, at);
        let mut contains = Expr::fill(Scalar::Bool(true), Shape::new(), DType::Bool, at);
        for (j, v) in self.windows.iter().enumerate() {
            let from = binary(&arithmetic::add, iota(shape.clone(), j, at), v.before, at);
            let last = binary(&arithmetic::floor_divide, &from, v.stride, at);
            let window = binary(&arithmetic::subtract, last, iota(shape.clone(), n + j, at), at);
            let element = binary(&arithmetic::subtract, from, binary(&arithmetic::multiply, &window, v.stride, at), at);
            for condition in [binary(&logic::less, element, v.window, at), is_within(&window, 0, v.count, at)] {
                contains = binary(&logic::logical_and, contains, condition, at);
            }
            place = binary(&arithmetic::add, binary(&arithmetic::multiply, place, v.count, at), window, at);
        }
        // `place` is the same for all channels; it is −1 if the window does not exist or does not contain the element
        let place = choose(contains, place, -1, at);
        let mut contains = binary(&logic::greater_equal, &place, 0, at);
        if self.first == 1 {
            contains = view(self.op, &contains, at, |s| View::expand(s, -1));
        }
        let of_windows = |e: &Expr| {
            let mut to: SmallVec<[isize; 6]> = e.0.shape.iter().map(|n| *n as isize).collect();
            to.drain(self.first..self.first + n);
            to.insert(self.first, product(&e.0.shape[self.first..self.first + n]) as isize);
            take(&reshape(self.op, e, &to, at), place.clone(), self.first as isize, IndexMode::Clip, at)
        };
        if let Some(of) = largest {
            let mut x = of.x.clone();
            for _ in 0..n {
                x = view(self.op, &x, at, |s| View::expand(s, (self.first + n) as isize));
            }
            let is_largest = binary(&logic::equal, x, of_windows(&of.y), at);
            contains = binary(&logic::logical_and, contains, is_largest, at);
        }
        let all = choose(contains, of_windows(shares), 0.0, at);
        all.checked()?;
        let from = self.first + n;
        let axes: SmallVec<[isize; 6]> = (from..from + n).map(|d| d as isize).collect();
        Ok(reduce(self.op, Fold::of(&arithmetic::add), &all, &AxesArg { axes: Some(axes), keep: false }, at))
    }
}

/// The operand `x` and the result `y` of a maximum pool.
#[derive(Clone)]
struct Largest {
    x: Expr,
    y: Expr,
}

/// Returns whether each element of an i32 array is in `from..to`.
fn is_within(e: &Expr, from: usize, to: usize, at: Loc) -> Expr {
    let (low, high) = (binary(&logic::greater_equal, e, from, at), binary(&logic::less, e, to, at));
    binary(&logic::logical_and, low, high, at)
}
