//! [`Device::scope`], which selects the device on which a thread evaluates expressions without arrays.

use super::Device;
use std::cell::RefCell;

thread_local! {
    static CURRENT: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// When dropped, makes the device of the enclosing scope current again, even if the scope's closure has panicked.
struct Restore(Option<Device>);

impl Drop for Restore {
    fn drop(&mut self) {
        replace(self.0.take());
    }
}

/// Sets this thread's current device, and returns the previous one. Returns `None` if the thread is ending.
fn replace(device: Option<Device>) -> Option<Device> {
    CURRENT.try_with(|current| current.replace(device)).unwrap_or_default()
}

/// Calls a function with this thread's current device, or with `other` outside of every scope.
pub(super) fn with_current<T>(other: &Device, f: impl FnOnce(&Device) -> T) -> T {
    // the cell is not borrowed while the function runs, because the function may open a scope
    match CURRENT.try_with(|current| current.borrow().clone()).unwrap_or_default() {
        Some(device) => f(&device),
        None => f(other),
    }
}

impl Device {
    /// Runs `f` and evaluates expressions without arrays (`zeros`, `arange`, random numbers) on this device instead of
    /// the CPU meanwhile. Only the calling thread is affected, not threads that `f` starts. A future that `f` returns
    /// is polled after the scope has ended, so use [`Expr::eval_on`](crate::Expr::eval_on) in it.
    ///
    /// Arrays from host data (`array!`, `from_vec`) are still made on the CPU, and expressions with arrays run on the
    /// device of those arrays.
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
