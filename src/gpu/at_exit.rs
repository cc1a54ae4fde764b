//! The end of the process. Work that a software driver still runs then uses libraries that are being unloaded: a shader
//! that is compiled at that moment ends llvmpipe in a segmentation fault. So a pipeline's first run is waited for when it
//! is submitted (`batch.rs`), and the rest of the work here.

use super::connection::{Connection, lock};
use std::ffi::c_int;
use std::sync::{Arc, Mutex, Once, Weak};

/// The connections to software drivers.
static OPEN: Mutex<Vec<Weak<Connection>>> = Mutex::new(Vec::new());

unsafe extern "C" {
    // of the C library that std links
    fn atexit(function: extern "C" fn()) -> c_int;
}

/// From now on the process ends only when this connection to a software driver has nothing to do. `load` must make the
/// driver run something; it is called once in the process.
pub(super) fn wait_for(connection: &Arc<Connection>, load: impl FnOnce()) {
    {
        let mut open = lock(&OPEN);
        open.retain(|connection| connection.strong_count() > 0);
        open.push(Arc::downgrade(connection));
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // functions run in reverse order of registration, so the driver must have registered its own before
        load();
        // SAFETY: a C function with its signature, and a callback that does not unwind. The thread that ends the process
        // may call it at any time; it uses nothing but this module's static.
        unsafe { atexit(settle_all) };
    });
}

extern "C" fn settle_all() {
    let all: Vec<Arc<Connection>> = lock(&OPEN).iter().filter_map(Weak::upgrade).collect();
    // a process made by fork has none of the driver's threads, so nothing runs in it
    for connection in all.iter().filter(|connection| !connection.is_inherited()) {
        // unwinding must not leave a function that C has called
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| connection.settle()));
    }
    // dropping the last handle of a connection here would run the driver's code again
    std::mem::forget(all);
}
