//! If the host has no memory, the library returns an error and never ends the process.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::process::Command;

/// 16 Mi elements, 64 MiB of f32; the test process may use 700 MB.
const N: usize = 16 << 20;

/// Copies of elements on the host, in a process with little memory.
#[test]
fn a_copy_on_the_host_without_memory_is_an_error() {
    if !cfg!(target_os = "linux") {
        return;
    }
    if std::env::var_os("CUPRIC_LITTLE_MEMORY").is_some() {
        return with_little_memory();
    }
    let limited = "ulimit -v 700000 && exec \"$0\" --exact memory::a_copy_on_the_host_without_memory_is_an_error";
    let run = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env("CUPRIC_LITTLE_MEMORY", "1")
        .env("RAYON_NUM_THREADS", "1")
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && said.contains("1 passed"), "{:?}\n{said}\n{errors}", run.status);
}

fn with_little_memory() {
    fn refused<T>(r: Result<T>) {
        assert_eq!(r.err().map(|e| e.kind()), Some(ErrorKind::OutOfMemory));
    }
    fn until_refused<T>(f: impl Fn() -> Result<T>) -> Vec<T> {
        let mut held = vec![];
        while held.len() < 20 {
            match f() {
                Ok(v) => held.push(v),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
                    return held;
                }
            }
        }
        panic!("twenty copies fit");
    }
    let x = full([N], 1.5, F32).to_device(&own(&Device::cpu())).unwrap();
    let truths = full([4 * N], true, Bool).eval().unwrap();
    let rows = vec![vec![1u8; 2 * N]; 2];
    // a read makes two copies, and memory may be missing for either
    let first = until_refused(|| x.to_vec::<f32>());
    let second = until_refused(|| Array::from_slice(&rows[0], [2 * N]));
    refused(truths.to_vec::<bool>());
    refused(x.to_npy_bytes());
    refused(x.to_vec::<f32>());
    refused(x.to_device(&own(&Device::cpu())));
    refused(Array::try_from(rows));
    assert!(!first.is_empty() && x.sum(..).item::<f32>().is_ok());
    drop((first, second));
    assert_eq!(x.to_vec::<f32>().unwrap().len(), N);
}

/// A process has memory for an array, but not for the larger size to which the pool would round it up.
#[test]
fn an_array_that_just_fits_is_not_refused() {
    if !cfg!(target_os = "linux") {
        return;
    }
    if std::env::var_os("CUPRIC_JUST_FITS").is_some() {
        return until_one_just_fits();
    }
    let limited = "ulimit -v 700000 && exec \"$0\" --exact memory::an_array_that_just_fits_is_not_refused";
    let run = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env("CUPRIC_JUST_FITS", "1")
        .env("RAYON_NUM_THREADS", "1")
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && said.contains("1 passed"), "{:?}\n{said}\n{errors}", run.status);
}

fn until_one_just_fits() {
    // one byte above a power of two, which the pool rounds up to 1.5 times the size
    let (bytes, rounded) = ((128 << 20) + 1, 192 << 20);
    // run a small kernel first, so that later only memory for the result is needed
    full([1000], 1u8, U8).eval().unwrap();
    let has_room = |n: usize| Vec::<u8>::new().try_reserve_exact(n).is_ok();
    let mut ballast: Vec<Vec<u8>> = vec![];
    while has_room(rounded) {
        ballast.push(Vec::with_capacity(8 << 20));
    }
    assert!(has_room(bytes + (16 << 20)), "{} pieces of ballast", ballast.len());
    let x = full([bytes], 7u8, U8).eval().unwrap();
    assert_eq!(x.slice(s![-1]).item::<u8>().unwrap(), 7);
    assert_eq!(Device::cpu().memory().used, bytes);
    drop(x);
    // without memory for the array itself, the call returns an error
    while has_room(bytes) {
        ballast.push(Vec::with_capacity(8 << 20));
    }
    Device::cpu().trim();
    ballast.extend((0..).map_while(|_| has_room(bytes).then(|| Vec::with_capacity(8 << 20))));
    assert_eq!(full([bytes], 7u8, U8).eval().err().map(|e| e.kind()), Some(ErrorKind::OutOfMemory));
}

/// In a separate process: how much memory a fused sum needs beside its operands and its result.
#[test]
fn a_fused_sum_needs_its_operands_and_its_result_alone() {
    if !cfg!(target_os = "linux") {
        return;
    }
    if std::env::var_os("CUPRIC_PEAK").is_some() {
        return peak_of_a_sum();
    }
    for threads in ["1", "2", "8"] {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::a_fused_sum_needs_its_operands_and_its_result_alone"])
            .env("CUPRIC_PEAK", "1")
            // because poisoning would write to memory that the sum does not touch
            .env_remove("CUPRIC_POISON")
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let (said, errors) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success() && said.contains("1 passed"), "{threads} threads\n{said}\n{errors}");
    }
}

fn peak_of_a_sum() {
    // bytes of memory as the system counts them: resident now, or the peak
    let bytes = |what: &str| {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find(|l| l.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    };
    let sum = |a: &Array, b: &Array| (a * 2.0 + b).eval().unwrap();
    // run once first, so that code, threads and stacks do not count
    let small = Array::from_vec(vec![1f32; 100_000], [100_000]).unwrap();
    sum(&small, &small);
    for n in [1_000_003, N] {
        let [a, b] = [1f32, 2.0].map(|v| Array::from_vec(vec![v; n], [n]).unwrap());
        let before = bytes("VmRSS:");
        assert!(bytes("VmHWM:") < before + (1 << 20), "the operands were larger for a time");
        let c = sum(&a, &b);
        let more = bytes("VmHWM:") - before;
        println!("{n} elements: {} KiB beside operands and result", (more as isize - 4 * n as isize) >> 10);
        assert!(more <= 4 * n + (4 << 20), "{more} bytes for a result of {}", 4 * n);
        assert_eq!(c.slice(s![n - 1]).item::<f32>().unwrap(), 4.0);
    }
}
