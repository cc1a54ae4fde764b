//! Arrays on several devices: the CPU, and GPU devices of one driver. `with_memory_limit` gives a separate device.
//! These tests run alone, because others count the open devices.

use crate::alone;
use crate::kit::*;
use cupric::devices;
use cupric::*;

/// Three devices: two GPU devices and the CPU if there is a GPU.
fn three(d: &Device) -> [Device; 3] {
    let other = |d: &Device| d.with_memory_limit(1 << 30).unwrap();
    [d.clone(), other(&Device::cpu()), other(d)]
}

fn host(x: &Array) -> Vec<u8> {
    x.to_bytes().unwrap()
}

/// The gradient of the squared error for some rows of the data.
fn gradient(x: &Array, y: &Array, w: &Array) -> Expr {
    x.t().matmul(x.matmul(w) - y)
}

on_devices! {

fn parts_go_out_and_come_back(d: &Device) {
    let _alone = alone();
    let x = Rng::new(7).normal([11, 5], DType::F32).eval().unwrap();
    for axis in [0, 1, -1] {
        let parts = devices::scatter(&x, &three(d), axis).unwrap();
        three_of(&parts);
        let whole = devices::gather(&parts, axis, d).unwrap();
        assert_eq!((whole.device(), host(&whole)), (d.clone(), host(&x)));
        for whole in devices::all_gather(&parts, axis).unwrap() {
            assert_eq!(host(&whole), host(&x));
        }
    }
    // more devices than rows
    let parts = devices::scatter(x.slice(s![..2]), &three(d), 0).unwrap();
    assert_eq!(parts.iter().map(|p| p.shape()[0]).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(devices::gather(&parts, 0, d).unwrap().shape(), [2, 5]);
}

fn a_sum_over_devices_has_one_order(d: &Device) {
    let _alone = alone();
    // sums that depend on the order, also in f16, rounded once; no subnormals, because GPUs may flush those
    for dtype in [DType::F32, DType::F16, DType::I32] {
        let x = (Rng::new(2).normal([3, 1000], DType::F32) * 1000.0).exp2().clip(1e-3, 60000.0).astype(dtype).eval().unwrap();
        let on = |devices: &[Device; 3]| {
            let part = |i: usize| x.slice(s![i]).to_device(&devices[i]).unwrap();
            let sums = devices::all_reduce(&[part(0), part(1), part(2)]).unwrap();
            assert!(sums.iter().zip(devices).all(|(sum, device)| sum.device() == *device && sum.dtype() == dtype));
            sums.iter().map(host).collect::<Vec<_>>()
        };
        let cpu = Device::cpu();
        let want = host(&x.astype(DType::F64).sum(0).astype(dtype).eval().unwrap());
        let one = on(&[cpu.clone(), cpu.clone(), cpu]);
        assert_eq!(one, on(&three(d)));
        assert!(dtype.is_float() || one[0] == want);
    }
    let parts = [1e8f32, -1e8, 1.0].map(|v| put(d, vec![v], &[1]));
    assert_eq!(devices::all_reduce(&parts).unwrap()[0].item::<f32>().unwrap(), 1.0);
    let parts = [1.0, 1e8f32, -1e8].map(|v| put(d, vec![v], &[1]));
    assert_eq!(devices::all_reduce(&parts).unwrap()[2].item::<f32>().unwrap(), 0.0);
}

fn a_step_has_the_bits_of_one_device(d: &Device) {
    let _alone = alone();
    let x = Rng::new(1).normal([12, 8], DType::F32).eval().unwrap();
    let (y, w) = (x.sum(keep(1)).eval().unwrap(), zeros([8, 1], DType::F32).eval().unwrap());
    let train = |all: &[Device]| -> Vec<u8> {
        let (x, y) = (devices::scatter(&x, all, 0).unwrap(), devices::scatter(&y, all, 0).unwrap());
        let mut w = devices::broadcast(&w, all).unwrap();
        for _ in 0..4 {
            let parts: Vec<Array> = (0..all.len()).map(|i| gradient(&x[i], &y[i], &w[i]).eval().unwrap()).collect();
            for (w, g) in w.iter_mut().zip(devices::all_reduce(&parts).unwrap()) {
                w.update(|w| w - g * 0.01).unwrap();
            }
        }
        assert!(w.windows(2).all(|pair| host(&pair[0]) == host(&pair[1])));
        host(&w[0])
    };
    let other = d.with_memory_limit(1 << 28).unwrap();
    assert_eq!(train(&[d.clone(), d.clone(), d.clone()]), train(&[d.clone(), other.clone(), other]));
}

fn twins_give_what_the_functions_give(d: &Device) {
    let _alone = alone();
    let (x, all) = (Rng::new(4).normal([7, 3], DType::F32).eval().unwrap(), three(d));
    let same = |a: Vec<Array>, b: Result<Vec<Array>>| {
        let b = b.unwrap();
        assert!(a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.device() == b.device() && host(a) == host(b)));
    };
    let syncs = || all.iter().map(|d| d.stats().syncs).sum::<u64>();
    let parts = devices::scatter(&x, &all, 0).unwrap();
    let wholes = devices::broadcast(&x, &all).unwrap();
    // the calls start the copies and do not wait for them
    let before = syncs();
    let scattered = devices::scatter_async(&x, &all, 0);
    let copied = devices::broadcast_async(&x, &all);
    let gathered = devices::gather_async(&parts, 0, d);
    let all_gathered = devices::all_gather_async(&parts, 0);
    let summed = devices::all_reduce_async(&wholes);
    drop(devices::all_reduce_async(&wholes));
    assert_eq!(syncs(), before);
    same(parts.clone(), pollster::block_on(scattered));
    same(wholes.clone(), pollster::block_on(copied));
    same(vec![devices::gather(&parts, 0, d).unwrap()], pollster::block_on(gathered).map(|x| vec![x]));
    same(devices::all_gather(&parts, 0).unwrap(), pollster::block_on(all_gathered));
    same(devices::all_reduce(&wholes).unwrap(), pollster::block_on(summed));
}

fn copies_are_counted(d: &Device) {
    let _alone = alone();
    let all = [0; 3].map(|_| d.with_memory_limit(1 << 28).unwrap());
    let x = ones([1 << 16], DType::F32).eval().unwrap();
    let moved = |work: &dyn Fn()| {
        let now = || all.iter().map(|d| d.stats()).fold((0, 0), |n, s| (n.0 + s.bytes_in, n.1 + s.bytes_out));
        let before = now();
        work();
        let after = now();
        (((after.0 - before.0) >> 18), ((after.1 - before.1) >> 18))
    };
    // the bytes copied to and from the devices, in units of the array's size
    assert_eq!(moved(&|| drop(devices::broadcast(&x, &all).unwrap())), (3, 0));
    let parts = devices::broadcast(&x, &all).unwrap();
    assert_eq!(moved(&|| drop(devices::broadcast(&parts[0], &all).unwrap())), (2, 2));
    assert_eq!(moved(&|| drop(devices::all_reduce(&parts).unwrap())), (4, 4));
    assert_eq!(moved(&|| drop(devices::gather(&parts, 0, &all[1]).unwrap())), (2, 2));
    // each array is sent to two other devices; the results are three times as long
    assert_eq!(moved(&|| drop(devices::all_gather(&parts, 0).unwrap())), (8, 8));
    let same = [parts[0].clone(), parts[0].clone()];
    assert_eq!(moved(&|| drop(devices::all_reduce(&same).unwrap())), (0, 0));
}

fn a_long_array_moves_in_pieces(d: &Device) {
    let _alone = alone();
    // 42 MB are three pieces; the view begins inside of the buffer
    let (n, other) = (10_500_000, d.with_memory_limit(1 << 28).unwrap());
    let x = arange(0, n + 1, 1, DType::I32).to_device(d).unwrap();
    let before = (d.stats(), other.stats());
    let moving = x.slice(s![1..]).to_device_async(&other);
    assert_eq!(d.stats().syncs, before.0.syncs);
    let y = pollster::block_on(moving).unwrap();
    assert_eq!(other.stats().bytes_in - before.1.bytes_in, 4 * n as u64);
    assert_eq!(y.device(), other);
    assert!(y.to_vec::<i32>().unwrap() == (1..=n).collect::<Vec<i32>>());
}

fn a_pipeline_of_blocks_does_not_wait(d: &Device) {
    let _alone = alone();
    let x = Rng::new(6).normal([1000, 16], DType::F32).eval().unwrap();
    let mut product = zeros([16, 16], DType::F32).to_device(d).unwrap();
    let before = d.stats();
    for block in x.chunks(100).unwrap() {
        let block = block.to_device(d).unwrap();
        product.update(|p| p + block.t().matmul(&block)).unwrap();
    }
    let after = d.stats();
    assert_eq!(after.syncs, before.syncs);
    assert_eq!(after.bytes_in - before.bytes_in, if d.is_gpu() { 64_000 } else { 0 });
    let whole = x.t().matmul(&x).to_vec::<f32>().unwrap();
    for (a, b) in product.to_vec::<f32>().unwrap().iter().zip(whole) {
        assert!((a - b).abs() < 1e-2, "{a} {b}");
    }
    // on a GPU, blocks of an array are views, and blocks of an expression are computed there
    let there = x.to_device(d).unwrap();
    for (i, block) in (&*there * 2.0).chunks(300).unwrap().enumerate() {
        let want = (x.slice(s![300 * i..(300 * i + 300).min(1000)]) * 2.0).to_vec::<f32>().unwrap();
        assert_eq!(block.to_vec::<f32>().unwrap(), want);
    }
}

fn what_does_not_fit_names_its_part(d: &Device) {
    let _alone = alone();
    let (x, y) = (put(d, vec![1f32; 3], &[3]), put(&Device::cpu(), vec![1f32; 4], &[4]));
    let e = devices::all_reduce(&[x.clone(), y]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Shape);
    assert!(e.to_string().contains("all_reduce: part 1 on cpu has shape [4], not [3] like part 0"), "{e}");
    let e = devices::all_reduce(&[x.clone(), put(d, vec![1i32; 3], &[3])]).unwrap_err();
    assert!(e.kind() == ErrorKind::DType && e.to_string().contains("part 1"), "{e}");
    let small = d.with_memory_limit(1 << 16).unwrap();
    let e = devices::broadcast(zeros([1 << 16], DType::F32), &[d.clone(), small]).unwrap_err();
    assert!(e.kind() == ErrorKind::OutOfMemory && e.to_string().contains("collectives.rs"), "{e}");
    for e in [
        devices::all_reduce(&[]).unwrap_err(),
        devices::all_gather(&[], 0).unwrap_err(),
        devices::gather(&[], 0, d).unwrap_err(),
        devices::scatter(&x, &[], 0).unwrap_err(),
        devices::scatter(&x, std::slice::from_ref(d), 1).unwrap_err(),
        devices::gather(std::slice::from_ref(&x), 1, d).unwrap_err(),
    ] {
        assert!(e.to_string().contains("(tests/devices/collectives.rs:"), "{e}");
    }
    assert!(devices::broadcast(&x, &[]).unwrap().is_empty());
}
}

/// Checks that the arrays are on three different devices.
fn three_of(parts: &[Array]) {
    let all: Vec<Device> = parts.iter().map(Array::device).collect();
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
}

/// If a device is lost during the work, the call returns an error with its line, and other devices continue.
#[cfg(feature = "gpu")]
#[test]
fn a_lost_device_is_an_error_with_the_line() {
    let _alone = alone();
    let Some(d) = gpu(1) else { return };
    let lost = d.with_memory_limit(1 << 28).unwrap();
    let parts = devices::broadcast(array![1., 2.], &[d.clone(), lost.clone()]).unwrap();
    testing::destroy(&lost);
    let line = line!() + 1;
    let e = devices::all_reduce(&parts).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DeviceLost, "{e}");
    assert_eq!(e.location().map(|at| at.line()), Some(line), "{e}");
    let e = devices::broadcast(&parts[0], &[lost]).unwrap_err();
    assert!(e.to_string().contains("collectives.rs"), "{e}");
    // while parts are on their way
    let lost = d.with_memory_limit(1 << 28).unwrap();
    let sources = devices::broadcast(ones([6_000_000], DType::F32), &[d.clone(), lost.clone()]).unwrap();
    let line = line!() + 1;
    let adding = devices::all_reduce_async(&sources);
    testing::destroy(&lost);
    let e = pollster::block_on(adding).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DeviceLost, "{e}");
    assert_eq!(e.location().map(|at| at.line()), Some(line), "{e}");
    assert_eq!((&parts[0] * 2.0).to_vec::<f32>().unwrap(), [2., 4.]);
}
