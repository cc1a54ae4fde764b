//! Convolutions and transposed convolutions.

use super::*;
use crate::derivatives::{check, noise, value};
use cupric::DType::*;

/// The convolution by its definition, with the channels before the spatial axes.
fn convolved(case: &Case, x: &Host<f64>, w: &Host<f64>) -> Host<f64> {
    let [input, out] = case.channels;
    let elements = every_index(&case.window);
    Host::of(&shaped(case.batch, out * case.groups, &case.counts()), |at| {
        let group = at[1] / out;
        let mut sum = 0.0;
        for k in &elements {
            let Some(place) = case.place(&at[2..], k) else { continue };
            for c in 0..input {
                let from = shaped(at[0], group * input + c, &place);
                sum += x.at(&from) * w.at(&shaped(at[1], c, k));
            }
        }
        sum
    })
}

/// The transposed convolution by its definition: each element of `y` adds to a window of the result.
fn spread(case: &Case, y: &Host<f64>, w: &Host<f64>) -> Host<f64> {
    let [input, out] = case.channels;
    let mut x = Host::of(&shaped(case.batch, input * case.groups, &case.lengths), |_| 0.0);
    let strides = |index: &[usize]| index.iter().zip(&x.shape).fold(0, |flat, (i, n)| flat * n + i);
    let mut adds = vec![];
    for at in every_index(&shaped(case.batch, out * case.groups, &case.counts())) {
        for k in every_index(&case.window) {
            let Some(place) = case.place(&at[2..], &k) else { continue };
            for c in 0..input {
                let to = strides(&shaped(at[0], at[1] / out * input + c, &place));
                adds.push((to, y.at(&at) * w.at(&shaped(at[1], c, &k))));
            }
        }
    }
    adds.into_iter().for_each(|(to, v)| x.data[to] += v);
    x
}

fn conv(n: usize, x: &Expr, w: &Expr, options: Conv) -> Expr {
    match n {
        1 => x.conv1d(w, options),
        2 => x.conv2d(w, options),
        _ => x.conv3d(w, options),
    }
}

fn conv_transpose(n: usize, x: &Expr, w: &Expr, options: Conv) -> Expr {
    match n {
        1 => x.conv_transpose1d(w, options),
        2 => x.conv_transpose2d(w, options),
        _ => x.conv_transpose3d(w, options),
    }
}

/// The output padding that makes a transposed convolution as long as a case's input, if there is one.
fn output_padding(case: &Case) -> Option<Vec<usize>> {
    let counts = case.counts();
    let of = |j: usize| {
        let reach = case.dilation[j] * (case.window[j] - 1) + 1;
        let full = (counts[j] - 1) * case.stride[j] + reach;
        let more = (case.lengths[j] + case.padding[j].0 + case.padding[j].1).checked_sub(full)?;
        (more == 0 || more < case.stride[j].max(case.dilation[j])).then_some(more)
    };
    (0..counts.len()).map(of).collect()
}

fn dtypes(d: &Device) -> Vec<DType> {
    [F32, F64, F16, BF16, I32, U8].into_iter().filter(|t| has(d, *t)).collect()
}

on_devices! {

fn convolutions_equal_loops(d: &Device) {
    for seed in seeds(11, 60, d != &Device::cpu()) {
        let dice = &mut Dice::new(seed);
        let n = dice.below(3) + 1;
        let case = Case::random(n, dice);
        let t = *dice.of(&dtypes(d));
        let x = whole(&shaped(case.batch, case.channels[0] * case.groups, &case.lengths), dice);
        let w = whole(&shaped(case.channels[1] * case.groups, case.channels[0], &case.window), dice);
        let (x, w) = if t == U8 { (x.map(f64::abs), w.map(f64::abs)) } else { (x, w) };
        let want = convolved(&case, &x, &w);
        let want = if t == U8 { want.map(|v| v % 256.0) } else { want };
        // bf16 has only 8 significant bits, so the exact sums are rounded
        let want = if t == BF16 { want.map(|v| number::real(t, number::round(t, v))) } else { want };
        let [x, w, want] = [&x, &w, &want].map(|h| moved(h, 1, case.is_last));
        let (x, w) = (put(t, &x, d), put(t, &w, d));
        let y = conv(n, &Expr::from(&x), &Expr::from(&w), case.conv());
        holds(&format!("seed {seed}: {}", case.named()), &y, t, &want);
    }
}

fn transposed_convolutions_equal_loops(d: &Device) {
    for seed in seeds(12, 60, d != &Device::cpu()) {
        let dice = &mut Dice::new(seed);
        let n = dice.below(3) + 1;
        let case = Case::random(n, dice);
        let Some(more) = output_padding(&case) else { continue };
        let t = *dice.of(&[F32, if has(d, F64) { F64 } else { F32 }, if has(d, F16) { F16 } else { F32 }]);
        let y = whole(&shaped(case.batch, case.channels[1] * case.groups, &case.counts()), dice);
        let w = whole(&shaped(case.channels[1] * case.groups, case.channels[0], &case.window), dice);
        let want = spread(&case, &y, &w);
        // with channels last, the first axis of the weights is the result's channels
        let w = match case.is_last {
            false => w,
            true => {
                let [input, out] = case.channels;
                let turned = Host::of(&shaped(input * case.groups, out, &case.window), |at| {
                    let (group, c) = (at[0] / input, at[0] % input);
                    w.at(&shaped(group * out + at[1], c, &at[2..]))
                });
                moved(&turned, 1, true)
            }
        };
        let [y, want] = [&y, &want].map(|h| moved(h, 1, case.is_last));
        let (y, w) = (put(t, &y, d), put(t, &w, d));
        let x = conv_transpose(n, &Expr::from(&y), &Expr::from(&w), case.conv().output_padding(more));
        holds(&format!("seed {seed}: {}", case.named()), &x, t, &want);
    }
}

fn derivatives_of_convolutions_equal_differences(d: &Device) {
    if !has(d, F64) {
        return;
    }
    for seed in seeds(13, 12, d != &Device::cpu()) {
        let dice = &mut Dice::new(seed);
        let n = dice.below(3) + 1;
        let case = Case::random(n, dice);
        let [input, out] = case.channels.map(|c| c * case.groups);
        let order = |h: Vec<usize>| -> Vec<usize> {
            let back = h[2..].iter().copied().chain([h[1]]);
            if case.is_last { [h[0]].into_iter().chain(back).collect() } else { h }
        };
        let x = noise(dice, &order(shaped(case.batch, input, &case.lengths)), -1.0, 1.0, d);
        let w = noise(dice, &order(shaped(out, case.channels[0], &case.window)), -1.0, 1.0, d);
        let what = format!("seed {seed}: {}", case.named());
        check(&what, d, &[x.clone(), w.clone()], 2e-8, |v| conv(n, &v[0], &v[1], case.conv()));
        // second derivatives, with respect to every operand
        let y = order(shaped(case.batch, out, &case.counts()));
        let y = noise(dice, &y, -1.0, 1.0, d);
        check(&format!("{what}, of the input's derivative"), d, &[y.clone(), w.clone()], 2e-8, |v| {
            let [dx] = vjp(&conv(n, &Expr::from(&x), &v[1], case.conv()), &v[0], [&Expr::from(&x)]);
            dx
        });
        check(&format!("{what}, of the weights' derivative"), d, &[x, y], 2e-8, |v| {
            let [dw] = vjp(&conv(n, &v[0], &Expr::from(&w), case.conv()), &v[1], [&Expr::from(&w)]);
            dw
        });
    }
}

fn derivatives_of_transposed_convolutions_equal_differences(d: &Device) {
    if !has(d, F64) {
        return;
    }
    for seed in seeds(14, 12, d != &Device::cpu()) {
        let dice = &mut Dice::new(seed);
        let n = dice.below(3) + 1;
        let case = Case { is_last: false, ..Case::random(n, dice) };
        let Some(more) = output_padding(&case) else { continue };
        let [input, out] = case.channels;
        let y = noise(dice, &shaped(case.batch, out * case.groups, &case.counts()), -1.0, 1.0, d);
        let w = noise(dice, &shaped(out * case.groups, input, &case.window), -1.0, 1.0, d);
        let f = |v: &[Expr]| conv_transpose(n, &v[0], &v[1], case.conv().output_padding(more.clone()));
        check(&format!("seed {seed}: {}", case.named()), d, &[y, w], 2e-8, f);
    }
    // channels last, where the weights are transposed
    let dice = &mut Dice::new(5);
    let (y, w) = (noise(dice, &[2, 3, 4, 4], -1.0, 1.0, d), noise(dice, &[6, 3, 2, 2], -1.0, 1.0, d));
    let options = Conv::default().stride(2).padding(1).groups(2).channels_last();
    check("channels last", d, &[y, w], 2e-8, |v| v[0].conv_transpose2d(&v[1], options.clone()));
}

fn second_derivatives_of_a_layer(d: &Device) {
    if !has(d, F64) {
        return;
    }
    let dice = &mut Dice::new(6);
    let (x, w) = (noise(dice, &[2, 2, 5, 5], -1.0, 1.0, d), noise(dice, &[4, 1, 3, 3], -1.0, 1.0, d));
    check("Hessian times vector", d, &[x, w], 2e-7, |v| {
        let y = v[0].conv2d(&v[1], Conv::default().stride(2).padding(1).groups(2)).tanh();
        let [dw] = grad(&y.square().sum(..), [&v[1]]);
        dw
    });
}

fn half_convolutions_sum_in_f32(d: &Device) {
    if !has(d, F16) {
        return;
    }
    let x = ones([1, 1, 64, 64], F16).to_device(d).unwrap();
    for groups in [1, 2] {
        let x = x.broadcast_to([1, groups, 64, 64]);
        let w = full([groups, 1, 64, 64], 1.0, F16);
        // above 2,048, f16 cannot count in steps of 1, but sums are computed in f32
        let y = x.conv2d(&w, Conv::default().groups(groups));
        assert_eq!(y.astype(F32).to_vec::<f32>().unwrap(), vec![4096.0; groups]);
    }
}

}

#[test]
fn same_padding_keeps_lengths() {
    for (length, window, stride, dilation) in
        [(7usize, 3, 1, 1), (7, 4, 1, 1), (8, 3, 2, 1), (9, 3, 2, 2), (5, 1, 3, 1)]
    {
        let (x, w) = (ones([1, 1, length], F32), ones([1, 1, window], F32));
        let options = Conv::default().stride(stride).dilation(dilation).same();
        let y = x.conv1d(&w, options.clone());
        assert_eq!(y.shape().unwrap(), [1, 1, length.div_ceil(stride)]);
        assert_eq!(x.conv_transpose1d(&w, options).shape().unwrap(), [1, 1, length * stride]);
    }
    // the padding `same` adds one more zero at the end than at the start
    let y = array![[[1., 2., 3.]]].conv1d(array![[[1., 10.]]], Conv::default().same());
    assert_eq!(y.to_vec::<f32>().unwrap(), [21., 32., 3.]);
}

#[test]
fn a_batch_may_be_missing_or_empty() {
    let dice = &mut Dice::new(8);
    let d = &Device::cpu();
    let (x, w) = (noise(dice, &[1, 2, 6, 6], -1.0, 1.0, d), noise(dice, &[3, 2, 3, 3], -1.0, 1.0, d));
    let options = Conv::default().padding(1);
    let single = x.slice(s![0]).conv2d(&w, options.clone());
    assert_eq!(single.shape().unwrap(), [3, 6, 6]);
    assert_eq!(single.to_vec::<f64>().unwrap(), x.conv2d(&w, options.clone()).to_vec::<f64>().unwrap());
    for (x, w) in [([0, 2, 6, 6], [3, 2, 3, 3]), ([2, 0, 6, 6], [3, 0, 3, 3]), ([2, 2, 6, 6], [0, 2, 3, 3])] {
        let (x, w) = (zeros(x, F32).eval().unwrap(), zeros(w, F32).eval().unwrap());
        let y = x.conv2d(&w, options.clone().stride(2));
        let [dx, dw] = grad(&y.sum(..), [&x, &w]);
        assert_eq!(y.to_vec::<f32>().unwrap().iter().sum::<f32>(), 0.0);
        assert_eq!(dx.to_vec::<f32>().unwrap().len(), x.size());
        assert_eq!(dw.to_vec::<f32>().unwrap().len(), w.size());
    }
}

/// ⟨conv(x), y⟩ equals ⟨x, conv_transpose(y)⟩ for the same weights.
#[test]
fn a_transposed_convolution_is_the_transpose() {
    let (dice, d) = (&mut Dice::new(9), &Device::cpu());
    let (x, w) = (noise(dice, &[2, 4, 9, 8], -1.0, 1.0, d), noise(dice, &[6, 2, 3, 2], -1.0, 1.0, d));
    let options = Conv::default().stride((2, 3)).padding([(1, 0), (0, 2)]).groups(2);
    let y = x.conv2d(&w, options.clone());
    let g = noise(dice, y.shape().unwrap(), -1.0, 1.0, d);
    let back = g.conv_transpose2d(&w, options.output_padding((1, 2)));
    let [one, other] = [value(&(y * &g).sum(..)), value(&(back.slice(s![.., .., ..9, ..8]) * &x).sum(..))];
    assert!((one - other).abs() < 1e-12 * 1e3, "{one} and {other}");
}

#[test]
fn a_convolution_is_one_product() {
    let evaluated = |shape: &[usize]| zeros(shape, F32).eval().unwrap();
    let (x, w) = (evaluated(&[2, 3, 12, 12]), evaluated(&[8, 3, 3, 3]));
    let y = x.conv2d(&w, Conv::default());
    let products = |e: &Expr| e.plan().unwrap().to_string().matches("matmul [").count();
    assert_eq!((products(&y), kernels(&y) <= 2), (1, true), "{}", y.plan().unwrap());
    for options in [Conv::default(), Conv::default().stride(2), Conv::default().padding(1)] {
        let y = x.conv2d(&w, options);
        let g = evaluated(y.shape().unwrap());
        let [dx, dw] = vjp(&y, &g, [&x, &w]);
        assert_eq!(products(&dx), 1, "{}", dx.plan().unwrap());
        assert_eq!(products(&dw), 1, "{}", dw.plan().unwrap());
    }
    // a depthwise convolution is one kernel that reads the windows without copying them
    let y = x.conv2d(evaluated(&[3, 1, 3, 3]), Conv::default().groups(3));
    assert_eq!(kernels(&y), 1, "{}", y.plan().unwrap());
}

#[test]
fn what_does_not_fit_is_an_error() {
    use ErrorKind as K;
    let (x, w) = (&zeros([2, 4, 8, 8], F32), &zeros([6, 4, 3, 3], F32));
    let c = Conv::default;
    fails(
        x.conv1d(w, c()),
        K::Shape,
        "conv1d: an input of shape [2, 4, 8, 8] and weights of shape [6, 4, 3, 3]: each needs 3 axes",
    );
    fails(x.slice(s![0, 0, 0]).conv2d(w, c()), K::Shape, "each needs 4 axes");
    fails(x.conv2d(w.slice(s![.., 1..]), c()), K::Shape, "the input has 4 channels, and the weights have 3");
    fails(x.conv2d(w, c().channels_last()), K::Shape, "the input has 8 channels, and the weights have 3");
    fails(x.conv2d(w.slice(s![1.., ..2]), c().groups(2)), K::Argument, "2 groups do not divide 5 output channels");
    fails(x.conv2d(w, c().groups(0)), K::Argument, "0 groups");
    fails(x.conv2d(w, c().groups(-1)), K::Argument, "-1 groups");
    fails(x.conv2d(w, c().stride(0)), K::Argument, "stride is 0; it must be at least 1");
    fails(x.conv2d(w, c().dilation([1, 0])), K::Argument, "dilation is 0");
    fails(x.conv2d(w, c().padding(-1)), K::Argument, "padding is -1; it must be at least 0");
    fails(x.conv2d(w, c().stride([1, 2, 3])), K::Argument, "stride has 3 numbers for 2 spatial axes");
    fails(x.conv2d(w, c().padding(Vec::<i32>::new())), K::Argument, "padding has 0 numbers");
    fails(x.conv2d(w, c().output_padding(1)), K::Argument, "output_padding is an option of transposed");
    fails(
        x.conv2d(zeros([6, 4, 9, 3], F32), c()),
        K::Shape,
        "a window of 9 with dilation 1 reaches over 9 elements; spatial axis 0 has 8",
    );
    fails(x.conv2d(w, c().dilation(4)), K::Shape, "reaches over 9 elements");
    fails(x.conv2d(zeros([6, 4, 0, 3], F32), c()), K::Shape, "the window has no elements along spatial axis 0");
    fails(
        zeros([1, 4, 8, 0], F32).conv2d(w, c().padding(4)),
        K::Shape,
        "the input has no elements along spatial axis 1",
    );
    fails(x.less(1.0).conv2d(w, c()), K::DType, "dtype bool");
    fails(x.astype(I64).conv2d(w.astype(U64), c()), K::DType, "no common type");
    fails(x.conv2d(w, c().padding(usize::MAX)), K::LimitExceeded, "conv2d");
    fails(x.conv2d(w, c().padding(1usize << 40)), K::LimitExceeded, "conv2d");
    fails(x.conv2d(w, c().dilation(usize::MAX)), K::Shape, "reaches over");
    fails(x.conv2d(2.0, c()), K::Shape, "weights of shape []");
    let v = &zeros([4, 3, 3, 3], F32);
    let t = |e: Conv| x.conv_transpose2d(v, e);
    fails(x.conv_transpose2d(w, c()), K::Shape, "the input has 4 channels, and the weights have 6");
    fails(t(c().groups(3)), K::Argument, "3 groups do not divide 4 input channels");
    fails(
        t(c().output_padding(1)),
        K::Argument,
        "output_padding is 1; it must be less than the stride 1 or the dilation 1",
    );
    fails(t(c().padding(5)), K::Shape, "the padding removes all 10 elements along spatial axis 0");
    fails(t(c().stride(1usize << 62)), K::LimitExceeded, "conv_transpose2d");
    fails(t(c().stride(1 << 30)), K::LimitExceeded, "");
    let one = zeros([1, 4, 1, 1], F32);
    // with a single window, the stride does not matter
    assert_eq!(one.conv_transpose2d(v, c().stride(usize::MAX)).shape().unwrap(), [1, 3, 3, 3]);
    assert_eq!(x.conv2d(w, c().stride(usize::MAX)).shape().unwrap(), [2, 6, 1, 1]);
}
