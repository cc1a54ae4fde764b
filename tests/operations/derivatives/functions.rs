//! Derivatives of public functions that no other test of derivatives calls, compared with differences in f64. They are
//! compared on the CPU only, because the graph of a derivative does not depend on the device.

use super::{check, noise};
use crate::kit::Dice;
use crate::kit::operations::{self, Params};
use cupric::*;

macro_rules! functions {
    ($($name:literal [$($shape:expr),*] |$x:ident| $body:expr;)*) => {
        let d = &Device::cpu();
        $(
            let dice = &mut Dice::new(7);
            let shapes: &[&[usize]] = &[$(&$shape),*];
            let inputs: Vec<Array> = shapes.iter().map(|s| noise(dice, s, 0.4, 2.0, d)).collect();
            check($name, d, &inputs, 1e-6, |$x| $body);
        )*
    };
}

#[test]
fn of_moves_and_products() {
    functions! {
        "diff_with" [[5], [2]] |x| x[0].diff_with(1, 0, Some(&x[1]), Some(&x[1])).square();
        "ediff1d" [[5], [2]] |x| x[0].ediff1d(Some(&x[1]), None).square();
        "gradient" [[6]] |x| x[0].gradient(0.5, 0).square();
        "trapezoid" [[6]] |x| x[0].square().trapezoid(0.5, 0);
        "choose" [[4], [4]] |x| array![0, 1, 1, 0].choose([&x[0].square(), &x[1].exp()]);
        "delete" [[6]] |x| x[0].square().delete(2, 0);
        "insert" [[6], [1]] |x| x[0].square().insert(2, x[1].exp(), 0);
        "vstack" [[3], [3]] |x| vstack([&x[0], &x[1]]).square();
        "hstack" [[2, 2], [2, 2]] |x| hstack([&x[0], &x[1]]).square();
        "kron" [[2, 2], [2, 3]] |x| x[0].kron(&x[1]);
        "cross" [[2, 3], [2, 3]] |x| x[0].cross(&x[1], -1);
        "trace" [[4, 4]] |x| x[0].square().trace(1, 0, 1);
        "matrix_power" [[3, 3]] |x| x[0].matrix_power(3);
        "matrix_power, negative" [[3, 3]] |x| x[0].matrix_power(-2);
        "tensordot" [[2, 3, 4], [3, 4, 2]] |x| tensordot(&x[0], &x[1], 2);
        "multi_dot" [[2, 3], [3, 4], [4, 2]] |x| multi_dot([&x[0], &x[1], &x[2]]);
        "vecdot" [[2, 3], [2, 3]] |x| x[0].vecdot(&x[1], -1);
        "inner" [[2, 3], [4, 3]] |x| x[0].inner(&x[1]);
        "rot90" [[2, 3]] |x| x[0].rot90(1, [0, 1]).square();
        "pad by the edge" [[5]] |x| x[0].pad([(2, 1)], Pad::Edge).square();
        "pad by wrapping" [[5]] |x| x[0].pad([(2, 1)], Pad::Wrap).square();
        "diag" [[4]] |x| x[0].diag(1).square();
        "meshgrid" [[3], [4]] |x| { let m = meshgrid([&x[0], &x[1]], Indexing::Ij); &m[0] * &m[1] };
    }
}

#[test]
fn of_statistics() {
    functions! {
        "ptp" [[3, 5]] |x| x[0].ptp(1);
        "average" [[3, 5], [5]] |x| x[0].average(1, &x[1]);
        "cov" [[3, 5]] |x| x[0].cov(true, 1.0);
        "corrcoef" [[3, 5]] |x| x[0].corrcoef(true);
        "polyval" [[4]] |x| x[0].polyval([1.0, 2.0, -0.5]);
        "nan_to_num" [[4]] |x| x[0].nan_to_num().square();
        "nanmean" [[3, 4]] |x| select(x[0].greater(1.5), f64::NAN, &x[0]).nanmean(1);
        "nanvar" [[3, 4]] |x| select(x[0].greater(1.7), f64::NAN, &x[0]).nanvar(1);
        "nanstd" [[3, 4]] |x| select(x[0].greater(1.7), f64::NAN, &x[0]).nanstd(1);
        "nansum" [[3, 4]] |x| select(x[0].greater(1.7), f64::NAN, x[0].square()).nansum(1);
        "nanmax" [[3, 4]] |x| select(x[0].greater(1.7), f64::NAN, x[0].square()).nanmax(1);
        "nanmedian" [[3, 5]] |x| select(x[0].greater(1.7), f64::NAN, &x[0]).nanmedian(1);
        "nanquantile" [[3, 5]] |x| select(x[0].greater(1.7), f64::NAN, &x[0]).nanquantile(0.4, 1, QuantileMethod::Linear);
        "quantiles" [[3, 9]] |x| x[0].quantile([0.1, 0.33, 0.5, 0.9], 1, QuantileMethod::Linear);
        "quantile by Hazen" [[3, 9]] |x| x[0].quantile(0.33, 1, QuantileMethod::Hazen);
        "percentile" [[9]] |x| x[0].percentile(33.0, 0, QuantileMethod::Linear);
    }
}

#[test]
fn of_indices_and_numbers() {
    functions! {
        "convolve" [[6], [3]] |x| convolve(&x[0], &x[1], WindowMode::Full);
        "correlate" [[6], [3]] |x| correlate(&x[0], &x[1], WindowMode::Same);
        "modf" [[5]] |x| (&x[0] * 0.4).modf().0.square();
        "frexp" [[5]] |x| (&x[0] * 0.2 + 0.55).frexp().0.square();
        "ldexp" [[3]] |x| x[0].ldexp(array![3, -2, 1]).square();
        "divmod" [[4], [4]] |x| (&x[0] * 0.5 + 4.5).divmod(&x[1] * 0.1 + 2.0).1;
        "heaviside" [[4]] |x| x[0].heaviside(0.5) * &x[0];
        "clip_lower" [[6]] |x| x[0].clip_lower(1.0).square();
        "interp at and of" [[5], [3]] |x| {
            let at = &x[0] * 0.1 + arange(0, 5, 1, DType::F64) * 0.5 + 0.1;
            interp(at, array![0f64, 1., 2.], &x[1])
        };
        "interp between" [[5], [3]] |x| interp(x[0].clip(0.5, 1.9), x[1].cumulative_sum(0), array![0f64, 1., 3.]);
        "histogram_weighted" [[4]] |x| array![0.1f64, 0.2, 0.9, 0.6].histogram_weighted(x[0].square(), 2, Some((0., 1.))).0;
        "bincount_weighted" [[4]] |x| array![0, 2, 1, 2].bincount_weighted(x[0].square(), 3);
        "take_at" [[3, 4]] |x| x[0].take_at((array![0, 2, 2], array![1, 3, 3])).square();
        "index_min" [[3], [4]] |x| x[0].index_min(0, array![0, 2, 2, 1], &x[1]).square();
        "cummax_with_positions" [[6]] |x| x[0].cummax_with_positions(0).0.square();
        "partition" [[6]] |x| x[0].partition(2, 0).slice(s![..1]).square();
        "sums of a sort" [[5, 3]] |x| x[0].sort(0).square().cumulative_sum(0);
    }
}

#[test]
fn of_norms_and_systems() {
    functions! {
        "vector_norm 2.5" [[5]] |x| x[0].vector_norm(.., 2.5);
        "matrix_norm, nuclear" [[3, 4]] |x| x[0].matrix_norm(.., MatrixNorm::Nuclear);
        "matrix_norm 2" [[3, 4]] |x| x[0].matrix_norm(.., MatrixNorm::Two);
        "matrix_norm -2" [[3, 3]] |x| x[0].matrix_norm(.., MatrixNorm::MinusTwo);
        "matrix_norm 1" [[3, 4]] |x| x[0].matrix_norm(.., MatrixNorm::One);
        "matrix_norm inf" [[3, 4]] |x| x[0].matrix_norm(.., MatrixNorm::Infinity);
        "cond" [[3, 3]] |x| linalg::cond(&x[0], None);
        "cond, norm 1" [[3, 3]] |x| linalg::cond(&x[0], MatrixNorm::One);
        "expm" [[3, 3]] |x| linalg::expm(&x[0]);
        "solve" [[3, 3], [3, 2]] |x| linalg::solve(&x[0], &x[1]);
        "solve_refined" [[3, 3], [3, 2]] |x| linalg::solve_refined(&x[0], &x[1]).0;
        "inv" [[3, 3]] |x| linalg::inv(&x[0]);
        "det" [[3, 3]] |x| linalg::det(&x[0]);
        "slogdet" [[3, 3]] |x| linalg::slogdet(&x[0]).1;
        "cholesky" [[3, 3]] |x| linalg::cholesky(x[0].matmul(x[0].t()) + eye(3, DType::F64), linalg::Triangle::Lower);
        "lu" [[3, 3]] |x| { let (_, l, u) = linalg::lu(&x[0]); l.square() + u };
        "solve_triangular" [[3, 3], [3]] |x| linalg::solve_triangular(&x[0], &x[1], linalg::Triangle::Upper);
    }
}

#[test]
fn of_factors() {
    use linalg::Mode;
    let even = |x: &Expr| x + x.t();
    functions! {
        "qr, q" [[4, 3]] |x| linalg::qr(&x[0], Mode::Reduced).0;
        "qr, r" [[4, 3]] |x| linalg::qr(&x[0], Mode::Reduced).1;
        "qr" [[3, 3]] |x| { let (q, r) = linalg::qr(&x[0], Mode::Reduced); q.square() + r };
        "lu of a tall matrix" [[4, 3]] |x| { let (_, l, u) = linalg::lu(&x[0]); l.matmul(u.tanh()) };
        "eigvalsh" [[4, 4]] |x| linalg::eigvalsh(even(&x[0]));
        "eigh" [[4, 4]] |x| {
            let (w, v) = linalg::eigh(even(&x[0]));
            (&v * w.tanh().expand_dims(-2)).matmul(v.t())
        };
        "svdvals" [[3, 4]] |x| linalg::svdvals(&x[0]);
        "svd" [[3, 3]] |x| { let (u, s, v) = linalg::svd(&x[0], Mode::Reduced); (u * s.tanh().expand_dims(-2)).matmul(v) };
        "svd of a tall matrix" [[4, 2]] |x| {
            let (u, s, v) = linalg::svd(&x[0], Mode::Reduced);
            (u.square() * s.tanh().expand_dims(-2)).matmul(v.square())
        };
        "svd of a wide matrix" [[2, 4]] |x| {
            let (u, s, v) = linalg::svd(&x[0], Mode::Reduced);
            (u.square() * s.tanh().expand_dims(-2)).matmul(v.square())
        };
        "v of a wide matrix" [[2, 4]] |x| linalg::svd(&x[0], Mode::Reduced).2.square();
        "pinv" [[4, 3]] |x| linalg::pinv(&x[0], None);
        "lstsq" [[4, 3], [4]] |x| linalg::lstsq(&x[0], &x[1], None);
        "expm of a large matrix" [[3, 3]] |x| linalg::expm(&x[0] * 3.0).log1p();
    }
}

#[test]
fn of_sorts_with_positions() {
    functions! {
        "sort and argsort" [[3, 5]] |x| x[0].sort(1) * x[0].square().take_along_axis(x[0].argsort(1), 1);
        "topk with positions" [[3, 9]] |x| {
            let (largest, at) = x[0].topk(3, 1, true);
            largest.square() * x[0].take_along_axis(at, 1)
        };
        "median and quantiles" [[3, 6]] |x| x[0].median(1) * x[0].quantile(0.3, 1, QuantileMethod::Linear);
        "cummax and positions" [[2, 6]] |x| {
            let (largest, at) = x[0].cummax_with_positions(1);
            largest * x[0].square().take_along_axis(at, 1)
        };
        "one part of several" [[8]] |x| fft::rfft(&x[0], 0).imag().clone();
    }
}

#[test]
fn of_transforms() {
    functions! {
        "fft" [[8]] |x| { let z = fft::fft(&x[0], 0); z.real().square() * 0.3 + z.imag() };
        "rfft" [[7]] |x| { let z = fft::rfft(&x[0], 0); z.abs() };
        "rfft of 8" [[8]] |x| { let z = fft::rfft(&x[0], 0); z.real().square() * 0.3 + z.imag() };
        "rfft of columns" [[6, 16]] |x| { let z = fft::rfft(&x[0], 0); z.real().square() * 0.3 + z.imag() };
        "irfft" [[5], [5]] |x| fft::irfft(Complex::new(&x[0], &x[1]), 0).square();
        "hfft" [[5], [5]] |x| fft::hfft(Complex::new(&x[0], &x[1]), 0).square();
        "rfftn" [[4, 5]] |x| { let z = fft::rfftn(&x[0], [0, 1]); z.real() * z.imag() };
        "dct" [[6]] |x| fft::dct(&x[0], 0).square();
        "idct" [[6]] |x| fft::idct(&x[0], 0).square();
        "stft" [[20], [6]] |x| { let z = fft::stft(&x[0], &x[1], 3); z.real().square() + z.imag() };
        "istft" [[20], [6]] |x| fft::istft(fft::stft(&x[0], full([6], 1.0, DType::F64), 3), &x[1], 3).square();
        "fftconvolve" [[8], [3]] |x| fft::fftconvolve(&x[0], &x[1], WindowMode::Same, 0);
    }
}

#[test]
fn of_complex_numbers() {
    functions! {
        "complex pow" [[3], [3]] |x| { let z = Complex::new(&x[0], &x[1]); let w = z.pow(Complex::new(&x[1], &x[0])); w.real() + w.imag() * 2.0 };
        "complex reciprocal" [[3], [3]] |x| { let z = Complex::new(&x[0], &x[1]).reciprocal(); z.real() + z.imag() * 2.0 };
        "complex abs angle" [[3], [3]] |x| { let z = Complex::new(&x[0], &x[1]); z.abs() * z.angle() };
        "complex cumulative_prod" [[3], [3]] |x| { let z = Complex::new(&x[0], &x[1]).cumulative_prod(0); z.real() + z.imag() * 2.0 };
        "complex prod" [[3], [3]] |x| { let z = Complex::new(&x[0], &x[1]).prod(..); z.real() + z.imag() * 2.0 };
        "complex matmul" [[2, 2], [2, 2]] |x| { let z = Complex::new(&x[0], &x[1]); let z = z.matmul(&z); z.real() + z.imag() * 2.0 };
        "unstack" [[3, 2]] |x| { let p = x[0].unstack(0).unwrap(); &p[0] * &p[2] };
    }
}

#[test]
fn of_draws_and_layers() {
    functions! {
        "select_many" [[4]] |x| select_many([arange(0, 4, 1, DType::I32).less(2)], [x[0].exp()], x[0].sin());
        "attention with a mask" [[3, 2], [4, 2], [4, 2], [3, 4]] |x| attention(&x[0], &x[1], &x[2], Attention::default().mask(&x[3]));
        "logsumexp of all" [[3, 4]] |x| x[0].logsumexp(..);
        "segment_sum" [[4, 2]] |x| x[0].square().segment_sum(array![0, 2, 2, 1], 3);
        "round_to" [[3]] |x| (&x[0] * 0.01 + 1.0).round_to(1) * &x[0];
        "put_along_axis" [[3, 4], [3, 1]] |x| x[0].put_along_axis(array![[1], [0], [3]], &x[1], 1).square();
        "kron of vectors" [[3], [2]] |x| x[0].kron(&x[1]);
        "sums of an outer product" [[3], [2]] |x| x[0].outer(&x[1]).cumulative_sum(include_initial(0));
        "std of two axes" [[3, 4, 2]] |x| x[0].std((0, 2));
        "cumulative_prod, reversed" [[5]] |x| x[0].cumulative_prod(reverse(0)).square();
        "conv1d" [[2, 3, 9], [4, 3, 3]] |x| x[0].conv1d(&x[1], Conv::default().stride(2).padding(1));
        "conv2d, channels last" [[1, 5, 5, 4], [4, 3, 3, 2]] |x| x[0].conv2d(&x[1], Conv::default().channels_last().groups(2));
    }
}

#[test]
fn of_numbers_and_draws() {
    functions! {
        "full" [[1]] |x| full([3], x[0].slice(s![0]), DType::F64).square();
        "multivariate_normal" [[2]] |x| Rng::new(1).multivariate_normal(&x[0], eye(2, DType::F64), [3]);
    }
}

/// The error of the derivative of an expression's sum, or the text "none".
fn refusal(y: &Expr, x: &Expr) -> String {
    let [g] = grad(&y.sum(..), [x]);
    g.eval().map_or_else(|e| e.to_string(), |_| "none".into())
}

#[test]
fn functions_without_a_derivative_name_themselves() {
    let (x, one) = (array![1.5f64, 2.0, 3.0], array![1.0f64, 2.0, 2.5]);
    let matrix = array![[2.0f64, 1.0], [0.5, 3.0]];
    let covariance = array![[2.0f64, 0.5], [0.5, 3.0]];
    let steps = array![0, 2];
    for (name, y, x) in [
        ("nextafter", nextafter(&x, &one), &x),
        ("gammainc", gammainc(&x, &one), &x),
        ("gammaincc", gammaincc(&x, &one), &x),
        ("zeta", zeta(&x, &one), &x),
        ("reduce_at", x.reduce_at(&steps, 0), &x),
        ("eig", linalg::eigvals(&matrix).real().clone(), &matrix),
        ("eig", linalg::eig(&matrix).1.real().clone(), &matrix),
    ] {
        let text = refusal(&y, x);
        assert!(text.contains(&format!("{name}, called at {}:", file!())), "{name}: {text}");
        assert!(text.contains("has no derivative"), "{name}: {text}");
    }
    for y in [gammainc(&x, &one), gammaincc(&x, &one), zeta(&x, &one)] {
        assert_eq!(refusal(&y, &one), "none");
    }
    // what is computed at once is a constant
    let mean = Rng::new(1).multivariate_normal(array![0.0f64, 1.0], &covariance, [3]);
    let (kept, values) = (x.compress(x.greater(1.6)).unwrap(), x.unique_values().unwrap());
    for (name, y, x) in [
        ("compress", &*kept, &x),
        ("unique_values", &*values, &x),
        ("union", &*x.union(&one).unwrap(), &x),
        ("multivariate_normal", &mean, &covariance),
    ] {
        let text = refusal(y, x);
        assert!(text.contains("does not read operand 0"), "{name}: {text}");
    }
}

#[test]
fn every_function_has_a_derivative_or_says_that_it_has_none() {
    let d = &Device::cpu();
    let dice = &mut Dice::new(5);
    let rows = testing::rows();
    let of_rows = rows.iter().map(|row| {
        let mut x: Vec<Expr> = (0..row.arity()).map(|_| noise(dice, &[4], 0.4, 0.9, d).into()).collect();
        if row.name() == "select" {
            x[0] = x[0].greater(0.5);
        }
        (row.name(), row.apply(&x), x)
    });
    let mut calls: Vec<_> = of_rows.collect();
    calls.extend(operations::along_axes().filter(|o| o.takes(DType::F64)).map(|o| {
        let x: Expr = noise(dice, &[3, 4], 0.4, 0.9, d).into();
        (o.name, (o.build)(std::slice::from_ref(&x), &Params::along(1)), vec![x])
    }));
    let mut without = vec![];
    let mut derived = 0;
    for (name, y, operands) in &calls {
        if !y.dtype().is_ok_and(|t| t == DType::F64) {
            continue;
        }
        for x in operands.iter().filter(|x| x.dtype().is_ok_and(|t| t.is_float())) {
            match refusal(y, x) {
                text if text == "none" => derived += 1,
                text if text.contains("has no derivative") && text.contains(file!()) => without.push(*name),
                text => panic!("{name}: {text}"),
            }
        }
    }
    assert!(derived > 130, "{derived} derivatives");
    assert_eq!(without, ["nextafter", "nextafter", "zeta", "gammainc", "gammaincc"]);
}
