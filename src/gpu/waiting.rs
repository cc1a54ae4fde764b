//! Waits for a device. A caller that blocks polls the device itself. For futures, one thread for each device polls the
//! device and wakes the futures, so no poll of a future waits for the device. The thread ends when no future has waited
//! for a while. A browser calls us when a signal is set or the device has failed; then the futures are woken without a
//! thread.

use super::at_exit;
use super::connection::{Connection, EAGER, IdleClock, LONGEST_NAP, lock};
use super::time_out::PATIENCE;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::platform::{CAN_WAIT, Instant};
use crate::plan::backend::start;
use crate::plan::backend::waiting::{Awaited, blocks};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long the polling thread keeps running while no future waits. Starting a thread takes some 50 µs, about as long
/// as a short wait, and programs that wait once often wait again. 100 ms was chosen by hand; no benchmark compares
/// other values.
const STAYS: Duration = Duration::from_millis(100);

/// A signal, which a callback of wgpu sets. Its value is whether the requested operation succeeded.
pub(super) type Signal = Arc<OnceLock<bool>>;

/// The futures that wait for a device, and the thread that polls it for them.
pub(super) struct Watch {
    /// The reference is weak, so that a device can be closed while the thread waits for another future.
    connection: Weak<Connection>,
    state: Mutex<State>,
    /// A condition variable that is notified when a future begins to wait, or when a signal is set.
    changed: Condvar,
    /// Whether the thread is running, for [`Watch::set`], which takes no lock.
    polls: AtomicBool,
}

struct State {
    waits: BTreeMap<u64, Entry>,
    /// The number that was last assigned to a future.
    last: u64,
    /// When a future last began to wait.
    since: Instant,
    has_thread: bool,
}

/// A waiting future.
struct Entry {
    signal: Signal,
    /// What wakes the future. It is `None` after the thread has woken the future, until the future is polled again.
    waker: Option<Waker>,
    clock: IdleClock,
    /// Whether the device has made no progress for as long as the time-out.
    late: bool,
}

impl Watch {
    pub fn new(connection: &Arc<Connection>) -> Arc<Watch> {
        let state = State { waits: BTreeMap::new(), last: 0, since: Instant::now(), has_thread: false };
        let (state, polls) = (Mutex::new(state), AtomicBool::new(false));
        let watch = Watch { connection: Arc::downgrade(connection), state, changed: Condvar::new(), polls };
        let watch = Arc::new(watch);
        if !CAN_WAIT {
            let failed = Arc::downgrade(&watch);
            connection.on_failure(move || failed.upgrade().iter().for_each(|watch| watch.wake()));
        }
        watch
    }

    /// Sets a signal. wgpu's callbacks call this within a poll or a submission of any thread, with locks held. So it
    /// wakes no future; the polling thread does. A browser's callbacks hold no locks, so in a browser this function
    /// wakes the futures itself.
    pub fn set(&self, signal: &Signal, fine: bool) {
        let _ = signal.set(fine);
        if !CAN_WAIT {
            return self.wake();
        }
        if self.polls.load(Relaxed) {
            self.changed.notify_one();
        }
    }

    /// Starts the thread if it is not running.
    fn ensure_thread(self: &Arc<Watch>, state: &mut State) -> Result<()> {
        static ONCE: Once = Once::new();
        let fail = |detail: String| Error::with_line(ErrorKind::Internal, "wait", detail, None);
        if at_exit::is_ending() {
            return Err(fail("the process is ending".to_string()));
        }
        if !CAN_WAIT {
            return Ok(());
        }
        if state.has_thread {
            self.changed.notify_one();
            return Ok(());
        }
        at_exit::stop_threads(&ONCE);
        let watch = self.clone();
        let thread = std::thread::Builder::new().name("cupric-poll".to_string()).spawn(move || watch.attend());
        thread.map_err(|e| fail(format!("the thread that polls the device cannot be started: {e}")))?;
        state.has_thread = true;
        self.polls.store(true, Relaxed);
        Ok(())
    }

    /// The loop of the polling thread.
    fn attend(&self) {
        while self.has_work() {
            self.wake();
            self.nap();
        }
    }

    /// Blocks until a future waits. Returns false, after which the thread ends, if none has waited for [`STAYS`].
    fn has_work(&self) -> bool {
        let begun = Instant::now();
        let mut state = lock(&self.state);
        while !state.waits.values().any(|entry| entry.waker.is_some()) {
            let left = STAYS.saturating_sub(begun.elapsed());
            if left.is_zero() || at_exit::is_ending() {
                state.has_thread = false;
                self.polls.store(false, Relaxed);
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Polls the device once, and wakes the futures that are due to be polled.
    fn wake(&self) {
        for waker in self.poll() {
            // a panic of an executor's waker must not keep other futures from being woken
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }

    /// Polls the device once, and returns the wakers of the futures that are due to be polled.
    fn poll(&self) -> Vec<Waker> {
        // `inside` is declared first, so that it is dropped last: `connection` may be the last handle, and the thread
        // must count as inside a driver while `connection` is dropped
        let inside = at_exit::enter();
        let connection = self.connection.upgrade().filter(|_| inside.is_some());
        if let Some(connection) = &connection
            && catch_unwind(AssertUnwindSafe(|| connection.poll())).is_err()
        {
            let detail = "the driver's library panicked while it was polled";
            connection.fail(&Error::with_line(ErrorKind::Internal, "wait", detail, None));
        }
        let mut state = lock(&self.state);
        let mut due = vec![];
        for entry in state.waits.values_mut().filter(|entry| entry.waker.is_some()) {
            // at the end of the process the device is not polled any more, and the future returns an error
            let failed = connection.as_ref().is_none_or(|connection| connection.has_failed());
            entry.late = connection.as_ref().is_some_and(|connection| entry.clock.expired(connection));
            if entry.signal.get().is_some() || failed || entry.late {
                due.extend(entry.waker.take());
            }
        }
        due
    }

    /// Sleeps between two polls for as long as [`Connection::poll_until`] does, but wakes up if a future begins to wait
    /// or a signal is set.
    fn nap(&self) {
        let state = lock(&self.state);
        let waited = state.since.elapsed();
        if waited < EAGER {
            drop(state);
            return std::thread::yield_now();
        }
        drop(self.changed.wait_timeout(state, (waited / 8).min(LONGEST_NAP)));
    }
}

/// A future that waits for a signal. Its output is the signal's value, or an error, for example if the device fails or
/// makes no progress for as long as the time-out.
pub(super) struct Wait {
    connection: Arc<Connection>,
    watch: Arc<Watch>,
    operation: &'static str,
    signal: Signal,
    /// The number of the future's entry in the watch.
    number: Option<u64>,
    /// How many time-outs the wait may go on.
    patience: u32,
}

impl Wait {
    pub fn new(connection: &Arc<Connection>, watch: &Arc<Watch>, operation: &'static str, signal: &Signal) -> Wait {
        let (connection, watch, signal) = (connection.clone(), watch.clone(), signal.clone());
        Wait { connection, watch, operation, signal, number: None, patience: 1 }
    }

    /// Makes the wait that of a self-test, whose outcome must not depend on the load of the machine.
    pub fn of_a_self_test(mut self) -> Wait {
        self.patience = PATIENCE;
        self
    }

    /// Blocks the caller's thread until the wait ends.
    fn block(&self) -> Result<bool> {
        let (clock, since) = (IdleClock::patient(&self.connection, self.patience), Instant::now());
        loop {
            if let Some(fine) = self.signal.get() {
                return Ok(*fine);
            }
            self.connection.check()?;
            if clock.expired(&self.connection) {
                return Err(self.connection.timed_out(self.operation));
            }
            self.connection.poll_until(since, || self.signal.get().is_some());
        }
    }

    /// Registers the future as waiting, with the waker of this poll. Returns the outcome if there is one already.
    fn enter(&mut self, waker: Waker) -> Option<Result<bool>> {
        let failure = self.connection.check().err();
        // dropping a waker runs code of an executor, so the replaced waker must be dropped after the lock is released.
        // Variables are dropped in reverse order, so it is declared before the lock
        let mut replaced = Some(waker);
        let mut state = lock(&self.watch.state);
        let known = self.number.and_then(|number| state.waits.get_mut(&number));
        let late = known.as_ref().is_some_and(|entry| entry.late);
        if let Some(fine) = self.signal.get() {
            return Some(Ok(*fine));
        }
        if let Some(error) = failure {
            return Some(Err(error));
        }
        if late {
            return Some(Err(self.connection.timed_out(self.operation)));
        }
        match known {
            Some(entry) => std::mem::swap(&mut entry.waker, &mut replaced),
            None => {
                state.last += 1;
                let (number, clock) = (state.last, IdleClock::patient(&self.connection, self.patience));
                let entry = Entry { signal: self.signal.clone(), waker: replaced.take(), clock, late: false };
                state.waits.insert(number, entry);
                state.since = Instant::now();
                self.number = Some(number);
            }
        }
        self.watch.ensure_thread(&mut state).err().map(Err)
    }

    /// Removes the future from the watch's waiting futures.
    fn leave(&mut self) {
        if let Some(number) = self.number.take() {
            let entry = lock(&self.watch.state).waits.remove(&number);
            // drop the entry after the lock is released, because dropping a waker runs code of an executor
            drop(entry);
        }
    }
}

impl Future for Wait {
    type Output = Result<bool>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<bool>> {
        // a forked process does not have the polling thread, which may have held the lock during the fork
        if self.connection.is_inherited() {
            return Poll::Ready(self.connection.check().map(|()| false));
        }
        if mutant!(a_poll_waits, true, blocks(context)) {
            return Poll::Ready(self.block());
        }
        match self.enter(context.waker().clone()) {
            Some(outcome) => {
                self.leave();
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.number.is_some() && !self.connection.is_inherited() {
            self.leave();
        }
    }
}

/// Runs `work`, which calls the driver, on a thread of its own, so that no poll of the returned future waits for it.
/// The first poll starts the thread. If the caller blocks, the caller's thread runs `work` instead.
pub(super) fn apart<T: Clone + Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> impl Future<Output = Result<T>> + Send {
    let work: Box<dyn FnOnce() -> Result<T> + Send> = Box::new(move || match at_exit::enter() {
        Some(_inside) => work(),
        None => Err(Error::with_line(ErrorKind::Internal, operation, "the process is ending", None)),
    });
    let (mut work, mut awaited) = (Some(work), None::<Awaited<Result<T>>>);
    std::future::poll_fn(move |context| {
        if let Some(work) = work.take() {
            if blocks(context) || !CAN_WAIT {
                return Poll::Ready(work());
            }
            awaited = Some(start(operation, work).future());
        }
        match &mut awaited {
            Some(awaited) => Pin::new(awaited).poll(context),
            None => Poll::Pending,
        }
    })
}
