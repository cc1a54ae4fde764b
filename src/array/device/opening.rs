//! Opens the GPUs that live as long as the process. Each GPU is opened once: the first caller opens it, and other
//! callers wait for the result without holding a lock.

use super::{Device, register, register_here};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::platform::CAN_WAIT;
use crate::plan::backend::{Outcome, Provider, start, would_block};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The open GPUs by index, and the GPUs that are being opened.
struct Gpus {
    open: Vec<(usize, Device)>,
    opening: Vec<Opening>,
}

static GPUS: Mutex<Gpus> = Mutex::new(Gpus { open: vec![], opening: vec![] });

/// A GPU that is being opened. Callers that ask for it in the meantime wait for `outcome`.
struct Opening {
    index: usize,
    /// The ID of the process whose thread opens the device. A child process that is forked meanwhile has no such
    /// thread, so it must not wait for `outcome`.
    process: u32,
    outcome: Outcome<Result<Device>>,
}

/// The state in which a caller finds a GPU: open, being opened by another caller, or not opened yet.
enum Found {
    Open(Device),
    Opening(Outcome<Result<Device>>),
    /// The GPU is not open, and this caller must open it.
    Nothing(Task),
}

/// The task of opening a GPU. Dropping the task gives the result to the waiting callers, even if opening the GPU
/// panics.
struct Task {
    index: usize,
    outcome: Outcome<Result<Device>>,
    found: Result<Device>,
}

fn gpus() -> MutexGuard<'static, Gpus> {
    GPUS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the index under which [`open`] has opened a GPU, or `None` for any other device.
#[cfg(feature = "serde")]
pub(super) fn index_of(device: &Device) -> Option<usize> {
    gpus().open.iter().find(|(_, open)| open == device).map(|(index, _)| *index)
}

/// Looks up the GPU with an index. The first caller gets the task of opening the GPU.
fn find(index: usize) -> Found {
    let process = crate::base::platform::process_id();
    let mut gpus = gpus();
    if let Some((_, device)) = gpus.open.iter().find(|(i, _)| *i == index) {
        return Found::Open(device.clone());
    }
    if let Some(opening) = gpus.opening.iter().find(|o| (o.index, o.process) == (index, process)) {
        return Found::Opening(opening.outcome.clone());
    }
    let outcome = Outcome::new();
    gpus.opening.push(Opening { index, process, outcome: outcome.clone() });
    let found =
        Err(Error::with_line(ErrorKind::Internal, "Device::gpu", "opening the device ended without a result", None));
    Found::Nothing(Task { index, outcome, found })
}

impl Task {
    fn run(mut self, provider: &dyn Provider) -> Result<Device> {
        self.found = register(|id| provider.open(id, self.index));
        self.found.clone()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        {
            let (mut gpus, process) = (gpus(), crate::base::platform::process_id());
            if let Ok(device) = &self.found {
                gpus.open.push((self.index, device.clone()));
            }
            gpus.opening.retain(|o| (o.index, o.process) != (self.index, process));
        }
        self.outcome.give(self.found.clone());
    }
}

/// Returns the GPU with this index. The first call opens the GPU, and other calls block meanwhile. In a browser, this
/// function returns only a GPU that [`open_async`] has opened.
pub(super) fn open(provider: &dyn Provider, index: usize) -> Result<Device> {
    match find(index) {
        Found::Open(device) => Ok(device),
        Found::Opening(_) | Found::Nothing(_) if !CAN_WAIT => Err(would_block("Device::gpu", "Device::gpu_async")),
        Found::Opening(outcome) => outcome.block(),
        Found::Nothing(task) => task.run(provider),
    }
}

/// Returns the GPUs that are open, in the order of their indices.
pub(super) fn opened() -> Vec<Device> {
    let mut open = gpus().open.clone();
    open.sort_by_key(|(index, _)| *index);
    open.into_iter().map(|(_, device)| device).collect()
}

/// Returns the GPU with this index, like [`open`], for code that must not block. A separate thread opens the GPU, and
/// continues if the future is dropped. In a browser the future itself opens the GPU.
pub(super) async fn open_async(provider: &'static dyn Provider, index: usize) -> Result<Device> {
    let outcome = match find(index) {
        Found::Open(device) => return Ok(device),
        Found::Opening(outcome) => outcome,
        Found::Nothing(mut task) if !CAN_WAIT => {
            task.found = register_here(|id| provider.open_here(id, index)).await;
            return task.found.clone();
        }
        Found::Nothing(task) => {
            let outcome = task.outcome.clone();
            start("Device::gpu_async", move || task.run(provider).map(drop));
            outcome
        }
    };
    outcome.future().await
}
