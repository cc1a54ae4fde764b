//! Sums that wrapped at 32 bits: a 4K frame of u8, means of large integers; positions and counts in i64.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

on_devices! {

fn a_4k_frame_is_summed_right(d: &Device) {
    let (rows, columns) = (2160, 3840 * 3);
    let frame: Vec<u8> = (0..rows * columns).map(|i| 255 - (i % 7) as u8).collect();
    let total: u64 = frame.iter().map(|v| *v as u64).sum();
    let x = put(d, frame, &[rows, columns]);
    // the total exceeds 2^32
    assert!(total > 1 << 32);
    if !has(d, U64) { return }
    assert_eq!(x.sum(..).item::<u64>().unwrap(), total);
    let rows_of = x.sum(1).to_vec::<u64>().unwrap();
    assert_eq!(rows_of.iter().sum::<u64>(), total);
    assert_eq!(x.sum(0).sum(..).item::<u64>().unwrap(), total);
    let mean = x.mean(..).item::<f32>().unwrap();
    assert_eq!(mean, (total as f64 / (rows * columns) as f64) as f32);
}

fn sums_are_of_64_bits(d: &Device) {
    if !has(d, I64) { return }
    for (t, want) in [(Bool, I64), (I8, I64), (I16, I64), (I32, I64), (I64, I64), (U8, U64), (U16, U64), (U32, U64), (U64, U64)] {
        let x = ones([3, 5], t).to_device(d).unwrap();
        for e in [x.sum(..), x.prod(0), x.sum(keep(1)), zeros([0], t).to_device(d).unwrap().sum(..)] {
            assert_eq!(e.dtype().unwrap(), want, "{t}");
        }
        for e in [x.argmin(0), x.argmax(..), x.count_nonzero(1)] {
            assert_eq!(e.eval().unwrap().dtype(), I64, "{t}");
        }
    }
    same(&put(d, vec![i32::MAX; 5], &[5]).sum(..), &[5 * i32::MAX as i64]);
    same(&put(d, vec![u32::MAX; 5], &[5]).sum(..), &[5 * u32::MAX as u64]);
    same(&put(d, vec![i32::MIN; 6], &[2, 3]).sum(0), &[2 * i32::MIN as i64; 3]);
    same(&put(d, vec![-3i32; 30], &[30]).prod(..), &[3i64.pow(30)]);
    same(&put(d, vec![200u8; 8], &[8]).prod(..), &[200u64.wrapping_pow(8)]);
    // lengths near the limits of splits, rows and columns
    for n in [1usize, 63, 1024, 4097, 70_001, 300_007] {
        let v: Vec<i16> = (0..n).map(|i| ((i * 7919) % 65_536) as u16 as i16).collect();
        let total: i64 = v.iter().map(|v| *v as i64).sum();
        let x = put(d, v.clone(), &[n]);
        same(&x.sum(..), &[total]);
        same(&x.reshape([n, 1]).sum(0), &[total]);
        same(&(x.astype(I32) * 65_536).sum(..), &[total * 65_536]);
        let most = v.iter().max().unwrap();
        let first = v.iter().position(|x| x == most).unwrap();
        same(&x.argmax(..), &[first as i64]);
        same(&x.greater(0).count_nonzero(..), &[v.iter().filter(|x| **x > 0).count() as i64]);
    }
    // a position can be an index, and is narrowed directly
    let x = put(d, vec![3f32, 9.0, 1.0, 4.0, 5.0, 6.0], &[2, 3]);
    same(&x.take(x.argmax(1), 1).diagonal(0), &[9f32, 6.0]);
    for t in [U8, I8, U16, I16, U32, I32, U64, I64] {
        same(&x.take(x.argmax(1).astype(t), 1).diagonal(0), &[9f32, 6.0]);
    }
}

fn products_keep_the_promoted_type(d: &Device) {
    let a = put(d, vec![100i8, 100, -128, 3], &[2, 2]);
    let p = a.matmul(&a).eval().unwrap();
    let wide = [100i32 * 100 - 100 * 128, 100 * 100 + 300, -128 * 100 - 128 * 3, -128 * 100 + 9];
    assert_eq!(p.dtype(), I8);
    same(&p, &wide.map(|v| v as i8));
    same(&a.astype(I32).matmul(a.astype(I32)), &wide);
    same(&(a.matmul(&a) * 1).astype(I32), &wide.map(|v| v as i8 as i32));
    assert_eq!(a.matmul(put(d, vec![2u8; 4], &[2, 2])).eval().unwrap().dtype(), I16);
    let u = put(d, vec![200u16, 400, 500, 600], &[2, 2]);
    same(&u.matmul(&u), &[(40_000u32 + 200_000) as u16, (80_000u32 + 240_000) as u16, (100_000u32 + 300_000) as u16, (200_000u32 + 360_000) as u16]);
    // a bool product is `or` of `and`s
    let t = put(d, vec![true, false, true, false], &[2, 2]);
    same(&t.matmul(&t), &[true, false, true, false]);
    // one product, and at most one kernel for the cast that is stored
    let plan = a.astype(I32).matmul(a.astype(I32)).plan().unwrap();
    assert!(plan.kernels() <= 2, "the cast is done once: {plan}");
}

fn means_of_integers_are_exact_sums(d: &Device) {
    if !has(d, I64) { return }
    // an f32 sum would lose the ones
    let n = 100_000;
    let x = put(d, (0..n).map(|i| if i == 0 { 1 << 30 } else { 1 }).collect::<Vec<i32>>(), &[n]);
    assert_eq!(x.mean(..).item::<f32>().unwrap(), ((1i64 << 30) + n as i64 - 1) as f32 / n as f32);
    // sums beyond 64 bits, positive and negative
    for v in [i64::MAX, i64::MIN, i64::MAX - 1234, -(1 << 62)] {
        let m = put(d, vec![v; 7], &[7]).mean(..).item::<f32>().unwrap();
        assert!((m as f64 / v as f64 - 1.0).abs() < 2f64.powi(-23), "{v}: {m}");
        // v and !v cancel except for −1
        let m = put(d, vec![v, v, !v, !v, 7, -2], &[6]).mean(..).item::<f32>().unwrap();
        assert_eq!(m, 3.0 / 6.0, "{v}");
    }
    let m = put(d, vec![u64::MAX; 9], &[3, 3]).mean(keep(0));
    assert_eq!(m.shape().unwrap(), [1, 3]);
    assert!(m.to_vec::<f32>().unwrap().iter().all(|m| (*m as f64 / 2f64.powi(64) - 1.0).abs() < 2f64.powi(-23)));
    same(&put(d, vec![true, true, false, true], &[4]).mean(..), &[0.75f32]);
    same(&put(d, vec![3u8, 4], &[2]).mean(0), &[3.5f32]);
    assert!(zeros([0], I32).to_device(d).unwrap().mean(..).item::<f32>().unwrap().is_nan());
    assert!(zeros([0], U64).to_device(d).unwrap().mean(..).item::<f32>().unwrap().is_nan());
    assert_eq!(put(d, vec![1u8, 2], &[2]).mean(..).plan().unwrap().kernels(), 1);
    assert_eq!(put(d, vec![1i64, 2], &[2]).mean(..).plan().unwrap().kernels(), 1);
    if has(d, F64) {
        let x = put(d, vec![1u8, 2, 4], &[3]);
        let e = x.astype(F64).mean(..);
        assert_eq!(e.plan().unwrap().kernels(), 1);
        same(&e, &[7.0f64 / 3.0]);
    }
}
}
