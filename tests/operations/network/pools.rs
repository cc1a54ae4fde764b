//! Max pools and average pools.

use super::*;
use crate::derivatives::{check, noise};
use cupric::DType::*;

/// A case without dilation whose padding is smaller than its windows.
fn case(n: usize, dice: &mut Dice) -> Case {
    let mut case = Case::random(n, dice);
    for j in 0..n {
        case.dilation[j] = 1;
        let most = case.window[j] - 1;
        case.padding[j] = (case.padding[j].0.min(most), case.padding[j].1.min(most));
        case.lengths[j] = case.lengths[j].max(case.window[j]);
    }
    case
}

fn options(case: &Case) -> Pool {
    let pool = Pool::new(case.window.clone()).stride(case.stride.clone()).padding(case.padding.clone());
    if case.is_last { pool.channels_last() } else { pool }
}

fn pool(n: usize, is_max: bool, x: &Expr, options: Pool) -> Expr {
    match (n, is_max) {
        (1, true) => x.max_pool1d(options),
        (2, true) => x.max_pool2d(options),
        (_, true) => x.max_pool3d(options),
        (1, false) => x.avg_pool1d(options),
        (2, false) => x.avg_pool2d(options),
        (_, false) => x.avg_pool3d(options),
    }
}

/// The elements of a window that are not padding.
fn elements(case: &Case, x: &Host<f64>, at: &[usize]) -> Vec<f64> {
    let places = every_index(&case.window).into_iter().filter_map(|k| case.place(&at[2..], &k));
    places.map(|p| x.at(&shaped(at[0], at[1], &p))).collect()
}

/// Random numbers that differ so much that a finite difference does not change which one is the maximum.
fn apart(dice: &mut Dice, shape: &[usize], d: &Device) -> Array {
    let n: usize = shape.iter().product();
    let mut numbers: Vec<f64> = (0..n).map(|i| (i as f64 - n as f64 / 2.0) * 2e-3).collect();
    (1..n).for_each(|i| numbers.swap(i, dice.below(i + 1)));
    Array::from_vec(numbers, shape).unwrap().to_device(d).unwrap()
}

on_devices! {

fn pools_equal_loops(d: &Device) {
    for seed in seeds(21, 60, d != &Device::cpu()) {
        let dice = &mut Dice::new(seed);
        let n = dice.below(3) + 1;
        let case = case(n, dice);
        let t = *dice.of(&[F32, F16, BF16, F64, I32, U8, I64].into_iter().filter(|t| has(d, *t)).collect::<Vec<_>>());
        let x = whole(&shaped(case.batch, case.channels[0], &case.lengths), dice);
        let x = if t == U8 { x.map(f64::abs) } else { x };
        let shape = shaped(case.batch, case.channels[0], &case.counts());
        let max = Host::of(&shape, |at| elements(&case, &x, at).into_iter().fold(f64::NEG_INFINITY, f64::max));
        let mean_type = if t.is_float() { t } else { F32 };
        let mean = Host::of(&shape, |at| {
            let all = elements(&case, &x, at);
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            number::real(mean_type, number::round(mean_type, mean))
        });
        let [x, max, mean] = [&x, &max, &mean].map(|h| moved(h, 1, case.is_last));
        let x = put(t, &x, d);
        let what = format!("seed {seed}: {}", case.named());
        holds(&what, &pool(n, true, &Expr::from(&x), options(&case)), t, &max);
        let got = pool(n, false, &Expr::from(&x), options(&case));
        assert_eq!(got.dtype().unwrap(), mean_type);
        near(&got.astype(F32), &mean.data, |want| want.abs() * if t == BF16 { 2f64.powi(-7) } else { 2f64.powi(-10) } + 1e-6);
    }
}

fn derivatives_of_pools_equal_differences(d: &Device) {
    if !has(d, F64) {
        return;
    }
    for seed in seeds(22, 16, d != &Device::cpu()) {
        let dice = &mut Dice::new(seed);
        let n = dice.below(3) + 1;
        let case = case(n, dice);
        let mut shape = shaped(case.batch, case.channels[0], &case.lengths);
        if case.is_last {
            let channels = shape.remove(1);
            shape.push(channels);
        }
        let x = apart(dice, &shape, d);
        for is_max in [true, false] {
            let what = format!("seed {seed}: max {is_max}, {}", case.named());
            let f = |x: &Expr| pool(n, is_max, x, options(&case));
            check(&what, d, std::slice::from_ref(&x), 2e-8, |v| f(&v[0]));
            let g = noise(dice, f(&Expr::from(&x)).shape().unwrap(), -1.0, 1.0, d);
            check(&format!("{what}, of the derivative"), d, &[g], 2e-8, |v| {
                let x = Expr::from(&x);
                let [dx] = vjp(&f(&x), &v[0], [&x]);
                dx.square()
            });
        }
    }
}

fn long_windows_with_a_short_stride(d: &Device) {
    if !has(d, F64) {
        return;
    }
    let dice = &mut Dice::new(4);
    for is_last in [false, true] {
        let x = noise(dice, if is_last { &[2, 11, 12, 3] } else { &[2, 3, 11, 12] }, -1.0, 1.0, d);
        let options = Pool::new(7).stride(1).padding(3);
        let options = if is_last { options.channels_last() } else { options };
        check("max", d, std::slice::from_ref(&x), 2e-8, |v| v[0].max_pool2d(options.clone()));
        check("mean", d, &[x], 2e-8, |v| v[0].avg_pool2d(options.clone()));
    }
}

fn equal_maxima_share_the_derivative(d: &Device) {
    let x = Array::from_vec(vec![2f32, 2., 1., 2., 0., 0.], [1, 1, 6]).unwrap().to_device(d).unwrap();
    let [dx] = grad(&x.max_pool1d(3).sum(..), [&x]);
    assert_eq!(dx.to_vec::<f32>().unwrap(), [0.5, 0.5, 0., 1., 0., 0.]);
    // the elements equal the padding value −∞, but the padding takes no share of the derivative
    let x = full([1, 1, 2], f32::NEG_INFINITY, F32).to_device(d).unwrap().eval().unwrap();
    let [dx] = grad(&x.max_pool1d(Pool::new(3).padding(1).stride(1)).sum(..), [&x]);
    assert_eq!(dx.to_vec::<f32>().unwrap(), [1., 1.]);
}

fn nan_propagates(d: &Device) {
    let x = Array::from_vec(vec![1f32, f32::NAN, 3., 4.], [1, 1, 4]).unwrap().to_device(d).unwrap();
    for y in [x.max_pool1d(2), x.avg_pool1d(2)] {
        let y = y.to_vec::<f32>().unwrap();
        assert!(y[0].is_nan() && y[1] >= 3.5, "{y:?}");
    }
    let [dx] = grad(&x.max_pool1d(2).sum(..), [&x]);
    assert_eq!(dx.to_vec::<f32>().unwrap(), [0., 0., 0., 1.]);
}

}

#[test]
fn derivatives_of_pools_are_few_kernels() {
    let x = zeros([2, 3, 16, 16], F32).eval().unwrap();
    for (window, stride, of_max, of_mean) in [(3, 2, 12, 9), (2, 2, 3, 2), (3, 1, 11, 6), (7, 1, 6, 4)] {
        let options = Pool::new(window).stride(stride);
        let y = x.max_pool2d(options.clone());
        assert_eq!(kernels(&y), 1);
        let [dx] = grad(&(y * 2.0).sum(..), [&x]);
        // for small windows: the pool, padding of results and shares, and one kernel per phase; for large ones the pool
        // and four kernels of the derivative, of which one makes a table of positions for all channels
        assert!(kernels(&dx) <= of_max, "{}", dx.plan().unwrap());
        let y = x.avg_pool2d(options);
        assert_eq!(kernels(&y), 1);
        let [dx] = grad(&y.square().sum(..), [&x]);
        assert!(kernels(&dx) <= of_mean, "{}", dx.plan().unwrap());
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    use ErrorKind as K;
    let x = &zeros([2, 4, 8, 8], F32);
    fails(x.max_pool1d(2), K::Shape, "max_pool1d: shape [2, 4, 8, 8]: 3 axes are needed, or 2 without a batch");
    fails(x.max_pool2d(0), K::Argument, "window is 0; it must be at least 1");
    fails(x.max_pool2d([2, 2, 2]), K::Argument, "window has 3 numbers for 2 spatial axes");
    fails(x.max_pool2d(Pool::new(2).stride(0)), K::Argument, "stride is 0");
    fails(x.avg_pool2d(Pool::new(2).padding(2)), K::Argument, "must be less than the window of 2");
    fails(x.max_pool2d(9), K::Shape, "a window of 9");
    fails(x.max_pool2d(i64::MAX), K::Shape, "a window of");
    fails(x.less(1.0).max_pool2d(2), K::DType, "dtype bool");
    fails(zeros([1, 1, 0], F32).max_pool1d(1), K::Shape, "the input has no elements along spatial axis 0");
    fails(zeros([1, 1, 1usize << 32], F32).max_pool1d(1), K::LimitExceeded, "must fit i32");
    assert_eq!(x.slice(s![0]).max_pool2d(2).shape().unwrap(), [4, 4, 4]);
    assert_eq!(x.max_pool2d(Pool::new(3).stride(2).same()).shape().unwrap(), [2, 4, 4, 4]);
}
