//! The words of a plan's key.

use smallvec::SmallVec;
use std::hash::Hasher;

/// The words of a plan's key. It is a `Hasher` that keeps all words instead of mixing them, so that any type that
/// derives `Hash` can be written to it. Expressions of different structure never have equal keys, because each value in
/// the key also tells its number of words.
///
/// A key of up to 64 words, enough for a graph of about twelve nodes, needs no allocation.
#[derive(Default)]
pub(super) struct PlanKey(SmallVec<[u64; 64]>);

impl PlanKey {
    #[inline]
    pub fn push(&mut self, word: u64) {
        self.0.push(word);
    }

    #[inline]
    pub fn words(&self) -> &[u64] {
        &self.0
    }
}

impl Hasher for PlanKey {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.push(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        if !words.remainder().is_empty() {
            self.push(words.remainder().iter().rev().fold(0, |word, byte| word << 8 | *byte as u64));
        }
    }
    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.push(n as u64);
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.push(n as u64);
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.push(n);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.push(n as u64);
    }
    fn finish(&self) -> u64 {
        // the hash is never used: the cache reads the words
        0
    }
}
