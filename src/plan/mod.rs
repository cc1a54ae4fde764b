//! Floor 2: the planner, which turns expressions into plans (lists of kernels), and the cache of plans.
//!
//! * `graph.rs` turns an expression into the key of its plan (`key.rs`) and into the planner's list of nodes.
//!   `merge.rs` merges equal nodes. `order.rs` orders the nodes of a graph with checkpoints. `traced.rs` handles the
//!   random seeds of compiled functions, and `lines.rs` the source lines for errors.
//! * `fuse.rs` decides which nodes are stored and which run inside a kernel that reads them, by the facts in
//!   `planner.rs`, the steps in `making.rs` and the costs in `price.rs`. `weigh.rs` stores nodes that would be computed
//!   too often.
//! * `space.rs` finds the index space of a kernel, and `lower/` creates the kernel's values. `shape.rs` orders and
//!   collapses the kernel's dimensions and cuts windows.
//! * `sums.rs` replaces some folds by plain sums, `split.rs` cuts long reductions, `scan.rs` long scans, `chains.rs` and `product.rs` matrix products, `indexed.rs`
//!   axes with computed indices, and `boxes.rs` kernels that read concatenations. `axes.rs` lets products read sliding
//!   windows without a copy.
//! * `copies.rs` creates the kernels of `concat` and of reshapes, `scatter.rs` the kernels of scatters, and
//!   `routines.rs` the steps of a routine.
//! * `join.rs` merges kernels that read the same memory. `hoist.rs` moves the steps of a concatenation's parts.
//!   `buffers.rs` assigns buffers to temporaries, and `schedule/` maps each kernel to the hardware.
//! * Plans are cached under their whole key. `recent.rs` finds the latest plans of a thread without computing a key.
//!
//! Words that the comments of this folder use:
//!
//! * *Node*: an operation of the expression graph. A *stored* node has its value written to memory. All other nodes are
//!   computed inside the kernels that read them.
//! * *Step*: one item of a plan: a kernel, the call of a routine, or a clear. The *stage* of a stored node is all the
//!   steps that compute it.
//! * *Nest*: a kernel, which is one loop nest. Its index *space* is `outer × inner`: the inner loops belong to a
//!   reduction, a scan or a product. A *row* is all inner indices of one outer index.
//! * *Value*: the result of one operation of a kernel. An outer value has one element per outer index, and an inner
//!   value has one per index of `outer × inner`. This is the value's *level*.
//! * *Prologue* and *epilogue*: the operations of a kernel before its reduction, and on its result.
//! * *Map*: an affine function from an index of a kernel to the index of a node's element ([`View`]).
//! * *Pass*: one of several kernels that count as one, because together they compute what one kernel would compute.
//! * *Binding*: the part of a buffer that one GPU dispatch can access. Its size is limited, so a kernel with larger
//!   operands runs in several *windows*, which are parts of its index space.
//! * *Target*: the existing array into which a write stores its result.

pub(crate) mod backend;
pub(crate) mod debug;
pub(crate) mod kernel;

mod axes;
mod boxes;
mod buffers;
mod chains;
mod copies;
mod epilogue;
mod fuse;
mod graph;
mod hoist;
mod indexed;
mod join;
mod key;
mod lines;
mod lower;
mod making;
mod merge;
mod order;
mod planner;
mod price;
mod product;
mod recent;
mod routines;
mod scan;
mod scatter;
mod schedule;
mod shape;
mod space;
mod split;
mod sums;
mod traced;
mod weigh;

pub(crate) use fuse::{Stored, Writing};
pub(crate) use graph::Walk;
pub(crate) use price::lacking_type;
#[cfg(feature = "testing")]
pub(crate) use product::passes as product_passes;
pub(crate) use recent::Found;
#[cfg(any(feature = "testing", feature = "gpu"))]
pub(crate) use schedule::schedule_nest;
pub(crate) use traced::{Seeds, without_elements};

use crate::base::buffer::Buffer;
use crate::base::error::Result;
use crate::base::heap::{Heap, block};
use crate::base::layout::{Layout, View};
use crate::graph::expr::{Expr, Node, NodeOp, Role};
use crate::plan::backend::SourceLines;
use crate::plan::kernel::{ExecutionPlan, Kept, NumberedCaps, Step};
use lru::LruCache;
use recent::Recent;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};

/// The destination of a write to an existing array. The plan writes its first output to `buffer`, at the elements that
/// `layout` describes.
pub(crate) struct Target<'a> {
    pub buffer: &'a Buffer,
    pub layout: &'a Layout,
}

/// A cached plan. The content is boxed, because a thread's table may hold a `Weak` pointer to a plan that was dropped.
/// Such a pointer keeps only the box's pointer allocated, not the content.
pub(crate) struct CachedPlan(Box<Cached>);

pub(crate) struct Cached {
    key: Arc<[u64]>,
    /// Whether a thread has found the plan in its own table ([`Local`]) since [`make_room`] last cleared this flag.
    was_found: AtomicBool,
    /// Whether [`make_room`] has dropped the plan from the cache. Then a thread also drops the plan from its table of
    /// recent plans when it next finds the plan there.
    is_evicted: AtomicBool,
    pub plan: ExecutionPlan,
    /// For each requested expression, the index of the plan output that is its result. Equal expressions share an
    /// output.
    pub output_of: Vec<usize>,
    /// How the plan may write the existing array to which its first output goes, if it has such a target.
    pub writing: Writing,
    /// Whether a run of the plan could fail after it has written a part of a result, because a later step meets an
    /// out-of-bounds index or an element that a routine rejects. Then a write to an existing array first computes the
    /// result in separate memory. On a device that reports such errors late, this is true if any step can fail.
    pub may_fail_half_done: bool,
    /// The number of nodes and values that planning looked at. Tests check that it grows linearly with the graph.
    pub work: u64,
}

impl CachedPlan {
    fn note_found(&self) {
        // do not store if the flag is set already, because a store would remove the cache line from the caches of other
        // cores
        if !self.was_found.load(Relaxed) {
            self.was_found.store(true, Relaxed);
        }
    }
}

impl Deref for CachedPlan {
    type Target = Cached;
    fn deref(&self) -> &Cached {
        &self.0
    }
}

/// The cached plans of all threads. The key of the map is the plan's whole key. [`make_room`] drops the least recently
/// used ones.
type Shared = LruCache<Arc<[u64]>, Arc<CachedPlan>, BuildHasherDefault<KeyHasher>>;

/// A hash map of the planner. Its keys are numbers and nodes of one graph, so [`KeyHasher`] serves as for plans. Its
/// order is the same in each process.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Hashes a key word by word (FxHash, the hash function of rustc). It need not resist attackers, because a lookup
/// compares the whole key: a collision costs time but never returns a wrong plan.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl std::hash::Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        // a hash table selects its slot by the low bits, but the best mixed bits of a product are the high ones
        self.0.rotate_left(26)
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.write_u64(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        if !words.remainder().is_empty() {
            self.write_u64(words.remainder().iter().fold(0, |word, byte| word << 8 | *byte as u64));
        }
    }
    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.write_u64(n as u64);
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n as u64);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// The maximum total size of all plans in bytes, including what a CPU has prepared for them and the tables of all
/// threads. The actual total stays below 64 MiB, which leaves a margin for the plan that is being made. 54 MiB hold
/// more than 20,000 plans of usual size, more than any training step has.
const MOST_BYTES: usize = 54 << 20;
/// The size of a plan's entry in the shared cache in bytes, estimated for a half-empty table.
const ENTRY: usize = 128;
/// The length of the longest key that is cached, in words of 8 bytes: 2 MiB, so that one graph does not evict most
/// plans. A graph with such a key has about 20,000 nodes: the derivatives of some 150 transformer blocks.
const LONGEST_KEY: usize = 1 << 18;
/// The size in bytes of the largest plan that is cached. Planning takes so long that even a plan that fills a large
/// part of the cache is worth keeping.
const LARGEST: usize = MOST_BYTES / 2;

/// The number of slots of a thread's table: about ten times the number of plans of one training step.
const PLACES: usize = 2048;
/// The size in bytes of one thread's table: its slots, and for each slot the allocation that a `Weak` pointer keeps of
/// a dropped plan. The size includes the descriptions of `recent.rs`.
const TABLE: usize = PLACES
    * (size_of::<(u64, Weak<CachedPlan>)>() + block(2 * size_of::<usize>() + size_of::<CachedPlan>()))
    + recent::SLOTS * block(recent::BYTES);
/// The number of threads that have a table.
static TABLES: AtomicUsize = AtomicUsize::new(0);

/// The plans that one thread has used. The hash of a plan's key selects its slot in `places`, where the plan stays
/// until another plan needs the slot. So a lookup reads one slot and writes nothing. The table holds `Weak` pointers,
/// which do not keep plans alive.
struct Local {
    /// Empty until the first plan is inserted.
    places: Vec<(u64, Weak<CachedPlan>)>,
    /// The plans that the thread has used last, with descriptions of their expressions (`recent.rs`). Empty until the
    /// first plan is inserted.
    recent: Vec<Option<Box<Recent>>>,
}

impl Local {
    fn find(&self, hash: u64, key: &[u64]) -> Option<Arc<CachedPlan>> {
        let (own, plan) = self.places.get(hash as usize % PLACES)?;
        let plan = if *own == hash { plan.upgrade()? } else { return None };
        if *plan.key != *key {
            return None;
        }
        plan.note_found();
        Some(plan)
    }

    fn insert(&mut self, hash: u64, plan: &Arc<CachedPlan>) {
        if self.places.is_empty() {
            // the tables of very many threads would leave no memory for plans, so further threads use only the shared
            // cache
            if TABLES.fetch_add(1, Relaxed) >= MOST_BYTES / 2 / TABLE {
                TABLES.fetch_sub(1, Relaxed);
                return;
            }
            self.places.resize(PLACES, (0, Weak::new()));
            self.recent.resize_with(recent::SLOTS, || None);
        }
        self.places[hash as usize % PLACES] = (hash, Arc::downgrade(plan));
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        TABLES.fetch_sub(!self.places.is_empty() as usize, Relaxed);
    }
}

/// Returns the hash of a key for a thread's table. The hash needs one multiplication per two words, and two independent
/// chains of multiplications run in parallel. The factors are the fractional parts of the golden ratio and of the
/// square root of 2. Any odd numbers without a pattern would do.
fn hash_of(key: &[u64]) -> u64 {
    fn mix(a: u64, b: u64) -> u64 {
        let product = a as u128 * b as u128;
        product as u64 ^ (product >> 64) as u64
    }
    const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909];
    let mut sums = [key.len() as u64, !(key.len() as u64)];
    let mut fours = key.chunks_exact(4);
    for four in &mut fours {
        sums[0] = mix(sums[0] ^ four[0], four[1] ^ FACTORS[0]);
        sums[1] = mix(sums[1] ^ four[2], four[3] ^ FACTORS[1]);
    }
    for word in fours.remainder() {
        sums[0] = mix(sums[0] ^ word, FACTORS[0]);
    }
    mix(sums[0] ^ FACTORS[1], sums[1] ^ FACTORS[0])
}

thread_local! {
    static LOCAL: RefCell<Local> = const { RefCell::new(Local { places: Vec::new(), recent: Vec::new() }) };
}
static SHARED: LazyLock<Mutex<Shared>> =
    LazyLock::new(|| Mutex::new(LruCache::unbounded_with_hasher(BuildHasherDefault::default())));

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(|e| e.into_inner())
}

/// Stores a plan in this thread's table ([`Local`]). Does nothing if the table is already dropped, because a
/// terminating thread may still evaluate expressions after that.
fn keep_here(hash: u64, plan: &Arc<CachedPlan>) {
    let _ = LOCAL.try_with(|c| c.borrow_mut().insert(hash, plan));
}

/// Returns the plan of a key if this thread or another one has made it.
fn find(hash: u64, key: &[u64]) -> Option<Arc<CachedPlan>> {
    LOCAL.try_with(|c| c.borrow().find(hash, key)).ok().flatten().or_else(|| {
        let found = shared().get(key).cloned()?;
        keep_here(hash, &found);
        Some(found)
    })
}

/// Stores a plan in the caches. Its key and its lists occupy `bytes` bytes.
fn keep(hash: u64, plan: &Arc<CachedPlan>, bytes: usize) {
    plan.plan.kept.count(bytes + block(size_of::<Cached>()) + plan.output_of.heap() + ENTRY);
    keep_here(hash, plan);
    shared().put(plan.key.clone(), plan.clone());
    make_room();
}

/// Drops plans until the rest fits into [`MOST_BYTES`]. Plans that no thread has found for the longest time go first.
pub(crate) fn make_room() {
    let room = MOST_BYTES.saturating_sub(TABLES.load(Relaxed) * TABLE);
    if Kept::taken() <= room {
        return;
    }
    let mut shared = shared();
    while Kept::taken() > room
        && let Some((key, plan)) = shared.pop_lru()
    {
        if plan.was_found.swap(false, Relaxed) {
            shared.put(key, plan);
        } else {
            plan.is_evicted.store(true, Relaxed);
        }
    }
}

/// Returns whether a node of this role is always stored completely. A view of such a node needs no kernel, because it
/// can be a view of the stored array.
fn is_whole(role: Role) -> bool {
    matches!(role, Role::Product | Role::Whole)
}

/// Returns the expression to compute for `e`, usually `e` itself. If `e` is a view of a node that is always stored
/// completely, returns that node and the view, which the caller must apply to the result.
#[inline]
pub(crate) fn computed(e: &Expr) -> (&Expr, Option<&View>) {
    match (&e.0.op, e.0.args.as_slice()) {
        (NodeOp::View(v), [below]) if is_whole(below.0.op.role()) => (below, Some(v)),
        _ => (e, None),
    }
}

/// Returns the plan that evaluates `roots` on a device with these capabilities, from the cache or newly made. Fills
/// `walk` with the bindings of this evaluation.
pub(crate) fn plan<'a>(
    walk: &mut Walk<'a>,
    roots: &[&'a Expr],
    target: Option<Target<'_>>,
    caps: &NumberedCaps,
) -> Result<Arc<CachedPlan>> {
    walk.take(roots, target.as_ref(), caps.number())?;
    let key = walk.key();
    let hash = hash_of(key);
    let plan = match find(hash, key) {
        Some(plan) => {
            keep_recent(walk, roots, target.as_ref(), caps, &plan);
            plan
        }
        None => make(walk, hash, target, caps)?,
    };
    show(&plan, walk);
    Ok(plan)
}

/// Calls `run` with the plan of the roots and with the bindings of this evaluation, if this thread has recently used
/// the plan for an expression from the same source line. Otherwise returns `None`, and the caller calls [`plan`].
///
/// The plan is taken out of the thread's table and put back after `run`, so that no reference is counted.
#[inline(always)]
pub(crate) fn with_recent<'a, T>(
    roots: &[&'a Expr],
    target: Option<&Target<'_>>,
    caps: &NumberedCaps,
    run: impl FnOnce(&Arc<CachedPlan>, &Found<'a>) -> T,
) -> Option<T> {
    let (mut found, slot) = (Found::new(), recent::slot(roots));
    let recent = recent(&mut found, slot, roots, target, caps)?;
    let result = run(&recent.plan, &found);
    let put_back = |local: &RefCell<Local>| {
        if let Some(place) = local.borrow_mut().recent.get_mut(slot) {
            *place = Some(recent);
        }
    };
    let _ = LOCAL.try_with(put_back);
    Some(result)
}

fn recent<'a>(
    found: &mut Found<'a>,
    slot: usize,
    roots: &[&'a Expr],
    target: Option<&Target<'_>>,
    caps: &NumberedCaps,
) -> Option<Box<Recent>> {
    let take = |local: &RefCell<Local>| {
        let mut local = local.borrow_mut();
        let place = local.recent.get_mut(slot)?;
        match place.as_ref()?.find(found, roots, target, caps.number()) {
            Some(()) => place.take(),
            None => None,
        }
    };
    let recent = LOCAL.try_with(take).ok().flatten()?;
    if recent.plan.is_evicted.load(Relaxed) {
        return None;
    }
    recent.plan.note_found();
    show(&recent.plan, found);
    Some(recent)
}

/// Prints a plan with its source lines if the environment variable `CUPRIC_DEBUG` asks for plans.
fn show(plan: &CachedPlan, lines: &dyn SourceLines) {
    if debug::asks(debug::Word::Plan) {
        let line = |step| plan.plan.node_of(step).and_then(|node| lines.of(node));
        debug::show(debug::Word::Plan, &plan.plan.with_lines(&line));
    }
}

/// Stores a plan that was found by its key in this thread's table of recent plans, so that [`with_recent`] finds it
/// next time.
fn keep_recent(
    walk: &Walk<'_>,
    roots: &[&Expr],
    target: Option<&Target<'_>>,
    caps: &NumberedCaps,
    plan: &Arc<CachedPlan>,
) {
    if let Some(recent) = Recent::new(walk, target, caps.number(), plan) {
        let keep = |local: &RefCell<Local>| {
            if let Some(slot) = local.borrow_mut().recent.get_mut(recent::slot(roots)) {
                *slot = Some(recent);
            }
        };
        let _ = LOCAL.try_with(keep);
    }
}

/// Makes the plan of the expression that `walk` has visited, and caches it unless its key or the plan itself is too
/// large.
#[cold]
fn make(walk: &mut Walk<'_>, hash: u64, target: Option<Target<'_>>, caps: &NumberedCaps) -> Result<Arc<CachedPlan>> {
    let long = walk.key().len() > LONGEST_KEY;
    if long {
        walk.forget_key();
    }
    let (arena, _) = walk.arena();
    let output_of = arena.output_of.clone();
    let built = fuse::build(arena, target.as_ref().map(|t| t.layout), caps);
    let (mut plan, writing, work) = built.map_err(|e| walk.blame(e))?;
    let bytes = plan.heap() + block(8 * walk.key().len());
    plan.is_kept = !long && bytes <= LARGEST;
    let written = plan.steps.iter().position(Step::writes_output).unwrap_or(plan.steps.len());
    let safe = if mutant!(late_index_in_place, false, caps.reports_late) { 0 } else { written + 1 };
    let may_fail_half_done = plan.steps.iter().skip(safe).any(Step::checks);
    let is_kept = plan.is_kept;
    let key = if is_kept { walk.key().into() } else { [].into() };
    let (was_found, is_evicted) = (AtomicBool::new(false), AtomicBool::new(false));
    let cached = Cached { key, was_found, is_evicted, plan, output_of, writing, may_fail_half_done, work };
    let plan = Arc::new(CachedPlan(Box::new(cached)));
    if is_kept {
        keep(hash, &plan, bytes);
    }
    Ok(plan)
}

/// Returns the key under which the plan of `roots` is cached. Only tests call this. A key begins with the number of the
/// device's capabilities, for which this uses 1 on every device.
pub(crate) fn key(roots: &[&Expr]) -> Result<Vec<u64>> {
    let mut walk = Walk::default();
    walk.take(roots, None, 1)?;
    Ok(walk.key().to_vec())
}

/// Returns the modelled times, in nanoseconds, of an expression's plan and of the plan that stores only what must be
/// stored.
#[cfg(feature = "testing")]
pub(crate) fn modelled_times(root: &Expr, caps: &NumberedCaps) -> Result<[f64; 2]> {
    let mut walk = Walk::default();
    walk.take(&[computed(root).0], None, caps.number())?;
    fuse::modelled_times(walk.arena().0, caps)
}

/// Returns the nodes that the plan stores when the expressions are evaluated together, and for each of them whether all
/// its readers load it or only some. The interpreter in `testing` needs this, because f16 and bf16 are rounded when
/// they are stored.
pub(crate) fn stored(roots: &[&Expr], caps: &NumberedCaps) -> Result<HashMap<*const Node, Stored>> {
    let roots: Vec<&Expr> = roots.iter().map(|e| computed(e).0).collect();
    let mut walk = Walk::default();
    walk.take(&roots, None, caps.number())?;
    let (arena, numbers) = walk.arena();
    let stored = fuse::stored(arena, caps)?;
    let pointer = |(n, number): (&&Node, usize)| Some((std::ptr::from_ref(*n), stored[number]?));
    Ok(walk.nodes().iter().zip(numbers).filter_map(pointer).collect())
}
