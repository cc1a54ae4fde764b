//! An error that is found at the evaluation names the public function that the program has called, and the line of the
//! call, and no operation inside of the function.

use crate::kit::*;
use cupric::DType::*;
use cupric::linalg::{Mode, Triangle};
use cupric::*;

/// The limit of the device in bytes. An array of f32 with 1024 × 1024 elements needs four times as much.
const LIMIT: usize = 1 << 20;
const SIDE: usize = 1024;
const MANY: usize = SIDE * SIDE;

/// A function's name, the result of its call, and whether it must fail. Other calls may fit, for example because they
/// work by blocks, and only the name of an error matters.
type Call = (&'static str, Result<Array>, bool);

fn must(name: &'static str, e: Expr) -> Call {
    (name, e.eval(), true)
}

fn may(name: &'static str, e: Expr) -> Call {
    (name, e.eval(), false)
}

/// Checks the calls, whose lines are all in this file.
fn check(calls: Vec<Call>) {
    let mut wrong = vec![];
    for (name, result, fails) in calls {
        match result {
            Ok(_) if fails => wrong.push(format!("{name} fits into the memory")),
            Ok(_) => {}
            Err(e) => {
                let is_here = e.location().is_some_and(|at| at.file().ends_with("calls.rs"));
                if e.operation() != name || !is_here || e.to_string().contains("internal") {
                    wrong.push(format!("{name}: {e}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An array of 1024 × 1024 elements that occupies a few KiB, because its rows share their memory.
fn wide(small: &Device, dtype: DType) -> Array {
    zeros([1, SIDE], dtype).to_device(small).unwrap().broadcast_to([SIDE, SIDE]).eval().unwrap()
}

/// Checks the error of an expression, which names the function `name` and the line of this call.
#[track_caller]
fn refused(name: &str, e: Expr) -> Option<String> {
    let line = std::panic::Location::caller().line();
    let result = e.astype(F64).to_vec::<f64>();
    match &result {
        Err(e) if e.operation() == name && e.kind() != ErrorKind::Internal => {
            let at = e.location()?;
            (at.file() != file!() || at.line() != line).then(|| format!("{name} in line {line}: {e}"))
        }
        _ => Some(format!("{name} in line {line}: {result:?}")),
    }
}

on_devices! {

fn creation(d: &Device) {
    let small = &d.with_memory_limit(LIMIT).unwrap();
    let mut rng = Rng::new(0);
    let on = |e: Expr| e.on(small);
    check(vec![
        must("zeros", on(zeros([MANY], F32))),
        must("zeros", on(zeros([MANY], F32)).reshape([SIDE, SIDE])),
        must("ones", on(ones([MANY], F32))),
        must("empty", on(empty([MANY], F32))),
        must("full", on(full([MANY], 1.5, F32))),
        must("arange", on(arange(0, MANY, 1, F32))),
        must("linspace", on(linspace(0.0, 1.0, MANY, F32))),
        must("logspace", on(logspace(0.0, 1.0, MANY, 10.0, F32))),
        must("geomspace", on(geomspace(1.0, 2.0, MANY, F32))),
        must("eye", on(eye(SIDE, F32))),
        must("eye_shifted", on(eye_shifted(SIDE, SIDE, 1, F32))),
        must("tri", on(tri(SIDE, SIDE, 0, F32))),
        must("indices", on(indices([SIDE, SIDE], I32))),
        must("uniform", on(rng.uniform([MANY], F32))),
        must("normal", on(rng.normal([MANY], F32))),
        must("integers", on(rng.integers(0, 9, [MANY], I32))),
        must("bernoulli", on(rng.bernoulli(0.5, [MANY], F32))),
        must("exponential", on(rng.exponential(1.0, [MANY], F32))),
        must("gamma", on(rng.gamma(2.5, 1.0, [MANY], F32))),
        must("permutation", on(rng.permutation(MANY))),
        must("choice", on(rng.choice(9, [MANY]))),
    ]);
    let x = &wide(small, F32);
    check(vec![
        must("zeros_like", zeros_like(x)),
        must("ones_like", ones_like(x)),
        must("full_like", full_like(x, 2.0)),
        must("normal_like", rng.normal_like(x)),
        must("uniform_like", rng.uniform_like(x)),
        must("shuffle", rng.shuffle(x, 0)),
    ]);
}

fn statistics_and_order(d: &Device) {
    let small = &d.with_memory_limit(LIMIT).unwrap();
    let (x, i) = (&wide(small, F32), &wide(small, I32));
    let short = &zeros([SIDE], F32).to_device(small).unwrap();
    check(vec![
        must("median", x.median(..)),
        must("median", x.median(0)),
        must("nanmedian", x.nanmedian(0)),
        must("quantile", x.quantile([0.1, 0.5], 0, QuantileMethod::Linear)),
        must("percentile", x.percentile(30.0, 0, QuantileMethod::Linear)),
        may("cov", x.cov(true, 1.0)),
        may("corrcoef", x.corrcoef(true)),
        may("histogram", x.histogram(10, None).0),
        may("histogram", x.histogram(10, Some((0.0, 1.0))).0),
        may("ptp", x.ptp(0)),
        may("average", x.average(0, short)),
        may("std", x.std(0)),
        may("nanmean", x.nanmean(0)),
        may("digitize", x.digitize(short, false)),
        must("sort", x.sort(-1)),
        must("multiply", x.sort(-1) * 2.0),
        must("argsort", x.argsort(0)),
        may("topk", x.topk(3, -1, true).0),
        may("topk", x.topk(3, -1, true).1),
        must("cumulative_sum", x.cumulative_sum(0)),
        must("cumsum", x.cumsum(0)),
        must("cumprod", x.cumprod(1)),
        must("cummax", x.cummax(0)),
        may("bincount", (i + 1).bincount(10)),
        may("segment_sum", x.segment_sum(put(small, vec![3i32; SIDE], &[SIDE]), 1 << 12)),
        must("searchsorted", searchsorted(short, x, Side::Left, None)),
        must("isin", i.isin(short.astype(I32))),
        ("unique_values", x.unique_values(), true),
        ("compress", x.compress(x.greater(-1.0)), true),
        ("flatnonzero", x.flatnonzero(), true),
    ]);
}

fn rows_and_classes(d: &Device) {
    let small = &d.with_memory_limit(LIMIT).unwrap();
    let (x, labels) = (&wide(small, F32), put(small, vec![3i32; SIDE], &[SIDE]));
    check(vec![
        must("softmax", x.softmax(-1)),
        must("log_softmax", x.log_softmax(-1)),
        must("layer_norm", x.layer_norm(-1, 1e-5)),
        must("rms_norm", x.rms_norm(-1, 1e-5)),
        must("one_hot", labels.one_hot(SIDE, F32)),
        may("cross_entropy", x.cross_entropy(&labels)),
        must("isclose", x.isclose(1.0, 0.0, 0.0, false)),
        must("nan_to_num", x.nan_to_num()),
        must("round_to", x.round_to(2)),
        must("clamp", x.clamp(0.0, 1.0)),
        must("clip_lower", x.clip_lower(0.0)),
        must("ln", x.ln()),
        must("powi", x.powi(2)),
        must("gradient", x.gradient(1.0, 0)),
        must("diff", x.diff(1, 0)),
        must("roll", x.roll(3, 0)),
        may("repeat", x.repeat(2, 0)),
        may("tile", x.tile([2, 1])),
        must("pad", x.pad(1, Pad::constant(0.0f32))),
        must("concat", concat([x, x], 0)),
        must("stack", stack([x, x], 0)),
        must("take", x.take(&labels, 0)),
        must("add", x + 1.0),
        must("add", (x + 1.0).t()),
    ]);
}

fn products_and_factors(d: &Device) {
    let small = &d.with_memory_limit(LIMIT).unwrap();
    let x = &wide(small, F32);
    check(vec![
        must("matmul", x.matmul(x)),
        must("dot", x.dot(x)),
        must("einsum", einsum("ij,jk->ik", [x, x])),
        must("tensordot", tensordot(x, x, 1)),
        must("matrix_power", x.matrix_power(3)),
        must("solve", linalg::solve(x, x)),
        must("inv", linalg::inv(x)),
        must("det", linalg::det(x)),
        must("cholesky", linalg::cholesky(x, Triangle::Lower)),
        must("qr", linalg::qr(x, Mode::Reduced).0),
        must("svd", linalg::svd(x, Mode::Reduced).0),
        must("eigh", linalg::eigh(x).0),
        must("expm", linalg::expm(x)),
        must("pinv", linalg::pinv(x, None)),
        must("lu", linalg::lu(x).1),
        must("fft", fft::fft(x, -1).real().clone()),
        must("rfft", fft::rfft(x, -1).real().clone()),
        must("dct", fft::dct(x, -1)),
    ]);
    let z = Complex::new(x, x);
    check(vec![
        must("exp", z.exp().real().clone()),
        must("multiply", (&z * &z).real().clone()),
        must("abs", z.abs()),
    ]);
    // the sums of a derivative, whose nodes the library makes
    let y = x.exp();
    let [by] = vjp(y.square(), 1.0, [&y]);
    check(vec![must("vjp", by)]);
}

// Errors of other kinds, from the checks of inner operations when the call is built, and from the values of operands
// when it is evaluated.
fn errors_of_inner_operations(d: &Device) {
    let x = put(d, (0..12).map(|i| i as f32).collect::<Vec<_>>(), &[3, 4]);
    let (row, cube) = (put(d, vec![1f32, 2., 3.], &[3]), put(d, vec![1f32; 24], &[2, 3, 4]));
    let (far, three) = (put(d, vec![0i32, 9, 1], &[3]), put(d, vec![0i32, 1, 2], &[3]));
    let flat = put(d, vec![0f32; 9], &[3, 3]);
    let wrong: Vec<_> = [
        refused("cross_entropy", x.cross_entropy(&far)),
        refused("cross_entropy", x.cross_entropy(&row)),
        refused("cross_entropy", row.cross_entropy(&three)),
        refused("one_hot", far.one_hot(3, F32)),
        refused("histogram", x.histogram(0, None).0),
        refused("histogram", x.histogram(3, Some((2.0, 1.0))).1),
        refused("bincount", (&far - 3).bincount(20)),
        refused("cov", cube.cov(true, 1.0)),
        refused("corrcoef", cube.corrcoef(true)),
        refused("median", x.median(5)),
        refused("quantile", x.quantile(1.5, 0, QuantileMethod::Linear)),
        refused("percentile", x.percentile(50.0, 7, QuantileMethod::Linear)),
        refused("std_corrected", x.std_corrected(4, 1.0)),
        refused("interp", interp(&row, &row, &x)),
        refused("interp", interp(&row, &row, put(d, vec![1f32; 2], &[2]))),
        refused("convolve", convolve(&x, &row, WindowMode::Full)),
        refused("einsum", einsum("ij,jk->ik", [&x, &x])),
        refused("tensordot", tensordot(&x, &x, 1)),
        refused("pinv", linalg::pinv(&row, None)),
        refused("cond", linalg::cond(&row, None)),
        refused("solve", linalg::solve(&flat, &row)),
        refused("inv", linalg::inv(&flat)),
        refused("inv", linalg::inv(&x)),
        refused("cholesky", linalg::cholesky(&flat - 1.0, Triangle::Lower)),
        refused("matrix_power", flat.matrix_power(-1)),
        refused("attention", attention(&cube, &flat, &flat, Attention::default())),
        refused("layer_norm", x.layer_norm(3, 1e-5)),
        refused("softmax", x.softmax(2)),
        refused("clip_by_norm", x.clip_by_norm(-1.0)),
        refused("topk", x.topk(9, -1, true).0),
        refused("topk", x.topk(1, 4, true).1),
        refused("pad", x.pad([(1, 1), (1, 1), (1, 1)], Pad::constant(0.0f32))),
        refused("gradient", x.gradient(1.0, 6)),
        refused("take", x.take(&far, 0)),
        refused("take_at", x.take_at((&far, &three))),
        refused("segment_sum", row.segment_sum(&far, 3)),
        refused("searchsorted", searchsorted(&x, &row, Side::Left, None)),
        refused("isclose", x.isclose(&row, 0.0, 0.0, false)),
        refused("average", x.average(0, put(d, vec![1f32; 7], &[7]))),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// The functions of the user inside of a call have names of their own.
fn functions_of_the_user(d: &Device) {
    let small = &d.with_memory_limit(LIMIT).unwrap();
    let x = &wide(small, F32);
    let y = x * 1.0;
    let z = with_vjp(&y.square(), [&y], |g| [g.sort(0)]);
    let [by] = vjp(z, x.exp(), [&y]);
    check(vec![must("sort", by), must("softmax", checkpoint(|| x.softmax(-1)))]);
}

// The error of a write, and of a compiled function, whose plans outlive the expressions.
fn writes_and_compiled_functions(d: &Device) {
    let small = &d.with_memory_limit(LIMIT).unwrap();
    let x = &wide(small, F32);
    let mut row = zeros([SIDE], F32).to_device(small).unwrap();
    let e = row.assign(x.median(0)).unwrap_err();
    check(vec![("median", Err(e), true)]);
    let e = Compiled::new(|x: Expr| x.median(0)).call(x).unwrap_err();
    check(vec![("median", Err(e), true)]);
}

}
