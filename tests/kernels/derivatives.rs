//! Derivatives of kernels that users write: an elementwise kernel and a reduction by a plain fold have the derivatives of
//! the operations that they are made of; other kernels take a rule of the user's.

use super::wgsl::Result;
use crate::kit::*;
use cupric::*;

on_devices! {
    fn an_elementwise_kernel_has_the_derivative_of_its_operations(d: &Device) {
        elementwise(d).expect("an elementwise kernel");
    }
    fn a_reduction_by_a_plain_fold_has_a_derivative(d: &Device) {
        reduction(d).expect("a reduction");
    }
    fn a_reduction_with_a_combination_of_its_own_takes_a_rule(d: &Device) {
        combination(d).expect("a reduction");
    }
}

const STEPS: &str = "
    if x > 0.5 { y = x * a; } else { y = exp(x) - a; }
    for (var i = 0; i < 3; i++) { y = y * y * 0.5 + x; }";

/// What [`STEPS`] computes, in f64.
fn steps(x: f64, a: f64) -> f64 {
    let first = if x > 0.5 { x * a } else { x.exp() - a };
    (0..3).fold(first, |y, _| y * y * 0.5 + x)
}

/// The derivative of a function by a difference.
fn difference(f: impl Fn(f64) -> f64) -> f64 {
    let h = 1e-4;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

fn elementwise(d: &Device) -> Result {
    let kernel = ElementwiseKernel::new("x: T, a: T", "y: T", STEPS, "steps")?;
    let points = [0.1f32, 0.3, 0.75, 1.0, -0.5, -2.0];
    let factors = [0.5f32, 1.25, 0.75, -0.5, 0.25, 1.0];
    let (x, a) = (put::<f32>(d, points, &[6]), put::<f32>(d, factors, &[6]));
    let [dx, da] = grad(&kernel.call((&x, &a)).sum(..), [&x, &a]);
    let at = |i: usize| (f64::from(points[i]), f64::from(factors[i]));
    let of_x: Vec<f64> = (0..6).map(|i| difference(|t| steps(at(i).0 + t, at(i).1))).collect();
    let of_a: Vec<f64> = (0..6).map(|i| difference(|t| steps(at(i).0, at(i).1 + t))).collect();
    near(&dx, &of_x, |v| v.abs().max(1.0) * 1e-5);
    near(&da, &of_a, |v| v.abs().max(1.0) * 1e-5);
    Ok(())
}

fn reduction(d: &Device) -> Result {
    let root = Reduction {
        state: "sum: T = 0",
        map: "sum = x * x * x;",
        combine: "sum = a.sum + b.sum;",
        finish: "y = sqrt(sum);",
    };
    let root = ReductionKernel::new("x: T", "y: T", root, "root_of_cubes")?;
    let x = put::<f32>(d, [1., 2., 3., 2., 4., 0.5], &[2, 3]);
    let [dx] = grad(&root.call((&x,), 1).sum(..), [&x]);
    let want = (x.square() * 1.5 / x.pow(3).sum(keep(1)).sqrt()).to_device(&Device::cpu())?.to_vec::<f32>()?;
    near(&dx, &want.into_iter().map(f64::from).collect::<Vec<_>>(), |v| v.abs() * 1e-5);
    // equal largest elements share the derivative, as those of `max` do
    let most =
        Reduction { state: "s: T = lowest", map: "s = x * x;", combine: "s = max(a.s, b.s);", finish: "y = 3 * s;" };
    let most = ReductionKernel::new("x: T", "y: T", most, "most")?;
    let x = put::<f32>(d, [1., -2., 2.], &[3]);
    let [dx] = grad(&most.call((&x,), ..), [&x]);
    same(&dx, &[0f32, -6., 6.]);
    Ok(())
}

fn combination(d: &Device) -> Result {
    let kernel = ReductionKernel::new("x: T", "y: T", super::reductions::LOGSUMEXP, "lse")?;
    let x = put::<f32>(d, [1., 2., 3.], &[3]);
    let y = kernel.call((&x,), ..);
    let [dx] = grad(&y, [&x]);
    let text = error(&dx);
    assert!(text.contains(&format!("lse, called at {}", file!())) && text.contains("has no derivative"), "{text}");
    assert!(text.contains("define one with with_vjp"), "{text}");
    let shares = x.softmax(0);
    let y = with_vjp(&y, [&x], move |g| [g * &shares]);
    let [dx] = grad(&(y * 2.0), [&x]);
    near(&dx, &[0.18006115, 0.48945694, 1.33048191], |_| 1e-6);
    Ok(())
}

/// A raw shader runs at once, so its result is a constant unless the user states a rule.
#[cfg(feature = "gpu")]
#[test]
fn a_raw_kernel_takes_a_rule() {
    const CUBE: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn cube(@builtin(global_invocation_id) i: vec3u) {
    if i.x < arrayLength(&x) { y[i.x] = x[i.x] * x[i.x] * x[i.x]; }
}";
    let Some(d) = gpu(1) else { return };
    let kernel = RawKernel::new(CUBE, "cube").expect("a shader");
    let x = put::<f32>(&d, [1., 2., 3.], &[3]);
    let [y] = kernel.call([1, 1, 1], [&x], [([3], DType::F32)]).expect("a result");
    let [dx] = grad(&y.sum(..), [&x]);
    assert!(error(&dx).contains("does not read operand 0"), "{}", error(&dx));
    let read = x.clone();
    let y = with_vjp(&y, [&x], move |g| [g * read.square() * 3.0]);
    let [dx] = grad(&y.sum(..), [&x]);
    same(&dx, &[3f32, 12., 27.]);
}
