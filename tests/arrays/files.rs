//! .npy files: written as NumPy writes them, and read as NumPy reads them.

use crate::malformed::read;
use cupric::{Array, DType, Element, Error, ErrorKind, array, bf16, f16, s, zeros};
use std::path::PathBuf;

/// The elements in C order, as little-endian bytes.
pub fn data_of(x: &Array) -> Vec<u8> {
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

pub struct Golden {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub file: Vec<u8>,
    pub data: Vec<u8>,
}

pub fn golden() -> Vec<Golden> {
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

/// A path for one test. The file is deleted when this is dropped.
pub struct Temporary(PathBuf);

impl Temporary {
    pub fn new(name: &str) -> Temporary {
        let directory = std::env::temp_dir().join(format!("cupric-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Temporary(directory)
    }
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    pub fn names(&self) -> Vec<String> {
        std::fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

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
fn rows_of_a_file_are_read_alone() {
    let dir = Temporary::new("part");
    let path = dir.file("x.npy");
    for g in golden() {
        std::fs::write(&path, &g.file).unwrap();
        let whole = read(&g.file).unwrap();
        let Some(n) = g.shape.first().copied() else {
            assert_eq!(Array::from_npy_rows(&path, |_| 0..0).unwrap_err().kind(), ErrorKind::Shape);
            continue;
        };
        for rows in [0..n, 0..n / 2, n / 3..n, n / 2..n / 2, n / 2..n.min(n / 2 + 1)] {
            let part = Array::from_npy_rows(&path, |length| {
                assert_eq!(length, n);
                rows.clone()
            });
            let part = part.unwrap_or_else(|e| panic!("{}: {e}", g.name));
            let want = whole.slice(s![rows.clone()]).eval().unwrap();
            assert_eq!((part.shape(), part.dtype()), (want.shape(), want.dtype()), "{}", g.name);
            assert_eq!(data_of(&part), data_of(&want), "{} {rows:?}", g.name);
        }
        for (start, end) in [(0, n + 1), (n + 1, n + 1), (n + 1, n)] {
            let e = Array::from_npy_rows(&path, |_| start..end).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Index, "{e}");
        }
    }
    // a truncated file, and a file that is longer than its header says
    let bytes = array![1, 2, 3].to_npy_bytes().unwrap();
    for wrong in [&bytes[..bytes.len() - 2], &[&bytes[..], &[0; 4]].concat()] {
        std::fs::write(&path, wrong).unwrap();
        assert_eq!(Array::from_npy_rows(&path, |n| 0..n).unwrap_err().kind(), ErrorKind::Format);
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
        // the name of NumPy's file of the same array in C order
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
    // an array that was read does not change when its file is replaced
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

    // rows that do not fit return an error and keep the file's rows; a row may be a single number
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

    // dropping a writer before it finishes keeps the old file, and leaves no temporary file
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
