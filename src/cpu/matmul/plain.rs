//! Vectors that are plain arrays of numbers, for machines without AVX2 and NEON, and for types without vectors. The
//! compiler vectorises their loops.

use super::lanes::{MOST_DEPTH, Register};
use crate::math::Fused;

/// An element type of products that are computed without vector instructions: a number, or a bool in a u8.
pub(in crate::cpu) trait Number: Copy + Default + Send + Sync + 'static {
    /// Returns `a · b + c` in each lane; floats are rounded once.
    fn multiply_add<const N: usize>(a: [Self; N], b: [Self; N], c: [Self; N]) -> [Self; N];
    /// Returns `a + b`.
    fn plus(a: Self, b: Self) -> Self;
}

macro_rules! number {
    ($t:ty, $lanes:expr, |$d:ident, $e:ident| $add:expr) => {
        impl Number for $t {
            #[inline(always)]
            fn multiply_add<const N: usize>(a: [$t; N], b: [$t; N], c: [$t; N]) -> [$t; N] {
                $lanes(a, b, c)
            }
            #[inline(always)]
            fn plus($d: $t, $e: $t) -> $t {
                $add
            }
        }
    };
}
number!(f32, fused, |a, b| a + b);
number!(f64, each(f64::fused), |a, b| a + b);
number!(u32, each(|a: u32, b, c: u32| c.wrapping_add(a.wrapping_mul(b))), |a, b| a.wrapping_add(b));
number!(u64, each(|a: u64, b, c: u64| c.wrapping_add(a.wrapping_mul(b))), |a, b| a.wrapping_add(b));
// bools are u8 in memory: their sum is *or*, their product is *and*
number!(u8, each(|a, b, c| c | (a & b)), |a, b| a | b);

/// Lifts a function of three numbers to arrays of lanes.
#[inline(always)]
fn each<T: Copy, const N: usize>(f: impl Fn(T, T, T) -> T) -> impl Fn([T; N], [T; N], [T; N]) -> [T; N] {
    move |a, b, c| std::array::from_fn(|i| f(a[i], b[i], c[i]))
}

/// Returns `a · b + c` in each lane, rounded once. Targets without a fused multiply-add compute it in f64, because
/// `mul_add` calls a function for each lane there.
#[inline(always)]
fn fused<const N: usize>(a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
    if cfg!(any(target_feature = "fma", cupric_relaxed_simd, not(any(target_arch = "x86_64", target_arch = "wasm32"))))
    {
        return each(f32::fused)(a, b, c);
    }
    // The product is exact in f64. The sum is rounded to an odd last bit, after which rounding to fewer bits gives the
    // same result as rounding once.
    let (mut sum, mut lost, mut odd) = ([0f64; N], [0f64; N], [0u64; N]);
    for i in 0..N {
        let (product, addend) = (a[i] as f64 * b[i] as f64, c[i] as f64);
        sum[i] = product + addend;
        // the exact rounding error of the sum, or NaN if the sum is not finite
        let part = sum[i] - product;
        lost[i] = (product - (sum[i] - part)) + (addend - part);
    }
    for i in 0..N {
        let inexact = mutant!(fma_rounded_twice, 0, (lost[i].abs() > 0.0) as u64);
        let too_large = ((lost[i].to_bits() ^ sum[i].to_bits()) >> 63) & inexact;
        odd[i] = (sum[i].to_bits() - too_large) | inexact;
    }
    odd.map(|bits| f64::from_bits(bits) as f32)
}

/// A vector of `N` numbers as a plain array, for machines without AVX2 and NEON, and for types that have no vectors of
/// their own.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Plain<T, const N: usize>(std::marker::PhantomData<T>);

impl<T: Number, const N: usize> Register for Plain<T, N> {
    type Element = T;
    type Vector = [T; N];
    type Mask = usize;
    const WIDTH: usize = N;
    const DEPTH: usize = 1;
    #[inline(always)]
    unsafe fn zero() -> [T; N] {
        [T::default(); N]
    }
    #[inline(always)]
    unsafe fn splat(x: T) -> [T; N] {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> [T; N] {
        // SAFETY: the caller ensures that the `N` elements are in live memory (*inside*, see `Register`).
        unsafe { (p as *const [T; N]).read() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut T, v: [T; N]) {
        // SAFETY: the caller ensures that the `N` elements are in live memory (*inside*, see `Register`).
        unsafe { (p as *mut [T; N]).write(v) }
    }
    #[inline(always)]
    unsafe fn mask(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const T, mask: usize) -> [T; N] {
        let mut v = [T::default(); N];
        for (i, x) in v.iter_mut().enumerate().take(mask) {
            // SAFETY: `i` is in the mask, so its element is in live memory (*inside*, see `Register`).
            *x = unsafe { *p.add(i) };
        }
        v
    }
    #[inline(always)]
    unsafe fn store_masked(p: *mut T, mask: usize, v: [T; N]) {
        for (i, x) in v.iter().enumerate().take(mask) {
            // SAFETY: `i` is in the mask, so its element is in live memory (*inside*, see `Register`).
            unsafe { *p.add(i) = *x };
        }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: [T; N], b: [T; N], c: [T; N]) -> [T; N] {
        T::multiply_add(a, b, c)
    }
    #[inline(always)]
    unsafe fn add(mut a: [T; N], b: [T; N]) -> [T; N] {
        for i in 0..N {
            a[i] = T::plus(a[i], b[i]);
        }
        a
    }
    #[inline(always)]
    unsafe fn transposed<const ROWS: usize>(
        p: *const T,
        step: isize,
        _part: [usize; 2],
        out: &mut [[T; N]; MOST_DEPTH],
    ) {
        out[0] = [T::default(); N];
        for (i, x) in out[0].iter_mut().enumerate().take(ROWS) {
            // SAFETY: row `i` is below `ROWS`, so its element is in live memory (*inside*, see `Register`).
            *x = unsafe { *p.wrapping_offset(i as isize * step) };
        }
    }
}
