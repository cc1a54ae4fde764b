//! Numbers that lost their value: Rust numbers that were rounded to f32 or that changed the dtype of a result, ranges
//! whose first element was not their start, and results or reads in a dtype that cannot hold them.

use crate::kit::*;
use cupric::DType::*;
use cupric::linalg::{lstsq, matrix_rank, pinv};
use cupric::*;
use std::f64::consts::PI;

/// A function of a sorted array of one axis and another operand.
type Function = (&'static str, fn(&Expr, &Expr) -> Vec<Expr>);

fn array_of(found: Result<Array>) -> Vec<Expr> {
    vec![found.unwrap().into()]
}

/// The functions that combine an array with an operand of any dtype, or compare them.
const FUNCTIONS: &[Function] = &[
    ("isin", |x, k| vec![x.isin(k), k.isin(x)]),
    ("union", |x, k| array_of(x.union(k))),
    ("union of a number", |x, k| array_of(k.union(x))),
    ("intersect", |x, k| array_of(x.intersect(k))),
    ("intersect of a number", |x, k| array_of(k.intersect(x))),
    ("setdiff", |x, k| array_of(x.setdiff(k))),
    ("setdiff of a number", |x, k| array_of(k.setdiff(x.slice(s![1..])))),
    ("searchsorted", |x, k| [Side::Left, Side::Right].map(|side| searchsorted(x, k, side, None)).to_vec()),
    ("digitize", |x, k| [false, true].map(|right| k.digitize(x, right)).to_vec()),
    ("histogram_with_edges", |x, k| vec![k.histogram_with_edges(x)]),
    ("interp", |x, k| vec![interp(k, x, x)]),
    ("clip", |x, k| vec![x.clip(k, k), x.clip_lower(k), x.clip_upper(k)]),
    ("maximum", |x, k| vec![maximum(x, k), minimum(k, x), x.equal(k), x.less(k)]),
    ("select", |x, k| vec![select(x.greater(k), x, k), select_many([x.less(k)], [x], k)]),
    ("choose", |x, k| vec![array![0, 1].there(x).choose([x, k])]),
    ("concat", |x, k| vec![concat([x, k], ..), concat([k, x], ..)]),
    ("stack", |x, k| vec![stack([k, &x.slice(s![0])], 0), stack([&x.slice(s![1]), k], 0)]),
    ("hstack", |x, k| vec![hstack([x, k]), vstack([&x.slice(s![..1]), k]), dstack([k, &x.slice(s![..1])])]),
    ("column_stack", |x, k| vec![column_stack([k, &x.slice(s![..1])])]),
    ("block", |x, k| vec![block([[x, k]]), block(vec![vec![k, x]])]),
    ("insert", |x, k| vec![x.insert(1, k, 0), x.insert([0, 2], k, 0)]),
    ("diff_with", |x, k| vec![x.diff_with(1, 0, Some(k), None), x.diff_with(1, 0, None, Some(k))]),
    ("ediff1d", |x, k| vec![x.ediff1d(Some(k), Some(k))]),
    ("full_like", |x, k| vec![full_like(x, k)]),
    ("put", |x, k| vec![x.put(array![0].there(x), k), x.put_along_axis(array![1].there(x), k, 0)]),
    ("index_add", |x, k| vec![x.index_add(0, array![0].there(x), k)]),
    ("index_max", |x, k| vec![x.index_max(0, array![0].there(x), k), x.index_min(0, array![1].there(x), k)]),
    ("outer", |x, k| vec![x.outer(k), k.outer(x)]),
    ("kron", |x, k| vec![x.kron(k), k.kron(x)]),
    ("inner", |x, k| vec![x.inner(k), tensordot(k, x, 0), tensordot(x, k, 0)]),
    ("einsum", |x, k| vec![einsum("i,->i", [x, k]), einsum(",i->i", [k, x])]),
    ("broadcast_arrays", |x, k| broadcast_arrays([x, k])),
    ("meshgrid", |x, k| meshgrid([x, k], Indexing::Ij)),
    ("isclose", |x, k| vec![isclose(x, k, 0.0, 0.0, false), allclose(k, x, 0.0, 0.0, false)]),
];

/// The functions that take floats.
const OF_FLOATS: &[Function] = &[
    ("heaviside", |x, k| vec![heaviside(x, k), heaviside(k, x)]),
    ("interp of numbers", |x, k| vec![interp(x, x, stack([k, &x.slice(s![0])], 0))]),
    ("attention", |x, k| {
        let q = x.reshape([2, 1]);
        vec![attention(&q, &q, &q, Attention::default().mask(k))]
    }),
    ("average", |x, k| vec![x.slice(s![0]).average(.., k), k.average(.., x.slice(s![0]))]),
];

/// An array on the device of another.
trait There {
    fn there(&self, x: &Expr) -> Expr;
}
impl There for Array {
    fn there(&self, x: &Expr) -> Expr {
        self.to_device(&x.eval().unwrap().device()).unwrap().into()
    }
}

/// Asserts that a number has the same effect as an array of the number in the dtype of `x`.
fn is_weak(x: &Expr, number: &Expr, one: &Expr, functions: &[Function]) {
    for (name, function) in functions {
        let (got, want) = (function(x, number), function(x, one));
        assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let what = format!("{name}, result {i}, of {}", x.dtype().unwrap());
            let got = got.eval().unwrap_or_else(|e| panic!("{what}: {e}"));
            let want = want.eval().unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(got.dtype(), want.dtype(), "{what}");
            assert_eq!(got.shape(), want.shape(), "{what}");
            assert_eq!(read(&got).unwrap(), read(&want).unwrap(), "{what}: {got} {want}");
        }
    }
}

on_devices! {

fn a_number_is_weak_in_every_function(d: &Device) {
    let half = |v: f64| f16::from_f64(v);
    if has(d, F64) {
        let (x, one) = (put(d, vec![0.1f64, 0.7], &[2]), put(d, vec![0.1f64], &[]));
        is_weak(&x, &0.1f64.into_expr(), &one, FUNCTIONS);
        is_weak(&x, &0.1f64.into_expr(), &one, OF_FLOATS);
        let one = put(d, vec![3f64], &[]);
        is_weak(&x, &3u8.into_expr(), &one, FUNCTIONS);
    }
    if has(d, U64) {
        let big = (1u64 << 53) + 1;
        let (x, one) = (put(d, vec![big, big + 2], &[2]), put(d, vec![big], &[]));
        is_weak(&x, &big.into_expr(), &one, FUNCTIONS);
        is_weak(&x, &(big as i64).into_expr(), &one, FUNCTIONS);
        let (x, one) = (put(d, vec![big as i64, i64::MAX], &[2]), put(d, vec![big as i64], &[]));
        is_weak(&x, &big.into_expr(), &one, FUNCTIONS);
    }
    let (x, one) = (put(d, vec![1u8, 3], &[2]), put(d, vec![3u8], &[]));
    is_weak(&x, &3i32.into_expr(), &one, FUNCTIONS);
    is_weak(&put(d, vec![-3i8, 5], &[2]), &(-3i64).into_expr(), &put(d, vec![-3i8], &[]), FUNCTIONS);
    let (x, one) = (put(d, vec![half(0.1), half(0.7)], &[2]), put(d, vec![half(0.1)], &[]));
    is_weak(&x, &0.1f64.into_expr(), &one, FUNCTIONS);
    is_weak(&x, &0.1f64.into_expr(), &one, OF_FLOATS);
    let (x, one) = (put(d, vec![0.1f32, 0.7], &[2]), put(d, vec![0.1f32], &[]));
    is_weak(&x, &0.1f64.into_expr(), &one, FUNCTIONS);
    is_weak(&x, &0.1f32.into_expr(), &one, OF_FLOATS);
}

fn a_number_of_another_range_is_compared_by_value(d: &Device) {
    let x = put(d, vec![1u8, 2], &[2]);
    for (k, right) in [(300i32, 2i64), (-1, 0)] {
        same(&x.isin(k), &[false, false]);
        same(&k.into_expr().isin(&x), &[false]);
        same(&x.setdiff(k).unwrap(), &[1u8, 2]);
        same(&x.intersect(k).unwrap(), &[0u8; 0]);
        same(&k.into_expr().setdiff(&x).unwrap(), &[k]);
        same(&searchsorted(&x, k, Side::Right, None), &[right]);
        same(&k.into_expr().digitize(&x, false), &[right]);
        same(&interp(k, &x, &x), &[if k < 0 { 1f32 } else { 2.0 }]);
        let refused = x.union(k).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Argument, "{refused}");
        assert!(refused.to_string().contains(&format!("{k} does not fit dtype u8")), "{refused}");
        assert!(error(&x.outer(k)).contains("does not fit dtype u8"));
        assert!(error(&concat([&k.into_expr(), &x], ..)).contains("does not fit dtype u8"));
    }
    same(&x.isin(0.5), &[false, false]);
    if has(d, U64) {
        let x = put(d, vec![1u64, u64::MAX], &[2]);
        same(&x.isin(-1), &[false, false]);
        same(&x.isin(u64::MAX), &[false, true]);
        same(&x.setdiff(-1).unwrap(), &[1, u64::MAX]);
        same(&searchsorted(&x, -1, Side::Left, None), &[0i64]);
        let x = put(d, vec![1i64, i64::MAX], &[2]);
        same(&x.isin(u64::MAX), &[false, false]);
        same(&searchsorted(&x, u64::MAX, Side::Left, None), &[2i64]);
        same(&interp(-1, put(d, vec![1u64, 2], &[2]), put(d, vec![5u64, 6], &[2])), &[5f32]);
    }
}

fn weights_that_are_numbers_keep_their_digits(d: &Device) {
    same(&put(d, vec![1u8, 1], &[2]).histogram_weighted(300, 1, Some((0.0, 2.0))).0, &[600i64]);
    if has(d, F64) {
        let x = put(d, vec![0.5f64], &[1]);
        same(&x.histogram_weighted(0.1, 1, Some((0.0, 1.0))).0, &[0.1f64]);
        same(&x.histogram_with_edges_weighted(0.1, put(d, vec![0f64, 1.0], &[2])), &[0.1f64]);
    }
}

fn complex_numbers_of_numbers_are_weak(d: &Device) {
    let number = Complex::new(0.0, PI);
    assert_eq!(Complex::new(1, 2).dtype().unwrap(), F32);
    assert_eq!(Complex::new(1, 2).to_string(), "(1+2j)");
    let half = Complex::new(put(d, vec![f16::from_f64(1.5)], &[1]), 0.0);
    for z in [&half + &number, &half * &number, &half / &number, &number / &half, half.pow(&number), half.pow(2)] {
        assert_eq!(z.dtype().unwrap(), F16);
    }
    if !has(d, F64) {
        return;
    }
    let z = Complex::new(put(d, vec![2f64], &[1]), put(d, vec![3f64], &[1]));
    let full = Complex::new(put(d, vec![0f64], &[]), put(d, vec![PI], &[]));
    let bits = |z: &Complex| {
        assert_eq!(z.dtype().unwrap(), F64);
        let z = z.eval().unwrap();
        [read(z.real()).unwrap(), read(z.imag()).unwrap()]
    };
    let x = put(d, vec![0.1f64], &[1]);
    type Formula = fn(&Complex, &Complex) -> Complex;
    let formulas: [(&str, Formula); 11] = [
        ("z + k", |z, k| z + k),
        ("k + z", |z, k| k + z),
        ("z - k", |z, k| z - k),
        ("k - z", |z, k| k - z),
        ("z * k", |z, k| z * k),
        ("z / k", |z, k| z / k),
        ("k / z", |z, k| k / z),
        ("-k * z", |z, k| -k * z),
        ("z^k", |z, k| z.pow(k)),
        ("k^z", |z, k| k.pow(z)),
        ("conj", |z, k| k.conj() + z),
    ];
    for (name, formula) in formulas {
        // a number is raised to a power on the host
        if d.is_gpu() && name.contains('^') {
            continue;
        }
        assert_eq!(bits(&formula(&z, &number)), bits(&formula(&z, &full)), "{name}");
    }
    same((&number + &z).imag(), &[3.0 + PI]);
    assert_eq!(bits(&(&*x + &number)), bits(&(&*x + &full)));
    assert_eq!(bits(&(&number * &*x)), bits(&(&full * &*x)));
    assert_eq!(bits(&(&*x / &number)), bits(&(&*x / &full)));
    same(&z.equal(Complex::new(2.0, 3.0)), &[true]);
    // functions of numbers are numbers
    let turned = (Complex::new(0.0, PI / 3.0).exp() * &z - z.abs() * 0.0).eval().unwrap();
    assert_eq!(turned.dtype().unwrap(), F64);
    let want = [2.0 * (PI / 3.0).cos() - 3.0 * (PI / 3.0).sin(), 2.0 * (PI / 3.0).sin() + 3.0 * (PI / 3.0).cos()];
    assert!((turned.real().item::<f64>().unwrap() - want[0]).abs() < 1e-15);
    assert!((turned.imag().item::<f64>().unwrap() - want[1]).abs() < 1e-15);
    let polar = (Complex::polar(1.0, 0.1) * &z).eval().unwrap();
    assert!((polar.real().item::<f64>().unwrap() - (2.0 * 0.1f64.cos() - 3.0 * 0.1f64.sin())).abs() < 1e-15);
    let reciprocal = (Complex::new(0.0, 3.0).reciprocal() + &z).eval().unwrap();
    same(reciprocal.imag(), &[3.0 - 1.0 / 3.0]);
    same((0.1 / Complex::new(0.0, 1.0) + &z).imag(), &[3.0 - 0.1]);
}

fn a_range_begins_with_its_start(d: &Device) {
    let types = [F16, BF16, F32, F64].into_iter().filter(|t| has(d, *t));
    let starts = [1.0, 0.1, -0.7, 1e-295, 2.3e-308, 1e-290, 5e-324, -3.3, 1e300, -1e17 - 16.0, 1.0 / 3.0, -1.0 / 3.0];
    let steps = [1e300, 1e293, f64::MAX, 1.0, 0.1, 1e-3, 1e-290, 5e-324, -0.1, -1e308, 1.0 / 3.0, 7.7];
    for t in types {
        for a in starts {
            for s in steps {
                for n in [1, 2, 3, 40] {
                    let stop = a + s * (n as f64 - 0.5);
                    if !stop.is_finite() || stop == a {
                        continue;
                    }
                    let x = arange(a, stop, s, t).to_device(d).unwrap();
                    let first = x.slice(s![0]).eval().unwrap();
                    let want = full((), a, t).eval().unwrap();
                    // a GPU may flush subnormal numbers
                    let is_tiny = d.is_gpu() && want.astype(F32).abs().item::<f32>().unwrap() < f32::MIN_POSITIVE;
                    if !is_tiny {
                        assert_eq!(read(&first).unwrap(), read(&want).unwrap(), "{t}: from {a} in steps of {s}, {n}: {first}");
                    }
                }
            }
        }
    }
    if has(d, F64) {
        same(&arange(1.0, 2.0, 1e300, F64).to_device(d).unwrap(), &[1f64]);
        same(&arange(1e-295, 1.0, 1.0, F64).to_device(d).unwrap(), &[1e-295f64]);
        same(&arange(1e-290, 1.0, 1.0, F64).to_device(d).unwrap(), &[1e-290f64]);
    }
    same(&arange(2.3e-308, 1.0, 1.0, F32).to_device(d).unwrap(), &[0f32]);
    // a long range of f32, whose positions are split
    let x = arange(-0.7, 3e4, 0.1, F32).to_device(d).unwrap();
    assert_eq!(x.slice(s![0]).item::<f32>().unwrap(), -0.7);
}

fn infinite_points_of_interp(d: &Device) {
    let inf = f32::INFINITY;
    let at = |x: f32, xp: [f32; 2], fp: [f32; 2]| {
        interp(put(d, vec![x], &[1]), put(d, xp.to_vec(), &[2]), put(d, fp.to_vec(), &[2]))
    };
    for xp in [[-inf, inf], [-inf, 1.0], [0.0, inf]] {
        same(&at(0.5, xp, [10.0, 10.0]), &[10f32]);
    }
    same(&at(0.5, [0.0, inf], [0.0, 10.0]), &[0f32]);
    same(&at(-1.0, [-inf, 0.0], [10.0, 20.0]), &[20f32]);
    same(&at(0.5, [-inf, inf], [10.0, 20.0]), &[f32::NAN]);
    same(&at(0.5, [-inf, inf], [10.0, f32::NAN]), &[f32::NAN]);
    same(&at(inf, [0.0, inf], [0.0, 10.0]), &[10f32]);
    same(&at(-inf, [-inf, inf], [3.0, 10.0]), &[3f32]);
    same(&at(f32::NAN, [-inf, inf], [3.0, 3.0]), &[f32::NAN]);
    let points = put(d, vec![-inf, 0.0, 1.0, inf], &[4]);
    let values = put(d, vec![5f32, 1.0, 2.0, 7.0], &[4]);
    let x = put(d, vec![-3f32, 0.25, 8.0, -inf, inf], &[5]);
    let y = interp(&x, &points, &values);
    same(&y, &[1f32, 1.25, 2.0, 5.0, 7.0]);
    let [dx, df] = grad(&y.sum(..), [&x, &values]);
    same(&dx.slice(s![..3]), &[0f32, 1.0, 0.0]);
    same(&df, &[1f32, 1.75, 1.25, 1.0]);
}

fn a_mask_without_elements_selects_nothing(d: &Device) {
    let none = |shape: &[usize]| zeros(shape.to_vec(), Bool).to_device(d).unwrap();
    let x = put(d, f(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), &[2, 3]);
    let row = put(d, vec![1f32], &[1]);
    same(&row.compress(none(&[0])).unwrap(), &[0f32; 0]);
    for (mask, want) in [(&[0][..], &[0, 3][..]), (&[0, 3], &[0]), (&[2, 0], &[0]), (&[0, 0], &[0])] {
        assert_eq!(x.compress(none(mask)).unwrap().shape(), want, "{mask:?}");
        let mut y = x.eval().unwrap();
        y.set_where(none(mask), 9.0).unwrap();
        same(&y, &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(y.set_where(none(mask), array![1., 2.].to_device(d).unwrap()).is_err());
    }
    assert_eq!(x.compress_along(none(&[0]), 0).unwrap().shape(), [0, 3]);
    assert_eq!(x.compress_along(none(&[0]), 1).unwrap().shape(), [2, 0]);
    for wrong in [&[0, 2][..], &[3, 0], &[0, 0, 0]] {
        assert_eq!(x.compress(none(wrong)).unwrap_err().kind(), ErrorKind::Shape, "{wrong:?}");
    }
    assert_eq!(x.compress_along(none(&[0, 0]), 1).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(x.compress(put(d, vec![true], &[1])).unwrap_err().kind(), ErrorKind::Shape);
    let mut y = x.eval().unwrap();
    assert_eq!(y.set_where(none(&[0, 2]), 1.0).unwrap_err().kind(), ErrorKind::Shape);
}

fn medians_of_large_integers_are_elements(d: &Device) {
    if !has(d, I64) { return }
    let v = [16_777_217i64, 16_777_219, 16_777_221];
    let x = put(d, v.to_vec(), &[3]);
    let unsigned = put(d, v.map(|v| v as u64).to_vec(), &[3]);
    let method = QuantileMethod::Linear;
    let all = |x: &Array| {
        let q = [0.5; 40];
        vec![x.median(0), x.nanmedian(..), x.quantile(0.5, 0, method), x.percentile(50.0, 0, method),
            x.nanquantile(0.5, 0, method), x.nanpercentile(50.0, 0, method), x.quantile([0.5, 0.5], 0, method).slice(s![1]),
            x.quantile(q, 0, method).slice(s![39]), x.quantile(0.5, 0, QuantileMethod::Midpoint)]
    };
    for x in [&x, &unsigned] {
        for e in all(x) {
            match has(d, F64) {
                true => same(&e, &[16_777_219f64]),
                false => {
                    let e = e.eval().unwrap_err();
                    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
                    assert!(e.to_string().contains("`quantile` with `QuantileMethod::Lower`"), "{e}");
                }
            }
        }
    }
    same(&x.quantile(0.5, 0, QuantileMethod::Lower), &[16_777_219i64]);
    same(&unsigned.quantile(0.5, 0, QuantileMethod::InvertedCdf), &[16_777_219u64]);
    same(&put(d, vec![1i32, 4], &[2]).median(0), &[2.5f32]);
    same(&put(d, vec![true, true, false], &[3]).median(0), &[1f32]);
    if has(d, F64) {
        same(&put(d, vec![1i64, 4], &[2]).median(0), &[2.5f64]);
        same(&put(d, Vec::<i64>::new(), &[0]).median(0), &[f64::NAN]);
    }
}

fn a_tolerance_for_each_matrix(d: &Device) {
    let x = put(d, f(&[4.0, 0.0, 0.0, 1.0]), &[2, 2]);
    let each = put(d, f(&[0.1, 0.5]), &[2]);
    same(&matrix_rank(&x, &each), &[2i64, 1]);
    same(&matrix_rank(stack([&x, &x], 0), &each), &[2i64, 1]);
    same(&matrix_rank(&x, 0.5), &[1i64]);
    same(&matrix_rank(&x, put(d, f(&[0.5]), &[])), &[1i64]);
    same(&matrix_rank(zeros([3, 2, 0], F32).to_device(d).unwrap(), put(d, f(&[0.1, 0.1, 0.1]), &[3])), &[0i64; 3]);
    assert_eq!(matrix_rank(&x, -1).eval().unwrap_err().kind(), ErrorKind::Argument);
    assert_eq!(pinv(&x, f64::NAN).eval().unwrap_err().kind(), ErrorKind::Argument);
    assert_eq!(matrix_rank(stack([&x, &x, &x], 0), &each).eval().unwrap_err().kind(), ErrorKind::Shape);
    let p = pinv(&x, &each);
    near(&p, &[0.25, 0.0, 0.0, 1.0, 0.25, 0.0, 0.0, 0.0], |_| 1e-6);
    near(&pinv(stack([&x, &x], 0), &each), &[0.25, 0.0, 0.0, 1.0, 0.25, 0.0, 0.0, 0.0], |_| 1e-6);
    // the derivative is the sum of those of both tolerances
    let [both] = grad(&p.sum(..), [&x]);
    let [first] = grad(&pinv(&x, 0.1).sum(..), [&x]);
    let [second] = grad(&pinv(&x, 0.5).sum(..), [&x]);
    assert_eq!(both.shape().unwrap(), [2, 2]);
    assert!(both.allclose(first + second, 1e-5, 1e-6, false).item::<bool>().unwrap());
    let b = put(d, f(&[4.0, 1.0]), &[2]);
    near(&lstsq(&x, &b, &each), &[1.0, 1.0, 1.0, 0.0], |_| 1e-6);
}

fn a_read_in_another_type_rounds_first(d: &Device) {
    let half = |v: f64| f16::from_f64(v);
    let x = put(d, vec![half(60_000.0), half(6.5), half(0.1)], &[3]);
    let lazy = [&x * 2.0, x.cumulative_prod(0), x.sqrt() + 1.0, x.exp() / 3.0, x.flip(0) * 1.1, x.sum(..), x.mean(keep(0))];
    for y in lazy.iter().chain([&(&x * 1.0), &full([2], 0.1, F16)]) {
        let stored = y.eval().unwrap().to_vec::<f16>().unwrap();
        let want: Vec<f64> = stored.iter().map(|v| v.to_f64()).collect();
        same(&Array::from(y.to_vec_as::<f64>().unwrap()), &want);
        assert_eq!(y.to_vec_as::<f32>().unwrap(), want.iter().map(|v| *v as f32).collect::<Vec<_>>());
        assert_eq!(y.to_vec_as::<i64>().unwrap(), want.iter().map(|v| *v as i64).collect::<Vec<_>>());
        assert_eq!(y.to_vec_as::<bf16>().unwrap(), y.eval().unwrap().to_vec_as::<bf16>().unwrap());
        assert_eq!(y.to_vec_as::<bool>().unwrap(), want.iter().map(|v| *v != 0.0).collect::<Vec<_>>());
        assert_eq!(y.to_string(), y.eval().unwrap().to_string());
    }
    assert_eq!((&x * 2.0).to_vec_as::<f64>().unwrap()[0], f64::INFINITY);
    let x = put(d, vec![bf16::from_f64(1.0)], &[1]);
    let y = &x * 1.001;
    assert_eq!(y.to_vec_as::<f64>().unwrap(), [y.eval().unwrap().to_vec::<bf16>().unwrap()[0].to_f64()]);
}

}
