//! Elementwise functions built from others: comparisons within a tolerance, roundings, parts of numbers, limits.

use super::{COMPOSITE, EVERY, Operation, float_type};
use cupric::ErrorKind as K;
use cupric::*;

/// Composite elementwise functions.
pub const ELEMENTS: &[Operation] = &[
    Operation {
        name: "isclose",
        types: EVERY,
        result: |_| DType::Bool,
        refuses: |x, _| {
            vec![
                ("Expr::isclose", K::Shape, x.isclose(x.t(), 0.0, 0.0, false)),
                ("isclose", K::Shape, isclose(x, x.t(), 0.0, 0.0, false)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "allclose",
        types: EVERY,
        result: |_| DType::Bool,
        refuses: |x, _| {
            vec![
                ("Expr::allclose", K::Shape, x.allclose(x.t(), 0.0, 0.0, false)),
                ("allclose", K::Shape, allclose(x, x.t(), 0.0, 0.0, false)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "nan_to_num",
        refuses: |x, _| {
            vec![
                ("Expr::nan_to_num", K::Shape, (x + x.reshape([12])).nan_to_num()),
                ("Expr::nan_to_num_with", K::Shape, (x + x.reshape([12])).nan_to_num_with(0.0, 1.0, 2.0)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "round_to",
        types: EVERY,
        refuses: |x, _| vec![("Expr::round_to", K::Shape, (x + x.reshape([12])).round_to(1))],
        ..COMPOSITE
    },
    Operation {
        name: "divmod",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        refuses: |x, _| vec![("Expr::divmod", K::Shape, x.divmod(x.t()).0)],
        ..COMPOSITE
    },
    Operation {
        name: "modf",
        result: float_type,
        refuses: |x, _| vec![("Expr::modf", K::Shape, (x + x.reshape([12])).modf().0)],
        ..COMPOSITE
    },
    Operation {
        name: "frexp",
        result: float_type,
        refuses: |x, _| vec![("Expr::frexp", K::Shape, (x + x.reshape([12])).frexp().1)],
        ..COMPOSITE
    },
    Operation {
        name: "ldexp",
        result: float_type,
        refuses: |x, _| vec![("Expr::ldexp", K::DType, x.ldexp(0.5)), ("ldexp", K::DType, ldexp(x, x))],
        ..COMPOSITE
    },
    Operation {
        name: "heaviside",
        result: float_type,
        refuses: |x, _| {
            vec![("Expr::heaviside", K::Shape, x.heaviside(x.t())), ("heaviside", K::Shape, heaviside(x, x.t()))]
        },
        ..COMPOSITE
    },
    Operation {
        name: "clip_lower",
        refuses: |x, _| vec![("Expr::clip_lower", K::Shape, x.clip_lower(x.t()))],
        ..COMPOSITE
    },
    Operation {
        name: "clip_upper",
        refuses: |x, _| vec![("Expr::clip_upper", K::Shape, x.clip_upper(x.t()))],
        ..COMPOSITE
    },
];
