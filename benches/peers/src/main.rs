//! The worker for the Rust peers of `cargo bench --bench backends -- --rust-peers`. It reads requests as lines of JSON
//! on the standard input and answers each with a line, as `benches/python/peers.py` does. `benches/backends/peers.rs`
//! lists the requests.
//!
//! A row that a crate cannot do is missing from the crate's file, and shows a dash in the report.

mod candle_training;
mod with_candle;
mod with_faer;
mod with_ferray;
mod with_ndarray;
mod with_numr;

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::time::Instant;

/// A function for one repetition of a row. If a repetition fails, the answer is its error, so it does not count as
/// fast.
type Run = Box<dyn FnMut() -> Result<(), Error>>;
type Error = Box<dyn std::error::Error>;

/// Seconds that a sample lasts, as in `benches/backends/timing.rs`.
const SAMPLE: f64 = 5e-3;
/// Seconds of warm-up before a sample, as in `benches/backends/timing.rs`.
const WARM: f64 = 8e-3;
/// A repetition that takes this many seconds needs no warm-up, as in `benches/backends/timing.rs`.
const LONG: f64 = 40e-3;
/// The crates, with their versions in `Cargo.toml`.
const PEERS: [(&str, &str); 6] = [
    ("ndarray", "0.17"),
    ("candle", "0.11"),
    ("numr", "0.14"),
    ("ferray", "0.5"),
    ("faer", "0.24"),
    ("rustfft", "6.4"),
];

/// Makes a repetition of a function that holds its operands.
fn repeat<T: 'static, E: Into<Error>>(mut f: impl FnMut() -> Result<T, E> + 'static) -> Option<Run> {
    Some(Box::new(move || f().map(|result| drop(black_box(result))).map_err(Into::into)))
}

/// A row as the harness describes it.
struct Row {
    work: String,
    dtype: String,
    shape: Vec<usize>,
    inputs: Vec<Input>,
}

/// An input as the harness describes it.
struct Input {
    dtype: String,
    shape: Vec<usize>,
    fill: String,
    low: f64,
    high: f64,
    /// The position in the hashed sequence at which the input begins.
    first: u32,
}

/// The same sequence as `hashed` in `benches/backends/work.rs`.
fn hashed(k: u32) -> f64 {
    let h = (k ^ k >> 16).wrapping_mul(0x7feb_352d);
    let h = (h ^ h >> 15).wrapping_mul(0x846c_a68b);
    f64::from(h ^ h >> 16) / 2f64.powi(32)
}

/// Returns the norm of an array, and its scalar product with numbers that look random.
fn digest(x: &[f32]) -> [f64; 2] {
    let wide = x.iter().map(|x| f64::from(*x));
    let product = wide.clone().enumerate().map(|(k, x)| x * (2.0 * hashed(k as u32) - 1.0)).sum();
    [wide.map(|x| x * x).sum::<f64>().sqrt(), product]
}

impl Input {
    fn floats(&self) -> Vec<f32> {
        let mut state = 1u64;
        let n = self.shape.iter().product();
        if self.fill == "hashed" {
            let numbers = (self.first..).take(n);
            return numbers.map(|k| (hashed(k) * (self.high - self.low) + self.low) as f32).collect();
        }
        let mut next = || {
            // the upper bits of a linear congruential generator: random enough for a benchmark
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f64 / (1u64 << 24) as f64 * (self.high - self.low) + self.low
        };
        (0..n).map(|_| next() as f32).collect()
    }

    /// Returns whole numbers between the bounds for a uniform fill, and otherwise the input's indices.
    fn integers(&self) -> Vec<i32> {
        match &self.fill[..] {
            "uniform" => self.floats().into_iter().map(|x| x as i32).collect(),
            _ => self.indices().into_iter().map(|i| i as i32).collect(),
        }
    }

    fn truths(&self) -> Vec<bool> {
        self.indices().into_iter().map(|i| i % 2 == 1).collect()
    }

    /// Returns random numbers below a bound, or a permutation whose steps are so large that caches do not help.
    fn indices(&self) -> Vec<usize> {
        let n: usize = self.shape.iter().product();
        match &self.fill[..] {
            "below" | "hashed" => self.floats().into_iter().map(|x| x as usize).collect(),
            _ => {
                let step = coprime(n);
                (0..n).map(|i| i * step % n.max(1)).collect()
            }
        }
    }
}

/// Returns a step of about 0.618 n (the golden ratio, which spreads well) that shares no divisor with n. Its multiples
/// modulo n are therefore a permutation.
fn coprime(n: usize) -> usize {
    let divisor = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (n * 618 / 1000..).find(|s| divisor(*s, n) == 1).unwrap_or(1)
}

fn row(request: &Value) -> Row {
    let text = |v: &Value| v.as_str().unwrap_or("").to_string();
    let numbers = |v: &Value| -> Vec<usize> {
        v.as_array().into_iter().flatten().filter_map(|n| Some(n.as_u64()? as usize)).collect()
    };
    let input = |v: &Value| Input {
        dtype: text(&v["dtype"]),
        shape: numbers(&v["shape"]),
        fill: text(&v["fill"]),
        low: v["low"].as_f64().unwrap_or(0.0),
        high: v["high"].as_f64().unwrap_or(1.0),
        first: v["first"].as_u64().unwrap_or(0) as u32,
    };
    Row {
        work: text(&request["work"]),
        dtype: text(&request["dtype"]),
        shape: numbers(&request["shape"]),
        inputs: request["inputs"].as_array().into_iter().flatten().map(input).collect(),
    }
}

struct Peer {
    run: Run,
    /// The numbers of repetitions of a warm-up and of a sample, once they are known.
    batch: Option<[usize; 2]>,
}

impl Peer {
    /// Runs `n` repetitions, and returns the mean seconds of one.
    fn repeat(&mut self, n: usize) -> Result<f64, Error> {
        let start = Instant::now();
        (0..n).try_for_each(|_| (self.run)())?;
        Ok(start.elapsed().as_secs_f64() / n.max(1) as f64)
    }

    fn batch(&mut self) -> Result<[usize; 2], Error> {
        if let Some(batch) = self.batch {
            return Ok(batch);
        }
        let mut batch = 1;
        loop {
            let once = self.repeat(batch)?.max(1e-9);
            let wanted = (SAMPLE / once).ceil().max(1.0) as usize;
            if wanted <= 2 * batch {
                let warm = if once > LONG { 0 } else { ((WARM / once).ceil() as usize).clamp(1, 2 * wanted) };
                return Ok(*self.batch.insert([warm, wanted]));
            }
            batch = wanted.min(16 * batch);
        }
    }
}

#[derive(Default)]
struct Answers {
    row: Option<Row>,
    cpu: bool,
    peers: HashMap<String, Peer>,
}

impl Answers {
    fn answer(&mut self, request: &Value) -> Result<Value, Error> {
        let name = request["peer"].as_str().unwrap_or("");
        let peer = self.peers.get_mut(name).ok_or("not set up");
        Ok(match request["op"].as_str().unwrap_or("") {
            "hello" => {
                json!({"peers": PEERS.iter().map(|(name, v)| (name.to_string(), json!(v))).collect::<Map<_, _>>()})
            }
            "row" => {
                self.peers.clear();
                self.cpu = request["device"] == json!("cpu");
                self.row = Some(row(request));
                json!({})
            }
            "setup" => {
                let row = self.row.as_ref().filter(|_| self.cpu);
                let run = match (row, name) {
                    (Some(row), "ndarray") => with_ndarray::run(row)?,
                    (Some(row), "candle") => with_candle::run(row)?,
                    (Some(row), "numr") => with_numr::run(row)?,
                    (Some(row), "ferray") => with_ferray::run(row)?,
                    (Some(row), "faer") => with_faer::run(row)?,
                    (Some(row), "rustfft") => with_faer::transform(row)?,
                    _ => None,
                };
                let found = run.is_some();
                self.peers.extend(run.map(|run| (name.to_string(), Peer { run, batch: None })));
                json!({"ok": found})
            }
            "values" => match (&self.row, name) {
                (Some(row), "candle") => {
                    json!({"values": candle_training::values(row)?.iter().map(|x| digest(x)).collect::<Vec<_>>()})
                }
                _ => return Err(format!("{name} has no checked rows").into()),
            },
            "first" => json!({"ms": peer?.repeat(1)? * 1e3}),
            "time" => {
                let peer = peer?;
                let [warm, batch] = peer.batch()?;
                peer.repeat(warm)?;
                json!({"ms": peer.repeat(batch)? * 1e3})
            }
            other => return Err(format!("no request '{other}'").into()),
        })
    }
}

fn main() -> Result<(), Error> {
    let mut answers = Answers::default();
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = answers.answer(&request).unwrap_or_else(|e| json!({"error": e.to_string()}));
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
