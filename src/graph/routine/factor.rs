//! `eigh`, `svd` and `qr`: factorisations of matrices. `ops/linalg/` uses them for matrices of other shapes too, and
//! for its other functions.

use super::{Apart, GpuPass, Meaning, Meta, Needs, Params, Routine, RoutineOperand, Temp, number_of_caller};
use crate::base::caps::Caps;
use crate::base::dtype::Scalar;
use crate::base::error::{ErrorKind, Fault};
use smallvec::{SmallVec, smallvec};

/// The matrices of the last two axes are independent. Parameter number `count` is the number of matrices.
const fn matrices(count: usize) -> Apart {
    Apart { axes: |shape, _| shape.len().saturating_sub(2), count }
}

/// The table entry of `eigh`. The operand has the axes [.., n, n]. Only the lower triangle of each matrix is read. The
/// parameters are n, whether eigenvectors are wanted (0 or 1), the number of matrices, how many matrices a workgroup of
/// a GPU handles, and the index in `CALLERS` of the function that was called. The results are the eigenvalues in
/// ascending order and, if wanted, the eigenvectors.
pub(crate) static EIGH: Routine = Routine {
    name: "eigh",
    doc: "The eigenvalues and eigenvectors of symmetric matrices.",
    infer: |operands, params| Ok(results(&operands[0], params, 1)),
    needs: |operands, params, caps| needs(false, &operands[0], params, caps),
    refuses: None,
    apart: Some(matrices(2)),
    reference: eigh,
};

/// The table entry of `svd`. The operand has the axes [.., n, n]. The parameters are the same as for [`EIGH`]: n,
/// whether singular vectors are wanted (0 or 1), the number of matrices, how many matrices a workgroup of a GPU
/// handles, and the index in `CALLERS` of the function that was called. The results are the singular values in
/// descending order and, if wanted, the left vectors as columns and the right vectors as rows.
pub(crate) static SVD: Routine = Routine {
    name: "svd",
    doc: "The singular values and singular vectors of square matrices.",
    infer: |operands, params| Ok(results(&operands[0], params, 2)),
    needs: |operands, params, caps| needs(true, &operands[0], params, caps),
    refuses: None,
    apart: Some(matrices(2)),
    reference: svd,
};

/// The table entry of `qr`. The operand has the axes [.., m, n]. The parameters are m, n, the number of columns of Q
/// (min(m, n) or m), the number of matrices, and the index in `CALLERS` of the function that was called. The results
/// are Q and R.
pub(crate) static QR: Routine = Routine {
    name: "qr",
    doc: "The QR factorisation of matrices.",
    infer: |operands, params| {
        let (last, columns) = (operands[0].shape.len() - 1, params[2] as usize);
        let [mut q, mut r] = [operands[0].clone(), operands[0].clone()];
        q.shape[last] = columns;
        r.shape[last - 1] = columns;
        Ok(smallvec![q, r])
    },
    needs: qr_needs,
    refuses: None,
    apart: Some(matrices(3)),
    reference: qr,
};

/// The maximum number of rows of a matrix whose eigenvalues or singular values a GPU computes, with one workgroup.
pub(crate) const MOST_ON_GPU: usize = 64;

/// The longest side of a matrix that the CPU factorises in the memory of one task: see `src/cpu/factor/mod.rs`.
pub(crate) const OF_A_TASK: usize = 256;

/// The functions that call these routines. The fifth parameter of a routine is the index in this list of the function
/// that was called, because errors name that function.
static CALLERS: [&str; 11] =
    ["eigh", "eigvalsh", "svd", "svdvals", "qr", "lstsq", "pinv", "matrix_rank", "cond", "matrix_norm", "det"];

/// Returns the error for matrices that are too large for a GPU to factorise.
fn too_large(detail: String, params: &Params) -> Fault {
    let detail = format!("{detail}; use to_device(&Device::cpu())");
    Fault::new(ErrorKind::LimitExceeded, detail).of(CALLERS.get(params[4] as usize).unwrap_or(&CALLERS[0]))
}

/// Returns the parameters of the routine [`QR`] for a call by the function `op`.
pub(crate) fn qr_params(op: &str, [m, n]: [usize; 2], columns: usize, matrices: usize) -> Params {
    smallvec![m as u64, n as u64, columns as u64, matrices as u64, number_of_caller(&CALLERS, op)]
}

/// Returns the parameters of the routines [`EIGH`] and [`SVD`] for a call by the function `op`.
pub(crate) fn spectrum_params(op: &str, n: usize, with_vectors: bool, matrices: usize) -> Params {
    let pairs = n.div_ceil(2).max(1);
    // one invocation rotates one element of a pair of rows or columns, and n / 2 pairs are rotated at a time. A
    // workgroup of 256 invocations handles as many matrices as this allows, but at least one
    let of_a_group = (256 / (pairs * n.max(1))).clamp(1, (256 / pairs).max(1));
    smallvec![n as u64, u64::from(with_vectors), matrices as u64, of_a_group as u64, number_of_caller(&CALLERS, op)]
}

fn results(operand: &Meta, params: &Params, vectors: usize) -> SmallVec<[Meta; 1]> {
    let mut values = operand.clone();
    values.shape.pop();
    let vectors = if params[1] == 0 { 0 } else { vectors };
    std::iter::once(values).chain(std::iter::repeat_n(operand.clone(), vectors)).collect()
}

/// Returns how many numbers the Householder reflectors of a matrix need. The reflectors are stored in groups of four.
fn reflectors(rows: usize, count: usize) -> usize {
    count.div_ceil(4).saturating_mul(4).saturating_mul(rows)
}

/// Returns how many numbers a matrix needs if it is stored as strips of 16 columns each.
fn strips(rows: usize, columns: usize) -> usize {
    columns.div_ceil(16).saturating_mul(16).saturating_mul(rows)
}

/// Returns how many f64 of working memory the CPU needs for the `eigh` of one matrix.
pub(crate) fn eigh_work(n: usize, with_vectors: bool) -> usize {
    let vectors = if with_vectors { strips(n, n) } else { 0 };
    n.saturating_mul(n).saturating_add(vectors).saturating_add(reflectors(n, n))
}

/// Returns how many f64 of working memory the CPU needs for the `svd` of one matrix.
pub(crate) fn svd_work(n: usize, with_vectors: bool) -> usize {
    let vectors = if with_vectors { strips(n, n).saturating_mul(2) } else { 0 };
    n.saturating_mul(n).saturating_add(vectors).saturating_add(reflectors(n, n).saturating_mul(2))
}

/// Returns how many f64 of working memory the CPU needs for the `qr` of one matrix.
pub(crate) fn qr_work(m: usize, n: usize, columns: usize) -> usize {
    strips(m, n).saturating_add(strips(m, columns)).saturating_add(reflectors(m, m.min(n)))
}

/// Returns scratch memory of `work` f64 for one matrix whose longer side is `side`, or none if the CPU factorises the
/// matrix in the memory of a task.
pub(super) fn cpu_needs(side: usize, work: usize) -> Needs {
    let bytes = work.saturating_mul(size_of::<f64>());
    let scratch = if side > OF_A_TASK { smallvec![Temp { bytes, zeroed: false }] } else { smallvec![] };
    Needs { scratch, passes: vec![] }
}

/// Returns the scratch memory and passes that a routine needs: [`SVD`] if `is_svd` is true, and [`EIGH`] otherwise.
fn needs(is_svd: bool, meta: &Meta, params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    let [n, with_vectors, matrices, of_a_group] = [0, 1, 2, 3].map(|i| params[i] as usize);
    if !caps.wgsl {
        let work = if is_svd { svd_work(n, with_vectors != 0) } else { eigh_work(n, with_vectors != 0) };
        return Ok(cpu_needs(n, work));
    }
    let most = MOST_ON_GPU.min(2 * caps.group());
    if n > most || of_a_group * n.div_ceil(2) > caps.group() {
        let name = &caps.name;
        let detail = format!("matrices of {n} rows are too large for {name}, where at most {most} are possible");
        return Err(too_large(detail, params));
    }
    const ITERATE: &[RoutineOperand] =
        &[RoutineOperand::Operand(0), RoutineOperand::Result(0), RoutineOperand::Scratch(0)];
    const SOURCE: &[RoutineOperand] = &[RoutineOperand::Operand(0), RoutineOperand::Scratch(0)];
    let items = matrices.div_ceil(of_a_group) * caps.group();
    let mut passes = vec![GpuPass { name: "iterate", items, each: 1, along: &[], whole: ITERATE, number: 0 }];
    if with_vectors != 0 {
        if is_svd {
            passes.push(GpuPass { name: "complete", items, each: 1, along: &[], whole: SOURCE, number: 0 });
        }
        let mut store = |name, along| {
            passes.push(GpuPass { name, items: meta.size(), each: 1, along, whole: SOURCE, number: 0 });
        };
        store("store_first", &[RoutineOperand::Result(1)]);
        if is_svd {
            store("store_second", &[RoutineOperand::Result(2)]);
        }
    }
    // the scratch memory holds, for each matrix, two matrices of its size and the order of its eigenvalues or singular
    // values
    let bytes = matrices.saturating_mul((2 * n + 1) * n).saturating_mul(meta.dtype.size());
    Ok(Needs { scratch: smallvec![Temp { bytes, zeroed: false }], passes })
}

/// The maximum number of elements to which one invocation of a GPU applies reflectors to compute R. The invocation does
/// as much work again to compute Q. Its work takes some tenths of a second.
const MOST_REFLECTED: usize = 1 << 23;

/// The maximum number of rounds that the loops of one invocation run in one dispatch. Mesa's software driver ends loops
/// after 65,535 rounds.
const MOST_ROUNDS: usize = 1 << 15;

fn qr_needs(operands: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    let [m, n, columns, matrices] = [0, 1, 2, 3].map(|i| params[i] as usize);
    if !caps.wgsl {
        return Ok(cpu_needs(m.max(n), qr_work(m, n, columns)));
    }
    let least = m.min(n);
    let of_a_step = m.saturating_mul(n.max(columns).div_ceil(caps.group()));
    if least.saturating_mul(of_a_step) > MOST_REFLECTED || 2 * of_a_step > MOST_ROUNDS || 2 * least > 0xffff {
        let name = &caps.name;
        return Err(too_large(format!("matrices of shape [{m}, {n}] are too large for {name}"), params));
    }
    const ALL: &[RoutineOperand] =
        &[RoutineOperand::Operand(0), RoutineOperand::Result(0), RoutineOperand::Result(1), RoutineOperand::Scratch(0)];
    let items = matrices.saturating_mul(caps.group());
    let bytes = matrices.saturating_mul(m * n + m * columns + least).saturating_mul(operands[0].dtype.size());
    // a step computes a column of R or applies a reflector to Q: see `shaders/qr.wgsl`
    let each = (MOST_ROUNDS / (2 * of_a_step)).max(1);
    let pass = |first: usize| {
        let number = (first | (first + each).min(2 * least) << 16) as u32;
        GpuPass { name: "factor", items, each: 1, along: &[], whole: ALL, number }
    };
    let passes = (0..2 * least).step_by(each).map(pass).collect();
    Ok(Needs { scratch: smallvec![Temp { bytes, zeroed: false }], passes })
}

/// Rotates pairs of rows of both matrices until the rows of the first matrix are orthogonal (one-sided Jacobi method).
#[allow(clippy::needless_range_loop)]
fn orthogonalise(a: &mut [Vec<f64>], v: &mut [Vec<f64>]) {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    for _ in 0..60 {
        for q in 1..a.len() {
            for p in 0..q {
                let [alpha, beta, gamma] = [dot(&a[p], &a[p]), dot(&a[q], &a[q]), dot(&a[p], &a[q])];
                if gamma.abs() <= 1e-16 * (alpha * beta).sqrt() {
                    continue;
                }
                let zeta = (beta - alpha) / (2.0 * gamma);
                let t = 1f64.copysign(zeta) / (zeta.abs() + zeta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                for rows in [&mut *a, &mut *v] {
                    for i in 0..rows[0].len() {
                        let (x, y) = (rows[p][i], rows[q][i]);
                        (rows[p][i], rows[q][i]) = (c * (x - t * y), c * (t * x + y));
                    }
                }
            }
        }
    }
}

/// Returns matrix number `i` of the operand, transposed, and an identity matrix with as many rows as the matrix has
/// columns.
fn columns_of(operand: &[Scalar], i: usize, [rows, columns]: [usize; 2]) -> [Vec<Vec<f64>>; 2] {
    let at = |r: usize, c: usize| operand[(i * rows + r) * columns + c].as_f64();
    let identity = |r: usize| (0..columns).map(|c| f64::from(u8::from(r == c))).collect();
    [(0..columns).map(|c| (0..rows).map(|r| at(r, c)).collect()).collect(), (0..columns).map(identity).collect()]
}

#[allow(clippy::needless_range_loop)]
fn svd(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let [n, with_vectors, matrices] = [0, 1, 2].map(|i| params[i] as usize);
    let mut out = vec![vec![], vec![], vec![]];
    for i in 0..matrices {
        let [mut a, mut v] = columns_of(&operands[0], i, [n, n]);
        orthogonalise(&mut a, &mut v);
        let norms: Vec<f64> = a.iter().map(|x| x.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|x, y| norms[*y].total_cmp(&norms[*x]));
        for k in &order {
            out[0].push(Scalar::Float(norms[*k]));
            out[2].extend(v[*k].iter().map(|x| Scalar::Float(*x)));
        }
        for r in 0..n {
            out[1].extend(order.iter().map(|k| Scalar::Float(a[*k][r] / norms[*k])));
        }
    }
    out.truncate(if with_vectors == 0 { 1 } else { 3 });
    Ok(out)
}

#[allow(clippy::needless_range_loop)]
fn eigh(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let [n, with_vectors, matrices] = [0, 1, 2].map(|i| params[i] as usize);
    let mut out = vec![vec![], vec![]];
    for i in 0..matrices {
        let [mut a, mut v] = columns_of(&operands[0], i, [n, n]);
        // the matrix is taken from its lower triangle alone, and is shifted so that all eigenvalues are positive
        let norm: f64 = a.iter().flatten().map(|x| x.abs()).sum();
        for c in 0..n {
            for r in c..n {
                a[r][c] = a[c][r];
            }
            a[c][c] += norm;
        }
        orthogonalise(&mut a, &mut v);
        let norms: Vec<f64> = a.iter().map(|x| x.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|x, y| norms[*x].total_cmp(&norms[*y]));
        out[0].extend(order.iter().map(|k| Scalar::Float(norms[*k] - norm)));
        for r in 0..n {
            out[1].extend(order.iter().map(|k| Scalar::Float(v[*k][r])));
        }
    }
    out.truncate(if with_vectors == 0 { 1 } else { 2 });
    Ok(out)
}

#[allow(clippy::needless_range_loop)]
fn qr(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let [m, n, count, matrices] = [0, 1, 2, 3].map(|i| params[i] as usize);
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let mut out = vec![vec![], vec![]];
    for i in 0..matrices {
        let [a, _] = columns_of(&operands[0], i, [m, n]);
        let unit = |r: usize| (0..m).map(|c| f64::from(u8::from(r == c))).collect::<Vec<f64>>();
        let mut q: Vec<Vec<f64>> = vec![];
        for x in a.iter().cloned().chain((0..m).map(unit)) {
            let (mut x, before) = (x.clone(), dot(&x, &x));
            for y in q.iter().chain(&q) {
                let along = dot(&x, y);
                x.iter_mut().zip(y).for_each(|(x, y)| *x -= along * y);
            }
            let norm = dot(&x, &x).sqrt();
            if q.len() < count && norm > 1e-7 * before.sqrt() {
                q.push(x.iter().map(|x| x / norm).collect());
            }
        }
        for r in 0..m {
            out[0].extend(q.iter().map(|x| Scalar::Float(x[r])));
        }
        for (r, y) in q.iter().enumerate() {
            out[1].extend(a.iter().enumerate().map(|(c, x)| Scalar::Float(if r <= c { dot(x, y) } else { 0.0 })));
        }
    }
    Ok(out)
}
