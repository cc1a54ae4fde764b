//! Philox4x32-10, a random generator whose words are functions of a counter and a key. Every backend computes the same
//! words; this module computes them for the CPU.

/// `MULTIPLIERS` are the multipliers of a round. `WEYL` is added to the two words of the key after each round.
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const LOWER: u64 = u32::MAX as u64;

/// Returns the four random words of the counter (block, 0, stream, number), each in the lower half of 64 bits. `key`
/// has the two words of the seed, which is the generator's key, and then the stream. The algorithm and its constants
/// are from Salmon et al., SC 2011.
#[inline(always)]
fn wide(block: u32, number: u8, key: [u32; 3]) -> [u64; 4] {
    // Each word is in the lower half of 64 bits, because vector instructions multiply exactly these halves. The upper
    // halves are not cleared, because converting every word to 32 bits and back takes twice the time.
    let mut c = [block as u64, 0, key[2] as u64, number as u64];
    let (mut k0, mut k1) = (key[0], key[1]);
    for _ in 0..10 {
        let p0 = (c[0] & LOWER) * MULTIPLIERS[0] as u64;
        let p1 = (c[2] & LOWER) * MULTIPLIERS[1] as u64;
        c = [(p1 >> 32) ^ c[1] ^ k0 as u64, p1, (p0 >> 32) ^ c[3] ^ k1 as u64, p0];
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    c
}

/// Returns the four random words of a block.
#[inline(always)]
fn block(block: u32, number: u8, key: [u32; 3]) -> [u32; 4] {
    wide(block, number, key).map(|w| w as u32)
}

/// Returns the random word that `Op::Philox` (`plan/kernel/mod.rs`) defines for an index and its field `word`.
#[inline(always)]
pub(crate) fn word(word: u8, index: u32, key: [u32; 3]) -> u32 {
    let own = |i: u32| block(i >> 2, word & 3, key)[i as usize & 3];
    match word >> 2 {
        0 => own(index),
        1 => own(index & !1),
        _ => own(index | 1).wrapping_add((index & 1) << 30),
    }
}

/// Returns the words of consecutive blocks. It is inlined into functions that are compiled for an instruction set.
#[inline(always)]
// each block is a column of `columns`, which a loop over indices expresses better than iterators
#[allow(clippy::needless_range_loop)]
pub(crate) fn blocks<const N: usize>(first: u32, number: u8, key: [u32; 3]) -> [[u32; 4]; N] {
    // stores the blocks word by word, with two words of a block packed together, so that the rounds of several blocks
    // are vector code
    let mut columns = [[0; N]; 2];
    for i in 0..N {
        let made = wide(first.wrapping_add(i as u32), number, key);
        columns[0][i] = made[0] & LOWER | made[1] << 32;
        columns[1][i] = made[2] & LOWER | made[3] << 32;
    }
    std::array::from_fn(|i| {
        let [x, y] = [columns[0][i], columns[1][i]];
        [x as u32, (x >> 32) as u32, y as u32, (y >> 32) as u32]
    })
}

#[cfg(target_arch = "x86_64")]
pub(crate) use of_avx512::blocks as blocks_avx512;

/// Computes the same words as [`blocks`] with AVX-512 instructions. The code that the compiler generates for `blocks`
/// takes 1.5 times as long.
#[cfg(target_arch = "x86_64")]
mod of_avx512 {
    use super::{MULTIPLIERS, WEYL};
    use std::arch::x86_64::*;

    /// Returns the words of 16 consecutive blocks. Two independent vectors are computed, because each round waits for
    /// the round before it.
    ///
    /// # Safety
    /// The machine has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
    pub(crate) fn blocks(first: u32, number: u8, key: [u32; 3]) -> [__m512i; 4] {
        let each = |word: u32| _mm512_set1_epi64(word as i64);
        let multipliers = MULTIPLIERS.map(each);
        // the blocks are computed in this order, so that `join` returns them in ascending order
        let order = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
        let begin = |first: u32| {
            let block = _mm512_add_epi32(_mm512_set1_epi64(first as i64), order);
            [block, _mm512_setzero_si512(), each(key[2]), each(number as u32)]
        };
        let mut c = [begin(first), begin(first.wrapping_add(8))];
        let mut keys = [key[0], key[1]];
        for _ in 0..10 {
            let k = keys.map(each);
            for c in &mut c {
                let p0 = _mm512_mul_epu32(c[0], multipliers[0]);
                let p1 = _mm512_mul_epu32(c[2], multipliers[1]);
                let (h0, h1) = (_mm512_srli_epi64::<32>(p0), _mm512_srli_epi64::<32>(p1));
                // 0x96 is the exclusive or of three operands
                let x = _mm512_ternarylogic_epi64::<0x96>(h1, c[1], k[0]);
                let y = _mm512_ternarylogic_epi64::<0x96>(h0, c[3], k[1]);
                *c = [x, p1, y, p0];
            }
            keys = [keys[0].wrapping_add(WEYL[0]), keys[1].wrapping_add(WEYL[1])];
        }
        let ([a, b], [x, y]) = (join(c[0]), join(c[1]));
        [a, b, x, y]
    }

    /// Returns the words of eight blocks, block by block. `c[i]` contains word i of each block, in the lower halves of
    /// 64 bits.
    ///
    /// # Safety
    /// The machine has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
    fn join(c: [__m512i; 4]) -> [__m512i; 2] {
        // returns the lower halves of the first vector beside the lower halves of the second
        let pair = |a, b| _mm512_mask_shuffle_epi32::<0xa0>(a, 0xaaaa, b);
        let (x, y) = (pair(c[0], c[1]), pair(c[2], c[3]));
        [_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y)]
    }
}
