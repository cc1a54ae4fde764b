//! What operations mean: types, integers, floats, reductions, products, gathers, generators. Expected values are
//! written by hand from the design, or computed here in f64 or i128.

mod support;
use cupric::DType::{self, *};
use cupric::*;
use support::*;

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
                let sum = want.map(|w| match w { Bool | I8 | I16 => I32, U8 | U16 => U32, o => o });
                let got = e.dtype().ok();
                assert!(got == want || got == sum, "{a} {b}: {got:?} {want:?}");
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
    for (t, want) in [(Bool, I32), (I8, I32), (I16, I32), (I32, I32), (U8, U32), (U16, U32), (U32, U32), (I64, I64), (U64, U64), (F16, F16), (BF16, BF16), (F32, F32), (F64, F64)] {
        if !has(d, t) { continue }
        let x = ones([300], t).to_device(d).unwrap();
        assert_eq!(x.sum(..).dtype().unwrap(), want);
        assert_eq!(x.prod(..).dtype().unwrap(), want);
        let s = x.sum(..).astype(F32).item::<f32>().unwrap();
        assert_eq!(s, 300.0, "{t}");
        assert_eq!(x.count_nonzero(..).item::<i32>().unwrap(), 300);
        assert_eq!(x.max(..).dtype().unwrap(), t);
        assert_eq!(x.argmax(..).dtype().unwrap(), I32);
        assert_eq!(x.argmax(..).item::<i32>().unwrap(), 0, "{t}");
        assert_eq!(x.min(..).astype(F32).item::<f32>().unwrap(), 1.0, "{t}");
        assert!(x.any(..).item::<bool>().unwrap());
        assert!(x.all(..).item::<bool>().unwrap());
    }
    same(&put(d, vec![200u8; 300], &[300]).sum(..), &[60_000u32]);
    same(&put(d, vec![-100i8; 300], &[300]).sum(..), &[-30_000i32]);
    same(&put(d, vec![i32::MAX, 1], &[2]).sum(..), &[i32::MIN]);
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
        assert_eq!((&x).less(2).dtype().unwrap(), Bool);
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
    same(&minimum(-1i64, u64::MAX).less(0), &[true]);
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
    same(&a.sum(..), &[2i32]);
    same(&a.prod(..), &[0i32]);
    same(&a.max(..), &[true]);
    same(&a.min(..), &[false]);
    same(&a.argmax(..), &[2i32]);
    same(&a.argmin(..), &[0i32]);
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
    same(&(&x + 1.0).argmax(..), &[0i32]);
    same(&concat([&(&x + 1.0).slice(s![0;1]).reshape([1]), &(&x * 1.0).slice(s![..1])], 0).argmax(..), &[0i32]);
    let t = put(d, vec![h(2048.0), h(2048.0)], &[2]) + put(d, vec![h(0.0), h(1.0)], &[2]);
    same(&t.argmax(..), &[0i32]);
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
    if has(d, F64) {
        same(&nextafter(put(d, vec![1f64], &[1]), 2.0), &[f64::from_bits(1f64.to_bits() + 1)]);
    }
    assert!(nextafter(put(d, vec![1i32], &[1]), 2).eval().is_err());
}

fn generators(d: &Device) {
    same(&zeros([2, 3], F32).to_device(d).unwrap(), &[0f32; 6]);
    same(&ones([0], I8).to_device(d).unwrap(), &[] as &[i8]);
    same(&empty([3], U16).to_device(d).unwrap(), &[0u16; 3]);
    same(&full([2], 2.5).to_device(d).unwrap(), &[2.5f32; 2]);
    same(&full([2], 7).to_device(d).unwrap(), &[7i32; 2]);
    same(&full([2], true).to_device(d).unwrap(), &[true; 2]);
    same(&full([2, 2], put(d, vec![1i32, 2], &[2])), &[1i32, 2, 1, 2]);
    same(&arange(0, 5, 1).to_device(d).unwrap(), &[0i32, 1, 2, 3, 4]);
    same(&arange(5, 0, -2).to_device(d).unwrap(), &[5i32, 3, 1]);
    same(&arange(0, 0, 1).to_device(d).unwrap(), &[] as &[i32]);
    same(&arange(3, 0, 1).to_device(d).unwrap(), &[] as &[i32]);
    same(&arange(0.0, 1.0, 0.25).to_device(d).unwrap(), &[0f32, 0.25, 0.5, 0.75]);
    same(&arange(i32::MAX - 2, i32::MAX, 1).to_device(d).unwrap(), &[i32::MAX - 2, i32::MAX - 1]);
    same(&arange(i32::MIN, i32::MAX, 1 << 30).to_device(d).unwrap(), &[i32::MIN, -(1 << 30), 0, 1 << 30]);
    if has(d, I64) {
        same(&arange(3_000_000_000i64, 3_000_000_003i64, 1).to_device(d).unwrap(), &[3_000_000_000i64, 3_000_000_001, 3_000_000_002]);
        same(&arange(0, 3_000_000_003i64, 3_000_000_000i64).to_device(d).unwrap(), &[0i64, 3_000_000_000]);
        let e = arange(-10, u64::MAX, 1u64 << 62).to_device(d);
        assert!(e.is_err() || e.unwrap().dtype() != U64, "−10 in a u64 range");
        // the step alone is wide
        let v = arange(i32::MIN, i32::MAX, u32::MAX - 1).to_device(d).unwrap();
        assert_eq!(v.astype(I64).to_vec::<i64>().unwrap(), [i32::MIN as i64, i32::MIN as i64 + u32::MAX as i64 - 1]);
    }
    same(&linspace(0.0, 1.0, 5).to_device(d).unwrap(), &[0f32, 0.25, 0.5, 0.75, 1.0]);
    same(&linspace(3.0, 5.0, 1).to_device(d).unwrap(), &[3f32]);
    same(&linspace(3.0, 5.0, 0).to_device(d).unwrap(), &[] as &[f32]);
    let l = linspace(-1.0, 0.1, 1000).to_device(d).unwrap().to_vec::<f32>().unwrap();
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
    assert!(arange(0, 5, 0).eval().is_err());
    assert!(arange(0.0, f64::NAN, 1.0).eval().is_err());
    assert!(arange(0.0, f64::INFINITY, 1.0).eval().is_err());
    assert_eq!(arange(0, 10, 3).t().slice(s![..;-1]).to_vec::<i32>().unwrap(), [9, 6, 3, 0]);
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
}
