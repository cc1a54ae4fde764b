//! Runs a program of `run.py` through the public API: its nodes come as JSON, its results go back as bytes.

use crate::kit::operations::{self, Params};
use cupric::*;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The value of a node.
#[derive(Clone)]
enum Held {
    Array(Array),
    Expr(Expr),
    /// A node that no later node uses.
    Gone,
}

/// An operand: a node's expression, or a literal without a dtype.
enum Given {
    Expr(Expr),
    Float(f64),
    Int(i64),
    Bool(bool),
}

/// The dtype, shape and bytes of each result.
pub type Results = Vec<(DType, Vec<usize>, Vec<u8>)>;

/// Evaluates `$body` with `$t` as an alias of the Rust type of a dtype.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        with_type!(@ $dtype, $t => $body; Bool bool, U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64,
            F16 f16, BF16 bf16, F32 f32, F64 f64)
    };
    (@ $dtype:expr, $t:ident => $body:expr; $($d:ident $rust:ty),*) => {
        match $dtype { $( DType::$d => { type $t = $rust; $body } )* other => panic!("{other} is not known here") }
    };
}

/// Runs a program and returns its results. An error or a panic of the library is returned as text.
pub fn execute(program: &Value, device: &Device) -> std::result::Result<Results, String> {
    match catch_unwind(AssertUnwindSafe(|| run(program, device))) {
        Ok(Ok(results)) => Ok(results),
        Ok(Err(e)) => Err(format!("{:?}: {e}", e.kind())),
        Err(_) => Err("a panic".into()),
    }
}

fn run(program: &Value, device: &Device) -> Result<Results> {
    let mut held: Vec<Held> = vec![];
    for node in list(&program["nodes"]) {
        let made = make(node, &mut held, device)?;
        forget(node, &mut held);
        let kept = match made {
            Held::Expr(e) if node["eval"] == true => Held::Array(e.eval()?),
            other => other,
        };
        held.push(kept);
    }
    let roots: Vec<Expr> = list(&program["roots"]).iter().map(|r| expr(&held, r)).collect();
    let arrays = match program["together"] == true {
        true => eval_many(&roots)?,
        false => roots.iter().map(Expr::eval).collect::<Result<_>>()?,
    };
    let bytes = |a: &Array| -> Result<Vec<u8>> { with_type!(a.dtype(), T => Ok(T::bytes(&a.to_vec::<T>()?).to_vec())) };
    arrays.iter().map(|a| Ok((a.dtype(), a.shape().to_vec(), bytes(a)?))).collect()
}

/// Drops the nodes that no later node uses.
fn forget(node: &Value, held: &mut [Held]) {
    list(&node["drop"]).iter().for_each(|d| held[d.as_u64().expect("a node") as usize] = Held::Gone);
}

fn list(v: &Value) -> &[Value] {
    v.as_array().map_or(&[], Vec::as_slice)
}

fn ints(v: &Value) -> Vec<isize> {
    list(v).iter().map(|n| n.as_i64().expect("an integer") as isize).collect()
}

fn dtype(v: &Value) -> DType {
    DType::ALL.into_iter().find(|t| v == t.name()).expect("a dtype")
}

fn expr(held: &[Held], v: &Value) -> Expr {
    match &held[v.as_u64().expect("a node") as usize] {
        Held::Array(a) => (**a).clone(),
        Held::Expr(e) => e.clone(),
        Held::Gone => panic!("a node that was dropped"),
    }
}

fn given(held: &[Held], v: &Value) -> Given {
    match v {
        Value::Object(o) if o.contains_key("f") => {
            Given::Float(o["f"].as_str().expect("text").parse().expect("a number"))
        }
        Value::Object(o) if o.contains_key("i") => Given::Int(o["i"].as_i64().expect("an integer")),
        Value::Object(o) => Given::Bool(o["b"] == true),
        _ => Given::Expr(expr(held, v)),
    }
}

/// The axes of a reduction.
fn axes(node: &Value) -> impl IntoAxes {
    let some = match &node["axes"] {
        Value::Null => (..).into_axes(),
        list => ints(list).into_axes(),
    };
    if node["keep"] == true { keep(some) } else { some }
}

fn items(v: &Value) -> Vec<SliceItem> {
    let end = |v: &Value| v.as_i64().map(|n| n as isize);
    let item = |v: &Value| match v {
        Value::String(s) if s == "new" => SliceItem::NewAxis,
        Value::String(_) => SliceItem::Ellipsis,
        Value::Array(r) => SliceItem::Range { start: end(&r[0]), end: end(&r[1]), step: end(&r[2]).unwrap_or(1) },
        n => SliceItem::Index(n.as_i64().expect("an index") as isize),
    };
    list(v).iter().map(item).collect()
}

fn make(node: &Value, held: &mut [Held], device: &Device) -> Result<Held> {
    let op = node["op"].as_str().expect("an operation");
    let n = if op.starts_with("pad_") { vec![] } else { ints(&node["n"]) };
    let input = |i: usize| expr(held, &node["in"][i]);
    Ok(Held::Expr(match op {
        "leaf" => return leaf(node).and_then(|a| a.to_device(device)).map(Held::Array),
        "set" | "assign" | "update" | "set_update" | "fill" => return write(op, node, held).map(Held::Array),
        "astype" => input(0).astype(dtype(&node["t"])),
        "slice" => input(0).slice(items(&node["items"])),
        "t" => input(0).t(),
        "permute_dims" => input(0).permute_dims(n),
        "matrix_transpose" => input(0).matrix_transpose(),
        "reshape" => input(0).reshape(n),
        "expand_dims" => input(0).expand_dims(n[0]),
        "squeeze" => input(0).squeeze(n),
        "broadcast_to" => input(0).broadcast_to(n),
        "flip" => input(0).flip(n[0]),
        "diagonal" => input(0).diagonal(n[0]),
        "sliding_windows" => input(0).sliding_windows(n[0] as usize, n[1]),
        "take" => input(0).take(input(1), n[0]),
        "take_clip" => input(0).take(Clip(input(1)), n[0]),
        "take_wrap" => input(0).take(Wrap(input(1)), n[0]),
        "take_along_axis" => input(0).take_along_axis(input(1), n[0]),
        "take_along_axis_clip" => input(0).take_along_axis(Clip(input(1)), n[0]),
        "take_along_axis_wrap" => input(0).take_along_axis(Wrap(input(1)), n[0]),
        "sort" => input(0).sort(n[0]),
        "argsort" => input(0).argsort(n[0]),
        "sort_descending" => input(0).sort(descending(n[0])),
        "argsort_descending" => input(0).argsort(descending(n[0])),
        "cumulative_prod" => input(0).cumulative_prod(n[0]),
        "diff" => input(0).diff(n[0] as usize, n[1]),
        "compress" | "flatnonzero" | "unique_values" => return counted(op, &input(0), node, held).map(Held::Array),
        "bincount" => input(0).bincount(n[0] as usize),
        "isin" => input(0).isin(input(1)),
        "searchsorted_left" => searchsorted(input(0), input(1), Side::Left, None),
        "searchsorted_right" => searchsorted(input(0), input(1), Side::Right, None),
        "histogram_with_edges" => input(0).histogram_with_edges(input(1)),
        _ if is_moved(op) => arranged(op, &input(0), node),
        "index_add" => input(0).index_add(n[0], input(1), input(2)),
        "index_add_clip" => input(0).index_add(n[0], Clip(input(1)), input(2)),
        "index_add_wrap" => input(0).index_add(n[0], Wrap(input(1)), input(2)),
        "index_min" => input(0).index_min(n[0], input(1), input(2)),
        "index_min_clip" => input(0).index_min(n[0], Clip(input(1)), input(2)),
        "index_min_wrap" => input(0).index_min(n[0], Wrap(input(1)), input(2)),
        "index_max" => input(0).index_max(n[0], input(1), input(2)),
        "index_max_clip" => input(0).index_max(n[0], Clip(input(1)), input(2)),
        "index_max_wrap" => input(0).index_max(n[0], Wrap(input(1)), input(2)),
        "concat" => concat(list(&node["in"]).iter().map(|v| expr(held, v)), n[0]),
        "stack" => stack(list(&node["in"]).iter().map(|v| expr(held, v)), n[0]),
        "matmul" => input(0).matmul(input(1)),
        "layer_norm" => input(0).layer_norm(axes(node), node["x"].as_f64().expect("a number")),
        "rms_norm" => input(0).rms_norm(axes(node), node["x"].as_f64().expect("a number")),
        "var" => input(0).var_corrected(axes(node), node["x"].as_f64().unwrap_or(0.0)),
        "std" => input(0).std_corrected(axes(node), node["x"].as_f64().unwrap_or(0.0)),
        _ => match reduction(op, node, held) {
            Some(e) => e,
            None => function(op, list(&node["in"]).iter().map(|v| given(held, v)).collect()),
        },
    }))
}

/// Functions that evaluate immediately, because the shape of the result depends on the elements.
fn counted(op: &str, x: &Expr, node: &Value, held: &[Held]) -> Result<Array> {
    match op {
        "compress" => x.compress(expr(held, &node["in"][1])),
        "flatnonzero" => x.flatnonzero(),
        _ => x.unique_values(),
    }
}

fn is_moved(op: &str) -> bool {
    op.starts_with("pad_") || ["roll", "repeat", "tile", "tril", "triu", "swapaxes", "moveaxis", "rot90"].contains(&op)
}

/// Functions that move elements.
fn arranged(op: &str, x: &Expr, node: &Value) -> Expr {
    if let Some(with) = op.strip_prefix("pad_") {
        let widths: Vec<(usize, usize)> =
            (list(&node["n"]).iter()).map(|w| (ints(w)[0] as usize, ints(w)[1] as usize)).collect();
        let with = match with {
            "constant" if x.dtype().is_ok_and(|t| t == DType::Bool) => Pad::constant(false),
            "constant" => Pad::constant(0),
            "edge" => Pad::Edge,
            "reflect" => Pad::Reflect,
            "symmetric" => Pad::Symmetric,
            _ => Pad::Wrap,
        };
        return x.pad(widths, with);
    }
    let n = ints(&node["n"]);
    match op {
        "roll" => x.roll(n[0], n[1]),
        "repeat" => x.repeat(n[0], n[1]),
        "tile" => x.tile(n),
        "tril" => x.tril(n[0]),
        "triu" => x.triu(n[0]),
        "swapaxes" => x.swapaxes(n[0], n[1]),
        "moveaxis" => x.moveaxis(n[0], n[1]),
        _ => x.rot90(n[0], &n[1..]),
    }
}

fn reduction(op: &str, node: &Value, held: &[Held]) -> Option<Expr> {
    let operation = operations::find(op).filter(|o| o.along_axes())?;
    Some((operation.build)(&[expr(held, &node["in"][0])], &Params::along(axes(node))))
}

/// Applies an elementwise function. A literal operand has no dtype of its own.
fn function(op: &str, mut args: Vec<Given>) -> Expr {
    let rest = args.split_off(1);
    let first = args.pop().expect("an operand");
    macro_rules! unary {
        ($($name:ident)*) => { match (op, &first) {
            $( (stringify!($name), Given::Expr(x)) => return x.$name(), )*
            _ => {}
        } };
    }
    unary! {
        exp exp2 expm1 log log2 log10 log1p sqrt rsqrt cbrt reciprocal sin cos tan asin acos atan sinh cosh tanh asinh
        acosh atanh deg2rad rad2deg erf erfc lgamma sigmoid softplus relu silu gelu gelu_tanh negative positive abs
        square sign floor ceil trunc round isnan isinf isfinite signbit logical_not bitwise_invert
    }
    macro_rules! binary {
        ($($name:ident)*) => { match op {
            $( stringify!($name) => return match (first, &rest[0]) {
                (Given::Expr(x), Given::Expr(y)) => x.$name(y),
                (Given::Expr(x), Given::Float(y)) => x.$name(*y),
                (Given::Expr(x), Given::Int(y)) => x.$name(*y),
                (Given::Expr(x), Given::Bool(y)) => x.$name(*y),
                (Given::Float(x), Given::Expr(y)) => $name(x, y),
                (Given::Int(x), Given::Expr(y)) => $name(x, y),
                (Given::Bool(x), Given::Expr(y)) => $name(x, y),
                _ => panic!("{op} of numbers alone"),
            }, )*
            _ => {}
        } };
    }
    binary! {
        add subtract multiply divide floor_divide remainder fmod pow minimum maximum fmin fmax atan2 hypot logaddexp
        copysign equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and
        bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift
    }
    // multiplying a literal by 1 makes an expression that still has no dtype of its own
    let operand = |g: &Given| match g {
        Given::Expr(e) => e.clone(),
        Given::Float(v) => multiply(*v, 1.0),
        Given::Int(v) => multiply(*v, 1i64),
        Given::Bool(v) => logical_and(*v, true),
    };
    let (x, y, z) = (operand(&first), operand(&rest[0]), operand(&rest[1]));
    match op {
        "select" => select(x, y, z),
        "clip" => x.clip(y, z),
        "lerp" => x.lerp(y, z),
        _ => panic!("no operation {op}"),
    }
}

/// Writes to an array. If the old array and the value's sources are no longer used, the write may be in place.
fn write(op: &str, node: &Value, held: &mut [Held]) -> Result<Array> {
    let value = given(held, &node["in"][1]);
    let old = held[node["in"][0].as_u64().expect("a node") as usize].clone();
    forget(node, held);
    let mut x = match old {
        Held::Array(a) => a,
        Held::Expr(e) => e.eval()?,
        Held::Gone => panic!("a node that was dropped"),
    };
    let part = items(&node["items"]);
    let change =
        |x: &Expr, value| function(node["with"].as_str().expect("a function"), vec![Given::Expr(x.clone()), value]);
    match (op, value) {
        ("update", v) => x.update(|x| change(x, v))?,
        ("set_update", v) => x.slice_mut(part).update(|x| change(x, v))?,
        ("fill", Given::Float(v)) => x.fill(v)?,
        ("fill", Given::Int(v)) => x.fill(v)?,
        ("fill", Given::Bool(v)) => x.fill(v)?,
        ("assign", Given::Expr(e)) => x.assign(e)?,
        ("set", Given::Expr(e)) => x.set(part, e)?,
        ("set", Given::Float(v)) => x.set(part, v)?,
        ("set", Given::Int(v)) => x.set(part, v)?,
        ("set", Given::Bool(v)) => x.set(part, v)?,
        _ => panic!("{op} of that value"),
    }
    Ok(x)
}

/// 64 random bits for each element, as `values.py` makes them.
fn words(seed: u64, n: usize) -> impl Iterator<Item = u64> {
    (1..=n as u64).map(move |i| {
        let x = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    })
}

const SPECIAL: [f64; 12] =
    [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.5, -2.0, 3.0, 1024.0, -0.0078125];

/// Makes the elements of a leaf from a seed; `values.py` describes each kind.
fn leaf(node: &Value) -> Result<Array> {
    let (t, kind) = (dtype(&node["t"]), node["kind"].as_str().expect("a kind"));
    let shape: Vec<usize> = ints(&node["shape"]).iter().map(|n| *n as usize).collect();
    let count = shape.iter().product();
    let w = words(node["seed"].as_u64().expect("a seed"), count);
    if t == DType::Bool {
        return Array::from_vec(w.map(|w| w >> 40 & 1 == 1).collect::<Vec<_>>(), shape);
    }
    let digits = match t {
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::F32 => 24,
        _ => 53,
    };
    let float = |w: u64| match kind {
        "wide" => ((w >> (64 - digits)) as i64 - (1 << (digits - 1))) as f64 * 2f64.powi(3 - digits),
        "special" if w >> 8 & 63 < 12 => SPECIAL[(w >> 8 & 63) as usize],
        _ => ((w >> 40) % 49) as f64 / 8.0 - 3.0,
    };
    let small = |w: u64| ((w >> 40) % 19) as i64 - if t.is_signed_integer() { 9 } else { 0 };
    let raw = kind == "raw" || t.is_integer() && kind != "small";
    with_type!(t, T => {
        let bits = |w: u64| T::from_bytes(&(w >> (64 - 8 * t.size())).to_le_bytes()).unwrap()[0];
        let number = |w: u64| if t.is_float() { from_f64::<T>(float(w)) } else { T::from_bytes(&small(w).to_le_bytes()).unwrap()[0] };
        Array::from_vec(w.map(|w| if raw { bits(w) } else { number(w) }).collect::<Vec<T>>(), shape)
    })
}

/// Converts a number that the type represents exactly.
fn from_f64<T: Element>(x: f64) -> T {
    let bytes = match T::DTYPE {
        DType::F16 => f16::from_f64(x).to_bits() as u64,
        DType::BF16 => bf16::from_f64(x).to_bits() as u64,
        DType::F32 => (x as f32).to_bits() as u64,
        _ => x.to_bits(),
    };
    T::from_bytes(&bytes.to_le_bytes()).unwrap()[0]
}
