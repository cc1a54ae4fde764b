//! Functions of complex numbers: within their documented errors of `data/complex.txt` (which `data/make_complex.py` wrote) and of
//! `data/complex_edges.txt` (`data/make_complex_edges.py`), and with the special values of the Array API standard
//! (`data/complex_special.txt`).

use crate::kit::{Dice, golden, has, on_devices, put};
use cupric::{DType::*, *};
use std::f64::consts::{LN_2, LN_10, PI};

const GOLDEN: &str = include_str!("../data/complex.txt");
/// The same functions near the limits where their formulas change, and of subnormal numbers.
const EDGES: &str = include_str!("../data/complex_edges.txt");
/// A line for each line of the standard's special cases: a function, lists of real and of imaginary parts of operands, and the
/// parts of the result, where `~` stands for an unspecified sign.
const SPECIAL: &str = include_str!("../data/complex_special.txt");

type Function = fn(&Complex) -> Complex;

fn function(name: &str) -> Function {
    match name {
        "acos" => |z| z.acos(),
        "acosh" => |z| z.acosh(),
        "asin" => |z| z.asin(),
        "asinh" => |z| z.asinh(),
        "atan" => |z| z.atan(),
        "atanh" => |z| z.atanh(),
        "cos" => |z| z.cos(),
        "cosh" => |z| z.cosh(),
        "exp" => |z| z.exp(),
        "expm1" => |z| z.expm1(),
        "log" => |z| z.log(),
        "log1p" => |z| z.log1p(),
        "log2" => |z| z.log2(),
        "log10" => |z| z.log10(),
        "sign" => |z| z.sign(),
        "sin" => |z| z.sin(),
        "sinh" => |z| z.sinh(),
        "sqrt" => |z| z.sqrt(),
        "tan" => |z| z.tan(),
        "tanh" => |z| z.tanh(),
        "abs" => |z| Complex::new(z.abs(), z.imag()),
        other => panic!("{other} is not known here"),
    }
}

/// Complex numbers with these parts, which may be of a dtype that only the CPU has.
fn complex(d: &Device, t: DType, parts: &[[f64; 2]]) -> Complex {
    let cpu = Device::cpu();
    let part = |i: usize| put(&cpu, parts.iter().map(|z| z[i]).collect::<Vec<_>>(), &[parts.len()]).astype(t);
    Complex::new(part(0), part(1)).to_device(d).unwrap()
}

fn parts(z: &Complex) -> Vec<[f64; 2]> {
    let z = z.to_device(&Device::cpu()).unwrap();
    let [re, im] = [z.real(), z.imag()].map(|e| e.astype(F64).to_vec::<f64>().unwrap());
    re.into_iter().zip(im).map(|(a, b)| [a, b]).collect()
}

/// The pairs of a line of a golden file.
fn pairs(numbers: &[f64]) -> Vec<[f64; 2]> {
    numbers.chunks(2).map(|z| [z[0], z[1]]).collect()
}

fn size([a, b]: [f64; 2]) -> f64 {
    a.hypot(b)
}

/// Holds the results of all functions in a golden file, for numbers of a dtype that satisfy a condition, to their bounds in
/// units of ε·|w|.
fn hold(d: &Device, t: DType, golden_file: &'static str, bound: f64, takes: impl Fn(f64) -> bool) {
    let lines: Vec<_> = golden(golden_file).map(|(name, _, numbers)| (name, pairs(&numbers))).collect();
    let operands = &lines[0].1;
    let info = t.finfo().unwrap();
    // the numbers that the dtype represents
    let z: Vec<[f64; 2]> = parts(&complex(&Device::cpu(), t, operands));
    let there: Vec<bool> = z.iter().zip(operands).map(|(a, b)| a == b && a.iter().all(|x| takes(*x))).collect();
    assert!(there.iter().filter(|is| **is).count() >= 40);
    let z = complex(d, t, operands);
    let exponents = lines.iter().find(|line| line.0 == "exponents").map(|line| &line.1);
    let mut count = 0;
    for (name, wanted) in lines[1..].iter().filter(|line| line.0 != "exponents") {
        let got = match (*name, exponents) {
            ("pow", Some(exponents)) => z.pow(complex(d, t, exponents)),
            (name, _) => function(name)(&z),
        };
        count += 1;
        assert_eq!(got.dtype().unwrap(), t, "{name}");
        for (i, (got, want)) in parts(&got).into_iter().zip(wanted).enumerate() {
            if !there[i] || !want.iter().all(|x| x.abs() < info.max) {
                continue;
            }
            let factor = match (*name, exponents) {
                ("pow", Some(exponents)) => {
                    let [a, b] = operands[i];
                    1. + size(exponents[i]) * size([a.hypot(b).ln(), b.atan2(a)])
                }
                _ => 1.,
            };
            let error = size([got[0] - want[0], got[1] - want[1]])
                / (info.eps * size(*want).max(info.smallest_normal) * factor);
            assert!(error <= bound, "{name} of {:?} in {t} is {got:?}, not {want:?}: {error:.2} ε", operands[i]);
        }
    }
    assert_eq!(count, if exponents.is_some() { 21 } else { 20 });
}

/// Whether a number is 0 or a normal number of a dtype.
fn is_normal(t: DType, x: f64) -> bool {
    let info = t.finfo().unwrap();
    x == 0. || x.abs() >= info.smallest_normal && x.abs() <= info.max
}

/// A number of the table: its magnitude has a free sign if the text begins with `~`.
fn value(text: &str) -> f64 {
    let (factor, text) = match text.trim_start_matches('~') {
        "pi" => (PI, "1"),
        "pi/2" => (PI / 2., "1"),
        "pi/4" => (PI / 4., "1"),
        "3pi/4" => (3. * PI / 4., "1"),
        number => (1., number),
    };
    factor * text.parse::<f64>().unwrap()
}

/// The negative of a number of the table.
fn negative(text: &str) -> String {
    match text.as_bytes()[0] {
        b'~' | b'n' => text.into(),
        b'-' => text[1..].into(),
        _ => format!("-{text}"),
    }
}

fn is_value(got: f64, text: &str, eps: f64) -> bool {
    let (text, sign) = match text.strip_prefix("-") {
        Some(rest) if rest != "inf" => (rest, -1.),
        _ => (text, 1.),
    };
    let want = sign * value(text);
    let got = if text.starts_with('~') { got.abs() } else { got };
    match want {
        w if w.is_nan() => got.is_nan(),
        w if w == 0. || w.is_infinite() => got == w && got.is_sign_negative() == w.is_sign_negative(),
        w => (got - w).abs() <= 8. * eps * w.abs(),
    }
}

/// An operand of a function, and the parts of its result.
type Case = (&'static str, [f64; 2], [String; 2]);

/// The table's cases, with those that the standard derives from them: of conjugates, of negative numbers for odd and even
/// functions, and of the functions that it defines by hyperbolic ones of x·i.
fn cases() -> Vec<Case> {
    let mut all = vec![];
    for line in SPECIAL.lines() {
        let (operand, result) = line.split_once(" = ").unwrap();
        let [name, re, im] = operand.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let mut result = result.split(' ').map(String::from);
        let w = result.next().unwrap();
        let v = result.next().unwrap_or("~nan".into());
        for a in re.split(',').map(value) {
            for b in im.split(',').map(value) {
                let mut add = |name, z, w: &str, v: &str| all.push((name, z, [w.into(), v.into()]));
                add(name, [a, b], &w, &v);
                if matches!(name, "abs" | "sign") {
                    continue;
                }
                add(name, [a, -b], &w, &negative(&v));
                let of_angle = match name {
                    "asinh" => "asin",
                    "atanh" => "atan",
                    "sinh" => "sin",
                    "tanh" => "tan",
                    "cosh" => {
                        add(name, [-a, -b], &w, &v);
                        add("cos", [b, -a], &w, &v);
                        continue;
                    }
                    "log" => {
                        add("log2", [a, b], &w, &v);
                        add("log10", [a, b], &w, &v);
                        continue;
                    }
                    _ => continue,
                };
                add(name, [-a, -b], &negative(&w), &negative(&v));
                add(of_angle, [b, -a], &v, &negative(&w));
            }
        }
    }
    all
}

on_devices! {
    fn errors_are_within_the_documented_bound(d: &Device) {
        let bound = if d.is_gpu() { 12. } else { 4. };
        for t in [F32, F64] {
            if has(d, t) {
                hold(d, t, GOLDEN, bound, |x| is_normal(t, x));
            }
        }
    }

    fn numbers_near_the_limits_of_formulas(d: &Device) {
        let bound = if d.is_gpu() { 12. } else { 4. };
        let flushes = d.numerics().unwrap().is_some_and(|found| !found.subnormals);
        for t in [F32, F64] {
            if has(d, t) {
                // a GPU flushes subnormal numbers of f32 alone
                hold(d, t, EDGES, bound, |x| t == F64 || !flushes || is_normal(t, x));
            }
        }
    }

    fn single_precision_is_near_double_precision(d: &Device) {
        let bound = if d.is_gpu() { 12. } else { 4. };
        let dice = &mut Dice::new(5);
        let mut within = |low: f64, high: f64| 10f64.powf(dice.within(low, high)) * *dice.of(&[-1., 1.]);
        let mut numbers: Vec<[f64; 2]> = (0..1000).map(|_| [within(-3., 1.9), within(-3., 1.9)]).collect();
        numbers.extend((0..1000).map(|_| [within(-37., 37.), within(-37., 37.)]));
        // near branch points and multiples of a quarter turn
        numbers.extend((0..500).map(|_| [within(-7., 0.) + 1., within(-7., 0.)]));
        numbers.extend((0..500).map(|_| [within(-7., 0.), within(-7., 0.) - 1.]));
        numbers.extend((0..500).map(|i| [within(-6., 0.), (i % 17) as f64 * PI / 2. + within(-7., -3.)]));
        let z = complex(d, F32, &numbers);
        let wide = z.to_device(&Device::cpu()).unwrap().map(|part| part.astype(F64));
        let info = F32.finfo().unwrap();
        for (name, _, _) in golden(GOLDEN).skip(2).filter(|line| line.0 != "pow") {
            let (got, want) = (parts(&function(name)(&z)), parts(&function(name)(&wide)));
            let mut worst = (0., [0.; 2]);
            for ((got, want), z) in got.into_iter().zip(want).zip(&numbers) {
                let error = size([got[0] - want[0], got[1] - want[1]]) / (info.eps * size(want).max(info.smallest_normal));
                if want.iter().all(|x| x.abs() <= info.max) && (error > worst.0 || error.is_nan()) {
                    worst = (error, *z);
                }
            }
            println!("{} {name}: {:.2} of {:?}", if d.is_gpu() { "GPU" } else { "CPU" }, worst.0, worst.1);
            assert!(worst.0 <= bound, "{name} of {:?}: {} ε", worst.1, worst.0);
        }
    }

    fn half_precision_rounds_once(d: &Device) {
        for t in [F16, BF16] {
            hold(d, t, GOLDEN, 0.51, |x| is_normal(t, x));
        }
    }

    fn the_standards_special_cases_hold(d: &Device) {
        let all = cases();
        assert!(all.len() > 600, "{}", all.len());
        let mut names: Vec<&str> = all.iter().map(|case| case.0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 21);
        for t in [F32, F64] {
            if !has(d, t) {
                continue;
            }
            let eps = t.finfo().unwrap().eps;
            for name in &names {
                let cases: Vec<&Case> = all.iter().filter(|case| case.0 == *name).collect();
                let operands: Vec<[f64; 2]> = cases.iter().map(|case| case.1).collect();
                let results = parts(&function(name)(&complex(d, t, &operands)));
                for ((_, z, want), got) in cases.into_iter().zip(results) {
                    let by = match *name {
                        "log2" => LN_2,
                        "log10" => LN_10,
                        _ => 1.,
                    };
                    let is = |i: usize| (*name == "abs" && i == 1) || is_value(got[i] * by, &want[i], eps);
                    assert!(is(0) && is(1), "{name} of {z:?} in {t} is {got:?}, not {want:?}");
                }
            }
        }
    }

    fn operators_follow_the_standard(d: &Device) {
        let [n, i] = [f64::NAN, f64::INFINITY];
        let of = |parts: &[[f64; 2]]| complex(d, F32, parts);
        let all_nan = of(&[[n, n]]);
        for z in [&all_nan * &all_nan, &all_nan / all_nan.clone(), all_nan.square(), all_nan.reciprocal()] {
            assert!(parts(&z)[0].iter().all(|x| x.is_nan()));
        }
        // sums have the special values of real sums in each part; so do products and quotients with real numbers
        let sum = parts(&(of(&[[-0., 0.], [i, n]]) + of(&[[-0., -0.], [-i, 1.]])));
        assert!(sum[0] == [0., 0.] && sum[0][0].is_sign_negative() && sum[0][1].is_sign_positive());
        assert!(sum[1].iter().all(|x| x.is_nan()));
        assert_eq!(parts(&(of(&[[i, 2.], [-i, -3.]]) * 2.0)), [[i, 4.], [-i, -6.]]);
        assert_eq!(parts(&(of(&[[i, 2.], [-i, -3.]]) / 2.0)), [[i, 1.], [-i, -1.5]]);
        assert_eq!(parts(&(of(&[[1., 2.]]) / of(&[[0., 0.]]))), [[i, i]]);
        // whole numbers divide by the textbook formula
        assert_eq!(parts(&(of(&[[-5., 10.]]) / of(&[[3., 4.]]))), [[1., 2.]]);
        let z = of(&[[0., 0.], [n, 1.], [1., n], [i, n], [n, -i], [1., -i], [-0., 2.]]);
        let is = |e: Expr| e.to_device(&Device::cpu()).unwrap().to_vec::<bool>().unwrap();
        assert_eq!(is(z.isnan()), [false, true, true, true, true, false, false]);
        assert_eq!(is(z.isinf()), [false, false, false, true, true, true, false]);
        assert_eq!(is(z.isfinite()), [true, false, false, false, false, false, true]);
        let w = of(&[[-0., 0.], [n, 1.], [1., n], [i, n], [n, -i], [1., -i], [0., -2.]]);
        assert_eq!(is(z.equal(&w)), [true, false, false, false, false, true, false]);
        assert_eq!(is(z.not_equal(&w)), [false, true, true, true, true, false, true]);
        assert_eq!(is(of(&[[2., 0.], [2., 1.], [n, 0.]]).equal(2.0)), [true, false, false]);
        let z = parts(&of(&[[0.5, -1.5], [-0., i]]).round());
        assert_eq!(z, [[0., -2.], [-0., i]]);
        assert!(z[1][0].is_sign_negative());
        assert_eq!(parts(&of(&[[1., -2.]]).positive()), [[1., -2.]]);
        // the power of 0, and an exponent of 0 whatever the base
        assert_eq!(parts(&of(&[[0., 0.], [i, n], [0., 0.]]).pow(of(&[[2., 0.], [0., 0.], [0., 0.]]))), [[0., 0.], [1., 0.], [1., 0.]]);
    }

    fn products_and_sums_along_axes(d: &Device) {
        let dice = &mut Dice::new(6);
        for (t, n) in [(F32, 1), (F32, 7), (F32, 1000), (F64, 100), (F16, 20)] {
            if !has(d, t) {
                continue;
            }
            let polar = |[r, a]: [f64; 2]| [(r * a.cos()) as f32 as f64, (r * a.sin()) as f32 as f64];
            let numbers: Vec<[f64; 2]> = (0..n).map(|_| polar([dice.within(0.9, 1.1), dice.within(-PI, PI)])).collect();
            let z = complex(d, t, &numbers);
            let (mut product, mut sum) = ([1., 0.], [0.; 2]);
            let mut so_far = vec![];
            for [a, b] in parts(&z) {
                product = [product[0] * a - product[1] * b, product[0] * b + product[1] * a];
                sum = [sum[0] + a, sum[1] + b];
                so_far.push((product, sum));
            }
            let eps = t.finfo().unwrap().eps;
            let bound = n as f64 * (2. * (n as f64).log2() + 32.) * if t == F16 { F32.finfo().unwrap().eps } else { eps };
            let near = |got: &[f64; 2], want: &[f64; 2], bound: f64| {
                let error = (got[0] - want[0]).hypot(got[1] - want[1]);
                assert!(error <= bound, "{t}, {n}: {got:?}, not {want:?}");
            };
            // f16 is rounded once more
            let rounded = if t == F16 { eps } else { 0. };
            near(&parts(&z.prod(..))[0], &product, size(product) * (bound + rounded));
            let (products, sums) = (parts(&z.cumulative_prod(0)), parts(&z.cumulative_sum(0)));
            for ((p, s), (product, sum)) in products.iter().zip(&sums).zip(&so_far) {
                near(p, product, size(*product) * (bound + rounded));
                near(s, sum, bound + size(*sum) * rounded);
            }
        }
        let z = Complex::new(put(d, vec![1f32, f32::INFINITY, 0., 2.], &[2, 2]), 0.0);
        assert_eq!(parts(&z.prod(1)), [[f64::INFINITY, 0.], [0., 0.]]);
        assert_eq!(parts(&z.map(|e| e.slice(s![.., 0])).cumulative_prod(exclusive(0))), [[1., 0.], [1., 0.]]);
        assert_eq!(z.prod(keep(1)).shape().unwrap(), [2, 1]);
    }

    fn functions_are_one_kernel(d: &Device) {
        let z = complex(d, F32, &[[0.5, 0.25]; 6]);
        for name in ["atanh", "exp", "log", "sinh", "sqrt", "tanh"] {
            let w = function(name)(&z) + 1.0;
            assert_eq!(plan_many([w.real(), w.imag()]).unwrap().kernels(), 1, "{name}");
        }
    }
}

#[test]
fn derivatives_pass_through_the_formulas() {
    // a function of a complex variable has the derivative ∂w/∂a, and i times it is ∂w/∂b
    let points = [[0.5, 0.25], [-0.5, 1.5], [0., 0.75], [0.25, 0.], [0., 0.]];
    let h = 1e-6;
    for name in [
        "exp", "expm1", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh",
        "atanh",
    ] {
        for z in points.into_iter().filter(|z| name != "sqrt" || *z != [0., 0.]) {
            let at =
                |da: f64, db: f64| parts(&function(name)(&complex(&Device::cpu(), F64, &[[z[0] + da, z[1] + db]])))[0];
            let [a, b] = z.map(|x| Array::from_vec(vec![x], [1]).unwrap());
            let w = function(name)(&Complex::new(&a, &b));
            let slope = |e: &Expr| grad(&e.sum(..), [&*a, &*b]).map(|g| g.to_vec::<f64>().unwrap()[0]);
            let (re, im) = (slope(w.real()), slope(w.imag()));
            let [p, q] = [at(h, 0.), at(-h, 0.)];
            let want = [(p[0] - q[0]) / (2. * h), (p[1] - q[1]) / (2. * h)];
            let near = |x: f64, y: f64| (x - y).abs() <= 1e-7 * (1. + y.abs());
            let is = near(re[0], want[0]) && near(im[0], want[1]) && near(re[1], -want[1]) && near(im[1], want[0]);
            assert!(is, "{name} of {z:?}: {re:?} {im:?}, not {want:?}");
        }
    }
}
