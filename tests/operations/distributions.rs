//! Draws from distributions, compared with exact distribution functions by the Kolmogorov–Smirnov and chi-square tests
//! with fixed seeds; permutations and choices; and that a GPU draws the CPU's numbers.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::f64::consts::PI;

/// The probability that a standard normal number is below −x, for x ≥ 0: 1/2 less a series of positive terms, or a
/// continued fraction.
fn normal_tail(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
    if x < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > sum * 1e-18 {
            n += 2.0;
            term *= x * x / n;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    density / (1..200).rev().fold(x, |below, k| x + k as f64 / below)
}

/// The normal distribution function Φ.
fn normal(x: f64) -> f64 {
    if x < 0.0 { normal_tail(-x) } else { 1.0 - normal_tail(x) }
}

/// √n times the largest distance between the empirical and the given distribution function. Exceeds 2.2 once in 10^4.
fn distance(mut x: Vec<f64>, law: &dyn Fn(f64) -> f64) -> f64 {
    x.sort_by(f64::total_cmp);
    let n = x.len() as f64;
    let off = |(i, x): (usize, &f64)| {
        let p = law(*x);
        (p - i as f64 / n).max((i + 1) as f64 / n - p)
    };
    x.iter().enumerate().map(off).fold(0.0, f64::max) * n.sqrt()
}

/// How far counts are from expected ones, in deviations of a chi-square number. Expected counts below 5 are merged.
pub fn chi_square(counts: &[usize], share: &[f64]) -> f64 {
    let n: usize = counts.iter().sum();
    let (mut sum, mut cells, mut rest) = (0.0, 0.0, (0.0, 0.0));
    let mut add = |seen: f64, due: f64| {
        if due > 0.0 {
            sum += (seen - due).powi(2) / due;
            cells += 1.0;
        } else {
            assert_eq!(seen, 0.0, "what has the probability 0 was drawn");
        }
    };
    for (seen, p) in counts.iter().zip(share) {
        let due = p * n as f64;
        if due >= 5.0 { add(*seen as f64, due) } else { rest = (rest.0 + *seen as f64, rest.1 + due) }
    }
    if rest.1 >= 1.0 {
        add(rest.0, rest.1);
    } else {
        assert!(rest.0 < 10.0, "{} draws of what has a share of {}", rest.0, rest.1);
    }
    if cells < 2.0 { 0.0 } else { (sum - (cells - 1.0)) / (2.0 * (cells - 1.0)).sqrt() }
}

fn numbers(e: &Expr, d: &Device) -> Vec<f64> {
    e.to_device(d).unwrap().to_device(&Device::cpu()).unwrap().astype(F64).to_vec().unwrap()
}

fn counts(e: &Expr, d: &Device, k: usize) -> Vec<usize> {
    let mut counts = vec![0; k];
    e.to_device(d).unwrap().to_vec::<i64>().unwrap().into_iter().for_each(|i| counts[i as usize] += 1);
    counts
}

type Law = Box<dyn Fn(f64) -> f64>;

/// Draws of n numbers from continuous distributions, with their distribution functions.
fn continuous(n: usize, t: DType, seed: u64) -> Vec<(&'static str, Expr, Law)> {
    let r = || Rng::new(seed);
    let between = |a: f64, b: f64| -> Law {
        Box::new(move |x| match (a, b) {
            (a, b) if a >= 0.0 => (normal_tail(a) - normal_tail(x)) / (normal_tail(a) - normal_tail(b)),
            (a, b) => (normal(x) - normal(a)) / (normal(b) - normal(a)),
        })
    };
    vec![
        ("exponential", r().exponential(2.0, [n], t), Box::new(|x| -(-x / 2.0).exp_m1())),
        ("gumbel", r().gumbel(1.0, 3.0, [n], t), Box::new(|x| (-(-(x - 1.0) / 3.0).exp()).exp())),
        (
            "laplace",
            r().laplace(-1.0, 0.5, [n], t),
            Box::new(|x| {
                let y = (x + 1.0) / 0.5;
                if y < 0.0 { y.exp() / 2.0 } else { 1.0 - (-y).exp() / 2.0 }
            }),
        ),
        ("logistic", r().logistic(2.0, 0.5, [n], t), Box::new(|x| 1.0 / (1.0 + (-(x - 2.0) / 0.5).exp()))),
        ("cauchy", r().cauchy(0.5, 2.0, [n], t), Box::new(|x| 0.5 + ((x - 0.5) / 2.0).atan() / PI)),
        ("lognormal", r().lognormal(0.3, 0.8, [n], t), Box::new(|x| normal((x.ln() - 0.3) / 0.8))),
        ("weibull", r().weibull(1.7, [n], t), Box::new(|x| -(-x.powf(1.7)).exp_m1())),
        ("pareto", r().pareto(2.5, [n], t), Box::new(|x| 1.0 - (1.0 + x).powf(-2.5))),
        ("rayleigh", r().rayleigh(3.0, [n], t), Box::new(|x| -(-x * x / 18.0).exp_m1())),
        (
            "triangular",
            r().triangular(-1.0, 0.0, 3.0, [n], t),
            Box::new(|x| if x < 0.0 { (x + 1.0).powi(2) / 4.0 } else { 1.0 - (3.0 - x).powi(2) / 12.0 }),
        ),
        ("a ramp", r().triangular(0.0, 1.0, 1.0, [n], t), Box::new(|x| x * x)),
        ("truncated_normal -2, 1.5", r().truncated_normal(-2.0, 1.5, [n], t), between(-2.0, 1.5)),
        ("truncated_normal everywhere", r().truncated_normal(-INF, INF, [n], t), Box::new(normal)),
        ("truncated_normal near 0", r().truncated_normal(-0.25, 0.75, [n], t), between(-0.25, 0.75)),
        ("truncated_normal 1, 2", r().truncated_normal(1.0, 2.0, [n], t), between(1.0, 2.0)),
        ("truncated_normal 4, inf", r().truncated_normal(4.0, INF, [n], t), between(4.0, INF)),
        ("truncated_normal 5.5, 6", r().truncated_normal(5.5, 6.0, [n], t), between(5.5, 6.0)),
        ("truncated_normal 8, inf", r().truncated_normal(8.0, INF, [n], t), between(8.0, INF)),
        ("chisquare 1", r().chisquare(1.0, [n], t), Box::new(|x| 1.0 - 2.0 * normal_tail(x.sqrt()))),
        ("gamma 1", r().gamma(1.0, 2.0, [n], t), Box::new(|x| -(-x / 2.0).exp_m1())),
        ("gamma 4", r().gamma(4.0, 0.5, [n], t), Box::new(|x| erlang(4, 2.0 * x))),
        ("gamma 50", r().gamma(50.0, 1.0, [n], t), Box::new(|x| erlang(50, x))),
        ("beta 2, 3", r().beta(2.0, 3.0, [n], t), Box::new(|x| x * x * (6.0 - 8.0 * x + 3.0 * x * x))),
        ("beta 1/2, 1/2", r().beta(0.5, 0.5, [n], t), Box::new(|x| 2.0 / PI * x.sqrt().asin())),
    ]
}

/// The gamma distribution function for an integer shape k: the probability that k events occurred until x.
fn erlang(k: u32, x: f64) -> f64 {
    let (mut term, mut sum) = ((-x).exp(), 0.0);
    for i in 1..=k {
        sum += term;
        term *= x / i as f64;
    }
    1.0 - sum
}

/// log Γ(n + 1), the logarithm of the factorial of n.
fn log_factorial(n: f64) -> f64 {
    (1..=n as u64).map(|k| (k as f64).ln()).sum()
}

/// Extremes of two million draws: they are finite, and 0 is not among them.
#[test]
fn extremes() {
    let n = 1 << 21;
    for t in [F32, F64] {
        let e = Rng::new(77).exponential(1.0, [n], t);
        let (least, most) = (e.min(..).astype(F64), e.max(..).astype(F64));
        let (least, most) = (least.item::<f64>().unwrap(), most.item::<f64>().unwrap());
        // with probability e^−3 the smallest of n exceeds 3 / n, and the largest is below log(n) − log(3)
        assert!(least > 0.0 && least < 5.0 / n as f64, "{least:e}");
        assert!(most > (n as f64).ln() - 2.0 && most < 40.0, "{most}");
        let g = Rng::new(78).gumbel(0.0, 1.0, [n], t);
        assert!(g.isfinite().all(..).item::<bool>().unwrap());
        let l = Rng::new(79).logistic(0.0, 1.0, [n], t);
        assert!(l.isfinite().all(..).item::<bool>().unwrap());
        let c = Rng::new(80).cauchy(0.0, 1.0, [n], t);
        assert!(c.isfinite().all(..).item::<bool>().unwrap());
        let x = Rng::new(81).truncated_normal(-INF, INF, [n], t);
        assert!(x.isfinite().all(..).item::<bool>().unwrap());
    }
}

/// Means and variances of gamma numbers, for shapes from small to large; of log x if x itself underflows.
#[test]
fn gamma_of_every_size() {
    let n = 100_000;
    for (t, a) in [(F32, 1e-3), (F32, 0.1), (F32, 0.7), (F32, 1e3), (F32, 1e6), (F64, 0.3), (F64, 1e9), (F64, 1e14)] {
        let x = numbers(&Rng::new(5).gamma(a, 1.0, [n], t), &Device::cpu());
        let mean = x.iter().sum::<f64>() / n as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        assert!((mean - a).abs() < 5.0 * (a / n as f64).sqrt(), "{t} {a}: mean {mean}");
        // the fourth central moment of a gamma number is 3·a² + 6·a
        let spread = ((2.0 * a * a + 6.0 * a) / n as f64).sqrt();
        assert!((variance - a).abs() < 5.0 * spread, "{t} {a}: variance {variance}");
    }
    // shapes so small that gamma numbers underflow
    let x = numbers(&Rng::new(5).beta(1e-3, 1e-3, [n], F32), &Device::cpu());
    let mean = x.iter().sum::<f64>() / n as f64;
    assert!(x.iter().all(|x| (0.0..=1.0).contains(x)) && (mean - 0.5).abs() < 0.01, "{mean}");
    let x = Rng::new(6).dirichlet(&[1e-3, 2.0, 1.0], [n], F32).eval().unwrap();
    assert!(((x.sum(1) - 1.0).abs().max(..)).item::<f32>().unwrap() < 1e-6);
    let means = x.mean(0).to_vec::<f32>().unwrap();
    assert!((means[1] - 2.0 / 3.0).abs() < 0.01 && means[0] < 0.01, "{means:?}");
}

/// A view of an unevaluated draw equals the view of the draw: any step and offset, odd rows, and both ends.
#[test]
fn views_of_draws() {
    type Draw = fn(&mut Rng, &[usize]) -> Expr;
    let draws: [(&str, Draw); 5] = [
        ("uniform", |rng, s| rng.uniform(s, F32)),
        ("normal", |rng, s| rng.normal(s, F32)),
        ("f16", |rng, s| rng.normal(s, F16)),
        ("integers", |rng, s| rng.integers(-7, 1_000_000_000_000i64, s, I64) + rng.integers(0, 100, s, I32)),
        ("two", |rng, s| rng.normal(s, F32) * rng.uniform(s, F32) + rng.bernoulli(0.5, s, F32)),
    ];
    type View = fn(&Expr) -> Expr;
    let views: [View; 9] = [
        |x| x * 1,
        |x| x.slice(s![.., 1..]),
        |x| x.slice(s![.., 2..]),
        |x| x.slice(s![1.., 3..]),
        |x| x.slice(s![.., ..;-1]),
        |x| x.slice(s![..;-1, ..;3]),
        |x| x.t(),
        |x| x.slice(s![0, 5..]),
        |x| x.slice(s![.., 7]),
    ];
    for (name, draw) in draws {
        for shape in [[1, 128], [3, 129], [2, 1031], [5, 640], [1, 20_001], [700, 9]] {
            let made = || draw(&mut Rng::new(5), &shape);
            let whole = Expr::from(made().eval().unwrap());
            for (n, view) in views.iter().enumerate() {
                let [got, want] = [view(&made()), view(&whole)].map(|x| x.astype(F64).to_vec::<f64>());
                assert_eq!(got.unwrap(), want.unwrap(), "{name} {shape:?}, view {n}");
            }
            // the rows of a view restart within the stream, and a flat draw has the same numbers
            let flat = draw(&mut Rng::new(5), &[shape[0] * shape[1]]).reshape(shape);
            assert_eq!(
                flat.astype(F64).to_vec::<f64>().unwrap(),
                whole.astype(F64).to_vec::<f64>().unwrap(),
                "{name} {shape:?}"
            );
        }
    }
}

/// Half-precision draws are f32 draws, rounded.
#[test]
fn narrow_draws_are_rounded() {
    for t in [F16, BF16] {
        for ((name, narrow, _), (_, wide, _)) in continuous(500, t, 3).into_iter().zip(continuous(500, F32, 3)) {
            assert_eq!(narrow.dtype().unwrap(), t, "{name}");
            assert_eq!(read(&narrow).unwrap(), read(&wide.eval().unwrap().astype(t)).unwrap(), "{name} {t}");
        }
    }
}

/// Truncated normal numbers with far, narrow or wide bounds stay inside, at the expected distance from a bound.
#[test]
fn truncation_far_out() {
    for t in [F32, F64] {
        for h in [5.0, 5.25, 12.5, 40.0, 300.0, 1e4, 1e8, 1e12, 1e18, 1e37] {
            let x = numbers(&Rng::new(1).truncated_normal(h, INF, [20_000], t), &Device::cpu());
            let h = if t == F32 { h as f32 as f64 } else { h };
            assert!(x.iter().all(|x| *x >= h && x.is_finite()), "{t} {h}");
            // beyond h the density is almost that of an exponential distribution with mean 1/h
            let mean = x.iter().map(|x| (x - h) * h).sum::<f64>() / x.len() as f64;
            let fine = if t == F32 { 200.0 } else { 1e6 };
            assert!(h > fine || (mean - 1.0).abs() < 0.03 + 2.0 / (h * h) + h * h * 1e-7, "{t} {h}: {mean}");
            let low = numbers(&Rng::new(1).truncated_normal(-INF, -h, [20_000], t), &Device::cpu());
            assert!(low.iter().all(|x| *x <= -h), "{t} {h}");
        }
        for (a, b) in
            [(30.0, 30.001), (6.0, 6.5), (0.5, 0.50001), (-1e-6, 1e-6), (-0.9, -0.8), (-40.0, 40.0), (1.0, 9.0)]
        {
            let x = numbers(&Rng::new(2).truncated_normal(a, b, [20_000], t), &Device::cpu());
            let (a, b) = if t == F32 { (a as f32 as f64, b as f32 as f64) } else { (a, b) };
            assert!(x.iter().all(|x| (a..=b).contains(x)), "{t} {a} {b}");
        }
    }
}

/// A multivariate normal vector is the mean plus the factor times normal numbers. Covariances of full and lower rank.
#[test]
fn vectors() {
    let d = Device::cpu();
    let n = 200_000;
    for (what, c) in [
        ("full", [4.0f64, 1.2, -0.8, 1.2, 2.0, 0.3, -0.8, 0.3, 1.0]),
        ("rank 1", [1.0, 2.0, -1.0, 2.0, 4.0, -2.0, -1.0, -2.0, 1.0]),
        ("a constant", [0.0, 0.0, 0.0, 0.0, 1.0, 0.5, 0.0, 0.5, 1.0]),
        ("zero", [0.0; 9]),
    ] {
        for t in [F32, F64] {
            let (mean, cov) = (put(&d, vec![1.0, -2.0, 0.5], &[3]), put(&d, c.to_vec(), &[3, 3]));
            let x = Rng::new(4).multivariate_normal(mean.astype(t), cov.astype(t), [n]).eval().unwrap();
            assert_eq!((x.shape(), x.dtype()), (&[n, 3][..], t));
            let off = (x.mean(0).astype(F64) - &mean).abs().max(..).item::<f64>().unwrap();
            assert!(off < 0.02, "{what}: means off by {off}");
            let got = x.t().cov(true, 1.0).astype(F64);
            let off = (got - &cov).abs().max(..).item::<f64>().unwrap();
            assert!(off < 0.05, "{what}: covariances off by {off}");
        }
    }
    let one = Rng::new(4).multivariate_normal(array![3.], array![[0.]], ());
    assert_eq!(one.to_vec::<f32>().unwrap(), [3.0]);
    let half = Rng::new(4)
        .multivariate_normal(array![3., 4.].astype(F16), eye(2, F16).eval().unwrap(), [2, 5])
        .eval()
        .unwrap();
    assert_eq!((half.shape(), half.dtype()), (&[2, 5, 2][..], F16));
}

/// A restored state continues where the source was.
#[test]
fn states() {
    let mut a = Rng::new(1 << 63 | 5);
    let _ = (a.uniform([3], F32), a.gamma(0.5, 1.0, [3], F64), a.split(), a.permutation(3));
    let mut b = Rng::from_state(a.state()).unwrap();
    assert_eq!(a, b);
    assert!(array_equal(&a.permutation(50), &b.permutation(50)).unwrap());
    assert_eq!(Rng::new(7).state(), [7, 0]);
    assert_eq!(Rng::from_state([7, 0]).unwrap(), Rng::new(7));
    assert_eq!(Rng::from_state([7, u32::MAX as u64]).unwrap().state(), [7, u32::MAX as u64]);
}

/// Any number of threads draws the same numbers.
#[test]
fn threads_do_not_matter() {
    let all = || -> Vec<Vec<u64>> {
        let mut bits: Vec<Vec<u64>> = continuous(3000, F32, 9).iter().map(|(_, e, _)| read(e).unwrap()).collect();
        bits.push(read(&Rng::new(9).permutation(100_000)).unwrap());
        bits.push(read(&Rng::new(9).poisson(5.0, [30_000])).unwrap());
        bits
    };
    let want = all();
    for threads in [1, 3] {
        let pool = rayon_core_pool(threads);
        assert!(pool.install(all) == want, "{threads} threads");
    }
}

fn rayon_core_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// All orders of four elements are equally likely.
#[test]
fn every_permutation() {
    let mut seen = std::collections::HashMap::new();
    for seed in 0..4800 {
        *seen.entry(Rng::new(seed).permutation(4).to_vec::<i64>().unwrap()).or_insert(0usize) += 1;
    }
    assert_eq!(seen.len(), 24);
    let off = chi_square(&seen.into_values().collect::<Vec<_>>(), &[1.0 / 24.0; 24]);
    assert!(off.abs() < 4.5, "{off}");
}

on_devices! {

fn laws_of_floats(d: &Device) {
    let n = if d.is_gpu() { 20_000 } else { 100_000 };
    for t in [F32, F64].into_iter().filter(|t| has(d, *t)) {
        for (name, e, law) in continuous(n, t, 1234) {
            let x = numbers(&e, d);
            assert!(x.len() == n && x.iter().all(|x| x.is_finite()), "{name} {t}");
            let off = distance(x, &*law);
            assert!(off < 2.2, "{name} {t}: {off}");
        }
    }
}

fn laws_of_integers(d: &Device) {
    let n = if d.is_gpu() { 20_000 } else { 100_000 };
    let check = |what: &str, e: Expr, share: &dyn Fn(f64) -> f64, k: usize| {
        let share: Vec<f64> = (0..k).map(|i| share(i as f64)).collect();
        let off = chi_square(&counts(&e, d, k), &share);
        assert!(off.abs() < 4.5, "{what}: {off}");
    };
    let poisson = |lam: f64| move |k: f64| (k * lam.ln() - lam - log_factorial(k)).exp();
    for lam in [1e-3, 0.5, 3.5, 60.0] {
        check(&format!("poisson {lam}"), Rng::new(3).poisson(lam, [n]), &poisson(lam), 200);
    }
    for (trials, p) in [(1u64, 0.25f64), (10, 0.3), (1000, 0.01), (40, 0.9)] {
        let t = trials as f64;
        let share = move |k: f64| {
            if k > t { return 0.0 }
            (log_factorial(t) - log_factorial(k) - log_factorial(t - k) + k * p.ln() + (t - k) * (-p).ln_1p()).exp()
        };
        check(&format!("binomial {trials} {p}"), Rng::new(4).binomial(trials, p, [n]), &share, trials as usize + 1);
    }
    for p in [0.05f64, 0.25, 0.9] {
        let share = move |k: f64| if k == 0.0 { 0.0 } else { p * (1.0 - p).powf(k - 1.0) };
        check(&format!("geometric {p}"), Rng::new(5).geometric(p, [n]), &share, 1000);
    }
    let weights = [0.0, 1.0, 5.0, 0.0, 0.5, 3.5, 0.0];
    let w = put(d, weights.iter().map(|w| *w as f32).collect::<Vec<f32>>(), &[7]);
    let share = |k: f64| weights[k as usize] / 10.0;
    check("choice_weighted", Rng::new(6).choice_weighted(&w, [n]), &share, 7);
    check("categorical", Rng::new(7).categorical(w.log().broadcast_to([n, 7]), -1), &share, 7);
    check("categorical across", Rng::new(7).categorical(w.log().reshape([7, 1]).broadcast_to([7, n]), 0), &share, 7);
    check("choice", Rng::new(8).choice(13, [n]), &|_| 1.0 / 13.0, 13);
    // the first of two choices without replacement, and the second
    let firsts = (0..2000).map(|i| Rng::new(i).choice_weighted_without_replacement(array![1., 0., 3., 6.], 2));
    if !d.is_gpu() {
        let pairs: Vec<Vec<i64>> = firsts.map(|e| e.to_vec().unwrap()).collect();
        let of = |at: usize| [0, 1, 2, 3].map(|i| pairs.iter().filter(|p| p[at] == i).count());
        assert!(chi_square(&of(0), &[0.1, 0.0, 0.3, 0.6]).abs() < 4.5);
        let second = |i: usize| (0..4).filter(|f| *f != i).map(|f| W[f] * W[i] / (1.0 - W[f])).sum::<f64>();
        const W: [f64; 4] = [0.1, 0.0, 0.3, 0.6];
        assert!(chi_square(&of(1), &[0, 1, 2, 3].map(second)).abs() < 4.5);
    }
}

fn certain_draws(d: &Device) {
    let all = |e: Expr, v: i64| assert!(e.to_device(d).unwrap().to_vec::<i64>().unwrap().iter().all(|x| *x == v));
    all(Rng::new(1).poisson(0.0, [50]), 0);
    all(Rng::new(1).binomial(9, 0.0, [50]), 0);
    all(Rng::new(1).binomial(9, 1.0, [50]), 9);
    all(Rng::new(1).binomial(0, 0.5, [50]), 0);
    all(Rng::new(1).geometric(1.0, [50]), 1);
    all(Rng::new(1).choice(1, [50]), 0);
    for w in [[0.0f32, 0.0, 1e-45, 0.0, 0.0], [0.0, 0.0, f32::MAX, 0.0, 0.0]] {
        all(Rng::new(1).choice_weighted(put(d, w.to_vec(), &[5]), [50]), 2);
    }
    all(Rng::new(1).choice_weighted(put(d, vec![3u8], &[1]), [50]), 0);
    // as many choices as there are elements, and the largest weights
    let w = put(d, vec![f32::MAX; 3], &[3]);
    assert!(Rng::new(1).choice_weighted(&w, [1000]).to_vec::<i64>().unwrap().contains(&2));
    let m = Rng::new(2).multinomial(500, put(d, vec![1i32, 0, 2], &[3]), [4, 2]).eval().unwrap();
    assert_eq!(m.shape(), [4, 2, 3]);
    let m = m.to_vec::<i64>().unwrap();
    for row in m.chunks(3) {
        assert!(row.iter().sum::<i64>() == 500 && row[1] == 0 && (row[0] - 167).abs() < 60, "{row:?}");
    }
    assert_eq!(Rng::new(2).multinomial(0, array![1., 1.], ()).to_vec::<i64>().unwrap(), [0, 0]);
    let nan = put(d, vec![0f32, f32::NAN, -f32::INFINITY, -f32::INFINITY, -f32::INFINITY, -1e30], &[2, 3]);
    assert_eq!(Rng::new(2).categorical(&nan, 1).to_vec::<i64>().unwrap(), [1, 2]);
    // distributions with scale 0
    let x = Rng::new(3).laplace(2.5, 0.0, [9], F32).to_device(d).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [2.5; 9]);
}

fn permutations(d: &Device) {
    for n in [0usize, 1, 2, 3, 255, 4097, 70_001] {
        let p = Rng::new(n as u64).permutation(n).to_device(d).unwrap();
        assert_eq!((p.shape(), p.dtype()), (&[n][..], I64));
        // a permutation sorts by keys, which are the words of the stream
        let words = |_| Rng::new(n as u64).integers(0, 1u64 << 63, [n], U64).to_vec::<u64>().unwrap();
        let mut want: Vec<i64> = (0..n as i64).collect();
        let got = p.to_vec::<i64>().unwrap();
        let keys: Vec<u64> = words(());
        let rises = got.windows(2).all(|w| keys[w[0] as usize] <= keys[w[1] as usize]);
        assert!(rises, "{n}");
        let mut sorted = got.clone();
        sorted.sort();
        assert_eq!(sorted, want, "{n}");
        want.truncate(3.min(n));
        let some = Rng::new(n as u64).choice_without_replacement(n, 3.min(n)).to_device(d).unwrap();
        assert_eq!(some.to_vec::<i64>().unwrap(), got[..3.min(n)]);
    }
    let x = put(d, (0..60).collect::<Vec<i32>>(), &[3, 20]);
    let y = Rng::new(11).shuffle(&x, 1);
    let order = Rng::new(11).permutation(20).to_device(d).unwrap();
    assert!(array_equal(&y, &x.take(&order, 1)).unwrap());
    assert!(array_equal(&y.sort(1), &x).unwrap() && !array_equal(&y, &x).unwrap());
    assert!(array_equal(&Rng::new(11).shuffle(&x, -2).sort(0), &x).unwrap());
}

fn nothing_and_one(d: &Device) {
    for shape in [vec![0usize], vec![], vec![1], vec![3, 0, 2]] {
        let n: usize = shape.iter().product();
        let s = &shape[..];
        let w = put(d, vec![1f32, 2.0], &[2]);
        let r = || Rng::new(1);
        let draws = [
            r().exponential(1.0, s, F32), r().truncated_normal(-1.0, 2.0, s, F16), r().gamma(0.5, 1.0, s, F32),
            r().geometric(0.5, s), r().poisson(2.0, s), r().binomial(3, 0.5, s), r().choice_weighted(&w, s),
        ];
        for e in draws {
            let e = e.eval().unwrap();
            assert_eq!((e.shape(), e.size()), (s, n));
        }
        let more: Vec<usize> = shape.iter().copied().chain([2]).collect();
        assert_eq!(r().multinomial(4, &w, s).eval().unwrap().shape(), &more[..]);
        assert_eq!(r().dirichlet(&[1.0, 1.0], s, F32).eval().unwrap().shape(), &more[..]);
        let square = put(d, vec![1f32, 0., 0., 1.], &[2, 2]);
        assert_eq!(r().multivariate_normal(&w, &square, s).eval().unwrap().shape(), &more[..]);
    }
    assert_eq!(Rng::new(1).choice_without_replacement(5, 0).to_device(d).unwrap().shape(), [0]);
    assert_eq!(Rng::new(1).shuffle(put(d, Vec::<f32>::new(), &[2, 0]), 1).eval().unwrap().shape(), [2, 0]);
    assert_eq!(Rng::new(1).categorical(put(d, vec![1f32; 3], &[3, 1]), 1).to_vec::<i64>().unwrap(), [0; 3]);
    assert_eq!(Rng::new(1).categorical(put(d, Vec::<f32>::new(), &[0, 4]), 1).eval().unwrap().shape(), [0]);
}

// a GPU draws the CPU's numbers: integers with equal bits, floats within a few rounding errors
fn the_same_numbers(d: &Device) {
    let there = |e: Expr| e.to_device(d).unwrap().to_device(&Device::cpu()).unwrap();
    let w = |d: &Device| put(d, (0..300).map(|i| (i * i % 97) as f32 * 1e-3).collect::<Vec<f32>>(), &[300]);
    let cpu = Device::cpu();
    assert!(array_equal(&there(Rng::new(1).permutation(5000)), &Rng::new(1).permutation(5000)).unwrap());
    let chosen = |d: &Device| Rng::new(1).choice_weighted(w(d), [5000]);
    assert!(array_equal(&there(chosen(d)), &chosen(&cpu)).unwrap());
    let counted = |d: &Device| Rng::new(1).multinomial(40, w(d), [20]);
    assert!(array_equal(&there(counted(d)), &counted(&cpu)).unwrap());
    for ((name, here, _), (_, other, _)) in continuous(4000, F32, 21).into_iter().zip(continuous(4000, F32, 21)) {
        let (a, b) = (numbers(&here, d), numbers(&other, &cpu));
        let tight = ["exponential", "gumbel", "laplace", "truncated"].iter().any(|n| name.starts_with(n));
        // rounding at the acceptance limit may make the gamma sampler accept another candidate
        let far = a.iter().zip(&b).filter(|(a, b)| {
            let scale = a.abs().max(b.abs()).max(if tight { 3.0 } else { 0.0 });
            (*a - *b).abs() > scale * if tight { 24.0 } else { 2000.0 } * 2f64.powi(-24) + 1e-5 * f64::from(!tight)
        });
        let far = far.count();
        assert!(far <= if tight { 0 } else { 2 }, "{name}: {far}");
    }
}

}
