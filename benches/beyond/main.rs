//! `cargo bench --bench beyond --features formats -- --gb 6 --folder DIR`: work on a file larger than memory. Every
//! line of the guide's page on streaming runs in its own process, whose memory `prlimit` limits. Reading and writing
//! are timed beside `dd`.

#[path = "../../examples/common/mod.rs"]
mod common;

use clap::Parser;
use cupric::DType::{F32, I64};
use cupric::{Array, Device, Expr, NpyWriter, Npz, Result, Rng, SafeTensors, s, save_npz, save_safetensors, zeros};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const ABOUT: &str =
    "Computes with a file that is larger than the memory of a process: means, a new file, a histogram, products, and a
pipeline to a GPU. Needs Linux (prlimit, GNU dd), and three times the size of the file on the disk.";

#[derive(Parser)]
#[command(about = ABOUT)]
struct Options {
    /// The size of the file in GB
    #[arg(long, default_value_t = 0.05)]
    gb: f64,
    /// The memory of each process in MiB
    #[arg(long, default_value_t = 1024)]
    limit: u64,
    /// Folder for the files, on the disk to be measured
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// How many lines to run; the first two are compared with dd
    #[arg(long, default_value_t = LINES.len())]
    lines: usize,
    /// Run one line; this program runs itself with this option
    #[arg(long, hide = true)]
    line: Option<usize>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// The number of elements of a row. `BLOCK` is the number of bytes of a block of rows.
const COLUMNS: usize = 128;
const BLOCK: usize = 16 << 20;
/// How often the lines that are compared with `dd` run, in turn with `dd`.
const ROUNDS: usize = 3;

type Outcome<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A line: its name, and the function that computes it from the mapped file and writes the result to another file.
type Line = (&'static str, fn(&Array, &Path) -> Result<()>);

const LINES: [Line; 12] = [
    ("column means", |x, to| x.mean(0).to_npy(to)),
    ("standardisation into a new file", |x, to| standard(x).to_npy(to)),
    ("product with a small matrix", |x, to| product(x).to_npy(to)),
    ("an expression", |x, to| twice(x).to_npy(to)),
    ("NpyWriter", |x, to| {
        let mut file = NpyWriter::create(to, F32, [COLUMNS])?;
        for block in twice(x).chunks(BLOCK / COLUMNS / 4)? {
            file.append(block)?;
        }
        file.finish()
    }),
    ("histogram by chunks", |x, to| {
        let mut counts = zeros([100], I64).eval()?;
        for block in x.chunks(BLOCK / COLUMNS / 4)? {
            counts.update(|c| c + block.histogram(100, Some((-10.0, 10.0))).0)?;
        }
        counts.to_npy(to)
    }),
    ("minima, maxima and means together", |x, to| {
        let [min, max, mean] = cupric::eval_all([&x.min(0), &x.max(0), &x.mean(0)])?;
        cupric::stack([min, max, mean], 0).to_npy(to)
    }),
    ("pipeline to a GPU", |x, to| {
        let device = Device::gpu()?;
        let mut sum = zeros([COLUMNS], F32).to_device(&device)?;
        for block in x.chunks(BLOCK / COLUMNS / 4)? {
            let block = block.to_device(&device)?;
            sum.update(|s| s + block.square().sum(0))?;
        }
        sum.to_npy(to)
    }),
    ("softmax of rows", |x, to| x.softmax(-1).to_npy(to)),
    ("cumulative sums of rows", |x, to| x.cumulative_sum(1).to_npy(to)),
    ("save_npz", |x, to| save_npz(to, [("x", twice(x))])),
    ("save_safetensors", |x, to| save_safetensors(to, [("x", twice(x))], NO_TEXTS)),
];

/// A safetensors file may have texts beside its arrays.
const NO_TEXTS: [(&str, &str); 0] = [];

fn standard(x: &Expr) -> Expr {
    (x - x.mean(0)) / (x.std(0) + 1e-6)
}

fn product(x: &Expr) -> Expr {
    x.matmul(Rng::new(1).normal([COLUMNS, 16], F32))
}

fn twice(x: &Expr) -> Expr {
    x * 2.0
}

fn main() -> ExitCode {
    let options: Options = common::arguments("beyond");
    common::finish("beyond", options.line.map_or_else(|| all(&options), |line| one(line, &options.folder)))
}

fn source(folder: &Path) -> PathBuf {
    folder.join("beyond-source.npy")
}

fn target(folder: &Path) -> PathBuf {
    folder.join("beyond-target.npy")
}

fn one(line: usize, folder: &Path) -> Outcome {
    // SAFETY: nobody changes the file while this process runs.
    let x = unsafe { Array::map_npy(source(folder)) }?;
    Ok((LINES[line].1)(&x, &target(folder))?)
}

fn all(options: &Options) -> Outcome {
    let folder = &options.folder;
    let rows = (options.gb * 1e9) as usize / (4 * COLUMNS);
    Rng::new(0).normal([rows, COLUMNS], F32).to_npy(source(folder))?;
    let result = measure(options);
    for path in [source(folder), target(folder)] {
        let _ = std::fs::remove_file(path);
    }
    result
}

fn measure(options: &Options) -> Outcome {
    let folder = &options.folder;
    println!("{} GB of f32, processes of {} MiB\n", options.gb, options.limit);
    println!("{:<36}{:>12}{:>12}{:>12}{:>12}", "line", "s", "GB/s", "dd, s", "dd / line");
    for (n, (name, _)) in LINES.iter().enumerate().take(options.lines) {
        let (read, write) = (source(folder), target(folder));
        let dd: &[String] = match n {
            0 => &[format!("if={}", read.display()), "of=/dev/null".into(), "bs=8M".into()],
            1 => &[
                format!("if={}", read.display()),
                format!("of={}", write.display()),
                "bs=8M".into(),
                "conv=fdatasync".into(),
            ],
            _ => &[],
        };
        let (mut lines, mut copies) = (vec![], vec![]);
        for _ in 0..if dd.is_empty() || !options.bench { 1 } else { ROUNDS } {
            if !dd.is_empty() {
                copies.push(timed(options, Command::new("dd").args(dd))?);
            }
            let program = std::env::current_exe()?;
            let line = ["--line", &n.to_string(), "--folder"].map(String::from);
            lines.push(timed(options, Command::new(program).args(line).arg(folder))?);
        }
        let seconds = middle(lines);
        print!("{name:<36}{seconds:>12.2}{:>12.2}", options.gb / seconds);
        match dd {
            [] => println!(),
            _ => println!("{:>12.2}{:>12.2}", middle(copies.clone()), middle(copies) / seconds),
        }
        check(n, folder)?;
    }
    Ok(())
}

/// Runs a program with limited memory, and returns its seconds. Before, neither file is in the system's page cache.
fn timed(options: &Options, command: &Command) -> Outcome<f64> {
    let _ = std::fs::remove_file(target(&options.folder));
    let source = format!("if={}", source(&options.folder).display());
    // this makes Linux drop the file from its page cache
    run(Command::new("dd").args([&source, "iflag=nocache", "count=0"]))?;
    let limit = format!("--data={}", options.limit << 20);
    let start = Instant::now();
    run(Command::new("prlimit").arg(limit).arg(command.get_program()).args(command.get_args()))?;
    Ok(start.elapsed().as_secs_f64())
}

fn run(command: &mut Command) -> Outcome {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

fn middle(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_unstable_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Compares the result of a line with its formula: the whole result, or its start, middle and end.
fn check(line: usize, folder: &Path) -> Outcome {
    // SAFETY: nobody changes the files before the next line.
    let map = |path| unsafe { Array::map_npy(path) };
    let (x, written) = (map(source(folder))?, target(folder));
    let rows = x.shape()[0];
    let (want, y) = match line {
        1 => (standard(&x), map(written)?),
        2 => (product(&x), map(written)?),
        3 | 4 => (twice(&x), map(written)?),
        8 => (x.softmax(-1), map(written)?),
        9 => (x.cumulative_sum(1), map(written)?),
        10 => (twice(&x), Npz::open(written)?.read("x")?),
        11 => (twice(&x), SafeTensors::open(written)?.read("x")?),
        _ => return Ok(()),
    };
    if y.shape()[0] != rows {
        return Err(format!("{}: {} rows, not {rows}", LINES[line].0, y.shape()[0]).into());
    }
    for from in [0, rows / 2, rows - rows.min(1000)] {
        let part = s![from..(from + 1000).min(rows)];
        if !cupric::array_equal(&y.slice(part), &want.slice(part))? {
            return Err(format!("{}: rows from {from} on are wrong", LINES[line].0).into());
        }
    }
    Ok(())
}
