//! The pool of threads that helps the caller: its rayon pool, or no pool in a build without the feature `rayon`. No
//! other file of the library depends on whether there is a pool.

pub(super) use chosen::*;

#[cfg(feature = "rayon")]
mod chosen {
    use crate::base::platform::CAN_WAIT;
    use rayon::prelude::*;
    use std::error::Error;
    use std::sync::OnceLock;

    /// Whether callers can have a pool at all.
    pub const EXISTS: bool = true;

    /// Returns whether the caller's pool has threads. The first call starts those of the global pool if the caller is
    /// in no other. That fails if the process has no memory for their stacks, and then rayon would panic at each use.
    pub fn starts() -> bool {
        static STARTED: OnceLock<bool> = OnceLock::new();
        // in a browser, where no thread can be started, rayon's global pool is the caller's thread
        let start = || match rayon::ThreadPoolBuilder::new().build_global() {
            Ok(()) => true,
            // without a source the error says that the pool is there already
            Err(e) => e.source().is_none(),
        };
        !CAN_WAIT || is_within() || *STARTED.get_or_init(start)
    }

    /// Returns the number of threads of the caller's pool, which must have started.
    pub fn size() -> usize {
        rayon::current_num_threads()
    }

    /// Returns whether the caller is a thread of a pool.
    pub fn is_within() -> bool {
        rayon::current_thread_index().is_some()
    }

    /// Schedules `f` on the caller's pool. One of its threads calls it later.
    pub fn call(f: impl FnOnce() + Send + 'static) {
        rayon::spawn(f);
    }

    /// Runs another task that waits in the caller's pool, if there is one. Does nothing outside of a pool.
    pub fn give_way() {
        let _ = rayon::yield_now();
    }

    /// Calls `f` with the number and the elements of each chunk of `length` elements, in the caller's pool. Returns the
    /// result of the first chunk for which `f` returns one. Later chunks may then be skipped.
    pub fn first_of_chunks<T: Send, R: Send>(
        elements: &mut [T],
        length: usize,
        f: impl Fn(usize, &mut [T]) -> Option<R> + Sync,
    ) -> Option<R> {
        elements.par_chunks_mut(length).with_max_len(1).enumerate().find_map_first(|(i, chunk)| f(i, chunk))
    }
}

/// The same functions for callers without a pool, who do all work themselves.
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
