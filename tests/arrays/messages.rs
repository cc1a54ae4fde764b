//! Messages that say too little help nobody: calls that a user gets wrong, and the words that must be in the error.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The error of an evaluation and of a read, which a GPU reports late.
fn late(e: &Expr) -> Error {
    match e.to_bytes() {
        Ok(_) => panic!("it should be refused"),
        Err(e) => e,
    }
}

/// Asserts that the error has the kind, names the operation and a line of this file, and contains the words.
#[track_caller]
fn says(e: &Error, kind: ErrorKind, operation: &str, words: &str) {
    assert_eq!((e.kind(), e.operation()), (kind, operation), "{e}");
    assert!(e.to_string().contains(words), "{e}");
    assert!(e.to_string().contains("messages.rs:"), "{e}");
}

on_devices! {

fn labels_out_of_range(d: &Device) {
    let d = &own(d);
    let scores = zeros([2, 10], F32).on(d);
    for bad in [10, -11, 1000] {
        let labels = put(d, vec![3, bad], &[2]);
        let e = late(&scores.cross_entropy(&labels));
        says(&e, ErrorKind::Index, "cross_entropy", &format!("index {bad} is out of range for an axis of length 10"));
    }
    for bad in [10i64, -1, 1 << 40] {
        let labels = put(d, vec![3, bad], &[2]);
        let e = late(&labels.one_hot(10, F32));
        says(&e, ErrorKind::Index, "one_hot", &format!("index {bad} is out of range for an axis of length 10"));
    }
    same(&put(d, vec![2u8, 0], &[2]).one_hot(3, I32), &[0, 0, 1, 1, 0, 0]);
    same(&put::<i32>(d, vec![], &[0]).one_hot(0, I32), &[0i32; 0]);
    let without = put(d, vec![2, 5], &[2]).expand_dims(-1).equal(arange(0, 3, 1, I32)).astype(F32);
    same(&without, &[0f32, 0., 1., 0., 0., 0.]);
}

fn derivatives_name_the_line_of_the_caller(d: &Device) {
    let small = d.with_memory_limit(1 << 20).unwrap();
    // the sums of the derivative are larger than the device, and the operand is not
    let x = zeros([1, 8], F32).to_device(&small).unwrap().broadcast_to([1 << 20, 8]).eval().unwrap();
    let i = put(&small, vec![3, 3], &[2]);
    let y = x.exp();
    let [by] = vjp(y.take(&i, 0), 1.0, [&y]);
    let (e, line) = (late(&by), line!() - 1);
    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
    let at = e.location().unwrap();
    assert_eq!((at.file().ends_with("messages.rs"), at.line()), (true, line), "{e}");
}

}

#[test]
fn names_of_devices() {
    let e = "cuda:0".parse::<Device>().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DeviceNotFound);
    assert!(e.to_string().contains("'cuda:0'; expected cpu, best, gpu, or gpu:N for GPU N of Device::gpus()"), "{e}");
}

#[test]
fn files_of_another_kind() {
    let folder = std::env::temp_dir();
    let e = Array::from_npy(&folder).unwrap_err();
    assert!(cfg!(windows) || e.to_string().contains("this is a folder, not a file"), "{e}");
    let path = folder.join(format!("cupric-empty-{}.npy", std::process::id()));
    std::fs::write(&path, "").unwrap();
    let e = Array::from_npy(&path).unwrap_err();
    says(&e, ErrorKind::Format, "from_npy", "the file is empty");
    std::fs::write(&path, b"PK\x03\x04 and the members of an archive").unwrap();
    let e = Array::from_npy(&path).unwrap_err();
    says(&e, ErrorKind::Format, "from_npy", "it is a zip archive, such as .npz, which Npz reads");
    std::fs::write(&path, b"\x89HDF\r\n\x1a\n and more").unwrap();
    says(&Array::from_npy(&path).unwrap_err(), ErrorKind::Format, "from_npy", "it is an HDF5 file");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn adopted_memory_is_not_in_use() {
    let limited = Device::cpu().with_memory_limit(1 << 20).unwrap();
    let e = zeros([1 << 20], F32).to_device(&limited).unwrap_err().to_string();
    assert!(e.contains("about 1048576 bytes fit (0 in use, limit 1048576 bytes: the limit is reached)"), "{e}");
}
