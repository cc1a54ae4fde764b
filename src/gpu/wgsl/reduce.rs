//! The statements of reductions and rows: what a lane accumulates, how lanes combine, in which pass a row's values are
//! computed.

use super::body::{Body, Fallible, is_load, line};
use super::{access, key_type, shared_type};
use crate::dtype::{Compute, DType};
use crate::error::{ErrorKind, Fault};
use crate::kernel::{Fold, Op};
use crate::ufunc::{Extreme, Gives, Order, Ufunc};
use std::fmt::Write;

impl Body<'_> {
    /// How many reductions lie one after another on the way to each value.
    fn levels(&self) -> Vec<usize> {
        let mut levels: Vec<usize> = Vec::with_capacity(self.kernel.values.len());
        for v in &self.kernel.values {
            let of = |a: &usize| levels[*a];
            let level = match &v.op {
                Op::Ufunc(_, args) => args.iter().map(of).max().unwrap_or(0),
                Op::Cast(a) | Op::Round(a) => of(a),
                Op::Gather { index, .. } | Op::Philox { index, .. } => of(index),
                Op::Reduce(_, a) => of(a) + 1,
                _ => 0,
            };
            levels.push(level);
        }
        levels
    }

    fn reductions(&self) -> impl Iterator<Item = (usize, Fold, usize)> + use<'_> {
        let values = self.kernel.values.iter().enumerate();
        values.filter_map(|(i, v)| if let Op::Reduce(fold, a) = v.op { Some((i, fold, a)) } else { None })
    }

    /// Whether a lane adds in a cascade: where each step rounds, so that a long row of steps would lose digits.
    fn cascades(&self, fold: Fold, arg: usize) -> Option<&'static Ufunc> {
        (fold.order(self.kernel.values[arg].dtype) == Order::Tree).then_some(fold.row)
    }

    /// Declares the accumulators of reduction `i`.
    fn accumulator(&self, out: &mut String, (i, fold, arg): (usize, Fold, usize)) -> Fallible<()> {
        let row = fold.row;
        match fold.gives {
            Gives::Value => {
                let compute = self.kernel.values[arg].compute();
                let Some(reduction) = row.reduce else {
                    return Err(Fault::new(ErrorKind::Internal, format!("{} has no neutral element", row.name)));
                };
                let neutral = access::constant(reduction.neutral.bits(compute), compute);
                let levels = if self.cascades(fold, arg).is_some() { 4 } else { 1 };
                line!(out, "let neutral{i}: {} = {neutral};", compute.name());
                for l in 0..levels {
                    line!(out, "var a{i}_{l} = neutral{i};");
                }
            }
            Gives::Position => {
                line!(out, "var a{i}_0 = {}(0);\nvar n{i} = 0xffffffffu;", key_type(self.kernel.values[arg].dtype));
            }
        }
        Ok(())
    }

    /// Takes the value of inner index `j` into the accumulator; `step` counts the lane's elements from 1.
    fn accumulate(&self, out: &mut String, (i, fold, arg): (usize, Fold, usize)) -> Fallible<()> {
        let row = fold.row;
        if fold.gives_position() {
            let v = &self.kernel.values[arg];
            let smallest = fold.picks() == Some(Extreme::Smallest);
            line!(out, "let key{i} = {};", sort_key(v.dtype, &format!("v{arg}"), smallest));
            line!(out, "if key{i} > a{i}_0 || (key{i} == a{i}_0 && j < n{i}) {{ a{i}_0 = key{i}; n{i} = j; }}");
            return Ok(());
        }
        let compute = self.kernel.values[arg].compute();
        line!(out, "a{i}_0 = {};", Self::ufunc(row, compute, &[&format!("a{i}_0"), &format!("v{arg}")])?);
        if self.cascades(fold, arg).is_some() {
            // every four of a level make one of the next: at most four terms are added one after another
            for (l, mask) in [(0, 3), (1, 15), (2, 63)] {
                let sum = Self::ufunc(row, compute, &[&format!("a{i}_{}", l + 1), &format!("a{i}_{l}")])?;
                line!(out, "if (step & {mask}u) == 0u {{\na{i}_{} = {sum};\na{i}_{l} = neutral{i};", l + 1);
            }
            out.push_str("}}}\n");
        }
        Ok(())
    }

    /// Combines the lanes: declares `v{i}`.
    fn combine(&self, out: &mut String, (i, fold, arg): (usize, Fold, usize)) -> Fallible<()> {
        let lanes = self.variant.lanes;
        let row = fold.row;
        if fold.gives_position() {
            let key = key_type(self.kernel.values[arg].dtype);
            let (s, p) = (format!("s_{key}"), "p_u32");
            if lanes > 1 {
                line!(out, "{s}[lane] = a{i}_0;\n{p}[lane] = n{i};\nworkgroupBarrier();");
                line!(out, "for (var half = {}u; half > 0u; half = half >> 1u) {{\nif place < half {{", lanes / 2);
                line!(out, "let k = {s}[lane + half];\nlet at = {p}[lane + half];");
                line!(
                    out,
                    "if k > {s}[lane] || (k == {s}[lane] && at {} {p}[lane]) {{ {s}[lane] = k; {p}[lane] = at; }}",
                    mutant!(argmax_last_of_ties_on_gpu, ">", "<")
                );
                line!(
                    out,
                    "}}\nworkgroupBarrier();\n}}\nlet v{i} = bitcast<i32>({p}[lane - place]);\nworkgroupBarrier();"
                );
            } else {
                line!(
                    out,
                    "let v{i} = {};",
                    mutant!(wgsl_of_the_wrong_type, format!("n{i}"), format!("bitcast<i32>(n{i})"))
                );
            }
            return Ok(());
        }
        let compute = self.kernel.values[arg].compute();
        let mut total = format!("a{i}_0");
        if self.cascades(fold, arg).is_some() {
            for l in 1..4 {
                line!(out, "let t{i}_{l} = {};", Self::ufunc(row, compute, &[&format!("a{i}_{l}"), &total])?);
                total = format!("t{i}_{l}");
            }
        }
        if lanes == 1 {
            line!(out, "let v{i}: {} = {};", compute.name(), self.guard(i, total));
            return Ok(());
        }
        let s = format!("s_{}", shared_type(compute));
        let (put, get) = match compute {
            Compute::Bool => ("select(0u, 1u, {})", " != 0u"),
            _ => ("{}", ""),
        };
        let wait = mutant!(barrier_removed, "", "\nworkgroupBarrier();");
        line!(out, "{s}[lane] = {};{wait}", put.replace("{}", &total));
        line!(out, "for (var half = {}u; half > 0u; half = half >> 1u) {{\nif place < half {{", lanes / 2);
        line!(
            out,
            "let a = {s}[lane]{get};\nlet b = {s}[lane + half]{get};\nlet c = {};",
            Self::ufunc(row, compute, &["a", "b"])?
        );
        line!(out, "{s}[lane] = {};\n}}\nworkgroupBarrier();\n}}", put.replace("{}", "c"));
        let total = self.guard(i, format!("{s}[lane - place]{get}"));
        line!(out, "let v{i}: {} = {total};\nworkgroupBarrier();", compute.name());
        Ok(())
    }

    /// Makes `ok` the same on all lanes of an outer index.
    fn combine_ok(&self, out: &mut String) {
        let lanes = self.variant.lanes;
        if !self.form.checks || lanes == 1 {
            return;
        }
        line!(out, "s_u32[lane] = select(0u, 1u, ok);\nworkgroupBarrier();");
        line!(out, "for (var half = {}u; half > 0u; half = half >> 1u) {{", lanes / 2);
        line!(out, "if place < half {{ s_u32[lane] = s_u32[lane] & s_u32[lane + half]; }}\nworkgroupBarrier();\n}}");
        line!(out, "ok = s_u32[lane - place] != 0u;\nworkgroupBarrier();");
    }

    /// A reduce kernel: what comes before the loop over `inner`, in it, after it, and in the first lane.
    pub fn reduce(&mut self) -> Fallible<[String; 4]> {
        let levels = self.levels();
        let inner: Vec<bool> = self.kernel.values.iter().map(|v| v.inner).collect();
        let all: Vec<_> = self.reductions().collect();
        let [mut before, mut element, mut combine, mut after]: [String; 4] = Default::default();
        self.declare_ok(&mut before);
        self.outer_offsets(&mut before);
        self.values(&mut before, |i| !inner[i] && levels[i] == 0)?;
        let columns = self.columns(|v| inner[v], |_| false);
        let spread = self.variant.spread;
        if spread == 1 {
            line!(element, "let j = first;\nstep = step + 1u;");
            self.inner_offsets(&mut element, "j", &columns);
            self.values(&mut element, |i| inner[i])?;
            all.iter().try_for_each(|r| self.accumulate(&mut element, *r))?;
        } else {
            for e in 0..spread {
                // past the end the last element is loaded again and not used
                self.hoist(&mut element, e, "o", true, &columns, |body, out| {
                    line!(out, "let j = min(first + {e}u * LANES, inner - 1u);");
                    body.inner_offsets(out, "j", &columns);
                });
            }
            let kernel = self.kernel;
            for e in 0..spread {
                let below = mutant!(last_element_twice, "<=", "<");
                line!(element, "if first + {e}u * LANES {below} inner {{\nlet j = first + {e}u * LANES;");
                line!(element, "step = step + 1u;");
                self.unhoist(&mut element, e, "o", true, &columns);
                self.values(&mut element, |i| inner[i] && !is_load(kernel, i))?;
                all.iter().try_for_each(|r| self.accumulate(&mut element, *r))?;
                line!(element, "}}");
            }
        }
        for r in all {
            self.accumulator(&mut before, r)?;
            self.combine(&mut combine, r)?;
        }
        self.combine_ok(&mut combine);
        self.values(&mut after, |i| !inner[i] && levels[i] > 0)?;
        self.stores(&mut after, false, "0u", "true");
        Ok([before, element, combine, after])
    }

    /// In which pass each inner value of a row kernel is computed: in the first that needs it.
    fn passes(&self, levels: &[usize]) -> Vec<usize> {
        let values = &self.kernel.values;
        let last = levels.iter().copied().max().unwrap_or(0);
        let mut pass = vec![last; values.len()];
        for i in (0..values.len()).rev() {
            let p = pass[i];
            let mut need = |a: usize, p: usize| pass[a] = pass[a].min(p);
            match &values[i].op {
                Op::Reduce(_, a) => need(*a, levels[i] - 1),
                _ if !values[i].inner => {}
                Op::Ufunc(_, args) => args.iter().for_each(|a| need(*a, p)),
                Op::Cast(a) | Op::Round(a) => need(*a, p),
                Op::Gather { index, .. } | Op::Philox { index, .. } => need(*index, p),
                _ => {}
            }
        }
        pass
    }

    /// All of a row kernel.
    pub fn row(&mut self) -> Fallible<String> {
        let levels = self.levels();
        let pass = self.passes(&levels);
        let kernel = self.kernel;
        let values = &kernel.values;
        let last = levels.iter().copied().max().unwrap_or(0);
        let operands = |i: usize| -> Vec<usize> {
            match &values[i].op {
                Op::Ufunc(_, args) => args.to_vec(),
                Op::Cast(a) | Op::Round(a) | Op::Reduce(_, a) => vec![*a],
                Op::Gather { index, .. } | Op::Philox { index, .. } => vec![*index],
                _ => Vec::new(),
            }
        };
        let stored = |v: usize| kernel.stores.iter().any(|s| s.value == v);
        // what an inner value computed in an earlier pass is needed for in pass p
        let needed = |v: usize, p: usize| -> bool {
            let by = |i: usize| match values[i].op {
                Op::Reduce(..) => levels[i] - 1 == p,
                _ => values[i].inner && pass[i] == p,
            };
            (v + 1..values.len()).any(|i| by(i) && operands(i).contains(&v)) || (p == last && stored(v))
        };
        let kept = |v: usize| values[v].inner && (pass[v] + 1..=last).any(|p| needed(v, p));

        let mut out = String::new();
        self.declare_ok(&mut out);
        self.outer_offsets(&mut out);
        for (v, value) in values.iter().enumerate() {
            if kept(v) {
                line!(out, "var r{v}: array<{}, HELD>;", value.compute().name());
            }
        }
        for p in 0..=last {
            self.values(&mut out, |i| !values[i].inner && levels[i] == p)?;
            let reductions: Vec<_> = self.reductions().filter(|r| levels[r.0] == p + 1).collect();
            for r in &reductions {
                self.accumulator(&mut out, *r)?;
            }
            let stores = p == last && kernel.stores.iter().any(|s| values[s.value].inner);
            if p == last {
                self.combine_ok(&mut out);
                out.push_str(&self.words());
            }
            if reductions.is_empty() && !stores {
                continue;
            }
            line!(out, "for (var held = 0u; held < HELD; held = held + 1u) {{\nlet j = inner_index(place, held);");
            line!(out, "if j < inner {{\nlet step = held + 1u;");
            for v in 0..values.len() {
                if values[v].inner && pass[v] < p && needed(v, p) {
                    line!(out, "let v{v} = r{v}[held];");
                }
            }
            let columns =
                self.columns(|v| values[v].inner && pass[v] == p, |s| stores && values[kernel.stores[s].value].inner);
            self.inner_offsets(&mut out, "j", &columns);
            self.values(&mut out, |v| values[v].inner && pass[v] == p)?;
            for (v, of) in pass.iter().enumerate() {
                if *of == p && kept(v) {
                    line!(out, "r{v}[held] = v{v};");
                }
            }
            for r in &reductions {
                self.accumulate(&mut out, *r)?;
            }
            if stores {
                line!(out, "if wanted < count {{");
                self.stores(&mut out, true, "held", "j + 1u == inner");
                line!(out, "}}");
            }
            line!(out, "}}\n}}");
            for r in &reductions {
                self.combine(&mut out, *r)?;
            }
        }
        line!(out, "if place == 0u && wanted < count {{");
        self.stores(&mut out, false, "0u", "true");
        line!(out, "}}");
        Ok(out)
    }
}

/// An unsigned key whose largest is what argmax (or argmin) looks for; a NaN has the largest of all.
fn sort_key(dtype: DType, v: &str, smallest: bool) -> String {
    match (dtype.compute(), smallest) {
        (Compute::Bool, false) => format!("select(0u, 1u, {v})"),
        (Compute::Bool, true) => format!("select(1u, 0u, {v})"),
        (Compute::U32 | Compute::U64, false) => v.to_string(),
        (Compute::U32 | Compute::U64, true) => format!("~{v}"),
        (Compute::I32, false) => format!("(bitcast<u32>({v}) ^ 0x80000000u)"),
        (Compute::I32, true) => format!("(bitcast<u32>({v}) ^ 0x7fffffffu)"),
        (Compute::I64, false) => format!("(bitcast<u64>({v}) ^ 0x8000000000000000lu)"),
        (Compute::I64, true) => format!("(bitcast<u64>({v}) ^ 0x7ffffffffffffffflu)"),
        (Compute::F32, false) => format!("m_sort_key({v})"),
        (Compute::F32, true) => format!("select(~m_sort_key({v}), 0xffffffffu, m_isnan({v}))"),
        (Compute::F64, false) => format!("d_sort_key({v})"),
        (Compute::F64, true) => format!("select(~d_sort_key({v}), ~u64(0), d_isnan({v}))"),
    }
}
