//! Prints which tests a run without the feature `testing` leaves out, because cargo leaves them out silently.
#![cfg(not(feature = "testing"))]

use std::io::Write;

#[test]
fn tests_that_need_the_feature_testing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let manifest = std::fs::read_to_string(path).expect("a readable file");
    let names: Vec<&str> = manifest
        .split("\n[[test]]\n")
        .skip(1)
        .filter(|section| section.contains("required-features = [\"testing\"]"))
        .filter_map(|section| section.strip_prefix("name = \"")?.split('"').next())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    // not by eprintln!, because the test harness captures that
    let _ = writeln!(
        std::io::stderr(),
        "left out without --features testing (./tests/run has it): the tests {}",
        names.join(", ")
    );
}
