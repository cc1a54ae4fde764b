//! Floor 5: the planner, which decides what runs, and the cache of plans.
//!
//! `graph.rs` turns an expression into a key and an arena of nodes; `fuse.rs` decides which nodes are stored and which run
//! inside a kernel that reads them, by what `planner.rs` knows of the graph and the costs of `price.rs`; `space.rs` finds the
//! index space of a kernel, `lower.rs` writes its values; `shape.rs` orders and collapses its dimensions and cuts windows;
//! `split.rs` cuts long reductions, `scan.rs` long scans; `chains.rs` and `product.rs` have the passes of a product; `indexed.rs` cuts axes
//! along which kernels gather or scatter into windows; `boxes.rs` cuts kernels that read concatenations in parts; `join.rs` merges kernels that read the same memory; `copies.rs` has the
//! kernels of `concat` and of reshapes, `scatter.rs` those of scatters, `routines.rs` the steps of a routine; `buffers.rs`
//! gives temporaries their buffers; `schedule.rs` says how each nest uses the hardware. Plans are cached by their whole key.

mod boxes;
mod buffers;
mod chains;
mod copies;
mod fuse;
mod graph;
mod indexed;
mod join;
mod lower;
mod planner;
mod price;
mod product;
mod routines;
mod scan;
mod scatter;
mod schedule;
mod shape;
mod space;
mod split;
mod weigh;

pub(crate) use fuse::{Stored, Writing};
pub(crate) use graph::Walk;
pub(crate) use price::lacking_type;
#[cfg(feature = "testing")]
pub(crate) use product::passes as product_passes;
#[cfg(any(feature = "testing", feature = "gpu"))]
pub(crate) use schedule::schedule_nest;

use crate::backend::Lines;
use crate::buffer::Buffer;
use crate::debug;
use crate::error::Result;
use crate::expr::{Expr, Node, NodeOp, Role};
use crate::kernel::{NumberedCaps, Plan, Step};
use crate::layout::{Layout, View};
use lru::LruCache;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, LazyLock, Mutex};

/// Where a write goes: the plan's first output is this layout of an existing buffer.
pub(crate) struct Target<'a> {
    pub buffer: &'a Buffer,
    pub layout: &'a Layout,
}

/// A plan as the cache keeps it.
pub(crate) struct CachedPlan {
    pub plan: Plan,
    /// For each expression asked for, the number of the plan's output that is its result; equal expressions share one.
    pub output_of: Vec<usize>,
    /// How the target may be written.
    pub writing: Writing,
    /// Whether a step after the first that writes a result can fail, because it meets an index out of range or an element that
    /// a routine refuses; a step itself checks before it writes. On a device that reports these late: whether any step can
    /// fail. A write with such a plan could fail half done, so its value is computed beside the target first.
    pub may_fail_half_done: bool,
    /// Counts the nodes and values that planning looked at. Tests check that the count grows linearly with the graph.
    pub work: u64,
}

/// The plans of all threads by their whole key. When the keys take more than [`SHARED_WORDS`], the least recently used plans are
/// dropped.
struct Shared {
    plans: LruCache<Box<[u64]>, Arc<CachedPlan>, BuildHasherDefault<KeyHasher>>,
    /// Words of all keys in the cache.
    words: usize,
}

/// Hashes a key word by word (FxHash, rustc's own hash function). It need not resist an attacker: a look-up compares the whole
/// key, so a collision costs time and never a wrong plan.
#[derive(Default)]
struct KeyHasher(u64);

impl std::hash::Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks_exact(8) {
            self.write_u64(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
    }
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(5) ^ n).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

/// The most words of keys in the cache of a thread (2 MiB) and in the one that all threads share (32 MiB). A plan takes about
/// as much memory as its key. A judgement: some 2,000 plans of ten nodes a thread, more than one training step has.
const LOCAL_WORDS: usize = 1 << 18;
const SHARED_WORDS: usize = 1 << 22;
/// The words of the longest key that is kept: half a MiB, a quarter of a thread's cache, so that one graph does not evict most
/// plans. A judgement: a graph of so many nodes (some 5,000) runs so long that planning it again matters little.
const LONGEST_KEY: usize = 1 << 16;

impl Shared {
    fn insert(&mut self, key: &[u64], plan: &Arc<CachedPlan>) {
        if self.plans.put(key.into(), plan.clone()).is_none() {
            self.words += key.len();
        }
        while self.words > SHARED_WORDS
            && let Some((old, _)) = self.plans.pop_lru()
        {
            self.words -= old.len();
        }
    }
}

/// The places of a thread's table. A judgement: some ten times as many as the plans of one training step.
const PLACES: usize = 2048;

/// The plans that a thread has used. A key's hash names its place, where the plan stays until another one needs the place, so a
/// look-up touches one place and changes nothing. When the keys take more than [`LOCAL_WORDS`], the table is emptied.
struct Local {
    /// Empty before the first plan.
    places: Vec<Option<Kept>>,
    words: usize,
}

/// A plan in its place.
struct Kept {
    hash: u64,
    key: Box<[u64]>,
    plan: Arc<CachedPlan>,
}

impl Local {
    fn find(&self, hash: u64, key: &[u64]) -> Option<Arc<CachedPlan>> {
        let kept = self.places.get(hash as usize % PLACES)?.as_ref()?;
        (kept.hash == hash && *kept.key == *key).then(|| kept.plan.clone())
    }

    fn insert(&mut self, hash: u64, key: &[u64], plan: &Arc<CachedPlan>) {
        if self.words + key.len() > LOCAL_WORDS {
            self.places.clear();
            self.words = 0;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let kept = Kept { hash, key: key.into(), plan: plan.clone() };
        self.words += key.len();
        if let Some(old) = self.places[hash as usize % PLACES].replace(kept) {
            self.words -= old.key.len();
        }
    }
}

/// Returns the hash of a key for the table of a thread. Two words take one multiplication, and two chains of multiplications run
/// side by side. The factors are the fractions of the golden ratio and of the square root of 2; any odd numbers without a pattern
/// would do.
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
    static LOCAL: RefCell<Local> = const { RefCell::new(Local { places: Vec::new(), words: 0 }) };
}
static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(|| {
    Mutex::new(Shared { plans: LruCache::unbounded_with_hasher(BuildHasherDefault::default()), words: 0 })
});

/// Keeps a plan in the table of this thread, if the thread still has one: a thread that ends may evaluate once more.
fn keep_here(hash: u64, key: &[u64], plan: &Arc<CachedPlan>) {
    let _ = LOCAL.try_with(|c| c.borrow_mut().insert(hash, key, plan));
}

/// The plan of a key, if this thread or another one has made it.
fn find(hash: u64, key: &[u64]) -> Option<Arc<CachedPlan>> {
    LOCAL.try_with(|c| c.borrow().find(hash, key)).ok().flatten().or_else(|| {
        let found = SHARED.lock().unwrap_or_else(|e| e.into_inner()).plans.get(key).cloned()?;
        keep_here(hash, key, &found);
        Some(found)
    })
}

fn keep(hash: u64, key: &[u64], plan: &Arc<CachedPlan>) {
    keep_here(hash, key, plan);
    SHARED.lock().unwrap_or_else(|e| e.into_inner()).insert(key, plan);
}

/// Whether a node is always stored whole, so that a view of it is a view of the stored array and needs no kernel.
fn is_whole(role: Role) -> bool {
    matches!(role, Role::Product | Role::Whole)
}

/// Returns the expression to compute and, if `e` is a view of a node that is always stored whole, that view, which its result
/// is shown through.
pub(crate) fn computed(e: &Expr) -> (&Expr, Option<&View>) {
    match (&e.0.op, &e.0.args[..]) {
        (NodeOp::View(v), [below]) if is_whole(below.0.op.role()) => (below, Some(v)),
        _ => (e, None),
    }
}

/// The plan that evaluates `roots` on a device of these capabilities: from the cache, or made now. Fills `walk`, which the caller
/// has made, with what this evaluation binds to the plan.
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
        Some(plan) => plan,
        None => make(walk, hash, target, caps)?,
    };
    if debug::asks(debug::Word::Plan) {
        let line = |step| plan.plan.node_of(step).and_then(|node| walk.of(node));
        debug::show(debug::Word::Plan, &plan.plan.with_lines(&line));
    }
    Ok(plan)
}

/// Makes the plan of expressions that are evaluated once: it is neither looked up nor kept. Also returns, for each expression, the
/// number of the plan's output that is its result. No expression may be a view.
#[cfg(feature = "gpu")]
pub(crate) fn plan_once<'a>(
    walk: &mut Walk<'a>,
    roots: &[&'a Expr],
    caps: &NumberedCaps,
) -> Result<(Plan, Vec<usize>)> {
    walk.take(roots, None, caps.number())?;
    let (arena, _) = walk.arena();
    let output_of = arena.output_of.clone();
    let (mut plan, ..) = fuse::build(arena, None, caps)?;
    plan.is_kept = false;
    Ok((plan, output_of))
}

/// Makes the plan of an expression, and keeps it unless its key is too long.
#[cold]
fn make(walk: &mut Walk<'_>, hash: u64, target: Option<Target<'_>>, caps: &NumberedCaps) -> Result<Arc<CachedPlan>> {
    let long = walk.key().len() > LONGEST_KEY;
    if long {
        walk.forget_key();
    }
    let (arena, _) = walk.arena();
    let output_of = arena.output_of.clone();
    let (mut plan, writing, work) = fuse::build(arena, target.as_ref().map(|t| t.layout), caps)?;
    plan.is_kept = !long;
    let written = plan.steps.iter().position(Step::writes_output).unwrap_or(plan.steps.len());
    let safe = if mutant!(late_index_in_place, false, caps.reports_late) { 0 } else { written + 1 };
    let may_fail_half_done = plan.steps.iter().skip(safe).any(Step::checks);
    let plan = Arc::new(CachedPlan { plan, output_of, writing, may_fail_half_done, work });
    if !long {
        keep(hash, walk.key(), &plan);
    }
    Ok(plan)
}

/// Returns the key under which the plan of `roots` is cached. Only tests ask, so the number of the device's capabilities, which
/// begins a key, is any: 1.
pub(crate) fn key(roots: &[&Expr]) -> Result<Vec<u64>> {
    let mut walk = Walk::default();
    walk.take(roots, None, 1)?;
    Ok(walk.key().to_vec())
}

/// Returns the modelled times, in nanoseconds, of an expression's plan and of the one in which only what must be is stored.
#[cfg(feature = "testing")]
pub(crate) fn modelled_times(root: &Expr, caps: &NumberedCaps) -> Result<[f64; 2]> {
    let mut walk = Walk::default();
    walk.take(&[computed(root).0], None, caps.number())?;
    fuse::modelled_times(walk.arena().0, caps)
}

/// Returns which nodes are stored when the expressions are evaluated together, and for which readers. The interpreter in
/// `testing` asks, because stores are where f16 and bf16 are rounded.
pub(crate) fn stored(roots: &[&Expr], caps: &NumberedCaps) -> Result<HashMap<*const Node, Stored>> {
    let roots: Vec<&Expr> = roots.iter().map(|e| computed(e).0).collect();
    let mut walk = Walk::default();
    walk.take(&roots, None, caps.number())?;
    let (arena, numbers) = walk.arena();
    let stored = fuse::stored(arena, caps)?;
    let pointer = |(n, number): (&&Node, usize)| Some((std::ptr::from_ref(*n), stored[number]?));
    Ok(walk.nodes().iter().zip(numbers).filter_map(pointer).collect())
}
