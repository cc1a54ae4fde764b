//! Kernels that return an error: wrong ones, with line and column, and hostile ones.

use cupric::*;

/// Wrong kernels, and the messages that they must give.
#[test]
fn wrong_kernels_are_refused_with_line_and_column() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("x: f32", "y: f32", "y = q + 1.0;", "body, line 1, column 5: no definition in scope for identifier: `q`"),
        ("x: f32", "y: f32", "let a = x;\n  y = a +;", "body, line 2, column"),
        ("x: f32", "y: f32", "y = x", "body, line 1, column 6"),
        ("x: f32", "y: f32", "y = x + 1u;", "body, line 1, column 5: Operation Add can't work with f32 and u32"),
        ("x: f32", "y: f32", "y = true;", "body, line 1, column"),
        ("x: f32", "y: f32", "x = 1.0;", "body, line 1, column 1"),
        ("x: f32", "y: f32", "y = bessel(x);", "no definition in scope for identifier: `bessel`"),
        ("x: f32", "y: f32", "y = ldexp(x, 3);", "a kernel cannot call the function `ldexp` of f32"),
        ("x: i32", "y: i32", "y = countOneBits(x);", "a kernel cannot call the function `countOneBits` of i32"),
        ("x: f32", "y: u32", "y = bitcast<u32>(x);", "body, line 1, column 5: `bitcast` of a float's bits"),
        ("x: f32", "y: f32", "y = dpdx(x);", "body, line 1, column"),
        ("x: f32", "y: f32", "workgroupBarrier();", "body, line 1, column 1: a statement that a kernel cannot have"),
        ("x: f32", "y: f32", "while x > 0.0 { y += x; }", "how often this loop runs depends on the elements"),
        ("x: f32", "y: f32", "loop { y += 1.0; }", "computes more than 65536 values for an element"),
        (
            "x: f32",
            "y: f32",
            "for (var i = 0; i < 1000000; i++) { y += x; }",
            "computes more than 65536 values for an element",
        ),
        (
            "x: f32, i: i32",
            "y: f32",
            "var t = array(1.0, 2.0); t[i] = x; y = t[0];",
            "an index that differs between elements",
        ),
        ("x: f32", "y: f32", "var m = mat2x2<f32>(); y = x;", "a type that a kernel cannot have"),
        ("x: f32", "x: f32", "x = x;", "x is both an input and an output"),
        ("x: f32", "y: T", "y = x;", "the output y has the type T, which no input has"),
        ("x: float", "y: f32", "y = x;", "\"x: float\" is not `name: type`"),
        ("", "y: f32", "y = 1.0;", "the inputs must not be empty"),
        ("x: f32, x: f32", "y: f32", "y = x;", "x is listed twice"),
        ("x: f32", "y: f32", "y = x; }", "body, line"),
        ("x: f32", "y: f32", "y = helper(x);", "no definition in scope for identifier: `helper`"),
    ];
    for (inputs, outputs, body, wanted) in cases {
        let e = match ElementwiseKernel::new(inputs, outputs, body, "wrong") {
            Ok(kernel) => panic!("{kernel:?} of {body:?} is not refused"),
            Err(e) => e.to_string(),
        };
        println!("{e}");
        assert!(
            e.starts_with("wrong: ") && e.contains(wanted) && e.contains("refused.rs") && !e.contains('\n'),
            "{body:?}: {e}"
        );
    }
    let steps = Reduction { state: "s: f32 = 0", map: "s = x;", combine: "s = a.s + b.s;", finish: "y = s;" };
    let cases = [
        (Reduction { state: "s: f32", ..steps }, "the state's s has no neutral number"),
        (Reduction { state: "s: f32 = 7", ..steps }, "the neutral number 7 is not 0, 1, lowest or highest"),
        (Reduction { state: "a: f32 = 0", ..steps }, "the state's a: a and b are the names of combine's two states"),
        (Reduction { combine: "s = a.t;", ..steps }, "combine, line 1, column"),
        (Reduction { finish: "y = q;", ..steps }, "finish, line 1, column 5"),
        (Reduction { map: "s = x +;", ..steps }, "map, line 1, column 8"),
        (Reduction { state: "s: f32 = 0, t: f32 = 0, u: f32 = 0, v: f32 = 0", ..steps }, "a state of 4 numbers"),
        (
            Reduction { combine: "s = a.s + b.s; for (var i = 0; i < 20; i++) { s = s + s - s; }", ..steps },
            "more than 4096 operations",
        ),
    ];
    for (steps, wanted) in cases {
        let e = ReductionKernel::new("x: f32", "y: f32", steps, "wrong").expect_err("a wrong reduction").to_string();
        println!("{e}");
        assert!(e.starts_with("wrong: ") && e.contains(wanted) && !e.contains('\n'), "{steps:?}: {e}");
    }
}

/// Sources that would take all memory, the stack, or an hour.
#[test]
fn hostile_kernels_are_refused() {
    let body = |text: &str| match ElementwiseKernel::new("x: f32", "y: f32", text, "hostile") {
        Ok(_) => String::new(),
        Err(e) => e.to_string().chars().take(300).collect(),
    };
    let e = body("var t: array<array<array<f32, 500>, 500>, 500>; y = x;");
    assert!(e.contains("a type of 125000000 numbers"), "{e}");
    let e = body("for (var i = 0; i < 60000; i++) { for (var j = 0; j < 60000; j++) { } }");
    assert!(e.contains("more than 1048576 statements"), "{e}");
    let mut helpers = String::from("fn g0(x: f32) -> f32 { return x; }\n");
    for n in 1..50 {
        helpers.push_str(&format!("fn g{n}(x: f32) -> f32 {{ return g{0}(g{0}(x)); }}\n", n - 1));
    }
    let options = KernelOptions::default().helpers(&helpers);
    let e =
        ElementwiseKernel::with_options("x: f32", "y: f32", "y = g49(x);", "hostile", options).expect_err("2^49 calls");
    assert!(e.to_string().contains("more than 1048576 statements"), "{e}");
    for deep in [200, 20_000, 1_000_000] {
        for text in [
            format!("y = {}x{};", "(".repeat(deep), ")".repeat(deep)),
            format!("y = {}x;", "-".repeat(deep)),
            format!("y = x{};", " + x".repeat(deep)),
            format!("y = {}x{};", "abs(".repeat(deep), ")".repeat(deep)),
            format!("{}y = x;{}", "if x > 0.0 {".repeat(deep), "}".repeat(deep)),
            format!("if x > 0.0 {{ }} {} {{ y = x; }}", "else if x > 1.0 { }".repeat(deep)),
            format!("y = x{};", "\n".repeat(deep)),
            format!("let a: {}f32{} = x;", "array<".repeat(deep), ", 1>".repeat(deep)),
        ] {
            let e = body(&text);
            assert!(e.is_empty() || e.starts_with("hostile: "), "{e}");
        }
    }
}
