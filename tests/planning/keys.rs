//! The key of a plan: two evaluations share a plan if they differ only in buffers, offsets, numbers and seeds, and
//! never otherwise.

use cupric::DType::*;
use cupric::*;

fn key(expressions: &[&Expr]) -> Vec<u64> {
    testing::plan_key(expressions).unwrap()
}

fn of(dtype: DType, shape: &[usize]) -> Array {
    zeros(shape.to_vec(), dtype).eval().unwrap()
}

fn argmin_by_formulas() -> testing::FoldRow {
    let folds = testing::table_folds().unwrap();
    folds.into_iter().find(|f| f.name == "argmin").expect("a fold of the table").by_formulas
}

/// Expressions of every kind of node. Each variant differs in one property from the first one of its kind.
fn variants() -> Vec<(&'static str, Expr)> {
    let mut all = nodes();
    all.extend(sums_by_key());
    all.extend(spectra());
    all.extend(transforms());
    all.extend(factors());
    all
}

fn sums_by_key() -> [(&'static str, Expr); 5] {
    let (x, i) = (of(F32, &[4, 6]), of(I32, &[3]));
    let rows = of(F32, &[3, 6]);
    [
        ("an addition of floats at positions", x.index_add(0, &i, 1.0)),
        ("sums by segment", rows.segment_sum(&i, 9)),
        ("more sums by segment", rows.segment_sum(&i, 10)),
        ("sums of weights", i.bincount_weighted(2.5, 4)),
        ("sums between positions", x.reduce_at(&i, 0)),
    ]
}

fn spectra() -> [(&'static str, Expr); 9] {
    let (x, square) = (of(F32, &[4, 6]), of(F32, &[4, 4]));
    [
        ("eigenvalues", linalg::eigvalsh(&square)),
        ("with vectors", linalg::eigh(&square).0),
        ("the vectors", linalg::eigh(&square).1),
        ("general eigenvalues", linalg::eigvals(&square).real().clone()),
        ("with general vectors", linalg::eig(&square).0.real().clone()),
        ("singular values", linalg::svdvals(&square)),
        ("of a tall matrix", linalg::svdvals(x.t())),
        ("a factor", linalg::qr(x.t(), linalg::Mode::Reduced).1),
        ("with more columns", linalg::qr(x.t(), linalg::Mode::Complete).1),
    ]
}

fn transforms() -> [(&'static str, Expr); 5] {
    let (x, square) = (of(F32, &[4, 6]), of(F32, &[4, 4]));
    let orthonormal = fft::Options::new(-1).norm(fft::Norm::Ortho);
    [
        ("a transform", fft::fft(&x, -1)),
        ("in the opposite direction", fft::ifft(&x, -1)),
        ("along another axis", fft::fft(&square, 0)),
        ("of another length", fft::fft(&x, 0)),
        ("with another factor", fft::fft(&x, orthonormal)),
    ]
    .map(|(name, z)| (name, z.real().clone()))
}

fn factors() -> [(&'static str, Expr); 7] {
    use linalg::{Triangle, cholesky, lu, solve_triangular};
    let (x, square) = (of(F32, &[6, 4]), of(F32, &[4, 4]));
    let of_row = |a: &Array, row: usize| {
        let larger = cholesky(of(F32, &[70, 70]), Triangle::Lower);
        concat([solve_triangular(a, &square, Triangle::Lower), larger.slice(s![..row as isize, ..4])], 0)
    };
    [
        ("a Cholesky factor", cholesky(&square, Triangle::Lower)),
        ("of several matrices", cholesky(square.broadcast_to([2, 4, 4]), Triangle::Lower)),
        ("triangular factors", lu(&x).2),
        ("of another matrix", lu(&square).2),
        ("a triangular system", solve_triangular(&square, &square, Triangle::Lower)),
        ("of the other triangle", solve_triangular(&square, &square, Triangle::Upper)),
        ("beside larger factors", of_row(&square, 2)),
    ]
}

fn nodes() -> Vec<(&'static str, Expr)> {
    let (x, y) = (of(F32, &[4, 6]), of(F32, &[4, 6]));
    let square = of(F32, &[4, 4]);
    let other_square = of(F32, &[4, 4]);
    let (i, j) = (of(I32, &[3]), of(I64, &[3]));
    let whole = of(I32, &[3, 3]);
    let three = |axis| concat([&square, &other_square, &square], axis);
    vec![
        ("an array", x.clone().into()),
        ("of another dtype", of(I32, &[4, 6]).into()),
        ("of another shape", of(F32, &[6, 4]).into()),
        ("of one axis more", of(F32, &[1, 4, 6]).into()),
        ("with other strides", of(F32, &[6, 4]).t()),
        ("with a negative step", x.flip(0)),
        ("a broadcast one", of(F32, &[6]).broadcast_to([4, 6])),
        ("a number everywhere", full([4, 6], 1.5, F32)),
        ("of another dtype", full([4, 6], 1, I32)),
        ("of another shape", full([6, 4], 1.5, F32)),
        ("a range", arange(0, 6, 1, I32)),
        ("of another length", arange(0, 7, 1, I32)),
        ("random numbers of one word", Rng::new(1).uniform([5], F32)),
        ("of two words", Rng::new(1).uniform([5], F64)),
        ("a function", x.exp()),
        ("another function", x.sin()),
        ("of another operand dtype", of(F64, &[4, 6]).exp()),
        ("of one operand twice", &x + &x),
        ("of two operands", &x + &y),
        ("that does not commute", &x - &y),
        ("of equal numbers", (&x * 2.0) + (&y * 2.0)),
        ("of unequal numbers", (&x * 2.0) + (&y * 3.0)),
        ("of a broadcast operand", &x + of(F32, &[6])),
        ("of a broadcast operand of two axes", &x + of(F32, &[1, 6])),
        ("a conversion", x.astype(I32)),
        ("a conversion to another dtype", x.astype(I16)),
        ("a view of a function", x.exp().t()),
        ("another view", x.exp().flip(0)),
        ("a view of another axis", x.exp().flip(1)),
        ("a slice of a function", x.exp().slice(s![1.., ..])),
        ("a slice elsewhere", x.exp().slice(s![..3, ..])),
        ("a reshape that copies", x.t().exp().reshape([24])),
        ("to another shape", x.t().exp().reshape([3, 8])),
        ("a reduction", x.sum(0)),
        ("along another axis", x.sum(1)),
        ("along both", x.sum(..)),
        ("by another function", x.max(0)),
        ("the position of the smallest", x.argmin(0)),
        ("the position of the largest", x.argmax(0)),
        ("a fold by formulas", testing::reduce_by(&x, testing::mean_square().unwrap(), 0)),
        ("another fold by formulas", testing::reduce_by(&x, argmin_by_formulas(), 0)),
        ("sums so far", x.cumulative_sum(0)),
        ("along another axis", x.cumulative_sum(1)),
        ("a product", square.matmul(&other_square)),
        ("of one operand twice", square.matmul(&square)),
        ("of a transposed operand", square.matmul(other_square.t())),
        ("a take", x.take(&i, 0)),
        ("along another axis", x.take(&i, 1)),
        ("that clips", x.take(Clip(&i), 0)),
        ("that wraps", x.take(Wrap(&i), 0)),
        ("by other indices", x.take(&j, 0)),
        ("of a computed index", x.take(&i + 0, 0)),
        ("an addition at positions", whole.index_add(0, &i, &whole)),
        ("along another axis", whole.index_add(1, &i, &whole)),
        ("that clips", whole.index_add(0, Clip(&i), &whole)),
        ("that wraps", whole.index_add(0, Wrap(&i), &whole)),
        ("a minimum at positions", whole.index_min(0, &i, &whole)),
        ("a maximum at positions", whole.index_max(0, &i, &whole)),
        ("of another value", whole.index_max(0, &i, 3)),
        ("a concat", three(0)),
        ("along another axis", three(1)),
        ("of two parts", concat([&square, &other_square], 0)),
        ("sorted", i.sort(0)),
        ("sorted the other way", i.sort(descending(0))),
        ("positions of sorted ones", i.argsort(0)),
        ("an addition at positions under another name", whole.ravel().put(&i, 5)),
        ("of several axes", x.take_at((&i, &i))),
        ("counts", i.bincount(4)),
        ("more counts", i.bincount(5)),
        ("counts of another dtype", j.bincount(4)),
        ("counts of a computed operand", (&i + 0).bincount(4)),
        ("in another order", concat([&other_square, &square, &square], 0)),
    ]
}

#[test]
fn structures_that_differ_have_keys_that_differ() {
    let all = variants();
    let keys: Vec<Vec<u64>> = all.iter().map(|(_, e)| key(&[e])).collect();
    for i in 0..all.len() {
        for k in 0..i {
            // all keys are different; a copy through a trivial view would be the array itself
            assert!(keys[i] != keys[k], "{} ({i}) and {} ({k}) have one key", all[i].0, all[k].0);
        }
    }
}

#[test]
fn what_is_bound_is_not_in_the_key() {
    let build = |x: &Array, y: &Array, number: f64, seed: u64| {
        let index = (x.slice(s![.., 0]).astype(I32)).clip(0, 3);
        (x * number + y.exp()).take(index, 0) - Rng::new(seed).uniform([4, 6], F32) * 3.25
    };
    let (x, y, z) = (of(F32, &[4, 6]), of(F32, &[4, 6]), of(F32, &[5, 6]));
    let first = key(&[&build(&x, &y, 2.0, 1)]);
    assert!(first == key(&[&build(&y, &x, 2.0, 1)]), "buffers are bound");
    assert!(first == key(&[&build(&x, &y, 7.5, 1)]), "numbers are bound");
    assert!(first == key(&[&build(&x, &y, 2.0, 9)]), "seeds are bound");
    let part = |from| z.slice(s![from..from + 4, ..]).eval().unwrap();
    let (low, high) = (build(&part(0), &y, 2.0, 1), build(&part(1), &y, 2.0, 1));
    assert!(key(&[&low]) == key(&[&high]), "offsets are bound");
    // which numbers or buffers are equal belongs to the structure, because equal ones share a slot
    assert!(first != key(&[&build(&x, &y, 3.25, 1)]));
    assert!(first != key(&[&build(&x, &x, 2.0, 1)]));
}

#[test]
fn results_are_part_of_the_key() {
    let x = of(F32, &[4]);
    let (a, b) = (x.exp(), x.exp().sin());
    let keys = [key(&[&a]), key(&[&b]), key(&[&a, &b]), key(&[&b, &a]), key(&[&a, &a])];
    for i in 0..keys.len() {
        for k in 0..i {
            assert!(keys[i] != keys[k], "{i} and {k}");
        }
    }
}

/// A thread finds its latest plans by an expression's source line. Expressions from the same line, evaluated in any
/// order, must give the same results as in a new thread without plans.
#[test]
fn expressions_of_one_line_do_not_take_the_plan_of_another() {
    let value = |e: &Expr| e.astype(F64).eval().and_then(|x| x.to_vec::<f64>()).map_err(|e| e.to_string());
    let bits =
        |x: std::result::Result<Vec<f64>, String>| x.map(|x| x.into_iter().map(f64::to_bits).collect::<Vec<_>>());
    let (a, b) = (array![1.5, -2., 4.], array![0.5, 3., 8.]);
    let mut all: Vec<Expr> = variants().into_iter().map(|(_, e)| e).collect();
    for (x, y, m, n) in [(&a, &b, 2.0, 3.0), (&a, &a, 2.0, 3.0), (&b, &a, 3.0, 2.0), (&a, &b, 2.0, 2.0)] {
        all.extend([x + y, x * m + y * n, (x - y) * m - n, Rng::new(m as u64).uniform([3], F32) + x]);
    }
    let alone: Vec<_> =
        all.iter().map(|e| std::thread::scope(|s| s.spawn(|| bits(value(e))).join().unwrap())).collect();
    for round in 0..3 {
        for (n, e) in all.iter().enumerate() {
            // the second evaluation in a row finds the plan of the first
            assert_eq!(bits(value(e)), alone[n], "expression {n} in round {round}");
            assert_eq!(bits(value(e)), alone[n], "expression {n} again in round {round}");
        }
    }
}

/// Whether a write may happen in place depends on the operand's position within the written array.
#[test]
fn writes_of_one_line_to_other_parts_are_each_right() {
    for round in 0..4 {
        for from in [0, 1, 4, 1, 2] {
            let mut x = Array::from_vec((0..8).map(|n| n as f32).collect(), [8]).unwrap();
            let want: Vec<f32> = (0..8).map(|n| if n < 4 { (n + from) as f32 * 2.0 } else { n as f32 }).collect();
            let part = x.slice(s![from as isize..from as isize + 4]);
            x.set(s![..4], part * 2.0).unwrap();
            assert_eq!(x.to_vec::<f32>().unwrap(), want, "from {from} in round {round}");
        }
    }
}
