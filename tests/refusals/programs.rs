//! Programs that must not compile, each with the error that the compiler must give.

use super::public::root;
use crate::kit::stage::Stage;
use cupric::Device;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Error, why, the body of a function that has `x: Array` (mutable), `n: f32` and gives `cupric::Result<()>`.
const PROGRAMS: [(&str, &str, &str); 26] = [
    ("", "the control: this one must compile", "x.assign(&x * n + 1.0)?;"),
    ("E0368", "+= could not report an error", "x += 1.0;"),
    ("E0368", "nor could -=", "x -= &x.clone();"),
    ("E0369", "== could not report an error", "let _ = x == x;"),
    ("E0369", "nor could <", "let _ = x < x;"),
    ("E0608", "an index would have to give a reference", "let _ = &x[..];"),
    ("E0608", "nor a number", "let _ = x[0];"),
    ("E0277", "an f32 on the left would make literals ambiguous", "let _ = n * &x;"),
    ("E0277", "so would a u8", "let _ = 1u8 + &x;"),
    ("E0277", "text is no operand", "let _ = &x + \"1\";"),
    ("E0277", "nor is a Vec", "let _ = &x + vec![1.0];"),
    ("E0277", "text is no element", "let _ = array![\"one\", \"two\"];"),
    ("E0308", "elements have one type", "let _ = array![1.5, 2];"),
    ("E0308", "rows have one length", "let _ = array![[1.0, 2.0], [3.0]];"),
    ("E0277", "an axis is no float", "let _ = x.sum(1.0);"),
    ("E0277", "no such element type", "let _ = x.to_vec::<String>()?;"),
    ("E0277", "elements are not iterated over", "for _ in &x {}"),
    ("E0308", "an expression has not been computed", "let _: Array = &x + 1.0;"),
    ("E0308", "a comparison is an array", "if x.less(0.0) {}"),
    ("E0596", "a write needs the only handle", "let y = x; y.fill(0.0)?;"),
    (
        "E0499",
        "two views to write to",
        "let a = x.slice_mut(s![0]); let b = x.slice_mut(s![1]); a.fill(0)?; b.fill(0)?;",
    ),
    ("E0502", "a view to write to is exclusive", "x.slice_mut(s![..]).assign(&x * 2.0)?;"),
    ("E0505", "an array outlives its mutable view", "let v = x.slice_mut(s![0]); drop(x); v.fill(0)?;"),
    ("E0277", "operands are sealed", "struct Mine; impl Operand for Mine { fn into_arg(self) -> Arg { todo!() } }"),
    (
        "E0004",
        "more dtypes may come",
        "use DType::*; match x.dtype() { Bool | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64 | F16 | BF16 | F32 | F64 => {} }",
    ),
    ("E0004", "more kinds of errors may come", "match x.fill(0).unwrap_err().kind() { ErrorKind::Shape => {} }"),
];

/// What the compiler must say, and to which bodies: where its own words would not lead to what to write.
const TEXTS: [(&str, &str); 13] = [
    ("let _ = n * &x;", "a number of type `f32` cannot stand on the left of an array"),
    ("let _ = n * &x;", "write the array first, as `&x * n`, or the number as an expression, as `Expr::from(n) - &x`"),
    ("let _ = (x.ndim() - x.exp()).abs();", "a number of type `usize` cannot stand on the left of an array"),
    ("let _ = 1u8 << x;", "a number of type `u8` cannot stand on the left of an array"),
    ("let _ = x.slice(s![:, 0]);", "`:, 0` is no item of `s!`. Write `..` for NumPy's `:`"),
    ("let _ = x.slice(s![0, :]);", "`:` is no item of `s!`. Write `..` for NumPy's `:`"),
    ("let _ = x.slice(s![1:3]);", "is no item of `s!`. Write `..` for NumPy's `:`, `a..b` for `a:b`"),
    ("let _ = x.slice(s![::2]);", "is no item of `s!`. Write `..` for NumPy's `:`"),
    ("let _ = x.slice(s![.., ::-1]);", "is no item of `s!`. Write `..` for NumPy's `:`"),
    ("let _ = x.sum(1.0);", "`{float}` names no axes"),
    ("let _ = x.reshape(\"2\");", "`&str` is no shape"),
    ("let _ = x.take(0, \"rows\");", "`&str` is no integer"),
    ("let _ = Array::from_nested(vec![\"one\"]);", "`Vec<&str>` is no nested list of elements"),
];

/// What the compiler says to a program with one of the built libraries; `None` if it took it.
fn compile(library: &Path, body: &str, at: &Path) -> Option<String> {
    let text = format!(
        "#![allow(unused)]\nuse cupric::*;\nfn f(mut x: Array, n: f32) -> cupric::Result<()> {{\n{body}\nOk(())\n}}\nfn main() {{}}\n"
    );
    let source = at.join("program.rs");
    std::fs::write(&source, text).expect("a file in the target folder");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition", "2024", "--emit=metadata", "--crate-type=bin", "-o"]).arg(at.join("program.rmeta"));
    rustc.arg("-L").arg(library.parent().expect("a folder")).arg("--extern");
    rustc.arg(format!("cupric={}", library.display())).arg(source);
    let output = rustc.output().expect("rustc runs");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The libraries that lie beside this program, newest first: which one it was built with is not said.
fn libraries() -> Vec<PathBuf> {
    let program = std::env::current_exe().expect("this program");
    let files = std::fs::read_dir(program.parent().expect("a folder")).expect("a folder of libraries");
    let name = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libcupric-"));
    let mut found: Vec<PathBuf> = files
        .map(|f| f.expect("a name").path())
        .filter(|p| name(p) && p.extension().is_some_and(|e| e == "rlib"))
        .collect();
    found.sort_by_key(|p| std::cmp::Reverse(std::fs::metadata(p).and_then(|m| m.modified()).expect("a time")));
    found
}

#[test]
fn programs_that_must_not_compile() {
    let mut stage = Stage::new(1, "must not compile", &Device::cpu());
    let at = root().join("target").join(format!("refusals-{}", std::process::id()));
    std::fs::create_dir_all(&at).expect("a folder");
    let (_, _, control) = PROGRAMS[0];
    let library = libraries().into_iter().find(|l| compile(l, control, &at).is_none());
    let library = library.expect("a library with which the control compiles");
    let mut wrong = vec![];
    for (code, why, body) in &PROGRAMS[1..] {
        match compile(&library, body, &at) {
            None => wrong.push(format!("{why}: it compiles: {body}")),
            Some(text) if !text.contains(&format!("error[{code}]")) => {
                wrong.push(format!("{why}: not {code}: {body}\n{text}"));
            }
            Some(_) => stage.count(1),
        }
    }
    for (body, want) in &TEXTS {
        match compile(&library, body, &at) {
            None => wrong.push(format!("it compiles: {body}")),
            Some(text) if !text.contains(want) || text.contains("recursion limit") => {
                wrong.push(format!("{body} does not say: {want}\n{text}"));
            }
            Some(_) => stage.count(1),
        }
    }
    std::fs::remove_dir_all(&at).expect("the folder goes");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
