//! Floor 6: the CPU backend. A plan's kernels are made into programs once and kept. A run binds a program to its buffers and
//! interprets it tile by tile: each value of a tile is computed by a plain loop, compiled for the machine's instruction set.
//! The threads are those of the caller's rayon pool.
//!
//! | file | what it does |
//! |---|---|
//! | `memory.rs` | the pool of free memory |
//! | `program.rs`, `assign.rs`, `arena.rs`, `convert.rs` | from a kernel to steps and registers: once for a plan |
//! | `prepared.rs` | the cache of programs |
//! | `bind.rs` | pointers into the buffers of a run, checked |
//! | `tiles.rs`, `gather.rs`, `scatter.rs`, `strided.rs`, `philox.rs` | runs the steps over a tile |
//! | `fold.rs` | reductions: one tree for each shape |
//! | `scan.rs` | scans: one tree for all |
//! | `threads.rs` | how many threads there are, also after `fork` |
//! | `caches.rs` | the sizes of the caches |
//! | `elementwise.rs`, `reduce.rs`, `row.rs`, `matmul.rs` | the kinds of kernel: what tiles there are, and who runs them |
//! | `routines.rs` | the list of routines; `operands.rs` what each is given; a file for each: `bincount.rs` |

mod arena;
mod assign;
mod bincount;
mod bind;
mod caches;
mod convert;
mod elementwise;
mod fold;
mod gather;
mod matmul;
mod memory;
mod operands;
mod philox;
mod prepared;
mod program;
mod reduce;
mod routines;
mod row;
mod scan;
mod scatter;
mod strided;
mod threads;
mod tiles;

use crate::backend::{Backend, Bindings, MemoryInfo, Pending, Stats};
#[cfg(feature = "testing")]
use crate::backend::{FaultInjector, TestDoors};
use crate::buffer::{Buffer, Memory};
use crate::dtype::Element;
use crate::error::{Error, ErrorKind, Result, room};
use crate::kernel::{Caps, NumberedCaps, Plan};
use crate::simd::{Isa, isa};
use bind::Run;
pub(crate) use memory::CpuMemory;
use memory::{Owner, Pool};
use prepared::PreparedPlans;
#[cfg(feature = "testing")]
pub(crate) use routines::has as has_routine;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// The CPU's capabilities for the planner.
fn caps() -> Caps {
    Caps {
        name: "cpu".to_string(),
        wgsl: false,
        int64: true,
        float64: true,
        max_binding: isize::MAX as u64,
        max_buffer: isize::MAX as u64,
        // a judgement: more operands than this gain nothing in one kernel, because the prefetcher follows far fewer streams
        max_bindings: 64,
        // `assign.rs` keeps sets of values as the bits of a u128
        max_values: 128,
        // a CPU program is interpreted, so no kernel costs compiling
        max_cost: u32::MAX,
        // a row of f32 that a program keeps takes 256 KiB: most L2 caches hold it while the row's passes read it again
        max_row: 65_536,
        // never split by the planner: when a reduction runs, threads share it without a second kernel
        max_reduce: [usize::MAX; 2],
        max_indices: u64::MAX,
        // the `gemm` crate and the loops of integers take operands of one type and give only the product
        fuses_product: false,
        reports_late: false,
        workgroup: 0,
        workgroup_memory: 0,
        subgroup: [1, 1],
        vector: match isa() {
            Isa::Portable => 16,
            Isa::Avx2 => 32,
            Isa::Avx512 => 64,
        },
        cooperative: vec![],
        caches: caches::sizes(),
    }
}

/// The CPU as a device. It lives as long as a handle on it or a buffer of it.
pub(crate) struct Cpu {
    /// A handle on this device itself, to be cloned into its buffers, which keep it alive.
    this: Weak<Cpu>,
    /// The number of the device in the process.
    id: u32,
    caps: NumberedCaps,
    pool: Pool,
    prepared: PreparedPlans,
    kernels: AtomicU64,
    dispatches: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Cpu {
    /// A device with these limits for the planner, and a pool of its own of at most `limit` bytes.
    pub fn with(id: u32, caps: Caps, limit: Option<usize>) -> Arc<Cpu> {
        Arc::new_cyclic(|this| Cpu {
            this: this.clone(),
            id,
            pool: Pool::new(id, &caps.name, limit),
            caps: NumberedCaps::new(caps),
            prepared: PreparedPlans::default(),
            kernels: AtomicU64::new(0),
            dispatches: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        })
    }

    /// Memory for at least `bytes` bytes.
    fn memory(&self, bytes: usize) -> Result<CpuMemory> {
        // a caller holds a handle on the device, except while its last handle is being dropped
        let gone = || Error::new(ErrorKind::Internal, "allocate", "the device is being closed", None);
        self.pool.memory(self.this.upgrade().ok_or_else(gone)?, bytes)
    }

    /// A device with its own memory pool, and at most `limit` bytes.
    pub fn new(id: u32, limit: Option<usize>) -> Arc<Cpu> {
        Cpu::with(id, caps(), limit)
    }

    /// A buffer of memory that the caller already holds, without a copy.
    pub fn adopt<T: Element>(self: &Arc<Cpu>, v: Vec<T>) -> Buffer {
        Buffer::new(self.pool.adopted(self.clone(), v))
    }

    /// The memory of a buffer. Fails if the buffer is not on a CPU, or the range of bytes does not lie in it.
    fn range<'a>(&self, operation: &str, buffer: &'a Buffer, offset: usize, len: usize) -> Result<&'a CpuMemory> {
        match buffer.memory::<CpuMemory>() {
            Some(m) if offset.checked_add(len).is_some_and(|end| end <= m.bytes()) => Ok(m),
            _ => Err(Error::new(
                ErrorKind::Internal,
                operation,
                format!("{len} bytes from {offset} on do not lie in {buffer:?} on the CPU"),
                None,
            )),
        }
    }
}

impl Owner for Cpu {
    fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl Backend for Cpu {
    fn id(&self) -> u32 {
        self.id
    }

    fn caps(&self) -> &NumberedCaps {
        &self.caps
    }

    fn with_limit(&self, id: u32, limit: usize) -> Result<Arc<dyn Backend>> {
        Ok(Cpu::new(id, Some(limit)))
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        Ok(Buffer::new(self.memory(bytes)?))
    }

    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        self.pool.fault("upload")?;
        let memory = self.range("upload", buffer, offset, bytes.len())?;
        // SAFETY: `range` has checked that the bytes lie in the buffer, which has no other user yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.ptr().add(offset), bytes.len()) };
        self.bytes_in.fetch_add(bytes.len() as u64, Relaxed);
        Ok(())
    }

    fn download(&self, buffer: &Buffer, offset: usize, len: usize) -> Pending<Vec<u8>> {
        self.bytes_out.fetch_add(len as u64, Relaxed);
        let range = self.pool.fault("download").and_then(|_| self.range("download", buffer, offset, len));
        let result = range.and_then(|m| {
            let mut bytes = room::<u8>(len, "download", None)?;
            bytes.extend_from_slice(&m.as_bytes()[offset..offset + len]);
            Ok(bytes)
        });
        Box::pin(std::future::ready(result))
    }

    fn run(&self, plan: &Plan, bindings: Bindings<'_>) -> Result<()> {
        self.pool.fault("run")?;
        let prepared = self.prepared.of(plan, &bindings).map_err(|(e, node)| e.or_at(bindings.line(node)))?;
        let mut run = Run { bindings, temps: SmallVec::new(), pool: &self.pool, rehearses: false };
        for bytes in &plan.temps {
            run.temps.push(self.allocate(*bytes)?);
        }
        // a write in place must not fail half done, so every step first only asks for its scratch, which the thread keeps
        let rehearsals: &[bool] = if run.bindings.replaces && plan.steps.len() > 1 { &[true, false] } else { &[false] };
        for rehearses in rehearsals {
            run.rehearses = *rehearses;
            for (ready, step) in prepared.steps.iter().zip(&plan.steps) {
                ready.run(&run).map_err(|e| e.or_at(step.node().and_then(|node| run.bindings.line(node))))?;
            }
        }
        self.prepared.ran(prepared);
        self.kernels.fetch_add(plan.kernel_count() as u64, Relaxed);
        self.dispatches.fetch_add(plan.steps.iter().filter(|s| s.node().is_some()).count() as u64, Relaxed);
        Ok(())
    }

    fn synchronize(&self) -> Pending<()> {
        Box::pin(std::future::ready(self.pool.fault("synchronize")))
    }

    fn report(&self) -> (Stats, MemoryInfo) {
        let (allocations, driver_allocations) = self.pool.allocations();
        let (used, cached, peak, limit) = self.pool.info();
        let stats = Stats {
            kernels: self.kernels.load(Relaxed),
            dispatches: self.dispatches.load(Relaxed),
            prepares: self.prepared.made(),
            allocations,
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

    fn shrunk(&self, id: u32, _max_binding: u64, _max_groups: u32) -> Result<Arc<dyn Backend>> {
        // a CPU has neither bindings nor grids; instead these limits make small arrays take split reductions and many kernels
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

#[cfg(test)]
mod tests;
