//! Compares `take` with a plain loop: rows, columns, one repeated index, sources that are views, every mode.

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::*;

/// The elements that a plain loop takes along an axis of a C-ordered array.
fn plain(x: &[f64], shape: &[usize], indices: &[i32], axis: usize, index: impl Fn(i32) -> usize) -> Vec<f64> {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let mut out = vec![];
    for o in 0..outer {
        for i in indices {
            let row = (o * shape[axis] + index(*i)) * inner;
            out.extend_from_slice(&x[row..row + inner]);
        }
    }
    out
}

on_devices! {

fn rows_columns_and_repeats(d: &Device) {
    let mut stage = Stage::new(1, "take", d);
    let shapes: [&[usize]; 7] = [&[5], &[4, 3], &[7, 64], &[3, 1000], &[300, 5], &[3, 4, 17], &[2, 3, 4, 5]];
    for (round, shape) in shapes.into_iter().enumerate() {
        let n: usize = shape.iter().product();
        let x: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 251) as f64).collect();
        let y = put(d, x.iter().map(|v| *v as f32).collect::<Vec<f32>>(), shape);
        for axis in 0..shape.len() {
            let len = shape[axis] as i32;
            let lists = [
                (0..len).rev().collect::<Vec<i32>>(),
                vec![len - 1; 70],
                (0..600).map(|i| (i * i + round as i32) % len).collect(),
                vec![-1, -len, 0],
                vec![0],
            ];
            for list in lists {
                let i = put(d, list.clone(), &[list.len()]);
                let at = |k: i32| if k < 0 { (k + len) as usize } else { k as usize };
                let want = plain(&x, shape, &list, axis, at);
                for dtype in [DType::F32, DType::U8, DType::F16, DType::I32] {
                    let got = y.astype(dtype).eval().unwrap().take(&i, axis as isize).astype(DType::F32);
                    let want: Vec<f32> = want.iter().map(|v| *v as f32).collect();
                    assert_eq!(got.to_vec::<f32>().unwrap(), want, "{shape:?} {axis} {list:?} {dtype}");
                    stage.count(1);
                }
                // the source is a view with negative strides
                let back = y.flip(..).astype(DType::F32).eval().unwrap();
                let turned = back.flip(..).take(&i, axis as isize);
                let want: Vec<f32> = want.iter().map(|v| *v as f32).collect();
                assert_eq!(turned.to_vec::<f32>().unwrap(), want, "flipped {shape:?} {axis} {list:?}");
                // clip and wrap, with indices far out of range
                let far = put(d, list.iter().map(|k| k * 3 - 4).collect::<Vec<i32>>(), &[list.len()]);
                let clip = plain(&x, shape, &list, axis, |k| (k * 3 - 4).clamp(0, len - 1) as usize);
                let wrap = plain(&x, shape, &list, axis, |k| (k * 3 - 4).rem_euclid(len) as usize);
                let take = |e: Expr| e.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect::<Vec<f64>>();
                let single = y.astype(DType::F32).eval().unwrap();
                assert_eq!(take(single.take(Clip(&far), axis as isize)), clip, "clip {shape:?} {axis} {list:?}");
                assert_eq!(take(single.take(Wrap(&far), axis as isize)), wrap, "wrap {shape:?} {axis} {list:?}");
                stage.count(3);
            }
        }
    }
}

fn indices_of_indices_and_tables_of_them(d: &Device) {
    // a device of its own, because the next read on a device returns an error that was detected late
    let d = &own(d);
    let x = put(d, (0..640).map(|v| v as f32).collect::<Vec<_>>(), &[10, 64]);
    let i = put(d, vec![3, 9, -2, 0, 7], &[5]);
    let j = put(d, vec![4, 1, 1, 2], &[4]);
    let rows = |k: &[i32]| -> Vec<f32> { k.iter().flat_map(|r| (r * 64..r * 64 + 64).map(|v| v as f32)).collect() };
    same(&x.take(i.take(&j, 0), 0), &rows(&[7, 9, 9, 8]));
    let table = put(d, vec![0, 1, 2, 9, 8, -3], &[2, 3]);
    let got = x.take(&table, 0);
    assert_eq!(got.shape().unwrap(), [2, 3, 64]);
    same(&got, &rows(&[0, 1, 2, 9, 8, 7]));
    // each element of a row has its own index, and is doubled
    let column = x.take(&table, 1) * 2.0;
    let want: Vec<f32> = (0..10).flat_map(|r| [0, 1, 2, 9, 8, 61].map(|c| 2.0 * (r * 64 + c) as f32)).collect();
    same(&column, &want);
    for bad in [x.take(i.take(put(d, vec![5], &[1]), 0), 0), x.take(i.take(&j, 0) + 1, 0)] {
        let error = bad.eval().and_then(|_| d.synchronize()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index);
    }
}

fn the_first_bad_index_is_named(d: &Device) {
    let d = &own(d);
    let x = put(d, vec![1f32; 64 * 10], &[10, 64]);
    for (list, bad) in [(vec![1, 2, 12, 3, 99], 12), (vec![0, 0, -11, 10], -11), (vec![10; 5], 10)] {
        let i = put(d, list.clone(), &[list.len()]);
        let error = x.take(&i, 0).eval().and_then(|_| d.synchronize()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index, "{list:?}");
        // a GPU reports only that an index was out of range, not which one
        let named = error.to_string().contains(&format!("index {bad} is out of range for an axis of length 10"));
        assert!(named || d.is_gpu(), "{error}");
    }
    assert_eq!(x.take(put(d, vec![9, -10], &[2]), 0).sum(..).item::<f32>().unwrap(), 128.0);
}

}
