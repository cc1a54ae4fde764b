//! Compares results with SciPy's values, which `data/make_linalg.py` wrote.

use crate::kit::{golden, has, numbers, on_devices, put};
use cupric::linalg::*;
use cupric::{DType::*, *};

const GOLDEN: &str = include_str!("../data/linalg.txt");

/// The numbers of `sequence` in `data/make_linalg.py`.
fn sequence(d: &Device, shape: &[usize], factor: usize) -> Array {
    let n: usize = shape.iter().product();
    put(d, (0..n).map(|i| ((i * factor % 1024) as f64 - 512.) / 64.).collect::<Vec<_>>(), shape)
}

on_devices! {
    fn results_are_scipys(d: &Device) {
        if !has(d, F64) {
            return;
        }
        let mut count = 0;
        for (name, shape, want) in golden(GOLDEN) {
            let (function, n) = name.split_once(' ').unwrap();
            let n: usize = n.parse().unwrap();
            let (a, b) = (sequence(d, &[n, n], 389), sequence(d, &[n, 2], 641));
            let p = a.matmul(a.t()) + eye(n, F64);
            let t = &a / 16.0 + eye(n, F64) * 2.0;
            let e = match function {
                "cholesky" => cholesky(&p, Triangle::Lower),
                "cholesky-upper" => cholesky(&p, Triangle::Upper),
                "solve" => solve(&p, &b),
                "inv" => inv(&p),
                "det" => det(&p),
                "logabsdet" => slogdet(&p).1,
                "sign" => slogdet(-&p).0,
                "lower" => solve_triangular(&t, &b, Triangle::Lower),
                "upper" => solve_triangular(&t, &b, Triangle::Upper),
                "unitlower" => solve_triangular(&t, &b, Triangle::UnitLower),
                "unitupper" => solve_triangular(&t, &b, Triangle::UnitUpper),
                "order" => lu(p.flip(1)).0,
                "l" => lu(p.flip(1)).1,
                "u" => lu(p.flip(1)).2,
                _ => panic!("{function}"),
            };
            let (have, got) = numbers(&e).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(have, shape, "{name}: shape");
            let size = want.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
            for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                assert!((g - w).abs() <= 1e-9 * size, "{name}: element {i} is {g}, not {w}");
            }
            count += 1;
        }
        assert!(count > 60);
    }
}
