//! Elementwise kernels that users write in WGSL: their results, and how they fuse.

use crate::kit::*;
use cupric::{
    Array, DType, Device, ElementwiseKernel, ErrorKind, Expr, KernelOptions, Rng, arange, array, eval_all, full, keep,
    linspace, select,
};

pub type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

on_devices! {
    fn smooth_l1_is_one_kernel_with_the_bits_of_its_composition(d: &Device) {
        smooth_l1(d).expect("smooth L1");
    }
    fn every_builtin_is_the_row_of_its_name(d: &Device) {
        builtins(d).expect("built-in functions");
    }
    fn integers_are_those_of_wgsl(d: &Device) {
        integers(d).expect("integers");
    }
    fn branches_and_loops_are_those_of_a_scalar_program(d: &Device) {
        control_flow(d).expect("control flow");
    }
    fn vectors_arrays_structures_and_helpers(d: &Device) {
        composites(d).expect("vectors and others");
    }
    fn dtypes_are_given_or_inferred(d: &Device) {
        dtypes(d).expect("dtypes");
    }
    fn several_outputs_are_one_kernel(d: &Device) {
        let d = &own(d);
        outputs(d).expect("outputs");
    }
}

pub fn normal(d: &Device, shape: impl cupric::IntoShape, seed: u64) -> Result<Array> {
    Ok((Rng::new(seed).normal(shape, DType::F32) * 2.0).to_device(d)?)
}

pub fn same_bits(a: &Expr, b: &Expr) -> Result {
    let (a, b) = (a.to_vec::<f32>()?, b.to_vec::<f32>()?);
    assert_eq!(a.len(), b.len());
    for (n, (x, y)) in a.iter().zip(&b).enumerate() {
        assert!(x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan(), "element {n}: {x} and {y}");
    }
    Ok(())
}

fn smooth_l1(d: &Device) -> Result {
    let kernel = ElementwiseKernel::new(
        "x: f32, y: f32",
        "z: f32",
        "let d = abs(x - y);\nif d < 1.0 { z = 0.5 * d * d; } else { z = d - 0.5; }",
        "smooth_l1",
    )?;
    let (x, y) = (normal(d, [33, 1], 1)?, normal(d, [70], 2)?);
    let loss = kernel.call((&x, &y));
    assert_eq!(loss.shape()?, [33, 70]);
    assert_eq!((&loss * 2.0).sum(keep(-1)).plan()?.kernels(), 1, "{}", (&loss * 2.0).sum(keep(-1)).plan()?);
    let distance = (&x - &y).abs();
    let composition = select(distance.less(1.0), 0.5 * &distance * &distance, &distance - 0.5);
    same_bits(&loss, &composition)?;
    same_bits(&kernel.call([&x, &x]), &(&x * 0.0).abs())?;
    // one operand is a view, another a number
    let part = x.t().flip(0);
    same_bits(&kernel.call((part.clone(), 0.25)), &{
        let distance = (&part - 0.25).abs();
        select(distance.less(1.0), 0.5 * &distance * &distance, &distance - 0.5)
    })
}

fn builtins(d: &Device) -> Result {
    let x = linspace(-3.0, 3.0, 101, DType::F32).to_device(d)?;
    let p = linspace(0.01, 30.0, 101, DType::F32).to_device(d)?;
    let u = linspace(-1.0, 1.0, 101, DType::F32).to_device(d)?;
    let cases: Vec<(&str, &Array, Expr)> = vec![
        ("abs(x)", &x, x.abs()),
        ("sign(x)", &x, x.sign()),
        ("ceil(x)", &x, x.ceil()),
        ("floor(x)", &x, x.floor()),
        ("round(x)", &x, x.round()),
        ("trunc(x)", &x, x.trunc()),
        ("fract(x)", &x, &x - x.floor()),
        ("sin(x)", &x, x.sin()),
        ("cos(x)", &x, x.cos()),
        ("tan(x)", &x, x.tan()),
        ("sinh(x)", &x, x.sinh()),
        ("cosh(x)", &x, x.cosh()),
        ("tanh(x)", &x, x.tanh()),
        ("asin(x)", &u, u.asin()),
        ("acos(x)", &u, u.acos()),
        ("atan(x)", &x, x.atan()),
        ("asinh(x)", &x, x.asinh()),
        ("acosh(x + 1.0)", &p, (&p + 1.0).acosh()),
        ("atanh(x)", &u, u.atanh()),
        ("atan2(x, 0.5)", &x, cupric::atan2(&x, 0.5)),
        ("exp(x)", &x, x.exp()),
        ("exp2(x)", &x, x.exp2()),
        ("log(x)", &p, p.log()),
        ("log2(x)", &p, p.log2()),
        ("sqrt(x)", &p, p.sqrt()),
        ("inverseSqrt(x)", &p, p.rsqrt()),
        ("pow(x, 1.7)", &p, p.pow(1.7)),
        ("radians(x)", &x, x.deg2rad()),
        ("degrees(x)", &x, x.rad2deg()),
        ("min(x, 0.5)", &x, x.minimum(0.5)),
        ("max(x, 0.5)", &x, x.maximum(0.5)),
        ("clamp(x, -1.0, 0.5)", &x, x.clip(-1.0, 0.5)),
        ("saturate(x)", &x, x.clip(0.0, 1.0)),
        ("mix(x, 2.0, 0.25)", &x, &x * 0.75 + 0.5),
        ("step(0.5, x)", &x, x.greater_equal(0.5).astype(DType::F32)),
        ("fma(x, 2.0, 1.0)", &x, &x * 2.0 + 1.0),
        ("x % 0.7", &x, x.fmod(0.7)),
        ("-x", &x, -&x),
        ("select(1.0, x, x > 0.0)", &x, select(x.greater(0.0), &x, 1.0)),
        ("modf(x).fract + 10.0 * modf(x).whole", &x, (&x - x.trunc()) + 10.0 * x.trunc()),
        ("smoothstep(-1.0, 2.0, x)", &x, {
            let t = ((&x - -1.0) / 3.0).clip(0.0, 1.0);
            (&t * &t) * (3.0 - 2.0 * &t)
        }),
        ("erf(x) + f32(isnan(x + (x - x) / (x - x)))", &x, x.erf() + 1.0),
        ("log1p(x) * cbrt(x)", &p, p.log1p() * p.cbrt()),
        ("lerp(x, 2.0, hypot(x, 1.0))", &x, cupric::lerp(&x, 2.0, cupric::hypot(&x, 1.0))),
        ("length(vec2f(x, 2.0))", &x, (&x * &x + 4.0).sqrt()),
        ("f32(i32(x * 2.0)) + f32(x > 0.0)", &x, (&x * 2.0).astype(DType::I32).astype(DType::F32) + x.greater(0.0)),
    ];
    for (text, operand, wanted) in cases {
        let kernel = ElementwiseKernel::new("x: f32", "y: f32", &format!("y = {text};"), "builtin")?;
        let got = kernel.call((operand,));
        assert_eq!(got.plan()?.kernels(), 1, "{text}");
        same_bits(&got, &wanted).map_err(|e| format!("{text}: {e}"))?;
    }
    Ok(())
}

fn integers(d: &Device) -> Result {
    let edges = [i32::MIN, i32::MIN + 1, -7, -2, -1, 0, 1, 2, 3, 31, 32, 33, 1000, i32::MAX];
    let (a, b): (Vec<i32>, Vec<i32>) = edges.iter().flat_map(|a| edges.iter().map(move |b| (*a, *b))).unzip();
    let [x, y] = [&a, &b].map(|v| Array::from_vec(v.clone(), [v.len()]).and_then(|v| v.to_device(d)));
    let (x, y) = (x?, y?);
    let kernel = ElementwiseKernel::new(
        "a: i32, b: i32",
        "quotient: i32, rest: i32, left: i32, right: i32, low: u32, bits: i32",
        "quotient = a / b; rest = a % b; left = a << u32(b); right = a >> u32(b);
         low = u32(a) / bitcast<u32>(b); bits = (a & b) ^ (~a | b);",
        "integers",
    )?;
    let results = kernel.call_many::<6>((&x, &y));
    let results = eval_all(results.each_ref())?;
    for (n, (a, b)) in a.iter().zip(&b).enumerate() {
        // in WGSL, x / 0 is x and x % 0 is 0; a shift is taken modulo the width
        let quotient = a.checked_div(*b).unwrap_or(*a);
        let rest = a.checked_rem(*b).unwrap_or(0);
        let low = (*a as u32).checked_div(*b as u32).unwrap_or(*a as u32);
        let wanted =
            [quotient, rest, a.wrapping_shl(*b as u32), a.wrapping_shr(*b as u32), low as i32, (a & b) ^ (!a | b)];
        for (result, wanted) in results.iter().zip(wanted) {
            let got = match result.dtype() {
                DType::U32 => result.to_vec::<u32>()?[n] as i32,
                _ => result.to_vec::<i32>()?[n],
            };
            assert_eq!(got, wanted, "{a} and {b}");
        }
    }
    Ok(())
}

/// A program with branches and loops, in Rust and in WGSL. The two sources correspond line by line.
fn scalar_program(x: i32, y: i32) -> (i32, i32) {
    fn helper(n: i32, stop: i32) -> i32 {
        let mut i = 0;
        while i < 10 {
            i += 1;
            if i == stop {
                return i * 100;
            }
            if n > i {
                continue;
            }
            if n < -i {
                break;
            }
        }
        -i
    }
    let mut sum = 0;
    let mut turns = 0;
    'outer: for i in 0..6 {
        turns += 1;
        if (x + i) % 3 == 0 {
            continue;
        }
        match y {
            0 => sum += 1,
            1 | 2 => {
                sum += 10;
                if x == 4 {
                    continue 'outer;
                }
                sum += i;
            }
            3 => {
                if x < 0 {
                    return (sum, turns);
                }
                sum -= 7;
            }
            _ => sum += helper(x, y),
        }
        if sum > 30 && x != 5 {
            break;
        }
        sum += 2;
    }
    (sum, turns)
}

fn control_flow(d: &Device) -> Result {
    let options = KernelOptions::default().helpers(
        "fn helper(n: i32, stop: i32) -> i32 {
            var i = 0;
            while i < 10 {
                i += 1;
                if i == stop { return i * 100; }
                if n > i { continue; }
                if n < -i { break; }
            }
            return -i;
        }",
    );
    let kernel = ElementwiseKernel::with_options(
        "x: i32, y: i32",
        "sum: i32, turns: i32",
        "for (var i = 0; i < 6; i++) {
            turns += 1;
            if (x + i) % 3 == 0 { continue; }
            switch y {
                case 0 { sum += 1; }
                case 1, 2 {
                    sum += 10;
                    if x == 4 { continue; }
                    sum += i;
                }
                case 3 {
                    if x < 0 { return; }
                    sum -= 7;
                    if x < 100 { break; }
                    sum = 12345;
                }
                default { sum += helper(x, y); }
            }
            if sum > 30 && x != 5 { break; }
            sum += 2;
         }",
        "scalar_program",
        options,
    )?;
    let (x, y): (Vec<i32>, Vec<i32>) = (-12..13).flat_map(|x| (-3..14).map(move |y| (x, y))).unzip();
    let operands = [&x, &y].map(|v| Array::from_vec(v.clone(), [v.len()]).and_then(|v| v.to_device(d)));
    let [a, b] = operands;
    let [sum, turns] = kernel.call_many((a?, b?));
    let [sum, turns] = eval_all([&sum, &turns])?;
    let (sum, turns) = (sum.to_vec::<i32>()?, turns.to_vec::<i32>()?);
    for n in 0..x.len() {
        assert_eq!((sum[n], turns[n]), scalar_program(x[n], y[n]), "x = {}, y = {}", x[n], y[n]);
    }

    // a loop whose length depends on the element, with a maximum
    let mandelbrot = ElementwiseKernel::with_options(
        "cx: f32, cy: f32",
        "steps: i32",
        "var x = 0.0; var y = 0.0;
         loop {
             if x * x + y * y > 4.0 { break; }
             let next = x * x - y * y + cx;
             y = 2.0 * x * y + cy;
             x = next;
             steps++;
         }",
        "mandelbrot",
        KernelOptions::default().loop_steps(25),
    )?;
    let cx = linspace(-2.0, 0.6, 40, DType::F32).to_device(d)?;
    let cy = linspace(-1.2, 1.2, 30, DType::F32).reshape([30, 1]).to_device(d)?;
    let steps = mandelbrot.call((&cx, &cy)).to_vec::<i32>()?;
    let (cx, cy) = (cx.to_vec::<f32>()?, cy.to_vec::<f32>()?);
    let mut different = 0;
    for (n, got) in steps.iter().enumerate() {
        let (cx, cy) = (cx[n % 40], cy[n / 40]);
        let (mut x, mut y, mut wanted) = (0f32, 0f32, 0);
        while x * x + y * y <= 4.0 && wanted < 25 {
            (x, y) = (x * x - y * y + cx, 2.0 * x * y + cy);
            wanted += 1;
        }
        different += (*got != wanted) as usize;
    }
    // a device may use fma, so that a point at the border leaves the loop one turn earlier or later
    assert!(different <= steps.len() / 100, "{different} of {}", steps.len());
    Ok(())
}

fn composites(d: &Device) -> Result {
    let options = KernelOptions::default().helpers(
        "struct Ray { from_: vec3<f32>, along: vec3<f32> }
         const LIGHT = vec3<f32>(0.0, 0.6, 0.8);
         fn at(ray: Ray, t: f32) -> vec3<f32> { return ray.from_ + t * ray.along; }
         fn shift(v: ptr<function, vec3<f32>>, by: f32) { (*v).x += by; (*v) *= 2.0; }
         fn pick(i: i32) -> f32 { let table = array(1.0, 20.0, 300.0); return table[clamp(i, 0, 2)]; }",
    );
    let kernel = ElementwiseKernel::with_options(
        "x: f32, y: f32, i: i32",
        "z: f32, w: f32, picked: f32",
        "var ray = Ray(vec3<f32>(x, y, 1.0), LIGHT);
         ray.along.y = -ray.along.y;
         var p = at(ray, 2.0);
         shift(&p, 0.5);
         z = dot(p, LIGHT) + cross(p, LIGHT).x;
         let q = p.zyx;
         w = q[0] + select(0.0, 1.0, all(q > vec3<f32>(0.0)));
         var parts: array<f32, 4>;
         for (var n = 0; n < 4; n++) { parts[n] = x * f32(n); }
         picked = pick(i) + parts[3];",
        "composites",
        options,
    )?;
    let (x, y) = (normal(d, [50], 5)?, normal(d, [50], 6)?);
    let i = (arange(0, 50, 1, DType::I32) % 4).to_device(d)?;
    let results = kernel.call_many::<3>((&x, &y, &i));
    let [z, w, picked] = eval_all(results.each_ref())?;
    let p = [
        (&x + 0.5) * 2.0,
        (&y + 2.0 * -0.6) * 2.0,
        full([50], 2.0 * (1.0 + 2.0 * 0.8), DType::F32).to_device(d)?.into(),
    ];
    let wanted = [
        (0.0 * &p[0] + 0.6 * &p[1] + 0.8 * &p[2]) + (&p[1] * 0.8 - &p[2] * 0.6),
        &p[2] + p[0].greater(0.0).logical_and(p[1].greater(0.0)),
        array![1., 20., 300.].to_device(d)?.take(i.clip(0, 2), 0) + 3.0 * &x,
    ];
    for (n, (got, wanted)) in [z, w, picked].iter().zip(&wanted).enumerate() {
        assert!(
            got.allclose(wanted, 1e-5, 1e-5, false).item::<bool>()?,
            "output {n}: {got} {:?}",
            wanted.to_vec::<f32>()?
        );
    }
    Ok(())
}

fn dtypes(d: &Device) -> Result {
    let square = ElementwiseKernel::new("x: T", "y: T", "y = x * x;", "square")?;
    for dtype in DType::ALL {
        if dtype == DType::Bool || !d.supports(dtype) {
            continue;
        }
        let x = array![0, 1, 3, 12].astype(dtype).to_device(d)?;
        let y = square.call((&x,)).eval()?;
        assert_eq!(y.dtype(), dtype);
        let wanted = x.astype(dtype).square();
        assert!(cupric::array_equal(&y, &wanted)?, "{dtype}: {y}");
    }
    // the kernel computes in 32 bits, and only the output is converted to i8
    let mean = ElementwiseKernel::new("x: T, y: T", "z: T", "z = (x + y) / 2;", "mean")?;
    let x = array![100i8, -100].to_device(d)?;
    assert_eq!(mean.call((&x, &x)).to_vec::<i8>()?, [100, -100]);
    // operands with the same type variable are promoted together; a number has no dtype of its own
    let y = array![0.5f32, 1.5].to_device(d)?;
    assert_eq!(mean.call((&x, &y)).dtype()?, DType::F32);
    assert_eq!(mean.call((&x, 2)).dtype()?, DType::I8);
    assert_eq!(mean.call((&x, 2.5)).dtype()?, DType::F32);
    assert_eq!(mean.call((1, 2)).dtype()?, DType::I32);
    assert_eq!(mean.call((1, 2)).item::<i32>()?, 1);
    // a declared type accepts operands that convert to it without loss, and no others
    let floats = ElementwiseKernel::new("x: f32", "y: u8", "y = u32(x);", "floats")?;
    assert_eq!(floats.call((&x,)).dtype()?, DType::U8);
    assert_eq!(floats.call((array![3.7f32, 258.0].to_device(d)?,)).to_vec::<u8>()?, [3, 2]);
    let integers = ElementwiseKernel::new("x: i32", "y: i32", "y = x;", "integers")?;
    let e = integers.call((&y,)).eval().expect_err("f32 for i32");
    assert_eq!(e.kind(), ErrorKind::DType);
    assert!(e.to_string().contains("integers: the input x is i32, and f32 is not promoted to it; use astype"), "{e}");
    assert!(e.to_string().contains("wgsl.rs"), "{e}");
    let e = integers.call((2.5,)).eval().expect_err("2.5 for i32");
    assert!(e.to_string().contains("the number 2.5 is not a valid i32, which is the dtype of the input x"), "{e}");
    let halves = ElementwiseKernel::new("x: f16", "y: f16", "y = x * 0.5 + f16(1.0);", "halves")?;
    let x = array![1.0, 3.0].astype(DType::F16).to_device(d)?;
    assert_eq!(halves.call((&x,)).to_vec_as::<f32>()?, [1.5, 2.5]);
    let truth = ElementwiseKernel::new("x: bool, y: bool", "z: bool", "z = (x && !y) || (x == y);", "truth")?;
    let (x, y) = (array![true, true, false, false].to_device(d)?, array![true, false, true, false].to_device(d)?);
    assert_eq!(truth.call((&x, &y)).to_vec::<bool>()?, [true, true, false, true]);
    Ok(())
}

fn outputs(d: &Device) -> Result {
    let polar = ElementwiseKernel::new(
        "x: f32, y: f32",
        "r: f32, phi: f32",
        "r = sqrt(x * x + y * y); phi = atan2(y, x);",
        "polar",
    )?;
    let (x, y) = (normal(d, [1000], 7)?, normal(d, [1000], 8)?);
    let [r, phi] = polar.call_many((&x, &y));
    let before = d.stats().kernels;
    let [a, b] = eval_all([&r, &phi])?;
    assert_eq!(d.stats().kernels - before, 1);
    same_bits(&a, &(&x * &x + &y * &y).sqrt())?;
    same_bits(&b, &cupric::atan2(&y, &x))?;
    let agreement = polar.check((&x, &y), d)?;
    assert!(agreement.elements == 2000 && agreement.most_ulps < 5.0, "{agreement}");
    // an output that does not depend on any input has the shape of all operands broadcast
    let ones = ElementwiseKernel::new("x: f32", "y: f32, z: i32", "y = 1.0;", "ones")?;
    let [one, zero] = ones.call_many((x.reshape([10, 100]),));
    assert_eq!((one.shape()?, zero.sum(..).item::<i64>()?), (&[10, 100][..], 0));
    assert_eq!(one.sum(..).item::<f32>()?, 1000.0);
    let e = polar.call((&x, &y)).eval().expect_err("one of two outputs");
    assert!(
        e.to_string().contains("polar: the kernel has 2 outputs \"r: f32, phi: f32\", but 1 were requested"),
        "{e}"
    );
    let [e, _] = polar.call_many((&x,));
    let e = e.eval().expect_err("one of two operands");
    assert!(e.to_string().contains("1 operands for the 2 inputs \"x: f32, y: f32\""), "{e}");
    let e = polar.call_many::<2>((&x, array![1., 2.].to_device(d)?))[1].clone().eval().expect_err("shapes");
    assert!(
        e.kind() == ErrorKind::Shape && e.to_string().contains("polar: cannot broadcast shapes [1000] and [2]"),
        "{e}"
    );
    // an error of an operand is passed on unchanged
    let e = polar.call_many::<2>((&x, array![1., 2.] + array![1., 2., 3.]))[0]
        .clone()
        .eval()
        .expect_err("an operand's error");
    assert!(e.to_string().starts_with("add:"), "{e}");
    Ok(())
}
