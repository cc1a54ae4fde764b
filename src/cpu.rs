//! Floor 6: the CPU backend. A plan's kernels are made into programs once and kept. A run binds a program to its buffers and
//! interprets it: tile by tile, each value of a tile by a plain loop that was compiled for the machine's instruction set,
//! in the caller's current rayon pool.
//!
//! | file | what it does |
//! |---|---|
//! | `memory.rs` | the pool |
//! | `program.rs`, `assign.rs`, `arena.rs`, `convert.rs` | from a kernel to steps and registers: once for a plan |
//! | `bind.rs` | a run's pointers, checked |
//! | `tiles.rs`, `strided.rs`, `philox.rs` | runs the steps over a tile |
//! | `fold.rs` | reductions: one tree for each shape |
//! | `threads.rs` | how many threads there are, also after `fork` |
//! | `elementwise.rs`, `reduce.rs`, `row.rs`, `matmul.rs` | the kinds of kernel: what tiles there are, and who runs them |

mod arena;
mod assign;
mod bind;
mod convert;
mod elementwise;
mod fold;
mod matmul;
mod memory;
mod philox;
mod program;
mod reduce;
mod row;
mod strided;
mod threads;
mod tiles;

use crate::backend::{Backend, Bindings, Faults, MemoryInfo, Pending, Stats};
use crate::buffer::{Buffer, Memory};
use crate::dtype::Element;
use crate::error::{Error, ErrorKind, Result, room};
use crate::kernel::{Caps, Kernel, KernelKind, Plan};
use bind::Run;
use lru::LruCache;
pub(crate) use memory::CpuMemory;
use memory::Pool;
use smallvec::SmallVec;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A kernel that is ready to be bound to the buffers of a run.
enum Ready {
    /// Over no index: nothing is to be done.
    Nothing,
    Elementwise(elementwise::Elementwise),
    Reduce(reduce::Reduce),
    Matmul(matmul::Matmul),
}

impl Ready {
    fn new(kernel: &Kernel, aliased: &[bool]) -> Result<Ready> {
        if kernel.outer_size() == 0 {
            return Ok(Ready::Nothing);
        }
        Ok(match kernel.kind {
            KernelKind::Elementwise => Ready::Elementwise(elementwise::prepare(kernel, aliased)?),
            KernelKind::Reduce(_) => Ready::Reduce(reduce::prepare(kernel, aliased)?),
            KernelKind::Row => Ready::Reduce(row::prepare(kernel, aliased)?),
            KernelKind::Matmul => Ready::Matmul(matmul::prepare(kernel)?),
        })
    }

    fn run(&self, run: &Run<'_>) -> Result<()> {
        match self {
            Ready::Nothing => Ok(()),
            Ready::Elementwise(kernel) => kernel.run(run),
            Ready::Reduce(kernel) => kernel.run(run),
            Ready::Matmul(kernel) => kernel.run(run),
        }
    }
}

/// The kernels of a plan, ready to be bound.
type Prepared = Vec<Ready>;

/// Kernels that are kept ready, of all plans together: about 1 KiB each.
const KEPT_KERNELS: usize = 16_384;

/// Hashes a plan's number: consecutive ones go to places of their own.
#[derive(Default)]
struct PlanNumber(u64);

impl Hasher for PlanNumber {
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Prepared plans by twice the plan's number, and 1 more where the first output is memory that the plan reads.
struct Cache {
    plans: LruCache<u64, Arc<Prepared>, BuildHasherDefault<PlanNumber>>,
    kernels: usize,
}

/// The CPU as a device.
pub(crate) struct Cpu {
    caps: Caps,
    pool: Arc<Pool>,
    prepared: Mutex<Cache>,
    prepares: AtomicU64,
    kernels: AtomicU64,
    dispatches: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Cpu {
    /// A device with its own memory pool, and at most `limit` bytes.
    pub fn new(id: u32, limit: Option<usize>) -> Cpu {
        let caps = Caps {
            name: "cpu".to_string(),
            gpu: false,
            int64: true,
            float64: true,
            max_binding: isize::MAX as u64,
            max_buffer: isize::MAX as u64,
            max_bindings: 64,
            max_values: 128,
            max_cost: u32::MAX,
            max_row: 65_536,
            max_reduce: [usize::MAX; 2],
            max_indices: u64::MAX,
            packs_words: false,
        };
        Cpu {
            caps,
            pool: Pool::new(id, "cpu", limit),
            prepared: Mutex::new(Cache { plans: LruCache::unbounded_with_hasher(Default::default()), kernels: 0 }),
            prepares: AtomicU64::new(0),
            kernels: AtomicU64::new(0),
            dispatches: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// For tests: the same device with the planner's limits of a small GPU, so that small arrays take the long ways.
    pub fn shrunk(id: u32) -> Cpu {
        let mut cpu = Cpu::new(id, None);
        cpu.caps.max_bindings = 6;
        cpu.caps.max_values = 24;
        cpu.caps.max_row = 32;
        cpu.caps.max_reduce = [64, 16];
        cpu
    }

    /// A buffer of memory that the caller already holds, without a copy.
    pub fn adopt<T: Element>(&self, v: Vec<T>) -> Buffer {
        Buffer::new(self.pool.adopt(v))
    }

    /// Faults that tests plan.
    pub fn faults(&self) -> &Faults {
        &self.pool.faults
    }

    /// The plan's kernels, ready to be bound. An error comes with the node whose kernel it is.
    fn prepared(&self, plan: &Plan, bindings: &Bindings<'_>) -> Result<Arc<Prepared>, (Error, usize)> {
        let mut replaces = false;
        for (i, input) in bindings.inputs.iter().enumerate() {
            for (o, output) in bindings.outputs.iter().enumerate().filter(|(_, output)| output.0.same(&input.0)) {
                if o > 0 || !plan.aliased.get(i).is_some_and(|aliased| *aliased) {
                    let detail = format!("input {i} is output {o}, {:?}", output.0);
                    return Err((Error::new(ErrorKind::Internal, "eval", detail, None), 0));
                }
                replaces = true;
            }
        }
        let key = plan.id << 1 | replaces as u64;
        let cache = || self.prepared.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(found) = cache().plans.get(&key) {
            return Ok(found.clone());
        }
        let aliased: &[bool] = if replaces { &plan.aliased } else { &[] };
        let ready = |kernel: &Kernel| Ready::new(kernel, aliased).map_err(|e| (e, kernel.node));
        let prepared = Arc::new(plan.kernels.iter().map(ready).collect::<Result<Prepared, _>>()?);
        self.prepares.fetch_add(1, Relaxed);
        if plan.is_kept {
            let mut cache = cache();
            cache.kernels += prepared.len();
            if let Some(old) = cache.plans.put(key, prepared.clone()) {
                cache.kernels -= old.len();
            }
            while cache.kernels > KEPT_KERNELS
                && let Some((_, old)) = cache.plans.pop_lru()
            {
                cache.kernels -= old.len();
            }
        }
        Ok(prepared)
    }

    /// A buffer's memory, after a look that the range lies in it.
    fn range<'a>(&self, operation: &str, buffer: &'a Buffer, offset: usize, len: usize) -> Result<&'a CpuMemory> {
        match buffer.memory::<CpuMemory>() {
            Some(m) if offset.checked_add(len).is_some_and(|end| end <= m.bytes()) => Ok(m),
            _ => Err(Error::new(
                ErrorKind::Internal,
                operation,
                format!("{len} bytes from {offset} of {buffer:?} on the CPU"),
                None,
            )),
        }
    }
}

impl Backend for Cpu {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        Ok(Buffer::new(self.pool.allocate(bytes)?))
    }

    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        self.pool.fault("upload")?;
        let memory = self.range("upload", buffer, offset, bytes.len())?;
        // SAFETY: the range lies in the buffer; it has no other user yet.
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
        let prepared = self.prepared(plan, &bindings).map_err(|(e, node)| e.or_at(bindings.line(node)))?;
        let mut run = Run { bindings, temps: SmallVec::new(), pool: &self.pool, rehearses: false };
        for bytes in &plan.temps {
            run.temps.push(self.allocate(*bytes)?);
        }
        // a later kernel's scratch is there before an earlier one writes: the thread keeps the largest
        let rehearsals: &[bool] =
            if run.bindings.replaces && plan.kernels.len() > 1 { &[true, false] } else { &[false] };
        for rehearses in rehearsals {
            run.rehearses = *rehearses;
            for (ready, kernel) in prepared.iter().zip(&plan.kernels) {
                ready.run(&run).map_err(|e| e.or_at(run.bindings.line(kernel.node)))?;
            }
        }
        self.kernels.fetch_add(plan.kernel_count() as u64, Relaxed);
        self.dispatches.fetch_add(plan.kernels.len() as u64, Relaxed);
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
            prepares: self.prepares.load(Relaxed),
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
}

#[cfg(test)]
mod tests;
