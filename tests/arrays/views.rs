//! Views of stored and unevaluated arrays: the elements must be those that index arithmetic, or NumPy, gives.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

/// Arrays and expressions with the elements 0, 1, 2, …: stored in several layouts, or unevaluated in several ways.
fn sources(d: &Device, shape: &[usize]) -> Vec<(&'static str, Expr)> {
    let n: usize = shape.iter().product();
    let v: Vec<i32> = (0..n as i32).collect();
    let x = put(d, v.clone(), shape);
    let nd = shape.len();
    let back: Vec<isize> = (0..nd as isize).rev().collect();
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let zero = put(d, vec![0i32], &[]);
    let list: Vec<(&'static str, Expr)> = vec![
        ("stored", (*x).clone()),
        ("stored in Fortran order", {
            let f = x.t().reshape([n]).eval().unwrap();
            f.reshape(reversed).permute_dims(back)
        }),
        ("chain", floor_divide((&x * 2 + 4) % 1_000_000_007, 2) - 2),
        ("cast", x.astype(F32).astype(I32)),
        ("iota", arange(0, n, 1, I32).reshape(shape) + &zero),
        ("reshaped", (x.reshape([n]) + 0).reshape(shape)),
        ("sum", stack([&*x, &zeros(shape, I32)], 0).sum(0).astype(I32)),
        ("sum of a chain", (stack([&*x, &*x], nd as isize) * 1).sum(-1).astype(I32) - &x),
        ("concat", {
            match shape.first() {
                Some(f) => concat([x.slice(s![..*f / 2]), x.slice(s![*f / 2..]) + 0], 0),
                None => &x + 0,
            }
        }),
        ("take", {
            match shape.first() {
                Some(0) | None => &x + 0,
                Some(f) => x.flip(0).take(arange(*f as i32 - 1, -1, -1, I32) + &zero, 0),
            }
        }),
        ("select", select(x.less(7), &x, &x + 0)),
        ("product", {
            match shape {
                [.., _, m] => x.matmul(eye(*m, I32) + &zero),
                [m] => x.matmul(eye(*m, I32) + &zero),
                [] => &x * 1,
            }
        }),
        ("broadcast", (x.expand_dims(0).broadcast_to([vec![3], shape.to_vec()].concat()) + 0).slice(s![1])),
        ("window", {
            let line = concat([x.reshape([n]) + 0, zeros([3], I32) + &zero], 0).slice(s![..n + 2]);
            line.sliding_windows(2, 0).slice(s![..n, 0]).reshape(shape)
        }),
        ("row kernel", (&x + x.astype(F32).mean(keep(..)).astype(I32).minimum(0)) + 0),
    ];
    list
}

fn numbers(text: &str) -> Vec<usize> {
    text.split_whitespace().map(|v| v.parse().unwrap()).collect()
}

on_devices! {

fn sources_hold_what_they_say(d: &Device) {
    for shape in [&[][..], &[1], &[6], &[0], &[3, 4], &[2, 3, 4], &[2, 0, 3]] {
        let want: Vec<i32> = (0..shape.iter().product::<usize>() as i32).collect();
        for (name, e) in sources(d, shape) {
            println!("{name} {shape:?}");
            assert_eq!(e.shape().unwrap(), shape, "{name}");
            same(&e, &want);
        }
    }
}

fn slices_as_numpy_takes_them(d: &Device) {
    let text = include_str!("../data/numpy_slices.txt");
    let mut known: std::collections::HashMap<Vec<usize>, Vec<(&str, Expr)>> = Default::default();
    for (n, line) in text.lines().enumerate() {
        let mut parts = line.split('|');
        let shape = numbers(parts.next().unwrap());
        let items: Vec<SliceItem> = parts.next().unwrap().split_whitespace().map(|t| match t.as_bytes()[0] {
            b'i' => SliceItem::Index(t[1..].parse().unwrap()),
            b'e' => SliceItem::Ellipsis,
            b'n' => SliceItem::NewAxis,
            _ => {
                let b: Vec<Option<isize>> = t[1..].split(':').map(|v| v.parse().ok()).collect();
                SliceItem::Range { start: b[0], end: b[1], step: b[2].unwrap_or(1) }
            }
        }).collect();
        let result = numbers(parts.next().unwrap());
        let want: Vec<i32> = numbers(parts.next().unwrap()).into_iter().map(|v| v as i32).collect();
        let all = known.entry(shape.clone()).or_insert_with(|| sources(d, &shape));
        // the stored array always, and one of the others by turns
        for (name, e) in [&all[0], &all[n % all.len()]] {
            println!("{line} of {name}");
            let s = e.slice(&items);
            assert_eq!(s.shape().unwrap(), result, "{line}");
            same(&s, &want);
        }
    }
}

fn every_form_of_the_macro(d: &Device) {
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    let n = 1usize;
    same(&x.slice(s![1, 2, 3]), &[23i32]);
    same(&x.slice(s![-1, -1, -1]), &[23i32]);
    same(&x.slice(s![n, n, n]), &[17i32]);
    same(&x.slice(s![.., 0, 0]), &[0i32, 12]);
    same(&x.slice(s![..., 0]), &[0i32, 4, 8, 12, 16, 20]);
    same(&x.slice(s![0, ...]), &(0..12).collect::<Vec<i32>>());
    same(&x.slice(s![0, ..., 1]), &[1i32, 5, 9]);
    same(&x.slice(s![..., 1, ..]), &[4i32, 5, 6, 7, 16, 17, 18, 19]);
    same(&x.slice(s![0, 0, 1..3]), &[1i32, 2]);
    same(&x.slice(s![0, 0, 1..]), &[1i32, 2, 3]);
    same(&x.slice(s![0, 0, ..2]), &[0i32, 1]);
    same(&x.slice(s![0, 0, ..;2]), &[0i32, 2]);
    same(&x.slice(s![0, 0, ..;-1]), &[3i32, 2, 1, 0]);
    same(&x.slice(s![0, 0, 1..;2]), &[1i32, 3]);
    same(&x.slice(s![0, 0, 3..0;-2]), &[3i32, 1]);
    same(&x.slice(s![0, 0, ..-1]), &[0i32, 1, 2]);
    same(&x.slice(s![0, 0, -2..]), &[2i32, 3]);
    same(&x.slice(s![0, 0, n..n + 2]), &[1i32, 2]);
    same(&x.slice(s![0, 0, 100..]), &[] as &[i32]);
    same(&x.slice(s![0, 0, ..100]), &[0i32, 1, 2, 3]);
    same(&x.slice(s![0, 0, 2..1]), &[] as &[i32]);
    same(&x.slice(s![..;-1, 0, 0]), &[12i32, 0]);
    assert_eq!(x.slice(s![NewAxis, .., NewAxis, ..., NewAxis]).shape().unwrap(), [1, 2, 1, 3, 4, 1]);
    assert_eq!(x.slice(s![]).shape().unwrap(), [2, 3, 4]);
    assert_eq!(x.slice(s![...]).shape().unwrap(), [2, 3, 4]);
    assert_eq!(x.slice(s![0, NewAxis, 0]).shape().unwrap(), [1, 4]);
    assert_eq!(x.slice(s![..0]).shape().unwrap(), [0, 3, 4]);
    assert_eq!(x.slice(s![..1]).shape().unwrap(), [1, 3, 4]);
    assert_eq!(x.slice(s![.., ..2]).shape().unwrap(), [2, 2, 4]);
    for (e, kind) in [
        (x.slice(s![2]), ErrorKind::Index), (x.slice(s![-3]), ErrorKind::Index), (x.slice(s![0, 0, 0, 0]), ErrorKind::Index),
        (x.slice(s![..., ...]), ErrorKind::Index), (x.slice(s![..;0]), ErrorKind::Argument), (x.slice(s![isize::MIN]), ErrorKind::Index),
        (x.slice(s![1;2]), ErrorKind::Argument), (x.slice(s![usize::MAX]), ErrorKind::Index),
    ] {
        let err = e.eval().unwrap_err();
        assert_eq!(err.kind(), kind, "{err}");
    }
}

fn views_of_everything(d: &Device) {
    let shape = [3usize, 4, 5];
    let h = Host::of(&shape, |i| (i[0] * 20 + i[1] * 5 + i[2]) as i32);
    for (name, e) in sources(d, &shape) {
        println!("{name}");
        let check = |e: &Expr, want: &Host<i32>, what: &str| {
            println!("  {what}");
            assert_eq!(e.shape().unwrap(), want.shape, "{name} {what}");
            same(e, &want.data);
            // the view is an operand of further operations, not only of a copy
            same(&(e * 3 - 1), &want.map(|v| v * 3 - 1).data);
            let total: i32 = want.data.iter().sum();
            same(&e.sum(..).astype(I32), &[total]);
        };
        check(&e.t(), &h.permute(&[2, 1, 0]), "t");
        check(&e.permute_dims([1, 2, 0]), &h.permute(&[1, 2, 0]), "permute");
        check(&e.permute_dims([-1, 0, 1]), &h.permute(&[2, 0, 1]), "permute from the end");
        check(&e.matrix_transpose(), &h.permute(&[0, 2, 1]), "matrix_transpose");
        check(&e.flip(..), &h.flip(&[0, 1, 2]), "flip all");
        check(&e.flip([0, -1]), &h.flip(&[0, 2]), "flip two");
        check(&e.slice(s![1.., ..;-2, ..;3]), &Host::of(&[2, 2, 2], |i| h.at(&[i[0] + 1, 3 - 2 * i[1], 3 * i[2]])), "steps");
        check(&e.slice(s![2, .., -1]), &Host::of(&[4], |i| h.at(&[2, i[0], 4])), "indices");
        check(&e.slice(s![..2]).slice(s![1, 1..]).slice(s![.., ..;-1]), &Host::of(&[3, 5], |i| h.at(&[1, i[0] + 1, 4 - i[1]])), "slice of slice");
        check(&e.diagonal(0), &Host::of(&[3, 4], |i| h.at(&[i[0], i[1], i[1]])), "diagonal");
        check(&e.diagonal(2), &Host::of(&[3, 3], |i| h.at(&[i[0], i[1], i[1] + 2])), "diagonal above");
        check(&e.diagonal(-3), &Host::of(&[3, 1], |i| h.at(&[i[0], i[1] + 3, i[1]])), "diagonal below");
        check(&e.sliding_windows(2, 1), &Host::of(&[3, 3, 5, 2], |i| h.at(&[i[0], i[1] + i[3], i[2]])), "windows");
        check(&e.sliding_windows([2, 3], [1, -1]), &Host::of(&[3, 3, 3, 2, 3], |i| h.at(&[i[0], i[1] + i[3], i[2] + i[4]])), "windows over two axes");
        check(&e.sliding_windows((3, 2), (2, 0)), &Host::of(&[2, 4, 3, 3, 2], |i| h.at(&[i[0] + i[4], i[1], i[2] + i[3]])), "windows in the order of the axes");
        check(&e.sliding_windows([2, 4, 5], ..), &Host::of(&[2, 1, 1, 2, 4, 5], |i| h.at(&[i[0] + i[3], i[4], i[5]])), "windows over all axes");
        check(&e.sliding_windows([2, 2], [1, 1]), &Host::of(&[3, 2, 5, 2, 2], |i| h.at(&[i[0], i[1] + i[3] + i[4], i[2]])), "windows of windows");
        check(&e.sliding_windows(3, -1).slice(s![..;-1, 0]), &Host::of(&[3, 3, 3], |i| h.at(&[2 - i[0], 0, i[1] + i[2]])), "windows, sliced");
        check(&e.expand_dims(0), &h.reshape(&[1, 3, 4, 5]), "expand 0");
        check(&e.expand_dims(-1), &h.reshape(&[3, 4, 5, 1]), "expand -1");
        check(&e.expand_dims(2).squeeze(2), &h, "squeeze");
        check(&e.expand_dims(2).expand_dims(0).squeeze(..), &h, "squeeze all");
        check(&e.broadcast_to([2, 3, 4, 5]), &h.broadcast(&[2, 3, 4, 5]), "broadcast");
        check(&e.slice(s![.., ..1]).broadcast_to([3, 6, 5]), &Host::of(&[3, 6, 5], |i| h.at(&[i[0], 0, i[2]])), "broadcast of a slice");
        check(&e.reshape([60]), &h.reshape(&[60]), "flat");
        check(&e.reshape([-1, 10]), &h.reshape(&[6, 10]), "reshape");
        check(&e.reshape([3, 2, 2, 5, 1]), &h.reshape(&[3, 2, 2, 5, 1]), "split");
        check(&e.t().reshape([60]), &h.permute(&[2, 1, 0]).reshape(&[60]), "flat transpose");
        check(&e.t().reshape([10, 6]).t(), &h.permute(&[2, 1, 0]).reshape(&[10, 6]).permute(&[1, 0]), "transpose, reshape, transpose");
        check(&e.slice(s![.., ..;2]).reshape([30]), &Host::of(&[3, 2, 5], |i| h.at(&[i[0], 2 * i[1], i[2]])).reshape(&[30]), "flat slice");
        check(&e.flip(2).reshape([12, 5]).slice(s![5..8, 1]), &Host::of(&[3], |i| h.flip(&[2]).reshape(&[12, 5]).at(&[i[0] + 5, 1])), "flip, reshape, slice");
        check(&e.broadcast_to([2, 3, 4, 5]).reshape([6, 20]), &h.broadcast(&[2, 3, 4, 5]).reshape(&[6, 20]), "reshape of a broadcast");
        check(&e.sliding_windows(2, 0).reshape([8, 10]), &Host::of(&[2, 4, 5, 2], |i| h.at(&[i[0] + i[3], i[1], i[2]])).reshape(&[8, 10]), "reshape of windows");
        check(&e.slice(s![1..1]), &Host { shape: vec![0, 4, 5], data: vec![] }, "nothing");
        check(&e.slice(s![1..1]).reshape([7, 0]), &Host { shape: vec![7, 0], data: vec![] }, "nothing, reshaped");
        // reductions of views
        let p = h.permute(&[1, 0, 2]);
        let sum = Host::of(&[4, 5], |i| (0..3).map(|j| p.at(&[i[0], j, i[1]])).sum::<i32>());
        check(&e.permute_dims([1, 0, 2]).sum(1).astype(I32), &sum, "sum of a permutation");
        check(&e.slice(s![..;-1]).max(0), &Host::of(&[4, 5], |i| h.at(&[2, i[0], i[1]])), "max of a flip");
        check(&e.sliding_windows(3, 1).sum(-1).astype(I32), &Host::of(&[3, 2, 5], |i| (0..3).map(|k| h.at(&[i[0], i[1] + k, i[2]])).sum()), "window sums");
        check(&(e.t() + e.permute_dims([2, 1, 0])), &h.permute(&[2, 1, 0]).map(|v| 2 * v), "two views");
        check(&(e.slice(s![1..]) - e.slice(s![..-1])), &Host::of(&[2, 4, 5], |_| 20), "differences");
    }
}

fn views_of_reductions_and_products(d: &Device) {
    let x = put(d, (0..60).collect::<Vec<i32>>(), &[3, 4, 5]);
    let h = Host::of(&[3, 4, 5], |i| (i[0] * 20 + i[1] * 5 + i[2]) as i32);
    let sum = Host::of(&[3, 5], |i| (0..4).map(|k| h.at(&[i[0], k, i[1]])).sum::<i32>());
    same(&x.sum(1).t().astype(I32), &sum.permute(&[1, 0]).data);
    same(&x.sum(1).slice(s![..;-1, 1..;2]).astype(I32), &Host::of(&[3, 2], |i| sum.at(&[2 - i[0], 1 + 2 * i[1]])).data);
    same(&x.sum(1).t().reshape([15]).astype(I32), &sum.permute(&[1, 0]).data);
    same(&x.sum(keep(1)).broadcast_to([3, 4, 5]).astype(I32), &Host::of(&[3, 4, 5], |i| sum.at(&[i[0], i[2]])).data);
    same(&(&x - x.sum(keep(1))).astype(I32), &Host::of(&[3, 4, 5], |i| h.at(i) - sum.at(&[i[0], i[2]])).data);
    same(&x.sum(1).diagonal(1).astype(I32), &[sum.at(&[0, 1]), sum.at(&[1, 2]), sum.at(&[2, 3])]);
    let m = put(d, (0..12).collect::<Vec<i32>>(), &[3, 4]);
    let p = m.matmul(m.t());
    let want = Host::of(&[3, 3], |i| (0..4).map(|k| (i[0] * 4 + k) as i32 * (i[1] * 4 + k) as i32).sum::<i32>());
    same(&p.slice(s![..;-1, ..2]), &Host::of(&[3, 2], |i| want.at(&[2 - i[0], i[1]])).data);
    same(&p.diagonal(0), &[want.data[0], want.data[4], want.data[8]]);
    same(&(p.diagonal(0) * 2), &[2 * want.data[0], 2 * want.data[4], 2 * want.data[8]]);
    same(&(p.slice(s![1]) + p.slice(s![.., 1])), &Host::of(&[3], |i| 2 * want.at(&[1, i[0]])).data);
    same(&p.reshape([9]).slice(s![..;4]), &[want.data[0], want.data[4], want.data[8]]);
    same(&p.broadcast_to([2, 3, 3]).sum(0).astype(I32), &want.map(|v| 2 * v).data);
    same(&p.t().reshape([9]), &want.permute(&[1, 0]).data);
    same(&(p.t() + 1).slice(s![0]).sum(..).astype(I32), &[want.data[0] + want.data[3] + want.data[6] + 3]);
    same(&x.astype(F32).softmax(-1).slice(s![0, 0, ..;-1]).argmax(0), &[0i64]);
    same(&x.argmax(2).t(), &[4i64; 12]);
}

fn broadcasting_of_operands(d: &Device) {
    let shapes: [&[usize]; 12] = [&[], &[1], &[4], &[3, 1], &[3, 4], &[1, 4], &[2, 3, 4], &[2, 1, 4], &[2, 1, 1], &[0, 4], &[1, 0], &[1, 1, 1, 1]];
    for a in shapes {
        for b in shapes {
            let (na, nb): (usize, usize) = (a.iter().product(), b.iter().product());
            let (x, y) = (put(d, (0..na as i32).collect::<Vec<_>>(), a), put(d, (0..nb as i32).map(|v| v * 100).collect::<Vec<_>>(), b));
            let nd = a.len().max(b.len());
            let pad = |s: &[usize]| [vec![1; nd - s.len()], s.to_vec()].concat();
            let mut out = vec![];
            let mut fits = true;
            for (p, q) in pad(a).into_iter().zip(pad(b)) {
                fits &= p == q || p == 1 || q == 1;
                out.push(if p == 1 { q } else { p });
            }
            let e = &x + &y;
            if !fits {
                assert_eq!(e.eval().unwrap_err().kind(), ErrorKind::Shape, "{a:?} {b:?}");
                continue;
            }
            let ha = Host { shape: a.to_vec(), data: (0..na as i32).collect() }.broadcast(&out);
            let hb = Host { shape: b.to_vec(), data: (0..nb as i32).map(|v| v * 100).collect() }.broadcast(&out);
            assert_eq!(e.shape().unwrap(), out, "{a:?} {b:?}");
            let want: Vec<i32> = ha.data.iter().zip(&hb.data).map(|(p, q)| p + q).collect();
            same(&e, &want);
            same(&((&x * 1) + (&y - 0)), &want);
            same(&e.t(), &Host { shape: out.clone(), data: want.clone() }.permute(&(0..nd).rev().collect::<Vec<_>>()).data);
            same(&e.sum(..).astype(I32), &[want.iter().sum::<i32>()]);
        }
    }
}

fn reshapes(d: &Device) {
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    for (to, ok) in [
        (vec![24isize], true), (vec![-1], true), (vec![4, -1], true), (vec![1, 24, 1], true), (vec![-1, 5], false), (vec![-1, -1], false),
        (vec![25], false), (vec![0, -1], false), (vec![], false), (vec![-2, 12], false), (vec![2, 3, 4, 1], true), (vec![isize::MAX, 2], false), (vec![isize::MIN], false),
    ] {
        let e = x.reshape(&to[..]);
        assert_eq!(e.eval().is_ok(), ok, "{to:?}");
        if ok { same(&e, &(0..24).collect::<Vec<i32>>()); }
    }
    let none = put::<i32>(d, vec![], &[0, 3]);
    assert_eq!(none.reshape([3, 0]).shape().unwrap(), [3, 0]);
    assert_eq!(none.reshape([0]).eval().unwrap().shape(), [0]);
    assert_eq!(none.reshape([-1, 3]).shape().unwrap(), [0, 3]);
    assert!(none.reshape([-1, 0]).eval().is_err());
    assert!(none.reshape([1]).eval().is_err());
    assert_eq!((&none + 1).reshape([5, 0, 2]).eval().unwrap().shape(), [5, 0, 2]);
    let one = put(d, vec![7i32], &[1, 1]);
    assert_eq!(one.reshape(()).shape().unwrap(), [0usize; 0]);
    assert_eq!(one.reshape(()).item::<i32>().unwrap(), 7);
    same(&put(d, vec![7i32], &[]).reshape([1, 1, 1]), &[7i32]);
    // reshapes that strides can express are views: no kernel, and the same memory
    let own = own(d);
    let y = put(&own, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    let before = own.stats();
    for e in [y.reshape([6, 4]), y.reshape([24]), y.t().reshape([2, 2, 3, 2]), y.slice(s![.., ..;2]).reshape([2, 2, 2, 2]), y.slice(s![..;-1]).reshape([2, 12]), y.t(), y.flip(..), y.diagonal(0), y.sliding_windows(2, 0), y.broadcast_to([5, 2, 3, 4]), y.expand_dims(0), y.slice(s![1, .., ..;2])] {
        let a = e.eval().unwrap();
        assert_eq!(own.stats(), before, "a view of shape {:?} cost something", a.shape());
    }
    let a = y.reshape([4, 6]).eval().unwrap();
    assert_eq!(a.strides(), [6, 1]);
    let big = y.t().reshape([24]).eval().unwrap();
    assert_eq!(big.strides(), [1]);
    assert_eq!(own.stats().allocations, before.allocations + 1);
}

fn views_of_narrow_types_at_odd_places(d: &Device) {
    for start in 0..5usize {
        for step in [1isize, 2, 3, -1, -2] {
            let n = 37;
            let pick: Vec<usize> = if step > 0 { (start..n).step_by(step as usize).collect() } else { (0..n - start).rev().step_by(-step as usize).collect() };
            let item = if step > 0 { SliceItem::Range { start: Some(start as isize), end: None, step } } else { SliceItem::Range { start: Some((n - start - 1) as isize), end: None, step } };
            let b: Vec<u8> = (0..n as u8).map(|v| v * 7).collect();
            same(&put(d, b.clone(), &[n]).slice([item]), &pick.iter().map(|i| b[*i]).collect::<Vec<_>>());
            same(&(put(d, b.clone(), &[n]).slice([item]) + 3), &pick.iter().map(|i| b[*i].wrapping_add(3)).collect::<Vec<_>>());
            let h: Vec<f16> = (0..n).map(|v| f16::from_f32(v as f32)).collect();
            same(&put(d, h.clone(), &[n]).slice([item]), &pick.iter().map(|i| h[*i]).collect::<Vec<_>>());
            same(&-put(d, h.clone(), &[n]).slice([item]), &pick.iter().map(|i| -h[*i]).collect::<Vec<_>>());
            let t: Vec<bool> = (0..n).map(|v| v % 3 == 1).collect();
            same(&put(d, t.clone(), &[n]).slice([item]), &pick.iter().map(|i| t[*i]).collect::<Vec<_>>());
            same(&!put(d, t.clone(), &[n]).slice([item]), &pick.iter().map(|i| !t[*i]).collect::<Vec<_>>());
            let s: Vec<i16> = (0..n as i16).map(|v| v.wrapping_mul(-999)).collect();
            same(&put(d, s.clone(), &[n]).slice([item]).sum(..).astype(I32), &[pick.iter().map(|i| s[*i] as i32).sum::<i32>()]);
        }
    }
}

fn layouts_of_handbook_sizes(d: &Device) {
    for n in [1usize, 2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025] {
        let v = noise(n as u64, n * 3);
        let h = Host { shape: vec![n, 3], data: v.clone() };
        let x = put(d, v, &[n, 3]);
        same(&(x.t() * 2.0), &h.permute(&[1, 0]).map(|a| a * 2.0).data);
        same(&(x.slice(s![..;-1, 1]) * 2.0), &Host::of(&[n], |i| h.at(&[n - 1 - i[0], 1]) * 2.0).data);
        same(&(x.slice(s![..;3, ..;2]) - 1.0), &Host::of(&[n.div_ceil(3), 2], |i| h.at(&[3 * i[0], 2 * i[1]]) - 1.0).data);
        same(&(&x + x.slice(s![.., ..1])), &Host::of(&[n, 3], |i| h.at(i) + h.at(&[i[0], 0])).data);
        same(&(&x + x.slice(s![0])), &Host::of(&[n, 3], |i| h.at(i) + h.at(&[0, i[1]])).data);
        same(&x.t().max(0), &Host::of(&[n], |i| (0..3).map(|k| h.at(&[i[0], k])).fold(f32::MIN, f32::max)).data);
        same(&x.t().max(1), &Host::of(&[3], |i| (0..n).map(|k| h.at(&[k, i[0]])).fold(f32::MIN, f32::max)).data);
        same(&x.slice(s![..;-1]).min(0), &Host::of(&[3], |i| (0..n).map(|k| h.at(&[k, i[0]])).fold(f32::MAX, f32::min)).data);
    }
}

fn six_axes_permuted(d: &Device) {
    let shape = [2usize, 3, 1, 4, 2, 3];
    let n = shape.iter().product::<usize>();
    let h = Host { shape: shape.to_vec(), data: (0..n as i32).collect() };
    let x = put(d, h.data.clone(), &shape);
    let mut dice = Dice::new(6);
    for _ in 0..60 {
        let mut p = [0usize, 1, 2, 3, 4, 5];
        for i in (1..6).rev() { p.swap(i, dice.below(i + 1)); }
        let hp = h.permute(&p);
        let v = x.permute_dims(p.map(|a| a as i32));
        same(&v, &hp.data);
        same(&(&v + 1), &hp.map(|a| a + 1).data);
        same(&v.reshape([n]), &hp.data);
        let axis = dice.below(6);
        let out: Vec<usize> = (0..6).filter(|a| *a != axis).map(|a| hp.shape[a]).collect();
        let sum = Host::of(&out, |i| (0..hp.shape[axis]).map(|k| { let mut j = i.to_vec(); j.insert(axis, k); hp.at(&j) }).sum::<i32>());
        same(&v.sum(axis as i32).astype(I32), &sum.data);
    }
    // many axes, most of them of length 1
    let deep = x.reshape([vec![1usize; 20], shape.to_vec(), vec![1; 20]].concat());
    assert_eq!(deep.ndim().unwrap(), 46);
    same(&(&deep + 1), &h.map(|a| a + 1).data);
    same(&deep.t().sum(..).astype(I32), &[h.data.iter().sum::<i32>()]);
    let mut sixty = vec![1usize; 64];
    sixty[63] = n;
    same(&(x.reshape(&sixty[..]) * 2), &h.map(|a| a * 2).data);
    sixty.push(1);
    assert!(x.reshape(&sixty[..]).eval().is_err());
    let binary = put(d, (0..1 << 12).collect::<Vec<i32>>(), &[2; 12]);
    let hb = Host { shape: vec![2; 12], data: (0..1 << 12).collect::<Vec<i32>>() };
    let p: Vec<usize> = (0..12).map(|i| (i * 5) % 12).collect();
    same(&(binary.permute_dims(p.iter().map(|a| *a as isize).collect::<Vec<_>>()) + 1), &hb.permute(&p).map(|a| a + 1).data);
}
}
