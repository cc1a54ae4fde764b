//! Building blocks of matrix factorisations (`eigh`, `svd`, `qr`, `eig`). Large matrices are stored as *strips* of 16
//! columns (or of 16 rows, if the matrix is stored transposed), so that a thread works on a strip alone.
//!
//! All numbers are f64, whatever the operand's dtype, so results of f32 are exact to about their last bit. Additions
//! have a fixed order, so the result's bits depend neither on the instruction set nor on the number of threads.

// one index addresses several arrays in these loops, so iterators would not be simpler
#![allow(clippy::needless_range_loop)]

pub(super) mod bidiagonal;
mod chains;
pub(super) mod general;
mod loops;
pub(super) mod tridiagonal;

use super::operands::{RoutineMemory, SharedTarget};
use super::thread_count::threads;
use super::work_sharing::share;
use crate::base::dtype::{DType, Element};
use chains::RotationChains;
pub(super) use loops::{FactorLoops, loops};
use smallvec::{SmallVec, smallvec};

/// A vector of numbers, such as one number for each row. Up to 32 numbers need no heap allocation.
pub(super) type Numbers = SmallVec<[f64; 32]>;

pub(super) fn zeros(n: usize) -> Numbers {
    smallvec![0.0; n]
}

/// One row of a strip: the elements of a matrix row in 16 neighbouring columns. If the matrix is stored transposed, the
/// elements of a matrix column in 16 neighbouring rows.
pub(super) type StripRow = [f64; 16];
/// The number of elements of a [`StripRow`].
pub(super) const WIDTH: usize = 16;

/// One row of the matrix V, whose four columns are the vectors of four Householder reflectors.
pub(super) type Four = [f64; 4];

/// The longest side of a matrix that a task factorises alone, in memory of its own (about 2 MiB). Larger matrices are
/// factorised one after another, and threads share the strips of each matrix.
use crate::graph::routine::FACTORS_OF_A_TASK as LARGE;

/// The elements of an operand, f32 or f64, which are read as f64.
pub(super) enum MatrixSource<'a> {
    Single(&'a [f32]),
    Double(&'a [f64]),
}

impl<'a> MatrixSource<'a> {
    /// Returns the elements of the first operand of a call.
    pub fn of(call: &RoutineMemory<'a>) -> MatrixSource<'a> {
        // every other dtype has been converted to f32 when the expression was built
        match call.call.operands[0].meta.dtype == DType::F64 {
            true => MatrixSource::Double(call.operand(0)),
            false => MatrixSource::Single(call.operand(0)),
        }
    }

    pub fn get(&self, at: usize) -> f64 {
        match self {
            MatrixSource::Single(x) => x.get(at).map_or(0.0, |x| f64::from(*x)),
            MatrixSource::Double(x) => x.get(at).copied().unwrap_or_default(),
        }
    }

    /// Returns the exponent of the power of two by which elements `first..end` should be divided so that squares
    /// neither overflow nor underflow: the exponent of the largest magnitude. Returns `None` if an element is not
    /// finite.
    pub fn exponent(&self, [first, end]: [usize; 2]) -> Option<i32> {
        let mut bits = 0;
        for at in first..end {
            bits = bits.max(self.get(at).to_bits() & (u64::MAX >> 1));
        }
        let biased = (bits >> 52) as i32;
        // clamp the exponent so that the power of two is a normal number; subnormal elements become small normal
        // numbers
        (biased < 0x7ff).then(|| (biased - 1022).clamp(-1000, 1000))
    }
}

/// Returns 2^`exponent`, which must be a normal number.
pub(super) fn power(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// A result of a call. Several tasks may write it, each at its own elements.
#[derive(Clone, Copy)]
pub(super) enum Sink {
    Single(SharedTarget<f32>),
    Double(SharedTarget<f64>),
}

impl Sink {
    /// Returns result `number` of a call, or `None` if the result has no elements.
    pub fn of(call: &RoutineMemory<'_>, number: usize) -> Option<Sink> {
        fn target<T: Element>(call: &RoutineMemory<'_>, number: usize) -> Option<SharedTarget<T>> {
            call.result::<T>(number).map(SharedTarget)
        }
        match call.call.results.get(number)?.meta.dtype == DType::F64 {
            true => target(call, number).map(Sink::Double),
            false => target(call, number).map(Sink::Single),
        }
    }

    /// # Safety
    /// The result has an element `at`, and nothing else uses it meanwhile.
    pub unsafe fn set(self, at: usize, x: f64) {
        // SAFETY: the caller ensures that element `at` exists and that nothing else uses it meanwhile.
        unsafe {
            match self {
                Sink::Single(to) => to.set(at, x as f32),
                Sink::Double(to) => to.set(at, x),
            }
        }
    }
}

/// Calls `f` for each of `count` matrices, with the matrix's index and memory for `work` numbers. `side` is the longer
/// side of a matrix. If it is at most [`LARGE`], threads share the matrices; larger ones are factorised one after
/// another.
pub(super) fn each_matrix(
    call: &mut RoutineMemory<'_>,
    count: usize,
    [side, work]: [usize; 2],
    f: impl Fn(usize, &mut [f64]) + Sync,
) {
    if side > LARGE {
        call.with_scratch(|memory: &mut [f64]| {
            if memory.len() >= work {
                (0..count).for_each(|i| f(i, &mut memory[..work]));
            }
        });
        return;
    }
    // give each task so many matrices that it takes about 100 µs or more
    let elements = (side * side * side).max(64);
    let each = ((1 << 17) / elements).clamp(1, count.div_ceil(4 * threads()).max(1));
    let task = |i: usize| {
        let mut memory = vec![0.0; work];
        (i * each..((i + 1) * each).min(count)).for_each(|matrix| f(matrix, &mut memory));
    };
    share(count.div_ceil(each), count * elements < 1 << 15, task);
}

/// The number of parts into which the rows of a large matrix are divided, so that threads can share them.
const PARTS: usize = 8;

/// Consecutive rows of a matrix, and the sums that a task computes from these rows.
pub(super) struct RowPart<'a> {
    /// The index in the matrix of the first row of this part.
    pub first: usize,
    /// The rows of this part.
    pub rows: std::slice::ChunksExactMut<'a, f64>,
    /// Sums to which the task adds multiples of the rows.
    pub sums: &'a mut [f64],
}

/// Returns memory for the sums that [`each_part`] computes for each part of an n × n matrix.
pub(super) fn sums_of_parts(n: usize) -> Numbers {
    zeros(if n > LARGE { PARTS * n } else { n })
}

/// Divides rows `first..n` of an n × n matrix into parts, and calls `f` for each part. `f` adds to the part's sums,
/// which begin as 0. Then the sums of all parts are added up in order, in the first n elements of `sums`. Threads share
/// the parts of a large matrix. In a triangle, row i counts as n − i elements, so that the parts have similar sizes.
pub(super) fn each_part(
    [first, n]: [usize; 2],
    is_triangle: bool,
    mut rows: &mut [f64],
    sums: &mut [f64],
    f: impl Fn(RowPart<'_>) + Sync,
) {
    let count = n - first;
    if count <= LARGE {
        let sums = &mut sums[..n];
        sums.fill(0.0);
        return f(RowPart { first, rows: rows.chunks_exact_mut(n), sums });
    }
    let before = |part: usize| {
        let share = part as f64 / PARTS as f64;
        (count as f64 * if is_triangle { 1.0 - (1.0 - share).sqrt() } else { share }) as usize
    };
    sums.fill(0.0);
    let mut parts: SmallVec<[Option<RowPart<'_>>; PARTS]> = SmallVec::new();
    for (part, sums) in sums.chunks_exact_mut(n).enumerate() {
        let (start, end) = (before(part), before(part + 1));
        let (own, rest) = rows.split_at_mut((end - start) * n);
        parts.push(Some(RowPart { first: first + start, rows: own.chunks_exact_mut(n), sums }));
        rows = rest;
    }
    let all = SharedTarget(parts.as_mut_ptr());
    share(PARTS, false, |i| {
        // SAFETY: each task takes a part of its own from the list, which lives until all tasks have ended.
        if let Some(part) = unsafe { (*all.at(i)).take() } {
            f(part);
        }
    });
    drop(parts);
    let (total, others) = sums.split_at_mut(n);
    let from = mutant!(part_of_a_sum_lost, n, 0);
    for part in others[from..].chunks_exact(n) {
        total[first..].iter_mut().zip(&part[first..]).for_each(|(x, y)| *x += y);
    }
}

/// Calls `f` for each strip, with the strip's index and its `rows` rows. Threads share the strips of a large matrix.
pub(super) fn each_strip(strips: &mut [StripRow], rows: usize, f: impl Fn(usize, &mut [StripRow]) + Sync) {
    let (count, all) = (strips.len() / rows.max(1), SharedTarget(strips.as_mut_ptr()));
    let task = |i: usize| {
        // SAFETY: each task has a strip of its own inside the slice, which is borrowed until all tasks have ended.
        let strip = unsafe { std::slice::from_raw_parts_mut(all.at(i * rows), rows) };
        f(i, strip);
    };
    share(count, rows <= LARGE, task);
}

/// Computes the Householder reflector I − tau·v·vᵀ that maps the vector x to beta times the first unit vector. Replaces
/// x by v, whose first element is 1. Returns beta and tau.
pub(super) fn reflector(x: &mut [f64], loops: &FactorLoops) -> [f64; 2] {
    let Some((first, rest)) = x.split_first_mut() else { return [0.0; 2] };
    let (alpha, squares) = (*first, loops.dot(rest, rest));
    *first = 1.0;
    // matrices are scaled to magnitudes near 1, so elements with squares this small are far below the rounding errors
    if squares < 1e-280 {
        rest.fill(0.0);
        return [alpha, 0.0];
    }
    let beta = -(alpha * alpha + squares).sqrt().copysign(alpha);
    let factor = 1.0 / (alpha - beta);
    rest.iter_mut().for_each(|x| *x *= factor);
    [beta, (beta - alpha) / beta]
}

/// A list of Householder reflectors I − tau·v·vᵀ, in groups of four. A group has `rows` rows of four numbers, and its
/// four columns are the vectors v.
pub(super) struct Reflectors<'a> {
    pub groups: &'a mut [Four],
    pub rows: usize,
    pub taus: Numbers,
}

impl<'a> Reflectors<'a> {
    /// Creates an empty list of reflectors of `rows` rows, stored in `memory` (see [`Reflectors::size`]).
    pub fn new(memory: &'a mut [f64], rows: usize) -> Reflectors<'a> {
        memory.fill(0.0);
        Reflectors { groups: memory.as_chunks_mut().0, rows, taus: Numbers::new() }
    }

    /// Returns how many numbers of memory a list of `count` reflectors of `rows` rows needs.
    pub fn size(rows: usize, count: usize) -> usize {
        count.div_ceil(4) * 4 * rows
    }

    /// Adds a reflector to the list. Its vector is `v`, preceded by `first` zeros.
    pub fn push(&mut self, first: usize, v: &[f64], tau: f64) {
        let k = self.taus.len();
        self.taus.push(tau);
        let rows = &mut self.groups[k / 4 * self.rows..][first..self.rows];
        rows.iter_mut().zip(v).for_each(|(row, x)| row[k % 4] = *x);
    }

    /// Returns the number of groups of four reflectors.
    pub fn count(&self) -> usize {
        self.taus.len().div_ceil(4)
    }

    /// Returns the rows of group `g`, whose columns are the vectors of four reflectors.
    pub fn group(&self, g: usize) -> &[Four] {
        &self.groups[g * self.rows..(g + 1) * self.rows]
    }

    /// Returns the triangular matrix T of a group. If V has the group's vectors as its columns, the product of the
    /// group's reflectors is I − V·T·Vᵀ.
    pub fn triangle(&self, g: usize) -> [Four; 4] {
        let mut products = [[0.0; 4]; 4];
        for row in self.group(g) {
            for j in 0..4 {
                for k in j + 1..4 {
                    products[j][k] += row[j] * row[k];
                }
            }
        }
        let mut t = [[0.0; 4]; 4];
        for k in 0..4 {
            let tau = self.taus.get(4 * g + k).copied().unwrap_or_default();
            for i in 0..k {
                let sum: f64 = (i..k).map(|j| t[i][j] * products[j][k]).sum();
                t[i][k] = -tau * sum;
            }
            t[k][k] = tau;
        }
        t
    }

    /// Computes the product of all reflectors, and writes it to `strips`, each of which has 16 rows of the product.
    pub fn product(&self, strips: &mut [StripRow], loops: &FactorLoops) {
        let triangles: SmallVec<[[Four; 4]; 8]> = (0..self.count()).map(|g| transposed(self.triangle(g))).collect();
        each_strip(strips, self.rows, |i, strip| {
            strip.fill([0.0; WIDTH]);
            strip.iter_mut().skip(WIDTH * i).take(WIDTH).enumerate().for_each(|(l, row)| row[l] = 1.0);
            for (g, t) in triangles.iter().enumerate() {
                let first = 4 * g;
                loops.reflect(&mut strip[first..], &self.group(g)[first..], t, 0);
            }
        });
    }
}

pub(super) fn transposed(t: [Four; 4]) -> [Four; 4] {
    std::array::from_fn(|i| std::array::from_fn(|j| t[j][i]))
}

/// The high half of the bits of a number, and the low half (Dekker). Products of halves are exact.
fn halves(x: f64) -> [f64; 2] {
    // 2^27 + 1
    let t = x * 134_217_729.0;
    let high = t - (t - x);
    [high, x - high]
}

/// Returns x − a·b, for a product close to x, with one rounding.
fn rest(x: f64, [a, b]: [f64; 2], [p, q]: [[f64; 2]; 2]) -> f64 {
    let product = a * b;
    let lost = p[1] * q[1] - (((product - p[0] * q[0]) - p[1] * q[0]) - p[0] * q[1]);
    (x - product) - lost
}

/// Improves the cosine `c` = f / r and the sine `s` = g / r of a rotation, where r² = f² + g², to correctly rounded
/// numbers.
///
/// If all singular values are nearly equal, all r are nearly equal too, and the square root rounds many of them in the
/// same direction: slightly above a power of 4, every second number has a root slightly below the middle between two
/// numbers. Then all rotations would be too long by half a unit in the last place, and the product of thousands of
/// rotations would not be orthogonal. The rounding errors of correctly rounded cosines have no such bias. The numbers
/// are at most about 1, so halves do not overflow.
fn rounded_correctly([f, g]: [f64; 2], [c, s]: [f64; 2], r: f64) -> [f64; 2] {
    // the terms below could be subnormal, and then be less exact
    if r < 1e-120 {
        return [c, s];
    }
    let (of_r, inverse) = (halves(r), 1.0 / r);
    let root = rest(f * f + g * g, [r, r], [of_r, of_r]) * inverse * inverse * 0.5;
    [(f, c), (g, s)].map(|(x, q)| q + (rest(x, [q, r], [halves(q), of_r]) * inverse - q * root))
}

/// Rotations that are collected and then applied strip by strip, so that a strip stays in a fast cache.
pub(super) struct Rotations<'a> {
    /// The strips that are rotated, of `rows` rows each. Empty if only eigenvalues or singular values are wanted,
    /// without vectors.
    pub strips: &'a mut [StripRow],
    pub rows: usize,
    list: RotationChains,
}

/// The number of rotations that are collected before they are applied. They take about 400 KiB.
const COLLECTED: usize = 1 << 14;

impl<'a> Rotations<'a> {
    pub fn new(strips: &'a mut [StripRow], rows: usize) -> Rotations<'a> {
        Rotations { strips, rows, list: RotationChains::default() }
    }

    /// Adds a rotation of two rows. If enough rotations have been collected, applies them to all strips.
    pub fn push(&mut self, rows: [usize; 2], c: f64, s: f64, loops: &FactorLoops) {
        if self.strips.is_empty() {
            return;
        }
        self.list.push(rows, c, s);
        if self.list.len() == COLLECTED {
            self.apply(loops);
        }
    }

    /// Adds the rotation of two rows that maps (f, g) to (r, 0), with a cosine and a sine that are rounded correctly. `c`,
    /// `s` and `r` are rounded roughly. See [`rounded_correctly`].
    pub fn push_exact(&mut self, rows: [usize; 2], of: [f64; 2], [c, s, r]: [f64; 3], loops: &FactorLoops) {
        if !self.strips.is_empty() {
            let [c, s] = mutant!(biased_rotations, [c, s], rounded_correctly(of, [c, s], r));
            self.push(rows, c, s, loops);
        }
    }

    /// Applies the collected rotations to all strips.
    pub fn apply(&mut self, loops: &FactorLoops) {
        let list = &self.list;
        each_strip(self.strips, self.rows, |_, strip| loops.rotate(strip, list));
        self.list.clear();
    }
}
