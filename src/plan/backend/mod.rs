//! The trait of a device. `cpu` and `gpu` implement it and know nothing of each other; `device.rs` holds devices as
//! `Arc<dyn Backend>`.

mod faults;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
mod native;
#[cfg(all(feature = "gpu", feature = "kernels"))]
mod raw;
mod record;
pub(crate) mod waiting;

use crate::base::buffer::Buffer;
#[cfg(feature = "testing")]
use crate::base::caps::Shrink;
use crate::base::error::{Error, ErrorKind, Fault, Result, room};
use crate::graph::routine::{Params, Routine};
use crate::plan::kernel::{Caps, NumberedCaps, Plan};
pub(crate) use faults::FaultInjector;
#[cfg(feature = "testing")]
pub use faults::InjectedFault;
#[cfg(feature = "testing")]
pub(crate) use faults::POISON;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
pub(crate) use native::Native;
#[cfg(all(feature = "gpu", feature = "kernels"))]
pub(crate) use raw::{RawBinding, RawCall};
pub(crate) use record::{Clock, Detail, Recording, StepNote, busy};
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex, PoisonError};
pub(crate) use waiting::{Outcome, Pending, start, wait};

/// The line on which a caller wrote an operation.
pub(crate) type Line = &'static Location<'static>;

/// The buffers and numbers that a plan runs on. Buffers are those of the backend's own device.
pub(crate) struct Bindings<'a> {
    /// Each buffer with the offset of the array's element 0 in it, in elements.
    pub inputs: &'a [(&'a Buffer, usize)],
    pub outputs: &'a [(Buffer, usize)],
    /// Each scalar, converted to its compute type, as bits.
    pub scalars: &'a [u64],
    /// The caller's line of each node of this evaluation.
    pub lines: &'a dyn Lines,
    /// Whether the run writes in place. The output then holds an array's elements, which must stay as they were if it fails.
    pub replaces: bool,
}

impl Bindings<'_> {
    /// The caller's line of a node.
    pub fn line(&self, node: usize) -> Option<Line> {
        self.lines.of(node)
    }
}

/// The lines on which a caller wrote the nodes of an evaluation. Kernels name a node by its number.
pub(crate) trait Lines {
    /// The line of a node; none where there is no such node.
    fn of(&self, node: usize) -> Option<Line>;
}

impl Lines for SmallVec<[Line; 8]> {
    fn of(&self, node: usize) -> Option<Line> {
        self.get(node).copied()
    }
}

/// Operations of which a negative position does not count from the end.
const FROM_THE_START: [&str; 4] = ["segment_sum", "bincount_weighted", "reduce_at", "ravel_multi_index"];

/// Makes the error of an index out of range. `take` adds the axis's length to a negative index before kernels see it, so an
/// index that is still negative gets the length subtracted again: the message names what the caller wrote.
pub(crate) fn index_out_of_range(name: &str, index: i128, extent: usize, line: Option<Line>) -> Error {
    let index = if index < 0 && !FROM_THE_START.contains(&name) { index - extent as i128 } else { index };
    Error::with_line(
        ErrorKind::Index,
        name,
        format!("index {index} is out of range for an axis of length {extent}"),
        line,
    )
}

/// Makes the error of an element that a routine refuses, with the text of the routine's row.
pub(crate) fn refused_value(row: &Routine, params: &Params, value: i128, line: Option<Line>) -> Error {
    let fault = match row.refuses {
        Some(refuses) => refuses(value, params),
        None => Fault::new(ErrorKind::Internal, "the routine takes every element, but one was refused"),
    };
    Error::with_line(fault.kind, row.name, fault.detail, line)
}

/// Counters of a device since it was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Kernels and routines run, each with all its passes: what [`Plan::kernels`](crate::Plan::kernels) counts.
    pub kernels: u64,
    /// Dispatches of those kernels: more than kernels if a reduction, scan or routine has several passes, or an array exceeds
    /// one binding.
    pub dispatches: u64,
    /// Plans made ready to run. A prepared plan is kept, and reused with other buffers, numbers and offsets, on the CPU also by
    /// another device of it. It is prepared
    /// anew if it was dropped because many others were used since; on the CPU also at the first run that writes in place; on a
    /// GPU also if other operands share a buffer, if a result of 8- or 16-bit elements begins at another place in a 32-bit
    /// word, if a buffer is larger than one binding (at every run), or after a trim.
    pub prepares: u64,
    /// Shaders compiled into pipelines; 0 on the CPU.
    pub compiles: u64,
    /// How often the host waited for the device; 0 on the CPU.
    pub syncs: u64,
    /// Buffers handed out, from the pool or new, and `Vec`s that became arrays without a copy.
    pub allocations: u64,
    /// Buffers that had to be made by the system or the driver.
    pub driver_allocations: u64,
    /// Bytes copied to the device.
    pub bytes_in: u64,
    /// Bytes copied from the device.
    pub bytes_out: u64,
}

/// Bytes of a device's memory that arrays and temporaries take, in the sizes that were really allocated. Sizes are rounded
/// up, so that freed memory fits later arrays; on the CPU an array of 1 to 64 bytes takes 64, one without elements takes none,
/// and a `Vec` that became an array counts with its elements' bytes.
///
/// Not counted are compiled kernels, the scratch of threads (some hundred KiB each), and the host's memory that a transfer
/// to or from a GPU takes while it runs (64 MiB at most at a time of what is written, 32 MiB of what is read).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// Bytes that arrays hold, and temporaries of evaluations that run.
    pub used: usize,
    /// Bytes that are kept for reuse.
    pub cached: usize,
    /// The largest value that `used` has had.
    pub peak: usize,
    /// The budget, if one was set: `used` and `cached` together never exceed it.
    pub limit: Option<usize>,
}

/// How a GPU's own f32 arithmetic behaves in plain shader text, as a probe found it. `true` means: as in IEEE 754 (or
/// Rust). Where a field is `false`, cupric's functions and a program's formulas are right nevertheless, except for
/// subnormal numbers and for the rounding of sums and products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Numerics {
    /// A NaN survives a load, a sum and a product.
    pub nan: bool,
    /// An infinity survives a load, a sum and a product, and ∞ − ∞ and ∞ · 0 are NaN.
    pub infinity: bool,
    /// −0 survives a load, a sum and a product.
    pub negative_zero: bool,
    /// Subnormal numbers are not flushed to 0, as operands and as results of sums and products.
    pub subnormals: bool,
    /// `(a + b) − a` and `a − a` are computed as written. Formulas are computed as written on every device, whatever this
    /// says: kernels guard the values that one operation hands to the next. They do so even if the probe found no folding,
    /// because a compiler decides anew for each kernel.
    pub no_folding: bool,
    /// Sums and products are rounded to nearest, ties to even.
    pub rounding: bool,
    /// `fma` rounds once.
    pub fma: bool,
    /// `a * b + c` rounds twice. In formulas it always does; inside a product of matrices the device may round once.
    pub no_contraction: bool,
    /// Quotients are correctly rounded.
    pub division: bool,
    /// Square roots are correctly rounded.
    pub sqrt: bool,
    /// The conversion to f16 rounds to nearest even, with overflow to ∞.
    pub half: bool,
    /// The conversion to i32 saturates, and NaN gives 0.
    pub float_to_int: bool,
}

/// Takes the bytes of a read in order, piece by piece, and may refuse them.
pub(crate) type Receive = Box<dyn FnMut(&[u8]) -> Result<()> + Send>;

/// What several pieces of a read are added to; another owner takes it when the read is done.
#[derive(Clone)]
pub(crate) struct Received<T>(Arc<Mutex<T>>);

impl<T: Default> Received<T> {
    pub fn new(empty: T) -> Received<T> {
        Received(Arc::new(Mutex::new(empty)))
    }

    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn take(&self) -> T {
        self.with(std::mem::take)
    }
}

/// Makes the name of device number `id`. One with a budget has a name of its own, because its arrays do not mix with those of the
/// device whose hardware it shares, and errors name both.
pub(crate) fn name_within(hardware: &str, id: u32, limit: Option<usize>) -> String {
    let Some(bytes) = limit else { return hardware.to_string() };
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")];
    let (size, unit) =
        units.into_iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size)).unwrap_or((1, "bytes"));
    format!("{hardware} #{id} (limit {} {unit})", bytes / size)
}

/// A device that runs plans. A backend must implement the methods without a default; the others are optional abilities.
pub(crate) trait Backend: Send + Sync {
    /// The device's number. No two devices of a process ever have the same, even if the first has ended.
    fn id(&self) -> u32;
    /// The capabilities that the planner decides by, with the name of the hardware.
    fn caps(&self) -> &NumberedCaps;
    /// The checks of results that the user has asked of this device, as `array/check/wanted.rs` writes them; 0 at first.
    fn checks(&self) -> &AtomicU8;
    /// Opens another device, under the number `id`, on the same hardware, with a budget of `limit` bytes.
    fn with_limit(&self, id: u32, limit: usize) -> Result<Arc<dyn Backend>>;
    /// Allocates a buffer of at least `bytes` bytes, which keeps the device alive. Its content is unspecified until written.
    fn allocate(&self, bytes: usize) -> Result<Buffer>;
    /// Copies host bytes into a buffer from byte `offset`.
    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()>;
    /// Reads `len` bytes from byte `offset`, after all work enqueued so far, which this call submits. Also returns errors that were
    /// found late. No poll of the future waits for the device, unless the caller blocks ([`wait`]). Each piece of the bytes is given to
    /// `receive`, which copies it to where it shall lie: so the host copies them once. A read that fails may have given some pieces before;
    /// one of no bytes gives one piece, which is empty.
    fn download_to(&self, buffer: &Buffer, offset: usize, len: usize, receive: Receive) -> Pending<()>;
    /// As `download_to`, into memory of its own.
    fn download(&self, buffer: &Buffer, offset: usize, len: usize) -> Pending<Vec<u8>> {
        let bytes = match room::<u8>(len, "download", None) {
            Ok(bytes) => Received::new(bytes),
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let receiver = bytes.clone();
        let receive = move |piece: &[u8]| {
            receiver.with(|bytes| bytes.extend_from_slice(piece));
            Ok(())
        };
        let done = self.download_to(buffer, offset, len, Box::new(receive));
        Box::pin(async move {
            done.await?;
            Ok(bytes.take())
        })
    }
    /// Copies bytes from byte `offset` on straight to the host's memory, where the device's own memory is the host's: then it
    /// fills all of `to`, or fails. Returns none elsewhere, where `download` reads.
    fn copy_out(&self, _buffer: &Buffer, _offset: usize, _to: &mut [MaybeUninit<u8>]) -> Option<Result<()>> {
        None
    }
    /// Runs a plan, or enqueues it; an error that an enqueued plan meets is returned by the next `download` or `synchronize`.
    fn run(&self, plan: &Plan, bindings: Bindings<'_>) -> Result<()>;
    /// Runs a shader of a user's own, or enqueues it. Only a GPU can.
    #[cfg(all(feature = "gpu", feature = "kernels"))]
    fn run_raw(&self, call: &RawCall<'_>) -> Result<()> {
        let detail =
            format!("the device {} runs no shaders; a GPU does, and ElementwiseKernel runs everywhere", self.name());
        Err(Error::with_line(ErrorKind::Unsupported, call.name, detail, Some(call.line)))
    }
    /// Waits until all work enqueued so far is done, as [`Backend::download`] does.
    fn synchronize(&self) -> Pending<()>;
    /// The device's counters, and the bytes of its memory.
    fn report(&self) -> (Stats, MemoryInfo);

    /// Runs a plan and returns every error of it here, also those that `run` would leave for the next read.
    fn run_at_once(&self, plan: &Plan, bindings: Bindings<'_>) -> Result<()> {
        self.run(plan, bindings)
    }
    /// Returns cached memory to the system.
    fn trim(&self) {}
    /// The device's name: that of its hardware, and for a device with a budget more ([`name_within`]).
    fn name(&self) -> &str;
    /// The bytes of a GPU's own memory, where its driver tells them.
    fn own_memory(&self) -> Option<u64> {
        None
    }
    /// Who made the hardware, where the device knows.
    fn vendor(&self) -> Option<String> {
        None
    }
    /// The interface by which the device's driver is called, if it has one.
    fn api(&self) -> Option<String> {
        None
    }
    /// Whether this is a GPU (a software driver counts).
    fn is_gpu(&self) -> bool {
        false
    }
    /// Whether the work runs on the processor's cores.
    fn is_software(&self) -> bool {
        !self.is_gpu()
    }
    /// Calls `work`, and returns what the device ran meanwhile for any thread. A recording takes the place of one that is on, which
    /// then says that it is incomplete. Without this method the device has no clock.
    fn record(&self, _detail: Detail, work: &mut dyn FnMut() -> Result<()>) -> Result<Recording> {
        work().map(|()| Recording::nothing(Clock::Host, false))
    }
    /// Whether a recording is on.
    fn is_recording(&self) -> bool {
        false
    }
    /// What the device's own arithmetic keeps of IEEE 754; `None` for the CPU, whose compiler keeps all of it.
    fn numerics(&self) -> Result<Option<Numerics>> {
        Ok(None)
    }
    /// The text of each kernel of a plan; empty if kernels are not compiled from text.
    fn shaders(&self, _plan: &Plan) -> Vec<Result<String>> {
        vec![]
    }
    /// The driver and its version, if the device has one.
    fn driver(&self) -> Option<String> {
        None
    }
    /// The parts of a GPU for programs that call wgpu themselves.
    #[cfg(all(feature = "gpu", feature = "wgpu"))]
    fn native(&self) -> Option<&dyn Native> {
        None
    }
    /// The methods that only tests use.
    #[cfg(feature = "testing")]
    fn test_doors(&self) -> &dyn TestDoors;
}

/// Finds the devices of one kind on the machine, and opens them.
pub(crate) trait Provider: Sync {
    /// How many such devices there are.
    fn count(&self) -> usize;
    /// Fails if such devices cannot be used in this process at all (a process made by `fork` after a GPU was opened).
    fn check(&self) -> Result<()>;
    /// Opens device number `index` of them, under the number `id` in the process.
    fn open(&self, id: u32, index: usize) -> Result<Arc<dyn Backend>>;
    /// The text of each kernel of a plan that was made for such a device with these capabilities. None need exist on this
    /// machine.
    fn shaders(&self, plan: &Plan, caps: &Caps) -> Vec<Result<String>>;
    /// Whether there is a shader for a routine.
    #[cfg(feature = "testing")]
    fn has_routine(&self, row: &Routine) -> bool;
}

/// The methods of a device that only tests use.
#[cfg(feature = "testing")]
pub(crate) trait TestDoors {
    /// The faults that tests plan for the device.
    fn faults(&self) -> &FaultInjector;
    /// Forgets a loss of the device that a test caused, and trims its memory.
    fn heal(&self);
    /// Ends a GPU's connection for good, as a driver does that resets the GPU. On the CPU it does nothing.
    fn destroy(&self) {}
    /// Opens another device, under the number `id`, on the same hardware, with limits so tight that small arrays are cut as
    /// large ones are: a GPU's bindings have `max_binding` bytes and its grids `max_groups` workgroups a dimension; a CPU has
    /// neither, and takes limits of its own on kernels and reductions.
    fn shrunk(&self, id: u32, limits: Shrink) -> Result<Arc<dyn Backend>>;
    /// How many shaders a GPU with a cache on disk has parsed because the cache had them not; none without a cache.
    fn parsed(&self) -> Option<u64> {
        None
    }
}
