//! Builds expressions from the derivative formulas in the table of ufuncs (elementwise functions).

use crate::base::dtype::{Compute, DType, Scalar};
use crate::base::error::Loc;
use crate::base::layout::{self, Shape};
use crate::graph::expr::{Arg, Expr, NodeOp, Operand, at_once, ufunc};
use crate::graph::ufunc::{CalledFunction, Formula, Partial, Ufunc, arithmetic};
use crate::plan::KeyHasher;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;

thread_local! {
    /// The formulas that the thread has used, by the address of the function that makes each. Making a formula
    /// allocates memory for each of its calls.
    static SLOPES: RefCell<HashMap<usize, Rc<Slope>, BuildHasherDefault<KeyHasher>>> = RefCell::default();
}

/// The formula of a derivative.
pub(super) struct Slope {
    pub whole: Formula,
    /// If the formula chooses between a value and 0: the case in which it is the value.
    pub case: Option<Case>,
}

/// A case of a formula: the formula is `value` where the condition is true (if `is`) or false (if not `is`).
pub(super) struct Case {
    pub condition: Formula,
    pub is: bool,
    pub value: Formula,
}

impl Slope {
    fn of(whole: Formula) -> Slope {
        let is_zero = |part: &Formula| matches!(part, Formula::Number(n) if *n == 0.0);
        let case = |condition: &Formula, is, value: &Formula| {
            Some(Case { condition: condition.clone(), is, value: value.clone() })
        };
        let operands = if let Formula::Call(CalledFunction::select, args) = &whole { &args[..] } else { &[] };
        let case = match operands {
            [condition, value, zero] if is_zero(zero) => case(condition, true, value),
            [condition, zero, value] if is_zero(zero) => case(condition, false, value),
            _ => None,
        };
        Slope { whole, case }
    }
}

/// Returns the formula of a derivative, or `None` if the derivative is 0 or unknown.
pub(super) fn slope(partial: Partial) -> Option<Rc<Slope>> {
    let Partial::Is(make) = partial else { return None };
    let kept = SLOPES.try_with(|kept| kept.borrow().get(&(make as usize)).cloned());
    if let Ok(Some(slope)) = kept {
        return Some(slope);
    }
    let slope = Rc::new(Slope::of(partial.formula()?));
    // the thread may be ending, and then it keeps nothing
    let _ = SLOPES.try_with(|kept| kept.borrow_mut().insert(make as usize, slope.clone()));
    Some(slope)
}

/// The expressions that replace the variables of a derivative formula.
pub(super) struct Variables<'a> {
    pub operands: &'a [Expr],
    pub result: &'a Expr,
    pub cotangent: &'a Expr,
    pub at: Loc,
}

impl Variables<'_> {
    /// Returns whether the formula is a sum of the cotangent's multiples by known numbers, so that it is 0 wherever the
    /// cotangent is 0.
    pub fn is_linear(&self, formula: &Formula) -> bool {
        const LINEAR: [CalledFunction; 5] = [
            CalledFunction::add,
            CalledFunction::subtract,
            CalledFunction::multiply,
            CalledFunction::divide,
            CalledFunction::negative,
        ];
        let is_usual = |n: f64| n.is_finite() && n != 0.0;
        match formula {
            Formula::Cotangent => true,
            Formula::Result => false,
            Formula::Operand(i) => number_of(&self.operands[*i]).is_some_and(|s| is_usual(s.as_f64())),
            Formula::Number(n) => n.is_finite(),
            Formula::Call(CalledFunction::select, args) => args.iter().skip(1).all(|a| self.is_linear(a)),
            Formula::Call(row, args) => LINEAR.contains(row) && args.iter().all(|a| self.is_linear(a)),
        }
    }

    /// Builds the expression that a derivative formula describes: replaces the variables of the formula by these
    /// expressions.
    pub fn value(&self, formula: &Formula) -> Expr {
        match self.arg(formula) {
            Arg::Expr(e) => e,
            Arg::Scalar(s) => Expr::fill(s, Shape::new(), self.result.0.dtype, self.at),
        }
    }

    fn arg(&self, formula: &Formula) -> Arg {
        match formula {
            Formula::Operand(i) => Arg::Expr(self.operands[*i].clone()),
            Formula::Result => Arg::Expr(self.result.clone()),
            Formula::Cotangent => Arg::Expr(self.cotangent.clone()),
            Formula::Number(n) => Arg::Scalar(Scalar::Float(*n)),
            Formula::Call(row, args) => {
                let mut list = SmallVec::new();
                args.iter().for_each(|a| list.push(self.arg(a)));
                call(row.row(), list, self.result.0.dtype, self.at)
            }
        }
    }
}

/// Builds the product of two expressions. If one of them is the number 1, returns the other.
pub(super) fn product(a: Expr, b: Expr, at: Loc) -> Expr {
    let dtype = a.0.dtype;
    let args: SmallVec<[Arg; 3]> = [Arg::Expr(a), Arg::Expr(b)].into_iter().collect();
    match call(&arithmetic::multiply, args, dtype, at) {
        Arg::Expr(e) => e,
        Arg::Scalar(s) => Expr::fill(s, Shape::new(), dtype, at),
    }
}

/// Builds the call of a ufunc. If all arguments are known numbers, the result is computed at once. A multiplication by
/// 1 and an exponent of 1 are left out.
fn call(row: &'static Ufunc, args: SmallVec<[Arg; 3]>, dtype: DType, at: Loc) -> Arg {
    if let Some(known) = known(row, &args, dtype, at) {
        return known;
    }
    match &args[..] {
        [a, b] if std::ptr::eq(row, &arithmetic::multiply) => match (neutral(a, b), neutral(b, a)) {
            (true, _) => b.clone(),
            (_, true) => a.clone(),
            _ => Arg::Expr(ufunc(row, args, at)),
        },
        [a, b] if std::ptr::eq(row, &arithmetic::pow) && neutral(b, a) => a.clone(),
        _ => Arg::Expr(ufunc(row, args, at)),
    }
}

fn number(a: &Arg) -> Option<Scalar> {
    match a {
        Arg::Scalar(s) => Some(*s),
        Arg::Expr(e) => number_of(e),
    }
}

fn number_of(e: &Expr) -> Option<Scalar> {
    e.0.number().filter(|_| matches!(e.0.op, NodeOp::Fill | NodeOp::Number))
}

fn shape(a: &Arg) -> &[usize] {
    match a {
        Arg::Scalar(_) => &[],
        Arg::Expr(e) => &e.0.shape,
    }
}

/// Returns whether the first operand is 1, and multiplying by it does not change the shape of the second.
fn neutral(one: &Arg, other: &Arg) -> bool {
    number(one).is_some_and(|s| s.as_f64() == 1.0)
        && layout::broadcast(shape(one), shape(other)).is_ok_and(|s| s[..] == *shape(other))
}

/// Computes a function of floats if all arguments are known numbers. Returns `None` otherwise.
fn known(row: &'static Ufunc, args: &[Arg], dtype: DType, at: Loc) -> Option<Arg> {
    if row.class.result(DType::F64) != DType::F64 || row.class.operand(DType::F64) != DType::F64 {
        return None;
    }
    let mut bits: SmallVec<[u64; 3]> = SmallVec::new();
    let (mut of, mut device) = (Shape::new(), 0);
    for a in args {
        bits.push(number(a)?.as_f64().to_bits());
        of = layout::broadcast(&of, shape(a)).ok()?;
        if let Arg::Expr(e) = a {
            device = device.max(e.0.device);
        }
    }
    let value = Scalar::Float(f64::from_bits(at_once(row, &bits, Compute::F64)?));
    Some(match args.iter().all(|a| matches!(a, Arg::Scalar(_))) {
        true => Arg::Scalar(value),
        false => Expr::fill_on(device, value, of, dtype, at).into_arg(),
    })
}
