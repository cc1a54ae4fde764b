//! The micro-kernels of products: each computes one small tile of the result in registers, over one chain of k. This is where the
//! order of additions is decided, the same for every schedule:
//!
//! An element of a product is the sum of *chains*. A chain takes [`CHAIN`] neighbouring k, the last one what is left: from +0,
//! it adds each product by one fused multiply-add, in the order of k. The sums of the chains are added in order. So the bits
//! of an element follow from its row, its column and the element type alone.

use super::lanes::*;
use super::pack::{Lines, pack_contiguous, pack_turned};
use super::vector::{Dots, Sums, dots, sums};
#[cfg(target_arch = "x86_64")]
use crate::simd::{Isa, isa};

/// How many neighbouring k a chain has. Another number gives other bits. Measured: half as many cost up to 5 % of speed, twice
/// as many double the worst rounding error of long products.
pub(super) const CHAIN: usize = 256;

/// A tile of the result, and the parts of the operands over one chain that it is computed from. Strides are in elements.
///
/// The conditions of its kernels, cited by name. *Inside*: the rows × `k` elements of `a`, the `k` × `cols` of `b` (full vectors
/// of them for a kernel without a mask) and the rows × `cols` of `c` lie in live memory; nobody writes those of `a` and `b`,
/// and nobody else uses those of `c`. *Features*: the machine has the instruction set of the kernel. *Size*: `cols` needs all
/// the kernel's vectors, and fills them if it has no mask.
pub(super) struct Tile<T> {
    pub k: usize,
    pub a: *const T,
    pub a_row: isize,
    pub a_step: isize,
    pub b: *const T,
    pub b_step: isize,
    pub c: *mut T,
    pub c_row: isize,
    pub cols: usize,
    /// Whether this is not the first chain, so that its sums are added to what is there.
    pub adds: bool,
}

/// Computes one tile.
///
/// # Safety
/// *Inside*, *features* and *size* ([`Tile`]).
pub(super) type TileFn<T> = unsafe fn(&Tile<T>);

/// Adds one k to the sums of a tile.
///
/// # Safety
/// *Inside*, *features* and *size* ([`Tile`]), for this k.
#[inline(always)]
unsafe fn step<S: Lanes, const R: usize, const V: usize, const MASKED: bool>(
    a: *const S::Element,
    a_row: isize,
    b: *const S::Element,
    mask: S::Mask,
    sums: &mut [[S::Vector; V]; R],
) {
    // SAFETY: *inside* and *features*: rows are below `R`, columns below `cols`.
    unsafe {
        let mut right = [S::zero(); V];
        for j in 0..V {
            let p = b.add(j * S::WIDTH);
            right[j] = if MASKED && j + 1 == V { S::load_masked(p, mask) } else { S::load(p) };
        }
        // addresses of rows are made of few registers: one for each four rows, and the stride times 1, 2 and 3
        let (twice, thrice) = (2 * a_row, 3 * a_row);
        for i in 0..R {
            let four = a.wrapping_offset((i / 4) as isize * 4 * a_row);
            let p = match i % 4 {
                0 => four,
                1 => four.wrapping_offset(a_row),
                2 => four.wrapping_offset(twice),
                _ => four.wrapping_offset(thrice),
            };
            let left = S::splat(*p);
            for j in 0..V {
                sums[i][j] = S::multiply_add(left, right[j], sums[i][j]);
            }
        }
    }
}

/// Computes a tile of `R` rows and `V` vectors, the last of which has a mask where `MASKED`.
///
/// # Safety
/// *Inside*, *features* and *size* ([`Tile`]).
#[inline(always)]
unsafe fn tile<S: Lanes, const R: usize, const V: usize, const MASKED: bool>(x: &Tile<S::Element>) {
    // SAFETY: *inside*, *features* and *size*: every index is below `R`, `cols` and `k`.
    unsafe {
        let mask = S::mask(x.cols - (V - 1) * S::WIDTH);
        if x.k >= 64 {
            // the result is needed only at the end, and by then it is in the first-level cache
            for i in 0..R {
                let row = x.c.wrapping_offset(i as isize * x.c_row);
                for j in 0..V {
                    prefetch(row.wrapping_add(j * S::WIDTH));
                }
            }
        }
        let mut sums = [[S::zero(); V]; R];
        let (mut a, mut b) = (x.a, x.b);
        for _ in 0..x.k {
            step::<S, R, V, MASKED>(a, x.a_row, b, mask, &mut sums);
            a = a.wrapping_offset(x.a_step);
            b = b.wrapping_offset(x.b_step);
        }
        for i in 0..R {
            let row = x.c.offset(i as isize * x.c_row);
            for j in 0..V {
                let p = row.add(j * S::WIDTH);
                let is_masked = MASKED && j + 1 == V;
                if x.adds {
                    let before = if is_masked { S::load_masked(p, mask) } else { S::load(p) };
                    sums[i][j] = S::add(before, sums[i][j]);
                }
                if is_masked { S::store_masked(p, mask, sums[i][j]) } else { S::store(p, sums[i][j]) }
            }
        }
    }
}

/// Asks the processor to bring a cache line near. Any address is allowed.
#[inline(always)]
pub(super) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of every x86-64, and a prefetch touches no memory.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(p as *const i8)
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Everything that products of one element type run on one instruction set.
pub(super) struct Kernels<T: 'static> {
    /// The most rows of a tile.
    pub rows: usize,
    /// The elements of a vector.
    pub width: usize,
    /// The most vectors of a row of a tile.
    pub vectors: usize,
    /// Tiles without and with a mask, by vectors - 1, then by rows - 1.
    tiles: [[&'static [TileFn<T>]; 2]; 2],
    /// Packs lines whose neighbours are contiguous, and lines that are contiguous along k.
    pub pack_contiguous: unsafe fn(&Lines<T>),
    pub pack_turned: unsafe fn(&Lines<T>),
    /// Products of rows that are contiguous along k with 1, 2, 4 and 8 columns, as far as there are enough registers.
    pub dots: &'static [unsafe fn(&Dots<T>)],
    /// The product of one row with a matrix whose rows are contiguous.
    pub sums: unsafe fn(&Sums<T>),
}

impl<T> Kernels<T> {
    /// Returns the kernel for tiles of so many rows and columns, at least 1 and at most [`Kernels::rows`] and
    /// [`Kernels::columns`].
    #[inline]
    pub fn tile(&self, rows: usize, cols: usize) -> TileFn<T> {
        let vectors = cols.div_ceil(self.width);
        self.tiles[(cols % self.width != 0) as usize][vectors - 1][rows - 1]
    }

    /// The most columns of a tile.
    pub fn columns(&self) -> usize {
        self.width * self.vectors
    }
}

/// Compiles the kernels of one vector type: the rows that tiles may have, whether unmasked tiles have code of their own, how
/// many rows are left beyond whole vectors where a panel of full height is packed.
macro_rules! kernels {
    ($module:ident, $lanes:ty, $element:ty, $([$features:literal])?, rows $most:literal [$($rows:literal)*],
     unmasked $unmasked:literal, vectors $vectors:literal, left $left:literal, dots [$($columns:literal)*]) => {
        pub(super) mod $module {
            use super::*;
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// *Inside*, *features* and *size* ([`Tile`]).
            pub unsafe fn tile_of<const R: usize, const V: usize, const MASKED: bool>(x: &Tile<$element>) {
                // SAFETY: the caller ensures what `tile` asks for.
                unsafe { tile::<$lanes, R, V, MASKED>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// *Inside* and *features* (`pack.rs`).
            pub unsafe fn contiguous(x: &Lines<$element>) {
                // SAFETY: the caller ensures what `pack_contiguous` asks for.
                unsafe { pack_contiguous::<$lanes>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// *Inside* and *features* (`pack.rs`).
            pub unsafe fn turned(x: &Lines<$element>) {
                // SAFETY: the caller ensures what `pack_turned` asks for.
                unsafe { pack_turned::<$lanes, $left>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// *Inside* and *features* (`vector.rs`).
            pub unsafe fn dots_of<const N: usize>(x: &Dots<$element>) {
                // SAFETY: the caller ensures what `dots` asks for.
                unsafe { dots::<$lanes, N>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// *Inside* and *features* (`vector.rs`).
            pub unsafe fn sums_of(x: &Sums<$element>) {
                // SAFETY: the caller ensures what `sums` asks for.
                unsafe { sums::<$lanes>(x) }
            }
            pub static KERNELS: Kernels<$element> = Kernels {
                rows: $most,
                width: <$lanes as Lanes>::WIDTH,
                vectors: $vectors,
                tiles: [
                    [&[$(tile_of::<$rows, 1, { !$unmasked }>),*], &[$(tile_of::<$rows, $vectors, { !$unmasked }>),*]],
                    [&[$(tile_of::<$rows, 1, true>),*], &[$(tile_of::<$rows, $vectors, true>),*]],
                ],
                pack_contiguous: contiguous,
                pack_turned: turned,
                dots: &[$(dots_of::<$columns>),*],
                sums: sums_of,
            };
        }
    };
}

// AVX-512: 12 rows × 2 vectors are 24 sums, which leaves 8 registers for operands; a mask costs nothing. AVX2 has 16 registers:
// 6 × 2 sums, and its masked loads are slow. Tiles of integers are smaller, to save code
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    kernels!(f32x16, F32x16, f32, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 12 [1 2 3 4 5 6 7 8 9 10 11 12],
        unmasked false, vectors 2, left 12, dots [1 2 4 8]);
    kernels!(f64x8, F64x8, f64, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 12 [1 2 3 4 5 6 7 8 9 10 11 12],
        unmasked false, vectors 2, left 4, dots [1 2 4 8]);
    kernels!(u32x16, U32x16, u32, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 6 [1 2 3 4 5 6],
        unmasked false, vectors 2, left 6, dots [1]);
    kernels!(u64x8, U64x8, u64, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 6 [1 2 3 4 5 6],
        unmasked false, vectors 2, left 6, dots [1]);
    kernels!(f32x8, F32x8, f32, ["avx2,fma"], rows 6 [1 2 3 4 5 6], unmasked true, vectors 2, left 6, dots [1 2 4]);
    kernels!(f64x4, F64x4, f64, ["avx2,fma"], rows 6 [1 2 3 4 5 6], unmasked true, vectors 2, left 2, dots [1 2 4]);
    kernels!(u32x8, U32x8, u32, ["avx2,fma"], rows 4 [1 2 3 4], unmasked true, vectors 2, left 4, dots [1]);
    kernels!(u64x4, U64x4, u64, ["avx2,fma"], rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [1]);
    kernels!(bool64, Plain<u8, 64>, u8, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 4 [1 2 3 4],
        unmasked true, vectors 1, left 0, dots []);
    kernels!(bool32, Plain<u8, 32>, u8, ["avx2,fma"], rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots []);
}
kernels!(plain_f32, Plain<f32, 4>, f32, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots []);
kernels!(plain_f64, Plain<f64, 2>, f64, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots []);
kernels!(plain_u32, Plain<u32, 4>, u32, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots []);
kernels!(plain_u64, Plain<u64, 2>, u64, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots []);
kernels!(plain_bool, Plain<u8, 16>, u8, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots []);

/// An element type that products are computed in.
pub(super) trait Element: Number {
    /// Returns the kernels for the machine's instruction set.
    fn kernels() -> &'static Kernels<Self>;
}

macro_rules! element {
    ($t:ty, $avx512:ident, $avx2:ident, $plain:ident) => {
        impl Element for $t {
            fn kernels() -> &'static Kernels<$t> {
                #[cfg(target_arch = "x86_64")]
                match isa() {
                    Isa::Avx512 => return &x86::$avx512::KERNELS,
                    Isa::Avx2 => return &x86::$avx2::KERNELS,
                    Isa::Portable => {}
                }
                &$plain::KERNELS
            }
        }
    };
}
element!(f32, f32x16, f32x8, plain_f32);
element!(f64, f64x8, f64x4, plain_f64);
// i32 too, as u64 serves i64: wrapping sums and products have the same bits, signed or not
element!(u32, u32x16, u32x8, plain_u32);
element!(u64, u64x8, u64x4, plain_u64);
element!(u8, bool64, bool32, plain_bool);
