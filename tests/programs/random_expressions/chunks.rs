//! Random programs in blocks of rows: each block has the bits of the same rows of the whole result.

use super::check::{bits, lazy};
use super::generate::generate;
use crate::kit::{on_devices, scaled, seeds};
use cupric::DType::*;
use cupric::*;

/// The bits of all blocks of `rows` rows, one after the other.
fn joined(e: &Expr, rows: usize) -> Result<Vec<u64>> {
    let mut all = vec![];
    for block in e.chunks(rows)? {
        all.extend(bits(&block)?);
    }
    Ok(all)
}

#[test]
fn blocks_have_the_bits_of_the_whole() {
    let d = Device::cpu();
    let (mut compared, mut failures) = (0, vec![]);
    for seed in seeds(8_000_000, scaled(3000), false) {
        let program = generate(seed, &[F32, F32, F64, I32, U8, I64, Bool], &d, 5 + seed as usize % 36);
        let Ok(nodes) = lazy(&program, &d) else { continue };
        for root in program.roots.iter().map(|r| &nodes[*r]).filter(|e| e.ndim().is_ok_and(|n| n > 0)) {
            let Ok(whole) = bits(root) else { continue };
            for rows in [1, 2, 3] {
                match joined(root, rows) {
                    Ok(found) if found == whole => {}
                    Ok(found) => {
                        let at = whole.iter().zip(&found).position(|(a, b)| a != b);
                        let lengths = (whole.len(), found.len());
                        failures.push(format!("seed {seed}, {rows} rows: {at:?} of {lengths:?}\n{}", program.code()));
                    }
                    Err(e) => failures.push(format!("seed {seed}, {rows} rows: {e}\n{}", program.code())),
                }
                compared += 1;
            }
        }
    }
    failures.sort_by_key(String::len);
    assert!(failures.is_empty(), "{} of {compared} differ\n{}", failures.len(), failures[0]);
    assert!(compared > 100, "{compared}");
    println!("{compared} results by blocks");
}

/// The order of a sum depends on how its operand is stored, which a single row would not show.
#[test]
fn blocks_of_a_transposed_array_sum_in_its_order() {
    let x = Rng::new(9).normal([1000, 37], F32).eval().unwrap();
    for e in [x.t().sum(1), (x.t() * 2.0).mean(1), x.t().exp().logsumexp(1), x.t().flip(0).std(1), x.sum(1)] {
        let whole = bits(&e).unwrap();
        for rows in [1, 5, 36] {
            assert_eq!(joined(&e, rows).unwrap(), whole, "{rows} rows");
        }
    }
}

/// Kinds of nodes that random programs rarely combine with long axes.
#[test]
fn blocks_are_computed_apart() {
    let (x, w) =
        (Rng::new(1).normal([300, 40], F32).eval().unwrap(), Rng::new(2).normal([40, 30], F64).eval().unwrap());
    let order = (arange(0, 300, 1, I64) * 7) % 300;
    let far = x.reshape([100, 3, 40]).sliding_windows(4, 0);
    let small = x.reshape([300, 5, 8]);
    let (largest, places) = x.topk(3, 1, true);
    let apart: [(&str, Expr); 27] = [
        ("standardise", (&*x - x.mean(0)) / x.std(0)),
        ("product", x.astype(F64).matmul(&w).tanh()),
        ("a product of windows", x.reshape([100, 3, 40]).matmul(w.astype(F32))),
        ("the other side", w.t().matmul(x.t().astype(F64)).t()),
        ("scan", x.cumulative_sum(1) + x.softmax(1)),
        ("gather", x.exp().take(order, 0)),
        ("columns", x.exp().take(array![3i32, 5], 1)),
        ("along", x.take_along_axis(x.argsort(1), 1)),
        ("joined", concat([&x.sqrt(), &(&*x - x.max(0)), &x.cumulative_sum(0)], 0)),
        ("differences", x.diff(1, 0)),
        ("windows", far.sum(-1)),
        ("reshaped", (&*x * 2.0).t().reshape([-1, 8])),
        ("flipped", x.exp().flip([0, 1])),
        ("sorted", x.sort(1) - x.sort(descending(1))),
        ("sorted columns", x.t().sort(0).t()),
        ("sorted parts", x.reshape([300, 2, 20]).sort(-1)),
        ("sorted within", x.reshape([300, 20, 2]).sort(1)),
        ("largest", largest + places),
        ("median", x.median(1)),
        ("quantiles", x.quantile([0.1, 0.5, 0.9], 1, QuantileMethod::Linear).t()),
        ("transform", fft::rfft(&x, -1).real() + fft::rfft(&x, -1).imag()),
        ("transform of a prime", fft::fft(x.slice(s![.., ..37]), -1).imag().clone()),
        ("inverse transform", fft::irfft(fft::rfft(&x, -1), -1)),
        ("transform within", fft::fft(x.reshape([300, 8, 5]), 1).real().clone()),
        ("singular values", linalg::svdvals(small.swapaxes(1, 2))),
        ("factors", linalg::qr(&small, linalg::Mode::Reduced).1),
        ("random", Rng::new(4).normal([300, 3], F32) + arange(0, 300, 1, F32).reshape([300, 1])),
    ];
    for (name, e) in apart {
        let whole = bits(&e).unwrap();
        for rows in [1, 7, 128, 299, 1000] {
            assert_eq!(joined(&e, rows).unwrap(), whole, "{name}, {rows} rows");
        }
    }
}

/// Computing a block reads only the block's own rows.
#[test]
fn blocks_read_only_their_rows() {
    let (x, w) = (Rng::new(1).normal([4000, 40], F32).eval().unwrap(), ones([40, 30], F32).eval().unwrap());
    let once = (&*x - x.mean(0)) / x.std(0);
    for (e, most) in [
        (once, 100 * 40 * 8 + 1000),
        (x.matmul(&w), 100 * 70 * 4 + 40 * 30 * 4),
        (x.softmax(1), 100 * 40 * 8),
        (x.sort(1), 100 * 40 * 8),
        (x.argsort(1), 100 * 40 * 12),
        (fft::rfft(&x, 1).real().clone(), 8 * 100 * 40 * 4),
    ] {
        for block in e.chunks(100).unwrap() {
            let (read, written) = block.plan().unwrap().bytes();
            assert!(read + written <= most, "{read} and {written} bytes, at most {most}:\n{:?}", block.plan());
        }
    }
}

// An array that is written in pieces, by blocks or not, has the same bytes as the whole: large arrays of every layout,
// f16 (which is rounded where it is stored), and sums.
on_devices! {

fn large_results_are_written_in_pieces(d: &Device) {
    let x = Rng::new(8).normal([1 << 16, 80], F32).to_device(d).unwrap();
    let h = x.astype(F16).eval().unwrap();
    let all: [(&str, Expr); 9] = [
        ("stored", (*x).clone()),
        ("transposed", x.t()),
        ("bool", x.greater(0.5).astype(Bool).repeat(4, 0)),
        ("formula", &*x * 2.0 + 1.0),
        ("halves", (h.repeat(2, 0) * 1.1 + 0.7) * 0.3),
        ("rounded", (&*h + h.mean(0)).exp().repeat(2, 1)),
        ("sums", x.softmax(-1)),
        ("generated", Rng::new(1).uniform([5 << 20], F32)),
        ("one axis", x.reshape([1, 1, -1]) + 1.0),
    ];
    for (name, e) in all {
        let e = if e.shape().unwrap() == [5 << 20] { e.to_device(d).unwrap().into() } else { e };
        let file = e.to_npy_bytes().unwrap();
        let bytes = e.to_bytes().unwrap();
        assert!(bytes.len() > 16 << 20, "{name} has {} bytes", bytes.len());
        assert!(file[file.len() - bytes.len()..] == bytes, "{name} differs");
    }
}
}
