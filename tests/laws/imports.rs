//! Finds which file of a crate uses which other file: `use` items and paths, following `crate`, `super`, `self` and
//! re-exports. It reads words and does not parse Rust, so it misses paths that a macro builds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The words of a path, from the crate's root.
pub type Names = Vec<String>;

/// A file of a crate: its module, and the paths that it uses, from the crate's root.
pub struct File {
    /// The path relative to the crate's folder.
    pub path: PathBuf,
    pub module: Names,
    pub named: BTreeSet<Names>,
}

/// The files below the folder of a crate's root (`lib.rs` or `main.rs`), except those of unit tests.
pub fn read(folder: &Path) -> Vec<File> {
    let mut files: Vec<(PathBuf, Names, Vec<Found>)> = vec![];
    for path in super::files(folder, "rs") {
        let below = path.strip_prefix(folder).expect("a file of the folder").to_path_buf();
        let text = fs::read_to_string(&path).expect("a readable file");
        let module = module(&below);
        if module.iter().all(|m| m != "tests") {
            let found = find(&words(&text), &module);
            files.push((below, module, found));
        }
    }
    let modules: BTreeSet<Names> = files.iter().map(|f| f.1.clone()).collect();
    // names that a file imports or re-exports, mapped to the full path of the original
    let mut brought: BTreeMap<Names, Names> = BTreeMap::new();
    for found in files.iter().flat_map(|f| &f.2) {
        if let (true, Some(to)) = (found.is_use, absolute(found, &modules))
            && let Some(name) = &found.brings
        {
            brought.insert([&found.within[..], std::slice::from_ref(name)].concat(), to);
        }
    }
    let resolve = |found: &Found| {
        let mut to = absolute(found, &modules)?;
        // follows at most 8 re-exports, so that a circle of re-exports ends too
        for _ in 0..8 {
            let Some((at, next)) = (1..=to.len()).rev().find_map(|n| Some((n, brought.get(&to[..n])?))) else { break };
            to = [next, &to[at..]].concat();
        }
        Some(to)
    };
    files
        .iter()
        .map(|(path, module, found)| File {
            path: path.clone(),
            module: module.clone(),
            named: found.iter().filter_map(&resolve).collect(),
        })
        .collect()
}

/// Files of one folder that import each other, directly or through others.
pub struct Circle {
    /// The folder, relative to the crate's folder.
    pub folder: String,
    /// The names of the files without `.rs`, in order.
    pub files: Vec<String>,
    /// The imports between these files.
    imports: Vec<String>,
}

impl std::fmt::Display for Circle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folder = if self.folder.is_empty() { "the root" } else { &self.folder };
        write!(f, "{folder}: {}: {}", self.files.join(" "), self.imports.join(", "))
    }
}

/// Finds the circles of a crate, at most one for each file. A file and the folder of the same name count as one.
pub fn circles(files: &[File]) -> Vec<Circle> {
    let modules: BTreeSet<&Names> = files.iter().map(|f| &f.module).collect();
    // for each folder, the imports from one name in it to another
    let mut edges: BTreeMap<Names, BTreeSet<(String, String)>> = BTreeMap::new();
    for file in files {
        for to in &file.named {
            let shared = file.module.iter().zip(to).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(other)) = (file.module.get(shared), to.get(shared))
                && modules.contains(&to[..=shared].to_vec())
            {
                let edge = (from.clone(), other.clone());
                edges.entry(to[..shared].to_vec()).or_default().insert(edge);
            }
        }
    }
    let mut out = vec![];
    for (folder, edges) in edges {
        let reach = |from: &str| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_string()]);
            while let Some(at) = open.pop() {
                for (_, to) in edges.iter().filter(|e| e.0 == at) {
                    if seen.insert(to.clone()) {
                        open.push(to.clone());
                    }
                }
            }
            seen
        };
        let names: BTreeSet<&String> = edges.iter().map(|e| &e.0).collect();
        let reached: BTreeMap<&String, BTreeSet<String>> = names.iter().map(|n| (*n, reach(n))).collect();
        let mut done = BTreeSet::new();
        for name in &names {
            // all names that this one reaches and that reach it
            let circle: BTreeSet<&String> =
                names.iter().filter(|n| reached[*name].contains(**n) && reached[*n].contains(*name)).copied().collect();
            if circle.contains(*name) && done.insert(circle.clone()) {
                let inside = edges.iter().filter(|(a, b)| circle.contains(a) && circle.contains(b));
                out.push(Circle {
                    folder: folder.join("/"),
                    files: circle.iter().map(ToString::to_string).collect(),
                    imports: inside.map(|(a, b)| format!("{a} → {b}")).collect(),
                });
            }
        }
    }
    out
}

/// The module of a file: `gpu/wgsl.rs` is `gpu::wgsl`; `lib.rs` and `main.rs` are the root.
fn module(path: &Path) -> Names {
    let mut names: Names = path.with_extension("").iter().map(|n| n.to_string_lossy().to_string()).collect();
    if names.last().is_some_and(|n| ["lib", "main", "mod"].contains(&n.as_str())) {
        names.pop();
    }
    names
}

/// A path as written in a module.
struct Found {
    within: Names,
    names: Names,
    is_use: bool,
    /// The name that a `use` item gives to the path.
    brings: Option<String>,
}

/// The path from the crate's root, or None if it leads to another crate or to a local item.
fn absolute(found: &Found, modules: &BTreeSet<Names>) -> Option<Names> {
    let mut at = found.within.clone();
    let mut rest = &found.names[..];
    match rest.first()?.as_str() {
        "crate" => {
            at.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|n| n == "super") {
                at.pop()?;
                rest = &rest[1..];
            }
        }
        // a module inside the current one
        first if modules.contains(&[&at[..], &[first.to_string()]].concat()) => {}
        _ => return None,
    }
    at.extend(rest.iter().cloned());
    Some(at)
}

/// Splits source into names, `::` and other single characters. Skips comments, literals and lifetimes.
fn words(text: &str) -> Vec<String> {
    let c: Vec<char> = text.chars().collect();
    let at = |i: usize| c.get(i).copied().unwrap_or(' ');
    let is_name = |x: char| x.is_alphanumeric() || x == '_';
    let (mut out, mut i) = (vec![], 0);
    while i < c.len() {
        match (c[i], at(i + 1)) {
            ('/', '/') => {
                while i < c.len() && c[i] != '\n' {
                    i += 1
                }
            }
            ('/', '*') => {
                i += 2;
                while i < c.len() && (c[i], at(i + 1)) != ('*', '/') {
                    i += 1
                }
                i += 2;
            }
            ('r', '"' | '#') if raw_string(&c[i..]).is_some() => i += raw_string(&c[i..]).unwrap_or(1),
            ('"', _) => {
                i += 1;
                while i < c.len() && c[i] != '"' {
                    i += if c[i] == '\\' { 2 } else { 1 }
                }
                i += 1;
            }
            ('\'', '\\') => {
                i += 3;
                while i < c.len() && c[i] != '\'' {
                    i += 1
                }
                i += 1;
            }
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            // a lifetime, whose name is not a path
            ('\'', _) => {
                i += 1;
                while is_name(at(i)) {
                    i += 1
                }
            }
            (':', ':') => {
                out.push("::".to_string());
                i += 2
            }
            (x, _) if is_name(x) => {
                let start = i;
                while is_name(at(i)) && i < c.len() {
                    i += 1
                }
                out.push(c[start..i].iter().collect());
            }
            (x, _) => {
                if !x.is_whitespace() {
                    out.push(x.to_string())
                }
                i += 1
            }
        }
    }
    out
}

/// The length of a raw string at the start of the text.
fn raw_string(c: &[char]) -> Option<usize> {
    let hashes = c[1..].iter().take_while(|x| **x == '#').count();
    if c.get(1 + hashes) != Some(&'"') {
        return None;
    }
    let end = (2 + hashes..c.len())
        .find(|i| c[*i] == '"' && c[i + 1..].iter().take_while(|x| **x == '#').count() >= hashes)?;
    Some(end + 1 + hashes)
}

/// The paths of a file. Paths inside `mod name { … }` belong to that module; `mod tests { … }` is skipped.
fn find(words: &[String], module: &[String]) -> Vec<Found> {
    let mut out = vec![];
    // the inline modules around the current word, each with its brace depth
    let mut inside: Vec<(String, usize)> = vec![];
    let (mut depth, mut i) = (0, 0);
    let is_name = |w: &String| w.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    while i < words.len() {
        let within = || -> Names { module.iter().cloned().chain(inside.iter().map(|m| m.0.clone())).collect() };
        match words[i].as_str() {
            // the module's name may be a macro's `$name`
            "mod" if (2..4).any(|n| words.get(i + n).is_some_and(|w| w == "{")) => {
                inside.push((words[i + 1].clone(), depth));
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inside.pop_if(|m| m.1 == depth);
            }
            "use" if words.get(i + 1).is_some_and(is_name) && !inside.iter().any(|m| m.0 == "tests") => {
                i += 1;
                tree(words, &mut i, vec![], &within(), &mut out);
            }
            name if is_name(&words[i])
                && (i == 0 || words[i - 1] != "::")
                && !inside.iter().any(|m| m.0 == "tests") =>
            {
                let mut names = vec![name.to_string()];
                while words.get(i + 1).is_some_and(|w| w == "::") && words.get(i + 2).is_some_and(is_name) {
                    names.push(words[i + 2].clone());
                    i += 2;
                }
                if names.len() > 1 {
                    out.push(Found { within: within(), names, is_use: false, brings: None });
                }
            }
            _ => {}
        }
        i += 1;
    }
    out
}

/// The paths of a nested `use` from word `i` on. Sets `i` to the word after it.
fn tree(words: &[String], i: &mut usize, mut names: Names, within: &[String], out: &mut Vec<Found>) {
    let mut known = None;
    while let Some(word) = words.get(*i) {
        match word.as_str() {
            "::" => {}
            "{" => {
                *i += 1;
                while words.get(*i).is_some_and(|w| w != "}" && w != ";") {
                    tree(words, i, names.clone(), within, out);
                    if words.get(*i).is_some_and(|w| w == ",") {
                        *i += 1;
                    }
                }
                *i += 1;
                return;
            }
            "as" => {
                known = words.get(*i + 1).cloned();
                *i += 1;
            }
            "," | "}" | ";" => break,
            // the module itself, or all its items
            "self" if !names.is_empty() => {}
            "*" => {}
            name => names.push(name.to_string()),
        }
        *i += 1;
    }
    let brings = known.or_else(|| names.last().cloned());
    out.push(Found { within: within.to_vec(), names, is_use: true, brings });
}
