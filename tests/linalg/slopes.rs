//! Derivatives, compared with finite differences.

use crate::kit::{Dice, has, numbers, on_devices, put};
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

    fn the_determinant_of_a_singular_matrix_has_its_cofactors_as_derivative(d: &Device) {
        let slope = |x: &[f32], shape: &[usize]| {
            let x = put::<f32>(d, x, shape);
            let [g] = grad(&det(&x).sum(..), [&x]);
            numbers(&g).unwrap().1
        };
        assert_eq!(slope(&[1., 2., 2., 4.], &[2, 2]), [4., -2., -2., 1.]);
        assert_eq!(slope(&[0.], &[1, 1]), [1.]);
        assert_eq!(slope(&[0.; 4], &[2, 2]), [0.; 4]);
        assert_eq!(slope(&[0., 1., 0., 0.], &[2, 2]), [0., 0., -1., 0.]);
        assert_eq!(slope(&[0., 0., 1., 0.], &[2, 2]), [0., -1., 0., 0.]);
        assert_eq!(slope(&[0., 0., 0., 3.], &[2, 2]), [3., 0., 0., 0.]);
        assert_eq!(slope(&[0.; 9], &[3, 3]), [0.; 9]);
        // rank 1, and rank 2 with pivots of 0 at every position
        assert_eq!(slope(&[1., 2., 4., 2., 4., 8., 4., 8., 16.], &[3, 3]), [0.; 9]);
        let cofactors = |x: &[f32; 9]| -> Vec<f64> {
            let at = |i: usize, j: usize| f64::from(x[i % 3 * 3 + j % 3]);
            (0..9).map(|e| (e / 3, e % 3)).map(|(i, j)| at(i + 1, j + 1) * at(i + 2, j + 2) - at(i + 1, j + 2) * at(i + 2, j + 1)).collect()
        };
        let mut batch = vec![];
        for x in [
            [0f32, 1., 2., 0., 4., 1., 0., 2., 8.],
            [0., 1., 0., 0., 0., 1., 0., 0., 0.],
            [0., 1., 5., 0., 0., 2., 0., 0., 0.],
            [2., 0., 1., 4., 0., 8., 1., 0., 2.],
            [2., 4., 1., 1., 2., 4., 4., 8., 2.],
            [0., 0., 0., 1., 2., 4., 2., 8., 4.],
            [0., 0., 2., 0., 0., 4., 1., 2., 4.],
            [2., 1., 1., 4., 2., 8., 2., 1., 4.],
            [1., 0., 0., 0., 1., 0., 0., 0., 2.],
        ] {
            let (found, wanted) = (slope(&x, &[3, 3]), cofactors(&x));
            assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{x:?}: {found:?}, not {wanted:?}");
            batch.extend(x);
        }
        // in a batch the regular matrices keep their bits
        let all = slope(&batch, &[9, 3, 3]);
        for (x, found) in batch.chunks(9).zip(all.chunks(9)) {
            assert_eq!(slope(x, &[3, 3]), found);
        }
        // larger matrices, one of which has two equal rows
        let dice = &mut Dice::new(3);
        let n = if d.is_gpu() { 5 } else { 70 };
        let x = Matrices::random(dice, 3, n, n).put(&Device::cpu(), F32);
        let row = arange(0, n, 1, I32).equal(n as i32 - 1).expand_dims(1) & arange(0, 3, 1, I32).equal(1).reshape([3, 1, 1]);
        let x = select(&row, x.slice(s![.., ..1]), &x).to_device(d).unwrap();
        let [g] = grad(&det(&x).sum(..), [&x]);
        let all = numbers(&g).unwrap().1;
        assert!(all.iter().all(|v| v.is_finite()));
        let [one] = grad(&det(x.slice(s![0])), [&x]);
        assert!(numbers(&one).unwrap().1[..n * n].iter().zip(&all).all(|(a, b)| (a - b).abs() <= 1e-3 * a.abs().max(1.0)));
        // the derivative in a direction, and the second derivative of a regular matrix beside a singular one
        let x = put::<f32>(d, [1., 2., 2., 4.], &[2, 2]);
        assert_eq!(numbers(&jvp(&det(&x), [&x], [array![[1f32, 0.], [1., 0.]].to_device(d).unwrap()])).unwrap().1, [2.]);
        let x = put::<f32>(d, [1., 2., 3., 4.], &[2, 2]);
        let [g] = grad(&det(&x), [&x]);
        let [twice] = grad(&(g.slice(s![0, 0])), [&x]);
        assert!(numbers(&twice).unwrap().1.iter().zip([0., 0., 0., 1.]).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    fn singular_determinants_have_second_derivatives(d: &Device) {
        // the derivatives of the sum of the cofactors times weights
        let changes = |x: &Array, weights: &Array| {
            let [g] = grad(&det(x).sum(..), [x]);
            grad(&(g * weights).sum(..), [x])[0].clone()
        };
        let near = |e: &Expr, wanted: &[f64], what: &[f32]| {
            let found = numbers(e).unwrap().1;
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-3), "{what:?}: {found:?}, not {wanted:?}");
        };
        let of_three = |x: &[f32], w: &[f32]| {
            let mut all = vec![0.0; 9];
            let place = |i: usize, j: usize| i % 3 * 3 + j % 3;
            for (i, j) in (0..9).map(|e| (e / 3, e % 3)) {
                let [a, b] = [place(i + 1, j + 1), place(i + 2, j + 2)];
                let [c, e] = [place(i + 1, j + 2), place(i + 2, j + 1)];
                for (to, from, sign) in [(a, b, 1.0), (b, a, 1.0), (c, e, -1.0), (e, c, -1.0)] {
                    all[to] += sign * f64::from(w[place(i, j)]) * f64::from(x[from]);
                }
            }
            all
        };
        // ranks from 0 to 3, alone and in one batch
        let w = [1f32, -2., 0.5, 3., 1., -1., 2., 0.25, -0.5];
        let matrices = [
            [0f32; 9],
            [1., 2., 4., 2., 4., 8., 4., 8., 16.],
            [0., 1., 2., 0., 4., 1., 0., 2., 8.],
            [2., 4., 1., 1., 2., 4., 4., 8., 2.],
            [0., 0., 3., 0., 0., 0., 0., 0., 0.],
            [2., 1., 0., 1., 3., 1., 0., 1., 2.],
        ];
        let weights = put::<f32>(d, w, &[3, 3]);
        for x in &matrices {
            near(&changes(&put::<f32>(d, x.as_slice(), &[3, 3]), &weights), &of_three(x, &w), x);
        }
        let all = changes(&put::<f32>(d, matrices.concat(), &[6, 3, 3]), &weights);
        near(&all, &matrices.iter().flat_map(|x| of_three(x, &w)).collect::<Vec<_>>(), &[]);
        // of a matrix of rank n − 2 only one minor is left, and of one of lower rank none
        let w: Vec<f32> = (0..16).map(|i| i as f32 - 6.0).collect();
        let weights = put::<f32>(d, w.as_slice(), &[4, 4]);
        for (diagonal, scale) in [([2., 3., 0., 0.], 6.0), ([2., 0., 0., 0.], 0.0)] {
            let x: Vec<f32> = (0..16).map(|i| if i % 5 == 0 { diagonal[i / 5] } else { 0.0 }).collect();
            let mut wanted = [0.0; 16];
            for (to, from, sign) in [(10, 15, 1.0), (15, 10, 1.0), (11, 14, -1.0), (14, 11, -1.0)] {
                wanted[to] = scale * sign * f64::from(w[from]);
            }
            near(&changes(&put::<f32>(d, x.as_slice(), &[4, 4]), &weights), &wanted, &x);
        }
        near(&changes(&put::<f32>(d, [0.], &[1, 1]), &put::<f32>(d, [2.], &[1, 1])), &[0.], &[0.]);
        let x = put::<f32>(d, [1., 2., 2., 4.], &[2, 2]);
        let [g] = grad(&det(&x), [&x]);
        near(&jvp(&g, [&x], [array![[1f32, 0.], [1., 0.]].to_device(d).unwrap()]), &[0., -1., 0., 1.], &[]);
        let [twice] = grad(&g.sum(..), [&x]);
        near(&twice, &[1., -1., -1., 1.], &[]);
        let [thrice] = grad(&twice.sum(..), [&x]);
        let e = numbers(&thrice).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Singular, "det"));
        // third derivatives of regular matrices
        let x = put::<f32>(d, [2., 1., 0., 1., 3., 1., 0., 1., 2.], &[3, 3]);
        let [g] = grad(&det(&x), [&x]);
        let [twice] = grad(&g.slice(s![0, 0]), [&x]);
        let [thrice] = grad(&twice.slice(s![1, 1]), [&x]);
        near(&thrice, &[0., 0., 0., 0., 0., 0., 0., 0., 1.], &[]);
    }

    fn singular_values_of_0_have_derivatives(d: &Device) {
        let x = put::<f32>(d, [1., 2., 2., 4.], &[2, 2]);
        let near = |e: &Expr, wanted: &[f64], what: &str| {
            let found = numbers(e).unwrap().1;
            assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 2e-4), "{what}: {found:?}, not {wanted:?}");
        };
        let (u, s, v) = svd(&x, Mode::Reduced);
        let weights = array![[1f32, 2.], [3., 5.]].to_device(d).unwrap();
        let [g] = grad(&((u * s.tanh().expand_dims(-2)).matmul(v) * &weights).sum(..), [&x]);
        near(&g, &[-0.1758, -0.0315, 0.1684, -0.0231], "svd");
        // second derivatives of the largest singular value
        let [g] = grad(&x.matrix_norm(.., MatrixNorm::Two), [&x]);
        near(&g, &[0.2, 0.4, 0.4, 0.8], "norm");
        let [twice] = grad(&(&g * &weights).sum(..), [&x]);
        near(&twice, &[-0.016, -0.112, 0.088, 0.016], "norm twice");
        let rows: [(&[f32], &[usize]); 3] = [(&[1., 2., 3., 2., 4., 6.], &[2, 3]), (&[1., 2., 2., 4., 3., 6.], &[3, 2]), (&[3., 0., 0., 0., 0., 0., 0., 0., 0.], &[3, 3])];
        for (elements, shape) in rows {
            let x = put::<f32>(d, elements, shape);
            let [g] = grad(&x.matrix_norm(.., MatrixNorm::Two).square(), [&x]);
            let [twice] = grad(&g.square().sum(..), [&x]);
            // the derivative of 4·σ² is 8·σ·u·vᵀ
            let wanted: Vec<f64> = elements.iter().map(|v| 8.0 * f64::from(*v)).collect();
            let found = numbers(&twice).unwrap().1;
            assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-3), "{shape:?}: {found:?}, not {wanted:?}");
        }
    }
}
