//! What operations mean: types, integers, floats, reductions, products, gathers, generators. Expected values are
//! written by hand from the design, or computed here in f64 or i128.
// x - x and x / x are what floats are tested with
#![allow(clippy::eq_op)]

use crate::kit::*;
use cupric::DType::{self, *};
use cupric::*;

/// The 13 × 13 table of the Array API, with the float rules of the design; `-` is an error. Row and column order:
/// bool u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
const NAMES: [(&str, DType); 13] = [
    ("bool", Bool),
    ("u8", U8),
    ("i8", I8),
    ("u16", U16),
    ("i16", I16),
    ("u32", U32),
    ("i32", I32),
    ("u64", U64),
    ("i64", I64),
    ("f16", F16),
    ("bf16", BF16),
    ("f32", F32),
    ("f64", F64),
];
const TABLE: [&str; 13] = [
    "bool u8   i8   u16  i16  u32  i32  u64  i64  f16  bf16 f32 f64",
    "u8   u8   i16  u16  i16  u32  i32  u64  i64  f16  bf16 f32 f64",
    "i8   i16  i8   i32  i16  i64  i32  -    i64  f16  bf16 f32 f64",
    "u16  u16  i32  u16  i32  u32  i32  u64  i64  f16  bf16 f32 f64",
    "i16  i16  i16  i32  i16  i64  i32  -    i64  f16  bf16 f32 f64",
    "u32  u32  i64  u32  i64  u32  i64  u64  i64  f16  bf16 f32 f64",
    "i32  i32  i32  i32  i32  i64  i32  -    i64  f16  bf16 f32 f64",
    "u64  u64  -    u64  -    u64  -    u64  -    f16  bf16 f32 f64",
    "i64  i64  i64  i64  i64  i64  i64  -    i64  f16  bf16 f32 f64",
    "f16  f16  f16  f16  f16  f16  f16  f16  f16  f16  f32  f32 f64",
    "bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 bf16 f32  bf16 f32 f64",
    "f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32  f32 f64",
    "f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64  f64 f64",
];

fn named(name: &str) -> Option<DType> {
    NAMES.iter().find(|n| n.0 == name).map(|n| n.1)
}

fn one(d: &Device, t: DType) -> Array {
    ones([1], t).to_device(d).unwrap()
}

/// f64 rounded once to a type of `bits` fraction bits and smallest exponent `low` (`half` goes through f32).
fn once(v: f64, bits: i32, low: i32, max: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return v;
    }
    let step = 2f64.powi((v.abs().log2().floor() as i32).max(low) - bits);
    let r = (v / step).round_ties_even() * step;
    if r.abs() > max { f64::INFINITY.copysign(v) } else { r }
}

fn to_f16(v: f64) -> f16 {
    f16::from_f64(once(v, 10, -14, 65504.0))
}

fn to_bf16(v: f64) -> bf16 {
    bf16::from_f64(once(v, 7, -126, 3.3895313892515355e38))
}

/// Types that the device computes in.
fn types(d: &Device) -> Vec<DType> {
    NAMES.iter().map(|n| n.1).filter(|t| has(d, *t)).collect()
}

on_devices! {

fn promotion_of_all_pairs(d: &Device) {
    for (i, row) in TABLE.iter().enumerate() {
        for (j, want) in row.split_whitespace().enumerate() {
            let (a, b) = (NAMES[i].1, NAMES[j].1);
            if !has(d, a) || !has(d, b) {
                continue;
            }
            let want = named(want);
            assert_eq!(a.promote(b), want, "{a} {b}");
            let e = one(d, a) + one(d, b);
            assert_eq!(e.dtype().ok(), want, "{a} + {b}");
            if let Some(w) = want {
                if !has(d, w) { continue }
                let got = e.eval().unwrap();
                assert_eq!(got.dtype(), w);
                assert_eq!(got.device(), *d);
                let two = got.astype(F32).item::<f32>().unwrap();
                assert_eq!(two, if w == Bool { 1.0 } else { 2.0 }, "{a} + {b}");
            } else {
                assert_eq!(e.eval().unwrap_err().kind(), ErrorKind::DType);
            }
            for e in [maximum(one(d, a), one(d, b)), concat([one(d, a), one(d, b)], 0), select(one(d, Bool), one(d, a), one(d, b)),
                      matmul(one(d, a), one(d, b)).reshape([1])] {
                assert_eq!(e.dtype().ok(), want, "{a} {b}");
            }
        }
    }
}

fn division_gives_a_float(d: &Device) {
    for a in types(d) {
        let e = one(d, a) / one(d, a);
        let want = match a { F16 | BF16 | F64 => a, _ => F32 };
        assert_eq!(e.dtype().unwrap(), want, "{a} / {a}");
        assert_eq!(e.astype(F32).to_vec::<f32>().unwrap(), [1.0]);
        for e in [one(d, a).exp(), one(d, a).mean(..), one(d, a).var(..), one(d, a).std(..), one(d, a).softmax(0)] {
            assert_eq!(e.dtype().unwrap(), want, "{a}");
            let v = e.astype(F32).eval();
            assert!(v.is_ok(), "{a}: {v:?}");
        }
    }
}

fn sums_and_products_widen(d: &Device) {
    for (t, want) in [(Bool, I64), (I8, I64), (I16, I64), (I32, I64), (U8, U64), (U16, U64), (U32, U64), (I64, I64), (U64, U64), (F16, F16), (BF16, BF16), (F32, F32), (F64, F64)] {
        if !has(d, t) { continue }
        let x = ones([300], t).to_device(d).unwrap();
        assert_eq!(x.sum(..).dtype().unwrap(), want);
        assert_eq!(x.prod(..).dtype().unwrap(), want);
        let s = x.sum(..).astype(F32).item::<f32>().unwrap();
        assert_eq!(s, 300.0, "{t}");
        assert_eq!(x.count_nonzero(..).item::<i64>().unwrap(), 300);
        assert_eq!(x.max(..).dtype().unwrap(), t);
        assert_eq!(x.argmax(..).dtype().unwrap(), I64);
        assert_eq!(x.argmax(..).item::<i64>().unwrap(), 0, "{t}");
        assert_eq!(x.min(..).astype(F32).item::<f32>().unwrap(), 1.0, "{t}");
        assert!(x.any(..).item::<bool>().unwrap());
        assert!(x.all(..).item::<bool>().unwrap());
    }
    same(&put(d, vec![200u8; 300], &[300]).sum(..), &[60_000u64]);
    same(&put(d, vec![-100i8; 300], &[300]).sum(..), &[-30_000i64]);
    same(&put(d, vec![i32::MAX, 1], &[2]).sum(..), &[1i64 << 31]);
}

fn weak_scalars_take_the_arrays_type(d: &Device) {
    for t in types(d) {
        let x = one(d, t);
        let float = if t.is_float() { t } else { F32 };
        assert_eq!((&x * 2.0).dtype().unwrap(), float, "{t} * 2.0");
        assert_eq!((2.0 * &x).dtype().unwrap(), float, "2.0 * {t}");
        assert_eq!((&x * 2.0f32).dtype().unwrap(), float, "{t} * 2f32");
        assert_eq!((&x * f16::from_f32(2.0)).dtype().unwrap(), float);
        let int = if t == Bool { I32 } else { t };
        assert_eq!((&x * 2).dtype().unwrap(), int, "{t} * 2");
        assert_eq!((2 * &x).dtype().unwrap(), int, "2 * {t}");
        assert_eq!((&x + 1u8).dtype().unwrap(), int);
        assert_eq!((&x + 1i64).dtype().unwrap(), int);
        assert_eq!((&x + 1usize).dtype().unwrap(), int);
        assert_eq!((&x + true).dtype().unwrap(), t, "{t} + true");
        assert_eq!((&x * 2).astype(F32).item::<f32>().unwrap(), 2.0);
        assert_eq!((2.0 * &x).astype(F32).item::<f32>().unwrap(), 2.0);
        assert_eq!(x.less(2).dtype().unwrap(), Bool);
        assert!(x.less(2).item::<bool>().unwrap());
        assert!(!x.less(0.5).item::<bool>().unwrap());
    }
    let u = put(d, vec![1u8, 2], &[2]);
    let e = (&u + 300).eval().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Argument);
    assert!(e.to_string().contains("300") && e.to_string().contains("u8"), "{e}");
    assert!((&u - -1).eval().is_err());
    assert!((-1 + &u).eval().is_err());
    assert!((&put(d, vec![1i8], &[1]) * 128).eval().is_err());
    same(&(&put(d, vec![1i8], &[1]) * -128), &[-128i8]);
    assert!((&put(d, vec![1u32], &[1]) + u64::MAX).eval().is_err());
    same(&(put(d, vec![true, false], &[2]) + 1), &[2i32, 1]);
    same(&(put(d, vec![true, false], &[2]) * 2.5), &[2.5f32, 0.0]);
    same(&(put(d, vec![5i32], &[1]) + 1u8), &[6i32]);
    same(&(put(d, vec![4i32], &[1]) * 0.5), &[2f32]);
    same(&(put(d, vec![3u8], &[1]) + true), &[4u8]);
    if has(d, U64) {
        same(&(put(d, vec![0u64], &[1]) + u64::MAX), &[u64::MAX]);
        same(&(put(d, vec![0i64], &[1]) + i64::MIN), &[i64::MIN]);
        same(&(put(d, vec![1u64], &[1]).equal(9_007_199_254_740_993u64)), &[false]);
        same(&(put(d, vec![9_007_199_254_740_993i64], &[1]).equal(9_007_199_254_740_993i64)), &[true]);
        same(&(put(d, vec![9_007_199_254_740_993i64], &[1]) - 9_007_199_254_740_992i64), &[1i64]);
    }
    if has(d, F64) {
        same(&(put(d, vec![0f64], &[1]) + 0.1), &[0.1f64]);
        same(&(put(d, vec![0f64], &[1]) + 0.1f32), &[0.1f32 as f64]);
        same(&(put(d, vec![0f32], &[1]) + 0.1), &[0.1f32]);
    }
    // numbers too
    let z = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
    same(&(put(d, vec![f16::from_f32(0.0)], &[1]) + z), &[to_f16(z)]);
    same(&(put(d, vec![f16::from_f32(1.0)], &[1]) * 65519.999), &[to_f16(65519.999)]);
    // an integer is rounded once to f32: 2^24 + 1 ties to even, 2^53 + 2^29 + 1 does not pass through f64
    same(&(put(d, vec![0f32], &[1]) + 16_777_217i64), &[16_777_216f32]);
    same(&(put(d, vec![0f32], &[1]) + ((1i64 << 60) + (1 << 36) + 1)), &[((1i64 << 60) + (1 << 36) + 1) as f32]);
}

fn expressions_of_numbers_stay_weak(d: &Device) {
    let h = put(d, vec![f16::from_f32(3.0)], &[1]);
    let two = maximum(1.0, 2.0);
    assert_eq!((&h * &two).dtype().unwrap(), F16);
    assert_eq!((&two * &h).dtype().unwrap(), F16);
    assert_eq!(two.dtype().unwrap(), F32);
    same(&maximum(1.0, 2.0), &[2f32]);
    same(&add(1, 2), &[3i32]);
    assert_eq!((put(d, vec![1u8], &[1]) + add(100, 27)).to_vec::<u8>().unwrap(), [128]);
    assert!((put(d, vec![1u8], &[1]) + add(200, 100)).eval().is_err());
    same(&less(-1i64, u64::MAX), &[true]);
    same(&less(u64::MAX, -1i64), &[false]);
    same(&equal(-1i64, u64::MAX), &[false]);
    assert!(minimum(-1i64, u64::MAX).eval().is_err(), "no common type, as between arrays");
    same(&divide(1, 2), &[0.5f32]);
    same(&floor_divide(-7, 2), &[-4i32]);
    same(&select(true, 1, 2), &[1i32]);
    assert!(subtract(true, false).eval().is_err());
    assert!(pow(2, -1).eval().is_err());
    same(&pow(2, 10), &[1024i32]);
    same(&pow(2.0, -1), &[0.5f32]);
}

fn select_types_and_values(d: &Device) {
    let c = put(d, vec![true, false, true], &[3]);
    let a = put(d, vec![1i32, 2, 3], &[3]);
    same(&select(&c, &a, 9), &[1i32, 9, 3]);
    same(&select(&c, 7, &a), &[7i32, 2, 7]);
    same(&select(&c, &a, 0.5), &[1f32, 0.5, 3.0]);
    same(&select(&c, 1, 2), &[1i32, 2, 1]);
    same(&select(&c, 1, 2.5), &[1f32, 2.5, 1.0]);
    same(&select(&c, true, false), &[true, false, true]);
    same(&select(&a - 2, 1, 0), &[1i32, 0, 1]);
    same(&select(true, &a, 0), &[1i32, 2, 3]);
    same(&select(false, &a, 0), &[0i32, 0, 0]);
    same(&select(0, &a, &a + 1), &[2i32, 3, 4]);
    same(&select(f64::NAN, &a, 0), &[1i32, 2, 3]);
    // broadcasting of all three
    let col = put(d, vec![1.5f32, 2.5], &[2, 1]);
    let e = select(&c, &col, &a);
    assert_eq!(e.shape().unwrap(), [2, 3]);
    same(&e, &[1.5f32, 2.0, 1.5, 2.5, 2.0, 2.5]);
    // NaN and infinity in the branch not taken do not leak
    same(&select(&c, &a, f64::NAN).slice(s![0]), &[1f32]);
    // numbers without a common type are an error, not a panic
    let e = select(&c, -1, u64::MAX).eval();
    assert!(e.is_err() || e.unwrap().shape() == [3]);
}

fn comparisons_are_exact_between_integers(d: &Device) {
    let i32s = [i32::MIN, -1, 0, 1, i32::MAX];
    let u32s = [0u32, 1, i32::MAX as u32, 1 << 31, u32::MAX];
    type Cmp = (fn(&Expr, &Expr) -> Expr, fn(i128, i128) -> bool);
    let all: [Cmp; 6] = [
        (|a, b| equal(a, b), |a, b| a == b),
        (|a, b| not_equal(a, b), |a, b| a != b),
        (|a, b| less(a, b), |a, b| a < b),
        (|a, b| less_equal(a, b), |a, b| a <= b),
        (|a, b| greater(a, b), |a, b| a > b),
        (|a, b| greater_equal(a, b), |a, b| a >= b),
    ];
    let check = |x: &Array, xs: &[i128], y: &Array, ys: &[i128]| {
        let (x, y) = (x.expand_dims(1), y.expand_dims(0));
        for (n, (op, want)) in all.iter().enumerate() {
            let w: Vec<bool> = xs.iter().flat_map(|a| ys.iter().map(move |b| want(*a, *b))).collect();
            assert_eq!(op(&x, &y).to_vec::<bool>().unwrap(), w, "op {n} {} {}", x.dtype().unwrap(), y.dtype().unwrap());
            let w: Vec<bool> = ys.iter().flat_map(|a| xs.iter().map(move |b| want(*a, *b))).collect();
            assert_eq!(op(&y.t(), &x.t()).to_vec::<bool>().unwrap(), w, "op {n} swapped");
        }
    };
    let wide = |v: &[i32]| v.iter().map(|x| *x as i128).collect::<Vec<_>>();
    let (iw, uw) = (wide(&i32s), u32s.iter().map(|x| *x as i128).collect::<Vec<_>>());
    let (i, u) = (put(d, i32s, &[5]), put(d, u32s, &[5]));
    check(&i, &iw, &u, &uw);
    let i8s = put(d, vec![-128i8, -1, 0, 127], &[4]);
    check(&i8s, &[-128, -1, 0, 127], &u, &uw);
    let u8s = put(d, vec![0u8, 127, 128, 255], &[4]);
    check(&u8s, &[0, 127, 128, 255], &i8s, &[-128, -1, 0, 127]);
    check(&u8s, &[0, 127, 128, 255], &i, &iw);
    let u16s = put(d, vec![0u16, 32768, 65535], &[3]);
    check(&u16s, &[0, 32768, 65535], &i8s, &[-128, -1, 0, 127]);
    if has(d, I64) {
        let l = [i64::MIN, -1, 0, 1, (1 << 53) + 1, i64::MAX];
        let m = [0u64, 1, (1 << 53) + 1, i64::MAX as u64, 1 << 63, u64::MAX];
        let (lw, mw) = (l.map(|x| x as i128), m.map(|x| x as i128));
        let (l, m) = (put(d, l, &[6]), put(d, m, &[6]));
        check(&l, &lw, &m, &mw);
        check(&l, &lw, &u, &uw);
        check(&i, &iw, &m, &mw);
        check(&u, &uw, &m, &mw);
        check(&i8s, &[-128, -1, 0, 127], &m, &mw);
        check(&i, &iw, &l, &lw);
    }
}

fn comparisons_with_numbers_outside_the_type(d: &Device) {
    let u = put(d, vec![0u8, 255], &[2]);
    let i = put(d, vec![-128i8, 127], &[2]);
    for (e, want) in [
        (u.less(300), true), (u.less(-1), false), (u.greater(300), false), (u.greater(-1), true),
        (u.less_equal(256), true), (u.greater_equal(256), false), (u.equal(256), false), (u.not_equal(-1), true),
        (less(300, &u), false), (greater(300, &u), true), (less(-1, &u), true), (less_equal(-1, &u), true),
        (i.less(200), true), (i.greater(-1000), true), (i.equal(u64::MAX), false), (less(u64::MAX, &i), false),
        (u.less(i64::MAX), true), (u.greater(i64::MIN), true), (equal(-1, &u), false), (not_equal(1e9 as i64, &u), true),
    ] {
        same(&e, &[want, want]);
        assert_eq!(e.eval().unwrap().device(), *d, "a result lives where its operand does");
    }
    let b = put(d, vec![false, true], &[2]);
    same(&b.less(2), &[true, true]);
    same(&b.equal(true), &[false, true]);
    same(&b.equal(1), &[false, true]);
    same(&u.less(127.5), &[true, false]);
    same(&u.equal(f64::NAN), &[false, false]);
    same(&u.not_equal(f64::NAN), &[true, true]);
    same(&u.less(f64::INFINITY), &[true, true]);
}

fn integer_division_and_remainder(d: &Device) {
    let a = [i32::MIN, -7, -1, 0, 1, 7, i32::MAX];
    let b = [i32::MIN, -3, -1, 0, 1, 3, i32::MAX];
    let (x, y) = (put(d, a, &[7, 1]), put(d, b, &[1, 7]));
    let grid = |f: fn(i64, i64) -> i64| -> Vec<i32> {
        a.iter().flat_map(|x| b.iter().map(move |y| if *y == 0 { 0 } else { f(*x as i64, *y as i64) as i32 })).collect()
    };
    same(&floor_divide(&x, &y), &grid(|a, b| (a as f64 / b as f64).floor() as i64));
    same(&(&x % &y), &grid(|a, b| ((a % b) + b) % b));
    same(&fmod(&x, &y), &grid(|a, b| a % b));
    let (u, v) = (put(d, vec![0u32, 1, 7, u32::MAX], &[4, 1]), put(d, vec![0u32, 1, 3, u32::MAX], &[4]));
    same(&floor_divide(&u, &v), &[0u32, 0, 0, 0, 0, 1, 0, 0, 0, 7, 2, 0, 0, u32::MAX, u32::MAX / 3, 1]);
    same(&(&u % &v), &[0u32, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 7, 0, 0, 0, 0]);
    // every pair of i8 and u8
    let all8: Vec<i8> = (-128..=127).collect();
    let (x, y) = (put(d, all8.clone(), &[256, 1]), put(d, all8.clone(), &[256]));
    let grid8 = |f: fn(i32, i32) -> i32| -> Vec<i8> {
        all8.iter().flat_map(|a| all8.iter().map(move |b| if *b == 0 { 0 } else { f(*a as i32, *b as i32) as i8 })).collect()
    };
    same(&floor_divide(&x, &y), &grid8(|a, b| (a as f32 / b as f32).floor() as i32));
    same(&(&x % &y), &grid8(|a, b| ((a % b) + b) % b));
    same(&fmod(&x, &y), &grid8(|a, b| a % b));
    if has(d, I64) {
        let (x, y) = (put(d, vec![i64::MIN, i64::MIN, -7, 7, 7], &[5]), put(d, vec![-1i64, 0, 2, -2, 0], &[5]));
        same(&floor_divide(&x, &y), &[i64::MIN, 0, -4, -4, 0]);
        same(&(&x % &y), &[0i64, 0, 1, -1, 0]);
    }
    // true division by zero is a float's
    same(&(put(d, vec![1i32, -1, 0], &[3]) / 0), &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
}

fn integers_wrap_at_their_own_width(d: &Device) {
    same(&(put(d, vec![200u8], &[1]) + 100), &[44u8]);
    same(&(put(d, vec![100i8], &[1]) + 100), &[-56i8]);
    same(&(-put(d, vec![-128i8, 5], &[2])), &[-128i8, -5]);
    same(&put(d, vec![-128i8, 5], &[2]).abs(), &[-128i8, 5]);
    same(&(-put(d, vec![1u8, 0], &[2])), &[255u8, 0]);
    same(&put(d, vec![300i16], &[1]).square(), &[(300 * 300) as i16 as i64 as i16; 1].map(|_| 90000i32 as i16));
    same(&(put(d, vec![i32::MAX], &[1]) * 2), &[-2i32]);
    same(&(put(d, vec![0u32], &[1]) - 1), &[u32::MAX]);
    // a chain wraps after each step, not at the end
    same(&((put(d, vec![200u8], &[1]) + 100) / 2), &[22f32]);
    same(&floor_divide(put(d, vec![200u8], &[1]) + 100, 2), &[22u8]);
    same(&(put(d, vec![127i8], &[1]) + 1).greater(0), &[false]);
    same(&((put(d, vec![200u8], &[1]) * 2).astype(I32)), &[144i32]);
    same(&bitwise_right_shift(bitwise_left_shift(put(d, vec![255u8], &[1]), 4), 4), &[15u8]);
    same(&(put(d, vec![100i8, 100], &[2]) + put(d, vec![100i8, 27], &[2])).max(0), &[127i8]);
}

fn shifts(d: &Device) {
    let x = put(d, vec![1i32, -8, i32::MAX, i32::MIN], &[4, 1]);
    let n = put(d, vec![0i32, 1, 31, 32, 33, -1, i32::MIN], &[7]);
    let l = |v: i32, n: i32| if (0..32).contains(&n) { v << n } else { 0 };
    let r = |v: i32, n: i32| if (0..32).contains(&n) { v >> n } else if v < 0 { -1 } else { 0 };
    let grid = |f: &dyn Fn(i32, i32) -> i32| -> Vec<i32> {
        [1, -8, i32::MAX, i32::MIN].iter().flat_map(|a| [0, 1, 31, 32, 33, -1, i32::MIN].map(|b| f(*a, b))).collect()
    };
    same(&(&x << &n), &grid(&l));
    same(&(&x >> &n), &grid(&r));
    let x = put(d, vec![-128i8, 127, -1], &[3, 1]);
    let n = put(d, vec![0i8, 1, 7, 8, 127, -1, -128], &[7]);
    let want: Vec<i8> = [-128i8, 127, -1].iter().flat_map(|a| [0i8, 1, 7, 8, 127, -1, -128].map(|b| if (0..8).contains(&b) { a >> b } else { if *a < 0 { -1 } else { 0 } })).collect();
    same(&(&x >> &n), &want);
    let want: Vec<i8> = [-128i8, 127, -1].iter().flat_map(|a| [0i8, 1, 7, 8, 127, -1, -128].map(|b| if (0..8).contains(&b) { ((*a as i32) << b) as i8 } else { 0 })).collect();
    same(&(&x << &n), &want);
    same(&(put(d, vec![0x80u8, 1], &[2]) >> 8), &[0u8, 0]);
    same(&(put(d, vec![0x80u8, 1], &[2]) << 1), &[0u8, 2]);
    same(&(put(d, vec![u32::MAX], &[1]) >> 40), &[0u32]);
    same(&(put(d, vec![-5i32], &[1]) >> 40), &[-1i32]);
    assert!((put(d, vec![1f32], &[1]) << 1).eval().is_err());
}

fn integer_powers(d: &Device) {
    let x = put(d, vec![0i32, 1, -1, 2, -2, 3], &[6, 1]);
    let n = put(d, vec![0i32, 1, 2, 31, 33, -1, -2], &[7]);
    let want: Vec<i32> = [0i32, 1, -1, 2, -2, 3]
        .iter()
        .flat_map(|b| {
            [0i32, 1, 2, 31, 33, -1, -2].map(|e| {
                if e >= 0 {
                    b.wrapping_pow(e as u32)
                } else {
                    match b {
                        1 => 1,
                        -1 => if e % 2 == 0 { 1 } else { -1 },
                        _ => 0,
                    }
                }
            })
        })
        .collect();
    same(&pow(&x, &n), &want);
    assert!(pow(&x, -1).eval().is_err());
    same(&pow(put(d, vec![3u8], &[1]), 5), &[243u8]);
    same(&pow(put(d, vec![3u8], &[1]), 6), &[(729 % 256) as u8]);
    same(&pow(put(d, vec![2f32, 0.0, -0.0, -8.0], &[4]), -1), &[0.5f32, f32::INFINITY, f32::NEG_INFINITY, -0.125]);
    same(&pow(put(d, vec![4i32], &[1]), 0.5), &[2f32]);
    same(&pow(2, put(d, vec![0i32, 5, 31], &[3])), &[1i32, 32, i32::MIN]);
    same(&pow(put(d, vec![0f32, f32::NAN, 1.0], &[3]), put(d, vec![0f32, 0.0, f32::NAN], &[3])), &[1f32, 1.0, 1.0]);
}

fn bool_rules(d: &Device) {
    let a = put(d, vec![false, false, true, true], &[4]);
    let b = put(d, vec![false, true, false, true], &[4]);
    same(&(&a + &b), &[false, true, true, true]);
    same(&(&a * &b), &[false, false, false, true]);
    same(&(&a ^ &b), &[false, true, true, false]);
    same(&(!&a), &[true, true, false, false]);
    same(&maximum(&a, &b), &[false, true, true, true]);
    same(&minimum(&a, &b), &[false, false, false, true]);
    for e in [&a - &b, -&a] {
        let x = e.eval().unwrap_err();
        assert_eq!(x.kind(), ErrorKind::DType, "{x}");
    }
    same(&(&a + 1), &[1i32, 1, 2, 2]);
    same(&(&a - 1), &[-1i32, -1, 0, 0]);
    same(&(&a / &b), &[f32::NAN, 0.0, f32::INFINITY, 1.0]);
    same(&a.sum(..), &[2i64]);
    same(&a.prod(..), &[0i64]);
    same(&a.max(..), &[true]);
    same(&a.min(..), &[false]);
    same(&a.argmax(..), &[2i64]);
    same(&a.argmin(..), &[0i64]);
    same(&a.mean(..), &[0.5f32]);
    same(&a.less(&b), &[false, true, false, false]);
}

fn casts_follow_rust(d: &Device) {
    let x = [0.0f32, -0.0, 0.5, -0.5, 1.9, -1.9, 127.5, 128.0, -128.9, -129.0, 255.9, 256.0, 65535.9, 65536.0, 2147483520.0, 2147483648.0, -2147483648.0, 4294967040.0, 4294967296.0, 1e20, -1e20, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, 1e-45];
    let a = put(d, x, &[x.len()]);
    same(&a.astype(I8), &x.map(|v| v as i8));
    same(&a.astype(U8), &x.map(|v| v as u8));
    same(&a.astype(I16), &x.map(|v| v as i16));
    same(&a.astype(U16), &x.map(|v| v as u16));
    same(&a.astype(I32), &x.map(|v| v as i32));
    same(&a.astype(U32), &x.map(|v| v as u32));
    same(&a.astype(Bool), &x.map(|v| v != 0.0));
    same(&a.astype(F16), &x.map(f16::from_f32));
    same(&a.astype(BF16), &x.map(bf16::from_f32));
    if has(d, I64) {
        same(&a.astype(I64), &x.map(|v| v as i64));
        same(&a.astype(U64), &x.map(|v| v as u64));
    }
    if has(d, F64) {
        same(&a.astype(F64), &x.map(|v| v as f64));
        let y = [0.1f64, 1e300, -1e300, 1e-320, f64::NAN, 9.007199254740993e15, 1.8446744073709552e19, 65519.999, 65520.0];
        let b = put(d, y, &[y.len()]);
        same(&b.astype(F32), &y.map(|v| v as f32));
        same(&b.astype(F16), &y.map(to_f16));
        same(&b.astype(I64), &y.map(|v| v as i64));
        same(&b.astype(U64), &y.map(|v| v as u64));
        same(&b.astype(U8), &y.map(|v| v as u8));
        // half-way cases that double rounding through f32 would get wrong
        let z = [1.0 + 2f64.powi(-11) + 2f64.powi(-40), 1.0 + 2f64.powi(-9) + 2f64.powi(-8) + 2f64.powi(-50)];
        same(&put(d, z, &[2]).astype(F16), &z.map(to_f16));
        same(&put(d, z, &[2]).astype(BF16), &z.map(to_bf16));
    }
    let i = [0i32, 1, -1, 127, 128, 255, 256, 65535, 65536, i32::MAX, i32::MIN, 16_777_217];
    let b = put(d, i, &[i.len()]);
    same(&b.astype(I8), &i.map(|v| v as i8));
    same(&b.astype(U8), &i.map(|v| v as u8));
    same(&b.astype(U16), &i.map(|v| v as u16));
    same(&b.astype(U32), &i.map(|v| v as u32));
    same(&b.astype(F32), &i.map(|v| v as f32));
    same(&b.astype(F16), &i.map(|v| to_f16(v as f64)));
    same(&b.astype(Bool), &i.map(|v| v != 0));
    if has(d, I64) {
        let l = [i64::MIN, -1, 0, 1 << 32, i64::MAX, (1 << 53) + 1, (1 << 60) + (1 << 36) + 1];
        let c = put(d, l, &[l.len()]);
        same(&c.astype(F32), &l.map(|v| v as f32));
        same(&c.astype(I32), &l.map(|v| v as i32));
        same(&c.astype(U64), &l.map(|v| v as u64));
        same(&c.astype(Bool), &l.map(|v| v != 0));
        if has(d, F64) { same(&c.astype(F64), &l.map(|v| v as f64)); }
        let u = [u64::MAX, 1 << 63, 1];
        same(&put(d, u, &[3]).astype(F32), &u.map(|v| v as f32));
    }
    // chains of casts are not shortened where that would change a value
    same(&put(d, vec![300i32, -1], &[2]).astype(U8).astype(I32), &[44i32, 255]);
    same(&put(d, vec![1.5f32, 0.25], &[2]).astype(I32).astype(F32), &[1f32, 0.0]);
    same(&put(d, vec![0.5f32], &[1]).astype(Bool).astype(F32), &[1f32]);
    same(&put(d, vec![1e10f32], &[1]).astype(I8).astype(U8), &[127u8]);
    same(&put(d, vec![2049f32], &[1]).astype(F16).astype(F32), &[2048f32]);
    same(&put(d, vec![70000f32], &[1]).astype(F16).astype(F32), &[f32::INFINITY]);
    same(&put(d, vec![257f32], &[1]).astype(BF16).astype(F32), &[256f32]);
}

fn where_half_precision_rounds(d: &Device) {
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

fn clip_and_extrema(d: &Device) {
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

fn identities_stay_exact(d: &Device) {
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

fn float_remainders(d: &Device) {
    let a = [5.5f32, -5.5, 5.5, -5.5, 0.0, -0.0, 1.0, f32::INFINITY, 1.0, -1.0, 3.4e38, 1e-40];
    let b = [2.0f32, 2.0, -2.0, -2.0, 3.0, 3.0, 0.0, 2.0, f32::INFINITY, f32::INFINITY, 0.7, 3e-41];
    let n = a.len();
    let (x, y) = (put(d, a, &[n]), put(d, b, &[n]));
    let mut fm = [0f32; 12];
    let mut rm = [0f32; 12];
    for i in 0..n {
        let m = (a[i] as f64 % b[i] as f64) as f32; // exact
        fm[i] = m;
        rm[i] = if m == 0.0 { 0f32.copysign(b[i]) } else if (m < 0.0) != (b[i] < 0.0) { (m as f64 + b[i] as f64) as f32 } else { m };
    }
    same(&fmod(&x, &y), &fm);
    rm[6] = f32::NAN;
    rm[7] = f32::NAN;
    same(&(&x % &y), &rm);
    // NumPy: floor_divide(1, 0) = inf, (inf, 2) = nan, (-1, inf) = -1
    same(&floor_divide(&x, &y).slice(s![..10]), &[2f32, -3.0, -3.0, 2.0, 0.0, -0.0, f32::INFINITY, f32::NAN, 0.0, -1.0]);
    same(&floor_divide(put(d, vec![1f32], &[1]), 0.1), &[9f32]);
}

fn nextafter_steps_in_its_own_type(d: &Device) {
    same(&nextafter(put(d, vec![1f32, 0.0], &[2]), 2.0), &[f32::from_bits(0x3f80_0001), f32::from_bits(1)]);
    same(&nextafter(put(d, vec![f16::from_f32(1.0)], &[1]), 2.0), &[f16::from_bits(0x3c01)]);
    same(&nextafter(put(d, vec![bf16::from_f32(1.0)], &[1]), 0.0), &[bf16::from_bits(0x3f7f)]);
    if !d.is_gpu() {
        same(&nextafter(put(d, vec![1f64], &[1]), 2.0), &[f64::from_bits(1f64.to_bits() + 1)]);
    }
    assert!(nextafter(put(d, vec![1i32], &[1]), 2).eval().is_err());
}

fn generators(d: &Device) {
    same(&zeros([2, 3], F32).to_device(d).unwrap(), &[0f32; 6]);
    same(&ones([0], I8).to_device(d).unwrap(), &[] as &[i8]);
    same(&empty([3], U16).to_device(d).unwrap(), &[0u16; 3]);
    same(&full([2], 2.5, DType::F32).to_device(d).unwrap(), &[2.5f32; 2]);
    same(&full([2], 7, DType::I32).to_device(d).unwrap(), &[7i32; 2]);
    same(&full([2], true, DType::Bool).to_device(d).unwrap(), &[true; 2]);
    same(&full([2, 2], put(d, vec![1i32, 2], &[2]), DType::I32), &[1i32, 2, 1, 2]);
    same(&arange(0, 5, 1, DType::I32).to_device(d).unwrap(), &[0i32, 1, 2, 3, 4]);
    same(&arange(5, 0, -2, DType::I32).to_device(d).unwrap(), &[5i32, 3, 1]);
    same(&arange(0, 0, 1, DType::I32).to_device(d).unwrap(), &[] as &[i32]);
    same(&arange(3, 0, 1, DType::I32).to_device(d).unwrap(), &[] as &[i32]);
    same(&arange(0.0, 1.0, 0.25, DType::F32).to_device(d).unwrap(), &[0f32, 0.25, 0.5, 0.75]);
    same(&arange(i32::MAX - 2, i32::MAX, 1, DType::I32).to_device(d).unwrap(), &[i32::MAX - 2, i32::MAX - 1]);
    same(&arange(i32::MIN, i32::MAX, 1 << 30, DType::I32).to_device(d).unwrap(), &[i32::MIN, -(1 << 30), 0, 1 << 30]);
    if has(d, I64) {
        same(&arange(3_000_000_000i64, 3_000_000_003i64, 1, DType::I64).to_device(d).unwrap(), &[3_000_000_000i64, 3_000_000_001, 3_000_000_002]);
        same(&arange(0, 3_000_000_003i64, 3_000_000_000i64, DType::I64).to_device(d).unwrap(), &[0i64, 3_000_000_000]);
        assert!(arange(-10, u64::MAX, 1u64 << 62, DType::I64).to_device(d).is_err(), "3 · 2^62 in an i64 range");
        // the step alone is wide
        let v = arange(i32::MIN, i32::MAX, u32::MAX - 1, DType::I32).to_device(d).unwrap();
        assert_eq!(v.astype(I64).to_vec::<i64>().unwrap(), [i32::MIN as i64, i32::MIN as i64 + u32::MAX as i64 - 1]);
    }
    same(&linspace(0.0, 1.0, 5, DType::F32).to_device(d).unwrap(), &[0f32, 0.25, 0.5, 0.75, 1.0]);
    same(&linspace(3.0, 5.0, 1, DType::F32).to_device(d).unwrap(), &[3f32]);
    same(&linspace(3.0, 5.0, 0, DType::F32).to_device(d).unwrap(), &[] as &[f32]);
    let l = linspace(-1.0, 0.1, 1000, DType::F32).to_device(d).unwrap().to_vec::<f32>().unwrap();
    assert_eq!((l[0], l[999]), (-1.0, 0.1));
    assert!(l.windows(2).all(|w| w[0] < w[1]));
    same(&eye(3, I32).to_device(d).unwrap(), &[1i32, 0, 0, 0, 1, 0, 0, 0, 1]);
    same(&eye(0, F32).to_device(d).unwrap(), &[] as &[f32]);
    same(&eye(2, Bool).to_device(d).unwrap(), &[true, false, false, true]);
    let x = put(d, vec![f16::from_f32(1.0); 2], &[2]);
    same(&zeros_like(&x), &[f16::from_f32(0.0); 2]);
    same(&ones_like(&x), &[f16::from_f32(1.0); 2]);
    same(&full_like(&x, 0.5), &[f16::from_f32(0.5); 2]);
    same(&full_like(&x, 3), &[f16::from_f32(3.0); 2]);
    assert!(full_like(&put(d, vec![1u8], &[1]), 300).eval().is_err());
    assert!(full_like(&put(d, vec![1u8], &[1]), 0.5).eval().is_err());
    assert!(arange(0, 5, 0, DType::I32).eval().is_err());
    assert!(arange(0.0, f64::NAN, 1.0, DType::F32).eval().is_err());
    assert!(arange(0.0, f64::INFINITY, 1.0, DType::F32).eval().is_err());
    assert_eq!(arange(0, 10, 3, DType::I32).t().slice(s![..;-1]).to_vec::<i32>().unwrap(), [9, 6, 3, 0]);
}

fn likes_live_where_their_model_does(d: &Device) {
    let d = own(d);
    let x = put(&d, vec![1f32, 2.0, 3.0, 4.0], &[2, 2]);
    for e in [zeros_like(&x), ones_like(&x), full_like(&x, 3), empty_like(&x)] {
        assert_eq!(e.eval().unwrap().device(), d);
        assert_eq!(e.t().eval().unwrap().device(), d);
        assert_eq!(e.slice(s![1..]).eval().unwrap().device(), d, "slice");
        assert_eq!(e.reshape([4]).eval().unwrap().device(), d, "reshape");
        assert_eq!(e.broadcast_to([3, 2, 2]).eval().unwrap().device(), d, "broadcast");
        assert_eq!(e.astype(I32).eval().unwrap().device(), d);
        assert_eq!(e.sum(..).eval().unwrap().device(), d);
        assert_eq!((e * 2).eval().unwrap().device(), d);
    }
    let i = x.astype(U8);
    assert_eq!(i.less(300).eval().unwrap().device(), d, "u8 < 300");
    assert_eq!(less(-1, &i).eval().unwrap().device(), d);
    assert_eq!(x.sum(&[] as &[isize]).eval().unwrap().device(), d);
    assert_eq!(x.less(f64::NAN).eval().unwrap().device(), d);
    assert_eq!(select(x.less(2), 1, 2).eval().unwrap().device(), d);
}
fn sums_over_every_set_of_axes(d: &Device) {
    let shape = [3usize, 4, 5, 2];
    let host = Host::of(&shape, |i| (i[0] * 40 + i[1] * 10 + i[2] * 2 + i[3]) as i32 % 17 - 8);
    let stored = put(d, host.data.clone(), &shape);
    for perm in [[0usize, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let h = host.permute(&perm);
        let x = stored.permute_dims(perm.map(|a| a as i32)).eval().unwrap();
        for set in 0..16usize {
            let axes: Vec<isize> = (0..4).filter(|a| set >> a & 1 == 1).map(|a| a as isize).collect();
            let kept: Vec<usize> = (0..4).filter(|a| set >> a & 1 == 0).collect();
            let out: Vec<usize> = kept.iter().map(|a| h.shape[*a]).collect();
            let group = |f: &dyn Fn(i32, i32) -> i32, start: i32| {
                Host::of(&out, |o| {
                    every_index(&h.shape).iter().filter(|i| kept.iter().zip(o).all(|(k, v)| i[*k] == *v)).fold(start, |a, i| f(a, h.at(i)))
                })
            };
            let sum = group(&|a, b| a + b, 0);
            // 64 bits sum without wrapping, and 32 bits hold these sums
            let e = x.sum(&axes[..]).astype(I32);
            assert_eq!(e.shape().unwrap(), out, "{perm:?} {axes:?}");
            same(&e, &sum.data);
            let k = x.sum(keep(&axes[..])).astype(I32);
            let kept_shape: Vec<usize> = (0..4).map(|a| if set >> a & 1 == 1 { 1 } else { h.shape[a] }).collect();
            assert_eq!(k.shape().unwrap(), kept_shape);
            same(&k, &sum.data);
            same(&x.max(&axes[..]), &group(&|a, b| a.max(b), i32::MIN).data);
            same(&x.min(&axes[..]), &group(&|a, b| a.min(b), i32::MAX).data);
            same(&(&x.astype(F32) * 0.5).sum(&axes[..]), &sum.map(|v| v as f32 * 0.5).data);
            same(&x.flip(0).slice(s![..;-1]).sum(&axes[..]).astype(I32), &sum.data);
        }
        let neg = x.sum([-1, 0]);
        same(&neg, &x.sum([0, 3]).to_vec::<i64>().unwrap());
    }
}

fn positions_of_extrema(d: &Device) {
    let x = put(d, vec![1f32, 3.0, 3.0, 0.0, 0.0, 2.0], &[2, 3]);
    same(&x.argmax(1), &[1i64, 2]);
    same(&x.argmin(1), &[0i64, 0]);
    same(&x.argmax(0), &[0i64, 0, 0]);
    same(&x.argmin(0), &[1i64, 1, 1]);
    same(&x.argmax(..), &[1i64]);
    same(&x.argmin(..), &[3i64]);
    same(&x.t().argmax(..), &[2i64]);
    same(&x.flip(..).argmax(..), &[3i64]);
    assert_eq!(x.argmax(keep(..)).shape().unwrap(), [1, 1]);
    assert_eq!(x.argmax(keep(-1)).shape().unwrap(), [2, 1]);
    let n = put(d, vec![1f32, f32::NAN, 9.0, f32::NAN, f32::INFINITY, 0.0], &[2, 3]);
    same(&n.argmax(1), &[1i64, 0]);
    same(&n.argmin(1), &[1i64, 0]);
    same(&n.argmin(..), &[1i64]);
    same(&n.max(1), &[f32::NAN, f32::NAN]);
    same(&n.min(0), &[f32::NAN, f32::NAN, 0.0]);
    same(&put(d, vec![-0.0f32, 0.0, -0.0], &[3]).argmax(0), &[0i64]);
    same(&put(d, vec![0.0f32, -0.0], &[2]).argmin(0), &[0i64]);
    same(&put(d, vec![f32::NEG_INFINITY; 5], &[5]).argmax(0), &[0i64]);
    same(&put(d, vec![i32::MIN; 5], &[5]).argmax(0), &[0i64]);
    same(&put(d, vec![u32::MAX; 5], &[5]).argmin(0), &[0i64]);
    same(&put(d, vec![false, true, true], &[3]).argmax(0), &[1i64]);
    same(&put(d, vec![5u8, 200, 200, 1], &[4]).argmax(0), &[1i64]);
    same(&put(d, vec![7f32], &[]).argmax(..), &[0i64]);
    // ties and NaN far apart, over many lanes and threads
    for n in [15usize, 16, 17, 2047, 2048, 2049, 4096, 16 * 128 * 3, 100_003, 300_000] {
        let mut v = vec![1f32; n];
        v[n / 2] = 5.0;
        v[n - 1] = 5.0;
        same(&put(d, v.clone(), &[n]).argmax(0), &[(n / 2) as i64]);
        same(&put(d, v.clone(), &[n]).argmin(0), &[0i64]);
        same(&put(d, v.clone(), &[n, 1]).argmax(0), &[(n / 2) as i64]);
        v[n - 2] = f32::NAN;
        same(&put(d, v.clone(), &[n]).argmax(0), &[n as i64 - 2]);
        same(&put(d, v.clone(), &[n]).argmin(..), &[n as i64 - 2]);
        same(&put(d, v.clone(), &[n]).max(0), &[f32::NAN]);
        v[n / 3] = f32::NAN;
        same(&put(d, v.clone(), &[n]).argmax(0), &[(n / 3) as i64]);
        same(&put(d, v.clone(), &[n]).flip(0).argmax(0), &[1i64]);
        let two = concat([put(d, vec![0f32; n], &[n, 1]), put(d, v.clone(), &[n, 1])], 1);
        same(&two.argmax(0), &[0i64, (n / 3) as i64]);
        same(&two.argmax(..), &[(2 * (n / 3) + 1) as i64]);
    }
}

fn empty_and_0d_reductions(d: &Device) {
    let e = put::<f32>(d, vec![], &[0]);
    same(&e.sum(..), &[0f32]);
    same(&e.sum(0), &[0f32]);
    same(&e.prod(..), &[1f32]);
    same(&e.any(..), &[false]);
    same(&e.all(..), &[true]);
    same(&e.count_nonzero(..), &[0i64]);
    same(&e.logsumexp(..), &[f32::NEG_INFINITY]);
    for x in [e.mean(..), e.var(..), e.std(..), e.mean(0)] {
        same(&x, &[f32::NAN]);
    }
    for x in [e.min(..), e.max(0), e.argmin(..), e.argmax(0)] {
        let err = x.eval().unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Shape, "{err}");
    }
    same(&e.softmax(-1), &[] as &[f32]);
    same(&e.log_softmax(-1), &[] as &[f32]);
    same(&e.layer_norm(-1, 1e-5), &[] as &[f32]);
    same(&e.rms_norm(-1, 1e-5), &[] as &[f32]);
    let m = put::<i32>(d, vec![], &[0, 3]);
    same(&m.sum(0), &[0i64; 3]);
    same(&m.sum(1), &[] as &[i64]);
    same(&m.max(1), &[] as &[i32]);
    same(&m.argmax(1), &[] as &[i64]);
    assert!(m.max(0).eval().is_err());
    same(&m.prod(keep(0)), &[1i64; 3]);
    assert_eq!(m.sum(keep(..)).shape().unwrap(), [1, 1]);
    same(&m.astype(F32).logsumexp(0), &[f32::NEG_INFINITY; 3]);
    let t = put::<f32>(d, vec![], &[2, 0, 2]);
    same(&t.mean(1), &[f32::NAN; 4]);
    same(&t.sum([0, 1]), &[0f32; 2]);
    same(&t.all(1), &[true; 4]);
    // 0-d
    let z = put(d, vec![3f32], &[]);
    same(&z.sum(..), &[3f32]);
    same(&z.max(..), &[3f32]);
    same(&z.mean(..), &[3f32]);
    same(&z.var(..), &[0f32]);
    same(&z.argmin(..), &[0i64]);
    same(&z.softmax(..), &[1f32]);
    assert_eq!(z.sum(..).ndim().unwrap(), 0);
    for x in [z.sum(0), z.max(-1), z.argmax(0), z.softmax(-1)] {
        assert_eq!(x.eval().unwrap_err().kind(), ErrorKind::Axis);
    }
    same(&z.sum(&[] as &[isize]), &[3f32]);
}

fn long_sums_are_within_the_bound(d: &Device) {
    for n in [1usize, 15, 16, 17, 127, 128, 129, 2047, 2048, 2049, 16 * 128 * 5, 100_000, 1_000_000] {
        let v = noise(n as u64, n);
        let exact: f64 = v.iter().map(|x| *x as f64).sum();
        let size: f64 = v.iter().map(|x| x.abs() as f64).sum();
        let bound = ((n as f64).log2().ceil() + 16.0) * 2f64.powi(-24) * size + 1e-30;
        let x = put(d, v.clone(), &[n]);
        near(&x.sum(..), &[exact], |_| bound);
        near(&x.mean(..), &[exact / n as f64], |w| bound / n as f64 + w.abs() * 1e-7);
        near(&x.flip(0).sum(0), &[exact], |_| bound);
        near(&x.expand_dims(1).sum(0), &[exact], |_| bound);
        near(&(&x * 2.0).sum(..), &[exact * 2.0], |_| bound * 2.0);
        // every other element
        let odd: f64 = v.iter().skip(1).step_by(2).map(|x| *x as f64).sum();
        near(&x.slice(s![1..;2]).sum(..), &[odd], |_| bound);
        let ints: Vec<i32> = v.iter().map(|x| (*x * 1e9) as i32).collect();
        let want: i64 = ints.iter().map(|v| *v as i64).sum();
        same(&put(d, ints.clone(), &[n]).sum(..), &[want]);
        same(&put(d, ints.clone(), &[n]).max(..), &[*ints.iter().max().unwrap()]);
        if n <= 100_000 {
            let cols = put(d, v.iter().flat_map(|x| [*x, -x, 2.0 * x]).collect::<Vec<_>>(), &[n, 3]);
            near(&cols.sum(0), &[exact, -exact, 2.0 * exact], |_| 2.0 * bound);
            near(&cols.t().sum(1), &[exact, -exact, 2.0 * exact], |_| 2.0 * bound);
            near(&cols.reshape([1, n, 3]).sum(1), &[exact, -exact, 2.0 * exact], |_| 2.0 * bound);
        }
    }
    // many rows, many columns, middle axes
    for (a, b, c) in [(3usize, 2049usize, 5usize), (300, 7, 300), (1, 100_000, 2), (2049, 3, 17), (64, 64, 64)] {
        let v = noise(7, a * b * c);
        let x = put(d, v.clone(), &[a, b, c]);
        let mut mid = vec![0f64; a * c];
        let mut first = vec![0f64; b * c];
        let mut last = vec![0f64; a * b];
        let mut ends = vec![0f64; b];
        for i in 0..a { for j in 0..b { for k in 0..c {
            let t = v[(i * b + j) * c + k] as f64;
            mid[i * c + k] += t;
            first[j * c + k] += t;
            last[i * b + j] += t;
            ends[j] += t;
        } } }
        let bound = |n: usize| move |_: f64| ((n as f64).log2().ceil() + 16.0) * 2f64.powi(-24) * n as f64;
        near(&x.sum(1), &mid, bound(b));
        near(&x.sum(0), &first, bound(a));
        near(&x.sum(2), &last, bound(c));
        near(&x.sum([0, 2]), &ends, bound(a * c));
        near(&x.t().sum(1), &Host { shape: vec![a, c], data: mid.clone() }.permute(&[1, 0]).data, bound(b));
        near(&x.permute_dims([1, 0, 2]).sum(0), &mid, bound(b));
    }
}

fn sums_do_not_depend_on_fusion(d: &Device) {
    // a GPU driver may contract a product and a sum; here nothing can be contracted
    let a = put(d, noise(1, 40 * 33 * 6), &[40, 33, 6]);
    type View = fn(&Expr) -> Expr;
    let views: [View; 10] = [
        |x| x.t(),
        |x| x.slice(s![..;-1, 3.., ..;2]),
        |x| x.slice(s![.., 1..2]).broadcast_to([40, 33, 6]),
        |x| x.slice(s![0]).broadcast_to([4, 33, 6]),
        |x| x.slice(s![.., .., 0]).expand_dims(2).broadcast_to([40, 33, 5]),
        |x| x.permute_dims([1, 0, 2]),
        |x| x.slice(s![.., 0]).sliding_windows(7, 0),
        |x| x.reshape([33, 40, 6]),
        |x| x.t().reshape([40, 33, 6]),
        |x| x.flip(..).slice(s![..1]),
    ];
    for (n, view) in views.iter().enumerate() {
        let fused = |x: &Expr| view(&(x.abs() - 0.5));
        let stored = (a.abs() - 0.5).eval().unwrap();
        let dense = fused(&a).eval().unwrap();
        for axes in [&[0isize][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2]] {
            let want = fused(&a).sum(axes).to_vec::<f32>().unwrap();
            println!("view {n}, axes {axes:?}");
            same(&view(&stored).sum(axes), &want);
            same(&view(&stored).eval().unwrap().sum(axes), &want);
            same(&dense.sum(axes), &want);
        }
    }
}

fn spread_with_a_large_mean(d: &Device) {
    for n in [2usize, 17, 1000, 2049, 100_000, 1_000_000] {
        let v: Vec<f32> = noise(n as u64 + 1, n).iter().map(|x| x + 1e4).collect();
        let mean: f64 = v.iter().map(|x| *x as f64).sum::<f64>() / n as f64;
        let var: f64 = v.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / n as f64;
        let bound = ((n as f64).log2().ceil() + 16.0) * 2f64.powi(-23);
        let x = put(d, v.clone(), &[n]);
        near(&x.var(..), &[var], |w| w * bound);
        near(&x.var(0), &[var], |w| w * bound);
        near(&x.std(..), &[var.sqrt()], |w| w * bound);
        near(&x.var_corrected(0, 1.0), &[var * n as f64 / (n as f64 - 1.0)], |w| w * bound);
        near(&x.reshape([n, 1]).var(0), &[var], |w| w * bound);
        near(&(&x * 1.0).expand_dims(0).var(1), &[var], |w| w * bound);
        if n <= 100_000 {
            let two = stack([&x, &(&x * 2.0).eval().unwrap()], 1);
            near(&two.var(0), &[var, 4.0 * var], |w| w * bound);
        }
    }
    same(&put(d, vec![1f32], &[1]).var_corrected(0, 1.0), &[f32::NAN]);
    near(&put(d, vec![1i32, 2, 3, 4], &[4]).std(..), &[1.25f64.sqrt()], |w| w * 1e-6);
}

fn softmax_and_its_kin(d: &Device) {
    let inf = f32::INFINITY;
    let x = put(d, vec![1f32, 2.0, 3.0, -inf, 0.0, 0.0, -inf, -inf, -inf, inf, 0.0, 1.0, 1e30, 1e30, 0.0, f32::NAN, 0.0, 0.0], &[6, 3]);
    let p = x.softmax(-1).to_vec::<f32>().unwrap();
    assert_eq!(p[3..6], [0.0, 0.5, 0.5]);
    assert!(p[6..12].iter().all(|v| v.is_nan() || *v == 0.0), "{p:?}");
    assert!(p[6].is_nan() && p[9].is_nan());
    assert_eq!(p[12..15], [0.5, 0.5, 0.0]);
    assert!(p[15..].iter().all(|v| v.is_nan()));
    let l = x.log_softmax(-1).to_vec::<f32>().unwrap();
    assert!(l[3] == -inf && (l[4] + 0.5f32.ln().abs()).abs() < 1e-6);
    let s = x.logsumexp(-1).to_vec::<f32>().unwrap();
    assert!((s[0] as f64 - (1f64.exp() + 2f64.exp() + 3f64.exp()).ln()).abs() < 1e-6);
    assert!((s[1] - 2f32.ln()).abs() < 1e-6);
    assert_eq!(s[2], -inf);
    assert_eq!(s[3], inf);
    assert_eq!(s[4], 1e30);
    assert!(s[5].is_nan());
    assert_eq!(x.logsumexp(keep(1)).shape().unwrap(), [6, 1]);
    // rows of every length, along both axes; longer ones than a row kernel takes
    for n in [1usize, 2, 17, 1000, 4096, 65_535, 65_536, 65_537, 200_000, 1_000_000] {
        let rows = if n > 10_000 { 2 } else { 5 };
        let v: Vec<f32> = noise(n as u64, n * rows).iter().map(|x| x * 10.0).collect();
        let x = put(d, v.clone(), &[rows, n]);
        let (mut soft, mut log, mut lse, mut norm, mut rms) = (vec![], vec![], vec![], vec![], vec![]);
        for r in v.chunks(n) {
            let r: Vec<f64> = r.iter().map(|x| *x as f64).collect();
            let m = r.iter().cloned().fold(f64::NEG_INFINITY, f64::max);
            let s: f64 = r.iter().map(|x| (x - m).exp()).sum();
            soft.extend(r.iter().map(|x| (x - m).exp() / s));
            log.extend(r.iter().map(|x| x - m - s.ln()));
            lse.push(m + s.ln());
            let mean = r.iter().sum::<f64>() / n as f64;
            let var = r.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            norm.extend(r.iter().map(|x| (x - mean) / (var + 1e-5).sqrt()));
            let sq = r.iter().map(|x| x * x).sum::<f64>() / n as f64;
            rms.extend(r.iter().map(|x| x / (sq + 1e-5).sqrt()));
        }
        let eps = ((n as f64).log2().ceil() + 16.0 + 28.0) * 2f64.powi(-23);
        near(&x.softmax(-1), &soft, |w| w * eps + 1e-37);
        near(&x.log_softmax(-1), &log, |w| (w.abs() + 20.0) * 2f64.powi(-22));
        near(&x.logsumexp(-1), &lse, |w| (w.abs() + 10.0) * 2f64.powi(-22));
        near(&x.layer_norm(-1, 1e-5), &norm, |w| (w.abs() + 1.0) * eps);
        near(&x.rms_norm(-1, 1e-5), &rms, |w| w.abs() * eps);
        let t = |v: &[f64]| Host { shape: vec![rows, n], data: v.to_vec() }.permute(&[1, 0]).data;
        near(&x.t().softmax(0), &t(&soft), |w| w * eps + 1e-37);
        near(&x.t().eval().unwrap().layer_norm(0, 1e-5), &t(&norm), |w| (w.abs() + 1.0) * eps);
        if n <= 4096 {
            let c = x.t().reshape([n * rows]).eval().unwrap().reshape([n, rows]);
            near(&c.softmax(0), &t(&soft), |w| w * eps + 1e-37);
            near(&c.logsumexp(0), &lse, |w| (w.abs() + 10.0) * 2f64.powi(-22));
            near(&c.rms_norm(0, 1e-5), &t(&rms), |w| w.abs() * eps);
        }
        let total: f64 = x.softmax(-1).to_vec::<f32>().unwrap()[..n].iter().map(|v| *v as f64).sum();
        assert!((total - 1.0).abs() < 1e-4, "{n}: {total}");
    }
    // over two axes, and all
    let y = put(d, noise(3, 60), &[3, 4, 5]);
    let all: f64 = y.softmax(..).to_vec::<f32>().unwrap().iter().map(|v| *v as f64).sum();
    assert!((all - 1.0).abs() < 1e-6);
    let two = y.softmax([0, 2]).sum([0, 2]);
    near(&two, &[1.0; 4], |_| 1e-6);
}

fn products_of_matrices(d: &Device) {
    let sizes = [(1usize, 1usize, 1usize), (1, 5, 1), (2, 3, 4), (7, 1, 9), (17, 33, 5), (64, 64, 64), (65, 100, 63), (1, 1000, 1), (3, 0, 2), (0, 3, 2), (2, 3, 0), (130, 257, 129)];
    for (m, k, n) in sizes {
        let (a, b) = (noise(1, m * k), noise(2, k * n));
        let (x, y) = (put(d, a.clone(), &[m, k]), put(d, b.clone(), &[k, n]));
        let mut want = vec![0f64; m * n];
        for i in 0..m { for j in 0..n { for l in 0..k { want[i * n + j] += a[i * k + l] as f64 * b[l * n + j] as f64; } } }
        let bound = move |_: f64| (k as f64 / 2.0 + 16.0) * 2f64.powi(-24) * k as f64;
        near(&x.matmul(&y), &want, bound);
        near(&matmul(&x, &y), &want, bound);
        // the same numbers through other strides
        let xt = x.t().reshape([m * k]).eval().unwrap().reshape([k, m]).t();
        let yt = y.t().reshape([k * n]).eval().unwrap().reshape([n, k]).t();
        near(&xt.matmul(&y), &want, bound);
        near(&x.matmul(&yt), &want, bound);
        near(&xt.matmul(&yt), &want, bound);
        near(&x.flip(0).flip(1).matmul(y.flip(0)).flip(0), &want, bound);
        near(&(y.t().matmul(x.t())).t(), &want, bound);
        // a strided operand, an unevaluated operand
        let wide = put(d, a.iter().flat_map(|v| [*v, 9.0]).collect::<Vec<_>>(), &[m, 2 * k]);
        near(&wide.slice(s![.., ..;2]).matmul(&y), &want, bound);
        near(&(&x * 2.0).matmul(&y * 0.5), &want, bound);
        // epilogue
        let bias = noise(5, n);
        let e = (x.matmul(&y) + put(d, bias.clone(), &[n])).relu();
        let w: Vec<f64> = want.iter().enumerate().map(|(i, v)| (v + bias[i % n] as f64).max(0.0)).collect();
        near(&e, &w, |v| bound(v) + 1e-6);
        near(&(-x.matmul(&y)).exp(), &want.iter().map(|v| (-v).exp()).collect::<Vec<_>>(), |v| v * (bound(v) * 1.1 + 1e-6));
        near(&x.matmul(&y).sum(0), &(0..n).map(|j| (0..m).map(|i| want[i * n + j]).sum()).collect::<Vec<f64>>(), |v| (bound(v) + 1e-6) * (m as f64 + 1.0));
        // 1-d
        if m == 1 { near(&x.reshape([k]).matmul(&y), &want, bound); }
        if n == 1 { near(&x.matmul(y.reshape([k])), &want, bound); }
        if m == 1 && n == 1 {
            let e = x.reshape([k]).matmul(y.reshape([k]));
            assert_eq!(e.shape().unwrap(), [0usize; 0]);
            near(&e, &want, bound);
        }
        // integers are exact
        let (ai, bi): (Vec<i32>, Vec<i32>) = (a.iter().map(|v| (v * 1e6) as i32).collect(), b.iter().map(|v| (v * 1e6) as i32).collect());
        let mut wi = vec![0i32; m * n];
        for i in 0..m { for j in 0..n { for l in 0..k { wi[i * n + j] = wi[i * n + j].wrapping_add(ai[i * k + l].wrapping_mul(bi[l * n + j])); } } }
        let (xi, yi) = (put(d, ai, &[m, k]), put(d, bi, &[k, n]));
        same(&xi.matmul(&yi), &wi);
        same(&(yi.t().matmul(xi.t())).t(), &wi);
        let u = xi.astype(U8).matmul(yi.astype(U8));
        assert_eq!(u.dtype().unwrap(), U8);
        let h = x.astype(F16).matmul(y.astype(F16));
        assert_eq!(h.dtype().unwrap(), F16);
        near(&h, &want, |w| (k as f64) * 2f64.powi(-10) + w.abs() * 2f64.powi(-10) + 1e-6);
        let h = x.astype(BF16).matmul(y.astype(BF16));
        near(&h, &want, |w| (k as f64) * 2f64.powi(-7) + w.abs() * 2f64.powi(-7) + 1e-6);
        if has(d, F64) {
            let e = x.astype(F64).matmul(y.astype(F64));
            let got = e.to_vec::<f64>().unwrap();
            assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() <= (k as f64 / 2.0 + 16.0) * 2f64.powi(-53) * k as f64));
        }
    }
    for t in [Bool, I8, U8, I16, U16] {
        let x = ones([2, 300], t).to_device(d).unwrap();
        let e = x.matmul(x.t());
        assert_eq!(e.dtype().unwrap(), t);
        let want = match t { Bool => 1.0, I8 | U8 => 44.0, _ => 300.0 };
        assert_eq!(e.astype(F32).to_vec::<f32>().unwrap(), [want; 4], "{t}");
        let wide = x.astype(I32).matmul(x.t().astype(I32));
        assert_eq!(wide.to_vec::<i32>().unwrap(), [300; 4], "{t}");
    }
    // infinities and NaN pass as they are
    let x = put(d, vec![f32::INFINITY, 1.0], &[1, 2]);
    same(&x.matmul(put(d, vec![0f32, 1.0, 1.0, 2.0], &[2, 2])), &[f32::NAN, f32::INFINITY]);
}

fn products_over_batches(d: &Device) {
    let cases: [(&[usize], &[usize]); 9] = [
        (&[2, 3, 4], &[2, 4, 5]), (&[3, 4], &[6, 4, 2]), (&[2, 1, 3, 4], &[5, 4, 2]), (&[4], &[3, 4, 2]), (&[3, 2, 4], &[4]),
        (&[0, 2, 3], &[3, 2]), (&[2, 0, 3], &[2, 3, 2]), (&[5, 1, 1, 7], &[1, 3, 7, 1]), (&[4, 2, 0], &[4, 0, 3]),
    ];
    for (sa, sb) in cases {
        let (na, nb) = (sa.iter().product(), sb.iter().product());
        let mut dice = Dice::new(4);
        let a: Vec<i32> = (0..na).map(|_| dice.between(-9, 9) as i32).collect();
        let b: Vec<i32> = (0..nb).map(|_| dice.between(-9, 9) as i32).collect();
        let (ha, hb) = (Host { shape: sa.to_vec(), data: a.clone() }, Host { shape: sb.to_vec(), data: b.clone() });
        let ra = if sa.len() == 1 { ha.reshape(&[1, sa[0]]) } else { ha };
        let rb = if sb.len() == 1 { hb.reshape(&[sb[0], 1]) } else { hb };
        let (ba, bb) = (&ra.shape[..ra.shape.len() - 2], &rb.shape[..rb.shape.len() - 2]);
        let nd = ba.len().max(bb.len());
        let pad = |s: &[usize]| [vec![1; nd - s.len()], s.to_vec()].concat();
        let batch: Vec<usize> = pad(ba).iter().zip(pad(bb)).map(|(x, y)| if *x == 1 { y } else { *x }).collect();
        let (m, k, n) = (ra.shape[ra.shape.len() - 2], ra.shape[ra.shape.len() - 1], rb.shape[rb.shape.len() - 1]);
        let fa = ra.broadcast(&[batch.clone(), vec![m, k]].concat());
        let fb = rb.broadcast(&[batch.clone(), vec![k, n]].concat());
        let full = [batch.clone(), vec![m, n]].concat();
        let want = Host::of(&full, |i| {
            let at = |r: usize, c: usize| [&i[..nd], &[r, c]].concat();
            (0..k).map(|l| fa.at(&at(i[nd], l)) * fb.at(&at(l, i[nd + 1]))).sum::<i32>()
        });
        let mut shape = batch.clone();
        if sa.len() > 1 { shape.push(m) }
        if sb.len() > 1 { shape.push(n) }
        let (x, y) = (put(d, a, sa), put(d, b, sb));
        let e = x.matmul(&y);
        assert_eq!(e.shape().unwrap(), shape, "{sa:?} {sb:?}");
        same(&e, &want.data);
        let w: Vec<f32> = want.data.iter().map(|v| *v as f32).collect();
        same(&x.astype(F32).matmul(y.astype(F32)), &w);
        same(&(x.astype(F32).eval().unwrap()).matmul(y.astype(F32).eval().unwrap()), &w);
        if sa.len() > 2 {
            // batch axes in another order in memory
            let p: Vec<isize> = (0..sa.len() as isize).rev().collect();
            let x2 = x.t().reshape([na]).eval().unwrap().reshape(sa.iter().rev().copied().collect::<Vec<usize>>()).permute_dims(p);
            same(&x2.astype(F32).matmul(y.astype(F32)), &w);
            same(&x2.astype(F32).eval().unwrap().matmul(y.astype(F32).eval().unwrap()), &w);
        }
    }
}

fn takes(d: &Device) {
    // what a GPU finds out late must not come out in another test
    let d = &own(d);
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    let h = Host { shape: vec![2, 3, 4], data: (0..24).collect::<Vec<i32>>() };
    let i = put(d, vec![2i32, 0, -1, -3], &[2, 2]);
    let want = Host::of(&[2, 2, 2, 4], |j| h.at(&[j[0], [2, 0, 2, 0][j[1] * 2 + j[2]], j[3]]));
    let e = x.take(&i, 1);
    assert_eq!(e.shape().unwrap(), [2, 2, 2, 4]);
    same(&e, &want.data);
    same(&x.take(&i, -2), &want.data);
    same(&x.t().take(&i, 1), &Host::of(&[4, 2, 2, 2], |j| h.at(&[j[3], [2, 0, 2, 0][j[1] * 2 + j[2]], j[0]])).data);
    same(&x.flip(1).take(&i, 1), &Host::of(&[2, 2, 2, 4], |j| h.at(&[j[0], 2 - [2, 0, 2, 0][j[1] * 2 + j[2]], j[3]])).data);
    // an unevaluated source and unevaluated indices
    same(&(&x + 1).take(&i * 1, 1), &want.map(|v| v + 1).data);
    same(&x.sum(2).take(&i, 1).slice(s![0]), &[38i64, 6, 38, 6]);
    same(&(x.take(&i, 1) * 2 + 1).sum(..).astype(I32), &[want.data.iter().map(|v| v * 2 + 1).sum::<i32>()]);
    same(&x.take(1, 0), &(12..24).collect::<Vec<i32>>());
    same(&x.take(-1, 2), &[3i32, 7, 11, 15, 19, 23]);
    assert_eq!(x.take(put(d, vec![0i32; 0], &[0]), 1).shape().unwrap(), [2, 0, 4]);
    same(&x.take(put(d, vec![0i32; 0], &[0]), 1), &[] as &[i32]);
    // all index types
    let one = x.slice(s![0, 0]).eval().unwrap();
    same(&one.take(put(d, vec![3u8, 0], &[2]), 0), &[3i32, 0]);
    same(&one.take(put(d, vec![3i8, -1], &[2]), 0), &[3i32, 3]);
    same(&one.take(put(d, vec![3u16, 0], &[2]), 0), &[3i32, 0]);
    same(&one.take(put(d, vec![3u32, 0], &[2]), 0), &[3i32, 0]);
    if has(d, I64) {
        same(&one.take(put(d, vec![3i64, -4], &[2]), 0), &[3i32, 0]);
        same(&one.take(put(d, vec![3u64, 0], &[2]), 0), &[3i32, 0]);
        same(&one.take_wrap(put(d, vec![1i64 << 33 | 1, -(1i64 << 40) - 1], &[2]), 0), &[1i32, 3]);
        same(&one.take_clip(put(d, vec![1i64 << 33, -(1i64 << 40)], &[2]), 0), &[3i32, 0]);
        assert!(one.take(put(d, vec![1i64 << 32], &[1]), 0).to_vec::<i32>().is_err());
        assert!(one.take(put(d, vec![u64::MAX], &[1]), 0).to_vec::<i32>().is_err());
    }
    // modes
    let w = put(d, vec![4i32, 5, -1, -5, i32::MIN, i32::MAX], &[6]);
    same(&one.take_clip(&w, 0), &[3i32, 3, 0, 0, 0, 3]);
    same(&one.take_wrap(&w, 0), &[0i32, 1, 3, 3, 0, 3]);
    let three = put(d, vec![0i32, 1, 2], &[3]);
    same(&three.take_wrap(put(d, vec![3_000_000_001u32], &[1]), 0), &[(3_000_000_001u32 % 3) as i32]);
    same(&three.take_wrap(put(d, vec![-1i32, -3, -4, i32::MIN], &[4]), 0), &[2i32, 0, 2, (i32::MIN as i64).rem_euclid(3) as i32]);
    // out of range
    for bad in [4i32, -5, i32::MAX, i32::MIN] {
        let e = one.take(put(d, vec![0, bad], &[2]), 0).to_vec::<i32>().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Index, "{e}");
        assert!(e.to_string().contains("take") && e.to_string().contains("semantics.rs"), "{e}");
        let _ = d.synchronize();
    }
    assert!(one.take(put(d, vec![0f32], &[1]), 0).eval().is_err());
    assert!(one.take(put(d, vec![true], &[1]), 0).eval().is_err());
    let none = put::<i32>(d, vec![], &[0, 2]);
    assert!(none.take(put(d, vec![0i32], &[1]), 0).to_vec::<i32>().is_err());
    assert_eq!(none.take(put(d, vec![1i32, 0, 0], &[3]), 1).shape().unwrap(), [0, 3]);
    // narrow element types, f16, bool, at odd places
    let b = put(d, (0..9).map(|i| i % 3 == 0).collect::<Vec<bool>>(), &[9]);
    same(&b.slice(s![1..]).take(put(d, vec![2i32, 3, 5], &[3]), 0), &[true, false, true]);
    let hf = put(d, (0..9).map(|i| f16::from_f32(i as f32)).collect::<Vec<f16>>(), &[9]);
    same(&hf.slice(s![1..;2]).take(put(d, vec![3i32, 0], &[2]), 0), &[f16::from_f32(7.0), f16::from_f32(1.0)]);
    let nan = put(d, vec![f32::from_bits(0x7fc1_2345), f32::from_bits(0xff80_0001)], &[2]);
    let got = nan.take(put(d, vec![1i32, 0], &[2]), 0).to_vec::<f32>().unwrap();
    assert_eq!([got[0].to_bits(), got[1].to_bits()], [0xff80_0001, 0x7fc1_2345], "a gather keeps every bit");
}

fn joins(d: &Device) {
    let a = put(d, vec![1i32, 2, 3, 4], &[2, 2]);
    let b = put(d, vec![5i32, 6], &[1, 2]);
    same(&concat([&a, &b], 0), &[1i32, 2, 3, 4, 5, 6]);
    same(&concat([&a, &b.t().eval().unwrap()], 1), &[1i32, 2, 5, 3, 4, 6]);
    same(&concat([&a, &b.t().eval().unwrap()], -1), &[1i32, 2, 5, 3, 4, 6]);
    same(&concat([&a.t().eval().unwrap(), &b], 0), &[1i32, 3, 2, 4, 5, 6]);
    same(&concat([&*a], 0), &[1i32, 2, 3, 4]);
    let none = put::<i32>(d, vec![], &[0, 2]);
    same(&concat([&none, &a, &none], 0), &[1i32, 2, 3, 4]);
    same(&concat([&none, &none], 0), &[] as &[i32]);
    same(&concat([&(&*a * 2), &*b], 0), &[2i32, 4, 6, 8, 5, 6]);
    same(&concat([&a.sum(0), &a.sum(1)], 0), &[4i64, 6, 3, 7]);
    same(&(concat([&*a, &*b], 0) * 2 + 1).t(), &[3i32, 7, 11, 5, 9, 13]);
    same(&concat([&a, &a, &a], 1).slice(s![1, ..;-1]), &[4i32, 3, 4, 3, 4, 3]);
    same(&concat([&a.flip(0), &a.slice(s![..1])], 0), &[3i32, 4, 1, 2, 1, 2]);
    let e = concat([a.astype(U8), b.astype(F16)], 0);
    assert_eq!(e.dtype().unwrap(), F16);
    same(&stack([&a, &a], 0), &[1i32, 2, 3, 4, 1, 2, 3, 4]);
    same(&stack([&a, &a], -1), &[1i32, 1, 2, 2, 3, 3, 4, 4]);
    same(&stack([&a, &a], 1), &[1i32, 2, 1, 2, 3, 4, 3, 4]);
    assert_eq!(stack([put(d, vec![1f32], &[]), put(d, vec![2f32], &[])], 0).shape().unwrap(), [2]);
    same(&concat((0..100).map(|i| &*a + i), 0).sum(..).astype(I32), &[(0..100).map(|i| 10 + 4 * i).sum::<i32>()]);
    let m = concat([&a.matmul(&a), &(a.matmul(&a) + 1)], 0);
    same(&m, &[7i32, 10, 15, 22, 8, 11, 16, 23]);
    same(&concat([concat([&*a, &*b], 0), concat([&*b, &*a], 0)], 1), &[1i32, 2, 5, 6, 3, 4, 1, 2, 5, 6, 3, 4]);
    for e in [concat(Vec::<Expr>::new(), 0), concat([&*a, &*b], 1), concat([&*a], 2), concat([&*a], -3), stack([&*a, &*b], 0), stack(Vec::<Expr>::new(), 0), concat([1.0, 2.0], 0)] {
        assert!(e.eval().is_err());
    }
}

fn random_words_are_philox(d: &Device) {
    fn philox(c: [u32; 4], k: [u32; 2]) -> [u32; 4] {
        let (mut c, mut k) = (c, k);
        for r in 0..10 {
            if r > 0 {
                k = [k[0].wrapping_add(0x9E3779B9), k[1].wrapping_add(0xBB67AE85)];
            }
            let p0 = (c[0] as u64).wrapping_mul(0xD2511F53);
            let p1 = (c[2] as u64).wrapping_mul(0xCD9E8D57);
            c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        }
        c
    }
    assert_eq!(philox([0; 4], [0; 2])[0], 0x6627e8d5);
    let seed = 0x0123_4567_89ab_cdefu64;
    let key = [seed as u32, (seed >> 32) as u32];
    // four elements share a block
    let word = |i: u32, stream: u32, number: u32| philox([i / 4, 0, stream, number], key)[i as usize % 4];
    let long = |i: u32, stream: u32| (word(i, stream, 0) as u64) << 32 | word(i, stream, 1) as u64;
    let mut rng = Rng::new(seed);
    for stream in 0..3u32 {
        let n = 1000usize;
        let u = rng.uniform([n], DType::F32);
        let want: Vec<f32> = (0..n as u32).map(|i| (word(i, stream, 0) >> 8) as f32 * 2f32.powi(-24)).collect();
        same(&u.to_device(d).unwrap(), &want);
    }
    let shape = [7usize, 11, 13];
    let e = rng.uniform(shape, DType::F32);
    let host = Host { shape: shape.to_vec(), data: (0..1001).map(|i| (word(i, 3, 0) >> 8) as f32 * 2f32.powi(-24)).collect::<Vec<f32>>() };
    let z = zeros([1], F32).to_device(d).unwrap();
    same(&(&e + &z), &host.data);
    same(&(e.t() + &z), &host.permute(&[2, 1, 0]).data);
    same(&(e.permute_dims([1, 2, 0]) + &z), &host.permute(&[1, 2, 0]).data);
    same(&(e.slice(s![2, 3.., ..;-2]) + &z), &Host::of(&[8, 7], |i| host.at(&[2, i[0] + 3, 12 - 2 * i[1]])).data);
    same(&(e.flip(..) + &z), &host.flip(&[0, 1, 2]).data);
    same(&(e.broadcast_to([2, 7, 11, 13]) + &z), &[host.data.clone(), host.data.clone()].concat());
    same(&(e.reshape([77, 13]) + &z), &host.data);
    same(&(e.t().reshape([1001]) + &z), &host.permute(&[2, 1, 0]).data);
    same(&e.take(put(d, vec![6i32, 0], &[2]), 0), &Host::of(&[2, 11, 13], |i| host.at(&[6 - 6 * i[0], i[1], i[2]])).data);
    same(&(&e - &e + &z).max(..), &[0f32]);
    let i = rng.integers(-3, 4, [10_000], DType::I32).to_device(d).unwrap();
    let want: Vec<i32> = (0..10_000u32).map(|j| ((long(j, 4) as u128 * 7) >> 64) as i32 - 3).collect();
    same(&i, &want);
    let wide = rng.integers(i32::MIN, i32::MAX, [1000], DType::I32).to_device(d).unwrap();
    let want: Vec<i32> = (0..1000u32).map(|j| (((long(j, 5) as u128 * u32::MAX as u128) >> 64) as i64 + i32::MIN as i64) as i32).collect();
    same(&wide, &want);
    same(&rng.integers(5, 6, [10], DType::I32).to_device(d).unwrap(), &[5i32; 10]);
    assert!(rng.integers(5, 5, [10], DType::I32).eval().is_err());
    let b = rng.bernoulli(0.3, [20_000], DType::Bool).to_device(d).unwrap().astype(F32).mean(..).item::<f32>().unwrap();
    assert!((b - 0.3).abs() < 0.02, "{b}");
    same(&rng.bernoulli(0.0, [100], DType::Bool).to_device(d).unwrap().any(..), &[false]);
    same(&rng.bernoulli(1.0, [100], DType::Bool).to_device(d).unwrap().all(..), &[true]);
    for p in [-0.1, 1.1, f64::NAN] { assert!(rng.bernoulli(p, [1], DType::Bool).eval().is_err()); }
    let n = rng.normal([100_000], DType::F32).to_device(d).unwrap();
    let (m, s) = (n.mean(..).item::<f32>().unwrap(), n.std(..).item::<f32>().unwrap());
    assert!(m.abs() < 0.02 && (s - 1.0).abs() < 0.02, "{m} {s}");
    assert!(n.isfinite().all(..).item::<bool>().unwrap());
    let mut p = rng.permutation(1000).to_vec::<i64>().unwrap();
    assert!(p.iter().enumerate().filter(|(i, v)| *i as i64 == **v).count() < 20);
    p.sort();
    assert!(p.iter().enumerate().all(|(i, v)| i as i64 == *v));
    assert_eq!(rng.permutation(0).shape().unwrap(), [0]);
    // one stream per call, the same seed the same numbers, split apart
    let (mut a, mut b) = (Rng::new(1), Rng::new(1));
    assert_eq!(a.uniform([5], DType::F32).to_vec::<f32>().unwrap(), b.uniform([5], DType::F32).to_vec::<f32>().unwrap());
    assert_ne!(a.uniform([5], DType::F32).to_vec::<f32>().unwrap(), Rng::new(1).uniform([5], DType::F32).to_vec::<f32>().unwrap());
    let mut c = a.split();
    assert_ne!(c.uniform([5], DType::F32).to_vec::<f32>().unwrap(), a.uniform([5], DType::F32).to_vec::<f32>().unwrap());
    assert_ne!(Rng::new(1).uniform([5], DType::F32).to_vec::<f32>().unwrap(), Rng::new(1 << 32).uniform([5], DType::F32).to_vec::<f32>().unwrap());
}

fn copies_keep_every_bit(d: &Device) {
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
    assert_eq!(z.flip(0).to_vec::<bf16>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>(), h.iter().rev().copied().collect::<Vec<_>>());
    if has(d, F64) {
        let w = [0x7ff0_0000_0000_0001u64, 0xfff8_1234_5678_9abc, 1, 1 << 63];
        let v = put(d, w.map(f64::from_bits), &[4]).flip(0).to_vec::<f64>().unwrap();
        assert_eq!(v.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [w[3], w[2], w[1], w[0]]);
    }
}

fn results_keep_the_order_of_their_operands(d: &Device) {
    let c = put(d, noise(1, 24), &[2, 3, 4]);
    let f = c.t().eval().unwrap();
    let order = |e: &Expr| e.eval().unwrap().strides().to_vec();
    assert_eq!(order(&(&c + 1.0)), [12, 4, 1]);
    assert_eq!(order(&(&f + 1.0)), [1, 4, 12]);
    assert_eq!(order(&(&f + &f)), [1, 4, 12]);
    let c2 = put(d, noise(1, 24), &[4, 3, 2]);
    assert_eq!(order(&(&f + &c2)), [6, 2, 1], "no agreement: C");
    assert_eq!(order(&(&c + 1.0).t()), [1, 4, 12]);
    assert_eq!(order(&((&f * 2.0).exp() + 1.0)), [1, 4, 12]);
    assert_eq!(order(&(&f + put(d, noise(2, 2), &[2]))), [1, 4, 12]);
    assert_eq!(order(&(&f + put(d, noise(2, 4), &[4, 1, 1]))), [1, 4, 12]);
    assert_eq!(order(&f.slice(s![..;2, .., ..;-1]).relu()), [1, 2, 6]);
    assert_eq!(order(&f.astype(F16)), [1, 4, 12]);
    assert_eq!(order(&f.less(0)), [1, 4, 12]);
    assert_eq!(order(&select(f.less(0), 0, &f)), [1, 4, 12]);
    assert_eq!(order(&f.sum(0)), [2, 1], "every other result is C-ordered");
    assert_eq!(order(&(c.permute_dims([1, 0, 2]) + 0.0)), [4, 12, 1]);
    assert_eq!(order(&concat([&*f, &*f], 0)), [6, 2, 1]);
    assert_eq!(order(&f.reshape([24])), [1]);
    let m = put(d, noise(1, 6), &[2, 3]);
    assert_eq!(order(&m.t().matmul(&m)), [3, 1]);
    assert_eq!(order(&(m.broadcast_to([4, 2, 3]) + 0.0)), [6, 3, 1]);
    assert!((&c + 1.0).eval().unwrap().is_contiguous());
    assert!(!f.is_contiguous());
}

fn million_node_chain(d: &Device) {
    let mut stage = stage::Stage::new(17, "deep graphs", d);
    stage.count(5);
    let d = d.clone();
    let run = move || {
        let x = put(&d, vec![0i32, 1], &[2]);
        let mut e = &x + 0;
        for _ in 0..1_000_000 {
            e = e + 1;
        }
        same(&e, &[1_000_000i32, 1_000_001]);
        assert_eq!(e.shape().unwrap(), [2]);
        drop(e);
        // alternating, so that nothing folds, and held by a second handle
        let mut e = &x * 1.0;
        for i in 0..100_000 {
            e = if i % 2 == 0 { (e + &x).astype(F32) } else { -(e - 1.0) };
        }
        let held = e.clone();
        drop(e);
        assert!(held.eval().is_ok());
        let mut e = &x + 0;
        for _ in 0..100_000 { e = e.slice(s![..;-1]) * 1; }
        same(&e, &[0i32, 1]);
        let mut bad = &x + put(&d, vec![1i32; 3], &[3]);
        for _ in 0..100_000 { bad = bad + 1; }
        assert!(bad.eval().unwrap_err().to_string().starts_with("add: shapes [2] and [3]"));
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

fn shared_parts_are_computed_once(d: &Device) {
    let x = put(d, vec![1f32, 3.0], &[2]);
    let mut e = &x + 0.0;
    for _ in 0..60 { e = &e + &e; }
    same(&e, &[2f32.powi(60), 3.0 * 2f32.powi(60)]);
    let mut e = &x + 0.0;
    for _ in 0..60 { e = (&e * 0.5).sum(keep(0)) + &e * 0.5; }
    assert!(e.eval().is_ok());
    let mut e = put(d, vec![1i32, 1, 1, 0], &[2, 2]) + 0;
    for _ in 0..60 { e = e.matmul(&e) & 0xff; }
    assert_eq!(e.shape().unwrap(), [2, 2]);
    assert!(e.eval().is_ok());
    let mut e = &x + 0.0;
    for _ in 0..40 { e = concat([&e, &e], 0).slice(s![..2]) + e.flip(0); }
    assert!(e.eval().is_ok());
    let mut e = &x * 0.5;
    for _ in 0..60 { e = e.take(put(d, vec![1i32, 0], &[2]), 0) * 0.5 + &e; }
    assert!(e.eval().is_ok());
    let mut e = &x * 0.25;
    for _ in 0..60 { e = select(e.less(0.5), &e * 2.0, &e * 0.5) + (&e - &e); }
    assert!(e.eval().is_ok());
}

fn many_inputs(d: &Device) {
    for n in [9usize, 33, 64, 65, 130, 300] {
        let all: Vec<Array> = (0..n).map(|i| put(d, vec![i as i32, 1], &[2])).collect();
        let mut e = &all[0] + 0;
        for a in &all[1..] { e = e + a; }
        same(&e, &[(n * (n - 1) / 2) as i32, n as i32]);
        // a balanced tree
        let mut level: Vec<Expr> = all.iter().map(|a| &**a * 1).collect();
        while level.len() > 1 { level = level.chunks(2).map(|c| if c.len() == 2 { &c[0] + &c[1] } else { c[0].clone() }).collect(); }
        same(&level[0], &[(n * (n - 1) / 2) as i32, n as i32]);
        let mut e = all[0].sum(..);
        for a in &all[1..] { e = e + a.sum(..); }
        same(&e, &[(n * (n - 1) / 2 + n) as i64]);
        same(&stack(all.iter(), 0).sum(0), &[(n * (n - 1) / 2) as i64, n as i64]);
        let mut e = &all[0] + 0;
        for (i, a) in all.iter().enumerate() { e = e + a * (i as i32) - (i as i32 + 1); }
        assert!(e.eval().is_ok());
    }
}

fn several_results_at_once(d: &Device) {
    let x = put(d, noise(1, 100), &[10, 10]);
    let e = (&x * 2.0).exp();
    let (s, m, y) = (e.sum(0), e.sum(..), &e + 1.0);
    let own: Vec<Expr> = vec![s.clone(), m.clone(), y.clone(), s.clone(), (*x).clone(), e.clone(), x.t(), s.clone() * 1.0];
    let all = eval_many(own.iter()).unwrap();
    assert_eq!(all.len(), 8);
    for (a, e) in all.iter().zip(&own) {
        assert_eq!(a.shape(), e.shape().unwrap());
        assert_eq!(a.to_vec::<f32>().unwrap(), e.to_vec::<f32>().unwrap());
    }
    assert!(eval_all([]).unwrap().is_empty() && eval_many(std::iter::empty::<Expr>()).unwrap().is_empty());
    let bad = &x + put(d, vec![1f32; 3], &[3]);
    assert!(eval_all([&s, &bad]).is_err());
    let z = zeros([3], F32);
    let both = eval_all([&z, &m]).unwrap();
    assert_eq!(both[0].device(), *d);
    let none = put::<f32>(d, vec![], &[0]);
    let two = eval_all([&(&none + 1.0), &none.sum(..), &m]).unwrap();
    assert_eq!(two[1].item::<f32>().unwrap(), 0.0);
    // a result that another result reads
    let a = &x + 1.0;
    let b = a.sum(0);
    let c = (&b * 2.0).max(..);
    let all = eval_all([&c, &b, &a]).unwrap();
    assert_eq!(all[0].to_vec::<f32>().unwrap(), c.to_vec::<f32>().unwrap());
    assert_eq!(all[1].to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    assert_eq!(all[2].to_vec::<f32>().unwrap(), a.to_vec::<f32>().unwrap());
    let all = eval_all([&a, &a.t(), &a.slice(s![2..]), &a.astype(I32)]).unwrap();
    for (r, e) in all.iter().zip([&a, &a.t(), &a.slice(s![2..])]) { assert_eq!(r.to_vec::<f32>().unwrap(), e.to_vec::<f32>().unwrap()); }
}

fn threads_agree_to_the_bit(d: &Device) {
    let x = put(d, noise(1, 300 * 257), &[300, 257]);
    let shared = (&x * 3.0).sin();
    let forms: Vec<Expr> = vec![
        shared.sum(0), shared.sum(1), shared.mean(..), x.softmax(-1), x.matmul(x.t()), x.argmax(0), (&x - x.mean(0)) / x.std(0),
        concat([&shared, &*x], 0), x.layer_norm(-1, 1e-5),
    ];
    let bits = |e: &Expr| e.astype(F32).to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let want: Vec<Vec<u32>> = forms.iter().map(bits).collect();
    std::thread::scope(|s| {
        for t in 0..8 {
            let (forms, want) = (&forms, &want);
            s.spawn(move || {
                for r in 0..12 {
                    let i = (t + r) % forms.len();
                    assert_eq!(bits(&forms[i]), want[i], "form {i}");
                }
            });
        }
    });
}
}
