//! f32 division, reciprocal and square root on a GPU have the CPU's bits if the result is normal, because kernels
//! correct the device's estimates. Tests all pairs of difficult exponents and significands, and random pairs. If the
//! device has f64, also the kernels for devices whose `fma` rounds once.

use crate::kit::{arrays::put, dice::Dice, gpu, own, share::scaled, stage::Stage};
use cupric::{Array, DType, Device, Expr, keep, testing};

/// Significands (without the leading bit) at which a quotient or root is near a midpoint or a power of two.
const HARD: [u32; 14] = [
    0, 1, 2, 3, 0x7f_ffff, 0x7f_fffe, 0x7f_fffd, 0x35_04f2, 0x35_04f3, 0x35_04f4, 0x40_0000, 0x2a_aaaa, 0x2a_aaab,
    0x12_3456,
];

/// Exponents at the limits of f32, at the limits of the range that kernels divide without a branch, and between.
const EXPONENTS: [u32; 22] =
    [0, 1, 2, 3, 23, 24, 64, 65, 66, 126, 127, 128, 189, 190, 191, 192, 230, 251, 252, 253, 254, 255];

/// The GPU, and if it has f64, a device that uses the kernels for an `fma` that rounds once.
fn devices() -> Vec<Device> {
    let Some(gpu) = gpu(1) else { return vec![] };
    let fused = gpu.supports(DType::F64).then(|| testing::gpu_with_fma_in_f64().unwrap());
    [Some(own(&gpu)), fused].into_iter().flatten().collect()
}

fn on(device: &Device, x: &[f32]) -> Array {
    put(device, x, &[x.len()])
}

/// Compares results with the CPU's. A result that is not a normal number may be rounded twice.
fn same(what: &str, got: &Expr, want: impl Fn(usize) -> f32, operands: impl Fn(usize) -> String) -> usize {
    let got = got.to_vec::<f32>().unwrap();
    for (n, g) in got.iter().enumerate() {
        let w = want(n);
        let near = w.is_subnormal() || w == 0.0 || w.abs() == f32::MIN_POSITIVE;
        let is_right = g.to_bits() == w.to_bits()
            || g.is_nan() && w.is_nan()
            || near && g.is_sign_negative() == w.is_sign_negative() && g.to_bits().abs_diff(w.to_bits()) <= 1;
        assert!(is_right, "{what} of {}: {g:e} ({:#x}), not {w:e} ({:#x})", operands(n), g.to_bits(), w.to_bits());
    }
    got.len()
}

fn check(device: &Device, a: &[f32], b: &[f32]) -> usize {
    let [x, y] = [on(device, a), on(device, b)];
    let one = |n: usize| format!("{:#x}", a[n].to_bits());
    same("the quotient", &(&x / &y), |n| a[n] / b[n], |n| format!("{:#x}, {:#x}", a[n].to_bits(), b[n].to_bits()))
        + same("the reciprocal", &x.reciprocal(), |n| 1.0 / a[n], one)
        + same("the root", &x.sqrt(), |n| a[n].sqrt(), one)
}

/// All pairs of the exponents and significands above, with both signs.
fn hard_numbers() -> Vec<f32> {
    let of = |e: u32| HARD.iter().flat_map(move |m| [0, 1 << 31].map(|sign| f32::from_bits(sign | e << 23 | m)));
    EXPONENTS.into_iter().flat_map(of).collect()
}

#[test]
fn hard_quotients_and_roots() {
    for device in devices() {
        let mut stage = Stage::new(5, "quotients and roots: hard operands", &device);
        let numbers = hard_numbers();
        for x in &numbers {
            stage.count(check(&device, &vec![*x; numbers.len()], &numbers));
        }
    }
}

#[test]
fn random_quotients_and_roots() {
    for device in devices() {
        let mut stage = Stage::new(5, "quotients and roots: random operands", &device);
        let mut dice = Dice::new(28);
        for round in 0..scaled(100) {
            let n = 1 << 20;
            // random bits, or exponents near 1, where no quotient overflows or underflows
            let mut numbers = || -> Vec<f32> {
                let near = |bits: u32| bits & 0x807f_ffff | (112 + (bits >> 23) % 32) << 23;
                (0..n)
                    .map(|_| dice.next() as u32)
                    .map(|b| f32::from_bits(if round % 4 == 0 { b } else { near(b) }))
                    .collect()
            };
            let (a, b) = (numbers(), numbers());
            stage.count(check(&device, &a, &b));
        }
    }
}

/// Compares rows of dividends, each divided by one number. The number is the maximum of a row that has no other
/// numbers, so that one row kernel computes the divisor and the quotients.
fn check_rows(device: &Device, dividends: &[f32], divisors: &[f32]) -> usize {
    let shape = [divisors.len(), dividends.len() / divisors.len()];
    let repeated: Vec<f32> = divisors.iter().flat_map(|b| std::iter::repeat_n(*b, shape[1])).collect();
    let [x, y] = [dividends, &repeated].map(|x| put(device, x, &shape));
    let quotients = x / y.max(keep(1));
    let plan = quotients.plan().unwrap();
    assert!(plan.kernels() == 1 && plan.to_string().contains("0: row "), "{plan}");
    let operands = |n: usize| format!("{:#x}, {:#x}", dividends[n].to_bits(), repeated[n].to_bits());
    same("the quotient in a row", &quotients, |n| dividends[n] / repeated[n], operands)
}

#[test]
fn rows_divided_by_one_number() {
    for device in devices() {
        let mut stage = Stage::new(5, "quotients: rows divided by one number", &device);
        let numbers = hard_numbers();
        // rows that consist of whole groups of four, and others
        for length in [numbers.len(), numbers.len() - 1] {
            stage.count(check_rows(&device, &numbers[..length].repeat(numbers.len()), &numbers));
        }
        let mut dice = Dice::new(30);
        for (round, length) in [4, 61, 128, 1000, 4096, 8192].into_iter().enumerate() {
            let rows = (1 << 18) / length;
            // random bits, or exponents near 1
            let near: fn(u32) -> u32 = |bits| bits & 0x807f_ffff | (112 + (bits >> 23) % 32) << 23;
            for limit in [near, |bits| bits] {
                let mut random =
                    |n: usize| -> Vec<f32> { (0..n).map(|_| f32::from_bits(limit(dice.next() as u32))).collect() };
                let (x, mut by) = (random(rows * length), random(rows));
                // a divisor whose reciprocal may be wrong
                by[round] = f32::from_bits(by[round].to_bits() | 0x7f_ffff);
                stage.count(check_rows(&device, &x, &by));
            }
        }
    }
}

#[test]
fn every_root_between_one_and_four() {
    for device in devices() {
        let mut stage = Stage::new(5, "every root between 1 and 4", &device);
        for first in (0x3f80_0000..0x4080_0000u32).step_by(1 << 20) {
            let x: Vec<f32> = (first..first + (1 << 20)).map(f32::from_bits).collect();
            stage.count(same("the root", &on(&device, &x).sqrt(), |n| x[n].sqrt(), |n| x[n].to_string()));
        }
    }
}

/// Dividends and divisors whose quotients are as near as possible to a midpoint of two floats: for significands A and
/// B, the distance of A · 2^s from (2 k + 1) B is `off`.
fn close_to_midpoints(dice: &mut Dice, off: i64) -> [Vec<f32>; 2] {
    let (mut a, mut b) = (vec![], vec![]);
    let float = |m: u64| f32::from_bits(0x3f80_0000 | m as u32 & 0x7f_ffff);
    for _ in 0..1 << 18 {
        let divisor = dice.next() & 0x7f_ffff | 0x80_0001;
        // Newton's iteration; each step doubles the number of correct bits
        let inverse = (0..5).fold(divisor, |x: u64, _| x.wrapping_mul(2u64.wrapping_sub(divisor.wrapping_mul(x))));
        // the quotient is between 1 and 2, or between 1/2 and 1
        for s in [24u32, 25] {
            let odd = inverse.wrapping_mul(off.wrapping_neg() as u64) & ((1 << s) - 1);
            for middle in [odd, odd + (1 << 24)].into_iter().filter(|m| (1 << 24..1 << 25).contains(m)) {
                let dividend = middle as i64 * divisor as i64 + off;
                let whole = dividend >> s;
                if whole << s == dividend && (1 << 23..1 << 24).contains(&whole) {
                    a.push(float(whole as u64));
                    b.push(float(divisor));
                }
            }
        }
    }
    [a, b]
}

#[test]
fn quotients_close_to_midpoints() {
    for device in devices() {
        let mut stage = Stage::new(5, "quotients close to midpoints", &device);
        let mut dice = Dice::new(29);
        for off in [-5, -3, -1, 1, 3, 5] {
            let [a, b] = close_to_midpoints(&mut dice, off);
            assert!(a.len() > 1000, "{} quotients", a.len());
            stage.count(check(&device, &a, &b));
        }
    }
}
