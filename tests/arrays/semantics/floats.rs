//! Floats: where halves round, minimum and maximum with NaN and zeros, identities, remainders, neighbours, copied bits.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

pub fn where_half_precision_rounds(d: &Device) {
    let h = |v: f32| f16::from_f32(v);
    let x = put(d, vec![h(2048.0), h(0.1)], &[2]);
    // inside a kernel f16 stays f32: 2048 + 1 is not lost before the subtraction
    let r = ((&x + 1.0) - 2048.0).to_vec::<f16>().unwrap();
    assert!(r[0] == h(1.0) || r[0] == h(0.0));
    // an explicit astype rounds, also to the type it has
    same(&((&x + 1.0).astype(F16) - 2048.0).slice(s![0]), &[h(0.0)]);
    same(&((&x + 1.0).astype(F16).astype(F32) - 2048.0).slice(s![0]), &[0f32]);
    // comparisons, casts to integers and the like round first
    same(&(&x + 1.0).greater(2048.0).slice(s![0]), &[false]);
    same(&(&x + 1.0).equal(2048.0).slice(s![0]), &[true]);
    same(&(&x + 1.0).astype(I32).slice(s![0]), &[2048i32]);
    let big = put(d, vec![h(65504.0)], &[1]);
    same(&(&big + 100.0).isinf(), &[true]);
    same(&(&big + 100.0).isfinite(), &[false]);
    same(&(&big + 10.0).isinf(), &[false]);
    same(&(&x + 1.0).argmax(..), &[0i64]);
    same(&concat([&(&x + 1.0).slice(s![0]).reshape([1]), &(&x * 1.0).slice(s![..1])], 0).argmax(..), &[0i64]);
    let t = put(d, vec![h(2048.0), h(2048.0)], &[2]) + put(d, vec![h(0.0), h(1.0)], &[2]);
    same(&t.argmax(..), &[0i64]);
    let b = put(d, vec![bf16::from_f32(256.0)], &[1]);
    same(&(&b + 1.0).equal(256.0), &[true]);
    same(&((&b + 1.0).astype(BF16) - 256.0), &[bf16::from_f32(0.0)]);
    // sums accumulate in f32
    same(&ones([4096], F16).to_device(d).unwrap().sum(..), &[h(4096.0)]);
    same(&ones([4096, 3], F16).to_device(d).unwrap().sum(0), &[h(4096.0); 3]);
    same(&ones([3, 4096], BF16).to_device(d).unwrap().sum(1), &[bf16::from_f32(4096.0); 3]);
    same(&ones([5000], F16).to_device(d).unwrap().mean(..), &[h(1.0)]);
    same(&(ones([70000], F16).to_device(d).unwrap() * 2.0).mean(..), &[h(2.0)]);
    same(&ones([100, 4096], F16).to_device(d).unwrap().matmul(ones([4096], F16)), &[h(4096.0); 100]);
    let p = put(d, vec![h(1.0); 4096], &[4096]).softmax(..);
    let s: f32 = p.to_vec::<f16>().unwrap().iter().map(|v| v.to_f32()).sum();
    assert!((s - 1.0).abs() < 1e-3, "{s}");
}

pub fn clip_and_extrema(d: &Device) {
    let x = put(d, vec![-5f32, 0.0, 5.0, f32::NAN], &[4]);
    same(&x.clip(-1, 1), &[-1f32, 0.0, 1.0, f32::NAN]);
    same(&x.clip(2.0, 1.0), &[1f32, 1.0, 1.0, f32::NAN]);
    same(&x.clip(f64::NAN, 1.0), &[f32::NAN; 4]);
    same(&x.clip(-1.0, f64::NAN), &[f32::NAN; 4]);
    same(&put(d, vec![-5i32, 0, 5], &[3]).clip(3, 1), &[1i32; 3]);
    same(&put(d, vec![-5i32, 0, 5], &[3]).clip(-1, put(d, vec![0i32, 1, 2], &[3])), &[-1i32, 0, 2]);
    same(&put(d, vec![0u8, 5, 255], &[3]).clip(1, 250), &[1u8, 5, 250]);
    let z = put(d, vec![-0.0f32, 0.0, -0.0, 0.0], &[4]);
    let w = put(d, vec![0.0f32, -0.0, -0.0, 0.0], &[4]);
    same(&minimum(&z, &w), &[-0.0f32, -0.0, -0.0, 0.0]);
    same(&maximum(&z, &w), &[0.0f32, 0.0, -0.0, 0.0]);
    same(&minimum(&z, 0.0), &[-0.0f32, 0.0, -0.0, 0.0]);
    let n = put(d, vec![f32::NAN, 1.0, f32::NAN], &[3]);
    let m = put(d, vec![1.0f32, f32::NAN, f32::NAN], &[3]);
    same(&minimum(&n, &m), &[f32::NAN; 3]);
    same(&maximum(&n, &m), &[f32::NAN; 3]);
    same(&fmin(&n, &m), &[1.0f32, 1.0, f32::NAN]);
    same(&fmax(&n, &m), &[1.0f32, 1.0, f32::NAN]);
    same(&put(d, vec![0.0f32, -0.0], &[2]).min(0), &[-0.0f32]);
    same(&put(d, vec![-0.0f32, 0.0], &[2]).max(0), &[0.0f32]);
    same(&put(d, vec![-0.0f32; 100], &[100]).max(0), &[-0.0f32]);
    same(&put(d, vec![f32::NEG_INFINITY; 100], &[100]).max(0), &[f32::NEG_INFINITY]);
    same(&put(d, vec![f32::INFINITY; 100], &[100]).min(0), &[f32::INFINITY]);
    same(&put(d, vec![i32::MIN; 100], &[100]).max(0), &[i32::MIN]);
    same(&put(d, vec![i8::MIN; 100], &[100]).max(0), &[i8::MIN]);
    same(&put(d, vec![f16::NEG_INFINITY; 100], &[100]).max(0), &[f16::NEG_INFINITY]);
    same(&put(d, vec![-40000f32; 70], &[70]).max(0), &[-40000f32]);
    same(&put(d, vec![0.0f32, -0.0, 1.5, -2.0], &[4]).sign(), &[0.0f32, 0.0, 1.0, -1.0]);
}

pub fn identities_stay_exact(d: &Device) {
    let x = put(d, vec![f32::NAN, f32::INFINITY, -0.0, 1.0], &[4]);
    same(&(&x * 0.0), &[f32::NAN, f32::NAN, -0.0, 0.0]);
    same(&(&x + 0.0), &[f32::NAN, f32::INFINITY, 0.0, 1.0]);
    same(&(&x - 0.0), &[f32::NAN, f32::INFINITY, -0.0, 1.0]);
    same(&(0.0 - &x), &[f32::NAN, f32::NEG_INFINITY, 0.0, -1.0]);
    same(&(-&x), &[f32::NAN, f32::NEG_INFINITY, 0.0, -1.0]);
    same(&(&x - &x), &[f32::NAN, f32::NAN, 0.0, 0.0]);
    same(&(&x / &x), &[f32::NAN, f32::NAN, f32::NAN, 1.0]);
    same(&(&x * 1.0), &[f32::NAN, f32::INFINITY, -0.0, 1.0]);
    same(&x.equal(&x), &[false, true, true, true]);
    same(&(&x * 0.0).isnan(), &[true, true, false, false]);
    same(&x.signbit().slice(s![1..]), &[false, true, false]);
    same(&pow(&x, 0), &[1f32; 4]);
    same(&x.round(), &[f32::NAN, f32::INFINITY, -0.0, 1.0]);
    same(&put(d, vec![0.5f32, 1.5, 2.5, -0.5, -1.5, 0.49999997], &[6]).round(), &[0.0f32, 2.0, 2.0, -0.0, -2.0, 0.0]);
    same(&(put(d, vec![-0.0f32], &[1]).sum(0)).equal(0.0), &[true]);
}

pub fn float_remainders(d: &Device) {
    let a = [5.5f32, -5.5, 5.5, -5.5, 0.0, -0.0, 1.0, f32::INFINITY, 1.0, -1.0, 3.4e38, 1e-40];
    let b = [2.0f32, 2.0, -2.0, -2.0, 3.0, 3.0, 0.0, 2.0, f32::INFINITY, f32::INFINITY, 0.7, 3e-41];
    let n = a.len();
    let (x, y) = (put(d, a, &[n]), put(d, b, &[n]));
    let mut fm = [0f32; 12];
    let mut rm = [0f32; 12];
    for i in 0..n {
        let m = (a[i] as f64 % b[i] as f64) as f32; // exact
        fm[i] = m;
        rm[i] = if m == 0.0 {
            0f32.copysign(b[i])
        } else if (m < 0.0) != (b[i] < 0.0) {
            (m as f64 + b[i] as f64) as f32
        } else {
            m
        };
    }
    same(&fmod(&x, &y), &fm);
    rm[6] = f32::NAN;
    rm[7] = f32::NAN;
    same(&(&x % &y), &rm);
    // NumPy: floor_divide(1, 0) = inf, (inf, 2) = nan, (-1, inf) = -1
    same(
        &floor_divide(&x, &y).slice(s![..10]),
        &[2f32, -3.0, -3.0, 2.0, 0.0, -0.0, f32::INFINITY, f32::NAN, 0.0, -1.0],
    );
    same(&floor_divide(put(d, vec![1f32], &[1]), 0.1), &[9f32]);
}

pub fn nextafter_steps_in_its_own_type(d: &Device) {
    same(&nextafter(put(d, vec![1f32, 0.0], &[2]), 2.0), &[f32::from_bits(0x3f80_0001), f32::from_bits(1)]);
    same(&nextafter(put(d, vec![f16::from_f32(1.0)], &[1]), 2.0), &[f16::from_bits(0x3c01)]);
    same(&nextafter(put(d, vec![bf16::from_f32(1.0)], &[1]), 0.0), &[bf16::from_bits(0x3f7f)]);
    if !d.is_gpu() {
        same(&nextafter(put(d, vec![1f64], &[1]), 2.0), &[f64::from_bits(1f64.to_bits() + 1)]);
    }
    assert!(nextafter(put(d, vec![1i32], &[1]), 2).eval().is_err());
}

pub fn copies_keep_every_bit(d: &Device) {
    let bits = [0x7fc0_0001u32, 0xffc1_2345, 0x7f80_0001, 0x8000_0000, 1, 0x807f_ffff, 0x7f80_0000, 0x3f80_0000];
    let x = put(d, bits.map(f32::from_bits), &[2, 4]);
    let raw = |e: &Expr| e.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(raw(&x), bits);
    let t: Vec<u32> = (0..4).flat_map(|j| [bits[j], bits[4 + j]]).collect();
    assert_eq!(raw(&x.t()), t);
    assert_eq!(raw(&x.t().reshape([8])), t);
    assert_eq!(raw(&concat([&x, &x], 0))[8..], bits);
    assert_eq!(raw(&select(true, &x, 0.0)), bits);
    assert_eq!(raw(&select(put(d, vec![true, false, true, false], &[4]), &x, &x)), bits);
    assert_eq!(raw(&x.broadcast_to([2, 2, 4]))[8..], bits);
    assert_eq!(raw(&x.flip(..)), bits.iter().rev().copied().collect::<Vec<_>>());
    let h = [0x7c01u16, 0xfe12, 0x8000, 0x0001, 0x7c00, 0x3c00];
    let y = put(d, h.map(f16::from_bits), &[3, 2]);
    let raw16 = |e: &Expr| e.to_vec::<f16>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(raw16(&y.t()), [0x7c01, 0x8000, 0x7c00, 0xfe12, 0x0001, 0x3c00]);
    assert_eq!(raw16(&y.t().reshape([6])), [0x7c01, 0x8000, 0x7c00, 0xfe12, 0x0001, 0x3c00]);
    assert_eq!(raw16(&concat([&y, &y], 0))[6..], h);
    let z = put(d, h.map(bf16::from_bits), &[6]);
    assert_eq!(
        z.flip(0).to_vec::<bf16>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>(),
        h.iter().rev().copied().collect::<Vec<_>>()
    );
    if has(d, F64) {
        let w = [0x7ff0_0000_0000_0001u64, 0xfff8_1234_5678_9abc, 1, 1 << 63];
        let v = put(d, w.map(f64::from_bits), &[4]).flip(0).to_vec::<f64>().unwrap();
        assert_eq!(v.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [w[3], w[2], w[1], w[0]]);
    }
}
