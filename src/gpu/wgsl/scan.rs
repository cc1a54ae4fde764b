//! Writes the scans of a row, such as cumulative sums: instances of the blocks of `shaders/lib/scan.wgsl`, and the
//! statements with which a pass calls them.

use super::SCAN;
use super::body::Body;
use super::fold::{Folding, pack};
use super::library::{block, instance, unrolled};
use super::row::{RUN, WRITTEN_OUT};
use super::text::{Text, line};
use crate::base::dtype::Compute;
use crate::plan::kernel::Op;

/// The most blocks of a row that a scan processes between the same barriers. A block is one run of four elements for
/// each lane. Four blocks need 4 KiB of workgroup memory for f32; few other row kernels need more than this. On an
/// H100, rows of 4,096 f32 took 104 µs with four blocks and 116 µs with one; no other number was tried.
const SCANNED_TOGETHER: usize = 4;

impl<'a> Body<'a> {
    /// Returns the scans of the kernel, each with the fold that it applies.
    pub fn scans(&self) -> Vec<Folding<'a>> {
        let values = self.kernel.values.iter().enumerate();
        let of = |(value, v): (usize, &'a crate::plan::kernel::Value)| {
            let Op::Scan(r) = &v.op else { return None };
            Some(Folding { value, r, is_scan: true })
        };
        values.filter_map(of).collect()
    }

    /// Returns whether a value is a scan with one result for each element of a row, which the lanes hold. A scan at the
    /// outer level has one result for each row, the total of the scan.
    pub fn is_scanned(&self, v: usize) -> bool {
        self.kernel.values[v].inner && matches!(self.kernel.values[v].op, Op::Scan(..))
    }

    /// Writes, for each scan, the array of the elements that a lane holds, and the function that scans a row.
    pub fn scan_functions(&self, out: &mut Text, scans: &[Folding<'a>]) {
        for s in scans {
            let (held, v) = (self.held_type(*s), format!("v{}", s.value));
            line!(out, "var<private> scanned_{v}: array<{held}, HELD>;\n");
            let (together, runs) = (self.scanned_together(), self.variant.groups.held as usize / RUN);
            let counts = [("set", "SET", runs / together), ("block", "BLOCK", together)];
            let text = unrolled(&planted(block(SCAN, "scan")), &counts);
            out.append(&instance(&text, &[("VALUE", &v), ("FOLD", &self.suffix(*s)), ("T", &held)]));
            out.append("\n");
        }
    }

    /// Returns the number of blocks of a row that a scan processes between the same barriers.
    pub fn scanned_together(&self) -> usize {
        (self.variant.groups.held as usize / RUN).clamp(1, SCANNED_TOGETHER)
    }

    /// Writes the struct `Folds` of a pass without folds. It has an unused field, because WGSL has no empty struct.
    pub fn no_folds(&self, out: &mut Text, pass: &str) {
        line!(out, "struct Folds{pass} {{\ncount: u32,\n}}\n");
        line!(out, "fn start{pass}() -> Folds{pass} {{\nreturn Folds{pass}(0u);\n}}\n");
    }

    /// Writes the statement that copies an element of a lane into the array whose elements the scan `s` replaces by its
    /// results.
    pub fn scan_in(&self, out: &mut Text, s: Folding<'a>) {
        let x = pack(self.kernel.values[s.arg()].compute(), &self.names[s.arg()]);
        line!(out, "scanned_v{}[held] = {x};", s.value);
    }

    /// Writes the statements that run the scans of a pass. The result of a scan at the outer level is its total, one
    /// number for each row, which is assigned to a field of the variable `row`.
    pub fn scan_lanes(&self, out: &mut Text, scans: &[Folding<'a>]) {
        for s in scans {
            let v = s.value;
            if !self.is_scanned(v) {
                // elements that a lane holds past the end of the row must not change the total
                let drop = |out: &mut Text, held: &str| {
                    line!(out, "if 4u * place + LANES * ({held} & ~3u) + ({held} & 3u) >= params.header.inner_size {{");
                    line!(out, "scanned_v{v}[{held}] = neutral_{}();\n}}", self.suffix(*s));
                };
                match self.variant.groups.held as usize {
                    held @ 0..=WRITTEN_OUT => (0..held).for_each(|n| drop(out, &format!("{n}u"))),
                    _ => {
                        line!(out, "for (var held = 0u; held < HELD; held = held + 1u) {{");
                        drop(out, "held");
                        line!(out, "}}");
                    }
                }
            }
            let call = format!("scan_v{v}(lane, place)");
            match (self.is_scanned(v), self.kernel.values[s.arg()].compute()) {
                (true, _) => line!(out, "{call};"),
                (false, Compute::Bool) => line!(out, "row.v{v} = {call} != 0u;"),
                (false, _) => line!(out, "row.v{v} = {};", self.guard(v, call)),
            }
        }
    }

    /// Returns the expression for the result of a scan for a lane's element `held`.
    pub fn scanned(&self, v: usize) -> String {
        let text = format!("scanned_v{v}[held]");
        match self.kernel.values[v].compute() {
            Compute::Bool => format!("{text} != 0u"),
            Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 | Compute::F32 | Compute::F64 => {
                self.guard(v, text)
            }
        }
    }
}

/// Returns the block `scan` of `scan.wgsl`, with the faults that tests plant in it.
fn planted(block: &str) -> String {
    let whole = || block.to_string();
    let carry = mutant!(
        scan_carry_dropped_on_gpu,
        block.replacen("(blocks_before, combine", "(neutral_FOLD(), combine", 1),
        whole()
    );
    mutant!(scan_barrier_removed, block.replace("            workgroupBarrier();\n", ""), carry)
}
