//! Sums by key: `index_add` of floats and bools, `segment_sum`, `bincount_weighted`, weighted histograms, `reduce_at`.
//! Compared with NumPy (`data/segments.txt`, by `data/make_sorting.py`) and loops, in every type and many layouts.

use crate::kit::{self, dice::Dice, error, golden, has, number, numbers, on_devices, own, put, read, same};
use cupric::{DType::*, *};

const GOLDEN: &str = include_str!("../data/segments.txt");
const FLOATS: [DType; 4] = [F16, BF16, F32, F64];

/// A reference sum: its value and the rounding error, the sum of magnitudes, and the number of terms.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    rest: f64,
    size: f64,
    terms: usize,
}

impl Sum {
    fn add(&mut self, x: f64) {
        let value = self.value + x;
        let of_x = value - self.value;
        let rest = self.rest + ((self.value - (value - of_x)) + (x - of_x));
        *self = Sum { value, rest, size: self.size + x.abs(), terms: self.terms + 1 };
    }
}

/// Asserts that sums are within the bound `tree` of the contract: (log₂ n + 16)·u·Σ|x|.
#[track_caller]
fn near(e: &Expr, t: DType, want: &[Sum], what: &str) {
    assert_eq!(e.dtype().unwrap(), t, "{what}");
    let got = read(e).unwrap();
    assert_eq!(got.len(), want.len(), "{what}");
    let unit = if t == F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let (got, ulp) = (number::real(t, *got), number::ulp(t, want.value));
        let tree = ((want.terms.max(1) as f64).log2().ceil() + 16.0) * unit * want.size;
        let allowed = if matches!(t, F16 | BF16) { tree + ulp } else { tree.max(ulp) };
        let right = (got - want.value - want.rest).abs() <= allowed || got == want.value;
        assert!(right, "{what}: element {i} is {got:e}, not {:e} (allowed {allowed:e})", want.value);
    }
}

/// Random bits of a type: floats of several magnitudes, or integers.
fn random(dice: &mut Dice, t: DType, n: usize) -> Vec<u64> {
    let of = |dice: &mut Dice| match t {
        Bool => dice.next() & 1,
        t if t.is_float() => number::round(t, dice.normal() * [1.0, 30.0, 0.01][dice.below(3)]),
        t => number::wrap(t, dice.between(-50, 50) as i128),
    };
    (0..n).map(|_| of(dice)).collect()
}

fn types(d: &Device, gpu: &[DType]) -> impl Iterator<Item = DType> {
    let (d, gpu) = (d.clone(), gpu.to_vec());
    DType::ALL.into_iter().filter(move |t| has(&d, *t) && (!d.is_gpu() || gpu.contains(t)))
}

/// The sums of rows by key, computed from the bits of the rows.
fn by_key(t: DType, keys: &[i64], bits: &[u64], count: usize, length: usize) -> Vec<Sum> {
    let mut sums = vec![Sum::default(); count * length];
    for (i, key) in keys.iter().enumerate() {
        for c in 0..length {
            sums[*key as usize * length + c].add(number::real(t, bits[i * length + c]));
        }
    }
    sums
}

/// The sums of integers by key, from the bits of the integers. They wrap.
fn whole_by_key(t: DType, keys: &[i64], bits: &[u64], count: usize) -> Vec<i64> {
    let mut sums = vec![0i64; count];
    for (key, x) in keys.iter().zip(bits) {
        let sum = &mut sums[*key as usize];
        *sum = sum.wrapping_add(number::integer(t, *x) as i64);
    }
    sums
}

/// Makes the call that a line of the data names.
fn call(name: &str, d: &Device) -> Expr {
    let x = put(d, (0..24).map(|i| ((i * 7 + 3) % 11) as f32 * 0.5 - 2.0).collect::<Vec<_>>(), &[4, 6]);
    let i = put(d, vec![2i32, 0, 2, 3, 0, 2], &[6]);
    let v = x.slice(s![1]);
    let at = |text: &str| {
        let all: Vec<i64> = text.split(',').map(|n| n.parse().unwrap()).collect();
        put(d, all.clone(), &[all.len()])
    };
    let wide = if has(d, F64) { F64 } else { F32 };
    let words: Vec<&str> = name.split(' ').collect();
    match words[..] {
        ["add.at", "0"] => x.index_add(0, &i, x.take(put(d, vec![3i32, 2, 1, 0, 1, 2], &[6]), 0) * 2.0),
        ["add.at", "1"] => x.index_add(1, at("5,-1,0,5"), x.slice(s![.., 1..5])),
        ["add.at", "number"] => x.index_add(-2, at("0,0,0,-4,1"), 0.25),
        ["add.at", _] => x.greater(1.5).index_add(0, at("1,1"), x.slice(s![2..4]).greater(0.0)),
        ["bincount", "weights"] => i.bincount_weighted(&v, 5),
        ["bincount", _] => i.bincount_weighted(i.astype(U8), 5).astype(wide),
        ["histogram", "range"] => v.histogram_weighted(x.slice(s![2]), 3, Some((-1.0, 2.5))).0,
        ["histogram", "all"] => v.histogram_weighted(x.slice(s![2]), 4, None).0,
        ["histogram", "edges"] => {
            v.histogram_with_edges_weighted(x.slice(s![2]), put(d, vec![-1f32, 0., 0.5, 3.], &[4]))
        }
        ["histogram", _] => v.histogram_weighted(&i, 3, Some((-1.0, 2.5))).0.astype(wide),
        ["reduceat", offsets, axis] => x.reduce_at(at(offsets), axis.parse::<isize>().unwrap()),
        ["reduceat", offsets, axis, _] => {
            (&x * 2).astype(I16).reduce_at(at(offsets), axis.parse::<isize>().unwrap()).astype(wide)
        }
        _ => panic!("{name}: no call"),
    }
}

on_devices! {

    fn as_numpy(d: &Device) {
        let mut wrong = vec![];
        for (name, shape, want) in golden(GOLDEN) {
            let e = call(name, d);
            let e = if has(d, F64) { e } else { e.astype(F32) };
            let (got_shape, got) = numbers(&e).unwrap_or_else(|e| panic!("{name}: {e}"));
            if got_shape != shape || got != want {
                wrong.push(format!("{name}: {got_shape:?} {got:?}\n    instead of {shape:?} {want:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn sums_of_every_type(d: &Device) {
        // one case for each of the CPU's ways: one table, several, ranges of keys, chunks of rows, blocks of columns
        let all = [
            (1, 1, 1), (2, 1, 9), (7, 1, 3), (300, 1, 5), (1000, 3, 40), (33, 70, 6), (200_000, 1, 17), (70_000, 3, 2),
            (3000, 1, 100_000), (70_000, 1, 90_000), (40_000, 2, 50_000), (20, 3000, 40),
        ];
        let few = [(1, 1, 1), (300, 1, 5), (1000, 3, 400), (3000, 1, 70_000)];
        let mut dice = Dice::new(3);
        for t in types(d, &[F32, F16, F64, U8, I64]) {
            for (rows, length, count) in if d.is_gpu() { &few[..] } else { &all[..] }.iter().copied() {
                if !t.is_float() && rows * length > 5000 {
                    continue;
                }
                let keys: Vec<i64> = (0..rows).map(|_| dice.below(count) as i64).collect();
                let bits = random(&mut dice, t, rows * length);
                let x = kit::array(t, &bits, &[rows, length], d).unwrap();
                let segments = put(d, keys.iter().map(|k| *k as i32).collect::<Vec<_>>(), &[rows]);
                let what = format!("{rows} × {length} of {t} by {count}, {d:?}");
                let e = x.segment_sum(&segments, count);
                assert_eq!(e.shape().unwrap(), [count, length], "{what}");
                if t.is_float() {
                    let want = by_key(t, &keys, &bits, count, length);
                    near(&e, t, &want, &what);
                    // a sum without terms is +0, not −0
                    let got = read(&e).unwrap();
                    assert!(got.iter().zip(&want).all(|(g, w)| w.terms > 0 || *g == 0), "{what}");
                } else if length == 1 {
                    let want = whole_by_key(t, &keys, &bits, count);
                    let e = e.reshape([-1]);
                    let weighted = segments.bincount_weighted(x.reshape([-1]), count);
                    match t.is_unsigned_integer() {
                        true => [e, weighted].iter().for_each(|e| same(e, &want.iter().map(|w| *w as u64).collect::<Vec<_>>())),
                        false => [e, weighted].iter().for_each(|e| same(e, &want)),
                    }
                }
            }
        }
    }

    // All rows have one key, or the rows are in the order of keys: the error of long sums stays within the bound.
    fn long_segments(d: &Device) {
        let n = if d.is_gpu() { 60_001 } else { 3_000_001 };
        let mut dice = Dice::new(8);
        for t in [F32, BF16, F64].into_iter().filter(|t| has(d, *t)) {
            let bits: Vec<u64> = (0..n).map(|_| number::round(t, dice.unit())).collect();
            let x = kit::array(t, &bits, &[n], d).unwrap();
            for cuts in [vec![], vec![1, 2, 3, 5000, n / 2]] {
                let mut begins = vec![0];
                begins.extend(cuts.iter().copied());
                let mut keys = vec![0i64; n];
                let mut key = -1;
                for (i, k) in keys.iter_mut().enumerate() {
                    key += i64::from(begins.contains(&i));
                    *k = key;
                }
                let want = by_key(t, &keys, &bits, begins.len(), 1);
                let at = put(d, begins.iter().map(|b| *b as i64).collect::<Vec<_>>(), &[begins.len()]);
                near(&x.segment_sum(put(d, keys, &[n]), begins.len()), t, &want, "by key");
                near(&x.reduce_at(&at, 0), t, &want, "between positions");
            }
        }
    }

    fn additions_in_every_layout(d: &Device) {
        let mut dice = Dice::new(4);
        for t in types(d, &[F32, BF16]).filter(|t| t.is_float()) {
            let bits = random(&mut dice, t, 3 * 7 * 5);
            let more = random(&mut dice, t, 9 * 9 * 9);
            let x = kit::array(t, &bits, &[3, 7, 5], d).unwrap();
            let y = kit::array(t, &more, &[9, 9, 9], d).unwrap();
            let layouts: Vec<(&str, Expr)> = vec![
                ("whole", x.clone().into()),
                ("reversed axes", x.permute_dims([2, 1, 0])),
                ("turned", x.permute_dims([1, 2, 0])),
                ("every other, backwards", x.slice(s![.., ..;2, ..;-1])),
                ("broadcast", x.slice(s![0..1]).broadcast_to([4, 7, 5])),
                ("computed", -(&x + 0.0)),
                ("a vector", x.slice(s![1, .., 2])),
            ];
            for (name, e) in layouts.into_iter().take(if d.is_gpu() { 3 } else { 9 }) {
                let shape = e.shape().unwrap().to_vec();
                let own: Vec<f64> = read(&e).unwrap().iter().map(|b| number::real(t, *b)).collect();
                for axis in 0..shape.len() {
                    let n = shape[axis] as i64;
                    let at: Vec<i64> = (0..9).map(|_| dice.between(-n, n - 1)).collect();
                    let mut wanted = shape.clone();
                    wanted[axis] = 9;
                    // values in another layout: broadcast, so that every row along the other axes has the same numbers
                    let part: Vec<SliceItem> = wanted.iter().map(|n| SliceItem::from(..*n as isize)).collect();
                    let values = match shape.len() {
                        1 => y.slice(s![0, 0, ..]),
                        _ => y.slice(&part[..]),
                    };
                    let values_own: Vec<f64> = read(&values).unwrap().iter().map(|b| number::real(t, *b)).collect();
                    let inner: usize = shape[axis + 1..].iter().product();
                    let mut want: Vec<Sum> = own.iter().map(|x| Sum { value: *x, rest: 0.0, size: x.abs(), terms: 1 }).collect();
                    for (k, v) in values_own.iter().enumerate() {
                        let (o, i, l) = (k / (9 * inner), k / inner % 9, k % inner);
                        let i = at[i].rem_euclid(n) as usize;
                        want[(o * n as usize + i) * inner + l].add(*v);
                    }
                    let indices = put(d, at.clone(), &[9]);
                    let what = format!("{name} of {t} along {axis}, {d:?}");
                    near(&e.index_add(axis as isize, &indices, &values), t, &want, &what);
                    near(&e.index_add(axis as isize - shape.len() as isize, Wrap(indices.astype(I16)), &values), t, &want, &what);
                    let meant = testing::interpret(&e.index_add(axis as isize, &indices, &values)).unwrap();
                    let testing::ElementList::Floats(meant) = meant.elements else { panic!("floats") };
                    let got = read(&e.index_add(axis as isize, &indices, &values)).unwrap();
                    assert!(meant.iter().zip(&got).all(|(m, g)| m.allows(number::real(t, *g))), "{what}");
                }
            }
        }
    }

    fn zeros_infinities_and_neighbours(d: &Device) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let x = put(d, vec![-0f32, -0., 0., inf, nan, 1., 2.], &[7]);
        let at = put(d, vec![1u8, 5, 3, 5], &[4]);
        same(&x.index_add(0, &at, put(d, vec![-0f32, 1., -inf, inf], &[4])), &[-0., -0., 0., nan, nan, inf, 2.]);
        same(&x.index_add(0, at.slice(s![..0]), 1.0), &[-0., -0., 0., inf, nan, 1., 2.]);
        same(&x.slice(s![..0]).index_add(0, at.slice(s![..0]), 1.0), &[0f32; 0]);
        same(&x.index_add(0, Clip(put(d, vec![-9i64, 1 << 40], &[2])), 8.0), &[8., -0., 0., inf, nan, 1., 10.]);
        same(&x.index_add(0, Wrap(put(d, vec![-1i32, 700], &[2])), 8.0), &[8., -0., 0., inf, nan, 1., 10.]);
        // a NaN or infinity only affects the sum of its own key
        let v = put(d, vec![nan, 1., inf, 2., -inf, inf], &[6]);
        let keys = put(d, vec![3i32, 0, 1, 0, 2, 2], &[6]);
        same(&v.segment_sum(&keys, 5), &[3., inf, nan, nan, 0.]);
        same(&v.reduce_at(put(d, vec![0i32, 1, 3, 4, 3], &[5]), 0), &[nan, inf, 2., -inf, nan]);
        same(&put(d, vec![-0f32; 3], &[3]).segment_sum(put(d, vec![1i32; 3], &[3]), 2), &[0f32, 0.]);
        // sums of bools are logical or
        let b = put(d, vec![false, true, false, false], &[4]);
        let on = put(d, vec![true, false, false], &[3]);
        same(&b.index_add(0, put(d, vec![2i64, 2, 3], &[3]), &on), &[false, true, true, false]);
        same(&b.reshape([2, 2]).index_add(1, Wrap(put(d, vec![2i64], &[1])), true), &[true, true, true, false]);
        // no elements to add
        let none = v.slice(s![..0]);
        same(&none.segment_sum(keys.slice(s![..0]), 2), &[0f32, 0.]);
        same(&none.segment_sum(keys.slice(s![..0]), 0), &[0f32; 0]);
        same(&v.reduce_at(keys.slice(s![..0]), 0), &[0f32; 0]);
        assert_eq!(none.reshape([3, 0]).segment_sum(put(d, vec![0i32; 3], &[3]), 4).eval().unwrap().shape(), [4, 0]);
        assert_eq!(none.reshape([3, 0]).reduce_at(put(d, vec![0i32; 2], &[2]), 0).eval().unwrap().shape(), [2, 0]);
    }

    fn in_writes_and_expressions(d: &Device) {
        let d = &own(d);
        let mut x = put(d, vec![1f32, 2., 3., 4.], &[2, 2]);
        let i = put(d, vec![1i32, 1], &[2]);
        x.update(|x| x.index_add(1, &i, x * 10.0)).unwrap();
        same(&x, &[1f32, 32., 3., 74.]);
        x.set(s![.., 0], x.slice(s![.., 1]).segment_sum(&i, 2)).unwrap();
        same(&x, &[0f32, 32., 106., 74.]);
        // the mean of each key, in one evaluation
        let (v, k) = (put(d, vec![1f32, 2., 4., 8.], &[4]), put(d, vec![0i32, 1, 0, 0], &[4]));
        let mean = (&v * 2.0).segment_sum(&k, 2) / k.bincount(2).astype(F32);
        same(&mean, &[26f32 / 3.0, 4.]);
        let both = eval_all([&v.segment_sum(&k, 2), &v.segment_sum(&k, 2), &k.bincount_weighted(&v, 3)]).unwrap();
        same(&both[0], &[13f32, 2.]);
        same(&both[1], &[13f32, 2.]);
        same(&both[2], &[13f32, 2., 0.]);
    }

    // Keys and values that are constants without a device, and together with an array that has one.
    fn of_ranges_of_numbers(d: &Device) {
        let (keys, x) = (arange(0, 40, 1, I32).remainder(7), arange(0, 40, 1, F32));
        let want: Vec<f32> = (0..7).map(|s| (0..40).filter(|i| i % 7 == s).map(|i| i as f32).sum()).collect();
        same(&(x.segment_sum(&keys, 7) + put(d, vec![0f32; 7], &[7])), &want);
        same(&x.segment_sum(&keys, 7), &want);
        same(&(zeros([7], F32).index_add(0, &keys, &x) + put(d, vec![0f32; 7], &[7])), &want);
        // keys on the device, and values without one
        let keys = put(d, (0..40).map(|i| i % 7).collect::<Vec<i32>>(), &[40]);
        same(&x.segment_sum(&keys, 7), &want);
        same(&keys.bincount_weighted(2.5, 7), &keys.bincount(7).to_vec::<i64>().unwrap().iter().map(|n| *n as f32 * 2.5).collect::<Vec<_>>());
        let (sums, _) = keys.astype(F32).histogram_weighted(0.5, 2, None);
        same(&sums, &[9f32, 11.]);
    }

    fn keys_outside_are_errors(d: &Device) {
        // a device of its own, because another test's read could return this test's late error
        let d = &own(d);
        let late = |e: &Expr| -> Error {
            match e.eval() {
                Err(e) => e,
                Ok(a) => a.to_vec::<f32>().expect_err("a key is outside"),
            }
        };
        let x = put(d, vec![1f32, 2., 3.], &[3]);
        let keys = |k: i64| put(d, vec![0, k, 1], &[3]);
        for (e, op, text) in [
            (x.segment_sum(keys(2), 2), "segment_sum", "index 2"),
            (x.segment_sum(keys(-1), 2), "segment_sum", "index -1"),
            (keys(1 << 33).bincount_weighted(&x, 4), "bincount_weighted", "index 8589934592"),
            (x.reduce_at(keys(3), 0), "reduce_at", "index 3"),
            (x.reduce_at(keys(-1), 0), "reduce_at", "index -1"),
            (keys(-1).choose([&x, &x]), "choose", "index -1"),
            (keys(-2).unravel_index([2, 2]).remove(0).astype(DType::F32), "unravel_index", "index -2"),
            (ravel_multi_index([keys(-1)], [2]).astype(DType::F32), "ravel_multi_index", "index -1"),
            (x.index_add(0, keys(3), 1.0), "index_add", "index 3"),
            (x.index_add(0, keys(-4), 1.0), "index_add", "index"),
        ] {
            let e = late(&e);
            assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, op), "{e}");
            assert!(e.to_string().contains(text) && e.location().is_some(), "{e}");
        }
        let mut y = put(d, vec![7f32; 2], &[2]);
        assert_eq!(y.assign(x.segment_sum(keys(9), 2)).unwrap_err().kind(), ErrorKind::Index);
        same(&y, &[7f32; 2]);
        d.synchronize().unwrap();
    }
}

#[test]
fn what_is_refused() {
    let d = &Device::cpu();
    let (x, i) = (put(d, vec![1f32; 6], &[3, 2]), put(d, vec![0i32; 3], &[3]));
    assert!(
        error(&x.segment_sum(&x, 2)).starts_with("segment_sum: segments of shape [3, 2] for an array of shape [3, 2]")
    );
    assert!(error(&x.slice(s![0]).segment_sum(&i, 2)).starts_with("segment_sum: segments of shape [3]"));
    assert!(error(&x.segment_sum(x.slice(s![.., 0]), 2)).contains("integers are needed"));
    assert!(error(&x.segment_sum(&i, 0)).starts_with("segment_sum: no position is in range"));
    assert!(error(&i.bincount_weighted(&x, 2)).starts_with("bincount_weighted: "));
    assert!(error(&x.reduce_at(&x, 0)).starts_with("reduce_at: positions of shape [3, 2]"));
    assert!(error(&x.reduce_at(&i, 2)).starts_with("reduce_at: "));
    assert!(error(&x.slice(s![..0]).reduce_at(&i, 0)).starts_with("reduce_at: no position is in range"));
    assert!(error(&x.histogram_weighted(&i, 3, None).0).starts_with("histogram_weighted: "));
    assert!(error(&x.histogram_weighted(1.0, 0, None).1).starts_with("histogram_weighted: at least one bin"));
    assert!(error(&x.histogram_with_edges_weighted(1.0, x.slice(s![0, ..0]))).contains("at least one edge"));
    assert!(error(&x.index_add(0, &x, 1.0)).starts_with("index_add: indices of shape [3, 2]"));
}

/// Any number of threads gives the same bits, for each way in which the CPU adds.
#[test]
fn threads_do_not_matter() {
    let mut dice = Dice::new(6);
    for t in FLOATS {
        for (rows, length, count) in [(600_000, 1, 1000), (300_000, 1, 200_000), (100_000, 6, 30_000), (50, 4000, 30)] {
            let keys: Vec<i32> = (0..rows).map(|_| dice.below(count) as i32).collect();
            let x = kit::array(t, &random(&mut dice, t, rows * length), &[rows, length], &Device::cpu()).unwrap();
            let keys = put(&Device::cpu(), keys, &[rows]);
            let at = put(&Device::cpu(), (0..100).map(|i| (i * i) % rows as i64).collect::<Vec<_>>(), &[100]);
            let of = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| [read(&x.segment_sum(&keys, count)).unwrap(), read(&x.reduce_at(&at, 0)).unwrap()])
            };
            let one = of(1);
            for threads in [2, 3, 8] {
                assert!(of(threads) == one, "{rows} × {length} of {t} by {count}, {threads} threads");
            }
        }
    }
}

/// `reduce_at` with ranges that overlap, in every type, compared with a loop.
#[test]
fn ranges_that_overlap() {
    let mut dice = Dice::new(9);
    let d = &Device::cpu();
    for t in DType::ALL {
        let bits = random(&mut dice, t, 40 * 3);
        let x = kit::array(t, &bits, &[40, 3], d).unwrap();
        let at: Vec<usize> = (0..30).map(|_| dice.below(40)).collect();
        let e = x.reduce_at(put(d, at.iter().map(|i| *i as u16).collect::<Vec<_>>(), &[30]), 0);
        let mut want = vec![Sum::default(); 90];
        let mut whole = vec![0i64; 90];
        for (s, first) in at.iter().enumerate() {
            let end = at.get(s + 1).map_or(40, |e| *e).max(first + 1);
            for (i, c) in (*first..end).flat_map(|i| (0..3).map(move |c| (i, c))) {
                if t.is_float() {
                    want[s * 3 + c].add(number::real(t, bits[i * 3 + c]));
                } else {
                    whole[s * 3 + c] += number::integer(t, bits[i * 3 + c]) as i64;
                }
            }
        }
        match t.is_float() {
            true => near(&e, t, &want, t.name()),
            false => same(&e.astype(I64), &whole),
        }
        // the same result along another axis of the transposed array
        assert_eq!(
            read(&x.t().reduce_at(put(d, at.iter().map(|i| *i as i64).collect::<Vec<_>>(), &[30]), -1).t()).unwrap(),
            read(&e).unwrap()
        );
    }
}

/// Results that need several bindings and dispatches. Arrays that kernels read at any position must fit into a binding.
#[cfg(feature = "gpu")]
#[test]
fn pieces_of_large_results() {
    if kit::gpu(1).is_none() {
        return;
    }
    let x: Vec<f32> = (0..600).map(|i| (i % 17) as f32).collect();
    let keys: Vec<i32> = (0..600).map(|i| i * 7 % 3000).collect();
    let mut want = vec![0f32; 3000];
    keys.iter().zip(&x).for_each(|(k, x)| want[*k as usize] += x);
    for (binding, groups) in [(16_384, 65_535), (1 << 20, 2)] {
        let d = testing::shrunk_gpu(binding, groups).unwrap();
        let (x, keys) = (put(&d, x.clone(), &[600]), put(&d, keys.clone(), &[600]));
        same(&x.segment_sum(&keys, 3000), &want);
        same(&x.segment_sum(&keys * 4, 12_000).slice(s![..;4]), &want);
    }
    let d = testing::shrunk_gpu(16_384, 65_535).unwrap();
    let many = zeros([9000], F32).to_device(&d).unwrap();
    let e = many.reduce_at(put(&d, vec![0i32, 5], &[2]), 0).eval().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::LimitExceeded, "reduce_at"), "{e}");
}
