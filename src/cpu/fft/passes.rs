//! The passes of transforms, written once for the vectors of every instruction set. A lane of a vector holds a column
//! of its own, so bits do not depend on the number of lanes.

use super::butterflies::{Butterfly, FloatLanes, Radix, product};
use super::plan::{Column, Pass, Plan, Real};
use crate::cpu::matmul::lanes::{ALL_ROWS, Lanes, MOST_DEPTH};
use crate::cpu::matmul::plain::Plain;
use crate::cpu::operands::Target;

/// Complex rows in memory: their real and their imaginary parts, and the distance from row to row.
///
/// The unsafe functions of this file have two conditions, cited by name. *Features*: the machine has the instruction
/// set of the vector type, and the function is inlined into one that enables it. *Inside*: all elements that a function
/// names are in live memory; nobody writes the elements that are read, and nobody else uses those that are written.
#[derive(Clone, Copy)]
pub(super) struct Planes<T> {
    pub re: Target<T>,
    pub im: Target<T>,
    pub step: usize,
}

impl<T> Planes<T> {
    /// Returns the planes from element `first` on.
    #[inline(always)]
    fn from(self, first: usize) -> Planes<T> {
        Planes { re: Target(self.re.at(first)), im: Target(self.im.at(first)), step: self.step }
    }
}

/// What happens to the results of a column's last pass.
#[derive(Clone, Copy)]
enum Last<T> {
    Keep,
    Scale(T),
    /// Row k of the results is multiplied by row k of these roots, lane by lane.
    Roots(Planes<T>),
}

/// The kinds of passes, as numbers for constant parameters.
const KEEP: usize = 0;
const SCALE: usize = 1;
const LANE_ROOTS: usize = 2;
const GROUP_ROOTS: usize = 3;

/// A transform of rows.
pub(super) struct Job<'a, T> {
    pub plan: &'a Plan<T>,
    pub length: usize,
    /// The number of neighbouring transforms: element k of a transform is `k · inner` after its first element.
    pub inner: usize,
    /// The number of transforms.
    pub rows: usize,
    pub from: [Target<T>; 2],
    pub to: [Target<T>; 2],
    /// Memory for the intermediate values of one row that tasks share.
    pub between: [Target<T>; 2],
    /// The factor of the results, if it is not 1.
    pub scale: Option<T>,
}

/// The parts of a job that run as tasks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Transforms units of the job: see [`Job::units`].
    Units,
    /// Transforms blocks of columns of a row into the memory between.
    Columns(usize),
    /// Transforms blocks of rows from the memory between.
    Rows(usize),
}

/// The functions for an instruction set. The function runs a part of a job from the first to before the last number.
pub(super) struct Kernels<T> {
    pub width: usize,
    pub run: unsafe fn(&Job<'_, T>, Part, [usize; 2]),
}

impl<T> Job<'_, T> {
    /// Returns the number of units: blocks of as many transforms as a vector has lanes, or whole rows.
    pub fn units(&self, width: usize) -> usize {
        match self.plan {
            _ if self.inner > 1 => self.rows / self.inner * self.inner.div_ceil(width),
            Plan::Whole(_) => self.rows.div_ceil(width),
            Plan::Split { .. } => self.rows,
        }
    }

    /// Returns the first element of a block of neighbouring transforms, and their number.
    fn block(&self, unit: usize, width: usize) -> (usize, usize) {
        let blocks = self.inner.div_ceil(width);
        let first = unit % blocks * width;
        (unit / blocks * self.length * self.inner + first, width.min(self.inner - first))
    }
}

/// Memory of a task, aligned to cache lines.
struct Scratch<T> {
    memory: Vec<T>,
    first: usize,
    /// The number of elements of a plane.
    each: usize,
}

impl<T: Real> Scratch<T> {
    fn new(planes: usize, each: usize) -> Scratch<T> {
        let line = 64 / size_of::<T>();
        let each = each.next_multiple_of(line);
        let memory = vec![T::default(); planes * each + line];
        let first = memory.as_ptr().align_offset(64).min(line);
        Scratch { memory, first, each }
    }

    /// Returns planes `2 · number` and the next one, with rows of `step` elements.
    fn planes(&mut self, number: usize, step: usize) -> Planes<T> {
        let re = Target(self.memory.as_mut_ptr()).at(self.first + 2 * number * self.each);
        Planes { re: Target(re), im: Target(re.wrapping_add(self.each)), step }
    }
}

/// Runs a pass over columns: butterflies of rows `count · stride` apart, whose results are multiplied by roots (or by
/// what `M` selects) and stored `stride` rows apart.
///
/// # Safety
/// *Features* and *inside*, for a vector in each row.
#[inline(always)]
unsafe fn pass<S: FloatLanes, const R: usize, const M: usize>(
    pass: &Pass<S::Element>,
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    last: Last<S::Element>,
) where
    Radix: Butterfly<R>,
{
    let (count, stride) = (pass.count, pass.stride);
    // SAFETY: *features* and *inside*: rows are below `R · count · stride`, and each group has `R − 1` roots.
    unsafe {
        let scale = S::splat(if let Last::Scale(scale) = last { scale } else { S::Element::default() });
        for group in 0..count {
            let mut roots = ([S::zero(); R], [S::zero(); R]);
            if M == GROUP_ROOTS {
                let list = pass.roots.as_ptr().add(2 * (R - 1) * group);
                for j in 1..R {
                    (roots.0[j], roots.1[j]) = (S::splat(*list.add(2 * j - 2)), S::splat(*list.add(2 * j - 1)));
                }
            }
            for q in 0..stride {
                let mut x = ([S::zero(); R], [S::zero(); R]);
                for k in 0..R {
                    let at = (q + stride * (group + count * k)) * from.step;
                    (x.0[k], x.1[k]) = (S::load(from.re.at(at)), S::load(from.im.at(at)));
                }
                Radix::apply::<S>(&mut x);
                for j in 0..R {
                    let row = q + stride * (R * group + j);
                    let mut y = (x.0[j], x.1[j]);
                    if M == GROUP_ROOTS && j > 0 {
                        y = product::<S>(y, (roots.0[j], roots.1[j]));
                    }
                    if M == SCALE {
                        y = (S::multiply(y.0, scale), S::multiply(y.1, scale));
                    }
                    if let (LANE_ROOTS, Last::Roots(roots)) = (M, last) {
                        let at = row * roots.step;
                        y = product::<S>(y, (S::load(roots.re.at(at)), S::load(roots.im.at(at))));
                    }
                    S::store(to.re.at(row * to.step), y.0);
                    S::store(to.im.at(row * to.step), y.1);
                }
            }
        }
    }
}

/// Runs a pass of any radix.
///
/// # Safety
/// As for [`pass`].
#[inline(always)]
unsafe fn any_pass<S: FloatLanes, const M: usize>(
    p: &Pass<S::Element>,
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    last: Last<S::Element>,
) {
    // SAFETY: the caller ensures the conditions of `pass`.
    unsafe {
        match p.radix {
            2 => pass::<S, 2, M>(p, from, to, last),
            3 => pass::<S, 3, M>(p, from, to, last),
            4 => pass::<S, 4, M>(p, from, to, last),
            5 => pass::<S, 5, M>(p, from, to, last),
            7 => pass::<S, 7, M>(p, from, to, last),
            _ => pass::<S, 8, M>(p, from, to, last),
        }
    }
}

/// Transforms as many columns as a vector has lanes. `scratch` has two pairs of planes of as many rows, from `first`.
///
/// # Safety
/// *Features* and *inside*, for a vector in each row.
#[inline(always)]
unsafe fn columns<S: FloatLanes>(
    column: &Column<S::Element>,
    from: Planes<S::Element>,
    to: Planes<S::Element>,
    scratch: [Planes<S::Element>; 2],
    last: Last<S::Element>,
) {
    let end = column.passes.len() - 1;
    // SAFETY: the caller ensures the conditions of `pass`.
    unsafe {
        for (i, p) in column.passes.iter().enumerate() {
            let from = if i == 0 { from } else { scratch[(i - 1) % 2] };
            if i < end {
                any_pass::<S, GROUP_ROOTS>(p, from, scratch[i % 2], Last::Keep);
                continue;
            }
            match last {
                Last::Keep => any_pass::<S, KEEP>(p, from, to, last),
                Last::Scale(_) => any_pass::<S, SCALE>(p, from, to, last),
                Last::Roots(_) => any_pass::<S, LANE_ROOTS>(p, from, to, last),
            }
        }
    }
}

/// Transforms `lanes` columns, which may be fewer than a vector has lanes. Partial vectors go through `padded`, of as
/// many rows as the column.
///
/// # Safety
/// *Features* and *inside*, for `lanes` columns; whole vectors of [`Last::Roots`].
#[inline(always)]
unsafe fn some_columns<S: FloatLanes>(
    column: &Column<S::Element>,
    lanes: usize,
    [from, to]: [Planes<S::Element>; 2],
    scratch: [Planes<S::Element>; 2],
    padded: Planes<S::Element>,
    last: Last<S::Element>,
) {
    // SAFETY: *inside*: the copies have `lanes` elements in each row.
    unsafe {
        if lanes == S::WIDTH {
            return columns::<S>(column, from, to, scratch, last);
        }
        copy(from, padded, column.length, lanes);
        columns::<S>(column, padded, padded, scratch, last);
        copy(padded, to, column.length, lanes);
    }
}

/// Copies the first elements of rows.
///
/// # Safety
/// *Inside*.
#[inline(always)]
unsafe fn copy<T: Real>(from: Planes<T>, to: Planes<T>, rows: usize, lanes: usize) {
    for row in 0..rows {
        for lane in 0..lanes {
            // SAFETY: *inside*.
            unsafe {
                to.re.set(row * to.step + lane, from.re.get(row * from.step + lane));
                to.im.set(row * to.step + lane, from.im.get(row * from.step + lane));
            }
        }
    }
}

/// Transposes an area: element `c` of row `r` becomes element `r` of row `c`.
///
/// # Safety
/// *Features* and *inside*.
#[inline(always)]
unsafe fn transpose<S: FloatLanes>(from: Planes<S::Element>, to: Planes<S::Element>, rows: usize, cols: usize) {
    let (whole_rows, whole_cols) = (rows / S::WIDTH * S::WIDTH, cols / S::DEPTH * S::DEPTH);
    // SAFETY: *features* and *inside*: all elements are in `rows` rows of `cols` elements.
    unsafe {
        for (from, to) in [(from.re, to.re), (from.im, to.im)].map(|(f, t)| ((f, from.step), (t, to.step))) {
            for r in (0..whole_rows).step_by(S::WIDTH) {
                for c in (0..whole_cols).step_by(S::DEPTH) {
                    let mut out = [S::zero(); MOST_DEPTH];
                    let first = from.0.at(r * from.1 + c);
                    S::transposed::<ALL_ROWS>(first, from.1 as isize, [0, S::DEPTH], &mut out);
                    for (k, v) in out.into_iter().enumerate().take(S::DEPTH) {
                        S::store(to.0.at((c + k) * to.1 + r), v);
                    }
                }
            }
            for r in 0..rows {
                for c in if r < whole_rows { whole_cols } else { 0 }..cols {
                    to.0.set(c * to.1 + r, from.0.get(r * from.1 + c));
                }
            }
        }
    }
}

/// Transforms blocks of columns of a row, multiplies them by the roots, and writes them as rows of `between`.
///
/// # Safety
/// As for [`run`], for the row from `from` on.
#[inline(always)]
unsafe fn split_columns<S: FloatLanes>(
    (column, roots): (&Column<S::Element>, &[Vec<S::Element>; 2]),
    from: Planes<S::Element>,
    between: Planes<S::Element>,
    memory: &mut Scratch<S::Element>,
    [first, end]: [usize; 2],
) {
    let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, S::WIDTH));
    let of = |part: &Vec<S::Element>| Target(part.as_ptr().cast_mut());
    let roots = Planes { re: of(&roots[0]), im: of(&roots[1]), step: from.step };
    // SAFETY: *features* and *inside*: columns are below `from.step`. The roots have as many elements as the row and
    // those of another vector.
    unsafe {
        for at in (first..end).map(|block| block * S::WIDTH) {
            let lanes = S::WIDTH.min(from.step - at);
            let last = Last::Roots(roots.from(at));
            if lanes == S::WIDTH {
                columns::<S>(column, from.from(at), c, [a, b], last);
            } else {
                copy(from.from(at), c, column.length, lanes);
                columns::<S>(column, c, c, [a, b], last);
            }
            transpose::<S>(c, between.from(at * between.step), column.length, lanes);
        }
    }
}

/// Transforms blocks of columns of the transposed matrix `from`, which are rows of the matrix, into the result.
///
/// # Safety
/// As for [`run`], for the row from `to` on.
#[inline(always)]
unsafe fn split_rows<S: FloatLanes>(
    row: &Column<S::Element>,
    [from, to]: [Planes<S::Element>; 2],
    memory: &mut Scratch<S::Element>,
    [first, end]: [usize; 2],
    last: Last<S::Element>,
) {
    let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, S::WIDTH));
    for at in (first..end).map(|block| block * S::WIDTH) {
        let lanes = S::WIDTH.min(from.step - at);
        // SAFETY: *features* and *inside*: columns are below `from.step`.
        unsafe { some_columns::<S>(row, lanes, [from.from(at), to.from(at)], [a, b], c, last) }
    }
}

/// Transforms neighbouring rows of a job, one in each lane, as [`split_columns`] and [`split_rows`] do.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn split_block<S: FloatLanes>(
    job: &Job<'_, S::Element>,
    unit: usize,
    between: Planes<S::Element>,
    memory: &mut Scratch<S::Element>,
    last: Last<S::Element>,
) {
    let Plan::Split { columns, rows, roots } = job.plan else { return };
    let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, S::WIDTH));
    let (width, inner, (at, lanes)) = (S::WIDTH, job.inner, job.block(unit, S::WIDTH));
    let (high, low) = (columns.length, rows.length);
    let from = Planes { re: job.from[0], im: job.from[1], step: low * inner };
    let to = Planes { re: job.to[0], im: job.to[1], step: high * inner };
    // SAFETY: *features* and *inside*: the block has `lanes` neighbouring elements of each row, and `between` has a
    // vector for each number of a row.
    unsafe {
        for j in 0..low {
            let results = Planes { step: width, ..between.from(j * high * width) };
            some_columns::<S>(columns, lanes, [from.from(at + j * inner), results], [a, b], c, Last::Keep);
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
            some_columns::<S>(rows, lanes, [values, to.from(at + k * inner)], [a, b], c, last);
        }
    }
}

/// Runs a part of a job.
///
/// # Safety
/// *Features*, and *inside* for the elements that the job names.
#[inline(always)]
pub(super) unsafe fn run<S: FloatLanes>(job: &Job<'_, S::Element>, part: Part, [first, end]: [usize; 2]) {
    let width = S::WIDTH;
    let planes = |memory: [Target<S::Element>; 2], step| Planes { re: memory[0], im: memory[1], step };
    let last = job.scale.map_or(Last::Keep, Last::Scale);
    // SAFETY: *features*; each unit reads and writes elements of its own, which are inside the job's memory.
    unsafe {
        match (job.plan, part) {
            (Plan::Whole(column), _) => {
                let mut memory = Scratch::new(6, column.length * width);
                let [a, b, c] = [0, 1, 2].map(|i| memory.planes(i, width));
                for unit in first..end {
                    if job.inner > 1 {
                        let (at, lanes) = job.block(unit, width);
                        let both = [planes(job.from, job.inner).from(at), planes(job.to, job.inner).from(at)];
                        some_columns::<S>(column, lanes, both, [a, b], c, last);
                        continue;
                    }
                    let row = unit * width;
                    let lanes = width.min(job.rows - row);
                    let n = column.length;
                    transpose::<S>(planes(job.from, n).from(row * n), c, lanes, n);
                    columns::<S>(column, c, c, [a, b], last);
                    transpose::<S>(c, planes(job.to, n).from(row * n), n, lanes);
                }
            }
            (Plan::Split { columns, rows, roots }, part) => {
                let (high, low) = (columns.length, rows.length);
                let mut memory = Scratch::new(6, high.max(low) * width);
                let (mut own, shared) = match part {
                    Part::Units if job.inner > 1 => (Scratch::new(2, job.length * width), false),
                    Part::Units => (Scratch::new(2, job.length), false),
                    Part::Columns(_) | Part::Rows(_) => (Scratch::new(0, 0), true),
                };
                let between = if shared { planes(job.between, high) } else { own.planes(0, high) };
                let from = |row| planes(job.from, low).from(row * job.length);
                let to = |row| planes(job.to, high).from(row * job.length);
                match part {
                    Part::Columns(row) => {
                        split_columns::<S>((columns, roots), from(row), between, &mut memory, [first, end]);
                    }
                    Part::Rows(row) => {
                        split_rows::<S>(rows, [between, to(row)], &mut memory, [first, end], last);
                    }
                    Part::Units if job.inner > 1 => {
                        (first..end).for_each(|unit| split_block::<S>(job, unit, between, &mut memory, last));
                    }
                    Part::Units => {
                        for row in first..end {
                            let all = [0, low.div_ceil(width)];
                            split_columns::<S>((columns, roots), from(row), between, &mut memory, all);
                            let all = [0, high.div_ceil(width)];
                            split_rows::<S>(rows, [between, to(row)], &mut memory, all, last);
                        }
                    }
                }
            }
        }
    }
}

macro_rules! kernels {
    ($name:ident, $lanes:ty, $element:ty $(, $features:literal)?) => {
        pub(in crate::cpu::fft) static $name: Kernels<$element> = {
            /// # Safety
            /// *Features*, and *inside* for the elements that the job names.
            $(#[target_feature(enable = $features)])?
            unsafe fn entry(job: &Job<'_, $element>, part: Part, numbers: [usize; 2]) {
                // SAFETY: the caller ensures the conditions of `run`.
                unsafe { run::<$lanes>(job, part, numbers) }
            }
            Kernels { width: <$lanes as Lanes>::WIDTH, run: entry }
        };
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
