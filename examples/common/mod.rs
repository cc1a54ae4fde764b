//! Helpers that the examples and the benchmark harness share: exit codes, arguments (`clap`), progress bars
//! (`indicatif`), charts (`plotters`, in [`plot`]) and pictures (`image`, in [`picture`]). They do not use cupric.
//!
//! ```ignore
//! mod common;
//!
//! /// Trains a small network on handwritten digits.
//! #[derive(clap::Parser)]
//! struct Options {
//!     /// Passes over the training images
//!     #[arg(long, value_name = "N", default_value_t = 30, value_parser = common::positive)]
//!     epochs: usize,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let options: Options = common::arguments("digits");
//!     common::finish("digits", train(&options))
//! }
//! ```
#![allow(dead_code, reason = "each example uses a part")]

pub mod picture;
pub mod plot;

use clap::Parser;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

// --- arguments ---

/// Reads the program's arguments. If an option is repeated, the last one counts. `--help` prints the usage and ends the
/// program with status 0. A wrong argument prints one line on stderr and ends it with status 2.
pub fn arguments<T: Parser>(program: &'static str) -> T {
    let command = T::command().name(program).bin_name(program).args_override_self(true);
    // accept a value such as `-1`, so that the option itself rejects it; otherwise clap reports an unknown option `-1`
    let command = command.mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    });
    let read = command.try_get_matches().and_then(|mut matches| T::from_arg_matches_mut(&mut matches));
    read.unwrap_or_else(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        // drop the usage that clap appends to the message, because `--help` prints it
        let text = error.to_string();
        let message = text.trim_start_matches("error: ").split("\n\n");
        let message = message.take_while(|part| !["Usage:", "For more"].iter().any(|start| part.starts_with(start)));
        wrong(program, message.map(|part| lines(part, " ")).collect::<Vec<_>>().join("\n"))
    })
}

/// Reads a number above 0.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("a number above 0 is needed".into()),
        Ok(n) => Ok(n),
        Err(error) => Err(error.to_string()),
    }
}

/// Reports a wrong argument: prints one line on stderr and ends the program with status 2.
pub fn wrong(program: &str, message: impl Display) -> ! {
    // if stderr is closed, ignore the error instead of panicking
    let _ = writeln!(io::stderr(), "{program}: {} (try --help)", one_line(message));
    std::process::exit(2)
}

// --- exit code and output ---

/// Returns the exit code of an example: 0, or 1 after printing the error as one line on stderr.
pub fn finish<E: Display>(program: &str, result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{program}: {}", one_line(error));
            ExitCode::from(1)
        }
    }
}

/// Prints a line on stdout. A closed pipe, as after `| head`, is not an error, whereas `println!` would panic.
pub fn say(line: impl Display) -> io::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn one_line(message: impl Display) -> String {
    lines(&message.to_string(), "; ")
}

fn lines(text: &str, between: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(between)
}

// --- progress ---

/// Returns a progress bar on stderr, hidden if `quiet` or if stderr is no terminal. Print above it with `suspend`.
pub fn progress(label: &'static str, total: usize, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}, {eta} left  {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█▉▊▋▌▍▎▏░");
    // if an error ends the program, the bar stays as it was
    ProgressBar::new(total as u64).with_style(style).with_prefix(label).with_finish(ProgressFinish::Abandon)
}
