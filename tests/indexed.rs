//! Axes that are indexed in windows: a source of `take`, or a target of `index_add`, that spans more than one binding of
//! the device is cut along the axis, and each part is stored under a condition. The results are those of one piece.

use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{cpu_within, named_caps};
use cupric::*;

const KIB: u64 = 1 << 10;

/// Devices that bind 64 KiB: a CPU, whose plans are then cut as a GPU's are, and a GPU.
fn tight() -> Vec<Device> {
    let caps = testing::Caps { max_binding: 64 * KIB, ..named_caps("cpu").unwrap() };
    let gpu = match gpu(1) {
        #[cfg(feature = "gpu")]
        Some(_) => Some(testing::shrunk_gpu(64 * KIB, 65_535).unwrap()),
        _ => None,
    };
    [Some(cpu_within(&caps).unwrap()), gpu].into_iter().flatten().collect()
}

/// Numbers of a type that tell most elements apart.
fn numbers(n: usize, t: DType) -> Array {
    Array::from_vec((0..n).map(|i| (i * 7919 % 251) as u8).collect(), [n]).unwrap().astype(t).eval().unwrap()
}

/// Whether an expression of arrays gives the same bits on a device as on a CPU without limits, in several dispatches.
#[track_caller]
fn is_cut(what: &str, d: &Device, arrays: &[&Array], f: impl Fn(&[Expr]) -> Expr) {
    let here: Vec<Expr> = arrays.iter().map(|a| (**a).clone().into()).collect();
    let there: Vec<Expr> = arrays.iter().map(|a| a.to_device(d).unwrap().into()).collect();
    let plan = f(&there).plan().unwrap();
    assert!(plan.dispatches() > 1, "{what} on {d}:\n{plan}");
    let want = f(&here).eval().unwrap();
    let got = f(&there).eval().unwrap().to_device(&Device::cpu()).unwrap();
    assert_eq!((got.shape(), got.dtype()), (want.shape(), want.dtype()), "{what} on {d}");
    assert!(array_equal(&got, &want).unwrap(), "{what} on {d}: {got} instead of {want}\n{plan}");
}

/// Indices of `0..n`, with the first and the last elements of every 16th of it, and as many from the end.
fn picks(n: usize) -> Array {
    let edges = (0..=16).flat_map(|k| [k * n / 16, (k * n / 16).saturating_sub(1)]).map(|i| i.min(n - 1));
    let mut list: Vec<i32> = edges.chain((0..300).map(|i| i * 7919 % n)).map(|i| i as i32).collect();
    list.extend(list.clone().iter().map(|i| i - n as i32));
    let count = list.len();
    Array::from_vec(list, [count]).unwrap()
}

#[test]
fn takes_of_more_than_a_binding() {
    for d in tight() {
        for t in [U8, Bool, F16, I16, F32, I32, I64, F64].into_iter().filter(|t| has(&d, *t)) {
            let n = 3 * 64 * 1024 / t.size() + 77;
            let (x, i) = (numbers(n, t), picks(n));
            is_cut(&format!("a row of {t}"), &d, &[&x, &i], |a| a[0].take(&a[1], 0));
            is_cut(&format!("a flipped row of {t}"), &d, &[&x, &i], |a| a[0].flip(0).take(&a[1], 0));
        }
        let n = 30_011;
        let (x, i) = (numbers(2 * n, I32), picks(n));
        let far = (&i * 3).eval().unwrap();
        let rows = x.reshape([2, n]).eval().unwrap();
        let columns = x.reshape([n, 2]).eval().unwrap();
        is_cut("columns", &d, &[&rows, &i], |a| a[0].take(&a[1], 1));
        is_cut("rows", &d, &[&columns, &i], |a| a[0].take(&a[1], 0));
        is_cut("rows of a transpose", &d, &[&rows, &i], |a| a[0].t().take(&a[1], 0));
        is_cut("every second", &d, &[&columns, &i], |a| a[0].slice(s![.., 1]).take(&a[1], 0));
        is_cut("clipped", &d, &[&rows, &far], |a| a[0].take_clip(&a[1], 1));
        is_cut("wrapped", &d, &[&rows, &far], |a| a[0].take_wrap(&a[1], 1));
        is_cut("by i64 or as it can", &d, &[&rows, &i], |a| {
            a[0].take(a[1].astype(if has(&d, I64) { I64 } else { I32 }), 1)
        });
        is_cut("indices of two axes", &d, &[&rows, &i], |a| a[0].take(a[1].slice(s![..6]).reshape([2, 3]), 1));
        is_cut("of a computed source", &d, &[&rows, &i], |a| (&a[0] * 3 + 1).take(&a[1], 1));
        is_cut("with work on both sides", &d, &[&rows, &i], |a| a[0].take(a[1].maximum(-5), 1) * 5 - 1);
        is_cut("summed", &d, &[&rows, &i], |a| a[0].take(&a[1], 1).astype(I16).max(1));
        is_cut("two of them", &d, &[&rows, &i], |a| a[0].take(&a[1], 1) * 3 + a[0].flip(1).take(&a[1], 1));
        is_cut("one of another", &d, &[&rows, &i], |a| {
            let j = (a[0].take(&a[1], 1) * 119).astype(I32);
            a[0].take(j.slice(s![0]), 1)
        });
        // rows that are longer than a binding each: both axes are cut
        let (wide, at) = (numbers(5 * n, I32).reshape([5, n]).eval().unwrap(), Array::from([4i32, 0, -1, 2]));
        is_cut("long rows", &d, &[&wide, &at], |a| a[0].take(&a[1], 0));
    }
}
