//! The Rust types in which the elements of an array are read.

use crate::base::dtype::{DType, Element};
use crate::graph::expr::{Expr, cast};
use std::panic::Location;

mod sealed {
    pub trait Item {}
    impl<T: crate::base::dtype::Element> Item for T {}
    impl Item for usize {}
}

/// A Rust type in which elements are read: an [`Element`], or `usize` for an array of integers, none of which is
/// negative. Positions and counts are i64, and Rust's lists need `usize`.
///
/// ```
/// use cupric::array;
/// let x = array![1., 5., 2.];
/// assert_eq!(["a", "b", "c"][x.argmax(0).item::<usize>()?], "b");
/// assert!(array![-1].item::<usize>().unwrap_err().to_string().contains("-1 is not a usize"));
/// # Ok::<(), cupric::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an element type",
    label = "write the type that is read, as in `x.item::<f32>()?` or `x.to_vec::<usize>()?`"
)]
pub trait Item: Copy + Send + sealed::Item + 'static {
    /// The type of the elements that are copied from the device.
    #[doc(hidden)]
    type Stored: Element;
    /// Returns the expression whose elements are copied to read `e`.
    #[doc(hidden)]
    fn source(e: Expr, at: &'static Location<'static>) -> Expr;
    /// Returns an expression of any dtype in a dtype from which `Self` can be read.
    #[doc(hidden)]
    fn cast(e: Expr, at: &'static Location<'static>) -> Expr;
    /// Converts the copied elements of an expression of dtype `dtype`, or returns what is wrong with one of them.
    #[doc(hidden)]
    fn converted(stored: Vec<Self::Stored>, dtype: DType) -> Result<Vec<Self>, String>;
}

impl<T: Element> Item for T {
    type Stored = T;
    #[inline]
    fn source(e: Expr, _: &'static Location<'static>) -> Expr {
        e
    }
    fn cast(e: Expr, at: &'static Location<'static>) -> Expr {
        cast(e, T::DTYPE, at)
    }
    #[inline]
    fn converted(stored: Vec<T>, _: DType) -> Result<Vec<T>, String> {
        Ok(stored)
    }
}

impl Item for usize {
    type Stored = u64;
    fn source(e: Expr, at: &'static Location<'static>) -> Expr {
        if e.0.dtype.is_integer() { cast(e, DType::U64, at) } else { e }
    }
    /// Leaves integers as they are, because [`Item::source`] converts them and negative ones are errors.
    fn cast(e: Expr, at: &'static Location<'static>) -> Expr {
        if e.0.dtype.is_integer() { e } else { cast(e, DType::U64, at) }
    }
    fn converted(stored: Vec<u64>, dtype: DType) -> Result<Vec<usize>, String> {
        // a negative element has become a number of at least 2^63
        let negative = |v: u64| dtype.is_signed_integer() && v > i64::MAX as u64;
        let converted = |v: u64| match usize::try_from(v) {
            Ok(n) if !negative(v) => Ok(n),
            _ if negative(v) => Err(format!("the element {} is not a usize", v as i64)),
            _ => Err(format!("the element {v} is not a usize")),
        };
        stored.into_iter().map(converted).collect()
    }
}
