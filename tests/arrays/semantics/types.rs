//! Types: promotion, literals without a dtype, operations whose result has another dtype than the operands, casts.

use crate::kit::*;
use cupric::DType::{self, *};
use cupric::*;

/// The promotion table of the Array API (13 × 13 dtypes), with this library's rules for floats; `-` is an error. Order:
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

/// Rounds an f64 once to a type with `bits` fraction bits and smallest exponent `low` (`half` goes through f32).
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

/// The dtypes that the device supports.
fn types(d: &Device) -> Vec<DType> {
    NAMES.iter().map(|n| n.1).filter(|t| has(d, *t)).collect()
}

pub fn promotion_of_all_pairs(d: &Device) {
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
                if !has(d, w) {
                    continue;
                }
                let got = e.eval().unwrap();
                assert_eq!(got.dtype(), w);
                assert_eq!(got.device(), *d);
                let two = got.astype(F32).item::<f32>().unwrap();
                assert_eq!(two, if w == Bool { 1.0 } else { 2.0 }, "{a} + {b}");
            } else {
                assert_eq!(e.eval().unwrap_err().kind(), ErrorKind::DType);
            }
            for e in [
                maximum(one(d, a), one(d, b)),
                concat([one(d, a), one(d, b)], 0),
                select(one(d, Bool), one(d, a), one(d, b)),
                matmul(one(d, a), one(d, b)).reshape([1]),
            ] {
                assert_eq!(e.dtype().ok(), want, "{a} {b}");
            }
        }
    }
}

pub fn division_gives_a_float(d: &Device) {
    for a in types(d) {
        let e = one(d, a) / one(d, a);
        let want = match a {
            F16 | BF16 | F64 => a,
            _ => F32,
        };
        assert_eq!(e.dtype().unwrap(), want, "{a} / {a}");
        assert_eq!(e.astype(F32).to_vec::<f32>().unwrap(), [1.0]);
        for e in [one(d, a).exp(), one(d, a).mean(..), one(d, a).var(..), one(d, a).std(..), one(d, a).softmax(0)] {
            assert_eq!(e.dtype().unwrap(), want, "{a}");
            let v = e.astype(F32).eval();
            assert!(v.is_ok(), "{a}: {v:?}");
        }
    }
}

pub fn sums_and_products_widen(d: &Device) {
    for (t, want) in [
        (Bool, I64),
        (I8, I64),
        (I16, I64),
        (I32, I64),
        (U8, U64),
        (U16, U64),
        (U32, U64),
        (I64, I64),
        (U64, U64),
        (F16, F16),
        (BF16, BF16),
        (F32, F32),
        (F64, F64),
    ] {
        if !has(d, t) {
            continue;
        }
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

pub fn weak_scalars_take_the_arrays_type(d: &Device) {
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
    // literals are rounded once, too
    let z = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
    same(&(put(d, vec![f16::from_f32(0.0)], &[1]) + z), &[to_f16(z)]);
    same(&(put(d, vec![f16::from_f32(1.0)], &[1]) * 65519.999), &[to_f16(65519.999)]);
    // an integer is rounded once to f32: 2^24 + 1 ties to even, 2^53 + 2^29 + 1 does not pass through f64
    same(&(put(d, vec![0f32], &[1]) + 16_777_217i64), &[16_777_216f32]);
    same(&(put(d, vec![0f32], &[1]) + ((1i64 << 60) + (1 << 36) + 1)), &[((1i64 << 60) + (1 << 36) + 1) as f32]);
}

pub fn expressions_of_numbers_stay_weak(d: &Device) {
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

pub fn select_types_and_values(d: &Device) {
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
    // all three operands broadcast
    let col = put(d, vec![1.5f32, 2.5], &[2, 1]);
    let e = select(&c, &col, &a);
    assert_eq!(e.shape().unwrap(), [2, 3]);
    same(&e, &[1.5f32, 2.0, 1.5, 2.5, 2.0, 2.5]);
    // NaN and infinity in the branch not taken do not leak
    same(&select(&c, &a, f64::NAN).slice(s![0]), &[1f32]);
    // literals without a common type must not panic
    let e = select(&c, -1, u64::MAX).eval();
    assert!(e.is_err() || e.unwrap().shape() == [3]);
}

#[allow(clippy::too_many_lines, reason = "a line for each type")]
pub fn casts_follow_rust(d: &Device) {
    let x = [
        0.0f32,
        -0.0,
        0.5,
        -0.5,
        1.9,
        -1.9,
        127.5,
        128.0,
        -128.9,
        -129.0,
        255.9,
        256.0,
        65535.9,
        65536.0,
        2147483520.0,
        2147483648.0,
        -2147483648.0,
        4294967040.0,
        4294967296.0,
        1e20,
        -1e20,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        1e-45,
    ];
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
        let y =
            [0.1f64, 1e300, -1e300, 1e-320, f64::NAN, 9.007199254740993e15, 1.8446744073709552e19, 65519.999, 65520.0];
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
        if has(d, F64) {
            same(&c.astype(F64), &l.map(|v| v as f64));
        }
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
