//! Convolutions, transposed convolutions and pools, compared with JAX's: `data/make_network.py` writes the file.

use super::*;
use cupric::DType::*;

/// Parses a shape and the numbers of an array.
fn host(shape: &str, numbers: &str) -> Host<f64> {
    let all = |text: &str| text.split_whitespace().map(|t| t.parse::<f64>().expect("a number")).collect::<Vec<_>>();
    Host { shape: all(shape).iter().map(|n| *n as usize).collect(), data: all(numbers) }
}

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
            (2..n + 2).map(|j| want.shape[j] + before + after - full(j)).collect()
        };
        let (a, b) = (put(t, &x, d), put(t, &w, d));
        let maxima = |x: &Array, pool: Pool| match n {
            1 => x.max_pool1d(pool),
            2 => x.max_pool2d(pool),
            _ => x.max_pool3d(pool),
        };
        let y = match name {
            "conv1d" => a.conv1d(&b, conv),
            "conv2d" => a.conv2d(&b, conv),
            "conv3d" => a.conv3d(&b, conv),
            "conv_transpose1d" => a.conv_transpose1d(&b, conv.output_padding(more())),
            "conv_transpose2d" => a.conv_transpose2d(&b, conv.output_padding(more())),
            "conv_transpose3d" => a.conv_transpose3d(&b, conv.output_padding(more())),
            "avg_pool1d" => a.avg_pool1d(pool),
            "avg_pool2d" => a.avg_pool2d(pool),
            "avg_pool3d" => a.avg_pool3d(pool),
            name if name.starts_with("max_pool_grad") => {
                let [dx] = grad(&maxima(&a, pool).sum(..), [&a]);
                dx
            }
            name if name.starts_with("max_pool") => maxima(&a, pool),
            name => panic!("no function for {name}"),
        };
        assert_eq!(y.shape().unwrap_or_else(|e| panic!("{name}: {e}")), want.shape, "{line}");
        near(&y.astype(F32), &want.data, |v| if name.starts_with("avg") { 4e-7 * v.abs() } else { 0.0 });
        count += 1;
    }
    assert_eq!(count, 57);
}

}
