//! `solve`: the solutions of small systems of linear equations, with the triangular factors of their matrices.
//! `ops/linalg/` solves larger systems by factorisations and substitutions of blocks.

use super::cholesky::refused_matrix;
use super::lu::{self, LU, MOST_COLUMNS};
use super::triangular::{CALLERS, NUMBER, SOLVE_TRIANGULAR, UNIT, UPPER};
use super::{GpuPass, Meaning, Meta, Needs, Params, Routine, RoutineOperand};
use crate::base::caps::Caps;
use crate::base::dtype::Scalar;
use crate::base::error::Fault;
use smallvec::smallvec;

/// The table entry of `solve`. The operands are matrices [.., n, n] and right-hand sides [.., n, columns]. The first
/// two results are those of [`LU`] for the matrices, and the third are the solutions. The parameters are n twice, the
/// number of matrices, the function that the user called ([`called`](super::called)), and the number of columns.
pub(crate) static SOLVE: Routine = Routine {
    name: "solve",
    doc: "The solutions of small systems of linear equations, and the triangular factors.",
    infer: |operands, params| {
        let mut results = (LU.infer)(&operands[..1], params)?;
        results.push(operands[1].clone());
        Ok(results)
    },
    needs,
    refuses: Some(|place, params| {
        let caller = CALLERS.get((params[3] / NUMBER) as usize).unwrap_or(&CALLERS[0]);
        let of_matrix = smallvec![params[0], params[2], 0];
        (*caller, refused_matrix(place, &of_matrix, "{} singular: element {} of the diagonal is 0"))
    }),
    apart: None,
    reference,
};

/// The maximum number of rows of a matrix that a CPU solves together with others, one in each lane of a vector.
pub(crate) const MOST_IN_LANES: usize = 16;

/// Returns whether the routine solves systems of `n` rows with `columns` right-hand sides. The elements of such systems
/// fit into a fast cache.
pub(crate) fn solves(n: usize, columns: usize) -> bool {
    match n {
        0 => false,
        1..=MOST_IN_LANES => n * columns <= MOST_IN_LANES * MOST_IN_LANES,
        _ => n <= MOST_COLUMNS && columns <= MOST_COLUMNS,
    }
}

fn needs(operands: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    let mut needs = lu::needs(&operands[..1], params, caps)?;
    if caps.wgsl {
        const ALL: &[RoutineOperand] = &[
            RoutineOperand::Operand(1),
            RoutineOperand::Result(0),
            RoutineOperand::Result(1),
            RoutineOperand::Result(2),
        ];
        let items = (params[2] as usize).saturating_mul(params[4] as usize);
        needs.passes.push(GpuPass { name: "solutions", items, each: 1, along: &[], whole: ALL, number: 0 });
    }
    Ok(needs)
}

fn reference(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let [n, columns] = [0, 4].map(|i| params[i] as usize);
    let mut results = (LU.reference)(&operands[..1], params)?;
    let right = operands[1].chunks((n * columns).max(1)).zip(results[1].chunks(n + 1));
    let right = right.flat_map(|(b, order)| {
        order[..n].iter().flat_map(move |row| b[row.as_f64() as usize * columns..].iter().take(columns).copied())
    });
    let mut x = vec![right.collect()];
    for kind in [UNIT, UPPER] {
        let of_kind = smallvec![params[0], params[2], 0, params[3] | kind, params[4]];
        x = (SOLVE_TRIANGULAR.reference)(&[results[0].clone(), x.remove(0)], &of_kind)?;
    }
    results.append(&mut x);
    Ok(results)
}
