//! The operators of arrays and expressions, such as `&a + &b` and `2.0 * &x`. Each calls a row of the ufunc table.

use crate::array::Array;
use crate::graph::expr::{Expr, Operand, binary, unary};
use crate::graph::ufunc::{arithmetic, logic};
use half::{bf16, f16};
use std::panic::Location;

/// A trait that no type implements. As the bound of an operator, it excludes the number type `N` as the left operand,
/// and the compiler prints the message below. Of the primitive float and integer types, only f64 and i64 have operators
/// without this bound. If more had them, the compiler could not infer the type of `2.0` in `(2.0 - &x).exp()`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a number of type `{N}` cannot be the left operand of an operator with an array",
    label = "write the array first, as `&x * n`, or the number as an expression, as `Expr::from(n) - &x`",
    note = "only f64, i64, f16, bf16 and bool can be the left operand, so that literals need no suffix: `2.0 * &x`"
)]
pub trait OnTheLeft<N> {}

macro_rules! operators {
    ($($trait:ident $method:ident $module:ident::$row:ident;)*) => { $(
        operators!(@for $trait $method $module::$row; Expr, &Expr, Array, &Array);
        operators!(@left $trait $method $module::$row; f64, i64, f16, bf16, bool);
        operators!(@refused $trait $method $module::$row; f32, u8, i8, u16, i16, u32, i32, u64, usize, isize);
    )* };
    (@for $trait:ident $method:ident $module:ident::$row:ident; $($t:ty),*) => { $(
        impl<R: Operand> std::ops::$trait<R> for $t {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: R) -> Expr {
                binary(&$module::$row, self, other, Location::caller())
            }
        }
    )* };
    (@left $trait:ident $method:ident $module:ident::$row:ident; $($s:ty),*) => { $(
        operators!(@pair $trait $method $module::$row; $s; Expr, &Expr, Array, &Array);
    )* };
    (@refused $trait:ident $method:ident $module:ident::$row:ident; $($s:ty),*) => { $(
        operators!(@never $trait $method $module::$row; $s; Expr, &Expr, Array, &Array);
    )* };
    (@never $trait:ident $method:ident $module:ident::$row:ident; $s:ty; $($t:ty),*) => { $(
        // the bound has a lifetime parameter, because the compiler rejects a bound on concrete types that never holds
        #[doc(hidden)]
        impl<'a> std::ops::$trait<$t> for $s
        where
            &'a Expr: OnTheLeft<$s>,
        {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: $t) -> Expr {
                binary(&$module::$row, self, other, Location::caller())
            }
        }
    )* };
    (@pair $trait:ident $method:ident $module:ident::$row:ident; $s:ty; $($t:ty),*) => { $(
        impl std::ops::$trait<$t> for $s {
            type Output = Expr;
            #[track_caller]
            fn $method(self, other: $t) -> Expr {
                binary(&$module::$row, self, other, Location::caller())
            }
        }
    )* };
}
operators! {
    Add add arithmetic::add;
    Sub sub arithmetic::subtract;
    Mul mul arithmetic::multiply;
    Div div arithmetic::divide;
    Rem rem arithmetic::remainder;
    BitAnd bitand logic::bitwise_and;
    BitOr bitor logic::bitwise_or;
    BitXor bitxor logic::bitwise_xor;
    Shl shl logic::bitwise_left_shift;
    Shr shr logic::bitwise_right_shift;
}

macro_rules! unary_operators {
    ($($trait:ident $method:ident $module:ident::$row:ident: $($t:ty),*;)*) => { $( $(
        impl std::ops::$trait for $t {
            type Output = Expr;
            #[track_caller]
            fn $method(self) -> Expr {
                unary(&$module::$row, self, Location::caller())
            }
        }
    )* )* };
}
unary_operators! {
    Neg neg arithmetic::negative: Expr, &Expr, Array, &Array;
    Not not logic::bitwise_invert: Expr, &Expr, Array, &Array;
}
