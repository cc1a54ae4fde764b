//! The container of `.npz` files: a ZIP archive, limited to the part of the format that Python's `zipfile` writes and
//! reads (APPNOTE 6.3.10). Members are stored or deflated, and ZIP64 is supported; encryption and archives in several
//! parts are not. The unpacked size of an archive is at most a fixed multiple of its length, because members must not
//! overlap.

use crate::base::error::{ErrorKind, Fault, Result};
use crate::io::{format_fault, instead, io_fault, printable};
use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};

type Fallible<T> = Result<T, Fault>;

pub const LOCAL: u32 = 0x0403_4b50;
pub const CENTRAL: u32 = 0x0201_4b50;
pub const END: u32 = 0x0605_4b50;
pub const END64: u32 = 0x0606_4b50;
pub const LOCATOR: u32 = 0x0706_4b50;
/// The lengths in bytes of the five kinds of records of a ZIP archive, without the fields of variable length at their
/// ends.
const LOCAL_LENGTH: u64 = 30;
const CENTRAL_LENGTH: u64 = 46;
const END_LENGTH: usize = 22;
pub const END64_LENGTH: u64 = 56;
const LOCATOR_LENGTH: u64 = 20;
pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;
/// The bit of `flags` that marks an encrypted member.
const ENCRYPTED: u16 = 1;
/// The bit of `flags` that marks a name in UTF-8.
pub const UTF8: u16 = 1 << 11;
/// The date of every member: 1980-01-01, the earliest date in the format, which NumPy writes too. With a fixed date,
/// archives of equal arrays are equal.
pub const DATE: u16 = 1 << 5 | 1;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A file in an archive, as the archive's directory describes it.
#[derive(Debug)]
pub struct Member {
    pub name: Box<str>,
    /// The offset of the member's local header in the archive.
    at: u64,
    /// The offset at which the next member or the directory begins. This member must end there or before.
    limit: u64,
    pub packed: u64,
    pub size: u64,
    crc: u32,
    method: u16,
    flags: u16,
}

/// The location of an archive's directory, and the number of members in it.
struct DirectoryLocation {
    at: u64,
    length: u64,
    count: u64,
}

fn seek(source: &mut impl Seek, to: u64) -> Fallible<()> {
    source.seek(SeekFrom::Start(to)).map(drop).map_err(io_fault)
}

fn fill(source: &mut impl Read, into: &mut [u8]) -> Fallible<()> {
    let early = |e: &io::Error| e.kind() == io::ErrorKind::UnexpectedEof;
    source.read_exact(into).map_err(|e| if early(&e) { format_fault("the archive is cut off") } else { io_fault(e) })
}

/// Finds the directory of an archive. The record at the end of the archive contains the directory's location.
fn find_directory(source: &mut (impl Read + Seek)) -> Fallible<DirectoryLocation> {
    let length = source.seek(SeekFrom::End(0)).map_err(io_fault)?;
    // a comment of at most 65,535 bytes may follow the record
    let tail_length = length.min((END_LENGTH + usize::from(u16::MAX)) as u64);
    let mut tail = vec![0; tail_length as usize];
    seek(source, length - tail_length)?;
    fill(source, &mut tail)?;
    let is_end =
        |at: &usize| u32_at(&tail, *at) == END && *at + END_LENGTH + u16_at(&tail, *at + 20) as usize == tail.len();
    let last = tail.len().checked_sub(END_LENGTH).and_then(|last| (0..=last).rev().find(is_end));
    let Some(at) = last else {
        let mut start = [0; 8];
        seek(source, 0)?;
        let hint = if length < 8 { "" } else { fill(source, &mut start).map(|()| instead(&start))? };
        let detail = match (length, hint.contains("zip")) {
            (0, _) => "the file is empty".to_string(),
            (_, true) => "the archive is cut off: the record at its end is missing".to_string(),
            _ => format!("not an archive (.npz), or it is cut off: the record at its end is missing{hint}"),
        };
        return Err(format_fault(detail));
    };
    let record = &tail[at..];
    let mut end = length - tail_length + at as u64;
    let (disk, disk_of_directory) = (u16_at(record, 4), u16_at(record, 6));
    let (here, all) = (u16_at(record, 8), u16_at(record, 10));
    let mut place =
        DirectoryLocation { at: u32_at(record, 16).into(), length: u32_at(record, 12).into(), count: all.into() };
    let is_full = all == u16::MAX || u32_at(record, 12) == u32::MAX || u32_at(record, 16) == u32::MAX;
    let mut is_whole = disk == disk_of_directory && here == all && (disk == 0 || is_full);
    if is_full && let Some((at, place64, is_whole64)) = find_directory64(source, end)? {
        (end, place, is_whole) = (at, place64, is_whole64);
    }
    if !is_whole {
        return Err(format_fault("the archive is in several parts"));
    }
    if place.at.checked_add(place.length) != Some(end) {
        let DirectoryLocation { at, length, .. } = place;
        let detail =
            format!("the directory of {length} bytes at {at} does not end at {end}, where the record after it begins");
        return Err(format_fault(detail));
    }
    if place.count > place.length / CENTRAL_LENGTH {
        let detail = format!("the directory of {} bytes is too short for {} members", place.length, place.count);
        return Err(format_fault(detail));
    }
    Ok(place)
}

/// Reads the ZIP64 record, which has the numbers that do not fit the record at `end`. Returns the position of the ZIP64
/// record, the location of the directory, and whether the archive consists of one part. Returns `None` if there is no
/// ZIP64 record.
fn find_directory64(source: &mut (impl Read + Seek), end: u64) -> Fallible<Option<(u64, DirectoryLocation, bool)>> {
    let Some(at) = end.checked_sub(LOCATOR_LENGTH) else { return Ok(None) };
    let mut locator = [0; LOCATOR_LENGTH as usize];
    seek(source, at)?;
    fill(source, &mut locator)?;
    if u32_at(&locator, 0) != LOCATOR {
        return Ok(None);
    }
    let record_at = u64_at(&locator, 8);
    if record_at.checked_add(END64_LENGTH).is_none_or(|after| after > at) {
        return Err(format_fault(format!("the record of ZIP64 at {record_at} lies outside the archive")));
    }
    let mut record = [0; END64_LENGTH as usize];
    seek(source, record_at)?;
    fill(source, &mut record)?;
    if u32_at(&record, 0) != END64 {
        return Err(format_fault(format!("there is no record of ZIP64 at {record_at}")));
    }
    let (here, all) = (u64_at(&record, 24), u64_at(&record, 32));
    let is_whole = u32_at(&record, 16) == 0 && u32_at(&record, 20) == 0 && here == all;
    Ok(Some((
        record_at,
        DirectoryLocation { at: u64_at(&record, 48), length: u64_at(&record, 40), count: all },
        is_whole,
    )))
}

/// Reads the directory of an archive. Returns the members in the order of the directory, without folders. This
/// allocates a few times as many bytes as the directory has.
pub fn directory(source: &mut (impl Read + Seek)) -> Fallible<Vec<Member>> {
    let place = find_directory(source)?;
    seek(source, place.at)?;
    let mut records = BufReader::new(source.take(place.length));
    let mut members = vec![];
    // `find_directory` has checked that the count fits the directory
    let room = members.try_reserve_exact(place.count as usize);
    room.map_err(|_| Fault::new(ErrorKind::OutOfMemory, format!("no memory for {} members", place.count)))?;
    for _ in 0..place.count {
        members.push(read_record(&mut records)?);
    }
    let mut rest = [0];
    if records.read(&mut rest).map_err(io_fault)? != 0 {
        return Err(format_fault(format!("the directory has more than the {} members that it counts", place.count)));
    }
    // each member must end before the next member in the file begins
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_unstable_by_key(|i| members[*i].at);
    let mut limit = place.at;
    for i in order.into_iter().rev() {
        let member: &mut Member = &mut members[i];
        let least = [LOCAL_LENGTH, member.name.len() as u64, member.packed];
        let end = least.into_iter().try_fold(member.at, u64::checked_add);
        if end.is_none_or(|end| end > limit) {
            let detail = format!(
                "member {}: its {} bytes at {} overlap what begins at {limit}",
                member.name, member.packed, member.at
            );
            return Err(format_fault(detail));
        }
        member.limit = limit;
        limit = member.at;
    }
    members.retain(|member| !member.name.ends_with('/') || member.size > 0);
    Ok(members)
}

fn read_record(source: &mut impl Read) -> Fallible<Member> {
    let mut record = [0; CENTRAL_LENGTH as usize];
    fill(source, &mut record)?;
    if u32_at(&record, 0) != CENTRAL {
        return Err(format_fault("the directory has something else where a member should be"));
    }
    let mut name = vec![0; u16_at(&record, 28).into()];
    fill(source, &mut name)?;
    let mut extra = vec![0; u16_at(&record, 30).into()];
    fill(source, &mut extra)?;
    fill(source, &mut vec![0; u16_at(&record, 32).into()])?;
    let name = String::from_utf8(name)
        .map_err(|e| format_fault(format!("the name of member {} is not UTF-8", printable(e.as_bytes()))))?;
    let mut numbers = [24, 20, 42].map(|at| u64::from(u32_at(&record, at)));
    widen(&mut numbers, &extra)
        .ok_or_else(|| format_fault(format!("member {}: its sizes are missing", printable(name.as_bytes()))))?;
    let [size, packed, at] = numbers;
    check_name(&name).map_err(format_fault)?;
    Ok(Member {
        name: name.into(),
        at,
        limit: 0,
        packed,
        size,
        crc: u32_at(&record, 16),
        method: u16_at(&record, 10),
        flags: u16_at(&record, 8),
    })
}

/// Replaces the numbers of a directory entry that do not fit 32 bits by the numbers in its ZIP64 extra field.
fn widen(numbers: &mut [u64; 3], mut extra: &[u8]) -> Option<()> {
    if numbers.iter().all(|n| *n != u64::from(u32::MAX)) {
        return Some(());
    }
    loop {
        let (head, rest) = extra.split_at_checked(4)?;
        let (mut field, rest) = rest.split_at_checked(u16_at(head, 2).into())?;
        if u16_at(head, 0) == 1 {
            for n in numbers.iter_mut().filter(|n| **n == u64::from(u32::MAX)) {
                let (number, rest) = field.split_at_checked(8)?;
                (*n, field) = (u64_at(number, 0), rest);
            }
            return Some(());
        }
        extra = rest;
    }
}

/// Returns a message if a member's name is not safe: other programs unpack archives to paths of these names, and error
/// messages show the names.
pub fn check_name(name: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("the name of member {} {why}", printable(name.as_bytes())));
    if name.chars().any(char::is_control) {
        return wrong("has control characters");
    }
    let is_drive = name.get(1..2) == Some(":") && name.get(2..3) == Some("/");
    if name.contains('\\') || is_drive {
        return wrong("is a Windows path");
    }
    // a folder's name ends in a slash
    let mut parts = name.strip_suffix('/').unwrap_or(name).split('/');
    if name.starts_with('/') || parts.any(|part| matches!(part, "." | "..")) {
        return wrong("is a path that leaves the archive");
    }
    Ok(())
}

// --- members ---

/// The content of a member, unpacked as it is read.
pub struct Content<'a, R> {
    from: Packed<'a, R>,
    crc: Crc,
    wanted: u32,
    packed: u64,
}

enum Packed<'a, R> {
    Stored(Take<&'a mut R>),
    Deflated(Box<DeflateDecoder<BufReader<Take<&'a mut R>>>>),
}

impl Member {
    /// Returns whether the member is stored uncompressed.
    pub fn is_stored(&self) -> bool {
        self.method == STORED
    }

    /// Checks the member's local header, moves to the bytes after it, and returns their position in the file.
    pub fn begin<R: Read + Seek>(&self, source: &mut R) -> Fallible<u64> {
        let mut record = [0; LOCAL_LENGTH as usize];
        seek(source, self.at)?;
        fill(source, &mut record)?;
        if u32_at(&record, 0) != LOCAL {
            return Err(format_fault(format!("there is no member at {}, where the directory expects one", self.at)));
        }
        if (self.flags | u16_at(&record, 6)) & ENCRYPTED != 0 {
            return Err(Fault::new(ErrorKind::Unsupported, "it is encrypted"));
        }
        if !matches!(self.method, STORED | DEFLATED) {
            let detail =
                format!("it is compressed by method {}; supported are 0 (stored) and 8 (deflated)", self.method);
            return Err(Fault::new(ErrorKind::Unsupported, detail));
        }
        let mut name = vec![0; u16_at(&record, 26).into()];
        fill(source, &mut name)?;
        let wanted = self.name.as_bytes();
        if name != wanted || u16_at(&record, 8) != self.method {
            return Err(format_fault(format!("the member at {} is another one: {}", self.at, printable(&name))));
        }
        let start = self.at + LOCAL_LENGTH + name.len() as u64 + u64::from(u16_at(&record, 28));
        // `directory` has checked that `at + packed` does not overflow; the other two terms of `start` are 16-bit
        // lengths
        if start.checked_add(self.packed).is_none_or(|end| end > self.limit) {
            return Err(format_fault(format!(
                "its {} bytes at {start} overlap what begins at {}",
                self.packed, self.limit
            )));
        }
        if self.is_stored() && self.packed != self.size {
            return Err(format_fault(format!("it is stored, but has {} bytes instead of {}", self.packed, self.size)));
        }
        seek(source, start)?;
        Ok(start)
    }

    /// Checks the member's local header, and returns the content after it.
    pub fn open<'a, R: Read + Seek>(&self, source: &'a mut R) -> Fallible<Content<'a, R>> {
        self.begin(source)?;
        let bytes = source.take(self.packed);
        let from = match self.is_stored() {
            true => Packed::Stored(bytes),
            false => Packed::Deflated(Box::new(DeflateDecoder::new(BufReader::new(bytes)))),
        };
        Ok(Content { from, crc: Crc::new(), wanted: self.crc, packed: self.packed })
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.from {
            Packed::Stored(bytes) => bytes.read(into)?,
            // flate2 reports broken data as invalid input
            Packed::Deflated(bytes) => bytes.read(into).map_err(|e| {
                let is_broken = e.kind() == io::ErrorKind::InvalidInput;
                let broken = || io::Error::new(io::ErrorKind::InvalidData, "the compressed data is broken");
                if is_broken { broken() } else { e }
            })?,
        };
        self.crc.update(&into[..count]);
        Ok(count)
    }
}

impl<R: Read> Content<'_, R> {
    /// Returns an error if the compressed data ends early, or if the content does not have the expected checksum. The
    /// content must have been read completely.
    pub fn check(self) -> Fallible<()> {
        if let Packed::Deflated(bytes) = &self.from
            && bytes.total_in() != self.packed
        {
            let detail = format!("its compressed data ends after {} of {} bytes", bytes.total_in(), self.packed);
            return Err(format_fault(detail));
        }
        if self.crc.sum() == self.wanted {
            return Ok(());
        }
        Err(format_fault(format!(
            "its checksum (CRC-32) is {:08x}, not {:08x}: the data is damaged",
            self.crc.sum(),
            self.wanted
        )))
    }
}
