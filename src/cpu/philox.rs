//! Writes the random words of a tile. `math/simd/philox.rs` computes them, in blocks of four words for four consecutive
//! indices.

use crate::math::simd::philox;
pub(super) use crate::math::simd::philox::word;

/// The number of blocks (of four words each) that are computed at a time.
const BLOCKS: usize = 16;

/// Writes the words of consecutive indices, starting with index `first`. `make` returns `BLOCKS` consecutive blocks,
/// starting with the given block number, so each block is computed only once. `word` selects which word an index gets
/// (see `Op::Philox`).
#[inline(always)]
fn consecutive(word: u8, first: u32, out: &mut [u32], make: impl Fn(u32) -> [[u32; 4]; BLOCKS]) {
    let mut done = 0;
    while done < out.len() {
        let at = first.wrapping_add(done as u32);
        let words = make(at >> 2);
        let (words, skip) = (words.as_flattened(), (at & 3) as usize);
        let n = (words.len() - skip).min(out.len() - done);
        let to = &mut out[done..done + n];
        // the mask `last` keeps each index below the number of words, so the compiler need not check bounds
        let last = 4 * BLOCKS - 1;
        match word >> 2 {
            0 => to.copy_from_slice(&words[skip..skip + n]),
            1 => to.iter_mut().enumerate().for_each(|(i, o)| *o = words[(skip + i) & last & !1]),
            _ => to.iter_mut().enumerate().for_each(|(i, o)| {
                let turn = ((skip + i) as u32 & 1) << 30;
                *o = words[((skip + i) & last) | 1].wrapping_add(turn);
            }),
        }
        done += n;
    }
}

/// Writes random word `w` (see `Op::Philox`) of each index. This function is inlined into one function for each
/// instruction set.
#[inline(always)]
fn body(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32], make: impl Fn(u32) -> [[u32; 4]; BLOCKS]) {
    let n = index.len().min(out.len());
    let (index, out) = (&index[..n], &mut out[..n]);
    let first = index.first().copied().unwrap_or(0);
    let mut follow = true;
    for (i, at) in index.iter().enumerate() {
        follow &= *at == first.wrapping_add(i as u32);
    }
    if follow {
        return consecutive(w, first, out, make);
    }
    // this is a plain loop, so that its body is compiled for the instruction set of the function into which this one is
    // inlined
    for i in 0..n {
        out[i] = word(w, index[i], key);
    }
}

/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32]) {
    body(w, key, index, out, |first| philox::blocks(first, w & 3, key));
}

/// # Safety
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
fn avx512(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32]) {
    body(w, key, index, out, |first| {
        // SAFETY: four vectors of 64 bytes have the size of the words of 16 blocks, and the caller guarantees that the
        // machine has AVX-512.
        unsafe {
            std::mem::transmute::<[std::arch::x86_64::__m512i; 4], [[u32; 4]; BLOCKS]>(philox::blocks_avx512(
                first,
                w & 3,
                key,
            ))
        }
    });
}

/// Writes word `w` (see `Op::Philox`) of each index, with the best instruction set of the machine.
pub(super) fn run(w: u8, key: [u32; 3], index: &[u32], out: &mut [u32]) {
    match crate::math::simd::isa() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` has found AVX-512 on this machine.
        crate::math::simd::Isa::Avx512 => unsafe { avx512(w, key, index, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `isa` has found AVX2 on this machine.
        crate::math::simd::Isa::Avx2 => unsafe { avx2(w, key, index, out) },
        _ => body(w, key, index, out, |first| philox::blocks(first, w & 3, key)),
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(cpu_philox: known_answers, many_words_are_those_of_each_index);

    fn known_answers() {
        // the first test vector of Random123: counter 0, key 0
        let words: Vec<u32> = (0..4).map(|i| word(0, i, [0, 0, 0])).collect();
        assert_eq!(words, [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        // the words for the radius (word 4) and for the angle (word 8) of two pairs of indices
        let [radius, angle] = [4, 8].map(|w| (0..4).map(|i| word(w, i, [0, 0, 0])).collect::<Vec<u32>>());
        assert_eq!(radius, [words[0], words[0], words[2], words[2]]);
        assert_eq!(angle, [words[1], words[1].wrapping_add(1 << 30), words[3], words[3].wrapping_add(1 << 30)]);
        // words whose `w` differ modulo 4 come from different blocks
        assert_ne!(word(1, 0, [0, 0, 0]), words[0]);
    }

    fn many_words_are_those_of_each_index() {
        for (first, n) in [(0, 1000), (1, 5), (2, 129), (3, 128), (126, 3), (u32::MAX - 70, 71), (7, 0)] {
            let mut index: Vec<u32> = (0..n).map(|i| first + i).collect();
            for turn in 0..2 {
                for w in 0..12 {
                    let mut out = vec![0; n as usize];
                    run(w, [1, 2, 3], &index, &mut out);
                    assert!(
                        out.iter().zip(&index).all(|(o, i)| *o == word(w, *i, [1, 2, 3])),
                        "{first} {n} {w} {turn}"
                    );
                }
                // the words must also be correct where indices are not consecutive
                index.reverse();
            }
        }
    }
}
