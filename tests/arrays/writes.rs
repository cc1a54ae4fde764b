//! Writes: in place only if no other array sees the memory, only the right elements, casts of NumPy's `same_kind`.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

on_devices! {

fn assign_in_place_allocates_nothing(d: &Device) {
    let d = own(d);
    let n = 100_000;
    let mut x = put(&d, noise(1, n), &[n]);
    let g = put(&d, noise(2, n), &[n]);
    let (mut host, hg) = (x.to_vec::<f32>().unwrap(), g.to_vec::<f32>().unwrap());
    let (before, peak) = (d.stats().allocations, d.memory().peak);
    for _ in 0..5 {
        x.assign(&x * 0.5 + &g).unwrap();
        x.update(|x| x - 0.25).unwrap();
        x.assign(0.5 * &x).unwrap();
        x.set(s![10..], x.slice(s![10..]) + 1.0).unwrap();
        x.slice_mut(s![..;2]).update(|v| v * 2.0).unwrap();
        x.slice_mut(s![5]).fill(3).unwrap();
        for (i, v) in host.iter_mut().enumerate() {
            *v = *v * 0.5 + hg[i] - 0.25;
            *v *= 0.5;
            if i >= 10 { *v += 1.0 }
            if i % 2 == 0 { *v *= 2.0 }
            if i == 5 { *v = 3.0 }
        }
    }
    d.synchronize().unwrap();
    assert_eq!(d.stats().allocations, before, "buffers");
    assert_eq!(d.memory().peak, peak, "bytes");
    near(&x, &host.iter().map(|v| *v as f64).collect::<Vec<_>>(), |w| w.abs() * 1e-6 + 1e-6);
    x.fill(1.5).unwrap();
    same(&x, &vec![1.5f32; n]);
    assert_eq!(d.stats().allocations, before);
    // a row kernel (softmax) that writes several rows in place
    let mut m = put(&d, noise(3, 64 * 100), &[64, 100]);
    let want = m.softmax(-1).to_vec::<f32>().unwrap();
    let before = d.stats().allocations;
    m.assign(m.softmax(-1)).unwrap();
    assert!(d.stats().allocations <= before + 1);
    same(&m, &want);
}

fn a_write_never_shows_through_another_value(d: &Device) {
    let mut x = put(d, vec![1f32, 2.0, 3.0], &[3]);
    let g = put(d, vec![10f32; 3], &[3]);
    let half = &x * 0.5;
    x.assign(&x * 0.9 + &g).unwrap();
    near(&x, &[10.9, 11.8, 12.7], |_| 1e-5);
    same(&half, &[0.5f32, 1.0, 1.5]);
    let copy = x.clone();
    let view = x.slice(s![1..]).eval().unwrap();
    let t = x.t();
    let same_expr = x.eval().unwrap();
    x.fill(0).unwrap();
    for (e, n) in [(&*copy, 3), (&*view, 2), (&t, 3), (&*same_expr, 3)] {
        assert_eq!(e.size().unwrap(), n);
        assert!(e.min(..).item::<f32>().unwrap() > 10.0);
    }
    same(&x, &[0f32; 3]);
    // writing to a view does not change its base array, and the reverse
    let base = put(d, (0..6).collect::<Vec<i32>>(), &[2, 3]);
    let mut v = base.slice(s![1]).eval().unwrap();
    v.update(|v| v * 10).unwrap();
    same(&v, &[30i32, 40, 50]);
    same(&base, &[0i32, 1, 2, 3, 4, 5]);
    let mut b = base.clone();
    let w = b.t().eval().unwrap();
    b.set(s![0, 0], 99).unwrap();
    same(&w, &[0i32, 3, 1, 4, 2, 5]);
    same(&base, &[0i32, 1, 2, 3, 4, 5]);
    same(&b, &[99i32, 1, 2, 3, 4, 5]);
    // an expression that is evaluated after the write still sees the old elements
    let mut x = put(d, vec![1i32, 2, 3], &[3]);
    let s = x.sum(..);
    let m = x.matmul(&x);
    let k = x.take(put(d, vec![2i32], &[1]), 0);
    let c = concat([&*x, &*x], 0);
    x.slice_mut(s![..]).fill(0).unwrap();
    same(&s, &[6i64]);
    same(&m, &[14i32]);
    same(&k, &[3i32]);
    same(&c, &[1i32, 2, 3, 1, 2, 3]);
    same(&x, &[0i32; 3]);
    drop((s, m, k, c));
    // in a loop that clones the array each time
    let mut seen = vec![];
    for i in 0..4 {
        seen.push(x.clone());
        x.update(|x| x + i).unwrap();
    }
    for (i, want) in [0i32, 0, 1, 3].iter().enumerate() { same(&seen[i], &[*want; 3]); }
    // evaluating an expression twice gives two independent arrays
    let e = &g * 1.0;
    let (mut p, q) = (e.eval().unwrap(), e.eval().unwrap());
    p.fill(0).unwrap();
    same(&q, &[10f32; 3]);
    // `eval_all` with the same expression twice gives independent arrays
    let mut all = eval_all([&e, &e, &g]).unwrap();
    all[0].fill(1).unwrap();
    same(&all[1], &[10f32; 3]);
    all[2].fill(2).unwrap();
    same(&g, &[10f32; 3]);
}

fn reading_other_positions_of_the_target(d: &Device) {
    for n in [1usize, 2, 3, 17, 64, 100, 300] {
        let h = Host { shape: vec![n, n], data: (0..(n * n) as i32).collect::<Vec<_>>() };
        let new = || put(d, h.data.clone(), &[n, n]);
        let mut x = new();
        x.assign(x.t()).unwrap();
        same(&x, &h.permute(&[1, 0]).data);
        let mut x = new();
        x.assign(&x + x.t()).unwrap();
        same(&x, &Host::of(&[n, n], |i| h.at(i) + h.at(&[i[1], i[0]])).data);
        let mut x = new();
        x.assign(x.flip(..)).unwrap();
        same(&x, &h.flip(&[0, 1]).data);
        let mut x = new();
        x.assign(x.flip(0) * 1).unwrap();
        same(&x, &h.flip(&[0]).data);
        let mut x = new();
        x.assign(x.slice(s![0])).unwrap();
        same(&x, &Host::of(&[n, n], |i| h.at(&[0, i[1]])).data);
        let mut x = new();
        x.assign(x.slice(s![.., n - 1]).expand_dims(1)).unwrap();
        same(&x, &Host::of(&[n, n], |i| h.at(&[i[0], n - 1])).data);
        let mut x = new();
        x.assign(x.sum(0)).unwrap();
        same(&x, &Host::of(&[n, n], |i| (0..n).map(|k| h.at(&[k, i[1]])).fold(0i32, |a, b| a.wrapping_add(b))).data);
        let mut x = new();
        x.assign(&x - x.sum(keep(1))).unwrap();
        same(&x, &Host::of(&[n, n], |i| h.at(i).wrapping_sub((0..n).map(|k| h.at(&[i[0], k])).fold(0i32, |a, b| a.wrapping_add(b)))).data);
        let mut x = new();
        x.assign(x.matmul(&x)).unwrap();
        let want = Host::of(&[n, n], |i| (0..n).fold(0i32, |a, k| a.wrapping_add(h.at(&[i[0], k]).wrapping_mul(h.at(&[k, i[1]])))));
        same(&x, &want.data);
        let mut x = new();
        x.assign(x.take(arange(n as i32 - 1, -1, -1, I32), 0)).unwrap();
        same(&x, &h.flip(&[0]).data);
        let mut x = new();
        x.assign(concat([x.slice(s![1..]), x.slice(s![..1])], 0)).unwrap();
        same(&x, &Host::of(&[n, n], |i| h.at(&[(i[0] + 1) % n, i[1]])).data);
        let mut x = new();
        x.assign(x.t().reshape([n * n]).reshape([n, n])).unwrap();
        same(&x, &h.permute(&[1, 0]).data);
        let mut x = new();
        x.assign(x.reshape([n * n]).flip(0).reshape([n, n])).unwrap();
        same(&x, &h.flip(&[0, 1]).data);
        // source and target overlap
        let mut x = new();
        let v = x.slice(s![..-1]);
        x.slice_mut(s![1..]).assign(v).unwrap();
        same(&x, &Host::of(&[n, n], |i| h.at(&[i[0].saturating_sub(1), i[1]])).data);
        let mut x = new();
        x.set(s![1..], x.slice(s![..-1])).unwrap();
        same(&x, &Host::of(&[n, n], |i| h.at(&[i[0].saturating_sub(1), i[1]])).data);
        let mut x = new();
        x.set(s![..-1], x.slice(s![1..]) * 2).unwrap();
        same(&x, &Host::of(&[n, n], |i| if i[0] + 1 < n { h.at(&[i[0] + 1, i[1]]) * 2 } else { h.at(i) }).data);
        let mut x = new();
        x.set(s![.., ..;-1], x.slice(s![..])).unwrap();
        same(&x, &h.flip(&[1]).data);
        let mut x = new();
        x.set(s![.., 0], x.slice(s![0])).unwrap();
        same(&x, &Host::of(&[n, n], |i| if i[1] == 0 { h.at(&[0, i[0]]) } else { h.at(i) }).data);
        let mut x = new();
        x.slice_mut(s![0]).update(|v| v.flip(0)).unwrap();
        same(&x, &Host::of(&[n, n], |i| if i[0] == 0 { h.at(&[0, n - 1 - i[1]]) } else { h.at(i) }).data);
    }
}

fn neighbours_stay(d: &Device) {
    fn check<T: Element + From<u8>>(d: &Device, one: impl Fn(usize) -> T) {
        for start in 0..5usize {
            for step in [1isize, 2, 3, -1, -2, -3] {
                for n in [5usize, 8, 37, 64, 130] {
                    let old: Vec<T> = (0..n).map(|i| one(i % 50)).collect();
                    let item = if step > 0 {
                        SliceItem::Range { start: Some(start as isize), end: Some(n as isize - 1), step }
                    } else {
                        SliceItem::Range { start: Some(n as isize - 1 - start as isize), end: Some(0), step }
                    };
                    let mut pick = vec![];
                    let mut at = if step > 0 { start as isize } else { n as isize - 1 - start as isize };
                    while if step > 0 { at < n as isize - 1 } else { at > 0 } { pick.push(at as usize); at += step; }
                    let mut want = old.clone();
                    for (k, p) in pick.iter().enumerate() { want[*p] = one(50 + k % 50); }
                    let new: Vec<T> = (0..pick.len()).map(|k| one(50 + k % 50)).collect();
                    let mut x = put(d, old.clone(), &[n]);
                    let keep = x.clone();
                    x.set([item], put(d, new.clone(), &[new.len()])).unwrap();
                    same(&x, &want);
                    same(&keep, &old);
                    drop(keep);
                    x.set([item], put(d, old.clone(), &[n]).slice([item])).unwrap();
                    same(&x, &old);
                    x.slice_mut([item]).fill(1).unwrap();
                    for p in &pick { want[*p] = T::from(1); }
                    same(&x, &want);
                }
            }
        }
    }
    check::<u8>(d, |i| i as u8);
    check::<i16>(d, |i| i as i16);
    check::<i32>(d, |i| i as i32);
    check::<f16>(d, |i| f16::from_f32(i as f32));
    check::<f32>(d, |i| i as f32);
    if has(d, F64) { check::<f64>(d, |i| i as f64); }
    // bool
    for start in 0..4usize {
        for step in 1..4usize {
            let n = 41;
            let old: Vec<bool> = (0..n).map(|i| i % 5 == 0).collect();
            let mut x = put(d, old.clone(), &[n]);
            x.slice_mut(s![start..n - 1;step]).update(|v| !v).unwrap();
            let want: Vec<bool> = (0..n).map(|i| if i >= start && i < n - 1 && (i - start) % step == 0 { !old[i] } else { old[i] }).collect();
            same(&x, &want);
        }
    }
    // columns of a narrow matrix
    let mut x = put(d, vec![0u8; 35], &[5, 7]);
    x.set(s![.., 3], put(d, vec![1u8, 2, 3, 4, 5], &[5])).unwrap();
    x.set(s![1..4, 5..], 9).unwrap();
    same(&x, &Host::of(&[5, 7], |i| if i[1] == 3 { i[0] as u8 + 1 } else if (1..4).contains(&i[0]) && i[1] >= 5 { 9 } else { 0 }).data);
    // a view that starts inside its buffer
    let base = put(d, (0..20).collect::<Vec<u8>>(), &[20]);
    let mut v = base.slice(s![3..10]).eval().unwrap();
    drop(base);
    v.slice_mut(s![1..;2]).fill(0).unwrap();
    same(&v, &[3u8, 0, 5, 0, 7, 0, 9]);
}

fn parts_of_every_kind(d: &Device) {
    let h = Host::of(&[3, 4, 5], |i| (i[0] * 20 + i[1] * 5 + i[2]) as i32);
    let new = || put(d, h.data.clone(), &[3, 4, 5]);
    let mut x = new();
    x.set(s![1], 0).unwrap();
    same(&x, &Host::of(&[3, 4, 5], |i| if i[0] == 1 { 0 } else { h.at(i) }).data);
    let mut x = new();
    x.set(s![..., -1], put(d, vec![7i32, 8, 9, 10], &[4])).unwrap();
    same(&x, &Host::of(&[3, 4, 5], |i| if i[2] == 4 { 7 + i[1] as i32 } else { h.at(i) }).data);
    let mut x = new();
    x.set(s![.., 1..3, ..;2], put(d, vec![100i32, 200], &[2, 1])).unwrap();
    same(&x, &Host::of(&[3, 4, 5], |i| if (1..3).contains(&i[1]) && i[2] % 2 == 0 { i[1] as i32 * 100 } else { h.at(i) }).data);
    let mut x = new();
    x.set(s![NewAxis, 0], put(d, vec![5i32], &[1, 1, 1])).unwrap();
    same(&x, &Host::of(&[3, 4, 5], |i| if i[0] == 0 { 5 } else { h.at(i) }).data);
    let mut x = new();
    x.set(s![1..1], 5).unwrap();
    x.set(s![5..], put(d, vec![1i32; 5], &[5])).unwrap();
    same(&x, &h.data);
    let mut x = new();
    x.slice_mut(s![2, 3, 4]).update(|v| v + 1).unwrap();
    same(&x.slice(s![2, 3, 4]), &[60i32]);
    same(&x.sum(..), &[59i64 * 30 + 1]);
    // values that are a reduction, product, concat, reshape or transpose, written to a part
    let mut x = new();
    x.set(s![0], put(d, h.data.clone(), &[3, 4, 5]).sum(0)).unwrap();
    same(&x.slice(s![0, 1]), &[75i32, 78, 81, 84, 87]);
    let mut x = new();
    x.set(s![.., .., 0], put(d, vec![1i32, 2, 3], &[3, 1]).matmul(put(d, vec![1i32, 10, 100, 1000], &[1, 4]))).unwrap();
    same(&x, &Host::of(&[3, 4, 5], |i| if i[2] == 0 { (i[0] as i32 + 1) * 10i32.pow(i[1] as u32) } else { h.at(i) }).data);
    let mut x = new();
    let v = put(d, (0..20).collect::<Vec<i32>>(), &[5, 4]);
    x.set(s![1, ..;-1], v.t()).unwrap();
    same(&x.slice(s![1]), &Host::of(&[4, 5], |i| (i[1] * 4 + 3 - i[0]) as i32).data);
    let mut x = new();
    x.set(s![.., .., 1], v.t().reshape([20]).slice(s![..12]).reshape([3, 4])).unwrap();
    same(&x.slice(s![.., .., 1]), &Host::of(&[3, 4], |i| { let f = i[0] * 4 + i[1]; ((f % 5) * 4 + f / 5) as i32 }).data);
    let mut x = new();
    x.set(s![.., ..;2, 1], (v.t() + 0).reshape([20]).slice(s![..6]).reshape([3, 2])).unwrap();
    same(&x.slice(s![.., ..;2, 1]), &Host::of(&[3, 2], |i| { let f = i[0] * 2 + i[1]; ((f % 5) * 4 + f / 5) as i32 }).data);
    let mut x = new();
    x.set(s![.., 2, ..], concat([&v.slice(s![..1, ..3]).t().reshape([3, 1]) , &v.slice(s![..3, ..])], 1)).unwrap();
    same(&x.slice(s![1, 2]), &[1i32, 4, 5, 6, 7]);
    let mut x = new();
    x.assign(Rng::new(1).integers(0, 10, [3, 4, 5], I32)).unwrap();
    same(&x, &Rng::new(1).integers(0, 10, [3, 4, 5], I32).to_vec::<i32>().unwrap());
    let mut f = new().t().eval().unwrap();
    f.assign(Rng::new(1).integers(0, 10, [5, 4, 3], I32)).unwrap();
    same(&f, &Rng::new(1).integers(0, 10, [5, 4, 3], I32).to_vec::<i32>().unwrap());
    let mut x = new();
    x.set(s![0], zeros([4, 5], I32)).unwrap();
    x.set(s![1], eye(5, I32).slice(s![1..])).unwrap();
    same(&x.slice(s![1, 0]), &[0i32, 1, 0, 0, 0]);
    // a row kernel that writes to a strided part
    let mut y = put(d, noise(1, 60), &[3, 4, 5]);
    let soft = y.slice(s![.., 1]).softmax(-1).to_vec::<f32>().unwrap();
    y.set(s![.., 1], y.slice(s![.., 1]).softmax(-1)).unwrap();
    same(&y.slice(s![.., 1]), &soft);
    let want = y.slice(s![.., .., ..;2]).std(0).to_vec::<f32>().unwrap();
    y.set(s![0, .., ..;2], y.slice(s![.., .., ..;2]).std(0)).unwrap();
    same(&y.slice(s![0, .., ..;2]), &want);
    let want = y.slice(s![2]).matmul(y.slice(s![2]).t()).to_vec::<f32>().unwrap();
    y.set(s![2, .., ..;-1], concat([y.slice(s![2]).matmul(y.slice(s![2]).t()), zeros([4, 1], F32)], 1)).unwrap();
    near(&y.slice(s![2, .., ..;-1]).slice(s![.., ..4]), &want.iter().map(|v| *v as f64).collect::<Vec<_>>(), |_| 1e-6);
}

fn the_value_broadcasts_never_the_target(d: &Device) {
    let mut x = put(d, vec![0f32; 6], &[2, 3]);
    x.assign(put(d, vec![1f32, 2.0, 3.0], &[3])).unwrap();
    same(&x, &[1f32, 2.0, 3.0, 1.0, 2.0, 3.0]);
    x.assign(put(d, vec![1f32, 2.0], &[2, 1])).unwrap();
    same(&x, &[1f32, 1.0, 1.0, 2.0, 2.0, 2.0]);
    x.assign(put(d, vec![9f32], &[])).unwrap();
    same(&x, &[9f32; 6]);
    for bad in [put(d, vec![1f32, 2.0], &[2]), put(d, vec![0f32; 12], &[2, 2, 3]), put(d, vec![0f32; 6], &[1, 2, 3]), put(d, vec![0f32; 0], &[0])] {
        let e = x.assign(&bad).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Shape, "{e}");
        assert!(e.to_string().starts_with("assign: ") && e.to_string().contains("writes.rs"), "{e}");
    }
    same(&x, &[9f32; 6]);
    assert!(x.set(s![0], put(d, vec![0f32; 2], &[2])).unwrap_err().to_string().starts_with("set: "));
    assert!(x.update(|x| x.sum(keep(0)).t()).unwrap_err().to_string().starts_with("update: "));
    // writing to a broadcast or window view first gives each element its own memory
    let mut b = put(d, vec![1i32, 2], &[2, 1]).broadcast_to([2, 3]).eval().unwrap();
    b.set(s![0, 1], 9).unwrap();
    same(&b, &[1i32, 9, 1, 2, 2, 2]);
    let mut b = put(d, vec![1i32, 2], &[2]).broadcast_to([3, 2]).eval().unwrap();
    b.update(|b| b + arange(0, 3, 1, I32).expand_dims(1)).unwrap();
    same(&b, &[1i32, 2, 2, 3, 3, 4]);
    let line = put(d, (0..6).collect::<Vec<i32>>(), &[6]);
    let mut w = line.sliding_windows(3, 0).eval().unwrap();
    w.set(s![1], 0).unwrap();
    same(&w, &[0i32, 1, 2, 0, 0, 0, 2, 3, 4, 3, 4, 5]);
    w.assign(w.flip(0) * 10).unwrap();
    same(&w.slice(s![0]), &[30i32, 40, 50]);
    same(&line, &[0i32, 1, 2, 3, 4, 5]);
    let mut g = line.broadcast_to([2, 6]).eval().unwrap();
    g.slice_mut(s![1, ..;2]).update(|v| v * 2 + 1).unwrap();
    same(&g, &[0i32, 1, 2, 3, 4, 5, 1, 1, 5, 3, 9, 5]);
}

fn casts_are_same_kind(d: &Device) {
    // the pairs (from, to) that NumPy's can_cast(…, "same_kind") allows, written by hand
    let rank = |t: DType| match t { Bool => 0, U8 | U16 | U32 | U64 => 1, I8 | I16 | I32 | I64 => 2, _ => 3 };
    for from in DType::ALL {
        for to in DType::ALL {
            if !has(d, from) || !has(d, to) { continue }
            let mut x = zeros([2], to).to_device(d).unwrap();
            let v = ones([2], from).to_device(d).unwrap();
            let ok = rank(from) <= rank(to);
            let r = x.assign(&v);
            assert_eq!(r.is_ok(), ok, "{from} into {to}: {r:?}");
            if let Err(e) = r {
                assert_eq!(e.kind(), ErrorKind::DType);
                assert!(e.to_string().contains(from.name()) && e.to_string().contains(to.name()), "{e}");
                assert_eq!(x.astype(F32).to_vec::<f32>().unwrap(), [0.0; 2]);
            } else {
                assert_eq!(x.dtype(), to);
                assert_eq!(x.astype(F32).to_vec::<f32>().unwrap(), [1.0; 2], "{from} into {to}");
            }
        }
    }
    // literals take the target's dtype if they fit
    let mut u = put(d, vec![0u8; 2], &[2]);
    u.assign(255).unwrap();
    assert!(u.assign(256).is_err());
    assert!(u.assign(-1).is_err());
    assert!(u.assign(0.5).is_err());
    assert!(u.fill(0.5).is_err());
    assert!(u.fill(300).is_err());
    same(&u, &[255u8; 2]);
    u.assign(true).unwrap();
    same(&u, &[1u8; 2]);
    let mut b = put(d, vec![false; 2], &[2]);
    b.fill(true).unwrap();
    same(&b, &[true; 2]);
    assert!(b.assign(put(d, vec![1u8; 2], &[2])).is_err());
    let mut h = put(d, vec![f16::from_f32(0.0); 2], &[2]);
    h.assign(put(d, vec![1f32 / 3.0, 70000.0], &[2])).unwrap();
    same(&h, &[f16::from_f32(1.0 / 3.0), f16::INFINITY]);
    h.fill(0.1).unwrap();
    same(&h, &[f16::from_f64(0.1); 2]);
    let mut i = put(d, vec![0i8; 3], &[3]);
    i.assign(put(d, vec![300i32, -129, 5], &[3])).unwrap();
    same(&i, &[300i32 as i8, -129i32 as i8, 5]);
    i.assign(put(d, vec![300i32, -129, 5], &[3]).astype(I8) + 1).unwrap();
    let mut f = put(d, vec![0f32; 2], &[2]);
    f.assign(put(d, vec![16_777_217i32, 1], &[2])).unwrap();
    same(&f, &[16_777_216f32, 1.0]);
    // a 0-d array is not a literal: its dtype counts, and its value is already rounded to that dtype
    let z = zeros((), F16).to_device(d).unwrap();
    f.assign(full_like(&z, 0.1)).unwrap();
    same(&f, &[f16::from_f64(0.1).to_f32(); 2]);
    let mut u = put(d, vec![7u8; 2], &[2]);
    assert!(u.assign(zeros((), F32)).is_err(), "a float array of no axes into u8");
    assert!(u.assign(full((), 1, I32)).is_err(), "an i32 array of no axes into u8");
}

fn a_reshape_into_gaps(d: &Device) {
    // the reshape is not a view of the target, so the value is computed in separate memory
    let y = put(d, (0..12).collect::<Vec<i32>>(), &[6, 2]);
    let mut t = put(d, vec![-1i32; 24], &[3, 8]);
    t.slice_mut(s![.., ..4]).assign((&y + 1).reshape([3, 4])).unwrap();
    same(&t.slice(s![.., ..4]), &(1..13).collect::<Vec<i32>>());
    t.slice_mut(s![.., ..4]).assign((&y + 1).t().reshape([3, 4])).unwrap();
    same(&t.slice(s![.., ..4]), &[1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12]);
    same(&t.slice(s![.., 4..]), &[-1; 12]);
}

fn a_failed_write_changes_nothing(d: &Device) {
    // a device of its own, because another test's read could return a late error
    let d = &own(d);
    let mut x = put(d, vec![1i32, 2, 3, 4], &[2, 2]);
    let bad = &x + put(d, vec![1i32; 3], &[3]);
    let e = x.assign(bad).unwrap_err();
    assert!(e.to_string().starts_with("add: "), "{e}");
    assert!(x.set(s![5], 1).unwrap_err().to_string().contains("index 5"));
    assert!(x.slice_mut(s![.., .., 0]).fill(1).is_err());
    assert!(x.slice_mut(s![..;0]).update(|v| v * 2).is_err());
    assert!(x.slice_mut(s![9]).assign(1).is_err());
    assert!(x.update(|x| x + array![1.5]).is_err());
    same(&x, &[1i32, 2, 3, 4]);
    // an array whose elements share memory is not copied for a write that fails
    let mut z = put(d, vec![1i32], &[1, 1]).broadcast_to([100_000, 100_000]).eval().unwrap();
    assert_eq!(z.set(s![0], array![1, 2]).unwrap_err().kind(), ErrorKind::Shape);
    assert!(z.slice_mut(s![0]).try_update(|v| v.dims().map(|[_, _]| v.clone())).is_err() && !z.is_contiguous());
    // an index out of range: nothing is written, neither at that element nor at the others
    let mut y = put(d, vec![7u8; 9], &[9]);
    let src = put(d, vec![1u8, 2, 3], &[3]);
    let r = y.slice_mut(s![2..5]).assign(src.take(put(d, vec![0i32, 5, 2], &[3]), 0));
    let late = d.synchronize();
    assert!(r.is_err() || late.is_err());
    let v = y.to_vec::<u8>().unwrap();
    assert_eq!(v, [7; 9]);
    let other = d.with_memory_limit(1 << 30).unwrap();
    let far = put(&other, vec![1i32; 2], &[2]);
    assert_eq!(x.assign(&far).unwrap_err().kind(), ErrorKind::DeviceMismatch);
    assert_eq!((&x + &far).eval().unwrap_err().kind(), ErrorKind::DeviceMismatch);
    same(&x, &[1i32, 2, 3, 4]);
}

fn writes_to_transposed_and_reversed_arrays(d: &Device) {
    let h = Host::of(&[3, 4], |i| (i[0] * 4 + i[1]) as i32);
    for (name, make) in [
        ("t", (|x: &Expr| x.t()) as fn(&Expr) -> Expr), ("flip", |x| x.flip(..)), ("flip t", |x| x.flip(0).t()), ("steps", |x| x.slice(s![..;2, ..;-2])), ("diagonal", |x| x.diagonal(1)), ("part", |x| x.slice(s![1.., 1..3])),
    ] {
        let base = put(d, h.data.clone(), &[3, 4]);
        let want = make(&base).to_vec::<i32>().unwrap();
        // with and without the base array alive
        for alone in [true, false] {
            let base = put(d, h.data.clone(), &[3, 4]);
            let mut v = make(&base).eval().unwrap();
            let kept = if alone { drop(base); None } else { Some(base) };
            println!("{name} alone {alone}");
            v.update(|v| v * 2 + 1).unwrap();
            same(&v, &want.iter().map(|v| v * 2 + 1).collect::<Vec<_>>());
            let n = v.shape()[0];
            v.slice_mut(s![..1]).fill(0).unwrap();
            same(&v.slice(s![..1]).sum(..), &[0i64]);
            if n > 1 { same(&v.slice(s![1..]), &want[want.len() / n..].iter().map(|v| v * 2 + 1).collect::<Vec<_>>()); }
            v.assign(v.flip(0)).unwrap();
            if n > 1 { same(&v.slice(s![n - 1]).sum(..), &[0i64]); }
            if let Some(b) = kept { same(&b, &h.data); }
        }
    }
}

fn many_writes_from_threads(d: &Device) {
    let x = put(d, vec![1i32; 1000], &[1000]);
    std::thread::scope(|s| {
        for t in 0..8 {
            let mut x = x.clone();
            s.spawn(move || {
                for _ in 0..50 { x.update(|x| x + t).unwrap(); }
                same(&x, &vec![1 + 50 * t; 1000]);
            });
        }
    });
    same(&x, &vec![1i32; 1000]);
}

fn nothing_leaks(d: &Device) {
    let d = own(d);
    let mut x = put(&d, noise(1, 1000), &[1000]);
    let used = |d: &Device| { d.synchronize().unwrap(); d.memory().used };
    x.assign(&x * 0.5).unwrap();
    let before = used(&d);
    for i in 0..300 {
        x.assign(&x * 0.5 + 1.0).unwrap();
        let y = x.clone();
        x.assign(x.flip(0)).unwrap();
        drop(y);
        let e = (&x - x.mean(..)).softmax(0);
        e.eval().unwrap();
        x.set(s![..10], x.slice(s![10..20])).unwrap();
        let _ = x.set(s![2000], 1.0);
        if i % 50 == 0 { let _ = x.take(put(&d, vec![5000i32], &[1]), 0).to_vec::<f32>(); }
    }
    assert_eq!(used(&d), before);
    drop(x);
    assert!(used(&d) < before);
}
}
