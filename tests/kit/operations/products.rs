//! Matrix products, and operations built from them: contractions, norms, covariances, convolutions, polynomials.

use super::{COMPOSITE, EVERY, Kind, Operation, PLAIN, Pinned, Suite, float_type, sum_type};
use cupric::ErrorKind as K;
use cupric::*;

/// Products, and operations that are built from them.
pub const PRODUCTS: &[Operation] = &[
    Operation {
        name: "matmul",
        kind: Kind::Product,
        build: |x, _| x[0].matmul(&x[1]),
        refuses: |x, _| vec![("Expr::matmul", K::Shape, x.matmul(x)), ("matmul", K::Shape, matmul(x, 2.0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Products,
        ..PLAIN
    },
    Operation { name: "vecdot", refuses: |x, _| vec![("Expr::vecdot", K::Shape, x.vecdot(x.t(), -1))], ..COMPOSITE },
    Operation { name: "inner", refuses: |x, none| vec![("Expr::inner", K::Shape, x.inner(none))], ..COMPOSITE },
    Operation {
        name: "tensordot",
        refuses: |x, _| vec![("tensordot", K::Axis, tensordot(x, x, 3)), ("tensordot", K::Shape, tensordot(x, x, 1))],
        ..COMPOSITE
    },
    Operation {
        name: "einsum",
        refuses: |x, _| {
            vec![("einsum", K::Argument, einsum("ij,jk", [x])), ("einsum", K::Shape, einsum("ij,ij", [x, &x.t()]))]
        },
        ..COMPOSITE
    },
    Operation {
        name: "multi_dot",
        refuses: |x, _| vec![("multi_dot", K::Argument, multi_dot([x])), ("multi_dot", K::Shape, multi_dot([x, x]))],
        ..COMPOSITE
    },
    Operation {
        name: "cross",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        refuses: |x, _| {
            vec![("Expr::cross", K::Shape, x.cross(x, 1)), ("Expr::cross", K::DType, x.less(0).cross(x.less(0), 0))]
        },
        ..COMPOSITE
    },
    Operation {
        name: "outer",
        refuses: |x, _| vec![("Expr::outer", K::Shape, (x + x.reshape([12])).outer(x))],
        ..COMPOSITE
    },
    Operation {
        name: "kron",
        refuses: |x, _| vec![("Expr::kron", K::Shape, x.kron(x + x.reshape([12])))],
        ..COMPOSITE
    },
    Operation {
        name: "trace",
        result: sum_type,
        refuses: |x, _| vec![("Expr::trace", K::Axis, x.trace(0, 1, 1))],
        ..COMPOSITE
    },
    Operation {
        name: "matrix_power",
        refuses: |x, _| vec![("Expr::matrix_power", K::Shape, x.matrix_power(2))],
        ..COMPOSITE
    },
    Operation {
        name: "vector_norm",
        types: EVERY,
        result: float_type,
        refuses: |x, _| {
            vec![
                ("Expr::vector_norm", K::Axis, x.vector_norm(2, 2.0)),
                ("Expr::vector_norm", K::Argument, x.vector_norm(0, NAN)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "matrix_norm",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::matrix_norm", K::Axis, x.matrix_norm(0, MatrixNorm::One))],
        ..COMPOSITE
    },
    Operation {
        name: "average",
        types: EVERY,
        result: float_type,
        refuses: |x, none| vec![("Expr::average", K::Shape, x.average(1, none))],
        ..COMPOSITE
    },
    Operation {
        name: "cov",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::cov", K::Shape, x.expand_dims(0).cov(true, 1.0))],
        ..COMPOSITE
    },
    Operation {
        name: "corrcoef",
        types: EVERY,
        result: float_type,
        refuses: |x, _| vec![("Expr::corrcoef", K::Shape, x.expand_dims(0).corrcoef(true))],
        ..COMPOSITE
    },
    Operation {
        name: "convolve",
        refuses: |x, _| vec![("convolve", K::Shape, convolve(x, x, WindowMode::Full))],
        ..COMPOSITE
    },
    Operation {
        name: "correlate",
        refuses: |x, _| vec![("correlate", K::Shape, correlate(x, x, WindowMode::Full))],
        ..COMPOSITE
    },
    Operation {
        name: "polyval",
        types: EVERY,
        refuses: |x, _| vec![("Expr::polyval", K::Shape, x.polyval(x))],
        ..COMPOSITE
    },
];
