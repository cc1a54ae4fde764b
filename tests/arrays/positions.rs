//! Compares `put`, `put_along_axis`, `take_at` and `set_at` with plain loops over bits: all types, layouts, modes.

use crate::kit::{array, dice::Dice, has, number, on_devices, own, put, read};
use cupric::{Array, DType, DType::*, Device, ErrorKind, Expr, eval_all, full, s, testing, zeros};

const INDEX_TYPES: [DType; 7] = [I64, I32, U8, I16, U32, I8, U64];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Check,
    Clip,
    Wrap,
}
use Mode::*;

/// Random elements of a type, as bits.
fn bits(dtype: DType, seed: u64, n: usize) -> Vec<u64> {
    let mut dice = Dice::new(seed);
    let mask = if dtype == Bool { 1 } else { u64::MAX >> (64 - 8 * dtype.size()) };
    (0..n).map(|_| dice.next() >> 3 & mask).collect()
}

/// Random positions along an axis of length `n`, in an index type; with `Clip` and `Wrap` also far out of range.
fn positions(d: &Device, dtype: DType, mode: Mode, n: usize, seed: u64, shape: &[usize]) -> (Array, Vec<i64>) {
    let (n, mut dice) = (n as i64, Dice::new(seed));
    let low = if dtype.is_unsigned_integer() { 0 } else { -n };
    let (low, high) = match mode {
        Check => (low, n - 1),
        Clip | Wrap => (low.min(2 * low), 3 * n),
    };
    let (low, high) = (low.max(if dtype == I8 { -128 } else { low }), high.min(if dtype == I8 { 127 } else { 255 }));
    let all: Vec<i64> = (0..shape.iter().product()).map(|_| dice.between(low, high)).collect();
    let as_bits: Vec<u64> = all.iter().map(|i| *i as u64).collect();
    (array(dtype, &as_bits, shape, d).unwrap(), all)
}

fn place(i: i64, n: usize, mode: Mode) -> usize {
    let n = n as i64;
    let i = match mode {
        Check if i < 0 => i + n,
        Check => i,
        Clip => i.clamp(0, n - 1),
        Wrap => i.rem_euclid(n),
    };
    i as usize
}

fn types(d: &Device) -> Vec<DType> {
    let all = DType::ALL.into_iter().filter(|t| has(d, *t));
    if d.is_gpu() { all.filter(|t| [Bool, U8, F16, F32, I64].contains(t)).collect() } else { all.collect() }
}

/// The device, and if it is a GPU also a GPU device without 64-bit integers.
fn both(d: &Device) -> Vec<Device> {
    if d.is_gpu() { vec![d.clone(), testing::gpu_without_int64().unwrap()] } else { vec![d.clone()] }
}

/// An array of shape `[6, 10]` in several layouts.
fn layouts(x: &Array) -> Vec<(&'static str, Expr)> {
    let wide = x.reshape([10, 6]).eval().unwrap();
    vec![
        ("C order", x.clone().into()),
        ("transposed", wide.t()),
        ("backwards", x.flip(..)),
        ("every second", x.slice(s![..;2, ..;3])),
        ("broadcast", x.slice(s![2..3, ..]).broadcast_to([6, 10])),
        ("a row", x.slice(s![3])),
        ("computed", x.minimum(x.flip(0))),
    ]
}

/// The index along each axis, of element `k` in C order of a shape.
fn index(mut k: usize, shape: &[usize]) -> Vec<usize> {
    let mut out = vec![0; shape.len()];
    for (o, n) in out.iter_mut().zip(shape).rev() {
        (*o, k) = (k % n, k / n);
    }
    out
}

fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |at, (i, n)| at * n + i)
}

/// Reorders elements of shape `[4, 5, 3]`, so that axis 1 comes first, then axis 2, then axis 0.
fn vec_turned(x: &[u64]) -> Vec<u64> {
    (0..60).map(|k| x[k % 4 * 15 + k / 4]).collect()
}

on_devices! {

fn put_in_every_type_and_mode(d: &Device) {
    for d in both(d) {
        for (k, dtype) in types(&d).into_iter().enumerate() {
            let (own, new) = (bits(dtype, 1, 60), bits(dtype, 2, 80));
            let x = array(dtype, &own, &[6, 10], &d).unwrap();
            let v = array(dtype, &new, &[8, 10], &d).unwrap();
            for (m, mode) in [Check, Clip, Wrap].into_iter().enumerate() {
                let index_type = INDEX_TYPES[(k + m) % 7];
                let (i, at) = positions(&d, index_type, mode, 60, 7 + k as u64, &[8, 10]);
                let mut want = own.clone();
                at.iter().zip(&new).for_each(|(i, x)| want[place(*i, 60, mode)] = *x);
                let got = match mode {
                    Check => x.put(&i, &v),
                    Clip => x.put(cupric::Clip(&i), &v),
                    Wrap => x.put(cupric::Wrap(&i), &v),
                };
                assert_eq!(got.shape().unwrap(), [6, 10]);
                assert!(read(&got).unwrap() == want, "{dtype} at {index_type}, {mode:?} on {d}");
            }
        }
    }
}

fn put_in_layouts(d: &Device) {
    for dtype in [F32, U8, I64] {
        let x = array(dtype, &bits(dtype, 3, 60), &[6, 10], d).unwrap();
        for (what, e) in layouts(&x) {
            let own = read(&e).unwrap();
            let n = own.len();
            let (i, at) = positions(d, I32, Check, n, 9, &[7, 3]);
            let v = array(dtype, &bits(dtype, 4, 3), &[3], d).unwrap();
            let new = read(&v).unwrap();
            let mut want = own.clone();
            at.iter().enumerate().for_each(|(k, i)| want[place(*i, n, Check)] = new[k % 3]);
            assert!(read(&e.put(&i, &v)).unwrap() == want, "{dtype} {what}");
            // positions that are a strided view and computed, with values that are a view
            let (turned, want_turned) = (i.t(), {
                let mut want = own.clone();
                (0..21).for_each(|k| want[place(at[k % 7 * 3 + k / 7], n, Check)] = new[2 - k / 7]);
                want
            });
            let values = v.flip(0).reshape([3, 1]);
            assert!(read(&e.put(&turned + 0, &values)).unwrap() == want_turned, "{dtype} {what}, turned");
        }
    }
}

fn numbers_and_conversions(d: &Device) {
    let x = put(d, vec![1f32, 2., 3., 4.], &[2, 2]);
    let i = put(d, vec![3i64, 0], &[2]);
    assert_eq!(x.put(&i, 7).to_vec::<f32>().unwrap(), [7., 2., 3., 7.]);
    assert_eq!(x.put(1, 0.5).to_vec::<f32>().unwrap(), [1., 0.5, 3., 4.]);
    assert_eq!(x.put(&i, put(d, vec![5i16, 6], &[2])).to_vec::<f32>().unwrap(), [6., 2., 3., 5.]);
    assert_eq!((x.put(&i, x.slice(s![0]) * 10) + 1).sum(..).item::<f32>().unwrap(), 11. + 3. + 4. + 21.);
    let none = zeros([0], I32);
    assert_eq!(x.put(&none, 7).to_vec::<f32>().unwrap(), [1., 2., 3., 4.]);
    assert_eq!(x.put(&none, put(d, Vec::<f32>::new(), &[0])).to_vec::<f32>().unwrap(), [1., 2., 3., 4.]);
    let point = put(d, vec![5i32], &[]);
    assert_eq!(point.put(put(d, vec![0, -1], &[2]), put(d, vec![7, 8], &[2])).item::<i32>().unwrap(), 8);
    assert_eq!(point.put(0, 9).item::<i32>().unwrap(), 9);
    // updating in place, and a `put` that the interpreter evaluates
    let mut y = x.clone();
    y.update(|y| y.put(&i, y.slice(s![1]))).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [4., 2., 3., 3.]);
    let meant = testing::interpret(&x.astype(I32).put(&i, put(d, vec![8i32, 9], &[2]))).unwrap();
    let testing::ElementList::Integers(meant) = meant.elements else { panic!("integers") };
    assert_eq!(meant.iter().map(|m| m.unwrap()).collect::<Vec<_>>(), [9, 2, 3, 8]);
}

fn put_along_each_axis(d: &Device) {
    for d in both(d) {
        for dtype in types(&d).into_iter().filter(|t| [U8, I64, F32, Bool].contains(t)) {
            let shape = [3, 4, 5];
            let own = bits(dtype, 5, 60);
            let x = array(dtype, &own, &shape, &d).unwrap();
            for (axis, mode) in (0..3usize).flat_map(|a| [(a, Check), (a, Clip), (a, Wrap)]) {
                let mut of = shape;
                of[axis] = 6;
                // positions that broadcast along another axis
                of[(axis + 1) % 3] = 1;
                let (i, at) = positions(&d, [I32, I64, U8][axis], mode, shape[axis], 11, &of);
                let mut whole = shape;
                whole[axis] = 6;
                let new = bits(dtype, 6, whole.iter().product());
                let v = array(dtype, &new, &whole, &d).unwrap();
                let mut want = own.clone();
                for (k, x) in new.iter().enumerate() {
                    let mut here = index(k, &whole);
                    let mut there = here.clone();
                    there[(axis + 1) % 3] = 0;
                    here[axis] = place(at[flat(&there, &of)], shape[axis], mode);
                    want[flat(&here, &shape)] = *x;
                }
                let given = axis as isize - if axis == 1 { 3 } else { 0 };
                let got = match mode {
                    Check => x.put_along_axis(&i, &v, given),
                    Clip => x.put_along_axis(cupric::Clip(&i), &v, given),
                    Wrap => x.put_along_axis(cupric::Wrap(&i), &v, given),
                };
                assert!(read(&got).unwrap() == want, "{dtype}, axis {axis}, {mode:?} on {d}");
            }
        }
    }
}

fn several_axes(d: &Device) {
    let shape = [4usize, 5, 3];
    for d in both(d) {
        for (k, dtype) in types(&d).into_iter().enumerate().filter(|t| !d.is_gpu() || t.0 % 2 == 1) {
            let own = bits(dtype, 8, 60);
            let plain = array(dtype, &own, &shape, &d).unwrap();
            // the same elements with another order of the axes in memory
            let turned = vec_turned(&own);
            let turned = array(dtype, &turned, &[5, 3, 4], &d).unwrap().permute_dims([2, 0, 1]);
            for (lead, mode) in (1..4usize).flat_map(|l| [(l, Check), (l, Clip), (l, Wrap)]) {
                // on a GPU each case needs a pipeline, so a third of the cases run
                if d.is_gpu() && !(k + lead + mode as usize).is_multiple_of(3) {
                    continue;
                }
                // positions of shapes [2, 3], [3] and [2, 1], which broadcast together
                let shapes: [&[usize]; 3] = [&[2, 3], &[3], &[2, 1]];
                let given: Vec<_> = (0..lead)
                    .map(|a| positions(&d, INDEX_TYPES[(a + k) % 7], mode, shape[a], 20 + a as u64, shapes[a]))
                    .collect();
                let at = |k: usize| -> usize {
                    let own = |a: usize| given[a].1[[k, k % 3, k / 3][a]];
                    (0..lead).fold(0, |at, a| at * shape[a] + place(own(a), shape[a], mode))
                };
                let rest: usize = shape[lead..].iter().product();
                let want: Vec<u64> = (0..6).flat_map(|k| own[at(k) * rest..][..rest].to_vec()).collect();
                for x in [&*plain, &turned] {
                    let i: Vec<&Array> = given.iter().map(|g| &g.0).collect();
                    let got = match (mode, &i[..]) {
                        (Check, [i]) => x.take_at((*i,)),
                        (Check, [i, j]) => x.take_at((*i, *j)),
                        (Check, _) => x.take_at(i),
                        (Clip, _) => x.take_at(cupric::Clip(i)),
                        (Wrap, _) => x.take_at(cupric::Wrap(i)),
                    };
                    let of = [&[2, 3], &shape[lead..]].concat();
                    assert_eq!(got.shape().unwrap(), of);
                    assert!(read(&got).unwrap() == want, "take_at {dtype}, {lead} axes, {mode:?} on {d}");
                }
                // `set_at` with values that have the result's last axes and broadcast
                let new = bits(dtype, 9, 6 * rest);
                let v = array(dtype, &new, &[&[2, 3], &shape[lead..]].concat(), &d).unwrap();
                let mut want = own.clone();
                (0..6).for_each(|k| want[at(k) * rest..][..rest].copy_from_slice(&new[k * rest..][..rest]));
                for x in [&*plain, &turned] {
                    let mut x = x.eval().unwrap();
                    let before = x.clone();
                    let i: Vec<&Array> = given.iter().map(|g| &g.0).collect();
                    match (mode, &i[..]) {
                        (Check, [i]) => x.set_at((*i,), &v),
                        (Check, [i, j, k]) => x.set_at((*i, *j, *k), &v),
                        (Check, _) => x.set_at(i, &v),
                        (Clip, _) => x.set_at(cupric::Clip(i), &v),
                        (Wrap, _) => x.set_at(cupric::Wrap(i), &v),
                    }
                    .unwrap();
                    assert!(read(&x).unwrap() == want, "set_at {dtype}, {lead} axes, {mode:?} on {d}");
                    assert!(read(&before).unwrap() == own);
                }
            }
        }
    }
}

fn out_of_range(d: &Device) {
    let d = &own(d);
    let x = put(d, vec![1, 2, 3, 4, 5, 6], &[2, 3]);
    let bad = |e: Expr, name: &str| {
        let e = e.eval().and_then(|e| e.to_vec::<i32>()).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, name), "{e}");
        assert!(e.to_string().contains("positions.rs"), "{e}");
    };
    let i = |v: &[i64]| put(d, v, &[v.len()]);
    bad(x.put(i(&[0, 6]), 9), "put");
    bad(x.put(i(&[-7]), i(&[9]).astype(I32)), "put");
    bad(x.put_along_axis(i(&[0, 3]).reshape([2, 1]), 9, 1), "put_along_axis");
    bad(x.take_at((i(&[0, 2]),)), "take_at");
    bad(x.take_at((i(&[0, 1]), i(&[0, 1 << 40]))), "take_at");
    bad(x.take_at((i(&[0, -3]).astype(I32), i(&[0, 1]))), "take_at");
    bad(x.put(put(d, vec![u64::MAX], &[1]), 9), "put");
    // a failed write returns the error, and leaves the array unchanged
    let mut y = x.clone();
    for k in [i(&[0, 2]), i(&[-3, 0])] {
        let e = y.set_at((&k, i(&[0, 1])), 9).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "set_at"), "{e}");
        let e = y.set_at((&k,), 9).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "set_at"), "{e}");
        assert_eq!(y.to_vec::<i32>().unwrap(), [1, 2, 3, 4, 5, 6]);
    }
    let none = zeros([0, 3], I32).to_device(d).unwrap();
    bad(none.put(0, 1), "put");
    bad(none.take_at((0, 0)), "take_at");
    assert_eq!(none.take_at((zeros([0], I32),)).shape().unwrap(), [0, 3]);
    assert_eq!(none.take_at((zeros([0], I32), zeros([0], I32))).to_vec::<i32>().unwrap(), [0i32; 0]);
}

fn extremes_of_floats_and_bools(d: &Device) {
    let types: Vec<DType> = types(d).into_iter().filter(|t| t.is_float() || *t == Bool).collect();
    for dtype in types {
        // few distinct values, among them zeros of both signs, infinities and NaNs
        let special = |seed: u64, n: usize| -> Vec<u64> {
            let (mut dice, top) = (Dice::new(seed), 8 * dtype.size() - 1);
            let one = match dtype {
                F16 => 0x3c00u64,
                BF16 => 0x3f80,
                F32 => 0x3f80_0000,
                _ => 0x3ff0_0000_0000_0000,
            };
            let mut next = || match (dtype, dice.below(40)) {
                (Bool, k) => (k % 2) as u64,
                (_, 0) => u64::MAX >> (63 - top),
                (_, k @ 1..=9) => (k as u64 & 1) << top,
                (_, k) => (one + (k as u64 / 4) * (one / 64)) | (k as u64 & 1) << top,
            };
            (0..n).map(|_| next()).collect()
        };
        for (axis, mode) in [(0usize, Check), (1, Check), (2, Clip), (1, Wrap)] {
            let shape = [3, 4, 5];
            let mut of = shape;
            of[axis] = 9;
            let (own, new) = (special(1, 60), special(2, of.iter().product()));
            let x = array(dtype, &own, &shape, d).unwrap();
            let v = array(dtype, &new, &of, d).unwrap();
            let (i, at) = positions(d, [I32, I64, U8][axis], mode, shape[axis], 3, &[9]);
            for is_min in [true, false] {
                let mut want = own.clone();
                for (k, b) in new.iter().enumerate() {
                    let mut here = index(k, &of);
                    here[axis] = place(at[here[axis]], shape[axis], mode);
                    let a = &mut want[flat(&here, &shape)];
                    if dtype == Bool {
                        *a = if is_min { *a & b } else { *a | b };
                        continue;
                    }
                    let (p, q) = (number::real(dtype, *a), number::real(dtype, *b));
                    let is_less = p < q || p == q && p.is_sign_negative();
                    let keeps = p.is_nan() || !q.is_nan() && is_min == is_less;
                    *a = if keeps { *a } else { *b };
                }
                let axis = axis as isize;
                let got = match (is_min, mode) {
                    (true, Check) => x.index_min(axis, &i, &v),
                    (true, Clip) => x.index_min(axis, cupric::Clip(&i), &v),
                    (true, Wrap) => x.index_min(axis, cupric::Wrap(&i), &v),
                    (false, Check) => x.index_max(axis, &i, &v),
                    (false, Clip) => x.index_max(axis, cupric::Clip(&i), &v),
                    (false, Wrap) => x.index_max(axis, cupric::Wrap(&i), &v),
                };
                let is_nan = |b: u64| dtype.is_float() && number::is_nan(dtype, b);
                let got = read(&got).unwrap();
                assert!(
                    got.iter().zip(&want).all(|(g, w)| g == w || is_nan(*g) && is_nan(*w)),
                    "{dtype}, axis {axis}, {mode:?}, least {is_min}: {got:x?} {want:x?}"
                );
            }
        }
    }
    let x = put(d, vec![1f32, 2.], &[2]);
    assert_eq!(x.index_max(0, zeros([0], I32), 5.0).to_vec::<f32>().unwrap(), [1., 2.]);
    assert_eq!(x.index_max(0, zeros([1], I32), 5.0).to_vec::<f32>().unwrap(), [5., 2.]);
    // a device of its own, because another test's read could return this error
    let d = &own(d);
    let x = put(d, vec![1f32, 2.], &[2]);
    let e = x.index_min(0, put(d, vec![0, 2], &[2]), 0.0).eval().and_then(|e| e.to_vec::<f32>()).unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "index_min"), "{e}");
}

// Writes more values than there are positions, and the reverse: the last value of a position stays.
fn many_values(d: &Device) {
    for (n, m) in [(3usize, 70_001usize), (70_001, 5), (65_537, 65_537)] {
        let mut dice = Dice::new(4);
        let at: Vec<u32> = (0..m).map(|_| dice.below(n) as u32).collect();
        let mut want = vec![-1f32; n];
        at.iter().enumerate().for_each(|(k, i)| want[*i as usize] = k as f32);
        let values = put(d, (0..m).map(|k| k as f32).collect::<Vec<_>>(), &[m]);
        let i = put(d, at, &[m]);
        let x = full([n], -1, F32).to_device(d).unwrap();
        let both = eval_all([&x.put(&i, &values), &x.put(&i, 5)]).unwrap();
        assert!(both[0].to_vec::<f32>().unwrap() == want, "{m} values for {n} places");
        let known: Vec<f32> = want.iter().map(|x| if *x < 0. { -1. } else { 5. }).collect();
        assert!(both[1].to_vec::<f32>().unwrap() == known);
        let mut y = x.clone();
        drop(x);
        y.set_at((&i,), &values).unwrap();
        assert!(y.to_vec::<f32>().unwrap() == want);
    }
}

}

#[test]
fn threads_do_not_matter() {
    let d = Device::cpu();
    let (n, m) = (100_003, 400_000);
    let mut dice = Dice::new(6);
    let i = put(&d, (0..m).map(|_| dice.below(n) as i64).collect::<Vec<_>>(), &[m]);
    let v = array(F16, &bits(F16, 1, m), &[m], &d).unwrap();
    let x = zeros([n], F16).eval().unwrap();
    let want = read(&x.put(&i, &v)).unwrap();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(|| read(&x.put(&i, &v)).unwrap()) == want, "{threads} threads");
    }
}

/// An array, positions and values that need several GPU bindings each.
#[cfg(feature = "gpu")]
#[test]
fn pieces_of_large_operands() {
    let Some(_) = crate::kit::gpu(1) else { return };
    let d = testing::shrunk_gpu(64 << 10, 4).unwrap();
    let n = 50_000;
    let x = put(&d, (0..n).collect::<Vec<i32>>(), &[n as usize]);
    let i = put(&d, (0..n).map(|i| (i * 7) % n).rev().collect::<Vec<i32>>(), &[n as usize]);
    let mut want = vec![0; n as usize];
    (0..n).rev().enumerate().for_each(|(k, i)| want[(i * 7 % n) as usize] = -(k as i32));
    let got = x.put(&i, -&x).to_vec::<i32>().unwrap();
    assert!(got == want);
    let rows = x.reshape([500, 100]);
    let at = (put(&d, vec![499i32, 0, 250], &[3]), put(&d, vec![99i32, 0, 7], &[3]));
    assert_eq!(rows.take_at((&at.0, &at.1)).to_vec::<i32>().unwrap(), [49_999, 0, 25_007]);
}
