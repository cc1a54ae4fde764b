//! Writes at positions: the last of several values stays, updates happen in place, and nothing else changes.

use crate::kit::{dice::Dice, on_devices, own, put, read};
use cupric::{Array, Clip, DType, DType::*, Device, Wrap, concat, s, testing, zeros};

/// Elements whose bits differ from each other.
fn counted(dtype: DType, from: usize, shape: &[usize], d: &Device) -> Array {
    let n = shape.iter().product::<usize>();
    let numbers = put(d, (from..from + n).map(|i| i as u32 % 60_000).collect::<Vec<_>>(), shape);
    numbers.astype(U16).astype(if dtype == Bool { U8 } else { dtype }).astype(dtype).eval().unwrap()
}

on_devices! {

// Writes few positions of a large array, some of them several times: single elements and rows.
fn few_values(d: &Device) {
    let devices = match d.is_gpu() {
        true => vec![d.clone(), testing::gpu_without_int64().unwrap()],
        false => vec![d.clone()],
    };
    for d in devices {
        let types = if d.is_gpu() { vec![F32, U8, I64] } else { vec![Bool, U8, I16, F16, BF16, F32, I64, U64, F64] };
        for dtype in types {
            let mut dice = Dice::new(3);
            let x = counted(dtype, 7, &[64, 30], &d);
            let had = read(&x).unwrap();
            let at: Vec<i32> = (0..100).map(|_| dice.between(-2000, 3000) as i32 / 50 * 50).collect();
            let new = counted(dtype, 3, &[100], &d);
            let i = put(&d, at.clone(), &[100]);
            let (mut clipped, mut wrapped) = (had.clone(), had.clone());
            for (p, v) in at.iter().zip(read(&new).unwrap()) {
                clipped[(*p).clamp(0, 1919) as usize] = v;
                wrapped[(*p).rem_euclid(1920) as usize] = v;
            }
            assert!(read(&x.put(Clip(&i), &new)).unwrap() == clipped, "{dtype} clipped on {d}");
            assert!(read(&x.put(Wrap(&i), &new)).unwrap() == wrapped, "{dtype} wrapped on {d}");
            // rows, some of them several times
            let rows = put(&d, vec![5i64, -1, 5, 0], &[4]);
            let new = counted(dtype, 100, &[4, 30], &d);
            let (mut want, v) = (had.clone(), read(&new).unwrap());
            for (k, r) in [5, 63, 5, 0].into_iter().enumerate() {
                want[r * 30..][..30].copy_from_slice(&v[k * 30..][..30]);
            }
            let mut y = x.clone();
            y.set_at((&rows,), &new).unwrap();
            assert!(read(&y).unwrap() == want, "rows of {dtype} on {d}");
            assert!(read(&x).unwrap() == had, "{dtype}: the array that shared the memory");
            // one position with one value
            let one = zeros([1], dtype).slice(s![0]);
            y.set_at((3, -2), &one).unwrap();
            want[3 * 30 + 28] = 0;
            assert!(read(&y).unwrap() == want, "one element of {dtype} on {d}");
        }
    }
}

// An update at positions neither copies nor reads the whole array where the documentation promises that.
fn updates_in_place(d: &Device) {
    let d = &own(d);
    let n = 1 << 20;
    let few = put(d, vec![3i32, 70_000, 3, n as i32 - 1], &[4]);
    let new = put(d, vec![1f32, 2., 3., 4.], &[4]);
    let mut x = zeros([n], F32).to_device(d).unwrap();
    let mut rows = zeros([1024, 1024], F32).to_device(d).unwrap();
    let mut counts = zeros([n], I32).to_device(d).unwrap();
    let one = put(d, vec![1i32, 1], &[2]);
    d.synchronize().unwrap();
    let used = d.memory().used;
    x.set_at(Clip((&few,)), &new).unwrap();
    x.update(|x| x.put(Wrap(&few), &new * 2)).unwrap();
    rows.set_at(Clip((&one, put(d, vec![2i32, 5], &[2]))), 7).unwrap();
    rows.update(|r| r.put(Clip(&few), &new)).unwrap();
    let row = zeros([1024], F32).to_device(d).unwrap();
    rows.set_at(Wrap((&one,)), &row).unwrap();
    counts.update(|c| c.index_add(0, Clip(&few), 2)).unwrap();
    if !d.is_gpu() {
        // the CPU finds the wrong position before it writes anything
        x.set_at((&few,), &new).unwrap();
        x.update(|x| x.put(&few, &new * 2)).unwrap();
        assert!(x.set_at((put(d, vec![5i32, n as i32], &[2]),), 9).is_err());
    }
    d.synchronize().unwrap();
    let more = d.memory().peak - used;
    assert!(more < 1 << 20, "{more} bytes for updates of a few elements");
    let (x, rows, counts) = (x.to_vec::<f32>().unwrap(), rows.to_vec::<f32>().unwrap(), counts.to_vec::<i32>().unwrap());
    assert_eq!((x[3], x[5], x[70_000], x[n - 1]), (6., 0., 4., 8.));
    assert_eq!(x.iter().sum::<f32>(), 18.);
    assert_eq!((rows[3], rows[70_000], rows[n - 1], rows[1024 + 2]), (3., 2., 4., 0.));
    assert_eq!(rows.iter().sum::<f32>(), 9.);
    assert_eq!((counts[3], counts[70_000], counts.iter().sum::<i32>()), (4, 2, 8));
}

// An update keeps all other elements: if another array shares the memory, if the array is a strided or transposed view,
// and if the values are computed from the array itself.
fn updates_keep(d: &Device) {
    let had: Vec<i32> = (0..600).collect();
    let x = put(d, had.clone(), &[20, 30]);
    let i = put(d, vec![7i32, 5, 7], &[3]);
    let mut y = x.clone();
    y.update(|y| y.put(Clip(&i), put(d, vec![-1, -2, -3], &[3]))).unwrap();
    let mut want = had.clone();
    (want[5], want[7]) = (-2, -3);
    assert_eq!(y.to_vec::<i32>().unwrap(), want);
    assert_eq!(x.to_vec::<i32>().unwrap(), had);
    let mut sums = x.clone();
    sums.update(|x| x.index_add(0, Clip(put(d, vec![1i32, 1], &[2])), 1000)).unwrap();
    assert_eq!(x.to_vec::<i32>().unwrap(), had);
    let sums = sums.to_vec::<i32>().unwrap();
    assert!((0..600).all(|k| sums[k] == had[k] + if k / 30 == 1 { 2000 } else { 0 }));
    // values computed from the array are the ones before the write
    let mut y = x.clone();
    y.update(|y| y.put(Clip(&i), y.reshape([-1]).take(Clip(put(d, vec![5i32, 7, 9], &[3])), 0))).unwrap();
    (want[5], want[7]) = (7, 9);
    assert_eq!(y.to_vec::<i32>().unwrap(), want);
    let mut alone = put(d, had.clone(), &[600]);
    alone.update(|y| y.put(Clip(&i), y.take(Clip(put(d, vec![5i32, 7, 9], &[3])), 0))).unwrap();
    assert_eq!(alone.to_vec::<i32>().unwrap(), want);
    // positions computed from the array itself
    let mut alone = put(d, had.clone(), &[600]);
    alone.update(|y| y.put(Clip(y.slice(s![10..13])), 0)).unwrap();
    assert_eq!(alone.slice(s![8..15]).to_vec::<i32>().unwrap(), [8, 9, 0, 0, 0, 13, 14]);
    // parts of an array, and transposed arrays
    let mut part = put(d, had.clone(), &[20, 30]);
    part.slice_mut(s![.., ..;2]).update(|p| p.put(Clip(&i), 0)).unwrap();
    let mut want = had.clone();
    (want[10], want[14]) = (0, 0);
    assert_eq!(part.to_vec::<i32>().unwrap(), want);
    part.slice_mut(s![3]).update(|p| p.put(Clip(&i), -5)).unwrap();
    (want[95], want[97]) = (-5, -5);
    assert_eq!(part.to_vec::<i32>().unwrap(), want);
    let mut turned = x.t().eval().unwrap();
    turned.set_at((1, 2), -9).unwrap();
    turned.update(|t| t.put(Clip(&i), -8)).unwrap();
    let want: Vec<i32> = (0..600).map(|k| match k {
        5 | 7 => -8,
        22 => -9,
        k => k % 20 * 30 + k / 20,
    }).collect();
    assert_eq!(turned.to_vec::<i32>().unwrap(), want);
    assert_eq!(x.to_vec::<i32>().unwrap(), had);
}

// Writes a part of a result that a kernel can only store as a whole, to a target of the part's size.
fn parts_of_wholes(d: &Device) {
    let a = put(d, vec![1f32, 2.], &[2]);
    let b = put(d, vec![3f32, 4.], &[2]);
    let mut x = zeros([2], F32).to_device(d).unwrap();
    x.set(s![0], concat([&a, &b], 0).slice(s![0])).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [1., 0.]);
    let m = put(d, vec![1f32, 2., 3., 4.], &[2, 2]);
    x.assign(m.matmul(&m).slice(s![.., 0])).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [7., 15.]);
    x.assign(m.matmul(&m).slice(s![1])).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [15., 22.]);
    x.set(s![1], m.matmul(b.reshape([2, 1])).slice(s![0, 0])).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [15., 11.]);
    x.set(s![1], concat([&b, &a], 0).sort(0).slice(s![0])).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [15., 1.]);
    x.set(s![1], a.put(Clip(0), 9).slice(s![0])).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [15., 9.]);
    x.set(s![..1], a.put(Clip(0), 8).slice(s![1..])).unwrap();
    assert_eq!(x.to_vec::<f32>().unwrap(), [2., 9.]);
    // the whole result, reshaped to the target's shape
    let mut y = zeros([2, 2], F32).to_device(d).unwrap();
    y.assign(concat([&a, &b], 0).reshape([2, 2])).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [1., 2., 3., 4.]);
    y.assign(concat([&a, &b], 0).reshape([2, 2]).t()).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [1., 3., 2., 4.]);
    y.set(s![1], m.matmul(b.reshape([2, 1])).reshape([2])).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [1., 3., 11., 25.]);
}

}

#[test]
fn the_last_of_many_stays() {
    let d = Device::cpu();
    for (places, count, row) in [(3, 300_000, 1), (1_300_000, 400_000, 1), (90_000, 20_000, 33), (1, 70_000, 2)] {
        let mut dice = Dice::new(5);
        let at: Vec<usize> = (0..count).map(|_| dice.below(places)).collect();
        let i = put(&d, at.iter().map(|i| *i as u32).collect::<Vec<_>>(), &[count]);
        for dtype in [U32, I64, F16] {
            let v = counted(dtype, 1, &[count, row], &d);
            let new = read(&v).unwrap();
            let x = zeros([places, row], dtype).eval().unwrap();
            let mut want = read(&x).unwrap();
            for (k, i) in at.iter().enumerate() {
                want[i * row..][..row].copy_from_slice(&new[k * row..][..row]);
            }
            for threads in [1, 2, 3, 8, 16] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut y = x.clone();
                pool.install(|| y.set_at((&i,), &v)).unwrap();
                assert!(read(&y).unwrap() == want, "{count} rows of {row} {dtype} to {places}, {threads} threads");
                // values that are computed or transposed, and positions from a `select`
                let turned = v.t().flip(..).flip(..).t();
                let got = pool.install(|| read(&x.put_along_axis(i.reshape([count, 1]), &turned, 0)));
                if row == 1 || threads == 3 {
                    assert!(got.unwrap() == want, "{threads} threads, along an axis");
                }
            }
        }
    }
}
