//! Eigenvalues and eigenvectors of matrices that need not be symmetric.

use crate::backward::{epsilon, layouts, read, within};
use crate::kit::{error, golden, numbers, on_devices, put};
use crate::matrices::{Matrix, random, with_values};
use cupric::linalg::{eig, eigvals};
use cupric::{DType::*, *};

/// Asserts that A·V − V·diag(w) is small, that the vectors have length 1 and a real largest element, and that complex
/// eigenvalues come in conjugate pairs. Returns the eigenvalues.
fn hold(d: &Device, t: DType, name: &str, a: &Matrix, x: &Expr) -> Vec<[f64; 2]> {
    let n = a.n;
    let (w, v) = eig(x);
    let all = eval_all([w.real(), w.imag(), v.real(), v.imag()]).unwrap_or_else(|e| panic!("{name}: {e}"));
    let [wr, wi, vr, vi] = [0, 1, 2, 3].map(|i| read(&all[i].clone().into()));
    // both sides are divided by the norm, so that nothing overflows
    let size = a.norm().max(1e-320);
    let scaled = Matrix { x: a.x.iter().map(|x| x / size).collect(), ..*a };
    let by = |w: &Matrix| w.x.iter().map(|x| x / size).collect::<Vec<f64>>();
    let (re, im) = (by(&wr), by(&wi));
    let real = scaled.times(&vr).minus(&vr.scaled(&re)).minus(&vi.scaled(&im).scaled(&vec![-1.0; n]));
    let imaginary = scaled.times(&vi).minus(&vr.scaled(&im)).minus(&vi.scaled(&re));
    let most = real.norm().max(imaginary.norm()) * size;
    within(name, "A V - V w", most, n, t, a.norm(), d);
    for k in 0..n {
        let column = |m: &Matrix| (0..n).map(|i| m.at(i, k)).collect::<Vec<f64>>();
        let (x, y) = (column(&vr), column(&vi));
        let squares: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x * x + y * y).collect();
        let norm = squares.iter().sum::<f64>().sqrt();
        assert!((norm - 1.0).abs() <= (4.0 + n as f64) * epsilon(t), "{name}: norm {norm}");
        let largest = squares.iter().copied().fold(0.0, f64::max);
        let is_real = |i: usize| squares[i] >= largest * (1.0 - 16.0 * epsilon(t)) && y[i] == 0.0;
        assert!((0..n).any(is_real), "{name}: {x:?} {y:?}");
        if wi.x[k] == 0.0 {
            // in f32 an imaginary part may underflow to 0
            assert!(t == F32 || y.iter().all(|y| *y == 0.0), "{name}: a real value has the vector {x:?} {y:?}");
        } else if wi.x[k] > 0.0 {
            assert_eq!([wr.x[k], wi.x[k]], [wr.x[k + 1], -wi.x[k + 1]], "{name}: pair {k}");
            assert!((0..n).all(|i| vr.at(i, k) == vr.at(i, k + 1) && vi.at(i, k) == -vi.at(i, k + 1)), "{name}");
        }
    }
    (0..n).map(|k| [wr.x[k], wi.x[k]]).collect()
}

/// Matrices that are not symmetric, with their names. All numbers are values of `t`.
fn hard(n: usize, t: DType) -> Vec<(&'static str, Matrix)> {
    let (tiny, huge) = if t == F64 { (3e-310, 1e305) } else { (3e-40, 3e35) };
    let noise = random(n, n, n as u64);
    let one = noise.x.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    let turn = random(n, n, 3);
    let similar = |core: Matrix| turn.times(&core).times(&turn.t());
    let list = vec![
        ("random", noise.clone()),
        ("jordan", Matrix::of(n, n, |i, j| if i == j { 2.0 } else { f64::from(u8::from(j == i + 1)) })),
        ("nilpotent", Matrix::of(n, n, |i, j| f64::from(u8::from(i == j + 1)))),
        ("full and nilpotent", Matrix::of(n, n, |i, j| if i < j { noise.at(i, j) } else { 0.0 })),
        ("grcar", Matrix::of(n, n, |i, j| if i == j + 1 { -1.0 } else { f64::from(u8::from(i <= j && j <= i + 3)) })),
        ("companion", Matrix::of(n, n, |i, j| if i == 0 { noise.at(0, j) } else { f64::from(u8::from(i == j + 1)) })),
        ("cycle", Matrix::of(n, n, |i, j| f64::from(u8::from((i + 1) % n == j)))),
        ("skew", Matrix::of(n, n, |i, j| noise.at(i, j) - noise.at(j, i))),
        ("graded", Matrix::of(n, n, |i, j| noise.at(i, j) * 0.3f64.powi((i + j) as i32))),
        (
            "rows of many sizes",
            Matrix::of(n, n, |i, j| noise.at(i, j) * 10f64.powi((i % 7) as i32 - 3 - (j % 7) as i32)),
        ),
        ("frank", Matrix::of(n, n, |i, j| if i <= j + 1 { (n - i.max(j)) as f64 } else { 0.0 })),
        ("triangular", Matrix::of(n, n, |i, j| if i <= j { 1.0 + (i * j % 5) as f64 } else { 0.0 })),
        ("blocks", Matrix::of(n, n, |i, j| if i / 2 <= j / 2 { noise.at(i, j) } else { 0.0 })),
        ("of low rank", similar(Matrix::of(n, n, |i, j| if i == j && i < n / 3 { 1.0 } else { 0.0 }))),
        ("ones", Matrix::of(n, n, |_, _| 1.0)),
        ("zero", Matrix::of(n, n, |_, _| 0.0)),
        ("identity", Matrix::identity(n)),
        ("tiny", Matrix::of(n, n, |i, j| noise.at(i, j) / one * tiny)),
        ("huge", Matrix::of(n, n, |i, j| noise.at(i, j) / one * huge)),
        ("symmetric", with_values(&(0..n).map(|i| i as f64 - 1.0).collect::<Vec<_>>(), 3)),
    ];
    list.into_iter().map(|(name, a)| (name, a.rounded(t))).collect()
}

/// Sorts eigenvalues, so that those of two computations can be compared.
fn sorted(mut w: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    // rounded, because real parts of a conjugate pair may differ by rounding errors
    let rounded = |x: f64| (x * 1e8).round();
    w.sort_by(|x, y| rounded(x[0]).total_cmp(&rounded(y[0])).then(x[1].total_cmp(&y[1])));
    w
}

fn values(w: &Complex) -> Vec<[f64; 2]> {
    let parts = [w.real(), w.imag()].map(|part| numbers(part).unwrap().1);
    parts[0].iter().zip(&parts[1]).map(|(x, y)| [*x, *y]).collect()
}

#[test]
fn backward_errors_of_hard_matrices() {
    let d = &Device::cpu();
    for t in [F32, F64] {
        for n in [1, 2, 3, 4, 7, 16, 64, 65] {
            for (name, a) in hard(n, t) {
                hold(d, t, &format!("{t} {name} {n}"), &a, &a.array(d, t));
            }
        }
    }
    let a = random(257, 257, 5);
    hold(d, F64, "257", &a, &a.array(d, F64));
}

/// The matrix D B D⁻¹, for powers of two D over many orders of magnitude, has the backward error of B.
#[test]
fn graded_matrices_are_balanced() {
    let d = &Device::cpu();
    for (t, step) in [(F32, 4), (F64, 20)] {
        for n in [3, 8, 20] {
            let b = random(n, n, 40 + n as u64).rounded(t);
            // the order of the rows is not that of their sizes
            let scale = |i: usize| 2f64.powi(step * ((7 * i % n) as i32 - n as i32 / 2));
            let a = Matrix::of(n, n, |i, j| b.at(i, j) * scale(i) / scale(j));
            let (w, v) = eig(a.array(d, t));
            let all = eval_all([w.real(), w.imag(), v.real(), v.imag()]).unwrap();
            let [wr, wi, vr, vi] = [0, 1, 2, 3].map(|i| read(&all[i].clone().into()));
            let lengths: Vec<f64> = (0..n)
                .map(|k| {
                    (0..n).map(|i| (vr.at(i, k) / scale(i)).hypot(vi.at(i, k) / scale(i)).powi(2)).sum::<f64>().sqrt()
                })
                .collect();
            let [vr, vi] = [vr, vi].map(|v| Matrix::of(n, n, |i, k| v.at(i, k) / scale(i) / lengths[k]));
            let minus: Vec<f64> = wi.x.iter().map(|x| -x).collect();
            let real = b.times(&vr).minus(&vr.scaled(&wr.x)).minus(&vi.scaled(&minus));
            let imaginary = b.times(&vi).minus(&vr.scaled(&wi.x)).minus(&vi.scaled(&wr.x));
            let most = real.norm().max(imaginary.norm());
            within(&format!("{t} graded {n}"), "A V - V w", most, n, t, b.norm(), d);
        }
    }
}

#[test]
fn every_small_matrix_of_few_numbers() {
    let d = &Device::cpu();
    let choices = [-1.0, 0.0, 1.0];
    for n in [2usize, 3] {
        let count = 3usize.pow((n * n) as u32);
        let digit = |i: usize, at: usize| choices[i / 3usize.pow(at as u32) % 3];
        let x: Vec<f64> = (0..count * n * n).map(|k| digit(k / (n * n), k % (n * n))).collect();
        let all = put(d, x.clone(), &[count, n, n]);
        let (w, v) = eig(&all);
        let error = v.map(|part| all.matmul(part)) - &v * &w.map(|part| part.expand_dims(1));
        let most = error.abs().max(..).item::<f64>().unwrap();
        assert!(most < 4.0 * n as f64 * epsilon(F64) * 3.0, "{n}: {most:e}");
        // the sum of the eigenvalues is the trace
        let off = (w.real().sum(-1) - all.trace(0, 1, 2)).abs().max(..).item::<f64>().unwrap();
        assert!(off < 1e-13, "{n}: {off:e}");
    }
}

#[test]
fn values_alone_and_transposed_are_the_same() {
    let d = &Device::cpu();
    for n in [1, 2, 5, 30, 66] {
        let a = random(n, n, 20 + n as u64).array(d, F64);
        let with = sorted(values(&eig(&a).0));
        for alone in [eigvals(&a), eigvals(a.t())] {
            let alone = sorted(values(&alone));
            let off = with.iter().flatten().zip(alone.iter().flatten()).map(|(x, y)| (x - y).abs());
            assert!(off.fold(0.0, f64::max) < 1e-11 * n as f64, "{n}");
        }
    }
}

#[test]
fn triangular_matrices_have_their_diagonal() {
    let d = &Device::cpu();
    let order = [3, 0, 4, 1, 2];
    let upper = Matrix::of(5, 5, |i, j| if i <= j { (i * 5 + j) as f64 - 7.0 } else { 0.0 });
    let shuffled = Matrix::of(5, 5, |i, j| upper.at(order[i], order[j]));
    for a in [upper.clone(), upper.t(), shuffled] {
        let found = sorted(values(&eigvals(a.array(d, F64))));
        assert_eq!(found, [-7., -1., 5., 11., 17.].map(|x| [x, 0.]));
    }
}

#[test]
fn numpys_eigenvalues() {
    let d = &Device::cpu();
    for (name, shape, want) in golden(include_str!("../data/factor_general.txt")) {
        let n = shape[0];
        let a = crate::values::sequence(d, &[n, n], 641, F64);
        let want = sorted(want.chunks(2).map(|x| [x[0], x[1]]).collect());
        for (t, bound) in [(F64, 1e-12), (F32, 1e-5)] {
            let got = sorted(values(&eigvals(a.astype(t))));
            let size = want.iter().flatten().fold(0f64, |m, x| m.max(x.abs()));
            for (g, w) in got.iter().flatten().zip(want.iter().flatten()) {
                assert!((g - w).abs() <= bound * size, "{name} {t}: {g}, not {w}");
            }
        }
    }
}

#[test]
fn the_reference_agrees() {
    for n in [1usize, 2, 3, 6] {
        let a = put(&Device::cpu(), random(n, n, 40 + n as u64).x, &[n, n]);
        let (w, v) = eig(&a);
        let read = |e: &Expr| match testing::interpret(e).unwrap().elements {
            testing::ElementList::Floats(x) => x.iter().map(|x| x.value).collect::<Vec<f64>>(),
            _ => panic!("no floats"),
        };
        let [wr, wi] = [read(w.real()), read(w.imag())];
        let want = sorted(wr.iter().zip(&wi).map(|(x, y)| [*x, *y]).collect());
        let off = sorted(values(&w)).into_iter().flatten().zip(want.into_iter().flatten()).map(|(x, y)| (x - y).abs());
        assert!(off.fold(0.0, f64::max) < 1e-12, "{n}");
        let [vr, vi] = [read(v.real()), read(v.imag())].map(|x| Matrix { m: n, n, x });
        let a = Matrix { m: n, n, x: numbers(&a).unwrap().1 };
        let error = a.times(&vr).minus(&vr.scaled(&wr)).minus(&vi.scaled(&wi).scaled(&vec![-1.0; n]));
        assert!(error.norm() < 1e-12, "{n}: {:e}", error.norm());
    }
}

#[test]
fn layouts_batches_and_empty_matrices() {
    let d = &Device::cpu();
    let a = hard(6, F32).remove(0).1;
    for x in layouts(&a.array(d, F32)) {
        hold(d, F32, "layout", &a, &x);
    }
    for n in [2, 3, 9] {
        let count = if n == 3 { 100_000 } else { 30 };
        let a = random(count * n, n, 4).array(d, F64).reshape([count / 2, 2, n, n]).eval().unwrap();
        let (w, v) = eig(&a);
        let (w, v) = (w.eval().unwrap(), v.eval().unwrap());
        for i in [0, 1, count / 4, count / 2 - 1] {
            let (one, vectors) = eig(a.slice(s![i, 1]));
            assert_eq!(values(&one), values(&w.map(|part| part.slice(s![i, 1]))));
            assert_eq!(values(&vectors), values(&v.map(|part| part.slice(s![i, 1]))));
        }
    }
    for shape in [&[0, 0][..], &[0, 3, 3]] {
        let (w, v) = eig(put::<f32>(d, vec![], shape));
        assert_eq!([w.shape().unwrap(), v.shape().unwrap()], [&shape[..shape.len() - 1], shape]);
        assert_eq!(w.eval().unwrap().size().unwrap() + eigvals(put::<f32>(d, vec![], shape)).size().unwrap(), 0);
    }
    for t in [F16, BF16, I32, Bool] {
        let (w, v) = eig(eye(3, t));
        assert_eq!([w.eval().unwrap().dtype().unwrap(), v.eval().unwrap().dtype().unwrap()], [F32; 2]);
    }
}

#[test]
fn matrices_that_are_not_finite_have_nan() {
    for bad in [f32::NAN, f32::INFINITY] {
        for n in [1, 2, 5, 20] {
            let mut x = vec![1f32; 2 * n * n];
            x[n * n - 1] = bad;
            let (w, v) = eig(put(&Device::cpu(), x, &[2, n, n]));
            for e in eval_all([w.real(), w.imag(), v.real(), v.imag()]).unwrap() {
                let x = numbers(&e).unwrap().1;
                let (bad, good) = x.split_at(x.len() / 2);
                assert!(bad.iter().all(|x| x.is_nan()) && good.iter().all(|x| x.is_finite()), "{n}: {bad:?} {good:?}");
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let run = |n: usize, count: usize| {
        let (w, v) = eig(random(count * n, n, 8).array(&Device::cpu(), F64).reshape([count, n, n]));
        let all = eval_all([w.real(), w.imag(), v.real(), v.imag()]).unwrap();
        all.iter().flat_map(|e| e.to_vec::<f64>().unwrap()).map(f64::to_bits).collect::<Vec<_>>()
    };
    for (n, count) in [(4, 3000), (40, 20)] {
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let [one, four] = [1, 4].map(|threads| pool(threads).install(|| run(n, count)));
        assert!(one == four, "{count} matrices of {n} rows");
    }
}

on_devices! {
    fn errors_name_the_function_and_what_to_do(d: &Device) {
        let (v, x) = (put(d, vec![1f32; 3], &[3]), put(d, vec![1f32; 6], &[2, 3]));
        for (e, words) in [
            (eig(&v).0.real(), ["eig", "[3]"]),
            (eig(&x).1.imag(), ["eig", "square"]),
            (eigvals(&x).real(), ["eigvals", "square"]),
        ] {
            let text = error(e);
            assert!(words.iter().all(|w| text.contains(w)) && text.contains("general.rs"), "{text}");
        }
        if d.is_gpu() {
            let x = put(d, vec![1f32; 4], &[2, 2]);
            let e = eig(&x).1.real().eval().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unsupported);
            assert!(e.to_string().contains("to_device(&Device::cpu())"), "{e}");
        }
        // eigenvalues of general matrices have no derivative
        let x = put(d, vec![1f32, 2., 3., 4.], &[2, 2]);
        let [of_x] = grad(&eigvals(&x).real().sum(..), [&x.clone().into()]);
        assert!(error(&of_x).contains("no derivative"), "{}", error(&of_x));
    }
}
