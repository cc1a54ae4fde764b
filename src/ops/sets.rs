//! Set functions, by sorting: in sorted order, an element that differs from the previous one is the first of its value.
//!
//! As in the Array API, a NaN equals nothing, not even a NaN, so each NaN is a separate value. −0 equals +0.

use crate::array::{Array, eval_all};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Combine, Shape, SliceItem, View};
use crate::graph::expr::{
    Args, Expr, NodeOp, Operand, binary, carry, cast, common, operand, reshape, strong, ufunc, view,
};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::join;
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;
use std::panic::Location;

/// The result of [`Expr::unique_all`].
#[derive(Clone, Debug)]
pub struct UniqueAll {
    /// The values, in ascending order, NaNs last.
    pub values: Array,
    /// The position, in C order, of the first occurrence of each value: i64.
    pub indices: Array,
    /// For each element of the operand, the index of its value in `values`: i64, in the operand's shape.
    pub inverse_indices: Array,
    /// The number of occurrences of each value: i64.
    pub counts: Array,
}

/// The result of [`Expr::unique_counts`].
#[derive(Clone, Debug)]
pub struct UniqueCounts {
    /// The values, in ascending order, NaNs last.
    pub values: Array,
    /// The number of occurrences of each value: i64.
    pub counts: Array,
}

/// The result of [`Expr::unique_inverse`].
#[derive(Clone, Debug)]
pub struct UniqueInverse {
    /// The values, in ascending order, NaNs last.
    pub values: Array,
    /// For each element of the operand, the index of its value in `values`: i64, in the operand's shape.
    pub inverse_indices: Array,
}

impl Expr {
    /// Returns the distinct elements, in ascending order, as an array of one axis. Each NaN is a separate value. −0 and
    /// +0 are one value, and the result has the first of them in C order.
    ///
    /// It computes immediately, because the result's length depends on the elements. It takes one sort, so linear time,
    /// and reads one number back. NumPy's `unique` treats all NaNs as one value unless `equal_nan=False`.
    ///
    /// ```
    /// let x = cupric::array![[3, 1], [1, 3]];
    /// assert_eq!(x.unique_values()?.to_vec::<i32>()?, [1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for 2^32 elements or more; the errors of [`Expr::eval`] and [`Expr::item`].
    #[doc(alias = "unique")]
    #[track_caller]
    pub fn unique_values(&self) -> Result<Array> {
        const OP: &str = "unique_values";
        let at = Location::caller();
        let sorted = flat(OP, self, at)?.sort(0).eval_at(at)?;
        sorted.compress(is_first(OP, &sorted, at))
    }

    /// Returns the distinct elements like [`Expr::unique_values`], for code that must not block; see
    /// [`Expr::compress_async`].
    ///
    /// # Errors
    /// As [`Expr::unique_values`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let distinct = cupric::array![3, 1, 1, 3].unique_values_async().await?;
    /// assert_eq!(distinct.to_vec_async::<i32>().await?, [1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn unique_values_async(&self) -> impl Future<Output = Result<Array>> + Send + use<> {
        const OP: &str = "unique_values_async";
        let at = Location::caller();
        let sorted = flat(OP, self, at).and_then(|x| x.sort(0).eval_at(at));
        let selecting = sorted.map(|sorted| sorted.compress_async(is_first(OP, &sorted, at)));
        async move { selecting?.await }
    }

    /// Returns the distinct elements like [`Expr::unique_values`], and the number of occurrences of each.
    ///
    /// ```
    /// let found = cupric::array![3, 1, 3].unique_counts()?;
    /// assert_eq!(found.values.to_vec::<i32>()?, [1, 3]);
    /// assert_eq!(found.counts.to_vec::<i64>()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Expr::unique_values`].
    #[doc(alias = "value_counts")]
    #[track_caller]
    pub fn unique_counts(&self) -> Result<UniqueCounts> {
        const OP: &str = "unique_counts";
        let at = Location::caller();
        let sorted = flat(OP, self, at)?.sort(0).eval_at(at)?;
        let starts = is_first(OP, &sorted, at).flatnonzero()?;
        let [values, counts] = both([picked(OP, &sorted, &starts, at), lengths(OP, &starts, sorted.size(), at)], at)?;
        Ok(UniqueCounts { values, counts })
    }

    /// Returns the distinct elements like [`Expr::unique_values`], and for each element the index of its value among
    /// them. Taking the values at these indices restores the array.
    ///
    /// ```
    /// let found = cupric::array![[3, 1], [3, 5]].unique_inverse()?;
    /// assert_eq!(found.values.to_vec::<i32>()?, [1, 3, 5]);
    /// assert_eq!(found.inverse_indices.to_vec::<i64>()?, [1, 0, 1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Expr::unique_values`]; [`ErrorKind::LimitExceeded`] for 2^31 elements or more.
    #[doc(alias = "factorize")]
    #[track_caller]
    pub fn unique_inverse(&self) -> Result<UniqueInverse> {
        const OP: &str = "unique_inverse";
        let at = Location::caller();
        let groups = Groups::of(OP, self, at)?;
        let values = groups.sorted.compress(&groups.is_first)?;
        Ok(UniqueInverse { values, inverse_indices: groups.inverse(OP, &self.checked()?.shape, at)? })
    }

    /// Returns the distinct elements like [`Expr::unique_values`], the position of the first occurrence of each, for
    /// each element the index of its value, and the number of occurrences of each value.
    ///
    /// ```
    /// let found = cupric::array![5, 3, 5, 1].unique_all()?;
    /// assert_eq!(found.values.to_vec::<i32>()?, [1, 3, 5]);
    /// assert_eq!(found.indices.to_vec::<i64>()?, [3, 1, 0]);
    /// assert_eq!(found.inverse_indices.to_vec::<i64>()?, [2, 1, 2, 0]);
    /// assert_eq!(found.counts.to_vec::<i64>()?, [1, 1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Expr::unique_inverse`].
    #[track_caller]
    pub fn unique_all(&self) -> Result<UniqueAll> {
        const OP: &str = "unique_all";
        let at = Location::caller();
        let groups = Groups::of(OP, self, at)?;
        let starts = groups.is_first.flatnonzero()?;
        let size = groups.sorted.size();
        let picked = |from: &Expr| picked(OP, from, &starts, at);
        let inverse_indices = groups.inverse(OP, &self.checked()?.shape, at)?;
        // the sort is stable, so the first of equal elements in sorted order is also the first of them in the array
        let [values, indices] = both([picked(&groups.sorted), picked(&groups.order)], at)?;
        let counts = lengths(OP, &starts, size, at).eval_at(at)?;
        Ok(UniqueAll { values, indices, inverse_indices, counts })
    }

    /// Returns, for each element, whether it occurs in another array, as bool. It sorts the other array, and searches
    /// in it by bisection. The two arrays are compared in their common dtype. A NaN equals no element of an array, and
    /// −0 equals +0. The opposite is `!x.isin(..)`.
    ///
    /// ```
    /// let x = cupric::array![[1, 2], [3, 4]];
    /// assert_eq!(x.isin(cupric::array![4, 1, 7]).to_vec::<bool>()?, [true, false, false, true]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries an [`ErrorKind::DType`] error if the two have no common dtype, and
    /// [`ErrorKind::LimitExceeded`] if the other array has 2^31 elements or more.
    #[doc(alias = "in1d")]
    #[track_caller]
    pub fn isin(&self, elements: impl Operand) -> Expr {
        let at = Location::caller();
        isin("isin", self, operand(elements, at), at)
    }

    /// Returns the distinct elements that are in both arrays, in ascending order, like [`Expr::unique_values`] of their
    /// common dtype. The result has no NaNs, because a NaN equals no other element.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![3, 1, 3, 2].intersect(array![3, 2, 7])?.to_vec::<i32>()?, [2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Expr::isin`] and [`Expr::unique_values`].
    #[doc(alias = "intersect1d")]
    #[track_caller]
    pub fn intersect(&self, other: impl Operand) -> Result<Array> {
        const OP: &str = "intersect";
        let at = Location::caller();
        let [x, other] = of_one_type(OP, self, operand(other, at), at)?;
        let values = x.unique_values()?;
        values.compress(isin(OP, &values, other, at))
    }

    /// Returns the distinct elements of both arrays together, in ascending order, like [`Expr::unique_values`] of their
    /// common dtype.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![3, 1, 3].union(array![[3, 2]])?.to_vec::<i32>()?, [1, 2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::DType`] if the arrays have no common dtype; the errors of [`Expr::unique_values`].
    #[doc(alias = "union1d")]
    #[track_caller]
    pub fn union(&self, other: impl Operand) -> Result<Array> {
        const OP: &str = "union";
        let at = Location::caller();
        let [x, other] = of_one_type(OP, self, operand(other, at), at)?;
        join(OP, vec![flat(OP, &x, at)?, flat(OP, &other, at)?], 0, at).unique_values()
    }

    /// Returns the distinct elements of the array that are not in another one, in ascending order, like
    /// [`Expr::unique_values`] of their common dtype. NaNs of the array are kept, because a NaN equals no element of
    /// the other array.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![3, 1, 3, 2].setdiff(array![3, 7])?.to_vec::<i32>()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Expr::isin`] and [`Expr::unique_values`].
    #[doc(alias = "setdiff1d")]
    #[track_caller]
    pub fn setdiff(&self, other: impl Operand) -> Result<Array> {
        const OP: &str = "setdiff";
        let at = Location::caller();
        let [x, other] = of_one_type(OP, self, operand(other, at), at)?;
        let values = x.unique_values()?;
        let is_in = isin(OP, &values, other, at);
        values.compress(ufunc(&logic::logical_not, smallvec![is_in.into_arg()], at))
    }
}

/// Returns the elements in C order along one axis.
fn flat(op: &'static str, e: &Expr, at: Loc) -> Result<Expr> {
    let flat = reshape(op, e, &[-1], at);
    flat.checked()?;
    Ok(flat)
}

/// Returns the elements `from..to` of an array of one axis.
fn part(op: &'static str, e: &Expr, from: isize, to: isize, at: Loc) -> Expr {
    let range = SliceItem::Range { start: Some(from), end: Some(to), step: 1 };
    view(op, e, at, |shape| View::slice(shape, &[range]))
}

/// Returns, for each sorted element, whether it differs from the previous one.
fn is_first(op: &'static str, sorted: &Array, at: Loc) -> Expr {
    let n = sorted.size() as isize;
    let first = Expr::fill_on(sorted.0.device, Scalar::Int(1), smallvec![n.min(1) as usize], DType::Bool, at);
    if n < 2 {
        return first;
    }
    let differs = binary(&logic::not_equal, part(op, sorted, 1, n, at), part(op, sorted, 0, n - 1, at), at);
    join(op, vec![first, differs], 0, at)
}

/// Returns the elements at the given positions, which must be in range.
fn picked(op: &'static str, e: &Expr, positions: &Expr, at: Loc) -> Expr {
    carry(at, || {
        let shape = positions.checked()?.shape.clone();
        let n = layout::product(&e.checked()?.shape);
        if n > i32::MAX as usize {
            let detail = format!("{n} elements; their positions must fit i32");
            return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
        }
        let i = cast(positions.clone(), DType::I32, at);
        let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: op };
        Ok(Expr::node(take, smallvec![i, e.clone()], shape, e.0.dtype, e.0.device, at))
    })
}

/// Returns the lengths of the runs that begin at the given positions. Together they have `size` elements.
fn lengths(op: &'static str, starts: &Array, size: usize, at: Loc) -> Expr {
    let n = starts.size() as isize;
    if n == 0 {
        return (**starts).clone();
    }
    let end = Expr::fill_on(starts.0.device, Scalar::Int(size as i128), smallvec![1], DType::I64, at);
    let ends = join(op, vec![part(op, starts, 1, n, at), end], 0, at);
    binary(&arithmetic::subtract, ends, starts, at)
}

fn both([a, b]: [Expr; 2], at: Loc) -> Result<[Array; 2]> {
    eval_all([&a, &b]).map_err(|e| e.or_at(at))
}

/// An array's elements in sorted order.
struct Groups {
    /// The position of each sorted element in the array.
    order: Array,
    sorted: Array,
    /// Whether each sorted element differs from the previous one.
    is_first: Array,
}

impl Groups {
    fn of(op: &'static str, e: &Expr, at: Loc) -> Result<Groups> {
        let flat = flat(op, e, at)?.eval_at(at)?;
        let order = flat.argsort(0).eval_at(at)?;
        let sorted = picked(op, &flat, &order, at).eval_at(at)?;
        let is_first = is_first(op, &sorted, at).eval_at(at)?;
        Ok(Groups { order, sorted, is_first })
    }

    /// Returns, for each element of the array, the index of its group.
    fn inverse(&self, op: &'static str, shape: &[usize], at: Loc) -> Result<Array> {
        let (n, device) = (self.order.size(), self.order.0.device);
        let back: Vec<isize> = shape.iter().map(|n| *n as isize).collect();
        if n == 0 {
            return reshape(op, &self.order, &back, at).eval_at(at);
        }
        let upto = cast(self.is_first.cumulative_sum(0), DType::U32, at);
        let number = binary(&arithmetic::subtract, upto, 1, at);
        // each position occurs once, so the maximum with 0 is the index itself
        let zeros = Expr::fill_on(device, Scalar::Int(0), smallvec![n], DType::U32, at);
        let order = cast((*self.order).clone(), DType::I32, at);
        let scatter = NodeOp::Scatter { axis: 0, mode: IndexMode::Clip, combine: Combine::Max, name: op };
        let args: Args = smallvec![zeros, order, number];
        let placed = Expr::node(scatter, args, smallvec![n], DType::U32, device, at);
        reshape(op, &cast(placed, DType::I64, at), &back, at).eval_at(at)
    }
}

/// Casts two arrays to their common dtype.
fn of_one_type(op: &'static str, a: &Expr, b: Expr, at: Loc) -> Result<[Expr; 2]> {
    let (a, b) = (strong(a.clone(), at), strong(b, at));
    common(op, [&a, &b].into_iter(), at)?;
    let (x, y) = (a.0.dtype, b.0.dtype);
    let dtype = x.promote(y).ok_or_else(|| {
        let detail = format!("dtypes {x} and {y} have no common type; use astype");
        Error::with_line(ErrorKind::DType, op, detail, at)
    })?;
    Ok([cast(a, dtype, at), cast(b, dtype, at)])
}

/// For each element of `x`, finds the last sorted element that is not greater than it, and compares the two.
fn isin(op: &'static str, x: &Expr, elements: Expr, at: Loc) -> Expr {
    carry(at, || {
        let [x, elements] = of_one_type(op, x, elements, at)?;
        let device = common(op, [&x, &elements].into_iter(), at)?;
        let shape: Shape = x.0.shape.clone();
        let n = layout::product(&elements.0.shape);
        if n > i32::MAX as usize {
            let detail = format!("{n} elements to search in; their positions must fit i32");
            return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
        }
        if n == 0 || shape.contains(&0) {
            return Ok(Expr::fill_on(device, Scalar::Int(0), shape, DType::Bool, at));
        }
        let sorted = flat(op, &elements, at)?.sort(0);
        sorted.checked()?;
        let dtype = sorted.0.dtype;
        let found = |i: &Expr| {
            let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: op };
            Expr::node(take, smallvec![i.clone(), sorted.clone()], shape.clone(), dtype, device, at)
        };
        let mut first = Expr::fill_on(device, Scalar::Int(0), shape.clone(), DType::I32, at);
        let mut left = n;
        while left > 1 {
            let half = left / 2;
            let middle = binary(&arithmetic::add, &first, half, at);
            let is_upper = binary(&logic::less_equal, found(&middle), &x, at);
            first = ufunc(&logic::SELECT, smallvec![is_upper.into_arg(), middle.into_arg(), first.into_arg()], at);
            left -= half;
        }
        Ok(binary(&logic::equal, found(&first), &x, at))
    })
}
