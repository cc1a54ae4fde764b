//! Backward errors: how far the product of the factors is from the matrix, and vectors from being orthonormal.

use crate::kit::{factor_bound, has, numbers, on_devices, put};
use crate::matrices::{Matrix, random, symmetric, with_values};
use cupric::linalg::{Mode, eigh, eigvalsh, qr, svd, svdvals};
use cupric::{DType::*, *};

pub fn epsilon(t: DType) -> f64 {
    if t == F64 { 2f64.powi(-52) } else { 2f64.powi(-23) }
}

/// The smallest positive number on this device. It is the unit of the errors of subnormal matrices.
fn least(t: DType, d: &Device) -> f64 {
    match (t, d.is_gpu()) {
        (F64, _) => 5e-324,
        // a GPU may flush subnormal numbers to 0
        (_, true) => 2f64.powi(-126),
        _ => 2f64.powi(-149),
    }
}

pub fn read(e: &Expr) -> Matrix {
    let (shape, x) = numbers(e).unwrap();
    Matrix { m: shape[0], n: shape.get(1).copied().unwrap_or(1), x }
}

/// Asserts that an error is within the bound, and records which multiple of n·ε it is.
pub fn within(name: &str, what: &str, error: f64, n: usize, t: DType, size: f64, d: &Device) {
    let multiple = factor_bound(what);
    let bound = multiple * n as f64 * (epsilon(t) * size + least(t, d));
    assert!(error <= bound, "{name}: {what}: error {error:e}, bound {bound:e}");
    if std::env::var("CUPRIC_SHOW").is_ok() {
        crate::kit::say(&format!("{name}: {what}: {}", error / bound * multiple));
    }
}

fn orthonormal(name: &str, q: &Matrix, t: DType, d: &Device) {
    let error = q.t().times(q).minus(&Matrix::identity(q.n)).norm();
    within(name, "Qᵀ Q - I", error, q.m.max(q.n), t, 1.0, d);
}

fn hold_eigh(d: &Device, t: DType, name: &str, a: &Matrix, x: &Expr) {
    let n = a.n;
    let (w, v) = eigh(x);
    let [w, v] = eval_all([&w, &v]).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (values, v) = (read(&w).x, read(&v));
    assert!(values.windows(2).all(|w| w[0] <= w[1]), "{name}: {values:?}");
    orthonormal(name, &v, t, d);
    // both sides are divided by the norm, so that nothing overflows
    let size = a.norm().max(1e-320);
    let scaled = Matrix { x: a.x.iter().map(|x| x / size).collect(), ..*a };
    let values: Vec<f64> = values.iter().map(|x| x / size).collect();
    let error = scaled.times(&v).minus(&v.scaled(&values)).norm() * size;
    within(name, "A V - V w", error, n, t, a.norm(), d);
    let alone = read(&eigvalsh(x)).x;
    let off = alone.iter().zip(&values).map(|(a, b)| (a / size - b).abs()).fold(0f64, f64::max);
    within(name, "w - w", off * size, n, t, a.norm(), d);
}

fn hold_svd(d: &Device, t: DType, name: &str, a: &Matrix, x: &Expr, mode: Mode) {
    let (u, s, v) = svd(x, mode);
    let [u, s, v] = eval_all([&u, &s, &v]).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (u, s, v, k, most) = (read(&u), read(&s).x, read(&v), a.m.min(a.n), a.m.max(a.n));
    assert!(s.windows(2).all(|s| s[0] >= s[1]) && s.iter().all(|s| *s >= 0.0), "{name}: {s:?}");
    let complete = mode == Mode::Complete;
    assert_eq!([u.m, u.n, v.m, v.n], if complete { [a.m, a.m, a.n, a.n] } else { [a.m, k, k, a.n] }, "{name}");
    orthonormal(name, &u, t, d);
    orthonormal(name, &v.t(), t, d);
    let size = a.norm().max(1e-320);
    let scaled = Matrix { x: a.x.iter().map(|x| x / size).collect(), ..*a };
    let first = Matrix::of(a.m, k, |i, j| u.at(i, j) * (s[j] / size));
    let rows = Matrix { m: k, n: v.n, x: v.x[..k * v.n].to_vec() };
    let error = first.times(&rows).minus(&scaled).norm() * size;
    within(name, "U s V - A", error, most, t, a.norm(), d);
    let alone = read(&svdvals(x)).x;
    let off = alone.iter().zip(&s).map(|(a, b)| (a / size - b / size).abs()).fold(0f64, f64::max);
    within(name, "w - w", off * size, most, t, a.norm(), d);
}

fn hold_qr(d: &Device, t: DType, name: &str, a: &Matrix, x: &Expr, mode: Mode) {
    let (q, r) = qr(x, mode);
    let [q, r] = eval_all([&q, &r]).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (q, r) = (read(&q), read(&r));
    let columns = if mode == Mode::Complete { a.m } else { a.m.min(a.n) };
    assert_eq!([q.m, q.n, r.m, r.n], [a.m, columns, columns, a.n], "{name}");
    assert!((0..r.m).all(|i| (0..r.n.min(i)).all(|j| r.at(i, j) == 0.0)), "{name}: R is not triangular");
    orthonormal(name, &q, t, d);
    let size = a.norm().max(1e-320);
    let scaled = |a: &Matrix| Matrix { x: a.x.iter().map(|x| x / size).collect(), ..*a };
    let error = q.times(&scaled(&r)).minus(&scaled(a)).norm() * size;
    within(name, "Q R - A", error, a.m.max(a.n), t, a.norm(), d);
}

/// The sizes of the matrices on a device; on a GPU they end at the largest size that it supports.
fn sizes(d: &Device) -> &'static [usize] {
    if d.is_gpu() { &[1, 2, 3, 7, 21, 33, 64] } else { &[1, 2, 3, 7, 16, 17, 21, 64, 65, 130] }
}

/// Difficult matrices of a size. On a GPU there are fewer large ones, because a software driver takes long.
fn hard(d: &Device, n: usize, t: DType) -> Vec<(&'static str, Matrix)> {
    let mut list = symmetric(n, t);
    list.truncate(if d.is_gpu() && n > 40 { 2 } else { list.len() });
    list
}

fn types(d: &Device) -> impl Iterator<Item = DType> + '_ {
    [F32, F64].into_iter().filter(|t| has(d, *t))
}

/// The same matrix in several memory layouts.
pub fn layouts(x: &Array) -> Vec<Expr> {
    let wide = stack([x, &(x * 3.0)], 2).eval().unwrap();
    let turned = x.t().eval().unwrap();
    let copied = (&turned + 0.0).eval().unwrap();
    vec![wide.slice(s![.., .., 0]), copied.t(), x.flip(0).flip(1).eval().unwrap().flip(0).flip(1)]
}

on_devices! {
    fn eigenvalues_of_hard_matrices(d: &Device) {
        for t in types(d) {
            for n in sizes(d) {
                for (name, a) in hard(d, *n, t) {
                    hold_eigh(d, t, &format!("{t} {name} {n}"), &a, &a.array(d, t));
                }
            }
        }
    }

    fn singular_values_of_hard_matrices(d: &Device) {
        for t in types(d) {
            for n in sizes(d) {
                for (name, a) in hard(d, *n, t) {
                    hold_svd(d, t, &format!("{t} {name} {n}"), &a, &a.array(d, t), Mode::Reduced);
                }
                let upper = random(*n, *n, 9).rounded(t);
                let upper = Matrix::of(*n, *n, |i, j| if i < j { upper.at(i, j) } else { 0.0 });
                hold_svd(d, t, &format!("{t} nilpotent {n}"), &upper, &upper.array(d, t), Mode::Complete);
            }
        }
    }

    fn equal_singular_values(d: &Device) {
        for t in types(d) {
            for n in if d.is_gpu() { [8, 33, 64] } else { [16, 70, 200] } {
                let near: Vec<f64> = (0..n).map(|i| 1.0 + 1e-12 * i as f64).collect();
                let signs: Vec<f64> = (0..n).map(|i| if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
                let turned = with_values(&signs, 12);
                for (name, scale, a) in [
                    ("nearly equal", 1.0, with_values(&near, 11)),
                    ("near a power of 4", 4.0 + 1e-9, with_values(&near, 11)),
                    ("orthogonal", 0.7, turned.times(&with_values(&signs, 13))),
                    ("orthogonal", 1.0, turned.times(&with_values(&signs, 13)).t()),
                ] {
                    let a = Matrix { x: a.x.iter().map(|x| x * scale).collect(), ..a }.rounded(t);
                    hold_svd(d, t, &format!("{t} {name} {n}"), &a, &a.array(d, t), Mode::Reduced);
                }
            }
        }
    }

    fn qr_of_hard_matrices(d: &Device) {
        for t in types(d) {
            for n in sizes(d) {
                for (name, a) in hard(d, *n, t) {
                    hold_qr(d, t, &format!("{t} {name} {n}"), &a, &a.array(d, t), Mode::Reduced);
                }
            }
        }
    }

    fn matrices_that_are_not_square(d: &Device) {
        for t in types(d) {
            for (m, n) in [(1, 4), (4, 1), (5, 3), (3, 5), (17, 16), (40, 7), (7, 40), (70, 33), (33, 70), (300, 5), (200, 190)] {
                let a = random(m, n, (m * n) as u64).rounded(t);
                for mode in [Mode::Reduced, Mode::Complete] {
                    let name = format!("{t} {m} x {n} {mode:?}");
                    hold_qr(d, t, &name, &a, &a.array(d, t), mode);
                    if m.min(n) <= 64 || !d.is_gpu() {
                        hold_svd(d, t, &name, &a, &a.array(d, t), mode);
                    }
                }
            }
        }
    }

    fn layouts_do_not_matter(d: &Device) {
        let a = symmetric(6, F32).remove(0).1;
        for x in layouts(&a.array(d, F32)) {
            hold_eigh(d, F32, "layout", &a, &x);
            hold_svd(d, F32, "layout", &a, &x, Mode::Reduced);
            hold_qr(d, F32, "layout", &a, &x, Mode::Reduced);
        }
        let a = random(6, 4, 3).rounded(F32);
        for x in layouts(&a.array(d, F32)) {
            hold_svd(d, F32, "layout", &a, &x, Mode::Complete);
            hold_qr(d, F32, "layout", &a, &x, Mode::Complete);
        }
    }

    fn batches_are_matrices_one_by_one(d: &Device) {
        for n in [2, 3, 9] {
            let many = if d.is_gpu() { 10_000 } else { 100_000 };
            let count = if n == 3 { many } else { 30 };
            let a = random(count * n, n, 4).rounded(F32).array(d, F32).reshape([count / 2, 2, n, n]).eval().unwrap();
            let a = (&a + &a.swapaxes(-1, -2)).eval().unwrap();
            let (w, v) = eigh(&a);
            let (u, s, vt) = svd(&a, Mode::Reduced);
            let (q, r) = qr(&a, Mode::Reduced);
            let all = eval_all([&w, &v, &u, &s, &vt, &q, &r]).unwrap();
            for i in [0, 1, count / 4, count / 2 - 1] {
                let x = a.slice(s![i, 1]).eval().unwrap();
                let (w, v) = eigh(&x);
                let (u, s, vt) = svd(&x, Mode::Reduced);
                let (q, r) = qr(&x, Mode::Reduced);
                for (one, all) in [w, v, u, s, vt, q, r].iter().zip(&all) {
                    let (one, all) = (numbers(one).unwrap(), numbers(&all.slice(s![i, 1])).unwrap());
                    assert_eq!(one, all, "matrix {i} of {n} rows");
                }
            }
            // one matrix, broadcast to a batch
            let same = a.slice(s![0, 0]).broadcast_to([3, n, n]);
            let [first, last] = [0, 2].map(|i| numbers(&eigh(&same).1.slice(s![i])).unwrap());
            assert_eq!(first, last);
        }
    }

    fn matrices_without_elements(d: &Device) {
        let empty = |shape: &[usize]| put::<f32>(d, vec![], shape);
        let shape = |e: &Expr| e.eval().unwrap().shape().to_vec();
        let (w, v) = eigh(empty(&[0, 0]));
        assert_eq!([shape(&w), shape(&v)], [vec![0], vec![0, 0]]);
        assert_eq!(shape(&eigvalsh(empty(&[0, 3, 3]))), [0, 3]);
        for (mode, columns) in [(Mode::Reduced, 0), (Mode::Complete, 3)] {
            let (q, r) = qr(empty(&[3, 0]), mode);
            assert_eq!([shape(&q), shape(&r)], [vec![3, columns], vec![columns, 0]]);
            let (u, s, v) = svd(empty(&[0, 3]), mode);
            assert_eq!([shape(&u), shape(&s), shape(&v)], [vec![0, 0], vec![0], vec![columns, 3]]);
        }
        let (u, ..) = svd(empty(&[3, 0]), Mode::Complete);
        assert_eq!(numbers(&u).unwrap().1, [1., 0., 0., 0., 1., 0., 0., 0., 1.]);
    }

    fn matrices_that_are_not_finite_have_nan(d: &Device) {
        for bad in [f32::NAN, f32::INFINITY] {
            for n in [1, 2, 5, 20] {
                let mut x = vec![1f32; 2 * n * n];
                x[n * n - 1] = bad;
                let x = put(d, x, &[2, n, n]);
                let ((w, v), (u, s, vt), (q, r)) = (eigh(&x), svd(&x, Mode::Reduced), qr(&x, Mode::Reduced));
                for e in eval_all([&w, &v, &u, &s, &vt, &q, &r]).unwrap() {
                    let x = numbers(&e).unwrap().1;
                    let (bad, good) = x.split_at(x.len() / 2);
                    let below = |i: &usize| e.ndim() == 3 && i / n > i % n;
                    assert!(bad.iter().enumerate().all(|(i, x)| x.is_nan() || below(&i) && *x == 0.0), "{n}: {bad:?}");
                    assert!(good.iter().all(|x| x.is_finite()), "{n}: {good:?}");
                }
            }
        }
        // for a symmetric matrix, only the lower triangle is read
        let x = put(d, vec![1f32, f32::NAN, 2., 1.], &[2, 2]);
        let w = numbers(&eigvalsh(&x)).unwrap().1;
        assert!((w[0] + 1.).abs() < 1e-6 && (w[1] - 3.).abs() < 1e-6, "{w:?}");
    }

    fn results_of_other_dtypes_are_f32(d: &Device) {
        let x = put(d, vec![2i32, 1, 1, 3], &[2, 2]);
        assert_eq!(eigh(&x).0.dtype().unwrap(), F32);
        let x = x.astype(F16).eval().unwrap();
        let (q, r) = qr(&x, Mode::Reduced);
        assert_eq!([q.dtype().unwrap(), svdvals(&x).dtype().unwrap()], [F32, F32]);
        let back = numbers(&q.matmul(r)).unwrap().1;
        assert!(back.iter().zip([2., 1., 1., 3.]).all(|(a, b)| (a - b).abs() < 1e-5), "{back:?}");
    }
}

#[test]
fn large_matrices() {
    let d = &Device::cpu();
    for n in [257, 400] {
        let a = symmetric(n, F64).remove(0).1;
        let (name, x) = (n.to_string(), a.array(d, F64));
        hold_eigh(d, F64, &name, &a, &x);
        hold_svd(d, F64, &name, &a, &x, Mode::Reduced);
        hold_qr(d, F64, &name, &a, &x, Mode::Reduced);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let run = |n: usize, count: usize| {
        let x = random(count * n, n, 8).array(&Device::cpu(), F64).reshape([count, n, n]).eval().unwrap();
        let ((w, v), (u, s, vt), (q, r)) = (eigh(&x), svd(&x, Mode::Reduced), qr(&x, Mode::Reduced));
        let all = eval_all([&w, &v, &u, &s, &vt, &q, &r]).unwrap();
        all.iter()
            .map(|e| e.to_vec::<f64>().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    for (n, count) in [(4, 3000), (40, 20), (300, 1)] {
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let [one, four] = [1, 4].map(|threads| pool(threads).install(|| run(n, count)));
        assert!(one == four, "{count} matrices of {n} rows");
    }
}
