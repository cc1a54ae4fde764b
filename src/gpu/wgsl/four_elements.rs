//! Writes the functions for invocations that process four neighbouring elements. In `shaders/elementwise.wgsl`, these
//! functions load, compute and store the four elements. In `shaders/reduce.wgsl` and `shaders/row.wgsl`, they load and
//! store the four elements.

use super::access;
use super::body::{Body, Fallible, is_load};
use super::place::IndexSpace;
use super::rare::FOUR;
use super::text::{Text, line};
use super::{Fetch, packing};
use crate::base::dtype::DType;
use crate::plan::kernel::Op;

/// The names of the fields of a WGSL vector.
const FIELDS: [&str; 4] = ["x", "y", "z", "w"];

/// Returns how many words four elements of a dtype occupy. Elements of 8 bytes are not processed four at a time.
pub(crate) fn words_of_four(dtype: DType) -> usize {
    4 >> packing(dtype)
}

impl Body<'_> {
    /// Returns the source of all functions that `main_of_fours` or `main_of_squares` in `shaders/elementwise.wgsl`
    /// uses.
    pub fn fours(&mut self) -> Fallible<String> {
        let kernel = self.kernel;
        let mut out = Text::default();
        let has_squares = self.variant.has_squares();
        let loads: Vec<usize> = (0..kernel.values.len()).filter(|v| is_load(kernel, *v)).collect();
        // `later` has the columns (of the table of axes) of index values and gathers, which need a separate position
        // for each of the four elements
        let later = self.columns_of(|v| !is_load(kernel, v), |_| false);
        let places = self.columns_of(|_| true, |_| true);
        let places: Vec<usize> = places.into_iter().filter(|c| !self.fetch(*c).is_some_and(Fetch::is_across)).collect();
        self.four_structs(&mut out, "", IndexSpace::Outer, &places, (&later, &loads));
        if has_squares {
            self.fetch_lines(&mut out);
            line!(out, "fn load_four_of_line(batch: u32, line: u32, column: u32, own: u32) -> Four {{");
            self.find_places(&mut out, "places", "Places", IndexSpace::Square, &places);
        } else {
            line!(out, "fn load_four(index: u32, left: u32) -> Four {{");
            self.find_places(&mut out, "places", "Places", IndexSpace::Outer, &places);
        }
        self.load_four(&mut out, "", "params.axes[0]", &loads, &later);

        let stores: Vec<usize> = (0..kernel.stores.len()).collect();
        self.results_struct(&mut out, &stores);
        let draws = self.variant.draws_blocks;
        let mut blocks = if draws { String::from(", n: u32") } else { String::new() };
        if draws {
            self.philox_blocks().values().for_each(|i| blocks += &format!(", random{i}: vec4<u32>"));
        }
        line!(out, "fn results_of(element: Element{blocks}) -> Results {{");
        self.name_values(|v| if is_load(kernel, v) { format!("element.v{v}") } else { format!("v{v}") });
        self.values(&mut out, "element", None, |v| !is_load(kernel, v))?;
        self.return_results(&mut out, &stores);
        line!(out, "fn store_four(four: Four, left: u32) {{");
        let blocks = if draws { self.draw_blocks(&mut out, "four.element0") } else { String::new() };
        line!(out, "{FOUR}results_of");
        for n in 0..4 {
            let drawn = if draws { format!(", {n}u{blocks}") } else { String::new() };
            line!(out, "let results{n} = results_of(four.element{n}{drawn});");
        }
        self.store_results(&mut out, &stores);
        line!(out, "}}");
        Ok(out.finish())
    }

    /// Writes the struct `Results`, which holds the values of an element that the given stores write.
    pub fn results_struct(&self, out: &mut Text, stores: &[usize]) {
        line!(out, "struct Results {{");
        for n in stores {
            line!(out, "out{n}: {},", self.kernel.values[self.kernel.stores[*n].value].compute().name());
        }
        line!(out, "}}\n");
    }

    /// Writes the end of a function that returns the struct `Results` ([`Body::results_struct`]).
    pub fn return_results(&self, out: &mut Text, stores: &[usize]) {
        let results: Vec<&str> = stores.iter().map(|n| self.names[self.kernel.stores[*n].value].as_str()).collect();
        line!(out, "return Results({});\n}}\n", results.join(", "));
    }

    /// Returns how the four elements of a load are fetched. `column` is the column of the load in the table of axes.
    fn fetch(&self, column: usize) -> Option<Fetch> {
        self.variant.fetches.get(column).copied()
    }

    /// Writes three WGSL structs, whose names end in `suffix`. `places` and `later` are lists of columns of the table
    /// of axes. Each column belongs to a load, a store or an index value (see
    /// [`ParamPositions`](super::ParamPositions)).
    ///
    /// * `Element`: the values `loads` of one element, and the element's position for each column in `later`.
    /// * `Places`: the position of the first of four elements for each column in `places`.
    /// * `Four`: a `Places` and four `Element`s.
    pub fn four_structs(
        &self,
        out: &mut Text,
        suffix: &str,
        space: IndexSpace,
        places: &[usize],
        (later, loads): (&[usize], &[usize]),
    ) {
        self.place_struct(out, &format!("Element{suffix}"), space, later, loads);
        line!(out, "// Where the first of four elements lies in each operand.");
        self.place_struct(out, &format!("Places{suffix}"), space, places, &[]);
        line!(out, "struct Four{suffix} {{\nplaces: Places{suffix},");
        (0..4).for_each(|n| line!(out, "element{n}: Element{suffix},"));
        line!(out, "}}\n");
    }

    /// Writes the structs and the function `load_four` with which `main_of_fours` of `shaders/reduce.wgsl` loads the
    /// elements of four lanes.
    pub fn four_of_a_row(&self, out: &mut Text) {
        let kernel = self.kernel;
        let inner = |v: usize| kernel.values[v].inner;
        let loads: Vec<usize> = (0..kernel.values.len()).filter(|v| inner(*v) && is_load(kernel, *v)).collect();
        let later = self.columns_of(|v| inner(v) && !is_load(kernel, v), |_| false);
        let places = self.columns_of(inner, |_| false);
        self.four_structs(out, "", IndexSpace::Inner, &places, (&later, &loads));
        line!(out, "fn load_four(row: Row, index: u32, left: u32) -> Four {{");
        self.find_places(out, "places", "Places", IndexSpace::Inner, &places);
        self.load_four(out, "", "params.axes[params.header.outer_rank]", &loads, &later);
    }

    /// Writes the rest of a function that loads four elements. The variable `places` already holds the positions of the
    /// first element in the buffers. `axis` is the expression for the axis along which the four elements are neighbours
    /// (an element of `params.axes`). `loads` are the values to load. `later` has the columns of the table of axes that
    /// need a separate position for each element.
    pub fn load_four(&self, out: &mut Text, suffix: &str, axis: &str, loads: &[usize], later: &[usize]) {
        let (kernel, mut known) = (self.kernel, Vec::new());
        let each = |v: &usize| self.value_column(*v).is_some_and(|c| self.fetch(c) == Some(Fetch::Each));
        if !later.is_empty() || loads.iter().any(each) {
            line!(out, "let along = {axis};");
            if self.variant.has_squares() {
                line!(out, "let left = along.extent - column;");
            }
            line!(out, "// past the end the last element is taken again");
            (1..4).for_each(|n| line!(out, "let next{n} = min({n}u, left - 1u);"));
        }
        line!(out, "var four: Four{suffix};\nfour.places = places;");
        if !kernel.inner.is_empty() {
            (0..4).for_each(|n| line!(out, "four.element{n}.index = places.index + {n}u;"));
        }
        for c in later {
            let name = &self.columns[*c];
            line!(out, "four.element0.at_{name} = places.at_{name};");
            for n in 1..4 {
                let step = self.step(*c, &format!("next{n}"), "along");
                let place = self.sum(*c, &[&format!("places.at_{name}"), &step]);
                line!(out, "four.element{n}.at_{name} = {place};");
            }
        }
        for v in loads {
            let Some(c) = self.value_column(*v) else { continue };
            let (name, dtype) = (&self.columns[c], kernel.loads[c].dtype);
            let fetch = self.fetch(c).unwrap_or(Fetch::Each);
            if !known.contains(&c) {
                known.push(c);
                match fetch {
                    Fetch::Whole => {
                        line!(out, "let words_{name} = {};", self.whole_words(c, &format!("places.at_{name}")))
                    }
                    Fetch::Same => line!(out, "let same_{name} = load_{name}(places.at_{name});"),
                    Fetch::Each | Fetch::Across | Fetch::WholeAcross | Fetch::AlongK => {}
                }
            }
            for n in 0..4 {
                let value = match fetch {
                    Fetch::Whole => of_words(dtype, &format!("words_{name}"), n),
                    Fetch::Same => format!("same_{name}"),
                    Fetch::Across | Fetch::WholeAcross | Fetch::AlongK => format!("square_{name}[own + {n}u * PITCH]"),
                    Fetch::Each if n == 0 => format!("load_{name}(places.at_{name})"),
                    Fetch::Each => {
                        format!("load_{name}(places.at_{name} + {})", self.step(c, &format!("next{n}"), "along"))
                    }
                };
                line!(out, "four.element{n}.v{v} = {value};");
            }
        }
        line!(out, "return four;\n}}\n");
    }

    /// Returns the expression for the words of the four elements that begin at position `at` of a buffer, a multiple of
    /// four.
    pub fn whole_words(&self, column: usize, at: &str) -> String {
        let slot = self.variant.loads[column] as usize;
        let dtype = self.kernel.loads[column].dtype;
        let (words, shift) = (words_of_four(dtype), packing(dtype));
        if words == 1 || self.variant.slots[slot].width as usize == words {
            return format!("buffer{slot}[{at} >> 2u]");
        }
        let first = if shift == 0 { at.to_string() } else { format!("({at} >> {shift}u)") };
        let each: Vec<String> = (0..words).map(|n| format!("buffer{slot}[{first} + {n}u]")).collect();
        format!("vec{words}<u32>({})", each.join(", "))
    }

    /// Writes the arrays in workgroup memory that hold squares of operands (32 × 32 elements), and the function
    /// `fetch_lines` that fills these arrays.
    fn fetch_lines(&self, out: &mut Text) {
        let loads = &self.kernel.loads;
        let columns: Vec<usize> = (0..loads.len()).filter(|c| self.fetch(*c).is_some_and(Fetch::is_across)).collect();
        for c in &columns {
            let (name, compute) = (&self.columns[*c], loads[*c].dtype.compute().name());
            line!(out, "var<workgroup> square_{name}: array<{compute}, SIDE * PITCH>;");
        }
        line!(out, "\nstruct Fetched {{");
        columns.iter().for_each(|c| line!(out, "at_{}: u32,", self.columns[*c]));
        line!(out, "}}\n\nfn fetch_lines(batch: u32, line: u32, column: u32, to: u32) {{");
        self.find_places(out, "places", "Fetched", IndexSpace::Square, &columns);
        if columns.iter().any(|c| self.fetch(*c) == Some(Fetch::Across)) {
            line!(out, "let left = lines.extent - line;");
        }
        for c in &columns {
            let (name, dtype) = (&self.columns[*c], loads[*c].dtype);
            let whole = self.fetch(*c) == Some(Fetch::WholeAcross);
            if whole {
                line!(out, "let words_{name} = {};", self.whole_words(*c, &format!("places.at_{name}")));
            }
            for n in 0..4 {
                let value = match whole {
                    true => of_words(dtype, &format!("words_{name}"), n),
                    false => {
                        let step = self.step(*c, &format!("min({n}u, left - 1u)"), "lines");
                        format!("load_{name}(places.at_{name} + {step})")
                    }
                };
                line!(out, "square_{name}[to + {n}u] = {value};");
            }
        }
        line!(out, "}}\n");
    }

    /// Writes the end of a function that stores up to four elements: the first `left` of the variables `results0` to
    /// `results3`.
    pub fn store_results(&self, out: &mut Text, stores: &[usize]) {
        for number in stores.iter().copied() {
            let s = &self.kernel.stores[number];
            let bits = |n: usize| access::bits(s.dtype, &format!("results{n}.out{number}"));
            let (per, width) = (1usize << packing(s.dtype), 32usize >> packing(s.dtype));
            for word in 0..4 / per {
                if s.dtype == DType::F16 {
                    let [low, high] = [0, 1].map(|n| format!("results{}.out{number}", word * per + n));
                    let is_rounded = matches!(self.kernel.values[s.value].op, Op::Cast(_) | Op::Round(_) | Op::Load(_));
                    let pack = if is_rounded { "f16s_to_word" } else { "f32_to_f16_pair" };
                    line!(out, "let out{number}_{word} = {pack}({low}, {high});");
                    continue;
                }
                let parts = (0..per).map(|n| match n {
                    0 => bits(word * per),
                    _ => format!("({} << {}u)", bits(word * per + n), n * width),
                });
                let parts = parts.collect::<Vec<_>>().join(" | ");
                line!(out, "let out{number}_{word} = {parts};");
            }
        }
        if self.variant.has_whole_runs || self.variant.stores_whole {
            stores.iter().for_each(|n| self.store_whole(out, *n));
            return;
        }
        line!(out, "if left >= 4u {{");
        stores.iter().for_each(|n| self.store_whole(out, *n));
        line!(out, "}} else {{");
        stores.iter().for_each(|n| self.store_part(out, *n));
        line!(out, "}}");
    }

    /// Returns the expression for the word in memory that holds word `word` of the four elements of store `number`.
    fn stored_word(&self, number: usize, word: usize) -> String {
        let slot = self.variant.stores[number].0 as usize;
        let (at, shift) = (format!("four.places.at_out{number}"), packing(self.kernel.stores[number].dtype));
        match (self.variant.slots[slot].width, shift) {
            (1, 2) => format!("buffer{slot}[{at} >> 2u]"),
            (1, 1) => format!("buffer{slot}[({at} >> 1u) + {word}u]"),
            (1, _) => format!("buffer{slot}[{at} + {word}u]"),
            _ => format!("buffer{slot}[{at} >> 2u].{}", FIELDS[word]),
        }
    }

    fn store_whole(&self, out: &mut Text, number: usize) {
        let slot = self.variant.stores[number].0 as usize;
        let words = words_of_four(self.kernel.stores[number].dtype);
        if words > 1 && self.variant.slots[slot].width as usize == words {
            let all: Vec<String> = (0..words).map(|n| format!("out{number}_{n}")).collect();
            line!(out, "buffer{slot}[four.places.at_out{number} >> 2u] = vec{words}<u32>({});", all.join(", "));
            return;
        }
        (0..words).for_each(|n| line!(out, "{} = out{number}_{n};", self.stored_word(number, n)));
    }

    /// Writes the stores of the first `left` of four elements. A word that is only partly covered keeps its other
    /// elements.
    fn store_part(&self, out: &mut Text, number: usize) {
        let shift = packing(self.kernel.stores[number].dtype);
        let (per, width) = (1usize << shift, 32u32 >> shift);
        for word in 0..4 / per {
            let first = word * per;
            // at least one element is left, so the first word is always written
            if first > 0 {
                line!(out, "if left > {first}u {{");
            }
            let target = self.stored_word(number, word);
            if per == 1 {
                line!(out, "{target} = out{number}_{word};");
            } else {
                let others = mutant!(tail_of_four_overwrites, "0u".to_string(), {
                    format!("select(0u, 0xffffffffu << ((left - {first}u) * {width}u), left - {first}u < {per}u)")
                });
                line!(out, "let others{number}_{word} = {others};");
                line!(
                    out,
                    "{target} = ({target} & others{number}_{word}) | (out{number}_{word} & ~others{number}_{word});"
                );
            }
            if first > 0 {
                line!(out, "}}");
            }
        }
    }
}

/// Returns the expression for element `n` of the four elements in the expression `words`, widened to its compute type.
pub(super) fn of_words(dtype: DType, words: &str, n: usize) -> String {
    match (dtype, n % 2) {
        // these functions ignore the other f16 of a word
        (DType::F16, 0) => format!("f16_to_f32({words}.{})", FIELDS[n / 2]),
        (DType::F16, _) => format!("f16_high_to_f32({words}.{})", FIELDS[n / 2]),
        _ => access::widened(dtype, &element_of_words(dtype, words, n)),
    }
}

/// Returns the expression for the bits of element `n` of the four elements in the expression `words`. They are the low
/// bits of a u32.
fn element_of_words(dtype: DType, words: &str, n: usize) -> String {
    let (per, width) = (1usize << packing(dtype), 32usize >> packing(dtype));
    let word = if per == 4 { words.to_string() } else { format!("{words}.{}", FIELDS[n / per]) };
    match (per, n % per) {
        (1, _) => word,
        // the highest element of a word needs no mask, and the lowest needs no shift
        (_, at) if at + 1 == per => format!("({word} >> {}u)", at * width),
        (_, 0) => format!("({word} & {:#x}u)", u32::MAX >> (32 - width)),
        (_, at) => format!("(({word} >> {}u) & {:#x}u)", at * width, u32::MAX >> (32 - width)),
    }
}
