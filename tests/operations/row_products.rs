//! Products of a few rows with a matrix of f16 or bf16 on the CPU. They have the bits of the product of f32 matrices,
//! rounded once, whatever method and instruction set computes them.

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// Returns how many elements differ.
fn different(a: &Expr, b: &Expr) -> i64 {
    a.not_equal(b).count_nonzero(..).item::<i64>().unwrap()
}

#[test]
fn rows_with_matrices() {
    let mut stage = Stage::new(16, "products of rows with narrow matrices", &Device::cpu());
    let d = &Device::cpu();
    for dtype in [F16, BF16] {
        for (k, n) in [(1, 40), (15, 65), (256, 17), (257, 64), (700, 129), (1030, 520), (9000, 33), (70_000, 90)] {
            // parts of larger matrices, whose rows are apart and begin inside a cache line
            let matrix = |seed, rows: usize, cols: usize| {
                let all = put(d, noise(seed, (rows + 2) * (cols + 3)), &[rows + 2, cols + 3]);
                all.astype(dtype).eval().unwrap().slice(s![1..rows + 1, 2..cols + 2])
            };
            let (columns, rows) = (matrix(1, n, k), matrix(2, k, n));
            for m in [1, 2, 3, 7, 8] {
                let x = matrix(3, m, k);
                for w in [columns.t(), rows.clone()] {
                    let product = x.matmul(&w);
                    let want = x.astype(F32).matmul(w.astype(F32)).astype(dtype).eval().unwrap();
                    assert_eq!(different(&product, &want), 0, "{dtype} {m} × {k} × {n}");
                    // an operation after the product
                    let next = (product + &want).maximum(0);
                    assert_eq!(different(&next, &(&want + &want).maximum(0)), 0, "{dtype} {m} × {k} × {n}");
                    stage.count(2);
                }
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite() {
    let mut w = vec![1f32; 20 * 40];
    (w[3], w[45], w[90], w[91]) = (f32::NAN, f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY);
    for dtype in [F16, BF16] {
        let w = put(&Device::cpu(), w.clone(), &[20, 40]).astype(dtype).eval().unwrap();
        let x = ones([1, 40], dtype).eval().unwrap();
        let by_rows = w.t().eval().unwrap().t().eval().unwrap();
        for product in [x.matmul(w.t()), x.matmul(by_rows.t()), x.matmul(w.t().contiguous())] {
            let got = product.astype(F32).to_vec::<f32>().unwrap();
            assert!(got[0].is_nan() && got[1] == f32::INFINITY && got[2].is_nan() && got[3] == 40.0, "{got:?}");
        }
    }
}

#[test]
fn every_instruction_set() {
    let mut stage = Stage::new(16, "products of rows with narrow matrices: instruction sets", &Device::cpu());
    stage.count(on_other_instruction_sets(module_path!(), &["rows_with_matrices", "numbers_that_are_not_finite"]));
}
