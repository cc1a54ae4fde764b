//! What `shaders/row.wgsl` calls: in which pass each value of a row is computed, and which ones its lanes keep.

use super::ROW;
use super::body::{Body, Fallible};
use super::fold::Reduction;
use super::library::{block, instance};
use super::place::Space;
use super::text::{Text, line};
use crate::kernel::Op;

/// The passes over a row. Pass `p` ends in the reductions and scans of level `p + 1`; the last one stores.
struct Passes {
    /// How many reductions and scans lie one after another on the way to each value.
    levels: Vec<usize>,
    /// The pass in which each inner value is computed: the first that needs it.
    first: Vec<usize>,
    last: usize,
}

impl Body<'_> {
    fn passes(&self) -> Passes {
        let values = &self.kernel.values;
        let levels = self.levels();
        let last = levels.iter().copied().max().unwrap_or(0);
        let mut first = vec![last; values.len()];
        for i in (0..values.len()).rev() {
            let p = first[i];
            let mut need = |a: usize, p: usize| first[a] = first[a].min(p);
            match &values[i].op {
                Op::Reduce(_, a) | Op::Scan(_, a) => need(*a, levels[i] - 1),
                _ if !values[i].inner => {}
                op => operands(op).iter().for_each(|a| need(*a, p)),
            }
        }
        Passes { levels, first, last }
    }

    /// Whether pass `p` uses inner value `v`.
    fn is_needed(&self, passes: &Passes, v: usize, p: usize) -> bool {
        let values = &self.kernel.values;
        let by = |i: usize| match values[i].op {
            Op::Reduce(..) | Op::Scan(..) => passes.levels[i] - 1 == p,
            _ => values[i].inner && passes.first[i] == p,
        };
        let stored = || self.kernel.stores.iter().any(|s| s.value == v);
        (v + 1..values.len()).any(|i| by(i) && operands(&values[i].op).contains(&v)) || (p == passes.last && stored())
    }

    /// Whether inner value `v` is used in a pass after the one that computes it: its lane keeps it.
    fn is_kept(&self, passes: &Passes, v: usize) -> bool {
        let mut later = passes.first[v] + 1..=passes.last;
        self.kernel.values[v].inner && !self.is_scanned(v) && later.any(|p| self.is_needed(passes, v, p))
    }

    /// All that the file calls.
    pub fn row(&mut self) -> Fallible<String> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let passes = self.passes();
        let (all, scans) = (self.reductions(), self.scans());

        let mut out = Text::default();
        let (lanes, held, run) = (self.variant.lanes, self.variant.held, self.variant.run);
        line!(out, "const LANES = {lanes}u;\nconst HELD = {held}u;\nconst RUN = {run}u;\n");
        for (v, value) in values.iter().enumerate().filter(|(v, _)| self.is_kept(&passes, *v)) {
            line!(out, "var<private> kept_v{v}: array<{}, HELD>;", value.compute().name());
        }
        line!(out, "");
        self.fold_functions(&mut out, &[&all[..], &scans].concat())?;
        self.scan_functions(&mut out, &scans);
        self.load_row(&mut out, |v| !values[v].inner, |v| passes.levels[v] == 0)?;

        let mut calls = Vec::new();
        for p in 0..passes.last {
            let of_pass = |all: &[Reduction]| -> Vec<Reduction> {
                all.iter().copied().filter(|r| passes.levels[r.value] == p + 1).collect()
            };
            self.pass(&mut out, &passes, p, (&of_pass(&all), &of_pass(&scans)))?;
            calls.push(format!("row = reduce_pass_{p}(row, lane, place);"));
        }
        line!(out, "fn reduce_passes(before: Row, lane: u32, place: u32) -> Row {{\nvar row = before;");
        line!(out, "{}", calls.join("\n"));
        self.agree(&mut out);
        line!(out, "return row;\n}}\n");
        self.last_pass(&mut out, &passes)?;
        Ok(out.finish())
    }

    /// A pass that ends in reductions and scans.
    fn pass(
        &mut self,
        out: &mut Text,
        passes: &Passes,
        p: usize,
        (reductions, scans): (&[Reduction], &[Reduction]),
    ) -> Fallible<()> {
        let pass = format!("_{p}");
        match reductions.is_empty() {
            true => self.no_folds(out, &pass),
            false => self.folds_struct(out, &pass, reductions),
        }
        let has_places = self.find_element(out, passes, p);
        line!(out, "fn accumulate{pass}(before: Folds{pass}, row: Row, index: u32, held: u32) -> Folds{pass} {{");
        line!(out, "var folds = before;");
        self.pass_values(out, passes, p, has_places)?;
        reductions.iter().for_each(|r| self.fold_in(out, *r, "index", "held + 1u"));
        scans.iter().for_each(|s| self.scan_in(out, *s));
        line!(out, "return folds;\n}}\n");

        line!(out, "fn finish{pass}(before: Row, folds: Folds{pass}, lane: u32, place: u32) -> Row {{");
        line!(out, "var row = before;");
        self.fold_lanes(out, reductions);
        self.scan_lanes(out, scans);
        let values = &self.kernel.values;
        self.name_values(|v| format!("row.v{v}"));
        self.values(out, "row", Some("row"), |v| !values[v].inner && passes.levels[v] == p + 1)?;
        line!(out, "return row;\n}}\n");
        out.append(&instance(block(ROW, "pass"), &[("PASS", &p.to_string())]));
        out.append("\n");
        Ok(())
    }

    /// The functions that store: an element, and what there is one of a row.
    fn last_pass(&mut self, out: &mut Text, passes: &Passes) -> Fallible<()> {
        let kernel = self.kernel;
        let stores = kernel.stores.iter().any(|s| kernel.values[s.value].inner);
        let has_places = stores && self.find_element(out, passes, passes.last);
        line!(out, "fn store_element(row: Row, index: u32, held: u32, is_last: bool) {{");
        if stores {
            self.pass_values(out, passes, passes.last, has_places)?;
            self.stores(out, "element", true, "held, is_last");
        }
        line!(out, "}}\n\nfn store_row(row: Row) {{");
        self.stores(out, "row", false, "0u, true");
        line!(out, "}}");
        Ok(())
    }

    /// The struct of the places that pass `p` needs, and the function that finds them. False if it needs none.
    fn find_element(&self, out: &mut Text, passes: &Passes, p: usize) -> bool {
        let kernel = self.kernel;
        let stored = |s: usize| p == passes.last && kernel.values[kernel.stores[s].value].inner;
        let columns = self.columns_of(|v| kernel.values[v].inner && passes.first[v] == p, stored);
        if columns.is_empty() {
            return false;
        }
        let name = format!("Element_{p}");
        self.place_struct(out, &name, Space::Inner, &columns, &[]);
        line!(out, "fn find_element_{p}(row: Row, index: u32) -> {name} {{");
        self.find_places(out, "element", &name, Space::Inner, &columns);
        line!(out, "return element;\n}}\n");
        true
    }

    /// The statements that compute an element's values of pass `p`, and keep what later passes need.
    fn pass_values(&mut self, out: &mut Text, passes: &Passes, p: usize, has_places: bool) -> Fallible<()> {
        let values = &self.kernel.values;
        for (v, value) in values.iter().enumerate() {
            if value.inner && passes.first[v] < p && self.is_needed(passes, v, p) {
                let kept = if self.is_scanned(v) { self.scanned(v) } else { format!("kept_v{v}[held]") };
                line!(out, "let v{v} = {kept};");
            }
        }
        if has_places {
            line!(out, "let element = find_element_{p}(row, index);");
        }
        self.name_values(|v| if values[v].inner { format!("v{v}") } else { format!("row.v{v}") });
        self.values(out, "element", None, |v| values[v].inner && passes.first[v] == p)?;
        for (v, first) in passes.first.iter().enumerate() {
            if *first == p && self.is_kept(passes, v) {
                line!(out, "kept_v{v}[held] = v{v};");
            }
        }
        Ok(())
    }
}

/// The values that an operation takes.
fn operands(op: &Op) -> Vec<usize> {
    match op {
        Op::Ufunc(_, args) => args.to_vec(),
        Op::Cast(a) | Op::Round(a) | Op::Reduce(_, a) | Op::Scan(_, a) => vec![*a],
        Op::Gather { index, .. } | Op::Philox { index, .. } => vec![*index],
        Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Index { .. } | Op::Dot => Vec::new(),
    }
}
