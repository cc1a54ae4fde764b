//! The sizes of the processor's caches.

use std::fs;
use std::sync::OnceLock;

/// The size of a cache line in bytes.
pub(super) const LINE: usize = 64;

/// Prefetches the cache line that contains an address. The address may be invalid.
#[inline(always)]
pub(super) fn prefetch<T>(at: *const T) {
    crate::math::simd::prefetch(at);
}

/// The sizes in bytes of the L1, L2 and last-level caches that are assumed if the system does not report them. Nearly
/// every core of the last ten years has an L1 cache of 32 KiB or more. 1 MiB and 32 MiB are usual for the other levels.
const USUAL: [usize; 3] = [32 << 10, 1 << 20, 32 << 20];

/// Returns the sizes in bytes of a core's L1 and L2 data caches and of the last-level cache. The sizes are part of a
/// device's capabilities, which must not change, so they are read once.
pub(super) fn sizes() -> [usize; 3] {
    static SIZES: OnceLock<[usize; 3]> = OnceLock::new();
    *SIZES.get_or_init(|| {
        let mut sizes = [0; 3];
        let caches = fs::read_dir("/sys/devices/system/cpu/cpu0/cache").into_iter().flatten().flatten();
        for cache in caches.map(|entry| entry.path()) {
            let read = |name: &str| fs::read_to_string(cache.join(name)).unwrap_or_default().trim().to_string();
            let (level, size) = (read("level").parse::<usize>().unwrap_or(0), parse(&read("size")));
            if read("type") == "Instruction" {
                continue;
            }
            if let 1..=2 = level {
                sizes[level - 1] = sizes[level - 1].max(size);
            }
            // the largest cache counts as the last level, whatever level the system reports
            sizes[2] = sizes[2].max(size);
        }
        [0, 1, 2].map(|level| if sizes[level] == 0 { USUAL[level] } else { sizes[level] })
    })
}

/// Parses a size in the format of Linux, such as `48K` or `2M`, to bytes. Returns 0 for any other string.
fn parse(text: &str) -> usize {
    let (digits, unit) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) => (digits, text.as_bytes()[digits.len()]),
        None => (text, b'1'),
    };
    let scale = match unit {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        b'G' => 1 << 30,
        _ => 1,
    };
    digits.parse::<usize>().unwrap_or(0).saturating_mul(scale)
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(cpu_caches: sizes_of_caches_are_read);

    fn sizes_of_caches_are_read() {
        assert_eq!([parse("48K"), parse("2M"), parse("512"), parse(""), parse("xK")], [48 << 10, 2 << 20, 512, 0, 0]);
        assert!(sizes().iter().all(|n| *n >= 1 << 10), "{:?}", sizes());
        assert!(sizes()[0] <= sizes()[2], "{:?}", sizes());
    }
}
