//! Runs the fuzz targets of `fuzz/` with any toolchain: each over its corpus and over random bytes. The targets' code
//! is here; `cargo fuzz run NAME tests/fuzz/corpus/NAME` (nightly) finds inputs that random bytes do not.
//!
//! `CUPRIC_FUZZ=hex…` runs one input, `CUPRIC_SEED=n` changes the random inputs, `CUPRIC_FULL=1` takes ten times more.

#[cfg(feature = "gpu")]
mod kernels;
#[path = "../kit/mod.rs"]
mod kit;
#[path = "../kit/memory.rs"]
mod memory;
mod npy;
#[cfg(feature = "npz")]
mod npz;
#[cfg(feature = "safetensors")]
mod safetensors;
mod source;
mod state;
#[cfg(feature = "text")]
mod text;
mod views;

#[cfg(feature = "gpu")]
use crate::kit::operations;
use crate::kit::{Dice, stage::Stage};
use cupric::Device;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|f| f.expect("a name").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|p| std::fs::read(p).expect("a file")).collect()
}

/// Runs an input, and prints it if the target fails.
fn attempt(target: &str, run: fn(&[u8]), bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        eprintln!(
            "again: CUPRIC_FUZZ={hex} cargo test --features testing,formats --test fuzz {}",
            target.trim_start_matches("fuzz: ")
        );
        resume_unwind(panic);
    }
}

/// A random input: random bytes (mostly small), or an entry of the corpus with some bytes changed.
fn chance(dice: &mut Dice, corpus: &[Vec<u8>], longest: usize, fresh: bool) -> Vec<u8> {
    if fresh {
        return (0..dice.below(longest)).map(|_| dice.next() as u8).collect();
    }
    let mut bytes = dice.of(corpus).clone();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, dice.next() as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            3 if at < bytes.len() => bytes[at] = dice.next() as u8,
            _ => {
                let other = dice.of(corpus);
                let from = dice.below(other.len() + 1);
                let piece = &other[from..(from + dice.below(16)).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

/// Runs a target on its corpus, then on random inputs. One in `fresh` of these does not derive from the corpus.
fn target(name: &'static str, run: fn(&[u8]), inputs: usize, longest: usize, fresh: usize) {
    let mut stage = Stage::new(14, name, &Device::cpu());
    if let Ok(hex) = std::env::var("CUPRIC_FUZZ") {
        let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex digits");
        run(&(0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>());
        return;
    }
    let corpus = corpus(name.trim_start_matches("fuzz: "));
    for bytes in &corpus {
        attempt(name, run, bytes);
    }
    let full = kit::takes_all();
    let inputs = if full { inputs * 10 } else { kit::scaled(inputs) };
    let seed = std::env::var("CUPRIC_SEED").ok().and_then(|s| s.parse().ok());
    let mut dice = Dice::new(seed.unwrap_or_else(|| kit::seed_of_turn(1)));
    for _ in 0..inputs {
        let fresh = dice.one_in(fresh);
        attempt(name, run, &chance(&mut dice, &corpus, longest, fresh));
    }
    stage.count(corpus.len() + inputs);
}

#[test]
fn npy() {
    target("fuzz: npy", npy::run, 100_000, 200, 50);
}

#[cfg(feature = "npz")]
#[test]
fn npz() {
    target("fuzz: npz", npz::run, 20_000, 200, 50);
}

#[cfg(feature = "safetensors")]
#[test]
fn safetensors() {
    target("fuzz: safetensors", safetensors::run, 100_000, 200, 50);
}

#[cfg(feature = "text")]
#[test]
fn text() {
    target("fuzz: text", text::run, 100_000, 100, 50);
}

#[test]
fn views() {
    target("fuzz: views", views::run, 100_000, 80, 2);
}

#[test]
fn state() {
    target("fuzz: state", state::run, 100_000, 120, 2);
}

#[cfg(feature = "gpu")]
#[test]
fn kernels() {
    target("fuzz: kernels", kernels::run, 25_000, 80, 2);
}
