//! `lu`: computes the triangular factors of panels (matrices with few columns), with row exchanges. `ops/linalg/`
//! builds the factors of wider matrices from the factors of panels.

use super::{GpuPass, Inferred, Meaning, Meta, Needs, Params, Routine, RoutineOperand};
use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Fault};
use smallvec::smallvec;

/// The table entry of `lu`. The operand has the axes [.., rows, columns], with at least as many rows as columns, and at
/// most [`MOST_COLUMNS`] columns. The parameters are the numbers of rows, columns and matrices.
///
/// The first result holds the upper triangular factor on and above the diagonal, and the lower triangular factor below
/// it. The second result has `rows + 1` numbers for each matrix: first, for each row of the factors, the index of the
/// operand's row that it comes from, and then the number of pairs of rows that were exchanged.
///
/// The pivot of a column is the first element of the largest magnitude; NaN counts as 0. A pivot of 0 is kept.
pub(crate) static LU: Routine = Routine {
    name: "lu",
    doc: "The triangular factors of matrices with few columns, with exchanged rows.",
    infer,
    needs,
    refuses: None,
    apart: None,
    reference,
};

/// The maximum number of columns of a panel. A row of this many f32 takes 256 bytes of a workgroup's memory.
pub(crate) const MOST_COLUMNS: usize = 64;

fn infer(operands: &[Meta], params: &Params) -> Inferred {
    let mut shape = operands[0].shape.clone();
    shape.pop();
    if let Some(rows) = shape.last_mut() {
        *rows = params[0] as usize + 1;
    }
    Ok(smallvec![operands[0].clone(), Meta { shape, dtype: DType::I32 }])
}

pub(super) fn needs(operands: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    let (rows, count, group) = (params[0] as usize, params[2] as usize, caps.group());
    if rows >= i32::MAX as usize {
        let detail = format!("{rows} rows; their numbers must fit i32");
        return Err(Fault::new(ErrorKind::LimitExceeded, detail));
    }
    if !caps.wgsl {
        return Ok(Needs::default());
    }
    // the workgroup's memory holds a row of the panel and, for each invocation, a candidate for the pivot and the index
    // of the candidate's row
    let bytes = (MOST_COLUMNS + group) * operands[0].dtype.size() + 4 * group;
    if bytes > caps.workgroup_memory || group < MOST_COLUMNS {
        let detail = format!(
            "a factorisation needs workgroups of {MOST_COLUMNS} with {bytes} bytes, and {} has {group} with {}; use \
             to_device(&Device::cpu())",
            caps.name, caps.workgroup_memory
        );
        return Err(Fault::new(ErrorKind::LimitExceeded, detail));
    }
    const ALL: &[RoutineOperand] = &[RoutineOperand::Operand(0), RoutineOperand::Result(0), RoutineOperand::Result(1)];
    let pass = GpuPass { name: "factorise", items: count * group, each: 1, along: &[], whole: ALL, number: 0 };
    Ok(Needs { passes: vec![pass], ..Needs::default() })
}

fn reference(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let [m, n] = [0, 1].map(|i| params[i] as usize);
    let mut a: Vec<f64> = operands[0].iter().map(|x| x.as_f64()).collect();
    let mut orders = vec![];
    for a in a.chunks_mut((m * n).max(1)) {
        let mut order: Vec<i128> = (0..m as i128).collect();
        let mut exchanges = 0;
        for k in 0..n {
            let size = |i: usize| if a[i * n + k].is_nan() { 0.0 } else { a[i * n + k].abs() };
            let pivot = (k..m).fold(k, |best, i| if size(i) > size(best) { i } else { best });
            if pivot != k {
                (0..n).for_each(|j| a.swap(k * n + j, pivot * n + j));
                order.swap(k, pivot);
                exchanges += 1;
            }
            let top = a[k * n + k];
            for i in k + 1..m {
                if top != 0.0 {
                    a[i * n + k] /= top;
                }
                (k + 1..n).for_each(|j| a[i * n + j] -= a[i * n + k] * a[k * n + j]);
            }
        }
        orders.extend(order.into_iter().chain([exchanges]).map(Scalar::Int));
    }
    Ok(vec![a.into_iter().map(Scalar::Float).collect(), orders])
}
