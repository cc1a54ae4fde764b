//! Checks of lists of arrays.

use crate::{refused, same};
use cupric::DType::*;
use cupric::{Array, Device, ErrorKind, Result, arange, zeros};
use cupric_mpi::{Comm, Reduce};

pub fn lists_of_arrays(comm: &Comm) -> Result<()> {
    let n = comm.size() as f32;
    let list: Vec<Array> = [(F32, 3), (F32, 0), (F32, 1000), (F64, 5), (F16, 6), (F32, 2), (F32, 5_000_000)]
        .map(|(dtype, n)| arange(0, n, 1, F32).astype(dtype).reshape([n, 1]).eval().unwrap())
        .to_vec();
    let sums = comm.all_reduce_many(&list, Reduce::Sum)?;
    assert_eq!(sums.len(), list.len());
    for (sum, x) in sums.iter().zip(&list) {
        same(sum, &(x.astype(F64) * n).astype(x.dtype()));
    }
    assert!(comm.all_reduce_many(&[], Reduce::Sum)?.is_empty());
    Ok(())
}

/// Passes lists of which one array of the last rank has another shape or dtype.
pub fn lists_that_differ(comm: &Comm) -> Result<()> {
    if comm.size() == 1 {
        return Ok(());
    }
    use ErrorKind as K;
    let odd = comm.rank() + 1 == comm.size();
    // both arrays have six elements
    let (a, b) = (zeros([2, 3], F32).eval()?, zeros([3, 2], F32).eval()?);
    let many = |last: &Array| comm.all_reduce_many(&[a.clone(), last.clone()], Reduce::Sum);
    refused(comm, many(if odd { &a } else { &b }), K::Shape, &["of f32 [2, 3] and f32 [3, 2]"])?;
    refused(comm, many(&if odd { b.astype(I32).eval()? } else { b.clone() }), K::DType, &["and i32 [3, 2]"])?;
    let none = if odd { comm.all_reduce_many(&[], Reduce::Sum) } else { many(&a) };
    refused(comm, none, K::Argument, &["sum, 2 arrays", "sum, 0 arrays"])?;
    // the text of long lists is cut, at another place if the first shape has one more digit
    let (nine, ten) = (zeros([9], F32).eval()?, zeros([10], F32).eval()?);
    for (own, other, at, kind) in [
        (&a, &b, 49, K::Shape),
        (&a, &a.astype(I32).eval()?, 49, K::DType),
        (&a, &a.astype(I32).eval()?, 0, K::DType),
        (&nine, &ten, 0, K::Shape),
        (&nine, &zeros([10], U8).eval()?, 0, K::DType),
    ] {
        let mut list = vec![a.clone(); 50];
        list[at] = if odd { other.clone() } else { own.clone() };
        let result = comm.all_reduce_many(&list, Reduce::Sum);
        let text = result.as_ref().map(|_| ()).unwrap_err().to_string();
        let hashes: Vec<&str> = text.split(" … (hashes: ").skip(1).filter_map(|s| s.split(')').next()).collect();
        assert!(hashes.len() == 2 && hashes[0] != hashes[1], "{text}");
        refused(comm, result, kind, &["sum, 50 arrays", "f32 [2, 3] … (hashes: dtypes "])?;
    }
    Ok(())
}

/// Passes lists whose arrays are on a GPU and on the CPU.
pub fn on_a_gpu(comm: &Comm, gpu: &Device) -> Result<()> {
    let here = arange(0, 6, 1, F32).reshape([2, 3]).eval()?;
    let there = here.to_device(gpu)?;
    let list = [there.clone(), here.clone(), here.clone(), there.clone(), there.clone()];
    let sums = comm.all_reduce_many(&list, Reduce::Sum)?;
    assert_eq!(sums.len(), list.len());
    for (sum, x) in sums.iter().zip(&list) {
        assert_eq!(sum.device(), x.device());
        same(sum, &(&here * comm.size() as f32));
    }
    if comm.size() == 1 {
        return Ok(());
    }
    let first = if comm.rank() == 0 { there } else { here.clone() };
    let mixed = comm.all_reduce_many(&[first, here], Reduce::Sum);
    refused(comm, mixed, ErrorKind::Argument, &["in messages of [1, 1] arrays", "in messages of [2] arrays"])
}
