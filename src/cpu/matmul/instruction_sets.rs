//! The kernels of products, compiled for each instruction set and element type, and the tables through which they are
//! called.

use super::dot::{Chains, ChainsFn, chains};
use super::dots::{Dots, dots};
use super::lanes::*;
use super::micro_kernel::{ProductTile, TileFn, tile};
use super::panels::{Lines, ScatteredLines, pack_contiguous, pack_scattered, pack_turned};
use super::plain::{Number, Plain};
#[cfg(cupric_relaxed_simd)]
use super::relaxed::{F32x4, F64x2};
use super::stored::{StoredElement, Unconverted};
use super::sums::{Sums, sums};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::math::simd::{Isa, isa};

/// The functions and sizes that products of one element type use on one instruction set.
pub(super) struct Kernels<T: 'static> {
    /// The maximum number of rows of a tile, which is also the height of a packed panel of the left operand.
    pub rows: usize,
    /// The number of elements of a vector.
    pub width: usize,
    /// The maximum number of vectors in a row of a tile.
    pub vectors: usize,
    /// The kernels that compute tiles. The first index is 1 if the last vector of a row is partial, so that the kernel
    /// masks it. The second index is the number of vectors less 1, and the third the number of rows less 1.
    tiles: [[&'static [TileFn<T>]; 2]; 2],
    /// Packs lines (rows of the left operand or columns of the right one) if the elements of neighbouring lines are
    /// adjacent in memory.
    pub pack_contiguous: unsafe fn(&Lines<T>),
    /// Packs lines (rows of the left operand or columns of the right one) that are each contiguous along k, by
    /// transposing blocks in registers.
    pub pack_turned: unsafe fn(&Lines<T>),
    /// Packs the lines of one panel of a nested operand, whose lines have several strides (see `operands.rs`).
    pub pack_scattered: unsafe fn(&ScatteredLines<'_>, *mut T),
    /// Functions that multiply rows that are contiguous along k with a few columns. Function `i` computes `1 << i`
    /// columns of the result at once. There are as many functions as the number of registers allows, and none for bools,
    /// which are always packed.
    pub dots: &'static [unsafe fn(&Dots<T>)],
    /// Multiplies one row with a matrix whose rows are contiguous; `None` for bools.
    pub sums: Option<unsafe fn(&Sums<T>)>,
    /// Computes the sums of the chains of a dot product of two contiguous vectors (`dot.rs`).
    pub chains: ChainsFn<T>,
    /// The functions that read f16 (the first) and bf16, if the instruction set has them.
    pub halves: &'static [HalfKernels<T>],
}

/// The functions for products with few columns or one row, if the large operand has elements of 2 bytes.
pub(super) struct HalfKernels<T: 'static> {
    pub dots: &'static [unsafe fn(&Dots<T, u16>)],
    pub sums: unsafe fn(&Sums<T, u16>),
}

impl<T> Kernels<T> {
    /// Returns the kernel for tiles of `rows` rows and `cols` columns, at least 1 and at most [`Kernels::rows`] and
    /// [`Kernels::columns`].
    #[inline]
    pub fn tile(&self, rows: usize, cols: usize) -> TileFn<T> {
        let vectors = cols.div_ceil(self.width);
        self.tiles[!cols.is_multiple_of(self.width) as usize][vectors - 1][rows - 1]
    }

    /// Returns the maximum number of columns of a tile.
    pub fn columns(&self) -> usize {
        self.width * self.vectors
    }
}

/// Compiles the kernels of one vector type. `rows` lists the heights of tiles, and `unmasked` states whether tiles of
/// full vectors get their own code without masks. `left` is the number of lines that `pack_turned` packs as a partial
/// vector. `dots` lists the numbers of columns that a matrix · vector kernel computes together. `chains` is the vector
/// type for dot products. With AVX-512, it has 8 lanes of f32 instead of 16, because the processor cannot prefetch from
/// 16 places at once: 8 lanes take 0.6 to 0.9 of the time of 16 (measured).
macro_rules! kernels {
    ($module:ident, $lanes:ty, $element:ty, $([$features:literal])?, rows $most:literal [$($rows:literal)*],
     unmasked $unmasked:literal, vectors $vectors:literal, left $left:literal, dots [$($columns:literal)*], chains $chains:ty
     $(, halves [$($half:ty)*])?) => {
        pub(super) mod $module {
            use super::*;
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set
            /// (*features*), and the columns fill the kernel's vectors (*size*); see [`ProductTile`].
            pub unsafe fn tile_of<const R: usize, const V: usize, const MASKED: bool>(x: &ProductTile<$element>) {
                // SAFETY: the caller ensures the conditions of `tile`.
                unsafe { tile::<$lanes, R, V, MASKED>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
            /// (*features*); see `Lines` in `panels.rs`.
            pub unsafe fn contiguous(x: &Lines<$element>) {
                // SAFETY: the caller ensures the conditions of `pack_contiguous`.
                unsafe { pack_contiguous::<$lanes>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
            /// (*features*); see `Lines` in `panels.rs`.
            pub unsafe fn turned(x: &Lines<$element>) {
                // SAFETY: the caller ensures the conditions of `pack_turned`.
                unsafe { pack_turned::<$lanes, $left>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
            /// (*features*); see `Lines` in `panels.rs`.
            pub unsafe fn scattered(x: &ScatteredLines<'_>, to: *mut $element) {
                // SAFETY: the caller ensures the conditions of `pack_scattered`.
                unsafe { pack_scattered::<$lanes>(x, to) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
            /// (*features*); see [`Dots`].
            #[allow(dead_code, reason = "products of bools have only loops for tiles")]
            pub unsafe fn dots_of<A: StoredElement<$lanes>, const N: usize>(x: &Dots<$element, A::Element>) {
                // SAFETY: the caller ensures the conditions of `dots`.
                unsafe { dots::<$lanes, A, N>(x) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
            /// (*features*); see [`Sums`].
            pub unsafe fn sums_of<B: StoredElement<$lanes>>(x: &Sums<$element, B::Element>) {
                // SAFETY: the caller ensures the conditions of `sums`; the machine has the features of `chains` too.
                unsafe { sums::<$lanes, B>(x, chains_of) }
            }
            $(#[target_feature(enable = $features)])?
            /// # Safety
            /// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
            /// (*features*); see `Chains` in `dot.rs`.
            pub unsafe fn chains_of(x: &Chains<$element>) -> bool {
                // SAFETY: the caller ensures the conditions of `chains`.
                unsafe { chains::<$chains>(x) }
            }
            const COLUMNS: &[usize] = &[$($columns),*];
            pub static KERNELS: Kernels<$element> = Kernels {
                rows: $most,
                width: <$lanes as Register>::WIDTH,
                vectors: $vectors,
                tiles: [
                    [&[$(tile_of::<$rows, 1, { !$unmasked }>),*], &[$(tile_of::<$rows, $vectors, { !$unmasked }>),*]],
                    [&[$(tile_of::<$rows, 1, true>),*], &[$(tile_of::<$rows, $vectors, true>),*]],
                ],
                pack_contiguous: contiguous,
                pack_turned: turned,
                pack_scattered: scattered,
                dots: &[$(dots_of::<Unconverted, $columns>),*],
                sums: match COLUMNS {
                    [] => None,
                    _ => Some(sums_of::<Unconverted>),
                },
                chains: chains_of,
                halves: &[$($(Reading::<$half>::KERNELS),*)?],
            };
            /// Elements of the type `A` in memory.
            #[allow(dead_code, reason = "only products of f32 read elements of another type")]
            struct Reading<A>(A);
            impl<A: StoredElement<$lanes, Element = u16>> Reading<A> {
                #[allow(dead_code, reason = "only products of f32 read elements of another type")]
                const KERNELS: HalfKernels<$element> =
                    HalfKernels { dots: &[$(dots_of::<A, $columns>),*], sums: sums_of::<A> };
            }
        }
    };
}

// AVX-512 has 32 registers: tiles of 12 rows × 2 vectors keep 24 sums and leave 8 registers for operands; a mask costs
// nothing. AVX2 has 16 registers, so its tiles are 6 × 2, and its masked loads are slow. Tiles of integers are smaller,
// because products of integers are rare and each kernel is code to compile.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::stored::{BF16, F16};
    use super::*;
    kernels!(f32x16, F32x16, f32, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 12 [1 2 3 4 5 6 7 8 9 10 11 12],
        unmasked false, vectors 2, left 12, dots [1 2 4 8], chains F32x8, halves [F16 BF16]);
    kernels!(f64x8, F64x8, f64, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 12 [1 2 3 4 5 6 7 8 9 10 11 12],
        unmasked false, vectors 2, left 4, dots [1 2 4 8], chains F64x8);
    kernels!(u32x16, U32x16, u32, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 6 [1 2 3 4 5 6],
        unmasked false, vectors 2, left 6, dots [1], chains U32x16);
    kernels!(u64x8, U64x8, u64, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 6 [1 2 3 4 5 6],
        unmasked false, vectors 2, left 6, dots [1], chains U64x8);
    kernels!(f32x8, F32x8, f32, ["avx2,fma,f16c"], rows 6 [1 2 3 4 5 6], unmasked true, vectors 2, left 6, dots [1 2 4], chains F32x8, halves [F16 BF16]);
    kernels!(f64x4, F64x4, f64, ["avx2,fma"], rows 6 [1 2 3 4 5 6], unmasked true, vectors 2, left 2, dots [1 2 4], chains F64x4);
    kernels!(u32x8, U32x8, u32, ["avx2,fma"], rows 4 [1 2 3 4], unmasked true, vectors 2, left 4, dots [1], chains U32x8);
    kernels!(u64x4, U64x4, u64, ["avx2,fma"], rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [1], chains U64x4);
    kernels!(bool64, Plain<u8, 64>, u8, ["avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"], rows 4 [1 2 3 4],
        unmasked true, vectors 1, left 0, dots [], chains Plain<u8, 64>);
    kernels!(bool32, Plain<u8, 32>, u8, ["avx2,fma"], rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [], chains Plain<u8, 32>);
}
// NEON has 32 registers, as AVX-512 has, but no masks
#[cfg(target_arch = "aarch64")]
mod arm {
    use super::super::neon::*;
    use super::*;
    kernels!(f32x4, F32x4, f32, ["neon"], rows 12 [1 2 3 4 5 6 7 8 9 10 11 12], unmasked true, vectors 2, left 0, dots [1 2 4 8], chains F32x4);
    kernels!(f64x2, F64x2, f64, ["neon"], rows 12 [1 2 3 4 5 6 7 8 9 10 11 12], unmasked true, vectors 2, left 0, dots [1 2 4 8], chains F64x2);
    kernels!(u32x4, U32x4, u32, ["neon"], rows 6 [1 2 3 4 5 6], unmasked true, vectors 2, left 2, dots [1], chains U32x4);
    pub(super) use super::{plain_bool as bool16, plain_u64 as u64x2};
}
#[cfg(not(cupric_relaxed_simd))]
kernels!(plain_f32, Plain<f32, 4>, f32, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [1], chains Plain<f32, 4>);
#[cfg(not(cupric_relaxed_simd))]
kernels!(plain_f64, Plain<f64, 2>, f64, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [1], chains Plain<f64, 2>);
// in WebAssembly, tiles of floats have 4 × 2 vectors: tiles of 6 × 2, which leave few of an engine's 16 registers for
// other values, took 1.4 times as long
#[cfg(cupric_relaxed_simd)]
kernels!(plain_f32, F32x4, f32, , rows 4 [1 2 3 4], unmasked true, vectors 2, left 0, dots [1 2 4], chains F32x4);
#[cfg(cupric_relaxed_simd)]
kernels!(plain_f64, F64x2, f64, , rows 4 [1 2 3 4], unmasked true, vectors 2, left 0, dots [1 2 4], chains F64x2);
kernels!(plain_u32, Plain<u32, 4>, u32, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [1], chains Plain<u32, 4>);
kernels!(plain_u64, Plain<u64, 2>, u64, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [1], chains Plain<u64, 2>);
kernels!(plain_bool, Plain<u8, 16>, u8, , rows 4 [1 2 3 4], unmasked true, vectors 1, left 0, dots [], chains Plain<u8, 16>);

/// An element type that products are computed in.
pub(super) trait ProductElement: Number {
    /// Whether products with few columns or one row convert elements to this type.
    const CONVERTS: bool;
    /// Returns the kernels for the machine's instruction set.
    fn kernels() -> &'static Kernels<Self>;
}

macro_rules! element {
    ($t:ty, $avx512:ident, $avx2:ident, $neon:ident, $plain:ident, $converts:literal) => {
        impl ProductElement for $t {
            const CONVERTS: bool = $converts;
            fn kernels() -> &'static Kernels<$t> {
                #[cfg(target_arch = "x86_64")]
                match isa() {
                    Isa::Avx512 => return &x86::$avx512::KERNELS,
                    Isa::Avx2 => return &x86::$avx2::KERNELS,
                    Isa::Portable | Isa::Neon => {}
                }
                #[cfg(target_arch = "aarch64")]
                if isa() == Isa::Neon {
                    return &arm::$neon::KERNELS;
                }
                &$plain::KERNELS
            }
        }
    };
}
element!(f32, f32x16, f32x8, f32x4, plain_f32, true);
element!(f64, f64x8, f64x4, f64x2, plain_f64, false);
// u32 is used for i32 too, and u64 for i64, because wrapping sums and products have the same bits, signed or not
element!(u32, u32x16, u32x8, u32x4, plain_u32, false);
element!(u64, u64x8, u64x4, u64x2, plain_u64, false);
element!(u8, bool64, bool32, bool16, plain_bool, false);
