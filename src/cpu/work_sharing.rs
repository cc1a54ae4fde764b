//! How threads share the tasks of a kernel. The thread that runs the kernel works too, and begins immediately. Threads
//! of its rayon pool (helpers) join as soon as they have woken up. So a kernel never waits for a thread to wake up,
//! which takes 10 to 50 µs. If the kernel ends before a helper arrives, it has lost only the time that the call of the
//! helper took.
//!
//! Each thread that runs kernels has a *desk*, where it offers the tasks of one kernel after another. Helpers come to
//! the desk, take tasks until no tasks are left, and stay for some time, because in most programs one kernel follows
//! another.

use super::pool;
use super::thread_count::threads;
use crate::base::platform::Instant;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How long a helper stays at a desk without tasks, where it keeps a core busy and does no other work of its pool.
/// Calling a helper again would cost more: a kernel of 1.3 ms then takes 0.3 ms longer.
const STAYS: Duration = Duration::from_micros(100);

/// How long a helper serves one desk before it looks for other work in its pool, because the desk's owner may run
/// kernel after kernel without end. Looking takes less than a microsecond. The helper stays at the desk while it looks:
/// when helpers returned to the pool instead, kernels of 1 ms took twice as long, because other threads woke too.
const SHIFT: Duration = Duration::from_millis(1);

/// How many times a helper looks for tasks between two readings of the clock. A reading takes about 30 ns.
const LOOKS: usize = 32;

/// How many times the owner of a desk checks, at the end of a kernel, whether the last helper has left. The owner spins
/// for `LOOKS_AT_END` checks, and then yields its core between checks, which takes about 0.4 µs each. After
/// `YIELDS_AT_END` checks, about a millisecond, it sleeps until the last helper wakes it.
const LOOKS_AT_END: usize = 2000;
const YIELDS_AT_END: usize = 5000;

/// The bit of [`Desk::inside`] that is set while the desk is closed, which means that it offers no tasks.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// A kernel's function, which is called with the index of a task.
type Body = dyn Fn(usize) + Sync;

/// A *desk* (see the module), where a thread offers the tasks of a kernel.
///
/// A helper is *inside* while it is counted in `inside`. The desk's unsafe code relies on one invariant, *open*:
/// between [`Desk::open`] and the end of [`Desk::close`], `body` points to the function of the kernel, and `close` ends
/// only when no helper is inside. A helper reads `body` only while it is inside an open desk.
struct Desk {
    /// The thread that owns the desk.
    owner: Thread,
    body: UnsafeCell<Option<*const Body>>,
    /// The range of tasks that nobody has taken: its start in the lower 32 bits, its end (exclusive) in the upper 32
    /// bits. The owner takes tasks from the start and helpers take them from the end. So in kernel after kernel, each
    /// thread has about the same part of an array, which is then in its own cache.
    left: AtomicU64,
    /// The number of helpers that take tasks and run them. A helper that finds the desk closed is counted too, for a
    /// moment. [`CLOSED`] is added while no helper may take tasks.
    inside: AtomicUsize,
    /// The number of helpers that were called and have not left: they are on their way or at the desk. Helpers at the
    /// desk are those that `inside` counts and those that wait there for tasks.
    called: AtomicUsize,
    /// The number of helpers that the tasks can use.
    wanted: AtomicUsize,
    /// The panic of a helper's task, which is resumed in the owner's thread.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `body` is written only while the desk is closed and no helper is inside (*open*, see [`Desk`]). Several
// threads may call the function that it points to in parallel, because it is `Sync`.
unsafe impl Send for Desk {}
// SAFETY: `body` is never written while another thread may read it (*open*, see [`Desk`]). The other fields are `Sync`.
unsafe impl Sync for Desk {}

thread_local! {
    /// The thread's desk, which is taken out while it is in use.
    static DESK: Cell<Option<Arc<Desk>>> = const { Cell::new(None) };
}

/// Calls `f` with the index of each task, on the caller's thread and the threads of the caller's rayon pool. If `alone`
/// is set, only the caller's thread does the work. A task must not itself share work.
#[inline]
pub(super) fn share(tasks: usize, alone: bool, f: impl Fn(usize) + Sync) {
    share_body(tasks, alone, &f);
}

/// Implements [`share`]. It takes `f` as a trait object, so that it is compiled once and not for each of some 200
/// functions.
fn share_body(tasks: usize, alone: bool, f: &(dyn Fn(usize) + Sync)) {
    let threads = if tasks <= 1 || alone || tasks > u32::MAX as usize { 1 } else { threads() };
    // if this thread is already running a task of its own desk, the desk is in use, and the thread runs all tasks of
    // `f` alone
    let desk = if threads == 1 { None } else { DESK.try_with(|d| d.take().or_else(Desk::new)).ok().flatten() };
    let Some(desk) = desk else {
        return (0..tasks).for_each(f);
    };
    let open = Open { desk: desk.clone() };
    desk.open(f, tasks, threads.min(tasks) - 1);
    while let Some(task) = desk.first() {
        f(task);
    }
    drop(open);
    let panic = desk.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// The owner's guard for its desk while the desk is in use. Dropping the guard, also during a panic, waits until all
/// helpers have left the desk, and puts the desk back into the thread-local variable.
struct Open {
    desk: Arc<Desk>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.desk.close();
        let _ = DESK.try_with(|d| d.set(Some(self.desk.clone())));
    }
}

impl Desk {
    /// Creates the desk of this thread. Returns `None` if the thread already has a desk, which is then in use.
    fn new() -> Option<Arc<Desk>> {
        thread_local! {
            static HAS_ONE: Cell<bool> = const { Cell::new(false) };
        }
        if HAS_ONE.replace(true) {
            return None;
        }
        Some(Arc::new(Desk {
            owner: std::thread::current(),
            body: UnsafeCell::new(None),
            left: AtomicU64::new(0),
            inside: AtomicUsize::new(CLOSED),
            called: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            panic: Mutex::new(None),
        }))
    }

    /// Offers tasks, and calls helpers if too few are at the desk or on their way. Only the owner may call this, and
    /// [`Desk::close`] must follow before the lifetime of `body` ends.
    fn open(self: &Arc<Desk>, body: &(dyn Fn(usize) + Sync), tasks: usize, wanted: usize) {
        *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // SAFETY: the desk is closed, so no helper reads `body` (*open*, see [`Desk`]). The cast only erases the
        // lifetime, and no helper uses the pointer after `close`.
        unsafe { *self.body.get() = Some(std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const Body>(body)) };
        self.left.store((tasks as u64) << 32, Relaxed);
        self.wanted.store(wanted, Relaxed);
        self.inside.fetch_and(!CLOSED, SeqCst);
        self.call();
    }

    /// Waits until all helpers have left, and closes the desk. Drops the tasks that nobody has taken, which exist only
    /// after a panic.
    fn close(&self) {
        self.left.store(0, Relaxed);
        self.inside.fetch_or(CLOSED, AcqRel);
        let mut looks = 0;
        while self.inside.load(Acquire) != CLOSED {
            if looks < LOOKS_AT_END {
                std::hint::spin_loop();
            } else if looks < YIELDS_AT_END {
                std::thread::yield_now();
            } else {
                // the last helper unparks this thread; after any other wake-up the loop looks again
                std::thread::park();
            }
            looks += 1;
        }
        if looks > YIELDS_AT_END {
            // `park` above may have consumed a wake-up that was meant for the caller's own code, so `unpark` restores
            // the wake-up: the caller's code may wake without cause, but must not miss a wake-up
            self.owner.unpark();
        }
        // SAFETY: the desk is closed and no helper is inside, so nobody reads `body` (*open*, see [`Desk`]).
        unsafe { *self.body.get() = None };
    }

    /// Calls up to two helpers, if the tasks can use more helpers than have been called. Each helper that arrives calls
    /// two more, so the number of helpers grows like a binary tree, and waking many threads takes little longer than
    /// waking a few.
    fn call(self: &Arc<Desk>) {
        for _ in 0..2 {
            let wanted = self.wanted.load(Relaxed);
            if self.called.fetch_update(SeqCst, SeqCst, |n| (n < wanted).then_some(n + 1)).is_err() {
                return;
            }
            let desk = self.clone();
            pool::call(move || desk.attend());
        }
    }

    /// Takes the first of the tasks that nobody has taken, and returns its index.
    fn first(&self) -> Option<usize> {
        let take = |left: u64| ((left as u32) < (left >> 32) as u32).then_some(left + 1);
        self.left.fetch_update(Relaxed, Relaxed, take).ok().map(|left| left as u32 as usize)
    }

    /// Takes the last of the tasks that nobody has taken, and returns its index.
    fn last(&self) -> Option<usize> {
        let take = |left: u64| {
            ((left as u32) < (left >> 32) as u32).then(|| {
                left - mutant!(
                    task_of_a_helper_lost,
                    if left as u32 + 1 < (left >> 32) as u32 { 2 << 32 } else { 1 << 32 },
                    1 << 32
                )
            })
        };
        self.left.fetch_update(Relaxed, Relaxed, take).ok().map(|left| (left >> 32) as usize - 1)
    }

    /// Returns whether there are tasks that nobody has taken.
    fn has_tasks(&self) -> bool {
        // `inside` must be read before `left`: `open` stores the tasks in `left` before it removes `CLOSED` from
        // `inside`, so a thread that reads `inside` without `CLOSED` also sees these tasks
        if self.inside.load(SeqCst) & CLOSED != 0 {
            return false;
        }
        let left = self.left.load(Relaxed);
        (left as u32) < (left >> 32) as u32
    }

    /// Runs on a helper: helps the owner with kernel after kernel. The caller has already counted this helper in
    /// `called`.
    fn attend(self: &Arc<Desk>) {
        // a pool may run this function on the thread that scheduled it. If that thread is the owner, the kernel has
        // already ended, and there is nothing to do
        let is_owner = std::thread::current().id() == self.owner.id();
        if !is_owner {
            let mut since = Instant::now();
            loop {
                self.help();
                if !self.stay() {
                    break;
                }
                // the helper gives way to other jobs of its pool here, because the owner now works on tasks and does
                // not call helpers
                if since.elapsed() >= SHIFT {
                    if !self.give_way() {
                        return;
                    }
                    since = Instant::now();
                }
            }
        }
        self.called.fetch_sub(1, SeqCst);
        // This helper has just been subtracted from `called`. If the owner offered new tasks before that, `called`
        // still included this helper, so the owner may have called too few others. This helper takes no more tasks, so
        // it calls others in its place.
        if !is_owner && self.has_tasks() {
            self.call();
        }
    }

    /// If a job waits in the rayon pool, runs it. Returns false if this helper should leave its desk; it is then no
    /// longer counted in `called`. A helper should leave if enough other helpers have been called meanwhile. It should
    /// also leave if it runs as a job inside another helper's `give_way`, because such nesting could make the stack
    /// grow without limit.
    fn give_way(self: &Arc<Desk>) -> bool {
        thread_local! {
            static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
        }
        self.called.fetch_sub(1, SeqCst);
        if GIVES_WAY.replace(true) {
            // This helper has just been subtracted from `called`. If the owner offered new tasks before that, `called`
            // still included this helper, so the owner may have called too few others. This helper now leaves, so it
            // calls others in its place.
            if self.has_tasks() {
                self.call();
            }
            return false;
        }
        pool::give_way();
        GIVES_WAY.set(false);
        let wanted = self.wanted.load(Relaxed);
        self.called.fetch_update(SeqCst, SeqCst, |n| (n < wanted).then_some(n + 1)).is_ok()
    }

    /// Runs tasks until no tasks are left.
    fn help(self: &Arc<Desk>) {
        if self.inside.fetch_add(1, SeqCst) & CLOSED == 0 {
            self.call();
            // SAFETY: this thread is inside an open desk, so nobody writes `body` (*open*, see [`Desk`]).
            if let Some(body) = unsafe { *self.body.get() } {
                while let Some(task) = self.last() {
                    // SAFETY: `close` returns only after this helper has left the desk, so the function is still alive
                    // (*open*, see [`Desk`]).
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| unsafe { (*body)(task) })) {
                        *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
                    }
                }
            }
        }
        if self.inside.fetch_sub(1, Release) == CLOSED + 1 {
            self.owner.unpark();
        }
    }

    /// Waits at the desk until there are tasks again, and returns true. Returns false after the time [`STAYS`] without
    /// tasks. The time begins when the owner closes the desk, or at the latest [`SHIFT`] after this call begins.
    fn stay(&self) -> bool {
        let start = Instant::now();
        let mut since = start;
        loop {
            for _ in 0..LOOKS {
                if self.has_tasks() {
                    return true;
                }
                std::hint::spin_loop();
            }
            let now = Instant::now();
            // while the owner still works on its last task, the time does not count, because other tasks may follow
            if self.inside.load(Relaxed) & CLOSED == 0 && now - start < SHIFT {
                since = now;
            }
            if now - since >= STAYS {
                return false;
            }
        }
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    crate::testing::unit_tests! {
        cpu_work_sharing: each_task_runs_once, owners_take_turns, a_panic_of_any_task_goes_on_in_the_owner,
        a_task_that_shares_does_so_alone
    }

    /// Shares `tasks` tasks, and returns how often each task has run.
    fn runs(tasks: usize) -> Vec<u32> {
        let runs: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
        share(tasks, false, |i| _ = runs[i].fetch_add(1, Relaxed));
        runs.into_iter().map(AtomicU32::into_inner).collect()
    }

    fn in_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
    }

    fn each_task_runs_once() {
        let rounds = if cfg!(miri) { 2 } else { 2000 };
        let check = move || {
            for round in 0..rounds {
                let tasks = round % 37;
                assert_eq!(runs(tasks), vec![1; tasks]);
                if round % 100 == 0 {
                    // sleep until all helpers have left
                    std::thread::sleep(2 * STAYS);
                }
            }
        };
        check();
        for threads in [1, 2, 3, 8] {
            in_pool(threads, check);
        }
        // several threads share tasks in parallel: each has its own desk, and all use one pool
        in_pool(3, || {
            std::thread::scope(|s| (0..4).for_each(|_| _ = s.spawn(check)));
            rayon::scope(|s| (0..4).for_each(|_| s.spawn(move |_| check())));
        });
    }

    /// Several owners run kernel after kernel, longer than a helper's shift, and share the helpers of one pool.
    fn owners_take_turns() {
        let time = if cfg!(miri) { SHIFT } else { 60 * SHIFT };
        let work = move || {
            let start = Instant::now();
            while start.elapsed() < time {
                assert_eq!(runs(19), vec![1; 19]);
            }
        };
        std::thread::scope(|s| (0..5).for_each(|_| _ = s.spawn(work)));
        in_pool(2, || rayon::scope(|s| (0..5).for_each(|_| s.spawn(move |_| work()))));
        in_pool(3, || std::thread::scope(|s| (0..3).for_each(|_| _ = s.spawn(work))));
    }

    fn a_panic_of_any_task_goes_on_in_the_owner() {
        for round in 0..if cfg!(miri) { 4 } else { 200 } {
            let ran = AtomicU32::new(0);
            let run = || {
                share(32, false, |i| {
                    if i == round % 32 {
                        panic!("task {i}");
                    }
                    ran.fetch_add(1, Relaxed);
                })
            };
            let panic = in_pool_or_here(round, || catch_unwind(AssertUnwindSafe(run)).unwrap_err());
            assert_eq!(*panic.downcast::<String>().unwrap(), format!("task {}", round % 32));
            assert!(ran.into_inner() < 32);
            // the desk is available again
            assert_eq!(runs(20), vec![1; 20]);
        }
    }

    fn in_pool_or_here<R: Send>(round: usize, f: impl FnOnce() -> R + Send) -> R {
        if round.is_multiple_of(2) { f() } else { in_pool(2, f) }
    }

    fn a_task_that_shares_does_so_alone() {
        in_pool(2, || {
            let here = std::thread::current().id();
            share(8, false, |_| {
                let within = std::thread::current().id();
                if within == here {
                    share(8, false, |_| assert_eq!(std::thread::current().id(), within));
                }
            });
        });
    }
}
