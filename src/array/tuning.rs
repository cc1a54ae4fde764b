//! The tiles of wide products on a GPU, for `cargo bench --bench tune`, which finds the best for the adapter at hand and keeps
//! it on disk, and for tests. It is no part of the interface for users: a device that is opened takes what is kept by itself, and no
//! tile changes a bit of a result.

pub use crate::base::caps::tiles::{CANDIDATES, Tile, Tiles, VENDORS, Vendor};

use crate::array::device::Device;
use crate::base::error::Result;

/// Returns the tiles that a device takes; none on a CPU.
pub fn tiles(device: &Device) -> Option<Tiles> {
    device.is_gpu().then(|| device.backend().caps().tiles)
}

/// Returns the candidates that a GPU's limits hold, for elements that take four bytes in workgroup memory.
pub fn candidates(device: &Device) -> Vec<Tile> {
    let caps = device.backend().caps();
    let fits = |t: &Tile| t.within(4, caps.group(), caps.workgroup_memory) == Some(*t);
    CANDIDATES.into_iter().filter(|t| device.is_gpu() && fits(t)).collect()
}

/// Says whether products of f16 run by cooperative matrices, which take no tile.
pub fn has_cooperative_matrices(device: &Device) -> bool {
    device.is_gpu() && device.backend().caps().cooperative_side().is_some()
}

/// Says whether a product of `m` rows and `n` columns takes a tile on a device that has it; else it takes [`Tile::plain`].
pub fn takes(tiles: &Tiles, tile: Tile, m: usize, n: usize) -> bool {
    tiles.takes(tile, 1, m, n)
}

/// Opens another device on the same hardware, with these tiles.
///
/// # Errors
/// Those of opening a device; that the device is no GPU.
pub fn with_tiles(device: &Device, tiles: Tiles) -> Result<Device> {
    device.with_tiles(tiles)
}

/// Returns what is kept on disk for a GPU, for f32 and for f16; none where there is no cache on disk.
pub fn kept(device: &Device) -> Option<[Option<Tile>; 2]> {
    device.backend().kept_tiles()
}

/// Keeps tiles for f32 and for f16 on disk, or forgets them: devices on the same adapter that are opened later take them. Says whether
/// the disk has them now.
pub fn keep(device: &Device, tiles: [Option<Tile>; 2]) -> bool {
    device.backend().keep_tiles(tiles)
}
