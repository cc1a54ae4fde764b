//! Helpers that the examples share: arguments, lines of output, and hashes.
#![allow(dead_code, reason = "each example uses a part")]

use clap::Parser;
use cupric::{Array, Device};
use cupric_mpi::Comm;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Returns whether this process is rank 0, before MPI has started: Open MPI and MPICH set a variable with the rank.
/// Only rank 0 prints a message that all ranks have.
fn is_first() -> bool {
    let rank = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"].iter().find_map(|name| std::env::var(name).ok());
    rank.is_none_or(|rank| rank == "0")
}

/// Reads the program's arguments. `--help` prints the usage once. A wrong argument prints one line on stderr and ends
/// the program with status 2.
pub fn arguments<T: Parser>(program: &str) -> T {
    T::try_parse().unwrap_or_else(|error| {
        if !error.use_stderr() {
            if is_first() {
                error.print().ok();
            }
            std::process::exit(0);
        }
        if is_first() {
            let text = error.to_string();
            let line = text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_string();
            let _ = writeln!(io::stderr(), "{program}: {line} (try --help)");
        } else {
            // wait, so that rank 0 prints its message before MPI ends all ranks
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        std::process::exit(2)
    })
}

/// Reads a number above 0.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a number above 0 is needed".into()),
        Ok(n) => Ok(n),
        Err(error) => Err(format!("{error}")),
    }
}

/// Returns the program's exit code. If a rank fails inside of [`Comm::run`], that function ends the job itself.
pub fn finish(program: &str, result: cupric::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{program}: {error}");
            ExitCode::from(1)
        }
    }
}

/// Prints a line on rank 0.
pub fn say(comm: &Comm, line: impl Display) -> io::Result<()> {
    match comm.rank() {
        0 => writeln!(io::stdout(), "{line}"),
        _ => Ok(()),
    }
}

/// Prints what each rank has sent and how long it has waited, in the order of the ranks.
pub fn say_traffic(comm: &Comm) -> Result<()> {
    let line = format!("rank {}: {}\n", comm.rank(), comm.traffic());
    if let Some(lines) = comm.gather(Array::from_slice(line.as_bytes(), [-1])?, 0)? {
        write!(io::stdout(), "{}", String::from_utf8_lossy(&lines.to_vec::<u8>()?))?;
    }
    Ok(())
}

/// Returns the device of a rank. With the name `gpu` the ranks are distributed over all GPUs.
pub fn device(comm: &Comm, name: &str) -> Result<Device> {
    let gpus = if name == "gpu" { Device::gpus() } else { vec![] };
    let chosen = match gpus.len() {
        0 => name.parse(),
        n => Ok(gpus[comm.rank() % n].clone()),
    };
    Ok(comm.agree(chosen)?)
}

/// Returns the FNV-1a hash of the bytes of arrays.
pub fn hash(arrays: &[Array]) -> Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for x in arrays {
        for byte in x.to_bytes()? {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    Ok(hash)
}
