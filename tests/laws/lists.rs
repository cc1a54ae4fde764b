//! No public function may allocate host memory in proportion to a caller's number or an axis length before a check,
//! because an array of 2^60 elements may be one element in memory. Code that makes such a list calls `room` or `listed`
//! of `src/base/error.rs`, or has an entry with a reason below.

use crate::{below_root, code, files, is_of_tests, root};
use std::collections::BTreeSet;

/// Folders that callers do not reach directly. Their lists are limited by a plan, an array in memory, or a device
/// limit, and callers' shapes were checked in the layers above.
const INNER: [&str; 5] = ["cpu", "gpu", "plan", "math", "testing"];

/// Calls that allocate a number of elements, and which argument is that number.
const CALLS: [(&str, usize); 7] = [
    ("with_capacity(", 0),
    ("repeat_n(", 1),
    (".repeat(", 0),
    (".resize(", 0),
    ("from_elem(", 1),
    ("extend_from_slice(", 0),
    (".to_vec(", 0),
];

/// Reasons why a list may be long, and the places: a file, and the length as written there.
const REASONS: [(&str, &[(&str, &str)]); 6] = [
    (
        "as long as an array has axes, which a caller lists one by one",
        &[
            ("base/layout/mod.rs", "n"),
            ("ops/linalg/derived.rs", "extra"),
            ("ops/linalg/parts.rs", "s.len() as isize"),
            ("array/print/mod.rs", "before.len() + 1"),
            ("ops/index/mod.rs", "n - 2"),
            ("base/layout/mod.rs", "to.len()"),
            ("base/layout/view.rs", "count"),
            ("ops/movement/mod.rs", "n"),
            ("ops/movement/mod.rs", "n as isize"),
            ("ops/movement/mod.rs", "apart.len()"),
            ("ops/products/mod.rs", "axis"),
            ("ops/products/mod.rs", "n"),
            ("ops/products/mod.rs", "n as Label"),
            ("ops/products/mod.rs", "(n + m) as Label"),
            ("ops/network/attention.rs", "n"),
            ("ops/network/attention.rs", "s.len() as isize"),
            ("ops/network/linear.rs", "first"),
            ("ops/network/linear.rs", "out.len()"),
            ("ops/network/linear.rs", "axis"),
            ("ops/network/linear.rs", "s.len()"),
            ("ops/network/options.rs", "n"),
            ("ops/network/pooling.rs", "n"),
            ("ops/network/pooling.rs", "from + n"),
            ("ops/network/windows.rs", "n"),
            ("ops/products/contract.rs", "all.len()"),
            ("ops/products/einsum.rs", "LETTERS + most"),
            ("ops/quantiles/mod.rs", "s.len() as isize - 1"),
            ("ops/index/sums.rs", "axis"),
            ("array/nested.rs", "place.len()"),
            ("ops/fourier/axis.rs", "after"),
        ],
    ),
    (
        "as long as a list of names, parts or operands that is there, and smaller",
        &[
            ("array/mod.rs", "cached.plan.steps.len()"),
            ("kernels/mod.rs", "names"),
            ("kernels/build.rs", "needed.len()"),
            ("kernels/expressions.rs", "n"),
            ("kernels/operands.rs", "names.len()"),
            ("kernels/program.rs", "self.steps.len()"),
            ("kernels/raw.rs", "inputs.len()"),
            ("kernels/raw.rs", "self.bindings.len()"),
            ("kernels/reduction.rs", "n"),
            ("array/device/choice.rs", "count"),
            ("io/formats/npz.rs", "members.len()"),
            ("io/formats/npz.rs", "self.members.len()"),
            ("io/formats/safetensors/mod.rs", "count"),
            ("io/formats/safetensors/mod.rs", "file.head.tensors.len()"),
            ("io/formats/safetensors/write.rs", "text.len().next_multiple_of(8)"),
            ("io/formats/text/read.rs", "wanted.len()"),
            ("io/formats/text/read.rs", "names.len()"),
            ("io/formats/text/read.rs", "columns.len()"),
            ("io/formats/zip.rs", "members.len()"),
            ("ops/matrices.rs", "flat.len()"),
            ("ops/sorting/mod.rs", "more"),
            ("ops/products/order.rs", "sets.len()"),
            ("ops/products/order.rs", "n"),
            ("array/profile/trace.rs", "text.len() + 2"),
            ("array/profile/trace.rs", "ends.len().max(free + 1)"),
        ],
    ),
    (
        "up to a limit that stands beside it, or that the type of the number is",
        &[
            ("ops/linalg/refined.rs", "count as i32"),
            ("kernels/expressions.rs", "*size as usize"),
            ("kernels/types.rs", "*size as usize"),
            ("kernels/types.rs", "n.get() as usize"),
            ("array/print/decimal.rs", "before.unsigned_abs() as usize"),
            ("io/formats/zip.rs", "tail_length as usize"),
            ("io/formats/zip.rs", "u16_at(&record, 26).into()"),
            ("io/formats/zip.rs", "u16_at(&record, 28).into()"),
            ("io/formats/zip.rs", "u16_at(&record, 30).into()"),
            ("io/formats/zip.rs", "u16_at(&record, 32).into()"),
            ("interop/serde/mod.rs", "first"),
            ("io/mod.rs", "header_length as usize"),
            ("io/header.rs", "preamble + length"),
            ("io/header.rs", "preamble + length - 1"),
            ("io/header.rs", "&[1, 0]"),
            ("io/header.rs", "&(length as u16).to_le_bytes()"),
            ("io/header.rs", "text.as_bytes()"),
            ("array/print/complex.rs", "im.len() - digits.len()"),
            ("array/print/complex.rs", "width - im.len()"),
            ("graph/routine/fft.rs", "count"),
            ("graph/routine/factor.rs", "vectors"),
            ("graph/routine/eig.rs", "vectors"),
            ("graph/routine/factor.rs", "2 * least"),
            ("ops/products/order.rs", "all"),
            ("ops/products/order.rs", "all + 1"),
        ],
    ),
    (
        "an iterator, of which nothing is kept",
        &[
            ("array/print/mod.rs", "before"),
            ("array/print/mod.rs", "after"),
            ("ops/movement/parts.rs", "self.each"),
            ("io/formats/text/mod.rs", "array.shape()[0]"),
        ],
    ),
    ("written to memory that the caller has taken by `room`", &[("base/dtype/element.rs", "elements")]),
    (
        "the meaning of a routine, which tests alone ask for",
        &[
            ("graph/routine/bincount.rs", "params[0] as usize"),
            ("graph/routine/fft.rs", "numbers"),
            ("graph/routine/lu.rs", "m as i128"),
            ("graph/routine/eig.rs", "a.len()"),
            ("graph/routine/eig.rs", "n"),
            ("graph/routine/eig.rs", "k"),
            ("graph/routine/eig.rs", "n * n"),
            ("graph/routine/factor.rs", "columns"),
            ("graph/routine/factor.rs", "rows"),
            ("graph/routine/factor.rs", "matrices"),
            ("graph/routine/factor.rs", "n"),
            ("graph/routine/factor.rs", "m"),
            ("graph/routine/sort.rs", "operands[0].len()"),
            ("graph/routine/sort.rs", "row.len()"),
            ("graph/routine/sort.rs", "key_digits + row_digits"),
            ("graph/routine/sums.rs", "keys.len()"),
            ("graph/routine/sums.rs", "at.get(s + 1).map_or(rows, |end| (*end).max(at[s] + 1))"),
            ("graph/routine/sums.rs", "length"),
            ("graph/routine/sums.rs", "segments"),
        ],
    ),
];

/// The position of the bracket that closes the one at `open`.
fn closing(text: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (i, c) in text[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + i;
        }
    }
    text.len()
}

/// The position of the innermost bracket that is open at a position.
fn opening(text: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, c) in text[..at].char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth == 0 => return Some(i),
            '(' | '[' | '{' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Splits a text at separators that are not within brackets, and trims the parts.
fn apart(text: &str, separators: &[char]) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0usize);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match parts.last_mut() {
            Some(part) if depth > 0 || !separators.contains(&c) => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|p| p.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The names of the methods that are chained behind a position.
fn methods(text: &str, mut at: usize) -> Vec<&str> {
    let mut names = vec![];
    while let Some(call) = text[at..].trim_start().strip_prefix('.') {
        let name = call.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let start = text.len() - call.len() + name.len();
        let Some(open) = text[start..].find('(').map(|i| start + i) else { break };
        // only a turbofish type may stand between the name and its arguments
        if !(open == start || text[start..].starts_with("::<")) {
            break;
        }
        names.push(name);
        at = closing(text, open) + 1;
    }
    names
}

/// The lengths of lists that a source makes, with their positions, except where the function checked room before.
fn lengths(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    // pushing into memory that a helper allocated does not exceed it, so that is allowed
    let has_room = |at: usize| {
        let body = &text[text[..at].rfind("fn ").unwrap_or(0)..at];
        ["room(", "room::<", "listed(", "of_length(", "try_reserve"].iter().any(|helper| body.contains(helper))
    };
    for (call, which) in CALLS {
        for (at, _) in text.match_indices(call) {
            let open = at + call.len() - 1;
            let given = apart(&text[open + 1..closing(text, open)], &[',']);
            let extends = [".resize(", "extend_from_slice("].contains(&call);
            // a `to_vec` of an array's bytes counts; other copied lists are shapes, which are short
            let copies = call == ".to_vec(" && text[..at].ends_with(".bytes()");
            if (call != ".to_vec(" || copies) && !(extends && has_room(at)) {
                let length = if copies { "bytes()" } else { &given[which.min(given.len() - 1)] };
                found.push((at, length.to_string()));
            }
        }
    }
    for (at, _) in text.match_indices("vec![") {
        if let [_, length] = &apart(&text[at + 5..closing(text, at + 4)], &[';'])[..] {
            found.push((at, length.clone()));
        }
    }
    for (at, _) in text.match_indices("..") {
        let end = at + 2 + text[at + 2..].starts_with('=') as usize;
        let begins = |c: char| c.is_alphanumeric() || "_(&*".contains(c);
        let Some(open) = opening(text, at).filter(|_| text[end..].starts_with(begins)) else { continue };
        let close = closing(text, open);
        if text[open..].starts_with('(') {
            let length = apart(&text[end..close.max(end)], &[',']).remove(0);
            let called = methods(text, close + 1);
            let before = |names: [&str; 2]| names.iter().any(|n| text[..open].ends_with(n));
            let collects = called.iter().any(|m| ["collect", "unzip", "to_vec"].contains(m));
            let extends = before(["extend(", "chain("]) || text[..=open].ends_with("extend(");
            if collects || (extends && !has_room(at)) {
                found.push((at, length));
            }
        } else if text[open..].starts_with('{') {
            // a `for` loop that pushes once per number
            let statement = text[open + 1..at].rsplit([';', '{', '}']).next().unwrap_or_default();
            let Some(body) = text[end..].find('{').map(|i| end + i) else { continue };
            let pushes = [".push(", ".extend("].iter().any(|p| text[body..closing(text, body)].contains(p));
            if statement.trim_start().starts_with("for ") && statement.contains(" in ") && pushes && !has_room(at) {
                found.push((at, text[end..body].trim().to_string()));
            }
        }
    }
    found
}

/// Whether a length is a constant, or is named as the number of axes.
fn is_few(length: &str) -> bool {
    let constant = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "_ +".contains(c);
    length.chars().all(constant)
        || ["shape.len()", "ndim", "axes.len()", "labels.len()"].iter().any(|n| length.contains(n))
}

#[test]
fn no_list_is_as_long_as_a_caller_says() {
    let src = root().join("src");
    let allowed: BTreeSet<(&str, &str)> = REASONS.iter().flat_map(|(_, places)| places.iter().copied()).collect();
    let (mut wrong, mut met, mut all) = (vec![], BTreeSet::new(), 0);
    for path in files(&src, "rs") {
        let below = below_root(&path);
        let name = below.trim_start_matches("src/");
        let room = name.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if INNER.contains(&room) || is_of_tests(name) {
            continue;
        }
        let text = code(&path);
        for (at, length) in lengths(&text) {
            all += 1;
            match allowed.iter().find(|place| **place == (name, &length)) {
                Some(place) => drop(met.insert(*place)),
                None if is_few(&length) => {}
                None => wrong.push(format!("{below}:{}: as long as `{length}`", text[..at].matches('\n').count() + 1)),
            }
        }
    }
    assert!(wrong.is_empty(), "lists without `room` or `listed` (src/base/error.rs):\n{}", wrong.join("\n"));
    assert!(all > 100, "only {all} lists were found");
    let gone: Vec<_> = allowed.difference(&met).collect();
    assert!(gone.is_empty(), "in the table, and not in the code: {gone:?}");
}

/// Tests that `lengths` finds what it should.
#[test]
fn lists_are_seen() {
    let seen = |text: &str| lengths(text).into_iter().map(|(_, n)| n).filter(|n| !is_few(n)).collect::<Vec<_>>();
    for (text, lengths) in [
        ("fn f() { (0..n).map(one).collect() }", vec!["n"]),
        ("fn f() { (a..e.0.shape[axis])\n.map(|i| (i, 2)).collect::<Vec<_>>() }", vec!["e.0.shape[axis]"]),
        ("fn f() { list.extend((0..=n).map(one)); v.extend(0..m); }", vec!["n", "m"]),
        ("fn f() { let mut list = room(n, OP, at)?; list.extend((0..n).map(one)); }", vec![]),
        ("fn g() { room(n) } fn f() { list.extend((0..n).map(one)); }", vec!["n"]),
        ("fn f() { for i in 0..n { list.push(i); } for i in 0..m { sum += i; } }", vec!["n"]),
        ("fn f() { vec![0; n * k]; smallvec![1; shape.len()]; vec![1, 2]; [0; 3] }", vec!["n * k"]),
        (
            "fn f() { Vec::with_capacity(n + 1); repeat_n(one, m); \" \".repeat(w); to.resize(k, 0); }",
            vec!["n + 1", "m", "w", "k"],
        ),
        (
            "fn f() { bytes.extend_from_slice(content.data.bytes()); data.bytes().to_vec() }",
            vec!["content.data.bytes()", "bytes()"],
        ),
        ("fn f() { (0..n).map(one).sum(); x[0..n].len(); S { a, ..b }; (0..MOST).collect() }", vec![]),
    ] {
        assert_eq!(seen(text), lengths, "{text}");
    }
}
