//! Values from SciPy (`data/factor.txt`, written by `data/make_factor.py`), ranks and least squares, and errors.

use crate::kit::{error, golden, has, numbers, on_devices, put, read};
use crate::matrices::{random, with_values};
use cupric::linalg::*;
use cupric::{DType::*, *};

const GOLDEN: &str = include_str!("../data/factor.txt");

/// The numbers of `sequence` in `data/make_factor.py`.
pub fn sequence(d: &Device, shape: &[usize], factor: usize, t: DType) -> Array {
    let n: usize = shape.iter().product();
    put(d, (0..n).map(|i| (((3 * i * i + i * factor) % 1024) as f32 - 512.) / 64.).collect::<Vec<_>>(), shape)
        .astype(t)
        .eval()
        .unwrap()
}

fn bits(e: &Expr) -> Vec<u64> {
    read(e).unwrap_or_else(|e| panic!("{e}"))
}

on_devices! {
    fn values_are_scipys(d: &Device) {
        for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
            for (name, shape, want) in golden(GOLDEN) {
                let words: Vec<&str> = name.split(' ').collect();
                let [m, n] = [1, 2].map(|i| words[i].parse::<usize>().unwrap());
                let a = sequence(d, &[m, n], if words[0].starts_with("eig") { 389 } else { 641 }, t);
                let e = match words[0] {
                    "eigvalsh" => eigvalsh(&a),
                    "eigh" => eigh(&a).1.abs(),
                    "svdvals" => svdvals(&a),
                    "svd_u" => svd(&a, Mode::Reduced).0.abs(),
                    "svd_v" => svd(&a, Mode::Reduced).2.abs(),
                    "qr_q" => qr(&a, Mode::Reduced).0.abs(),
                    "qr_r" => qr(&a, Mode::Reduced).1.abs(),
                    "pinv" => pinv(&a, None),
                    "lstsq" => lstsq(&a, sequence(d, &[m, 2], 389, t), None),
                    "matrix_rank" => matrix_rank(&a, None),
                    "cond" => cond(&a, None),
                    "norm_two" => a.matrix_norm(.., MatrixNorm::Two),
                    "norm_minus_two" => a.matrix_norm(.., MatrixNorm::MinusTwo),
                    "norm_nuclear" => a.matrix_norm(.., MatrixNorm::Nuclear),
                    _ => panic!("{name}"),
                };
                let (have, got) = numbers(&e).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(have, shape, "{name}: shape");
                let size = want.iter().fold(0f64, |m, x| m.max(x.abs()));
                let bound = size * if t == F64 { 1e-12 } else { 2e-4 };
                for (g, w) in got.iter().zip(&want) {
                    assert!(g == w || (g - w).abs() <= bound, "{t} {name}: {g}, not {w}");
                }
            }
        }
    }

    fn ranks_pseudoinverses_and_condition_numbers_of_singular_matrices(d: &Device) {
        let a = with_values(&[5., 0., 2., 0., 1., 0.], 3).array(d, F32);
        assert_eq!(matrix_rank(&a, None).item::<i64>().unwrap(), 3);
        assert_eq!(matrix_rank(&a, 0.3).item::<i64>().unwrap(), 2);
        let (x, p) = (numbers(&a).unwrap().1, pinv(&a, None));
        let back = numbers(&a.matmul(&p).matmul(&a)).unwrap().1;
        assert!(back.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-5));
        // the eigenvalues of the pseudoinverse are 1, 1/2, 1/5 and zeros
        let w = numbers(&eigvalsh(&p)).unwrap().1;
        assert!(w.iter().zip([0., 0., 0., 0.2, 0.5, 1.]).all(|(a, b)| (a - b).abs() < 1e-5), "{w:?}");
        let zero = put(d, vec![0f32; 6], &[3, 2]);
        assert_eq!(numbers(&pinv(&zero, None)).unwrap().1, [0.; 6]);
        assert_eq!(matrix_rank(&zero, None).item::<i64>().unwrap(), 0);
        assert_eq!(cond(&zero, None).item::<f32>().unwrap(), f32::INFINITY);
        let stack = stack([&zero, &(&zero + 1.0)], 0).eval().unwrap();
        assert_eq!(matrix_rank(&stack, None).to_vec::<i64>().unwrap(), [0, 1]);
        assert!(numbers(&pinv(put(d, vec![f32::NAN; 4], &[2, 2]), None)).unwrap().1.iter().all(|x| x.is_nan()));
    }

    fn condition_numbers_of_every_norm(d: &Device) {
        // the inverse is [[0.6, -0.7], [-0.2, 0.4]]
        let x = put(d, vec![4f32, 7., 2., 6.], &[2, 2]);
        for (norm, want) in [
            (MatrixNorm::One, 13. * 1.1),
            (MatrixNorm::MinusOne, 6. * 0.8),
            (MatrixNorm::Infinity, 11. * 1.3),
            (MatrixNorm::MinusInfinity, 8. * 0.6),
            (MatrixNorm::Frobenius, 10.5),
            (MatrixNorm::Two, 10.4039),
            (MatrixNorm::MinusTwo, 1. / 10.4039),
            (MatrixNorm::Nuclear, 12.5),
        ] {
            let got = cond(&x, norm).item::<f32>().unwrap();
            assert!((got - want).abs() < 2e-5 * want, "{norm:?}: {got}, not {want}");
        }
        let singular = put(d, vec![1f32, 2., 2., 4.], &[2, 2]);
        assert!(cond(&singular, MatrixNorm::Two).item::<f32>().unwrap() > 1e7);
        let zero = zeros([2, 2], F32).to_device(d).unwrap();
        assert_eq!(cond(&zero, MatrixNorm::MinusTwo).item::<f32>().unwrap(), 0.);
        assert_eq!(cond(&zero, MatrixNorm::One).item::<f32>().unwrap_err().kind(), ErrorKind::Singular);
    }

    fn sixteen_bits_and_integers_become_f32(d: &Device) {
        for t in [F16, BF16, I32, Bool] {
            let x = eye(3, t).to_device(d).unwrap();
            let results = [
                svd(&x, Mode::Reduced).0, svdvals(&x), eigh(&x).1, eigvalsh(&x), qr(&x, Mode::Complete).1, pinv(&x, None),
                lstsq(&x, &x, None), cond(&x, None), cholesky(&x, Triangle::Lower), lu(&x).1, solve(&x, &x), inv(&x), det(&x),
                slogdet(&x).1, solve_triangular(&x, &x, Triangle::Upper), expm(&x),
            ];
            for e in results {
                assert_eq!(e.eval().unwrap().dtype(), F32, "{t}");
            }
        }
    }

    fn symmetric_matrices_are_read_below_the_diagonal(d: &Device) {
        for n in [2, 5, 40] {
            let x = random(n, n, 6).rounded(F32).array(d, F32);
            let even = (&x + x.t()).eval().unwrap();
            // the upper triangle has other finite numbers, so that nothing reports an error
            let other = (even.tril(0) + x.triu(1) * 9.0).eval().unwrap();
            let broken = (even.tril(0) + full([n, n], f32::NAN, F32).to_device(d).unwrap().triu(1)).eval().unwrap();
            for x in [&other, &broken] {
                assert_eq!(bits(&eigh(x).0), bits(&eigh(&even).0), "{n}");
                assert_eq!(bits(&eigh(x).1), bits(&eigh(&even).1), "{n}");
                assert_eq!(bits(&eigvalsh(x)), bits(&eigvalsh(&even)), "{n}");
            }
        }
    }

    fn norms_keep_and_move_axes(d: &Device) {
        let x = sequence(d, &[2, 3, 4], 389, F32);
        for (norm, of) in [(MatrixNorm::Two, 0), (MatrixNorm::Nuclear, 1)] {
            let kept = x.matrix_norm(keep((0, 2)), norm);
            assert_eq!(kept.shape().unwrap(), [1, 3, 1]);
            let s = svdvals(x.permute_dims([1, 0, 2]));
            let want = if of == 0 { s.max(-1) } else { s.sum(-1) };
            let (kept, want) = (numbers(&kept).unwrap().1, numbers(&want).unwrap().1);
            assert!(kept.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        assert_eq!(put::<f32>(d, vec![], &[0, 3]).matrix_norm(.., MatrixNorm::Two).item::<f32>().unwrap(), 0.);
    }

    fn errors_name_the_function_and_shapes(d: &Device) {
        let (v, x) = (put(d, vec![1f32; 3], &[3]), put(d, vec![1f32; 6], &[2, 3]));
        for (e, words) in [
            (eigh(&v).0, ["eigh", "[3]"]),
            (eigh(&x).1, ["eigh", "[2, 3]"]),
            (eigvalsh(&x), ["eigvalsh", "square"]),
            (svd(&v, Mode::Reduced).0, ["svd", "two axes"]),
            (svdvals(&v), ["svdvals", "[3]"]),
            (qr(&v, Mode::Complete).1, ["qr", "[3]"]),
            (pinv(&x, -1.0), ["pinv", "rcond"]),
            (pinv(&v, None), ["pinv", "[3]"]),
            (matrix_rank(&x, f64::NAN), ["matrix_rank", "rcond"]),
            (lstsq(&x, &v, None), ["lstsq", "[2, 3] and [3]"]),
            (cond(put::<f32>(d, vec![], &[0, 2]), None), ["cond", "[0, 2]"]),
        ] {
            let text = error(&e);
            assert!(words.iter().all(|w| text.contains(w)) && text.contains("values.rs"), "{text}");
        }
        if d.is_gpu() {
            let e = error(&eigvalsh(zeros([65, 65], F32).to_device(d).unwrap()));
            assert!(e.contains("eigvalsh") && e.contains("65") && e.contains("to_device(&Device::cpu())"), "{e}");
        }
    }
}
