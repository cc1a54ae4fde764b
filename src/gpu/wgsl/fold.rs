//! The folds of a reduction or of one pass of a row: instances of the blocks of `shaders/lib/fold.wgsl`, and the
//! functions that bring a kernel's folds together.

use super::body::{Body, Fallible};
use super::library::{block, instance};
use super::text::{Text, line};
use super::{FOLD, access};
use crate::dtype::{Compute, DType};
use crate::error::{ErrorKind, Fault};
use crate::kernel::{Fold, Op};
use crate::ufunc::{Extreme, Gives, Order, Ufunc};

/// A reduction of a kernel, with what the text of its fold is written from.
#[derive(Clone, Copy)]
pub(super) struct Reduction {
    /// The value that is its result, and the one that it folds.
    pub value: usize,
    pub arg: usize,
    pub fold: Fold,
}

impl Body<'_> {
    pub fn reductions(&self) -> Vec<Reduction> {
        let values = self.kernel.values.iter().enumerate();
        let of = |(value, v): (usize, &crate::kernel::Value)| match v.op {
            Op::Reduce(fold, arg) => Some(Reduction { value, arg, fold }),
            _ => None,
        };
        values.filter_map(of).collect()
    }

    /// The type in which a fold's partial results are held: bool, which workgroup memory cannot hold, as a u32.
    pub fn held_type(&self, r: Reduction) -> &'static str {
        let arg = &self.kernel.values[r.arg];
        match (r.fold.gives, arg.compute()) {
            (Gives::Value, Compute::Bool) => "u32",
            (Gives::Value, compute) => compute.name(),
            // the sort key by which argmin and argmax compare
            (Gives::Position, _) if arg.dtype.size() == 8 => "u64",
            (Gives::Position, _) => "u32",
        }
    }

    /// What the functions of a fold end in: the function's name and the type, or the key's type. Of two functions with
    /// one name, the second has a number too.
    pub fn suffix(&self, r: Reduction) -> String {
        if r.fold.gives_position() {
            return self.held_type(r).to_string();
        }
        let word = |fold: &Fold| -> String {
            fold.row.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
        };
        let name = word(&r.fold);
        let other = |x: &Reduction| !x.fold.gives_position() && x.fold.row != r.fold.row && word(&x.fold) == name;
        let others = self.reductions().iter().filter(|x| x.value < r.value && other(x)).count();
        let number = if others > 0 { format!("_{others}") } else { String::new() };
        format!("{name}_{}{number}", self.kernel.values[r.arg].compute().name())
    }

    /// The functions of each fold that `reductions` need, once each, and the memory that lanes exchange results in.
    pub fn fold_functions(&self, out: &mut Text, reductions: &[Reduction]) -> Fallible<()> {
        let many_lanes = self.variant.lanes > 1;
        let (mut done, mut shared): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for r in reductions {
            let (suffix, held) = (self.suffix(*r), self.held_type(*r));
            shared.push(format!("var<workgroup> shared_{held}: array<{held}, 256>;"));
            let (local, tree) = match r.fold.gives {
                Gives::Value => (if self.cascades(*r) { "cascade" } else { "plain" }, "tree"),
                Gives::Position => {
                    shared.push("var<workgroup> shared_positions: array<u32, 256>;".to_string());
                    ("position", "position_tree")
                }
            };
            if done.contains(&suffix) {
                continue;
            }
            if !r.fold.gives_position() {
                self.combination(out, r.fold.row, *r, &suffix, held)?;
            }
            let names: [(&str, &str); 3] = [("FOLD", &suffix), ("KEY", held), ("T", held)];
            out.append(&instance(block(FOLD, local), &names));
            if many_lanes {
                out.append(&format!("\n{}", instance(&planted(tree, block(FOLD, tree)), &names)));
            }
            out.append("\n");
            done.push(suffix);
        }
        if self.form.checks {
            shared.push("var<workgroup> shared_checks: array<u32, 256>;".to_string());
            if many_lanes {
                out.append(block(FOLD, "checks"));
                out.append("\n");
            }
        }
        if many_lanes {
            shared.sort();
            shared.dedup();
            shared.iter().for_each(|declaration| line!(out, "{declaration}"));
            line!(out, "");
        }
        Ok(())
    }

    /// Whether a lane combines in a cascade: where each step rounds, so that a long row of steps would lose digits.
    fn cascades(&self, r: Reduction) -> bool {
        r.fold.order(self.kernel.values[r.arg].dtype) == Order::Tree
    }

    /// The neutral element of a fold, and what combines two of its partial results.
    fn combination(&self, out: &mut Text, row: &Ufunc, r: Reduction, suffix: &str, held: &str) -> Fallible<()> {
        let compute = self.kernel.values[r.arg].compute();
        let Some(reduction) = row.reduce else {
            return Err(Fault::new(ErrorKind::Internal, format!("{} has no neutral element", row.name)));
        };
        let neutral = access::constant(reduction.neutral.bits(compute), compute);
        let (neutral, combined) = match compute {
            Compute::Bool => {
                let both = Self::ufunc(row, compute, &["(a != 0u)", "(b != 0u)"])?;
                (format!("select(0u, 1u, {neutral})"), format!("select(0u, 1u, {both})"))
            }
            _ => (neutral, Self::ufunc(row, compute, &["a", "b"])?),
        };
        line!(out, "fn neutral_{suffix}() -> {held} {{\nreturn {neutral};\n}}\n");
        line!(out, "fn combine_{suffix}(a: {held}, b: {held}) -> {held} {{\nreturn {combined};\n}}\n");
        Ok(())
    }

    /// The struct of all folds of a pass, and the function that starts them. `pass` ends their names.
    pub fn folds_struct(&self, out: &mut Text, pass: &str, reductions: &[Reduction]) {
        let (mut fields, mut starts) = (Vec::new(), Vec::new());
        for r in reductions {
            let suffix = self.suffix(*r);
            let (field, start) = match r.fold.gives {
                Gives::Value => (format!("Partial_{suffix}"), format!("start_{suffix}()")),
                Gives::Position => (format!("Best_{suffix}"), format!("start_best_{suffix}()")),
            };
            fields.push(format!("v{}: {field},\n", r.value));
            starts.push(start);
        }
        line!(out, "struct Folds{pass} {{\n{}}}\n", fields.concat());
        line!(out, "fn start{pass}() -> Folds{pass} {{\nreturn Folds{pass}({});\n}}\n", starts.join(", "));
    }

    /// Takes the element with inner index `index` into `folds`; `step` counts the lane's elements from 1.
    pub fn fold_in(&self, out: &mut Text, r: Reduction, index: &str, step: &str) {
        let (suffix, v, x) = (self.suffix(r), r.value, &self.names[r.arg]);
        let dtype = self.kernel.values[r.arg].dtype;
        match r.fold.gives {
            Gives::Value => {
                let x = if dtype == DType::Bool { format!("select(0u, 1u, {x})") } else { x.clone() };
                line!(out, "folds.v{v} = accumulate_{suffix}(folds.v{v}, {x}, {step});");
            }
            Gives::Position => {
                let key = sort_key(dtype, x, r.fold.picks() == Some(Extreme::Smallest));
                line!(out, "folds.v{v} = accumulate_best_{suffix}(folds.v{v}, {key}, {index});");
            }
        }
    }

    /// Sets the result of each reduction in `row`.
    pub fn fold_lanes(&self, out: &mut Text, reductions: &[Reduction]) {
        let lanes = self.variant.lanes > 1;
        for r in reductions {
            let (suffix, v) = (self.suffix(*r), r.value);
            let result = match (r.fold.gives, lanes) {
                (Gives::Value, true) => format!("fold_lanes_{suffix}(total_{suffix}(folds.v{v}), lane, place)"),
                (Gives::Value, false) => format!("total_{suffix}(folds.v{v})"),
                (Gives::Position, true) => format!("bitcast<i32>(fold_lanes_best_{suffix}(folds.v{v}, lane, place))"),
                (Gives::Position, false) => {
                    let position = format!("folds.v{v}.position");
                    mutant!(wgsl_of_the_wrong_type, position, format!("bitcast<i32>({position})"))
                }
            };
            match (r.fold.gives, self.kernel.values[r.arg].compute()) {
                (Gives::Value, Compute::Bool) => line!(out, "row.v{v} = {result} != 0u;"),
                (Gives::Value, _) => line!(out, "row.v{v} = {};", self.guard(v, result)),
                (Gives::Position, _) => line!(out, "row.v{v} = {result};"),
            }
        }
    }

    /// Makes the checks of a row's indices known to all its lanes.
    pub fn agree(&self, out: &mut Text) {
        if self.form.checks && self.variant.lanes > 1 {
            line!(out, "agree_on_indices(lane, place);");
        }
    }
}

/// A block of a tree, with the faults that tests plant there.
fn planted(name: &str, block: &str) -> String {
    let whole = block.to_string();
    match name {
        "tree" => mutant!(barrier_removed, whole.replacen("    workgroupBarrier();\n", "", 1), whole),
        _ => mutant!(argmax_last_of_ties_on_gpu, whole.replace("position < shared", "position > shared"), whole),
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
