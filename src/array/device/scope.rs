//! [`Device::scope`], which selects the device on which a thread evaluates expressions without arrays, and on which it
//! makes arrays of data in host memory.

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
    match current() {
        Some(device) => f(&device),
        None => f(other),
    }
}

/// Returns this thread's current device, or `None` outside of every scope.
pub(super) fn current() -> Option<Device> {
    CURRENT.try_with(|current| current.borrow().clone()).unwrap_or_default()
}

impl Device {
    /// Runs `f` with this device as the calling thread's current device, instead of the CPU. Meanwhile expressions
    /// without arrays (`zeros`, `arange`, random numbers) are evaluated on this device, and arrays of data in host
    /// memory (`array!`, `from_vec`, `from_npy` and other files) are made on it. Expressions with arrays run on the
    /// device of those arrays. Memory that is shared with another library, and mapped files, stay on the CPU.
    ///
    /// `array!` and `Array::from` return no `Result`. If the device has no memory for such an array, the next evaluation
    /// or read of the array returns the error.
    ///
    /// Only the calling thread is affected, not threads that `f` starts. A future that `f` returns is polled after the
    /// scope has ended, so use [`Expr::eval_on`](crate::Expr::eval_on) or [`Expr::on`](crate::Expr::on) in it.
    ///
    /// ```
    /// use cupric::{DType, Device, Rng, array};
    /// let device = Device::best()?;
    /// let (weights, bias) = device.scope(|| {
    ///     let weights = Rng::new(0).normal([64, 2], DType::F32).eval()?;
    ///     Ok::<_, cupric::Error>((weights, array![0.5, -0.5]))
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
