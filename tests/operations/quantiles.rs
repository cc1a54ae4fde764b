//! Medians and quantiles: compared with NumPy (`data/quantiles.txt`, written by `data/make_sorting.py`), and with plain
//! loops in every type and many layouts.

use crate::kit::{self, dice::Dice, error, golden, has, numbers, on_devices, put, read, same};
use cupric::{DType::*, QuantileMethod::*, *};

const GOLDEN: &str = include_str!("../data/quantiles.txt");
const METHODS: [(&str, QuantileMethod); 13] = [
    ("linear", Linear),
    ("lower", Lower),
    ("higher", Higher),
    ("midpoint", Midpoint),
    ("nearest", Nearest),
    ("inverted_cdf", InvertedCdf),
    ("averaged_inverted_cdf", AveragedInvertedCdf),
    ("closest_observation", ClosestObservation),
    ("interpolated_inverted_cdf", InterpolatedInvertedCdf),
    ("hazen", Hazen),
    ("weibull", Weibull),
    ("median_unbiased", MedianUnbiased),
    ("normal_unbiased", NormalUnbiased),
];
const QS: [f64; 9] = [0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.875, 1.0];

fn axes(word: &str) -> AxesArg {
    match word {
        "0" => 0.into_axes(),
        "1" => 1.into_axes(),
        _ => (..).into_axes(),
    }
}

/// Makes the call that a line of the data names.
fn call(name: &str, d: &Device) -> Expr {
    const N: f32 = f32::NAN;
    const I: f32 = f32::INFINITY;
    let q = vec![3f32, 1., 2., 1., 9., 4., -2.5, 0.5, 8., -2., 6., -6., 7., 7., 2., 2., 2., 2., 2., 2., 2.];
    let n = [[3., N, 2., 1., N, 4.], [N; 6], [N, N, N, 7., N, N], [1., 5., -I, I, N, 2.]].concat();
    let p = [[3., N, 2., 1., N, 4., -2.5], [N; 7], [N, N, N, 7., N, N, N], [1., 5., -3., 8., N, 2., 0.5]].concat();
    let (q, n, z) = (put(d, q, &[3, 7]), put(d, n, &[4, 6]), put::<f32>(d, vec![], &[2, 0]));
    let p = put(d, p, &[4, 7]);
    let words: Vec<&str> = name.split(' ').collect();
    let method = |name: &str| METHODS.iter().find(|m| m.0 == name).unwrap().1;
    match words[..] {
        ["quantile", m, "nan"] => n.quantile(0.4, 1, method(m)),
        ["quantile", m, "keep"] => q.quantile(0.35, keep(1), method(m)),
        ["quantile", m, axis] => q.quantile(QS, axes(axis), method(m)),
        ["quantile", m, _, count] => q.slice(s![0, ..count.parse::<isize>().unwrap()]).quantile(QS, 0, method(m)),
        ["percentile"] => q.percentile(vec![0.0, 12.5, 60.0, 100.0], 1, Linear),
        ["nanquantile", "empty"] => z.nanquantile(0.3, 1, Linear),
        ["nanquantile", m, "keep"] => p.nanquantile(0.35, keep(1), method(m)),
        ["nanquantile", m, axis] => p.nanquantile(QS, axes(axis), method(m)),
        ["nanpercentile"] => p.nanpercentile([0.0, 12.5, 60.0, 100.0], 1, Linear),
        ["median", "keep"] => q.median(keep((0, 1))),
        ["nanmedian", "keep"] => n.nanmedian(keep(1)),
        ["median", "empty"] => z.median(1),
        ["nanmedian", "empty"] => z.nanmedian(1),
        ["median", "no", _] => z.median(0),
        ["median", "nan", axis] => n.median(axes(axis)),
        ["nanmedian", "whole", axis] => q.nanmedian(axes(axis)),
        ["median", axis] => q.median(axes(axis)),
        ["nanmedian", axis] => n.nanmedian(axes(axis)),
        _ => panic!("{name}: no call"),
    }
}

on_devices! {
    fn what_numpy_gives(d: &Device) {
        let mut wrong = vec![];
        // on a GPU each call compiles pipelines, so a tenth of the calls run
        for (name, shape, want) in golden(GOLDEN).step_by(if d.is_gpu() { 10 } else { 1 }) {
            let (got_shape, got) = numbers(&call(name, d)).unwrap();
            let close = |(g, w): (&f64, &f64)| g == w || g.is_nan() && w.is_nan() || (g - w).abs() <= 2.5e-6;
            if got_shape != shape || got.len() != want.len() || !got.iter().zip(&want).all(close) {
                wrong.push(format!("{name}: {got_shape:?} {got:?}\n    instead of {shape:?} {want:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn every_type(d: &Device) {
        let few = [F32, I64, U8, F16];
        for t in DType::ALL.into_iter().filter(|t| has(d, *t) && (!d.is_gpu() || few.contains(t))) {
            let mut dice = Dice::new(2);
            let value = |dice: &mut Dice| match t {
                Bool => dice.next() & 1,
                t if t.is_float() => kit::number::round(t, dice.normal()),
                _ => dice.below(100) as u64,
            };
            let bits: Vec<u64> = (0..6 * 20).map(|_| value(&mut dice)).collect();
            let x = kit::array(t, &bits, &[6, 20], d).unwrap();
            let float = match t {
                I64 | U64 => F64,
                t if t.is_float() => t,
                _ => F32,
            };
            for (what, e) in [("whole", x.reshape([6, 20])), ("turned", x.t()), ("steps", x.slice(s![1..;2, ..;-3]))] {
                let n = e.shape().unwrap()[1];
                let sorted = numbers(&e.sort(1)).unwrap().1;
                let want: Vec<f64> = sorted.chunks(n).map(|r| (r[(n - 1) / 2] + r[n / 2]) / 2.0).collect();
                let rounded: Vec<u64> = want.iter().map(|w| kit::number::round(float, *w)).collect();
                // a device without f64 has no median of i64 and u64
                let medians = [e.median(1), e.nanmedian(1), e.quantile(0.5, 1, Linear), e.percentile(50.0, 1, Hazen)];
                for got in medians.iter().filter(|_| kit::has(d, float)) {
                    assert_eq!(got.dtype().unwrap(), float);
                    for (g, w) in read(got).unwrap().iter().zip(&rounded) {
                        let steps = kit::number::place(float, *g) - kit::number::place(float, *w);
                        assert!(steps.abs() <= 1, "median of {t}, {what}: {steps} steps off");
                    }
                }
                // methods that select an element keep its type and its bits
                let picked = e.quantile([0.0, 1.0], 1, Lower);
                assert_eq!(picked.dtype().unwrap(), t);
                let ends = [e.sort(1).slice(s![.., 0]), e.sort(1).slice(s![.., -1])];
                assert_eq!(read(&picked).unwrap(), read(&stack(&ends, 0)).unwrap(), "{t}, {what}");
            }
        }
    }

    fn of_numbers_as_of_rows_without_the_others(d: &Device) {
        let some = [Linear, Lower, AveragedInvertedCdf, NormalUnbiased];
        let (methods, types) = match d.is_gpu() {
            true => (&some[..2], &[F32, F16][..]),
            false => (&some[..], &[F32, F16, BF16, F64][..]),
        };
        for t in types {
            let mut dice = Dice::new(8);
            // rows with no number (only NaN), with one, and with more
            let value = |i: usize, dice: &mut Dice| match dice.below(7) >= i / 30 {
                false => f64::NAN,
                true => dice.normal(),
            };
            let bits: Vec<u64> = (0..8 * 30).map(|i| kit::number::round(*t, value(i, &mut dice))).collect();
            let x = kit::array(*t, &bits, &[8, 30], d).unwrap();
            let cpu = kit::array(*t, &bits, &[8, 30], &Device::cpu()).unwrap();
            let forms: [fn(&Expr) -> Expr; 3] = [|x| x.clone(), |x| x.t(), |x| x.slice(s![..;-1, 3..;2])];
            for (form, method) in forms.iter().flat_map(|f| methods.iter().map(move |m| (f, *m))) {
                let (got, rows) = (form(&x).nanquantile(0.3, 1, method), form(&cpu));
                assert_eq!(got.dtype().unwrap(), *t);
                for (i, got) in read(&got).unwrap().into_iter().enumerate() {
                    let row = rows.slice(s![i as isize]).eval().unwrap();
                    let kept = row.compress(row.isnan().logical_not()).unwrap();
                    let want = if kept.size() == 0 { row.max(0) } else { kept.quantile(0.3, 0, method) };
                    let want = read(&want).unwrap()[0];
                    let nan = kit::number::is_nan(*t, want);
                    assert_eq!(nan, kit::number::is_nan(*t, got), "{t} {method:?}, row {i}");
                    let [got, want] = [got, want].map(|bits| kit::number::real(*t, bits));
                    let most = if method == Lower { 0.0 } else { 2.0 * kit::number::ulp(*t, 2.0) };
                    assert!(nan || (got - want).abs() <= most, "{t} {method:?}, row {i}: {got}, not {want}");
                }
            }
        }
    }

    fn infinite_neighbours_of_numbers(d: &Device) {
        const N: f32 = f32::NAN;
        const I: f32 = f32::INFINITY;
        let x = put(d, vec![I, N, -I, 1., N, 2., -I, N, 0., N], &[2, 5]);
        same(&x.nanquantile([0.0, 0.25, 0.5, 1.0], 1, Linear), &[-I, -I, -I, -I, 1., 0., I, 2.]);
        let far = put(d, vec![f32::MAX, N, f32::MAX], &[3]);
        same(&far.nanquantile([0.3, 0.5], 0, Linear), &[f32::MAX; 2]);
        let whole = put(d, vec![3i64, 1, 2], &[3]);
        if kit::has(d, F64) {
            same(&whole.nanquantile(0.5, 0, Linear), &[2f64]);
        }
        same(&whole.nanpercentile(50.0, 0, Lower), &[2i64]);
    }

    fn several_axes(d: &Device) {
        let x = put::<f32>(d, kit::noise(4, 60), &[3, 4, 5]);
        let flat = x.permute_dims([1, 0, 2]).reshape([4, 15]);
        let numbers = x.nanquantile(0.5, (0, 2), Linear);
        for (a, b) in
            [(x.median((0, 2)), flat.median(1)), (x.nanmedian((2, 0)), flat.median(1)), (numbers, flat.median(1))]
        {
            same(&a, &b.to_vec::<f32>().unwrap());
        }
        assert_eq!(x.median(keep((0, 2))).shape().unwrap(), [1, 4, 1]);
        assert_eq!(x.nanmedian(keep(..)).shape().unwrap(), [1, 1, 1]);
        assert_eq!(x.quantile([0.1, 0.9], keep(1), Linear).shape().unwrap(), [2, 3, 1, 5]);
        assert_eq!(x.quantile([0.1], .., Linear).shape().unwrap(), [1]);
        let computed = &x * 2.0 + 1.0;
        same(&computed.median(-1), &computed.eval().unwrap().median(-1).to_vec::<f32>().unwrap());
        // with an empty list of axes, each element is a row
        let none: &[isize] = &[];
        same(&x.median(none), &x.to_vec::<f32>().unwrap());
        same(&x.slice(s![0, 0, 0]).median(..), &[x.slice(s![0, 0, 0]).item::<f32>().unwrap()]);
    }

    fn equal_and_far_ones(d: &Device) {
        // 0.1 · 0.3 + 0.1 · 0.7 rounds to another number, and the sum of two f32::MAX overflows
        let x = put(d, vec![0.1f32; 4], &[4]);
        same(&x.quantile([0.1, 0.3, 0.77], 0, Linear), &[0.1f32; 3]);
        same(&put(d, vec![f32::MAX; 2], &[2]).median(0), &[f32::MAX]);
        let ends = put(d, vec![f32::NEG_INFINITY, f32::INFINITY, f32::INFINITY, 1.0], &[4]);
        same(&ends.quantile([0.0, 0.5, 1.0], 0, Linear), &[f32::NEG_INFINITY, f32::INFINITY, f32::INFINITY]);
    }
}

/// A single quantile (by selection) has the same bits as among many quantiles (by sorting): in long rows, which threads
/// share, and short ones; with equal values, ±0, infinities, NaN and very different values.
#[test]
fn a_look_gives_what_a_sort_gives() {
    let d = Device::cpu();
    let mut dice = Dice::new(7);
    for (t, shape) in [
        (F32, [1, 200_000]),
        (F64, [2, 66_000]),
        (I64, [1, 150_000]),
        (I32, [1, 65_537]),
        (U8, [1, 100_000]),
        (BF16, [1, 70_000]),
        (F16, [30, 50]),
        (U64, [3, 2]),
    ] {
        let n = shape[0] * shape[1];
        for kind in 0..5 {
            let number = |dice: &mut Dice| -> f64 {
                match kind {
                    0 => dice.below(1000) as f64,
                    1 => dice.below(1 << 20) as f64 / 64.0 - 8192.0,
                    2 => [0.0, -0.0, 0.0, 1.0, -1.0][dice.below(5)],
                    3 => 3.0,
                    _ => {
                        if dice.one_in(5) {
                            [1e30, -1e30, f64::INFINITY, 0.5, 0.25][dice.below(5)]
                        } else {
                            7.0
                        }
                    }
                }
            };
            let bits: Vec<u64> = (0..n)
                .map(|_| {
                    let v = number(&mut dice);
                    if t.is_float() {
                        kit::number::round(t, v)
                    } else {
                        v as i64 as u64 & (u64::MAX >> (64 - 8 * t.size()))
                    }
                })
                .collect();
            let x = kit::array(t, &bits, &shape, &d).unwrap();
            for method in [Linear, Lower, Higher, Midpoint, Nearest] {
                let many = x.quantile([0.3, 0.5, 0.0, 1.0, 0.999], 1, method).eval().unwrap();
                for (i, q) in [0.3, 0.5, 0.0, 1.0, 0.999].into_iter().enumerate() {
                    let (got, want) = (x.quantile(q, 1, method), many.slice(s![i as isize]));
                    assert_eq!(
                        read(&got).unwrap(),
                        read(&want).unwrap(),
                        "{q} of {t} {shape:?}, kind {kind}, {method:?}"
                    );
                }
            }
            if t.is_float() {
                assert_eq!(read(&x.median(1)).unwrap(), read(&x.nanmedian(1)).unwrap(), "{t} {shape:?}, kind {kind}");
            }
        }
    }
    let mut v = vec![1f32; 200_000];
    v[77_777] = f32::NAN;
    let x = put(&d, v, &[200_000]);
    assert!(x.median(0).item::<f32>().unwrap().is_nan());
    assert_eq!(x.nanmedian(0).item::<f32>().unwrap(), 1.0);
}

#[test]
fn what_is_refused() {
    let x = put(&Device::cpu(), vec![1f32; 12], &[3, 4]);
    let line = line!() + 1;
    let e = x.quantile(1.5, 0, Linear).eval().unwrap_err();
    assert_eq!(e.to_string(), format!("quantile: quantile 1.5 is outside 0..=1 ({}:{line}:15)", file!()));
    assert!(error(&x.quantile(f64::NAN, 0, Linear)).starts_with("quantile: quantile NaN is outside"));
    assert!(error(&x.percentile([50.0, -1.0], 0, Linear)).starts_with("percentile: quantile -1 is outside 0..=100"));
    assert!(error(&x.quantile(vec![], 0, Linear)).starts_with("quantile: at least one quantile"));
    assert!(error(&x.quantile(0.5, 2, Linear)).starts_with("quantile: axis 2"));
    assert!(error(&x.median([0, 0])).starts_with("median: axis 0 is named twice"));
    assert!(error(&x.nanmedian(-3)).starts_with("nanmedian: axis -3"));
    assert!(error(&x.nanquantile(-0.5, 0, Linear)).starts_with("nanquantile: quantile -0.5 is outside 0..=1"));
    assert!(
        error(&x.nanpercentile([50.0, 101.0], 0, Linear)).starts_with("nanpercentile: quantile 101 is outside 0..=100")
    );
    let none = x.astype(I32).slice(s![..0]);
    assert!(error(&none.quantile(0.5, 0, Lower)).starts_with("quantile: shape [0, 4] has no elements to pick"));
    same(&none.quantile(0.5, 0, Linear), &[f32::NAN; 4]);
}
