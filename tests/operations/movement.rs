//! Composites that move elements put each one where NumPy does (`data/movement.txt`, by `data/make_movement.py`), with
//! equal bits, for any dtype and layout. Also functions that pick elements or take differences, against loops.

use crate::kit::stage::Stage;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// Parses a shape. `-` is the shape without axes.
fn shape_of(text: &str) -> Vec<usize> {
    text.split(',').filter_map(|n| n.parse().ok()).collect()
}

/// Parses the integers of `[1,2]` or `3`.
fn list(text: &str) -> Vec<isize> {
    text.trim_matches(['[', ']']).split(',').filter_map(|n| n.parse().ok()).collect()
}

fn number(text: &str) -> isize {
    text.parse().unwrap()
}

fn axes(text: &str) -> AxesArg {
    if text == ".." { (..).into_axes() } else { list(text).into_axes() }
}

/// Makes a call whose argument may be a number, a list or a slice.
macro_rules! with_places {
    ($text:expr, |$p:ident| $call:expr) => {{
        let text: &str = $text;
        if text.contains(':') {
            let b: Vec<Option<isize>> = text.split(':').map(|t| t.parse().ok()).collect();
            let step = b.get(2).copied().flatten().unwrap_or(1);
            let $p = [SliceItem::Range { start: b[0], end: b[1], step }];
            $call
        } else if text.starts_with('[') {
            let $p = list(text);
            $call
        } else {
            let $p = number(text);
            $call
        }
    }};
}

fn pad_of(text: &str) -> Pad {
    match text {
        "zero" => Pad::constant(false),
        "one" => Pad::constant(true),
        "edge" => Pad::Edge,
        "reflect" => Pad::Reflect,
        "symmetric" => Pad::Symmetric,
        _ => Pad::Wrap,
    }
}

/// The results of a call that `movement.txt` describes.
fn call(text: &str, x: &Expr, y: &Expr) -> Result<Vec<Expr>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let arg = |k: usize| words[k];
    let (a, b) = (words.get(1).copied().unwrap_or(""), words.get(2).copied().unwrap_or(""));
    Ok(vec![match arg(0) {
        "moveaxis" => x.moveaxis(axes(a), axes(b)),
        "swapaxes" => x.swapaxes(number(a), number(b)),
        "roll" => x.roll(list(a), axes(b)),
        "repeat" => x.repeat(list(a), axes(b)),
        "tile" => x.tile(list(a)),
        "unstack" => return x.unstack(number(a)),
        "split" if a.starts_with('[') => return x.split(list(a), number(b)),
        "split" => return x.split(number(a), number(b)),
        "array_split" if a.starts_with('[') => return x.array_split(list(a), number(b)),
        "array_split" => return x.array_split(number(a), number(b)),
        "vstack" => vstack([x, y]),
        "hstack" => hstack([x, y]),
        "dstack" => dstack([x, y]),
        "column_stack" => column_stack([x, y]),
        "concat" => concat([x, y], axes(a)),
        "atleast_1d" => x.atleast_1d(),
        "atleast_2d" => x.atleast_2d(),
        "atleast_3d" => x.atleast_3d(),
        "ravel" => x.ravel(),
        "rot90" => x.rot90(number(a), axes(b)),
        "broadcast_arrays" => return Ok(broadcast_arrays([x, y])),
        "pad" => {
            let w: Vec<usize> = list(a).into_iter().map(|w| w as usize).collect();
            match w[..] {
                [one] => x.pad(one, pad_of(b)),
                _ => x.pad(w.chunks(2).map(|p| (p[0], p[1])).collect::<Vec<_>>(), pad_of(b)),
            }
        }
        "insert" => with_places!(a, |p| x.insert(p, y, axes(b))),
        "delete" => with_places!(a, |p| x.delete(p, axes(b))),
        "block" => match a {
            "flat" => block([x, y]),
            "square" => block([[x, y], [y, x]]),
            "column" => block([[x], [y]]),
            "deep" => block([[[x, y]], [[y, x]]]),
            _ => block(x),
        },
        "tril" => x.tril(number(a)),
        "triu" => x.triu(number(a)),
        "diag" => x.diag(number(a)),
        "diagflat" => x.diagflat(number(a)),
        "meshgrid" => return Ok(meshgrid([x, y], if a == "xy" { Indexing::Xy } else { Indexing::Ij })),
        other => panic!("{other} is not known here"),
    }])
}

/// Random bits: 0 or 1 for bool, any bits for other types, including NaNs with payloads.
fn raw(t: DType, n: usize, dice: &mut Dice) -> Vec<u64> {
    let mask = u64::MAX >> (64 - 8 * t.size());
    (0..n).map(|_| if t == Bool { dice.next() & 1 } else { dice.next() & mask }).collect()
}

const LAYOUTS: [&str; 8] =
    ["dense", "transposed", "stepped", "reversed", "broadcast", "offset", "a chain", "a stack of two, sliced"];

/// An operand of a shape in a given layout, and its elements in C order.
fn laid_out(layout: &str, t: DType, shape: &[usize], d: &Device, dice: &mut Dice) -> (Expr, Vec<u64>) {
    let nd = shape.len();
    let dense = |shape: &[usize], dice: &mut Dice| {
        let bits = raw(t, shape.iter().product(), dice);
        let e: Expr = array(t, &bits, shape, d).unwrap().into();
        (e, Host { shape: shape.to_vec(), data: bits })
    };
    let all: Vec<usize> = (0..nd).collect();
    let (e, h) = match layout {
        "transposed" => {
            let back: Vec<usize> = all.iter().rev().copied().collect();
            let (e, h) = dense(&back.iter().map(|d| shape[*d]).collect::<Vec<_>>(), dice);
            (e.t(), h.permute(&back))
        }
        "stepped" => {
            let (e, h) = dense(&shape.iter().map(|n| 2 * n + 1).collect::<Vec<_>>(), dice);
            let odd = SliceItem::Range { start: Some(1), end: None, step: 2 };
            (e.slice(vec![odd; nd]), Host::of(shape, |i| h.at(&i.iter().map(|k| 2 * k + 1).collect::<Vec<_>>())))
        }
        "reversed" => {
            let (e, h) = dense(shape, dice);
            (e.flip(..), h.flip(&all))
        }
        "broadcast" if nd > 0 => {
            let one: Vec<usize> = [&[1], &shape[1..]].concat();
            let (e, h) = dense(&one, dice);
            (e.broadcast_to(shape), h.broadcast(shape))
        }
        "offset" => {
            let (e, h) = dense(&shape.iter().map(|n| n + 3).collect::<Vec<_>>(), dice);
            let inside = SliceItem::Range { start: Some(2), end: Some(-1), step: 1 };
            (e.slice(vec![inside; nd]), Host::of(shape, |i| h.at(&i.iter().map(|k| k + 2).collect::<Vec<_>>())))
        }
        "a chain" => {
            let (e, h) = dense(shape, dice);
            (select(ones((), Bool), &e, e.flip(..)), h)
        }
        "a stack of two, sliced" => {
            let ((e, h), (other, _)) = (dense(shape, dice), dense(shape, dice));
            (stack([&other, &e], 0).slice(s![1]), h)
        }
        _ => dense(shape, dice),
    };
    (e, h.data)
}

/// Tests one call on operands of a dtype in two layouts: each element must be at NumPy's position.
fn trial(line: &str, t: DType, layouts: [&str; 2], d: &Device, dice: &mut Dice) {
    let fields: Vec<&str> = line.split('|').collect();
    let [text, xs, ys, shapes, places] = fields[..] else { panic!("{line}") };
    let what = format!("{text} of {xs} and {ys}, {t}, {layouts:?}");
    let (x, of_x) = laid_out(layouts[0], t, &shape_of(xs), d, dice);
    let (y, of_y) = laid_out(layouts[1], t, &shape_of(ys), d, dice);
    let got = call(text, &x, &y);
    if shapes == "error" {
        let failed = got.and_then(|parts| parts.iter().map(|p| p.eval()).collect::<Result<Vec<_>>>());
        let error = failed.map(|_| ()).expect_err(&what);
        let name = text.split_whitespace().next().unwrap();
        assert_eq!(error.operation(), name, "{what}: {error}");
        assert!(error.to_string().contains("movement.rs"), "{what}: {error}");
        return;
    }
    let got = got.unwrap_or_else(|e| panic!("{what}: {e}"));
    let shapes: Vec<&str> = shapes.split('/').collect();
    let places: Vec<&str> = places.split('/').collect();
    assert_eq!(got.len(), shapes.iter().filter(|s| !s.is_empty()).count(), "{what}: results");
    let one = if t.is_float() { number::round(t, 1.0) } else { 1 };
    for ((part, shape), places) in got.iter().zip(shapes).zip(places) {
        let part = part.eval().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!((part.shape(), part.dtype()), (&shape_of(shape)[..], t), "{what}");
        let want: Vec<u64> = (places.split_whitespace().map(number))
            .map(|p| match p {
                -1 => 0,
                -2 => one,
                p if p >= 1000 => of_y[p as usize - 1000],
                p => of_x[p as usize],
            })
            .collect();
        let mut got = read(&part).unwrap();
        // a function that replaces elements by zero keeps a NaN, but a narrow type may lose its payload
        if ["tri", "dia"].iter().any(|name| text.starts_with(name)) {
            let nan = |bits: &u64| number::is_nan(t, *bits);
            got.iter_mut().zip(&want).filter(|(g, w)| nan(g) && nan(w)).for_each(|(g, w)| *g = *w);
        }
        assert_eq!(got, want, "{what}");
    }
}

const LINES: &str = include_str!("../data/movement.txt");

on_devices! {

fn every_element_is_where_numpy_puts_it(d: &Device) {
    let mut stage = Stage::new(6, "movement", d);
    let mut dice = Dice::new(70);
    for (n, line) in LINES.lines().enumerate() {
        for (k, t) in DType::ALL.into_iter().enumerate().filter(|(_, t)| has(d, *t)) {
            // on a GPU each trial compiles kernels, so each takes one layout, in turn
            let by_turns = [(n + k) % LAYOUTS.len()];
            let every: Vec<usize> = (0..LAYOUTS.len()).collect();
            for layout in if d.is_gpu() { &by_turns[..] } else { &every[..] } {
                let layouts = [LAYOUTS[*layout], LAYOUTS[(layout + n + 1) % LAYOUTS.len()]];
                trial(line, t, layouts, d, &mut dice);
                stage.count(1);
            }
        }
    }
}

fn an_index_of_its_own_for_each_element(d: &Device) {
    let mut stage = Stage::new(6, "movement", d);
    let mut dice = Dice::new(71);
    // the shapes of the array and of the indices, and the axis
    let cases: [(&[usize], &[usize], isize); 10] = [
        (&[5], &[7], 0), (&[3, 4], &[3, 2], 1), (&[3, 4], &[5, 4], 0), (&[3, 4], &[1, 2], -1), (&[1, 4], &[6, 9], 1),
        (&[2, 3, 4], &[2, 6, 4], 1), (&[2, 3, 4], &[1, 2, 1], 1), (&[2, 1, 4], &[1, 3, 4], 0), (&[3, 4], &[3, 0], 1), (&[0, 3], &[0, 3], 1),
    ];
    for (n, (from, wanted, axis)) in cases.into_iter().enumerate() {
        let axis_at = axis.rem_euclid(from.len() as isize) as usize;
        let length = from[axis_at] as i64;
        let out: Vec<usize> = (0..from.len()).map(|d| if d == axis_at { wanted[d] } else { from[d].max(wanted[d]) * from[d].min(wanted[d]).min(1) }).collect();
        for (k, t) in DType::ALL.into_iter().enumerate().filter(|(_, t)| has(d, *t)) {
            for (mode, reach) in [("check", length), ("clip", 3 * length), ("wrap", 3 * length)] {
                let (x, of_x) = laid_out(LAYOUTS[(n + k) % 8], t, from, d, &mut dice);
                let host = Host { shape: from.to_vec(), data: of_x };
                let index_type = [I64, I32, I8, I16][(n + k) % 4];
                let picks = Host::of(wanted, |_| dice.between(-reach, reach - 1));
                let bits: Vec<u64> = picks.data.iter().map(|i| *i as u64 & (u64::MAX >> (64 - 8 * index_type.size()))).collect();
                if !has(d, index_type) {
                    continue;
                }
                let i = array(index_type, &bits, wanted, d).unwrap();
                let got = match mode {
                    "check" => x.take_along_axis(&i, axis),
                    "clip" => x.take_along_axis(Clip(&i), axis),
                    _ => x.take_along_axis(Wrap(&i), axis),
                };
                let want = Host::of(&out, |place| {
                    let own: Vec<usize> = (0..out.len()).map(|d| if wanted[d] == 1 { 0 } else { place[d] }).collect();
                    let pick = picks.at(&own);
                    let mut there: Vec<usize> = (0..out.len()).map(|d| if from[d] == 1 { 0 } else { place[d] }).collect();
                    there[axis_at] = match mode {
                        "clip" => pick.clamp(0, length - 1),
                        _ => pick.rem_euclid(length),
                    } as usize;
                    host.at(&there)
                });
                let got = got.eval().unwrap_or_else(|e| panic!("{from:?} {wanted:?} {axis} {t} {mode}: {e}"));
                assert_eq!((got.shape(), read(&got).unwrap()), (&out[..], want.data), "{from:?} {wanted:?} {axis} {t} {mode}");
                stage.count(1);
            }
        }
    }
}

fn indices_fuse_and_a_bad_one_is_found(d: &Device) {
    let d = &own(d);
    let x = put(d, f(&[3., 1., 2., 5., 4., 0.]), &[2, 3]);
    let i = put(d, vec![0i32, 2, 1, 1, 0, 2], &[2, 3]);
    let e = (&x + 0.0).eval().unwrap().take_along_axis((&i + 1) % 3, 1) * 2.0 + 1.0;
    assert_eq!(e.plan().unwrap().kernels(), 1, "{}", e.plan().unwrap());
    same(&e, &f(&[3., 7., 5., 1., 9., 11.]));
    // with an unevaluated operand, and with a transposed result that is reduced
    same(&(&x + 1.0).take_along_axis(&i, 1).t().sum(0), &f(&[9., 12.]));
    same(&x.t().take_along_axis(i.t(), 0), &f(&[3., 4., 2., 5., 1., 0.]));
    let bad = |e: Expr| {
        let error = e.eval().and_then(|_| d.synchronize()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index, "{error}");
        assert!(error.to_string().contains("movement.rs"), "{error}");
    };
    bad(x.take_along_axis(&i + 1, 1));
    bad(x.take_along_axis(&i - 4, 1));
    bad(i.choose([1, 2]));
    bad((&i - 1).choose([1, 2, 3]));
    bad(i.unravel_index([1, 2]).remove(0));
    bad((&i - 1).unravel_index([4, 4]).remove(1));
    bad(ravel_multi_index([&*i, &(&i * 2)], [3, 4]));
    bad(ravel_multi_index([&(&i - 1), &*i], [3, 4]));
    // a failed write leaves the array as it was
    let mut y = put(d, f(&[7.; 6]), &[2, 3]);
    let error = y.assign(x.take_along_axis(&i + 1, 1)).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Index, "take_along_axis"));
    same(&y, &f(&[7.; 6]));
}

fn choices(d: &Device) {
    let x = put(d, vec![-3i32, -1, 0, 2, 5], &[5]);
    same(&select_many([x.less(-2), x.less(1), x.less(3)], [&x * 10, &x - 1, &x * 0], 99), &[-30, -2, -1, 0, 99]);
    // each choice keeps its value when it is converted to the common type
    let (half, wide) = (put(d, vec![f16::ONE], &[1]), put(d, vec![100_001i32], &[1]));
    let (no, yes) = (put(d, vec![false], &[1]), put(d, vec![true], &[1]));
    same(&select_many([&no, &yes], [&put(d, f(&[0.5]), &[1]), &half], &wide), &f(&[1.]));
    same(&select_many([&no, &no], [&put(d, f(&[0.5]), &[1]), &half], &wide), &f(&[100_001.]));
    assert_eq!(select_many([&no], [0.5], &wide).dtype().unwrap(), F32);
    same(&select_many([true, true], [1, 2], 3).broadcast_to([2]), &[1, 1]);
    // a column that chooses among broadcast rows
    let (a, b) = (put(d, vec![1i32, 2, 3], &[3]), put(d, vec![4i32, 5, 6], &[3]));
    let column = put(d, vec![1u8, 0], &[2, 1]);
    let chosen = column.choose([&a, &b]);
    assert_eq!(chosen.shape().unwrap(), [2, 3]);
    same(&chosen, &[4, 5, 6, 1, 2, 3]);
    same(&put(d, vec![0i32; 3], &[3, 1]).choose([&a]), &[1, 2, 3, 1, 2, 3, 1, 2, 3]);
    same(&put(d, vec![-9i64, 0, 1, 9], &[4]).clip(0, 1).choose([10, 20]), &[10, 10, 20, 20]);
    same(&put(d, vec![-9i64, 0, 1, 9], &[4]).remainder(2).choose([10, 20]), &[20, 10, 20, 20]);
    same(&put(d, vec![u64::MAX, 2], &[2]).clip(0, 2).choose([10, 20, 30]), &[30, 30]);
    same(&put(d, vec![u64::MAX, 2], &[2]).remainder(3).choose([10, 20, 30]), &[10, 30]);
    same(&put(d, Vec::<i32>::new(), &[0]).choose([&put(d, vec![1i32], &[1])]), &[] as &[i32]);
}

fn positions_in_several_axes_and_in_one(d: &Device) {
    let shape = [3usize, 5, 7];
    let flat = put(d, (0..105).rev().collect::<Vec<i32>>(), &[105]);
    let parts = flat.unravel_index(shape);
    let want = |k: usize| (0..105usize).rev().map(|p| [p / 35, p / 7 % 5, p % 7][k] as i64).collect::<Vec<_>>();
    parts.iter().enumerate().for_each(|(k, part)| same(part, &want(k)));
    same(&ravel_multi_index(parts, shape), &(0..105i64).rev().collect::<Vec<_>>());
    assert!(put(d, vec![0i32], &[]).unravel_index(()).is_empty());
    let far = put(d, vec![i64::MIN, -1, 0, 6, 7, i64::MAX], &[6]);
    same(&ravel_multi_index(Clip([&far]), 7), &[0i64, 0, 0, 6, 6, 6]);
    same(&ravel_multi_index(Wrap([&far]), 7), &[i64::MIN.rem_euclid(7), 6, 0, 6, 0, i64::MAX.rem_euclid(7)]);
    let (row, column) = (put(d, vec![1u8, 2], &[2, 1]), put(d, vec![0i16, 4, 3], &[3]));
    same(&ravel_multi_index([&row, &column], [3, 5]), &[5i64, 9, 8, 10, 14, 13]);
    // an empty array of indices is never out of range
    same(&put(d, Vec::<i32>::new(), &[0]).unravel_index([0, 3])[1], &[] as &[i64]);
    // positions that need more than 32 bits
    let wide = put(d, vec![3i32], &[1]);
    same(&ravel_multi_index([&wide, &wide], [1usize << 30, 1 << 30]), &[(3i64 << 30) + 3]);
}

fn diagonals_are_written(d: &Device) {
    for (shape, length) in [(vec![3usize, 3], 3), (vec![2, 5], 2), (vec![5, 2], 2), (vec![3, 3, 3], 3), (vec![0, 4], 0)] {
        let mut x = put(d, (0..shape.iter().product::<usize>() as i32).collect::<Vec<_>>(), &shape);
        let before = x.clone();
        let values: Vec<i32> = (0..length as i32).map(|v| -1 - v).collect();
        x.fill_diagonal(put(d, values, &[length])).unwrap();
        let mut n = -1;
        let want = Host::of(&shape, |i| {
            n += 1;
            if i.iter().all(|k| *k == i[0]) { -1 - i[0] as i32 } else { n }
        });
        same(&x, &want.data);
        same(&before, &(0..want.data.len() as i32).collect::<Vec<_>>());
        // writing to a transposed array whose base has no other handle
        let mut t = x.t().eval().unwrap();
        t.fill_diagonal(0).unwrap();
        same(&t.t(), &want.map(|v| v.max(0)).data);
    }
}

fn neighbours(d: &Device) {
    let x = put(d, vec![1i32, 4, 9, 16, 25], &[5]);
    same(&x.diff(0, 0), &[1, 4, 9, 16, 25]);
    same(&x.diff(2, -1), &[2, 2, 2]);
    same(&x.diff(5, 0), &[] as &[i32]);
    same(&x.diff(usize::MAX, 0), &[] as &[i32]);
    same(&put(d, Vec::<f32>::new(), &[0]).diff(1, 0), &[] as &[f32]);
    same(&put(d, vec![true, true, false], &[3]).diff(1, 0), &[false, true]);
    same(&put(d, vec![3u8, 1], &[2]).diff(1, 0), &[254u8]);
    same(&x.diff_with(1, 0, Some(&zeros((), I32)), Some(&put(d, vec![30i32, 40], &[2]))), &[1, 3, 5, 7, 9, 5, 10]);
    let m = put(d, (0..12).map(|v| v * v).collect::<Vec<i32>>(), &[3, 4]);
    let h = Host::of(&[3, 4], |i| ((i[0] * 4 + i[1]) * (i[0] * 4 + i[1])) as i32);
    same(&m.diff(1, 0), &Host::of(&[2, 4], |i| h.at(&[i[0] + 1, i[1]]) - h.at(i)).data);
    same(&m.t().diff(1, 0), &Host::of(&[3, 3], |i| h.at(&[i[1], i[0] + 1]) - h.at(&[i[1], i[0]])).data);
    assert_eq!(m.diff(1, 0).plan().unwrap().kernels(), 1);
    same(&m.slice(s![..;-1, ..;2]).ediff1d(None, None), &[36, -84, 20, -36, 4]);
    same(&x.ediff1d(Some(&put(d, vec![7i32, 8], &[2])), Some(&put(d, vec![9i32], &[]))), &[7, 8, 3, 5, 7, 9, 9]);
    same(&put(d, Vec::<i32>::new(), &[0]).ediff1d(None, None), &[] as &[i32]);
    same(&x.gradient(0.5, 0), &f(&[6., 8., 12., 16., 18.]));
    same(&x.slice(s![..2]).gradient(1.0, 0), &f(&[3., 3.]));
    same(&m.t().gradient(2.0, 1).slice(s![3]), &f(&[20., 28., 36.]));
    same(&x.trapezoid(2.0, 0), &f(&[84.]));
    same(&x.slice(s![..1]).trapezoid(2.0, 0), &f(&[0.]));
    same(&x.slice(s![..0]).trapezoid(2.0, 0), &f(&[0.]));
    same(&m.trapezoid(1.0, 1).astype(I32), &Host::of(&[3], |i| (1..4).map(|k| h.at(&[i[0], k]) + h.at(&[i[0], k - 1])).sum::<i32>() / 2).data);
}

fn views_are_views_and_copies_are_one_pass(d: &Device) {
    let d = &own(d);
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    d.synchronize().unwrap();
    let before = d.stats().kernels;
    let mut views = vec![x.moveaxis(0, 2), x.swapaxes(0, 1), x.rot90(1, (0, 2)), x.ravel(), x.atleast_3d(), x.t().slice(s![0]).atleast_3d()];
    views.extend(x.unstack(1).unwrap());
    views.extend(x.split(2, 2).unwrap());
    views.extend(x.array_split(2, 1).unwrap());
    views.extend(broadcast_arrays([&*x, &x.slice(s![0])]));
    views.extend(meshgrid([x.slice(s![0, 0]), x.slice(s![.., 0, 0])], Indexing::Xy));
    views.push(x.slice(s![0]).diag(1));
    for v in &views {
        v.eval().unwrap();
    }
    assert_eq!(d.stats().kernels, before, "kernels that views run");
    // these copies read and write each element once, and fuse with what follows
    let big = put(d, vec![1i32; 64 * 64], &[64, 64]);
    for (what, e) in [
        ("roll", big.roll([3, 5], (0, 1))), ("repeat", big.repeat(3, 1)), ("tile", big.tile([2, 3])), ("pad", big.pad(3, Pad::Reflect)),
        ("pad with a number", big.pad(3, Pad::constant(0))), ("insert", big.insert([1, 5], 0, 0)), ("delete", big.delete([1, 5], 1)),
        ("vstack", vstack([&big, &big])), ("block", block([[&big, &x.reshape([1, 24]).broadcast_to([64, 24])], [&big, &zeros([64, 24], I32)]])), ("tril", big.tril(0)), ("concat", concat([&big, &big], ..)),
    ] {
        let plan = e.plan().unwrap();
        assert_eq!(plan.bytes().1, e.size().unwrap() as u64 * 4, "{what} writes something twice:\n{plan}");
    }
    // writing the result to the array itself gives the same as a copy
    let rolled = Host::of(&[2, 3, 4], |i| (((i[0] + 1) % 2) * 12 + ((i[1] + 1) % 3) * 4 + (i[2] + 3) % 4) as i32);
    let mut y = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    y.update(|y| y.roll([1, -1, 1], (0, 1, 2))).unwrap();
    same(&y, &rolled.data);
    let mut y = put(d, (0..24).collect::<Vec<i32>>(), &[4, 3, 2]).t().eval().unwrap();
    let before = y.to_vec::<i32>().unwrap();
    y.update(|y| y.roll(5, ..)).unwrap();
    same(&y, &(0..24).map(|k| before[(k + 19) % 24]).collect::<Vec<_>>());
    // copies nested deeper than the planner fuses them
    let mut deep = x.ravel().slice(s![..1]);
    let mut want = vec![0];
    for k in 0..40 {
        deep = concat([&deep, &x.ravel().slice(s![k % 24..k % 24 + 1])], 0);
        want.push(k % 24);
    }
    same(&deep, &want);
    assert_eq!((big.tril(0) + big.triu(1)).plan().unwrap().kernels(), 1);
}

}
