//! `docs/ENVIRONMENT.md` lists the environment variables of the library, the tests, the benches and the scripts.

use crate::claims::{between, read};
use crate::{code, files, root};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The variables of this project whose names occur in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let of_ours = |word: &&str| word.strip_prefix("CUPRIC_").is_some_and(|rest| !rest.is_empty());
    words.filter(of_ours).filter(|word| !word.ends_with('_')).map(str::to_string).collect()
}

/// The variables that code reads by `env::var`, `env::var_os` or a function `named` that calls these. `CARGO_` variables
/// are read at compile time.
fn read_by(code: &str) -> impl Iterator<Item = &str> {
    let calls = ["var(\"", "var_os(\"", "named(\""];
    calls.into_iter().flat_map(|call| code.split(call).skip(1)).filter_map(|rest| rest.split('"').next())
}

/// All files of the repository that may name a variable: Rust, Python and shell.
fn all() -> Vec<PathBuf> {
    let folders = ["src", "tests", "benches", "examples", "mpi/src", "mpi/examples", "mpi/tests"];
    let folders = folders.iter().map(|f| root().join(f)).filter(|f| f.exists());
    let kinds = folders.flat_map(|f| ["rs", "py", "sh"].map(|kind| files(&f, kind)));
    let scripts = ["dev", "tests/run", "tests/kit/mutants/run", "tests/kit/mutants/rustc", "mpi/tests/run"];
    let ci = [".ci/run", ".ci/full", ".ci/stages", ".ci/aarch64"];
    // the package has neither `.ci/` nor `mpi/`
    let scripts = scripts.iter().chain(&ci).map(|name| root().join(name)).filter(|path| path.exists());
    let is_of_laws = |path: &Path| path.starts_with(root().join("tests/laws"));
    kinds.flatten().chain(scripts).filter(|path| !is_of_laws(path)).collect()
}

#[test]
fn the_page_lists_the_variables_of_the_library() {
    let page = read("docs/ENVIRONMENT.md");
    let section = between(&page, "## The library", "The user's cache folder");
    let listed: BTreeSet<String> = variables(section);
    let found: String = files(&root().join("src"), "rs").iter().map(|path| code(path) + "\n").collect();
    let found_names: BTreeSet<String> =
        read_by(&found).filter(|name| name.starts_with("CUPRIC_")).map(str::to_string).collect();
    assert_eq!(found_names, listed);
    for name in read_by(&found).filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_')) {
        assert!(page.contains(&format!("`{name}`")), "docs/ENVIRONMENT.md does not list {name}");
    }
}

#[test]
fn the_page_lists_the_variables_of_the_tests_and_scripts() {
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a readable file");
    let found: BTreeSet<String> = all().iter().flat_map(|path| variables(&text(path))).collect();
    assert!(found.len() > 30, "{found:?}");
    let mut listed = variables(&read("docs/ENVIRONMENT.md"));
    if !root().join(".ci").exists() {
        listed.retain(|name| found.contains(name));
    }
    assert_eq!(found, listed);
}

/// A layer of Mesa prints errors when a GPU is opened on a machine without a desktop. Cargo turns it off in the checkout,
/// and the pages for users name the variable.
#[test]
fn the_layer_that_prints_errors_is_turned_off() {
    if root().join(".cargo").exists() {
        assert!(read(".cargo/config.toml").contains("NODEVICE_SELECT = \"1\""));
    }
    for page in ["README.md", "src/guide/devices.md", "docs/ENVIRONMENT.md"] {
        assert!(read(page).contains("`NODEVICE_SELECT=1`"), "{page}");
    }
}
