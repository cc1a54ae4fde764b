//! Derivatives of branches that were not taken: they are 0 and not NaN, whatever lies between the branch and the function
//! that did not take it.

use super::edges::slope;
use crate::kit::{on_devices, put, same};
use cupric::*;

/// A function and what it is.
type Named<'a> = (&'a str, &'a dyn Fn(&Expr) -> Expr);

/// The derivative of the sum of `f` with respect to an f32 array of this shape.
fn slopes(d: &Device, x: &[f32], shape: &[usize], f: impl Fn(&Expr) -> Expr) -> Vec<f32> {
    slope(d, x, |x| f(&x.reshape(shape)))
}

/// The second derivative: the derivative of the sum of the derivative.
fn second(d: &Device, x: &[f32], f: impl Fn(&Expr) -> Expr) -> Vec<f32> {
    slope(d, x, |x| {
        let x = x.positive();
        let [g] = grad(&f(&x).sum(..), [&x]);
        g
    })
}

/// The products of the Jacobian with ones.
fn forward(d: &Device, x: &[f32], f: impl Fn(&Expr) -> Expr) -> Vec<f32> {
    let x = put::<f32>(d, x, &[x.len()]);
    jvp(&f(&x), [&x], [1.0]).to_device(&Device::cpu()).unwrap().to_vec().unwrap()
}

/// A condition of this shape.
fn mask(d: &Device, taken: &[bool], shape: &[usize]) -> Array {
    put::<bool>(d, taken, shape)
}

on_devices! {

fn of_select_after_a_broadcast(d: &Device) {
    let zeros = |shape: &[usize]| zeros(shape, DType::F32).to_device(d).unwrap();
    // the result has more elements than the branch
    assert_eq!(slopes(d, &[0., 4.], &[2, 1], |x| select(x.greater(0.0), x.sqrt(), zeros(&[2, 3]))), [0., 0.75]);
    assert_eq!(slopes(d, &[0., 4.], &[2], |x| select(x.greater(0.0), x.sqrt(), zeros(&[3, 2]))), [0., 0.75]);
    // an element counts if it was taken anywhere
    let some = mask(d, &[false, false, false, false, true, false], &[2, 3]);
    assert_eq!(slopes(d, &[0., 4.], &[2, 1], |x| select(&some, x.sqrt(), 1.0)), [0., 0.25]);
    assert_eq!(slopes(d, &[0., 4.], &[2, 1], |x| select(&some, 1.0, x.sqrt()))[0], f32::INFINITY);
    // through further functions, and a second broadcast
    assert_eq!(slopes(d, &[0., 4.], &[2, 1], |x| select(&some, x.sqrt().log() * 2.0 + 1.0, 1.0)), [0., 0.25]);
    let two = |x: &Expr| select(&some, x.sqrt() + zeros(&[2, 3]), zeros(&[4, 2, 3]));
    assert_eq!(slopes(d, &[0., 4.], &[2, 1], two), [0., 1.]);
    // of a 0-d branch
    let none = mask(d, &[false, false], &[2]);
    assert_eq!(slopes(d, &[0.], &[], |x| select(&none, x.log(), 1.0)), [0.]);
    // for each operand, and of several conditions
    assert_eq!(slopes(d, &[0., 4.], &[2, 1], |x| select_many([x.greater(5.0), x.greater(0.0)], [x.log() + zeros(&[2, 3]), x.sqrt() + zeros(&[2, 3])], 0.0)), [0., 0.75]);
}

fn of_select_after_views_and_casts(d: &Device) {
    let f = |change: &dyn Fn(Expr) -> Expr| slopes(d, &[0., 4., 1., 0.], &[2, 2], |x| {
        let taken = change(x.positive()).greater(0.0);
        select(taken, change(x.sqrt()), 0.0)
    });
    assert_eq!(f(&|e| e.t()), [0., 0.25, 0.5, 0.]);
    assert_eq!(f(&|e| e.reshape([4])), [0., 0.25, 0.5, 0.]);
    assert_eq!(f(&|e| e.t().reshape([4])), [0., 0.25, 0.5, 0.]);
    assert_eq!(f(&|e| e.flip(0).expand_dims(1)), [0., 0.25, 0.5, 0.]);
    assert_eq!(f(&|e| e.broadcast_to([3, 2, 2])), [0., 0.75, 1.5, 0.]);
    assert_eq!(f(&|e| e.slice(s![.., 1..])), [0., 0.25, 0., 0.]);
    assert_eq!(f(&|e| concat([e.slice(s![1..]), e.slice(s![..1])], 0)), [0., 0.25, 0.5, 0.]);
    assert_eq!(f(&|e| e.reshape([4]).sliding_windows(2, 0)), [0., 0.5, 1., 0.]);
    assert_eq!(f(&|e| e.take(put::<i32>(d, [1, 0, 1], &[3]), 0)), [0., 0.25, 1., 0.]);
    assert_eq!(f(&|e| e.repeat(2, 0)), [0., 0.5, 1., 0.]);
    assert_eq!(f(&|e| e.astype(DType::F16)), [0., 0.25, 0.5, 0.]);
}

fn of_select_after_a_reduction(d: &Device) {
    let taken = mask(d, &[false, true], &[2]);
    let kept = mask(d, &[false, true], &[2, 1]);
    let x = [0., 0., 1., 4.];
    let rows = |f: &dyn Fn(Expr) -> Expr| slopes(d, &x, &[2, 2], |x| select(&taken, f(x.sqrt()), 0.0));
    assert_eq!(rows(&|r| r.sum(1)), [0., 0., 0.5, 0.25]);
    assert_eq!(rows(&|r| r.mean(1)), [0., 0., 0.25, 0.125]);
    assert_eq!(rows(&|r| r.prod(1)), [0., 0., 1., 0.25]);
    assert_eq!(rows(&|r| r.max(1)), [0., 0., 0., 0.25]);
    assert_eq!(rows(&|r| r.min(1)), [0., 0., 0.5, 0.]);
    assert_eq!(rows(&|r| r.std(1)), [0., 0., -0.25, 0.125]);
    assert_eq!(rows(&|r| r.vector_norm(1, 1.0)), [0., 0., 0.5, 0.25]);
    assert_eq!(rows(&|r| r.vector_norm(1, 3.0))[..2], [0., 0.]);
    assert_eq!(rows(&|r| r.logsumexp(1))[..2], [0., 0.]);
    let each = |f: &dyn Fn(Expr) -> Expr| slopes(d, &x, &[2, 2], |x| select(&kept, f(x.sqrt()), 0.0))[..2].to_vec();
    assert_eq!(each(&|r| r.layer_norm(-1, 0.0)), [0., 0.]);
    assert_eq!(each(&|r| r.layer_norm(-1, 1e-5)), [0., 0.]);
    assert_eq!(each(&|r| r.rms_norm(-1, 0.0)), [0., 0.]);
    assert_eq!(each(&|r| r.softmax(-1)), [0., 0.]);
    assert_eq!(each(&|r| r.log_softmax(-1)), [0., 0.]);
    assert_eq!(each(&|r| r.cumulative_sum(1)), [0., 0.]);
    assert_eq!(each(&|r| r.cumulative_prod(1)), [0., 0.]);
    assert_eq!(each(&|r| r.logcumsumexp(1)), [0., 0.]);
    assert_eq!(each(&|r| r.cummax(1)), [0., 0.]);
    assert_eq!(each(&|r| &r - r.mean(keep(1))), [0., 0.]);
    // a label that does not count
    let labels = put::<i32>(d, [0, 1], &[2]);
    assert_eq!(rows(&|r| r.cross_entropy(&labels))[..2], [0., 0.]);
    // rows that are not taken may hold anything
    let wild = [f32::INFINITY, 1., 1., 4.];
    let norm = slopes(d, &wild, &[2, 2], |x| select(&kept, x.layer_norm(-1, 1e-5), 0.0));
    assert_eq!(norm[..2], [0., 0.]);
    let softmax = slopes(d, &[f32::NAN, 1., 1., 4.], &[2, 2], |x| select(&kept, x.softmax(-1), 0.0));
    assert_eq!(softmax[..2], [0., 0.]);
    // a later element of a scan was taken
    let last = mask(d, &[false, true], &[2]);
    assert_eq!(slope(d, &[0., 4.], |x| select(&last, x.sqrt().cumulative_sum(0), 0.0)), [f32::INFINITY, 0.25]);
    let first = mask(d, &[true, false], &[2]);
    assert_eq!(slope(d, &[4., 0.], |x| select(&first, x.sqrt().cumulative_sum(0), 0.0)), [0.25, 0.]);
}

fn of_functions_that_pick_an_operand(d: &Device) {
    let x = [0f32, 4.];
    let expected = [0f32, 0.25];
    let tenth = || array![0.1f32].to_device(d).unwrap();
    let functions: [Named; 17] = [
        ("maximum", &|x| x.sqrt().maximum(0.1)),
        ("maximum of the second", &|x| maximum(tenth(), x.sqrt())),
        ("minimum", &|x| -minimum(-x.sqrt(), -0.1)),
        ("minimum of the second", &|x| -minimum(-tenth(), -x.sqrt())),
        ("fmax", &|x| x.sqrt().fmax(0.1)),
        ("fmin", &|x| -fmin(-0.1, -x.sqrt())),
        ("clip", &|x| x.sqrt().clip(0.1, 3.0)),
        ("clip without an upper bound", &|x| x.sqrt().clip_lower(0.1)),
        ("clip without a lower bound", &|x| -(-x.sqrt()).clip_upper(-0.1)),
        ("clip by an array", &|x| tenth().clip(x.sqrt() - 0.5, 5.0) * 0.0 + x.sqrt().clip(tenth(), 3.0)),
        ("relu", &|x| (x.sqrt() - 0.1).relu()),
        ("hard_tanh", &|x| (x.sqrt() * 0.25 - 1.0).hard_tanh() * 4.0),
        ("hard_sigmoid", &|x| (x.sqrt() * 0.25 - 3.0).hard_sigmoid() * 24.0),
        ("hard_swish", &|x| (x.sqrt() * 5.0 - 5.0).hard_swish() * 0.2),
        ("several", &|x| (x.sqrt() * 2.0 - 0.1).relu().maximum(0.05).clip(0.01, 9.0) * 0.5),
        ("max of pairs", &|x| stack([x.sqrt(), x * 0.0 + 0.1], 0).max(0)),
        ("min of pairs", &|x| -stack([-x.sqrt(), x * 0.0 - 0.1], 1).min(1)),
    ];
    for (name, f) in functions {
        assert_eq!(slope(d, &x, f), expected, "{name}");
        assert_eq!(forward(d, &x, f), expected, "{name} by jvp");
        assert_eq!(second(d, &x, f), [0., -0.03125], "second derivative of {name}");
    }
    // operands that are broadcast
    let table = full([2, 3], 0.1, DType::F32).to_device(d).unwrap();
    assert_eq!(slopes(d, &x, &[2, 1], |x| x.sqrt().maximum(&table)), [0., 0.75]);
    assert_eq!(slopes(d, &x, &[2, 1], |x| x.sqrt().clip(&table, 5.0)), [0., 0.75]);
    assert_eq!(slopes(d, &[0., 0.], &[1, 2], |x| maximum(x.sqrt(), table.slice(s![.., ..2]))), [0., 0.]);
    // the largest element along an axis, and all of them
    assert_eq!(slope(d, &[0., 4., 1.], |x| x.sqrt().max(..)), [0., 0.25, 0.]);
    assert_eq!(slope(d, &[0., 0., 4.], |x| -(-x.sqrt()).min(..)), [0., 0., 0.25]);
    assert_eq!(slope(d, &[1., 4.], |x| (x - 1.0).sqrt().reshape([2, 1]).max(keep(0)) * 3.0)[0], 0.);
}

fn of_pools(d: &Device) {
    let x = [0f32, 4., 1., 0., 0., 0.25];
    let of = |shape: &[usize], f: &dyn Fn(Expr) -> Expr| slopes(d, &x, shape, |x| f(x.sqrt()));
    assert_eq!(of(&[1, 1, 6], &|r| r.max_pool1d(2)), [0., 0.25, 0.5, 0., 0., 1.]);
    assert_eq!(of(&[1, 1, 6], &|r| r.max_pool1d(Pool::new(3).stride(1))), [0., 0.5, 0.5, 0., 0., 1.]);
    assert_eq!(of(&[1, 1, 6], &|r| r.max_pool1d(Pool::new(2).padding(1)))[0], f32::INFINITY);
    assert_eq!(of(&[1, 1, 6], &|r| r.max_pool1d(Pool::new(6))), [0., 0.25, 0., 0., 0., 0.]);
    assert_eq!(of(&[1, 1, 2, 3], &|r| r.max_pool2d([2, 3])), [0., 0.25, 0., 0., 0., 0.]);
    assert_eq!(of(&[1, 1, 2, 3], &|r| r.max_pool2d(Pool::new([2, 2]).stride(1))), [0., 0.5, 0., 0., 0., 0.]);
    assert_eq!(of(&[1, 2, 3, 1], &|r| r.max_pool2d(Pool::new([2, 2]).stride(1).channels_last())), [0., 0.5, 0., 0., 0., 0.]);
    assert_eq!(of(&[1, 1, 1, 2, 3], &|r| r.max_pool3d([1, 2, 3])), [0., 0.25, 0., 0., 0., 0.]);
    // a window that was not taken
    let taken = mask(d, &[true, false, true], &[1, 1, 3]);
    assert_eq!(of(&[1, 1, 6], &|r| select(&taken, r.max_pool1d(2), 0.0)), [0., 0.25, 0., 0., 0., 1.]);
    let big: Vec<f32> = (0..4096).map(|i| ((i * 37) % 64) as f32).collect();
    for pool in [Pool::new(9).stride(5), Pool::new(16)] {
        let g = slopes(d, &big, &[1, 1, 64, 64], |x| x.sqrt().max_pool2d(pool.clone()));
        assert!(g.iter().all(|v| v.is_finite()));
    }
}

fn of_slices(d: &Device) {
    let x = [0f32, 4.];
    assert!(slope(d, &x, |x| x.sqrt().slice(s![1..]))[0].is_nan());
    assert_eq!(slope(d, &x, |x| x.slice(s![1..]).sqrt()), [0., 0.25]);
}

fn of_checkpoints(d: &Device) {
    let x = put::<f32>(d, [0., 4.], &[2]);
    let root = || checkpoint(|| x.sqrt());
    let [g] = grad(&select(x.greater(0.0), root(), 0.0).sum(..), [&x]);
    same(&g, &[0f32, 0.25]);
    let inner = x.sqrt();
    let [g] = grad(&checkpoint(|| inner.maximum(0.5) * 2.0).sum(..), [&x]);
    same(&g, &[0f32, 0.5]);
    // the result of an inner checkpoint is that of an outer one, or that of a call with its own rule
    let [g] = grad(&select(x.greater(0.0), checkpoint(root), 0.0).sum(..), [&x]);
    same(&g, &[0f32, 0.25]);
    let [g] = grad(&select(x.greater(0.0), checkpoint(|| x.sqrt().softplus()), 0.0).sum(..), [&x]);
    let [want] = grad(&select(x.greater(0.0), x.sqrt().softplus(), 0.0).sum(..), [&x]);
    same(&g, &want.to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap());
}

fn of_functions_in_parts_of_checkpoints(d: &Device) {
    let x = [0., 4., 1., 0.];
    let zeros = || zeros([3, 2, 2], DType::F32).to_device(d).unwrap();
    let weights = || put::<f32>(d, [1., 2., 3., 4.], &[2, 2]);
    let changes: [Named; 15] = [
        ("nothing", &|r| r.clone()),
        ("a product", &|r| r * weights()),
        ("a broadcast", &|r| r + zeros()),
        ("a broadcast view", &|r| r.broadcast_to([3, 2, 2])),
        ("a transposed view", &|r| r.t()),
        ("a flat view", &|r| r.t().reshape([4]).flip(0)),
        ("windows", &|r| r.reshape([4]).sliding_windows(2, 0)),
        ("parts", &|r| concat([r.slice(s![1..]), r.slice(s![..1])], 0)),
        ("take", &|r| r.take(put::<i32>(d, [1, 0, 1], &[3]), 0)),
        ("repeat", &|r| r.repeat(2, 0)),
        ("a cast", &|r| r.astype(DType::F16).astype(DType::F32)),
        ("a sum with itself", &|r| r + r.t().t()),
        ("a sum of one element", &|r| r.expand_dims(2).sum(2)),
        ("a scan of one element", &|r| r.expand_dims(2).cumulative_sum(2)),
        ("a function with a rule", &|r| r.softplus()),
    ];
    let at = |e: Expr| -> Vec<f32> { e.to_device(&Device::cpu()).unwrap().to_vec().unwrap() };
    for (name, change) in changes {
        let [values, nothing] = [1.0, 0.0].map(|factor| put::<f32>(d, x, &[2, 2]) * factor);
        let taken = change(&values).greater(change(&nothing));
        let places: [Named; 7] = [
            ("no checkpoint", &|x| select(&taken, change(&x.sqrt()), 0.0)),
            ("the root", &|x| select(&taken, change(&checkpoint(|| x.sqrt())), 0.0)),
            ("the change", &|x| select(&taken, checkpoint(|| change(&x.sqrt())), 0.0)),
            ("the change of a root outside", &|x| {
                let root = x.sqrt();
                select(&taken, checkpoint(|| change(&root)), 0.0)
            }),
            ("both", &|x| select(&taken, checkpoint(|| change(&checkpoint(|| x.sqrt()))), 0.0)),
            ("each alone", &|x| {
                let root = checkpoint(|| x.sqrt());
                checkpoint(|| select(&taken, checkpoint(|| change(&root)), 0.0))
            }),
            ("all", &|x| checkpoint(|| checkpoint(|| select(&taken, change(&checkpoint(|| x.sqrt())), 0.0)))),
        ];
        let first = |f: &dyn Fn(&Expr) -> Expr| slopes(d, &x, &[2, 2], f);
        let second = |f: &dyn Fn(&Expr) -> Expr| second(d, &x, |x| f(&x.reshape([2, 2])));
        let forward = |f: &dyn Fn(&Expr) -> Expr| {
            let x = put::<f32>(d, x, &[2, 2]);
            at(jvp(&f(&Expr::from(&x)), [&x], [1.0]))
        };
        let plain = (first(places[0].1), second(places[0].1), forward(places[0].1));
        for (place, f) in &places {
            assert!(plain.0.iter().all(|g| g.is_finite()), "{name}: {:?}", plain.0);
            assert_eq!(first(f), plain.0, "{name}, checkpoint around {place}");
            assert_eq!(second(f), plain.1, "second derivative of {name}, checkpoint around {place}");
            assert_eq!(forward(f), plain.2, "jvp of {name}, checkpoint around {place}");
        }
    }
}

}
