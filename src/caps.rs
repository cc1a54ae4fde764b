//! Floor 1: what a device can do, as plain data. Whatever decides how an operation runs (the planner, and the rows of
//! routines) reads it.

use std::sync::Mutex;

/// What a device can do: plain data that the planner decides by. Devices with equal capabilities share their plans.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Caps {
    /// For messages and printed plans.
    pub name: String,
    /// Whether functions and routines are taken from their WGSL texts; else from their Rust loops.
    pub wgsl: bool,
    /// i64 and u64.
    pub int64: bool,
    /// f64.
    pub float64: bool,
    /// The most bytes that one operand of one dispatch may span.
    pub max_binding: u64,
    /// The most bytes of one buffer.
    pub max_buffer: u64,
    /// Buffers bound in one dispatch, stores included.
    pub max_bindings: usize,
    /// Values of one kernel.
    pub max_values: usize,
    /// What compiling one kernel may cost, in additions (`Ufunc::compile_cost`); a kernel that would cost more is cut.
    /// f16 and bf16 are rounded where it is, as at every store.
    pub max_cost: u32,
    /// The longest row (elements of `inner`) of a row kernel.
    pub max_row: usize,
    /// The most elements that one reduction over inner lanes, and over outer lanes, takes in one kernel; longer ones
    /// are split into partial results. `usize::MAX`: never split.
    pub max_reduce: [usize; 2],
    /// The most indices of one dispatch.
    pub max_indices: u64,
    /// Whether the loops of a product convert its operands and take an epilogue; else those are passes of their own.
    pub fuses_product: bool,
    /// Whether an index out of range is reported after the run that met it; else before that run writes anything.
    pub reports_late: bool,
    /// The most invocations of a workgroup. 0: there are none, and threads walk tiles.
    pub workgroup: usize,
    /// Bytes of memory that the invocations of a workgroup share.
    pub workgroup_memory: usize,
    /// The fewest and the most lanes of a subgroup, whose lanes exchange values without memory; [1, 1] where there are none.
    pub subgroup: [u32; 2],
    /// Bytes that one load or one arithmetic instruction takes.
    pub vector: usize,
    /// The products of small matrices that a subgroup computes as one instruction.
    pub cooperative: Vec<Cooperative>,
    /// Bytes of the first and second level caches of a core, and of the last level. 0: unknown, or of no account.
    pub caches: [usize; 3],
}

/// A product of small matrices as one instruction: m × k by k × n.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cooperative {
    /// Rows of the first factor, columns of the second, and what they have in common.
    pub shape: [u32; 3],
    /// The element types of the factors and of the sum, as WGSL names them.
    pub types: [String; 2],
}

/// Invocations of the workgroups that kernels are written for. The reductions' trees have this many lanes, so another
/// number gives other bits; every WebGPU device has it.
const GROUP: usize = 256;

impl Caps {
    /// What a card can do, for tests; it need not be there.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn card(name: &str) -> Caps {
        Caps {
            name: name.to_string(),
            wgsl: true,
            int64: true,
            float64: true,
            max_binding: (1 << 31) - 256,
            max_buffer: 1 << 35,
            max_bindings: 14,
            max_values: 256,
            max_cost: 256,
            max_row: 16_384,
            max_reduce: [4096, 256],
            max_indices: 1 << 31,
            fuses_product: true,
            reports_late: true,
            workgroup: 1024,
            workgroup_memory: 48 << 10,
            subgroup: [32, 32],
            vector: 16,
            cooperative: vec![],
            caches: [0; 3],
        }
    }

    /// Invocations of a workgroup on a device whose largest has `most`: a power of two, because lanes combine by halves.
    pub(crate) fn group_within(most: usize) -> usize {
        let most = mutant!(groups_of_any_size, GROUP, most.clamp(1, GROUP));
        1 << most.ilog2()
    }

    /// Invocations of the workgroups that the device's kernels run in.
    pub(crate) fn group(&self) -> usize {
        Caps::group_within(self.workgroup)
    }
}

/// Capabilities with their number. Devices of equal capabilities share their plans: the number stands for all of them in the
/// key of a plan.
#[derive(Clone, Debug)]
pub(crate) struct NumberedCaps {
    caps: Caps,
    number: u32,
}

impl NumberedCaps {
    /// Gives capabilities the number that equal ones have in this process, or the next one. Numbers are never given again.
    pub fn new(caps: Caps) -> NumberedCaps {
        static KNOWN: Mutex<Vec<Caps>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
        let number = known.iter().position(|k| *k == caps).unwrap_or_else(|| {
            known.push(caps.clone());
            known.len() - 1
        });
        NumberedCaps { caps, number: number as u32 }
    }

    pub fn number(&self) -> u32 {
        self.number
    }
}

impl std::ops::Deref for NumberedCaps {
    type Target = Caps;
    fn deref(&self) -> &Caps {
        &self.caps
    }
}
