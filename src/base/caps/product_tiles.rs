//! The tiles of wide matrix products on a GPU, and the table of the tiles for each vendor's devices. A product is wide
//! if its result covers more than an eighth of a 64 × 64 tile. The choice of a tile does not change a bit of a result.
//! Only NVIDIA's tile was chosen by measurements on a graphics card.

use std::fmt;

/// The part of a wide matrix product that a GPU workgroup computes, and how its invocations share that part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    /// Rows of the result.
    pub rows: u8,
    /// Columns of the result.
    pub columns: u8,
    /// The number of matrices of a batch that the tile covers: 1, unless the matrices are small.
    pub matrices: u8,
    /// The rows and the columns that one invocation computes, 4 or 8 each. In tiles of narrow products, an invocation
    /// computes one element (`[1, 1]`).
    pub each: [u8; 2],
    /// The number of elements along k (the summed axis) that workgroup memory holds at a time.
    pub depth: u8,
    /// The number of elements along k that the body of the shader's inner loop multiplies. It divides `depth`. A longer
    /// body needs fewer instructions for the loop, but takes longer to compile.
    pub unrolled: u8,
    /// Whether workgroup memory pads each column of the left operand and each row of the right operand by four
    /// elements. The padding avoids bank conflicts when neighbouring invocations write to neighbouring columns or rows.
    pub padded: bool,
}

/// The part of an f16 product that a GPU workgroup computes by cooperative matrices, which are small products that a
/// subgroup computes as one instruction (`shaders/matmul_cooperative.wgsl`).
///
/// Measured on an H100 with hand-written kernels for a product of 4,096 × 4,096 × 4,096: 144 TFLOP/s with small tiles,
/// 218 TFLOP/s with large ones, and less if subgroups computed other blocks. With large tiles, a kernel took 613
/// µs. It took 359 µs if it stored nothing in workgroup memory, and 388 µs without the products. The library's kernel takes
/// 671 µs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CooperativeTile {
    /// The side of the small matrices that a subgroup multiplies as one operation: 8 or 16.
    pub side: u8,
    /// The number of rows of the tile, equal to its number of columns: [`CooperativeTile::SMALL`] or
    /// [`CooperativeTile::LARGE`].
    pub tile: u8,
}

impl CooperativeTile {
    pub const SMALL: u8 = 64;
    pub const LARGE: u8 = 128;

    /// Returns the number of rows and of columns of the result that one subgroup computes.
    pub fn block(self) -> [usize; 2] {
        [self.tile as usize / 2, 32]
    }

    /// Returns the number of subgroups that share the tile.
    pub fn count(self) -> usize {
        let [rows, columns] = self.block();
        (self.tile as usize / rows) * (self.tile as usize / columns)
    }

    /// Returns the number of elements along k (the summed axis) that workgroup memory holds at a time. On an H100, a
    /// hand-written kernel with small tiles took 21.4 µs with 32 and 18.9 µs with 64 for a product of 1,024 × 1,024 × 1,024.
    pub fn depth(self) -> usize {
        64
    }

    /// Returns the total size of one factor in workgroup memory, and the distance between the starts of two
    /// neighbouring lines, in elements. A line has the elements of one row or column if `along_k` is true, otherwise
    /// the elements with the same index along k. The distance is eight more than a line's length, so that the rows of a
    /// small matrix begin in different banks.
    pub fn halves(self, along_k: bool) -> [usize; 2] {
        let [length, count] = if along_k { [self.depth(), self.tile.into()] } else { [self.tile.into(), self.depth()] };
        [(length + 8) * count, length + 8]
    }

    /// Returns the maximum number of bytes of workgroup memory that the kernel uses: for two factors in f16, and for
    /// one small f32 matrix of each subgroup, with rows padded by four elements.
    pub fn memory(self) -> usize {
        let side = self.side as usize;
        2 * 2 * self.halves(true)[0] + 4 * self.count() * side * (side + 4)
    }
}

/// The tiles of matrix products on a device, by the element type of the product.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tiles {
    /// The tile for products of f32, and of integers of at most 32 bits.
    pub single: Tile,
    /// The tile for products of f16 and bf16, whose elements are multiplied as f32.
    pub half: Tile,
    /// The tile for products that are too small for the tiles above.
    pub plain: Tile,
    /// The minimum number of `single` or `half` tiles in a product that uses them. Smaller products use smaller tiles,
    /// so that no part of the device is idle. With 0, which tests use, every wide product uses these tiles.
    pub busy: usize,
    /// The length of k from which on `busy` tiles are enough. A product of a shorter k needs more tiles in proportion, so
    /// that the loads at the start of a tile and the stores at its end are a small part of the work.
    pub long: usize,
}

const fn tile(rows: u8, columns: u8, each: [u8; 2], depth: u8) -> Tile {
    Tile { rows, columns, matrices: 1, each, depth, unrolled: 4, padded: true }
}

/// The tiles for the GPUs of one vendor.
#[derive(Clone, Copy, Debug)]
pub struct Vendor {
    /// The name of the vendor, or of a group of devices such as software drivers.
    pub name: &'static str,
    /// The PCI vendor ID, or `None` for software drivers and for the entry for all other vendors.
    pub id: Option<u32>,
    /// The tiles that the vendor's devices use.
    pub tiles: Tiles,
    /// Why these tiles were chosen, such as a measurement or another project that uses them.
    pub source: &'static str,
}

/// The minimum number of tiles that keeps a card busy: about one for each multiprocessor of a large card (132 on an
/// H100).
const BUSY: usize = 128;

/// The minimum number of tiles for a software driver, on which a tile with twice the elements of [`Tile::PLAIN`] takes
/// about as long as the plain tile.
const BUSY_SOFTWARE: usize = 2;

const fn vendor(name: &'static str, id: Option<u32>, tile: Tile, source: &'static str) -> Vendor {
    Vendor { name, id, tiles: Tiles { single: tile, half: tile, plain: Tile::PLAIN, busy: BUSY, long: 0 }, source }
}

const OF_NVIDIA: Tile = Tile { unrolled: 16, ..tile(128, 64, [8, 8], 16) };

const OF_SOFTWARE: Tile = tile(128, 64, [8, 8], 16);

const VENDOR_OF_OTHERS: Vendor = vendor(
    "all others",
    None,
    tile(128, 64, [8, 4], 16),
    "counted: the largest tile with 32 sums a lane in the 16 KiB and the 256 invocations that WebGPU promises",
);

/// The table of tiles of wide matrix products, by vendor.
pub const VENDORS: [Vendor; 6] = [
    Vendor {
        name: "NVIDIA",
        id: Some(0x10de),
        tiles: Tiles {
            single: OF_NVIDIA,
            half: OF_NVIDIA,
            plain: Tile { unrolled: 16, ..tile(64, 64, [8, 4], 16) },
            busy: BUSY,
            long: 1024,
        },
        source: "measured: on an H100, 4,096³ in f32 takes 3.2 ms; hand-written, 128 × 128 takes 3.4 ms, and with 4 steps in the loop's body 3.9 ms",
    },
    vendor(
        "AMD",
        Some(0x1002),
        tile(64, 64, [8, 4], 16),
        "published: on AMD llama.cpp's Vulkan backend takes 64 × 64 × 16 by 128 invocations, never 128 × 128",
    ),
    vendor("Intel", Some(0x8086), tile(64, 64, [8, 4], 16), "published: llama.cpp's Vulkan backend, as on AMD"),
    vendor(
        "Apple",
        Some(0x106b),
        Tile::PLAIN,
        "counted: with 8 × 4 sums a lane, Mesa's compiler for an M1 spills registers, and 384 threads fit; with 4 × 4, 640 fit",
    ),
    Vendor {
        name: "software drivers",
        id: None,
        tiles: Tiles { single: OF_SOFTWARE, half: OF_SOFTWARE, plain: Tile::PLAIN, busy: BUSY_SOFTWARE, long: 0 },
        source: "measured: Mesa's lavapipe 22.3 on two cores takes 0.55 of the plain tile's time",
    },
    VENDOR_OF_OTHERS,
];

/// The index in [`VENDORS`] of the entry for software drivers.
#[cfg(any(feature = "testing", feature = "gpu"))]
const SOFTWARE: usize = 4;

impl Tile {
    /// The tile of products that are too small for the device's own tile, and of all products with 8-byte elements. For
    /// larger tiles of 8-byte elements, an invocation has too few registers.
    pub(crate) const PLAIN: Tile = tile(64, 64, [4, 4], 16);
    /// The tile that needs the fewest resources, for devices that cannot use [`Tile::PLAIN`].
    pub(crate) const LEAST: Tile = tile(32, 32, [4, 4], 16);

    /// Returns the tile of products that are too small for the device's own tile.
    pub fn plain() -> Tile {
        Tile::PLAIN
    }

    /// Returns the tile of narrow products of `batch` matrices of `m × n` elements. Each of `lanes` invocations
    /// computes one element. If a matrix has fewer elements than there are invocations, the tile covers several
    /// matrices. The numbers of rows and columns are powers of two.
    pub(crate) fn narrow(batch: usize, [m, n]: [usize; 2], lanes: usize, depth: u8) -> Tile {
        let short = m.min(n).next_power_of_two().min(lanes);
        let rest = lanes / short;
        let long = if batch > 1 { m.max(n).next_power_of_two().min(rest) } else { rest };
        let (rows, columns) = if n <= m { (long, short) } else { (short, long) };
        let [rows, columns, matrices] = [rows, columns, rest / long].map(|count| count as u8);
        Tile { rows, columns, matrices, each: [1, 1], depth, unrolled: depth, padded: true }
    }

    /// Returns the number of elements that the tile covers in one matrix of the result.
    pub fn elements(self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// Returns the number of invocations of the workgroup that computes the tile.
    pub fn invocations(self) -> usize {
        self.matrices as usize * self.elements() / (self.each[0] as usize * self.each[1] as usize).max(1)
    }

    /// Returns how many vectors of four elements an invocation loads from each of the two operands in one step along k
    /// (the summed axis).
    #[cfg(any(feature = "testing", feature = "gpu"))]
    pub(crate) fn fetched(self) -> [usize; 2] {
        let vectors = |side: u8| side as usize * self.matrices as usize * self.depth as usize / 4;
        [self.rows, self.columns].map(|side| vectors(side).div_ceil(self.invocations().max(1)))
    }

    /// Returns how many vectors of one column of the left operand, or of one row of the right operand, are loaded at
    /// the same time.
    fn neighbours(self) -> usize {
        self.invocations() / (self.depth as usize).max(1)
    }

    /// Returns the size in bytes of the workgroup memory that the tile uses, for elements of `word` bytes.
    pub fn memory(self, word: usize) -> usize {
        let depth = self.depth as usize;
        let of = |side: u8| match self.each {
            // pad each row or column by one element, so that it begins in another memory bank than the previous one
            [1, 1] => side as usize * self.matrices as usize * (depth + 1),
            _ => depth * (side as usize + if self.padded { 4 } else { 0 }),
        };
        // each operand's part of the memory begins at a multiple of 16 bytes
        [self.rows, self.columns].map(|side| (of(side) * word).next_multiple_of(16)).iter().sum()
    }

    /// Returns the tile if a device with `group` invocations per workgroup and `memory` bytes of workgroup memory can
    /// use it for elements of `word` bytes. If it fits only without padding, returns it without padding. Returns `None`
    /// if the device cannot use it.
    pub(crate) fn within(self, word: usize, group: usize, memory: usize) -> Option<Tile> {
        let fits = |t: &Tile| t.invocations() <= group && t.memory(word) <= memory;
        [self, Tile { padded: false, ..self }].into_iter().find(fits)
    }

    /// Returns whether a shader can be generated for the tile. The invocations must share the result and the loaded
    /// elements equally, and 256 elements along k (the summed axis) must be a whole number of steps of `depth`
    /// elements.
    pub(crate) fn is_valid(self) -> bool {
        let [down, across] = self.each;
        if self.each == [1, 1] {
            let parts = [self.rows, self.columns, self.matrices];
            return parts.iter().all(|part| part.is_power_of_two()) && matches!(self.depth, 4 | 8 | 16 | 32);
        }
        let parts = [(self.rows, down), (self.columns, across)];
        let is_shared = parts.iter().all(|(side, each)| matches!(each, 4 | 8) && side % each == 0 && *side > 0);
        let neighbours = if is_shared && matches!(self.depth, 4 | 8 | 16 | 32) { self.neighbours() } else { 0 };
        neighbours > 0
            && self.unrolled > 0
            && self.depth.is_multiple_of(self.unrolled)
            && (neighbours * self.depth as usize) == self.invocations()
            && self.invocations().is_power_of_two()
            && parts.iter().all(|(side, _)| (*side as usize / 4).is_multiple_of(neighbours))
    }

    /// Returns the tile packed into one number, one byte for each field.
    #[cfg(feature = "gpu")]
    pub(crate) fn word(self) -> u64 {
        let Tile { rows, columns, matrices, each: [down, across], depth, unrolled, padded } = self;
        let bytes = [rows, columns, matrices, down, across, depth, unrolled, padded as u8];
        bytes.iter().fold(0, |word, byte| word << 8 | *byte as u64)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, across] = self.each;
        if self.each == [1, 1] {
            let of = if self.matrices > 1 { format!(" of {} matrices", self.matrices) } else { String::new() };
            return write!(f, "{} × {}{of}, an element a lane, {} along k", self.rows, self.columns, self.depth);
        }
        let padded = if self.padded { ", padded" } else { "" };
        write!(f, "{} × {} of {down} × {across} a lane, {} along k{padded}", self.rows, self.columns, self.depth)
    }
}

impl Tiles {
    /// Returns the tiles of a GPU, given its PCI vendor ID, or of a software driver.
    #[cfg(any(feature = "testing", feature = "gpu"))]
    pub(crate) fn of_adapter(vendor: u32, software: bool) -> Tiles {
        let row = match software {
            true => &VENDORS[SOFTWARE],
            false => VENDORS.iter().find(|v| v.id == Some(vendor)).unwrap_or(&VENDOR_OF_OTHERS),
        };
        row.tiles
    }

    /// The tiles for an unknown vendor. A CPU also has them, but does not use them.
    pub(crate) const DEFAULT: Tiles = VENDOR_OF_OTHERS.tiles;

    /// Returns whether a product of `batch` matrices of `m × n` elements uses `tile`, the device's preferred tile, or is
    /// too small for it. Each element of the product is a sum of `k` products.
    pub(crate) fn takes(&self, tile: Tile, batch: usize, [m, n, k]: [usize; 3]) -> bool {
        let count = batch.saturating_mul(m / tile.rows as usize).saturating_mul(n / tile.columns as usize);
        let is_busy = count >= self.busy && count.saturating_mul(k) >= self.busy.saturating_mul(self.long);
        tile.elements() <= Tile::PLAIN.elements() || is_busy
    }

    /// Returns the preferred tile for a product. `is_half` is true for products of f16 or bf16.
    pub(crate) fn of(&self, is_half: bool) -> Tile {
        if is_half { self.half } else { self.single }
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests! {
        caps_tiles: every_tile_has_a_shader, every_vendor_has_a_tile_in_the_least_limits,
        software_and_unknown_adapters_have_rows, a_short_product_needs_more_of_the_large_tiles
    }

    /// WebGPU's default limits: invocations per workgroup, and bytes of workgroup memory.
    const LEAST: (usize, usize) = (256, 16 << 10);

    fn every_tile_has_a_shader() {
        let all = [Tile::PLAIN, Tile::LEAST].into_iter().chain(VENDORS.map(|v| v.tiles.single));
        let all = all.chain(VENDORS.map(|v| v.tiles.plain));
        for t in all {
            assert!(t.is_valid(), "{t}");
            assert!(t.invocations() <= 256 && t.memory(4) <= 40 << 10, "{t}");
            let [a, b] = t.fetched();
            let fetched = 4 * t.invocations() * (a + b);
            assert_eq!(fetched, t.depth as usize * (t.rows as usize + t.columns as usize), "{t}");
        }
        for odd in [
            Tile { rows: 72, ..Tile::PLAIN },
            Tile { rows: 0, ..Tile::PLAIN },
            Tile { depth: 0, ..Tile::PLAIN },
            Tile { depth: 12, ..Tile::PLAIN },
            Tile { depth: 8, ..Tile::PLAIN },
            Tile { each: [4, 16], ..Tile::PLAIN },
            Tile { each: [4, 0], ..Tile::PLAIN },
            Tile { unrolled: 3, ..Tile::PLAIN },
        ] {
            assert!(!odd.is_valid(), "{odd:?}");
        }
    }

    fn every_vendor_has_a_tile_in_the_least_limits() {
        for v in VENDORS {
            let (group, memory) = LEAST;
            assert!(v.tiles.single.within(4, group, memory).is_some(), "{}", v.name);
        }
        // a DX12 device reserves 32 of the 16 KiB of workgroup memory, so the plain tile with 8-byte elements does not
        // fit
        assert_eq!(Tile::PLAIN.within(8, 256, 16_352), None);
        assert!(Tile::LEAST.within(8, 64, 16_352).is_some());
    }

    fn a_short_product_needs_more_of_the_large_tiles() {
        let tiles = Tiles::of_adapter(0x10de, false);
        let takes = |batch, shape| tiles.takes(tiles.single, batch, shape);
        assert!(takes(1, [1024, 1024, 1024]) && takes(1, [4096, 4096, 64]));
        assert!(!takes(64, [128, 128, 128]) && !takes(1, [512, 512, 4096]));
        // other vendors' tiles have no such limit
        let tiles = Tiles::of_adapter(0, true);
        assert!(tiles.takes(tiles.single, 1, [256, 64, 4]));
    }

    fn software_and_unknown_adapters_have_rows() {
        assert_eq!(VENDORS[SOFTWARE].name, "software drivers");
        assert_eq!(Tiles::of_adapter(0x10de, true), VENDORS[SOFTWARE].tiles);
        assert_eq!(Tiles::of_adapter(0x10de, false), VENDORS[0].tiles);
        assert_eq!(Tiles::of_adapter(0xffff, false), Tiles::DEFAULT);
    }
}
