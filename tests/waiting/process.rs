//! Tests of a process: the first opening of a GPU, its exit and threads; and executors that misbehave. Some tests run
//! this program again as a child.

use super::*;
use std::process::Command;

/// Runs one test of this program in a child process, with environment variables. It must succeed within the time limit.
#[track_caller]
fn in_child(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &test_name(module_path!(), test), "--nocapture"]);
    command.env("CUPRIC_CHILD", "1").envs(variables.iter().copied());
    let start = Instant::now();
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    assert!(output.status.success(), "{test}: {}\n{text}", output.status);
    assert!(start.elapsed() < LONG, "{test}: {:?}", start.elapsed());
}

fn is_child() -> bool {
    std::env::var_os("CUPRIC_CHILD").is_some()
}

/// Blocking callers and futures race to open the first GPU: all get the same device, and other futures still run.
#[test]
fn openings_that_race() {
    if !is_child() {
        ["futures", "blocking", "both", "dropped"]
            .iter()
            .for_each(|way| in_child("openings_that_race", &[("CUPRIC_WAY", way)]));
        return;
    }
    let way = std::env::var("CUPRIC_WAY").unwrap();
    let (before, start) = (living_devices(), std::sync::Barrier::new(6));
    if way == "dropped" {
        let mut opening = Box::pin(Device::gpu_async());
        drop(Device::gpu_async());
        let first = poll_once(&mut opening);
        // without GPU support the future is ready at once
        assert!(first.is_pending() || cfg!(not(feature = "gpu")));
    }
    let opened: Vec<Option<Device>> = std::thread::scope(|s| {
        let open = |n: usize| {
            start.wait();
            let device = match (way.as_str(), n % 2) {
                ("blocking", _) | ("both" | "dropped", 0) => Device::gpu(),
                (_, 1) => block_on(Device::gpu_async()),
                _ => {
                    let (device, turns) = pollster::block_on(turns_beside(Device::gpu_async()));
                    // opening a device takes some time, in which other futures run
                    assert!(turns > 1 || cfg!(not(feature = "gpu")), "{turns} turns");
                    device
                }
            };
            device.map_err(|e| assert_eq!(e.kind(), ErrorKind::DeviceNotFound, "{e}")).ok()
        };
        let threads: Vec<_> = (0..6).map(|n| s.spawn(move || open(n))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(opened.iter().all(|d| *d == opened[0]));
    assert_eq!(living_devices(), before + opened[0].is_some() as usize, "devices");
    let again = block_on(Device::gpu_async()).ok();
    assert_eq!(again, opened[0]);
    // if the GPU is open already, the first poll returns it
    if let Some(d) = again {
        assert!(poll_once(&mut Box::pin(Device::gpu_async())).is_ready());
        assert_eq!(block_on(array![1., 2.].to_device(&d).unwrap().sum(..).item_async::<f32>()).unwrap(), 3.0);
    }
}

/// The process exits while futures wait, or while a device is being opened.
#[test]
fn the_process_ends_meanwhile() {
    if !is_child() {
        for way in ["opening", "waiting", "waiting on a thread", "returning"] {
            in_child("the_process_ends_meanwhile", &[("CUPRIC_WAY", way)]);
        }
        return;
    }
    let way = std::env::var("CUPRIC_WAY").unwrap();
    if way == "opening" {
        let mut opening = Box::pin(Device::gpu_async());
        let _ = poll_once(&mut opening);
        std::thread::sleep(Duration::from_millis(5));
        std::process::exit(0);
    }
    let Some(d) = gpu(1) else { return };
    let (x, kernels) = busy(&d);
    let read = chain(&x, kernels).to_vec_async::<f32>();
    if way == "waiting on a thread" {
        std::thread::spawn(move || drop(block_on(read)));
        std::thread::sleep(Duration::from_millis(20));
        std::process::exit(0);
    }
    let mut read = Box::pin(read);
    assert!(poll_once(&mut read).is_pending());
    if way == "waiting" {
        std::process::exit(0);
    }
    std::mem::forget(read);
}

/// Prints how long a 4 KiB read takes, for a blocking caller and for a future. No time is checked.
#[test]
fn the_time_of_a_small_read() {
    let Some(d) = gpu(1) else { return };
    let x = put(&d, noise(1, 1024), &[1024]);
    let time = |read: &dyn Fn() -> Vec<f32>| {
        let mut times: Vec<Duration> =
            (0..500).map(|_| Instant::now()).map(|start| (read(), start.elapsed()).1).collect();
        times.sort();
        times[times.len() / 2]
    };
    let blocking = time(&|| x.to_vec().unwrap());
    let future = time(&|| block_on(x.to_vec_async()).unwrap());
    println!("4 KiB: {blocking:?} by a caller that blocks, {future:?} by a future");
}

/// The number of this process's threads whose name starts with `name`, if the system tells.
fn threads_named(name: &str) -> usize {
    let Ok(all) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names = all.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.starts_with(name)).count()
}

/// A blocking caller needs no thread. The futures of a device share one thread, which ends when they are done.
#[cfg(target_os = "linux")]
#[test]
fn one_thread_polls_for_all_futures() {
    if !is_child() {
        return in_child("one_thread_polls_for_all_futures", &[]);
    }
    let Some(d) = gpu(1) else { return };
    let (x, kernels) = busy(&d);
    d.synchronize().unwrap();
    x.sum(..).item::<f32>().unwrap();
    assert_eq!(threads_named("cupric"), 0, "a caller that blocks has started a thread");
    let y = chain(&x, kernels);
    let most = AtomicUsize::new(0);
    let look = async |mut read: Pin<Box<dyn Future<Output = Result<f32>> + Send>>| {
        let first = poll_once(&mut read);
        // a new thread gets its name only when it runs
        std::thread::sleep(Duration::from_millis(10));
        most.fetch_max(threads_named("cupric"), SeqCst);
        // a fast software driver may already be done, so the first poll may be ready
        if let Poll::Ready(item) = first { item } else { read.await }
    };
    let reads: Vec<_> = (0..4).map(|_| chain(&x, kernels).sum(..).item_async::<f32>()).collect();
    let all = block_on(join_all(reads.into_iter().map(|read| look(Box::pin(read)))));
    assert!(all.iter().all(|item| item.as_ref().unwrap() == all[0].as_ref().unwrap()));
    assert_eq!(most.into_inner(), 1, "threads that poll");
    let start = Instant::now();
    while threads_named("cupric") > 0 {
        assert!(start.elapsed() < LONG, "the thread stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    // after the thread has ended, a new future starts another one
    assert_eq!(block_on(y.sum(..).item_async::<f32>()).unwrap(), *all[0].as_ref().unwrap());
}

/// The future of a device that makes no progress ends with an error.
#[test]
fn a_future_times_out() {
    if !is_child() {
        return in_child("a_future_times_out", &[("CUPRIC_TIMEOUT", "0.0005")]);
    }
    let Some(d) = gpu(1) else { return };
    let x = put(&d, noise(1, 1 << 18), &[1 << 18]);
    // the first run may compile kernels, for which the library waits longer
    let mut kernels = 1;
    let timed_out = loop {
        let y = chain(&x, kernels);
        let _ = d.synchronize();
        let z = chain(&y, kernels);
        let started = Instant::now();
        match drive(z.to_vec_async::<f32>()).0 {
            Err(e) => break e,
            Ok(_) => assert!(started.elapsed() < LONG && kernels < 60, "no time-out with {kernels} kernels"),
        }
        kernels = (kernels * 2).min(60);
    };
    assert_eq!(timed_out.kind(), ErrorKind::Timeout, "{timed_out}");
    assert!(timed_out.to_string().contains("CUPRIC_TIMEOUT") && timed_out.location().is_some(), "{timed_out}");
}

/// Wakers that poll or drop the future immediately, on the thread that wakes.
#[test]
fn wakers_that_drop_or_panic() {
    let Some(d) = gpu(1) else { return };
    let (x, kernels) = busy(&d);
    type Read = Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send>>;
    struct Drops(Mutex<Option<Read>>, bool, AtomicUsize);
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            self.2.fetch_add(1, SeqCst);
            assert!(!self.1, "planned by a test");
        }
    }
    for panics in [false, true] {
        let last = own(&d);
        let moved = x.to_device(&last).unwrap();
        let mut read: Read = Box::pin(chain(&moved, kernels).to_vec_async::<f32>());
        let task = Arc::new(Drops(Mutex::new(None), panics, AtomicUsize::new(0)));
        let waker = Waker::from(task.clone());
        // the future holds the last handle on its device, so the device ends within the waker
        drop((last, moved));
        let mut place = task.0.lock().unwrap();
        if read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            *place = Some(read);
            drop(place);
            let start = Instant::now();
            while task.2.load(SeqCst) == 0 {
                assert!(start.elapsed() < LONG, "never woken");
                std::thread::yield_now();
            }
        }
    }
    assert!(block_on(chain(&x, 1).to_vec_async::<f32>()).is_ok());
}

#[test]
fn futures_can_be_sent_and_kept() {
    fn is_send<T: Send + 'static>(future: T) -> T {
        future
    }
    let x = array![1., 2.].eval().unwrap();
    let all = (is_send(x.to_vec_async::<f32>()), is_send(x.sum(..).item_async::<f32>()), is_send(Device::gpu_async()));
    let kept = Rc::new(is_send(Device::cpu().synchronize_async()));
    drop((x, all.2, kept));
    assert_eq!((block_on(all.0).unwrap(), block_on(all.1).unwrap()), (vec![1.0, 2.0], 3.0));
}
