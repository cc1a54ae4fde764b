//! The pool of threads that helps the caller: the rayon pool that the caller runs in (or rayon's global pool), or no
//! pool in a build without the feature `rayon`. No other file of the library depends on whether there is a pool.

pub(super) use chosen::*;

#[cfg(feature = "rayon")]
mod chosen {
    use crate::base::platform::CAN_WAIT;
    use rayon::prelude::*;
    use std::error::Error;
    use std::sync::OnceLock;

    /// Whether this build has thread pools.
    pub const EXISTS: bool = true;

    /// Returns whether the caller's pool has threads. If the caller is not in a pool, the first call starts the threads
    /// of rayon's global pool. That fails if the process has no memory for their stacks; rayon would then panic at each
    /// use of the pool, so the caller must work alone.
    pub fn starts() -> bool {
        static STARTED: OnceLock<bool> = OnceLock::new();
        // in a browser, no thread can be started (`CAN_WAIT` is false), and rayon's global pool consists of the
        // caller's thread
        let start = || match rayon::ThreadPoolBuilder::new().build_global() {
            Ok(()) => true,
            // an error without a source means that the global pool exists already
            Err(e) => e.source().is_none(),
        };
        !CAN_WAIT || is_within() || *STARTED.get_or_init(start)
    }

    /// Returns the number of threads of the caller's pool. Call [`starts`] before.
    pub fn size() -> usize {
        rayon::current_num_threads()
    }

    /// Returns whether the caller is a thread of a pool.
    pub fn is_within() -> bool {
        rayon::current_thread_index().is_some()
    }

    /// Schedules `f` on the caller's pool. A thread of the pool calls `f` later.
    pub fn call(f: impl FnOnce() + Send + 'static) {
        rayon::spawn(f);
    }

    /// If a job waits in the caller's pool, runs it. Does nothing if the caller is not a thread of a pool.
    pub fn give_way() {
        let _ = rayon::yield_now();
    }

    /// Cuts `elements` into chunks of `length` elements, and calls `f` with the index and the elements of each chunk,
    /// on the threads of the caller's pool. Returns the result of the first chunk for which `f` returns one. Later
    /// chunks may then be skipped.
    pub fn first_of_chunks<T: Send, R: Send>(
        elements: &mut [T],
        length: usize,
        f: impl Fn(usize, &mut [T]) -> Option<R> + Sync,
    ) -> Option<R> {
        elements.par_chunks_mut(length).with_max_len(1).enumerate().find_map_first(|(i, chunk)| f(i, chunk))
    }
}

/// The same functions for a build without the feature `rayon`: there is no pool, and the caller's thread does all work.
#[cfg(not(feature = "rayon"))]
mod chosen {
    pub const EXISTS: bool = false;

    pub fn starts() -> bool {
        false
    }

    pub fn size() -> usize {
        1
    }

    pub fn is_within() -> bool {
        false
    }

    pub fn call(f: impl FnOnce() + Send + 'static) {
        f();
    }

    pub fn give_way() {}

    pub fn first_of_chunks<T: Send, R: Send>(
        elements: &mut [T],
        length: usize,
        f: impl Fn(usize, &mut [T]) -> Option<R> + Sync,
    ) -> Option<R> {
        elements.chunks_mut(length).enumerate().find_map(|(i, chunk)| f(i, chunk))
    }
}
