//! Stage 3: every pair of 8-bit operands through every function (`sweep/bytes.rs`).
//!
//! Stage 4: f32 bit patterns from all over the type through every function of one operand, and random pairs and triples
//! through the others. The CPU's and the GPU's results are compared with one f64 reference.
//!
//! A run takes every 769th bit pattern. It starts at a phase that changes with the turn (`kit/share.rs`) and is
//! printed. `CUPRIC_PHASE=30` repeats a run, `CUPRIC_TRIAL=exp` keeps the functions of that name, `CUPRIC_FULL=1` takes
//! all 2^32 patterns, and `CUPRIC_STRIDE=65537` takes fewer patterns, pairs and triples (for an emulator).

mod bytes;
mod judge;
mod samples;

use crate::contract::{entry, page};
use crate::kit::stage::Stage;
use crate::kit::{self, say};
use cupric::testing::{self, Row};
use cupric::{Array, DType, Device, Result, bf16, f16};
use judge::{Found, Judge};
use rayon::prelude::*;
use std::collections::HashMap;
use std::time::Instant;

/// The distance between two tested bit patterns, unless `CUPRIC_STRIDE` gives another one.
const STRIDE: u64 = 769;
/// How many patterns are computed in one call: 16 MiB of f32.
const CHUNK: usize = 1 << 22;
/// The number of random operands of each function of two or three operands: in f32, and in each of f16 and bf16.
const TUPLES: usize = 1 << 19;
const HALVES: usize = 1 << 16;

/// Returns the distance between two tested bit patterns.
fn stride() -> u64 {
    let named = std::env::var("CUPRIC_STRIDE").ok().filter(|t| !t.is_empty());
    named.map_or(STRIDE, |t| t.parse().ok().filter(|n| *n > 0).expect("CUPRIC_STRIDE is a positive number"))
}

/// Returns the start of the command that repeats a sweep.
fn again(phase: u64) -> String {
    let stride = if stride() == STRIDE { String::new() } else { format!("CUPRIC_STRIDE={} ", stride()) };
    format!(
        "{stride}CUPRIC_PHASE={phase} cargo test --release --features testing --test accuracy sweep::every_function_of"
    )
}

/// A function of a dtype, with a judge and the results found so far for each backend.
struct Function {
    row: Row,
    dtype: DType,
    judges: Vec<Judge>,
    found: Vec<Found>,
}

/// The contract's functions of a dtype with a wanted number of operands, for the available devices.
fn functions(devices: &[Device], dtype: DType, wanted: impl Fn(usize) -> bool) -> Vec<Function> {
    let only = std::env::var("CUPRIC_TRIAL").ok().filter(|t| !t.is_empty());
    let mut all = vec![];
    for row in testing::rows() {
        // `select` only copies bits, and the trials of the layouts test that
        let skipped = !wanted(row.arity()) || !row.takes(dtype, false) || row.name() == "select";
        if skipped || only.as_ref().is_some_and(|o| row.name() != o.as_str()) {
            continue;
        }
        let judge = |d: &Device| {
            let backend = if d.is_gpu() { "gpu" } else { "cpu" };
            let entry = entry::all()
                .iter()
                .find(|e| e.function == row.name() && e.dtype == dtype && e.backend == backend)
                .unwrap_or_else(|| panic!("contract.csv lacks {},{dtype},{backend}", row.name()));
            Judge::new(row, dtype, entry.bound.clone(), d.is_gpu())
        };
        let judges: Vec<Judge> = devices.iter().map(judge).collect();
        let found = vec![Found::default(); judges.len()];
        all.push(Function { row, dtype, judges, found });
    }
    all
}

/// Uploads the operands to a device.
fn arrays(columns: &[Vec<u32>], dtype: DType, device: &Device) -> Result<Vec<Array>> {
    let array = |c: &Vec<u32>| {
        let bits = c.iter().copied();
        let made = match dtype {
            DType::F16 => Array::from_vec(bits.map(|b| f16::from_bits(b as u16)).collect(), [c.len()]),
            DType::BF16 => Array::from_vec(bits.map(|b| bf16::from_bits(b as u16)).collect(), [c.len()]),
            _ => Array::from_vec(bits.map(f32::from_bits).collect(), [c.len()]),
        };
        made?.to_device(device)
    };
    columns.iter().map(array).collect()
}

/// Evaluates a function of the operands and returns the results as bits.
fn results(row: &Row, operands: &[Array]) -> Result<Vec<u32>> {
    let operands: Vec<_> = operands.iter().take(row.arity()).map(|a| a.clone().into()).collect();
    let result = row.apply(&operands).eval()?;
    Ok(match result.dtype() {
        DType::Bool => result.to_vec::<bool>()?.into_iter().map(u32::from).collect(),
        DType::F16 => result.to_vec::<f16>()?.into_iter().map(|x| x.to_bits() as u32).collect(),
        DType::BF16 => result.to_vec::<bf16>()?.into_iter().map(|x| x.to_bits() as u32).collect(),
        _ => result.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect(),
    })
}

/// Applies every function on every device to one chunk of operands.
fn chunk(functions: &mut [Function], devices: &[Device], columns: &[Vec<u32>]) -> Result<()> {
    let dtype = functions.first().map_or(DType::F32, |f| f.dtype);
    let operands: Vec<Vec<Array>> = devices.iter().map(|d| arrays(columns, dtype, d)).collect::<Result<_>>()?;
    for f in functions {
        let exact = judge::reference(&f.row, dtype, columns);
        for (k, judge) in f.judges.iter().enumerate() {
            let got = results(&f.row, &operands[k])?;
            assert_eq!(got.len(), exact.len(), "{}: the number of results", f.row.name());
            let part = |(i, (want, got)): (usize, (&[f64], &[u32]))| judge.all(columns, i * 4096, want, got);
            let found = exact.par_chunks(4096).zip(got.par_chunks(4096)).enumerate().map(part);
            f.found[k] = found.reduce(Found::default, Found::or).or(std::mem::take(&mut f.found[k]));
        }
    }
    Ok(())
}

/// Prints every function's figures, and panics if some results are wrong.
fn finish(functions: &[Function], devices: &[Device], what: &str, again: &str) {
    let stats = std::env::var_os("CUPRIC_CONTRACT_STATS").is_some();
    let mut failures = vec![];
    let mut figures = vec![HashMap::new(); devices.len()];
    for f in functions {
        for (k, (judge, found)) in f.judges.iter().zip(&f.found).enumerate() {
            let name = format!("{}::{}::{}", if judge.gpu { "gpu" } else { "cpu" }, f.row.name(), f.dtype);
            let figure = judge.figure(found, what);
            if stats {
                say(&format!("worst {name} {:.3} of the bound, {:.3} ULP at {}", found.share, found.ulps, figure.at));
            }
            figures[k].insert(name.clone(), figure);
            if let Some(text) = &found.first {
                failures.push(format!("{name}: {} of {} wrong: {text}", found.wrong, found.elements));
            }
        }
    }
    let elements: u64 = functions.iter().flat_map(|f| &f.found).map(|f| f.elements).sum();
    say(&format!(
        "sweep: {what}: {} functions × {} backends, {elements} elements, {} failed",
        functions.len(),
        devices.len(),
        failures.len()
    ));
    assert!(!functions.is_empty(), "no function of that name");
    assert!(failures.is_empty(), "{}\nagain: {again}", failures.join("\n"));
    // the page is written only after a run of all functions with enough operands
    if elements > 1 << 22 && std::env::var_os("CUPRIC_TRIAL").is_none() {
        devices.iter().zip(&figures).for_each(|(d, f)| page::bless(d, f));
    }
}

fn devices() -> Vec<Device> {
    let gpu = if cfg!(feature = "gpu") { kit::gpu(1) } else { None };
    std::iter::once(Device::cpu()).chain(gpu).collect()
}

/// The stage's line in the table of stages. The backends run one after the other, so they share one line.
fn stage(devices: &[Device], name: &'static str) -> Stage {
    Stage::new(4, name, devices.last().expect("the CPU"))
}

#[test]
fn every_function_of_one_operand() {
    let devices = devices();
    let mut stage = stage(&devices, "f32 sweep, CPU and GPU");
    let mut all = functions(&devices, DType::F32, |arity| arity == 1);
    let full = crate::kit::takes_all();
    let phase = samples::phase(stride());
    let (first, stride) = if full { (0, 1) } else { (phase, stride()) };
    let started = Instant::now();
    let count = ((1u64 << 32) - first).div_ceil(stride);
    let mut done = 0;
    while done < count {
        let n = (count - done).min(CHUNK as u64);
        let patterns: Vec<u32> = (done..done + n).map(|k| (first + k * stride) as u32).collect();
        chunk(&mut all, &devices, &[patterns]).unwrap_or_else(|e| panic!("phase {phase}: {e}"));
        done += n;
        if full && done % (64 * CHUNK as u64) == 0 {
            say(&format!("sweep: {done} of {count} patterns after {} s", started.elapsed().as_secs()));
        }
    }
    stage.count(all.len() * devices.len());
    let what = if full { "all 2^32 patterns".into() } else { format!("{count} patterns from phase {phase}") };
    finish(&all, &devices, &what, &format!("{}_one", again(phase)));
}

#[test]
fn every_function_of_more_operands() {
    let devices = devices();
    let phase = samples::phase(stride());
    let again = format!("{}_more", again(phase));
    for (dtype, n, name) in [
        (DType::F32, TUPLES, "f32 pairs and triples, CPU and GPU"),
        (DType::F16, HALVES, "f16 pairs and triples, CPU and GPU"),
        (DType::BF16, HALVES, "bf16 pairs and triples, CPU and GPU"),
    ] {
        let n = (n as u64 * STRIDE / stride().max(STRIDE)) as usize;
        let mut stage = stage(&devices, name);
        let mut all = functions(&devices, dtype, |arity| arity > 1);
        for f in &mut all {
            let columns = samples::tuples(&f.row, dtype, phase, n);
            chunk(std::slice::from_mut(f), &devices, &columns).unwrap_or_else(|e| panic!("phase {phase}: {e}"));
        }
        stage.count(all.len() * devices.len());
        finish(&all, &devices, &format!("{n} random {dtype} operands from phase {phase}"), &again);
    }
}

#[test]
fn all_8_bit_operands_on_the_cpu() {
    bytes::run(&Device::cpu());
}

#[cfg(feature = "gpu")]
#[test]
fn all_8_bit_operands_on_the_gpu() {
    if let Some(device) = kit::gpu(1) {
        bytes::run(&device);
    }
}

/// Operands at which a function once exceeded its bound.
#[test]
fn once_wrong() {
    let devices = devices();
    let cases: [(&str, &[u32]); 6] = [
        // for arguments beyond 131,072 the CPU's range reduction lost its low part
        ("sin", &[0x6a51366d]),
        ("cos", &[0x70a14633]),
        // the largest error of all was 4.38 ULP, before the quotient was corrected
        ("erfc", &[0x3fa8a1c7]),
        // t·(b − a) overflowed on the GPU although a + t·(b − a) does not
        ("lerp", &[0xfca309da, 0xbdbdb501, 0x424a336e]),
        // the GPU halved an infinite quotient and got a finite number
        ("beta", &[0x800475f5, 0x5f1bd9c0]),
        ("beta", &[0x802e0000, 0x5f2d0000]),
    ];
    for (name, operands) in cases {
        let mut all = functions(&devices, DType::F32, |arity| arity == operands.len());
        all.retain(|f| f.row.name() == name);
        let columns: Vec<Vec<u32>> = operands.iter().map(|b| vec![*b; 5]).collect();
        chunk(&mut all, &devices, &columns).unwrap_or_else(|e| panic!("{name}: {e}"));
        finish(
            &all,
            &devices,
            &format!("{name} where it was once wrong"),
            "cargo test --release --features testing --test accuracy sweep::once",
        );
    }
}
