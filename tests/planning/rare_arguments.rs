//! Four neighbouring elements take a quick path on a GPU unless one of them is a rare argument, such as one that overflows.
//! Small kernels have no such path, so their results are what is expected.

use crate::kit::*;
use cupric::{DType, Device, Expr};

/// A function with a branch for rare arguments.
type Function = (&'static str, fn(&Expr) -> Expr);

const FUNCTIONS: [Function; 11] = [
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
];

/// Ordinary numbers, and the ends of the ranges in which functions take their straight path. None is subnormal, because GPUs
/// may flush those.
fn arguments() -> Vec<f32> {
    let ends = [
        0.0, 1.2e-38, 1e-20, 3e-5, 1e-3, 7.9, 10.9, 11.1, 86.9, 87.1, 88.8, 103.9, 104.1, 8191.0, 8193.0, 1e9, 1e30,
        3e38,
    ];
    let rare = ends.into_iter().chain([f32::INFINITY, f32::NAN, f32::from_bits(0x3fff_ffff)]).flat_map(|x| [x, -x]);
    // a rare argument at each place of a four, and fours without one
    let ordinary = |n: usize| 0.25 + 0.5 * n as f32;
    rare.enumerate()
        .flat_map(|(n, x)| (0..7).map(move |i| if i == n % 4 { x } else { ordinary((n + i) % 8) }))
        .collect()
}

fn results(x: &Expr) -> Vec<f32> {
    x.eval().unwrap().to_vec().unwrap()
}

/// Compares results with those of all arguments, repeatedly. NaNs are equal, and zeros of both signs, because 0 is added in
/// rows.
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
    // rows of whole runs of four elements, and others
    let lines = [x.repeat(4), x.repeat(4)[..4 * n - 1].to_vec()].map(|line| put(d, line.clone(), &[1, line.len()]));
    for (name, f) in FUNCTIONS {
        let want = results(&f(&Expr::from(small.clone())));
        let got = results(&f(&Expr::from(large.clone())));
        compare(name, &got, &want);
        for line in &lines {
            // zero, and what makes the kernel one of rows
            let zero = Expr::from(line.clone()).isfinite().astype(DType::F32).sum(-1) * 0.0;
            let got = results(&(f(&Expr::from(line.clone())) + zero));
            compare(name, &got, &want);
        }
    }
}

}
