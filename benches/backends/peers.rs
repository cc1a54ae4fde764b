//! The peers are other libraries that run the same rows. They run in long-lived processes, the workers, which take
//! requests as lines of JSON and answer with lines of JSON. `benches/python/peers.py` is the worker for all Python
//! modules of an interpreter, and the package `benches/peers` is the worker for Rust crates.
//!
//! The requests are `hello` (list the peers) and `row` (what to run). The requests to one peer are `setup` (make its
//! arrays and compile), `first` (one timed call), `values` (digests of the results of a checked row) and `time` (one
//! more sample).

use crate::timing::{BUDGET, ENDLESS, SLOW, Samples};
use crate::work::Case;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Milliseconds that a worker may take for any answer but `first`. It may import modules, make arrays and compile.
const PATIENCE: f64 = 180_000.0;

/// The number of samples that are taken of a peer, however long they take.
const FEW: usize = 3;

/// The largest difference between a peer's values and the library's, relative to their norm.
const CLOSE: f64 = 1e-4;

/// A peer's time on a row.
#[derive(Clone, Debug)]
pub enum Time {
    Samples(Samples),
    /// The first call took more than `ENDLESS` milliseconds and was ended.
    Endless,
    /// The peer lacks the operation.
    Lacking,
    /// The peer failed, with this message.
    Failed(String),
}

impl Time {
    pub fn ms(&self) -> Option<f64> {
        match self {
            Time::Samples(s) if !s.is_empty() => Some(s.median()),
            _ => None,
        }
    }
}

/// A peer and its time on a row.
#[derive(Clone)]
pub struct Timed {
    pub name: String,
    pub time: Time,
    /// The milliseconds spent on taking its samples.
    spent: f64,
    /// Whether the first call took so long that it is the only sample.
    slow: bool,
}

impl Timed {
    fn new(name: &str, time: Time) -> Timed {
        Timed { name: name.into(), time, spent: 0.0, slow: false }
    }

    pub fn lost(&mut self) {
        self.time = Time::Failed("the process has ended".into());
    }
}

/// A process that runs some peers. It is started again after it has ended.
pub struct Worker {
    program: PathBuf,
    arguments: Vec<OsString>,
    live: Option<Live>,
    /// Names and versions of its peers.
    pub peers: Vec<(String, String)>,
    /// The peers, works and dtypes that exceeded `ENDLESS`, so that they are not tried at a larger size.
    endless: Vec<[String; 3]>,
    /// The peers that run, or `None` if all run.
    only: Option<Vec<String>>,
}

struct Live {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Drop for Live {
    fn drop(&mut self) {
        // the process may be in the middle of a long call, so it is killed
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Answer {
    Json(Value),
    Late,
    Gone,
}

impl Worker {
    /// Starts the worker of a Python interpreter, given as its program or as the folder of a virtual environment.
    pub fn python(path: &Path) -> Result<Worker, String> {
        let inside = ["bin/python", "Scripts/python.exe"].map(|p| path.join(p));
        let program = match inside.iter().find(|p| path.is_dir() && p.is_file()) {
            Some(p) => p.clone(),
            None => path.to_path_buf(),
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/python/peers.py");
        Worker::start(program, vec!["-u".into(), script.into()])
    }

    /// Builds `benches/peers`, and starts the worker of Rust crates.
    pub fn rust() -> Result<Worker, String> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/Cargo.toml");
        let target = crate::machine::target().join("peers");
        eprintln!("building benches/peers");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(&cargo);
        build
            .args(["build", "--quiet", "--release", "--manifest-path"])
            .arg(&manifest)
            .arg("--target-dir")
            .arg(&target);
        match build.status() {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("benches/peers does not build".into()),
            Err(e) => return Err(format!("{}: {e}", cargo.to_string_lossy())),
        }
        let name = format!("cupric-peers{}", std::env::consts::EXE_SUFFIX);
        Worker::start(target.join("release").join(name), vec![])
    }

    fn start(program: PathBuf, arguments: Vec<OsString>) -> Result<Worker, String> {
        let mut worker = Worker { program, arguments, live: None, peers: vec![], endless: vec![], only: None };
        worker.spawn()?;
        match worker.ask(&json!({"op": "hello"}), PATIENCE) {
            Answer::Json(v) => {
                let list = v["peers"].as_object().into_iter().flatten();
                worker.peers = list.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_string())).collect();
                Ok(worker)
            }
            _ => Err(format!("{} does not answer as a Python interpreter would", worker.program.display())),
        }
    }

    /// Restricts further rows to the peers of these names.
    pub fn only(&mut self, names: &[&str]) {
        self.only = Some(names.iter().map(|n| n.to_string()).collect());
    }

    /// Returns the id of the process, if there is one.
    pub fn id(&self) -> Option<u32> {
        self.live.as_ref().map(|live| live.child.id())
    }

    fn spawn(&mut self) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", self.program.display()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(format!("{}: no pipes", self.program.display()));
        };
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        self.live = Some(Live { child, input, lines });
        Ok(())
    }

    /// Sends a request, and waits at most `patience` milliseconds for JSON. If none comes by then, the process is
    /// ended.
    fn ask(&mut self, request: &Value, patience: f64) -> Answer {
        let Some(live) = &mut self.live else { return Answer::Gone };
        let sent = writeln!(live.input, "{request}").and_then(|()| live.input.flush());
        let answer = match sent {
            Err(_) => Answer::Gone,
            Ok(()) => match live.lines.recv_timeout(Duration::from_secs_f64(patience / 1e3)) {
                Ok(line) => serde_json::from_str(&line).map_or(Answer::Gone, Answer::Json),
                Err(RecvTimeoutError::Timeout) => Answer::Late,
                Err(RecvTimeoutError::Disconnected) => Answer::Gone,
            },
        };
        if !matches!(answer, Answer::Json(_)) {
            self.live = None;
        }
        answer
    }

    /// Sends a row to the process, which is started first if there is none. Returns whether it answered.
    fn ready(&mut self, row: &Value) -> bool {
        if self.live.is_none() && self.spawn().is_err() {
            return false;
        }
        matches!(self.ask(row, PATIENCE), Answer::Json(_))
    }

    /// Prepares the peers for a row and runs each of them once. A peer that does not compute `values` fails.
    pub fn prepare(&mut self, case: &Case<'_>, device: &str, values: &[[f64; 2]]) -> Vec<Timed> {
        let mut row = case.to_json();
        row["op"] = json!("row");
        row["device"] = json!(device);
        let wanted = |name: &String| self.only.as_ref().is_none_or(|only| only.contains(name));
        let names: Vec<String> = self.peers.iter().map(|(name, _)| name.clone()).filter(wanted).collect();
        let mut peers: Vec<Timed> = names.iter().map(|n| Timed::new(n, Time::Lacking)).collect();
        if !self.ready(&row) {
            peers.iter_mut().for_each(Timed::lost);
            return peers;
        }
        for i in 0..peers.len() {
            let key = [&names[i], case.work.name, case.work.dtype.name()].map(str::to_string);
            if self.endless.contains(&key) {
                // the rows of a work come in order of their size, so this row is at least as large as the endless one
                peers[i].time = Time::Endless;
                continue;
            }
            peers[i].time = self.first(&names[i]);
            if let (Time::Samples(_), Some(why)) = (&peers[i].time, self.wrong(&names[i], values)) {
                peers[i].time = Time::Failed(why);
            }
            // a slow first call is the only sample
            peers[i].slow = matches!(&peers[i].time, Time::Samples(s) if !s.is_empty());
            if matches!(peers[i].time, Time::Endless) {
                self.endless.push(key);
            }
            if self.live.is_some() || !self.ready(&row) {
                continue;
            }
            // the process has ended and lost the arrays of the peers before this one, so the new process runs them once
            // more
            for other in peers[..i].iter_mut().filter(|p| matches!(p.time, Time::Samples(_))) {
                if !matches!(self.first(&other.name), Time::Samples(_)) {
                    other.lost();
                }
            }
        }
        peers
    }

    fn first(&mut self, peer: &str) -> Time {
        match self.ask(&json!({"op": "setup", "peer": peer}), PATIENCE) {
            Answer::Json(v) if v["error"].is_string() => return failed(&v),
            Answer::Json(v) if v["ok"] == json!(false) => return Time::Lacking,
            Answer::Json(_) => {}
            Answer::Late => return Time::Failed("not ready after three minutes".into()),
            Answer::Gone => return Time::Failed("the process has ended".into()),
        }
        match self.ask(&json!({"op": "first", "peer": peer}), ENDLESS) {
            Answer::Json(v) => match v["ms"].as_f64() {
                Some(ms) => {
                    let mut samples = Samples::default();
                    if ms > SLOW {
                        samples.push(ms);
                    }
                    Time::Samples(samples)
                }
                None => failed(&v),
            },
            Answer::Late => Time::Endless,
            Answer::Gone => Time::Failed("the process has ended".into()),
        }
    }

    /// Compares the values that a peer computes with `values`. Returns what is wrong, if they are too far apart.
    fn wrong(&mut self, peer: &str, values: &[[f64; 2]]) -> Option<String> {
        if values.is_empty() {
            return None;
        }
        let Answer::Json(answer) = self.ask(&json!({"op": "values", "peer": peer}), PATIENCE) else {
            return Some("the process has ended".into());
        };
        let Some(found) = answer["values"].as_array() else { return Some(answer["error"].to_string()) };
        let same = |ours: &[f64; 2], theirs: &Value| {
            (0..2).all(|i| theirs[i].as_f64().is_some_and(|x| (x - ours[i]).abs() <= CLOSE * ours[0]))
        };
        let differs = values.iter().zip(found).position(|(ours, theirs)| !same(ours, theirs));
        let shown = differs.map(|i| format!("value {i} is {}, and ours {:?}", found[i], values[i]));
        shown.or_else(|| (found.len() != values.len()).then(|| "another number of values".into()))
    }

    /// Takes one more sample of a peer, and returns whether it ran. It does not run if its slow first call is its only
    /// sample, or if it has used up its share of time.
    pub fn sample(&mut self, peer: &mut Timed, patience: f64) -> bool {
        let Time::Samples(samples) = &mut peer.time else { return false };
        if peer.slow || samples.len() >= FEW && peer.spent > BUDGET * patience {
            return false;
        }
        let start = Instant::now();
        match self.ask(&json!({"op": "time", "peer": peer.name}), PATIENCE) {
            Answer::Json(v) => match v["ms"].as_f64() {
                Some(ms) => samples.push(ms),
                None => peer.time = failed(&v),
            },
            _ => peer.lost(),
        }
        peer.spent += start.elapsed().as_secs_f64() * 1e3;
        true
    }
}

fn failed(answer: &Value) -> Time {
    let text = answer["error"].as_str().unwrap_or("no time");
    Time::Failed(text.lines().next().unwrap_or("").chars().take(200).collect())
}
