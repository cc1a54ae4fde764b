//! Operations that move elements, select among arrays, convert indices, or take differences of neighbours.

use super::{INTEGERS, MOVE, NUMBERS, Operation, first, float_type};
use cupric::ErrorKind as K;
use cupric::*;

/// Operations that move elements, and differences.
pub const MOVES: &[Operation] = &[
    Operation {
        name: "roll",
        build: |x, p| x[0].roll(3, p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::roll", K::Axis, x.roll(1, 2)),
                ("Expr::roll", K::Argument, x.roll([1, 2, 3], [0, 1])),
                ("Expr::roll", K::Argument, x.roll(1, Vec::<isize>::new())),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "repeat",
        build: |x, p| x[0].repeat(3, p.axis),
        refuses: |x, none| {
            vec![
                ("Expr::repeat", K::Axis, x.repeat(2, 2)),
                ("Expr::repeat", K::Axis, x.repeat(2, [0, 1])),
                ("Expr::repeat", K::Argument, x.repeat(-1, 0)),
                ("Expr::repeat", K::Shape, x.repeat([1, 2], 0)),
                ("Expr::repeat", K::LimitExceeded, x.repeat(usize::MAX, 0)),
                ("Expr::repeat", K::LimitExceeded, x.repeat([isize::MAX, 1, 1], 0)),
                ("Expr::repeat", K::LimitExceeded, none.repeat(isize::MAX, 1)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "tile",
        build: |x, _| x[0].tile([2, 3]),
        refuses: |x, _| {
            vec![
                ("Expr::tile", K::Argument, x.tile([2, -1])),
                ("Expr::tile", K::LimitExceeded, x.tile([isize::MAX, 2])),
                ("Expr::tile", K::LimitExceeded, x.tile(vec![1isize; 65])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "rot90",
        build: |x, _| x[0].rot90(1, (0, 1)),
        refuses: |x, _| {
            vec![
                ("Expr::rot90", K::Axis, x.rot90(1, (0, 2))),
                ("Expr::rot90", K::Axis, x.rot90(1, ..)),
                ("Expr::rot90", K::Axis, x.rot90(1, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "pad",
        build: |x, p| x[0].pad([(2, 1), (0, 3)], if p.axis == 0 { Pad::Reflect } else { Pad::constant(true) }),
        refuses: |x, none| {
            let half = Pad::constant(0.5);
            vec![
                ("Expr::pad", K::Argument, x.pad([(1, 1); 3], Pad::Edge)),
                ("Expr::pad", K::Argument, x.astype(DType::U8).pad(1, half)),
                ("Expr::pad", K::Argument, x.astype(DType::U8).pad(1, Pad::constant(300))),
                ("Expr::pad", K::LimitExceeded, x.pad(-1, half)),
                ("Expr::pad", K::LimitExceeded, x.pad((1, usize::MAX), Pad::Wrap)),
                ("Expr::pad", K::Shape, none.pad(1, Pad::Symmetric)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "insert",
        build: |x, p| x[0].insert([0, 1, 1], x[0].slice(s![0, 0]), p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::insert", K::Axis, x.insert(0, 1.0, 2)),
                ("Expr::insert", K::Index, x.insert(4, 1.0, 0)),
                ("Expr::insert", K::Index, x.insert([0, -4], 1.0, 0)),
                ("Expr::insert", K::Shape, x.insert([0, 1], zeros([3], DType::F32), 0)),
                ("Expr::insert", K::DType, x.astype(DType::I32).insert(0, zeros([4], DType::F32), 0)),
                ("Expr::insert", K::Argument, x.astype(DType::I32).insert(0, 0.5, 0)),
                ("Expr::insert", K::Argument, x.insert([SliceItem::Ellipsis], 0.5, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "delete",
        build: |x, p| x[0].delete(s![..;3], p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::delete", K::Axis, x.delete(0, 2)),
                ("Expr::delete", K::Index, x.delete(3, 0)),
                ("Expr::delete", K::Index, x.delete([0, -4], 0)),
                ("Expr::delete", K::Argument, x.delete([SliceItem::NewAxis], 0)),
                ("Expr::delete", K::Argument, x.delete(s![..;0], 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "block",
        build: |x, _| block([[&x[0], &x[0]], [&x[0], &x[0]]]),
        refuses: |x, _| {
            vec![
                ("block", K::Shape, block([[x], [&x.t()]])),
                ("block", K::Argument, block([[x; 0]])),
                ("block", K::DType, block([&x.astype(DType::U64), &x.astype(DType::I64)])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "tril",
        build: |x, p| x[0].tril(p.axis),
        refuses: |x, _| vec![("Expr::tril", K::Shape, x.sum(0).tril(0))],
        ..MOVE
    },
    Operation {
        name: "triu",
        build: |x, p| x[0].triu(p.axis),
        refuses: |x, _| vec![("Expr::triu", K::Shape, x.sum(..).triu(0))],
        ..MOVE
    },
    Operation {
        name: "diag",
        build: |x, p| if p.axis == 0 { x[0].slice(s![0, ..20]).diag(1) } else { x[0].diag(p.axis) },
        refuses: |x, _| {
            vec![
                ("Expr::diag", K::Shape, x.sum(..).diag(0)),
                ("Expr::diag", K::LimitExceeded, x.sum(0).diag(isize::MIN)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "diagflat",
        build: |x, p| x[0].slice(s![..2, ..3]).diagflat(p.axis),
        refuses: |x, _| vec![("Expr::diagflat", K::LimitExceeded, x.diagflat(1 << 40))],
        ..MOVE
    },
    Operation {
        name: "meshgrid",
        build: |x, p| {
            meshgrid([&x[0].slice(s![0]), &x[0].slice(s![.., 0])], Indexing::Xy).remove(p.axis.unsigned_abs())
        },
        refuses: |x, _| {
            let huge = zeros([1usize << 40], DType::F32);
            let one = x.slice(s![0, 0]).broadcast_to([1usize << 40]);
            vec![("meshgrid", K::LimitExceeded, meshgrid([&huge, &one], Indexing::Ij).remove(0))]
        },
        ..MOVE
    },
    Operation {
        name: "select_many",
        build: |x, _| {
            let [zero, one] = [zeros((), DType::Bool), ones((), DType::Bool)];
            select_many([&zero, &one], [&x[0].flip(..), &x[0]], x[0].flip(0))
        },
        refuses: |x, _| {
            let none: [&Expr; 0] = [];
            vec![
                ("select_many", K::Argument, select_many([x], [x, x], 0.0)),
                ("select_many", K::Argument, select_many(none, none, 0.0)),
                ("select_many", K::DType, select_many([x], [x.astype(DType::U64)], x.astype(DType::I64))),
                ("select_many", K::Shape, select_many([&x.t()], [x], 0.0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "choose",
        build: |x, _| arange(0, 2, 1, DType::I32).slice(s![1]).choose([&x[0].flip(..), &x[0]]),
        refuses: |x, _| {
            let none: [&Expr; 0] = [];
            vec![
                ("Expr::choose", K::Argument, first().choose(none)),
                ("Expr::choose", K::DType, x.choose([x])),
                ("Expr::choose", K::Shape, zeros([5], DType::I32).choose([x])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "fill_diagonal",
        build: |x, _| {
            // `fill_diagonal` writes; if it fails, we return an expression that carries an error instead
            let written = x[0].eval().and_then(|mut a| a.fill_diagonal(x[0].slice(s![0, 0])).map(|()| a));
            written.map_or_else(|_| x[0].reshape([-1, -1]), Expr::from)
        },
        ..MOVE
    },
    Operation {
        name: "unravel_index",
        types: INTEGERS,
        result: |_| DType::I64,
        build: |x, p| x[0].unravel_index([16, 16]).remove(p.axis.unsigned_abs()),
        ..MOVE
    },
    Operation {
        name: "ravel_multi_index",
        types: INTEGERS,
        result: |_| DType::I64,
        build: |x, _| ravel_multi_index([&x[0], &x[0]], [128, 128]),
        refuses: |x, none| {
            vec![
                ("ravel_multi_index", K::DType, ravel_multi_index([x, x], [3, 4])),
                ("ravel_multi_index", K::Argument, ravel_multi_index([first()], [3, 4])),
                ("ravel_multi_index", K::Shape, ravel_multi_index([first()], [-1])),
                ("ravel_multi_index", K::LimitExceeded, ravel_multi_index([first(), first()], [1usize << 30, 1 << 40])),
                ("ravel_multi_index", K::LimitExceeded, ravel_multi_index([first()], [1usize << 40])),
                ("ravel_multi_index", K::Index, ravel_multi_index([first()], [0])),
                ("ravel_multi_index", K::DType, ravel_multi_index(Clip([x]), [3])),
                ("ravel_multi_index", K::Index, ravel_multi_index(Clip([first()]), [0])),
                ("ravel_multi_index", K::DType, ravel_multi_index(Wrap([none]), [3])),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "diff",
        build: |x, p| x[0].diff(1, p.axis),
        refuses: |x, _| {
            vec![
                ("Expr::diff", K::Axis, x.diff(1, 2)),
                ("Expr::diff_with", K::Axis, x.diff_with(1, -3, None, None)),
                ("Expr::diff_with", K::Shape, x.diff_with(1, 0, Some(&x.t()), None)),
                ("Expr::diff_with", K::DType, x.astype(DType::I64).diff_with(1, 0, None, Some(&x.astype(DType::U64)))),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "ediff1d",
        types: NUMBERS,
        build: |x, _| x[0].ediff1d(Some(&x[0].slice(s![0])), Some(&x[0].slice(s![..1, 0]))),
        refuses: |x, _| {
            vec![
                ("Expr::ediff1d", K::DType, x.astype(DType::I32).ediff1d(Some(x), None)),
                ("Expr::ediff1d", K::Shape, (x + x.t()).ediff1d(None, None)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "gradient",
        result: float_type,
        build: |x, p| x[0].gradient(0.75, p.axis),
        refuses: |x, none| {
            vec![
                ("Expr::gradient", K::Axis, x.gradient(1.0, 2)),
                ("Expr::gradient", K::Shape, none.gradient(1.0, 0)),
                ("Expr::gradient", K::Shape, x.slice(s![..1]).gradient(1.0, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "trapezoid",
        result: float_type,
        build: |x, p| x[0].trapezoid(0.75, p.axis),
        refuses: |x, _| vec![("Expr::trapezoid", K::Axis, x.trapezoid(1.0, 2))],
        ..MOVE
    },
];
