//! Checks that run on each rank. `mpi/tests/run` starts this program with several ranks. Without an argument it makes
//! all checks; with an argument it fails in the way that the argument names.

mod empty;
mod failures;
mod lists;
mod shards;

use cupric::DType::*;
use cupric::{Array, Device, ErrorKind, Expr, Result, Rng, arange, array, full, s, stack, zeros};
use cupric_mpi::{Comm, Reduce};

const OPS: [Reduce; 4] = [Reduce::Sum, Reduce::Prod, Reduce::Min, Reduce::Max];

/// A check that every rank makes.
type Check = fn(&Comm) -> Result<()>;

fn main() -> Result<()> {
    let failure = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    Comm::run(|comm| -> Result<()> {
        match failure.as_deref() {
            Some("large") => return large(comm),
            Some("streams") => return shards::streams(comm),
            _ => {}
        }
        if let Some(name) = failure {
            return failures::fail(comm, &name);
        }
        let checks: [(&str, Check); 19] = [
            ("every dtype", every_dtype),
            ("special values", special_values),
            ("views and scalars", views_and_scalars),
            ("uneven parts", uneven_parts),
            ("a fixed order", a_fixed_order),
            ("three at once", three_at_once),
            ("dropped requests", dropped_requests),
            ("lists of arrays", lists::lists_of_arrays),
            ("lists that differ", lists::lists_that_differ),
            ("disagreements", disagreements),
            ("failures of one rank", failures_of_one_rank),
            ("halos", halos),
            ("long and empty arrays", empty::long_and_empty),
            ("shards", shards::shards),
            ("messages in pieces", in_pieces),
            ("products of shards", shards::products),
            ("files of shards", shards::files),
            ("arrays of a GPU", arrays_of_a_gpu),
            ("arrays of a GPU in pieces", arrays_of_a_gpu_in_pieces),
        ];
        for (name, check) in checks {
            check(comm)?;
            if comm.rank() == 0 {
                println!("{} ranks: {name}: ok", comm.size());
            }
        }
        let traffic = comm.traffic();
        assert!(traffic.collectives > 100 && traffic.bytes > 10_000);
        Ok(())
    })
}

/// Returns numbers that differ between ranks, and whose product over four ranks is below 128.
fn of_rank(rank: usize, n: usize, dtype: cupric::DType) -> Expr {
    let wave = (arange(0, n, 1, I64) + rank) % 3;
    if dtype == Bool { wave.equal(0) } else { (wave + 1).astype(dtype) }
}

fn of_all(comm: &Comm, n: usize, dtype: cupric::DType) -> Vec<Expr> {
    (0..comm.size()).map(|rank| of_rank(rank, n, dtype)).collect()
}

fn reduced(all: &[Expr], op: Reduce, dtype: cupric::DType) -> Expr {
    let all = stack(all, 0);
    let all = if dtype == Bool { all.astype(U8) } else { all };
    let value = match op {
        Reduce::Sum => all.sum(0),
        Reduce::Prod => all.prod(0),
        Reduce::Min => all.min(0),
        Reduce::Max => all.max(0),
    };
    value.astype(dtype)
}

#[track_caller]
pub fn same(a: &impl AsRef<Expr>, b: &impl AsRef<Expr>) {
    let (a, b) = (a.as_ref().eval().unwrap(), b.as_ref().eval().unwrap());
    assert_eq!((a.dtype(), a.shape()), (b.dtype(), b.shape()));
    assert_eq!(a.to_bytes().unwrap(), b.to_bytes().unwrap(), "{a} is not {b}");
}

fn every_dtype(comm: &Comm) -> Result<()> {
    let (rank, size) = (comm.rank(), comm.size());
    for dtype in cupric::DType::ALL {
        let (n, all) = (10, of_all(comm, 10, dtype));
        let own = &all[rank];
        for op in OPS {
            let want = reduced(&all, op, dtype).eval()?;
            same(&comm.all_reduce(own, op)?, &want);
            let part = comm.reduce_scatter(own, op, 0)?;
            same(&part, &want.slice(s![comm.shard(n)]));
        }
        for root in 0..size {
            same(&comm.broadcast(own, root)?, &all[root]);
            let gathered = comm.gather(own, root)?;
            assert_eq!(gathered.is_some(), rank == root);
            if let Some(gathered) = gathered {
                same(&gathered, &stack(&all, 0).reshape(-1));
            }
            let part = comm.scatter((rank == root).then_some(own), root)?;
            same(&part, &all[root].slice(s![comm.shard(n)]));
        }
        let parts: Vec<Expr> = all.iter().map(|x| x.reshape([2, 5])).collect();
        same(&comm.all_gather(own.reshape([2, 5]), 1)?, &cupric::concat(&parts, 1));
    }
    Ok(())
}

fn special_values(comm: &Comm) -> Result<()> {
    let last = comm.rank() + 1 == comm.size();
    for dtype in [F16, BF16, F32, F64] {
        // only the last rank has a NaN and a negative zero
        let x = array![if last { f32::NAN } else { 1.0 }, if last { -0.0 } else { 0.0 }].astype(dtype);
        for op in [Reduce::Min, Reduce::Max] {
            let got = comm.all_reduce(&x, op)?.to_vec_as::<f64>()?;
            let negative = op == Reduce::Min || comm.size() == 1;
            assert!(
                got[0].is_nan() && got[1] == 0.0 && got[1].is_sign_negative() == negative,
                "{dtype} {op:?} {got:?}"
            );
        }
    }
    for dtype in [U8, U16, U32, U64] {
        let (one, most) = (zeros([1], dtype) + 1, zeros([1], dtype) - 1);
        let x = if last { &one } else { &most };
        same(&comm.all_reduce(x, Reduce::Min)?, &one);
        same(&comm.all_reduce(x, Reduce::Max)?, if comm.size() > 1 { &most } else { &one });
    }
    // 2048 + 1 + 1 … in f16 stays 2048; in f32 it is exact, and rounds once
    let x = array![if last { 2048.0 } else { 1.0 }].astype(F16);
    let want = array![2047.0 + comm.size() as f32].astype(F16);
    same(&comm.all_reduce(&x, Reduce::Sum)?, &want);
    let wrapped = comm.all_reduce(array![if last { i32::MAX } else { 1 }], Reduce::Sum)?;
    assert_eq!(wrapped.item::<i32>()?, i32::MAX.wrapping_add(comm.size() as i32 - 1));
    Ok(())
}

fn views_and_scalars(comm: &Comm) -> Result<()> {
    let x = arange(0, 12, 1, F32).reshape([3, 4]).eval()?;
    let n = comm.size() as f32;
    same(&comm.all_reduce(x.t(), Reduce::Sum)?, &(x.t() * n).contiguous());
    same(&comm.all_reduce(x.slice(s![..;-1, 1]), Reduce::Sum)?, &(x.slice(s![..;-1, 1]) * n));
    same(&comm.all_reduce(x.sum(..), Reduce::Sum)?, &(x.sum(..) * n));
    same(&comm.all_reduce(zeros([0, 3], F32), Reduce::Sum)?, &zeros([0, 3], F32));
    assert_eq!(comm.all_gather(x.sum(..), 0).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(comm.all_gather(&x, 2).unwrap_err().kind(), ErrorKind::Axis);
    Ok(())
}

fn uneven_parts(comm: &Comm) -> Result<()> {
    let size = comm.size();
    for n in [0, 1, 3, 5, 17] {
        let parts: Vec<_> = (0..size).map(|rank| comm.shard_of(n, rank)).collect();
        assert_eq!((parts[0].start, parts[size - 1].end), (0, n));
        assert!(parts.windows(2).all(|p| p[0].end == p[1].start && p[0].len() - p[1].len() <= 1));
        let all = arange(0, n * 3, 1, I32).reshape([n, 3]).eval()?;
        let own = all.slice(s![comm.shard(n)]);
        same(&comm.all_gather(&own, 0)?, &all);
        same(&comm.all_gather(own.t(), 1)?, &all.t().contiguous());
        let root = size - 1;
        same(&comm.scatter((comm.rank() == root).then_some(&*all), root)?, &own);
        same(&comm.reduce_scatter(&all, Reduce::Max, 0)?, &own);
        same(&comm.reduce_scatter(all.t(), Reduce::Max, 1)?, &own.t().contiguous());
        if let Some(gathered) = comm.gather(&own, root)? {
            same(&gathered, &all);
        }
    }
    // rank r has 2 r rows, so the first rank has none
    let rows = comm.rank() * 2;
    let all = comm.all_gather(&Array::from_vec(vec![comm.rank() as u8; rows], [rows])?, 0)?;
    assert_eq!(all.to_vec::<u8>()?, (0..size).flat_map(|r| vec![r as u8; r * 2]).collect::<Vec<_>>());
    Ok(())
}

fn a_fixed_order(comm: &Comm) -> Result<()> {
    for dtype in [F32, F64, F16, I32] {
        for count in [12, 7, 1] {
            let parts = (Rng::new(5).normal([count, 3, 11], F32) * 100.0).astype(dtype).eval()?;
            let wide = if dtype == F16 { F32 } else { dtype };
            let mut want = parts.slice(s![0]).astype(wide).eval()?;
            for i in 1..count {
                want = (&want + parts.slice(s![i]).astype(wide)).eval()?;
            }
            let got = comm.sum_in_order(parts.slice(s![comm.shard(count)]))?;
            same(&got, &want.astype(dtype));
        }
    }
    assert_eq!(comm.sum_in_order(zeros([0, 3], F32)).unwrap_err().kind(), ErrorKind::Shape);
    Ok(())
}

fn three_at_once(comm: &Comm) -> Result<()> {
    let (size, rank) = (comm.size(), comm.rank());
    let n = 50_000;
    for round in 0..3 {
        let x = (arange(0, n, 1, F32) + rank).eval()?;
        let a = comm.start_all_reduce(&x, Reduce::Max)?;
        let b = comm.start_broadcast(&(&x * 2.0), size - 1)?;
        let c = comm.start_all_reduce(x.slice(s![..7]), Reduce::Sum)?;
        // work meanwhile, more on some ranks
        let mut y = x.clone();
        for _ in 0..rank * 3 {
            y = (&y * 0.5).eval()?;
            comm.progress()?;
        }
        let total: usize = (0..size).sum();
        let check_a = |a: Array| same(&a, &(arange(0, n, 1, F32) + (size - 1)));
        let check_b = |b: Array| same(&b, &((arange(0, n, 1, F32) + (size - 1)) * 2.0));
        let check_c = |c: Array| same(&c, &(arange(0, 7, 1, F32) * size as f32 + total as f32));
        // each rank waits in its own order, with a barrier in between
        match (rank + round) % 3 {
            0 => {
                check_a(a.wait()?);
                check_b(b.wait()?);
                comm.barrier()?;
                check_c(c.wait()?)
            }
            1 => {
                comm.barrier()?;
                check_c(c.wait()?);
                check_b(b.wait()?);
                check_a(a.wait()?)
            }
            _ => {
                while !b.test()? {}
                check_b(b.wait()?);
                check_c(c.wait()?);
                comm.barrier()?;
                check_a(a.wait()?)
            }
        }
    }
    Ok(())
}

fn dropped_requests(comm: &Comm) -> Result<()> {
    let x = arange(0, 10_000, 1, F32).eval()?;
    drop(comm.start_all_reduce(&x, Reduce::Sum)?);
    let kept = comm.start_all_reduce(&x, Reduce::Max)?;
    drop(comm.start_broadcast(&x, 0)?);
    drop(x);
    same(&kept.wait()?, &arange(0, 10_000, 1, F32));
    Ok(())
}

/// Checks that all ranks have the same error, which names two ranks, and that the next collective works.
pub fn refused<T>(comm: &Comm, result: Result<T>, kind: ErrorKind, parts: &[&str]) -> Result<()> {
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    assert!(text.contains("checks/"), "{text}");
    let text = text.rsplit_once(" (").unwrap().0.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
    let bytes = Array::from_slice(text.as_bytes(), [-1])?;
    same(&comm.broadcast(&bytes, 0)?, &bytes);
    Ok(())
}

fn disagreements(comm: &Comm) -> Result<()> {
    if comm.size() == 1 {
        return Ok(());
    }
    use ErrorKind as K;
    let last = comm.size() - 1;
    let odd = comm.rank() == last;
    let (x, y) = (array![1., 2., 3.], array![1., 2.]);
    let named = format!("rank {last} calls all_reduce(sum) of");
    let sum = |x: &Expr| comm.all_reduce(x, Reduce::Sum);
    refused(comm, sum(if odd { &y } else { &x }), K::Shape, &["rank 0 calls all_reduce(sum) of f32 [3] (", &named])?;
    refused(comm, sum(&if odd { x.astype(F64) } else { x.astype(F32) }), K::DType, &[&named])?;
    let op = if odd { Reduce::Max } else { Reduce::Sum };
    refused(
        comm,
        comm.all_reduce(&x, op),
        K::Argument,
        &["all_reduce: the ranks differ: rank 0 calls all_reduce(sum)"],
    )?;
    refused(comm, comm.broadcast(&x, odd.into()), K::Argument, &["(root 0)", "(root 1)"])?;
    let other = if odd { comm.barrier() } else { sum(&x).map(|_| ()) };
    refused(
        comm,
        other,
        K::Argument,
        &["rank 0 calls all_reduce(sum) of f32 [3]", &format!("rank {last} calls barrier")],
    )?;
    // of two collectives in progress, only the first differs between ranks
    let request = comm.start_all_reduce(if odd { &y } else { &x }, Reduce::Sum)?;
    let after = comm.start_all_reduce(&x, Reduce::Sum)?;
    refused(comm, request.wait(), K::Shape, &[&named])?;
    same(&after.wait()?, &(&x * comm.size() as f32));
    let axis = isize::from(!odd);
    refused(comm, comm.all_gather(zeros([2, 2], F32), axis), K::Argument, &["axis 0", "axis 1"])
}

fn failures_of_one_rank(comm: &Comm) -> Result<()> {
    use ErrorKind as K;
    let last = comm.size() - 1;
    let odd = comm.rank() == last;
    let (x, wrong) = (array![1., 2., 3.], array![1., 2.]);
    let sum = if odd { &x + &wrong } else { &x + &x };
    let named = format!("rank {last} failed: add: cannot broadcast shapes [3] and [2]");
    refused(comm, comm.all_reduce(&sum, Reduce::Sum), K::Shape, &[&named])?;
    refused(comm, comm.all_gather(&sum, 0), K::Shape, &[&named])?;
    refused(comm, comm.sum_in_order(&sum), K::Shape, &[&named])?;
    refused(comm, comm.reduce_scatter(&sum, Reduce::Sum, 0), K::Shape, &[&named])?;
    refused(comm, comm.start_broadcast(&sum, 0)?.wait(), K::Shape, &[&named])?;
    let missing = if odd { Array::from_npy("/nowhere.npy") } else { x.eval() };
    refused(comm, comm.agree(missing), K::Io, &[&format!("rank {last} failed: from_npy: /nowhere.npy")])?;
    refused(comm, comm.broadcast(&x, 99), K::Argument, &["there is no rank 99"])?;
    refused(comm, comm.scatter(None, 0), K::Argument, &["rank 0 failed: scatter: the root has no array"])?;
    refused(comm, comm.scatter(None, 99), K::Argument, &["there is no rank 99"])
}

fn halos(comm: &Comm) -> Result<()> {
    let all = arange(0, 60, 1, I32).reshape([20, 3]).eval()?;
    let own = comm.shard(20);
    for rows in [0, 1, 2] {
        let (before, behind) = comm.halo(all.slice(s![own.clone()]), rows)?;
        assert_eq!((before.is_some(), behind.is_some()), (own.start > 0, own.end < 20));
        if let Some(before) = before {
            same(&before, &all.slice(s![own.start - rows..own.start]));
        }
        if let Some(behind) = behind {
            same(&behind, &all.slice(s![own.end..own.end + rows]));
        }
    }
    let few = comm.halo(all.slice(s![..comm.rank()]), 1);
    refused(comm, few, ErrorKind::Shape, &["rank 0 failed: halo: 0 rows are fewer than 1"])
}

/// Repeats checks with messages of at most 24 bytes, so that larger arrays are sent in several messages.
fn in_pieces(comm: &Comm) -> Result<()> {
    comm.cut_messages(24);
    let checks: [Check; 7] =
        [every_dtype, special_values, views_and_scalars, uneven_parts, a_fixed_order, halos, shards::shards];
    for check in checks {
        check(comm)?;
    }
    comm.cut_messages(1 << 30);
    Ok(())
}

/// Checks more than 2^31 elements, which takes 13 GB on two ranks. Runs only by hand, as `checks large`.
fn large(comm: &Comm) -> Result<()> {
    let (rank, size) = (comm.rank(), comm.size());
    let n = (1 << 31) / size + 5;
    let own = full([n], rank + 1, U8).eval()?;
    let sum = |parts: usize| (n * parts * (parts + 1) / 2) as u64;
    let whole = |x: &Array, sum: u64| {
        assert_eq!((x.size(), x.sum(..).item::<u64>().unwrap()), (n * size, sum));
    };
    let all = comm.all_gather(&own, 0)?;
    whole(&all, sum(size));
    same(&all.slice(s![rank * n..(rank + 1) * n]), &own);
    same(&comm.scatter((rank == 0).then_some(&*all), 0)?, &own);
    if let Some(gathered) = comm.gather(&own, size - 1)? {
        whole(&gathered, sum(size));
    }
    same(&comm.reduce_scatter(&all, Reduce::Max, 0)?, &own);
    drop(own);
    whole(&comm.broadcast(&all, size - 1)?, sum(size));
    whole(&comm.all_reduce(&all, Reduce::Max)?, sum(size));
    if rank == 0 {
        println!("{size} ranks: {} elements: ok", n * size);
    }
    Ok(())
}

fn arrays_of_a_gpu(comm: &Comm) -> Result<()> {
    let gpu = match Device::gpus().into_iter().next() {
        Some(gpu) => gpu,
        None if cfg!(feature = "gpu") => panic!("no GPU"),
        None => return Ok(()),
    };
    let n = 5_000_000;
    let x = arange(0, n, 1, I32).eval()?;
    let own = (&x + comm.rank()).eval()?.to_device(&gpu)?;
    let total: usize = (0..comm.size()).sum();
    let sum = comm.all_reduce(&own, Reduce::Sum)?;
    assert_eq!(sum.device(), gpu);
    same(&sum, &(&x * comm.size() as i32 + total as i32).to_device(&Device::cpu())?);
    let copy = comm.broadcast(&own, 0)?;
    assert_eq!(copy.device(), gpu);
    same(&copy, &x);
    let later = comm.start_all_reduce(own.slice(s![..9]), Reduce::Max)?;
    assert_eq!(later.wait()?.device(), gpu);
    let rows = own.slice(s![..12]).reshape([4, 3]);
    assert_eq!(comm.all_gather(&rows, 1)?.device(), gpu);
    // the matrix is wider than a piece, and neighbouring ranks have different numbers of rows
    let (few, columns) = (comm.rank() % 2 + 1, 2_100_000);
    let part = own.slice(s![..few * columns]).reshape([few, columns]);
    let on_host = part.to_device(&Device::cpu())?;
    let all = comm.all_gather(&part, 0)?;
    assert_eq!(all.device(), gpu);
    same(&all, &comm.all_gather(&on_host, 0)?);
    let gathered = comm.gather(&part, 0)?;
    assert_eq!(gathered.is_some(), comm.rank() == 0);
    if let Some(gathered) = gathered {
        same(&gathered, &all);
    }
    let matrix = own.slice(s![..2 * columns]).reshape([2, columns]).astype(F16);
    let reduced = comm.reduce_scatter(&matrix, Reduce::Max, 0)?;
    same(&reduced, &comm.reduce_scatter(&matrix.to_device(&Device::cpu())?, Reduce::Max, 0)?);
    let (before, _) = comm.halo(&rows, 1)?;
    if let Some(before) = before {
        assert_eq!((before.device(), before.shape()), (gpu.clone(), &[1, 3][..]));
    }
    let part = comm.scatter((comm.rank() == 0).then_some(&rows), 0)?;
    assert_eq!(part.shape()[0], comm.shard(4).len());
    if comm.size() > 1 {
        let mixed = if comm.rank() == 0 { own.clone() } else { x };
        refused(comm, comm.all_reduce(&mixed, Reduce::Sum), ErrorKind::Argument, &["on a GPU, in pieces"])?;
    }
    lists::on_a_gpu(comm, &gpu)
}

/// Compares collectives of arrays on a GPU, in pieces of a few elements, with those of arrays on the CPU. Shapes have few
/// and many rows, one column, no row on some ranks, and no elements.
fn arrays_of_a_gpu_in_pieces(comm: &Comm) -> Result<()> {
    let Some(gpu) = Device::gpus().into_iter().next() else { return Ok(()) };
    let (rank, size) = (comm.rank(), comm.size());
    for (rows, columns, dtype) in
        [(9, 1, F32), (3, 7, F16), (1, 30, I32), (5, 0, F32), (0, 2, F32), (4, 4, BF16), (6, 2, Bool), (7, 3, U8)]
    {
        let x = of_rank(rank, rows * columns, dtype).reshape([rows, columns]).eval()?;
        let few = x.slice(s![..rows * rank / size.max(2)]);
        let there = [x.to_device(&gpu)?, few.to_device(&gpu)?];
        let all = |x: &Expr, few: &Expr| -> Result<Vec<Array>> {
            let mut all = vec![
                comm.all_reduce(x, Reduce::Sum)?,
                comm.broadcast(x, size - 1)?,
                comm.all_gather(few, 0)?,
                comm.all_gather(x, -1)?,
                comm.reduce_scatter(x, Reduce::Sum, 0)?,
                comm.reduce_scatter(x, Reduce::Max, 1)?,
            ];
            all.extend(comm.gather(few, size - 1)?);
            all.extend(if rows > 0 { Some(comm.sum_in_order(x)?) } else { None });
            all.push(comm.scatter((rank == 0).then_some(x), 0)?);
            Ok(all)
        };
        let want = all(&x, &few)?;
        comm.cut_messages(24);
        let have = all(&there[0], &there[1])?;
        comm.cut_messages(1 << 30);
        assert_eq!(want.len(), have.len());
        let last = have.len() - 1;
        for (i, (have, want)) in have.iter().zip(&want).enumerate() {
            // the result of `scatter` is on the device of the array on the root, and on the CPU of other ranks
            assert_eq!(have.device().is_gpu(), i < last || rank == 0);
            same(have, want);
        }
    }
    shards::on_a_gpu(comm, &gpu)?;
    let none = zeros([0, 2], F32).to_device(&gpu)?;
    refused(comm, comm.sum_in_order(&none), ErrorKind::Shape, &["no rank has an array to add"])
}
