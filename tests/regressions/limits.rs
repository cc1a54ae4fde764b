//! How much memory a device with a limit may hold.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The bytes that the device holds, in use or cached.
fn held(d: &Device) -> usize {
    let m = d.memory();
    m.used + m.cached
}

fn bytes(d: &Device, n: usize) -> Result<Array> {
    zeros([n], U8).to_device(d)
}

fn out_of_memory(result: Result<Array>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::OutOfMemory);
}

on_devices! {

fn what_is_cached_counts(d: &Device) {
    // sizes that are rounded up, where no cached buffer fits a later one
    let limit = 100 << 20;
    let d = d.with_memory_limit(limit).unwrap();
    for n in [33 << 20, 50 << 20, 49 << 20, 66 << 20, 97 << 20, 13 << 20, 7 << 20, 25 << 20] {
        let x = bytes(&d, n + 3).unwrap();
        assert!(held(&d) <= limit, "{:?} with {n}", d.memory());
        let y = bytes(&d, (limit - d.memory().used) / 2).unwrap();
        assert!(held(&d) <= limit, "{:?} with two", d.memory());
        drop((x, y));
        assert!(held(&d) <= limit, "{:?} after {n}", d.memory());
    }
    let m = d.memory();
    assert!(m.used == 0 && m.cached > 0 && m.peak <= limit, "{m:?}");
    d.trim();
    assert_eq!(held(&d), 0);
}

fn a_limit_is_used_to_its_last_byte(d: &Device) {
    for limit in [64usize, 256, 4096, 65_532, 65_536, 100_004, 1 << 20, (1 << 20) + 4, 9 << 20, (9 << 20) - 60] {
        let d = d.with_memory_limit(limit).unwrap();
        out_of_memory(bytes(&d, limit + 4));
        for _ in 0..3 {
            let all = bytes(&d, limit).unwrap();
            assert_eq!((d.memory().used, d.memory().limit), (limit, Some(limit)));
            // now not even a small array fits
            out_of_memory(bytes(&d, 4));
            out_of_memory(bytes(&d, 64));
            drop(all);
            assert!(held(&d) <= limit);
        }
        // two arrays that together fill the limit
        let part = bytes(&d, limit / 2).unwrap();
        let rest = limit - d.memory().used;
        let kept = if rest == 0 { None } else { Some(bytes(&d, rest).unwrap()) };
        assert_eq!(d.memory().used, limit);
        out_of_memory(bytes(&d, 4));
        drop((part, kept));
        assert_eq!((d.memory().used, d.memory().peak), (0, limit));
    }
    // a limit of 0 allows only arrays without bytes
    let d = d.with_memory_limit(0).unwrap();
    out_of_memory(bytes(&d, 1));
}

fn what_is_cached_goes_first(d: &Device) {
    let limit = 10 << 20;
    let d = d.with_memory_limit(limit).unwrap();
    // all memory that is not in use is available, even if it is cached in buffers of other sizes
    let mut dice = Dice::new(5);
    let mut live: Vec<Array> = vec![];
    for _ in 0..400 {
        let n = match dice.below(3) {
            0 => dice.below(500),
            1 => dice.below(300_000),
            _ => dice.below(6 << 20),
        } / 4 * 4;
        // a small array takes 64 bytes
        let fits = d.memory().used + n.max(64) <= limit;
        match bytes(&d, n) {
            Ok(x) => live.push(x),
            Err(e) => assert!(!fits && e.kind() == ErrorKind::OutOfMemory, "{n} of {:?}: {e}", d.memory()),
        }
        assert!(held(&d) <= limit, "{:?}", d.memory());
        if dice.one_in(2) && !live.is_empty() {
            live.swap_remove(dice.below(live.len()));
        }
    }
    drop(live);
    // a loop whose buffers fit allocates nothing from the system
    let mut x = bytes(&d, 4 << 20).unwrap();
    for round in 0..20 {
        let before = d.stats().driver_allocations;
        x = (&x + 1u8).eval().unwrap();
        assert!(round < 3 || d.stats().driver_allocations == before);
    }
    same(&x.slice(s![..3]), &[20u8; 3]);
}

fn threads_keep_to_the_limit(d: &Device) {
    let limit = 3 << 20;
    let d = &d.with_memory_limit(limit).unwrap();
    let done = &AtomicBool::new(false);
    let rounds = if d.is_gpu() { 60 } else { 2000 };
    std::thread::scope(|s| {
        let watch = s.spawn(move || {
            let mut most = 0;
            while !done.load(Relaxed) {
                most = most.max(held(d));
                std::thread::yield_now();
            }
            most
        });
        let work: Vec<_> = (0..6).map(|t| s.spawn(move || {
            let mut dice = Dice::new(t);
            let mut live: Vec<Array> = vec![];
            let mut refused = 0;
            for _ in 0..rounds {
                let most = if dice.one_in(2) { 600_000 } else { 3000 };
                let n = dice.below(most);
                match bytes(d, n) {
                    Ok(x) => live.push(x),
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
                        refused += 1;
                    }
                }
                if live.len() > 3 || dice.one_in(3) && !live.is_empty() {
                    live.swap_remove(dice.below(live.len()));
                }
            }
            refused
        })).collect();
        let refused: usize = work.into_iter().map(|w| w.join().unwrap()).sum();
        done.store(true, Relaxed);
        let most = watch.join().unwrap();
        assert!(refused > 0 && most <= limit, "{refused} refused, at most {most} of {limit}");
    });
    d.synchronize().unwrap();
    let m = d.memory();
    assert!(m.used == 0 && m.cached <= limit && m.peak <= limit, "{m:?}");
}

fn reading_back_keeps_to_the_limit(d: &Device) {
    let limit = 3 << 20;
    let d = d.with_memory_limit(limit).unwrap();
    let x = zeros([(5 << 20) / 8], F32).to_device(&d).unwrap();
    for n in [x.size(), x.size() / 2, x.size() / 3, x.size()] {
        assert_eq!(x.slice(s![..n]).to_vec::<f32>().unwrap().len(), n);
        assert!(held(&d) <= limit, "{:?}", d.memory());
    }
}
}
