//! `solve_refined` (about twice the digits): compared with solutions in f64 on the CPU.

use crate::kit::{Dice, error, numbers, on_devices, put};
use crate::matrices::Matrices;
use cupric::linalg::*;
use cupric::{DType::*, *};

/// Random matrices with singular values from 1 down to 1 / κ, where κ is the condition number.
fn of_condition(dice: &mut Dice, count: usize, n: usize, condition: f64) -> Matrices {
    let d = &Device::cpu();
    let [u, v] = [(); 2].map(|()| qr(Matrices::random(dice, count, n, n).put(d, F64), Mode::Reduced).0);
    let s = (linspace(0.0, 1.0, n, F64) * -condition.ln()).exp();
    Matrices::read(&(u * s).matmul(v), count, n, n)
}

/// Checks the solutions for `columns` right-hand sides, and for a single one without an axis of columns. Errors are
/// relative to the largest element.
fn check(d: &Device, name: &str, a: &mut Matrices, columns: usize) {
    let (cpu, dice, n) = (&Device::cpu(), &mut Dice::new(12), a.rows);
    let mut b = Matrices::random(dice, a.count, n, columns);
    let (single, right) = (a.put(d, F32), b.put(d, F32));
    let (x, rest) = solve_refined(&single, &right);
    let [x, rest] = [x, rest].map(|e| Matrices::read(&e, a.count, n, columns));
    // the refined solution in f64 serves as the exact one
    let exact = solve_refined(a.put(cpu, F64), b.put(cpu, F64)).0;
    let exact = Matrices::read(&exact, a.count, n, columns);
    let (_, plain) = numbers(&solve(a.put(cpu, F64), b.put(cpu, F64))).unwrap();
    let size = n * columns;
    for matrix in 0..a.count {
        let of = |list: &[f64]| list[matrix * size..(matrix + 1) * size].to_vec();
        let want = of(&exact.elements);
        let largest = want.iter().fold(0f64, |m, x| m.max(x.abs()));
        let off = |list: &[f64]| list.iter().zip(&want).fold(0f64, |m, (x, w)| m.max((x - w).abs())) / largest;
        let both: Vec<f64> = of(&x.elements).iter().zip(of(&rest.elements)).map(|(x, y)| x + y).collect();
        let errors = [off(&of(&x.elements)), off(&both), off(&of(&plain))];
        if std::env::var("CUPRIC_SHOW").is_ok() {
            crate::kit::say(&format!(
                "{name} {n}: x {:.1e}, x + rest {:.1e}, f64 {:.1e}",
                errors[0], errors[1], errors[2]
            ));
        }
        assert!(errors[0] <= 2f64.powi(-24), "{name} {n}: x is off by {:e}", errors[0]);
        let bound = 8.0 * errors[2] + 2f64.powi(-44);
        assert!(errors[1] <= bound, "{name} {n}: x + rest is off by {:e}, and f64 by {:e}", errors[1], errors[2]);
    }
}

on_devices! {
    fn solutions_are_as_exact_as_f64(d: &Device) {
        let dice = &mut Dice::new(11);
        // a software GPU takes tens of milliseconds for each new kernel, so there are fewer cases
        let all = !d.is_gpu();
        for n in if all { vec![1, 2, 5, 20, 64, 70, 257] } else { vec![5, 70] } {
            for condition in if all { vec![1e2, 1e4, 1e6] } else { vec![1e6] } {
                check(d, &format!("{condition:e}"), &mut of_condition(dice, 2, n, condition), if n == 70 { 2 } else { 3 });
            }
        }
        for n in if all { vec![5, 6] } else { vec![6] } {
            check(d, "hilbert", &mut Matrices::of(2, n, n, |i, j| 1.0 / (i + j + 1) as f64), 3);
        }
        // rows and columns of very different size: scaling by powers of two does not affect the error
        let mut graded = of_condition(dice, 3, 20, 1e4);
        for (e, x) in graded.elements.iter_mut().enumerate() {
            *x *= 2f64.powi((e / 20 % 20) as i32 * 3 - 40);
        }
        check(d, "graded", &mut graded, 2);
        if all {
            check(d, "many", &mut of_condition(dice, 1000, 4, 1e3), 1);
        }
    }

    fn refined_solutions_have_the_shapes_and_errors_of_solve(d: &Device) {
        let a = put(d, vec![2f32, 1., 1., 3.], &[2, 2]);
        let b = put(d, vec![3f32, 4., 7., 10.], &[2, 2]);
        for b in [b.slice(s![0]), Expr::from(&b), b.expand_dims(0).broadcast_to([3, 2, 2]), b.astype(I32)] {
            let (x, rest) = solve_refined(&a, &b);
            assert_eq!(x.shape().unwrap(), solve(&a, &b).shape().unwrap());
            assert_eq!((x.shape().unwrap(), x.dtype().unwrap()), (rest.shape().unwrap(), rest.dtype().unwrap()));
            let off = (a.matmul(&x) - &b).abs().max(..).item::<f32>().unwrap();
            assert!(off < 1e-6, "{off}");
        }
        // one matrix with many right-hand sides, and many matrices with one
        let many = b.expand_dims(0).broadcast_to([3, 2, 2]);
        let wide = solve_refined(a.expand_dims(0).broadcast_to([3, 2, 2]), &b).0.to_vec::<f32>().unwrap();
        assert_eq!(solve_refined(&a, many).0.to_vec::<f32>().unwrap(), wide);
        let none = zeros([0, 2, 2], F32).to_device(d).unwrap();
        assert_eq!(solve_refined(&none, &b).1.eval().unwrap().shape(), [0, 2, 2]);
        let text = error(&solve_refined(&a, a.reshape([4])).1);
        assert!(text.contains("solve_refined: shapes [2, 2] and [4]: matrices of 2 rows"), "{text}");
        let zero = put(d, vec![1f32, 2., 2., 4.], &[2, 2]);
        let (x, rest) = solve_refined(&zero, &b);
        for e in [x, rest] {
            let e = e.eval().and_then(|_| d.synchronize()).unwrap_err();
            assert_eq!((e.kind(), e.operation()), (ErrorKind::Singular, "solve_refined"), "{e}");
        }
        // a zero right-hand side gives zeros, and a nearly singular matrix still gives finite numbers
        assert_eq!(solve_refined(&a, zeros([2], F32)).0.to_vec::<f32>().unwrap(), [0., 0.]);
        let near = put(d, vec![1f32, 1., 1., 1. + f32::EPSILON], &[2, 2]);
        let x = solve_refined(&near, array![1f32, 2.].to_device(d).unwrap()).0.to_vec::<f32>().unwrap();
        assert!(x.iter().all(|x| x.is_finite()), "{x:?}");
    }
}

#[test]
fn derivatives_of_refined_solutions_are_those_of_solutions() {
    let dice = &mut Dice::new(13);
    let a = of_condition(dice, 1, 5, 10.0).put(&Device::cpu(), F64);
    let b = Matrices::random(dice, 2, 5, 3).put(&Device::cpu(), F64);
    let slopes = |x: &Expr| grad(&(x * x).sum(..), [&a, &b]).map(|e| numbers(&e).unwrap().1);
    let (x, rest) = solve_refined(&a, &b);
    for (got, want) in slopes(&x).iter().zip(slopes(&solve(&a, &b))) {
        got.iter().zip(want).for_each(|(x, y)| assert!((x - y).abs() < 1e-12 * (1.0 + y.abs()), "{x} {y}"));
    }
    assert!(slopes(&rest)[0].iter().all(|x| *x == 0.0));
}

#[test]
fn refined_bits_do_not_depend_on_threads() {
    let dice = &mut Dice::new(14);
    let a = of_condition(dice, 1, 150, 1e3).put(&Device::cpu(), F32);
    let b = Matrices::random(dice, 1, 150, 2).put(&Device::cpu(), F32);
    let all = || {
        let (x, rest) = solve_refined(&a, &b);
        [x, rest].map(|e| e.to_vec::<f32>().unwrap())
    };
    let want = all();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(all) == want, "{threads} threads");
    }
}
