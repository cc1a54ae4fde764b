//! The functions that `shaders/matmul.wgsl` calls, and the constants of its tile, written for one kernel.

use super::access;
use super::body::{Body, Fallible};
use super::library::Count;
use super::place::{Place, Space};
use super::text::{Text, line};
use crate::base::dtype::Compute;
use crate::base::error::{ErrorKind, Fault};
use crate::plan::kernel::{CHAIN, Op, Tile};

/// Returns how often lines of the shader file are repeated: for the blocks of 4 × 4 that an invocation computes, for
/// the vectors that it fetches, and for four k at a time.
pub(super) fn counts(tile: Tile) -> [Count; 5] {
    let [rows, columns] = tile.each.map(|n| n as usize / 4);
    let [a, b] = tile.fetched();
    let last = mutant!(block_of_a_tile_left_out, columns.div_ceil(2), columns);
    [("row", "ROW", rows), ("column", "COLUMN", last), ("a", "VECTOR", a), ("b", "VECTOR", b), ("k", "K", 4)]
}

/// Writes the constants of a tile.
fn tile_constants(out: &mut Text, tile: Tile) {
    let [each_rows, each_columns] = tile.each;
    line!(out, "const TILE_ROWS = {}u;\nconst TILE_COLUMNS = {}u;", tile.rows, tile.columns);
    line!(out, "const EACH_ROWS = {each_rows}u;\nconst EACH_COLUMNS = {each_columns}u;");
    line!(out, "const DEPTH = {}u;\nconst PADDING = {}u;\n", tile.depth, tile.padded as u32);
}

/// Writes the type of four elements and its functions. 64-bit integers may be structs (`pair64.wgsl`), of which WGSL
/// has no vectors.
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
    /// Returns all functions and constants that the file needs.
    pub fn matmul(&mut self) -> Fallible<String> {
        let compute = self.kernel.values[0].compute();
        if compute == Compute::Bool {
            return Err(Fault::new(
                ErrorKind::Internal,
                "a product of bools must be computed as a product of integers",
            ));
        }
        let mut out = Text::default();
        line!(out, "alias T = {};\nconst CHAIN = {CHAIN}u;", compute.name());
        match self.variant.groups.tile {
            None => {
                line!(out, "");
                one(&mut out, compute);
            }
            Some(tile) => {
                tile_constants(&mut out, tile);
                four(&mut out, compute);
            }
        }
        self.matrices(&mut out);
        self.factor(&mut out, 0, "column_a", "a");
        self.factor(&mut out, 1, "row_b", "b");
        self.load_sum(&mut out);
        self.store_element(&mut out)?;
        Ok(out.finish())
    }

    /// Writes the function that computes the epilogue of an element of the product, and stores it.
    pub fn store_element(&mut self, out: &mut Text) -> Fallible<()> {
        let epilogue: Vec<usize> = (1..self.kernel.values.len()).collect();
        self.load_element(out, &epilogue);
        line!(out, "fn store_element(index: u32, product: T, unit: u32, is_last: bool) {{");
        line!(out, "let element = load_element(index);");
        line!(out, "let v0: T = {};", self.guard(0, "product".to_string()));
        self.element_values(out, &epilogue)?;
        line!(out, "}}");
        Ok(())
    }

    /// Writes the function that loads the sum from which the product continues, if there is one.
    pub fn load_sum(&self, out: &mut Text) {
        let Op::Dot { from: Some(n) } = self.kernel.values[0].op else { return };
        self.place_struct(out, "Sum", Space::Outer, &[n], &[]);
        line!(out, "fn load_sum(index: u32) -> T {{");
        self.find_places(out, "sum", "Sum", Space::Outer, &[n]);
        line!(out, "return load_in{n}(sum.at_in{n});\n}}\n");
    }

    /// Writes the function that finds where a matrix of the batch begins in each factor. In the table of axes, row 0 is
    /// n, row 1 is m, and the axes of the batch follow; `params.rs` writes a batch axis even for a product without a
    /// batch.
    pub fn matrices(&self, out: &mut Text) {
        line!(out, "struct Matrices {{\na: u32,\nb: u32,\n}}\n");
        line!(out, "fn place_matrices(batch: u32) -> Matrices {{");
        line!(out, "var matrices = Matrices(params.offset_in0, params.offset_in1);");
        line!(out, "let end = params.header.outer_rank - 1u;\nvar rest = batch;");
        line!(out, "for (var i = 2u; i < end; i = i + 1u) {{\nlet axis = params.axes[i];");
        line!(out, "let whole = rest / axis.extent;\nlet along = rest - whole * axis.extent;\nrest = whole;");
        line!(out, "matrices.a += along * axis.stride_in0;\nmatrices.b += along * axis.stride_in1;\n}}");
        line!(out, "let first = params.axes[end];");
        line!(out, "matrices.a += rest * first.stride_in0;\nmatrices.b += rest * first.stride_in1;");
        line!(out, "return matrices;\n}}\n");
    }

    /// Writes the functions that find elements of a factor, which is load number `n` and has the name `name` in the
    /// source. `across` is the name for its lines across k: `column_a` or `row_b`.
    pub fn place_factor(&self, out: &mut Text, n: usize, across: &str, name: &str) {
        line!(out, "fn place_{across}(matrix: u32, k: u32) -> u32 {{\nlet index = k;\nvar at: u32;");
        let place = Place { column: n, name: "at".to_string(), start: "matrix".to_string() };
        self.set_places(out, Space::Inner, &[place]);
        line!(out, "return at;\n}}\n");
        // a column of a runs along m, which is row 1 of the table; a row of b runs along n, which is row 0
        line!(out, "fn stride_{name}() -> u32 {{\nreturn params.axes[{}].stride_in{n};\n}}\n", 1 - n);
    }

    /// Writes the functions that find and load elements of a factor.
    fn factor(&self, out: &mut Text, n: usize, across: &str, name: &str) {
        let (dtype, wanted) = (self.kernel.loads[n].dtype, self.kernel.values[0].dtype);
        self.place_factor(out, n, across, name);
        line!(out, "fn load_{name}(at: u32) -> T {{");
        match dtype.compute() == wanted.compute() {
            true => line!(out, "return load_in{n}(at);"),
            false => line!(out, "let x = load_in{n}(at);\nreturn {};", access::cast(dtype, wanted, "x")),
        }
        line!(out, "}}\n");
    }
}
