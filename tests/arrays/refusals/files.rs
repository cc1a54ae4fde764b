//! Calls that must return an error: blocks of rows, files that grow row by row, and several devices.

use super::{Case, matrix, wait};
use crate::kit::put;
use cupric::DType::F32;
use cupric::{Device, ErrorKind as K, NpyWriter, devices};

pub fn of_files_and_devices(d: &Device) -> Vec<Case> {
    let x = matrix(d);
    let failed = &x + put(d, vec![1f32; 5], &[5]);
    let five = || put(d, vec![1f32; 5], &[5]);
    let dir = std::env::temp_dir().join(format!("cupric-refusals-rows-{}-{}", std::process::id(), d.is_gpu()));
    let begin = |name: &str| {
        std::fs::create_dir_all(&dir).expect("a folder");
        NpyWriter::create(dir.join(name), F32, [4]).expect("a file")
    };
    // a file whose folder is deleted before the file is finished
    let lost = begin("x.npy");
    std::fs::remove_dir_all(&dir).expect("no folder");
    let here = std::slice::from_ref(d);
    let cases = vec![
        ("Expr::chunks", K::Argument, x.chunks(0).unwrap_err()),
        ("Expr::chunks", K::Shape, x.sum(..).chunks(1).unwrap_err()),
        ("Expr::chunks", K::Shape, failed.chunks(1).unwrap_err()),
        ("Expr::to_bytes_writer", K::Io, x.to_bytes_writer(&mut [0u8; 1][..]).map(|_| ()).unwrap_err()),
        ("NpyWriter::create", K::Io, NpyWriter::create(dir.join("y.npy"), F32, [4]).unwrap_err()),
        ("NpyWriter::append", K::Shape, begin("x.npy").append(five()).unwrap_err()),
        ("NpyWriter::finish", K::Io, lost.finish().unwrap_err()),
        ("scatter", K::Axis, devices::scatter(&x, here, 2).unwrap_err()),
        ("broadcast", K::Shape, devices::broadcast(&failed, here).unwrap_err()),
        ("gather", K::Argument, devices::gather(&[], 0, d).unwrap_err()),
        ("all_gather", K::Argument, devices::all_gather(&[], 0).unwrap_err()),
        ("all_reduce", K::Shape, devices::all_reduce(&[x.clone(), five()]).unwrap_err()),
        ("scatter_async", K::Axis, wait(devices::scatter_async(&x, here, 2)).unwrap_err()),
        ("broadcast_async", K::Shape, wait(devices::broadcast_async(&failed, here)).unwrap_err()),
        ("gather_async", K::Argument, wait(devices::gather_async(&[], 0, d)).unwrap_err()),
        ("all_gather_async", K::Argument, wait(devices::all_gather_async(&[], 0)).unwrap_err()),
        ("all_reduce_async", K::Shape, wait(devices::all_reduce_async(&[x.clone(), five()])).unwrap_err()),
    ];
    let _ = std::fs::remove_dir_all(&dir);
    cases
}

/// Calls that measure the time of a device's work.
pub fn times(d: &Device) -> Vec<Case> {
    let failed = matrix(d) + put(d, vec![1f32; 5], &[5]);
    let nowhere = std::env::temp_dir().join(format!("cupric-refusals-{}", std::process::id())).join("trace.json");
    let profile = d.profile(|| Ok(())).unwrap().1;
    vec![
        ("Device::time_kernels", K::Shape, d.time_kernels(|| failed.eval()).unwrap_err()),
        ("Device::profile", K::Shape, d.profile(|| failed.eval()).unwrap_err()),
        ("Profile::to_chrome_trace", K::Io, profile.to_chrome_trace(nowhere).unwrap_err()),
    ]
}
