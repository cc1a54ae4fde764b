//! Writes the declarations at the beginning of a kernel's source: bindings, the struct of its parameters, and the
//! functions that load and store one element of an operand.

use super::body::Body;
use super::text::{Text, line};
use super::{Access, ERROR_BINDING, ERROR_SLOTS, Fetch, HEADER, NOTE, Words, access, combine};
use crate::base::dtype::DType;
use crate::plan::kernel::{KernelKind, Load};

impl Body<'_> {
    /// Returns the declarations of bindings and parameters, then the functions that load and store.
    pub fn declarations(&self) -> String {
        let mut out = Text::default();
        self.bindings(&mut out);
        self.parameters(&mut out);
        self.operands(&mut out);
        out.finish()
    }

    fn bindings(&self, out: &mut Text) {
        for (i, slot) in self.variant.slots.iter().enumerate() {
            let access = if slot.access == Access::Read { "read" } else { "read_write" };
            let element = match (slot.words, slot.access, slot.width) {
                (_, Access::Atomic, _) => "atomic<u32>",
                (Words::W32, _, 2) => "vec2<u32>",
                (Words::W32, _, 4) => "vec4<u32>",
                (Words::W32, ..) => "u32",
                (Words::U64, ..) => "u64",
                (Words::F64, ..) => "f64",
            };
            line!(out, "@group(0) @binding({i}) var<storage, {access}> buffer{i}: array<{element}>;");
        }
        if self.form.checks {
            let words = 4 * ERROR_SLOTS;
            line!(
                out,
                "@group(0) @binding({ERROR_BINDING}) var<storage, read_write> errors: array<atomic<u32>, {words}>;"
            );
            out.append(NOTE);
            line!(
                out,
                "\n// Whether every index of the element (or row) was in range. If not, nothing of it is stored."
            );
            line!(out, "var<private> indices_fit: bool = true;");
        }
        line!(out, "");
    }

    /// Writes the struct of the parameters. On the host, `params.rs` fills the same words by number;
    /// [`super::ParamPositions`] defines the position of each.
    fn parameters(&self, out: &mut Text) {
        line!(
            out,
            "// An axis: its extent, and the step along it of each operand and of each value that is an index. The axes of"
        );
        line!(out, "// `outer` come first, from the last to the first, then those of `inner` likewise.");
        if self.variant.has_squares() {
            line!(out, "// But the second is that of the lines of squares, wherever it lies.");
        }
        line!(out, "struct Axis {{\n@align(16) extent: u32,");
        self.columns_as(out, "stride");
        line!(out, "}}\n\nstruct Parameters {{\n@size({}) header: Header,", 4 * HEADER);
        for n in 0..self.form.scalars.len() {
            line!(out, "scalar{n}: u32,\nscalar{n}_high: u32,");
        }
        for v in &self.form.gathers {
            line!(out, "gather{v}_stride: u32,\ngather{v}_extent: u32,");
        }
        for n in &self.form.scattered {
            line!(out, "scattered{n}_stride: u32,\nscattered{n}_extent: u32,");
        }
        self.columns_as(out, "offset");
        // the array has as many axes as the parameters have room for, because the source does not depend on the
        // kernel's number of axes
        let axes = (self.variant.params as usize).saturating_sub(self.form.table) / self.form.row;
        line!(out, "@align(16) axes: array<Axis, {axes}>,\n}}\n");
        line!(out, "@group(1) @binding(0) var<uniform> params: Parameters;\n");
    }

    /// Writes a struct field for each column of the table of axes. The field's name is `what` followed by the column's
    /// name, such as `stride_in0`.
    fn columns_as(&self, out: &mut Text, what: &str) {
        for (c, column) in self.columns.iter().enumerate() {
            // an empty name marks the second word of a 64-bit index, which is declared with the first
            if column.is_empty() {
                continue;
            }
            line!(out, "{what}_{column}: u32,");
            if self.is_wide(c) {
                line!(out, "{what}_{column}_high: u32,");
            }
        }
    }

    fn operands(&self, out: &mut Text) {
        let product = self.kernel.kind == KernelKind::Matmul;
        // with cooperative matrices, the bits of f16 factors are moved unchanged, so no function loads such an element
        // as a number
        let moved = |load: &Load| self.variant.groups.blocks.is_some() && load.dtype == DType::F16;
        // a load that fetches four elements at once, as whole words, needs no function that loads a single element
        let is_whole =
            |n: usize| matches!(self.variant.fetches.get(n), Some(Fetch::Whole | Fetch::WholeAcross | Fetch::AlongK));
        for (n, load) in self.kernel.loads.iter().enumerate() {
            if is_whole(n)
                || !(self.kernel.values.iter().any(|v| v.op.load() == Some(n)) || product && n < 2 && !moved(load))
            {
                continue;
            }
            let slot = self.variant.loads[n] as usize;
            let text = access::load(slot, self.variant.slots[slot], load.dtype, "at");
            line!(out, "// {}, {} in memory", self.columns[n], load.dtype);
            line!(out, "fn load_in{n}(at: u32) -> {} {{\nreturn {text};\n}}\n", load.dtype.compute().name());
        }
        for (n, s) in self.kernel.stores.iter().enumerate() {
            if self.stores_fours(n) || self.variant.woven > 1 {
                continue; // written by `four_elements.rs` (stores of four elements) or `elementwise.rs` (woven stores)
            }
            let (slot, mode) = self.variant.stores[n];
            line!(out, "// out{n}, {} in memory", s.dtype);
            match s.scattered() {
                Some(to) if to.combine.reads() => combine::store(out, n, slot as usize, s.dtype, to.combine),
                _ => access::store(out, n, slot as usize, self.variant.slots[slot as usize], mode, s.dtype),
            }
        }
    }
}
