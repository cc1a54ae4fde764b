//! Complex numbers: compared with NumPy (`data/fourier.txt`), their errors, and how they print.

use super::fourier::{GOLDEN, close, sequence};
use crate::kit::{error, golden, on_devices, put};
use cupric::{DType::*, *};

on_devices! {
    fn functions_are_numpys(d: &Device) {
        let z = Complex::new(sequence(d, &[2, 3, 5], 389), sequence(d, &[2, 3, 5], 641));
        let (a, b) = (z.map(|e| e.slice(s![0])), z.map(|e| e.slice(s![1])));
        let r = b.real().clone();
        let mut count = 0;
        for (name, shape, want) in golden(GOLDEN) {
            let e = match name {
                "add" => (&a + &b).to_interleaved(),
                "subtract" => (a.clone() - &b).to_interleaved(),
                "multiply" => (&a * b.clone()).to_interleaved(),
                "divide" => (&a / &b).to_interleaved(),
                "negative" => (-&a).to_interleaved(),
                "add real" => (&a + &r).to_interleaved(),
                "subtract real" => (&a - r.clone()).to_interleaved(),
                "multiply real" => (&a * &r).to_interleaved(),
                "divide real" => (&a / (&r + 0.25)).to_interleaved(),
                "real add" => (&r + &a).to_interleaved(),
                "real subtract" => (&r - &a).to_interleaved(),
                "real multiply" => (r.clone() * &a).to_interleaved(),
                "real divide" => (&r / &a).to_interleaved(),
                "abs" => a.abs(),
                "angle" => a.angle(),
                "conj" => a.conj().to_interleaved(),
                "exp" => (&a / 4).exp().to_interleaved(),
                "log" => a.log().to_interleaved(),
                "sqrt" => a.sqrt().to_interleaved(),
                "square" => a.square().to_interleaved(),
                "reciprocal" => a.reciprocal().to_interleaved(),
                "sum" => a.sum(0).to_interleaved(),
                "mean" => a.mean(..).to_interleaved(),
                "matmul" => a.matmul(b.map(|e| e.t())).to_interleaved(),
                "matmul real" => a.matmul(r.t()).to_interleaved(),
                _ => continue,
            };
            count += 1;
            close(&e, &shape, &want, name);
        }
        assert_eq!(count, 25);
    }

    fn extremes_do_not_overflow(d: &Device) {
        let z = Complex::new(put(d, vec![1.5e38f32, 0., -4., f32::INFINITY], &[4]), put(d, vec![1.5e38f32, 0., -0., 0.], &[4]));
        let (q, r) = (&z / z.clone(), z.sqrt());
        assert_eq!(q.real().to_vec::<f32>().unwrap()[0], 1.);
        assert_eq!(q.imag().to_vec::<f32>().unwrap()[0], 0.);
        assert!(q.real().to_vec::<f32>().unwrap()[1].is_nan());
        assert!((r.real().to_vec::<f32>().unwrap()[0] / 1.3455e19 - 1.).abs() < 1e-3);
        assert_eq!(r.real().to_vec::<f32>().unwrap()[1..3], [0., 0.]);
        assert_eq!(r.imag().to_vec::<f32>().unwrap()[1..3], [0., -2.]);
        assert_eq!(z.exp().imag().to_vec::<f32>().unwrap()[3], 0.);
        assert!(z.abs().to_vec::<f32>().unwrap()[0].is_finite());
    }

    fn both_parts_are_one_plan(d: &Device) {
        let z = Complex::new(put(d, vec![1f32; 6], &[6]), put(d, vec![2f32; 6], &[6]));
        let w = (&z * &z + 1.0).exp();
        assert_eq!(plan_many([w.real(), w.imag()]).unwrap().kernels(), 1);
    }
}

#[test]
fn parts_have_one_shape_and_dtype() {
    let z = Complex::new(array![[1], [2]], array![0.5f64, 1., 2.]);
    assert_eq!((z.shape().unwrap(), z.dtype().unwrap()), (&[2, 3][..], F64));
    assert_eq!(Complex::new(1, 2).dtype().unwrap(), F32);
    // Rust numbers take the dtype of the parts
    let (half, double) = (array![1.].astype(F16), array![1.].astype(F64));
    for x in [half, double] {
        let (z, t) = (Complex::new(&x, 0.1), x.dtype().unwrap());
        for w in [&z * 0.1, 0.1 * &z, &z + 0.1, 0.1 / &z, z.pow(2), z.pow(0.1)] {
            assert_eq!(w.dtype().unwrap(), t);
        }
        let rounded = x.sum(..) * 0.1;
        assert!(array_equal(&(&z * 0.1).real().sum(..), &rounded).unwrap());
    }
    assert_eq!((z.ndim().unwrap(), z.size().unwrap()), (2, 6));
    assert_eq!((2.0 * &z + 1).real().to_vec::<f64>().unwrap(), [3., 3., 3., 5., 5., 5.]);
    assert_eq!((1 - &z).imag().slice(s![0]).to_vec::<f64>().unwrap(), [-0.5, -1., -2.]);
}

#[test]
fn numbers_are_printed_as_numpy_prints_them() {
    let z = Complex::new(array![1., -3.5], array![2., -10.25]);
    assert_eq!(z.to_string(), "[ 1.  +2.j   -3.5-10.25j]");
    assert_eq!(z.map(|e| e.slice(s![0])).to_string(), "(1+2j)");
    assert_eq!(format!("{z:?}"), "Complex(f32, [2])");
    assert!(Complex::new(array![1., 2.], array![1., 2., 3.]).to_string().starts_with("<error: complex: "));
}

#[test]
fn refusals_name_the_operation() {
    let z = Complex::new(array![1., 2.], 0.0);
    assert!(error(Complex::from_interleaved(zeros([2, 3], F32)).imag()).starts_with("from_interleaved: shape [2, 3]"));
    assert!(error((&z + Complex::new(zeros([3], F32), 1.0)).real()).contains("add: cannot broadcast"));
    assert!(error(z.matmul(z.map(|e| e.reshape([1, 2]))).real()).contains("matmul"));
    assert!(Complex::new(zeros([2], F32), zeros([3], F32)).eval().is_err());
}
