//! Permutations, shuffles, and choice without replacement.

use super::wrong;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc};
use crate::base::layout::{self, Integer, SliceItem, View};
use crate::graph::expr::{Called, Expr, Operand, binary, cast, operand, result_of, strong, view};
use crate::graph::ufunc::logic;
use crate::ops::index::take;
use crate::ops::random::Rng;
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;
use std::panic::Location;

impl Rng {
    /// Returns the numbers `0..n` in random order, as i64. The function sorts n random keys of 64 bits on the device
    /// that evaluates the expression, and returns the same order on every device. If two keys are equal, their numbers
    /// stay in ascending order. This raises the probability of any order by at most n²/2^65 (absolute), because two
    /// keys are equal with at most this probability.
    ///
    /// ```
    /// let p = cupric::Rng::new(0).permutation(5);
    /// assert_eq!(p.sort(0).to_vec::<i64>()?, [0, 1, 2, 3, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 numbers.
    #[doc(alias = "randperm")]
    #[track_caller]
    pub fn permutation(&mut self, n: usize) -> Expr {
        self.order("permutation", n, Location::caller())
    }

    /// Returns an array with its slices along an axis in random order: `x.take(rng.permutation(n), axis)`, where n is
    /// the length of the axis. The elements within a slice keep their order.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = Rng::new(0).shuffle(array![[1, 2], [3, 4], [5, 6]], 0);
    /// assert_eq!(x.sort(0).to_vec::<i32>()?, [1, 2, 3, 4, 5, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Axis`] if the axis does not exist, and [`ErrorKind::LimitExceeded`] if it
    /// has 2^31 elements or more.
    #[doc(alias = "permuted")]
    #[track_caller]
    pub fn shuffle(&mut self, x: impl Operand, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        const OP: &str = "shuffle";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let x = strong(operand(x, at), at);
        if x.error().is_some() {
            return x;
        }
        match layout::normalize_axis(axis, x.0.shape.len()) {
            Ok(axis) => {
                let order = self.order(OP, x.0.shape[axis], at);
                take(&x, order, axis as isize, IndexMode::Check, at)
            }
            Err(f) => Expr::failed(f.at(OP, at), at),
        }
    }

    /// Returns `size` different numbers from 0 to n − 1, in random order, as i64. They are the first numbers of a
    /// permutation, so the draw needs memory and time for n numbers.
    ///
    /// ```
    /// let x = cupric::Rng::new(0).choice_without_replacement(100, 3);
    /// assert_eq!(x.shape()?, [3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] for a `size` above n, and the errors of [`Rng::permutation`].
    #[doc(alias = "sample")]
    #[track_caller]
    pub fn choice_without_replacement(&mut self, n: usize, size: usize) -> Expr {
        const OP: &str = "choice_without_replacement";
        let at = Location::caller();
        let order = self.order(OP, n, at);
        if size > n {
            let detail = format!("cannot choose {size} different numbers out of {n}");
            return Expr::failed(wrong(OP, detail, at), at);
        }
        first_of(OP, order, size, at)
    }

    /// Returns the permutation that sorts n random keys: element k is the position of the k-th smallest key.
    fn order(&mut self, op: &'static str, n: usize, at: Loc) -> Expr {
        let _called = Called::begin(op, at);
        // n is checked here, because the error message of `draw` would speak of elements instead of numbers
        if n > u32::MAX as usize {
            let detail = format!("{n} numbers requested; a permutation has at most 2^32 - 1");
            return Expr::failed(Error::with_line(ErrorKind::LimitExceeded, op, detail, at), at);
        }
        let keys = self.draw(op, n, at, |word| {
            let wide = |k: u8| cast(word(k), DType::U64, at);
            let constant = |v: i128| Expr::fill(Scalar::Int(v), smallvec![], DType::U64, at);
            let high = binary(&logic::bitwise_left_shift, wide(0), constant(32), at);
            let key = binary(&logic::bitwise_or, high, wide(1), at);
            Ok(mutant!(permutation_by_short_keys, binary(&logic::bitwise_and, key, constant(3), at), key))
        });
        keys.argsort(0)
    }
}

/// Returns the first `size` elements of a vector.
pub(super) fn first_of(op: &'static str, e: Expr, size: usize, at: Loc) -> Expr {
    result_of(op, at, || {
        e.checked()?;
        let items = [SliceItem::Range { start: None, end: Some(size as isize), step: 1 }];
        Ok(view(op, &e, at, |shape| View::slice(shape, &items)))
    })
}
