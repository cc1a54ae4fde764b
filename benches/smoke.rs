//! A quick look at speed: `cargo bench --bench smoke [-- --device gpu]`. Times are medians; limits are measured in the
//! same run as the handbook defines them: bytes that must move over the copy (or read) rate at the same size.

use cupric::{Array, DType, Device, Expr, Result, eval_all, ones, zeros};
use std::hint::black_box;
use std::time::Instant;

const N: usize = 10_000_000;

/// Median milliseconds of `runs` calls, after one that does not count.
fn median(runs: usize, mut f: impl FnMut()) -> f64 {
    f();
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

/// Splits a slice over the current threads.
fn in_parallel<T: Sync, U: Send>(a: &[T], b: &mut [U], f: impl Fn(&[T], &mut [U]) + Sync) {
    let chunk = a.len().div_ceil(rayon::current_num_threads());
    rayon::scope(|s| {
        for (a, b) in a.chunks(chunk).zip(b.chunks_mut(chunk)) {
            s.spawn(|_| f(a, b));
        }
    });
}

/// Copies with stores that go past the cache.
#[cfg(target_arch = "x86_64")]
fn copy_streaming(a: &[f32], b: &mut [f32]) {
    use std::arch::x86_64::*;
    let skip = b.as_ptr().align_offset(32).min(a.len());
    let (head, body) = b.split_at_mut(skip);
    head.copy_from_slice(&a[..skip]);
    let a = &a[skip..];
    let whole = a.len() / 8 * 8;
    // SAFETY: `i + 8` stays within both slices and `body` is aligned to 32 bytes; AVX is checked by the caller.
    #[target_feature(enable = "avx")]
    unsafe fn stream(a: *const f32, b: *mut f32, n: usize) {
        for i in (0..n).step_by(8) {
            unsafe { _mm256_stream_ps(b.add(i), _mm256_loadu_ps(a.add(i))) };
        }
        _mm_sfence();
    }
    // SAFETY: as above.
    unsafe { stream(a.as_ptr(), body.as_mut_ptr(), whole) };
    body[whole..].copy_from_slice(&a[whole..]);
}

/// Bytes a second of the best copy and the best read of `N` f32: plain or streaming stores, one or all threads.
fn rates() -> (f64, f64) {
    let (a, mut b) = (vec![1f32; N], vec![0f32; N]);
    let mut best = [
        median(9, || b.copy_from_slice(black_box(&a))),
        median(9, || in_parallel(black_box(&a), &mut b, |a, b| b.copy_from_slice(a))),
        f64::INFINITY,
        f64::INFINITY,
    ];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        best[2] = median(9, || copy_streaming(black_box(&a), &mut b));
        best[3] = median(9, || in_parallel(black_box(&a), &mut b, copy_streaming));
    }
    let mut sums = vec![0u64; rayon::current_num_threads()];
    let read = median(9, || {
        let chunk = a.len().div_ceil(sums.len());
        rayon::scope(|s| {
            for (a, out) in a.chunks(chunk).zip(sums.iter_mut()) {
                s.spawn(move |_| *out = a.iter().map(|x| x.to_bits() as u64).sum());
            }
        });
        black_box(&sums);
    });
    let copy = best.into_iter().fold(f64::INFINITY, f64::min);
    (8.0 * N as f64 / copy * 1e3, 4.0 * N as f64 / read * 1e3)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let name = args.iter().position(|a| a == "--device").and_then(|i| args.get(i + 1)).map_or("cpu", |s| s);
    let device: Device = name.parse()?;
    let (copy, read) = rates();
    println!("device {device}; copy {:.1} GB/s, read {:.1} GB/s at 40 MB", copy / 1e9, read / 1e9);

    let x = (ones([N], DType::F32) * 0.75).to_device(&device)?;
    let y = (ones([N], DType::F32) * 1.25).to_device(&device)?;
    let h = x.astype(DType::F16).eval()?;
    let rows: [(&str, Expr, u64, bool); 11] = [
        ("a + b", &x + &y, 12, false),
        ("2.5 x + 1.2", &x * 2.5 + 1.2, 8, false),
        ("sqrt(x^2 + y^2)", (x.square() + y.square()).sqrt(), 12, false),
        ("exp", x.exp(), 8, false),
        ("log", x.log(), 8, false),
        ("sin", x.sin(), 8, false),
        ("tanh", x.tanh(), 8, false),
        ("sum", x.sum(..), 4, true),
        ("max", x.max(..), 4, true),
        ("f16 add", &h + &h, 4, false),
        ("f32 to f16", x.astype(DType::F16), 6, false),
    ];
    let run = |e: &Expr| -> Result<()> {
        black_box(e.eval()?);
        device.synchronize()
    };
    println!("{:<28} {:>9} {:>9} {:>9}", "10 million elements", "ms", "limit ms", "times");
    for (name, e, bytes, reads_only) in &rows {
        run(e)?;
        let ms = median(9, || run(e).unwrap_or_else(|e| eprintln!("{e}")));
        let limit = (*bytes * N as u64) as f64 / if *reads_only { read } else { copy } * 1e3;
        println!("{name:<28} {ms:>9.3} {limit:>9.3} {:>9.2}", ms / limit);
    }
    let s = ones([1000, 10_000], DType::F32).to_device(&device)?;
    let softmax = s.softmax(-1);
    println!(
        "{:<28} {:>9.3}",
        "softmax 1,000 x 10,000",
        median(7, || run(&softmax).unwrap_or_else(|e| eprintln!("{e}")))
    );
    let m = ones([1024, 1024], DType::F32).to_device(&device)?;
    let product = m.matmul(&m);
    let ms = median(5, || run(&product).unwrap_or_else(|e| eprintln!("{e}")));
    println!("{:<28} {ms:>9.3} ({:.0} GFLOP/s)", "matmul 1024", 2.0 * 1024f64.powi(3) / ms / 1e6);

    let (a, b) = (ones([8], DType::F32).to_device(&device)?, zeros([8], DType::F32).to_device(&device)?);
    let add = || -> Result<Array> { (&a + &b).eval() };
    let count = 10_000;
    let small = median(9, || (0..count).for_each(|_| drop(black_box(add()))));
    println!("{:<28} {:>9.0} ns", "8-element add", small / count as f64 * 1e6);
    if device.is_gpu() {
        let parts: Vec<Array> = (0..1000).map(|i| (&a * i as f64).eval()).collect::<Result<_>>()?;
        let work: Vec<Expr> = parts.iter().map(|p| p + &b).collect();
        device.synchronize()?;
        let mut submit = vec![];
        for _ in 0..7 {
            let t = Instant::now();
            let out = eval_all(&work)?;
            submit.push(t.elapsed().as_secs_f64() * 1e3);
            device.synchronize()?;
            drop(out);
        }
        submit.sort_by(f64::total_cmp);
        println!("{:<28} {:>9.3} ms to the end of submit", "1,000 kernels in eval_all", submit[3]);
    }
    Ok(())
}
