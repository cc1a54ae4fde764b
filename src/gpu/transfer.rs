//! Copies between the host and a GPU's buffers. A read also returns the first error in the error notes (see
//! `notes.rs`): an index out of range, or an element that a routine rejected.

use super::batch::new_encoder;
use super::connection::{GONE, lock};
use super::device::{Gpu, driver_buffer};
use super::memory::{self, DriverBuffer};
use super::notes::{Copied, ERROR_BYTES, Taken};
use super::time_out::SubmittedWork;
use super::waiting::{Signal, Wait, apart};
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::platform::CAN_WAIT;
use crate::plan::backend::{Backend, Receive, wait};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The most bytes written in one piece. wgpu stages each piece in host memory of the same size. 64 MiB was chosen by
/// hand; no benchmark compares other values.
const PIECE: usize = 64 << 20;

/// The most bytes read back in one piece, a whole number of elements. Two pieces are in flight at once: the device
/// copies the next one while the host copies this one. Each piece has a fixed cost of about 40 µs (the time for reading
/// 4 KiB), which is small compared with the 1.6 ms that a bus of 10 GB/s needs for 16 MiB.
const PIECE_READ: usize = 16 << 20;

/// Returns the driver's buffer behind a handle. Returns an error if the buffer does not belong to a GPU.
fn own(buffer: &Buffer) -> Result<&DriverBuffer> {
    let internal = || Error::with_line(ErrorKind::Internal, "transfer", "the buffer does not belong to a GPU", None);
    driver_buffer(buffer).ok_or_else(internal)
}

impl Gpu {
    /// Copies host bytes into a buffer from byte `offset`.
    pub(super) fn write(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        self.connection.check()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let target = own(buffer)?;
        let end = offset + bytes.len();
        if end > buffer.bytes() {
            let detail = format!("bytes {offset}..{end} do not fit a buffer of {} bytes", buffer.bytes());
            return Err(Error::with_line(ErrorKind::Internal, "upload", detail, None));
        }
        let before = self.connection.counters.bytes_in.fetch_add(bytes.len() as u64, Relaxed);
        // many small writes are submitted after every 64 MiB in total, just as a large write is submitted after every
        // piece of 64 MiB
        let fills = (before + bytes.len() as u64) / PIECE as u64 > before / PIECE as u64;
        // kernels that are recorded but not submitted must still see the old content, so they are submitted first
        mutant!(upload_overtakes_kernels, (), self.submit_uses_of(target)?);
        let (head, tail) = (offset % 4, if end == buffer.bytes() { 0 } else { end % 4 });
        if head == 0 && tail == 0 {
            return self.write_words(target, offset, bytes, fills);
        }
        // wgpu writes whole words of 4 bytes, so the bytes of the first and the last word that must not change are read
        // first
        let (first, last) = (offset - head, end.next_multiple_of(4).min(buffer.bytes()));
        let mut words = vec![0; last - first];
        if head != 0 {
            let old = wait("upload", "", self.download(buffer, first, head))?;
            words[..head].copy_from_slice(&old);
        }
        if tail != 0 {
            let old = wait("upload", "", self.download(buffer, end, last - end))?;
            words[end - first..].copy_from_slice(&old);
        }
        words[head..head + bytes.len()].copy_from_slice(bytes);
        self.write_words(target, first, &words, fills)
    }

    /// Writes bytes at an offset that is a multiple of 4. The number of bytes must be a multiple of 4 too, unless they
    /// end where the array's memory ends. Then zeros fill the last word, which lies inside the driver's buffer. If
    /// `submits` is true, the writes are submitted.
    fn write_words(&self, target: &DriverBuffer, offset: usize, bytes: &[u8], submits: bool) -> Result<()> {
        let whole = bytes.len() / 4 * 4;
        self.connection.scoped("upload", || {
            let queue = &self.connection.queue;
            for (n, piece) in bytes[..whole].chunks(PIECE).enumerate() {
                queue.write_buffer(&target.buffer, (offset + n * PIECE) as u64, piece);
                if whole > PIECE {
                    // without a submission, wgpu would keep the staging memory of all pieces until the next submission
                    queue.submit([]);
                }
            }
            if whole < bytes.len() {
                let mut word = [0; 4];
                word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                queue.write_buffer(&target.buffer, (offset + whole) as u64, &word);
            }
            if submits {
                queue.submit([]);
            }
        })
    }

    /// Reads `len` bytes of a buffer from byte `offset`, after all work enqueued so far, and passes them to `receive`.
    /// This call submits that work and the first copy; the future waits for the copies.
    pub(super) fn read(
        self: Arc<Gpu>,
        buffer: Buffer,
        offset: usize,
        len: usize,
        mut receive: Receive,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let begin = || {
            self.connection.check()?;
            // a read of no bytes also submits one (empty) piece, because it must wait for the device and return errors
            // that were noted earlier
            self.begin(Some((&own(&buffer)?.buffer, offset)), len.min(PIECE_READ))
        };
        let begun = begin();
        async move {
            let (piece, notes) = begun?;
            let (mut piece, mut notes) = (Some(piece), Some(notes));
            let mut asked = len.min(PIECE_READ);
            while let Some(this) = piece.take() {
                let mut next = Ok(None);
                if asked < len {
                    let (gpu, buffer, at, rest) = (self.clone(), buffer.clone(), offset + asked, len - asked);
                    // a driver may make a submission wait for other work, so the next copy is not submitted within this
                    // poll of the future
                    next = apart("download", move || gpu.next_piece(&buffer, at, rest.min(PIECE_READ))).await.map(Some);
                    asked += rest.min(PIECE_READ);
                }
                // an error in the notes that came with this piece takes precedence over a failure to get the next piece
                self.finish(this, notes.take(), &mut receive).await?;
                piece = next?;
            }
            self.connection.counters.bytes_out.fetch_add(len as u64, Relaxed);
            self.connection.counters.syncs.fetch_add(1, Relaxed);
            Ok(())
        }
    }

    /// Submits all work enqueued so far. The future waits until this work is done, and fails if there is an error note.
    pub(super) fn settled(self: Arc<Gpu>) -> impl Future<Output = Result<()>> + Send + use<> {
        let begin = || {
            self.connection.check()?;
            self.connection.counters.syncs.fetch_add(1, Relaxed);
            let unread = lock(&self.batch).unread_errors || self.notes.has_unread();
            if mutant!(synchronize_forgets_errors, false, unread) {
                return self.begin(None, 0).map(Ok);
            }
            let (signal, watch) = (Signal::default(), self.watch.clone());
            let set = signal.clone();
            let mut batch = lock(&self.batch);
            // an empty batch is submitted too, because a submission carries the uploads that wgpu still holds
            batch.submit_with(&self.connection, |_| {})?;
            self.connection.queue.on_submitted_work_done(move || watch.set(&set, true));
            Ok(Err(signal))
        };
        let begun = begin();
        async move {
            match begun? {
                Ok((piece, notes)) => self.finish(piece, Some(notes), &mut |_| Ok(())).await,
                Err(signal) => {
                    Wait::new(&self.connection, &self.watch, "synchronize", &signal).await?;
                    // a lost device reports its submissions as finished, so check whether it is lost
                    self.connection.check()
                }
            }
        }
    }

    /// Appends `len` bytes of a driver's buffer to `out`, as they are after all work enqueued so far. Fails if
    /// there is an error note, and clears the notes.
    pub(super) fn read_now(&self, source: &wgpu::Buffer, len: usize, out: &mut Vec<u8>) -> Result<()> {
        let (piece, notes) = self.begin(Some((source, 0)), len)?;
        let mut append = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        wait("read", "", self.finish(piece, Some(notes), &mut append))
    }

    /// Prepares a piece of a read: the copy of `len` bytes from byte `offset` to a staging buffer, which also has room
    /// for the error notes after these bytes.
    fn piece(&self, offset: usize, len: usize) -> Result<Piece> {
        // wgpu copies only whole words of 4 bytes, so the copy may begin up to 3 bytes before `offset`
        let skip = offset % 4;
        let span = (skip + len).next_multiple_of(4) as u64;
        let staging = memory::staging(&self.connection, &self.pool, span + ERROR_BYTES)?;
        Ok(Piece { staging, signal: Signal::default(), skip, len, span })
    }

    /// Submits all work enqueued so far, then the copies of a piece of a buffer and of unread error notes. `source` is
    /// the buffer and the byte from which to copy; if it is `None`, only the notes are copied. Returns the piece, and
    /// the notes that the read must check.
    fn begin(&self, source: Option<(&wgpu::Buffer, usize)>, len: usize) -> Result<(Piece, Taken)> {
        let piece = self.piece(source.map_or(0, |(_, offset)| offset), len)?;
        let (errors, submitted) = {
            let mut batch = lock(&self.batch);
            let errors = std::mem::take(&mut batch.unread_errors);
            let notes = batch.errors.clone();
            let submitted = batch.submit_with(&self.connection, |encoder| {
                if let Some((buffer, offset)) = source {
                    piece.copy(encoder, buffer, offset);
                }
                if errors {
                    encoder.copy_buffer_to_buffer(&notes, 0, &piece.staging, piece.span, ERROR_BYTES);
                    encoder.clear_buffer(&notes, 0, None);
                }
            });
            (errors, submitted)
        };
        let own = || Copied { staging: piece.staging.clone(), at: piece.span, signal: piece.signal.clone() };
        let mut notes = self.notes.take(&self.connection, errors.then(own));
        submitted.and_then(|()| self.map(&piece)).map_err(|e| self.lost(&mut notes, e))?;
        Ok((piece, notes))
    }

    /// Submits the copy of a further piece of a read. The copy is not recorded into the batch: it need not run after
    /// the dispatches recorded there, because none of them writes to a buffer that a read holds.
    fn next_piece(&self, buffer: &Buffer, offset: usize, len: usize) -> Result<Piece> {
        self.connection.check()?;
        let (source, piece) = (own(buffer)?, self.piece(offset, len)?);
        self.connection.scoped("submit", || {
            let mut encoder = new_encoder(&self.connection);
            piece.copy(&mut encoder, &source.buffer, offset);
            let operations = len as u64 / 4;
            self.connection.submit(encoder.finish(), SubmittedWork { first_runs: 0, operations });
        })?;
        self.map(&piece)?;
        Ok(piece)
    }

    /// Requests the mapping of a piece's staging buffer. The mapping happens after all work submitted so far.
    fn map(&self, piece: &Piece) -> Result<()> {
        let (signal, watch) = (piece.signal.clone(), self.watch.clone());
        self.connection.scoped("download", || {
            piece.staging.map_async(wgpu::MapMode::Read, 0..piece.span + ERROR_BYTES, move |result| {
                watch.set(&signal, result.is_ok());
            });
        })
    }

    /// Waits for the copies of a piece and of its error notes. Passes the bytes to `receive`. Returns an error if there
    /// is an error note. If the future is dropped meanwhile, the notes are left to the next read or wait.
    async fn finish(
        &self,
        piece: Piece,
        notes: Option<Taken>,
        receive: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let mut notes = notes.unwrap_or_else(|| Taken::nothing(&self.notes, &self.connection));
        for signal in notes.signals().iter().chain([&piece.signal]) {
            // if the host cannot wait because no thread can be started, the copies still arrive, so the notes are kept
            // for the next read. A device that failed, was lost or hangs cannot deliver its notes
            let mapped = self.mapped(signal).await;
            let is_gone = |e: &Error| {
                e.kind() == ErrorKind::Timeout || self.connection.check().is_err() || signal.get() == Some(&false)
            };
            mapped.map_err(|e| if is_gone(&e) { self.lost(&mut notes, e) } else { e })?;
        }
        // there is no `await` from here on, so the future cannot be dropped after the notes are checked and before the
        // error is returned
        let error = notes.first_error().map_err(|e| self.lost(&mut notes, e))?;
        let received = piece.give_to(receive).map_err(|e| self.lost(&mut notes, e))?;
        piece.staging.unmap();
        lock(&self.pool).return_staging(piece.staging);
        error.map_or(received, Err)
    }

    /// Waits until a staging buffer is mapped.
    async fn mapped(&self, signal: &Signal) -> Result<()> {
        if Wait::new(&self.connection, &self.watch, "download", signal).await? {
            return self.connection.check();
        }
        if !CAN_WAIT {
            // a browser fails the mapping before it reports that the device is lost, and fails a mapping for no other
            // reason
            self.connection.fail(&Error::with_line(ErrorKind::DeviceLost, "download", GONE, None));
        }
        let connection = self.connection.clone();
        apart("download", move || {
            connection.await_loss_report();
            Ok(())
        })
        .await?;
        self.connection.check()?;
        Err(Error::with_line(ErrorKind::Internal, "download", "the driver did not map the buffer", None))
    }

    /// Ends a read that cannot be finished, and returns `error`. If the read had to check error notes, an error in them
    /// can no longer be reported, so the device is marked as failed.
    fn lost(&self, notes: &mut Taken, error: Error) -> Error {
        if mutant!(late_error_forgotten, false, !notes.is_empty()) {
            self.connection.fail(&error);
        }
        notes.forget();
        error
    }
}

/// A piece of a read: a copy on its way to a staging buffer.
#[derive(Clone)]
struct Piece {
    staging: wgpu::Buffer,
    /// This signal is set when the buffer is mapped.
    signal: Signal,
    /// How many bytes at the start of the staging buffer precede the requested bytes. `len` is the number of requested
    /// bytes.
    skip: usize,
    len: usize,
    /// `skip + len`, rounded up to whole words of 4 bytes. The error notes follow at this byte.
    span: u64,
}

impl Piece {
    /// Records the copy from byte `offset` of a buffer.
    fn copy(&self, encoder: &mut wgpu::CommandEncoder, buffer: &wgpu::Buffer, offset: usize) {
        if self.len > 0 {
            encoder.copy_buffer_to_buffer(buffer, (offset - self.skip) as u64, &self.staging, 0, self.span);
        }
    }

    /// Passes the bytes, which must be mapped, to `receive`, and returns its result. The outer error means that the
    /// bytes cannot be accessed.
    fn give_to(&self, receive: &mut (dyn FnMut(&[u8]) -> Result<()> + Send)) -> Result<Result<()>> {
        let fail = |detail: String| Error::with_line(ErrorKind::Internal, "download", detail, None);
        let view = self.staging.get_mapped_range(0..self.span + ERROR_BYTES).map_err(|e| fail(e.to_string()))?;
        Ok(receive(&view[self.skip..self.skip + self.len]))
    }
}
