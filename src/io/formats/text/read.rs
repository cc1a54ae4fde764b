//! Reads a table of numbers from a text file. In addition to the numbers, only one line (or one record: see
//! [`Records`]) is in memory at a time. [`TextTable::read`] reads some rows, so that a table can be read in parts.

use super::TextFormat;
use crate::base::dtype::Element;
use crate::base::error::{ErrorKind, Fault, Result};
use crate::io::{format_fault, io_fault, printable};
use std::borrow::Cow;
use std::io::BufRead;

type Fallible<T> = Result<T, Fault>;

/// Reads a file record by record. A record is a line that is neither blank nor a comment. If a quoted field continues
/// on the next line, the record contains that line too.
struct Records<R> {
    from: R,
    format: TextFormat,
    /// The number of the last line that was read; the first is 1.
    line: u64,
    /// The number of the record's first line.
    first: u64,
    record: String,
    bytes: Vec<u8>,
    /// Whether the record could be a header that the format does not mention: the first record with numbers.
    may_be_header: bool,
}

impl<R: BufRead> Records<R> {
    /// Reads the next line into `self.bytes`. Returns false at the end of the file.
    fn line(&mut self) -> Fallible<bool> {
        self.bytes.clear();
        loop {
            let read = self.from.fill_buf().map_err(io_fault)?;
            let end = read.iter().position(|b| *b == b'\n');
            let part = &read[..end.map_or(read.len(), |end| end + 1)];
            // memory may run out here, because a file may be one endless line
            self.bytes.try_reserve(part.len()).map_err(|_| no_memory(part.len(), 1))?;
            self.bytes.extend_from_slice(part);
            let (count, is_last) = (part.len(), end.is_some() || part.is_empty());
            self.from.consume(count);
            if is_last {
                self.line += !self.bytes.is_empty() as u64;
                return Ok(!self.bytes.is_empty());
            }
        }
    }

    /// Appends the next line to the record. Returns false at the end of the file.
    fn more(&mut self) -> Fallible<bool> {
        if !self.line()? {
            return Ok(false);
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|e| {
            let at = String::from_utf8_lossy(&self.bytes[..e.valid_up_to()]).chars().count() + 1;
            format_fault(format!("line {}, character {at}: not UTF-8", self.line))
        })?;
        let text = if self.line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        // in some old files, lines end with a carriage return alone. Without this check, such a file would be read as
        // one row
        if !self.format.quotes && text.contains('\r') {
            return Err(format_fault(format!("line {}: a carriage return within the line", self.line)));
        }
        self.record.try_reserve(text.len()).map_err(|_| no_memory(text.len(), 1))?;
        self.record.push_str(text);
        Ok(true)
    }

    /// Reads the next record into `self.record`. Returns false at the end of the file.
    fn next(&mut self) -> Fallible<bool> {
        loop {
            self.record.clear();
            if !self.more()? {
                return Ok(false);
            }
            self.first = self.line;
            if let Some(begin) = &self.format.comments {
                match self.format.quotes {
                    true if self.record.trim_start().starts_with(begin.as_str()) => continue,
                    true => (),
                    false => self.record.truncate(self.record.find(begin.as_str()).unwrap_or(self.record.len())),
                }
            }
            let is_blank = |c: char| c.is_whitespace() && Some(c) != self.format.delimiter;
            if self.record.chars().all(is_blank) {
                continue;
            }
            if self.format.quotes {
                let mut quotes = self.record.matches('"').count();
                while quotes % 2 == 1 {
                    self.record.push('\n');
                    let before = self.record.len();
                    if !self.more()? {
                        return Err(format_fault(format!("line {}: a quote is not closed", self.first)));
                    }
                    quotes += self.record[before..].matches('"').count();
                }
            }
            return Ok(true);
        }
    }

    /// Returns a description of the position `at` in the record (line, column and character) for an error message.
    fn place(&self, column: usize, at: usize) -> String {
        let before = &self.record[..at.min(self.record.len())];
        let line = self.first + before.matches('\n').count() as u64;
        let character = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("line {line}, column {} (character {character})", column + 1)
    }

    fn fields(&self) -> Fields<'_> {
        Fields { record: &self.record, next: Some(0), format: &self.format }
    }
}

/// Iterates over the fields of a record. Each item is the position of the field's first byte, and the field.
struct Fields<'a> {
    record: &'a str,
    next: Option<usize>,
    format: &'a TextFormat,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (usize, Result<Cow<'a, str>, &'static str>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut at = self.next?;
        let record = self.record;
        let rest = &record[at..];
        at +=
            rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() && Some(c) != self.format.delimiter).len();
        let rest = &record[at..];
        let Some(delimiter) = self.format.delimiter else {
            // the fields are separated by white space, and after the last field `rest` is empty
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            self.next = (end > 0).then_some(at + end);
            return (end > 0).then(|| (at, Ok(Cow::Borrowed(&rest[..end]))));
        };
        if self.format.quotes
            && let Some(inner) = rest.strip_prefix('"')
        {
            let Some(end) = closing(inner) else {
                self.next = None;
                return Some((at, Err("a quote is not closed")));
            };
            let (field, after) = (&inner[..end], &inner[end + 1..]);
            let trimmed = after.trim_start_matches(|c: char| c.is_whitespace() && c != delimiter);
            self.next = trimmed.strip_prefix(delimiter).map(|rest| record.len() - rest.len());
            if !trimmed.is_empty() && self.next.is_none() {
                return Some((at, Err("unexpected characters after a closing quote")));
            }
            let field =
                if field.contains('"') { Cow::Owned(field.replace("\"\"", "\"")) } else { Cow::Borrowed(field) };
            return Some((at, Ok(field)));
        }
        let end = rest.find(delimiter).unwrap_or(rest.len());
        self.next = rest[end..].strip_prefix(delimiter).map(|rest| record.len() - rest.len());
        let field = rest[..end].trim();
        if self.format.quotes && field.contains('"') {
            self.next = None;
            return Some((at, Err("a quote inside a field that does not begin with one")));
        }
        Some((at, Ok(Cow::Borrowed(field))))
    }
}

/// Returns the position of the quote that closes a field. Two quotes in a row do not close the field: they stand for
/// one quote in it.
fn closing(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].find('"')?;
        if !text[at + 1..].starts_with('"') {
            return Some(at);
        }
        at += 2;
    }
}

/// Returns the column of each wanted name in the header line, which is the current record.
fn find_names<R: BufRead>(records: &Records<R>, wanted: &[String]) -> Fallible<Vec<usize>> {
    let mut found: Vec<Option<usize>> = vec![None; wanted.len()];
    for (column, (at, field)) in records.fields().enumerate() {
        let name = field.map_err(|why| format_fault(format!("{}: {why}", records.place(column, at))))?;
        for (slot, _) in found.iter_mut().zip(wanted).filter(|(_, wanted)| **wanted == *name) {
            if slot.replace(column).is_some() {
                let name = printable(name.as_bytes());
                return Err(format_fault(format!("{}: two columns are named {name}", records.place(column, at))));
            }
        }
    }
    let all = found.into_iter().zip(wanted).map(|(slot, name)| {
        slot.ok_or_else(|| {
            let name = printable(name.as_bytes());
            Fault::new(ErrorKind::Argument, format!("line {}: no column is named {name}", records.first))
        })
    });
    all.collect()
}

/// A table that is read from its first row on.
pub struct TextTable<R> {
    records: Records<R>,
    /// The columns to read, or `None` for all.
    columns: Option<Vec<usize>>,
    /// The number of columns, once it is known.
    width: Option<usize>,
    /// The number of the line that determined `width`.
    first_line: u64,
    /// The number of rows that have been read.
    rows: usize,
}

impl<R: BufRead> TextTable<R> {
    /// Reads the lines before the first row of numbers.
    pub fn begin(from: R, format: &TextFormat) -> Fallible<TextTable<R>> {
        let own = format.clone();
        let (record, bytes) = (String::new(), vec![]);
        let mut records = Records { from, format: own, line: 0, first: 0, record, bytes, may_be_header: false };
        for _ in 0..format.skip {
            // skipped lines are read as bytes, because they need not be UTF-8
            if !records.line()? {
                break;
            }
        }
        let mut columns = format.columns.clone();
        if (format.header || format.names.is_some()) && records.next()? {
            if let Some(names) = &format.names {
                columns = Some(find_names(&records, names)?);
            }
        } else if let Some(names) = &format.names {
            columns = Some(vec![0; names.len()]);
        }
        records.may_be_header = !format.header && format.names.is_none();
        let width = columns.as_ref().map(Vec::len);
        Ok(TextTable { records, columns, width, first_line: 0, rows: 0 })
    }

    /// Reads the next rows, at most `most`. `parse` turns a field into a number. Returns the elements row by row, and the
    /// numbers of rows and columns.
    pub fn read<T: Element>(
        &mut self,
        most: usize,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Fallible<(Vec<T>, [usize; 2])> {
        let all = self.records.format.most.unwrap_or(usize::MAX);
        let (mut elements, most) = (vec![], most.min(all - self.rows));
        let mut rows = 0;
        while rows < most && self.records.next()? {
            let count = match &self.columns {
                Some(columns) => chosen(&self.records, columns, &parse, &mut elements)?,
                None => every(&self.records, &parse, &mut elements)?,
            };
            if let Some(wanted) = self.width.filter(|width| *width != count) {
                let (here, first) = (self.records.first, self.first_line);
                let detail = format!("line {here} has {count} columns, where line {first} has {wanted}");
                return Err(format_fault(detail));
            }
            if self.width.is_none() {
                self.first_line = self.records.first;
            }
            self.width = Some(count);
            self.records.may_be_header = false;
            rows += 1;
        }
        self.rows += rows;
        Ok((elements, [rows, self.width.unwrap_or(0)]))
    }
}

/// Parses a field of a record as a number. `column` and `at` are the field's column and the position of its first byte.
fn number<T: Element, R: BufRead>(
    records: &Records<R>,
    (column, at): (usize, usize),
    field: &str,
    parse: &impl Fn(&str) -> Option<T>,
) -> Fallible<T> {
    let field = field.trim();
    let text = match &records.format.missing {
        Some(missing) if field.is_empty() => missing,
        _ => field,
    };
    parse(text).ok_or_else(|| {
        let place = records.place(column, at);
        match text.is_empty() {
            true => format_fault(format!("{place}: the field is empty")),
            false => {
                let hint = match records.may_be_header && text.parse::<f64>().is_err() {
                    true => "; if the line is a header, use TextFormat::header()",
                    false => "",
                };
                let why = unfit::<T>(text);
                let text = printable(text.as_bytes());
                format_fault(format!("{place}: {text} is {why}{hint}"))
            }
        }
    })
}

/// Returns what is wrong with a text that is not a number of the dtype of `T`.
fn unfit<T: Element>(text: &str) -> String {
    let dtype = T::DTYPE;
    let whole = text.trim_start_matches(['+', '-']);
    let is_integer = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit());
    let is_float = text.parse::<f64>().is_ok() && text.bytes().any(|b| b.is_ascii_digit());
    if dtype.is_integer() && is_integer {
        format!("out of the range of dtype {dtype}")
    } else if dtype.is_float() && is_float {
        format!("beyond the largest finite number of dtype {dtype}")
    } else {
        format!("not a number of dtype {dtype}")
    }
}

fn no_memory(count: usize, size: usize) -> Fault {
    Fault::new(ErrorKind::OutOfMemory, format!("no memory for {} bytes", count.saturating_mul(size)))
}

/// Appends the numbers in all fields of a record to `elements`. Returns how many numbers the record has.
fn every<T: Element, R: BufRead>(
    records: &Records<R>,
    parse: &impl Fn(&str) -> Option<T>,
    elements: &mut Vec<T>,
) -> Fallible<usize> {
    let before = elements.len();
    for (column, (at, field)) in records.fields().enumerate() {
        let field = field.map_err(|why| format_fault(format!("{}: {why}", records.place(column, at))))?;
        elements.try_reserve(1).map_err(|_| no_memory(elements.len() + 1, size_of::<T>()))?;
        elements.push(number(records, (column, at), &field, parse)?);
    }
    Ok(elements.len() - before)
}

/// Appends the numbers of the chosen columns of a record to `elements`, in the order of `columns`. Returns the number
/// of chosen columns.
fn chosen<T: Element, R: BufRead>(
    records: &Records<R>,
    columns: &[usize],
    parse: &impl Fn(&str) -> Option<T>,
    elements: &mut Vec<T>,
) -> Fallible<usize> {
    let before = elements.len();
    elements.try_reserve(columns.len()).map_err(|_| no_memory(before + columns.len(), size_of::<T>()))?;
    let last = columns.iter().copied().max().map_or(0, |last| last.saturating_add(1));
    // only fields up to the last chosen column are read
    let mut row: Vec<Option<T>> = vec![None; columns.len()];
    let mut count = 0;
    for (column, (at, field)) in records.fields().enumerate().take(last) {
        count += 1;
        let field = field.map_err(|why| format_fault(format!("{}: {why}", records.place(column, at))))?;
        if columns.contains(&column) {
            let value = number(records, (column, at), &field, parse)?;
            for (slot, _) in row.iter_mut().zip(columns).filter(|(_, wanted)| **wanted == column) {
                *slot = Some(value);
            }
        }
    }
    if row.iter().any(Option::is_none) {
        let detail = format!(
            "line {} has {count} columns, but column {} (counted from 0) was requested",
            records.first,
            last - 1
        );
        return Err(format_fault(detail));
    }
    elements.extend(row.into_iter().flatten());
    Ok(columns.len())
}
