//! Splits reductions that are too long for one kernel on a device. The reduced elements are cut into chunks. Kernels
//! compute a partial result of each chunk, and another kernel reduces the partial results.

use super::planner::Planner;
use crate::base::dtype::DType;
use crate::base::layout::{Shape, Strides, c_strides};
use crate::graph::ufunc::MOST_COMPONENTS;
use crate::plan::kernel::{BufferRef, Kernel, KernelKind, KernelReduction, Lanes, Load, Op, Source, Store, Value};
use smallvec::{SmallVec, smallvec};

/// The buffers for the partial results of one reduction, with their types: one for each component of the fold's state
/// (an argmin, for example, has a value and a position).
type Partials = SmallVec<[(BufferRef, DType); MOST_COMPONENTS]>;

/// Describes how a reduction is cut.
struct Split<'a> {
    k: &'a Kernel,
    /// How partial results are laid out in memory. With `Inner`, the partial results of one result are neighbours. With
    /// `Outer`, the partial results of neighbouring results for the same chunk are neighbours.
    lanes: Lanes,
    /// How many of the first inner dimensions become outer dimensions of the kernels for partial results.
    moved: usize,
    /// The length of a chunk (the elements of one partial result) along the inner dimension that follows the first
    /// `moved` ones. `chunks` is the number of chunks into which this dimension is cut.
    chunk: usize,
    chunks: usize,
    /// The number of partial results for each result.
    total: usize,
    /// For each value of the kernel, whether a reduction depends on it. The kernels for partial results compute these
    /// values.
    needed: Vec<bool>,
    reductions: Vec<usize>,
    /// For each of `reductions`, the buffers of its partial results.
    partials: Vec<Partials>,
}

/// Several consecutive chunks of a reduction, or blocks of a scan, that have the same length and are computed by one
/// kernel: the index of the first chunk (or block), the number of chunks, and the number of elements of each.
#[derive(Clone, Copy)]
pub(super) struct ChunkPart {
    pub first: usize,
    pub count: usize,
    pub length: usize,
}

/// Splits a reduction that is longer than `Caps::max_reduce` into kernels for the partial results of its chunks, and a
/// kernel that reduces the partial results. `chunk` limits the length further, for operands that span more than one
/// binding.
pub(super) fn split(p: &Planner<'_>, k: Kernel, chunk: Option<usize>) -> Vec<Kernel> {
    let KernelKind::Reduce(lanes) = k.kind else { return vec![k] };
    let limit = chunk.unwrap_or(p.caps.max_reduce[lanes as usize].max(2));
    if k.inner_size() <= limit {
        return vec![k];
    }
    // if operands are too large for a binding (`chunk` is given), store the partial results of each result next to each
    // other, so that the next kernel can be cut into windows between any two results
    let lanes = if chunk.is_some() { Lanes::Inner } else { lanes };
    let split = Split::new(p, &k, lanes, limit);
    let along = k.inner[split.moved];
    let whole = along / split.chunk;
    // the last chunk has a kernel of its own if it is shorter than the others
    let parts = [
        ChunkPart { first: 0, count: whole, length: split.chunk },
        ChunkPart { first: whole, count: split.chunks - whole, length: along - whole * split.chunk },
    ];
    let mut kernels: Vec<Kernel> =
        parts.into_iter().filter(|part| part.count > 0 && part.length > 0).map(|part| split.first_pass(part)).collect();
    kernels.extend(self::split(p, split.second_pass(), None));
    kernels
}

impl<'a> Split<'a> {
    fn new(p: &Planner<'_>, k: &'a Kernel, lanes: Lanes, limit: usize) -> Split<'a> {
        // move the first inner dimensions to the outer ones until the remaining inner dimensions, except the first of
        // them, have at most `limit` elements together
        let mut moved = 0;
        let rest = |moved: usize| k.inner[moved + 1..].iter().product::<usize>();
        while rest(moved) > limit {
            moved += 1;
        }
        let along = k.inner[moved];
        let longest = (limit / rest(moved).max(1)).clamp(1, along);
        // prefer a chunk length that divides the dimension, because it needs no kernel for a shorter last chunk; at
        // most 4,096 lengths are tried, to bound planning time
        let divides = |c: &usize| along.is_multiple_of(*c);
        let chunk = (longest.div_ceil(2)..=longest).rev().take(4096).find(divides).unwrap_or(longest);
        let chunks = along.div_ceil(chunk);
        let total = k.inner[..moved].iter().product::<usize>() * chunks;
        let is_reduction = |i: &usize| matches!(k.values[*i].op, Op::Reduce(..));
        let reductions: Vec<usize> = (0..k.values.len()).filter(is_reduction).collect();
        let needed = k.needed(reductions.iter().flat_map(|r| k.values[*r].op.operands()));
        let partial = |dtype: DType| (p.temp(k.outer_size().saturating_mul(total).saturating_mul(dtype.size())), dtype);
        let partials = |r: &usize| -> Partials {
            let Op::Reduce(r) = &k.values[*r].op else { return Partials::new() };
            let stored = |n: usize| stored_as(p.caps.max_reduce, r.fold.stored(n, r.element));
            (0..r.fold.state.len()).map(|n| partial(stored(n))).collect()
        };
        let partials = reductions.iter().map(partials).collect();
        Split { k, lanes, moved, chunk, chunks, total, needed, reductions, partials }
    }

    /// Joins the lists `outer` (an entry for each outer dimension) and `chunks` (an entry for each moved dimension and
    /// for the chunk number). With `Lanes::Outer`, `chunks` comes first, because neighbouring lanes then process
    /// neighbours along the last outer dimension.
    fn beside<T: Copy>(&self, outer: &[T], chunks: &[T]) -> SmallVec<[T; 6]>
    where
        [T; 6]: smallvec::Array<Item = T>,
    {
        let [first, second] = match self.lanes {
            Lanes::Inner => [outer, chunks],
            Lanes::Outer => mutant!(chunks_behind_columns, [outer, chunks], [chunks, outer]),
        };
        first.iter().chain(second).copied().collect()
    }

    /// Returns the kernel that computes the partial results of the chunks `part`. Its dimensions are `[outer..,
    /// moved.., chunks] × [chunk, rest..]`, or with `Lanes::Outer` `[moved.., chunks, outer..] × [chunk, rest..]`,
    /// where `moved` and `rest` are inner dimensions of the original kernel.
    fn first_pass(&self, part: ChunkPart) -> Kernel {
        let (k, moved) = (self.k, self.moved);
        let mut pass = Kernel { loads: vec![], values: vec![], stores: vec![], windows: vec![], ..k.clone() };
        let chunks: Shape = k.inner[..moved].iter().copied().chain([part.count]).collect();
        pass.outer = self.beside(&k.outer, &chunks);
        pass.inner = std::iter::once(part.length).chain(k.inner[moved + 1..].iter().copied()).collect();
        let load = |l: &Load| {
            let (strides, offset) = self.over_chunks(part, &l.strides, l.offset);
            Load { strides, offset, ..l.clone() }
        };
        pass.loads = k.loads.iter().map(load).collect();
        let mut number = vec![usize::MAX; k.values.len()];
        for (i, v) in k.values.iter().enumerate() {
            if !self.needed[i] || matches!(v.op, Op::Reduce(..)) {
                continue;
            }
            let mut v = v.clone();
            if let Op::Index { strides, offset } = &mut v.op {
                let (s, at) = self.over_chunks(part, strides, *offset as isize);
                (**strides, *offset) = (s, at as i64);
            }
            v.op.map_operands(|a| number[a]);
            number[i] = pass.push(v.op, v.dtype, v.inner);
        }
        for (r, partials) in self.reductions.iter().zip(&self.partials) {
            let mut op = k.values[*r].op.clone();
            op.map_operands(|a| number[a]);
            let Op::Reduce(r) = op else { continue };
            self.partial(&mut pass, part, &r, partials);
        }
        pass.loads = used_loads(&mut pass.values, &pass.loads);
        pass
    }

    /// Converts the strides `s` and the offset of an operand of the original kernel to the strides and the offset for
    /// the kernel of the chunks `part`, which has one more dimension for the chunk number.
    fn over_chunks(&self, part: ChunkPart, s: &Strides, offset: isize) -> (Strides, isize) {
        let outer = self.k.outer.len();
        let cut = outer + self.moved;
        let chunks: Strides = s[outer..cut].iter().copied().chain([s[cut] * self.chunk as isize]).collect();
        let mut out: Strides = self.beside(&s[..outer], &chunks);
        out.extend(s[cut..].iter().copied());
        (out, offset + s[cut] * (part.first * self.chunk) as isize)
    }

    /// Returns the strides and the offset with which the kernel of the chunks `part` stores partial results. The kernel
    /// that reduces them should read neighbours in memory with neighbouring lanes, so the stride is 1 along the chunks
    /// with `Lanes::Inner`, and along the last axis of `outer` with `Lanes::Outer`.
    fn place(&self, part: ChunkPart) -> (Strides, isize) {
        let k = self.k;
        let chunk_dims: Shape = k.inner[..self.moved].iter().copied().chain([self.chunks]).collect();
        let (c, n) = (c_strides(&chunk_dims), k.outer_size() as isize);
        let outer = c_strides(&k.outer);
        match self.lanes {
            Lanes::Inner => {
                let outer: Strides = outer.iter().map(|x| x * self.total as isize).collect();
                (self.beside(&outer, &c), part.first as isize)
            }
            Lanes::Outer => {
                let chunks: Strides = c.iter().map(|x| x * n).collect();
                (self.beside(&outer, &chunks), part.first as isize * n)
            }
        }
    }

    /// Adds the reduction `r` to `pass`, the kernel of the chunks `part`, and a store for each component of its partial
    /// results.
    fn partial(&self, pass: &mut Kernel, part: ChunkPart, r: &KernelReduction, partials: &Partials) {
        let counts = r.fold.counts() && matches!(r.source, Source::Elements { .. });
        let base = counts.then(|| self.begin(pass, part));
        for (n, (buffer, dtype)) in partials.iter().enumerate() {
            let value = pass.push(Op::Reduce(Box::new(r.component(n, base))), *dtype, false);
            let (strides, offset) = self.place(part);
            pass.stores.push(Store { buffer: *buffer, dtype: *dtype, strides, offset, value, chosen: None });
        }
    }

    /// Adds a value to `pass` that is the position of a chunk's first element among all elements of the reduction, and
    /// returns the index of this value.
    fn begin(&self, pass: &mut Kernel, part: ChunkPart) -> usize {
        let (steps, moved) = (c_strides(&self.k.inner), self.moved);
        let outer: Strides = smallvec![0; self.k.outer.len()];
        let chunks: Strides = steps[..moved].iter().copied().chain([steps[moved] * self.chunk as isize]).collect();
        let mut strides: Strides = self.beside(&outer, &chunks);
        strides.extend(std::iter::repeat_n(0, pass.inner.len()));
        let first = mutant!(last_chunk_counts_from_0, 0, part.first * self.chunk);
        let offset = steps[moved] as i64 * first as i64;
        pass.push(Op::Index { strides: Box::new(strides), offset }, DType::I32, false)
    }

    /// Returns the kernel that reduces the partial results, and then computes and stores the values of the original
    /// kernel that do not vary along `inner`.
    fn second_pass(&self) -> Kernel {
        let (k, o) = (self.k, self.k.outer.len());
        let kind = KernelKind::Reduce(self.lanes);
        let mut last =
            Kernel { kind, inner: smallvec![self.total], loads: vec![], values: vec![], windows: vec![], ..k.clone() };
        for l in &k.loads {
            let mut strides: Strides = l.strides[..o].into();
            strides.push(0);
            last.loads.push(Load { strides, ..l.clone() });
        }
        let mut number = vec![usize::MAX; k.values.len()];
        for (i, v) in k.values.iter().enumerate().filter(|(_, v)| !v.inner) {
            let mut op = v.op.clone();
            if let Op::Reduce(r) = &op {
                let partials = &self.partials[self.reductions.iter().position(|r| *r == i).unwrap_or(0)];
                op = self.total_of(&mut last, r, partials);
            } else if let Op::Index { strides, .. } = &mut op {
                strides.truncate(o);
                strides.push(0);
            } else {
                op.map_operands(|a| number[a]);
            }
            number[i] = last.push(op, v.dtype, false);
        }
        for s in &mut last.stores {
            s.map_operands(|v| number[v]);
        }
        last.loads = used_loads(&mut last.values, &last.loads);
        last
    }

    /// Returns the operation that computes the result of the reduction `r` from its partial results. Adds the loads of
    /// the partial results to the kernel `last`.
    fn total_of(&self, last: &mut Kernel, r: &KernelReduction, partials: &Partials) -> Op {
        let outer = c_strides(&self.k.outer);
        let (stride, outer_scale) = match self.lanes {
            Lanes::Inner => (1, self.total as isize),
            Lanes::Outer => (self.k.outer_size() as isize, 1),
        };
        let mut states: SmallVec<[usize; MOST_COMPONENTS]> = smallvec![];
        for (buffer, dtype) in partials.iter().copied() {
            let along = mutant!(first_of_a_later_component, if states.is_empty() { stride } else { 0 }, stride);
            let strides = outer.iter().map(|x| x * outer_scale).chain([along]).collect();
            last.loads.push(Load { buffer, dtype, strides, offset: 0 });
            states.push(last.push(Op::Load(last.loads.len() - 1), dtype, true));
        }
        Op::Reduce(Box::new(r.of_states(&states)))
    }
}

/// Returns the type in which partial results are stored. Partial results of f16 and bf16 are stored as f32, so that
/// only the result is rounded.
fn stored_as(_most: [usize; 2], dtype: DType) -> DType {
    let kept = mutant!(half_accumulation, true, mutant!(half_accumulation_on_gpu, _most[1] < usize::MAX, false));
    if dtype.is_half() && !kept { DType::F32 } else { dtype }
}

/// Returns the loads that `values` use, and changes the load indices in `values` accordingly. An unused load would
/// occupy a binding.
pub(super) fn used_loads(values: &mut [Value], loads: &[Load]) -> Vec<Load> {
    let mut out = vec![];
    let mut number = vec![usize::MAX; loads.len()];
    for v in values {
        let Some(n) = v.op.load_mut() else { continue };
        if number[*n] == usize::MAX {
            number[*n] = out.len();
            out.push(loads[*n].clone());
        }
        *n = number[*n];
    }
    out
}
