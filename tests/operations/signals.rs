//! Convolutions, cosine transforms and short-time Fourier transforms, compared with their definitions in f64.

use crate::kit::{Dice, error, has, numbers, on_devices, put};
use cupric::fft::*;
use cupric::{DType::*, *};
use std::f64::consts::PI;

fn noise(d: &Device, seed: u64, shape: &[usize]) -> (Array, Vec<f64>) {
    let dice = &mut Dice::new(seed);
    let x: Vec<f32> = (0..shape.iter().product::<usize>()).map(|_| dice.within(-1., 1.) as f32).collect();
    (put(d, x.clone(), shape), x.into_iter().map(f64::from).collect())
}

/// Asserts that an expression has this shape, and these numbers up to an error of `bound`.
fn near(e: &Expr, shape: &[usize], want: &[f64], bound: f64, name: &str) {
    let (have, got) = numbers(e).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(have, shape, "{name}: shape");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= bound, "{name}: element {i} is {g}, not {w}");
    }
}

const MODES: [WindowMode; 3] = [WindowMode::Full, WindowMode::Same, WindowMode::Valid];
const NORMS: [Norm; 3] = [Norm::Backward, Norm::Ortho, Norm::Forward];

/// Element k of the type-II cosine transform, by its definition.
fn cosine_sum(x: &[f64], k: usize, norm: Norm) -> f64 {
    let n = x.len() as f64;
    let angle = |j: usize| PI * (k * (2 * j + 1) % (4 * x.len())) as f64 / (2. * n);
    let sum: f64 = x.iter().enumerate().map(|(j, x)| 2. * x * angle(j).cos()).sum();
    sum * match norm {
        Norm::Backward => 1.,
        Norm::Forward => 0.5 / n,
        Norm::Ortho => (if k == 0 { 0.25 / n } else { 0.5 / n }).sqrt(),
    }
}

on_devices! {
    fn convolutions_are_sums_of_products(d: &Device) {
        for (n, m) in [(1, 1), (1, 4), (5, 3), (3, 8), (64, 17), (250, 251), (1000, 300)] {
            let ([a, b], bound) = ([noise(d, 1, &[n]), noise(d, 2, &[m])], 2e-6 * (n.min(m) as f64).sqrt() * 4.);
            for mode in MODES {
                let (shape, want) = numbers(&convolve(&a.0, &b.0, mode)).unwrap();
                near(&fftconvolve(&a.0, &b.0, mode, 0), &shape, &want, bound, &format!("{n}, {m}, {mode:?}"));
            }
        }
    }

    fn convolutions_along_several_axes(d: &Device) {
        let ((a, x), (b, y)) = (noise(d, 3, &[2, 5, 7]), noise(d, 4, &[1, 3, 4]));
        let mut want = vec![0.; 2 * 7 * 10];
        for (i, x) in x.iter().enumerate() {
            for (j, y) in y.iter().enumerate() {
                want[(i / 35 * 7 + i / 7 % 5 + j / 4) * 10 + i % 7 + j % 4] += x * y;
            }
        }
        near(&fftconvolve(&a, &b, WindowMode::Full, (1, 2)), &[2, 7, 10], &want, 5e-6, "full");
        let whole = fftconvolve(&a, &b, WindowMode::Full, (1, 2));
        let (shape, inner) = numbers(&whole.slice(s![.., 2..5, 3..7])).unwrap();
        near(&fftconvolve(&a, &b, WindowMode::Valid, (2, 1)), &shape, &inner, 5e-6, "valid");
        assert_eq!(fftconvolve(&a, &b, WindowMode::Same, -1).shape().unwrap_err().kind(), ErrorKind::Shape);
        if has(d, F64) {
            assert_eq!(fftconvolve(&a, b.astype(F64), WindowMode::Full, (1, 2)).dtype().unwrap(), F64);
        }
    }

    fn cosine_transforms_are_their_definitions(d: &Device) {
        for n in [1, 2, 3, 4, 5, 8, 9, 16, 17, 64, 100, 257] {
            for (norm, t) in NORMS.into_iter().flat_map(|norm| [(norm, F32), (norm, F64)]).filter(|(_, t)| has(d, *t)) {
                let (array, x) = noise(d, n as u64, &[2, n, 3]);
                let (array, name) = (array.astype(t), format!("{n}, {norm:?}, {t}"));
                let options = || Options::new(1).norm(norm);
                let column = |i: usize| (0..n).map(|j| x[(i / 3 * n + j) * 3 + i % 3]).collect::<Vec<_>>();
                let mut want = vec![0.; 6 * n];
                for i in 0..6 {
                    (0..n).for_each(|k| want[(i / 3 * n + k) * 3 + i % 3] = cosine_sum(&column(i), k, norm));
                }
                let size = want.iter().fold(1., |m: f64, x| m.max(x.abs()));
                let eps = if t == F64 { 1e-14 } else { 4e-6 };
                let y = dct(&array, options());
                near(&y, &[2, n, 3], &want, eps * size, &name);
                near(&idct(&y, options()), &[2, n, 3], &x, 2. * eps, &format!("{name}, back"));
                let last = || Options::new(-1).norm(norm);
                let back = idct(dct(array.moveaxis(1, -1), last()), last()).moveaxis(-1, 1);
                near(&back, &[2, n, 3], &x, 2. * eps, &name);
            }
        }
        let (shape, _) = numbers(&dct(noise(d, 1, &[2, 5]).0, Options::new(-1).lengths(8))).unwrap();
        assert_eq!(shape, [2, 8]);
        assert_eq!(dct(array![1, 2].to_device(d).unwrap().astype(I32), 0).dtype().unwrap(), F32);
    }

    fn short_time_transforms_are_transforms_of_parts(d: &Device) {
        for (length, n, hop) in [(1, 1, 1), (6, 4, 2), (20, 5, 1), (31, 8, 3), (100, 16, 16), (50, 7, 9)] {
            let ((x, values), (window, _)) = (noise(d, 5, &[2, length]), noise(d, 6, &[n]));
            let (window, name) = ((window + 1.5).eval().unwrap(), format!("{length}, {n}, {hop}"));
            let z = stft(&x, &window, hop);
            let count = (length - n) / hop + 1;
            assert_eq!(z.shape().unwrap(), [2, count, n / 2 + 1], "{name}");
            for f in [0, count / 2, count - 1] {
                let one = rfft(x.slice(s![.., f * hop..f * hop + n]) * &window, -1).to_interleaved();
                let (shape, want) = numbers(&one).unwrap();
                near(&z.map(|e| e.slice(s![.., f])).to_interleaved(), &shape, &want, 1e-5, &name);
            }
            let back = istft(&z, &window, hop);
            let covered = (count - 1) * hop + n;
            let want: Vec<f64> = values
                .chunks(length)
                .flat_map(|row| row[..covered].iter().enumerate())
                .map(|(i, x)| if i % hop.max(n) < n || hop <= n { *x } else { 0. })
                .collect();
            near(&back, &[2, covered], &want, 1e-5, &format!("{name}, back"));
        }
    }

    fn derivatives_of_linear_functions_are_their_adjoints(d: &Device) {
        let ((x, _), (dx, _)) = (noise(d, 1, &[3, 12]), noise(d, 2, &[3, 12]));
        let (taps, window) = (noise(d, 3, &[1, 5]).0, (noise(d, 4, &[4]).0 + 2.0).eval().unwrap());
        let weight = |e: Expr, seed| {
            let shape = e.shape().unwrap().to_vec();
            (e * noise(d, seed, &shape).0).sum(..)
        };
        type Loss<'a> = &'a dyn Fn(&Expr) -> Expr;
        let losses: [(&str, Loss<'_>); 5] = [
            ("fftconvolve", &|x| weight(fftconvolve(x, &taps, WindowMode::Same, 1), 5)),
            ("dct", &|x| weight(dct(x, Options::new(-1).norm(Norm::Ortho)), 6)),
            ("idct", &|x| weight(idct(x, -1), 7)),
            ("stft", &|x| weight(stft(x, &window, 2).imag().clone(), 8)),
            ("istft", &|x| weight(istft(stft(x, &window, 3), &window, 3), 9)),
        ];
        for (name, loss) in losses {
            let leaf = Expr::from(&x);
            let [g] = grad(&loss(&leaf), [&leaf]);
            let got = (g * &dx).sum(..).item::<f32>().unwrap();
            let want = loss(&Expr::from(&dx)).item::<f32>().unwrap();
            assert!((got - want).abs() < 1e-4, "{name}: {got} by grad, {want} along the direction");
        }
    }

    fn signals_that_do_not_fit_are_refused(d: &Device) {
        let x = zeros([2, 4], F32).to_device(d).unwrap();
        let of = |z: Complex| error(z.imag());
        let window = |n: usize| zeros([n], F32).to_device(d).unwrap();
        for (text, part) in [
            (error(&fftconvolve(&x, window(3), WindowMode::Full, 0)), "fftconvolve: shapes [2, 4] and [3]"),
            (error(&fftconvolve(&x, &x, WindowMode::Full, 2)), "fftconvolve: axis 2"),
            (error(&fftconvolve(&x, zeros([2, 0], F32), WindowMode::Full, 1)), "fftconvolve: shapes [2, 4] and [2, 0]"),
            (error(&dct(&x, (0, 1))), "dct: 2 axes; one axis is needed"),
            (error(&idct(zeros([2, 0], F32), 1)), "idct: axis 1 of shape [2, 0] has length 0"),
            (of(stft(&x, window(5), 1)), "stft: a window of 5 elements is longer"),
            (of(stft(&x, window(2), 0)), "stft: hop 0"),
            (of(stft(&x, &x, 1)), "stft: a window of shape [2, 4]"),
            (of(stft(1.0, window(2), 1)), "stft: a window of 2 elements is longer"),
            (error(&istft(&x, window(4), 1)), "istft: shape [2, 4] is not that of parts"),
            (error(&istft(window(3), window(4), 1)), "istft: shape [3] has no axis of parts"),
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
