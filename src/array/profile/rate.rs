//! Measures the rate at which a device copies memory, with which a profile compares the rates of kernels. The rate is
//! measured at most once per device.

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

/// How many times the array is copied. The fastest copy counts, because the first copy touches memory for the first
/// time and other activity of the machine only makes a copy slower. Chosen by hand; no benchmark compares other values.
const COPIES: usize = 5;
/// The minimum and maximum size in bytes of the array that a CPU copies; the size between them is four times the
/// last-level cache. A copy of 64 MiB takes about 5 ms. 256 MiB leaves enough memory for the program. Chosen by hand;
/// no benchmark compares other values.
const LEAST: usize = 64 << 20;
const MOST: usize = 256 << 20;
/// The size in bytes of the array that a graphics card copies. The largest caches hold 128 MiB, and a copy of 128 MiB
/// reads and writes twice that. Chosen by hand; no benchmark compares other values.
const ON_A_CARD: usize = 128 << 20;
/// The size in bytes of the smallest array that is copied if a device has less memory.
const SMALLEST: usize = 4 << 20;

/// The measured rates in bytes per second, by device number. Device numbers are never reused, so an entry stays
/// correct.
static RATES: LazyLock<Mutex<HashMap<u32, f64>>> = LazyLock::new(Mutex::default);

fn rates() -> MutexGuard<'static, HashMap<u32, f64>> {
    RATES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Profile {
    /// Returns how many bytes per second the device reads and writes when it only copies. A memory-bound kernel can
    /// reach this rate, and exceed it if its operands are in a cache or if it mostly reads. Returns `None` if the rate
    /// could not be measured because another profile is active or no memory is left.
    ///
    /// The first call, or the first profile that is printed, measures the rate, which takes 40 to 100 ms on a CPU. A
    /// separate device on the same hardware copies an f32 array five times, and the fastest copy counts. The array has
    /// four times the bytes of the last-level cache on a CPU (64 to 256 MiB) and 128 MiB on a graphics card, or less if
    /// memory is short.
    pub fn copy_rate(&self) -> Option<f64> {
        let id = self.device.id();
        let known = rates().get(&id).copied();
        // `rates` is not locked during the measurement, because this thread may run other tasks while it waits for
        // kernels
        known.or_else(|| {
            let rate = measure(&self.device)?;
            rates().insert(id, rate);
            Some(rate)
        })
    }

    /// Returns the rate at which `bytes` bytes were read and written in `time`, as a fraction of the device's copy
    /// rate. Returns `None` if the copy rate is not known.
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
        // another active profile would record these copies, so do not measure
        if device.backend().is_recording() {
            return None;
        }
        // Waiting for the caller's device would consume late errors of its kernels, so a separate device makes the
        // copies. It may use no more memory than the caller's device has left.
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

/// Copies an array of `bytes` bytes [`COPIES`] times, and records how long each copy takes.
fn copies(device: &Device, bytes: usize) -> Result<Recording> {
    let at = Location::caller();
    let shape = smallvec![bytes / DType::F32.size()];
    let zeros = Expr::fill(Scalar::Int(0), shape, DType::F32, at);
    let x: Expr = zeros.to_device(device)?.into();
    let work = || (0..COPIES).try_for_each(|_| x.compact(at).map(drop));
    device.recorded("copy_rate", Detail::Steps, work, at).map(|(_, recording, _)| recording)
}
