//! Row kernels after 64-bit operands: the next tile must not overwrite what a pass keeps for the next pass.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// Numbers and lengths of rows for which tiles and registers once had the same size.
const ROWS: [usize; 6] = [1, 16, 28, 64, 100, 256];
const LENGTHS: [usize; 8] = [1, 64, 100, 119, 200, 256, 1000, 4096];

on_devices! {

fn softmax_behind_a_cast_from_f64(d: &Device) {
    if !has(d, F64) {
        return;
    }
    let x = Rng::new(3).normal([16, 200], F32).astype(F64).eval().unwrap().to_device(d).unwrap();
    let sums = (&x * 2.0).astype(F32).softmax(-1).sum(-1).to_vec::<f32>().unwrap();
    assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-5), "{sums:?}");
}

fn every_row_function_behind_every_dtype(d: &Device) {
    let lengths: &[usize] = if d == &Device::cpu() { &LENGTHS } else { &[119, 200, 4096] };
    for dtype in [F64, I64, U64, I32, F32, F16, U8] {
        if !has(d, dtype) {
            continue;
        }
        for rows in ROWS {
            for &n in lengths {
                let numbers = (Rng::new(7).normal([rows, n], F32) * 3.0 + 8.0).clip(0.0, 100.0).astype(dtype).eval().unwrap();
                let x = numbers.to_device(d).unwrap();
                // one kernel with a conversion in front, and the same from a stored f32
                let fused = ((&x - dtype_one(dtype)) / 3).astype(F32);
                let stored = fused.eval().unwrap();
                // on a GPU each function, type and length has a kernel, so the functions take turns
                let first = n + rows + number_of(dtype);
                for (_, (name, f)) in functions().into_iter().enumerate().filter(|(k, _)| !d.is_gpu() || (k + first).is_multiple_of(3)) {
                    let (have, want) = (f(&fused).to_vec::<f32>().unwrap(), f(&stored).to_vec::<f32>().unwrap());
                    let near = |(a, b): (&f32, &f32)| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-4 * b.abs().max(1.0);
                    let wrong = have.iter().zip(&want).position(|p| !near(p));
                    assert_eq!(wrong, None, "{name} of {rows} x {n} behind {dtype}");
                }
            }
        }
    }
}

fn standard_deviation_of_comparisons(d: &Device) {
    if !has(d, I64) {
        return;
    }
    let v: Vec<i64> = (0..28 * 119).map(|i| i % 3).collect();
    let x = put(d, v, &[28, 119]);
    let have = x.not_equal(0).std(-1).to_vec::<f32>().unwrap();
    let want: Vec<f32> = (0..28)
        .map(|r| {
            let ones = (0..119).filter(|c| (r * 119 + c) % 3 != 0).count() as f64 / 119.0;
            (ones - ones * ones).sqrt() as f32
        })
        .collect();
    assert!(have.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5), "{have:?}\n{want:?}");
}

// which elements a lane sums must not depend on where in a 32-bit word the target starts. It would show in the last
// bits of a sum, which storing as f16 would round away
fn the_place_of_a_packed_target_moves_no_bit(d: &Device) {
    for n in [100, 300, 1000] {
        let x = Rng::new(11).uniform([40, n], F32).to_device(d).unwrap();
        let near = x.sum(keep(-1)).eval().unwrap();
        let last_bits = ((x.sum(keep(-1)) - &near) * 65536.0 + &x * 0.0).astype(F16);
        let want = last_bits.to_vec::<f16>().unwrap();
        for first in [0, 1] {
            let mut to = zeros([40, n + 3], F16).to_device(d).unwrap();
            to.slice_mut(s![.., first..first + n as isize]).assign(&last_bits).unwrap();
            let have = to.slice(s![.., first..first + n as isize]).to_vec::<f16>().unwrap();
            assert_eq!(have, want, "rows of {n}, from element {first}");
        }
    }
}

}

fn dtype_one(dtype: DType) -> Expr {
    ones([1], dtype)
}

type Row = fn(&Expr) -> Expr;

fn functions() -> [(&'static str, Row); 7] {
    [
        ("softmax", |x| x.softmax(-1)),
        ("log_softmax", |x| x.log_softmax(-1)),
        ("logsumexp", |x| x.logsumexp(-1)),
        ("layer_norm", |x| x.layer_norm(-1, 1e-5)),
        ("rms_norm", |x| x.rms_norm(-1, 1e-5)),
        ("var", |x| x.var(-1)),
        ("std", |x| x.std(-1)),
    ]
}
