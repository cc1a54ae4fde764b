//! Attention, convolutions, pooling, `dropout` and `clip_by_norm`.

use super::{COMPOSITE, NUMBERS, Operation, float_type};
use cupric::ErrorKind as K;
use cupric::*;

fn conv() -> Conv {
    Conv::default()
}

pub const NETWORK: &[Operation] = &[
    Operation {
        name: "conv1d",
        types: NUMBERS,
        refuses: |x, none| {
            let (a, w) = (x.expand_dims(0), x.expand_dims(1));
            vec![
                ("Expr::conv1d", K::Shape, x.conv1d(x, conv())),
                ("Expr::conv1d", K::Shape, none.conv1d(&w, conv())),
                ("Expr::conv1d", K::Argument, a.conv1d(x.expand_dims(1).broadcast_to([3, 3, 4]), conv().stride(0))),
                ("Expr::conv1d", K::DType, a.less(0).conv1d(&w, conv())),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "conv_transpose1d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::conv_transpose1d", K::Shape, x.conv_transpose1d(x, conv()))],
        ..COMPOSITE
    },
    Operation {
        name: "conv2d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::conv2d", K::Shape, x.conv2d(x, conv()))],
        ..COMPOSITE
    },
    Operation {
        name: "conv_transpose2d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::conv_transpose2d", K::Shape, x.conv_transpose2d(x, conv()))],
        ..COMPOSITE
    },
    Operation {
        name: "conv3d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::conv3d", K::Shape, x.conv3d(x, conv()))],
        ..COMPOSITE
    },
    Operation {
        name: "conv_transpose3d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::conv_transpose3d", K::Shape, x.conv_transpose3d(x, conv()))],
        ..COMPOSITE
    },
    Operation {
        name: "max_pool1d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::max_pool1d", K::Shape, x.max_pool1d(5))],
        ..COMPOSITE
    },
    Operation {
        name: "avg_pool1d",
        types: NUMBERS,
        result: float_type,
        refuses: |x, _| vec![("Expr::avg_pool1d", K::Shape, x.avg_pool1d(5))],
        ..COMPOSITE
    },
    Operation {
        name: "max_pool2d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::max_pool2d", K::Shape, x.max_pool2d(2))],
        ..COMPOSITE
    },
    Operation {
        name: "avg_pool2d",
        types: NUMBERS,
        result: float_type,
        refuses: |x, _| vec![("Expr::avg_pool2d", K::Shape, x.avg_pool2d(2))],
        ..COMPOSITE
    },
    Operation {
        name: "max_pool3d",
        types: NUMBERS,
        refuses: |x, _| vec![("Expr::max_pool3d", K::Shape, x.max_pool3d(2))],
        ..COMPOSITE
    },
    Operation {
        name: "avg_pool3d",
        types: NUMBERS,
        result: float_type,
        refuses: |x, _| vec![("Expr::avg_pool3d", K::Shape, x.avg_pool3d(2))],
        ..COMPOSITE
    },
    Operation {
        name: "dropout",
        types: "f16 bf16 f32 f64",
        refuses: |x, _| {
            let mut rng = Rng::new(1);
            vec![
                ("Expr::dropout", K::Argument, x.dropout(1.5, &mut rng)),
                ("Expr::dropout", K::DType, x.less(0).dropout(0.5, &mut rng)),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "attention",
        // no types here, because it consists of products and a softmax, which the contract tests
        types: "",
        refuses: |x, none| {
            let all = Attention::default;
            vec![
                ("attention", K::Shape, attention(x, x.expand_dims(0).slice(s![.., .., ..2]), x, all())),
                ("attention", K::DType, attention(x.less(0), x, x, all())),
                ("attention", K::DType, attention(x, x, x, all().mask(none.astype(DType::I32)))),
            ]
        },
        ..COMPOSITE
    },
    Operation {
        name: "clip_by_norm",
        // no types here, because it multiplies by a quotient of norms, which the contract tests
        types: "",
        refuses: |x, _| vec![("Expr::clip_by_norm", K::Argument, x.clip_by_norm(0.0))],
        ..COMPOSITE
    },
];
