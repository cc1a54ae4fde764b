//! The library after `fork`: the child has only one thread. This is a separate process with a single test, so that no
//! other thread holds a lock when it forks.
#![cfg(target_os = "linux")]

#[path = "../kit/mod.rs"]
mod kit;

use crate::kit::*;
use cupric::*;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

// functions of the C library, which std links
unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
    fn _exit(code: i32) -> !;
}

/// How a child ends.
#[derive(PartialEq)]
enum End {
    AtOnce,
    /// Like the end of `main`, with the exit handlers that drivers have registered.
    Exit,
}

/// Runs `f` in a child process, and asserts that it ends without an error within 60 s.
#[track_caller]
fn in_child(end: End, f: impl FnOnce()) {
    // SAFETY: no other thread of this process holds a lock now, and the child runs only `f` and exits.
    let child = unsafe { fork() };
    assert!(child >= 0);
    if child == 0 {
        let code = std::panic::catch_unwind(AssertUnwindSafe(f)).is_err() as i32;
        if end == End::Exit {
            std::process::exit(code);
        }
        // SAFETY: `_exit` only ends the process.
        unsafe { _exit(code) }
    }
    let (begun, mut status) = (Instant::now(), 0);
    // SAFETY: `child` is a child of this process and `status` is a valid pointer; 1 is WNOHANG.
    while unsafe { waitpid(child, &mut status, 1) } == 0 {
        if begun.elapsed() > Duration::from_secs(60) {
            // SAFETY: `child` is a child of this process that has not been reaped, so the id is still its own.
            unsafe { kill(child, 9) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(status, 0, "the child's status");
}

struct Work {
    x: Array,
    m: Array,
}

impl Work {
    /// Sums, rows, products of floats and integers, elementwise kernels: each is large enough to use many threads.
    fn run(&self) -> Vec<Vec<u32>> {
        let bits = |e: Expr| e.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect();
        let i = (&self.m * 9.0).astype(DType::I32);
        vec![
            bits(self.x.sum(..)),
            bits(self.x.exp().sin() + 1.0),
            bits(self.x.reshape([1024, 1024]).softmax(-1).max(0)),
            bits(self.m.matmul(&self.m)),
            bits(i.matmul(&i).astype(DType::F32)),
            bits(self.m.matmul(self.x.slice(s![..300]))),
            bits((self.x.abs() * 1000.0).astype(DType::I32).bincount(1001).astype(DType::F32)),
        ]
    }
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn a_child_computes_what_its_parent_does() {
    rayon::ThreadPoolBuilder::new().num_threads(4).build_global().unwrap();
    let work = &Work {
        x: Array::from_vec(noise(1, 1 << 20), [1 << 20]).unwrap(),
        m: Array::from_vec(noise(2, 90_000), [300, 300]).unwrap(),
    };
    println!("the pool was made, and nothing has used it yet");
    let alone = pool(1).install(|| work.run());
    in_child(End::AtOnce, || assert!(work.run() == alone));
    println!("the pool was used");
    assert!(work.run() == alone);
    in_child(End::AtOnce, || assert!(work.run() == alone));
    in_child(End::Exit, || assert!(work.run() == alone));
    println!("a thread of the child's own");
    in_child(End::AtOnce, || std::thread::scope(|s| s.spawn(|| assert!(work.run() == alone)).join().unwrap()));
    println!("a pool of the child's own");
    in_child(End::AtOnce, || {
        assert!(work.run() == alone);
        assert!(pool(3).install(|| work.run()) == alone);
    });
    println!("a child's child");
    in_child(End::AtOnce, || {
        let own = pool(2);
        assert!(own.install(|| work.run()) == alone);
        in_child(End::AtOnce, || assert!(work.run() == alone));
    });
    println!("from a thread of a pool");
    let parents = pool(3);
    parents.install(|| in_child(End::AtOnce, || assert!(work.run() == alone)));
    parents.install(|| assert!(work.run() == alone));
    parents.install(|| in_child(End::AtOnce, || assert!(work.run() == alone)));
    #[cfg(feature = "gpu")]
    if let Some(d) = gpu(1) {
        on_a_gpu(&d, work, &alone);
    }
    assert!(work.run() == alone);
}

#[cfg(feature = "gpu")]
fn on_a_gpu(d: &Device, work: &Work, alone: &[Vec<u32>]) {
    let x = work.x.to_device(d).unwrap();
    let sum = x.sum(..).to_vec::<f32>().unwrap();
    let waiting = (&x + 1.0).eval().unwrap();
    let lost = |e: Error| {
        assert_eq!(e.kind(), ErrorKind::DeviceLost, "{e}");
        assert!(e.to_string().contains("fork"), "{e}");
    };
    let own = d.with_memory_limit(64 << 20).unwrap();
    let z = (zeros([1 << 16], DType::F32).to_device(&own).unwrap() + 1.0).exp2().eval().unwrap();
    let ends = std::cell::Cell::new(Some((own, z)));
    // futures that a thread of the parent completes: one was never polled, one has stored its waker
    let (read, mut polled) = (x.to_vec_async::<f32>(), Box::pin(d.synchronize_async()));
    let _ = polled.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    d.synchronize().unwrap();
    // until that thread is idle
    std::thread::sleep(Duration::from_millis(20));
    let futures = std::cell::Cell::new(Some((read, polled)));
    for end in [End::AtOnce, End::Exit] {
        let polls = end == End::AtOnce;
        in_child(end, || {
            if let Some((read, polled)) = futures.take()
                && polls
            {
                lost(pollster::block_on(read).unwrap_err());
                lost(pollster::block_on(polled).unwrap_err());
            }
            lost(pollster::block_on(x.sum(..).item_async::<f32>()).unwrap_err());
            lost(pollster::block_on(Device::gpu_async()).unwrap_err());
            // drops the last handle of a device whose driver has no threads in the child
            drop(ends.take());
            lost((&x * 2.0).eval().unwrap_err());
            lost(x.to_vec::<f32>().unwrap_err());
            lost(work.m.to_device(d).unwrap_err());
            lost(d.synchronize().unwrap_err());
            lost(d.time_kernels(|| Ok(())).unwrap_err());
            lost(x.clone().fill(1).unwrap_err());
            lost(Device::gpu().unwrap_err());
            lost(d.with_memory_limit(1 << 20).unwrap_err());
            assert!(format!("{x}").contains("fork") && Device::gpus().is_empty());
            d.trim();
            assert!(d.memory().used > 0 && d.stats().kernels > 0);
            drop(waiting.clone());
            assert!(!Device::best().unwrap().is_gpu());
            assert!(work.run() == *alone);
        });
    }
    // the parent's futures complete
    let (read, polled) = futures.take().expect("only the children's are gone");
    pollster::block_on(polled).unwrap();
    assert_eq!(pollster::block_on(read).unwrap(), x.to_vec::<f32>().unwrap());
    let (own, z) = ends.take().expect("only the children's is gone");
    assert_eq!((z.device(), z.slice(s![-1]).item::<f32>().unwrap()), (own, 2.0));
    assert_eq!(x.sum(..).to_vec::<f32>().unwrap(), sum);
    assert_eq!(
        waiting.slice(s![..1]).to_vec::<f32>().unwrap()[0],
        work.x.slice(s![..1]).to_vec::<f32>().unwrap()[0] + 1.0
    );
}
