//! Writes the functions and constants that `shaders/row.wgsl` uses. The schedule determines in which pass each value of
//! a row is computed, and which values the lanes keep for later passes.

use super::ROW;
use super::body::{Body, Fallible};
use super::fold::Folding;
use super::library::{block, instance};
use super::place::Space;
use super::text::{Text, line};
use crate::plan::kernel::{Groups, Pass};

impl<'a> Body<'a> {
    /// Returns the source of everything that the file uses.
    pub fn row(&mut self) -> Fallible<String> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let passes = self.passes;
        let (all, scans) = (self.reductions(), self.scans());

        let mut out = Text::default();
        let (Groups { lanes, held, .. }, run) = (self.variant.groups, self.variant.run);
        line!(out, "const LANES = {lanes}u;\nconst HELD = {held}u;\nconst RUN = {run}u;\n");
        for (v, value) in values.iter().enumerate().filter(|(v, _)| passes.keeps(*v) && !self.is_scanned(*v)) {
            line!(out, "var<private> kept_v{v}: array<{}, HELD>;", value.compute().name());
        }
        line!(out, "");
        self.fold_functions(&mut out, &[&all[..], &scans].concat())?;
        self.scan_functions(&mut out, &scans);
        self.load_row(&mut out, |v| !values[v].inner, |v| passes.after[v] == 0)?;

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

    /// Writes the functions of pass number `p`, which ends in the given reductions and scans.
    fn pass(
        &mut self,
        out: &mut Text,
        (p, scheduled): (usize, &Pass),
        (reductions, scans): (&[Folding<'a>], &[Folding<'a>]),
    ) -> Fallible<()> {
        let pass = format!("_{p}");
        match reductions.is_empty() {
            true => self.no_folds(out, &pass),
            false => self.folds_struct(out, &pass, reductions),
        }
        let has_places = self.find_element(out, (p, scheduled), false);
        line!(out, "fn accumulate{pass}(before: Folds{pass}, row: Row, index: u32, held: u32) -> Folds{pass} {{");
        line!(out, "var folds = before;");
        self.pass_values(out, (p, scheduled), has_places)?;
        reductions.iter().for_each(|r| self.fold_in(out, r, "index", "held + 1u"));
        scans.iter().for_each(|s| self.scan_in(out, *s));
        line!(out, "return folds;\n}}\n");

        line!(out, "fn finish{pass}(before: Row, folds: Folds{pass}, lane: u32, place: u32) -> Row {{");
        line!(out, "var row = before;");
        self.fold_lanes(out, reductions);
        self.scan_lanes(out, scans);
        let (values, passes) = (&self.kernel.values, self.passes);
        self.name_values(|v| format!("row.v{v}"));
        self.values(out, "row", Some("row"), |v| !values[v].inner && passes.after[v] as usize == p + 1)?;
        line!(out, "return row;\n}}\n");
        out.append(&instance(block(ROW, "pass"), &[("PASS", &p.to_string())]));
        out.append("\n");
        Ok(())
    }

    /// Writes `store_element`, which computes the last pass's values of an element and stores its inner values, and
    /// `store_row`, which stores the outer values.
    fn last_pass(&mut self, out: &mut Text) -> Fallible<()> {
        let last = self.passes.list.iter().enumerate().next_back().filter(|(_, pass)| pass.ends.is_empty());
        let has_places = last.is_some_and(|last| self.find_element(out, last, true));
        line!(out, "fn store_element(row: Row, index: u32, held: u32, is_last: bool) {{");
        if let Some(last) = last {
            self.pass_values(out, last, has_places)?;
            self.stores(out, "element", true, "held, is_last");
        }
        line!(out, "}}\n\nfn store_row(row: Row) {{");
        self.stores(out, "row", false, "0u, true");
        line!(out, "}}");
        Ok(())
    }

    /// Writes the struct of the places that a pass needs, and the function that finds them. If the pass needs none,
    /// writes nothing and returns false. The pass that `is_last` also needs the places of the inner stores.
    fn find_element(&self, out: &mut Text, (p, pass): (usize, &Pass), is_last: bool) -> bool {
        let kernel = self.kernel;
        let stored = |s: usize| is_last && kernel.values[kernel.stores[s].value].inner;
        let columns = self.columns_of(|v| pass.computes.contains(&(v as u16)), stored);
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

    /// Writes the statements that compute a pass's values of an element, and keep those that later passes need.
    fn pass_values(&mut self, out: &mut Text, (p, pass): (usize, &Pass), has_places: bool) -> Fallible<()> {
        let (values, passes) = (&self.kernel.values, self.passes);
        for v in pass.takes.iter().map(|v| *v as usize) {
            let kept = if self.is_scanned(v) { self.scanned(v) } else { format!("kept_v{v}[held]") };
            line!(out, "let v{v} = {kept};");
        }
        if has_places {
            line!(out, "let element = find_element_{p}(row, index);");
        }
        self.name_values(|v| if values[v].inner { format!("v{v}") } else { format!("row.v{v}") });
        self.values(out, "element", None, |v| pass.computes.contains(&(v as u16)))?;
        for v in pass.computes.iter().filter(|v| passes.keeps(**v as usize)) {
            line!(out, "kept_v{v}[held] = v{v};");
        }
        Ok(())
    }
}
