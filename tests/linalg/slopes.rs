//! Derivatives, compared with finite differences.

use crate::kit::{Dice, has, numbers, on_devices};
use crate::matrices::Matrices;
use cupric::linalg::*;
use cupric::{DType::*, *};

/// Asserts that the gradient of a weighted sum of a function's elements agrees with differences, for some elements.
fn hold(name: &str, d: &Device, operands: &[Array], f: &dyn Fn(&[Expr]) -> Expr) {
    let of: Vec<Expr> = operands.iter().map(Expr::from).collect();
    let weights = {
        let y = f(&of);
        let n = y.size().unwrap();
        let dice = &mut Dice::new(n as u64);
        let w = Matrices::random(dice, 1, 1, n).put(d, F64);
        w.reshape(y.shape().unwrap().iter().map(|n| *n as isize).collect::<Vec<_>>()).eval().unwrap()
    };
    let loss = |of: &[Expr]| (f(of) * &weights).sum(..);
    let refs: Vec<&Expr> = of.iter().collect();
    let slopes = grad_many(&loss(&of), &refs);
    for (number, slope) in slopes.iter().enumerate() {
        let (shape, slope) = numbers(slope).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (_, base) = numbers(&of[number]).unwrap();
        let step = 1e-6;
        for e in (0..base.len()).step_by((base.len() / 12).max(1)) {
            let value = |by: f64| {
                let mut moved = base.clone();
                moved[e] += by;
                let mut all = of.clone();
                all[number] = Expr::from(Array::from_vec(moved, shape.clone()).unwrap().to_device(d).unwrap());
                numbers(&loss(&all)).unwrap().1[0]
            };
            let want = (value(step) - value(-step)) / (2.0 * step);
            let size = slope.iter().fold(1.0f64, |m, x| m.max(x.abs()));
            assert!(
                (slope[e] - want).abs() < 1e-6 * size,
                "{name}: operand {number}, element {e}: {} {want}",
                slope[e]
            );
        }
    }
}

on_devices! {
    fn derivatives_are_those_of_differences(d: &Device) {
        if !has(d, F64) {
            return;
        }
        let dice = &mut Dice::new(10);
        for (count, n) in [(2, 4), (1, 70)] {
            if n == 70 && d.is_gpu() {
                continue;
            }
            let mut a = Matrices::random(dice, count, n, n);
            (0..count * n).for_each(|i| a.elements[i * n + i % n] += 1.5 * (n as f64).sqrt());
            let mut p = a.times(&a.t());
            let (a, p) = (a.put(d, F64), p.put(d, F64));
            let b = Matrices::random(dice, count, n, 3).put(d, F64);
            let v = b.slice(s![0, .., 0]).eval().unwrap();
            hold("cholesky", d, std::slice::from_ref(&p), &|x| cholesky(&x[0], Triangle::Lower));
            hold("upper", d, std::slice::from_ref(&p), &|x| cholesky(&x[0], Triangle::Upper));
            hold("solve", d, &[a.clone(), b.clone()], &|x| solve(&x[0], &x[1]));
            hold("solve a vector", d, &[a.clone(), v], &|x| solve(&x[0], &x[1]));
            let one = a.slice(s![0]).eval().unwrap();
            hold("one matrix", d, &[one, b.clone()], &|x| solve(&x[0], &x[1]));
            hold("inv", d, std::slice::from_ref(&a), &|x| inv(&x[0]));
            hold("slogdet", d, std::slice::from_ref(&a), &|x| slogdet(&x[0]).1);
            for (m, columns) in [(n, n), (n, n - 2), (n - 2, n)] {
                let a = a.slice(s![.., ..m, ..columns]).eval().unwrap();
                for part in [1, 2] {
                    let f = move |x: &Expr| if part == 1 { lu(x).1 } else { lu(x).2 };
                    hold(&format!("lu {part} {m} {columns}"), d, std::slice::from_ref(&a), &|x| f(&x[0]));
                }
            }
            if n == 4 {
                hold("lu twice", d, std::slice::from_ref(&a), &|x| {
                    let (_, l, u) = lu(&x[0]);
                    grad(&(l.square().sum(..) + u.square().sum(..)), [&x[0]])[0].clone()
                });
                hold("det", d, std::slice::from_ref(&a), &|x| det(&x[0]));
                for t in [Triangle::Lower, Triangle::Upper, Triangle::UnitLower, Triangle::UnitUpper] {
                    hold("triangular", d, &[a.clone(), b.clone()], &|x| solve_triangular(&x[0], &x[1], t));
                }
                // second derivatives
                let twice = |f: &dyn Fn(&Expr) -> Expr, x: &Expr| {
                    let [g] = grad(&f(x).square().sum(..), [x]);
                    g
                };
                hold("solve twice", d, std::slice::from_ref(&a), &|x| twice(&|x| solve(x, &b), &x[0]));
                hold("cholesky twice", d, std::slice::from_ref(&p), &|x| twice(&|x| cholesky(x, Triangle::Lower), &x[0]));
                hold("slogdet twice", d, std::slice::from_ref(&a), &|x| twice(&|x| slogdet(x).1, &x[0]));
            }
            let [zero] = grad(&slogdet(&a).0.sum(..), [&a]);
            assert!(numbers(&zero).unwrap().1.iter().all(|x| *x == 0.0));
        }
    }
}
