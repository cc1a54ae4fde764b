//! What the examples share: arguments, lines of output, and hashes.
#![allow(dead_code, reason = "each example uses a part")]

use clap::Parser;
use cupric::{Array, Device};
use cupric_mpi::Comm;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Whether this process prints what all ranks would print before MPI has started. Both MPIs tell a process its rank.
fn is_first() -> bool {
    let rank = ["OMPI_COMM_WORLD_RANK", "PMI_RANK"].iter().find_map(|name| std::env::var(name).ok());
    rank.is_none_or(|rank| rank == "0")
}

/// Reads the program's arguments. `--help` prints the usage once; a wrong argument gives one line on stderr and status 2.
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
            // the first rank's message comes before MPI ends the others
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

/// The exit code of a program whose ranks have ended. [`Comm::run`] itself ends a job that fails.
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

/// The device of a rank: the CPU, or with `gpu` and several GPUs each rank its own.
pub fn device(comm: &Comm, name: &str) -> Result<Device> {
    let gpus = if name == "gpu" { Device::gpus() } else { vec![] };
    let chosen = match gpus.len() {
        0 => name.parse(),
        n => Ok(gpus[comm.rank() % n].clone()),
    };
    Ok(comm.agree(chosen)?)
}

/// The FNV-1a hash of arrays, bit by bit.
pub fn hash(arrays: &[Array]) -> Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for x in arrays {
        for byte in x.to_bytes()? {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    Ok(hash)
}
