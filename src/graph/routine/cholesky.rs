//! `cholesky`: the Cholesky factors of small matrices. `ops/linalg/` builds the factors of larger matrices from the
//! factors of small ones.

use super::{GpuPass, Meaning, Meta, Needs, Params, Routine, RoutineOperand};
use crate::base::caps::Caps;
use crate::base::dtype::Scalar;
use crate::base::error::{ErrorKind, Fault};
use smallvec::smallvec;

/// The table entry of `cholesky`. The operand has the axes [.., n, n], and n is at most [`MOST_ROWS`]. Only the lower
/// triangle of each matrix is read. The result is lower triangular, with zeros above. The caller may factorise blocks
/// on the diagonal of larger matrices: the parameters are n, the number of matrices, and the row of the caller's matrix
/// at which the block begins.
pub(crate) static CHOLESKY: Routine = Routine {
    name: "cholesky",
    doc: "The lower Cholesky factors of small symmetric matrices.",
    infer: |operands, _| Ok(smallvec![operands[0].clone()]),
    needs,
    refuses: Some(|place, params| {
        let detail = "{} not positive definite: the pivot of row {} is not positive. If rounding made it so, add a small \
                      multiple of the identity, as in &x + eye(n, dtype) * 1e-6";
        ("cholesky", refused_matrix(place, params, detail))
    }),
    apart: None,
    reference,
};

/// The maximum number of rows of a matrix. A matrix of f32 with this many rows fills the 16 KiB of workgroup memory
/// that every GPU has, and the CPU holds it in its L1 cache.
pub(crate) const MOST_ROWS: usize = 64;

/// How many numbers the memory of a workgroup holds: `MEMORY` in `shaders/cholesky.wgsl`.
const MEMORY: usize = MOST_ROWS * MOST_ROWS;

/// The number of invocations that factorise one matrix if a workgroup factorises several. Such a matrix also has at
/// most this many rows.
const TEAM: usize = 16;

/// Returns the error for a matrix of a batch. `place` is n times the index of the matrix, plus the index of a row in
/// that matrix. `detail` contains `{}` twice, first for the matrix and then for the row. `params` begins with n, the
/// number of matrices, and the position of row 0 in the caller's matrices.
pub(super) fn refused_matrix(place: i128, params: &Params, detail: &str) -> Fault {
    let n = params[0].max(1) as i128;
    let matrix = match params[1] {
        1 => "the matrix is".to_string(),
        count => format!("matrix {} of the {count} in the batch is", place / n),
    };
    let first = mutant!(row_of_a_block_refused, 0, params[2] as i128);
    let row = (first + place % n).to_string();
    Fault::new(ErrorKind::Singular, detail.replacen("{}", &matrix, 1).replacen("{}", &row, 1))
}

/// Returns an error if the memory of a workgroup cannot hold `count` numbers of the dtype of `meta`.
fn check_memory(meta: &Meta, count: usize, caps: &Caps) -> Result<(), Fault> {
    let bytes = count * meta.dtype.size();
    if bytes <= caps.workgroup_memory {
        return Ok(());
    }
    let detail = format!(
        "a factorisation in {} needs {bytes} bytes of workgroup memory, and {} has {}; use to_device(&Device::cpu())",
        meta.dtype, caps.name, caps.workgroup_memory,
    );
    Err(Fault::new(ErrorKind::LimitExceeded, detail))
}

fn needs(operands: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    if !caps.wgsl {
        return Ok(Needs::default());
    }
    check_memory(&operands[0], MEMORY, caps)?;
    let (n, count, group) = (params[0] as usize, params[1] as usize, caps.group());
    // a workgroup of 256 invocations consists of 16 teams of 16, and its memory has room for a 16 × 16 matrix for each
    // team
    let team = if n <= TEAM && group == TEAM * TEAM { TEAM } else { group };
    let groups = count.div_ceil(group / team);
    const ALL: &[RoutineOperand] = &[RoutineOperand::Operand(0), RoutineOperand::Result(0)];
    let pass =
        GpuPass { name: "factorise", items: groups * group, each: 1, along: &[], whole: ALL, number: team as u32 };
    Ok(Needs { passes: vec![pass], ..Needs::default() })
}

fn reference(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let n = params[0] as usize;
    let mut out: Vec<f64> = operands[0].iter().map(|x| x.as_f64()).collect();
    for (matrix, a) in out.chunks_mut((n * n).max(1)).enumerate() {
        for i in 0..n {
            for j in 0..n {
                let sum: f64 = (0..j.min(i)).map(|k| a[i * n + k] * a[j * n + k]).sum();
                let rest = a[i * n + j] - sum;
                a[i * n + j] = match j {
                    _ if j > i => 0.0,
                    _ if j < i => rest / a[j * n + j],
                    _ if rest > 0.0 => rest.sqrt(),
                    _ => {
                        let place = (matrix * n + i) as i128;
                        let Some(refuses) = CHOLESKY.refuses else { continue };
                        return Err(refuses(place, params).1);
                    }
                };
            }
        }
    }
    Ok(vec![out.into_iter().map(Scalar::Float).collect()])
}
