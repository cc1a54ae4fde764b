//! Every public function that can fail is called so that it fails, and must return the right error. The list of these
//! functions is read from the sources.

mod complex;
mod files;
mod names;
mod public;

use crate::kit::{self, operations, put, stage::Stage};
use cupric::DType::*;
use cupric::*;
use std::future::Future;

type Case = (&'static str, ErrorKind, Error);

/// A 3 × 4 array on a device.
fn matrix(d: &Device) -> Array {
    put(d, vec![1f32; 12], &[3, 4])
}

#[track_caller]
fn error(e: Expr) -> Error {
    e.eval().map(|_| ()).expect_err("it should be refused")
}

fn wait<T>(f: impl Future<Output = T>) -> T {
    futures::executor::block_on(f)
}

/// Calls of functions that return an expression; the expression carries the error.
fn expressions(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let x = matrix(d);
    let failed = &x + put(d, vec![1f32; 5], &[5]);
    let huge = [1usize << 40, 1 << 40];
    let wide = put(d, vec![1f32], &[1, 1]).broadcast_to([1usize << 40, 1 << 20]);
    vec![
        ("zeros", K::LimitExceeded, error(zeros(huge, F32))),
        ("ones", K::LimitExceeded, error(ones(huge, F32))),
        ("empty", K::LimitExceeded, error(empty(huge, F32))),
        ("full", K::LimitExceeded, error(full(huge, 1.0, F32))),
        ("zeros_like", K::Shape, error(zeros_like(&failed))),
        ("ones_like", K::Shape, error(ones_like(&failed))),
        ("empty_like", K::Shape, error(empty_like(&failed))),
        ("full_like", K::Argument, error(full_like(&x.astype(U8), 300))),
        ("eye", K::LimitExceeded, error(eye(1 << 40, F32))),
        ("Expr::slice", K::Index, error(x.slice(s![3]))),
        ("Expr::t", K::Shape, error(failed.t())),
        ("Expr::norm", K::Shape, error(failed.norm(..))),
        ("Expr::permute_dims", K::Axis, error(x.permute_dims([0, 2]))),
        ("Expr::matrix_transpose", K::Shape, error(x.slice(s![0]).matrix_transpose())),
        ("Expr::reshape", K::Shape, error(x.reshape([5, -1]))),
        ("Expr::expand_dims", K::Axis, error(x.expand_dims(4))),
        ("Expr::squeeze", K::Shape, error(x.squeeze(0))),
        ("Expr::broadcast_to", K::Shape, error(x.broadcast_to([4, 3]))),
        ("Expr::contiguous", K::Shape, error(failed.contiguous())),
        ("Expr::flip", K::Axis, error(x.flip(2))),
        ("Expr::diagonal", K::Axis, error(x.slice(s![0]).diagonal(0))),
        ("Expr::moveaxis", K::Axis, error(x.moveaxis(0, 2))),
        ("Expr::moveaxis", K::Axis, error(x.moveaxis([0, 1], 0))),
        ("Expr::moveaxis", K::Axis, error(x.moveaxis(.., 0))),
        ("Expr::swapaxes", K::Axis, error(x.swapaxes(0, -3))),
        ("Expr::ravel", K::Shape, error(failed.ravel())),
        ("Expr::repeat", K::LimitExceeded, error(wide.ravel().repeat(8, 0))),
        ("Expr::atleast_1d", K::Shape, error(failed.atleast_1d())),
        ("Expr::atleast_2d", K::Shape, error(failed.atleast_2d())),
        ("Expr::atleast_3d", K::Shape, error(failed.atleast_3d())),
        ("vstack", K::Shape, error(vstack([&x, &x.t()]))),
        ("vstack", K::Argument, error(vstack([&x; 0]))),
        ("hstack", K::Shape, error(hstack([&x, &x.t()]))),
        ("dstack", K::Shape, error(dstack([&x, &x.t()]))),
        ("column_stack", K::Shape, error(column_stack([&x, &x.t()]))),
        ("concat", K::Axis, error(concat([&*x, &*x], [0, 1]))),
        ("Expr::bincount", K::DType, error(x.bincount(4))),
        ("Expr::isin", K::DType, error(x.astype(U64).isin(x.astype(I64)))),
        ("Expr::sliding_windows", K::Argument, error(x.sliding_windows(5, 1))),
        ("Expr::sliding_windows", K::LimitExceeded, error(wide.sliding_windows(1 << 20, 0))),
        ("select", K::Shape, error(select(x.less(0), &x, put(d, vec![1f32; 5], &[5])))),
    ]
}

/// What the entries of the list of operations refuse.
fn of_operations(d: &Device) -> Vec<Case> {
    let (x, none) = (matrix(d), put::<f32>(d, vec![], &[0, 3]));
    let refused = operations::OPERATIONS.iter().flat_map(|o| (o.refuses)(&x, &none));
    refused.map(|(name, kind, e)| (name, kind, e.eval().map(|_| ()).expect_err(name))).collect()
}

/// Calls of functions that return a future of a `Result`.
fn awaited(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let (x, five) = (matrix(d), put(d, vec![1f32; 5], &[5]));
    let failed = x.reshape([5, 5]);
    let small = d.with_memory_limit(1 << 20).expect("a device of its own");
    vec![
        ("Expr::to_device_async", K::OutOfMemory, wait(zeros([1 << 20], F32).to_device_async(&small)).unwrap_err()),
        ("Expr::to_vec_async", K::DType, wait(x.to_vec_async::<i32>()).unwrap_err()),
        ("Expr::to_bytes_async", K::Shape, wait(failed.to_bytes_async()).unwrap_err()),
        ("Expr::item_async", K::Shape, wait(x.item_async::<f32>()).unwrap_err()),
        ("Expr::compress_async", K::DType, wait(x.compress_async(&five)).unwrap_err()),
        ("Expr::flatnonzero_async", K::Shape, wait(failed.flatnonzero_async()).unwrap_err()),
        ("Expr::unique_values_async", K::Shape, wait(failed.unique_values_async()).unwrap_err()),
        ("Expr::unique_counts_async", K::Shape, wait(failed.unique_counts_async()).unwrap_err()),
        ("Expr::unique_inverse_async", K::Shape, wait(failed.unique_inverse_async()).unwrap_err()),
        ("Expr::unique_all_async", K::Shape, wait(failed.unique_all_async()).unwrap_err()),
        ("Expr::intersect_async", K::Shape, wait(failed.intersect_async(&five)).unwrap_err()),
        ("Expr::union_async", K::Shape, wait(failed.union_async(&five)).unwrap_err()),
        ("Expr::setdiff_async", K::Shape, wait(failed.setdiff_async(&five)).unwrap_err()),
        ("Expr::nonzero_async", K::Shape, wait(failed.nonzero_async()).unwrap_err()),
        ("Expr::argwhere_async", K::Shape, wait(failed.argwhere_async()).unwrap_err()),
        ("Expr::compress_along_async", K::DType, wait(x.compress_along_async(&five, 0)).unwrap_err()),
    ]
}

/// Calls of functions that return a `Result`.
fn results(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let mut x = matrix(d);
    let failed = &x + put(d, vec![1f32; 5], &[5]);
    let five = || put(d, vec![1f32; 5], &[5]);
    let dir = std::env::temp_dir().join(format!("cupric-refusals-{}", std::process::id()));
    let missing = dir.join("none.npy");
    let half = || put(d, vec![f16::ONE], &[1]);
    // an intermediate result that must be stored, and has 2^64 bytes
    let stored = (&put(d, vec![1f32; 2], &[2]) + 1.0).broadcast_to([1usize << 61, 2]).reshape([1usize << 62]).max(..);
    // a generator that needs more memory than the device's limit
    let small = d.with_memory_limit(1 << 20).expect("a device of its own");
    vec![
        ("Array::from_vec", K::Shape, Array::from_vec(vec![1, 2, 3], [2, 2]).unwrap_err()),
        ("Array::from_slice", K::Shape, Array::from_slice(&[1, 2, 3], [2, 2]).unwrap_err()),
        ("Array::as_slice", K::DType, array![1, 2].as_slice::<f32>().map(|_| ()).unwrap_err()),
        ("Array::as_mut_slice", K::DType, array![1, 2].as_mut_slice::<f32>().map(|_| ()).unwrap_err()),
        ("Array::from_npy", K::Io, Array::from_npy(&missing).unwrap_err()),
        ("Array::from_npy_rows", K::Io, Array::from_npy_rows(&missing, |n| 0..n).unwrap_err()),
        ("Array::from_npy_bytes", K::Format, Array::from_npy_bytes(b"no array").unwrap_err()),
        ("eval_all", K::Shape, eval_all([&x, &failed]).unwrap_err()),
        ("array_equal", K::Shape, array_equal(&x, &failed).unwrap_err()),
        ("Expr::eval", K::Shape, failed.eval().unwrap_err()),
        ("Expr::plan", K::Shape, failed.plan().unwrap_err()),
        ("Expr::to_device", K::OutOfMemory, zeros([1 << 20], F32).to_device(&small).unwrap_err()),
        ("Expr::eval", if d.is_gpu() { K::LimitExceeded } else { K::OutOfMemory }, error(stored)),
        ("Expr::to_vec", K::DType, x.to_vec::<i32>().unwrap_err()),
        ("Expr::item", K::Shape, x.item::<f32>().unwrap_err()),
        ("Expr::to_npy", K::Io, x.to_npy(&missing).unwrap_err()),
        ("Expr::to_npy_bytes", K::DType, x.astype(BF16).to_npy_bytes().unwrap_err()),
        ("Expr::shape", K::Shape, failed.shape().unwrap_err()),
        ("Expr::ndim", K::Shape, failed.ndim().unwrap_err()),
        ("Expr::size", K::Shape, failed.size().unwrap_err()),
        ("Expr::dtype", K::Shape, failed.dtype().unwrap_err()),
        ("Array::assign", K::Shape, x.assign(five()).unwrap_err()),
        ("Array::update", K::Shape, x.update(|x| x.t()).unwrap_err()),
        ("Array::fill_diagonal", K::Shape, five().fill_diagonal(0.0).unwrap_err()),
        ("Array::fill_diagonal", K::Shape, put(d, vec![1f32; 8], &[2, 1, 4]).fill_diagonal(0.0).unwrap_err()),
        ("Array::fill_diagonal", K::Shape, x.fill_diagonal(five()).unwrap_err()),
        ("Array::set_at", K::Argument, x.set_at([0; 0], 1.0).unwrap_err()),
        ("Array::set_at", K::Index, x.set_at((0, 4), 1.0).unwrap_err()),
        ("Array::set_at", K::DType, x.set_at((0.5,), 1.0).unwrap_err()),
        ("Array::set_at", K::Shape, x.set_at((0, 1), five()).unwrap_err()),
        ("Array::set_at", K::Argument, x.set_at(Clip((0, 1, 2)), 1.0).unwrap_err()),
        ("Array::set_at", K::Argument, put(d, vec![1u8], &[1]).set_at(Wrap((0,)), 300).unwrap_err()),
        ("Array::set_where", K::DType, x.set_where(five(), 1.0).unwrap_err()),
        ("Array::set_where", K::Shape, x.set_where(zeros([4], Bool), 1.0).unwrap_err()),
        ("Expr::compress", K::DType, x.compress(five()).unwrap_err()),
        ("Expr::compress", K::Shape, x.compress(zeros([4], Bool)).unwrap_err()),
        ("Expr::compress_along", K::Axis, x.compress_along(zeros([4], Bool), 2).unwrap_err()),
        ("Expr::compress_along", K::Shape, x.compress_along(zeros([4], Bool), 0).unwrap_err()),
        ("Expr::flatnonzero", K::Shape, failed.flatnonzero().unwrap_err()),
        ("Expr::nonzero", K::Shape, x.sum(..).nonzero().unwrap_err()),
        ("Expr::argwhere", K::Shape, failed.argwhere().unwrap_err()),
        ("Expr::unique_values", K::Shape, failed.unique_values().unwrap_err()),
        ("Expr::unique_counts", K::Shape, failed.unique_counts().unwrap_err()),
        ("Expr::unique_inverse", K::Shape, failed.unique_inverse().unwrap_err()),
        ("Expr::unique_all", K::Shape, failed.unique_all().unwrap_err()),
        ("Expr::intersect", K::DType, x.astype(U64).intersect(x.astype(I64)).unwrap_err()),
        ("Expr::union", K::DType, x.astype(U64).union(x.astype(I64)).unwrap_err()),
        ("Expr::setdiff", K::DType, x.astype(U64).setdiff(x.astype(I64)).unwrap_err()),
        ("Array::fill_diagonal", K::Argument, put(d, vec![1u8], &[1, 1]).fill_diagonal(300).unwrap_err()),
        ("Expr::unstack", K::Axis, x.unstack(2).unwrap_err()),
        ("Expr::split", K::Argument, x.split(2, 0).unwrap_err()),
        ("Expr::split", K::Axis, x.split([1], 2).unwrap_err()),
        ("Expr::array_split", K::Argument, x.array_split(0, 0).unwrap_err()),
        ("Expr::array_split", K::LimitExceeded, x.array_split(usize::MAX, 0).unwrap_err()),
        ("broadcast_shapes", K::Shape, broadcast_shapes([[3usize], [4]]).unwrap_err()),
        ("broadcast_shapes", K::Shape, broadcast_shapes([[-3]]).unwrap_err()),
        ("broadcast_arrays", K::Shape, error(broadcast_arrays([&*x, &five()]).remove(1))),
        ("Expr::unravel_index", K::DType, error(x.unravel_index([3, 4]).remove(1))),
        ("Expr::unravel_index", K::Shape, error(x.unravel_index([3, -4]).remove(1))),
        ("Array::fill", K::Argument, put(d, vec![1u8], &[1]).fill(300).unwrap_err()),
        ("Array::set", K::Index, x.set(s![3], 1.0).unwrap_err()),
        (
            "SliceMut::assign",
            K::DType,
            half().astype(I32).eval().unwrap().slice_mut(s![..]).assign(half()).unwrap_err(),
        ),
        ("SliceMut::update", K::Shape, x.slice_mut(s![..2]).update(|x| x.t()).unwrap_err()),
        ("SliceMut::fill", K::Index, x.slice_mut(s![.., 4]).fill(1.0).unwrap_err()),
        ("Rng::from_state", K::Argument, Rng::from_state([0, 1 << 32]).unwrap_err()),
    ]
}

/// Calls that convert between arrays and the host's data.
fn doors(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let mut x = matrix(d);
    let failed = &x + put(d, vec![1f32; 5], &[5]);
    vec![
        ("eval_many", K::Shape, eval_many([&x, &failed]).unwrap_err()),
        ("plan_many", K::Shape, plan_many([&x, &failed]).unwrap_err()),
        ("Compiled::call", K::Shape, Compiled::new(|x: Expr| x.matmul(ones([9, 9], F32))).call(&x).unwrap_err()),
        ("Array::from_bytes", K::Shape, Array::from_bytes(&[0; 6], F32, [1]).unwrap_err()),
        ("Array::from_nested", K::Shape, Array::from_nested(vec![vec![1], vec![]]).unwrap_err()),
        ("Array::into_vec", K::DType, x.clone().into_vec::<i32>().unwrap_err()),
        ("Expr::to_vec_as", K::Shape, failed.to_vec_as::<f32>().unwrap_err()),
        ("Expr::to_bytes", K::Shape, failed.to_bytes().unwrap_err()),
        ("Expr::to_nested", K::Shape, x.to_nested::<Vec<f32>>().unwrap_err()),
        ("Array::try_update", K::Shape, x.try_update(|x| Ok(x + x.dims::<3>()?[0])).unwrap_err()),
        ("SliceMut::try_update", K::Shape, x.slice_mut(s![..2]).try_update(|x| Ok(x.t())).unwrap_err()),
        ("Expr::eval_on", K::DeviceMismatch, x.eval_on(&d.with_memory_limit(1 << 20).unwrap()).unwrap_err()),
        ("Expr::dims", K::Shape, x.dims::<3>().unwrap_err()),
    ]
}

/// Calls of random generators, which check their parameters immediately.
#[allow(clippy::too_many_lines, reason = "a line for each call")]
fn draws(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let x = matrix(d);
    let row = |v: [f32; 2]| put(d, v.to_vec(), &[2]);
    let square = |v: [f32; 4]| put(d, v.to_vec(), &[2, 2]);
    let r = || Rng::new(0);
    let huge = [1usize << 20, 1 << 20];
    let list: Vec<(&'static str, ErrorKind, Expr)> = vec![
        ("Rng::exponential", K::Argument, r().exponential(-1.0, [2], F32)),
        ("Rng::exponential", K::Argument, r().exponential(1e39, [2], F32)),
        ("Rng::exponential", K::DType, r().exponential(1.0, [2], I32)),
        ("Rng::exponential", K::LimitExceeded, r().exponential(1.0, huge, F32)),
        ("Rng::gumbel", K::Argument, r().gumbel(NAN, 1.0, [2], F32)),
        ("Rng::laplace", K::Argument, r().laplace(0.0, -0.5, [2], F32)),
        ("Rng::logistic", K::Argument, r().logistic(INF, 1.0, [2], F32)),
        ("Rng::cauchy", K::Argument, r().cauchy(0.0, NAN, [2], F32)),
        ("Rng::lognormal", K::Argument, r().lognormal(0.0, -1.0, [2], F32)),
        ("Rng::lognormal", K::DType, r().lognormal(0.0, 1.0, [2], Bool)),
        ("Rng::weibull", K::Argument, r().weibull(0.0, [2], F32)),
        ("Rng::pareto", K::Argument, r().pareto(-1.0, [2], F32)),
        ("Rng::rayleigh", K::Argument, r().rayleigh(-1.0, [2], F32)),
        ("Rng::triangular", K::Argument, r().triangular(0.0, 2.0, 1.0, [2], F32)),
        ("Rng::triangular", K::Argument, r().triangular(1.0, 1.0, 1.0, [2], F32)),
        ("Rng::truncated_normal", K::Argument, r().truncated_normal(1.0, 1.0, [2], F32)),
        ("Rng::truncated_normal", K::Argument, r().truncated_normal(NAN, 1.0, [2], F32)),
        ("Rng::truncated_normal", K::Argument, r().truncated_normal(INF, INF, [2], F32)),
        ("Rng::multivariate_normal", K::Shape, r().multivariate_normal(&x, &x, [2])),
        ("Rng::multivariate_normal", K::Shape, r().multivariate_normal(row([0., 0.]), &x, [2])),
        (
            "Rng::multivariate_normal",
            K::Argument,
            r().multivariate_normal(row([0., 0.]), square([1., 2., 2., 1.]), [2]),
        ),
        (
            "Rng::multivariate_normal",
            K::Argument,
            r().multivariate_normal(row([0., 0.]), square([1., 0., 0.5, 1.]), [2]),
        ),
        (
            "Rng::multivariate_normal",
            K::Argument,
            r().multivariate_normal(row([0., 0.]), square([1., 0., 0., f32::NAN]), [2]),
        ),
        ("Rng::multivariate_normal_with_factor", K::Shape, r().multivariate_normal_with_factor(row([0., 0.]), &x, [2])),
        ("Rng::geometric", K::Argument, r().geometric(0.0, [2])),
        ("Rng::geometric", K::Argument, r().geometric(NAN, [2])),
        ("Rng::poisson", K::Argument, r().poisson(-1.0, [2])),
        ("Rng::poisson", K::Argument, r().poisson(1e10, [2])),
        ("Rng::binomial", K::Argument, r().binomial(3, 1.5, [2])),
        ("Rng::binomial", K::Argument, r().binomial(1u64 << 60, 0.5, [2])),
        ("Rng::binomial", K::Argument, r().binomial(2.5, 0.5, [2])),
        ("Rng::binomial", K::Argument, r().binomial(-1, row([0.5, 0.5]), [2])),
        ("Rng::binomial", K::Argument, r().binomial(row([1., 2.]).astype(I32), 1.5, [2])),
        ("Rng::binomial", K::DType, r().binomial(row([1., 2.]), 0.5, [2])),
        ("Rng::binomial", K::Shape, r().binomial(3, row([0.5, 0.5]), [3])),
        ("Rng::poisson", K::Shape, r().poisson(row([0.5, 0.5]), [2, 1])),
        ("Rng::categorical", K::Axis, r().categorical(&x, 2)),
        ("Rng::categorical", K::DType, r().categorical(x.astype(I32), 0)),
        ("Rng::categorical", K::Shape, r().categorical(x.slice(s![..0]), 0)),
        ("Rng::choice", K::Argument, r().choice(0, [2])),
        ("Rng::choice_weighted", K::Shape, r().choice_weighted(&x, [2])),
        ("Rng::choice_weighted", K::Argument, r().choice_weighted(row([0., 0.]), [2])),
        ("Rng::choice_weighted", K::Argument, r().choice_weighted(row([1., -1.]), [2])),
        ("Rng::choice_weighted", K::Argument, r().choice_weighted(row([1., f32::INFINITY]), [2])),
        ("Rng::choice_weighted", K::Argument, r().choice_weighted(row([f32::NAN, 1.]), [2])),
        (
            "Rng::choice_weighted_without_replacement",
            K::Argument,
            r().choice_weighted_without_replacement(row([1., 0.]), 2),
        ),
        ("Rng::choice_weighted_without_replacement", K::Shape, r().choice_weighted_without_replacement(&x, 2)),
        ("Rng::multinomial", K::Argument, r().multinomial(3, row([0., 0.]), [2])),
        ("Rng::multinomial", K::LimitExceeded, r().multinomial(1 << 20, row([1., 1.]), [1 << 20])),
        ("Rng::gamma", K::Argument, r().gamma(0.0, 1.0, [2], F32)),
        ("Rng::gamma", K::Argument, r().gamma(1.0, -1.0, [2], F32)),
        ("Rng::chisquare", K::Argument, r().chisquare(NAN, [2], F32)),
        ("Rng::beta", K::Argument, r().beta(1.0, INF, [2], F32)),
        ("Rng::dirichlet", K::Argument, r().dirichlet(&[1.0, 0.0], [2], F32)),
        ("Rng::dirichlet", K::Argument, r().dirichlet(&[], [2], F32)),
        ("Rng::dirichlet", K::DType, r().dirichlet(&[1.0], [2], I32)),
        ("Rng::permutation", K::LimitExceeded, r().permutation(1 << 32)),
        ("Rng::shuffle", K::Axis, r().shuffle(&x, 2)),
        ("Rng::choice_without_replacement", K::Argument, r().choice_without_replacement(3, 4)),
    ];
    list.into_iter()
        .map(|(name, kind, e)| {
            let e = error(e);
            assert!(name.ends_with(e.operation()), "{name}: {e}");
            (name, kind, e)
        })
        .collect()
}

/// An error that a GPU detects late is returned by the next call that waits.
fn waits(d: &Device) -> Vec<Case> {
    let late = |d: &Device| {
        let _ = matrix(d).take(put(d, vec![7], &[1]), 0).eval();
    };
    let d = kit::own(d);
    late(&d);
    let first = d.synchronize().unwrap_err();
    late(&d);
    let second = wait(d.synchronize_async()).unwrap_err();
    vec![("Device::synchronize", ErrorKind::Index, first), ("Device::synchronize_async", ErrorKind::Index, second)]
}

/// These have no failing call here: the CPU never reports errors late.
const WAITS: [&str; 2] = ["Device::synchronize", "Device::synchronize_async"];
/// These fail only where no GPU exists, which needs a separate process (below).
const SEARCHES: [&str; 4] = ["Device::gpu", "Device::gpu_async", "Device::best", "Device::best_async"];
/// These fail only if the driver fails, which stage 10 simulates.
const OPENS: [&str; 2] = ["Device::with_memory_limit", "Device::numerics"];

/// Every function of the table returns an error for shapes that do not fit, and for operands that carry an error.
fn rows(d: &Device) -> Vec<String> {
    let x = matrix(d);
    let five = put(d, vec![1f32; 5], &[5]);
    let failed = x.reshape([5, 5]);
    let mut names = vec![];
    for row in testing::rows() {
        let good = |n| vec![x.astype(if row.class() == "Integer" { I32 } else { F32 }); n];
        for at in 0..row.arity() {
            let mut operands = good(row.arity());
            operands[at] = failed.clone();
            let e = error(row.apply(&operands));
            assert_eq!((e.kind(), e.operation()), (ErrorKind::Shape, "reshape"), "{}: {e}", row.name());
            if row.arity() > 1 {
                operands[at] = five.astype(if row.class() == "Integer" { I32 } else { F32 });
                let e = error(row.apply(&operands));
                assert_eq!((e.kind(), e.operation()), (ErrorKind::Shape, row.name()), "{e}");
            }
        }
        names.push(row.name().to_string());
    }
    names
}

fn refused(d: &Device) {
    let mut stage = Stage::new(1, "refusals", d);
    let mut cases = [
        expressions(d),
        of_operations(d),
        results(d),
        awaited(d),
        doors(d),
        files::of_files_and_devices(d),
        draws(d),
        files::times(d),
        complex::complex(d),
        complex::transforms(d),
        names::names(d),
    ]
    .concat();
    if d.is_gpu() {
        cases.extend(waits(d));
    }
    for (name, kind, e) in &cases {
        assert_eq!(e.kind(), *kind, "{name}: {e}");
        assert!(!e.to_string().is_empty() && e.location().is_some(), "{name}: {e:?}");
    }
    let rows = rows(d);
    let known = |name: &str| {
        let method = name.strip_prefix("Expr::").unwrap_or(name);
        let elsewhere = SEARCHES.contains(&name) || OPENS.contains(&name) || !d.is_gpu() && WAITS.contains(&name);
        cases.iter().any(|c| c.0 == name) || rows.iter().any(|r| r == method) || elsewhere
    };
    let missing: Vec<String> = public::fallible().into_iter().filter(|name| !known(name)).collect();
    assert!(missing.is_empty(), "no call here fails in {missing:?}");
    stage.count(cases.len() + rows.len());
}

#[test]
fn every_fallible_function_has_a_call_that_fails_on_the_cpu() {
    refused(&Device::cpu());
}

#[cfg(feature = "gpu")]
#[test]
fn every_fallible_function_has_a_call_that_fails_on_the_gpu() {
    if let Some(d) = kit::gpu(1) {
        refused(&d);
    }
}

/// A separate process in which only the CPU is available, whatever GPUs the machine has.
#[cfg(not(any(target_os = "macos", windows)))]
#[test]
fn devices_that_are_not_there() {
    const CHILD: &str = "CUPRIC_TEST_WITHOUT_GPU";
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().expect("this program");
        let run = |wanted: &str| {
            let mut child = std::process::Command::new(&program);
            child
                .args(["--exact", &kit::test_name(module_path!(), "devices_that_are_not_there")])
                .env(CHILD, "1")
                .env("CUPRIC_DEVICE", wanted);
            for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
                child.env(name, "/nonexistent/driver.json");
            }
            let output = child.output().expect("a child");
            assert!(output.status.success(), "{wanted}: {}", String::from_utf8_lossy(&output.stdout));
        };
        ["gpu", "gpu:7", "gpu:x", "tpu"].iter().for_each(|wanted| run(wanted));
        return;
    }
    let found = [Device::best(), wait(Device::best_async()), Device::gpu(), wait(Device::gpu_async())];
    for (name, device) in ["best", "best_async", "gpu", "gpu_async"].iter().zip(found) {
        assert_eq!(device.expect_err(name).kind(), ErrorKind::DeviceNotFound, "{name}");
    }
    assert!(Device::gpus().is_empty());
}
