//! Writes the functions and constants that `shaders/elementwise.wgsl` uses.

use super::body::{Body, Fallible, is_load};
use super::place::IndexSpace;
use super::text::{Text, line};
use super::{StoreMode, access, packing};

impl Body<'_> {
    /// Returns the source of all functions and constants that `shaders/elementwise.wgsl` uses.
    pub fn elementwise(&mut self) -> Fallible<String> {
        let mut out = Text::default();
        let groups = self.variant.groups;
        let distance = if self.variant.run > 1 { 1 } else { groups.size };
        line!(out, "const RUN = {}u;", self.variant.run);
        if groups.in_flight > 1 {
            line!(out, "const DISTANCE = {distance}u;");
        }
        line!(out, "");
        let all: Vec<usize> = (0..self.kernel.values.len()).collect();
        self.load_element(&mut out, IndexSpace::Outer, &all);
        line!(out, "fn store_element(element: Element, unit: u32, is_last: bool) {{");
        self.element_values(&mut out, &all)?;
        line!(out, "}}");
        Ok(out.finish())
    }

    /// Writes the struct `Element`, and the function `load_element` that fills it. The struct has the places (positions
    /// in the buffers) of `values` and of all stores, and a field for each loaded value among `values`.
    pub fn load_element(&self, out: &mut Text, space: IndexSpace, values: &[usize]) {
        // woven stores, whose elements lie side by side in memory, are written together at the place (position in the
        // buffer) of the first one, so only the first one needs a place
        let columns = self.columns_of(|v| values.contains(&v), |n| n.is_multiple_of(self.variant.woven.into()));
        let loads: Vec<usize> = values.iter().copied().filter(|v| is_load(self.kernel, *v)).collect();
        let index = if space == IndexSpace::Matrix { "corner: Corner, line: u32, column: u32" } else { "index: u32" };
        self.place_struct(out, "Element", space, &columns, &loads);
        line!(out, "fn load_element({index}) -> Element {{");
        self.find_places(out, "element", "Element", space, &columns);
        self.load_into(out, "element", &loads);
        line!(out, "return element;\n}}\n");
    }

    /// Writes the statements that load the values `loads` into fields of the variable `var`, which already holds the
    /// positions of their elements in the buffers.
    pub fn load_into(&self, out: &mut Text, var: &str, loads: &[usize]) {
        for v in loads {
            if let Some(n) = self.value_column(*v) {
                line!(out, "{var}.v{v} = load_in{n}({var}.at_in{n});");
            }
        }
    }

    /// Writes the statements that compute an element's values and store them. The variable `element` holds the loaded
    /// values.
    pub fn element_values(&mut self, out: &mut Text, values: &[usize]) -> Fallible<()> {
        if self.form.checks {
            line!(out, "indices_fit = true;");
        }
        let kernel = self.kernel;
        self.name_epilogue();
        self.values(out, "element", None, |v| values.contains(&v) && !is_load(kernel, v))?;
        self.stores(out, "element", false, "unit, is_last");
        Ok(())
    }

    /// Sets the names of an element's values: a loaded value is a field of the variable `element`, any other value is a
    /// variable.
    pub fn name_epilogue(&mut self) {
        let kernel = self.kernel;
        self.name_values(|v| if is_load(kernel, v) { format!("element.v{v}") } else { format!("v{v}") });
    }

    /// Writes the stores of inner values (one for each element of a row), or of outer values (one for each row) if
    /// `inner` is false. `owner` contains the arguments `unit` and `is_last`, which the function of an owned store
    /// ([`StoreMode::Owned`]) expects after the element's position and the value.
    pub fn stores(&self, out: &mut Text, places: &str, inner: bool, owner: &str) {
        if self.variant.woven > 1 {
            return self.woven_stores(out, places);
        }
        if self.form.checks {
            line!(out, "if indices_fit {{");
        }
        for (n, s) in self.kernel.stores.iter().enumerate() {
            if self.kernel.values[s.value].inner == inner {
                let value = &self.names[s.value];
                let mut at = format!("{places}.at_out{n}");
                if let Some(condition) = s.condition() {
                    let condition = mutant!(condition_ignored_on_gpu, "true", self.names[condition].as_str());
                    line!(out, "if {condition} {{");
                }
                if let Some(to) = s.scattered() {
                    // as a u32, a negative position is 2^31 or more, so one comparison finds all positions that are out
                    // of range
                    line!(out, "let to{n} = bitcast<u32>({});", self.names[to.index]);
                    line!(out, "if to{n} < params.scattered{n}_extent {{");
                    at = format!("{at} + to{n} * params.scattered{n}_stride");
                }
                match self.variant.stores[n].1 {
                    StoreMode::Owned => line!(out, "store_out{n}({at}, {value}, {owner});"),
                    StoreMode::Direct | StoreMode::Atomic => line!(out, "store_out{n}({at}, {value});"),
                }
                let opened = s.condition().is_some() as usize + s.scattered().is_some() as usize;
                (0..opened).for_each(|_| line!(out, "}}"));
            }
        }
        if self.form.checks {
            line!(out, "}}");
        }
    }

    /// Writes the stores of a kernel whose stores lie side by side in memory (`Kernel::woven`). Several of them are
    /// written at once, as one word or vector.
    fn woven_stores(&self, out: &mut Text, places: &str) {
        let count = self.variant.woven as usize;
        let stores: Vec<usize> = (0..self.kernel.stores.len()).collect();
        for stores in stores.chunks(count) {
            let (first, shift) = (stores[0], packing(self.kernel.stores[stores[0]].dtype));
            let (slot, per, width) = (self.variant.stores[first].0, 1 << shift, 32 >> shift);
            let bits = |(at, n): (usize, &usize)| {
                let store = &self.kernel.stores[*n];
                let bits = access::bits(store.dtype, &self.names[store.value]);
                if at == 0 { bits } else { format!("({bits} << {}u)", at * width) }
            };
            let word = |stores: &[usize]| stores.iter().enumerate().map(bits).collect::<Vec<_>>().join(" | ");
            let words: Vec<String> = stores.chunks(per).map(word).collect();
            let value = if words.len() == 1 {
                words[0].clone()
            } else {
                format!("vec{}<u32>({})", words.len(), words.join(", "))
            };
            line!(out, "buffer{slot}[{places}.at_out{first} >> {}u] = {value};", count.ilog2());
        }
    }
}
