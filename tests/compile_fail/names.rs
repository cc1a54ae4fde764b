//! What people type who know NumPy, PyTorch, ndarray and Rust's std: each line of `names.txt` compiles, or the compiler's
//! message contains the name to write instead. All lines are functions of one program, so the compiler runs once.

use super::{Folder, compile, root};
use std::collections::BTreeMap;
use std::fs;

/// The values that the lines use.
const PARAMETERS: &str =
    "x: &Array, y: &Array, b: &Array, i: &Array, e: &Expr, m: &mut Array, v: Vec<f32>, rng: &mut Rng, device: &Device";

/// The messages of the compiler by the line of the program to which they refer.
fn by_line(messages: &str, program: &str) -> BTreeMap<usize, String> {
    let mut found = BTreeMap::new();
    for message in messages.split("\n\n").filter(|m| m.starts_with("error")) {
        let line =
            message.split(&format!("--> {program}:")).nth(1).and_then(|rest| rest.split(':').next()?.parse().ok());
        if let Some(line) = line {
            *found.entry(line).or_insert_with(String::new) += message;
        }
    }
    found
}

#[test]
fn names_of_other_libraries_compile_or_are_explained() {
    let list = fs::read_to_string(root().join("tests/compile_fail/names.txt")).expect("the list");
    let list: Vec<(&str, &str)> = list
        .lines()
        .filter(|l| !l.starts_with('#') && !l.is_empty())
        .map(|l| l.rsplit_once(" => ").expect("code and what is expected"))
        .map(|(code, want)| (code.trim(), want.trim()))
        .collect();
    assert!(list.len() >= 60, "{} names", list.len());
    let folder = Folder::new("names");
    let library = folder.library();
    let path = folder.0.join("names.rs");
    let mut program = "#![allow(unused)] use cupric::*; use cupric::DType::*; fn main() {}\n".to_string();
    for (n, (code, _)) in list.iter().enumerate() {
        program += &format!("fn f{n}({PARAMETERS}) -> Result<()> {{ {code}; Ok(()) }}\n");
    }
    fs::write(&path, &program).expect("a file in the target folder");
    let messages = compile(&library, &path, &folder.0).unwrap_or_default();
    let found = by_line(&messages, &path.display().to_string());
    let mut wrong = vec![];
    for (n, (code, want)) in list.iter().enumerate() {
        match (found.get(&(n + 2)), *want) {
            (None, "ok") => {}
            (Some(message), want) if want != "ok" && message.contains(want) => {}
            (message, want) => wrong.push(format!("{code} => {want}:\n{}", message.map_or("compiles", String::as_str))),
        }
    }
    assert!(wrong.is_empty(), "{} of {} names:\n{}", wrong.len(), list.len(), wrong.join("\n\n"));
}
