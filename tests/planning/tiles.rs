//! Tiles of wide products on a GPU: results have the same bits with any tile, and each tile handles every layout.

use crate::kit::*;
use cupric::DType::*;
use cupric::testing::{Tile, Tiles, VENDORS, gpu_with_tiles};
use cupric::*;

/// The first GPU with a tile that every wide product uses, if that gives at least `busy` tiles.
fn with(tile: Tile, busy: usize) -> Device {
    gpu_with_tiles(Tiles { single: tile, half: tile, plain: Tile::plain(), busy, long: 0 }).unwrap()
}

/// Whole numbers from −8 to 8. Sums of their products are exact in every type of more than 8 bits.
fn whole(seed: u64, shape: &[usize], dtype: DType) -> Array {
    Rng::new(seed).integers(-8, 9, shape, I32).astype(dtype).eval().unwrap()
}

fn uniform(seed: u64, shape: &[usize], dtype: DType) -> Array {
    (Rng::new(seed).uniform(shape, F32) * 2.0 - 1.0).astype(dtype).eval().unwrap()
}

fn on(a: &Array, d: &Device) -> Array {
    a.to_device(d).unwrap()
}

/// Batch, m, k and n: sides that are not multiples of a tile's, one and several steps along k, several chains, a batch.
const SIZES: [[usize; 4]; 5] =
    [[1, 70, 7, 67], [3, 33, 40, 36], [1, 130, 300, 129], [2, 64, 256, 64], [1, 20, 530, 260]];

/// The product of a size. `layout` numbers the operands' layouts: contiguous, transposed or reversed, for each operand.
fn product(d: &Device, a: &Array, b: &Array, layout: usize) -> Expr {
    let turned = |e: &Array| on(e, d).swapaxes(1, 2).eval().unwrap().swapaxes(1, 2);
    let backward = |e: &Array| on(e, d).flip(..).eval().unwrap().flip(..);
    let laid_out = |e: &Array, how: usize| match how {
        0 => on(e, d).slice(s![..]),
        1 => turned(e),
        _ => backward(e),
    };
    laid_out(a, layout % 3).matmul(laid_out(b, layout / 3 % 3))
}

/// The bits of the products of all sizes, each with another layout.
fn bits(d: &Device, dtype: DType, operand: fn(u64, &[usize], DType) -> Array) -> Vec<Vec<u64>> {
    let one = |(n, [batch, m, k, columns]): (usize, [usize; 4])| {
        let a = operand(n as u64, &[batch, m, k], dtype);
        let b = operand(n as u64 + 100, &[batch, k, columns], dtype);
        // in turn: both contiguous, left transposed, right transposed, both, right transposed and left reversed
        read(&product(d, &a, &b, [0, 1, 3, 4, 5][n])).unwrap()
    };
    SIZES.into_iter().enumerate().map(one).collect()
}

fn types(d: &Device) -> Vec<DType> {
    [F32, F16, I32, U8, I64, F64].into_iter().filter(|t| has(d, *t)).collect()
}

/// The tiles of all vendors, and the plain one with and without its padding.
fn tiles() -> Vec<Tile> {
    let mut all = VENDORS.map(|v| v.tiles.single).to_vec();
    all.extend([Tile::plain(), Tile { padded: false, ..Tile::plain() }]);
    all
}

/// Whether to test tile `n` with type `i`: each tile with f32 and one other type in turn, because a software driver
/// takes a second or more to compile each shader; all pairs with `CUPRIC_FULL=1`.
fn in_turn(n: usize, i: usize) -> bool {
    i == 0 || n % 5 + 1 == i || crate::kit::takes_all()
}

#[test]
fn every_tile_gives_the_same_bits() {
    let Some(d) = gpu(3) else { return };
    let want: Vec<_> = types(&d).iter().map(|t| [bits(&Device::cpu(), *t, whole), bits(&d, *t, uniform)]).collect();
    for (n, tile) in tiles().into_iter().enumerate() {
        let tuned = with(tile, 0);
        for (i, (dtype, [exact, rounded])) in types(&d).into_iter().zip(&want).enumerate() {
            if !in_turn(n, i) {
                continue;
            }
            assert_eq!(bits(&tuned, dtype, whole), *exact, "{dtype} by {tile}");
            assert_eq!(bits(&tuned, dtype, uniform), *rounded, "{dtype} by {tile}");
        }
    }
}

#[test]
fn every_tile_computes_an_epilogue() {
    if gpu(3).is_none() {
        return;
    }
    let layer = |d: &Device, dtype: DType| {
        let (a, b) = (on(&whole(1, &[100, 300], dtype), d), on(&whole(2, &[300, 97], dtype), d));
        let bias = on(&whole(3, &[97], dtype), d);
        let layer = (a.matmul(&b) + &bias).maximum(0);
        let plan = layer.plan().unwrap();
        // 8-bit operands are converted by a kernel before the product
        assert!(plan.kernels() == 1 || dtype == U8 || !d.is_gpu(), "{plan}");
        read(&layer).unwrap()
    };
    let types = [F32, F16, U8];
    let want = types.map(|t| layer(&Device::cpu(), t));
    for (n, tile) in tiles().into_iter().enumerate() {
        let tuned = with(tile, 0);
        for (i, (dtype, want)) in types.into_iter().zip(&want).enumerate() {
            // one type for each tile, in turn
            if n % 3 != i {
                continue;
            }
            assert!(layer(&tuned, dtype) == *want, "{dtype} by {tile}");
        }
    }
}

#[test]
fn shaders_of_two_tiles_are_two() {
    if gpu(3).is_none() {
        return;
    }
    let large = tiles().into_iter().max_by_key(|t| t.elements()).unwrap();
    let d = with(large, 2);
    // only the second product uses the device's tile. Both are large (`LARGE` in `src/plan/schedule/groups.rs`) and
    // their rows are whole vectors, so that their schedules do not differ otherwise
    for n in [72, 400] {
        let (a, b) = (whole(1, &[n, 60], I32), whole(2, &[60, n], I32));
        let product = on(&a, &d).matmul(on(&b, &d));
        let is_large = product.plan().unwrap().to_string().contains(&format!("tiles {large}"));
        assert_eq!(is_large, n == 400, "{large}");
        assert_eq!(read(&product).unwrap(), read(&a.matmul(&b)).unwrap(), "{n}");
    }
}
