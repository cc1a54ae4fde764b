//! Powers and products of complex numbers, with the rules for their derivatives.
//!
//! The values are computed from magnitudes and angles. An angle has no derivative at 0, but powers and products have one,
//! so their rules are those of complex calculus: a function f of z has a derivative f′, and if G is the pair of
//! derivatives with respect to the real and the imaginary part of f(z), then G times the conjugate of f′ is the pair with
//! respect to those of z.

use super::formulas::{self, Parts2};
use super::{Complex, ComplexOperand, Parts, operators};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Loc, Result};
use crate::base::layout::{self, IntoAxes, IntoScanAxis, ScanAxis, Shape, View, lengths};
use crate::graph::expr::{Called, Expr, Inner, Reach, binary, choose, reshape, unary, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::select;
use crate::ops::grad::{cut, flipped, later, recurrence_by, shifted};
use std::panic::Location;
use std::sync::Arc;

const OP: &str = "grad";

/// The real and the imaginary parts of numbers in a derivative.
type Pair = [Expr; 2];

/// Returns the product of a + bi and c + di. Parts that are known to be 0 are left out, because their products with infinite
/// parts would be NaN.
fn times([a, b]: &Pair, [c, d]: &Pair, at: Loc) -> Pair {
    let is_zero = |x: &Expr| x.0.is_constant() && x.0.number().is_some_and(|s| s.as_f64() == 0.0);
    let product = |x: &Expr, y: &Expr| match is_zero(x) || is_zero(y) {
        true => None,
        false => Some(binary(&arithmetic::multiply, x, y, at)),
    };
    let re = match (product(a, c), product(b, d)) {
        (Some(x), Some(y)) => binary(&arithmetic::subtract, x, y, at),
        (Some(x), None) => x,
        (None, Some(y)) => unary(&arithmetic::negative, y, at),
        (None, None) => binary(&arithmetic::multiply, a, c, at),
    };
    let im = match (product(a, d), product(b, c)) {
        (Some(x), Some(y)) => binary(&arithmetic::add, x, y, at),
        (Some(x), None) | (None, Some(x)) => x,
        (None, None) => binary(&arithmetic::multiply, a, d, at),
    };
    [re, im]
}

fn conjugate([a, b]: &Pair, at: Loc) -> Pair {
    [a.clone(), unary(&arithmetic::negative, b, at)]
}

/// Returns numbers that are 0 where the condition is true.
fn zero_where(condition: &Expr, z: Pair, at: Loc) -> Pair {
    z.map(|part| choose(condition, 0.0, part, at))
}

/// Returns the parts with a derivative rule. `back` receives the derivatives with respect to both parts, and returns
/// those with respect to the operands.
fn ruled(
    (re, im): Parts2,
    operands: &[&Expr],
    reach: &Reach,
    back: impl Fn(&Pair, Loc) -> Result<Vec<Expr>> + Send + Sync + 'static,
) -> Parts2 {
    if re.error().is_some() || im.error().is_some() {
        return (re, im);
    }
    let (back, operands): (_, Vec<Expr>) = (Arc::new(back), operands.iter().map(|e| (*e).clone()).collect());
    let part = |e: Expr, is_re: bool| {
        // a number without operands would lose the rule in its views
        let e = if e.0.args.is_empty() { unary(&arithmetic::positive, &e, e.0.location) } else { e };
        let back = back.clone();
        let rule = move |g: &Expr, at: Loc| {
            let zero = Expr::fill_on(g.0.device, Scalar::Float(0.0), g.0.shape.clone(), g.0.dtype, at);
            back(&if is_re { [g.clone(), zero] } else { [zero, g.clone()] }, at)
        };
        e.with_rule_of(operands.clone(), Some(Box::new(rule)), reach.clone())
    };
    (part(re, true), part(im, false))
}

/// Returns whether both parts are 0.
fn is_zero(z: &Complex, at: Loc) -> Expr {
    let [re, im] = [&z.re, &z.im].map(|part| binary(&logic::equal, part, 0.0, at));
    binary(&logic::logical_and, re, im, at)
}

/// The value of the power of 0 with a negative real exponent, which is a pole.
#[derive(Clone, Copy, PartialEq)]
enum Pole {
    /// Both parts are NaN, because the direction from which the base approaches 0 is unknown.
    NaN,
    /// ∞, the limit for a positive real base. Derivatives use it, so that they are infinite where a real power's are.
    Infinite,
}

/// Returns z^w with its derivative rule.
#[track_caller]
fn power(z: &Complex, w: &Complex, pole: Pole) -> Parts2 {
    let (a, b) = formulas::log(&z.re, &z.im);
    let (c, d) = (&w.re, &w.im);
    let (re, im) = formulas::exp(&(c * &a - d * &b), &(c * &b + d * &a));
    let at = Location::caller();
    let is_one = is_zero(w, at);
    let mut parts = (select(&is_one, 1.0, re), select(is_one, 0.0, im));
    if pole == Pole::Infinite {
        let is_pole = is_zero(z, at) & d.equal(0.0) & c.less(0.0);
        parts = (select(&is_pole, f64::INFINITY, parts.0), select(is_pole, 0.0, parts.1));
    }
    let (of, by) = (z.clone(), w.clone());
    let back = move |g: &Pair, at: Loc| Ok(of_power(&of, &by, g, at));
    match is_number(w) {
        true => ruled(parts, &[&z.re, &z.im], &Reach::SameElement, back),
        false => ruled(parts, &[&z.re, &z.im, &w.re, &w.im], &Reach::SameElement, back),
    }
}

/// Returns the derivatives with respect to the parts of z and, if they are variables, the parts of the exponent w of z^w.
fn of_power(z: &Complex, w: &Complex, g: &Pair, at: Loc) -> Vec<Expr> {
    let pair = |z: &Complex| [z.re.clone(), z.im.clone()];
    let less = Complex { re: binary(&arithmetic::subtract, &w.re, 1.0, at), im: w.im.clone() };
    let inner = Inner::begin();
    let lower = Complex::result(inner, power(z, &less, Pole::Infinite), None);
    let slope = conjugate(&times(&pair(w), &pair(&lower), at), at);
    let of_z = zero_where(&is_zero(w, at), times(g, &slope, at), at);
    if is_number(w) {
        return of_z.into();
    }
    // 0^w · log(0) counts as 0
    let slope = conjugate(&times(&pair(&z.pow(w)), &pair(&z.log()), at), at);
    let of_w = zero_where(&is_zero(z, at), times(g, &slope, at), at);
    of_z.into_iter().chain(of_w).collect()
}

/// Returns whether the numbers are known before anything is computed.
fn is_number(z: &Complex) -> bool {
    z.re.0.is_constant() && z.im.0.is_constant()
}

/// Returns the derivatives with respect to the parts of z, of a scan of products along the axis `by`.
fn of_scan(z: &Complex, by: ScanAxis, g: &Pair, at: Loc) -> Result<Vec<Expr>> {
    let axis = layout::normalize_axis(by.axis, z.re.0.shape.len()).map_err(|f| f.at(OP, at))?;
    if z.re.0.shape.contains(&0) {
        return Ok(vec![z.re.clone(), z.im.clone()]);
    }
    let n = z.re.0.shape[axis];
    let turned = |e: &Expr| if by.reverse { flipped(e, axis, at) } else { e.clone() };
    // the derivatives with respect to the products up to and including each element
    let g = g.each_ref().map(|g| match turned(g) {
        g if by.exclusive => shifted(&g, axis, true, 0.0, at),
        g if by.include_initial => cut(&g, axis, 1, n + 1, at),
        g => g,
    });
    let z = Complex { re: turned(&z.re), im: turned(&z.im) };
    let next = [&z.re, &z.im].map(|part| later(part, axis, 1, at));
    let sums = recurrence_by(g, conjugate(&next, at), axis, at, |a, b| times(a, b, at));
    let before = products_before(&z, axis, at);
    Ok(times(&sums, &conjugate(&before, at), at).map(|part| turned(&part)).into())
}

/// Returns the product of the elements before each element along an axis.
fn products_before(z: &Complex, axis: usize, at: Loc) -> Pair {
    let Complex { re, im } = z.cumulative_prod(axis as isize);
    [shifted(&re, axis, false, 1.0, at), shifted(&im, axis, false, 0.0, at)]
}

/// Returns the derivatives with respect to the parts of z, of the products along axes. The derivative with respect to an
/// element is the product of the elements before it and of those after it.
fn of_product(z: &Complex, axes: &[usize], g: &Pair, at: Loc) -> Vec<Expr> {
    let shape = &z.re.0.shape;
    let order: Vec<isize> =
        (0..shape.len()).filter(|d| !axes.contains(d)).chain(axes.iter().copied()).map(|d| d as isize).collect();
    let mut inverse = vec![0isize; shape.len()];
    order.iter().enumerate().for_each(|(to, from)| inverse[*from as usize] = to as isize);
    let full: Shape = order.iter().map(|d| shape[*d as usize]).collect();
    let kept = shape.len() - axes.len();
    let mut merged: Shape = full[..kept].into();
    merged.push(layout::product(&full[kept..]));
    let rows = |e: &Expr| reshape(OP, &view(OP, e, at, |s| View::permute(s, &order)), &lengths(&merged), at);
    let z = Complex { re: rows(&z.re), im: rows(&z.im) };
    let backwards = Complex { re: flipped(&z.re, kept, at), im: flipped(&z.im, kept, at) };
    let after = products_before(&backwards, kept, at).map(|part| flipped(&part, kept, at));
    let others = times(&products_before(&z, kept, at), &after, at);
    let g = g.each_ref().map(|g| {
        let mut each = merged.clone();
        each[kept] = 1;
        reshape(OP, g, &lengths(&each), at)
    });
    let of_rows = times(&g, &conjugate(&others, at), at);
    let whole = |e: Expr| view(OP, &reshape(OP, &e, &lengths(&full), at), at, |s| View::permute(s, &inverse));
    of_rows.map(whole).into()
}

/// Powers and products.
impl Complex {
    /// Raises each number z to a power, which may be complex or real. The numbers and the exponents broadcast. The result
    /// w is exp(exponent · log(z)), and 1 where the exponent is 0. Its error is at most 4·ε·|w| · (1 + |exponent · log(z)|)
    /// on the CPU, and three times as much on a GPU. ε is the machine epsilon of the parts' dtype.
    ///
    /// The derivative with respect to z at 0, for a real exponent, is the limit for positive z: 0 for an exponent above 1,
    /// and infinite below 1. The derivative with respect to the exponent is 0 there.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![3., 0.], array![4., 1.]);
    /// let square = z.pow(2);
    /// assert!((square.real() - array![-7., -1.]).abs().max(..).item::<f32>()? < 1e-5);
    /// let e = z.pow(Complex::new(0.0, 1.0)); // i to the power of i is exp(−π/2)
    /// assert!((e.real().to_vec::<f32>()?[1] - 0.20787957).abs() < 1e-6);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("power"))]
    #[track_caller]
    pub fn pow(&self, exponent: impl ComplexOperand) -> Complex {
        let at = Location::caller();
        let _called = Called::begin("pow", at);
        let exponent = match exponent.parts() {
            Parts::Real(x) => operators::wide(&x, self, at),
            Parts::Complex(w) => w,
        };
        let to = match (self.typed(), exponent.typed()) {
            (Some(a), Some(b)) => Some(a.promote(b).unwrap_or(DType::F32)),
            (a, b) => a.or(b),
        };
        let (z, w) = (self.wide(), exponent.wide());
        let inner = Inner::begin();
        Complex::result(inner, power(&z, &w, Pole::NaN), to)
    }

    /// Returns the products along axes, computed as the product of the magnitudes with the sum of the angles. So the
    /// products of whole numbers are rounded too. For n numbers, the error is at most n·(2·log2(n) + 32)·ε times the
    /// magnitude of the result, where ε is the machine epsilon of the parts' dtype.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![0., 3., 1.], array![2., 4., 0.]).prod(..); // 2i · (3 + 4i)
    /// assert!((z.real() + 8.0).abs().item::<f32>()? < 1e-5 && (z.imag() - 6.0).abs().item::<f32>()? < 1e-5);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn prod(&self, axes: impl IntoAxes) -> Complex {
        let _called = Called::begin("prod", Location::caller());
        let (z, axes) = (self.wide(), axes.into_axes());
        let inner = Inner::begin();
        let mut parts = formulas::turned(&z.abs().prod(axes.clone()), &z.angle().sum(axes.clone()));
        if let (None, Ok(axes)) = (z.re.error(), axes.resolve(z.re.0.shape.len())) {
            let of = z.clone();
            parts = ruled(parts, &[&z.re, &z.im], &Reach::Anything, move |g, at| Ok(of_product(&of, &axes, g, at)));
        }
        Complex::result(inner, parts, self.typed())
    }

    /// Returns the cumulative products along an axis, like [`Expr::cumulative_prod`] for real numbers. They are
    /// computed from the magnitudes and the angles, as in [`Complex::prod`].
    #[doc(alias = "cumprod")]
    #[track_caller]
    pub fn cumulative_prod(&self, axis: impl IntoScanAxis) -> Complex {
        let _called = Called::begin("cumulative_prod", Location::caller());
        let (z, axis) = (self.wide(), axis.into_scan_axis());
        let inner = Inner::begin();
        let parts = formulas::turned(&z.abs().cumulative_prod(axis), &z.angle().cumulative_sum(axis));
        let of = z.clone();
        let parts = ruled(parts, &[&z.re, &z.im], &Reach::Anything, move |g, at| of_scan(&of, axis, g, at));
        Complex::result(inner, parts, self.typed())
    }
}
