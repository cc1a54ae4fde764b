//! The scalar interpreter of expressions, compared with results worked out by hand. All random tests rely on the
//! interpreter, so its error bounds must be neither too wide nor wrong.

use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{BoundedReal, ElementList, Interpreter, interpret};
use cupric::{Clip, Device, ErrorKind, Expr, Rng, Wrap, arange, bf16, concat, f16, keep, s, select};

fn integers(e: &Expr) -> Vec<i128> {
    match interpret(e).expect("a meaning").elements {
        ElementList::Integers(v) => v.into_iter().map(|x| x.expect("a known element")).collect(),
        ElementList::Floats(_) => panic!("floats"),
    }
}

fn reals(e: &Expr) -> Vec<BoundedReal> {
    match interpret(e).expect("a meaning").elements {
        ElementList::Floats(v) => v,
        ElementList::Integers(_) => panic!("integers"),
    }
}

fn exact(e: &Expr) -> Vec<f64> {
    reals(e).iter().map(|x| if x.error == 0.0 { x.value } else { panic!("{x:?} is not exact") }).collect()
}

on_devices! {

fn stored_arrays_in_any_layout(d: &Device) {
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    assert_eq!(integers(&x), (0..24).collect::<Vec<i128>>());
    assert_eq!(integers(&x.slice(s![1, ..;-2, 1..3])), [21, 22, 13, 14]);
    assert_eq!(integers(&x.permute_dims([2, 0, 1]).slice(s![3])), [3, 7, 11, 15, 19, 23]);
    let narrow = put(d, vec![-1i8, 2, -3, 4, 5], &[5]);
    assert_eq!(integers(&narrow.slice(s![1..4;2]).broadcast_to([2, 2])), [2, 4, 2, 4]);
    let half = put(d, vec![f16::from_f32(0.1), f16::MIN_POSITIVE_SUBNORMAL, f16::NEG_INFINITY], &[3]);
    assert_eq!(exact(&half), [0.0999755859375, 2f64.powi(-24), f64::NEG_INFINITY]);
    assert_eq!(exact(&put(d, vec![bf16::from_f32(1.0 / 3.0)], &[1])), [0.333984375]);
    assert!(integers(&x.slice(s![2..])).is_empty());
}

fn integers_wrap_and_never_err(d: &Device) {
    let x = put(d, vec![100i8, -128, 7], &[3]);
    assert_eq!(integers(&(&x + 100i8)), [-56, -28, 107]);
    assert_eq!(integers(&x.abs()), [100, -128, 7]);
    assert_eq!(integers(&(&x * 0.5f32).floor().astype(U8)), [50, 0, 3]);
    assert_eq!(integers(&x.floor_divide(0i8)), [0, 0, 0]);
    assert_eq!(integers(&x.sum(..)), [-21]);
    assert_eq!(integers(&x.prod(..)), [-89600]);
    assert_eq!(integers(&(x.argmin(0) + x.argmax(0))), [1]);
    assert_eq!(integers(&x.less(0i8)), [0, 1, 0]);
}

fn floats_are_exact_where_rounding_is_certain(d: &Device) {
    let x = put(d, f(&[1.5, -2.25, 1e10]), &[3]);
    assert_eq!(exact(&(&x * 2.0)), [3.0, -4.5, 2e10]);
    assert_eq!(exact(&x.slice(s![..2]).sum(..)), [-0.75]);
    assert_eq!(exact(&x.max(..)), [1e10]);
    assert_eq!(exact(&select(x.less(0.0), 0.0, &x)), [1.5, 0.0, 1e10]);
    assert_eq!(exact(&concat([&*x, &-&x], 0)), [1.5, -2.25, 1e10, -1.5, 2.25, -1e10]);
    let third = reals(&(&x / 3.0))[1];
    let bound = if d.is_gpu() { 3.0 * 2f64.powi(-24) } else { 0.0 };
    assert!((third.value + 0.75).abs() <= bound && third.error <= bound, "{third:?}");
}

fn bounds_are_narrow_and_grow(d: &Device) {
    let x = put(d, f(&[0.7, 3.1]), &[2]);
    let one = reals(&x.exp())[1];
    let ulp = 2f64.powi(-19);
    assert!(one.error > 0.0 && one.error <= 5.0 * ulp, "{one:?}");
    let two = reals(&x.exp().exp())[1];
    // the derivative of exp is exp itself, so the second exp multiplies the error by its value
    assert!(two.error > one.error * two.value && two.error < 4.0 * one.error * two.value, "{two:?}");
    assert!(one.allows(one.value + 0.9 * one.error) && !one.allows(one.value + 1.1 * one.error));
    assert!(!one.allows(f64::NAN) && BoundedReal::exact(f64::NAN).allows(f64::NAN));
    // elements that depend on rounding are reported as unknown
    let close = x.exp().equal(x.exp() + x.tanh() * 0.0).astype(I32);
    match interpret(&close).expect("a meaning").elements {
        ElementList::Integers(v) => assert_eq!(v, [None, None]),
        ElementList::Floats(_) => panic!("floats"),
    }
}

fn halves_are_rounded_where_they_are_stored(d: &Device) {
    // 1 + 2^-11 is not an f16: storing it rounds to 1
    let x = put(d, vec![f16::from_f32(1.0)], &[1]);
    let small = 2f64.powi(-11);
    let fused = (&x + small) - 1.0;
    assert_eq!(exact(&fused), [small]);
    assert_eq!(exact(&((&x + small).astype(F16) - 1.0)), [0.0]);
    let stored = (&x + small).eval().expect("a result");
    assert_eq!(exact(&(&stored - 1.0)), [0.0]);
    // a gather reads stored elements, which are rounded
    let gathered = (&x + small).take(put(d, vec![0i32], &[1]), 0) - 1.0;
    assert_eq!(gathered.to_vec::<f16>().expect("a result"), [f16::ZERO]);
    assert_eq!(exact(&gathered), [0.0]);
    // without a plan the interpreter allows both the rounded and the exact value
    let known = Interpreter::new(d).interpret(&fused).expect("a meaning");
    match &known.elements {
        ElementList::Floats(v) => assert!(v[0].allows(small) && v[0].allows(0.0) && !v[0].allows(2.5 * small)),
        ElementList::Integers(_) => panic!("integers"),
    }
}

fn generators(d: &Device) {
    assert_eq!(integers(&arange(3, 12, 4, I32)), [3, 7, 11]);
    let here = put(d, vec![0u32], &[]);
    let dice = Rng::new(7).integers(-100, 100, [3, 50], I32) + here.astype(I32);
    let want: Vec<i128> = dice.to_vec::<i32>().expect("numbers").into_iter().map(i128::from).collect();
    assert_eq!(integers(&dice), want);
    let n = Rng::new(7).normal([400], F32) + here.astype(F32);
    let got = n.to_vec::<f32>().expect("numbers");
    assert!(reals(&n).iter().zip(&got).all(|(r, x)| r.allows(*x as f64) && r.error < 1e-4));
}

fn products_and_reductions(d: &Device) {
    let a = put(d, f(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), &[2, 3]);
    assert_eq!(exact(&a.matmul(a.t())), [14.0, 32.0, 32.0, 77.0]);
    assert_eq!(exact(&a.sum(keep(0))), [5.0, 7.0, 9.0]);
    let mean = reals(&a.mean(1));
    assert!(mean[0].value == 2.0 && mean[1].value == 5.0 && mean[0].error < 1e-6);
    let b = put(d, vec![true, false, true, true], &[2, 2]);
    assert_eq!(integers(&b.any(0)), [1, 1]);
    assert_eq!(integers(&b.all(1)), [0, 1]);
    let picked = a.take(Wrap(put(d, vec![-1i32, 3], &[2])), 1).take(Clip(put(d, vec![9i32], &[1])), 0);
    assert_eq!(exact(&picked), [6.0, 4.0]);
    let outside = a.take(put(d, vec![3i32], &[1]), 1);
    assert_eq!(interpret(&outside).err().map(|e| e.kind()), Some(ErrorKind::Index));
}

fn deep_graphs_take_no_stack(d: &Device) {
    let d = d.clone();
    let walk = move || {
        let mut e: Expr = (*put(&d, vec![1i32, -1], &[2])).clone();
        for _ in 0..50_000 {
            e = e + 1i32;
        }
        // the interpreter does not look at the plan here
        let value = Interpreter::new(&d).interpret(&e).expect("a meaning");
        match &value.elements {
            ElementList::Integers(v) => assert_eq!(v, &[Some(50_001), Some(49_999)]),
            ElementList::Floats(_) => panic!("floats"),
        }
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(walk).expect("a thread").join().expect("no overflow");
}

}
