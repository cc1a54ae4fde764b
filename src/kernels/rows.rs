//! Functions of the library that WGSL does not have, such as `erf`, `log1p` and `isnan`. A module declares the
//! functions that its source calls, under the names of the library's methods. A call of such a function is lowered to a
//! call of the ufunc with the same name.

use super::source::{ModuleSource, words_of};
use crate::base::dtype::DType;
use crate::graph::ufunc::{Class, Ufunc, all};
use std::fmt::Write;

/// Returns true if WGSL has a function with the name of the ufunc.
fn is_in_wgsl(row: &Ufunc) -> bool {
    use crate::graph::ufunc::float::*;
    let list: [&Ufunc; 18] = [
        &exp, &exp2, &log, &log2, &sqrt, &sin, &cos, &tan, &asin, &acos, &atan, &atan2, &sinh, &cosh, &tanh, &asinh,
        &acosh, &atanh,
    ];
    list.contains(&row)
}

/// Returns the float ufuncs that at least one of the sources calls by name. Ufuncs that WGSL has or that a source
/// defines itself are omitted.
pub(super) fn called(texts: &[&str]) -> Vec<&'static Ufunc> {
    let texts: Vec<String> = texts.iter().map(|text| without_comments(text)).collect();
    let has_name = |row: &&'static Ufunc| {
        let is_of_floats = matches!(row.class, Class::Float | Class::FloatOnly) || row.class == Class::Test;
        is_of_floats && !is_in_wgsl(row)
    };
    let calls = |row: &&'static Ufunc| {
        texts.iter().any(|text| calls(text, row.name)) && !texts.iter().any(|text| defines(text, row.name))
    };
    all().filter(has_name).filter(calls).collect()
}

/// Declares ufuncs as functions of the float type `of`. Their bodies are placeholders, because lowering replaces each
/// call by a call of the ufunc.
pub(super) fn declare(source: &mut ModuleSource, rows: &[&'static Ufunc], of: DType) {
    let of = of.name();
    for row in rows {
        let mut text = format!("fn {}(", row.name);
        for n in 0..row.arity {
            let _ = write!(text, "a{n}: {of}, ");
        }
        let _ = match row.class == Class::Test {
            true => writeln!(text, ") -> bool {{ return true; }}"),
            false => writeln!(text, ") -> {of} {{ return a0; }}"),
        };
        source.ours(&text);
    }
}

/// Returns true if the source `text` contains the name followed by an opening parenthesis.
fn calls(text: &str, name: &str) -> bool {
    words(text, name).any(|at| text[at + name.len()..].trim_start().starts_with('('))
}

fn defines(text: &str, name: &str) -> bool {
    let before = |at: usize| text[..at].split_whitespace().next_back().unwrap_or("");
    words(text, name).any(|at| ["fn", "struct", "alias", "const"].contains(&before(at)))
}

/// Returns a source without comments.
fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    words_of(text, |_, c| {
        kept.push(c);
        true
    });
    kept
}

/// Returns the byte offsets at which a name occurs in a source, but not as part of a longer name or as a member of a
/// structure.
fn words<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let behind = text[at + name.len()..].chars().next();
        !before.is_some_and(|c| inside(c) || c == '.') && !behind.is_some_and(inside)
    })
}

#[cfg(feature = "testing")]
mod tests {
    use super::called;

    crate::testing::unit_tests!(custom_rows: the_rows_that_a_text_calls);

    fn the_rows_that_a_text_calls() {
        let names = |texts: &[&str]| called(texts).iter().map(|r| r.name).collect::<Vec<_>>();
        assert_eq!(names(&["y = erf (x) + log1p(x) * exp(x) + my_erfc(x) + a.erfinv(x) + isnan;"]), ["log1p", "erf"]);
        assert_eq!(names(&["y = erf(x);", "fn erf(x: f32) -> f32 { return x; }"]), [""; 0]);
        assert_eq!(names(&["if isnan(x) { y = 1.0; }"]), ["isnan"]);
        assert_eq!(names(&["y = erf(x); // fn erf(\n /* fn erf( /* é */ */", "/* log1p(x) */ // cbrt(x)"]), ["erf"]);
        assert_eq!(names(&["y = erf(x).a; /", "struct erf { a: f32 }"]), [""; 0]);
    }
}
