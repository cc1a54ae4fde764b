//! Conversions and generators: ranges, grids, random numbers.

use super::{GENERATOR, Kind, Operation, PLAIN, Pinned, Suite};
use cupric::ErrorKind as K;
use cupric::*;

/// Conversions and generators.
pub const GENERATORS: &[Operation] = &[
    Operation {
        name: "astype",
        kind: Kind::Conversion,
        build: |x, p| x[0].astype(p.dtype),
        refuses: |x, _| vec![("Expr::astype", K::Shape, (x + x.reshape([12])).astype(DType::I32))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "arange",
        types: "u8 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| arange(0, p.shape[0], 1, p.dtype),
        refuses: |_, _| vec![("arange", K::Argument, arange(0, 10, 0, DType::I32))],
        ..GENERATOR
    },
    Operation {
        name: "linspace",
        types: "f16 bf16 f32 f64",
        build: |_, p| linspace(0.0, 1.0, p.shape[0], p.dtype),
        refuses: |_, _| vec![("linspace", K::LimitExceeded, linspace(0.0, 1.0, 1 << 40, DType::F32))],
        ..GENERATOR
    },
    Operation {
        name: "tri",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| tri(1, p.shape[0], 50, p.dtype).slice(s![0]),
        refuses: |_, _| {
            vec![
                ("tri", K::LimitExceeded, tri(1 << 40, 1, 0, DType::F32)),
                ("tri", K::LimitExceeded, tri(usize::MAX, 2, 0, DType::F32)),
            ]
        },
        suite: Suite::Moves,
        ..GENERATOR
    },
    Operation {
        name: "eye_shifted",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| eye_shifted(1, p.shape[0], 50, p.dtype).slice(s![0]),
        refuses: |_, _| vec![("eye_shifted", K::LimitExceeded, eye_shifted(1 << 40, 1, 0, DType::F32))],
        suite: Suite::Moves,
        ..GENERATOR
    },
    Operation {
        name: "indices",
        types: "u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64",
        build: |_, p| indices(p.shape[0], p.dtype).slice(s![0]),
        refuses: |_, _| {
            vec![
                ("indices", K::Argument, indices([300], DType::U8)),
                ("indices", K::Argument, indices([3], DType::Bool)),
                ("indices", K::Shape, indices([-3], DType::I32)),
                ("indices", K::LimitExceeded, indices([1usize << 40], DType::I64)),
            ]
        },
        suite: Suite::Moves,
        ..GENERATOR
    },
    Operation {
        name: "logspace",
        types: "f16 bf16 f32 f64",
        build: |_, p| logspace(-1.0, 1.0, p.shape[0], 10.0, p.dtype),
        refuses: |_, _| {
            vec![
                ("logspace", K::LimitExceeded, logspace(0.0, 1.0, 1 << 40, 10.0, DType::F32)),
                ("logspace", K::DType, logspace(0.0, 1.0, 3, 10.0, DType::I32)),
                ("logspace", K::Argument, logspace(0.0, INF, 3, 10.0, DType::F32)),
                ("logspace", K::Argument, logspace(0.0, 1.0, 3, -10.0, DType::F32)),
                ("logspace", K::Argument, logspace(0.0, 1e300, 3, 10.0, DType::F32)),
            ]
        },
        ..GENERATOR
    },
    Operation {
        name: "geomspace",
        types: "f16 bf16 f32 f64",
        build: |_, p| geomspace(0.25, 4.0, p.shape[0], p.dtype),
        refuses: |_, _| {
            vec![
                ("geomspace", K::LimitExceeded, geomspace(1.0, 2.0, 1 << 40, DType::F32)),
                ("geomspace", K::DType, geomspace(1.0, 2.0, 3, DType::I32)),
                ("geomspace", K::Argument, geomspace(1.0, NAN, 3, DType::F32)),
                ("geomspace", K::Argument, geomspace(0.0, 1.0, 3, DType::F32)),
                ("geomspace", K::Argument, geomspace(-1.0, 1.0, 3, DType::F32)),
            ]
        },
        ..GENERATOR
    },
    Operation {
        name: "uniform",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).uniform(&p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::uniform", K::LimitExceeded, Rng::new(1).uniform([1 << 20, 1 << 20], DType::F32))],
        ..GENERATOR
    },
    Operation {
        name: "normal",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).normal(&p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::normal", K::LimitExceeded, Rng::new(1).normal([1 << 20, 1 << 20], DType::F32))],
        ..GENERATOR
    },
    Operation {
        name: "integers",
        types: "u8 i32 u64 i64",
        build: |_, p| Rng::new(1).integers(0, 7, &p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::integers", K::Argument, Rng::new(1).integers(3, 3, [2], DType::I32))],
        ..GENERATOR
    },
    Operation {
        name: "bernoulli",
        types: "bool f32",
        build: |_, p| Rng::new(1).bernoulli(0.4, &p.shape[..], p.dtype),
        refuses: |_, _| vec![("Rng::bernoulli", K::Argument, Rng::new(1).bernoulli(1.5, [2], DType::Bool))],
        ..GENERATOR
    },
    Operation {
        name: "exponential",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).exponential(1.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
    Operation {
        name: "gumbel",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).gumbel(0.0, 1.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
    Operation {
        name: "laplace",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).laplace(0.0, 1.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
    Operation {
        name: "truncated_normal",
        types: "f16 bf16 f32 f64",
        build: |_, p| Rng::new(1).truncated_normal(-1.0, 2.0, &p.shape[..], p.dtype),
        ..GENERATOR
    },
];
