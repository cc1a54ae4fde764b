//! Planted faults (`src/base/mutants.rs`) that no test noticed before: each of these tests fails for at least one.

use crate::kit::*;
use cupric::*;

on_devices! {

fn takes_of_two_modes_are_two(d: &Device) {
    let x = put(d, vec![10i32, 20, 30], &[3]);
    let i = put(d, vec![-1i32, 3, 7, -4, 2], &[5]);
    let (clip, wrap) = (x.take(Clip(&i), 0), x.take(Wrap(&i), 0));
    let (clipped, wrapped) = ([10, 30, 30, 10, 30], [30, 10, 20, 30, 30]);
    // as two results of one plan, and within one kernel
    let all = eval_all([&clip, &wrap]).unwrap();
    same(&all[0], &clipped);
    same(&all[1], &wrapped);
    same(&(clip * 100 + wrap), &[1030, 3010, 3020, 1030, 3030]);
    // unsigned positions are never negative, so the three modes agree on valid ones
    let i = put(d, vec![2u8, 0, 1], &[3]);
    let sum = x.take(&i, 0) + x.take(Clip(&i), 0) + x.take(Wrap(&i), 0);
    same(&sum, &[90, 30, 60]);
}

fn positions_beyond_31_bits_wrap(d: &Device) {
    let beyond = [1u32 << 31, (1 << 31) + 1, 3_000_000_000, 4_000_000_000, u32::MAX, 5];
    // a device of its own, because the next read on a device returns a late error
    let d = &own(d);
    for n in [2usize, 3, 5, 7, 10, 64, 1000] {
        let x = put(d, (0..n as i32).collect::<Vec<_>>(), &[n]);
        let want: Vec<i32> = beyond.iter().map(|i| (*i as usize % n) as i32).collect();
        let i = put(d, beyond, &[beyond.len()]);
        same(&x.take(Wrap(&i), 0), &want);
        let want: Vec<i32> = beyond.iter().map(|i| (*i as usize).min(n - 1) as i32).collect();
        same(&x.take(Clip(&i), 0), &want);
        assert_eq!(x.take(&i, 0).to_vec::<i32>().unwrap_err().kind(), ErrorKind::Index);
    }
}

fn corrections_beyond_the_count(d: &Device) {
    // NumPy divides by max(n − ddof, 0)
    for n in [1usize, 3, 300] {
        let x = put(d, (0..n).map(|i| i as f32).collect::<Vec<_>>(), &[n]);
        for more in [0.0, 0.5, 1.0, 7.0, 1e9] {
            let correction = n as f64 + more;
            // 0/0 if all deviations are 0
            let want = if n == 1 { f32::NAN } else { f32::INFINITY };
            same(&x.var_corrected(0, correction), &[want]);
            same(&x.std_corrected(.., correction), &[want]);
        }
    }
}

fn limits_of_memory_are_kept_to_the_byte(d: &Device) {
    // limits that are not multiples of the size in which a device allocates
    for limit in [2528usize, 4000, 65_536, 100_000, (1 << 20) - 32] {
        let small = d.with_memory_limit(limit).unwrap();
        for n in (limit - 300..=limit + 300).step_by(20).chain([limit + 1, limit + 64]) {
            match zeros([n], DType::U8).to_device(&small) {
                Ok(_x) => {
                    assert!(n <= limit, "{n} bytes within {limit}");
                    let used = small.memory().used;
                    assert!(used <= limit, "{used} bytes in use, and the limit is {limit}");
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::OutOfMemory);
                    assert!(d.is_gpu() || n > limit, "{n} bytes fit {limit}: {e}");
                }
            }
        }
    }
}

fn half_partial_results_are_not_rounded(d: &Device) {
    // several chunks on a GPU: 2^-6 is lost if half of the sum, or a chunk's sum, is rounded to f16
    for (rows, n) in [(1usize, 6000usize), (1, 60_000), (3, 9000)] {
        let row = |i: usize| f16::from_f32(if i == 0 { 1.015625 } else { 1.0 - 2.0 * (i >= n / 2) as u8 as f32 });
        let x = put(d, (0..n).map(row).collect::<Vec<_>>().repeat(rows), &[rows, n]);
        same(&x.sum(1), &vec![f16::from_f32(0.015625); rows]);
        same(&x.reshape([rows, n, 1]).sum(1), &vec![f16::from_f32(0.015625); rows]);
    }
}

fn shaders_of_takes_are_kept_by_mode(d: &Device) {
    // each alone in its kernel; the kernels differ only in the mode
    let (x, i) = (put(d, vec![10i32, 20, 30], &[3]), put(d, vec![2u8, 0, 1], &[3]));
    let beyond = put(d, vec![4u8, 0, 200], &[3]);
    for _ in 0..2 {
        same(&x.take(&i, 0), &[30, 10, 20]);
        same(&x.take(Clip(&beyond), 0), &[30, 10, 30]);
        same(&x.take(Wrap(&beyond), 0), &[20, 10, 30]);
    }
}

fn a_bad_index_names_its_own_take(d: &Device) {
    let d = own(d);
    let x = put(&d, vec![10i32, 20, 30], &[3]);
    let good = put(&d, vec![2i32], &[1]);
    let first = x.take(&good, 0).eval().unwrap();
    let bad = put(&d, vec![0i32, 3], &[2]);
    let (line, taken) = (line!(), x.take(&bad, 0));
    let e = taken.to_vec::<i32>().unwrap_err();
    assert_eq!((e.kind(), e.location().unwrap().line()), (ErrorKind::Index, line));
    same(&first, &[30]);
}

fn windows_reach_as_far_as_their_gathers(d: &Device) {
    // four rows start within a binding of 64 KiB and end beyond it
    let d = match d.is_gpu() {
        #[cfg(feature = "gpu")]
        true => testing::shrunk_gpu(64 << 10, 4).unwrap(),
        _ => testing::shrunk_cpu().unwrap(),
    };
    let x = put(&d, (0..40_000).collect::<Vec<i32>>(), &[8, 5000]);
    let i = put(&d, vec![0i32, -1, 17], &[3]);
    let want: Vec<i32> = (0..8).flat_map(|r| [0, 4999, 17].map(|c| r * 5000 + c)).collect();
    same(&x.take(&i, 1), &want);
}

fn several_gathers_of_one_array_reach_no_farther_than_one(d: &Device) {
    // a kernel with two operands, from each of which it gathers twice
    let x = put(d, (0..335).collect::<Vec<i32>>(), &[5, 67]);
    let sorted = x.sort(1);
    let i = put(d, (0..15).map(|i| i * 4).collect::<Vec<i32>>(), &[5, 3]);
    let parts = [0, 1, 2, 3].map(|k| sorted.take_along_axis(Clip(&i + k), 1));
    let want: Vec<i32> = [0, 1, 2, 3].iter().flat_map(|k| (0..15).map(move |i| i / 3 * 67 + (i * 4 + k).min(66))).collect();
    same(&stack(&parts, 0), &want);
}

fn synchronize_reports_a_bad_index(d: &Device) {
    let d = own(d);
    let x = put(&d, vec![1i32, 2, 3], &[3]);
    let taken = x.take(put(&d, vec![0i32, 3], &[2]), 0).eval();
    // on the CPU the evaluation itself returns the error
    let late = taken.and_then(|_| d.synchronize());
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Index);
    // and the error is returned only once
    d.synchronize().unwrap();
    same(&(&x + 1), &[2, 3, 4]);
}

fn uploads_do_not_overtake_kernels(d: &Device) {
    let d = own(d);
    for n in [1usize, 100, 5000, 100_000] {
        let x = put(&d, vec![1i32; n], &[n]);
        let y = (&x + 1).eval().unwrap();
        // x's memory is free for reuse, although a kernel that reads it may not have run yet
        drop(x);
        let z = put(&d, vec![70i32; n], &[n]);
        same(&y, &vec![2; n]);
        same(&z, &vec![70; n]);
    }
}

fn a_normal_draw_is_finite(d: &Device) {
    // stream 0 of these seeds draws a word below 2^8, a uniform 0, whose logarithm would be infinite
    for (seed, at) in ZEROS {
        assert_eq!(Rng::new(seed).uniform([at + 1], DType::F32).to_device(d).unwrap().min(..).item::<f32>().unwrap(), 0.0);
        let normal = Rng::new(seed).normal([at + 1], DType::F32).to_device(d).unwrap();
        assert!(normal.isfinite().all(..).item::<bool>().unwrap(), "seed {seed}");
    }
}

fn the_words_of_an_array_of_bytes_have_one_owner(d: &Device) {
    // a binding that starts within a word needs another shader, which uses atomics
    let d = match d.is_gpu() {
        #[cfg(feature = "gpu")]
        true => testing::shrunk_gpu(64 << 10, 4).unwrap(),
        _ => testing::shrunk_cpu().unwrap(),
    };
    for n in [130_001usize, 131_077, 200_003] {
        let x = put(&d, vec![1u8; n], &[n]);
        let twice = &x * 2;
        let (compiled, windows) = (d.stats().compiles, twice.plan().unwrap().dispatches());
        same(&twice, &vec![2u8; n]);
        assert!(windows > 1 || !d.is_gpu(), "{windows} windows");
        assert!(d.stats().compiles - compiled <= 1, "{n} bytes: one shader for {windows} windows");
    }
}

fn sums_of_integers_are_rounded_once(d: &Device) {
    // totals of eight numbers at a tie of f32 and next to it: rounding the total twice would give the wrong f32
    let totals = (40..=66).flat_map(|e| {
        let half = 1i128 << (e - 24);
        [1i128, 3, 2].into_iter().flat_map(move |k| [-1, 0, 1].map(|beside| (1i128 << e) + k * half + beside))
    });
    for total in totals {
        let parts: Vec<i128> = (0..8).map(|i| if i == 0 { total - total / 8 * 7 } else { total / 8 }).collect();
        let want = total as f32 / 8.0;
        if has(d, DType::U64) && parts.iter().all(|p| u64::try_from(*p).is_ok()) {
            let x = put(d, parts.iter().map(|p| *p as u64).collect::<Vec<_>>(), &[8]);
            same(&x.mean(..), &[want]);
        }
        if has(d, DType::I64) && parts.iter().all(|p| i64::try_from(*p).is_ok()) {
            let x = put(d, parts.iter().map(|p| *p as i64).collect::<Vec<_>>(), &[8]);
            same(&x.mean(..), &[want]);
            same(&(-x).mean(..), &[-want]);
        }
    }
}

fn a_column_is_summed_as_beside_others(d: &Device) {
    // few columns are summed several blocks at a time, many are not: the order of additions is the same
    for n in [1000usize, 5003, 20_000] {
        let v: Vec<f32> = (0..n * 40).map(|i| (i as u32).wrapping_mul(2_654_435_761) as f32 * 1e-9 - 1.0).collect();
        let x = put(d, v, &[n, 40]);
        let many = x.sum(0).to_vec::<f32>().unwrap();
        for w in [2usize, 3, 4, 5, 8, 9, 17, 31, 33] {
            let few = (x.slice(s![.., ..w]) * 1.0).eval().unwrap();
            same(&few.sum(0), &many[..w]);
        }
    }
}

fn a_line_ends_at_the_given_numbers(d: &Device) {
    let ends = [0.0, -0.0, 1.0, -2.5, 0.1, 1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for (a, b) in ends.iter().flat_map(|a| ends.map(|b| (*a, b))) {
        for n in [1usize, 2, 3, 100] {
            let got = linspace(a as f64, b as f64, n, DType::F32).to_device(d).unwrap();
            same(&got.slice(s![0]), &[a]);
            if n > 1 {
                same(&got.slice(s![-1]), &[b]);
            }
        }
    }
}

fn a_range_may_be_wider_than_its_largest_number(d: &Device) {
    if has(d, DType::F64) {
        let x = arange(-1.5e308, 1.5e308, 1e308, DType::F64).to_device(d).unwrap();
        same(&x, &[-1.5e308f64, -0.5e308, 0.5e308]);
        let x = arange(1.5e308, -1.5e308, -1e308, DType::F64).to_device(d).unwrap();
        same(&x, &[1.5e308f64, 0.5e308, -0.5e308]);
    }
}

fn every_tile_of_a_row_is_computed(d: &Device) {
    for n in [2047usize, 2048, 2049, 4096, 4100, 9001] {
        let (v, w): (Vec<i32>, Vec<i32>) = (0..n as i32).map(|i| (i * 7 % 1009, i)).unzip();
        let (a, b) = (put(d, v.clone(), &[n]), put(d, w.clone(), &[n]));
        let of = |f: fn(i32, i32) -> i32| v.iter().zip(&w).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>();
        same(&(&a + &b), &of(|a, b| a + b));
        same(&((&a * 3 - &b) * &a), &of(|a, b| (a * 3 - b) * a));
        same(&a.less(&b), &v.iter().zip(&w).map(|(a, b)| a < b).collect::<Vec<bool>>());
        same(&a.astype(DType::I16).astype(DType::I32), &v);
        // from the fourth element on, and in place
        let later: Vec<i32> = v[3..].iter().zip(&w).map(|(a, b)| a - b).collect();
        same(&(a.slice(s![3..]) - b.slice(s![..-3])), &later);
        let mut x = a.clone();
        x.slice_mut(s![3..]).update(|x| x * 2 + 1).unwrap();
        let want: Vec<i32> = v.iter().enumerate().map(|(i, a)| if i < 3 { *a } else { a * 2 + 1 }).collect();
        same(&x, &want);
    }
}

fn what_is_refused_is_not_counted(d: &Device) {
    // the limit is larger than the machine's memory, so the system's allocation fails
    let d = d.with_memory_limit(1 << 46).unwrap();
    let used = d.memory().used;
    for _ in 0..3 {
        assert!(zeros([1usize << 44], DType::U8).to_device(&d).is_err());
        assert_eq!(d.memory().used, used);
    }
}

fn probabilities_are_of_64_bits(d: &Device) {
    let n = 40;
    // both words of each draw, minus one
    let words = Rng::new(5).integers(0u64, u64::MAX, [n], DType::U64).to_vec::<u64>().unwrap();
    for at in 0..n {
        let first = (words[at] >> 32) as f64;
        for part in [2f64.powi(-20), 0.25, 0.5, 0.75, 1.0 - 2f64.powi(-20)] {
            // p's upper 32 bits equal the first word, so the second word decides
            let p = (first + part) * 2f64.powi(-32);
            let limit = (p * 2f64.powi(64)) as u128;
            let want: Vec<bool> = words.iter().map(|w| (*w as u128 + 1) < limit).collect();
            same(&Rng::new(5).bernoulli(p, [n], DType::Bool).to_device(d).unwrap(), &want);
        }
    }
}

}

/// Seeds, and the position at which their first uniform draw is 0.
const ZEROS: [(u64, usize); 2] = [(20_524, 1552), (49_266, 1060)];

#[test]
fn permutations_are_all_of_them() {
    let mut seen = std::collections::HashSet::new();
    for seed in 0..200 {
        seen.insert(Rng::new(seed).permutation(4).to_vec::<i64>().unwrap());
    }
    // all 24 permutations occur, including those with fixed points
    assert_eq!(seen.len(), 24);
}

#[test]
fn the_best_device_is_hardware_or_the_cpu() {
    // an explicit choice of a device takes precedence
    if std::env::var_os("CUPRIC_DEVICE").is_some() {
        return;
    }
    let hardware = Device::gpu().ok().filter(|d| !d.is_software());
    assert_eq!(Device::best().unwrap(), hardware.unwrap_or(Device::cpu()));
    assert_eq!("best".parse::<Device>().unwrap(), Device::best().unwrap());
}

#[test]
fn a_header_that_ends_at_64_is_padded_all_the_same() {
    // sizes of files that NumPy 2.4 writes for an i32 array with so many axes of length 1
    for (axes, bytes) in [(0, 132), (1, 132), (14, 132), (15, 196), (32, 196), (35, 196), (36, 260), (37, 260)] {
        let file = zeros(vec![1; axes], DType::I32).to_npy_bytes().unwrap();
        assert_eq!(file.len(), bytes, "{axes} axes");
        assert_eq!(Array::from_npy_bytes(&file).unwrap().ndim(), axes);
    }
}
