//! Floor 3: the CPU backend (a floor is a layer of `src/`, see `ARCHITECTURE.md`). It prepares the steps of a plan once
//! and keeps the result in the plan. An elementwise, reduce or row kernel becomes a program, which is a list of steps.
//! Each step is one loop over the elements of a tile (a small rectangle of the kernel's index space), compiled for the
//! machine's instruction set. Each run of the plan binds the program to its buffers, and interprets it tile by tile.
//! The threads of the caller's rayon pool share the tiles.
//!
//! | file | contents |
//! |---|---|
//! | `memory/` | allocates buffers (`memory/buffer.rs`), and keeps freed blocks in a pool for reuse |
//! | `memory/system.rs` | allocates blocks from the system |
//! | `program.rs`, `parts.rs` | the compiled form of a kernel: its steps and its registers |
//! | `assign/`, `arena.rs`, `convert.rs` | compile a kernel to that form |
//! | `prepared.rs` | prepares the steps of plans |
//! | `bind.rs` | creates and checks the pointers of a run into its buffers |
//! | `ends.rs` | lets gathers read the caller's own indices, where negative ones count from the end |
//! | `tiles.rs`, `gather.rs`, `scatter.rs`, `philox.rs` | run a program's steps over a tile |
//! | `strided.rs`, `transpose.rs` | copy blocks of elements between layouts |
//! | `threaded/` | compiles threaded code, which keeps intermediate values in registers of the processor |
//! | `blocks.rs` | runs the threaded code of elementwise kernels over the buffers of a run, block by block |
//! | `fold/` | combines the elements of reductions, in an order that does not depend on the number of threads |
//! | `scan.rs` | combines the elements of scans, in the order that `plan/kernel/scan.rs` defines |
//! | `transfer.rs` | copies between arrays and the host's own memory |
//! | `work_sharing.rs` | shares the tasks of a kernel between the caller's thread and the threads of its rayon pool |
//! | `recorder.rs` | records the steps that run while a profile is on |
//! | `tally.rs` | counts runs and allocations for each thread |
//! | `thread_count.rs` | returns how many threads share the work, also after `fork` |
//! | `pool.rs` | the caller's rayon pool, or no pool in a build without the feature `rayon` |
//! | `caches.rs` | reads the sizes of the processor's caches, and prefetches cache lines |
//! | `direct/` | compiles simple kernels, and kernels in tiles of whole rows, to direct calls of their loops |
//! | `elementwise.rs`, `moves/`, `reduce/`, `row.rs`, `matmul/` | prepare and run one kind of kernel each |
//! | `factor/` | reflectors, rotations and iterations of matrix factorisations |
//! | `linear.rs` | code that the routines of linear algebra share |
//! | `routines.rs` | lists the routines: operations that are not loop nests, such as a sort |
//! | `operands.rs` | passes operands and results to routines as slices of memory |
//! | `bincount.rs`, `compress.rs`, `fft/`, `sort/`, `sums.rs` | one or more routines each |
//! | `cholesky.rs`, `lu.rs`, `qr.rs`, `solve.rs`, `svd.rs`, `triangular.rs` | one routine of linear algebra each |
//! | `eig.rs`, `eigh.rs` | eigenvalues and eigenvectors of general and of symmetric matrices |
//! | `small.rs` | computes the small matrices of a batch in parallel SIMD lanes |

mod arena;
mod assign;
mod bincount;
mod bind;
mod blocks;
mod caches;
mod cholesky;
mod compress;
mod convert;
mod direct;
mod eig;
mod eigh;
mod elementwise;
mod ends;
mod factor;
mod fft;
mod fold;
mod gather;
mod linear;
mod lu;
mod matmul;
mod memory;
mod moves;
mod operands;
mod parts;
mod philox;
mod pool;
mod prepared;
mod program;
mod qr;
mod recorder;
mod reduce;
mod routines;
mod row;
mod scan;
mod scatter;
mod small;
mod solve;
mod sort;
mod strided;
mod sums;
mod svd;
mod tally;
mod thread_count;
mod threaded;
mod tiles;
mod transfer;
mod transpose;
mod triangular;
mod work_sharing;

use crate::base::buffer::{Buffer, Memory};
use crate::base::caps::{Half, MultiplyAdd};
use crate::base::dtype::Element;
use crate::base::error::{Error, ErrorKind, Result};
use crate::math::simd::threaded::block_bytes;
use crate::math::simd::{Isa, isa};
use crate::plan::backend::{
    Backend, Bindings, Clock, Detail, MemoryInfo, Pending, Receive, Recording, Stats, name_within,
};
#[cfg(feature = "testing")]
use crate::plan::backend::{FaultInjector, TestDoors};
use crate::plan::kernel::{Caps, ExecutionPlan, NumberedCaps, Rates, Step};
use bind::Run;
pub(crate) use memory::CpuMemory;
use memory::{Holder, MemoryPool, Owner};
use prepared::Prepared;
use recorder::Recorder;
#[cfg(feature = "testing")]
pub(crate) use routines::has as has_routine;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use tally::Event;

/// Returns the CPU's capabilities, on which the planner bases its decisions.
fn caps() -> Caps {
    Caps {
        name: "cpu".to_string(),
        wgsl: false,
        int64: true,
        float64: true,
        half: Half::HARDWARE,
        fma: MultiplyAdd::Fused,
        max_binding: isize::MAX as u64,
        max_buffer: isize::MAX as u64,
        // a kernel with more operands gains nothing, because the hardware prefetcher follows far fewer than 64 streams
        max_bindings: 64,
        // `assign/` represents a set of a kernel's values by the bits of a u128
        max_values: 128,
        // a CPU program is interpreted, so a kernel never has to be cut to save compile time
        max_cost: u32::MAX,
        // 65,536 f32 take 256 KiB, so most L2 caches keep a row from the pass (loop along the row) that computes it to
        // the pass that reads it again
        max_row: 65_536,
        // the planner never splits a reduction, because threads share it at run time without a second kernel
        max_reduce: [usize::MAX; 2],
        max_indices: u64::MAX,
        // `cpu/matmul/mod.rs` computes only the product, and not the elementwise operations after it
        fuses_product: false,
        reports_late: false,
        skips_branches: true,
        workgroup: 0,
        workgroup_memory: 0,
        subgroup: [1, 1],
        vector: match isa() {
            Isa::Portable | Isa::Neon => 16,
            Isa::Avx2 => 32,
            Isa::Avx512 => 64,
        },
        threaded: block_bytes().is_some(),
        cooperative: vec![],
        tiles: crate::base::caps::product_tiles::Tiles::DEFAULT,
        caches: caches::sizes(),
        rates: Rates::CPU,
    }
}

/// The CPU as a device. It lives as long as any handle to it or any of its buffers.
pub(crate) struct Cpu {
    /// A weak handle to this device itself. For each buffer it is upgraded to a strong handle, which keeps the device
    /// alive.
    this: Weak<Cpu>,
    /// A handle to the device itself that is never dropped. [`Cpu::stay`] sets it if the device must live until the
    /// process ends.
    process: OnceLock<&'static Arc<Cpu>>,
    /// The number of the device, unique in the process.
    id: u32,
    caps: NumberedCaps,
    checks: AtomicU8,
    pool: MemoryPool,
    /// The number of plans that were prepared.
    prepares: AtomicU64,
    /// The number of runs of plans with one kernel and one dispatch. Most plans of small arrays are of this kind, and
    /// so their runs increment one counter instead of two.
    single: AtomicU64,
    /// The numbers of kernels and of dispatches of the runs that `single` does not count.
    kernels: AtomicU64,
    dispatches: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    recorder: Recorder,
}

impl Cpu {
    /// Creates a device with these capabilities and its own memory pool, which allocates at most `limit` bytes.
    pub fn with(id: u32, caps: Caps, limit: Option<usize>) -> Arc<Cpu> {
        Arc::new_cyclic(|this| Cpu {
            this: this.clone(),
            process: OnceLock::new(),
            id,
            pool: MemoryPool::new(id, &name_within(&caps.name, id, limit), limit),
            caps: NumberedCaps::new(caps),
            checks: AtomicU8::new(0),
            prepares: AtomicU64::new(0),
            single: AtomicU64::new(0),
            kernels: AtomicU64::new(0),
            dispatches: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            recorder: Recorder::default(),
        })
    }

    /// Keeps the device alive until the process ends, so that its buffers need not keep it alive.
    pub fn stay(self: &Arc<Cpu>) {
        // leak checkers do not report this handle, because it stays reachable through the device
        self.process.get_or_init(|| Box::leak(Box::new(self.clone())));
    }

    /// Returns the holder (the reference to the device) for the buffers of a device that stays for the whole process,
    /// or `None` for any other device.
    #[inline]
    fn lasting(&self) -> Option<Holder> {
        self.process.get().map(|cpu| Holder::Process(&***cpu))
    }

    /// Allocates a buffer of `bytes` bytes.
    #[inline(always)]
    fn buffer(&self, bytes: usize) -> Result<Buffer> {
        if let Some(cpu) = self.process.get() {
            let owner: &'static dyn Owner = &***cpu;
            return self.pool.buffer(bytes, true, || Holder::Process(owner));
        }
        // the upgrade can fail only while the device's last handle is being dropped, because every other caller holds a
        // handle
        let gone = || Error::with_line(ErrorKind::Internal, "allocate", "the device is being closed", None);
        let owner = self.this.upgrade().ok_or_else(gone)?;
        self.pool.buffer(bytes, false, || Holder::Counted(owner))
    }

    /// Creates a device with the machine's capabilities and a memory pool of at most `limit` bytes.
    pub fn new(id: u32, limit: Option<usize>) -> Arc<Cpu> {
        Cpu::with(id, caps(), limit)
    }

    /// Creates a buffer from a vector's memory without a copy. The limit does not apply to this memory.
    pub fn adopt<T: Element>(self: &Arc<Cpu>, v: Vec<T>) -> Buffer {
        let holder = self.lasting().unwrap_or_else(|| Holder::Counted(self.clone()));
        self.pool.adopted(holder, v)
    }

    /// Creates a buffer from memory that another library lends. The limit does not apply to this memory.
    ///
    /// # Safety
    /// The memory is initialised. Until `lender` is dropped, nobody moves it or writes to it.
    #[cfg(any(feature = "dlpack", feature = "mmap"))]
    pub unsafe fn lend(
        self: &Arc<Cpu>,
        memory: (std::ptr::NonNull<u8>, usize),
        lender: Box<dyn std::any::Any + Send + Sync>,
    ) -> Buffer {
        let holder = self.lasting().unwrap_or_else(|| Holder::Counted(self.clone()));
        // SAFETY: the caller ensures that the bytes are initialised, and that nobody moves or writes them while
        // `lender` lives.
        unsafe { self.pool.lent(holder, memory, lender) }
    }

    /// Adds the kernels and dispatches of a run to the counters.
    fn count(&self, prepared: &Prepared) {
        match (prepared.kernels, prepared.dispatches) {
            (1, 1) if self.process.get().is_some() => tally::count(Event::SingleRun),
            (1, 1) => _ = self.single.fetch_add(1, Relaxed),
            (kernels, dispatches) => {
                self.kernels.fetch_add(kernels, Relaxed);
                self.dispatches.fetch_add(dispatches, Relaxed);
            }
        }
    }

    /// Returns the memory of a buffer. Returns an error if the buffer is not on a CPU, or has fewer than `len` bytes
    /// from byte `offset` on.
    fn range<'a>(&self, operation: &str, buffer: &'a Buffer, offset: usize, len: usize) -> Result<&'a CpuMemory> {
        match buffer.memory::<CpuMemory>() {
            Some(m) if offset.checked_add(len).is_some_and(|end| end <= m.bytes()) => Ok(m),
            _ => Err(Error::with_line(
                ErrorKind::Internal,
                operation,
                format!("{len} bytes from byte {offset} are not within {buffer:?} on the CPU"),
                None,
            )),
        }
    }
}

impl Owner for Cpu {
    fn pool(&self) -> &MemoryPool {
        &self.pool
    }
}

/// Adds the caller's line and the called function to an error of a step.
#[cold]
fn blame(error: Error, step: &Step, bindings: &Bindings<'_>) -> Error {
    match step.named() {
        Some(named) => bindings.blame(error, named),
        None => error,
    }
}

impl Backend for Cpu {
    fn id(&self) -> u32 {
        self.id
    }

    fn caps(&self) -> &NumberedCaps {
        &self.caps
    }

    fn checks(&self) -> &AtomicU8 {
        &self.checks
    }

    fn name(&self) -> &str {
        self.pool.name()
    }

    fn with_limit(&self, id: u32, limit: usize) -> Result<Arc<dyn Backend>> {
        Ok(Cpu::new(id, Some(limit)))
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        self.buffer(bytes)
    }

    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        self.pool.fault("upload")?;
        let memory = self.range("upload", buffer, offset, bytes.len())?;
        // SAFETY: `range` has checked that the bytes are in the buffer. The caller has just allocated the buffer, so
        // nobody else uses it.
        let to = unsafe { std::slice::from_raw_parts_mut(memory.ptr().add(offset).cast(), bytes.len()) };
        transfer::copy(bytes, to);
        self.bytes_in.fetch_add(bytes.len() as u64, Relaxed);
        Ok(())
    }

    fn download_to(&self, buffer: &Buffer, offset: usize, len: usize, mut receive: Receive) -> Pending<()> {
        self.bytes_out.fetch_add(len as u64, Relaxed);
        let range = self.pool.fault("download").and_then(|_| self.range("download", buffer, offset, len));
        let result = range.and_then(|m| receive(&m.as_bytes()[offset..offset + len]));
        Box::pin(std::future::ready(result))
    }

    fn copy_out(&self, buffer: &Buffer, offset: usize, to: &mut [MaybeUninit<u8>]) -> Option<Result<()>> {
        self.bytes_out.fetch_add(to.len() as u64, Relaxed);
        let range = self.pool.fault("download").and_then(|_| self.range("download", buffer, offset, to.len()));
        Some(range.map(|m| {
            // the host has usually just allocated this memory. `advise_huge` asks the system for huge pages, because
            // the page faults of small pages would take longer than the copy
            memory::advise_huge(to.as_mut_ptr().cast(), to.len());
            transfer::copy(&m.as_bytes()[offset..offset + to.len()], to);
        }))
    }

    fn run(&self, plan: &ExecutionPlan, bindings: Bindings<'_>) -> Result<()> {
        self.pool.fault("run")?;
        let prepared =
            prepared::of(plan, &bindings, &self.prepares).map_err(|(e, node)| e.or_at(bindings.line(node)))?;
        let mut run = Run { plan, bindings: &bindings, temps: &[], pool: &self.pool, rehearses: false };
        if let ([ready], [step]) = (&prepared.steps[..], &plan.steps[..])
            && plan.temps.is_empty()
            && !self.recorder.is_on()
        {
            // most plans of small arrays have one step and no temporary, so they take this short path
            ready.run(&run).map_err(|e| blame(e, step, run.bindings))?;
            self.count(prepared);
            return Ok(());
        }
        let mut temps: SmallVec<[Buffer; 2]> = SmallVec::new();
        for bytes in &plan.temps {
            temps.push(self.allocate(*bytes)?);
        }
        run.temps = &temps;
        // a write in place by several steps must not fail halfway. So the steps run twice: in the first round (a
        // rehearsal) each step only allocates its scratch, and in the second round it computes. Between the rounds the
        // thread keeps the largest scratch, up to 16 MiB (`KEPT` in `tiles.rs`)
        let rehearsals: &[bool] = if run.bindings.replaces && plan.steps.len() > 1 { &[true, false] } else { &[false] };
        let mut notes = self.recorder.notes();
        for rehearses in rehearsals {
            run.rehearses = *rehearses;
            for (n, (ready, step)) in prepared.steps.iter().zip(&plan.steps).enumerate() {
                let done = match notes.as_mut().filter(|_| !rehearses) {
                    Some(notes) => notes.time((plan, n), run.bindings, || ready.run(&run)),
                    None => ready.run(&run),
                };
                done.map_err(|e| blame(e, step, run.bindings))?;
            }
        }
        if let Some(notes) = notes {
            self.recorder.keep(notes);
        }
        self.count(prepared);
        Ok(())
    }

    fn synchronize(&self) -> Pending<()> {
        Box::pin(std::future::ready(self.pool.fault("synchronize")))
    }

    fn report(&self) -> (Stats, MemoryInfo) {
        let of_threads = |event| if self.process.get().is_some() { tally::total(event) } else { 0 };
        let (allocations, driver_allocations) = self.pool.allocations();
        let (used, cached, peak, limit) = self.pool.info();
        let single = self.single.load(Relaxed) + of_threads(Event::SingleRun);
        let stats = Stats {
            kernels: single + self.kernels.load(Relaxed),
            dispatches: single + self.dispatches.load(Relaxed),
            prepares: self.prepares.load(Relaxed),
            allocations: allocations + of_threads(Event::Allocation),
            driver_allocations,
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            ..Stats::default()
        };
        (stats, MemoryInfo { used, cached, peak, limit })
    }

    fn trim(&self) {
        self.pool.trim();
    }

    fn record(&self, detail: Detail, work: &mut dyn FnMut() -> Result<()>) -> Result<Recording> {
        match detail {
            // records no busy time, because the processor has no clock that runs only while it works for this device
            Detail::Busy => work().map(|()| Recording::nothing(Clock::Host, true)),
            Detail::Steps => self.recorder.record(work),
        }
    }

    fn is_recording(&self) -> bool {
        self.recorder.is_on()
    }

    #[cfg(feature = "testing")]
    fn test_doors(&self) -> &dyn TestDoors {
        self
    }
}

#[cfg(feature = "testing")]
impl TestDoors for Cpu {
    fn faults(&self) -> &FaultInjector {
        &self.pool.faults
    }

    fn heal(&self) {
        self.pool.trim();
    }

    fn shrunk(&self, id: u32, _limits: crate::base::caps::Shrink) -> Result<Arc<dyn Backend>> {
        // a CPU has no limits on bindings and grids, so `_limits` is ignored. The limits below make the planner split
        // reductions and use several kernels even on small arrays
        let caps = Caps {
            name: "shrunk cpu".to_string(),
            max_bindings: 6,
            max_values: 24,
            max_row: 32,
            max_reduce: [64, 16],
            ..Caps::clone(&self.caps)
        };
        Ok(Cpu::with(id, caps, None))
    }
}

#[cfg(feature = "testing")]
mod tests;
