//! Writes the functions and constants that `shaders/row.wgsl` uses. The lanes of a row go over its elements in several
//! passes. The schedule determines in which pass each value is computed, and which values the lanes keep for later
//! passes. A *run* is four consecutive elements of a row, which a lane processes together.

use super::access;
use super::body::{Body, Fallible, is_load};
use super::fold::Folding;
use super::place::IndexSpace;
use super::rare::FOUR;
use super::text::{Text, line};
use crate::base::dtype::Compute;
use crate::plan::kernel::{Groups, Pass};
use std::collections::BTreeSet;

/// The number of consecutive elements of a row that a lane processes together.
pub(super) const RUN: usize = 4;

/// If a lane holds at most this many elements, the statements for its runs are written out one after another. Otherwise
/// the shader has a loop over the runs.
pub(super) const WRITTEN_OUT: usize = 16;

impl<'a> Body<'a> {
    /// Returns the source of all functions and constants that `shaders/row.wgsl` uses.
    pub fn row(&mut self) -> Fallible<String> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let passes = self.passes;
        let (all, scans) = (self.reductions(), self.scans());

        let mut out = Text::default();
        let Groups { lanes, held, .. } = self.variant.groups;
        line!(out, "const LANES = {lanes}u;\nconst HELD = {held}u;\nconst RUN = {RUN}u;");
        self.shuffles(&mut out);
        if !scans.is_empty() {
            line!(out, "const TOGETHER = {}u;\n", self.scanned_together());
        }
        for (v, value) in values.iter().enumerate().filter(|(v, _)| passes.keeps(*v) && !self.is_scanned(*v)) {
            line!(out, "var<private> kept_v{v}: array<{}, HELD>;", value.compute().name());
        }
        let divisors: BTreeSet<usize> = (0..values.len()).filter_map(|v| self.divisor(v)).collect();
        divisors.iter().for_each(|v| line!(out, "var<private> divisor_v{v}: Divisor;"));
        line!(out, "");
        self.fold_functions(&mut out, &[&all[..], &scans].concat())?;
        self.scan_functions(&mut out, &scans);
        self.load_row(&mut out, |v| !values[v].inner, |v| passes.after[v] == 0)?;
        if self.variant.has_whole_runs {
            line!(out, "// The index at which a run begins; past the end of the row, that of the last run.");
            line!(out, "fn run_index(place: u32, held: u32) -> u32 {{");
            line!(out, "return min({RUN}u * place + LANES * held, params.header.inner_size - {RUN}u);\n}}\n");
        }

        let mut calls = Vec::new();
        for (p, pass) in passes.list.iter().enumerate().filter(|(_, pass)| !pass.ends.is_empty()) {
            let of_pass = |all: &[Folding<'a>]| -> Vec<Folding<'a>> {
                all.iter().copied().filter(|r| pass.ends.contains(&(r.value as u16))).collect()
            };
            self.pass(&mut out, (p, pass), (&of_pass(&all), &of_pass(&scans)))?;
            calls.push(format!("row = reduce_pass_{p}(row, lane, place);"));
        }
        line!(out, "fn reduce_passes(before: Row, lane: u32, place: u32) -> Row {{\nvar row = before;");
        line!(out, "{}", calls.join("\n"));
        self.agree(&mut out);
        line!(out, "return row;\n}}\n");
        self.last_pass(&mut out)?;
        Ok(out.finish())
    }

    /// Writes the functions of pass number `p`. The results of the given reductions and scans are known when the pass
    /// ends.
    fn pass(
        &mut self,
        out: &mut Text,
        (p, scheduled): (usize, &Pass),
        (reductions, scans): (&[Folding<'a>], &[Folding<'a>]),
    ) -> Fallible<()> {
        let values = &self.kernel.values;
        let pass = format!("_{p}");
        match reductions.is_empty() {
            true => self.no_folds(out, &pass),
            false => self.folds_struct(out, &pass, reductions),
        }
        self.load_run(out, (p, scheduled), false);

        // `combined` has the values of an element that the folds and scans of this pass combine
        let ends = scheduled.ends.iter().flat_map(|v| values[*v as usize].op.operands());
        let mut combined: Vec<usize> = ends.filter(|v| values[*v].inner).collect();
        combined.sort_unstable();
        combined.dedup();
        line!(out, "struct Combined{pass} {{\nindex: u32,");
        combined.iter().for_each(|v| line!(out, "v{v}: {},", values[*v].compute().name()));
        line!(out, "}}\n\nfn compute{pass}(row: Row, element: Element{pass}, held: u32) -> Combined{pass} {{");
        self.pass_values(out, scheduled)?;
        let fields: Vec<&str> = combined.iter().map(|v| self.names[*v].as_str()).collect();
        line!(out, "return Combined{pass}({});\n}}\n", [&["element.index"], &fields[..]].concat().join(", "));

        line!(out, "fn fold{pass}(before: Folds{pass}, row: Row, x: Combined{pass}, held: u32) -> Folds{pass} {{");
        line!(out, "var folds = before;");
        self.name_values(|v| if values[v].inner { format!("x.v{v}") } else { format!("row.v{v}") });
        reductions.iter().for_each(|r| self.fold_in(out, r, "x.index"));
        scans.iter().for_each(|s| self.scan_in(out, *s));
        line!(out, "return folds;\n}}\n");
        self.carry(out, &pass, reductions);

        let (run, whole) = (self.run_parameter(&pass), self.variant.has_whole_runs);
        line!(out, "fn accumulate{pass}(before: Folds{pass}, row: Row, {run}place: u32, held: u32) -> Folds{pass} {{");
        line!(out, "var folds = before;");
        self.run_at(out, "run", &pass);
        line!(out, "{FOUR}compute{pass}");
        (0..RUN).for_each(|n| line!(out, "let x{n} = compute{pass}(row, run.element{n}, held + {n}u);"));
        for n in 0..RUN {
            let carried =
                if n + 1 == RUN { format!("\nfolds = carry{pass}(folds, held + {RUN}u);") } else { String::new() };
            let fold = format!("folds = fold{pass}(folds, row, x{n}, held + {n}u);{carried}");
            if whole || n == 0 { line!(out, "{fold}") } else { line!(out, "if left > {n}u {{\n{fold}\n}}") }
        }
        line!(out, "}}\nreturn folds;\n}}\n");

        line!(out, "fn reduce_pass{pass}(before: Row, lane: u32, place: u32) -> Row {{");
        line!(out, "var row = before;\nvar folds = start{pass}();");
        self.divisors(out, scheduled);
        self.each_run(out, &pass, |run, held| format!("folds = accumulate{pass}(folds, row, {run}place, {held});"));
        self.fold_lanes(out, reductions);
        self.scan_lanes(out, scans);
        let passes = self.passes;
        self.name_values(|v| format!("row.v{v}"));
        self.values(out, "row", Some("row"), |v| !values[v].inner && passes.after[v] as usize == p + 1)?;
        line!(out, "return row;\n}}\n");
        Ok(())
    }

    /// Writes `store_elements`, which computes the last pass's values and stores the inner values (one for each
    /// element), and `store_row`, which stores the outer values (one for the row).
    fn last_pass(&mut self, out: &mut Text) -> Fallible<()> {
        let (kernel, passes) = (self.kernel, self.passes);
        let last = passes.list.iter().enumerate().next_back().filter(|(_, pass)| pass.ends.is_empty());
        if let Some((p, pass)) = last {
            self.load_run(out, (p, pass), true);
            let inner = |n: &usize| kernel.values[kernel.stores[*n].value].inner;
            let stores: Vec<usize> = (0..kernel.stores.len()).filter(inner).collect();
            if self.has_fours() {
                self.results_struct(out, &stores);
                line!(out, "fn results_of(row: Row, element: Element_{p}, held: u32) -> Results {{");
                self.pass_values(out, pass)?;
                self.return_results(out, &stores);
            } else {
                line!(out, "fn store_element(row: Row, element: Element_{p}, held: u32, is_last: bool) {{");
                self.pass_values(out, pass)?;
                self.stores(out, "element", true, "held, is_last");
                line!(out, "}}\n");
            }
            let pass = format!("_{p}");
            let run = self.run_parameter(&pass).replace("run:", "four:");
            line!(out, "fn store_run(row: Row, {run}place: u32, held: u32) {{");
            self.run_at(out, "four", &pass);
            if self.has_fours() {
                line!(out, "{FOUR}results_of");
            }
            for n in 0..RUN {
                match self.has_fours() {
                    true => line!(out, "let results{n} = results_of(row, four.element{n}, held + {n}u);"),
                    false => {
                        line!(out, "if left > {n}u {{");
                        line!(out, "store_element(row, four.element{n}, held + {n}u, left == {}u);\n}}", n + 1);
                    }
                }
            }
            if self.has_fours() {
                self.store_results(out, &stores);
            }
            line!(out, "}}\n}}\n");
        }
        line!(out, "fn store_elements(row: Row, place: u32) {{");
        if let Some((p, pass)) = last {
            self.divisors(out, pass);
            self.each_run(out, &format!("_{p}"), |run, held| format!("store_run(row, {run}place, {held});"));
        }
        line!(out, "}}\n\nfn store_row(row: Row) {{");
        self.name_values(|v| format!("row.v{v}"));
        self.stores(out, "row", false, "0u, true");
        line!(out, "}}");
        Ok(())
    }

    /// Writes the statements that set the variables `divisor_v…` of the divisors of a pass, from the values of the row.
    fn divisors(&self, out: &mut Text, pass: &Pass) {
        let divisors: BTreeSet<usize> = pass.computes.iter().filter_map(|v| self.divisor(*v as usize)).collect();
        for v in divisors {
            line!(out, "divisor_v{v} = cp_divisor({});", access::block(Compute::F32, &format!("row.v{v}")));
        }
    }

    /// Writes a statement for each run (four consecutive elements) of a lane. `statement` returns this statement, given
    /// the argument for a loaded run (empty if runs are not loaded in advance) and the number of the run's first
    /// element among the lane's elements. If a lane has few elements ([`WRITTEN_OUT`]), there is no loop over its runs,
    /// so compilers keep the elements in registers.
    fn each_run(&self, out: &mut Text, pass: &str, statement: impl Fn(&str, &str) -> String) {
        let whole = self.variant.has_whole_runs;
        let load = |run: &str, held: &str| format!("let {run} = load_run{pass}(row, run_index(place, {held}), 4u);");
        let argument = |run: String| if whole { format!("{run}, ") } else { String::new() };
        match self.variant.groups.held as usize {
            held @ 0..=WRITTEN_OUT => {
                let runs = || (0..held).step_by(RUN).map(|n| (format!("run{n}"), format!("{n}u")));
                runs().filter(|_| whole).for_each(|(run, held)| line!(out, "{}", load(&run, &held)));
                runs().for_each(|(run, held)| line!(out, "{}", statement(&argument(run), &held)));
            }
            _ => {
                line!(out, "for (var held = 0u; held < HELD; held = held + {RUN}u) {{");
                if whole {
                    line!(out, "{}", load("run", "held"));
                }
                line!(out, "{}\n}}", statement(&argument("run".to_string()), "held"));
            }
        }
    }

    /// Returns the declaration of a function's parameter for a loaded run (four consecutive elements). It is empty if
    /// rows need not consist of whole runs, because then the function loads the run itself.
    fn run_parameter(&self, pass: &str) -> String {
        if self.variant.has_whole_runs { format!("run: Four{pass}, ") } else { String::new() }
    }

    /// Writes the beginning of the statements for a run (four consecutive elements). It consists of an `if`, which
    /// skips a run that begins past the end of the row, and, if the run is not loaded yet, the statements that load it
    /// and compute how many elements are `left` in the row.
    fn run_at(&self, out: &mut Text, run: &str, pass: &str) {
        line!(out, "let index = {RUN}u * place + LANES * held;\nlet inner = params.header.inner_size;");
        line!(out, "if index < inner {{");
        if !self.variant.has_whole_runs {
            line!(out, "let left = inner - index;\nlet {run} = load_run{pass}(row, index, left);");
        }
    }

    /// Writes the function `load_run_{p}` and its structs. The function finds the positions of four consecutive
    /// elements in the buffers, and loads the values that pass number `p` needs. Past the end of the row, it loads the
    /// last element again. If `is_last` is true, it also finds the positions of the inner stores.
    fn load_run(&self, out: &mut Text, (p, pass): (usize, &Pass), is_last: bool) {
        let kernel = self.kernel;
        let computes = |v: usize| pass.computes.contains(&(v as u16));
        let stored = |s: usize| is_last && kernel.values[kernel.stores[s].value].inner;
        let loads: Vec<usize> = (0..kernel.values.len()).filter(|v| computes(*v) && is_load(kernel, *v)).collect();
        let suffix = format!("_{p}");
        if self.has_fours() {
            let later = self.columns_of(|v| computes(v) && !is_load(kernel, v), |_| false);
            let places = self.columns_of(computes, stored);
            self.four_structs(out, &suffix, IndexSpace::Inner, &places, (&later, &loads));
            line!(out, "fn load_run{suffix}(row: Row, index: u32, left: u32) -> Four{suffix} {{");
            self.find_places(out, "places", &format!("Places{suffix}"), IndexSpace::Inner, &places);
            self.load_four(out, &suffix, "params.axes[params.header.outer_rank]", &loads, &later);
            return;
        }
        let columns = self.columns_of(computes, stored);
        let element = format!("Element{suffix}");
        self.place_struct(out, &element, IndexSpace::Inner, &columns, &loads);
        line!(out, "fn load_element{suffix}(row: Row, index: u32) -> {element} {{");
        self.find_places(out, "element", &element, IndexSpace::Inner, &columns);
        self.load_into(out, "element", &loads);
        line!(out, "return element;\n}}\n\nstruct Run{suffix} {{");
        (0..RUN).for_each(|n| line!(out, "element{n}: {element},"));
        line!(out, "}}\n\nfn load_run{suffix}(row: Row, index: u32, left: u32) -> Run{suffix} {{");
        let element = |n: usize| format!("load_element{suffix}(row, index + min({n}u, left - 1u))");
        line!(out, "return Run{suffix}({});\n}}\n", (0..RUN).map(element).collect::<Vec<_>>().join(", "));
    }

    /// Writes the statements that compute a pass's values of an element, and keep the values that later passes need.
    /// The variable `element` holds the loaded values.
    fn pass_values(&mut self, out: &mut Text, pass: &Pass) -> Fallible<()> {
        let (kernel, passes) = (self.kernel, self.passes);
        let values = &kernel.values;
        for v in pass.takes.iter().map(|v| *v as usize) {
            let kept = if self.is_scanned(v) { self.scanned(v) } else { format!("kept_v{v}[held]") };
            line!(out, "let v{v} = {kept};");
        }
        let is_loaded = |v: usize| is_load(kernel, v) && pass.computes.contains(&(v as u16));
        self.name_values(|v| match (values[v].inner, is_loaded(v)) {
            (true, true) => format!("element.v{v}"),
            (true, false) => format!("v{v}"),
            (false, _) => format!("row.v{v}"),
        });
        self.values(out, "element", None, |v| pass.computes.contains(&(v as u16)) && !is_loaded(v))?;
        for v in pass.computes.iter().filter(|v| passes.keeps(**v as usize)) {
            line!(out, "kept_v{v}[held] = {};", self.names[*v as usize]);
        }
        Ok(())
    }
}
