//! The rate at which a device copies memory, with which a profile compares the rates of kernels. It is measured at most
//! once per device, when a profile is first printed or its rate is first requested.

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

/// How many times the array is copied. The fastest copy counts, because other activity of the machine only makes a copy
/// slower, and the first copy touches memory for the first time. Chosen by hand; no benchmark compares other values.
const COPIES: usize = 5;
/// The minimum and maximum size in bytes of the copied array on a CPU. A copy of 64 MiB takes a CPU about 5 ms. Four
/// times the last-level cache, if its size is known, keeps little of the array in the cache. 256 MiB leaves enough
/// memory for the program. Chosen by hand; no benchmark compares other values.
const LEAST: usize = 64 << 20;
const MOST: usize = 256 << 20;
/// The size in bytes of the copied array on a graphics card, whose cache size is unknown. The largest caches hold 128
/// MiB, and a copy of 128 MiB reads and writes twice that. Chosen by hand; no benchmark compares other values.
const ON_A_CARD: usize = 128 << 20;
/// The smallest array that is tried if a device has less memory.
const SMALLEST: usize = 4 << 20;

/// The measured rates, by device number. No two devices get the same number, so an entry is never wrong. A device that
/// has ended leaves only a few bytes.
static RATES: LazyLock<Mutex<HashMap<u32, f64>>> = LazyLock::new(Mutex::default);

fn rates() -> MutexGuard<'static, HashMap<u32, f64>> {
    RATES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Profile {
    /// Returns how many bytes per second the device reads and writes when it only copies. A memory-bound kernel can
    /// reach this rate. Returns `None` if it could not be measured, because another profile of the device is active or
    /// no memory is left.
    ///
    /// The rate is measured once for a device, when this is first called or when a profile is first printed. The
    /// device's own copy kernel copies an f32 array that is larger than the caches. It does so five times, and the rate
    /// is the sum of the bytes read and written divided by the time of the fastest copy. That takes 40 to 100 ms on a
    /// CPU, and less on a graphics card. The array has four times the bytes of the last-level cache on a CPU (64 to 256
    /// MiB), 128 MiB on a card, and less if there is not enough memory. A separate device on the same hardware makes
    /// the copies and then ends, so the counters, memory and late errors of this device do not change.
    ///
    /// A kernel may be faster, because its operands may be in a cache, and because a kernel that mostly reads avoids
    /// the extra cost of writes.
    pub fn copy_rate(&self) -> Option<f64> {
        let id = self.device.id();
        let known = rates().get(&id).copied();
        // the table is not locked while kernels run, because this thread may run other tasks in between
        known.or_else(|| {
            let rate = measure(&self.device)?;
            rates().insert(id, rate);
            Some(rate)
        })
    }

    /// Returns the rate at which `bytes` bytes were read and written in `time`, divided by the device's copy rate.
    pub(super) fn share_of_copy(&self, bytes: u64, time: Duration) -> Option<f64> {
        let rate = (bytes > 0 && !time.is_zero()).then(|| self.copy_rate()).flatten()?;
        Some(bytes as f64 / time.as_secs_f64() / rate)
    }
}

fn measure(device: &Device) -> Option<f64> {
    let mut bytes = match device.is_software() {
        // a software driver of a GPU runs on the CPU, so the size depends on the CPU's caches
        true => (4 * Device::cpu().backend().caps().caches[2]).clamp(LEAST, MOST),
        false => ON_A_CARD,
    };
    while bytes >= SMALLEST {
        // an active profile would also time these kernels
        if device.backend().is_recording() {
            return None;
        }
        // use a separate device, because waiting for this one would consume the error of a kernel of the caller. If
        // this device has a memory limit, the separate device gets the memory that is left
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
            // the device may not have that much memory, so try a smaller array
            Err(_) => bytes /= 2,
        }
    }
    None
}

/// Copies an array of `bytes` bytes a few times, and records how long each copy takes.
fn copies(device: &Device, bytes: usize) -> Result<Recording> {
    let at = Location::caller();
    let shape = smallvec![bytes / DType::F32.size()];
    let zeros = Expr::fill(Scalar::Int(0), shape, DType::F32, at);
    let x: Expr = zeros.to_device(device)?.into();
    let work = || (0..COPIES).try_for_each(|_| x.compact(at).map(drop));
    device.recorded("copy_rate", Detail::Steps, work, at).map(|(_, recording, _)| recording)
}
