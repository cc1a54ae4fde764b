//! 100,000 evaluations on each backend: afterwards every counter, and the process's memory, is back where it was. A
//! separate program whose tests run one after the other, because memory counts for the whole process.

#[path = "../kit/mod.rs"]
mod kit;

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::alloc::{GlobalAlloc, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};

/// Resident bytes of the process; `None` if the operating system does not say.
fn resident() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<i64>().ok()? << 10)
}

/// An allocator that counts the bytes that all threads hold. Free space in the system's heap does not count.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is passed unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: the caller guarantees what `System` requires: a layout with a size that is not zero.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: std::alloc::Layout) {
        HELD.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller guarantees what `System` requires: it allocated this block with this layout.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Evaluates one expression of each of ten kinds. All results are dropped.
fn ten(d: &Device, x: &mut Array, m: &Array, i: usize) -> Result<()> {
    let y = (&*x * 0.5 + i as f32).eval()?;
    let s = (&y - y.mean(..)).square().sum(..).eval()?;
    x.assign(&*x * 0.5 + &s * 1e-9)?;
    let t = y.slice(s![..;-2]).eval()?;
    m.matmul(m).eval()?;
    m.softmax(-1).eval()?;
    let mut copy = y.clone();
    copy.set(s![3..9], 1.0)?;
    let [one, most] = eval_all([&(&t + 1.0), &copy.max(..)])?;
    drop(y);
    concat([&one, &copy], 0).eval()?;
    // an expression that carries an error
    let wrong = (&t + &copy).eval();
    assert!(wrong.is_err());
    if i.is_multiple_of(64) {
        most.item::<f32>()?;
        Array::from_vec(vec![1f32; 100], [100])?.to_device(d)?;
    }
    Ok(())
}

fn flat(d: &Device) {
    let d = own(d);
    // without poisoned memory, because poisoning makes the driver's heap grow
    testing::poison(&d, false);
    let mut stage = Stage::new(12, "leaks", &d);
    let empty = d.memory();
    {
        let mut x = put(&d, noise(1, 300), &[300]);
        let m = put(&d, noise(2, 24 * 24), &[24, 24]);
        let mut settled = None;
        let mut before = d.memory().used;
        let mut buffers = 0;
        for i in 0..10_000 {
            ten(&d, &mut x, &m, i).unwrap();
            stage.count(10);
            if i == 2000 {
                d.synchronize().unwrap();
                settled = resident();
                before = d.memory().used;
                buffers = d.stats().driver_allocations;
            }
        }
        d.synchronize().unwrap();
        assert_eq!(d.memory().used, before, "bytes in use");
        if d.is_gpu() {
            let more = d.stats().driver_allocations - buffers;
            assert!(more <= 20, "{more} buffers of the driver for 80,000 evaluations");
        }
        if let (Some(settled), Some(now)) = (settled, resident()) {
            let grown = now - settled;
            println!("{} KiB resident, {} KiB more", now >> 10, grown >> 10);
            assert!(grown.abs() < 5 << 20, "the process grew by {grown} bytes over 80,000 evaluations");
        }
        assert!(x.to_vec::<f32>().unwrap().iter().all(|v| v.is_finite()));
    }
    d.synchronize().unwrap();
    d.trim();
    let now = d.memory();
    assert_eq!((now.used, now.cached), (empty.used, 0), "bytes after everything is dropped");
}

/// Expressions, errors and plans that are dropped without an evaluation on a device.
fn planned_only() {
    let x = put(&Device::cpu(), vec![1i32; 64], &[64]);
    let round = |n: usize| {
        for i in 0..n {
            let e = (&x + i as i32).slice(s![..;2]).sum(..);
            drop(e.plan().unwrap());
            assert!((&x + &e).matmul(&x).shape().is_ok());
            drop(x.slice(s![i + 64]).eval().unwrap_err());
            drop(zeros([i % 5 + 1, 3], F32) + 1.0);
        }
    };
    round(2_000);
    let settled = resident();
    round(30_000);
    if let (Some(settled), Some(now)) = (settled, resident()) {
        assert!((now - settled).abs() < 5 << 20, "expressions left {} bytes", now - settled);
    }
}

/// Threads that start and end, each with its own caches.
fn threads(d: &Device) {
    let d = &own(d);
    testing::poison(d, false);
    let x = put(d, noise(3, 2000), &[2000]);
    let round = |n: usize| {
        for i in 0..n {
            std::thread::scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| (&x * (i as f32)).sum(..).item::<f32>().unwrap());
                }
            });
        }
    };
    round(100);
    let settled = resident();
    round(if d.is_gpu() { 200 } else { 1000 });
    if let (Some(settled), Some(now)) = (settled, resident()) {
        assert!((now - settled).abs() < 5 << 20, "threads left {} bytes", now - settled);
    }
}

/// Training steps whose derivatives pass through a checkpoint, a rule of the user's and a constant.
fn training(d: &Device) {
    let d = &own(d);
    testing::poison(d, false);
    let mut stage = Stage::new(12, "leaks of derivatives", d);
    let mut weights: Vec<Array> =
        [[16, 12], [12, 5]].into_iter().enumerate().map(|(i, s)| put(d, noise(i as u64, s[0] * s[1]), &s)).collect();
    let x = put(d, noise(9, 8 * 16), &[8, 16]);
    let labels = put(d, (0..8).map(|i| i % 5).collect::<Vec<i32>>(), &[8]);
    let mut step = || -> Result<()> {
        let hidden = checkpoint(|| x.matmul(&weights[0]).tanh());
        let hidden = with_vjp(&(&hidden * 1.0), [&hidden], |g| [g.clone()]) + hidden.stop_gradient() * 0.1;
        let loss = hidden.matmul(&weights[1]).cross_entropy(&labels).mean(..);
        let derivatives = grad_many(&loss, &weights);
        let next = weights.iter().zip(derivatives).map(|(w, g)| w - g * 0.01);
        let all: Vec<Expr> = std::iter::once(loss).chain(next).collect();
        let mut results = eval_many(&all)?;
        weights = results.split_off(1);
        Ok(())
    };
    let (warm, steps) = if d.is_gpu() { (50, 300) } else { (500, 10_000) };
    (0..warm).for_each(|_| step().unwrap());
    d.synchronize().unwrap();
    let before = (HELD.load(Relaxed), d.memory().used, d.stats().prepares);
    (0..steps).for_each(|_| step().unwrap());
    d.synchronize().unwrap();
    stage.count(steps);
    let grown = HELD.load(Relaxed) - before.0;
    // a GPU's driver keeps what it allocates for a batch, so only a CPU's memory is compared exactly
    assert!(d.is_gpu() || grown.abs() < 64 << 10, "{steps} steps left {grown} bytes");
    assert_eq!((d.memory().used, d.stats().prepares), (before.1, before.2), "bytes in use and plans of {steps} steps");
}

/// Evaluates expressions with every kind of kernel for a shape.
fn of_shape(d: &Device, n: usize, in_place: bool) -> Result<()> {
    let x = zeros([2, n], F32).eval_on(d)?;
    (&x + 1.0).sum(0).eval()?;
    (x.cumulative_sum(1) * 2.0).eval()?;
    x.sort(1).eval()?;
    x.softmax(1).eval()?;
    x.matmul(x.t()).eval()?;
    let at = zeros([3], I32).eval_on(d)?;
    eval_all([&x.take(&at, 1).exp(), &concat([&x, &x.flip(1)], 0), &x.var(0), &x.argmax(1)])?;
    let mut y = x.reshape([1, 1, 2, 1, 1, 1, 1, n]).eval()?;
    drop(x);
    y.assign(&y * 2.0 + 1.0)?;
    if in_place {
        // the same plan again, but the memory is shared, so it cannot run in place
        let _held = y.clone();
        y.assign(&y * 2.0 + 1.0)?;
    }
    Ok(())
}

/// Plans of ever new shapes take at most 64 MiB, on any number of threads, and plans of some thousand shapes stay.
#[test]
fn plans_are_bounded() {
    let _alone = ALONE.lock();
    let d = &own(&Device::cpu());
    of_shape(d, 1, true).unwrap();
    d.trim();
    let (empty, before) = (HELD.load(Relaxed), resident());
    let holds = |what: &str| {
        d.trim();
        let taken = HELD.load(Relaxed) - empty;
        let resident = resident().zip(before).map(|(now, before)| (now - before) >> 20);
        println!("{what}: {} KiB, {resident:?} MiB resident", taken >> 10);
        assert!(taken < 64 << 20, "{what}: plans take {} KiB", taken >> 10);
    };
    let few = || (2..802).for_each(|n| of_shape(d, n, false).unwrap());
    few();
    let before = d.stats().prepares;
    few();
    assert_eq!(d.stats().prepares, before, "plans of 800 shapes were dropped");
    (802..6000).for_each(|n| of_shape(d, n, n % 2 == 0).unwrap());
    holds("one thread");
    std::thread::scope(|s| {
        for thread in 0..8 {
            s.spawn(move || (0..1000).for_each(|n| of_shape(d, 6000 + 1000 * thread + n, n % 2 == 0).unwrap()));
        }
    });
    holds("eight threads");
    // idle threads do not keep plans alive that other threads have dropped
    let (ready, go) = (Barrier::new(9), Barrier::new(9));
    std::thread::scope(|s| {
        for thread in 0..8 {
            let (ready, go) = (&ready, &go);
            s.spawn(move || {
                (0..300).for_each(|n| of_shape(d, 14_000 + 300 * thread + n, false).unwrap());
                ready.wait();
                go.wait();
            });
        }
        ready.wait();
        (17_000..20_000).for_each(|n| of_shape(d, n, false).unwrap());
        holds("beside threads that wait");
        go.wait();
    });
}

/// Tests hold this, so that only one of them uses memory at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn memory_is_flat() {
    let _alone = ALONE.lock();
    let cpu = Device::cpu();
    flat(&cpu);
    planned_only();
    threads(&cpu);
    training(&cpu);
    if let Some(d) = gpu(1) {
        flat(&d);
        threads(&d);
        training(&d);
    }
}
