//! 100,000 evaluations on each backend: every counter comes back to where it was, and so does the process's memory. A
//! program of its own, one test after the other, so that nobody else's memory counts.

mod kit;

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// Bytes of the process in memory; `None` where the system does not say.
fn resident() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<i64>().ok()? << 10)
}

/// One evaluation of each of ten kinds; nothing of it stays.
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
    // an error on the way
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
    // what fills memory for tests has the driver's heap grow by itself
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

/// Expressions, errors and plans that no device sees the end of.
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

/// Threads that come and go with caches of their own.
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

#[test]
fn memory_is_flat() {
    let cpu = Device::cpu();
    flat(&cpu);
    planned_only();
    threads(&cpu);
    if let Some(d) = gpu(1) {
        flat(&d);
        threads(&d);
    }
}
