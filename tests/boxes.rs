//! Rolled arrays, and other concatenations of slices, that elementwise kernels read where they lie: one pass over memory, and the
//! same elements as from a copy.

use crate::kit::{on_devices, put, read};
use cupric::{DType::*, Device, Expr, concat, eval_all, s};

on_devices! {

fn rolls_are_read_by_one_kernel(d: &Device) {
    let (n, m) = (37, 50);
    let data: Vec<i32> = (0..n * m).map(|k| (k * 7919 % 1013) as i32).collect();
    let x = put(d, data.clone(), &[n, m]);
    let at = |i: usize, j: usize, di: isize, dj: isize| {
        let along = |i: usize, d: isize, n: usize| (i as isize - d).rem_euclid(n as isize) as usize;
        data[along(i, di, n) * m + along(j, dj, m)]
    };
    let want = |f: &dyn Fn(usize, usize) -> i32| (0..n * m).map(|k| f(k / m, k % m)).collect::<Vec<i32>>();
    let checked = |what: &str, e: Expr, kernels: usize, want: Vec<i32>| {
        let plan = e.plan().unwrap();
        assert_eq!(plan.kernels(), kernels, "{what}:\n{plan}");
        assert_eq!(e.to_vec::<i32>().unwrap(), want, "{what}");
        plan
    };
    let plan = checked("one axis", x.roll(1, 0) + &x, 1, want(&|i, j| at(i, j, 1, 0) + at(i, j, 0, 0)));
    let size = (n * m * 4) as u64;
    assert_eq!(plan.bytes(), (2 * size, size), "{plan}");
    checked("the last axis", x.roll(-3, 1) * 2, 1, want(&|i, j| 2 * at(i, j, 0, -3)));
    checked("two axes", x.roll([5, -2], (0, 1)) - &x, 1, want(&|i, j| at(i, j, 5, -2) - at(i, j, 0, 0)));
    // the neighbours of a cell: nine boxes
    let near = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)];
    let sum = near.iter().map(|(i, j)| x.roll([*i, *j], (0, 1))).reduce(|a, b| a + b).unwrap();
    let sum_at = |i: usize, j: usize| near.iter().map(|(di, dj)| at(i, j, *di, *dj)).sum::<i32>();
    let plan = checked("eight neighbours", sum.clone(), 1, want(&sum_at));
    assert_eq!(plan.dispatches(), 9, "{plan}");
    // more boxes than are worth it: what is left is stored
    let many = (1..14).map(|k| x.roll(k, 0)).reduce(|a, b| a + b).unwrap();
    assert_eq!(many.to_vec::<i32>().unwrap(), want(&|i, j| (1..14).map(|k| at(i, j, k, 0)).sum()));
    // views between: turned, backwards, with steps, a part, broadcast
    let turned = (x.roll(2, 0).t() + x.t()).t();
    checked("turned", turned, 1, want(&|i, j| at(i, j, 2, 0) + at(i, j, 0, 0)));
    let back = x.roll(2, 0).flip(0) + &x;
    checked("backwards", back, 1, want(&|i, j| at(n - 1 - i, j, 2, 0) + at(i, j, 0, 0)));
    let steps = x.roll(4, 1).slice(s![.., 1..;3]) + 1;
    let wanted = (0..n).flat_map(|i| (1..m).step_by(3).map(move |j| (i, j))).map(|(i, j)| at(i, j, 0, 4) + 1);
    checked("steps", steps, 1, wanted.collect());
    let reversed = x.roll(4, 1).slice(s![.., ..;-3]) + 1;
    let wanted = (0..n).flat_map(|i| (0..m).rev().step_by(3).map(move |j| (i, j))).map(|(i, j)| at(i, j, 0, 4) + 1);
    checked("steps backwards", reversed, 1, wanted.collect());
    let row = x.roll(4, 1).slice(s![3]) + &x;
    checked("a row that broadcasts", row, 1, want(&|i, j| at(3, j, 0, 4) + at(i, j, 0, 0)));
    let inside = x.roll(4, 0).slice(s![4..]) * 3;
    checked("one part alone", inside, 1, (4..n).flat_map(|i| (0..m).map(move |j| (i, j))).map(|(i, j)| 3 * at(i, j, 4, 0)).collect());
    // computed, folded, and read by two
    let twice = &x * 2;
    let e = twice.roll(1, 0) - &twice;
    checked("computed", e.clone(), 2, want(&|i, j| 2 * at(i, j, 1, 0) - 2 * at(i, j, 0, 0)));
    assert_eq!((e.clone() * &e).sum(..).item::<i64>().unwrap(), want(&|i, j| (2 * at(i, j, 1, 0) - 2 * at(i, j, 0, 0)).pow(2)).iter().map(|v| *v as i64).sum::<i64>());
    let rolled = x.roll(6, 1);
    let both = eval_all([&(&rolled + 1), &(&rolled * 2).sum(1)]).unwrap();
    assert_eq!(both[0].to_vec::<i32>().unwrap(), want(&|i, j| at(i, j, 0, 6) + 1));
    let sums: Vec<i64> = (0..n).map(|i| (0..m).map(|j| 2 * at(i, j, 0, 6) as i64).sum()).collect();
    assert_eq!(both[1].to_vec::<i64>().unwrap(), sums);
    // written to the array itself, and to a part of it
    let mut y = x.clone();
    y.update(|y| y.roll(1, 0) + y).unwrap();
    assert_eq!(y.to_vec::<i32>().unwrap(), want(&|i, j| at(i, j, 1, 0) + at(i, j, 0, 0)));
    let mut alone = put(d, data.clone(), &[n, m]);
    alone.update(|y| y.roll([1, 1], (0, 1)) - y).unwrap();
    assert_eq!(alone.to_vec::<i32>().unwrap(), want(&|i, j| at(i, j, 1, 1) - at(i, j, 0, 0)));
}

fn other_concatenations(d: &Device) {
    let x = put(d, (0..40).map(|k| k as f32 - 20.5).collect::<Vec<_>>(), &[8, 5]);
    let own = x.to_vec::<f32>().unwrap();
    let y = put(d, (0..30).map(|k| k as f32 * 3.25).collect::<Vec<_>>(), &[6, 5]);
    let all: Vec<f32> = own.iter().copied().chain(y.to_vec::<f32>().unwrap()).collect();
    for dtype in [F32, F16] {
        let (x, y) = (x.astype(dtype).eval().unwrap(), y.astype(dtype).eval().unwrap());
        let joined = concat([&x, &y], 0);
        let e = joined.abs() + 0.5;
        assert_eq!(e.plan().unwrap().kernels(), 1);
        assert_eq!(e.astype(F32).to_vec::<f32>().unwrap(), all.iter().map(|v| v.abs() + 0.5).collect::<Vec<_>>());
        // the bits of a copy
        let again = joined.eval().unwrap();
        assert_eq!(read(&(joined.slice(s![..;2]) * 0.375)).unwrap(), read(&(again.slice(s![..;2]) * 0.375)).unwrap());
        // an operand that is computed keeps its rounding
        let halves = concat([&(&x * 0.1), &y], 0);
        assert_eq!(read(&(&halves + 0.0)).unwrap(), read(&halves).unwrap());
    }
}

}
