//! Random expressions: graphs of 1–40 nodes with shared nodes, mixed dtypes, views, reductions, products and
//! gathers. They are compared with the scalar interpreter, which knows nothing of kernels: fused as a whole, and
//! node by node on stored operands. On the CPU the fused result has the bits of an unfused one (kernel by kernel for
//! f16 and bf16); on an IEEE 754 GPU it has the CPU's bits if each operation is correctly rounded. See also
//! `kernels.rs`.
//!
//! `CUPRIC_RANDOM=20000` runs so many of each kind, `CUPRIC_FROM=50000` later seeds, `CUPRIC_FULL=1` 10,000 on the GPU,
//! `CUPRIC_SEED=n` one seed, and prints it. Programs that once failed are in `data/expressions.txt` and run first.

pub mod check;
mod chunks;
mod derivatives;
pub mod generate;
mod kernels;
mod moves;
pub mod program;

use crate::kit::stage::Stage;
use crate::kit::{has, on_devices};
use check::{Seen, check, quiet, shrink};
use cupric::DType::{self, *};
use cupric::*;
use generate::generate;
use program::Program;

/// Runs one program. A failure is returned as a smaller failing program, in Rust code.
fn run(p: &Program, d: &Device, steps: bool, origin: &str) -> std::result::Result<Seen, String> {
    let why = match quiet(|| check(p, d, steps)) {
        Ok(seen) => return Ok(seen),
        Err(why) => why,
    };
    let (small, why) = shrink(p, why, d);
    Err(format!("{origin}: {why}\n{}\n  for tests/data/expressions.txt: {small}", small.code()))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

/// How many programs ran.
struct Ran {
    count: usize,
    /// How many had more leaves than a kernel takes.
    wide: usize,
    to_the_bit: usize,
}

/// Runs the programs that `make` makes from seeds and numbers of nodes. On a GPU each single node costs a pipeline, so
/// one program in four also runs node by node. None if `CUPRIC_SEED` asked for one seed.
fn many(d: &Device, base: u64, count: [usize; 2], make: impl Fn(u64, usize) -> Program) -> Option<Ran> {
    let mut stage = Stage::new(7, "random expressions", d);
    let usual = match (d.is_gpu(), crate::kit::takes_all()) {
        (false, _) => crate::kit::scaled(count[0]),
        (true, false) => crate::kit::scaled(count[1]),
        (true, true) => (count[1] * 20).div_ceil(3),
    };
    let count = number("CUPRIC_RANDOM").map_or(usual, |n| n as usize);
    if let Some(seed) = number("CUPRIC_SEED") {
        if !(base..base + 1_000_000).contains(&seed) {
            return None;
        }
        let p = make(seed, 40);
        println!("{}\n{p}", p.code());
        run(&p, d, true, &format!("seed {seed}")).unwrap_or_else(|e| panic!("{e}"));
        return None;
    }
    let mut failures = vec![];
    let (mut nodes, mut wide, mut refused, mut total) = (0, 0, 0, Seen::default());
    let seeds = crate::kit::seeds(base + number("CUPRIC_FROM").unwrap_or(0), count, d.is_gpu());
    for (ran, seed) in seeds.enumerate() {
        let most = if d.is_gpu() && ran % 2 > 0 { 16 } else { 40 };
        let p = match quiet(|| Ok(make(seed, most))) {
            Ok(p) => p,
            Err(e) => {
                failures.push(format!("seed {seed}: while it was made: {e}"));
                continue;
            }
        };
        let steps = !d.is_gpu() || ran % 4 == 0;
        wide += (p.nodes.iter().filter(|s| s.args.is_empty()).count() > 8) as usize;
        stage.count(1);
        match run(&p, d, steps, &format!("seed {seed}")) {
            Ok(s) => {
                nodes += p.nodes.len();
                total.to_the_bit += s.to_the_bit;
                total.halves += s.halves;
                refused += s.refused as usize;
            }
            Err(e) => failures.push(e),
        }
        if failures.len() >= 8 {
            break;
        }
    }
    println!(
        "{count} expressions, {nodes} nodes, {wide} with more than 8 inputs; to the bit {} results; {} with halves; {refused} refused",
        total.to_the_bit, total.halves
    );
    failures.sort_by_key(String::len);
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n\n"));
    assert!(refused * 4 < count.max(8), "{refused} of {count} refused");
    Some(Ran { count, wide, to_the_bit: total.to_the_bit })
}

/// Runs programs with operations of any kind.
fn of_all_kinds(d: &Device, types: &[DType], base: u64, count: [usize; 2]) {
    let Some(ran) = many(d, base, count, |seed, most| generate(seed, types, d, most)) else { return };
    assert!(ran.count < 200 || ran.wide > 0, "no program with many inputs");
    assert!(d.is_gpu() || ran.to_the_bit * 2 > ran.count, "too little is compared to the bit");
}

/// Those of the types that a device has.
fn there(d: &Device, types: &[DType]) -> Vec<DType> {
    types.iter().copied().filter(|t| has(d, *t)).collect()
}

on_devices! {

fn derivatives_of_random_programs(d: &Device) {
    derivatives::of_random_programs(d);
}

fn corpus_of_what_failed_once(d: &Device) {
    let mut stage = Stage::new(7, "random expressions", d);
    let text = include_str!("../../data/expressions.txt");
    let mut failures = vec![];
    for line in text.lines().map(|l| l.split("  # ").next().unwrap_or_default().trim()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let p = Program::parse(line).unwrap_or_else(|| panic!("no program: {line}"));
        if p.nodes.iter().any(|s| !has(d, s.dtype)) {
            continue;
        }
        stage.count(1);
        if let Err(e) = run(&p, d, true, line) {
            failures.push(e);
        }
    }
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n\n"));
}

fn random_expressions_of_f32_and_integers(d: &Device) {
    of_all_kinds(d, &[F32, F32, I32, I32, U32, Bool], 1_000_000, [16_000, 470]);
}

fn random_expressions_of_all_types(d: &Device) {
    let all: Vec<DType> = DType::ALL.into_iter().filter(|t| has(d, *t)).collect();
    of_all_kinds(d, &all, 2_000_000, [16_000, 350]);
}

fn random_expressions_of_half_precision(d: &Device) {
    of_all_kinds(d, &[F16, F16, BF16, F32, I8, U8, Bool], 3_000_000, [7_000, 230]);
}

fn rows_behind_every_type(d: &Device) {
    // half of the types have 64 bits, because these need two registers
    let types = there(d, &[F64, F64, I64, I64, U64, F64, I64, F32, F32, F16, BF16, I32, U32, I16, U16, I8, U8, Bool]);
    many(d, 4_000_000, [3_000, 150], |seed, _| kernels::rows(seed, &types, d));
}

fn products_whose_epilogue_reads_operands(d: &Device) {
    let types = there(d, &[F32, F32, F32, F64, F16, BF16, I32, I64, U8, I8, U32, Bool]);
    many(d, 5_000_000, [4_000, 150], |seed, _| kernels::products(seed, &types, d));
}

fn formulas_that_algebra_would_shorten(d: &Device) {
    let types = there(d, &[F32, F32, F32, F64, F16, BF16]);
    let Some(ran) = many(d, 6_000_000, [4_000, 150], |seed, _| kernels::twice(seed, &types, d)) else { return };
    assert!(ran.to_the_bit * 3 > ran.count, "too little is compared to the bit");
}
}

/// A plan's modelled time is never longer than that of a plan that stores only what it must.
#[test]
fn storing_what_is_worth_it_never_costs_modelled_time() {
    let d = Device::cpu();
    let (mut better, mut all) = (0, 0);
    for seed in crate::kit::seeds(0, crate::kit::scaled(2000), false) {
        let program = generate(seed, &[F32, F16, I32], &d, 10 + seed as usize % 60);
        let Ok(nodes) = check::lazy(&program, &d) else { continue };
        for caps in testing::NAMED_CAPS {
            let caps = testing::named_caps(caps).unwrap();
            for root in program.roots.iter().map(|r| &nodes[*r]) {
                let Ok([with, without]) = testing::modelled_times(root, &caps) else { continue };
                assert!(
                    with <= without,
                    "seed {seed}: {with} ns with, {without} without, on {}\n{}",
                    caps.name,
                    program.code()
                );
                all += 1;
                better += (with < without) as usize;
            }
        }
    }
    println!("{better} of {all} plans have a shorter modelled time");
    assert!(better > 0 && all > 1000, "{better} of {all}");
}
