//! Checks of sharded arrays.

use crate::{refused, same};
use cupric::DType::*;
use cupric::{Array, Device, ErrorKind, Expr, Result, Rng, arange, array, s};
use cupric_mpi::{Comm, Reduce, Sharded};
use std::path::PathBuf;

pub fn shards(comm: &Comm) -> Result<()> {
    for rows in [1, 2, 5, 16] {
        for dtype in [I32, F64, U8, Bool, F16] {
            let all = (arange(0, rows * 6, 1, I32) % 7).reshape([rows, 2, 3]).astype(dtype).eval()?;
            for axis in [0, 1, -1] {
                let x = Sharded::of_whole(comm, &all, axis)?;
                assert_eq!(x.shape(), all.shape());
                same(&x.gather()?, &all);
                same(Sharded::new(comm, x.local(), axis)?.local(), x.local());
                for to in [0, 1, 2] {
                    let y = x.reshard(to)?;
                    same(y.local(), Sharded::of_whole(comm, &all, to)?.local());
                }
                if dtype == I32 {
                    same(&x.reduce(Reduce::Sum, axis)?, &all.sum(axis));
                    same(&x.reduce(Reduce::Prod, axis)?, &all.prod(axis));
                }
                if dtype != Bool {
                    same(&x.reduce(Reduce::Max, axis)?, &all.max(axis));
                    same(&x.reduce(Reduce::Min, axis)?, &all.min(axis));
                    same(&x.map(|x| x * 2 + 1)?.gather()?, &(&all * 2 + 1));
                    same(&x.zip(&x, |a, b| a + b)?.gather()?, &(&all + &all));
                }
            }
        }
    }
    let x = Sharded::of_whole(comm, arange(0, 24, 1, F32).reshape([8, 3]), 0)?;
    assert_eq!(x.reduce(Reduce::Sum, 1).unwrap_err().kind(), ErrorKind::Axis);
    assert_eq!(x.reshard(5).err().map(|e| e.kind()), Some(ErrorKind::Axis));
    refused(
        comm,
        x.map(|x| x.sum(..)),
        ErrorKind::Shape,
        &["rank 0 failed: Sharded::map: the function gives shape []"],
    )?;
    let ragged = arange(0, 3 * comm.rank() + 3, 1, F32).reshape([-1, 3]);
    match Sharded::new(comm, &ragged, 0) {
        Ok(_) => assert_eq!(comm.size(), 1),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Shape),
    }
    Ok(())
}

/// Compares sharded arrays on a GPU with those on the CPU.
pub fn on_a_gpu(comm: &Comm, gpu: &Device) -> Result<()> {
    let path = file(comm, "gpu")?;
    for (rows, dtype) in [(7, F32), (2, F16), (5, I32)] {
        let all = (arange(0, rows * 6, 1, I32) % 7).reshape([rows, 6]).astype(dtype).eval()?;
        let x = Sharded::of_whole(comm, all.to_device(gpu)?, 0)?;
        let columns = x.reshard(1)?;
        assert!(x.local().device() == *gpu && columns.local().device() == *gpu);
        same(&x.gather()?, &all);
        same(&columns.gather()?, &all);
        same(&x.reduce(Reduce::Max, 0)?, &all.max(0));
        same(&columns.reduce(Reduce::Max, 1)?, &all.max(1));
        let product = columns.matmul_sum(&Sharded::of_whole(comm, all.t().to_device(gpu)?, 0)?)?;
        same(&product.astype(F64), &all.matmul(all.t()).astype(F64));
        x.map(|x| x + 1)?.to_npy(&path)?;
        same(Sharded::from_npy(comm, &path)?.local(), &(all.slice(s![comm.shard(rows)]) + 1));
        comm.barrier()?;
    }
    if comm.rank() == 0 {
        std::fs::remove_file(&path).unwrap();
    }
    Ok(())
}

pub fn products(comm: &Comm) -> Result<()> {
    let rng = &mut Rng::new(3);
    let (a, b) = (rng.normal([37, 600], F32).eval()?, rng.normal([600, 29], F32).eval()?);
    let want = a.matmul(&b).eval()?;
    let rows = Sharded::of_whole(comm, &a, 0)?.matmul(&b)?;
    same(&rows.gather()?, &want);
    let columns = Sharded::of_whole(comm, &b, 1)?;
    let product = columns.rmatmul(&a)?;
    assert_eq!(product.axis(), 1);
    same(&product.gather()?, &want);
    let (inner, outer) = (Sharded::of_whole(comm, &a, 1)?, Sharded::of_whole(comm, &b, 0)?);
    let sum = inner.matmul_sum(&outer)?;
    let error = (&sum - &want).abs().max(..).item::<f32>()?;
    assert!(error < 1e-3, "{error}");
    assert_eq!(columns.matmul(&b).err().map(|e| e.kind()), Some(ErrorKind::Axis));
    assert_eq!(rows.matmul(array![[1., 2.]]).err().map(|e| e.kind()), Some(ErrorKind::Shape));
    Ok(())
}

#[repr(C)]
struct Limit {
    now: u64,
    most: u64,
}

unsafe extern "C" {
    fn setrlimit(resource: i32, limit: *const Limit) -> i32;
}

/// Limits this process to some bytes of private memory beyond its present memory. Mapped files do not count.
fn limit(more: u64) {
    const DATA: i32 = 2;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let has = status.lines().find_map(|l| l.strip_prefix("VmData:")).unwrap();
    let now = (has.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10) + more;
    // SAFETY: `Limit` has the layout of `struct rlimit` on 64-bit Linux, and is only read during the call.
    assert_eq!(unsafe { setrlimit(DATA, &Limit { now, most: now }) }, 0);
}

/// A formula of a mapped file of 128 MiB goes into a new file, although no rank has memory for its part.
pub fn streams(comm: &Comm) -> Result<()> {
    const SHAPE: [usize; 2] = [1 << 18, 128];
    let (from, to) = (file(comm, "from")?, file(comm, "to")?);
    let w = Rng::new(2).normal([128, 128], F32).eval()?;
    if comm.rank() == 0 {
        Rng::new(1).uniform(SHAPE, F32).to_npy(&from)?;
    }
    comm.barrier()?;
    // SAFETY: nobody changes the file.
    let x = unsafe { Sharded::map_npy(comm, &from) }?;
    limit(40 << 20);
    let eager = x.map(|x| x * 2.0)?.eval();
    assert_eq!(eager.err().map(|e| e.kind()), Some(ErrorKind::OutOfMemory));
    let mean = x.reduce(Reduce::Sum, 0)? / x.length() as f64;
    let centred = x.map(|x| x - &mean)?;
    let variance = centred.map(|x| x.square())?.reduce(Reduce::Sum, 0)? / x.length() as f64;
    let all = centred.map(|x| x / variance.sqrt())?.zip(&x, |a, b| a + b)?;
    all.to_npy(&to)?;
    let whole = |path: &PathBuf| {
        // SAFETY: nobody changes the file.
        unsafe { Array::map_npy(path) }
    };
    let standard = |x: &Expr| (x - &mean) / variance.sqrt() + x;
    let compared = |found: &Array, want: Expr| -> Result<()> {
        for (found, want) in found.chunks(1 << 12)?.zip(want.chunks(1 << 12)?) {
            same(&found, &want);
        }
        Ok(())
    };
    compared(&whole(&to)?, standard(&*whole(&from)?))?;
    comm.barrier()?;
    // a product by rows, and rows that are sorted
    x.map(|x| x.sort(1))?.matmul(&w)?.to_npy(&to)?;
    compared(&whole(&to)?, whole(&from)?.sort(1).matmul(&w))?;
    comm.barrier()?;
    if comm.rank() == 0 {
        println!("{} ranks: streams: ok", comm.size());
        std::fs::remove_file(&from).and_then(|()| std::fs::remove_file(&to)).unwrap();
    }
    Ok(())
}

/// Returns the path of a temporary file, which is equal on all ranks of a job and differs between jobs.
fn file(comm: &Comm, name: &str) -> Result<PathBuf> {
    let id = comm.broadcast(&Array::from_vec(vec![std::process::id()], [1])?, 0)?.item::<u32>()?;
    Ok(std::env::temp_dir().join(format!("cupric-mpi-{id}-{name}.npy")))
}

pub fn files(comm: &Comm) -> Result<()> {
    let path = file(comm, "rows")?;
    for (rows, dtype) in [(11, F32), (2, Bool), (4, F16), (0, I64), (100, U8)] {
        let all: Expr = (arange(0, rows * 3, 1, I32) % 2).reshape([rows, 3]).astype(dtype);
        let x = Sharded::of_whole(comm, &all, 0)?;
        x.to_npy(&path)?;
        let read = Array::from_npy(&path)?;
        same(&read, &all);
        // SAFETY: nobody changes the file; the next turn replaces it.
        let mapped = unsafe { Sharded::map_npy(comm, &path) }?;
        same(mapped.local(), &all.slice(s![comm.shard(rows)]));
        let read = Sharded::from_npy(comm, &path)?;
        assert_eq!(read.shape(), all.shape()?);
        same(read.local(), mapped.local());
        comm.barrier()?;
    }
    if comm.rank() == 0 {
        std::fs::remove_file(&path).unwrap();
    }
    let x = Sharded::of_whole(comm, arange(0, 8, 1, F32), 0)?;
    refused(comm, x.to_npy("/nowhere/x.npy"), ErrorKind::Io, &["rank 0 failed", "/nowhere/x.npy: No such file"])?;
    // the functions of several calls of `map` are computed together, when the elements are used
    let mapped = x.map(|x| x + 1)?.zip(&x.map(|x| x * 10)?, |a, b| a - b)?;
    assert_eq!((mapped.dtype(), mapped.shape()), (F32, vec![8]));
    same(&mapped.gather()?, &array![1., -8., -17., -26., -35., -44., -53., -62.]);
    same(mapped.eval()?.local(), mapped.local());
    same(&mapped.reduce(Reduce::Max, 0)?, &array![1.].max(..));
    same(mapped.reshard(0)?.local(), mapped.local());
    let wrong = x.map(|x| x + array![1., 2., 3., 4., 5., 6., 7., 8., 9.]);
    refused(comm, wrong, ErrorKind::Shape, &["rank 0 failed: add: cannot broadcast"])?;
    let place = array![99i64];
    let late = x.map(|x| x + x.take(&place, 0))?;
    refused(comm, late.eval(), ErrorKind::Index, &["rank 0 failed: take"])?;
    refused(comm, late.to_npy(&path), ErrorKind::Index, &["rank 0 failed: take"])?;
    let half = x.map(|x| x.astype(BF16))?;
    assert_eq!(half.to_npy(&path).unwrap_err().kind(), ErrorKind::DType);
    // SAFETY: there is no such file.
    let missing = unsafe { Sharded::map_npy(comm, "/nowhere/x.npy") };
    refused(comm, missing, ErrorKind::Io, &["rank 0 failed: map_npy: /nowhere/x.npy"])?;
    let missing = Sharded::from_npy(comm, "/nowhere/x.npy");
    refused(comm, missing, ErrorKind::Io, &["rank 0 failed: from_npy_rows: /nowhere/x.npy"])?;
    assert!(!path.exists());
    Ok(())
}
