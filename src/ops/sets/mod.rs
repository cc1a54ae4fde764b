//! Set functions. They sort the elements: in sorted order, an element that differs from the previous one is the first
//! one with its value.
//!
//! As in the Array API, a NaN equals nothing, not even a NaN, so each NaN is a separate value. −0 equals +0.

mod found;

use crate::array::Array;
use crate::base::error::Result;
use crate::graph::expr::{Expr, Operand};
use crate::plan::backend::wait;
use found::{chosen, counted, distinct, isin, of_both, with_all, with_inverse};
use std::panic::Location;

/// The distinct elements of an array, with their positions and counts: the result of [`Expr::unique_all`].
#[derive(Clone, Debug)]
pub struct UniqueAll {
    /// The distinct values, in ascending order, with NaNs last.
    pub values: Array,
    /// The position, in C order, of the first occurrence of each value, as i64.
    pub indices: Array,
    /// For each element of the array, the index of its value in `values`, as i64. The indices have the shape of the
    /// array.
    pub inverse_indices: Array,
    /// The number of occurrences of each value, as i64.
    pub counts: Array,
}

/// The distinct elements of an array and their counts: the result of [`Expr::unique_counts`].
#[derive(Clone, Debug)]
pub struct UniqueCounts {
    /// The distinct values, in ascending order, with NaNs last.
    pub values: Array,
    /// The number of occurrences of each value, as i64.
    pub counts: Array,
}

/// The distinct elements of an array, and the index of each element among them: the result of [`Expr::unique_inverse`].
#[derive(Clone, Debug)]
pub struct UniqueInverse {
    /// The distinct values, in ascending order, with NaNs last.
    pub values: Array,
    /// For each element of the array, the index of its value in `values`, as i64. The indices have the shape of the
    /// array.
    pub inverse_indices: Array,
}

/// # Sets
impl Expr {
    /// Returns the distinct elements, in ascending order, as an array of one axis. Each NaN is a separate value. −0 and
    /// +0 are one value, and the result has the first of them in C order.
    ///
    /// The function computes immediately, because the result's length depends on the elements. It sorts the elements
    /// once by [`Expr::sort`], and reads one number from the device: the length of the result. NumPy's `unique` treats
    /// all NaNs as one value unless `equal_nan=False`.
    ///
    /// ```
    /// let x = cupric::array![[3, 1], [1, 3]];
    /// assert_eq!(x.unique_values()?.to_vec::<i32>()?, [1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for 2^32 elements or more, and the errors
    /// of [`Expr::eval`] and [`Expr::item`].
    #[doc(alias = "unique")]
    #[track_caller]
    pub fn unique_values(&self) -> Result<Array> {
        let (op, at) = ("unique_values", Location::caller());
        wait(op, "unique_values_async", distinct(op, self, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::unique_values`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::unique_values`].
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
        distinct("unique_values_async", self, Location::caller())
    }

    /// Returns the distinct elements, as [`Expr::unique_values`] does, and the number of occurrences of each.
    ///
    /// ```
    /// let found = cupric::array![3, 1, 3].unique_counts()?;
    /// assert_eq!(found.values.to_vec::<i32>()?, [1, 3]);
    /// assert_eq!(found.counts.to_vec::<i64>()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Expr::unique_values`].
    #[doc(alias = "value_counts")]
    #[track_caller]
    pub fn unique_counts(&self) -> Result<UniqueCounts> {
        let (op, at) = ("unique_counts", Location::caller());
        wait(op, "unique_counts_async", counted(op, self, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::unique_counts`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::unique_counts`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let found = cupric::array![3, 1, 3].unique_counts_async().await?;
    /// assert_eq!(found.counts.to_vec_async::<i64>().await?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn unique_counts_async(&self) -> impl Future<Output = Result<UniqueCounts>> + Send + use<> {
        counted("unique_counts_async", self, Location::caller())
    }

    /// Returns the distinct elements, as [`Expr::unique_values`] does, and for each element of the array the index of
    /// its value among the distinct elements. Taking the values at these indices restores the array.
    ///
    /// ```
    /// let found = cupric::array![[3, 1], [3, 5]].unique_inverse()?;
    /// assert_eq!(found.values.to_vec::<i32>()?, [1, 3, 5]);
    /// assert_eq!(found.inverse_indices.to_vec::<i64>()?, [1, 0, 1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Expr::unique_values`], and [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded)
    /// for 2^31 elements or more.
    #[doc(alias = "factorize")]
    #[track_caller]
    pub fn unique_inverse(&self) -> Result<UniqueInverse> {
        let (op, at) = ("unique_inverse", Location::caller());
        wait(op, "unique_inverse_async", with_inverse(op, self, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::unique_inverse`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::unique_inverse`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let found = cupric::array![3, 1, 3].unique_inverse_async().await?;
    /// assert_eq!(found.inverse_indices.to_vec_async::<i64>().await?, [1, 0, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn unique_inverse_async(&self) -> impl Future<Output = Result<UniqueInverse>> + Send + use<> {
        with_inverse("unique_inverse_async", self, Location::caller())
    }

    /// Returns the distinct elements, as [`Expr::unique_values`] does, and for each distinct element the position of
    /// its first occurrence and the number of its occurrences. For each element of the array it also returns the index
    /// of its value among the distinct elements.
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
    /// Returns the errors of [`Expr::unique_inverse`].
    #[track_caller]
    pub fn unique_all(&self) -> Result<UniqueAll> {
        let (op, at) = ("unique_all", Location::caller());
        wait(op, "unique_all_async", with_all(op, self, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::unique_all`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::unique_all`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let found = cupric::array![3, 1, 3].unique_all_async().await?;
    /// assert_eq!(found.indices.to_vec_async::<i64>().await?, [1, 0]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn unique_all_async(&self) -> impl Future<Output = Result<UniqueAll>> + Send + use<> {
        with_all("unique_all_async", self, Location::caller())
    }

    /// Returns, for each element, whether it occurs in another array, as bool. The other array is sorted, and a binary
    /// search looks for each element. The two arrays are compared in their common dtype. A number adopts the array's dtype; a
    /// number that this dtype cannot hold equals no element. A NaN equals no element of an array, and −0 equals +0. The
    /// opposite is `!x.isin(..)`.
    ///
    /// ```
    /// let x = cupric::array![[1, 2], [3, 4]];
    /// assert_eq!(x.isin(cupric::array![4, 1, 7]).to_vec::<bool>()?, [true, false, false, true]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries an [`ErrorKind::DType`](crate::ErrorKind::DType) error if the two arrays have no common
    /// dtype, and [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) if the other array has 2^31 elements or
    /// more.
    #[doc(alias = "in1d")]
    #[track_caller]
    pub fn isin(&self, elements: impl Operand) -> Expr {
        let at = Location::caller();
        isin("isin", self, elements.into_expr(), at)
    }

    /// Returns the distinct elements that are in both arrays, in ascending order (NumPy's `intersect1d`). It computes
    /// immediately, like [`Expr::unique_values`]. The result has the common dtype of the arrays. It has no NaNs,
    /// because a NaN equals no other element.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![3, 1, 3, 2].intersect(array![3, 2, 7])?.to_vec::<i32>()?, [2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Expr::isin`] and [`Expr::unique_values`].
    #[doc(alias = "intersect1d")]
    #[track_caller]
    pub fn intersect(&self, other: impl Operand) -> Result<Array> {
        let (op, at) = ("intersect", Location::caller());
        wait(op, "intersect_async", chosen(op, self, other.into_expr(), true, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::intersect`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::intersect`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let found = cupric::array![3, 1, 2].intersect_async(cupric::array![3, 2]).await?;
    /// assert_eq!(found.to_vec_async::<i32>().await?, [2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn intersect_async<O: Operand>(&self, other: O) -> impl Future<Output = Result<Array>> + Send + use<O> {
        let at = Location::caller();
        chosen("intersect_async", self, other.into_expr(), true, at)
    }

    /// Returns the distinct elements of both arrays together, in ascending order (NumPy's `union1d`). It computes
    /// immediately, like [`Expr::unique_values`]. The result has the common dtype of the arrays.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![3, 1, 3].union(array![[3, 2]])?.to_vec::<i32>()?, [1, 2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`](crate::ErrorKind::DType) if the arrays have no common dtype, and the errors of
    /// [`Expr::unique_values`].
    #[doc(alias = "union1d")]
    #[track_caller]
    pub fn union(&self, other: impl Operand) -> Result<Array> {
        let (op, at) = ("union", Location::caller());
        wait(op, "union_async", of_both(op, self, other.into_expr(), at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::union`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::union`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let found = cupric::array![3, 1, 2].union_async(cupric::array![3, 2]).await?;
    /// assert_eq!(found.to_vec_async::<i32>().await?, [1, 2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn union_async<O: Operand>(&self, other: O) -> impl Future<Output = Result<Array>> + Send + use<O> {
        let at = Location::caller();
        of_both("union_async", self, other.into_expr(), at)
    }

    /// Returns the distinct elements of the array that are not in another array, in ascending order (NumPy's
    /// `setdiff1d`). It computes immediately, like [`Expr::unique_values`]. The result has the common dtype of the
    /// arrays. NaNs of the array are kept, because a NaN equals no element of the other array.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![3, 1, 3, 2].setdiff(array![3, 7])?.to_vec::<i32>()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`Expr::isin`] and [`Expr::unique_values`].
    #[doc(alias = "setdiff1d")]
    #[track_caller]
    pub fn setdiff(&self, other: impl Operand) -> Result<Array> {
        let (op, at) = ("setdiff", Location::caller());
        wait(op, "setdiff_async", chosen(op, self, other.into_expr(), false, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Expr::setdiff`], for code that must not block; see [`Expr::compress_async`].
    ///
    /// # Errors
    /// Returns the errors of [`Expr::setdiff`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let found = cupric::array![3, 1, 2].setdiff_async(cupric::array![3, 2]).await?;
    /// assert_eq!(found.to_vec_async::<i32>().await?, [1]);
    /// # Ok::<(), cupric::Error>(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn setdiff_async<O: Operand>(&self, other: O) -> impl Future<Output = Result<Array>> + Send + use<O> {
        let at = Location::caller();
        chosen("setdiff_async", self, other.into_expr(), false, at)
    }
}
