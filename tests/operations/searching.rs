//! Searches among sorted elements and histograms: compared with NumPy (`data/searching.txt`, written by
//! `data/make_sorting.py`), and with plain loops in every type and many layouts.

use crate::kit::{
    self, dice::Dice, error, golden, has, numbers, on_devices, on_other_instruction_sets, own, put, read, same,
};
use cupric::{DType::*, *};

const GOLDEN: &str = include_str!("../data/searching.txt");
const N: f32 = f32::NAN;
const I: f32 = f32::INFINITY;

/// Makes the call that a line of the data names.
fn call(name: &str, d: &Device) -> Expr {
    let ordered = put::<f32>(d, vec![-I, -2., 0., 0., 0., 1.5, 3., 3., I, N, N], &[11]);
    let query = put::<f32>(d, vec![N, -I, -3., -2., 0., -0., 1.5, 2., 3., 4., I, 1e30], &[3, 4]);
    let places = put::<f32>(d, vec![N, -I, I, -3., -2., -1.5, -1., 0., 0.5, 1., 4., 5.], &[3, 4]);
    let (xp, fp) = (put(d, vec![-2f32, -1., 0.5, 0.5, 4.], &[5]), put(d, vec![1f32, 3., -2., 7., 0.25], &[5]));
    let x = vec![0., 0.5, 1., 1.5, 2., 2.5, 3., 4., -1., 5., N, 4., 1., I, -I, 0.25, 3.75];
    let y = vec![1., 1., 0.5, 2., 2., 2.5, 1., 0., 1., 2., 2., 0.5, N, 1., 1., 0., 0.25];
    let finite: Vec<f32> = x.iter().copied().filter(|x| x.is_finite()).collect();
    let both = |of: &[f32], with: &[f32]| -> Vec<f32> {
        of.iter().zip(with).filter(|(a, b)| a.is_finite() && b.is_finite()).map(|(a, _)| *a).collect()
    };
    let [bx, by] = [both(&x, &y), both(&y, &x)].map(|v| put(d, v.clone(), &[v.len()]));
    let (finite, h) = (put(d, finite.clone(), &[finite.len()]), put(d, x, &[17]));
    let g = put(d, y, &[17]);
    let words: Vec<&str> = name.split(' ').collect();
    let side = |word: &str| if word == "left" { Side::Left } else { Side::Right };
    let histogram = |which: &str, bins: &str| match which {
        "all" => finite.histogram(bins.parse().unwrap(), None),
        "part" => h.histogram(bins.parse().unwrap(), Some((0.5, 4.0))),
        _ => h.histogram(bins.parse().unwrap(), Some((1.0, 1.0))),
    };
    let plane = || bx.histogram2d(&by, [3, 4], None);
    match words[..] {
        ["searchsorted", s] => searchsorted(&ordered, &query, side(s), None),
        ["searchsorted", s, "sorter"] => {
            let x = put(d, vec![5f32, -1., 3., 2., 8., 2.], &[6]);
            searchsorted(&x, &query, side(s), Some(&x.argsort(0)))
        }
        ["searchsorted", s, n] => {
            let n: i32 = n.parse().unwrap();
            let [line, x] = [arange(1, n + 1, 1, F32) * 0.5, arange(0, 18, 1, F32) * 0.5];
            searchsorted(line.to_device(d).unwrap(), x.to_device(d).unwrap(), side(s), None)
        }
        ["digitize", "up", s] => query.digitize(ordered.slice(s![1..8]), s == "right"),
        ["digitize", "down", s] => query.digitize(ordered.slice(s![7..0;-1]), s == "right"),
        ["digitize", "one", s] => query.digitize(ordered.slice(s![5..6]), s == "right"),
        ["digitize", _, s] => query.digitize(ordered.slice(s![..0]), s == "right"),
        ["interp"] => interp(&places, &xp, &fp),
        ["interp", "one"] => interp(&places, xp.slice(s![..1]), fp.slice(s![..1])),
        ["interp", "ends"] => interp(&places, put(d, vec![-2f32, -2., 0.5, 4., 4.], &[5]), &fp),
        ["interp", "two"] => interp(&places, xp.slice(s![..2]), fp.slice(s![..2])),
        ["interp", _] => interp(&places, xp.slice(s![..3]), put::<f32>(d, vec![I, I, 2.], &[3])),
        ["histogram", "with"] => h.histogram_with_edges(put(d, vec![0f32, 0.5, 0.5, 2., 3., 4.], &[6])),
        ["histogram", "one", _] => h.histogram_with_edges(put(d, vec![1f32], &[1])),
        ["histogram", "two", _] => h.histogram_with_edges(put(d, vec![1f32, 1.], &[2])),
        ["histogram", "integers"] => put(d, vec![1, 5, 2, 2, 3, 9, -4], &[7]).histogram(5, None).0,
        ["histogram", "empty"] => put::<f32>(d, vec![], &[2, 0]).histogram(4, None).0,
        ["edges", "empty"] => put::<f32>(d, vec![], &[2, 0]).histogram(4, None).1,
        ["histogram", "equal"] => put(d, vec![2f32; 3], &[3]).histogram(2, None).0,
        ["edges", "equal"] => put(d, vec![2f32; 3], &[3]).histogram(2, None).1,
        ["histogram", which, bins] => histogram(which, bins).0,
        ["edges", which, bins] => histogram(which, bins).1,
        ["histogram2d"] => plane().0,
        ["edges2d", "x"] => plane().1,
        ["edges2d", _] => plane().2,
        ["histogram2d", _] => h.histogram2d(&g, [5, 2], Some([(0.0, 4.0), (0.5, 2.0)])).0,
        _ => panic!("{name}: no call"),
    }
}

/// Sorted elements of a type, and others to search for. Many are equal, and floats include NaN.
fn operands(d: &Device, dtype: DType, seed: u64, n: usize, m: usize) -> (Array, Array) {
    let mut dice = Dice::new(seed);
    let mut of = |n: usize| {
        let bits: Vec<u64> = (0..n)
            .map(|_| match dtype {
                Bool => dice.next() & 1,
                t if t.is_float() => {
                    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
                    let v = if dice.one_in(9) { special[dice.below(5)] } else { dice.below(60) as f64 / 8.0 - 3.0 };
                    kit::number::round(t, v)
                }
                t if dice.one_in(2) => kit::number::wrap(t, dice.below(20) as i128),
                t => dice.next() >> (64 - 8 * t.size()),
            })
            .collect();
        kit::array(dtype, &bits, &[n], d).unwrap()
    };
    (of(n).sort(0).eval().unwrap(), of(m))
}

/// Whether one element is less than another, where NaN is greater than all others.
fn less(t: DType, a: u64, b: u64) -> bool {
    if !t.is_float() {
        return kit::number::integer(t, a) < kit::number::integer(t, b);
    }
    let (a, b) = (kit::number::real(t, a), kit::number::real(t, b));
    a < b || b.is_nan() && !a.is_nan()
}

fn check(sorted: &Expr, x: &Expr, what: &str) {
    let t = x.dtype().unwrap();
    let (own, wanted) = (read(sorted).unwrap(), read(x).unwrap());
    for side in [Side::Left, Side::Right] {
        let place = |x: u64| match side {
            Side::Left => own.iter().filter(|v| less(t, **v, x)).count() as i64,
            Side::Right => own.iter().filter(|v| !less(t, x, **v)).count() as i64,
        };
        let want: Vec<i64> = wanted.iter().map(|x| place(*x)).collect();
        let e = searchsorted(sorted, x, side, None);
        assert_eq!(e.shape().unwrap(), x.shape().unwrap());
        assert_eq!(e.to_vec::<i64>().unwrap(), want, "{what}, {} among {}", wanted.len(), own.len());
        assert_eq!(x.digitize(sorted, side == Side::Left).to_vec::<i64>().unwrap(), want, "{what}");
        // descending bins; they must not contain NaN, which has no order there
        if !own.iter().any(|v| t.is_float() && kit::number::is_nan(t, *v)) {
            let n = own.len() as i64;
            let falls = own.first().is_some_and(|v| less(t, *v, own[own.len() - 1]));
            let want = want.iter().map(|i| if falls { n - i } else { *i });
            let got = x.digitize(sorted.flip(0), side == Side::Left).to_vec::<i64>().unwrap();
            assert_eq!(got, want.collect::<Vec<_>>(), "{what}");
        }
    }
}

/// The counts of a histogram with these edges, by a plain loop.
fn counts(x: &Expr, edges: &Expr) -> Vec<i64> {
    let ([_, x], [_, edges]) = ([0, 1].map(|_| numbers(x).unwrap().1), [0, 1].map(|_| numbers(edges).unwrap().1));
    let bins = edges.len() - 1;
    let is_in = |x: f64, i: usize| edges[i] <= x && (x < edges[i + 1] || i + 1 == bins && x == edges[bins]);
    (0..bins).map(|i| x.iter().filter(|x| is_in(**x, i)).count() as i64).collect()
}

/// Large arrays are counted by blocks along one of their axes.
#[test]
fn histograms_of_blocks() {
    let n = 4_500_000;
    let x = Rng::new(3).normal([n], F32).eval().unwrap();
    let ends = [-2.0, -1.0, 0.25, 0.5, 2.0];
    let rows = x.reshape([3, n / 3]);
    let half = x.astype(F16).eval().unwrap();
    let shapes: [(&str, Expr); 7] = [
        ("a vector", x.reshape([n])),
        ("long rows", rows.clone()),
        ("columns", rows.t()),
        ("three axes", x.reshape([100, 450, 100]).permute_dims([2, 0, 1])),
        ("a formula of columns", rows.t() * 0.5 - rows.mean(1)),
        ("half precision", half.reshape([n / 5, 5])),
        ("half precision, computed", half.reshape([n / 5, 5]) * 2.0 + 0.125),
    ];
    for (name, e) in shapes {
        let (got, found) = e.histogram(5, Some((-1.5, 1.0)));
        let got = got.to_vec::<i64>().unwrap();
        let (all, edges) = e.histogram(7, None);
        let all = all.to_vec::<i64>().unwrap();
        // the reference reads the values as they are stored
        let e: Expr = e.eval().unwrap().into();
        assert_eq!(got, counts(&e, &found), "{name}");
        assert_eq!((all.iter().sum::<i64>(), &all), (n as i64, &counts(&e, &edges)), "{name}");
        let given = put(&Device::cpu(), ends.to_vec(), &[5]).astype(e.dtype().unwrap());
        assert_eq!(e.histogram_with_edges(&given).to_vec::<i64>().unwrap(), counts(&e, &given), "{name}");
        // the sums of weights
        let weights = (e.abs() * 16.0).floor().minimum(40.0).astype(I32);
        let sums = e.histogram_with_edges_weighted(&weights, &given).to_vec::<i64>().unwrap();
        let floats = e.histogram_with_edges_weighted(weights.astype(F64), &given).to_vec::<f64>().unwrap();
        let is_in = |i: usize| {
            let [low, high] = [i, i + 1].map(|i| ends[i]);
            let below = if i == 3 { e.less_equal(high) } else { e.less(high) };
            (e.greater_equal(low) & below) * &weights
        };
        let want: Vec<i64> = (0..4).map(|i| is_in(i).sum(..).item().unwrap()).collect();
        assert_eq!(sums, want, "{name}");
        assert_eq!(floats, want.iter().map(|v| *v as f64).collect::<Vec<_>>(), "{name}");
        // two dimensions, where a pair has one operand twice
        let (plane, first, _) = e.histogram2d(&e, [3, 3], None);
        let diagonal = plane.diagonal(0).to_vec::<i64>().unwrap();
        assert_eq!(diagonal, counts(&e, &first), "{name}");
        assert_eq!(plane.sum(..).item::<i64>().unwrap(), n as i64, "{name}");
    }
    // integers, and numbers in no bin
    let whole = (arange(0, n, 1, I32) % 1000).eval().unwrap();
    assert_eq!(whole.histogram(10, Some((0.0, 1000.0))).0.to_vec::<i64>().unwrap(), [n as i64 / 10; 10]);
    let outside = select(whole.less(1), f32::NAN, whole.astype(F32));
    assert_eq!(outside.histogram(2, Some((1.0, 2.0))).0.to_vec::<i64>().unwrap(), [4500, 4500]);
    // the derivative with respect to the weights
    let weights = ones([n], F64).eval().unwrap();
    let [slope] =
        grad(&(x.histogram_with_edges_weighted(&weights, array![-1., 0., 1.]) * array![2., 5.]).sum(..), [&weights]);
    let inside = [x.greater_equal(-1.0) & x.less(0.0), x.greater_equal(0.0) & x.less_equal(1.0)];
    let want = inside[0].astype(F64) * 2.0 + inside[1].astype(F64) * 5.0;
    assert!(array_equal(&slope.eval().unwrap(), &want.eval().unwrap()).unwrap());
}

/// The bins of all elements are never in memory together.
#[test]
fn a_histogram_needs_the_memory_of_a_block() {
    let x = zeros([1000, 20_000], U8).eval().unwrap();
    for e in [x.histogram(10, Some((0.0, 5.0))).0, x.histogram_with_edges(array![0u8, 1, 2])] {
        let text = e.plan().unwrap().to_string();
        let line = text.lines().find_map(|l| l.trim().strip_prefix("temporaries: ")).unwrap();
        let bytes = line.split(", ").map(|temp| temp.split(' ').nth(1).unwrap().parse::<usize>().unwrap());
        let most = bytes.max().unwrap();
        assert!((1 << 20..=9 << 20).contains(&most), "{most} bytes:\n{text}");
    }
}

on_devices! {
    fn what_numpy_gives(d: &Device) {
        let mut wrong = vec![];
        // on a GPU each call compiles pipelines, so a third of the calls run
        for (name, shape, want) in golden(GOLDEN).step_by(if d.is_gpu() { 3 } else { 1 }) {
            let (got_shape, got) = numbers(&call(name, d)).unwrap();
            let exact = !name.starts_with("edges") && !name.starts_with("interp");
            let close = |(g, w): (&f64, &f64)| {
                g == w || g.is_nan() && w.is_nan() || !exact && (g - w).abs() <= 3e-7 * w.abs().max(1.0)
            };
            if got_shape != shape || got.len() != want.len() || !got.iter().zip(&want).all(close) {
                wrong.push(format!("{name}: {got_shape:?} {got:?}\n    instead of {shape:?} {want:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn every_type(d: &Device) {
        let few = [F32, I64, U8, F16, Bool];
        for t in DType::ALL.into_iter().filter(|t| has(d, *t) && (!d.is_gpu() || few.contains(t))) {
            let (sorted, x) = operands(d, t, 3, 37, 50);
            check(&sorted, &x, t.name());
            if d.is_gpu() { continue }
            for n in [0, 1, 2, 3, 4, 7, 8, 9, 1000] {
                let (sorted, x) = operands(d, t, 4, n, 50);
                check(&sorted, &x, t.name());
            }
        }
    }

    fn layouts(d: &Device) {
        let (sorted, x) = operands(d, F32, 8, 40, 60);
        let x = x.reshape([6, 10]);
        check(&sorted.slice(s![2..;3]), &x.t(), "transposed");
        check(&sorted.flip(0).flip(0), &x.slice(s![1.., ..;-3]), "steps");
        check(&sorted, &x.slice(s![0]).broadcast_to([3, 10]), "broadcast");
        check(&sorted, &x.slice(s![0, 0]), "one");
        check(&sorted, &x.slice(s![..0]), "none");
        // computed operands, and plain numbers of each type
        let (twice, double) = (sorted.maximum(-2.0) * 2.0, x.maximum(0.0) * 2.0);
        check(&twice, &double, "computed");
        assert_eq!(searchsorted(sorted.slice(s![5..]), -100, Side::Left, None).item::<i64>().unwrap(), 0);
        let whole = put(d, vec![1u64, 5, u64::MAX], &[3]);
        let signed = put(d, vec![-7i64, 1, 5, i64::MAX], &[4]);
        assert_eq!(searchsorted(&whole, &signed, Side::Right, None).to_vec::<i64>().unwrap(), [0, 1, 2, 2]);
        assert_eq!(searchsorted(&signed, &whole, Side::Left, None).to_vec::<i64>().unwrap(), [1, 2, 4]);
    }

    // Searches with more steps than fit into one kernel.
    fn long_ones(d: &Device) {
        let n = 70_001i64;
        let sorted = arange(0, n, 1, F32).to_device(d).unwrap();
        let x: Vec<f32> = (0..300).map(|i| i as f32 * 250.5 - 1000.0).collect();
        let want = |before: fn(f64) -> f64| x.iter().map(|x| before(*x as f64).clamp(0.0, n as f64) as i64).collect::<Vec<_>>();
        let e = put(d, x.clone(), &[300]);
        same(&searchsorted(&sorted, &e, Side::Left, None), &want(f64::ceil));
        same(&searchsorted(&sorted, &e, Side::Right, None), &want(|x| x.floor() + 1.0));
        let line = interp(&e, &sorted, &sorted * 2.0).to_vec::<f32>().unwrap();
        let exact = x.iter().map(|x| (x * 2.0).clamp(0.0, 2.0 * (n - 1) as f32));
        assert!(line.iter().zip(exact).all(|(a, b)| (a - b).abs() <= 1e-6 * b), "{line:?}");
    }

    fn histograms(d: &Device) {
        let few = [F32, I64, U8, F16];
        for t in DType::ALL.into_iter().filter(|t| has(d, *t) && (!d.is_gpu() || few.contains(t))) {
            let mut dice = Dice::new(5);
            let value = |dice: &mut Dice| match t {
                Bool => dice.next() & 1,
                t if t.is_float() && dice.one_in(20) => kit::number::round(t, f64::NAN),
                t if t.is_float() => kit::number::round(t, dice.normal()),
                _ => dice.below(100) as u64,
            };
            let x = kit::array(t, &(0..600).map(|_| value(&mut dice)).collect::<Vec<_>>(), &[20, 30], d).unwrap();
            for e in [x.t(), x.slice(s![..;-2, 3..])] {
                let (low, high) = if t.is_float() { (-1.5, 1.25) } else { (0.0, 50.0) };
                for bins in [1, 7, 100] {
                    let (got, edges) = e.histogram(bins, Some((low, high)));
                    assert_eq!(edges.dtype().unwrap(), if t.is_float() { t } else { F32 });
                    assert_eq!(got.to_vec::<i64>().unwrap(), counts(&e, &edges), "{bins} bins of {t}");
                }
                let numbers = if t.is_float() { select(e.isnan(), full((), 0.5, t), &e) } else { e.clone() };
                let (got, edges) = numbers.histogram(9, None);
                let got = got.to_vec::<i64>().unwrap();
                assert_eq!(got, counts(&numbers, &edges), "{t}");
                assert_eq!(got.iter().sum::<i64>() as usize, numbers.size().unwrap(), "{t}");
            }
        }
    }

    fn planes(d: &Device) {
        let mut dice = Dice::new(6);
        let mut of = |n: usize| put::<f32>(d, (0..n).map(|_| dice.normal() as f32).collect::<Vec<_>>(), &[n]);
        let (x, y) = (of(300), of(300));
        let (got, ex, ey) = x.histogram2d(&y, [4, 3], Some([(-1.0, 1.0), (-0.5, 2.0)]));
        // a row of the 2-d histogram is the histogram of the elements in one bin
        let place = x.digitize(&ex, false).to_vec::<i64>().unwrap();
        let all = y.to_vec::<f32>().unwrap();
        let rows = (1..5).flat_map(|i| {
            let own: Vec<f32> = all.iter().zip(&place).filter(|(_, p)| **p == i).map(|(y, _)| *y).collect();
            counts(&put(d, own.clone(), &[own.len()]), &ey)
        });
        assert_eq!(got.shape().unwrap(), [4, 3]);
        assert_eq!(got.to_vec::<i64>().unwrap(), rows.collect::<Vec<_>>());
    }

    fn positions_that_are_not_there(d: &Device) {
        let d = &own(d);
        let x = put(d, vec![5f32, 1., 3.], &[3]);
        let e = searchsorted(&x, 2.0, Side::Left, Some(&put(d, vec![7, 7, 7], &[3]))).to_vec::<i64>().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Index, "{e}");
    }

    fn nan_in_the_range(d: &Device) {
        let d = &own(d);
        for bad in [N, f32::INFINITY, -f32::INFINITY] {
            let x = put(d, vec![1f32, bad, 3.], &[3]);
            let (counts, edges) = x.histogram(2, None);
            let (sums, _) = x.histogram_weighted(1.0, 2, None);
            let (plane, ..) = x.histogram2d(&x, [2, 2], None);
            let errors = [counts.to_vec::<i64>().err(), edges.to_vec::<f32>().err(), sums.to_vec::<f32>().err(), plane.to_vec::<i64>().err()];
            for e in errors {
                let e = e.expect("it should be refused");
                assert_eq!(e.kind(), ErrorKind::Argument, "{e}");
                assert!(e.to_string().starts_with("histogram: the array contains a NaN or an infinity"), "{e}");
                assert!(e.to_string().contains("searching.rs"), "{e}");
            }
            // with a range, such elements are not counted
            same(&x.histogram(2, Some((0.0, 4.0))).0, &[1i64, 1]);
        }
        same(&put(d, vec![1f32, 2., 3.], &[3]).histogram(2, None).0, &[1i64, 2]);
    }
}

/// On a GPU, a search and the elementwise operations on its result are one kernel.
#[cfg(feature = "gpu")]
#[test]
fn one_kernel() {
    let Some(d) = kit::gpu(1) else { return };
    let (sorted, x) = (put(&d, vec![1f32; 5000], &[5000]), put(&d, vec![1f32; 300], &[300]));
    let [bins, points] = [sorted.slice(s![..1000]), sorted.slice(s![..200])];
    let found = [
        searchsorted(&sorted, &x, Side::Left, None) * 2 + 1,
        searchsorted(&sorted, &x, Side::Right, None) * 2 + 1,
        x.digitize(&bins, false),
        x.digitize(&bins, true),
        interp(&x, &points, &points),
    ];
    let kernels: Vec<usize> = found.iter().map(|e| e.plan().unwrap().kernels()).collect();
    assert_eq!(kernels, [1; 5]);
}

#[test]
fn what_is_refused() {
    let d = Device::cpu();
    let (x, square) = (put(&d, vec![1f32, 2., 3.], &[3]), put(&d, vec![1f32; 4], &[2, 2]));
    let line = line!() + 1;
    let e = searchsorted(&square, &x, Side::Left, None).eval().unwrap_err();
    let wanted = "searchsorted: the sorted array has shape [2, 2]; one axis is needed";
    assert_eq!(e.to_string(), format!("{wanted} ({}:{line}:13)", file!()));
    let order = |v: Vec<i32>| put(&d, v.clone(), &[v.len()]);
    let sorter = |v: Vec<i32>| error(&searchsorted(&x, &x, Side::Left, Some(&order(v))));
    assert!(sorter(vec![0, 1]).starts_with("searchsorted: a sorter of shape [2] for an array of 3 elements"));
    assert!(error(&searchsorted(&x, &x, Side::Left, Some(&x))).starts_with("take: indices have dtype f32"));
    assert!(error(&x.digitize(&square, false)).starts_with("digitize: the array of bins has shape [2, 2]"));
    assert!(error(&interp(&x, &square, &x)).starts_with("interp: the array of points has shape [2, 2]"));
    assert!(error(&interp(&x, &x, x.slice(s![1..]))).starts_with("interp: points of shapes [3] and [2]"));
    assert!(error(&interp(&x, x.slice(s![..0]), x.slice(s![..0]))).starts_with("interp: points of shapes [0] and [0]"));
    assert!(error(&x.histogram(0, None).1).starts_with("histogram: at least one bin"));
    assert!(error(&x.histogram(2, Some((1.0, 0.0))).0).starts_with("histogram: the range 1 to 0 must be finite"));
    assert!(
        error(&x.histogram(2, Some((0.0, f64::NAN))).0).starts_with("histogram: the range 0 to NaN must be finite")
    );
    assert!(error(&x.histogram(1 << 31, None).0).starts_with("histogram: 2147483648 bins"));
    assert!(error(&x.histogram_with_edges(&square)).starts_with("histogram_with_edges: the array of edges has shape"));
    assert!(error(&x.histogram_with_edges(x.slice(s![..0]))).starts_with("histogram_with_edges: at least one edge"));
    assert!(error(&x.histogram2d(&square, [2, 2], None).2).starts_with("histogram2d: shapes [3] and [2, 2] differ"));
    assert!(error(&x.histogram2d(&x, [1 << 20, 1 << 20], None).0).starts_with("histogram2d: 1048576 × 1048576 bins"));
}

/// Elements in which the extremes repeat, with zeros of both signs. With `nan`, one of them is NaN.
fn with_repeats(n: usize, nan: Option<usize>, dice: &mut Dice) -> Vec<f32> {
    let mut x: Vec<f32> = (0..n).map(|_| [-0.0, 0.0, -2.0, 2.0, -I, I, 1.5][dice.below(7)]).collect();
    if dice.one_in(2) {
        // only zeros, of which the first one is the largest and the smallest
        x = x.iter().map(|x| x * 0.0).map(|x| if x.is_nan() { 0.0 } else { x }).collect();
    }
    if let Some(at) = nan {
        x[at] = N;
    }
    x
}

#[test]
fn positions_of_the_first_extremes() {
    let mut dice = Dice::new(11);
    let d = Device::cpu();
    let first = |x: &[f32], better: fn(f32, f32) -> bool| {
        let mut best = 0;
        for (i, y) in x.iter().enumerate() {
            if !x[best].is_nan() && (better(*y, x[best]) || y.is_nan()) {
                best = i;
            }
        }
        best as i64
    };
    // around the lengths of vectors, pieces and parts of threads
    for n in [1, 31, 32, 33, 63, 64, 65, 127, 129, 2047, 2048, 2049, 4097, 10_000, 300_001] {
        for nan in [None, Some(0), Some(n / 2), Some(n - 1)] {
            let x = with_repeats(n, nan, &mut dice);
            let want = [first(&x, |x, y| x > y), first(&x, |x, y| x < y)];
            let reversed: Vec<f32> = x.iter().rev().copied().collect();
            let twice: Vec<f32> = x.iter().flat_map(|x| [*x, N]).collect();
            let layouts = [
                put(&d, x.clone(), &[n]).slice(s![..]),
                put(&d, reversed, &[n]).flip(0),
                put(&d, twice, &[n, 2]).slice(s![.., 0]),
                put(&d, [&[N], &x[..]].concat(), &[n + 1]).slice(s![1..]),
            ];
            for (layout, x) in layouts.iter().enumerate() {
                let found = [x.argmax(..), x.argmin(..)].map(|at| at.item::<i64>().unwrap());
                assert_eq!(found, want, "{n} elements, NaN at {nan:?}, layout {layout}");
                let as_f64 = x.astype(F64).argmax(..).item::<i64>().unwrap();
                assert_eq!(as_f64, want[0], "{n} elements of f64, NaN at {nan:?}, layout {layout}");
            }
        }
    }
}

#[test]
fn positions_on_every_instruction_set() {
    on_other_instruction_sets(module_path!(), &["positions_of_the_first_extremes"]);
}
