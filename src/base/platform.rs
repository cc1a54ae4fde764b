//! The differences between an operating system and a browser (`wasm32-unknown-unknown`): the clock, the id of the
//! process, functions that run when the process ends, and whether a thread may wait. A browser page has one thread, and
//! a GPU answers only after that thread has returned to the browser. So code in a page must not wait, and cannot start
//! threads.

use std::future::Future;
#[cfg(feature = "gpu")]
use std::time::Duration;

/// Whether a thread may wait for a device or for another thread.
pub(crate) const CAN_WAIT: bool = !cfg!(all(target_family = "wasm", target_os = "unknown"));

/// Expands to its first argument in a web page, and to its second elsewhere.
#[cfg(all(feature = "gpu", target_family = "wasm", target_os = "unknown"))]
macro_rules! in_a_page {
    ($page:expr, $native:expr) => {
        $page
    };
}
#[cfg(all(feature = "gpu", not(all(target_family = "wasm", target_os = "unknown"))))]
macro_rules! in_a_page {
    ($page:expr, $native:expr) => {
        $native
    };
}
#[cfg(feature = "gpu")]
pub(crate) use in_a_page;

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use std::time::Instant;
// in a browser, the clock of the standard library panics
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use web_time::Instant;

/// Returns the id of the process. A forked child process has another id. In a browser, returns 1.
pub(crate) fn process_id() -> u32 {
    if CAN_WAIT { std::process::id() } else { 1 }
}

/// Sleeps for `duration`. In a browser it returns immediately, so a loop that sleeps must check [`CAN_WAIT`] first.
#[cfg(feature = "gpu")]
pub(crate) fn sleep(duration: Duration) {
    if CAN_WAIT {
        std::thread::sleep(duration);
    }
}

/// Runs a future to its end on this thread. In a browser, polls the future once, and returns `None` if it is not ready.
pub(crate) fn block_on<F: Future>(future: F) -> Option<F::Output> {
    if CAN_WAIT {
        return Some(pollster::block_on(future));
    }
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// Registers a function that is called when the process ends. The function must not let a panic unwind into C. In a
/// browser this does nothing, because a page ends without calling anything.
#[cfg(feature = "gpu")]
pub(crate) fn at_exit(function: extern "C" fn()) {
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    let _ = function;
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    {
        unsafe extern "C" {
            // a function of the C library, which std links anyway
            fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
        }
        // SAFETY: `atexit` is declared with its C signature, and a safe function without arguments may be called at any
        // time.
        unsafe { atexit(function) };
    }
}
