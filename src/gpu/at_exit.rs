//! Delays the end of the process until software drivers are idle, because a driver that still works while the process
//! ends uses libraries that are being unloaded. For example, llvmpipe crashes if it compiles a shader at that moment.
//! Once the process is ending, this file also keeps our own threads out of all drivers.

use super::adapter::is_inherited;
use super::connection::{Connection, lock};
use crate::base::platform::{self, Instant};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError, Weak};
use std::time::Duration;

/// How long the end of the process waits for our threads that are inside a driver: 10 s, because a thread that opens a
/// device may be inside its driver for seconds.
const LEAVES: Duration = Duration::from_secs(10);

/// How many of our threads are inside a driver. `LEFT` is notified when one leaves.
static INSIDE: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();
/// Whether the process is ending. It is set while `INSIDE` is locked.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Counts a thread as inside a driver as long as this value lives. The end of the process waits for such threads.
pub(super) struct Inside(());

/// Must be called before one of our threads calls a driver. Returns `None` if the process is ending; then the thread
/// must not call the driver.
pub(super) fn enter() -> Option<Inside> {
    let mut inside = lock(&INSIDE);
    if is_ending() {
        return None;
    }
    *inside += 1;
    Some(Inside(()))
}

impl Drop for Inside {
    fn drop(&mut self) {
        *lock(&INSIDE) -= 1;
        LEFT.notify_all();
    }
}

/// Returns whether the process is ending.
pub(super) fn is_ending() -> bool {
    ENDING.load(Relaxed)
}

/// Makes the process keep our threads out of drivers when it ends. Exit functions run in reverse order of registration,
/// and ours must run before the drivers' own. So this is called again, with another `once`, whenever drivers may have
/// registered more exit functions.
pub(super) fn stop_threads(once: &Once) {
    at_end(once, end_threads);
}

/// Makes the end of the process call `function`, which must not let a panic unwind into C. Only the first call with a
/// `once` registers its function. Any thread may end the process, so `function` uses only statics.
pub(super) fn at_end(once: &Once, function: extern "C" fn()) {
    once.call_once(|| platform::at_exit(function));
}

extern "C" fn end_threads() {
    // a forked process has none of its parent's threads, and one of them may have held the lock during the fork
    if is_inherited() {
        return;
    }
    // a panic must not unwind into the C library, which called this function
    let _ = std::panic::catch_unwind(|| {
        let begun = Instant::now();
        let mut inside = lock(&INSIDE);
        ENDING.store(true, Relaxed);
        while *inside > 0 {
            let left = LEAVES.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            inside = LEFT.wait_timeout(inside, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    });
}

/// The open connections to software drivers. The references are weak, so that an unused device is closed.
static OPEN: Mutex<Vec<Weak<Connection>>> = Mutex::new(Vec::new());

/// Makes the process wait at its end until this connection to a software driver has finished its work, has failed, or
/// times out. The driver must have run a shader in this process, so that it has already registered its own exit
/// functions.
pub(super) fn wait_for(connection: &Arc<Connection>) {
    {
        let mut open = lock(&OPEN);
        open.retain(|connection| connection.strong_count() > 0);
        open.push(Arc::downgrade(connection));
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // exit functions run in reverse order of registration. The driver has registered its exit functions by now, so
        // `settle_all` runs before them
        static SETTLE: Once = Once::new();
        at_end(&SETTLE, settle_all);
    });
}

extern "C" fn settle_all() {
    end_threads();
    let all: Vec<Arc<Connection>> = lock(&OPEN).iter().filter_map(Weak::upgrade).collect();
    // a forked process has none of the driver's threads, so nothing runs in it
    for connection in all.iter().filter(|connection| !connection.is_inherited()) {
        // a panic must not unwind into the C library, which called this function
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| connection.settle()));
    }
    // dropping the last handle of a connection here would run the driver's code again
    std::mem::forget(all);
}
