//! The tiles of a wide product on a GPU, as data: the shapes that there are, and which one a device takes. No tile changes a bit of a
//! result. Nothing here was chosen on a graphics card: each row of the table says where its tile is from, and
//! `cargo bench --bench tune` finds the one for the adapter at hand.

use std::fmt;

/// What a workgroup of a GPU computes of a wide product, and how its invocations share it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    /// Rows of the result.
    pub rows: u8,
    /// Columns of the result.
    pub columns: u8,
    /// The rows and the columns that one invocation computes, 4 or 8 each.
    pub each: [u8; 2],
    /// Elements along k that are in workgroup memory at once.
    pub depth: u8,
    /// Whether a column of the left operand, or a row of the right one, takes a vector of four elements more of workgroup memory
    /// than it has. Memory is spread over banks; neighbouring invocations that write one element each of as many columns so write to
    /// different banks.
    pub padded: bool,
}

/// The tiles that a device takes, by what it multiplies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tiles {
    /// For f32, and for integers of at most 32 bits.
    pub single: Tile,
    /// For f16 and bf16, which are half as many bytes to load, and are multiplied as f32.
    pub half: Tile,
    /// The fewest of these tiles for which a product takes them, so that no part of the device is idle; products of fewer take
    /// smaller ones. 0, by which a tuner and tests compare tiles: every wide product takes them.
    pub busy: usize,
}

const fn tile(rows: u8, columns: u8, each: [u8; 2], depth: u8) -> Tile {
    Tile { rows, columns, each, depth, padded: true }
}

/// Every tile that a device may take. They are those of published kernels: squares and halves of squares of 32 to 128, of which an
/// invocation computes 16 to 64 elements, as many as its registers hold, from 8 to 32 elements along k.
pub const CANDIDATES: [Tile; 16] = [
    tile(32, 32, [4, 4], 8),
    tile(32, 32, [4, 4], 16),
    tile(64, 64, [4, 4], 16),
    tile(64, 64, [4, 4], 32),
    tile(64, 64, [8, 4], 8),
    tile(64, 64, [8, 4], 16),
    tile(64, 64, [8, 8], 8),
    tile(64, 64, [8, 8], 16),
    tile(128, 64, [8, 4], 16),
    tile(128, 64, [8, 4], 32),
    tile(128, 64, [8, 8], 8),
    tile(128, 64, [8, 8], 16),
    tile(128, 128, [8, 8], 8),
    tile(128, 128, [8, 8], 16),
    tile(128, 128, [8, 8], 32),
    Tile { padded: false, ..tile(128, 128, [8, 8], 16) },
];

/// The tiles of the adapters of a vendor.
#[derive(Clone, Copy, Debug)]
pub struct Vendor {
    /// The vendor's name, or what the row is for.
    pub name: &'static str,
    /// The vendor's number in the registry of PCI; none for software drivers, and for all that have no row of their own.
    pub id: Option<u32>,
    /// What its adapters take.
    pub tiles: Tiles,
    /// Where the choice is from.
    pub source: &'static str,
}

/// The fewest tiles that keep a card busy: about one for each multiprocessor of a large one (132 on an H100).
const BUSY: usize = 128;

/// The fewest for a software driver: two, since a tile with twice the elements of the plain one takes about as long there.
const BUSY_SOFTWARE: usize = 2;

const fn vendor(name: &'static str, id: Option<u32>, tile: Tile, source: &'static str) -> Vendor {
    Vendor { name, id, tiles: Tiles { single: tile, half: tile, busy: BUSY }, source }
}

const OF_SOFTWARE: Tile = tile(128, 64, [8, 8], 16);

const VENDOR_OF_OTHERS: Vendor = vendor(
    "all others",
    None,
    Tile { padded: false, ..tile(128, 128, [8, 8], 16) },
    "no source: the plain default, the largest tile in the 16 KiB that WebGPU promises",
);

/// The table of tiles by vendor.
pub const VENDORS: [Vendor; 6] = [
    vendor(
        "NVIDIA",
        Some(0x10de),
        tile(128, 128, [8, 8], 8),
        "published: CUTLASS's default for products without tensor cores is 128 × 128 × 8, with 64 sums a thread",
    ),
    vendor(
        "AMD",
        Some(0x1002),
        tile(64, 64, [8, 4], 16),
        "published: on AMD llama.cpp's Vulkan backend takes 64 × 64 × 16 by 128 invocations, never 128 × 128",
    ),
    vendor("Intel", Some(0x8086), tile(64, 64, [8, 4], 16), "published: llama.cpp's Vulkan backend, as on AMD"),
    vendor("Apple", Some(0x106b), tile(64, 64, [8, 4], 16), "published: llama.cpp's Vulkan backend, as on AMD"),
    Vendor {
        name: "software drivers",
        id: None,
        tiles: Tiles { single: OF_SOFTWARE, half: OF_SOFTWARE, busy: BUSY_SOFTWARE },
        source: "measured: Mesa's lavapipe 22.3 on two cores takes 0.55 of the plain tile's time",
    },
    VENDOR_OF_OTHERS,
];

/// The row of the table for software drivers.
#[cfg(any(feature = "testing", feature = "gpu"))]
const SOFTWARE: usize = 4;

impl Tile {
    /// The tile of products that are too small for the device's own, and of those with 8-byte elements, of which larger tiles would take
    /// more words than an invocation has registers.
    pub(crate) const PLAIN: Tile = tile(64, 64, [4, 4], 16);
    /// The one that asks least of a device, for those that cannot take [`Tile::PLAIN`].
    pub(crate) const LEAST: Tile = tile(32, 32, [4, 4], 16);

    /// The tile of products that have too few of the device's own.
    pub fn plain() -> Tile {
        Tile::PLAIN
    }

    /// Elements of the result.
    pub fn elements(self) -> usize {
        self.rows as usize * self.columns as usize
    }

    /// Invocations of the workgroup.
    pub fn invocations(self) -> usize {
        self.elements() / (self.each[0] as usize * self.each[1] as usize).max(1)
    }

    /// The vectors of four elements that an invocation fetches of each operand in a step along k. Those of a column, or a row, are a
    /// workgroup's share of neighbours apart.
    #[cfg(any(feature = "testing", feature = "gpu"))]
    pub(crate) fn fetched(self) -> [usize; 2] {
        let neighbours = self.neighbours().max(1);
        [self.rows, self.columns].map(|side| side as usize / 4 / neighbours)
    }

    /// The vectors of a column, or a row, that are fetched at once.
    fn neighbours(self) -> usize {
        self.invocations() / (self.depth as usize).max(1)
    }

    /// Bytes of workgroup memory for elements that take `word` bytes there.
    pub fn memory(self, word: usize) -> usize {
        let padding = if self.padded { 4 } else { 0 };
        self.depth as usize * (self.rows as usize + self.columns as usize + 2 * padding) * word
    }

    /// Returns the tile for elements of `word` bytes on a device with such workgroups, without its padding if only that does not fit.
    /// None if the device cannot take it.
    pub(crate) fn within(self, word: usize, group: usize, memory: usize) -> Option<Tile> {
        let fits = |t: &Tile| t.invocations() <= group && t.memory(word) <= memory;
        [self, Tile { padded: false, ..self }].into_iter().find(fits)
    }

    /// Whether the shader can be written for the tile: invocations share the result, and what is fetched, in equal parts; and chains
    /// of 256 k are whole steps.
    pub(crate) fn is_valid(self) -> bool {
        let [down, across] = self.each;
        let parts = [(self.rows, down), (self.columns, across)];
        let is_shared = parts.iter().all(|(side, each)| matches!(each, 4 | 8) && side % each == 0 && *side > 0);
        let neighbours = if is_shared && matches!(self.depth, 4 | 8 | 16 | 32) { self.neighbours() } else { 0 };
        neighbours > 0
            && (neighbours * self.depth as usize) == self.invocations()
            && self.invocations().is_power_of_two()
            && parts.iter().all(|(side, _)| (*side as usize / 4).is_multiple_of(neighbours))
    }

    /// The tile as bytes, for the file that keeps it.
    #[cfg(any(feature = "testing", feature = "gpu"))]
    pub(crate) fn to_bytes(self) -> [u8; 6] {
        [self.rows, self.columns, self.each[0], self.each[1], self.depth, self.padded as u8]
    }

    /// The tile as one number.
    #[cfg(feature = "gpu")]
    pub(crate) fn word(self) -> u64 {
        self.to_bytes().iter().fold(0, |word, byte| word << 8 | *byte as u64)
    }

    /// The tile of these bytes; none if it is not one of [`CANDIDATES`].
    #[cfg(any(feature = "testing", feature = "gpu"))]
    pub(crate) fn from_bytes(bytes: [u8; 6]) -> Option<Tile> {
        CANDIDATES.into_iter().find(|t| t.to_bytes() == bytes)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, across] = self.each;
        let padded = if self.padded { ", padded" } else { "" };
        write!(f, "{} × {} of {down} × {across} a lane, {} along k{padded}", self.rows, self.columns, self.depth)
    }
}

impl Tiles {
    /// The tiles of an adapter by the table.
    #[cfg(any(feature = "testing", feature = "gpu"))]
    pub(crate) fn of_adapter(vendor: u32, software: bool) -> Tiles {
        let row = match software {
            true => &VENDORS[SOFTWARE],
            false => VENDORS.iter().find(|v| v.id == Some(vendor)).unwrap_or(&VENDOR_OF_OTHERS),
        };
        row.tiles
    }

    /// The tiles where nothing is known of the vendor; those of a device without workgroups mean nothing.
    pub(crate) const DEFAULT: Tiles = VENDOR_OF_OTHERS.tiles;

    /// The tiles with those that a tuner has kept, for f32 and for f16, where the device's limits hold them.
    #[cfg(any(feature = "testing", feature = "gpu"))]
    pub(crate) fn with_kept(self, kept: [Option<Tile>; 2], group: usize, memory: usize) -> Tiles {
        let fits = |t: &Tile| mutant!(kept_tile_taken_unfit, true, t.within(4, group, memory).is_some());
        let [single, half] = kept.map(|tile| tile.filter(fits));
        Tiles { single: single.unwrap_or(self.single), half: half.unwrap_or(self.half), ..self }
    }

    /// Whether a product of so many rows and columns, in a batch, takes a tile that the device would rather have.
    pub(crate) fn takes(&self, tile: Tile, batch: usize, m: usize, n: usize) -> bool {
        let count = batch.saturating_mul(m / tile.rows as usize).saturating_mul(n / tile.columns as usize);
        tile.elements() <= Tile::PLAIN.elements() || count >= self.busy
    }

    /// The tile for a product; `is_half` says whether it is one of f16 or bf16.
    pub(crate) fn of(&self, is_half: bool) -> Tile {
        if is_half { self.half } else { self.single }
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests! {
        caps_tiles: every_tile_has_a_shader, tiles_are_kept_as_bytes, every_vendor_has_a_tile_in_the_least_limits,
        software_and_unknown_adapters_have_rows, kept_tiles_that_do_not_fit_are_ignored
    }

    /// What WebGPU's default limits hold of f32.
    const LEAST: (usize, usize) = (256, 16 << 10);

    fn every_tile_has_a_shader() {
        let all = CANDIDATES.into_iter().chain([Tile::PLAIN, Tile::LEAST]).chain(VENDORS.map(|v| v.tiles.single));
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
        ] {
            assert!(!odd.is_valid(), "{odd:?}");
        }
    }

    fn tiles_are_kept_as_bytes() {
        for (n, t) in CANDIDATES.into_iter().enumerate() {
            assert_eq!(Tile::from_bytes(t.to_bytes()), Some(t));
            assert!(CANDIDATES[..n].iter().all(|other| *other != t), "{t} twice");
        }
        assert_eq!(Tile::from_bytes([64, 64, 4, 4, 16, 2]), None);
        // each row's tile may be kept too, and so compared
        assert!(VENDORS.iter().all(|v| CANDIDATES.contains(&v.tiles.single) && CANDIDATES.contains(&v.tiles.half)));
    }

    fn every_vendor_has_a_tile_in_the_least_limits() {
        for v in VENDORS {
            let (group, memory) = LEAST;
            assert!(v.tiles.single.within(4, group, memory).is_some(), "{}", v.name);
        }
        // as on a card on DX12, where 32 bytes of the 16 KiB are taken, and with 8-byte elements
        assert_eq!(Tile::PLAIN.within(8, 256, 16_352), None);
        assert!(Tile::LEAST.within(8, 64, 16_352).is_some());
    }

    fn software_and_unknown_adapters_have_rows() {
        assert_eq!(VENDORS[SOFTWARE].name, "software drivers");
        assert_eq!(Tiles::of_adapter(0x10de, true), VENDORS[SOFTWARE].tiles);
        assert_eq!(Tiles::of_adapter(0x10de, false), VENDORS[0].tiles);
        assert_eq!(Tiles::of_adapter(0xffff, false), Tiles::DEFAULT);
    }

    fn kept_tiles_that_do_not_fit_are_ignored() {
        let large = tile(128, 128, [8, 8], 32);
        let (group, memory) = LEAST;
        let kept = Tiles::DEFAULT.with_kept([Some(large), Some(CANDIDATES[0])], group, memory);
        assert_eq!((kept.single, kept.half), (Tiles::DEFAULT.single, CANDIDATES[0]));
        assert_eq!(Tiles::DEFAULT.with_kept([Some(large), None], group, 48 << 10).single, large);
        assert_eq!(Tiles::DEFAULT.with_kept([Some(large), None], 128, 48 << 10).single, Tiles::DEFAULT.single);
        assert_eq!(Tiles::DEFAULT.with_kept([None, None], group, memory), Tiles::DEFAULT);
    }
}
