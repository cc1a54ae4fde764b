//! Host lists whose length depends on a caller: bounded or avoided, and in time proportional to the caller's data.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::time::{Duration, Instant};

/// An array with `n` elements along its axis, of which memory holds only one.
fn long(d: &Device, n: usize) -> Expr {
    put(d, vec![1u8], &[1]).broadcast_to([n])
}

fn limit<T>(r: Result<T>) {
    assert_eq!(r.err().map(|e| e.kind()), Some(ErrorKind::LimitExceeded));
}

/// Panics if the work takes 30 s: many times what it takes now, and a small part of what it took before.
fn soon<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(30), "{what}: {:?}", start.elapsed());
    result
}

#[test]
fn parts_of_long_axes_are_limited() {
    let d = Device::cpu();
    for n in [1usize << 60, 1 << 40, (1 << 24) + 1] {
        limit(long(&d, n).unstack(0));
        limit(long(&d, n).split(n, 0));
        limit(long(&d, n).array_split(n, 0));
    }
}

#[test]
fn polynomials_are_limited() {
    let d = Device::cpu();
    let x = put(&d, vec![1f32], &[1]);
    for n in [1usize << 60, 1 << 40, 65_537] {
        limit(x.polyval(long(&d, n)).shape());
    }
    limit(x.polyval(vec![1.0; 65_537]).shape());
    assert_eq!(x.polyval(vec![1.0; 5000]).item::<f32>().unwrap(), 5000.0);
}

#[test]
fn long_axes_lose_and_get_elements_at_a_slice() {
    let d = Device::cpu();
    let (n, x) = (1usize << 40, long(&d, 1 << 40));
    assert_eq!(x.delete(s![..;2], 0).shape().unwrap(), [n / 2]);
    assert_eq!(x.delete(s![-5..5;-3], 0).shape().unwrap(), [n - (n - 10).div_ceil(3)]);
    assert_eq!(x.delete(s![..], 0).shape().unwrap(), [0]);
    assert_eq!(x.insert(s![..;2], 1, 0).shape().unwrap(), [n + n / 2]);
    assert_eq!(x.insert(s![..;-7], 1, 0).shape().unwrap(), [n + n.div_ceil(7)]);
}

#[test]
fn counts_of_a_list_take_no_memory_as_long_as_the_result() {
    // on another device, where a list of positions would have been stored
    let counts = vec![1usize << 33; 40];
    let x = put(&Device::cpu(), vec![7u8; 40], &[40]);
    let shape = soon("repeat", || x.repeat(&counts[..], 0).shape().unwrap().to_vec());
    assert_eq!(shape, [40 << 33]);
}

#[test]
fn pads_of_many_cells_are_tiles() {
    let d = Device::cpu();
    for with in [Pad::Wrap, Pad::Symmetric, Pad::Reflect, Pad::Edge, Pad::constant(1)] {
        for n in 1..4usize {
            let x = put(&d, vec![1u8; n], &[n]);
            assert_eq!(soon("pad", || x.pad(1usize << 33, with).shape().unwrap().to_vec()), [n + (2 << 33)]);
        }
    }
}

#[test]
fn no_positions_of_no_elements() {
    let x = zeros([0, 1usize << 60], U8);
    assert_eq!(x.nonzero().unwrap().iter().map(Array::size).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(x.argwhere().unwrap().shape(), [0, 2]);
    assert_eq!(zeros([3, 0, 1usize << 40], F32).nonzero().unwrap().len(), 3);
}

#[test]
fn long_chains_of_matrices() {
    let d = Device::cpu();
    // matrices that shift rows by one, so that the product is known
    let ones = |n: usize| -> Vec<f32> { (0..9).map(|i| ((i / 3 + n) % 3 == i % 3) as u8 as f32).collect() };
    let shift = put(&d, ones(1), &[3, 3]);
    for n in [64usize, 65, 100, 1000] {
        let product = soon("multi_dot", || multi_dot(vec![&shift; n]).to_vec::<f32>().unwrap());
        assert_eq!(product, ones(n), "{n}");
    }
}

/// Compares a call for many numbers with single calls for each number.
fn same<T: Element + PartialEq + std::fmt::Debug>(many: &Expr, each: Vec<Expr>) {
    assert_eq!(many.to_vec::<T>().unwrap().len(), each.len() * many.size().unwrap() / many.shape().unwrap()[0].max(1));
    for (k, one) in each.iter().enumerate() {
        let row = many.slice(s![k as isize, ...]);
        assert_eq!(row.shape().unwrap(), one.shape().unwrap());
        // compares NaNs as text, because they are not equal
        let bits = |e: &Expr| e.to_vec::<T>().unwrap().iter().map(|x| format!("{x:?}")).collect::<Vec<_>>();
        assert_eq!(bits(&row), bits(one), "{k}");
    }
}

on_devices! {

fn many_quantiles_are_those_of_each(d: &Device) {
    use QuantileMethod::*;
    let x = [3., -1., f32::INFINITY, 9., 0.5, -0.0, f32::NEG_INFINITY, 4., 2., f32::NAN, 1e38, -3e38];
    let x = put(d, x.to_vec(), &[3, 2, 2]);
    let q: Vec<f64> = (0..40).map(|i| i as f64 / 39.0).chain([0.1, 1.0 - 1e-12, 0.5]).collect();
    let none = put::<f32>(d, vec![], &[2, 0]);
    for method in [Linear, Lower, AveragedInvertedCdf, Midpoint, Hazen] {
        same::<f32>(&x.quantile(&q, 0, method), q.iter().map(|q| x.quantile(*q, 0, method)).collect());
        same::<f32>(&x.quantile(&q, keep((0, 2)), method), q.iter().map(|q| x.quantile(*q, keep((0, 2)), method)).collect());
        same::<f32>(&x.nanquantile(&q, (1, 2), method), q.iter().map(|q| x.nanquantile(*q, (1, 2), method)).collect());
        same::<f32>(&x.nanquantile(&q[..2], keep(1), method), q[..2].iter().map(|q| x.nanquantile(*q, keep(1), method)).collect());
        let halves = x.astype(F16);
        same::<f16>(&halves.quantile(&q, .., method), q.iter().map(|q| halves.quantile(*q, .., method)).collect());
        same::<f32>(&none.quantile(&q, 1, method), q.iter().map(|q| none.quantile(*q, 1, method)).collect());
    }
    let k = put(d, vec![5i32, -3, 8, 8, 1, 0], &[6]);
    same::<f32>(&k.quantile(&q, 0, Weibull), q.iter().map(|q| k.quantile(*q, 0, Weibull)).collect());
    same::<i32>(&k.quantile(&q, 0, Nearest), q.iter().map(|q| k.quantile(*q, 0, Nearest)).collect());
    let many: Vec<f64> = (0..1_000_000).map(|i| i as f64 / 999_999.0).collect();
    let all = soon("quantile", || k.quantile(&many, 0, Linear).to_vec::<f32>().unwrap());
    assert!(all.len() == many.len() && all.is_sorted() && all[0] == -3.0 && all[999_999] == 8.0);
}

fn many_choices_are_those_of_each(d: &Device) {
    let i: Vec<i32> = (0..300).map(|k| (k * 7) % 70).collect();
    let i = put(d, i, &[3, 100]);
    // literals, rows that broadcast, and an array with one more axis
    let numbers: Vec<i32> = (0..70).map(|k| 1000 + k).collect();
    let wanted: Vec<i32> = i.to_vec::<i32>().unwrap().iter().map(|k| 1000 + k).collect();
    assert_eq!(i.choose(numbers.clone()).to_vec::<i32>().unwrap(), wanted);
    let deep = arange(0, 200, 1, I32).reshape([2, 1, 100]);
    let arrays: Vec<Expr> = (0..70).map(|k| if k == 35 { deep.clone() } else { deep.slice(s![0]) * k }).collect();
    let few = arrays.iter().enumerate().fold(zeros([2, 3, 100], I32), |r, (k, a)| select(i.equal(k as i32), a, r));
    let many = i.choose(arrays);
    assert_eq!(many.shape().unwrap(), [2, 3, 100]);
    assert_eq!(many.to_vec::<i32>().unwrap(), few.to_vec::<i32>().unwrap());
    assert_eq!(((&i + 70) % 70).choose(numbers.clone()).to_vec::<i32>().unwrap(), wanted);
    assert_eq!((&i - 70).clip(0, 69).choose(numbers.clone()).to_vec::<i32>().unwrap(), [1000; 300]);
    // a GPU reports the error at the next read
    assert_eq!((&i + 70).choose(numbers).to_vec::<i32>().unwrap_err().kind(), ErrorKind::Index);
}

fn pads_of_many_cells(d: &Device) {
    // NumPy's rules for padding, element by element
    let at = |i: isize, n: isize, with: Pad| match with {
        Pad::Wrap => i.rem_euclid(n),
        Pad::Symmetric => i.rem_euclid(2 * n).min(2 * n - 1 - i.rem_euclid(2 * n)),
        _ if n == 1 => 0,
        _ => i.rem_euclid(2 * n - 2).min(2 * n - 2 - i.rem_euclid(2 * n - 2)),
    };
    for with in [Pad::Wrap, Pad::Symmetric, Pad::Reflect] {
        for (n, before, after) in [(1, 40, 0), (2, 33, 100), (3, 0, 200), (3, 301, 7), (4, 129, 130), (5, 1, 1)] {
            let x = put(d, (0..2 * n as i32).collect::<Vec<_>>(), &[n, 2]);
            let padded = x.pad([(before, after), (1, 70)], with);
            let (rows, columns) = (before + n + after, 1 + 2 + 70);
            let one = |r: usize, c: usize| {
                let (r, c) = (r as isize - before as isize, c as isize - 1);
                (at(r, n as isize, with) * 2 + at(c, 2, with)) as i32
            };
            let wanted: Vec<i32> = (0..rows * columns).map(|k| one(k / columns, k % columns)).collect();
            assert_eq!(padded.shape().unwrap(), [rows, columns]);
            assert_eq!(padded.to_vec::<i32>().unwrap(), wanted, "{with:?} {n} {before} {after}");
        }
    }
}

fn slices_left_out_and_put_in(d: &Device) {
    let items = [s![..], s![..;2], s![1..;3], s![..;-1], s![7..2;-2], s![2..9;4], s![5..5], s![3..4], s![-4..], s![..;50]];
    for n in [0usize, 1, 2, 7, 12] {
        let x = put(d, (0..2 * n as i32).collect::<Vec<_>>(), &[2, n]);
        for item in items {
            let places: Vec<isize> = arange(0, n as i32, 1, I32).slice(item).to_vec::<i32>().unwrap().iter().map(|i| *i as isize).collect();
            assert_eq!(x.delete(item, 1).to_vec::<i32>().unwrap(), x.delete(&places[..], 1).to_vec::<i32>().unwrap(), "{n} {item:?}");
            let values = arange(100, 100 + places.len() as i32, 1, I32);
            let (by_slice, by_list) = (x.insert(item, &values, 1), x.insert(&places[..], &values, 1));
            assert_eq!(by_slice.shape().unwrap(), by_list.shape().unwrap());
            assert_eq!(by_slice.to_vec::<i32>().unwrap(), by_list.to_vec::<i32>().unwrap(), "{n} {item:?}");
        }
    }
}

fn lines_over_wide_gaps(d: &Device) {
    let line = |x: &[f32]| {
        let [x, xp, fp] = [x, &[-3e38, 3e38], &[1., 2.]].map(|v| put(d, v.to_vec(), &[v.len()]));
        interp(x, xp, fp).to_vec::<f32>().unwrap()
    };
    assert_eq!(line(&[0., 1e38, -3e38, 3e38, f32::MAX]), [1.5, 1.5 + 1. / 6., 1., 2., 2.]);
    assert!(line(&[f32::NAN])[0].is_nan());
    let wide = put(d, vec![f64::MIN, f64::MAX], &[2]);
    assert_eq!(interp(put(d, vec![0f64], &[1]), &wide, put(d, vec![10f64, 20.], &[2])).item::<f64>().unwrap(), 15.0);
}

}
