//! `fft`: the discrete Fourier transform of complex rows, which are given as real and imaginary parts. Lengths have no
//! prime factor above 7; `ops/fourier/` builds transforms of other lengths from these.

use super::{Apart, GpuPass, Meaning, Meta, Needs, Params, Routine, RoutineOperand, Temp};
use crate::base::caps::Caps;
use crate::base::dtype::Scalar;
use crate::base::error::{ErrorKind, Fault};
use crate::base::layout;
use crate::math::double::{cospi, sinpi};
use smallvec::{SmallVec, smallvec};

/// The table entry of `fft`. The two operands are real and imaginary parts, and may have any axes. The parameters are
/// the length of the transformed axis, the number of elements in all axes after it (`inner`), the kind (bits such as
/// [`INVERSE`]), the number of all complex numbers, and the [`factors`] of the length for a GPU. Each factor takes 16
/// bits, and the first factor is in the lowest bits.
///
/// With the bit [`REAL`], the routine transforms rows of 2·length real numbers. The operands of a forward transform are
/// the numbers with even and with odd indices, and its results are the first length + 1 numbers of the transform. The
/// operands and results of an inverse transform are exchanged. Both are a transform of `length` complex numbers and a
/// step that combines number k with number length − k. The fourth parameter counts complex numbers of that transform.
pub(crate) static FFT: Routine = Routine {
    name: "fft",
    doc: "The discrete Fourier transform along an axis.",
    infer: |operands, params| {
        let mut result = operands[0].clone();
        if params[2] & REAL != 0 {
            let axis = axis_before(&result.shape, params[1] as usize);
            result.shape[axis] = params[0] as usize + usize::from(params[2] & INVERSE == 0);
        }
        Ok(smallvec![result.clone(), result])
    },
    needs,
    refuses: None,
    apart: Some(Apart { axes: |shape, params| axis_before(shape, params[1] as usize), count: 3 }),
    reference,
};

/// The bits of the third parameter of the routine [`FFT`]. [`INVERSE`] selects the sign + in the exponent.
/// [`SCALE_BY_LENGTH`] divides the result by the length, and [`SCALE_BY_ROOT`] divides it by the square root of the
/// length. With [`REAL`], these factors have the number of real numbers, which is twice the length.
pub(crate) const INVERSE: u64 = 1;
pub(crate) const SCALE_BY_LENGTH: u64 = 2;
pub(crate) const SCALE_BY_ROOT: u64 = 4;
pub(crate) const REAL: u64 = 8;

/// The largest prime factor that a length may have. A pass along a prime factor takes time in proportion to the square
/// of that factor. Bluestein's method, which takes three transforms of twice the length, is therefore faster from about
/// 11 on.
const LARGEST_FACTOR: usize = 7;

/// The longest row that the CPU transforms in the scratch memory of one task, as a matrix whose numbers of rows and
/// columns are factors of the length. Several tasks share a longer row, and its intermediate values are in scratch
/// memory of the plan. 2^15 complex numbers of f32 and their scratch memory fill half of an L2 cache of 1 MiB.
pub(crate) const ROW_OF_A_TASK: usize = 1 << 15;

/// The number of points that a workgroup of 256 invocations transforms on a GPU. These points (of f32) and their roots
/// of unity fill the 16 KiB of workgroup memory that every device has.
const POINTS: usize = 1024;

/// Bits in the number of a pass on a GPU. [`COMBINES`] selects the step of [`REAL`] transforms that combines pairs of
/// numbers.
const WRITES_RESULTS: u32 = 1 << 8;
const READS_OPERANDS: u32 = 1 << 9;
const COMBINES: u32 = 1 << 10;

/// The maximum number of complex or real numbers on a GPU, because a GPU computes `8 k / n` with u32, for k below n.
const MOST_ON_GPU: usize = 1 << 28;

/// Returns the first axis of a shape after which there are `inner` elements: the axis of a transform.
pub(crate) fn axis_before(shape: &[usize], inner: usize) -> usize {
    (0..shape.len()).find(|axis| layout::product(&shape[axis + 1..]) == inner).unwrap_or_default()
}

/// Returns whether a length has no prime factor above [`LARGEST_FACTOR`].
pub(crate) fn is_smooth(mut n: usize) -> bool {
    for p in 2..=LARGEST_FACTOR {
        while n > 0 && n.is_multiple_of(p) {
            n /= p;
        }
    }
    n == 1
}

/// Returns cos(2π·k/n) and sin(2π·k/n) in f64, for k below n and n below 2^60. The angle is reduced exactly to an
/// eighth of a turn. So results that should be equal up to sign or order have the same bits.
pub(crate) fn root(k: usize, n: usize) -> [f64; 2] {
    let octant = 8 * k / n;
    let rest = 8 * k - octant * n;
    let is_odd = octant % 2 == 1;
    let half_turns = (if is_odd { n - rest } else { rest }) as f64 / (4 * n) as f64;
    let (c, s) = (cospi(half_turns), sinpi(half_turns));
    match octant {
        0 => [c, s],
        1 => [s, c],
        2 => [-s, c],
        3 => [-c, s],
        4 => [-c, -s],
        5 => [-s, -c],
        6 => [s, -c],
        _ => [c, -s],
    }
}

/// Returns the factor by which a transform with these parameters multiplies its result.
pub(crate) fn scale(params: &Params) -> f64 {
    let n = params[0] as f64 * if params[2] & REAL != 0 { 2.0 } else { 1.0 };
    match params[2] & !(INVERSE | REAL) {
        SCALE_BY_LENGTH => 1.0 / n,
        SCALE_BY_ROOT => 1.0 / n.sqrt(),
        _ => 1.0,
    }
}

fn needs(operands: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    let (meta, length) = (&operands[0], params[0] as usize);
    if !caps.wgsl {
        // the real and the imaginary parts of one row
        let bytes = length.saturating_mul(2 * meta.dtype.size());
        let scratch = if length > ROW_OF_A_TASK { smallvec![Temp { bytes, zeroed: false }] } else { smallvec![] };
        return Ok(Needs { scratch, passes: vec![] });
    }
    gpu_needs(meta, params, caps)
}

fn reference(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    if params[2] & REAL != 0 {
        return Ok(real_reference(operands, params).into());
    }
    let (n, inner) = (params[0] as usize, params[1] as usize);
    let sign = if params[2] & INVERSE == 0 { -1.0 } else { 1.0 };
    let mut out = [operands[0].clone(), operands[1].clone()];
    let size = operands[0].len();
    for start in (0..size / n).map(|row| row / inner * n * inner + row % inner) {
        let at = |k: usize| start + k * inner;
        for k in 0..n {
            let (mut re, mut im) = (0.0, 0.0);
            for j in 0..n {
                let [c, s] = root((j as u128 * k as u128 % n as u128) as usize, n);
                let (a, b) = (operands[0][at(j)].as_f64(), operands[1][at(j)].as_f64());
                re += a * c - sign * b * s;
                im += b * c + sign * a * s;
            }
            out[0][at(k)] = Scalar::Float(re * scale(params));
            out[1][at(k)] = Scalar::Float(im * scale(params));
        }
    }
    Ok(out.into())
}

/// Computes a transform of real numbers by the definition.
fn real_reference(operands: &[Vec<Scalar>], params: &Params) -> [Vec<Scalar>; 2] {
    let (half, inner, size) = (params[0] as usize, params[1] as usize, params[3] as usize);
    let is_inverse = params[2] & INVERSE != 0;
    let counts = if is_inverse { [half + 1, half] } else { [half, half + 1] };
    let numbers = size / half * counts[1];
    let mut out = [0, 1].map(|_| vec![Scalar::Float(0.0); numbers]);
    for row in 0..size / half {
        let at = |k: usize, side: usize| (row / inner * counts[side] + k) * inner + row % inner;
        let operand = |part: usize, k: usize| operands[part][at(k, 0)].as_f64();
        for k in 0..counts[1] {
            let mut sums = [0.0; 2];
            for j in 0..counts[0] {
                if is_inverse {
                    // every number but the first and the last stands for itself and its conjugate
                    let weight = if j == 0 || j == half { 1.0 } else { 2.0 };
                    for (odd, sum) in sums.iter_mut().enumerate() {
                        let [c, s] = root((2 * k + odd) * j % (2 * half), 2 * half);
                        *sum += weight * (operand(0, j) * c - operand(1, j) * s);
                    }
                } else {
                    for odd in 0..2 {
                        let [c, s] = root((2 * j + odd) * k % (2 * half), 2 * half);
                        sums[0] += operand(odd, j) * c;
                        sums[1] -= operand(odd, j) * s;
                    }
                }
            }
            for (part, sum) in sums.into_iter().enumerate() {
                out[part][at(k, 1)] = Scalar::Float(sum * scale(params));
            }
        }
    }
    out
}

/// Returns the factors along which a GPU transforms a length, one after another, or `None` if there are more than four.
/// A pass along a factor of up to an eighth of [`POINTS`] transforms eight or more columns together, so that it reads
/// and writes runs of eight numbers.
fn factors(n: usize) -> Option<SmallVec<[usize; 4]>> {
    if n <= POINTS {
        return Some(smallvec![n]);
    }
    let (mut primes, mut left) = (vec![], n);
    for p in [7, 5, 3, 2] {
        while left.is_multiple_of(p) {
            primes.push(p);
            left /= p;
        }
    }
    (2..=4).find_map(|count| {
        let mut list: SmallVec<[usize; 4]> = smallvec![1; count];
        for p in &primes {
            *list.iter_mut().min()? *= p;
        }
        list.iter().all(|f| *f <= POINTS / 8).then_some(list)
    })
}

/// Returns the parameters of a call of the routine `fft`, which are described at [`FFT`].
pub(crate) fn params(length: usize, inner: usize, kind: u64, size: usize) -> Params {
    let factors = factors(length).unwrap_or_default();
    let packed = factors.iter().rev().fold(0, |word, f| word << 16 | *f as u64);
    smallvec![length as u64, inner as u64, kind, size as u64, packed]
}

fn gpu_needs(meta: &Meta, params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    let (length, size, item) = (params[0] as usize, params[3] as usize, meta.dtype.size());
    let (is_real, is_inverse) = (params[2] & REAL != 0, params[2] & INVERSE != 0);
    let fail = |detail: String| Err(Fault::new(ErrorKind::LimitExceeded, detail));
    // points and roots of unity are complex, so that each takes two numbers
    let memory = 4 * POINTS * item;
    if memory > caps.workgroup_memory || 4 * caps.group() != POINTS {
        let detail = format!(
            "a transform of {} needs workgroups of {} with {memory} bytes, and {} has {} with {}; use \
             to_device(&Device::cpu())",
            meta.dtype,
            POINTS / 4,
            caps.name,
            caps.group(),
            caps.workgroup_memory,
        );
        return fail(detail);
    }
    let Some(factors) = factors(length).filter(|_| size <= MOST_ON_GPU >> u32::from(is_real)) else {
        let (name, size, length) = (&caps.name, size << u32::from(is_real), length << u32::from(is_real));
        return fail(format!(
            "a transform of {size} numbers along {length} is too large for {name}; use to_device(&Device::cpu())"
        ));
    };
    const ALL: &[RoutineOperand] = &[
        RoutineOperand::Operand(0),
        RoutineOperand::Operand(1),
        RoutineOperand::Result(0),
        RoutineOperand::Result(1),
        RoutineOperand::Scratch(0),
    ];
    let last = factors.len() - 1;
    let pass = |(i, factor): (usize, &usize)| {
        let groups = (size / factor).div_ceil(POINTS / factor);
        // in a transform of real numbers, the step COMBINES reads the operands or writes the results
        let reads = if i == 0 && !(is_real && is_inverse) { READS_OPERANDS } else { 0 };
        let writes = if i == last && (is_inverse || !is_real) { WRITES_RESULTS } else { 0 };
        let number = i as u32 | reads | writes;
        GpuPass { name: "transform", items: groups * caps.group(), each: 1, along: &[], whole: ALL, number }
    };
    // two passes need one array of complex numbers, and more passes need two; the shader needs a binding in any case
    let arrays = if is_real { 2 } else { last.min(2) };
    let bytes = (size * 2 * item * arrays).max(16);
    let mut passes: Vec<GpuPass> = factors.iter().enumerate().map(pass).collect();
    if is_real {
        let items = size / length * (length / 2 + 1);
        // the array in scratch memory that the pass reads or writes
        let number = if is_inverse { 1 } else { last as u32 & 1 };
        let combine = GpuPass { name: "transform", items, each: 1, along: &[], whole: ALL, number: number | COMBINES };
        passes.insert(if is_inverse { 0 } else { passes.len() }, combine);
    }
    Ok(Needs { scratch: smallvec![Temp { bytes, zeroed: false }], passes })
}
