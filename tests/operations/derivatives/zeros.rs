//! Derivatives of products and powers where factors are 0.

use super::edges::slope;
use crate::kit::{on_devices, put};
use cupric::*;

/// The derivative of a sum of squares of the parts of `f`, with weights, with respect to both parts.
fn complex(d: &Device, re: &[f32], im: &[f32], f: impl Fn(&Complex) -> Complex) -> [Vec<f32>; 2] {
    let [re, im] = [re, im].map(|part| put::<f32>(d, part, &[part.len()]));
    let w = f(&Complex::new(&re, &im));
    grad(&(w.real() * 2.0 + w.imag()).sum(..), [&re, &im])
        .map(|g| g.to_device(&Device::cpu()).unwrap().to_vec().unwrap())
}

/// Compares numbers with an absolute error of 1e-5, relative to the largest.
#[track_caller]
fn near(found: [Vec<f32>; 2], wanted: [&[f32]; 2]) {
    let scale = wanted.iter().flat_map(|part| part.iter()).fold(1f32, |most, v| most.max(v.abs()));
    for (found, wanted) in found.iter().zip(wanted) {
        let is_near = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= 1e-5 * scale);
        assert!(found.len() == wanted.len() && is_near, "{found:?}, not {wanted:?}");
    }
}

/// The second derivatives of `f`, a function of one element for each row.
fn hessian(d: &Device, x: &[f32], f: impl Fn(&Expr) -> Expr) -> Vec<f32> {
    let row = |i: usize| {
        slope(d, x, |x| {
            let x = x.positive();
            let [g] = grad(&f(&x).sum(..), [&x]);
            g.slice(s![i..i + 1])
        })
    };
    (0..x.len()).flat_map(row).collect()
}

on_devices! {

fn of_products_beside_zeros(d: &Device) {
    let prod = |x: &Expr| x.prod(..);
    assert_eq!(slope(d, &[0., 0., 1e25, 1e25], prod), [0.; 4]);
    assert_eq!(slope(d, &[1e25, 1e25, 0., 0.], prod), [0.; 4]);
    assert_eq!(slope(d, &[1e25, 0., 1e25, 0.], prod), [0.; 4]);
    assert_eq!(slope(d, &[1e25, 1e25, 0., 3.], prod), [0., 0., f32::INFINITY, 0.]);
    assert_eq!(slope(d, &[-1e25, 1e25, 0., 3.], prod), [0., 0., f32::NEG_INFINITY, 0.]);
    assert_eq!(slope(d, &[0., 2., 3.], prod), [6., 0., 0.]);
    let three: Vec<f32> = (0..9).map(|i| if i % 4 == 0 { 0. } else { 1e13 }).collect();
    assert_eq!(slope(d, &three, |x| x.reshape([3, 3]).prod(..)), [0.; 9]);
    assert_eq!(slope(d, &three, |x| x.reshape([3, 3]).prod(0)).iter().filter(|v| **v != 0.0).count(), 3);
    // what is infinite or NaN stays so
    assert!(slope(d, &[0., f32::INFINITY, 3.], prod)[2].is_nan());
    assert_eq!(slope(d, &[0., f32::INFINITY, 3.], prod)[..2], [f32::INFINITY, 0.]);
    assert!(slope(d, &[0., 0., f32::NAN], prod)[..2].iter().all(|v| v.is_nan()));
    // second derivatives
    assert_eq!(hessian(d, &[0., 2., 3.], prod), [0., 3., 2., 3., 0., 0., 2., 0., 0.]);
    assert_eq!(hessian(d, &[0., 0., 3.], prod), [0., 3., 0., 3., 0., 0., 0., 0., 0.]);
    assert_eq!(hessian(d, &[0., 0., 0.], prod), [0.; 9]);
}

fn of_cumulative_products_beside_zeros(d: &Device) {
    let prod = |x: &Expr| x.cumulative_prod(0);
    assert_eq!(slope(d, &[1e25, 1e25, 0., 3.], prod), [1e25, 1e25, f32::INFINITY, 0.]);
    assert_eq!(slope(d, &[0., 1e25, 1e25, 1e25], |x| prod(x).slice(s![..2])), [1e25, 0., 0., 0.]);
    assert_eq!(slope(d, &[0., 1e25, 1e25, 0.], |x| x.cumulative_prod(reverse(0)).slice(s![..1])), [0., 0., 0., 0.]);
    assert_eq!(slope(d, &[2., 0., 3.], prod), [1., 8., 0.]);
    assert_eq!(hessian(d, &[2., 0., 3.], prod), [0., 4., 0., 4., 0., 2., 0., 2., 0.]);
    assert_eq!(hessian(d, &[0., 0., 3.], prod), [0., 4., 0., 4., 0., 0., 0., 0., 0.]);
}

fn of_complex_powers_at_0(d: &Device) {
    let (re, im) = ([0f32, 1., 0.], [0f32, 1., 2.]);
    // f′ = p + qi gives 2p + q and p − 2q
    near(complex(d, &re, &im, |z| z.pow(2)), [&[0., 6., 4.], &[0., -2., -8.]]);
    near(complex(d, &re, &im, |z| z.pow(1)), [&[2., 2., 2.], &[1., 1., 1.]]);
    near(complex(d, &re, &im, |z| z.pow(0)), [&[0.; 3], &[0.; 3]]);
    near(complex(d, &re, &im, |z| z.pow(3)), [&[0., 6., -24.], &[0., -12., -12.]]);
    let [of_re, of_im] = complex(d, &re, &im, |z| z.pow(Complex::new(2.0, 1.0)));
    assert_eq!((of_re[0], of_im[0]), (0., 0.));
    // of the exponent
    let exponent = |re: &[f32], im: &[f32]| complex(d, re, im, |w| Complex::new(0.0, 0.0).pow(w));
    near(exponent(&[2., 1.], &[0., 1.]), [&[0., 0.], &[0., 0.]]);
}

// A derivative of the real part of z^p with respect to the real part of z, at real numbers z.
fn derivatives_of_complex_powers_at_0(d: &Device) {
    let x = put::<f32>(d, vec![0f32, 1., 2.], &[3]);
    let zero = put::<f32>(d, vec![0f32; 3], &[3]);
    let read = |e: &Expr| e.to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap();
    // p and the coefficient of each derivative at 0: x^p has the derivatives p·x^(p − 1), p·(p − 1)·x^(p − 2) …
    let inf = f32::INFINITY;
    let table: [(f64, [f32; 3]); 8] = [
        (0.0, [0., 0., 0.]),
        (1.0, [1., 0., 0.]),
        (2.0, [0., 2., 0.]),
        (3.0, [0., 0., 6.]),
        (4.0, [0., 0., 0.]),
        (0.5, [inf, -inf, inf]),
        (1.5, [0., inf, -inf]),
        (2.5, [0., 0., inf]),
    ];
    for (p, wanted) in table {
        let each = || put::<f32>(d, vec![p as f32; 3], &[3]);
        let powers: [&dyn Fn(&Complex) -> Complex; 4] = [
            &|z| z.pow(p),
            &|z| z.pow(Complex::new(p, 0.0)),
            &|z| z.pow(each()),
            &|z| z.pow(Complex::new(each(), each() * 0.0)),
        ];
        // the product of an infinite slope and an imaginary part that happens to be 0 is NaN
        let kinds = if p.fract() == 0.0 { 4 } else { 3 };
        for (kind, power) in powers.into_iter().enumerate().take(kinds) {
            let x = Expr::from(&x).positive();
            let mut y = power(&Complex::new(&x, &zero)).real().clone();
            for (order, at_0) in wanted.into_iter().enumerate() {
                [y] = grad(&y.sum(..), [&x]);
                let found = read(&y);
                let factor = (0..=order).map(|k| p - k as f64).product::<f64>();
                let exact = |x: f64| (factor * x.powf(p - 1.0 - order as f64)) as f32;
                let what = format!("derivative {} of power {p}, exponent {kind}: {found:?}", order + 1);
                assert!(found[0] == at_0 || (found[0] - at_0).abs() < 1e-4, "{what}");
                assert!((found[1] - exact(1.0)).abs() < 1e-4 && (found[2] - exact(2.0)).abs() < 2e-4, "{what}");
            }
        }
    }
}

// Derivatives at 0 of arrays of exponents, with respect to both parts of the base and of the exponent.
fn of_complex_powers_with_arrays_of_exponents(d: &Device) {
    let array = |x: [f32; 5]| put::<f32>(d, x.to_vec(), &[5]);
    let parts = [array([0.; 5]), array([0.; 5]), array([0., 1., 2., 3., 2.]), array([0., 0., 0., 0., 1.])];
    let parts = parts.map(|part| Expr::from(&part).positive());
    let [a, b, c, e] = &parts;
    let w = Complex::new(a, b).pow(Complex::new(c, e));
    let of = |y: &Expr| grad(&y.sum(..), [a, b, c, e]);
    let read = |e: &Expr| e.to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap();
    let zero = vec![0f32; 5];
    let (of_re, of_im) = (of(w.real()), of(w.imag()));
    let of_re_read = of_re.each_ref().map(read);
    assert_eq!(of_re_read, [vec![0., 1., 0., 0., 0.], zero.clone(), zero.clone(), zero.clone()]);
    let of_im_read = of_im.each_ref().map(read);
    assert_eq!(of_im_read, [zero.clone(), vec![0., 1., 0., 0., 0.], zero.clone(), zero.clone()]);
    // second derivatives: of z², 2 along the real axis and −2 along the imaginary axis
    let second = |g: &Expr| of(g)[..2].iter().map(read).collect::<Vec<_>>();
    let (by_a, by_b) = (second(&of_re[0]), second(&of_re[1]));
    for (found, wanted) in by_a.iter().chain(&by_b).zip([[0., 2.], [0., 0.], [0., 0.], [0., -2.]]) {
        assert_eq!(found[1..4], [wanted[0], wanted[1], 0.], "{by_a:?} {by_b:?}");
    }
    // of the exponents, everything is 0
    for g in [&of_re[2], &of_re[3], &of_im[2], &of_im[3]] {
        assert!(of(g)[2..].iter().map(read).all(|v| v == zero));
    }
}

fn of_complex_products_beside_zeros(d: &Device) {
    let (re, im) = ([0f32, 1., 3.], [0f32, 1., -1.]);
    // the product of the others of the first number: (1 + i)·(3 − i) = 4 + 2i
    near(complex(d, &re, &im, |z| z.prod(..)), [&[10., 0., 0.], &[0., 0., 0.]]);
    near(complex(d, &[0., 0., 3.], &[0., 0., 1.], |z| z.prod(..)), [&[0.; 3], &[0.; 3]]);
    near(complex(d, &[2., 1.], &[0., 1.], |z| z.prod(0)), [&[3., 4.], &[-1., 2.]]);
    let matrix = |z: &Complex| z.map(|part| part.reshape([1, 3, 1])).prod((2, 1));
    near(complex(d, &re, &im, matrix), [&[10., 0., 0.], &[0., 0., 0.]]);
    // sums of the products of the later numbers: 1 + (1 + i) + (4 + 2i) = 6 + 3i
    near(complex(d, &re, &im, |z| z.cumulative_prod(0)), [&[15., 0., 0.], &[0., 0., 0.]]);
    near(complex(d, &re, &im, |z| z.cumulative_prod(reverse(0))), [&[10., 5., 5.], &[0., 5., 0.]]);
    near(complex(d, &re, &im, |z| z.cumulative_prod(exclusive(0))), [&[5., 0., 0.], &[0., 0., 0.]]);
    near(complex(d, &re, &im, |z| z.cumulative_prod(include_initial(0))), [&[15., 0., 0.], &[0., 0., 0.]]);
    // second derivatives of the product of (0, 0, 3)
    let zeros = put::<f32>(d, vec![0f32; 3], &[3]);
    let real = |x: &Expr| Complex::new(x, &zeros).prod(..).real().clone();
    let found = hessian(d, &[0., 0., 3.], real);
    let wanted = [0., 3., 0., 3., 0., 0., 0., 0., 0.];
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
}

}
