//! Random expressions: DAGs of 1–40 nodes with shared parts, mixed dtypes, views, reductions, products and gathers,
//! against an interpreter that knows nothing of plans: one element at a time, in f64 with an error bound carried along,
//! or in i128. On the CPU the fused result equals that of an evaluation node by node, to the bit.
//!
//! `CUPRIC_RANDOM=20000` runs more of them, `CUPRIC_SEED=n` runs one and prints it.

mod support;
use cupric::DType::{self, *};
use cupric::*;
use support::*;

/// One node; numbers are earlier nodes.
#[derive(Clone, Debug)]
enum Op {
    Leaf(u64),
    Iota(usize),
    Unary(&'static str, usize),
    Binary(&'static str, usize, usize),
    Scalar(&'static str, usize, f64),
    Select(usize, usize, usize),
    Cast(usize),
    Permute(usize, Vec<usize>),
    Flip(usize, usize),
    Slice(usize, usize, usize, usize, isize),
    Index(usize, usize, usize),
    Expand(usize, usize),
    Broadcast(usize),
    Reshape(usize),
    Windows(usize, usize, usize),
    Diagonal(usize),
    Reduce(&'static str, usize, Vec<usize>, bool),
    Matmul(usize, usize),
    Take(usize, usize, Vec<i32>),
    Concat(usize, usize, usize),
}

#[derive(Clone, Debug)]
struct Spec {
    op: Op,
    shape: Vec<usize>,
    dtype: DType,
}

/// A value: exact integers, or floats with a bound on how far off the library may be.
#[derive(Clone, Debug)]
enum Data {
    Int(Vec<i128>),
    Float(Vec<(f64, f64)>),
}

#[derive(Clone, Debug)]
struct Value {
    shape: Vec<usize>,
    data: Data,
}

fn ulp(t: DType) -> f64 {
    match t {
        F16 => 2f64.powi(-11),
        BF16 => 2f64.powi(-8),
        F64 => 2f64.powi(-53),
        _ => 2f64.powi(-24),
    }
}

fn wrap(v: i128, t: DType) -> i128 {
    match t {
        Bool => (v != 0) as i128,
        U8 => v as u8 as i128,
        I8 => v as i8 as i128,
        U16 => v as u16 as i128,
        I16 => v as i16 as i128,
        U32 => v as u32 as i128,
        I32 => v as i32 as i128,
        U64 => v as u64 as i128,
        _ => v as i64 as i128,
    }
}

fn is_float(t: DType) -> bool {
    matches!(t, F16 | BF16 | F32 | F64)
}

/// A float result: what was lost so far, and one rounding unless the number needs none.
fn rounded(v: f64, lost: f64, t: DType) -> (f64, f64) {
    let exact = lost == 0.0
        && match t {
            F16 => f16::from_f64(v).to_f64() == v,
            BF16 => bf16::from_f64(v).to_f64() == v,
            F32 => v as f32 as f64 == v,
            _ => false,
        };
    let most = match t {
        F16 => 60000.0,
        BF16 | F32 => 1e38,
        _ => 1e300,
    };
    if v.abs() + lost >= most || v.is_nan() {
        return (f64::NAN, f64::INFINITY);
    }
    (
        v,
        if exact || v == 0.0 && lost == 0.0 {
            0.0
        } else {
            lost * (1.0 + ulp(t)) + (v.abs() + lost) * ulp(t) * 1.5 + 1e-30 + if t == F16 { 6e-8 } else { 0.0 }
        },
    )
}

impl Value {
    fn size(&self) -> usize {
        self.shape.iter().product()
    }
    fn gather(&self, shape: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> Value {
        let flat = |i: &[usize]| {
            i.iter().zip(&self.shape).fold(0, |a, (i, n)| {
                assert!(i < n);
                a * n + i
            })
        };
        let at: Vec<usize> = indices(shape).iter().map(|i| flat(&from(i))).collect();
        let data = match &self.data {
            Data::Int(v) => Data::Int(at.iter().map(|i| v[*i]).collect()),
            Data::Float(v) => Data::Float(at.iter().map(|i| v[*i]).collect()),
        };
        Value { shape: shape.to_vec(), data }
    }
    fn broadcast(&self, to: &[usize]) -> Value {
        let lead = to.len() - self.shape.len();
        self.gather(to, |i| self.shape.iter().enumerate().map(|(d, n)| if *n == 1 { 0 } else { i[d + lead] }).collect())
    }
    fn cast(&self, from: DType, to: DType) -> Value {
        let data = match (&self.data, is_float(to)) {
            (Data::Int(v), false) => Data::Int(v.iter().map(|v| wrap(*v, to)).collect()),
            (Data::Int(v), true) => Data::Float(v.iter().map(|v| rounded(*v as f64, 0.0, to)).collect()),
            (Data::Float(v), true) => {
                Data::Float(v.iter().map(|v| if from == to { *v } else { rounded(v.0, v.1, to) }).collect())
            }
            // the generator casts only exact floats to integers
            (Data::Float(v), false) => {
                Data::Int(v.iter().map(|v| if to == Bool { (v.0 != 0.0) as i128 } else { saturate(v.0, to) }).collect())
            }
        };
        Value { shape: self.shape.clone(), data }
    }
    fn exact(&self) -> bool {
        match &self.data {
            Data::Int(_) => true,
            Data::Float(v) => v.iter().all(|v| v.1 == 0.0),
        }
    }
    fn floats(&self) -> Vec<(f64, f64)> {
        match &self.data {
            Data::Int(v) => v.iter().map(|v| (*v as f64, 0.0)).collect(),
            Data::Float(v) => v.clone(),
        }
    }
    fn ints(&self) -> Vec<i128> {
        match &self.data {
            Data::Int(v) => v.clone(),
            Data::Float(v) => v.iter().map(|v| v.0 as i128).collect(),
        }
    }
}

fn saturate(v: f64, t: DType) -> i128 {
    let (lo, hi): (f64, f64) = match t {
        U8 => (0.0, 255.0),
        I8 => (-128.0, 127.0),
        U16 => (0.0, 65535.0),
        I16 => (-32768.0, 32767.0),
        U32 => (0.0, u32::MAX as f64),
        I32 => (i32::MIN as f64, i32::MAX as f64),
        U64 => return v as u64 as i128,
        _ => return v as i64 as i128,
    };
    v.trunc().clamp(lo, hi) as i128
}

/// Leaves: small numbers, so that much stays exact; the seed picks them.
fn leaf(seed: u64, shape: &[usize], t: DType) -> Value {
    let mut d = Dice::new(seed);
    let n = shape.iter().product();
    let data = match t {
        Bool => Data::Int((0..n).map(|_| d.below(2) as i128).collect()),
        U8 | U16 | U32 | U64 => Data::Int(
            (0..n).map(|_| if d.one_in(9) { wrap(d.next() as i128, t) } else { d.between(0, 9) as i128 }).collect(),
        ),
        I8 | I16 | I32 | I64 => Data::Int(
            (0..n).map(|_| if d.one_in(9) { wrap(d.next() as i128, t) } else { d.between(-9, 9) as i128 }).collect(),
        ),
        _ => Data::Float((0..n).map(|_| (d.between(-24, 24) as f64 / 8.0, 0.0)).collect()),
    };
    Value { shape: shape.to_vec(), data }
}

fn stored(v: &Value, t: DType, d: &Device) -> Array {
    let s = &v.shape[..];
    macro_rules! ints { ($($d:ident $t:ty),*) => { match t {
        $( $d => put(d, v.ints().iter().map(|v| *v as $t).collect::<Vec<_>>(), s), )*
        Bool => put(d, v.ints().iter().map(|v| *v != 0).collect::<Vec<_>>(), s),
        F16 => put(d, v.floats().iter().map(|v| f16::from_f64(v.0)).collect::<Vec<_>>(), s),
        BF16 => put(d, v.floats().iter().map(|v| bf16::from_f64(v.0)).collect::<Vec<_>>(), s),
        F32 => put(d, v.floats().iter().map(|v| v.0 as f32).collect::<Vec<_>>(), s),
        F64 => put(d, v.floats().iter().map(|v| v.0).collect::<Vec<_>>(), s),
    } } }
    ints!(U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64)
}

fn int_binary(op: &str, a: i128, b: i128, t: DType) -> i128 {
    let bits = match t {
        U8 | I8 => 8,
        U16 | I16 => 16,
        U32 | I32 => 32,
        _ => 64,
    };
    match op {
        "add" if t == Bool => a | b,
        "multiply" if t == Bool => a & b,
        "add" => a + b,
        "subtract" => a - b,
        "multiply" => a.wrapping_mul(b),
        "floor_divide" => {
            if b == 0 {
                0
            } else {
                a.div_euclid(b) - (b < 0 && a.rem_euclid(b) != 0) as i128
            }
        }
        "remainder" => {
            if b == 0 {
                0
            } else {
                let r = a % b;
                if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
            }
        }
        "fmod" => {
            if b == 0 {
                0
            } else {
                a % b
            }
        }
        "minimum" => a.min(b),
        "maximum" => a.max(b),
        "bitwise_and" => a & b,
        "bitwise_or" => a | b,
        "bitwise_xor" => a ^ b,
        "bitwise_left_shift" => {
            if (0..bits).contains(&b) {
                a << b
            } else {
                0
            }
        }
        "bitwise_right_shift" => {
            if (0..bits).contains(&b) {
                a >> b
            } else if a < 0 {
                -1
            } else {
                0
            }
        }
        _ => unreachable!("{op}"),
    }
}

fn float_binary(op: &str, a: (f64, f64), b: (f64, f64), t: DType) -> (f64, f64) {
    let wide = if a.1.is_infinite() || b.1.is_infinite() { return (f64::NAN, f64::INFINITY) } else { a.1 + b.1 };
    match op {
        "add" => rounded(a.0 + b.0, wide, t),
        "subtract" => rounded(a.0 - b.0, wide, t),
        "multiply" => rounded(a.0 * b.0, a.0.abs() * b.1 + b.0.abs() * a.1 + a.1 * b.1, t),
        "divide" => {
            if b.0.abs() <= b.1 * 2.0 {
                return (f64::NAN, f64::INFINITY);
            }
            rounded(a.0 / b.0, (a.1 + (a.0 / b.0).abs() * b.1) / (b.0.abs() - b.1), t)
        }
        "minimum" => (a.0.min(b.0), a.1.max(b.1)),
        "maximum" => (a.0.max(b.0), a.1.max(b.1)),
        _ => unreachable!("{op}"),
    }
}

const COMPARE: [&str; 6] = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"];

fn compare(op: &str, a: f64, b: f64) -> bool {
    match op {
        "equal" => a == b,
        "not_equal" => a != b,
        "less" => a < b,
        "less_equal" => a <= b,
        "greater" => a > b,
        _ => a >= b,
    }
}

fn compare_int(op: &str, a: i128, b: i128) -> bool {
    match op {
        "equal" => a == b,
        "not_equal" => a != b,
        "less" => a < b,
        "less_equal" => a <= b,
        "greater" => a > b,
        _ => a >= b,
    }
}

/// What a node is, by the interpreter. `None`: the node would be undefined here (the generator tries another).
fn interpret(spec: &Spec, all: &[(Spec, Value)]) -> Option<Value> {
    let t = spec.dtype;
    let v = |i: usize| &all[i].1;
    let dt = |i: usize| all[i].0.dtype;
    let make = |data| Some(Value { shape: spec.shape.clone(), data });
    Some(match &spec.op {
        Op::Leaf(seed) => leaf(*seed, &spec.shape, t),
        Op::Iota(axis) => return make(Data::Int(indices(&spec.shape).iter().map(|i| i[*axis] as i128).collect())),
        Op::Unary(op, a) => {
            let x = v(*a);
            if let ("isfinite" | "signbit" | "logical_not", Data::Float(f)) = (*op, &x.data) {
                if !x.exact() {
                    return None;
                }
                return make(Data::Int(
                    f.iter()
                        .map(|v| match *op {
                            "isfinite" => 1,
                            "signbit" => v.0.is_sign_negative() as i128,
                            _ => (v.0 == 0.0) as i128,
                        })
                        .collect(),
                ));
            }
            match (&x.cast(dt(*a), if t == Bool { dt(*a) } else { t }).data, *op) {
                (Data::Int(v), "logical_not") => return make(Data::Int(v.iter().map(|v| (*v == 0) as i128).collect())),
                (Data::Int(v), op) => {
                    return make(Data::Int(
                        v.iter()
                            .map(|v| {
                                wrap(
                                    match op {
                                        "negative" => -v,
                                        "abs" => v.abs(),
                                        "square" => v.wrapping_mul(*v),
                                        "sign" => v.signum(),
                                        "relu" => (*v).max(0),
                                        _ if t == Bool => 1 - v,
                                        _ => !v,
                                    },
                                    t,
                                )
                            })
                            .collect(),
                    ));
                }
                (Data::Float(v), op) => {
                    let mut out = vec![];
                    for (x, e) in v {
                        if e.is_infinite() {
                            out.push((f64::NAN, f64::INFINITY));
                            continue;
                        }
                        out.push(match op {
                            "negative" => (-x, *e),
                            "abs" => (x.abs(), *e),
                            "relu" => (x.max(0.0), *e),
                            "square" => rounded(x * x, 2.0 * x.abs() * e + e * e, t),
                            "exp" => {
                                if *x > 20.0 {
                                    return None;
                                }
                                let r = x.exp();
                                rounded(r, r * (e.exp_m1() + 6.0 * ulp(F32).max(ulp(t).min(1e-7))), t)
                            }
                            "tanh" => rounded(x.tanh(), e + 4.0 * ulp(F32) * x.tanh().abs(), t),
                            "sqrt" => {
                                if *x < 1e-3 + 2.0 * e {
                                    return None;
                                }
                                rounded(x.sqrt(), e / x.sqrt() + x.sqrt() * 2.0 * ulp(t), t)
                            }
                            "sigmoid" => {
                                let s = 1.0 / (1.0 + (-x).exp());
                                rounded(s, e + s * 6.0 * ulp(F32), t)
                            }
                            "floor" | "round" | "sign" => {
                                if *e != 0.0 {
                                    return None;
                                }
                                (
                                    match op {
                                        "floor" => x.floor(),
                                        "round" => x.round_ties_even(),
                                        _ => {
                                            if *x == 0.0 {
                                                0.0
                                            } else {
                                                x.signum()
                                            }
                                        }
                                    },
                                    0.0,
                                )
                            }
                            _ => unreachable!("{op}"),
                        });
                    }
                    return make(Data::Float(out));
                }
            }
        }
        Op::Binary(op, a, b) => {
            let (ta, tb) = (dt(*a), dt(*b));
            let (x, y) = (v(*a).broadcast(&spec.shape), v(*b).broadcast(&spec.shape));
            if COMPARE.contains(op) {
                if !x.exact() || !y.exact() {
                    return None;
                }
                let out = match (&x.data, &y.data) {
                    (Data::Int(p), Data::Int(q)) => {
                        p.iter().zip(q).map(|(p, q)| compare_int(op, *p, *q) as i128).collect()
                    }
                    _ => {
                        // compared in the common float
                        let c = ta.promote(tb)?;
                        let (p, q) = (x.cast(ta, c), y.cast(tb, c));
                        if !p.exact() || !q.exact() {
                            return None;
                        }
                        p.floats().iter().zip(q.floats()).map(|(p, q)| compare(op, p.0, q.0) as i128).collect()
                    }
                };
                return make(Data::Int(out));
            }
            if is_float(t) {
                let (p, q) = (x.cast(ta, t).floats(), y.cast(tb, t).floats());
                return make(Data::Float(p.iter().zip(&q).map(|(p, q)| float_binary(op, *p, *q, t)).collect()));
            }
            let (p, q) = (x.cast(ta, t).ints(), y.cast(tb, t).ints());
            return make(Data::Int(p.iter().zip(&q).map(|(p, q)| wrap(int_binary(op, *p, *q, t), t)).collect()));
        }
        Op::Scalar(op, a, s) => {
            let x = v(*a).cast(dt(*a), t);
            if is_float(t) {
                let s = rounded(*s, 0.0, t);
                return make(Data::Float(x.floats().iter().map(|p| float_binary(op, *p, s, t)).collect()));
            }
            return make(Data::Int(x.ints().iter().map(|p| wrap(int_binary(op, *p, *s as i128, t), t)).collect()));
        }
        Op::Select(c, a, b) => {
            let c = v(*c);
            if !c.exact() {
                return None;
            }
            let c = c.broadcast(&spec.shape).floats();
            let (x, y) = (v(*a).broadcast(&spec.shape).cast(dt(*a), t), v(*b).broadcast(&spec.shape).cast(dt(*b), t));
            match (&x.data, &y.data) {
                (Data::Int(p), Data::Int(q)) => {
                    return make(Data::Int((0..p.len()).map(|i| if c[i].0 != 0.0 { p[i] } else { q[i] }).collect()));
                }
                (Data::Float(p), Data::Float(q)) => {
                    return make(Data::Float((0..p.len()).map(|i| if c[i].0 != 0.0 { p[i] } else { q[i] }).collect()));
                }
                _ => return None,
            }
        }
        Op::Cast(a) => {
            if !is_float(t) && is_float(dt(*a)) && !v(*a).exact() {
                return None;
            }
            v(*a).cast(dt(*a), t)
        }
        Op::Permute(a, p) => v(*a).gather(&spec.shape, |i| {
            let mut j = vec![0; i.len()];
            for (k, p) in p.iter().enumerate() {
                j[*p] = i[k]
            }
            j
        }),
        Op::Flip(a, d) => v(*a).gather(&spec.shape, |i| {
            let mut j = i.to_vec();
            j[*d] = spec.shape[*d] - 1 - i[*d];
            j
        }),
        Op::Slice(a, d, first, _, step) => v(*a).gather(&spec.shape, |i| {
            let mut j = i.to_vec();
            j[*d] = (*first as isize + step * i[*d] as isize) as usize;
            j
        }),
        Op::Index(a, d, at) => v(*a).gather(&spec.shape, |i| {
            let mut j = i.to_vec();
            j.insert(*d, *at);
            j
        }),
        Op::Expand(a, d) => v(*a).gather(&spec.shape, |i| {
            let mut j = i.to_vec();
            j.remove(*d);
            j
        }),
        Op::Broadcast(a) => v(*a).broadcast(&spec.shape),
        Op::Reshape(a) => Value { shape: spec.shape.clone(), data: v(*a).data.clone() },
        Op::Windows(a, d, _) => v(*a).gather(&spec.shape, |i| {
            let mut j = i[..i.len() - 1].to_vec();
            j[*d] += i[i.len() - 1];
            j
        }),
        Op::Diagonal(a) => v(*a).gather(&spec.shape, |i| {
            let mut j = i.to_vec();
            j.push(i[i.len() - 1]);
            j
        }),
        Op::Reduce(op, a, axes, keep) => {
            let x = v(*a);
            let n: usize = axes.iter().map(|d| x.shape[*d]).product();
            let rest: Vec<usize> = (0..x.shape.len()).filter(|d| !axes.contains(d)).collect();
            let outer: Vec<usize> = rest.iter().map(|d| x.shape[*d]).collect();
            let inner: Vec<usize> = axes.iter().map(|d| x.shape[*d]).collect();
            let flat = |i: &[usize], k: &[usize]| {
                let mut j = vec![0; x.shape.len()];
                for (d, i) in rest.iter().zip(i) {
                    j[*d] = *i
                }
                for (d, k) in axes.iter().zip(k) {
                    j[*d] = *k
                }
                j.iter().zip(&x.shape).fold(0, |a, (i, n)| a * n + i)
            };
            let _ = keep;
            let groups: Vec<Vec<usize>> =
                indices(&outer).iter().map(|i| indices(&inner).iter().map(|k| flat(i, k)).collect()).collect();
            match *op {
                "any" | "all" | "count_nonzero" => {
                    if !x.exact() {
                        return None;
                    }
                    let f = x.floats();
                    let out = groups.iter().map(|g| {
                        let c = g.iter().filter(|i| f[**i].0 != 0.0).count();
                        match *op {
                            "any" => (c > 0) as i128,
                            "all" => (c == n) as i128,
                            _ => c as i128,
                        }
                    });
                    return make(Data::Int(out.collect()));
                }
                "argmin" | "argmax" => {
                    if !x.exact() || n == 0 {
                        return None;
                    }
                    let big = matches!(&x.data, Data::Int(v) if v.iter().any(|v| v.abs() > 1 << 52));
                    if big {
                        return None;
                    }
                    let f = x.floats();
                    let out = groups.iter().map(|g| {
                        let mut best = 0;
                        for (k, i) in g.iter().enumerate() {
                            if if *op == "argmin" { f[*i].0 < f[g[best]].0 } else { f[*i].0 > f[g[best]].0 } {
                                best = k
                            }
                        }
                        best as i128
                    });
                    return make(Data::Int(out.collect()));
                }
                "min" | "max" => {
                    if n == 0 {
                        return None;
                    }
                    let least = *op == "min";
                    match &x.data {
                        Data::Int(v) => {
                            return make(Data::Int(
                                groups
                                    .iter()
                                    .map(|g| {
                                        let i = g.iter().map(|i| v[*i]);
                                        if least { i.min().unwrap() } else { i.max().unwrap() }
                                    })
                                    .collect(),
                            ));
                        }
                        Data::Float(v) => {
                            return make(Data::Float(
                                groups
                                    .iter()
                                    .map(|g| {
                                        g.iter()
                                            .map(|i| v[*i])
                                            .reduce(|a, b| {
                                                (if least { a.0.min(b.0) } else { a.0.max(b.0) }, a.1.max(b.1))
                                            })
                                            .unwrap()
                                    })
                                    .collect(),
                            ));
                        }
                    }
                }
                "sum" if !is_float(t) => {
                    let v = x.cast(dt(*a), t).ints();
                    return make(Data::Int(groups.iter().map(|g| wrap(g.iter().map(|i| v[*i]).sum(), t)).collect()));
                }
                "prod" if !is_float(t) => {
                    let v = x.cast(dt(*a), t).ints();
                    return make(Data::Int(
                        groups.iter().map(|g| g.iter().fold(1, |p, i| wrap(p * v[*i], t))).collect(),
                    ));
                }
                _ => {
                    let v = x.cast(dt(*a), if is_float(dt(*a)) { dt(*a) } else { F32 }).floats();
                    if v.iter().any(|v| v.1.is_infinite()) {
                        return None;
                    }
                    let work = if t == F64 { F64 } else { F32 };
                    let out = groups.iter().map(|g| {
                        let (s, e, m) = g
                            .iter()
                            .fold((0.0, 0.0, 0.0), |(s, e, m), i| (s + v[*i].0, e + v[*i].1, m + v[*i].0.abs()));
                        let tree = ((n.max(1) as f64).log2().ceil() + 16.0) * ulp(work) * (m + e);
                        // small dyadic numbers are summed exactly in any order
                        let exact = e == 0.0 && m < 4096.0 && g.iter().all(|i| (v[*i].0 * 1024.0).fract() == 0.0);
                        match *op {
                            "sum" => rounded(s, if exact { 0.0 } else { e + tree }, t),
                            "mean" => {
                                if n == 0 {
                                    (f64::NAN, f64::INFINITY)
                                } else {
                                    rounded(
                                        s / n as f64,
                                        (if exact { 0.0 } else { e + tree }) / n as f64
                                            + (s / n as f64).abs() * 2.0 * ulp(work),
                                        t,
                                    )
                                }
                            }
                            _ => unreachable!("{op}"),
                        }
                    });
                    return make(Data::Float(out.collect()));
                }
            }
        }
        Op::Matmul(a, b) => {
            let (x, y) = (v(*a), v(*b));
            let (m, k, n) = (x.shape[0], x.shape[1], y.shape[1]);
            let at = |i: usize, j: usize, w: usize| i * w + j;
            if is_float(t) {
                let (p, q) = (x.cast(dt(*a), t).floats(), y.cast(dt(*b), t).floats());
                if p.iter().chain(&q).any(|v| v.1.is_infinite()) {
                    return None;
                }
                let places = indices(&[m, n]);
                let out = places.iter().map(|i| {
                    let (mut s, mut e, mut big) = (0.0, 0.0, 0.0);
                    for l in 0..k {
                        let (a, b) = (p[at(i[0], l, k)], q[at(l, i[1], n)]);
                        s += a.0 * b.0;
                        e += a.0.abs() * b.1 + b.0.abs() * a.1 + a.1 * b.1;
                        big += (a.0 * b.0).abs();
                    }
                    let work = if t == F64 { F64 } else { F32 };
                    rounded(s, e + (k as f64 / 2.0 + 16.0) * ulp(work) * (big + e) + 1e-30, t)
                });
                return make(Data::Float(out.collect()));
            }
            let (p, q) = (x.cast(dt(*a), t).ints(), y.cast(dt(*b), t).ints());
            return make(Data::Int(
                indices(&[m, n])
                    .iter()
                    .map(|i| {
                        (0..k).fold(0, |s, l| wrap(s + wrap(p[at(i[0], l, k)].wrapping_mul(q[at(l, i[1], n)]), t), t))
                    })
                    .collect(),
            ));
        }
        Op::Take(a, d, at) => v(*a).gather(&spec.shape, |i| {
            let mut j = i.to_vec();
            let n = v(*a).shape[*d] as i32;
            j[*d] = at[i[*d]].rem_euclid(n) as usize;
            j
        }),
        Op::Concat(a, b, d) => {
            let (x, y) = (v(*a).cast(dt(*a), t), v(*b).cast(dt(*b), t));
            let n = x.shape[*d];
            let pick = |i: &[usize]| -> (bool, usize) {
                let first = i[*d] < n;
                let mut j = i.to_vec();
                if !first {
                    j[*d] -= n
                }
                let s = if first { &x.shape } else { &y.shape };
                (first, j.iter().zip(s).fold(0, |a, (i, n)| a * n + i))
            };
            let at: Vec<_> = indices(&spec.shape).iter().map(|i| pick(i)).collect();
            match (&x.data, &y.data) {
                (Data::Int(p), Data::Int(q)) => {
                    return make(Data::Int(at.iter().map(|(f, i)| if *f { p[*i] } else { q[*i] }).collect()));
                }
                (Data::Float(p), Data::Float(q)) => {
                    return make(Data::Float(at.iter().map(|(f, i)| if *f { p[*i] } else { q[*i] }).collect()));
                }
                _ => return None,
            }
        }
    })
}

/// The same node in the library.
fn build(spec: &Spec, e: &[Expr], d: &Device) -> Expr {
    let t = spec.dtype;
    let axes = |a: &[usize]| a.iter().map(|d| *d as isize).collect::<Vec<_>>();
    match &spec.op {
        Op::Leaf(seed) => (*stored(&leaf(*seed, &spec.shape, t), t, d)).clone(),
        Op::Iota(axis) => {
            let mut shape = vec![1; spec.shape.len()];
            shape[*axis] = spec.shape[*axis];
            (arange(0, spec.shape[*axis] as i32, 1) + put(d, vec![0i32], &[]))
                .reshape(shape)
                .broadcast_to(&spec.shape[..])
        }
        Op::Unary(op, a) => {
            let x = &e[*a];
            match *op {
                "negative" => -x,
                "abs" => x.abs(),
                "square" => x.square(),
                "sign" => x.sign(),
                "relu" => x.relu(),
                "exp" => x.exp(),
                "tanh" => x.tanh(),
                "sqrt" => x.sqrt(),
                "sigmoid" => x.sigmoid(),
                "floor" => x.floor(),
                "round" => x.round(),
                "isfinite" => x.isfinite(),
                "signbit" => x.signbit(),
                "logical_not" => x.logical_not(),
                _ => !x,
            }
        }
        Op::Binary(op, a, b) => binary(op, e[*a].clone(), e[*b].clone()),
        Op::Scalar(op, a, s) => {
            if is_float(t) {
                binary(op, e[*a].clone(), *s)
            } else {
                binary(op, e[*a].clone(), *s as i64)
            }
        }
        Op::Select(c, a, b) => select(&e[*c], &e[*a], &e[*b]),
        Op::Cast(a) => e[*a].astype(t),
        Op::Permute(a, p) => e[*a].permute_dims(axes(p)),
        Op::Flip(a, d) => e[*a].flip(*d as i32),
        Op::Slice(a, d, first, len, step) => {
            let end = *first as isize + *step * *len as isize;
            let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; *d];
            items.push(SliceItem::Range {
                start: Some(*first as isize),
                end: if end < 0 { None } else { Some(end) },
                step: *step,
            });
            items.push(SliceItem::Ellipsis);
            e[*a].slice(items)
        }
        Op::Index(a, d, at) => {
            let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; *d];
            items.push(SliceItem::Index(*at as isize));
            e[*a].slice(items)
        }
        Op::Expand(a, d) => e[*a].expand_dims(*d as isize),
        Op::Broadcast(a) => e[*a].broadcast_to(&spec.shape[..]),
        Op::Reshape(a) => e[*a].reshape(&spec.shape[..]),
        Op::Windows(a, d, w) => e[*a].sliding_windows(*w, *d as isize),
        Op::Diagonal(a) => e[*a].diagonal(0),
        Op::Reduce(op, a, ax, k) => {
            let x = &e[*a];
            let ax = if ax.len() == x.ndim().unwrap() { (..).into_axes() } else { axes(ax).into_axes() };
            let ax = if *k { keep(ax) } else { ax };
            match *op {
                "sum" => x.sum(ax),
                "prod" => x.prod(ax),
                "mean" => x.mean(ax),
                "min" => x.min(ax),
                "max" => x.max(ax),
                "argmin" => x.argmin(ax),
                "argmax" => x.argmax(ax),
                "any" => x.any(ax),
                "all" => x.all(ax),
                _ => x.count_nonzero(ax),
            }
        }
        Op::Matmul(a, b) => e[*a].matmul(&e[*b]),
        Op::Take(a, dim, at) => e[*a].take(put(d, at.clone(), &[at.len()]), *dim as isize),
        Op::Concat(a, b, d) => concat([&e[*a], &e[*b]], *d as isize),
    }
}

fn binary(op: &str, a: impl Operand, b: impl Operand) -> Expr {
    match op {
        "add" => add(a, b),
        "subtract" => subtract(a, b),
        "multiply" => multiply(a, b),
        "divide" => divide(a, b),
        "floor_divide" => floor_divide(a, b),
        "remainder" => remainder(a, b),
        "fmod" => fmod(a, b),
        "minimum" => minimum(a, b),
        "maximum" => maximum(a, b),
        "bitwise_and" => bitwise_and(a, b),
        "bitwise_or" => bitwise_or(a, b),
        "bitwise_xor" => bitwise_xor(a, b),
        "bitwise_left_shift" => bitwise_left_shift(a, b),
        "bitwise_right_shift" => bitwise_right_shift(a, b),
        "equal" => equal(a, b),
        "not_equal" => not_equal(a, b),
        "less" => less(a, b),
        "less_equal" => less_equal(a, b),
        "greater" => greater(a, b),
        _ => greater_equal(a, b),
    }
}

fn broadcast_shape(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let n = a.len().max(b.len());
    let at = |s: &[usize], d: usize| if d + s.len() >= n { s[d + s.len() - n] } else { 1 };
    (0..n)
        .map(|d| match (at(a, d), at(b, d)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// One new node over those there are; `None` where the dice fell badly.
fn propose(d: &mut Dice, all: &[(Spec, Value)], types: &[DType]) -> Option<Spec> {
    let pick = |d: &mut Dice| if d.one_in(3) { d.below(all.len()) } else { all.len() - 1 - d.below(all.len().min(3)) };
    let a = pick(d);
    let (s, t) = (all[a].0.shape.clone(), all[a].0.dtype);
    let nd = s.len();
    let spec = |op, shape: Vec<usize>, dtype| Some(Spec { op, shape, dtype });
    let float = is_float(t);
    let small = |s: &[usize]| s.iter().product::<usize>() <= 3000 && s.len() <= 6;
    match d.below(28) {
        0 => {
            let shape = if d.one_in(3) { random_shape(d) } else { s.clone() };
            spec(Op::Leaf(d.next()), shape, *d.of(types))
        }
        1 => {
            if nd > 0 {
                spec(Op::Iota(d.below(nd)), s, I32)
            } else {
                None
            }
        }
        2..=4 => {
            let op = if float {
                *d.of(&[
                    "negative",
                    "abs",
                    "relu",
                    "square",
                    "exp",
                    "tanh",
                    "sqrt",
                    "sigmoid",
                    "floor",
                    "round",
                    "sign",
                    "isfinite",
                    "signbit",
                    "logical_not",
                ])
            } else {
                *d.of(&["negative", "abs", "square", "sign", "invert", "logical_not", "relu", "tanh", "sigmoid"])
            };
            let out = match op {
                "isfinite" | "signbit" | "logical_not" => Bool,
                "tanh" | "sigmoid" if !float => F32,
                _ => t,
            };
            if t == Bool && !matches!(op, "invert" | "logical_not" | "tanh" | "sigmoid") {
                return None;
            }
            spec(Op::Unary(op, a), s, out)
        }
        5..=10 => {
            let b = pick(d);
            let (sb, tb) = (&all[b].0.shape, all[b].0.dtype);
            let shape = broadcast_shape(&s, sb)?;
            if !small(&shape) {
                return None;
            }
            if d.one_in(5) {
                let op = COMPARE[d.below(COMPARE.len())];
                return spec(Op::Binary(op, a, b), shape, Bool);
            }
            let t = t.promote(tb)?;
            let op = if is_float(t) {
                *d.of(&["add", "subtract", "multiply", "divide", "minimum", "maximum"])
            } else if t == Bool {
                *d.of(&["add", "multiply", "bitwise_and", "bitwise_or", "bitwise_xor", "minimum", "maximum"])
            } else {
                *d.of(&[
                    "add",
                    "subtract",
                    "multiply",
                    "floor_divide",
                    "remainder",
                    "fmod",
                    "minimum",
                    "maximum",
                    "bitwise_and",
                    "bitwise_or",
                    "bitwise_xor",
                    "bitwise_left_shift",
                    "bitwise_right_shift",
                ])
            };
            spec(Op::Binary(op, a, b), shape, t)
        }
        11 | 12 => {
            if t == Bool {
                return None;
            }
            let op = if float {
                *d.of(&["add", "subtract", "multiply", "minimum", "maximum"])
            } else {
                *d.of(&["add", "multiply", "floor_divide", "remainder", "bitwise_and", "bitwise_right_shift"])
            };
            let v = if float { d.between(-16, 16) as f64 / 4.0 } else { d.between(0, 9) as f64 };
            spec(Op::Scalar(op, a, v), s, t)
        }
        13 => {
            let (b, c) = (pick(d), pick(d));
            let shape = broadcast_shape(&broadcast_shape(&s, &all[b].0.shape)?, &all[c].0.shape)?;
            if !small(&shape) {
                return None;
            }
            spec(Op::Select(c, a, b), shape, t.promote(all[b].0.dtype)?)
        }
        14 => spec(Op::Cast(a), s, *d.of(types)),
        15 => {
            let mut p: Vec<usize> = (0..nd).collect();
            for i in (1..nd).rev() {
                p.swap(i, d.below(i + 1))
            }
            let shape = p.iter().map(|a| s[*a]).collect();
            spec(Op::Permute(a, p), shape, t)
        }
        16 => {
            if nd > 0 {
                spec(Op::Flip(a, d.below(nd)), s, t)
            } else {
                None
            }
        }
        17 => {
            if nd == 0 {
                return None;
            }
            let x = d.below(nd);
            if s[x] == 0 {
                return None;
            }
            let step = *d.of(&[1isize, 1, 2, 3, -1, -2]);
            let first = d.below(s[x]);
            let room = if step > 0 { (s[x] - 1 - first) / step as usize } else { first / (-step) as usize };
            let len = d.below(room + 1) + !d.one_in(20) as usize;
            let mut shape = s;
            shape[x] = len;
            spec(Op::Slice(a, x, first, len, step), shape, t)
        }
        18 => {
            if nd == 0 {
                return None;
            }
            let x = d.below(nd);
            if s[x] == 0 {
                return None;
            }
            let at = d.below(s[x]);
            let mut shape = s;
            shape.remove(x);
            spec(Op::Index(a, x, at), shape, t)
        }
        19 => {
            let x = d.below(nd + 1);
            let mut shape = s;
            shape.insert(x, 1);
            if !small(&shape) {
                return None;
            }
            spec(Op::Expand(a, x), shape, t)
        }
        20 => {
            let mut shape: Vec<usize> = s.iter().map(|n| if *n == 1 { 1 + d.below(4) } else { *n }).collect();
            if d.one_in(2) {
                shape.insert(0, 1 + d.below(3))
            }
            if !small(&shape) {
                return None;
            }
            spec(Op::Broadcast(a), shape, t)
        }
        21 => {
            let n: usize = s.iter().product();
            let mut shape = vec![];
            let mut left = n;
            if n == 0 {
                return spec(Op::Reshape(a), vec![0, 1 + d.below(4)], t);
            }
            while left > 1 && shape.len() < 4 {
                let divisors: Vec<usize> = (1..=left).filter(|k| left.is_multiple_of(*k)).collect();
                let k = *d.of(&divisors);
                shape.push(k);
                left /= k;
            }
            if left > 1 {
                shape.push(left)
            }
            spec(Op::Reshape(a), shape, t)
        }
        22 => {
            if nd == 0 {
                return None;
            }
            let x = d.below(nd);
            if s[x] < 2 {
                return None;
            }
            let w = 1 + d.below(s[x].min(4));
            let mut shape = s;
            shape[x] -= w - 1;
            shape.push(w);
            if !small(&shape) {
                return None;
            }
            spec(Op::Windows(a, x, w), shape, t)
        }
        23 => {
            if nd < 2 {
                return None;
            }
            let n = s[nd - 1].min(s[nd - 2]);
            let mut shape = s[..nd - 2].to_vec();
            shape.push(n);
            spec(Op::Diagonal(a), shape, t)
        }
        24 | 25 => {
            let op =
                *d.of(&["sum", "sum", "mean", "min", "max", "argmin", "argmax", "any", "all", "count_nonzero", "prod"]);
            if op == "prod" && float {
                return None;
            }
            let mut axes: Vec<usize> = (0..nd).filter(|_| d.one_in(2)).collect();
            if op.starts_with("arg") {
                axes = if nd == 0 || d.one_in(3) { (0..nd).collect() } else { vec![d.below(nd)] }
            }
            if axes.is_empty() && nd > 0 {
                return None;
            }
            let k = d.one_in(2);
            let shape = (0..nd).filter_map(|x| if axes.contains(&x) { k.then_some(1) } else { Some(s[x]) }).collect();
            let out = match op {
                "argmin" | "argmax" | "count_nonzero" => I32,
                "any" | "all" => Bool,
                "mean" => {
                    if float {
                        t
                    } else {
                        F32
                    }
                }
                "sum" | "prod" => match t {
                    Bool | I8 | I16 => I32,
                    U8 | U16 => U32,
                    o => o,
                },
                _ => t,
            };
            spec(Op::Reduce(op, a, axes, k), shape, out)
        }
        26 => {
            let b = pick(d);
            let sb = &all[b].0.shape;
            if nd != 2 || sb.len() != 2 || s[1] != sb[0] {
                return None;
            }
            let out = match t.promote(all[b].0.dtype)? {
                Bool | I8 | I16 => I32,
                U8 | U16 => U32,
                o => o,
            };
            spec(Op::Matmul(a, b), vec![s[0], sb[1]], out)
        }
        _ => {
            if nd == 0 {
                return None;
            }
            let x = d.below(nd);
            if d.one_in(2) {
                if s[x] == 0 {
                    return None;
                }
                let n = s[x] as i64;
                let at: Vec<i32> = (0..1 + d.below(6)).map(|_| d.between(-n, n - 1) as i32).collect();
                let mut shape = s;
                shape[x] = at.len();
                return spec(Op::Take(a, x, at), shape, t);
            }
            let b = pick(d);
            let sb = &all[b].0.shape;
            if sb.len() != nd || (0..nd).any(|k| k != x && s[k] != sb[k]) {
                return None;
            }
            let mut shape = s;
            shape[x] += sb[x];
            if !small(&shape) {
                return None;
            }
            spec(Op::Concat(a, b, x), shape, t.promote(all[b].0.dtype)?)
        }
    }
}

fn random_shape(d: &mut Dice) -> Vec<usize> {
    let nd = d.below(5);
    (0..nd)
        .map(|_| match d.below(12) {
            0 => 1,
            1 if d.one_in(4) => 0,
            2 => 17,
            3 => 33,
            _ => 1 + d.below(6),
        })
        .take(4)
        .collect::<Vec<_>>()
        .into_iter()
        .scan(1usize, |p, n| {
            *p *= n.max(1);
            if *p > 1500 { Some(1) } else { Some(n) }
        })
        .collect()
}

/// A DAG for a seed.
fn generate(seed: u64, types: &[DType]) -> Vec<(Spec, Value)> {
    let mut d = Dice::new(seed);
    let shape = random_shape(&mut d);
    let first = Spec { op: Op::Leaf(d.next()), shape, dtype: *d.of(types) };
    let value = interpret(&first, &[]).unwrap();
    let mut all = vec![(first, value)];
    let want = 1 + d.below(40);
    for _ in 0..want * 4 {
        if all.len() >= want {
            break;
        }
        let Some(spec) = propose(&mut d, &all, types) else { continue };
        let Some(value) = interpret(&spec, &all) else { continue };
        assert_eq!(value.size(), spec.shape.iter().product::<usize>());
        // what is lost in noise tests nothing
        if let Data::Float(v) = &value.data
            && v.iter().any(|v| v.1.is_infinite() || v.1 > 0.05 * (1.0 + v.0.abs()))
        {
            continue;
        }
        all.push((spec, value));
    }
    all
}

fn bits(e: &Expr) -> Result<Vec<u64>> {
    fn of<T: Element>(e: &Expr) -> Result<Vec<u64>> {
        Ok(e.to_vec::<T>()?.into_iter().map(canonical).collect())
    }
    match e.dtype()? {
        Bool => of::<bool>(e),
        U8 => of::<u8>(e),
        I8 => of::<i8>(e),
        U16 => of::<u16>(e),
        I16 => of::<i16>(e),
        U32 => of::<u32>(e),
        I32 => of::<i32>(e),
        U64 => of::<u64>(e),
        I64 => of::<i64>(e),
        F16 => of::<f16>(e),
        BF16 => of::<bf16>(e),
        F32 => of::<f32>(e),
        F64 => of::<f64>(e),
    }
}

/// What is wrong with a DAG, if anything.
fn check(all: &[Spec], values: &[Value], roots: &[usize], d: &Device) -> std::result::Result<(), String> {
    let mut lazy: Vec<Expr> = vec![];
    for s in all {
        let e = build(s, &lazy, d);
        lazy.push(e)
    }
    for (i, s) in all.iter().enumerate() {
        match (lazy[i].shape(), lazy[i].dtype()) {
            (Ok(shape), Ok(t)) if shape == s.shape && t == s.dtype => {}
            other => return Err(format!("node {i}: {other:?}, expected {:?} {}", s.shape, s.dtype)),
        }
    }
    let outs: Vec<Expr> = roots.iter().map(|r| lazy[*r].clone()).collect();
    let fused = match eval_all(outs.iter()) {
        // f64 functions that WGSL has not: the only thing a GPU may refuse
        Err(e) if d.is_gpu() && e.kind() == ErrorKind::Unsupported && e.to_string().contains("f64") => return Ok(()),
        other => other.map_err(|e| format!("eval_all: {e}"))?,
    };
    // node by node
    let mut steps: Vec<Expr> = vec![];
    for (i, s) in all.iter().enumerate() {
        let e = build(s, &steps, d).eval().map_err(|e| format!("node {i}: {e}"))?;
        steps.push((*e).clone());
    }
    for (n, r) in roots.iter().enumerate() {
        for (what, e) in [("fused", &*fused[n]), ("node by node", &steps[*r])] {
            compare_values(e, &all[*r], &values[*r]).map_err(|m| format!("node {r}, {what}: {m}"))?;
        }
        let t = all[*r].dtype;
        let halves = all[..=*r].iter().any(|s| matches!(s.dtype, F16 | BF16));
        if !d.is_gpu() && !halves {
            let (f, s) = (bits(&fused[n]).unwrap(), bits(&steps[*r]).unwrap());
            if f != s {
                let i = f.iter().zip(&s).position(|(a, b)| a != b).unwrap();
                return Err(format!("node {r} of {t}: fused and unfused differ at {i}: {:#x} and {:#x}", f[i], s[i]));
            }
        }
    }
    Ok(())
}

fn compare_values(e: &Expr, spec: &Spec, want: &Value) -> std::result::Result<(), String> {
    match &want.data {
        Data::Int(w) => {
            let got = bits(e).map_err(|e| e.to_string())?;
            let mask = match spec.dtype {
                Bool | U8 | I8 => 0xff,
                U16 | I16 => 0xffff,
                U32 | I32 => 0xffff_ffff,
                _ => u64::MAX,
            };
            for (i, (g, w)) in got.iter().zip(w).enumerate() {
                if *g != *w as u64 & mask {
                    return Err(format!("element {i} is {g:#x}, not {w} ({} elements)", got.len()));
                }
            }
            if got.len() != w.len() {
                return Err(format!("{} elements, not {}", got.len(), w.len()));
            }
        }
        Data::Float(w) => {
            let got: Vec<f64> = match spec.dtype {
                F64 => e.to_vec::<f64>(),
                F32 => e.to_vec::<f32>().map(|v| v.into_iter().map(f64::from).collect()),
                F16 => e.to_vec::<f16>().map(|v| v.into_iter().map(f64::from).collect()),
                _ => e.to_vec::<bf16>().map(|v| v.into_iter().map(f64::from).collect()),
            }
            .map_err(|e| e.to_string())?;
            if got.len() != w.len() {
                return Err(format!("{} elements, not {}", got.len(), w.len()));
            }
            for (i, (g, (w, bound))) in got.iter().zip(w).enumerate() {
                if !(*g == *w || (g - w).abs() <= *bound) {
                    return Err(format!("element {i} is {g:e}, not {w:e} within {bound:e}"));
                }
            }
        }
    }
    Ok(())
}

fn operands(op: &Op) -> Vec<usize> {
    match op {
        Op::Leaf(_) | Op::Iota(_) => vec![],
        Op::Unary(_, a)
        | Op::Scalar(_, a, _)
        | Op::Cast(a)
        | Op::Permute(a, _)
        | Op::Flip(a, _)
        | Op::Slice(a, ..)
        | Op::Index(a, ..)
        | Op::Expand(a, _)
        | Op::Broadcast(a)
        | Op::Reshape(a)
        | Op::Windows(a, ..)
        | Op::Diagonal(a)
        | Op::Reduce(_, a, ..)
        | Op::Take(a, ..) => vec![*a],
        Op::Binary(_, a, b) | Op::Matmul(a, b) | Op::Concat(a, b, _) => vec![*a, *b],
        Op::Select(a, b, c) => vec![*a, *b, *c],
    }
}

/// Runs one seed; on a failure keeps dropping roots, and nodes that no root needs, and prints what is left.
fn run(seed: u64, types: &[DType], d: &Device) -> std::result::Result<usize, String> {
    let made = generate(seed, types);
    let (all, values): (Vec<Spec>, Vec<Value>) = made.into_iter().unzip();
    let mut dice = Dice::new(seed ^ 77);
    let mut roots = vec![all.len() - 1];
    for _ in 0..dice.below(3) {
        roots.push(dice.below(all.len()))
    }
    let Err(mut why) = quiet(|| check(&all, &values, &roots, d)) else { return Ok(all.len()) };
    // the earliest single root that still fails is the smallest DAG
    for r in 0..all.len() {
        if let Err(w) = quiet(|| check(&all[..=r], &values[..=r], &[r], d)) {
            roots = vec![r];
            why = w;
            break;
        }
    }
    let mut needed = vec![false; all.len()];
    for r in &roots {
        needed[*r] = true
    }
    for i in (0..all.len()).rev() {
        if needed[i] {
            for o in operands(&all[i].op) {
                needed[o] = true
            }
        }
    }
    // then each operand in turn becomes a leaf, while it fails
    let mut small = all.clone();
    let mut vals = values.clone();
    for i in 0..small.len() {
        if !needed[i] || matches!(small[i].op, Op::Leaf(_)) {
            continue;
        }
        let mut trial = small.clone();
        trial[i].op = Op::Leaf(i as u64);
        let mut again: Vec<(Spec, Value)> = vec![];
        let mut fine = true;
        for s in &trial {
            match interpret(s, &again) {
                Some(v) => again.push((s.clone(), v)),
                None => {
                    fine = false;
                    break;
                }
            }
        }
        if !fine {
            continue;
        }
        let tv: Vec<Value> = again.into_iter().map(|a| a.1).collect();
        if let Err(w) = quiet(|| check(&trial, &tv, &roots, d)) {
            small = trial;
            vals = tv;
            why = w;
        }
    }
    let _ = vals;
    let mut needed = vec![false; small.len()];
    for r in &roots {
        needed[*r] = true
    }
    for i in (0..small.len()).rev() {
        if needed[i] {
            for o in operands(&small[i].op) {
                needed[o] = true
            }
        }
    }
    let text: Vec<String> = small
        .iter()
        .enumerate()
        .filter(|(i, _)| needed[*i])
        .map(|(i, s)| format!("  {i}: {} {:?} = {:?}", s.dtype, s.shape, s.op))
        .collect();
    Err(format!("seed {seed}: {why}\n{}\n  results {roots:?}", text.join("\n")))
}

/// A panic is a failure like any other.
fn quiet(f: impl FnOnce() -> std::result::Result<(), String>) -> std::result::Result<(), String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|p| {
        Err(format!(
            "panicked: {}",
            p.downcast_ref::<String>().cloned().or(p.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
        ))
    })
}

fn many(d: &Device, types: &[DType], base: u64, count: usize) {
    if let Some(seed) = std::env::var("CUPRIC_SEED").ok().and_then(|s| s.parse().ok()) {
        for (i, (s, _)) in generate(seed, types).iter().enumerate() {
            println!("  {i}: {} {:?} = {:?}", s.dtype, s.shape, s.op)
        }
        run(seed, types, d).map(|_| ()).unwrap_or_else(|e| panic!("{e}"));
        return;
    }
    let count = std::env::var("CUPRIC_RANDOM").ok().and_then(|s| s.parse().ok()).unwrap_or(count);
    let mut failures = vec![];
    let (mut nodes, mut ran) = (0, 0);
    for seed in base..base + count as u64 {
        match run(seed, types, d) {
            Ok(n) => nodes += n,
            Err(e) => failures.push(e),
        }
        ran += 1;
        if failures.len() >= 12 {
            break;
        }
    }
    println!("{ran} expressions, {nodes} nodes");
    failures.sort_by_key(String::len);
    assert!(failures.is_empty(), "{} of {ran} failed\n{}", failures.len(), failures.join("\n\n"));
}

on_devices! {

fn random_expressions_of_f32_and_integers(d: &Device) {
    many(d, &[F32, F32, I32, I32, U32, Bool], 1_000_000, if d.is_gpu() { 700 } else { 20_000 });
}

fn random_expressions_of_all_types(d: &Device) {
    let all: Vec<DType> = DType::ALL.into_iter().filter(|t| has(d, *t)).filter(|t| !d.is_gpu() || !matches!(t, U32 | F64)).collect();
    // on a GPU without 64-bit types u32 with a signed type has no common type; f64 has no transcendental functions
    many(d, &all, 2_000_000, if d.is_gpu() { 500 } else { 20_000 });
}

fn random_expressions_of_half_precision(d: &Device) {
    many(d, &[F16, F16, BF16, F32, I8, U8, Bool], 3_000_000, if d.is_gpu() { 300 } else { 10_000 });
}
}
