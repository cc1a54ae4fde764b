//! Whether the machine itself is as fast as it can be: on a machine that is one of several on the same hardware, neighbours take
//! memory's rate and the other halves of the cores, and no counter of the system says so. Two rates are measured beside each
//! row, as parts of the best that were seen on this machine, in this run or earlier ones. Rows whose part is far from that of
//! most rows are measured again.

use crate::flow::Flow;
use crate::limits::Limit;
use crate::machine;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Bytes that are copied: far more than any cache holds.
const COPIED: f64 = 200e6;
/// Multiply-adds of the other rate: about a millisecond of work.
const OPERATIONS: f64 = 5e8;

/// The two rates, and their best.
pub struct Sentinel {
    copy: Limit,
    fma: Limit,
    best: [f64; 2],
    /// The least and the most of the states that were found.
    pub range: [f64; 2],
    file: PathBuf,
    key: String,
}

impl Sentinel {
    /// `key` names the machine: its processor and the number of threads.
    pub fn new(key: String) -> Sentinel {
        let file = machine::target().join("cupric-bench").join("machine.json");
        let known = std::fs::read_to_string(&file).ok().and_then(|t| serde_json::from_str::<Value>(&t).ok());
        let rate = |i: usize| known.as_ref().and_then(|k| k[&key][i].as_f64()).unwrap_or(0.0);
        let best = [rate(0), rate(1)];
        let copy = Limit::memory(&[Flow { arrays: 1, read: COPIED / 2.0, write: COPIED / 2.0 }]);
        Sentinel { copy, fma: Limit::operations(false, OPERATIONS), best, range: [f64::INFINITY, 0.0], file, key }
    }

    /// The smaller of the two rates' parts of their best.
    pub fn state(&mut self) -> f64 {
        let rates = [COPIED / self.copy.quick(), OPERATIONS / self.fma.quick()];
        let mut state = f64::INFINITY;
        for (rate, best) in rates.into_iter().zip(&mut self.best) {
            *best = best.max(rate);
            state = state.min(rate / *best);
        }
        self.range = [self.range[0].min(state), self.range[1].max(state)];
        state
    }

    /// Keeps the best rates for later runs. It does not matter if they cannot be kept: the next run finds its own.
    pub fn keep(&self) {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let mut all: Value = serde_json::from_str(&text).unwrap_or(json!({}));
        all[&self.key] = json!(self.best);
        let _ = self.file.parent().map(std::fs::create_dir_all);
        let _ = std::fs::write(&self.file, format!("{all:#}\n"));
    }
}
