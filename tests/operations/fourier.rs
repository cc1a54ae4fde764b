//! Fourier transforms: compared with NumPy (`data/fourier.txt`, written by `data/make_fourier.py`), and within the
//! documented error of the definition, for lengths near every limit of the implementation, in many layouts.

use crate::kit::{Dice, error, golden, has, numbers, on_devices, put, takes_all};
use cupric::fft::*;
use cupric::{DType::*, *};
use std::f64::consts::PI;

pub const GOLDEN: &str = include_str!("../data/fourier.txt");

/// The numbers of `sequence` in `data/make_fourier.py`.
pub fn sequence(d: &Device, shape: &[usize], factor: usize) -> Array {
    let n: usize = shape.iter().product();
    put(d, (0..n).map(|i| ((i * factor % 1024) as f32 - 512.) / 64.).collect::<Vec<_>>(), shape)
}

/// Asserts that the numbers of an expression are NumPy's, up to f32 rounding errors.
pub fn close(e: &Expr, shape: &[usize], want: &[f64], name: &str) {
    let (have, got) = numbers(e).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(have, shape, "{name}: shape");
    let size = want.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 2e-6 * size, "{name}: element {i} is {g}, not {w}");
    }
}

fn options(axes: &str, lengths: &str, norm: &str) -> Options {
    let list = |text: &str| text.split(',').map(|n| n.parse::<isize>().unwrap()).collect::<Vec<_>>();
    let options = if axes == "-" { Options::new(..) } else { Options::new(list(axes)) };
    let options = if lengths == "-" { options } else { options.lengths(list(lengths)) };
    match norm {
        "ortho" => options.norm(Norm::Ortho),
        "forward" => options.norm(Norm::Forward),
        _ => options,
    }
}

/// exp(−2πi·k/n). The angle is reduced to at most an eighth of a turn before the sine and cosine.
fn root(k: usize, n: usize) -> [f64; 2] {
    let eighth = |k: f64| [(PI * k / (4 * n) as f64).cos(), (PI * k / (4 * n) as f64).sin()];
    let (octant, rest) = (8 * k / n, (8 * k % n) as f64);
    let [c, s] = if octant % 2 == 0 { eighth(rest) } else { eighth(n as f64 - rest) };
    let [c, s] = if octant.div_ceil(2) % 2 == 1 { [s, c] } else { [c, s] };
    [if (2..6).contains(&octant) { -c } else { c }, if octant < 4 { -s } else { s }]
}

/// One element of a transform by the definition, with compensated products and sums.
fn by_definition(re: &[f64], im: &[f64], k: usize, roots: &[[f64; 2]]) -> [f64; 2] {
    let (mut sums, mut rests) = ([0f64; 2], [0f64; 2]);
    let mut add = |i: usize, a: f64, b: f64| {
        let (product, sum) = (a * b, sums[i] + a * b);
        let part = sum - sums[i];
        rests[i] += a.mul_add(b, -product) + ((sums[i] - (sum - part)) + (product - part));
        sums[i] = sum;
    };
    let mut at = 0;
    for (a, b) in re.iter().zip(im) {
        let [c, s] = roots[at];
        add(0, *a, c);
        add(0, -b, s);
        add(1, *a, s);
        add(1, *b, c);
        at = (at + k) % roots.len();
    }
    [sums[0] + rests[0], sums[1] + rests[1]]
}

/// Transforms random numbers along an axis, and compares some elements of each row with the definition. `make` makes
/// the operand from an array; `shape` is [outer, n, inner].
fn hold(d: &Device, t: DType, shape: [usize; 3], axis: isize, inverse: bool, make: impl Fn(&Array) -> Expr) {
    let [outer, n, inner] = shape;
    let name = format!("{t} {shape:?} along {axis}, inverse {inverse}");
    let dice = &mut Dice::new(n as u64);
    let all = outer * n * inner;
    // random numbers that f32 represents exactly
    let mut plane = || (0..all).map(|_| dice.within(-1., 1.) as f32 as f64).collect::<Vec<_>>();
    let [re, im] = [plane(), plane()];
    let array = |x: &[f64]| put(d, x.to_vec(), &shape).astype(t).eval().unwrap();
    let z = Complex::new(make(&array(&re)), make(&array(&im)));
    let z = if inverse { ifft(&z, Options::new(axis).norm(Norm::Forward)) } else { fft(&z, axis) };
    let z = z.eval().unwrap_or_else(|e| panic!("{name}: {e}"));
    // in another layout of the operand the transformed axis has another position
    let move_back = |e: &Expr| numbers(&e.moveaxis(axis, 1)).unwrap().1;
    let [a, b] = [move_back(z.real()), move_back(z.imag())];
    let roots: Vec<_> = (0..n).map(|k| root(k, n)).map(|[c, s]| [c, if inverse { -s } else { s }]).collect();
    let eps = if t == F64 { 2f64.powi(-52) } else { 2f64.powi(-23) };
    let (mut squares, mut count, mut worst, mut power) = (0., 0., 0f64, 0.);
    let rows = outer * inner;
    for row in (0..rows).step_by((rows / 6).max(1)) {
        let at = |k: usize| (row / inner * n + k) * inner + row % inner;
        let of = |x: &[f64]| (0..n).map(|k| x[at(k)]).collect::<Vec<_>>();
        let (x, y) = (of(&re), of(&im));
        power += x.iter().chain(&y).map(|v| v * v).sum::<f64>();
        // each element of the definition takes n operations, so long rows are compared at fewer places
        let places = if n > 1 << 20 { 7 } else { 40 };
        for k in (0..n).step_by((n / places).max(1)) {
            let [c, s] = by_definition(&x, &y, k, &roots);
            let off = (a[at(k)] - c).hypot(b[at(k)] - s);
            (squares, count, worst) = (squares + off * off, count + 1., worst.max(off));
        }
    }
    // by Parseval's theorem, the mean square of the result is the operand's sum of squares
    let size = (power / (0..rows).step_by((rows / 6).max(1)).count() as f64).sqrt() * eps * (n as f64).log2();
    let rms = f64::sqrt(squares / count) / size;
    assert!(rms <= 0.5 && worst / size <= 4., "{name}: rms error {rms}, worst {}", worst / size);
}

/// Transforms random real numbers, and a random half spectrum back, and compares both with complex transforms in f64,
/// which `hold` compares with the definition. `shape` is [outer, n, inner], and `make` makes the operand from an array.
fn hold_reals(d: &Device, t: DType, shape: [usize; 3], make: impl Fn(&Array) -> Expr) {
    let [outer, n, inner] = shape;
    let (m, name) = (n / 2 + 1, format!("{t} {shape:?}"));
    let dice = &mut Dice::new(n as u64);
    let mut noise = |n: usize| {
        let x = (0..outer * n * inner).map(|_| dice.within(-1., 1.) as f32 as f64).collect::<Vec<_>>();
        (
            put(&Device::cpu(), x.clone(), &[outer, n, inner]),
            make(&put(d, x, &[outer, n, inner]).astype(t).eval().unwrap()),
        )
    };
    let near = |e: &Expr, want: &Expr, name: &str| {
        let ((shape, got), (wanted, want)) = (numbers(e).unwrap(), numbers(want).unwrap());
        assert_eq!(shape, wanted, "{name}");
        let rms = |x: &[f64]| (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt();
        let off: Vec<f64> = got.iter().zip(&want).map(|(a, b)| a - b).collect();
        // in f64, the reference may have the same error
        let eps = if t == F64 { 2f64.powi(-51) } else { 2f64.powi(-23) };
        let size = rms(&want) * eps * (n as f64).log2().max(1.);
        let (rms, worst) = (rms(&off), off.iter().fold(0f64, |m, x| m.max(x.abs())));
        assert!(rms <= 0.5 * size && worst <= 4. * size, "{name}: rms error {}, worst {}", rms / size, worst / size);
    };
    let (x, y) = noise(n);
    let (all, z) = (fft(&x, 1), rfft(y, 1).eval().unwrap());
    let first = |e: &Expr| e.slice(s![.., ..m, ..]);
    near(&z.to_interleaved(), &Complex::new(first(all.real()), first(all.imag())).to_interleaved(), &name);
    let ((re, real), (im, imaginary)) = (noise(m), noise(m));
    // the imaginary parts of the ends are ignored
    let used = (0..m).map(|k| if k == 0 || 2 * k == n { 0. } else { 1. }).collect::<Vec<f64>>();
    let (re, im) = (Expr::from(&re), im * put(&Device::cpu(), used, &[m, 1]));
    let rest = |e: &Expr| e.slice(s![.., 1..n.div_ceil(2), ..]).flip(1);
    let whole = Complex::new(concat([&re, &rest(&re)], 1), concat([&im, &-rest(&im)], 1));
    let ortho = || Options::new(1).lengths(n as isize).norm(Norm::Ortho);
    near(&irfft(Complex::new(real, imaginary), ortho()), ifft(whole, ortho()).real(), &format!("{name}, inverse"));
}

on_devices! {
    fn transforms_are_numpys(d: &Device) {
        let (re, im) = (sequence(d, &[2, 3, 5], 389), sequence(d, &[2, 3, 5], 641));
        let z = Complex::new(&re, &im);
        for (name, shape, want) in golden(GOLDEN) {
            let words: Vec<&str> = name.split(' ').collect();
            let [function, axes, lengths, norm] = words[..] else { continue };
            let o = options(axes, lengths, norm);
            let e = match function {
                "fft" => fft(&z, o).to_interleaved(),
                "ifft" => ifft(&z, o).to_interleaved(),
                "fftn" => fftn(&z, o).to_interleaved(),
                "ifftn" => ifftn(&z, o).to_interleaved(),
                "rfft" => rfft(&re, o).to_interleaved(),
                "rfftn" => rfftn(&re, o).to_interleaved(),
                "ihfft" => ihfft(&re, o).to_interleaved(),
                "irfft" => irfft(&z, o),
                "irfftn" => irfftn(&z, o),
                "hfft" => hfft(&z, o),
                _ => panic!("{function}"),
            };
            close(&e, &shape, &want, name);
        }
    }

    fn frequencies_and_shifts_are_numpys(d: &Device) {
        let x = sequence(d, &[2, 3, 5], 389);
        for (name, shape, want) in golden(GOLDEN) {
            let words: Vec<&str> = name.split(' ').collect();
            let [function, argument] = words[..] else { continue };
            let all = if argument == "-" { "0,1,2" } else { argument };
            let list = || all.split(',').map(|n| n.parse::<isize>().unwrap()).collect::<Vec<_>>();
            let e = match function {
                "fftfreq" => fftfreq(argument.parse().unwrap(), 0.25, F32),
                "rfftfreq" => rfftfreq(argument.parse().unwrap(), 0.25, F32),
                "fftshift" => fftshift(&x, list()),
                "ifftshift" => ifftshift(&x, list()),
                _ => continue,
            };
            close(&e, &shape, &want, name);
        }
        assert_eq!(fftfreq(4, 0.5, F16).dtype().unwrap(), F16);
    }

    fn errors_of_all_lengths_are_within_the_bound(d: &Device) {
        let powers = (1..=16).map(|k| 1 << k);
        // lengths near limits: 128 and 2^15 (CPU), 1,024 and 128² (GPU); larger primes; other factors
        let others = [3, 5, 6, 7, 9, 10, 11, 13, 35, 65, 100, 126, 135, 243, 257, 343, 1000, 1029, 1031, 2401, 16411, 16464, 32771, 32805];
        // all other powers of two that a CPU transforms in memory of its own, and primes above thresholds
        let long = [65537, 3 << 17, 531441, 823543, 1048583, 4194319];
        let long = (17..=24).map(|k| 1 << k).chain(long).filter(|_| takes_all() && !d.is_gpu());
        for n in powers.chain(others).chain(long) {
            let rows = (4096 / n).clamp(1, 33);
            for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
                hold(d, t, [rows, n, 1], 1, n % 3 == 0, |x| Expr::from(x));
            }
        }
    }

    fn lengths_whose_squares_exceed_32_bits(d: &Device) {
        // the angles of Bluestein's method depend on squares up to (n − 1)²: the last length below 2^31 and the first above,
        // primes, and products of a large prime and small factors
        for n in [46341, 46342, 46349, 65537, 2 * 46351, 5 * 16411] {
            for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
                hold(d, t, [1, n, 1], 1, n % 2 == 0, |x| Expr::from(x));
                // the spectrum of a unit impulse at j consists of the powers of a root of unity
                let j = n - 2;
                let impulse = (0..n).map(|i| (i == j) as u8 as f64).collect::<Vec<_>>();
                let z = fft(put(&Device::cpu(), impulse, &[n]).astype(t).to_device(d).unwrap(), 0).eval().unwrap();
                let [re, im] = [z.real(), z.imag()].map(|e| numbers(e).unwrap().1);
                let bound = 4. * t.finfo().unwrap().eps * (n as f64).log2();
                for k in 0..n {
                    let [c, s] = root(j * k % n, n);
                    let off = (re[k] - c).hypot(im[k] - s);
                    assert!(off <= bound, "{t}, {n}: element {k} is off by {off}, where the bound is {bound}");
                }
            }
        }
    }

    fn transforms_keep_the_sum_of_squares(d: &Device) {
        // by Parseval's theorem
        for shape in [[1, 2, 3], [3, 16, 20], [2, 30, 77], [5, 64, 64]] {
            let [re, im] = [389, 641].map(|by| sequence(d, &shape, by));
            let power = |z: &Complex| numbers(&(z.real() * z.real() + z.imag() * z.imag())).unwrap().1.iter().sum::<f64>();
            let z = Complex::new(&re, &im);
            let want = power(&z);
            for axes in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2]] {
                let o = || Options::new(axes.to_vec()).norm(Norm::Ortho);
                for (name, z) in [("fftn", fftn(&z, o())), ("ifftn", ifftn(&z, o()))] {
                    assert!((power(&z) / want - 1.).abs() < 1e-5, "{name} of {shape:?} along {axes:?}");
                }
            }
            let (half, n) = (rfft(&re, Options::new(1).norm(Norm::Ortho)), shape[1]);
            let ends = half.map(|part| concat([part.slice(s![.., ..1]), part.slice(s![.., n.div_ceil(2)..])], 1));
            let all = 2. * power(&half) - power(&ends);
            let want = power(&Complex::new(&re, zeros(shape, F32).to_device(d).unwrap()));
            assert!((all / want - 1.).abs() < 1e-5, "rfft of {shape:?}");
        }
    }

    fn transforms_of_real_numbers_are_within_the_bound(d: &Device) {
        // lengths near limits of halves: 128 and 2^15 (CPU), 1,024 (GPU), groups of 16 pairs, odd and prime factors
        for n in [1, 2, 3, 4, 5, 6, 8, 10, 14, 22, 30, 32, 34, 64, 66, 68, 70, 96, 135, 252, 256, 258, 270, 1000, 2048, 2050, 2058, 65536, 65610, 98304] {
            let rows = (4096 / n).clamp(1, 33);
            for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
                hold_reals(d, t, [rows, n, 1], |x| Expr::from(x));
            }
        }
        for n in [4, 6, 12, 60, 64, 288, 2000] {
            for inner in [3, 16, 17, 40] {
                hold_reals(d, F32, [if n > 200 { 1 } else { 3 }, n, inner], |x| Expr::from(x));
            }
            hold_reals(d, F32, [3, n, 5], |x| x.moveaxis(1, 0).eval().unwrap().moveaxis(0, 1));
            // another operation is fused with the step that separates even and odd numbers
            hold_reals(d, F32, [3, n, 1], |x| -(x.flip(1) * -1.).flip(1) * -1. * -1.);
        }
    }

    fn transforms_of_large_real_numbers_do_not_overflow(d: &Device) {
        let x = array![3e38, 0., 0., 0., 0., 0.].to_device(d).unwrap();
        let z = rfft(&x, -1).eval().unwrap();
        assert_eq!(z.real().to_vec::<f32>().unwrap(), [3e38; 4]);
        assert_eq!(z.imag().to_vec::<f32>().unwrap(), [0.; 4]);
        // no rows
        let none = zeros([0, 8], F32).to_device(d).unwrap();
        assert_eq!(rfft(&none, 1).eval().unwrap().shape().unwrap(), [0, 5]);
        assert_eq!(irfft(&none, 1).eval().unwrap().shape(), [0, 14]);
    }

    fn every_layout_is_transformed(d: &Device) {
        for n in [2, 7, 16, 60, 64, 65, 144, 257, 1000] {
            // numbers of neighbouring rows near the limit of 16, and near multiples of vector lengths
            for inner in [1, 3, 16, 17, 40] {
                let outer = if n > 200 { 2 } else { 5 };
                hold(d, F32, [outer, n, inner], 1, n == 16, |x| Expr::from(x));
            }
            hold(d, F32, [3, n, 5], 0, false, |x| x.moveaxis(1, 0));
            hold(d, F32, [3, n, 5], -1, false, |x| x.moveaxis(1, -1));
            // a view with every third element, in reverse order
            let spread = |x: &Array| {
                let wide = stack([&x.flip(1), &(x * 0.5), &(x * 0.25)], 2).reshape([3, -1, 4]).eval().unwrap();
                wide.slice(s![.., ..;3, ..]).flip(1)
            };
            hold(d, F32, [3, n, 4], 1, true, spread);
        }
        if has(d, F64) {
            hold(d, F64, [2, 360, 19], 1, false, |x| Expr::from(x));
        }
    }

    fn a_row_has_the_same_bits_in_every_batch(d: &Device) {
        for n in [64, 120, 1024, 1500] {
            let dice = &mut Dice::new(3);
            let x = put(d, (0..40 * n).map(|_| dice.within(-1., 1.) as f32).collect::<Vec<_>>(), &[40, n]);
            let all = rfft(&x, -1).eval().unwrap();
            for row in [0, 17, 39] {
                let one = rfft(x.slice(s![row]), 0).eval().unwrap();
                assert_eq!(one.imag().to_vec::<f32>().unwrap(), all.imag().slice(s![row]).to_vec::<f32>().unwrap(), "{n}");
            }
            let down = rfft(x.t(), 0).eval().unwrap();
            assert_eq!(down.real().t().to_vec::<f32>().unwrap(), all.real().to_vec::<f32>().unwrap(), "{n}");
        }
    }

    fn halves_and_integers_are_transformed_as_f32(d: &Device) {
        for t in [F16, BF16, I32, U8] {
            let z = fft::fft(array![1, 2, 3, 4].to_device(d).unwrap().astype(t), -1).eval().unwrap();
            assert_eq!(z.dtype().unwrap(), F32, "{t}");
            assert_eq!(z.real().to_vec::<f32>().unwrap(), [10., -2., -2., -2.], "{t}");
        }
    }

    fn derivatives_are_adjoint_transforms(d: &Device) {
        let noise = |seed, shape: &[usize]| {
            let dice = &mut Dice::new(seed);
            put(d, (0..shape.iter().product::<usize>()).map(|_| dice.within(-1., 1.) as f32).collect::<Vec<_>>(), shape)
        };
        for n in [8, 11, 60] {
            let (x, dx) = (noise(1, &[3, n]), noise(2, &[3, n]));
            let weights = [noise(3, &[3, n / 2 + 1]), noise(4, &[3, n / 2 + 1])];
            let loss = |x: &Expr| {
                let z = rfft(x, Options::new(-1).norm(Norm::Ortho));
                (z.real() * &weights[0]).sum(..) + (z.imag() * &weights[1]).sum(..)
            };
            // the loss is linear, so its change in a direction equals its value there
            let leaf = Expr::from(&x);
            let [g] = grad(&loss(&leaf), [&leaf]);
            let got = (g * &dx).sum(..).item::<f32>().unwrap();
            let want = loss(&Expr::from(&dx)).item::<f32>().unwrap();
            assert!((got - want).abs() < 1e-5 * n as f32, "{n}: {got} by grad, {want} along the direction");
        }
    }

    fn refusals_name_the_function(d: &Device) {
        let x = zeros([2, 4], F32).to_device(d).unwrap();
        let of = |z: Complex| error(z.imag());
        for (text, part) in [
            (of(fft::fft(&x, 2)), "fft: axis 2"),
            (of(ifft(&x, (0, 1))), "ifft: 2 axes; one axis is needed"),
            (of(fftn(&x, (0, 0))), "fftn: "),
            (of(rfft(&x, Options::new(-1).lengths(0))), "rfft: length 0"),
            (of(fftn(&x, Options::new((0, 1)).lengths(3))), "fftn: 1 lengths for 2 axes"),
            (of(fft::fft(zeros([2, 0], F32), -1)), "fft: axis 1 of shape [2, 0] has length 0"),
            (error(&irfft(x.slice(s![.., ..1]), -1)), "irfft: 1 numbers along axis 1"),
            (error(&fftfreq(0, 1.0, F32)), "fftfreq: 0 numbers"),
            (error(&rfftfreq(4, 1.0, I32)), "rfftfreq: dtype i32"),
            (error(&fftshift(&x, 3)), "fftshift: axis 3"),
            (of(fft::fft(&x, keep(1))), "fft: `keep`"),
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(fft::fft(zeros([0, 4], F32), -1).eval().unwrap().shape().unwrap(), [0, 4]);
        if d.is_gpu() && !has(d, F64) {
            let e = fft::fft(zeros([4], F32), -1).map(|e| e.astype(F64));
            assert!(of(fft::fft(&e, -1)).contains("f64"));
        }
    }
}
