//! Devices that are lost, and errors that are reported late.

use super::*;

#[test]
fn a_device_that_is_really_gone() {
    let Some(d) = gpu(1) else { return };
    let kept = put(&d, noise(9, 1000), &[1000]);
    let sum = kept.sum(..).item::<f32>().unwrap();
    let mut stage = Stage::new(10, "fault injection: destroyed devices", &d);
    for at in 0..=SCRIPT.len() {
        let lost = own(&d);
        let mut a = vec![];
        SCRIPT[..at].iter().for_each(|step| step(&lost, &mut a).unwrap());
        if at % 2 == 1 {
            // lose the device while it works
            let busy = zeros([1 << 20], F32).to_device(&lost).unwrap();
            a.push((0..3).fold(&*busy * 1.0, |e, _| e.exp().log1p()).eval().unwrap());
            lost.synchronize().unwrap();
            a.push((0..3).fold(&*busy * 1.0, |e, _| e.exp().log1p()).eval().unwrap());
        }
        testing::destroy(&lost);
        let started = Instant::now();
        let mut ends = vec![];
        // the first call may only enqueue work; a call that waits returns the error
        ends.extend(SCRIPT.get(at).and_then(|step| step(&lost, &mut a).err()));
        ends.push(lost.synchronize().unwrap_err());
        for x in &mut a {
            ends.push(bits(x).unwrap_err());
            ends.push((&*x + 1).eval().unwrap_err());
            ends.push(x.fill(0).unwrap_err());
        }
        ends.push(zeros([3], F32).to_device(&lost).unwrap_err());
        for e in ends {
            assert_eq!(e.kind(), ErrorKind::DeviceLost, "after {at} steps: {e}");
        }
        assert!(started.elapsed() < SOON, "after {at} steps: {:?}", started.elapsed());
        drop(a);
        assert_eq!(lost.memory().used, 0);
        lost.trim();
        assert_eq!(kept.sum(..).item::<f32>().unwrap(), sum, "another device");
        assert_eq!((&kept * 2.0).sum(..).to_device(&Device::cpu()).unwrap().size(), 1);
        stage.count(1);
    }
}

#[test]
fn a_device_goes_while_threads_wait() {
    let Some(d) = gpu(1) else { return };
    let mut stage = Stage::new(10, "fault injection: destroyed devices", &d);
    for round in 0..10u64 {
        let lost = own(&d);
        let x = put(&lost, noise(1, 1 << 18), &[1 << 18]);
        let e = (0..8).fold(&*x * 1.0, |e, _| e.exp().log1p());
        let before = Instant::now();
        let want = e.sum(..).item::<f32>().unwrap();
        // on a busy machine the work in progress takes longer, so the time limit is relative
        let soon = SOON.max(before.elapsed() * 20);
        std::thread::scope(|s| {
            let work = || -> Result<()> {
                loop {
                    let got = e.sum(..).item::<f32>()?;
                    assert_eq!(got, want, "a result of a device that is going");
                }
            };
            let threads: Vec<_> = (0..3).map(|_| s.spawn(work)).collect();
            std::thread::sleep(Duration::from_millis(7 * round));
            testing::destroy(&lost);
            let started = Instant::now();
            for t in threads {
                let e = t.join().expect("no panic").unwrap_err();
                assert_eq!(e.kind(), ErrorKind::DeviceLost, "{e}");
            }
            assert!(started.elapsed() < soon, "{:?}, not {soon:?}", started.elapsed());
        });
        drop((x, e));
        assert_eq!(lost.memory().used, 0);
        stage.count(1);
    }
}

/// An array from a gather with an index out of range, and another array.
fn with_a_bad_index(d: &Device) -> Vec<Array> {
    let x = put(d, vec![1i32, 2, 3], &[3]);
    let at = put(d, vec![0i32, 7], &[2]);
    vec![x.take(&at, 0).eval().unwrap(), x]
}

#[test]
fn a_late_error_survives_a_failed_read() {
    let Some(d) = gpu(1) else { return };
    let mut stage = Stage::new(10, "fault injection: late errors", &d);
    for site in ["staging", "submit", "download"] {
        for kind in KINDS {
            let d = own(&d);
            let a = with_a_bad_index(&d);
            let fault = InjectedFault { site: Some(site), nth: 1, onwards: false, kind };
            let (read, _, failed) = with_fault(&d, fault, || a[1].to_vec::<i32>());
            assert_eq!((read.unwrap_err().kind(), failed), (kind, 1), "{fault:?}");
            // either the index error is reported now, or the read fails; unwritten memory is never returned
            let e = a[0].to_vec::<i32>().unwrap_err();
            assert!(e.kind() == ErrorKind::Index || e.kind() == kind, "{fault:?}: {e}");
            stage.count(1);
        }
    }
}
