//! The connection to an open GPU: wgpu's device and queue, the errors that their calls return or report late, polling
//! and waiting, and the counters. This file does not depend on memory, pipelines or kernels.

use super::adapter::inherited_fault;
use super::time_out::{SubmittedWork, TimeOut};
use crate::base::error::{Error, ErrorKind, Fault, Result};
use crate::base::platform::{self, CAN_WAIT, Instant};
use crate::plan::backend::{FaultInjector, Stats};
use crate::plan::debug;
use std::error::Error as _;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

/// How long a wait polls before it checks again whether the device has failed or the time-out has passed. 2 ms was
/// chosen by hand; no benchmark compares other values.
const TURN: Duration = Duration::from_millis(2);
/// How long a wait polls without sleeping. A sleep ends about 50 µs late, which would delay the result of short work by
/// as long as the work takes. 100 µs was chosen by hand; no benchmark compares other values.
pub(super) const EAGER: Duration = Duration::from_micros(100);
/// The longest sleep between two polls. A wait notices at most this much too late that the device is done.
pub(super) const LONGEST_NAP: Duration = Duration::from_micros(500);
/// The maximum time that a failed call waits for the report that the device is lost. It waits because the caller should
/// get the error about the loss, not one of its consequences. Chosen by hand: long enough for a slow driver, and short
/// for a caller whose call has failed.
const LOSS_REPORT: Duration = Duration::from_millis(500);

/// Locks a mutex, even one that a panic has poisoned, because the data that our mutexes guard is consistent after every
/// statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The counters that [`Stats`] reports.
#[derive(Default)]
pub(super) struct Counters {
    pub kernels: AtomicU64,
    pub dispatches: AtomicU64,
    pub prepares: AtomicU64,
    pub compiles: AtomicU64,
    pub syncs: AtomicU64,
    pub allocations: AtomicU64,
    pub driver_allocations: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
}

impl Counters {
    pub fn stats(&self) -> Stats {
        Stats {
            kernels: self.kernels.load(Relaxed),
            dispatches: self.dispatches.load(Relaxed),
            prepares: self.prepares.load(Relaxed),
            compiles: self.compiles.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            allocations: self.allocations.load(Relaxed),
            driver_allocations: self.driver_allocations.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
        }
    }
}

/// The error because of which the device counts as failed: an error that the driver reported outside our calls, or an
/// error that leaves arrays without their values ([`Connection::fail`]). Every later call returns it.
#[derive(Default)]
struct LateError {
    any: AtomicBool,
    error: Mutex<Option<(ErrorKind, String)>>,
    /// A function that is called after an error is set. Only a browser needs it, because no thread looks for errors
    /// there.
    on_change: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl LateError {
    fn set(&self, kind: ErrorKind, detail: String) {
        let mut error = lock(&self.error);
        // keep the first error, unless the device is lost, because the loss explains the errors before it
        if error.is_none() || kind == ErrorKind::DeviceLost {
            *error = Some((kind, detail));
        }
        drop(error);
        self.any.store(true, Relaxed);
        if let Some(on_change) = self.on_change.get() {
            on_change();
        }
    }

    #[cfg(feature = "testing")]
    fn clear(&self) {
        *lock(&self.error) = None;
        self.any.store(false, Relaxed);
    }
}

/// The connection to an open GPU: wgpu's device and queue, the errors that they have reported, and how many submissions
/// the GPU has finished.
pub(super) struct Connection {
    /// The device's name, for messages.
    name: String,
    /// The id of the process that opened the connection. A child made by `fork` must not use the connection, because a
    /// driver's connection does not survive `fork`.
    process: u32,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Whether the driver computes on the CPU.
    pub software: bool,
    pub counters: Counters,
    pub faults: FaultInjector,
    /// How many threads are within wgpu's `submit`.
    submitting: AtomicU64,
    /// How many submissions were made.
    submitted: AtomicU64,
    /// How many submissions have finished.
    completed: Arc<AtomicU64>,
    late: Arc<LateError>,
    /// A thread holds this lock while it polls, because wgpu 30.0.1 may panic when two threads poll at the same time.
    poller: Mutex<()>,
    /// How long a wait goes on without progress before it fails.
    pub time_out: TimeOut,
    /// Whether `CUPRIC_DEBUG` asks for the source of shaders.
    pub prints_shaders: bool,
}

/// The error message for a lost device if the driver gives no reason.
pub(super) const GONE: &str = "the device is gone";

/// Translates an error of wgpu into the kind and the detail of our [`Error`].
fn describe(error: &wgpu::Error) -> (ErrorKind, String) {
    // wgpu reports a call on a lost device as a validation error. Only the message of the innermost cause shows that
    // the device is lost, because that cause has a private type
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.to_string() == "Parent device is lost" {
            return (ErrorKind::DeviceLost, GONE.to_string());
        }
        cause = error.source();
    }
    match error {
        wgpu::Error::OutOfMemory { .. } => (ErrorKind::OutOfMemory, "the device's memory is used up".to_string()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            (ErrorKind::Internal, description.clone())
        }
    }
}

impl Connection {
    pub fn new(name: String, device: wgpu::Device, queue: wgpu::Queue, software: bool) -> Connection {
        Connection {
            name,
            process: crate::base::platform::process_id(),
            device,
            queue,
            software,
            counters: Counters::default(),
            faults: FaultInjector::new(),
            submitting: AtomicU64::new(0),
            submitted: AtomicU64::new(0),
            completed: Arc::default(),
            late: Arc::default(),
            poller: Mutex::new(()),
            time_out: TimeOut::of_environment(software),
            prints_shaders: debug::asks(debug::Word::Wgsl),
        }
    }

    /// Installs handlers for a loss of the device, and for errors that wgpu reports outside our calls. They mark the
    /// device as failed, and send the error to the program's logger. This is not called for a device that a program has
    /// lent, because such a device keeps the program's own error handler.
    pub fn report_errors(&self) {
        let (on_error, named) = (self.late.clone(), self.name.clone());
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let (kind, detail) = describe(&error);
            // the error is set before the program's logger runs, because the logger may use the device. It is logged
            // too, because there may be no later call that would return it
            on_error.set(kind, detail.clone());
            log::warn!("{named}: {detail}; each later call of the device returns this");
        }));
        self.report_losses();
    }

    /// Installs a handler for a loss of the device. It marks the device as failed, and sends the reason to the
    /// program's logger.
    pub fn report_losses(&self) {
        let (on_loss, named) = (self.late.clone(), self.name.clone());
        self.device.set_device_lost_callback(move |reason, message| {
            let message = if message.is_empty() { GONE.to_string() } else { message };
            // the loss of a device that was closed is not logged
            on_loss.set(ErrorKind::DeviceLost, message.clone());
            if reason != wgpu::DeviceLostReason::Destroyed {
                log::warn!("{named}: the device is lost: {message}");
            }
        });
    }

    /// Returns whether another process opened the device, and this process was made from it by `fork`.
    pub fn is_inherited(&self) -> bool {
        self.process != crate::base::platform::process_id()
    }

    /// Returns an error if the device is no longer usable because it is lost, has failed, or was inherited by `fork`.
    pub fn check(&self) -> Result<()> {
        if self.is_inherited() {
            let Fault { kind, detail, .. } = inherited_fault();
            return Err(Error::with_line(kind, self.name.clone(), detail, None));
        }
        if !self.late.any.load(Relaxed) {
            return Ok(());
        }
        match &*lock(&self.late.error) {
            Some((kind, detail)) => Err(Error::with_line(*kind, self.name.clone(), detail.clone(), None)),
            None => Ok(()),
        }
    }

    /// Runs `f`, which calls wgpu. wgpu reports errors to error scopes instead of returning them, so this opens a scope
    /// for each kind of error, and returns an error that a scope caught. If the device is lost or has failed, returns
    /// the error that caused this instead. `operation` is the name of the call in messages, and in tests that plan a
    /// failure of the call.
    pub fn scoped<T>(&self, operation: &'static str, f: impl FnOnce() -> T) -> Result<T> {
        use wgpu::ErrorFilter::*;
        if !CAN_WAIT {
            // a browser reports errors later, to the handler of `report_errors`, which marks the device as failed
            let value = f();
            return self.check().map(|()| value);
        }
        let scopes = [OutOfMemory, Validation, Internal].map(|filter| self.device.push_error_scope(filter));
        let (value, mut error) = match self.faults.hit(operation) {
            None => (Some(f()), None),
            Some(kind) => (None, self.raise(kind)),
        };
        for scope in scopes.into_iter().rev() {
            // this future is ready immediately on native backends, so nothing blocks here
            error = platform::block_on(scope.pop()).flatten().or(error);
        }
        let error = error.as_ref().map(describe);
        if error.as_ref().is_some_and(|(kind, _)| *kind != ErrorKind::DeviceLost) {
            self.await_loss_report();
        }
        self.check()?;
        let (kind, detail) = match (value, error) {
            (Some(value), None) => return Ok(value),
            (_, Some(error)) => error,
            (None, None) => (ErrorKind::Internal, "a fault planned by a test".to_string()),
        };
        Err(Error::with_line(kind, operation, format!("{}: {detail}", self.name), None))
    }

    /// Causes the failure that a test planned. For [`ErrorKind::OutOfMemory`], returns wgpu's error; for any other
    /// kind, returns `None`. A planned loss of the device is set as the error that every later call returns. For the
    /// remaining kinds, this requests a buffer that wgpu rejects, so that an open error scope catches an error.
    #[cold]
    fn raise(&self, kind: ErrorKind) -> Option<wgpu::Error> {
        if kind == ErrorKind::OutOfMemory {
            let source = Box::new(std::io::Error::from(std::io::ErrorKind::OutOfMemory));
            return Some(wgpu::Error::OutOfMemory { source });
        }
        if kind == ErrorKind::DeviceLost {
            self.late.set(kind, "a loss planned by a test".to_string());
            return None;
        }
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE;
        let (label, mapped_at_creation) = (Some("refused"), false);
        drop(self.device.create_buffer(&wgpu::BufferDescriptor { label, size: 4, usage, mapped_at_creation }));
        None
    }

    /// Makes every later call return this error, because arrays that callers hold may never have been computed.
    pub fn fail(&self, error: &Error) {
        self.late.set(error.kind(), error.detail().to_string());
    }

    /// Forgets the error that every call returns since the device failed. Only tests call this, because they cause such
    /// errors on purpose.
    #[cfg(feature = "testing")]
    pub fn forget_losses(&self) {
        self.late.clear();
    }

    /// Submits commands and their work. Must be called within [`Connection::scoped`].
    pub fn submit(&self, commands: wgpu::CommandBuffer, work: SubmittedWork) {
        let finished = self.time_out.begin(work);
        self.submitting.fetch_add(1, SeqCst);
        self.queue.submit([commands]);
        self.submitting.fetch_sub(1, SeqCst);
        let completed = self.completed.clone();
        self.queue.on_submitted_work_done(move || {
            completed.fetch_add(1, Relaxed);
            finished();
        });
        // count a failed submission too, because its callback is called as well
        self.submitted.fetch_add(1, Relaxed);
    }

    /// Returns how many submissions were made.
    pub fn submitted(&self) -> u64 {
        self.submitted.load(Relaxed)
    }

    /// Returns how many submissions have finished.
    pub fn completed(&self) -> u64 {
        self.completed.load(Relaxed)
    }

    /// Returns how many submissions have not finished.
    pub fn in_flight(&self) -> u64 {
        self.submitted().saturating_sub(self.completed())
    }

    /// Returns whether the device is lost or has failed.
    pub fn has_failed(&self) -> bool {
        self.late.any.load(Relaxed)
    }

    /// Polls once. If another thread is polling, waits for it first.
    pub fn poll(&self) {
        let _guard = lock(&self.poller);
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    /// Polls once, unless another thread is polling. A poll frees the resources of finished work, and calls the
    /// callbacks that are due.
    pub fn poll_once(&self) {
        match self.poller.try_lock() {
            Ok(_guard) => drop(self.device.poll(wgpu::PollType::Poll)),
            Err(TryLockError::Poisoned(_)) | Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Waits a short time, after a call has failed, for the report that the device is lost. A call on a lost device may
    /// fail with another error first, because wgpu may report the loss only when the queue is empty.
    pub fn await_loss_report(&self) {
        let end = Instant::now() + LOSS_REPORT;
        while CAN_WAIT && Instant::now() < end {
            let polled = {
                let _guard = lock(&self.poller);
                self.device.poll(wgpu::PollType::Poll)
            };
            let is_queue_empty = !polled.is_ok_and(|status| !status.is_queue_empty());
            let has_reported = is_queue_empty && self.submitting.load(SeqCst) == 0;
            if has_reported || self.late.any.load(Relaxed) {
                return;
            }
            platform::sleep(LONGEST_NAP);
        }
    }

    /// Polls until `done` returns true, or until [`TURN`] (2 ms) has passed. At first it does not sleep between polls;
    /// later, its sleeps get longer with the time since `since`, when the whole wait began. wgpu's own wait with a
    /// time-out is not used, because in 30.0.1 it may panic if another thread submits meanwhile.
    pub fn poll_until(&self, since: Instant, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        loop {
            self.poll();
            if done() || start.elapsed() >= TURN {
                return;
            }
            match since.elapsed() {
                waited if waited < EAGER => std::thread::yield_now(),
                // sleeping an eighth of the time waited so far makes the wait at most an eighth longer than the work
                waited => platform::sleep((waited / 8).min(LONGEST_NAP)),
            }
        }
    }

    /// Waits until at most `ahead` submissions have not finished. In a web page, which cannot block, returns at once.
    pub fn catch_up(&self, ahead: u64, operation: &str) -> Result<()> {
        if !CAN_WAIT {
            return Ok(());
        }
        let (clock, since) = (IdleClock::new(self), Instant::now());
        while self.in_flight() > ahead {
            self.poll_until(since, || self.in_flight() <= ahead);
            self.check()?;
            if clock.expired(self) {
                return Err(self.timed_out(operation));
            }
        }
        Ok(())
    }

    /// Waits until all submissions so far have finished. Gives up if the device has failed, or has made no progress
    /// within the time-out. In a web page, which cannot block, returns at once.
    pub fn settle(&self) {
        if !CAN_WAIT {
            return;
        }
        let submitted = self.submitted();
        let (clock, since) = (IdleClock::new(self), Instant::now());
        let done = || self.completed() >= submitted;
        while !done() && !clock.expired(self) && self.check().is_ok() {
            self.poll_until(since, done);
        }
    }

    /// Registers a function that is called whenever an error makes the device fail. Only the first registered function
    /// is kept.
    pub fn on_failure(&self, function: impl Fn() + Send + Sync + 'static) {
        let _ = self.late.on_change.set(Box::new(function));
    }

    pub fn timed_out(&self, operation: &str) -> Error {
        let (name, limit) = (&self.name, self.time_out.now());
        let detail = format!("{name} made no progress for {limit:?} (CUPRIC_TIMEOUT, longer for much submitted work)");
        Error::with_line(ErrorKind::Timeout, operation, detail, None)
    }
}

/// Measures the time since a submission last finished, so that a wait for a hung GPU ends.
pub(super) struct IdleClock {
    since: std::cell::Cell<Instant>,
    /// How many submissions had finished at the last call of [`IdleClock::expired`].
    completed: std::cell::Cell<u64>,
    /// How many time-outs the wait may go on.
    patience: u32,
}

impl IdleClock {
    pub fn new(connection: &Connection) -> IdleClock {
        IdleClock::patient(connection, 1)
    }

    /// Returns a clock that expires after `patience` time-outs.
    pub fn patient(connection: &Connection, patience: u32) -> IdleClock {
        IdleClock { since: Instant::now().into(), completed: connection.completed().into(), patience }
    }

    /// Returns whether no submission has finished for longer than the time-out.
    pub fn expired(&self, connection: &Connection) -> bool {
        let completed = connection.completed();
        if completed != self.completed.get() {
            self.completed.set(completed);
            self.since.set(Instant::now());
        }
        self.since.get().elapsed() > connection.time_out.now().saturating_mul(self.patience)
    }
}
