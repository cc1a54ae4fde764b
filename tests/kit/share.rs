//! Which part of the random and long trials a run takes.
//!
//! A run takes a tenth of the random trials, and `./tests/run --full` (`CUPRIC_FULL=1`) takes all. The tenth changes with every commit:
//! `./tests/run` sets `CUPRIC_TURN` to the number of commits. So a fault in old code is found sooner or later, and the next
//! share can be run before it is due (`CUPRIC_TURN=n ./tests/run`). A failure that another turn does not have is a fault of
//! old code if the commit before it fails with the same turn too.

/// Whether the run takes all trials.
pub fn takes_all() -> bool {
    std::env::var_os("CUPRIC_FULL").is_some_and(|v| v == "1")
}

/// Returns the number of the run's share: `CUPRIC_TURN`, or 0.
pub fn turn() -> u64 {
    std::env::var("CUPRIC_TURN").ok().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Returns how many of `n` random trials the run takes.
pub fn scaled(n: usize) -> usize {
    if takes_all() { n } else { n.div_ceil(10) }
}

/// Returns a seed for a source of random numbers that changes with the turn. Turn 0 has `seed` itself.
pub fn seed_of_turn(seed: u64) -> u64 {
    seed + (turn() << 32)
}

/// Returns `count` seeds from `base` on: on the CPU other ones in each turn. On a GPU three quarters are the same in each turn,
/// because a software driver compiles each new shader, and finds those of the run before in its cache.
pub fn seeds(base: u64, count: usize, on_gpu: bool) -> impl Iterator<Item = u64> + Clone {
    /// The tests' bases are a million apart.
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

/// Whether a run takes long trial number `i` of a list, of which each run takes one in `n`.
pub fn in_turn(i: usize, n: u64) -> bool {
    takes_all() || (i as u64).wrapping_add(turn()).is_multiple_of(n)
}
