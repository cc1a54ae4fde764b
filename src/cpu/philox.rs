//! Philox4x32-10, a random generator whose words are functions of a counter and a key. Every backend gives the same words.

/// Returns word `word` of the four that belong to the counter (index, 0, stream, 0) and to the key (seed low, seed high). `key`
/// has the two words of the seed, then the stream. Constants and rounds are those of the paper (Salmon et al., SC 2011).
#[inline(always)]
pub(super) fn word(word: u8, index: u32, key: [u32; 3]) -> u32 {
    // Each word of the counter lies in the lower half of 64 bits, because vector instructions multiply just those halves. What a
    // product leaves in the upper half stays there: it costs twice the time to bring every word to 32 bits and back.
    const LOWER: u64 = u32::MAX as u64;
    let mut c = [index as u64, 0, key[2] as u64, 0];
    let (mut k0, mut k1) = (key[0], key[1]);
    for _ in 0..10 {
        let p0 = (c[0] & LOWER) * 0xD251_1F53;
        let p1 = (c[2] & LOWER) * 0xCD9E_8D57;
        c = [(p1 >> 32) ^ c[1] ^ k0 as u64, p1, (p0 >> 32) ^ c[3] ^ k1 as u64, p0];
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    c[word as usize & 3] as u32
}

/// Writes word `W` for each index. A plain loop, so that its body is compiled for the instruction set of the function that calls
/// this one, which a closure's body need not be.
#[inline(always)]
fn words<const W: u8>(key: [u32; 3], index: &[u32], out: &mut [u32]) {
    let n = index.len().min(out.len());
    let (index, out) = (&index[..n], &mut out[..n]);
    for i in 0..n {
        out[i] = word(W, index[i], key);
    }
}

/// Writes one word for each index. It is compiled once for each instruction set. Each arm has a constant word number, so that
/// the compiler can leave out what only the other three words need.
#[inline(always)]
fn body(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32]) {
    match w & 3 {
        0 => words::<0>(key, index, out),
        1 => words::<1>(key, index, out),
        2 => words::<2>(key, index, out),
        _ => words::<3>(key, index, out),
    }
}

/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32]) {
    body(w, key, index, out);
}

/// # Safety
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
fn avx512(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32]) {
    body(w, key, index, out);
}

/// Writes word `w` for each index, by the best instruction set of the machine.
pub(super) fn run(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32]) {
    match crate::simd::isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` has found AVX-512 on this machine.
        crate::simd::Isa::Avx512 => unsafe { avx512(w, key, index, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` has found AVX2 on this machine.
        crate::simd::Isa::Avx2 => unsafe { avx2(w, key, index, out) },
        _ => body(w, key, index, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // Random123's first vector: counter 0, key 0
        let words: Vec<u32> = (0..4).map(|w| word(w, 0, [0, 0, 0])).collect();
        assert_eq!(words, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        let index: Vec<u32> = (0..100).collect();
        let mut out = vec![0; 100];
        for w in 0..4 {
            run(w, [1, 2, 3], &index, &mut out);
            assert!(out.iter().zip(&index).all(|(o, i)| *o == word(w, *i, [1, 2, 3])));
        }
    }
}
