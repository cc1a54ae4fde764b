//! Building blocks of matrix factorisations (`eigh`, `svd`, `qr`, `eig`): Householder reflectors in groups of four, the
//! reductions to tridiagonal and bidiagonal form with their implicit QR iterations, and the eigenvalues of general
//! matrices. Matrices to which many reflectors or rotations are applied are stored as *strips*: a strip is 16
//! neighbouring columns of the matrix (or 16 neighbouring rows, if the matrix is stored transposed), row after row
//! ([`StripRow`]). A thread works on a strip alone.
//!
//! All numbers are f64, whatever the operand's dtype, so results of f32 are exact to about their last bit. Additions
//! are made in a fixed order, so the result's bits depend neither on the instruction set nor on the number of threads.

// index loops are allowed, because a loop over rows or columns walks several arrays together
#![allow(clippy::needless_range_loop)]

pub(super) mod bidiagonal;
mod chains;
pub(super) mod general;
mod loops;
pub(super) mod tridiagonal;

use super::operands::{RoutineMemory, SharedTarget};
use super::share::share;
use super::threads::threads;
use crate::base::dtype::{DType, Element};
use chains::Chains;
pub(super) use loops::{FactorLoops, loops};
use smallvec::{SmallVec, smallvec};

/// A vector of numbers, such as one number for each row. Up to 32 numbers need no heap allocation.
pub(super) type Numbers = SmallVec<[f64; 32]>;

/// Returns `n` zeros.
pub(super) fn zeros(n: usize) -> Numbers {
    smallvec![0.0; n]
}

/// One row of a strip: the elements of a matrix row in 16 neighbouring columns, or, if the matrix is stored transposed,
/// the elements of a matrix column in 16 neighbouring rows.
pub(super) type StripRow = [f64; 16];
/// The number of elements of a [`StripRow`].
pub(super) const WIDTH: usize = 16;

/// One row of the matrix V whose four columns are the vectors of a group of four reflectors.
pub(super) type Four = [f64; 4];

/// The longest side of a matrix that a task factorises alone, in memory of its own (some 2 MiB). Larger matrices are
/// factorised one after another in scratch memory of the plan, and threads share the strips of each.
use crate::graph::routine::FACTORS_OF_A_TASK as LARGE;

/// The elements of an operand, which are read as f64.
pub(super) enum MatrixSource<'a> {
    Single(&'a [f32]),
    Double(&'a [f64]),
}

impl<'a> MatrixSource<'a> {
    /// Returns the first operand of a call.
    pub fn of(call: &RoutineMemory<'a>) -> MatrixSource<'a> {
        // the methods that build calls have converted every other dtype to f32
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

    /// Returns the exponent of the power of two by which elements `first..end` should be divided, so that squares
    /// neither overflow nor underflow. It is the exponent of the largest magnitude. Returns `None` if an element is not
    /// finite.
    pub fn exponent(&self, [first, end]: [usize; 2]) -> Option<i32> {
        let mut bits = 0;
        for at in first..end {
            bits = bits.max(self.get(at).to_bits() & (u64::MAX >> 1));
        }
        let biased = (bits >> 52) as i32;
        // clamped so that the power of two is a normal number; elements of subnormal matrices become small but normal
        (biased < 0x7ff).then(|| (biased - 1022).clamp(-1000, 1000))
    }
}

/// Returns 2^`exponent`, which must be a normal number.
pub(super) fn power(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// A result of a call. Several tasks may write it, each at its own positions.
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

/// Calls `f` for each of `count` matrices, with the matrix's index and work memory of `work` numbers. If `side` is at
/// most [`LARGE`], threads share the matrices. Larger matrices are factorised one after another, in scratch memory.
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
    // a task takes some 100 µs or more
    let elements = (side * side * side).max(64);
    let each = ((1 << 17) / elements).clamp(1, count.div_ceil(4 * threads()).max(1));
    let task = |i: usize| {
        let mut memory = vec![0.0; work];
        (i * each..((i + 1) * each).min(count)).for_each(|matrix| f(matrix, &mut memory));
    };
    share(count.div_ceil(each), count * elements < 1 << 15, task);
}

/// The number of parts into which the rows of a large matrix are divided, so that threads share them.
const PARTS: usize = 8;

/// Neighbouring rows of a matrix, and the sums that a task computes from these rows.
pub(super) struct RowPart<'a> {
    /// The index of the first of these rows in the matrix.
    pub first: usize,
    /// The rows.
    pub rows: std::slice::ChunksExactMut<'a, f64>,
    /// The sums: the task adds multiples of the rows to this slice.
    pub sums: &'a mut [f64],
}

/// Returns memory for the sums of each part of a matrix of n rows and columns (see [`each_part`]).
pub(super) fn sums_of_parts(n: usize) -> Numbers {
    zeros(if n > LARGE { PARTS * n } else { n })
}

/// Cuts rows `first..n` of an n × n matrix into parts, and calls `f` for each part. `rows` holds these rows. `f` adds
/// to the sums of its part, which begin with 0. Then adds the sums of all parts, in order, to the sums of the first
/// part, which are the first n elements of `sums`. Threads share the parts of a large matrix. The cuts depend only on
/// `first`, n and `is_triangle`: row i counts as n − i elements in a triangle, and otherwise all rows count the same.
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

/// Calls `f` for each strip with the strip's index and its `rows` rows. Threads share the strips of a large matrix.
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
    // matrices are scaled to magnitudes near 1, so elements with such small squares are far below the rounding errors
    if squares < 1e-280 {
        rest.fill(0.0);
        return [alpha, 0.0];
    }
    let beta = -(alpha * alpha + squares).sqrt().copysign(alpha);
    let factor = 1.0 / (alpha - beta);
    rest.iter_mut().for_each(|x| *x *= factor);
    [beta, (beta - alpha) / beta]
}

/// Householder reflectors I − tau·v·vᵀ in groups of four. A group holds `rows` rows of four numbers: the four vectors v
/// are its columns.
pub(super) struct Reflectors<'a> {
    pub groups: &'a mut [Four],
    pub rows: usize,
    pub taus: Numbers,
}

impl<'a> Reflectors<'a> {
    /// Creates an empty list of reflectors of `rows` rows, which are stored in `memory` (see [`Reflectors::size`]).
    pub fn new(memory: &'a mut [f64], rows: usize) -> Reflectors<'a> {
        memory.fill(0.0);
        Reflectors { groups: memory.as_chunks_mut().0, rows, taus: Numbers::new() }
    }

    /// Returns how many numbers of memory `count` reflectors of `rows` rows need.
    pub fn size(rows: usize, count: usize) -> usize {
        count.div_ceil(4) * 4 * rows
    }

    /// Adds a reflector. Its vector is `v` from row `first` on, and 0 in the rows before.
    pub fn push(&mut self, first: usize, v: &[f64], tau: f64) {
        let k = self.taus.len();
        self.taus.push(tau);
        let rows = &mut self.groups[k / 4 * self.rows..][first..self.rows];
        rows.iter_mut().zip(v).for_each(|(row, x)| row[k % 4] = *x);
    }

    /// Returns the number of groups.
    pub fn count(&self) -> usize {
        self.taus.len().div_ceil(4)
    }

    /// Returns the rows of a group.
    pub fn group(&self, g: usize) -> &[Four] {
        &self.groups[g * self.rows..(g + 1) * self.rows]
    }

    /// Returns the triangular matrix T of a group, for which the product of the group's reflectors is I − V·T·Vᵀ.
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

    /// Computes the product of all reflectors, and writes it to `strips`, each of which holds 16 rows of the product.
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

/// Returns the transpose of a matrix.
pub(super) fn transposed(t: [Four; 4]) -> [Four; 4] {
    std::array::from_fn(|i| std::array::from_fn(|j| t[j][i]))
}

/// Rotations that are collected and then applied to all strips together, so that a strip stays in a fast cache.
pub(super) struct Rotations<'a> {
    /// The strips that are rotated, of `rows` rows each. Empty if only eigenvalues or singular values are wanted, and
    /// no vectors.
    pub strips: &'a mut [StripRow],
    pub rows: usize,
    list: Chains,
}

/// The number of rotations that are collected before they are applied. They take some 400 KiB.
const COLLECTED: usize = 1 << 14;

impl<'a> Rotations<'a> {
    pub fn new(strips: &'a mut [StripRow], rows: usize) -> Rotations<'a> {
        Rotations { strips, rows, list: Chains::default() }
    }

    /// Adds a rotation of two rows.
    pub fn push(&mut self, rows: [usize; 2], c: f64, s: f64, loops: &FactorLoops) {
        if self.strips.is_empty() {
            return;
        }
        self.list.push(rows, c, s);
        if self.list.len() == COLLECTED {
            self.apply(loops);
        }
    }

    /// Applies the collected rotations to all strips.
    pub fn apply(&mut self, loops: &FactorLoops) {
        let list = &self.list;
        each_strip(self.strips, self.rows, |_, strip| loops.rotate(strip, list));
        self.list.clear();
    }
}
