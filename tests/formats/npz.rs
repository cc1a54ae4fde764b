//! Archives of arrays (`.npz`).

use crate::memory::peak;
use crate::{Folder, python, refused, same, samples};
use cupric::*;
use std::io::Cursor;

fn bytes(arrays: &[(String, Array)], compress: bool) -> Vec<u8> {
    let mut writer = if compress { NpzWriter::compressed(vec![]) } else { NpzWriter::new(vec![]) };
    for (name, x) in arrays {
        writer.write(name, x).unwrap();
    }
    writer.finish().unwrap()
}

#[track_caller]
fn open(bytes: &[u8]) -> Result<Npz<Cursor<&[u8]>>> {
    Npz::new(Cursor::new(bytes))
}

/// The sample arrays except those of bf16, which NumPy does not have.
fn arrays() -> Vec<(String, Array)> {
    samples().into_iter().filter(|(_, x)| x.dtype() != DType::BF16).collect()
}

#[test]
fn what_is_written_is_read() {
    for compress in [false, true] {
        let arrays = arrays();
        let bytes = bytes(&arrays, compress);
        let mut archive = open(&bytes).unwrap();
        assert!(archive.names().eq(arrays.iter().map(|(name, _)| name)));
        let read = archive.read_all().unwrap();
        assert_eq!(read.len(), arrays.len());
        for ((name, x), (wanted, y)) in read.iter().zip(&arrays) {
            assert_eq!(name, wanted);
            same(x, y);
            same(&archive.read(name).unwrap(), y);
        }
    }
    let empty = bytes(&[], false);
    assert_eq!((empty.len(), open(&empty).unwrap().names().len()), (22, 0));
    // writing twice gives the same bytes, because no time is written
    assert_eq!(bytes(&arrays(), true), bytes(&arrays(), true));
}

/// Rows of an array are read without the others, which are not held in memory either if the array is compressed.
#[test]
fn rows_of_an_array() {
    let arrays = arrays();
    let large = (arange(0, 1 << 20, 1, DType::I32)).reshape([1 << 12, 1 << 8]).eval().unwrap();
    for compress in [false, true] {
        let bytes = bytes(&arrays, compress);
        let mut archive = open(&bytes).unwrap();
        for (name, x) in arrays.iter().filter(|(_, x)| x.ndim() > 0) {
            let n = x.shape()[0];
            for rows in [0..n, 0..n.min(1), n / 2..n, n..n] {
                let read = archive.read_rows(name, |length| {
                    assert_eq!(length, n);
                    rows.clone()
                });
                same(&read.unwrap(), &x.slice(s![rows]).eval().unwrap());
            }
            let beyond = format!("member {name}.npy: rows 0..");
            let e = refused(archive.read_rows(name, |n| 0..n + 1), ErrorKind::Index, &beyond);
            assert!(e.to_string().starts_with("Npz::read_rows: "), "{e}");
        }
        // the whole array is still read, and its checksum is right
        archive.read_all().unwrap();
        refused(archive.read_rows("f32/1", |n| 0..n), ErrorKind::Shape, "without axes");
        refused(archive.read_rows("none", |n| 0..n), ErrorKind::Argument, "there is no array none");
        // only the requested rows are in memory, beside what unpacking needs
        let mut writer = if compress { NpzWriter::compressed(vec![]) } else { NpzWriter::new(vec![]) };
        writer.write("before", array![1]).unwrap();
        writer.write("large", &large).unwrap();
        let bytes = writer.finish().unwrap();
        let mut archive = open(&bytes).unwrap();
        let (rows, used) = peak(|| archive.read_rows("large", |_| 1000..1100).unwrap());
        same(&rows, &large.slice(s![1000..1100]).eval().unwrap());
        let most = if compress { 300 << 10 } else { 200 << 10 };
        assert!(used < most, "{used} bytes for rows of {}", 100 << 10);
        // a member whose data is cut off
        let e = Npz::new(Cursor::new([&bytes[..40], &bytes[60..]].concat()))
            .and_then(|mut x| x.read_rows("large", |n| 0..n));
        assert_eq!(e.unwrap_err().kind(), ErrorKind::Format);
    }
}

/// A compressed array has fewer rows than the directory and the array's header agree on.
#[test]
fn rows_after_the_end_of_compressed_data() {
    let x = arange(0, 100, 1, DType::U8).eval().unwrap();
    let good = bytes(&[("x".into(), x)], false);
    let end = good.len() - 22;
    let directory = end - 51;
    // the first 60 rows, as a block of raw bytes in a deflated stream
    let start = directory - 100 - 128;
    let data = &good[start..directory - 40];
    let n = data.len() as u16;
    let packed = [&[1][..], &n.to_le_bytes(), &(!n).to_le_bytes(), data].concat();
    let shorter = directory - start - packed.len();
    let mut bytes = [&good[..start], &packed, &good[directory..]].concat();
    let mut patch = |at: usize, new: &[u8]| bytes[at..at + new.len()].copy_from_slice(new);
    let directory = directory - shorter;
    patch(8, &[8]);
    patch(directory + 10, &[8]);
    patch(directory + 20, &(packed.len() as u32).to_le_bytes());
    patch(end - shorter + 16, &(directory as u32).to_le_bytes());
    let mut archive = open(&bytes).unwrap();
    assert_eq!(
        archive.read_rows("x", |n| n - 50..n - 40).unwrap().to_vec::<u8>().unwrap(),
        (50..60).collect::<Vec<_>>()
    );
    refused(archive.read_rows("x", |n| n - 50..n), ErrorKind::Format, "member x.npy: ");
    refused(archive.read_rows("x", |n| n - 1..n), ErrorKind::Format, "member x.npy: the compressed data ends before");
}

/// Rows of arrays in Fortran order and of the other byte order, which NumPy writes.
#[test]
fn rows_of_an_array_of_numpy() {
    let folder = Folder::new("npz-rows");
    let program = "
x = np.arange(30, dtype='f4').reshape(10, 3)
arrays = {'fortran': np.asfortranarray(x), 'swapped': x.astype('>f8')}
np.savez('x.npz', **arrays)
np.savez_compressed('packed.npz', **arrays)
print(x[4:7].ravel().tolist())
";
    let Some(said) = python(&folder, program) else { return };
    for (file, name) in ["x.npz", "packed.npz"].iter().flat_map(|file| [(file, "fortran"), (file, "swapped")]) {
        let mut archive = Npz::open(folder.path(file)).unwrap();
        let rows = archive.read_rows(name, |n| n - 6..n - 3).unwrap();
        assert_eq!(format!("{:?}\n", rows.astype(DType::F64).to_vec::<f64>().unwrap()), said);
    }
}

#[test]
fn numpy_reads_what_is_written_and_the_other_way_round() {
    let folder = Folder::new("npz-numpy");
    save_npz(folder.path("stored.npz"), arrays()).unwrap();
    save_npz_compressed(folder.path("packed.npz"), arrays()).unwrap();
    let program = "
for name in ['stored', 'packed']:
    with np.load(name + '.npz', allow_pickle=False) as f:
        arrays = {n: f[n] for n in f.files}
    f = dict(arrays)
    f['fortran'] = np.asfortranarray(np.arange(6, dtype='f4').reshape(2, 3))
    f['swapped'] = np.arange(5, dtype='>i4')
    f['Größe'] = np.arange(70000) % 7
    (np.savez if name == 'packed' else np.savez_compressed)(name + '2.npz', **f)
    print(len(arrays), arrays['f32/8'].tolist(), arrays['bool/8'].dtype)
";
    let Some(said) = python(&folder, program) else { return };
    assert_eq!(said, "48 [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] bool\n".repeat(2));
    for name in ["stored2.npz", "packed2.npz"] {
        let mut archive = Npz::open(folder.path(name)).unwrap();
        let names: Vec<String> = archive.names().map(String::from).collect();
        assert_eq!(names.len(), arrays().len() + 3);
        for (name, x) in arrays() {
            same(&archive.read(&name).unwrap(), &x);
        }
        assert_eq!(archive.read("fortran").unwrap().to_vec::<f32>().unwrap(), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(archive.read("swapped").unwrap().to_vec::<i32>().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(archive.read("Größe").unwrap().sum(..).item::<i64>().unwrap(), 210_000);
    }
    // a writer that cannot seek (a pipe) writes the sizes behind the data
    let program = "
class Pipe:
    def __init__(self, f): self.f = f
    def write(self, b): return self.f.write(b)
    def flush(self): self.f.flush()
    def read(self): raise OSError
with open('pipe.npz', 'wb') as f: np.savez_compressed(Pipe(f), x=np.arange(3), y=np.ones(4))
import zipfile
with zipfile.ZipFile('zipped.npz', 'w', zipfile.ZIP_BZIP2) as z:
    z.writestr('x.npy', b'no matter')
with zipfile.ZipFile('others.npz', 'w') as z:
    z.writestr('folder/', b'')
    z.writestr('readme.txt', b'hello')
    z.comment = b'a comment'
";
    python(&folder, program);
    assert_eq!(Npz::open(folder.path("pipe.npz")).unwrap().read("x").unwrap().to_vec::<i64>().unwrap(), [0, 1, 2]);
    let e = Npz::open(folder.path("zipped.npz")).unwrap().read("x");
    let npy = array![1.].to_npy_bytes().unwrap();
    drop(refused(
        open(&npy),
        ErrorKind::Format,
        "not an archive (.npz), or it is cut off: the record at its end is missing; it is a .npy file",
    ));
    drop(refused(open(b""), ErrorKind::Format, "the file is empty"));
    drop(refused(open(&[&b"PK\x03\x04"[..], &[0; 60]].concat()), ErrorKind::Format, "the archive is cut off"));
    let e = refused(e, ErrorKind::Unsupported, "zipped.npz: member x.npy: it is compressed by method 12");
    assert!(e.to_string().starts_with("Npz::read: /"), "{e}");
    let mut others = Npz::open(folder.path("others.npz")).unwrap();
    assert_eq!(others.names().collect::<Vec<_>>(), ["readme.txt"]);
    refused(others.read("readme.txt"), ErrorKind::Format, "member readme.txt: its name does not end in .npy");
}

/// A writer that accepts some bytes, fails once, and accepts all later bytes.
#[derive(Debug)]
struct Failing(usize);

impl std::io::Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0 {
            0 => {
                self.0 = usize::MAX;
                Err(std::io::Error::other("full"))
            }
            room => {
                let count = bytes.len().min(room);
                self.0 -= if room == usize::MAX { 0 } else { count };
                Ok(count)
            }
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_archive_of_which_a_part_is_missing_is_not_finished() {
    let mut writer = NpzWriter::new(Failing(100));
    refused(writer.write("x", array![1., 2.]), ErrorKind::Io, "member x.npy: full");
    refused(writer.write("y", array![1., 2.]), ErrorKind::Io, "an earlier write to the archive has failed");
    refused(writer.finish(), ErrorKind::Io, "an earlier write to the archive has failed");
}

#[test]
fn files_are_replaced_as_a_whole() {
    let folder = Folder::new("npz-replace");
    let path = folder.path("x.npz");
    save_npz(&path, [("x", array![1., 2.])]).unwrap();
    let old = std::fs::read(&path).unwrap();
    let bad = array![1., 2.] + array![1., 2., 3.];
    refused(save_npz(&path, [("x", Expr::from(array![1.])), ("y", bad)]), ErrorKind::Shape, "cannot broadcast");
    refused(save_npz(&path, [("x", array![1.]), ("x", array![1.])]), ErrorKind::Argument, "already has an array x");
    refused(save_npz(&path, [("x", array![1.].astype(DType::BF16))]), ErrorKind::DType, "NumPy has no bf16");
    assert_eq!(std::fs::read(&path).unwrap(), old);
    refused(save_npz(folder.path("none/x.npz"), [("x", array![1.])]), ErrorKind::Io, "none/x.npz: ");
    refused(Npz::open(folder.path("none.npz")), ErrorKind::Io, "none.npz: ");
    for (name, why) in [
        ("", "1 to 65,531"),
        ("a/", "1 to 65,531"),
        ("../a", "leaves the archive"),
        ("a/../b", "leaves the archive"),
        ("/a", "leaves the archive"),
        ("a\\b", "Windows path"),
        ("c:/a", "Windows path"),
        ("a\nb", "control characters"),
    ] {
        refused(NpzWriter::new(vec![]).write(name, array![1.]), ErrorKind::Argument, why);
    }
    // names as other programs write them
    let archive = bytes(&[("W:0".into(), array![1.]), ("a//b".into(), array![2.])], false);
    let mut archive = Npz::new(std::io::Cursor::new(archive)).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["W:0", "a//b"]);
    assert_eq!(archive.read("a//b").unwrap().to_vec::<f32>().unwrap(), [2.]);
    refused(NpzWriter::new(vec![]).write(&"x".repeat(65_532), array![1.]), ErrorKind::Argument, "65532 bytes");
}

/// An archive with one array `x`, and the position of its central directory.
fn simple(compress: bool) -> (Vec<u8>, usize) {
    let bytes = bytes(&[("x".into(), array![1., 2., 3.])], compress);
    let directory = bytes.len() - 22 - (46 + 5);
    assert_eq!(&bytes[directory..directory + 4], b"PK\x01\x02");
    (bytes, directory)
}

/// Opens an archive and reads all members, with a bounded amount of memory.
#[track_caller]
fn all(bytes: &[u8]) -> Result<Vec<(String, Array)>> {
    let (result, used) = peak(|| open(bytes)?.read_all());
    assert!(used <= bytes.len() + (1 << 20), "{used} bytes for {}", bytes.len());
    result
}

#[test]
fn what_contradicts_itself_is_refused() {
    for compress in [false, true] {
        let (good, directory) = simple(compress);
        all(&good).unwrap();
        let patched = |at: usize, new: &[u8]| {
            let mut bytes = good.clone();
            bytes[at..at + new.len()].copy_from_slice(new);
            bytes
        };
        let format = |bytes: &[u8], fact: &str| drop(refused(all(bytes), ErrorKind::Format, fact));
        for cut in 0..good.len() {
            format(&good[..cut], "");
        }
        format(&patched(directory + 16, &[1, 2, 3, 4]), "member x.npy: its checksum (CRC-32) is ");
        refused(all(&patched(directory + 8, &[1])), ErrorKind::Unsupported, "member x.npy: it is encrypted");
        refused(all(&patched(6, &[1])), ErrorKind::Unsupported, "member x.npy: it is encrypted");
        format(&patched(0, b"XK"), "member x.npy: there is no member at 0");
        format(&patched(30, b"y"), "member x.npy: the member at 0 is another one: \"y.npy\"");
        format(&patched(directory + 46, b"\xff"), "is not UTF-8");
        format(&patched(directory + 46, b"\n"), "has control characters");
        format(&patched(directory + 46, b"../xy"), "is a path that leaves the archive");
        format(&patched(directory + 20, &[255, 255, 255, 127]), "overlap what begins at");
        format(&patched(directory + 42, &[9]), "overlap what begins at");
        format(&patched(directory + 20, &[255; 4]), "its sizes are missing");
        let end = good.len() - 22;
        format(&patched(end + 8, &[2, 0, 2, 0]), "too short for 2 members");
        format(&patched(end + 8, &[0, 0, 0, 0]), "more than the 0 members");
        format(&patched(end + 8, &[1, 0, 2, 0]), "several parts");
        format(&patched(end + 12, &[1]), "does not end at");
        format(&patched(end + 16, &[255; 3]), "does not end at");
        let large = patched(directory + 24, &[255, 254, 255, 255]);
        match compress {
            true => drop(refused(all(&large), ErrorKind::LimitExceeded, "more than 100 times")),
            false => format(&large, "it is stored, but has 140 bytes instead of 4294967039"),
        }
    }
    // the directory gives one byte less than the member has; everything else agrees
    let (good, directory) = simple(true);
    let mut bytes = good.clone();
    bytes[directory + 24] = 139;
    refused(all(&bytes), ErrorKind::Format, "needs 12 bytes of data, not 11");
}

#[test]
fn two_members_of_a_name_or_a_place_are_refused() {
    let two = bytes(&[("x".into(), array![1.]), ("y".into(), array![2.])], false);
    let renamed: Vec<u8> = two.iter().map(|b| if *b == b'y' { b'x' } else { *b }).collect();
    // this also renames the `y` of `.npy` in both names
    assert_eq!(renamed.len(), two.len());
    refused(all(&renamed), ErrorKind::Format, "two members are named x.npx");
    // both members at the first one's position
    let second = two.len() - 22 - 51;
    let mut shared = two.clone();
    shared[second + 42..second + 46].fill(0);
    refused(all(&shared), ErrorKind::Format, "overlap what begins at");
}

#[test]
fn what_unpacks_to_too_much_is_refused_before_memory_is_taken() {
    let zeros = bytes(&[("x".into(), zeros([64 << 20], DType::U8).eval().unwrap())], true);
    assert!(zeros.len() < 100_000, "{}", zeros.len());
    refused(all(&zeros), ErrorKind::LimitExceeded, "more than 100 times as many; Npz::max_ratio raises the limit");
    let rows = open(&zeros).unwrap().read_rows("x", |n| n - 1..n);
    refused(rows, ErrorKind::LimitExceeded, "Npz::max_ratio raises the limit");
    let (read, used) = peak(|| open(&zeros).unwrap().max_ratio(2000).read("x").unwrap());
    assert_eq!(read.size(), 64 << 20);
    assert!(used < 3 * (64 << 20), "{used}");
    drop(read);
    // the directory gives too small a size and the header too large a one: memory grows only with the bytes
    let directory = zeros.len() - 22 - 51;
    let mut small = zeros.clone();
    small[directory + 24..directory + 28].copy_from_slice(&1000u32.to_le_bytes());
    refused(all(&small), ErrorKind::Format, "needs 67108864 bytes of data, not 872");
    let mut large = bytes(&[("x".into(), array![1.])], true);
    let directory = large.len() - 22 - 51;
    large[directory + 24..directory + 28].copy_from_slice(&(15u32 << 20).to_le_bytes());
    refused(all(&large), ErrorKind::Format, "needs 4 bytes of data, not ");
}

#[test]
fn any_cut_or_changed_byte_gives_an_error_or_arrays() {
    let good = bytes(&[("x".into(), array![1., 2., 3.]), ("yy".into(), array![true, false])], true);
    for i in 0..good.len() {
        for new in [0, 1, 0x7f, 0xff, good[i] ^ 0x10] {
            let mut bytes = good.clone();
            bytes[i] = new;
            let _ = all(&bytes);
        }
    }
}
