//! How fast a device copies: what the bytes of a kernel are compared with. It is measured at most once for each device, when a
//! profile is first printed or asked for it.

use super::Profile;
use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Result;
use crate::graph::expr::Expr;
use crate::plan::backend::{Detail, Recording};
use smallvec::smallvec;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the array is copied. The fastest counts, because what else the machine does only makes a copy slower, and the first
/// copy touches memory for the first time; a judgement.
const COPIES: usize = 5;
/// Bytes of the array that is copied, at least and at most (judgements). A copy of 64 MiB takes a CPU some 5 ms. Four times the
/// last-level cache, where that is known, leaves little of the array in it; 256 MiB takes no program's memory away.
const LEAST: usize = 64 << 20;
const MOST: usize = 256 << 20;
/// Bytes of it on a graphics card, of whose caches nothing is known: the largest hold 128 MiB, and a copy reads and writes twice
/// that (a judgement).
const ON_A_CARD: usize = 128 << 20;
/// The smallest array that is tried where a device has less memory.
const SMALLEST: usize = 4 << 20;

/// The measured rates by the number of the device. No number is given to two devices, so an entry is never wrong, and a device
/// that has ended leaves a few bytes.
static RATES: LazyLock<Mutex<HashMap<u32, f64>>> = LazyLock::new(Mutex::default);

fn rates() -> MutexGuard<'static, HashMap<u32, f64>> {
    RATES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Profile {
    /// How many bytes the device reads and writes in a second where it does nothing but copy: the rate that a kernel which is
    /// bound by memory can reach. `None` if it could not be measured: another profile of the device is on, or no memory is left.
    ///
    /// The first call for a device measures it, and so does the first print of a profile: the device's own copy kernel copies an
    /// f32 array larger than the caches five times, and the fastest counts, its bytes read and written. That takes 40 to
    /// 100 ms on a CPU, less on a card. The array has four times the bytes of the last-level cache on a CPU, 64 to 256 MiB;
    /// 128 MiB on a card; and less where memory lacks. It is copied by a
    /// device of its own on the same hardware, which ends at once: counters, memory and late errors of this one stay as they are.
    ///
    /// A kernel may be faster: what it reads may lie in a cache, and a kernel that mostly reads needs less of what memory takes
    /// for writes.
    pub fn copy_rate(&self) -> Option<f64> {
        let id = self.device.id();
        let known = rates().get(&id).copied();
        // the table is not locked while kernels run: they may take turns with other work of this thread
        known.or_else(|| {
            let rate = measure(&self.device)?;
            rates().insert(id, rate);
            Some(rate)
        })
    }

    /// The share of the copy rate at which so many bytes were read and written in a time.
    pub(super) fn share_of_copy(&self, bytes: u64, time: Duration) -> Option<f64> {
        let rate = (bytes > 0 && !time.is_zero()).then(|| self.copy_rate()).flatten()?;
        Some(bytes as f64 / time.as_secs_f64() / rate)
    }
}

fn measure(device: &Device) -> Option<f64> {
    let mut bytes = match device.is_software() {
        // a software driver of a GPU runs on the same processor
        true => (4 * Device::cpu().backend().caps().caches[2]).clamp(LEAST, MOST),
        false => ON_A_CARD,
    };
    while bytes >= SMALLEST {
        // a profile that is on would time kernels beside these
        if device.backend().is_recording() {
            return None;
        }
        // a device of its own, because a wait for this one would take the error that a kernel of the caller has met. Within a
        // limit of memory it gets what is left of it
        let memory = device.memory();
        let left = memory.limit.map_or(usize::MAX, |limit| limit.saturating_sub(memory.used + memory.cached));
        let own = match device.with_memory_limit((4 * bytes).min(left)) {
            Ok(own) => own,
            Err(_) => return None,
        };
        match copies(&own, bytes) {
            Ok(recording) if recording.is_complete => {
                let seconds = |s: &crate::plan::backend::StepNote| s.time.as_secs_f64();
                let copied = recording.steps.iter().filter(|s| s.bytes.0 >= bytes as u64);
                let best = copied.map(|s| (s.bytes.0 + s.bytes.1) as f64 / seconds(s)).fold(0.0, f64::max);
                return (best.is_finite() && best > 0.0).then_some(best);
            }
            Ok(_) => return None,
            // the device may not have that much memory
            Err(_) => bytes /= 2,
        }
    }
    None
}

/// Copies an array of so many bytes a few times, and notes how long each copy takes.
fn copies(device: &Device, bytes: usize) -> Result<Recording> {
    let at = Location::caller();
    let shape = smallvec![bytes / DType::F32.size()];
    let zeros = Expr::fill(Scalar::Int(0), shape, DType::F32, at);
    let x: Expr = zeros.to_device(device)?.into();
    let work = || (0..COPIES).try_for_each(|_| x.compact(at).map(drop));
    device.recorded("copy_rate", Detail::Steps, work, at).map(|(_, recording, _)| recording)
}
