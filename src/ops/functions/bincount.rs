//! `bincount`, which calls the routine of the same name.

use crate::base::error::Error;
use crate::graph::expr::{Expr, result_of, routine, strong};
use crate::graph::routine::BINCOUNT;
use smallvec::smallvec;
use std::panic::Location;

/// # Counts of integers
impl Expr {
    /// Counts how often each of the values `0..length` occurs in an integer array of any shape. Returns `length` counts
    /// as i64.
    ///
    /// A value outside `0..length` is an error, whose message contains the value; it is reported as in [`Expr::take`].
    /// To count such values in the first and last bins, call [`Expr::clip`] first. NumPy and CuPy derive the length
    /// from the largest value. Here the caller passes the length, because shapes must be known before anything runs.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 3, 1], [0, 1, 3]];
    /// assert_eq!(x.bincount(5).to_vec::<i64>()?, [1, 3, 0, 2, 0]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn bincount(&self, length: usize) -> Expr {
        let at = Location::caller();
        result_of("bincount", at, || {
            let counts = routine(&BINCOUNT, smallvec![strong(self.clone(), at)], smallvec![length as u64], at)?;
            counts
                .into_iter()
                .next()
                .ok_or_else(|| Error::with_line(crate::ErrorKind::Internal, "bincount", "no result", at))
        })
    }
}
