//! What the routines of linear algebra share: arithmetic of f32 and f64, loops over rows, and functions that are compiled for
//! the machine's instruction set. They use no fused multiply-add, and each element is computed in a fixed order, so their
//! bits do not depend on the instruction set.

use super::share::share;
use super::threads::threads;
use crate::base::dtype::Element;
use std::ops::{Div, Mul, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

/// The floats that factorisations are computed in.
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

/// Defines the function `$name` with the body of the generic function `$body` for an element type. On x86 there is a second
/// copy for AVX2, which runs if the machine has it. The body must be `#[inline(always)]`.
macro_rules! compiled {
    ($name:ident, $body:ident::<$t:ty>($($arg:ident: $type:ty),*) -> $out:ty) => {
        fn $name($($arg: $type),*) -> $out {
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

/// The number of rows that [`minus_rows`] subtracts in one walk along the target.
pub(super) const ROWS: usize = 4;

/// Subtracts a multiple of a row from the target: the slices have the same length.
#[inline(always)]
pub(super) fn minus_row<T: Real>(target: &mut [T], factor: T, row: &[T]) {
    for (x, y) in target.iter_mut().zip(row) {
        *x = *x - factor * *y;
    }
}

/// Subtracts multiples of rows from the target, one after another. The rows are at least as long as the target.
#[inline(always)]
pub(super) fn minus_rows<T: Real>(target: &mut [T], factors: [T; ROWS], rows: [&[T]; ROWS]) {
    let n = target.len();
    // not by `map`, which is not inlined into functions of an instruction set
    let [a, b, c, d] = [&rows[0][..n], &rows[1][..n], &rows[2][..n], &rows[3][..n]];
    let [e, f, g, h] = factors;
    for (i, x) in target.iter_mut().enumerate() {
        *x = *x - e * a[i] - f * b[i] - g * c[i] - h * d[i];
    }
}

/// The work of a task, as a number of multiplications, which takes some 50 µs.
const TASK: usize = 1 << 16;

/// Calls `f` with ranges of the numbers below `count`. Each number stands for `work` multiplications. The threads of the
/// caller's pool share the calls.
pub(super) fn in_tasks(count: usize, work: usize, f: impl Fn([usize; 2]) + Sync) {
    let each = (TASK / work.max(1)).clamp(1, count.div_ceil(threads()).max(1));
    let task = |i: usize| f([i * each, ((i + 1) * each).min(count)]);
    share(count.div_ceil(each), work.saturating_mul(count) < TASK, task);
}

/// The lowest place that a routine refuses, of all that its tasks find.
pub(super) struct Lowest(AtomicU64);

impl Lowest {
    pub fn new() -> Lowest {
        Lowest(AtomicU64::new(u64::MAX))
    }

    pub fn note(&self, place: usize) {
        self.0.fetch_min(place as u64, Ordering::Relaxed);
    }

    /// Returns the place, if there is one.
    pub fn found(&self) -> Option<i128> {
        let place = self.0.load(Ordering::Relaxed);
        (place != u64::MAX).then_some(place.into())
    }
}
