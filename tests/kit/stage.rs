//! Lines of the table of test stages that `tests/run` prints at its end. Each test of a stage writes one line.

use cupric::Device;
use std::ffi::OsString;
use std::io::Write;
use std::time::Instant;

/// What one test reports for a stage. Dropping it writes the line.
pub struct Stage {
    number: u32,
    name: &'static str,
    device: Device,
    compiles: u64,
    started: Instant,
    trials: u64,
}

impl Stage {
    /// Begins a test's line. It will tell how many pipelines the device compiled during the test.
    pub fn new(number: u32, name: &'static str, device: &Device) -> Stage {
        let compiles = device.stats().compiles;
        Stage { number, name, device: device.clone(), compiles, started: Instant::now(), trials: 0 }
    }

    /// Adds to the number of trials.
    pub fn count(&mut self, trials: usize) {
        self.trials += trials as u64;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("CUPRIC_STAGES") else { return };
        let gpu = || std::env::var("CUPRIC_STAGE_DEVICE").unwrap_or_else(|_| "gpu".into());
        let device = if self.device.is_gpu() { gpu() } else { "cpu".into() };
        let pipelines = self.device.stats().compiles - self.compiles;
        let seconds = self.started.elapsed().as_secs_f64();
        let line = format!("{}\t{}\t{device}\t{}\t{pipelines}\t{seconds:.2}\n", self.number, self.name, self.trials);
        append(path, &line);
    }
}

/// Appends a line to a file. One write in append mode writes the line, so that lines of parallel tests do not mix.
pub fn append(path: OsString, line: &str) {
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}
