//! Tasks that users solve with a few lines of the library's operations. On both backends, the results are NumPy's
//! (`data/tasks.txt`, written by `make_tasks.py`, which does the same in NumPy).

use crate::kit::on_devices;
use cupric::*;

const EXPECTED: &str = include_str!("../data/tasks.txt");

/// Compares a result with NumPy's. `close` is the relative error that is allowed.
fn check(name: &str, e: &Expr, close: f64) {
    let line =
        EXPECTED.lines().find(|l| l.split('\t').next() == Some(name)).unwrap_or_else(|| panic!("{name}: no line"));
    let mut fields = line.split('\t').skip(1);
    let mut numbers =
        || -> Vec<f64> { fields.next().unwrap().split_whitespace().map(|w| w.parse().unwrap()).collect() };
    let (shape, want) = (numbers(), numbers());
    assert_eq!(e.shape().unwrap().iter().map(|n| *n as f64).collect::<Vec<_>>(), shape, "{name}");
    let got = e.to_device(&Device::cpu()).unwrap().astype(DType::F64).to_vec::<f64>().unwrap();
    for (g, w) in got.iter().zip(&want) {
        assert!((g - w).abs() <= close * w.abs().max(1e-3), "{name}: {got:?} instead of {want:?}");
    }
}

/// Whole numbers from -50 to 50 as f32, which represents sums of their squares exactly.
fn whole(n: usize, factor: i32, d: &Device) -> Result<Expr> {
    let x = (arange(0, n, 1, DType::I32) * factor + 13) % 101 - 50;
    Ok(x.astype(DType::F32).to_device(d)?.into())
}

/// The squared distances of 7 queries to 50 points.
fn distances(d: &Device) -> Result<Expr> {
    let (points, queries) = (whole(150, 17, d)?.reshape([50, 3]), whole(21, 29, d)?.reshape([7, 3]));
    Ok((queries.expand_dims(1) - points).square().sum(-1))
}

on_devices! {

fn attention(d: &Device) {
    let part = |factor| Ok::<Expr, Error>(whole(48, factor, d)?.reshape([2, 6, 4]) / 32.0);
    let (q, k, v) = (part(37).unwrap(), part(41).unwrap(), part(59).unwrap());
    let scores = q.matmul(k.matrix_transpose()) / 2.0;
    let scores = select(tri(6, 6, 0, DType::Bool), scores, -INF);
    check("attention", &scores.softmax(-1).matmul(&v), 1e-5);
}

fn nearest_neighbours(d: &Device) {
    let nearest = distances(d).unwrap().argtopk(4, 1, false);
    check("neighbours", &nearest, 0.0);
    let labels = arange(0, 50, 1, DType::I32) % 3;
    let votes = labels.take(&nearest, 0).expand_dims(-1).equal(arange(0, 3, 1, DType::I32));
    check("votes", &votes.count_nonzero(1).argmax(1), 0.0);
}

fn points_within_a_radius(d: &Device) {
    check("within_radius", &distances(d).unwrap().less_equal(40.0 * 40.0).count_nonzero(1), 0.0);
}

fn step_of_kmeans(d: &Device) {
    let (points, centres) = (whole(120, 23, d).unwrap().reshape([60, 2]), whole(8, 31, d).unwrap().reshape([4, 2]));
    let nearest = (points.expand_dims(1) - &centres).square().sum(-1).argmin(1);
    let sums = zeros_like(&centres).index_add(0, &nearest, &points);
    check("kmeans_step", &(sums / maximum(nearest.bincount(4), 1).expand_dims(1)), 1e-6);
}

fn game_of_life(d: &Device) {
    let mut board = whole(72, 43, d).unwrap().reshape([8, 9]).greater(10).eval().unwrap();
    for _ in 0..5 {
        let alive = board.astype(DType::U8);
        let rows = alive.roll(-1, 0) + &alive + alive.roll(1, 0);
        let around = rows.roll(-1, 1) + &rows + rows.roll(1, 1) - &alive;
        board = (around.equal(3) | &board & around.equal(2)).eval().unwrap();
    }
    check("life", &board, 0.0);
}

fn pagerank(d: &Device) {
    let n = 12;
    let i = arange(0, 40, 1, DType::I32).to_device(d).unwrap();
    let (source, target) = (&i * 7 % 11, i.square() % 12);
    let links = source.bincount(n).eval().unwrap();
    let mut rank = full([n], 1.0 / n as f64, DType::F32).to_device(d).unwrap();
    for _ in 0..20 {
        let share = &rank / maximum(&links, 1);
        let given = zeros([n], DType::F32).index_add(0, &target, share.take(&source, 0));
        // a page without links shares its rank among all pages
        let held = select(links.equal(0), &rank, 0.0).sum(..) / n;
        rank = (0.15 / n as f64 + 0.85 * (given + held)).eval().unwrap();
    }
    check("pagerank", &rank, 1e-5);
}

fn decision_stump(d: &Device) {
    let x = whole(200, 67, d).unwrap();
    let y = (arange(0, 200, 1, DType::I32) * 5 % 7).less(3) ^ x.greater(12.0);
    let order = x.argsort(0).eval().unwrap();
    let (x, y) = (x.take(&order, 0), y.take(&order, 0));
    let (above, below) = (y.cumulative_sum(0), (!&y).cumulative_sum(0));
    let errors = above + (!&y).count_nonzero(..) - below;
    let splits = x.slice(s![..-1]).less(x.slice(s![1..]));
    let errors = select(splits, errors.slice(s![..-1]), 200).eval().unwrap();
    let best = errors.argmin(0).eval().unwrap();
    check("stump", &stack([x.take(&best, 0), errors.take(&best, 0).astype(DType::F32)], 0), 0.0);
}

}
