//! Records which steps run while a profile is on, with the time of the host's clock before and after each step. The
//! host's clock is enough, because threads of this process run the steps.

use crate::base::error::Result;
use crate::base::platform::Instant;
use crate::plan::backend::{Bindings, Clock, Recording, StepNote, busy};
use crate::plan::kernel::ExecutionPlan;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Holds the current recording, if there is one. A later recording replaces an earlier one that is still on.
#[derive(Default)]
pub(super) struct Recorder {
    /// Whether a recording is on. While no recording is on, a run reads only this flag.
    on: AtomicBool,
    current: Mutex<Option<Notes>>,
    /// The number of recordings that have begun.
    count: AtomicU64,
}

/// The recorded steps of a whole recording, or of one run of a plan. [`Recorder::keep`] adds the steps of a run to the
/// recording.
pub(super) struct Notes {
    /// The number of the recording. It tells the recorder whether another recording has replaced this one.
    id: u64,
    began: Instant,
    steps: Vec<StepNote>,
}

impl Notes {
    /// Runs step `n` of a plan, and records how long it took. A step that fails is not recorded.
    pub fn time(
        &mut self,
        (plan, n): (&ExecutionPlan, usize),
        bindings: &Bindings<'_>,
        run: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut note = StepNote::of(plan, n, bindings, self.began);
        run()?;
        note.start = note.enqueued;
        note.end = self.began.elapsed();
        note.time = note.end.saturating_sub(note.start);
        self.steps.push(note);
        Ok(())
    }
}

/// Ends a recording when it is dropped, also if the caller's closure panics.
struct On<'a>(&'a Recorder, u64);

impl On<'_> {
    /// Ends the recording: removes and returns its notes. Returns `None` if another recording has replaced this one.
    fn take(&self) -> Option<Notes> {
        let mut current = self.0.lock();
        let notes = current.take_if(|notes| notes.id == self.1);
        self.0.on.store(current.is_some(), Relaxed);
        notes
    }
}

impl Drop for On<'_> {
    fn drop(&mut self) {
        self.take();
    }
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Option<Notes>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Calls `work`, and returns the steps that began and ended meanwhile.
    pub fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Recording> {
        let id = self.count.fetch_add(1, Relaxed);
        {
            let mut current = self.lock();
            *current = Some(Notes { id, began: Instant::now(), steps: vec![] });
            self.on.store(true, Relaxed);
        }
        let on = On(self, id);
        work()?;
        Ok(match on.take() {
            Some(Notes { steps, .. }) => {
                let busy = Some(busy(steps.iter().map(|s| (s.start, s.end)).collect()));
                Recording { steps, busy, clock: Clock::Host, is_complete: true }
            }
            None => Recording::nothing(Clock::Host, false),
        })
    }

    /// Returns empty notes for a run that begins now, or `None` while no recording is on.
    #[inline]
    pub fn notes(&self) -> Option<Notes> {
        if !self.is_on() {
            return None;
        }
        self.lock().as_ref().map(|notes| Notes { id: notes.id, began: notes.began, steps: vec![] })
    }

    /// Adds the notes of a run, if the recording that was on at its beginning is still on.
    pub fn keep(&self, run: Notes) {
        if let Some(notes) = self.lock().as_mut().filter(|notes| notes.id == run.id) {
            notes.steps.extend(run.steps);
        }
    }
}
