//! Convolutions, transposed convolutions, pools and their derivatives, compared with JAX's: `data/make_network.py`
//! writes the file.

use super::*;
use cupric::DType::*;

/// Parses a shape and the numbers of an array.
fn host(shape: &str, numbers: &str) -> Host<f64> {
    let all = |text: &str| text.split_whitespace().map(|t| t.parse::<f64>().expect("a number")).collect::<Vec<_>>();
    Host { shape: all(shape).iter().map(|n| *n as usize).collect(), data: all(numbers) }
}

/// The lengths of the axes of what a transposed convolution returns whose derivatives are compared, for 1 to 3 axes.
const LENGTHS: [&[usize]; 3] = [&[9], &[5, 6], &[4, 3, 4]];

on_devices! {

fn results_equal_those_of_jax(d: &Device) {
    let t = if has(d, F64) { F64 } else { F32 };
    let mut count = 0;
    for line in include_str!("../../data/network.txt").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, options, x, x_numbers, w, w_numbers, y, y_numbers] = fields[..] else { panic!("{line}") };
        let [x, w, want] = [host(x, x_numbers), host(w, w_numbers), host(y, y_numbers)];
        let options: Vec<usize> = options.split(' ').map(|n| n.parse().expect("a number")).collect();
        let [stride, before, after, dilation, groups] = options[..] else { panic!("{line}") };
        let n = x.shape.len() - 2;
        let padding = vec![(before, after); n];
        let window: Vec<usize> = w.data.iter().map(|k| *k as usize).collect();
        let pool = Pool::new(window).stride(stride).padding(padding.clone());
        let conv = Conv::default().stride(stride).padding(padding).dilation(dilation).groups(groups);
        let more = || -> Vec<usize> {
            let full = |j: usize| (x.shape[j] - 1) * stride + dilation * (w.shape[j] - 1) + 1;
            let lengths = if name.contains("_by_") { LENGTHS[n - 1] } else { &want.shape[2..] };
            (2..n + 2).map(|j| lengths[j - 2] + before + after - full(j)).collect()
        };
        let (a, b) = (put(t, &x, d), put(t, &w, d));
        // a derivative is that of half the sum of the squared elements
        let function = name.replace("_by_x", "").replace("_by_w", "");
        let y = match &function[..] {
            "conv1d" => a.conv1d(&b, conv),
            "conv2d" => a.conv2d(&b, conv),
            "conv3d" => a.conv3d(&b, conv),
            "conv_transpose1d" => a.conv_transpose1d(&b, conv.output_padding(more())),
            "conv_transpose2d" => a.conv_transpose2d(&b, conv.output_padding(more())),
            "conv_transpose3d" => a.conv_transpose3d(&b, conv.output_padding(more())),
            "avg_pool1d" => a.avg_pool1d(pool),
            "avg_pool2d" => a.avg_pool2d(pool),
            "avg_pool3d" => a.avg_pool3d(pool),
            "max_pool1d" | "max_pool_grad1d" => a.max_pool1d(pool),
            "max_pool2d" | "max_pool_grad2d" => a.max_pool2d(pool),
            "max_pool3d" | "max_pool_grad3d" => a.max_pool3d(pool),
            name => panic!("no function for {name}"),
        };
        let slope = |y: &Expr, of: &Array| { let [d] = grad(&y.sum(..), [of]); d };
        let y = match name {
            name if name.contains("_by_x") => slope(&(y.square() * 0.5), &a),
            name if name.contains("_by_w") => slope(&(y.square() * 0.5), &b),
            name if name.contains("_grad") => slope(&y, &a),
            _ => y,
        };
        assert_eq!(y.shape().unwrap_or_else(|e| panic!("{name}: {e}")), want.shape, "{line}");
        let close = match name {
            name if name.starts_with("avg_pool_by") => 1e-6,
            name if name.starts_with("avg") => 4e-7,
            _ => 0.0,
        };
        near(&y.astype(F32), &want.data, |v| close * v.abs());
        count += 1;
    }
    assert_eq!(count, 126);
}

}
