//! The names that people type who know NumPy, PyTorch, ndarray and Rust's std.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The text of an error without the location at its end, which must be in this file.
fn text<T>(result: Result<T>) -> String {
    let e = result.err().expect("it should be refused");
    let whole = e.to_string();
    let (text, place) = whole.rsplit_once(" (").expect("a place");
    assert!(place.contains("names.rs:"), "{whole}");
    text.to_string()
}

/// Whether two expressions have the same dtype, shape and elements.
fn equal(a: &Expr, b: &Expr) {
    assert_eq!(a.dtype().unwrap(), b.dtype().unwrap());
    assert!(array_equal(a, b).unwrap(), "{a} {b}");
}

on_devices! {

fn views_by_name(d: &Device) {
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    equal(&x.transpose(..), &x.t());
    equal(&x.transpose([2, 0, 1]), &x.permute_dims([2, 0, 1]));
    equal(&x.transpose((-1, 0, -2)), &x.permute_dims([2, 0, 1]));
    equal(&x.sum(..).transpose(()), &x.sum(..));
    equal(&x.unsqueeze(-1), &x.expand_dims(-1));
    equal(&x.flatten(), &x.reshape([24]));
    equal(&x.t().flatten(), &x.t().ravel());
    assert!(text(x.transpose([0, 1]).eval()).starts_with("transpose: "));
    assert!(text(x.transpose([0, 1, 1]).eval()).starts_with("transpose: "));
    assert!(text(x.unsqueeze(5).eval()).starts_with("unsqueeze: axis 5 "));
    // the first error keeps its name
    assert!(text((&x + put(d, vec![1; 5], &[5])).flatten().unsqueeze(0).eval()).starts_with("add: "));
}

fn functions_by_name(d: &Device) {
    let x = put(d, vec![0.5f32, -1., 3., 2.], &[2, 2]);
    equal(&x.cumsum(-1), &x.cumulative_sum(-1));
    equal(&x.cumsum(reverse(0)), &x.cumulative_sum(reverse(0)));
    equal(&x.cumprod(0), &x.cumulative_prod(0));
    equal(&x.clamp(0.0, 1.0), &x.clip(0.0, 1.0));
    equal(&x.abs().ln(), &x.abs().log());
    equal(&x.powf(2.0), &x.pow(2.0));
    equal(&x.powi(3), &x.pow(3));
    equal(&x.norm(0), &x.vector_norm(0, 2.0));
    equal(&x.norm(..), &x.vector_norm(.., 2.0));
    equal(&x.norm(keep(-1)), &x.vector_norm(keep(-1), 2.0));
    same(&x.abs_diff(1.0), &[0.5f32, 2., 2., 1.]);
    same(&put(d, vec![1u8, 255, 7], &[3]).abs_diff(put(d, vec![2u8, 0, 7], &[3])), &[1u8, 255, 0]);
    same(&put(d, vec![1u64, u64::MAX], &[2]).abs_diff(3), &[2u64, u64::MAX - 3]);
    same(&put(d, vec![-5, 5], &[2]).abs_diff(put(d, vec![5, -5], &[2])), &[10, 10]);
    let [by] = grad(x.abs_diff(1.0).sum(..), [&x]);
    same(&by, &[-1f32, -1., 1., 1.]);
    assert!(text(x.cumsum(2).eval()).starts_with("cumsum: axis 2 "));
    assert!(text(x.cumprod(2).eval()).starts_with("cumprod: axis 2 "));
    assert!(text(x.norm(2).eval()).starts_with("norm: axis 2 "));
    assert!(text(x.clamp(0.0, put(d, vec![1f32; 3], &[3])).eval()).starts_with("clamp: "));
    assert!(text(x.abs_diff(put(d, vec![1f32; 3], &[3])).eval()).starts_with("abs_diff: "));
    assert!(text(put(d, vec![1u8], &[1]).powf(0.5).powi(-300).dot(array![1u8].to(d).unwrap().abs_diff(300)).eval()).starts_with("abs_diff: "));
}

fn dot_as_in_numpy(d: &Device) {
    let of = |n: usize, shape: &[usize]| put(d, (0..n).map(|i| (i * i % 7) as f32 - 2.).collect::<Vec<_>>(), shape);
    let (a, b, v, w) = (of(6, &[2, 3]), of(12, &[3, 4]), of(3, &[3]), of(3, &[3]));
    equal(&a.dot(&b), &a.matmul(&b));
    equal(&v.dot(&w), &(&v * &w).sum(..));
    equal(&a.dot(&v), &a.matmul(&v));
    equal(&v.dot(&b), &v.matmul(&b));
    equal(&a.dot(2.0), &(&a * 2.0));
    equal(&a.sum(..).dot(&a), &(a.sum(..) * &a));
    // over the last axis and the last but one: NumPy's dot of arrays with more axes is no batched product
    let (c, e) = (of(12, &[2, 2, 3]), of(24, &[2, 3, 4]));
    assert_eq!(c.dot(&e).shape().unwrap(), [2, 2, 2, 4]);
    equal(&c.dot(&e), &tensordot(&c, &e, (-1, -2)));
    equal(&c.dot(&v), &tensordot(&c, &v, 1));
    equal(&put(d, vec![true, false], &[2]).dot(put(d, vec![true, true], &[2])), &put(d, vec![true], &[]));
    assert!(text(a.dot(&a).eval()).starts_with("dot: shapes [2, 3] and [2, 3]: "));
}

fn copies_and_moves(d: &Device) {
    let x = put(d, vec![1f32, 2.], &[2]);
    let mut y: Array = x.copy();
    y.fill(7.0).unwrap();
    same(&x, &[1f32, 2.]);
    same(&y, &[7f32, 7.]);
    same(&(&x * 2.0).copy(), &[2f32, 4.]);
    let there = x.to(&Device::cpu()).unwrap();
    assert_eq!(there.device(), Device::cpu());
    assert_eq!(array![1].to(d).unwrap().device(), *d);
}

fn created_by_the_type(d: &Device) {
    let here = |e: Expr| e.on(d);
    same(&here(Array::zeros([2], F32)), &[0f32, 0.]);
    same(&here(Array::ones(2, I64)), &[1i64, 1]);
    same(&here(Array::empty(1, U8)), &[0u8]);
    same(&here(Array::full([2], 1.5, F32)), &[1.5f32, 1.5]);
    same(&here(Array::arange(0, 3, 1, I32)), &[0, 1, 2]);
    same(&here(Array::linspace(0.0, 1.0, 3, F32)), &[0f32, 0.5, 1.]);
    same(&here(Array::eye(2, I32)), &[1, 0, 0, 1]);
    assert!(text(Array::zeros([-1], F32).eval()).starts_with("zeros: "));
    assert!(text(Array::arange(0, 1, 0, F32).eval()).starts_with("arange: "));
}

fn a_device_for_an_expression(d: &Device) {
    for e in [zeros([3], F32), arange(0, 3, 1, F32), eye(3, F32), Rng::new(1).normal([3], F32), arange(0, 3, 1, F32).exp() + 1.0] {
        let there = e.on(d);
        assert_eq!(there.eval().unwrap().device(), *d);
        assert_eq!((&there * 2.0).eval().unwrap().device(), *d);
        assert_eq!(there.plan().unwrap().kernels(), e.plan().unwrap().kernels());
        equal(&there.to(&Device::cpu()).unwrap(), &e.on(d).on(d).to(&Device::cpu()).unwrap());
    }
    let x = put(d, vec![1f32, 2.], &[2]);
    same(&x.on(d), &[1f32, 2.]);
    equal(&(&x + ones([2], F32).on(d)), &(&x + 1.0));
    same(&Expr::from(2.5).on(d), &[2.5f32]);
    let other = own(d);
    let e = text(x.on(&other).eval());
    assert_eq!(e, format!("on: the operands are on {d}, not on {other}; move them with to_device"));
    assert!(text((&x + ones([2], F32).on(&other)).eval()).starts_with("add: operands are on "));
    // a value that only has a device may get another one, and derivatives pass
    assert_eq!(zeros_like(&x).on(&other).eval().unwrap().device(), other);
    let [by] = grad((x.exp() * x.on(d)).sum(..), [&x]);
    let [want] = grad((x.exp() * &x).sum(..), [&x]);
    equal(&by, &want);
}

fn positions_as_usize(d: &Device) {
    let x = put(d, vec![1f32, 5., 2.], &[3]);
    assert_eq!(x.argmax(0).item::<usize>().unwrap(), 1);
    assert_eq!(x.argsort(0).to_vec::<usize>().unwrap(), [0, 2, 1]);
    for dtype in [U8, I8, U16, I16, U32, I32, U64, I64] {
        assert_eq!(x.astype(dtype).to_vec::<usize>().unwrap(), [1, 5, 2], "{dtype}");
        assert_eq!(x.astype(dtype).to_vec_as::<usize>().unwrap(), [1, 5, 2], "{dtype}");
        if !DType::is_unsigned_integer(dtype) {
            let e = text((-x.astype(dtype)).to_vec::<usize>());
            assert_eq!(e, "to_vec: the element -1 is not a usize", "{dtype}");
            assert_eq!(text((-x.astype(dtype)).to_vec_as::<usize>()), "to_vec_as: the element -1 is not a usize");
        }
    }
    assert_eq!(put(d, vec![u64::MAX], &[]).item::<usize>().unwrap(), usize::MAX);
    assert_eq!(text(put(d, vec![i64::MIN], &[]).item::<usize>()), format!("item: the element {} is not a usize", i64::MIN));
    assert_eq!(x.to_vec_as::<usize>().unwrap(), [1, 5, 2]);
    assert!(text(x.to_vec::<usize>()).starts_with("to_vec: the array's dtype is f32, not u64"));
    assert!(text(x.argsort(0).item::<usize>()).starts_with("item: the array has 3 elements"));
    assert_eq!(futures::executor::block_on(x.argmax(0).item_async::<usize>()).unwrap(), 1);
    assert_eq!(futures::executor::block_on(x.argsort(0).to_vec_async::<usize>()).unwrap(), [0, 2, 1]);
}

fn draws_in_the_shape_of_an_array(d: &Device) {
    let x = put(d, vec![0f32; 6], &[2, 3]);
    let make = || Rng::new(7);
    for (drawn, want) in [
        (make().normal_like(&x), make().normal([2, 3], F32)),
        (make().uniform_like(&x + 1), make().uniform([2, 3], F32)),
        (make().bernoulli_like(0.5, &x), make().bernoulli(0.5, [2, 3], F32)),
        (make().integers_like(0, 9, x.astype(U8)), make().integers(0, 9, [2, 3], U8)),
    ] {
        assert_eq!(drawn.eval().unwrap().device(), *d);
        equal(&drawn, &want.on(d));
    }
    assert_eq!(make().normal_like(zeros([2], F32)).eval().unwrap().device(), Device::cpu());
    assert!(text(make().normal_like(x.astype(I32)).eval()).starts_with("normal_like: dtype i32 is not a float"));
    assert!(text(make().integers_like(0, 9, &x).eval()).starts_with("integers_like: dtype f32 is not an integer"));
    assert!(text(make().bernoulli_like(2.0, &x).eval()).starts_with("bernoulli_like: 2 is not a probability"));
    assert!(text(make().uniform_like(x.reshape([5])).eval()).starts_with("reshape: "));
}

fn slices_without_the_macro(d: &Device) {
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    equal(&x.slice(1), &x.slice(s![1]));
    equal(&x.slice(-1i64), &x.slice(s![-1]));
    equal(&x.slice(0..1), &x.slice(s![0..1]));
    equal(&x.slice(..), &x);
    equal(&x.slice(1..), &x.slice(s![1..]));
    equal(&x.slice(..=0), &x.slice(s![..1]));
    equal(&x.slice(NewAxis), &x.expand_dims(0));
    equal(&x.slice((.., 2)), &x.slice(s![.., 2]));
    equal(&x.slice((.., NewAxis, 1usize.., -1)), &x.slice(s![.., NewAxis, 1.., -1]));
    equal(&x.slice((SliceItem::Ellipsis, 3)), &x.slice(s![..., 3]));
    equal(&x.slice(()), &x);
    equal(&x.slice((0, 1, 2, NewAxis, NewAxis, NewAxis)), &x.slice(s![0, 1, 2]).reshape([1, 1, 1]));
    let items = s![.., 0];
    equal(&x.slice(items), &x.slice((.., 0)));
    equal(&x.slice(&items[..]), &x.slice(&items));
    equal(&x.slice(items.to_vec()), &x.slice(&items.to_vec()));
    assert!(text(x.slice(2).eval()).starts_with("slice: "));
    assert!(text(x.slice((.., .., .., 0)).eval()).starts_with("slice: "));
    let mut y = x.copy();
    y.set((.., 0, 1..3), 9).unwrap();
    y.slice_mut(1).update(|v| v + 100).unwrap();
    equal(&y.slice((0, 0)), &put(d, vec![0, 9, 9, 3], &[4]));
    equal(&y.slice((1, 0)), &put(d, vec![112, 109, 109, 115], &[4]));
}

fn rows_one_by_one(d: &Device) {
    let x = put(d, (0..6).collect::<Vec<i32>>(), &[3, 2]);
    let mut sums = vec![];
    for row in &x {
        sums.push(row.sum(..).item::<i64>().unwrap());
    }
    assert_eq!(sums, [1, 5, 9]);
    let rows: Vec<Expr> = x.iter().collect();
    equal(&stack(&rows, 0), &x);
    equal(&stack(&x, 0), &x);
    assert_eq!((x.iter().len(), x.iter().size_hint()), (3, (3, Some(3))));
    equal(&x.iter().next_back().unwrap(), &x.slice(2));
    equal(&x.iter().nth(1).unwrap(), &x.slice(1));
    assert!(x.iter().nth(3).is_none());
    // the rows of a view, elements of an array of one axis, and arrays without rows
    let columns = x.t().eval().unwrap();
    equal(&columns.iter().next_back().unwrap(), &x.slice((.., 1)));
    assert_eq!(x.slice(1).eval().unwrap().iter().map(|e| e.item::<i32>().unwrap()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(x.sum(..).eval().unwrap().iter().count(), 0);
    assert_eq!(x.slice(0..0).eval().unwrap().iter().count(), 0);
    // a row is a view: nothing is copied, and derivatives pass to the array
    assert_eq!(x.iter().next().unwrap().plan().unwrap().kernels(), 0);
    let w = put(d, vec![1f32, 2., 3., 4.], &[2, 2]);
    let [by] = grad(w.iter().zip([1.0, 10.0]).map(|(row, k)| row.square().sum(..) * k).reduce(|a, b| a + b).unwrap(), [&w]);
    same(&by, &[2f32, 4., 60., 80.]);
}

fn operands_of_any_kind(d: &Device) {
    let x = put(d, vec![1f32, 2.], &[2]);
    let (array, expr): (&Array, &Expr) = (&x, &(&x + 0.0));
    assert!(array_equal(&x.eval().unwrap(), x.clone()).unwrap());
    assert!(array_equal(&array, &expr).unwrap());
    assert!(array_equal(&*x, expr).unwrap());
    assert!(!array_equal(&x, 1.0).unwrap());
    assert!(array_equal(x.sum(..), 3).unwrap());
    for like in [zeros_like(&x), zeros_like(&x + 1.0), zeros_like(array), zeros_like(&array), full_like(x.exp(), 0), ones_like(expr) - 1.0, empty_like(&*x)] {
        same(&like, &[0f32, 0.]);
    }
    same(&zeros_like(2), &[0]);
    let [a] = grad(x.square().sum(..), [&x]);
    let [b] = vjp(x.square(), 1.0, [&x]);
    let [c] = grad_or_zeros(&x.square().sum(..).eval().map_or_else(Expr::from, |_| x.square().sum(..)), [&x]);
    let list = grad_many(x.square().sum(..), [&x]);
    let d = jvp(x.square(), [&x], [1.0]);
    let [e] = grad(with_vjp(x.square(), [&x], { let two = &x * 2.0; move |g| [g * &two] }).sum(..), [&x]);
    for by in [&a, &b, &c, &list[0], &d, &e] {
        same(by, &[2f32, 4.]);
    }
}

fn made_in_a_scope(d: &Device) {
    let (d, cpu) = (&own(d), Device::cpu());
    let path = std::env::temp_dir().join(format!("cupric-scope-{}-{}.npy", std::process::id(), d.is_gpu()));
    array![[1., 2.], [3., 4.]].t().to_npy(&path).unwrap();
    let bytes = array![1., 2.].to_npy_bytes().unwrap();
    assert_eq!(Array::from_npy(&path).unwrap().device(), cpu);
    let made = || {
        [
            array![1., 2.],
            Array::from([1f32, 2.]),
            Array::from(vec![1f32, 2.]),
            Array::from_vec(vec![1f32, 2.], [2]).unwrap(),
            Array::from_slice(&[1f32, 2.], -1).unwrap(),
            Array::from_bytes(&[1f32, 2.].map(f32::to_ne_bytes).concat(), F32, 2).unwrap(),
            Array::from_nested(vec![1f32, 2.]).unwrap(),
            Array::from_npy_bytes(&bytes).unwrap(),
        ]
    };
    for x in d.scope(made) {
        assert_eq!(x.device(), *d);
        same(&x, &[1f32, 2.]);
    }
    assert!(made().iter().all(|x| x.device() == cpu));
    let read = d.scope(|| Array::from_npy(&path)).unwrap();
    assert_eq!(read.device(), *d);
    same(&read, &[1f32, 3., 2., 4.]);
    std::fs::remove_file(&path).unwrap();
    // formulas of literals and generated numbers need no transfers
    d.scope(|| same(&(array![1, 2] + arange(0, 2, 1, I32)), &[1, 3]));
    assert_eq!(d.scope(|| array![1].to(&cpu)).unwrap().device(), cpu);
    // a scope of the CPU within, and literals without elements
    assert_eq!(d.scope(|| cpu.scope(|| array![1])).device(), cpu);
    assert_eq!(d.scope(|| Array::from(Vec::<f32>::new())).device(), *d);
}

fn no_memory_in_a_scope(d: &Device) {
    let small = d.with_memory_limit(1 << 20).unwrap();
    let large = || vec![0f32; 1 << 20];
    small.scope(|| {
        assert_eq!(Array::from_vec(large(), [1 << 20]).unwrap_err().kind(), ErrorKind::OutOfMemory);
        let x = Array::from(large());
        assert_eq!((x.shape(), x.dtype(), x.device()), (&[1 << 20][..], F32, small.clone()));
        let (e, line) = (x.to_vec::<f32>().unwrap_err(), line!() - 2);
        assert_eq!((e.kind(), e.operation(), e.location().unwrap().line()), (ErrorKind::OutOfMemory, "Array::from", line));
        for e in [x.eval().unwrap_err(), x.sum(..).item::<f32>().unwrap_err(), x.slice(0).to_vec::<f32>().unwrap_err(), x.to(&Device::cpu()).unwrap_err(), x.to_bytes().unwrap_err()] {
            assert_eq!(e.kind(), ErrorKind::OutOfMemory);
        }
        assert!(x.as_slice::<f32>().is_err());
        assert!(x.clone().into_vec::<f32>().is_err());
        let add = Compiled::new(|v: Expr| v + 1.0);
        assert_eq!(add.call(&x).unwrap_err().kind(), ErrorKind::OutOfMemory);
        let captured = Compiled::new(|v: Expr| v + &x);
        assert_eq!(captured.call(&array![1.]).unwrap_err().kind(), ErrorKind::OutOfMemory);
        let mut x = x;
        assert_eq!(x.set(0, 1.0).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert!(x.fill(1.0).is_err());
    });
}

}
