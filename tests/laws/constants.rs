//! `docs/CONSTANTS.md` lists the constants of `src/` that were chosen by hand, with rows of benches that depend on them.

use crate::claims::{cells, read};
use crate::{below_root, files, root};
use std::fs;
use std::path::PathBuf;

/// Words of a comment about a number that was not measured, without the first letter, which may be a capital.
const MARKS: [&str; 2] = ["hosen by hand", "o benchmark compares other"];

/// A number whose comment has one of the [`MARKS`].
struct Chosen {
    /// The file, relative to `src/`.
    file: String,
    /// The constant, or for a number within a function the name of the function.
    name: String,
    /// The line of the constant, or for a number within a function the text of the file.
    code: String,
}

/// The identifier at the beginning of a text.
fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The name of the constant that a line of code defines.
fn constant_of(code: &str) -> Option<String> {
    let (before, after) = code.split_once("const ")?;
    let is_whole = matches!(before, "" | "pub ") || before.starts_with("pub(") && before.ends_with(") ");
    (is_whole && !after.starts_with("fn ")).then(|| word(after))
}

/// The numbers of a file that were chosen by hand. A comment is also about the constants that directly follow the first
/// one.
fn chosen(file: &str, text: &str) -> Vec<Chosen> {
    let (mut found, mut applies) = (vec![], false);
    let [mut comment, mut function] = [String::new(), String::new()];
    for line in text.lines().map(str::trim) {
        let (code, words) = line.split_once("//").unwrap_or((line, ""));
        comment += &format!("{} ", words.trim_start_matches(['/', '!', ' ']));
        if code.is_empty() || code.starts_with("#[") {
            applies = false;
            if line.is_empty() {
                comment.clear();
            }
            continue;
        }
        if let Some((_, after)) = code.split_once("fn ") {
            function = word(after);
        }
        let constant = constant_of(code);
        applies = MARKS.iter().any(|mark| comment.contains(mark)) || applies && constant.is_some();
        if applies {
            let code = if constant.is_some() { code } else { text };
            let name = constant.clone().unwrap_or_else(|| function.clone());
            found.push(Chosen { file: file.to_string(), name, code: code.trim().to_string() });
        }
        applies &= constant.is_some();
        comment.clear();
    }
    found
}

#[test]
fn the_page_lists_the_constants_chosen_by_hand() {
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a readable file");
    let sources = files(&root().join("src"), "rs");
    let found: Vec<Chosen> =
        sources.iter().flat_map(|path| chosen(&below_root(path)["src/".len()..], &text(path))).collect();
    let benches: String = files(&root().join("benches"), "rs").iter().map(text).collect();
    let page = read("docs/CONSTANTS.md");
    let rows: Vec<Vec<&str>> = cells(&page).into_iter().filter(|row| row[0].starts_with('`')).collect();
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>();
    let mut of_code: Vec<[String; 2]> = found.iter().map(|c| [c.file.clone(), c.name.clone()]).collect();
    let named = |row: &Vec<&str>| [row[0], row[1]].map(|cell| cell.replace('`', ""));
    let mut of_page: Vec<[String; 2]> = rows.iter().map(named).collect();
    of_code.sort();
    of_page.sort();
    assert_eq!(of_code, of_page, "numbers chosen by hand in src/, and rows of docs/CONSTANTS.md");
    for row in &rows {
        let ([file, name], value) = (named(row), quoted(row[2]).swap_remove(0));
        let has = |code: &str| code.ends_with(&format!(" = {value};")) || code.contains('\n') && code.contains(&value);
        let is_value = found.iter().any(|c| c.file == file && c.name == name && has(&c.code));
        assert!(is_value, "{file}: the value of {name} is not {value}");
        // a row of a bench, or the folder of a bench
        let is_there = |n: &String| benches.contains(&format!("(\"{n}\", ")) || root().join("benches").join(n).is_dir();
        let (benched, is_none) = (quoted(row[4]), row[4].starts_with("none: "));
        assert!(is_none || !benched.is_empty() && benched.iter().all(is_there), "{file}, {name}: no row {benched:?}");
    }
}
