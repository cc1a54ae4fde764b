//! Sums, differences and products are computed as written: a shader compiler must not simplify `(x + 1) − x` to 1, or
//! `y − y` to 0.

// these tests use `x − x`
#![allow(clippy::eq_op)]

use crate::kit::{has, noise, on_devices, put, same};
use cupric::DType::*;
use cupric::*;

const INF: f32 = f32::INFINITY;

/// Numbers for which a simplified formula gives another result.
fn edges() -> Vec<f32> {
    let mut v =
        vec![1e10, INF, 3.0, -INF, f32::NAN, -0.0, 0.0, 1e20, -1e-20, 0.1, 1.0 / 3.0, 7e-4, f32::MAX, 16_777_216.0];
    v.extend(noise(5, 50).iter().map(|x| x * 1e3));
    v
}

/// Applies a function of the host's arithmetic to each number.
fn of(x: &[f32], f: impl Fn(f32) -> f32) -> Vec<f32> {
    x.iter().map(|x| f(*x)).collect()
}

on_devices! {

fn a_sum_less_its_term(d: &Device) {
    let x = put(d, [1e10, INF, 3.0], &[3]);
    same(&((&x + 1.0) - &x), &[0.0, f32::NAN, 1.0]);
    let v = edges();
    let x = put(d, v.clone(), &[v.len()]);
    same(&((&x + 1.0) - &x), &of(&v, |x| (x + 1.0) - x));
    same(&((&x + 1e8) - 1e8), &of(&v, |x| (x + 1e8) - 1e8));
    same(&(1.0 - (1.0 - &x)), &of(&v, |x| 1.0 - (1.0 - x)));
    same(&(&x + (1.0 + -&x)), &of(&v, |x| x + (1.0 + -x)));
    same(&((&x - 0.1) + (0.1 - &x)), &of(&v, |x| (x - 0.1) + (0.1 - x)));
    // casts without effect and `positive` must not hide the pattern from this protection
    same(&((&x + 1.0).positive().astype(F32) - x.positive()), &of(&v, |x| (x + 1.0) - x));
}

fn a_value_less_itself(d: &Device) {
    let v = edges();
    let x = put(d, v.clone(), &[v.len()]);
    let y = x.sqrt();
    same(&(&y - &y), &of(&v, |x| x.sqrt() - x.sqrt()));
    same(&(&y - &y).isnan(), &v.iter().map(|x| !x.sqrt().is_finite()).collect::<Vec<_>>());
    same(&(&x - &x), &of(&v, |x| x - x));
    same(&(&x + -&x), &of(&v, |x| x + -x));
    same(&(&x - x.positive()), &of(&v, |x| x - x));
    let y = &x + 0.1;
    same(&(&y - &y), &of(&v, |x| (x + 0.1) - (x + 0.1)));
    same(&(&y - y.positive()), &of(&v, |x| (x + 0.1) - (x + 0.1)));
    let y = &x * 3.0;
    same(&(&y - &y), &of(&v, |x| x * 3.0 - x * 3.0));
    same(&(&y + -&y), &of(&v, |x| x * 3.0 + -(x * 3.0)));
    same(&(&y / &y), &of(&v, |x| (x * 3.0) / (x * 3.0)));
    let b = put(d, [INF, -INF, 2.0], &[3]);
    same(&b.lerp(&b, 0.5), &[f32::NAN, f32::NAN, 2.0]);
    // maxima of rows: NaN where the largest element is infinite
    let m = put(d, [1.0, INF, -INF, 2.0, INF, -INF], &[2, 3]);
    let top = m.max(keep(0));
    same(&(&top - &top), &[0.0, f32::NAN, f32::NAN]);
    same(&((&m - &top) - (&m - &top)), &[0.0, f32::NAN, f32::NAN, 0.0, f32::NAN, f32::NAN]);
}

fn products_are_not_taken_together(d: &Device) {
    let v = edges();
    let (w, z): (Vec<f32>, Vec<f32>) = (noise(8, v.len()), noise(9, v.len()));
    let x = put(d, v.clone(), &[v.len()]);
    let (y, u) = (put(d, w.clone(), &[v.len()]), put(d, z.clone(), &[v.len()]));
    let all = |f: &dyn Fn(f32, f32, f32) -> f32| -> Vec<f32> { (0..v.len()).map(|i| f(v[i], w[i], z[i])).collect() };
    same(&(&x * 2.1 + &x * 3.3), &of(&v, |x| x * 2.1 + x * 3.3));
    same(&(&x * &y + &x * &u), &all(&|x, y, z| x * y + x * z));
    same(&(&x * &y - &x * &u), &all(&|x, y, z| x * y - x * z));
    same(&(&x * &y + &u), &all(&|x, y, z| x * y + z));
    same(&(&x * 0.3 / 0.3), &of(&v, |x| x * 0.3 / 0.3));
    same(&((&x * 1e-30) * 1e30), &of(&v, |x| (x * 1e-30) * 1e30));
    same(&(x.square() - &x * &x), &of(&v, |x| x * x - x * x));
    same(&(x.abs().sqrt() * x.abs().sqrt()), &of(&v, |x| x.abs().sqrt() * x.abs().sqrt()));
    same(&(&x * 0.0), &of(&v, |x| x * 0.0));
    same(&(&x + 0.0), &of(&v, |x| x + 0.0));
    // the rounding error of a product, by splitting factors into halves of twelve bits
    let p = &y * &u;
    let split = |x: &Expr| { let c = x * 4097.0; let h = &c - (&c - x); (h.clone(), x - &h) };
    let ((yh, yl), (uh, ul)) = (split(&y), split(&u));
    let rest = ((&yh * &uh - &p) + &yh * &ul + &yl * &uh) + &yl * &ul;
    same(&rest, &all(&|_, y, z| (y as f64 * z as f64 - (y * z) as f64) as f32));
}

fn f64_is_not_folded(d: &Device) {
    if !has(d, F64) {
        return;
    }
    let v: Vec<f64> = vec![1e20, f64::INFINITY, 3.0, -f64::INFINITY, f64::NAN, -0.0, 0.0, 0.1, 1e300, 1.0 / 3.0];
    let of = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { v.iter().map(|x| f(*x)).collect() };
    let x = put(d, v.clone(), &[v.len()]);
    same(&((&x + 1.0) - &x), &of(&|x| (x + 1.0) - x));
    same(&((&x + 1e18) - 1e18), &of(&|x| (x + 1e18) - 1e18));
    same(&(1.0 - (1.0 - &x)), &of(&|x| 1.0 - (1.0 - x)));
    same(&(&x - &x), &of(&|x| x - x));
    same(&(&x + -&x), &of(&|x| x + -x));
    same(&(&x / &x), &of(&|x| x / x));
    let y = x.sqrt();
    same(&(&y - &y), &of(&|x| x.sqrt() - x.sqrt()));
    same(&(&x * 2.1 + &x * 3.3), &of(&|x| x * 2.1 + x * 3.3));
    same(&(1.0 / (1.0 / &x)), &of(&|x| 1.0 / (1.0 / x)));
    same(&(&x * 0.3 / 0.3), &of(&|x| x * 0.3 / 0.3));
    same(&(&x * 0.0), &of(&|x| x * 0.0));
    let s = x.slice(s![2..3]).sum(0);
    same(&((&s + 1e18) - &s), &[(3.0 + 1e18) - 3.0]);
}

fn half_precision_is_not_folded(d: &Device) {
    let v: Vec<f16> = [1.0, f32::INFINITY, -f32::INFINITY, f32::NAN, 3.5, -0.0, 1e-4].map(f16::from_f32).to_vec();
    let x = put(d, v.clone(), &[v.len()]);
    let of = |f: &dyn Fn(f32) -> f32| -> Vec<f16> { v.iter().map(|x| f16::from_f32(f(x.to_f32()))).collect() };
    let e = &x * 2.0;
    same(&(&e - &e), &of(&|x| x * 2.0 - x * 2.0));
    let e = x.sqrt();
    same(&(&e - &e), &of(&|x| x.sqrt() - x.sqrt()));
    same(&((&x + 3e4) - 3e4), &of(&|x| (x + 3e4) - 3e4));
    // through a cast to f32, which has no effect here
    same(&((&x + 3e4).astype(F32) - 3e4), &v.iter().map(|x| (x.to_f32() + 3e4) - 3e4).collect::<Vec<f32>>());
}

fn sums_of_two_numbers_are_exact(d: &Device) {
    let (v, w) = (edges(), noise(6, 64));
    let (a, b) = (put(d, v.clone(), &[v.len()]), put(d, w[..v.len()].to_vec(), &[v.len()]));
    let s = &a + &b;
    let back = &s - &a;
    let error = (&a - (&s - &back)) + (&b - &back);
    let want = |a: f32, b: f32| { let s = a + b; let back = s - a; (a - (s - back)) + (b - back) };
    let want: Vec<f32> = v.iter().zip(&w).map(|(a, b)| want(*a, *b)).collect();
    same(&error, &want);
    assert!(want.iter().filter(|e| e.is_finite() && **e != 0.0).count() > 20);
}

fn behind_reductions(d: &Device) {
    let v = [1e8f32, 3.0, INF, 1.0, 1.0, 2.0];
    let x = put(d, v, &[2, 3]);
    let s = x.sum(0);
    let sums = [1e8f32 + 1.0, 3.0 + 1.0, INF];
    same(&((&s + 1.0) - &s), &of(&sums, |s| (s + 1.0) - s));
    let t = &s * 0.3;
    same(&(&t - &t), &of(&sums, |s| s * 0.3 - s * 0.3));
    same(&((&s + 1e8) - 1e8), &of(&sums, |s| (s + 1e8) - 1e8));
    // before a reduction, and within a row kernel
    same(&((&x + 1e8) - 1e8).max(0), &of(&[v[0].max(v[3]), 0.0, INF], |s| (s + 1e8) - 1e8));
    let top = x.max(keep(1));
    let e = ((&x - &top) + 1e8) - 1e8;
    let want = |i: usize| { let m = [INF, 2.0][i / 3]; ((v[i] - m) + 1e8) - 1e8 };
    same(&e, &(0..6).map(want).collect::<Vec<_>>());
    same(&(&e - &e), &(0..6).map(|i| want(i) - want(i)).collect::<Vec<_>>());
}

fn in_the_epilogue_of_a_product(d: &Device) {
    let (a, b) = (put(d, [1.0f32, INF, 3.0], &[3, 1]), put(d, [1.0f32, 2.0], &[1, 2]));
    let p = a.matmul(&b);
    let v = [1.0f32, 2.0, INF, INF, 3.0, 6.0];
    same(&((&p + 1e8) - 1e8), &of(&v, |x| (x + 1e8) - 1e8));
    same(&(&p - &p), &of(&v, |x| x - x));
    same(&((&p + 1e10) - &p), &of(&v, |x| (x + 1e10) - x));
}

fn a_compensated_sum(d: &Device) {
    // Kahan summation of 40 rows, each step written by the user; all in one kernel
    let (rows, n) = (40, 300);
    let mut v: Vec<f32> = noise(11, rows * n).iter().map(|x| x + 1.0).collect();
    v[..n].fill(1e8);
    v[(rows - 1) * n..].fill(-1e8);
    let x = put(d, v.clone(), &[rows, n]);
    let (mut s, mut c) = (x.slice(s![0]), x.slice(s![0]) * 0.0);
    for i in 1..rows as isize {
        let y = x.slice(s![i]) - &c;
        let t = &s + &y;
        c = (&t - &s) - &y;
        s = t;
    }
    let got = s.to_vec::<f32>().unwrap();
    for (j, got) in got.iter().enumerate() {
        let (mut s, mut c) = (v[j], 0.0f32);
        for i in 1..rows {
            let y = v[i * n + j] - c;
            let t = s + y;
            c = (t - s) - y;
            s = t;
        }
        assert_eq!(got.to_bits(), s.to_bits(), "column {j}");
        let (mut exact, mut plain) = (0f64, 0f32);
        for i in 0..rows {
            exact += v[i * n + j] as f64;
            plain += v[i * n + j];
        }
        assert!((*got as f64 - exact).abs() <= 8.0, "column {j}: {got}, exactly {exact}");
        assert!(j > 0 || (plain as f64 - exact).abs() > 8.0, "a plain sum does as well: {plain}, exactly {exact}");
    }
}

fn a_sum_with_its_error(d: &Device) {
    // Neumaier's summation: rounding errors are summed separately, so the result is right to about the last digit
    let (rows, n) = (24, 100);
    let mut v: Vec<f32> = noise(12, rows * n);
    v[..n].fill(3e9);
    v[(rows - 1) * n..].fill(-3e9);
    let x = put(d, v.clone(), &[rows, n]);
    let (mut s, mut rest) = (x.slice(s![0]), x.slice(s![0]) * 0.0);
    for i in 1..rows as isize {
        let b = x.slice(s![i]);
        let t = &s + &b;
        let back = &t - &s;
        rest = rest + ((&s - (&t - &back)) + (&b - &back));
        s = t;
    }
    let got = (s + rest).to_vec::<f32>().unwrap();
    for (j, got) in got.iter().enumerate() {
        let exact: f64 = (0..rows).map(|i| v[i * n + j] as f64).sum();
        assert!((*got as f64 - exact).abs() <= 1e-5, "column {j}: {got}, exactly {exact}");
    }
}

}
