//! `cargo bench --bench small`: the overhead of small operations on the CPU. Counts the instructions of each program
//! with valgrind, and fails if a count is more than 3 % above the count that `counts.csv` keeps. Unlike times, counts
//! are reproducible, even on a busy machine.

#[path = "../../examples/common/mod.rs"]
mod common;

use clap::Parser;
use cupric::{Array, Attention, Expr, Result, attention, eval_all, grad_many, s, select, zeros_like};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

const ABOUT: &str = "Counts the instructions of small programs on the CPU by valgrind, and compares them with benches/small/counts.csv.
A count that has grown by more than 3 % is an error. CUPRIC_BLESS=1 writes the file anew. Without valgrind nothing is counted.";

#[derive(Parser)]
#[command(about = ABOUT)]
struct Options {
    /// Print the time of each program instead, on one thread: the median of 101 samples
    #[arg(long)]
    times: bool,
    /// Run each program 1,000 times under valgrind; this program runs itself with this option
    #[arg(long, hide = true)]
    counted: bool,
    /// What cargo passes; without it each program runs once
    #[arg(long, hide = true)]
    bench: bool,
}

type Outcome<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/small/counts.csv");
/// How often a program runs before and while its instructions are counted. The first runs plan and allocate.
const RUNS: [usize; 2] = [20, 200];
/// The factor by which a count may grow. The same source compiles to code that differs by less from change to change.
const MARGIN: f64 = 1.03;

fn main() -> ExitCode {
    let options: Options = common::arguments("small");
    let run = || match (options.times, options.counted, options.bench) {
        (true, ..) => times(),
        (_, true, _) => counted(RUNS),
        (.., true) => counts(),
        _ => counted([0, 1]),
    };
    common::finish("small", run())
}

/// A program, which is called again and again.
type Program = Box<dyn FnMut() -> Result<()>>;

fn array(n: usize, shape: &[usize]) -> Result<Array> {
    Array::from_vec((0..n).map(|i| 0.25 + (i * 7 % 16) as f32 / 16.0).collect::<Vec<f32>>(), shape)
}

fn programs() -> Result<Vec<(&'static str, Program)>> {
    let vector = |n: usize| array(n, &[n]);
    let (a, b, m, big) = (vector(8)?, vector(8)?, array(16, &[4, 4])?, [vector(1000)?, vector(1000)?]);
    let (c, d, e, f) = (a.clone(), b.clone(), a.clone(), a.clone());
    let (mut x, g) = ((&a * 1.0).eval()?, b.clone());
    let (mut y, z) = (vector(100)?, vector(100)?);
    let (mut rows, row, mut i) = (array(100 * 256, &[100, 256])?, vector(256)?, 0);
    let train = training()?;
    let mut programs: Vec<(&str, Program)> = vec![
        ("a + b of 8", Box::new(move || (&a + &b).eval().map(drop))),
        ("a + b of 1,000", Box::new(move || (&big[0] + &big[1]).eval().map(drop))),
        ("exp(2 a + b) - a of 8", Box::new(move || ((&c * 2.0 + &d).exp() - &c).eval().map(drop))),
        ("sum of 8", Box::new(move || e.sum(..).eval().map(drop))),
        ("item of 8", Box::new(move || f.slice(s![3]).item::<f32>().map(drop))),
        ("4 x 4 matmul", Box::new(move || m.matmul(&m).eval().map(drop))),
        ("x = 0.9 x + b of 8, in place", Box::new(move || x.update(|x| x * 0.9 + &g))),
        (
            "y = 0.999 y; y = y + b of 100",
            Box::new(move || {
                y = (&y * 0.999).eval()?;
                y = (&y + &z).eval()?;
                Ok(())
            }),
        ),
        (
            "x[i] = x[i] / 2 + row of 256",
            Box::new(move || {
                i = (i + 1) % 100;
                rows.slice_mut(s![i, ..]).update(|r| r * 0.5 + &row)
            }),
        ),
        ("digits training step", Box::new(train)),
        ("graph of a transformer block's gradients", Box::new(gradients()?)),
    ];
    programs.extend(new_lengths()?);
    Ok(programs)
}

/// Returns programs whose arrays have another length in each run, so that each run makes a plan.
fn new_lengths() -> Result<Vec<(&'static str, Program)>> {
    let [x, y] = [array(1000, &[1000])?, array(1000, &[1000])?];
    let rows = array(4000, &[4, 1000])?;
    let [q, k, v] = [array(16, &[1, 16])?, array(16_000, &[1000, 16])?, array(16_000, &[1000, 16])?];
    let [mut i, mut j, mut n] = [7, 7, 7];
    Ok(vec![
        (
            "a + b of a new length",
            Box::new(move || {
                i += 1;
                (x.slice(s![..i]) + y.slice(s![..i])).eval().map(drop)
            }),
        ),
        (
            "softmax of 4 rows of a new length",
            Box::new(move || {
                j += 1;
                rows.slice(s![.., ..j]).softmax(-1).eval().map(drop)
            }),
        ),
        (
            "attention to one more key",
            Box::new(move || {
                n += 1;
                let scores = q.matmul(k.slice(s![..n]).t()) * 0.25;
                scores.softmax(-1).matmul(v.slice(s![..n])).eval().map(drop)
            }),
        ),
    ])
}

/// Returns a program that makes a step of Adam on a batch of 32 images, like the row `digits_step` of the bench
/// `backends`.
fn training() -> Result<impl FnMut() -> Result<()>> {
    let (x, y) = (array(32 * 64, &[32, 64])?, array(32 * 10, &[32, 10])?);
    let shapes: [&[usize]; 4] = [&[64, 128], &[128], &[128, 10], &[10]];
    let mut state = vec![];
    for shape in shapes {
        let p = (array(shape.iter().product(), shape)? * 0.01).eval()?;
        state.push([zeros_like(&p).eval()?, zeros_like(&p).eval()?, p]);
    }
    let mut step = 0;
    Ok(move || {
        step += 1;
        let (x, y): (&Expr, &Expr) = (&x, &y);
        let p: [Expr; 4] = std::array::from_fn(|i| (*state[i][2]).clone());
        let hidden = (x.matmul(&p[0]) + &p[1]).relu();
        let scores = hidden.matmul(&p[2]) + &p[3];
        let d = (scores.softmax(-1) - y) / 32.0;
        let back = select(hidden.greater(0.0), d.matmul(p[2].t()), 0.0);
        let g = eval_all([&x.t().matmul(&back), &back.sum(0), &hidden.t().matmul(&d), &d.sum(0)])?;
        drop((p, hidden, scores, d, back));
        let rate = 0.002 * (1.0 - f64::powi(0.999, step)).sqrt() / (1.0 - f64::powi(0.9, step));
        for ([mean, square, value], g) in state.iter_mut().zip(&g) {
            mean.update(|m| m * 0.9 + g * 0.1)?;
            square.update(|v| v * 0.999 + g.square() * 0.001)?;
            value.update(|w| w - &*mean * rate / (square.sqrt() + 1e-8))?;
        }
        Ok(())
    })
}

/// Returns a program that builds the loss of a transformer block and its gradients, about 180 nodes, and evaluates
/// nothing.
fn gradients() -> Result<impl FnMut() -> Result<()>> {
    let (n, length, width, heads) = (2, 16, 32, 8);
    let x = array(n * length * width, &[n, length, width])?;
    let shapes: [&[usize]; 12] = [
        &[width],
        &[width],
        &[width, 3 * width],
        &[3 * width],
        &[width, width],
        &[width],
        &[width],
        &[width],
        &[width, 4 * width],
        &[4 * width],
        &[4 * width, width],
        &[width],
    ];
    let p: Vec<Array> = shapes.iter().map(|shape| array(shape.iter().product(), shape)).collect::<Result<_>>()?;
    Ok(move || {
        let norm = |x: &Expr, p: &[Array]| x.layer_norm(-1, 1e-5) * &p[0] + &p[1];
        let dense = |x: Expr, p: &[Array]| x.matmul(&p[0]) + &p[1];
        let split = |x: Expr| x.reshape([n, length, heads, width / heads]).permute_dims([0, 2, 1, 3]);
        let all = dense(norm(&x, &p[..2]), &p[2..4]);
        let [q, k, v] = [0, 1, 2].map(|i| split(all.slice(s![.., .., i * width..(i + 1) * width])));
        let read = attention(q, k, v, Attention::default()).permute_dims([0, 2, 1, 3]).reshape([n, length, width]);
        let y = dense(read, &p[4..6]) + &x;
        let out = dense(dense(norm(&y, &p[6..8]), &p[8..10]).gelu(), &p[10..]) + y;
        grad_many(&out.square().mean(..), &p).iter().try_for_each(|g| g.shape().map(drop))
    })
}

fn times() -> Outcome {
    for (name, mut program) in programs()? {
        let mut samples = vec![];
        for sample in 0..=101 {
            let start = Instant::now();
            for _ in 0..RUNS[1] {
                program()?;
            }
            if sample > 0 {
                samples.push(start.elapsed().as_secs_f64() * 1e9 / RUNS[1] as f64);
            }
        }
        samples.sort_unstable_by(f64::total_cmp);
        println!("{name:<36}{:>12.1} ns", samples[samples.len() / 2]);
    }
    Ok(())
}

/// A mark for valgrind, which writes its counts before each call of this function and restarts them from 0.
#[inline(never)]
fn small_mark(n: usize) {
    black_box(n);
}

fn counted(runs: [usize; 2]) -> Outcome {
    for (n, (_, mut program)) in programs()?.into_iter().enumerate() {
        (0..runs[0]).try_for_each(|_| program())?;
        small_mark(n);
        (0..runs[1]).try_for_each(|_| program())?;
        small_mark(n);
    }
    Ok(())
}

/// Runs this program under valgrind, and returns the instructions of one run of each program.
fn count() -> Outcome<Vec<(&'static str, u64)>> {
    let folder = std::env::temp_dir().join(format!("cupric-small-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--dump-before=*small_mark*"]).arg(folder_option(&folder));
    // remove these variables, because the work that they ask for, such as filling memory, would be counted too
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CUPRIC_")) {
        command.env_remove(name);
    }
    // valgrind does not know AVX-512
    command.arg(std::env::current_exe()?).arg("--counted").env("CUPRIC_ISA", "avx2").env("RAYON_NUM_THREADS", "1");
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let mut counts = vec![];
    for (n, (name, _)) in programs()?.into_iter().enumerate() {
        // the file of the second mark has the counts since the first mark
        let file = std::fs::read_to_string(folder.join(format!("out.{}", 2 * n + 2)))?;
        let total = file.lines().find_map(|line| line.strip_prefix("totals: "));
        let total: u64 = total.ok_or("valgrind wrote no total")?.trim().parse()?;
        counts.push((name, total / RUNS[1] as u64));
    }
    let _ = std::fs::remove_dir_all(&folder);
    Ok(counts)
}

fn folder_option(folder: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from("--callgrind-out-file=");
    option.push(folder.join("out"));
    option
}

fn counts() -> Outcome {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("small: left out, because there is no valgrind");
        return Ok(());
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    let before: BTreeMap<&str, f64> = kept
        .lines()
        .filter_map(|line| line.rsplit_once(';'))
        .filter_map(|(name, n)| Some((name, n.parse().ok()?)))
        .collect();
    let (counts, mut grown) = (count()?, vec![]);
    println!("{:<36}{:>14}{:>14}", "", "instructions", "kept");
    for (name, n) in &counts {
        let kept = before.get(name);
        println!("{name:<36}{n:>14}{:>14}", kept.map_or("-".to_string(), |kept| kept.to_string()));
        if kept.is_none_or(|kept| *n as f64 > kept * MARGIN) {
            grown.push(*name);
        }
    }
    if std::env::var_os("CUPRIC_BLESS").is_some() {
        let lines: String = counts.iter().map(|(name, n)| format!("{name};{n}\n")).collect();
        std::fs::write(FILE, lines)?;
        return Ok(());
    }
    match grown.is_empty() {
        true => Ok(()),
        false => Err(format!("grown by more than 3 %: {}; CUPRIC_BLESS=1 accepts it", grown.join(", ")).into()),
    }
}
