//! Floor 5: the planner, the only decider.
//!
//! `graph.rs` turns an expression into a key and an arena of nodes; `fuse.rs` decides which nodes are stored and which
//! run inside a kernel that consumes them, by the costs of `price.rs`; `lower.rs` writes one kernel's values; `shape.rs`
//! orders and collapses its dimensions, splits long reductions and cuts windows; `buffers.rs` places temporaries. Plans
//! are cached by their whole key.

mod buffers;
mod fuse;
#[warn(clippy::wildcard_enum_match_arm)]
mod graph;
mod lower;
mod price;
mod shape;

pub(crate) use fuse::Stored;

use crate::buffer::Buffer;
use crate::error::Result;
use crate::expr::{Expr, Kind, Node};
use crate::kernel::{Caps, Plan};
use crate::layout::{Layout, View};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, OnceLock};

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
    /// Steps that making it took.
    pub work: u64,
}

type Cache = HashMap<u64, Vec<(Box<[u64]>, Arc<Cached>)>, BuildHasherDefault<Identity>>;

/// The key is a hash already.
#[derive(Default)]
struct Identity(u64);
impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ *b as u64;
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// Entries of a thread's cache, and of the shared one, before it is emptied.
const LOCAL: usize = 256;
const SHARED: usize = 4096;
/// Longer keys are not worth their memory.
const LONGEST_KEY: usize = 1 << 16;

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}
static SHARED_CACHE: Mutex<Option<Cache>> = Mutex::new(None);

fn find(cache: &Cache, hash: u64, key: &[u64]) -> Option<Arc<Cached>> {
    cache.get(&hash)?.iter().find(|(k, _)| **k == *key).map(|(_, p)| p.clone())
}

fn insert(cache: &mut Cache, limit: usize, hash: u64, key: &[u64], plan: &Arc<Cached>) {
    if cache.len() >= limit {
        cache.clear();
    }
    cache.entry(hash).or_default().push((key.into(), plan.clone()));
}

/// Whether `CUPRIC_DEBUG` asks for plans; read once.
fn prints_plans() -> bool {
    static ASKED: OnceLock<bool> = OnceLock::new();
    *ASKED.get_or_init(|| std::env::var("CUPRIC_DEBUG").is_ok_and(|v| v.contains("plan")))
}

/// What of an expression is computed, and the view of it that the expression is: a view of a product, of joined parts or
/// of a reshaped copy is a view of its result, which costs nothing.
pub(crate) fn computed(e: &Expr) -> (&Expr, Option<&View>) {
    match &e.0.kind {
        Kind::View(v, below) if matches!(below.0.kind, Kind::Matmul(..) | Kind::Concat(..) | Kind::Reshape(_)) => {
            (below, Some(v))
        }
        _ => (e, None),
    }
}

/// Plans the evaluation of `roots` on a device, or finds the plan made before.
pub(crate) fn plan(roots: &[&Expr], target: Option<Target<'_>>, caps: &Caps, device: u32) -> Result<Planned> {
    let mut graph = graph::Walk::new(roots, target.as_ref(), device)?;
    let (key, hash) = graph.key();
    let long = key.len() > LONGEST_KEY;
    let found = CACHE.with_borrow(|c| find(c, hash, key)).or_else(|| {
        let shared = SHARED_CACHE.lock().unwrap_or_else(|e| e.into_inner());
        let found = find(shared.as_ref()?, hash, key)?;
        CACHE.with_borrow_mut(|c| insert(c, LOCAL, hash, key, &found));
        Some(found)
    });
    let plan = match found {
        Some(plan) => plan,
        None => {
            if long {
                graph.forget_key();
            }
            let (arena, _) = graph.arena();
            let output_of = arena.output_of.clone();
            let (plan, in_place, work) = fuse::build(arena, target.as_ref().map(|t| t.layout), caps)?;
            let plan = Arc::new(Cached { plan, output_of, in_place, work });
            if !long {
                let (key, hash) = graph.key();
                CACHE.with_borrow_mut(|c| insert(c, LOCAL, hash, key, &plan));
                let mut shared = SHARED_CACHE.lock().unwrap_or_else(|e| e.into_inner());
                insert(shared.get_or_insert_default(), SHARED, hash, key, &plan);
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

/// Which nodes of expressions are stored when they are evaluated together: what the interpreter in `testing` has to
/// know of a plan, since f16 and bf16 are rounded there.
pub(crate) fn stored(roots: &[&Expr], caps: &Caps, device: u32) -> Result<HashMap<*const Node, Stored>> {
    let roots: Vec<&Expr> = roots.iter().map(|e| computed(e).0).collect();
    let walk = graph::Walk::new(&roots, None, device)?;
    let (arena, numbers) = walk.arena();
    let stored = fuse::stored(arena, caps)?;
    let pointer = |(n, number): (&&Node, usize)| Some((std::ptr::from_ref(*n), stored[number]?));
    Ok(walk.nodes().iter().zip(numbers).filter_map(pointer).collect())
}
