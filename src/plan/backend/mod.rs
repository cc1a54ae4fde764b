//! The trait [`Backend`], through which plans run on a device. The modules `cpu` and `gpu` implement it and do not
//! depend on each other. `array/device/mod.rs` holds devices as `Arc<dyn Backend>`.
//!
//! To add a backend, add a folder next to `cpu/` with types that implement [`Backend`], `Provider` and `Memory`
//! (`base/buffer.rs`), a constant like `GPUS` in `array/device/mod.rs`, and a module in `on_devices!`
//! (`tests/kit/devices.rs`).
//!
//! * If `Caps::workgroup` is 0, the planner divides kernels into tiles for threads. A kernel must check all computed
//!   indices before its first write.
//! * Otherwise the planner divides kernels into workgroups. `Caps::reports_late` must be true, and `run_at_once` must
//!   wait and return errors that are found late.
//! * A scan must combine its elements in the order of `plan/kernel/scan.rs`. A reduction may use any order.

mod faults;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
mod native;
#[cfg(all(feature = "gpu", feature = "kernels"))]
mod raw;
mod record;
pub(crate) mod waiting;

use crate::base::buffer::Buffer;
#[cfg(feature = "testing")]
use crate::base::caps::{Card, Shrink};
use crate::base::error::{Error, ErrorKind, Fault, Loc, Result, room};
use crate::graph::routine::{Params, Routine};
use crate::plan::kernel::{Caps, ExecutionPlan, IndexMode, NumberedCaps};
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
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex, PoisonError};
pub(crate) use waiting::{Outcome, Pending, start, wait, would_block};

/// The buffers and numbers that one run of a plan uses. All buffers belong to the device that runs the plan.
pub(crate) struct Bindings<'a> {
    /// For each input of the plan, its buffer, and the offset of the array's first element in that buffer, in elements.
    pub inputs: &'a [(&'a Buffer, usize)],
    pub outputs: &'a [(&'a Buffer, usize)],
    /// The run-time scalars of the plan, each converted to its compute type, as bits.
    pub scalars: &'a [u64],
    /// The caller's source line and the called function of each node of this evaluation, for errors and profiles.
    pub lines: &'a dyn SourceLines,
    /// Whether the first output is an existing array whose elements the run replaces. If so, its elements must not
    /// change if the run fails.
    pub replaces: bool,
}

impl Bindings<'_> {
    /// Returns the caller's line of a node.
    pub fn line(&self, node: usize) -> Option<Loc> {
        self.lines.of(node)
    }

    /// Adds the caller's line of a node to an error of its kernel or routine. If the error names the kernel or an
    /// allocation, it gets the name of the public function that the caller has called. An error that reports a bug keeps
    /// its name.
    pub fn blame(&self, error: Error, (name, node): (&str, usize)) -> Error {
        let is_named = error.is_of_allocation() || error.operation() == name && error.kind() != ErrorKind::Internal;
        let error = match self.lines.call(node) {
            Some(call) if is_named => error.named(call),
            _ => error,
        };
        error.or_at(self.line(node))
    }
}

/// The source lines of the nodes of an evaluation, and the public functions whose calls made the nodes. Kernels identify
/// a node by its number.
pub(crate) trait SourceLines {
    /// Returns the line of a node, or `None` if there is no such node.
    fn of(&self, node: usize) -> Option<Loc>;
    /// Returns the name of the public function that made a node, or `None` if it is the name of the node's operation.
    fn call(&self, node: usize) -> Option<&'static str>;
}

/// The source lines and the calls of nodes, for an evaluation that outlives its nodes.
#[derive(Default)]
pub(crate) struct KeptLines {
    lines: SmallVec<[Loc; 8]>,
    /// The nodes that have a name of a call, by their numbers in ascending order. Most plans of writes have none.
    calls: Vec<(usize, &'static str)>,
}

impl KeptLines {
    /// Adds the line and the call of the next node.
    #[inline]
    pub fn push(&mut self, line: Loc, call: Option<&'static str>) {
        if let Some(call) = call {
            self.calls.push((self.lines.len(), call));
        }
        self.lines.push(line);
    }
}

impl SourceLines for KeptLines {
    fn of(&self, node: usize) -> Option<Loc> {
        self.lines.get(node).copied()
    }

    fn call(&self, node: usize) -> Option<&'static str> {
        let found = self.calls.binary_search_by_key(&node, |(number, _)| *number).ok()?;
        Some(self.calls[found].1)
    }
}

/// Returns the error for an index of the operation `name` that is out of bounds of an axis with `extent` elements. In
/// [`IndexMode::Check`] the length of the axis was already added to a negative index. So if `index` is still negative,
/// this function subtracts the length again, because the message must state the caller's index.
pub(crate) fn index_out_of_range(name: &str, mode: IndexMode, index: i128, extent: usize, line: Option<Loc>) -> Error {
    let from_end = mutant!(every_index_from_the_end, true, mode == IndexMode::Check);
    let index = if index < 0 && from_end { index - extent as i128 } else { index };
    Error::with_line(
        ErrorKind::Index,
        name,
        format!("index {index} is out of range for an axis of length {extent}"),
        line,
    )
}

/// Returns the error for an element that a routine rejects, with the message that the routine defines.
pub(crate) fn refused_value(row: &Routine, params: &Params, value: i128, line: Option<Loc>) -> Error {
    let (op, fault) = match row.refuses {
        Some(refuses) => refuses(value, params),
        None => (row.name, Fault::new(ErrorKind::Internal, "the routine accepts every element, but one was rejected")),
    };
    Error::with_line(fault.kind, op, fault.detail, line)
}

/// Counters of a device since it was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The number of kernels and routines that ran. Each counts once with all its passes, as in
    /// [`ExecutionPlan::kernels`](crate::Plan::kernels).
    pub kernels: u64,
    /// The number of dispatches of these kernels and routines. There are more dispatches than kernels if a reduction,
    /// scan or routine has several passes, or if an array is larger than one dispatch can bind.
    pub dispatches: u64,
    /// The number of times that a plan was prepared for execution. Later runs with other buffers, numbers or offsets
    /// reuse a prepared plan, and all CPU devices share prepared plans.
    ///
    /// A plan is prepared again if it was dropped because many other plans were used since. On the CPU, it is also
    /// prepared again at the first run that writes in place. On a GPU, it is also prepared again after a trim, if
    /// different operands than before share a buffer, if a result of 8- or 16-bit elements begins at another position
    /// in a 32-bit word, and at every run with a buffer larger than one binding.
    pub prepares: u64,
    /// The number of shaders that were compiled into pipelines; 0 on the CPU.
    pub compiles: u64,
    /// The number of times that the host waited for the device; 0 on the CPU.
    pub syncs: u64,
    /// The number of buffers handed out, from the pool or newly made, plus the number of `Vec`s that became arrays
    /// without a copy.
    pub allocations: u64,
    /// The number of buffers that the system or the driver had to allocate.
    pub driver_allocations: u64,
    /// The number of bytes copied to the device.
    pub bytes_in: u64,
    /// The number of bytes copied from the device.
    pub bytes_out: u64,
}

/// The memory that arrays and temporaries use on a device, in bytes as actually allocated. Sizes are rounded up, so
/// that later arrays can reuse freed memory. On the CPU, an array of 1 to 64 bytes uses 64 bytes, an array without
/// elements uses none, and a `Vec` that became an array counts with the bytes of its elements.
///
/// These numbers do not include compiled kernels, the scratch memory of threads (several hundred KiB each), and host
/// memory that a transfer to or from a GPU uses while it runs (at most 64 MiB at a time for writes, and 32 MiB for
/// reads).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// The bytes in use by arrays and by temporaries of running evaluations.
    pub used: usize,
    /// The bytes of freed memory that is kept for reuse.
    pub cached: usize,
    /// The largest value of `used` so far.
    pub peak: usize,
    /// The budget in bytes, if one was set. `used` and `cached` together never exceed it.
    pub limit: Option<usize>,
}

/// How a GPU's f32 arithmetic behaves in plain shader source. A probe (a small shader) runs on the device, and its
/// results are compared with the CPU's. `true` means that the arithmetic behaves as in IEEE 754 (or Rust). If a field
/// is `false`, cupric's functions and the program's formulas are still correct, except for subnormal numbers and for
/// the rounding of sums and products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Numerics {
    /// Whether a NaN survives a load, a sum and a product.
    pub nan: bool,
    /// Whether an infinity survives a load, a sum and a product, and ∞ − ∞ and ∞ · 0 are NaN.
    pub infinity: bool,
    /// Whether −0 survives a load, a sum and a product.
    pub negative_zero: bool,
    /// Whether subnormal numbers are kept (not flushed to 0), both as operands and as results of sums and products.
    pub subnormals: bool,
    /// Whether the device's compiler computes `(a + b) − a` and `a − a` as written. A compiler that simplifies them to
    /// `b` and 0 (*folding*) ignores rounding, infinities and NaN. The results of cupric's kernels do not depend on
    /// this field, because the kernels hide such operands from the compiler by an integer operation.
    pub no_folding: bool,
    /// Whether sums and products are rounded to nearest, ties to even.
    pub rounding: bool,
    /// Whether `fma` rounds once.
    pub fma: bool,
    /// Whether the device rounds twice in `a * b + c`: the product and the sum. Formulas always round twice on every
    /// device, but the device may round once inside a matrix product.
    pub no_contraction: bool,
    /// Whether quotients are correctly rounded.
    pub division: bool,
    /// Whether square roots are correctly rounded.
    pub sqrt: bool,
    /// Whether the conversion to f16 by `pack2x16float` rounds to nearest, ties to even, with overflow to ∞, and keeps
    /// subnormals of f16.
    pub half: bool,
    /// Whether the conversion to WGSL's type `f16` rounds to nearest, ties to even, with overflow to ∞, keeps
    /// subnormals of f16, and is not omitted by the compiler if a conversion back follows. `false` if the device does
    /// not have that type.
    pub half_type: bool,
    /// Whether the conversion from f16 by `unpack2x16float` keeps subnormals, infinities and NaN.
    pub half_to_float: bool,
    /// Whether the conversion from f16 by `unpack2x16float` keeps the sign of a NaN.
    pub half_sign: bool,
    /// Whether the conversion of f32 to i32 saturates, and converts NaN to 0.
    pub float_to_int: bool,
}

/// A callback that receives the bytes of a read in order, piece by piece, and may return an error.
pub(crate) type Receive = Box<dyn FnMut(&[u8]) -> Result<()> + Send>;

/// A collector for the bytes of a read. The callback holds one copy of this handle and adds pieces through it. The
/// reader holds another copy, and takes the content when the read is done.
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

/// Returns the name of device number `id`. A device with a memory budget has another name than the device without a
/// budget on the same hardware. Operations cannot combine arrays of these two devices, and the error message names both
/// devices.
pub(crate) fn name_within(hardware: &str, id: u32, limit: Option<usize>) -> String {
    let Some(bytes) = limit else { return hardware.to_string() };
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")];
    let (size, unit) =
        units.into_iter().find(|(size, _)| bytes >= *size && bytes.is_multiple_of(*size)).unwrap_or((1, "bytes"));
    format!("{hardware} #{id} (limit {} {unit})", bytes / size)
}

/// A device that runs plans. A backend must implement the methods without a default. The others are optional.
pub(crate) trait Backend: Send + Sync {
    /// Returns the number of the device. No two devices of a process ever have the same number, even after one has
    /// ended.
    fn id(&self) -> u32;
    /// Returns the capabilities on which the planner bases its decisions, with the name of the hardware.
    fn caps(&self) -> &NumberedCaps;
    /// Returns which checks of results the user has enabled on this device, as bits that `array/check/wanted.rs`
    /// defines. Initially no bit is set.
    fn checks(&self) -> &AtomicU8;
    /// Opens another device with the number `id` on the same hardware, with a budget of `limit` bytes.
    fn with_limit(&self, id: u32, limit: usize) -> Result<Arc<dyn Backend>>;
    /// Allocates a buffer of at least `bytes` bytes. The device lives at least as long as the buffer. The buffer's
    /// content is unspecified until it is written.
    fn allocate(&self, bytes: usize) -> Result<Buffer>;
    /// Copies host bytes into a buffer from byte `offset`.
    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()>;
    /// Submits all work enqueued so far, and then reads `len` bytes of a buffer from byte `offset` on. The future also
    /// returns an error of the enqueued work that is found only now. Polling the future never waits for the device,
    /// unless the caller blocks ([`wait`]). `receive` gets the bytes in pieces, and one empty piece if `len` is 0. A
    /// read that fails may already have passed some pieces.
    fn download_to(&self, buffer: &Buffer, offset: usize, len: usize, receive: Receive) -> Pending<()>;
    /// Reads `len` bytes of a buffer from byte `offset` on, like `download_to`, into newly allocated memory.
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
    /// On a device whose memory is host memory, fills `to` with the bytes of a buffer that begin at byte `offset`.
    /// Fills all of `to` unless it returns an error. Returns `None` on other devices, where the caller must use
    /// `download`.
    fn copy_out(&self, _buffer: &Buffer, _offset: usize, _to: &mut [MaybeUninit<u8>]) -> Option<Result<()>> {
        None
    }
    /// Runs a plan, or enqueues it. An error of an enqueued plan is returned by the next `download` or `synchronize`.
    fn run(&self, plan: &ExecutionPlan, bindings: Bindings<'_>) -> Result<()>;
    /// Runs a user-defined shader, or enqueues it. Only a GPU supports this.
    #[cfg(all(feature = "gpu", feature = "kernels"))]
    fn run_raw(&self, call: &RawCall<'_>) -> Result<()> {
        let detail = format!(
            "the device {} cannot run shaders; use a GPU, or ElementwiseKernel, which runs on every device",
            self.name()
        );
        Err(Error::with_line(ErrorKind::Unsupported, call.name, detail, Some(call.line)))
    }
    /// Returns a future that is ready when all work enqueued so far is done. Polling the future never waits for the
    /// device, unless the caller blocks ([`wait`]).
    fn synchronize(&self) -> Pending<()>;
    /// Returns the device's counters and memory usage.
    fn report(&self) -> (Stats, MemoryInfo);

    /// Runs a plan and returns all its errors, including errors that `run` would leave for the next read.
    fn run_at_once(&self, plan: &ExecutionPlan, bindings: Bindings<'_>) -> Result<()> {
        self.run(plan, bindings)
    }
    /// Returns cached memory to the system.
    fn trim(&self) {}
    /// Returns the name of the device: the name of its hardware, and for a device with a memory budget also its number
    /// and budget ([`name_within`]).
    fn name(&self) -> &str;
    /// Returns the size of a GPU's dedicated memory in bytes, if the driver reports it.
    fn own_memory(&self) -> Option<u64> {
        None
    }
    /// Returns the vendor of the hardware, if known.
    fn vendor(&self) -> Option<String> {
        None
    }
    /// Returns the API through which the device's driver is called, if there is one.
    fn api(&self) -> Option<String> {
        None
    }
    /// Returns whether this is a GPU (a software driver counts).
    fn is_gpu(&self) -> bool {
        false
    }
    /// Returns true for the CPU and for software drivers, which run on the processor's cores.
    fn is_software(&self) -> bool {
        !self.is_gpu()
    }
    /// Calls `work`, and returns a recording of everything that the device ran meanwhile for any thread. A recording
    /// that is already on is replaced and marked as incomplete. The default is for a device without a clock.
    fn record(&self, _detail: Detail, work: &mut dyn FnMut() -> Result<()>) -> Result<Recording> {
        work().map(|()| Recording::nothing(Clock::Host, false))
    }
    /// Returns whether a recording is on.
    fn is_recording(&self) -> bool {
        false
    }
    /// Returns how the device's arithmetic conforms to IEEE 754, or `None` for the CPU, whose compiler conforms fully.
    fn numerics(&self) -> Result<Option<Numerics>> {
        Ok(None)
    }
    /// Returns the shader of each kernel of a plan, or an empty list if kernels are not compiled from source.
    fn shaders(&self, _plan: &ExecutionPlan) -> Vec<Result<Shader>> {
        vec![]
    }
    /// Returns the driver and its version, if the device has one.
    fn driver(&self) -> Option<String> {
        None
    }
    /// Returns the wgpu objects of a GPU, for programs that call wgpu themselves.
    #[cfg(all(feature = "gpu", feature = "wgpu"))]
    fn native(&self) -> Option<&dyn Native> {
        None
    }
    /// Returns the methods that only tests use.
    #[cfg(feature = "testing")]
    fn test_doors(&self) -> &dyn TestDoors;
}

/// The shader of a kernel, or of a pass of a routine, in the variant that most runs use.
pub(crate) struct Shader {
    /// The WGSL source.
    pub text: String,
    /// The number of invocations in the workgroups of the first dispatch.
    pub invocations: u64,
}

/// The checks that wgpu can compile into a shader in addition to its source, and whether cupric's generated shaders
/// have them.
#[cfg(feature = "testing")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShaderChecks {
    /// Whether indices are kept inside their arrays and buffers.
    pub bounds: bool,
    /// Whether each loop ends after a maximum number of iterations.
    pub loops: bool,
    /// Whether integer divisions check for 0.
    pub divisors: bool,
    /// Whether workgroup memory is filled with zeros at the start.
    pub zeroes_workgroup_memory: bool,
}

/// Finds the devices of one kind on the machine, and opens them.
pub(crate) trait Provider: Sync {
    /// Returns the number of devices of this kind on the machine.
    fn count(&self) -> usize;
    /// Returns an error if no device of this kind can be used in this process, for example because the process was made
    /// by `fork` after a GPU was opened.
    fn check(&self) -> Result<()>;
    /// Opens the device at position `index`, with the number `id` in the process.
    fn open(&self, id: u32, index: usize) -> Result<Arc<dyn Backend>>;
    /// Opens a device like `open`, but in a browser, where the call may not block: the returned future does the work
    /// when it is polled.
    fn open_here(&'static self, id: u32, index: usize) -> Pending<Arc<dyn Backend>>;
    /// Returns the shader of each kernel of a plan that was made for a device of this kind with these capabilities. The
    /// machine need not have such a device.
    fn shaders(&self, plan: &ExecutionPlan, caps: &Caps) -> Vec<Result<Shader>>;
    /// Returns whether there is a shader for a routine.
    #[cfg(feature = "testing")]
    fn has_routine(&self, row: &Routine) -> bool;
    /// Returns the capabilities that a device on this card would have. The machine need not have the card.
    #[cfg(feature = "testing")]
    fn caps_of(&self, card: &Card) -> Result<Caps>;
    /// Returns the safety checks that wgpu compiles into the shaders of this kind of device.
    #[cfg(feature = "testing")]
    fn checks(&self) -> ShaderChecks;
}

/// Methods of a device that only tests use.
#[cfg(feature = "testing")]
pub(crate) trait TestDoors {
    /// Returns the fault injector of the device.
    fn faults(&self) -> &FaultInjector;
    /// Undoes a device loss that a test caused, and trims the device's memory.
    fn heal(&self);
    /// Ends a GPU's connection permanently, like a driver that resets the GPU. Does nothing on the CPU.
    fn destroy(&self) {}
    /// Opens another device with the number `id` on the same hardware, with limits so small that small arrays are cut
    /// like large ones. A GPU's bindings have `max_binding` bytes, and its grids `max_groups` workgroups per dimension.
    /// A CPU has neither limit, and uses other limits on kernels and reductions.
    fn shrunk(&self, id: u32, limits: Shrink) -> Result<Arc<dyn Backend>>;
    /// Returns the number of shaders that a GPU with a disk cache has parsed because they were not in the cache.
    /// Returns `None` if the device has no such cache.
    fn parsed(&self) -> Option<u64> {
        None
    }
}
