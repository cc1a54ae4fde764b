//! The number of threads that share the work: the threads of the caller's rayon pool (`pool.rs`). A process created by
//! `fork` has a copy of its parent's pool, but none of the pool's threads, so a caller that gives work to that pool
//! would wait forever. In such a process the caller works alone, unless it runs in a pool that was created in this
//! process.

use super::pool;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

thread_local! {
    /// The id of the process in which this thread last checked its pool (0 if it never did), and whether the pool had
    /// threads in that process. The result is cached, because a thread belongs to the same pool throughout its life.
    static SEEN: Cell<(u32, bool)> = const { Cell::new((0, false)) };
}

/// Returns how many threads share the work, including the caller's.
pub(super) fn threads() -> usize {
    if pool::EXISTS && has_pool() { pool::size() } else { 1 }
}

/// Returns whether the caller's pool has threads in this process.
fn has_pool() -> bool {
    if cfg!(miri) {
        return true;
    }
    let here = crate::base::platform::process_id();
    let (looked, found) = SEEN.get();
    if mutant!(fork_not_seen, looked != 0, looked == here) {
        return found;
    }
    // if this thread last checked its pool in another process, `fork` has copied the thread to this process without the
    // threads of its pool
    let found = looked == 0 && is_made_here(here) && has_all_threads();
    SEEN.set((here, found));
    found
}

/// Returns whether the caller's pool may have been created in this process.
fn is_made_here(here: u32) -> bool {
    /// The id of the process in which rayon's global pool was used first, or 0. A thread that is not in a pool uses the
    /// global pool.
    static FIRST: AtomicU32 = AtomicU32::new(0);
    if pool::is_within() {
        return true;
    }
    FIRST.compare_exchange(0, here, Relaxed, Relaxed).map_or_else(|first| first == here, |_| true)
}

/// Returns whether the process has at least as many threads as the pool should have, or true if the system does not
/// report them. If the process has fewer threads, the pool was created in a parent process, and work given to it would
/// wait forever. Starts the pool's threads if nobody has used the pool before.
fn has_all_threads() -> bool {
    if !pool::starts() {
        return false;
    }
    let wanted = pool::size();
    match std::fs::read_dir("/proc/self/task") {
        Ok(all) => all.count() >= wanted,
        Err(_) => true,
    }
}
