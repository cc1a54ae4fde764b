//! Files of the format safetensors, read and mapped, and mapped `.npy` files.

use crate::memory::peak;
use crate::{Folder, python, refused, same, samples};
use cupric::*;
use std::io::Cursor;

const NONE: [(&str, &str); 0] = [];

#[track_caller]
fn open(bytes: &[u8]) -> Result<SafeTensors<Cursor<&[u8]>>> {
    SafeTensors::new(Cursor::new(bytes))
}

/// Makes a file from a header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// Reads all tensors, with a bounded amount of memory.
#[track_caller]
fn all(bytes: &[u8]) -> Result<Vec<(String, Array)>> {
    let (result, used) = peak(|| open(bytes)?.read_all());
    assert!(used <= 8 * bytes.len() + (1 << 16), "{used} bytes for {}", bytes.len());
    result
}

#[test]
fn what_is_written_is_read() {
    let arrays = samples();
    let metadata = [("format", "pt"), ("a \"quoted\"\n\u{1} key", "wört")];
    let bytes = write_safetensors(vec![], arrays.iter().map(|(n, x)| (n, x)), metadata).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!((data % 8, bytes[8]), (0, b'{'));
    let mut model = open(&bytes).unwrap();
    assert_eq!(model.names().len(), arrays.len());
    assert!(model.metadata().eq(metadata));
    for (name, x) in &arrays {
        same(&model.read(name).unwrap(), x);
        assert_eq!(model.shape(name).unwrap(), x.shape());
    }
    assert_eq!(model.type_of("bool/8").unwrap(), "BOOL");
    // from a file, read and mapped
    let folder = Folder::new("safetensors");
    let path = folder.path("x.safetensors");
    save_safetensors(&path, arrays.iter().map(|(n, x)| (n, x)), metadata).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    // SAFETY: nobody changes the file.
    let mut mapped = unsafe { SafeTensors::map(&path) }.unwrap();
    let mut read = SafeTensors::open(&path).unwrap();
    for (name, x) in &arrays {
        same(&read.read(name).unwrap(), x);
        same(&mapped.read(name).unwrap(), x);
    }
    let empty = write_safetensors(vec![], Vec::<(&str, Array)>::new(), NONE).unwrap();
    assert_eq!((&empty[8..], open(&empty).unwrap().names().len()), (&b"{}      "[..], 0));
}

#[test]
fn a_mapped_array_is_the_file_and_is_never_written() {
    let folder = Folder::new("mapped");
    let path = folder.path("x.safetensors");
    let big = arange(0, 1 << 20, 1, DType::F32).eval().unwrap();
    save_safetensors(&path, [("x", &big)], NONE).unwrap();
    // SAFETY: nobody changes the file.
    let mut model = unsafe { SafeTensors::map(&path) }.unwrap();
    let (mut x, used) = peak(|| model.read("x").unwrap());
    assert!(used < 10_000, "{used} bytes: a copy");
    drop(model);
    let old = std::fs::read(&path).unwrap();
    x.update(|x| x + 1.0).unwrap();
    assert_eq!(x.slice(s![1]).item::<f32>().unwrap(), 2.0);
    assert_eq!(std::fs::read(&path).unwrap(), old);
    // a .npy file in C order
    let path = folder.path("x.npy");
    big.to_npy(&path).unwrap();
    // SAFETY: nobody changes the file.
    let (mapped, used) = peak(|| unsafe { Array::map_npy(&path) }.unwrap());
    assert!(used < 10_000, "{used} bytes: a copy");
    // replacing the file does not change the mapping
    array![1.].to_npy(&path).unwrap();
    same(&mapped, &big);
    // SAFETY: nobody changes the file.
    refused(unsafe { Array::map_npy(folder.path("none.npy")) }, ErrorKind::Io, "none.npy: ");
    // SAFETY: nobody changes the file.
    refused(unsafe { Array::map_npy(folder.path("")) }, ErrorKind::Io, "this is a folder, not a file");
}

#[test]
fn mapped_npy_files_are_what_reading_gives() {
    let folder = Folder::new("mapped-npy");
    for (i, (name, x)) in samples().into_iter().enumerate().filter(|(_, (_, x))| x.dtype() != DType::BF16) {
        let path = folder.path(&format!("{i}.npy"));
        x.to_npy(&path).unwrap();
        // SAFETY: nobody changes the file.
        same(&unsafe { Array::map_npy(&path) }.unwrap_or_else(|e| panic!("{name}: {e}")), &x);
    }
    let path = folder.path("x.npy");
    let mut good = array![[1., 2., 3.], [4., 5., 6.]].to_npy_bytes().unwrap();
    let mapped = |bytes: &[u8]| {
        std::fs::remove_file(&path).ok();
        std::fs::write(&path, bytes).unwrap();
        // SAFETY: nobody changes the file while it is mapped.
        (unsafe { Array::map_npy(&path) }, Array::from_npy_bytes(bytes))
    };
    for cut in (0..good.len()).step_by(3) {
        assert_eq!(mapped(&good[..cut]).0.unwrap_err().kind(), ErrorKind::Format);
    }
    let text = String::from_utf8_lossy(&good).into_owned();
    let place = text.find("False").map(|_| good.windows(5).position(|w| w == b"False").unwrap()).unwrap();
    good[place..place + 5].copy_from_slice(b"True ");
    let (x, y) = mapped(&good);
    let x = x.unwrap();
    assert_eq!(x.strides(), [1, 2]);
    same(&x, &y.unwrap());
    let swapped = good.windows(3).position(|w| w == b"<f4").unwrap();
    good[swapped] = b'>';
    let (x, y) = mapped(&good);
    same(&x.unwrap(), &y.unwrap());
    let mut bools = array![true, false].to_npy_bytes().unwrap();
    *bools.last_mut().unwrap() = 2;
    refused(mapped(&bools).0, ErrorKind::Format, "x.npy: bool element 1 is the byte 2");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let one = |info: &str, data: usize| all(&file(&format!("{{\"x\":{info}}}"), &vec![0; data]));
    let good = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    assert_eq!(one(good, 8).unwrap()[0].1.shape(), [2]);
    let format = |result: Result<Vec<(String, Array)>>, fact: &str| drop(refused(result, ErrorKind::Format, fact));
    format(one(good, 7), "the tensors have 8 bytes, but the data of the file has 7");
    format(one(good, 9), "the tensors have 8 bytes, but the data of the file has 9");
    for (info, fact) in [
        (r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#, "shape [3] of f32 needs 12 bytes, not 8"),
        (r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#, "it ends at 0, before it begins at 8"),
        (
            r#"{"dtype":"U8","shape":[7],"data_offsets":[1,8]}"#,
            "tensor \"x\": it begins at 1 and leaves a hole after at 0",
        ),
        (r#"{"dtype":"U8","shape":[18446744073709551615,2,0],"data_offsets":[0,8]}"#, "too many bytes"),
        (r#"{"dtype":"U8","shape":[-1],"data_offsets":[0,8]}"#, "invalid value: integer `-1`"),
        (r#"{"dtype":"U8","shape":[1.5],"data_offsets":[0,8]}"#, "invalid type: floating point"),
        (r#"{"dtype":"U8","shape":[8],"data_offsets":[0]}"#, "invalid length 1"),
        (r#"{"dtype":"U8","shape":[8]}"#, "missing field `data_offsets`"),
        (r#"{"dtype":"U8","dtype":"U8","shape":[8],"data_offsets":[0,8]}"#, "duplicate field `dtype`"),
        (r#"{"dtype":3,"shape":[8],"data_offsets":[0,8]}"#, "invalid type: integer `3`"),
        ("[]", "invalid type: sequence"),
    ] {
        format(one(info, 8), fact);
    }
    format(one(&format!(r#"{{"dtype":"U8","shape":[{}8],"data_offsets":[0,8]}}"#, "1,".repeat(64)), 8), "65 axes");
    let two = |a: &str, b: &str| {
        let of = |range: &str| format!(r#"{{"dtype":"U8","shape":[4],"data_offsets":[{range}]}}"#);
        all(&file(&format!(r#"{{"x":{},"y":{}}}"#, of(a), of(b)), &[0; 8]))
    };
    assert_eq!(two("4,8", "0,4").unwrap().len(), 2);
    format(two("0,4", "0,4"), "overlaps the one before it, which ends at 4");
    format(two("0,4", "2,6"), "overlaps the one before it");
    let twice =
        r#"{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    format(all(&file(twice, &[])), "the header has \"x\" twice");
    format(all(&file(r#"{"__metadata__":{"a":"b","a":"c"}}"#, &[])), "the header has \"a\" twice");
    format(all(&file(r#"{"__metadata__":{},"__metadata__":{}}"#, &[])), "duplicate field `__metadata__`");
    format(all(&file(r#"{"__metadata__":{"a":1}}"#, &[])), "invalid type: integer `1`");
    format(all(&file(" {}", &[])), "the header does not begin with {");
    format(all(&file("{} x", &[])), "trailing characters");
    format(all(&file("", &[])), "the header does not begin with {");
    format(all(&[1, 0, 0]), "3 bytes are too few");
    format(
        all(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        "not a safetensors file, or its header is too long: 18446744073709551615 bytes, at most 100000000",
    );
    format(all(b""), "the file is empty");
    let npy = array![1.].to_npy_bytes().unwrap();
    format(all(&npy), "not a safetensors file; it is a .npy file, which Array::from_npy reads");
    format(all(b"PK\x03\x04 a zip archive"), "not a safetensors file; it is a zip archive");
    format(all(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "not a safetensors file");
    format(all(&[&100_000_000u64.to_le_bytes()[..], b"{}"].concat()), "has 100000000 bytes, but only 2 are left");
    format(all(&file(&format!("{{\"x\":{}", "[".repeat(10_000)), &[])), "invalid type");
    format(all(&file(&format!(r#"{{"x":{{"new":{}"#, "[".repeat(10_000)), &[])), "EOF while parsing a list");
    format(all(&file(&format!(r#"{{"x":"{}"}}"#, "y".repeat(10_000)), &[])), "invalid type: string");
    // a bool must be the byte 0 or 1
    let bools = file(r#"{"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}"#, &[0, 1, 2]);
    format(all(&bools), "tensor \"x\": bool element 2 is the byte 2");
}

#[test]
fn a_type_that_is_not_known_is_an_error_when_it_is_asked_for() {
    let header = r#"{"a":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}"#;
    let bytes = file(header, &[1, 2, 3, 4]);
    let mut model = open(&bytes).unwrap();
    assert_eq!((model.type_of("a").unwrap(), model.shape("a").unwrap()), ("F8_E4M3", &[3][..]));
    assert_eq!(model.read("b").unwrap().to_vec::<u8>().unwrap(), [4]);
    refused(
        model.read("a"),
        ErrorKind::Unsupported,
        "tensor \"a\": its type is \"F8_E4M3\", which cupric does not support",
    );
    refused(model.read("c"), ErrorKind::Argument, "there is no tensor \"c\"; there are \"a\", \"b\"");
    refused(model.shape("c"), ErrorKind::Argument, "there is no tensor \"c\"");
    refused(model.type_of("c"), ErrorKind::Argument, "there is no tensor \"c\"");
    // a tensor at a misaligned offset is copied when the file is mapped
    let folder = Folder::new("misaligned");
    let header =
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"I32","shape":[1],"data_offsets":[1,5]}}"#;
    std::fs::write(folder.path("x"), file(header, &[9, 1, 0, 0, 0])).unwrap();
    // SAFETY: nobody changes the file.
    let mut model = unsafe { SafeTensors::map(folder.path("x")) }.unwrap();
    assert_eq!(model.read("b").unwrap().to_vec::<i32>().unwrap(), [1]);
}

#[test]
fn writing_fails_without_a_trace() {
    let folder = Folder::new("safetensors-fails");
    let path = folder.path("x");
    save_safetensors(&path, [("x", array![1.])], NONE).unwrap();
    let old = std::fs::read(&path).unwrap();
    let twice = [("x", array![1.]), ("x", array![1.])];
    refused(save_safetensors(&path, twice, NONE), ErrorKind::Argument, "two entries have the name \"x\"");
    refused(
        save_safetensors(&path, [("__metadata__", array![1.])], NONE),
        ErrorKind::Argument,
        "reserved by the format",
    );
    let twice = [("a", "b"), ("a", "b")];
    refused(
        save_safetensors(&path, [("x", array![1.])], twice),
        ErrorKind::Argument,
        "two entries have the name \"a\"",
    );
    let bad = array![1., 2.] + array![1., 2., 3.];
    refused(save_safetensors(&path, [("x", bad)], NONE), ErrorKind::Shape, "cannot broadcast");
    // an expression that fails only when it is evaluated
    let late = array![1., 2.].take(array![5], 0);
    refused(save_safetensors(&path, [("x", late)], NONE), ErrorKind::Index, "");
    assert_eq!(std::fs::read(&path).unwrap(), old);
    refused(save_safetensors(folder.path("no/x"), [("x", array![1.])], NONE), ErrorKind::Io, "no/x: ");
}

#[test]
fn a_model_may_be_in_several_files() {
    let folder = Folder::new("sharded");
    let index = folder.path("model.safetensors.index.json");
    save_safetensors(folder.path("1.safetensors"), [("x", array![1.]), ("y", array![2.])], NONE).unwrap();
    save_safetensors(folder.path("2.safetensors"), [("z", array![3.])], [("part", "2")]).unwrap();
    let write = |map: &str| {
        std::fs::write(&index, format!(r#"{{"metadata":{{"total_size":12,"more":[1,null]}},"weight_map":{{{map}}}}}"#))
            .unwrap();
    };
    write(r#""z":"2.safetensors","x":"1.safetensors""#);
    let mut model = SafeTensors::open_index(&index).unwrap();
    assert_eq!(model.names().collect::<Vec<_>>(), ["z", "x"]);
    assert_eq!(model.metadata().collect::<Vec<_>>(), [("part", "2")]);
    assert_eq!(model.read("z").unwrap().to_vec::<f32>().unwrap(), [3.]);
    refused(model.read("y"), ErrorKind::Argument, "index.json: there is no tensor \"y\"");
    // SAFETY: nobody changes the files.
    let mapped = unsafe { SafeTensors::map_index(&index) }.unwrap().read_all().unwrap();
    assert_eq!(mapped.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["z", "x"]);
    let fails = |fact: &str, kind| drop(refused(SafeTensors::open_index(&index), kind, fact));
    write(r#""z":"1.safetensors""#);
    fails(
        "index.json: the index lists tensor \"z\" in 1.safetensors, but that file does not contain it",
        ErrorKind::Format,
    );
    write(r#""z":"3.safetensors""#);
    fails("3.safetensors: ", ErrorKind::Io);
    for name in ["../1.safetensors", "/etc/passwd", "a\\\\b", "", "..", "c:x", "a\\n"] {
        write(&format!(r#""x":"{name}""#));
        fails("which is not the plain name of a file in the same folder", ErrorKind::Format);
    }
    write(r#""x":"1.safetensors","x":"1.safetensors""#);
    fails("has \"x\" twice", ErrorKind::Format);
    write(r#""x":3"#);
    fails("invalid type", ErrorKind::Format);
    std::fs::write(&index, "{}").unwrap();
    fails("missing field `weight_map`", ErrorKind::Format);
    refused(SafeTensors::open_index(folder.path("none")), ErrorKind::Io, "none: ");
}

/// A writer and a reader in a few lines of Python, following the description of the format.
#[test]
fn python_writes_what_is_read_and_reads_what_is_written() {
    let folder = Folder::new("safetensors-python");
    let half = arange(0, 6, 1, DType::F16).reshape([2, 3]).eval().unwrap();
    save_safetensors(folder.path("ours"), [("x", &half), ("n", &array![1i64, -2])], [("a", "b")]).unwrap();
    let program = r#"
import json
data = open('ours', 'rb').read()
n = int.from_bytes(data[:8], 'little')
head, body = json.loads(data[8:8 + n]), data[8 + n:]
print(head.pop('__metadata__'))
for name, t in head.items():
    dtype = {'F16': '<f2', 'I64': '<i8'}[t['dtype']]
    a, b = t['data_offsets']
    print(name, np.frombuffer(body[a:b], dtype).reshape(t['shape']).tolist())
out, at, parts = {}, 0, []
for name, kind, x in [('w', 'F32', np.arange(6, dtype='<f4').reshape(2, 3)), ('ü', 'BOOL', np.array([True, False]))]:
    parts.append(x.tobytes())
    out[name] = {'dtype': kind, 'shape': list(x.shape), 'data_offsets': [at, at + x.nbytes]}
    at += x.nbytes
text = json.dumps(out).encode()
open('theirs', 'wb').write(len(text).to_bytes(8, 'little') + text + b''.join(parts))
"#;
    let Some(said) = python(&folder, program) else { return };
    assert_eq!(said, "{'a': 'b'}\nn [1, -2]\nx [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]\n");
    let mut theirs = SafeTensors::open(folder.path("theirs")).unwrap();
    same(&theirs.read("w").unwrap(), &arange(0, 6, 1, DType::F32).reshape([2, 3]).eval().unwrap());
    assert_eq!(theirs.read("ü").unwrap().to_vec::<bool>().unwrap(), [true, false]);
}
