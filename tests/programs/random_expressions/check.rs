//! Checks a program within the interpreter's bounds, fused and unfused; and searches for a smaller failing program.

use super::program::{Given, Program, Spec, build};
use crate::kit::canonical;
use cupric::DType::{self, *};
use cupric::testing::{ElementList, Interpreted, Interpreter};
use cupric::*;
use std::result::Result;

/// What a check counted.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    /// Results whose bits were compared with an evaluation node by node.
    pub to_the_bit: usize,
    /// Results that depend on f16 or bf16 values.
    pub halves: usize,
    /// Whether the device returned an error because it lacks a type.
    pub refused: bool,
}

pub fn bits(e: &Expr) -> cupric::Result<Vec<u64>> {
    fn of<T: Element>(e: &Expr) -> cupric::Result<Vec<u64>> {
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
        other => panic!("{other} is not known here"),
    }
}

fn real(t: DType, bits: u64) -> f64 {
    match t {
        _ if bits == u64::MAX => f64::NAN,
        F16 => f16::from_bits(bits as u16).to_f64(),
        BF16 => bf16::from_bits(bits as u16).to_f64(),
        F32 => f32::from_bits(bits as u32) as f64,
        _ => f64::from_bits(bits),
    }
}

/// Returns an error about the first element that is outside the interpreter's bounds.
pub fn compare(e: &Expr, want: &Interpreted) -> Result<(), String> {
    let got = bits(e).map_err(|e| e.to_string())?;
    let size = want.shape.iter().product::<usize>();
    if got.len() != size || e.dtype().ok() != Some(want.dtype) {
        return Err(format!("{} elements of {:?}, not {size} of {}", got.len(), e.dtype(), want.dtype));
    }
    let t = want.dtype;
    match &want.elements {
        ElementList::Integers(v) => {
            let mask = u64::MAX >> (64 - 8 * t.size());
            for (i, (g, w)) in got.iter().zip(v).enumerate() {
                if let Some(w) = w
                    && *g != *w as u64 & mask
                {
                    return Err(format!("element {i} of {size} is {g:#x}, not {w} ({t})"));
                }
            }
        }
        ElementList::Floats(v) => {
            for (i, (g, w)) in got.iter().zip(v).enumerate() {
                let x = real(t, *g);
                if !w.allows(x) {
                    let (value, error) = (w.value, w.error);
                    return Err(format!("element {i} of {size} is {x:e} ({g:#x}), not {value:e} ± {error:e} ({t})"));
                }
            }
        }
    }
    Ok(())
}

pub fn lazy(p: &Program, d: &Device) -> Result<Vec<Expr>, String> {
    let mut all: Vec<Expr> = vec![];
    for (i, s) in p.nodes.iter().enumerate() {
        let e = build(s, &all, d);
        match (e.shape(), e.dtype()) {
            (Ok(shape), Ok(t)) if shape == s.shape && t == s.dtype => {}
            other => return Err(format!("node {i}: {other:?}, expected {:?} {}", s.shape, s.dtype)),
        }
        all.push(e);
    }
    Ok(all)
}

/// Whether each node is, or depends on, an f16 or bf16 value.
fn halves(p: &Program) -> Vec<bool> {
    let mut out: Vec<bool> = vec![];
    for s in &p.nodes {
        out.push(matches!(s.dtype, F16 | BF16) || s.operands().any(|o| out[o]));
    }
    out
}

/// Whether sums and products on a device follow IEEE 754, including subnormals and special values, and no product is
/// contracted with a sum.
pub fn keeps_ieee(d: &Device) -> bool {
    #[cfg(feature = "gpu")]
    if let Ok(Some(n)) = d.numerics() {
        return n.nan && n.infinity && n.negative_zero && n.subnormals && n.rounding && n.no_contraction;
    }
    !d.is_gpu()
}

/// Whether each node, with all nodes that it depends on, has the same bits on every IEEE device, fused or not: nodes
/// that move or select elements, compute with integers, or round once.
fn same_anywhere(p: &Program) -> Vec<bool> {
    let moves = ["permute", "flip", "slice", "index", "expand", "broadcast", "reshape", "windows", "diagonal", "take"];
    let moves =
        [&moves[..], &["take_clip", "take_wrap", "index_add", "index_min", "index_max", "concat", "stack"]].concat();
    let makes = ["leaf", "wild", "uniform", "integers", "bernoulli", "iota", "astype"];
    let selects = ["negative", "abs", "minimum", "maximum", "fmin", "fmax", "relu", "select", "min", "max", "positive"];
    let asks = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite"];
    let rounds = ["add", "subtract", "multiply", "square", "floor", "ceil", "trunc"];
    let known = [&moves[..], &makes, &selects, &asks, &rounds].concat();
    let mut out: Vec<bool> = vec![];
    for s in &p.nodes {
        let op = s.op.as_str();
        // f16 and bf16 are rounded where they are stored, so only leaves count
        let whole = !matches!(s.dtype, F16 | BF16) || ["leaf", "wild"].contains(&op);
        out.push(whole && known.contains(&op) && s.operands().all(|o| out[o]));
    }
    out
}

fn equal(f: &[u64], s: &[u64]) -> Result<(), String> {
    let i = f.iter().zip(s).position(|(a, b)| a != b);
    i.map_or(Ok(()), |i| Err(format!("at {i}: {:#x} and {:#x}", f[i], s[i])))
}

/// Checks a program, and returns an error if something is wrong. With `steps` it is also evaluated node by node.
pub fn check(p: &Program, d: &Device, steps: bool) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let all = lazy(p, d)?;
    let roots: Vec<&Expr> = p.roots.iter().map(|r| &all[*r]).collect();
    let fused = match eval_many(roots.iter().copied()) {
        // the only error that a GPU may return: f64 if the adapter lacks it
        Err(e) if !d.supports(F64) && e.kind() == ErrorKind::Unsupported && e.to_string().contains("f64") => {
            return Ok(Seen { refused: true, ..seen });
        }
        other => other.map_err(|e| format!("eval_many: {e}"))?,
    };
    let mut meaning = Interpreter::planned(&roots).map_err(|e| format!("the plan: {e}"))?;
    for (n, r) in p.roots.iter().enumerate() {
        let want = meaning.interpret(roots[n]).map_err(|e| format!("interpreter: {e}"))?;
        compare(&fused[n], &want).map_err(|m| format!("node {r}, fused: {m}"))?;
    }
    if d.is_gpu() && keeps_ieee(d) {
        let same = same_anywhere(p);
        let known: Vec<usize> = (0..p.roots.len()).filter(|n| same[p.roots[*n]]).collect();
        let here = if known.is_empty() { vec![] } else { lazy(p, &Device::cpu())? };
        for n in known {
            let r = p.roots[n];
            let (f, s) = (bits(&fused[n]), bits(&here[r]));
            equal(&f.map_err(|e| e.to_string())?, &s.map_err(|e| e.to_string())?)
                .map_err(|m| format!("node {r} of {}: the GPU and the CPU differ {m}", p.nodes[r].dtype))?;
            seen.to_the_bit += 1;
        }
    }
    if steps {
        let halves = halves(p);
        let unfused = node_by_node(p, d)?;
        let by_kernel =
            if p.roots.iter().any(|r| halves[*r]) && !d.is_gpu() { kernel_by_kernel(p, &all, d)? } else { None };
        for (n, r) in p.roots.iter().enumerate() {
            seen.halves += halves[*r] as usize;
            let other = match halves[*r] {
                true => by_kernel.as_ref().map(|k| &k[*r]),
                false => Some(&unfused[*r]),
            };
            let Some(other) = other.filter(|_| !d.is_gpu()) else { continue };
            let (f, s) = (bits(&fused[n]).map_err(|e| e.to_string())?, bits(other).map_err(|e| e.to_string())?);
            equal(&f, &s).map_err(|m| format!("node {r} of {}: fused and unfused differ {m}", p.nodes[*r].dtype))?;
            seen.to_the_bit += 1;
        }
    }
    Ok(seen)
}

/// Evaluates each node alone on stored operands, within the interpreter's bounds for that single operation.
fn node_by_node(p: &Program, d: &Device) -> Result<Vec<Expr>, String> {
    let mut steps: Vec<Expr> = vec![];
    for (i, s) in p.nodes.iter().enumerate() {
        let e = build(s, &steps, d);
        let got = e.eval().map_err(|e| format!("node {i}: {e}"))?;
        let want = testing::interpret(&e).map_err(|e| format!("node {i}: interpreter: {e}"))?;
        compare(&got, &want).map_err(|m| format!("node {i}, alone: {m}"))?;
        steps.push((*got).clone());
    }
    Ok(steps)
}

/// Evaluates each value that the plan stores separately, so that f16 and bf16 are rounded at the same places. None if a
/// value is stored only for some readers, or if a part alone would be split differently.
fn kernel_by_kernel(p: &Program, all: &[Expr], d: &Device) -> Result<Option<Vec<Expr>>, String> {
    let roots: Vec<&Expr> = p.roots.iter().map(|r| &all[*r]).collect();
    let whole = Interpreter::planned(&roots).map_err(|e| format!("the plan: {e}"))?;
    let mut parts: Vec<Expr> = vec![];
    for (i, s) in p.nodes.iter().enumerate() {
        let e = build(s, &parts, d);
        let stored = p.roots.contains(&i) || whole.is_stored(&all[i]) == Some(true);
        // a view of a view reads the array below both, even if the inner view is also a result
        let view = ["permute", "flip", "slice", "index", "expand", "broadcast", "windows", "diagonal", "reshape"];
        let skipped =
            stored && view.contains(&s.op.as_str()) && p.nodes[i..].iter().any(|n| n.operands().any(|o| o == i));
        if whole.is_stored(&all[i]) == Some(false) || skipped {
            return Ok(None);
        }
        if !stored {
            parts.push(e);
            continue;
        }
        let part = Interpreter::planned(&[&e]).map_err(|e| format!("the plan: {e}"))?;
        if part.rounds_below(&e) {
            return Ok(None);
        }
        parts.push((*e.eval().map_err(|e| format!("node {i}: {e}"))?).clone());
    }
    Ok(Some(parts))
}

/// Turns a panic into an error.
pub fn quiet<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|p| {
        let text = p.downcast_ref::<String>().cloned().or(p.downcast_ref::<&str>().map(|s| s.to_string()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Searches for a smaller program that still fails, and its error: one result, fewer nodes, leaves for operations.
pub fn shrink(p: &Program, why: String, d: &Device) -> (Program, String) {
    let fails = |q: &Program| quiet(|| check(q, d, true)).err();
    let (mut best, mut why) = (p.clone(), why);
    for r in 0..p.nodes.len() {
        let q = Program { nodes: p.nodes[..=r].to_vec(), roots: vec![r] }.trimmed();
        if let Some(w) = fails(&q) {
            (best, why) = (q, w);
            break;
        }
    }
    let mut i = 0;
    while i < best.nodes.len() {
        let node = &best.nodes[i];
        // replace the node by one of its operands, or by a leaf
        let mut trials: Vec<Program> = vec![];
        if !node.args.is_empty() && !best.roots.contains(&i) {
            for o in node.operands().filter(|o| {
                let below = &best.nodes[*o];
                below.shape == node.shape && below.dtype == node.dtype
            }) {
                let mut q = best.clone();
                for s in &mut q.nodes {
                    for a in s.args.iter_mut().filter(|a| **a == Given::Node(i)) {
                        *a = Given::Node(o);
                    }
                }
                trials.push(q);
            }
            let mut q = best.clone();
            let (shape, dtype) = (node.shape.clone(), node.dtype);
            q.nodes[i] = Spec { op: "leaf".into(), args: vec![], numbers: vec![i as i64], shape, dtype };
            trials.push(q);
        }
        let found = trials.into_iter().map(|q| q.trimmed()).find_map(|q| fails(&q).map(|w| (q, w)));
        match found {
            Some((q, w)) => {
                (best, why) = (q, w);
                i = 0;
            }
            None => i += 1,
        }
    }
    (best, why)
}
