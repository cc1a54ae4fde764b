//! Products of matrices, and of batches of matrices.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

#[allow(clippy::too_many_lines, reason = "a line for each layout")]
pub fn products_of_matrices(d: &Device) {
    let sizes = [
        (1usize, 1usize, 1usize),
        (1, 5, 1),
        (2, 3, 4),
        (7, 1, 9),
        (17, 33, 5),
        (64, 64, 64),
        (65, 100, 63),
        (1, 1000, 1),
        (3, 0, 2),
        (0, 3, 2),
        (2, 3, 0),
        (130, 257, 129),
    ];
    for (m, k, n) in sizes {
        let (a, b) = (noise(1, m * k), noise(2, k * n));
        let (x, y) = (put(d, a.clone(), &[m, k]), put(d, b.clone(), &[k, n]));
        let mut want = vec![0f64; m * n];
        for i in 0..m {
            for j in 0..n {
                for l in 0..k {
                    want[i * n + j] += a[i * k + l] as f64 * b[l * n + j] as f64;
                }
            }
        }
        let bound = move |_: f64| (k as f64 / 2.0 + 16.0) * 2f64.powi(-24) * k as f64;
        near(&x.matmul(&y), &want, bound);
        near(&matmul(&x, &y), &want, bound);
        // the same matrices with other strides
        let xt = x.t().reshape([m * k]).eval().unwrap().reshape([k, m]).t();
        let yt = y.t().reshape([k * n]).eval().unwrap().reshape([n, k]).t();
        near(&xt.matmul(&y), &want, bound);
        near(&x.matmul(&yt), &want, bound);
        near(&xt.matmul(&yt), &want, bound);
        near(&x.flip(0).flip(1).matmul(y.flip(0)).flip(0), &want, bound);
        near(&(y.t().matmul(x.t())).t(), &want, bound);
        // a strided operand, an unevaluated operand
        let wide = put(d, a.iter().flat_map(|v| [*v, 9.0]).collect::<Vec<_>>(), &[m, 2 * k]);
        near(&wide.slice(s![.., ..;2]).matmul(&y), &want, bound);
        near(&(&x * 2.0).matmul(&y * 0.5), &want, bound);
        // an elementwise epilogue, which is fused into the product
        let bias = noise(5, n);
        let e = (x.matmul(&y) + put(d, bias.clone(), &[n])).relu();
        let w: Vec<f64> = want.iter().enumerate().map(|(i, v)| (v + bias[i % n] as f64).max(0.0)).collect();
        near(&e, &w, |v| bound(v) + 1e-6);
        near(&(-x.matmul(&y)).exp(), &want.iter().map(|v| (-v).exp()).collect::<Vec<_>>(), |v| {
            v * (bound(v) * 1.1 + 1e-6)
        });
        near(&x.matmul(&y).sum(0), &(0..n).map(|j| (0..m).map(|i| want[i * n + j]).sum()).collect::<Vec<f64>>(), |v| {
            (bound(v) + 1e-6) * (m as f64 + 1.0)
        });
        // 1-d operands
        if m == 1 {
            near(&x.reshape([k]).matmul(&y), &want, bound);
        }
        if n == 1 {
            near(&x.matmul(y.reshape([k])), &want, bound);
        }
        if m == 1 && n == 1 {
            let e = x.reshape([k]).matmul(y.reshape([k]));
            assert_eq!(e.shape().unwrap(), [0usize; 0]);
            near(&e, &want, bound);
        }
        // integers are exact
        let (ai, bi): (Vec<i32>, Vec<i32>) =
            (a.iter().map(|v| (v * 1e6) as i32).collect(), b.iter().map(|v| (v * 1e6) as i32).collect());
        let mut wi = vec![0i32; m * n];
        for i in 0..m {
            for j in 0..n {
                for l in 0..k {
                    wi[i * n + j] = wi[i * n + j].wrapping_add(ai[i * k + l].wrapping_mul(bi[l * n + j]));
                }
            }
        }
        let (xi, yi) = (put(d, ai, &[m, k]), put(d, bi, &[k, n]));
        same(&xi.matmul(&yi), &wi);
        same(&(yi.t().matmul(xi.t())).t(), &wi);
        let u = xi.astype(U8).matmul(yi.astype(U8));
        assert_eq!(u.dtype().unwrap(), U8);
        let h = x.astype(F16).matmul(y.astype(F16));
        assert_eq!(h.dtype().unwrap(), F16);
        near(&h, &want, |w| (k as f64) * 2f64.powi(-10) + w.abs() * 2f64.powi(-10) + 1e-6);
        let h = x.astype(BF16).matmul(y.astype(BF16));
        near(&h, &want, |w| (k as f64) * 2f64.powi(-7) + w.abs() * 2f64.powi(-7) + 1e-6);
        if has(d, F64) {
            let e = x.astype(F64).matmul(y.astype(F64));
            let got = e.to_vec::<f64>().unwrap();
            assert!(
                got.iter()
                    .zip(&want)
                    .all(|(g, w)| (g - w).abs() <= (k as f64 / 2.0 + 16.0) * 2f64.powi(-53) * k as f64)
            );
        }
    }
    for t in [Bool, I8, U8, I16, U16] {
        let x = ones([2, 300], t).to_device(d).unwrap();
        let e = x.matmul(x.t());
        assert_eq!(e.dtype().unwrap(), t);
        let want = match t {
            Bool => 1.0,
            I8 | U8 => 44.0,
            _ => 300.0,
        };
        assert_eq!(e.astype(F32).to_vec::<f32>().unwrap(), [want; 4], "{t}");
        let wide = x.astype(I32).matmul(x.t().astype(I32));
        assert_eq!(wide.to_vec::<i32>().unwrap(), [300; 4], "{t}");
    }
    // infinities and NaN propagate by the rules of IEEE 754
    let x = put(d, vec![f32::INFINITY, 1.0], &[1, 2]);
    same(&x.matmul(put(d, vec![0f32, 1.0, 1.0, 2.0], &[2, 2])), &[f32::NAN, f32::INFINITY]);
}

pub fn products_over_batches(d: &Device) {
    let cases: [(&[usize], &[usize]); 9] = [
        (&[2, 3, 4], &[2, 4, 5]),
        (&[3, 4], &[6, 4, 2]),
        (&[2, 1, 3, 4], &[5, 4, 2]),
        (&[4], &[3, 4, 2]),
        (&[3, 2, 4], &[4]),
        (&[0, 2, 3], &[3, 2]),
        (&[2, 0, 3], &[2, 3, 2]),
        (&[5, 1, 1, 7], &[1, 3, 7, 1]),
        (&[4, 2, 0], &[4, 0, 3]),
    ];
    for (sa, sb) in cases {
        let (na, nb) = (sa.iter().product(), sb.iter().product());
        let mut dice = Dice::new(4);
        let a: Vec<i32> = (0..na).map(|_| dice.between(-9, 9) as i32).collect();
        let b: Vec<i32> = (0..nb).map(|_| dice.between(-9, 9) as i32).collect();
        let (ha, hb) = (Host { shape: sa.to_vec(), data: a.clone() }, Host { shape: sb.to_vec(), data: b.clone() });
        let ra = if sa.len() == 1 { ha.reshape(&[1, sa[0]]) } else { ha };
        let rb = if sb.len() == 1 { hb.reshape(&[sb[0], 1]) } else { hb };
        let (ba, bb) = (&ra.shape[..ra.shape.len() - 2], &rb.shape[..rb.shape.len() - 2]);
        let nd = ba.len().max(bb.len());
        let pad = |s: &[usize]| [vec![1; nd - s.len()], s.to_vec()].concat();
        let batch: Vec<usize> = pad(ba).iter().zip(pad(bb)).map(|(x, y)| if *x == 1 { y } else { *x }).collect();
        let (m, k, n) = (ra.shape[ra.shape.len() - 2], ra.shape[ra.shape.len() - 1], rb.shape[rb.shape.len() - 1]);
        let fa = ra.broadcast(&[batch.clone(), vec![m, k]].concat());
        let fb = rb.broadcast(&[batch.clone(), vec![k, n]].concat());
        let full = [batch.clone(), vec![m, n]].concat();
        let want = Host::of(&full, |i| {
            let at = |r: usize, c: usize| [&i[..nd], &[r, c]].concat();
            (0..k).map(|l| fa.at(&at(i[nd], l)) * fb.at(&at(l, i[nd + 1]))).sum::<i32>()
        });
        let mut shape = batch.clone();
        if sa.len() > 1 {
            shape.push(m)
        }
        if sb.len() > 1 {
            shape.push(n)
        }
        let (x, y) = (put(d, a, sa), put(d, b, sb));
        let e = x.matmul(&y);
        assert_eq!(e.shape().unwrap(), shape, "{sa:?} {sb:?}");
        same(&e, &want.data);
        let w: Vec<f32> = want.data.iter().map(|v| *v as f32).collect();
        same(&x.astype(F32).matmul(y.astype(F32)), &w);
        same(&(x.astype(F32).eval().unwrap()).matmul(y.astype(F32).eval().unwrap()), &w);
        if sa.len() > 2 {
            // batch axes in another memory order
            let p: Vec<isize> = (0..sa.len() as isize).rev().collect();
            let x2 = x
                .t()
                .reshape([na])
                .eval()
                .unwrap()
                .reshape(sa.iter().rev().copied().collect::<Vec<usize>>())
                .permute_dims(p);
            same(&x2.astype(F32).matmul(y.astype(F32)), &w);
            same(&x2.astype(F32).eval().unwrap().matmul(y.astype(F32).eval().unwrap()), &w);
        }
    }
}
