//! The types of elements in memory that the kernels of products with few columns or rows read, and convert to the type
//! of the product.

use super::lanes::{MOST_DEPTH, Register};
#[cfg(target_arch = "x86_64")]
use {
    super::lanes::{F32x8, F32x16, eight_rows, sixteen_rows},
    core::arch::x86_64::*,
};

/// Elements in memory, which are converted to the elements of the vector type `S`.
///
/// The conditions of its unsafe functions are those of [`Register`].
pub(in crate::cpu) trait StoredElement<S: Register>: 'static {
    type Element: Copy;
    /// Whether the elements have another type than those of `S`.
    const CONVERTS: bool;
    fn convert(x: Self::Element) -> S::Element;
    /// # Safety
    /// The CPU has the instruction set of `S` (*features*), and the `WIDTH` elements at `p` are in live memory that
    /// nobody else changes (*inside*, see [`Register`]).
    unsafe fn load(p: *const Self::Element) -> S::Vector;
    /// Loads the lanes that the mask selects, and sets the others to 0.
    ///
    /// # Safety
    /// The CPU has the instruction set of `S` (*features*), and the elements that `mask` selects are in live memory
    /// that nobody else changes (*inside*, see [`Register`]).
    unsafe fn load_masked(p: *const Self::Element, mask: S::Mask) -> S::Vector;
    /// Loads and transposes a block of rows, as [`Register::transposed`] does.
    ///
    /// # Safety
    /// The conditions are the same as those of [`Register::transposed`].
    unsafe fn transposed<const ROWS: usize>(
        p: *const Self::Element,
        step: isize,
        part: [usize; 2],
        out: &mut [S::Vector; MOST_DEPTH],
    );
}

/// Elements that already have the type of the product.
pub(super) struct Unconverted;

impl<S: Register> StoredElement<S> for Unconverted {
    type Element = S::Element;
    const CONVERTS: bool = false;
    #[inline(always)]
    fn convert(x: S::Element) -> S::Element {
        x
    }
    #[inline(always)]
    unsafe fn load(p: *const S::Element) -> S::Vector {
        // SAFETY: the caller ensures the same conditions.
        unsafe { S::load(p) }
    }
    #[inline(always)]
    unsafe fn load_masked(p: *const S::Element, mask: S::Mask) -> S::Vector {
        // SAFETY: the caller ensures the same conditions.
        unsafe { S::load_masked(p, mask) }
    }
    #[inline(always)]
    unsafe fn transposed<const ROWS: usize>(
        p: *const S::Element,
        step: isize,
        part: [usize; 2],
        out: &mut [S::Vector; MOST_DEPTH],
    ) {
        // SAFETY: the caller ensures the same conditions.
        unsafe { S::transposed::<ROWS>(p, step, part, out) }
    }
}

/// f16 in memory, in a product of f32.
#[cfg(target_arch = "x86_64")]
pub(super) struct F16;
/// bf16 in memory, in a product of f32.
#[cfg(target_arch = "x86_64")]
pub(super) struct BF16;

/// Implements [`StoredElement`] for elements of 2 bytes and the vectors of one instruction set. `load` converts a whole
/// vector at an address, and `masked` the lanes of a mask. `transposed` is the macro that transposes rows, with the
/// expression that loads a part of a row.
#[cfg(target_arch = "x86_64")]
macro_rules! stored {
    (
        $stored:ident in $vectors:ident, convert |$x:ident| $convert:expr, load |$p:ident| $load:expr,
        masked |$mp:ident, $mask:ident| $masked:expr, transposed $transpose:ident |$($arg:ident),*| $row:expr
    ) => {
        // SAFETY (of each function): the caller ensures that the CPU has the instruction set (*features*), and that the
        // elements that are read are in live memory (*inside*); see [`Register`].
        impl StoredElement<$vectors> for $stored {
            type Element = u16;
            const CONVERTS: bool = true;
            #[inline(always)]
            fn convert($x: u16) -> f32 {
                $convert
            }
            #[inline(always)]
            unsafe fn load($p: *const u16) -> <$vectors as Register>::Vector {
                // SAFETY: the CPU has the instruction set (*features*), and the elements are in live memory (*inside*).
                unsafe { $load }
            }
            #[inline(always)]
            unsafe fn load_masked(
                $mp: *const u16, $mask: <$vectors as Register>::Mask,
            ) -> <$vectors as Register>::Vector {
                // SAFETY: the CPU has the instruction set (*features*), and lanes outside the mask are not accessed
                // (*inside*).
                unsafe { $masked }
            }
            #[inline(always)]
            unsafe fn transposed<const ROWS: usize>(
                p: *const u16, step: isize, part: [usize; 2], out: &mut [<$vectors as Register>::Vector; MOST_DEPTH],
            ) {
                let _ = part;
                // SAFETY: the CPU has the instruction set (*features*), and only rows below `ROWS` are read, and only
                // their elements inside `part` (*inside*).
                unsafe { $transpose!(p, step, part, out, ROWS, |$($arg),*| $row) }
            }
        }
    };
}

/// Reads the lanes that a mask of AVX2 selects, which has no masked loads of 2 bytes.
///
/// # Safety
/// The machine has AVX2, and the elements that `mask` selects are in live memory that nobody else changes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn first_halves(p: *const u16, mask: __m256i) -> __m128i {
    // SAFETY: the caller ensures that the machine has AVX2, and that the elements exist.
    unsafe {
        let count = _mm256_movemask_ps(_mm256_castsi256_ps(mask)).count_ones() as usize;
        let mut halves = [0u16; 8];
        std::ptr::copy_nonoverlapping(p, halves.as_mut_ptr(), count);
        _mm_loadu_si128(halves.as_ptr().cast())
    }
}

/// Converts bf16 to f32, whose upper half they are.
///
/// # Safety
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn wide_bf16(x: __m256i) -> __m512 {
    // SAFETY: the caller ensures that the machine has the instruction set.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x))) }
}

/// Converts eight bf16 to f32, as `wide_bf16` does.
///
/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn eight_bf16(x: __m128i) -> __m256 {
    // SAFETY: the caller ensures that the machine has the instruction set.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(x))) }
}

#[cfg(target_arch = "x86_64")]
stored! {
    F16 in F32x16, convert |x| half::f16::from_bits(x).to_f32(),
    load |p| _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())),
    masked |p, mask| _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p.cast())),
    transposed sixteen_rows |mask, at| _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at.cast()))
}
#[cfg(target_arch = "x86_64")]
stored! {
    BF16 in F32x16, convert |x| half::bf16::from_bits(x).to_f32(),
    load |p| wide_bf16(_mm256_loadu_si256(p.cast())),
    masked |p, mask| wide_bf16(_mm256_maskz_loadu_epi16(mask, p.cast())),
    transposed sixteen_rows |mask, at| wide_bf16(_mm256_maskz_loadu_epi16(mask, at.cast()))
}
#[cfg(target_arch = "x86_64")]
stored! {
    F16 in F32x8, convert |x| half::f16::from_bits(x).to_f32(),
    load |p| _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
    masked |p, mask| _mm256_cvtph_ps(first_halves(p, mask)),
    transposed eight_rows |at| _mm_cvtph_ps(_mm_loadl_epi64(at.cast()))
}
#[cfg(target_arch = "x86_64")]
stored! {
    BF16 in F32x8, convert |x| half::bf16::from_bits(x).to_f32(),
    load |p| eight_bf16(_mm_loadu_si128(p.cast())),
    masked |p, mask| eight_bf16(first_halves(p, mask)),
    transposed eight_rows |at| _mm_castsi128_ps(_mm_slli_epi32::<16>(_mm_cvtepu16_epi32(_mm_loadl_epi64(at.cast()))))
}
