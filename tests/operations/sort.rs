//! `sort` and `argsort`, compared with a stable sort of the standard library, in every type and many layouts.

use crate::kit::{array, dice::Dice, has, on_devices, own, put, read};
use cupric::{
    Array, DType, DType::*, Device, ErrorKind, Expr, array_equal, concat, descending, eval_all, full, s, testing, zeros,
};
use std::cmp::Ordering;

/// Random elements of a type: any bits, few distinct values, or floats that include zeros of both signs, infinities and
/// NaNs with several payloads.
fn elements(d: &Device, dtype: DType, how: usize, seed: u64, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let mut dice = Dice::new(seed);
    let size = dtype.size();
    let top = 8 * size - 1;
    let one = |dice: &mut Dice| -> u64 {
        let word = dice.next();
        match (how, dtype) {
            (_, Bool) => word >> 40 & 1,
            (0, _) => word,
            (1, _) => word >> 40 & 3 | (word >> 50 & 1) << top,
            // floats that are only zeros, infinities, NaNs and simple numbers, with random signs
            _ => {
                let infinity: u64 = match dtype {
                    F16 => 0x7c00,
                    BF16 => 0x7f80,
                    F32 => 0x7f80_0000,
                    F64 => 0x7ff0_0000_0000_0000,
                    _ => 1 << (top - 1),
                };
                [0, 1, infinity, infinity | 1, infinity | 1 << (top / 4), infinity >> 1][dice.below(6)]
                    | (word >> 63) << top
            }
        }
    };
    let bits: Vec<u64> = (0..n).map(|_| one(&mut dice)).collect();
    array(dtype, &bits, shape, d).unwrap()
}

/// Compares two elements as numbers; NaNs come after all others.
fn order(a: f64, b: f64, falls: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) if falls => b.partial_cmp(&a).expect("numbers"),
        (false, false) => a.partial_cmp(&b).expect("numbers"),
        (a, b) => a.cmp(&b),
    }
}

/// The positions that sort the elements along an axis, by the standard library's stable sort.
fn expected(x: &Expr, axis: usize, falls: bool) -> Vec<i64> {
    let shape = x.shape().unwrap().to_vec();
    let n: usize = shape.iter().product();
    let dtype = x.dtype().unwrap();
    // 64-bit integers are compared as integers, because f64 would round them
    let whole: Option<Vec<i128>> = match dtype {
        U64 => Some(x.to_vec::<u64>().unwrap().iter().map(|v| *v as i128).collect()),
        I64 => Some(x.to_vec::<i64>().unwrap().iter().map(|v| *v as i128).collect()),
        _ => None,
    };
    let floats: Vec<f64> = if whole.is_some() {
        vec![]
    } else {
        x.to_device(&Device::cpu()).and_then(|x| x.astype(F64).to_vec()).unwrap()
    };
    let stride: usize = shape[axis + 1..].iter().product();
    let mut out = vec![0; n];
    for start in (0..n).filter(|i| (i / stride).is_multiple_of(shape[axis])) {
        let at = |i: &usize| start + i * stride;
        let mut rows: Vec<usize> = (0..shape[axis]).collect();
        rows.sort_by(|a, b| match &whole {
            Some(w) if falls => w[at(b)].cmp(&w[at(a)]),
            Some(w) => w[at(a)].cmp(&w[at(b)]),
            None => order(floats[at(a)], floats[at(b)], falls),
        });
        for (i, position) in rows.into_iter().enumerate() {
            out[start + i * stride] = position as i64;
        }
    }
    out
}

/// The bits of the elements of `x` at positions along an axis.
fn picked(x: &Expr, axis: usize, positions: &[i64]) -> Vec<u64> {
    let shape = x.shape().unwrap().to_vec();
    let stride: usize = shape[axis + 1..].iter().product();
    let bits = read(x).unwrap();
    let from = |i: usize| {
        let own = i / stride % shape[axis];
        i - own * stride + positions[i] as usize * stride
    };
    (0..positions.len()).map(|i| bits[from(i)]).collect()
}

fn check(x: &Expr, axis: isize, what: &str) {
    let ndim = x.shape().unwrap().len() as isize;
    let along = axis.rem_euclid(ndim) as usize;
    for falls in [false, true] {
        let want = expected(x, along, falls);
        let (sorted, positions) = match falls {
            true => (x.sort(descending(axis)), x.argsort(descending(axis))),
            false => (x.sort(axis), x.argsort(axis)),
        };
        assert_eq!(sorted.shape().unwrap(), x.shape().unwrap());
        assert_eq!((sorted.dtype().unwrap(), positions.dtype().unwrap()), (x.dtype().unwrap(), I64));
        assert!(positions.to_vec::<i64>().unwrap() == want, "argsort of {what}, axis {axis}, descending {falls}");
        assert!(read(&sorted).unwrap() == picked(x, along, &want), "sort of {what}, axis {axis}, descending {falls}");
    }
}

/// The device, and if it is a GPU also a GPU device without 64-bit integers.
fn both(d: &Device) -> Vec<Device> {
    if d.is_gpu() { vec![d.clone(), testing::gpu_without_int64().unwrap()] } else { vec![d.clone()] }
}

on_devices! {

fn every_type(d: &Device) {
    for d in both(d) {
        for dtype in DType::ALL.into_iter().filter(|t| has(&d, *t)) {
            for how in 0..3 {
                for (n, shape) in [(1, [3, 40]), (2, [2, 300]), (3, [300, 2]), (4, [1, 1000])] {
                    let x: Expr = elements(&d, dtype, how, n + 10 * how as u64, &shape).into();
                    check(&x, -1, &format!("{dtype} {shape:?} of kind {how} on {d}"));
                    if n < 4 {
                        check(&x, 0, &format!("{dtype} {shape:?} of kind {how} on {d}"));
                    }
                }
            }
        }
    }
}

fn every_layout(d: &Device) {
    for dtype in [F32, I64, U8, F16] {
        let x = elements(d, dtype, 0, 77, &[6, 70]);
        let row = elements(d, dtype, 1, 78, &[70]);
        let layouts: Vec<(&str, Expr)> = vec![
            ("transposed", x.t()),
            ("every third", x.slice(s![.., ..;3])),
            ("from within", x.slice(s![1..5, 3..11])),
            ("from an odd place", row.slice(s![3..])),
            ("backwards", x.flip(..)),
            ("broadcast", row.broadcast_to([4, 70])),
            ("three axes", x.reshape([3, 14, 10])),
            ("three axes turned", x.reshape([3, 14, 10]).permute_dims([2, 0, 1])),
            ("computed", x.minimum(&row)),
            ("joined", concat([&x.slice(s![..2]), &x.slice(s![3..])], 0)),
        ];
        for (what, e) in layouts {
            let e: Expr = e.eval().unwrap().into();
            for axis in 0..e.shape().unwrap().len() as isize {
                check(&e, axis, &format!("{dtype} {what}"));
            }
        }
        // sorting a view gives the same as sorting a copy of it
        let t = x.t();
        assert_eq!(read(&t.sort(0)).unwrap(), read(&t.eval().unwrap().sort(0)).unwrap());
    }
}

fn lengths(d: &Device) {
    for n in [2usize, 3, 15, 16, 17, 255, 256, 257, 1023, 1025, 4097, 70_001] {
        for dtype in [F32, U16, I64] {
            let x: Expr = elements(d, dtype, 0, n as u64, &[n]).into();
            check(&x, 0, &format!("{n} of {dtype}"));
        }
        let equal: Expr = full([n], 3, I32).to_device(d).unwrap().into();
        check(&equal, 0, &format!("{n} equal ones"));
    }
    // a GPU sorts several short rows together
    for (rows, n) in [(1000, 1), (77, 5), (600, 9), (9, 300), (5, 2048), (3, 4096), (3, 4100)] {
        for dtype in [F32, F16, I64] {
            for how in [0, 1] {
                let x: Expr = elements(d, dtype, how, n as u64, &[rows, n]).into();
                check(&x, 1, &format!("{rows} rows of {n} of {dtype}, kind {how}"));
            }
        }
    }
}

fn what_has_no_order(d: &Device) {
    let x = zeros([3, 0], F32).to_device(d).unwrap();
    assert_eq!(x.sort(1).shape().unwrap(), [3, 0]);
    assert_eq!(x.sort(0).to_vec::<f32>().unwrap(), [0f32; 0]);
    assert_eq!(x.argsort(-1).to_vec::<i64>().unwrap(), [0i64; 0]);
    let one = put(d, vec![5f32, f32::NAN], &[2, 1]);
    assert_eq!(one.argsort(1).to_vec::<i64>().unwrap(), [0, 0]);
    assert_eq!(one.sort(1).to_vec::<f32>().unwrap()[0], 5.0);
    let number = put(d, vec![5f32], &[]);
    for e in [number.sort(0), number.argsort(0), x.sort(2), x.argsort(descending(-3))] {
        let e = e.eval().unwrap_err();
        assert!(e.kind() == ErrorKind::Axis && e.operation().ends_with("sort"), "{e}");
    }
}

fn as_an_operand(d: &Device) {
    let d = &own(d);
    let x = put(d, vec![3f32, 1., 2., 9., 7., 8.], &[2, 3]);
    let sorted = x.sort(-1);
    assert_eq!((&sorted * 2.0 + 1.0).to_vec::<f32>().unwrap(), [3., 5., 7., 15., 17., 19.]);
    assert_eq!(sorted.slice(s![.., 1]).to_vec::<f32>().unwrap(), [2., 8.]);
    assert_eq!((&x + 1.0).sort(0).sum(1).to_vec::<f32>().unwrap(), [9., 27.]);
    let all = eval_all([&sorted, &x.sort(-1), &x.argsort(-1)]).unwrap();
    assert!(array_equal(&all[0], &all[1]).unwrap());
    assert_eq!(all[2].to_vec::<i64>().unwrap(), [1, 2, 0, 1, 2, 0]);
    let mut y = x.eval().unwrap();
    y.update(|y| y.sort(descending(-1))).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [3., 2., 1., 9., 8., 7.]);
    y.set(s![0], x.slice(s![1]).sort(0)).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [7., 8., 9., 9., 8., 7.]);
    // the interpreter sorts the same way
    let meant = testing::interpret(&x.argsort(-1)).unwrap();
    let testing::ElementList::Integers(meant) = meant.elements else { panic!("integers") };
    assert_eq!(meant.iter().map(|m| m.unwrap()).collect::<Vec<_>>(), [1, 2, 0, 1, 2, 0]);
}

}

/// Rows that several threads share, and rows that one thread sorts: the same bits for any number of threads.
#[test]
fn threads_do_not_matter() {
    let d = Device::cpu();
    for (shape, dtype) in [
        ([1usize, 300_000], F32),
        ([3, 150_000], I64),
        ([1, 300_000], F64),
        ([1, 150_000], U32),
        ([1, 200_000], U8),
        ([40, 70_000], F16),
        ([9000, 33], F64),
    ] {
        let x: Expr = elements(&d, dtype, 0, 5, &shape).into();
        let want = expected(&x, 1, false);
        let values = picked(&x, 1, &want);
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                assert!(x.argsort(1).to_vec::<i64>().unwrap() == want, "{threads} threads, {shape:?} of {dtype}");
                assert!(read(&x.sort(1)).unwrap() == values, "{threads} threads, {shape:?} of {dtype}");
            });
        }
    }
}

/// The CPU's methods (several rows side by side, partitions, radix sort), at lengths near their limits, in every type.
#[test]
fn lengths_and_patterns_on_the_cpu() {
    let d = Device::cpu();
    for dtype in DType::ALL {
        for n in (1..=40).chain([63, 64, 65, 100, 127, 128, 129, 200, 255, 256, 257, 300]) {
            for rows in [1, 3, 4, 19] {
                let x: Expr = elements(&d, dtype, n % 3, n as u64, &[rows, n]).into();
                check(&x, 1, &format!("{rows} rows of {n} of {dtype}"));
            }
        }
    }
    for dtype in [F32, I64, F64, U32] {
        for n in [500, 32_768, 32_769, 140_000] {
            let size = dtype.size();
            let number = |i: usize| match dtype {
                F32 => u64::from((i as f32 - 77.0).to_bits()),
                F64 => (i as f64 - 77.0).to_bits(),
                _ => i as u64,
            };
            let mut dice = Dice::new(n as u64);
            // numbers with all bytes different; one in `few` repeats the upper half, or all, of the previous one
            let mut upper_halves = |few: usize| -> Vec<u64> {
                let mut all: Vec<u64> = vec![];
                for _ in 0..n {
                    let (fresh, last) = (dice.next(), all.last().copied().unwrap_or(5));
                    all.push(match dice.below(few) {
                        0 => last & !0xffff_ffff | fresh & 0xffff_ffff,
                        1 => last,
                        _ => fresh,
                    });
                }
                all.into_iter().map(|bits| bits & (u64::MAX >> (64 - 8 * size))).collect()
            };
            let (some_equal, many_equal) = (upper_halves(30), upper_halves(4));
            let patterns: [(&str, Vec<u64>); 8] = [
                ("some equal upper halves", some_equal),
                ("many equal upper halves", many_equal),
                ("ascending", (0..n).map(number).collect()),
                ("descending", (0..n).rev().map(number).collect()),
                ("equal", vec![number(5); n]),
                ("two values", (0..n).map(|_| number(dice.below(2))).collect()),
                (
                    "half equal",
                    (0..n).map(|_| if dice.one_in(2) { number(9) } else { number(dice.below(n)) }).collect(),
                ),
                ("an organ pipe", (0..n).map(|i| number(i.min(n - i))).collect()),
            ];
            for (what, bits) in patterns {
                let x: Expr = array(dtype, &bits, &[n], &d).unwrap().into();
                check(&x, 0, &format!("{n} of {dtype} of {size} bytes, {what}"));
            }
            let x: Expr = elements(&d, dtype, 2, n as u64, &[n]).into();
            check(&x, 0, &format!("{n} zeros, infinities and NaNs of {dtype}"));
        }
    }
}

/// A sort needs its result and another array of that size; `argsort` needs its positions and an array of pairs.
#[test]
fn memory_is_the_result_and_one_array_of_keys() {
    let d = own(&Device::cpu());
    let x = elements(&d, F32, 0, 3, &[1 << 20]);
    let peak = |e: Expr| {
        let used = d.memory().used;
        d.trim();
        let small = d.memory().used;
        let result = e.eval().unwrap();
        let peak = d.memory().peak;
        drop(result);
        assert_eq!(used, small);
        peak - used
    };
    assert_eq!(peak(x.sort(0)), 2 * x.size() * 4);
    assert_eq!(peak(x.argsort(0)), 2 * x.size() * 8);
}

/// Grids that are too small for one dispatch, so that several are needed.
#[cfg(feature = "gpu")]
#[test]
fn pieces_of_large_operands() {
    let Some(_) = crate::kit::gpu(1) else { return };
    let d = testing::shrunk_gpu(1 << 20, 3).unwrap();
    for n in [9000usize, 20_000] {
        let x: Expr = elements(&d, F32, 0, 6, &[n]).into();
        check(&x, 0, &format!("{n} on {d}"));
    }
    let d = testing::shrunk_gpu(4096, 65_535).unwrap();
    let e = elements(&d, F32, 0, 6, &[2000]).sort(0).eval().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::LimitExceeded, "sort"), "{e}");
}
