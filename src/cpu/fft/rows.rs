//! Fourier transforms of rows. A short row is transformed in one lane of vectors. A long row is regarded as a matrix,
//! whose columns and then rows are transformed (see [`Transform::Split`]).
//!
//! The unsafe functions have the conditions *features* and *inside*, which are defined at [`Planes`]. In short,
//! *features*: the CPU has the instruction set of the vector type. *Inside*: the elements are in live memory, and are
//! accessed without data races.

use super::butterflies::{RealLanes, product};
use super::halves::{Combined, Halves, combine, groups};
use super::job::{Job, JobPart};
use super::passes::{Last, Planes, columns, copy, transpose};
use super::plan::{Column, FftFloat, Roots, Transform, VECTOR};
use crate::cpu::matmul::lanes::Register;
use crate::cpu::matmul::plain::Plain;
use crate::cpu::operands::SharedTarget;

/// The vectors of an instruction set, with copies of the functions [`columns`] and [`combine`] that are compiled for
/// this instruction set. The copies are not inlined, because they are long and have many callers.
pub(super) trait ColumnLanes: RealLanes {
    /// Calls [`columns`].
    ///
    /// # Safety
    /// The CPU has the instruction set of these vectors (*features*), and one vector in each row of all planes is in
    /// live memory and accessed without data races (*inside*); see [`Planes`].
    unsafe fn columns(
        column: &Column<Self::Element>,
        from: Planes<Self::Element>,
        to: Planes<Self::Element>,
        scratch: [Planes<Self::Element>; 2],
        last: Last<Self::Element>,
    );

    /// Calls [`combine`].
    ///
    /// # Safety
    /// The conditions of [`combine`].
    unsafe fn combine(
        halves: &Halves<'_, Self::Element>,
        half: usize,
        planes: [Planes<Self::Element>; 2],
        rows: Combined,
    );
}

/// The code for an instruction set: the number of lanes of its vectors, and a function that runs a part of a call. The
/// array `[first, end]` is the range of blocks or rows that the function computes.
pub(super) struct FftKernels<T> {
    pub width: usize,
    pub run: unsafe fn(&Job<'_, T>, JobPart, [usize; 2]),
}

/// Scratch memory of a task, divided into planes. A plane has the real or the imaginary parts of numbers, and begins at
/// a cache line.
struct Scratch<T> {
    memory: Vec<T>,
    first: usize,
    /// The number of elements of each plane.
    each: usize,
}

impl<T: FftFloat> Scratch<T> {
    fn new(planes: usize, each: usize) -> Scratch<T> {
        let line = 64 / size_of::<T>();
        let each = each.next_multiple_of(line);
        let memory = vec![T::default(); planes * each + line];
        let first = memory.as_ptr().align_offset(64).min(line);
        Scratch { memory, first, each }
    }

    /// Returns pair number `number` of planes, for real and imaginary parts, with rows of `step` elements.
    fn planes(&mut self, number: usize, step: usize) -> Planes<T> {
        let re = SharedTarget(self.memory.as_mut_ptr()).at(self.first + 2 * number * self.each);
        Planes { re: SharedTarget(re), im: SharedTarget(re.wrapping_add(self.each)), step }
    }
}

/// Computes the roots of one vector of columns, which begins at column `at`, for all rows, and stores a vector in each
/// row of `to`. `first`, `[high, low]` and `step` are the fields of [`Roots::Factors`]. The root of column `group + j`
/// is the product of the roots of column `group` and of column j, which is below [`VECTOR`].
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*), and each row of `to` has room for a vector (*inside*, see
/// [`Planes`]).
#[inline(always)]
unsafe fn some_roots<S: RealLanes>(
    first: &[Vec<S::Element>; 2],
    [high, low]: &[Vec<[f64; 2]>; 2],
    step: usize,
    [rows, at]: [usize; 2],
    to: Planes<S::Element>,
) {
    let group = at / VECTOR * VECTOR;
    for k in 0..rows {
        let power = k * group;
        let ([a, b], [c, d]) = (high[power / step], low[power % step]);
        let (re, im) = (S::Element::of(a * c - b * d), S::Element::of(a * d + b * c));
        let place = k * VECTOR + (at - group);
        // SAFETY: the caller ensures that the CPU has the instruction set (*features*), and that the rows of `to` have
        // room for a vector (*inside*). A row of `first` has [`VECTOR`] elements, and a whole vector of them from `at -
        // group` on, because the number of lanes of a vector divides [`VECTOR`].
        unsafe {
            let lanes = (S::load(first[0].as_ptr().add(place)), S::load(first[1].as_ptr().add(place)));
            let y = product::<S>(lanes, (S::splat(re), S::splat(im)));
            S::store(to.re.at(k * to.step), y.0);
            S::store(to.im.at(k * to.step), y.1);
        }
    }
}

/// Transforms `lanes` columns. If these are fewer than a vector has lanes, they are copied to `padded`, transformed
/// there, and copied to `to`. `padded` has `column.length` rows of a whole vector.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). Each row of `from` and `to` has `lanes` elements, and each row
/// of the other planes, also of those in [`Last::Roots`], has a whole vector (*inside*, see [`Planes`]).
#[inline(always)]
unsafe fn some_columns<S: ColumnLanes>(
    column: &Column<S::Element>,
    lanes: usize,
    [from, to]: [Planes<S::Element>; 2],
    scratch: [Planes<S::Element>; 2],
    padded: Planes<S::Element>,
    last: Last<S::Element>,
) {
    // SAFETY: the caller ensures the conditions of `columns`. The copies access only `lanes` elements in each row of
    // `from` and `to`, which are in live memory (*inside*).
    unsafe {
        if lanes == S::WIDTH {
            return S::columns(column, from, to, scratch, last);
        }
        copy(from, padded, column.length, lanes);
        S::columns(column, padded, padded, scratch, last);
        copy(padded, to, column.length, lanes);
    }
}

/// Regards a row of numbers as a matrix (see [`Transform::Split`]), and transforms blocks `first..end` of its columns.
/// Multiplies the results by the roots, and writes them to `between` transposed, so that each column becomes a row.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The row that begins at `from` and the row's part of `between`
/// are in live memory and accessed without data races (*inside*, see [`Planes`]).
#[inline(always)]
unsafe fn split_columns<S: ColumnLanes>(
    (column, roots): (&Column<S::Element>, &Roots<S::Element>),
    from: Planes<S::Element>,
    between: Planes<S::Element>,
    memory: &mut Scratch<S::Element>,
    [first, end]: [usize; 2],
) {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| memory.planes(i, S::WIDTH));
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*). All column numbers are below
    // `from.step`, so the elements are inside the row (*inside*). A table of roots has as many elements as the row, and
    // a whole vector more.
    unsafe {
        for at in (first..end).map(|block| block * S::WIDTH) {
            let lanes = S::WIDTH.min(from.step - at);
            let last = Last::Roots(match roots {
                Roots::Table([re, im]) => {
                    let of = |part: &Vec<S::Element>| SharedTarget(part.as_ptr().cast_mut());
                    Planes { re: of(re), im: of(im), step: from.step }.from(at)
                }
                Roots::Factors { first, powers, step } => {
                    some_roots::<S>(first, powers, *step, [column.length, at], d);
                    d
                }
            });
            if lanes == S::WIDTH {
                S::columns(column, from.from(at), c, [a, b], last);
            } else {
                copy(from.from(at), c, column.length, lanes);
                S::columns(column, c, c, [a, b], last);
            }
            transpose::<S>(c, between.from(at * between.step), column.length, lanes);
        }
    }
}

/// Transforms blocks `first..end` of the rows of the matrix that [`split_columns`] has computed, and writes the final
/// results to `to`. `from` has this matrix transposed, so its rows are columns of `from`.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The matrix in `from` and the row that begins at `to` are in
/// live memory, and the elements of these blocks are accessed without data races (*inside*, see [`Planes`]).
#[inline(always)]
unsafe fn split_rows<S: ColumnLanes>(
    row: &Column<S::Element>,
    [from, to]: [Planes<S::Element>; 2],
    memory: &mut Scratch<S::Element>,
    [first, end]: [usize; 2],
    last: Last<S::Element>,
) {
    let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, S::WIDTH));
    for at in (first..end).map(|block| block * S::WIDTH) {
        let lanes = S::WIDTH.min(from.step - at);
        // SAFETY: the caller ensures that the CPU has the instruction set (*features*). All column numbers are below
        // `from.step`, so the elements are inside the row (*inside*).
        unsafe { some_columns::<S>(row, lanes, [from.from(at), to.from(at)], [a, b], c, last) }
    }
}

/// Transforms a block of rows whose elements alternate in memory, one row in each lane. Regards each row as a matrix,
/// and transforms first the columns and then the rows of this matrix.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The first `lanes` elements of each row of `from` and `to`, and
/// one vector in each row of `between`, are in live memory and accessed without data races (*inside*, see [`Planes`]).
#[inline(always)]
unsafe fn split_block<S: ColumnLanes>(
    plan: &Transform<S::Element>,
    lanes: usize,
    [from, to]: [Planes<S::Element>; 2],
    between: Planes<S::Element>,
    memory: &mut Scratch<S::Element>,
    last: Last<S::Element>,
) {
    // this function is never called for rows that are too long for a table of roots
    let Transform::Split { columns, rows, roots: Roots::Table(roots) } = plan else { return };
    let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, S::WIDTH));
    let width = S::WIDTH;
    let (high, low) = (columns.length, rows.length);
    let (column, row) = (Planes { step: low * from.step, ..from }, Planes { step: high * to.step, ..to });
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*). For each number of a row, the block
    // has `lanes` contiguous elements, and `between` has room for a vector (*inside*).
    unsafe {
        for j in 0..low {
            let results = Planes { step: width, ..between.from(j * high * width) };
            some_columns::<S>(columns, lanes, [column.from(j * from.step), results], [a, b], c, Last::Keep);
            for k in 0..high {
                let (re, im) = (results.re.at(k * width), results.im.at(k * width));
                let root = (S::splat(roots[0][k * low + j]), S::splat(roots[1][k * low + j]));
                let y = product::<S>((S::load(re), S::load(im)), root);
                S::store(re, y.0);
                S::store(im, y.1);
            }
        }
        for k in 0..high {
            let values = Planes { step: high * width, ..between.from(k * width) };
            some_columns::<S>(rows, lanes, [values, row.from(k * to.step)], [a, b], c, last);
        }
    }
}

/// Transforms contiguous rows that are short enough for one lane of vectors: blocks `first..end` of as many rows as a
/// vector has lanes.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The memory of the job is live and has the sizes that the job
/// states, and the elements of these rows are accessed without data races (*inside*, see [`Planes`]).
#[inline(always)]
unsafe fn run_in_lanes<S: ColumnLanes>(
    job: &Job<'_, S::Element>,
    column: &Column<S::Element>,
    [first, end]: [usize; 2],
) {
    let (width, half, last) = (S::WIDTH, job.length, job.last());
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*), and that the rows are in live
    // memory (*inside*). Scratch memory has room for the numbers of the longer one of operand and result.
    unsafe {
        let mut memory = Scratch::new(6, (column.length + 1) * width);
        let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, width));
        for row in (first..end).map(|unit| unit * width) {
            let lanes = width.min(job.rows - row);
            let [from, to] = job.planes(row).0;
            let [read, written] = job.lengths();
            transpose::<S>(Planes { step: read, ..from }, c, lanes, read);
            if let Some(halves) = job.halves_at(true) {
                S::combine(halves, half, [c, c], Combined::Alternating(width));
            }
            let turned = c.exchanged(job.is_inverse);
            S::columns(column, turned, turned, [a, b], last);
            if let Some(halves) = job.halves_at(false) {
                S::combine(halves, half, [c, c], Combined::Alternating(width));
            }
            transpose::<S>(c, Planes { step: written, ..to }, written, lanes);
        }
    }
}

/// Transforms rows whose elements alternate in memory: blocks `first..end` (see [`Job::units`]).
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*). The memory of the job is live and has the sizes that the job
/// states, and the elements of these blocks are accessed without data races (*inside*, see [`Planes`]).
#[inline(always)]
unsafe fn run_alternating<S: ColumnLanes>(job: &Job<'_, S::Element>, [first, end]: [usize; 2]) {
    let (width, half, last, plan) = (S::WIDTH, job.length, job.last(), job.plan);
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*), and that the rows are in live
    // memory (*inside*).
    unsafe {
        let (between, longest) = match plan {
            Transform::Whole(column) => (0, column.length),
            Transform::Split { columns, rows, .. } => (job.length, columns.length.max(rows.length)),
        };
        let (mut memory, mut own) = (Scratch::new(6, longest * width), Scratch::new(2, between * width));
        for unit in first..end {
            let (row, at, lanes) = job.block(unit, width);
            let (ends, [from, to]) = job.planes(row);
            let ends = ends.map(|planes| planes.from(at));
            if let Some(halves) = job.halves_at(true) {
                S::combine(halves, half, ends, Combined::Alternating(lanes));
            }
            let both = [from.from(at), to.from(at)];
            if let Transform::Whole(column) = plan {
                let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, width));
                some_columns::<S>(column, lanes, both, [a, b], c, last);
            } else {
                split_block::<S>(plan, lanes, both, own.planes(0, width), &mut memory, last);
            }
            if let Some(halves) = job.halves_at(false) {
                S::combine(halves, half, [ends[1], ends[1]], Combined::Alternating(lanes));
            }
        }
    }
}

/// Runs a part of a call: the units of work or the blocks `first..end`.
///
/// # Safety
/// The CPU has the instruction set of the vectors (*features*). The memory of the job is live and has the sizes that
/// the job states, and the elements of this part are accessed without data races (*inside*, see [`Planes`]).
#[inline(always)]
pub(super) unsafe fn run<S: ColumnLanes>(job: &Job<'_, S::Element>, part: JobPart, [first, end]: [usize; 2]) {
    let width = S::WIDTH;
    let last = job.last();
    let half = job.length;
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*). Each unit or block reads and writes
    // its own elements, which are in the job's memory (*inside*).
    unsafe {
        match (job.plan, part) {
            (_, JobPart::Combine(row)) => {
                if let Some(halves) = &job.halves {
                    let [from, to] = job.planes(row).0;
                    let from = if halves.is_inverse { from } else { to };
                    S::combine(halves, half, [from, to], Combined::Groups([first, end]));
                }
            }
            (Transform::Whole(column), _) if job.inner == 1 => run_in_lanes::<S>(job, column, [first, end]),
            (_, JobPart::Units) if job.inner > 1 => run_alternating::<S>(job, [first, end]),
            (Transform::Split { columns, rows, roots }, part) => {
                let (high, low) = (columns.length, rows.length);
                let mut memory = Scratch::new(8, high.max(low) * width);
                let mut own = Scratch::new(2, if part == JobPart::Units { job.length } else { 0 });
                let between = match part {
                    JobPart::Units => own.planes(0, high),
                    JobPart::Columns(_) | JobPart::Rows(_) | JobPart::Combine(_) => {
                        Planes { re: job.between[0], im: job.between[1], step: high }
                    }
                };
                let planes = |row| {
                    let [from, to] = job.planes(row).1;
                    [Planes { step: low, ..from }, Planes { step: high, ..to }]
                };
                match part {
                    JobPart::Columns(row) => {
                        split_columns::<S>((columns, roots), planes(row)[0], between, &mut memory, [first, end]);
                    }
                    JobPart::Rows(row) => {
                        split_rows::<S>(rows, [between, planes(row)[1]], &mut memory, [first, end], last);
                    }
                    JobPart::Units | JobPart::Combine(_) => {
                        for row in first..end {
                            let (ends, [from, to]) = (job.planes(row).0, planes(row));
                            let whole = Combined::Groups([0, groups(half)]);
                            if let Some(halves) = job.halves_at(true) {
                                S::combine(halves, half, ends, whole);
                            }
                            let all = [0, low.div_ceil(width)];
                            split_columns::<S>((columns, roots), from, between, &mut memory, all);
                            let all = [0, high.div_ceil(width)];
                            split_rows::<S>(rows, [between, to], &mut memory, all, last);
                            if let Some(halves) = job.halves_at(false) {
                                S::combine(halves, half, [ends[1], ends[1]], whole);
                            }
                        }
                    }
                }
            }
            // units of whole rows are in the second case or the third
            (Transform::Whole(_), _) => {}
        }
    }
}

macro_rules! kernels {
    ($name:ident, $lanes:ty, $element:ty $(, $features:literal)?) => {
        pub(in crate::cpu::fft) static $name: FftKernels<$element> = {
            /// # Safety
            /// The CPU has the instruction set of the vectors (*features*). The memory of the job is live and has the
            /// sizes that the job states, and the elements of this part are accessed without data races (*inside*, see
            /// [`Planes`]).
            $(#[target_feature(enable = $features)])?
            unsafe fn entry(job: &Job<'_, $element>, part: JobPart, numbers: [usize; 2]) {
                // SAFETY: the caller ensures the conditions of `run`.
                unsafe { run::<$lanes>(job, part, numbers) }
            }
            FftKernels { width: <$lanes as Register>::WIDTH, run: entry }
        };

        impl ColumnLanes for $lanes {
            #[inline(always)]
            unsafe fn columns(
                column: &Column<$element>,
                from: Planes<$element>,
                to: Planes<$element>,
                scratch: [Planes<$element>; 2],
                last: Last<$element>,
            ) {
                /// # Safety
                /// The CPU has the instruction set `$lanes`, and one vector in each row of all planes is in live memory
                /// and accessed without data races (*inside*, see [`Planes`]).
                $(#[target_feature(enable = $features)])?
                #[inline(never)]
                unsafe fn own(
                    column: &Column<$element>,
                    from: Planes<$element>,
                    to: Planes<$element>,
                    scratch: [Planes<$element>; 2],
                    last: Last<$element>,
                ) {
                    // SAFETY: the caller ensures the conditions of `columns`.
                    unsafe { columns::<$lanes>(column, from, to, scratch, last) }
                }
                // SAFETY: the caller ensures the conditions of `columns`, which include that the CPU has the
                // instruction set.
                unsafe { own(column, from, to, scratch, last) }
            }

            #[inline(always)]
            unsafe fn combine(
                halves: &Halves<'_, $element>,
                half: usize,
                planes: [Planes<$element>; 2],
                rows: Combined,
            ) {
                /// # Safety
                /// The CPU has the instruction set `$lanes`, and the rows are in live memory and accessed without data
                /// races (*inside*, see [`Planes`]).
                $(#[target_feature(enable = $features)])?
                #[inline(never)]
                unsafe fn own(
                    halves: &Halves<'_, $element>,
                    half: usize,
                    planes: [Planes<$element>; 2],
                    rows: Combined,
                ) {
                    // SAFETY: the caller ensures the conditions of `combine`.
                    unsafe { combine::<$lanes>(halves, half, planes, rows) }
                }
                // SAFETY: the caller ensures the conditions of `combine`, which include that the CPU has the
                // instruction set.
                unsafe { own(halves, half, planes, rows) }
            }
        }
    };
}
kernels!(PLAIN_F32, Plain<f32, 4>, f32);
kernels!(PLAIN_F64, Plain<f64, 2>, f64);
#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::*;
    use crate::cpu::matmul::lanes::{F32x8, F32x16, F64x4, F64x8};
    kernels!(AVX2_F32, F32x8, f32, "avx2,fma");
    kernels!(AVX2_F64, F64x4, f64, "avx2,fma");
    kernels!(AVX512_F32, F32x16, f32, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
    kernels!(AVX512_F64, F64x8, f64, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
}
#[cfg(target_arch = "aarch64")]
pub(super) mod arm {
    use super::*;
    use crate::cpu::matmul::neon::{F32x4, F64x2};
    kernels!(NEON_F32, F32x4, f32, "neon");
    kernels!(NEON_F64, F64x2, f64, "neon");
}
