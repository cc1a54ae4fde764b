//! Writes WGSL structs of places, and the statements that compute places from a linear index. A *place* is the position
//! of an element in an operand's buffer, in elements. It is the operand's offset, plus for each axis the index along
//! the axis times the operand's stride.

use super::Fetch;
use super::body::Body;
use super::text::{Text, line};
use crate::plan::kernel::{AxisIndexing, KernelKind, Op};

/// The axes among which a linear index is split, to compute the position of an element in a buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexSpace {
    /// All outer axes.
    Outer,
    /// All outer axes, where the shader already has the index along the last axis (`column`), the index along the axis
    /// of the second row of the table of axes (`line`), and the linear index of the other axes (`batch`).
    Square,
    /// The rows and the columns of one matrix of a product's result, with the indices `line` and `column`. Positions
    /// are relative to the positions of the matrix's first element, which the variable `corner` holds.
    Matrix,
    /// All inner axes. Positions are relative to the positions of the row's first element, which the variable `row`
    /// holds.
    Inner,
}

/// A WGSL variable that holds the position of an element in an operand's buffer, or an index value.
pub(super) struct Place {
    /// The operand's column in the table of axes.
    pub column: usize,
    pub name: String,
    /// The expression for the position at index 0.
    pub start: String,
}

impl Body<'_> {
    /// Returns the columns (see [`ParamPositions`](super::ParamPositions)) of the values for which `value` holds and of
    /// the stores for which `store` holds, each once, in ascending order.
    pub fn columns_of(&self, value: impl Fn(usize) -> bool, store: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut columns: Vec<usize> =
            (0..self.kernel.values.len()).filter(|v| value(*v)).filter_map(|v| self.value_column(v)).collect();
        columns.extend((0..self.kernel.stores.len()).filter(|s| store(*s)).map(|s| self.store_column(s)));
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Returns the column with a store's strides in the table of axes, which has a row for each axis (see
    /// [`ParamPositions`](super::ParamPositions)).
    pub fn store_column(&self, store: usize) -> usize {
        self.kernel.loads.len() + store
    }

    /// Returns the column in the table of axes of a load, a gather or an index value. Other values have none.
    pub fn value_column(&self, value: usize) -> Option<usize> {
        match self.kernel.values[value].op {
            Op::Load(n) | Op::Gather { load: n, .. } | Op::Dot { from: Some(n), .. } => Some(n),
            Op::Index { .. } => self.form.indices.iter().find(|x| x.0 == value).map(|x| x.1),
            Op::Scalar(_)
            | Op::Constant(_)
            | Op::Ufunc(..)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Position(_)
            | Op::Philox { .. }
            | Op::Reduce(_)
            | Op::Scan(_)
            | Op::Dot { from: None, .. } => None,
        }
    }

    /// Returns whether the column belongs to a 64-bit index.
    pub fn is_wide(&self, column: usize) -> bool {
        self.form.indices.iter().any(|(v, c)| *c == column && self.kernel.values[*v].dtype.size() == 8)
    }

    /// Returns whether invocations process four elements along the last axis together.
    pub fn has_fours(&self) -> bool {
        self.variant.has_fours()
    }

    /// Returns whether a store writes four elements together.
    pub fn stores_fours(&self, store: usize) -> bool {
        let along = match self.kernel.kind {
            KernelKind::Elementwise => true,
            KernelKind::Row => self.kernel.values[self.kernel.stores[store].value].inner,
            KernelKind::Matmul => return self.variant.stores_whole,
            KernelKind::Reduce(_) => false,
        };
        along && self.has_fours()
    }

    /// Returns the stride of a column along the last axis of `space`, if it follows from the variant: 1 for elements
    /// that are contiguous, 0 for one element that is used everywhere.
    fn known_step(&self, column: usize, space: IndexSpace) -> Option<u32> {
        let of_fours = if self.kernel.kind == KernelKind::Elementwise { IndexSpace::Outer } else { IndexSpace::Inner };
        if space != of_fours || self.kernel.kind == KernelKind::Matmul {
            return None;
        }
        match column.checked_sub(self.kernel.loads.len()) {
            Some(store) => (store < self.kernel.stores.len() && self.stores_fours(store)).then_some(1),
            None => match self.variant.fetches.get(column)? {
                Fetch::Whole => Some(1),
                Fetch::Same => Some(0),
                Fetch::Each | Fetch::Across | Fetch::WholeAcross | Fetch::AlongK => None,
            },
        }
    }

    /// Writes a WGSL struct with a place (the position of an element in a buffer) for each of `columns` (columns of the
    /// table of axes), and a field for each value in `values`. A struct for an element along the inner axes also has
    /// the element's index.
    pub fn place_struct(&self, out: &mut Text, name: &str, space: IndexSpace, columns: &[usize], values: &[usize]) {
        line!(out, "struct {name} {{");
        if space == IndexSpace::Inner {
            line!(out, "index: u32,");
        }
        for c in columns {
            line!(out, "at_{}: {},", self.columns[*c], if self.is_wide(*c) { "i64" } else { "u32" });
        }
        for v in values {
            line!(out, "v{v}: {},", self.kernel.values[*v].compute().name());
        }
        line!(out, "}}\n");
    }

    /// Returns the expression for a field of the parameters: its name is `path` followed by the name of a column of the
    /// table of axes. A 64-bit index has two such fields.
    pub fn parameter(&self, path: &str, column: usize) -> String {
        let name = &self.columns[column];
        match self.is_wide(column) {
            true => format!("make_i64({path}{name}, {path}{name}_high)"),
            false => format!("{path}{name}"),
        }
    }

    /// Writes the statements that declare the variable `var` of the struct `of` (written by [`Body::place_struct`]),
    /// and set its places (positions in the buffers) for the linear index `index`.
    pub fn find_places(&self, out: &mut Text, var: &str, of: &str, space: IndexSpace, columns: &[usize]) {
        line!(out, "var {var}: {of};");
        if space == IndexSpace::Inner {
            line!(out, "{var}.index = index;");
        }
        let place = |c: &usize| {
            let name = &self.columns[*c];
            let start = match space {
                IndexSpace::Outer | IndexSpace::Square => self.parameter("params.offset_", *c),
                IndexSpace::Matrix => format!("corner.at_{name}"),
                IndexSpace::Inner => format!("row.at_{name}"),
            };
            Place { column: *c, name: format!("{var}.at_{name}"), start }
        };
        self.set_places(out, space, &columns.iter().map(place).collect::<Vec<_>>());
    }

    /// Writes the statements that split `index` into an index along each axis, and set each place (position in a
    /// buffer) to its start plus the sum of these indices times the strides of its column.
    pub fn set_places(&self, out: &mut Text, space: IndexSpace, places: &[Place]) {
        if places.is_empty() {
            return;
        }
        // the rows of the table of axes for the last axis and the axis before it, and the number of axes that the
        // source is written for
        let (row, next, class) = match space {
            IndexSpace::Square => {
                self.set_places_of_matrix(out, places);
                return self.add_batch(out, places);
            }
            IndexSpace::Matrix => return self.set_places_of_matrix(out, places),
            IndexSpace::Outer => ("0", "1", self.variant.groups.axes[0]),
            // a product without a batch has three outer rows in the table, so its inner axes begin at row 3
            IndexSpace::Inner
                if self.kernel.kind == KernelKind::Matmul && self.variant.groups.axes[0] != AxisIndexing::Any =>
            {
                ("3", "4", self.variant.groups.axes[1])
            }
            IndexSpace::Inner => {
                ("params.header.outer_rank", "params.header.outer_rank + 1u", self.variant.groups.axes[1])
            }
        };
        match class {
            AxisIndexing::One => {
                line!(out, "let axis = params.axes[{row}];");
                for p in places {
                    let step = match self.known_step(p.column, space) {
                        Some(0) => "0u".to_string(),
                        Some(_) => "index".to_string(),
                        None => self.step(p.column, "index", "axis"),
                    };
                    line!(out, "{} = {};", p.name, self.sum(p.column, &[&p.start, &step]));
                }
            }
            AxisIndexing::Two => {
                line!(out, "let last = params.axes[{row}];\nlet first = params.axes[{next}];");
                line!(out, "let line = index / last.extent;\nlet column = index - line * last.extent;");
                for p in places {
                    let steps = [self.step(p.column, "column", "last"), self.step(p.column, "line", "first")];
                    line!(out, "{} = {};", p.name, self.sum(p.column, &[&p.start, &steps[0], &steps[1]]));
                }
            }
            AxisIndexing::Any => {
                places.iter().for_each(|p| line!(out, "{} = {};", p.name, p.start));
                let (first, end) = match space {
                    IndexSpace::Outer | IndexSpace::Square | IndexSpace::Matrix => ("0u", "params.header.outer_rank"),
                    IndexSpace::Inner => {
                        ("params.header.outer_rank", "params.header.outer_rank + params.header.inner_rank")
                    }
                };
                self.loop_over_axes(out, places, "index", (first, end));
            }
        }
    }

    /// Writes the statements that set each place (position in a buffer) to its start, plus `line` and `column` times
    /// the strides of their axes.
    fn set_places_of_matrix(&self, out: &mut Text, places: &[Place]) {
        if let Some([rows, columns, _]) = &self.variant.nested {
            places.iter().for_each(|p| line!(out, "{} = {};", p.name, p.start));
            self.add_digits(out, places, "line", rows, &self.rows_of_side(0));
            self.add_digits(out, places, "column", columns, &self.rows_of_side(1));
            return;
        }
        line!(out, "let columns = params.axes[0];\nlet lines = params.axes[1];");
        for p in places {
            let steps = [self.step(p.column, "column", "columns"), self.step(p.column, "line", "lines")];
            line!(out, "{} = {};", p.name, self.sum(p.column, &[&p.start, &steps[0], &steps[1]]));
        }
    }

    /// Writes the statements that add the contribution of the index `batch` to each place (position in a buffer): the
    /// index along each axis of a product's batch (or each further axis, if the kernel computes squares) times the
    /// stride.
    pub fn add_batch(&self, out: &mut Text, places: &[Place]) {
        if let Some(first) = self.first_of_batch() {
            self.loop_over_axes(out, places, "batch", (&format!("{first}u"), "params.header.outer_rank"));
        }
    }

    /// Returns the row of the table of axes at which the axes of a product's batch begin, or `None` if the variant is
    /// for products without a batch.
    pub fn first_of_batch(&self) -> Option<usize> {
        let first = 2 + self.kernel.sides().iter().sum::<usize>();
        let is_batched = self.variant.nested.is_none() || first < self.kernel.outer.len();
        (self.variant.groups.axes[0] == AxisIndexing::Any && is_batched).then_some(first)
    }

    /// Returns the rows of the table for the axes of a product's rows (side 0) or columns (side 1), fastest first.
    pub fn rows_of_side(&self, side: usize) -> Vec<usize> {
        let [rows, columns] = self.kernel.sides();
        let (first, count) = if side == 0 { (2, rows) } else { (2 + rows, columns) };
        std::iter::once(1 - side).chain(first..first + count).collect()
    }

    /// Writes the statements that split `index` into an index along each of the axes `rows` of the table of axes,
    /// fastest first, and add each of these indices times its stride to each place (position in a buffer). `lengths`
    /// are the extents of all these axes but the slowest.
    pub fn add_digits(&self, out: &mut Text, places: &[Place], index: &str, lengths: &[u32], rows: &[usize]) {
        let mut rest = index.to_string();
        for (i, row) in rows.iter().enumerate() {
            let mut along = rest.clone();
            if let Some(n) = lengths.get(i) {
                let digit = format!("{index}_{i}");
                line!(out, "let rest_of_{digit} = {rest} / {n}u;\nlet {digit} = {rest} - rest_of_{digit} * {n}u;");
                (rest, along) = (format!("rest_of_{digit}"), digit);
            }
            for p in places {
                let step = self.step(p.column, &along, &format!("params.axes[{row}]"));
                line!(out, "{} = {};", p.name, self.sum(p.column, &[&p.name, &step]));
            }
        }
    }

    /// Returns the expression for the distance of two positions in a buffer that are `along` indices apart along
    /// `axis`: `along` times the column's stride.
    pub fn step(&self, column: usize, along: &str, axis: &str) -> String {
        let stride = self.parameter(&format!("{axis}.stride_"), column);
        match self.is_wide(column) {
            true => format!("mul_i64(u32_to_i64({along}), {stride})"),
            false => format!("{along} * {stride}"),
        }
    }

    /// Returns the expression for the sum of `terms`, which have the type of the positions that belong to `column`.
    pub fn sum(&self, column: usize, terms: &[&str]) -> String {
        let add = |sum: String, term: &&str| match self.is_wide(column) {
            true => format!("add_i64({sum}, {term})"),
            false => format!("{sum} + {term}"),
        };
        terms[1..].iter().fold(terms[0].to_string(), add)
    }

    /// Writes a loop over the rows `first..end` of the table of axes, except the last row. The loop divides `index` by
    /// each extent; the remainder is the index along that axis. The last quotient is the index along the axis of the
    /// last row.
    fn loop_over_axes(&self, out: &mut Text, places: &[Place], index: &str, (first, end): (&str, &str)) {
        let add = |out: &mut Text, along: &str, axis: &str| {
            for p in places {
                let step = self.step(p.column, along, axis);
                match self.is_wide(p.column) {
                    true => line!(out, "{} = {};", p.name, self.sum(p.column, &[&p.name, &step])),
                    false => line!(out, "{} += {step};", p.name),
                }
            }
        };
        line!(out, "let end = {end} - 1u;\nvar rest = {index};");
        line!(out, "for (var i = {first}; i < end; i = i + 1u) {{\nlet axis = params.axes[i];");
        line!(out, "let whole = rest / axis.extent;\nlet along = rest - whole * axis.extent;\nrest = whole;");
        add(out, "along", "axis");
        line!(out, "}}\nlet first = params.axes[end];");
        add(out, "rest", "first");
    }
}
