//! Compiled functions: the same bits as the plain function, a single plan, and the errors that they return.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn normal(seed: u64, shape: &[usize], d: &Device) -> Array {
    Rng::new(seed).normal(shape.to_vec(), F32).eval().unwrap().to_device(d).unwrap()
}

/// One training step of a network with two layers: returns the loss and the new weights.
fn step((w, x, y, rate): ([Expr; 2], Expr, Expr, Expr)) -> (Expr, [Expr; 2]) {
    let loss = (x.matmul(&w[0]).tanh().matmul(&w[1]) - y).square().mean(..);
    let [a, b] = grad(&loss, [&w[0], &w[1]]);
    let [v, w] = w;
    (loss, [v - a * &rate, w - b * &rate])
}

fn same(a: &Array, b: &Array) {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    assert_eq!(read(a).unwrap(), read(b).unwrap());
}

on_devices! {

fn steps_have_the_bits_of_steps_that_are_not_compiled(d: &Device) {
    let d = &own(d);
    let runs = AtomicUsize::new(0);
    let compiled = Compiled::new(|inputs: ([Expr; 2], Expr, Expr, Expr)| {
        runs.fetch_add(1, Ordering::Relaxed);
        step(inputs)
    });
    let mut w = [normal(1, &[5, 7], d), normal(2, &[7, 3], d)];
    let mut plain = w.clone();
    let rate = array![0.1].reshape(()).eval().unwrap().to_device(d).unwrap();
    let mut prepares = 0;
    for i in 0..6 {
        let (x, y) = (normal(3 + i, &[4, 5], d), normal(13 + i, &[4, 3], d));
        let (loss, next) = compiled.call(&(&w, &x, &y, &rate)).unwrap();
        let list = plain.each_ref().map(Expr::from);
        let (want, [a, b]) = step((list, (&x).into(), (&y).into(), (&rate).into()));
        let [want, a, b] = eval_all([&want, &a, &b]).unwrap();
        same(&loss, &want);
        same(&next[0], &a);
        same(&next[1], &b);
        (w, plain) = (next, [a, b]);
        if i == 1 {
            prepares = d.stats().prepares;
        }
    }
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(d.stats().prepares, prepares);
}

fn other_layouts_have_plans_of_their_own(d: &Device) {
    let runs = AtomicUsize::new(0);
    let f = Compiled::new(|[a, b]: [Expr; 2]| {
        runs.fetch_add(1, Ordering::Relaxed);
        [a.matmul(&b) + a.slice(s![.., 1..2]), a.t(), b]
    });
    let (a, b) = (normal(1, &[4, 4], d), normal(2, &[4, 4], d));
    let turned = a.t().eval().unwrap();
    let reversed = a.slice(s![..;-1, ..;-1]).eval().unwrap();
    let wide = normal(3, &[4, 9], d);
    let part = wide.slice(s![.., 2..6]).eval().unwrap();
    let all = [&a, &turned, &reversed, &part, &a.slice(s![1..3]).eval().unwrap(), &normal(4, &[1, 4], d)];
    for _ in 0..2 {
        for x in all {
            let got = f.call(&[x, &b]).unwrap();
            let want = [(x.matmul(&b) + x.slice(s![.., 1..2])).eval().unwrap(), x.t().eval().unwrap(), b.clone()];
            got.iter().zip(&want).for_each(|(a, b)| same(a, b));
        }
    }
    // the function was traced once for each shape and memory order; a slice of rows has the order of a whole array
    assert_eq!(runs.into_inner(), all.len());
    // both inputs are views of one array, or the same array
    let g = Compiled::new(|[a, b]: [Expr; 2]| (&a - &b, a * b));
    for (x, y) in [(&a, &b), (&b, &a), (&a, &a)] {
        let (difference, product) = g.call(&[x, y]).unwrap();
        same(&difference, &(x - y).eval().unwrap());
        same(&product, &(x * y).eval().unwrap());
    }
    // inputs nested in other ways, with the same arrays
    let first = Compiled::new(|(x, y): (Vec<Expr>, Vec<Expr>)| x.iter().fold(y[0].clone(), |sum, x| sum - x));
    let got = first.call(&(vec![&a, &b], vec![&b])).unwrap();
    same(&got, &(&b - &a - &b).eval().unwrap());
    let got = first.call(&(vec![&a], vec![&b, &a])).unwrap();
    same(&got, &(&b - &a).eval().unwrap());
    let rows: Vec<Array> = (0..4).map(|i| a.slice(s![i]).eval().unwrap()).collect();
    for i in 0..3 {
        same(&g.call(&[&rows[i], &rows[i + 1]]).unwrap().0, &(&rows[i] - &rows[i + 1]).eval().unwrap());
    }
}

fn captured_arrays_numbers_and_inputs_are_results(d: &Device) {
    let known = normal(1, &[3], d);
    let two = ones((), F32).to_device(d).unwrap();
    let f = Compiled::new(|x: Expr| {
        let seven: Expr = 7.into();
        (vec![x.clone(), (&known).into(), x.slice(s![1..]), &x * &two], (x.stop_gradient(), seven), &known + &known)
    });
    for seed in 2..4 {
        let x = normal(seed, &[3], d);
        let (list, (stopped, seven), double) = f.call(&x).unwrap();
        same(&list[0], &x);
        same(&list[1], &known);
        same(&list[2], &x.slice(s![1..]).eval().unwrap());
        same(&list[3], &x);
        same(&stopped, &x);
        assert_eq!(seven.item::<i32>().unwrap(), 7);
        same(&double, &(&known * 2.0).eval().unwrap());
    }
    // the result may be an input itself; writing to the result does not change the input
    let x = normal(5, &[3], d);
    let mut same_again = f.call(&x).unwrap().0[0].clone();
    same_again.fill(0.0).unwrap();
    assert!(x.to_vec::<f32>().unwrap().iter().all(|v| *v != 0.0));
    // two equal results are computed once, but are separate arrays with separate derivatives
    let twice = Compiled::new(|x: Expr| (&x * 3.0, &x * 3.0));
    let (a, b) = twice.call(&x).unwrap();
    let [da, db] = grad(&(&a * 2.0 + &b).sum(..), [&a, &b]);
    assert_eq!((da.to_vec::<f32>().unwrap(), db.to_vec::<f32>().unwrap()), (vec![2.0; 3], vec![1.0; 3]));
    // an input that is an expression is evaluated first
    same(&f.call(&(&x + 1.0)).unwrap().0[3], &(&x + 1.0).eval().unwrap());
}

fn random_numbers_differ_between_calls(d: &Device) {
    let draws = || {
        Compiled::new(|x: Expr| {
            let mut rng = Rng::new(0);
            let kept = x.dropout(0.5, &mut rng);
            // constants that equal the words of the seed, which must not be confused with it
            let zero = zeros([4], U32) + 0;
            (kept, rng.uniform([1000], F32), rng.uniform([1000], F32), zero)
        })
    };
    let x = ones([64], F32).to_device(d).unwrap();
    let (f, g) = (draws(), draws());
    let mut seen: Vec<Vec<u64>> = vec![];
    for i in 0..5 {
        let (kept, a, b, zero) = f.call(&x).unwrap();
        let again = g.call(&x).unwrap();
        [(&kept, &again.0), (&a, &again.1), (&b, &again.2)].iter().for_each(|(a, b)| same(a, b));
        if i == 0 {
            let mut rng = Rng::new(0);
            let (first, second) = (x.dropout(0.5, &mut rng), rng.uniform([1000], F32));
            same(&kept, &first.eval().unwrap());
            same(&a, &second.eval_on(d).unwrap());
        }
        assert_eq!(zero.to_vec::<u32>().unwrap(), [0; 4]);
        let mean = a.mean(..).item::<f32>().unwrap();
        assert!((mean - 0.5).abs() < 0.04, "{mean}");
        for bits in [read(&kept).unwrap(), read(&a).unwrap(), read(&b).unwrap()] {
            assert!(!seen.contains(&bits), "call {i} repeats numbers");
            seen.push(bits);
        }
    }
    // a derivative uses the dropout mask of its own call
    let h = Compiled::new(|x: Expr| {
        let y = x.dropout(0.5, &mut Rng::new(3));
        let [dx] = grad(&y.sum(..), [&x]);
        (y, dx)
    });
    for _ in 0..4 {
        let (y, dx) = h.call(&x).unwrap();
        same(&y, &dx);
    }
}

fn elements_of_inputs_are_not_read(d: &Device) {
    let x = normal(1, &[3], d);
    let error = |f: &dyn Fn(Expr) -> Expr| Compiled::new(f).call(&x).unwrap_err();
    let reads: [&dyn Fn(Expr) -> Expr; 5] = [
        &|x| match x.sum(..).item::<f32>() {
            Ok(_) => x,
            Err(e) => { assert!(e.to_string().contains("only when the function is called"), "{e}"); x + 1 }
        },
        &|x| { assert_eq!(x.eval().unwrap_err().kind(), ErrorKind::Argument); x },
        &|x| { assert!(eval_all([&x, &(&x + 1)]).is_err()); x },
        &|x| { assert!(x.to_device(&Device::cpu()).is_err() && x.to_vec::<f32>().is_err()); x },
        &|x| { let mut y = ones([3], F32).eval().unwrap().to_device(d).unwrap(); assert!(y.assign(&x).is_err() && y.assign(&x * 2).is_err()); x },
    ];
    for f in reads {
        Compiled::new(f).call(&x).unwrap();
    }
    let e = error(&|x| x.matmul(ones([4, 2], F32)));
    assert_eq!(e.kind(), ErrorKind::Shape, "{e}");
    assert_eq!(e.location().unwrap().file(), file!());
    // an input expression that outlives the call
    let kept = std::sync::Mutex::new(None);
    Compiled::new(|x: Expr| { *kept.lock().unwrap() = Some(x.clone()); x }).call(&x).unwrap();
    let kept = kept.into_inner().unwrap().unwrap();
    let e = kept.exp().eval().unwrap_err();
    assert!(e.to_string().contains("an input of a compiled function"), "{e}");
    println!("{e}; {kept:?}");
}

fn checks_apply(d: &Device) {
    let d = &own(d);
    let f = Compiled::new(|x: Expr| x.log());
    let x = array![-1., 2.].to_device(d).unwrap();
    assert!(f.call(&x).is_ok());
    d.check([Check::Nan]);
    let e = f.call(&x).unwrap_err();
    assert!(e.to_string().contains("log"), "{e}");
    d.check([]);
    assert!(f.call(&x).is_ok());
}

}

#[test]
fn calls_of_several_threads_agree() {
    let f = Compiled::new(|[x, y]: [Expr; 2]| (x.matmul(&y).sin(), x.cumulative_sum(0)));
    std::thread::scope(|s| {
        for t in 0..4 {
            let f = &f;
            s.spawn(move || {
                for i in 0..20 {
                    let n = 3 + (t + i) % 10;
                    let (x, y) = (normal(t as u64, &[n, n], &Device::cpu()), normal(9, &[n, n], &Device::cpu()));
                    let (a, b) = f.call(&[&x, &y]).unwrap();
                    same(&a, &x.matmul(&y).sin().eval().unwrap());
                    same(&b, &x.cumulative_sum(0).eval().unwrap());
                }
            });
        }
    });
}

#[test]
fn a_function_without_inputs_and_an_empty_one() {
    let f = Compiled::new(|_: Vec<Expr>| arange(0, 4, 1, I32) * 2);
    let none: Vec<Array> = vec![];
    assert_eq!(f.call(&none).unwrap().to_vec::<i32>().unwrap(), [0, 2, 4, 6]);
    let g = Compiled::new(|_: Expr| Vec::<Expr>::new());
    assert!(g.call(&array![1.]).unwrap().is_empty());
    // a compiled function does not keep the arrays of its first call
    let d = own(&Device::cpu());
    let h = Compiled::new(|x: Expr| x + 1);
    let used = d.memory().used;
    let x = ones([1000], F32).to_device(&d).unwrap();
    drop(h.call(&x).unwrap());
    drop(x);
    assert_eq!(d.memory().used, used);
}
