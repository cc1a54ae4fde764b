//! Kernels: any expression, planned for any GPU, gives WGSL that naga validates with the features of that GPU alone, or
//! a typed error.

use super::operations::{self, Params};
use super::source::Source;
use cupric::testing::{Caps, Half, Row, card, plan_within, rows};
use cupric::{
    Array, Clip, DType, ErrorKind, Expr, Pad, QuantileMethod, Rng, Side, Wrap, concat, descending, interp, keep, s,
    searchsorted, zeros,
};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

const DTYPES: [DType; 13] = [
    DType::F32,
    DType::I32,
    DType::F16,
    DType::Bool,
    DType::U8,
    DType::U32,
    DType::BF16,
    DType::I8,
    DType::U16,
    DType::I16,
    DType::I64,
    DType::U64,
    DType::F64,
];
const SHAPES: [&[usize]; 12] = [
    &[8, 6],
    &[6],
    &[],
    &[1, 6],
    &[8, 1],
    &[48],
    &[2, 4, 6],
    &[3, 1, 5, 2],
    &[0, 6],
    &[40, 50],
    &[1000],
    &[2, 2, 2, 2, 2, 2],
];

/// Returns a stored array. Arrays are reused, because a plan only depends on their layout.
fn stored(shape: &'static [usize], dtype: DType) -> Array {
    thread_local! { static ARRAYS: RefCell<HashMap<(&'static [usize], DType), Array>> = RefCell::default() }
    ARRAYS.with_borrow_mut(|all| {
        all.entry((shape, dtype)).or_insert_with(|| zeros(shape, dtype).eval().expect("zeros")).clone()
    })
}

fn table() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(rows)
}

fn caps(s: &mut Source) -> Caps {
    let int64 = s.below(4) > 0;
    Caps {
        int64,
        float64: int64 && s.below(4) > 0,
        max_binding: s.of(&[(1 << 31) - 256, 1 << 16, (1 << 27) - 256, 1 << 12, 1 << 20]),
        max_buffer: s.of(&[1 << 35, 1 << 28, 1 << 16]),
        max_bindings: s.of(&[7, 14, 5, 6, 9]),
        max_values: s.of(&[256, 24, 64]),
        max_cost: s.of(&[256, u32::MAX, 40]),
        max_row: s.of(&[16_384, 32, 256]),
        max_reduce: s.of(&[[4096, 256], [64, 16], [512, 512]]),
        max_indices: s.of(&[1 << 31, 65_535 * 256, 1024, 1 << 16]),
        ..card("any")
    }
}

fn leaf(s: &mut Source) -> Expr {
    let (shape, dtype) = (s.of(&SHAPES), s.of(&DTYPES));
    match s.below(8) {
        0 => Rng::new(s.byte() as u64).uniform(shape, DType::F32),
        1 => cupric::arange(0, 48, 1, DType::I32)
            .reshape(if s.one_in(2) { &[8, 6][..] } else { &[48][..] })
            .astype(dtype),
        2 => zeros(shape, dtype),
        _ => (*stored(shape, dtype)).clone(),
    }
}

/// Makes a node from existing ones. It may be an error, which all nodes that use it carry.
fn node(s: &mut Source, all: &[Expr]) -> Expr {
    let pick = |s: &mut Source| all[all.len() - 1 - s.below(all.len().min(6))].clone();
    let e = pick(s);
    let axis = |s: &mut Source| -1 - s.below(e.ndim().unwrap_or(0).max(1)) as i32;
    match s.below(30) {
        0..=8 => {
            let row = s.of(table());
            let mut operands = vec![e];
            while operands.len() < row.arity() {
                // usually convert to one dtype, so that fewer combinations are errors
                let dtype = operands[0].dtype().unwrap_or(DType::F32);
                let next = pick(s);
                operands.push(if s.below(4) > 0 { next.astype(dtype) } else { next });
            }
            row.apply(&operands)
        }
        9 => e.astype(s.of(&DTYPES)),
        10 => match s.below(4) {
            0 => e * s.between(-4, 4) as i64,
            1 => e + 0.5,
            2 => e - f64::NAN,
            _ => e.maximum(f32::INFINITY),
        },
        11 => e.t(),
        12 => match s.below(5) {
            0 => e.slice(s![..;2]),
            1 => e.slice(s![..., ..;-1]),
            2 => e.slice(s![..., 1..]),
            3 => e.slice(s![0]),
            _ => e.slice(s![..., 0]),
        },
        13 => e.reshape([-1]),
        14 => match s.below(3) {
            0 => e.broadcast_to(&[8, 6][..]),
            1 => e.expand_dims(axis(s) as isize).broadcast_to(&[3, 8, 6][..]),
            _ => e.broadcast_to(&[1 << 20, 8, 6][..]),
        },
        15 => e.sliding_windows(1 + s.below(4), axis(s) as isize),
        16 => e.flip(axis(s)),
        17..=19 => {
            let axes = match s.below(4) {
                0 => keep(..),
                1 => keep(axis(s)),
                2 => cupric::IntoAxes::into_axes(axis(s)),
                _ => cupric::IntoAxes::into_axes(..),
            };
            let all: Vec<_> = operations::along_axes().collect();
            (s.of(&all).build)(&[e], &Params::along(axes))
        }
        20 => {
            let other = pick(s);
            if s.one_in(2) { e.matmul(other.t()) } else { e.matmul(other) }
        }
        21 => {
            let indices = pick(s).astype(s.of(&[DType::I32, DType::U8, DType::I64, DType::U32]));
            let axis = axis(s) as isize;
            match s.below(3) {
                0 => e.take(indices, axis),
                1 => e.take(Clip(indices), axis),
                _ => e.take(Wrap(indices), axis),
            }
        }
        22 => concat([&e, &pick(s)], axis(s) as isize),
        23..=28 => moved(s, all),
        _ => leaf(s),
    }
}

/// Makes a node that moves, repeats, sorts, scatters or searches elements.
fn moved(s: &mut Source, all: &[Expr]) -> Expr {
    let pick = |s: &mut Source| all[all.len() - 1 - s.below(all.len().min(6))].clone();
    let integers = |s: &mut Source| pick(s).astype(s.of(&[DType::I32, DType::U8, DType::I64, DType::U32]));
    let e = pick(s);
    let axis = -1 - s.below(e.ndim().unwrap_or(0).max(1)) as isize;
    match s.below(21) {
        0 => e.roll(s.between(-9, 9), axis),
        1 => e.repeat(s.below(4), axis),
        2 => e.tile([2, 1 + s.below(2)]),
        3 => {
            let how = s.of(&[Pad::constant(1), Pad::Edge, Pad::Reflect, Pad::Symmetric, Pad::Wrap]);
            e.pad(s.below(3), how)
        }
        4 => e.tril(s.between(-2, 2)),
        5 => e.triu(s.between(-2, 2)),
        6 => {
            if s.one_in(2) {
                e.sort(axis)
            } else {
                e.sort(descending(axis))
            }
        }
        7 => {
            if s.one_in(2) {
                e.argsort(axis)
            } else {
                e.argsort(descending(axis))
            }
        }
        8 => {
            let (values, positions) = e.topk(1 + s.below(5), axis, s.one_in(2));
            if s.one_in(2) { values } else { positions }
        }
        9 => e.median(axis),
        10 => e.quantile(0.3, axis, s.of(&[QuantileMethod::Linear, QuantileMethod::Lower, QuantileMethod::Midpoint])),
        11 => {
            let indices = integers(s);
            match s.below(3) {
                0 => e.take_along_axis(indices, axis),
                1 => e.take_along_axis(Clip(indices), axis),
                _ => e.take_along_axis(Wrap(indices), axis),
            }
        }
        12 => {
            let (indices, values) = (integers(s), pick(s));
            if s.one_in(2) { e.put(indices, values) } else { e.put(Wrap(indices), values) }
        }
        13 => e.put_along_axis(Wrap(integers(s)), pick(s), axis),
        14 => {
            let (indices, values) = (integers(s), pick(s));
            match s.below(3) {
                0 => e.index_add(axis, indices, values),
                1 => e.index_min(axis, indices, values),
                _ => e.index_max(axis, indices, values),
            }
        }
        15 => e.segment_sum(integers(s), 1 + s.below(9)),
        16 => e.reduce_at(integers(s), axis),
        17 => searchsorted(pick(s).sort(-1), &e, Side::Left, None),
        18 => interp(&e, pick(s), pick(s)),
        19 => e.diff(1, axis),
        _ => e.cummax_with_positions(axis).1,
    }
}

/// Asserts that naga accepts a shader. Each shader is validated once.
fn validate(text: &str, caps: &Caps) {
    thread_local! { static KNOWN: RefCell<HashSet<u64>> = RefCell::default() }
    let mut hasher = DefaultHasher::new();
    (text, caps.int64, caps.float64, caps.subgroup).hash(&mut hasher);
    if !KNOWN.with_borrow_mut(|known| known.insert(hasher.finish())) {
        return;
    }
    let module = match naga::front::wgsl::parse_str(text) {
        Ok(module) => module,
        Err(e) => panic!("{}\n{text}", e.emit_to_string(text)),
    };
    let mut features = Capabilities::empty();
    features.set(Capabilities::SHADER_INT64, caps.int64);
    features.set(Capabilities::FLOAT64, caps.float64);
    features.set(Capabilities::SUBGROUP, caps.subgroup[0] > 1);
    // these devices convert f16 themselves
    let halves = Capabilities::SHADER_FLOAT16_IN_FLOAT32 | Capabilities::SHADER_FLOAT16;
    features.set(halves, caps.half != Half::INTEGERS);
    if let Err(e) = Validator::new(ValidationFlags::all(), features).validate(&module) {
        panic!("{e:?}\n{text}");
    }
}

pub fn run(bytes: &[u8]) {
    let s = &mut Source::new(bytes);
    let caps = caps(s);
    let mut all = vec![leaf(s)];
    for _ in 0..20 {
        if s.is_empty() {
            break;
        }
        let next = node(s, &all);
        // nodes with errors are not used further, because soon all nodes would be errors
        match next.shape() {
            Ok(_) => all.push(next),
            Err(e) => assert_ne!(e.kind(), ErrorKind::Internal, "{e}"),
        }
    }
    match plan_within(&all[all.len() - 1], &caps) {
        Ok((plan, texts)) => {
            assert!(!plan.is_empty());
            texts.iter().for_each(|text| validate(text, &caps));
        }
        Err(e) => {
            let refused = matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::LimitExceeded);
            assert!(refused, "{e:?} with {caps:?}");
        }
    }
}
