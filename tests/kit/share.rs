//! Which part of the random and slow trials a run takes.
//!
//! A run takes a tenth of the random trials; `./tests/run --full` (`CUPRIC_FULL=1`) takes all. The tenth changes with
//! each commit: `./tests/run` sets `CUPRIC_TURN` to the number of commits. So faults in old code are found in time, and
//! a later tenth can be run early (`CUPRIC_TURN=n ./tests/run`). If a failure occurs only in one turn, run the commit
//! before with the same turn: the fault is in old code if that fails too.
//!
//! With `./tests/run --half` (`CUPRIC_HALF`) a run also leaves out half of the GPU tests of the slow programs.

/// Whether the run takes all trials.
pub fn takes_all() -> bool {
    std::env::var_os("CUPRIC_FULL").is_some_and(|v| v == "1")
}

/// Returns the number of the turn (which tenth of the trials to run): `CUPRIC_TURN`, or 0.
pub fn turn() -> u64 {
    std::env::var("CUPRIC_TURN").ok().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Returns how many of `n` random trials the run takes.
pub fn scaled(n: usize) -> usize {
    if takes_all() { n } else { n.div_ceil(10) }
}

/// Returns a seed that changes with the turn. In turn 0 it is `seed` itself.
pub fn seed_of_turn(seed: u64) -> u64 {
    seed + (turn() << 32)
}

/// Returns `count` seeds from `base` on. On the CPU they change with each turn. On a GPU three quarters stay the same,
/// because a software driver compiles each new shader, and finds earlier ones in its cache.
pub fn seeds(base: u64, count: usize, on_gpu: bool) -> impl Iterator<Item = u64> + Clone {
    /// The distance between the base seeds of two tests.
    const APART: u64 = 1_000_000;
    let count = count as u64;
    let changing = if takes_all() {
        0
    } else if on_gpu {
        count / 4
    } else {
        count
    };
    let kept = count - changing;
    let first = kept + turn().wrapping_mul(changing) % (APART - count).max(1);
    (base..base + kept).chain(base + first..base + first + changing)
}

/// The programs whose GPU tests take the most time, because a software driver compiles their shaders. `accuracy` takes
/// longer still, but has few tests, which select their trials with `in_turn`.
const SLOW: [&str; 6] = ["arrays", "linalg", "operations", "planning", "programs", "regressions"];

/// Whether the GPU test of this thread is left to a run that takes the other half. A hash of the test's name decides. The
/// halves change every two turns, because other stages of `.ci/run` change with each turn. Then each of them runs with both
/// halves. The name of a test that is left out goes to the file `CUPRIC_HALF`. Without this variable all tests run.
pub fn is_of_other_half() -> bool {
    let Some(path) = std::env::var_os("CUPRIC_HALF").filter(|path| !path.is_empty()) else { return false };
    let (program, thread) = (env!("CARGO_CRATE_NAME"), std::thread::current());
    // the test harness names a test's thread like the test, except if it runs one test at a time
    let Some(test) = thread.name().filter(|name| *name != "main" && SLOW.contains(&program)) else { return false };
    // FNV-1a
    let hash = test.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let is_other = !takes_all() && (hash >> 32) % 2 != turn() / 2 % 2;
    if is_other {
        super::stage::append(path, &format!("{program}::{test}\n"));
    }
    is_other
}

/// Whether a run takes slow trial number `i` of a list. Each run takes one in `n`.
pub fn in_turn(i: usize, n: u64) -> bool {
    takes_all() || (i as u64).wrapping_add(turn()).is_multiple_of(n)
}
