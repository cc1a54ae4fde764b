//! Tests for faults that no other quick test finds: each fails if its fault in `src/base/mutants.rs` is switched on.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The promotion table of the Array API, with this library's f16 and bf16; the order is that of `DType::ALL`.
const PROMOTION: &str = "
bool bool u8   i8   u16  i16  u32  i32  u64  i64  f16  bf16 f32  f64
u8   u8   u8   i16  u16  i16  u32  i32  u64  i64  f16  bf16 f32  f64
i8   i8   i16  i8   i32  i16  i64  i32  -    i64  f16  bf16 f32  f64
u16  u16  u16  i32  u16  i32  u32  i32  u64  i64  f16  bf16 f32  f64
i16  i16  i16  i16  i32  i16  i64  i32  -    i64  f16  bf16 f32  f64
u32  u32  u32  i64  u32  i64  u32  i64  u64  i64  f16  bf16 f32  f64
i32  i32  i32  i32  i32  i32  i64  i32  -    i64  f16  bf16 f32  f64
u64  u64  u64  -    u64  -    u64  -    u64  -    f16  bf16 f32  f64
i64  i64  i64  i64  i64  i64  i64  i64  -    i64  f16  bf16 f32  f64
f16  f16  f16  f16  f16  f16  f16  f16  f16  f16  f16  f32  f32  f64
bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 f32  bf16 f32  f64
f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f64
f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
";

#[test]
fn promotion_is_the_written_table() {
    let all = [Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64];
    let mut seen = 0;
    for (a, line) in all.iter().zip(PROMOTION.trim().lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], a.name());
        for (b, want) in all.iter().zip(&words[1..]) {
            let have = a.promote(*b).map_or("-", |d| d.name());
            assert_eq!(have, *want, "{a} with {b}");
            // an expression must have the same dtype
            let (x, y) = (zeros([1], *a), zeros([1], *b));
            let sum = x.maximum(&y).dtype();
            assert_eq!(sum.map_or("-", |d| d.name()), *want, "maximum of {a} and {b}");
            seen += 1;
        }
    }
    assert_eq!(seen, 13 * 13);
}

/// Partial results of f16 sums are kept in f32, because 2048 + 63 is not an f16.
#[test]
fn half_partial_sums_are_not_rounded() {
    let d = testing::shrunk_cpu().unwrap();
    for n in [1000usize, 4096, 5000] {
        let mut v = vec![f16::ONE; n];
        (v[0], v[n - 1]) = (f16::from_f32(2048.0), f16::from_f32(-2048.0));
        for rows in [1, 2] {
            let x = put(&d, v.repeat(rows), &[rows, n]);
            same(&x.sum(1), &vec![f16::from_f32((n - 2) as f32); rows]);
        }
    }
}

on_devices! {

fn partial_sums_of_halves_are_kept_in_f32(d: &Device) {
    // a GPU splits rows above 4,096 elements and columns above 256; the first part's sum is 2048 + 1
    for n in [600usize, 4200, 8192, 100_000] {
        let mut v = vec![f16::ZERO; n];
        (v[0], v[1], v[n - 1]) = (f16::from_f32(2048.0), f16::ONE, f16::from_f32(-2048.0));
        same(&put(d, v.clone(), &[1, n]).sum(1), &[f16::ONE]);
        let columns: Vec<f16> = v.iter().flat_map(|x| [*x; 3]).collect();
        same(&put(d, columns, &[n, 3]).sum(0), &[f16::ONE; 3]);
    }
}

fn a_nan_reaches_minimum_and_maximum(d: &Device) {
    let (x, y) = (put(d, f(&[f64::NAN, 1.0, 2.0]), &[3]), put(d, f(&[1.0, f64::NAN, 3.0]), &[3]));
    same(&x.minimum(&y), &f(&[f64::NAN, f64::NAN, 2.0]));
    same(&x.maximum(&y), &f(&[f64::NAN, f64::NAN, 3.0]));
    same(&x.min(..), &f(&[f64::NAN]));
    same(&y.max(..), &f(&[f64::NAN]));
}

fn reductions_start_at_nothing(d: &Device) {
    for n in [1usize, 3, 17, 100, 1000, 5000, 100_000] {
        let falling = put(d, (0..n).map(|i| -1.0 - (i % 1000) as f32).collect::<Vec<_>>(), &[n]);
        same(&falling.max(..), &[-1f32]);
        same(&(-&falling).min(..), &[1f32]);
        same(&falling.astype(I32).max(..), &[-1i32]);
        same(&falling.reshape([1, n]).max(1), &[-1f32]);
        same(&falling.reshape([n, 1]).max(0), &[-1f32]);
        same(&(-&falling).astype(I32).min(..), &[1i32]);
        same(&falling.sign().abs().prod(..), &[1f32]);
        same(&falling.less(0).all(..), &[true]);
    }
}

fn blocks_in_use_are_not_handed_out(d: &Device) {
    let d = &own(d);
    let n = 100_000;
    // one freed block, then three arrays that exist at the same time
    drop(put(d, vec![7f32; n], &[n]));
    let all: Vec<Array> = (0..3).map(|i| put(d, vec![i as f32; n], &[n])).collect();
    let made: Vec<Array> = all.iter().map(|x| (x + 10.0).eval().unwrap()).collect();
    for (i, (x, y)) in all.iter().zip(&made).enumerate() {
        same(x, &vec![i as f32; n]);
        same(y, &vec![i as f32 + 10.0; n]);
    }
}

fn take_out_of_range_is_an_error(d: &Device) {
    let d = &own(d);
    let x = put(d, vec![1i32, 2, 3], &[3]);
    for i in [3, 4, -4, i32::MAX, i32::MIN] {
        let taken = x.take(put(d, vec![0, i], &[2]), 0).to_vec::<i32>();
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::Index, "{i}");
    }
    same(&x.take(put(d, vec![2, -3], &[2]), 0), &[3, 1]);
}

fn temporaries_live_until_their_last_reader(d: &Device) {
    // four different column sums that are all needed until the end
    let x = put(d, (0..600).map(|i| (i % 13) as f32).collect::<Vec<_>>(), &[60, 10]);
    let parts: Vec<Expr> = (1..=4).map(|k| (&x * k as f64).sum(keep(0)) + k as f64).collect();
    let joined = parts.iter().fold(&x * 0.0, |all, p| all + (&x - p) * (&x + p));
    let stepwise = {
        let parts: Vec<Array> = parts.iter().map(|p| p.eval().unwrap()).collect();
        let mut all = (&x * 0.0).eval().unwrap();
        for p in &parts {
            all = (&all + (&x - p) * (&x + p)).eval().unwrap();
        }
        all
    };
    same(&joined, &stepwise.to_vec::<f32>().unwrap());
    // a chain in which each result is read again two steps later
    let w = put(d, (0..100).map(|i| (i % 7) as f32 - 3.0).collect::<Vec<_>>(), &[10, 10]);
    let (mut e, mut before) = (x.matmul(&w), x.slice(s![..]));
    let (mut a, mut b) = (e.eval().unwrap(), x.clone());
    for _ in 0..4 {
        let next = (&e * 0.125).matmul(&w) + &before;
        (before, e) = (e, next);
        let next = ((&a * 0.125).matmul(&w) + &b).eval().unwrap();
        (b, a) = (a, next);
    }
    near(&e, &a.to_vec::<f32>().unwrap().iter().map(|v| *v as f64).collect::<Vec<_>>(), |v| v.abs() * 1e-4 + 1e-2);
}

fn equal_but_for_dtype_are_two(d: &Device) {
    let x = put(d, vec![300i32, -1, 70_000], &[3]);
    let all = eval_all([&x.astype(U8), &x.astype(I16), &x.astype(I8)]).unwrap();
    same(&all[0], &[44u8, 255, 112]);
    same(&all[1], &[300i16, -1, 4464]);
    same(&all[2], &[44i8, -1, 112]);
    // the same expression for arrays that differ only in dtype
    for _ in 0..2 {
        same(&(put(d, vec![200u8, 100], &[2]) + 100), &[44u8, 200]);
        same(&(put(d, vec![100i8, 27], &[2]) + 100), &[-56i8, 127]);
    }
}

fn all_lanes_of_a_reduction_count(d: &Device) {
    for (rows, n) in [(1usize, 100_000usize), (7, 4096), (64, 1000), (300, 257)] {
        let x = put(d, (0..rows * n).map(|i| (i % 1009) as i32).collect::<Vec<_>>(), &[rows, n]);
        let want: Vec<i64> = (0..rows).map(|r| (0..n).map(|i| ((r * n + i) % 1009) as i64).sum()).collect();
        for _ in 0..5 {
            same(&x.sum(1), &want);
        }
    }
}

}
