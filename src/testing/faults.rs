//! Devices whose calls fail when a test wants it, and memory filled so that a read before a write shows.

use crate::array::device::Device;
use crate::base::error::Result;

pub use crate::plan::backend::InjectedFault;

/// Runs `f` while a fault is planned for a device (with `nth` 0 none fails, and calls are only counted). Returns the result of
/// `f`, the number of calls at each site, and how many calls failed.
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

/// Switches on or off whether a device fills all new memory with a byte that no test expects.
pub fn poison(device: &Device, on: bool) {
    device.faults().set_poison(on);
}

/// Makes a device forget losses that were planned, and free all that it keeps for reuse except its compiled pipelines.
pub fn heal(device: &Device) {
    device.heal();
}

/// Ends the connection to a GPU for good; does nothing on the CPU.
pub fn destroy(device: &Device) {
    device.destroy();
}

/// Counts the devices of the process that are alive.
pub fn living_devices() -> usize {
    Device::living()
}

/// Allocates memory as for an array, and returns its content.
///
/// # Errors
/// Those of the device.
pub fn fresh_memory(device: &Device, bytes: usize) -> Result<Vec<u8>> {
    let buffer = device.backend().allocate(bytes)?;
    pollster::block_on(device.backend().download(&buffer, 0, bytes))
}

/// Counts the shaders that a GPU has parsed because its cache on disk did not have them; none where it has no such cache.
pub fn parsed(device: &Device) -> Option<u64> {
    device.parsed()
}
