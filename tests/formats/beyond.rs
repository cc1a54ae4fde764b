//! Files larger than memory: a process whose memory is limited to a part of the file reads, computes and writes. It
//! must write the same bytes as a process with enough memory.
#![cfg(target_os = "linux")]

use super::{Folder, same};
use cupric::DType::*;
use cupric::*;
use std::path::Path;
use std::process::Command;

/// Rows and columns of the file: 26 MiB of f32. The limited process may allocate 22 MiB beyond what it has at its
/// start, which is enough for two blocks.
const SHAPE: [usize; 2] = [52_000, 128];
const MORE: u64 = 22 << 20;

/// A file of 152 MiB for statistics and transforms, and how much its process may allocate: a plan has a few blocks of 8 MiB
/// in memory. The last block is smaller than the others, so that the pool of memory gets blocks of several sizes.
const LARGE: [usize; 2] = [312_000, 128];
const MORE_FOR_BLOCKS: u64 = 64 << 20;

#[repr(C)]
struct Limit {
    now: u64,
    most: u64,
}

unsafe extern "C" {
    fn setrlimit(resource: i32, limit: *const Limit) -> i32;
}

/// `RLIMIT_DATA` limits private writable memory. Mapped files do not count.
const DATA: i32 = 2;

/// Limits this process to `more` bytes beyond its present memory.
fn limit(more: u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let has = status.lines().find_map(|l| l.strip_prefix("VmData:")).unwrap();
    let now = (has.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10) + more;
    // SAFETY: `Limit` has the layout of `struct rlimit` on 64-bit Linux, and is only read during the call.
    assert_eq!(unsafe { setrlimit(DATA, &Limit { now, most: now }) }, 0);
}

/// Runs a test of this program again in a separate process. `CUPRIC_BEYOND` tells it the folder.
fn within(test: &str, folder: &Folder) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("CUPRIC_BEYOND", folder.path(""));
    // no backtrace, because it needs much memory, and without memory it waits for itself
    let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&said));
}

fn mapped(path: &Path) -> Array {
    // SAFETY: nobody changes the mapped files of these tests.
    unsafe { Array::map_npy(path) }.unwrap()
}

fn whole_file(folder: &Folder, shape: [usize; 2]) -> Array {
    let x = Rng::new(3).normal(shape, F32).eval().unwrap();
    x.to_npy(folder.path("x.npy")).unwrap();
    x
}

/// The expressions that are computed and written block by block.
fn formulas(x: &Expr) -> [(&'static str, Expr); 10] {
    let w = Rng::new(5).normal([SHAPE[1], 160], F32);
    let order = (arange(0, SHAPE[0] as i64, 1, I64) * 7919) % SHAPE[0] as i64;
    [
        ("standard", (x - x.mean(0)) / (x.std(0) + 1e-6)),
        ("product", x.matmul(w) + 1.0),
        ("softmax", x.softmax(-1)),
        ("scan", x.cumulative_sum(1)),
        ("order", x.take(order, 0)),
        ("wide", x.astype(F64).reshape([-1, 64])),
        ("sorted", x.sort(descending(-1))),
        ("positions", x.argsort(1)),
        ("largest", x.topk(5, 1, true).0),
        ("median", x.median(1)),
    ]
}

/// Transforms of each row, which are written block by block.
fn transforms(x: &Expr) -> [(&'static str, Expr); 2] {
    [("transform", fft::rfft(x, -1).imag().clone()), ("smooth", fft::irfft(fft::rfft(x, -1) * 0.5, -1))]
}

/// Statistics of all elements, or of all rows, that need one pass over the file. The edges of `histogram` need one more.
fn statistics(x: &Expr) -> [(&'static str, Expr); 10] {
    let edges = linspace(-4.0, 4.0, 33, F32);
    let (low, high) = (x.slice(s![.., ..64]), x.slice(s![.., 64..]));
    [
        ("histogram", x.histogram(32, None).0),
        ("histogram of a formula", (x * 2.0 - x.mean(0)).histogram(32, Some((-9.0, 9.0))).0),
        ("histogram of columns", x.t().histogram(8, Some((-1.0, 1.0))).0),
        ("histogram_with_edges", x.histogram_with_edges(&edges)),
        ("histogram_weighted", x.histogram_weighted(x * x, 16, Some((-4.0, 4.0))).0),
        ("histogram_with_edges_weighted", x.histogram_with_edges_weighted(x.abs(), edges)),
        ("histogram2d", low.histogram2d(high, [8, 8], None).0),
        ("cov", x.cov(false, 1.0)),
        ("cov of rows", (x.t() + 100.0).cov(true, 0.0)),
        ("corrcoef", x.corrcoef(false)),
    ]
}

#[test]
fn statistics_of_a_file_larger_than_memory() {
    if let Some(folder) = std::env::var_os("CUPRIC_BEYOND") {
        let folder = Path::new(&folder);
        let x = mapped(&folder.join("x.npy"));
        limit(MORE_FOR_BLOCKS);
        for (name, e) in statistics(&x) {
            let found = e.eval().unwrap_or_else(|e| panic!("{name}: {e}"));
            found.to_npy(folder.join(format!("{name}.npy"))).unwrap();
        }
        assert_eq!((&*x * 2.0).eval().unwrap_err().kind(), ErrorKind::OutOfMemory);
        for (name, e) in transforms(&x) {
            e.to_npy(folder.join(format!("{name}.npy"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        return;
    }
    let folder = Folder::new("beyond-statistics");
    let x = whole_file(&folder, LARGE);
    within("beyond::statistics_of_a_file_larger_than_memory", &folder);
    let found = |name: &str| Array::from_npy(folder.path(&format!("{name}.npy"))).unwrap();
    for (name, e) in statistics(&x).into_iter().chain(transforms(&x)) {
        same(&found(name), &e.eval().unwrap());
    }
    let numbers = x.to_vec::<f32>().unwrap();
    assert_eq!(found("histogram").sum(..).item::<i64>().unwrap(), numbers.len() as i64);
    let near = |v: &&f32| (-1.0..=1.0).contains(*v);
    let count = numbers.iter().filter(near).count() as i64;
    assert_eq!(found("histogram of columns").sum(..).item::<i64>().unwrap(), count);
    // the definition, in f64
    let wide = x.astype(F64);
    let deviation = &wide - wide.mean(0);
    let cov = deviation.t().matmul(&deviation) / (LARGE[0] as f64 - 1.0);
    let scale = cov.diagonal(0).sqrt();
    let want = [
        ("cov", cov.clone()),
        ("cov of rows", &cov * (1.0 - 1.0 / LARGE[0] as f64)),
        ("corrcoef", &cov / &scale / scale.expand_dims(1)),
    ];
    for (name, want) in want {
        let error = (found(name).astype(F64) - want).abs().max(..).item::<f64>().unwrap();
        // `x + 100` is rounded to f32, with a step of 7.6e-6
        assert!(error < 2e-6, "{name}: {error}");
    }
}

/// Sums the products of blocks on a device.
fn pipeline(x: &Expr, device: &Device) -> Array {
    let mut sum = zeros([SHAPE[1]; 2], F32).to_device(device).unwrap();
    for block in x.chunks(2_000).unwrap() {
        let block = block.to_device(device).unwrap();
        sum.update(|s| s + block.t().matmul(&block)).unwrap();
    }
    sum.to_device(&Device::cpu()).unwrap()
}

#[test]
fn a_pipeline_of_a_file_larger_than_memory() {
    // the first GPU, or the CPU if there is none
    let device = Device::gpus().into_iter().next().unwrap_or_else(Device::cpu);
    if let Some(folder) = std::env::var_os("CUPRIC_BEYOND") {
        let x = mapped(&Path::new(&folder).join("x.npy"));
        // the driver allocates its own memory at its first work, before the limit
        pipeline(&x.slice(s![..4_000]), &device);
        limit(MORE);
        return pipeline(&x, &device).to_npy(Path::new(&folder).join("sum.npy")).unwrap();
    }
    let folder = Folder::new("beyond-device");
    let x = whole_file(&folder, SHAPE);
    within("beyond::a_pipeline_of_a_file_larger_than_memory", &folder);
    same(&Array::from_npy(folder.path("sum.npy")).unwrap(), &pipeline(&x, &device));
}

#[test]
fn formulas_of_a_file_larger_than_memory() {
    if let Some(folder) = std::env::var_os("CUPRIC_BEYOND") {
        let folder = Path::new(&folder);
        let x = mapped(&folder.join("x.npy"));
        limit(MORE);
        assert_eq!((&*x * 2.0).eval().unwrap_err().kind(), ErrorKind::OutOfMemory);
        for (name, e) in formulas(&x) {
            e.to_npy(folder.join(format!("{name}.npy"))).unwrap();
        }
        let [mean, most] = eval_all([&x.mean(0), &x.max(0)]).unwrap();
        save_npz(folder.join("x.npz"), [("mean", &*mean), ("max", &*most), ("twice", &(&*x * 2.0))]).unwrap();
        save_npz_compressed(folder.join("small.npz"), [("zero", &(&*x * 0.0))]).unwrap();
        save_safetensors(folder.join("x.safetensors"), [("twice", &*x * 2.0)], [("made", "by blocks")]).unwrap();
        let mut file = NpyWriter::create(folder.join("rows.npy"), F32, [SHAPE[1]]).unwrap();
        for block in (&*x * 2.0).chunks(10_000).unwrap() {
            file.append(block).unwrap();
        }
        file.append(&*x * 3.0).unwrap();
        file.finish().unwrap();
        let mut counts = zeros([16], I64).eval().unwrap();
        for block in x.chunks(10_000).unwrap() {
            counts.update(|c| c + block.histogram(16, Some((-4.0, 4.0))).0).unwrap();
        }
        counts.to_npy(folder.join("counts.npy")).unwrap();
        return;
    }
    let folder = Folder::new("beyond");
    let x = whole_file(&folder, SHAPE);
    within("beyond::formulas_of_a_file_larger_than_memory", &folder);
    for (name, e) in formulas(&x) {
        println!("{name}");
        same(&mapped(&folder.path(&format!("{name}.npy"))), &e.eval().unwrap());
    }
    let twice = (&*x * 2.0).eval().unwrap();
    let mut npz = Npz::open(folder.path("x.npz")).unwrap();
    same(&npz.read("mean").unwrap(), &x.mean(0).eval().unwrap());
    same(&npz.read("twice").unwrap(), &twice);
    let mut npz = Npz::open(folder.path("small.npz")).unwrap().max_ratio(2000);
    same(&npz.read("zero").unwrap(), &(&*x * 0.0).eval().unwrap());
    same(&SafeTensors::open(folder.path("x.safetensors")).unwrap().read("twice").unwrap(), &twice);
    same(&Array::from_npy(folder.path("counts.npy")).unwrap(), &x.histogram(16, Some((-4.0, 4.0))).0.eval().unwrap());
    let rows = mapped(&folder.path("rows.npy"));
    same(&rows.slice(s![..SHAPE[0]]).eval().unwrap(), &twice);
    same(&rows.slice(s![SHAPE[0]..]).eval().unwrap(), &(&*x * 3.0).eval().unwrap());
}

/// An expression that needs all elements at once returns an error, and the process continues.
#[test]
fn what_does_not_fit_is_an_error() {
    if let Some(folder) = std::env::var_os("CUPRIC_BEYOND") {
        let x = mapped(&Path::new(&folder).join("x.npy"));
        limit(MORE);
        let square = x.slice(s![..51_200]).reshape([2560, 2560]);
        let all: [(&str, Result<Array>); 8] = [
            ("sort", x.sort(0).eval()),
            ("argsort", x.argsort(1).eval()),
            ("unique_values", x.unique_values()),
            ("median", x.median(..).eval()),
            ("quantile", x.quantile([0.1, 0.5], 0, QuantileMethod::Linear).eval()),
            ("matmul", square.matmul(&square).eval()),
            ("cumulative_sum", x.cumulative_sum(0).eval()),
            ("from_npy", Array::from_npy(Path::new(&folder).join("x.npy"))),
        ];
        // each message names the operation, the memory it needs, the limit, an alternative, and the line
        for (name, result) in all {
            let e = result.expect_err(name);
            println!("{e}");
            assert_eq!((e.kind(), e.operation()), (ErrorKind::OutOfMemory, name), "{e}");
            let texts: &[&str] = match name {
                "from_npy" => &["no memory for 26624000 bytes", "map_npy"],
                _ => &["cannot allocate ", "on cpu, where about ", " bytes fit (", "by blocks of rows (chunks)"],
            };
            assert!(texts.iter().all(|text| e.to_string().contains(text)), "{e}");
            assert!(e.to_string().contains("formats/beyond.rs:"), "{e}");
            // the mapped file, of 26,624,000 bytes, is not in use
            let used =
                e.to_string().split_once(" in use").map(|(before, _)| before.rsplit('(').next().unwrap().to_string());
            assert!(used.iter().all(|n| n.parse::<usize>().unwrap() < 24_000_000), "{e}");
        }
        assert!(x.sort(0).to_npy(Path::new(&folder).join("sorted.npy")).is_err());
        assert!(x.sum(..).item::<f32>().unwrap().is_finite());
        return;
    }
    let folder = Folder::new("beyond-errors");
    whole_file(&folder, SHAPE);
    within("beyond::what_does_not_fit_is_an_error", &folder);
    assert!(!folder.path("sorted.npy").exists());
}

/// Reductions that need one pass are computed together by one kernel, which reads the file once.
#[test]
fn reductions_together_read_once() {
    let x = zeros([3000, 40], F32).eval().unwrap();
    let plan = plan_many([&x.mean(0), &x.max(0), &x.min(0), &(&*x * &*x).sum(0)]).unwrap();
    assert_eq!((plan.kernels(), plan.bytes().0), (1, 3000 * 40 * 4), "{plan}");
    // the standard deviation needs the mean first, so there is a second kernel; the results share the mean
    let plan = plan_many([&x.mean(0), &x.std(0)]).unwrap();
    assert_eq!(plan.kernels(), 2, "{plan}");
}

/// `RLIMIT_FSIZE` limits the size of a file that the process writes. It simulates a full disk.
const FSIZE: i32 = 1;

#[test]
fn a_full_disk_leaves_whole_rows() {
    unsafe extern "C" {
        fn signal(number: i32, handler: usize) -> usize;
    }
    if let Some(folder) = std::env::var_os("CUPRIC_BEYOND") {
        let path = Path::new(&folder).join("rows.npy");
        let mut file = NpyWriter::create(&path, F32, [100]).unwrap();
        file.append(ones([10, 100], F32)).unwrap();
        // SAFETY: this ignores (`SIG_IGN` is 1) the signal SIGXFSZ (25), so that a write returns an error instead.
        unsafe { signal(25, 1) };
        let most = Limit { now: 10_000, most: 10_000 };
        // SAFETY: `Limit` has the layout of `struct rlimit` on 64-bit Linux, and is only read during the call.
        assert_eq!(unsafe { setrlimit(FSIZE, &most) }, 0);
        let e = file.append(ones([100, 100], F32)).unwrap_err();
        assert!(e.kind() == ErrorKind::Io && e.to_string().contains("rows.npy"), "{e}");
        file.append(ones([10, 100], F32)).unwrap();
        assert_eq!(file.rows(), 20);
        file.finish().unwrap();
        // a failed write of a whole file leaves no file
        let e = ones([100, 100], F32).to_npy(Path::new(&folder).join("large.npy")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{e}");
        return;
    }
    let folder = Folder::new("beyond-full");
    within("beyond::a_full_disk_leaves_whole_rows", &folder);
    same(&Array::from_npy(folder.path("rows.npy")).unwrap(), &ones([20, 100], F32).eval().unwrap());
    let names: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["rows.npy"]);
}
