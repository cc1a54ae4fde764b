//! Fault injection: makes calls of a device fail, and fills memory with a pattern so that tests detect reads of
//! uninitialised memory.

use crate::array::device::Device;
use crate::base::error::Result;

pub use crate::plan::backend::InjectedFault;

/// Runs `f`, and makes the call of the device fail that `fault` describes. If the fault's `nth` is 0, no call fails and
/// calls are only counted. Returns the result of `f`, the number of calls at each site, and the number of calls that
/// failed.
pub fn with_fault<T>(
    device: &Device,
    fault: InjectedFault,
    f: impl FnOnce() -> T,
) -> (T, Vec<(&'static str, usize)>, usize) {
    device.faults().plan((fault.nth > 0).then_some(fault));
    let value = f();
    let (calls, failed) = device.faults().end();
    (value, calls, failed)
}

/// Sets whether a device fills all new memory with a byte that no test expects.
pub fn poison(device: &Device, on: bool) {
    device.faults().set_poison(on);
}

/// Makes a device forget losses that tests have planned, and frees everything that it caches except its compiled
/// pipelines.
pub fn heal(device: &Device) {
    device.heal();
}

/// Ends the connection to a GPU permanently; does nothing on the CPU.
pub fn destroy(device: &Device) {
    device.destroy();
}

/// Returns the number of open devices of the process.
pub fn living_devices() -> usize {
    Device::living()
}

/// Allocates memory as for a new array, and returns its initial contents.
///
/// # Errors
/// Returns the errors of the device, for example if memory is too small.
pub fn fresh_memory(device: &Device, bytes: usize) -> Result<Vec<u8>> {
    let buffer = device.backend().allocate(bytes)?;
    pollster::block_on(device.backend().download(&buffer, 0, bytes))
}

/// Returns the number of shaders that a GPU has parsed because its cache on disk did not have them, or `None` if it has
/// no such cache.
pub fn parsed(device: &Device) -> Option<u64> {
    device.parsed()
}
