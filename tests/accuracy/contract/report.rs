//! Selects which trials run, and collects their results.

use super::page::{self, Figure};
use crate::kit::say;
use cupric::Device;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many failures are printed at most.
const SHOWN: usize = 20;

/// Collects the results of one test.
pub struct Report {
    /// The name of the suite: the file of the tests.
    suite: &'static str,
    pub backend: &'static str,
    only: Option<String>,
    stats: bool,
    trials: usize,
    elements: usize,
    unsupported: usize,
    failures: Vec<String>,
    /// The worst figure and the number of elements, for each entry.
    figures: HashMap<String, (Figure, usize)>,
    /// Entries whose lines of the accuracy page are written by another test.
    pub others: HashSet<String>,
}

/// The result of a trial that did not fail: how many elements it judged, and the worst error.
#[derive(Default)]
pub struct Passed {
    pub elements: usize,
    pub worst: Figure,
    /// Whether the device returned an error because it lacks the type.
    pub unsupported: bool,
}

impl Report {
    /// Makes an empty report. `CUPRIC_TRIAL` restricts it to trials whose names begin with the variable's value.
    pub fn new(suite: &'static str, backend: &'static str) -> Report {
        let only = std::env::var("CUPRIC_TRIAL").ok().filter(|t| !t.is_empty());
        let stats = std::env::var_os("CUPRIC_CONTRACT_STATS").is_some();
        Report {
            suite,
            backend,
            only,
            stats,
            trials: 0,
            elements: 0,
            unsupported: 0,
            failures: vec![],
            figures: HashMap::new(),
            others: HashSet::new(),
        }
    }

    /// Whether any trial whose name begins with `prefix` is to run.
    pub fn wants(&self, prefix: &str) -> bool {
        self.only.as_ref().is_none_or(|t| prefix.starts_with(t.as_str()) || t.starts_with(prefix))
    }

    /// Runs a trial. A panic counts as a failure.
    pub fn trial(&mut self, name: &str, run: impl FnOnce() -> Result<Passed, String>) {
        if self.only.as_ref().is_some_and(|t| !name.starts_with(t.as_str())) {
            return;
        }
        self.trials += 1;
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|p| {
            let text = p.downcast_ref::<String>().cloned().or(p.downcast_ref::<&str>().map(|s| s.to_string()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        });
        match result {
            Ok(p) => {
                self.elements += p.elements;
                self.unsupported += p.unsupported as usize;
                if self.stats && p.worst.share > 0.0 {
                    let (ulps, at) = (p.worst.ulps.unwrap_or(f64::NAN), &p.worst.at);
                    say(&format!("worst {name} {:.3} of the bound, {ulps:.3} ULP at {at}", p.worst.share));
                }
                let entry = name.splitn(4, "::").take(3).collect::<Vec<_>>().join("::");
                let known = self.figures.entry(entry).or_default();
                known.1 += p.elements;
                if p.worst.worse(&known.0) || !p.worst.of.is_empty() {
                    known.0 = p.worst;
                }
            }
            Err(why) => self.failures.push(format!(
                "{name}: {why}\n    only this: CUPRIC_TRIAL={name} cargo test --release --features testing --test accuracy {}::{}::",
                self.suite, self.backend
            )),
        }
    }

    /// The number of trials that ran.
    pub fn trials(&self) -> usize {
        self.trials
    }

    /// Prints the counts, and panics if trials failed.
    pub fn finish(self, family: &str, device: &Device) {
        let lacking = match self.unsupported {
            0 => String::new(),
            n => format!(", {n} of them with a type that the device lacks and refuses"),
        };
        let (backend, failed) = (self.backend, self.failures.len());
        let (trials, elements) = (self.trials(), self.elements);
        let suite = self.suite;
        say(&format!("{suite}: {backend} {family}: {trials} trials{lacking}, {elements} elements, {failed} failed"));
        if self.failures.is_empty() {
            let of = |(f, n): &(Figure, usize)| Figure {
                of: if f.of.is_empty() { format!("{n} elements") } else { f.of.clone() },
                ..f.clone()
            };
            // the page is written only if all trials ran, and only by the suite with the most operands
            if self.only.is_none() && suite == "contract" {
                let mine = self.figures.iter().filter(|(name, _)| !self.others.contains(*name));
                page::bless(device, &mine.map(|(k, v)| (k.clone(), of(v))).collect());
            }
            return;
        }
        let shown = if std::env::var_os("CUPRIC_CONTRACT_ALL").is_some() { usize::MAX } else { SHOWN };
        let list: Vec<&str> = self.failures.iter().take(shown).map(String::as_str).collect();
        let more = failed - list.len();
        let rest =
            if more > 0 { format!("\n... and {more} more (CUPRIC_CONTRACT_ALL=1 prints them)") } else { String::new() };
        panic!("{failed} of {trials} trials failed\n{}{rest}", list.join("\n"));
    }
}
