//! Floor 4: what a device must do. `cpu` and `gpu` implement it and know nothing of each other.

mod faults;

use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Caps, Plan};
pub(crate) use faults::{Faults, POISON, Planned};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;

/// A future that owns what it needs.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// Where a caller wrote an operation.
pub(crate) type Line = &'static Location<'static>;

/// What a plan runs on. Buffers are those of the backend's own device.
pub(crate) struct Bindings<'a> {
    /// With the run-time offset, in elements, of element 0.
    pub inputs: &'a [(Buffer, usize)],
    /// With the run-time offset, in elements, of element 0.
    pub outputs: &'a [(Buffer, usize)],
    /// Bits of the compute type of each scalar.
    pub scalars: &'a [u64],
    /// The caller's line of each node of this evaluation, by the numbers that kernels name.
    pub lines: &'a [Line],
    /// Whether the outputs hold elements that must stay if the run fails.
    pub replaces: bool,
}

impl Bindings<'_> {
    /// The caller's line of a node.
    pub fn line(&self, node: usize) -> Option<Line> {
        self.lines.get(node).copied()
    }
}

/// The error of an index outside its axis. An index that counts from the end has had the length added.
pub(crate) fn index_out_of_range(index: i128, extent: usize, line: Option<Line>) -> Error {
    let index = if index < 0 { index - extent as i128 } else { index };
    Error::new(ErrorKind::Index, "take", format!("index {index} is out of range for an axis of length {extent}"), line)
}

/// Counters of a device since it was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Kernels run, each with all its passes: what [`Plan::kernels`](crate::Plan::kernels) counts.
    pub kernels: u64,
    /// Dispatches of those kernels: more where a reduction has several passes, or an array does not fit one binding.
    pub dispatches: u64,
    /// Plans made ready to run: a plan is prepared once and kept, whatever buffers, numbers and offsets it then runs on.
    pub prepares: u64,
    /// Shaders compiled into pipelines.
    pub compiles: u64,
    /// Waits for the device.
    pub syncs: u64,
    /// Buffers handed out, from the pool or new.
    pub allocations: u64,
    /// Buffers that had to be made by the system or the driver.
    pub driver_allocations: u64,
    /// Bytes copied to the device.
    pub bytes_in: u64,
    /// Bytes copied from the device.
    pub bytes_out: u64,
}

/// Bytes of a device's memory as cupric accounts for them: those of arrays and temporaries, in the sizes that were really
/// allocated (sizes are rounded up, so that memory fits again; up to 64 bytes take 64 on the CPU, none take none).
///
/// Not counted are compiled kernels, the scratch of threads (some hundred KiB each), and the host's memory that a transfer
/// to or from a GPU takes while it runs (64 MiB at most at a time).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// Held by arrays.
    pub used: usize,
    /// Kept for reuse.
    pub cached: usize,
    /// The most that was in use at once.
    pub peak: usize,
    /// The budget, where one was set: `used` and `cached` together never pass it.
    pub limit: Option<usize>,
}

/// A device that runs plans.
pub(crate) trait Backend: Send + Sync {
    /// What the planner may use.
    fn caps(&self) -> &Caps;
    /// A buffer of at least `bytes` bytes. Its content is unspecified, and never readable before it is written.
    fn allocate(&self, bytes: usize) -> Result<Buffer>;
    /// Copies host bytes into a buffer from byte `offset`.
    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()>;
    /// Reads `len` bytes from byte `offset`, after all work enqueued so far. Errors found late come out here.
    fn download(&self, buffer: &Buffer, offset: usize, len: usize) -> Pending<Vec<u8>>;
    /// Runs a plan, or enqueues it.
    fn run(&self, plan: &Plan, bindings: Bindings<'_>) -> Result<()>;
    /// Runs a plan whose errors are known when this returns.
    fn run_at_once(&self, plan: &Plan, bindings: Bindings<'_>) -> Result<()> {
        self.run(plan, bindings)
    }
    /// Waits for all work.
    fn synchronize(&self) -> Pending<()>;
    /// Counters.
    fn report(&self) -> (Stats, MemoryInfo);
    /// Returns cached memory to the system.
    fn trim(&self);
}
