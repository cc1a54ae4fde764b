//! Malformed .npy files: which errors they give, and how much memory reading them takes.

use super::files::{Temporary, data_of, golden};
use crate::kit::stage::Stage;
use crate::memory::peak;
use cupric::{Array, ErrorKind, Result, array};
use std::cell::Cell;

thread_local! {
    /// How many malformed files the current test has read from memory.
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// Reports how many malformed files a test read.
struct Hostile(Stage);

impl Hostile {
    fn new() -> Hostile {
        READ.set(0);
        Hostile(Stage::new(13, "malformed files", &cupric::Device::cpu()))
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.0.count(READ.get());
    }
}

/// Reads a file from memory. Whatever the result, this may allocate at most the file's size plus 1 MiB.
pub fn read(bytes: &[u8]) -> Result<Array> {
    READ.set(READ.get() + 1);
    let (result, used) = peak(|| Array::from_npy_bytes(bytes));
    assert!(used <= bytes.len() + (1 << 20), "{used} bytes allocated for {}", bytes.len());
    if let Ok(x) = &result {
        let size = data_of(x).len();
        assert!(size <= bytes.len(), "{x:?} from {} bytes", bytes.len());
    }
    result
}

#[track_caller]
fn refused(bytes: &[u8], fact: &str) {
    let e = read(bytes).err().unwrap_or_else(|| panic!("accepted; wanted: {fact}"));
    assert_eq!(e.kind(), ErrorKind::Format, "{e}");
    let text = e.to_string();
    assert!(text.contains(fact), "wanted: {fact}\nhave: {text}");
    assert!(text.starts_with("from_npy_bytes: ") && text.contains("(tests/arrays/malformed.rs:"), "{text}");
    assert!(!text.contains('\n') && text.len() < 400, "{text}");
}

fn raw(version: u8, header: &[u8], data: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    let length = (header.len() as u32).to_le_bytes();
    file.extend(&length[..if version == 1 { 2 } else { 4 }]);
    file.extend(header);
    file.extend(data);
    file
}

fn headed(header: &str) -> Vec<u8> {
    raw(1, header.as_bytes(), &[0; 24])
}

fn shaped(shape: &str) -> Vec<u8> {
    headed(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"))
}

#[test]
fn cut_off_at_every_byte() {
    let _hostile = Hostile::new();
    let all = golden();
    for name in ["f32_C_v1_little", "i16_F_v2_big", "bool_C_v3_none", "shape_C_", "shape_C_3x0x2", "header_python_2"] {
        let g = all.iter().find(|g| g.name == name).unwrap();
        for n in 0..g.file.len() {
            refused(&g.file[..n], "");
        }
        assert!(read(&g.file).is_ok());
    }
}

#[test]
fn longer_than_the_header_says() {
    let _hostile = Hostile::new();
    for g in golden().iter().step_by(7) {
        for more in [&[0u8][..], &[0; 64], &g.file] {
            refused(&[&g.file, more].concat(), "bytes of data");
        }
    }
}

#[test]
fn flipped_bits() {
    let _hostile = Hostile::new();
    let all = golden();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |n: usize| {
        // the random number generator xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let (mut accepted, mut typed) = (0, 0);
    for _ in 0..5000 {
        let mut file = all[random(all.len())].file.clone();
        // change bytes within the meaningful part of the header, or anywhere
        let part = if random(2) == 0 { file.len().min(90) } else { file.len() };
        for _ in 0..1 + random(3) {
            let i = random(part);
            file[i] ^= 1 << random(8);
        }
        match read(&file) {
            Ok(_) => accepted += 1,
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Format, "{e}");
                typed += 1;
            }
        }
    }
    assert!(accepted > 50 && typed > 2000, "{accepted} {typed}");
}

/// Random characters replace those of the header, so that the parser meets many kinds of errors.
#[test]
fn scrambled_headers() {
    let _hostile = Hostile::new();
    let words = ["{", "}", "(", ")", ",", ":", "'", "\"", "'descr'", "'<f4'", "'shape'", "'fortran_order'", "True"];
    let words = [&words[..], &["False", "2", "3", "-1", "0", "L", " ", "\n", "\\", "[", "]", "é", "\0", "99999999999"]];
    let words = words.concat();
    let mut state = 12345u64;
    let mut random = move |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for i in 0..5000 {
        let header: String = (0..random(20)).map(|_| words[random(words.len())]).collect();
        if let Err(e) = read(&raw(1 + (i % 3) as u8, header.as_bytes(), &[0; 24])) {
            assert_eq!(e.kind(), ErrorKind::Format, "{e}");
        }
    }
}

#[test]
fn magic_and_versions() {
    let _hostile = Hostile::new();
    let good = array![1.0].to_npy_bytes().unwrap();
    for i in 0..6 {
        let mut file = good.clone();
        file[i] ^= 0x20;
        refused(&file, "does not start with");
    }
    for (major, minor) in [(0, 0), (0, 1), (1, 1), (2, 1), (3, 1), (4, 0), (255, 255)] {
        let mut file = good.clone();
        (file[6], file[7]) = (major, minor);
        refused(&file, &format!("version {major}.{minor}"));
    }
    refused(b"", "the file is empty");
    refused(
        b"PK\x03\x04 this is a zip",
        "not a .npy file: it does not start with \\x93NUMPY; it is a zip archive, such as .npz, which Npz reads",
    );
}

#[test]
fn lying_header_lengths() {
    let _hostile = Hostile::new();
    let good = array![1.0, 2.0].to_npy_bytes().unwrap();
    for length in [0u16, 1, 10, 50, 117, 119, 126, 127, 1000, u16::MAX] {
        let mut file = good.clone();
        file[8..10].copy_from_slice(&length.to_le_bytes());
        refused(&file, "");
    }
    let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n";
    for length in [0u32, 20, 60, 61, 1 << 20, (1 << 20) + 1, i32::MAX as u32, u32::MAX] {
        let mut file = raw(2, header, &[0; 24]);
        file[8..12].copy_from_slice(&length.to_le_bytes());
        refused(&file, "");
    }
    // a header that really has the length it gives
    let mut long = header.to_vec();
    long.resize(1 << 20, b' ');
    assert!(read(&raw(2, &long, &[0; 24])).is_ok());
    long.push(b' ');
    refused(&raw(2, &long, &[0; 24]), "a header of 1048577 bytes");
}

#[test]
fn lying_shapes() {
    let _hostile = Hostile::new();
    for shape in [
        "(5,)",
        "(7,)",
        "(2, 4)",
        "(0,)",
        "(6, 0)",
        "()",
        "(1,)",
        "(3, 3)",
        "(1000000000,)",
        "(4294967295,)",
        "(2305843009213693951,)",
        "(536870912, 536870912)",
        "(6, 2, 0)",
    ] {
        refused(&shaped(shape), "bytes of data");
    }
    for shape in [
        "(9223372036854775807,)",
        "(2305843009213693952,)",
        "(4294967296, 4294967296)",
        "(3037000500, 3037000500)",
        "(0, 9223372036854775807)",
        "(0, 4294967296, 4294967296)",
        "(4294967296, 4294967296, 0)",
        "(65536, 65536, 65536, 65536)",
        "(65536, 65536, 65536, 65536, 65536, 0)",
    ] {
        refused(&shaped(shape), "too many bytes");
    }
    for shape in ["(-1,)", "(-6,)", "(2, -3)", "(-2, -3)", "(-9223372036854775808,)", "(-0,)"] {
        refused(&shaped(shape), "not negative");
    }
    for shape in ["(9223372036854775808,)", "(18446744073709551622,)", "(340282366920938463463374607431768211462,)"] {
        refused(&shaped(shape), "below 2^63");
    }
    for shape in [
        "(6)",
        "6",
        "[6]",
        "[2, 3]",
        "(6.0,)",
        "(6e0,)",
        "(0x6,)",
        "(06,)",
        "(6_0,)",
        "(+6,)",
        "('6',)",
        "(True,)",
        "(,)",
        "(2 3)",
        "(2,, 3)",
        "(2, 3",
        "2, 3)",
        "((2, 3),)",
        "(2, 3,,)",
        "None",
        "(None,)",
        "",
        "(6,) + ()",
        "(2*3,)",
        "(6,)[0:]",
        "(6 ,L)",
        "(6LL,)",
        "(٦,)",
    ] {
        refused(&shaped(shape), "the header has");
    }
    refused(&shaped(&format!("({})", "1, ".repeat(65))), "more than 64 axes");
    refused(&shaped(&format!("({})", "1, ".repeat(20000))), "more than 64 axes");
    assert_eq!(read(&shaped(&format!("({}6)", "1, ".repeat(63)))).unwrap().ndim(), 64);
    assert_eq!(read(&shaped("(6L,)")).unwrap().shape(), [6]);
    let python3 = raw(3, b"{'descr': '<f4', 'fortran_order': False, 'shape': (6L,), }\n", &[0; 24]);
    refused(&python3, "the header has");
}

#[test]
fn dtypes_that_are_not_taken() {
    let _hostile = Hostile::new();
    for descr in [
        "|O", "<U5", "|S7", "<c8", "<c16", "|V2", "<V2", "<M8[ns]", "<m8", "<f16", "<f3", "<f1", "<i3", "<i16", "<u0",
        "<b2", "<b4", "f4", "float32", "?", "", "<", "f", "<F4", "!f4", "<f", "<f44", "<f4 ", " <f4", "<f4,<f4",
        "(2,)<f4",
    ] {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (6,), }}\n");
        refused(&headed(&header), &format!("dtype \"{descr}\" is not supported"));
    }
    let structured = "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (3,), }\n";
    refused(&headed(structured), "dtype \"[(\\'a\\', \\'<f4\\')");
    let nested = "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (3,), }\n";
    refused(&headed(nested), "is not supported");
    let not_text = "{'descr': 4, 'fortran_order': False, 'shape': (6,), }\n";
    refused(&headed(not_text), "where a string should be");
    // an object array's header is followed by a pickle, which must never be read
    let object = raw(1, b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"\x80\x04cos\nsystem\n");
    refused(&object, "dtype \"|O\" is not supported");
}

#[test]
fn headers_that_are_no_dictionary() {
    let _hostile = Hostile::new();
    let (d, f, s) = ("'descr': '<f4'", "'fortran_order': False", "'shape': (6,)");
    for (header, fact) in [
        ("".into(), "its end where '{'"),
        ("\n".into(), "its end where '{'"),
        ("{".into(), "its end where a string"),
        ("{}".into(), "no key descr"),
        ("[]".into(), "where '{'"),
        ("None".into(), "where '{'"),
        (format!("{{{d}, {f}, {s}"), "its end where '}'"),
        (format!("{{{d}, {f}, {s},"), "its end where a string"),
        (format!("{{{d}, {f}, {s}}}}}"), "more data after"),
        (format!("{{{d}, {f}, {s}}} x"), "more data after"),
        (format!("{{{d}, {f}, {s}}}\0"), "more data after"),
        (format!("{{{d}, {f}, {s}}}; import os"), "more data after"),
        (format!("{{{d} {f}, {s}}}"), "where '}'"),
        (format!("{{{d}, {f}}}"), "no key shape"),
        (format!("{{{d}, {s}}}"), "no key fortran_order"),
        (format!("{{{f}, {s}}}"), "no key descr"),
        (format!("{{{d}, {d}, {f}, {s}}}"), "the key \"descr\" twice"),
        (format!("{{{d}, {f}, {s}, {s}}}"), "the key \"shape\" twice"),
        (format!("{{{d}, {f}, {s}, 'more': 1}}"), "the unknown key \"more\""),
        (format!("{{{d}, {f}, {s}, '\u{e9}': 1}}"), "unknown key \"\\xc3\\xa9\""),
        (format!("{{{d}, 'fortran_order': 0, {s}}}"), "True or False"),
        (format!("{{{d}, 'fortran_order': true, {s}}}"), "True or False"),
        (format!("{{{d}, 'fortran_order': Truest, {s}}}"), "where '}'"),
        (format!("{{{d}, 'fortran_order': 'False', {s}}}"), "True or False"),
        (format!("{{'descr': '<f4, {f}, {s}}}"), "dtype \"<f4, \" is not"),
        (format!("{{'descr': '\\x3cf4', {f}, {s}}}"), "without escapes"),
        (format!("{{'descr': u'<f4', {f}, {s}}}"), "where a string"),
        (format!("{{descr: '<f4', {f}, {s}}}"), "where a string"),
        (format!("dict({d}, {f}, {s})"), "where '{'"),
        (format!("# comment\n{{{d}, {f}, {s}}}"), "where '{'"),
        (format!("\u{feff}{{{d}, {f}, {s}}}"), "where '{'"),
        ("{".repeat(60000), "where a string"),
        ("(".repeat(60000), "where '{'"),
        (format!("{{'{}': 1}}", "k".repeat(60000)), "the unknown key"),
    ] {
        for version in 1..=3 {
            refused(&raw(version, header.as_bytes(), &[0; 24]), fact);
        }
    }
    for bytes in [&b"\xff\xfe\xfd"[..], b"{'descr': '\xff', 'shape': (1,)}", b"\0\0\0\0", b"{\xc3'descr': '<f4'}"] {
        refused(&raw(3, bytes, &[0; 24]), "");
    }
}

#[test]
fn bools_that_are_none() {
    let _hostile = Hostile::new();
    let header = b"{'descr': '|b1', 'fortran_order': False, 'shape': (4,), }\n";
    assert_eq!(read(&raw(1, header, &[0, 1, 1, 0])).unwrap().to_vec::<bool>().unwrap(), [false, true, true, false]);
    for byte in 2..=255u8 {
        refused(&raw(1, header, &[1, 0, byte, 1]), &format!("bool element 2 is the byte {byte}"));
    }
}

/// The files are larger than the memory allowed above their size, so reading them can make only one copy of the data.
#[test]
fn large_files_cost_their_own_size() {
    let size = 1 << 22;
    let header =
        |descr: &str, n: usize| format!("{{'descr': '{descr}', 'fortran_order': True, 'shape': ({n}, 2), }}\n");
    for (descr, bytes) in [("|b1", 1), ("|u1", 1), (">u2", 2), ("<f4", 4), (">f8", 8)] {
        let file = raw(1, header(descr, size / bytes / 2).as_bytes(), &vec![1; size]);
        let (x, used) = peak(|| Array::from_npy_bytes(&file).unwrap());
        assert!(used < size + (1 << 16), "{descr}: {used} bytes for {size}");
        assert_eq!(x.size() * bytes, size);
    }
    for n in [size / 8 + 1, usize::MAX / 64] {
        refused(&raw(1, header("<f4", n).as_bytes(), &vec![1; size]), "bytes of data");
    }
}

/// The length of a pipe is unknown. Memory must grow with the bytes that arrive, not with the header's claim.
#[cfg(unix)]
#[test]
fn pipes_cost_what_has_come() {
    use std::io::Write;
    let dir = Temporary::new("pipe");
    let pipe = dir.file("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let through = |file: Vec<u8>| {
        let to = pipe.clone();
        let writer = std::thread::spawn(move || {
            let mut to = std::fs::File::options().write(true).open(to).unwrap();
            let _ = to.write_all(&file);
        });
        let result = peak(|| Array::from_npy(&pipe));
        writer.join().unwrap();
        result
    };
    let header = |n: usize| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n},), }}\n");
    for n in [1 << 20, 1 << 30, 1 << 60] {
        for come in [0, 100, 200_000] {
            let (result, used) = through(raw(1, header(n).as_bytes(), &vec![0; come]));
            let e = result.unwrap_err();
            assert!(e.kind() == ErrorKind::Format && e.to_string().contains("the data ended early"), "{e}");
            assert!(used <= 3 * come + (1 << 18), "{used} bytes for {come} that came");
        }
    }
    // a header that claims to be long
    let (result, used) = through([&b"\x93NUMPY\x02\0\0\0\x10\0"[..], &[b' '; 50]].concat());
    assert!(result.is_err() && used < 1 << 18, "{used}");
    let size = 6 << 20;
    let (x, used) = through(raw(1, header(size / 4).as_bytes(), &vec![1; size]));
    assert_eq!(x.unwrap().size() * 4, size);
    assert!(used <= 3 * size + (1 << 16), "{used} bytes for {size}");
}

/// The data may start at any address, so the reader cannot reinterpret them in place.
#[test]
fn misaligned_bases() {
    let _hostile = Hostile::new();
    let g = golden().into_iter().find(|g| g.name == "f64_C_v1_little").unwrap();
    for shift in 0..16 {
        let moved = [&vec![0; shift][..], &g.file].concat();
        assert_eq!(data_of(&read(&moved[shift..]).unwrap()), g.data);
    }
}
