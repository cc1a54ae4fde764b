//! Optimisers and loss scaling, compared with loops over f64 numbers, and training that stops and resumes.

use crate::kit::{error, has, on_devices, own, put, same};
use cupric::train::{
    Adam, Lion, LossScale, Muon, Sgd, all_finite, clip_by_global_norm, cosine, eval_tree, named, with_named,
};
use cupric::*;

/// The rows of a matrix as f64 numbers.
type Rows = Vec<Vec<f64>>;

fn rows(a: &Expr) -> Rows {
    let columns = *a.shape().unwrap().last().unwrap();
    let a = a.to_device(&Device::cpu()).unwrap().astype(DType::F64);
    a.to_vec::<f64>().unwrap().chunks(columns).map(<[f64]>::to_vec).collect()
}

fn product(a: &Rows, b: &Rows) -> Rows {
    let cell = |row: &[f64], j: usize| row.iter().zip(b).map(|(x, r)| x * r[j]).sum();
    a.iter().map(|row| (0..b[0].len()).map(|j| cell(row, j)).collect()).collect()
}

fn transposed(a: &Rows) -> Rows {
    (0..a[0].len()).map(|j| a.iter().map(|row| row[j]).collect()).collect()
}

fn map(a: &Rows, b: &Rows, f: impl Fn(f64, f64) -> f64) -> Rows {
    a.iter().zip(b).map(|(r, s)| r.iter().zip(s).map(|(x, y)| f(*x, *y)).collect()).collect()
}

/// Five Newton–Schulz steps, as Jordan published them.
fn orthogonal(u: &Rows) -> Rows {
    let norm = u.iter().flatten().map(|x| x * x).sum::<f64>().sqrt() + 1e-7;
    let is_tall = u.len() > u[0].len();
    let mut x = map(u, u, |x, _| x / norm);
    if is_tall {
        x = transposed(&x);
    }
    for _ in 0..5 {
        let a = product(&x, &transposed(&x));
        let b = map(&a, &product(&a, &a), |a, aa| -4.7750 * a + 2.0315 * aa);
        x = map(&x, &product(&b, &x), |x, bx| 3.4445 * x + bx);
    }
    let scale = (u.len() as f64 / u[0].len() as f64).max(1.0).sqrt();
    let x = if is_tall { transposed(&x) } else { x };
    map(&x, &x, |x, _| scale * x)
}

fn close(name: &str, got: &Expr, want: &Rows, within: f64) {
    for (got, want) in rows(got).iter().flatten().zip(want.iter().flatten()) {
        assert!((got - want).abs() <= within * want.abs().max(1.0), "{name}: {got}, not {want}");
    }
}

/// A loss for a matrix and a vector: half of the squared distance to ones.
fn distance(p: &(Array, Array)) -> Expr {
    ((&p.0 - 1.0).square().sum(..) + (&p.1 - 1.0).square().sum(..)) * 0.5
}

fn start(d: &Device, tall: bool) -> (Array, Array) {
    let w = put::<f32>(d, [0.5, -1., 2., 0.25, 3., -0.5], if tall { &[3, 2] } else { &[2, 3] });
    (w, put::<f32>(d, [3., -2.], &[2]))
}

on_devices! {

fn muon_computes_what_a_loop_does(d: &Device) {
    for (tall, nesterov, decay) in [(false, true, 0.0), (true, true, 0.1), (true, false, 0.0)] {
        let muon = Muon { nesterov, decay, ..Muon::new(0.05) };
        let mut params = start(d, tall);
        let mut state = muon.init(&params).unwrap();
        let (mut w, mut b) = (rows(&params.0), rows(&params.1));
        let (mut m, mut n) = (map(&w, &w, |_, _| 0.0), map(&b, &b, |_, _| 0.0));
        for _ in 0..8 {
            let (_, grads) = value_and_grad(&params, distance);
            (params, state) = eval_tree(&muon.update(&params, &grads, &state)).unwrap();
            for (x, m, is_matrix) in [(&mut w, &mut m, true), (&mut b, &mut n, false)] {
                let g = map(x, x, |x, _| x - 1.0);
                *m = map(m, &g, |m, g| 0.95 * m + g);
                let u = if nesterov { map(&g, m, |g, m| g + 0.95 * m) } else { m.clone() };
                let norm = u.iter().flatten().map(|x| x * x).sum::<f64>().sqrt() + 1e-7;
                let by = if is_matrix { orthogonal(&u) } else { map(&u, &u, |u, _| u / norm * 2f64.sqrt()) };
                *x = map(x, &by, |x, by| x - 0.05 * (by + decay * x));
            }
        }
        close("matrix", &params.0, &w, 2e-3);
        close("vector", &params.1, &b, 2e-4);
        close("momentum", &state.0, &m, 2e-3);
    }
}

fn muon_takes_the_weights_of_a_convolution_as_rows(d: &Device) {
    let numbers: Vec<f32> = (0..24).map(|i| ((i * 7 % 11) as f32 - 5.) * 0.1).collect();
    let (four, two) = (put::<f32>(d, numbers.clone(), &[3, 2, 2, 2]), put::<f32>(d, numbers, &[3, 8]));
    let muon = Muon::new(0.1);
    let step = |x: &Array| eval_tree(&muon.update(x, x, &muon.init(x).unwrap())).unwrap().0;
    same(&step(&four), &step(&two).to_vec::<f32>().unwrap());
    // an array without elements, and a 0-d array
    let none = zeros([0, 3], DType::F32).to_device(d).unwrap();
    assert_eq!(step(&none).shape(), [0, 3]);
    let one = put::<f32>(d, [4.], &[]);
    assert!((step(&one).item::<f32>().unwrap() - 3.9).abs() < 1e-5);
}

fn lion_computes_what_a_loop_does(d: &Device) {
    for decay in [0.0, 0.1] {
        let lion = Lion { decay, ..Lion::new(0.0625) };
        let mut params = start(d, true);
        let mut state = lion.init(&params).unwrap();
        let mut w = rows(&params.0);
        let mut m = map(&w, &w, |_, _| 0.0);
        for _ in 0..30 {
            let (_, grads) = value_and_grad(&params, distance);
            (params, state) = eval_tree(&lion.update(&params, &grads, &state)).unwrap();
            let g = map(&w, &w, |x, _| x - 1.0);
            let by = map(&m, &g, |m, g| 0.9 * m + 0.1 * g);
            w = map(&w, &by, |x, by| x - 0.0625 * (if by == 0.0 { 0.0 } else { by.signum() } + decay * x));
            m = map(&m, &g, |m, g| 0.99 * m + 0.01 * g);
        }
        close("parameters", &params.0, &w, 1e-5);
        close("momentum", &state.0, &m, 1e-5);
    }
}

fn a_step_that_overflows_is_skipped_and_halves_the_scale(d: &Device) {
    let scaling = LossScale { start: 1024.0, interval: 3 };
    let sgd = Sgd { momentum: 0.5, ..Sgd::new(1.0) };
    let mut params = put::<f32>(d, [1., 2.], &[2]);
    let (mut state, mut scale) = (sgd.init(&params).unwrap(), scaling.init(&params).unwrap());
    let (mut p, mut m, mut s, mut good) = ([1f32, 2.], [0f32; 2], 1024f32, 0);
    for step in 0..12 {
        let g = if step % 5 == 4 { [1., f32::INFINITY] } else { [0.5, -0.25] };
        let g = put::<f32>(d, g.map(|g| g * s), &[2]);
        let grads = scaling.unscale(&g, &scale);
        let next = sgd.update(&params, &grads, &state);
        let next = scaling.update(&grads, &scale, &(&params, &state), &next);
        ((params, state), scale) = eval_tree(&next).unwrap();
        if step % 5 == 4 {
            (s, good) = (s * 0.5, 0);
        } else {
            m = [m[0] * 0.5 + 0.5, m[1] * 0.5 - 0.25];
            p = [p[0] - m[0], p[1] - m[1]];
            good += 1;
            if good == 3 {
                (s, good) = (s * 2.0, 0);
            }
        }
        same(&params, &p);
        same(&state, &m);
        assert_eq!((scale[0].item::<f32>().unwrap(), scale[1].item::<i32>().unwrap()), (s, good), "step {step}");
    }
    // the scale stays within its limits
    for (start, bad, end) in [(1.0, true, 1.0), (16_777_216.0, false, 16_777_216.0)] {
        let scaling = LossScale { start, interval: 1 };
        let g = put::<f32>(d, [if bad { f32::NAN } else { 1. }], &[1]);
        let (_, [s, _]) = scaling.update(&g, &scaling.init(&g).unwrap(), &params, &params);
        assert_eq!(f64::from(s.item::<f32>().unwrap()), end);
    }
}

fn parameters_of_f16_learn_with_a_scaled_loss(d: &Device) {
    if !has(d, DType::F16) {
        return;
    }
    let (scaling, adam) = (LossScale { interval: 10, ..LossScale::default() }, Adam::new(0.05));
    let mut params = (put::<f32>(d, [3., -2.], &[2]).astype(DType::F16).eval().unwrap(),);
    let (mut state, mut scale) = (adam.init(&params).unwrap(), scaling.init(&params).unwrap());
    // without the scale, the derivatives of about 1e-8 would be 0 in f16
    let loss = |p: &(Array,)| (p.0.astype(DType::F32) - 1.0).square().sum(..) * 1e-8;
    for _ in 0..150 {
        let (_, grads) = value_and_grad(&params, |p| scaling.scale(loss(p), &scale));
        assert_eq!(grads.0.dtype().unwrap(), DType::F16);
        let grads = scaling.unscale(&grads, &scale);
        let adam = Adam { epsilon: 1e-12, ..adam };
        let next = adam.update(&params, &grads, &state);
        let next = scaling.update(&grads, &scale, &(&params, &state), &next);
        ((params, state), scale) = eval_tree(&next).unwrap();
    }
    close("parameters", &params.0.reshape([1, 2]), &vec![vec![1.0, 1.0]], 0.05);
    assert!(scale[0].item::<f32>().unwrap() > 32768.0);
}

fn a_saved_run_goes_on_with_the_same_bits(d: &Device) {
    let adam = Adam { decay: 0.01, ..Adam::new(0.05) };
    let step = |params: &(Array, Array), state: &_| {
        let (_, grads) = value_and_grad(params, distance);
        eval_tree(&adam.update(params, &grads, state)).unwrap()
    };
    let mut run = (start(d, true), adam.init(&start(d, true)).unwrap());
    for _ in 0..5 {
        run = step(&run.0, &run.1);
    }
    let bytes = write_safetensors(vec![], named(&run).unwrap(), [("step", "5")]).unwrap();
    let read = SafeTensors::new(std::io::Cursor::new(bytes)).unwrap().read_all().unwrap();
    assert_eq!(read.len(), 7);
    let mut other = with_named(&run, read).unwrap();
    assert_eq!(other.0.0.device(), *d);
    for _ in 0..5 {
        run = step(&run.0, &run.1);
        other = step(&other.0, &other.1);
    }
    for ((name, a), (_, b)) in named(&run).unwrap().iter().zip(&named(&other).unwrap()) {
        same(a, &b.to_vec::<f32>().unwrap());
        assert!(name.starts_with("0.") || name.starts_with("1."), "{name}");
    }
}

fn hundred_steps_prepare_one_plan(d: &Device) {
    let d = &own(d);
    let mut counts = vec![];
    let mut params = start(d, false);
    let (mut adam, scaling) = (Adam::new(0.01), LossScale { interval: 7, ..LossScale::default() });
    let (mut state, mut scale) = (adam.init(&params).unwrap(), scaling.init(&params).unwrap());
    for step in 0..100 {
        adam.rate = cosine(step, 0.01, 0.001, 100);
        let (_, grads) = value_and_grad(&params, |p| scaling.scale(distance(p), &scale));
        let grads = clip_by_global_norm(&scaling.unscale(&grads, &scale), 1.0);
        let next = adam.update(&params, &grads, &state);
        let next = scaling.update(&grads, &scale, &(&params, &state), &next);
        let before = d.stats().prepares;
        ((params, state), scale) = eval_tree(&next).unwrap();
        counts.push(d.stats().prepares - before);
    }
    let (lion, muon) = (Lion::new(0.01), Muon::new(0.01));
    let (mut a, mut b) = (lion.init(&params).unwrap(), muon.init(&params).unwrap());
    for _ in 0..100 {
        let (_, grads) = value_and_grad(&params, distance);
        let before = d.stats().prepares;
        (params, a) = eval_tree(&lion.update(&params, &grads, &a)).unwrap();
        counts.push(d.stats().prepares - before);
    }
    for _ in 0..100 {
        let (_, grads) = value_and_grad(&params, distance);
        let before = d.stats().prepares;
        (params, b) = eval_tree(&muon.update(&params, &grads, &b)).unwrap();
        counts.push(d.stats().prepares - before);
    }
    for (name, counts) in ["adam", "lion", "muon"].iter().zip(counts.chunks(100)) {
        // the first step may plan twice, because its buffers differ, for example two zeros that share one buffer
        assert!(counts[3..].iter().all(|n| *n == 0), "{name}: {counts:?}");
    }
}

fn derivatives_of_other_dtypes_do_not_change_the_state(d: &Device) {
    let params = put::<f32>(d, [1., 2.], &[2]);
    let grads = put::<i32>(d, [1, -1], &[2]);
    let adam = Adam::new(0.5);
    let mut state = adam.init(&params).unwrap();
    state.0 = put::<i32>(d, [0], &[]);
    let (next, (count, m, v)) = eval_tree(&adam.update(&params, &grads, &state)).unwrap();
    same(&next, &[0.5f32, 2.5]);
    assert_eq!([count.dtype(), m.dtype(), v.dtype()], [DType::I32, DType::F32, DType::F32]);
}

fn norms_that_are_not_numbers_make_all_nan(d: &Device) {
    let grads = (put::<f32>(d, [1.], &[1]), put::<f32>(d, [f32::NAN], &[1]));
    let (a, b) = clip_by_global_norm(&grads, 1.0);
    assert!(a.item::<f32>().unwrap().is_nan() && b.item::<f32>().unwrap().is_nan());
    let (a, b) = clip_by_global_norm(&(&grads.0, put::<f32>(d, [f32::INFINITY], &[1])), f64::INFINITY);
    assert_eq!((a.item::<f32>().unwrap(), b.item::<f32>().unwrap()), (1., f32::INFINITY));
    same(&clip_by_global_norm(&grads.0, 0.0), &[0f32]);
}

}

#[test]
fn wrong_arguments_of_training_are_errors() {
    let x = array![1., 2.];
    for most in [-1.0, f64::NAN] {
        let e = error(&clip_by_global_norm(&x, most));
        assert!(e.starts_with(&format!("clip_by_global_norm: the bound {most} is not a number from 0 on")), "{e}");
    }
    let e = error(&clip_by_global_norm(&array![1], 1.0));
    assert!(e.contains("a leaf has dtype i32; floats are needed"), "{e}");
    for (start, interval) in [(0.5, 1), (f64::NAN, 1), (1e9, 1), (2.0, 0)] {
        let e = LossScale { start, interval }.init(&x).unwrap_err();
        assert!(e.kind() == ErrorKind::Argument && e.operation() == "LossScale::init", "{e}");
    }
    let scaling = LossScale::default();
    let scale = scaling.init(&x).unwrap();
    let update = |next: &Expr| error(&scaling.update(&x, &scale, &x, next).0);
    assert!(update(&array![1.]).contains("value 0 has shape [2]; the next one has shape [1]"));
    assert!(update(&array![1, 2]).contains("value 0 has dtype f32; the next one has dtype i32"));
    let (next, _) = scaling.update(&x, &scale, &x, &(&x, &x));
    assert!(error(&next).contains("there are 1 old values and 2 next ones"));
    assert!(all_finite(&Vec::<Array>::new()).item::<bool>().unwrap());

    for (op, next) in [
        ("Lion::update", Lion::new(0.1).update(&x, &array![1.], &x).0),
        ("Muon::update", Muon::new(0.1).update(&x, &array![1.], &x).0),
    ] {
        let e = error(&next);
        assert!(e.starts_with(&format!("{op}: parameter 0 has shape [2]; its derivative has shape [1]")), "{e}");
    }
    let e = error(&Sgd::new(0.1).update(&x, &x, &array![1, 2]).0);
    assert!(e.starts_with("Sgd::update: a leaf of the state has dtype i32; floats are needed"), "{e}");
    let e = error(&Adam::new(0.1).update(&x, &x, &(array![1.], &x, &x)).0);
    assert!(e.starts_with("Adam::update: the step count has 1 axes; a 0-d array is needed"), "{e}");
}
