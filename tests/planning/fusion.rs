//! What the planner stores because that is faster, and products that fuse with views and batch axes in one kernel.

use crate::kit::*;
use cupric::*;

fn cpu() -> Device {
    testing::cpu_within(&testing::named_caps("cpu").unwrap()).unwrap()
}

/// Checks the kernels, dispatches, products, and bytes read and written of an expression's plan.
#[track_caller]
fn costs(name: &str, e: &Expr, kernels: usize, dispatches: usize, products: usize, bytes: (u64, u64)) {
    let p = e.plan().unwrap();
    let text = p.to_string();
    let got = (p.kernels(), p.dispatches(), text.matches("= dot(").count(), p.bytes());
    assert_eq!(got, (kernels, dispatches, products, bytes), "{name}: {text}");
}

/// A product, reduction or costly function is stored if it would otherwise be computed again. On the CPU an epilogue of
/// a product is a second dispatch of its kernel.
#[test]
fn dear_parts_are_computed_once() {
    let d = cpu();
    let filled = |shape: &[usize]| put(&d, noise(1, shape.iter().product()), shape);
    let (x, w, b) = (filled(&[104, 384]), filled(&[384, 384]), filled(&[384]));
    let (rows, weights, bias) = (104 * 384 * 4, 384 * 384 * 4, 384 * 4);
    let y = x.matmul(&w) + &b;
    // the product reads x and w; the epilogue reads the product and b; another kernel reads and writes the rows
    let dense = (2 * rows + weights + bias, 2 * rows);
    let and_rows = (dense.0 + rows, dense.1 + rows);
    costs("divided by its sums", &(&y / y.sum(keep(-1))), 2, 3, 1, and_rows);
    costs("layer_norm", &y.layer_norm(-1, 1e-5), 2, 3, 1, and_rows);
    costs("log_softmax", &y.log_softmax(-1), 2, 3, 1, and_rows);
    let centred = (dense.0 + 2 * rows + bias, dense.1 + rows + bias);
    costs("less its column means", &(&y - y.mean(0)), 3, 4, 1, centred);
    let scaled = (x.matmul(&w) * 0.1).softmax(-1);
    costs("softmax of a scaled product", &scaled, 2, 3, 1, (and_rows.0 - bias, and_rows.1));
    let residual = (&x + x.matmul(&w)).softmax(-1);
    costs("softmax of a sum with x", &residual, 2, 3, 1, (and_rows.0 + rows - bias, and_rows.1));
    let sums = x.sum(0);
    costs("column sums over their sum", &(&sums / sums.sum(..)), 2, 2, 0, (rows + bias, 2 * bias));
    // views of a product: the product is stored directly with the view's strides
    let product = (rows + weights, rows);
    costs("transposed", &x.matmul(&w).t(), 1, 1, 1, product);
    costs("reshaped", &x.matmul(&w).reshape([8, 13, 384]), 1, 1, 1, product);
    costs("heads", &x.matmul(&w).reshape([8, 13, 6, 64]).permute_dims([0, 2, 1, 3]), 1, 1, 1, product);
    costs("transposed and flat", &x.matmul(&w).t().reshape([-1]), 1, 1, 1, product);
    costs("reshaped, then gelu", &(x.matmul(&w) + &b).reshape([8, 13, 384]).gelu(), 1, 2, 1, dense);
    costs("batch axis in the rows", &filled(&[8, 13, 384]).matmul(w.t()), 1, 1, 1, product);
    let q = filled(&[8, 13, 6, 64]);
    let twice = q.permute_dims([0, 2, 1, 3]).reshape([48, 13 * 64]).reshape([8, 6 * 13 * 64]);
    costs("reshaped twice", &twice, 1, 1, 0, (rows, rows));
    // costly functions of a broadcast operand, and of an operand of sliding windows
    let (m, v) = (filled(&[1000, 1000]), filled(&[1000]));
    let (many, few) = (4_000_000, 4_000);
    costs("lgamma of a row", &(&m + v.lgamma()), 2, 2, 0, (many + 2 * few, many + few));
    let noise = Rng::new(3).normal([1000], DType::F32);
    costs("a random row", &(&m + noise), 2, 2, 0, (many + few, many + few));
    let blur = m.exp().sliding_windows(13, 0).mean(-1);
    costs("a blur of exp", &blur, 2, 2, 0, (2 * many, many + 988 * 4000));
    let index = put(&d, (0..1000).map(|i| i * 7 % 1000).collect::<Vec<i32>>(), &[1000]);
    let taken = m.take(&index, 0).sliding_windows(13, 0).mean(-1);
    costs("a blur of what is taken", &taken, 2, 2, 0, (2 * many + few, many + 988 * 4000));
}

/// If the planner compares two plans, it prints both modelled times and takes the faster plan.
#[test]
fn choices_are_printed_with_their_times() {
    let d = cpu();
    let (m, v) = (put(&d, noise(1, 1_000_000), &[1000, 1000]), put(&d, noise(2, 1000), &[1000]));
    let text = (&m + v.lgamma()).plan().unwrap().to_string();
    assert!(text.contains("if only the required nodes were stored"), "{text}");
    assert!(text.contains("    stored: lgamma [1000], ") && text.contains("computed 1000 times, "), "{text}");
    let large = Rng::new(1).normal([10_000_000], DType::F32);
    let text = large.std(..).plan().unwrap().to_string();
    assert!(text.contains("if only the required nodes were stored"), "{text}");
    assert!(text.contains("computed 2 times"), "{text}");
    let text = (&m + &v).plan().unwrap().to_string();
    assert!(text.contains("modelled time: ") && !text.contains("were stored"), "{text}");
}

/// Small whole numbers, so that products and sums are exact in any order.
fn small(d: &Device, dice: &mut Dice, shape: &[usize]) -> Array {
    let n = shape.iter().product();
    put(d, (0..n).map(|_| dice.between(-3, 3) as f32).collect::<Vec<f32>>(), shape)
}

/// Splits a length into two factors.
fn split(dice: &mut Dice, n: usize) -> [usize; 2] {
    let factors: Vec<usize> = (1..=n).filter(|f| n.is_multiple_of(*f)).collect();
    let f = *dice.of(&factors);
    [f, n / f]
}

/// Applies a view or an elementwise operation both to a fused expression and to one evaluated step by step.
fn change(d: &Device, dice: &mut Dice, [e, steps]: [Expr; 2]) -> [Expr; 2] {
    let shape = e.shape().unwrap();
    let n = shape.len();
    let both = |f: &dyn Fn(&Expr) -> Expr| [f(&e), Expr::from(f(&steps).eval().unwrap())];
    match dice.below(7) {
        0 | 1 if n < 5 => {
            let axis = dice.below(n);
            let mut to: Vec<isize> = shape.iter().map(|l| *l as isize).collect();
            let [a, b] = split(dice, shape[axis]);
            to.splice(axis..=axis, [a as isize, b as isize]);
            both(&|x| x.reshape(&to[..]))
        }
        2 => {
            let mut axes: Vec<isize> = (0..n as isize).collect();
            for i in (1..n).rev() {
                axes.swap(i, dice.below(i + 1));
            }
            both(&|x| x.permute_dims(&axes[..]))
        }
        3 if dice.one_in(3) => {
            let axis = dice.below(n) as isize;
            both(&|x| x.flip(axis))
        }
        4 if dice.one_in(3) => both(&|x| x.reshape([-1])),
        5 if dice.one_in(2) && n < 5 => {
            let axis = dice.below(n + 1) as isize;
            both(&|x| x.expand_dims(axis))
        }
        _ => {
            let other: Vec<usize> = shape.iter().map(|l| if dice.one_in(2) { 1 } else { *l }).collect();
            let other = small(d, dice, &other);
            both(&|x| x * 2.0 - &other)
        }
    }
}

on_devices! {
    fn products_with_views_are_the_product_in_steps(d: &Device) {
        // on a GPU each program needs its own kernel
        let count = if d.is_gpu() { 60 } else { 1500 };
        let mut dice = Dice::new(17);
        for i in 0..count {
            let [m, k, n] = [0; 3].map(|_| *dice.of(&[1usize, 2, 3, 6, 12, 35]));
            let batches: [&[usize]; 5] = [&[], &[], &[4], &[3, 2], &[1]];
            let batch = *dice.of(&batches);
            let has = |dice: &mut Dice| -> Vec<usize> {
                batch.iter().map(|l| if dice.one_in(3) { 1 } else { *l }).collect()
            };
            let (left, right) = (has(&mut dice), if dice.one_in(2) { vec![] } else { has(&mut dice) });
            let x = small(d, &mut dice, &[left, vec![m, k]].concat());
            let w = match dice.one_in(2) {
                true => small(d, &mut dice, &[&right[..], &[k, n]].concat()).into(),
                false => {
                    let w = small(d, &mut dice, &[&right[..], &[n, k]].concat());
                    let r = right.len() as isize;
                    let axes: Vec<isize> = (0..r).chain([r + 1, r]).collect();
                    w.permute_dims(&axes[..])
                }
            };
            let y = x.matmul(&w);
            let mut pair = [y.clone(), Expr::from(y.eval().unwrap())];
            for _ in 0..dice.below(5) {
                pair = change(d, &mut dice, pair);
            }
            if dice.one_in(4) {
                let axis = dice.below(pair[0].ndim().unwrap().max(1)) as i32;
                if pair[0].ndim().unwrap() > 0 {
                    pair = pair.map(|e| e.sum(axis) - 1.0);
                }
            }
            let [got, want] = pair.clone().map(|e| e.to_vec::<f32>().unwrap());
            assert_eq!(got, want, "program {i} on {d:?}\n{}", pair[0].plan().unwrap());
        }
    }

    fn stored_parts_have_the_values_of_computed_ones(d: &Device) {
        let (m, v) = (put(d, noise(1, 300 * 200), &[300, 200]), put(d, noise(2, 200), &[200]));
        let rows = put(d, noise(3, 300), &[300, 1]);
        let index = put(d, (0..300).map(|i| i * 7 % 300).collect::<Vec<i32>>(), &[300]);
        let step = |e: Expr| Expr::from(e.eval().unwrap());
        let blur = |e: Expr| e.sliding_windows(7, 0).max(-1);
        for (name, fused, steps) in [
            ("a row", &m + v.lgamma(), &m + step(v.lgamma())),
            ("a column", &m * rows.tanh().exp(), &m * step(rows.tanh().exp())),
            ("in a row kernel", (&m + v.erf()).softmax(-1), (&m + step(v.erf())).softmax(-1)),
            ("windows", blur(m.exp()), blur(step(m.exp()))),
            ("windows of what is taken", blur(m.take(&index, 0)), blur(step(m.take(&index, 0)))),
            ("two readers", m.exp().sum(0) + m.exp().max(0), { let e = step(m.exp()); e.sum(0) + e.max(0) }),
        ] {
            let near = |v: f64| v.abs() * 1e-5 + 1e-6;
            let want: Vec<f64> = steps.to_vec::<f32>().unwrap().iter().map(|v| *v as f64).collect();
            println!("{name}");
            crate::kit::near(&fused, &want, near);
        }
    }
}

/// A batch whose rows together exceed a binding is not merged into a single product, but split along the batch.
#[test]
fn a_batch_beyond_a_binding_stays_one() {
    let devices: Vec<Device> = match gpu(1) {
        #[cfg(feature = "gpu")]
        Some(_) => vec![testing::shrunk_cpu().unwrap(), testing::shrunk_gpu(64 << 10, 4).unwrap()],
        _ => vec![testing::shrunk_cpu().unwrap()],
    };
    for d in devices {
        let sides = [64usize, 40, 64];
        let x: Vec<f32> = (0..sides.iter().product()).map(|i: usize| (i * 37 % 101) as f32 - 50.0).collect();
        let w: Vec<f32> = (0..64 * 32).map(|i: usize| (i * 13 % 17) as f32 - 8.0).collect();
        let product = put(&d, x.clone(), &sides).matmul(put(&d, w.clone(), &[64, 32]));
        let got = product.to_vec::<f32>().unwrap();
        for (at, got) in got.iter().enumerate() {
            let (row, column) = (at / 32, at % 32);
            let want: f32 = (0..64).map(|k| x[row * 64 + k] * w[k * 32 + column]).sum();
            assert_eq!(*got, want, "element {at}");
        }
    }
}

/// A node that is read through many views is computed for each view, so kernels may have many more values than nodes.
#[test]
fn parts_read_through_many_views_do_not_exceed_a_kernel() {
    let n = 60;
    for d in std::iter::once(cpu()).chain(gpu(1)) {
        let x = put(&d, (0..n).map(|i| i as f32 / 64.0).collect::<Vec<_>>(), &[n]);
        let step = |y: &Expr| y.slice(s![1..]) * 0.5 + y.slice(s![..-1]).sin();
        let fused = (0..30).fold(Expr::from(&x), |y, _| step(&y));
        let alone = (0..30).fold(x, |y, _| step(&y).eval().unwrap());
        let want: Vec<f64> = alone.to_vec::<f32>().unwrap().iter().map(|v| f64::from(*v)).collect();
        crate::kit::near(&fused, &want, |v| v.abs() * 1e-5 + 1e-6);
    }
}
