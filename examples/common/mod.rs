//! What the example programs share: arguments, a progress bar, an orderly end, charts ([`plot`]) and pictures ([`picture`]). Nothing
//! of the library.
//!
//! ```ignore
//! mod common;
//!
//! fn main() -> std::process::ExitCode {
//!     let args = common::Args::new("digits", "Trains a small network on handwritten digits.")
//!         .option("epochs", "N", "passes over the training data [20]")
//!         .option("device", "cpu|gpu|best", "where to compute [best]")
//!         .flag("quiet", "no progress bar")
//!         .parse();
//!     let epochs: usize = args.get("epochs", 20);
//!     let device = args.choice("device", "best");
//!     common::finish("digits", train(epochs, device, args.has("quiet")))
//! }
//! ```
#![allow(dead_code, reason = "each example uses a part")]

pub mod picture;
pub mod plot;

use std::ffi::OsString;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

// --- arguments ---

/// An example's options: declared first, then parsed.
///
/// `--name value` and `--name=value` are the same; of a repeated option the last counts. `--help` prints the usage and ends the
/// program with status 0; a wrong option or value gives one line on stderr and status 2.
pub struct Args {
    program: &'static str,
    about: &'static str,
    options: Vec<Opt>,
}

struct Opt {
    name: &'static str,
    /// The placeholder of its value; none for a flag.
    value: Option<&'static str>,
    help: &'static str,
    given: Option<String>,
}

/// Why parsing stopped.
#[derive(Debug, PartialEq)]
enum Stop {
    Help,
    Wrong(String),
}

impl Args {
    pub fn new(program: &'static str, about: &'static str) -> Args {
        Args { program, about, options: Vec::new() }.flag("help", "print this and end")
    }

    /// Declares `--name VALUE`. A placeholder such as `cpu|gpu` lists the choices for [`Args::choice`].
    pub fn option(mut self, name: &'static str, value: &'static str, help: &'static str) -> Args {
        self.options.push(Opt { name, value: Some(value), help, given: None });
        self
    }

    /// Declares `--name`, which takes no value.
    pub fn flag(mut self, name: &'static str, help: &'static str) -> Args {
        self.options.push(Opt { name, value: None, help, given: None });
        self
    }

    /// Reads the program's arguments.
    pub fn parse(mut self) -> Args {
        match self.read(std::env::args_os().skip(1)) {
            Ok(()) => self,
            Err(Stop::Help) => {
                // a closed pipe is no failure
                let _ = std::io::stdout().write_all(self.usage().as_bytes());
                std::process::exit(0)
            }
            Err(Stop::Wrong(message)) => self.wrong(message),
        }
    }

    /// Whether the option was given.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).given.is_some()
    }

    /// The option's value, or `default` if it was not given.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> T {
        self.try_get(name).unwrap_or(default)
    }

    /// The option's value, if it was given.
    pub fn try_get<T: FromStr>(&self, name: &str) -> Option<T> {
        let option = self.find(name);
        let text = option.given.as_deref()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => self.wrong(format!("--{name} takes {}, not '{text}'", option.value.unwrap_or("nothing"))),
        }
    }

    /// One of the choices in the option's placeholder (`cpu|gpu`), or `default` if it was not given.
    pub fn choice(&self, name: &str, default: &'static str) -> &'static str {
        let option = self.find(name);
        let Some(text) = option.given.as_deref() else {
            return default;
        };
        let choices = option.value.unwrap_or("");
        match choices.split('|').find(|choice| *choice == text) {
            Some(choice) => choice,
            None => self.wrong(format!("--{name} takes {choices}, not '{text}'")),
        }
    }

    /// The option's value, or `default` if it was not given; 0 is wrong.
    pub fn positive(&self, name: &str, default: usize) -> usize {
        match self.get(name, default) {
            0 => self.wrong(format!("--{name} takes a number above 0")),
            n => n,
        }
    }

    /// The name in `--device`, or `best`. Whether there is such a device is found out when it is opened.
    pub fn device(&self) -> String {
        self.get("device", "best".into())
    }

    /// Ends the program as for any wrong argument: one line on stderr, status 2.
    pub fn wrong(&self, message: impl Display) -> ! {
        eprintln!("{}: {} (try --help)", self.program, one_line(message));
        std::process::exit(2)
    }

    fn read(&mut self, arguments: impl IntoIterator<Item = OsString>) -> Result<(), Stop> {
        let mut arguments = arguments.into_iter().map(|argument| {
            argument.into_string().map_err(|raw| Stop::Wrong(format!("{} is not UTF-8", raw.to_string_lossy())))
        });
        while let Some(argument) = arguments.next() {
            let argument = argument?;
            if argument == "-h" {
                return Err(Stop::Help);
            }
            let Some(body) = argument.strip_prefix("--") else {
                return Err(Stop::Wrong(format!("unexpected argument '{argument}'")));
            };
            let (name, attached) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_string())),
                None => (body, None),
            };
            let Some(option) = self.options.iter_mut().find(|option| option.name == name) else {
                return Err(Stop::Wrong(format!("unknown option --{name}")));
            };
            if name == "help" {
                return Err(Stop::Help);
            }
            let value = match (option.value, attached) {
                (None, None) => String::new(),
                (None, Some(_)) => return Err(Stop::Wrong(format!("--{name} takes no value"))),
                (Some(_), Some(value)) => value,
                (Some(placeholder), None) => match arguments.next().transpose()? {
                    Some(value) if !value.starts_with("--") => value,
                    _ => {
                        return Err(Stop::Wrong(format!("--{name} needs a value: --{name} {placeholder}")));
                    }
                },
            };
            option.given = Some(value);
        }
        Ok(())
    }

    fn usage(&self) -> String {
        let mut text = format!("{}\n\nusage: {} [options]\n\n", self.about, self.program);
        let left = |option: &Opt| match option.value {
            Some(value) => format!("--{} {value}", option.name),
            None => format!("--{}", option.name),
        };
        let width = self.options.iter().map(|option| left(option).len()).max().unwrap_or(0);
        // help was declared first and is listed last
        for option in self.options.iter().skip(1).chain(self.options.first()) {
            let _ = writeln!(text, "  {:width$}  {}", left(option), option.help);
        }
        text
    }

    fn find(&self, name: &str) -> &Opt {
        let found = self.options.iter().find(|option| option.name == name);
        found.unwrap_or_else(|| panic!("{}: option --{name} was never declared", self.program))
    }
}

// --- the end ---

/// The exit code of an example: 0, or 1 after one line on stderr.
pub fn finish<E: Display>(program: &str, result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {}", one_line(error));
            ExitCode::from(1)
        }
    }
}

/// Prints a line on stdout. A reader who has gone (`| head`) is no error, and no panic as with `println!`.
pub fn say(line: impl Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn one_line(message: impl Display) -> String {
    let text = message.to_string();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

// --- progress ---

/// A progress bar on stderr: redrawn in place on a terminal, a line for every tenth elsewhere, nothing when quiet.
pub struct Progress {
    label: String,
    total: usize,
    done: usize,
    mode: Mode,
    started: Instant,
    drawn: Option<Instant>,
    tenths: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Bar,
    Lines,
    Quiet,
}

impl Progress {
    pub fn new(label: impl Into<String>, total: usize, quiet: bool) -> Progress {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Bar,
            (false, false) => Mode::Lines,
        };
        Progress { label: label.into(), total, done: 0, mode, started: Instant::now(), drawn: None, tenths: 0 }
    }

    /// One more is done; `note` (a loss, a rate) stands behind the bar.
    pub fn step(&mut self, note: impl Display) {
        self.set(self.done + 1, note);
    }

    /// So many are done.
    pub fn set(&mut self, done: usize, note: impl Display) {
        self.done = done.min(self.total);
        match self.mode {
            Mode::Quiet => {}
            Mode::Bar => self.draw(&note),
            Mode::Lines => {
                let tenths = (self.done * 10).checked_div(self.total).unwrap_or(10);
                if tenths > self.tenths {
                    self.tenths = tenths;
                    let _ = writeln!(std::io::stderr(), "{} {}/{} {note}", self.label, self.done, self.total);
                }
            }
        }
    }

    /// As [`say`], above the bar.
    pub fn say(&mut self, line: impl Display) -> io::Result<()> {
        if self.mode == Mode::Bar {
            let _ = write!(io::stderr(), "\r\x1b[K");
            // the bar comes back with the next step
            self.drawn = None;
        }
        say(line)
    }

    fn draw(&mut self, note: &dyn Display) {
        let last = self.done == self.total;
        if !last && self.drawn.is_some_and(|drawn| drawn.elapsed() < Duration::from_millis(50)) {
            return;
        }
        self.drawn = Some(Instant::now());
        const WIDTH: usize = 30;
        let filled = (self.done * WIDTH).checked_div(self.total).unwrap_or(WIDTH);
        let bar = "█".repeat(filled) + &"░".repeat(WIDTH - filled);
        let seconds = self.started.elapsed().as_secs_f64();
        let left = match self.done {
            0 => String::new(),
            _ if last => format!("{seconds:.1} s"),
            done => format!("{:.0} s left", seconds * (self.total - done) as f64 / done as f64),
        };
        // carriage return, then clear to the end of the line; a closed stderr is no failure
        let _ = write!(std::io::stderr(), "\r{} {bar} {}/{} {left}  {note}\x1b[K", self.label, self.done, self.total);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.mode == Mode::Bar && self.drawn.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}
