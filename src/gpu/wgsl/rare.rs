//! Fast paths of shaders. Some functions of `shaders/lib` compute ordinary arguments in a few instructions, and have a
//! branch for rare ones, such as overflows, below a comment `// rare`. Four such branches for four neighbouring elements
//! cost more than one, and each repeats the instructions of the branch. So an invocation that processes four elements first
//! computes all of them by *quick* functions, which set `has_rare` instead of taking such a branch. Only if it is set are
//! the four computed again, by the functions themselves. The results have the same bits either way.

use super::text::identifiers;
use std::collections::BTreeSet;

/// The prefix of the names of quick functions.
pub(super) const QUICK: &str = "quick_";

/// The comment above the branch for rare arguments.
const RARE: &str = "    // rare\n";

/// The line above four statements `let NAME = FUNCTION(…);` with a call for each of four elements. The function's name
/// follows.
pub(super) const FOUR: &str = "// four times ";

/// Returns whether a function of the library has a branch for rare arguments.
pub(super) fn has_branch(text: &str) -> bool {
    text.contains(RARE)
}

/// Returns the quick form of a function, which calls the quick forms of the functions `quick`. In place of a branch for rare
/// arguments it sets `has_rare` where the branch would be taken.
pub(super) fn quick_form(text: &str, quick: &BTreeSet<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, branch)) = rest.split_once(RARE) {
        out.push_str(before);
        // the branch ends at the first brace that is indented as it is
        let (condition, body) = branch.split_once(" {\n").unwrap_or((branch, ""));
        let condition = condition.trim_start().trim_start_matches("if ");
        out.push_str(&format!("    has_rare = has_rare || ({condition});\n"));
        rest = body.split_once("\n    }\n").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    renamed(&out, quick)
}

/// Returns WGSL in which the names `quick` have the prefix of quick functions.
fn renamed(text: &str, quick: &BTreeSet<&str>) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |n| start + n);
        let (before, name) = (&rest[..start], &rest[start..end]);
        out.push_str(before);
        out.push_str(if quick.contains(name) { QUICK } else { "" });
        out.push_str(name);
        rest = &rest[end..];
    }
    out + rest
}

/// Returns the functions of a kernel with a quick path for each four calls of a function that calls one of the functions
/// `quick`. `written` has a line [`FOUR`] above them.
pub(super) fn with_quick_paths(written: &str, quick: &BTreeSet<&str>) -> String {
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
        let names: BTreeSet<&str> = quick.iter().copied().chain([name]).collect();
        if !functions.contains(&format!("fn {QUICK}{name}(")) {
            functions.push_str(&format!("\n{}", renamed(function, &names)));
        }
        out.push_str("has_rare = false;\n");
        for call in &calls {
            let (place, call) = call.trim().trim_start_matches("let ").split_once(" = ").unwrap_or((call, ""));
            out.push_str(&format!("var {place} = {QUICK}{call}\n"));
        }
        out.push_str(mutant!(rare_cases_left_out, "if false {\n", "if has_rare {\n"));
        calls.iter().for_each(|call| out.push_str(call.trim_start().trim_start_matches("let ")));
        out.push_str("}\n");
    }
    format!("{out}\n{functions}")
}

/// Returns the functions of a kernel without quick paths.
pub(super) fn without_quick_paths(written: &str) -> String {
    written.split_inclusive('\n').filter(|line| !line.trim_start().starts_with(FOUR)).collect()
}

/// Returns the function `name` of a kernel.
fn function<'a>(written: &'a str, name: &str) -> Option<&'a str> {
    let start = written.find(&format!("fn {name}("))?;
    let end = written[start..].find("\n}\n")?;
    Some(&written[start..start + end + 3])
}
