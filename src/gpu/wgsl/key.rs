//! What identifies a kernel's text, without writing it: the first look-up of a pipeline.

use super::Variant;
use crate::kernel::{Groups, IndexMode, Kernel, KernelKind, Op};
use smallvec::SmallVec;

/// Words that identify a kernel's text.
pub(crate) type Key = SmallVec<[u64; 48]>;

/// Everything that a kernel's text depends on, as words.
pub(crate) fn key(kernel: &Kernel, variant: &Variant) -> Key {
    let mut k: Key = SmallVec::new();
    let kind = match kernel.kind {
        KernelKind::Elementwise => 0,
        KernelKind::Reduce(_) => 1,
        KernelKind::Row => 2,
        KernelKind::Matmul => 3u64,
    };
    let Groups { size, lanes, held, in_flight, tiles, axes } = variant.groups;
    let [outer, inner] = axes.map(|a| a as u32);
    let per_invocation = variant.run << 10 | (in_flight as u32) << 7 | (tiles as u32) << 4 | outer << 2 | inner;
    let sizes = [lanes.into(), held.into(), per_invocation, variant.params];
    k.push(size as u64);
    k.push(sizes.iter().fold(kind, |k, s| k << 14 | *s as u64));
    k.push((variant.slots.len() as u64) << 32 | (kernel.loads.len() as u64) << 16 | kernel.stores.len() as u64);
    for s in &variant.slots {
        k.push((s.words as u64) << 8 | s.access as u64);
    }
    for (slot, load) in variant.loads.iter().zip(&kernel.loads) {
        k.push((*slot as u64) << 8 | load.dtype as u64);
    }
    for ((slot, how), s) in variant.stores.iter().zip(&kernel.stores) {
        k.push((s.value as u64) << 32 | (*slot as u64) << 16 | (*how as u64) << 8 | s.dtype as u64);
    }
    for v in &kernel.values {
        let head = |code: u64, a: usize| code << 56 | (v.inner as u64) << 48 | (v.dtype as u64) << 32 | a as u64;
        match &v.op {
            Op::Load(n) => k.push(head(1, *n)),
            Op::Scalar(n) => k.push(head(2, *n)),
            Op::Constant(bits) => k.extend_from_slice(&[head(3, 0), *bits]),
            Op::Index { .. } => k.push(head(4, 0)),
            Op::Ufunc(row, args) => {
                k.extend_from_slice(&[head(5, args.len()), row.id() as u64]);
                k.extend(args.iter().map(|a| *a as u64));
            }
            Op::Cast(a) => k.push(head(6, *a)),
            Op::Round(a) => k.push(head(7, *a)),
            Op::Gather { load, index, mode, .. } => {
                let mode = match mode {
                    IndexMode::Check => 0,
                    IndexMode::Clip => mutant!(shader_key_without_index_mode, 0, 1),
                    IndexMode::Wrap => 2u64,
                };
                k.extend_from_slice(&[head(8, *load), *index as u64, mode]);
            }
            Op::Philox { index, word, slots } => {
                k.extend_from_slice(&[head(9, *index), *word as u64]);
                k.extend(slots.iter().map(|s| *s as u64));
            }
            Op::Reduce(fold, a) => {
                let code = if fold.gives_position() { 11 } else { 10 };
                k.extend_from_slice(&[head(code, *a), fold.row.id() as u64]);
            }
            Op::Dot => k.push(head(12, 0)),
        }
    }
    k
}
