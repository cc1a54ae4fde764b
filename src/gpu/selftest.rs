//! The self-test of kernels: some drivers compile a shader wrongly, and then results are wrong without an error. So when an adapter is
//! first opened in a process, a few small kernels of each family run on it, and their results are compared with those that the host
//! has computed by plain loops. A family that gives a wrong element is refused from then on; the others run.
//!
//! The test runs on a device of its own, so that a driver which loses the device or panics there does no harm to the caller's.
//! What is found holds for all devices of the adapter, and is kept on disk.

use super::connection::lock;
use super::device::Gpu;
use super::families::Wrong;
use super::trials::{Host, TRIALS, Trial, in_c_order};
use crate::base::error::Result;
use crate::base::layout::product;
use crate::graph::expr::Expr;
use crate::plan::backend::{Backend, Bindings};
use crate::plan::{Walk, plan_once};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

/// What was found in this process, by the number of the adapter.
static FOUND: Mutex<Vec<(usize, Arc<Wrong>)>> = Mutex::new(Vec::new());

/// The families of kernels that the driver of a device computes wrongly. `trial` opens another device on the same adapter. `planted` is
/// a family of which a test wants a result changed: then the kernels run anew, and what is found is not kept.
pub(super) fn wrong_families(gpu: &Gpu, planted: Option<&str>, trial: impl FnOnce() -> Result<Arc<Gpu>>) -> Arc<Wrong> {
    // wgpu panics where a driver refuses what it has promised
    let test = || std::panic::catch_unwind(AssertUnwindSafe(|| run(&*trial()?, planted)));
    if planted.is_some() {
        return test().ok().and_then(Result::ok).unwrap_or_default().into();
    }
    // held during the test, so that of two threads that open devices one waits for the other's finding
    let mut found = lock(&FOUND);
    let number = gpu.origin.number();
    if let Some((_, known)) = found.iter().find(|(adapter, _)| Some(*adapter) == number) {
        return known.clone();
    }
    let kept = gpu.disk.as_ref().and_then(|disk| disk.wrong()).map(Wrong::unpack);
    let known = kept.unwrap_or_else(|| match test() {
        Ok(Ok(wrong)) => {
            // what a device lacks that a program has lent was not tested
            gpu.disk.iter().filter(|_| number.is_some()).for_each(|disk| disk.keep_wrong(wrong.pack()));
            wrong
        }
        // a test that did not run has found nothing: a second device may be refused, or memory lacking, on a driver that computes
        // rightly. What the caller does next meets the cause. It is not kept for later processes
        Ok(Err(_)) | Err(_) => Wrong::default(),
    });
    let known = Arc::new(known);
    found.extend(number.map(|number| (number, known.clone())));
    known
}

/// Runs all trials, as one plan, whose pipelines are compiled side by side and whose kernels are submitted together.
fn run(gpu: &Gpu, planted: Option<&str>) -> Result<Wrong> {
    let host = Host { gpu };
    let roots = TRIALS.iter().map(|t| (t.build)(&host)).collect::<Result<Vec<Expr>>>()?;
    for root in &roots {
        root.checked()?;
    }
    let roots: Vec<&Expr> = roots.iter().collect();
    let mut walk = Walk::default();
    let (plan, output_of) = plan_once(&mut walk, &roots, &gpu.caps)?;
    let bytes = |n: usize| product(&plan.outputs[n].shape) * plan.outputs[n].dtype.size();
    let outputs: Vec<_> = (0..plan.outputs.len()).map(|n| Ok((gpu.allocate(bytes(n))?, 0))).collect::<Result<_>>()?;
    let (inputs, scalars) = (walk.inputs(), walk.scalars());
    gpu.run(&plan, Bindings { inputs, outputs: &outputs, scalars, lines: &walk, replaces: false })?;
    let mut wrong = Wrong::default();
    for (trial, n) in TRIALS.iter().zip(output_of) {
        let output = &plan.outputs[n];
        let found = pollster::block_on(gpu.download(&outputs[n].0, 0, bytes(n)))?;
        let mut found = in_c_order(&found, &output.shape, &output.strides, output.dtype.size());
        if planted == Some(trial.family.name())
            && let Some(byte) = found.first_mut()
        {
            *byte ^= 1;
        }
        judge(trial, &found, &mut wrong);
    }
    #[cfg(feature = "testing")]
    RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Ok(wrong)
}

/// How many self-tests have run.
#[cfg(feature = "testing")]
static RUNS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

#[cfg(feature = "testing")]
pub(super) fn runs() -> u64 {
    RUNS.load(std::sync::atomic::Ordering::Relaxed)
}

/// Compares a trial's result with what it must be.
fn judge(trial: &Trial, found: &[u8], wrong: &mut Wrong) {
    let difference = (trial.difference)(found);
    let Trial { family, what, .. } = trial;
    if let Some([place, how]) = mutant!(wrong_kernels_trusted, None, difference) {
        wrong.add(*family, format!("{place} of {what} {how}"));
    }
}
