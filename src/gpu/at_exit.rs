//! Delays the end of the process until software drivers are idle. One that still works then uses libraries that are being
//! unloaded: llvmpipe ends in a segmentation fault if it compiles a shader at that moment. So `batch.rs` waits after it has
//! submitted the first run of a pipeline, in which the driver compiles it, and this file waits for all other work.

use super::connection::{Connection, lock};
use std::ffi::c_int;
use std::sync::{Arc, Mutex, Once, Weak};

/// The open connections to software drivers. They are weak, so that a device that nobody uses is closed.
static OPEN: Mutex<Vec<Weak<Connection>>> = Mutex::new(Vec::new());

unsafe extern "C" {
    // a function of the C library, which std links anyway
    fn atexit(function: extern "C" fn()) -> c_int;
}

/// Makes the process wait at its end until this connection to a software driver has finished its work, failed, or reached the
/// time-out. `load` must make the driver run a shader; only the first call in the process calls it.
pub(super) fn wait_for(connection: &Arc<Connection>, load: impl FnOnce()) {
    {
        let mut open = lock(&OPEN);
        open.retain(|connection| connection.strong_count() > 0);
        open.push(Arc::downgrade(connection));
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // exit functions run in reverse order of registration, so the driver must register its own before ours
        load();
        // SAFETY: `atexit` is declared with its C signature. `settle_all` lets no panic unwind into C, and whichever thread
        // ends the process may call it at any time, because all that it reaches is the `Sync` static `OPEN`.
        unsafe { atexit(settle_all) };
    });
}

extern "C" fn settle_all() {
    let all: Vec<Arc<Connection>> = lock(&OPEN).iter().filter_map(Weak::upgrade).collect();
    // a process made by fork has none of the driver's threads, so nothing runs in it
    for connection in all.iter().filter(|connection| !connection.is_inherited()) {
        // a panic must not unwind into the C library, which called this function
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| connection.settle()));
    }
    // dropping the last handle of a connection here would run the driver's code again
    std::mem::forget(all);
}
