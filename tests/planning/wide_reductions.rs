//! Large reductions on a GPU: an invocation loads the elements of four neighbouring lanes if these are whole words or
//! vectors. The bits must be those of the same elements at unaligned offsets, where each lane loads its own.

#![cfg(feature = "gpu")]

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// The number of elements from which a loop nest is large on a GPU (`LARGE` in `src/plan/schedule/groups.rs`).
const LARGE: usize = 1 << 18;

/// Random floats or integers of every magnitude, of a type.
fn elements(seed: u64, dtype: DType, shape: &[usize], d: &Device) -> Array {
    let mut dice = Dice::new(seed);
    let count = shape.iter().product();
    if dtype.is_float() {
        let v: Vec<f32> = (0..count).map(|_| (dice.normal() * 3.0).exp() as f32).collect();
        return put(d, v, shape).astype(dtype).eval().unwrap();
    }
    let v: Vec<i32> = (0..count).map(|_| dice.next() as i32).collect();
    let v = put(d, v, shape);
    (if dtype == Bool { v.bitwise_and(1023).greater(0) } else { v.astype(dtype) }).eval().unwrap()
}

/// The same elements twice: in rows that start at a vector boundary, and in rows that start within a vector.
fn twins(seed: u64, dtype: DType, lines: usize, length: usize, d: &Device) -> [Array; 2] {
    let pitch = length.next_multiple_of(4) + 4;
    let source = elements(seed, dtype, &[lines, length], d);
    [0, 1].map(|first| {
        let last = first + length as isize;
        let mut kept = ones([lines, pitch], dtype).to_device(d).unwrap();
        kept.set(s![.., first..last], &source).unwrap();
        kept.slice(s![.., first..last]).eval().unwrap()
    })
}

fn agree(what: &str, [whole, apart]: [&Expr; 2]) {
    assert_eq!(read(whole).unwrap(), read(apart).unwrap(), "{what}");
}

fn types(d: &Device) -> impl Iterator<Item = DType> + '_ {
    DType::ALL.into_iter().filter(move |t| has(d, *t))
}

/// The reductions that the operand's type has.
fn all(x: &Expr, axes: impl IntoAxes + Clone) -> Vec<(&'static str, Expr)> {
    let mut list = vec![("any", x.any(axes.clone())), ("all", x.all(axes.clone()))];
    if x.dtype().unwrap() != Bool {
        list.push(("max", x.max(axes.clone())));
        list.push(("min", x.min(axes.clone())));
        list.push(("sum", x.sum(axes.clone())));
        list.push(("prod", x.prod(axes.clone())));
        list.push(("mean", x.mean(axes)));
    }
    list
}

/// Rows for 32 lanes and for 256, of any length modulo a vector, and fewer rows than a workgroup could take.
#[test]
fn rows_of_every_type() {
    let Some(d) = gpu(1) else { return };
    for (number, t) in types(&d).enumerate() {
        for (n, (lines, length)) in [(9001usize, 30usize), (601, 510), (401, 1029), (300, 2307)].into_iter().enumerate()
        {
            let [whole, apart] = twins(1 + n as u64, t, lines, length, &d);
            let (a, b) = (all(&whole, 1), all(&apart, 1));
            for (k, ((what, a), (_, b))) in a.iter().zip(&b).enumerate() {
                // each reduction with each type, but each shape with one of three, because compiling takes long
                if (k + n + number) % 3 == 0 || *what == "sum" {
                    agree(&format!("{what} of {t}, {lines} × {length}"), [a, b]);
                }
            }
            if t != Bool {
                agree(&format!("argmax of {t}, {lines} × {length}"), [&whole.argmax(1), &apart.argmax(1)]);
            }
        }
    }
}

/// Reductions of whole arrays, in chunks of several lengths, and of a part that starts anywhere.
#[test]
fn whole_arrays() {
    let Some(d) = gpu(1) else { return };
    for t in types(&d) {
        for n in [LARGE, LARGE + 4, LARGE + 2, LARGE + 4096 + 3] {
            let source = elements(5, t, &[n + 8], &d);
            let parts: Vec<Array> = [0isize, 1, 4]
                .iter()
                .map(|first| {
                    // the same elements, stored from each of these offsets on
                    let mut kept = zeros([n + 8], t).to_device(&d).unwrap();
                    kept.set(s![*first..*first + n as isize], source.slice(s![..n as isize])).unwrap();
                    kept.slice(s![*first..*first + n as isize]).eval().unwrap()
                })
                .collect();
            let lists: Vec<_> = parts.iter().map(|part| all(part, ..)).collect();
            for k in (0..lists[0].len()).filter(|k| n == LARGE || k % 4 == 0) {
                let what = format!("{} of {n} of {t}", lists[0][k].0);
                agree(&what, [&lists[0][k].1, &lists[1][k].1]);
                agree(&what, [&lists[2][k].1, &lists[1][k].1]);
            }
        }
    }
}

/// Operands of a reduction other than a contiguous load.
#[test]
fn formulas_within_rows() {
    let Some(d) = gpu(1) else { return };
    let (lines, length) = (520usize, 519usize);
    for t in [F32, F16, U8, I32] {
        let [a, b] = twins(6, t, lines, length, &d);
        let [c, e] = twins(7, F32, lines, length, &d);
        let column = elements(8, F32, &[lines, 1], &d);
        let row = elements(9, F32, &[length], &d);
        let table = elements(10, F32, &[256], &d);
        let index = arange(0, length, 1, I32);
        type Make<'a> = &'a dyn Fn(&Expr, &Expr) -> Expr;
        let list: [(&str, Make); 7] = [
            ("a difference", &|x, y| (x.astype(F32) - y).square().sum(1)),
            ("a column", &|x, y| (x.astype(F32) * &column + y).sum(1)),
            ("a row", &|x, y| (x.astype(F32) * &row + y).sum(1)),
            ("indices", &|x, y| (x.astype(F32) + &index.astype(F32) * y).max(1)),
            ("a table", &|x, y| (table.take(Clip(x.astype(I32)), 0) * y).sum(1)),
            ("what follows", &|x, y| x.astype(F32).maximum(y).sum(1) + column.reshape([lines])),
            ("the first of ties", &|x, y| (x.astype(F32).minimum(y) * 0.01).floor().argmax(1)),
        ];
        for (what, make) in list {
            agree(&format!("{what} with {t}"), [&make(&a, &c), &make(&b, &e)]);
        }
        let both = [(&a, &c), (&b, &e)]
            .map(|(x, y)| eval_all([&x.astype(F32).sum(1), &(x.astype(F32) + y).argmin(1)]).unwrap());
        both[0].iter().zip(&both[1]).for_each(|(whole, apart)| agree(&format!("two results with {t}"), [whole, apart]));
    }
}

/// Reductions over two axes, where the length of the last one is a multiple of four or not.
#[test]
fn lines_within_rows() {
    let Some(d) = gpu(1) else { return };
    for t in [F32, F16, U8, I32] {
        for (rows, lines, length) in [(20usize, 130usize, 128usize), (20, 130, 127), (20, 131, 129), (300, 6, 254)] {
            let source = elements(11, t, &[rows, lines, length], &d);
            let pitch = length.next_multiple_of(4) + 4;
            let [whole, apart] = [0, 1].map(|first| {
                let last = first + length as isize;
                let mut kept = zeros([rows, lines, pitch], t).to_device(&d).unwrap();
                kept.set(s![.., .., first..last], &source).unwrap();
                kept.slice(s![.., .., first..last]).eval().unwrap()
            });
            let on_cpu = source.to_device(&Device::cpu()).unwrap();
            for ((what, a), (_, b)) in all(&whole, [1, 2]).iter().zip(&all(&apart, [1, 2])) {
                agree(&format!("{what} of {t}, {rows} × {lines} × {length}"), [a, b]);
            }
            agree(&format!("max of {t}, {rows} × {lines} × {length}"), [&whole.max([1, 2]), &on_cpu.max([1, 2])]);
        }
    }
}

/// Every reduction, including those defined by formulas, of rows that end within a vector.
#[test]
fn folds_of_floats() {
    let Some(d) = gpu(1) else { return };
    for t in [F32, F16, BF16] {
        let [whole, apart] = twins(12, t, 300, 1021, &d);
        let list = |x: &Expr| {
            [
                ("var", x.var(1)),
                ("argmin", x.argmin(1)),
                ("logsumexp", x.logsumexp(1)),
                ("norm", x.square().sum(1).sqrt()),
            ]
        };
        for ((what, a), (_, b)) in list(&whole).iter().zip(&list(&apart)) {
            agree(&format!("{what} of {t}"), [a, b]);
        }
    }
}

/// Arrays that need several bindings, with large parts.
#[test]
fn windows() {
    if gpu(1).is_none() {
        return;
    }
    let d = testing::shrunk_gpu(2 << 20, 8).unwrap();
    for t in [U8, F16, F32].into_iter().filter(|t| has(&d, *t)) {
        let [whole, apart] = twins(13, t, 1203, 1022, &d);
        for ((what, a), (_, b)) in all(&whole, 1).iter().zip(&all(&apart, 1)) {
            agree(&format!("{what} of {t} in windows"), [a, b]);
        }
        agree(&format!("sum of {t} in windows"), [&whole.sum(..), &apart.sum(..)]);
    }
}

/// The loads in a reduction's shader: one vector or word has four elements; an invocation loads two at a time.
#[test]
fn the_texts_load_fours() {
    for (t, words) in [(F32, "array<vec4<u32>>"), (F16, "array<vec2<u32>>"), (U8, "array<u32>"), (Bool, "array<u32>")] {
        let x = zeros([LARGE], t).eval().unwrap();
        let (plan, texts) = testing::plan_for(&x.max(..), "card").unwrap();
        let first =
            texts.iter().find(|text| text.contains("fn load_four(row: Row")).unwrap_or_else(|| panic!("{plan}"));
        assert!(first.contains(&format!("var<storage, read> buffer0: {words};")), "{first}");
        assert_eq!((first.matches("= buffer0[").count(), first.matches("= load_four(").count()), (1, 2), "{first}");
    }
    // 8-byte elements, and rows that start anywhere, are loaded one by one
    let rows = zeros([LARGE / 256, 259], F32).eval().unwrap();
    let odd = rows.slice(s![.., 1..]).eval().unwrap();
    for e in [zeros([LARGE], I64).eval().unwrap().max(..), rows.max(1), odd.max(1)] {
        let (plan, texts) = testing::plan_for(&e, "card").unwrap();
        assert!(texts.iter().all(|text| !text.contains("fn load_four(")), "{plan}");
    }
}
