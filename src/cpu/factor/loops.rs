//! The inner loops of factorisations, written once for the vectors of every instruction set. Products are rounded
//! before they are added, and additions have a fixed order, so all instruction sets compute the same bits.

// one index addresses several arrays in these loops, so iterators would not be simpler
#![allow(clippy::needless_range_loop)]

use super::chains::{RotationChains, rotate};
use super::{Four, StripRow as Row};
use crate::cpu::fft::FloatLanes;
use crate::cpu::matmul::plain::Plain;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::math::simd::{Isa, isa};

/// The type of the loop that [`FactorLoops::update`] calls.
type Update = unsafe fn(&mut [f64], [&[f64]; 2], [f64; 2], (f64, &mut [f64]), &[f64]) -> f64;

/// The loops for one instruction set. The methods check the lengths of slices, and [`loops`] returns only loops for an
/// instruction set that the CPU has.
pub(in crate::cpu) struct FactorLoops {
    reflect: unsafe fn(&mut [Row], &[Four], &[Four; 4], usize),
    rotate: unsafe fn(&mut [Row], &RotationChains),
    update: Update,
    dot: unsafe fn(&[f64], &[f64]) -> f64,
}

impl FactorLoops {
    /// Subtracts V·(t·(Vᵀ·C)) from C, which is the columns of a strip of a matrix. `v` has the rows of V. The first
    /// `from` columns of the strip are left unchanged.
    pub fn reflect(&self, strip: &mut [Row], v: &[Four], t: &[Four; 4], from: usize) {
        // SAFETY: `loops` has chosen functions that the machine can run.
        unsafe { (self.reflect)(strip, v, t, from) }
    }

    /// Applies rotations one after another to the rows of a strip. Does nothing if the strip has too few rows.
    pub fn rotate(&self, strip: &mut [Row], rotations: &RotationChains) {
        if rotations.rows() <= strip.len() {
            // SAFETY: `loops` has chosen functions that the machine can run, and all rows are inside the strip.
            unsafe { (self.rotate)(strip, rotations) }
        }
    }

    /// With `of` = [x, y] and `by` = [a, b], subtracts a·x + b·y from `row`. Then adds `factor` times the new row to
    /// `sums`, and returns the scalar product of the new row and `v`. All slices must be at least as long as `row`.
    pub fn update(
        &self,
        row: &mut [f64],
        of: [&[f64]; 2],
        by: [f64; 2],
        (factor, sums): (f64, &mut [f64]),
        v: &[f64],
    ) -> f64 {
        let n = row.len();
        // SAFETY: `loops` has chosen functions that the machine can run; the slices have `n` elements.
        unsafe { (self.update)(row, of.map(|x| &x[..n]), by, (factor, &mut sums[..n]), &v[..n]) }
    }

    /// Returns the scalar product of two vectors. `b` must be at least as long as `a`.
    pub fn dot(&self, a: &[f64], b: &[f64]) -> f64 {
        // SAFETY: `loops` has chosen functions that the machine can run; the slices have the same length.
        unsafe { (self.dot)(a, &b[..a.len()]) }
    }
}

/// The number of partial sums in which a scalar product is computed.
const SUMS: usize = 8;

/// Returns the sum of the partial sums of a scalar product.
#[inline(always)]
fn total(sums: [f64; SUMS]) -> f64 {
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

/// Implements [`FactorLoops::reflect`] with the vectors `S`.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`](crate::cpu::matmul::lanes::Register)).
#[inline(always)]
unsafe fn reflect<S: FloatLanes<Element = f64>>(strip: &mut [Row], v: &[Four], t: &[Four; 4], from: usize) {
    let n = strip.len().min(v.len());
    let (v, strip) = (&v[..n], &mut strip[..n]);
    for first in (0..super::WIDTH).step_by(2 * S::WIDTH) {
        // SAFETY: the caller ensures that the CPU has the instruction set (*features*); the lanes `first` to `first + 2
        // · WIDTH` of each row exist. There are no closures, because they might not be compiled for the instruction
        // set.
        unsafe {
            let mut w = [[S::zero(); 2]; 4];
            for (row, v) in strip.iter().zip(v) {
                let p = row.as_ptr().add(first);
                let (x, y) = (S::load(p), S::load(p.add(S::WIDTH)));
                for k in 0..4 {
                    let factor = S::splat(v[k]);
                    w[k][0] = S::add(w[k][0], S::multiply(factor, x));
                    w[k][1] = S::add(w[k][1], S::multiply(factor, y));
                }
            }
            let mut u = [[S::zero(); 2]; 4];
            for k in 0..4 {
                for h in 0..2 {
                    let low = S::add(S::multiply(S::splat(t[k][0]), w[0][h]), S::multiply(S::splat(t[k][1]), w[1][h]));
                    let high = S::add(S::multiply(S::splat(t[k][2]), w[2][h]), S::multiply(S::splat(t[k][3]), w[3][h]));
                    let mut lanes = [0.0; super::WIDTH];
                    S::store(lanes.as_mut_ptr(), S::add(low, high));
                    let unchanged = from.saturating_sub(first + h * S::WIDTH).min(S::WIDTH);
                    lanes[..unchanged].fill(0.0);
                    u[k][h] = S::load(lanes.as_ptr());
                }
            }
            for (row, v) in strip.iter_mut().zip(v) {
                let p = row.as_mut_ptr().add(first);
                let (mut x, mut y) = (S::load(p), S::load(p.add(S::WIDTH)));
                for k in 0..4 {
                    let factor = S::splat(v[k]);
                    x = S::subtract(x, S::multiply(factor, u[k][0]));
                    y = S::subtract(y, S::multiply(factor, u[k][1]));
                }
                S::store(p, x);
                S::store(p.add(S::WIDTH), y);
            }
        }
    }
}

/// Implements [`FactorLoops::update`] with the vectors `S`.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`](crate::cpu::matmul::lanes::Register)), and all
/// slices have as many elements as the row.
#[inline(always)]
unsafe fn update<S: FloatLanes<Element = f64>>(
    row: &mut [f64],
    [x, y]: [&[f64]; 2],
    [a, b]: [f64; 2],
    (factor, sums): (f64, &mut [f64]),
    v: &[f64],
) -> f64 {
    let n = row.len();
    let whole = n / SUMS * SUMS;
    let mut partial = [0.0; SUMS];
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*); the elements below `whole` exist in
    // all slices.
    unsafe {
        let mut lanes = [S::zero(); SUMS / 2];
        let (va, vb, vf) = (S::splat(a), S::splat(b), S::splat(factor));
        let mut first = 0;
        while first < whole {
            for i in 0..SUMS / S::WIDTH {
                let at = first + i * S::WIDTH;
                let left = S::multiply(va, S::load(x.as_ptr().add(at)));
                let right = S::multiply(vb, S::load(y.as_ptr().add(at)));
                let new = S::subtract(S::load(row.as_ptr().add(at)), S::add(left, right));
                S::store(row.as_mut_ptr().add(at), new);
                let sum = S::add(S::load(sums.as_ptr().add(at)), S::multiply(vf, new));
                S::store(sums.as_mut_ptr().add(at), sum);
                lanes[i] = S::add(lanes[i], S::multiply(new, S::load(v.as_ptr().add(at))));
            }
            first += SUMS;
        }
        for i in 0..SUMS / S::WIDTH {
            S::store(partial.as_mut_ptr().add(i * S::WIDTH), lanes[i]);
        }
    }
    for at in whole..n {
        row[at] -= a * x[at] + b * y[at];
        sums[at] += factor * row[at];
        partial[at - whole] += row[at] * v[at];
    }
    total(partial)
}

/// Implements [`FactorLoops::dot`] with the vectors `S`.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`](crate::cpu::matmul::lanes::Register)), and both
/// slices have the same length.
#[inline(always)]
unsafe fn dot<S: FloatLanes<Element = f64>>(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len();
    let whole = n / SUMS * SUMS;
    let mut partial = [0.0; SUMS];
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*); the elements below `whole` exist in
    // both slices.
    unsafe {
        let mut lanes = [S::zero(); SUMS / 2];
        let mut first = 0;
        while first < whole {
            for i in 0..SUMS / S::WIDTH {
                let at = first + i * S::WIDTH;
                let product = S::multiply(S::load(a.as_ptr().add(at)), S::load(b.as_ptr().add(at)));
                lanes[i] = S::add(lanes[i], product);
            }
            first += SUMS;
        }
        for i in 0..SUMS / S::WIDTH {
            S::store(partial.as_mut_ptr().add(i * S::WIDTH), lanes[i]);
        }
    }
    for at in whole..n {
        partial[at - whole] += a[at] * b[at];
    }
    total(partial)
}

macro_rules! set {
    ($name:ident, $lanes:ty $(, $features:literal)?) => {
        static $name: FactorLoops = {
            /// # Safety
            /// The CPU has the instruction set of the vectors `$lanes`.
            $(#[target_feature(enable = $features)])?
            unsafe fn own_reflect(strip: &mut [Row], v: &[Four], t: &[Four; 4], from: usize) {
                // SAFETY: the caller ensures the conditions of the called function.
                unsafe { reflect::<$lanes>(strip, v, t, from) }
            }
            /// # Safety
            /// The CPU has the instruction set of the vectors `$lanes`, and the strip has all rows that the rotations
            /// name.
            $(#[target_feature(enable = $features)])?
            unsafe fn own_rotate(strip: &mut [Row], rotations: &RotationChains) {
                // SAFETY: the caller ensures the conditions of the called function.
                unsafe { rotate::<$lanes>(strip, rotations) }
            }
            /// # Safety
            /// The CPU has the instruction set of the vectors `$lanes`, and all slices have as many elements as `row`.
            $(#[target_feature(enable = $features)])?
            unsafe fn own_update(
                row: &mut [f64],
                of: [&[f64]; 2],
                by: [f64; 2],
                sums: (f64, &mut [f64]),
                v: &[f64],
            ) -> f64 {
                // SAFETY: the caller ensures the conditions of the called function.
                unsafe { update::<$lanes>(row, of, by, sums, v) }
            }
            /// # Safety
            /// The CPU has the instruction set of the vectors `$lanes`, and both slices have the same length.
            $(#[target_feature(enable = $features)])?
            unsafe fn own_dot(a: &[f64], b: &[f64]) -> f64 {
                // SAFETY: the caller ensures the conditions of the called function.
                unsafe { dot::<$lanes>(a, b) }
            }
            FactorLoops { reflect: own_reflect, rotate: own_rotate, update: own_update, dot: own_dot }
        };
    };
}
set!(PLAIN, Plain<f64, 2>);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::cpu::matmul::lanes::{F64x4, F64x8};
    set!(AVX2, F64x4, "avx2,fma");
    set!(AVX512, F64x8, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
    pub(super) static SETS: [&FactorLoops; 2] = [&AVX2, &AVX512];
}
#[cfg(target_arch = "aarch64")]
mod arm {
    use super::*;
    use crate::cpu::matmul::neon::F64x2;
    set!(NEON, F64x2, "neon");
    pub(super) static SET: &FactorLoops = &NEON;
}

/// Returns the loops for the best instruction set of this machine.
pub(in crate::cpu) fn loops() -> &'static FactorLoops {
    #[cfg(target_arch = "x86_64")]
    match isa() {
        Isa::Avx512 => return x86::SETS[1],
        Isa::Avx2 => return x86::SETS[0],
        Isa::Portable | Isa::Neon => {}
    }
    #[cfg(target_arch = "aarch64")]
    if isa() == Isa::Neon {
        return arm::SET;
    }
    &PLAIN
}
