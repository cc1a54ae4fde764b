//! Ranks that fail. The job must end, with a message that names the rank and the cause.

use crate::{Comm, Reduce, Result};
use cupric::{Array, DType, arange, array, s};
use cupric_mpi::Sharded;
use std::process::Command;
use std::time::Duration;

/// Makes rank 1 fail in the way that `how` names, while the other ranks go on.
pub fn fail(comm: &Comm, how: &str) -> Result<()> {
    let odd = comm.rank() == 1;
    let x = array![1., 2., 3.];
    comm.barrier()?;
    match how {
        "killed" if odd => drop(Command::new("kill").args(["-9", &std::process::id().to_string()]).status()),
        "panics" if odd => panic!("a planned panic"),
        "fails" if odd => drop(Array::from_npy("/nowhere.npy")?),
        "together" => drop(Array::from_npy("/nowhere.npy")?),
        "others" if comm.rank() != 0 => drop(Array::from_npy("/nowhere.npy")?),
        "leaves" if odd => return Ok(()),
        "sleeps" if odd => std::thread::sleep(Duration::from_secs(60)),
        "exits" if odd => std::process::exit(0),
        "differs" if odd => comm.barrier()?,
        "dropped" => {
            drop(comm.start_all_reduce(x.slice(s![..3 - usize::from(odd)]), Reduce::Sum)?);
            return Ok(());
        }
        "full" => {
            let rows = arange(0, 100_000, 1, DType::F32).eval()?;
            let sharded = Sharded::of_whole(comm, &rows, 0)?;
            let path = if odd { "/dev/full" } else { "/dev/null" };
            return sharded.to_npy(path);
        }
        _ => {}
    }
    // the other ranks wait in a collective, work, or both
    for _ in 0..2000 {
        comm.all_reduce(&x, Reduce::Sum)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
