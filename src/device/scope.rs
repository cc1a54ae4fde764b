//! The device of what has no device of its own.

use super::Device;
use std::cell::RefCell;

thread_local! {
    static CURRENT: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// Puts back the device of the scope around, also where the closure panics.
struct Restore(Option<Device>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Calls a function with this thread's current device, or with `other` outside every scope.
pub(super) fn with_current<T>(other: &Device, f: impl FnOnce(&Device) -> T) -> T {
    // the cell is not borrowed while the function runs, because that may open a scope
    match CURRENT.with_borrow(Option::clone) {
        Some(device) => f(&device),
        None => f(other),
    }
}

impl Device {
    /// Runs `f`, in which expressions without arrays (`zeros`, `arange`, random numbers) are evaluated on this device, where they would be
    /// on the CPU. It holds for the calling thread. Arrays of the host's data (`array!`, `from_vec`) are on the CPU as ever, and
    /// expressions with arrays run where those are.
    ///
    /// ```
    /// use cupric::{DType, Device, Rng, zeros};
    /// let device = Device::best()?;
    /// let (weights, bias) = device.scope(|| {
    ///     let weights = Rng::new(0).normal([64, 10], DType::F32).eval()?;
    ///     Ok::<_, cupric::Error>((weights, zeros([10], DType::F32).eval()?))
    /// })?;
    /// assert!(weights.device() == device && bias.device() == device);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("set_default_device", "use", "with"))]
    pub fn scope<T>(&self, f: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        f()
    }
}
