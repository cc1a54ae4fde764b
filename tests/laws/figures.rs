//! The tables of measured figures must come from a named run.

use super::claims::{between, cells, read};

const SPEED: [&str; 2] = ["<!-- begin: written by benches/python/speed.py -->", "<!-- end -->"];

/// The table of the README comes from a run whose machine and commit it names.
#[test]
fn the_speed_table_says_where_it_is_from() {
    let page = read("README.md");
    let (table, long) = (between(&page, SPEED[0], SPEED[1]), read("docs/BENCHMARKS.md"));
    let long = between(&long, SPEED[0], SPEED[1]);
    for word in ["threads; limits for arrays of", "Commit ", "A library's figure is its time over ours (NumPy "] {
        assert!(table.contains(word) && long.contains(word), "a table of figures lacks {word}");
    }
    // five rows of the same run as the page; the README's list of library versions after the tables may differ
    assert_eq!(table.split("(NumPy").next(), long.split("(NumPy").next());
    let (few, all) = (cells(table), cells(long));
    assert_eq!(few[0][4..], ["NumPy", "PyTorch", "JAX", "numr"]);
    assert_eq!(few.len(), 1 + 5);
    let at = |head: &str| all[0].iter().position(|h| *h == head).unwrap_or_else(|| panic!("no column {head}"));
    for row in &few[1..] {
        let same = all[1..].iter().find(|r| r[..2] == row[..2]).unwrap_or_else(|| panic!("{row:?} is not on the page"));
        for (head, cell) in few[0].iter().zip(row) {
            assert_eq!(same[at(head)], *cell, "{head} of {row:?}");
        }
    }
    // a sentence above the table quotes this row
    let row = few.iter().find(|r| r[0] == "a + b of 8 elements").expect("the row");
    assert!(
        page.contains(&format!("an addition of 8 elements takes {}", row[2])),
        "README.md quotes another time than {}",
        row[2]
    );
}

/// The benchmark page has all rows that its command measures, a column for every library, the facts about the machine,
/// and every row in which another library is faster.
#[test]
fn the_page_of_figures_is_one_run() {
    let (page, script) = (read("docs/BENCHMARKS.md"), read("benches/python/speed.py"));
    for command in
        ["cargo bench --bench backends -- --filter \"$(python3 benches/python/speed.py --filter)\"", "--rust-peers"]
    {
        assert!(page.contains(command) && script.contains(command), "no command {command}");
    }
    let written = between(&page, SPEED[0], SPEED[1]);
    assert_eq!(written.matches("Commit ").count(), 1);
    let all = cells(written);
    let (heads, rows) = (&all[0], &all[1..]);
    assert_eq!(heads[..6], ["work", "shape", "time", "spread", "rate", "share of the limit"]);
    assert_eq!(heads[6..], ["NumPy", "PyTorch", "JAX", "numexpr", "numba", "candle", "ferray", "ndarray", "numr"]);
    for library in &heads[6..] {
        let versions = between(written, "its time over ours (", ")");
        assert!(versions.contains(&format!("{library} ")), "no version of {library}");
    }
    assert!(rows.iter().all(|r| r.len() == heads.len()), "a row lacks a cell");
    assert!(read("README.md").contains(&format!("all {} beside nine libraries", rows.len())));
    let disturbed = rows.iter().filter(|r| r[3].ends_with('~')).count();
    let says = format!("Disturbed rows, marked `~`: {disturbed} of {}.", rows.len());
    assert!(written.contains(&says), "the page does not say: {says}");
    // faster than 0.95 of our time; the table rounds to two digits
    let figure = |cell: &str| cell.trim_end_matches('×').parse::<f64>().ok();
    let slower = rows.iter().filter(|r| r[6..].iter().filter_map(|c| figure(c)).any(|ratio| ratio < 0.945));
    // the list may have a row more, whose figure is rounded to 0.95
    let listed = written.lines().filter(|l| l.starts_with("* ")).count();
    let says = format!("the {listed} rows in which another library is faster");
    assert!(read("README.md").contains(&says), "README.md does not contain: {says}");
    for row in slower {
        let line = written.lines().find(|l| l.starts_with(&format!("* {}, {}: ", row[0], row[1])));
        let line = line.unwrap_or_else(|| panic!("the list of what is slower lacks {row:?}"));
        for (library, ratio) in heads[6..].iter().zip(&row[6..]).filter(|(_, c)| figure(c).is_some_and(|r| r < 0.945)) {
            assert!(line.contains(&format!("{library} {ratio}")), "{line} lacks {library}");
        }
    }
}
