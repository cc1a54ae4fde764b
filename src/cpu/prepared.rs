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
    /// A kernel whose result is empty, or which runs on the parts of the product before it.
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
    /// Makes the steps of a plan ready.
    fn steps(steps: &[Step], aliased: &[bool]) -> Result<Prepared, (Error, usize)> {
        // a kernel that writes in place must wait until all of the product before it has been computed
        let hands_on = |step: &Step| aliased.is_empty() && hands_on(step);
        let ready = |i: usize| {
            if i > 0 && hands_on(&steps[i - 1]) {
                // the step before runs this one
                return Ok(Ready::Nothing);
            }
            if let Step::Nest(kernel) = &steps[i]
                && hands_on(&steps[i])
                && kernel.outer_size() > 0
            {
                let next = steps.get(i + 1).and_then(Step::nest);
                return matmul::prepare(kernel, next).map(|product| Ready::Matmul(Box::new(product)));
            }
            Ready::new(&steps[i], aliased)
        };
        let of = |i: usize| ready(i).map_err(|e| (e, steps[i].node().unwrap_or(0)));
        (0..steps.len()).map(of).collect()
    }

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
            KernelKind::Matmul => Ready::Matmul(Box::new(matmul::prepare(kernel, None)?)),
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

/// Says whether a step is a product that hands its parts to the next step.
fn hands_on(step: &Step) -> bool {
    step.nest().and_then(|kernel| kernel.schedule.product()).is_some_and(|product| product.hands_on)
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

/// How many plans a thread has at hand. A judgement: the expressions of one training step, and few enough to be forgotten.
const RECENT_PLANS: usize = 64;

/// Returns the place of a key: that of its plan's number.
fn place(key: u64) -> usize {
    (key >> 1) as usize % RECENT_PLANS
}

/// A prepared plan with the number of its device's [`PreparedPlans`] and its key.
type Recent = Cell<Option<(u64, u64, Arc<Prepared>)>>;

thread_local! {
    /// Plans that this thread has run lately, each in the place that its key names. A loop over some expressions finds its plans
    /// here, without a lock and without touching a counter that other threads share.
    static RECENT: [Recent; RECENT_PLANS] = const { [const { Cell::new(None) }; RECENT_PLANS] };
}

/// The prepared plans of a device.
pub(super) struct PreparedPlans {
    /// A number that no other device of the process has, to tell their plans apart in [`RECENT`].
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
        // the plan is taken out of its place for its run: while this thread waits for others, rayon may start another run on it,
        // which then finds nothing here and looks in the cache. A thread that ends may have no places any more
        let recent = RECENT.try_with(|r| r[place(key)].take()).ok().flatten();
        if let Some((number, last, steps)) = recent
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
        let prepared = Arc::new(Ready::steps(&plan.steps, aliased)?);
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

    /// Puts a plan that has run into [`RECENT`], for the thread's next run of it.
    pub fn ran(&self, prepared: ForRun) {
        if let Some(key) = prepared.key {
            let _ = RECENT.try_with(|r| r[place(key)].set(Some((self.number, key, prepared.steps))));
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
                return Err(Error::with_line(ErrorKind::Internal, "eval", detail, None));
            }
            replaces = true;
        }
    }
    Ok(replaces)
}
