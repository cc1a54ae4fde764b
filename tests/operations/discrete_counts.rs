//! `poisson` and `binomial` with arrays of parameters: their distributions against exact probabilities by plain loops,
//! with fixed seeds; moments and tails; parameters at and beyond the ends of their ranges; and that a GPU draws the
//! CPU's numbers.

use crate::distributions::chi_square;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// A distribution's first number, and the probabilities from there on, down to 2^-80 of the mode's probability.
fn probabilities(mode: f64, last: f64, ratio: impl Fn(f64) -> f64) -> (f64, Vec<f64>) {
    let (mut below, mut above) = (vec![], vec![1.0f64]);
    let (mut k, mut w) = (mode, 1.0);
    while k > 0.0 && w > 1e-24 {
        w /= ratio(k - 1.0);
        k -= 1.0;
        below.push(w);
    }
    let first = k;
    (k, w) = (mode, 1.0);
    while k < last && w > 1e-24 {
        w *= ratio(k);
        k += 1.0;
        above.push(w);
    }
    below.reverse();
    below.append(&mut above);
    let sum: f64 = below.iter().sum();
    below.iter_mut().for_each(|w| *w /= sum);
    (first, below)
}

fn poisson(lam: f64) -> (f64, Vec<f64>) {
    match lam {
        0.0 => (0.0, vec![1.0]),
        _ => probabilities(lam.floor(), f64::INFINITY, |k| lam / (k + 1.0)),
    }
}

fn binomial(n: f64, p: f64) -> (f64, Vec<f64>) {
    match p {
        0.0 => (0.0, vec![1.0]),
        1.0 => (n, vec![1.0]),
        _ => {
            let mode = ((n + 1.0) * p).floor().min(n);
            probabilities(mode, n, |k| (n - k) / (k + 1.0) * p / (1.0 - p))
        }
    }
}

/// Compares draws with a distribution: chi-square of numbers in groups of σ/12, mean, variance, and both tails.
fn check(what: &str, drawn: &[i64], law: (f64, Vec<f64>)) {
    let (first, share) = law;
    let n = drawn.len() as f64;
    let at = |i: usize| first + i as f64;
    let mean: f64 = share.iter().enumerate().map(|(i, p)| at(i) * p).sum();
    let power = |m: i32| -> f64 { share.iter().enumerate().map(|(i, p)| (at(i) - mean).powi(m) * p).sum() };
    let (variance, fourth) = (power(2), power(4));
    let outside = |k: &&i64| (**k as f64) < first || **k as f64 >= at(share.len());
    assert_eq!(drawn.iter().find(outside), None, "{what}: what is never drawn");
    let off = (drawn.iter().map(|k| *k as f64 - mean).sum::<f64>() / n).abs();
    assert!(off <= 4.5 * (variance / n).sqrt(), "{what}: the mean is off by {off}");
    let seen = drawn.iter().map(|k| (*k as f64 - mean).powi(2)).sum::<f64>() / n;
    let allowed = 4.5 * ((fourth - variance * variance).max(0.0) / n).sqrt() + 30.0 / n;
    assert!((seen - variance).abs() <= allowed, "{what}: the variance is {seen}, not {variance}");
    let width = ((variance.sqrt() / 12.0) as usize).max(1);
    let mut counts = vec![0usize; share.len().div_ceil(width)];
    drawn.iter().for_each(|k| counts[(*k - first as i64) as usize / width] += 1);
    let together: Vec<f64> = share.chunks(width).map(|p| p.iter().sum()).collect();
    let off = chi_square(&counts, &together);
    assert!(off.abs() < 4.5, "{what}: chi-square is off by {off} deviations");
    for tail in [1e-2, 1e-3, 1e-4] {
        let (mut low, mut high) = ((0.0, 0usize), (0.0, share.len()));
        while low.0 < tail && low.1 < share.len() {
            low = (low.0 + share[low.1], low.1 + 1);
        }
        while high.0 < tail && high.1 > 0 {
            high = (high.0 + share[high.1 - 1], high.1 - 1);
        }
        let below = drawn.iter().filter(|k| (**k as f64) < at(low.1)).count() as f64;
        let above = drawn.iter().filter(|k| **k as f64 >= at(high.1)).count() as f64;
        for (side, seen, p) in [("lower", below, low.0), ("upper", above, high.0)] {
            let due = p * n;
            assert!((seen - due).abs() < 5.0 * due.sqrt() + 3.0, "{what}: {seen}, not {due} in the {side} tail");
        }
    }
}

/// The rows of a draw that has one row for each parameter.
fn rows(e: Expr, n: usize) -> Vec<Vec<i64>> {
    e.to_vec::<i64>().unwrap().chunks(n).map(<[i64]>::to_vec).collect()
}

fn column(d: &Device, values: &[f64], t: DType) -> Array {
    let host = put(&Device::cpu(), values.to_vec(), &[values.len(), 1]);
    host.astype(t).to_device(d).unwrap()
}

const MEANS: [f64; 13] = [0.0, 1e-3, 0.7, 1.0, 5.0, 9.99, 10.0, 12.5, 30.0, 101.5, 1e3, 1e4, 1e6];
const TRIALS: [(i64, f64); 20] = [
    (0, 0.5),
    (1, 0.25),
    (10, 0.0),
    (10, 1.0),
    (10, 0.3),
    (10, 0.7),
    (19, 0.5),
    (20, 0.5),
    (21, 0.5),
    (50, 0.5),
    (45, 0.25),
    (100, 0.9),
    (1000, 0.01),
    (1000, 0.0101),
    (1000, 0.3),
    (1_000_000, 0.5),
    (1_000_000, 1e-6),
    (1_000_000, 2e-5),
    (1_000_000, 0.9999),
    (1 << 40, 1e-10),
];

#[test]
fn tails_of_many() {
    // among a million draws each number, even a rare one, occurs about as often as expected
    let n = 1_000_000;
    for lam in [0.5, 9.5, 10.5] {
        let x = Rng::new(77).poisson(array![lam as f32], [n]).to_vec::<i64>().unwrap();
        let (first, share) = poisson(lam);
        for k in 0..60 {
            let due = share.get(k).map_or(0.0, |p| p * n as f64);
            let seen = x.iter().filter(|x| **x == first as i64 + k as i64).count() as f64;
            assert!((seen - due).abs() < 5.0 * due.sqrt() + 4.0, "{lam}: {seen} of {k}, not {due}");
        }
    }
}

#[test]
fn large_means() {
    // for means of 2^31 or more, the deviation in f32 and the mean are kept apart
    let n = 100_000;
    for (t, lam) in [(F32, 1e9), (F32, 1e12), (F64, 1e15), (F32, 4e18)] {
        let lam = if t == F32 { lam as f32 as f64 } else { lam };
        let x = Rng::new(5).poisson(column(&Device::cpu(), &[lam], t), [1, n]).to_vec::<i64>().unwrap();
        let away: Vec<f64> = x.iter().map(|k| (*k - lam as i64) as f64 / lam.sqrt()).collect();
        let mean = away.iter().sum::<f64>() / n as f64;
        let variance = away.iter().map(|x| x * x).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.015 && (variance - 1.0).abs() < 0.025, "{lam}: {mean} {variance}");
    }
    let trials = put(&Device::cpu(), vec![1i64 << 53], &[1]);
    let x = Rng::new(5).binomial(&trials, 0.5, [n]).to_vec::<i64>().unwrap();
    let away = x.iter().map(|k| (*k - (1 << 52)) as f64 / 2f64.powf(25.5));
    let (mean, variance) = away.fold((0.0, 0.0), |(m, v), x| (m + x / n as f64, v + x * x / n as f64));
    assert!(mean.abs() < 0.015 && (variance - 1.0).abs() < 0.025, "{mean} {variance}");
}

#[test]
fn numbers_keep_their_tables() {
    // an array with one mean draws other numbers than the scalar mean, whose numbers are guaranteed
    let of_number = Rng::new(1).poisson(3.5, [1000]).to_vec::<i64>().unwrap();
    assert_eq!(of_number, Rng::new(1).poisson(3.5f32, [1000]).to_vec::<i64>().unwrap());
    assert!(array_equal(&Rng::new(1).poisson(3, [99]), &Rng::new(1).poisson(3.0, [99])).unwrap());
    let of_array = Rng::new(1).poisson(array![3.5], [1000]).to_vec::<i64>().unwrap();
    assert_ne!(of_number, of_array);
    // each call uses one stream
    let mut r = Rng::new(1);
    let _ = (r.poisson(array![3.5], [3]), r.binomial(array![3], 0.5, [3]));
    assert_eq!(r.state(), [1, 2]);
}

on_devices! {

fn laws_of_arrays(d: &Device) {
    let n = if d.is_gpu() { 20_000 } else { 100_000 };
    for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
        let seen = |v: f64| if t == F32 { v as f32 as f64 } else { v };
        let drawn = rows(Rng::new(3).poisson(column(d, &MEANS, t), [MEANS.len(), n]), n);
        for (lam, drawn) in MEANS.iter().zip(&drawn) {
            check(&format!("poisson {lam} {t}"), drawn, poisson(seen(*lam)));
        }
        let trials = put(d, TRIALS.iter().map(|x| x.0).collect::<Vec<i64>>(), &[TRIALS.len(), 1]);
        let p = column(d, &TRIALS.map(|x| x.1), t);
        let drawn = rows(Rng::new(4).binomial(&trials, &p, [TRIALS.len(), n]), n);
        for ((trials, p), drawn) in TRIALS.iter().zip(&drawn) {
            check(&format!("binomial {trials} {p} {t}"), drawn, binomial(*trials as f64, seen(*p)));
        }
    }
}

fn ends_of_parameters(d: &Device) {
    let f = |v: &[f32]| put(d, v.to_vec(), &[v.len()]);
    let invalid = f(&[-1.0, f32::NAN, f32::INFINITY, -f32::INFINITY, 1e19, -1e-30]);
    assert_eq!(Rng::new(1).poisson(&invalid, [6]).to_vec::<i64>().unwrap(), [-1; 6]);
    let certain = Rng::new(1).poisson(f(&[0.0, -0.0, 1e-40]), [100, 3]).to_vec::<i64>().unwrap();
    assert_eq!(certain, [0; 300]);
    let p = f(&[0.0, 1.0, 0.0, 1.0, 1.5, -0.1, f32::NAN, 0.5, 0.5, 0.5, 1.0]);
    let n = put(d, vec![7i64, 7, 1 << 53, 1 << 53, 3, 3, 3, -1, i64::MIN, (1 << 53) + 2, 0], &[11]);
    let drawn = Rng::new(1).binomial(&n, &p, [11]).to_vec::<i64>().unwrap();
    assert_eq!(drawn, [0, 7, 0, 1 << 53, -1, -1, -1, -1, -1, -1, 0]);
    // the parameters broadcast with each other, and to the shape
    let x = Rng::new(2).binomial(put(d, vec![0i64, 5], &[2, 1]), f(&[0.0, 1.0, 0.0]), [4, 2, 3]);
    assert_eq!(x.to_vec::<i64>().unwrap(), [0, 0, 0, 0, 5, 0].repeat(4));
    assert_eq!(Rng::new(2).poisson(f(&[]), [3, 0]).eval().unwrap().shape(), [3, 0]);
    assert_eq!(Rng::new(2).poisson(put(d, vec![0f32], &[]), ()).to_vec::<i64>().unwrap(), [0]);
}

// a GPU draws the CPU's numbers, except where rounding moves a uniform number across a boundary
fn the_same_counts(d: &Device) {
    let of = |d: &Device| {
        let n = put(d, vec![9i64, 40, 700, 100_000], &[4, 1]);
        let p = put(d, vec![0.3f32, 0.5, 0.9, 0.001], &[4, 1]);
        let x = Rng::new(8).poisson(put(d, vec![0.5f32, 8.0, 11.0, 4000.0], &[4, 1]), [4, 5000]);
        let y = Rng::new(9).binomial(n, p, [4, 5000]);
        [x.to_vec::<i64>().unwrap(), y.to_vec::<i64>().unwrap()]
    };
    for (here, there) in of(d).iter().zip(&of(&Device::cpu())) {
        let others: Vec<i64> = here.iter().zip(there).map(|(a, b)| (a - b).abs()).filter(|off| *off != 0).collect();
        assert!(others.len() <= 20 && others.iter().all(|off| *off == 1), "{others:?}");
    }
}

}

/// Parameters of every dtype, computed in f32, in several layouts. How a draw is read does not change it.
#[test]
fn types_of_parameters() {
    let cpu = Device::cpu();
    let lam = put(&cpu, vec![0f32, 3.0, 20.0, 100.0], &[4]);
    let want = Rng::new(1).poisson(&lam, [50, 4]).to_vec::<i64>().unwrap();
    for t in [U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16] {
        assert_eq!(Rng::new(1).poisson(lam.astype(t), [50, 4]).to_vec::<i64>().unwrap(), want, "{t}");
    }
    let reversed = put(&cpu, vec![100f32, 20.0, 3.0, 0.0], &[4]).flip(0);
    assert_eq!(Rng::new(1).poisson(reversed, [50, 4]).to_vec::<i64>().unwrap(), want);
    let part = Rng::new(1).poisson(&lam, [50, 4]).slice(s![7..;2, 1..]).to_vec::<i64>().unwrap();
    let all: Vec<i64> = want.chunks(4).skip(7).step_by(2).flat_map(|r| r[1..].to_vec()).collect();
    assert_eq!(part, all);
    let n = put(&cpu, vec![0i32, 5, 100], &[3]);
    let want = Rng::new(1).binomial(&n, 0.3, [50, 3]).to_vec::<i64>().unwrap();
    for t in [U8, I8, U16, I16, U32, U64, I64] {
        assert_eq!(Rng::new(1).binomial(n.astype(t), 0.3, [50, 3]).to_vec::<i64>().unwrap(), want, "{t}");
    }
    assert_eq!(Rng::new(1).binomial(&n, array![0.3], [50, 3]).to_vec::<i64>().unwrap(), want);
    assert_eq!(Rng::new(1).poisson(put(&cpu, vec![false, false], &[2]), [2]).to_vec::<i64>().unwrap(), [0, 0]);
    // a formula with more nodes than fit into one kernel
    let plan = (Rng::new(1).poisson(lam.square(), [50, 4]) + 1).sum(..).plan().unwrap().to_string();
    let kernels = plan.lines().filter(|l| l.contains("dispatch, reads")).count();
    assert!(kernels <= 16, "{plan}");
}
