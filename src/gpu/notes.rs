//! Error notes: shaders write the first index out of range, or an element that a routine refuses, to a buffer of notes, and the
//! next read or wait copies it to the host. This file knows what a note means, and keeps the copies that nobody has looked at,
//! because the future of their read was dropped.

use super::connection::{Connection, lock};
use super::waiting::Signal;
use super::wgsl::ERROR_SLOTS;
use crate::base::dtype::Compute;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::routine::{Params, Routine};
use crate::plan::backend::{index_out_of_range, refused_value};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// The most gathers and calls of routines whose facts are remembered, in less than 1 MiB; then the oldest is forgotten. The
/// error of a forgotten one names neither the index nor the caller's line.
const REMEMBERED: usize = 1 << 14;

/// Bytes of the buffer of error notes: each note is four words.
pub(super) const ERROR_BYTES: u64 = 16 * ERROR_SLOTS as u64;

/// What it means that a kernel or a routine wrote an error note.
pub(super) enum Refuses {
    /// An index of the operation `name` lies outside of an axis of `extent` elements.
    Index { name: &'static str, extent: usize },
    /// The routine refuses an element of its first operand.
    Element { row: &'static Routine, params: Params },
}

/// Remembers a gather that may meet an index out of range, or a routine that may meet an element that it refuses.
pub(super) struct Checked {
    /// The id that the shader writes to its note; [`Notes::remember`] sets it.
    pub id: u32,
    /// The line on which the caller of this evaluation wrote the operation.
    pub line: Option<Loc>,
    /// The type of its indices or elements.
    pub compute: Compute,
    pub refuses: Refuses,
}

/// What a device's error notes mean. Apart from the batch, because a future must not wait for those who record into that.
#[derive(Default)]
pub(super) struct Notes(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// How many gathers and routines that refuse elements were recorded since ids began ([`Notes::remember`]). Number `n`, from
    /// 1, notes errors under the id `u32::MAX - n`.
    gathers: u32,
    checked: VecDeque<Checked>,
    /// Copies of notes whose reads were given up before they looked at them, oldest first.
    unread: Vec<Copied>,
}

/// A copy of the error notes, on its way to the host or there.
pub(super) struct Copied {
    /// The staging buffer that has the notes from byte `at` on, at its end.
    pub staging: wgpu::Buffer,
    pub at: u64,
    /// Set when the buffer is mapped.
    pub signal: Signal,
}

impl Copied {
    /// Returns the error that was noted first, if there is one. The buffer must be mapped.
    fn error(&self, notes: &Notes) -> Result<Option<Error>> {
        let fail = |detail: String| Error::with_line(ErrorKind::Internal, "download", detail, None);
        let view = self.staging.get_mapped_range(0..self.at + ERROR_BYTES).map_err(|e| fail(e.to_string()))?;
        Ok(notes.first_error(&view[self.at as usize..]))
    }
}

impl Notes {
    /// Remembers a kernel's gathers, or a routine's call; returns the id under which the first of them notes an error. Each
    /// further one has the next smaller id: shader and host keep the largest id, which is that of the first one recorded.
    pub fn remember(&self, gathers: impl Iterator<Item = Checked>) -> u32 {
        let mut known = lock(&self.0);
        // ids go down to 1, as 0 stands for no error; then they begin again. No kernel has as many gathers as this leaves
        if known.gathers > u32::MAX - (1 << 16) {
            known.gathers = 0;
        }
        let first = known.gathers + 1;
        for gather in gathers {
            known.gathers += 1;
            if known.checked.len() == REMEMBERED {
                known.checked.pop_front();
            }
            let id = u32::MAX - known.gathers;
            known.checked.push_back(Checked { id, ..gather });
        }
        u32::MAX - first
    }

    /// Returns the error of the gather or routine that was recorded first among those in the error notes, if there are any.
    pub fn first_error(&self, notes: &[u8]) -> Option<Error> {
        let words = |note: &[u8]| -> [u32; 3] {
            std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|b| note[4 * i + b])))
        };
        let [id, low, high] = notes.chunks_exact(16).map(words).max_by_key(|w| w[0])?;
        if id == 0 {
            return None;
        }
        let known = lock(&self.0);
        let Some(gather) = known.checked.iter().find(|c| mutant!(error_of_another_gather, true, c.id == id)) else {
            let detail = format!(
                "an index is out of range, or an element is refused, in an operation of which no more is known: the lines of \
                 the last {REMEMBERED} operations that check indices are kept between two reads"
            );
            return Some(Error::with_line(ErrorKind::Index, "eval", detail, None));
        };
        let bits = mutant!(note_without_its_upper_word, 0, high as u64) << 32 | low as u64;
        let index = if gather.compute == Compute::U64 { bits as i128 } else { bits as i64 as i128 };
        Some(match &gather.refuses {
            Refuses::Index { name, extent } => index_out_of_range(name, index, *extent, gather.line),
            Refuses::Element { row, params } => refused_value(row, params, index, gather.line),
        })
    }

    /// Whether there are copies of notes that nobody has looked at.
    pub fn has_unread(&self) -> bool {
        !lock(&self.0).unread.is_empty()
    }

    /// Takes the copies that nobody has looked at, for a read that looks at them together with `own`, its own copy.
    pub fn take(self: &Arc<Notes>, connection: &Arc<Connection>, own: Option<Copied>) -> Taken {
        let mut copies = std::mem::take(&mut lock(&self.0).unread);
        copies.extend(own);
        Taken { notes: self.clone(), connection: connection.clone(), copies }
    }
}

/// Copies of notes that a read will look at. Where the read is given up before that, they wait for the next one.
pub(super) struct Taken {
    notes: Arc<Notes>,
    connection: Arc<Connection>,
    copies: Vec<Copied>,
}

impl Taken {
    /// No copies, for a read that looks at none.
    pub fn nothing(notes: &Arc<Notes>, connection: &Arc<Connection>) -> Taken {
        Taken { notes: notes.clone(), connection: connection.clone(), copies: vec![] }
    }

    /// Whether there is no copy to look at.
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// When all copies are on the host.
    pub fn signals(&self) -> Vec<Signal> {
        self.copies.iter().map(|copy| copy.signal.clone()).collect()
    }

    /// Returns the first error of all copies, which must be on the host, and forgets the copies.
    pub fn first_error(&mut self) -> Result<Option<Error>> {
        let mut first = None;
        for copy in std::mem::take(&mut self.copies) {
            first = first.or(copy.error(&self.notes)?);
        }
        Ok(first)
    }

    /// Forgets the copies, of a device that has failed.
    pub fn forget(&mut self) {
        self.copies.clear();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut copies = std::mem::take(&mut self.copies);
        if copies.is_empty() {
            return;
        }
        // in a process made by fork, a thread that is not there may hold the lock, and the driver's buffers must not be dropped
        if self.connection.is_inherited() {
            return std::mem::forget(copies);
        }
        // those without an error need no second look, and after one with an error none is told: so few are kept however many reads
        // are given up
        let mut has_error = false;
        copies.retain(|copy| {
            let error =
                if has_error || copy.signal.get() != Some(&true) { None } else { Some(copy.error(&self.notes)) };
            let is_kept = !has_error && !matches!(error, Some(Ok(None)));
            has_error |= matches!(error, Some(Ok(Some(_))));
            is_kept
        });
        let mut known = lock(&self.notes.0);
        mutant!(error_of_a_dropped_read_lost, drop(copies), known.unread.append(&mut copies));
    }
}
