//! What a user asks to see of the library's work by the words of `CUPRIC_DEBUG`, and where it is shown.

use std::fmt;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A word of `CUPRIC_DEBUG`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    /// Plans, as they run.
    Plan,
    /// The texts of shaders, as they are compiled.
    Wgsl,
}

impl Word {
    const ALL: [Word; 2] = [Word::Plan, Word::Wgsl];

    /// The word as it is written.
    pub fn text(self) -> &'static str {
        ["plan", "wgsl"][self as usize]
    }

    /// The target of what is logged for the word, by which loggers choose.
    fn target(self) -> &'static str {
        ["cupric::plan", "cupric::wgsl"][self as usize]
    }
}

/// The words of a list such as `plan,wgsl`, a bit each, and those of the list that are no words.
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

/// What `CUPRIC_DEBUG` asks for. The variable is read once, because each evaluation asks.
static ASKED: LazyLock<(u8, Vec<String>)> = LazyLock::new(|| {
    let list = std::env::var_os("CUPRIC_DEBUG").unwrap_or_default();
    let list = list.to_string_lossy();
    let (bits, unknown) = parse(&list);
    (bits, unknown.into_iter().map(str::to_string).collect())
});

/// Whether `CUPRIC_DEBUG` has a word. Words that it does not know are warned of once.
pub(crate) fn asks(word: Word) -> bool {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let (bits, unknown) = &*ASKED;
    // the program's logger may evaluate something itself, and so ask again: the list is read, and nothing is held
    if !unknown.is_empty() && !WARNED.swap(true, Relaxed) {
        for name in unknown {
            log::warn!("CUPRIC_DEBUG: unknown word '{name}'; known are plan and wgsl");
        }
    }
    bits & 1 << word as u8 != 0
}

/// Shows a text that was asked for: to the program's logger, at the level `debug`. A program without a logger would show
/// nothing for `CUPRIC_DEBUG=plan`, so where none is installed, what the variable asks for goes to the standard error.
pub(crate) fn show(word: Word, text: &dyn fmt::Display) {
    // a logger that is installed sets the level, which else is `Off`
    if log::max_level() == log::LevelFilter::Off && asks(word) {
        // a standard error that is closed is no reason to fail
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
