//! Results always have the same bits: in 20 repetitions, in pools of 1, 2, 3 and 8 threads, with each instruction set,
//! and on every machine. `tests/data/hashes.txt` has a hash of each CPU result and of the 200 programs of
//! `tests/data/programs.txt`. In these, floats in products are multiples of 1/8 below 4, whose sums are exact in any
//! order, so that the CPU and GPUs have the same hash. All NaNs count as equal, because their signs and payloads are
//! not guaranteed. `tests/data/lavapipe.txt` has the hashes of one version of the software driver; others are not
//! compared.
//!
//! `CUPRIC_BLESS=1` rewrites the files. Only do this for a change that is meant to change results.

mod programs;
mod results;

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;
pub use results::all;
use results::hash;
#[cfg(feature = "gpu")]
use results::together;
use std::collections::BTreeMap;
#[cfg(feature = "gpu")]
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

#[test]
fn pinned_programs_say_something() {
    let all = programs::pinned();
    let kinds = ["program f32", "program f64", "product"];
    assert_eq!(kinds.map(|k| all.iter().filter(|p| p.name.starts_with(k)).count()), [110, 50, 40]);
    let weak: Vec<String> = all.iter().filter_map(|p| Some(format!("{}: {}", p.name, p.weakness()?))).collect();
    assert!(weak.is_empty(), "{} weak programs:\n{}", weak.len(), weak.join("\n"));
    for name in ["hashes.txt", "lavapipe.txt"] {
        let known = parse(&std::fs::read_to_string(file(name)).unwrap());
        let mut of: BTreeMap<u64, &str> = BTreeMap::new();
        for p in &all {
            let Some(hash) = known.get(&p.name) else { continue };
            if let Some(other) = of.insert(*hash, &p.name) {
                panic!("{name}: {} and {other} have one hash", p.name);
            }
        }
        assert!(of.len() * 10 > all.len() * 9, "{name} has {} of {} programs", of.len(), all.len());
    }
}

fn differences(what: &str, got: &BTreeMap<String, u64>, want: &BTreeMap<String, u64>) {
    let new: Vec<&String> = got.keys().filter(|k| !want.contains_key(*k)).collect();
    let wrong: Vec<&String> = want.keys().filter(|k| got.get(*k) != want.get(*k)).collect();
    assert!(
        new.is_empty() && wrong.is_empty(),
        "{what}: {} of {} differ: {wrong:?}; {} have no line: {new:?}\nCUPRIC_BLESS=1 writes all of `golden_hashes` to \
         tests/data/hashes.txt",
        wrong.len(),
        want.len(),
        new.len()
    );
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn blesses() -> bool {
    std::env::var_os("CUPRIC_BLESS").is_some()
}

pub fn lines(hashes: &BTreeMap<String, u64>) -> String {
    hashes.iter().map(|(k, h)| format!("{k} {h:016x}\n")).collect()
}

fn parse(text: &str) -> BTreeMap<String, u64> {
    let line = |l: &str| l.rsplit_once(' ').map(|(k, h)| (k.to_string(), u64::from_str_radix(h, 16).unwrap()));
    text.lines().filter(|l| !l.starts_with('#')).filter_map(line).collect()
}

/// The hashes in the file. With `CUPRIC_BLESS=1` the file is written first.
fn known() -> BTreeMap<String, u64> {
    static BLESSED: Once = Once::new();
    BLESSED.call_once(|| {
        if blesses() {
            std::fs::write(file("hashes.txt"), lines(&all())).unwrap();
        }
    });
    parse(&std::fs::read_to_string(file("hashes.txt")).unwrap_or_default())
}

#[test]
fn golden_hashes() {
    let mut stage = Stage::new(16, "determinism: golden hashes", &Device::cpu());
    let got = all();
    assert!(got.len() >= 400, "{} hashes", got.len());
    differences("the golden hashes", &got, &known());
    stage.count(got.len());
}

#[test]
fn pools_of_any_size() {
    let mut stage = Stage::new(16, "determinism: threads", &Device::cpu());
    let want = known();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let got = pool.install(all);
        differences(&format!("{threads} threads"), &got, &want);
        stage.count(got.len());
    }
}

#[test]
fn every_instruction_set() {
    let mut stage = Stage::new(16, "determinism: instruction sets", &Device::cpu());
    let hashes = known().len();
    // a process chooses its instruction set only once, so each set needs its own process
    for isa in ["portable", "avx2"] {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test_name(module_path!(), "golden_hashes")])
            .env("CUPRIC_ISA", isa)
            .env_remove("CUPRIC_BLESS")
            .env_remove("CUPRIC_STAGES")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{isa}:\n{said}");
        stage.count(hashes);
    }
}

/// The pinned programs on the software driver, if its version is the one in the file. If the driver lacks f64, programs
/// with f64 have no line.
#[cfg(feature = "gpu")]
#[test]
fn the_software_driver() {
    let Some(d) = gpu(1) else { return };
    let mut stage = Stage::new(16, "determinism: golden hashes", &d);
    let driver = testing::driver(&d).unwrap_or_default();
    let path = file("lavapipe.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let named = text.lines().next().and_then(|l| l.strip_prefix("# ")).unwrap_or("no driver");
    if named != driver && !(blesses() && d.is_software()) {
        // not by eprintln!, because the test harness captures that
        let _ = writeln!(std::io::stderr(), "lavapipe.txt is of {named}: not compared with {driver}");
        return;
    }
    let mut got = BTreeMap::new();
    let all = programs::all(&d);
    for (name, e) in &all {
        match together(e) {
            Ok(hash) => drop(got.insert(name.clone(), hash)),
            Err(e)
                if !d.supports(DType::F64) && e.kind() == ErrorKind::Unsupported && e.to_string().contains("f64") => {}
            Err(e) => panic!("{name}: {e}"),
        }
    }
    if blesses() {
        std::fs::write(&path, format!("# {driver}\n{}", lines(&got))).unwrap();
    }
    assert!(got.len() * 10 > all.len() * 9, "{} of {} programs run on {driver}", got.len(), all.len());
    differences(&driver, &got, &parse(&std::fs::read_to_string(&path).unwrap_or_default()));
    stage.count(got.len());
}

/// Fewer kinds of results, because each needs a pipeline on a GPU.
fn few(d: &Device) -> Vec<Expr> {
    let x = put(d, noise(1, 300 * 257), &[300, 257]);
    let h = put(d, noise(2, 5001).into_iter().map(f16::from_f32).collect::<Vec<_>>(), &[5001]);
    let n = put(d, (0..4001).map(|i| i * 7919 % 10_007).collect::<Vec<i32>>(), &[4001]);
    vec![
        (&x * 3.0).sin() + &x,
        x.sum(..),
        x.sum(0),
        x.mean(1),
        x.var(..),
        x.softmax(-1),
        x.layer_norm(-1, 1e-5),
        x.matmul(x.t()),
        x.argmax(0),
        x.logsumexp(..),
        &h * 0.5 + &h.flip(0),
        h.sum(..),
        n.sum(..),
        n.slice(s![..;-3]) * 5,
        x.t().reshape([300 * 257]),
        Rng::new(3).normal([3000], F32).to_device(d).unwrap().sum(..),
    ]
}

on_devices! {

fn twenty_repeats(d: &Device) {
    let d = own(d);
    let mut stage = Stage::new(16, "determinism: repeats", &d);
    let forms = few(&d);
    let once = |e: &Expr| hash([e.clone()]);
    let want: Vec<u64> = forms.iter().map(once).collect();
    for r in 0..20 {
        // with other work in the same batch, other memory, and operands at other offsets
        let held: Vec<Array> = forms.iter().skip(r % 7).step_by(2).map(|e| e.eval().unwrap()).collect();
        let again = if r % 4 == 0 { few(&d) } else { forms.clone() };
        for (i, e) in again.iter().enumerate() {
            assert_eq!(once(e), want[i], "form {i}, repeat {r}");
        }
        drop(held);
        if r % 5 == 0 { d.trim() }
        stage.count(forms.len());
    }
}
}
