//! Kernel times measured by the device's own clock, and profiles.

#[path = "../kit/mod.rs"]
mod kit;
mod profile;

use crate::kit::stage::Stage;
use cupric::*;

fn ones_of(n: usize, device: &Device) -> Array {
    ones([n], DType::F32).to_device(device).unwrap()
}

#[test]
fn a_cpu_has_no_clock_of_its_own() {
    let mut stage = Stage::new(1, "kernel times", &Device::cpu());
    stage.count(2);
    let x = ones_of(10, &Device::cpu());
    let (y, time) = Device::cpu().time_kernels(|| x.exp().eval()).unwrap();
    assert_eq!((y.shape(), time), (&[10][..], None));
    let error = Device::cpu().time_kernels(|| (&x + array![1., 2.]).eval()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
}

#[cfg(feature = "gpu")]
#[test]
fn kernels_are_timed() {
    use std::time::{Duration, Instant};
    let Some(d) = kit::gpu(1) else { return };
    // a device of its own, on which no other test runs kernels
    let d = kit::own(&d);
    let mut stage = Stage::new(1, "kernel times", &d);
    stage.count(7);
    let x = ones_of(1 << 15, &d);
    let once = || x.sin().exp().sin().eval();
    once().unwrap();
    let start = Instant::now();
    let time = |f: &dyn Fn() -> Result<Array>| d.time_kernels(f).unwrap().1;
    // the shortest of several times, because a busy machine may interrupt some
    let Some(one) = (0..20).filter_map(|_| time(&once)).min() else { return };
    assert!(one > Duration::ZERO && one < start.elapsed(), "{one:?}");
    // more kernels take longer, in any number of batches
    let many = time(&|| (0..199).try_for_each(|_| once().map(drop)).and_then(|()| once())).unwrap();
    assert!(many > one * 20 && many < start.elapsed(), "{many:?} for 200, {one:?} for one");
    // earlier kernels do not count, and without kernels the time is 0
    (0..50).for_each(|_| drop(once().unwrap()));
    let none = time(&|| Ok(x.clone())).unwrap();
    assert_eq!(none, Duration::ZERO);
    // an error of the closure is returned, and the next measurement works
    let error = d.time_kernels(|| x.reshape([3]).eval()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    assert!(time(&once).is_some());
    // of nested measurements, only the inner one has a time
    let (inner, outer) = d.time_kernels(|| d.time_kernels(once)).unwrap();
    assert!(inner.1.is_some() && outer.is_none(), "{:?} {outer:?}", inner.1);
    // more batches than a query set has room for, so another set is used
    let small = ones_of(4, &d);
    let busy = |n: usize| {
        time(&|| {
            (0..n).try_for_each(|_| small.exp().eval().and_then(|_| d.synchronize()))?;
            Ok(small.clone())
        })
    };
    assert!(busy(512).is_some() && busy(513).is_some());
}
