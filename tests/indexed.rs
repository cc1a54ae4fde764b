//! Axes that are indexed in windows: a source of `take`, or a target of `index_add`, that spans more than one binding of
//! the device is cut along the axis, and each part is stored under a condition. The results are those of one piece.

use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{cpu_within, named_caps};
use cupric::*;

const KIB: u64 = 1 << 10;

/// Devices that bind 64 KiB: a CPU, whose plans are then cut as a GPU's are, and a GPU.
fn tight() -> Vec<Device> {
    let caps = testing::Caps { max_binding: 64 * KIB, ..named_caps("cpu").unwrap() };
    let gpu = match gpu(1) {
        #[cfg(feature = "gpu")]
        Some(_) => Some(testing::shrunk_gpu(64 * KIB, 65_535).unwrap()),
        _ => None,
    };
    [Some(cpu_within(&caps).unwrap()), gpu].into_iter().flatten().collect()
}

/// Numbers of a type that tell most elements apart.
fn numbers(n: usize, t: DType) -> Array {
    Array::from_vec((0..n).map(|i| (i * 7919 % 251) as u8).collect(), [n]).unwrap().astype(t).eval().unwrap()
}

/// Whether an expression of arrays gives the same bits on a device as on a CPU without limits, in several dispatches.
#[track_caller]
fn is_cut(what: &str, d: &Device, arrays: &[&Array], f: impl Fn(&[Expr]) -> Expr) {
    let here: Vec<Expr> = arrays.iter().map(|a| (**a).clone().into()).collect();
    let there: Vec<Expr> = arrays.iter().map(|a| a.to_device(d).unwrap().into()).collect();
    let plan = f(&there).plan().unwrap();
    assert!(plan.dispatches() > 1, "{what} on {d}:\n{plan}");
    let want = f(&here).eval().unwrap();
    let got = f(&there).eval().unwrap().to_device(&Device::cpu()).unwrap();
    assert_eq!((got.shape(), got.dtype()), (want.shape(), want.dtype()), "{what} on {d}");
    assert!(array_equal(&got, &want).unwrap(), "{what} on {d}: {got} instead of {want}\n{plan}");
}

/// Indices of `0..n`, with the first and the last elements of every 16th of it, and as many from the end.
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
            is_cut(&format!("a row of {t}"), &d, &[&x, &i], |a| a[0].take(&a[1], 0));
            is_cut(&format!("a flipped row of {t}"), &d, &[&x, &i], |a| a[0].flip(0).take(&a[1], 0));
        }
        let n = 30_011;
        let (x, i) = (numbers(2 * n, I32), picks(n));
        let far = (&i * 3).eval().unwrap();
        let rows = x.reshape([2, n]).eval().unwrap();
        let columns = x.reshape([n, 2]).eval().unwrap();
        is_cut("columns", &d, &[&rows, &i], |a| a[0].take(&a[1], 1));
        is_cut("rows", &d, &[&columns, &i], |a| a[0].take(&a[1], 0));
        is_cut("rows of a transpose", &d, &[&rows, &i], |a| a[0].t().take(&a[1], 0));
        is_cut("every second", &d, &[&columns, &i], |a| a[0].slice(s![.., 1]).take(&a[1], 0));
        is_cut("clipped", &d, &[&rows, &far], |a| a[0].take_clip(&a[1], 1));
        is_cut("wrapped", &d, &[&rows, &far], |a| a[0].take_wrap(&a[1], 1));
        is_cut("by i64 or as it can", &d, &[&rows, &i], |a| {
            a[0].take(a[1].astype(if has(&d, I64) { I64 } else { I32 }), 1)
        });
        is_cut("indices of two axes", &d, &[&rows, &i], |a| a[0].take(a[1].slice(s![..6]).reshape([2, 3]), 1));
        is_cut("of a computed source", &d, &[&rows, &i], |a| (&a[0] * 3 + 1).take(&a[1], 1));
        is_cut("with work on both sides", &d, &[&rows, &i], |a| a[0].take(a[1].maximum(-5), 1) * 5 - 1);
        is_cut("summed", &d, &[&rows, &i], |a| a[0].take(&a[1], 1).astype(I16).max(1));
        is_cut("two of them", &d, &[&rows, &i], |a| a[0].take(&a[1], 1) * 3 + a[0].flip(1).take(&a[1], 1));
        is_cut("one of another", &d, &[&rows, &i], |a| {
            let j = (a[0].take(&a[1], 1) * 119).astype(I32);
            a[0].take(j.slice(s![0]), 1)
        });
        // rows that are longer than a binding each: both axes are cut
        let (wide, at) = (numbers(5 * n, I32).reshape([5, n]).eval().unwrap(), Array::from([4i32, 0, -1, 2]));
        is_cut("long rows", &d, &[&wide, &at], |a| a[0].take(&a[1], 0));
    }
}

const INTEGERS: [DType; 8] = [U8, I8, U16, I16, U32, I32, U64, I64];

/// One of the three ways to combine.
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

    fn of(self, a: i128, b: i128) -> i128 {
        match self {
            Combine::Add => a + b,
            Combine::Min => a.min(b),
            Combine::Max => a.max(b),
        }
    }

    /// Whether a device has it for a type: a GPU has no minima of 64 bits.
    fn on(self, d: &Device, t: DType) -> bool {
        has(d, t) && !(d.is_gpu() && t.size() == 8 && self != Combine::Add)
    }
}

/// An integer as a type holds it.
fn wrapped(t: DType, x: i128) -> i128 {
    let bits = 8 * t.size() as u32;
    let low = x & ((1 << bits) - 1);
    if t.is_signed_integer() && low >> (bits - 1) == 1 { low - (1 << bits) } else { low }
}

/// The elements of an array of integers.
fn integers(e: &Expr) -> Vec<i128> {
    match e.dtype().unwrap() {
        U64 => e.to_vec::<u64>().unwrap().into_iter().map(i128::from).collect(),
        I64 => e.to_vec::<i64>().unwrap().into_iter().map(i128::from).collect(),
        U32 => e.to_vec::<u32>().unwrap().into_iter().map(i128::from).collect(),
        _ => e.astype(I32).to_vec::<i32>().unwrap().into_iter().map(i128::from).collect(),
    }
}

/// An array of integers of a type, on a device.
fn of_integers(d: &Device, t: DType, v: &[i128], shape: &[usize]) -> Array {
    match t {
        U8 => put(d, v.iter().map(|x| *x as u8).collect::<Vec<_>>(), shape),
        I8 => put(d, v.iter().map(|x| *x as i8).collect::<Vec<_>>(), shape),
        U16 => put(d, v.iter().map(|x| *x as u16).collect::<Vec<_>>(), shape),
        I16 => put(d, v.iter().map(|x| *x as i16).collect::<Vec<_>>(), shape),
        U32 => put(d, v.iter().map(|x| *x as u32).collect::<Vec<_>>(), shape),
        I32 => put(d, v.iter().map(|x| *x as i32).collect::<Vec<_>>(), shape),
        U64 => put(d, v.iter().map(|x| *x as u64).collect::<Vec<_>>(), shape),
        _ => put(d, v.iter().map(|x| *x as i64).collect::<Vec<_>>(), shape),
    }
}

/// What a loop makes of `x` of this shape.
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

/// Bits that fill the whole type.
fn wide(n: usize, t: DType, seed: u64) -> Vec<i128> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        wrapped(t, state as i128)
    };
    (0..n).map(|_| next()).collect()
}

on_devices! {

fn every_type_and_axis_beside_a_loop(d: &Device) {
    let shapes: [(&[usize], usize); 6] = [(&[7], 0), (&[5, 3], 0), (&[5, 3], 1), (&[2, 9, 4], 1), (&[3, 1000], 1), (&[40, 33], 0)];
    for t in INTEGERS {
        for how in COMBINES.into_iter().filter(|how| how.on(d, t)) {
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
                    // operands that are views, and results of work that fuses
                    let (turned, back) = (x.t().eval().unwrap(), v.flip(..).eval().unwrap());
                    let got = integers(&how.call(&turned.t(), axis as isize - shape.len() as isize, &(&i + 0), &back.flip(..)));
                    assert_eq!(got, want, "{how:?} of views {t} {shape:?} {axis}");
                }
            }
        }
    }
}

fn many_values_meet_in_few_elements(d: &Device) {
    // elements of one packed word, and a carry out of the low word for most additions of 64 bits
    for t in INTEGERS {
        for how in COMBINES.into_iter().filter(|how| how.on(d, t)) {
            let (n, count) = (5, 200_003);
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

}
