//! A kernel's values as nodes of an expression, and as formulas of a fold.

use super::program::{Id, Program, Step};
use crate::base::dtype::{Compute, DType, Scalar};
use crate::graph::expr::{Arg, Expr, Loc, between, cast, composed, ufunc};
use crate::graph::ufunc::{Class, Kind, Term, Ufunc};
use smallvec::SmallVec;

/// Makes expressions of the values `results`, for operands that have the dtypes of the program's inputs and are on the device of
/// this number. Checks look at the results, of which one may be an operand of another, and at nothing between.
pub(super) fn expressions(program: &Program, operands: &[Expr], device: u32, results: &[Id], at: Loc) -> Vec<Expr> {
    let needed = program.needed(results);
    let mut made: Vec<Option<Expr>> = vec![None; needed.len()];
    for (id, (step, dtype)) in program.steps().iter().enumerate().filter(|(id, _)| needed[*id]) {
        let fill = |number| Expr::fill_on(device, number, SmallVec::new(), *dtype, at);
        let of = |a: Id| made[a].clone().unwrap_or_else(|| fill(Scalar::Int(0)));
        let make = || match step {
            Step::Input(n) => operands[*n].clone(),
            // a result that depends on no operand is on the operands' device all the same
            Step::Number(bits) => fill(Scalar::from_bits(*bits, dtype.compute())),
            // WGSL says that integers wrap where they are converted
            Step::Cast(a) => cast(of(*a), *dtype, at).wrapping(),
            Step::Call(row, args) => ufunc(row, operands_of(program, row, args, of), at),
        };
        made[id] = Some(if results.contains(&id) { composed(make) } else { between(make) });
    }
    results.iter().filter_map(|id| made[*id].clone()).collect()
}

/// Converts a result to the dtype of its output. Where that wraps an integer, it does so by design.
pub(super) fn converted(result: Expr, to: DType, at: Loc) -> Expr {
    if result.0.dtype == to { result } else { cast(result, to, at).wrapping() }
}

/// Returns the operands of a call. A constant beside an array is a number, for which an expression has its shortest way.
fn operands_of(program: &Program, row: &'static Ufunc, args: &[Id], of: impl Fn(Id) -> Expr) -> SmallVec<[Arg; 3]> {
    let first = (row.class == Class::Select) as usize;
    let has_array = args[first..].iter().any(|a| program.constant(*a).is_none());
    let operand = |(n, a): (usize, &Id)| match program.constant(*a) {
        // a number beside f16 would not be rounded to f16
        Some(number) if has_array && n >= first && program.dtype(*a) != DType::F16 => Arg::Scalar(number),
        Some(_) | None => Arg::Expr(of(*a)),
    };
    args.iter().enumerate().map(operand).collect()
}

/// The most parts of a fold's formulas. A formula is a tree, in which a value that is used twice stands twice.
const MOST_TERMS: usize = 1 << 12;

/// The most operations of a formula of which each takes the one before it. What reads a formula calls itself for each, on the stack of
/// whoever evaluates the reduction.
const MOST_DEPTH: usize = 1 << 8;

/// Makes formulas of values; `inputs` are those of the program's operands. Fails with a reason.
pub(super) fn terms(program: &Program, inputs: &[Term], results: &[Id]) -> Result<Vec<Term>, String> {
    let needed = program.needed(results);
    let mut made: Vec<Option<(Term, usize, usize)>> = vec![None; needed.len()];
    for (id, (step, dtype)) in program.steps().iter().enumerate().filter(|(id, _)| needed[*id]) {
        let operands = program.operands(id);
        let parts = || operands.iter().filter_map(|a| made[*a]);
        let size = 1 + parts().map(|(_, n, _)| n).sum::<usize>();
        let depth = 1 + parts().map(|(.., depth)| depth).max().unwrap_or(0);
        if depth > MOST_DEPTH {
            return Err(format!("{MOST_DEPTH} operations and more, each of which takes the one before it"));
        }
        if size > MOST_TERMS {
            return Err(format!(
                "with every value written out where it is used, it has more than {MOST_TERMS} operations"
            ));
        }
        let of = |a: Id| made[a].map_or(Term::X, |(term, ..)| term);
        let term = match step {
            Step::Input(n) => inputs[*n],
            Step::Number(bits) => number(Scalar::from_bits(*bits, dtype.compute()), *dtype)?,
            Step::Cast(a) => Term::Cast(&Term::list(&[of(*a)])[0], Kind::Is(dtype.compute())),
            Step::Call(row, args) => Term::call(row, &args.iter().map(|a| of(*a)).collect::<SmallVec<[Term; 3]>>()),
        };
        made[id] = Some((term, size, depth));
    }
    Ok(results.iter().filter_map(|id| made[*id].map(|(term, ..)| term)).collect())
}

/// A constant of a formula, which keeps it as an f64.
fn number(value: Scalar, dtype: DType) -> Result<Term, String> {
    let x = value.as_f64();
    let is_same = !matches!(dtype.compute(), Compute::I64 | Compute::U64) || x as i128 == value.as_i128();
    match is_same {
        true => Ok(Term::number(x, Kind::Is(dtype.compute()))),
        false => Err(format!("the number {value} is larger than 2^53, the largest that a reduction's steps can have")),
    }
}
