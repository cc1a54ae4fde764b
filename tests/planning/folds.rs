//! Reductions defined by formulas: one of the crate and some made here, compared with loops over the elements, for all
//! types and layouts, in one kernel and in several passes. And every built-in reduction against its own formulas.

use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{FoldDraft, FoldFormula, FoldRow, Start, TypeOf, fold, mean_square, reduce_by, table_folds};
use cupric::*;

fn call(name: &str, args: &[FoldFormula]) -> FoldFormula {
    FoldFormula::call(testing::row(name).expect("a function"), args)
}

fn number(x: f64) -> FoldFormula {
    FoldFormula::number(x, TypeOf::Float)
}

fn a(n: usize) -> FoldFormula {
    FoldFormula::a(n)
}

fn b(n: usize) -> FoldFormula {
    FoldFormula::b(n)
}

fn x() -> FoldFormula {
    FoldFormula::X.cast(TypeOf::Float)
}

/// The mean of squares. The state is the sum of squares, and the count.
fn squares(name: &'static str) -> FoldDraft {
    FoldDraft {
        name,
        state: vec![(TypeOf::Float, Start::Zero); 2],
        lift: vec![call("square", &[x()]), number(1.0)],
        combine: vec![call("add", &[a(0), b(0)]), call("add", &[a(1), b(1)])],
        finish: call("divide", &[a(0), a(1)]),
        result: TypeOf::Float,
        empty: Some(f64::NAN),
        commutative: true,
        exact: false,
    }
}

/// The variance, by Chan's formula. The state is the mean, the sum of squared deviations, and the count.
fn variance() -> FoldDraft {
    let count = call("add", &[a(2), b(2)]);
    // combining two empty states would divide 0 by 0, so we take the count as at least 1
    let some = call("maximum", &[count, number(1.0)]);
    let apart = call("subtract", &[b(0), a(0)]);
    let share = call("divide", &[b(2), some]);
    let spread = call("multiply", &[call("square", &[apart]), call("multiply", &[a(2), share])]);
    FoldDraft {
        name: "variance",
        state: vec![(TypeOf::Float, Start::Zero); 3],
        lift: vec![x(), number(0.0), number(1.0)],
        combine: vec![
            call("add", &[a(0), call("multiply", &[apart, share])]),
            call("add", &[call("add", &[a(1), b(1)]), spread]),
            count,
        ],
        finish: call("divide", &[a(1), a(2)]),
        result: TypeOf::Float,
        empty: Some(f64::NAN),
        commutative: true,
        exact: false,
    }
}

/// The sum of each element times its position, in 32-bit integers.
fn moment() -> FoldDraft {
    let int = TypeOf::Is(I32);
    FoldDraft {
        name: "moment",
        state: vec![(int, Start::Zero)],
        lift: vec![call("multiply", &[FoldFormula::X.cast(int), FoldFormula::POSITION])],
        combine: vec![call("add", &[a(0), b(0)])],
        finish: a(0),
        result: int,
        empty: Some(0.0),
        commutative: true,
        exact: true,
    }
}

/// Elements for which another order of additions gives other bits. Floats use all digits of their type and both signs;
/// each is a number from 1 to 1.4 or its reciprocal, so that products of thousands stay near 1. Integers are odd and
/// have one digit, so that no product is 0 and sums fit 32 bits.
fn elements(n: usize, dtype: DType) -> Array {
    let mut dice = Dice::new(n as u64);
    let mut one = || {
        let (x, sign) = (dice.within(1.0, 1.4), if dice.one_in(2) { -1.0 } else { 1.0 });
        match dtype {
            Bool => dice.below(2) as f64,
            t if t.is_float() => sign * if dice.one_in(2) { x } else { 1.0 / x },
            t => (2 * dice.between(if t.is_unsigned_integer() { 0 } else { -4 }, 3) + 1) as f64,
        }
    };
    Array::from_vec((0..n).map(|_| one()).collect::<Vec<f64>>(), [n]).unwrap().astype(dtype).eval().unwrap()
}

fn host(e: &Expr) -> Vec<f64> {
    e.to_device(&Device::cpu()).unwrap().astype(F64).to_vec::<f64>().unwrap()
}

fn bits(e: &Expr) -> Vec<u64> {
    read(e).unwrap()
}

/// Applies a function to each row of a matrix, in f64.
fn rows(x: &Expr, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let n = x.shape().unwrap()[1];
    host(x).chunks_exact(n).map(f).collect()
}

fn mean_of_squares(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>() / v.len() as f64
}

fn variance_of(v: &[f64]) -> f64 {
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    v.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / v.len() as f64
}

#[track_caller]
fn near_all(what: &str, got: &Expr, want: &[f64], relative: f64) {
    let got = host(got);
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= relative * w.abs().max(1e-3), "{what}: element {i} is {g}, not {w}");
    }
}

/// Matrices to reduce by rows, in several layouts: long and short rows or columns, strided, broadcast.
fn matrices(d: &Device, dtype: DType, sizes: &[[usize; 2]]) -> Vec<Expr> {
    let mut out: Vec<Expr> = vec![];
    for [m, n] in sizes {
        let x = elements(m * n, dtype).to_device(d).unwrap();
        let rows = x.reshape([*m, *n]);
        let columns = x.reshape([*n, *m]).t();
        out.extend([rows.clone(), columns, rows.slice(s![.., ..;-1]), rows.slice(s![..;-1, ..;2])]);
    }
    out
}

const SIZES: [[usize; 2]; 6] = [[3, 1], [5, 17], [40, 33], [2, 600], [20, 511], [3, 5000]];

fn check(d: &Device, dtype: DType, sizes: &[[usize; 2]]) {
    let relative = if dtype == F16 { 1e-3 } else { 1e-5 };
    let (row, made) = (mean_square().unwrap(), fold(&squares("mean of squares")).unwrap());
    let variance = fold(&variance()).unwrap();
    for x in matrices(d, dtype, sizes) {
        let name = format!("{:?} of {dtype} on {d}", x.shape().unwrap());
        let got = reduce_by(&x, row, 1).eval().unwrap();
        assert_eq!(got.dtype(), if dtype == I32 { F32 } else { dtype });
        near_all(&name, &got, &rows(&x, mean_of_squares), relative);
        assert_eq!(bits(&got), bits(&reduce_by(&x, made, 1)), "{name}: a row made at run time");
        near_all(&name, &reduce_by(&x, variance, 1), &rows(&x, variance_of), 10.0 * relative);
    }
}

/// Devices that split reductions: a CPU, and a GPU with bindings of 64 KiB.
fn tight() -> Vec<Device> {
    let gpu: Option<Device> = match gpu(1) {
        #[cfg(feature = "gpu")]
        Some(_) => Some(testing::shrunk_gpu(64 << 10, 4).unwrap()),
        _ => None,
    };
    [testing::shrunk_cpu().unwrap()].into_iter().chain(gpu).collect()
}

#[test]
fn equal_columns_are_one_fold() {
    let made = fold(&squares("mean_square")).unwrap();
    assert_eq!(made, mean_square().unwrap());
    assert_ne!(made, fold(&squares("another name")).unwrap());
    let other = FoldDraft { empty: Some(0.0), ..squares("mean_square") };
    assert_ne!(made, fold(&other).unwrap());
}

on_devices! {
    fn formulas(d: &Device) {
        for dtype in [F32, F64, F16, I32].into_iter().filter(|t| has(d, *t)) {
            check(d, dtype, &SIZES);
        }
    }

    fn along_other_axes(d: &Device) {
        let x = elements(6 * 70 * 50, F32).to_device(d).unwrap().reshape([6, 70, 50]);
        let row = mean_square().unwrap();
        let all = mean_of_squares(&host(&x));
        near_all("all", &reduce_by(&x, row, ..), &[all], 1e-5);
        let middle = x.permute_dims([0, 2, 1]).reshape([300, 70]);
        near_all("the middle one", &reduce_by(&x, row, 1).reshape([300]), &rows(&middle, mean_of_squares), 1e-5);
        let kept = reduce_by(&x, row, keep((0, 2)));
        assert_eq!(kept.shape().unwrap(), [1, 70, 1]);
        let outer = x.permute_dims([1, 0, 2]).reshape([70, 300]);
        near_all("the outer ones", &kept.reshape([70]), &rows(&outer, mean_of_squares), 1e-5);
        // a single element
        let one = put::<f32>(d, [3.0], &[]);
        near_all("no axes", &reduce_by(&one, row, ..), &[9.0], 0.0);
        near_all("no axes", &one.argmax(..), &[0.0], 0.0);
        let wide = put::<f32>(d, [2.0], &[1, 1]).broadcast_to([40, 3000]);
        near_all("a broadcast operand", &reduce_by(&wide, row, 1), &[4.0; 40], 1e-6);
    }

    fn fused_as_alone(d: &Device) {
        let (m, n) = (30, 256);
        let rounds = elements(m * n, F32).reshape([m, n]);
        // multiples of 1/8 with mean 1 in each row, so that all sums of elements and deviations are exact in any order
        let half = (&elements(m * n / 2, I32) / 8.0).reshape([m, n / 2]);
        let exact = concat([&half, &-&half], 1) + 1.0;
        for (x, is_exact) in [(rounds, false), (exact, true)] {
            let x = x.eval().unwrap().to_device(d).unwrap();
            // on a GPU a row kernel divides a row among lanes differently than a reduction, so the order differs
            let alike = |what: &str, fused: &Expr, alone: &Expr| {
                near_all(what, fused, &host(alone), 1e-6);
                assert!(d.is_gpu() && !is_exact || bits(fused) == bits(alone), "{what} on {d}");
            };
            let row = mean_square().unwrap();
            let normal = |x: &Expr| x / (reduce_by(x, row, keep(1)) + 1e-5).sqrt();
            assert_eq!(normal(&x).plan().unwrap().kernels(), 1, "one row kernel");
            let alone = (reduce_by(&x, row, keep(1)) + 1e-5).eval().unwrap();
            alike("a row kernel", &normal(&x), &(&x / alone.sqrt()));
            // two reductions of one operand in one kernel, and a reduction of another one's result
            let both = |x: &Expr| reduce_by(x, row, 1) - x.sum(1);
            let (square, sum) = (reduce_by(&x, row, 1).eval().unwrap(), x.sum(1).eval().unwrap());
            assert_eq!(bits(&both(&x)), bits(&(&square - &sum)));
            let centered = |x: &Expr| x - x.mean(keep(1));
            let stored = centered(&x).eval().unwrap();
            alike("after a mean", &reduce_by(&centered(&x), row, 1), &reduce_by(&stored, row, 1));
        }
    }

    fn of_nothing(d: &Device) {
        let x = zeros([0, 3], F32).to_device(d).unwrap();
        for zero in [0.0f64, -0.0] {
            let draft = FoldDraft { empty: Some(zero), ..squares("of nothing") };
            let got = reduce_by(&x, fold(&draft).unwrap(), 0).to_vec::<f32>().unwrap();
            assert_eq!(got.map_bits(), vec![(zero as f32).to_bits(); 3]);
        }
        assert!(reduce_by(&x, mean_square().unwrap(), 0).to_vec::<f32>().unwrap().iter().all(|v| v.is_nan()));
        let refused = fold(&FoldDraft { empty: None, ..squares("of something") }).unwrap();
        assert!(error(&reduce_by(&x, refused, 0)).contains("has no elements along axes"));
        assert!(reduce_by(&x, refused, 1).to_vec::<f32>().unwrap().is_empty());
    }

    fn positions_count(d: &Device) {
        let row = fold(&moment()).unwrap();
        for dtype in [I32, F32, U8] {
            for [m, n] in SIZES {
                let v: Vec<i32> = (0..m * n).map(|i| (i * 31 % 7) as i32).collect();
                let x = put::<i32>(d, v, &[m, n]).astype(dtype);
                let sum = |v: &[f64]| v.iter().enumerate().map(|(i, x)| i as f64 * x).sum::<f64>();
                near_all("rows", &reduce_by(&x, row, 1), &rows(&x, sum), 0.0);
                near_all("columns", &reduce_by(&x, row, 0), &rows(&x.t(), sum), 0.0);
                // positions are those of C order, in any memory layout
                let flat = sum(&host(&x.t()));
                if flat < 2e9 {
                    near_all("all", &reduce_by(&x.t(), row, ..), &[flat], 0.0);
                }
            }
        }
    }

    fn a_form_of_its_own_has_the_bits_of_its_formulas(d: &Device) {
        for f in table_folds().unwrap() {
            // narrow integers would overflow without the caller's cast; f16 and bf16 would be rounded at other places
            let picks = ["argmin", "argmax", "minimum", "maximum"].contains(&f.name);
            let fits = |t: &DType| ![F16, BF16].contains(t) && (picks || ![U8, I8, U16, I16].contains(t));
            for dtype in f.types.iter().copied().filter(|t| has(d, *t) && fits(t)) {
                for (k, [m, n]) in [[2, 5000], [40, 33], [3, 513]].into_iter().enumerate() {
                    // on a GPU one of the three functions, because each needs its own kernels
                    if d.is_gpu() && dtype != F32 && k != (f.name.len() + number_of(dtype)) % 3 { continue }
                    let x = elements(m * n, dtype).to_device(d).unwrap();
                    for x in [x.reshape([m, n]), x.reshape([n, m]).t()] {
                        let name = format!("{} of {dtype} {:?} on {d}", f.name, x.shape().unwrap());
                        let by_formulas = reduce_by(&x, f.by_formulas, 1);
                        let own = reduce_by(&x, f.fold, 1).astype(by_formulas.dtype().unwrap());
                        same_or_nan(&name, &own, &by_formulas);
                    }
                }
            }
        }
    }
}

trait Bits {
    fn map_bits(&self) -> Vec<u32>;
}

impl Bits for Vec<f32> {
    fn map_bits(&self) -> Vec<u32> {
        self.iter().map(|x| x.to_bits()).collect()
    }
}

/// Asserts that bits are equal, where all NaNs count as equal.
#[track_caller]
fn same_or_nan(name: &str, a: &Expr, b: &Expr) {
    let canonical = |e: &Expr| -> Vec<u64> {
        let (bits, values) = (bits(e), host(e));
        bits.into_iter().zip(values).map(|(b, v)| if v.is_nan() { u64::MAX } else { b }).collect()
    };
    let (a, b) = (canonical(a), canonical(b));
    let at = a.iter().zip(&b).position(|(a, b)| a != b);
    assert!(at.is_none() && a.len() == b.len(), "{name}: first difference at {at:?}");
}

#[test]
fn the_first_of_ties_and_of_nans_by_formulas_too() {
    let folds = table_folds().unwrap();
    for [m, n] in [[3usize, 40], [2, 3000], [50, 7]] {
        let mut v: Vec<f32> = (0..m * n).map(|i| (i * 37 % 11) as f32).collect();
        v[n / 2] = f32::NAN;
        v[n - 1] = f32::NAN;
        let x = Array::from_vec(v, [m, n]).unwrap();
        for f in folds.iter().filter(|f| f.name.starts_with("arg")) {
            for d in tight().iter().chain([&Device::cpu()]) {
                let x = x.to_device(d).unwrap();
                let want = bits(&reduce_by(&x, f.fold, 1));
                assert_eq!(bits(&reduce_by(&x, f.by_formulas, 1)), want, "{} {m} × {n} on {d}", f.name);
                assert_eq!(want[0], n as u64 / 2);
            }
        }
    }
}

#[test]
fn split() {
    for d in tight() {
        for dtype in [F32, F16, I32] {
            check(&d, dtype, &[[1, 50_001], [150, 301], [2, 20_001], [3, 4097]]);
        }
        let x = elements(50_001, F32).to_device(&d).unwrap();
        let plan = reduce_by(&x, mean_square().unwrap(), ..).plan().unwrap().to_string();
        assert!(plan.contains("reduce mean_square(v0).1") && plan.contains("(states v"), "{plan}");
        // the last chunk is shorter, and its positions continue those of the others
        let row = fold(&moment()).unwrap();
        for [m, n] in [[1, 50_001], [2, 9001], [40, 301]] {
            let v: Vec<i32> = (0..m * n).map(|i| i32::from(i % 1000 == 999 || i + 1 == m * n)).collect();
            let x = put::<i32>(&d, v, &[m, n]);
            let sum = |v: &[f64]| v.iter().enumerate().map(|(i, x)| i as f64 * x).sum::<f64>();
            near_all("rows", &reduce_by(&x, row, 1), &rows(&x, sum), 0.0);
            near_all("columns", &reduce_by(&x.t(), row, 0), &rows(&x, sum), 0.0);
        }
        for f in table_folds().unwrap() {
            // a type whose sums wrap, one whose sums round, and bool, which some reductions take alone
            for t in [I32, F32, Bool].into_iter().filter(|t| f.types.contains(t)) {
                let x = elements(2 * 20_001, t).to_device(&d).unwrap().reshape([2, 20_001]);
                let by_formulas = reduce_by(&x, f.by_formulas, 1);
                let own = reduce_by(&x, f.fold, 1).astype(by_formulas.dtype().unwrap());
                same_or_nan(&format!("{} of {t} on {d}", f.name), &own, &by_formulas);
            }
        }
    }
}

#[test]
fn a_long_reduction_stores_components() {
    let x = zeros([1 << 20], F32).to_device(&Device::cpu()).unwrap();
    let squares = reduce_by(&x, mean_square().unwrap(), 0);
    let cases = [
        (squares, ["reduce mean_square(v0).0", "reduce mean_square(v0).1", "reduce mean_square(states v0, v1)"]),
        // positions start at the first element of the chunk
        (x.argmax(0), ["reduce argmax(v0 from v1).0", "reduce argmax(v0 from v1).1", "reduce argmax(states v0, v1)"]),
    ];
    for (e, lines) in cases {
        let text = testing::plan_for(&e, "card").unwrap().0;
        let at: Vec<Option<usize>> = lines.iter().map(|line| text.find(line)).collect();
        assert!(at.is_sorted() && at[0].is_some() && text.contains("2 dispatches"), "{text}");
        assert!(!testing::plan_for(&e, "cpu").unwrap().0.contains("states"), "a CPU takes any length at once");
    }
}

#[test]
fn threads_change_no_bit() {
    let (x, row) = (elements(3 * 300_007, F32), mean_square().unwrap());
    let variance = fold(&variance()).unwrap();
    let moment = fold(&moment()).unwrap();
    let of = |x: &Expr, row: FoldRow| bits(&reduce_by(x, row, 1));
    let (rows, columns) = (x.reshape([3, 300_007]), x.reshape([300_007, 3]).t());
    let mut first = None;
    for threads in 1..=8 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let got = pool.install(|| {
            [row, variance, moment]
                .map(|row| (of(&rows, row), of(&columns, row), of(&rows.t().reshape([1, 900_021]), row)))
        });
        assert_eq!(*first.get_or_insert(got.clone()), got, "{threads} threads");
    }
}

#[test]
fn what_is_no_fold_is_refused() {
    let refused = |draft: FoldDraft, why: &str| {
        let e = fold(&draft).expect_err(why);
        assert!(e.to_string().contains(why), "{e}");
    };
    let ok = || squares("refused");
    refused(FoldDraft { commutative: false, ..ok() }, "does not keep the order");
    refused(FoldDraft { state: vec![], lift: vec![], combine: vec![], ..ok() }, "0 components");
    let four = vec![(TypeOf::Float, Start::Zero); 4];
    refused(FoldDraft { state: four, lift: vec![x(); 4], combine: vec![a(0); 4], ..ok() }, "4 components");
    refused(FoldDraft { lift: vec![x()], ..ok() }, "lift returns 1 components, but the state has 2");
    refused(FoldDraft { combine: vec![a(0); 3], ..ok() }, "combine returns 3 components, but the state has 2");
    refused(FoldDraft { lift: vec![a(0), x()], ..ok() }, "lift refers to a state");
    refused(FoldDraft { combine: vec![a(0), x()], ..ok() }, "only lift may refer to an element");
    refused(FoldDraft { combine: vec![call("add", &[a(0), b(0)]), a(0)], ..ok() }, "component 1 of combine depends");
    refused(FoldDraft { finish: b(0), ..ok() }, "finish may refer to one state only");
    refused(FoldDraft { finish: a(2), ..ok() }, "component 2 does not exist; the state has 2");
    refused(
        FoldDraft { lift: vec![x(), FoldFormula::POSITION], ..ok() },
        "the formula has type i32, but f32 is declared",
    );
    refused(FoldDraft { finish: call("add", &[a(0)]), ..ok() }, "add does not accept (f32)");
    refused(
        FoldDraft { finish: call("add", &[a(0), FoldFormula::number(1.0, TypeOf::Is(I64))]), ..ok() },
        "(f32, i64)",
    );
    // a reduction that works only for some types returns an error that names the type
    let halves = FoldDraft { lift: vec![call("sqrt", &[FoldFormula::X]), number(1.0)], ..ok() };
    let e = error(&reduce_by(&elements(9, I32), fold(&halves).unwrap(), 0));
    assert!(e.contains("sqrt does not accept (i32)"), "{e}");
}

/// Contiguous rows of at most one block are reduced several at a time, with the same bits as a single row.
#[test]
fn rows_together_have_the_bits_of_each_alone() {
    let d = Device::cpu();
    let mut stage = crate::kit::stage::Stage::new(6, "rows together", &d);
    type Method = fn(&Expr) -> Expr;
    let folds: [(&str, Method); 9] = [
        ("sum", |x| x.sum(1)),
        ("sum of differences", |x| (x - x.slice(s![.., ..1])).abs().sum(1)),
        ("sum of squares", |x| x.square().sum(1)),
        ("max", |x| x.max(1)),
        ("min of squares", |x| x.square().min(1)),
        ("prod", |x| (x * 0.01 + 1.0).prod(1)),
        ("softmax", |x| x.softmax(1)),
        ("layer_norm", |x| x.layer_norm(1, 1e-5)),
        ("argmax", |x| x.argmax(1)),
    ];
    for dtype in [F32, F64, F16, BF16, I32, U8] {
        for n in [1, 2, 15, 16, 17, 31, 33, 64, 100, 127, 129, 255, 256, 257, 511, 771, 1023, 1025, 2047, 2048, 2049] {
            for rows in [1, 3, 16, 37] {
                let flat = elements(rows * (n + 1), dtype);
                let wide = flat.reshape([rows, n + 1]);
                let given: [Expr; 4] = [
                    flat.slice(s![..n as isize]).broadcast_to([rows, n]),
                    flat.slice(s![..rows as isize * n as isize]).reshape([rows, n]),
                    wide.slice(s![.., 1..]),
                    wide.slice(s![..; -1, ..n as isize]),
                ];
                for (i, x) in given.iter().enumerate() {
                    for (name, f) in folds {
                        if !dtype.is_float() && matches!(name, "softmax" | "layer_norm" | "prod") {
                            continue;
                        }
                        let all = f(x).eval().unwrap();
                        if name == "sum" && !dtype.is_float() {
                            assert_eq!(
                                host(&all),
                                self::rows(x, |row| row.iter().sum()),
                                "rows of {n} {dtype}, layout {i}"
                            );
                        }
                        // the first and the last row, and one between
                        for r in [0, rows / 2, rows - 1] {
                            let alone = f(&x.slice(s![r as isize..r as isize + 1]).eval().unwrap());
                            let got = all.slice(s![r as isize..r as isize + 1]);
                            assert_eq!(bits(&got), bits(&alone), "{name}, row {r} of {rows} × {n} {dtype}, layout {i}");
                            stage.count(1);
                        }
                    }
                }
            }
        }
    }
}
