//! Matches the operands of a call with the kernel's parameters.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Shape};
use crate::graph::expr::{Arg, Expr, Operand, cast, common};
use smallvec::smallvec;

use super::signature::{Listed, Names, Param, Type, computed};

/// The operands of a kernel, in the order of its inputs: a tuple of up to eight [`Operand`]s, or an array or `Vec` of
/// [`Operand`]s.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the operands of a kernel",
    label = "pass a tuple such as `(&x, 0.5)`, or `(&x,)` for one operand"
)]
pub trait Operands {
    #[doc(hidden)]
    fn into_args(self) -> Vec<Arg>;
}

impl<T: Operand, const N: usize> Operands for [T; N] {
    fn into_args(self) -> Vec<Arg> {
        self.into_iter().map(Operand::into_arg).collect()
    }
}

impl<T: Operand> Operands for Vec<T> {
    fn into_args(self) -> Vec<Arg> {
        self.into_iter().map(Operand::into_arg).collect()
    }
}

macro_rules! tuples {
    ($($($t:ident)*;)*) => { $(
        impl<$($t: Operand),*> Operands for ($($t,)*) {
            #[allow(non_snake_case)]
            fn into_args(self) -> Vec<Arg> {
                let ($($t,)*) = self;
                vec![$($t.into_arg()),*]
            }
        }
    )* };
}
tuples! { A; A B; A B C; A B C D; A B C D E; A B C D E F; A B C D E F G; A B C D E F G H; }

/// The operands of a call, after they were matched with the kernel's inputs.
pub(super) struct Fitted {
    /// The operands, converted to the dtypes in which the kernel computes.
    pub operands: Vec<Expr>,
    /// The dtype of each type name (such as `T`) in the kernel's parameters.
    pub named: Vec<DType>,
    /// The shape that all operands broadcast to.
    pub shape: Shape,
    /// The number of the operands' device, or 0 if no operand has a device.
    pub device: u32,
}

/// Matches operands with the inputs of the kernel `kernel`: determines dtypes and the common shape, and inserts casts.
pub(super) fn fit(kernel: &str, inputs: &[Param], names: &Names, args: Vec<Arg>, at: Loc) -> Result<Fitted> {
    let refused = |kind, detail: String| Err(Error::with_line(kind, kernel, detail, at));
    if args.len() != inputs.len() {
        let (n, list) = (args.len(), Listed(inputs, names));
        return refused(ErrorKind::Argument, format!("{n} operands for the {} inputs \"{list}\"", inputs.len()));
    }
    let device = common(kernel, args.iter().filter_map(expr), at)?;
    let mut named = vec![];
    for n in 0..names.len() {
        let of_name = || inputs.iter().zip(&args).filter(|(p, _)| p.ty == Type::Named(n)).map(|(_, a)| a);
        let arrays = of_name().filter_map(expr).map(|e| Some(e.0.dtype));
        let dtype = match arrays.reduce(|a, b| a?.promote(b?)) {
            Some(dtype) => of_name().filter_map(scalar).fold(dtype, |d, s| s.promote_with(d?)),
            // a type name whose operands are all numbers stands for the common type of the numbers' default dtypes
            None => {
                of_name().filter_map(scalar).map(|s| Some(s.default_dtype())).reduce(|a, b| a?.promote(b?)).flatten()
            }
        };
        match dtype {
            Some(dtype) => named.push(dtype),
            None => {
                let name = names.iter().nth(n).unwrap_or_default();
                let detail =
                    format!("the operands of type {name} have no common dtype that holds them all; use astype");
                return refused(ErrorKind::DType, detail);
            }
        }
    }
    let mut shape = Shape::new();
    for e in args.iter().filter_map(expr) {
        shape = layout::broadcast(&shape, &e.0.shape).map_err(|f| f.at(kernel, at))?;
    }
    let mut operands = vec![];
    for (p, a) in inputs.iter().zip(args) {
        let dtype = p.ty.dtype(&named);
        let e = match a {
            Arg::Expr(e) if e.0.dtype.promote(dtype) == Some(dtype) => e,
            Arg::Expr(e) => {
                let detail =
                    format!("the input {} is {dtype}, and {} is not promoted to it; use astype", p.label, e.0.dtype);
                return refused(ErrorKind::DType, detail);
            }
            Arg::Scalar(s) if s.promote_with(dtype) == Some(dtype) => Expr::fill(s, smallvec![], dtype, at),
            Arg::Scalar(s) => {
                return refused(
                    ErrorKind::Argument,
                    format!("the number {s} is not a valid {dtype}, which is the dtype of the input {}", p.label),
                );
            }
        };
        operands.push(cast(cast(e, dtype, at), computed(dtype), at));
    }
    Ok(Fitted { operands, named, shape, device })
}

fn expr(a: &Arg) -> Option<&Expr> {
    match a {
        Arg::Expr(e) => Some(e),
        Arg::Scalar(_) => None,
    }
}

fn scalar(a: &Arg) -> Option<Scalar> {
    match a {
        Arg::Expr(_) => None,
        Arg::Scalar(s) => Some(*s),
    }
}
