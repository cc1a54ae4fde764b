//! Graphs of operations: memory order of results, deep and wide graphs, shared nodes, several results and threads.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

pub fn results_keep_the_order_of_their_operands(d: &Device) {
    let c = put(d, noise(1, 24), &[2, 3, 4]);
    let f = c.t().eval().unwrap();
    let order = |e: &Expr| e.eval().unwrap().strides().to_vec();
    assert_eq!(order(&(&c + 1.0)), [12, 4, 1]);
    assert_eq!(order(&(&f + 1.0)), [1, 4, 12]);
    assert_eq!(order(&(&f + &f)), [1, 4, 12]);
    let c2 = put(d, noise(1, 24), &[4, 3, 2]);
    assert_eq!(order(&(&f + &c2)), [6, 2, 1], "no agreement: C");
    assert_eq!(order(&(&c + 1.0).t()), [1, 4, 12]);
    assert_eq!(order(&((&f * 2.0).exp() + 1.0)), [1, 4, 12]);
    assert_eq!(order(&(&f + put(d, noise(2, 2), &[2]))), [1, 4, 12]);
    assert_eq!(order(&(&f + put(d, noise(2, 4), &[4, 1, 1]))), [1, 4, 12]);
    assert_eq!(order(&f.slice(s![..;2, .., ..;-1]).relu()), [1, 2, 6]);
    assert_eq!(order(&f.astype(F16)), [1, 4, 12]);
    assert_eq!(order(&f.less(0)), [1, 4, 12]);
    assert_eq!(order(&select(f.less(0), 0, &f)), [1, 4, 12]);
    assert_eq!(order(&f.sum(0)), [2, 1], "every other result is C-ordered");
    assert_eq!(order(&(c.permute_dims([1, 0, 2]) + 0.0)), [4, 12, 1]);
    assert_eq!(order(&concat([&*f, &*f], 0)), [6, 2, 1]);
    assert_eq!(order(&f.reshape([24])), [1]);
    let m = put(d, noise(1, 6), &[2, 3]);
    assert_eq!(order(&m.t().matmul(&m)), [3, 1]);
    assert_eq!(order(&(m.broadcast_to([4, 2, 3]) + 0.0)), [6, 3, 1]);
    assert!((&c + 1.0).eval().unwrap().is_contiguous());
    assert!(!f.is_contiguous());
}

pub fn million_node_chain(d: &Device) {
    let mut stage = stage::Stage::new(17, "deep graphs", d);
    stage.count(5);
    let d = d.clone();
    let run = move || {
        let x = put(&d, vec![0i32, 1], &[2]);
        let mut e = &x + 0;
        for _ in 0..1_000_000 {
            e = e + 1;
        }
        same(&e, &[1_000_000i32, 1_000_001]);
        assert_eq!(e.shape().unwrap(), [2]);
        drop(e);
        // operations alternate so that none are simplified away, and a second handle keeps the graph alive
        let mut e = &x * 1.0;
        for i in 0..100_000 {
            e = if i % 2 == 0 { (e + &x).astype(F32) } else { -(e - 1.0) };
        }
        let held = e.clone();
        drop(e);
        assert!(held.eval().is_ok());
        let mut e = &x + 0;
        for _ in 0..100_000 {
            e = e.slice(s![..;-1]) * 1;
        }
        same(&e, &[0i32, 1]);
        let mut bad = &x + put(&d, vec![1i32; 3], &[3]);
        for _ in 0..100_000 {
            bad = bad + 1;
        }
        assert!(bad.eval().unwrap_err().to_string().starts_with("add: cannot broadcast shapes [2] and [3]"));
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

pub fn shared_parts_are_computed_once(d: &Device) {
    let x = put(d, vec![1f32, 3.0], &[2]);
    let mut e = &x + 0.0;
    for _ in 0..60 {
        e = &e + &e;
    }
    same(&e, &[2f32.powi(60), 3.0 * 2f32.powi(60)]);
    let mut e = &x + 0.0;
    for _ in 0..60 {
        e = (&e * 0.5).sum(keep(0)) + &e * 0.5;
    }
    assert!(e.eval().is_ok());
    let mut e = put(d, vec![1i32, 1, 1, 0], &[2, 2]) + 0;
    for _ in 0..60 {
        e = e.matmul(&e) & 0xff;
    }
    assert_eq!(e.shape().unwrap(), [2, 2]);
    assert!(e.eval().is_ok());
    let mut e = &x + 0.0;
    for _ in 0..40 {
        e = concat([&e, &e], 0).slice(s![..2]) + e.flip(0);
    }
    assert!(e.eval().is_ok());
    let mut e = &x * 0.5;
    for _ in 0..60 {
        e = e.take(put(d, vec![1i32, 0], &[2]), 0) * 0.5 + &e;
    }
    assert!(e.eval().is_ok());
    let mut e = &x * 0.25;
    for _ in 0..60 {
        e = select(e.less(0.5), &e * 2.0, &e * 0.5) + (&e - &e);
    }
    assert!(e.eval().is_ok());
}

pub fn many_inputs(d: &Device) {
    for n in [9usize, 33, 64, 65, 130, 300] {
        let all: Vec<Array> = (0..n).map(|i| put(d, vec![i as i32, 1], &[2])).collect();
        let mut e = &all[0] + 0;
        for a in &all[1..] {
            e = e + a;
        }
        same(&e, &[(n * (n - 1) / 2) as i32, n as i32]);
        // a balanced tree of additions
        let mut level: Vec<Expr> = all.iter().map(|a| &**a * 1).collect();
        while level.len() > 1 {
            level = level.chunks(2).map(|c| if c.len() == 2 { &c[0] + &c[1] } else { c[0].clone() }).collect();
        }
        same(&level[0], &[(n * (n - 1) / 2) as i32, n as i32]);
        let mut e = all[0].sum(..);
        for a in &all[1..] {
            e = e + a.sum(..);
        }
        same(&e, &[(n * (n - 1) / 2 + n) as i64]);
        same(&stack(all.iter(), 0).sum(0), &[(n * (n - 1) / 2) as i64, n as i64]);
        let mut e = &all[0] + 0;
        for (i, a) in all.iter().enumerate() {
            e = e + a * (i as i32) - (i as i32 + 1);
        }
        assert!(e.eval().is_ok());
    }
}

pub fn several_results_at_once(d: &Device) {
    let x = put(d, noise(1, 100), &[10, 10]);
    let e = (&x * 2.0).exp();
    let (s, m, y) = (e.sum(0), e.sum(..), &e + 1.0);
    let own: Vec<Expr> =
        vec![s.clone(), m.clone(), y.clone(), s.clone(), (*x).clone(), e.clone(), x.t(), s.clone() * 1.0];
    let all = eval_many(own.iter()).unwrap();
    assert_eq!(all.len(), 8);
    for (a, e) in all.iter().zip(&own) {
        assert_eq!(a.shape(), e.shape().unwrap());
        assert_eq!(a.to_vec::<f32>().unwrap(), e.to_vec::<f32>().unwrap());
    }
    assert!(eval_all([]).unwrap().is_empty() && eval_many(std::iter::empty::<Expr>()).unwrap().is_empty());
    let bad = &x + put(d, vec![1f32; 3], &[3]);
    assert!(eval_all([&s, &bad]).is_err());
    let z = zeros([3], F32);
    let both = eval_all([&z, &m]).unwrap();
    assert_eq!(both[0].device(), *d);
    let none = put::<f32>(d, vec![], &[0]);
    let two = eval_all([&(&none + 1.0), &none.sum(..), &m]).unwrap();
    assert_eq!(two[1].item::<f32>().unwrap(), 0.0);
    // a result that another result reads
    let a = &x + 1.0;
    let b = a.sum(0);
    let c = (&b * 2.0).max(..);
    let all = eval_all([&c, &b, &a]).unwrap();
    assert_eq!(all[0].to_vec::<f32>().unwrap(), c.to_vec::<f32>().unwrap());
    assert_eq!(all[1].to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    assert_eq!(all[2].to_vec::<f32>().unwrap(), a.to_vec::<f32>().unwrap());
    let all = eval_all([&a, &a.t(), &a.slice(s![2..]), &a.astype(I32)]).unwrap();
    for (r, e) in all.iter().zip([&a, &a.t(), &a.slice(s![2..])]) {
        assert_eq!(r.to_vec::<f32>().unwrap(), e.to_vec::<f32>().unwrap());
    }
}

pub fn threads_agree_to_the_bit(d: &Device) {
    let x = put(d, noise(1, 300 * 257), &[300, 257]);
    let shared = (&x * 3.0).sin();
    let forms: Vec<Expr> = vec![
        shared.sum(0),
        shared.sum(1),
        shared.mean(..),
        x.softmax(-1),
        x.matmul(x.t()),
        x.argmax(0),
        (&x - x.mean(0)) / x.std(0),
        concat([&shared, &*x], 0),
        x.layer_norm(-1, 1e-5),
    ];
    let bits = |e: &Expr| e.astype(F32).to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let want: Vec<Vec<u32>> = forms.iter().map(bits).collect();
    std::thread::scope(|s| {
        for t in 0..8 {
            let (forms, want) = (&forms, &want);
            s.spawn(move || {
                for r in 0..12 {
                    let i = (t + r) % forms.len();
                    assert_eq!(bits(&forms[i]), want[i], "form {i}");
                }
            });
        }
    });
}
