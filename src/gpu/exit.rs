//! The end of the process. What a software driver still runs then uses libraries that are going: a shader that it
//! compiles ends llvmpipe in a segmentation fault. So a pipeline's first run is waited for when it is submitted
//! (`batch.rs`), and the rest of the work here.

use super::device::Shared;
use super::memory::lock;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, Once, Weak};

static OPEN: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

unsafe extern "C" {
    // of the C library that std links
    fn atexit(function: extern "C" fn()) -> c_int;
}

/// Lets the process end only when a software driver's device has nothing to do.
pub(super) fn wait_for(shared: &Arc<Shared>) {
    {
        let mut open = lock(&OPEN);
        open.retain(|device| device.strong_count() > 0);
        open.push(Arc::downgrade(shared));
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // functions run in reverse order: the driver must have loaded what registers its own
        if let Ok(found) = super::numerics::probe(shared) {
            let _ = shared.numerics.set(found);
        }
        // SAFETY: a C function with its signature, and a callback that does not unwind; it may be called by the
        // thread that ends the process at any time, and uses nothing but this module's static.
        unsafe { atexit(settle) };
    });
}

extern "C" fn settle() {
    let all: Vec<Arc<Shared>> = lock(&OPEN).iter().filter_map(Weak::upgrade).collect();
    // in a process made by fork nothing runs
    for device in all.iter().filter(|device| !device.is_inherited()) {
        // unwinding must not leave a function that C has called
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| device.settle()));
    }
    // dropping the last handle of a device here would run the driver's code again
    std::mem::forget(all);
}
