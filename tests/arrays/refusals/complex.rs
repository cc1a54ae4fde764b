//! Complex numbers, Fourier transforms and linear algebra.

use super::*;

/// Complex numbers.
pub fn complex(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let x = matrix(d);
    let failed = Complex::new(&x, put(d, vec![1f32; 5], &[5]));
    let of = |z: Complex| z.eval().map(|_| ()).expect_err("it should be refused");
    vec![
        ("Complex::new", K::Shape, of(failed.clone())),
        ("Complex::from_interleaved", K::Shape, of(Complex::from_interleaved(&x))),
        ("Complex::to_interleaved", K::Shape, error(failed.to_interleaved())),
        ("Complex::polar", K::Shape, of(Complex::polar(&x, x.t()))),
        ("Complex::map", K::Axis, of(Complex::new(&x, 1).map(|part| part.flip(2)))),
        ("Complex::shape", K::Shape, failed.shape().unwrap_err()),
        ("Complex::ndim", K::Shape, failed.ndim().unwrap_err()),
        ("Complex::size", K::Shape, failed.size().unwrap_err()),
        ("Complex::dtype", K::Shape, failed.dtype().unwrap_err()),
        ("Complex::eval", K::Shape, failed.eval().unwrap_err()),
        ("Complex::to_device", K::Shape, failed.to_device(d).unwrap_err()),
        ("Complex::conj", K::Shape, of(failed.conj())),
        ("Complex::abs", K::Shape, error(failed.abs())),
        ("Complex::angle", K::Shape, error(failed.angle())),
        ("Complex::exp", K::Shape, of(failed.exp())),
        ("Complex::expm1", K::Shape, of(failed.expm1())),
        ("Complex::log", K::Shape, of(failed.log())),
        ("Complex::log1p", K::Shape, of(failed.log1p())),
        ("Complex::log2", K::Shape, of(failed.log2())),
        ("Complex::log10", K::Shape, of(failed.log10())),
        ("Complex::sqrt", K::Shape, of(failed.sqrt())),
        ("Complex::sign", K::Shape, of(failed.sign())),
        ("Complex::sin", K::Shape, of(failed.sin())),
        ("Complex::cos", K::Shape, of(failed.cos())),
        ("Complex::tan", K::Shape, of(failed.tan())),
        ("Complex::sinh", K::Shape, of(failed.sinh())),
        ("Complex::cosh", K::Shape, of(failed.cosh())),
        ("Complex::tanh", K::Shape, of(failed.tanh())),
        ("Complex::asin", K::Shape, of(failed.asin())),
        ("Complex::acos", K::Shape, of(failed.acos())),
        ("Complex::atan", K::Shape, of(failed.atan())),
        ("Complex::asinh", K::Shape, of(failed.asinh())),
        ("Complex::acosh", K::Shape, of(failed.acosh())),
        ("Complex::atanh", K::Shape, of(failed.atanh())),
        ("Complex::pow", K::Shape, of(failed.pow(2))),
        ("Complex::pow", K::Shape, of(Complex::new(&x, 1).pow(put(d, vec![1f32; 5], &[5])))),
        ("Complex::positive", K::Shape, of(failed.positive())),
        ("Complex::round", K::Shape, of(failed.round())),
        ("Complex::equal", K::Shape, error(failed.equal(1))),
        ("Complex::not_equal", K::Shape, error(failed.not_equal(1))),
        ("Complex::isnan", K::Shape, error(failed.isnan())),
        ("Complex::isinf", K::Shape, error(failed.isinf())),
        ("Complex::isfinite", K::Shape, error(failed.isfinite())),
        ("Complex::square", K::Shape, of(failed.square())),
        ("Complex::reciprocal", K::Shape, of(failed.reciprocal())),
        ("Complex::sum", K::Axis, of(Complex::new(&x, 1).sum(2))),
        ("Complex::cumulative_sum", K::Axis, of(Complex::new(&x, 1).cumulative_sum(2))),
        ("Complex::prod", K::Axis, of(Complex::new(&x, 1).prod(2))),
        ("Complex::cumulative_prod", K::Axis, of(Complex::new(&x, 1).cumulative_prod(2))),
        ("Complex::mean", K::Axis, of(Complex::new(&x, 1).mean(2))),
        ("Complex::matmul", K::Shape, of(Complex::new(&x, 1).matmul(&x))),
    ]
}

/// Fourier transforms and linear algebra.
pub fn transforms(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let x = matrix(d);
    let of = |z: Complex| z.eval().map(|_| ()).expect_err("it should be refused");
    let none = fft::Options::new(1).lengths(0);
    vec![
        ("fft", K::Axis, of(fft::fft(&x, 2))),
        ("ifft", K::Axis, of(fft::ifft(&x, ..))),
        ("fftn", K::Argument, of(fft::fftn(&x, keep(0)))),
        ("ifftn", K::Argument, of(fft::ifftn(&x, none.clone()))),
        ("rfft", K::Shape, of(fft::rfft(zeros([2, 0], F32), -1))),
        ("irfft", K::Shape, error(fft::irfft(x.slice(s![.., ..1]), -1))),
        ("rfftn", K::Argument, of(fft::rfftn(&x, none.clone()))),
        ("irfftn", K::Argument, error(fft::irfftn(&x, none))),
        ("hfft", K::Axis, error(fft::hfft(&x, -3))),
        ("ihfft", K::Axis, of(fft::ihfft(&x, 2))),
        ("fftfreq", K::Argument, error(fft::fftfreq(0, 1.0, F32))),
        ("rfftfreq", K::DType, error(fft::rfftfreq(8, 1.0, I64))),
        ("fftshift", K::Axis, error(fft::fftshift(&x, 2))),
        ("ifftshift", K::Axis, error(fft::ifftshift(&x, 2))),
        ("fftconvolve", K::Axis, error(fft::fftconvolve(&x, &x, WindowMode::Full, 2))),
        ("dct", K::Axis, error(fft::dct(&x, 2))),
        ("idct", K::Axis, error(fft::idct(&x, 2))),
        ("stft", K::Shape, of(fft::stft(&x, &x, 1))),
        ("istft", K::Shape, error(fft::istft(&x, &x, 1))),
        ("cholesky", K::Shape, error(linalg::cholesky(&x, linalg::Triangle::Lower))),
        ("solve_triangular", K::Shape, error(linalg::solve_triangular(&x, &x, linalg::Triangle::Lower))),
        ("lu", K::Shape, error(linalg::lu(x.sum(0)).0)),
        ("solve", K::Shape, error(linalg::solve(&x, &x))),
        ("solve_refined", K::Shape, error(linalg::solve_refined(&x, &x).0)),
        ("inv", K::Shape, error(linalg::inv(&x))),
        ("det", K::Shape, error(linalg::det(&x))),
        ("slogdet", K::Shape, error(linalg::slogdet(&x).0)),
        ("eigvals", K::Shape, of(linalg::eigvals(zeros([3], F32)))),
        ("eigvalsh", K::Shape, error(linalg::eigvalsh(zeros([2, 3], F32)))),
        ("svdvals", K::Shape, error(linalg::svdvals(zeros([3], F32)))),
        ("pinv", K::Argument, error(linalg::pinv(&x, -1.0))),
        ("lstsq", K::Shape, error(linalg::lstsq(&x, zeros([9], F32), None))),
        ("matrix_rank", K::Argument, error(linalg::matrix_rank(&x, f64::NAN))),
        ("cond", K::Shape, error(linalg::cond(zeros([0, 2], F32), None))),
        ("expm", K::Shape, error(linalg::expm(zeros([2, 3], F32)))),
    ]
}
