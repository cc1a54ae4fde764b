//! `solve_triangular`: the solutions of small triangular systems. `ops/linalg/` solves larger systems by solving small
//! ones.

use super::cholesky::refused_matrix;
use super::{GpuPass, Meaning, Meta, Needs, Params, Routine, RoutineOperand, number_of_caller};
use crate::base::caps::Caps;
use crate::base::dtype::Scalar;
use crate::base::error::Fault;
use smallvec::smallvec;

/// The table entry of `solve_triangular`. The operands are triangular matrices [.., n, n] with a small n, of which only
/// one triangle is read, and right-hand sides [.., n, columns]. The matrices may be blocks on the diagonal of larger
/// matrices of the caller. The parameters are n, the number of matrices, the row of the caller's matrix at which the
/// block begins, the kind (bits such as [`UPPER`]), and the number of columns.
pub(crate) static SOLVE_TRIANGULAR: Routine = Routine {
    name: "solve_triangular",
    doc: "The solutions of small triangular systems.",
    infer: |operands, _| Ok(smallvec![operands[1].clone()]),
    needs,
    refuses: Some(|place, params| {
        let caller = CALLERS.get((params[3] / NUMBER) as usize).unwrap_or(&CALLERS[0]);
        (*caller, refused_matrix(place, params, "{} singular: element {} of the diagonal is 0"))
    }),
    apart: None,
    reference,
};

/// The bits of the fourth parameter of [`SOLVE_TRIANGULAR`]. Without [`UPPER`], the matrices are lower triangular. With
/// [`UNIT`], the elements on the diagonal count as 1, whatever their values are.
pub(crate) const UPPER: u64 = 1;
pub(crate) const UNIT: u64 = 2;

/// The functions that solve triangular systems in which an element of the diagonal may be 0. The fourth parameter,
/// divided by [`NUMBER`], is the index of the function that the user called, because errors name that function.
pub(super) static CALLERS: [&str; 10] =
    ["solve_triangular", "solve", "inv", "det", "slogdet", "matrix_power", "cond", "expm", "lu", "solve_refined"];
pub(super) const NUMBER: u64 = 4;

/// Returns the part of the fourth parameter of [`SOLVE_TRIANGULAR`] that stands for the function that the user called.
pub(crate) fn called(op: &str) -> u64 {
    number_of_caller(&CALLERS, op) * NUMBER
}

fn needs(_: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    if !caps.wgsl {
        return Ok(Needs::default());
    }
    const ALL: &[RoutineOperand] = &[RoutineOperand::Operand(0), RoutineOperand::Operand(1), RoutineOperand::Result(0)];
    let items = (params[1] as usize).saturating_mul(params[4] as usize);
    let pass = GpuPass { name: "substitute", items, each: 1, along: &[], whole: ALL, number: 0 };
    Ok(Needs { passes: vec![pass], ..Needs::default() })
}

fn reference(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let [n, columns] = [0, 4].map(|i| params[i] as usize);
    let (is_upper, is_unit) = (params[3] & UPPER != 0, params[3] & UNIT != 0);
    let a: Vec<f64> = operands[0].iter().map(|x| x.as_f64()).collect();
    let mut x: Vec<f64> = operands[1].iter().map(|x| x.as_f64()).collect();
    for (matrix, x) in x.chunks_mut((n * columns).max(1)).enumerate() {
        let a = &a[matrix * n * n..];
        for step in 0..n {
            let i = if is_upper { n - 1 - step } else { step };
            let pivot = a[i * n + i];
            if let (false, true, Some(refuses)) = (is_unit, pivot == 0.0, SOLVE_TRIANGULAR.refuses) {
                return Err(refuses((matrix * n + i) as i128, params).1);
            }
            for c in 0..columns {
                let known = if is_upper { i + 1..n } else { 0..i };
                let sum: f64 = known.map(|j| a[i * n + j] * x[j * columns + c]).sum();
                let rest = x[i * columns + c] - sum;
                x[i * columns + c] = if is_unit { rest } else { rest / pivot };
            }
        }
    }
    Ok(vec![x.into_iter().map(Scalar::Float).collect()])
}
