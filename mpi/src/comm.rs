//! The ranks of a job, from its start to its end.

use crate::call::{Call, Fallible, Fault, settle};
use crate::queue::{Job, Outcome, Pause, Queue};
use crate::raw::World;
use cupric::{Array, ErrorKind, Result};
use std::cell::RefCell;
use std::fmt::Display;
use std::io::Write as _;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The ranks of a job, and the collectives between them. [`Comm::run`] makes one.
pub struct Comm {
    pub(crate) world: World,
    queue: RefCell<Queue>,
    /// Makes the type neither `Send` nor `Sync`, because MPI is called from one thread.
    one_thread: PhantomData<*const ()>,
}

/// What a rank has sent so far, and how long it has waited.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// The number of collectives.
    pub collectives: u64,
    /// The bytes that this rank has handed over to collectives.
    pub bytes: u64,
    /// The time in which this rank has waited for others or for the network.
    pub waited: Duration,
}

impl Display for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kib, waited) = (self.bytes as f64 / 1024.0, self.waited.as_secs_f64());
        write!(f, "{} collectives, {kib:.1} KiB sent, {waited:.3} s waited", self.collectives)
    }
}

impl Comm {
    /// Initialises MPI, calls the function with the ranks of the job, and ends MPI. Call it once on each rank.
    ///
    /// If the function returns an error or panics, the rank prints one message that names the rank and the cause, and
    /// ends all ranks with status 1, so that no rank waits forever. An error that all ranks have is printed once.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] for a second call in one process, and [`ErrorKind::Internal`] if MPI cannot be
    /// initialised.
    ///
    /// ```no_run
    /// use cupric::Result;
    /// use cupric_mpi::Comm;
    /// Comm::run(|comm| -> Result<()> {
    ///     println!("rank {} of {}", comm.rank(), comm.size());
    ///     comm.barrier()
    /// })?;
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn run<T, E: Display>(function: impl FnOnce(&Comm) -> Result<T, E>) -> Result<T> {
        let world = settle(World::new().map_err(|f| f.of("run")))?;
        let comm = Comm { world, queue: RefCell::default(), one_thread: PhantomData };
        let result = catch_unwind(AssertUnwindSafe(|| function(&comm)));
        let value = match result {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => comm.give_up(&format!("failed: {error}")),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                comm.give_up(&format!("panicked: {}", text.unwrap_or_default()))
            }
        };
        let call = Call::new("run").with("the end of the job");
        if let Err(error) = settle(comm.end(call)) {
            comm.give_up(&format!("failed: {error}"));
        }
        Ok(value)
    }

    /// Waits until all ranks have called this and no collective is in progress, and then ends MPI.
    fn end(&self, call: Call) -> Fallible<()> {
        self.collect(call, Ok(Job::nothing()))?;
        let mut pause = Pause::new();
        while !self.queue.borrow().is_empty() {
            self.advance()?;
            pause.next("run", false)?;
        }
        self.queue.borrow_mut().lost()?;
        self.world.finalize()
    }

    /// Prints why this rank cannot go on, and ends all ranks. If several ranks fail together, only the lowest of them
    /// prints, because each tells the higher ranks that it gives up. A rank other than 0 waits for this before it
    /// prints, and waits longer if a collective has failed, because then rank 0 has an error too.
    fn give_up(&self, why: &str) -> ! {
        self.world.tell_higher_ranks();
        let seconds = match self.rank() {
            0 => 0,
            _ if self.queue.borrow().has_failed => 5,
            _ => 1,
        };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(seconds) {
            if self.world.is_told() {
                // the lower rank ends this one
                std::thread::sleep(Duration::from_secs(8));
                World::abort();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let (rank, size) = (self.rank(), self.size());
        // in one piece, so that the messages of two ranks do not mix
        let message = format!("cupric-mpi: rank {rank} of {size} {why}\n");
        let _ = std::io::stderr().write_all(message.as_bytes());
        World::abort()
    }

    /// Returns the number of this rank, from 0.
    pub fn rank(&self) -> usize {
        self.world.rank
    }

    /// Returns the number of ranks.
    pub fn size(&self) -> usize {
        self.world.size
    }

    /// Returns the range of rows that belongs to this rank if `n` rows are divided among all ranks. The ranges are in
    /// the order of the ranks. Their lengths differ by at most one, so some are empty if there are fewer rows than
    /// ranks.
    pub fn shard(&self, n: usize) -> Range<usize> {
        self.shard_of(n, self.rank())
    }

    /// Returns the range of rows that belongs to a rank if `n` rows are divided among all ranks; see [`Comm::shard`].
    pub fn shard_of(&self, n: usize, rank: usize) -> Range<usize> {
        let (each, more) = (n / self.size(), n % self.size());
        let start = |r: usize| each * r + r.min(more);
        let rank = rank.min(self.size());
        start(rank)..start((rank + 1).min(self.size()))
    }

    /// Returns what this rank has sent so far, and how long it has waited.
    pub fn traffic(&self) -> Traffic {
        let queue = self.queue.borrow();
        Traffic { collectives: queue.count(), bytes: queue.bytes, waited: queue.waited }
    }

    /// Sets the size in bytes of the largest message, which must be equal on all ranks. For tests.
    #[doc(hidden)]
    pub fn cut_messages(&self, bytes: usize) {
        self.world.message.set(bytes);
    }

    /// Waits until all ranks have called this method.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Argument`] if a rank calls another collective.
    #[track_caller]
    pub fn barrier(&self) -> Result<()> {
        settle(self.collect(Call::new("barrier"), Ok(Job::nothing())).map(|_| ()))
    }

    /// Returns the value of `result` if all ranks have succeeded. If a rank has failed, every rank gets an error that
    /// names that rank and its error.
    ///
    /// # Errors
    /// Every rank returns the error of the first rank that failed, or [`ErrorKind::Argument`] if a rank calls another
    /// collective.
    ///
    /// ```no_run
    /// # fn example(comm: &cupric_mpi::Comm) -> cupric::Result<()> {
    /// // either all ranks have their file, or all return the error of the rank that has not
    /// let part = comm.agree(cupric::Array::from_npy(format!("part-{}.npy", comm.rank())))?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn agree<T>(&self, result: Result<T>) -> Result<T> {
        settle(self.agreed(Call::new("agree"), result.map_err(Fault::Other)))
    }

    /// Advances the collectives that have been started. Call it now and then between evaluations, because most MPI
    /// libraries move data only inside of calls.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Internal`] if MPI reports an error.
    #[track_caller]
    pub fn progress(&self) -> Result<()> {
        settle(self.advance().map_err(|f| f.of("progress")))
    }

    pub(crate) fn advance(&self) -> Fallible<()> {
        self.queue.borrow_mut().progress(&self.world)
    }

    /// Starts a collective, and returns its number.
    pub(crate) fn push(&self, call: Call, made: Fallible<Job>) -> Fallible<u64> {
        let mut queue = self.queue.borrow_mut();
        let number = queue.push(&self.world, call, made)?;
        queue.progress(&self.world)?;
        Ok(number)
    }

    /// Waits until a collective is done, and returns its outcome.
    pub(crate) fn wait(&self, number: u64, name: &str) -> Outcome {
        let mut pause = Pause::new();
        loop {
            self.advance()?;
            let mut queue = self.queue.borrow_mut();
            if let Some(outcome) = queue.take(number) {
                queue.waited += pause.waited();
                return outcome;
            }
            let is_moving = queue.is_moving();
            drop(queue);
            pause.next(name, is_moving)?;
        }
    }

    pub(crate) fn is_done(&self, number: u64) -> bool {
        self.queue.borrow().is_done(number)
    }

    pub(crate) fn forget(&self, number: u64) {
        // a rank that panics while the queue is in use ends the job anyway
        if let Ok(mut queue) = self.queue.try_borrow_mut() {
            queue.forget(number);
        }
    }

    /// Waits for collectives in progress, and ignores their results and errors, because the caller returns the error of
    /// an earlier one, of this kind. After a timeout it does not wait again.
    pub(crate) fn discard(&self, numbers: impl IntoIterator<Item = u64>, name: &str, mut kind: ErrorKind) {
        for number in numbers {
            if kind == ErrorKind::Timeout {
                self.forget(number);
            } else if let Err(fault) = self.wait(number, name) {
                kind = fault.kind();
            }
        }
    }

    /// Returns the value of `made` if all ranks have a value, and otherwise an error.
    pub(crate) fn agreed<T>(&self, call: Call, made: Fallible<T>) -> Fallible<T> {
        let (value, made) = match made {
            Ok(value) => (Some(value), Ok(Job::nothing())),
            Err(fault) => (None, Err(fault)),
        };
        self.collect(call, made)?;
        value.ok_or_else(|| Fault::new(ErrorKind::Internal, "an error was not agreed on"))
    }

    /// Starts a collective and waits for it.
    pub(crate) fn collect(&self, call: Call, made: Fallible<Job>) -> Fallible<Vec<Array>> {
        let name = call.name;
        let number = self.push(call, made.map_err(|f| f.of(name)))?;
        self.wait(number, name)
    }
}
