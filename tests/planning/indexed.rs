//! A source of `take` or a target of `index_add` that is larger than a binding is split along the axis, and each part
//! is stored under a condition. The results must equal those without a split.

use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{cpu_within, named_caps};
use cupric::*;

const KIB: u64 = 1 << 10;

/// Devices with bindings of 64 KiB: a CPU, whose plans are then split as for a GPU, and a GPU.
fn tight() -> Vec<Device> {
    let caps = testing::Caps { max_binding: 64 * KIB, ..named_caps("cpu").unwrap() };
    let gpu = match gpu(1) {
        #[cfg(feature = "gpu")]
        Some(_) => Some(testing::shrunk_gpu(64 * KIB, 65_535).unwrap()),
        _ => None,
    };
    [Some(cpu_within(&caps).unwrap()), gpu].into_iter().flatten().collect()
}

/// Numbers of a type that distinguish most elements; for bool, about half are false.
fn numbers(n: usize, t: DType) -> Array {
    let most = if t == Bool { 2 } else { 251 };
    Array::from_vec((0..n).map(|i| (i * 7919 % 251 % most) as u8).collect(), [n]).unwrap().astype(t).eval().unwrap()
}

/// A conditional store in the printed plan. A `take` has one for each part, and none if there is only one part.
const CONDITION: &str = " if v";

/// Asserts that an expression gives the same bits on a device as on a CPU without limits, and that its plan is split:
/// it contains `mark`, which stands once for each part, more than once.
#[track_caller]
fn is_cut(what: &str, mark: &str, d: &Device, arrays: &[&Array], f: impl Fn(&[Expr]) -> Expr) {
    let here: Vec<Expr> = arrays.iter().map(|a| (**a).clone().into()).collect();
    let there: Vec<Expr> = arrays.iter().map(|a| a.to_device(d).unwrap().into()).collect();
    let plan = f(&there).plan().unwrap();
    assert!(plan.to_string().matches(mark).count() > 1, "{what} on {d}:\n{plan}");
    let want = f(&here).eval().unwrap();
    let got = f(&there).eval().unwrap().to_device(&Device::cpu()).unwrap();
    assert_eq!((got.shape(), got.dtype()), (want.shape(), want.dtype()), "{what} on {d}");
    assert!(array_equal(&got, &want).unwrap(), "{what} on {d}: {got} instead of {want}\n{plan}");
}

/// Indices into `0..n`: the first and last of every sixteenth, and random ones, also counted from the end.
fn picks(n: usize) -> Array {
    let edges = (0..=16).flat_map(|k| [k * n / 16, (k * n / 16).saturating_sub(1)]).map(|i| i.min(n - 1));
    let mut list: Vec<i32> = edges.chain((0..300).map(|i| i * 7919 % n)).map(|i| i as i32).collect();
    list.extend(list.clone().iter().map(|i| i - n as i32));
    let count = list.len();
    Array::from_vec(list, [count]).unwrap()
}

#[test]
fn takes_of_more_than_a_binding() {
    for d in tight() {
        for t in [U8, Bool, F16, I16, F32, I32, I64, F64].into_iter().filter(|t| has(&d, *t)) {
            let n = 3 * 64 * 1024 / t.size() + 77;
            let (x, i) = (numbers(n, t), picks(n));
            is_cut(&format!("a row of {t}"), CONDITION, &d, &[&x, &i], |a| a[0].take(&a[1], 0));
            is_cut(&format!("a flipped row of {t}"), CONDITION, &d, &[&x, &i], |a| a[0].flip(0).take(&a[1], 0));
        }
        let n = 30_011;
        let (x, i) = (numbers(2 * n, I32), picks(n));
        let far = (&i * 3).eval().unwrap();
        let rows = x.reshape([2, n]).eval().unwrap();
        let columns = x.reshape([n, 2]).eval().unwrap();
        is_cut("columns", CONDITION, &d, &[&rows, &i], |a| a[0].take(&a[1], 1));
        is_cut("rows", CONDITION, &d, &[&columns, &i], |a| a[0].take(&a[1], 0));
        is_cut("rows of a transpose", CONDITION, &d, &[&rows, &i], |a| a[0].t().take(&a[1], 0));
        is_cut("every second", CONDITION, &d, &[&columns, &i], |a| a[0].slice(s![.., 1]).take(&a[1], 0));
        is_cut("clipped", CONDITION, &d, &[&rows, &far], |a| a[0].take(Clip(&a[1]), 1));
        is_cut("wrapped", CONDITION, &d, &[&rows, &far], |a| a[0].take(Wrap(&a[1]), 1));
        is_cut("by i64 or as it can", CONDITION, &d, &[&rows, &i], |a| {
            a[0].take(a[1].astype(if has(&d, I64) { I64 } else { I32 }), 1)
        });
        is_cut("indices of two axes", CONDITION, &d, &[&rows, &i], |a| {
            a[0].take(a[1].slice(s![..6]).reshape([2, 3]), 1)
        });
        is_cut("of a computed source", CONDITION, &d, &[&rows, &i], |a| (&a[0] * 3 + 1).take(&a[1], 1));
        is_cut("with work on both sides", CONDITION, &d, &[&rows, &i], |a| a[0].take(a[1].maximum(-5), 1) * 5 - 1);
        is_cut("summed", CONDITION, &d, &[&rows, &i], |a| a[0].take(&a[1], 1).astype(I16).max(1));
        let many = picks(n).take(Wrap(arange(0, 270_001, 1, I32)), 0).eval().unwrap();
        is_cut("many", CONDITION, &d, &[&x, &many], |a| a[0].take(&a[1], 0));
        is_cut("two of them", CONDITION, &d, &[&rows, &i], |a| a[0].take(&a[1], 1) * 3 + a[0].flip(1).take(&a[1], 1));
        is_cut("one of another", CONDITION, &d, &[&rows, &i], |a| {
            let j = (a[0].take(&a[1], 1) * 119).astype(I32);
            a[0].take(j.slice(s![0]), 1)
        });
        // rows longer than a binding, so that both axes are split
        let (wide, at) = (numbers(5 * n, I32).reshape([5, n]).eval().unwrap(), Array::from([4i32, 0, -1, 2]));
        is_cut("long rows", CONDITION, &d, &[&wide, &at], |a| a[0].take(&a[1], 0));
    }
}

const INTEGERS: [DType; 8] = [U8, I8, U16, I16, U32, I32, U64, I64];

/// The three ways to combine values: `index_add`, `index_min` and `index_max`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Combine {
    Add,
    Min,
    Max,
}

const COMBINES: [Combine; 3] = [Combine::Add, Combine::Min, Combine::Max];

impl Combine {
    fn call(self, x: &Expr, axis: isize, i: &Expr, v: &Expr) -> Expr {
        match self {
            Combine::Add => x.index_add(axis, i, v),
            Combine::Min => x.index_min(axis, i, v),
            Combine::Max => x.index_max(axis, i, v),
        }
    }

    /// How the printed plan shows a combining store. There is one for each part of the target.
    fn mark(self) -> &'static str {
        match self {
            Combine::Add => ", add = v",
            Combine::Min => ", min = v",
            Combine::Max => ", max = v",
        }
    }

    fn of(self, a: i128, b: i128) -> i128 {
        match self {
            Combine::Add => a + b,
            Combine::Min => a.min(b),
            Combine::Max => a.max(b),
        }
    }
}

/// Wraps an integer to a type.
fn wrapped(t: DType, x: i128) -> i128 {
    number::integer(t, number::wrap(t, x))
}

/// Reads the elements of an array of integers.
fn integers(e: &Expr) -> Vec<i128> {
    let t = e.dtype().unwrap();
    read(e).unwrap().into_iter().map(|bits| number::integer(t, bits)).collect()
}

/// Makes an array of integers of a type on a device.
fn of_integers(d: &Device, t: DType, v: &[i128], shape: &[usize]) -> Array {
    array(t, &v.iter().map(|x| number::wrap(t, *x)).collect::<Vec<_>>(), shape, d).unwrap()
}

/// What a plain loop computes for `x` of this shape.
fn plain(how: Combine, t: DType, x: &[i128], shape: &[usize], axis: usize, i: &[usize], v: &[i128]) -> Vec<i128> {
    let inner: usize = shape[axis + 1..].iter().product();
    let mut out = x.to_vec();
    for (k, v) in v.iter().enumerate() {
        let (o, n, l) = (k / (i.len() * inner), k / inner % i.len(), k % inner);
        let to = &mut out[(o * shape[axis] + i[n]) * inner + l];
        *to = wrapped(t, how.of(*to, *v));
    }
    out
}

/// Random integers of the type's full range.
fn wide(n: usize, t: DType, seed: u64) -> Vec<i128> {
    let mut dice = Dice::new(seed);
    (0..n).map(|_| wrapped(t, dice.next() as i128)).collect()
}

on_devices! {

fn every_type_and_axis_beside_a_loop(d: &Device) {
    let shapes: [(&[usize], usize); 6] = [(&[7], 0), (&[5, 3], 0), (&[5, 3], 1), (&[2, 9, 4], 1), (&[3, 1000], 1), (&[40, 33], 0)];
    for t in INTEGERS {
        for how in COMBINES.into_iter().filter(|_| has(d, t)) {
            for (round, (shape, axis)) in shapes.into_iter().enumerate() {
                let (size, n) = (shape.iter().product::<usize>(), shape[axis]);
                for count in [0usize, 1, 3 * n + 5] {
                    let at: Vec<usize> = (0..count).map(|i| (i * i * 5 + i + round) % n).collect();
                    let mut of = shape.to_vec();
                    of[axis] = count;
                    let (x, v) = (wide(size, t, 3 + round as u64), wide(of.iter().product(), t, 70 + count as u64));
                    let want = plain(how, t, &x, shape, axis, &at, &v);
                    let i = put(d, at.iter().enumerate().map(|(k, i)| *i as i32 - if k % 3 == 1 { n as i32 } else { 0 }).collect::<Vec<_>>(), &[count]);
                    let (x, v) = (of_integers(d, t, &x, shape), of_integers(d, t, &v, &of));
                    let got = integers(&how.call(&x, axis as isize, &i, &v));
                    assert_eq!(got, want, "{how:?} {t} {shape:?} {axis} {at:?}");
                    // operands that are views, or computed by operations that fuse
                    let (turned, back) = (x.t().eval().unwrap(), v.flip(..).eval().unwrap());
                    let got = integers(&how.call(&turned.t(), axis as isize - shape.len() as isize, &(&i + 0), &back.flip(..)));
                    assert_eq!(got, want, "{how:?} of views {t} {shape:?} {axis}");
                }
            }
        }
    }
}

fn many_values_meet_in_few_elements(d: &Device) {
    // elements that share a packed word; 64-bit additions mostly carry out of the low word
    for t in INTEGERS {
        for how in COMBINES.into_iter().filter(|_| has(d, t)) {
            // so many that each GPU invocation takes several
            let (n, count) = (5, 270_001);
            let at: Vec<usize> = (0..count).map(|i| i * 7919 % n).collect();
            let (x, v) = (wide(n, t, 5), wide(count, t, 9));
            let want = plain(how, t, &x, &[n], 0, &at, &v);
            let i = put(d, at.iter().map(|i| *i as i32).collect::<Vec<_>>(), &[count]);
            let e = how.call(&of_integers(d, t, &x, &[n]), 0, &i, &of_integers(d, t, &v, &[count]));
            for _ in 0..3 {
                assert_eq!(integers(&e), want, "{how:?} {t}");
            }
        }
    }
}

fn an_index_out_of_range_is_an_error_with_its_line(d: &Device) {
    let d = &own(d);
    let x = put(d, (0..40).collect::<Vec<i32>>(), &[10, 4]);
    let line = line!() + 2;
    for (bad, said) in [(10, 10), (-11, -11), (i32::MAX, i32::MAX)] {
        let e = x.index_add(0, put(d, vec![3, bad, 4], &[3]), 7);
        let failed = e.eval().and_then(|_| d.synchronize()).unwrap_err();
        assert_eq!((failed.kind(), failed.operation()), (ErrorKind::Index, "index_add"), "{failed}");
        assert_eq!(failed.location().unwrap().line(), line, "{failed}");
        let text = format!("index {said} is out of range for an axis of length 10");
        assert!(failed.to_string().contains(&text), "{failed}");
        // a failed write leaves the target and its neighbours unchanged
        let mut y = put(d, (0..60).collect::<Vec<i32>>(), &[60]);
        let before = y.to_vec::<i32>().unwrap();
        let e = y.slice_mut(s![10..50]).update(|v| v.index_max(0, put(d, vec![3, bad.max(40)], &[2]), 99)).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "index_max"), "{e}");
        assert_eq!(y.to_vec::<i32>().unwrap(), before);
    }
    for t in INTEGERS.into_iter().filter(|t| has(d, *t)) {
        let e = x.astype(t).index_min(0, put(d, vec![3u8, 99], &[2]), 1);
        let failed = e.eval().and_then(|_| d.synchronize()).unwrap_err();
        assert_eq!((failed.kind(), failed.operation()), (ErrorKind::Index, "index_min"), "{t}: {failed}");
        assert!(failed.to_string().contains("index 99 is out of range"), "{t}: {failed}");
    }
    d.synchronize().unwrap();
    // `Clip` and `Wrap` accept any index
    let far = put(d, vec![-100, 3, 100], &[3]);
    let one = zeros([10], I32).to_device(d).unwrap();
    assert_eq!(one.index_add(0, Clip(&far), 1).to_vec::<i32>().unwrap(), [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(one.index_add(0, Wrap(&far), 1).to_vec::<i32>().unwrap(), [2, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(one.index_max(0, Clip(&far), 1).to_vec::<i32>().unwrap(), [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(one.index_max(0, Wrap(&far), 1).to_vec::<i32>().unwrap(), [1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(one.index_min(0, Clip(&far), -1).to_vec::<i32>().unwrap(), [-1, 0, 0, -1, 0, 0, 0, 0, 0, -1]);
    assert_eq!(one.index_min(0, Wrap(&far), -1).to_vec::<i32>().unwrap(), [-1, 0, 0, -1, 0, 0, 0, 0, 0, 0]);
}

fn writes_that_read_their_target(d: &Device) {
    for t in [U8, I16, I32, U32] {
        let v: Vec<i128> = (0..50).collect();
        let i = put(d, vec![2i32, 9, 2, 0], &[4]);
        let add = |x: &[i128], i: &[usize], v: &[i128]| plain(Combine::Add, t, x, &[10], 0, i, v);
        // a whole array, in place or with another handle on it
        for is_shared in [false, true] {
            let mut x = of_integers(d, t, &v[..10], &[10]);
            let other = is_shared.then(|| x.clone());
            x.assign(x.index_add(0, Clip(&i), &(&x.slice(s![..4]) * 2))).unwrap();
            assert_eq!(integers(&x), add(&v[..10], &[2, 9, 2, 0], &[0, 2, 4, 6]), "{t}");
            assert!(other.is_none_or(|o| integers(&o) == v[..10]));
            x.update(|x| x.index_add(0, &i, x.slice(s![6..]))).unwrap();
            let once = add(&v[..10], &[2, 9, 2, 0], &[0, 2, 4, 6]);
            assert_eq!(integers(&x), add(&once, &[2, 9, 2, 0], &once[6..10]), "{t}");
        }
        // a strided part that starts within a packed word, of an array that the values read too
        for (first, step) in [(1usize, 1isize), (3, 3), (2, 2)] {
            let mut x = of_integers(d, t, &v, &[50]);
            let end = first + 9 * step as usize + 1;
            let part: Vec<i128> = (0..10).map(|k| v[first + k * step as usize]).collect();
            let e = x.slice(s![first..end; step]).index_add(0, Wrap(&i), x.slice(s![40..44]));
            x.set(s![first..end; step], e).unwrap();
            let mut want = v.clone();
            for (k, w) in add(&part, &[2, 9, 2, 0], &v[40..44]).into_iter().enumerate() {
                want[first + k * step as usize] = w;
            }
            assert_eq!(integers(&x), want, "{t} from {first} by {step}");
        }
    }
}

fn as_part_of_larger_graphs(d: &Device) {
    let x = put(d, (0..12).collect::<Vec<i32>>(), &[3, 4]);
    let i = put(d, vec![1i32, 1, 0], &[3]);
    // array, positions and values are expressions, and several results read the result
    let e = (&x * 2).index_add(1, (&i + 1) * 1, &(x.slice(s![.., ..3]) + 1));
    let plain: Vec<i32> = {
        let (x, mut out) = ((0..12).collect::<Vec<i32>>(), (0..12).map(|v| v * 2).collect::<Vec<i32>>());
        for (r, k) in (0..3).flat_map(|r| (0..3).map(move |k| (r, k))) {
            out[r * 4 + [2, 2, 1][k]] += x[r * 4 + k] + 1;
        }
        out
    };
    assert_eq!(e.to_vec::<i32>().unwrap(), plain);
    let below: Vec<i32> = plain.chunks(4).flat_map(|r| r.iter().map(|v| v - r.iter().max().unwrap())).collect();
    assert_eq!((&e - &e.max(keep(1))).to_vec::<i32>().unwrap(), below);
    assert_eq!(e.astype(F32).sum(..).item::<f32>().unwrap(), plain.iter().sum::<i32>() as f32);
    // values that are reductions, gathers or scatters themselves
    let e = x.index_add(0, put(d, vec![2i32], &[1]), x.max(keep(0))).index_max(1, &i, x.take(&i, 1) * 3);
    let got = e.to_vec::<i32>().unwrap();
    let mut want: Vec<i32> = (0..12).map(|v| if v >= 8 { v + v } else { v }).collect();
    for r in 0..3 {
        let row = |k: usize| 3 * (r * 4 + k) as i32;
        want[r * 4 + 1] = want[r * 4 + 1].max(row(1));
        want[r * 4] = want[r * 4].max(row(0));
    }
    assert_eq!(got, want);
    // several results in one evaluation
    let both = eval_all([&x.index_add(0, &i, 1), &x.index_min(0, &i, 3), &(&x + 1)]).unwrap();
    assert_eq!(both[0].slice(s![1]).to_vec::<i32>().unwrap(), [6, 7, 8, 9]);
    assert_eq!(both[1].slice(s![1]).to_vec::<i32>().unwrap(), [3, 3, 3, 3]);
    assert_eq!(both[2].slice(s![1]).to_vec::<i32>().unwrap(), [5, 6, 7, 8]);
}

}

/// Tasks combine into the same elements at the same time. Any number of threads must give the same result.
#[test]
fn threads_do_not_matter() {
    let d = Device::cpu();
    for t in [U8, I16, U32, I64] {
        for how in COMBINES {
            let (n, count) = (7, 1_000_003);
            let at: Vec<usize> = (0..count).map(|i| i * 7919 % n).collect();
            let (x, v) = (wide(n, t, 5), wide(count, t, 9));
            let want = plain(how, t, &x, &[n], 0, &at, &v);
            let i = put(&d, at.iter().map(|i| *i as u8).collect::<Vec<_>>(), &[count]);
            let e = how.call(&of_integers(&d, t, &x, &[n]), 0, &i, &of_integers(&d, t, &v, &[count]));
            for threads in [1, 2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert_eq!(pool.install(|| integers(&e)), want, "{how:?} {t} on {threads} threads");
            }
        }
    }
}

#[test]
fn targets_of_more_than_a_binding() {
    for d in tight() {
        for t in INTEGERS {
            for how in COMBINES.into_iter().filter(|_| has(&d, t)) {
                let n = 3 * 64 * 1024 / t.size() + 77;
                let (x, i) = (numbers(n, t), picks(n));
                let v = (numbers(i.size(), t).flip(0) + 3).eval().unwrap();
                is_cut(&format!("{how:?} {t}"), how.mark(), &d, &[&x, &i, &v], |a| how.call(&a[0], 0, &a[1], &a[2]));
                is_cut("flipped", how.mark(), &d, &[&x, &i, &v], |a| how.call(&a[0].flip(0), 0, &a[1], &a[2]));
            }
        }
        let n = 30_011;
        let (x, i) = (numbers(2 * n, I32), picks(n));
        let (rows, columns) = (x.reshape([2, n]).eval().unwrap(), x.reshape([n, 2]).eval().unwrap());
        is_cut("rows", Combine::Add.mark(), &d, &[&rows, &i], |a| a[0].index_add(1, &a[1], 5));
        is_cut("columns", Combine::Add.mark(), &d, &[&columns, &i], |a| a[0].index_add(0, &a[1], 5));
        is_cut("clipped", Combine::Add.mark(), &d, &[&rows, &(&i * 3).eval().unwrap()], |a| {
            a[0].index_add(1, Clip(&a[1]), 5)
        });
        is_cut("of a take", Combine::Add.mark(), &d, &[&rows, &i], |a| a[0].index_add(1, &a[1], a[0].take(&a[1], 1)));
        // into a part of an array, with more values than fit into a binding
        let (mut here, mut there) = ((&x + 0).eval().unwrap(), x.to_device(&d).unwrap());
        let many = Array::from_vec((0..50_000).map(|k| k * 7919 % 20_000).collect::<Vec<i32>>(), [50_000]).unwrap();
        for y in [&mut here, &mut there] {
            let i = many.to_device(&y.device()).unwrap();
            y.slice_mut(s![1..60_001;3]).update(|v| v.index_add(0, &i, &(&i + 1))).unwrap();
        }
        assert!(array_equal(&here, &there.to_device(&Device::cpu()).unwrap()).unwrap(), "a part on {d}");
    }
}

#[test]
fn an_index_out_of_range_of_an_axis_in_windows() {
    for d in tight() {
        let n = 50_001;
        let x = numbers(n, I32).to_device(&d).unwrap();
        for bad in [n as i32, -(n as i32) - 1, i32::MIN] {
            let i = put(&d, vec![7, bad, 40_000], &[3]);
            for e in [x.take(&i, 0), x.index_add(0, &i, 1)] {
                let failed = e.eval().and_then(|_| d.synchronize()).unwrap_err();
                assert_eq!(failed.kind(), ErrorKind::Index, "{failed}");
                assert!(failed.to_string().contains("tests/planning/indexed.rs"), "{failed}");
                d.synchronize().unwrap();
            }
            // the target and its neighbours stay unchanged
            let mut y = put(&d, vec![5u8; 9], &[9]);
            let e = y.set(s![3..6], x.take(&i, 0).astype(U8)).unwrap_err();
            assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "take"), "{e}");
            assert_eq!(y.to_vec::<u8>().unwrap(), [5; 9]);
            // conditional stores between neighbours that must stay
            y.set(s![3..6], x.take(Wrap(put(&d, vec![0, n as i32 - 1, 3], &[3])), 0).astype(U8)).unwrap();
            let at = |i: usize| (i * 7919 % 251) as u8;
            assert_eq!(y.to_vec::<u8>().unwrap(), [5, 5, 5, at(0), at(n - 1), at(3), 5, 5, 5]);
        }
    }
}

#[test]
fn plans_print_conditions_and_targets() {
    let (x, i) = (put(&Device::cpu(), vec![0i32; 12], &[3, 4]), put(&Device::cpu(), vec![1i32], &[1]));
    let (text, _) = testing::plan_for(&x.index_add(0, &i, 2), "card").unwrap();
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part}:\n{text}"));
    assert!(at("plan: 2 kernels, 2 dispatches") < at("store out0 i32 [1] = v0"), "{text}");
    assert!(at("of 3, Check") < at("store out0 i32 [1] + 4 · v"), "{text}");
    assert!(text.contains(" of 3, add = v"), "{text}");
    let caps = testing::Caps { max_binding: 64 * KIB, ..testing::named_caps("card").unwrap() };
    let far = zeros([50_000], F32).eval().unwrap();
    let two = put(&Device::cpu(), vec![1i32, 40_000], &[2]);
    let (text, wgsl) = testing::plan_within(&far.take(&two, 0), &caps).unwrap();
    assert!(text.contains("plan: 1 kernel, 4 dispatches"), "{text}");
    assert_eq!(text.matches("store out0 u32 [1] = v").count(), 4, "{text}");
    assert_eq!(text.matches(" if v").count(), 4, "{text}");
    // all parts use the same shader
    assert!(wgsl.windows(2).all(|w| w[0] == w[1]), "{text}");
}

#[test]
fn what_is_not_combined_says_what_it_waits_for() {
    let wide = zeros([3], I64).eval().unwrap();
    let e = testing::plan_for(&wide.index_min(0, array![0], 1), "card").unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::Unsupported, "index_min"), "{e}");
    assert!(testing::plan_for(&wide.index_add(0, array![0], 1), "card").is_ok());
}
