//! The capabilities of a device, as plain data. The planner uses them to decide how an operation runs.

pub(crate) mod product_tiles;

use product_tiles::{CooperativeTile, Tiles};
use std::sync::Mutex;

/// The capabilities of a device. The planner knows nothing else about a device, so devices with equal capabilities
/// share plans.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Caps {
    /// The name of the device, for messages and printed plans.
    pub name: String,
    /// Whether the device runs kernels and routines (operations such as a sort) as WGSL shaders. Otherwise it runs Rust
    /// functions.
    pub wgsl: bool,
    /// Whether the device has i64 and u64 instructions. Without them, kernels compute with pairs of 32-bit words.
    pub int64: bool,
    /// Whether the device supports f64.
    pub float64: bool,
    /// How shaders convert f16 to and from f32.
    pub half: Half,
    /// Whether and how division and square roots use WGSL's `fma`.
    pub fma: MultiplyAdd,
    /// The maximum number of bytes that one operand of one dispatch may span.
    pub max_binding: u64,
    /// The maximum size of a buffer, in bytes.
    pub max_buffer: u64,
    /// The maximum number of buffers that one dispatch binds, counting loads and stores.
    pub max_bindings: usize,
    /// The maximum number of values (results of loads, constants and functions) in one kernel.
    pub max_values: usize,
    /// The maximum compile cost of one kernel, in units of one addition (`Ufunc::compile_cost`). The planner splits a
    /// larger kernel by storing an intermediate result, which rounds f16 and bf16 values.
    pub max_cost: u32,
    /// The maximum length of a row (the elements along the reduced axes) in a row kernel, which passes over a row
    /// several times and holds it meanwhile.
    pub max_row: usize,
    /// The maximum number of elements that one kernel reduces to one result. A longer reduction is split into partial
    /// results. The first number is for kernels whose lanes (invocations of a workgroup) run along the reduced axes,
    /// the second for lanes along the kept axes. `usize::MAX` means that reductions are never split.
    pub max_reduce: [usize; 2],
    /// The maximum number of indices along a kernel's kept axes (the axes that are not reduced) that one dispatch
    /// covers.
    pub max_indices: u64,
    /// Whether the kernel of a matrix product also converts its operands and computes the epilogue (elementwise work on
    /// the result). Otherwise separate kernels do this.
    pub fuses_product: bool,
    /// Whether an out-of-bounds index is reported only after the run, when the target may be partly written (true on a
    /// GPU). If false, a kernel checks all indices before it writes.
    pub reports_late: bool,
    /// Whether a workgroup skips a branch that none of its invocations takes. False for a software driver, which
    /// computes all branches.
    pub skips_branches: bool,
    /// The maximum number of invocations of a workgroup. It is 0 on a CPU, where threads run tiles instead.
    pub workgroup: usize,
    /// Bytes of workgroup memory, which the invocations of a workgroup share.
    pub workgroup_memory: usize,
    /// The minimum and the maximum number of lanes of a subgroup, a group of invocations that exchange values without
    /// memory. It is `[1, 1]` on a device without subgroups.
    pub subgroup: [u32; 2],
    /// The width in bytes of the widest vector that one instruction loads or computes with.
    pub vector: usize,
    /// Whether the device is a CPU with code that keeps the values of an elementwise kernel in registers
    /// (`math/simd/threaded/mod.rs`).
    pub threaded: bool,
    /// The small matrix products that a subgroup computes as one instruction.
    pub cooperative: Vec<Cooperative>,
    /// The tiles of wide matrix products on a GPU: see `base/caps/product_tiles.rs`.
    pub tiles: Tiles,
    /// The sizes in bytes of a core's L1 cache, of its L2 cache, and of the last-level cache. 0 means unknown, as on
    /// every GPU.
    pub caches: [usize; 3],
    /// The assumed speed of the device, by which the planner compares plans.
    pub rates: Rates,
}

/// How shaders convert f16 to and from f32. All choices give the same results, except for the payloads of NaN. A
/// *probe*, a shader that tests the device's arithmetic, determines which choices are correct on the device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Half {
    /// The operation that widens f16 to f32.
    pub widens: WidenHalf,
    /// The operation that rounds f32 to f16.
    pub narrows: NarrowHalf,
}

/// The operation that widens f16 to f32.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WidenHalf {
    /// Integer operations, which every device computes alike.
    Integers,
    /// The function `unpack2x16float`, which is correct on this device: it keeps subnormals and the signs of NaN.
    Unpack,
    /// The function `unpack2x16float`, with an integer operation for the sign, because on this device the function
    /// loses the sign of a NaN.
    Signed,
}

/// The operation that rounds f32 to f16, to nearest with ties to even.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NarrowHalf {
    /// Integer operations, which every device computes alike.
    Integers,
    /// The function `pack2x16float`, which rounds correctly on this device.
    Pack,
    /// A conversion to WGSL's type `f16`, which rounds correctly on this device.
    Native,
}

/// How WGSL's `fma` (a multiplication and an addition) rounds on a device, as a test of its arithmetic has found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MultiplyAdd {
    /// `fma` may round the product before the addition, so kernels do not use it.
    Separate,
    /// `fma` rounds only once, after the addition, so kernels use it.
    Fused,
    /// Kernels compute `fma` with f64 operations, as if it rounded only once. Tests choose this on software drivers,
    /// whose own `fma` rounds twice.
    InF64,
}

impl Half {
    /// Conversions by integer operations, which are correct on every device.
    pub const INTEGERS: Half = Half { widens: WidenHalf::Integers, narrows: NarrowHalf::Integers };
    /// Conversions by the hardware, as on a CPU and on common graphics cards.
    pub const HARDWARE: Half = Half { widens: WidenHalf::Unpack, narrows: NarrowHalf::Native };
}

impl std::fmt::Display for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let narrows = match self.narrows {
            NarrowHalf::Integers => "integers",
            NarrowHalf::Pack => "pack2x16float",
            NarrowHalf::Native => "the type f16",
        };
        let widens = match self.widens {
            WidenHalf::Integers => "integers",
            WidenHalf::Unpack => "unpack2x16float",
            WidenHalf::Signed => "unpack2x16float and a sign",
        };
        write!(f, "widened by {widens}, narrowed by {narrows}")
    }
}

/// The rates of the planner's time model (`plan/price.rs`), by which it compares computing a value twice with storing
/// it and reading it again. They are estimates for a kind of device and not measured, so that two machines of a kind
/// get the same plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rates {
    /// Bytes of main memory that are read or written per nanosecond.
    pub bytes: u32,
    /// Additions in an elementwise kernel per nanosecond, over all threads.
    pub additions: u32,
    /// Multiply-adds of a matrix product per nanosecond.
    pub multiply_adds: u32,
    /// The overhead of a dispatch in nanoseconds.
    pub dispatch: u32,
    /// The minimum number of elements for which the model counts the time of each value of a kernel. Short loops take
    /// longer per element, because calling a loop takes time.
    pub least: u32,
}

impl Rates {
    /// The rates of a CPU with two cores that copy 50 GB/s. Writing an f32 element once and reading it twice takes as
    /// long as about seven additions. So an `exp`, which costs eight, is stored if two kernels need it.
    pub const CPU: Rates = Rates { bytes: 50, additions: 30, multiply_adds: 200, dispatch: 150, least: 256 };
    /// The rates of a graphics card. Relative to memory, arithmetic is much cheaper than on a CPU, and a dispatch is
    /// much more expensive.
    pub const CARD: Rates = Rates { bytes: 2_000, additions: 8_000, multiply_adds: 16_000, dispatch: 2_000, least: 1 };
}

/// A small matrix product (m × k by k × n) that a subgroup computes as one instruction.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Cooperative {
    /// The sizes `[m, n, k]`.
    pub shape: [u32; 3],
    /// The element types of the factors and of the sum, by their WGSL names.
    pub types: [String; 2],
}

/// What the driver of a graphics card reports about the card. Tests use this to make plans and shaders on machines
/// without the card.
#[cfg(feature = "testing")]
#[derive(Clone, Debug)]
pub struct Card {
    /// The name of the card.
    pub name: String,
    /// The PCI vendor ID.
    pub vendor: u32,
    /// The names of the supported features in wgpu, such as `SHADER_F16`.
    pub features: Vec<String>,
    /// The limits of the card, with their names in wgpu. Limits that are not listed are the defaults of WebGPU.
    pub limits: Vec<(String, u64)>,
    /// The minimum and the maximum number of lanes of a subgroup.
    pub subgroup: [u32; 2],
    /// The small matrix products that a subgroup computes as one instruction.
    pub cooperative: Vec<Cooperative>,
}

/// Restrictions that a test puts on a GPU. Lower limits make the planner split even small arrays. The flags allow or
/// forbid 64-bit integers, the clock, and features beyond WebGPU's defaults.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "only a GPU has such limits"))]
pub(crate) struct Shrink {
    pub max_binding: u64,
    pub max_groups: u32,
    pub int64: bool,
    /// The conversions of f16 to use, or `None` for the conversions that a test of the device's arithmetic has found
    /// correct. If this is set, kernels do not use `fma`.
    pub half: Option<Half>,
    pub clock: bool,
    /// Whether kernels compute `fma` with f64 operations ([`MultiplyAdd::InF64`]).
    pub fma_in_f64: bool,
    /// Whether to request only WebGPU's default limits and no optional feature from the driver, so that wgpu enforces
    /// these limits.
    pub webgpu: bool,
    /// The tiles of wide matrix products, or `None` for the tiles of the device's vendor.
    pub tiles: Option<Tiles>,
    /// Whether a software driver counts as a device that skips branches ([`Caps::skips_branches`]).
    pub skips_branches: bool,
}

#[cfg(any(feature = "gpu", feature = "testing"))]
impl Shrink {
    /// No restriction. Tests start from this value and change some fields.
    pub const NONE: Shrink = Shrink {
        max_binding: u64::MAX,
        max_groups: u32::MAX,
        int64: true,
        half: None,
        clock: true,
        fma_in_f64: false,
        webgpu: false,
        tiles: None,
        skips_branches: false,
    };

    /// Returns whether any field other than `tiles` and `skips_branches` restricts the device.
    #[cfg(feature = "gpu")]
    pub fn is_below(&self) -> bool {
        let whole = (self.max_binding, self.max_groups) == (u64::MAX, u32::MAX);
        !(whole && self.int64 && self.half.is_none() && self.clock) || self.webgpu || self.fma_in_f64
    }
}

/// The number of invocations of a workgroup, unless a device allows fewer: the maximum that WebGPU's default limits
/// guarantee. Changing it changes the order in which a reduction adds, and so the bits of results.
const GROUP: usize = 256;

/// The maximum number of elements that one invocation of a row kernel holds in registers, so that registers are not
/// spilled to memory. Chosen by hand; no benchmark compares other values.
pub(crate) const MOST_HELD: usize = 64;

impl Caps {
    /// Returns the tile that a workgroup computes for a product of `batch` matrices of `m × n` elements, by cooperative
    /// matrices: small products of f16 with f32 sums that a subgroup computes as one instruction. Returns `None` if the
    /// device has none of side 16 or 8, if the kernel does not fit the device, or if the result has a single column, because
    /// all other columns of the tile would be empty.
    pub(crate) fn blocks(&self, batch: usize, m: usize, n: usize) -> Option<CooperativeTile> {
        if n == 1 {
            return None;
        }
        let has = |side: u8| {
            let is_it = |c: &Cooperative| c.shape == [u32::from(side); 3] && c.types[0] == "f16" && c.types[1] == "f32";
            self.cooperative.iter().any(is_it)
        };
        let side = [16, 8].into_iter().find(|side| has(*side))?;
        // The driver decides the size of a subgroup, so the workgroup must have enough invocations for the maximum
        // size. The size is a power of two on every device.
        let lanes = self.subgroup[1] as usize;
        let fits = |b: &CooperativeTile| b.count() * lanes <= self.group() && b.memory() <= self.workgroup_memory;
        let is_busy = |b: &CooperativeTile| {
            let count = batch.saturating_mul(m / b.tile as usize).saturating_mul(n / b.tile as usize);
            b.tile == CooperativeTile::SMALL || count >= self.tiles.busy
        };
        let all = [CooperativeTile::LARGE, CooperativeTile::SMALL].map(|tile| CooperativeTile { side, tile });
        all.into_iter().find(|b| lanes.is_power_of_two() && lanes > 1 && fits(b) && is_busy(b))
    }

    /// Returns whether products of f16 use cooperative matrices (small products that a subgroup computes as one
    /// instruction).
    #[cfg(feature = "gpu")]
    pub(crate) fn has_blocks(&self) -> bool {
        self.blocks(1, 1, 2).is_some()
    }

    /// Returns the capabilities of a typical graphics card. Tests use them to plan on machines without such a card.
    #[cfg(feature = "testing")]
    pub(crate) fn card(name: &str) -> Caps {
        Caps {
            name: name.to_string(),
            wgsl: true,
            int64: true,
            float64: true,
            half: Half::HARDWARE,
            fma: MultiplyAdd::Fused,
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
            skips_branches: true,
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

    /// Returns the workgroup size on a device that allows `most` invocations per workgroup. It is a power of two,
    /// because a reduction halves the number of partial results at each step.
    pub(crate) fn group_within(most: usize) -> usize {
        let most = mutant!(groups_of_any_size, GROUP, most.clamp(1, GROUP));
        1 << most.ilog2()
    }

    /// Returns the number of invocations per workgroup with which the device's kernels run.
    pub(crate) fn group(&self) -> usize {
        Caps::group_within(self.workgroup)
    }
}

/// Capabilities with a number that represents them in the keys of cached plans. Equal capabilities have equal numbers,
/// so their devices share plans.
#[derive(Clone, Debug)]
pub(crate) struct NumberedCaps {
    caps: Caps,
    number: u32,
}

impl NumberedCaps {
    /// Assigns a number to capabilities. Capabilities that this process has seen before get the same number again.
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
