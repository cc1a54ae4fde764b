//! Fourier transforms of a few numbers in each lane of vectors (butterflies), written once for every instruction set.
//! Products are rounded before they are added, so all instruction sets compute the same bits.
//!
//! The unsafe functions have one condition, *features*, which is defined at [`Register`]: the CPU has the instruction
//! set of the vector type, and the function is inlined into one that enables it.

use super::plan::FftFloat;
use crate::cpu::matmul::lanes::Register;
use crate::cpu::matmul::plain::Plain;

/// Vectors of floats with subtraction and multiplication.
pub(in crate::cpu) trait FloatLanes: Register {
    /// # Safety
    /// The CPU has the instruction set of this type (*features*, see [`Register`]).
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// # Safety
    /// The CPU has the instruction set of this type (*features*, see [`Register`]).
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
}

/// Vectors of a float type in which Fourier transforms are computed.
pub(super) trait RealLanes: FloatLanes<Element: FftFloat> {}
impl<S: FloatLanes<Element: FftFloat>> RealLanes for S {}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! float_lanes {
    ($lanes:ty, $vector:ty, $subtract:path, $multiply:path) => {
        impl FloatLanes for $lanes {
            #[inline(always)]
            unsafe fn subtract(a: $vector, b: $vector) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $subtract(a, b) }
            }
            #[inline(always)]
            unsafe fn multiply(a: $vector, b: $vector) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $multiply(a, b) }
            }
        }
    };
}

macro_rules! plain_lanes {
    ($t:ty, $n:literal) => {
        impl FloatLanes for Plain<$t, $n> {
            #[inline(always)]
            unsafe fn subtract(a: [$t; $n], b: [$t; $n]) -> [$t; $n] {
                std::array::from_fn(|i| a[i] - b[i])
            }
            #[inline(always)]
            unsafe fn multiply(a: [$t; $n], b: [$t; $n]) -> [$t; $n] {
                std::array::from_fn(|i| a[i] * b[i])
            }
        }
    };
}
plain_lanes!(f32, 4);
plain_lanes!(f64, 2);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::cpu::matmul::lanes::{F32x8, F32x16, F64x4, F64x8};
    use core::arch::x86_64::*;
    float_lanes!(F32x16, __m512, _mm512_sub_ps, _mm512_mul_ps);
    float_lanes!(F64x8, __m512d, _mm512_sub_pd, _mm512_mul_pd);
    float_lanes!(F32x8, __m256, _mm256_sub_ps, _mm256_mul_ps);
    float_lanes!(F64x4, __m256d, _mm256_sub_pd, _mm256_mul_pd);
}
#[cfg(target_arch = "aarch64")]
mod arm {
    use super::*;
    use crate::cpu::matmul::neon::{F32x4, F64x2};
    use core::arch::aarch64::*;
    float_lanes!(F32x4, float32x4_t, vsubq_f32, vmulq_f32);
    float_lanes!(F64x2, float64x2_t, vsubq_f64, vmulq_f64);
}

/// `R` complex numbers in each lane: `R` vectors of their real parts, and `R` vectors of their imaginary parts.
pub(super) type ComplexLanes<V, const R: usize> = ([V; R], [V; R]);

/// Adds two vectors.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`]).
#[inline(always)]
unsafe fn add<S: RealLanes>(a: S::Vector, b: S::Vector) -> S::Vector {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
    unsafe { S::add(a, b) }
}

/// Computes the Fourier transform of two complex numbers in each lane.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`]).
#[inline(always)]
unsafe fn two<S: RealLanes>(x: &mut ComplexLanes<S::Vector, 2>) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        for part in [&mut x.0, &mut x.1] {
            *part = [add::<S>(part[0], part[1]), S::subtract(part[0], part[1])];
        }
    }
}

/// Computes the Fourier transform of four complex numbers in each lane.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`]).
#[inline(always)]
unsafe fn four<S: RealLanes>((re, im): &mut ComplexLanes<S::Vector, 4>) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        let (s, t) = (add::<S>(re[0], re[2]), add::<S>(re[1], re[3]));
        let (d, e) = (S::subtract(re[0], re[2]), S::subtract(re[1], re[3]));
        let (u, v) = (add::<S>(im[0], im[2]), add::<S>(im[1], im[3]));
        let (f, g) = (S::subtract(im[0], im[2]), S::subtract(im[1], im[3]));
        *re = [add::<S>(s, t), add::<S>(d, g), S::subtract(s, t), S::subtract(d, g)];
        *im = [add::<S>(u, v), S::subtract(f, e), S::subtract(u, v), add::<S>(f, e)];
    }
}

/// Computes the Fourier transform of eight complex numbers in each lane: transforms the four numbers at even positions
/// and the four at odd positions, and combines pairs of their results.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`]).
#[inline(always)]
unsafe fn eight<S: RealLanes>((re, im): &mut ComplexLanes<S::Vector, 8>) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        let mut even = ([re[0], re[2], re[4], re[6]], [im[0], im[2], im[4], im[6]]);
        let mut odd = ([re[1], re[3], re[5], re[7]], [im[1], im[3], im[5], im[7]]);
        four::<S>(&mut even);
        four::<S>(&mut odd);
        let h = S::splat(S::Element::of(std::f64::consts::FRAC_1_SQRT_2));
        // The odd results are to be multiplied by the roots 1, (1 − i)/√2, −i and (−1 − i)/√2. The next lines multiply
        // the second and the fourth result, but leave the imaginary part of the fourth with the opposite sign.
        let (a, b) = (odd.0[1], odd.1[1]);
        (odd.0[1], odd.1[1]) = (S::multiply(add::<S>(a, b), h), S::multiply(S::subtract(b, a), h));
        let (a, b) = (odd.0[3], odd.1[3]);
        (odd.0[3], odd.1[3]) = (S::multiply(S::subtract(b, a), h), S::multiply(add::<S>(a, b), h));
        for k in [0, 1, 3] {
            // for k = 3 the imaginary part of the product has the opposite sign, so subtract it instead of adding it,
            // and vice versa
            re[k] = add::<S>(even.0[k], odd.0[k]);
            re[k + 4] = S::subtract(even.0[k], odd.0[k]);
            (im[k], im[k + 4]) = match k {
                3 => (S::subtract(even.1[k], odd.1[k]), add::<S>(even.1[k], odd.1[k])),
                _ => (add::<S>(even.1[k], odd.1[k]), S::subtract(even.1[k], odd.1[k])),
            };
        }
        let (a, b) = (odd.0[2], odd.1[2]);
        (re[2], re[6]) = (add::<S>(even.0[2], b), S::subtract(even.0[2], b));
        (im[2], im[6]) = (S::subtract(even.1[2], a), add::<S>(even.1[2], a));
    }
}

/// Computes the Fourier transform of `R` complex numbers in each lane by its definition, for an odd `R`. Inputs j and R
/// − j are added and subtracted first, because their roots are conjugate to each other.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`]).
#[inline(always)]
unsafe fn odd<S: RealLanes, const R: usize>((re, im): &mut ComplexLanes<S::Vector, R>) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        let (mut sums, mut differences) = ((*re, *im), (*re, *im));
        for j in 1..=R / 2 {
            sums.0[j] = add::<S>(re[j], re[R - j]);
            sums.1[j] = add::<S>(im[j], im[R - j]);
            differences.0[j] = S::subtract(re[j], re[R - j]);
            differences.1[j] = S::subtract(im[j], im[R - j]);
        }
        let first = (re[0], im[0]);
        for j in 1..=R / 2 {
            (re[0], im[0]) = (add::<S>(re[0], sums.0[j]), add::<S>(im[0], sums.1[j]));
        }
        for k in 1..=R / 2 {
            let (mut even, mut odd) = (first, (S::zero(), S::zero()));
            for j in 1..=R / 2 {
                let [c, s] = small_root(j * k % R, R);
                let (c, s) = (S::splat(S::Element::of(c)), S::splat(S::Element::of(s)));
                even = (add::<S>(even.0, S::multiply(c, sums.0[j])), add::<S>(even.1, S::multiply(c, sums.1[j])));
                let product = (S::multiply(s, differences.0[j]), S::multiply(s, differences.1[j]));
                odd = if j == 1 { product } else { (add::<S>(odd.0, product.0), add::<S>(odd.1, product.1)) };
            }
            (re[k], im[k]) = (add::<S>(even.0, odd.1), S::subtract(even.1, odd.0));
            (re[R - k], im[R - k]) = (S::subtract(even.0, odd.1), add::<S>(even.1, odd.0));
        }
    }
}

/// Returns cos(2π·k/r) and sin(2π·k/r) for the radices r = 3, 5 and 7.
#[inline(always)]
const fn small_root(k: usize, r: usize) -> [f64; 2] {
    const THIRD: [f64; 2] = [-0.5, 0.8660254037844386];
    const FIFTHS: [[f64; 2]; 2] =
        [[0.30901699437494745, 0.9510565162951535], [-0.8090169943749475, 0.5877852522924731]];
    const SEVENTHS: [[f64; 2]; 3] = [
        [0.6234898018587336, 0.7818314824680298],
        [-0.2225209339563144, 0.9749279121818236],
        [-0.9009688679024191, 0.4338837391175581],
    ];
    let low = if 2 * k > r { r - k } else { k };
    let [c, s] = match r {
        3 => THIRD,
        5 => FIFTHS[low - 1],
        _ => SEVENTHS[low - 1],
    };
    if 2 * k > r { [c, -s] } else { [c, s] }
}

/// Returns the complex product a · b in each lane.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`]).
#[inline(always)]
pub(super) unsafe fn product<S: RealLanes>(
    a: (S::Vector, S::Vector),
    b: (S::Vector, S::Vector),
) -> (S::Vector, S::Vector) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        let re = S::subtract(S::multiply(a.0, b.0), S::multiply(a.1, b.1));
        (re, add::<S>(S::multiply(a.0, b.1), S::multiply(a.1, b.0)))
    }
}

/// The type that implements [`Butterfly`] for each radix, which is the number of inputs of a butterfly.
pub(super) struct Radix;

/// A Fourier transform of `R` complex numbers in each lane.
pub(super) trait Butterfly<const R: usize> {
    /// # Safety
    /// The CPU has the instruction set of `S` (*features*, see [`Register`]).
    unsafe fn apply<S: RealLanes>(x: &mut ComplexLanes<S::Vector, R>);
}

macro_rules! butterfly {
    ($($r:literal |$x:ident| $f:expr;)*) => { $(
        impl Butterfly<$r> for Radix {
            #[inline(always)]
            unsafe fn apply<S: RealLanes>($x: &mut ComplexLanes<S::Vector, $r>) {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $f }
            }
        }
    )* };
}
butterfly! {
    2 |x| two::<S>(x);
    3 |x| odd::<S, 3>(x);
    4 |x| four::<S>(x);
    5 |x| odd::<S, 5>(x);
    7 |x| odd::<S, 7>(x);
    8 |x| eight::<S>(x);
}
