//! The programs that the page of `examples/web` runs. Their results have the same bits here, with every instruction
//! set, and in WebAssembly; the page's own test compares with the same file.
//!
//! `CUPRIC_BLESS=1` rewrites the file. Only do this for a change that is meant to change results.

mod programs;

use cupric::Device;
use std::path::Path;

/// An FNV-1a hash of the bits, as in `examples/web/serve`; all NaNs count as equal.
fn hash(elements: &[f32]) -> u64 {
    let canonical = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    let bytes = elements.iter().map(canonical).flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn the_page_s_programs_have_the_same_bits_everywhere() {
    let mut lines = String::new();
    for (number, (name, _)) in programs::PROGRAMS.iter().enumerate() {
        let elements = pollster::block_on(programs::run(&Device::cpu(), number)).unwrap_or_else(|e| panic!("{e}"));
        lines += &format!("{name} {:016x}\n", hash(&elements));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/page.txt");
    if std::env::var_os("CUPRIC_BLESS").is_some() {
        std::fs::write(&path, &lines).unwrap();
    }
    assert_eq!(lines, std::fs::read_to_string(&path).unwrap());
}
