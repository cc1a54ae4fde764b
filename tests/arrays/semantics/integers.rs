//! Integers and bools: comparisons, division, wrapping, shifts, powers, logic.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

pub fn comparisons_are_exact_between_integers(d: &Device) {
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

pub fn comparisons_with_numbers_outside_the_type(d: &Device) {
    let u = put(d, vec![0u8, 255], &[2]);
    let i = put(d, vec![-128i8, 127], &[2]);
    for (e, want) in [
        (u.less(300), true),
        (u.less(-1), false),
        (u.greater(300), false),
        (u.greater(-1), true),
        (u.less_equal(256), true),
        (u.greater_equal(256), false),
        (u.equal(256), false),
        (u.not_equal(-1), true),
        (less(300, &u), false),
        (greater(300, &u), true),
        (less(-1, &u), true),
        (less_equal(-1, &u), true),
        (i.less(200), true),
        (i.greater(-1000), true),
        (i.equal(u64::MAX), false),
        (less(u64::MAX, &i), false),
        (u.less(i64::MAX), true),
        (u.greater(i64::MIN), true),
        (equal(-1, &u), false),
        (not_equal(1e9 as i64, &u), true),
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

pub fn integer_division_and_remainder(d: &Device) {
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
        all8.iter()
            .flat_map(|a| all8.iter().map(move |b| if *b == 0 { 0 } else { f(*a as i32, *b as i32) as i8 }))
            .collect()
    };
    same(&floor_divide(&x, &y), &grid8(|a, b| (a as f32 / b as f32).floor() as i32));
    same(&(&x % &y), &grid8(|a, b| ((a % b) + b) % b));
    same(&fmod(&x, &y), &grid8(|a, b| a % b));
    if has(d, I64) {
        let (x, y) = (put(d, vec![i64::MIN, i64::MIN, -7, 7, 7], &[5]), put(d, vec![-1i64, 0, 2, -2, 0], &[5]));
        same(&floor_divide(&x, &y), &[i64::MIN, 0, -4, -4, 0]);
        same(&(&x % &y), &[0i64, 0, 1, -1, 0]);
    }
    // true division of integers gives floats, so division by zero gives infinity or NaN
    same(&(put(d, vec![1i32, -1, 0], &[3]) / 0), &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN]);
}

pub fn integers_wrap_at_their_own_width(d: &Device) {
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

pub fn shifts(d: &Device) {
    let x = put(d, vec![1i32, -8, i32::MAX, i32::MIN], &[4, 1]);
    let n = put(d, vec![0i32, 1, 31, 32, 33, -1, i32::MIN], &[7]);
    let l = |v: i32, n: i32| if (0..32).contains(&n) { v << n } else { 0 };
    let r = |v: i32, n: i32| {
        if (0..32).contains(&n) {
            v >> n
        } else if v < 0 {
            -1
        } else {
            0
        }
    };
    let grid = |f: &dyn Fn(i32, i32) -> i32| -> Vec<i32> {
        [1, -8, i32::MAX, i32::MIN].iter().flat_map(|a| [0, 1, 31, 32, 33, -1, i32::MIN].map(|b| f(*a, b))).collect()
    };
    same(&(&x << &n), &grid(&l));
    same(&(&x >> &n), &grid(&r));
    let x = put(d, vec![-128i8, 127, -1], &[3, 1]);
    let n = put(d, vec![0i8, 1, 7, 8, 127, -1, -128], &[7]);
    let want: Vec<i8> = [-128i8, 127, -1]
        .iter()
        .flat_map(|a| {
            [0i8, 1, 7, 8, 127, -1, -128]
                .map(|b| if (0..8).contains(&b) { a >> b } else { if *a < 0 { -1 } else { 0 } })
        })
        .collect();
    same(&(&x >> &n), &want);
    let want: Vec<i8> = [-128i8, 127, -1]
        .iter()
        .flat_map(|a| {
            [0i8, 1, 7, 8, 127, -1, -128].map(|b| if (0..8).contains(&b) { ((*a as i32) << b) as i8 } else { 0 })
        })
        .collect();
    same(&(&x << &n), &want);
    same(&(put(d, vec![0x80u8, 1], &[2]) >> 8), &[0u8, 0]);
    same(&(put(d, vec![0x80u8, 1], &[2]) << 1), &[0u8, 2]);
    same(&(put(d, vec![u32::MAX], &[1]) >> 40), &[0u32]);
    same(&(put(d, vec![-5i32], &[1]) >> 40), &[-1i32]);
    assert!((put(d, vec![1f32], &[1]) << 1).eval().is_err());
}

pub fn integer_powers(d: &Device) {
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
                        -1 => {
                            if e % 2 == 0 {
                                1
                            } else {
                                -1
                            }
                        }
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

pub fn bool_rules(d: &Device) {
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
