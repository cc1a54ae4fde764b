//! What users of the first week had problems with: calls that they write, and error messages that they read.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The text of an error without the location at its end, which must be in this file.
fn text<T>(result: Result<T>) -> String {
    let e = result.err().expect("it should be refused");
    let whole = e.to_string();
    let (text, place) = whole.rsplit_once(" (").expect("a place");
    assert!(place.contains("newcomers.rs:"), "{whole}");
    text.to_string()
}

on_devices! {

fn results_by_name(d: &Device) {
    let x = put(d, vec![1f32, 2., 3.], &[3]);
    let y = &x * 2.0;
    // arrays and expressions, in any order
    let [a, b] = eval_all([&x, &y]).unwrap();
    same(&a, &[1f32, 2., 3.]);
    same(&b, &[2f32, 4., 6.]);
    let [b, sum, a] = eval_all([&y, &y.sum(..), &x]).unwrap();
    assert_eq!((b.shape(), sum.shape(), a.shape()), (&[3][..], &[][..], &[3][..]));
    let [] = eval_all([]).unwrap();
    // iterators over expressions or arrays, owned or borrowed
    let list = vec![y.clone(), y.sum(..)];
    assert_eq!(eval_many(&list).unwrap().len(), 2);
    assert_eq!(eval_many(list).unwrap().len(), 2);
    assert_eq!(eval_many([a, b]).unwrap().len(), 2);
    assert_eq!(eval_many(std::iter::empty::<Expr>()).unwrap().len(), 0);
    let other = own(d);
    let far = put(&other, vec![1f32], &[1]);
    assert!(text(eval_all([&x, &far])).starts_with("eval_all: operands are on "));
    assert!(text(eval_many([&x, &far])).starts_with("eval_many: operands are on "));
}

fn lengths_by_name(d: &Device) {
    let x = put(d, vec![1f32; 6], &[2, 3]);
    let [rows, columns] = x.dims().unwrap();
    assert_eq!((rows, columns), (2, 3));
    let [] = x.sum(..).dims().unwrap();
    assert_eq!(text(x.dims::<3>()), "dims: shape [2, 3] has 2 axes, where 3 are needed");
    assert_eq!(text((&x + 1).dims::<0>()), "dims: shape [2, 3] has 2 axes, where 0 are needed");
}

fn elements_of_another_type(d: &Device) {
    let x = put(d, vec![1.5f32, -2.5, 300.], &[3]);
    assert_eq!(x.to_vec_as::<f64>().unwrap(), [1.5, -2.5, 300.]);
    assert_eq!(x.to_vec_as::<i64>().unwrap(), [1, -2, 300]);
    assert_eq!((&x * 2).to_vec_as::<f16>().unwrap(), [3f32, -5., 600.].map(f16::from_f32));
    assert_eq!(x.to_vec_as::<bool>().unwrap(), [true; 3]);
    assert_eq!(x.to_vec_as::<f32>().unwrap(), [1.5, -2.5, 300.]);
    assert_eq!(full([2], 7, U8).to_vec_as::<u64>().unwrap(), [7, 7]);
    let [a, b] = [x.to_vec::<f64>(), x.t().to_vec::<f64>()];
    assert_eq!(text(a), "to_vec: the array's dtype is f32, not f64; read it as f32, or convert it with astype(DType::F64)");
    let e = text(x.slice(s![0]).item::<f64>());
    assert_eq!(e, "item: the array's dtype is f32, not f64; read it as f32, or convert it with astype(DType::F64)");
    assert!(b.is_err());
}

fn bits_of_floats(d: &Device) {
    let (x, y, i) = (put(d, vec![1f32, 2.], &[2]), put(d, vec![1f32, 0.], &[2]), put(d, vec![1i32, 2], &[2]));
    let hint = "dtype f32 is not supported; this function takes integers and bool; for conditions, compare first, as in x.greater(0)";
    for (e, op) in [(&x & &y, "bitwise_and"), (&x | 0.5, "bitwise_or"), (&x ^ &y, "bitwise_xor"), (!&x, "bitwise_invert")] {
        assert_eq!(text(e.eval()), format!("{op}: {hint}"));
    }
    assert!(text((&x & &i).eval()).ends_with("compare first, as in x.greater(0)"));
    assert_eq!(text((&x << 1).eval()), "bitwise_left_shift: dtype f32 is not supported; this function takes integers");
    same(&(x.greater(0) & y.greater(0)), &[true, false]);
}

fn windows_over_several_axes(d: &Device) {
    let x = put(d, vec![0f32; 12], &[3, 4]);
    assert_eq!(text(x.sliding_windows([2, 2], 0).eval()), "sliding_windows: window lengths: 2, axes: 1; each axis needs one");
    assert_eq!(text(x.sliding_windows(2, ..).eval()), "sliding_windows: window lengths: 1, axes: 2; each axis needs one");
    assert_eq!(text(x.sliding_windows([2, 5], ..).eval()), "sliding_windows: a window of 5 does not fit axis 1, which has length 4");
    assert_eq!(text(x.sliding_windows(-1, 0).eval()), "sliding_windows: a window of -1 does not fit axis 0, which has length 3");
    assert_eq!(text(x.sliding_windows([2, 3], [0, 0]).eval()), "sliding_windows: a window of 3 does not fit axis 0, which has length 2");
}

fn bytes_and_back(d: &Device) {
    for dtype in DType::ALL {
        if !has(d, dtype) {
            continue;
        }
        let x = arange(0, 6, 1, I32).reshape([2, 3]).astype(dtype).to_device(d).unwrap();
        for e in [(*x).clone(), x.t(), x.slice(s![.., 1..]), x.slice(s![0..0])] {
            let bytes = e.to_bytes().unwrap();
            let back = Array::from_bytes(&bytes, dtype, e.shape().unwrap()).unwrap();
            assert_eq!(bytes.len(), e.size().unwrap() * dtype.size());
            assert!(array_equal(&back, &e.to_device(&Device::cpu()).unwrap()).unwrap(), "{dtype}");
        }
    }
    // a bool's bytes are 0 and 1, whatever a kernel stored
    let m = put(d, vec![0f32, 1., 2.], &[3]);
    assert_eq!(m.astype(Bool).to_bytes().unwrap(), [0, 1, 1]);
    assert_eq!(m.greater(1.5).to_bytes().unwrap(), [0, 0, 1]);
}

fn lists_in_and_out(d: &Device) {
    let x = put(d, (0..12).collect::<Vec<i32>>(), &[2, 3, 2]);
    let lists: Vec<Vec<Vec<i32>>> = x.to_nested().unwrap();
    assert_eq!(lists[1], [[6, 7], [8, 9], [10, 11]]);
    assert_eq!(x.to_nested::<Vec<[[i32; 2]; 3]>>().unwrap()[0][2], [4, 5]);
    assert_eq!(x.t().to_nested::<Vec<Vec<Vec<i32>>>>().unwrap()[1][0], [1, 7]);
    assert_eq!(x.sum(..).to_nested::<i64>().unwrap(), 66);
    assert!(array_equal(&Array::from_nested(lists).unwrap().to_device(d).unwrap(), &x).unwrap());
    let e = text(x.to_nested::<Vec<Vec<i32>>>());
    assert_eq!(e, "to_nested: an array of shape [2, 3, 2] cannot become a alloc::vec::Vec<alloc::vec::Vec<i32>>");
    assert_eq!(text(x.to_nested::<[[[i32; 2]; 2]; 2]>()), "to_nested: an array of shape [2, 3, 2] cannot become a [[[i32; 2]; 2]; 2]");
    assert_eq!(text(x.to_nested::<Vec<Vec<Vec<f32>>>>()), "to_nested: the array's dtype is i32, not f32; read it as i32, or convert it with astype(DType::F32)");
    // arrays without elements, one of which has more rows than memory could hold
    let none = zeros([2, 0], F32).to_device(d).unwrap();
    assert_eq!(none.to_nested::<Vec<Vec<f32>>>().unwrap(), [[0f32; 0]; 2]);
    assert_eq!(zeros([1usize << 60, 0], F32).to_nested::<Vec<[f32; 0]>>().unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(Array::from_nested(vec![[0f32; 0]; 1 << 60]).unwrap().shape(), [1 << 60, 0]);
    let wide = zeros([1usize << 60, 0], F32).to_device(d).unwrap();
    assert_eq!(wide.to_nested::<Vec<Vec<f32>>>().unwrap_err().kind(), ErrorKind::OutOfMemory);
}

fn names_of_devices(d: &Device) {
    let (small, large) = (d.with_memory_limit(1 << 20).unwrap(), d.with_memory_limit(3 << 30).unwrap());
    let hardware = d.name().split(" #").next().unwrap();
    assert!(small.name().starts_with(&format!("{hardware} #")) && small.name().ends_with(" (limit 1 MiB)"), "{small}");
    assert!(large.name().ends_with(" (limit 3 GiB)") && d.with_memory_limit(1000).unwrap().name().ends_with("(limit 1000 bytes)"));
    assert_ne!(small.name(), d.with_memory_limit(1 << 20).unwrap().name());
    let (a, b) = (put(&small, vec![1f32], &[1]), put(&large, vec![1f32], &[1]));
    let want = format!("add: operands are on {small} and {large}; move one with to_device");
    assert_eq!(text((&a + &b).eval()), want);
    assert!(text((&a + put(d, vec![1f32], &[1])).eval()).contains(&format!("{small} and {d};")));
    assert!(format!("{a:?}").ends_with(&format!("{small})")));
    // properties of the hardware and its driver
    assert_eq!([d.vendor(), d.driver(), d.api()].map(|fact| fact.is_some()), [d.is_gpu(); 3]);
    assert!([d.vendor(), d.driver(), d.api()].into_iter().flatten().all(|fact| !fact.is_empty()));
    let limits = d.limits();
    assert!(limits.binding_bytes >= 1 << 24 && limits.array_bytes >= limits.binding_bytes);
    assert_eq!((limits.workgroup.is_some(), limits.workgroup_bytes.is_some()), (d.is_gpu(), d.is_gpu()));
    assert_eq!(limits, small.limits());
}

fn where_no_array_says_it(d: &Device) {
    let d = &own(d);
    let (cpu, make) = (Device::cpu(), || zeros([2], F32).eval().unwrap().device());
    assert_eq!((make(), d.scope(make), make()), (cpu.clone(), d.clone(), cpu.clone()));
    d.scope(|| {
        assert_eq!(Rng::new(1).normal([3], F32).eval().unwrap().device(), *d);
        let [a, b] = eval_all([&ones([2], I32), &arange(0, 3, 1, I32)]).unwrap();
        assert!(a.device() == *d && b.device() == *d);
        same(&a, &[1, 1]);
        // a scope changes neither operands with a device, nor other threads; inner scopes and panics restore it
        let on_cpu = zeros([2], F32).eval_on(&cpu).unwrap();
        assert_eq!((&on_cpu + 1).eval().unwrap().device(), cpu);
        assert_eq!(std::thread::spawn(make).join().unwrap(), cpu);
        assert_eq!(cpu.scope(make), cpu);
        assert!(std::panic::catch_unwind(|| Device::cpu().scope(|| panic!("on purpose"))).is_err());
        assert_eq!(make(), *d);
        assert_eq!(zeros([2], F32).to_device(&cpu).unwrap().device(), cpu);
        assert_eq!(zeros([2], F32).to_vec::<f32>().unwrap(), [0., 0.]);
        assert_eq!(Expr::from(2.5).item::<f32>().unwrap(), 2.5);
    });
    assert_eq!(make(), cpu);
    // draws that use tables, operands that determine the device, 64-bit integers made on another device
    let written = zeros([4], I64).index_max(0, arange(0, 4, 1, I32), ones([4], I64));
    d.scope(|| {
        assert_eq!(Rng::new(1).poisson(3.0, [9]).eval().unwrap().device(), *d);
        assert_eq!(Rng::new(1).binomial(9, 0.5, [9]).eval().unwrap().device(), *d);
        assert_eq!(Rng::new(1).normal([9, 2], F32).nanquantile(0.5, 0, QuantileMethod::Linear).eval().unwrap().device(), *d);
        assert_eq!(Rng::new(1).multivariate_normal(array![0., 0.], eye(2, F32), [5]).eval().unwrap().device(), *d);
        same(&written.eval().unwrap(), &[1i64; 4]);
    });
    let mean = put(d, vec![0f32; 2], &[2]);
    assert_eq!(Rng::new(1).multivariate_normal(&mean, eye(2, F32), [5]).eval().unwrap().device(), *d);
    // a constant expression whose device no longer exists
    let constant = { put(&own(d), vec![1f32], &[1]).slice(s![0..0]).sum(..) };
    assert_eq!(constant.eval_on(d).unwrap().device(), *d);
    // evaluating one expression on a device
    assert_eq!((zeros([2], F32) + 1).eval_on(d).unwrap().device(), *d);
    let x = put(d, vec![1f32, 2.], &[2]);
    same(&(&x + 1).eval_on(d).unwrap(), &[2f32, 3.]);
    same(&x.eval_on(d).unwrap(), &[1f32, 2.]);
    let e = text((array![1., 2.] + 1.0).eval_on(d));
    assert_eq!(e, format!("eval_on: the operands are on cpu, not on {d}; move them with to_device"));
    assert!(text((&x + put(d, vec![1f32; 3], &[3])).eval_on(d)).starts_with("add: "));
}

fn functions_of_ones_own(d: &Device) {
    #[track_caller]
    fn try_half(x: impl Operand, rows: usize) -> Result<Expr> {
        let x = x.into_expr();
        let [n, _] = x.dims()?;
        if n != rows {
            return Err(Error::new(ErrorKind::Argument, "half", format!("{n} rows, not {rows}")));
        }
        Ok(x / 2)
    }
    #[track_caller]
    fn half(x: impl Operand, rows: usize) -> Expr {
        try_half(x, rows).into()
    }
    let x = put(d, vec![2f32, 4.], &[1, 2]);
    same(&half(&x, 1), &[1f32, 2.]);
    same(&half(&x + 1, 1), &[1.5f32, 2.5]);
    let (carried, line) = (half(&x, 3) * 2.0 + &x, line!());
    let e = carried.eval().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::Argument, "half"));
    assert!(e.to_string().starts_with("half: 1 rows, not 3 (tests/arrays/newcomers.rs:"), "{e}");
    // the error has the line of the caller, not a line inside the function
    assert_eq!(e.location().unwrap().line(), line);
    let (flat, line) = (half(x.ravel(), 1), line!());
    let e = flat.eval().unwrap_err();
    assert_eq!((e.operation(), e.location().unwrap().line()), ("dims", line));
    // an operand that carries an error keeps the line of that error
    let (bad, line) = (x.reshape([5]), line!());
    assert_eq!(half(&bad, 1).eval().unwrap_err().location().unwrap().line(), line);
    assert_eq!(half(2.0, 1).eval().unwrap_err().operation(), "dims");
}

fn any_operand_as_an_expression(d: &Device) {
    let x = put(d, vec![1f32, 2.], &[2]);
    let (lr, n) = (0.5f32, 3usize);
    same(&(Expr::from(lr) * &x), &[0.5f32, 1.]);
    same(&(Expr::from(n) - &x), &[2f32, 1.]);
    for e in [Expr::from(2u8), Expr::from(2i64), Expr::from(2.0), Expr::from(f16::from_f32(2.)), Expr::from(true) + 1] {
        let y = &x * e;
        assert_eq!(y.dtype().unwrap(), F32, "a number stays weak");
        same(&y, &[2f32, 4.]);
    }
    for e in [Expr::from(&x), Expr::from(x.clone()), Expr::from(&(&x * 1.0)), x.into_expr()] {
        same(&e, &[1f32, 2.]);
    }
    assert_eq!(Expr::from(2.5).item::<f32>().unwrap(), 2.5);
    assert!(text((put(d, vec![1u8], &[1]) + Expr::from(300)).eval()).starts_with("add: 300 does not fit dtype u8"));
}

fn updates_that_may_fail(d: &Device) {
    let mut x = put(d, vec![2f32, 4.], &[2]);
    x.try_update(|x| Ok(x / x.dims::<1>()?[0])).unwrap();
    same(&x, &[1f32, 2.]);
    let e = x.try_update(|x| Ok(x / x.dims::<2>()?[0]));
    assert_eq!(text(e), "dims: shape [2] has 1 axes, where 2 are needed");
    x.slice_mut(s![1..]).try_update(|x| Ok(x * 3)).unwrap();
    let own = x.slice_mut(s![..1]).try_update(|_| Err(Error::new(ErrorKind::Io, "read", "no rate")));
    assert_eq!(text(own), "read: no rate");
    assert!(text(x.slice_mut(s![7]).try_update(|x| Ok(x.clone()))).starts_with("slice_mut: index 7"));
    assert!(text(x.try_update(|x| Ok(x.reshape([2, 1])))).starts_with("try_update: cannot broadcast shape"));
    same(&x, &[1f32, 6.]);
    x.try_update(|x| Ok(x + 1)).unwrap();
    same(&x, &[2f32, 7.]);
}

fn memory_in_c_order(d: &Device) {
    let d = &own(d);
    let x = put(d, (0..6).collect::<Vec<i32>>(), &[2, 3]);
    for (e, name) in [(x.t(), "transposed"), (x.slice(s![.., ..;2]), "cut"), (x.flip(0), "flipped"), (x.t() + 1, "computed"), (x.broadcast_to([2, 2, 3]), "broadcast")] {
        let y = e.contiguous().eval().unwrap();
        assert!(y.is_contiguous() && array_equal(&y, &e).unwrap(), "{name}");
    }
    let before = d.stats().kernels;
    x.contiguous().eval().unwrap();
    x.slice(s![1..]).contiguous().eval().unwrap();
    assert_eq!(d.stats().kernels, before, "it lies so already");
    assert_eq!((x.t() + 1).contiguous().plan().unwrap().kernels(), 1);
    assert!(full([2], 3, F32).contiguous().to_device(d).unwrap().is_contiguous());
    same(&Expr::from(x.t().eval().unwrap()).contiguous(), &[0, 3, 1, 4, 2, 5]);
}

fn integers_of_any_type(d: &Device) {
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    let shape = |e: Expr| e.shape().unwrap().to_vec();
    let (list, slice): (Vec<usize>, &[u32]) = (vec![6, 4], &[6, 4]);
    let want = [6, 4];
    for e in [x.reshape(&list), x.reshape(slice), x.reshape([6u64, 4]), x.reshape((6i64, 4usize)), x.reshape(vec![6i32, -1]), x.reshape([6u8, 4]), x.reshape((-1, 4))] {
        assert_eq!(shape(e), want);
    }
    assert_eq!(shape(x.slice(s![0, 0, 0]).reshape(())), [0; 0]);
    assert_eq!(shape(zeros(x.shape(), F32)), [2, 3, 4]);
    // an axis as a number of any integer type, and lists of axes
    let last = x.ndim() - 1;
    let axes = vec![last];
    for e in [x.sum(last), x.sum(2u32), x.sum(2i64), x.sum([last]), x.sum(&axes), x.sum(&[2u8][..]), x.sum((-1,)), x.sum(vec![-1i64])] {
        assert_eq!(shape(e), [2, 3]);
    }
    assert_eq!(shape(x.sum((0usize, -1))), [3]);
    assert_eq!(shape(x.max(keep(last))), [2, 3, 1]);
    assert_eq!(shape(x.sum(())), [2, 3, 4]);
    assert_eq!(shape(x.permute_dims((0..3usize).rev().collect::<Vec<_>>())), [4, 3, 2]);
    assert_eq!(shape(x.expand_dims(x.ndim())), [2, 3, 4, 1]);
    assert_eq!(shape(x.take(0, last)), [2, 3]);
    assert_eq!(shape(x.sort(descending(last))), [2, 3, 4]);
    assert_eq!(shape(x.cumulative_sum(reverse(last))), [2, 3, 4]);
    assert_eq!(shape(x.swapaxes(0u8, last)), [4, 3, 2]);
    assert_eq!(shape(x.delete([0usize, 1], last)), [2, 3, 2]);
    assert_eq!(x.split([1u16, 2], last).unwrap().len(), 3);
    // an integer that does not fit isize is an axis out of range, like any other
    let e = text(x.sum(u64::MAX).eval());
    assert_eq!(e, format!("sum: axis {} is out of range for 3 axes", isize::MAX));
    assert!(text(x.reshape([u64::MAX]).eval()).starts_with("reshape: cannot reshape [2, 3, 4] into"));
    let e = text(x.reshape([-1, -1]).eval());
    assert_eq!(e, "reshape: cannot reshape [2, 3, 4] into [-1, -1]: only one length may be -1");
    same(&x.slice(s![0, 0, 1u64..3]), &[1, 2]);
}

}

#[test]
fn inclusive_ranges() {
    let x = arange(0, 6, 1, I32);
    for (items, want) in [
        (s![0..=3], &[0, 1, 2, 3][..]),
        (s![..=2], &[0, 1, 2]),
        (s![1..=-1], &[1, 2, 3, 4, 5]),
        (s![..=-2], &[0, 1, 2, 3, 4]),
        (s![0..=5usize; 2], &[0, 2, 4]),
        (s![..; usize::MAX], &[0]),
        (s![4..=0; -1], &[4, 3, 2, 1, 0]),
        (s![-1..=-2; -1], &[5, 4]),
        (s![..=3; -1], &[5, 4, 3]),
        (s![3..=2], &[]),
        (s![0..=isize::MAX], &[0, 1, 2, 3, 4, 5]),
        (s![..=i64::MIN; -1], &[5, 4, 3, 2, 1, 0]),
        (s![..=u64::MAX], &[0, 1, 2, 3, 4, 5]),
    ] {
        assert_eq!(x.slice(items).to_vec::<i32>().unwrap(), want, "{items:?}");
    }
    let mut y = x.eval().unwrap();
    y.set(s![1..=2], 9).unwrap();
    assert_eq!(y.to_vec::<i32>().unwrap(), [0, 9, 9, 3, 4, 5]);
    assert!(text(x.slice(s![3; 2]).eval()).contains("a step other than 0"));
}

#[test]
fn a_length_that_the_elements_give() {
    for x in [
        Array::from_vec(vec![1, 2, 3, 4, 5, 6], [2, -1]),
        Array::from_slice(&[1, 2, 3, 4, 5, 6], (-1, 3)),
        Array::from_bytes(&[0; 24], I32, [-1, 3]),
    ] {
        assert_eq!(x.unwrap().shape(), [2, 3]);
    }
    let three = |shape: [isize; 2]| Array::from_vec(vec![1f32; 3], shape);
    assert_eq!(text(three([2, -1])), "from_vec: 3 elements do not fill shape [2, -1]");
    assert_eq!(text(three([-1, -1])), "from_vec: 3 elements do not fill shape [-1, -1]");
    assert_eq!(text(three([0, -1])), "from_vec: 3 elements do not fill shape [0, -1]");
    assert_eq!(text(three([-3, 1])), "from_vec: 3 elements do not fill shape [-3, 1]");
    assert_eq!(text(three([2, 2])), "from_vec: 3 elements do not fill shape [2, 2]");
    assert!(text(three([isize::MAX, isize::MAX])).contains("too many elements"));
    assert!(text(three([isize::MIN, isize::MAX])).starts_with("from_vec: "));
    assert!(text(zeros([2, -1], F32).eval()).contains("is negative"));
}

#[test]
fn bytes_that_do_not_fit() {
    let e = text(Array::from_bytes(&[0; 6], F32, [1]));
    assert_eq!(e, "from_bytes: 6 bytes are not a whole number of elements of f32, which have 4 bytes each");
    let e = text(Array::from_bytes(&[0; 8], F32, [3]));
    assert_eq!(e, "from_bytes: 2 elements do not fill shape [3]");
    let e = text(Array::from_bytes(&[1, 0, 2], Bool, [3]));
    assert_eq!(e, "from_bytes: bool element 2 is the byte 2, not 0 or 1");
    // the bytes may start at any address
    let bytes: Vec<u8> = [0u8; 3].into_iter().chain([1f64, 2., 3.].iter().flat_map(|v| v.to_ne_bytes())).collect();
    assert_eq!(Array::from_bytes(&bytes[3..], F64, -1).unwrap().to_vec::<f64>().unwrap(), [1., 2., 3.]);
}

#[test]
fn lists_of_any_depth() {
    let x = Array::try_from(vec![vec![vec![1u8, 2], vec![3, 4]]]).unwrap();
    assert_eq!((x.shape(), x.dtype()), (&[1, 2, 2][..], U8));
    assert_eq!(Array::try_from(vec![[1f32, 2., 3.]; 4]).unwrap().shape(), [4, 3]);
    assert_eq!(Array::from_nested([vec![true], vec![false]]).unwrap().shape(), [2, 1]);
    assert_eq!(Array::from_nested(7.5).unwrap().shape(), [0; 0]);
    assert_eq!(Array::from_nested(Vec::<Vec<f32>>::new()).unwrap().shape(), [0, 0]);
    assert_eq!(Array::from_nested(Vec::<[f32; 3]>::new()).unwrap().shape(), [0, 3]);
    let e = text(Array::from_nested(vec![vec![vec![1, 2], vec![3, 4]], vec![vec![5, 6], vec![7]]]));
    assert_eq!(
        e,
        "from_nested: list [1, 1] has 1 elements, list [0, 0] has 2; lists of one level must have equal lengths"
    );
    assert!(text(Array::try_from(vec![vec![1], vec![]])).contains("list [1] has 0 elements, list [0] has 1"));
}
