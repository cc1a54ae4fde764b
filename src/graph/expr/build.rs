//! Builds the nodes of elementwise functions: promotes dtypes, casts operands, and gives each Rust number the dtype
//! that follows from the arrays that it is combined with. Also builds the nodes of routines (whole-array algorithms
//! such as a sort or an FFT, see `graph/routine/mod.rs`).

use super::{Arg, Args, Binding, Expr, Node, NodeOp, Operand, carry, cast, cast_always, common};
use crate::base::dtype::{Compute, DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Shape};
use crate::base::shared::Unique;
use crate::graph::routine::{Meta, Params, Routine};
use crate::graph::ufunc::{Class, Comparison, Ufunc, logic};
use smallvec::{SmallVec, smallvec};
use std::cmp::Ordering;

/// Builds the node of an elementwise function.
pub(crate) fn ufunc(row: &'static Ufunc, args: SmallVec<[Arg; 3]>, at: Loc) -> Expr {
    let Some(plain) = plain(row, args.as_slice()) else { return carry(at, || build_ufunc(row, args, at)) };
    let mut node = plain.node(at);
    args.into_iter().for_each(|a| node.args.push(plain.operand(a, at)));
    plain.finish(node)
}

fn call_one(row: &'static Ufunc, args: [Arg; 1], at: Loc) -> Expr {
    let Some(plain) = plain(row, &args) else {
        return carry(at, || build_ufunc(row, args.into_iter().collect(), at));
    };
    let ([a], mut node) = (args, plain.node(at));
    node.args.push(plain.operand(a, at));
    plain.finish(node)
}

fn call_two(row: &'static Ufunc, args: [Arg; 2], at: Loc) -> Expr {
    let Some(plain) = plain(row, &args) else {
        return carry(at, || build_ufunc(row, args.into_iter().collect(), at));
    };
    // pushing the operands one by one costs less than an iterator, because an iterator would itself be moved, and its
    // methods would be called
    let ([a, b], mut node) = (args, plain.node(at));
    node.args.push(plain.operand(a, at));
    node.args.push(plain.operand(b, at));
    plain.finish(node)
}

/// Builds the call of the elementwise function `row` with two operands.
pub(crate) fn binary(row: &'static Ufunc, a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    call_two(row, [a.into_arg(), b.into_arg()], at)
}

/// Builds the call of the elementwise function `row` with one operand.
pub(crate) fn unary(row: &'static Ufunc, a: impl Operand, at: Loc) -> Expr {
    call_one(row, [a.into_arg()], at)
}

/// Returns `a` where a condition is true, and `b` elsewhere.
pub(crate) fn choose(condition: impl Operand, a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    ufunc(&logic::SELECT, smallvec![condition.into_arg(), a.into_arg(), b.into_arg()], at)
}

/// Builds the nodes of a routine's call, one node for each result.
pub(crate) fn routine(row: &'static Routine, args: Args, params: Params, at: Loc) -> Result<SmallVec<[Expr; 1]>> {
    let device = common(row.name, args.iter(), at)?;
    let metas: SmallVec<[Meta; 3]> = args.iter().map(|a| Meta { shape: a.0.shape.clone(), dtype: a.0.dtype }).collect();
    let results = (row.infer)(&metas, &params).map_err(|f| f.at(row.name, at))?;
    let result = |(part, meta): (usize, Meta)| {
        let op = NodeOp::Routine { row, params: params.clone(), part: part as u8 };
        Expr::node(op, args.clone(), meta.shape, meta.dtype, device, at)
    };
    Ok(results.into_iter().enumerate().map(result).collect())
}

fn dtype_error(row: &Ufunc, dtypes: &[DType], at: Loc) -> Error {
    let list: Vec<_> = dtypes.iter().map(|d| d.name()).collect();
    let detail = match dtypes.len() > 1 && dtypes.iter().any(|d| *d != dtypes[0]) {
        true => format!("dtypes {} have no common type that this function accepts; use astype", list.join(" and ")),
        false => format!("dtype {} is not supported", list[0]),
    };
    let hint = match row.class == Class::Integer && dtypes.iter().any(|d| d.is_float()) {
        true if row.on_cpu(Compute::Bool) => {
            "; this function takes integers and bool; for conditions, compare first, as in x.greater(0)"
        }
        true => "; this function takes integers",
        false => "",
    };
    let detail = detail + hint;
    Error::with_line(ErrorKind::DType, row.name, detail, at)
}

fn build_ufunc(row: &'static Ufunc, args: SmallVec<[Arg; 3]>, at: Loc) -> Result<Expr> {
    let device = common(row.name, args.iter().filter_map(as_expr), at)?;
    if args.iter().all(|a| as_expr(a).is_none()) {
        return fold_scalars(row, &args, at);
    }
    // the first operand of `select` is a condition, and does not affect promotion
    let first = (row.class == Class::Select) as usize;
    let own: SmallVec<[DType; 3]> = args[first..].iter().filter_map(as_expr).map(|e| e.0.dtype).collect();
    let mut dtype = match own.split_first() {
        Some((d, rest)) => rest.iter().try_fold(*d, |a, b| a.promote(*b)),
        None => {
            // `select` of two numbers has no array to take a dtype from, so their default dtypes are promoted
            let d = |i: usize| scalar_of(&args[i]).map(Scalar::default_dtype);
            d(1).and_then(|a| a.promote(d(2)?))
        }
    };
    if let Some(comparison) = row.properties.compares
        && own.len() == 2
        && let Some(e) = compare_mixed_signs(row, comparison, &args, own[0], own[1], at)
    {
        return Ok(e);
    }
    for a in &args[first..] {
        let (Some(s), Some(d)) = (scalar_of(a), dtype) else { continue };
        let Some(p) = s.promote_with(d) else {
            if let Some(comparison) = row.properties.compares {
                return Ok(compare_outside(comparison, &args, d, device, at));
            }
            return Err(Error::with_line(ErrorKind::Argument, row.name, format!("{s} does not fit dtype {d}"), at));
        };
        dtype = Some(p);
    }
    let dtype = dtype.ok_or_else(|| match own.is_empty() {
        true => Error::with_line(ErrorKind::DType, row.name, "the two numbers have no common dtype", at),
        false => dtype_error(row, &own, at),
    })?;
    let operand = row.class.operand(dtype);
    if !takes(row, operand) {
        return Err(dtype_error(row, if own.is_empty() { &[DType::Bool] } else { &own }, at));
    }
    if row.properties.power
        && operand.is_integer()
        && let Some(Scalar::Int(n)) = scalar_of(&args[1])
        && n < 0
    {
        return Err(Error::with_line(
            ErrorKind::Argument,
            row.name,
            format!("dtype {dtype} cannot be raised to the negative power {n}; use astype to a float type first"),
            at,
        ));
    }
    let row = of_type(row, operand);
    let mut shape: Option<Shape> = None;
    for e in args.iter().filter_map(as_expr) {
        shape = Some(match shape {
            None => Shape::from_slice(&e.0.shape),
            Some(s) if s == e.0.shape => s,
            Some(s) => layout::broadcast(&s, &e.0.shape).map_err(|f| f.at(row.name, at))?,
        });
    }
    let operands = args.into_iter().enumerate().map(|(i, a)| {
        let to = if i < first { DType::Bool } else { operand };
        match a {
            Arg::Expr(e) => cast(e, to, at),
            Arg::Scalar(s) => Expr::fill(s, smallvec![], to, at),
        }
    });
    let (op, operands) = (NodeOp::Ufunc(row), operands.collect());
    Ok(Expr::node(op, operands, shape.unwrap_or_default(), row.class.result(dtype), device, at))
}

/// Rounds an f16 or bf16 expression to its own dtype, by a cast that no rewrite removes. Stored values are already
/// rounded, so they are returned unchanged.
pub(crate) fn rounded(e: &Expr, at: Loc) -> Expr {
    match e.0.is_stored() {
        true => e.clone(),
        false => cast_always(e.clone(), e.0.dtype, at),
    }
}

/// A call whose operands all have one shape, dtype and device (numbers fit any of them), so that nothing has to be
/// inferred. Most calls are of this kind.
struct Plain {
    /// Implements the function for the dtype of the operands.
    row: &'static Ufunc,
    /// The index of an operand that has the shape.
    like: usize,
    dtype: DType,
    device: u32,
}

impl Plain {
    #[inline]
    fn operand(&self, a: Arg, at: Loc) -> Expr {
        match a {
            Arg::Expr(e) => e,
            Arg::Scalar(s) => Expr::fill_0d(s, self.dtype, at),
        }
    }

    /// Makes the node of the call, to which the caller adds the operands.
    #[inline(always)]
    fn node(&self, at: Loc) -> Unique<Node> {
        let parts = || (NodeOp::Ufunc(self.row), Binding::None, Args::new(), Shape::new());
        Expr::made(parts, self.row.class.result(self.dtype), self.device, at)
    }

    /// Adds the shape to a node that has its operands.
    #[inline(always)]
    fn finish(&self, mut node: Unique<Node>) -> Expr {
        let Node { args, shape, .. } = &mut *node;
        if let Some(like) = args.as_slice().get(self.like) {
            layout::extend(shape, &like.0.shape);
        }
        Expr(node.share())
    }
}

/// Describes the call if all operands have one shape, dtype and device (numbers fit any of them). Returns `None` if an
/// operand needs a cast or a broadcast, or carries an error.
#[inline(always)]
fn plain(row: &'static Ufunc, args: &[Arg]) -> Option<Plain> {
    let (index, like) = args.iter().enumerate().find_map(|(i, a)| Some((i, as_expr(a)?)))?;
    let (dtype, device) = (like.0.dtype, like.0.device);
    let shape = like.0.shape.as_slice();
    // the condition of `select` has another dtype than the other operands, and a power may be an error, depending on
    // the value of its exponent
    let is_special = row.class == Class::Select || row.properties.power;
    // the shapes are compared in a loop, because a call of `memcmp` takes longer than comparing a few lengths
    let has_shape = |e: &Expr| {
        let other = e.0.shape.as_slice();
        other.len() == shape.len() && (0..shape.len()).all(|d| other[d] == shape[d])
    };
    if is_special || row.class.operand(dtype) != dtype || !takes(row, dtype) {
        return None;
    }
    // a loop, because the compiler did not inline the closure of an iterator in each build
    for a in args {
        let fits = match a {
            Arg::Expr(e) => {
                let is_like = std::ptr::eq(e, like);
                // a number that is an expression fits any shape and device
                let is_number = || matches!(e.0.op, NodeOp::Fill) && e.0.shape.is_empty() && e.0.device == 0;
                (is_like || e.0.dtype == dtype && (e.0.device == device && has_shape(e) || is_number()))
                    && e.error().is_none()
            }
            Arg::Scalar(s) => s.promote_with(dtype) == Some(dtype),
        };
        if !fits {
            return None;
        }
    }
    Some(Plain { row: of_type(row, dtype), like: index, dtype, device })
}

/// Returns whether an elementwise function (an entry of the table of ufuncs) accepts operands of a dtype.
fn takes(row: &Ufunc, operand: DType) -> bool {
    match row.class {
        Class::FloatOnly => operand.is_float(),
        Class::Select => true,
        Class::Float | Class::Numeric | Class::Integer | Class::Compare | Class::Test | Class::Logical => {
            row.on_cpu(operand.compute())
        }
    }
}

/// Returns the table entry that implements an elementwise function for operands of a dtype.
fn of_type(row: &'static Ufunc, operand: DType) -> &'static Ufunc {
    match (row.half, operand) {
        (Some(h), DType::F16) => h[0],
        (Some(h), DType::BF16) => h[1],
        _ => row,
    }
}

fn as_expr(a: &Arg) -> Option<&Expr> {
    match a {
        Arg::Expr(e) => Some(e),
        Arg::Scalar(_) => None,
    }
}

fn scalar_of(a: &Arg) -> Option<Scalar> {
    match a {
        Arg::Expr(_) => None,
        Arg::Scalar(s) => Some(*s),
    }
}

/// Compares an array of a signed integer type with an array of an unsigned type that has at least 32 bits and is not
/// narrower than the signed type. Returns `None` for other types. The two types may have no common type (i64 with u64),
/// or a common type that the device does not support. So a negative number is compared by its sign alone, and all other
/// numbers are compared as unsigned numbers.
fn compare_mixed_signs(
    row: &'static Ufunc,
    comparison: Comparison,
    args: &[Arg],
    a: DType,
    b: DType,
    at: Loc,
) -> Option<Expr> {
    let (Arg::Expr(x), Arg::Expr(y)) = (&args[0], &args[1]) else { return None };
    let swapped = a.is_unsigned_integer() && b.is_signed_integer();
    if !(swapped || a.is_signed_integer() && b.is_unsigned_integer()) {
        return None;
    }
    let (signed, unsigned) = if swapped { (b, a) } else { (a, b) };
    if unsigned.size() < 4 || signed.size() > unsigned.size() {
        return None;
    }
    let s = if swapped { y } else { x };
    let negative = ufunc(&logic::signbit, smallvec![Arg::Expr(s.clone())], at);
    // the values that negative numbers convert to do not matter, because negative numbers are compared by their sign
    let to_unsigned = |e: &Expr| Arg::Expr(cast(e.clone(), unsigned, at).wrapping());
    let compared = ufunc(row, smallvec![to_unsigned(x), to_unsigned(y)], at);
    // a negative number is less than any unsigned one, so the result depends only on which operand comes first
    let unsigned_first = mutant!(unsigned_less_than_negative, false, swapped);
    let if_negative = if unsigned_first { Ordering::Greater } else { Ordering::Less };
    Some(if comparison.holds(if_negative) {
        ufunc(&logic::logical_or, smallvec![Arg::Expr(negative), Arg::Expr(compared)], at)
    } else {
        let positive = ufunc(&logic::logical_not, smallvec![Arg::Expr(negative)], at);
        ufunc(&logic::logical_and, smallvec![Arg::Expr(positive), Arg::Expr(compared)], at)
    })
}

/// Compares an integer array with a number that its dtype cannot hold. The result is the same for every element.
fn compare_outside(comparison: Comparison, args: &[Arg], dtype: DType, device: u32, at: Loc) -> Expr {
    let left = scalar_of(&args[0]);
    let number = left.or(scalar_of(&args[1])).map_or(0, Scalar::as_i128);
    let shape = args.iter().find_map(as_expr).map(|e| e.0.shape.clone()).unwrap_or_default();
    // no element equals the number: all are below it, or all are above it
    let below = number > dtype.integer_range().1;
    let first_is_less = below == left.is_none();
    let answer = comparison.holds(if first_is_less { Ordering::Less } else { Ordering::Greater });
    Expr::fill_on(device, Scalar::Bool(answer), shape, DType::Bool, at)
}

/// Immediately computes a function whose operands are all Rust numbers. The computation is in f64, in 64-bit integers
/// or in bool, and the result is again a Rust number.
fn fold_scalars(row: &'static Ufunc, args: &[Arg], at: Loc) -> Result<Expr> {
    let scalars: SmallVec<[Scalar; 3]> = args.iter().filter_map(scalar_of).collect();
    if let [Scalar::Int(a), Scalar::Int(b)] = scalars[..] {
        if let Some(comparison) = row.properties.compares {
            return Ok(Expr::number(Scalar::Bool(comparison.holds(a.cmp(&b))), at));
        }
        // a negative number and a number that only u64 can hold have no common integer type
        if a.min(b) < 0 && a.max(b) > i64::MAX as i128 {
            return Err(dtype_error(row, &[DType::I64, DType::U64], at));
        }
    }
    let wide = |s: &Scalar| match s {
        Scalar::Bool(_) => DType::Bool,
        Scalar::Int(v) if i64::try_from(*v).is_ok() => DType::I64,
        Scalar::Int(_) => DType::U64,
        Scalar::Float(_) => DType::F64,
    };
    let first = (row.class == Class::Select) as usize;
    let dtype = scalars[first..].iter().map(wide).reduce(|a, b| match (a, b) {
        (a, b) if a == b => a,
        (DType::F64, _) | (_, DType::F64) => DType::F64,
        (DType::U64, _) | (_, DType::U64) => DType::U64,
        _ => DType::I64,
    });
    let mut dtype = dtype.unwrap_or(DType::F64);
    if matches!(row.class, Class::Float | Class::FloatOnly) {
        dtype = DType::F64;
    }
    if row.class == Class::Logical {
        dtype = DType::Bool;
    }
    let compute = dtype.compute();
    if row.properties.power && dtype != DType::F64 && scalars[1].as_i128() < 0 {
        return Err(Error::with_line(
            ErrorKind::Argument,
            row.name,
            "an integer cannot be raised to a negative power; write a float",
            at,
        ));
    }
    let bits: SmallVec<[u64; 3]> =
        scalars.iter().enumerate().map(|(i, s)| s.bits(if i < first { DType::Bool } else { dtype })).collect();
    let Some(out) = at_once(row, &bits, compute) else { return Err(dtype_error(row, &[dtype], at)) };
    let result = if row.class.result(dtype) == DType::Bool { Compute::Bool } else { compute };
    Ok(Expr::number(Scalar::from_bits(out, result), at))
}

/// Computes an elementwise function of constants by calling its CPU loop once. The constants are passed as bits of a
/// compute type (a condition as bits of bool). Returns `None` if the function has no loop for the type.
pub(crate) fn at_once(row: &'static Ufunc, operands: &[u64], compute: Compute) -> Option<u64> {
    let loops = row.map(compute)?;
    let mut bits = [0u64; 4];
    for (to, from) in bits.iter_mut().zip(operands) {
        *to = *from;
    }
    let p = |i: usize| bits[i..].as_ptr() as *const u8;
    let mut out = 0u64;
    // SAFETY: each operand pointer refers to one aligned 8-byte word on this thread's stack. Such a word can hold one
    // element of any compute type (*operands* of `Loop`). `out` is another such word, which shares no byte with `bits`
    // (*result* of `Loop`).
    unsafe { loops.get()(1, p(0), p(1), p(2), &raw mut out as *mut u8) };
    Some(out)
}
