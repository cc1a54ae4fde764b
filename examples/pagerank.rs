//! Ranks the pages of a web by their links, with PageRank. Each page passes its rank on along its links: a `take` reads
//! the ranks at the sources of the links, and an `index_add` adds them at the targets.
//!
//! ```text
//! cargo run --release --example pagerank -- --pages 100000 --links 1000000
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::{DType, Device, Rng, full, maximum, select, zeros};
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The share of its rank that a page passes on along its links. The rest is divided equally among all pages.
const HANDED_ON: f64 = 0.85;

/// Ranks the pages of a web by their links.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// How many pages
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = common::positive)]
    pages: usize,
    /// How many links
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = common::positive)]
    links: usize,
    /// Maximum number of steps; the program stops when the ranks no longer change
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = common::positive)]
    steps: usize,
    /// Seed of the links
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("pagerank");
    common::finish("pagerank", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { pages, links, steps, seed, .. } = *options;
    if pages > i32::MAX as usize {
        return Err(format!("{pages} pages are more than {}", i32::MAX).into());
    }
    let device: Device = options.device.parse()?;
    let mut rng = Rng::new(seed);
    // sources are uniform; pages with low numbers are likelier targets, because few pages of a web are well known
    let source = rng.integers(0, pages, [links], DType::I32).to_device(&device)?;
    let chance = rng.uniform([links], DType::F32);
    let target = (chance.pow(4) * pages).astype(DType::I32).clip(0, pages - 1).to_device(&device)?;
    let (given, taken) = (source.bincount(pages).eval()?, target.bincount(pages).eval()?);
    let idle = given.equal(0).eval()?;
    say(format_args!(
        "{device}: {pages} pages, {links} links, {} pages without one",
        idle.count_nonzero(..).item::<i64>()?
    ))?;

    let mut rank = full([pages], 1.0 / pages as f64, DType::F32).to_device(&device)?;
    let progress = common::progress("steps", steps, options.quiet);
    let (started, mut change, mut done) = (Instant::now(), f32::INFINITY, 0);
    while done < steps && change > 1e-6 {
        let share = &rank / maximum(&given, 1);
        let handed = zeros([pages], DType::F32).index_add(0, &target, share.take(&source, 0));
        // a page without links divides its rank among all pages
        let to_all = select(&idle, &rank, 0.0).sum(..) * (HANDED_ON / pages as f64) + (1.0 - HANDED_ON) / pages as f64;
        let next = (handed * HANDED_ON + to_all).eval()?;
        change = (&next - &rank).abs().sum(..).item::<f32>()?;
        (rank, done) = (next, done + 1);
        progress.set_message(format!("change {change:.1e}"));
        progress.inc(1);
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(progress);

    let (best, at) = rank.topk(pages.min(10), 0, true);
    let (best, links) = (best.to_vec::<f32>()?, taken.take(&at, 0).to_vec::<i64>()?);
    for (place, ((page, rank), links)) in at.to_vec::<i64>()?.iter().zip(best).zip(links).enumerate() {
        say(format_args!("{:3}. page {page:<8} rank {rank:.6}  {links} links lead there", place + 1))?;
    }
    say(format_args!(
        "the ranks sum to {:.6} after {done} steps; the last changed them by {change:.1e}",
        rank.sum(..).item::<f32>()?
    ))?;
    say(format_args!("{seconds:.2} s"))?;
    Ok(())
}
