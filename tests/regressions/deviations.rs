//! Variances, standard deviations, normalised rows and correlations of very large and very small numbers. The squares of
//! such numbers overflow or underflow, but the results are ordinary numbers.

use crate::kit::*;
use crate::scales::{Reference, array_of, close, each_ordinary, exponents, reals, slope, types};
use cupric::DType::*;
use cupric::*;

impl Reference {
    /// The deviations from the mean, divided by the scale of the row.
    fn deviations(&self) -> Vec<f64> {
        let mean = Self::sum(self.row.iter().copied()) / self.row.len() as f64;
        self.row.iter().map(|x| x - mean).collect()
    }

    fn std(&self) -> f64 {
        self.scaled_std() * self.scale
    }

    fn scaled_std(&self) -> f64 {
        (Self::sum(self.deviations().iter().map(|x| x * x)) / self.row.len() as f64).sqrt()
    }

    fn layer_norm(&self, eps: f64) -> Vec<f64> {
        let root = self.scaled_std().hypot(eps.sqrt() / self.scale);
        self.deviations().iter().map(|x| x / root).collect()
    }

    fn rms_norm(&self, eps: f64) -> Vec<f64> {
        let mean = Self::sum(self.row.iter().map(|x| x * x)) / self.row.len() as f64;
        self.row.iter().map(|x| x / mean.sqrt().hypot(eps.sqrt() / self.scale)).collect()
    }
}

/// Rows whose largest elements have random exponents. The sums for their means are finite.
fn rows_of_all_sizes(d: &Device, t: DType, dice: &mut Dice, rows: usize, n: usize) -> Array {
    let [least, most] = exponents(d, t);
    let mut v = vec![];
    for _ in 0..rows {
        // the spacing of subnormal numbers must not decide the mean
        let top = dice.between(least + if t == F64 { 60 } else { 30 }, most - 1 - (n as f64).log2().ceil() as i64);
        v.extend((0..n).map(|_| dice.within(-2.0, 2.0) * (top as f64).exp2()));
    }
    array_of(d, t, &v, &[rows, n])
}

on_devices! {

fn what_users_saw(d: &Device) {
    for t in types(d) {
        let large = if t == F64 { 1e200 } else { 1e30 };
        for s in [large, 1.0, 1.0 / large] {
            let x = &array_of(d, t, &[1.0 * s, 2.0 * s, 4.0 * s, 5.0 * s], &[4]);
            let v = reals(x);
            let r = Reference::new(&v);
            let std = r.std();
            close("std", &x.std(..), &[std], 4.0);
            close("std with a correction", &x.std_corrected(0, 1.0), &[std * (4.0f64 / 3.0).sqrt()], 4.0);
            close("nanstd", &x.nanstd(keep(0)), &[std], 4.0);
            close("layer norm", &x.layer_norm(0, 0.0), &r.layer_norm(0.0), 8.0);
            close("layer norm with eps", &x.layer_norm(0, 1e-5), &r.layer_norm(1e-5), 8.0);
            close("rms norm", &x.rms_norm(0, 0.0), &r.rms_norm(0.0), 8.0);
            close("rms norm with eps", &x.rms_norm(0, 1e-5), &r.rms_norm(1e-5), 8.0);
            // eps decides about small rows
            close("layer norm with a large eps", &x.layer_norm(0, 1e20), &r.layer_norm(1e20), 8.0);
            let pair = concat([&x.unsqueeze(0), &x.flip(0).unsqueeze(0)], 0);
            close("corrcoef", &pair.corrcoef(true), &[1.0, -1.0, -1.0, 1.0], 8.0);
            let variance = std * std;
            let is_normal = variance > number::smallest_normal(t) && variance < number::largest(t);
            let want = if is_normal { variance } else if s > 1.0 { f64::INFINITY } else { 0.0 };
            close("var", &x.var(..), &[want], 8.0);
            close("nanvar", &x.nanvar(..), &[want], 8.0);
        }
    }
}

fn epsilons_as_large_as_squares_out_of_bounds(d: &Device) {
    for t in types(d) {
        let pairs = if t == F64 { [(1e-154, 4e-308), (1e-150, 3e-300), (2e154, 1.5e308)] } else { [(1e-19, 2e-38), (1e-17, 3e-34), (2e19, 3e38)] };
        for (s, eps) in pairs {
            let x = &array_of(d, t, &[1.0 * s, 2.0 * s, 4.0 * s, 5.0 * s], &[4]);
            let r = Reference::new(&reals(x));
            close(&format!("layer norm with {eps:e}"), &x.layer_norm(0, eps), &r.layer_norm(eps), 8.0);
            close(&format!("rms norm with {eps:e}"), &x.rms_norm(0, eps), &r.rms_norm(eps), 8.0);
        }
    }
}

fn deviations_of_all_sizes(d: &Device) {
    let mut dice = Dice::new(65);
    for t in types(d) {
        // each length needs shaders of its own on a GPU, so a run there has a third of them
        let lengths = [2usize, 3, 7, 16, 17, 31, 64, 100, 257, 1000];
        for n in lengths.into_iter().enumerate().filter(|(i, _)| !d.is_gpu() || in_turn(*i, 3)).map(|l| l.1) {
            let x = rows_of_all_sizes(d, t, &mut dice, 37, n);
            let v = reals(&x);
            let of: Vec<Reference> = v.chunks(n).map(Reference::new).collect();
            let columns = (x.t() * 1.0).eval().unwrap();
            let std: Vec<f64> = of.iter().map(Reference::std).collect();
            // deviations from a rounded mean lose digits if the elements are alike
            let ulps = 12.0 + 2.0 * (n as f64).log2() + if n < 8 { 400.0 } else { 0.0 };
            for (what, x, axis) in [("rows", &*x, 1), ("a transposed view", &x.t(), 0), ("columns", &columns, 0)] {
                let what = &format!("{what} of {n}");
                close(&format!("std of {what}"), &x.std(axis), &std, ulps);
                close(&format!("nanstd of {what}"), &x.nanstd(axis), &std, ulps);
                let var: Vec<f64> = std.iter().map(|x| x * x).collect();
                let got = reals(&x.var(axis));
                for (i, (got, want)) in got.iter().zip(&var).enumerate() {
                    let ordinary = 1e4 * number::smallest_normal(t)..number::largest(t) / 4.0;
                    let bound = if ordinary.contains(want) { 2.0 * ulps * number::ulp(if t == BF16 { F32 } else { t }, *want) + number::ulp(t, *want) } else { f64::INFINITY };
                    let is_near = if *want / 4.0 > number::largest(t) { *got == f64::INFINITY } else { *got >= 0.0 && (got - want).abs() <= bound };
                    assert!(is_near, "var of {what} of {t}, row {i}: {got:e}, not {want:e}");
                }
            }
            let rows = |f: &dyn Fn(&Reference) -> Vec<f64>| -> Vec<f64> { of.iter().flat_map(f).collect() };
            let unit = if t == F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
            for (name, got, want) in [
                ("layer norm", x.layer_norm(1, 0.0), rows(&|r| r.layer_norm(0.0))),
                ("layer norm with eps", x.layer_norm(1, 1e-5), rows(&|r| r.layer_norm(1e-5))),
                ("rms norm", x.rms_norm(1, 0.0), rows(&|r| r.rms_norm(0.0))),
                ("rms norm with eps", x.rms_norm(1, 1e-12), rows(&|r| r.rms_norm(1e-12))),
            ] {
                for (i, (got, want)) in reals(&got).iter().zip(&want).enumerate() {
                    let near = 4.0 * ulps * unit * want.abs().max(1e-2) + number::ulp(t, *want);
                    assert!((got - want).abs() <= near, "{name} of rows of {n} {t}, element {i}: {got:e}, not {want:e}");
                }
            }
        }
    }
}

fn ordinary_rows_keep_their_bits(d: &Device) {
    each_ordinary(d, 8, |x, wide, axis| {
        let count = x.shape().unwrap()[axis as usize] as f64;
        let mean = |e: &Expr| e.sum(keep(axis)) / count;
        let deviation = &(wide - mean(wide));
        let excess = deviation.sum(axis).square() / count;
        let var = &((deviation.square().sum(axis) - excess).maximum(0.0) / count);
        vec![
            ("var", x.var(axis), var.clone()),
            ("std", x.std(axis), var.sqrt()),
            ("layer norm", x.layer_norm(axis, 1e-5), deviation / (mean(&deviation.square()) + 1e-5).sqrt()),
            ("rms norm", x.rms_norm(axis, 1e-5), wide / (mean(&wide.square()) + 1e-5).sqrt()),
        ]
    });
}

fn one_row_among_many(d: &Device) {
    // only one row of a kernel is large, and the kernel may write in place
    for (rows, n) in [(100, 16), (100, 48), (9, 3000), (1, 4_000_000), (300, 4)] {
        let mut v: Vec<f64> = (0..rows * n).map(|i| ((i * 37) % 101) as f64 - 50.0).collect();
        let row = rows / 2;
        v[row * n..][..n].iter_mut().for_each(|x| *x *= 1e30);
        let x = array_of(d, F32, &v, &[rows, n]);
        let ordinary = reals(&x.std(1));
        let of: Vec<Reference> = reals(&x).chunks(n).map(Reference::new).collect();
        close("std", &x.std(1), &of.iter().map(Reference::std).collect::<Vec<_>>(), 24.0);
        let want: Vec<f64> = of.iter().flat_map(|r| r.layer_norm(0.0)).collect();
        let near = |what: &str, e: &Expr| {
            for (i, (got, want)) in reals(e).iter().zip(&want).enumerate() {
                assert!((got - want).abs() <= 1e-5, "{what} of {rows} × {n}, element {i}: {got:e}, not {want:e}");
            }
        };
        near("layer norm", &x.layer_norm(1, 0.0));
        let mut y = (&x * 1.0).eval().unwrap();
        let normal = y.layer_norm(1, 0.0);
        y.assign(normal).unwrap();
        near("layer norm in place", &y);
        // the other rows have the bits that they have without the large one
        v[row * n..][..n].iter_mut().for_each(|x| *x = 1.0);
        let alone = reals(&array_of(d, F32, &v, &[rows, n]).std(1));
        for r in (0..rows).filter(|r| *r != row) {
            assert_eq!(ordinary[r], alone[r], "row {r} of {rows} × {n}");
        }
    }
}

fn special_rows(d: &Device) {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let rows = [[0.0, -0.0, 0.0], [inf, 1.0, -2.0], [nan, 1e30, 1.0], [7.5, 7.5, 7.5], [0.1, 0.1, 0.1], [2e38, -2e38, 2e38]];
    let x = put(d, rows.concat(), &[6, 3]);
    let std = x.std(1).to_vec::<f32>().unwrap();
    assert_eq!([std[0], std[3], std[4]], [0.0; 3]);
    assert!(std[1].is_nan() && std[2].is_nan());
    assert!((std[5] / 1.885_618e38 - 1.0).abs() < 1e-6, "{:e}", std[5]);
    let nanstd = x.nanstd(1).to_vec::<f32>().unwrap();
    assert!((nanstd[2] / 5e29 - 1.0).abs() < 1e-6, "{:e}", nanstd[2]);
    let y = x.layer_norm(1, 1e-5).to_vec::<f32>().unwrap();
    assert_eq!(y[..3], [0.0; 3]);
    assert!(y[3..9].iter().all(|y| y.is_nan()));
    assert_eq!(y[9..12], [0.0; 3]);
    let y = put(d, [inf, 1.0, -2.0, 0.0, 0.0, 0.0], &[2, 3]).rms_norm(1, 1e-5).to_vec::<f32>().unwrap();
    assert!(y[0].is_nan() && y[1..] == [0.0; 5]);
}

fn derivatives_of_all_sizes(d: &Device) {
    for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
        let large = if t == F64 { 1e200 } else { 1e30 };
        for s in [large, 1.0, 1.0 / large] {
            let x = &array_of(d, t, &[1.0 * s, 2.0 * s, 4.0 * s, 5.0 * s], &[4]);
            let w = &array_of(d, t, &[0.5, -1.0, 2.0, 0.25], &[4]);
            let near = |what: &str, got: &Expr, want: &[f64]| {
                let most = want.iter().map(|x| x.abs()).fold(0.0, f64::max);
                for (got, want) in reals(got).iter().zip(want) {
                    assert!((got - want).abs() <= 1e-5 * most, "{what} of {s:e} {t}: {got:e}, not {want:e}");
                }
            };
            // deviations -2, -1, 1, 2 (times s), standard deviation sqrt(2.5)
            let (dev, std) = ([-2.0, -1.0, 1.0, 2.0], 2.5f64.sqrt());
            let unit: Vec<f64> = dev.iter().map(|x| x / std).collect();
            near("std", &slope(&x.std(..), x), &dev.map(|x| x / 4.0 / std));
            near("nanstd", &slope(&x.nanstd(..), x), &dev.map(|x| x / 4.0 / std));
            near("var", &slope(&x.var(..), x), &dev.map(|x| x * s / 2.0));
            near("second derivative of var", &slope(&slope(&x.var(..), x).slice(s![0]), x), &[3.0 / 8.0, -0.125, -0.125, -0.125]);
            // (δ - 1/4 - y y / 4) / (4 std)
            let second: Vec<f64> = (0..4).map(|j| ((j == 0) as u8 as f64 - 0.25 - unit[0] * unit[j] / 4.0) / (4.0 * std) / s).collect();
            near("second derivative of std", &slope(&slope(&x.std(..), x).slice(s![0]), x), &second);
            let g = [0.5, -1.0, 2.0, 0.25];
            let mean: f64 = g.iter().sum::<f64>() / 4.0;
            let along: f64 = g.iter().zip(&unit).map(|(g, y)| g * y).sum::<f64>() / 4.0;
            let want: Vec<f64> = (0..4).map(|i| (g[i] - mean - unit[i] * along) / std / s).collect();
            near("layer norm", &slope(&(x.layer_norm(0, 0.0) * w).sum(..), x), &want);
            let rms = 11.5f64.sqrt();
            let y = [1.0, 2.0, 4.0, 5.0].map(|x: f64| x / rms);
            let along: f64 = g.iter().zip(&y).map(|(g, y)| g * y).sum::<f64>() / 4.0;
            let want: Vec<f64> = (0..4).map(|i| (g[i] - y[i] * along) / rms / s).collect();
            near("rms norm", &slope(&(x.rms_norm(0, 0.0) * w).sum(..), x), &want);
        }
        // second derivatives of ordinary rows against the formulas
        let x = &array_of(d, t, &[0.3, -1.2, 0.7, 2.5, 0.1], &[5]);
        let w = &array_of(d, t, &[0.5, -1.0, 2.0, 0.25, 1.0], &[5]);
        type F = fn(&Expr) -> Expr;
        let pairs: [(&str, [F; 2]); 2] = [
            ("layer norm", [|x| x.layer_norm(0, 0.1), |x| { let d = x - x.mean(keep(0)); &d / (d.square().mean(keep(0)) + 0.1).sqrt() }]),
            ("rms norm", [|x| x.rms_norm(0, 0.1), |x| x / (x.square().mean(keep(0)) + 0.1).sqrt()]),
        ];
        for (name, f) in pairs {
            let [got, want] = f.map(|f| {
                let first = slope(&(f(x) * w).square().sum(..), x);
                reals(&slope(&(first * w).sum(..), x))
            });
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-4 * want.abs().max(1.0), "second derivative of {name} {t}: {got} {want}");
            }
        }
        let equal = &array_of(d, t, &[2.0; 4], &[4]);
        for e in [equal.std(..), equal.nanstd(..), equal.var(..)] {
            assert_eq!(reals(&slope(&e, equal)), [0.0; 4]);
        }
    }
}

fn correlations_of_all_sizes(d: &Device) {
    for t in types(d) {
        let large = if t == F64 { 1e250 } else { 1e36 };
        let base = [[1.0, 2.0, 4.0, 5.0], [1.0, -1.0, 1.0, -2.0], [0.5, 0.25, 3.0, -1.0]];
        let want = reals(&array_of(d, t, &base.concat(), &[3, 4]).corrcoef(true));
        for sizes in [[large, 1.0, 1.0 / large], [large, large, large], [1.0 / large; 3], [1.0 / large, large, 1.0]] {
            let v: Vec<f64> = base.iter().zip(sizes).flat_map(|(row, s)| row.map(|x| x * s)).collect();
            let x = array_of(d, t, &v, &[3, 4]);
            for (i, (got, want)) in reals(&x.corrcoef(true)).iter().zip(&want).enumerate() {
                let near = if t == BF16 { 1e-2 } else { 1e-5 };
                assert!((got - want).abs() <= near, "{sizes:?} of {t}, element {i}: {got}, not {want}");
            }
            close("of columns", &x.t().corrcoef(false), &reals(&x.corrcoef(true)), 4.0);
        }
    }
}

}
