//! Lifetimes of devices: a device lives as long as a handle or an array uses it, and then its memory is freed.

mod collectives;
mod interop;
#[path = "../kit/mod.rs"]
mod kit;

use cupric::testing::{living_devices, shrunk_cpu};
use cupric::{Array, DType, Device, Error, ErrorKind, Expr, array, s, zeros};
use kit::*;
use std::sync::Mutex;

/// Tests hold this while they count things of the whole process, which other tests would change.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    // open the shared devices first, because they count too
    let _ = (Device::cpu(), Device::gpu());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// Resident bytes of the process, if the operating system tells.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}

fn number(device: &Device) -> String {
    format!("{device:?}")
}

on_devices! {
    shared;
    fn the_shared_device_is_one(d: &Device) {
        let again = if d.is_gpu() { Device::gpu().unwrap() } else { Device::cpu() };
        assert_eq!(again, *d);
        let x = array![1., 2.].to_device(d).unwrap();
        assert_eq!(x.device(), *d);
        // the shared device stays for the whole process, with or without a handle
        let (before, number) = (d.stats().allocations, number(d));
        drop((again, x));
        let again = if d.is_gpu() { Device::gpu().unwrap() } else { Device::cpu() };
        assert_eq!(format!("{again:?}"), number);
        assert!(again.stats().allocations >= before);
    }

    fn supports_says_what_can_be_computed(d: &Device) {
        for t in DType::ALL {
            let sum = zeros([3], t).to_device(d).and_then(|x| (&x + &x).eval());
            assert_eq!(d.supports(t), sum.is_ok(), "{t} on {d}: {sum:?}");
            if let Err(e) = sum {
                assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains(&format!("dtype {t}")), "{e}");
            }
        }
        assert!(d.is_gpu() || d.supports(DType::F64));
        assert!(d.supports(DType::F32) && d.supports(DType::I64) && d.supports(DType::BF16));
    }

    fn an_array_moves_between_devices_piece_by_piece(d: &Device) {
        let _alone = alone();
        // copies are divided into pieces of 16 MiB; the view starts and ends within a word
        let n = (40usize << 20) + 7;
        let x = put(&Device::cpu(), (0..n).map(|i| (i % 251) as u8).collect::<Vec<_>>(), &[n]);
        let part = x.slice(s![3..-2]);
        let (there, other) = (part.to_device(d).unwrap(), d.with_memory_limit(256 << 20).unwrap());
        let moved = there.to_device(&other).unwrap();
        assert_eq!((moved.device(), moved.shape()), (other.clone(), &[n - 5][..]));
        same(&moved, &part.to_vec::<u8>().unwrap());
        same(&moved.to_device(&Device::cpu()).unwrap(), &part.to_vec::<u8>().unwrap());
        // a move to a device without enough memory returns an error, and the array stays on its device
        let small = d.with_memory_limit(20 << 20).unwrap();
        let refused = there.to_device(&small).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfMemory, "{refused}");
        same(&there, &part.to_vec::<u8>().unwrap());
        // an index out of range that a kernel detected late is returned as an error of the move
        let y = put(d, vec![1, 2, 3], &[3]).take(put(d, vec![7], &[1]), 0).eval();
        let late = y.and_then(|y| y.to_device(if d.is_gpu() { &other } else { &small })).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Index, "{late}");
    }

    fn a_device_ends_with_its_last_handle(d: &Device) {
        let _alone = alone();
        let before = living_devices();
        let own = d.with_memory_limit(256 << 20).unwrap();
        assert_eq!(living_devices(), before + 1);
        let other = own.clone();
        drop(own);
        assert_eq!(living_devices(), before + 1);
        assert_eq!(array![1., 2.].to_device(&other).unwrap().sum(..).item::<f32>().unwrap(), 3.0);
        drop(other);
        assert_eq!(living_devices(), before);
    }

    fn an_array_keeps_its_device(d: &Device) {
        let _alone = alone();
        let before = living_devices();
        let x = {
            let own = d.with_memory_limit(256 << 20).unwrap();
            array![1., 2., 3.].to_device(&own).unwrap()
        };
        assert_eq!(living_devices(), before + 1);
        let e: Expr = &x * 2.0;
        drop(x);
        // an expression keeps its arrays alive, and an array keeps its device alive
        assert_eq!(living_devices(), before + 1);
        let y: Array = e.eval().unwrap();
        assert_eq!(y.device(), y.device());
        assert_ne!(y.device(), *d);
        assert_eq!(y.device().memory().limit, Some(256 << 20));
        drop(e);
        let view = y.slice(cupric::s![1..]).eval().unwrap();
        drop(y);
        assert_eq!(view.to_vec::<f32>().unwrap(), [4.0, 6.0]);
        // a read in progress keeps the device alive too
        let read = view.to_vec_async::<f32>();
        drop(view);
        assert_eq!(living_devices(), before + 1);
        assert_eq!(futures::executor::block_on(read).unwrap(), [4.0, 6.0]);
        assert_eq!(living_devices(), before);
    }

    fn the_memory_of_a_device_goes_back_with_it(d: &Device) {
        let _alone = alone();
        const BYTES: usize = 96 << 20;
        let before = living_devices();
        let kept = |n: usize| {
            let own = d.with_memory_limit(4 * BYTES).unwrap();
            // computing touches the memory; dropping the array puts the buffer into the device's cache
            let x = (zeros([BYTES / 4], DType::F32) + n as f32).to_device(&own).unwrap();
            assert_eq!(x.slice(cupric::s![-1]).item::<f32>().unwrap(), n as f32);
            drop(x);
            assert!(own.memory().cached >= BYTES);
            resident()
        };
        // the first device also loads what stays in the process, so it is not measured
        kept(0);
        d.trim();
        let start = resident();
        let during: Vec<_> = (1..6).map(kept).collect();
        let end = resident();
        assert_eq!(living_devices(), before);
        if let (Some(start), Some(end), Some(Some(most))) = (start, end, during.into_iter().max()) {
            assert!(most >= start + BYTES / 2, "{start} bytes before, {most} bytes while the device lived");
            assert!(end < start + BYTES / 2, "{start} bytes before, {end} bytes after");
        }
    }

    fn work_under_way_is_no_obstacle(d: &Device) {
        let _alone = alone();
        let before = living_devices();
        for _ in 0..3 {
            let own = d.with_memory_limit(256 << 20).unwrap();
            let x = zeros([1 << 20], DType::F32).to_device(&own).unwrap();
            let mut y = x.exp().eval().unwrap();
            for _ in 0..10 {
                y = (&y * 0.5 + &x).sin().eval().unwrap();
            }
            // nothing waits for this work, and some of it may not be submitted
        }
        // a graphics card keeps working, and its device lives until the work is done
        let begun = std::time::Instant::now();
        while living_devices() > before && begun.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(living_devices(), before);
    }

    fn two_devices_are_told_apart_also_one_after_the_other(d: &Device) {
        let _alone = alone();
        let mut seen = vec![];
        for limit in [1 << 20, 2 << 20, 3 << 20] {
            let own = d.with_memory_limit(limit).unwrap();
            assert!(!seen.contains(&number(&own)), "{own:?} again");
            seen.push(number(&own));
            let x = array![1., 2.].to_device(&own).unwrap();
            assert_eq!((&x + 1.0).eval().unwrap().device(), own);
            let e: Error = (&x + &array![1., 2.].to_device(d).unwrap()).eval().unwrap_err();
            assert_eq!(e.kind(), ErrorKind::DeviceMismatch);
        }
    }

    fn threads_open_and_drop_devices(d: &Device) {
        let _alone = alone();
        let before = living_devices();
        std::thread::scope(|s| {
            for t in 0..4 {
                s.spawn(move || {
                    for n in 0..5 {
                        let own = d.with_memory_limit(64 << 20).unwrap();
                        let x = array![t as f32, n as f32].to_device(&own).unwrap();
                        drop(own);
                        assert_eq!((&x * 2.0).to_vec::<f32>().unwrap(), [2.0 * t as f32, 2.0 * n as f32]);
                    }
                });
            }
        });
        assert_eq!(living_devices(), before);
    }
}

#[test]
fn a_test_device_ends_too() {
    let _alone = alone();
    let before = living_devices();
    let small = shrunk_cpu().unwrap();
    assert_eq!((small.name(), living_devices()), ("shrunk cpu", before + 1));
    drop(small);
    assert_eq!(living_devices(), before);
}

/// All available drivers compute every kind of kernel correctly, and so does the CPU.
#[test]
fn every_device_passes_its_self_test() {
    for d in Device::gpus().into_iter().chain([Device::cpu()]) {
        d.self_test().unwrap();
    }
}
