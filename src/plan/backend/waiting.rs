//! Ways to wait for a device: callers that block, futures that are woken, and work on a separate thread. If the process
//! forks while such a thread works, futures in the child process that wait for its result never complete, because the
//! child does not have the thread.

use crate::base::error::{Error, ErrorKind, Result};
use crate::base::platform::{self, CAN_WAIT};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that borrows nothing, so that it may outlive the call that made it.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// The waker that [`wait`] passes to futures. Waking it does nothing, because a backend's future waits for its device
/// within the first poll and is then ready.
struct Blocked;

impl Wake for Blocked {
    fn wake(self: Arc<Self>) {}
}

/// The waker that [`wait`] uses, and the `Arc` from which it is made. The static keeps the `Arc` only for leak
/// detectors. The waker's pointer is the end of the `Arc`'s allocation, because `Blocked` has no fields, so a detector
/// would report the allocation as lost.
static BLOCKED: LazyLock<(Arc<Blocked>, Waker)> = LazyLock::new(|| {
    let blocked = Arc::new(Blocked);
    (blocked.clone(), Waker::from(blocked))
});

/// Waits for a future on the caller's thread. A backend's future learns through [`blocks`] that its caller wants to
/// block. The future then waits for its device within the first poll, which is faster than being woken by another
/// thread.
///
/// `operation` is the name of the call in error messages. `twin` is the name of the asynchronous function that does the
/// same, or empty if there is none. In a browser, which must not block, this returns an error that recommends `twin`,
/// unless the future is ready at once.
#[inline(always)]
pub(crate) fn wait<T>(operation: &str, twin: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(&BLOCKED.1)) {
        Poll::Ready(output) => output,
        Poll::Pending => platform::block_on(future).unwrap_or_else(|| Err(would_block(operation, twin))),
    }
}

/// Returns the error of a call that would have to wait in a browser; see [`wait`] for the parameters.
pub(crate) fn would_block(operation: &str, twin: &str) -> Error {
    let remedy = match twin {
        "" => "and this call has no asynchronous form".to_string(),
        twin => format!("await {twin} instead"),
    };
    let detail = format!("a page in a browser cannot wait for its GPU; {remedy}");
    Error::with_line(ErrorKind::WouldBlock, operation, detail, None)
}

/// Returns whether a future that is polled with this context may block, because its caller is [`wait`]. In a browser no
/// future may block.
pub(crate) fn blocks(context: &Context<'_>) -> bool {
    CAN_WAIT && context.waker().will_wake(&BLOCKED.1)
}

/// A value that one thread provides, while any number of threads and futures wait for it.
pub(crate) struct Outcome<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    given: Condvar,
}

struct State<T> {
    value: Option<T>,
    /// The wakers of the futures that wait for the value, each with the number of its future ([`Awaited::number`]).
    wakers: Vec<(u64, Waker)>,
    /// The last number assigned to a future.
    last: u64,
}

impl<T> Clone for Outcome<T> {
    fn clone(&self) -> Outcome<T> {
        Outcome(self.0.clone())
    }
}

impl<T> Outcome<T> {
    pub fn new() -> Outcome<T> {
        let state = Mutex::new(State { value: None, wakers: vec![], last: 0 });
        Outcome(Arc::new(Shared { state, given: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Provides the value to all current and future waiters. A second value is dropped.
    pub fn give(&self, value: T) {
        let wakers = {
            let mut state = self.state();
            if state.value.is_some() {
                return;
            }
            state.value = Some(value);
            std::mem::take(&mut state.wakers)
        };
        self.0.given.notify_all();
        // wakers run code of the user's executor, so no lock is held here; if one waker panics, the others must still
        // be woken
        for (_, waker) in wakers {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
        }
    }
}

impl<T: Clone> Outcome<T> {
    /// Blocks until the value is available, and returns it.
    pub fn block(&self) -> T {
        let mut state = self.state();
        loop {
            if let Some(value) = &state.value {
                return value.clone();
            }
            state = self.0.given.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns a future that is ready when the value is available.
    pub fn future(&self) -> Awaited<T> {
        Awaited { outcome: self.clone(), number: None }
    }
}

/// A future that waits for the value of an [`Outcome`].
pub(crate) struct Awaited<T> {
    outcome: Outcome<T>,
    /// The number under which the outcome stores this future's waker, or `None` if it stores none.
    number: Option<u64>,
}

impl<T: Clone> Future for Awaited<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if blocks(context) {
            return Poll::Ready(self.outcome.block());
        }
        let mut waker = context.waker().clone();
        let number = {
            let mut state = self.outcome.state();
            if let Some(value) = &state.value {
                return Poll::Ready(value.clone());
            }
            match self.number.and_then(|n| state.wakers.iter_mut().find(|w| w.0 == n)) {
                Some(place) => {
                    // keep the old waker until the lock is released, because dropping it runs code of the user's
                    // executor
                    std::mem::swap(&mut place.1, &mut waker);
                    place.0
                }
                None => {
                    state.last += 1;
                    let number = state.last;
                    state.wakers.push((number, waker.clone()));
                    number
                }
            }
        };
        self.number = Some(number);
        Poll::Pending
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut state = self.outcome.state();
            let place = state.wakers.iter().position(|w| w.0 == number);
            let waker = place.map(|place| state.wakers.swap_remove(place));
            drop(state);
            drop(waker);
        }
    }
}

/// The right to provide the value of an outcome, held by the thread that computes it. If the giver is dropped before
/// the outcome has a value, because the thread panicked or never started, it provides an error.
struct Giver<T> {
    operation: &'static str,
    outcome: Outcome<Result<T>>,
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let detail = "no thread could be started for the work, or the work panicked";
        self.outcome.give(Err(Error::with_line(ErrorKind::Internal, self.operation, detail, None)));
    }
}

/// Starts a thread that runs `work`, and returns an [`Outcome`] that will have its result. The outcome is an error if
/// the thread cannot be started or `work` panics.
pub(crate) fn start<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Outcome<Result<T>> {
    let outcome = Outcome::new();
    let giver = Giver { operation, outcome: outcome.clone() };
    // if the thread cannot be started, the closure is dropped, and with it `giver`, which then provides an error
    let _ = std::thread::Builder::new().name("cupric-work".to_string()).spawn(move || {
        let value = work();
        giver.outcome.give(value);
    });
    outcome
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread;
    use std::time::Duration;

    crate::testing::unit_tests! {
        backend_waiting: all_who_wait_get_the_value, the_last_waker_is_woken_and_a_dropped_future_has_none,
        work_on_a_thread_of_its_own
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn all_who_wait_get_the_value() {
        let outcome = Outcome::new();
        let threads: Vec<_> = (0..3)
            .map(|i| {
                let outcome = outcome.clone();
                thread::spawn(move || if i == 0 { outcome.block() } else { pollster::block_on(outcome.future()) })
            })
            .collect();
        thread::sleep(Duration::from_millis(10));
        outcome.give(7);
        outcome.give(8);
        threads.into_iter().for_each(|t| assert_eq!(t.join().unwrap(), 7));
        assert_eq!(pollster::block_on(outcome.future()), 7);
        assert!(outcome.block() == 7 && blocks(&Context::from_waker(&BLOCKED.1)));
    }

    fn the_last_waker_is_woken_and_a_dropped_future_has_none() {
        let outcome = Outcome::new();
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (mut kept, mut dropped) = (outcome.future(), outcome.future());
        for count in [&first, &second] {
            let waker = Waker::from(count.clone());
            let mut context = Context::from_waker(&waker);
            assert!(Pin::new(&mut kept).poll(&mut context).is_pending());
            assert!(Pin::new(&mut dropped).poll(&mut context).is_pending());
        }
        // the outcome has dropped the first waker
        assert_eq!(Arc::strong_count(&first), 1);
        drop(dropped);
        outcome.give(());
        assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
        assert_eq!(Arc::strong_count(&second), 1);
        assert!(Pin::new(&mut kept).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    fn work_on_a_thread_of_its_own() {
        let here = thread::current().id();
        let there = start("test", || Ok(thread::current().id()));
        assert_ne!(pollster::block_on(there.future()).unwrap(), here);
        assert!(there.block().is_ok() && wait("test", "", there.future()).is_ok());
        let e =
            pollster::block_on(start("test", || -> Result<()> { panic!("planned by a test") }).future()).unwrap_err();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Internal, "test"));
    }
}
