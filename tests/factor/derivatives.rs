//! Compares derivatives with finite differences, in f64.

use crate::kit::{numbers, put};
use crate::matrices::{Matrix, random};
use cupric::linalg::{Mode, eigh, eigvalsh, lstsq, pinv, qr, svd, svdvals};
use cupric::{DType::*, *};

/// Asserts that the gradient of a 0-d function of a matrix agrees with finite differences along random directions.
fn hold(name: &str, [m, n]: [usize; 2], f: impl Fn(&Expr) -> Expr) {
    let d = &Device::cpu();
    let x = random(m, n, 77);
    let at = |x: &Matrix| numbers(&f(&x.array(d, F64))).unwrap().1[0];
    let a = x.array(d, F64);
    let [g] = grad(&f(&a), [&a]);
    let g = numbers(&g).unwrap_or_else(|e| panic!("{name}: {e}")).1;
    for seed in 0..3 {
        let along = random(m, n, 100 + seed);
        let step = 1e-5;
        let moved = |h: f64| Matrix { x: x.x.iter().zip(&along.x).map(|(x, v)| x + h * v).collect(), ..x };
        let slope = (at(&moved(step)) - at(&moved(-step))) / (2.0 * step);
        let found: f64 = g.iter().zip(&along.x).map(|(g, v)| g * v).sum();
        assert!((slope - found).abs() <= 1e-6 * (1.0 + slope.abs()), "{name}: {found}, not {slope}");
    }
}

/// A weighted sum of the squares of all elements. Squares, because the signs of singular vectors are arbitrary.
fn weighed(e: &Expr) -> Expr {
    let shape = e.shape().unwrap();
    let n: usize = shape.iter().product();
    let w = put(&Device::cpu(), (0..n).map(|i| ((i * 37 % 11) as f64 - 4.) / 5.).collect::<Vec<_>>(), shape);
    (e.square() * w).sum(..)
}

fn even(x: &Expr) -> Expr {
    x + x.t()
}

#[test]
fn derivatives_are_those_of_finite_differences() {
    hold("eigvalsh", [5, 5], |x| weighed(&eigvalsh(even(x))));
    hold("eigh, values", [5, 5], |x| weighed(&eigh(even(x)).0));
    hold("eigh, vectors", [5, 5], |x| weighed(&eigh(even(x)).1));
    hold("eigh, both", [4, 4], |x| {
        let (w, v) = eigh(even(x));
        weighed(&(&v * &w.exp()).matmul(v.t()))
    });
    for shape in [[4, 4], [6, 3], [3, 6]] {
        hold("svdvals", shape, |x| weighed(&svdvals(x)));
        for part in 0..3 {
            hold("svd", shape, |x| {
                let (u, s, v) = svd(x, Mode::Reduced);
                weighed(&[u, s, v][part])
            });
        }
        hold("pinv", shape, |x| weighed(&pinv(x, None)));
        hold("lstsq, matrix", shape, |x| weighed(&lstsq(x, random(shape[0], 2, 5).array(&Device::cpu(), F64), None)));
    }
    hold("lstsq, right side", [5, 2], |b| weighed(&lstsq(random(5, 3, 6).array(&Device::cpu(), F64), b, None)));
    for shape in [[4, 4], [6, 3]] {
        hold("qr, q", shape, |x| weighed(&qr(x, Mode::Reduced).0));
        hold("qr, r", shape, |x| weighed(&qr(x, Mode::Reduced).1));
    }
}

#[test]
fn second_derivatives() {
    let twice = |f: &dyn Fn(&Expr) -> Expr, x: &Expr| {
        let [g] = grad(&weighed(&f(x)), [x]);
        weighed(&g)
    };
    hold("eigvalsh twice", [4, 4], |x| twice(&|x| eigvalsh(even(x)), x));
    hold("svdvals twice", [4, 3], |x| twice(&|x| svdvals(x), x));
    hold("qr twice", [4, 3], |x| twice(&|x| qr(x, Mode::Reduced).1, x));
}

#[test]
fn derivatives_of_batches() {
    let d = &Device::cpu();
    let x = random(3 * 4, 4, 3).array(d, F64).reshape([3, 4, 4]).eval().unwrap();
    let f = |x: &Expr| svdvals(x).square().sum(..);
    let [g] = grad(&f(&x), [&x]);
    // the sum of the squared singular values is the sum of the squared elements
    let (g, want) = (numbers(&g).unwrap().1, numbers(&(&x * 2.0)).unwrap().1);
    assert!(g.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-12));
    // one matrix, several right-hand sides
    let a = random(5, 3, 4).array(d, F64);
    let b = random(2 * 5, 2, 5).array(d, F64).reshape([2, 5, 2]).eval().unwrap();
    let loss = lstsq(&a, &b, None).square().sum(..);
    let [da, db] = grad(&loss, [&a, &b]);
    assert_eq!([da.shape().unwrap().to_vec(), db.shape().unwrap().to_vec()], [vec![5, 3], vec![2, 5, 2]]);
}
