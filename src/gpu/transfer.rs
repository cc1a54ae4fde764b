//! Copies between the host and a GPU's buffers. A read also returns the first error in the error notes (see `batch.rs`): an
//! index out of range, or an element that a routine refused.

use super::batch::ERROR_BYTES;
use super::connection::{lock, wait};
use super::device::{Gpu, driver_buffer};
use super::memory::{self, DriverBuffer};
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result, room};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

/// The most bytes read back or written in one piece. Each piece takes as much host memory again, in which it is staged; 64 MiB
/// is a judgement.
const PIECE: usize = 64 << 20;

/// Returns the driver's buffer behind a handle; fails if the buffer is not a GPU's.
fn own(buffer: &Buffer) -> Result<&DriverBuffer> {
    let internal = || Error::new(ErrorKind::Internal, "transfer", "the buffer does not belong to a GPU", None);
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
            return Err(Error::new(ErrorKind::Internal, "upload", detail, None));
        }
        self.connection.counters.bytes_in.fetch_add(bytes.len() as u64, Relaxed);
        // kernels that are recorded but not submitted must still see the old content, so they are submitted first
        mutant!(upload_overtakes_kernels, (), self.submit_uses_of(target)?);
        let (head, tail) = (offset % 4, if end == buffer.bytes() { 0 } else { end % 4 });
        if head == 0 && tail == 0 {
            return self.write_words(target, offset, bytes);
        }
        // wgpu writes whole words of 4 bytes: those bytes of the first and the last word that must stay are read first
        let (first, last) = (offset - head, end.next_multiple_of(4).min(buffer.bytes()));
        let mut words = vec![0; last - first];
        if head != 0 {
            let old = pollster::block_on(self.handle()?.read(buffer.clone(), first, head))?;
            words[..head].copy_from_slice(&old);
        }
        if tail != 0 {
            let old = pollster::block_on(self.handle()?.read(buffer.clone(), end, last - end))?;
            words[end - first..].copy_from_slice(&old);
        }
        words[head..head + bytes.len()].copy_from_slice(bytes);
        self.write_words(target, first, &words)
    }

    /// Writes bytes at an offset that is a multiple of 4. Their number must be a multiple of 4 too, unless they end where the
    /// array's memory ends: then zeros fill the last word, all of which the driver's buffer has.
    fn write_words(&self, target: &DriverBuffer, offset: usize, bytes: &[u8]) -> Result<()> {
        let whole = bytes.len() / 4 * 4;
        self.connection.scoped("upload", || {
            let queue = &self.connection.queue;
            for (n, piece) in bytes[..whole].chunks(PIECE).enumerate() {
                queue.write_buffer(&target.buffer, (offset + n * PIECE) as u64, piece);
                if whole > PIECE {
                    // without a submission wgpu would keep the staging memory of all pieces until the next one
                    queue.submit([]);
                }
            }
            if whole < bytes.len() {
                let mut word = [0; 4];
                word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                queue.write_buffer(&target.buffer, (offset + whole) as u64, &word);
            }
        })
    }

    /// Reads `len` bytes of a buffer from byte `offset`, as they are after all work enqueued so far.
    pub(super) async fn read(self: Arc<Gpu>, buffer: Buffer, offset: usize, len: usize) -> Result<Vec<u8>> {
        self.connection.check()?;
        let mut out = room::<u8>(len, "download", None)?;
        // a read of no bytes takes one turn too: it waits for the device, and returns late errors
        loop {
            let piece = (len - out.len()).min(PIECE);
            let source = own(&buffer)?;
            self.read_piece(Some((&source.buffer, offset + out.len())), piece, &mut out).await?;
            if out.len() == len {
                break;
            }
        }
        self.connection.counters.bytes_out.fetch_add(len as u64, Relaxed);
        self.connection.counters.syncs.fetch_add(1, Relaxed);
        Ok(out)
    }

    /// Appends `len` bytes of a buffer to `out`, as they are after all work enqueued so far; without a buffer only waits for
    /// that work. Fails if there is an error note, and clears the notes.
    pub(super) async fn read_piece(
        &self,
        source: Option<(&wgpu::Buffer, usize)>,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        // wgpu copies whole words of 4 bytes only
        let (start, skip) = source.map_or((0, 0), |(_, offset)| (offset / 4 * 4, offset % 4));
        let span = (skip + len).next_multiple_of(4) as u64;
        let staging = memory::staging(&self.connection, &self.pool, span + ERROR_BYTES)?;
        let (errors, submitted) = {
            let mut batch = lock(&self.batch);
            let errors = std::mem::take(&mut batch.unread_errors);
            let notes = batch.errors.clone();
            let submitted = batch.submit_with(&self.connection, |encoder| {
                if let Some((buffer, _)) = source
                    && len > 0
                {
                    encoder.copy_buffer_to_buffer(buffer, start as u64, &staging, 0, span);
                }
                if errors {
                    encoder.copy_buffer_to_buffer(&notes, 0, &staging, span, ERROR_BYTES);
                    encoder.clear_buffer(&notes, 0, None);
                }
            });
            (errors, submitted)
        };
        let lost = |error: Error| {
            // the notes may hold an error that can no longer be read, so the device must count as failed
            if mutant!(late_error_forgotten, false, errors) {
                self.connection.fail(&error);
            }
            error
        };
        submitted.map_err(lost)?;
        self.map(&staging, span + ERROR_BYTES).await.map_err(lost)?;
        let mut bad = None;
        {
            let fail = |detail: String| Error::new(ErrorKind::Internal, "download", detail, None);
            let view = staging.get_mapped_range(0..span + ERROR_BYTES).map_err(|e| lost(fail(e.to_string())))?;
            out.extend_from_slice(&view[skip..skip + len]);
            if errors {
                bad = lock(&self.batch).index_error(&view[span as usize..]);
            }
        }
        staging.unmap();
        lock(&self.pool).return_staging(staging);
        bad.map_or(Ok(()), Err)
    }

    /// Maps the first `bytes` bytes of a staging buffer for reading, which waits for all work submitted so far.
    async fn map(&self, staging: &wgpu::Buffer, bytes: u64) -> Result<()> {
        let mapped: Arc<OnceLock<bool>> = Arc::default();
        let signal = mapped.clone();
        self.connection.scoped("download", || {
            staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
                let _ = signal.set(result.is_ok());
            });
        })?;
        let fine = wait(self.connection.clone(), "download", move || mapped.get().copied()).await?;
        if fine {
            return self.connection.check();
        }
        self.connection.await_loss_report();
        self.connection.check()?;
        Err(Error::new(ErrorKind::Internal, "download", "the driver did not map the buffer", None))
    }
}
