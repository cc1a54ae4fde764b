//! How many threads work is shared between: those of the caller's rayon pool. A process made by `fork` has none of the
//! threads of the one that it was made from, and whoever gives them work waits for ever: there the caller works alone,
//! but in a pool that was made in this process.

use std::cell::Cell;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

thread_local! {
    /// The process in which this thread last looked, and whether its pool has threads there. A thread's pool is the same
    /// as long as it lives.
    static SEEN: Cell<(u32, bool)> = const { Cell::new((0, false)) };
}

/// Threads to share work between, the caller's among them.
pub(super) fn threads() -> usize {
    if has_pool() { rayon::current_num_threads() } else { 1 }
}

fn has_pool() -> bool {
    if cfg!(miri) {
        return true;
    }
    let here = process::id();
    let (looked, found) = SEEN.get();
    if mutant!(fork_not_seen, looked != 0, looked == here) {
        return found;
    }
    // a thread that looked in another process came here by `fork`, which copied it without its pool
    let found = looked == 0 && is_made_here(here) && is_there();
    SEEN.set((here, found));
    found
}

/// Whether the caller's pool may have been made in this process.
fn is_made_here(here: u32) -> bool {
    /// The process that first used the pool of all threads that have none of their own.
    static FIRST: AtomicU32 = AtomicU32::new(0);
    if rayon::current_thread_index().is_some() {
        return true;
    }
    FIRST.compare_exchange(0, here, Relaxed, Relaxed).map_or_else(|first| first == here, |_| true)
}

/// Whether the process has as many threads as the pool should have, where the system tells. Fewer mean that the pool was made
/// in a parent process, and work given to it would wait for ever.
fn is_there() -> bool {
    match std::fs::read_dir("/proc/self/task") {
        Ok(all) => all.count() >= rayon::current_num_threads(),
        Err(_) => true,
    }
}
