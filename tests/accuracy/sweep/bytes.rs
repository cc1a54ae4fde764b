//! Stage 3: u8, i8 and bool exhaustively: every value through functions of one operand, every pair through functions of
//! two, and every cast to and from 8 bits. The expected results are computed here independently.

use super::judge::{Found, Judge, reference};
use crate::contract::rules;
use crate::kit::stage::Stage;
use crate::kit::{self, Dice, number};
use cupric::testing::{self, Row};
use cupric::{DType, Device, ErrorKind, Expr};

/// The 8-bit types.
const NARROW: [DType; 3] = [DType::U8, DType::I8, DType::Bool];

/// All values of an 8-bit type, as bits.
fn values(d: DType) -> Vec<u64> {
    (0..if d == DType::Bool { 2 } else { 256 }).collect()
}

/// All combinations of operands, as one column for each operand.
fn combinations(types: &[DType]) -> Vec<Vec<u64>> {
    let mut columns: Vec<Vec<u64>> = vec![];
    let mut count = 1;
    for (k, d) in types.iter().enumerate() {
        // the third operand of `clip` takes every 15th value, including both ends
        let own: Vec<u64> = if k == 2 && *d != DType::Bool { (0..256).step_by(15).collect() } else { values(*d) };
        let repeated = own.len();
        for c in &mut columns {
            *c = c.iter().flat_map(|v| std::iter::repeat_n(*v, repeated)).collect();
        }
        columns.push((0..count * repeated).map(|i| own[i % repeated]).collect());
        count *= repeated;
    }
    columns
}

fn floor_quotient(x: i64, y: i64) -> i64 {
    if y == 0 {
        return 0;
    }
    let q = (x as f64 / y as f64).floor();
    q as i64
}

/// The greatest common divisor; 0 if both numbers are 0.
fn divisor(x: i64, y: i64) -> i64 {
    let (x, y) = (x.abs(), y.abs());
    let most = if x == 0 || y == 0 { x + y } else { x.min(y) };
    (1..=most).rev().find(|g| x % g == 0 && y % g == 0).unwrap_or(0)
}

/// Integer power by repeated multiplication. A negative exponent gives 1/x^|y|, truncated.
fn power(x: i64, y: i64) -> i64 {
    match (x, y) {
        (1, _) => 1,
        (-1, _) => [1, -1][(y % 2).unsigned_abs() as usize],
        (_, ..0) => 0,
        _ => (0..y).fold(1i64, |p, _| p.wrapping_mul(x)),
    }
}

/// The exact result for integers and bool before it wraps, or None for functions that compute in f32.
fn rule(name: &str, d: DType, x: i64, y: i64, z: i64) -> Option<i64> {
    let width = number::width(d) as i64;
    let bool = d == DType::Bool;
    Some(match name {
        "add" if bool => i64::from(x + y > 0),
        "add" => x + y,
        "subtract" => x - y,
        "multiply" => x * y,
        "floor_divide" => floor_quotient(x, y),
        "remainder" if y == 0 => 0,
        "remainder" => x - y * floor_quotient(x, y),
        "fmod" if y == 0 => 0,
        // the result has the sign of the dividend
        "fmod" => [1, -1][usize::from(x < 0)] * (x.abs() - y.abs() * (x.abs() / y.abs())),
        "pow" => power(x, y),
        "gcd" => divisor(x, y),
        // the first positive multiple of |x| that |y| divides
        "lcm" if x == 0 || y == 0 => 0,
        "lcm" => (1..).map(|n| n * x.abs()).find(|m| m % y.abs() == 0)?,
        "minimum" | "fmin" => [x, y][usize::from(y < x)],
        "maximum" | "fmax" => [x, y][usize::from(y > x)],
        // if lo > hi, the result is hi
        "clip" if x < y && y > z => z,
        "clip" if x < y => y,
        "clip" => [x, z][usize::from(x > z)],
        "negative" => -x,
        "positive" | "floor" | "ceil" | "trunc" | "round" => x,
        "abs" => [x, -x][usize::from(x < 0)],
        "square" => x * x,
        "sign" => i64::from(x > 0) - i64::from(x < 0),
        "relu" => [x, 0][usize::from(x < 0)],
        "equal" => i64::from(x == y),
        "not_equal" => i64::from(x != y),
        "less" => i64::from(x < y),
        "less_equal" => i64::from(x <= y),
        "greater" => i64::from(x > y),
        "greater_equal" => i64::from(x >= y),
        "isnan" | "isinf" => 0,
        "isfinite" => 1,
        "signbit" => i64::from(x < 0),
        "logical_and" => i64::from(x != 0 && y != 0),
        "logical_or" => i64::from(x != 0 || y != 0),
        "logical_xor" => i64::from((x != 0) != (y != 0)),
        "logical_not" => i64::from(x == 0),
        "bitwise_and" => x & y,
        "bitwise_or" => x | y,
        "bitwise_xor" => x ^ y,
        "bitwise_invert" if bool => 1 - x,
        "bitwise_invert" => -x - 1,
        "bitwise_left_shift" if y < 0 || y >= width => 0,
        "bitwise_left_shift" => x * (1 << y),
        "bitwise_right_shift" if y < 0 || y >= width => -i64::from(x < 0),
        // division by a power of two, rounded toward −∞
        "bitwise_right_shift" => floor_quotient(x, 1 << y),
        "select" => [z, y][usize::from(x != 0)],
        _ => return None,
    })
}

fn show(types: &[DType], columns: &[Vec<u64>], i: usize) -> String {
    let each: Vec<String> = types.iter().zip(columns).map(|(d, c)| number::show(*d, c[i])).collect();
    each.join(", ")
}

/// Tests one function of operands of these types, at all combinations of their values.
fn function(row: &Row, types: &[DType], device: &Device) -> Result<usize, String> {
    let name = row.name();
    let columns = combinations(types);
    let n = columns[0].len();
    let arrays = types.iter().zip(&columns).map(|(d, c)| Ok(kit::array(*d, c, &[n], device)?.into()));
    let operands: Vec<Expr> = arrays.collect::<cupric::Result<_>>().map_err(|e| e.to_string())?;
    let result = row.apply(&operands);
    // the common type to which the operands are converted first
    let joint = types[1..].iter().fold(types[0], |a, b| if a == *b { a } else { DType::I16 });
    let joint = if name == "select" { types[1] } else { joint };
    if !types.iter().all(|d| row.takes(*d, device.is_gpu())) {
        return match result.eval() {
            Ok(_) => Err("a result, where the type has no such function".into()),
            Err(e) if e.kind() == ErrorKind::DType => Ok(1),
            Err(e) => Err(format!("the error is {:?}, not DType: {e}", e.kind())),
        };
    }
    let got = kit::read(&result).map_err(|e| e.to_string())?;
    let dtype = result.dtype().map_err(|e| e.to_string())?;
    if dtype != row.result(joint) || got.len() != n {
        return Err(format!("{dtype} with {} elements, not {} with {n}", got.len(), row.result(joint)));
    }
    let integer = |k: usize, i: usize| columns.get(k).map_or(0, |c| number::integer(types[k], c[i]) as i64);
    if dtype == DType::F32 {
        // functions that compute in f32 must be within the contract's f32 bound at every operand
        let bound = testing::promised(row.name(), DType::F32, device.is_gpu());
        let bound = bound.ok_or("the contract has no bound of f32")?.clone();
        let judge = Judge::new(*row, DType::F32, bound, device.is_gpu());
        let float = |k: usize| (0..n).map(|i| (integer(k, i) as f32).to_bits()).collect::<Vec<u32>>();
        let floats: Vec<Vec<u32>> = (0..types.len()).map(float).collect();
        let got: Vec<u32> = got.iter().map(|b| *b as u32).collect();
        let found: Found = judge.all(&floats, 0, &reference(row, DType::F32, &floats), &got);
        return found.first.map_or(Ok(n), |text| Err(format!("{} of {n} wrong: {text}", found.wrong)));
    }
    let mut wrong = (0, String::new());
    for (i, got) in got.iter().enumerate() {
        let [x, y, z] = [0, 1, 2].map(|k| integer(k, i));
        let want = rule(name, joint, x, y, z).ok_or("the design's rules have no such function")?;
        let want = number::wrap(dtype, want as i128);
        // the table's own integer reference must agree with the rules of this file
        let exact = row.exact_int().map(|f| f(x as i128, y as i128, z as i128, number::width(joint)));
        if exact.is_some_and(|e| number::wrap(dtype, e) != want) {
            return Err(format!("exact_int({}) is {exact:?}", show(types, &columns, i)));
        }
        if want != *got {
            wrong.0 += 1;
            if wrong.0 == 1 {
                let (want, got) = (number::show(dtype, want), number::show(dtype, *got));
                wrong.1 = format!("f({}): expected {want}, got {got}", show(types, &columns, i));
            }
        }
    }
    if wrong.0 > 0 { Err(format!("{} of {n} wrong: {}", wrong.0, wrong.1)) } else { Ok(n) }
}

/// Values to cast to 8 bits: all values of types of up to 16 bits; otherwise the limits and random bits.
fn sources(d: DType) -> Vec<u64> {
    let bits = 8 * d.size() as u32;
    if bits <= 16 {
        return (0..if d == DType::Bool { 2 } else { 1 << bits }).collect();
    }
    let mut random = Dice::from(bits as u64);
    let mut all: Vec<u64> = (0..1 << 15).map(|_| random.next() >> (64 - bits)).collect();
    // multiples of 1/4 around the limits of the 8-bit types, and the floats next to them
    for k in -300i64 * 4..=300 * 4 {
        if d.is_float() {
            let b = number::round(d, k as f64 / 4.0);
            let place = number::place(d, b);
            all.extend([-1, 0, 1].map(|s| number::at_place(d, place + s)));
        } else {
            all.push(number::wrap(d, k as i128));
        }
    }
    all
}

/// Tests one cast.
fn cast(from: DType, to: DType, device: &Device) -> Result<usize, String> {
    let bits = sources(from);
    let run = || kit::read(&kit::array(from, &bits, &[bits.len()], device)?.astype(to));
    let wide = |d: DType| matches!(d, DType::I64 | DType::U64 | DType::F64);
    let got = match run() {
        // an adapter without 64-bit types returns an error, which we accept
        Err(e) if device.is_gpu() && (wide(from) || wide(to)) && e.kind() == ErrorKind::Unsupported => return Ok(1),
        r => r.map_err(|e| e.to_string())?,
    };
    for (b, got) in bits.iter().zip(&got) {
        let want = rules::convert(from, to, *b);
        let nan = number::is_nan(to, want) && number::is_nan(to, *got);
        if want != *got && !nan {
            let (b, want, got) = (number::show(from, *b), number::show(to, want), number::show(to, *got));
            return Err(format!("{b}: expected {want}, got {got}"));
        }
    }
    Ok(bits.len())
}

/// Runs all tests of this stage on one device.
pub fn run(device: &Device) {
    let mut stage = Stage::new(3, "8-bit exhaustive", device);
    let only = std::env::var("CUPRIC_TRIAL").ok().filter(|t| !t.is_empty());
    let (mut elements, mut failures, mut trials) = (0, vec![], 0);
    let mut note = |name: String, result: Result<usize, String>| {
        trials += 1;
        match result {
            Ok(n) => elements += n,
            Err(e) => failures.push(format!("{name}: {e}")),
        }
    };
    for row in testing::rows().into_iter().filter(|r| only.as_ref().is_none_or(|o| r.name() == o.as_str())) {
        for d in NARROW {
            let types = match (row.name(), row.arity()) {
                ("select", _) => vec![DType::Bool, d, d],
                (_, n) => vec![d; n],
            };
            note(format!("{} of {d}", row.name()), function(&row, &types, device));
        }
        if row.arity() == 2 && row.takes(DType::U8, device.is_gpu()) {
            // u8 and i8 together promote to i16
            for types in [[DType::U8, DType::I8], [DType::I8, DType::U8]] {
                note(format!("{} of {} and {}", row.name(), types[0], types[1]), function(&row, &types, device));
            }
        }
    }
    for narrow in NARROW {
        for other in DType::ALL.into_iter().filter(|_| only.as_ref().is_none_or(|o| o == "astype")) {
            note(format!("{narrow} as {other}"), cast(narrow, other, device));
            if !NARROW.contains(&other) {
                note(format!("{other} as {narrow}"), cast(other, narrow, device));
            }
        }
    }
    stage.count(trials);
    let backend = if device.is_gpu() { "gpu" } else { "cpu" };
    let failed = failures.len();
    kit::say(&format!("bytes: {backend}: {trials} trials, {elements} elements, {failed} failed"));
    assert!(failures.is_empty(), "{failed} of {trials} trials failed on the {backend}\n{}", failures.join("\n"));
}
