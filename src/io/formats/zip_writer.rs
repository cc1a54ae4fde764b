//! Writing of ZIP archives, member by member.

use super::zip::{CENTRAL, DATE, DEFLATED, END, END64, END64_LENGTH, LOCAL, LOCATOR, STORED, UTF8};
use crate::base::replace::Stopped;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::io::{self, Seek, SeekFrom, Write};

/// A writer of an archive. `at` is the position in the output, and `directory` has the entries of the members that have
/// been written so far.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    /// The function that moves to a position in the output; `None` if the output is not seekable.
    seek: Option<fn(&mut W, u64) -> io::Result<()>>,
    at: u64,
    directory: Vec<u8>,
    pub names: Vec<String>,
    /// Whether a write has failed, which leaves the content of the archive unknown.
    has_failed: bool,
}

/// Returns a number for a 32-bit field of a record. A number that does not fit becomes all ones, and is written to a
/// ZIP64 field.
fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A function that produces the content of a member. It passes the bytes, piece by piece, to the function that it gets
/// as its argument.
pub(crate) type Filling<'a> = dyn FnMut(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), Stopped> + 'a;

/// A member to be written.
struct New<'a> {
    name: &'a str,
    crc: u32,
    packed: u64,
    size: u64,
    compress: bool,
    /// The position in the archive where the member's local header begins.
    at: u64,
}

impl New<'_> {
    /// Returns whether the local header has a ZIP64 field with both sizes. The packed length is not known yet, so its
    /// maximum decides: compression may add 5 bytes for each 16 KiB.
    fn is_wide(&self) -> bool {
        let most = if self.compress { self.size.saturating_add(self.size / 1000 + 64) } else { self.size };
        most >= u64::from(u32::MAX)
    }

    /// Returns which of the sizes and the position do not fit 32 bits. The member's entry in the directory has these
    /// numbers in a ZIP64 field.
    fn large(&self) -> Vec<u64> {
        [self.size, self.packed, self.at].into_iter().filter(|n| *n >= u64::from(u32::MAX)).collect()
    }

    /// Returns the bytes that a member's local header and its directory entry have in common.
    fn record(&self, sizes: [u32; 2], extra: &[u8]) -> Vec<u8> {
        let version = if self.is_wide() || !self.large().is_empty() { 45 } else { 20 };
        let method = if self.compress { DEFLATED } else { STORED };
        let mut record = [version, UTF8, method, 0, DATE].map(u16::to_le_bytes).concat();
        record.extend(self.crc.to_le_bytes());
        record.extend(sizes.map(u32::to_le_bytes).concat());
        record.extend([self.name.len() as u16, extra.len() as u16].map(u16::to_le_bytes).concat());
        record
    }

    /// Returns the local header. Its length does not depend on the checksum or the packed length, so the header can be
    /// overwritten when these are known.
    fn header(&self) -> Vec<u8> {
        let is_wide = self.is_wide();
        let extra = if is_wide { wide(&[self.size, self.packed]) } else { vec![] };
        let sizes = if is_wide { [u32::MAX; 2] } else { [narrow(self.packed), narrow(self.size)] };
        [&LOCAL.to_le_bytes()[..], &self.record(sizes, &extra), self.name.as_bytes(), &extra].concat()
    }

    /// Returns the member's entry in the directory.
    fn entry(&self) -> Vec<u8> {
        let extra = wide(&self.large());
        let record = self.record([narrow(self.packed), narrow(self.size)], &extra);
        // the version of the writer is the same as the version to read. The ten zero bytes mean: no comment, the first
        // part of the archive, no attributes
        let version = &record[..2];
        let at = narrow(self.at).to_le_bytes();
        [&CENTRAL.to_le_bytes()[..], version, &record, &[0; 10], &at, self.name.as_bytes(), &extra].concat()
    }
}

/// Returns a ZIP64 field with these numbers, or no bytes if there are no numbers.
fn wide(numbers: &[u64]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let head = [1, bytes.len() as u16];
    if bytes.is_empty() { bytes } else { [head.map(u16::to_le_bytes).concat(), bytes].concat() }
}

impl<W: Write + Seek> Writer<W> {
    /// Begins an archive in a seekable output, whose position must be 0.
    pub fn seekable(to: W) -> Writer<W> {
        Writer { seek: Some(|to, at| to.seek(SeekFrom::Start(at)).map(drop)), ..Writer::new(to) }
    }
}

/// Lets a [`DeflateEncoder`] write the compressed bytes directly to the archive.
impl<W: Write> Write for &mut Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Writer<W> {
    pub fn new(to: W) -> Writer<W> {
        Writer { to, seek: None, at: 0, directory: vec![], names: vec![], has_failed: false }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("an earlier write to the archive has failed"));
        }
        self.at += bytes.len() as u64;
        self.to.write_all(bytes).inspect_err(|_| self.has_failed = true)
    }

    /// Returns whether the output is seekable.
    pub fn is_seekable(&self) -> bool {
        self.seek.is_some()
    }

    /// Adds a member of `size` bytes, which `write` produces. The member's header contains a checksum of these bytes.
    /// If the output is seekable, the header is written again at the end; otherwise `write` is called twice, or
    /// compressed bytes are kept in memory. The length of the name must fit 16 bits.
    pub(crate) fn add(
        &mut self,
        name: &str,
        size: u64,
        compress: bool,
        write: &mut Filling<'_>,
    ) -> Result<(), Stopped> {
        let at = self.at;
        let mut member = New { name, crc: 0, packed: 0, size, compress, at };
        let Some(seek) = self.seek else {
            let (mut crc, mut deflated) =
                (Crc::new(), compress.then(|| DeflateEncoder::new(vec![], Compression::default())));
            write(&mut |bytes| {
                crc.update(bytes);
                deflated.as_mut().map_or(Ok(()), |to| to.write_all(bytes))
            })?;
            let deflated = deflated.map(DeflateEncoder::finish).transpose()?;
            member = New { crc: crc.sum(), packed: deflated.as_ref().map_or(size, |d| d.len() as u64), ..member };
            self.put(&member.header())?;
            match &deflated {
                Some(bytes) => self.put(bytes)?,
                None => write(&mut |bytes| self.put(bytes))?,
            }
            self.list(&member);
            return Ok(());
        };
        let header = member.header();
        self.put(&header)?;
        let mut crc = Crc::new();
        if compress {
            let mut to = DeflateEncoder::new(&mut *self, Compression::default());
            write(&mut |bytes| {
                crc.update(bytes);
                to.write_all(bytes)
            })?;
            to.finish()?;
        } else {
            write(&mut |bytes| {
                crc.update(bytes);
                self.put(bytes)
            })?;
        }
        member = New { crc: crc.sum(), packed: self.at - at - header.len() as u64, ..member };
        let end = self.at;
        seek(&mut self.to, at)?;
        self.put(&member.header())?;
        seek(&mut self.to, end)?;
        self.at = end;
        self.list(&member);
        Ok(())
    }

    fn list(&mut self, member: &New<'_>) {
        self.directory.extend(member.entry());
        self.names.push(member.name.to_string());
    }

    /// Writes the directory and the record at the end of the archive, and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        let (at, count) = (self.at, self.names.len() as u64);
        let directory = std::mem::take(&mut self.directory);
        let length = directory.len() as u64;
        self.put(&directory)?;
        if count >= u64::from(u16::MAX) || at.max(length) >= u64::from(u32::MAX) {
            let record_at = self.at;
            let mut record = END64.to_le_bytes().to_vec();
            record.extend((END64_LENGTH - 12).to_le_bytes());
            record.extend([45u16; 2].map(u16::to_le_bytes).concat());
            record.extend([0; 8]);
            record.extend([count, count, length, at].map(u64::to_le_bytes).concat());
            record.extend(LOCATOR.to_le_bytes());
            record.extend([0; 4]);
            record.extend(record_at.to_le_bytes());
            record.extend(1u32.to_le_bytes());
            self.put(&record)?;
        }
        let few = u16::try_from(count).unwrap_or(u16::MAX);
        let mut record = END.to_le_bytes().to_vec();
        record.extend([0, 0, few, few].map(u16::to_le_bytes).concat());
        record.extend([narrow(length), narrow(at)].map(u32::to_le_bytes).concat());
        record.extend([0; 2]);
        self.put(&record)?;
        self.to.flush()?;
        Ok(self.to)
    }
}
