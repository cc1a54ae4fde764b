//! Prepared plans, which are ready to run. For each window of each kernel, a prepared plan has the pipeline, the
//! bindings, and the parameters that are the same in every run. `prepare.rs` creates a prepared plan once;
//! `dispatch.rs` binds it to the buffers, offsets, scalars and source lines of each run.

use super::memory::DriverBuffer;
use super::pipelines::{Pipeline, WordHasher, WordMap};
use super::wgsl::{self, ParamHeader};
use crate::base::dtype::Compute;
use crate::plan::kernel::{BufferRef, ExecutionPlan, IndexMode, KernelKind, Step};
use lru::LruCache;
use smallvec::SmallVec;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// The most bytes of prepared plans that are kept: some 16,000 kernels of three operands, at about 1 KiB each. Chosen
/// by hand; no benchmark compares other values.
const KEPT_BYTES: usize = 16 << 20;

/// A buffer of a run, and the position of the array's element 0 in it, in elements from the buffer's start.
#[derive(Clone, Copy)]
pub(super) struct RunBuffer<'a> {
    pub buffer: &'a DriverBuffer,
    pub offset: i64,
}

impl RunBuffer<'_> {
    /// Returns whether the array does not begin at a multiple of four elements, or its buffer does not end with a whole
    /// vector of 16 bytes. The latter happens if the buffer took the last bytes of a device's limit. Kernels access
    /// such an array neither by vectors nor by whole words of four elements.
    pub fn is_between_vectors(&self) -> bool {
        let ends = mutant!(vectors_beyond_a_buffer, 16, self.buffer.size) % 16;
        ends != 0 || mutant!(prepared_for_another_place_in_a_vector, 0, self.offset) % 4 != 0
    }
}

/// The buffers of a run: inputs, then temporaries, then outputs.
pub(super) type RunBuffers<'a> = SmallVec<[RunBuffer<'a>; 8]>;

/// Returns the index in [`RunBuffers`] of the buffer that a kernel names.
pub(super) fn number(plan: &ExecutionPlan, named: BufferRef) -> usize {
    match named {
        BufferRef::Input(n) => n,
        BufferRef::Temp(n) => plan.inputs.len() + n,
        BufferRef::Output(n) => plan.inputs.len() + plan.temps.len() + n,
    }
}

/// A load or a store of a kernel, with the elements that one window of the kernel touches.
#[derive(Clone)]
pub(super) struct WindowOperand {
    /// The plan's name for the operand's buffer, for error messages.
    pub named: BufferRef,
    /// The index of the operand's buffer in [`RunBuffers`].
    pub buffer: usize,
    /// The size of an element in bytes.
    pub size: i64,
    /// The position of the element for the window's first index, counted from the array's element 0.
    pub offset: i64,
    /// The first and the last element that the window touches, counted from the array's element 0.
    pub span: (i64, i64),
    /// Whether the window touches any element. If not, the span is the first element of the buffer, which always
    /// exists.
    pub is_used: bool,
    /// The number of the operand's binding among the bindings of the window.
    pub binding: usize,
}

impl WindowOperand {
    /// Returns what a run adds to `offset` and `span`: the position of the array's element 0 in its buffer, or 0 if no
    /// element is used.
    pub fn shift(&self, buffers: &[RunBuffer<'_>]) -> i64 {
        if self.is_used { buffers[self.buffer].offset } else { 0 }
    }

    /// Returns the range of bytes that the operand touches, counted from the buffer's start. `shift` is the result of
    /// [`WindowOperand::shift`].
    pub fn bytes(&self, shift: i64) -> (i64, i64) {
        ((self.span.0 + shift) * self.size, (self.span.1 + shift + 1) * self.size)
    }
}

/// A window that is ready to be bound to the buffers of a run.
pub(super) struct PreparedWindow {
    pub pipeline: Arc<Pipeline>,
    /// The kernel's loads, then its stores. If several kernels run in one dispatch, the list has the loads and stores
    /// of one kernel after another.
    pub operands: Box<[WindowOperand]>,
    /// For each binding, an operand that is read or written through it. The whole buffer of that operand is bound, or,
    /// if it is larger than a binding, the range that the operand touches.
    pub bindings: SmallVec<[usize; 4]>,
    /// The header of the parameters. Each run sets the grid and the error id, which are 0 here.
    pub header: ParamHeader,
    /// The words of the parameters. Each run sets the header, the scalars and the operands' offsets, which are 0 here.
    pub words: Box<[u32]>,
    pub workgroups: u64,
    /// About how many scalar operations the window computes.
    pub operations: u64,
}

/// A gather, or another use of a checked index, and what an error about an index out of range needs.
pub(super) struct Gather {
    /// The name of the operation, such as `take`.
    pub name: &'static str,
    /// The number of the node whose source line the error names.
    pub node: usize,
    /// The type of the gather's indices.
    pub compute: Compute,
    pub mode: IndexMode,
    /// The number of valid indices: the length of the indexed axis.
    pub extent: usize,
}

/// A kernel that is ready to be bound to the buffers of a run.
pub(super) struct PreparedKernel {
    pub name: &'static str,
    /// The number of the node whose source line the kernel's errors name.
    pub node: usize,
    /// Whether this is a further pass of the previous kernel. If so, it is not counted as a kernel.
    pub continues: bool,
    /// The windows of the kernel. The list is empty if there is no element to compute, or if the kernel runs in the
    /// dispatch of an earlier kernel.
    pub windows: Vec<PreparedWindow>,
    /// The numbers of the scalars that the parameters hold, each with the position of the first of its two words.
    pub scalars: Vec<(usize, usize)>,
    /// For each kernel, the number of its operands, and the position of the word of the parameters that holds the
    /// offset of its first operand. The offsets of its other operands follow, one word each. There are several kernels
    /// if they run in one dispatch.
    pub offsets: SmallVec<[(usize, usize); 1]>,
    /// All uses of checked indices in the kernel, in the order of the kernel's values, because their error ids are
    /// counted in this order. The list is empty if no index of the kernel is checked.
    pub gathers: Vec<Gather>,
}

/// A step that is ready to be bound to the buffers of a run.
pub(super) enum PreparedStep {
    Nest(PreparedKernel),
    /// A routine or a clear. Nothing is prepared for it, because its pipelines and bind groups are in their own caches.
    AsPlanned,
}

/// A plan that is ready to be bound to the buffers of a run.
pub(super) struct PreparedPlan {
    /// The prepared steps, one for each step of the plan.
    pub steps: Vec<PreparedStep>,
    /// Whether a run that writes in place first tries everything that may fail, before the first dispatch, so that the
    /// write is done completely or not at all. A plan with one writing dispatch does not need this, because nothing can
    /// fail after it.
    pub rehearses: bool,
}

impl PreparedPlan {
    /// Returns the approximate size of the plan in bytes, for the limit of the cache.
    fn bytes(&self) -> usize {
        let window =
            |w: &PreparedWindow| size_of::<PreparedWindow>() + size_of_val(&*w.operands) + size_of_val(&*w.words);
        let step = |s: &PreparedStep| match s {
            PreparedStep::Nest(k) => k.windows.iter().map(window).sum::<usize>(),
            PreparedStep::AsPlanned => 0,
        };
        size_of::<PreparedPlan>() + self.steps.iter().map(|s| size_of::<PreparedStep>() + step(s)).sum::<usize>()
    }
}

/// A run with at most this many buffers finds equal buffers by comparing them with each other. For more buffers, it
/// uses a hash map, because the number of comparisons is quadratic.
const SEARCHED: usize = 16;

/// The key of a prepared plan: the plan's number, then the facts of a run that change what is prepared. Most runs have
/// no such facts.
pub(super) type Facts = SmallVec<[u64; 4]>;

/// Returns the facts of a run. First, which of its buffers are the same buffer, because a buffer is bound only once.
/// Second, where in a packed word an output begins, because an invocation can own a word only if it writes all elements
/// of the word. Third, for kernels that may process four elements at once, which arrays are between vectors
/// ([`RunBuffer::is_between_vectors`]).
pub(super) fn facts(plan: &ExecutionPlan, buffers: &[RunBuffer<'_>]) -> Facts {
    let mut facts = Facts::new();
    facts.push(plan.id);
    let mut last: WordMap<u64, usize> = WordMap::default();
    for (n, buffer) in buffers.iter().enumerate() {
        let id = buffer.buffer.id;
        let before = match buffers.len() <= SEARCHED {
            true => buffers[..n].iter().rposition(|b| b.buffer.id == id),
            false => last.insert(id, n),
        };
        if let Some(before) = before {
            mutant!(prepared_for_one_buffer, (), facts.push((n as u64) << 32 | before as u64));
        }
    }
    let outputs = buffers.len() - plan.outputs.len();
    for (n, (output, buffer)) in plan.outputs.iter().zip(&buffers[outputs..]).enumerate() {
        let within = (1 << wgsl::packing(output.dtype)) - 1;
        let in_word = buffer.offset & mutant!(prepared_for_another_place_in_a_word, 0, within);
        if in_word != 0 {
            facts.push(1 << 63 | (n as u64) << 8 | in_word as u64);
        }
    }
    if buffers.iter().any(RunBuffer::is_between_vectors) && plan.steps.iter().any(may_take_fours) {
        let between = buffers.iter().enumerate().filter(|(_, b)| b.is_between_vectors());
        facts.extend(between.map(|(n, _)| 1 << 62 | n as u64));
    }
    facts
}

/// Returns whether what is prepared for a step may depend on which arrays are between vectors
/// ([`RunBuffer::is_between_vectors`]). This is so if the step's invocations may process four elements each
/// (`fetches.rs`).
fn may_take_fours(step: &Step) -> bool {
    match step {
        Step::Nest(kernel) => match kernel.kind {
            KernelKind::Row => true,
            KernelKind::Elementwise if kernel.woven() > 1 => true,
            KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Matmul => {
                kernel.schedule.groups().is_some_and(|groups| groups.in_flight > 1)
            }
        },
        Step::Routine(_) | Step::Clear { .. } => false,
    }
}

/// The prepared plans that a device keeps. If they exceed `KEPT_BYTES`, the least recently used plans are dropped
/// first.
pub(super) struct PreparedPlans {
    plans: LruCache<Facts, Arc<PreparedPlan>, BuildHasherDefault<WordHasher>>,
    bytes: usize,
}

impl Default for PreparedPlans {
    fn default() -> PreparedPlans {
        PreparedPlans { plans: LruCache::unbounded_with_hasher(BuildHasherDefault::default()), bytes: 0 }
    }
}

impl PreparedPlans {
    pub fn find(&mut self, facts: &Facts) -> Option<Arc<PreparedPlan>> {
        self.plans.get(facts).cloned()
    }

    pub fn keep(&mut self, facts: Facts, plan: &Arc<PreparedPlan>) {
        self.bytes += plan.bytes();
        if let Some(old) = self.plans.put(facts, plan.clone()) {
            self.bytes -= old.bytes();
        }
        while self.bytes > KEPT_BYTES
            && let Some((_, old)) = self.plans.pop_lru()
        {
            self.bytes -= old.bytes();
        }
    }

    /// Forgets all prepared plans. Pipelines are kept.
    pub fn clear(&mut self) {
        self.plans.clear();
        self.bytes = 0;
    }
}
