//! Errors: their messages, locations and order; and that no call of the public API panics.

use crate::kit::operations::{self, Params};
use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[track_caller]
fn here(e: &Expr, starts: &str, kind: ErrorKind, line: u32) {
    let err = e.eval().unwrap_err();
    let text = err.to_string();
    assert_eq!(err.kind(), kind, "{text}");
    assert!(text.starts_with(starts), "{text}\nshould start with {starts}");
    let place = format!("(tests/arrays/errors.rs:{line}:");
    assert!(text.contains(&place) && text.ends_with(')'), "{text}\nshould name {place}");
    assert_eq!(err.location().unwrap().line(), line);
    assert!(starts.starts_with(err.operation()), "{} of {text}", err.operation());
}

/// Runs calls that may return any error but must not panic.
fn calm(what: &str, f: impl FnOnce()) {
    if let Err(p) = catch_unwind(AssertUnwindSafe(f)) {
        let text = p.downcast_ref::<String>().cloned().or(p.downcast_ref::<&str>().map(|s| s.to_string()));
        panic!("{what}: panicked: {}", text.unwrap_or_default());
    }
}

/// Calls every query of an expression whose evaluation may be large. It is evaluated only if it has at most a million
/// elements.
fn ask(e: &Expr) {
    let _ = (e.shape(), e.ndim(), e.dtype(), e.size());
    let _ = e.plan().map(|p| (p.to_string(), p.bytes(), p.kernels(), p.dispatches()));
    if e.size().is_ok_and(|n| n <= 1 << 20)
        && let Ok(a) = e.eval()
    {
        assert_eq!(a.shape(), e.shape().unwrap());
        assert_eq!(a.dtype(), e.dtype().unwrap());
        let _ = (a.is_contiguous(), a.strides().len(), a.size());
    }
}

/// Calls every query except the evaluation, which would take too long.
fn plan_only(e: &Expr) {
    let _ = (e.shape(), e.ndim(), e.dtype(), e.size());
    let _ = e.plan().map(|p| (p.to_string(), p.bytes(), p.kernels(), p.dispatches()));
}

on_devices! {

fn text_names_operation_shapes_and_line(d: &Device) {
    let a = put(d, vec![0f32; 12], &[3, 4]);
    let b = put(d, vec![0f32; 5], &[5]);
    let e = &a + &b; let l = line!();
    here(&e, "add: cannot broadcast shapes [3, 4] and [5]", ErrorKind::Shape, l);
    let e = a.maximum_of(&b); let l = line!();
    here(&e, "maximum: cannot broadcast shapes [3, 4] and [5]", ErrorKind::Shape, l);
    let e = a.matmul(&b); let l = line!();
    here(&e, "matmul: shapes [3, 4] and [5]", ErrorKind::Shape, l);
    let e = a.reshape([5, -1]); let l = line!();
    here(&e, "reshape: cannot reshape [3, 4] into [5, -1]", ErrorKind::Shape, l);
    let e = a.sum(2); let l = line!();
    here(&e, "sum: axis 2", ErrorKind::Axis, l);
    let e = a.mean([0, 0]); let l = line!();
    here(&e, "mean: axis 0 is named twice", ErrorKind::Axis, l);
    let e = a.slice(s![3]); let l = line!();
    here(&e, "slice: index 3", ErrorKind::Index, l);
    let e = a.permute_dims([0, 0]); let l = line!();
    here(&e, "permute_dims: ", ErrorKind::Axis, l);
    let e = a.permute_dims([0]); let l = line!();
    here(&e, "permute_dims: ", ErrorKind::Axis, l);
    let e = a.squeeze(0); let l = line!();
    here(&e, "squeeze: ", ErrorKind::Shape, l);
    let e = a.broadcast_to([4]); let l = line!();
    here(&e, "broadcast_to: cannot broadcast shape [3, 4]", ErrorKind::Shape, l);
    let e = concat([&a, &b], 0); let l = line!();
    here(&e, "concat: shapes [3, 4] and [5]", ErrorKind::Shape, l);
    let e = stack([&a, &b], 0); let l = line!();
    here(&e, "stack: shapes [3, 4] and [5]", ErrorKind::Shape, l);
    let e = a.argmax([0, 1]); let l = line!();
    here(&e, "argmax: ", ErrorKind::Axis, l);
    let e = a.softmax(7); let l = line!();
    here(&e, "softmax: axis 7", ErrorKind::Axis, l);
    let e = a.var(7); let l = line!();
    here(&e, "var: axis 7", ErrorKind::Axis, l);
    let e = a.logsumexp(-3); let l = line!();
    here(&e, "logsumexp: axis -3", ErrorKind::Axis, l);
    let e = a.layer_norm(-3, 1e-5); let l = line!();
    here(&e, "layer_norm: axis -3", ErrorKind::Axis, l);
    let e = &a & 1; let l = line!();
    here(&e, "bitwise_and: dtype f32", ErrorKind::DType, l);
    let e = -put(d, vec![true], &[1]); let l = line!();
    here(&e, "negative: dtype bool", ErrorKind::DType, l);
    let e = put(d, vec![1u8], &[1]) + 300; let l = line!();
    here(&e, "add: 300", ErrorKind::Argument, l);
    let e = 1 - put(d, vec![true], &[1]).astype(Bool) - put(d, vec![true], &[1]); let l = line!();
    assert!(e.eval().is_ok(), "{l}");
    let e = pow(put(d, vec![1i32], &[1]), -2); let l = line!();
    here(&e, "pow: ", ErrorKind::Argument, l);
    let e = zeros([usize::MAX, 2], F32); let l = line!();
    here(&e, "zeros: ", ErrorKind::LimitExceeded, l);
    let e = zeros([-1, 2], F32); let l = line!();
    here(&e, "zeros: ", ErrorKind::Shape, l);
    let e = arange(0, 10, 0, I32); let l = line!();
    here(&e, "arange: ", ErrorKind::Argument, l);
    let e = a.take(5.5, 0); let l = line!();
    here(&e, "take: ", ErrorKind::DType, l);
    let e = a.sliding_windows(5, 1); let l = line!();
    here(&e, "sliding_windows: ", ErrorKind::Argument, l);
    let e = a.expand_dims(4); let l = line!();
    here(&e, "expand_dims: ", ErrorKind::Axis, l);
    let e = a.flip(2); let l = line!();
    here(&e, "flip: ", ErrorKind::Axis, l);
    let e = b.diagonal(0); let l = line!();
    here(&e, "diagonal: ", ErrorKind::Axis, l);
    let e = b.matrix_transpose(); let l = line!();
    here(&e, "matrix_transpose: ", ErrorKind::Shape, l);
    let e = b.slice(s![..0]).max(0); let l = line!();
    here(&e, "max: ", ErrorKind::Shape, l);
    let err = a.item::<f32>().unwrap_err(); let l = line!();
    assert!(err.to_string().starts_with("item: the array has 12 elements") && err.to_string().contains(&format!("errors.rs:{l}:")), "{err}");
    let err = a.to_vec::<i32>().unwrap_err(); let l = line!();
    assert_eq!(err.kind(), ErrorKind::DType);
    assert!(err.to_string().starts_with("to_vec: ") && err.to_string().contains(&format!("errors.rs:{l}:")), "{err}");
    let err = Array::from_vec(vec![1, 2, 3], [2, 2]).unwrap_err(); let l = line!();
    assert!(err.to_string().starts_with("from_vec: 3 elements") && err.to_string().contains(&format!("errors.rs:{l}:")), "{err}");
    assert!(format!("{err:?}").starts_with("Shape: from_vec"), "{err:?}");
    let _: &dyn std::error::Error = &err;
    assert_eq!(size_of::<Error>(), size_of::<usize>());
}

fn place_in_chains_closures_and_operators(d: &Device) {
    // a device of its own, because another test's read could return this test's late error
    let d = &own(d);
    let a = put(d, vec![0f32; 3], &[3]);
    let b = put(d, vec![0f32; 4], &[4]);
    let e = (&a * 2.0)
        .exp()
        .sum(
            5,
        );
    let err = e.eval().unwrap_err();
    let l = line!() - 5;
    assert!((l..=l + 2).contains(&err.location().unwrap().line()), "{err}");
    let f = |x: &Expr| x + &b; let l = line!();
    here(&f(&a), "add: cannot broadcast shapes [3] and [4]", ErrorKind::Shape, l);
    let g = |x: &Expr| -> Expr {
        let y = x * 2.0;
        y - &b
    };
    let l = line!() - 2;
    here(&g(&a), "subtract: cannot broadcast shapes [3] and [4]", ErrorKind::Shape, l);
    let all: Vec<Expr> = [1.0, 2.0].iter().map(|s| &a * s / &b).collect(); let l = line!();
    here(&all[1], "divide: cannot broadcast shapes [3] and [4]", ErrorKind::Shape, l);
    let e = 1.0 - (&a % &b); let l = line!();
    here(&e, "remainder: cannot broadcast shapes [3] and [4]", ErrorKind::Shape, l);
    let e = select(a.less(&b), 1, 0); let l = line!();
    here(&e, "less: cannot broadcast shapes [3] and [4]", ErrorKind::Shape, l);
    let mut x = put(d, vec![0f32; 3], &[3]);
    let err = x.update(|x| x + &b).unwrap_err(); let l = line!();
    assert_eq!(err.location().unwrap().line(), l);
    let err = x.assign(a.take(put(d, vec![9i32], &[1]), 0).broadcast_to([3])).and_then(|_| d.synchronize()).unwrap_err(); let l = line!();
    assert_eq!((err.kind(), err.location().unwrap().line()), (ErrorKind::Index, l), "{err}");
}

fn the_first_error_is_kept(d: &Device) {
    let a = put(d, vec![0f32; 3], &[3]);
    let b = put(d, vec![0f32; 4], &[4]);
    let bad = &a + &b;
    let worse = a.sum(9);
    let text = bad.eval().unwrap_err().to_string();
    for e in [
        bad.exp(), &bad + 1.0, 1.0 - &bad, &bad + &worse, -&bad, bad.sum(7), bad.slice(s![99]), bad.reshape([-1, -1]), bad.t(), bad.matmul(&worse),
        bad.take(&worse, 3), concat([&bad, &worse], 4), stack([&*a, &bad], 0), select(&bad, &worse, 1), bad.astype(I32), bad.argmax(..), bad.softmax(-1),
        a.take(&bad, 0), zeros_like(&bad), full_like(&bad, 3), full([2], &bad, I32), bad.permute_dims([5]), bad.var(..), bad.layer_norm(0, 0.0), bad.sliding_windows(0, 0), bad.less(300),
        bad.clip(0, 1), lerp(&bad, 1.0, &worse), bad.broadcast_to([1]), bad.squeeze(..), bad.flip(..), bad.diagonal(0), bad.expand_dims(99), bad.count_nonzero(..), bad.logsumexp(..),
    ] {
        let err = e.eval().unwrap_err();
        assert_eq!(err.to_string(), text);
        assert_eq!(e.shape().unwrap_err().to_string(), text);
        assert_eq!(e.dtype().unwrap_err().to_string(), text);
        assert!(e.ndim().is_err() && e.size().is_err() && e.plan().is_err() && e.to_device(d).is_err());
        assert_eq!(e.to_vec::<f32>().unwrap_err().to_string(), text);
        assert_eq!(e.item::<i8>().unwrap_err().to_string(), text);
    }
    assert!((&worse + &bad).eval().unwrap_err().to_string().starts_with("sum: "));
    assert_eq!(eval_all([&*a, &bad, &worse]).unwrap_err().to_string(), text);
    let mut x = a.clone();
    assert_eq!(x.assign(&bad).unwrap_err().to_string(), text);
    assert_eq!(x.set(s![0], &bad).unwrap_err().to_string(), text);
    assert_eq!(x.update(|x| x + &bad).unwrap_err().to_string(), text);
    assert_eq!(x.fill(&bad).unwrap_err().to_string(), text);
    assert!(array_equal(&bad, &a).is_err() && array_equal(&a, &bad).is_err());
}

fn devices_are_not_mixed(d: &Device) {
    let other = own(d);
    let (a, b) = (put(d, vec![1f32, 2.0], &[2]), put(&other, vec![1f32, 2.0], &[2]));
    for e in [&a + &b, concat([&a, &b], 0), a.matmul(&b), select(a.less(2), &a, &b), a.take(b.astype(I32), 0), stack([&a, &b], 0), lerp(&a, &b, 0.5)] {
        let err = e.eval().unwrap_err();
        assert_eq!(err.kind(), ErrorKind::DeviceMismatch, "{err}");
        assert!(err.to_string().contains(d.name()) && err.to_string().contains("to_device"), "{err}");
    }
    assert!(eval_all([&*a, &*b]).is_err());
    assert!(array_equal(&a, &b).is_err());
    assert!((&a + b.to_device(d).unwrap()).eval().is_ok());
    assert!((&a + zeros([2], F32)).eval().is_ok());
    assert_eq!((&b * 2 + arange(0, 2, 1, I32)).eval().unwrap().device(), other);
}

fn no_memory_is_an_error(d: &Device) {
    let small = d.with_memory_limit(1 << 20).unwrap();
    let x = zeros([1 << 16], F32).to_device(&small).unwrap();
    for e in [(&x + 1.0).broadcast_to([100, 1 << 16]) * 1.0, (x.reshape([1 << 8, 1 << 8]).broadcast_to([64, 1 << 8, 1 << 8]) + arange(0, 64, 1, I32).reshape([64, 1, 1]))] {
        let err = e.eval().unwrap_err();
        assert_eq!(err.kind(), ErrorKind::OutOfMemory, "{err}");
    }
    assert!((&x + 1.0).eval().is_ok(), "the device works on");
    let huge = zeros([1usize << 40], F32).to_device(d);
    assert!(matches!(huge.unwrap_err().kind(), ErrorKind::OutOfMemory | ErrorKind::LimitExceeded));
    let huge = (zeros([1usize << 61], F64) + put(d, vec![1f32], &[])).eval();
    assert!(matches!(huge.unwrap_err().kind(), ErrorKind::OutOfMemory | ErrorKind::LimitExceeded | ErrorKind::Unsupported));
    let huge = zeros([1usize << 40], U8).to_vec::<u8>();
    assert!(huge.is_err());
    let big = put(d, vec![1f32], &[1]).broadcast_to([1usize << 40]);
    assert!((&big + 1.0).eval().is_err());
    assert!(big.to_vec::<f32>().is_err());
    assert!((big.reshape([1usize << 20, 1 << 20]).t() + arange(0, 1 << 20, 1, I32)).reshape([-1]).eval().is_err());
    assert_eq!(big.slice(s![(1usize << 40) - 1]).item::<f32>().unwrap(), 1.0);
    assert!(concat([&big, &big], 0).eval().is_err());
    assert!(big.argmax(0).eval().is_err());
    let mut t = put(d, vec![1f32], &[1]).broadcast_to([1usize << 40]).eval().unwrap();
    assert!(t.fill(0).is_err());
}

fn absurd_shapes_do_not_panic(d: &Device) {
    let sizes = [0usize, 1, 2, 1 << 20, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, usize::MAX];
    for a in sizes {
        for b in sizes {
            calm(&format!("creation {a} {b}"), || {
                let look = |e: &Expr| if a.max(1).saturating_mul(b.max(1)).saturating_mul(a.max(1)) <= 1 << 12 { ask(e) } else { plan_only(e) };
                for e in [zeros([a, b], F32), ones([a, b], U8), empty((a, b), F64), full([a, b], 1.5, F32), zeros(a, Bool), zeros([a, b, 3, a], I8)] {
                    let _ = (e.shape(), e.size(), e.ndim(), e.dtype());
                    look(&e.t());
                    look(&e.sum(..));
                    look(&e.slice(s![..1]));
                    look(&e.slice(s![..;-1]));
                    look(&(&e + &zeros([b, a], I32)));
                    look(&e.broadcast_to([2, a, b]));
                    look(&e.reshape([b, a]));
                    look(&e.reshape([-1]));
                    look(&e.expand_dims(0));
                    look(&e.flip(..));
                    look(&e.diagonal(1));
                    look(&e.sliding_windows(a, 0));
                    look(&e.sliding_windows(b, -1));
                    look(&e.matmul(&e));
                    look(&e.matmul(e.t()));
                    look(&concat([&e, &e], 0));
                    look(&stack([&e, &e, &e, &e], 1));
                    look(&e.take(arange(0, 2, 1, I32), 0));
                    look(&e.take(zeros([a], I32), 1));
                    look(&e.argmax(..));
                    look(&e.argmin(0));
                    look(&e.count_nonzero(..));
                    look(&e.mean(0));
                    look(&e.var(keep(1)));
                    look(&e.softmax(-1));
                    ask(&(e.slice(s![0..2, 0..2]) + 1));
                    if a.min(b) > 1 << 20 {
                        ask(&(e.slice(s![1..3, 1..;1isize << 40]) + put(d, vec![1f32], &[1])));
                    }
                }
                ask(&eye(a, F32).slice(s![0..1, 0..1]));
                ask(&linspace(0.0, 1.0, a, F32).slice(s![0..1]));
                ask(&arange(0, a, 1, I32).slice(s![0..1]));
                ask(&arange(a, b, 7, I32).slice(s![0..1]));
                let mut rng = Rng::new(a as u64);
                ask(&rng.uniform([a, b], F32).slice(s![0..1, 0..1]));
                ask(&rng.normal(a, F32).slice(s![0..1]));
                ask(&rng.integers(0, 5, [b, a], I32).slice(s![0..1, 0..1]));
                ask(&rng.bernoulli(0.5, [a], Bool).slice(s![0..1]));
                if a > 1 << 31 { let _ = rng.permutation(a); }
                let _ = Array::from_vec(vec![1, 2, 3], [a, b]);
            });
        }
    }
}

fn absurd_arguments_do_not_panic(d: &Device) {
    // a device of its own, because an error that a GPU reports late could appear in another test
    let d = &own(d);
    let ends = [0isize, 1, -1, 2, -2, 3, -3, 4, -4, 5, 100, -100, isize::MAX, isize::MIN, isize::MAX - 1, isize::MIN + 1];
    let arrays = [put(d, vec![1f32; 12], &[3, 4]), put(d, vec![1f32], &[]), put::<f32>(d, vec![], &[0, 3]), put(d, vec![1f32; 24], &[2, 3, 4])];
    for x in &arrays {
        let lazy = &**x + 1.0;
        for x in [&**x, &lazy] {
            for a in ends {
                calm(&format!("axis {a} of {:?}", x.shape()), || {
                    for e in [
                        x.sum(a), x.sum(keep(a)), x.max(a), x.argmin(a), x.mean(&[a, 0][..]), x.any(&[a, a][..]), x.softmax(a), x.logsumexp(a), x.layer_norm(a, 0.0), x.var_corrected(a, f64::NAN), x.std_corrected(a, 1e300),
                        x.expand_dims(a), x.squeeze(a), x.flip(a), x.diagonal(a), x.sliding_windows(1, a), x.sliding_windows(a as usize, 0), x.permute_dims(&[a, 0][..]), x.permute_dims(&[a][..]),
                        x.take(array![0], a), x.take(a, 0), x.take(Clip(a), 0), x.take(Wrap(a), 0), concat([x, x], a), stack([x, x], a), x.reshape([a]), x.reshape([a, -1]), x.reshape([a, a]), x.broadcast_to([a]),
                        x.slice([SliceItem::Index(a)]), x.slice(s![a..]), x.slice(s![..a]), x.slice(s![..;a]), x + a, x * a, x.less(a), pow(x, a), x.astype(I32) << a, x.astype(I32) >> a, floor_divide(x.astype(U8), a), x.astype(I8) % a,
                        full(3, a, I32), arange(0, 3, a, I32).slice(s![..1]), arange(a, a, 1, I32), x.clip(a, -1), x.rms_norm(a, f64::INFINITY), x.slice(s![..;a, ..;a]).slice(s![..;a]).slice(s![..1;a]),
                    ] {
                        ask(&e);
                    }
                });
                for b in ends {
                    calm(&format!("slice {a} {b}"), || {
                        for c in ends {
                            ask_shape(&x.slice([SliceItem::Range { start: Some(a), end: Some(b), step: c }]));
                            ask_shape(&x.slice([SliceItem::Range { start: Some(a), end: Some(b), step: c }]).slice([SliceItem::Range { start: Some(b), end: None, step: c }, SliceItem::Ellipsis]));
                        }
                        ask(&x.slice(s![a..b, b..a]));
                        ask(&x.sum(&[a, b][..]));
                        ask(&x.permute_dims(&[a, b][..]));
                        ask(&x.reshape([a, b]));
                        ask(&arange(a, b, 1isize << 62, I32));
                    });
                }
            }
        }
        // writes
        for a in ends {
            calm(&format!("write {a} to {:?}", x.shape()), || {
                let mut y = x.clone();
                let _ = y.set([SliceItem::Index(a)], 1.0);
                let _ = y.set(s![a..], a);
                let _ = y.set(s![..;a], x);
                let _ = y.slice_mut(s![..a]).fill(a);
                let _ = y.slice_mut(s![..a, a..]).update(|v| v.sum(a));
                let _ = y.assign(a);
                let _ = y.fill(a);
                let _ = y.update(|v| v.slice(s![a..]));
                let _ = y.assign(y.reshape([a, -1]));
            });
        }
    }
}

fn composed_views_do_not_overflow(d: &Device) {
    calm("views of huge fills", || {
        let x = zeros([1usize << 31, 1 << 31], F32) + put(d, vec![1f32], &[]);
        let mut e = x.slice(s![..;1 << 30, ..;-(1 << 30)]);
        for _ in 0..6 {
            ask(&e);
            e = e.slice(s![..;-1]).t().slice(s![..1, ..]).broadcast_to([2, 2, 2]).slice(s![0]);
        }
        let one = put(d, vec![1f32], &[1]);
        let mut w = one.broadcast_to([1usize << 62]);
        for _ in 0..5 { w = w.slice(s![..;1isize << 40]).slice(s![..;-1]); ask(&w); }
        ask(&(one.broadcast_to([1usize << 62]).sliding_windows(1usize << 61, 0).slice(s![..1, ..1]) + 1.0));
        ask(&one.broadcast_to([1usize << 62]).reshape([1usize << 31, 1 << 31]).t().slice(s![-1, -1]));
        ask(&arange(0, i32::MAX, 1, I32).sliding_windows(1 << 30, 0).slice(s![-1, -1]));
        ask(&Rng::new(1).uniform([1usize << 16, (1 << 16) - 1], F32).slice(s![-1, -2..]));
    });
    // the last elements of arrays with as many elements as 32 bits count, or more
    let far = arange(0, i32::MAX, 1, I32).sliding_windows(1 << 30, 0).slice(s![-1, -1]) + put(d, vec![0i32], &[]);
    same(&far, &[i32::MAX - 1]);
    let far = (put(d, vec![7u8], &[1]).broadcast_to([1usize << 40]).slice(s![(1usize << 40) - 3..]) + 1).eval().unwrap();
    same(&far, &[8u8; 3]);
}

// No result is read. The process ends while hundreds of shaders are compiling, which once crashed llvmpipe.
fn every_function_takes_every_dtype_or_says_no(d: &Device) {
    type Function = Box<dyn Fn(&[&Expr]) -> Expr>;
    let apply = |row: testing::Row| -> Function { Box::new(move |x| row.apply(&x.iter().map(|x| (*x).clone()).collect::<Vec<_>>())) };
    let rows = |arity| testing::rows().into_iter().filter(move |r| r.arity() == arity).map(move |r| (r.name(), apply(r)));
    let along: Vec<(&str, Function)> = operations::along_axes().map(|o| -> (&str, Function) { (o.name, Box::new(|x| (o.build)(&[x[0].clone()], &Params::along(..)))) }).collect();
    let unary: Vec<(&str, Function)> = rows(1).chain(along).collect();
    let product: Function = Box::new(|x| x[0].matmul(x[1]));
    let choice: Function = Box::new(|x| select(x[0], x[1], x[0]));
    let binary: Vec<(&str, Function)> = rows(2).chain([("matmul", product), ("select", choice)]).collect();
    assert!(unary.len() >= 52 && binary.len() >= 33, "{} and {} functions", unary.len(), binary.len());
    for t in DType::ALL {
        if !has(d, t) { continue }
        let x = ones([2], t).to_device(d).unwrap();
        // on a GPU each function of a type needs a pipeline: we try all for f32, a quarter for other types
        let turn = |k: usize| !d.is_gpu() || t == F32 || (k + number_of(t)).is_multiple_of(4);
        for (_, (name, f)) in unary.iter().enumerate().filter(|(k, _)| turn(*k)) {
            calm(&format!("{name} of {t}"), || {
                let r = f(&[&x]).eval();
                if let Err(e) = &r { assert!(matches!(e.kind(), ErrorKind::DType | ErrorKind::Unsupported), "{name} of {t}: {e:?}") }
                if t == F32 { assert!(r.is_ok() || *name == "bitwise_invert", "{name} of {t}") }
                ask(&f(&[&(&*x * 1)]));
            });
        }
        for u in DType::ALL {
            // on a GPU each pair of types needs a pipeline; the contract suite tests the others
            if !has(d, u) || d.is_gpu() && t != u { continue }
            let y = ones([2], u).to_device(d).unwrap();
            for (_, (name, f)) in binary.iter().enumerate().filter(|(k, _)| turn(*k)) {
                calm(&format!("{name} of {t} and {u}"), || {
                    let r = f(&[&x, &y]).eval();
                    if let Err(e) = &r { assert!(matches!(e.kind(), ErrorKind::DType | ErrorKind::Unsupported), "{name} of {t} and {u}: {e:?}") }
                });
            }
        }
        for s in [0i64, -1, 300, i64::MAX, i64::MIN] {
            for (_, (name, f)) in binary.iter().enumerate().filter(|(k, _)| turn(*k)) {
                calm(&format!("{name} of {t} and {s}"), || {
                    let w = add(s, 0);
                    ask(&f(&[&x, &w]));
                    ask(&f(&[&w, &x]));
                    let q = add(s as f64, f64::INFINITY);
                    ask(&f(&[&x, &q]));
                    ask(&f(&[&w, &q]));
                    let m = maximum(u64::MAX, 0);
                    ask(&f(&[&x, &m]));
                    ask(&f(&[&m, &w]));
                });
            }
        }
        for s in [f64::NAN, -0.5, 1e300] {
            for (name, f) in &unary { calm(&format!("{name} of {s}"), || ask(&f(&[&add(s, 0)]))); }
        }
    }
    for (name, f) in &unary {
        calm(&format!("{name} of true"), || { ask(&f(&[&logical_or(true, false)])); ask(&f(&[&add(5, 5)])); ask(&f(&[&maximum(u64::MAX, 1)])) });
    }
}
}

/// Asks only for the shape and size, because many of these expressions are huge.
fn ask_shape(e: &Expr) {
    let _ = (e.shape(), e.size());
    if e.size().is_ok_and(|n| n < 100) {
        let _ = e.eval().map(|a| (a.is_contiguous(), a.strides().len()));
    }
}

trait MaximumOf {
    fn maximum_of(&self, other: &Expr) -> Expr;
}
impl MaximumOf for Array {
    #[track_caller]
    fn maximum_of(&self, other: &Expr) -> Expr {
        maximum(&**self, other)
    }
}

#[test]
fn devices_by_name() {
    assert_eq!("cpu".parse::<Device>().unwrap(), Device::cpu());
    for bad in ["", "CPU", "gpu:", "gpu:x", "gpu:-1", "gpu:99999999999999999999", "tpu", "gpu:4000000000", "cpu "] {
        let e = bad.parse::<Device>().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DeviceNotFound, "{bad}: {e}");
    }
    assert!(Device::best().is_ok());
    assert!(!Device::cpu().is_gpu());
}

#[test]
fn errors_are_shared_and_sent() {
    fn free<T: Send + Sync + Clone + 'static>() {}
    free::<Error>();
    free::<Array>();
    free::<Expr>();
    free::<Device>();
    let e = (array![1, 2] + array![1, 2, 3]).eval().unwrap_err();
    let t = std::thread::spawn({
        let e = e.clone();
        move || e.to_string()
    });
    assert_eq!(t.join().unwrap(), e.to_string());
    assert!(e.location().unwrap().file().ends_with("errors.rs"));
}
