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
        replace(self.0.take());
    }
}

/// Sets this thread's current device, and gives the one before. A thread that ends has none.
fn replace(device: Option<Device>) -> Option<Device> {
    CURRENT.try_with(|current| current.replace(device)).unwrap_or_default()
}

/// Calls a function with this thread's current device, or with `other` outside every scope.
pub(super) fn with_current<T>(other: &Device, f: impl FnOnce(&Device) -> T) -> T {
    // the cell is not borrowed while the function runs, because that may open a scope
    match CURRENT.try_with(|current| current.borrow().clone()).unwrap_or_default() {
        Some(device) => f(&device),
        None => f(other),
    }
}

impl Device {
    /// Runs `f`, in which expressions without arrays (`zeros`, `arange`, random numbers) are evaluated on this device, where they would be
    /// on the CPU. It holds for the calling thread while `f` runs: other threads that `f` starts have scopes of their own, and a future that
    /// `f` returns is polled after its end ([`Expr::eval_on`](crate::Expr::eval_on) is for those). Arrays of the host's data (`array!`, `from_vec`) are on the CPU as ever, and
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
        let _restore = Restore(replace(Some(self.clone())));
        f()
    }
}
