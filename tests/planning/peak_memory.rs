//! The peak memory of operations on the CPU: the results, and the memory that the algorithm needs.

use crate::kit::*;
use crate::memory;
use cupric::DType::*;
use cupric::*;

const N: usize = 1 << 20;
/// Memory that does not grow with the elements: counts, tables, and the scratch of a thread (the size of a cache).
const FIXED: usize = 5 << 18;

/// Asserts that a computation takes at most `most` bytes beside its operands, as the device counts. On one thread it
/// also checks the heap, including a routine's own allocations; `kept` bytes more may stay in the device's pool.
fn holds(what: &str, [most, kept]: [usize; 2], x: &Array, compute: impl Fn(&Array) -> Array + Sync) {
    let d = own(&Device::cpu());
    let x = x.to_device(&d).unwrap();
    d.trim();
    let used = d.memory().used;
    let result = compute(&x);
    let counted = d.memory().peak - used;
    drop(result);
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let heap = alone.install(|| {
        // plans and similar things are made only once, so they do not count
        drop(compute(&x));
        d.trim();
        memory::peak(|| compute(&x)).1
    });
    println!("{what}: {counted} and {heap} bytes of {most}");
    assert!(counted <= most + most / 50 + (1 << 16), "{what}: the device counts {counted} bytes, not {most}");
    assert!(heap <= most + kept + most / 50 + FIXED, "{what}: {heap} bytes of the heap, not {most}");
}

fn input(t: DType, shape: &[usize]) -> Array {
    Rng::new(1).integers(0, 100, shape, I32).astype(t).eval().unwrap()
}

/// A scan needs only memory for its result, along any axis.
#[test]
fn scans_take_their_result() {
    for (t, bytes) in [(F32, 4), (F16, 2), (F64, 8), (I32, 8), (U8, 8)] {
        for (shape, axis) in
            [(vec![N], 0), (vec![1 << 10, 1 << 10], 0), (vec![1 << 10, 1 << 10], 1), (vec![3, N / 2], 1)]
        {
            let x = input(t, &shape);
            holds(&format!("cumulative_sum of {t} {shape:?} along {axis}"), [x.size() * bytes, 0], &x, |x| {
                x.cumulative_sum(axis).eval().unwrap()
            });
        }
    }
}

/// `unique_values` needs one sort: the sorted elements and an array of keys, which stays in the pool while a mask marks
/// the first of equal elements. If all elements differ, the mask, the sorted elements and the result exist together.
#[test]
fn unique_takes_one_sort() {
    for (t, bytes) in [(F32, 4), (I64, 8), (U8, 1), (BF16, 2)] {
        let few = input(t, &[2 * N]);
        let n = few.size();
        holds(&format!("unique_values of {t}"), [2 * n * bytes, n], &few, |x| x.unique_values().unwrap());
    }
    for (t, bytes) in [(F32, 4), (I64, 8)] {
        let all = Rng::new(1).permutation(2 * N).astype(t).eval().unwrap();
        let n = all.size();
        holds(&format!("unique_values of {t}, all different"), [2 * n * bytes + n, 0], &all, |x| {
            x.unique_values().unwrap()
        });
    }
}

/// A histogram needs two arrays of i32, whatever the dtype of its elements: the bin numbers, and a step of the search
/// for them. For f32 that is as much as a sort needs.
#[test]
fn histograms_take_numbers_of_bins() {
    for t in [F32, F64, I32, U8] {
        let x = input(t, &[N]);
        let most = 2 * N * 4;
        holds(&format!("histogram of {t}"), [most, 0], &x, |x| x.histogram(100, Some((0.0, 100.0))).0.eval().unwrap());
        holds(&format!("histogram of {t}, its own range"), [most, 0], &x, |x| x.histogram(100, None).0.eval().unwrap());
    }
}
