//! Assigns buffers to the temporaries of a plan (its intermediate results). A buffer is reused for another temporary
//! after the last step that reads the previous one. Also decides whether the target of a write may be written in place,
//! while the plan still reads it.

use super::Map;
use super::planner::Planner;
use crate::base::error::Result;
use crate::base::layout::Layout;
use crate::plan::kernel::{BufferRef, ExecutionPlan, Kernel, KernelKind, Load, Model, Op, Output, Step};
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A temporary of the plan that is being made. Two temporaries may share a buffer if one is first used after the last
/// use of the other.
#[derive(Default)]
struct Temp {
    bytes: usize,
    /// The index of the last step that uses the temporary.
    last: u32,
    /// The index in the plan of the temporary's buffer, once a buffer is assigned.
    slot: Option<u32>,
}

/// A temporary is long-lived if its last use is more than this number of steps after its first use. The number was
/// chosen by hand, so that the four temporaries that attention needs for each of its blocks of queries
/// (`ops/network/attention.rs`) are not long-lived.
const LONG: usize = 8;

/// The buffers that are free for new temporaries, by their size in bytes. The map is sorted, so that the search for the
/// nearest size is fast in a graph of a million nodes.
#[derive(Default)]
struct Free(BTreeMap<usize, VecDeque<usize>>);

impl Free {
    /// Takes the free buffer whose size is nearest to `bytes`, for a temporary whose last use is `steps` steps after
    /// the current step. If the buffer is smaller than `bytes`, the caller enlarges it. A long-lived temporary (see
    /// [`LONG`]) gets no buffer of more than twice its size, because a larger temporary may need that buffer meanwhile.
    fn take(&mut self, bytes: usize, steps: usize) -> Option<usize> {
        let below = self.0.range(..=bytes).next_back().map(|(size, _)| *size);
        let above = self.0.range(bytes..).next().map(|(size, _)| *size);
        let is_short = mutant!(small_temporaries_in_large_buffers, true, steps <= LONG);
        let above = above.filter(|size| is_short || size / 2 <= bytes);
        let size = below.into_iter().chain(above).min_by_key(|size| size.abs_diff(bytes))?;
        let slots = self.0.get_mut(&size)?;
        let slot = slots.pop_front();
        if slots.is_empty() {
            self.0.remove(&size);
        }
        slot
    }

    fn give(&mut self, bytes: usize, slot: usize) {
        self.0.entry(bytes).or_default().push_back(slot);
    }
}

impl Planner<'_> {
    /// Declares a temporary that belongs to no node. Its number is higher than every node's number, because the
    /// temporary of a stored node has the number of the node.
    pub(super) fn temp(&self, bytes: usize) -> BufferRef {
        let mut temps = self.temps.borrow_mut();
        temps.push(bytes);
        BufferRef::Temp(self.count + temps.len() - 1)
    }

    /// Returns the plan's outputs: dtype, shape and strides. The first output has the strides of the target, if there
    /// is one.
    pub(super) fn results(&self, target: Option<&Layout>) -> Vec<Output> {
        (self.arena.roots.iter().enumerate())
            .map(|(i, r)| {
                let n = &self.arena.nodes[*r];
                let strides = if i == 0
                    && let Some(t) = target
                {
                    t.strides.clone()
                } else {
                    self.stored_strides(*r)
                };
                Output { dtype: n.dtype, shape: n.shape.clone(), strides }
            })
            .collect()
    }

    /// Assigns buffers to temporaries and makes the plan. Also returns whether the target may be written in place.
    pub(super) fn finish(
        &self,
        mut steps: Vec<Step>,
        bytes: &Map<usize, usize>,
        outputs: Vec<Output>,
    ) -> Result<(ExecutionPlan, bool)> {
        let mut known: Map<usize, Temp> = Map::default();
        for (i, step) in steps.iter().enumerate() {
            for buffer in step.reads() {
                if let BufferRef::Temp(n) = buffer {
                    known.entry(n).or_default().last = i as u32;
                }
            }
            for buffer in step.writes() {
                let BufferRef::Temp(n) = buffer else { continue };
                let temp = known.entry(n).or_default();
                temp.last = i as u32;
                temp.bytes = match n.checked_sub(self.count) {
                    None => bytes.get(&n).copied().unwrap_or(0),
                    Some(declared) => self.temps.borrow()[declared],
                };
            }
            // a routine may write a result that no step reads; `bytes` lacks the size of such a result, because the
            // result belongs to no stored node
            for result in step.results() {
                if let BufferRef::Temp(n) = result.buffer {
                    known.entry(n).or_default().bytes = result.meta.bytes();
                }
            }
        }
        let (mut temps, mut free): (Vec<usize>, Free) = (vec![], Free::default());
        for (i, step) in steps.iter_mut().enumerate() {
            let mut dead: SmallVec<[usize; 4]> = smallvec![];
            step.map_temps(|n| {
                let temp = known.entry(n).or_default();
                let slot = match temp.slot {
                    Some(slot) => slot as usize,
                    None => {
                        let slot = free.take(temp.bytes, temp.last as usize - i).unwrap_or_else(|| {
                            temps.push(0);
                            temps.len() - 1
                        });
                        temps[slot] = temps[slot].max(temp.bytes);
                        temp.slot = Some(slot as u32);
                        slot
                    }
                };
                if mutant!(temporary_reused_early, temp.last as usize >= i, temp.last as usize == i)
                    && !dead.contains(&slot)
                {
                    dead.push(slot);
                }
                slot
            });
            dead.into_iter().for_each(|slot| free.give(temps[slot], slot));
        }
        let in_place = mutant!(in_place_always, true, self.in_place(&steps));
        let scalars = self.arena.scalars.clone();
        let aliased = self.arena.aliased.iter().map(Option::is_some).collect();
        Ok((
            ExecutionPlan {
                inputs: self.arena.inputs.clone(),
                aliased,
                id: next_id(),
                is_kept: false,
                kept: Default::default(),
                scalars,
                temps,
                outputs,
                steps,
                model: Model::default(),
            },
            in_place,
        ))
    }

    /// Returns whether the plan may write directly to the memory of its target (an existing array), although steps may
    /// read the target's old elements. This is safe if no step reads the target. It is also safe if only the last step
    /// writes a result, and this step is a kernel that reads, at each index, only the element of the target that it
    /// writes there.
    fn in_place(&self, steps: &[Step]) -> bool {
        let aliased = |buffer: BufferRef| match buffer {
            BufferRef::Input(n) => self.arena.aliased[n],
            BufferRef::Temp(_) | BufferRef::Output(_) => None,
        };
        if steps.iter().all(|step| step.reads().iter().all(|buffer| aliased(*buffer).is_none())) {
            return true;
        }
        let first = steps.iter().position(Step::writes_output).unwrap_or(steps.len());
        let writers: SmallVec<[Option<&Kernel>; 4]> = steps[first..].iter().map(Step::nest).collect();
        // if several kernels write results, they must be the boxes (parts) of one kernel (`boxes.rs`), because boxes
        // write different elements
        let is_box = |k: &Kernel| {
            let of_output = |b: &BufferRef| matches!(b, BufferRef::Output(_));
            k.kind == KernelKind::Elementwise
                && k.stores.iter().all(|s| s.is_plain() && of_output(&s.buffer))
                && !k.loads.iter().any(|l| of_output(&l.buffer))
        };
        let is_one = writers.len() == 1 || steps[first..].iter().skip(1).all(Step::continues);
        // a routine's results must not share memory with its operands, so it never writes in place
        is_one
            && writers
                .iter()
                .all(|k| k.is_some_and(|k| (writers.len() == 1 || is_box(k)) && reads_what_it_writes(k, aliased)))
    }
}

/// Returns whether a kernel reads, at each index, no other element of the target than the one that it writes at this
/// index. `aliased` returns the position in the target at which a buffer begins, if the buffer shares memory with the
/// target.
fn reads_what_it_writes(kernel: &Kernel, aliased: impl Fn(BufferRef) -> Option<isize>) -> bool {
    let plain = matches!(kernel.kind, KernelKind::Elementwise)
        || kernel.kind == KernelKind::Row && kernel.stores.iter().all(|s| kernel.values[s.value].inner);
    let gathers = |l: usize| kernel.values.iter().any(|v| matches!(v.op, Op::Gather { load, .. } if load == l));
    kernel.loads.iter().enumerate().all(|(i, l): (usize, &Load)| match aliased(l.buffer) {
        None => true,
        Some(offset) => {
            plain
                && !gathers(i)
                && kernel.stores.iter().all(|s| {
                    let same = s.strides == l.strides && s.offset == l.offset + offset;
                    mutant!(in_place_reads_its_writes, s.strides.len() == l.strides.len(), same)
                        && s.dtype.size() == l.dtype.size()
                })
        }
    })
}
