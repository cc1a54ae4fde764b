//! `cargo bench --bench backends`: a table of workloads on every device, beside the machine's limits and other
//! libraries.
//!
//! `table/` and `programs.rs` list what runs; a new row is one entry there. `measure.rs` times a row, the limits
//! (`limits.rs`) and the peers (`peers.rs`) in turn. `report.rs`, `save.rs` and `html.rs` show the results.
//! Run without cargo's `--bench` (as `cargo test --benches` does) it runs each row once, small, and times nothing.

mod agree;
#[path = "../../examples/common/mod.rs"]
mod common;
mod flow;
mod html;
// the library's own choice of an instruction set, which is not public
#[allow(dead_code)]
#[path = "../../src/math/simd/machine.rs"]
mod isa;
mod limits;
mod machine;
mod measure;
mod peers;
mod plot;
mod programs;
mod quiet;
mod report;
mod save;
mod sentinel;
mod sets;
mod simd;
mod table;
mod timing;
mod training;
mod ulp;
mod work;

use clap::Parser;
use common::say;
use cupric::Device;
use measure::{Bench, Record, Target};
use peers::{Time, Worker};
use quiet::Noise;
use sentinel::Sentinel;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use timing::Samples;
use work::{Case, Work};

const ABOUT: &str = "Times cupric on every device, beside the machine's limits and other libraries.

A row shows the median of several rounds, half the distance between the quartiles, bytes or operations a second, and the
share of the limit, which has its turn in every round, as the other libraries have: the bytes that must move, at the rate at
which as many streams of the same size can be moved, or the operations at the peak of multiply-adds of the instruction set. '!' marks a row above
1.1 of its limit, which is then wrong, and '~' a row that other work on the machine disturbed each time it was measured,
or while the machine itself was faster or slower than for most rows.
A time is wall clock, a GPU's with the wait for its end (after a batch of calls where one is shorter than 2 ms); the
column GPU is the time at its kernels alone, by timestamps, where the adapter has them. A GPU's limits are those of the
library's own copy and multiply-add kernels. A wrong option ends with status 2, what cannot be done with 1.";

/// Measuring disturbed rows again may take at most this part of a run's time.
const AGAIN: f64 = 0.2;

#[derive(Parser)]
#[command(about = ABOUT)]
struct Options {
    /// Rows whose name, dtype and shape contain all words of a TEXT: 'matmul f16,softmax'; '-100M' leaves rows out
    #[arg(long, value_name = "TEXT,…", value_delimiter = ',', allow_hyphen_values = true, value_parser = words)]
    filter: Vec<String>,
    /// Run 24 rows, in under a minute on the CPU
    #[arg(long)]
    quick: bool,
    /// The devices cpu, gpu, gpu:N, or all [default: cpu and hardware GPUs]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = words)]
    devices: Vec<String>,
    /// The CPU alone, once for each instruction set: avx512, avx2, neon, portable, or all that the machine has. Shows
    /// their shares of the limit side by side; in the report the device is named like 'cpu avx2'
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = words, conflicts_with = "devices")]
    isa: Vec<String>,
    /// Lengths for the rows of one axis, in place of their own
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = length)]
    sizes: Vec<usize>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Keep the report in target/cupric-bench
    #[arg(long, value_name = "NAME", value_parser = kept)]
    save: Option<PathBuf>,
    /// Show what changed since a kept report, or since one in a file NAME.json
    #[arg(long, value_name = "NAME")]
    compare: Option<String>,
    /// Compare two reports, kept or in files, by their shares of the limit, and time nothing
    #[arg(long, value_name = "A,B")]
    agree: Option<String>,
    /// Also time four operations at ten sizes a decade from 10 to 10^8, for the HTML file
    #[arg(long)]
    plot: bool,
    /// Also time the NumPy, PyTorch, JAX, numexpr, numba, MLX, CuPy and SciPy of a Python interpreter
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Also time ndarray, candle, numr and ferray (builds benches/peers)
    #[arg(long)]
    rust_peers: bool,
    /// List the rows and exit
    #[arg(long)]
    list: bool,
    /// Run each row once, small, and time nothing
    #[arg(long)]
    test: bool,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
    /// What cargo passes; without it each row runs once, as with --test
    #[arg(long, hide = true)]
    bench: bool,
    /// Where the process of one of the sets of --isa writes its report
    #[arg(long, hide = true)]
    part: Option<PathBuf>,
}

/// Parses an entry of a list, in lower case. An entry that begins with `--` is an error: it was meant as an option.
fn words(text: &str) -> Result<String, String> {
    match text.starts_with("--") {
        true => Err("a value is needed".into()),
        false => Ok(text.trim().to_lowercase()),
    }
}

fn length(text: &str) -> Result<usize, String> {
    match text.trim().replace('_', "").parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a length is a number above 0, such as 1000 or 1_000_000".into()),
    }
}

/// Returns the path at which the report of a name is kept.
fn kept(name: &str) -> Result<PathBuf, String> {
    match name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
        true => Ok(save::kept(name)),
        false => Err("a name is of letters, digits, '-', '_' and '.'".into()),
    }
}

fn main() -> ExitCode {
    let mut options: Options = common::arguments("backends");
    let lists = [&mut options.filter, &mut options.devices, &mut options.isa];
    lists.into_iter().for_each(|list| list.retain(|text| !text.is_empty()));
    if let Some(part) = options.part.take() {
        (options.isa, options.devices) = (vec![], vec!["cpu".into()]);
        (options.json, options.html, options.save) = (Some(part), None, None);
    }
    common::finish("backends", start(&options))
}

/// Checks the options, and does what they ask for. All wrong options are found here, before the long run.
fn start(options: &Options) -> Result<(), String> {
    let table = table::table();
    if let Some(names) = &options.agree {
        return agree(names);
    }
    let mut cases = choose(&table, options);
    if cases.is_empty() {
        let filter = options.filter.join(",");
        common::wrong("backends", format!("no row matches --filter '{filter}'; --list shows them"));
    }
    if options.list {
        return show(&cases);
    }
    if !options.isa.is_empty() {
        [&options.json, &options.html, &options.save]
            .into_iter()
            .flatten()
            .try_for_each(|p| save::check_writable(p))?;
        let report = sets::run(&options.isa, options.bench && !options.test)?;
        return report.map_or(Ok(()), |report| write(options, &report));
    }
    let targets = open(&options.devices)?;
    let mut bench = Bench { patience: if options.quick { 1.0 } else { 2.0 }, ..Bench::default() };
    if let Some(path) = &options.python {
        let worker = Worker::python(path)?;
        if worker.peers.is_empty() {
            eprintln!("backends: {} has none of NumPy, PyTorch, JAX, numexpr, numba, MLX, CuPy, SciPy", path.display());
        }
        bench.workers.push(worker);
    }
    if options.rust_peers {
        bench.workers.push(Worker::rust()?);
    }
    if options.test || !options.bench {
        return test(&mut cases, &targets, &mut bench.workers);
    }
    let old = match &options.compare {
        Some(name) => Some((name.as_str(), save::read(&save::find(name))?)),
        None => None,
    };
    if let Some(folder) = options.save.as_deref().and_then(|p| p.parent()) {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    [&options.json, &options.html, &options.save].into_iter().flatten().try_for_each(|p| save::check_writable(p))?;
    run(options, old, &cases, &targets, &mut bench)
}

/// Prints whether two reports agree, and fails if they do not.
fn agree(names: &str) -> Result<(), String> {
    let Some((a, b)) = names.split_once(',') else {
        common::wrong("backends", format!("--agree takes two reports, as a.json,b.json, not '{names}'"));
    };
    let (lines, holds) = agree::agree(&save::read(&save::find(a))?, &save::read(&save::find(b))?);
    lines.iter().try_for_each(say).map_err(|e| e.to_string())?;
    if holds { Ok(()) } else { Err("the reports do not agree".into()) }
}

/// Returns the rows that the options ask for, at each of their shapes.
fn choose<'a>(table: &'a [Work], options: &Options) -> Vec<Case<'a>> {
    let quick = |case: &Case<'_>| !options.quick || table::is_quick(case, !options.sizes.is_empty());
    let wanted = |case: &Case<'_>| {
        // a filter matches the short label (`10M`) or the shape in digits (`10000000`)
        let digits: Vec<String> = case.shape.iter().map(usize::to_string).collect();
        let label = format!("{} {} {}", case.label(), case.work.text, digits.join("x")).to_lowercase();
        let all_words = |text: &str| text.split_whitespace().all(|word| label.contains(word));
        let (out, only): (Vec<&str>, Vec<&str>) =
            options.filter.iter().map(String::as_str).partition(|text| text.starts_with('-'));
        let left_out = out.iter().any(|text| all_words(&text[1..]));
        !left_out && (only.is_empty() || only.into_iter().any(all_words))
    };
    table.iter().flat_map(|w| w.cases(&options.sizes)).filter(|c| quick(c) && wanted(c)).collect()
}

fn show(cases: &[Case<'_>]) -> Result<(), String> {
    let line = |c: &Case<'_>| {
        let (bytes, flops) = (c.bytes() / 1e6, c.flops() / 1e9);
        let quick = if table::is_quick(c, false) { "quick" } else { "" };
        let label = c.label();
        format!("{label:<36} {:<30} {bytes:>10.3} MB {flops:>9.3} GFLOP  {quick}", c.work.text)
    };
    cases.iter().try_for_each(|c| say(line(c).trim_end())).map_err(|e| e.to_string())
}

/// Opens the devices of these names, or the CPU and every hardware GPU if there are no names.
fn open(names: &[String]) -> Result<Vec<Target>, String> {
    let gpus = || Device::gpus().into_iter().enumerate().map(|(i, d)| Target { name: format!("gpu:{i}"), device: d });
    let cpu = || Target { name: sets::cpu(), device: Device::cpu() };
    if names.is_empty() {
        return Ok(std::iter::once(cpu()).chain(gpus().filter(|t| !t.device.is_software())).collect());
    }
    let mut targets: Vec<Target> = vec![];
    for name in names {
        let found: Vec<Target> = match &name[..] {
            "cpu" => vec![cpu()],
            "all" => std::iter::once(cpu()).chain(gpus()).collect(),
            _ => {
                let name = if name == "gpu" { "gpu:0" } else { name };
                vec![Target { name: name.into(), device: name.parse().map_err(|e: cupric::Error| e.to_string())? }]
            }
        };
        targets.extend(found);
    }
    // use a device once, even if it is named twice
    let mut seen = vec![];
    targets.retain(|t| !seen.contains(&t.name) && (seen.push(t.name.clone()), true).1);
    Ok(targets)
}

/// Runs each row once, with every length cut to 64. Fails if a row does not run, and prints how far the results of the
/// devices are apart. Peers, if there are any, run each of their rows once too.
fn test(cases: &mut [Case<'_>], targets: &[Target], workers: &mut [Worker]) -> Result<(), String> {
    flow::check()?;
    agree::check()?;
    sets::check()?;
    let mut done: Vec<String> = vec![];
    let (mut done_by, mut failed) = (vec![], vec![]);
    for case in cases {
        case.shape.iter_mut().for_each(|n| *n = (*n).min(64));
        if done.contains(&case.label()) {
            continue;
        }
        done.push(case.label());
        let mut reference = None;
        for target in targets {
            let run = || {
                let results = case.build(&target.device)?()?;
                let ulp = reference.as_ref().map_or(Ok(None), |r: &Vec<_>| ulp::largest(r, &results))?;
                target.device.synchronize()?;
                Ok((results, ulp))
            };
            let (results, ulp) =
                run().map_err(|e: cupric::Error| format!("{} on {}: {e}", case.label(), target.name))?;
            let apart = ulp.map_or(String::new(), |u| format!(", {u} ULP from {}", targets[0].name));
            say(format_args!("{} on {}: ok{apart}", case.label(), target.name)).map_err(|e| e.to_string())?;
            reference.get_or_insert(results);
        }
        let values = if workers.is_empty() { vec![] } else { case.values().map_err(|e| e.to_string())? };
        for peer in workers.iter_mut().flat_map(|w| w.prepare(case, "cpu", &values)) {
            match peer.time {
                Time::Failed(why) => failed.push(format!("{} in {}: {why}", case.label(), peer.name)),
                Time::Endless => failed.push(format!("{} in {}: takes too long", case.label(), peer.name)),
                Time::Samples(_) => done_by.push(peer.name),
                Time::Lacking => {}
            }
        }
        if !workers.is_empty() {
            say(format_args!("  in {}", done_by.join(", "))).map_err(|e| e.to_string())?;
            done_by.clear();
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("peers fail:\n{}", failed.join("\n"))) }
}

fn run(
    options: &Options,
    old: Option<(&str, Value)>,
    cases: &[Case<'_>],
    targets: &[Target],
    bench: &mut Bench,
) -> Result<(), String> {
    let print = |line: String| say(line).map_err(|e| e.to_string());
    let devices: Vec<(String, String)> = targets.iter().map(|t| (t.name.clone(), t.device.name().into())).collect();
    let (load, before) = (quiet::load(), quiet::before());
    let machine = machine::machine(&devices);
    print(format!(
        "{}, {} threads; {}",
        machine["cpu"].as_str().unwrap_or(""),
        machine["threads"],
        devices.iter().map(|(k, v)| if k == v { k.clone() } else { format!("{k} {v}") }).collect::<Vec<_>>().join(", ")
    ))?;
    print(format!("before the run: {}", before.text()))?;
    let limits = show_limits(targets, bench)?;
    let peers: Vec<String> = bench.workers.iter().flat_map(|w| w.peers.iter().map(|p| p.0.clone())).collect();
    let table = report::Table::new(peers, targets.iter().any(|t| t.device.is_gpu()), targets.len() > 1);
    print(format!("\n{}", table.head()))?;

    if targets.iter().any(|t| !t.device.is_gpu()) {
        let (cpu, set) = (machine["cpu"].as_str().unwrap_or(""), sets::cpu());
        // with another instruction set the rate of multiply-adds is another one
        let set = set.strip_prefix("cpu").map_or(String::new(), |set| set.replace(' ', ", "));
        let key = format!("{cpu}, {} threads{set}", machine["threads"]);
        bench.sentinel = Some(Sentinel::new(key));
    }
    let start = Instant::now();
    let records = measure(cases, targets, bench, &table, options.quiet)?;
    for note in report::notes(&records) {
        print(note)?;
    }
    let plotted = if options.plot { plot::works() } else { vec![] };
    let plot = if options.plot {
        print(format!("\n{}", table.head()))?;
        let cases: Vec<Case<'_>> = plotted.iter().flat_map(|w| w.cases(&[])).collect();
        let targets = [Target { name: sets::cpu(), device: Device::cpu() }];
        bench.only(&plot::PEERS);
        bench.patience = plot::PATIENCE;
        measure(&cases, &targets, bench, &table, options.quiet)?
    } else {
        vec![]
    };
    let noise = records.iter().chain(&plot).map(|r| r.noise).fold(Noise::default(), |a, b| a + b);
    let disturbed = records.iter().filter(|r| r.noise.is_felt()).count();
    let seconds = start.elapsed().as_secs_f64();
    let states = bench.sentinel.as_ref().map(|s| s.range);
    let typical = records.iter().find_map(|r| r.noise.typical);
    let state = states.zip(typical).map_or(String::new(), |([low, high], typical)| {
        let [low, high, typical] = [low, high, typical].map(report::figure);
        format!("; the machine itself did {low} to {high} of its best, typically {typical}")
    });
    print(format!("in {seconds:.0} s {}{state}; {disturbed} of {} rows were disturbed", noise.text(), records.len()))?;
    bench.sentinel.iter().for_each(Sentinel::keep);
    if let Some((name, old)) = &old {
        print(format!("\n{}", save::compare(name, old, &records).join("\n")))?;
    }

    let report = json!({
        "machine": machine,
        "versions": machine::versions(bench.workers.iter().flat_map(|w| &w.peers)),
        "commit": machine::commit(),
        "quiet": {
            "load": load, "before": before.to_json(), "during": noise.to_json(), "disturbed": disturbed,
            "state": states, "typical": typical, "seconds": seconds.round(),
            "quiet": quiet::verdict(before, noise, disturbed, records.len()),
        },
        "limits": limits,
        "rows": records.iter().map(save::row).collect::<Vec<Value>>(),
        "plot": plot.iter().map(save::row).collect::<Vec<Value>>(),
    });
    write(options, &report)
}

/// Measures each case on each device, and prints its line as soon as it is measured.
fn measure(
    cases: &[Case<'_>],
    targets: &[Target],
    bench: &mut Bench,
    table: &report::Table,
    quiet: bool,
) -> Result<Vec<Record>, String> {
    let progress = common::progress("rows", cases.len() * targets.len(), quiet);
    let mut records: Vec<Record> = vec![];
    let start = Instant::now();
    for case in cases {
        let mut reference = None;
        for target in targets {
            progress.set_message(format!("{} on {}", case.label(), target.name));
            let record = bench.measure(case, target, &mut reference);
            target.device.trim();
            progress.suspend(|| say(table.row(&record))).map_err(|e| e.to_string())?;
            progress.inc(1);
            records.push(record);
        }
    }
    progress.set_message("");
    drop(progress);
    again(cases, targets, bench, table, &mut records, start)?;
    Ok(records)
}

/// Measures disturbed rows once more, in the order of the table, for a part of the run's time. It comes at the end,
/// because only then the run's typical state of the machine is known, from which a disturbed row's state differs.
fn again(
    cases: &[Case<'_>],
    targets: &[Target],
    bench: &mut Bench,
    table: &report::Table,
    records: &mut [Record],
    start: Instant,
) -> Result<(), String> {
    let patience = AGAIN * start.elapsed().as_secs_f64();
    let mut states = Samples::default();
    records.iter().filter_map(|r| r.noise.state).for_each(|s| states.push(s));
    let typical = (!states.is_empty()).then(|| states.median());
    records.iter_mut().for_each(|r| r.noise.typical = typical);
    let (start, mut first) = (Instant::now(), true);
    for (record, (case, target)) in
        records.iter_mut().zip(cases.iter().flat_map(|c| targets.iter().map(move |t| (c, t))))
    {
        let disturbed = record.noise.is_felt() && record.error.is_none();
        if !disturbed || start.elapsed().as_secs_f64() > patience {
            continue;
        }
        let mut new = bench.measure(case, target, &mut None);
        target.device.trim();
        new.noise.typical = typical;
        if new.error.is_some() || new.noise.badness() >= record.noise.badness() {
            continue;
        }
        if std::mem::take(&mut first) {
            say("disturbed rows, measured again:").map_err(|e| e.to_string())?;
        }
        new.ulp = record.ulp;
        *record = new;
        say(table.row(record)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Writes the report to the files that the options name.
fn write(options: &Options, report: &Value) -> Result<(), String> {
    let print = |path: &PathBuf| say(format!("written: {}", path.display())).map_err(|e| e.to_string());
    let text = || serde_json::to_string_pretty(report).map_err(|e| e.to_string());
    for path in [&options.json, &options.save].into_iter().flatten() {
        save::write(path, &(text()? + "\n"))?;
        print(path)?;
    }
    if let Some(path) = &options.html {
        save::write(path, &html::page(report))?;
        print(path)?;
    }
    Ok(())
}

/// Measures the limits of each device at large sizes, and prints them.
fn show_limits(targets: &[Target], bench: &mut Bench) -> Result<Map<String, Value>, String> {
    let mut limits = Map::new();
    for target in targets {
        let found = limits_of(target, bench).map_err(|e| format!("{}: {e}", target.name))?;
        let known = |(key, unit): (&str, &str)| Some(format!("{} {unit}", report::figure(found[key].as_f64()?)));
        let parts =
            [("copy_gbps", "GB/s copied"), ("read_gbps", "GB/s read"), ("fma_gflops", "GFLOP/s of multiply-adds")];
        let text: Vec<String> = parts.into_iter().filter_map(known).collect();
        say(format!("limits of {}: {}", target.name, text.join(", "))).map_err(|e| e.to_string())?;
        limits.insert(target.name.clone(), found);
    }
    Ok(limits)
}

fn limits_of(target: &Target, bench: &mut Bench) -> cupric::Result<Value> {
    let giga = 1e-9;
    if target.device.is_gpu() {
        let gpu = bench.gpus.entry(target.name.clone()).or_default();
        let [copy, fma] = gpu.summary(&target.device)?;
        // a GPU's rate of reading is not measured, so rows that only read are compared with its rate of copying
        return Ok(json!({"copy_gbps": copy * giga, "read_gbps": null, "fma_gflops": fma * giga}));
    }
    let [copy, read, fma, fma_f64] = limits::summary().map(|rate| rate * giga);
    Ok(json!({"copy_gbps": copy, "read_gbps": read, "fma_gflops": fma, "fma_gflops_f64": fma_f64}))
}
