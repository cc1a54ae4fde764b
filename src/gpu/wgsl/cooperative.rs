//! Writes the functions that `shaders/matmul_cooperative.wgsl` calls, for one kernel. A subgroup computes a block of
//! the result that consists of several small (cooperative) matrices. The file's lines that use a small matrix are
//! repeated for each of them, and [`counts`] returns how often. An array of matrices is not used, because drivers would
//! index it at run time.

use super::body::{Body, Fallible};
use super::library::Count;
use super::matmul::FACTORS;
use super::text::{Text, line};
use super::{Fetch, access};
use crate::base::caps::product_tiles::CooperativeTile;
use crate::base::dtype::DType;
use crate::base::error::{ErrorKind, Fault};
use crate::plan::kernel::CHAIN;

/// The first lines of the source. The shader needs 16-bit integers because it turns bits into an f16 by `bitcast`. A
/// conversion of numbers might lose subnormals.
pub(super) const ENABLES: &str = "enable f16;\nenable wgpu_int16;\nenable wgpu_cooperative_matrix;";

/// The number of small matrices along k that the body of the inner loop multiplies. On an H100, a product of 4,096 × 4,096
/// × 4,096 took 667 µs with one, 648 µs with two, and 650 µs with four.
pub(super) const UNROLLED: usize = 2;

/// Returns how often lines of the shader file are repeated: for the small matrices along the rows and along the columns of
/// a subgroup's block, and for those along k in the body of the inner loop.
pub(super) fn counts(blocks: CooperativeTile) -> [Count; 3] {
    let [rows, columns] = blocks.block().map(|n| n / (blocks.side as usize).max(1));
    [("row", "ROW", rows), ("column", "COLUMN", columns), ("step", "DEEP", UNROLLED)]
}

/// Returns the expression that turns the low 16 bits of a word into an f16.
pub(super) fn half(bits: &str) -> String {
    format!("bitcast<f16>(u16({bits}))")
}

impl Body<'_> {
    /// Returns all functions and constants that `shaders/matmul_cooperative.wgsl` needs.
    pub fn cooperative(&mut self) -> Fallible<String> {
        let Some(blocks) = self.variant.groups.blocks else {
            return Err(Fault::new(ErrorKind::Internal, "a product without blocks"));
        };
        let mut out = Text::default();
        let (CooperativeTile { side, tile }, [rows, columns], depth) = (blocks, blocks.block(), blocks.depth());
        line!(out, "alias T = f32;\nalias Four = vec4<f16>;\nconst TILE = {side}u;\nconst SIDE = {tile}u;");
        line!(out, "const BLOCK_ROWS = {rows}u;\nconst BLOCK_COLUMNS = {columns}u;\nconst STEP = {depth}u;");
        for (name, of) in [("Left", "f16, A"), ("Right", "f16, B"), ("Sums", "f32, C")] {
            line!(out, "alias {name} = coop_mat{side}x{side}<{of}>;");
        }
        line!(out, "const CHAIN = {CHAIN}u;\nconst UNROLLED = {UNROLLED}u;\n");
        self.matrices(&mut out);
        for (n, [name, ..]) in FACTORS.iter().enumerate() {
            let along_k = self.lies_along_k(n);
            let [count, stride] = blocks.halves(along_k);
            line!(out, "const IS_ALONG_{name} = {along_k};\nconst STRIDE_{name} = {stride}u;");
            line!(out, "const HALVES_{name} = {count}u;\n");
            let vectors = tile as usize * depth / 4 / self.variant.groups.size as usize;
            self.factor(&mut out, n, ("halves", vectors));
        }
        self.load_sum(&mut out);
        self.store_four(&mut out, "vec4<T>")?;
        Ok(out.finish())
    }

    /// Returns whether the elements of factor `n` that are neighbours along k are neighbours in workgroup memory.
    fn lies_along_k(&self, n: usize) -> bool {
        self.variant.fetches.get(n).is_none_or(|fetch| *fetch != Fetch::Whole)
    }

    /// Returns the source of the shader file with calls that load small matrices in the order in which workgroup memory
    /// holds the factors. `coopLoadT` loads a matrix row by row, `coopLoad` column by column.
    pub fn loads_of_matrices(&self, text: &str) -> String {
        let [left, right] = [0, 1].map(|n| self.lies_along_k(n));
        let left = if left { "coopLoadT<Left>" } else { "coopLoad<Left>" };
        let right = if right { "coopLoad<Right>" } else { "coopLoadT<Right>" };
        text.replace("coopLoadT<Left>", left).replace("coopLoad<Right>", right)
    }

    /// Returns the expression for an element of factor `n` as f16. If `words` is `Some(i)`, it is element `i` of the
    /// four elements that were loaded as words. Otherwise it is the element at position `at` of the factor's buffer.
    pub(super) fn half_of_factor(&self, n: usize, words: Option<usize>) -> String {
        let (load, slot) = (&self.kernel.loads[n], self.variant.loads[n] as usize);
        let is_half = load.dtype == DType::F16;
        let value = |x: &str| access::bits(DType::F16, &access::cast(load.dtype, DType::F16, x));
        half(&match words {
            Some(i) if is_half => format!("(words[{}] >> {}u) & 0xffffu", i / 2, i % 2 * 16),
            Some(i) => value(&format!("x{i}")),
            None if is_half => access::narrow(slot, self.variant.slots[slot], load.dtype, "at"),
            None => value("x"),
        })
    }
}
