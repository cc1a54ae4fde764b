//! Writes profiles to files in Chrome's trace event format, which Perfetto opens.

use super::{Profile, ProfileEvent};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::replace::replace;
use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::Location;
use std::path::Path;
use std::time::Duration;

impl Profile {
    /// Writes the events to a file in Chrome's trace event format (JSON), which <https://ui.perfetto.dev> opens.
    ///
    /// The first track of the trace is the whole closure. The kernels follow on one track, or on several if they ran at
    /// the same time. Each event has its source line, its shape, its bytes, and the time when the host enqueued it. An
    /// existing file is replaced as a whole.
    ///
    /// ```
    /// use cupric::{Device, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-trace-{}.json", std::process::id()));
    /// let cpu = Device::cpu();
    /// let (_, profile) = cpu.profile(|| (array![1., 2.] * 2.0).eval())?;
    /// profile.to_chrome_trace(&path)?;
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`ErrorKind::Io`] if the file cannot be written.
    #[track_caller]
    pub fn to_chrome_trace(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, at) = (path.as_ref(), Location::caller());
        let text = self.chrome_trace();
        replace(path, |file| file.write_all(text.as_bytes()))
            .map_err(|e| Error::with_line(ErrorKind::Io, "to_chrome_trace", format!("{}: {e}", path.display()), at))
    }

    fn chrome_trace(&self) -> String {
        let lanes = lanes(&self.events);
        let mut out = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
        let device = quoted(&format!("cupric on {}", self.device.name()));
        push(
            &mut out,
            format_args!(
                "{{\"ph\":\"M\",\"pid\":1,\"tid\":0,\"name\":\"process_name\",\"args\":{{\"name\":{device}}}}}"
            ),
        );
        for lane in 0..=lanes.iter().copied().max().unwrap_or(0) {
            let name = if lane == 0 { "the closure" } else { "kernels" };
            push(
                &mut out,
                format_args!(
                    ",\n{{\"ph\":\"M\",\"pid\":1,\"tid\":{lane},\"name\":\"thread_name\",\"args\":{{\"name\":\"{name}\"}}}}"
                ),
            );
        }
        let elapsed = micros(self.elapsed);
        push(
            &mut out,
            format_args!(
                ",\n{{\"ph\":\"X\",\"pid\":1,\"tid\":0,\"ts\":0,\"dur\":{elapsed},\"name\":\"profile\",\"cat\":\"host\"}}"
            ),
        );
        for (event, lane) in self.events.iter().zip(&lanes) {
            push(&mut out, format_args!(",\n{}", entry(event, *lane)));
        }
        out.push_str("\n]}\n");
        out
    }
}

/// Appends formatted text. Writing to a string never fails.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn entry(event: &ProfileEvent, lane: usize) -> String {
    let ProfileEvent { shape, bytes_read, bytes_written, .. } = event;
    let line = event.line.map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line()));
    let (name, kind, line, shape) =
        (quoted(event.name), quoted(event.kind), quoted(&line), quoted(&format!("{shape:?}")));
    let (start, length) = (micros(event.start), micros(event.end.saturating_sub(event.start)));
    let (enqueued, time) = (micros(event.enqueued), micros(event.time));
    format!(
        "{{\"ph\":\"X\",\"pid\":1,\"tid\":{lane},\"ts\":{start},\"dur\":{length},\"name\":{name},\"cat\":{kind},\"args\":{{\
         \"line\":{line},\"shape\":{shape},\"bytes read\":{bytes_read},\"bytes written\":{bytes_written},\
         \"time in µs\":{time},\"enqueued at µs\":{enqueued}}}}}"
    )
}

/// Returns the number of the track on which each event is shown, counted from 1: the first track on which no event is
/// running when this event begins. The events must be sorted by their start.
fn lanes(events: &[ProfileEvent]) -> Vec<usize> {
    let mut ends: Vec<Duration> = vec![];
    let lane = |event: &ProfileEvent| {
        let free = ends.iter().position(|end| *end <= event.start).unwrap_or(ends.len());
        ends.resize(ends.len().max(free + 1), Duration::ZERO);
        ends[free] = event.end;
        free + 1
    };
    events.iter().map(lane).collect()
}

/// Formats a time in microseconds with three decimal places (nanoseconds). With fewer places, rounding could make
/// consecutive events overlap in the file.
fn micros(time: Duration) -> String {
    let nanos = time.as_nanos();
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

/// Quotes a string for JSON.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => push(&mut out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(profile_trace: texts_come_back_from_json, events_of_one_lane_follow_each_other);

    fn texts_come_back_from_json() {
        for text in ["", "a", "C:\\new\\x.rs:1", "\"quoted\"", "line\nand\ttab\u{1}\u{7f}", "µs – 日本 🦀"] {
            let read: serde_json::Value = serde_json::from_str(&quoted(text)).unwrap();
            assert_eq!(read.as_str(), Some(text), "{}", quoted(text));
        }
    }

    fn events_of_one_lane_follow_each_other() {
        let ms = Duration::from_millis;
        let event = |(start, end): &(u64, u64)| ProfileEvent {
            name: "x",
            kind: "y",
            shape: vec![],
            line: None,
            is_kernel: true,
            enqueued: ms(0),
            start: ms(*start),
            end: ms(*end),
            time: ms(0),
            bytes_read: 0,
            bytes_written: 0,
        };
        let of = |list: &[(u64, u64)]| lanes(&list.iter().map(event).collect::<Vec<_>>());
        assert_eq!(of(&[(0, 5), (5, 9), (9, 9), (9, 10)]), [1, 1, 1, 1]);
        assert_eq!(of(&[(0, 5), (1, 3), (2, 9), (3, 4), (6, 7)]), [1, 2, 3, 2, 1]);
    }
}
