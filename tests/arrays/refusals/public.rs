//! Finds the public functions that can fail by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files with items that `lib.rs` makes public.
const FILES: &[&str] = &[
    "array/chunks.rs",
    "io/append.rs",
    "io/rows.rs",
    "ops/devices.rs",
    "array/mod.rs",
    "array/evaluate.rs",
    "array/host.rs",
    "array/nested.rs",
    "array/read.rs",
    "array/write.rs",
    "ops/create/mod.rs",
    "ops/create/of_array.rs",
    "ops/create/powers.rs",
    "array/device/mod.rs",
    "array/device/choice.rs",
    "ops/complex/mod.rs",
    "ops/complex/elementwise.rs",
    "ops/differences.rs",
    "ops/distributions/continuous.rs",
    "ops/distributions/discrete.rs",
    "ops/distributions/gamma.rs",
    "ops/distributions/normal.rs",
    "ops/distributions/order.rs",
    "ops/fourier/mod.rs",
    "ops/fourier/frequencies.rs",
    "ops/fourier/signal.rs",
    "ops/linalg/derived.rs",
    "ops/linalg/eig.rs",
    "ops/linalg/eigh.rs",
    "ops/linalg/expm.rs",
    "ops/linalg/norms.rs",
    "ops/linalg/qr.rs",
    "ops/linalg/refined.rs",
    "ops/linalg/svd.rs",
    "graph/expr/mod.rs",
    "graph/expr/operand.rs",
    "base/error.rs",
    "ops/index/mod.rs",
    "ops/index/along.rs",
    "ops/index/places.rs",
    "ops/index/scatter.rs",
    "io/mod.rs",
    "ops/linalg/cholesky.rs",
    "ops/linalg/lu.rs",
    "ops/linalg/solve.rs",
    "ops/linalg/triangular.rs",
    "ops/masks.rs",
    "ops/names.rs",
    "ops/likes.rs",
    "ops/matrices.rs",
    "ops/movement/mod.rs",
    "ops/movement/edit.rs",
    "ops/movement/joins.rs",
    "ops/movement/pad.rs",
    "ops/functions/mod.rs",
    "ops/functions/bincount.rs",
    "ops/functions/reductions.rs",
    "ops/network/softmax.rs",
    "ops/picking.rs",
    "ops/quantiles/mod.rs",
    "ops/random.rs",
    "ops/searching/mod.rs",
    "ops/searching/histogram.rs",
    "ops/segments.rs",
    "ops/sets/mod.rs",
    "ops/sorting/mod.rs",
    "ops/sorting/partial.rs",
    "base/dtype/mod.rs",
    "base/dtype/info.rs",
    "base/layout/args.rs",
];

fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable file");
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_string();
    text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Appends the names from a block `name …` of a macro that defines functions.
fn of_macro(text: &str, opens: &str, names: impl Fn(&str) -> Option<&str>, out: &mut Vec<String>, prefix: &str) {
    let Some(at) = text.find(&format!("\n{opens} {{\n")) else { return };
    let block = &text[at + opens.len() + 3..];
    let block = &block[..block.find("\n}\n").unwrap_or(block.len())];
    for line in block.lines().filter(|l| l.starts_with("    ") && !l.starts_with("     ")) {
        if let Some(name) = names(line.trim()) {
            out.push(format!("{prefix}{name}"));
        }
    }
}

/// The names `Type::method` or `function` of public functions that return a `Result`, or an `Expr` (it carries errors).
pub fn fallible() -> Vec<String> {
    let mut out = vec![];
    for file in FILES {
        let text = code(&root().join("src").join(file));
        let mut owner = String::new();
        let mut rest = text.as_str();
        while let Some(end) = rest.find('\n') {
            let line = &rest[..end];
            if let Some(of) = line.strip_prefix("impl ") {
                let name: String = of.chars().take_while(|c| c.is_alphanumeric()).collect();
                owner = if of.contains(" for ") { String::new() } else { format!("{name}::") };
            } else if line == "}" {
                owner.clear();
            }
            if let Some(at) = line.find("pub fn ")
                && !line[at + 7..].starts_with('$')
            {
                let name: String = line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let signature: String = rest[at..].chars().take_while(|c| !matches!(c, '{' | ';')).collect();
                let gives = signature.rsplit_once("->").map_or("", |s| s.1).trim();
                // only the function's own return type counts, not that of a closure it takes
                let fails = ["Result<", "Expr", "Complex", "Array", "impl Future<Output = Result<"]
                    .iter()
                    .any(|t| gives.starts_with(t));
                if fails && gives != "Array" {
                    out.push(format!("{owner}{name}"));
                }
            }
            rest = &rest[end + 1..];
        }
        of_macro(&text, "reductions!", |l| l.split_once(" |").map(|p| p.0), &mut out, "Expr::");
        if let Some((_, block)) = text.split_once("formulas::functions! {\n") {
            let names = block.lines().take_while(|l| l.trim() != "}").filter_map(|l| l.trim().strip_suffix(','));
            out.extend(names.map(|name| format!("Complex::{name}")));
        }
        of_macro(&text, "like!", |l| l.split_once(' ').map(|p| p.0), &mut out, "");
    }
    assert!(out.len() > 80, "{} functions found: {out:?}", out.len());
    out.extend(cupric::testing::rows().iter().map(|r| r.name().to_string()));
    out
}
