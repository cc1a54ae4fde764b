//! The types that operations accept as operands: expressions and Rust numbers.

use super::Expr;
use crate::base::dtype::{DType, Element, Scalar, sealed::Sealed};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use half::{bf16, f16};
use smallvec::smallvec;
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

/// Returns an operand as an expression with a dtype: a Rust number becomes a 0-d fill of its default dtype.
/// For a function whose other operands decide the dtype of a number, use [`operands`].
pub(crate) fn operand(a: impl Operand, at: Loc) -> Expr {
    match a.into_arg() {
        Arg::Expr(e) => e,
        Arg::Scalar(s) => Expr::fill(s, smallvec![], s.default_dtype(), at),
    }
}

/// What becomes of a number among the operands of a call if the common dtype of the arrays cannot hold it.
#[derive(Clone, Copy)]
pub(crate) enum Unfit {
    /// An error of the operation with this name, as in elementwise functions.
    Error(&'static str),
    /// The number in its default dtype. For functions that compare by value, or that do not combine their operands.
    Default,
    /// Every number becomes a float. For functions that convert all operands to floats.
    Float,
}

/// Returns the operands of a call as expressions with dtypes. A number adopts the dtype of the arrays among the
/// operands, by the rule of elementwise functions, so it keeps all its digits if they are f64. Without arrays it gets
/// its default dtype. Functions that combine several operands call this instead of [`operand`], which does not know the
/// other operands.
pub(crate) fn operands<const N: usize>(args: [Arg; N], unfit: Unfit, at: Loc) -> [Expr; N] {
    let (dtype, device) = (common_dtype(&args), device_of(&args));
    args.map(|a| typed(a, (dtype, device), unfit, at))
}

/// Returns a list of operands as expressions with dtypes, as [`operands`] does.
pub(crate) fn operand_list(list: impl IntoIterator<Item = impl Operand>, unfit: Unfit, at: Loc) -> Vec<Expr> {
    let args: Vec<Arg> = list.into_iter().map(Operand::into_arg).collect();
    let (dtype, device) = (common_dtype(&args), device_of(&args));
    args.into_iter().map(|a| typed(a, (dtype, device), unfit, at)).collect()
}

/// Returns the dtype to which the arrays among the operands promote, or `None` if there is no such dtype or no array.
fn common_dtype(args: &[Arg]) -> Option<DType> {
    let own = |a: &Arg| match a {
        Arg::Expr(e) => Some(Some(e.0.dtype)),
        Arg::Scalar(_) => None,
    };
    args.iter().filter_map(own).reduce(|a, b| a?.promote(b?)).flatten()
}

/// Returns the device of the arrays among the operands, or 0 without arrays. A number goes to this device, because a
/// function may evaluate its operands one by one.
fn device_of(args: &[Arg]) -> u32 {
    let own = |a: &Arg| match a {
        Arg::Expr(e) => e.0.device,
        Arg::Scalar(_) => 0,
    };
    args.iter().map(own).find(|device| *device != 0).unwrap_or(0)
}

fn typed(a: Arg, (arrays, device): (Option<DType>, u32), unfit: Unfit, at: Loc) -> Expr {
    let (s, dtype) = match (a, arrays) {
        (Arg::Expr(e), _) => return e,
        (Arg::Scalar(s), None) => (s, s.default_dtype()),
        (Arg::Scalar(s), Some(arrays)) => match (s.promote_with(arrays), unfit) {
            (_, Unfit::Float) => (s, arrays.float()),
            (Some(dtype), Unfit::Error(_) | Unfit::Default) => (s, dtype),
            (None, Unfit::Default) => (s, s.default_dtype()),
            (None, Unfit::Error(op)) => {
                let detail = format!("{s} does not fit dtype {arrays}");
                return Expr::failed(Error::with_line(ErrorKind::Argument, op, detail, at), at);
            }
        },
    };
    Expr::fill_on(device, s, smallvec![], mutant!(number_of_its_own_type, s.default_dtype(), dtype), at)
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

impl Sealed for &&Expr {}
impl Operand for &&Expr {
    fn into_arg(self) -> Arg {
        (*self).into_arg()
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
