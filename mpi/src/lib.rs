//! Arrays of [cupric] on many machines, by MPI.
//!
//! A program runs as several processes, which MPI calls *ranks*. Each rank has its own arrays, and the methods of
//! [`Comm`] combine them: [`Comm::all_reduce`] adds the arrays of all ranks, [`Comm::broadcast`] copies the array of
//! one rank to all, and so on. [`Sharded`] is one large array of which each rank holds a part.
//!
//! ```no_run
//! use cupric::{Array, Result};
//! use cupric_mpi::{Comm, Reduce};
//!
//! fn main() -> Result<()> {
//!     Comm::run(|comm| -> Result<()> {
//!         let rows = comm.shard(1000);
//!         let x = cupric::arange(rows.start, rows.end, 1, cupric::DType::F32).eval()?;
//!         let total = comm.all_reduce(&x.sum(..), Reduce::Sum)?;
//!         println!("rank {} of {}: {total}", comm.rank(), comm.size());
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # Guarantees
//!
//! * **The ranks agree before every collective.** Before data moves, they compare the operation, the dtype, the shape
//!   and the number of calls so far, and check whether a rank has failed. If they differ, every rank gets the same
//!   `Err`, which names two ranks that differ, or the rank that failed and why.
//! * **No rank hangs.** If the function given to [`Comm::run`] returns an error or panics, the rank prints one message
//!   and ends all ranks. If a rank returns early, the others get an error at their next collective.
//! * **A rank that waits leaves its core to other ranks**, so a job may have more ranks than there are cores.
//! * Arrays on a GPU go through the host's memory, in most collectives in pieces; the README names the others.
//!
//! All calls of MPI come from the thread that called [`Comm::run`]; `Comm` is neither `Send` nor `Sync`.
//! f16 and bf16 are added in f32 and rounded once at the end.
#![warn(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// `raw.rs` calls C. `queue.rs` runs the collectives of a rank in order, each after an agreement (`call.rs`) on the
// operation, the dtype and the shape. `collective.rs`, `exchange.rs` and `sharded.rs` contain the public functions.
mod call;
mod collective;
mod comm;
mod exchange;
mod pieces;
mod queue;
mod raw;
mod sharded;
mod sharded_file;
mod staging;

pub use call::Reduce;
pub use collective::Request;
pub use comm::{Comm, Traffic};
pub use sharded::Sharded;

/// Contains the README as documentation, so that its example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
