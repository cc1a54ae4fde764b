//! The house's own rules, held by reading its files: imports point to lower floors, every kind of kernel has its
//! shader and its CPU twin, files stay short, every `unsafe` says why it is sound, no wildcard on node kinds, every planted
//! fault has a place and a test.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground.
const FLOORS: [&[&str]; 11] = [
    &["mutants", "error", "math"],
    &["dtype", "layout", "simd", "caps"],
    &["ufunc", "routine", "buffer"],
    &["expr", "kernel"],
    &["simplify", "backend"],
    &["plan"],
    &["cpu", "gpu"],
    &["device"],
    &["array"],
    &["ops", "index", "create", "random", "fmt", "io"],
    &["lib", "testing", "guide"],
];

/// Lines that a file may have.
const LONGEST: usize = 620;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut out = vec![];
    for entry in fs::read_dir(dir).expect("a folder of the crate") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            out.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            out.push(path);
        }
    }
    out.sort();
    out
}

/// A file's text without its unit tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable file");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_string();
    text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The room of a file: the first part of its path below `src`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).expect("a path below src");
    let first = below.components().next().expect("a part").as_os_str().to_string_lossy().to_string();
    first.trim_end_matches(".rs").to_string()
}

#[test]
fn imports_point_to_lower_floors() {
    let floor: HashMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(i, rooms)| rooms.iter().map(move |r| (*r, i))).collect();
    let mut wrong = vec![];
    for path in files(&root().join("src"), "rs") {
        let from = room(&path);
        let own = *floor.get(from.as_str()).unwrap_or_else(|| panic!("{from} has no floor"));
        if path.to_string_lossy().contains("tests") {
            continue;
        }
        for part in code(&path).split("crate::").skip(1) {
            let to: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(other) = floor.get(to.as_str()) else { continue };
            if to != from && *other >= own {
                wrong.push(format!("{} imports {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn kinds_of_kernels_have_a_shader_and_a_twin() {
    for shader in files(&root().join("shaders"), "wgsl") {
        let name = shader.file_stem().expect("a name").to_string_lossy().to_string();
        // the functions that kernels are made of, and the probe of a device's arithmetic, are no kinds of kernel
        if shader.parent().is_some_and(|p| p.ends_with("lib")) || name == "numerics" {
            continue;
        }
        let twin = root().join("src/cpu").join(format!("{name}.rs"));
        assert!(twin.exists(), "shaders/{name}.wgsl has no src/cpu/{name}.rs");
    }
}

#[test]
fn files_stay_short() {
    let mut long = vec![];
    for (dir, extension) in [("src", "rs"), ("shaders", "wgsl"), ("examples", "rs"), ("benches", "rs")] {
        for path in files(&root().join(dir), extension) {
            let lines = fs::read_to_string(&path).expect("a readable file").lines().count();
            if lines > LONGEST {
                long.push(format!("{} has {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_unsafe_says_why() {
    let mut silent = vec![];
    for path in files(&root().join("src"), "rs") {
        let text = fs::read_to_string(&path).expect("a readable file");
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let opens = code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl");
            let is_type = code.contains("= unsafe fn(") || code.contains(": unsafe fn(");
            if !opens || is_type || code.contains("deny(") {
                continue;
            }
            // a note within the eight lines above, or the note of the function that the line stands in
            let near = lines[i.saturating_sub(12)..=i].iter().any(|l| l.contains("SAFETY") || l.contains("# Safety"));
            if !near {
                silent.push(format!("{}:{}", path.display(), i + 1));
            }
        }
    }
    assert!(silent.is_empty(), "unsafe without a SAFETY note:\n{}", silent.join("\n"));
}

#[test]
fn the_library_does_not_panic_on_purpose() {
    let mut found = vec![];
    for path in files(&root().join("src"), "rs") {
        if path.to_string_lossy().contains("tests") || room(&path) == "testing" {
            continue;
        }
        for (i, line) in code(&path).lines().enumerate() {
            let bad = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!("];
            if bad.iter().any(|b| line.contains(b)) {
                found.push(format!("{}:{}: {}", path.display(), i + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn rows_are_asked_for_properties_not_for_names() {
    // a name is printed; what compares or matches one decides by it, and forgets the next row
    let mut found = vec![];
    for path in files(&root().join("src"), "rs") {
        let below = path.strip_prefix(root()).expect("a path of the crate").to_string_lossy().to_string();
        if below.contains("tests") || room(&path) == "testing" {
            continue;
        }
        for (i, line) in code(&path).lines().enumerate() {
            let asks = line.match_indices(".name").any(|(at, name)| {
                let (before, after) = (&line[..at], &line[at + name.len()..]);
                let after = after.strip_prefix("()").unwrap_or(after);
                // a longer word, as in `.names`
                let whole = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                let compares =
                    after.starts_with(" ==") || after.starts_with(" !=") || after.starts_with(".starts_with");
                let owner = |c: char| c.is_alphanumeric() || "_.&*".contains(c);
                let left = before.trim_end_matches(owner);
                let compared = left.ends_with("== ") || left.ends_with("!= ");
                let matched = before.contains("match ") || before.contains("matches!(");
                whole && (compares || compared || matched)
            });
            if asks {
                found.push(format!("{below}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn kinds_of_nodes_are_matched_one_by_one() {
    // files that decide by kind must name every kind, so that a new one cannot be forgotten
    for name in ["src/plan/graph.rs"] {
        let text = code(&root().join(name));
        for part in text.split("match &node.kind {").skip(1) {
            let end = part.find("\n        }\n").or_else(|| part.find("\n            };\n")).unwrap_or(part.len());
            let arms = &part[..end];
            let wild = arms.lines().any(|l| l.starts_with("            _ =>") || l.starts_with("                _ =>"));
            assert!(!wild, "{name} has a wildcard on node kinds:\n{arms}");
        }
    }
}

/// The rows of the list in `src/mutants.rs`: name, stage, test and filter, fault.
fn faults() -> Vec<[String; 4]> {
    let text = fs::read_to_string(root().join("src/mutants.rs")).expect("a readable file");
    let rows = text.split("\nlist! {\n").nth(1).expect("the list");
    let row = |line: &str| {
        let (name, rest) = line.split_once(", \"").expect("a name");
        let mut words = rest.trim_end_matches("\";").split("\", \"").map(str::to_string);
        let mut next = || words.next().unwrap_or_else(|| panic!("{name} lacks a part"));
        [name.trim().to_string(), next(), next(), next()]
    };
    rows.lines().take_while(|l| *l != "}").map(row).collect()
}

#[test]
fn planted_faults_have_a_place_and_a_test() {
    let listed = faults();
    let mut placed = HashSet::new();
    for path in files(&root().join("src"), "rs") {
        for part in code(&path).split("mutant!(").skip(1) {
            let name: String = part.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            placed.insert(name);
        }
    }
    let names: HashSet<String> = listed.iter().map(|f| f[0].clone()).collect();
    assert_eq!(names.len(), listed.len(), "a name is listed twice");
    assert_eq!(names, placed, "what is listed, and what has a place");
    for [name, stage, run, fault] in &listed {
        let target = run.split(' ').next().unwrap_or_default();
        let tests = root().join("tests");
        let there = target == "lib"
            || tests.join(format!("{target}.rs")).exists()
            || tests.join(target).join("main.rs").exists();
        assert!(there, "{name}: there is no test file {target}");
        assert!(run.contains(' ') && !stage.is_empty() && !fault.is_empty(), "{name}: no filter, stage or words");
    }
}

/// For `tests/mutants/run`: the list as it was compiled.
#[cfg(cupric_mutants)]
#[test]
fn the_list_of_faults() {
    for row in cupric::testing::FAULTS {
        println!("fault: {}", row.join("\t"));
    }
}
