//! Rules of the public documentation, tested by reading the source: the page of `Expr` has sections and an index, its
//! methods have examples, and names of other libraries lead to functions.

use super::{code, files, is_of_tests, root};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The documentation and the attributes above a line, from the first line on.
fn above<'a>(lines: &[&'a str], at: usize) -> Vec<&'a str> {
    let is_attribute = |line: &&&str| line.trim_start().starts_with("///") || line.trim_start().starts_with("#[");
    let mut out: Vec<&str> = lines[..at].iter().rev().take_while(is_attribute).map(|l| l.trim_start()).collect();
    out.reverse();
    out
}

/// The blocks `impl Expr` of `src/` that have public methods: the file, the lines above the block, and the name of each
/// method with the lines above it. A method that a macro makes from rows has the name `$name`.
type Block = (String, Vec<String>, Vec<(String, Vec<String>)>);

fn blocks() -> Vec<Block> {
    let mut found = vec![];
    for path in files(&root().join("src"), "rs") {
        let below = super::below_root(&path);
        let text = fs::read_to_string(&path).expect("a readable file");
        let lines: Vec<&str> = text.lines().collect();
        let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_string).collect::<Vec<_>>();
        for (at, line) in lines.iter().enumerate().filter(|(_, l)| l.trim_start().starts_with("impl Expr {")) {
            let indent = line.len() - line.trim_start().len();
            let is_end = |l: &&str| l.len() > indent && l[indent..].starts_with(['}', ')']) || *l == "}";
            let end = lines[at + 1..].iter().position(is_end).map_or(lines.len(), |n| at + 1 + n);
            let names = |(i, l): (usize, &&str)| {
                let name = l.trim_start().strip_prefix("pub fn ")?;
                let name = name.split(['(', '<']).next().unwrap_or_default();
                Some((name.to_string(), owned(above(&lines, at + 1 + i))))
            };
            let methods: Vec<_> = lines[at + 1..end].iter().enumerate().filter_map(names).collect();
            let is_table = lines[at + 1..end].iter().any(|l| l.contains("methods!(@method"));
            if !is_of_tests(&below) && (is_table || !methods.is_empty()) {
                found.push((below.clone(), owned(above(&lines, at)), methods));
            }
        }
    }
    found
}

#[test]
fn methods_of_expressions_have_examples() {
    let has_example = |docs: &[String]| docs.iter().any(|l| l.starts_with("/// ```") || l.contains("methods!(@"));
    let (mut lacking, mut count) = (vec![], 0);
    for (file, _, methods) in blocks() {
        count += methods.len();
        let without = methods.iter().filter(|(name, docs)| *name != "$name" && !has_example(docs));
        lacking.extend(without.map(|(name, _)| format!("{file}: {name}")));
    }
    // rows of the macros that make reductions
    for file in ["src/ops/functions/reductions.rs", "src/ops/statistics/nan.rs"] {
        let text = fs::read_to_string(root().join(file)).expect("a readable file");
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, l)| l.contains(" |e, axes, at| ")) {
            count += 1;
            if !above(&lines, at).iter().any(|l| l.starts_with("/// ```")) {
                lacking.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    // rows of the table of elementwise functions
    let table = fs::read_to_string(root().join("src/ops/functions/mod.rs")).expect("a readable file");
    let rows = table.matches("    (@method [").count();
    assert_eq!(table.matches("        #[doc = methods!(@").count(), rows, "each kind of row has an example");
    assert!(count > 190 && rows == 3, "{count} methods, {rows} kinds of rows");
    assert!(lacking.is_empty(), "without an example:\n{}", lacking.join("\n"));
}

/// The documentation of `Expr` lists the sections of its page. A section is a block of methods with a heading.
#[test]
fn the_page_of_expressions_has_an_index() {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    for (file, docs, _) in blocks() {
        let heading = docs.iter().find_map(|l| l.strip_prefix("/// # ")).map(str::to_string);
        let is_table = docs.iter().any(|l| l == "#[doc = heading!()]");
        assert!(heading.is_some() || is_table, "{file}: a block of methods of `Expr` without a heading");
        if let Some(heading) = heading {
            assert_eq!(sections.insert(heading.clone(), file.clone()), None, "two sections are named {heading}");
        }
    }
    let table = fs::read_to_string(root().join("src/ops/functions/mod.rs")).expect("a readable file");
    let of_rows = table.lines().filter_map(|l| l.trim().strip_prefix("\"# ")?.strip_suffix('"'));
    sections.extend(of_rows.map(|heading| (heading.to_string(), "the table".to_string())));
    let page = fs::read_to_string(root().join("src/graph/expr/mod.rs")).expect("a readable file");
    let index: Vec<&str> = page.lines().filter(|l| l.starts_with("/// | ")).collect();
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ');
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let links: BTreeSet<String> = sections.keys().map(|h| format!("[{h}](#{})", anchor(h))).collect();
    for link in &links {
        assert_eq!(index.iter().map(|l| l.matches(link.as_str()).count()).sum::<usize>(), 1, "{link}");
    }
    assert_eq!(index.iter().map(|l| l.matches("](#").count()).sum::<usize>(), links.len());
    assert!(links.len() > 45, "{} sections", links.len());
}

/// The names and the aliases of the public functions, methods and variants of `src/`. A row of the table of elementwise
/// functions is a method.
fn searchable() -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for path in files(&root().join("src"), "rs") {
        let rows = path.starts_with(root().join("src/graph/ufunc"));
        for line in code(&path).lines().map(str::trim) {
            if let Some(aliases) = line.strip_prefix("#[doc(alias") {
                out.extend(aliases.split('"').skip(1).step_by(2).map(str::to_string));
            } else if let Some((_, name)) = line.split_once("pub fn ") {
                out.insert(word(name));
            } else if rows && line.contains("): ") && line.ends_with('{') {
                out.insert(word(line));
            }
        }
    }
    out
}

#[test]
fn names_of_other_libraries_are_found() {
    let known = searchable();
    let list = fs::read_to_string(root().join("tests/data/other_names.txt")).expect("the list");
    let (mut wrong, mut count) = (vec![], 0);
    for line in list.lines().filter(|l| !l.starts_with('#')) {
        let (kind, names) = line.split_once(": ").expect("a kind and names");
        let is_there = kind.ends_with("has");
        assert!(is_there || kind.ends_with("none"), "{kind}");
        count += names.split(' ').count();
        wrong.extend(names.split(' ').filter(|name| known.contains(*name) != is_there).map(|n| format!("{kind}: {n}")));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(count > 60 && known.len() > 700, "{count} names, {} that are found", known.len());
}
