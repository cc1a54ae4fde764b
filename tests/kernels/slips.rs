//! Kernels that look right and are wrong, or look odd and are right: loops with several paths, results that use no
//! operand, matrices, initial values that are not neutral.

use crate::kit::*;
use cupric::{
    Array, Check, DType, Device, ElementwiseKernel, Error, ErrorKind, KernelOptions, Reduction, ReductionKernel,
    arange, array, eval_all, keep, linspace, select,
};

type Result<T = ()> = std::result::Result<T, Error>;

on_devices! {
    fn a_loop_that_no_element_leaves_is_not_cut(d: &Device) {
        whole_loops(d).expect("loops");
    }
    fn results_without_operands_have_their_device_and_shape(d: &Device) {
        without_operands(d).expect("results");
    }
    fn a_check_looks_at_each_output(d: &Device) {
        checked_outputs(&own(d)).expect("outputs");
    }
    fn states_of_every_type_in_rows_of_every_length(d: &Device) {
        every_state(d).expect("reductions");
    }
    fn reductions_of_narrow_types(d: &Device) {
        narrow(d).expect("reductions");
    }
}

fn whole_loops(d: &Device) -> Result {
    let body = "for (var i = 0; i < 1500; i++) {
                    if f32(i) < x { continue; }
                    if i32(x) == i { continue; }
                    y += 1.0;
                }";
    let x = array![0.5, 10., 1600., -3.].to_device(d)?;
    let wanted = [1499., 1489., 0., 1500.];
    for options in [KernelOptions::default(), KernelOptions::default().loop_steps(7)] {
        let kernel = ElementwiseKernel::with_options("x: f32", "y: f32", body, "ways", options)?;
        assert_eq!(kernel.call((&x,)).to_vec::<f32>()?, wanted);
    }
    // `loop_steps` limits a loop that some elements leave early, for all others too
    let body = "for (var i = 0; i < 100; i++) { if f32(i) >= x { break; } y += 1.0; }";
    let kernel =
        ElementwiseKernel::with_options("x: f32", "y: f32", body, "cut", KernelOptions::default().loop_steps(7))?;
    assert_eq!(kernel.call((&x,)).to_vec::<f32>()?, [1., 7., 7., 0.]);
    Ok(())
}

fn without_operands(d: &Device) -> Result {
    let x: Array = linspace(-1.0, 1.0, 6, DType::F32).reshape([2, 3]).to_device(d)?;
    let kernel = ElementwiseKernel::new("x: f32", "y: f32, z: f32", "y = 2.5; z = x;", "constant")?;
    let [y, z] = kernel.call_many((&x,));
    let [y, z] = eval_all([&y, &z])?;
    assert_eq!((y.device(), z.device(), y.shape()), (d.clone(), d.clone(), &[2, 3][..]));
    assert_eq!((&y + &x).to_vec::<f32>()?, x.to_vec::<f32>()?.iter().map(|x| x + 2.5).collect::<Vec<_>>());
    let steps = Reduction { state: "n: u32 = 0", map: "n = 1u;", combine: "n = a.n + b.n;", finish: "y = n;" };
    let count = ReductionKernel::new("x: f32", "y: u32", steps, "count")?;
    let n = count.call((&x,), 0).eval()?;
    assert_eq!((n.device(), n.to_vec::<u32>()?), (d.clone(), vec![2; 3]));
    // a result that does not use the state still has the shape of the reduction
    for state in ["n: u32 = 0", "n: u32 = 0, m: u32 = 0"] {
        let of_two = state.contains('m');
        let map = if of_two { "n = 1u; m = 1u;" } else { "n = 1u;" };
        let combine = if of_two { "n = a.n + b.n; m = a.m + b.m;" } else { "n = a.n + b.n;" };
        let seven =
            ReductionKernel::new("x: f32", "y: i32", Reduction { state, map, combine, finish: "y = 7;" }, "seven")?;
        let y = seven.call((&x,), keep(1)).eval()?;
        assert_eq!((y.device(), y.shape(), y.to_vec::<i32>()?), (d.clone(), &[2, 1][..], vec![7, 7]));
    }
    Ok(())
}

fn checked_outputs(d: &Device) -> Result {
    d.check([Check::Nan]);
    let x = array![1., -1., 2.].to_device(d)?;
    // z is computed from y, but is not NaN where y is
    let kernel =
        ElementwiseKernel::new("x: f32", "y: f32, z: f32", "y = log(x); z = select(y, 0.0, x < 0.0);", "logs")?;
    let [y, z] = kernel.call_many((&x,));
    let found = |e: Error| assert!(e.kind() == ErrorKind::Check && e.to_string().contains("slips.rs"), "{e}");
    found(eval_all([&y, &z]).expect_err("a NaN in y"));
    found((&y * 2.0).eval().expect_err("a NaN in y"));
    assert_eq!(z.to_vec::<f32>()?, [0., 0., 2f32.ln()]);
    // a NaN inside a reduction's `map` is in neither the operand nor the result, so it is not reported
    let steps = Reduction {
        state: "most: f32 = lowest, n: f32 = 0",
        map: "most = select(log(x), 0.0, isnan(log(x))); n = 1.0;",
        combine: "most = max(a.most, b.most); n = a.n + b.n;",
        finish: "y = most * n;",
    };
    let most = ReductionKernel::new("x: f32", "y: f32", steps, "most")?;
    assert_eq!(most.call((&x,), 0).item::<f32>()?, 3.0 * 2f32.ln());
    let steps = Reduction {
        state: "most: f32 = lowest",
        map: "most = select(log(x), 0.0, isnan(log(x)));",
        combine: "most = max(a.most, b.most);",
        finish: "y = most;",
    };
    assert_eq!(ReductionKernel::new("x: f32", "y: f32", steps, "most")?.call((&x,), 0).item::<f32>()?, 2f32.ln());
    Ok(())
}

fn narrow(d: &Device) -> Result {
    let most = Reduction { state: "s: T = lowest", map: "s = x;", combine: "s = max(a.s, b.s);", finish: "y = s;" };
    let most = ReductionKernel::new("x: T", "y: T", most, "most")?;
    let least = Reduction { state: "s: T = highest", map: "s = x;", combine: "s = min(a.s, b.s);", finish: "y = s;" };
    let least = ReductionKernel::new("x: T", "y: T", least, "least")?;
    for (dtype, low, high) in
        [(DType::I8, -128, 127), (DType::I16, -32768, 32767), (DType::U8, 0, 255), (DType::I32, i32::MIN, i32::MAX)]
    {
        let none = cupric::zeros([2, 0], dtype).to_device(d)?;
        assert_eq!(most.call((&none,), 1).to_vec_as::<i32>()?, [low; 2]);
        assert_eq!(least.call((&none,), 1).to_vec_as::<i32>()?, [high; 2]);
    }
    let norm = Reduction { state: "s: T = 0", map: "s = x * x;", combine: "s = a.s + b.s;", finish: "y = sqrt(s);" };
    let norm = ReductionKernel::new("x: T", "y: T", norm, "norm")?;
    // the sum of 1,000 squares of 10 exceeds 65,504, the largest f16
    for shape in [[1000, 1], [1000, 300]] {
        let x = cupric::full(shape, 10.0, DType::F16).to_device(d)?;
        let norms = norm.call((&x,), 0).to_vec_as::<f32>()?;
        assert!(norms.iter().all(|y| *y == 316.25), "{shape:?}: {norms:?}");
    }
    let both = Reduction { state: "s: bool = 1", map: "s = x > 0.0;", combine: "s = a.s && b.s;", finish: "y = s;" };
    let both = ReductionKernel::new("x: f32", "y: bool", both, "all_above")?;
    let either = Reduction { state: "s: bool = 0", map: "s = x > 0.0;", combine: "s = a.s || b.s;", finish: "y = s;" };
    let either = ReductionKernel::new("x: f32", "y: bool", either, "any_above")?;
    let x = array![[1., 2.], [-1., 3.], [-1., -2.]].to_device(d)?;
    assert_eq!(both.call((&x,), 1).to_vec::<bool>()?, [true, false, false]);
    assert_eq!(either.call((&x,), 1).to_vec::<bool>()?, [true, true, false]);
    // these become the library's own reductions
    assert!(both.call((&x,), 1).plan()?.to_string().contains("reduce logical_and"), "{}", both.call((&x,), 1).plan()?);
    assert!(
        either.call((&x,), 1).plan()?.to_string().contains("reduce logical_or"),
        "{}",
        either.call((&x,), 1).plan()?
    );
    Ok(())
}

#[test]
fn dtypes_of_several_names_are_found() {
    let choose = ElementwiseKernel::new("x: T, wanted: U", "y: T", "if wanted { y = x; }", "choose")
        .expect("a float and a bool");
    assert_eq!(choose.call((array![1, 2], array![true, false])).to_vec::<i32>().expect("two"), [1, 0]);
    let shift = ElementwiseKernel::new("x: A, by: B, f: C", "y: A", "y = x << by; if f > 0.5 { y = A(0); }", "shift");
    shift.expect("an integer, an unsigned one and a float");
    let double = ElementwiseKernel::new("x: T", "y: T", "y = x * 2.0lf;", "double").expect("doubles alone");
    assert_eq!(double.call((array![1.5f64],)).to_vec::<f64>().expect("one"), [3.0]);
    let half = ElementwiseKernel::new("x: f32", "y: f32", "y = f32(f16(x));", "half").expect("f16 within the body");
    assert_eq!(half.call((array![2049.],)).to_vec::<f32>().expect("one"), [2048.0]);
}

#[test]
fn slips_are_refused() {
    let refused = |inputs: &str, body: &str, options: KernelOptions| {
        let e = ElementwiseKernel::with_options(inputs, "y: f32", body, "wrong", options).expect_err(body).to_string();
        println!("{e}");
        e
    };
    let plain = KernelOptions::default;
    for body in [
        "let m = mat2x2<f32>(x, x, x, x); y = (m * m)[0][0];",
        "let m = mat2x2<f32>(x, x, x, x); y = (m * vec2(x, 1.0)).x;",
        "let m = mat2x2(vec2(x), vec2(1.0)); y = m[0].x;",
        "const m = mat2x2<f32>(1.0, 2.0, 3.0, 4.0); y = (m * vec2(x, 1.0)).x;",
        "y = determinant(mat2x2<f32>(x, x, x, x));",
    ] {
        let e = refused("x: f32", body, plain());
        assert!(e.contains("a matrix, which a kernel cannot have"), "{e}");
    }
    let e = refused("x: f32 = 1", "y = x;", plain());
    assert!(e.contains("x has a value, 1; only the state of a reduction may have values"), "{e}");
    let e = refused("x: f32", "y = x;", plain().loop_steps(0));
    assert!(e.contains("loop_steps(0)"), "{e}");
    let e = refused("x: f32, while: f32", "y = x;", plain());
    assert!(e.contains("the parameters: "), "{e}");
    let e = refused(
        "x: f32",
        "var t: array<f32, 1000>; for (var i = 0; i < 200; i++) { for (var j = 0; j < 300; j++) { if x > 0.0 { t[0] = x; } } }",
        plain(),
    );
    assert!(e.contains("more than 1048576 statements"), "{e}");
    let e = refused(
        "x: f32",
        "var t: array<f32, 1000>; var u: array<f32, 1000>; for (var i = 0; i < 1000; i++) { t[i] = x + f32(i); }
         for (var n = 0; n < 70; n++) { u = t; for (var i = 1; i < 1000; i++) { t[i] = u[i] * u[i - 1]; } } y = t[999];",
        plain(),
    );
    assert!(e.contains("computes more than 65536 values"), "{e}");
}

#[test]
fn combinations_whose_order_matters_are_refused() {
    let plain = Reduction { state: "s: f32 = 0", map: "s = x;", combine: "s = a.s + b.s;", finish: "y = s;" };
    let cases = [
        (
            Reduction { combine: "s = max(a.s, b.s);", ..plain },
            "with the neutral numbers of the state, the element -3.0 gives -0.0, and without them -3.0",
        ),
        (Reduction { state: "s: f32 = 1", ..plain }, "with the neutral numbers"),
        (Reduction { combine: "s = b.s;", ..plain }, "with the neutral numbers"),
        (
            Reduction {
                state: "s: f32 = lowest, n: f32 = 0",
                map: "s = x; n = 1.0;",
                combine: "s = a.s; n = a.n + b.n; if a.n == 0.0 { s = b.s; }",
                finish: "y = s;",
            },
            "it must not matter which state is a and which is b",
        ),
        // right for elements, but NaN if an idle lane combines two neutral states
        (
            Reduction {
                state: "m: f32 = lowest, s: f32 = 0",
                map: "m = x; s = 1;",
                combine: "let k = max(a.m, b.m); m = k; s = a.s * exp(a.m - k) + b.s * exp(b.m - k);",
                finish: "y = m + log(s);",
            },
            "with the neutral numbers",
        ),
        (
            Reduction {
                combine: "s = 0.5 * (a.s + b.s); if a.s == 0.0 { s = b.s; } if b.s == 0.0 { s = a.s; }",
                ..plain
            },
            "the order must not matter",
        ),
        (
            Reduction { combine: "s = a.s + b.s; for (var i = 0; i < 300; i++) { s = s + 0.0; }", ..plain },
            "a chain of more than 256 operations",
        ),
    ];
    for (steps, wanted) in cases {
        let e = ReductionKernel::new("x: f32", "y: f32", steps, "wrong").expect_err(wanted).to_string();
        println!("{e}");
        assert!(e.contains(wanted), "{e}");
    }
    // rounding differences are accepted, and so are different states that give the same result
    let good = [
        Reduction {
            state: "p: f32 = 0, q: f32 = 1",
            map: "p = x; q = 1.0;",
            combine: "p = a.p * b.q + b.p * a.q; q = a.q * b.q;",
            finish: "y = p / q;",
        },
        Reduction {
            state: "n: f32 = 0, mean: f32 = 0, m2: f32 = 0",
            map: "n = 1.0; mean = x;",
            combine: "n = a.n + b.n; let d = b.mean - a.mean; let whole = max(n, 1.0);
                      mean = a.mean + d * b.n / whole; m2 = a.m2 + b.m2 + d * d * a.n * b.n / whole;",
            finish: "y = m2 / n;",
        },
        Reduction { map: "s = x * 0.1;", ..plain },
        Reduction { state: "s: f32 = 1", combine: "s = a.s * b.s;", ..plain },
        Reduction { combine: "s = sqrt(a.s * a.s + b.s * b.s);", map: "s = abs(x);", ..plain },
    ];
    for steps in good {
        ReductionKernel::new("x: f32", "y: f32", steps, "good").expect(steps.combine);
    }
}

fn every_state(d: &Device) -> Result {
    for length in [1, 5, 63, 64, 771, 2048, 5000, 40_000] {
        let x = arange(0, 3 * length, 1, DType::I32).reshape([3, length]).to_device(d)?;
        let x = ((&x * 7919).remainder(1009) - 500).eval()?;
        for axis in [0, 1] {
            of_numbers(&x, axis)?;
            of_truths(&x, axis)?;
        }
    }
    Ok(())
}

/// Minimum, maximum and how often they occur: states of 32-bit words and of 64-bit words.
fn of_numbers(x: &Array, axis: isize) -> Result {
    for (types, dtype) in [("T", DType::I32), ("T", DType::F32), ("i64", DType::I32), ("f64", DType::F32)] {
        if types == "f64" && !x.device().supports(DType::F64) {
            continue;
        }
        let state = format!("low: T = highest, high: T = lowest, n: {types} = 0");
        let steps = Reduction {
            state: &state,
            map: "low = x; high = x; n = 1;",
            combine: "low = min(a.low, b.low); if a.high < b.high { high = b.high; } else { high = a.high; } n = a.n + b.n;",
            finish: "y = T(n) * 3 + high - low;",
        };
        let kernel = ReductionKernel::new("x: T", "y: T", steps, "width")?;
        let x = x.astype(dtype).eval()?;
        let wanted = (x.max(axis) - x.min(axis) + x.shape()[axis as usize] as i32 * 3).astype(DType::F32);
        let got = kernel.call((&x,), axis).astype(DType::F32).to_vec::<f32>()?;
        assert_eq!(got, wanted.to_vec::<f32>()?, "{types} {dtype} {:?} axis {axis}", x.shape());
    }
    Ok(())
}

/// Whether an element is above a number, and how many are: a state with a bool.
fn of_truths(x: &Array, axis: isize) -> Result {
    let steps = Reduction {
        state: "any: bool = 0, n: i32 = 0",
        map: "any = x; n = i32(x);",
        combine: "any = a.any || b.any; n = a.n + b.n;",
        finish: "y = select(-1, n, any);",
    };
    let kernel = ReductionKernel::new("x: bool", "y: i32", steps, "counted")?;
    let is_high = x.greater(480);
    let count = is_high.sum(axis).astype(DType::I32);
    let wanted = select(count.greater(0), &count, -1);
    assert_eq!(kernel.call((&is_high,), axis).to_vec::<i32>()?, wanted.to_vec::<i32>()?, "{:?} axis {axis}", x.shape());
    Ok(())
}

/// A user's source cannot escape from the function into which it is inserted.
#[test]
fn a_text_stays_in_its_function() {
    let says = |e: Error, words: &str| assert!(e.kind() == ErrorKind::Argument && e.to_string().contains(words), "{e}");
    let body = |body: &str| ElementwiseKernel::new("x: f32", "y: f32", body, "k").map(|_| ());
    for text in [
        "y = x; } fn evil() { ",
        "y = x; } const one = 1; fn evil() {",
        "if x > 0.0 { y = x; } } fn evil() { if true { ",
        "y = x; // }\u{2028} } fn evil() { //",
        "y = x; /* /* */ { */ } fn evil() {",
    ] {
        says(body(text).unwrap_err(), "would end the kernel's function");
    }
    says(body("y = x; } fn evil() { ").unwrap_err(), "body, line 1, column 8");
    says(body("if x > 0.0 {\n y = x;").unwrap_err(), "body, line 1, column 12: this `{` has no matching `}`");
    says(body("y = x; /* {").unwrap_err(), "body, line 1, column 8: this comment does not end");
    // balanced braces, and braces in comments, are allowed
    for text in ["{ y = x; }", "y = x; // }", "/* } */ y = x; /* /* { */ */", "y = x; // {\r{ y = y + 1.0; }"] {
        body(text).unwrap();
    }
    let helpers = |text: &str| KernelOptions::default().helpers(text);
    let with =
        |text: &str| ElementwiseKernel::with_options("x: f32", "y: f32", "y = x;", "k", helpers(text)).map(|_| ());
    says(with("fn f() { } }").unwrap_err(), "helpers, line 1, column 12");
    with("fn f(x: f32) -> f32 { return x; }").unwrap();
    let right = Reduction { state: "s: f32 = 0", map: "s = x;", combine: "s = a.s + b.s;", finish: "y = s;" };
    let reduction = |steps| ReductionKernel::new("x: f32", "y: f32", steps, "k").map(|_| ());
    reduction(right).unwrap();
    let [map, combine, finish] = ["s = x; } fn f() {", "s = a.s + b.s; } fn f() {", "y = s; } fn f() {"];
    says(reduction(Reduction { map, ..right }).unwrap_err(), "map, line 1, column 8");
    says(reduction(Reduction { combine, ..right }).unwrap_err(), "combine, line 1, column 16");
    says(reduction(Reduction { finish, ..right }).unwrap_err(), "finish, line 1, column 8");
}
