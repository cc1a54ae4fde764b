//! The table that a profile prints.

use super::{Profile, ProfileClock, ProfileRow};
use std::fmt;
use std::time::Duration;

/// The headings of the columns. The first and the last column are left-aligned.
const HEADINGS: [&str; 8] = ["kernel", "runs", "time", "share", "read", "written", "of copy", "line"];

/// Formats a number with at least three digits and a unit. Each of the `units` is 1000 times the previous one.
fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // numbers from 999.5 on would be rounded to 1000, so use the next unit for them
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        v if v >= 99.95 || unit == 0 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", units[unit])
}

fn time(time: Duration) -> String {
    scaled(time.as_nanos() as f64, &["ns", "µs", "ms", "s"])
}

fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB"])
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_string(), |share| format!("{:.0} %", share * 100.0))
}

impl Profile {
    /// Returns the texts of a row of the table, one for each column. `total` is the total time of all rows.
    fn cells(&self, row: &ProfileRow, total: Duration) -> [String; 8] {
        let name = match row.kind {
            "clear" | "" => row.name.to_string(),
            kind => format!("{} ({kind})", row.name),
        };
        let share = (!total.is_zero()).then(|| row.time.as_secs_f64() / total.as_secs_f64());
        let moved = row.bytes_read.saturating_add(row.bytes_written);
        [
            name,
            if row.kernels == 0 { "-".to_string() } else { row.kernels.to_string() },
            time(row.time),
            percent(share),
            bytes(row.bytes_read),
            bytes(row.bytes_written),
            percent(self.share_of_copy(moved, row.time)),
            row.line.map_or_else(String::new, |at| format!("{}:{}", at.file(), at.line())),
        ]
    }

    /// Returns the last row of the table, which is the sum of all other rows.
    fn total(&self) -> ProfileRow {
        let (bytes_read, bytes_written) = self.bytes();
        let time = self.rows.iter().map(|row| row.time).sum();
        ProfileRow { name: "total", kind: "", line: None, kernels: self.kernels(), time, bytes_read, bytes_written }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = match self.clock() {
            ProfileClock::Device => "by the device's clock",
            ProfileClock::Host => "by the host's clock",
            ProfileClock::HostWithWaits => "by the host's clock, with a wait for the device around each kernel",
        };
        writeln!(f, "profile of {}: times {clock}", self.device.name())?;
        if !self.is_complete() {
            writeln!(f, "incomplete: another profile replaced it, or the driver could not allocate memory for times")?;
        }
        let total = self.total();
        let mut table = vec![HEADINGS.map(String::from)];
        table.extend(self.rows().map(|row| self.cells(row, total.time)));
        table.push(self.cells(&total, total.time));
        let width = |column: usize| table.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        for cells in &table {
            let mut line = format!("{:1$}", cells[0], widths[0]);
            for column in 1..7 {
                line += &format!("  {:>1$}", cells[column], widths[column]);
            }
            line += &format!("  {}", cells[7]);
            writeln!(f, "{}", line.trim_end())?;
        }
        let (elapsed, busy, idle) = (time(self.elapsed()), time(self.busy()), time(self.idle()));
        writeln!(f, "{elapsed} in total: {busy} with a kernel, {idle} without (the host's work, copies, waits)")?;
        match self.copy_rate() {
            Some(rate) => writeln!(
                f,
                "copy: {}, measured once on this device",
                scaled(rate, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s"])
            ),
            None => writeln!(f, "copy: not measured, because the device is being profiled or has too little memory"),
        }
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(profile_table: numbers_have_units_and_three_digits);

    fn numbers_have_units_and_three_digits() {
        let of = |ns: u64| time(Duration::from_nanos(ns));
        assert_eq!([of(0), of(7), of(999), of(1000)], ["0 ns", "7 ns", "999 ns", "1.00 µs"]);
        assert_eq!([of(9_994), of(9_996), of(99_960)], ["9.99 µs", "10.0 µs", "100 µs"]);
        assert_eq!([of(999_499), of(999_500), of(4_560_000_000_000)], ["999 µs", "1.00 ms", "4560 s"]);
        assert_eq!([bytes(12), bytes(1 << 20), bytes(u64::MAX)], ["12 B", "1.05 MB", "18446744 TB"]);
        assert_eq!([percent(None), percent(Some(0.954))], ["-", "95 %"]);
    }
}
