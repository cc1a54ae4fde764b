//! Checks the entries of the list of operations (`kit/operations/`): types, shapes, values, errors.

use crate::kit::operations::{Kind, OPERATIONS, Operation, Params};
use crate::kit::*;
use cupric::DType::*;
use cupric::{DType, Device, ErrorKind, Expr, IntoAxes, keep};
use std::collections::HashSet;

#[test]
fn entries_are_whole() {
    let names: HashSet<&str> = OPERATIONS.iter().map(|o| o.name).collect();
    assert_eq!(names.len(), OPERATIONS.len(), "a name is listed twice");
    for o in OPERATIONS {
        assert!(cupric::testing::row(o.name).is_none(), "{} is a function of the table", o.name);
        assert_eq!(o.meaning.is_some(), o.along_axes(), "{}: what it means", o.name);
        let unknown = o.types.split_whitespace().find(|t| dtype(t).is_none());
        assert_eq!(unknown, None, "{}: a type", o.name);
    }
}

#[test]
fn entries_name_every_type_that_is_taken() {
    for o in OPERATIONS.iter().filter(|o| o.along_axes()) {
        for t in DType::ALL {
            let taken = (o.build)(&[cupric::ones([3], t)], &Params::along(..)).eval();
            assert_eq!(taken.is_ok(), o.takes(t), "{} of {t}: {:?}", o.name, taken.err());
        }
    }
}

/// Random multiples of 1/8 from −3 to 3, as far as the type represents them.
fn values(t: DType, n: usize) -> Vec<f64> {
    let mut dice = Dice::new(t as u64);
    let one = |d: &mut Dice| match t {
        Bool => d.below(2) as f64,
        _ if t.is_float() => d.between(-24, 24) as f64 / 8.0,
        _ if t.is_unsigned_integer() => d.between(0, 6) as f64,
        _ => d.between(-3, 3) as f64,
    };
    (0..n).map(|_| one(&mut dice)).collect()
}

/// Compares an operation along an axis of a matrix (or all axes) with the reference `meaning` of each row or column.
fn along(o: &Operation, t: DType, axis: Option<usize>, d: &Device) -> usize {
    const SHAPE: [usize; 2] = [7, 20];
    let [rows, columns] = SHAPE;
    let v = values(t, rows * columns);
    // f64 represents all of these numbers exactly
    let x = put(&Device::cpu(), v.clone(), &SHAPE).astype(t).eval().unwrap().to_device(d).unwrap();
    let axes = axis.map_or((..).into_axes(), |a| (a as isize).into_axes());
    let what = format!("{} of {t} along {axis:?}", o.name);
    let result =
        (o.build)(&[(*x).clone()], &Params::along(keep(axes))).eval().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(result.dtype(), (o.result)(t), "{what}");
    let groups: Vec<Vec<usize>> = match axis {
        None => vec![(0..rows * columns).collect()],
        Some(0) => (0..columns).map(|c| (0..rows).map(|r| r * columns + c).collect()).collect(),
        _ => (0..rows).map(|r| (0..columns).map(|c| r * columns + c).collect()).collect(),
    };
    let got = result.astype(F32).to_vec::<f32>().unwrap();
    let meaning = o.meaning.expect("a meaning");
    // the contract tests accuracy; here the tolerance only distinguishes an operation from any other
    let close = if matches!((o.result)(t), F16 | BF16) { 0.02 } else { 1e-4 };
    for (g, group) in groups.iter().enumerate() {
        let elements: Vec<f64> = group.iter().map(|i| v[*i]).collect();
        let want = meaning(&elements).unwrap_or_else(|| panic!("{what}: no meaning"));
        for (k, want) in want.iter().enumerate() {
            let at = if o.keeps_shape() { group[k] } else { g };
            let (got, want) = (f64::from(got[at]), wrapped(*want, result.dtype()));
            assert!((got - want).abs() <= close * want.abs().max(1.0), "{what}: element {at} is {got}, not {want}");
        }
    }
    let want = if o.keeps_shape() { rows * columns } else { groups.len() };
    assert_eq!(got.len(), want, "{what}");
    want
}

/// Products of many small integers overflow 64 bits, so they are compared as 0.
fn wrapped(x: f64, t: DType) -> f64 {
    if t.is_integer() && x.abs() > 9e18 { 0.0 } else { x }
}

on_devices! {

fn every_operation_means_what_its_entry_says(d: &Device) {
    let mut stage = stage::Stage::new(1, "operations by their entries", d);
    for o in OPERATIONS.iter().filter(|o| o.along_axes()) {
        for t in [F32, I32, U8, F16, Bool].into_iter().filter(|t| o.takes(*t) && has(d, *t)) {
            // a product of all 140 numbers would overflow or underflow
            let all = if o.name == "prod" { &[Some(1), Some(0)][..] } else { &[Some(1), Some(0), None] };
            stage.count(all.iter().map(|axis| along(o, t, *axis, d)).sum());
        }
        let none = put::<f32>(d, vec![], &[0]);
        let of_none = (o.build)(&[(*none).clone()], &Params::along(..)).eval();
        match (o.meaning.expect("a meaning")(&[]), of_none) {
            (None, r) => assert_eq!(r.map(|_| ()).unwrap_err().kind(), ErrorKind::Shape, "{} of nothing", o.name),
            (Some(_), r) => drop(r.unwrap_or_else(|e| panic!("{} of nothing: {e}", o.name))),
        }
    }
}

fn generators_give_the_types_that_their_entries_say(d: &Device) {
    let mut stage = stage::Stage::new(1, "operations by their entries", d);
    for o in OPERATIONS.iter().filter(|o| o.kind == Kind::Generator) {
        for t in DType::ALL.into_iter().filter(|t| o.takes(*t) && has(d, *t)) {
            let params = Params { dtype: t, shape: vec![100], ..Params::along(..) };
            let made: Expr = (o.build)(&[], &params);
            assert_eq!((made.shape().unwrap(), made.dtype().unwrap()), (&[100][..], t), "{}", o.name);
            match made.to_device(d) {
                Ok(a) => drop(a.to_device(&Device::cpu()).unwrap()),
                Err(e) => assert!(d.is_gpu() && e.kind() == ErrorKind::Unsupported, "{} of {t}: {e}", o.name),
            }
            stage.count(1);
        }
    }
}

}
