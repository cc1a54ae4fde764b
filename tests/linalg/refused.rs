//! Calls that return an error, and that the errors affect nothing else.

use crate::kit::{error, on_devices, put};
use cupric::linalg::*;
use cupric::{DType::*, *};

/// The error of a computation, whether evaluation or a later wait reports it.
fn late(d: &Device, e: &Expr) -> Error {
    match e.eval() {
        Err(e) => e,
        Ok(_) => d.synchronize().expect_err("it should be refused"),
    }
}

on_devices! {
    fn matrices_are_named_by_their_position(d: &Device) {
        for n in if d.is_gpu() { vec![3, 70] } else { vec![3, 20, 70, 200] } {
            let identity = eye(n, F32).to_device(d).unwrap();
            let all = identity.broadcast_to([5, n, n]).eval().unwrap();
            for row in [0, n / 2, n - 1] {
                for bad in [0.0, -1.0, f64::NAN] {
                    let at = arange(0, n, 1, I32);
                    let there = at.equal(row).expand_dims(0) & at.equal(row).expand_dims(1);
                    let there = there.expand_dims(0) & arange(0, 5, 1, I32).equal(3).reshape([5, 1, 1]);
                    let x = select(&there, bad as f32, &all).eval().unwrap();
                    let e = late(d, &cholesky(&x, Triangle::Lower));
                    assert_eq!((e.kind(), e.operation()), (ErrorKind::Singular, "cholesky"), "{e}");
                    let want = format!("matrix 3 of the 5 in the batch is not positive definite: the pivot of row {row} is not positive. If rounding made it so, add a small multiple of the identity");
                    assert!(e.to_string().contains(&want) && e.to_string().contains("refused.rs"), "{e}");
                    let e = late(d, &cholesky(x.slice(s![3]), Triangle::Upper));
                    assert!(e.to_string().contains("the matrix is not positive definite"), "{e}");
                    if bad == 0.0 {
                        // the error names the function that the user called
                        for (name, e) in [
                            ("solve", solve(&x, &all)),
                            ("inv", inv(&x)),
                            ("solve_triangular", solve_triangular(&x, &all, Triangle::Upper)),
                            ("matrix_power", x.matrix_power(-2)),
                            ("cond", cond(&x, MatrixNorm::One)),
                            ("lu", grad(&lu(&x).2.sum(..), [&x.clone().into()])[0].clone()),
                        ] {
                            let e = late(d, &e);
                            assert_eq!((e.kind(), e.operation()), (ErrorKind::Singular, name), "{e}");
                            // elimination moves the row of zeros to the end, so we do not compare its index
                            assert!(e.to_string().contains("matrix 3 of the 5 in the batch is singular: element "), "{e}");
                        }
                        assert_eq!(det(&x).to_vec::<f32>().unwrap(), [1., 1., 1., 0., 1.]);
                    }
                }
            }
            // later calls on the device are not affected by these errors
            assert_eq!(cholesky(&all, Triangle::Lower).to_vec::<f32>().unwrap(), all.to_vec::<f32>().unwrap());
        }
    }

    fn a_write_that_fails_leaves_the_target(d: &Device) {
        let mut x = put(d, vec![1f32, 0., 0., -1.], &[2, 2]);
        let written = x.update(|x| cholesky(x, Triangle::Lower));
        let e = written.and_then(|()| d.synchronize()).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Singular, "{e}");
        if !d.is_gpu() {
            assert_eq!(x.to_vec::<f32>().unwrap(), [1., 0., 0., -1.]);
        }
        let mut y = put(d, vec![4f32, 0., 0., 9.], &[2, 2]);
        y.update(|y| cholesky(y, Triangle::Lower)).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap(), [2., 0., 0., 3.]);
    }

    fn shapes_that_do_not_fit_are_refused(d: &Device) {
        let x = put(d, vec![1f32; 12], &[3, 4]);
        let square = put(d, vec![1f32; 9], &[3, 3]);
        let text = error(&cholesky(&x, Triangle::Lower));
        assert!(text.contains("cholesky: shape [3, 4]: the matrices have 3 rows and 4 columns, and must be square"), "{text}");
        for e in [inv(&x), det(&x), slogdet(&x).0, slogdet(&x).1, solve(&x, &x), solve_triangular(&x, &x, Triangle::Lower)] {
            assert!(error(&e).contains("must be square"), "{}", error(&e));
        }
        for e in [det(x.slice(s![0])), lu(x.slice(s![0])).0, inv(1.0)] {
            assert!(error(&e).contains("fewer than the two axes"), "{}", error(&e));
        }
        for (b, want) in [
            (x.t(), "solve: shapes [3, 3] and [4, 3]: matrices of 3 rows need right sides of 3 rows, not 4"),
            (x.slice(s![0]), "solve: shapes [3, 3] and [4]: matrices of 3 rows"),
            (x.sum(..), "solve: shapes [3, 3] and []: a right side has at least one axis"),
        ] {
            assert!(error(&solve(&square, &b)).contains(want), "{}", error(&solve(&square, &b)));
        }
        let batches = solve(square.broadcast_to([2, 3, 3]), square.broadcast_to([4, 3, 3]));
        assert!(error(&batches).contains("solve: shapes [2, 3, 3] and [4, 3, 3]"), "{}", error(&batches));
        assert!(error(&cholesky(&square, Triangle::UnitLower)).contains("no unit diagonal"));
    }
}

#[test]
fn matrices_too_large_are_refused_at_once() {
    let x = zeros([1 << 20, 1 << 20], F32);
    for e in [cholesky(&x, Triangle::Lower), lu(&x).0, solve(&x, &x), det(&x)] {
        assert!(error(&e).contains("at most 65536"), "{}", error(&e));
    }
}
