//! The GPUs that live as long as the process. Each is opened once: the first caller opens it, and the others wait for
//! the outcome without holding a lock.

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
    /// The ID of the process that opens the device. A child process that is forked meanwhile does not have the thread
    /// that opens the device, so it must not wait for this thread.
    process: u32,
    outcome: Outcome<Result<Device>>,
}

/// The state of a GPU when somebody asks for it.
enum Found {
    Open(Device),
    Opening(Outcome<Result<Device>>),
    /// The caller is the first to ask and must open the device.
    Nothing(Task),
}

/// The task of opening a GPU. Dropping the task passes the result to the waiting callers, also if opening the GPU
/// panics.
struct Task {
    index: usize,
    outcome: Outcome<Result<Device>>,
    found: Result<Device>,
}

fn gpus() -> MutexGuard<'static, Gpus> {
    GPUS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the index of a GPU that lives as long as the process, or `None` for another device.
#[cfg(feature = "serde")]
pub(super) fn index_of(device: &Device) -> Option<usize> {
    gpus().open.iter().find(|(_, open)| open == device).map(|(index, _)| *index)
}

/// Looks up the GPU with an index. If nobody has asked for it before, the caller gets the task to open it.
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

/// Returns the GPU with this index. The first call opens it. The call blocks while this thread or another one opens it.
/// In a browser it returns only a GPU that [`open_async`] has opened.
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

/// Opens a GPU like [`open`], for code that must not block. A separate thread opens the device, and continues if the
/// future is dropped. In a browser the future itself opens it.
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
