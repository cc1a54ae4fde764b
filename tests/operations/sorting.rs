//! Functions built from sorts and scans: compared with NumPy (`data/sorting.txt`, written by `data/make_sorting.py`),
//! and with plain loops in every type and many layouts.

use crate::kit::{self, dice::Dice, error, golden, has, numbers, on_devices, put, read, same};
use cupric::{DType::*, *};

const GOLDEN: &str = include_str!("../data/sorting.txt");

fn matrix(d: &Device) -> Array {
    const N: f32 = f32::NAN;
    const I: f32 = f32::INFINITY;
    let x = vec![3., 1., 2., 1., 9., 0.5, N, -2., I, -I, 2., 2., 2., 2., 2., -1., -0., 0., N, N];
    put::<f32>(d, x, &[4, 5])
}

/// Makes the call that a line of the data names.
fn call(name: &str, d: &Device) -> Expr {
    let x = matrix(d);
    let keys = [
        put(d, vec![2, 1, 2, 1, 1, 2], &[6]).astype(F32),
        put::<f32>(d, vec![5., f32::NAN, 5., 3., f32::NAN, 5.], &[6]).into(),
        put(d, vec![0.5, 0.25, 0.125, -f32::INFINITY, 1.0, 0.0], &[6]).into(),
    ];
    let words: Vec<&str> = name.split(' ').collect();
    let number = |i: usize| words[i].parse::<isize>().unwrap();
    match words[..] {
        ["topk", _, _, end] => x.topk(number(2) as usize, number(1), end == "largest").0,
        ["argtopk", _, _, end] => x.argtopk(number(2) as usize, number(1), end == "largest"),
        ["partition", _, _] => {
            let whole = x.partition(number(2), number(1));
            whole.take(put(d, vec![number(2) as i32], &[1]), number(1)).squeeze(number(1))
        }
        ["argpartition", _, _] => {
            let whole = x.take_along_axis(x.argpartition(number(2), number(1)), number(1));
            whole.take(put(d, vec![number(2) as i32], &[1]), number(1)).squeeze(number(1))
        }
        ["cummax", _] => x.cummax_with_positions(number(1)).0,
        ["cummin", _] => x.cummin_with_positions(number(1)).0,
        ["lexsort", "one"] => lexsort(&keys[1..2], 0),
        ["lexsort", "two"] => lexsort(&keys[..2], 0),
        ["lexsort", "three"] => lexsort(keys.iter().rev(), 0),
        ["lexsort", _] => lexsort([x.flip(0), (&x / 4.0).round()], number(1)),
        _ => panic!("{name}: no call"),
    }
}

/// Random elements of a type with many equal ones; floats include NaN and infinities.
fn elements(d: &Device, dtype: DType, seed: u64, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let mut dice = Dice::new(seed);
    let bits = |dice: &mut Dice| match dtype {
        Bool => dice.next() & 1,
        t if t.is_float() => {
            let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1.0, -1.0];
            let v = if dice.one_in(3) { special[dice.below(7)] } else { dice.below(40) as f64 / 4.0 - 5.0 };
            kit::number::round(t, v)
        }
        t => dice.next() >> (64 - 8 * t.size()) & if dice.one_in(2) { 7 } else { u64::MAX },
    };
    kit::array(dtype, &(0..n).map(|_| bits(&mut dice)).collect::<Vec<_>>(), shape, d).unwrap()
}

/// An element that can be compared. 64-bit integers are kept exactly.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn nan(self) -> bool {
        matches!(self, Number::Float(v) if v.is_nan())
    }

    fn less(self, other: Number) -> bool {
        match (self, other) {
            (Number::Integer(a), Number::Integer(b)) => a < b,
            (Number::Float(a), Number::Float(b)) => a < b,
            _ => panic!("two kinds"),
        }
    }
}

fn values(x: &Expr) -> Vec<Number> {
    let t = x.dtype().unwrap();
    let one = |bits: u64| match t {
        t if t.is_float() => Number::Float(kit::number::real(t, bits)),
        t => Number::Integer(kit::number::integer(t, bits)),
    };
    read(x).unwrap().into_iter().map(one).collect()
}

/// The positions of the running maximum or minimum of a row, by a plain loop.
fn running(row: &[Number], largest: bool) -> Vec<i64> {
    let mut best = 0;
    let beats = |a: Number, b: Number| a.nan() && !b.nan() || if largest { b.less(a) } else { a.less(b) };
    (0..row.len())
        .map(|i| {
            if !row[best].nan() && beats(row[i], row[best]) {
                best = i;
            }
            best as i64
        })
        .collect()
}

fn check(x: &Expr, what: &str) {
    let shape = x.shape().unwrap().to_vec();
    for axis in 0..shape.len() {
        let along = axis as isize;
        let n = shape[axis];
        for largest in [true, false] {
            let order = if largest { x.argsort(descending(along)) } else { x.argsort(along) };
            for k in [0, 1, n / 2, n].into_iter().filter(|k| *k <= n) {
                let (got, positions) = x.topk(k, along, largest);
                let first: Vec<SliceItem> = (0..shape.len())
                    .map(|a| SliceItem::Range { start: None, end: (a == axis).then_some(k as isize), step: 1 })
                    .collect();
                let want = order.slice(&first).eval().unwrap();
                assert!(array_equal(&positions, &want).unwrap(), "positions of {k} of {what}, axis {axis}");
                let taken = x.take_along_axis(&*want, along);
                assert_eq!(read(&got).unwrap(), read(&taken).unwrap(), "topk {k} of {what}, axis {axis}");
            }
            let (got, positions) = match largest {
                true => x.cummax_with_positions(along),
                false => x.cummin_with_positions(along),
            };
            let plain = if largest { x.cummax(along) } else { x.cummin(along) };
            assert_eq!(read(&got).unwrap(), read(&plain).unwrap(), "{what}");
            // the axis is moved to the end, so that rows are contiguous
            let rows = x.moveaxis(along, -1).eval().unwrap();
            let all = values(&rows);
            let want: Vec<i64> = all.chunks(n.max(1)).flat_map(|row| running(row, largest)).collect();
            let places = positions.moveaxis(along, -1).to_vec::<i64>().unwrap();
            assert_eq!(places, want, "positions of {what}, axis {axis}, largest {largest}");
        }
    }
}

on_devices! {
    fn what_numpy_gives(d: &Device) {
        let mut wrong = vec![];
        // on a GPU each call compiles pipelines, so a sixth of the calls run; `scans.rs` tests the calls of
        // logcumsumexp, because their results are rounded
        let exact = golden(GOLDEN).filter(|(name, ..)| !name.starts_with("logcumsumexp"));
        for (name, shape, want) in exact.step_by(if d.is_gpu() { 6 } else { 1 }) {
            let (got_shape, got) = numbers(&call(name, d)).unwrap();
            let same = |(g, w): (&f64, &f64)| g == w || g.is_nan() && w.is_nan();
            if got_shape != shape || got.len() != want.len() || !got.iter().zip(&want).all(same) {
                wrong.push(format!("{name}: {got_shape:?} {got:?}\n    instead of {shape:?} {want:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    fn every_type(d: &Device) {
        let few = [F32, I64, U8, F16, Bool];
        for t in DType::ALL.into_iter().filter(|t| has(d, *t) && (!d.is_gpu() || few.contains(t))) {
            check(&elements(d, t, 3, &[4, 17]), &t.to_string());
        }
    }

    fn layouts(d: &Device) {
        let x = elements(d, F32, 5, &[6, 10]);
        let views = [
            ("transposed", x.t()),
            ("steps", x.slice(s![1.., ..;-3])),
            ("broadcast", x.slice(s![0]).broadcast_to([3, 10])),
            ("three axes", x.reshape([3, 4, 5]).permute_dims([2, 0, 1])),
            ("computed", &x * 2.0 + 1.0),
        ];
        for (what, e) in views {
            check(&e, what);
        }
        for e in [x.slice(s![..0]), x.slice(s![.., 3..3]), x.slice(s![..1, ..1])] {
            check(&e, "few elements");
        }
    }

    fn keys_of_many_types(d: &Device) {
        let n = 200;
        let dtypes = [U8, F32, I64];
        let keys: Vec<Array> = dtypes.iter().enumerate().map(|(i, t)| {
            let few = elements(d, *t, 9 + i as u64, &[n]);
            if t.is_float() { few } else { few.remainder(3).astype(*t).eval().unwrap() }
        }).collect();
        let all: Vec<Vec<Number>> = keys.iter().map(|k| values(k)).collect();
        let mut want: Vec<i64> = (0..n as i64).collect();
        want.sort_by(|a, b| {
            let order = all.iter().rev().map(|v| {
                let (a, b) = (v[*a as usize], v[*b as usize]);
                a.nan().cmp(&b.nan()).then(b.less(a).cmp(&a.less(b)))
            });
            order.reduce(|a, b| a.then(b)).unwrap()
        });
        assert_eq!(lexsort(&keys, 0).to_vec::<i64>().unwrap(), want);
        assert_eq!(lexsort([1, 2], 0).eval().unwrap_err().kind(), ErrorKind::Axis);
    }

    fn one_sort_for_both(d: &Device) {
        let x = elements(d, F32, 5, &[50]);
        let (values, positions) = x.topk(3, 0, true);
        let both = eval_all([&values, &positions]).unwrap();
        same(&x.take(&both[1], 0), &both[0].to_vec::<f32>().unwrap());
        let text = values.plan().unwrap().to_string();
        assert_eq!(text.matches("argsort").count(), positions.plan().unwrap().to_string().matches("argsort").count());
    }
}

/// The few largest or smallest of many elements, by selection: lengths near the limits, ties, rows that threads share.
#[test]
fn a_few_of_long_axes() {
    let d = Device::cpu();
    let cases = [
        (F32, [1, 200_000]),
        (F32, [2, 70_001]),
        (I64, [1, 140_000]),
        (U8, [1, 100_000]),
        (F16, [3, 500]),
        (Bool, [2, 3000]),
        (F64, [40, 64]),
    ];
    for (n, (t, shape)) in cases.into_iter().enumerate() {
        let x = elements(&d, t, n as u64, &shape);
        let sorted = x.sort(1).eval().unwrap();
        for views in [(&*x, "random"), (&*sorted, "sorted"), (&sorted.flip(1), "the other way")] {
            for largest in [true, false] {
                let order = if largest { views.0.argsort(descending(1)) } else { views.0.argsort(1) }.eval().unwrap();
                for k in [1, 3, shape[1] / 17, shape[1] / 16, shape[1] / 16 + 1, shape[1] / 2] {
                    let (got, positions) = views.0.topk(k, 1, largest);
                    let want = order.slice(s![.., ..k]);
                    let what = format!("{k} of {} of {t} {shape:?}", views.1);
                    assert!(array_equal(&positions, &want).unwrap(), "{what}");
                    assert!(array_equal(&positions, &views.0.argtopk(k, 1, largest)).unwrap(), "{what}");
                    assert_eq!(read(&got).unwrap(), read(&views.0.take_along_axis(&want, 1)).unwrap(), "{what}");
                }
            }
        }
        // any number of threads gives the same
        let want = x.argtopk(100.min(shape[1] / 16), 1, true).to_vec::<i64>().unwrap();
        for threads in [1, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let got = pool.install(|| x.argtopk(100.min(shape[1] / 16), 1, true).to_vec::<i64>().unwrap());
            assert!(got == want, "{threads} threads, {t} {shape:?}");
        }
    }
}

#[test]
fn what_is_refused() {
    let d = Device::cpu();
    let x = matrix(&d);
    let line = line!() + 1;
    let e = x.topk(6, -1, true).0.eval().unwrap_err();
    assert_eq!(e.to_string(), format!("topk: 6 elements requested of axis 1 of shape [4, 5] ({}:{line}:15)", file!()));
    assert!(error(&x.topk(1, 2, true).1).starts_with("topk: axis 2"));
    assert!(error(&x.argtopk(5, 0, false)).starts_with("argtopk: 5 elements requested of axis 0"));
    for k in [5, -6] {
        assert!(
            error(&x.partition(k, 1)).starts_with(&format!("partition: axis 1 of shape [4, 5] has no position {k}"))
        );
        assert!(error(&x.argpartition(k, 1)).starts_with("argpartition: axis 1"));
    }
    assert!(
        error(&x.slice(s![..0]).partition(0, 0)).starts_with("partition: axis 0 of shape [0, 5] has no position 0")
    );
    assert!(error(&lexsort([&x; 0], 0)).starts_with("lexsort: at least one key"));
    assert!(error(&lexsort([&*x, &x.t()], 0)).starts_with("lexsort: keys of shapes [4, 5] and [5, 4]"));
    assert!(error(&x.cummax_with_positions(-3).1).starts_with("cummax_with_positions: axis -3"));
    assert!(error(&x.slice(s![0, 0]).cummin_with_positions(0).0).starts_with("cummin_with_positions: axis 0"));
}
