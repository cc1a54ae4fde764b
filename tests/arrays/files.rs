//! .npy files: as NumPy makes them, as it reads them, and as nobody should make them.

use crate::kit::stage::Stage;
use crate::memory::peak;
use cupric::{Array, DType, Element, Error, ErrorKind, Result, array, bf16, f16, s, zeros};
use std::cell::Cell;
use std::path::PathBuf;

// --- tools ---

thread_local! {
    /// How many files this test has read from memory.
    static READ: Cell<usize> = const { Cell::new(0) };
}

/// Counts the files of a test of hostile ones.
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

/// Reads bytes as the tests of hostile files do: whatever comes out, no more memory than the file and 1 MiB.
fn read(bytes: &[u8]) -> Result<Array> {
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
    assert!(text.starts_with("from_npy_bytes: ") && text.contains("(tests/arrays/files.rs:"), "{text}");
    assert!(!text.contains('\n') && text.len() < 400, "{text}");
}

/// The elements in C order, as little-endian bytes.
fn data_of(x: &Array) -> Vec<u8> {
    fn of<T: Element>(x: &Array) -> Vec<u8> {
        T::bytes(&x.to_vec::<T>().unwrap()).to_vec()
    }
    match x.dtype() {
        DType::Bool => of::<bool>(x),
        DType::U8 => of::<u8>(x),
        DType::I8 => of::<i8>(x),
        DType::U16 => of::<u16>(x),
        DType::I16 => of::<i16>(x),
        DType::U32 => of::<u32>(x),
        DType::I32 => of::<i32>(x),
        DType::U64 => of::<u64>(x),
        DType::I64 => of::<i64>(x),
        DType::F16 => of::<f16>(x),
        DType::BF16 => of::<bf16>(x),
        DType::F32 => of::<f32>(x),
        DType::F64 => of::<f64>(x),
        other => panic!("{other} is not known here"),
    }
}

struct Golden {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    file: Vec<u8>,
    data: Vec<u8>,
}

fn golden() -> Vec<Golden> {
    let bytes = |hex: &str| -> Vec<u8> {
        let hex = if hex == "-" { "" } else { hex };
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    };
    let line = |line: &str| {
        let [name, dtype, shape, file, data] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        Golden {
            name: name.into(),
            dtype: dtype.into(),
            shape: shape.split(',').filter(|n| *n != "-").map(|n| n.parse().unwrap()).collect(),
            file: bytes(file),
            data: bytes(data),
        }
    };
    let all: Vec<Golden> = include_str!("../data/npy.txt").lines().map(line).collect();
    assert!(all.len() > 300);
    all
}

/// A path of this test's own; the file is gone when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let directory = std::env::temp_dir().join(format!("cupric-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Temporary(directory)
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn names(&self) -> Vec<String> {
        std::fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
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

// --- good files ---

#[test]
fn files_of_numpy_read_bit_for_bit() {
    for g in golden() {
        let x = read(&g.file).unwrap_or_else(|e| panic!("{}: {e}", g.name));
        assert_eq!(x.dtype().name(), g.dtype, "{}", g.name);
        assert_eq!(x.shape(), g.shape, "{}", g.name);
        assert_eq!(data_of(&x), g.data, "{}", g.name);
    }
}

#[test]
fn fortran_order_is_a_view() {
    let g = golden().into_iter().find(|g| g.name == "shape_F_2x3x4").unwrap();
    let x = read(&g.file).unwrap();
    assert_eq!(x.strides(), [1, 2, 6]);
    assert!(!x.is_contiguous());
    assert_eq!((&x + 0.0).sum(..).dtype().unwrap(), DType::F32);
}

#[test]
fn written_files_are_those_of_numpy() {
    let mut compared = 0;
    for g in golden() {
        let written = read(&g.file).unwrap().to_npy_bytes().unwrap();
        // NumPy's file of the same array in C order
        let c = g.name.replace("_F_", "_C_").replace("_v2", "_v1").replace("_v3", "_v1");
        let c = c.replace("_big", "_little").replace("_native", "_little");
        let c = if written[..80].windows(4).any(|w| w == b"'|u1" || w == b"'|i1" || w == b"'|b1") {
            c.replace("_none", "_little")
        } else {
            c
        };
        if g.name == c && (c.starts_with("shape_") || c.ends_with("_little")) {
            assert_eq!(written, g.file, "{}", g.name);
            compared += 1;
        }
        let again = read(&written).unwrap();
        assert_eq!((again.shape(), data_of(&again)), (&g.shape[..], g.data), "{}", g.name);
    }
    assert_eq!(compared, 12 + 13, "twelve dtypes and thirteen shapes");
}

#[test]
fn expressions_and_views_are_written() {
    let x = array![[1, 2, 3], [4, 5, 6]];
    let back = |e: &cupric::Expr| Array::from_npy_bytes(&e.to_npy_bytes().unwrap()).unwrap();
    assert_eq!(back(&x.t()).shape(), [3, 2]);
    assert_eq!(back(&x.t()).to_vec::<i32>().unwrap(), [1, 4, 2, 5, 3, 6]);
    assert_eq!(back(&x.slice(s![.., ..;-2])).to_vec::<i32>().unwrap(), [3, 1, 6, 4]);
    assert_eq!(back(&(&x * 2)).to_vec::<i32>().unwrap(), [2, 4, 6, 8, 10, 12]);
    assert_eq!(back(&x.sum(..)).shape(), [0usize; 0]);
    assert_eq!(back(&x.broadcast_to([2, 2, 3])).size(), 12);
    assert_eq!(back(&zeros([0, 5], DType::U8)).shape(), [0, 5]);
}

#[test]
fn files_on_disk() {
    let dir = Temporary::new("disk");
    let path = dir.file("x.npy");
    for g in golden().iter().take(60) {
        std::fs::write(&path, &g.file).unwrap();
        let x = Array::from_npy(&path).unwrap();
        assert_eq!(data_of(&x), g.data, "{}", g.name);
        x.to_npy(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), x.to_npy_bytes().unwrap(), "{}", g.name);
    }
    assert_eq!(dir.names(), ["x.npy"], "nothing is left beside it");
    // an array that is read stays as it is when its file is replaced
    let x = array![1., 2.];
    x.to_npy(&path).unwrap();
    let y = Array::from_npy(&path).unwrap();
    (&y * 2.0).to_npy(&path).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [1., 2.]);
    assert_eq!(Array::from_npy(&path).unwrap().to_vec::<f32>().unwrap(), [2., 4.]);
}

#[cfg(unix)]
#[test]
fn links_and_permissions_stay() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Temporary::new("links");
    let (real, link) = (dir.file("real.npy"), dir.file("link.npy"));
    array![1].to_npy(&real).unwrap();
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    array![2, 3].to_npy(&link).unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(Array::from_npy(&real).unwrap().shape(), [2]);
    array![2, 3].to_npy("/dev/null").unwrap();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

// --- errors of the system ---

#[test]
fn system_errors_name_the_path() {
    let dir = Temporary::new("system");
    let missing = dir.file("no.npy");
    let nowhere = dir.file("no/such/place.npy");
    let x = array![1];
    let errors: [(&str, Error, &PathBuf); 5] = [
        ("from_npy", Array::from_npy(&missing).unwrap_err(), &missing),
        ("from_npy", Array::from_npy(&dir.0).unwrap_err(), &dir.0),
        ("to_npy", x.to_npy(&nowhere).unwrap_err(), &nowhere),
        ("to_npy", x.to_npy(&dir.0).unwrap_err(), &dir.0),
        ("to_npy", x.to_npy("").unwrap_err(), &PathBuf::new()),
    ];
    for (operation, e, path) in errors {
        let text = e.to_string();
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Io, operation), "{text}");
        assert!(text.starts_with(&format!("{operation}: {}: ", path.display())), "{text}");
        assert!(text.contains("(tests/arrays/files.rs:") && !text.contains('\n'), "{text}");
    }
    assert!(dir.names().is_empty());
}

#[test]
fn malformed_files_name_the_path() {
    let dir = Temporary::new("malformed");
    let path = dir.file("x.npy");
    std::fs::write(&path, b"hello, this is no array").unwrap();
    let e = Array::from_npy(&path).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Format);
    assert!(e.to_string().starts_with(&format!("from_npy: {}: not a .npy file", path.display())), "{e}");
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let dir = Temporary::new("failed");
    let path = dir.file("x.npy");
    array![1, 2].to_npy(&path).unwrap();
    let old = std::fs::read(&path).unwrap();
    let e = zeros([2], DType::BF16).to_npy(&path).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DType);
    assert!(e.to_string().contains("astype(DType::F32)"), "{e}");
    assert_eq!(zeros([2], DType::BF16).to_npy_bytes().unwrap_err().kind(), ErrorKind::DType);
    let bad = array![1, 2] + array![1, 2, 3];
    assert_eq!(bad.to_npy(&path).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(bad.to_npy_bytes().unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(std::fs::read(&path).unwrap(), old);
    assert_eq!(dir.names(), ["x.npy"]);
}

// --- malformed files ---

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
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let (mut accepted, mut typed) = (0, 0);
    for _ in 0..5000 {
        let mut file = all[random(all.len())].file.clone();
        // in the part of the header that says something, or anywhere
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

/// Random bytes in place of a header's own: the parser sees much of what it must refuse.
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
    refused(b"", "cut off");
    refused(b"PK\x03\x04 this is a zip", "not a .npy file");
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
    // a header that is really as long
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
    // a pickle follows the header of an object array: it is never looked at
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

/// Larger than what is allowed on top: one copy of the data is all that there is, whatever has to be done with it.
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

/// A pipe does not say how long it is: memory follows what has come, whatever the header says.
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
    // a header that is said to be long
    let (result, used) = through([&b"\x93NUMPY\x02\0\0\0\x10\0"[..], &[b' '; 50]].concat());
    assert!(result.is_err() && used < 1 << 18, "{used}");
    let size = 6 << 20;
    let (x, used) = through(raw(1, header(size / 4).as_bytes(), &vec![1; size]));
    assert_eq!(x.unwrap().size() * 4, size);
    assert!(used <= 3 * size + (1 << 16), "{used} bytes for {size}");
}

/// Data at any address: nothing is cast in place.
#[test]
fn misaligned_bases() {
    let _hostile = Hostile::new();
    let g = golden().into_iter().find(|g| g.name == "f64_C_v1_little").unwrap();
    for shift in 0..16 {
        let moved = [&vec![0; shift][..], &g.file].concat();
        assert_eq!(data_of(&read(&moved[shift..]).unwrap()), g.data);
    }
}

// --- rows ---

#[test]
fn rows_are_appended() {
    let folder = std::env::temp_dir().join(format!("cupric-rows-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("x.npy");
    let mut file = cupric::NpyWriter::create(&path, DType::F32, [3]).unwrap();
    for n in [2, 0, 1, 5000] {
        file.append(cupric::ones([n, 3], DType::F32) * n as f32).unwrap();
        assert!(!path.exists());
    }
    assert_eq!(file.rows(), 5003);
    file.finish().unwrap();
    let whole = cupric::concat([2, 0, 1, 5000].map(|n| cupric::ones([n, 3], DType::F32) * n as f32), 0);
    assert_eq!(std::fs::read(&path).unwrap(), whole.to_npy_bytes().unwrap());

    // what does not fit is refused, and leaves the rows that are there; a row may be a single number
    let mut file = cupric::NpyWriter::create(&path, DType::Bool, [0; 0]).unwrap();
    file.append(array![true, false]).unwrap();
    let e = file.append(array![1, 2]).unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::DType, "NpyWriter::append"));
    for wrong in [zeros([2, 1], DType::Bool), zeros([0; 0], DType::Bool)] {
        assert_eq!(file.append(wrong).unwrap_err().kind(), ErrorKind::Shape);
    }
    let out = array![true, false].take(array![5], 0);
    assert_eq!(file.append(out).unwrap_err().kind(), ErrorKind::Index);
    file.append(array![true]).unwrap();
    file.finish().unwrap();
    assert_eq!(Array::from_npy(&path).unwrap().to_vec::<bool>().unwrap(), [true, false, true]);

    // a writer that is dropped leaves the old file, and nothing else
    let mut file = cupric::NpyWriter::create(&path, DType::F64, [2, 2]).unwrap();
    file.append(zeros([1, 2, 2], DType::F64)).unwrap();
    drop(file);
    assert_eq!(Array::from_npy(&path).unwrap().shape(), [3]);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);

    let kind = |dtype, row: &[isize]| cupric::NpyWriter::create(&path, dtype, row).unwrap_err().kind();
    assert_eq!(kind(DType::BF16, &[2]), ErrorKind::DType);
    assert_eq!(kind(DType::F32, &[-1]), ErrorKind::Shape);
    let e = cupric::NpyWriter::create("/dev/null", DType::F32, [2]).unwrap_err();
    assert!(e.kind() == ErrorKind::Io && e.to_string().contains("/dev/null: a pipe or device"), "{e}");
    let _ = std::fs::remove_dir_all(folder);
}
