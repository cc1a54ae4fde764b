//! Writes the folds of a reduction kernel, or of one pass of a row kernel. A fold combines the elements of a row into
//! one result, such as a sum or the position of the maximum. This file writes instances of the blocks of
//! `shaders/lib/fold.wgsl`, and the functions that add an element to all folds of a pass and combine the partial
//! results of the lanes (the invocations that share a row).

use super::body::{Body, Fallible};
use super::library::{block, instance, unrolled};
use super::text::{Text, line};
use super::{FOLD, access};
use crate::base::dtype::{Compute, DType};
use crate::base::error::{ErrorKind, Fault};
use crate::graph::ufunc::{Extreme, FoldOperation, FoldOrder, FoldProgram, FoldStep, Form, Ufunc};
use crate::plan::kernel::{Gives, KernelReduction, Op, Source};

/// A reduction or scan of a kernel, and the number of the value that it computes.
#[derive(Clone, Copy)]
pub(super) struct Folding<'a> {
    pub value: usize,
    pub r: &'a KernelReduction,
    pub is_scan: bool,
}

/// How a fold is implemented in WGSL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// The partial results of a lane are plain values, which a function of two operands combines.
    Function(&'static Ufunc),
    /// The function is maximum or minimum of f32. Lanes hold the u32 key of the best value so far. The key contains the
    /// bits of the value, and the result has the largest key, so one instruction combines two keys.
    Key(&'static Ufunc, Extreme),
    /// The fold is argmax or argmin. Lanes hold the sort key of the best element so far, and its position.
    Best(Extreme),
    /// Lanes hold states, which are structs of components. The fold's formulas combine two states.
    Formulas,
}

impl Folding<'_> {
    fn written(&self) -> Written {
        let function = |row: &'static Ufunc| match row.reduce.and_then(|r| r.picks) {
            Some(extreme) if self.r.element.compute() == Compute::F32 && !self.is_scan => Written::Key(row, extreme),
            _ => Written::Function(row),
        };
        match (self.r.fold.form, self.r.gives) {
            (Form::Function(row), _) => function(row),
            // only the best element is needed, not its position
            (Form::FirstOf(row), Gives::Component(0)) => function(row),
            (Form::FirstOf(row), _) => match row.reduce.and_then(|r| r.picks) {
                Some(extreme) => Written::Best(extreme),
                None => Written::Formulas,
            },
            (Form::SumOf { .. } | Form::Formulas, _) => Written::Formulas,
        }
    }

    /// Returns the value whose elements the fold combines. If the fold combines states, returns the value of the first
    /// component.
    pub fn arg(&self) -> usize {
        match &self.r.source {
            Source::Elements { x, .. } => *x,
            Source::States(states) => states[0],
        }
    }
}

/// Returns the name of a function or a fold as a part of identifiers: each character that identifiers cannot contain is
/// replaced by `_`.
fn word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

impl<'a> Body<'a> {
    pub fn reductions(&self) -> Vec<Folding<'a>> {
        let values = self.kernel.values.iter().enumerate();
        let of = |(value, v): (usize, &'a crate::plan::kernel::Value)| {
            let Op::Reduce(r) = &v.op else { return None };
            Some(Folding { value, r, is_scan: false })
        };
        values.filter_map(of).collect()
    }

    /// Returns the WGSL type of a fold's partial results, in lanes and in workgroup memory. A bool is held as a u32.
    pub fn held_type(&self, f: Folding<'_>) -> String {
        let arg = &self.kernel.values[f.arg()];
        match (f.written(), arg.compute()) {
            (Written::Function(_), compute) => held(compute).to_string(),
            (Written::Key(..), _) => "u32".to_string(),
            // the sort key by which argmin and argmax compare
            (Written::Best(_), _) if arg.dtype.size() == 8 => "u64".to_string(),
            (Written::Best(_), _) => "u32".to_string(),
            (Written::Formulas, _) => format!("State_{}", self.suffix(f)),
        }
    }

    /// Returns the suffix for the names of a fold's WGSL functions: the name of the fold (or of the function that it
    /// applies) and the compute type; for argmin and argmax, only the type of the sort key. If several folds or
    /// functions share a name, all but the first also get a number.
    pub fn suffix(&self, f: Folding<'_>) -> String {
        // returns the name to use, whether it is the name of the fold (not of a function), and the id of the fold or
        // function
        let identity = |f: &Folding<'_>| match f.written() {
            Written::Function(row) => Some((word(row.name), false, row.id())),
            Written::Key(row, _) => Some((format!("{}_key", word(row.name)), false, row.id())),
            Written::Formulas => Some((word(f.r.fold.name), true, f.r.fold.id())),
            Written::Best(_) => None,
        };
        let Some(own) = identity(&f) else { return self.held_type(f) };
        let mut alike = Vec::new();
        for other in self.reductions().iter().filter_map(identity).filter(|other| other.0 == own.0) {
            if !alike.contains(&other) {
                alike.push(other);
            }
        }
        let number = match alike.iter().position(|other| *other == own) {
            None | Some(0) => String::new(),
            Some(n) => format!("_{n}"),
        };
        let compute = match f.written() {
            Written::Formulas => f.r.element.compute(),
            Written::Function(_) | Written::Key(..) | Written::Best(_) => self.kernel.values[f.arg()].compute(),
        };
        format!("{}_{}{number}", own.0, compute.name())
    }

    /// Writes the functions of each fold in `reductions` (once, if several reductions use the same fold), and declares
    /// the workgroup memory in which lanes exchange partial results.
    pub fn fold_functions(&self, out: &mut Text, reductions: &[Folding<'_>]) -> Fallible<()> {
        // if the fold requires that elements are combined one after another, the first lane combines all of them alone
        let many_lanes = self.variant.groups.lanes > 1 && !self.kernel.combines_in_sequence();
        let by_fours = self.variant.has_lanes_by_fours();
        let room = match by_fours {
            true => "4u * WORKGROUP",
            false if reductions.iter().any(|f| f.is_scan) => "TOGETHER * WORKGROUP",
            false => "WORKGROUP",
        };
        let (mut done, mut shared): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for f in reductions {
            let (suffix, held) = (self.suffix(*f), self.held_type(*f));
            shared.push(format!("var<workgroup> shared_{held}: array<{held}, {room}>;"));
            // subgroup shuffles can pass values of these types only
            let shuffles = self.variant.shuffled() > 1 && ["f32", "i32", "u32"].contains(&held.as_str());
            let (local, tree) = match f.written() {
                Written::Function(_) | Written::Key(..) | Written::Formulas => (
                    if self.cascades(*f) { "cascade" } else { "plain" },
                    match (by_fours, shuffles) {
                        (false, false) => "tree",
                        (true, false) => "tree_of_fours",
                        (false, true) => "tree_by_shuffles",
                        (true, true) => "tree_of_fours_by_shuffles",
                    },
                ),
                Written::Best(_) => {
                    shared.push("var<workgroup> shared_positions: array<u32, WORKGROUP>;".to_string());
                    ("position", if shuffles { "position_tree_by_shuffles" } else { "position_tree" })
                }
            };
            if done.contains(&suffix) {
                continue;
            }
            match f.written() {
                Written::Function(row) => self.combination(out, row, *f, &suffix)?,
                Written::Key(..) => {
                    // 0 is the smallest key, which belongs to −∞ (in a minimum, to +∞), so it is the neutral element
                    line!(out, "fn neutral_{suffix}() -> u32 {{\nreturn 0u;\n}}\n");
                    line!(out, "fn combine_{suffix}(a: u32, b: u32) -> u32 {{\nreturn max(a, b);\n}}\n");
                }
                Written::Formulas => self.formulas(out, *f, &suffix)?,
                Written::Best(_) => {}
            }
            let totals = if shuffles { self.totals(&suffix, &held) } else { String::new() };
            let names: [(&str, &str); 4] = [("FOLD", &suffix), ("KEY", &held), ("T", &held), ("TOTALS", &totals)];
            out.append(&instance(&planted(local, block(FOLD, local)), &names));
            if many_lanes {
                if by_fours && local == "position" {
                    out.append(&format!("\n{}", instance(block(FOLD, "position_of_fours"), &names)));
                }
                let levels = self.variant.shuffled().ilog2() as usize;
                let text = unrolled(&planted(tree, block(FOLD, tree)), &[("level", "LEVEL", levels)]);
                out.append(&format!("\n{}", instance(&text, &names)));
            }
            out.append("\n");
            done.push(suffix);
        }
        if self.form.checks {
            shared.push("var<workgroup> shared_checks: array<u32, WORKGROUP>;".to_string());
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

    /// Returns whether a lane combines its elements by the block `cascade` of `fold.wgsl`, instead of one after
    /// another. It does if each operation rounds, because a long chain of operations would lose digits.
    fn cascades(&self, f: Folding<'_>) -> bool {
        match f.written() {
            Written::Function(_) | Written::Key(..) | Written::Best(_) => {
                f.r.fold.order(f.r.element) == FoldOrder::Tree
            }
            Written::Formulas => !f.r.fold.is_exact(f.r.element),
        }
    }

    /// Writes the neutral element of a function, and the function that combines two of its partial results.
    fn combination(&self, out: &mut Text, row: &Ufunc, f: Folding<'_>, suffix: &str) -> Fallible<()> {
        let compute = self.kernel.values[f.arg()].compute();
        let Some(reduction) = row.reduce else {
            return Err(Fault::new(ErrorKind::Internal, format!("{} has no neutral element", row.name)));
        };
        let held = held(compute);
        let neutral = pack(compute, &access::constant(reduction.neutral.bits(compute), compute));
        let combined = match compute {
            Compute::Bool => pack(compute, &Self::ufunc(row, compute, &["(a != 0u)", "(b != 0u)"])?),
            Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 | Compute::F32 | Compute::F64 => {
                Self::ufunc(row, compute, &["a", "b"])?
            }
        };
        line!(out, "fn neutral_{suffix}() -> {held} {{\nreturn {neutral};\n}}\n");
        line!(out, "fn combine_{suffix}(a: {held}, b: {held}) -> {held} {{\nreturn {combined};\n}}\n");
        Ok(())
    }

    /// Writes the struct of a fold's state, and a function for each of its formulas.
    fn formulas(&self, out: &mut Text, f: Folding<'_>, suffix: &str) -> Fallible<()> {
        let programs = f.r.fold.programs(f.r.element)?;
        let state = format!("State_{suffix}");
        let types = programs.state.iter();
        let fields: String = types.clone().enumerate().map(|(n, t)| format!("c{n}: {},\n", held(*t))).collect();
        line!(out, "struct {state} {{\n{fields}}}\n");
        let neutral =
            |(c, t): (&crate::graph::ufunc::Component, &Compute)| pack(*t, &access::constant(c.init.bits(*t), *t));
        let neutral: Vec<String> = f.r.fold.state.iter().zip(types.clone()).map(neutral).collect();
        line!(out, "fn neutral_{suffix}() -> {state} {{\nreturn {state}({});\n}}\n", neutral.join(", "));
        let packed = |results: Vec<String>| -> String {
            let one = |(x, t): (&String, &Compute)| pack(*t, x);
            results.iter().zip(types.clone()).map(one).collect::<Vec<_>>().join(", ")
        };
        if matches!(f.r.source, Source::Elements { .. }) {
            line!(out, "fn lift_{suffix}(x: {}, position: i32) -> {state} {{", f.r.element.compute().name());
            let results = self.program(out, &programs.lift)?;
            line!(out, "return {state}({});\n}}\n", packed(results));
        }
        line!(out, "fn combine_{suffix}(a: {state}, b: {state}) -> {state} {{");
        let results = self.program(out, &programs.combine)?;
        line!(out, "return {state}({});\n}}\n", packed(results));
        let result = f.r.fold.result.compute(f.r.element).name();
        line!(out, "fn finish_{suffix}(a: {state}) -> {result} {{");
        let results = self.program(out, &programs.finish)?;
        line!(out, "return {};\n}}\n", results.join(", "));
        Ok(())
    }

    /// Writes the constants and variables, besides LANES, that the blocks `tree…` of `fold.wgsl` use. These blocks
    /// combine the results of a row's lanes in pairs, in an order that is always the same (a tree).
    pub fn shuffles(&self, out: &mut Text) {
        let (places, shuffled) = (self.variant.places(), self.variant.shuffled());
        line!(out, "const PLACES = {places}u;\n");
        if shuffled > 1 {
            line!(out, "const SHUFFLED = {shuffled}u;\nvar<private> first_in_subgroup: u32;\n");
        }
    }

    /// Returns the expression that combines the totals that every SHUFFLED-th invocation of a row has written to
    /// workgroup memory. It combines them in pairs, in the same order as the blocks `tree…` of `fold.wgsl`.
    fn totals(&self, suffix: &str, held: &str) -> String {
        let (places, shuffled) = (self.variant.places(), self.variant.shuffled());
        let mut totals: Vec<String> =
            (0..places / shuffled).map(|n| format!("shared_{held}[first + {}u]", n * shuffled)).collect();
        while totals.len() > 1 {
            let upper = totals.split_off(totals.len() / 2);
            totals = totals.iter().zip(upper).map(|(a, b)| format!("combine_{suffix}({a}, {b})")).collect();
        }
        totals.pop().unwrap_or_default()
    }

    /// Writes the statements of a formula of a fold, which is given as a program. Returns the names of its results.
    fn program(&self, out: &mut Text, program: &FoldProgram) -> Fallible<Vec<String>> {
        let mut names: Vec<String> = Vec::with_capacity(program.steps.len());
        for (i, FoldStep { gives, compute }) in program.steps.iter().enumerate() {
            let component = |state: &str, n: &usize| match compute {
                Compute::Bool => format!("({state}.c{n} != 0u)"),
                Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 | Compute::F32 | Compute::F64 => {
                    format!("{state}.c{n}")
                }
            };
            let text = match gives {
                FoldOperation::Element => "x".to_string(),
                FoldOperation::Position => "position".to_string(),
                FoldOperation::A(n) => component("a", n),
                FoldOperation::B(n) => component("b", n),
                FoldOperation::Number(bits) => access::constant(*bits, *compute),
                FoldOperation::Cast(of) => {
                    access::cast(program.steps[*of].compute.dtype(), compute.dtype(), &names[*of])
                }
                FoldOperation::Call(row, args) => {
                    let by = row.typed_operand(args).map_or(*compute, |a| program.steps[*a].compute);
                    // as for the values of a kernel (`guarded` in `body.rs`), no compiler may see how the operands of a
                    // float function were computed
                    let hides = !row.properties.opaque && !row.properties.simplifies_exactly;
                    let operand = |a: &usize| match hides {
                        true => access::block(program.steps[*a].compute, &names[*a]),
                        false => names[*a].clone(),
                    };
                    let operands: Vec<String> = args.iter().map(operand).collect();
                    let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
                    let value = Self::ufunc(row, by, &operands)?;
                    let value = if row.properties.opaque { value } else { access::block(*compute, &value) };
                    line!(out, "let t{i}: {} = {value};", compute.name());
                    format!("t{i}")
                }
            };
            names.push(text);
        }
        Ok(program.results.iter().map(|r| names[*r].clone()).collect())
    }

    /// Returns the first reduction of the kernel that combines the same elements as `f` by the same formulas. One state
    /// serves all such reductions, because they return different components of the state, or its result. If `f` does
    /// not use formulas, returns `f`.
    fn walk(&self, f: Folding<'a>) -> Folding<'a> {
        let same = |other: &Folding<'_>| other.r.shares_walk(f.r) && other.written() == Written::Formulas;
        match f.written() {
            Written::Formulas => self.reductions().into_iter().find(same).unwrap_or(f),
            Written::Function(_) | Written::Key(..) | Written::Best(_) => f,
        }
    }

    /// Writes the struct of the partial results of all folds of a pass, and the function that returns their initial
    /// values. Both names end in `pass`.
    pub fn folds_struct(&self, out: &mut Text, pass: &str, reductions: &[Folding<'a>]) {
        let (mut fields, mut starts) = (Vec::new(), Vec::new());
        for f in reductions.iter().filter(|f| self.walk(**f).value == f.value) {
            let suffix = self.suffix(*f);
            let (field, start) = match f.written() {
                Written::Function(_) | Written::Key(..) | Written::Formulas => {
                    (format!("Partial_{suffix}"), format!("start_{suffix}()"))
                }
                Written::Best(_) => (format!("Best_{suffix}"), format!("start_best_{suffix}()")),
            };
            fields.push(format!("v{}: {field},\n", f.value));
            starts.push(start);
        }
        line!(out, "struct Folds{pass} {{\n{}}}\n", fields.concat());
        line!(out, "fn start{pass}() -> Folds{pass} {{\nreturn Folds{pass}({});\n}}\n", starts.join(", "));
    }

    /// Writes the statement that adds an element to the fold `f` in the variable `folds`. `index` is the element's
    /// inner index.
    pub fn fold_in(&self, out: &mut Text, f: &Folding<'a>, index: &str) {
        if self.walk(*f).value != f.value {
            return;
        }
        let (suffix, v, x) = (self.suffix(*f), f.value, &self.names[f.arg()]);
        let value = &self.kernel.values[f.arg()];
        let position = match &f.r.source {
            Source::Elements { base: None, .. } => index.to_string(),
            Source::Elements { base: Some(base), .. } => format!("(bitcast<u32>({}) + {index})", self.names[*base]),
            Source::States(states) => format!("bitcast<u32>({})", self.names[states[states.len() - 1]]),
        };
        match f.written() {
            Written::Function(_) => {
                let x = pack(value.compute(), x);
                line!(out, "folds.v{v} = accumulate_{suffix}(folds.v{v}, {x});");
            }
            Written::Key(_, extreme) => {
                let key = match extreme {
                    Extreme::Largest => format!("m_max_key({x})"),
                    Extreme::Smallest => format!("m_max_key(m_neg({x}))"),
                };
                line!(out, "folds.v{v} = accumulate_{suffix}(folds.v{v}, {key});");
            }
            Written::Best(extreme) => {
                let key = sort_key(value.dtype, x, extreme == Extreme::Smallest);
                line!(out, "folds.v{v} = accumulate_best_{suffix}(folds.v{v}, {key}, {position});");
            }
            Written::Formulas => {
                let state = match &f.r.source {
                    Source::Elements { .. } => format!("lift_{suffix}({x}, bitcast<i32>({position}))"),
                    Source::States(states) => {
                        let one = |s: &usize| pack(self.kernel.values[*s].compute(), &self.names[*s]);
                        let components: Vec<String> = states.iter().map(one).collect();
                        format!("State_{suffix}({})", components.join(", "))
                    }
                };
                line!(out, "folds.v{v} = accumulate_{suffix}(folds.v{v}, {state});");
            }
        }
    }

    /// Writes the function that is called after every fourth element of a lane. Its name ends in `pass`.
    pub fn carry(&self, out: &mut Text, pass: &str, reductions: &[Folding<'a>]) {
        line!(out, "fn carry{pass}(before: Folds{pass}, count: u32) -> Folds{pass} {{\nvar folds = before;");
        let all = reductions.iter().filter(|f| self.walk(**f).value == f.value && self.cascades(**f));
        all.for_each(|f| line!(out, "folds.v{0} = carry_{1}(folds.v{0}, count);", f.value, self.suffix(*f)));
        line!(out, "return folds;\n}}\n");
    }

    /// Writes the statements that combine the lanes' partial results, and assign the result of each reduction to its
    /// field of the variable `row`.
    pub fn fold_lanes(&self, out: &mut Text, reductions: &[Folding<'a>]) {
        let lanes = self.variant.groups.lanes > 1 && !self.kernel.combines_in_sequence();
        let by_fours = self.variant.has_lanes_by_fours();
        for f in reductions {
            let (suffix, v) = (self.suffix(*f), f.value);
            let of_lanes = |one: &dyn Fn(String) -> String| match by_fours {
                true => (0..4).map(|n| one(format!("folds[{n}].v{v}"))).collect::<Vec<_>>().join(", "),
                false => one(format!("folds.v{v}")),
            };
            let totals = of_lanes(&|partial| format!("total_{suffix}({partial})"));
            let total = if lanes { format!("fold_lanes_{suffix}({totals}, lane, place)") } else { totals };
            let result = match (f.written(), lanes) {
                (Written::Function(_), _) => match self.kernel.values[f.arg()].compute() {
                    Compute::Bool => format!("{total} != 0u"),
                    Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 | Compute::F32 | Compute::F64 => {
                        self.guard(v, total)
                    }
                },
                (Written::Key(_, Extreme::Largest), _) => format!("m_of_max_key({total})"),
                (Written::Key(_, Extreme::Smallest), _) => format!("m_neg(m_of_max_key({total}))"),
                (Written::Best(_), true) => {
                    let best = of_lanes(&|best| best);
                    let best = if by_fours { format!("best_of_four_{suffix}({best})") } else { best };
                    format!("bitcast<i32>(fold_lanes_best_{suffix}({best}, lane, place))")
                }
                (Written::Best(_), false) => {
                    let position = format!("folds.v{v}.position");
                    mutant!(wgsl_of_the_wrong_type, position, format!("bitcast<i32>({position})"))
                }
                (Written::Formulas, _) => {
                    let walk = self.walk(*f).value;
                    if walk == v {
                        line!(out, "let state{v} = {total};");
                    }
                    match f.r.gives {
                        Gives::Result => self.guard(v, format!("finish_{suffix}(state{walk})")),
                        Gives::Component(n) => match self.kernel.values[v].compute() {
                            Compute::Bool => format!("state{walk}.c{n} != 0u"),
                            Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 | Compute::F32 | Compute::F64 => {
                                self.guard(v, format!("state{walk}.c{n}"))
                            }
                        },
                    }
                }
            };
            line!(out, "row.v{v} = {result};");
        }
    }

    /// Writes the statement by which all lanes of a row learn whether one of them found an index out of range.
    pub fn agree(&self, out: &mut Text) {
        if self.form.checks && self.variant.groups.lanes > 1 {
            line!(out, "agree_on_indices(lane, place);");
        }
    }
}

/// Returns a block of `fold.wgsl`, with the faults that tests plant in it.
fn planted(of: &str, block: &str) -> String {
    let whole = block.to_string();
    match of {
        "tree" | "tree_of_fours" => mutant!(barrier_removed, whole.replacen("    workgroupBarrier();\n", "", 1), whole),
        "position" => mutant!(argmax_last_of_ties_on_gpu, whole.replace("position < best", "position > best"), whole),
        _ => whole,
    }
}

/// Returns the type in which workgroup memory holds a value.
fn held(compute: Compute) -> &'static str {
    if compute == Compute::Bool { "u32" } else { compute.name() }
}

/// Returns the expression for a value in the type that [`held`] returns.
pub(super) fn pack(compute: Compute, x: &str) -> String {
    if compute == Compute::Bool { format!("select(0u, 1u, {x})") } else { x.to_string() }
}

/// Returns an unsigned key that is largest for the element that argmax (or argmin) looks for. A NaN has the largest key
/// of all.
fn sort_key(dtype: DType, v: &str, smallest: bool) -> String {
    match (dtype.compute(), smallest) {
        (Compute::Bool, false) => format!("select(0u, 1u, {v})"),
        (Compute::Bool, true) => format!("select(1u, 0u, {v})"),
        (Compute::U32, false) => v.to_string(),
        (Compute::U32, true) => format!("~{v}"),
        (Compute::I32, false) => format!("(bitcast<u32>({v}) ^ 0x80000000u)"),
        (Compute::I32, true) => format!("(bitcast<u32>({v}) ^ 0x7fffffffu)"),
        (c @ (Compute::I64 | Compute::U64), false) => format!("sort_key_{}({v})", c.name()),
        (c @ (Compute::I64 | Compute::U64), true) => format!("not_u64(sort_key_{}({v}))", c.name()),
        (Compute::F32, false) => format!("m_sort_key({v})"),
        (Compute::F32, true) => format!("select(~m_sort_key({v}), 0xffffffffu, m_isnan({v}))"),
        (Compute::F64, false) => format!("d_sort_key({v})"),
        (Compute::F64, true) => format!("select(~d_sort_key({v}), ~u64(0), d_isnan({v}))"),
    }
}
