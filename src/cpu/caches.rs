//! The sizes of the processor's caches.

use std::fs;
use std::sync::OnceLock;

/// What is assumed of a cache whose size the system does not tell: 32 KiB, 1 MiB and 32 MiB. Nearly every core of the last ten
/// years has a first level of that size or more; of the others these are usual sizes.
const USUAL: [usize; 3] = [32 << 10, 1 << 20, 32 << 20];

/// Bytes of a core's first and second level of data, and of the last level. They are read once, because devices of one process
/// share plans only if they have equal capabilities.
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
            // the last level is the largest, whatever its number
            sizes[2] = sizes[2].max(size);
        }
        [0, 1, 2].map(|level| if sizes[level] == 0 { USUAL[level] } else { sizes[level] })
    })
}

/// A size as Linux writes it: `48K`, `2M`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_caches_are_read() {
        assert_eq!([parse("48K"), parse("2M"), parse("512"), parse(""), parse("xK")], [48 << 10, 2 << 20, 512, 0, 0]);
        assert!(sizes().iter().all(|n| *n >= 1 << 10), "{:?}", sizes());
        assert!(sizes()[0] <= sizes()[2], "{:?}", sizes());
    }
}
