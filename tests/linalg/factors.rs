//! Backward errors of factorisations and solutions, in every layout.

use crate::kit::{Dice, has, numbers, on_devices};
use crate::matrices::{Matrices, eps, hold};
use cupric::linalg::*;
use cupric::{DType::*, *};

/// Sizes near the limits: 4 and 8 rows are blocked in registers, and a block has 64 rows.
const SIZES: [usize; 9] = [1, 2, 3, 7, 16, 17, 64, 65, 257];

/// The sizes for a device. Fewer on a GPU, because a software GPU takes tens of milliseconds for each new kernel.
fn sizes(d: &Device) -> impl Iterator<Item = usize> {
    let on_gpu = d.is_gpu();
    SIZES.into_iter().filter(move |n| !on_gpu || ![2, 7, 16].contains(n))
}

/// Whether a device factorises this kind of matrices with n rows: a GPU takes only random ones if they are large. The
/// elements of the upper factor of Wilkinson's matrix double with each row, so f32 cannot hold those of a large one.
fn takes(d: &Device, name: &str, n: usize) -> bool {
    (!d.is_gpu() || n <= 17 || name == "random") && (name != "wilkinson" || n <= 65)
}

fn types(d: &Device) -> impl Iterator<Item = DType> {
    [F32, F64].into_iter().filter(|t| has(d, *t))
}

/// The power of two of "huge" matrices. Their products with other numbers must not overflow.
fn huge(t: DType) -> i32 {
    if t == F64 { 1000 } else { 100 }
}

/// Square matrices of several kinds.
fn square(dice: &mut Dice, n: usize, t: DType) -> Vec<(&'static str, Matrices)> {
    let random = Matrices::random(dice, 2, n, n);
    let power = |k: i32| 2f64.powi(k);
    vec![
        ("hilbert", Matrices::of(1, n, n, |i, j| 1.0 / (i + j + 1) as f64)),
        ("graded", Matrices::of(2, n, n, |i, j| dice.within(-1.0, 1.0) * power(-((i + j) as i32 % 24)))),
        (
            "wilkinson",
            Matrices::of(1, n, n, |i, j| match () {
                () if i == j || j == n - 1 => 1.0,
                () => {
                    if i > j {
                        -1.0
                    } else {
                        0.0
                    }
                }
            }),
        ),
        ("repeated", Matrices::of(1, n, n, |i, j| if i == j { 3.0 } else { 1.0 })),
        ("clustered", Matrices::of(1, n, n, |i, j| f64::from(u8::from(i == j)) + dice.within(-1e-4, 1e-4) / n as f64)),
        ("huge", Matrices { elements: random.elements.iter().map(|x| x * power(huge(t))).collect(), ..random }),
        ("small", Matrices { elements: random.elements.iter().map(|x| x * power(-60)).collect(), ..random }),
        ("random", random),
    ]
}

/// Symmetric positive definite matrices.
fn definite(dice: &mut Dice, n: usize, t: DType) -> Vec<(&'static str, Matrices)> {
    let g = Matrices::random(dice, 3, n, n);
    let mut random = g.times(&g.t());
    for e in 0..3 * n {
        random.elements[e * n + e % n] += 0.5;
    }
    let scaled = |k: i32| Matrices { elements: random.elements.iter().map(|x| x * 2f64.powi(k)).collect(), ..random };
    let mut graded = random.clone();
    for (e, x) in graded.elements.iter_mut().enumerate() {
        *x *= 2f64.powi(-((e % n) as i32 % 16) - ((e / n % n) as i32 % 16));
    }
    vec![
        ("hilbert", Matrices::of(1, n, n, |i, j| 1.0 / (i + j + 1) as f64 + if i == j { 1e-3 } else { 0.0 })),
        ("repeated", Matrices::of(1, n, n, |i, j| if i == j { 3.0 } else { 1.0 })),
        ("clustered", Matrices::of(1, n, n, |i, j| if i == j { 1.0 } else { 1e-5 / (2 + i + j) as f64 })),
        ("graded", graded),
        ("huge", scaled(huge(t))),
        ("small", scaled(-60)),
        ("random", random),
    ]
}

/// Reads the permutations of `lu`, and checks that they are permutations.
fn permutations(e: &Expr, count: usize, n: usize) -> Vec<usize> {
    let (_, p) = numbers(e).unwrap();
    let p: Vec<usize> = p.into_iter().map(|x| x as usize).collect();
    assert_eq!(p.len(), count * n);
    for p in p.chunks(n.max(1)) {
        let mut sorted = p.to_vec();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..n), "{p:?}");
    }
    p
}

fn check_lu(d: &Device, t: DType, name: &str, a: &mut Matrices) {
    let (count, m, n) = (a.count, a.rows, a.columns);
    let k = m.min(n);
    let (p, l, u) = lu(a.put(d, t));
    let p = permutations(&p, count, m);
    let (l, u) = (Matrices::read(&l, count, m, k), Matrices::read(&u, count, k, n));
    for matrix in 0..count {
        for i in 0..m {
            for j in 0..k {
                let x = l.at(matrix, i, j);
                assert!(
                    if i == j { x == 1.0 } else { x.abs() <= if j < i { 1.0 } else { 0.0 } },
                    "{name}: L {i} {j} {x}"
                );
            }
        }
        (0..k).for_each(|i| (0..i.min(n)).for_each(|j| assert_eq!(u.at(matrix, i, j), 0.0)));
    }
    let mut e = 0;
    let taken = Matrices::of(count, m, n, |_, j| {
        let (matrix, row) = (e / (m * n), e / n);
        e += 1;
        a.at(matrix, p[row], j)
    });
    // the bound includes the growth of elements during elimination
    let sizes: Vec<f64> = u.norms().iter().zip(a.norms()).map(|(u, a)| u.max(a)).collect();
    hold("P A - L U", &format!("lu {name} {m}×{n}"), &taken.minus(&l.times(&u)), &sizes, t);
}

on_devices! {
    fn cholesky_factors_multiply_to_the_matrix(d: &Device) {
        let dice = &mut Dice::new(1);
        for n in sizes(d) {
            for t in types(d) {
                for (name, mut a) in definite(dice, n, t).into_iter().filter(|(name, _)| takes(d, name, n)) {
                    let array = a.put(d, t);
                    // `cholesky` does not read the other triangle
                    let l = cholesky(select(tri(n, n, 0, Bool), &array, f64::NAN), Triangle::Lower);
                    let l = Matrices::read(&l, a.count, n, n);
                    (0..n).for_each(|i| (i + 1..n).for_each(|j| assert_eq!(l.at(0, i, j), 0.0)));
                    hold("A - L Lᵀ", &format!("cholesky {name} {n}"), &a.minus(&l.times(&l.t())), &a.norms(), t);
                    if name == "random" {
                        let u = cholesky(select(tri(n, n, -1, Bool), f64::NAN, &array), Triangle::Upper);
                        let u = Matrices::read(&u, a.count, n, n);
                        hold("A - L Lᵀ", "upper", &a.minus(&u.t().times(&u)), &a.norms(), t);
                    }
                }
            }
        }
    }

    fn triangular_factors_multiply_to_the_matrix(d: &Device) {
        let dice = &mut Dice::new(2);
        for n in sizes(d) {
            for t in types(d) {
                for (name, mut a) in square(dice, n, t).into_iter().filter(|(name, _)| takes(d, name, n)) {
                    check_lu(d, t, name, &mut a);
                }
            }
        }
        for (m, n) in [(1, 5), (5, 1), (3, 64), (64, 3), (65, 64), (64, 65), (130, 70), (70, 130), (200, 7)] {
            check_lu(d, F32, "random", &mut Matrices::random(dice, 2, m, n));
            // all rows are equal, so the rank is 1
            check_lu(d, F32, "rank 1", &mut Matrices::of(1, m, n, |_, j| j as f64 + 1.0));
        }
        check_lu(d, F32, "zeros", &mut Matrices::of(2, 70, 70, |_, _| 0.0));
    }

    fn solutions_fit_the_equations(d: &Device) {
        let dice = &mut Dice::new(3);
        for n in sizes(d) {
            for t in types(d) {
                for (name, mut a) in square(dice, n, t).into_iter().filter(|(name, _)| takes(d, name, n)) {
                    // the error of a solution grows with the elements of the factors
                    if name == "wilkinson" && n > 7 {
                        continue;
                    }
                    let columns = if n % 2 == 0 { 3 } else { 70 };
                    let mut b = Matrices::random(dice, a.count, n, columns);
                    let x = solve(a.put(d, t), b.put(d, t));
                    let x = Matrices::read(&x, a.count, n, columns);
                    let sizes: Vec<f64> = a.norms().iter().zip(x.norms()).map(|(a, x)| a * x).collect();
                    hold("B - A X", &format!("solve {name} {n}"), &b.minus(&a.times(&x)), &sizes, t);
                }
                let mut a = Matrices::random(dice, 2, n, n);
                (0..2 * n).for_each(|i| a.elements[i * n + i % n] += n as f64);
                let y = Matrices::read(&inv(a.put(d, t)), 2, n, n);
                let one = Matrices::of(2, n, n, |i, j| (i == j) as u64 as f64);
                let sizes: Vec<f64> = a.norms().iter().zip(y.norms()).map(|(a, x)| a * x).collect();
                hold("I - A X", &format!("inv {n}"), &one.minus(&a.times(&y)), &sizes, t);
            }
        }
    }

    fn growth_of_the_elimination(d: &Device) {
        let dice = &mut Dice::new(9);
        for t in types(d) {
            for n in [5, 20, 33, 63] {
                let below = |i: usize, j: usize| if i > j { -1.0 } else { f64::from(u8::from(i == j || j + 1 == n)) };
                let mut a = Matrices::of(1, n, n, below);
                let mut b = Matrices::random(dice, 1, n, 2);
                let x = Matrices::read(&solve(a.put(d, t), b.put(d, t)), 1, n, 2);
                let growth = 2f64.powi(n as i32 - 1);
                let size = a.norms()[0] * x.norms()[0] * growth;
                hold("B - A X", &format!("growth {n}"), &b.minus(&a.times(&x)), &[size], t);
            }
        }
    }

    fn triangles_are_solved(d: &Device) {
        let dice = &mut Dice::new(4);
        for n in sizes(d) {
            for (columns, triangle) in [
                (1, Triangle::Lower),
                (5, Triangle::Upper),
                (64, Triangle::UnitLower),
                (130, Triangle::UnitUpper),
                (66, Triangle::Lower),
                (1, Triangle::Upper),
            ] {
                let t = if n % 3 == 0 && has(d, F64) { F64 } else { F32 };
                let mut a = Matrices::random(dice, 2, n, n);
                let (upper, unit) = (
                    matches!(triangle, Triangle::Upper | Triangle::UnitUpper),
                    matches!(triangle, Triangle::UnitLower | Triangle::UnitUpper),
                );
                a.elements.iter_mut().for_each(|x| *x *= 2.0 / n as f64);
                (0..2 * n).for_each(|i| a.elements[i * n + i % n] += 1.0);
                let full = a.put(d, t);
                // the elements that `solve_triangular` must not read are NaN
                let full = match upper {
                    true => select(tri(n, n, unit as isize - 1, Bool), f64::NAN, &full),
                    false => select(tri(n, n, -(unit as isize), Bool), &full, f64::NAN),
                };
                for (e, x) in a.elements.iter_mut().enumerate() {
                    let (i, j) = (e / n % n, e % n);
                    *x = match () {
                        () if i == j => if unit { 1.0 } else { *x },
                        () => if (j > i) == upper { *x } else { 0.0 },
                    };
                }
                let mut b = Matrices::random(dice, 2, n, columns);
                let x = Matrices::read(&solve_triangular(&full, b.put(d, t), triangle), 2, n, columns);
                let sizes: Vec<f64> = a.norms().iter().zip(x.norms()).map(|(a, x)| a * x).collect();
                hold("B - A X", &format!("{triangle:?} {n}"), &b.minus(&a.times(&x)), &sizes, t);
            }
        }
    }

    fn determinants_are_products_of_pivots(d: &Device) {
        let dice = &mut Dice::new(5);
        for n in [1, 2, 3, 7, 65] {
            for t in types(d) {
                // A = L·U, so that the determinants are known
                let scale = dice.within(0.5, 2.0) as f32 as f64;
                let l = Matrices::of(2, n, n, |i, j| if i == j { 1.0 } else if j < i { dice.below(3) as f64 - 1.0 } else { 0.0 });
                let u = Matrices::of(2, n, n, |i, j| if i == j { [1.0, -1.0][i % 2] * scale } else { 0.0 });
                let mut a = l.times(&u);
                let want = scale.powi(n as i32) * if n / 2 % 2 == 1 { -1.0 } else { 1.0 };
                let array = a.put(d, t);
                // rotating the rows by one multiplies the determinant by (−1)^(n − 1)
                let turned = concat([array.slice(s![.., 1.., ..]), array.slice(s![.., ..1, ..])], 1);
                let sign = if n % 2 == 0 { -1.0 } else { 1.0 };
                let bound = 1e5 * eps(t) * n as f64;
                for (x, want) in [(Expr::from(&array), want), (turned, want * sign)] {
                    let (shape, got) = numbers(&det(&x)).unwrap();
                    assert_eq!(shape, [2]);
                    got.iter().for_each(|g| assert!((g / want - 1.0).abs() < bound, "{n} {t}: {g} {want}"));
                    let (s, log) = slogdet(&x);
                    assert_eq!(numbers(&s).unwrap().1, [want.signum(); 2]);
                    let log = numbers(&log).unwrap().1;
                    log.iter().for_each(|g| assert!((g - want.abs().ln()).abs() < bound, "{n} {t}: {g} {want}"));
                }
            }
        }
        let singular = Matrices::of(1, 3, 3, |i, j| (i * j) as f64).put(d, F32);
        assert_eq!(numbers(&det(&singular)).unwrap().1, [0.0]);
        let (sign, log) = slogdet(&singular);
        assert_eq!((numbers(&sign).unwrap().1, numbers(&log).unwrap().1), (vec![0.0], vec![f64::NEG_INFINITY]));
    }

    fn layouts_do_not_matter(d: &Device) {
        let dice = &mut Dice::new(6);
        for n in [3, 20, 70] {
            let mut a = Matrices::random(dice, 6, n, n);
            (0..6 * n).for_each(|i| a.elements[i * n + i % n] += 3.0 * n as f64);
            let a = a.put(d, F32);
            let a = (&a + a.matrix_transpose()).eval().unwrap();
            let b = Matrices::random(dice, 6, n, 5).put(d, F32);
            let all = |a: &Expr, b: &Expr| -> Vec<Vec<f32>> {
                let list = [cholesky(a, Triangle::Lower), solve(a, b), inv(a), det(a), solve_triangular(a, b, Triangle::Upper), lu(a).1];
                list.iter().map(|e| e.to_vec().unwrap()).collect()
            };
            let want = all(&a, &b);
            let wide = stack([&(&a * 2.0), &Expr::from(&a)], 3).eval().unwrap();
            let long = concat([&b, &b], 2).eval().unwrap();
            // the matrices are symmetric, so their transposes have the same elements
            assert!(all(&a.matrix_transpose(), &long.slice(s![.., .., 5..])) == want);
            assert!(all(&wide.slice(s![.., .., .., 1]), &b.matrix_transpose().eval().unwrap().matrix_transpose()) == want);
            let back = [&a, &b].map(|x| x.flip(0).eval().unwrap());
            assert!(all(&back[0].flip(0), &back[1].flip(0)) == want);
            let shaped = all(&a.reshape([2, 3, n as isize, n as isize]), &b.reshape([2, 3, n as isize, 5]));
            assert!(shaped == want);
            // one matrix with many right-hand sides, and many matrices with one
            let one = a.slice(s![0]);
            let x = solve(&one, &b).to_vec::<f32>().unwrap();
            let y = solve(one.broadcast_to([6, n, n]), &b).to_vec::<f32>().unwrap();
            assert_eq!(x, y);
            let v = b.slice(s![0, .., 0]);
            let x = solve(&a, &v);
            assert_eq!(x.shape().unwrap(), [6, n]);
            let y = solve(&a, v.expand_dims(1).broadcast_to([6, n, 1]));
            assert_eq!(x.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
            assert_eq!(solve_triangular(&a, &v, Triangle::Lower).shape().unwrap(), [6, n]);
        }
    }

    fn a_nan_affects_its_own_matrix_alone(d: &Device) {
        let dice = &mut Dice::new(11);
        for n in if d.is_gpu() { vec![3, 70] } else { vec![3, 20, 70, 200] } {
            let mut a = Matrices::random(dice, 5, n, n);
            (0..5 * n).for_each(|i| a.elements[i * n + i % n] += n as f64);
            let mut bad = a.clone();
            bad.elements[(3 * n + n / 2) * n + n / 2] = f64::NAN;
            let (a, bad) = (a.put(d, F32), bad.put(d, F32));
            let all = |a: &Array| [("solve", solve(a, a)), ("inv", inv(a)), ("lu", lu(a).2)];
            for ((name, want), (_, got)) in all(&a).into_iter().zip(all(&bad)) {
                let [want, got] = [want, got].map(|e| e.to_vec::<f32>().unwrap());
                let (others, size) = ([0, 1, 2, 4], n * n);
                assert!(others.iter().all(|m| want[m * size..][..size] == got[m * size..][..size]), "{name} {n}");
                assert!(got[3 * size..4 * size].iter().any(|x| x.is_nan()), "{name} {n}");
            }
            permutations(&lu(&bad).0, 5, n);
        }
    }

    fn narrow_types_are_computed_in_f32(d: &Device) {
        let a = array![[4, 2], [2, 5]].to_device(d).unwrap();
        for t in [I32, U8, F16, BF16, F32] {
            let x = a.astype(t);
            assert_eq!(cholesky(&x, Triangle::Lower).to_vec::<f32>().unwrap(), [2., 0., 1., 2.]);
            assert_eq!(solve(&x, array![8, 12].to_device(d).unwrap().astype(t)).to_vec::<f32>().unwrap(), [1., 2.]);
            assert_eq!(det(&x).to_vec::<f32>().unwrap(), [16.]);
        }
    }

    fn empty_matrices_and_batches_have_results(d: &Device) {
        for t in types(d) {
            let none = zeros([0, 3, 3], t).to_device(d).unwrap();
            let empty = zeros([2, 0, 0], t).to_device(d).unwrap();
            for (x, n) in [(&none, 3), (&empty, 0)] {
                let batch = x.shape()[0];
                for e in [cholesky(x, Triangle::Upper), inv(x), lu(x).1, lu(x).2, solve(x, x)] {
                    assert_eq!(e.eval().unwrap().shape(), [batch, n, n]);
                }
                assert_eq!(lu(x).0.eval().unwrap().shape(), [batch, n]);
                assert_eq!(solve(x, zeros([n], t)).eval().unwrap().shape(), [batch, n]);
                assert_eq!(solve(x, zeros([n, 0], t)).eval().unwrap().shape(), [batch, n, 0]);
                assert_eq!(det(x).eval().unwrap().shape(), [batch]);
            }
            assert_eq!(numbers(&det(&empty)).unwrap().1, [1.0, 1.0]);
            assert_eq!(numbers(&slogdet(&empty).1).unwrap().1, [0.0, 0.0]);
        }
        let (p, l, u) = lu(zeros([2, 0], F32));
        assert_eq!([p.shape().unwrap(), l.shape().unwrap(), u.shape().unwrap()].map(<[usize]>::to_vec), [vec![2], vec![2, 0], vec![0, 0]]);
    }

    fn many_small_matrices_are_factorised(d: &Device) {
        let dice = &mut Dice::new(7);
        // a software GPU runs the 256 invocations of each matrix one after the other
        let share = if d.is_gpu() { 20 } else { 1 };
        let most = if d.is_gpu() { 500 } else { 100_000 };
        for (count, n) in [(most, 4), (300 / share, 16), (300 / share, 17)] {
            let mut g = Matrices::random(dice, count, n, n);
            (0..count * n).for_each(|i| g.elements[i * n + i % n] += 2.0);
            let mut a = g.times(&g.t());
            // of so many random matrices, some would be singular in f32
            (0..count * n).for_each(|i| a.elements[i * n + i % n] += 0.5);
            let array = a.put(d, F32);
            let l = Matrices::read(&cholesky(&array, Triangle::Lower), count, n, n);
            hold("A - L Lᵀ", "cholesky", &a.minus(&l.times(&l.t())), &a.norms(), F32);
            check_lu(d, F32, "many", &mut g);
            let mut b = Matrices::random(dice, count, n, 1);
            let x = Matrices::read(&solve(&array, b.put(d, F32)), count, n, 1);
            let sizes: Vec<f64> = a.norms().iter().zip(x.norms()).map(|(a, x)| a * x).collect();
            hold("B - A X", "solve", &b.minus(&a.times(&x)), &sizes, F32);
        }
    }
}

/// Only on a CPU: for a GPU these matrices are too large, or may be flushed to 0.
#[test]
fn large_matrices_and_subnormal_ones_are_factorised_on_a_cpu() {
    let (d, dice) = (&Device::cpu(), &mut Dice::new(8));
    let mut g = Matrices::random(dice, 1, 1000, 1000);
    check_lu(d, F64, "random", &mut g);
    (0..1000).for_each(|i| g.elements[i * 1001] += 40.0);
    let mut a = g.clone();
    (0..1_000_000).for_each(|e| a.elements[e] = g.elements[e] + g.elements[e % 1000 * 1000 + e / 1000]);
    let l = Matrices::read(&cholesky(a.put(d, F32), Triangle::Lower), 1, 1000, 1000);
    hold("A - L Lᵀ", "cholesky", &a.minus(&l.times(&l.t())), &a.norms(), F32);
    let mut b = Matrices::random(dice, 1, 1000, 3);
    let x = Matrices::read(&solve(g.put(d, F32), b.put(d, F32)), 1, 1000, 3);
    hold("B - A X", "solve", &b.minus(&g.times(&x)), &[g.norms()[0] * x.norms()[0]], F32);
    // subnormal numbers have few bits, so the error is measured in units of the smallest number
    let tiny = f32::from_bits(1) as f64;
    for n in [1, 5, 30] {
        let mut a = Matrices::of(1, n, n, |i, j| (dice.within(-1., 1.) + if i == j { 30.0 } else { 0.0 }) * 1e-40);
        let mut b = Matrices::of(1, n, 2, |_, _| dice.within(-3e-39, 3e-39));
        let x = Matrices::read(&solve(a.put(d, F32), b.put(d, F32)), 1, n, 2);
        let off = b.minus(&a.times(&x)).norms()[0];
        assert!(off <= 4.0 * n as f64 * tiny, "solve of {n} subnormal rows: {:e}", off / tiny);

        let mut a = Matrices::of(1, n, n, |i, j| if i == j { 4e-39 } else { 1e-40 });
        let l = Matrices::read(&cholesky(a.put(d, F32), Triangle::Lower), 1, n, n);
        let off = a.minus(&l.times(&l.t()));
        assert!(off.norms()[0] <= 2.0 * n as f64 * tiny, "{n}: {:?}", off.norms());
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_the_batch() {
    let (d, dice) = (&Device::cpu(), &mut Dice::new(9));
    for (count, n) in [(40, 9), (3, 150)] {
        for t in [F32, F64] {
            let mut a = Matrices::random(dice, count, n, n);
            (0..count * n).for_each(|i| a.elements[i * n + i % n] += 2.0 * n as f64);
            let a = a.put(d, t);
            let b = Matrices::random(dice, count, n, 100).put(d, t);
            let all = |a: &Expr, b: &Expr| -> Vec<Vec<f64>> {
                let list = [cholesky(a, Triangle::Lower), solve(a, b), inv(a), lu(a).2, det(a)];
                list.iter().map(|e| numbers(e).unwrap().1).collect()
            };
            let want = all(&a, &b);
            for threads in [1, 2, 5] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(|| all(&a, &b)) == want, "{threads} threads");
            }
            let last = count as isize - 1;
            let one = all(&a.slice(s![last..]), &b.slice(s![last..]));
            for (one, want) in one.iter().zip(&want) {
                assert!(one[..] == want[want.len() - one.len()..]);
            }
        }
    }
}

/// `solve` computes the factors and the solutions of small systems together.
#[test]
fn solutions_have_the_bits_of_their_substitutions() {
    let (d, dice) = (&Device::cpu(), &mut Dice::new(10));
    for (n, columns) in [(1, 1), (3, 2), (4, 4), (8, 33), (16, 16), (17, 1), (32, 32), (33, 64), (64, 65), (65, 2)] {
        for (count, t) in [(37, F32), (5, F64)] {
            let a = Matrices::random(dice, count, n, n).put(d, t);
            let b = Matrices::random(dice, count, n, columns).put(d, t);
            let (p, l, u) = lu(&a);
            let y = solve_triangular(&l, b.take_along_axis(p.expand_dims(-1), -2), Triangle::UnitLower);
            let want = solve_triangular(&u, y, Triangle::Upper);
            let bits = |e: &Expr| -> Vec<u64> { numbers(e).unwrap().1.iter().map(|x| x.to_bits()).collect() };
            assert!(bits(&solve(&a, &b)) == bits(&want), "{n} rows, {columns} columns in {t}");
            // the gradients use the factors that `solve` has computed
            let x = solve(&a, &b);
            let g = grad(&x.sum(..), [&*a, &*b]);
            let both = eval_many([x.clone(), g[0].clone(), g[1].clone()]).unwrap();
            for (one, e) in both.iter().zip([&want, &g[0], &g[1]]) {
                assert!(bits(one) == bits(e), "{n} rows, {columns} columns in {t}, with the gradients");
            }
        }
    }
}
