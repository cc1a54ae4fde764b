//! Debug output: the words that the environment variable `CUPRIC_DEBUG` may contain, and where the output goes.

use std::fmt;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A word of `CUPRIC_DEBUG`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// Prints each plan when it is about to run.
    Plan,
    /// Prints each shader's source when it is compiled.
    Wgsl,
}

impl Word {
    const ALL: [Word; 2] = [Word::Plan, Word::Wgsl];

    /// Returns the word as the user writes it.
    pub fn text(self) -> &'static str {
        ["plan", "wgsl"][self as usize]
    }

    /// Returns the log target of the word, by which loggers filter.
    fn target(self) -> &'static str {
        ["cupric::plan", "cupric::wgsl"][self as usize]
    }
}

/// Parses a list such as `plan,wgsl`. Returns one bit for each known word, and the unknown words.
fn parse(list: &str) -> (u8, Vec<&str>) {
    let (mut bits, mut unknown) = (0, vec![]);
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match Word::ALL.into_iter().find(|word| word.text() == name) {
            Some(word) => bits |= 1 << word as u8,
            None => unknown.push(name),
        }
    }
    (bits, unknown)
}

/// The words of `CUPRIC_DEBUG`. The variable is read only once, because every evaluation needs it.
static ASKED: LazyLock<(u8, Vec<String>)> = LazyLock::new(|| {
    let list = std::env::var_os("CUPRIC_DEBUG").unwrap_or_default();
    let list = list.to_string_lossy();
    let (bits, unknown) = parse(&list);
    (bits, unknown.into_iter().map(str::to_string).collect())
});

/// Returns whether `CUPRIC_DEBUG` contains a word. Warns once about unknown words.
#[inline]
pub(crate) fn asks(word: Word) -> bool {
    let (bits, unknown) = &*ASKED;
    if !unknown.is_empty() {
        warn(unknown);
    }
    bits & 1 << word as u8 != 0
}

#[cold]
fn warn(unknown: &[String]) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    // the program's logger may evaluate an expression and so call this function again; that is safe, because the list
    // is already read and no lock is held
    if !WARNED.swap(true, Relaxed) {
        for name in unknown {
            log::warn!("CUPRIC_DEBUG: unknown word '{name}'; known words are plan and wgsl");
        }
    }
}

/// Writes debug output to the program's logger, at the level `debug`. A program without a logger would show nothing for
/// `CUPRIC_DEBUG=plan`, so without a logger the output that the variable requests goes to standard error.
pub(crate) fn show(word: Word, text: &dyn fmt::Display) {
    // a program that installs a logger also sets the maximum level, which is `Off` otherwise
    if log::max_level() == log::LevelFilter::Off && asks(word) {
        // ignore the error if standard error is closed
        let _ = writeln!(std::io::stderr().lock(), "{}", text.to_string().trim_end());
    } else {
        log::debug!(target: word.target(), "{text}");
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(debug: lists_of_words);

    fn lists_of_words() {
        let bits = |words: &[Word]| words.iter().fold(0, |bits, word| bits | 1 << *word as u8);
        assert_eq!(parse(""), (0, vec![]));
        assert_eq!(parse(" wgsl,plan ,"), (bits(&[Word::Plan, Word::Wgsl]), vec![]));
        assert_eq!(parse("plans,wgsl,copy"), (bits(&[Word::Wgsl]), vec!["plans", "copy"]));
        for word in Word::ALL {
            assert_eq!(word.target(), format!("cupric::{}", word.text()));
        }
    }
}
