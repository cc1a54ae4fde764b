//! Floor 6: the CPU backend. It interprets kernels as they are: tile by tile, each value of a tile by a plain loop that
//! was compiled for the machine's instruction set, in the caller's current rayon pool.
//!
//! | file | what it does |
//! |---|---|
//! | `memory.rs` | the pool |
//! | `program.rs`, `compile.rs`, `arena.rs`, `convert.rs` | from a kernel to steps and registers |
//! | `tile.rs`, `strided.rs`, `philox.rs` | runs the steps over a tile |
//! | `fold.rs` | reductions: one tree for each shape |
//! | `threads.rs` | how many threads there are, also after `fork` |
//! | `small.rs` | elementwise kernels over a few elements, without all that |
//! | `elementwise.rs`, `reduce.rs`, `row.rs`, `matmul.rs` | the kinds of kernel: what tiles there are, and who runs them |

mod arena;
mod compile;
mod convert;
mod elementwise;
mod fold;
mod matmul;
mod memory;
mod philox;
mod program;
mod reduce;
mod row;
mod small;
mod strided;
mod threads;
mod tile;

use crate::backend::{Backend, Bindings, MemoryInfo, Pending, Stats};
#[cfg(feature = "testing")]
use crate::backend::{FaultInjector, TestDoors};
use crate::buffer::{Buffer, Memory};
use crate::dtype::Element;
use crate::error::{Error, ErrorKind, Result, room};
use crate::kernel::{Caps, KernelKind, Plan};
pub(crate) use memory::{Cpu, CpuMemory};
use program::Bound;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the planner may count on.
fn caps() -> Caps {
    Caps {
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
    }
}

impl Cpu {
    /// A device with its own memory pool, and at most `limit` bytes.
    pub fn new(id: u32, limit: Option<usize>) -> Arc<Cpu> {
        Cpu::with(id, caps(), limit)
    }

    /// A buffer of memory that the caller already holds, without a copy.
    pub fn adopt<T: Element>(self: &Arc<Cpu>, v: Vec<T>) -> Buffer {
        Buffer::new(self.adopted(v))
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
    fn id(&self) -> u32 {
        self.id
    }

    fn caps(&self) -> &Caps {
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
        let mut bound = Bound { bindings, temps: SmallVec::new(), cpu: self, rehearses: false };
        for bytes in &plan.temps {
            bound.temps.push(self.allocate(*bytes)?);
        }
        // a later kernel's scratch is there before an earlier one writes: the thread keeps the largest
        let rehearsals: &[bool] =
            if bound.bindings.replaces && plan.kernels.len() > 1 { &[true, false] } else { &[false] };
        for rehearses in rehearsals {
            bound.rehearses = *rehearses;
            for kernel in &plan.kernels {
                let done = match kernel.kind {
                    KernelKind::Elementwise => elementwise::run(kernel, &bound),
                    KernelKind::Reduce(_) => reduce::run(kernel, &bound),
                    KernelKind::Row => row::run(kernel, &bound),
                    // its operands' copies are found missing before it writes
                    KernelKind::Matmul if *rehearses => Ok(()),
                    KernelKind::Matmul => matmul::run(kernel, &bound),
                };
                done.map_err(|e| e.or_at(bound.bindings.line(kernel.node)))?;
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
        // a CPU has neither bindings nor grids; these limits make small arrays need split reductions and small kernels
        let caps = Caps {
            name: "shrunk cpu".to_string(),
            max_bindings: 6,
            max_values: 24,
            max_row: 32,
            max_reduce: [64, 16],
            ..self.caps.clone()
        };
        Ok(Cpu::with(id, caps, None))
    }
}

#[cfg(test)]
mod tests;
