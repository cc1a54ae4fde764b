//! Checks of arrays without elements, whose lengths have products and sums that overflow.

use crate::{refused, same};
use cupric::DType::*;
use cupric::{ErrorKind, Result, s, zeros};
use cupric_mpi::{Comm, Reduce, Sharded};

pub fn long_and_empty(comm: &Comm) -> Result<()> {
    let (rank, size) = (comm.rank(), comm.size());
    // no rows, each of 2^80 elements
    let x = zeros([0, 1usize << 40, 1 << 40], F32).eval()?;
    same(&comm.all_reduce(&x, Reduce::Sum)?, &x);
    same(&comm.all_gather(&x, 0)?, &x);
    same(&comm.reduce_scatter(&x, Reduce::Sum, 0)?, &x);
    same(&comm.scatter((rank == 0).then_some(&*x), 0)?, &x);
    if let Some(gathered) = comm.gather(&x, 0)? {
        same(&gathered, &x);
    }
    let (before, behind) = comm.halo(&x, 0)?;
    for edge in [before, behind].iter().flatten() {
        same(edge, &x);
    }
    refused(comm, comm.sum_in_order(&x), ErrorKind::Shape, &["no rank has an array to add"])?;
    let sharded = Sharded::new(comm, &x, 0)?;
    let columns = sharded.reshard(1)?;
    assert_eq!(columns.shape(), x.shape());
    same(columns.reshard(0)?.local(), &x);

    // 2^62 rows of no elements: an array has fewer than 2^63 rows, so two ranks have too many
    let x = zeros([1usize << 62, 0], F32).eval()?;
    same(&comm.all_reduce(&x, Reduce::Sum)?, &x);
    same(&comm.sum_in_order(&x)?, &zeros([0], F32));
    same(&comm.reduce_scatter(&x, Reduce::Sum, 0)?, &x.slice(s![comm.shard(1 << 62)]));
    if size == 1 {
        same(&comm.all_gather(&x, 0)?, &x);
        return Ok(());
    }
    let text = format!("the ranks have [{}] rows", vec!["4611686018427387904"; size].join(", "));
    refused(comm, comm.all_gather(&x, 0), ErrorKind::LimitExceeded, &[&text])?;
    refused(comm, comm.gather(&x, 0), ErrorKind::LimitExceeded, &[&text])?;
    refused(comm, Sharded::new(comm, &x, 0), ErrorKind::LimitExceeded, &[&text])
}
