//! Threads that share arrays and a device get the same bits as a single thread; all NaNs count as equal.

#[path = "../kit/mod.rs"]
mod kit;

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::sync::Barrier;

/// The number of evaluations of each thread.
const EVALS: usize = 2000;

/// Expressions with few kernels but many paths: elementwise, reductions, rows, a product, views, a gather.
fn forms(d: &Device) -> Vec<Expr> {
    let x = put(d, noise(1, 40 * 33), &[40, 33]);
    let w = put(d, noise(2, 33), &[33]);
    let n = put(d, (0..700).map(|i| i * 7919 % 1009).collect::<Vec<i32>>(), &[700]);
    let at = put(d, vec![3i32, 39, 0, 3, 17], &[5]);
    let shared = &x * &w + 0.25;
    vec![
        shared.clone(),
        shared.sum(0),
        (&shared - shared.mean(keep(1))).max(..),
        x.softmax(-1),
        x.matmul(x.t()),
        n.slice(s![..;-3]) * 3 - 7,
        n.sum(..),
        x.argmax(1),
        x.take(&at, 0) + 1.0,
        shared.t().reshape([40 * 33]),
    ]
}

fn bits(e: &Expr) -> Vec<u64> {
    match e.dtype().unwrap() {
        F32 => e.to_vec::<f32>().unwrap().into_iter().map(canonical).collect(),
        I64 => e.to_vec::<i64>().unwrap().into_iter().map(canonical).collect(),
        I32 => e.to_vec::<i32>().unwrap().into_iter().map(canonical).collect(),
        t => panic!("no form has {t}"),
    }
}

/// Evaluates expressions in its destructor.
struct AtEnd(std::sync::mpsc::Sender<Vec<Vec<u64>>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        // the second round uses what the first one has cached
        let all = (0..2).flat_map(|_| forms(&Device::cpu()).iter().map(bits).collect::<Vec<_>>()).collect();
        self.0.send(all).unwrap();
    }
}

/// When destructors of thread-local values run, the ending thread has already freed some of its thread-local memory.
#[test]
fn a_destructor_of_a_thread_evaluates() {
    thread_local! {
        static BEFORE: std::cell::OnceCell<AtEnd> = const { std::cell::OnceCell::new() };
        static AFTER: std::cell::OnceCell<AtEnd> = const { std::cell::OnceCell::new() };
    }
    let forms = || forms(&Device::cpu());
    let want: Vec<Vec<u64>> = forms().iter().map(bits).collect();
    for evaluates in [false, true] {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            BEFORE.with(|at_end| assert!(at_end.set(AtEnd(send.clone())).is_ok()));
            if evaluates {
                forms().iter().for_each(|e| drop(bits(e)));
            }
            AFTER.with(|at_end| assert!(at_end.set(AtEnd(send)).is_ok()));
        });
        for _ in 0..2 {
            assert_eq!(receive.recv().unwrap(), [want.clone(), want.clone()].concat());
        }
    }
}

on_devices! {

fn shared_arrays_give_the_bits_of_one_thread(d: &Device) {
    let d = own(d);
    let mut stage = Stage::new(11, "concurrency", &d);
    let forms = forms(&d);
    let want: Vec<Vec<u64>> = forms.iter().map(bits).collect();
    // an array that each thread clones and writes to
    let common = put(&d, vec![1i32; 257], &[257]);
    let used = d.memory().used;
    for threads in [1, 2, 4, 8, 16] {
        let start = Barrier::new(threads);
        let check = |t: usize| {
            let mut mine = common.clone();
            start.wait();
            let mut waiting: Vec<(usize, Array)> = vec![];
            for r in 0..EVALS {
                let i = (t * 3 + r) % forms.len();
                match r % 8 {
                    // the first write copies the shared array, later ones are in place
                    3 => mine.update(|m| m + 1).unwrap(),
                    _ => waiting.push((i, forms[i].eval().unwrap())),
                }
                // sixteen results stay unread; then some are read, and others dropped
                if waiting.len() == 16 {
                    for (k, (i, a)) in waiting.drain(..).enumerate() {
                        if k % 4 == t % 4 {
                            assert_eq!(bits(&a), want[i], "form {i} on thread {t} of {threads}");
                        }
                    }
                }
            }
            assert_eq!(mine.to_vec::<i32>().unwrap(), vec![1 + (EVALS / 8) as i32; 257]);
        };
        std::thread::scope(|s| {
            for t in 0..threads {
                let check = &check;
                s.spawn(move || check(t));
            }
        });
        stage.count(threads * EVALS);
        assert_eq!(common.to_vec::<i32>().unwrap(), [1; 257]);
        d.synchronize().unwrap();
        assert_eq!(d.memory().used, used);
    }
}

fn arrays_travel_between_threads(d: &Device) {
    let d = own(d);
    let mut stage = Stage::new(11, "concurrency: hand over", &d);
    let (send, receive) = std::sync::mpsc::sync_channel::<(i32, Array)>(4);
    let makers = 4;
    let x = put(&d, vec![1i32; 999], &[999]);
    std::thread::scope(|s| {
        for t in 0..makers {
            let (send, x) = (send.clone(), x.clone());
            s.spawn(move || {
                for i in 0..250 {
                    let n = t * 1000 + i;
                    send.send((n, (&x * n + 1).eval().unwrap())).unwrap();
                }
            });
        }
        drop(send);
        // made on one thread, written on another, and read here
        for (n, mut a) in receive {
            a.update(|a| a * 2).unwrap();
            assert_eq!(a.slice(s![..;-500]).to_vec::<i32>().unwrap(), [2 * n + 2; 2]);
            stage.count(1);
        }
    });
}
}
