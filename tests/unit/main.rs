//! Runs the unit tests, which are in `src/` next to the code: see `src/testing/unit.rs`.

use clap::Parser;
use libtest_mimic::{Arguments, Trial};
use std::sync::{Mutex, PoisonError};

/// Arguments like those of the compiler's own harness: several filters, while `libtest-mimic` takes only one.
#[derive(Parser)]
struct Asked {
    #[command(flatten)]
    first: Arguments,
    filters: Vec<String>,
}

/// Messages of panics. They are shown only if a test failed, because some tests panic on purpose.
static SAID: Mutex<Vec<String>> = Mutex::new(vec![]);

fn main() {
    let Asked { mut first, mut filters } = Asked::parse();
    filters.extend(first.filter.take());
    let is_asked = |name: &str| {
        let matches = |filter: &String| if first.exact { name == filter } else { name.contains(filter.as_str()) };
        filters.is_empty() || filters.iter().any(matches)
    };
    let tests: Vec<Trial> = cupric::testing::all_unit_tests()
        .into_iter()
        .filter(|(name, _)| is_asked(name))
        .map(|(name, run)| {
            Trial::test(name, move || {
                run();
                Ok(())
            })
        })
        .collect();
    std::panic::set_hook(Box::new(|panic| {
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }));
    let conclusion = libtest_mimic::run(&first, tests);
    if conclusion.has_failed() {
        for text in SAID.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            eprintln!("{text}\n");
        }
    }
    conclusion.exit()
}
