//! A hash of the source files on which findings about a driver depend (the results of the arithmetic probe and of the
//! self-test of cooperative matrices): the shaders, their generator and the self-test. Findings made with other sources
//! may differ, so the cache file on disk contains this hash next to the version. The WGSL expressions of functions, in
//! `ufunc/`, are not hashed.

/// Mixes the bytes of files into one number (FNV-1a over words of 8 bytes, and the length of each file). It runs when
/// the crate is compiled, so the files are not part of the program.
const fn mixed(texts: &[&[u8]]) -> u64 {
    // FNV's offset basis and prime for 64 bits
    let (mut hash, mut n) = (0xcbf2_9ce4_8422_2325u64, 0);
    while n < texts.len() {
        let mut rest = texts[n];
        while let Some((word, more)) = rest.split_first_chunk::<8>() {
            hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x100_0000_01b3).rotate_left(29);
            rest = more;
        }
        while let Some((byte, more)) = rest.split_first() {
            hash = (hash ^ *byte as u64).wrapping_mul(0x100_0000_01b3).rotate_left(29);
            rest = more;
        }
        hash = (hash ^ texts[n].len() as u64).wrapping_mul(0x100_0000_01b3);
        n += 1;
    }
    hash
}

macro_rules! texts {
    ($($name:literal,)*) => {
        // hashing half a megabyte takes the compiler some tenths of a second
        #[allow(long_running_const_eval)]
        pub(super) const FINGERPRINT: u64 = mixed(&[$(include_bytes!($name)),*]);
        /// The files, relative to this folder.
        #[cfg(feature = "testing")]
        const NAMES: &[&str] = &[$($name),*];
    };
}

texts! {
    "../../shaders/bincount.wgsl",
    "../../shaders/cholesky.wgsl",
    "../../shaders/compress.wgsl",
    "../../shaders/eigh.wgsl",
    "../../shaders/elementwise.wgsl",
    "../../shaders/fft.wgsl",
    "../../shaders/lib/activation.wgsl",
    "../../shaders/lib/bessel.wgsl",
    "../../shaders/lib/beta.wgsl",
    "../../shaders/lib/bits.wgsl",
    "../../shaders/lib/double/activation.wgsl",
    "../../shaders/lib/double/bessel.wgsl",
    "../../shaders/lib/double/exp.wgsl",
    "../../shaders/lib/double/gamma.wgsl",
    "../../shaders/lib/double/integrals.wgsl",
    "../../shaders/lib/double/log.wgsl",
    "../../shaders/lib/double/normal.wgsl",
    "../../shaders/lib/double/pair.wgsl",
    "../../shaders/lib/double/pow.wgsl",
    "../../shaders/lib/double/special.wgsl",
    "../../shaders/lib/double/trig.wgsl",
    "../../shaders/lib/exp.wgsl",
    "../../shaders/lib/f64.wgsl",
    "../../shaders/lib/factor.wgsl",
    "../../shaders/lib/fold.wgsl",
    "../../shaders/lib/frame.wgsl",
    "../../shaders/lib/fused.wgsl",
    "../../shaders/lib/gamma.wgsl",
    "../../shaders/lib/half.wgsl",
    "../../shaders/lib/half_native.wgsl",
    "../../shaders/lib/half_pack.wgsl",
    "../../shaders/lib/half_unpack.wgsl",
    "../../shaders/lib/half_unpack_signed.wgsl",
    "../../shaders/lib/incomplete.wgsl",
    "../../shaders/lib/int64.wgsl",
    "../../shaders/lib/integer.wgsl",
    "../../shaders/lib/long.wgsl",
    "../../shaders/lib/normal.wgsl",
    "../../shaders/lib/pack.wgsl",
    "../../shaders/lib/pair64.wgsl",
    "../../shaders/lib/pow.wgsl",
    "../../shaders/lib/quotient.wgsl",
    "../../shaders/lib/scan.wgsl",
    "../../shaders/lib/special.wgsl",
    "../../shaders/lib/trig.wgsl",
    "../../shaders/lib/zeta.wgsl",
    "../../shaders/lu.wgsl",
    "../../shaders/matmul.wgsl",
    "../../shaders/matmul_cooperative.wgsl",
    "../../shaders/numerics.wgsl",
    "../../shaders/qr.wgsl",
    "../../shaders/reduce.wgsl",
    "../../shaders/row.wgsl",
    "../../shaders/sort.wgsl",
    "../../shaders/sums.wgsl",
    "../../shaders/svd.wgsl",
    "../../shaders/triangular.wgsl",
    "cooperative.rs",
    "dispatch.rs",
    "fetches.rs",
    "numerics.rs",
    "params.rs",
    "prepare.rs",
    "routines.rs",
    "variant.rs",
    "wgsl/mod.rs",
    "wgsl/access.rs",
    "wgsl/body.rs",
    "wgsl/combine.rs",
    "wgsl/cooperative.rs",
    "wgsl/declare.rs",
    "wgsl/elementwise.rs",
    "wgsl/fold.rs",
    "wgsl/four_elements.rs",
    "wgsl/header.rs",
    "wgsl/key.rs",
    "wgsl/library.rs",
    "wgsl/matmul.rs",
    "wgsl/place.rs",
    "wgsl/rare.rs",
    "wgsl/reduce.rs",
    "wgsl/routine.rs",
    "wgsl/row.rs",
    "wgsl/scan.rs",
    "wgsl/text.rs",
    "wgsl/together.rs",
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    crate::testing::unit_tests!(gpu_fingerprint: every_text_counts, a_changed_byte_changes_the_number);

    fn every_text_counts() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gpu");
        for folder in ["wgsl", "../../shaders", "../../shaders/lib", "../../shaders/lib/double"] {
            for entry in fs::read_dir(here.join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let is_text = name.ends_with(".wgsl") || name.ends_with(".rs") && name != "tests.rs";
                let name = format!("{folder}/{name}");
                assert!(!is_text || NAMES.contains(&&*name), "{name} is missing in fingerprint.rs");
            }
        }
    }

    fn a_changed_byte_changes_the_number() {
        let text: Vec<u8> = (0..21).collect();
        let before = mixed(&[&text, b"x"]);
        for n in 0..text.len() {
            let mut other = text.clone();
            other[n] ^= 1;
            assert_ne!(mixed(&[&other, b"x"]), before, "byte {n}");
        }
        assert_ne!(mixed(&[&text[..20], &[20, b'x']]), before);
    }
}
