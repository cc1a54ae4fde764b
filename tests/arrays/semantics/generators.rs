//! Generators: constants, ranges, random numbers.

use crate::kit::*;
use cupric::DType::{self, *};
use cupric::*;

pub fn generators(d: &Device) {
    same(&zeros([2, 3], F32).to_device(d).unwrap(), &[0f32; 6]);
    same(&ones([0], I8).to_device(d).unwrap(), &[] as &[i8]);
    same(&empty([3], U16).to_device(d).unwrap(), &[0u16; 3]);
    same(&full([2], 2.5, DType::F32).to_device(d).unwrap(), &[2.5f32; 2]);
    same(&full([2], 7, DType::I32).to_device(d).unwrap(), &[7i32; 2]);
    same(&full([2], true, DType::Bool).to_device(d).unwrap(), &[true; 2]);
    same(&full([2, 2], put(d, vec![1i32, 2], &[2]), DType::I32), &[1i32, 2, 1, 2]);
    same(&arange(0, 5, 1, DType::I32).to_device(d).unwrap(), &[0i32, 1, 2, 3, 4]);
    same(&arange(5, 0, -2, DType::I32).to_device(d).unwrap(), &[5i32, 3, 1]);
    same(&arange(0, 0, 1, DType::I32).to_device(d).unwrap(), &[] as &[i32]);
    same(&arange(3, 0, 1, DType::I32).to_device(d).unwrap(), &[] as &[i32]);
    same(&arange(0.0, 1.0, 0.25, DType::F32).to_device(d).unwrap(), &[0f32, 0.25, 0.5, 0.75]);
    same(&arange(i32::MAX - 2, i32::MAX, 1, DType::I32).to_device(d).unwrap(), &[i32::MAX - 2, i32::MAX - 1]);
    same(&arange(i32::MIN, i32::MAX, 1 << 30, DType::I32).to_device(d).unwrap(), &[i32::MIN, -(1 << 30), 0, 1 << 30]);
    if has(d, I64) {
        same(
            &arange(3_000_000_000i64, 3_000_000_003i64, 1, DType::I64).to_device(d).unwrap(),
            &[3_000_000_000i64, 3_000_000_001, 3_000_000_002],
        );
        same(&arange(0, 3_000_000_003i64, 3_000_000_000i64, DType::I64).to_device(d).unwrap(), &[0i64, 3_000_000_000]);
        assert!(arange(-10, u64::MAX, 1u64 << 62, DType::I64).to_device(d).is_err(), "3 · 2^62 in an i64 range");
        // only the step needs more than 31 bits
        let v = arange(i32::MIN, i32::MAX, u32::MAX - 1, DType::I32).to_device(d).unwrap();
        assert_eq!(v.astype(I64).to_vec::<i64>().unwrap(), [i32::MIN as i64, i32::MIN as i64 + u32::MAX as i64 - 1]);
    }
    same(&linspace(0.0, 1.0, 5, DType::F32).to_device(d).unwrap(), &[0f32, 0.25, 0.5, 0.75, 1.0]);
    same(&linspace(3.0, 5.0, 1, DType::F32).to_device(d).unwrap(), &[3f32]);
    same(&linspace(3.0, 5.0, 0, DType::F32).to_device(d).unwrap(), &[] as &[f32]);
    let l = linspace(-1.0, 0.1, 1000, DType::F32).to_device(d).unwrap().to_vec::<f32>().unwrap();
    assert_eq!((l[0], l[999]), (-1.0, 0.1));
    assert!(l.windows(2).all(|w| w[0] < w[1]));
    same(&eye(3, I32).to_device(d).unwrap(), &[1i32, 0, 0, 0, 1, 0, 0, 0, 1]);
    same(&eye(0, F32).to_device(d).unwrap(), &[] as &[f32]);
    same(&eye(2, Bool).to_device(d).unwrap(), &[true, false, false, true]);
    let x = put(d, vec![f16::from_f32(1.0); 2], &[2]);
    same(&zeros_like(&x), &[f16::from_f32(0.0); 2]);
    same(&ones_like(&x), &[f16::from_f32(1.0); 2]);
    same(&full_like(&x, 0.5), &[f16::from_f32(0.5); 2]);
    same(&full_like(&x, 3), &[f16::from_f32(3.0); 2]);
    assert!(full_like(&put(d, vec![1u8], &[1]), 300).eval().is_err());
    assert!(full_like(&put(d, vec![1u8], &[1]), 0.5).eval().is_err());
    assert!(arange(0, 5, 0, DType::I32).eval().is_err());
    assert!(arange(0.0, f64::NAN, 1.0, DType::F32).eval().is_err());
    assert!(arange(0.0, f64::INFINITY, 1.0, DType::F32).eval().is_err());
    assert_eq!(arange(0, 10, 3, DType::I32).t().slice(s![..;-1]).to_vec::<i32>().unwrap(), [9, 6, 3, 0]);
}

pub fn likes_live_where_their_model_does(d: &Device) {
    let d = own(d);
    let x = put(&d, vec![1f32, 2.0, 3.0, 4.0], &[2, 2]);
    for e in [zeros_like(&x), ones_like(&x), full_like(&x, 3), empty_like(&x)] {
        assert_eq!(e.eval().unwrap().device(), d);
        assert_eq!(e.t().eval().unwrap().device(), d);
        assert_eq!(e.slice(s![1..]).eval().unwrap().device(), d, "slice");
        assert_eq!(e.reshape([4]).eval().unwrap().device(), d, "reshape");
        assert_eq!(e.broadcast_to([3, 2, 2]).eval().unwrap().device(), d, "broadcast");
        assert_eq!(e.astype(I32).eval().unwrap().device(), d);
        assert_eq!(e.sum(..).eval().unwrap().device(), d);
        assert_eq!((e * 2).eval().unwrap().device(), d);
    }
    let i = x.astype(U8);
    assert_eq!(i.less(300).eval().unwrap().device(), d, "u8 < 300");
    assert_eq!(less(-1, &i).eval().unwrap().device(), d);
    assert_eq!(x.sum(&[] as &[isize]).eval().unwrap().device(), d);
    assert_eq!(x.less(f64::NAN).eval().unwrap().device(), d);
    assert_eq!(select(x.less(2), 1, 2).eval().unwrap().device(), d);
}

#[allow(clippy::too_many_lines, reason = "a line for each distribution")]
pub fn random_words_are_philox(d: &Device) {
    fn philox(c: [u32; 4], k: [u32; 2]) -> [u32; 4] {
        let (mut c, mut k) = (c, k);
        for r in 0..10 {
            if r > 0 {
                k = [k[0].wrapping_add(0x9E3779B9), k[1].wrapping_add(0xBB67AE85)];
            }
            let p0 = (c[0] as u64).wrapping_mul(0xD2511F53);
            let p1 = (c[2] as u64).wrapping_mul(0xCD9E8D57);
            c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        }
        c
    }
    assert_eq!(philox([0; 4], [0; 2])[0], 0x6627e8d5);
    let seed = 0x0123_4567_89ab_cdefu64;
    let key = [seed as u32, (seed >> 32) as u32];
    // four elements share a block of the random generator
    let word = |i: u32, stream: u32, number: u32| philox([i / 4, 0, stream, number], key)[i as usize % 4];
    let long = |i: u32, stream: u32| (word(i, stream, 0) as u64) << 32 | word(i, stream, 1) as u64;
    let mut rng = Rng::new(seed);
    for stream in 0..3u32 {
        let n = 1000usize;
        let u = rng.uniform([n], DType::F32);
        let want: Vec<f32> = (0..n as u32).map(|i| (word(i, stream, 0) >> 8) as f32 * 2f32.powi(-24)).collect();
        same(&u.to_device(d).unwrap(), &want);
    }
    let shape = [7usize, 11, 13];
    let e = rng.uniform(shape, DType::F32);
    let host = Host {
        shape: shape.to_vec(),
        data: (0..1001).map(|i| (word(i, 3, 0) >> 8) as f32 * 2f32.powi(-24)).collect::<Vec<f32>>(),
    };
    let z = zeros([1], F32).to_device(d).unwrap();
    same(&(&e + &z), &host.data);
    same(&(e.t() + &z), &host.permute(&[2, 1, 0]).data);
    same(&(e.permute_dims([1, 2, 0]) + &z), &host.permute(&[1, 2, 0]).data);
    same(&(e.slice(s![2, 3.., ..;-2]) + &z), &Host::of(&[8, 7], |i| host.at(&[2, i[0] + 3, 12 - 2 * i[1]])).data);
    same(&(e.flip(..) + &z), &host.flip(&[0, 1, 2]).data);
    same(&(e.broadcast_to([2, 7, 11, 13]) + &z), &[host.data.clone(), host.data.clone()].concat());
    same(&(e.reshape([77, 13]) + &z), &host.data);
    same(&(e.t().reshape([1001]) + &z), &host.permute(&[2, 1, 0]).data);
    same(
        &e.take(put(d, vec![6i32, 0], &[2]), 0),
        &Host::of(&[2, 11, 13], |i| host.at(&[6 - 6 * i[0], i[1], i[2]])).data,
    );
    same(&(&e - &e + &z).max(..), &[0f32]);
    let i = rng.integers(-3, 4, [10_000], DType::I32).to_device(d).unwrap();
    let want: Vec<i32> = (0..10_000u32).map(|j| ((long(j, 4) as u128 * 7) >> 64) as i32 - 3).collect();
    same(&i, &want);
    let wide = rng.integers(i32::MIN, i32::MAX, [1000], DType::I32).to_device(d).unwrap();
    let want: Vec<i32> = (0..1000u32)
        .map(|j| (((long(j, 5) as u128 * u32::MAX as u128) >> 64) as i64 + i32::MIN as i64) as i32)
        .collect();
    same(&wide, &want);
    same(&rng.integers(5, 6, [10], DType::I32).to_device(d).unwrap(), &[5i32; 10]);
    assert!(rng.integers(5, 5, [10], DType::I32).eval().is_err());
    let b = rng.bernoulli(0.3, [20_000], DType::Bool).to_device(d).unwrap().astype(F32).mean(..).item::<f32>().unwrap();
    assert!((b - 0.3).abs() < 0.02, "{b}");
    same(&rng.bernoulli(0.0, [100], DType::Bool).to_device(d).unwrap().any(..), &[false]);
    same(&rng.bernoulli(1.0, [100], DType::Bool).to_device(d).unwrap().all(..), &[true]);
    for p in [-0.1, 1.1, f64::NAN] {
        assert!(rng.bernoulli(p, [1], DType::Bool).eval().is_err());
    }
    let n = rng.normal([100_000], DType::F32).to_device(d).unwrap();
    let (m, s) = (n.mean(..).item::<f32>().unwrap(), n.std(..).item::<f32>().unwrap());
    assert!(m.abs() < 0.02 && (s - 1.0).abs() < 0.02, "{m} {s}");
    assert!(n.isfinite().all(..).item::<bool>().unwrap());
    let mut p = rng.permutation(1000).to_vec::<i64>().unwrap();
    assert!(p.iter().enumerate().filter(|(i, v)| *i as i64 == **v).count() < 20);
    p.sort();
    assert!(p.iter().enumerate().all(|(i, v)| i as i64 == *v));
    assert_eq!(rng.permutation(0).shape().unwrap(), [0]);
    // each call has its own stream; the same seed gives the same numbers; `split` gives independent generators
    let (mut a, mut b) = (Rng::new(1), Rng::new(1));
    assert_eq!(
        a.uniform([5], DType::F32).to_vec::<f32>().unwrap(),
        b.uniform([5], DType::F32).to_vec::<f32>().unwrap()
    );
    assert_ne!(
        a.uniform([5], DType::F32).to_vec::<f32>().unwrap(),
        Rng::new(1).uniform([5], DType::F32).to_vec::<f32>().unwrap()
    );
    let mut c = a.split();
    assert_ne!(
        c.uniform([5], DType::F32).to_vec::<f32>().unwrap(),
        a.uniform([5], DType::F32).to_vec::<f32>().unwrap()
    );
    assert_ne!(
        Rng::new(1).uniform([5], DType::F32).to_vec::<f32>().unwrap(),
        Rng::new(1 << 32).uniform([5], DType::F32).to_vec::<f32>().unwrap()
    );
}
