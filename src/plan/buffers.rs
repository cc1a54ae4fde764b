//! The buffers of a plan. Temporaries reuse memory after their last reader has run. This file also decides whether a
//! target may be written in place.

use super::planner::Planner;
use crate::base::error::Result;
use crate::base::layout::Layout;
use crate::plan::kernel::{BufferRef, ExecutionPlan, Kernel, KernelKind, Load, Model, Op, Output, Step};
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A temporary of the plan in the making. Temporaries share one buffer if no step needs both.
#[derive(Default)]
struct Temp {
    bytes: usize,
    /// The index of the last step that uses it.
    last: u32,
    /// The index of its buffer in the plan, once it has one.
    slot: Option<u32>,
}

/// The number of steps beyond which a temporary counts as one that lives long. Chosen by hand: the four temporaries of a
/// block of attention are within it.
const LONG: usize = 8;

/// Buffers whose temporaries no later step uses, by size. The sorted map keeps the search fast in a graph of a million
/// nodes.
#[derive(Default)]
struct Free(BTreeMap<usize, VecDeque<usize>>);

impl Free {
    /// Takes the free buffer with the nearest size, for a temporary that `steps` later steps use or pass. If it is smaller
    /// than `bytes`, the caller enlarges it, which costs only the difference. A temporary that lives long takes no buffer
    /// of more than twice its size, because a larger temporary would need a buffer of its own meanwhile.
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
        bytes: &HashMap<usize, usize>,
        outputs: Vec<Output>,
    ) -> Result<(ExecutionPlan, bool)> {
        let mut known: HashMap<usize, Temp> = HashMap::new();
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
            // a routine also writes results that no step reads: such a result has no stage, so `bytes` does not contain
            // its size
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

    /// Returns whether the target may be written while it is read. This is so if no step reads it. It is also so if the
    /// last step is a kernel, no step before it writes a result, and the kernel reads, for each index, no element of
    /// the target except the one that it writes for this index. Then no element is overwritten too early.
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
        // several kernels certainly write different elements only if they are boxes of one kernel (see `boxes.rs`)
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

/// Returns whether a kernel reads, for each index, no element of the target except the one that it writes for this
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
