//! Code that the routines of linear algebra share: arithmetic of f32 and f64, loops over rows, and a macro that
//! compiles functions for the machine's instruction set. The routines use no fused multiply-add, and compute each
//! element in a fixed order, so the bits of their results do not depend on the instruction set.

use super::thread_count::threads;
use super::work_sharing::share;
use crate::base::dtype::Element;
use std::ops::{Div, Mul, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

/// A float type in which factorisations are computed: f32 or f64.
pub(super) trait Real:
    Element + PartialOrd + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    const ZERO: Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const ZERO: $t = 0.0;
            #[inline(always)]
            fn sqrt(self) -> $t {
                self.sqrt()
            }
            #[inline(always)]
            fn abs(self) -> $t {
                self.abs()
            }
        }
    };
}
real!(f32);
real!(f64);

/// Defines the function `$name`, which calls the generic function `$body` for the element type `$t`. On x86-64, `$body`
/// is also compiled for AVX2, and that copy runs if the machine has AVX2. `$body` must be `#[inline(always)]`, because
/// otherwise it is not compiled for AVX2.
macro_rules! compiled {
    ($vis:vis $name:ident, $body:ident::<$t:ty>($($arg:ident: $type:ty),*) -> $out:ty) => {
        $vis fn $name($($arg: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            {
                /// # Safety
                /// The machine has AVX2.
                #[target_feature(enable = "avx2")]
                #[inline(never)]
                unsafe fn wide($($arg: $type),*) -> $out {
                    $body::<$t>($($arg),*)
                }
                use crate::math::simd::{Isa, isa};
                if matches!(isa(), Isa::Avx2 | Isa::Avx512) {
                    // SAFETY: the machine has AVX2.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body::<$t>($($arg),*)
        }
    };
}
pub(super) use compiled;

/// The number of rows that [`minus_rows`] subtracts in one loop over the target.
pub(super) const ROWS: usize = 4;

/// The number of neighbouring elements that the loops over rows copy and then compute together. 8 f32 fill an AVX2
/// register. A local copy cannot overlap the rows, so the compiler uses vectors without a check at run time. A fixed
/// length also keeps it from unrolling the loop to longer steps, for which most rows are too short.
const STEP: usize = 8;

/// Subtracts `factor` times a row from the target. The slices have the same length.
#[inline(always)]
pub(super) fn minus_row<T: Real>(target: &mut [T], factor: T, row: &[T]) {
    let (steps, rest) = target.as_chunks_mut::<STEP>();
    let (row, row_rest) = row.as_chunks::<STEP>();
    for (to, y) in steps.iter_mut().zip(row) {
        let mut x = *to;
        for l in 0..STEP {
            x[l] = x[l] - factor * y[l];
        }
        *to = x;
    }
    for (x, y) in rest.iter_mut().zip(row_rest) {
        *x = *x - factor * *y;
    }
}

/// Subtracts a multiple of each row from the target, one row after another. The rows are at least as long as the
/// target.
#[inline(always)]
pub(super) fn minus_rows<T: Real>(target: &mut [T], factors: [T; ROWS], rows: [&[T]; ROWS]) {
    let n = target.len();
    // `map` is not used here, because it is not inlined into functions that are compiled for an instruction set
    let [a, b, c, d] = [&rows[0][..n], &rows[1][..n], &rows[2][..n], &rows[3][..n]];
    let [e, f, g, h] = factors;
    let (steps, _) = target.as_chunks_mut::<STEP>();
    let (parts_a, parts_b) = (a.as_chunks::<STEP>().0, b.as_chunks::<STEP>().0);
    let (parts_c, parts_d) = (c.as_chunks::<STEP>().0, d.as_chunks::<STEP>().0);
    for ((((to, a), b), c), d) in steps.iter_mut().zip(parts_a).zip(parts_b).zip(parts_c).zip(parts_d) {
        let mut x = *to;
        for l in 0..STEP {
            x[l] = x[l] - e * a[l] - f * b[l] - g * c[l] - h * d[l];
        }
        *to = x;
    }
    for i in n / STEP * STEP..n {
        target[i] = target[i] - e * a[i] - f * b[i] - g * c[i] - h * d[i];
    }
}

/// The number of multiplications that a task should have. They take about 50 µs.
const TASK: usize = 1 << 16;

/// Cuts the range `0..count` into parts, and calls `f` with the start and the end of each part. The threads of the
/// caller's pool share the calls. Each number of the range stands for `work` multiplications. If the whole range has
/// fewer than [`TASK`] multiplications, the caller's thread makes all calls.
pub(super) fn in_tasks(count: usize, work: usize, f: impl Fn([usize; 2]) + Sync) {
    let each = (TASK / work.max(1)).clamp(1, count.div_ceil(threads()).max(1));
    let task = |i: usize| f([i * each, ((i + 1) * each).min(count)]);
    share(count.div_ceil(each), work.saturating_mul(count) < TASK, task);
}

/// The lowest position at which a task of a routine has rejected the operand, for example the row of a pivot that is 0.
/// All tasks of the routine share this value.
pub(super) struct Lowest(AtomicU64);

impl Lowest {
    pub fn new() -> Lowest {
        Lowest(AtomicU64::new(u64::MAX))
    }

    pub fn note(&self, place: usize) {
        self.0.fetch_min(place as u64, Ordering::Relaxed);
    }

    /// Returns the lowest position that was noted, or `None` if none was noted.
    pub fn found(&self) -> Option<i128> {
        let place = self.0.load(Ordering::Relaxed);
        (place != u64::MAX).then_some(place.into())
    }
}
