//! Profiles: which kernels ran, their source lines and bytes, and the trace file. No test checks times, because other
//! programs use the machine too.

use crate::kit::*;
use cupric::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

/// The row of an operation.
#[track_caller]
fn row<'a>(profile: &'a Profile, name: &str) -> &'a ProfileRow {
    profile.rows().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name} in {profile:?}"))
}

/// The line of this file to which a row belongs.
fn line_of(row: &ProfileRow) -> Option<u32> {
    row.line.filter(|at| at.file() == file!()).map(|at| at.line())
}

/// A path in the folder for temporary files.
fn file(device: &Device, name: &str) -> PathBuf {
    let kind = if device.is_gpu() { "gpu" } else { "cpu" };
    std::env::temp_dir().join(format!("cupric-profile-{kind}-{name}-{}.json", std::process::id()))
}

fn evals(e: &Expr, n: usize) -> Result<Vec<Array>> {
    (0..n).map(|_| e.eval()).collect()
}

on_devices! {

fn kernels_bytes_and_lines_are_right(d: &Device) {
    let d = own(d);
    let (a, b) = (put(&d, noise(1, 10_000), &[100, 100]), put(&d, noise(2, 10_000), &[100, 100]));
    let before = d.stats().kernels;
    let (sum, sum_line) = (&a + &b, line!());
    let (root, root_line) = ((&a * 2.0).abs().sqrt(), line!());
    let (results, profile) = d.profile(|| Ok((evals(&sum, 5)?, root.eval()?))).unwrap();
    assert_eq!(d.stats().kernels - before, 6);
    assert_eq!((profile.kernels(), profile.events().count(), profile.rows().count()), (6, 6, 2));
    assert_eq!(profile.bytes(), (5 * 80_000 + 40_000, 6 * 40_000));
    let add = row(&profile, "add");
    assert_eq!((add.kind, add.kernels, add.bytes_read, add.bytes_written), ("elementwise", 5, 400_000, 200_000));
    assert_eq!((line_of(add), line_of(row(&profile, "sqrt"))), (Some(sum_line), Some(root_line)));
    for e in profile.events() {
        assert!(e.is_kernel && e.shape == [10_000] && e.enqueued <= e.start && e.start <= e.end, "{e:?}");
        assert!(e.time <= e.end - e.start && e.bytes_written == 40_000, "{e:?}");
    }
    let clock = if d.is_gpu() { ProfileClock::Device } else { ProfileClock::Host };
    assert!(profile.is_complete() && profile.clock() == clock, "{profile:?}");
    assert_eq!(profile.busy() + profile.idle(), profile.elapsed().max(profile.busy()));
    assert_eq!(results.0[4].to_vec::<f32>().unwrap(), sum.to_vec::<f32>().unwrap());
}

fn every_kernel_of_many_is_there(d: &Device) {
    let d = own(d);
    let x = put(&d, vec![0f32; 64], &[64]);
    let (before, turns) = (d.stats().kernels, 1400);
    let last = || (0..turns).try_fold(x.clone(), |x, _| (&x + 1.0).eval());
    let (y, profile) = d.profile(last).unwrap();
    assert_eq!((profile.kernels(), d.stats().kernels - before), (turns, turns));
    assert_eq!((profile.events().count() as u64, profile.rows().count()), (turns, 1));
    assert!(profile.is_complete());
    assert!(profile.events().all(|e| e.time > Duration::ZERO));
    // each kernel depends on the one before, so they ran in the order of submission
    assert!(profile.events().is_sorted_by_key(|e| e.enqueued), "{:?}", profile.events().collect::<Vec<_>>());
    assert!(profile.events().is_sorted_by(|a, b| a.end <= b.start), "{:?}", profile.events().collect::<Vec<_>>());
    assert_eq!(y.to_vec::<f32>().unwrap(), [turns as f32; 64]);
}

fn passes_routines_and_clears_count_as_in_plans(d: &Device) {
    let d = own(d);
    let x = put(&d, noise(1, 100_000), &[100_000]);
    let bins = (x.abs() * 10.0).clip(0, 9).astype(DType::I32).eval().unwrap();
    let (w, m) = (put(&d, noise(2, 900), &[30, 30]), put(&d, noise(3, 90_000), &[300, 300]));
    let all = [
        x.sum(..),
        bins.bincount(10),
        x.sort(0),
        x.cumulative_sum(0),
        (w.matmul(&w) + 1.0).relu(),
        (&m - m.mean(0)) / m.std(0),
        x.take(arange(0, 100_000, 7, DType::I32), 0) * 2.0,
        zeros([0], DType::F32).to_device(&d).unwrap() + 1.0,
    ];
    for e in all {
        let plan = e.plan().unwrap();
        let before = d.stats().kernels;
        let (_, profile) = d.profile(|| e.eval()).unwrap();
        assert_eq!(profile.kernels(), d.stats().kernels - before, "{plan}\n{profile:?}");
        assert_eq!((profile.kernels(), profile.bytes()), (plan.kernels() as u64, plan.bytes()), "{plan}\n{profile:?}");
        assert!(profile.rows().all(|row| line_of(row).is_some()), "{plan}\n{profile:?}");
        // additional passes belong to their kernel's row, and are separate events
        assert!(profile.rows().all(|row| (row.kernels > 0) == (row.kind != "clear")), "{plan}\n{profile:?}");
        assert!(profile.events().count() >= profile.kernels() as usize, "{profile:?}");
        assert!(profile.is_complete() && profile.events().all(|e| e.start <= e.end), "{profile:?}");
    }
    // on the CPU the epilogue is a second pass of its product; on a GPU a long sum has two passes
    let (_, profile) = d.profile(|| Ok(((w.matmul(&w) + 1.0).relu().eval()?, x.sum(..).eval()?))).unwrap();
    assert_eq!((profile.kernels(), profile.rows().count(), profile.events().count()), (2, 2, 3), "{profile:?}");
    let (_, profile) = d.profile(|| bins.bincount(10).eval()).unwrap();
    let of = |kind| profile.rows().find(|row| row.kind == kind);
    assert_eq!(of("routine").map(|row| (row.name, row.kernels)), Some(("bincount", 1)));
    if d.is_gpu() {
        // clearing the counters comes first; it is not a kernel, but has the same source line
        let clear = of("clear").unwrap();
        assert_eq!((clear.kernels, line_of(clear)), (0, line_of(of("routine").unwrap())));
    }
}

fn what_other_threads_run_meanwhile_is_there(d: &Device) {
    let d = own(d);
    let x = put(&d, noise(1, 1000), &[1000]);
    let (own, others) = (&x + 1.0, x.exp());
    let work = || {
        std::thread::scope(|s| {
            let there = [(); 3].map(|()| s.spawn(|| evals(&others, 20)));
            evals(&own, 20)?;
            there.into_iter().try_for_each(|t| t.join().expect("no panic").map(drop))
        })
    };
    let ((), profile) = d.profile(work).unwrap();
    assert_eq!((row(&profile, "add").kernels, row(&profile, "exp").kernels), (20, 60));
    // work on another device is not recorded
    let other = self::own(&d);
    let ((), profile) = d.profile(|| put(&other, noise(1, 10), &[10]).exp().eval().map(drop)).unwrap();
    assert_eq!((profile.kernels(), profile.events().count()), (0, 0));
}

fn of_two_profiles_at_once_the_later_is_complete(d: &Device) {
    let d = own(d);
    let x = put(&d, noise(1, 1000), &[1000]);
    let ((_, inner), outer) = d.profile(|| {
        x.exp().eval()?;
        let inner = d.profile(|| x.sin().eval());
        x.exp().eval()?;
        inner
    }).unwrap();
    assert!(inner.is_complete() && inner.kernels() == 1, "{inner:?}");
    assert!(!outer.is_complete() && outer.kernels() == 0, "{outer:?}");
    assert!(outer.to_string().contains("incomplete"), "{outer}");
    // a timer is a recording too if the device has a clock, so the outer profile is incomplete
    let (_, outer) = d.profile(|| d.time_kernels(|| x.exp().eval())).unwrap();
    assert_eq!(outer.is_complete(), !d.is_gpu());
    let ((_, inner), time) = d.time_kernels(|| d.profile(|| x.exp().eval())).unwrap();
    assert!(inner.is_complete() && time.is_none());
    // one after the other, each profile is complete
    assert!((0..3).all(|_| d.profile(|| x.exp().eval()).unwrap().1.is_complete()));
}

fn errors_and_panics_of_the_closure_end_the_profile(d: &Device) {
    let d = own(d);
    let x = put(&d, noise(1, 1000), &[1000]);
    let error = d.profile(|| x.reshape([3]).eval()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    let late = x.take(put(&d, vec![5000i32], &[1]), 0);
    let error = d.profile(|| late.eval()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Index);
    let unwound = catch_unwind(AssertUnwindSafe(|| d.profile(|| if x.size() > 3 { panic!("planned") } else { Ok(()) })));
    assert!(unwound.is_err());
    let (_, profile) = d.profile(|| x.exp().eval()).unwrap();
    assert!(profile.is_complete() && profile.kernels() == 1);
    // the copy rate is not measured while a profile is recording, and none is now
    assert!(profile.copy_rate().is_some());
}

fn the_copy_rate_is_measured_when_it_is_asked_for(d: &Device) {
    let d = own(d);
    let x = put(&d, noise(1, 1000), &[1000]);
    let before = d.stats().kernels;
    let (_, profile) = d.profile(|| x.exp().eval()).unwrap();
    assert_eq!(d.stats().kernels - before, 1);
    // while another profile records, there is no rate, and that profile stays complete
    let (rate, outer) = d.profile(|| Ok(profile.copy_rate())).unwrap();
    assert!(rate.is_none() && outer.is_complete() && outer.kernels() == 0);
    // the rate is measured on a separate device, so counters and unreported errors do not change
    let late = d.is_gpu().then(|| x.take(put(&d, vec![5000i32], &[1]), 0).eval().unwrap());
    let after = d.stats().kernels;
    let text = profile.to_string();
    assert_eq!(d.stats().kernels, after, "{text}");
    if let Some(late) = late {
        assert_eq!(late.to_vec::<f32>().unwrap_err().kind(), ErrorKind::Index);
    }
    let rate = profile.copy_rate().unwrap();
    assert!(rate > 1e6, "{rate} bytes a second");
    assert_eq!((profile.to_string(), profile.copy_rate(), d.stats().kernels), (text.clone(), Some(rate), after));
    let line = profile.events().next().unwrap().line.unwrap().line();
    assert!(text.contains("exp (elementwise)") && text.contains(&format!("{}:{line}\n", file!())), "{text}");
    assert!(text.contains("total") && text.contains("copy: ") && text.contains(" %"), "{text}");
    // there is no rate if an array larger than the caches does not fit
    let small = d.with_memory_limit(1 << 20).unwrap();
    let x = put(&small, noise(1, 1000), &[1000]);
    let (_, profile) = small.profile(|| x.exp().eval()).unwrap();
    assert!(profile.copy_rate().is_none() && profile.to_string().contains("copy: not measured"), "{profile}");
}

fn traces_can_be_read(d: &Device) {
    let d = own(d);
    let x = put(&d, noise(1, 60_000), &[200, 300]);
    let (_, profile) = d.profile(|| {
        for _ in 0..20 {
            x.softmax(-1).eval()?;
            ((&x - x.mean(0)) / x.std(0)).eval()?;
        }
        x.argmax(..).eval()
    }).unwrap();
    let path = file(&d, "trace");
    profile.to_chrome_trace(&path).unwrap();
    // an existing file is replaced
    profile.to_chrome_trace(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |phase: &str| trace["traceEvents"].as_array().unwrap().iter().filter(move |e| e["ph"] == phase).collect::<Vec<_>>();
    assert_eq!(of("M")[0]["args"]["name"], format!("cupric on {}", d.name()));
    let (host, kernels): (Vec<_>, Vec<_>) = of("X").into_iter().partition(|e| e["tid"] == 0);
    assert_eq!((host.len(), kernels.len()), (1, profile.events().count()));
    let mut until = std::collections::HashMap::new();
    for (e, event) in kernels.iter().zip(profile.events()) {
        let (start, length) = (e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap());
        let end = until.insert(e["tid"].as_u64().unwrap(), start + length).unwrap_or(0.0);
        // an f64 holds these microseconds with an error far below a nanosecond
        assert!(start >= end - 1e-6 && length >= 0.0, "{e} begins before {end}");
        assert_eq!((e["name"].as_str(), e["cat"].as_str()), (Some(event.name), Some(event.kind)));
        assert!(e["args"]["line"].as_str().unwrap().starts_with(concat!(file!(), ":")), "{e}");
        assert_eq!(e["args"]["bytes read"].as_u64(), Some(event.bytes_read));
        assert_eq!(e["args"]["shape"].as_str(), Some(&*format!("{:?}", event.shape)));
    }
    let missing = std::env::temp_dir().join("no-such-folder").join("trace.json");
    let error = profile.to_chrome_trace(&missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let (text, at) = (error.to_string(), format!("({}:{}:", file!(), line!() - 2));
    assert!(text.starts_with("to_chrome_trace: ") && text.contains(missing.to_str().unwrap()) && text.contains(&at), "{text}");
}

fn writes_in_place_are_there(d: &Device) {
    let d = own(d);
    let mut x = put(&d, noise(1, 1000), &[1000]);
    let before = d.stats().kernels;
    let ((), profile) = d.profile(|| {
        x.update(|x| x * 2.0)?;
        x.set_at((put(&d, vec![0i32, 1], &[2]),), put(&d, vec![1f32, 2.0], &[2]))
    }).unwrap();
    assert_eq!(profile.kernels(), d.stats().kernels - before, "{profile:?}");
    assert!(profile.rows().all(|row| line_of(row).is_some()), "{profile:?}");
    // an empty profile has a table and a trace, too
    let ((), empty) = d.profile(|| Ok(())).unwrap();
    assert!(empty.is_complete() && empty.to_string().contains("total"), "{empty}");
    let path = file(&d, "empty");
    empty.to_chrome_trace(&path).unwrap();
    std::fs::remove_file(path).unwrap();
}

}

#[cfg(feature = "gpu")]
#[test]
fn a_gpu_without_a_clock_has_the_hosts_times() {
    if gpu(1).is_none() {
        return;
    }
    let d = testing::gpu_without_clock().unwrap();
    let x = put(&d, noise(1, 10_000), &[10_000]);
    let bins = put(&d, vec![1i32, 2, 2], &[3]);
    let (before, syncs) = (d.stats().kernels, d.stats().syncs);
    let ((counts, _), profile) = d.profile(|| Ok((bins.bincount(4).eval()?, evals(&(&x + 1.0), 30)?))).unwrap();
    assert_eq!(profile.clock(), ProfileClock::HostWithWaits);
    assert_eq!((profile.kernels(), d.stats().kernels - before), (31, 31));
    assert_eq!(row(&profile, "add").kernels, 30);
    assert!(profile.is_complete() && profile.events().is_sorted_by(|a, b| a.end <= b.start), "{profile:?}");
    assert!(profile.to_string().contains("with a wait for the device around each kernel"), "{profile}");
    assert_eq!(counts.to_vec::<i64>().unwrap(), [0, 1, 2, 0]);
    assert!(d.stats().syncs > syncs);
    let (_, time) = d.time_kernels(|| x.exp().eval()).unwrap();
    assert_eq!(time, None);
}
