//! Writes that fail leave the target as it was, on every device.

use crate::kit::*;
use cupric::*;

/// Asserts that a write fails, at once or at the latest when the device synchronises.
#[track_caller]
fn fails(d: &Device, result: Result<()>) {
    let e = result.and_then(|()| d.synchronize()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Index, "{e}");
    assert!(e.location().is_some_and(|at| at.file().ends_with("writes.rs")), "{e}");
}

/// Ways to write a value of 6 elements (with a bad index in it) to the first elements, or all, of an array.
type Write = fn(&mut Array, Expr) -> Result<()>;

const WAYS: [Write; 6] = [
    |x, e| x.assign(e),
    |x, e| x.update(|x| x * 2 + e),
    |x, e| x.set(s![..], e),
    |x, e| x.slice_mut(s![..]).assign(e),
    |x, e| x.slice_mut(s![..;-1]).update(|x| x - e),
    |x, e| x.slice_mut(s![1..4]).assign(e.slice(s![..3])),
];

on_devices! {

fn a_bad_index_leaves_the_target_as_it_was(d: &Device) {
    // a device of its own, because another test's read could return this error
    let d = &own(d);
    let old = [10i32, 11, 12, 13, 14, 15];
    let source = put(d, (0..8).collect::<Vec<i32>>(), &[8]);
    // the second of six indices is bad, so good ones come before and after it
    let bad = put(d, vec![1i32, 8, 2, 3, 4, 5], &[6]);
    let wide = put(d, vec![1i64, -9, 2, 3, 4, 5], &[6]);
    let table = put(d, (0..48).collect::<Vec<i32>>(), &[6, 8]);
    let values: [fn(&Expr, &Expr, &Expr) -> Expr; 8] = [
        |source, bad, _| source.take(bad, 0),
        |source, bad, _| source.take(bad, 0) * 2 + bad,
        // the gather is below a sum, in an epilogue, before a concat, inside another index, a cast or a reshape
        |_, bad, table| table.take(bad, 1).sum(1) + table.take(bad, 1).max(1),
        |_, bad, table| table.slice(s![.., ..6]).matmul(bad) + table.slice(s![0]).take(bad, 0),
        |source, bad, _| concat([source.slice(s![..3]), source.take(bad, 0).slice(s![..3])], 0),
        |source, bad, _| source.take(source.take(bad, 0), 0),
        |source, bad, _| source.take(bad, 0).astype(DType::I16).astype(DType::I32),
        |source, bad, _| source.take(bad.reshape([2, 3]), 0).t().reshape([6]),
    ];
    for (v, value) in values.iter().enumerate() {
        for (w, write) in WAYS.iter().enumerate() {
            for index in [&bad, &wide] {
                if index.dtype() == DType::I64 && !matches!(v, 0 | 6) {
                    continue;
                }
                for shared in [false, true] {
                    println!("value {v}, way {w}, {} indices, shared {shared}", index.dtype());
                    let mut x = put(d, old.to_vec(), &[6]);
                    let held = shared.then(|| x.clone());
                    fails(d, write(&mut x, value(&source, index, &table)));
                    same(&x, &old);
                    if let Some(held) = held {
                        same(&held, &old);
                    }
                    // the target can still be written
                    x.update(|x| x + 1).unwrap();
                    same(&x, &old.map(|x| x + 1));
                }
            }
        }
    }
}

fn an_array_that_writes_itself_stays(d: &Device) {
    let d = &own(d);
    let old: Vec<f32> = noise(3, 60);
    let bad = put(d, vec![0i32, 1, 2, -7, 4, 5], &[6]);
    let writes: [fn(&mut Array, &Array) -> Result<()>; 5] = [
        |x, bad| x.assign(x.take(bad, 0)),
        |x, bad| x.update(|x| x.take(bad, 0) + x),
        |x, bad| x.assign(concat([x.slice(s![..3]) * 2.0, x.take(bad, 0).slice(s![3..])], 0)),
        |x, bad| x.assign(concat([x.slice(s![..3]) * 2.0, x.take(bad, 0).slice(s![3..]).exp()], 0)),
        |x, bad| x.t().eval()?.assign(x.take(bad, 0).t()),
    ];
    for write in writes {
        let mut x = put(d, old.clone(), &[6, 10]);
        fails(d, write(&mut x, &bad));
        same(&x, &old);
        // a strided target
        let mut x = put(d, [&old[..], &old].concat(), &[6, 20]).slice(s![.., ..;2]).eval().unwrap();
        let was = x.to_vec::<f32>().unwrap();
        fails(d, write(&mut x, &bad));
        same(&x, &was);
    }
}

fn joins_that_fail_in_their_second_part(d: &Device) {
    let d = &own(d);
    // the parts of a concat are separate kernels
    let old = vec![7u8; 2000];
    let good = put(d, vec![1u8; 1000], &[1000]);
    let mut index = vec![0i32; 1000];
    index[999] = 1000;
    let bad = put(d, index, &[1000]);
    let mut x = put(d, old.clone(), &[2000]);
    fails(d, x.assign(concat([&(&good + 1u8), &good.take(&bad, 0)], 0)));
    same(&x, &old);
    fails(d, x.set(s![..;-1], concat([&*good, &good.take(&bad, 0)], 0)));
    same(&x, &old);
    // too little memory for the product
    let d = d.with_memory_limit(1_400_000).unwrap();
    let m = zeros([300, 300], DType::F32).to_device(&d).unwrap();
    let mut x = full([600, 300], 3.0, cupric::DType::F32).to_device(&d).unwrap();
    let _most = zeros([16_000], DType::F32).to_device(&d).unwrap();
    let before = x.to_vec::<f32>().unwrap();
    match x.assign(concat([&(&m + 1.0), &(m.matmul(&m) + m.t())], 0)) {
        Ok(()) => same(&x.slice(s![0, ..2]), &[1f32, 1.0]),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::OutOfMemory, "{e}");
            same(&x, &before);
        }
    }
}

fn a_good_write_by_index_is_done(d: &Device) {
    let source = put(d, (0..8).collect::<Vec<i32>>(), &[8]);
    let good = put(d, vec![1i32, -1, 2], &[3]);
    let mut x = put(d, vec![9i32; 3], &[3]);
    x.assign(source.take(&good, 0)).unwrap();
    same(&x, &[1i32, 7, 2]);
    x.update(|x| x * 10 + source.take(&good, 0)).unwrap();
    same(&x, &[11i32, 77, 22]);
    x.set(s![..;-2], source.take(&good, 0).slice(s![1..])).unwrap();
    same(&x, &[2i32, 77, 7]);
    x.assign(x.take(put(d, vec![2i32, 0, 1], &[3]), 0)).unwrap();
    same(&x, &[7i32, 2, 77]);
    // writes that cannot fail do not wait for the device
    let d = own(d);
    let source = put(&d, (0..8).collect::<Vec<i32>>(), &[8]);
    let mut x = put(&d, vec![9i32; 3], &[3]);
    let far = put(&d, vec![1i32, 9, -3], &[3]);
    x.assign(source.take(Clip(&far), 0)).unwrap();
    x.update(|x| x + source.take(Wrap(&far), 0)).unwrap();
    assert_eq!(d.stats().syncs, 0);
    same(&x, &[2i32, 8, 5]);
}
}
