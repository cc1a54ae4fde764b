//! The printed table: an aligned line for each row and device, printed as soon as it is measured.

use crate::measure::Record;
use crate::peers::{Time, Timed};
use crate::timing;
use crate::work::shape_text;

/// Widths of the columns before the columns of the peers.
const WIDTHS: [usize; 9] = [30, 6, 13, 7, 10, 7, 9, 14, 7];
const HEADS: [&str; 9] = ["work", "dtype", "shape", "device", "median", "spread", "GPU", "rate", "share"];
/// The index of the column that is shown only if a GPU is measured.
const GPU: usize = 6;

/// Prints records under one heading.
pub struct Table {
    peers: Vec<String>,
    /// Whether a GPU is among the devices.
    gpu: bool,
    /// Whether results of several devices are compared.
    compared: bool,
}

impl Table {
    pub fn new(peers: Vec<String>, gpu: bool, compared: bool) -> Table {
        Table { peers, gpu, compared }
    }

    pub fn head(&self) -> String {
        let mut cells: Vec<String> = HEADS.iter().map(|h| h.to_string()).collect();
        cells.extend(self.peers.iter().cloned());
        if self.compared {
            cells.push("ULP".into());
        }
        let line = self.line(&cells);
        format!("{line}\n{}", "─".repeat(line.chars().count()))
    }

    pub fn row(&self, r: &Record) -> String {
        let mut cells = vec![r.text.clone(), r.dtype.clone(), shape_text(&r.shape), r.device.clone()];
        if let Some(error) = &r.error {
            return format!("{}  {error}", self.line(&cells).trim_end());
        }
        let rate = match (r.computes(), r.rate()) {
            _ if r.bytes + r.flops == 0.0 || r.bytes < 1e3 => "—".into(),
            (true, rate) => format!("{} GFLOP/s", figure(rate)),
            (false, rate) => format!("{} GB/s", figure(rate)),
        };
        let share = r.fraction().map_or("—".into(), |f| format!("{f:.2}{}", if r.too_good() { " !" } else { "  " }));
        let spread = match r.samples.len() {
            1 => "once".into(),
            _ => format!("±{:.0} %{}", 100.0 * r.samples.spread(), if r.noise.is_felt() { "~" } else { "" }),
        };
        let gpu = r.gpu_ms().map_or("—".into(), timing::text);
        cells.extend([timing::text(r.ms()), spread, gpu, rate, share]);
        let peer = |name: &String| match r.peers.iter().find(|p| p.name == *name) {
            Some(Timed { time: Time::Endless, .. }) => ">10 s".into(),
            Some(peer) => r.ratio(peer).map_or("—".into(), ratio),
            _ => "—".into(),
        };
        cells.extend(self.peers.iter().map(peer));
        if self.compared {
            cells.push(r.ulp.map_or("—".into(), ulp_text));
        }
        self.line(&cells)
    }

    fn line(&self, cells: &[String]) -> String {
        let width = |i: usize| WIDTHS.get(i).copied().unwrap_or(9);
        let cell = |(i, c): (usize, &String)| {
            let pad = " ".repeat(width(i).saturating_sub(c.chars().count()));
            // the first four columns are words, aligned at the left; the other columns are numbers, aligned at the
            // right
            if i < 4 { format!("{c}{pad}") } else { format!("{pad}{c}") }
        };
        let shown = |(i, _): &(usize, &String)| self.gpu || *i != GPU;
        cells.iter().enumerate().filter(shown).map(cell).collect::<Vec<_>>().join(" ")
    }
}

/// Returns the lines below the table: what its marks mean, and which peers failed.
pub fn notes(records: &[Record]) -> Vec<String> {
    let mut notes = vec![];
    if records.iter().any(Record::too_good) {
        notes.push("! above 1.1 of its limit: the limit is wrong".into());
    }
    if records.iter().any(|r| r.noise.is_felt()) {
        notes.push(
            "~ other work or another state of the machine disturbed the row, however often it was measured".into(),
        );
    }
    if records.iter().any(|r| !r.peers.is_empty()) {
        notes.push("a peer's figure is its time over ours: above 1 it is slower; — it lacks the operation".into());
    }
    let mut seen = vec![];
    for record in records {
        for peer in &record.peers {
            if let Time::Failed(why) = &peer.time {
                let note = format!("{} failed at {} {}: {why}", peer.name, record.work, record.dtype);
                if !seen.contains(&note) {
                    seen.push(note);
                }
            }
        }
    }
    notes.extend(seen);
    notes
}

/// Formats a number with three digits, or with two digits after the point if it is below 1.
pub fn figure(x: f64) -> String {
    match x {
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}

fn ratio(x: f64) -> String {
    format!("{}×", figure(x))
}

fn ulp_text(x: f64) -> String {
    match x {
        x if x.is_infinite() => "NaN".into(),
        x if x < 1e6 => format!("{x:.0}"),
        x => format!("{x:.0e}"),
    }
}
