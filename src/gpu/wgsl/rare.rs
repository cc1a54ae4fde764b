//! Fast paths of shaders. Some functions of `shaders/lib` have a branch for rare arguments, such as overflows, below a
//! comment `// rare`. Four such branches cost more than one, so an invocation that processes four elements first
//! computes all of them by *quick* functions, which set `has_rare` instead of taking such a branch. Only if `has_rare`
//! is set does it compute the four again, by the functions themselves. The results have the same bits either way.
//!
//! Below a comment `// rare: general`, the branch returns the right bits for all arguments. The second computation of
//! the four elements uses only such branches, by *general* functions, so that the machine code is shorter.

use super::text::identifiers;
use std::collections::BTreeSet;

/// The prefix of the names of quick functions.
pub(super) const QUICK: &str = "quick_";

/// The prefix of the names of general functions.
pub(super) const GENERAL: &str = "general_";

/// The beginning of the comment above the branch for rare arguments.
const RARE: &str = "    // rare";

/// The comment above a branch for rare arguments that is right for all arguments.
const RARE_AND_GENERAL: &str = "    // rare: general\n";

/// The beginning of a comment above four statements `let NAME = FUNCTION(…);`, one for each of four elements. The rest
/// of the comment is the function's name.
pub(super) const FOUR: &str = "// four times ";

/// Returns whether a function of the library has a branch for rare arguments.
pub(super) fn has_branch(text: &str) -> bool {
    text.contains(RARE)
}

/// Returns whether a function of the library has a branch for rare arguments that is right for all arguments.
pub(super) fn has_general_branch(text: &str) -> bool {
    text.contains(RARE_AND_GENERAL)
}

/// Returns the quick form of a function. It calls the quick forms of the functions `quick`. Instead of a branch for
/// rare arguments, it has a statement that sets `has_rare` if the branch would be taken.
pub(super) fn quick_form(text: &str, quick: &BTreeSet<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, branch)) = rest.split_once(RARE) {
        out.push_str(before);
        // the branch ends at the first closing brace with the indentation of its `if`
        let (condition, body) = branch.split_once(" {\n").unwrap_or((branch, ""));
        let condition = condition.split_once("if ").map_or("", |(_, condition)| condition);
        out.push_str(&format!("    has_rare = has_rare || ({condition});\n"));
        rest = body.split_once("\n    }\n").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    renamed(&out, quick, QUICK)
}

/// Returns the general form of a function. It calls the general forms of the functions `general`, and takes each branch
/// that is right for all arguments.
pub(super) fn general_form(text: &str, general: &BTreeSet<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, branch)) = rest.split_once(RARE_AND_GENERAL) {
        let body = branch.split_once(" {\n").map_or("", |(_, body)| body);
        out.push_str(&format!("{before}    if true {{\n"));
        rest = body;
    }
    out.push_str(rest);
    renamed(&out, general, GENERAL)
}

/// Returns `text` with a prefix added to each of `names`.
fn renamed(text: &str, names: &BTreeSet<&str>, prefix: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |n| start + n);
        let (before, id) = (&rest[..start], &rest[start..end]);
        out.push_str(before);
        out.push_str(if names.contains(id) { prefix } else { "" });
        out.push_str(id);
        rest = &rest[end..];
    }
    out + rest
}

/// Returns the functions of a kernel with quick paths. `written` is their source, in which a comment [`FOUR`] marks
/// four calls of a function. If that function calls one of the functions `quick`, the calls are replaced by a quick
/// path. The other path uses the general forms of the functions `general`.
pub(super) fn with_quick_paths<'a>(written: &'a str, quick: &BTreeSet<&str>, general: &BTreeSet<&str>) -> String {
    let (mut out, mut functions) = (String::with_capacity(written.len()), String::new());
    let mut lines = written.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let Some(name) = line.trim().strip_prefix(FOUR) else {
            out.push_str(line);
            continue;
        };
        let calls: Vec<&str> = lines.by_ref().take(4).collect();
        let function = function(written, name).filter(|text| identifiers(text).any(|id| quick.contains(id)));
        let Some(function) = function else {
            calls.iter().for_each(|call| out.push_str(call));
            continue;
        };
        if functions.is_empty() {
            functions.push_str("// Whether a quick function was called with an argument that it cannot handle.\n");
            functions.push_str("var<private> has_rare: bool;\n");
        }
        let mut add = |names: &BTreeSet<&str>, prefix| {
            if !functions.contains(&format!("fn {prefix}{name}(")) {
                let names = names.iter().copied().chain([name]).collect();
                functions.push_str(&format!("\n{}", renamed(function, &names, prefix)));
            }
        };
        add(quick, QUICK);
        let prefix = if identifiers(function).any(|id| general.contains(id)) { GENERAL } else { "" };
        if !prefix.is_empty() {
            add(general, prefix);
        }
        let parts = |call: &&'a str| call.trim().trim_start_matches("let ").split_once(" = ").unwrap_or((*call, ""));
        let calls: Vec<(&str, &str)> = calls.iter().map(parts).collect();
        out.push_str("has_rare = false;\n");
        calls.iter().for_each(|(place, call)| out.push_str(&format!("var {place} = {QUICK}{call}\n")));
        out.push_str(mutant!(rare_cases_left_out, "if false {\n", "if has_rare {\n"));
        calls.iter().for_each(|(place, call)| out.push_str(&format!("{place} = {prefix}{call}\n")));
        out.push_str("}\n");
    }
    format!("{out}\n{functions}")
}

/// Returns the functions of a kernel without quick paths.
pub(super) fn without_quick_paths(written: &str) -> String {
    written.split_inclusive('\n').filter(|line| !line.trim_start().starts_with(FOUR)).collect()
}

/// Returns the source of the function `name` of a kernel.
fn function<'a>(written: &'a str, name: &str) -> Option<&'a str> {
    let start = written.find(&format!("fn {name}("))?;
    let end = written[start..].find("\n}\n")?;
    Some(&written[start..start + end + 3])
}
