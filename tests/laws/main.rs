//! Rules of this repository that are tested by reading its files: imports point to lower floors without circles in any
//! folder, every kind of kernel has a shader and a CPU twin, files stay short, every planted fault has a place and a
//! test, lists are bounded. Clippy checks the rest: see `[lints]` in `Cargo.toml` and `src/lib.rs`.

mod claims;
mod constants;
mod docs;
mod environment;
mod figures;
mod imports;
mod lists;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floor (layer) of each folder of `src/`, from the first line of its `mod.rs`: `//! Floor 2: …`.
fn floors() -> BTreeMap<String, usize> {
    let floor = |path: PathBuf| {
        let text = fs::read_to_string(path.join("mod.rs")).expect("every folder of src/ has a mod.rs");
        let number = text.strip_prefix("//! Floor ").and_then(|rest| rest.split(':').next()?.parse().ok());
        let name = path.file_name().expect("a name").to_string_lossy().to_string();
        (name, number.unwrap_or_else(|| panic!("{}: the first line does not state a floor", path.display())))
    };
    let entries = fs::read_dir(root().join("src")).expect("a folder of the crate").map(|e| e.expect("an entry").path());
    entries.filter(|path| path.is_dir()).map(floor).collect()
}

/// The largest number of lines of a file.
const LONGEST: usize = 500;

/// Returns the checkout in which the tests run. If several checkouts share a folder of build outputs, the tests may have
/// been compiled in another one.
fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets the variable"))
}

/// A file's path relative to the crate's root, with slashes.
fn below_root(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("a file of the crate");
    below.iter().map(|n| n.to_string_lossy()).collect::<Vec<_>>().join("/")
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

/// Whether a file of `src/` contains only unit tests.
fn is_of_tests(below: &str) -> bool {
    below.ends_with("/tests.rs") || below.contains("/tests/")
}

/// The source of a file without unit tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable file");
    let text = match text.split_once("\nmod tests {") {
        Some((before, _)) => before,
        None => &text,
    };
    text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Imports between folders that do not point to a lower floor. `lib.rs` is above all floors.
fn upward(files: &[imports::File], floors: &BTreeMap<String, usize>) -> Vec<String> {
    let mut wrong = BTreeSet::new();
    for file in files {
        let Some(from) = file.module.first() else { continue };
        for to in file.named.iter().filter_map(|named| named.first()) {
            if to != from && floors.get(to).is_some_and(|other| *other >= floors[from]) {
                wrong.insert(format!("{} imports {to}", file.path.display()));
            }
        }
    }
    wrong.into_iter().collect()
}

#[test]
fn imports_point_to_lower_floors() {
    let files = imports::read(&root().join("src"));
    let imported: usize = files.iter().map(|f| f.named.len()).sum();
    assert!(imported > 1000, "only {imported} imports were read");
    let wrong = upward(&files, &floors());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The file list shows the architecture: `src/` has few entries, each `lib.rs` or a folder with a `mod.rs`.
#[test]
fn the_top_of_src_is_short() {
    let entries = fs::read_dir(root().join("src")).expect("a folder of the crate").map(|e| e.expect("an entry").path());
    let (folders, others): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    assert_eq!(others, [root().join("src/lib.rs")]);
    assert!(folders.len() <= 13, "{} folders", folders.len());
}

#[test]
fn no_folder_has_a_circle_of_imports() {
    let crates = ["src", "benches/backends", "benches/isa", "tests/kit"];
    let found: Vec<imports::Circle> =
        crates.iter().flat_map(|c| imports::circles(&imports::read(&root().join(c)))).collect();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "circles of imports:\n{}", found.join("\n"));
}

/// Tests that the import reader finds what it should, even if the checkout is inside a folder named `tests`.
#[test]
fn upward_imports_and_circles_are_seen() {
    let folder = std::env::temp_dir().join(format!("cupric-laws-{}/tests/src", std::process::id()));
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
        fs::write(path, text).expect("a new file");
    };
    write("lib.rs", "mod low; mod high; // use crate::high::b;\n const S: &str = \"crate::high::x\";");
    write("low.rs", "use crate::{high::{a, b as c}, low}; fn f() {}");
    write("high.rs", "mod a; mod b; mod c; pub use a::A; fn f<'a>() -> char { '\\'' }");
    // a circle through a re-export of the file above, and none through unit tests or other crates
    write("high/a.rs", "use super::b::{self, B}; pub struct A; mod tests { use crate::high::c; }");
    write("high/b.rs", "fn f(x: super::A) { std::c::d() }");
    write("high/c.rs", "use crate::{high::a, low::f};");
    write("high/tests.rs", "use super::*; use crate::high::c;");
    write("high/tests/more.rs", "use crate::high::c;");
    let files = imports::read(&folder);
    let floors = [("low", 0), ("high", 1)].map(|(name, floor)| (name.to_string(), floor));
    let wrong = upward(&files, &BTreeMap::from(floors));
    let circles: Vec<String> = imports::circles(&files).iter().map(ToString::to_string).collect();
    fs::remove_dir_all(folder.ancestors().nth(2).expect("the folder made above")).expect("its end");
    assert_eq!(wrong, ["low.rs imports high"]);
    assert_eq!(circles, ["the root: high low: high → low, low → high", "high: a b: a → b, b → a"]);
}

#[test]
fn kinds_of_kernels_have_a_shader_and_a_twin() {
    for shader in files(&root().join("shaders"), "wgsl") {
        let name = shader.file_stem().expect("a name").to_string_lossy().to_string();
        // not kinds of kernels: the functions that kernels call, and the probe of a device's arithmetic. A product by
        // cooperative matrices is only another way to compute a product.
        let is_none = ["numerics", "matmul_cooperative"].contains(&name.as_str());
        if shader.starts_with(root().join("shaders/lib")) || is_none {
            continue;
        }
        let twins = [format!("{name}.rs"), format!("{name}/mod.rs")].map(|file| root().join("src/cpu").join(file));
        assert!(twins.iter().any(|twin| twin.exists()), "shaders/{name}.wgsl has no twin in src/cpu/");
    }
}

#[test]
fn files_stay_short() {
    let mut wrong = vec![];
    let kinds =
        ["src rs", "shaders wgsl", "examples rs", "examples py", "benches rs", "benches py", "tests rs", "tests py"];
    for (dir, extension) in kinds.map(|kind| kind.split_once(' ').expect("a folder and an extension")) {
        for path in files(&root().join(dir), extension) {
            let lines = fs::read_to_string(&path).expect("a readable file").lines().count();
            if lines > LONGEST {
                wrong.push(format!("{} has {lines} lines, and may have {LONGEST}", below_root(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `tests/` has a folder for each test program. A file that no `mod` of a program includes would never run.
#[test]
fn every_test_file_is_of_a_program() {
    let entries: Vec<PathBuf> =
        fs::read_dir(root().join("tests")).expect("the folder of tests").map(|e| e.expect("an entry").path()).collect();
    let (folders, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    assert_eq!(others, [root().join("tests/run")], "tests/ holds folders and the script `run`");
    let mut lost = vec![];
    for program in folders.iter().filter(|f| !["kit", "data"].iter().any(|other| f.ends_with(other))) {
        // the programs that must not compile are not modules of a test program
        let files: Vec<PathBuf> =
            files(program, "rs").into_iter().filter(|f| !f.starts_with(program.join("cases"))).collect();
        let words: Vec<String> = files.iter().map(|f| code(f)).collect();
        for file in &files {
            let stem = file.file_stem().expect("a name").to_string_lossy().to_string();
            let name = match stem.as_str() {
                "mod" => file.parent().and_then(Path::file_name).expect("a folder").to_string_lossy().to_string(),
                _ => stem,
            };
            let named = words.iter().any(|text| text.lines().any(|l| l.trim().ends_with(&format!("mod {name};"))));
            if !named && *file != program.join("main.rs") {
                lost.push(below_root(file));
            }
        }
    }
    assert!(lost.is_empty(), "in no test program: {lost:?}");
    assert!(folders.len() > 15, "{folders:?}");
}

/// A `#[test]` in `src/` would make cargo compile the whole library a second time. So unit tests there are plain
/// functions, which `src/testing/unit.rs` lists. The compiler checks that the lists are complete.
#[test]
fn the_library_is_compiled_once() {
    let is_of_harness = |line: &&str| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        line.starts_with("#[test]") || line.contains("cfg") && words.any(|w| w == "test") && !line.starts_with("//")
    };
    let mut found = vec![];
    for path in files(&root().join("src"), "rs") {
        let text = fs::read_to_string(&path).expect("a readable file");
        found.extend(text.lines().map(str::trim).filter(is_of_harness).map(|l| format!("{}: {l}", below_root(&path))));
        let has_tests =
            text.contains("\nmod tests {\n") || path.ends_with("tests.rs") || path.ends_with("tests/mod.rs");
        if has_tests && !text.contains("crate::testing::unit_tests!") {
            found.push(format!("{}: tests without a list", below_root(&path)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a readable file");
    assert!(manifest.contains("[lib]\ntest = false\n"));
}

/// The rows of the list in `src/base/mutants.rs`: the name, the stage, the test and its filter, and the fault.
fn faults() -> Vec<[String; 4]> {
    let text = fs::read_to_string(root().join("src/base/mutants.rs")).expect("a readable file");
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
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a readable file");
    for [name, stage, run, fault] in &listed {
        let target = run.split(' ').next().unwrap_or_default();
        let there = manifest.contains(&format!("[[test]]\nname = \"{target}\"\n"));
        assert!(there, "{name}: there is no test program {target}");
        assert!(run.contains(' ') && !stage.is_empty() && !fault.is_empty(), "{name}: no filter, stage or words");
    }
}

/// Prints the compiled list of faults for `tests/kit/mutants/run`.
#[cfg(cupric_mutants)]
#[test]
fn the_list_of_faults() {
    for row in cupric::testing::FAULTS {
        println!("fault: {}", row.join("\t"));
    }
}

/// Whether a line of code compares the name of a row (`row.name`).
fn compares_the_name_of_a_row(line: &str) -> bool {
    line.match_indices(".name").any(|(at, name)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        let after = after.strip_prefix("()").unwrap_or(after);
        // a longer word such as `.names` does not count
        let whole = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let compares = after.starts_with(" ==") || after.starts_with(" !=") || after.starts_with(".starts_with");
        let owner = |c: char| c.is_alphanumeric() || "_.&*".contains(c);
        let left = before.trim_end_matches(owner);
        let compared = left.ends_with("== ") || left.ends_with("!= ");
        let matched = before.contains("match ") || before.contains("matches!(");
        whole && (compares || compared || matched)
    })
}

/// Whether a line of code compares a variable that holds the name of an operation (`op`, `name`) with text, or searches
/// a list for it. `next` is the line after it.
fn compares_a_name(line: &str, next: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
    ["op", "name", "operation"].iter().any(|word| {
        line.match_indices(word).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let left = before.trim_end_matches(['&', '*']);
            if before.ends_with(is_of_word) || after.starts_with(is_of_word) {
                return false;
            }
            let with_text = [" == \"", " != \"", ".starts_with(", ".ends_with("].iter().any(|t| after.starts_with(t));
            let text_with = left.ends_with("\" == ") || left.ends_with("\" != ");
            let searched = left.ends_with(".contains(") && after.starts_with(')');
            let matched = left.ends_with("match ") && after == " {" && next.trim_start().starts_with('"')
                || left.ends_with("matches!(") && after.starts_with(", \"");
            let named = *word == "name" && (left.ends_with("op == ") || after.starts_with(" == op"));
            with_text || text_with || searched || matched || named
        })
    })
}

#[test]
fn comparisons_of_names_are_seen() {
    for line in [
        "if row.name == \"add\" {",
        "if a.name != b.row.name {",
        "let x = matches!(row.name, \"add\" | \"sub\");",
        "let out = if op == \"std\" { a } else { b };",
        "if index < 0 && !FROM_THE_START.contains(&name) {",
        "if \"std\" == op || LIST.contains(op) {",
        "let n = CALLERS.iter().position(|name| *name == op);",
        "if operation.starts_with(\"nan\") {",
        "match op {",
    ] {
        assert!(compares_the_name_of_a_row(line) || compares_a_name(line, "    \"add\" => 1,"), "{line}");
    }
    for line in ["if node.op == NodeOp::Reshape {", "match op {", "if loop_name == \"a\" {", "f(op, name)"] {
        assert!(!compares_the_name_of_a_row(line) && !compares_a_name(line, "    NodeOp::Add => 1,"), "{line}");
    }
}

#[test]
fn rows_are_asked_for_properties_not_for_names() {
    // code may print an operation's name; code that compares it makes a decision that a new row would miss
    let mut found = vec![];
    for path in files(&root().join("src"), "rs") {
        let below = below_root(&path);
        if is_of_tests(&below) || below.starts_with("src/testing") {
            continue;
        }
        // in files, names are those of arrays and tensors
        let names_operations = !below.starts_with("src/io");
        let text = code(&path);
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let next = lines.get(i + 1).copied().unwrap_or_default();
            if compares_the_name_of_a_row(line) || names_operations && compares_a_name(line, next) {
                found.push(format!("{below}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The benchmark `isa` compiles shaders as wgpu does for the library: for the locked version of wgpu's Vulkan backend,
/// and with the same checks switched off as in `pipelines.rs`.
#[test]
fn the_bench_of_shaders_compiles_as_the_library_does() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect("a file of the crate");
    let (lock, driver, pipelines) = (read("Cargo.lock"), read("benches/isa/driver.rs"), read("src/gpu/pipelines.rs"));
    let locked = lock.split("name = \"wgpu-hal\"\nversion = \"").nth(1).and_then(|rest| rest.split('.').next());
    let locked = locked.expect("wgpu-hal is locked");
    assert!(driver.contains(&format!("wgpu-hal {locked} ")), "compare benches/isa/driver.rs with wgpu-hal {locked}");
    assert_eq!(pipelines.matches("create_shader_module_trusted(").count(), 1);
    assert!(pipelines.contains("create_shader_module_trusted(descriptor, CHECKS)"));
    assert_eq!(pipelines.matches("zero_initialize_workgroup_memory: ZEROES_WORKGROUP_MEMORY").count(), 1);
    assert!(driver.contains("self.checks.bounds") && driver.contains("self.checks.zeroes_workgroup_memory"));
    assert!(driver.contains("self.checks.loops") && driver.contains("self.checks.divisors"));
}

/// A type that other files can use has a unique name: no other folder of `src/` has a type of that name. Types that
/// only their own file uses, and the traits that seal others, may share names.
#[test]
fn types_of_two_folders_have_two_names() {
    let mut defined: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for path in files(&root().join("src"), "rs").into_iter().filter(|path| !is_of_tests(&below_root(path))) {
        let below = below_root(&path);
        let mut seals = false;
        for line in code(&path).lines() {
            seals = line == "mod sealed {" || seals && line != "}";
            let Some(item) = line.trim_start().strip_prefix("pub").filter(|_| !seals) else { continue };
            let item = item.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(item, |(_, rest)| rest);
            let mut words =
                item.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !["", "unsafe"].contains(w));
            if words.next().is_some_and(|kind| ["struct", "enum", "trait", "type", "union"].contains(&kind)) {
                let folder = below.rsplit_once('/').expect("a file below src").0.to_string();
                let name = words.next().unwrap_or_default().to_string();
                defined.entry(name).or_default().insert(folder, below.clone());
            }
        }
    }
    let shared: Vec<String> = (defined.iter())
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.values().cloned().collect::<Vec<_>>().join(", ")))
        .collect();
    assert!(defined.len() > 300, "{} types were found", defined.len());
    assert!(shared.is_empty(), "{}", shared.join("\n"));
}

/// One file knows what a browser lacks: the standard library's clock, sleeping threads and processes do not exist
/// there, and a thread must not wait for a future.
#[test]
fn one_file_knows_the_platform() {
    let words = [
        "target_family = \"wasm\"",
        "target_os = \"unknown\"",
        "std::time::Instant",
        "time::{Duration, Instant}",
        "process::id",
        "thread::sleep",
        "pollster::",
        "atexit",
    ];
    // where there are no files, the library uses a disk cache without contents (`disk/none.rs`)
    let may = |below: &str, line: &str| {
        below == "src/base/platform.rs"
            || below.starts_with("src/testing/")
            || (below == "src/gpu/mod.rs" && line.contains("disk/none.rs"))
    };
    let mut found = vec![];
    for path in files(&root().join("src"), "rs") {
        let below = below_root(&path);
        for (i, line) in code(&path).lines().enumerate() {
            let is_of_tests = is_of_tests(&below) || line.contains("cfg(feature = \"testing\")");
            if !is_of_tests && words.iter().any(|word| line.contains(word)) && !may(&below, line) {
                found.push(format!("{below}:{}: {}", i + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
