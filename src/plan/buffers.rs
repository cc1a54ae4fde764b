//! The buffers of a plan: temporaries that share memory when their last reader has run, and whether a target may be
//! written in place.

use super::fuse::Planner;
use super::shape;
use crate::error::Result;
use crate::kernel::{BufferRef, Kernel, KernelKind, Load, Op, Output, Plan};
use crate::layout::{self, Layout};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;

impl Planner<'_> {
    /// Buffers for temporaries, and the plan.
    pub(super) fn finish(&self, mut kernels: Vec<Kernel>, target: Option<&Layout>) -> Result<(Plan, bool)> {
        let bytes = |r: BufferRef| -> usize {
            match r {
                // split reductions number their partial results after the nodes, with the size in the store
                BufferRef::Temp(n) if n >= self.arena.nodes.len() => kernels
                    .iter()
                    .flat_map(|k| k.stores.iter().map(move |s| (k, s)))
                    .filter(|(_, s)| s.buffer == r)
                    .map(|(k, s)| {
                        layout::span(&shape::store_extents(k, s), &s.strides, s.offset as usize).1 * s.dtype.size()
                    })
                    .max()
                    .unwrap_or(0),
                BufferRef::Temp(n) => {
                    let n = &self.arena.nodes[n];
                    // what does not fit any memory is refused where it is allocated
                    {
                        let (count, size) = (layout::product(&n.shape), n.dtype.size());
                        mutant!(temporary_of_2_to_the_64, count.wrapping_mul(size), count.saturating_mul(size))
                    }
                }
                BufferRef::Input(_) | BufferRef::Output(_) => 0,
            }
        };
        let mut last: HashMap<BufferRef, usize> = HashMap::new();
        for (i, k) in kernels.iter().enumerate() {
            for r in k.loads.iter().map(|l| l.buffer).chain(k.stores.iter().map(|s| s.buffer)) {
                last.insert(r, i);
            }
        }
        let mut sizes: HashMap<BufferRef, usize> = HashMap::new();
        for r in last.keys() {
            sizes.insert(*r, bytes(*r));
        }
        let (mut temps, mut free): (Vec<usize>, Vec<usize>) = (vec![], vec![]);
        let mut place: HashMap<BufferRef, usize> = HashMap::new();
        for (i, k) in kernels.iter_mut().enumerate() {
            let mut dead: SmallVec<[usize; 4]> = smallvec![];
            let refs = k.stores.iter_mut().map(|s| &mut s.buffer).chain(k.loads.iter_mut().map(|l| &mut l.buffer));
            for r in refs {
                let BufferRef::Temp(_) = *r else { continue };
                let known = *r;
                let size = sizes[&known];
                let slot = *place.entry(known).or_insert_with(|| {
                    // the free buffer that fits best, grown if need be
                    let best = free.iter().enumerate().min_by_key(|(_, t)| temps[**t].abs_diff(size)).map(|(j, _)| j);
                    match best {
                        Some(j) => {
                            let t = free.swap_remove(j);
                            temps[t] = temps[t].max(size);
                            t
                        }
                        None => {
                            temps.push(size);
                            temps.len() - 1
                        }
                    }
                });
                if mutant!(temporary_reused_early, last[&known] >= i, last[&known] == i) && !dead.contains(&slot) {
                    dead.push(slot);
                }
                *r = BufferRef::Temp(slot);
            }
            free.extend(dead);
        }
        let outputs = (self.arena.roots.iter().enumerate())
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
            .collect();
        let in_place = mutant!(in_place_always, true, self.in_place(&kernels));
        let scalars = self.arena.scalars.clone();
        Ok((Plan { inputs: self.arena.inputs.clone(), scalars, temps, outputs, kernels }, in_place))
    }

    /// Whether the target may be written while it is read: it is stored by the last kernel only, element by element
    /// from the same places.
    fn in_place(&self, kernels: &[Kernel]) -> bool {
        let aliased = |l: &Load| match l.buffer {
            BufferRef::Input(n) => self.arena.aliased[n],
            BufferRef::Temp(_) | BufferRef::Output(_) => None,
        };
        if kernels.iter().all(|k| k.loads.iter().all(|l| aliased(l).is_none())) {
            return true;
        }
        let stores = |k: &&Kernel| k.stores.iter().any(|s| matches!(s.buffer, BufferRef::Output(_)));
        let Some((last, before)) = kernels.split_last() else { return true };
        if before.iter().any(|k| stores(&k)) {
            return false;
        }
        let plain = |k: &Kernel| {
            matches!(k.kind, KernelKind::Elementwise)
                || k.kind == KernelKind::Row && k.stores.iter().all(|s| k.values[s.value].inner)
        };
        let gathers = |l: usize| last.values.iter().any(|v| matches!(v.op, Op::Gather { load, .. } if load == l));
        last.loads.iter().enumerate().all(|(i, l)| match aliased(l) {
            None => true,
            Some(offset) => {
                plain(last)
                    && !gathers(i)
                    && last.stores.iter().all(|s| {
                        let same = s.strides == l.strides && s.offset == l.offset + offset as isize;
                        mutant!(in_place_reads_its_writes, s.strides.len() == l.strides.len(), same)
                            && s.dtype.size() == l.dtype.size()
                    })
            }
        })
    }
}
