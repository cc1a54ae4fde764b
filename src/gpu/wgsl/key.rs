//! Computes the key of a kernel's source. Pipelines are looked up by key first, because building a key is faster than
//! generating the source.

use super::Variant;
use crate::plan::kernel::{Gives, Groups, IndexMode, Kernel, KernelKind, Op, Source, Tile};
use smallvec::SmallVec;

/// Words that identify a kernel's source.
pub(crate) type ShaderKey = SmallVec<[u64; 48]>;

fn mode_word(mode: IndexMode) -> u64 {
    match mode {
        IndexMode::Check | IndexMode::CheckFromStart => 0,
        IndexMode::Clip => mutant!(shader_key_without_index_mode, 0, 1),
        IndexMode::Wrap => 2,
    }
}

/// Adds to the key the numbers that the source of a product contains as constants if k has several axes
/// ([`Variant::nested`]): the extents of axes, and the number of outer axes, which determines where each axis is in the
/// parameters.
fn axes_of_factors(k: &mut ShaderKey, kernel: &Kernel, variant: &Variant) {
    k.extend(variant.nested.as_ref().map(|_| kernel.outer.len() as u64));
    for side in variant.nested.iter().flatten() {
        k.push(side.len() as u64);
        k.extend(side.iter().map(|n| mutant!(shader_key_without_axes_of_factors, 0, *n as u64)));
    }
}

/// Returns the facts of a run on which a shader's source depends, in the upper 16 bits of a word.
fn facts(variant: &Variant) -> u64 {
    let draws = mutant!(shader_key_without_draws, 0, variant.draws_blocks as u64);
    let whole_runs = mutant!(shader_key_without_whole_runs, 0, variant.has_whole_runs as u64);
    draws << 63 | whole_runs << 62 | (variant.stores_whole as u64) << 61 | (variant.woven as u64) << 48
}

/// Returns everything that a kernel's source depends on, as words.
pub(crate) fn key(kernel: &Kernel, variant: &Variant) -> ShaderKey {
    let mut k: ShaderKey = SmallVec::new();
    let kind = match kernel.kind {
        KernelKind::Elementwise => 0,
        KernelKind::Reduce(_) => 1,
        KernelKind::Row => 2,
        KernelKind::Matmul => 3u64,
    };
    // `shuffled` is not in the key, because it follows from the lanes and the device
    let Groups { size, lanes, shuffled: _, held, in_flight, run: _, tile, blocks, axes, beside: _ } = variant.groups;
    let [outer, inner] = axes.map(|a| a as u32);
    // each number gets enough bits for its largest value. 14 bits suffice for each of `sizes`, because the largest is
    // the length of the parameters, up to 4,096 vectors
    let per_invocation =
        variant.run << 10 | (in_flight as u32) << 7 | (tile.is_some() as u32) << 4 | outer << 2 | inner;
    let sizes = [lanes.into(), held.into(), per_invocation, variant.params];
    let blocks = blocks.map_or(0, |b| (b.side as u64) << 8 | b.tile as u64);
    k.push(blocks << 32 | size as u64);
    k.push(sizes.iter().fold(kind, |k, s| k << 14 | *s as u64));
    k.extend(mutant!(shader_key_without_tile, None, tile.map(Tile::word)));
    k.push(
        facts(variant)
            | (variant.slots.len() as u64) << 32
            | (kernel.loads.len() as u64) << 16
            | kernel.stores.len() as u64,
    );
    for s in &variant.slots {
        k.push((s.width as u64) << 16 | (s.words as u64) << 8 | s.access as u64);
    }
    // 0 means that the variant does not fetch four elements of this load
    let fetch = |n: usize| variant.fetches.get(n).map_or(0, |f| mutant!(shader_key_without_fetches, 0, 1 + *f as u64));
    for (n, (slot, load)) in variant.loads.iter().zip(&kernel.loads).enumerate() {
        k.push(fetch(n) << 16 | (*slot as u64) << 8 | load.dtype as u64);
    }
    for ((slot, mode), s) in variant.stores.iter().zip(&kernel.stores) {
        let more = (!s.is_plain() as u64) << 63;
        k.push(more | (s.value as u64) << 32 | (*slot as u64) << 16 | (*mode as u64) << 8 | s.dtype as u64);
        if !s.is_plain() {
            let scattered = s.scattered().map_or(0, |to| (to.index as u64 + 1) << 8 | to.combine as u64);
            k.push(s.condition().map_or(0, |c| (c as u64 + 1) << 32) | scattered);
        }
    }
    axes_of_factors(&mut k, kernel, variant);
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
            Op::Gather { load, position, .. } => {
                k.extend_from_slice(&[head(8, *load), position.index as u64, mode_word(position.mode)]);
            }
            Op::Position(position) => k.extend_from_slice(&[head(13, position.index), mode_word(position.mode)]),
            Op::Philox { index, word, slots } => {
                k.extend_from_slice(&[head(9, *index), *word as u64]);
                k.extend(slots.iter().map(|s| *s as u64));
            }
            Op::Reduce(r) => {
                let gives = match r.gives {
                    Gives::Result => 0,
                    Gives::Component(n) => 1 + n as u64,
                };
                let (code, args) = match &r.source {
                    Source::Elements { x, base } => (10, SmallVec::from_iter([Some(*x), *base].into_iter().flatten())),
                    Source::States(states) => (11, states.clone()),
                };
                k.extend_from_slice(&[head(code, args.len()), r.fold.id() as u64, gives << 8 | r.element as u64]);
                k.extend(args.iter().map(|a| *a as u64));
            }
            Op::Scan(r) => k.extend_from_slice(&[head(15, r.inputs()[0]), r.fold.id() as u64]),
            Op::Dot { from, part } => {
                k.push(head(12, from.map_or(0, |n| n + 1) << 1 | part.is_some_and(|p| p.of_chains) as usize))
            }
        }
    }
    k
}
