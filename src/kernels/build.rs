//! Converts the values that a lowered kernel computes to nodes of an expression, or to formulas of a reduction's fold.

use super::program::{Id, KernelProgram, KernelStep};
use crate::base::dtype::{Compute, DType, Scalar};
use crate::base::error::Loc;
use crate::graph::expr::{Arg, Expr, between, cast, composed, ufunc};
use crate::graph::ufunc::{Class, ComputeKind, Term, Ufunc};
use smallvec::SmallVec;

/// Makes expressions from the program's values `results`, of which one may be an operand of another. The operands have
/// the dtypes of the program's inputs and are on the device with the number `device`. Checks of results (for NaN, for
/// example) inspect only `results`, not the program's other values.
pub(super) fn expressions(
    program: &KernelProgram,
    operands: &[Expr],
    device: u32,
    results: &[Id],
    at: Loc,
) -> Vec<Expr> {
    let needed = program.needed(results);
    let mut made: Vec<Option<Expr>> = vec![None; needed.len()];
    for (id, (step, dtype)) in program.steps().iter().enumerate().filter(|(id, _)| needed[*id]) {
        let fill = |number| Expr::fill_on(device, number, SmallVec::new(), *dtype, at);
        let of = |a: Id| made[a].clone().unwrap_or_else(|| fill(Scalar::Int(0)));
        let make = || match step {
            KernelStep::Input(n) => operands[*n].clone(),
            // a constant result must be on the device of the operands too
            KernelStep::Number(bits) => fill(Scalar::from_bits(*bits, dtype.compute())),
            // WGSL's conversions between integers wrap
            KernelStep::Cast(a) => cast(of(*a), *dtype, at).wrapping(),
            KernelStep::Call(row, args) => ufunc(row, operands_of(program, row, args, of), at),
        };
        made[id] = Some(if results.contains(&id) { composed(make) } else { between(make) });
    }
    results.iter().filter_map(|id| made[*id].clone()).collect()
}

/// Converts a result to the dtype of its output. An integer may wrap here without an error, even if results are checked
/// for overflow.
pub(super) fn converted(result: Expr, to: DType, at: Loc) -> Expr {
    if result.0.dtype == to { result } else { cast(result, to, at).wrapping() }
}

/// Returns the operands of a call. A constant that is combined with an array is passed as a number, because expressions
/// handle numbers fastest.
fn operands_of(
    program: &KernelProgram,
    row: &'static Ufunc,
    args: &[Id],
    of: impl Fn(Id) -> Expr,
) -> SmallVec<[Arg; 3]> {
    let first = (row.class == Class::Select) as usize;
    let has_array = args[first..].iter().any(|a| program.constant(*a).is_none());
    let operand = |(n, a): (usize, &Id)| match program.constant(*a) {
        // an f16 constant is not passed as a number, because it would not be rounded to f16
        Some(number) if has_array && n >= first && program.dtype(*a) != DType::F16 => Arg::Scalar(number),
        Some(_) | None => Arg::Expr(of(*a)),
    };
    args.iter().enumerate().map(operand).collect()
}

/// The maximum number of operations of a formula. A formula is a tree, so a value that is used twice is counted twice.
/// Chosen by hand; no benchmark compares other values.
const MOST_TERMS: usize = 1 << 12;

/// The maximum depth of a formula. Code that reads a formula recurses for each level, on the stack of the thread that
/// evaluates the reduction.
const MOST_DEPTH: usize = 1 << 8;

/// Makes formulas from the program's values `results`. `inputs` are the formulas of the program's inputs. Returns the
/// reason as an error if a formula is too large or too deep, or has a number that f64 cannot hold.
pub(super) fn terms(program: &KernelProgram, inputs: &[Term], results: &[Id]) -> Result<Vec<Term>, String> {
    let needed = program.needed(results);
    let mut made: Vec<Option<(Term, usize, usize)>> = vec![None; needed.len()];
    for (id, (step, dtype)) in program.steps().iter().enumerate().filter(|(id, _)| needed[*id]) {
        let operands = program.operands(id);
        let parts = || operands.iter().filter_map(|a| made[*a]);
        let size = 1 + parts().map(|(_, n, _)| n).sum::<usize>();
        let depth = 1 + parts().map(|(.., depth)| depth).max().unwrap_or(0);
        if depth > MOST_DEPTH {
            return Err(format!(
                "a chain of more than {MOST_DEPTH} operations, each of which uses the result of the one before it"
            ));
        }
        if size > MOST_TERMS {
            return Err(format!(
                "with every value written out where it is used, it has more than {MOST_TERMS} operations"
            ));
        }
        let of = |a: Id| made[a].map_or(Term::X, |(term, ..)| term);
        let term = match step {
            KernelStep::Input(n) => inputs[*n],
            KernelStep::Number(bits) => number(Scalar::from_bits(*bits, dtype.compute()), *dtype)?,
            KernelStep::Cast(a) => Term::Cast(&Term::list(&[of(*a)])[0], ComputeKind::Is(dtype.compute())),
            KernelStep::Call(row, args) => {
                Term::call(row, &args.iter().map(|a| of(*a)).collect::<SmallVec<[Term; 3]>>())
            }
        };
        made[id] = Some((term, size, depth));
    }
    Ok(results.iter().filter_map(|id| made[*id].map(|(term, ..)| term)).collect())
}

/// Makes a constant of a formula. Returns an error if f64, the type of such constants, cannot hold the value.
fn number(value: Scalar, dtype: DType) -> Result<Term, String> {
    let x = value.as_f64();
    let is_same = !matches!(dtype.compute(), Compute::I64 | Compute::U64) || x as i128 == value.as_i128();
    match is_same {
        true => Ok(Term::number(x, ComputeKind::Is(dtype.compute()))),
        false => Err(format!("the number {value} is larger than 2^53, the largest integer in a reduction's steps")),
    }
}
