//! Set functions, compared with plain loops, and with NumPy's results for its special cases.

use crate::kit::{array, dice::Dice, has, on_devices, put, read};
use cupric::{Array, DType, DType::*, Device, ErrorKind, Expr, f16, testing, zeros};
use std::cmp::Ordering;

/// Random elements with few distinct values; floats include zeros of both signs, infinities and NaNs.
fn elements(d: &Device, dtype: DType, seed: u64, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let mut dice = Dice::new(seed);
    let infinity = match dtype {
        F16 => 0x7c00,
        BF16 => 0x7f80,
        F32 => 0x7f80_0000,
        F64 => 0x7ff0_0000_0000_0000,
        _ => 0u64,
    };
    let top = 8 * dtype.size() - 1;
    let one = |dice: &mut Dice| -> u64 {
        let (kind, sign) = (dice.below(9) as u64, (dice.below(2) as u64) << top);
        match dtype {
            Bool => kind & 1,
            _ if infinity == 0 => (kind * 3) | sign,
            _ => sign | if kind < 2 { kind * (infinity | 1) } else { infinity - (kind - 2) * (infinity / 8) },
        }
    };
    let bits: Vec<u64> = (0..n).map(|_| one(&mut dice)).collect();
    array(dtype, &bits, shape, d).unwrap()
}

/// An element that can be compared. It represents every value of every type exactly.
#[derive(Clone, Copy, Debug)]
enum Value {
    Int(i128),
    Float(f64),
}

fn values(e: &Expr) -> Vec<Value> {
    let bits = read(e).unwrap();
    let dtype = e.dtype().unwrap();
    let one = |b: &u64| match dtype.is_float() {
        true => Value::Float(crate::kit::number::real(dtype, *b)),
        false => Value::Int(crate::kit::number::integer(dtype, *b)),
    };
    bits.iter().map(one).collect()
}

fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(b).unwrap(),
            (a, b) => a.cmp(&b),
        },
        _ => unreachable!(),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    !matches!(a, Value::Float(a) if a.is_nan()) && order(a, b) == Ordering::Equal
}

/// For each distinct value, in ascending order, the positions of its elements.
fn groups(x: &[Value]) -> Vec<Vec<usize>> {
    let mut at: Vec<usize> = (0..x.len()).collect();
    at.sort_by(|a, b| order(&x[*a], &x[*b]));
    let mut out: Vec<Vec<usize>> = vec![];
    for i in at {
        match out.last_mut() {
            Some(group) if equal(&x[group[0]], &x[i]) => group.push(i),
            _ => out.push(vec![i]),
        }
    }
    out
}

fn types(d: &Device) -> Vec<DType> {
    let all = DType::ALL.into_iter().filter(|t| has(d, *t));
    if d.is_gpu() { all.filter(|t| [Bool, F16, I64].contains(t)).collect() } else { all.collect() }
}

fn both(d: &Device) -> Vec<Device> {
    if d.is_gpu() { vec![d.clone(), testing::gpu_without_int64().unwrap()] } else { vec![d.clone()] }
}

fn whole(e: &Array) -> Vec<i64> {
    e.to_vec().unwrap()
}

/// Checks the four `unique` functions on one array.
fn check(x: &Expr, what: &str) {
    let bits = read(x).unwrap();
    let groups = groups(&values(x));
    let shape = x.shape().unwrap();
    let firsts: Vec<u64> = groups.iter().map(|g| bits[g[0]]).collect();
    let counts: Vec<i64> = groups.iter().map(|g| g.len() as i64).collect();
    let mut inverse = vec![0i64; bits.len()];
    groups.iter().enumerate().for_each(|(k, g)| g.iter().for_each(|i| inverse[*i] = k as i64));
    assert!(read(&x.unique_values().unwrap()).unwrap() == firsts, "values of {what}");
    let found = x.unique_counts().unwrap();
    assert!(read(&found.values).unwrap() == firsts && whole(&found.counts) == counts, "counts of {what}");
    let found = x.unique_inverse().unwrap();
    assert!(read(&found.values).unwrap() == firsts && whole(&found.inverse_indices) == inverse, "inverse of {what}");
    assert_eq!(found.inverse_indices.shape(), shape);
    let found = x.unique_all().unwrap();
    assert!(read(&found.values).unwrap() == firsts && whole(&found.inverse_indices) == inverse, "all of {what}");
    assert!(whole(&found.counts) == counts && found.inverse_indices.shape() == shape, "all of {what}");
    assert!(whole(&found.indices) == groups.iter().map(|g| g[0] as i64).collect::<Vec<_>>(), "indices of {what}");
}

on_devices! {

fn different_elements(d: &Device) {
    for d in both(d) {
        for dtype in types(&d) {
            for shape in [vec![0usize], vec![1], vec![], vec![2, 1], vec![17, 23]] {
                let x: Expr = elements(&d, dtype, 3, &shape).into();
                check(&x, &format!("{dtype} {shape:?} on {d}"));
            }
        }
        let x = elements(&d, F32, 4, &[20, 30]);
        check(&x.t(), "a transposed one");
        check(&x.slice(cupric::s![..;2, ..;-3]), "one with steps");
        check(&x.slice(cupric::s![..1]).broadcast_to([20, 30]), "a broadcast one");
        check(&(x.astype(I32) % 7), "a computed one");
    }
}

fn lengths(d: &Device) {
    for n in [255usize, 257, 65_537, 100_000] {
        let x: Vec<i32> = (0..n).map(|i| (i * i * 7 % 1013) as i32 - 500).collect();
        check(&put(d, x, &[n]), &format!("{n} elements"));
    }
    check(&put(d, (0..70_001).rev().collect::<Vec<i32>>(), &[70_001]), "different ones");
    check(&put(d, vec![3f32; 70_001], &[70_001]), "equal ones");
}

fn membership(d: &Device) {
    for d in both(d) {
        for dtype in types(&d) {
            let x = elements(&d, dtype, 5, &[9, 7]);
            let own = values(&x);
            for (n, seed) in [(0usize, 1), (1, 2), (2, 3), (3, 4), (5, 5), (40, 6)] {
                // on a GPU each case needs a pipeline
                if d.is_gpu() && ![0, 1, 5].contains(&n) {
                    continue;
                }
                let of = elements(&d, dtype, seed, &[n]);
                let other = values(&of);
                let want: Vec<bool> = own.iter().map(|x| other.iter().any(|y| equal(x, y))).collect();
                let got = x.isin(&of);
                assert_eq!(got.shape().unwrap(), [9, 7]);
                assert!(got.to_vec::<bool>().unwrap() == want, "{n} of {dtype} on {d}");
                if n == 5 || n == 0 {
                    operations(&x, &of, &format!("{n} of {dtype} on {d}"));
                }
            }
        }
        let (x, of) = (elements(&d, F32, 1, &[20, 30]), elements(&d, F32, 9, &[4, 4]));
        let want: Vec<bool> = x.t().isin(of.eval().unwrap()).to_vec().unwrap();
        let all = x.isin(of.t().flip(0)).to_vec::<bool>().unwrap();
        assert!((0..600).all(|k| want[k] == all[k % 20 * 30 + k / 20]));
    }
    let n = 100_003u32;
    let x = put(d, (0..n).map(|i| i.wrapping_mul(2_654_435_761) >> 8).collect::<Vec<u32>>(), &[n as usize]);
    let of: Vec<u32> = (0..70_001u32).map(|i| i.wrapping_mul(2_654_435_769) >> 8).collect();
    let known: std::collections::HashSet<u32> = of.iter().copied().collect();
    let got = x.isin(put(d, of, &[70_001])).to_vec::<bool>().unwrap();
    let own = x.to_vec::<u32>().unwrap();
    assert!(got.iter().zip(&own).all(|(is, x)| *is == known.contains(x)));
}

fn common_types(d: &Device) {
    let (x, y) = (put(d, vec![1i8, 2, -3], &[3]), put(d, vec![2f32, -3., 0.5], &[3]));
    assert_eq!(x.isin(&y).to_vec::<bool>().unwrap(), [false, true, true]);
    assert_eq!(x.isin(2).to_vec::<bool>().unwrap(), [false, true, false]);
    assert_eq!(x.union(&y).unwrap().to_vec::<f32>().unwrap(), [-3., 0.5, 1., 2.]);
    let (a, b) = (put(d, vec![1u64], &[1]), put(d, vec![1i64], &[1]));
    let e = a.isin(&b).eval().unwrap_err();
    assert_eq!((e.kind(), e.operation()), (ErrorKind::DType, "isin"), "{e}");
    for e in [a.union(&b).unwrap_err(), a.intersect(&b).unwrap_err(), a.setdiff(&b).unwrap_err()] {
        assert!(e.kind() == ErrorKind::DType && e.to_string().contains("sets.rs"), "{e}");
    }
    let failed = &y + put(d, vec![1f32; 5], &[5]);
    assert_eq!(failed.unique_values().unwrap_err().operation(), "add");
    assert_eq!(failed.unique_all().unwrap_err().operation(), "add");
    assert_eq!(zeros([3, 0], F32).to_device(d).unwrap().unique_all().unwrap().inverse_indices.shape(), [3, 0]);
}

// As in NumPy 2: `np.unique_values([nan, 1, nan])` has both NaNs, and `np.unique([0.0, -0.0])` has one zero.
fn special_values(d: &Device) {
    let x = put(d, vec![f32::NAN, 0.0, -0.0, f32::NAN, -0.0, f32::INFINITY], &[6]);
    let found = x.unique_all().unwrap();
    let values = found.values.to_vec::<f32>().unwrap();
    assert!(values[0].to_bits() == 0 && values[1] == f32::INFINITY && values[2..].iter().all(|x| x.is_nan()));
    assert_eq!((values.len(), whole(&found.counts)), (4, vec![3, 1, 1, 1]));
    assert_eq!(whole(&found.indices), [1, 5, 0, 3]);
    assert_eq!(whole(&found.inverse_indices), [2, 0, 0, 3, 0, 1]);
    assert_eq!(x.isin(put(d, vec![f32::NAN, -0.0], &[2])).to_vec::<bool>().unwrap(), [false, true, true, false, true, false]);
    assert_eq!(x.intersect(&x).unwrap().to_vec::<f32>().unwrap(), [0.0, f32::INFINITY]);
    assert_eq!(x.setdiff(&x).unwrap().size(), 2);
    assert_eq!(x.union(&x).unwrap().size(), 6);
    let half = put(d, vec![f16::from_f32(65_504.), f16::INFINITY, f16::from_f32(65_504.)], &[3]);
    assert_eq!(whole(&half.unique_counts().unwrap().counts), [2, 1]);
}

}

/// Checks the set operations that are built from `unique_values` and `isin`.
fn operations(x: &Array, y: &Array, what: &str) {
    let (a, b) = (values(x), values(y));
    let of = |list: &[Value], keep: &dyn Fn(&Value) -> bool| -> Vec<String> {
        let firsts = groups(list).into_iter().map(|g| list[g[0]]).filter(|v| keep(v));
        firsts.map(|v| format!("{v:?}")).collect()
    };
    let got = |e: Array| -> Vec<String> { values(&e).iter().map(|v| format!("{v:?}")).collect() };
    let is_in = |v: &Value| b.iter().any(|w| equal(v, w));
    assert_eq!(got(x.intersect(y).unwrap()), of(&a, &|v| is_in(v)), "intersect of {what}");
    assert_eq!(got(x.setdiff(y).unwrap()), of(&a, &|v| !is_in(v)), "setdiff of {what}");
    assert_eq!(got(x.union(y).unwrap()), of(&[a.clone(), b.clone()].concat(), &|_| true), "union of {what}");
}
