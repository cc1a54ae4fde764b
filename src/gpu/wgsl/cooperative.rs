//! The functions that `shaders/matmul_cooperative.wgsl` calls, written for one kernel. The lines of that file which use
//! a small matrix are repeated for each small matrix of a subgroup's block, and [`counts`] returns how often. They are
//! repeated because drivers would index an array of matrices at run time.

use super::access;
use super::body::{Body, Fallible};
use super::library::Count;
use super::text::{Text, line};
use crate::base::dtype::DType;
use crate::plan::kernel::CHAIN;

/// The beginning of the source, before any declaration. With 16-bit integers, the shader turns bits into an f16 by
/// `bitcast`. A conversion of numbers may lose subnormals.
pub(super) const ENABLES: &str = "enable f16;\nenable wgpu_int16;\nenable wgpu_cooperative_matrix;";

/// The side of a subgroup's block of the product, `BLOCK` in the shader file.
const BLOCK: usize = 32;

/// Returns the counts of a subgroup's small matrices with this side.
pub(super) fn counts(side: u8) -> [Count; 2] {
    let count = BLOCK / side.max(1) as usize;
    [("row", "ROW", count), ("column", "COLUMN", count)]
}

impl Body<'_> {
    /// Returns all functions and constants that the file needs.
    pub fn cooperative(&mut self) -> Fallible<String> {
        let mut out = Text::default();
        let side = self.variant.groups.cooperative;
        line!(out, "alias T = f32;\nconst TILE = {side}u;");
        for (name, of) in [("Left", "f16, A"), ("Right", "f16, B"), ("Sums", "f32, C")] {
            line!(out, "alias {name} = coop_mat{side}x{side}<{of}>;");
        }
        line!(out, "const CHAIN = {CHAIN}u;\n");
        self.matrices(&mut out);
        for (n, name) in [(0, "a"), (1, "b")] {
            self.place_factor(&mut out, n, name);
            self.halves(&mut out, n, name);
        }
        self.load_sum(&mut out);
        self.store_element(&mut out)?;
        Ok(out.finish())
    }

    /// Writes the functions that load the bits of one element of factor `n`, and of two, as f16.
    fn halves(&self, out: &mut Text, n: usize, name: &str) {
        let (load, slot) = (&self.kernel.loads[n], self.variant.loads[n] as usize);
        let kind = self.variant.slots[slot];
        line!(out, "fn half_{name}(at: u32) -> u32 {{");
        let is_half = load.dtype == DType::F16;
        match is_half {
            true => line!(out, "return {};\n}}\n", access::narrow(slot, kind, load.dtype, "at")),
            false => {
                line!(out, "let x = load_in{n}(at);");
                let half = access::cast(load.dtype, DType::F16, "x");
                line!(out, "return {};\n}}\n", access::bits(DType::F16, &half));
            }
        }
        line!(out, "fn pair_{name}(first: u32, second: u32) -> u32 {{");
        if is_half {
            line!(out, "if second == first + 1u && (first & 1u) == 0u {{");
            line!(out, "return {};\n}}", access::word(slot, kind, "first >> 1u"));
        }
        line!(out, "return half_{name}(first) | (half_{name}(second) << 16u);\n}}\n");
    }
}
