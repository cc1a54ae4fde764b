//! Writes the functions that `shaders/matmul.wgsl` and `shaders/lib/factor.wgsl` call, and the constants of the tile,
//! for one kernel. The *factors* are the two matrices that are multiplied. The *epilogue* consists of the values that
//! are computed from an element of the product and stored instead of that element. `cooperative.rs` writes products by
//! cooperative matrices.

use super::body::{Body, Fallible, is_load};
use super::four_elements::of_words;
use super::library::{self, Count};
use super::place::{IndexSpace, Place};
use super::rare::FOUR;
use super::text::{Text, line};
use super::{FACTOR, Fetch, StoreMode, access, words_of_four};
use crate::base::dtype::{Compute, DType};
use crate::base::error::{ErrorKind, Fault};
use crate::plan::kernel::{CHAIN, Op, Tile};

/// For each factor, the names that replace the words FACTOR, SIDE, LINES and LINE of `factor.wgsl`.
pub(super) const FACTORS: [[&str; 4]; 2] = [["a", "ROWS", "rows", "row"], ["b", "COLUMNS", "columns", "column"]];

/// Returns how often lines of the shader file are repeated. Lines for `row` and `column` are repeated for the blocks of
/// 4 × 4 elements that an invocation computes. Lines for `k` are repeated for the neighbouring k of the inner loop's body. Lines for `step`, in
/// the shader whose invocations compute one element each, are repeated for all k that workgroup memory holds at a time.
pub(super) fn counts(tile: Tile) -> [Count; 4] {
    let [rows, columns] = tile.each.map(|n| n as usize / 4);
    let last = mutant!(block_of_a_tile_left_out, columns.div_ceil(2), columns);
    [
        ("row", "ROW", rows),
        ("column", "COLUMN", last),
        ("k", "K", tile.unrolled.into()),
        ("step", "K", tile.depth.into()),
    ]
}

/// Writes the constants of a tile.
fn tile_constants(out: &mut Text, tile: Tile) {
    let [each_rows, each_columns] = tile.each;
    line!(out, "const TILE_ROWS = {}u;\nconst TILE_COLUMNS = {}u;", tile.rows, tile.columns);
    line!(out, "const MATRICES = {}u;", tile.matrices);
    line!(out, "const EACH_ROWS = {each_rows}u;\nconst EACH_COLUMNS = {each_columns}u;");
    line!(out, "const DEPTH = {}u;\nconst UNROLLED = {}u;", tile.depth, tile.unrolled);
    line!(out, "const PADDING = {}u;\n", tile.padded as u32);
}

/// Writes the type `Four` of four elements, and the functions that compute with it. 64-bit integers may be structs
/// (`pair64.wgsl`), of which WGSL has no vectors.
fn four(out: &mut Text, compute: Compute) {
    let t = compute.name();
    let is_vector = !matches!(compute, Compute::I64 | Compute::U64);
    let names = ["x", "y", "z", "w"];
    match is_vector {
        true => line!(out, "alias Four = vec4<T>;\n"),
        false => line!(out, "struct Four {{\nx: T,\ny: T,\nz: T,\nw: T,\n}}\n"),
    }
    line!(out, "fn element(four: Four, n: u32) -> T {{");
    match is_vector {
        true => line!(out, "return four[n];\n}}\n"),
        false => line!(
            out,
            "let low = select_{t}(four.x, four.y, n == 1u);\nlet high = select_{t}(four.z, four.w, n == 3u);\n\
             return select_{t}(low, high, n >= 2u);\n}}\n"
        ),
    }
    line!(out, "fn add_product(sum: Four, x: T, four: Four) -> Four {{");
    match is_vector {
        true => line!(out, "return sum + x * four;\n}}\n"),
        false => {
            let terms = names.map(|n| format!("add_{t}(sum.{n}, mul_{t}(x, four.{n}))"));
            line!(out, "return Four({});\n}}\n", terms.join(", "));
        }
    }
    line!(out, "fn add_fours(a: Four, b: Four) -> Four {{");
    match is_vector {
        true => line!(out, "return a + b;\n}}\n"),
        false => {
            let terms = names.map(|n| format!("add_{t}(a.{n}, b.{n})"));
            line!(out, "return Four({});\n}}\n", terms.join(", "));
        }
    }
}

/// Writes the functions that compute with one element. For 64-bit integers, which may be structs, they call functions
/// of the library instead of using operators.
fn one(out: &mut Text, compute: Compute) {
    let t = compute.name();
    let (product, sum) = match compute {
        Compute::I64 | Compute::U64 => (format!("add_{t}(sum, mul_{t}(x, y))"), format!("add_{t}(a, b)")),
        Compute::Bool | Compute::I32 | Compute::U32 | Compute::F32 | Compute::F64 => {
            ("sum + x * y".to_string(), "a + b".to_string())
        }
    };
    line!(out, "fn add_one_product(sum: T, x: T, y: T) -> T {{\nreturn {product};\n}}\n");
    line!(out, "fn add_one(a: T, b: T) -> T {{\nreturn {sum};\n}}\n");
}

impl Body<'_> {
    /// Returns all functions and constants that `shaders/matmul.wgsl` needs.
    pub fn matmul(&mut self) -> Fallible<String> {
        let compute = self.kernel.values[0].compute();
        if compute == Compute::Bool {
            return Err(Fault::new(
                ErrorKind::Internal,
                "a product of bools must be computed as a product of integers",
            ));
        }
        let Some(tile) = self.variant.groups.tile else {
            return Err(Fault::new(ErrorKind::Internal, "a product without a tile"));
        };
        let mut out = Text::default();
        line!(out, "alias T = {};\nconst CHAIN = {CHAIN}u;", compute.name());
        tile_constants(&mut out, tile);
        four(&mut out, compute);
        one(&mut out, compute);
        self.matrices(&mut out);
        (0..FACTORS.len()).for_each(|n| self.factor(&mut out, n, self.way(n, tile)));
        self.load_sum(&mut out);
        match tile.each {
            [1, 1] => self.store_one(&mut out)?,
            _ => self.store_four(&mut out, "Four")?,
        }
        Ok(out.finish())
    }

    /// Writes two functions for the epilogue (the values computed from the product). `find_corner` finds where the
    /// first element of a matrix is in the buffer of each operand of the epilogue. `load_element` loads these operands
    /// for one element.
    fn corners(&self, out: &mut Text, epilogue: &[usize]) {
        let columns = self.columns_of(|v| epilogue.contains(&v), |_| true);
        self.place_struct(out, "Corner", IndexSpace::Matrix, &columns, &[]);
        line!(out, "fn find_corner(batch: u32) -> Corner {{\nvar corner: Corner;");
        let place = |c: &usize| {
            let name = &self.columns[*c];
            Place { column: *c, name: format!("corner.at_{name}"), start: self.parameter("params.offset_", *c) }
        };
        let places: Vec<Place> = columns.iter().map(place).collect();
        places.iter().for_each(|p| line!(out, "{} = {};", p.name, p.start));
        self.add_batch(out, &places);
        line!(out, "return corner;\n}}\n");
        self.load_element(out, IndexSpace::Matrix, epilogue);
    }

    /// Writes the function that computes the epilogue (the values computed from the product) of one element, and stores
    /// the results.
    fn store_one(&mut self, out: &mut Text) -> Fallible<()> {
        let epilogue: Vec<usize> = (1..self.kernel.values.len()).collect();
        self.corners(out, &epilogue);
        self.store_element(out, &epilogue)?;
        line!(out, "fn store_one(corner: Corner, line: u32, column: u32, product: T) {{");
        line!(out, "store_element(load_element(corner, line, column), product, 0u, true);\n}}");
        Ok(())
    }

    fn store_element(&mut self, out: &mut Text, epilogue: &[usize]) -> Fallible<()> {
        line!(out, "fn store_element(element: Element, product: T, unit: u32, is_last: bool) {{");
        line!(out, "let v0: T = {};", self.guard(0, "product".to_string()));
        self.element_values(out, epilogue)?;
        line!(out, "}}\n");
        Ok(())
    }

    /// Writes the function that computes the epilogue (the values computed from the product) of four neighbours in a
    /// row, and stores the results. `four` is the WGSL type of the four elements of the product.
    pub fn store_four(&mut self, out: &mut Text, four: &str) -> Fallible<()> {
        let epilogue: Vec<usize> = (1..self.kernel.values.len()).collect();
        self.corners(out, &epilogue);
        let stores: Vec<usize> = (0..self.kernel.stores.len()).collect();
        let is_simple = !self.form.checks && self.kernel.stores.iter().all(|s| s.is_plain());
        if is_simple {
            self.results_struct(out, &stores);
            line!(out, "fn results_of(element: Element, product: T) -> Results {{");
            line!(out, "let v0: T = {};", self.guard(0, "product".to_string()));
            self.name_epilogue();
            let kernel = self.kernel;
            self.values(out, "element", None, |v| v > 0 && !is_load(kernel, v))?;
            self.return_results(out, &stores);
        } else {
            self.store_element(out, &epilogue)?;
        }
        if self.variant.stores_whole {
            line!(out, "struct Places {{\nplaces: Element,\n}}\n");
        }
        line!(out, "fn store_four(corner: Corner, line: u32, column: u32, products: {four}, left: u32) {{");
        for n in 0..4 {
            // past the end of the row, the last element is loaded again
            let at = if n == 0 { "column".to_string() } else { format!("column + min({n}u, left - 1u)") };
            line!(out, "let element{n} = load_element(corner, line, {at});");
        }
        if is_simple {
            line!(out, "{FOUR}results_of");
        }
        for (n, field) in ["x", "y", "z", "w"].iter().enumerate() {
            let last = format!("left == {}u", n + 1);
            match (is_simple, n) {
                (true, _) => line!(out, "let results{n} = results_of(element{n}, products.{field});"),
                (false, 0) => line!(out, "store_element(element0, products.x, 0u, {last});"),
                (false, _) => {
                    line!(out, "if left > {n}u {{\nstore_element(element{n}, products.{field}, {n}u, {last});\n}}");
                }
            }
        }
        match (is_simple, self.variant.stores_whole) {
            (true, true) => {
                line!(out, "let four = Places(element0);");
                self.store_results(out, &stores);
            }
            (true, false) => stores.iter().for_each(|s| self.store_each(out, *s)),
            (false, _) => {}
        }
        line!(out, "}}");
        Ok(())
    }

    /// Writes the statements that store the first `left` of four results, one after another.
    fn store_each(&self, out: &mut Text, s: usize) {
        for n in 0..4 {
            let owner = match self.variant.stores[s].1 {
                StoreMode::Owned => format!(", {n}u, left == {}u", n + 1),
                StoreMode::Direct | StoreMode::Atomic => String::new(),
            };
            let store = format!("store_out{s}(element{n}.at_out{s}, results{n}.out{s}{owner});");
            if n == 0 { line!(out, "{store}") } else { line!(out, "if left > {n}u {{\n{store}\n}}") }
        }
    }

    /// Writes the function that loads the sum with which an element's product starts, if the product continues from
    /// earlier sums (`Op::Dot`).
    pub fn load_sum(&self, out: &mut Text) {
        let Op::Dot { from: Some(n), .. } = self.kernel.values[0].op else { return };
        self.place_struct(out, "Sum", IndexSpace::Square, &[n], &[]);
        line!(out, "fn load_sum(batch: u32, line: u32, column: u32) -> T {{");
        self.find_places(out, "sum", "Sum", IndexSpace::Square, &[n]);
        line!(out, "return load_in{n}(sum.at_in{n});\n}}\n");
    }

    /// Writes the function that finds where matrix number `batch` begins in each factor. In the table of axes, row 0 is
    /// n (the result's columns) and row 1 is m (its rows). Further axes of the rows and columns follow, then the axes
    /// of the batch.
    pub fn matrices(&self, out: &mut Text) {
        let (first, part) = (self.first_of_batch(), self.kernel.values[0].op.part_of_k());
        line!(out, "struct Matrices {{\na: u32,\nb: u32,\nk: u32,\n}}\n");
        line!(out, "fn place_matrices(batch: u32) -> Matrices {{");
        let k = if self.variant.nested.is_some() { "params.header.first_k" } else { "0u" };
        line!(out, "var matrices = Matrices(params.offset_in0, params.offset_in1, {k});");
        if let Some(first) = first {
            line!(out, "let end = params.header.outer_rank - 1u;\nvar rest = batch;");
            line!(out, "for (var i = {first}u; i < end; i = i + 1u) {{\nlet axis = params.axes[i];");
            line!(out, "let whole = rest / axis.extent;\nlet along = rest - whole * axis.extent;\nrest = whole;");
            line!(out, "matrices.a += along * axis.stride_in0;\nmatrices.b += along * axis.stride_in1;\n}}");
            line!(out, "let first = params.axes[end];");
            line!(out, "matrices.a += rest * first.stride_in0;\nmatrices.b += rest * first.stride_in1;");
            if part.is_some_and(|part| part.of_chains) {
                line!(out, "matrices.k += rest * CHAIN;");
            }
        }
        line!(out, "return matrices;\n}}\n");
    }

    /// Writes the functions that find the positions of a factor's elements in its buffer. The factor is load `n`, and
    /// its name in the source is `name`.
    pub fn place_factor(&self, out: &mut Text, n: usize, name: &str) {
        line!(out, "fn place_{name}(line: u32, k: u32) -> u32 {{\nlet index = k;\nvar at: u32;");
        let place = || Place { column: n, name: "at".to_string(), start: "line".to_string() };
        match &self.variant.nested {
            None => self.set_places(out, IndexSpace::Inner, &[place()]),
            Some([.., k]) => {
                let first = self.kernel.outer.len().max(3);
                let rows: Vec<usize> = (first..=first + k.len()).collect();
                line!(out, "at = line;");
                self.add_digits(out, &[place()], "index", k, &rows);
            }
        }
        line!(out, "return at;\n}}\n");
        let kind = if self.variant.fetches.get(n).is_none_or(|f| *f == Fetch::Each) { "vec4<u32>" } else { "u32" };
        line!(out, "fn along_{name}(lines: {kind}) -> {kind} {{");
        match &self.variant.nested {
            // the lines of factor `a` are counted along m, which is row 1 of the table of axes; the lines of factor `b`
            // are counted along n, which is row 0
            None => line!(out, "return lines * params.axes[{}].stride_in{n};\n}}\n", 1 - n),
            Some(nested) => {
                line!(out, "var at = {kind}();");
                self.add_digits(out, &[place()], "lines", &nested[n], &self.rows_of_side(n));
                line!(out, "return at;\n}}\n");
            }
        }
    }

    /// Writes the functions that copy a part of factor `n` to workgroup memory. `way` is the name of the block of
    /// `factor.wgsl` that does this, and `vectors` is how many vectors of four elements each invocation copies in a
    /// step along k.
    pub(super) fn factor(&self, out: &mut Text, n: usize, (way, vectors): (&str, usize)) {
        let (dtype, wanted) = (self.kernel.loads[n].dtype, self.kernel.values[0].dtype);
        let [name, side, lines, line] = FACTORS[n];
        let is_half = way == "halves";
        let names = [("FACTOR", name), ("SIDE", if is_half { "SIDE" } else { side }), ("LINES", lines), ("LINE", line)];
        let fetch = self.variant.fetches.get(n).copied().unwrap_or(Fetch::Each);
        let cast = |x: String| match dtype.compute() == wanted.compute() {
            true => x,
            false => access::cast(dtype, wanted, &x),
        };
        self.place_factor(out, n, name);
        line!(out, "fn is_along_{name}() -> bool {{");
        match fetch {
            Fetch::Each => {
                line!(out, "return (params.header.contiguous_along_k & {}u) != 0u;\n}}\n", 1 << n);
                line!(out, "fn load_{name}(at: u32) -> {} {{", if is_half { "f16" } else { "T" });
                if !is_half || dtype != DType::F16 {
                    line!(out, "let x = load_in{n}(at);");
                }
                line!(out, "return {};", if is_half { self.half_of_factor(n, None) } else { cast("x".into()) });
            }
            Fetch::Same | Fetch::Whole | Fetch::Across | Fetch::WholeAcross | Fetch::AlongK => {
                line!(out, "return {};\n}}\n", fetch == Fetch::AlongK);
                let kind = match words_of_four(dtype) {
                    1 => "u32".to_string(),
                    count => format!("vec{count}<u32>"),
                };
                line!(out, "alias Words_{name} = {kind};\nfn load_words_{name}(at: u32) -> Words_{name} {{");
                line!(out, "return {};\n}}\n", self.whole_words(n, "at"));
                line!(out, "fn widen_{name}(words: Words_{name}) -> Four {{");
                if !is_half || dtype != DType::F16 {
                    (0..4).for_each(|i| line!(out, "let x{i} = {};", of_words(dtype, "words", i)));
                }
                let element = |i: usize| if is_half { self.half_of_factor(n, Some(i)) } else { cast(format!("x{i}")) };
                line!(out, "return Four({});", [0, 1, 2, 3].map(element).join(", "));
            }
        }
        line!(out, "}}\n");
        let by = if fetch == Fetch::Each { "by elements" } else { "by vectors" };
        // Metal, whose small matrices have a side of 8, loads them from arrays of single elements only
        let is_of_metal = self.variant.groups.blocks.is_some_and(|blocks| blocks.side == 8);
        let memory = match way {
            "across" | "along k" => Some("a tile"),
            "halves" if fetch == Fetch::Each || is_of_metal => Some("halves by elements"),
            "halves" => Some("halves by vectors"),
            _ => None,
        };
        for part in [Some(by), memory, Some(way)].into_iter().flatten() {
            let text = library::instance(library::block(FACTOR, part), &names);
            out.append(&library::unrolled(&text, &[("vector", "VECTOR", vectors)]));
            line!(out, "");
        }
    }

    /// Returns the block of `factor.wgsl` that copies factor `n` to workgroup memory for a tile, and how many vectors
    /// of four elements each invocation copies in a step along k.
    fn way(&self, n: usize, tile: Tile) -> (&'static str, usize) {
        match tile.each {
            [1, 1] => ("lines", tile.fetched()[n]),
            _ if self.variant.fetches.get(n) == Some(&Fetch::AlongK) => ("along k", 4),
            _ => ("across", tile.fetched()[n]),
        }
    }
}
