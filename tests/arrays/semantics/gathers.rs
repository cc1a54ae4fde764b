//! Gathers and joins.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

pub fn takes(d: &Device) {
    // a device of its own, because an error that a GPU reports late could appear in another test
    let d = &own(d);
    let x = put(d, (0..24).collect::<Vec<i32>>(), &[2, 3, 4]);
    let h = Host { shape: vec![2, 3, 4], data: (0..24).collect::<Vec<i32>>() };
    let i = put(d, vec![2i32, 0, -1, -3], &[2, 2]);
    let want = Host::of(&[2, 2, 2, 4], |j| h.at(&[j[0], [2, 0, 2, 0][j[1] * 2 + j[2]], j[3]]));
    let e = x.take(&i, 1);
    assert_eq!(e.shape().unwrap(), [2, 2, 2, 4]);
    same(&e, &want.data);
    same(&x.take(&i, -2), &want.data);
    same(&x.t().take(&i, 1), &Host::of(&[4, 2, 2, 2], |j| h.at(&[j[3], [2, 0, 2, 0][j[1] * 2 + j[2]], j[0]])).data);
    same(
        &x.flip(1).take(&i, 1),
        &Host::of(&[2, 2, 2, 4], |j| h.at(&[j[0], 2 - [2, 0, 2, 0][j[1] * 2 + j[2]], j[3]])).data,
    );
    // an unevaluated source and unevaluated indices
    same(&(&x + 1).take(&i * 1, 1), &want.map(|v| v + 1).data);
    same(&x.sum(2).take(&i, 1).slice(s![0]), &[38i64, 6, 38, 6]);
    same(&(x.take(&i, 1) * 2 + 1).sum(..).astype(I32), &[want.data.iter().map(|v| v * 2 + 1).sum::<i32>()]);
    same(&x.take(1, 0), &(12..24).collect::<Vec<i32>>());
    same(&x.take(-1, 2), &[3i32, 7, 11, 15, 19, 23]);
    assert_eq!(x.take(put(d, vec![0i32; 0], &[0]), 1).shape().unwrap(), [2, 0, 4]);
    same(&x.take(put(d, vec![0i32; 0], &[0]), 1), &[] as &[i32]);
    // all index types
    let one = x.slice(s![0, 0]).eval().unwrap();
    same(&one.take(put(d, vec![3u8, 0], &[2]), 0), &[3i32, 0]);
    same(&one.take(put(d, vec![3i8, -1], &[2]), 0), &[3i32, 3]);
    same(&one.take(put(d, vec![3u16, 0], &[2]), 0), &[3i32, 0]);
    same(&one.take(put(d, vec![3u32, 0], &[2]), 0), &[3i32, 0]);
    if has(d, I64) {
        same(&one.take(put(d, vec![3i64, -4], &[2]), 0), &[3i32, 0]);
        same(&one.take(put(d, vec![3u64, 0], &[2]), 0), &[3i32, 0]);
        same(&one.take(Wrap(put(d, vec![1i64 << 33 | 1, -(1i64 << 40) - 1], &[2])), 0), &[1i32, 3]);
        same(&one.take(Clip(put(d, vec![1i64 << 33, -(1i64 << 40)], &[2])), 0), &[3i32, 0]);
        assert!(one.take(put(d, vec![1i64 << 32], &[1]), 0).to_vec::<i32>().is_err());
        assert!(one.take(put(d, vec![u64::MAX], &[1]), 0).to_vec::<i32>().is_err());
    }
    // the modes clip and wrap
    let w = put(d, vec![4i32, 5, -1, -5, i32::MIN, i32::MAX], &[6]);
    same(&one.take(Clip(&w), 0), &[3i32, 3, 0, 0, 0, 3]);
    same(&one.take(Wrap(&w), 0), &[0i32, 1, 3, 3, 0, 3]);
    let three = put(d, vec![0i32, 1, 2], &[3]);
    same(&three.take(Wrap(put(d, vec![3_000_000_001u32], &[1])), 0), &[(3_000_000_001u32 % 3) as i32]);
    same(
        &three.take(Wrap(put(d, vec![-1i32, -3, -4, i32::MIN], &[4])), 0),
        &[2i32, 0, 2, (i32::MIN as i64).rem_euclid(3) as i32],
    );
    // out of range
    for bad in [4i32, -5, i32::MAX, i32::MIN] {
        let e = one.take(put(d, vec![0, bad], &[2]), 0).to_vec::<i32>().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Index, "{e}");
        assert!(e.to_string().contains("take") && e.to_string().contains("gathers.rs"), "{e}");
        let _ = d.synchronize();
    }
    assert!(one.take(put(d, vec![0f32], &[1]), 0).eval().is_err());
    assert!(one.take(put(d, vec![true], &[1]), 0).eval().is_err());
    let none = put::<i32>(d, vec![], &[0, 2]);
    assert!(none.take(put(d, vec![0i32], &[1]), 0).to_vec::<i32>().is_err());
    assert_eq!(none.take(put(d, vec![1i32, 0, 0], &[3]), 1).shape().unwrap(), [0, 3]);
    // narrow element types at positions that are not aligned to words
    let b = put(d, (0..9).map(|i| i % 3 == 0).collect::<Vec<bool>>(), &[9]);
    same(&b.slice(s![1..]).take(put(d, vec![2i32, 3, 5], &[3]), 0), &[true, false, true]);
    let hf = put(d, (0..9).map(|i| f16::from_f32(i as f32)).collect::<Vec<f16>>(), &[9]);
    same(&hf.slice(s![1..;2]).take(put(d, vec![3i32, 0], &[2]), 0), &[f16::from_f32(7.0), f16::from_f32(1.0)]);
    let nan = put(d, vec![f32::from_bits(0x7fc1_2345), f32::from_bits(0xff80_0001)], &[2]);
    let got = nan.take(put(d, vec![1i32, 0], &[2]), 0).to_vec::<f32>().unwrap();
    assert_eq!([got[0].to_bits(), got[1].to_bits()], [0xff80_0001, 0x7fc1_2345], "a gather keeps every bit");
}

pub fn joins(d: &Device) {
    let a = put(d, vec![1i32, 2, 3, 4], &[2, 2]);
    let b = put(d, vec![5i32, 6], &[1, 2]);
    same(&concat([&a, &b], 0), &[1i32, 2, 3, 4, 5, 6]);
    same(&concat([&a, &b.t().eval().unwrap()], 1), &[1i32, 2, 5, 3, 4, 6]);
    same(&concat([&a, &b.t().eval().unwrap()], -1), &[1i32, 2, 5, 3, 4, 6]);
    same(&concat([&a.t().eval().unwrap(), &b], 0), &[1i32, 3, 2, 4, 5, 6]);
    same(&concat([&*a], 0), &[1i32, 2, 3, 4]);
    let none = put::<i32>(d, vec![], &[0, 2]);
    same(&concat([&none, &a, &none], 0), &[1i32, 2, 3, 4]);
    same(&concat([&none, &none], 0), &[] as &[i32]);
    same(&concat([&(&*a * 2), &*b], 0), &[2i32, 4, 6, 8, 5, 6]);
    same(&concat([&a.sum(0), &a.sum(1)], 0), &[4i64, 6, 3, 7]);
    same(&(concat([&*a, &*b], 0) * 2 + 1).t(), &[3i32, 7, 11, 5, 9, 13]);
    same(&concat([&a, &a, &a], 1).slice(s![1, ..;-1]), &[4i32, 3, 4, 3, 4, 3]);
    same(&concat([&a.flip(0), &a.slice(s![..1])], 0), &[3i32, 4, 1, 2, 1, 2]);
    let e = concat([a.astype(U8), b.astype(F16)], 0);
    assert_eq!(e.dtype().unwrap(), F16);
    same(&stack([&a, &a], 0), &[1i32, 2, 3, 4, 1, 2, 3, 4]);
    same(&stack([&a, &a], -1), &[1i32, 1, 2, 2, 3, 3, 4, 4]);
    same(&stack([&a, &a], 1), &[1i32, 2, 1, 2, 3, 4, 3, 4]);
    assert_eq!(stack([put(d, vec![1f32], &[]), put(d, vec![2f32], &[])], 0).shape().unwrap(), [2]);
    same(&concat((0..100).map(|i| &*a + i), 0).sum(..).astype(I32), &[(0..100).map(|i| 10 + 4 * i).sum::<i32>()]);
    let m = concat([&a.matmul(&a), &(a.matmul(&a) + 1)], 0);
    same(&m, &[7i32, 10, 15, 22, 8, 11, 16, 23]);
    same(&concat([concat([&*a, &*b], 0), concat([&*b, &*a], 0)], 1), &[1i32, 2, 5, 6, 3, 4, 1, 2, 5, 6, 3, 4]);
    for e in [
        concat(Vec::<Expr>::new(), 0),
        concat([&*a, &*b], 1),
        concat([&*a], 2),
        concat([&*a], -3),
        stack([&*a, &*b], 0),
        stack(Vec::<Expr>::new(), 0),
        concat([1.0, 2.0], 0),
    ] {
        assert!(e.eval().is_err());
    }
}
