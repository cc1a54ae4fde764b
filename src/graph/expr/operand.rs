//! The types that operations accept as operands: expressions and Rust numbers.

use super::Expr;
use crate::base::dtype::{Element, Scalar, sealed::Sealed};
use crate::base::error::{Error, Result};
use half::{bf16, f16};
use std::panic::Location;

/// An operand: an expression, or a number that has no dtype yet.
#[derive(Clone)]
#[doc(hidden)]
pub enum Arg {
    /// An expression.
    Expr(Expr),
    /// A number.
    Scalar(Scalar),
}

/// An operand of an operation: an [`Array`](crate::Array), an [`Expr`], a reference to one, or a Rust number.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operand of cupric",
    label = "an Array, an Expr, a reference to one of them, or a Rust number is needed here"
)]
pub trait Operand: Sealed {
    #[doc(hidden)]
    fn into_arg(self) -> Arg;

    /// Converts the operand to an expression. Call this first in your own functions that accept an `impl Operand`. A
    /// number remains weakly typed: it adopts the dtype of the array that it is combined with.
    ///
    /// ```
    /// use cupric::{DType, Expr, Operand, array};
    /// fn squared_distance(a: impl Operand, b: impl Operand) -> Expr {
    ///     (a.into_expr() - b).square()
    /// }
    /// let x = array![1., 2., 4.];
    /// assert_eq!(squared_distance(&x, 2).to_vec::<f32>()?, [1., 0., 4.]);
    /// assert_eq!(squared_distance(2.5f64, &x).dtype()?, DType::F32);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    fn into_expr(self) -> Expr
    where
        Self: Sized,
    {
        let at = Location::caller();
        match self.into_arg() {
            Arg::Expr(e) => e,
            Arg::Scalar(s) => Expr::number(s, at),
        }
    }
}

impl Sealed for Expr {}
impl Operand for Expr {
    fn into_arg(self) -> Arg {
        match self.0.untyped() {
            Some(s) => Arg::Scalar(s),
            None => Arg::Expr(self),
        }
    }
}
impl Sealed for &Expr {}
impl Operand for &Expr {
    fn into_arg(self) -> Arg {
        self.clone().into_arg()
    }
}

impl AsRef<Expr> for Expr {
    fn as_ref(&self) -> &Expr {
        self
    }
}

macro_rules! numbers {
    ($($t:ty: |$v:ident| $e:expr;)*) => { $(
        impl Operand for $t {
            fn into_arg(self) -> Arg {
                let $v = self;
                Arg::Scalar($e)
            }
        }
        impl Sealed for &$t {}
        impl Operand for &$t {
            fn into_arg(self) -> Arg {
                (*self).into_arg()
            }
        }
    )* };
}
macro_rules! from_operands {
    ($($t:ty)*) => { $(
        impl From<$t> for Expr {
            /// Converts the operand to an expression, as [`Operand::into_expr`] does.
            #[track_caller]
            fn from(operand: $t) -> Expr {
                operand.into_expr()
            }
        }
    )* };
}
from_operands! { &Expr bool u8 i8 u16 i16 u32 i32 u64 i64 usize isize f16 bf16 f32 f64 }

impl From<Error> for Expr {
    /// Returns an expression that carries the error, as cupric's operations do when their operands do not fit. If the
    /// error has no source line, it gets the caller's source line.
    #[track_caller]
    fn from(error: Error) -> Expr {
        let at = Location::caller();
        Expr::failed(error.or_at(at), at)
    }
}

impl From<Result<Expr>> for Expr {
    /// Returns the expression, or an expression that carries the error. With this conversion, your own functions can
    /// use `?` inside and still return an `Expr`. See [`Error::new`].
    #[track_caller]
    fn from(result: Result<Expr>) -> Expr {
        match result {
            Ok(e) => e,
            Err(error) => error.into(),
        }
    }
}

impl Sealed for usize {}
impl Sealed for isize {}
numbers! {
    bool: |v| v.scalar(); u8: |v| v.scalar(); i8: |v| v.scalar(); u16: |v| v.scalar(); i16: |v| v.scalar();
    u32: |v| v.scalar(); i32: |v| v.scalar(); u64: |v| v.scalar(); i64: |v| v.scalar();
    f16: |v| v.scalar(); bf16: |v| v.scalar(); f32: |v| v.scalar(); f64: |v| v.scalar();
    usize: |v| Scalar::Int(v as i128); isize: |v| Scalar::Int(v as i128);
}
