//! Operations that read, write or add elements at indices or through a mask; and joins.

use super::{EVERY, Kind, MOVE, Operation, PLAIN, Pinned, Suite, first};
use cupric::ErrorKind as K;
use cupric::*;

/// Gathers, scatters, joins and writes.
pub const INDICES: &[Operation] = &[
    Operation {
        name: "take",
        kind: Kind::Gather,
        build: |x, p| x[0].take(&x[1], p.axis),
        refuses: |x, _| vec![("Expr::take", K::DType, x.take(x, 0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "take_clip",
        kind: Kind::Gather,
        // no types here, because the contract tests it together with `take`
        types: "",
        build: |x, p| x[0].take(Clip(&x[1]), p.axis),
        refuses: |x, _| vec![("Expr::take", K::DType, x.take(Clip(0.5), 0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "take_wrap",
        kind: Kind::Gather,
        types: "",
        build: |x, p| x[0].take(Wrap(&x[1]), p.axis),
        refuses: |x, _| vec![("Expr::take", K::Axis, x.take(Wrap(0), 2))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_add",
        kind: Kind::Scatter,
        types: EVERY,
        build: |x, p| x[0].index_add(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_add", K::Shape, x.index_add(0, zeros([1, 1], DType::I32), 1.0)),
                ("Expr::index_add", K::DType, x.index_add(0, zeros([1], DType::F32), 1.0)),
                ("Expr::index_add", K::Shape, whole.index_add(0, zeros([1, 1], DType::I32), 1)),
                ("Expr::index_add", K::Shape, whole.index_add(0, first(), zeros([2], DType::I32))),
                ("Expr::index_add", K::DType, whole.index_add(0, zeros([1], DType::F32), 1)),
                ("Expr::index_add", K::DType, whole.index_add(0, first(), zeros([1], DType::F32))),
                ("Expr::index_add", K::Argument, whole.index_add(0, first(), 1u64 << 40)),
                ("Expr::index_add", K::Index, none.astype(DType::I8).index_add(0, first(), 1)),
            ]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_add_clip",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_add(p.axis, Clip(&x[1]), &x[2]),
        refuses: |x, _| vec![("Expr::index_add", K::Axis, x.index_add(2, Clip(first()), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_add_wrap",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_add(p.axis, Wrap(&x[1]), &x[2]),
        refuses: |x, _| vec![("Expr::index_add", K::Axis, x.index_add(2, Wrap(first()), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_min",
        kind: Kind::Scatter,
        types: EVERY,
        build: |x, p| x[0].index_min(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_min", K::DType, x.index_min(0, zeros([1], DType::F32), 1.0)),
                ("Expr::index_min", K::Shape, whole.index_min(0, zeros([1, 1], DType::I32), 1)),
                ("Expr::index_min", K::Shape, whole.index_min(0, first(), zeros([2], DType::I32))),
                ("Expr::index_min", K::DType, whole.index_min(0, zeros([1], DType::F32), 1)),
                ("Expr::index_min", K::DType, whole.index_min(0, first(), zeros([1], DType::F32))),
                ("Expr::index_min", K::Argument, whole.index_min(0, first(), 1u64 << 40)),
                ("Expr::index_min", K::Index, none.astype(DType::I8).index_min(0, first(), 1)),
            ]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_min_clip",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_min(p.axis, Clip(&x[1]), &x[2]),
        refuses: |x, _| vec![("Expr::index_min", K::Axis, x.index_min(2, Clip(first()), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_min_wrap",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_min(p.axis, Wrap(&x[1]), &x[2]),
        refuses: |x, _| vec![("Expr::index_min", K::Axis, x.index_min(2, Wrap(first()), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_max",
        kind: Kind::Scatter,
        types: EVERY,
        build: |x, p| x[0].index_max(p.axis, &x[1], &x[2]),
        refuses: |x, none| {
            let whole = x.astype(DType::I32);
            vec![
                ("Expr::index_max", K::DType, x.index_max(0, zeros([1], DType::F32), 1.0)),
                ("Expr::index_max", K::Shape, whole.index_max(0, zeros([1, 1], DType::I32), 1)),
                ("Expr::index_max", K::Shape, whole.index_max(0, first(), zeros([2], DType::I32))),
                ("Expr::index_max", K::DType, whole.index_max(0, zeros([1], DType::F32), 1)),
                ("Expr::index_max", K::DType, whole.index_max(0, first(), zeros([1], DType::F32))),
                ("Expr::index_max", K::Argument, whole.index_max(0, first(), 1u64 << 40)),
                ("Expr::index_max", K::Index, none.astype(DType::I8).index_max(0, first(), 1)),
            ]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_max_clip",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_max(p.axis, Clip(&x[1]), &x[2]),
        refuses: |x, _| vec![("Expr::index_max", K::Axis, x.index_max(2, Clip(first()), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "index_max_wrap",
        kind: Kind::Scatter,
        types: "",
        build: |x, p| x[0].index_max(p.axis, Wrap(&x[1]), &x[2]),
        refuses: |x, _| vec![("Expr::index_max", K::Axis, x.index_max(2, Wrap(first()), 1))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "concat",
        kind: Kind::Join,
        build: |x, p| concat(x, p.axis),
        refuses: |x, _| {
            let huge = [zeros([1usize << 62, 0], DType::F32), zeros([1usize << 62, 0], DType::F32)];
            vec![("concat", K::Shape, concat([x, &x.t()], 0)), ("concat", K::LimitExceeded, concat(huge, 0))]
        },
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "stack",
        kind: Kind::Join,
        build: |x, p| stack(x, p.axis),
        refuses: |x, _| vec![("stack", K::Shape, stack([x, &x.t()], 0))],
        pinned: Pinned::Elsewhere,
        suite: Suite::Others,
        ..PLAIN
    },
    Operation {
        name: "take_along_axis",
        build: |x, p| x[0].take_along_axis(&x[1], p.axis),
        refuses: |x, none| {
            let i = zeros([3, 1], DType::I32);
            vec![
                ("Expr::take_along_axis", K::DType, x.take_along_axis(x, 0)),
                ("Expr::take_along_axis", K::Axis, x.take_along_axis(&i, 2)),
                ("Expr::take_along_axis", K::Shape, x.take_along_axis(first(), 0)),
                ("Expr::take_along_axis", K::Shape, x.take_along_axis(zeros([2, 4], DType::I32), 1)),
                ("Expr::take_along_axis", K::Index, none.take_along_axis(zeros([1, 3], DType::I32), 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "take_along_axis_clip",
        types: "",
        build: |x, p| x[0].take_along_axis(Clip(&x[1]), p.axis),
        refuses: |x, _| vec![("Expr::take_along_axis", K::DType, x.take_along_axis(Clip(x), 0))],
        ..MOVE
    },
    Operation {
        name: "take_along_axis_wrap",
        types: "",
        build: |x, p| x[0].take_along_axis(Wrap(&x[1]), p.axis),
        refuses: |x, _| vec![("Expr::take_along_axis", K::Axis, x.take_along_axis(Wrap(first()), 5))],
        ..MOVE
    },
    Operation {
        name: "put",
        build: |x, _| x[0].put(&x[1], x[0].flip(0)),
        refuses: |x, none| {
            vec![
                ("Expr::put", K::DType, x.put(0.5, 1.0)),
                ("Expr::put", K::DType, x.astype(DType::I32).put(0, zeros([1], DType::F32))),
                ("Expr::put", K::Argument, x.astype(DType::U8).put(0, 300)),
                ("Expr::put", K::Shape, x.put(first(), zeros([2], DType::F32))),
                ("Expr::put", K::Index, none.put(0, 1.0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "put_clip",
        types: "",
        build: |x, _| x[0].put(Clip(&x[1]), x[0].flip(0)),
        refuses: |x, _| vec![("Expr::put", K::DType, x.put(Clip(0.5), 1.0))],
        ..MOVE
    },
    Operation {
        name: "put_wrap",
        types: "",
        build: |x, _| x[0].put(Wrap(&x[1]), x[0].flip(0)),
        refuses: |x, _| vec![("Expr::put", K::DType, x.put(Wrap(0.5), 1.0))],
        ..MOVE
    },
    Operation {
        name: "put_along_axis",
        build: |x, p| x[0].put_along_axis(&x[1], x[0].flip(0), p.axis),
        refuses: |x, none| {
            let i = zeros([3, 1], DType::I32);
            vec![
                ("Expr::put_along_axis", K::DType, x.put_along_axis(x, 1.0, 0)),
                ("Expr::put_along_axis", K::Axis, x.put_along_axis(&i, 1.0, 2)),
                ("Expr::put_along_axis", K::Shape, x.put_along_axis(first(), 1.0, 0)),
                ("Expr::put_along_axis", K::Shape, x.put_along_axis(zeros([2, 4], DType::I32), 1.0, 1)),
                ("Expr::put_along_axis", K::Shape, x.put_along_axis(&i, zeros([2], DType::F32), 1)),
                ("Expr::put_along_axis", K::Index, none.put_along_axis(zeros([1, 3], DType::I32), 1.0, 0)),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "put_along_axis_clip",
        types: "",
        build: |x, p| x[0].put_along_axis(Clip(&x[1]), x[0].flip(0), p.axis),
        refuses: |x, _| vec![("Expr::put_along_axis", K::DType, x.put_along_axis(Clip(x), 1.0, 0))],
        ..MOVE
    },
    Operation {
        name: "put_along_axis_wrap",
        types: "",
        build: |x, p| x[0].put_along_axis(Wrap(&x[1]), x[0].flip(0), p.axis),
        refuses: |x, _| vec![("Expr::put_along_axis", K::Axis, x.put_along_axis(Wrap(first()), 1.0, 5))],
        ..MOVE
    },
    Operation {
        name: "take_at",
        build: |x, _| x[0].take_at((0, x[1].slice(s![0]).clip(0, 0))),
        refuses: |x, none| {
            vec![
                ("Expr::take_at", K::Argument, x.take_at([0; 0])),
                ("Expr::take_at", K::Argument, x.take_at((0, 0, 0))),
                ("Expr::take_at", K::DType, x.take_at((0, 0.5))),
                ("Expr::take_at", K::Shape, x.take_at((zeros([2], DType::I32), zeros([3], DType::I32)))),
                ("Expr::take_at", K::Index, none.take_at((0,))),
            ]
        },
        ..MOVE
    },
    Operation {
        name: "take_at_clip",
        types: "",
        build: |x, _| x[0].take_at(Clip((&x[1], &x[1]))),
        refuses: |x, _| vec![("Expr::take_at", K::DType, x.take_at(Clip((0, 0.5))))],
        ..MOVE
    },
    Operation {
        name: "take_at_wrap",
        types: "",
        build: |x, _| x[0].take_at(Wrap((&x[1], &x[1]))),
        refuses: |x, _| vec![("Expr::take_at", K::Argument, x.take_at(Wrap((0, 0, 0))))],
        ..MOVE
    },
    Operation {
        name: "set_at",
        build: |x, _| {
            let written = x[0].eval().and_then(|mut a| a.set_at(Wrap((&x[1], &x[1])), x[0].flip(0)).map(|()| a));
            written.map_or_else(|_| x[0].reshape([-1, -1]), Expr::from)
        },
        ..MOVE
    },
    Operation {
        name: "set_where",
        build: |x, _| {
            let written = x[0].eval().and_then(|mut a| a.set_where(x[1].greater(0), x[0].flip(0)).map(|()| a));
            written.map_or_else(|_| x[0].reshape([-1, -1]), Expr::from)
        },
        ..MOVE
    },
    Operation {
        name: "compress",
        build: |x, _| x[0].compress(x[1].greater(0)).map_or_else(|_| x[0].reshape([-1, -1]), Expr::from),
        ..MOVE
    },
];
