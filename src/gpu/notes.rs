//! Error notes. A shader writes the first index that is out of range, or an element that a routine rejects, to a buffer
//! of notes, and the next read or wait copies the buffer to the host. This file defines what a note means. If a read is
//! dropped before it has checked its copy of the notes, this file keeps the copy.

use super::connection::{Connection, lock};
use super::waiting::Signal;
use super::wgsl::ERROR_SLOTS;
use crate::base::dtype::Compute;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::routine::{Params, Routine};
use crate::plan::backend::{index_out_of_range, refused_value};
use crate::plan::kernel::IndexMode;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// The most gathers and routine calls that are remembered, so that they use less than 1 MiB. Beyond this, the oldest is
/// forgotten. The error of a forgotten gather or call includes neither the index nor the caller's line.
const REMEMBERED: usize = 1 << 14;

/// The size of the buffer of error notes in bytes. Each note has four words of 4 bytes.
pub(super) const ERROR_BYTES: u64 = 16 * ERROR_SLOTS as u64;

/// What a kernel or a routine reports by writing an error note.
pub(super) enum NoteKind {
    /// An index of the operation `name` lies outside an axis of `extent` elements.
    Index { name: &'static str, mode: IndexMode, extent: usize },
    /// The routine rejects an element of its first operand.
    Element { row: &'static Routine, params: Params },
}

/// A gather that may find an index out of range, or a routine call that may reject an element.
pub(super) struct NoteSource {
    /// The error id, which the shader writes into its error note. [`ErrorNotes::remember`] sets it.
    pub id: u32,
    /// The line on which the caller of this evaluation wrote the operation.
    pub line: Option<Loc>,
    /// The type of the indices or elements.
    pub compute: Compute,
    pub refuses: NoteKind,
}

/// Remembers which gather or routine call each error id stands for, so that a device's error notes can be turned into
/// errors. It has a lock of its own, apart from the batch's lock, because a future must not wait for threads that
/// record into the batch.
#[derive(Default)]
pub(super) struct ErrorNotes(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// How many gathers and routine calls were recorded since ids last started again (see [`ErrorNotes::remember`]).
    /// The gather or call with the number `n`, counted from 1, writes its notes with the id `u32::MAX - n`.
    gathers: u32,
    checked: VecDeque<NoteSource>,
    /// Copies of notes that were never checked, because the read was dropped. The oldest copy comes first.
    unread: Vec<Copied>,
}

/// A copy of the error notes in a staging buffer, from which the host reads. The copy may not have arrived yet.
pub(super) struct Copied {
    /// The staging buffer. It holds the copied notes from byte `at` on.
    pub staging: wgpu::Buffer,
    pub at: u64,
    /// This signal is set when the staging buffer is mapped, so that the host can read it.
    pub signal: Signal,
}

impl Copied {
    /// Returns the error in the copied notes, if there is one. If there are several, returns the error of the operation
    /// that was recorded first. The staging buffer must be mapped.
    fn error(&self, notes: &ErrorNotes) -> Result<Option<Error>> {
        let fail = |detail: String| Error::with_line(ErrorKind::Internal, "download", detail, None);
        let view = self.staging.get_mapped_range(0..self.at + ERROR_BYTES).map_err(|e| fail(e.to_string()))?;
        Ok(notes.first_error(&view[self.at as usize..]))
    }
}

impl ErrorNotes {
    /// Remembers the gathers of a kernel, or a routine call, and returns the error id of the first. Each further gather
    /// has the next smaller id. Shader and host keep the note with the largest id, which belongs to the gather that was
    /// recorded first.
    pub fn remember(&self, gathers: impl Iterator<Item = NoteSource>) -> u32 {
        let mut known = lock(&self.0);
        // ids count down, and 0 means no error. They start again from the top while 2^16 are left, which is more than
        // the gathers of any kernel
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
            known.checked.push_back(NoteSource { id, ..gather });
        }
        u32::MAX - first
    }

    /// Returns the error in the notes, or `None` if there are no notes. If several gathers or routine calls have
    /// written notes, returns the error of the one that was recorded first.
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
            NoteKind::Index { name, mode, extent } => index_out_of_range(name, *mode, index, *extent, gather.line),
            NoteKind::Element { row, params } => refused_value(row, params, index, gather.line),
        })
    }

    /// Returns whether there are copies of notes that no read has looked at.
    pub fn has_unread(&self) -> bool {
        !lock(&self.0).unread.is_empty()
    }

    /// Takes the copies that no read has looked at, so that a read checks them together with `own`, its own copy.
    pub fn take(self: &Arc<ErrorNotes>, connection: &Arc<Connection>, own: Option<Copied>) -> Taken {
        let mut copies = std::mem::take(&mut lock(&self.0).unread);
        copies.extend(own);
        Taken { notes: self.clone(), connection: connection.clone(), copies }
    }
}

/// Copies of notes that a read will check. If the read is dropped before that, they are kept for the next read.
pub(super) struct Taken {
    notes: Arc<ErrorNotes>,
    connection: Arc<Connection>,
    copies: Vec<Copied>,
}

impl Taken {
    /// Returns a `Taken` without copies, for a read that checks no notes.
    pub fn nothing(notes: &Arc<ErrorNotes>, connection: &Arc<Connection>) -> Taken {
        Taken { notes: notes.clone(), connection: connection.clone(), copies: vec![] }
    }

    /// Returns whether there are no copies to check.
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
    }

    /// Returns the signals of all copies. Each is set when its copy is on the host.
    pub fn signals(&self) -> Vec<Signal> {
        self.copies.iter().map(|copy| copy.signal.clone()).collect()
    }

    /// Returns the first error of all copies, which must be on the host, and removes the copies.
    pub fn first_error(&mut self) -> Result<Option<Error>> {
        let mut first = None;
        for copy in std::mem::take(&mut self.copies) {
            first = first.or(copy.error(&self.notes)?);
        }
        Ok(first)
    }

    /// Removes the copies without checking them, because the device has failed.
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
        // in a process made by fork, the lock may be held by a thread that exists only in the parent, and the driver's
        // buffers must not be dropped
        if self.connection.is_inherited() {
            return std::mem::forget(copies);
        }
        // drop the copies without an error, and all copies after the first error, because only the first error is
        // reported. So few copies are kept, however many reads are dropped
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
