//! A GPU computes four neighbouring elements on a fast path unless one is a rare argument (for example, one that
//! overflows). Small kernels have no fast path, so their results are the reference.

use crate::kit::*;
use cupric::{DType, Device, Expr, s, select};

/// A function that has a branch for rare arguments.
type Function = (&'static str, fn(&Expr) -> Expr);

const FUNCTIONS: [Function; 14] = [
    ("exp", |x| x.exp()),
    ("sqrt", |x| x.sqrt()),
    ("sin", |x| x.sin()),
    ("cos", |x| x.cos()),
    ("tan", |x| x.tan()),
    ("sigmoid", |x| x.sigmoid()),
    ("silu", |x| x.silu()),
    ("gelu", |x| x.gelu()),
    ("gelu_tanh", |x| x.gelu_tanh()),
    ("1 / x", |x| 1.0 / x),
    ("x / 3", |x| x / 3.0),
    ("x^2", |x| x.pow(2.0)),
    ("x^3", |x| x.pow(3.0)),
    ("x^2.5", |x| x.pow(2.5)),
];

/// Ordinary numbers, and the ends of the ranges in which functions take their fast path. None is subnormal, because
/// GPUs may flush those.
fn arguments() -> Vec<f32> {
    let ends = [
        0.0, 1.2e-38, 1e-20, 3e-5, 1e-3, 7.9, 10.9, 11.1, 86.9, 87.1, 88.8, 103.9, 104.1, 8191.0, 8193.0, 1e9, 1e30,
        3e38,
    ];
    let rare = ends.into_iter().chain([f32::INFINITY, f32::NAN, f32::from_bits(0x3fff_ffff)]).flat_map(|x| [x, -x]);
    // a rare argument at each position among four elements, and groups of four without one
    let ordinary = |n: usize| 0.25 + 0.5 * n as f32;
    rare.enumerate()
        .flat_map(|(n, x)| (0..7).map(move |i| if i == n % 4 { x } else { ordinary((n + i) % 8) }))
        .collect()
}

fn results(x: &Expr) -> Vec<f32> {
    x.eval().unwrap().to_vec().unwrap()
}

/// Compares results with the reference for all arguments, which repeats. All NaNs are equal.
fn compare(name: &str, got: &[f32], want: &[f32]) {
    let arguments = arguments();
    for (n, (got, want)) in got.iter().zip(want.iter().cycle()).enumerate() {
        let x = arguments[n % arguments.len()];
        assert!(got == want || got.is_nan() && want.is_nan(), "{name} of {x:?}, element {n}: {got:?}, not {want:?}");
    }
}

on_devices! {

fn elements_and_rows_have_the_same_results_as_small_arrays(d: &Device) {
    let x = arguments();
    let n = x.len();
    let rows = (1usize << 18).div_ceil(n).next_multiple_of(4);
    let small = put(d, x.clone(), &[n]);
    let large = put(d, x.repeat(rows), &[rows * n]);
    // rows whose length is a multiple of four, and others
    let lines = [x.repeat(4), x.repeat(4)[..4 * n - 1].to_vec()].map(|line| {
        let finite = line.iter().filter(|x| x.is_finite()).count() as i32;
        (put(d, line.repeat(2), &[2, line.len()]), finite)
    });
    for (name, f) in FUNCTIONS {
        let want = results(&f(&Expr::from(small.clone())));
        let got = results(&f(&Expr::from(large.clone())));
        compare(name, &got, &want);
        for (line, finite) in &lines {
            // a reduction of the row makes this a row kernel; elements read beyond the row's end would change the count
            let line = Expr::from(line.clone());
            let is_right = line.isfinite().astype(DType::I32).sum(-1).expand_dims(-1).equal(*finite);
            let got = results(&select(is_right, f(&line), 1234.5f32));
            got.chunks(got.len() / 2).for_each(|row| compare(name, row, &want));
        }
    }
}


fn rows_that_end_within_four_elements_end_there(d: &Device) {
    let whole = put(d, (0..512).map(|i| (i * 7 % 64) as f32).collect::<Vec<_>>(), &[2, 256]);
    // first a multiple of four, then rows that differ only in their length
    for end in [256, 255, 253] {
        let x = whole.slice(s![.., ..end]);
        let differences = (&x - x.max(-1).expand_dims(-1)).sum(-1);
        let want = (0..2).map(|row| (0..end).map(|i| ((row * 256 + i) * 7 % 64 - 63) as f32).sum::<f32>());
        assert_eq!(results(&differences), want.collect::<Vec<_>>(), "{end}");
    }
}

}
