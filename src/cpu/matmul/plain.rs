//! Vectors that are arrays of numbers: for machines without AVX2 and NEON, and for types without vectors, whose loops the compiler
//! vectorises.

use super::lanes::{Lanes, MOST_DEPTH};

/// A number or a truth, as products without vector instructions compute with it.
pub(super) trait Number: Copy + Default + Send + Sync + 'static {
    /// Returns `a · b + c`.
    fn multiply_add(a: Self, b: Self, c: Self) -> Self;
    /// Returns `a + b`.
    fn plus(a: Self, b: Self) -> Self;
}

macro_rules! number {
    ($t:ty, |$a:ident, $b:ident, $c:ident| $fma:expr, |$d:ident, $e:ident| $add:expr) => {
        impl Number for $t {
            #[inline(always)]
            fn multiply_add($a: $t, $b: $t, $c: $t) -> $t {
                $fma
            }
            #[inline(always)]
            fn plus($d: $t, $e: $t) -> $t {
                $add
            }
        }
    };
}
number!(f32, |a, b, c| a.mul_add(b, c), |a, b| a + b);
number!(f64, |a, b, c| a.mul_add(b, c), |a, b| a + b);
number!(u32, |a, b, c| c.wrapping_add(a.wrapping_mul(b)), |a, b| a.wrapping_add(b));
number!(u64, |a, b, c| c.wrapping_add(a.wrapping_mul(b)), |a, b| a.wrapping_add(b));
// a bool in memory: the sum is *or*, the product is *and*
number!(u8, |a, b, c| c | (a & b), |a, b| a | b);

/// `N` numbers, for machines without AVX2 and NEON, and for types that have no vectors of their own.
#[derive(Clone, Copy)]
pub(super) struct Plain<T, const N: usize>(std::marker::PhantomData<T>);

impl<T: Number, const N: usize> Lanes for Plain<T, N> {
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
        // SAFETY: *inside*.
        unsafe { (p as *const [T; N]).read() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut T, v: [T; N]) {
        // SAFETY: *inside*.
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
            // SAFETY: *inside*: `i` is in the mask.
            *x = unsafe { *p.add(i) };
        }
        v
    }
    #[inline(always)]
    unsafe fn store_masked(p: *mut T, mask: usize, v: [T; N]) {
        for (i, x) in v.iter().enumerate().take(mask) {
            // SAFETY: *inside*: `i` is in the mask.
            unsafe { *p.add(i) = *x };
        }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: [T; N], b: [T; N], mut c: [T; N]) -> [T; N] {
        for i in 0..N {
            c[i] = T::multiply_add(a[i], b[i], c[i]);
        }
        c
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
            // SAFETY: *inside*: row `i` is below `ROWS`.
            *x = unsafe { *p.wrapping_offset(i as isize * step) };
        }
    }
}
