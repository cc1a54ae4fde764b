//! Checks for NaN, infinity and overflow: what they find, what they ignore, and which line of code they report.

use crate::kit::number::{largest, range, real, round, width};
use crate::kit::operations::{Kind, OPERATIONS, Params};
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// A separate device on the same hardware with these checks on, because they would affect other tests.
fn checked(d: &Device, checks: impl IntoIterator<Item = Check>) -> Device {
    let device = own(d);
    device.check(checks);
    device
}

/// The message of the check's error, without its location in the source file.
fn found(result: Result<Array>) -> String {
    let error = result.map(|_| ()).expect_err("a fault");
    assert_eq!(error.kind(), ErrorKind::Check, "{error}");
    let text = error.to_string();
    text.split(" (shape").next().unwrap_or_default().to_string()
}

const NAN: &str = "the result has a NaN where no operand has one";
const INF: &str = "the result has an infinity where no operand has one";
const CUT: &str = "the result does not fit its dtype";

/// Sixty operations, of which the fortieth is a square root. Also returns the line of the square root.
fn sixty(x: &Expr) -> (Expr, u32) {
    let mut y = x.clone();
    for n in 0..39 {
        y = if n % 2 == 0 { &y + 1.0 } else { &y - 1.0 };
    }
    let (mut y, line) = (y.sqrt(), line!());
    for n in 0..20 {
        y = if n % 2 == 0 { &y * 2.0 } else { &y * 0.5 };
    }
    (y, line)
}

on_devices! {

fn the_fortieth_of_sixty_operations(d: &Device) {
    let own = checked(d, [Check::Nan]);
    let mut elements = vec![4.0f32; 1000];
    let right = put(&own, elements.clone(), &[10, 100]);
    assert_eq!(sixty(&right).0.to_vec::<f32>().unwrap().len(), 1000);
    // the first 39 operations change it to −4
    elements[777] = -5.0;
    let wrong = put(&own, elements, &[10, 100]);
    let (y, line) = sixty(&wrong);
    let error = y.eval().map(|_| ()).unwrap_err();
    assert_eq!((error.operation(), error.kind()), ("sqrt", ErrorKind::Check));
    let at = error.location().expect("a line");
    assert_eq!((at.line(), at.file()), (line, file!()));
    let text = error.to_string();
    assert!(text.contains(&format!("{NAN} (shape [10, 100], dtype f32; found by the check nan)")), "{text}");
    // the check still reports the square root if the result is moved, reduced, multiplied or sorted
    let below: [Expr; 9] = [
        y.sum(0), y.t().reshape([50, 20]) + 1.0, y.slice(s![7..8, ..]).max(..), y.cumulative_sum(1), y.matmul(right.t()),
        right.t().matmul(&y), concat([&right, &y], 0), y.take(array![7].to_device(&own).unwrap(), 0), y.sort(1),
    ];
    for (n, e) in below.iter().enumerate() {
        let error = e.eval().map(|_| ()).expect_err("a fault");
        assert_eq!(error.location().map(|at| at.line()), Some(line), "{n}: {error}");
    }
    // results that do not use the wrong element are fine
    assert!(y.slice(s![..7, ..]).sum(..).item::<f32>().is_ok());
    assert!(y.take(array![6, 8].to_device(&own).unwrap(), 0).eval().is_ok());
    // with several results in one evaluation, and when a result is read directly
    assert!(eval_all([&right.sum(..), &y]).is_err());
    assert!(y.to_vec::<f32>().is_err() && pollster::block_on(y.to_vec_async::<f32>()).is_err());
    own.check([]);
    assert!(y.eval().is_ok());
}

fn each_check_finds_its_own(d: &Device) {
    let floats = |x: &[f64]| put(d, f(x), &[x.len()]);
    let (zero, one) = (floats(&[0.0, 1.0]), floats(&[1.0, 1.0]));
    let of = |checks: &[Check], make: &dyn Fn(&Expr, &Expr) -> Expr| {
        let own = checked(d, checks.iter().copied());
        let [zero, one] = [&zero, &one].map(|x| put(&own, x.to_vec::<f32>().unwrap(), &[2]));
        make(&zero, &one).eval()
    };
    use Check::*;
    // 1/0 is an infinity, and 0/0 is a NaN
    assert!(of(&[Nan, Overflow], &|zero, one| one / zero).is_ok());
    assert_eq!(found(of(&[Inf], &|zero, one| one / zero)), format!("divide: {INF}"));
    assert!(of(&[Inf], &|zero, one| zero / (zero * one)).is_ok());
    assert_eq!(found(of(&[Nan, Inf], &|zero, one| zero / (zero * one))), format!("divide: {NAN}"));
    // an infinity in an operand is not reported; a NaN that an operation makes from it is
    assert!(of(&[Inf], &|zero, _| (zero + f32::INFINITY) * 2.0).is_ok());
    assert_eq!(found(of(&[Nan], &|zero, _| zero * f32::INFINITY)), format!("multiply: {NAN}"));
    assert_eq!(found(of(&[Inf, Nan], &|zero, _| zero.log() - zero.log())), format!("log: {INF}"));
    // a NaN that was already stored is not reported
    let nan = put(&checked(d, [Nan, Inf]), f(&[f64::NAN, 1.0]), &[2]);
    assert!((&nan * 2.0).sum(..).eval().is_ok() && nan.maximum(&nan).sort(0).eval().is_ok());
    // the check reports the first operation that failed, not the first wrong element
    let both = of(&[Nan], &|zero, one| (one - 1.0) / zero.flip(0) + (one * 0.0 - 1.0).sqrt());
    assert!(found(both).starts_with("divide"));
    // reductions: sums of numbers that fit, and a sum that overflows
    let large = |own: &Device| put(own, vec![3e38f32; 4], &[2, 2]);
    let own = checked(d, [Inf]);
    assert_eq!(found(large(&own).sum(1).eval()), format!("sum: {INF}"));
    assert_eq!(found(large(&own).matmul(large(&own)).eval()), format!("matmul: {INF}"));
    assert_eq!(found(large(&own).cumulative_sum(0).eval()), format!("cumulative_sum: {INF}"));
    assert!(large(&own).max(1).eval().is_ok());
}

fn what_a_select_discards_does_not_count(d: &Device) {
    let own = checked(d, [Check::Nan, Check::Inf, Check::Overflow]);
    let x = put(&own, f(&[-1.0, 0.0, 4.0]), &[3]);
    let safe = select(x.greater(0.0), x.log(), 0.0);
    assert_eq!(safe.to_vec::<f32>().unwrap()[..2], [0.0, 0.0]);
    assert_eq!(found(select(x.greater_equal(0.0), x.log(), 0.0).eval()), format!("log: {INF}"));
    // values that a `select` discards are ignored in products and sums; so are those it only tests
    assert!(safe.sum(..).eval().is_ok() && (safe * 2.0).reshape([3, 1]).eval().is_ok());
    let mended = x.sqrt().nan_to_num();
    assert_eq!(mended.to_vec::<f32>().unwrap(), [0.0, 0.0, 2.0]);
    assert!(x.sqrt().nansum(..).eval().is_ok());
    assert!(x.sqrt().isnan().any(..).eval().is_ok());
    // a condition that depends on a NaN is reported
    assert_eq!(found(select(x.sqrt().greater(1.0), 1.0, 2.0).eval()), format!("sqrt: {NAN}"));
}

fn calls_that_are_made_of_others(d: &Device) {
    let own = checked(d, [Check::Nan, Check::Inf, Check::Overflow]);
    // a result is judged by the operands of the whole call: here an operand is infinite
    let infinite = put(&own, f(&[f64::NEG_INFINITY; 2]), &[2]);
    assert_eq!(infinite.logsumexp(..).item::<f32>().unwrap(), f32::NEG_INFINITY);
    assert_eq!(found((put(&own, f(&[0.0]), &[1]).log().logsumexp(..)).eval()), format!("log: {INF}"));
    // other operations on the caller's line do not belong to this call, even within one macro
    let [a, b] = [put(&own, vec![i32::MAX], &[1]), put(&own, vec![1u32], &[1])];
    assert!((&a + 1).less(&b).eval().is_err_and(|e| e.operation() == "add"));
    assert!(a.less(&b).eval().is_ok());
    // `signbit` does not excuse an overflow before it
    assert!((&a + 1).signbit().eval().is_err());
    assert!((&a + 1).astype(F32).isfinite().eval().is_err());
}

fn writes_are_checked_before_they_write(d: &Device) {
    let own = checked(d, [Check::Nan, Check::Overflow]);
    let mut x = put(&own, f(&[1.0, 4.0, 9.0]), &[3]);
    let error = x.update(|x| (x - 2.0).sqrt()).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Check, "sqrt"));
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 4.0, 9.0]);
    assert!(x.set(s![1..], put(&own, f(&[-1.0]), &[1]).log()).is_err());
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 4.0, 9.0]);
    x.update(|x| x.sqrt()).unwrap();
    if has(d, F16) {
        // a value overflows when it is stored through a view
        own.check([Check::Inf]);
        let mut wide = put(&own, vec![f16::ONE; 6], &[2, 3]);
        let large = put(&own, vec![f16::from_f32(300.0); 3], &[3]);
        assert!(wide.assign(&large * &large).is_err_and(|e| e.operation() == "multiply"));
        own.check([Check::Nan, Check::Overflow]);
    }
    assert_eq!(x.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    let mut n = put(&own, vec![100i8, 1], &[2]);
    assert!(n.update(|n| n + 50).is_err());
    n.update(|n| n + 20).unwrap();
    assert_eq!(n.to_vec::<i8>().unwrap(), [120, 21]);
}

fn more_operations_than_are_checked(d: &Device) {
    let own = checked(d, [Check::Nan]);
    let x = put(&own, f(&[1.0]), &[1]);
    let chain = (0..100_000).fold((*x).clone(), |x, _| x + 1.0);
    let error = chain.eval().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("operations are too many for one check, which covers at most 65536; evaluate the expression in parts"), "{error}");
}

fn off_it_costs_nothing(d: &Device) {
    let own = own(d);
    let x = put(&own, f(&[1.0, 2.0]), &[2]);
    let kernels = || {
        let before = own.stats();
        (&x * 2.0 + 1.0).eval().unwrap();
        (own.stats().kernels - before.kernels, own.stats().allocations - before.allocations)
    };
    assert_eq!(kernels(), (1, 1));
    own.check([Check::Nan]);
    assert!(kernels().0 > 1);
    // operations that only move elements have nothing to check
    let before = own.stats().kernels;
    (x.flip(0).reshape([1, 2])).eval().unwrap();
    let both = concat([&x.flip(0), &x], 0);
    let moves = both.plan().unwrap().kernels() as u64;
    both.eval().unwrap();
    assert_eq!(own.stats().kernels - before, moves);
    own.check([]);
    assert_eq!(kernels(), (1, 1));
    // checks on one device do not affect another, neither while it lives nor afterwards
    let asked = checked(d, [Check::Nan]);
    assert_eq!(kernels(), (1, 1));
    let y = put(&asked, f(&[-1.0]), &[1]);
    assert_eq!(y.sqrt().eval().unwrap_err().kind(), ErrorKind::Check);
    drop((asked, y));
    assert_eq!(kernels(), (1, 1));
    (x.sqrt() * f32::NAN).eval().unwrap();
}

fn integers_that_wrap_and_those_that_do_not(d: &Device) {
    let own = checked(d, [Check::Overflow]);
    for t in [U8, I8, U16, I16, U32, I32, U64, I64].into_iter().filter(|t| has(d, *t)) {
        for (name, exact, build) in FUNCTIONS {
            integers(&own, t, name, exact, build);
        }
    }
}

fn sums_and_products_that_wrap(d: &Device) {
    let own = checked(d, [Check::Overflow]);
    for t in [U64, I64].into_iter().filter(|t| has(d, *t)) {
        let (low, high) = range(t);
        let of = |n: &[i128]| array(t, &n.iter().map(|n| *n as u64).collect::<Vec<_>>(), &[n.len()], &own).unwrap();
        let third = high / 3;
        for (elements, fits) in [(vec![third; 3], true), (vec![third + 1; 3], false), (vec![low, high, 0], true)] {
            let x = of(&elements);
            assert_eq!(x.sum(0).eval().is_ok(), fits, "{t} {elements:?}");
            assert_eq!(x.cumulative_sum(0).eval().is_ok(), fits, "{t} {elements:?}");
            let ones = of(&[1; 3]).reshape([3, 1]);
            assert_eq!(x.reshape([1, 3]).matmul(&ones).eval().is_ok(), fits, "{t} {elements:?}");
        }
        for (factors, fits) in [(vec![2; 62], true), (vec![2; 65], false), (vec![1; 1000], true), (vec![3, third, 1], true)] {
            assert_eq!(of(&factors).prod(0).eval().is_ok(), fits, "{t} {factors:?}");
        }
    }
}

fn conversions_that_cut(d: &Device) {
    let own = checked(d, [Check::Overflow, Check::Inf]);
    let types = || DType::ALL.into_iter().filter(|t| *t != Bool && has(d, *t));
    for from in types() {
        // whole numbers near the limits of all types, if `from` represents them exactly
        let edges = types().filter(|t| t.is_integer()).flat_map(|t| {
            let (low, high) = range(t);
            [low, high].into_iter().flat_map(|edge| (-2..=2).map(move |step| edge + step))
        });
        let mut edges: Vec<i128> = edges.filter(|n| held(from, *n)).collect();
        edges.sort_unstable();
        edges.dedup();
        let bits = |n: &i128| if from.is_float() { round(from, *n as f64) } else { *n as u64 };
        for to in types().filter(|to| *to != from) {
            let fits = |n: &i128| match to.is_float() {
                true => (*n as f64).abs() <= largest(to) * (1.0 + f64::EPSILON),
                false => range(to).0 <= *n && *n <= range(to).1,
            };
            let (inside, outside): (Vec<i128>, Vec<i128>) = edges.iter().partition(|n| fits(n));
            let convert = |n: &[i128]| {
                let x = array(from, &n.iter().map(bits).collect::<Vec<_>>(), &[n.len()], &own).unwrap();
                x.astype(to).eval()
            };
            let inside = convert(&inside).map(|_| ());
            assert!(inside.is_ok(), "{from} to {to}: {}", inside.unwrap_err());
            for n in outside.iter().step_by(1 + outside.len() / 4) {
                // a value fits a float type if it rounds to the type's largest number
                if to.is_float() && round(to, *n as f64) == round(to, largest(to).copysign(*n as f64)) {
                    continue;
                }
                let error = convert(&[*n]).map(|_| ()).expect_err(&format!("{from} {n} to {to}"));
                assert_eq!((error.kind(), error.operation()), (ErrorKind::Check, "astype"), "{from} {n} to {to}");
            }
        }
    }
    let nan = put(&own, f(&[f64::NAN]), &[1]);
    assert_eq!(found(nan.astype(I32).eval()), format!("astype: {CUT}"));
    // dropping a fraction is not an overflow
    assert!(put(&own, f(&[-0.9, 255.9]), &[2]).astype(U8).eval().is_ok());
}

// No operation reports a fault by itself if all operands and all results are finite and fit their types.
fn no_operation_raises_a_false_alarm(d: &Device) {
    let own = checked(d, [Check::Nan, Check::Inf, Check::Overflow]);
    let mut alarms = vec![];
    let mut tried = 0;
    let mut judge = |what: String, e: Expr| {
        tried += 1;
        own.check([]);
        let Ok(result) = e.eval() else { return };
        let all_finite = result.isfinite().all(..).item::<bool>().unwrap();
        own.check([Check::Nan, Check::Inf, Check::Overflow]);
        if let (true, Err(error)) = (all_finite, e.eval()) {
            alarms.push(format!("{what}: {error}"));
        }
    };
    for t in [F32, F16, I32, U8].into_iter().filter(|t| has(d, *t)) {
        let numbers = f(&[0.25, 0.5, 0.75, 1.0, 0.5, 0.25]);
        let numbers = if t.is_float() { numbers } else { f(&[1.0, 2.0, 3.0, 1.0, 0.0, 2.0]) };
        let x = put(&own, numbers, &[2, 3]).astype(t).eval().unwrap();
        // `negative` does not fit unsigned types
        let fits = |row: &testing::Row| row.name() != "negative" || t != U8;
        for row in testing::rows().into_iter().filter(|row| row.takes(t, d.is_gpu()) && fits(row)) {
            judge(format!("{} of {t}", row.name()), row.apply(&vec![(*x).clone(); row.arity()]));
        }
        for o in OPERATIONS.iter().filter(|o| o.along_axes() && o.takes(t)) {
            judge(format!("{} of {t}", o.name), (o.build)(&[(*x).clone()], &Params::along(1)));
        }
    }
    let here = zeros([1], Bool).to_device(&own).unwrap();
    for o in OPERATIONS.iter().filter(|o| o.kind == Kind::Generator) {
        for t in DType::ALL.into_iter().filter(|t| o.takes(*t) && has(d, *t)) {
            let params = Params { dtype: t, shape: vec![1000], ..Params::along(..) };
            judge(format!("{} of {t}", o.name), (o.build)(&[], &params) + &*here);
        }
    }
    // negative steps modulo 2^16, and the sign bit in a u32
    judge("a range".to_string(), arange(500, 0, -7, U16) + &*here);
    let [a, b] = [put(&own, vec![-1i32, 7], &[2]), put(&own, vec![7i32, 7], &[2]).astype(U32).eval().unwrap()];
    let positive = put(&own, f(&[0.5, 2.0]), &[2]);
    let mut rng = Rng::new(3);
    for drawn in [rng.gamma(1.5, 1.0, [2000], F32), rng.beta(0.5, 2.0, [2000], F32), rng.truncated_normal(-2.0, 1.5, [2000], F32), rng.poisson(&positive, [1000, 2])] {
        judge("numbers of a distribution".to_string(), drawn.astype(F32) + &positive.slice(s![..1]));
    }
    let [low, high] = [put(&own, vec![-1i32, -5], &[2]), put(&own, vec![-1, i32::MAX], &[2])];
    judge("whole numbers that are close".to_string(), low.isclose(&high, 1e-5, 1e-8, false));
    let infinite = put(&own, f(&[f64::INFINITY, f64::NEG_INFINITY]), &[2]);
    judge("infinities that are close".to_string(), infinite.isclose(&infinite, 1e-5, 1e-8, false));
    judge("a masked row".to_string(), infinite.slice(s![1..]).logsumexp(..).less(0.0));
    let best = put(&own, vec![-1i64], &[1]).index_max(0, put(&own, vec![0], &[1]), put(&own, vec![5_000_000_000i64], &[1]));
    judge("the greater of two".to_string(), best);
    judge("signs".to_string(), a.less(&b));
    assert!(tried > 250, "{tried}");
    assert_eq!(alarms, [""; 0]);
}

}

/// The environment variable turns checks on for every device. It is read once, so this runs in a separate process.
#[test]
fn the_variable_asks_of_every_device() {
    let run = |list: &str| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "check::a_process_that_is_checked", "--nocapture"]);
        let output = command
            .env("CUPRIC_CHECK", list)
            .env("CUPRIC_CHILD", "check")
            .env_remove("CUPRIC_STAGES")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run("").contains("sqrt gives [NaN]"));
    assert!(run("inf").contains("sqrt gives [NaN]"));
    assert!(run("overflow,nan").contains(&format!("sqrt: {NAN}")));
    assert!(run("nam").contains("CUPRIC_CHECK: unknown check 'nam'; expected nan, inf or overflow"));
}

#[test]
fn a_process_that_is_checked() {
    if std::env::var("CUPRIC_CHILD").is_ok_and(|v| v == "check") {
        match put(&Device::cpu(), f(&[-1.0]), &[1]).sqrt().to_vec::<f32>() {
            Ok(numbers) => println!("sqrt gives {numbers:?}"),
            Err(error) => println!("{error}"),
        }
    }
}

/// Whether a type represents a whole number exactly.
fn held(t: DType, n: i128) -> bool {
    match t.is_float() {
        true => (n as f64) as i128 == n && (n as f64).abs() <= largest(t) && real(t, round(t, n as f64)) == n as f64,
        false => range(t).0 <= n && n <= range(t).1,
    }
}

/// Computes the exact result of a function of integers. None if the result is not an integer or does not fit i128.
type Exact = fn(i128, i128) -> Option<i128>;

type Build = fn(&Expr, &Expr) -> Expr;

const FUNCTIONS: [(&str, Exact, Build); 8] = [
    ("add", |x, y| Some(x + y), |x, y| x + y),
    ("subtract", |x, y| Some(x - y), |x, y| x - y),
    ("multiply", |x, y| Some(x.checked_mul(y).unwrap_or(i128::MAX)), |x, y| x * y),
    (
        "floor_divide",
        |x, y| Some(if y == 0 { 0 } else { x.div_euclid(y) - (y < 0 && x.rem_euclid(y) != 0) as i128 }),
        |x, y| x.floor_divide(y),
    ),
    ("pow", power, |x, y| x.pow(y)),
    ("square", |x, _| Some(x.checked_mul(x).unwrap_or(i128::MAX)), |x, _| x.square()),
    ("negative", |x, _| Some(-x), |x, _| -x),
    ("abs", |x, _| Some(x.abs()), |x, _| x.abs()),
];

/// x^y by the rules for integers: a negative exponent drops the fraction, and gives 0 for x = 0.
fn power(x: i128, y: i128) -> Option<i128> {
    match u32::try_from(y) {
        Ok(y) => Some(x.checked_pow(y).unwrap_or(i128::MAX)),
        Err(_) if y > 0 => None,
        Err(_) if x.abs() == 1 => Some(if y % 2 == 0 { 1 } else { x }),
        Err(_) => Some(0),
    }
}

/// Tries pairs of limits and random integers. Results that fit raise no error; of the others, each one raises it.
fn integers(device: &Device, t: DType, name: &str, exact: Exact, build: Build) {
    let (low, high) = range(t);
    let mut dice = Dice::new(t as u64);
    let mut numbers =
        vec![low, low + 1, low / 2, low / 3, 0, 1, 2, 3, 7, high / 3, high / 2, high / 2 + 1, high - 1, high];
    numbers.extend((0..12).map(|_| (i128::from(dice.next()) % (high + 1)) >> dice.below(width(t) as usize)));
    if low < 0 {
        numbers.extend([-1, -2, -3]);
    }
    let pairs = numbers.iter().flat_map(|x| numbers.iter().map(move |y| (*x, *y)));
    let pairs = pairs.filter_map(|(x, y)| Some((x, y, exact(x, y)?)));
    let (fit, wrap): (Vec<_>, Vec<_>) = pairs.partition(|(_, _, r)| low <= *r && *r <= high);
    let run = |pairs: &[(i128, i128, i128)]| {
        let operand = |of: fn(&(i128, i128, i128)) -> i128| {
            let bits: Vec<u64> = pairs.iter().map(|p| of(p) as u64 & u64::MAX >> (64 - width(t))).collect();
            array(t, &bits, &[pairs.len()], device).unwrap()
        };
        build(&operand(|p| p.0), &operand(|p| p.1)).eval().map(|_| ())
    };
    let together = run(&fit);
    assert!(together.is_ok(), "{name} of {t}: {}", together.unwrap_err());
    for pair in wrap.iter().step_by(1 + wrap.len() / 12) {
        let error = run(&[*pair]).expect_err(&format!("{name} of {t}: {pair:?}"));
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Check, name), "{t} {pair:?}");
    }
}
