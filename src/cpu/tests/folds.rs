//! Tests of reductions: the order in which a sum combines elements, and the positions of argmin and argmax.

use super::*;

crate::testing::unit_tests! {
    cpu_folds: reductions_follow_the_tree, elements_are_folded_where_they_lie, runs_are_folded_in_order, arg_reductions,
    variance_keeps_bits_across_kinds
}

/// Combines the elements of `x` by `f` in the order (a tree) that `fold/mod.rs` describes. The tests compare results
/// with it, so its code is as simple as possible.
pub(super) fn tree(x: &[f32], lanes: usize, f: impl Fn(f32, f32) -> f32 + Copy, identity: f32) -> f32 {
    let blocks: Vec<Vec<f32>> = x
        .chunks(16 * lanes)
        .map(|b| {
            let mut acc = vec![identity; lanes];
            b.iter().enumerate().for_each(|(i, v)| acc[i % lanes] = f(acc[i % lanes], *v));
            acc
        })
        .collect();
    fn join(b: &[Vec<f32>], f: impl Fn(f32, f32) -> f32 + Copy) -> Vec<f32> {
        if b.len() == 1 {
            return b[0].clone();
        }
        // the left side has as many blocks as the largest power of two below the number of blocks
        let left = b.len().next_power_of_two() / 2;
        let (l, r) = (join(&b[..left], f), join(&b[left..], f));
        l.iter().zip(&r).map(|(l, r)| f(*l, *r)).collect()
    }
    let mut v = join(&blocks, f);
    while v.len() > 1 {
        let half = v.len() / 2;
        v = (0..half).map(|i| f(v[i], v[i + half])).collect();
    }
    v[0]
}

/// Returns the number of lanes of a reduction of `n` elements, in kernels of another kind than `Reduce(Lanes::Outer)`.
pub(super) fn lanes_of(n: usize) -> usize {
    match n {
        ..16 => 1,
        2048.. => 128,
        _ => n.div_ceil(16).next_power_of_two().max(16),
    }
}

fn reductions_follow_the_tree() {
    for (outer, n) in [
        (1, 1),
        (1, 5000),
        (1, 700_001),
        (3, 100),
        (50, 100),
        (40, 33),
        (20, 511),
        (20, 600),
        (30, 2048),
        (7, 70_000),
        (300, 3000),
    ] {
        let x = noise(outer * n);
        for (lanes, fortran) in
            [(Lanes::Inner, false), (Lanes::Inner, true), (Lanes::Outer, true), (Lanes::Outer, false)]
        {
            let strides: [isize; 2] = if fortran { [1, outer as isize] } else { [n as isize, 1] };
            let make = || {
                kernel(
                    KernelKind::Reduce(lanes),
                    &[outer],
                    &[n],
                    vec![load(0, F32, &strides, 0)],
                    vec![
                        inner(Op::Load(0), F32),
                        inner(call("square", &[0]), F32),
                        value(Op::reduce(Fold::of(row("add")), 1, F32), F32),
                        value(call("sqrt", &[2]), F32),
                    ],
                    vec![store(0, F32, &[1], 3)],
                )
            };
            let l = if lanes == Lanes::Outer { 1 } else { lanes_of(n) };
            let want: Vec<f32> = (0..outer)
                .map(|o| {
                    let row: Vec<f32> =
                        (0..n).map(|i| x[o * strides[0] as usize + i * strides[1] as usize].powi(2)).collect();
                    tree(&row, l, |a, b| a + b, -0.0).sqrt()
                })
                .collect();
            for t in [1, 2, 7] {
                let got: Vec<f32> = threads(t, || run(make(), std::slice::from_ref(&x), outer).unwrap());
                assert_eq!(got, want, "{outer} × {n}, {lanes:?}, fortran {fortran}, {t} threads");
            }
        }
    }
}

fn elements_are_folded_where_they_lie() {
    // rows that are contiguous in memory: with few and many lanes, with fewer and more rows than are folded together,
    // and with lengths that are not multiples of the number of lanes
    let along = [
        (1, 1),
        (3, 7),
        (8, 10),
        (130, 16),
        (5, 17),
        (9, 24),
        (17, 31),
        (33, 64),
        (15, 64),
        (16, 100),
        (7, 65),
        (40, 128),
        (5, 200),
        (4, 257),
        (3, 300),
        (2, 512),
        (3, 771),
        (2, 1000),
        (5, 2047),
        (3, 2048),
    ];
    for (outer, n) in along {
        folds_like_the_tree(Lanes::Inner, outer, n, [n as isize, 1]);
    }
    // rows that are reduced side by side, as columns: few and many, contiguous or with a gap between the rows of memory
    for (outer, n) in [(1, 700), (3, 1100), (4, 1024), (7, 513), (16, 300), (17, 600), (31, 257), (32, 40), (100, 999)]
    {
        for gap in [0, 5] {
            folds_like_the_tree(Lanes::Outer, outer, n, [1, (outer + gap) as isize]);
        }
    }
    folds_like_the_tree(Lanes::Outer, 5000, 70, [1, 5000]);
}

/// Tests the sum and the maximum of rows with these strides, and of the same rows with negated strides, against
/// [`tree`].
fn folds_like_the_tree(lanes: Lanes, outer: usize, n: usize, strides: [isize; 2]) {
    let len = outer * strides[0] as usize + n * strides[1] as usize;
    let x = noise(len);
    for backwards in [false, true] {
        let (sign, first) = if backwards { (-1, (n - 1) * strides[1] as usize) } else { (1, 0) };
        let at =
            |o: usize, i: usize| x[first.wrapping_add_signed(o as isize * strides[0] + sign * i as isize * strides[1])];
        for name in ["add", "maximum"] {
            let k = kernel(
                KernelKind::Reduce(lanes),
                &[outer],
                &[n],
                vec![load(0, F32, &[strides[0], sign * strides[1]], first as isize)],
                vec![inner(Op::Load(0), F32), value(Op::reduce(Fold::of(row(name)), 0, F32), F32)],
                vec![store(0, F32, &[1], 1)],
            );
            let l = if lanes == Lanes::Outer { 1 } else { lanes_of(n) };
            let fold = |a: f32, b: f32| if name == "add" { a + b } else { a.max(b) };
            let identity = if name == "add" { -0.0 } else { f32::NEG_INFINITY };
            let want: Vec<f32> =
                (0..outer).map(|o| tree(&(0..n).map(|i| at(o, i)).collect::<Vec<_>>(), l, fold, identity)).collect();
            for t in [1, 3] {
                let got: Vec<f32> = threads(t, || run(k.clone(), std::slice::from_ref(&x), outer).unwrap());
                assert_eq!(
                    got, want,
                    "{name} of {outer} × {n} at {strides:?}, {lanes:?}, backwards {backwards}, {t} threads"
                );
            }
        }
    }
}

fn runs_are_folded_in_order() {
    // sums along the first and the last axis, or along three axes, of which the last is contiguous in memory. Runs of 63
    // elements are copied to tiles, longer ones are not
    for (inner_dims, outer) in [
        (vec![100, 63], 3),
        (vec![100, 64], 3),
        (vec![33, 100], 40),
        (vec![3, 65], 5),
        (vec![700, 129], 1),
        (vec![9, 2048], 2),
        (vec![5, 70_000], 2),
        (vec![4, 30, 200], 3),
    ] {
        let n: usize = inner_dims.iter().product();
        // each axis of `inner` has a gap after it, and the outer axis lies between the first and the second one
        let last = *inner_dims.last().unwrap();
        let mut strides = vec![1, (last + 1) as isize];
        for d in inner_dims[1..inner_dims.len() - 1].iter().rev() {
            strides.push(strides.last().unwrap() * *d as isize + 3);
        }
        let outer_stride = *strides.last().unwrap();
        *strides.last_mut().unwrap() = outer_stride * outer as isize + 1;
        strides.reverse();
        let x = noise(strides[0] as usize * inner_dims[0] + 1);
        let offset = |o: usize, i: usize| {
            let (mut rest, mut at) = (i, 1 + o * outer_stride as usize);
            for (d, s) in inner_dims.iter().zip(&strides).rev() {
                at += rest % d * *s as usize;
                rest /= d;
            }
            at
        };
        let all: Vec<isize> = std::iter::once(outer_stride).chain(strides.iter().copied()).collect();
        let k = kernel(
            KernelKind::Reduce(Lanes::Inner),
            &[outer],
            &inner_dims,
            vec![load(0, F32, &all, 1)],
            vec![inner(Op::Load(0), F32), value(Op::reduce(Fold::of(row("add")), 0, F32), F32)],
            vec![store(0, F32, &[1], 1)],
        );
        let want: Vec<f32> = (0..outer)
            .map(|o| tree(&(0..n).map(|i| x[offset(o, i)]).collect::<Vec<_>>(), lanes_of(n), |a, b| a + b, -0.0))
            .collect();
        for t in [1, 2, 7] {
            let got: Vec<f32> = threads(t, || run(k.clone(), std::slice::from_ref(&x), outer).unwrap());
            assert_eq!(got, want, "{outer} rows of {inner_dims:?}, {t} threads");
        }
        // the same runs of narrow elements
        let x: Vec<u8> = x.iter().map(|x| x.to_bits() as u8).collect();
        let k = Kernel {
            loads: vec![load(0, U8, &all, 1)],
            values: vec![
                inner(Op::Load(0), U8),
                inner(Op::Cast(0), U32),
                value(Op::reduce(Fold::of(row("add")), 1, U32), U32),
            ],
            stores: vec![store(0, U32, &[1], 2)],
            ..k
        };
        let want: Vec<u32> = (0..outer).map(|o| (0..n).map(|i| x[offset(o, i)] as u32).sum()).collect();
        for t in [1, 2] {
            let got: Vec<u32> = threads(t, || run(k.clone(), std::slice::from_ref(&x), outer).unwrap());
            assert_eq!(got, want, "{outer} rows of {inner_dims:?} bytes, {t} threads");
        }
    }
}

fn arg_reductions() {
    for n in [1usize, 9, 40, 64, 600, 5000, 100_000] {
        for (outer, fortran) in [(1, false), (3, false), (40, false), (40, true)] {
            for nan in [false, true] {
                let mut x: Vec<f32> = noise(outer * n).iter().map(|v| (v * 50.0).round()).collect();
                if nan {
                    for i in (n / 2..outer * n).step_by(n.max(7)) {
                        x[i] = f32::NAN;
                    }
                }
                let strides: [isize; 2] = if fortran { [1, outer as isize] } else { [n as isize, 1] };
                for (fold, largest) in [(*ARGMAX, true), (*ARGMIN, false)] {
                    let k = kernel(
                        KernelKind::Reduce(if fortran { Lanes::Outer } else { Lanes::Inner }),
                        &[outer],
                        &[n],
                        vec![load(0, F32, &strides, 0)],
                        vec![inner(Op::Load(0), F32), value(Op::reduce(fold, 0, F32), I32)],
                        vec![store(0, I32, &[1], 1)],
                    );
                    let got: Vec<i32> = run(k, std::slice::from_ref(&x), outer).unwrap();
                    for (o, g) in got.iter().enumerate() {
                        let at = |i: usize| x[o * strides[0] as usize + i * strides[1] as usize];
                        let mut best = 0;
                        for i in 1..n {
                            let (b, v) = (at(best), at(i));
                            if !b.is_nan() && (v.is_nan() || if largest { v > b } else { v < b }) {
                                best = i;
                            }
                        }
                        assert_eq!(*g as usize, best, "{n} {outer} {fortran} {nan}");
                    }
                }
            }
        }
    }
}

fn variance_keeps_bits_across_kinds() {
    // computes (x − mean) divided by the norm of x − mean, for each row, in one kernel that stores f16
    let (outer, n) = (50, 700);
    let x: Vec<half::f16> = noise(outer * n).iter().map(|v| half::f16::from_f32(*v)).collect();
    let k = kernel(
        KernelKind::Row,
        &[outer],
        &[n],
        vec![load(0, F16, &[n as isize, 1], 0)],
        vec![
            inner(Op::Load(0), F16),
            value(Op::reduce(Fold::of(row("add")), 0, F16), F16),
            value(Op::Constant((1.0 / n as f32).to_bits() as u64), F16),
            value(call("multiply", &[1, 2]), F16),
            inner(call("subtract", &[0, 3]), F16),
            inner(call("square", &[4]), F16),
            value(Op::reduce(Fold::of(row("add")), 5, F16), F16),
            value(call("sqrt", &[6]), F16),
            inner(call("divide", &[4, 7]), F16),
        ],
        vec![store(0, F16, &[n as isize, 1], 8)],
    );
    let got: Vec<half::f16> = run(k, std::slice::from_ref(&x), outer * n).unwrap();
    for (o, xs) in x.chunks(n).enumerate() {
        let xs: Vec<f32> = xs.iter().map(|v| v.to_f32()).collect();
        let mean = tree(&xs, lanes_of(n), |a, b| a + b, -0.0) * (1.0 / n as f32);
        let d: Vec<f32> = xs.iter().map(|v| v - mean).collect();
        let squares: Vec<f32> = d.iter().map(|v| v * v).collect();
        let norm = tree(&squares, lanes_of(n), |a, b| a + b, -0.0).sqrt();
        for i in 0..n {
            assert_eq!(got[o * n + i], half::f16::from_f32(d[i] / norm));
        }
    }
}
