//! Floor 5: the planner, the only decider.
//!
//! `graph.rs` turns an expression into a key and an arena of nodes; `fuse.rs` decides which nodes are stored and which
//! run inside a kernel that consumes them, by the costs of `price.rs`; `lower.rs` writes one kernel's values; `shape.rs`
//! orders and collapses its dimensions, splits long reductions and cuts windows; `product.rs` has the passes of a product;
//! `join.rs` joins kernels that read the same memory; `copies.rs` has the kernels of joins and reshapes, `routines.rs`
//! the steps of a routine; `buffers.rs` places
//! temporaries. Plans are cached by their whole key.

mod buffers;
mod copies;
mod fuse;
#[warn(clippy::wildcard_enum_match_arm)]
mod graph;
mod join;
mod lower;
mod price;
mod product;
mod routines;
mod shape;

pub(crate) use fuse::Stored;
#[cfg(test)]
pub(crate) use product::passes as product_passes;

use crate::buffer::Buffer;
use crate::error::Result;
use crate::expr::{Expr, Node, NodeOp, Role};
use crate::kernel::{NumberedCaps, Plan, Step};
use crate::layout::{Layout, View};
use lru::LruCache;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

/// Where a write goes: the plan's first output is this layout of an existing buffer.
pub(crate) struct Target<'a> {
    pub buffer: &'a Buffer,
    pub layout: &'a Layout,
}

/// A plan and what it runs on.
pub(crate) struct Planned {
    pub plan: Arc<Cached>,
    /// One per plan input, with its offset; `None` where it is the target's own buffer.
    pub inputs: graph::Inputs,
    pub scalars: SmallVec<[u64; 4]>,
    /// The caller's line of each node that the plan's kernels name.
    pub lines: graph::Lines,
}

/// A plan as the cache keeps it.
pub(crate) struct Cached {
    pub plan: Plan,
    /// The plan's output for each expression asked for: equal ones share it.
    pub output_of: Vec<usize>,
    /// Whether the target may be written while its old content is read.
    pub in_place: bool,
    /// Whether a step can meet an index out of range, and whether one can after a result was written.
    pub checks: bool,
    pub checks_after_write: bool,
    /// Steps that making it took.
    pub work: u64,
}

/// Plans by their whole key. The least recently used go first.
struct Cache {
    plans: LruCache<Box<[u64]>, Arc<Cached>, BuildHasherDefault<KeyHasher>>,
    /// Words of all keys, and the most that are kept.
    words: usize,
    limit: usize,
}

/// Hashes a key by its words: quick, and the whole key is compared anyway.
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

/// Words of keys that a thread keeps, and that all threads share: 2 MiB and 32 MiB. A plan is about as large as its key.
const LOCAL_WORDS: usize = 1 << 18;
const SHARED_WORDS: usize = 1 << 22;
/// Longer keys are not worth their memory.
const LONGEST_KEY: usize = 1 << 16;

impl Cache {
    fn new(limit: usize) -> Cache {
        Cache { plans: LruCache::unbounded_with_hasher(BuildHasherDefault::default()), words: 0, limit }
    }

    fn find(&mut self, key: &[u64]) -> Option<Arc<Cached>> {
        self.plans.get(key).cloned()
    }

    fn insert(&mut self, key: &[u64], plan: &Arc<Cached>) {
        if self.plans.put(key.into(), plan.clone()).is_none() {
            self.words += key.len();
        }
        while self.words > self.limit
            && let Some((old, _)) = self.plans.pop_lru()
        {
            self.words -= old.len();
        }
    }
}

thread_local! {
    /// The first look-up takes no lock.
    static CACHE: RefCell<Cache> = RefCell::new(Cache::new(LOCAL_WORDS));
}
static SHARED_CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(|| Mutex::new(Cache::new(SHARED_WORDS)));

/// The plan of a key, if this thread or another one has made it.
fn find(key: &[u64]) -> Option<Arc<Cached>> {
    CACHE.with_borrow_mut(|c| c.find(key)).or_else(|| {
        let found = SHARED_CACHE.lock().unwrap_or_else(|e| e.into_inner()).find(key)?;
        CACHE.with_borrow_mut(|c| c.insert(key, &found));
        Some(found)
    })
}

fn keep(key: &[u64], plan: &Arc<Cached>) {
    CACHE.with_borrow_mut(|c| c.insert(key, plan));
    SHARED_CACHE.lock().unwrap_or_else(|e| e.into_inner()).insert(key, plan);
}

/// Whether `CUPRIC_DEBUG` asks for plans; read once.
fn prints_plans() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| std::env::var("CUPRIC_DEBUG").is_ok_and(|v| v.contains("plan")))
}

/// Whether a node is always computed whole, so that a view of it is a view of its result.
fn is_whole(role: Role) -> bool {
    matches!(role, Role::Product | Role::Copy | Role::Routine)
}

/// What of an expression is computed, and the view of it that the expression is: a view of a product, of joined parts, of
/// a reshaped copy or of a routine is a view of its result, which costs nothing.
pub(crate) fn computed(e: &Expr) -> (&Expr, Option<&View>) {
    match (&e.0.op, &e.0.args[..]) {
        (NodeOp::View(v), [below]) if is_whole(below.0.op.role()) => (below, Some(v)),
        _ => (e, None),
    }
}

/// Plans the evaluation of `roots` on a device, or finds the plan made before.
pub(crate) fn plan(roots: &[&Expr], target: Option<Target<'_>>, caps: &NumberedCaps) -> Result<Planned> {
    let mut graph = graph::Walk::new(roots, target.as_ref(), caps.number())?;
    let long = graph.key().len() > LONGEST_KEY;
    let plan = match find(graph.key()) {
        Some(plan) => plan,
        None => {
            if long {
                graph.forget_key();
            }
            let (arena, _) = graph.arena();
            let output_of = arena.output_of.clone();
            let (mut plan, in_place, work) = fuse::build(arena, target.as_ref().map(|t| t.layout), caps)?;
            plan.is_kept = !long;
            let written = plan.steps.iter().position(Step::writes_output).unwrap_or(plan.steps.len());
            let checks = plan.steps.iter().any(Step::checks);
            let checks_after_write = plan.steps.iter().skip(written + 1).any(Step::checks);
            let plan = Arc::new(Cached { plan, output_of, in_place, checks, checks_after_write, work });
            if !long {
                keep(graph.key(), &plan);
            }
            plan
        }
    };
    if prints_plans() {
        eprint!("{}", plan.plan);
    }
    let (inputs, scalars) = graph.bindings();
    Ok(Planned { plan, inputs, scalars, lines: graph.lines() })
}

/// The key of a plan for capabilities of number 1, for tests.
pub(crate) fn key(roots: &[&Expr]) -> Result<Vec<u64>> {
    Ok(graph::Walk::new(roots, None, 1)?.key().to_vec())
}

/// Which nodes of expressions are stored when they are evaluated together: what the interpreter in `testing` has to
/// know of a plan, since f16 and bf16 are rounded there.
pub(crate) fn stored(roots: &[&Expr], caps: &NumberedCaps) -> Result<HashMap<*const Node, Stored>> {
    let roots: Vec<&Expr> = roots.iter().map(|e| computed(e).0).collect();
    let walk = graph::Walk::new(&roots, None, caps.number())?;
    let (arena, numbers) = walk.arena();
    let stored = fuse::stored(arena, caps)?;
    let pointer = |(n, number): (&&Node, usize)| Some((std::ptr::from_ref(*n), stored[number]?));
    Ok(walk.nodes().iter().zip(numbers).filter_map(pointer).collect())
}
