//! The words of a plan's key.

use std::hash::Hasher;

/// The number of words that a key holds without an allocation: enough for a graph of about twelve nodes.
const SHORT: usize = 64;

/// The words of a plan's key. It is a `Hasher` that keeps all words instead of mixing them, so that any type that
/// derives `Hash` can be written to it. Expressions of different structure never have equal words, because the words of
/// each value determine where the value ends.
pub(super) struct Key {
    first: [u64; SHORT],
    /// The number of words of `first` in use.
    len: usize,
    /// All words of a key that is longer than `first`. Empty for a shorter key.
    all: Vec<u64>,
}

impl Default for Key {
    fn default() -> Key {
        Key { first: [0; SHORT], len: 0, all: Vec::new() }
    }
}

impl Key {
    #[inline]
    pub fn push(&mut self, word: u64) {
        if self.len < SHORT {
            self.first[self.len] = word;
            self.len += 1;
        } else {
            self.push_beyond(word);
        }
    }

    #[cold]
    fn push_beyond(&mut self, word: u64) {
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.push(word);
    }

    pub fn words(&self) -> &[u64] {
        if self.all.is_empty() { &self.first[..self.len] } else { &self.all }
    }
}

impl Hasher for Key {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.push(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        if !words.remainder().is_empty() {
            self.push(words.remainder().iter().rev().fold(0, |word, byte| word << 8 | *byte as u64));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.push(n as u64);
    }
    fn write_u32(&mut self, n: u32) {
        self.push(n as u64);
    }
    fn write_u64(&mut self, n: u64) {
        self.push(n);
    }
    fn write_usize(&mut self, n: usize) {
        self.push(n as u64);
    }
    fn finish(&self) -> u64 {
        // the hash is never used: the cache reads the words
        0
    }
}
