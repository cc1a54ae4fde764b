//! Scans: `cumulative_sum` is compared with a second implementation of its tree of additions.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

const BLOCK: usize = 1024;
const RUN: usize = 4;

/// The inclusive scan by Sklansky's network.
fn network<T: Copy>(x: &[T], f: impl Fn(T, T) -> T + Copy) -> Vec<T> {
    let mut x = x.to_vec();
    let mut step = 1;
    while step < x.len() {
        for i in (0..x.len()).filter(|i| i & step != 0) {
            x[i] = f(x[i / step * step - 1], x[i]);
        }
        step *= 2;
    }
    x
}

/// The inclusive scan in the order of operations that `src/plan/kernel/scan.rs` defines.
fn tree<T: Copy>(x: &[T], f: impl Fn(T, T) -> T + Copy) -> Vec<T> {
    let blocks: Vec<Vec<T>> = (x.chunks(BLOCK))
        .map(|block| {
            let in_run = |run: &[T]| {
                let mut out = run.to_vec();
                (1..run.len()).for_each(|i| out[i] = f(out[i - 1], run[i]));
                out
            };
            let runs: Vec<Vec<T>> = block.chunks(RUN).map(in_run).collect();
            let before = network(&runs.iter().map(|r| r[r.len() - 1]).collect::<Vec<_>>(), f);
            let all = runs.iter().enumerate();
            all.flat_map(|(r, run)| {
                run.iter().map(|x| if r > 0 { f(before[r - 1], *x) } else { *x }).collect::<Vec<_>>()
            })
            .collect()
        })
        .collect();
    if blocks.len() < 2 {
        return blocks.concat();
    }
    let before = tree(&blocks.iter().map(|b| b[b.len() - 1]).collect::<Vec<_>>(), f);
    let all = blocks.iter().enumerate();
    all.flat_map(|(b, block)| block.iter().map(|x| if b > 0 { f(before[b - 1], *x) } else { *x }).collect::<Vec<_>>())
        .collect()
}

/// Applies a function to each row along an axis.
fn along<T: Copy + Default>(x: &[T], shape: &[usize], axis: usize, f: impl Fn(&[T]) -> Vec<T>) -> Vec<T> {
    let (n, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let mut out = vec![T::default(); x.len()];
    for o in 0..x.len() / (n * inner) {
        for c in 0..inner {
            let at = |i: usize| (o * n + i) * inner + c;
            let row: Vec<T> = (0..n).map(|i| x[at(i)]).collect();
            f(&row).into_iter().enumerate().for_each(|(i, v)| out[at(i)] = v);
        }
    }
    out
}

fn sums(x: &[f32], shape: &[usize], axis: usize) -> Vec<f32> {
    along(x, shape, axis, |row| tree(row, |a, b| a + b))
}

#[track_caller]
fn same(got: &Expr, want: &[f32], what: &str) {
    let got = got.to_vec::<f32>().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(got.len(), want.len(), "{what}");
    let differs = got.iter().zip(want).position(|(g, w)| g.to_bits() != w.to_bits() && !(g.is_nan() && w.is_nan()));
    if let Some(i) = differs {
        panic!("{what}: element {i} is {}, not {}", got[i], want[i]);
    }
}

/// Lengths near a run of 4, a row of 32 lanes, a block, several blocks, and the limit of a row kernel.
const LENGTHS: [usize; 22] = [
    2, 3, 4, 5, 33, 127, 128, 129, 1000, 1023, 1024, 1025, 1029, 2047, 2049, 4096, 4097, 16_383, 16_384, 16_385,
    17_409, 66_561,
];

on_devices! {

fn logarithms_of_sums_of_exponentials(d: &Device) {
    const N: f32 = f32::NAN;
    const I: f32 = f32::INFINITY;
    let rows = [
        [1e4, 9999.5, -I, 3., 10001.],
        [-I, -I, 0.5, -0.0, N],
        [I, 1., -I, 2., 3.],
        [-1000., -1000.5, -999., -1e4, -998.],
    ];
    let x = put(d, rows.concat(), &[4, 5]);
    let close = |got: &[f32], want: &[f64], what: &str| {
        let right = |(g, w): (&f32, &f64)| {
            let g = f64::from(*g);
            g == *w || g.is_nan() && w.is_nan() || (g - w).abs() <= 4e-7 * w.abs().max(2.0)
        };
        assert_eq!(got.len(), want.len(), "{what}");
        let wrong = got.iter().zip(want).position(|both| !right(both));
        assert!(wrong.is_none(), "{what}: {wrong:?} of {got:?} is not that of {want:?}");
    };
    for (name, _, want) in golden(include_str!("../data/sorting.txt")).filter(|(n, ..)| n.starts_with("logcum")) {
        let axis = if name.ends_with('0') { 0 } else { 1 };
        close(&x.logcumsumexp(axis).to_vec::<f32>().unwrap(), &want, name);
    }
    // many equal numbers far from 0, over several blocks, and rows that start with −∞
    let n = 70_001;
    let long = put(d, vec![88.0f32; n], &[n]);
    let want: Vec<f64> = (0..n).map(|i| 88.0 + (i as f64 + 1.0).ln()).collect();
    let e = &long.logcumsumexp(0) - 1.0;
    assert_eq!(e.plan().unwrap().kernels(), long.cumulative_sum(0).plan().unwrap().kernels(), "{}", e.plan().unwrap());
    close(&long.logcumsumexp(0).to_vec::<f32>().unwrap(), &want, "a long row");
    let back = x.slice(s![3]).logcumsumexp(reverse(exclusive(0))).to_vec::<f32>().unwrap();
    close(&back, &[-997.6284609681, -997.6867383125, -998.0, -998.0, f64::NEG_INFINITY], "reversed");
    let whole = put(d, vec![3i64, 3, 700], &[3]).logcumsumexp(include_initial(0)).to_vec::<f32>().unwrap();
    close(&whole, &[f64::NEG_INFINITY, 3.0, 3.0 + 2f64.ln(), 700.0], "integers");
}

fn rows_follow_the_tree(d: &Device) {
    for n in LENGTHS {
        for rows in [1, 3] {
            let x = noise(n as u64, rows * n);
            let want = sums(&x, &[rows, n], 1);
            same(&put(d, x, &[rows, n]).cumulative_sum(-1), &want, &format!("{rows} rows of {n}"));
        }
    }
}

fn columns_follow_the_tree(d: &Device) {
    for n in LENGTHS {
        for columns in [2, 17, 70] {
            let x = noise(n as u64 + 1, columns * n);
            let want = sums(&x, &[n, columns], 0);
            same(&put(d, x, &[n, columns]).cumulative_sum(0), &want, &format!("{columns} columns of {n}"));
        }
    }
    let x = noise(3, 5 * 300 * 7);
    same(&put(d, x.clone(), &[5, 300, 7]).cumulative_sum(1), &sums(&x, &[5, 300, 7], 1), "the middle axis");
}

fn totals_of_totals_of_blocks(d: &Device) {
    // three levels of blocks: blocks of blocks of blocks
    let n = BLOCK * BLOCK + 5 * BLOCK + 3;
    let x = noise(9, n);
    same(&put(d, x.clone(), &[n]).cumulative_sum(0), &sums(&x, &[n], 0), "a long row");
}

fn any_layout_has_the_same_bits(d: &Device) {
    let (m, n) = (37, 2100);
    let x = noise(4, m * n);
    let a = put(d, x.clone(), &[m, n]);
    let want = sums(&x, &[m, n], 1);
    let turned = put(d, a.t().to_vec::<f32>().unwrap(), &[n, m]);
    same(&turned.t().cumulative_sum(1), &want, "transposed");
    same(&turned.cumulative_sum(0).t(), &want, "a transposed result");
    let backward = put(d, a.flip(1).to_vec::<f32>().unwrap(), &[m, n]);
    same(&backward.flip(1).cumulative_sum(-1), &want, "flipped");
    let wide = put(d, a.repeated(2).to_vec::<f32>().unwrap(), &[m, 2 * n]);
    same(&wide.slice(s![.., ..;2]).cumulative_sum(1), &want, "every second");
    let row = a.slice(s![0]);
    same(&row.broadcast_to([3, n]).cumulative_sum(1), &want[..n].repeat(3), "broadcast rows");
    let column = a.slice(s![.., 0]).expand_dims(1).broadcast_to([m, n]).cumulative_sum(1);
    let first = along(&x, &[m, n], 1, |row| tree(&vec![row[0]; n], |a, b| a + b));
    same(&column, &first, "broadcast along the axis");
    // views of the result
    let s = a.cumulative_sum(1);
    let part: Vec<f32> = want.chunks(n).flat_map(|row| row.iter().rev().step_by(3).copied().collect::<Vec<_>>()).collect();
    same(&s.flip(1).slice(s![.., ..;3]), &part, "a view of the result");
    let begun: Vec<f32> = want.chunks(n).flat_map(|row| row[..1500].to_vec()).collect();
    same(&a.slice(s![.., ..1500]).cumulative_sum(1), &begun, "a row that ends earlier");
}

fn what_leads_to_it_and_follows_it_fuses(d: &Device) {
    for (m, n) in [(3, 100), (20, 700), (2, 5000), (2, 70_000)] {
        let (x, y) = (noise(5, m * n), noise(6, m * n));
        let (a, b) = (put(d, x.clone(), &[m, n]), put(d, y.clone(), &[m, n]));
        let product: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x * y).collect();
        // halving is exact, but a GPU's division may have other bits
        let e = (&a * &b).cumulative_sum(1) * 0.5 + &b;
        assert_eq!(e.plan().unwrap().kernels(), 1, "{}", e.plan().unwrap());
        let want: Vec<f32> = sums(&product, &[m, n], 1).iter().zip(&y).map(|(s, y)| s * 0.5 + y).collect();
        same(&e, &want, &format!("{m} × {n}"));
        let stored = (&a * &b).eval().unwrap().cumulative_sum(1).eval().unwrap() * 0.5 + &b;
        same(&stored, &want, &format!("{m} × {n}, not fused"));
    }
}

fn rows_with_reductions_and_further_scans(d: &Device) {
    // whole numbers, whose sums are equal in any order
    for (m, n) in [(5, 90), (4, 3000), (2, 70_001)] {
        let x: Vec<f32> = (0..m * n).map(|i| ((i * 37 + 11) % 13) as f32 - 6.0).collect();
        let a = put(d, x.clone(), &[m, n]);
        let scanned = sums(&x, &[m, n], 1);
        let rows = |f: &dyn Fn(&[f32]) -> f32| -> Vec<f32> { scanned.chunks(n).map(f).collect() };
        let what = format!("{m} × {n}");
        let s = a.cumulative_sum(1);
        same(&s.max(1), &rows(&|row| row.iter().copied().fold(f32::MIN, f32::max)), &format!("{what}, max of sums"));
        let total = a.sum(keep(1)).to_vec::<f32>().unwrap();
        let want: Vec<f32> = scanned.iter().enumerate().map(|(i, s)| s - total[i / n]).collect();
        same(&(&s - a.sum(keep(1))), &want, &format!("{what}, beside a sum"));
        let centred = along(&x, &[m, n], 1, |row| {
            let max = row.iter().copied().fold(f32::MIN, f32::max);
            tree(&row.iter().map(|x| x - max).collect::<Vec<_>>(), |a, b| a + b)
        });
        same(&(&a - a.max(keep(1))).cumulative_sum(1), &centred, &format!("{what}, after a max"));
        let twice = sums(&scanned.iter().map(|s| s % 7.0).collect::<Vec<_>>(), &[m, n], 1);
        same(&s.fmod_of(7.0).cumulative_sum(1), &twice, &format!("{what}, of a scan"));
        let both: Vec<f32> = scanned.iter().zip(&twice).map(|(a, b)| a + b).collect();
        same(&(&s + s.fmod_of(7.0).cumulative_sum(1)), &both, &format!("{what}, of a scan beside it"));
        let other = sums(&x.iter().map(|x| x * 2.0).collect::<Vec<_>>(), &[m, n], 1);
        let both: Vec<f32> = scanned.iter().zip(&other).map(|(a, b)| a + b).collect();
        same(&(&s + (&a * 2.0).cumulative_sum(1)), &both, &format!("{what}, two scans"));
        let down = sums(&scanned, &[m, n], 0);
        same(&s.cumulative_sum(0), &down, &format!("{what}, along both axes"));
    }
}

fn a_nan_reaches_no_element_before_it(d: &Device) {
    for n in [50, 700, 3000, 20_000] {
        for at in [0, 1, 3, 4, 5, n / 2, n - 2, n - 1] {
            for bad in [f32::NAN, f32::INFINITY] {
                let mut x = vec![1.0f32; n];
                x[at] = bad;
                let got = put(d, x, &[n]).cumulative_sum(0).to_vec::<f32>().unwrap();
                for (i, g) in got.iter().enumerate() {
                    let right = if i < at { *g == (i + 1) as f32 } else { g.is_nan() == bad.is_nan() && !g.is_finite() };
                    assert!(right, "{bad} at {at} of {n}: element {i} is {g}");
                }
            }
        }
    }
    let x = put(d, vec![f32::INFINITY, 1.0, f32::NEG_INFINITY, 1.0], &[4]);
    let got = x.cumulative_sum(0).to_vec::<f32>().unwrap();
    assert!(got[..2] == [f32::INFINITY; 2] && got[2].is_nan() && got[3].is_nan(), "{got:?}");
    let zeros = put(d, vec![-0.0f32; 5000], &[5000]).cumulative_sum(0).to_vec::<f32>().unwrap();
    assert!(zeros.iter().all(|z| z.is_sign_negative()), "sums of −0");
}

fn every_type_has_the_sums_of_sum(d: &Device) {
    for dtype in DType::ALL.into_iter().filter(|t| has(d, *t)) {
        for n in [300, 5000] {
            let x = put(d, (0..2 * n).map(|i| (i * 7919 % 120) as f32).collect::<Vec<_>>(), &[2, n]).astype(dtype).eval().unwrap();
            let e = x.cumulative_sum(1);
            let want = x.sum(1);
            assert_eq!(e.dtype().unwrap(), want.dtype().unwrap(), "{dtype}");
            if !has(d, want.dtype().unwrap()) {
                assert_eq!(e.eval().unwrap_err().kind(), ErrorKind::Unsupported, "{dtype}");
                continue;
            }
            let e = e.eval().unwrap();
            // the elements are whole numbers, so f64 sums are exact and are rounded or wrapped once
            let elements: Vec<f64> = read(&x).unwrap().iter().map(|bits| number::real(dtype, *bits)).collect();
            let to = e.dtype();
            let one = |x: f64| if to.is_float() { number::round(to, x) } else { number::wrap(to, x as i128) };
            let upto = |total: &mut f64, x: &f64| { *total += x; Some(one(*total)) };
            let exact: Vec<u64> = elements.chunks(n).flat_map(|row| row.iter().scan(0.0, upto)).collect();
            let bits = read(&e).unwrap();
            assert_eq!(bits, exact, "{n} of {dtype}");
            assert_eq!([bits[n - 1], bits[2 * n - 1]], read(&want).unwrap()[..], "the last sums of {n} of {dtype}");
        }
    }
    if has(d, I64) {
        let x = put(d, vec![i64::MAX, 1, 5, i64::MIN], &[4]).cumulative_sum(0);
        assert_eq!(x.to_vec::<i64>().unwrap(), [i64::MAX, i64::MIN, i64::MIN + 5, 5]);
        let x = put(d, vec![i32::MAX; 3000], &[3000]).cumulative_sum(0).to_vec::<i64>().unwrap();
        assert!(x.iter().enumerate().all(|(i, s)| *s == (i as i64 + 1) * i32::MAX as i64));
        let x = put(d, vec![u32::MAX; 3], &[3]).cumulative_sum(0).to_vec::<u64>().unwrap();
        assert_eq!(x, [u32::MAX as u64, 2 * u32::MAX as u64, 3 * u32::MAX as u64]);
    }
}

fn nothing_and_one_element(d: &Device) {
    for shape in [[0, 3], [3, 0], [1, 3], [3, 1]] {
        let x = ones(shape, I16).to_device(d).unwrap();
        for axis in [0, 1, -1] {
            let e = x.cumulative_sum(axis);
            assert_eq!((e.shape().unwrap(), e.dtype().unwrap()), (&shape[..], I64));
            let elements = shape[0] * shape[1];
            let count = |i: usize| if axis == 0 { i / shape[1] } else { i % shape[1] } as i64 + 1;
            if has(d, I64) {
                assert_eq!(e.to_vec::<i64>().unwrap(), (0..elements).map(count).collect::<Vec<_>>(), "{shape:?}, {axis}");
            }
        }
    }
    let scalar = full([0usize; 0], 3.0, F32).to_device(d).unwrap();
    assert_eq!(scalar.cumulative_sum(0).eval().unwrap_err().kind(), ErrorKind::Axis);
}

fn writes_in_place_and_into_parts(d: &Device) {
    for n in [600, 5000, 70_000] {
        let x = noise(7, 2 * n);
        let want = sums(&x, &[2, n], 1);
        let mut a = put(d, x.clone(), &[2, n]);
        let s = a.cumulative_sum(1);
        a.assign(s).unwrap();
        same(&a, &want, &format!("in place, {n}"));
        let mut a = put(d, x.clone(), &[2, n]);
        a.update(|x| x.cumulative_sum(1) * 2.0 + x).unwrap();
        let both: Vec<f32> = want.iter().zip(&x).map(|(s, x)| s * 2.0 + x).collect();
        same(&a, &both, &format!("with its operand, {n}"));
        let b = put(d, x.clone(), &[2, n]);
        let mut wide = zeros([2, 2 * n + 1], F32).to_device(d).unwrap();
        wide.set(s![.., 1..;2], b.cumulative_sum(1)).unwrap();
        same(&wide.slice(s![.., 1..;2]), &want, &format!("every second, {n}"));
        let halves = b.astype(F16).eval().unwrap();
        let mut narrow = zeros([2, n + 1], F16).to_device(d).unwrap();
        narrow.set(s![.., 1..], halves.cumulative_sum(1)).unwrap();
        let alone = halves.cumulative_sum(1).eval().unwrap().astype(F32).to_vec::<f32>().unwrap();
        same(&narrow.slice(s![.., 1..]).astype(F32), &alone, &format!("words shared with a neighbour, {n}"));
        same(&narrow.slice(s![.., 0]).astype(F32), &[0.0, 0.0], "the neighbour");
    }
}

fn positions_that_are_counted(d: &Device) {
    // a scan gives the positions to which the kept elements are moved
    for n in [200, 3000] {
        let x: Vec<i32> = (0..n).map(|i| i * 31 % 7).collect();
        let a = put(d, x.clone(), &[n as usize]);
        let place = a.greater(3).astype(I32).cumulative_sum(0).astype(I32) - 1;
        let table = arange(0, n, 1, I32).to_device(d).unwrap();
        let got = table.take(Clip(place), 0).to_vec::<i32>().unwrap();
        let mut count = -1;
        let want: Vec<i32> = x.iter().map(|x| { count += (*x > 3) as i32; count.max(0) }).collect();
        assert_eq!(got, want);
    }
}

}

/// Lengths that fill runs, groups of runs and blocks, or end within them. The first sums are −0 in half of the rows.
#[test]
fn rows_of_every_length() {
    for first in [None, Some(-0.0)] {
        let mut x = noise(11, BLOCK + 40);
        if let Some(first) = first {
            x[..3].fill(first);
        }
        let want = sums(&x, &[x.len()], 0);
        let all = put(&Device::cpu(), x, &[BLOCK + 40]);
        for n in 1..=BLOCK + 40 {
            same(&all.slice(s![..n as isize]).cumulative_sum(0), &want[..n], &format!("{n} elements, {first:?}"));
        }
    }
}

#[test]
fn rows_on_every_instruction_set() {
    on_other_instruction_sets(module_path!(), &["rows_of_every_length", "cpu::rows_follow_the_tree"]);
}

#[test]
fn no_bit_depends_on_threads_or_on_where_the_planner_cuts() {
    let d = Device::cpu();
    let caps =
        |max_row| testing::Caps { max_row, name: format!("rows of {max_row}"), ..testing::named_caps("cpu").unwrap() };
    for (shape, axis) in [([1, 70_000], 1), ([3, 9000], 1), ([5000, 20], 0), ([3000, 1], 0)] {
        let x = noise(8, shape[0] * shape[1]);
        let want = sums(&x, &shape, axis);
        for threads in [1, 2, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let a = put(&d, x.clone(), &shape);
            pool.install(|| same(&a.cumulative_sum(axis as isize), &want, &format!("{threads} threads")));
        }
        for max_row in [32, 1024, 2048, 1 << 20] {
            let small = testing::cpu_within(&caps(max_row)).unwrap();
            let a = put(&small, x.clone(), &shape);
            let e = a.cumulative_sum(axis as isize);
            let cut = shape[axis] > max_row.max(BLOCK);
            assert_eq!(e.plan().unwrap().dispatches() > 1, cut, "{}", e.plan().unwrap());
            same(&e, &want, &format!("rows of {max_row}"));
        }
    }
}

/// If a block's elements span more than a binding, they are first copied next to each other.
#[test]
fn elements_further_apart_than_a_binding() {
    let tight = testing::Caps {
        max_binding: 16 << 10,
        max_row: 32,
        name: "tight".into(),
        ..testing::named_caps("cpu").unwrap()
    };
    let gpu = gpu(1).map(|_| testing::shrunk_gpu(64 << 10, 4).unwrap());
    for d in [Some(testing::cpu_within(&tight).unwrap()), gpu].into_iter().flatten() {
        for shape in [[3000, 40], [700, 60]] {
            let [n, columns] = shape;
            let x: Vec<f32> = (0..n * columns).map(|i| (i * 31 % 17) as f32 - 8.0).collect();
            let a = put(&d, x.clone(), &shape);
            let steps = arange(0, n as i32, 1, I32).astype(F32).reshape([n as isize, 1]);
            let e = (&a + &steps).cumulative_sum(0) * 0.5 + &a;
            let plan = e.plan().unwrap();
            assert!(plan.to_string().contains("elementwise"), "{plan}");
            let stepped: Vec<f32> = x.iter().enumerate().map(|(i, x)| x + (i / columns) as f32).collect();
            let want: Vec<f32> = sums(&stepped, &shape, 0).iter().zip(&x).map(|(s, x)| s * 0.5 + x).collect();
            same(&e, &want, &format!("{shape:?} on {d:?}\n{plan}"));
            let halves = a.astype(F16).eval().unwrap();
            let want: Vec<f32> = sums(&x, &shape, 0).iter().map(|s| f16::from_f32(*s).to_f32()).collect();
            same(
                &halves.cumulative_sum(0).eval().unwrap().astype(F32),
                &want,
                &format!("halves of {shape:?} on {d:?}"),
            );
        }
        // a long contiguous row needs no such copy
        let x = noise(3, 30_000);
        same(&put(&d, x.clone(), &[30_000]).cumulative_sum(0), &sums(&x, &[30_000], 0), "a row");
    }
}

trait More {
    fn repeated(&self, times: usize) -> Expr;
    fn fmod_of(&self, by: f32) -> Expr;
}

impl More for Expr {
    /// Repeats each element along a new last axis, which is then merged.
    fn repeated(&self, times: usize) -> Expr {
        let shape = self.shape().unwrap().to_vec();
        let wide = self.expand_dims(-1).broadcast_to([shape[0], shape[1], times]);
        wide.reshape([shape[0] as isize, (shape[1] * times) as isize])
    }

    /// The remainder of whole numbers, with the sign of the dividend.
    fn fmod_of(&self, by: f32) -> Expr {
        self - (self / by).trunc() * by
    }
}

/// The options `reverse`, `exclusive` and `include_initial`, for each kind of scan.
#[test]
fn axes_that_say_which_elements_count() {
    let d = Device::cpu();
    let x = put(&d, vec![3i32, -1, 2, 5, 4, -6], &[2, 3]);
    let i = |e: Expr, want: &[i64]| arrays::same(&e.astype(I64), want);
    i(x.cumulative_sum(reverse(1)), &[4, 1, 2, 3, -2, -6]);
    i(x.cumulative_sum(exclusive(1)), &[0, 3, 2, 0, 5, 9]);
    i(x.cumulative_sum(reverse(exclusive(1))), &[1, 2, 0, -2, -6, 0]);
    i(x.cumulative_sum(include_initial(1)), &[0, 3, 2, 4, 0, 5, 9, 3]);
    i(x.cumulative_sum(include_initial(reverse(0))), &[8, 3, -4, 5, 4, -6, 0, 0, 0]);
    i(x.cumulative_prod(exclusive(0)), &[1, 1, 1, 3, -1, 2]);
    arrays::same(&x.cummax(exclusive(1)), &[i32::MIN, 3, 3, i32::MIN, 5, 5]);
    arrays::same(&x.cummin(include_initial(1)), &[i32::MAX, 3, -1, -1, i32::MAX, 5, 4, -6]);
    arrays::same(&x.astype(F32).cummax(exclusive(-1)), &[f32::NEG_INFINITY, 3., 3., f32::NEG_INFINITY, 5., 5.]);
    let u = x.greater(0);
    arrays::same(&u.cummax(exclusive(1)), &[false, true, true, false, true, true]);
    arrays::same(&u.cummin(1), &[true, false, false, true, true, false]);
    // rows without elements, and rows of one element
    let none = x.slice(s![.., ..0]);
    assert_eq!(none.cumulative_sum(exclusive(1)).shape().unwrap(), [2, 0]);
    i(none.cumulative_sum(include_initial(1)), &[0, 0]);
    i(x.slice(s![.., ..1]).cumulative_prod(include_initial(1)), &[1, 3, 1, 5]);
    let e = x.cumulative_sum(include_initial(exclusive(1))).eval().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::Argument, "cumulative_sum"), "{e}");
    // from a NaN on, maxima and minima are NaN
    let x = put(&d, vec![1f32, f32::NAN, 2.0], &[3]);
    assert!(x.cummax(0).to_vec::<f32>().unwrap()[1..].iter().all(|v| v.is_nan()));
    assert!(x.cummin(reverse(0)).to_vec::<f32>().unwrap()[..2].iter().all(|v| v.is_nan()));
}
