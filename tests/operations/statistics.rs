//! Statistics and composite elementwise functions: compared with NumPy (`data/statistics.txt`, by
//! `data/make_statistics.py`), with plain loops in every type and layout; their errors, and how many kernels they need.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

const GOLDEN: &str = include_str!("../data/statistics.txt");

/// The operands that `make_statistics.py` uses, on a device.
struct Operands {
    x: Array,
    y: Array,
    w: Array,
    v: Array,
    n: Array,
    k: Array,
    a: Array,
    b: Array,
    z: Array,
}

fn operands(d: &Device) -> Operands {
    const N: f32 = f32::NAN;
    const I: f32 = f32::INFINITY;
    let x = vec![1.5, N, -2.25, 3., N, N, N, N, I, 0.5, N, -1., 2., 2., -I, 2.];
    let y = vec![1f32, 2., -3., 4.5, 0.5, -0.5, 2.5, 8., 7., 1.25, -6., 2.];
    let w = vec![1f32, 2., 0.5, 1., 3., 1., 1., 2., 0.25, 1., 2., 4.];
    let v = vec![0f32, -0., 1.5, -2.5, 1e-40, -3e38, I, -I, N, 7., 0.75, -1024.];
    let n = vec![13i8, -27, 5, 15, 25, -15, -25, 0, 99, -128, 127, 50];
    let k = vec![3, 0, -2, 10, 20, 1, 5, -5, 2, -30, 8, -9];
    Operands {
        x: put::<f32>(d, x, &[4, 4]),
        y: put(d, y, &[3, 4]),
        w: put(d, w, &[3, 4]),
        v: put(d, v, &[12]),
        n: put(d, n, &[12]),
        k: put(d, k, &[12]),
        a: put(d, vec![1f32, 2., -3., 4., 5.5], &[5]),
        b: put(d, vec![2f32, -1., 0.5, 3.], &[4]),
        z: put::<f32>(d, vec![], &[3, 0]),
    }
}

/// Makes the call that a line of the data names.
#[allow(clippy::too_many_lines, reason = "a line for each name")]
fn call(name: &str, o: &Operands) -> Expr {
    let Operands { x, y, w, v, n, k, a, b, z } = o;
    let column = |e: &Array| e.expand_dims(1);
    let three = || x.take(put(&x.device(), vec![0, 2, 3], &[3]), 0);
    let wide = || n.astype(I32);
    if let Some((call, mode)) = name.rsplit_once(' ') {
        let mode = match mode {
            "full" => WindowMode::Full,
            "same" => WindowMode::Same,
            _ => WindowMode::Valid,
        };
        match call {
            "convolve" => return convolve(a, b, mode),
            "convolve short" => return convolve(b, a, mode),
            "convolve equal" => return convolve(a.slice(s![..4]), b, mode),
            "correlate" => return correlate(a, b, mode),
            "correlate short" => return correlate(b, a, mode),
            "correlate one" => return correlate(a, b.slice(s![..1]), mode),
            _ => {}
        }
    }
    match name {
        "nansum 0" => x.nansum(0),
        "nansum 1" => x.nansum(1),
        "nansum" => x.nansum(..),
        "nansum empty" => z.nansum(1),
        "nanmean 0" => x.nanmean(0),
        "nanmean 1" => x.nanmean(1),
        "nanmean empty" => z.nanmean(1),
        "nanmean keep" => x.nanmean(keep((0, 1))),
        "nanmin 0" => x.nanmin(0),
        "nanmin 1" => x.nanmin(1),
        "nanmax 0" => x.nanmax(0),
        "nanmax 1" => x.nanmax(1),
        "nanmax keep" => x.nanmax(keep(1)),
        "nanvar 0" => x.nanvar(0),
        "nanvar 1" => x.nanvar(1),
        "nanstd 1" => x.nanstd(-1),
        "nanvar empty" => z.nanvar(1),
        "nanvar ddof" => x.slice(s![..1]).nanvar_corrected(1, 1.0),
        "nanstd keep" => x.slice(s![..1]).nanstd(keep(1)),
        "nanargmin" => three().nanargmin(1),
        "nanargmax" => three().nanargmax(1),
        "nanargmax flat" => three().nanargmax(..),
        "nanargmin columns" => x.take(put(&x.device(), vec![0, 3], &[2]), 0).nanargmin(0),
        "ptp 0" => y.ptp(0),
        "ptp 1" => y.ptp(1),
        "ptp" => y.ptp(..),
        "ptp of nan" => x.ptp(1),
        "average" => y.average(.., w),
        "average 0" => y.average(0, w),
        "average vector" => y.average(1, w.slice(s![0])),
        "average keep" => y.average(keep(1), w),
        "cov" => y.cov(true, 1.0),
        "cov columns" => y.cov(false, 1.0),
        "cov ddof" => y.cov(true, 0.0),
        "cov vector" => y.slice(s![0]).cov(true, 1.0),
        "cov one" => y.slice(s![.., ..1]).cov(true, 1.0),
        "cov empty" => z.cov(true, 1.0),
        "corrcoef" => y.corrcoef(true),
        "corrcoef columns" => y.corrcoef(false),
        "corrcoef vector" => y.slice(s![0]).corrcoef(false),
        "corrcoef constant" => put(&x.device(), vec![1f32, 1., 1., 1., 2., 3.], &[2, 3]).corrcoef(true),
        "isclose" => column(v).isclose(v, 1e-5, 1e-8, false),
        "isclose nan" => column(v).isclose(v, 1e-5, 1e-8, true),
        "isclose far" => isclose(column(v), v, 0.3, 2.0, false),
        "isclose integers" => column(n).isclose(k, 0.1, 1.0, false),
        "allclose" => y.allclose(y * 1.000001f32, 1e-5, 1e-8, false),
        "allclose not" => allclose(y, y + w, 1e-5, 1e-8, false),
        "allclose empty" => z.allclose(z + 1.0, 1e-5, 1e-8, false),
        "nan_to_num" => v.nan_to_num(),
        "nan_to_num with" => v.nan_to_num_with(1.5, 2.5, -3.5),
        "round 1" => v.round_to(1),
        "round 2" => (y * 0.317f32).round_to(2),
        "round -1" => (y * 13.7f32).round_to(-1),
        "round integers" => wide().round_to(-1),
        "round hundreds" => (wide() * 7).round_to(-2),
        "divmod q" => y.divmod(1.5).0,
        "divmod r" => y.divmod(1.5).1,
        "divmod integers" => wide().divmod(7).1,
        "modf fraction" => v.modf().0,
        "modf whole" => v.modf().1,
        "frexp mantissa" => v.frexp().0,
        "frexp exponent" => v.frexp().1,
        "ldexp" => v.ldexp(k),
        "ldexp far" => {
            let far = vec![127i32, 128, -126, -140, -149, -150, -151, -400, 400, 1_000_000];
            put(&x.device(), vec![1.25f32], &[]).ldexp(put(&x.device(), far, &[10]))
        }
        "heaviside" => v.heaviside(0.25),
        "heaviside integers" => n.heaviside(0.5),
        "clip lower" => v.clip_lower(1.0),
        "clip upper" => v.clip_upper(1.0),
        "polyval" => y.polyval(put(&x.device(), vec![2f32, 0., -1., 0.5], &[4])),
        "polyval constant" => y.polyval([3.0]),
        "polyval none" => y.polyval(Vec::<f64>::new()),
        "polyval integers" => k.polyval([1, -2, 3]),
        "gcd" => column(&wide().eval().unwrap()).gcd(k),
        "lcm" => lcm(column(&wide().eval().unwrap()), k),
        "gcd narrow" => column(n).gcd(n),
        "lcm narrow" => column(n).lcm(n),
        _ => panic!("{name} has no call here"),
    }
}

/// Whether a function returns one of its operands or an exact number, so that results must be equal.
fn is_exact(name: &str) -> bool {
    let first = name.split(' ').next().unwrap_or_default();
    ["nanmin", "nanmax", "nan_to_num", "modf", "frexp", "ldexp", "heaviside", "clip"].contains(&first)
}

fn flushes(d: &Device) -> bool {
    d.is_gpu() && !d.numerics().unwrap().is_some_and(|n| n.subnormals)
}

on_devices! {
    fn as_numpy(d: &Device) {
        let o = operands(d);
        let mut wrong = vec![];
        for line in GOLDEN.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let shape: Vec<usize> = fields[1].split_whitespace().map(|n| n.parse().unwrap()).collect();
            let want: Vec<f64> = fields[2].split_whitespace().map(|n| n.parse().unwrap()).collect();
            let e = call(fields[0], &o);
            let got = match e.eval() {
                Ok(got) => got,
                Err(e) => {
                    wrong.push(format!("{}: {e}", fields[0]));
                    continue;
                }
            };
            let (t, got_shape) = (got.dtype(), got.shape().to_vec());
            let got: Vec<f64> = read(&got).unwrap().into_iter().map(|b| number::real(t, b)).collect();
            let scale = want.iter().filter(|x| x.is_finite()).fold(1e-3f64, |m, x| m.max(x.abs().min(100.0)));
            let close = |(i, (g, w)): (usize, (&f64, &f64))| {
                let subnormal = w.abs() < 2f64.powi(-126) && g.abs() <= 2f64.powi(-126)
                    // element 4 is subnormal, and a GPU may take it as 0 or as the smallest normal number
                    || i == 4 && (fields[0].starts_with("frexp") || fields[0] == "ldexp" && [0.0, 2f64.powi(-106)].contains(&g.abs()));
                if flushes(d) && subnormal {
                    return true;
                }
                match is_exact(fields[0]) {
                    true => g == w && (*w != 0.0 || g.is_sign_negative() == w.is_sign_negative()) || g.is_nan() && w.is_nan(),
                    false => g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= 2e-6 * w.abs() + 5e-7 * scale,
                }
            };
            if got_shape != shape || got.len() != want.len() || !got.iter().zip(&want).enumerate().all(close) {
                wrong.push(format!("{}: {got_shape:?} {got:?}\n    instead of {shape:?} {want:?}", fields[0]));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn nothing_but_nan(d: &Device) {
        let x = put(d, vec![f32::NAN, f32::NAN, f32::INFINITY, f32::NAN], &[2, 2]);
        for t in [F16, BF16, F32, F64].into_iter().filter(|t| has(d, *t)) {
            let x = x.astype(t).eval().unwrap();
            same(&x.nanargmin(1), &[-1i64, 0]);
            same(&x.nanargmax(1), &[-1i64, 0]);
            same(&(-&*x).nanargmin(0), &[1i64, -1]);
            same(&x.t().nanargmin(keep(0)), &[-1i64, 0]);
            same(&x.nansum(1).astype(F32), &[0f32, f32::INFINITY]);
            same(&x.nanmin(1).astype(F32), &[f32::NAN, f32::INFINITY]);
        }
    }

    fn types_of_results(d: &Device) {
        let is = |e: Expr, t: DType| assert_eq!(e.eval().unwrap().dtype(), t);
        for t in DType::ALL.into_iter().filter(|t| has(d, *t)) {
            let x = put(d, vec![1f32, 2., 3., 4.], &[2, 2]).astype(t).eval().unwrap();
            let float = if t.is_float() { t } else { F32 };
            let sum = if t.is_float() { t } else if t.is_unsigned_integer() { U64 } else { I64 };
            is(x.nansum(0), sum);
            is(x.nanmean(0), float);
            is(x.nanstd(0), float);
            is(x.nanargmax(0), I64);
            is(x.average(0, &x), float);
            is(x.cov(true, 1.0), float);
            is(x.corrcoef(true), float);
            is(x.modf().0, float);
            is(x.frexp().0, float);
            is(x.frexp().1, I32);
            is(x.ldexp(2), float);
            is(x.heaviside(0.5), float);
            is(x.isclose(&x, 0.1, 0.1, false), Bool);
            is(x.allclose(&x, 0.1, 0.1, false), Bool);
            is(x.nan_to_num(), t);
            is(x.nan_to_num_with(0.0, 1.0, 2.0), t);
            is(x.round_to(2), t);
            is(x.clip_lower(&x), t);
            is(convolve(x.slice(s![0]), x.slice(s![1]), WindowMode::Full), t);
            if t != Bool {
                is(x.nanmin(0), t);
                is(x.ptp(0), t);
                is(x.polyval(&*x.slice(s![0]).eval().unwrap()), t);
                is(x.round_to(-1), t);
                is(x.divmod(&x).1, t);
            }
        }
        let n = put(d, vec![1, 2], &[2]);
        is(n.polyval([0.5, 2.0]), F32);
        is(n.polyval([1, 2]), I32);
    }

    fn sequences_of_every_type(d: &Device) {
        let mut dice = Dice::new(3);
        let lengths: &[(usize, usize)] = if d.is_gpu() { &[(7, 3), (100, 33)] } else { &[(1, 1), (7, 3), (3, 7), (8, 8), (100, 64), (2000, 65)] };
        for t in DType::ALL.into_iter().filter(|t| has(d, *t)) {
            for (n, m) in lengths {
                let mut whole = |n: usize| -> Vec<i128> {
                    let (low, high) = if t == Bool { (0, 1) } else if t.is_unsigned_integer() { (0, 5) } else { (-3, 3) };
                    (0..n).map(|_| dice.between(low, high) as i128).collect()
                };
                let (a, b) = (whole(*n), whole(*m));
                let bits = |x: &i128| if t.is_float() { number::round_integer(t, *x) } else { number::wrap(t, *x) };
                let make = |x: &[i128]| array(t, &x.iter().rev().map(bits).collect::<Vec<_>>(), &[x.len()], d).unwrap().slice(s![..;-1]);
                let full: Vec<i128> = (0..n + m - 1)
                    .map(|k| (0..*m).filter(|j| k >= *j && k - j < *n).map(|j| a[k - j] * b[j]).sum())
                    .collect();
                let (long, short) = (*n.max(m), *n.min(m));
                for (mode, from, length) in [
                    (WindowMode::Full, 0, n + m - 1),
                    (WindowMode::Same, (short - 1) / 2, long),
                    (WindowMode::Valid, short - 1, long - short + 1),
                ] {
                    let want: Vec<u64> = full[from..from + length].iter().map(bits).collect();
                    let got = read(&convolve(make(&a), make(&b), mode)).unwrap();
                    let equal = |(g, w): (&u64, &u64)| g == w || t.is_float() && number::real(t, *g) == number::real(t, *w);
                    assert!(got.len() == want.len() && got.iter().zip(&want).all(equal), "{t} {n} {m} {mode:?}: {got:?} {want:?}");
                    // correlation is convolution with the reversed sequence; in mode `Same` NumPy's centre differs
                    if mode != WindowMode::Same {
                        let reversed: Vec<i128> = b.iter().rev().copied().collect();
                        assert_eq!(read(&correlate(make(&a), make(&reversed), mode)).unwrap(), got, "{t} {n} {m} {mode:?}");
                    }
                }
            }
        }
    }

    fn integers_round_to_tens(d: &Device) {
        for t in DType::ALL.into_iter().filter(|t| t.is_integer() && has(d, *t)) {
            let (low, high) = number::range(t);
            let near = |x: i128| (x - 3..=x + 3).filter(|x| (low..=high).contains(x)).collect::<Vec<_>>();
            let mut values: Vec<i128> = [low, high, 0, 5, 15, 50, -50, 150, low / 2, high / 2].into_iter().flat_map(near).collect();
            (1..20).for_each(|n| values.extend([10i128.pow(n), 5 * 10i128.pow(n), 15 * 10i128.pow(n)].into_iter().flat_map(|x| [near(x), near(-x)].concat())));
            let bits: Vec<u64> = values.iter().map(|x| number::wrap(t, *x)).collect();
            let x = array(t, &bits, &[bits.len()], d).unwrap();
            for n in if d.is_gpu() { vec![1, 3, 19] } else { (1..24).collect() } {
                let power = 10i128.pow(n as u32);
                let want: Vec<u64> = values
                    .iter()
                    .map(|x| {
                        let (q, r) = (x.div_euclid(power), x.rem_euclid(power));
                        let up = 2 * r > power || 2 * r == power && q % 2 != 0;
                        number::wrap(t, (q + up as i128) * power)
                    })
                    .collect();
                let got = read(&x.round_to(-n)).unwrap();
                let wrong = got.iter().zip(&want).position(|(g, w)| g != w);
                assert_eq!(wrong, None, "{t} to 10^{n}: {:?}", wrong.map(|i| (values[i], number::integer(t, got[i]))));
            }
        }
    }

    fn mantissas_and_exponents(d: &Device) {
        for t in [F16, BF16, F32, F64].into_iter().filter(|t| has(d, *t)) {
            let mut dice = Dice::new(11);
            let normal = number::smallest_normal(t);
            let bits: Vec<u64> = (0..3000)
                .map(|_| dice.next() >> (64 - 8 * t.size()))
                .filter(|b| !flushes(d) || number::real(t, *b).abs() >= normal.max(2f64.powi(-126)) || number::is_nan(t, *b))
                .collect();
            let x = array(t, &bits, &[bits.len()], d).unwrap();
            let (mantissa, exponent) = x.frexp();
            let (m, e) = (read(&mantissa).unwrap(), exponent.to_vec::<i32>().unwrap());
            for ((b, m), e) in bits.iter().zip(&m).zip(&e) {
                let (x, m) = (number::real(t, *b), number::real(t, *m));
                if x == 0.0 || !x.is_finite() {
                    assert!((m == x || m.is_nan() && x.is_nan()) && *e == 0, "{t} {x:e}: {m:e} {e}");
                    continue;
                }
                // we scale in two exact steps, because 2^e may overflow f64
                let back = m * 2f64.powi(e / 2) * 2f64.powi(e - e / 2);
                assert!((0.5..1.0).contains(&m.abs()) && back == x, "{t} {x:e}: {m:e} {e}");
            }
            let back = read(&mantissa.ldexp(&exponent)).unwrap();
            let equal = |(b, x): (&u64, &u64)| number::real(t, *b) == number::real(t, *x) || number::is_nan(t, *b) && number::is_nan(t, *x);
            assert!(back.iter().zip(&bits).all(equal), "{t}");
        }
    }

    fn greatest_divisors_of_edges(d: &Device) {
        for t in DType::ALL.into_iter().filter(|t| t.is_integer() && has(d, *t)) {
            let (low, high) = number::range(t);
            let mut dice = Dice::new(13);
            let mut values: Vec<i128> = vec![low, low + 1, high, high - 1, 0, 1, 2, 3, 6, 12, 60, 64, 96, high / 2, high / 3, low / 2];
            values.extend((0..48).map(|_| number::integer(t, dice.next() >> (64 - 8 * t.size()))));
            let n = values.len();
            let bits: Vec<u64> = values.iter().map(|x| number::wrap(t, *x)).collect();
            let x = array(t, &bits, &[n], d).unwrap();
            let (g, l) = (read(&x.expand_dims(1).gcd(&x)).unwrap(), read(&x.expand_dims(1).lcm(&x)).unwrap());
            for (i, (g, l)) in g.iter().zip(&l).enumerate() {
                let (a, b) = (values[i / n].abs(), values[i % n].abs());
                let (mut p, mut q) = (a, b);
                while q != 0 {
                    (p, q) = (q, p % q);
                }
                let m = if p == 0 { 0 } else { (a / p).wrapping_mul(b) };
                assert_eq!((*g, *l), (number::wrap(t, p), number::wrap(t, m)), "{t} {a} {b}");
            }
        }
    }

    fn one_pass(d: &Device) {
        let x = zeros([5000], F32).to_device(d).unwrap();
        let taps = zeros([64], F32).to_device(d).unwrap();
        let kernels = |e: &Expr| e.plan().unwrap().kernels();
        let valid = convolve(&x, &taps, WindowMode::Valid);
        assert_eq!(kernels(&valid), 1, "{}", valid.plan().unwrap());
        assert_eq!(kernels(&x.nansum(..)), kernels(&x.sum(..)));
        assert_eq!(kernels(&x.isclose(&x, 1e-5, 1e-8, false)), 1);
        assert_eq!(kernels(&x.polyval([1.0, 2.0, 3.0])), 1);
        assert_eq!(kernels(&x.round_to(2)), 1);
    }
}

/// The largest difference of two matrices in units of the largest element of the second.
fn difference(got: &Expr, want: &Expr) -> f64 {
    ((got.astype(F64) - want).abs().max(..) / want.abs().max(..)).item().unwrap()
}

/// Many observations are divided into blocks, each about its own means: here the means of the blocks differ.
#[test]
fn covariances_of_blocks() {
    let (variables, n) = (5, (1 << 20) + 77);
    let drift = arange(0, n, 1, F64) * (3.0 / n as f64);
    let x = (Rng::new(4).normal([variables, n], F64) + drift + 50.0).eval().unwrap();
    let reference = |x: &Expr| {
        let deviation = x - x.mean(keep(1));
        (deviation.matmul(deviation.t()) / (n as f64 - 1.0)).eval().unwrap()
    };
    let want = reference(&x);
    let single = x.astype(F32).eval().unwrap();
    let columns = x.t().contiguous().eval().unwrap();
    let integers = (&*x * 10.0).astype(I16).eval().unwrap();
    for (name, got, want, most) in [
        ("rows", x.cov(true, 1.0), &want, 1e-13),
        ("columns", columns.cov(false, 1.0), &want, 1e-13),
        ("a formula", (columns.t() * 2.0 + 7.0).cov(true, 1.0), &(&*want * 4.0).eval().unwrap(), 1e-13),
        ("f32", single.cov(true, 1.0), &reference(&single.astype(F64)), 1e-5),
        ("i16", integers.cov(true, 1.0), &reference(&integers.astype(F64)), 1e-5),
    ] {
        let error = difference(&got, want);
        assert!(error < most, "{name}: {error}");
    }
    let roots = want.diagonal(0).sqrt();
    let want = &*want / &roots / roots.expand_dims(1);
    assert!(difference(&x.corrcoef(true), &want) < 1e-13);
    // a vector is one variable
    let vector = x.reshape(-1).eval().unwrap();
    let error = (vector.cov(true, 0.0) / vector.astype(F64).var(..) - 1.0).abs().item::<f64>().unwrap();
    assert!(error < 1e-12, "{error}");
    // a NaN makes its row and column NaN
    let mut bad = x.clone();
    bad.set(s![2, 1000], f64::NAN).unwrap();
    assert_eq!(bad.cov(true, 1.0).isnan().count_nonzero(..).item::<i64>().unwrap(), 9);
    // each element is read twice, once for the means of its block, and the deviations of a block are read by the product
    let plan = x.cov(true, 1.0).plan().unwrap();
    assert!(plan.kernels() > 6, "{plan}");
}

#[test]
fn derivatives_of_covariances_of_blocks() {
    let n = 1 << 20;
    let x = (Rng::new(6).normal([5, n], F64) + arange(0, n, 1, F64) / n as f64).eval().unwrap();
    let w = Rng::new(7).normal([5, 5], F64).eval().unwrap();
    let [slope] = grad(&(x.cov(true, 1.0) * &w).sum(..), [&x]);
    let want = (&w + w.t()).matmul(&*x - x.mean(keep(1))) / (n as f64 - 1.0);
    assert!(difference(&slope, &want) < 1e-12);
}

#[test]
fn what_does_not_fit_is_named() {
    let (x, v) = (zeros([3, 4], F32), zeros([4], F32));
    let says = |e: Expr, kind: ErrorKind, part: &str| {
        let e = e.eval().unwrap_err();
        assert!(e.kind() == kind && e.to_string().contains(part) && e.to_string().contains("statistics.rs"), "{e}");
    };
    use ErrorKind as K;
    let t = x.t();
    says(x.isclose(&t, 0.0, 0.0, false), K::Shape, "isclose: cannot broadcast shapes [3, 4] and [4, 3]");
    says(isclose(&x, &t, 0.0, 0.0, true), K::Shape, "isclose: cannot broadcast shapes");
    says(x.allclose(&t, 0.0, 0.0, false), K::Shape, "allclose: cannot broadcast shapes");
    says(allclose(&x, &t, 0.0, 0.0, false), K::Shape, "allclose: cannot broadcast shapes");
    let failed = || &x + &t;
    says(failed().nan_to_num(), K::Shape, "add");
    says(failed().nan_to_num_with(0.0, 0.0, 0.0), K::Shape, "add");
    says(failed().round_to(1), K::Shape, "add");
    says(failed().modf().0, K::Shape, "add");
    says(failed().modf().1, K::Shape, "add");
    says(failed().frexp().0, K::Shape, "add");
    says(failed().frexp().1, K::Shape, "add");
    says(x.divmod(&t).0, K::Shape, "divmod: cannot broadcast shapes");
    says(x.divmod(&t).1, K::Shape, "divmod: cannot broadcast shapes");
    says(x.ldexp(0.5), K::DType, "ldexp: the exponents have dtype");
    says(ldexp(&x, zeros([3, 3], I32)), K::Shape, "ldexp: cannot broadcast shapes");
    says(x.heaviside(&t), K::Shape, "heaviside: cannot broadcast shapes");
    says(heaviside(&x, &t), K::Shape, "heaviside: cannot broadcast shapes");
    says(x.clip_lower(&t), K::Shape, "clip_lower: cannot broadcast shapes");
    says(x.clip_upper(&t), K::Shape, "clip_upper: cannot broadcast shapes");
    says(x.polyval(&x), K::Shape, "polyval: coefficients of shape [3, 4]");
    says(x.astype(U8).polyval([300]), K::Argument, "polyval: 300 does not fit");
    says(x.astype(I64).polyval(zeros([2], U64)), K::DType, "polyval");
    says(x.gcd(&t), K::DType, "gcd");
    says(x.ptp(2), K::Axis, "ptp");
    says(x.greater(0).ptp(0), K::DType, "ptp");
    says(zeros([0], F32).ptp(0), K::Shape, "ptp");
    says(x.average(0, &v), K::Shape, "average: shapes [3, 4] and [4]");
    says(x.average(2, &x), K::Axis, "average");
    says(zeros([2, 2, 2], F32).cov(true, 1.0), K::Shape, "cov: shape [2, 2, 2]");
    says(zeros([2, 2, 2], F32).corrcoef(true), K::Shape, "corrcoef: shape [2, 2, 2]");
    says(convolve(&x, &v, WindowMode::Full), K::Shape, "convolve: shapes [3, 4] and [4]");
    says(convolve(&v, zeros([0], F32), WindowMode::Full), K::Shape, "convolve");
    says(correlate(&v, zeros([0], F32), WindowMode::Full), K::Shape, "correlate");
    says(correlate(zeros([2], I64), zeros([2], U64), WindowMode::Full), K::DType, "correlate");
    says(x.nansum(2), K::Axis, "nansum");
    says(x.nanmean(2), K::Axis, "nanmean");
    says(x.nanmin(2), K::Axis, "nanmin");
    says(x.nanmax(2), K::Axis, "nanmax");
    says(x.nanvar(2), K::Axis, "nanvar");
    says(x.nanstd(2), K::Axis, "nanstd");
    says(x.nanvar_corrected(2, 1.0), K::Axis, "nanvar");
    says(x.nanstd_corrected(2, 1.0), K::Axis, "nanstd");
    says(x.nanargmin((0, 1)), K::Axis, "nanargmin: axes [0, 1]");
    says(zeros([0, 3], F32).nanargmax(0), K::Shape, "nanargmax");
    says(zeros([0, 3], F32).nanmin(0), K::Shape, "nanmin");
}
