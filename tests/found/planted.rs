//! What the tests did not see when a fault was planted: each of these goes red at one or more of `src/mutants.rs`.

use crate::on_devices;
use crate::support::*;
use cupric::*;

on_devices! {

fn takes_of_two_modes_are_two(d: &Device) {
    let x = put(d, vec![10i32, 20, 30], &[3]);
    let i = put(d, vec![-1i32, 3, 7, -4, 2], &[5]);
    let (clip, wrap) = (x.take_clip(&i, 0), x.take_wrap(&i, 0));
    let (clipped, wrapped) = ([10, 30, 30, 10, 30], [30, 10, 20, 30, 30]);
    // as two results of one plan, and inside one kernel
    let all = eval_all([&clip, &wrap]).unwrap();
    same(&all[0], &clipped);
    same(&all[1], &wrapped);
    same(&(clip * 100 + wrap), &[1030, 3010, 3020, 1030, 3030]);
    // a bool of 0 and 1 as a position is never negative: with `take` as well
    let i = put(d, vec![2u8, 0, 1], &[3]);
    let sum = x.take(&i, 0) + x.take_clip(&i, 0) + x.take_wrap(&i, 0);
    same(&sum, &[90, 30, 60]);
}

fn positions_beyond_31_bits_wrap(d: &Device) {
    let beyond = [1u32 << 31, (1 << 31) + 1, 3_000_000_000, 4_000_000_000, u32::MAX, 5];
    for n in [2usize, 3, 5, 7, 10, 64, 1000] {
        let x = put(d, (0..n as i32).collect::<Vec<_>>(), &[n]);
        let want: Vec<i32> = beyond.iter().map(|i| (*i as usize % n) as i32).collect();
        let i = put(d, beyond, &[beyond.len()]);
        same(&x.take_wrap(&i, 0), &want);
        let want: Vec<i32> = beyond.iter().map(|i| (*i as usize).min(n - 1) as i32).collect();
        same(&x.take_clip(&i, 0), &want);
        assert_eq!(x.take(&i, 0).to_vec::<i32>().unwrap_err().kind(), ErrorKind::Index);
    }
}

fn corrections_beyond_the_count(d: &Device) {
    // NumPy divides by max(n − ddof, 0)
    for n in [1usize, 3, 300] {
        let x = put(d, (0..n).map(|i| i as f32).collect::<Vec<_>>(), &[n]);
        for more in [0.0, 0.5, 1.0, 7.0, 1e9] {
            let correction = n as f64 + more;
            // 0/0 where there is no deviation
            let want = if n == 1 { f32::NAN } else { f32::INFINITY };
            same(&x.var_corrected(0, correction), &[want]);
            same(&x.std_corrected(.., correction), &[want]);
        }
    }
}

fn limits_of_memory_are_kept_to_the_byte(d: &Device) {
    // also such as are no multiple of what a device hands out
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
    // long enough for several chunks on a GPU; 2048 and an odd number more are no f16
    for (rows, n) in [(1usize, 5000usize), (1, 60_000), (3, 9000)] {
        let mut v = vec![f16::ONE; n];
        (v[0], v[n - 1]) = (f16::from_f32(2048.0), f16::from_f32(-2048.0));
        let x = put(d, v.repeat(rows), &[rows, n]);
        same(&x.sum(1), &vec![f16::from_f32((n - 2) as f32); rows]);
        same(&x.reshape([rows, n, 1]).sum(1), &vec![f16::from_f32((n - 2) as f32); rows]);
    }
}

}
