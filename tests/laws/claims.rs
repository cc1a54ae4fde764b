//! Tests prove the claims of the README, the pages in `docs/` and the guide. A sentence with a number or an "always"
//! names its test in an HTML comment, and the output that the README shows must be what the library prints.

use crate::root;
use cupric::{Array, DType, Rng, array, keep, zeros};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The pages in which claims must name their tests.
const PAGES: [&str; 11] = [
    "README.md",
    "docs/COMPARISON.md",
    "docs/FEATURES.md",
    "docs/LIMITS.md",
    "docs/TOUR.md",
    "src/guide/accuracy.md",
    "src/guide/laziness.md",
    "src/guide/views.md",
    "src/guide/derivatives.md",
    "src/guide/devices.md",
    "src/guide/numpy.md",
];

/// Words that promise something. Digits count as promises too.
const PROMISES: [&str; 5] = ["always", "never", "nothing", "everything", "whatever"];

pub fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The text of all files below a folder whose names end with `ends`.
fn sources(folder: &Path, ends: &str, into: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.to_string_lossy().replace('\\', "/");
        if path.is_dir() {
            sources(&path, ends, into);
        } else if name.ends_with(ends) {
            into.push((name, fs::read_to_string(&path).expect("a readable file")));
        }
    }
}

/// The names of tests in a piece of text: those of its comments `<!-- test: a::b, c::d -->`.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let comments = text.split("<!-- test: ").skip(1).filter_map(|c| c.split(" -->").next());
    comments.flat_map(|names| names.split(", "))
}

/// Splits a page into paragraphs, list items and tables, each with the comments behind it; no code, no titles.
fn pieces(page: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let (mut code, mut generated, mut table) = (false, false, false);
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
            continue;
        }
        generated |= line.starts_with("<!-- begin");
        let skip = code || generated || line.starts_with('#');
        generated &= !line.starts_with("<!-- end");
        let begins = line.is_empty() || line.starts_with("* ") || (line.starts_with('|') && !table);
        table = line.starts_with('|');
        // a comment on its own line belongs to the piece before it
        if begins && !skip && pieces.last().is_some_and(|p| !p.is_empty()) {
            pieces.push(String::new());
        }
        let last = pieces.len() - 1;
        let own = line.starts_with("<!-- test: ") && pieces[last].is_empty() && last > 0;
        if !skip && !line.is_empty() {
            pieces[last - own as usize] += &format!("{line}\n");
        }
    }
    pieces
}

/// The text of a piece that a reader sees: no comments, no quoted code, no link targets.
fn seen(piece: &str) -> String {
    let mut text = String::new();
    for (i, part) in piece.split("<!--").enumerate() {
        text += if i == 0 { part } else { part.split_once("-->").map_or("", |(_, rest)| rest) };
    }
    let text: String = text.split('`').step_by(2).collect();
    text.split("](")
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once(')').map_or("", |p| p.1) })
        .collect()
}

#[test]
fn claims_have_tests() {
    let mut without = vec![];
    for page in PAGES {
        for piece in pieces(&read(page)) {
            let text = seen(&piece).to_lowercase();
            let promises = PROMISES.iter().any(|p| text.split(|c: char| !c.is_alphabetic()).any(|word| word == *p));
            // a number within a name (f32, 2-D, Apache-2.0) needs no test
            let number = |w: &str| w.starts_with(|c: char| c.is_ascii_digit()) && !w.ends_with("-D");
            let numbers = text.split(|c: char| !c.is_alphanumeric() && !['-', '.'].contains(&c)).any(number);
            if (promises || numbers) && named(&piece).next().is_none() {
                without.push(format!("{page}: {piece}"));
            }
        }
    }
    assert!(
        without.is_empty(),
        "{} claims name no test (`<!-- test: file::function -->` after them):\n{}",
        without.len(),
        without.join("\n")
    );
}

#[test]
fn named_tests_exist() {
    let mut files = vec![];
    sources(&root().join("tests"), ".rs", &mut files);
    sources(&root().join("src"), ".rs", &mut files);
    let mut pages = vec![("README.md".to_string(), read("README.md"))];
    sources(&root().join("docs"), ".md", &mut pages);
    sources(&root().join("src/guide"), ".md", &mut pages);
    let (mut lost, mut count) = (vec![], 0);
    for (page, text) in &pages {
        for name in named(text) {
            count += 1;
            let (file, function) =
                name.rsplit_once("::").unwrap_or_else(|| panic!("{page}: {name} is no file::function"));
            let part = format!("/{}", file.replace("::", "/"));
            let there = |(path, text): &&(String, String)| {
                let path = path.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/main");
                path.ends_with(&part)
                    && (text.contains(&format!("fn {function}(")) || text.contains(&format!("    {function}: ")))
            };
            if files.iter().find(there).is_none() {
                lost.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(lost.is_empty(), "no such tests: {}", lost.join(", "));
    assert!(count > 10, "only {count} tests are named");
}

/// The part of a page between two strings.
pub fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("the page lacks {from:?}"));
    rest.split_once(to).unwrap_or_else(|| panic!("the page lacks {to:?} after {from:?}")).0
}

/// Replaces a position in this file by the one in a reader's program: `src/main.rs`, the line in the README's program,
/// and the column, if any. The column stays, because `main` has the same indentation as functions here.
fn as_in_a_program(text: &str, line: usize) -> String {
    let (before, rest) = text.split_once(file!()).unwrap_or_else(|| panic!("{text} names no line of {}", file!()));
    let end = rest.find(|c: char| c != ':' && !c.is_ascii_digit()).unwrap_or(rest.len());
    let column = rest[..end].split(':').nth(2).map(|c| format!(":{c}"));
    format!("{before}src/main.rs:{line}{}{}", column.unwrap_or_default(), &rest[end..])
}

/// The number of the program's line (from 1) that contains a text.
fn line_of(program: &str, text: &str) -> usize {
    let at = program.lines().position(|l| l.contains(text));
    at.unwrap_or_else(|| panic!("the README's program lacks {text}")) + 1
}

#[test]
fn what_the_readme_prints() -> cupric::Result<()> {
    let page = read("README.md");
    let shown = between(&page, "## What it prints", "## Compared with other libraries");
    let blocks: Vec<&str> = shown.split("```").skip(1).step_by(2).collect();
    let [program, output] = blocks[..] else { panic!("two blocks, not {}", blocks.len()) };
    let program = program.trim_start_matches("rust\n");

    // this test runs the page's statements: this file must contain each of them
    let statements = program.lines().map(|l| l.split("//").next().unwrap_or_default().trim());
    let statements: Vec<&str> = statements.filter(|l| l.starts_with("let ")).collect();
    assert_eq!(statements.len(), 4, "{program}");
    for statement in statements {
        assert!(include_str!("claims.rs").contains(statement), "this test does not run the README's line {statement}");
    }
    let x = Rng::new(0).normal([1000, 512], DType::F32).eval()?;
    let p = x.softmax(-1);
    let plan = p.plan()?.to_string();
    let p = p.eval()?;
    let e = (&p * zeros([3, 4], DType::F32)).sum(0);
    let error = e.eval().unwrap_err().to_string();

    // the page leaves out the plan's lines about this machine's hardware
    let plan = plan.split("    schedule:").next().unwrap_or_default();
    let plan = as_in_a_program(plan, line_of(program, "softmax"));
    let error = as_in_a_program(&error, line_of(program, "let e ="));
    assert_eq!(output.trim_start_matches("text\n"), format!("{plan}    …\n{error}\n"));
    assert_eq!(p.shape(), [1000, 512]);
    Ok(())
}

/// The README stays short enough to read. Details belong to the pages in `docs/`.
#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 120, "README.md has {lines} lines");
}

#[test]
fn what_is_one_kernel() -> cupric::Result<()> {
    let mut rng = Rng::new(0);
    let mut normal = |shape: [usize; 2]| rng.normal(shape, DType::F32).eval();
    let (a, b, w) = (normal([100, 64])?, normal([100, 64])?, normal([64, 32])?);
    let rows = Array::from_vec(vec![3i32, 1, 4], [3])?;
    let noise = Rng::new(1).normal([100, 64], DType::F32);
    for (what, e) in [
        ("a chain", &a * 2.0 + &b),
        ("a cast, a view, random numbers", (a.astype(DType::F16).t().t() + noise).exp()),
        ("a gather", a.take(rows, 0) * 0.5),
        ("a reduction and what leads to it", (&a - &b).square().sum(..)),
        ("softmax", a.softmax(-1)),
        ("softmax by hand", {
            let e = (&a - a.max(keep(-1))).exp();
            &e / e.sum(keep(-1))
        }),
        ("layer norm", a.layer_norm(-1, 1e-5)),
        ("bias, activation and cast", (a.matmul(&w) + array![0.5]).relu().astype(DType::F16)),
    ] {
        let plan = e.plan()?;
        assert_eq!(plan.kernels(), 1, "{what}:\n{plan}");
    }
    assert_eq!(((&a - a.mean(0)) / (a.std(0) + 1e-6)).plan()?.kernels(), 3, "the tour's standardised columns");
    Ok(())
}

/// The number of packages in a Linux build with these features, including this one.
fn packages(features: &str) -> usize {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]).current_dir(root());
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--no-default-features", "--features", features]);
    let output = cargo.output().expect("cargo");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter(|l| !l.is_empty());
    // keep only name and version; a marker behind them says that a package was listed before
    names.map(|l| l.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect::<BTreeSet<_>>().len()
}

#[test]
fn packages_of_the_features() {
    let (readme, page, docs) = (read("README.md"), read("docs/FEATURES.md"), read("src/lib.rs"));
    let manifest = read("Cargo.toml");
    let features = manifest.split_once("\n[features]\n").expect("features").1;
    let features = features.lines().take_while(|l| !l.starts_with('['));
    let names: Vec<&str> =
        features.filter(|l| !l.starts_with('#')).filter_map(|l| Some(l.split_once(" = ")?.0)).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names.into_iter().filter(|n| !["default", "testing"].contains(n)) {
        let row = format!("//! | `{name}` |");
        let row =
            docs.lines().find(|l| l.starts_with(&row)).unwrap_or_else(|| panic!("src/lib.rs has no row for {name}"));
        let last = row.trim_end_matches(" |").rsplit("| ").next().unwrap_or_default();
        assert_eq!(last, packages(name).to_string(), "packages of {name} in src/lib.rs");
        assert!(page.contains(&format!("| `{name}` |")), "docs/FEATURES.md has no row for {name}");
    }
    let (none, cpu, all) = (packages(""), packages("rayon"), packages("default"));
    let says = format!("without any feature there are {none}, with the default ones {all}.");
    assert!(docs.contains(&says), "src/lib.rs does not say: {says}");
    let says = format!("A build for the CPU alone has {cpu} packages, one with GPUs {all}.");
    assert!(readme.contains(&says), "README.md does not contain: {says}");
    let says = format!("it adds naga and its dependencies, {} packages", packages("kernels") - none);
    assert!(page.contains(&says), "docs/FEATURES.md does not contain: {says}");
}

/// The features in a table of a page: the names in the first column of each row, and the cell after it.
fn rows_of_features(page: &str) -> BTreeMap<String, String> {
    let rows = page.lines().map(|l| l.trim_start_matches("//! "));
    let rows = rows.skip_while(|l| !l.starts_with("| feature |")).skip(2).take_while(|l| l.starts_with('|'));
    let cells = |l: &str| {
        let mut cells = l.trim_matches('|').split(" | ").map(|c| c.trim().replace('`', ""));
        (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
    };
    rows.map(cells).collect()
}

/// Each table lists the features of the manifest, no others, and which of them are enabled by default.
#[test]
fn the_tables_of_features_are_those_of_the_manifest() {
    let manifest = read("Cargo.toml");
    let section = manifest.split_once("\n[features]\n").expect("features").1;
    let lines = section.lines().take_while(|l| !l.starts_with('[')).filter(|l| !l.starts_with('#'));
    let mut features: BTreeMap<&str, &str> = lines.filter_map(|l| l.split_once(" = ")).collect();
    let by_default = features.remove("default").expect("default features");
    assert!(features.remove("testing").is_some() && features.len() > 5, "{features:?}");
    let is_default = |name: &str| by_default.contains(&format!("\"{name}\""));
    let want: BTreeMap<String, String> = features
        .keys()
        .map(|name| (name.to_string(), if is_default(name) { "yes" } else { "no" }.to_string()))
        .collect();
    for page in ["src/lib.rs", "docs/FEATURES.md"] {
        assert_eq!(rows_of_features(&read(page)), want, "{page}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let (readme, page, docs) = (read("README.md"), read("docs/FEATURES.md"), read("src/lib.rs"));
    let [version, rust] = [env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_RUST_VERSION")];
    let version = version.trim_end_matches(".0");
    assert!(page.contains(&format!("cupric = {{ version = \"{version}\"")));
    assert!(readme.contains(&format!("this is version {version}.")));
    // the sentence may be broken into two lines
    for page in [&readme, &page] {
        assert!(page.replace('\n', " ").contains(&format!("Rust {rust} or newer")));
    }
    assert!(docs.contains(&format!("Rust {rust} is the oldest")));
}

/// The comparison page has every cell and a date, and the README shows some of its rows.
#[test]
fn the_comparison_has_a_date_and_a_cell_for_each() {
    let (readme, page) = (read("README.md"), read("docs/COMPARISON.md"));
    let table = between(&readme, "## Compared with other libraries", "## Speed");
    let (few, all) = (cells(table), cells(&page));
    assert!(table.contains("November 2026") && page.contains("November 2026"));
    assert_eq!(all.len(), 1 + 10, "a head and ten rows");
    assert!(all.iter().all(|r| r.len() == all[0].len()), "a row lacks a cell");
    let filled = |row: &Vec<&str>| row[1..].iter().all(|cell| !cell.is_empty() && *cell != "?");
    assert!(all.iter().all(filled), "a cell is empty");
    assert!(few.len() > 6 && few[0] == all[0], "{few:?}");
    for row in &few {
        assert!(all.contains(row), "{row:?} is not a row of docs/COMPARISON.md");
    }
    // libraries that the benchmarks name have the same versions in the comparison
    let versions = read("docs/BENCHMARKS.md");
    let versions = between(&versions, "its time over ours (", ")").split(", ");
    for version in versions.filter(|v| all[0].iter().any(|library| v.starts_with(&format!("{library} ")))) {
        assert!(page.contains(version), "docs/COMPARISON.md lacks {version}");
    }
}

#[test]
fn the_numpy_chapter_has_as_many_lines() {
    let chapter = read("src/guide/numpy.md");
    let table = between(&chapter, "<!-- begin: written by the tests -->", "<!-- end -->");
    let lines = table.lines().filter(|l| l.starts_with("| `")).count();
    for page in ["README.md", "docs/FEATURES.md"] {
        assert!(read(page).contains("more than 250 lines") && lines > 250, "{page}: {lines} lines");
    }
}

#[test]
fn counts_of_what_is_there() {
    let page = read("docs/FEATURES.md");
    assert!(read("README.md").contains("thirteen dtypes") && DType::ALL.len() == 13);
    let counts = between(&read("docs/array-api.md"), "<!-- begin: written by the tests -->\n\n", " names are there.")
        .replace("of", "of its");
    assert!(page.contains(&format!("{counts} names")), "docs/FEATURES.md does not contain: {counts} names");

    let mut files = vec![("random.rs".to_string(), read("src/ops/random.rs"))];
    sources(&root().join("src/ops/distributions"), ".rs", &mut files);
    let functions = files.iter().flat_map(|(_, text)| text.split("\n    pub fn ").skip(1));
    let names = functions
        .filter_map(|f| f.split_once('('))
        .filter(|(_, rest)| rest.trim_start().starts_with("&mut self"))
        .map(|f| f.0);
    // exclude the generator's other functions, and those that draw positions
    let others = ["split", "permutation", "shuffle", "multivariate_normal_with_factor"];
    let draws: BTreeSet<&str> = names.filter(|n| !others.contains(n) && !n.starts_with("choice")).collect();
    let says = format!("{} distributions", draws.len());
    assert!(page.contains(&says), "docs/FEATURES.md does not contain: {says}: {draws:?}");
}

/// The cells of a table's rows, including the header row but not the separator below it.
pub fn cells(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().filter(|l| l.starts_with('|') && !l.starts_with("|---"));
    rows.map(|l| l.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// A function's bounds in a dtype, on the CPU and on a GPU, from `tests/data/contract.csv`.
fn bounds(contract: &str, function: &str, dtype: &str) -> [f64; 2] {
    let of = |cells: &[&str]| cells[0].split(' ').any(|f| f == function) && cells[1].split(' ').any(|d| d == dtype);
    let mut lines =
        contract.lines().map(|l| l.split(',').collect::<Vec<_>>()).filter(|cells| cells.len() == 4 && of(cells));
    let line = lines.next().unwrap_or_else(|| panic!("no bound of {function} in {dtype}"));
    [line[2], line[3]].map(|bound| bound.parse().unwrap_or_else(|_| panic!("{function}: {bound} is no number")))
}

#[test]
fn the_accuracy_chapter_has_the_bounds_of_the_contract() {
    let (chapter, contract) = (read("src/guide/accuracy.md"), read("tests/data/contract.csv"));
    let table = between(&chapter, "| | CPU | GPU |\n|---|---|---|\n", "\n\n");
    let mut count = 0;
    for row in table.lines().filter(|l| l.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        // the numbers in a cell: one for all functions of the row, or one for each
        let numbers = |cell: &str| -> Vec<f64> {
            let words = cell.split(|c: char| c == ',' || c.is_whitespace());
            words.filter_map(|w| if w == "correctly" { Some(0.0) } else { w.parse().ok() }).collect()
        };
        let names: Vec<&str> = cells[1].split([' ', ',']).filter(|n| !n.is_empty()).collect();
        for (i, name) in names.iter().enumerate() {
            let function = match *name {
                "+" | "−" => "add",
                "×" => "multiply",
                "÷" => "divide",
                "√" => "sqrt",
                name => name,
            };
            let said = [cells[2], cells[3]].map(numbers).map(|n| n.get(i).or(n.first()).copied());
            assert_eq!(said, bounds(&contract, function, "f32").map(Some), "{function}: {row}");
            // the sentence below the table gives the bounds of f64
            let (four, exact) = (["pow", "tan", "tanh", "sinh", "erfc"], ["add", "multiply"]);
            let double = match function {
                "divide" | "sqrt" => [0.0, 2.5],
                f if exact.contains(&f) => [0.0; 2],
                f if four.contains(&f) => [4.0; 2],
                _ => [2.0; 2],
            };
            assert_eq!(bounds(&contract, function, "f64"), double, "{function} in f64");
            count += 1;
        }
    }
    assert!(count > 12, "{count} functions");
    assert!(chapter.contains("2, and 4 for `pow`, `tan`, `erfc` and the hyperbolic functions"));
}

#[test]
fn the_drivers_of_the_tests() {
    let (readme, page, script) = (read("README.md"), read("docs/LIMITS.md"), read("tests/run"));
    for (ours, theirs) in [
        ("Mesa's lavapipe", "mesa-vulkan-drivers"),
        ("SwiftShader", "vk_swiftshader_icd.json"),
        ("in Chromium 156 on SwiftShader", "type -P chromium"),
    ] {
        let named = readme.contains(ours) && page.contains(ours);
        assert!(named && script.contains(theirs), "tests/run does not run on {ours}");
    }
    assert!(script.contains("(special_values layouts boundaries int64)"));
}

/// The links of the README and of the pages in `docs/` lead to existing files, and links with `#` to existing headings.
#[test]
fn what_the_readme_links_to_is_there() {
    let mut pages = vec![(root().join("README.md").to_string_lossy().into_owned(), read("README.md"))];
    sources(&root().join("docs"), ".md", &mut pages);
    let mut count = 0;
    for (page, text) in &pages {
        for target in text.split("](").skip(1).filter_map(|l| l.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.into() } else { Path::new(page).with_file_name(file) };
            assert!(path.exists(), "{page} links to {file}");
            let anchor = |l: &str| l.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
            let headings = || fs::read_to_string(&path).expect("a readable page");
            assert!(
                heading.is_empty() || headings().lines().any(|l| l.starts_with('#') && anchor(l) == heading),
                "{page} links to {target}"
            );
            count += usize::from(page.ends_with("README.md"));
        }
    }
    assert!(count > 10, "{count} links");
    // the picture must be small enough to load quickly
    let picture = fs::metadata(root().join("docs/picture.png")).expect("the picture").len();
    assert!(picture < 200_000, "docs/picture.png has {picture} bytes");
}
