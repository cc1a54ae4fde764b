//! The matrix exponential: compared with closed forms, and with results from eigenvalues.

use crate::kit::{error, has, numbers, on_devices, put};
use crate::matrices::with_values;
use cupric::linalg::*;
use cupric::{DType::*, *};

/// Asserts that a result is near the expected numbers: the error is at most `factor`·ε times the largest.
fn near(name: &str, t: DType, e: &Expr, want: &[f64], factor: f64) {
    let epsilon = if t == F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let got = numbers(e).unwrap_or_else(|e| panic!("{name}: {e}")).1;
    let size = want.iter().fold(0f64, |m, x| m.max(x.abs()));
    assert_eq!(got.len(), want.len(), "{name}");
    for (g, w) in got.iter().zip(want) {
        assert!(g == w || (g - w).abs() <= factor * epsilon * size, "{t} {name}: {g}, not {w}");
    }
}

on_devices! {
    fn exponentials_have_their_closed_forms(d: &Device) {
        for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
            let of = |x: &[f64], shape: &[usize]| put(d, x.to_vec(), shape).astype(t);
            near("of zeros", t, &expm(of(&[0.; 9], &[3, 3])), &[1., 0., 0., 0., 1., 0., 0., 0., 1.], 0.);
            let nilpotent = of(&[0., 6., -90., 0., 0., 30., 0., 0., 0.], &[3, 3]);
            near("nilpotent", t, &expm(nilpotent), &[1., 6., 0., 0., 1., 30., 0., 0., 1.], 16.);
            // rotations; the largest angle needs eleven halvings of the matrix
            for angle in [0.1f64, 1., 3.5, 30., 700., 5000.] {
                let want = [angle.cos(), -angle.sin(), angle.sin(), angle.cos()];
                near("rotation", t, &expm(of(&[0., -angle, angle, 0.], &[2, 2])), &want, 8. * angle.max(1.));
            }
            for x in [-80., -1., 0.5, 80f64] {
                near("one element", t, &expm(of(&[x], &[1, 1])), &[x.exp()], 8. * x.abs().max(1.));
            }
            // a Jordan block: the result has e^x and its derivatives
            let e = 2f64.exp();
            let jordan = of(&[2., 1., 0., 0., 2., 1., 0., 0., 2.], &[3, 3]);
            near("jordan", t, &expm(jordan), &[e, e, e / 2., 0., e, e, 0., 0., e], 16.);
        }
    }

    fn exponentials_of_symmetric_matrices_are_those_of_their_values(d: &Device) {
        let values: Vec<f64> = (0..17).map(|i| f64::from(i) * 1.1 - 14.).collect();
        for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
            let a = with_values(&values, 5);
            let on_cpu = a.array(&Device::cpu(), F64);
            let (w, v) = eigh(&on_cpu);
            let want = numbers(&(&v * w.exp()).matmul(v.t())).unwrap().1;
            let a = a.array(d, t);
            near("symmetric", t, &expm(&a), &want, 600.);
            let batch = stack([&a, &(&a * 0.0), &(&a * 1e30)], 0);
            let e = expm(&batch);
            near("first of a batch", t, &e.slice(s![0]), &want, 600.);
            near("second of a batch", t, &e.slice(s![1]), &numbers(&eye(17, F64)).unwrap().1, 0.);
            assert!(numbers(&e.slice(s![2])).unwrap().1.iter().all(|x| x.is_nan()));
        }
    }

    fn exponentials_of_nothing_and_of_no_matrix(d: &Device) {
        assert_eq!(expm(put::<f32>(d, vec![], &[2, 0, 0])).eval().unwrap().shape(), [2, 0, 0]);
        let text = error(&expm(put(d, vec![1f32; 6], &[2, 3])));
        assert!(text.contains("expm") && text.contains("[2, 3]") && text.contains("exponential.rs"), "{text}");
        assert!(numbers(&expm(put(d, vec![f32::NAN, 0., 0., 0.], &[2, 2]))).unwrap().1.iter().any(|x| x.is_nan()));
    }

    fn exponentials_have_derivatives(d: &Device) {
        if !has(d, F64) {
            return;
        }
        let x = put(d, vec![0.3f64, -1.2, 2.5, 0.7, 3., -0.4, 1.1, -2., 0.2], &[3, 3]);
        let weights = put(d, (0..9).map(|i| f64::from(i) - 3.5).collect::<Vec<f64>>(), &[3, 3]);
        let loss = |x: &Expr| (expm(x) * &weights).sum(..);
        let leaf: Expr = x.clone().into();
        let [g] = grad(&loss(&leaf), [&leaf]);
        let g = numbers(&g).unwrap().1;
        let (x, step) = (numbers(&leaf).unwrap().1, 1e-6);
        for i in 0..9 {
            let at = |by: f64| {
                let mut x = x.clone();
                x[i] += by;
                loss(&put(d, x, &[3, 3]).into()).item::<f64>().unwrap()
            };
            let want = (at(step) - at(-step)) / (2. * step);
            assert!((g[i] - want).abs() < 1e-6 * want.abs().max(10.), "element {i}: {} by grad, {want} by differences", g[i]);
        }
    }

    fn negative_powers_are_those_of_the_inverse(d: &Device) {
        let x = put(d, vec![2, 1, 1, 1], &[2, 2]);
        let inverse = numbers(&x.matrix_power(-3)).unwrap().1;
        assert!(inverse.iter().zip([5., -8., -8., 13.]).all(|(a, b)| (a - b).abs() < 1e-4), "{inverse:?}");
        assert_eq!(x.matrix_power(-1).eval().unwrap().dtype(), F32);
        assert_eq!(x.astype(F16).matrix_power(-2).eval().unwrap().dtype(), F16);
        let singular = put(d, vec![1f32, 2., 2., 4.], &[2, 2]).matrix_power(-2);
        assert_eq!(singular.to_vec::<f32>().unwrap_err().kind(), ErrorKind::Singular);
    }
}
