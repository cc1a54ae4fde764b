//! Tests of sums of bools and of 8- and 16-bit integers, which folds read without widening them.

use super::*;
use crate::cpu::assign;
use crate::cpu::program::{Goal, Level, Request, TileOrder};
use crate::plan::kernel::Step;

crate::testing::unit_tests! {
    cpu_narrow: rows_of_every_length, columns_of_every_width, any_byte_but_0_is_true, computed_bools_are_counted,
    widened_elements_that_others_read, casts_that_do_not_keep_the_sign, only_loads_remain
}

/// Returns the kernel that sums `outer` rows of `n` elements in the dtype `to`.
fn sums(lanes: Lanes, from: DType, to: DType, outer: usize, n: usize, strides: [isize; 2], first: usize) -> Kernel {
    kernel(
        KernelKind::Reduce(lanes),
        &[outer],
        &[n],
        vec![load(0, from, &strides, first as isize)],
        vec![inner(Op::Load(0), from), inner(Op::Cast(0), to), value(Op::reduce(Fold::of(row("add")), 1, to), to)],
        vec![store(0, to, &[1], 2)],
    )
}

/// Returns `n` pseudorandom words, or words of ones only.
fn words(n: usize, ones: bool) -> impl Iterator<Item = u32> {
    let mut s = 12345u32;
    (0..n).map(move |_| {
        s = s.wrapping_mul(1664525).wrapping_add(1013904223);
        if ones { u32::MAX } else { s >> 12 }
    })
}

/// Tests sums of elements of one type, made from words by `$make`, against plain loops.
macro_rules! compare {
    ($t:ty, $from:ident, $make:expr, $lanes:expr, $outer:expr, $n:expr, $strides:expr, $first:expr) => {{
        let (outer, n, strides, first): (usize, usize, [isize; 2], usize) = ($outer, $n, $strides, $first);
        let last = |count: usize, step: isize| count.saturating_sub(1) * step.max(0) as usize;
        let len = first + 1 + last(outer, strides[0]) + last(n, strides[1]);
        for ones in [false, true] {
            // the most negative number of a signed type is the other extreme
            let make: fn(u32) -> $t = $make;
            let x: Vec<$t> = words(len, ones).map(make).collect();
            let at = |o: usize, i: usize| {
                x[first.wrapping_add_signed(o as isize * strides[0] + i as isize * strides[1])] as i64
            };
            let want: Vec<i64> = (0..outer).map(|o| (0..n).fold(0i64, |sum, i| sum.wrapping_add(at(o, i)))).collect();
            for t in [1, 2] {
                let context =
                    format!("{} {outer} × {n} at {strides:?}, {:?}, ones {ones}, {t} threads", stringify!($t), $lanes);
                let k = |to| sums($lanes, $from, to, outer, n, strides, first);
                let x = std::slice::from_ref(&x);
                let narrow: Vec<i32> = threads(t, || run(k(I32), x, outer).unwrap());
                assert_eq!(narrow, want.iter().map(|w| *w as i32).collect::<Vec<_>>(), "{context}");
                let wide: Vec<u64> = threads(t, || run(k(U64), x, outer).unwrap());
                assert_eq!(wide, want.iter().map(|w| *w as u64).collect::<Vec<_>>(), "{context}");
            }
        }
    }};
}

macro_rules! compare_all {
    ($($args:expr),*) => {{
        compare!(bool, Bool, |w| w & 1 == 1, $($args),*);
        compare!(u8, U8, |w| w as u8, $($args),*);
        compare!(i8, I8, |w| (w as i8).wrapping_sub(127), $($args),*);
        compare!(u16, U16, |w| w as u16, $($args),*);
        compare!(i16, I16, |w| (w as i16).wrapping_sub(i16::MAX), $($args),*);
    }};
}

fn rows_of_every_length() {
    for n in [1, 15, 16, 63, 64, 65, 127, 128, 129, 143, 145, 1000, 2047, 2048, 2049, 4000] {
        for outer in [1, 3, 40] {
            compare_all!(Lanes::Inner, outer, n, [n as isize, 1], 0);
        }
        // rows with gaps that begin at any element, every second element, and elements in reverse order
        compare_all!(Lanes::Inner, 3, n, [n as isize + 3, 1], 1);
        compare_all!(Lanes::Inner, 3, n, [2 * n as isize, 2], 1);
        compare_all!(Lanes::Inner, 2, n, [0, -1], n - 1);
    }
    // the numbers of elements at which lanes are full, and rows that threads share
    for n in [255 * 128, 256 * 128, 257 * 128, 400_000] {
        for n in [n - 1, n, n + 1, n + 128] {
            compare_all!(Lanes::Inner, 1, n, [n as isize, 1], 3);
        }
    }
    for n in [65537 * 128 - 1, 65537 * 128 + 130] {
        compare!(u16, U16, |w| w as u16, Lanes::Inner, 1, n, [n as isize, 1], 0);
        compare!(i16, I16, |w| (w as i16).wrapping_sub(i16::MAX), Lanes::Inner, 1, n, [n as isize, 1], 0);
    }
}

fn columns_of_every_width() {
    for outer in [1, 2, 3, 31, 32, 33, 100, 255, 256, 257, 511, 512, 513, 1300] {
        for n in [1, 4, 7, 255, 256, 258, 601] {
            for gap in [0, 5] {
                compare_all!(Lanes::Outer, outer, n, [1, (outer + gap) as isize], gap);
            }
        }
    }
    for outer in [1, 3, 700] {
        compare!(bool, Bool, |w| w & 1 == 1, Lanes::Outer, outer, 90_000, [1, outer as isize], 0);
        compare!(u8, U8, |w| w as u8, Lanes::Outer, outer, 90_000, [1, outer as isize], 0);
    }
    // rows of memory in reverse order, and columns that are not contiguous
    compare_all!(Lanes::Outer, 40, 300, [1, -40], 299 * 40);
    compare_all!(Lanes::Outer, 40, 300, [2, 80], 1);
}

fn any_byte_but_0_is_true() {
    for (lanes, strides) in [(Lanes::Inner, [1000, 1]), (Lanes::Outer, [1, 50])] {
        let x: Vec<u8> = words(50_000, false).map(|w| if w & 3 == 0 { 0 } else { w as u8 | 2 }).collect();
        let at = |o: usize, i: usize| (x[o * strides[0] as usize + i * strides[1] as usize] != 0) as i32;
        let want: Vec<i32> = (0..50).map(|o| (0..1000).map(|i| at(o, i)).sum()).collect();
        let k = sums(lanes, Bool, I32, 50, 1000, strides, 0);
        assert_eq!(run::<u8, i32>(k, std::slice::from_ref(&x), 50).unwrap(), want);
    }
}

fn computed_bools_are_counted() {
    for (outer, n) in [(1, 100_000), (30, 100), (300, 70)] {
        let x = noise(outer * n);
        for (lanes, strides) in [(Lanes::Inner, [n, 1]), (Lanes::Outer, [1, outer])] {
            let k = kernel(
                KernelKind::Reduce(lanes),
                &[outer],
                &[n],
                vec![load(0, F32, &strides.map(|s| s as isize), 0)],
                vec![
                    inner(Op::Load(0), F32),
                    inner(call("square", &[0]), F32),
                    inner(call("less", &[1, 0]), Bool),
                    inner(Op::Cast(2), I64),
                    value(Op::reduce(Fold::of(row("add")), 3, I64), I64),
                ],
                vec![store(0, I64, &[1], 4)],
            );
            let is_less = |x: f32| (x * x < x) as i64;
            let want: Vec<i64> =
                (0..outer).map(|o| (0..n).map(|i| is_less(x[o * strides[0] + i * strides[1]])).sum()).collect();
            for t in [1, 2] {
                let got: Vec<i64> = threads(t, || run(k.clone(), std::slice::from_ref(&x), outer).unwrap());
                assert_eq!(got, want, "{outer} × {n}, {lanes:?}, {t} threads");
            }
        }
    }
}

fn widened_elements_that_others_read() {
    // the sum of a row plus its largest element, which is found among the widened elements or among the loaded ones
    let (outer, n) = (20, 300);
    let x: Vec<u8> = words(outer * n, false).map(|w| w as u8).collect();
    let want: Vec<u64> =
        x.chunks(n).map(|r| r.iter().map(|x| *x as u64).sum::<u64>() + *r.iter().max().unwrap() as u64).collect();
    for (second, dtype) in [(1, U64), (0, U8)] {
        let k = kernel(
            KernelKind::Reduce(Lanes::Inner),
            &[outer],
            &[n],
            vec![load(0, U8, &[n as isize, 1], 0)],
            vec![
                inner(Op::Load(0), U8),
                inner(Op::Cast(0), U64),
                value(Op::reduce(Fold::of(row("add")), 1, U64), U64),
                value(Op::reduce(Fold::of(row("maximum")), second, dtype), dtype),
                value(Op::Cast(3), U64),
                value(call("add", &[2, 4]), U64),
            ],
            vec![store(0, U64, &[1], 5)],
        );
        assert_eq!(run::<u8, u64>(k, std::slice::from_ref(&x), outer).unwrap(), want, "{dtype}");
    }
}

fn casts_that_do_not_keep_the_sign() {
    // i8 to u32 keeps the bits of a negative number, and u32 to u64 adds zeros
    let n = 1000;
    let x: Vec<i8> = words(n, false).map(|w| w as i8).collect();
    let k = kernel(
        KernelKind::Reduce(Lanes::Inner),
        &[1],
        &[n],
        vec![load(0, I8, &[n as isize, 1], 0)],
        vec![
            inner(Op::Load(0), I8),
            inner(Op::Cast(0), U32),
            inner(Op::Cast(1), U64),
            value(Op::reduce(Fold::of(row("add")), 2, U64), U64),
        ],
        vec![store(0, U64, &[1], 3)],
    );
    let want: u64 = x.iter().map(|x| *x as u32 as u64).sum();
    assert_eq!(run::<i8, u64>(k, &[x], 1).unwrap(), [want]);
}

fn only_loads_remain() {
    let steps = |from, to, n: usize| {
        let plan = plan(sums(Lanes::Inner, from, to, 1, n, [n as isize, 1], 0));
        let Step::Nest(k) = &plan.steps[0] else { panic!("not a loop nest") };
        let level = |cols| Level { rows: 1, cols, fixed: true };
        let request = Request {
            order: TileOrder::Rows,
            outer: level(1),
            inner: level(n),
            goal: Goal::Stores,
            passes: k.schedule.passes(),
            aliased: &[false],
        };
        let program = assign::assign(k, request).unwrap();
        (program.steps.len(), program.places.iter().all(|p| p.convert.is_none()))
    };
    for from in [Bool, U8, I8, U16, I16] {
        assert_eq!(steps(from, U64, 1000), (1, true), "{from}");
        assert_eq!(steps(from, I32, 1000), (1, true), "{from}");
    }
    assert_eq!(steps(U32, U64, 1000), (2, true));
    assert_eq!(steps(Bool, I32, 10), (2, false));
}
