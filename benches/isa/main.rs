//! `cargo bench --bench isa`: compiles kernels with the compiler of a graphics card, on a machine without the card, and
//! counts their instructions.
//!
//! `list.rs` has the expressions, and `cards.rs` the cards for which they are planned. `driver.rs` compiles the
//! shaders, `code.rs` counts the instructions, and `budget.rs` compares the counts with the counts that the repository
//! keeps. `measure.rs` times the kernels on a card that the machine has.

mod budget;
mod cards;
mod code;
#[path = "../../examples/common/mod.rs"]
mod common;
mod driver;
mod list;
mod measure;

use budget::Measured;
use clap::Parser;
use cupric::testing::{PlannedKernel, ShaderChecks, kernels_within, shader_checks};
use driver::{Compiled, Driver, Result};
use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const ABOUT: &str = "Compiles cupric's kernels with Mesa's compiler for AMD cards, which needs no card, and counts their instructions.

The expressions of benches/isa/list.rs are planned for a card, whose features and limits are in benches/isa/cards. Their
shaders are compiled with the options of the library. Nothing runs. The columns are:

  vector     vector instructions for each element, along the hot path. An element of a reduction is one that it reads, an
             element of a product is a multiply-add, and an element of a routine (such as sort) is an item of its pass
  must       the budget: 8 for each byte that the kernel must move. An H100 issues 10 while it moves a byte
  all        instructions of the whole machine code, each counted once
  fma        the share of multiply-adds in the vector instructions
  scalar     scalar loads along the hot path / in one iteration of each loop
  waits      waits for memory, counted in the same way
  vgpr, waves, spill, shared, code
             vector registers, waves that fit on a SIMD, spilled registers, bytes of workgroup memory, bytes of code
  H100, ...  the modelled share of the card's memory speed. The bytes take one time and the instructions another, by the
             datasheet's operations per byte. The two overlap but for a quarter of the shorter one, which is what elementwise
             kernels take on an H100 (docs/BENCHMARKS.md). Row kernels take up to half as long again there: the model
             does not count that workgroups wait at barriers
  loads      the memory instructions along the hot path, each counted once. Their names have their widths

The hot path is that of one lane whose workgroup is full and far from all edges, and that has as many elements as it can
hold. At a branch on indices, the path moves the most bytes, then has the fewest memory instructions, then the most vector
instructions. There, loads of words of which a store then changes a part do not count. At a branch on loaded elements or on
floats, the path has the fewest vector instructions, because such branches are for rare values. The path never reports an
out-of-bounds index. The number of iterations of a loop follows from the elements of the lane and the bytes that an iteration
moves, or from the constants of a product's tile. Of a product, the shorter last step along k counts too, though it runs only
if the tile's depth does not divide the length of k. A loop that accesses only workgroup memory counts as a tree over the
workgroup. Any other loop counts as one iteration, and `vector` ends with '?'.
--asm prints the machine code with the number of times that each block runs. Cycles are not modelled.

The figures for navi21 are compared with benches/isa/budget.csv if the same version of the driver wrote it. The run fails
if a figure grows by more than 3 % or a kernel spills more registers. CUPRIC_BLESS=1 accepts the new figures.";

#[derive(Parser)]
#[command(about = ABOUT)]
struct Options {
    /// Rows whose names contain all of these words
    filter: Vec<String>,
    /// The family of chips to compile for: navi21 (RDNA 2), gfx1100 (RDNA 3), navi10 (RDNA 1), vega20 (GCN)
    #[arg(long, value_name = "NAME", default_value = FAMILY)]
    family: String,
    /// The card to plan for, a file of benches/isa/cards [default: rx6800, for gfx1100 rx7900xtx, with --measure h100]
    #[arg(long, value_name = "NAME")]
    card: Option<String>,
    /// Print plans and the machine code, with how often each block runs
    #[arg(long)]
    asm: bool,
    /// Print WGSL too
    #[arg(long)]
    wgsl: bool,
    /// Do not compile for AMD; time the kernels on the machine's first GPU, beside their modelled share of its memory
    /// speed
    #[arg(long)]
    measure: bool,
    /// With --measure, time the rows with these tiles for wide products, in place of the tiles of the table of vendors:
    /// rows x columns x rows of a lane x columns of a lane x depth, such as 128x64x8x4x16
    #[arg(long, value_name = "TILE,…", value_delimiter = ',', requires = "measure")]
    tiles: Vec<String>,
    /// With --measure, time PyTorch and CuPy of this interpreter too (benches/python/kernels.py)
    #[arg(long, value_name = "PATH", requires = "measure")]
    python: Option<std::path::PathBuf>,
    /// List the rows and exit
    #[arg(long)]
    list: bool,
    /// What cargo passes; without it the rows are planned, and not compiled
    #[arg(long, hide = true)]
    bench: bool,
}

/// The family whose figures the repository keeps: RDNA 2, the newest family that Debian 12's Mesa fully supports.
const FAMILY: &str = "navi21";

/// The number of f32 operations of one lane that a card issues while it moves one byte: the rate of f32 instructions
/// divided by the rate of copies, both from datasheets (but the H100's 3.0 TB/s are measured).
const CARDS: [(&str, f64); 4] = [("H100", 10.), ("7900XTX", 16.), ("A770", 15.), ("M1", 19.)];

/// A kernel of a row, to be compiled.
struct Job {
    row: String,
    kernel: String,
    planned: PlannedKernel,
    /// The number of the row's kernels with the same source. `also_for` lists other cards for which the source is the
    /// same.
    times: usize,
    also_for: Vec<&'static str>,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("isa");
    common::finish("isa", run(&options))
}

fn not_compiled(job: &Job, error: &str, options: &Options) {
    println!("{:40} not compiled: {}", name(job), error.lines().next().unwrap_or(""));
    if options.wgsl {
        println!("{}", job.planned.wgsl);
    }
}

fn run(options: &Options) -> Result<()> {
    let words: Vec<&str> = options.filter.iter().flat_map(|text| text.split_whitespace()).collect();
    let rows: Vec<_> = list::ROWS.iter().filter(|row| words.iter().all(|word| row.name.contains(word))).collect();
    if rows.is_empty() {
        return Err(format!("no row contains all words of '{}'", words.join(" ")).into());
    }
    if options.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    if options.measure {
        return measure::run(&rows, CARDS[0].1, options);
    }
    let own_card = cards::card_of(&options.family);
    let card = options.card.as_deref().unwrap_or(own_card);
    let mut jobs = vec![];
    for row in rows {
        let first = jobs.len();
        plan(row, card, None, options, (&mut jobs, first))?;
        // plan the row for the other cards too, because they have other tiles
        if row.by_card && options.card.is_none() {
            for other in cards::names().filter(|name| *name != card) {
                plan(row, other, Some(other), options, (&mut jobs, first))?;
            }
        }
    }
    if !options.bench {
        println!("{} kernels are planned", jobs.len());
        return Ok(());
    }
    let Some(manifest) = driver::manifest() else {
        return Err("Mesa's Vulkan driver for AMD cards is not installed (Debian's mesa-vulkan-drivers)".into());
    };
    // SAFETY: no other thread runs yet.
    unsafe {
        std::env::set_var("RADV_FORCE_FAMILY", &options.family);
        std::env::set_var("VK_DRIVER_FILES", &manifest);
        std::env::set_var("VK_ICD_FILENAMES", &manifest);
        std::env::set_var("MESA_SHADER_CACHE_DISABLE", "true");
    }
    let checks: ShaderChecks = shader_checks().ok_or("this build has no GPUs: it needs the feature gpu")?;
    let driver = Driver::open(checks, cards::caps(card)?.subgroup[1] > 1)?;
    println!("{} by {}, plans for {card}", driver.name, driver.version);
    header();
    let compiled = compile(&driver, &jobs);
    let mut measured = vec![];
    for job in &jobs {
        match &compiled[&job.planned.wgsl] {
            Ok(compiled) => measured.push(show(job, compiled, options)),
            // the shader has a feature that this compiler does not have, such as cooperative matrices
            Err(error) => not_compiled(job, error, options),
        }
    }
    if options.family != FAMILY || options.card.is_some() {
        return Ok(());
    }
    let is_whole = words.is_empty();
    if std::env::var("CUPRIC_BLESS").is_ok_and(|value| value == "1") {
        if !is_whole {
            return Err("CUPRIC_BLESS=1 needs all rows: leave the filter out".into());
        }
        budget::write(&driver.version, &measured)?;
        println!("\n{} kernels are written to benches/isa/budget.csv", measured.len());
        return Ok(());
    }
    let kept_for = budget::driver()?;
    if kept_for != driver.version {
        println!(
            "\nbenches/isa/budget.csv has the figures of {kept_for}, so nothing is compared with {}",
            driver.version
        );
        return Ok(());
    }
    let (worse, better) = budget::compare(&measured, is_whole)?;
    let accept = "CUPRIC_BLESS=1 ./dev shaders";
    if better > 0 {
        println!("\n{better} figures are lower by more than 3 %; to keep them: {accept}");
    }
    if worse.is_empty() {
        println!("\n{} kernels are within benches/isa/budget.csv", measured.len());
        return Ok(());
    }
    println!("\n{}", worse.join("\n"));
    Err(format!("{} figures are worse than in benches/isa/budget.csv; to accept them: {accept}", worse.len()).into())
}

/// Plans a row for a card, and adds its kernels to `jobs`, except kernels whose source a job from `first` on already
/// has. `other` is the card's name, if it is not the card for which all rows are planned.
fn plan(
    row: &list::Row,
    card: &str,
    other: Option<&'static str>,
    options: &Options,
    (jobs, first): (&mut Vec<Job>, usize),
) -> Result<()> {
    let expressions = (row.build)();
    let (text, kernels) = kernels_within(&expressions.iter().collect::<Vec<_>>(), &cards::caps(card)?)?;
    let name = other.map_or(row.name.to_string(), |card| format!("{} for {card}", row.name));
    if options.asm {
        println!("{name}\n{text}");
    }
    for (n, planned) in kernels.into_iter().enumerate() {
        match (jobs[first..].iter_mut().find(|job| job.planned.wgsl == planned.wgsl), other) {
            (Some(job), Some(card)) => job.also_for.push(card),
            (Some(job), None) => job.times += 1,
            (None, _) => {
                let kernel = format!("{n} {}", planned.kind);
                jobs.push(Job { row: name.clone(), kernel, planned, times: 1, also_for: vec![] });
            }
        }
    }
    Ok(())
}

/// Compiles each shader once, on as many threads as the machine runs in parallel.
fn compile<'a>(driver: &Driver, jobs: &'a [Job]) -> HashMap<&'a String, std::result::Result<Compiled, String>> {
    let mut texts: Vec<&String> = jobs.iter().map(|job| &job.planned.wgsl).collect();
    texts.sort();
    texts.dedup();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    let work = || {
        while let Some(text) = texts.get(next.fetch_add(1, Relaxed)) {
            let result = driver.compile(text).map_err(|e| e.to_string());
            done.lock().unwrap_or_else(|e| e.into_inner()).insert(*text, result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(work);
        }
    });
    done.into_inner().unwrap_or_else(|e| e.into_inner())
}

fn name(job: &Job) -> String {
    let times = if job.times > 1 { format!(" × {}", job.times) } else { String::new() };
    format!("{}, {}{times}", job.row, job.kernel)
}

/// Returns the modelled share of its memory speed that a card reaches. The card issues `rate` operations while it moves
/// a byte, and an element has `bytes` bytes and `vector` vector instructions.
fn modelled_share(rate: f64, bytes: f64, vector: f64) -> f64 {
    // in units of the time that the bytes take
    let instructions = vector / (rate * bytes);
    1. / (instructions.max(1.) + instructions.min(1.) / 4.)
}

fn header() {
    let cards: String = CARDS.iter().map(|(name, _)| format!("{name:>8}")).collect();
    println!(
        "{:40} {:>7} {:>5} {:>5} {:>4} {:>9} {:>9} {:>4} {:>5} {:>5} {:>6} {:>6}{cards}  loads",
        "row, kernel", "vector", "must", "all", "fma", "scalar", "waits", "vgpr", "waves", "spill", "shared", "code"
    );
}

/// Prints a kernel's figures.
fn show(job: &Job, compiled: &Compiled, options: &Options) -> Measured {
    let planned = &job.planned;
    let elements = planned.size.iter().product::<usize>() as f64 / planned.dispatches.max(1) as f64;
    let is_routine = planned.element_bytes == [0, 0] && planned.size[1] == 1;
    let constant = |name: &str| {
        let (_, after) = planned.wgsl.split_once(&format!("const {name} = "))?;
        after.split_once('u')?.0.parse::<f64>().ok()
    };
    let tile = || {
        let sums = constant("EACH_ROWS")? * constant("EACH_COLUMNS")?;
        Some([planned.size[1] as f64, constant("CHAIN")?, constant("DEPTH")?, sums])
    };
    let work = code::Work {
        elements: elements / planned.invocations.max(1) as f64,
        bytes: planned.element_bytes.map(|bytes| bytes as f64),
        // a product has two factors; other kernels of narrow elements mostly load one operand in their loops
        loads: if planned.kind == "matmul" { 2. } else { (planned.element_bytes[0] as f64 / 4.).round().max(1.) },
        tile: tile(),
        group: constant("WORKGROUP").unwrap_or(256.),
    };
    let figures = code::figures(&compiled.assembly, &work);
    let hot = &figures.hot;
    let get = |name: &str| compiled.statistics.get(name).copied().unwrap_or(0);
    // if a lane of a row kernel can hold more elements than it has, the path counts as many elements as it can hold
    let held = constant("HELD").unwrap_or(0.);
    let measured = Measured {
        row: job.row.clone(),
        kernel: job.kernel.clone(),
        vector: hot.vector / work.elements.max(held),
        instructions: get("Instructions"),
        registers: get("VGPRs"),
        waves: get("Subgroups per SIMD"),
        spills: get("Spilled VGPRs") + get("Spilled SGPRs"),
        shared: get("LDS size"),
        code: get("Code size"),
    };
    let bytes = planned.bytes as f64 / planned.dispatches.max(1) as f64;
    // a product by tiles is limited by arithmetic, and the bytes of each pass of a routine are not known
    let is_wide = tile().is_some_and(|[.., sums]| sums > 1.);
    let must = if is_wide || is_routine { None } else { Some(8. * bytes / elements) };
    let share = |rate: f64| modelled_share(rate, bytes / elements, measured.vector);
    let cards: String = CARDS
        .iter()
        .map(|(_, rate)| must.map_or(format!("{:>8}", ""), |_| format!("{:>6.0} %", 100. * share(*rate))))
        .collect();
    let fma =
        if hot.multiply_adds > 0. { format!("{:.0}%", 100. * hot.multiply_adds / hot.vector) } else { String::new() };
    let [scalar, waits] =
        [(hot.scalar_loads, 0), (hot.waits, 1)].map(|(all, n)| format!("{all:.0}/{}", figures.in_loops[n]));
    let mut loads: Vec<String> = figures.accesses.iter().map(|(name, n)| format!("{n}×{name}")).collect();
    if !job.also_for.is_empty() {
        loads.push(format!("(also for {})", job.also_for.join(", ")));
    }
    println!(
        "{:40} {:>7} {:>5} {:>5} {:>4} {:>9} {:>9} {:>4} {:>5} {:>5} {:>6} {:>6}{cards}  {}",
        name(job),
        format!("{:.1}{}", measured.vector, if figures.unknown_loops > 0 { "?" } else { "" }),
        must.map_or(String::new(), |must| format!("{must:.0}")),
        measured.instructions,
        fma,
        scalar,
        waits,
        measured.registers,
        measured.waves,
        measured.spills,
        measured.shared,
        measured.code,
        loads.join(" ")
    );
    if options.wgsl {
        println!("{}", planned.wgsl);
    }
    if options.asm {
        for line in compiled.assembly.lines() {
            let label = line.trim().strip_suffix(':');
            let runs =
                label.map(|label| figures.runs.get(label).map_or("off the path".into(), |n| format!("× {n:.2}")));
            println!("{line}{}", runs.map_or(String::new(), |runs| format!("    {runs}")));
        }
    }
    measured
}
