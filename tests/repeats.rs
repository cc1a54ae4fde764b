//! Work that is done twice, and found: what is evaluated again, and writes that copy because their memory is shared.

use crate::kit::*;
use cupric::*;

/// A device of the test's own on the same hardware that looks for these. Other tests of the device would be counted too.
fn looking(d: &Device, kinds: impl IntoIterator<Item = Repeat>) -> Device {
    let device = own(d);
    device.find_repeats(kinds);
    device
}

/// What was found, by kind, operation, line and count.
fn found(d: &Device) -> Vec<(Repeat, &'static str, u32, u64)> {
    let work = d.repeated_work();
    work.rows()
        .map(|row| {
            assert_eq!(row.line.file(), file!());
            (row.kind, row.operation, row.line.line(), row.count)
        })
        .collect()
}

on_devices! {

fn an_expression_evaluated_twice_is_found(d: &Device) {
    let d = &looking(d, [Repeat::Again]);
    let x = put(d, vec![1.0f32, 2.0, 3.0], &[3]);
    let (y, line) = ((&x + 1.0).sqrt(), line!());
    y.eval().unwrap();
    assert_eq!(found(d), []);
    for n in 1..4 {
        y.eval().unwrap();
        // not the addition, which is computed again for the root alone
        assert_eq!(found(d), [(Repeat::Again, "sqrt", line, n)]);
    }
    // reads and writes evaluate as well
    y.to_vec::<f32>().unwrap();
    let mut z = zeros([3], DType::F32).to_device(d).unwrap();
    z.assign(&y).unwrap();
    assert_eq!(found(d), [(Repeat::Again, "sqrt", line, 5)]);
    // an array is computed already, and the same formula written again is another expression
    d.find_repeats([Repeat::Again]);
    for _ in 0..3 {
        x.eval().unwrap();
        (&x + 1.0).sqrt().eval().unwrap();
        x.slice(s![..2]).eval().unwrap();
    }
    assert_eq!(found(d), []);
}

fn what_two_evaluations_share_is_found(d: &Device) {
    let d = &looking(d, [Repeat::Again]);
    let x = put(d, vec![1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    let (y, line) = (x.exp(), line!());
    y.sum(..).eval().unwrap();
    y.t().max(..).eval().unwrap();
    assert_eq!(found(d), [(Repeat::Again, "exp", line, 1)]);
    // of two that are shared each is named, where neither is needed for the other alone
    d.find_repeats([Repeat::Again]);
    let (y, z, lines) = (x.exp(), x.log(), line!());
    (&y + &z).eval().unwrap();
    (&y * &z).eval().unwrap();
    let mut all = found(d);
    all.sort_unstable();
    assert_eq!(all, [(Repeat::Again, "exp", lines, 1), (Repeat::Again, "log", lines, 1)]);
    // results of one plan share their work
    d.find_repeats([Repeat::Again]);
    let y = x.exp();
    eval_all([&y, &y.sum(..), &y]).unwrap();
    assert_eq!(found(d), []);
    // and what is kept is not computed again
    let y = x.exp().eval().unwrap();
    y.sum(..).eval().unwrap();
    y.max(..).eval().unwrap();
    assert_eq!(found(d), []);
}

fn what_failed_was_not_computed(d: &Device) {
    let d = &looking(d, [Repeat::Again]);
    let x = put(d, vec![1.0f32, 2.0], &[2]);
    d.check([Check::Nan]);
    let y = (&x - 5.0).sqrt();
    for _ in 0..3 {
        assert_eq!(y.eval().map(|_| ()).unwrap_err().kind(), ErrorKind::Check);
    }
    d.check([]);
    y.eval().unwrap();
    assert_eq!(found(d), []);
}

fn a_write_that_copies_is_found(d: &Device) {
    let d = &looking(d, [Repeat::Copy]);
    let mut x = put(d, vec![1.0f32, 2.0, 3.0], &[3]);
    x.update(|x| x * 2.0).unwrap();
    x.set(s![..1], 5.0).unwrap();
    x.assign(&x * 2.0).unwrap();
    assert_eq!(found(d), []);
    let before = x.clone();
    let line = line!() + 1;
    x.update(|x| x * 2.0).unwrap();
    assert_eq!(found(d), [(Repeat::Copy, "update", line, 1)]);
    // now the memory is the array's own again
    x.update(|x| x * 2.0).unwrap();
    assert_eq!(found(d), [(Repeat::Copy, "update", line, 1)]);
    // an expression holds it as well, and a part may be written
    let doubled = &x * 2.0;
    let set = line!() + 1;
    x.set(s![1..], 9.0).unwrap();
    assert_eq!(found(d).last(), Some(&(Repeat::Copy, "set", set, 1)));
    let shared = x.clone();
    let part = line!() + 1;
    x.slice_mut(s![..2]).fill(7.0).unwrap();
    assert_eq!(found(d).last(), Some(&(Repeat::Copy, "fill", part, 1)));
    assert_eq!(before.to_vec::<f32>().unwrap(), [10., 8., 12.]);
    assert_eq!(doubled.to_vec::<f32>().unwrap(), [80., 64., 96.]);
    assert_eq!(shared.to_vec::<f32>().unwrap(), [40., 9., 9.]);
    assert_eq!(x.to_vec::<f32>().unwrap(), [7., 7., 9.]);
}

fn what_is_not_looked_for_is_not_found(d: &Device) {
    let d = &looking(d, [Repeat::Copy]);
    let mut x = put(d, vec![1.0f32, 2.0, 3.0], &[3]);
    let y = x.exp();
    let work = |x: &mut Array| {
        y.eval().unwrap();
        y.eval().unwrap();
        let held = x.clone();
        x.update(|x| x + 1.0).unwrap();
        assert_eq!(held.size(), 3);
    };
    work(&mut x);
    assert_eq!(found(d).iter().map(|row| row.0).collect::<Vec<_>>(), [Repeat::Copy]);
    d.find_repeats([Repeat::Again]);
    work(&mut x);
    assert_eq!(found(d).iter().map(|row| row.0).collect::<Vec<_>>(), [Repeat::Again]);
    d.find_repeats([]);
    work(&mut x);
    assert_eq!(found(d), []);
    assert_eq!(d.repeated_work().to_string(), "kind  operation  count  line\n");
}

fn nodes_are_told_apart_after_they_end(d: &Device) {
    let d = &looking(d, [Repeat::Again]);
    let x = put(d, vec![1.0f32, 2.0], &[2]);
    // each node is freed before the next is made, which may lie at the same place
    for _ in 0..200 {
        x.exp().eval().unwrap();
    }
    assert_eq!(found(d), []);
}
}

/// A logger that keeps what `cupric::again` and `cupric::copy` say.
struct Kept(std::sync::Mutex<Vec<String>>);

impl log::Log for Kept {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        ["cupric::again", "cupric::copy"].contains(&metadata.target())
    }
    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}: {}", record.level(), record.target(), record.args());
            self.0.lock().unwrap().push(line);
        }
    }
    fn flush(&self) {}
}

#[test]
fn finds_are_logged() {
    static KEPT: Kept = Kept(std::sync::Mutex::new(vec![]));
    let d = looking(&Device::cpu(), [Repeat::Again, Repeat::Copy]);
    let mut x = put(&d, vec![1.0f32, 2.0], &[2]);
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let (y, exp) = (x.exp(), line!());
    let eval = line!() + 2;
    for _ in 0..12 {
        y.eval().unwrap();
    }
    let update = line!() + 1;
    x.update(|x| x * 2.0).unwrap();
    log::set_max_level(log::LevelFilter::Off);
    let mine = |line: &&String| line.contains(file!());
    let lines: Vec<String> = KEPT.0.lock().unwrap().iter().filter(mine).cloned().collect();
    let at = |line| format!("{}:{line}:", file!());
    // the first time and the tenth, of eleven
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, count) in lines.iter().zip([1, 10]) {
        assert!(line.starts_with(&format!("DEBUG cupric::again: exp at {}", at(exp))), "{line}");
        assert!(line.contains(&at(eval)) && line.ends_with(&format!("({count} so far)")), "{line}");
    }
    assert!(lines[2].starts_with(&format!("DEBUG cupric::copy: update at {}", at(update))), "{}", lines[2]);
}

/// What the test below has its child run: it looks for nothing unless `CUPRIC_DEBUG` does.
#[test]
fn work_for_a_child() {
    let mut x = array![1., 2.];
    let y = x.exp();
    y.eval().unwrap();
    y.eval().unwrap();
    x.update(|x| x * 2.0).unwrap();
    assert!(std::env::var_os("CUPRIC_DEBUG").is_some() || Device::cpu().repeated_work().rows().count() == 0);
}

#[test]
fn what_the_variable_asks_for_goes_to_the_standard_error_without_a_logger() {
    let of = |debug: &str| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "repeats::work_for_a_child", "--nocapture"]).env("CUPRIC_DEBUG", debug);
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (again, copy, plan) = ("is computed again by", "took new memory", "kernel");
    let shows = |debug: &str| {
        let text = of(debug);
        [again, copy, plan].map(|part| text.contains(part))
    };
    assert_eq!(shows(""), [false; 3]);
    assert_eq!(shows("again"), [true, false, false]);
    assert_eq!(shows("copy, plan"), [false, true, true]);
    assert_eq!(shows("again,copy,wgsl"), [true, true, false]);
}
