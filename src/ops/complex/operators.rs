//! The operators of complex numbers, with complex and real operands.

use super::Complex;
use crate::array::Array;
use crate::base::error::Loc;
use crate::graph::expr::{Called, Expr, Operand, binary, choose, composed, unary};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use std::panic::Location;

mod sealed {
    pub trait Sealed {}
}

/// The operand of an operation on complex numbers: a [`Complex`], a reference to one, or a real
/// [`Operand`](crate::Operand).
pub trait ComplexOperand: sealed::Sealed {
    #[doc(hidden)]
    fn parts(self) -> Parts;
}

/// The operand of an operation on complex numbers, which is real or complex.
#[doc(hidden)]
pub enum Parts {
    Real(Expr),
    Complex(Complex),
}

impl<T: Operand> sealed::Sealed for T {}
impl<T: Operand> ComplexOperand for T {
    #[track_caller]
    fn parts(self) -> Parts {
        Parts::Real(self.into_expr())
    }
}
impl sealed::Sealed for Complex {}
impl ComplexOperand for Complex {
    fn parts(self) -> Parts {
        Parts::Complex(self)
    }
}
impl sealed::Sealed for &Complex {}
impl ComplexOperand for &Complex {
    fn parts(self) -> Parts {
        Parts::Complex(self.clone())
    }
}

/// Applies the ufunc `row`, `add` or `subtract`, to the real parts and to the imaginary parts.
fn linear(row: &'static Ufunc, a: &Complex, b: &Complex, at: Loc) -> Complex {
    Complex::pair(row.name, binary(row, &a.re, &b.re, at), binary(row, &a.im, &b.im, at), at)
}

/// Returns the products of complex numbers, computed by four products of their parts.
pub(super) fn multiply(a: &Complex, b: &Complex, at: Loc) -> Complex {
    let _called = Called::begin("multiply", at);
    let times = |x: &Expr, y: &Expr| binary(&arithmetic::multiply, x, y, at);
    let re = binary(&arithmetic::subtract, times(&a.re, &b.re), times(&a.im, &b.im), at);
    let im = binary(&arithmetic::add, times(&a.re, &b.im), times(&a.im, &b.re), at);
    Complex::pair("multiply", re, im, at)
}

/// Returns the quotients by Smith's method (R. L. Smith, Algorithm 116, Communications of the ACM 5, 1962). It divides
/// the divisor's smaller part by its larger part, and squares no part, because a square could overflow.
pub(super) fn divide(a: &Complex, b: &Complex, at: Loc) -> Complex {
    let _called = Called::begin("divide", at);
    let (a, b) = (&a.like(b, at), &b.like(a, at));
    let op = |row: &'static Ufunc| move |x: &Expr, y: &Expr| binary(row, x, y, at);
    let (add, subtract) = (op(&arithmetic::add), op(&arithmetic::subtract));
    let (times, over) = (op(&arithmetic::multiply), op(&arithmetic::divide));
    let abs = |x: &Expr| unary(&arithmetic::abs, x, at);
    let is_real = binary(&logic::greater_equal, abs(&b.re), abs(&b.im), at);
    let pick = |x: &Expr, y: &Expr| choose(&is_real, x, y, at);
    let (large, small) = (pick(&b.re, &b.im), pick(&b.im, &b.re));
    // For a divisor of 0 the ratio is 0 / 0, which would make all results NaN. In this case each part of the dividend
    // is divided by 0, as in NumPy.
    let ratio = over(&small, &large);
    let divisor = add(&large, &times(&small, &ratio));
    let re = add(&pick(&a.re, &a.im), &times(&pick(&a.im, &a.re), &ratio));
    let im = pick(&subtract(&a.im, &times(&a.re, &ratio)), &subtract(&times(&a.im, &ratio), &a.re));
    let is_zero = binary(&logic::equal, &large, 0.0, at);
    let part = |x: &Expr, whole: &Expr| composed(|| choose(&is_zero, over(x, &large), over(whole, &divisor), at));
    Complex::pair("divide", part(&a.re, &re), part(&a.im, &im), at)
}

/// Returns a real operand as complex numbers with imaginary parts of 0, in the shape and dtype of `like`.
pub(super) fn wide(x: &Expr, like: &Complex, at: Loc) -> Complex {
    Complex::pair("complex", x.clone(), like.zeros(at), at)
}

macro_rules! operators {
    ($($trait:ident $method:ident |$a:ident, $b:ident, $at:ident| $complex:expr, |$z:ident, $x:ident| $real:expr, |$y:ident, $w:ident| $left:expr;)*) => { $(
        operators!(@for $trait $method |$a, $b, $at| $complex, |$z, $x| $real; Complex, &Complex);
        operators!(@left $trait $method |$y, $w, $at| $left; Expr, &Expr, Array, &Array, f64, i64);
    )* };
    (@for $trait:ident $method:ident |$a:ident, $b:ident, $at:ident| $complex:expr, |$z:ident, $x:ident| $real:expr; $($t:ty),*) => { $(
        impl<R: ComplexOperand> std::ops::$trait<R> for $t {
            type Output = Complex;
            #[track_caller]
            fn $method(self, other: R) -> Complex {
                let $at = Location::caller();
                match other.parts() {
                    Parts::Complex(other) => {
                        let ($a, $b) = (&self, &other);
                        $complex
                    }
                    Parts::Real(other) => {
                        let ($z, $x) = (&self, &other);
                        $real
                    }
                }
            }
        }
    )* };
    (@left $trait:ident $method:ident |$y:ident, $w:ident, $at:ident| $left:expr; $($t:ty),*) => { $(
        operators!(@pair $trait $method |$y, $w, $at| $left; $t; Complex, &Complex);
    )* };
    (@pair $trait:ident $method:ident |$y:ident, $w:ident, $at:ident| $left:expr; $s:ty; $($t:ty),*) => { $(
        impl std::ops::$trait<$t> for $s {
            type Output = Complex;
            #[track_caller]
            fn $method(self, other: $t) -> Complex {
                let $at = Location::caller();
                let ($y, $w) = (&self.into_expr(), &other);
                $left
            }
        }
    )* };
}

/// Applies the ufunc `row` to each part and a real operand.
fn each(row: &'static Ufunc, z: &Complex, x: &Expr, at: Loc) -> Complex {
    Complex::pair(row.name, binary(row, &z.re, x, at), binary(row, &z.im, x, at), at)
}

/// Applies the ufunc `row` to the real parts and a real operand, and leaves the imaginary parts unchanged.
fn real(row: &'static Ufunc, z: &Complex, x: &Expr, at: Loc) -> Complex {
    Complex::pair(row.name, binary(row, &z.re, x, at), z.im.clone(), at)
}

operators! {
    Add add |a, b, at| linear(&arithmetic::add, a, b, at), |z, x| real(&arithmetic::add, z, x, at),
        |x, z| real(&arithmetic::add, z, x, at);
    Sub sub |a, b, at| linear(&arithmetic::subtract, a, b, at), |z, x| real(&arithmetic::subtract, z, x, at),
        |x, z| Complex::pair("subtract", binary(&arithmetic::subtract, x, &z.re, at), unary(&arithmetic::negative, &z.im, at), at);
    Mul mul |a, b, at| multiply(a, b, at), |z, x| each(&arithmetic::multiply, z, x, at),
        |x, z| each(&arithmetic::multiply, z, x, at);
    Div div |a, b, at| divide(a, b, at), |z, x| each(&arithmetic::divide, z, x, at),
        |x, z| divide(&wide(x, z, at), z, at);
}

macro_rules! negative {
    ($($t:ty)*) => { $(
        impl std::ops::Neg for $t {
            type Output = Complex;
            #[track_caller]
            fn neg(self) -> Complex {
                let at = Location::caller();
                Complex { re: unary(&arithmetic::negative, &self.re, at), im: unary(&arithmetic::negative, &self.im, at) }
            }
        }
    )* };
}
negative! { Complex &Complex }
