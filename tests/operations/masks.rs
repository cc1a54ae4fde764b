//! `compress`, `nonzero`, `flatnonzero`, `argwhere` and `set_where`, compared with plain loops.

use crate::kit::{array, dice::Dice, has, on_devices, own, put, read};
use cupric::{Array, DType, DType::*, Device, ErrorKind, Expr, ones, s, testing, zeros};

fn bits(dtype: DType, seed: u64, n: usize) -> Vec<u64> {
    let mut dice = Dice::new(seed);
    let mask = if dtype == Bool { 1 } else { u64::MAX >> (64 - 8 * dtype.size()) };
    (0..n).map(|_| dice.next() >> 3 & mask).collect()
}

/// A random mask in which one in `every` elements is true; 0 gives none.
fn mask(n: usize, every: usize, seed: u64) -> Vec<bool> {
    let mut dice = Dice::new(seed);
    (0..n).map(|_| every > 0 && dice.one_in(every)).collect()
}

fn chosen(x: &[u64], mask: &[bool]) -> Vec<u64> {
    x.iter().zip(mask).filter(|(_, m)| **m).map(|(x, _)| *x).collect()
}

fn trues(mask: &[bool]) -> Vec<i64> {
    (0..mask.len()).filter(|i| mask[*i]).map(|i| i as i64).collect()
}

fn types(d: &Device) -> Vec<DType> {
    let all = DType::ALL.into_iter().filter(|t| has(d, *t));
    if d.is_gpu() { all.filter(|t| [Bool, U8, F16, F32, I64].contains(t)).collect() } else { all.collect() }
}

fn both(d: &Device) -> Vec<Device> {
    if d.is_gpu() { vec![d.clone(), testing::gpu_without_int64().unwrap()] } else { vec![d.clone()] }
}

on_devices! {

fn compress_in_every_type(d: &Device) {
    for d in both(d) {
        for dtype in types(&d) {
            for (n, every) in [(0, 1), (1, 1), (1, 0), (7, 2), (130, 1), (130, 0), (1000, 2), (5000, 100)] {
                let x = array(dtype, &bits(dtype, 1, n), &[n], &d).unwrap();
                let m = mask(n, every, 3);
                let got = x.compress(put(&d, m.clone(), &[n])).unwrap();
                assert_eq!((got.ndim(), got.dtype()), (1, dtype));
                assert!(read(&got).unwrap() == chosen(&read(&x).unwrap(), &m), "{n} of {dtype}, one in {every}");
            }
        }
    }
}

fn sizes(d: &Device) {
    for n in [127usize, 128, 129, 255, 257, 65_535, 65_536, 65_537, 200_001] {
        for every in [1, 2, 1000, 0] {
            let m = mask(n, every, n as u64);
            let x = put(d, (0..n).map(|i| i as f32).collect::<Vec<_>>(), &[n]);
            let on = put(d, m.clone(), &[n]);
            let want = trues(&m);
            assert!(on.flatnonzero().unwrap().to_vec::<i64>().unwrap() == want, "{n}, one in {every}");
            let got = x.compress(&on).unwrap().to_vec::<f32>().unwrap();
            assert!(got == want.iter().map(|i| *i as f32).collect::<Vec<_>>(), "{n}, one in {every}");
        }
    }
}

fn layouts(d: &Device) {
    for dtype in [F32, U8, I64] {
        let own = bits(dtype, 5, 60);
        let x = array(dtype, &own, &[6, 10], d).unwrap();
        let m = put(d, mask(60, 2, 8), &[6, 10]);
        let wide = x.reshape([10, 6]).eval().unwrap();
        let forms: Vec<(Expr, Expr)> = vec![
            (wide.t(), m.clone().into()),
            (x.clone().into(), m.reshape([10, 6]).eval().unwrap().t()),
            (x.flip(..), m.flip(1)),
            (x.slice(s![..;2, ..;3]), m.slice(s![1..;2, ..;3])),
            (x.slice(s![2..3, ..]).broadcast_to([6, 10]), m.clone().into()),
            (x.clone().into(), m.slice(s![.., 3..4]).broadcast_to([6, 10])),
            (x.minimum(x.flip(0)), x.less(x.flip(1))),
            (x.t(), !m.t()),
            (x.reshape([3, 20]), m.reshape([3, 20])),
        ];
        for (k, (e, m)) in forms.iter().enumerate() {
            let on: Vec<bool> = m.to_vec().unwrap();
            assert!(read(&e.compress(m).unwrap()).unwrap() == chosen(&read(e).unwrap(), &on), "form {k} of {dtype}");
            assert_eq!(m.flatnonzero().unwrap().to_vec::<i64>().unwrap(), trues(&on));
        }
    }
}

fn first_axes_and_one_axis(d: &Device) {
    for dtype in [F32, U8, Bool] {
        let own = bits(dtype, 6, 60);
        let x = array(dtype, &own, &[3, 4, 5], d).unwrap();
        for every in [2, 1, 0] {
            let (rows, pairs) = (mask(3, every, 1), mask(12, every, 2));
            let got = x.compress(put(d, rows.clone(), &[3])).unwrap();
            assert_eq!(got.shape(), [trues(&rows).len(), 4, 5]);
            let want: Vec<u64> = trues(&rows).iter().flat_map(|i| own[*i as usize * 20..][..20].to_vec()).collect();
            assert!(read(&got).unwrap() == want);
            let got = x.compress(put(d, pairs.clone(), &[3, 4])).unwrap();
            assert_eq!(got.shape(), [trues(&pairs).len(), 5]);
            let want: Vec<u64> = trues(&pairs).iter().flat_map(|i| own[*i as usize * 5..][..5].to_vec()).collect();
            assert!(read(&got).unwrap() == want);
            let of = mask(4, every, 5);
            for e in [x.clone().into(), x.permute_dims([2, 1, 0]).eval().unwrap().permute_dims([2, 1, 0])] {
                let e: Expr = e;
                let got = e.compress_along(put(d, of.clone(), &[4]), -2).unwrap();
                assert_eq!(got.shape(), [3, trues(&of).len(), 5]);
                let kept = (0..60).filter(|k| of[k / 5 % 4]).map(|k| own[k]);
                assert!(read(&got).unwrap() == kept.collect::<Vec<_>>());
            }
        }
        // a 0-d mask
        for (one, count) in [(true, 1), (false, 0)] {
            let got = x.compress(put(d, vec![one], &[])).unwrap();
            assert_eq!(got.shape(), [count, 3, 4, 5]);
            assert_eq!(put(d, vec![7i32], &[]).compress(one).unwrap().shape(), [count]);
        }
    }
    // masks that are constants without a device
    let x = put(d, vec![1f32, 2., 3.], &[3]);
    assert_eq!(x.compress(ones([3], Bool)).unwrap().to_vec::<f32>().unwrap(), [1., 2., 3.]);
    assert_eq!(x.compress(zeros([3], Bool)).unwrap().device(), *d);
    let empty = zeros([0, 3], F32).to_device(d).unwrap();
    assert_eq!(empty.compress(zeros([0], Bool)).unwrap().shape(), [0, 3]);
    assert_eq!(empty.compress(zeros([0, 3], Bool)).unwrap().shape(), [0]);
    assert_eq!(empty.compress_along(put(d, vec![true, false, true], &[3]), 1).unwrap().shape(), [0, 2]);
}

fn positions(d: &Device) {
    for d in both(d) {
        let m = mask(210, 3, 9);
        for shape in [vec![210], vec![14, 15], vec![5, 6, 7], vec![1, 210, 1]] {
            let x = put(&d, m.iter().map(|m| if *m { f32::NAN } else { -0.0 }).collect::<Vec<_>>(), &shape);
            let axes = x.nonzero().unwrap();
            let rows = x.argwhere().unwrap();
            let flat = trues(&m);
            assert_eq!(rows.shape(), [flat.len(), shape.len()]);
            assert!(rows.dtype() == I64 && axes.iter().all(|a| a.dtype() == I64) && axes.len() == shape.len());
            let rows = rows.to_vec::<i64>().unwrap();
            let mut below = 210;
            for (a, n) in shape.iter().enumerate() {
                below /= *n as i64;
                let want: Vec<i64> = flat.iter().map(|i| i / below % *n as i64).collect();
                assert_eq!(axes[a].to_vec::<i64>().unwrap(), want);
                assert_eq!(rows.iter().skip(a).step_by(shape.len()).copied().collect::<Vec<_>>(), want);
            }
            let picked = x.take_at(axes).to_vec::<f32>().unwrap();
            assert!(picked.len() == flat.len() && picked.iter().all(|x| x.is_nan()));
        }
        let cases: [(Expr, usize); 3] = [
            (zeros([0, 3], F32).to_device(&d).unwrap().into(), 0),
            (zeros([2, 3], I8).to_device(&d).unwrap().into(), 0),
            (put(&d, vec![1u8; 6], &[2, 3]).into(), 6),
        ];
        for (x, count) in cases {
            assert_eq!(x.argwhere().unwrap().shape(), [count, 2]);
            assert_eq!(x.flatnonzero().unwrap().shape(), [count]);
            assert!(x.nonzero().unwrap().iter().all(|a| a.shape() == [count]));
        }
        // NumPy: np.argwhere(5).shape is (1, 0); np.flatnonzero(5) is [0]; np.nonzero(5) is an error
        for (number, count) in [(5, 1), (0, 0)] {
            let x = put(&d, vec![number], &[]);
            assert_eq!(x.argwhere().unwrap().shape(), [count, 0]);
            assert_eq!(x.flatnonzero().unwrap().to_vec::<i64>().unwrap(), vec![0; count]);
            assert_eq!(x.nonzero().unwrap_err().kind(), ErrorKind::Shape);
        }
    }
}

fn writes(d: &Device) {
    let d = &own(d);
    for dtype in types(d) {
        let old = bits(dtype, 1, 60);
        let new = bits(dtype, 2, 60);
        let m = mask(60, 2, 4);
        let on = put(d, m.clone(), &[6, 10]);
        let mut x = array(dtype, &old, &[6, 10], d).unwrap();
        let v = array(dtype, &new, &[6, 10], d).unwrap();
        let before = x.clone();
        x.set_where(&on, &v).unwrap();
        let want: Vec<u64> = (0..60).map(|k| if m[k] { new[k] } else { old[k] }).collect();
        assert!(read(&x).unwrap() == want && read(&before).unwrap() == old, "{dtype}");
        // a row of values with a mask of the first axis, and with a mask that is a column
        let mut x = before.clone();
        x.set_where(on.slice(s![.., 2]), v.slice(s![1])).unwrap();
        let want: Vec<u64> = (0..60).map(|k| if m[k / 10 * 10 + 2] { new[10 + k % 10] } else { old[k] }).collect();
        assert!(read(&x).unwrap() == want, "{dtype}");
        let mut x = before.clone();
        x.set_where(on.slice(s![3..4]), v.slice(s![.., 1..2])).unwrap();
        let want: Vec<u64> = (0..60).map(|k| if m[30 + k % 10] { new[k / 10 * 10 + 1] } else { old[k] }).collect();
        assert!(read(&x).unwrap() == want, "{dtype}");
    }
    // in place
    let mut x = put(d, vec![1f32, -2., 3., -4.], &[2, 2]);
    x.set_where(x.less(0), 0).unwrap();
    let allocations = d.stats().allocations;
    x.set_where(x.greater(2), x.clone() * 2.5).unwrap();
    x.set_where(true, x.clone() + 1).unwrap();
    assert!(d.stats().allocations <= allocations + 1, "a write that fuses takes no memory");
    assert_eq!(x.to_vec::<f32>().unwrap(), [2., 1., 8.5, 1.]);
}

fn refused(d: &Device) {
    let mut x = put(d, vec![1f32; 12], &[3, 4]);
    let on = |shape: &[usize]| ones(shape.to_vec(), Bool);
    for (e, name) in [
        (x.compress(on(&[4])).unwrap_err(), "compress"),
        (x.compress(on(&[3, 1])).unwrap_err(), "compress"),
        (x.compress(on(&[3, 4, 1])).unwrap_err(), "compress"),
        (x.compress_along(on(&[4]), 0).unwrap_err(), "compress_along"),
        (x.compress_along(on(&[3, 4]), 0).unwrap_err(), "compress_along"),
        (x.set_where(on(&[4]), 1).unwrap_err(), "set_where"),
        (x.set_where(on(&[3, 4, 1]), 1).unwrap_err(), "set_where"),
        (x.set_where(on(&[3]), put(d, vec![1f32; 3], &[3])).unwrap_err(), "set_where"),
    ] {
        assert_eq!((e.kind(), e.operation()), (ErrorKind::Shape, name), "{e}");
        assert!(e.to_string().contains("masks.rs"), "{e}");
    }
    assert_eq!(x.compress(&x).unwrap_err().kind(), ErrorKind::DType);
    assert_eq!(x.set_where(1, 2).unwrap_err().kind(), ErrorKind::DType);
    let failed = &x + put(d, vec![1f32; 5], &[5]);
    assert_eq!(failed.nonzero().unwrap_err().operation(), "add");
    assert_eq!(x.compress(failed.less(0)).unwrap_err().operation(), "add");
}

}

#[test]
fn threads_do_not_matter() {
    let d = Device::cpu();
    let n = 1_000_003;
    let m = mask(n, 2, 1);
    let on = put(&d, m.clone(), &[n]);
    let x: Array = array(I16, &bits(I16, 2, n), &[n], &d).unwrap();
    let (values, positions) = (chosen(&read(&x).unwrap(), &m), trues(&m));
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            assert!(read(&x.compress(&on).unwrap()).unwrap() == values, "{threads} threads");
            assert!(on.flatnonzero().unwrap().to_vec::<i64>().unwrap() == positions, "{threads} threads");
        });
    }
}

/// Masks and results that need several bindings, on grids that are too small for one dispatch.
#[cfg(feature = "gpu")]
#[test]
fn pieces_of_large_operands() {
    let Some(_) = crate::kit::gpu(1) else { return };
    let d = testing::shrunk_gpu(64 << 10, 4).unwrap();
    let n = 100_000;
    let m = mask(n, 8, 1);
    let on = put(&d, m.clone(), &[n]);
    assert!(on.flatnonzero().unwrap().to_vec::<i64>().unwrap() == trues(&m));
    let x = array(U8, &bits(U8, 1, 60_000), &[60_000], &d).unwrap();
    let few = on.slice(s![..60_000]);
    assert!(read(&x.compress(&few).unwrap()).unwrap() == chosen(&read(&x).unwrap(), &m[..60_000]));
    // a mask must fit into one binding here, because kernels read it at any position
    let e = ones([n], Bool).to_device(&d).unwrap().flatnonzero().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::LimitExceeded, "{e}");
}
