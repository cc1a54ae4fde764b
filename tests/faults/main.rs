//! Device calls that fail: a script of 40 operations runs with each call in turn failing: out of memory, a validation
//! error, or a lost device. Each run must return an error of that kind or, if the library had a second way, the right
//! results. Nothing leaks, earlier results stay right, and other devices keep working.

#[path = "../kit/mod.rs"]
mod kit;
#[cfg(feature = "gpu")]
mod lost;

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{InjectedFault, fresh_memory, heal, poison, with_fault};
use cupric::*;
use std::time::{Duration, Instant};

type Step = fn(&Device, &mut Vec<Array>) -> Result<()>;

/// A longer run counts as a hang, because an error that waits for a time-out is one.
const SOON: Duration = Duration::from_secs(1);

fn upload<T: Element>(d: &Device, a: &mut Vec<Array>, elements: Vec<T>, shape: &[usize]) -> Result<()> {
    a.push(Array::from_vec(elements, shape)?.to_device(d)?);
    Ok(())
}

fn keep_result(a: &mut Vec<Array>, e: Expr) -> Result<()> {
    a.push(e.eval()?);
    Ok(())
}

/// Uploads, elementwise kernels, reductions, products, rows, views, joins, gathers, writes and reads. Repeating a write
/// gives the same result, so a run can continue after an error.
const SCRIPT: [Step; 40] = [
    |d, a| upload(d, a, noise(1, 96 * 64), &[96, 64]),
    |d, a| upload(d, a, noise(2, 64), &[64]),
    |d, a| upload(d, a, (0..500).map(|i| (i * 7 % 251) as u8).collect(), &[500]),
    |d, a| upload(d, a, (0..300).collect::<Vec<i32>>(), &[300]),
    |d, a| upload(d, a, noise(3, 77).into_iter().map(f16::from_f32).collect(), &[77]),
    |_, a| keep_result(a, &a[0] * 2.5 + &a[1]),
    |_, a| keep_result(a, a[5].exp().minimum(3.0)),
    |_, a| keep_result(a, a[5].sum(0)),
    |_, a| keep_result(a, a[5].max(1)),
    |_, a| keep_result(a, a[0].sum(..)),
    |_, a| keep_result(a, (&a[0] - a[0].mean(0)) / (a[0].std(0) + 1e-3)),
    |_, a| a[7].to_vec::<f32>().map(drop),
    |_, a| keep_result(a, a[0].softmax(-1)),
    |_, a| keep_result(a, a[0].matmul(a[0].t())),
    |_, a| {
        let value = &a[1] * 0.5 + 1.0;
        a[7].assign(value)
    },
    |_, a| keep_result(a, a[12].argmax(1)),
    |_, a| keep_result(a, a[0].t().reshape([64 * 96])),
    |_, a| keep_result(a, a[3].slice(s![..;-3]) * 3 - 1),
    |_, a| keep_result(a, a[2].slice(s![1..;2]) + a[2].slice(s![..-1;2])),
    |_, a| a[2].slice_mut(s![3..400;3]).fill(9),
    |_, a| {
        let value = a[4].slice(s![..30]) * 0.5;
        a[4].set(s![31..61], value)
    },
    |_, a| a[4].to_vec::<f16>().map(drop),
    |_, a| keep_result(a, concat([a[1].slice(s![..10]), a[1].slice(s![20..]) * 2.0], 0)),
    |_, a| {
        let at = Array::from([3i32, 0, 95, 3]).to_device(&a[0].device())?;
        keep_result(a, a[0].take(&at, 0) + 1.0)
    },
    |_, a| a[18].to_vec::<f32>().map(drop),
    |_, a| keep_result(a, select(a[0].greater(0.0), &a[0], -&a[0])),
    |_, a| keep_result(a, a[3].reshape([20, 15]).astype(F32).var(1)),
    |_, a| {
        let value = a[0].flip(0);
        a[6].assign(value)
    },
    |_, a| {
        let both = eval_all([&a[5].min(0), &(&a[5] + 1.0)])?;
        a.extend(both);
        Ok(())
    },
    |_, a| a[9].item::<f32>().map(drop),
    |_, a| keep_result(a, a[0].less(0.1).count_nonzero(..)),
    |_, a| a[23].item::<i64>().map(drop),
    |_, a| {
        // a second handle makes the write copy the array
        let held = a[5].clone();
        a[5].set(s![2..5, ..;2], 1.5)?;
        drop(held);
        Ok(())
    },
    |d, a| keep_result(a, Rng::new(5).uniform([50, 3], F32).to_device(d)? * 2.0),
    |_, a| keep_result(a, stack([&a[1], &a[7]], 1).sum(1)),
    |_, a| keep_result(a, a[0].layer_norm(-1, 1e-5).sum(0)),
    |_, a| keep_result(a, a[3].bitwise_and(12).prod(..)),
    |d, _| d.synchronize(),
    |_, a| keep_result(a, a[12].matmul(&a[0]).relu()),
    |_, a| a.last().map_or(Ok(()), |x| x.sum(..).item::<f32>().map(drop)),
];

/// The bits of all arrays. Returns an error if any array has one.
fn contents(a: &[Array]) -> Result<Vec<Vec<u64>>> {
    a.iter().map(|x| bits(x)).collect()
}

fn bits(x: &Expr) -> Result<Vec<u64>> {
    fn of<T: Element>(x: &Expr) -> Result<Vec<u64>> {
        Ok(x.to_vec::<T>()?.into_iter().map(canonical).collect())
    }
    match x.dtype()? {
        F32 => of::<f32>(x),
        F16 => of::<f16>(x),
        U8 => of::<u8>(x),
        I32 => of::<i32>(x),
        I64 => of::<i64>(x),
        t => panic!("the script makes no {t}"),
    }
}

/// The contents of the arrays after each step of a run without faults.
fn clean(d: &Device) -> Vec<Vec<Vec<u64>>> {
    let mut a = vec![];
    let mut states = vec![vec![]];
    for (i, step) in SCRIPT.iter().enumerate() {
        step(d, &mut a).unwrap_or_else(|e| panic!("step {i}: {e}"));
        states.push(contents(&a).unwrap());
    }
    states
}

fn off(nth: usize) -> InjectedFault {
    InjectedFault { site: None, nth, onwards: false, kind: ErrorKind::Internal }
}

/// The number of calls in a run without faults, on a device that has all its pipelines already.
fn calls(d: &Device) -> usize {
    heal(d);
    let mut a = vec![];
    let (_, calls, _) = with_fault(d, off(0), || SCRIPT.iter().for_each(|s| s(d, &mut a).unwrap()));
    println!("{calls:?}");
    drop(a);
    calls.iter().map(|c| c.1).sum()
}

/// Runs the script with a fault. Returns whether it ended in an error, and how many calls failed.
fn trial(d: &Device, fault: InjectedFault, states: &[Vec<Vec<u64>>]) -> (bool, usize) {
    let used = d.memory().used;
    let mut a = vec![];
    let mut done = 0;
    let started = Instant::now();
    let (end, _, failed) = with_fault(d, fault, || {
        for step in SCRIPT {
            step(d, &mut a)?;
            done += 1;
        }
        Ok::<(), Error>(())
    });
    let took = started.elapsed();
    assert!(took < SOON, "{fault:?}: {took:?} to the end at step {done}");
    let what = format!("{fault:?} at step {done}");
    if failed == 0 {
        end.as_ref().unwrap_or_else(|e| panic!("{what}: nothing failed, but {e}"));
        assert_eq!(contents(&a).unwrap(), states[done], "{what}");
    } else if let Err(e) = &end {
        assert_eq!(e.kind(), fault.kind, "{what}: {e}");
        assert!(e.location().is_some(), "{what}: no line: {e}");
        let started = Instant::now();
        let alive = d.synchronize().is_ok();
        // results of a lost batch of commands must not be readable as if they were computed
        match contents(&a) {
            Ok(now) if now.is_empty() && !alive => {}
            Ok(now) => {
                assert!(alive, "{what}: a device that failed gives arrays");
                let (before, after) = (&states[done], &states[done + 1]);
                for (i, x) in now.iter().enumerate() {
                    let known = before.get(i) == Some(x) || after.get(i) == Some(x);
                    assert!(known, "{what}: array {i} is neither as before the step nor as after it");
                }
                // continue at the step that failed
                a.truncate(before.len());
                for (i, step) in SCRIPT.iter().enumerate().skip(done) {
                    step(d, &mut a).unwrap_or_else(|e| panic!("{what}: step {i} afterwards: {e}"));
                }
                assert_eq!(contents(&a).unwrap(), states[SCRIPT.len()], "{what}: the run afterwards");
            }
            Err(e) => {
                assert!(!alive, "{what}: an array is lost, but the device says nothing: {e}");
                assert_eq!(e.kind(), fault.kind, "{what}: {e}");
            }
        }
        assert!(started.elapsed() < SOON * 2, "{what}: slow afterwards");
    } else {
        // the library found another way, for example by freeing cached buffers
        assert_eq!(contents(&a).unwrap(), states[done], "{what}");
    }
    drop(a);
    heal(d);
    let memory = d.memory();
    assert_eq!((memory.used, memory.cached), (used, 0), "{what}: a leak");
    (end.is_err(), failed)
}

const KINDS: [ErrorKind; 3] = [ErrorKind::OutOfMemory, ErrorKind::Internal, ErrorKind::DeviceLost];

on_devices! {

fn every_call_fails_once(d: &Device) {
    let other = own(d);
    let kept = put(&other, noise(9, 1000), &[1000]);
    let sum = kept.sum(..).item::<f32>().unwrap();
    let d = own(d);
    let mut stage = Stage::new(10, "fault injection", &d);
    let states = clean(&d);
    let n = calls(&d);
    let (mut errors, mut second_ways) = (0, 0);
    for kind in KINDS {
        for nth in 1..=n {
            let (failed, hits) = trial(&d, InjectedFault { site: None, nth, onwards: false, kind }, &states);
            assert_eq!(hits, 1, "call {nth} as {kind:?}");
            errors += failed as usize;
            assert!(failed || kind == ErrorKind::OutOfMemory, "call {nth} as {kind:?} went unseen");
        }
        assert_eq!(kept.sum(..).item::<f32>().unwrap(), sum, "another device after {kind:?}");
    }
    // with cached buffers: if the driver cannot allocate, the library frees these and tries again
    if d.is_gpu() {
        for kind in KINDS {
            for nth in 1..=n {
                drop(put(&d, vec![1u8; 1 << 20], &[1 << 20]));
                let (failed, hits) = trial(&d, InjectedFault { site: None, nth, onwards: false, kind }, &states);
                assert_eq!(hits, 1);
                assert!(failed || kind == ErrorKind::OutOfMemory, "call {nth} as {kind:?} went unseen");
                second_ways += !failed as usize;
            }
        }
        assert!(second_ways > 0);
        stage.count(3 * n);
    }
    // all allocations fail from some point on, so there is no second way
    for nth in 1..=n {
        let fault = InjectedFault { site: Some("allocate"), nth, onwards: true, kind: ErrorKind::OutOfMemory };
        let (failed, hits) = trial(&d, fault, &states);
        assert_eq!(failed, hits > 0);
        if hits == 0 { break }
        errors += 1;
        stage.count(1);
    }
    stage.count(3 * n);
    println!("{n} calls, {errors} errors, {second_ways} second ways");
    assert_eq!(clean(&d), states, "the same device, later");
}

fn poisoned_memory_is_never_read(d: &Device) {
    let states = clean(&own(d));
    let d = own(d);
    let mut stage = Stage::new(10, "poisoned memory", &d);
    poison(&d, true);
    for _ in 0..3 {
        assert_eq!(clean(&d), states);
        stage.count(SCRIPT.len());
    }
    // new memory really has the poison pattern, even if it was used before
    for n in [40usize, 1000, 300_000, 40, 1000, 300_000] {
        assert!(fresh_memory(&d, n).unwrap().iter().all(|b| *b == 0xFB), "{n} bytes");
        drop(put(&d, vec![1u8; n], &[n]));
    }
    poison(&d, false);
}
}

/// Fails a call that a device makes only once (to compile a kernel): the run stops there, and repeating the step works.
#[cfg(feature = "gpu")]
fn trial_cold(d: &Device, fault: InjectedFault, states: &[Vec<Vec<u64>>]) -> usize {
    let mut a = vec![];
    let mut done = 0;
    let (end, _, failed) = with_fault(d, fault, || {
        for step in SCRIPT {
            step(d, &mut a)?;
            done += 1;
        }
        Ok::<(), Error>(())
    });
    if failed > 0 {
        let what = format!("{fault:?} at step {done}");
        let e = end.expect_err("a pipeline that failed");
        assert_eq!(e.kind(), fault.kind, "{what}: {e}");
        if fault.kind == ErrorKind::DeviceLost {
            assert!(contents(&a).is_err() || a.is_empty(), "{what}: read after the loss");
            heal(d);
            a.clear();
            SCRIPT[..done].iter().for_each(|step| step(d, &mut a).unwrap());
        }
        assert_eq!(contents(&a).unwrap(), states[done], "{what}");
        SCRIPT[done](d, &mut a).unwrap_or_else(|e| panic!("{what}, again: {e}"));
        assert_eq!(contents(&a).unwrap(), states[done + 1], "{what}, again");
    }
    drop(a);
    assert_eq!(d.memory().used, 0, "{fault:?}: a leak");
    failed
}

#[cfg(feature = "gpu")]
#[test]
fn every_pipeline_fails_once() {
    let Some(d) = gpu(1) else { return };
    let states = clean(&own(&d));
    let d = own(&d);
    let mut stage = Stage::new(10, "fault injection: pipelines", &d);
    for site in ["layout", "shader", "compile"] {
        let d = own(&d);
        let mut last = 0;
        for nth in 1..200 {
            // the rest of the script repeats the failed call, so each run fails the next one, until none is left
            let kind = if site == "shader" { ErrorKind::Internal } else { KINDS[nth % 3] };
            let before = d.stats().compiles;
            if trial_cold(&d, InjectedFault { site: Some(site), nth: 1, onwards: false, kind }, &states) == 0 {
                break;
            }
            assert!(site == "layout" || d.stats().compiles > before);
            last = nth;
        }
        println!("{last} at {site}");
        assert!(last >= if site == "layout" { 3 } else { 15 } && last < 199, "{last} at {site}");
        stage.count(last);
    }
}

#[cfg(feature = "gpu")]
#[test]
fn errors_name_the_kernel_and_its_line() {
    let Some(d) = gpu(1) else { return };
    let d = own(&d);
    let x = put(&d, noise(6, 100), &[100]);
    for site in ["layout", "compile", "bind"] {
        for (e, name) in [(x.sqrt(), "sqrt"), (x.cumulative_sum(0), "cumulative_sum"), (x.sort(0), "sort")] {
            heal(&d);
            let fault = InjectedFault { site: Some(site), nth: 1, onwards: false, kind: ErrorKind::OutOfMemory };
            let (result, _, failed) = with_fault(&d, fault, || e.eval());
            // a kernel may use the layout or pipeline of another one, so that nothing fails
            let Err(error) = result else {
                assert_eq!(failed, 0, "{site} of {name}");
                continue;
            };
            assert_eq!((error.kind(), error.operation()), (ErrorKind::OutOfMemory, name), "{error}");
            assert!(error.to_string().contains(site), "{error}");
            assert_eq!(error.location().unwrap().file(), file!(), "{error}");
            e.eval().unwrap();
        }
    }
}

/// Whether CPU kernels run on several threads. Only additional threads allocate scratch memory later, so with one
/// thread that allocation cannot fail.
const THREADS: bool = cfg!(feature = "rayon");

#[test]
fn a_write_without_scratch_is_whole() {
    let d = own(&Device::cpu());
    let mut stage = Stage::new(10, "fault injection: scratch", &d);
    let old = noise(4, 30 * 20_000);
    let other = put(&d, noise(5, 15 * 20_000), &[15, 20_000]);
    let writes: [fn(&mut Array, &Array) -> Result<()>; 5] = [
        |x, _| x.update(|x| x.sin() * 2.0 + 1.0),
        |x, _| x.slice_mut(s![.., ..;2]).update(|x| x.exp() - 0.5),
        |x, _| x.update(|x| x.softmax(-1)),
        // the second kernel of these writes needs more scratch memory than the first
        |x, y| x.assign(concat([y + 1.0, y.exp().layer_norm(-1, 1e-5)], 0)),
        |x, y| x.assign(concat([y * 2.0, y - y.mean(keep(0)), y.slice(s![..0])], 0)),
    ];
    let (mut errors, mut second_ways) = (0, 0);
    // whether two threads run at the same time is up to the system; within twenty rounds it happens
    for (w, write) in writes.into_iter().enumerate().cycle().take(20 * writes.len()) {
        if w == 0 && errors > 0 && (second_ways > 0 || !THREADS) {
            break;
        }
        let mut x = put(&d, old.clone(), &[30, 20_000]);
        write(&mut x, &other).unwrap();
        let new = x.to_vec::<f32>().unwrap();
        for onwards in [false, true] {
            for nth in 1..50 {
                // new threads have no scratch memory yet
                let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
                let mut x = put(&d, old.clone(), &[30, 20_000]);
                let fault = InjectedFault { site: Some("scratch"), nth, onwards, kind: ErrorKind::OutOfMemory };
                let (end, _, failed) = pool.install(|| with_fault(&d, fault, || write(&mut x, &other)));
                let now = x.to_vec::<f32>().unwrap();
                match end {
                    Ok(()) => assert!(now == new, "write {w}: wrong after {fault:?}"),
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
                        assert!(now == old, "write {w}: {fault:?} left it written in part");
                        errors += 1;
                    }
                }
                if failed == 0 {
                    break;
                }
                assert!(nth < 49, "write {w}");
                second_ways += (now == new) as usize;
                stage.count(1);
            }
        }
    }
    println!("{errors} errors, {second_ways} second ways");
    assert!(errors >= 10 && (second_ways > 0) == THREADS);
}

#[test]
fn a_sum_without_memory_for_its_parts_has_the_same_bits() {
    let d = own(&Device::cpu());
    let mut stage = Stage::new(10, "fault injection: scratch", &d);
    let x = put(&d, noise(6, 1 << 21), &[2, 1 << 20]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for e in [x.sum(..), x.sum(1), x.t().max(0), x.reshape([1 << 19, 4]).mean(0), x.argmax(1).astype(F32)] {
        let fault =
            InjectedFault { site: Some("partial results"), nth: 1, onwards: true, kind: ErrorKind::OutOfMemory };
        let (end, _, failed) = pool.install(|| with_fault(&d, fault, || e.to_vec::<f32>()));
        assert_eq!(failed > 0, THREADS);
        assert_eq!(end.unwrap(), pool.install(|| e.to_vec::<f32>()).unwrap());
        stage.count(1);
    }
}

#[cfg(feature = "gpu")]
#[test]
fn a_write_in_several_dispatches_is_whole() {
    if gpu(1).is_none() {
        return;
    }
    let d = testing::shrunk_gpu(64 << 10, 4).unwrap();
    let mut stage = Stage::new(10, "fault injection: windows", &d);
    let old: Vec<i32> = (0..50_001).collect();
    let writes: [fn(&mut Array) -> Result<()>; 3] =
        [|x| x.update(|x| x * 2 + 1), |x| x.fill(7), |x| x.set(s![5..;2], x.slice(s![5..;2]) + 3)];
    for write in writes {
        let mut x = put(&d, old.clone(), &[50_001]);
        write(&mut x).unwrap();
        let new = x.to_vec::<i32>().unwrap();
        for kind in [ErrorKind::OutOfMemory, ErrorKind::Internal] {
            for nth in 1.. {
                heal(&d);
                let mut x = put(&d, old.clone(), &[50_001]);
                let (end, calls, failed) =
                    with_fault(&d, InjectedFault { site: None, nth, onwards: false, kind }, || write(&mut x));
                if failed == 0 {
                    assert!(nth > 3, "{calls:?}");
                    break;
                }
                assert_eq!(end.unwrap_err().kind(), kind);
                match x.to_vec::<i32>() {
                    Ok(now) => assert!(now == old || now == new, "call {nth} as {kind:?}: written in part"),
                    Err(e) => assert!(e.kind() == kind && d.synchronize().is_err(), "call {nth}: {e}"),
                }
                stage.count(1);
            }
        }
    }
    heal(&d);
}
