//! Lowers the built-in functions of WGSL to ufuncs, the rows of the library's table of functions.

use super::lower::{Lowered, Lowering, WgslValue};
use super::program::Id;
use super::source::Complaint;
use crate::base::dtype::{DType, Scalar};
use crate::graph::ufunc::{Ufunc, arithmetic, float, logic};
use naga::{MathFunction, Span};

/// Returns the ufunc that computes a function of WGSL, or `None` if no single ufunc does.
#[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
fn row(fun: MathFunction, of: DType) -> Option<&'static Ufunc> {
    use MathFunction::*;
    Some(match fun {
        Abs => &arithmetic::abs,
        Min => &arithmetic::minimum,
        Max => &arithmetic::maximum,
        Clamp => &arithmetic::clip,
        Sign => &arithmetic::sign,
        Ceil => &arithmetic::ceil,
        Floor => &arithmetic::floor,
        Round => &arithmetic::round,
        Trunc => &arithmetic::trunc,
        _ if !of.is_float() => return None,
        Pow => &arithmetic::pow,
        Cos => &float::cos,
        Cosh => &float::cosh,
        Sin => &float::sin,
        Sinh => &float::sinh,
        Tan => &float::tan,
        Tanh => &float::tanh,
        Acos => &float::acos,
        Asin => &float::asin,
        Atan => &float::atan,
        Atan2 => &float::atan2,
        Asinh => &float::asinh,
        Acosh => &float::acosh,
        Atanh => &float::atanh,
        Radians => &float::deg2rad,
        Degrees => &float::rad2deg,
        Exp => &float::exp,
        Exp2 => &float::exp2,
        Log => &float::log,
        Log2 => &float::log2,
        Sqrt => &float::sqrt,
        InverseSqrt => &float::rsqrt,
        _ => return None,
    })
}

/// Lowers the call of a built-in function.
#[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
pub(super) fn call(to: &mut Lowering<'_>, fun: MathFunction, args: Vec<WgslValue>, span: Span) -> Lowered<WgslValue> {
    let of = scalar_type(to, &args);
    if let Some(row) = of.and_then(|of| row(fun, of)) {
        return to.each(args, span, &mut |to, a| Ok(to.program.call(row, a)));
    }
    match fun {
        MathFunction::Modf => {
            let whole = to.each(args.clone(), span, &mut |to, a| Ok(to.program.call(&arithmetic::trunc, a)))?;
            let both = vec![args[0].clone(), whole.clone()];
            let fract = to.each(both, span, &mut |to, a| Ok(to.program.call(&arithmetic::subtract, a)))?;
            Ok(WgslValue::Many(vec![fract, whole]))
        }
        MathFunction::Dot => Ok(WgslValue::One(dot(to, &args[0], &args[1], span)?)),
        MathFunction::Length => Ok(WgslValue::One(length(to, &args[0], span)?)),
        MathFunction::Distance => {
            let between = to.each(args, span, &mut |to, a| Ok(to.program.call(&arithmetic::subtract, a)))?;
            Ok(WgslValue::One(length(to, &between, span)?))
        }
        MathFunction::Normalize => {
            let length = WgslValue::One(length(to, &args[0], span)?);
            to.each(vec![args[0].clone(), length], span, &mut |to, a| Ok(to.program.call(&arithmetic::divide, a)))
        }
        MathFunction::Cross => cross(to, &args, span),
        _ => to.each(args, span, &mut |to, a| composite(to, fun, a, span)),
    }
}

/// Returns the type of the scalars in the first argument of a function.
fn scalar_type(to: &Lowering<'_>, args: &[WgslValue]) -> Option<DType> {
    let mut at = args.first()?;
    loop {
        match at {
            WgslValue::One(id) => return Some(to.program.dtype(*id)),
            WgslValue::Many(parts) => at = parts.first()?,
            WgslValue::Pointer(..) => return None,
        }
    }
}

/// Lowers a function of scalars that no single ufunc computes.
#[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for graphics pipelines, all of which are rejected
fn composite(to: &mut Lowering<'_>, fun: MathFunction, a: &[Id], span: Span) -> Lowered<Id> {
    let dtype = to.program.dtype(a[0]);
    let number = |to: &mut Lowering<'_>, x: f64| to.program.number(Scalar::Float(x), dtype);
    let p = |to: &mut Lowering<'_>, row: &'static Ufunc, a: &[Id]| to.program.call(row, a);
    match fun {
        MathFunction::Saturate => {
            let [zero, one] = [0.0, 1.0].map(|x| number(to, x));
            Ok(p(to, &arithmetic::clip, &[a[0], zero, one]))
        }
        MathFunction::Fract => {
            let below = p(to, &arithmetic::floor, a);
            Ok(p(to, &arithmetic::subtract, &[a[0], below]))
        }
        MathFunction::Fma => {
            let product = p(to, &arithmetic::multiply, &a[..2]);
            Ok(p(to, &arithmetic::add, &[product, a[2]]))
        }
        MathFunction::Mix => {
            let one = number(to, 1.0);
            let rest = p(to, &arithmetic::subtract, &[one, a[2]]);
            let first = p(to, &arithmetic::multiply, &[a[0], rest]);
            let second = p(to, &arithmetic::multiply, &[a[1], a[2]]);
            Ok(p(to, &arithmetic::add, &[first, second]))
        }
        MathFunction::Step => {
            let [zero, one] = [0.0, 1.0].map(|x| number(to, x));
            let reached = p(to, &logic::less_equal, &[a[0], a[1]]);
            Ok(to.program.select(reached, one, zero))
        }
        MathFunction::SmoothStep => {
            let [zero, one, two, three] = [0.0, 1.0, 2.0, 3.0].map(|x| number(to, x));
            let way = p(to, &arithmetic::subtract, &[a[2], a[0]]);
            let whole = p(to, &arithmetic::subtract, &[a[1], a[0]]);
            let t = p(to, &arithmetic::divide, &[way, whole]);
            let t = p(to, &arithmetic::clip, &[t, zero, one]);
            let twice = p(to, &arithmetic::multiply, &[two, t]);
            let slope = p(to, &arithmetic::subtract, &[three, twice]);
            let square = p(to, &arithmetic::multiply, &[t, t]);
            Ok(p(to, &arithmetic::multiply, &[square, slope]))
        }
        _ => {
            let name: String = format!("{fun:?}");
            let first = name.chars().next().map(|c| c.to_ascii_lowercase());
            let name: String = first.into_iter().chain(name.chars().skip(1)).collect();
            Err(Complaint::new(span, format!("a kernel cannot call the function `{name}` of {}", dtype.name())))
        }
    }
}

fn dot(to: &mut Lowering<'_>, a: &WgslValue, b: &WgslValue, span: Span) -> Lowered<Id> {
    let products =
        to.each(vec![a.clone(), b.clone()], span, &mut |to, a| Ok(to.program.call(&arithmetic::multiply, a)))?;
    let WgslValue::Many(products) = products else { return to.one(products, span) };
    let mut sum = None;
    for product in products {
        let product = to.one(product, span)?;
        sum = Some(match sum {
            Some(sum) => to.program.call(&arithmetic::add, &[sum, product]),
            None => product,
        });
    }
    sum.ok_or_else(|| Complaint::new(span, "a product of vectors without components"))
}

fn length(to: &mut Lowering<'_>, a: &WgslValue, span: Span) -> Lowered<Id> {
    if let WgslValue::One(a) = a {
        return Ok(to.program.call(&arithmetic::abs, &[*a]));
    }
    let squares = dot(to, a, a, span)?;
    Ok(to.program.call(&float::sqrt, &[squares]))
}

fn cross(to: &mut Lowering<'_>, args: &[WgslValue], span: Span) -> Lowered<WgslValue> {
    let [WgslValue::Many(a), WgslValue::Many(b)] = args else {
        return Err(Complaint::new(span, "two vectors are needed here"));
    };
    let mut parts = vec![];
    for (i, j) in [(1, 2), (2, 0), (0, 1)] {
        let product = |to: &mut Lowering<'_>, x: &WgslValue, y: &WgslValue| {
            let pair = [to.one(x.clone(), span)?, to.one(y.clone(), span)?];
            Ok(to.program.call(&arithmetic::multiply, &pair))
        };
        let pair = [product(to, &a[i], &b[j])?, product(to, &a[j], &b[i])?];
        parts.push(WgslValue::One(to.program.call(&arithmetic::subtract, &pair)));
    }
    Ok(WgslValue::Many(parts))
}
