//! What a device can do, as plain data, for the two that decide how an operation runs: the planner, and the rows of
//! the table of routines.

pub(crate) mod tiles;

use std::sync::Mutex;
use tiles::Tiles;

/// What a device can do: the planner's only knowledge of it. Devices with equal capabilities share their plans.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Caps {
    /// The device's name, for messages and printed plans.
    pub name: String,
    /// Whether the device runs functions and routines as their WGSL text; else as their Rust functions.
    pub wgsl: bool,
    /// Whether the device's own instructions compute with i64 and u64. On one that has none, kernels compute with pairs of words.
    pub int64: bool,
    /// Whether the device has f64.
    pub float64: bool,
    /// The most bytes that one operand of one dispatch may span.
    pub max_binding: u64,
    /// The most bytes of one buffer.
    pub max_buffer: u64,
    /// The most buffers that one dispatch binds, for loads and stores together.
    pub max_bindings: usize,
    /// The most values (results of loads, constants and functions) of one kernel.
    pub max_values: usize,
    /// The most that compiling one kernel may cost, where an addition costs 1 (`Ufunc::compile_cost`). The planner cuts a
    /// larger kernel by storing an intermediate result, which rounds f16 and bf16 there as every store does.
    pub max_cost: u32,
    /// The longest row (elements of `inner`) of a row kernel.
    pub max_row: usize,
    /// The most elements that one kernel reduces to one result, with inner lanes and with outer lanes; a longer reduction is
    /// split into partial results. `usize::MAX`: never split.
    pub max_reduce: [usize; 2],
    /// The most indices of `outer` that one dispatch covers.
    pub max_indices: u64,
    /// Whether the kernel of a matrix product converts its operands and takes an epilogue; else those are kernels of their own.
    pub fuses_product: bool,
    /// Whether an index out of range is reported only after the run that met it (true on a GPU), when a target may be half
    /// written; else the kernel that meets it checks all indices before it writes.
    pub reports_late: bool,
    /// The most invocations of a workgroup; 0 on a CPU, where threads run tiles instead.
    pub workgroup: usize,
    /// Bytes of memory that the invocations of a workgroup share.
    pub workgroup_memory: usize,
    /// The fewest and the most lanes of a subgroup, whose lanes exchange values without memory; [1, 1] where there are none.
    pub subgroup: [u32; 2],
    /// Bytes of the widest vector that one instruction loads or computes with.
    pub vector: usize,
    /// Whether a CPU has threaded code (`math/simd/threaded/mod.rs`), which keeps the values of an elementwise kernel in registers.
    pub threaded: bool,
    /// The products of small matrices that a subgroup computes as one instruction.
    pub cooperative: Vec<Cooperative>,
    /// The tiles of wide products; without meaning on a CPU.
    pub tiles: Tiles,
    /// Bytes of a core's first and second level caches, and of the last level; 0 where unknown, as on every GPU.
    pub caches: [usize; 3],
    /// How fast the device is thought to be where the planner weighs two plans.
    pub rates: Rates,
}

/// The rates of the planner's model of time (`plan/price.rs`). They are judgements about a kind of device, not measurements of
/// the one at hand, so that a plan depends on nothing that varies between two machines of a kind. What they decide is how many
/// additions cost as much as storing an element and reading it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rates {
    /// Bytes of main memory that are read or written in a nanosecond.
    pub bytes: u32,
    /// Additions of a fused kernel in a nanosecond, over all threads.
    pub additions: u32,
    /// Multiply-adds of a matrix product in a nanosecond.
    pub multiply_adds: u32,
    /// Nanoseconds that a dispatch takes beside its work.
    pub dispatch: u32,
    /// The elements of which computing a value takes at least as long, because calling the loop over them takes time.
    pub least: u32,
}

impl Rates {
    /// The rates of a CPU: two cores that copy 50 GB/s. An element of f32 that is written and read twice takes as long as some
    /// seven additions, so an `exp`, at eight, is stored where two kernels need it.
    pub const CPU: Rates = Rates { bytes: 50, additions: 30, multiply_adds: 200, dispatch: 150, least: 256 };
    /// The rates of a graphics card, on which arithmetic is much cheaper beside memory, and a dispatch much dearer.
    pub const CARD: Rates = Rates { bytes: 2_000, additions: 8_000, multiply_adds: 16_000, dispatch: 2_000, least: 1 };
}

/// A product of small matrices (m × k by k × n) that a subgroup computes as one instruction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cooperative {
    /// The sizes `[m, n, k]`.
    pub shape: [u32; 3],
    /// The element types of the factors and of the sum, as WGSL names them.
    pub types: [String; 2],
}

/// Holds limits that a test sets below a GPU's, so that small arrays are cut as large ones are, whether its integers of 64
/// bits, its clock, and what it has beyond WebGPU's defaults may be used, and the tiles that a tuner or a test wants; also a fault of
/// the driver that its self-test is to see.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "only a GPU has such limits"))]
pub(crate) struct Shrink {
    pub max_binding: u64,
    pub max_groups: u32,
    pub int64: bool,
    pub clock: bool,
    /// Whether the driver is asked for WebGPU's default limits and no optional feature, so that wgpu itself holds the device to them.
    pub webgpu: bool,
    /// A family of kernels (by the name in `gpu/families.rs`) of which the self-test is to see a wrong result.
    pub wrong: Option<&'static str>,
    /// The tiles of wide products, in place of those of the table and of those that are kept on disk.
    pub tiles: Option<Tiles>,
}

#[cfg(any(feature = "gpu", feature = "testing"))]
impl Shrink {
    /// Leaves everything as it is; a test changes a field.
    pub const NONE: Shrink = Shrink {
        max_binding: u64::MAX,
        max_groups: u32::MAX,
        int64: true,
        clock: true,
        webgpu: false,
        wrong: None,
        tiles: None,
    };

    /// Whether anything but the tiles is other than the device's own.
    #[cfg(feature = "gpu")]
    pub fn is_below(&self) -> bool {
        let whole = (self.max_binding, self.max_groups) == (u64::MAX, u32::MAX);
        !(whole && self.int64 && self.clock) || self.webgpu
    }
}

/// Invocations of the workgroups that kernels are written for, unless a device allows fewer: the most that WebGPU's default
/// limits guarantee. The trees of reductions have this many lanes, so another number gives other bits.
const GROUP: usize = 256;

/// The most elements of its row that an invocation of a row kernel holds in registers. A judgement: more would spill.
pub(crate) const MOST_HELD: usize = 64;

/// Subgroups that share a product by cooperative matrices, each with a quarter of what their workgroup computes
/// (`shaders/matmul_cooperative.wgsl`).
pub(crate) const COOPERATIVE_SUBGROUPS: usize = 4;

/// The rows, and the columns, that such a workgroup computes.
pub(crate) const COOPERATIVE_TILE: usize = 64;

/// Bytes of a workgroup's memory that such a product takes: for 32 elements along k of 64 rows and of 64 columns of f16, and for
/// sums of f32 of two rows of 16 × 16 matrices, with what lies between rows.
pub(crate) const COOPERATIVE_MEMORY: usize = 2 * (64 * (32 + 8) + 32 * (64 + 8)) + 4 * 2 * 16 * (64 + 4);

impl Caps {
    /// Returns the side of the small matrices of f16 that a product is computed by, with sums in f32: 16 or 8, the larger one if the
    /// device has both. None if it has neither, or a kernel by them does not fit it.
    pub(crate) fn cooperative_side(&self) -> Option<u32> {
        let has = |side: &u32| {
            let is_it = |c: &Cooperative| c.shape == [*side; 3] && c.types[0] == "f16" && c.types[1] == "f32";
            self.cooperative.iter().any(is_it)
        };
        // a workgroup has four subgroups or more, of a size that only the driver decides; lanes are a power of two on every device
        let lanes = self.subgroup[1] as usize;
        let fits = lanes.is_power_of_two()
            && lanes > 1
            && COOPERATIVE_SUBGROUPS * lanes <= self.group()
            && COOPERATIVE_MEMORY <= self.workgroup_memory;
        [16, 8].into_iter().find(|side| fits && has(side))
    }

    /// The capabilities of a typical graphics card, for tests that plan without running; no such card need be there.
    #[cfg(feature = "testing")]
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
            max_row: GROUP * MOST_HELD,
            max_reduce: [4096, 256],
            max_indices: 1 << 31,
            fuses_product: true,
            reports_late: true,
            workgroup: 1024,
            workgroup_memory: 48 << 10,
            subgroup: [32, 32],
            vector: 16,
            threaded: false,
            cooperative: vec![],
            tiles: Tiles::DEFAULT,
            caches: [0; 3],
            rates: Rates::CARD,
        }
    }

    /// Invocations of a workgroup on a device that allows `most`: a power of two, because a tree halves the lanes at each step.
    pub(crate) fn group_within(most: usize) -> usize {
        let most = mutant!(groups_of_any_size, GROUP, most.clamp(1, GROUP));
        1 << most.ilog2()
    }

    /// Invocations of the workgroups that the device's kernels run in.
    pub(crate) fn group(&self) -> usize {
        Caps::group_within(self.workgroup)
    }
}

/// Capabilities with their number, which stands for them in the key of a plan. Equal capabilities have equal numbers, so their
/// devices share plans.
#[derive(Clone, Debug)]
pub(crate) struct NumberedCaps {
    caps: Caps,
    number: u32,
}

impl NumberedCaps {
    /// Numbers capabilities: equal ones that were seen before in this process pass on their number, others get the next one.
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
