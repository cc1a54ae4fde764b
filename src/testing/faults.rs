//! Devices whose calls fail, and memory that shows when it is read before it is written.

use crate::device::Device;
use crate::error::Result;

pub use crate::backend::InjectedFault;

/// Runs `f` while a fault is planned for a device. Gives the result of `f`, the number of calls at each site, and how many
/// calls failed.
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

/// Switches on or off that all new memory of a device is filled with a pattern.
pub fn poison(device: &Device, on: bool) {
    device.faults().set_poison(on);
}

/// Has a device forget planned losses, and everything that it keeps for reuse except its pipelines.
pub fn heal(device: &Device) {
    device.heal();
}

/// Ends the connection to a GPU for good; does nothing on the CPU.
pub fn destroy(device: &Device) {
    device.destroy();
}

/// How many devices of the process live.
pub fn living_devices() -> usize {
    Device::living()
}

/// The content of newly allocated memory, as an array would get it.
///
/// # Errors
/// Those of the device.
pub fn fresh_memory(device: &Device, bytes: usize) -> Result<Vec<u8>> {
    let buffer = device.backend().allocate(bytes)?;
    pollster::block_on(device.backend().download(&buffer, 0, bytes))
}
