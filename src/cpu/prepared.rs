//! Prepares plans: makes of each step what can be bound to the buffers of a run, and caches it by the plan's number.

use super::bind::Run;
use super::{elementwise, ends, matmul, moves, reduce, routines, row};
use crate::backend::Bindings;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Kernel, KernelKind, Plan, Step, validate};
use lru::LruCache;
use std::cell::Cell;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// The most steps that a device keeps prepared, of all plans together: about 1 KiB each, so some 16 MiB.
const KEPT_STEPS: usize = 16_384;

/// A step that is ready to be bound to the buffers of a run.
pub(super) enum Ready {
    /// A kernel whose result is empty.
    Nothing,
    Elementwise(elementwise::Elementwise),
    Moves(Box<moves::Moves>),
    Reduce(Box<reduce::Reduce>),
    Matmul(Box<matmul::Matmul>),
    Routine(routines::Call),
    /// Fills the temporary of this number with zeros.
    Clear(usize),
}

impl Ready {
    fn new(step: &Step, aliased: &[bool]) -> Result<Ready> {
        match step {
            Step::Nest(kernel) => Ready::of_nest(kernel, aliased),
            Step::Routine(call) => routines::prepare(call).map(Ready::Routine),
            Step::Clear { temp } => Ok(Ready::Clear(*temp)),
        }
    }

    fn of_nest(kernel: &Kernel, aliased: &[bool]) -> Result<Ready> {
        if kernel.outer_size() == 0 {
            return Ok(Ready::Nothing);
        }
        Ok(match kernel.kind {
            KernelKind::Elementwise => {
                let given = ends::with_given_indices(kernel);
                let kernel = given.as_ref().unwrap_or(kernel);
                match moves::prepare(kernel, aliased)? {
                    Some(moves) => Ready::Moves(Box::new(moves)),
                    None => Ready::Elementwise(elementwise::prepare(kernel, aliased)?),
                }
            }
            KernelKind::Reduce(_) => Ready::Reduce(Box::new(reduce::prepare(kernel, aliased)?)),
            KernelKind::Row => Ready::Reduce(Box::new(row::prepare(kernel, aliased)?)),
            KernelKind::Matmul => Ready::Matmul(Box::new(matmul::prepare(kernel)?)),
        })
    }

    /// Runs the step on the buffers of a run.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        match self {
            Ready::Nothing => Ok(()),
            Ready::Elementwise(kernel) => kernel.run(run),
            Ready::Moves(kernel) => kernel.run(run),
            Ready::Reduce(kernel) => kernel.run(run),
            Ready::Matmul(kernel) => kernel.run(run),
            Ready::Routine(call) => call.run(run),
            Ready::Clear(temp) => routines::clear(*temp, run),
        }
    }
}

/// The steps of a plan, ready to be bound.
type Prepared = Vec<Ready>;

/// Hashes a key of the cache. The product by 2^64 over the golden ratio spreads consecutive numbers over the table.
#[derive(Default)]
struct PlanNumber(u64);

impl Hasher for PlanNumber {
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, n: u64) {
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The prepared plans that are kept, and how many steps they have together. A key is twice the plan's number, plus 1 if the
/// first output is memory that the plan reads.
struct Cache {
    plans: LruCache<u64, Arc<Prepared>, BuildHasherDefault<PlanNumber>>,
    steps: usize,
}

/// A prepared plan for a run.
pub(super) struct ForRun {
    pub steps: Arc<Prepared>,
    /// Its key in the cache; none if it is not kept.
    key: Option<u64>,
}

thread_local! {
    /// The plan that this thread ran last, with the number of its device's [`PreparedPlans`] and its key. A loop over one
    /// expression finds its plan here, without a lock and without touching a counter that other threads share.
    static LAST: Cell<Option<(u64, u64, Arc<Prepared>)>> = const { Cell::new(None) };
}

/// The prepared plans of a device.
pub(super) struct PreparedPlans {
    /// A number that no other device of the process has, to tell their plans apart in [`LAST`].
    number: u64,
    cache: Mutex<Cache>,
    made: AtomicU64,
}

impl Default for PreparedPlans {
    fn default() -> PreparedPlans {
        let plans = LruCache::unbounded_with_hasher(BuildHasherDefault::default());
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Relaxed);
        PreparedPlans { number, cache: Mutex::new(Cache { plans, steps: 0 }), made: AtomicU64::new(0) }
    }
}

impl PreparedPlans {
    /// How many plans were prepared so far.
    pub fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// Finds or makes the steps of a plan, ready to be bound. An error comes with the node whose step could not be made, or 0.
    pub fn of(&self, plan: &Plan, bindings: &Bindings<'_>) -> Result<ForRun, (Error, usize)> {
        let replaces = replaces(plan, bindings).map_err(|e| (e, 0))?;
        let key = plan.id << 1 | replaces as u64;
        // the plan is taken out of `LAST` for its run: while this thread waits for others, rayon may start another run on it,
        // which then finds nothing here and looks in the cache
        if let Some((number, last, steps)) = LAST.try_with(Cell::take).ok().flatten()
            && (number, last) == (self.number, key)
        {
            return Ok(ForRun { steps, key: Some(key) });
        }
        let cache = || self.cache.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(found) = cache().plans.get(&key) {
            return Ok(ForRun { steps: found.clone(), key: Some(key) });
        }
        validate(plan)?;
        let aliased: &[bool] = if replaces { &plan.aliased } else { &[] };
        let ready = |step: &Step| Ready::new(step, aliased).map_err(|e| (e, step.node().unwrap_or(0)));
        let prepared = Arc::new(plan.steps.iter().map(ready).collect::<Result<Prepared, _>>()?);
        self.made.fetch_add(1, Relaxed);
        if plan.is_kept {
            let mut cache = cache();
            cache.steps += prepared.len();
            if let Some(old) = cache.plans.put(key, prepared.clone()) {
                cache.steps -= old.len();
            }
            while cache.steps > KEPT_STEPS
                && let Some((_, old)) = cache.plans.pop_lru()
            {
                cache.steps -= old.len();
            }
        }
        Ok(ForRun { steps: prepared, key: plan.is_kept.then_some(key) })
    }

    /// Puts a plan that has run into [`LAST`], for the thread's next run.
    pub fn ran(&self, prepared: ForRun) {
        if let Some(key) = prepared.key {
            // a thread that ends keeps nothing
            let _ = LAST.try_with(|last| last.set(Some((self.number, key, prepared.steps))));
        }
    }
}

/// Says whether the first output is memory that the plan reads. Fails if another output is, or if the plan does not expect
/// that input to be the output.
fn replaces(plan: &Plan, bindings: &Bindings<'_>) -> Result<bool> {
    let mut replaces = false;
    for (i, input) in bindings.inputs.iter().enumerate() {
        for (o, output) in bindings.outputs.iter().enumerate().filter(|(_, output)| output.0.same(input.0)) {
            if o > 0 || !plan.aliased.get(i).is_some_and(|aliased| *aliased) {
                let detail = format!("input {i} and output {o} share {:?}, which the plan does not expect", output.0);
                return Err(Error::new(ErrorKind::Internal, "eval", detail, None));
            }
            replaces = true;
        }
    }
    Ok(replaces)
}
