//! `dropout` and `clip_by_norm`.

use super::*;
use crate::derivatives::{check, noise};
use cupric::DType::*;

on_devices! {

fn dropout_keeps_scaled_elements(d: &Device) {
    for t in [F32, F16, F64].into_iter().filter(|t| has(d, *t)) {
        let x = ones([10_000], t).to_device(d).unwrap().eval().unwrap();
        let y = x.dropout(0.2, &mut Rng::new(3));
        assert_eq!(y.dtype().unwrap(), t);
        let y = y.astype(F32).to_vec::<f32>().unwrap();
        let kept = y.iter().filter(|v| **v != 0.0).count();
        assert!((7_800..8_200).contains(&kept), "{kept} kept");
        assert!(y.iter().all(|v| *v == 0.0 || *v == 1.25));
    }
}

// The derivative draws the same mask again, within its only kernel.
fn derivatives_of_dropout_draw_again(d: &Device) {
    let x = full([1000], 2.0, F32).to_device(d).unwrap().eval().unwrap();
    let y = x.dropout(0.5, &mut Rng::new(3));
    let [dx] = grad(&y.sum(..), [&x]);
    assert_eq!(kernels(&dx), 1, "{}", dx.plan().unwrap());
    assert_eq!((&dx * 2.0).to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
}

fn norms_are_clipped(d: &Device) {
    let x = Array::from_vec(vec![3f32, 0., -4.], [3]).unwrap().to_device(d).unwrap();
    near(&x.clip_by_norm(2.5), &[1.5, 0., -2.], |_| 1e-6);
    assert_eq!(x.clip_by_norm(6.0).to_vec::<f32>().unwrap(), [3., 0., -4.]);
    let zero = (&x * 0.0).eval().unwrap();
    let y = zero.clip_by_norm(1.0);
    assert_eq!(y.to_vec::<f32>().unwrap().iter().map(|v| v.abs()).sum::<f32>(), 0.);
    let [dz] = grad(&y.sum(..), [&zero]);
    assert_eq!(dz.to_vec::<f32>().unwrap(), [1., 1., 1.]);
    if has(d, F64) {
        let x = noise(&mut Dice::new(2), &[3, 4], -1.0, 1.0, d);
        check("clipped", d, std::slice::from_ref(&x), 2e-8, |v| v[0].clip_by_norm(0.5));
        check("not clipped", d, &[x], 2e-8, |v| v[0].clip_by_norm(50.0));
    }
}

}

#[test]
fn rates_of_0_and_1() {
    let x = array![1., 2., 3.];
    let mut rng = Rng::new(1);
    assert_eq!(x.dropout(0.0, &mut rng).to_vec::<f32>().unwrap(), [1., 2., 3.]);
    let y = x.dropout(1.0, &mut rng);
    assert_eq!(y.to_vec::<f32>().unwrap(), [0., 0., 0.]);
    let [dx] = grad(&y.sum(..), [&x]);
    assert_eq!(dx.to_vec::<f32>().unwrap(), [0., 0., 0.]);
    let far = full([2], INF, F32).dropout(1.0, &mut Rng::new(1));
    assert_eq!(far.to_vec::<f32>().unwrap(), [0., 0.]);
    // each call uses one stream, whatever its rate is
    assert_eq!(rng.state()[1], 2);
}

#[test]
fn what_does_not_fit_is_an_error() {
    use ErrorKind as K;
    let (x, rng) = (&zeros([2, 4], F32), &mut Rng::new(1));
    for rate in [-0.1, 1.5, f64::NAN] {
        fails(x.dropout(rate, rng), K::Argument, "dropout: the rate");
    }
    fails(x.astype(I32).dropout(0.5, rng), K::DType, "dropout: the array has dtype i32");
    fails(zeros([1usize << 33], F32).dropout(0.5, rng), K::LimitExceeded, "dropout");
    for norm in [0.0, -1.0, INF, NAN] {
        fails(x.clip_by_norm(norm), K::Argument, "clip_by_norm: the norm");
    }
}
