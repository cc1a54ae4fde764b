//! Reference data from NumPy (`tests/data/make_golden.py`): promotion, broadcasting, reductions along axes, special
//! cases of the Array API standard. Slices are in `views.rs`, printing in `print.rs`, `.npy` in `files.rs`.

use crate::kit::number;
use crate::kit::operations::{self, Params};
use crate::kit::{self, has, on_devices, stage::Stage};
use cupric::DType::{self, *};
use cupric::{AxesArg, Device, ErrorKind, Expr, IntoAxes, add, keep, maximum, multiply, testing};

fn lines(name: &str) -> Vec<String> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines().map(str::to_string).collect()
}

fn shape(text: &str) -> Vec<usize> {
    text.split(',').filter(|w| *w != "-").map(|w| w.parse().unwrap_or_else(|e| panic!("{text}: {e}"))).collect()
}

fn real(word: &str) -> f64 {
    word.parse().unwrap_or_else(|e| panic!("{word}: {e}"))
}

/// The bits of the number that a word of the file spells.
fn bits(d: DType, word: &str) -> u64 {
    if d.is_float() { number::round(d, real(word)) } else { number::wrap(d, word.parse().expect("an integer")) }
}

/// Panics with the number of wrong cases and the first 20 of them, if there are any.
fn report(what: &str, device: &Device, count: usize, wrong: Vec<String>) {
    let shown = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{what} on {}: {} of {count} wrong:\n{shown}", device.name(), wrong.len());
    assert!(count > 100, "{what}: only {count} cases");
}

on_devices! {

fn promotion_as_numpy_but_where_the_design_says(d: &Device) {
    let mut stage = Stage::new(1, "golden: promotion", d);
    let (mut wrong, mut count, mut differ) = (vec![], 0, 0);
    for line in lines("promotion.txt") {
        let words: Vec<&str> = line.split(' ').collect();
        let (a, b, want) = (kit::dtype(words[0]).expect("a type"), words[1], words[2]);
        differ += usize::from(words.len() > 3);
        let one = |t: DType| cupric::ones([2], t).to_device(d);
        let x = match one(a) {
            Ok(x) if has(d, a) => x,
            _ => continue,
        };
        let results = match (kit::dtype(b), b) {
            (Some(b), _) if !has(d, b) => continue,
            (Some(b), _) => {
                let y = one(b).unwrap();
                vec![add(&x, &y), multiply(&x, &y), maximum(&x, &y), add(&y, &x)]
            }
            (None, "true") => vec![&x + true, true + &*x],
            (None, "2") => vec![&x + 2, 2 + &*x],
            (None, _) => vec![&x + 2.5, 2.5 + &*x],
        };
        for (k, r) in results.into_iter().enumerate() {
            count += 1;
            // we evaluate the first one (a GPU compiles a pipeline for it), and ask the others only for the dtype
            let dtype = if k == 0 { r.eval().map(|a| a.dtype()) } else { r.dtype() };
            let got = match dtype {
                Ok(t) => t.name().to_string(),
                Err(e) if e.kind() == ErrorKind::DType => "error".into(),
                // a GPU may lack the 64-bit type that two narrower ones promote to
                Err(e) if e.kind() == ErrorKind::Unsupported && kit::dtype(want).is_some_and(|w| !has(d, w)) => {
                    want.into()
                }
                Err(e) => format!("{e}"),
            };
            if got != want {
                wrong.push(format!("{line}: {got}"));
            }
        }
    }
    assert!(differ > 30, "only {differ} deliberate differences");
    stage.count(count);
    report("promotion", d, count, wrong);
}

fn broadcasting_as_numpy(d: &Device) {
    let mut stage = Stage::new(1, "golden: broadcasting", d);
    let all = lines("broadcast.txt");
    let mut wrong = vec![];
    for line in &all {
        let (head, want) = line.split_once(" = ").expect("a result");
        let mut sum: Option<Expr> = None;
        for (k, s) in head.split(' ').map(shape).enumerate() {
            let n: usize = s.iter().product();
            let x = kit::put(d, (0..n as i32).collect::<Vec<_>>(), &s);
            let x = &x * 100i32.pow(k as u32);
            sum = Some(match sum {
                None => x,
                Some(e) => e + x,
            });
        }
        let got = match sum.expect("operands").eval() {
            Err(e) if e.kind() == ErrorKind::Shape => "error".into(),
            Err(e) => format!("{e}"),
            Ok(r) => {
                let dims: Vec<String> = r.shape().iter().map(usize::to_string).collect();
                let dims = if dims.is_empty() { "-".into() } else { dims.join(",") };
                let values: Vec<String> = r.to_vec::<i32>().unwrap().iter().map(i32::to_string).collect();
                format!("{dims} : {}", values.join(" ")).trim_end().to_string()
            }
        };
        if got != want {
            wrong.push(format!("{line}: {got}"));
        }
    }
    stage.count(all.len());
    report("broadcasting", d, all.len(), wrong);
}

fn reductions_as_numpy(d: &Device) {
    let mut stage = Stage::new(1, "golden: reductions", d);
    let (mut wrong, mut count) = (vec![], 0);
    for line in lines("reductions.txt") {
        let parts: Vec<&str> = line.split(" | ").collect();
        let head: Vec<&str> = parts[0].split(' ').collect();
        let [function, dtype, dims, axes, keeps] = head[..] else { panic!("{line}") };
        let dtype = kit::dtype(dtype).expect("a type");
        if !has(d, dtype) {
            continue;
        }
        count += 1;
        let operands: Vec<u64> = parts[1].split_whitespace().map(|w| bits(dtype, w)).collect();
        let x = kit::array(dtype, &operands, &shape(dims), d).unwrap();
        if let Err(e) = reduction(function, &x, along(axes, keeps == "keep"), &parts[2..], dtype, &operands) {
            wrong.push(format!("{line}: {e}"));
        }
    }
    stage.count(count);
    report("reductions", d, count, wrong);
}

fn special_cases_of_the_standard(d: &Device) {
    let mut stage = Stage::new(5, "special cases of the Array API", d);
    let (mut wrong, mut count) = (vec![], 0);
    // one evaluation for all cases of a function
    let all = lines("special.txt");
    let mut starts: Vec<usize> = (0..all.len()).filter(|i| all[*i].starts_with('#')).collect();
    starts.push(all.len());
    for part in starts.windows(2) {
        let name = all[part[0]].split(' ').nth(1).expect("a name");
        let cases = &all[part[0] + 1..part[1]];
        let row = testing::row(name).unwrap_or_else(|| panic!("no function {name}"));
        let types = [F16, BF16, F32, F64];
        for t in types.into_iter().filter(|t| has(d, *t) && row.takes(*t, d.is_gpu())) {
            let split = |c: &String| -> (Vec<u64>, f64) {
                let (x, y) = c.split_once(" = ").expect("a result");
                (x.split(' ').map(|w| bits(t, w)).collect(), real(y))
            };
            let cases: Vec<_> = cases.iter().map(split).collect();
            let operand = |k: usize| {
                let column: Vec<u64> = cases.iter().map(|c| c.0[k]).collect();
                kit::array(t, &column, &[column.len()], d).unwrap().into()
            };
            let operands: Vec<Expr> = (0..row.arity()).map(operand).collect();
            let result = row.apply(&operands).eval().unwrap_or_else(|e| panic!("{name} of {t}: {e}"));
            let got = kit::read(&result).unwrap();
            for (case, got) in cases.iter().zip(got) {
                count += 1;
                if !near(result.dtype(), case.1, got) {
                    let operands: Vec<String> = case.0.iter().map(|b| number::show(t, *b)).collect();
                    let got = number::show(result.dtype(), got);
                    wrong.push(format!("{name}({}): {got}, not {:?}", operands.join(", "), case.1));
                }
            }
        }
    }
    stage.count(count);
    report("special cases", d, count, wrong);
}

}

/// Compares with a special result: NaN, ±∞ and ±0 must be equal, other numbers (1, π/4, …) within 8 ULP.
fn near(d: DType, want: f64, got: u64) -> bool {
    if !d.is_float() {
        return want as u64 == got;
    }
    let value = number::real(d, got);
    if want.is_nan() || want.is_infinite() || want == 0.0 {
        return want.is_nan() && value.is_nan() || want == value && want.is_sign_negative() == value.is_sign_negative();
    }
    let ulps = if matches!(d, F16 | BF16) { 1 } else { 8 };
    (number::place(d, got) - number::place(d, number::round(d, want))).abs() <= ulps
}

/// Parses axes from the file's notation.
fn along(axes: &str, kept: bool) -> AxesArg {
    let list: Vec<isize> =
        if axes == "all" { vec![] } else { axes.split(',').map(|a| a.parse().expect("an axis")).collect() };
    match (axes, kept, &list[..]) {
        ("all", false, _) => (..).into_axes(),
        ("all", true, _) => keep(..).into_axes(),
        (_, false, [one]) => one.into_axes(),
        (_, false, _) => list.as_slice().into_axes(),
        (_, true, _) => keep(list.as_slice()).into_axes(),
    }
}

/// Compares one reduction with NumPy's result: the dtype, shape and elements, or the word `error`.
fn reduction(
    function: &str,
    x: &Expr,
    axes: AxesArg,
    want: &[&str],
    dtype: DType,
    operands: &[u64],
) -> Result<(), String> {
    let operation = operations::find(function).ok_or(format!("no reduction {function}"))?;
    let r = (operation.build)(std::slice::from_ref(x), &Params::along(axes));
    let r = match r.eval() {
        Err(e) if want[0] == "error" && e.kind() == ErrorKind::Shape => return Ok(()),
        Err(e) => return Err(e.to_string()),
        Ok(_) if want[0] == "error" => return Err("a result, not an error".into()),
        Ok(r) => r,
    };
    let (to, dims) = want[0].split_once(' ').ok_or("no type and shape")?;
    if r.dtype().name() != to || r.shape() != shape(dims) {
        return Err(format!("{} {:?}", r.dtype(), r.shape()));
    }
    let t = r.dtype();
    let got = kit::read(&r).map_err(|e| e.to_string())?;
    let words: Vec<&str> = want.get(1).map_or(vec![], |w| w.split_whitespace().collect());
    if words.len() != got.len() {
        return Err(format!("{} elements", got.len()));
    }
    let largest = operands.iter().map(|b| number::real(dtype, *b).abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
    for (word, got) in words.iter().zip(got) {
        if !t.is_float() {
            if bits(t, word) != got {
                return Err(number::show(t, got));
            }
            continue;
        }
        let (want, value) = (real(word), number::real(t, got));
        // the bounds of CONTRACT.md for at most 48 elements on a GPU
        let unit = if t == F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        let allowed = match function {
            "mean" if !dtype.is_float() => 4.0 * unit * want.abs(),
            "mean" => 22.0 * unit * largest,
            "var" | "std" => 44.0 * unit * want.abs(),
            "logsumexp" => 2.0 * unit * (36.0 + 4.0 * want.abs().max(largest)),
            _ => 0.0,
        };
        let rounding = if allowed > 0.0 { number::ulp(t, want) } else { 0.0 };
        let same = want == value || want.is_nan() && value.is_nan();
        if !same && ((want - value).abs() > allowed + rounding || value.is_nan() || want.is_nan()) {
            return Err(format!("{} instead of {word}, {allowed:e} allowed", number::show(t, got)));
        }
    }
    Ok(())
}
