//! Writes the functions and constants that `shaders/reduce.wgsl` uses.

use super::body::{Body, Fallible, is_load};
use super::place::IndexSpace;
use super::text::{Text, line};
use crate::plan::kernel::Op;

impl Body<'_> {
    /// Returns the source of all functions and constants that `shaders/reduce.wgsl` uses.
    pub fn reduce(&mut self) -> Fallible<String> {
        let kernel = self.kernel;
        let values = &kernel.values;
        let after = &self.passes.after;
        let reductions = self.reductions();
        let is_reduction = |v: usize| matches!(values[v].op, Op::Reduce(..));
        // whether a value is a field of the struct `Row`: an outer value that does not depend on a reduction, or the
        // result of a reduction
        let in_row = |v: usize| !values[v].inner && (after[v] == 0 || is_reduction(v));

        let mut out = Text::default();
        line!(out, "const LANES = {}u;", self.variant.groups.lanes);
        self.shuffles(&mut out);
        self.fold_functions(&mut out, &reductions)?;
        self.load_row(&mut out, in_row, |v| after[v] == 0)?;

        match self.variant.has_lanes_by_fours() {
            true => self.four_of_a_row(&mut out),
            false => self.element_of_a_row(&mut out),
        }
        self.folds_struct(&mut out, "", &reductions);
        line!(out, "fn accumulate(before: Folds, row: Row, element: Element) -> Folds {{");
        line!(out, "var folds = before;");
        self.name_values(|v| match (values[v].inner, is_load(kernel, v)) {
            (true, true) => format!("element.v{v}"),
            (true, false) => format!("v{v}"),
            (false, _) => format!("row.v{v}"),
        });
        self.values(&mut out, "element", None, |v| values[v].inner && !is_load(kernel, v))?;
        reductions.iter().for_each(|r| self.fold_in(&mut out, r, "element.index"));
        line!(out, "return folds;\n}}\n");
        self.carry(&mut out, "", &reductions);

        let (finish, folds) = match self.variant.has_lanes_by_fours() {
            true => ("finish_lanes", "array<Folds, 4>"),
            false => ("finish", "Folds"),
        };
        line!(out, "fn {finish}(before: Row, folds: {folds}, lane: u32, place: u32) -> Row {{\nvar row = before;");
        self.fold_lanes(&mut out, &reductions);
        self.agree(&mut out);
        line!(out, "return row;\n}}\n");

        line!(out, "fn store_row(row: Row) {{");
        self.name_values(|v| if in_row(v) { format!("row.v{v}") } else { format!("v{v}") });
        self.values(&mut out, "row", None, |v| !values[v].inner && !in_row(v))?;
        self.stores(&mut out, "row", false, "0u, true");
        line!(out, "}}");
        Ok(out.finish())
    }

    /// Writes the struct `Element`, and the function `load_element` that loads an element of a row.
    fn element_of_a_row(&self, out: &mut Text) {
        let (kernel, values) = (self.kernel, &self.kernel.values);
        let columns = self.columns_of(|v| values[v].inner, |_| false);
        let loads: Vec<usize> = (0..values.len()).filter(|v| values[*v].inner && is_load(kernel, *v)).collect();
        self.place_struct(out, "Element", IndexSpace::Inner, &columns, &loads);
        line!(out, "fn load_element(row: Row, index: u32) -> Element {{");
        self.find_places(out, "element", "Element", IndexSpace::Inner, &columns);
        self.load_into(out, "element", &loads);
        line!(out, "return element;\n}}\n");
    }

    /// Writes the struct `Row`, with a field for each of the values `fields`, and the function `load_row`. The function
    /// finds the positions of a row in the buffers, and computes the fields for which `known` holds. These fields do
    /// not depend on a reduction.
    pub fn load_row(
        &mut self,
        out: &mut Text,
        fields: impl Fn(usize) -> bool,
        known: impl Fn(usize) -> bool,
    ) -> Fallible<()> {
        let columns = self.columns_of(|_| true, |_| true);
        let fields: Vec<usize> = (0..self.kernel.values.len()).filter(|v| fields(*v)).collect();
        self.place_struct(out, "Row", IndexSpace::Outer, &columns, &fields);
        line!(out, "fn load_row(index: u32) -> Row {{");
        self.find_places(out, "row", "Row", IndexSpace::Outer, &columns);
        self.name_values(|v| format!("row.v{v}"));
        self.values(out, "row", Some("row"), |v| fields.contains(&v) && known(v))?;
        line!(out, "return row;\n}}\n");
        Ok(())
    }
}
