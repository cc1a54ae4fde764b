//! Every function inside checkpoints and compiled functions, with operands in several layouts. Values, gradients and `jvp`
//! have the bits of the plain function, also if one plan computes all of them, so that it has each call of the function at
//! least twice. The tests that compare derivatives with differences pass their functions to [`same`].

use super::noise;
use crate::kit::operations::{self, Params};
use crate::kit::{Dice, number};
use cupric::DType::*;
use cupric::*;

/// How the operands of a function are stored.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stored {
    Dense,
    /// Views of arrays with the axes in reverse order.
    Transposed,
    /// Every other element along the last axis of larger arrays.
    Strided,
    /// Views of expressions that are not computed yet.
    Computed,
}

const STORED: [Stored; 4] = [Stored::Dense, Stored::Transposed, Stored::Strided, Stored::Computed];

fn reversed(e: &Expr) -> Expr {
    let n = e.ndim().unwrap() as isize;
    e.permute_dims((0..n).rev().collect::<Vec<_>>())
}

impl Stored {
    /// An array from which [`Stored::operand`] makes an operand that equals `x`.
    fn leaf(self, x: &Array) -> Array {
        let leaf = match self {
            Stored::Transposed | Stored::Computed => reversed(x),
            Stored::Strided if x.ndim() > 0 => {
                let mut shape: Vec<isize> = x.shape().iter().map(|n| *n as isize).collect();
                shape[x.ndim() - 1] *= 2;
                stack([x.clone(), (x * 0.5).eval().unwrap()], -1).reshape(shape)
            }
            Stored::Dense | Stored::Strided => x.into(),
        };
        let (shape, leaf) = (leaf.shape().unwrap().to_vec(), leaf.eval().unwrap());
        match x.dtype() {
            F32 => Array::from_vec(leaf.to_vec::<f32>().unwrap(), shape).unwrap(),
            _ => Array::from_vec(leaf.to_vec::<f64>().unwrap(), shape).unwrap(),
        }
    }

    fn operand(self, leaf: &Expr) -> Expr {
        match self {
            Stored::Transposed => reversed(leaf),
            Stored::Computed => reversed(&leaf.positive()),
            Stored::Strided if leaf.ndim().unwrap() > 0 => leaf.slice(s![..., ..;2]),
            Stored::Dense | Stored::Strided => leaf.clone(),
        }
    }
}

/// A function of operands.
type Function<'a> = &'a dyn Fn(&[Expr]) -> Expr;

fn moved(x: &[Expr]) -> Vec<Expr> {
    x.iter().map(Expr::positive).collect()
}

/// A function, the same function within checkpoints or with a rule that replaces its derivative by an equal one, and
/// what this is.
type Repeated = (&'static str, fn(Function, &[Expr]) -> Expr, fn(Function, &[Expr]) -> Expr);

const REPEATED: [Repeated; 4] = [
    ("in a checkpoint", |f, x| f(x), |f, x| checkpoint(|| f(x))),
    (
        "in two checkpoints",
        |f, x| f(&moved(x)).positive(),
        |f, x| checkpoint(|| checkpoint(|| f(&moved(x))).positive()),
    ),
    (
        "after a checkpoint",
        |f, x| f(&moved(x)),
        |f, x| {
            let x: Vec<Expr> = x.iter().map(|x| checkpoint(|| x.positive())).collect();
            checkpoint(|| f(&x))
        },
    ),
    (
        "in a checkpoint with a rule",
        |f, x| f(x),
        |f, x| {
            checkpoint(|| {
                let y = f(x);
                with_vjp(&y, [&y], |g| [g.positive()])
            })
        },
    ),
];

/// The results of a function that are compared: its value, the gradients of a linear and of another loss, and for each
/// operand its `jvp`.
fn results(f: Function, leaves: &[Expr], stored: Stored, [weights, tangents]: [&[Array]; 2]) -> Vec<Expr> {
    let operands: Vec<Expr> = leaves.iter().map(|e| stored.operand(e)).collect();
    let y = f(&operands);
    let mut list = vec![y.clone()];
    for loss in [(&y * &weights[0]).sum(..), (&y * &y * &weights[0]).sum(..)] {
        list.extend(leaves.iter().flat_map(|x| grad_or_zeros(&loss, [x])));
    }
    for (x, u) in leaves.iter().zip(tangents) {
        // an operand that the function does not read has no `jvp`
        if grad(&y.sum(..), [x])[0].shape().is_ok() {
            list.push(jvp(&y, [x], [u]));
        }
    }
    list
}

/// The elements of arrays. All NaNs are equal.
fn elements(arrays: &[Array]) -> Vec<Vec<u64>> {
    let canonical = |bits: u64, t: DType| if number::real(t, bits).is_nan() { u64::MAX } else { bits };
    arrays.iter().map(|a| crate::kit::read(a).unwrap().into_iter().map(|b| canonical(b, a.dtype())).collect()).collect()
}

/// Asserts that a function of floats has the same results inside checkpoints and compiled functions.
pub(crate) fn same(name: &str, inputs: &[Array], f: Function) {
    let dice = &mut Dice::new(21);
    for stored in STORED {
        let leaves: Vec<Array> = inputs.iter().map(|x| stored.leaf(x)).collect();
        let exprs: Vec<Expr> = leaves.iter().map(Expr::from).collect();
        let y = f(&exprs.iter().map(|e| stored.operand(e)).collect::<Vec<_>>());
        let shape = match y.shape() {
            Ok(shape) => shape.to_vec(),
            // a function that differentiates itself cannot name a view of an expression as its operand
            Err(e) if stored == Stored::Computed && e.kind() == ErrorKind::Argument => continue,
            Err(e) => panic!("{name}, {stored:?}: {e}"),
        };
        let mut random =
            |shape: &[usize], t: DType| noise(dice, shape, -1.0, 1.0, &Device::cpu()).astype(t).eval().unwrap();
        let weights = [random(&shape, y.dtype().unwrap())];
        let tangents: Vec<Array> = leaves.iter().map(|x| random(x.shape(), x.dtype())).collect();
        let all = |f: Function, leaves: &[Expr]| results(f, leaves, stored, [&weights, &tangents]);
        let plain = match eval_many(&all(f, &exprs)) {
            Ok(list) => elements(&list),
            // a function without a derivative has none in a checkpoint either
            Err(e) => {
                let again = eval_many(&all(&|x| checkpoint(|| f(x)), &exprs)).map(|_| ());
                assert_eq!(again.map_err(|e| e.kind()), Err(e.kind()), "{name}, {stored:?}");
                continue;
            }
        };
        let compare = |how: &str, list: Result<Vec<Array>>, plain: &[Vec<u64>]| {
            let list = list.unwrap_or_else(|e| panic!("{name}, {stored:?}, {how}: {e}"));
            for (i, (got, want)) in elements(&list).iter().zip(plain).enumerate() {
                let t = list[i].dtype();
                let real = |list: &[u64]| list.iter().map(|b| number::real(t, *b)).collect::<Vec<_>>();
                let (got, want, is_same) = (real(got), real(want), got == want);
                // a function that differentiates itself adds the terms from inside of a checkpoint first
                let may_differ = name.starts_with("Hessian");
                let size = want.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                let eps = if t == F64 { 1e-13 } else { 1e-5 };
                let is_close = || got.iter().zip(&want).all(|(a, b)| (a - b).abs() <= eps * size);
                assert!(
                    is_same || may_differ && is_close(),
                    "{name}, {stored:?}, {how}, result {i}: {got:?}, not {want:?}"
                );
            }
            assert_eq!(list.len(), plain.len());
        };
        for (how, straight, wrapped) in REPEATED {
            let straight =
                eval_many(&all(&|x| straight(f, x), &exprs)).unwrap_or_else(|e| panic!("{name}, {how}: {e}"));
            compare(how, eval_many(&all(&|x| wrapped(f, x), &exprs)), &elements(&straight));
        }
        if matches!(stored, Stored::Dense | Stored::Transposed) {
            let compiled = Compiled::new(|x: Vec<Expr>| all(&|x| checkpoint(|| f(x)), &x));
            compare("compiled", compiled.call(&leaves), &plain);
        }
    }
}

#[test]
fn elementwise_functions() {
    let dice = &mut Dice::new(12);
    let mut seen = 0;
    for row in testing::rows() {
        let returns_floats = row.takes(F32, false) && row.result(F32) == F32;
        if !returns_floats {
            continue;
        }
        let [low, high] = row.domain();
        let (low, high) = (low.max(-4.0), high.min(4.0));
        for t in [F32, F64].into_iter().filter(|t| row.takes(*t, false)) {
            let inner = (high - low) * 0.02;
            let inputs: Vec<Array> = (0..row.arity())
                .map(|_| noise(dice, &[3, 4], low + inner, high - inner, &Device::cpu()).astype(t).eval().unwrap())
                .collect();
            let is_select = row.class() == "Select";
            same(&format!("{} of {t}", row.name()), &inputs, &|x| {
                let mut x = x.to_vec();
                if is_select {
                    x[0] = x[0].greater(0.0);
                }
                row.apply(&x)
            });
            seen += 1;
        }
    }
    assert!(seen > 120, "{seen} functions");
}

#[test]
fn functions_along_axes() {
    let dice = &mut Dice::new(13);
    for o in operations::along_axes().filter(|o| (o.result)(F32).is_float()) {
        for t in [F32, F64].into_iter().filter(|t| o.takes(*t)) {
            let x = noise(dice, &[3, 4, 5], 0.4, 0.9, &Device::cpu()).astype(t).eval().unwrap();
            for axis in [-1, 0] {
                let f = |x: &[Expr]| (o.build)(x, &Params::along(axis));
                same(&format!("{} of {t} along {axis}", o.name), std::slice::from_ref(&x), &f);
            }
        }
    }
}
