//! The async functions: no poll waits for a device, in any executor; futures are woken; dropping one affects nothing
//! else. A separate program, because some tests run it again as a child for a first opening, an exit, or threads.

#[path = "../kit/mod.rs"]
mod kit;
mod process;

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::testing::{destroy, living_devices};
use cupric::*;
use futures::executor::{LocalPool, block_on};
use futures::future::{FutureExt, join, join_all, poll_fn};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::task::{LocalSpawnExt, noop_waker};
use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A time limit that is only exceeded if the machine hangs.
const LONG: Duration = Duration::from_secs(60);

/// A chain of kernels, each of which reads the previous one's result. Nothing is submitted before the chain is read.
fn chain(x: &Array, kernels: usize) -> Array {
    (0..kernels).fold(x.clone(), |y, _| (&*y * 1.0).sin().exp().eval().unwrap())
}

/// An array, and the length of a chain of kernels that keeps a GPU busy for a while. The kernels are compiled.
fn busy(d: &Device) -> (Array, usize) {
    let x = put(d, noise(1, 1 << 18), &[1 << 18]);
    let mut kernels = 1;
    loop {
        let y = chain(&x, kernels);
        let start = Instant::now();
        y.to_vec::<f32>().unwrap();
        y.sum(..).item::<f32>().unwrap();
        // a batch of 64 or more kernels would be submitted before the read
        if start.elapsed() > Duration::from_millis(200) || kernels == 32 {
            return (x, kernels);
        }
        kernels *= 2;
    }
}

/// A waker that counts wakes, and lets a thread wait for one.
#[derive(Default)]
struct Wakes {
    count: Mutex<usize>,
    woken: Condvar,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        *self.count.lock().unwrap() += 1;
        self.woken.notify_all();
    }
}

impl Wakes {
    fn count(&self) -> usize {
        *self.count.lock().unwrap()
    }

    /// Waits until there were more than `before` wakes.
    fn after(&self, before: usize) {
        let count = self.count.lock().unwrap();
        let (_count, timeout) = self.woken.wait_timeout_while(count, LONG, |count| *count <= before).unwrap();
        assert!(!timeout.timed_out(), "the future is never woken");
    }
}

/// Polls a future only when it is woken. Returns its output and the number of polls.
fn drive<F: Future>(future: F) -> (F::Output, usize) {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut future = pin!(future);
    let mut polls = 0;
    loop {
        let before = wakes.count();
        polls += 1;
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return (output, polls);
        }
        wakes.after(before);
    }
}

/// Polls a future once, with a waker that does nothing.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&noop_waker()))
}

/// Polls a future `times` times, or until it is ready.
fn poll_times<F: Future + Unpin>(future: &mut F, times: usize) -> Poll<F::Output> {
    for _ in 1..times {
        if let Poll::Ready(output) = poll_once(future) {
            return Poll::Ready(output);
        }
    }
    if times > 0 { poll_once(future) } else { Poll::Pending }
}

/// Polls a future once, with a waker that counts.
fn poll_with<F: Future + Unpin>(future: &mut F, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    let waker = Waker::from(wakes.clone());
    Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Lets the executor's other futures run once.
async fn turn() {
    let mut first = true;
    poll_fn(move |context| {
        context.waker().wake_by_ref();
        if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await
}

/// How often another future on the same thread runs before this one is ready.
async fn turns_beside<F: Future>(future: F) -> (F::Output, usize) {
    let done = Cell::new(false);
    let beside = async {
        let mut turns = 0;
        while !done.get() {
            turns += 1;
            turn().await;
        }
        turns
    };
    let future = async {
        let output = future.await;
        done.set(true);
        output
    };
    join(future, beside).await
}

on_devices! {

fn every_executor_gets_the_results(d: &Device) {
    let mut stage = Stage::new(11, "async twins", d);
    let x = put(d, noise(1, 1000), &[1000]);
    let (y, sum) = (&x * 2.0 + 1.0, x.sum(..));
    let (want, total) = (y.to_vec::<f32>().unwrap(), sum.item::<f32>().unwrap());
    let all = || {
        let (y, sum, d) = (y.clone(), sum.clone(), d.clone());
        async move {
            let (elements, item, end) = (y.to_vec_async::<f32>(), sum.item_async::<f32>(), d.synchronize_async());
            end.await.unwrap();
            (elements.await.unwrap(), item.await.unwrap(), Device::gpu_async().await.is_ok())
        }
    };
    let want = (want, total, Device::gpu().is_ok());
    assert_eq!(block_on(all()), want, "futures");
    assert_eq!(pollster::block_on(all()), want, "pollster");
    assert_eq!(drive(all()).0, want, "an executor that polls only when it is woken");
    let mut pool = LocalPool::new();
    let handles: Vec<_> = (0..3).map(|_| pool.spawner().spawn_local_with_handle(all()).unwrap()).collect();
    assert_eq!(pool.run_until(join_all(handles)), [want.clone(), want.clone(), want.clone()], "LocalPool");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(all()), want, "tokio");
    let tasks: Vec<_> = (0..3).map(|_| runtime.spawn(all())).collect();
    runtime.block_on(async {
        for task in tasks {
            assert_eq!(task.await.unwrap(), want, "a task of tokio");
        }
    });
    stage.count(5);
}

fn another_future_of_the_thread_goes_on(d: &Device) {
    let mut stage = Stage::new(11, "async twins", d);
    let (x, kernels) = busy(d);
    let want = chain(&x, kernels).to_vec::<f32>().unwrap();
    let look = |turns: usize, what: &str| {
        println!("{turns} turns beside {what}");
        // a turn takes less than 1 µs, and the chain takes 200 ms on the machine for which it was chosen
        assert!(!d.is_gpu() || turns >= 1000, "{turns} turns beside {what}");
    };
    let (got, turns) = block_on(turns_beside(chain(&x, kernels).to_vec_async::<f32>()));
    assert!(got.unwrap() == want);
    look(turns, "a read");
    let y = chain(&x, kernels);
    let (end, turns) = pollster::block_on(turns_beside(d.synchronize_async()));
    end.unwrap();
    look(turns, "a wait");
    assert!(y.to_vec::<f32>().unwrap() == want);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (got, turns) = runtime.block_on(turns_beside(chain(&x, kernels).sum(..).item_async::<f32>()));
    assert_eq!(got.unwrap(), y.sum(..).item::<f32>().unwrap());
    look(turns, "an item");
    stage.count(3);
}

fn a_future_is_polled_when_it_is_ready(d: &Device) {
    let (x, kernels) = busy(d);
    let want = chain(&x, kernels).to_vec::<f32>().unwrap();
    let (got, polls) = drive(chain(&x, kernels).to_vec_async::<f32>());
    assert!(got.unwrap() == want);
    assert!(polls <= 2, "{polls} polls of a read");
    let y = chain(&x, kernels);
    let (end, polls) = drive(d.synchronize_async());
    end.unwrap();
    assert!(polls <= 2, "{polls} polls of a wait");
    drop(y);
}

fn a_read_of_several_pieces(d: &Device) {
    // data is read in pieces of 16 MiB
    let n: i32 = (40 << 20) / 4;
    let x = arange(0, n, 1, DType::I32).to_device(d).unwrap();
    let (got, polls) = drive(x.to_vec_async::<i32>());
    assert!(got.unwrap().into_iter().eq(0..n));
    // three pieces: one poll to begin each, one when it arrived, and two after a thread submitted the next
    assert!(polls <= 8, "{polls} polls");
    let (got, turns) = block_on(turns_beside(x.slice(s![1..]).to_vec_async::<i32>()));
    assert!(got.unwrap().into_iter().eq(1..n));
    println!("{turns} turns beside a read of several pieces");
    // dropped after each number of polls
    for polls in 0..4 {
        let mut read = Box::pin(x.to_vec_async::<i32>());
        let pause = |read: &mut _| {
            std::thread::sleep(Duration::from_millis(20));
            poll_once(read)
        };
        let _ = (0..polls).map(|_| pause(&mut read)).find(|done| done.is_ready());
    }
    assert_eq!(x.slice(s![-1]).item::<i32>().unwrap(), n - 1);
}

fn many_futures_at_once(d: &Device) {
    let mut stage = Stage::new(11, "async twins", d);
    let x = put(d, noise(1, 64), &[64]);
    let reads = |n: usize| (0..n).map(|i| (&x * i as f32).to_vec_async::<f32>());
    let want = |i: usize| (&x * i as f32).to_vec::<f32>().unwrap();
    let all = block_on(join_all(reads(500)));
    for (i, got) in all.into_iter().enumerate() {
        assert_eq!(got.unwrap(), want(i));
    }
    // reads on several threads end in any order
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let reads: FuturesUnordered<_> =
                    reads(100).enumerate().map(|(i, read)| async move { (i, read.await.unwrap()) }).collect();
                let all: Vec<_> = block_on(reads.collect());
                assert_eq!(all.len(), 100);
                all.into_iter().for_each(|(i, got)| assert_eq!(got, want(i)));
            });
        }
        // a blocking caller at the same time
        (0..100).for_each(|i| assert_eq!(want(i).len(), 64));
    });
    stage.count(900);
}

fn a_future_moves_between_threads(d: &Device) {
    let (x, kernels) = busy(d);
    let want = chain(&x, kernels).to_vec::<f32>().unwrap();
    // created on this thread, polled on another
    let read = chain(&x, kernels).to_vec_async::<f32>();
    assert!(std::thread::spawn(move || drive(read).0).join().unwrap().unwrap() == want);
    // polled once here, then on another thread with another waker: the last waker is woken
    for _ in 0..3 {
        let mut read = Box::pin(chain(&x, kernels).to_vec_async::<f32>());
        let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        let mut done = poll_with(&mut read, &first);
        if done.is_pending() {
            done = std::thread::scope(|s| s.spawn(|| poll_with(&mut read, &second)).join().unwrap());
        }
        if done.is_pending() {
            second.after(0);
            done = poll_with(&mut read, &first);
            assert_eq!(first.count(), 0, "the waker of an earlier poll is woken");
        }
        match done {
            Poll::Ready(got) => assert!(got.unwrap() == want),
            Poll::Pending => panic!("woken, but not ready"),
        }
        // the waking thread drops the waker only afterwards
        let start = Instant::now();
        while Arc::strong_count(&second) > 1 {
            assert!(start.elapsed() < LONG, "a waker is kept");
            std::thread::yield_now();
        }
    }
}

fn dropped_futures_leave_nothing(d: &Device) {
    let (x, kernels) = busy(d);
    let d = own(d);
    let x = x.to_device(&d).unwrap();
    let want = x.sum(..).item::<f32>().unwrap();
    let used = d.memory().used;
    for polls in 0..3 {
        for _ in 0..10 {
            let y = chain(&x, kernels.div_ceil(8));
            let (mut read, mut wait) = (Box::pin(y.to_vec_async::<f32>()), Box::pin(d.synchronize_async()));
            drop(y);
            let _ = (poll_times(&mut read, polls), poll_times(&mut wait, polls));
        }
    }
    d.synchronize().unwrap();
    assert_eq!(d.memory().used, used, "bytes that dropped futures have left");
    assert_eq!(block_on(x.sum(..).item_async::<f32>()).unwrap(), want);
    // only the future still holds the device
    let before = living_devices();
    let last = own(&d);
    let y = (&x * 2.0).to_device(&last).unwrap();
    let (read, dropped) = (y.to_vec_async::<f32>(), y.to_vec_async::<f32>());
    let mut dropped = Box::pin(dropped);
    let _ = poll_once(&mut dropped);
    drop((last, y));
    drop(dropped);
    assert_eq!(block_on(read).unwrap(), (&x * 2.0).to_vec::<f32>().unwrap());
    // devices of other tests, which run at the same time, count too
    let start = Instant::now();
    while living_devices() > before {
        assert!(start.elapsed() < LONG, "the device is kept");
        std::thread::yield_now();
    }
}

fn a_late_error_outlives_a_dropped_future(d: &Device) {
    let mut stage = Stage::new(11, "async twins: late errors", d);
    let x = put(d, vec![1i32, 2, 3], &[3]);
    let bad = || x.take(put(d, vec![0i32, 7], &[2]), 0).eval();
    if !d.is_gpu() {
        assert_eq!(bad().unwrap_err().kind(), ErrorKind::Index);
        return;
    }
    let pending = Cell::new(0);
    // drops both futures; a future that is ready with the error returns it, otherwise the error must remain
    let given_up = |polls: usize| {
        let (mut read, mut wait) = (Box::pin(x.to_vec_async::<i32>()), Box::pin(d.synchronize_async()));
        let (read, wait) = (poll_times(&mut read, polls).map(|r| r.err()), poll_times(&mut wait, polls).map(|r| r.err()));
        pending.set(pending.get() + (read.is_pending() as usize));
        [read, wait].into_iter().find_map(|end| if let Poll::Ready(Some(e)) = end { Some(e) } else { None })
    };
    let ends: [fn(&Device, &Array) -> Result<()>; 6] = [
        |_, x| x.to_vec::<i32>().map(drop),
        |d, _| d.synchronize(),
        |_, x| block_on(x.to_vec_async::<i32>()).map(drop),
        |d, _| block_on(d.synchronize_async()),
        |_, x| block_on(x.slice(s![0]).item_async::<i32>()).map(drop),
        |d, x| {
            // if several futures wait, only one returns the error
            let all = block_on(join_all((0..5).map(|_| x.to_vec_async::<i32>())));
            let mut errors: Vec<Error> = all.into_iter().filter_map(|read| read.err()).collect();
            assert!(errors.len() <= 1, "{errors:?}");
            errors.pop().map_or(d.synchronize(), Err)
        },
    ];
    for polls in 0..3 {
        for rounds in [1, 2, 40] {
            for end in ends {
                let y = bad().unwrap();
                let told = (0..rounds).fold(None, |told, _| given_up(polls).or(told));
                let e = told.map_or_else(|| end(d, &x), Err).unwrap_err();
                assert_eq!((e.kind(), e.operation()), (ErrorKind::Index, "take"), "{e}");
                assert!(e.to_string().contains("index 7"), "{e}");
                // the error is returned only once
                end(d, &x).unwrap();
                drop(y);
                stage.count(1);
            }
        }
        // of two errors the first is returned, and none remains
        let y = bad().unwrap();
        let first = given_up(polls);
        let z = x.take(put(d, vec![9i32], &[1]), 0).eval().unwrap();
        let second = given_up(polls);
        let told = first.is_some() as usize + second.is_some() as usize;
        let errors: Vec<Error> = [first, second, d.synchronize().err()].into_iter().flatten().collect();
        assert!(errors.len() == 1 || told > 0 && errors.len() == 2, "{errors:?}");
        assert!(errors[0].to_string().contains("index 7"), "{errors:?}");
        d.synchronize().unwrap();
        drop((y, z));
    }
    println!("{} reads were given up", pending.get());
    assert!(pending.get() >= 200);
    // a future that is polled to its end returns the error of its own work
    let y = bad().unwrap();
    let read = y.to_vec_async::<i32>();
    assert_eq!(x.to_vec::<i32>().unwrap(), [1, 2, 3]);
    assert_eq!(block_on(read).unwrap_err().kind(), ErrorKind::Index);
    d.synchronize().unwrap();
}

fn errors_are_the_futures(d: &Device) {
    let x = put(d, vec![1f32, 2.0], &[2]);
    let line = line!() + 1;
    let e = block_on(x.to_vec_async::<i32>()).unwrap_err();
    assert_eq!((e.kind(), e.location().unwrap().line()), (ErrorKind::DType, line));
    assert_eq!(block_on(x.item_async::<f32>()).unwrap_err().kind(), ErrorKind::Shape);
    // the call itself enqueued the work, so a later write does not change what is read
    let mut y = (&x + 1.0).eval().unwrap();
    let read = y.to_vec_async::<f32>();
    y.fill(7).unwrap();
    assert_eq!(block_on(read).unwrap(), [2.0, 3.0]);
    assert_eq!(y.to_vec::<f32>().unwrap(), [7.0, 7.0]);
}

}

#[test]
fn a_device_is_lost_while_futures_wait() {
    let Some(d) = gpu(1) else { return };
    let (x, kernels) = busy(&d);
    type End = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
    let begin: [fn(&Device, &Array) -> End; 3] = [
        |_, y| {
            let read = y.to_vec_async::<f32>();
            Box::pin(async { read.await.map(drop) })
        },
        |d, _| Box::pin(d.synchronize_async()),
        |_, y| {
            let item = y.sum(..).item_async::<f32>();
            Box::pin(async { item.await.map(drop) })
        },
    ];
    for (polls, begin) in (0..3).flat_map(|polls| begin.map(|begin| (polls, begin))) {
        let lost = own(&d);
        let x = x.to_device(&lost).unwrap();
        // compile the kernels first
        chain(&x, 1).sum(..).item::<f32>().unwrap();
        let y = chain(&x, kernels);
        let mut wait = begin(&lost, &y);
        assert!(poll_times(&mut wait, polls).is_pending());
        let other = std::thread::spawn(move || drive(wait).0);
        destroy(&lost);
        let ends =
            [other.join().unwrap(), begin(&lost, &y).now_or_never().unwrap_or(Ok(())), block_on(begin(&lost, &y))];
        for e in [&ends[0], &ends[2]].map(|end| end.as_ref().unwrap_err()) {
            assert_eq!(e.kind(), ErrorKind::DeviceLost, "{e}");
            assert!(e.location().is_some(), "{e}");
        }
    }
    // other devices keep working
    assert_eq!(block_on((&x * 0.0).to_vec_async::<f32>()).unwrap(), vec![0.0; x.size()]);
}
