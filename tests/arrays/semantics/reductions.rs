//! Reductions and functions of rows, for many lengths and along all axes.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

pub fn sums_over_every_set_of_axes(d: &Device) {
    let shape = [3usize, 4, 5, 2];
    let host = Host::of(&shape, |i| (i[0] * 40 + i[1] * 10 + i[2] * 2 + i[3]) as i32 % 17 - 8);
    let stored = put(d, host.data.clone(), &shape);
    for perm in [[0usize, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let h = host.permute(&perm);
        let x = stored.permute_dims(perm.map(|a| a as i32)).eval().unwrap();
        for set in 0..16usize {
            let axes: Vec<isize> = (0..4).filter(|a| set >> a & 1 == 1).map(|a| a as isize).collect();
            let kept: Vec<usize> = (0..4).filter(|a| set >> a & 1 == 0).collect();
            let out: Vec<usize> = kept.iter().map(|a| h.shape[*a]).collect();
            let group = |f: &dyn Fn(i32, i32) -> i32, start: i32| {
                Host::of(&out, |o| {
                    every_index(&h.shape)
                        .iter()
                        .filter(|i| kept.iter().zip(o).all(|(k, v)| i[*k] == *v))
                        .fold(start, |a, i| f(a, h.at(i)))
                })
            };
            let sum = group(&|a, b| a + b, 0);
            // sums are accumulated in 64 bits without wrapping, and these fit 32 bits
            let e = x.sum(&axes[..]).astype(I32);
            assert_eq!(e.shape().unwrap(), out, "{perm:?} {axes:?}");
            same(&e, &sum.data);
            let k = x.sum(keep(&axes[..])).astype(I32);
            let kept_shape: Vec<usize> = (0..4).map(|a| if set >> a & 1 == 1 { 1 } else { h.shape[a] }).collect();
            assert_eq!(k.shape().unwrap(), kept_shape);
            same(&k, &sum.data);
            same(&x.max(&axes[..]), &group(&|a, b| a.max(b), i32::MIN).data);
            same(&x.min(&axes[..]), &group(&|a, b| a.min(b), i32::MAX).data);
            same(&(&x.astype(F32) * 0.5).sum(&axes[..]), &sum.map(|v| v as f32 * 0.5).data);
            same(&x.flip(0).slice(s![..;-1]).sum(&axes[..]).astype(I32), &sum.data);
        }
        let neg = x.sum([-1, 0]);
        same(&neg, &x.sum([0, 3]).to_vec::<i64>().unwrap());
    }
}

pub fn positions_of_extrema(d: &Device) {
    let x = put(d, vec![1f32, 3.0, 3.0, 0.0, 0.0, 2.0], &[2, 3]);
    same(&x.argmax(1), &[1i64, 2]);
    same(&x.argmin(1), &[0i64, 0]);
    same(&x.argmax(0), &[0i64, 0, 0]);
    same(&x.argmin(0), &[1i64, 1, 1]);
    same(&x.argmax(..), &[1i64]);
    same(&x.argmin(..), &[3i64]);
    same(&x.t().argmax(..), &[2i64]);
    same(&x.flip(..).argmax(..), &[3i64]);
    assert_eq!(x.argmax(keep(..)).shape().unwrap(), [1, 1]);
    assert_eq!(x.argmax(keep(-1)).shape().unwrap(), [2, 1]);
    let n = put(d, vec![1f32, f32::NAN, 9.0, f32::NAN, f32::INFINITY, 0.0], &[2, 3]);
    same(&n.argmax(1), &[1i64, 0]);
    same(&n.argmin(1), &[1i64, 0]);
    same(&n.argmin(..), &[1i64]);
    same(&n.max(1), &[f32::NAN, f32::NAN]);
    same(&n.min(0), &[f32::NAN, f32::NAN, 0.0]);
    same(&put(d, vec![-0.0f32, 0.0, -0.0], &[3]).argmax(0), &[0i64]);
    same(&put(d, vec![0.0f32, -0.0], &[2]).argmin(0), &[0i64]);
    same(&put(d, vec![f32::NEG_INFINITY; 5], &[5]).argmax(0), &[0i64]);
    same(&put(d, vec![i32::MIN; 5], &[5]).argmax(0), &[0i64]);
    same(&put(d, vec![u32::MAX; 5], &[5]).argmin(0), &[0i64]);
    same(&put(d, vec![false, true, true], &[3]).argmax(0), &[1i64]);
    same(&put(d, vec![5u8, 200, 200, 1], &[4]).argmax(0), &[1i64]);
    same(&put(d, vec![7f32], &[]).argmax(..), &[0i64]);
    // equal elements and NaNs that lie far apart, in different vector lanes and threads
    for n in [15usize, 16, 17, 2047, 2048, 2049, 4096, 16 * 128 * 3, 100_003, 300_000] {
        let mut v = vec![1f32; n];
        v[n / 2] = 5.0;
        v[n - 1] = 5.0;
        same(&put(d, v.clone(), &[n]).argmax(0), &[(n / 2) as i64]);
        same(&put(d, v.clone(), &[n]).argmin(0), &[0i64]);
        same(&put(d, v.clone(), &[n, 1]).argmax(0), &[(n / 2) as i64]);
        v[n - 2] = f32::NAN;
        same(&put(d, v.clone(), &[n]).argmax(0), &[n as i64 - 2]);
        same(&put(d, v.clone(), &[n]).argmin(..), &[n as i64 - 2]);
        same(&put(d, v.clone(), &[n]).max(0), &[f32::NAN]);
        v[n / 3] = f32::NAN;
        same(&put(d, v.clone(), &[n]).argmax(0), &[(n / 3) as i64]);
        same(&put(d, v.clone(), &[n]).flip(0).argmax(0), &[1i64]);
        let two = concat([put(d, vec![0f32; n], &[n, 1]), put(d, v.clone(), &[n, 1])], 1);
        same(&two.argmax(0), &[0i64, (n / 3) as i64]);
        same(&two.argmax(..), &[(2 * (n / 3) + 1) as i64]);
    }
}

pub fn empty_and_0d_reductions(d: &Device) {
    let e = put::<f32>(d, vec![], &[0]);
    same(&e.sum(..), &[0f32]);
    same(&e.sum(0), &[0f32]);
    same(&e.prod(..), &[1f32]);
    same(&e.any(..), &[false]);
    same(&e.all(..), &[true]);
    same(&e.count_nonzero(..), &[0i64]);
    same(&e.logsumexp(..), &[f32::NEG_INFINITY]);
    for x in [e.mean(..), e.var(..), e.std(..), e.mean(0)] {
        same(&x, &[f32::NAN]);
    }
    for x in [e.min(..), e.max(0), e.argmin(..), e.argmax(0)] {
        let err = x.eval().unwrap_err();
        assert_eq!(err.kind(), ErrorKind::Shape, "{err}");
    }
    same(&e.softmax(-1), &[] as &[f32]);
    same(&e.log_softmax(-1), &[] as &[f32]);
    same(&e.layer_norm(-1, 1e-5), &[] as &[f32]);
    same(&e.rms_norm(-1, 1e-5), &[] as &[f32]);
    let m = put::<i32>(d, vec![], &[0, 3]);
    same(&m.sum(0), &[0i64; 3]);
    same(&m.sum(1), &[] as &[i64]);
    same(&m.max(1), &[] as &[i32]);
    same(&m.argmax(1), &[] as &[i64]);
    assert!(m.max(0).eval().is_err());
    same(&m.prod(keep(0)), &[1i64; 3]);
    assert_eq!(m.sum(keep(..)).shape().unwrap(), [1, 1]);
    same(&m.astype(F32).logsumexp(0), &[f32::NEG_INFINITY; 3]);
    let t = put::<f32>(d, vec![], &[2, 0, 2]);
    same(&t.mean(1), &[f32::NAN; 4]);
    same(&t.sum([0, 1]), &[0f32; 2]);
    same(&t.all(1), &[true; 4]);
    // 0-d arrays
    let z = put(d, vec![3f32], &[]);
    same(&z.sum(..), &[3f32]);
    same(&z.max(..), &[3f32]);
    same(&z.mean(..), &[3f32]);
    same(&z.var(..), &[0f32]);
    same(&z.argmin(..), &[0i64]);
    same(&z.softmax(..), &[1f32]);
    assert_eq!(z.sum(..).ndim().unwrap(), 0);
    for x in [z.sum(0), z.max(-1), z.argmax(0), z.softmax(-1)] {
        assert_eq!(x.eval().unwrap_err().kind(), ErrorKind::Axis);
    }
    same(&z.sum(&[] as &[isize]), &[3f32]);
}

pub fn long_sums_are_within_the_bound(d: &Device) {
    for n in [1usize, 15, 16, 17, 127, 128, 129, 2047, 2048, 2049, 16 * 128 * 5, 100_000, 1_000_000] {
        let v = noise(n as u64, n);
        let exact: f64 = v.iter().map(|x| *x as f64).sum();
        let size: f64 = v.iter().map(|x| x.abs() as f64).sum();
        let bound = ((n as f64).log2().ceil() + 16.0) * 2f64.powi(-24) * size + 1e-30;
        let x = put(d, v.clone(), &[n]);
        near(&x.sum(..), &[exact], |_| bound);
        near(&x.mean(..), &[exact / n as f64], |w| bound / n as f64 + w.abs() * 1e-7);
        near(&x.flip(0).sum(0), &[exact], |_| bound);
        near(&x.expand_dims(1).sum(0), &[exact], |_| bound);
        near(&(&x * 2.0).sum(..), &[exact * 2.0], |_| bound * 2.0);
        // every other element
        let odd: f64 = v.iter().skip(1).step_by(2).map(|x| *x as f64).sum();
        near(&x.slice(s![1..;2]).sum(..), &[odd], |_| bound);
        let ints: Vec<i32> = v.iter().map(|x| (*x * 1e9) as i32).collect();
        let want: i64 = ints.iter().map(|v| *v as i64).sum();
        same(&put(d, ints.clone(), &[n]).sum(..), &[want]);
        same(&put(d, ints.clone(), &[n]).max(..), &[*ints.iter().max().unwrap()]);
        if n <= 100_000 {
            let cols = put(d, v.iter().flat_map(|x| [*x, -x, 2.0 * x]).collect::<Vec<_>>(), &[n, 3]);
            near(&cols.sum(0), &[exact, -exact, 2.0 * exact], |_| 2.0 * bound);
            near(&cols.t().sum(1), &[exact, -exact, 2.0 * exact], |_| 2.0 * bound);
            near(&cols.reshape([1, n, 3]).sum(1), &[exact, -exact, 2.0 * exact], |_| 2.0 * bound);
        }
    }
    // many rows, many columns, middle axes
    for (a, b, c) in [(3usize, 2049usize, 5usize), (300, 7, 300), (1, 100_000, 2), (2049, 3, 17), (64, 64, 64)] {
        let v = noise(7, a * b * c);
        let x = put(d, v.clone(), &[a, b, c]);
        let mut mid = vec![0f64; a * c];
        let mut first = vec![0f64; b * c];
        let mut last = vec![0f64; a * b];
        let mut ends = vec![0f64; b];
        for i in 0..a {
            for j in 0..b {
                for k in 0..c {
                    let t = v[(i * b + j) * c + k] as f64;
                    mid[i * c + k] += t;
                    first[j * c + k] += t;
                    last[i * b + j] += t;
                    ends[j] += t;
                }
            }
        }
        let bound = |n: usize| move |_: f64| ((n as f64).log2().ceil() + 16.0) * 2f64.powi(-24) * n as f64;
        near(&x.sum(1), &mid, bound(b));
        near(&x.sum(0), &first, bound(a));
        near(&x.sum(2), &last, bound(c));
        near(&x.sum([0, 2]), &ends, bound(a * c));
        near(&x.t().sum(1), &Host { shape: vec![a, c], data: mid.clone() }.permute(&[1, 0]).data, bound(b));
        near(&x.permute_dims([1, 0, 2]).sum(0), &mid, bound(b));
    }
}

pub fn sums_do_not_depend_on_fusion(d: &Device) {
    // a GPU driver may contract a product and a sum to an fma; these views contain no product
    let a = put(d, noise(1, 40 * 33 * 6), &[40, 33, 6]);
    type View = fn(&Expr) -> Expr;
    let views: [View; 10] = [
        |x| x.t(),
        |x| x.slice(s![..;-1, 3.., ..;2]),
        |x| x.slice(s![.., 1..2]).broadcast_to([40, 33, 6]),
        |x| x.slice(s![0]).broadcast_to([4, 33, 6]),
        |x| x.slice(s![.., .., 0]).expand_dims(2).broadcast_to([40, 33, 5]),
        |x| x.permute_dims([1, 0, 2]),
        |x| x.slice(s![.., 0]).sliding_windows(7, 0),
        |x| x.reshape([33, 40, 6]),
        |x| x.t().reshape([40, 33, 6]),
        |x| x.flip(..).slice(s![..1]),
    ];
    for (n, view) in views.iter().enumerate() {
        let fused = |x: &Expr| view(&(x.abs() - 0.5));
        let stored = (a.abs() - 0.5).eval().unwrap();
        let dense = fused(&a).eval().unwrap();
        for axes in [&[0isize][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2]] {
            let want = fused(&a).sum(axes).to_vec::<f32>().unwrap();
            println!("view {n}, axes {axes:?}");
            same(&view(&stored).sum(axes), &want);
            same(&view(&stored).eval().unwrap().sum(axes), &want);
            same(&dense.sum(axes), &want);
        }
    }
}

pub fn spread_with_a_large_mean(d: &Device) {
    for n in [2usize, 17, 1000, 2049, 100_000, 1_000_000] {
        let v: Vec<f32> = noise(n as u64 + 1, n).iter().map(|x| x + 1e4).collect();
        let mean: f64 = v.iter().map(|x| *x as f64).sum::<f64>() / n as f64;
        let var: f64 = v.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / n as f64;
        let bound = ((n as f64).log2().ceil() + 16.0) * 2f64.powi(-23);
        let x = put(d, v.clone(), &[n]);
        near(&x.var(..), &[var], |w| w * bound);
        near(&x.var(0), &[var], |w| w * bound);
        near(&x.std(..), &[var.sqrt()], |w| w * bound);
        near(&x.var_corrected(0, 1.0), &[var * n as f64 / (n as f64 - 1.0)], |w| w * bound);
        near(&x.reshape([n, 1]).var(0), &[var], |w| w * bound);
        near(&(&x * 1.0).expand_dims(0).var(1), &[var], |w| w * bound);
        if n <= 100_000 {
            let two = stack([&x, &(&x * 2.0).eval().unwrap()], 1);
            near(&two.var(0), &[var, 4.0 * var], |w| w * bound);
        }
    }
    same(&put(d, vec![1f32], &[1]).var_corrected(0, 1.0), &[f32::NAN]);
    near(&put(d, vec![1i32, 2, 3, 4], &[4]).std(..), &[1.25f64.sqrt()], |w| w * 1e-6);
}

pub fn softmax_and_its_kin(d: &Device) {
    let inf = f32::INFINITY;
    let x = put(
        d,
        vec![1f32, 2.0, 3.0, -inf, 0.0, 0.0, -inf, -inf, -inf, inf, 0.0, 1.0, 1e30, 1e30, 0.0, f32::NAN, 0.0, 0.0],
        &[6, 3],
    );
    let p = x.softmax(-1).to_vec::<f32>().unwrap();
    assert_eq!(p[3..6], [0.0, 0.5, 0.5]);
    assert!(p[6..12].iter().all(|v| v.is_nan() || *v == 0.0), "{p:?}");
    assert!(p[6].is_nan() && p[9].is_nan());
    assert_eq!(p[12..15], [0.5, 0.5, 0.0]);
    assert!(p[15..].iter().all(|v| v.is_nan()));
    let l = x.log_softmax(-1).to_vec::<f32>().unwrap();
    assert!(l[3] == -inf && (l[4] + 0.5f32.ln().abs()).abs() < 1e-6);
    let s = x.logsumexp(-1).to_vec::<f32>().unwrap();
    assert!((s[0] as f64 - (1f64.exp() + 2f64.exp() + 3f64.exp()).ln()).abs() < 1e-6);
    assert!((s[1] - 2f32.ln()).abs() < 1e-6);
    assert_eq!(s[2], -inf);
    assert_eq!(s[3], inf);
    assert_eq!(s[4], 1e30);
    assert!(s[5].is_nan());
    assert_eq!(x.logsumexp(keep(1)).shape().unwrap(), [6, 1]);
    // rows of many lengths along both axes, some longer than a row kernel takes
    for n in [1usize, 2, 17, 1000, 4096, 65_535, 65_536, 65_537, 200_000, 1_000_000] {
        let rows = if n > 10_000 { 2 } else { 5 };
        let v: Vec<f32> = noise(n as u64, n * rows).iter().map(|x| x * 10.0).collect();
        let x = put(d, v.clone(), &[rows, n]);
        let (mut soft, mut log, mut lse, mut norm, mut rms) = (vec![], vec![], vec![], vec![], vec![]);
        for r in v.chunks(n) {
            let r: Vec<f64> = r.iter().map(|x| *x as f64).collect();
            let m = r.iter().cloned().fold(f64::NEG_INFINITY, f64::max);
            let s: f64 = r.iter().map(|x| (x - m).exp()).sum();
            soft.extend(r.iter().map(|x| (x - m).exp() / s));
            log.extend(r.iter().map(|x| x - m - s.ln()));
            lse.push(m + s.ln());
            let mean = r.iter().sum::<f64>() / n as f64;
            let var = r.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            norm.extend(r.iter().map(|x| (x - mean) / (var + 1e-5).sqrt()));
            let sq = r.iter().map(|x| x * x).sum::<f64>() / n as f64;
            rms.extend(r.iter().map(|x| x / (sq + 1e-5).sqrt()));
        }
        let eps = ((n as f64).log2().ceil() + 16.0 + 28.0) * 2f64.powi(-23);
        near(&x.softmax(-1), &soft, |w| w * eps + 1e-37);
        near(&x.log_softmax(-1), &log, |w| (w.abs() + 20.0) * 2f64.powi(-22));
        near(&x.logsumexp(-1), &lse, |w| (w.abs() + 10.0) * 2f64.powi(-22));
        near(&x.layer_norm(-1, 1e-5), &norm, |w| (w.abs() + 1.0) * eps);
        near(&x.rms_norm(-1, 1e-5), &rms, |w| w.abs() * eps);
        let t = |v: &[f64]| Host { shape: vec![rows, n], data: v.to_vec() }.permute(&[1, 0]).data;
        near(&x.t().softmax(0), &t(&soft), |w| w * eps + 1e-37);
        near(&x.t().eval().unwrap().layer_norm(0, 1e-5), &t(&norm), |w| (w.abs() + 1.0) * eps);
        if n <= 4096 {
            let c = x.t().reshape([n * rows]).eval().unwrap().reshape([n, rows]);
            near(&c.softmax(0), &t(&soft), |w| w * eps + 1e-37);
            near(&c.logsumexp(0), &lse, |w| (w.abs() + 10.0) * 2f64.powi(-22));
            near(&c.rms_norm(0, 1e-5), &t(&rms), |w| w.abs() * eps);
        }
        let total: f64 = x.softmax(-1).to_vec::<f32>().unwrap()[..n].iter().map(|v| *v as f64).sum();
        assert!((total - 1.0).abs() < 1e-4, "{n}: {total}");
    }
    // over two axes, and over all axes
    let y = put(d, noise(3, 60), &[3, 4, 5]);
    let all: f64 = y.softmax(..).to_vec::<f32>().unwrap().iter().map(|v| *v as f64).sum();
    assert!((all - 1.0).abs() < 1e-6);
    let two = y.softmax([0, 2]).sum([0, 2]);
    near(&two, &[1.0; 4], |_| 1e-6);
}
