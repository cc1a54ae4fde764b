//! Rolled arrays and other concatenations of slices, which elementwise kernels read without a copy: one pass over
//! memory. The kernel divides its output into boxes; within a box, each operand is read from a single slice.

use crate::kit::{has_default_limits, on_devices, own, put, read};
use cupric::{DType::*, Device, Expr, concat, eval_all, s, zeros};

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
    // the sum of a cell's eight neighbours divides the array into nine boxes
    let near = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)];
    let sum = near.iter().map(|(i, j)| x.roll([*i, *j], (0, 1))).reduce(|a, b| a + b).unwrap();
    let sum_at = |i: usize, j: usize| near.iter().map(|(di, dj)| at(i, j, *di, *dj)).sum::<i32>();
    // WebGPU's default limits allow seven arrays per kernel, and each neighbour counts as one
    let (kernels, dispatches) = if has_default_limits(d) { (2, 12) } else { (1, 9) };
    let plan = checked("eight neighbours", sum.clone(), kernels, want(&sum_at));
    assert_eq!(plan.dispatches(), dispatches, "{plan}");
    // so many boxes that it is cheaper to store some of the rolled arrays
    let many = (1..14).map(|k| x.roll(k, 0)).reduce(|a, b| a + b).unwrap();
    assert_eq!(many.to_vec::<i32>().unwrap(), want(&|i, j| (1..14).map(|k| at(i, j, k, 0)).sum()));
    // views between the roll and the kernel: transposed, reversed, strided, sliced, broadcast
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
    // the rolled array is computed, the result is reduced, or two results read it
    let twice = &x * 2;
    let e = twice.roll(1, 0) - &twice;
    checked("computed", e.clone(), 2, want(&|i, j| 2 * at(i, j, 1, 0) - 2 * at(i, j, 0, 0)));
    assert_eq!((e.clone() * &e).sum(..).item::<i64>().unwrap(), want(&|i, j| (2 * at(i, j, 1, 0) - 2 * at(i, j, 0, 0)).pow(2)).iter().map(|v| *v as i64).sum::<i64>());
    let rolled = x.roll(6, 1);
    let both = eval_all([&(&rolled + 1), &(&rolled * 2).sum(1)]).unwrap();
    assert_eq!(both[0].to_vec::<i32>().unwrap(), want(&|i, j| at(i, j, 0, 6) + 1));
    let sums: Vec<i64> = (0..n).map(|i| (0..m).map(|j| 2 * at(i, j, 0, 6) as i64).sum()).collect();
    assert_eq!(both[1].to_vec::<i64>().unwrap(), sums);
    // written to the array itself
    let mut y = x.clone();
    y.update(|y| y.roll(1, 0) + y).unwrap();
    assert_eq!(y.to_vec::<i32>().unwrap(), want(&|i, j| at(i, j, 1, 0) + at(i, j, 0, 0)));
    let mut alone = put(d, data.clone(), &[n, m]);
    alone.update(|y| y.roll([1, 1], (0, 1)) - y).unwrap();
    assert_eq!(alone.to_vec::<i32>().unwrap(), want(&|i, j| at(i, j, 1, 1) - at(i, j, 0, 0)));
}

// Chains of rolled arrays: each kernel stores what the next one reads in boxes.
fn chains(d: &Device) {
    let data: Vec<f32> = (0..100).map(|k| (k * 37 % 64) as f32).collect();
    let x = put(d, data.clone(), &[100]);
    type Step = (&'static str, usize, fn(&Expr) -> Expr, fn(&[f32]) -> Vec<f32>);
    fn at(y: &[f32], i: usize, shift: usize) -> f32 {
        y[(i + 100 - shift) % 100]
    }
    let steps: [Step; 5] = [
        ("two", 15, |y| (y.roll(1, 0) + y.roll(2, 0)) * 0.5, |y| (0..100).map(|i| (at(y, i, 1) + at(y, i, 2)) * 0.5).collect()),
        ("one", 150, |y| y.roll(1, 0) * 1.0, |y| (0..100).map(|i| at(y, i, 1)).collect()),
        ("heat", 60, |y| (y.roll(1, 0) + y.roll(-1, 0)) * 0.5, |y| (0..100).map(|i| (at(y, i, 1) + at(y, i, 99)) * 0.5).collect()),
        ("and itself", 20, |y| (y.roll(1, 0) + y) * 0.5, |y| (0..100).map(|i| (at(y, i, 1) + y[i]) * 0.5).collect()),
        ("alone", 30, |y| y.roll(3, 0), |y| (0..100).map(|i| at(y, i, 3)).collect()),
    ];
    for (what, count, step, meant) in steps {
        let (mut y, mut want): (Expr, Vec<f32>) = (x.clone().into(), data.clone());
        for _ in 0..if d.is_gpu() { count.min(20) } else { count } {
            (y, want) = (step(&y), meant(&want));
        }
        let got = (y + 0.0).to_vec::<f32>().unwrap();
        assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-3), "{what}: {got:?} {want:?}");
    }
    // a sum of twenty different rolled arrays
    let xs: Vec<_> = (0..20).map(|k| put(d, vec![k as f32; 100], &[100])).collect();
    let sum = xs.iter().map(|x| x.roll(1, 0)).reduce(|a, b| a + b).unwrap();
    assert_eq!(sum.to_vec::<f32>().unwrap(), vec![190f32; 100]);
    // an index and an array that are both rolled, while another result stores a copy of the rolled array
    let i = put(d, (0..16).collect::<Vec<i32>>(), &[16]);
    let y = put(d, (0..16).map(|k| k as f32).collect::<Vec<_>>(), &[16]);
    let many = (1..=10).map(|k| y.roll(k, 0)).reduce(|a, b| a + b).unwrap();
    let one = y.take(i.roll(1, 0), 0) + y.roll(1, 0);
    let both = eval_all([&many, &one]).unwrap();
    assert_eq!(both[1].to_vec::<f32>().unwrap(), (0..16).map(|k| 2. * ((k + 15) % 16) as f32).collect::<Vec<_>>());
    assert_eq!(both[0].to_vec::<f32>().unwrap()[0], (6..16).sum::<i32>() as f32);
}

// A kernel with boxes writes in place if each box reads only those elements of the target that it writes.
fn boxes_in_place(d: &Device) {
    let d = &own(d);
    let mut x = zeros([1 << 20], F32).to_device(d).unwrap();
    let y = put(d, (0..10).map(|k| k as f32).collect::<Vec<_>>(), &[10]);
    d.synchronize().unwrap();
    let used = d.memory().used;
    x.slice_mut(s![5..15]).update(|v| v + y.roll(1, 0)).unwrap();
    x.slice_mut(s![5..15]).update(|v| v + y.roll(1, 0)).unwrap();
    d.synchronize().unwrap();
    let more = d.memory().peak - used;
    assert!(more < 1 << 20, "{more} bytes for ten elements");
    assert_eq!(x.slice(s![4..16]).to_vec::<f32>().unwrap(), [0., 18., 0., 2., 4., 6., 8., 10., 12., 14., 16., 0.]);
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
        // equal bits to a kernel that reads a copy
        let again = joined.eval().unwrap();
        assert_eq!(read(&(joined.slice(s![..;2]) * 0.375)).unwrap(), read(&(again.slice(s![..;2]) * 0.375)).unwrap());
        // an operand that is an expression keeps its rounding
        let halves = concat([&(&x * 0.1), &y], 0);
        assert_eq!(read(&(&halves + 0.0)).unwrap(), read(&halves).unwrap());
    }
}

}
