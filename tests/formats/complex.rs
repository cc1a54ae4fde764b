//! Files of complex numbers: as NumPy makes them (`data/npy_complex.txt`, which `data/make_npy.py` wrote), and as it reads them.

use crate::{Folder, python, refused};
use cupric::*;
use std::io::Cursor;

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim_start_matches('-');
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// The parts of complex numbers, in C order and little endian.
fn data_of(z: &Complex) -> Vec<u8> {
    match z.dtype().unwrap() {
        DType::F32 => z.to_interleaved().to_vec::<f32>().unwrap().into_iter().flat_map(f32::to_le_bytes).collect(),
        _ => z.to_interleaved().to_vec::<f64>().unwrap().into_iter().flat_map(f64::to_le_bytes).collect(),
    }
}

#[test]
fn files_of_numpy_are_read_and_written() {
    let folder = Folder::new("complex");
    let path = folder.path("z.npy");
    let mut count = 0;
    for line in include_str!("../data/npy_complex.txt").lines() {
        let [name, dtype, shape, file, data] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let shape: Vec<usize> = shape.split(',').filter(|n| *n != "-").map(|n| n.parse().unwrap()).collect();
        std::fs::write(&path, bytes(file)).unwrap();
        let z = Complex::from_npy(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((z.shape().unwrap(), z.dtype().unwrap().name()), (&shape[..], dtype), "{name}");
        assert_eq!(data_of(&z), bytes(data), "{name}");
        refused(Array::from_npy(&path), ErrorKind::Format, "Complex::from_npy and Npz::read_complex read complex ones");
        z.to_npy(&path).unwrap();
        if name.contains("C_v1") && !name.contains('>') {
            assert_eq!(std::fs::read(&path).unwrap(), bytes(file), "{name}");
        }
        assert_eq!(data_of(&Complex::from_npy(&path).unwrap()), bytes(data), "{name}");
        count += 1;
    }
    assert_eq!(count, 36);
}

#[test]
fn errors_name_what_to_do() {
    let folder = Folder::new("complex-errors");
    let path = folder.path("x.npy");
    array![1., 2.].to_npy(&path).unwrap();
    let refused = |z: Result<Complex>, kind, fact| refused(z.map(|_| ()), kind, fact);
    refused(Complex::from_npy(&path), ErrorKind::Format, "dtype \"<f4\" is not supported; supported are c8 and c16");
    refused(Complex::from_npy(folder.path("none.npy")), ErrorKind::Io, "Complex::from_npy: ");
    let half = Complex::new(array![1., 2.].astype(DType::F16), 0.0);
    let e = half.to_npy(folder.path("half.npy")).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DType);
    assert!(e.to_string().contains("NumPy has no complex numbers of f16"), "{e}");
    // one part of the last number is missing
    Complex::new(array![1., 2.], 0.0).to_npy(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    refused(Complex::from_npy(&path), ErrorKind::Format, "needs 16 bytes of data, not 12");
    std::fs::write(&path, &whole).unwrap();
    crate::refused(Array::from_npy_rows(&path, |n| 0..n), ErrorKind::Format, "Complex::from_npy");
}

#[test]
fn numpy_reads_what_is_written_and_the_other_way_round() {
    let folder = Folder::new("complex-numpy");
    let x = arange(0, 12, 1, DType::F64).reshape([3, 4]) / 8.0;
    let z = Complex::new(&x, -&x * 2.0);
    // views of any strides
    let views = [z.clone(), z.map(|e| e.t()), z.map(|e| e.slice(s![..;-1, 1..;2])), z.map(|e| e.slice(s![1, 2]))];
    let mut archive = NpzWriter::new(vec![]);
    for (i, z) in views.iter().enumerate() {
        z.to_npy(folder.path(&format!("z{i}.npy"))).unwrap();
        archive.write_complex(&format!("z{i}"), &z.map(|e| e.astype(DType::F32))).unwrap();
    }
    archive.write("x", &x).unwrap();
    std::fs::write(folder.path("z.npz"), archive.finish().unwrap()).unwrap();
    let program = "
f = dict(np.load('z.npz'))
for i in range(4):
    a, b = np.load(f'z{i}.npy'), f[f'z{i}']
    assert (a == b).all() and a.dtype == 'c16' and b.dtype == 'c8'
    print(a)
f['fortran'] = np.asfortranarray(f['z0'])
np.savez_compressed('back.npz', **f)
";
    let Some(said) = python(&folder, program) else { return };
    let printed: String = views.iter().map(|z| format!("{z}\n")).collect();
    assert_eq!(said, printed);
    let mut archive = Npz::new(Cursor::new(std::fs::read(folder.path("back.npz")).unwrap())).unwrap();
    for (i, z) in views.iter().enumerate() {
        let read = archive.read_complex(&format!("z{i}")).unwrap();
        assert_eq!(data_of(&read), data_of(&z.map(|e| e.astype(DType::F32))));
    }
    let fortran = archive.read_complex("fortran").unwrap();
    assert_eq!(data_of(&fortran), data_of(&z.map(|e| e.astype(DType::F32))));
    assert_eq!(archive.read("x").unwrap().shape(), [3, 4]);
    refused(archive.read("z0"), ErrorKind::Format, "Complex::from_npy and Npz::read_complex read complex ones");
    refused(archive.read_complex("x").map(|_| ()), ErrorKind::Format, "Npz::read_complex: member x.npy: dtype \"<f8\"");
}
