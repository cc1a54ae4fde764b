//! Devices whose calls fail, and memory that shows when it is read before it is written.

use crate::backend::Planned;
use crate::device::Device;
use crate::error::{ErrorKind, Result};

/// A call of a device that is to fail. Sites of a CPU: `allocate`, `upload`, `download`, `run`, `synchronize`; of a
/// GPU: `allocate`, `staging`, `upload`, `layout`, `shader`, `compile`, `bind`, `submit`, `download` (the mapping).
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// `None` counts the calls of all sites together.
    pub site: Option<&'static str>,
    /// Which call, from 1; 0 only counts.
    pub nth: usize,
    /// Whether all later ones fail too.
    pub onwards: bool,
    /// `OutOfMemory`, `DeviceLost`, or `Internal`: what wgpu's validation refuses.
    pub kind: ErrorKind,
}

/// Runs `f` while a fault is planned for a device; also gives the calls at each site, and how many of them failed.
pub fn with_fault<T>(device: &Device, fault: Fault, f: impl FnOnce() -> T) -> (T, Vec<(&'static str, usize)>, usize) {
    let Fault { site, nth, onwards, kind } = fault;
    device.faults().plan((nth > 0).then_some(Planned { site, nth, onwards, kind }));
    let value = f();
    let (calls, failed) = device.faults().end();
    (value, calls, failed)
}

/// Has all memory of a device come filled with a pattern, or no longer.
pub fn poison(device: &Device, on: bool) {
    device.faults().set_poison(on);
}

/// Forgets planned losses, and all that a device keeps for reuse but its pipelines.
pub fn heal(device: &Device) {
    device.heal();
}

/// Ends the connection to a GPU for good; nothing on the CPU.
pub fn destroy(device: &Device) {
    device.destroy();
}

/// The content of memory as an array would get it.
///
/// # Errors
/// Those of the device.
pub fn fresh_memory(device: &Device, bytes: usize) -> Result<Vec<u8>> {
    let buffer = device.backend().allocate(bytes)?;
    pollster::block_on(device.backend().download(&buffer, 0, bytes))
}
