//! Derivatives of special functions for operands, mostly far from 0, for which their usual formulas are differences of
//! nearly equal numbers: the first three derivatives, compared with those of mpmath.

use super::edges::slope as slope_of;
use crate::kit::{has, on_devices, put};
use cupric::*;

/// The name of a function, the operand, and the first three derivatives there.
#[rustfmt::skip]
#[allow(clippy::excessive_precision, reason = "the digits of mpmath, as it prints them")]
const POINTS: [(&str, f64, [f64; 3]); 32] = [
    ("erfcx", -2.0, [-4.368919967270074e+2, 1.9654497956879856e+3, -9.6093671696599718e+3]),
    ("erfcx", 0.5, [-5.126888229025867e-1, 7.1869186548326505e-1, -1.3320634261270817]),
    ("erfcx", 1.875, [-1.1801672272799838e-1, 9.6297260099346979e-2, -1.1095216553944235e-1]),
    ("erfcx", 2.125, [-9.7030117491730751e-2, 7.2962729885453402e-2, -7.8028867953746046e-2]),
    ("erfcx", 3.0, [-5.4372260007172871e-2, 3.1768742319742673e-2, -2.687658611023545e-2]),
    ("erfcx", 10.0, [-5.5593122190608567e-3, 1.0957411064280368e-3, -3.2242674768269101e-4]),
    ("erfcx", 300.0, [-6.2686686738802135e-6, 4.1790428000878571e-8, -4.1789499371131401e-10]),
    ("erfcx", 1000.0, [-5.6418873726549667e-7, 1.1283757819707055e-9, -3.3851205756878906e-12]),
    ("erfcx", 10000.0, [-5.6418957508491275e-9, 1.1283791332441388e-12, -3.3851373320296715e-16]),
    ("erfcx", 1000000.0, [-5.6418958354691e-13, 1.1283791670921274e-18, -3.385137501269612e-24]),
    ("log_ndtr", 1.5, [1.3878975045885076e-1, -2.274472205207062e-1, 2.6551576627946457e-1]),
    ("log_ndtr", -2.5, [2.8227447976639073, -9.1102619857888456e-1, 4.287863103702551e-2]),
    ("log_ndtr", -3.0, [3.2830986549304365, -9.2944081321473188e-1, 3.1470672830842488e-2]),
    ("log_ndtr", -10.0, [1.0098093233962512e+1, -9.9055462217434374e-1, 1.7864003921165069e-3]),
    ("log_ndtr", -300.0, [3.0000333325926337e+2, -9.9998888962956105e-1, 7.4064198902395809e-8]),
    ("log_ndtr", -1000.0, [1.000000999998e+3, -9.9999900000599995e-1, 1.9999760002999959e-9]),
    ("log_ndtr", -10000.0, [1.0000000099999998e+4, -9.999999900000006e-1, 1.99999976000003e-12]),
    ("log_ndtr", -100000.0, [1.0000000001e+5, -9.999999999e-1, 1.9999999976e-15]),
    ("i0e", 0.5, [-4.8861446726427837e-1, 6.6438732815881335e-1, -1.0546371653672099]),
    ("i0e", -3.0, [4.6173640864524545e-2, 2.6738377296615472e-2, 2.5128698593116713e-2]),
    ("i0e", 23.0, [-1.8391439624306376e-3, 1.2134186063769604e-4, -1.3346844492065086e-5]),
    ("i0e", 25.0, [-1.6206602281439364e-3, 9.8275923516161907e-5, -9.9346935363444e-6]),
    ("i0e", -1000.0, [6.3101989626271155e-6, 9.4676683256014869e-9, 2.3675099972830331e-11]),
    ("i0e", 100000.0, [-6.307854959639557e-9, 9.4618060942702585e-14, -2.3654574373146493e-18]),
    ("i0e", 10000000.0, [-6.3078315415940962e-12, 9.4617475489348626e-19, -2.3654369463696497e-25]),
    ("i1e", 0.5, [1.7577286089453498e-1, -3.9024983720839651e-1, 7.3858687598233554e-1]),
    ("i1e", -3.0, [-1.9435263567909073e-2, -1.6096787034987585e-3, 5.6934350252076403e-3]),
    ("i1e", 23.0, [-1.7178021017929416e-3, 1.0799501614563095e-4, -1.1290928104121216e-5]),
    ("i1e", 25.0, [-1.5223843046277745e-3, 8.8341229979817507e-5, -8.5283279425266535e-6]),
    ("i1e", -1000.0, [-6.300731294301514e-6, -9.4439932256286566e-9, -2.3592216355258613e-11]),
    ("i1e", 100000.0, [-6.3077603415786143e-9, 9.461569548526527e-14, -2.3653746460973606e-18]),
    ("i1e", 10000000.0, [-6.3078305954193413e-12, 9.4617451834979163e-19, -2.3654361184666977e-25]),
];

/// The name of a function of two operands, the index of the operand by which it is differentiated, the operands, and the
/// first three derivatives there.
#[rustfmt::skip]
#[allow(clippy::excessive_precision, reason = "the digits of mpmath, as it prints them")]
const PAIRS: [(&str, usize, [f64; 2], [f64; 3]); 10] = [
    ("gammainc", 1, [21.0, 15.0], [0.041810305001064591, 0.013936768333688197, 0.00092911788891254646]),
    ("gammainc", 1, [100.0, 80.0], [0.0049243226989990746, 0.0011695266410122802, 0.00020158946049027462]),
    ("gammainc", 1, [100.0, 180.0], [1.3457599761234467e-11, -6.0559198925555103e-12, 2.6840435079350965e-12]),
    ("gammainc", 1, [10000.0, 9800.0], [0.00053620847833239513, 1.0888315019198636e-5, 1.6527325463968722e-7]),
    ("gammainc", 1, [10000.0, 10300.0], [4.6986349278486108e-5, -1.3730962264877979e-6, 3.5697933118527074e-8]),
    ("gammainc", 1, [1000000.0, 1002000.0], [5.4026860136788029e-5, -1.0789196320729825e-7, 1.6164955110201903e-10]),
    ("gammainc", 1, [16777220.0, 16769216.0], [1.4431588693062256e-5, 6.8873824697932947e-9, 2.4259479888757881e-12]),
    ("gammainc", 1, [0.5, 3.0], [0.016217391109880487, -0.018920289628193901, 0.022974637405664023]),
    ("gammaincc", 1, [10000.0, 9800.0], [-0.00053620847833239513, -1.0888315019198636e-5, -1.6527325463968722e-7]),
    ("gammaincc", 1, [1000000.0, 1002000.0], [-5.4026860136788029e-5, 1.0789196320729825e-7, -1.6164955110201903e-10]),
];

/// The largest relative errors of the derivatives of each order. Each derivative of a formula may lose digits to the one
/// before.
const BOUNDS: [(DType, [f64; 3]); 2] = [(DType::F64, [2e-14, 1e-12, 1e-9]), (DType::F32, [1e-5, 5e-4, 2e-2])];

on_devices! {

fn derivatives_far_from_0_keep_their_digits(d: &Device) {
    for (dtype, bounds) in BOUNDS.into_iter().filter(|(dtype, _)| has(d, *dtype)) {
        for row in testing::rows() {
            let points = || POINTS.iter().filter(|p| p.0 == row.name());
            if points().next().is_none() {
                continue;
            }
            let operands: Vec<f64> = points().map(|p| p.1).collect();
            let x = Expr::from(&put::<f64>(&Device::cpu(), operands, &[points().count()]).astype(dtype).to_device(d).unwrap());
            let mut y = row.apply(std::slice::from_ref(&x));
            for (order, bound) in bounds.into_iter().enumerate() {
                [y] = grad(&y.sum(..), [&x]);
                let found = y.to_device(&Device::cpu()).unwrap().astype(DType::F64).to_vec::<f64>().unwrap();
                for (found, (name, x, exact)) in found.into_iter().zip(points()) {
                    let error = (found / exact[order] - 1.0).abs();
                    assert!(error <= bound, "derivative {} of {name}({x}) in {dtype}: {found}, exact {}", order + 1, exact[order]);
                }
            }
        }
    }
}

fn derivatives_of_pairs_keep_their_digits(d: &Device) {
    for (dtype, bounds) in BOUNDS.into_iter().filter(|(dtype, _)| has(d, *dtype)) {
        for (name, by, operands, exact) in PAIRS {
            let row = testing::rows().into_iter().find(|row| row.name() == name).unwrap();
            let x = operands.map(|x| {
                let x = put::<f64>(&Device::cpu(), vec![x], &[1]).astype(dtype).to_device(d).unwrap();
                Expr::from(&x)
            });
            let mut y = row.apply(&x);
            for (order, bound) in bounds.into_iter().enumerate() {
                [y] = grad(&y.sum(..), [&x[by]]);
                let found = y.to_device(&Device::cpu()).unwrap().astype(DType::F64).to_vec::<f64>().unwrap()[0];
                let error = (found / exact[order] - 1.0).abs();
                assert!(
                    error <= bound,
                    "derivative {} of {name}{operands:?} by operand {by} in {dtype}: {found}, exact {}",
                    order + 1,
                    exact[order]
                );
            }
        }
    }
}

fn derivatives_at_infinity_are_limits(d: &Device) {
    let slope = |x: f32, f: fn(&Expr) -> Expr| slope_of(d, &[x], f)[0];
    assert_eq!(slope(f32::INFINITY, |x| x.erfcx()), 0.0);
    assert_eq!(slope(f32::NEG_INFINITY, |x| x.log_ndtr()), f32::INFINITY);
    assert_eq!(slope(f32::INFINITY, |x| x.log_ndtr()), 0.0);
    let integrals: [fn(&Expr) -> Expr; 2] = [|x| gammainc(2.5f32, x), |x| gammaincc(1e4f32, x)];
    for f in integrals {
        assert_eq!([slope(0.0, f), slope(f32::INFINITY, f)], [0.0; 2]);
    }
    for f in [Expr::i0e, Expr::i1e] {
        assert_eq!([slope(f32::INFINITY, f), slope(f32::NEG_INFINITY, f)], [0.0; 2]);
        assert!(slope(f32::NAN, f).is_nan());
    }
}

}
