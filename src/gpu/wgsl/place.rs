//! Where an element lies in each operand: structs of places, and the statements that fill them from a linear index.

use super::Axes;
use super::body::Body;
use super::text::{Text, line};
use crate::kernel::Op;

/// The space whose index is taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Outer,
    /// On top of the places in `row`.
    Inner,
}

impl Body<'_> {
    /// The columns of values and stores that pass the tests, without doubles.
    pub fn columns_of(&self, value: impl Fn(usize) -> bool, store: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut columns: Vec<usize> =
            (0..self.kernel.values.len()).filter(|v| value(*v)).filter_map(|v| self.value_column(v)).collect();
        columns.extend((0..self.kernel.stores.len()).filter(|s| store(*s)).map(|s| self.store_column(s)));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The column of a store.
    pub fn store_column(&self, store: usize) -> usize {
        self.kernel.loads.len() + store
    }

    /// The column that a value's own place is in.
    pub fn value_column(&self, value: usize) -> Option<usize> {
        match self.kernel.values[value].op {
            Op::Load(n) | Op::Gather { load: n, .. } => Some(n),
            Op::Index { .. } => self.form.indices.iter().find(|x| x.0 == value).map(|x| x.1),
            _ => None,
        }
    }

    /// Whether the column belongs to an index of 64 bits.
    pub fn is_wide(&self, column: usize) -> bool {
        self.form.indices.iter().any(|(v, c)| *c == column && self.kernel.values[*v].dtype.size() == 8)
    }

    /// A struct of an index, of its places in `columns`, and of `values`.
    pub fn place_struct(&self, out: &mut Text, name: &str, columns: &[usize], values: &[usize]) {
        line!(out, "struct {name} {{\nindex: u32,");
        for c in columns {
            line!(out, "at_{}: {},", self.columns[*c], if self.is_wide(*c) { "i64" } else { "u32" });
        }
        for v in values {
            line!(out, "v{v}: {},", self.kernel.values[*v].compute().name());
        }
        line!(out, "}}\n");
    }

    /// A parameter of a column: `path` leads to it, up to the column's name.
    fn parameter(&self, path: &str, column: usize) -> String {
        let name = &self.columns[column];
        match self.is_wide(column) {
            true => format!("bitcast<i64>(cp_u64({path}{name}, {path}{name}_high))"),
            false => format!("{path}{name}"),
        }
    }

    /// Statements that declare `var` of a struct made by [`Body::place_struct`], with the places of linear `index`.
    pub fn find_places(&self, out: &mut Text, var: &str, of: &str, space: Space, columns: &[usize]) {
        line!(out, "var {var}: {of};\n{var}.index = index;");
        for c in columns {
            let name = &self.columns[*c];
            match space {
                Space::Outer => line!(out, "{var}.at_{name} = {};", self.parameter("params.offset_", *c)),
                Space::Inner => line!(out, "{var}.at_{name} = row.at_{name};"),
            }
        }
        if !columns.is_empty() {
            let names: Vec<String> = columns.iter().map(|c| format!("{var}.at_{}", self.columns[*c])).collect();
            self.take_apart(out, space, columns, &names);
        }
    }

    /// Statements that add to each of the variables `names` what `index` contributes in its column.
    pub fn take_apart(&self, out: &mut Text, space: Space, columns: &[usize], names: &[String]) {
        let add = |out: &mut Text, along: &str, axis: &str| {
            for (c, name) in columns.iter().zip(names) {
                let stride = self.parameter(&format!("params.axes[{axis}].stride_"), *c);
                match self.is_wide(*c) {
                    true => line!(out, "{name} += i64({along}) * {stride};"),
                    false => line!(out, "{name} += {along} * {stride};"),
                }
            }
        };
        let (first, second, rank, class) = match space {
            Space::Outer => ("0u", "1u", "outer_rank", self.variant.axes[0]),
            Space::Inner => {
                ("params.header.outer_rank", "params.header.outer_rank + 1u", "inner_rank", self.variant.axes[1])
            }
        };
        match class {
            Axes::One => add(out, "index", first),
            Axes::Two => {
                line!(out, "let extent = params.axes[{first}].extent;");
                line!(out, "let line = index / extent;\nlet column = index - line * extent;");
                add(out, "column", first);
                add(out, "line", second);
            }
            Axes::Any => self.loop_over_axes(out, first, rank, add),
        }
    }

    /// From the last axis to the first, whose rest needs no division.
    fn loop_over_axes(&self, out: &mut Text, first: &str, rank: &str, add: impl Fn(&mut Text, &str, &str)) {
        match first {
            "0u" => line!(out, "let last_axis = params.header.{rank} - 1u;"),
            _ => line!(out, "let last_axis = {first} + params.header.{rank} - 1u;"),
        }
        line!(out, "var rest = index;");
        line!(out, "for (var axis = {first}; axis < last_axis; axis = axis + 1u) {{");
        line!(out, "let extent = params.axes[axis].extent;\nlet whole = rest / extent;");
        line!(out, "let along = rest - whole * extent;\nrest = whole;");
        add(out, "along", "axis");
        line!(out, "}}");
        add(out, "rest", "last_axis");
    }
}
