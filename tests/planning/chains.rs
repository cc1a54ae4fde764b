//! Products with a long k: the order of additions depends only on k and the type, however the work is divided.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// Random floats whose sums round, or integers of any size.
fn any(seed: u64, t: DType, shape: &[usize], d: &Device) -> Array {
    let x = match t.is_float() {
        true => Rng::new(seed).normal(shape, F32).astype(t),
        false => Rng::new(seed).integers(-1_000_000_000, 1_000_000_000, shape, I64).astype(t),
    };
    x.eval().unwrap().to_device(d).unwrap()
}

fn bits(e: &Expr) -> Vec<u64> {
    read(&e.eval().unwrap()).unwrap()
}

on_devices! {
    fn a_row_alone_has_the_bits_of_a_batch(d: &Device) {
        for t in [F32, F16, BF16, F64, I32, I64] {
            if !has(d, t) {
                continue;
            }
            // k is a part of a chain of 256, one chain, a chain and a part, or so many that workgroups share them
            for k in [1, 255, 256, 257, 1000, 1024, 1025, 3000] {
                let (a, b) = (any(1, t, &[70, k], d), any(2, t, &[k, 65], d));
                let whole = bits(&a.matmul(&b));
                let row = |i: usize| whole[i * 65..(i + 1) * 65].to_vec();
                for i in [0, 63, 69] {
                    let one = a.slice(s![i as isize..i as isize + 1]);
                    assert_eq!(bits(&one.matmul(&b)), row(i), "row {i} of {t}, k = {k}");
                    let batch = stack([&one.matmul(&b), &one.matmul(&b)], 0);
                    assert_eq!(bits(&batch)[..65], row(i), "row {i} of {t} in a batch, k = {k}");
                }
                // the same for a part of both operands
                let part = a.slice(s![5..64]).matmul(b.slice(s![.., 1..64]));
                let want: Vec<u64> = (5..64).flat_map(|i| whole[i * 65 + 1..i * 65 + 64].to_vec()).collect();
                assert_eq!(bits(&part), want, "a part of {t}, k = {k}");
            }
        }
    }

    fn one_column_is_a_sum_of_products(d: &Device) {
        for t in [F32, F16, BF16, F64, I32, I64] {
            if !has(d, t) {
                continue;
            }
            for k in [1, 15, 16, 255, 256, 257, 1025, 3000] {
                let (a, b) = (any(1, t, &[70, k], d), any(2, t, &[k, 65], d));
                let column = a.matmul(b.slice(s![.., 64..65]));
                if d.is_gpu() {
                    // a GPU adds as in a product with several columns
                    let whole = a.matmul(&b);
                    assert_eq!(bits(&column), bits(&whole.slice(s![.., 64..65])), "a column of {t}, k = {k}");
                    continue;
                }
                let wide = if matches!(t, F16 | BF16) { F32 } else { t };
                let products = a.astype(wide) * b.slice(s![.., 64]).astype(wide);
                assert_eq!(bits(&column), bits(&products.sum(1).astype(t)), "a column of {t}, k = {k}");
                let vector = a.matmul(b.slice(s![.., 64]));
                assert_eq!(bits(&vector), bits(&column), "a vector of {t}, k = {k}");
            }
        }
    }

    fn many_tiles_add_as_few_do(d: &Device) {
        // 132 tiles of 64 × 64, where a workgroup adds all chains; for a single row, workgroups share them
        let (a, b) = (any(3, F32, &[12 * 64, 1800], d), any(4, F32, &[1800, 11 * 64], d));
        let whole = a.matmul(&b).eval().unwrap();
        for i in [0, 100, 767] {
            let row = s![i..i + 1];
            assert_eq!(bits(&a.slice(row).matmul(&b)), bits(&whole.slice(row)), "row {i}");
        }
    }

    fn long_k(d: &Device) {
        // whole numbers, whose sums are exact in any order
        for (m, k, n) in [(1, 100_001, 1), (4, 50_000, 3), (64, 2_049, 65), (3, 1_023, 200)] {
            let small = |seed, shape: [usize; 2]| Rng::new(seed).integers(-3, 4, shape, I32).astype(F32).eval().unwrap();
            let (a, b) = (small(5, [m, k]), small(6, [k, n]));
            let want = a.matmul(&b).eval().unwrap();
            let (a, b) = (a.to_device(d).unwrap(), b.to_device(d).unwrap());
            assert_eq!(bits(&a.matmul(&b)), bits(&want), "{m} × {k} × {n}");
            let at = a.t().eval().unwrap();
            assert_eq!(bits(&at.t().matmul(&b)), bits(&want), "{m} × {k} × {n}, a transposed");
            let bt = b.t().eval().unwrap();
            let epilogue = (a.matmul(bt.t()) * 2.0 + 1.0).relu();
            let want = (want * 2.0 + 1.0).relu();
            assert_eq!(bits(&epilogue), bits(&want), "{m} × {k} × {n}, b transposed, with an epilogue");
        }
        // a batch, which adds a second axis besides the chains; f16, whose sums are kept in f32
        let a = Rng::new(7).integers(-3, 4, [5, 2, 1_500], I32).astype(F16).eval().unwrap();
        let b = Rng::new(8).integers(-3, 4, [5, 1_500, 9], I32).astype(F16).eval().unwrap();
        let want = bits(&a.matmul(&b));
        if has(d, F16) {
            let (a, b) = (a.to_device(d).unwrap(), b.to_device(d).unwrap());
            assert_eq!(bits(&a.matmul(&b)), want);
        }
    }

    fn narrow_products(d: &Device) {
        // exact sums, so the CPU is the reference; each invocation computes one element of these
        for t in [F32, F64, F16, I8, I32, U64, Bool] {
            if !has(d, t) {
                continue;
            }
            for (m, k, n) in [(1, 9, 1), (300, 33, 1), (1, 40, 301), (5, 8, 4), (2, 600, 130), (17, 257, 16), (64, 3, 8), (3, 2_050, 5)] {
                let small = |seed, shape: [usize; 3]| {
                    Rng::new(seed).integers(0, 3, shape, I32).astype(t).eval().unwrap()
                };
                let (a, b) = (small(11, [3, m, k]), small(12, [3, k, n]));
                let (x, y) = (a.to_device(d).unwrap(), b.to_device(d).unwrap());
                let want = bits(&a.matmul(&b));
                assert_eq!(bits(&x.matmul(&y)), want, "{m} × {k} × {n} of {t}");
                let turned = |e: &Array| e.swapaxes(1, 2).eval().unwrap();
                let (xt, yt) = (turned(&x), turned(&y));
                let product = xt.swapaxes(1, 2).matmul(yt.swapaxes(1, 2));
                assert_eq!(bits(&product), want, "{m} × {k} × {n} of {t}, both transposed");
                // one matrix for the whole batch, k with stride −1, and an epilogue that stores packed words
                let one = b.slice(s![1, ..;-1]);
                let want = bits(&a.slice(s![.., .., ..;-1]).matmul(&one).astype(U8));
                let one = y.slice(s![1, ..;-1]);
                let got = bits(&x.slice(s![.., .., ..;-1]).matmul(&one).astype(U8));
                assert_eq!(got, want, "{m} × {k} × {n} of {t}, one matrix, backwards");
            }
        }
    }

    fn many_small_results_of_long_k(d: &Device) {
        // more elements than lanes, so each invocation adds all chains of one element
        let small = |seed, shape: [usize; 3]| Rng::new(seed).normal(shape, F32).eval().unwrap();
        let (a, b) = (small(13, [2_100, 2, 1_100]), small(14, [2_100, 1_100, 4]));
        let (x, y) = (a.to_device(d).unwrap(), b.to_device(d).unwrap());
        let whole = x.matmul(&y).eval().unwrap();
        for i in [0, 1_000, 2_099] {
            let one = s![i..i + 1];
            assert_eq!(bits(&x.slice(one).matmul(y.slice(one))), bits(&whole.slice(one)), "matrix {i}");
        }
    }
}
