//! Norms of very large and very small numbers. The squares of such numbers overflow or underflow, but the results are
//! ordinary numbers.

use crate::kit::*;
use cupric::DType::*;
use cupric::linalg::cond;
use cupric::train::clip_by_global_norm;
use cupric::*;

/// An array of a float dtype with these elements, rounded to it.
pub fn array_of(d: &Device, t: DType, v: &[f64], shape: &[usize]) -> Array {
    let bits: Vec<u64> = v.iter().map(|x| number::round(t, *x)).collect();
    array(t, &bits, shape, d).unwrap()
}

pub fn slope(e: &Expr, x: &Expr) -> Expr {
    let [slope] = grad(e, [x]);
    slope
}

/// The elements as f64, exactly.
pub fn reals(e: &Expr) -> Vec<f64> {
    let t = e.dtype().unwrap();
    read(e).unwrap().into_iter().map(|bits| number::real(t, bits)).collect()
}

/// Compares with `want`, with an error of at most `ulps` units of the dtype (of f32 for bf16, which is rounded at the end).
pub fn close(what: &str, e: &Expr, want: &[f64], ulps: f64) {
    let (t, got) = (e.dtype().unwrap(), reals(e));
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let bound = ulps * number::ulp(if t == BF16 { F32 } else { t }, *want) + number::ulp(t, *want);
        let is_close = got == want || got.is_nan() && want.is_nan() || (got - want).abs() <= bound;
        assert!(is_close, "{what} of {t}, element {i}: {got:e}, not {want:e}");
    }
}

/// The reference: a row is divided by a power of two, so that no square overflows, and results are multiplied by it.
pub struct Reference {
    pub scale: f64,
    pub row: Vec<f64>,
}

impl Reference {
    pub fn new(row: &[f64]) -> Reference {
        let most = row.iter().map(|x| x.abs()).fold(0.0, f64::max);
        let scale = if most > 0.0 { 2f64.powi(most.log2().floor().max(-1022.0) as i32) } else { 1.0 };
        Reference { scale, row: row.iter().map(|x| x / scale).collect() }
    }

    /// A sum with an error far below one unit in the last place.
    pub fn sum(v: impl Iterator<Item = f64>) -> f64 {
        let (mut sum, mut rest) = (0.0f64, 0.0);
        for x in v {
            let next = sum + x;
            rest += if sum.abs() >= x.abs() { sum - next + x } else { x - next + sum };
            sum = next;
        }
        sum + rest
    }

    fn norm(&self) -> f64 {
        Self::sum(self.row.iter().map(|x| x * x)).sqrt() * self.scale
    }

    /// The row divided by its norm.
    fn unit(&self) -> Vec<f64> {
        let norm = Self::sum(self.row.iter().map(|x| x * x)).sqrt();
        self.row.iter().map(|x| x / norm).collect()
    }
}

/// Compares results for rows and columns of ordinary numbers with formulas, bit for bit. `results` gets an array, the array
/// in the dtype in which it is computed, and an axis, and returns names, results and formulas.
pub fn each_ordinary(d: &Device, seed: u64, results: impl Fn(&Expr, &Expr, isize) -> Vec<(&'static str, Expr, Expr)>) {
    let mut dice = Dice::new(seed);
    for t in [F32, F64, F16].into_iter().filter(|t| has(d, *t)) {
        for (rows, n) in [(1, 5), (3, 100), (40, 16), (70, 1000), (2, 5000), (1, 300_000)] {
            let v: Vec<f64> = (0..rows * n).map(|_| dice.normal()).collect();
            let x = &array_of(d, t, &v, &[rows, n]);
            let wide = &x.astype(if t == F64 { F64 } else { F32 }).eval().unwrap();
            for axis in [0, 1] {
                for (what, got, want) in results(x, wide, axis) {
                    assert_eq!(
                        read(&got).unwrap(),
                        read(&want.astype(t)).unwrap(),
                        "{what} of {t} {rows} × {n} along {axis}"
                    );
                }
            }
        }
    }
}

/// The exponents of a dtype from which tests draw: of its smallest number (on a GPU, which may have no subnormal
/// numbers, of its smallest normal one), and of its largest.
pub fn exponents(d: &Device, t: DType) -> [i64; 2] {
    match (t == F64, *d == Device::cpu()) {
        (false, true) => [-149, 127],
        (false, false) => [-120, 127],
        (true, true) => [-1074, 1023],
        (true, false) => [-1000, 1023],
    }
}

pub fn types(d: &Device) -> Vec<DType> {
    [F32, F64, BF16].into_iter().filter(|t| has(d, *t)).collect()
}

on_devices! {

fn what_users_saw(d: &Device) {
    for t in types(d) {
        let large = if t == F64 { 1e200 } else { 1e30 };
        for s in [large, 1.0 / large] {
            let x = &array_of(d, t, &[3.0 * s, 4.0 * s], &[2]);
            let v = reals(x);
            let r = Reference::new(&v);
            close("norm", &x.norm(..), &[r.norm()], 2.0);
            close("norm along an axis", &x.vector_norm(0, 2.0), &[r.norm()], 2.0);
            close("norm of order 3", &x.vector_norm(0, 3.0), &[(v[0] / s).hypot(0.0).powi(3) + (v[1] / s).powi(3)].map(|x| x.cbrt() * s), 8.0);
            close("norm of order -2", &x.vector_norm(0, -2.0), &[s / ((s / v[0]).powi(2) + (s / v[1]).powi(2)).sqrt()], 8.0);
            close("Frobenius norm", &x.reshape([1, 2]).matrix_norm(.., MatrixNorm::Frobenius), &[r.norm()], 2.0);
            close("a unit vector", &(x / x.vector_norm(keep(0), 2.0)), &[v[0] / r.norm(), v[1] / r.norm()], 4.0);
            // the limit is half of the norm
            let half = 0.5 * r.norm();
            close("clip by norm", &x.clip_by_norm(half), &[0.5 * v[0], 0.5 * v[1]], 8.0);
            let want = if s > 1.0 { [v[0] / r.norm(), v[1] / r.norm()] } else { [v[0], v[1]] };
            close("clip by norm 1", &x.clip_by_norm(1.0), &want, 8.0);
        }
        // the limit is large, and the array is not changed
        let x = &array_of(d, t, &[3e-20, 4e-20], &[2]);
        assert_eq!(reals(&x.clip_by_norm(1e30)), reals(x));
    }
}

fn norms_of_all_sizes(d: &Device) {
    let mut dice = Dice::new(64);
    for t in types(d) {
        let [least, most] = exponents(d, t);
        // each length needs shaders of its own on a GPU, so a run there has a third of them
        let lengths = [1usize, 2, 3, 7, 15, 16, 17, 31, 64, 100, 257, 1000];
        for n in lengths.into_iter().enumerate().filter(|(i, _)| !d.is_gpu() || in_turn(*i, 3)).map(|l| l.1) {
            let rows = 37;
            // each row has another size, so rows of a tile differ
            let v: Vec<f64> = (0..rows)
                .flat_map(|_| {
                    // the norm is finite, and so are the sums for means
                    let top = dice.between(least, most - 1 - (n as f64).log2().ceil() as i64);
                    let spread = dice.between(0, 30);
                    let one = |dice: &mut Dice| dice.within(-2.0, 2.0) * (dice.between((top - spread).max(least), top) as f64).exp2();
                    (0..n).map(|_| one(&mut dice)).collect::<Vec<_>>()
                })
                .collect();
            let x = array_of(d, t, &v, &[rows, n]);
            let v = reals(&x);
            let of: Vec<Reference> = v.chunks(n).map(Reference::new).collect();
            let columns = (x.t() * 1.0).eval().unwrap();
            let norms: Vec<f64> = of.iter().map(Reference::norm).collect();
            let ulps = 4.0 + (n as f64).log2();
            for (what, x, axis) in [("rows", &*x, 1), ("a transposed view", &x.t(), 0), ("columns", &columns, 0)] {
                let what = &format!("{what} of {n}");
                close(&format!("norms of {what}"), &x.vector_norm(axis, 2.0), &norms, ulps);
            }
        }
    }
}

fn ordinary_sums_keep_their_bits(d: &Device) {
    each_ordinary(d, 7, |x, wide, axis| vec![("norm", x.vector_norm(axis, 2.0), wide.square().sum(axis).sqrt())]);
}

fn one_row_among_many(d: &Device) {
    // only one row of a kernel is large, and the kernel may write in place
    for (rows, n) in [(100, 16), (100, 48), (9, 3000), (1, 4_000_000), (300, 4)] {
        let mut v: Vec<f64> = (0..rows * n).map(|i| ((i * 37) % 101) as f64 - 50.0).collect();
        let row = rows / 2;
        v[row * n..][..n].iter_mut().for_each(|x| *x *= 1e30);
        let x = array_of(d, F32, &v, &[rows, n]);
        let v = reals(&x);
        let of: Vec<Reference> = v.chunks(n).map(Reference::new).collect();
        let norms: Vec<f64> = of.iter().map(Reference::norm).collect();
        close("norm", &x.vector_norm(1, 2.0), &norms, 16.0);
        let want: Vec<f64> = of.iter().flat_map(Reference::unit).collect();
        close("unit rows", &(&x / x.vector_norm(keep(1), 2.0)), &want, 16.0);
        close("norms and a product", &eval_all([&x.vector_norm(1, 2.0), &(&x * 2.0)]).unwrap()[0], &norms, 16.0);
        let mut y = (&x * 1.0).eval().unwrap();
        let normal = &y / y.vector_norm(keep(1), 2.0);
        y.assign(normal).unwrap();
        close("unit rows in place", &y, &want, 16.0);
    }
}

fn special_rows(d: &Device) {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let rows = [[0.0, -0.0, 0.0], [inf, 1.0, -2.0], [nan, 1e30, 1.0], [1e30, -inf, 0.0], [3e38, 3e38, 3e38], [1.0, 2.0, 2.0]];
    let x = put(d, rows.concat(), &[6, 3]);
    let norms = x.vector_norm(1, 2.0).to_vec::<f32>().unwrap();
    assert_eq!(norms[..2], [0.0, inf]);
    assert!(norms[0].is_sign_positive() && norms[2].is_nan());
    assert_eq!(norms[3..], [inf, inf, 3.0]);
}

fn derivatives_of_all_sizes(d: &Device) {
    for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
        let large = if t == F64 { 1e200 } else { 1e30 };
        for s in [large, 1.0, 1.0 / large] {
            let x = &array_of(d, t, &[3.0 * s, 4.0 * s], &[2]);
            let of = |f: &dyn Fn(&Expr) -> Expr| reals(&slope(&f(x), x));
            let near = |what: &str, got: Vec<f64>, want: [f64; 2]| {
                for (got, want) in got.iter().zip(want) {
                    assert!((got - want).abs() <= 1e-5 * want.abs(), "{what} of {s:e} {t}: {got:e}, not {want:e}");
                }
            };
            near("norm", of(&|x| x.norm(..)), [0.6, 0.8]);
            near("norm of order 2", of(&|x| x.vector_norm(keep(0), 2.0).sum(..)), [0.6, 0.8]);
            // the second derivative of a norm of two numbers: (1 - 9 / 25) / norm
            let second = slope(&slope(&x.norm(..), x).slice(s![0]), x);
            near("second derivative", reals(&second), [0.64 / 5.0 / s, -0.48 / 5.0 / s]);
        }
        let zeros = array_of(d, t, &[0.0, 0.0], &[2]);
        for e in [zeros.norm(..), zeros.norm(..).square()] {
            assert_eq!(reals(&slope(&e, &zeros)), [0.0, 0.0]);
        }
    }
}

fn gradients_of_all_sizes_are_clipped(d: &Device) {
    for (s, most) in [(1e30, 1.0), (1e-30, 1e-35), (1e25, 1e-10), (1.0, 1.0)] {
        let grads = (array_of(d, F32, &[3.0 * s, 0.0], &[2]), array_of(d, F32, &[4.0 * s], &[1, 1]), zeros([3], F32).to_device(d).unwrap());
        let (a, b, c) = clip_by_global_norm(&grads, most);
        for (got, want) in [(reals(&a), [0.6, 0.0]), (reals(&b), [0.8, 0.0])] {
            for (got, want) in got.iter().zip(want) {
                assert!((got / most - want).abs() < 1e-5, "{s:e}: {got:e}, not {want:e} · {most:e}");
            }
        }
        assert_eq!(reals(&c), [0.0; 3]);
        let (a, ..) = clip_by_global_norm(&grads, 6.0 * s);
        assert_eq!(reals(&a), reals(&grads.0));
    }
    let grads = (put(d, [f32::INFINITY], &[1]), put(d, [f32::NAN], &[1]));
    assert!(reals(&clip_by_global_norm(&grads, 1.0).0)[0].is_nan());
    let (a, b) = clip_by_global_norm(&(put(d, [f32::INFINITY], &[1]), put(d, [1f32], &[1])), 1.0);
    assert!(reals(&a)[0].is_nan() && reals(&b) == [0.0]);
}

fn condition_numbers_of_all_sizes(d: &Device) {
    for s in [1e30, 1.0, 1e-30] {
        let x = array_of(d, F32, &[4.0 * s, 0.0, 0.0, 0.5 * s], &[2, 2]);
        let c = reals(&cond(&x, MatrixNorm::Frobenius))[0];
        assert!((c - 8.125).abs() < 1e-4, "{s:e}: {c}");
    }
}

}
