//! Vector registers of each instruction set, as the kernels of products see them. Everything here is inlined into
//! functions that enable the instruction set (`#[target_feature]`), so each instruction set has its own copy of a
//! kernel. If a call were not inlined, it would take a hundred times as long.

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

/// The maximum number of vectors that [`Register::transposed`] writes.
pub(in crate::cpu) const MOST_DEPTH: usize = 16;

/// A vector register of `WIDTH` elements.
///
/// Its unsafe functions have two conditions, cited by name. *Features*: the machine has the instruction set of the
/// type, and the function is inlined into one that enables it. *Inside*: all elements that the function names are in
/// live memory; nobody writes the elements that are read, and nobody else uses the elements that are written. Addresses
/// need no more alignment than the element type requires.
pub(in crate::cpu) trait Register: Copy + 'static {
    type Element: Copy + Default + Send + Sync + 'static;
    type Vector: Copy;
    /// Selects how many lanes of a vector, from the first on, are loaded or stored.
    type Mask: Copy;
    const WIDTH: usize;
    /// The number of elements of each row that [`Register::transposed`] reads.
    const DEPTH: usize;
    /// Whether [`Register::transposed`] can read fewer than `DEPTH` elements of each row. If so, `DEPTH` elements fill
    /// a cache line.
    const PARTS: bool = false;

    /// # Safety
    /// The CPU has the instruction set of this type (*features*, see [`Register`]).
    unsafe fn zero() -> Self::Vector;
    /// # Safety
    /// The CPU has the instruction set of this type (*features*, see [`Register`]).
    unsafe fn splat(x: Self::Element) -> Self::Vector;
    /// # Safety
    /// The CPU has the instruction set of this type (*features*), and the `WIDTH` elements at `p` are in live memory
    /// that nobody else changes (*inside*, see [`Register`]).
    unsafe fn load(p: *const Self::Element) -> Self::Vector;
    /// # Safety
    /// The CPU has the instruction set of this type (*features*), and the `WIDTH` elements at `p` are in live memory
    /// that nobody else changes (*inside*, see [`Register`]).
    unsafe fn store(p: *mut Self::Element, v: Self::Vector);
    /// Returns the mask of the first `n` lanes; `n` is at most `WIDTH`.
    ///
    /// # Safety
    /// The CPU has the instruction set of this type (*features*, see [`Register`]).
    unsafe fn mask(n: usize) -> Self::Mask;
    /// Loads the lanes that the mask selects, and sets the others to 0.
    ///
    /// # Safety
    /// The CPU has the instruction set of this type (*features*), and the elements that `mask` selects are in live
    /// memory that nobody else changes (*inside*, see [`Register`]).
    unsafe fn load_masked(p: *const Self::Element, mask: Self::Mask) -> Self::Vector;
    /// # Safety
    /// The CPU has the instruction set of this type (*features*), and the elements that `mask` selects are in live
    /// memory that nobody else changes (*inside*, see [`Register`]).
    unsafe fn store_masked(p: *mut Self::Element, mask: Self::Mask, v: Self::Vector);
    /// Returns `a · b + c`. Floats are rounded once, integers wrap, and for bools `·` is *and* and `+` is *or*.
    ///
    /// # Safety
    /// The CPU has the instruction set of this type (*features*, see [`Register`]).
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// # Safety
    /// The CPU has the instruction set of this type (*features*, see [`Register`]).
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Loads a block of `ROWS` rows, which begin `step` elements apart in memory, and transposes it: lane i of `out[k]`
    /// becomes element k of row i. Only elements `part[0]..part[1]` of each row are loaded. If [`Register::PARTS`] is
    /// false, this range must be `0..DEPTH`. If `ROWS` is less than `WIDTH`, the remaining lanes are 0.
    ///
    /// # Safety
    /// The CPU has the instruction set of this type (*features*), and these elements are in live memory that nobody
    /// else changes (*inside*, see [`Register`]).
    unsafe fn transposed<const ROWS: usize>(
        p: *const Self::Element,
        step: isize,
        part: [usize; 2],
        out: &mut [Self::Vector; MOST_DEPTH],
    );
}

/// Tells [`Register::transposed`] to load as many rows as a vector has lanes.
pub(in crate::cpu) const ALL_ROWS: usize = usize::MAX;

/// Returns how many elements of each row are read at a time: as many as a cache line holds, but at least `DEPTH`.
#[inline(always)]
pub(super) fn line<S: Register>() -> usize {
    (64 / size_of::<S::Element>()).max(S::DEPTH)
}

/// Prefetches a cache line. Any address is allowed.
#[inline(always)]
pub(super) fn prefetch<T>(p: *const T) {
    crate::math::simd::prefetch(p);
}

/// Implements [`Register`] for an x86 vector type by its intrinsics.
#[cfg(target_arch = "x86_64")]
macro_rules! lanes {
    (
        $(#[$doc:meta])* $name:ident, $element:ty, $vector:ty, $mask:ty, width $width:literal, depth $depth:literal,
        zero $zero:expr, splat |$x:ident| $splat:expr, load |$p:ident| $load:expr, store |$q:ident, $v:ident| $store:expr,
        mask |$n:ident| $make:expr,
        load_masked |$lp:ident, $lm:ident| $loadm:expr, store_masked |$sp:ident, $sm:ident, $sv:ident| $storem:expr,
        multiply_add |$a:ident, $b:ident, $c:ident| $fma:expr, add |$d:ident, $e:ident| $add:expr,
        parts $parts:literal, transposed |$tp:ident, $ts:ident, $part:ident, $out:ident, $rows:ident| $transposed:block
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(in crate::cpu) struct $name;
        // SAFETY (of each function): the caller ensures that the CPU has the instruction set (*features*), and that the
        // elements that are read or written are in live memory (*inside*); see [`Register`].
        #[allow(unused_unsafe)]
        impl Register for $name {
            type Element = $element;
            type Vector = $vector;
            type Mask = $mask;
            const WIDTH: usize = $width;
            const DEPTH: usize = $depth;
            const PARTS: bool = $parts;
            #[inline(always)]
            unsafe fn zero() -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $zero }
            }
            #[inline(always)]
            unsafe fn splat($x: $element) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $splat }
            }
            #[inline(always)]
            unsafe fn load($p: *const $element) -> $vector {
                // SAFETY: the CPU has the instruction set (*features*), and the elements are in live memory (*inside*).
                unsafe { $load }
            }
            #[inline(always)]
            unsafe fn store($q: *mut $element, $v: $vector) {
                // SAFETY: the CPU has the instruction set (*features*), and the elements are in live memory (*inside*).
                unsafe { $store }
            }
            #[inline(always)]
            unsafe fn mask($n: usize) -> $mask {
                // SAFETY: the CPU has the instruction set (*features*); the tables of masks have twice as many entries
                // as a vector has lanes.
                unsafe { $make }
            }
            #[inline(always)]
            unsafe fn load_masked($lp: *const $element, $lm: $mask) -> $vector {
                // SAFETY: the CPU has the instruction set (*features*), and lanes outside the mask are not accessed
                // (*inside*).
                unsafe { $loadm }
            }
            #[inline(always)]
            unsafe fn store_masked($sp: *mut $element, $sm: $mask, $sv: $vector) {
                // SAFETY: the CPU has the instruction set (*features*), and lanes outside the mask are not accessed
                // (*inside*).
                unsafe { $storem }
            }
            #[inline(always)]
            unsafe fn multiply_add($a: $vector, $b: $vector, $c: $vector) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $fma }
            }
            #[inline(always)]
            unsafe fn add($d: $vector, $e: $vector) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $add }
            }
            #[inline(always)]
            unsafe fn transposed<const $rows: usize>(
                $tp: *const $element, $ts: isize, $part: [usize; 2], $out: &mut [$vector; MOST_DEPTH],
            ) {
                // SAFETY: the CPU has the instruction set (*features*), and only rows below `ROWS` are read, and only
                // their elements inside `part` (*inside*).
                unsafe { $transposed }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
static FIRST_OF_8: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
#[cfg(target_arch = "x86_64")]
static FIRST_OF_4: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// Transposes 16 rows × 16 f32 into `$out`. `$load` loads the elements of a row, from address `$at` on, that `$mask`
/// selects. Rows from `$rows` on, and elements outside `$part`, are zeros. Each row is
/// read by a single load, because a cache can hold only a few lines whose addresses are a power of two apart. Rows are
/// loaded and interleaved in groups of four, so that everything stays in registers.
#[cfg(target_arch = "x86_64")]
macro_rules! sixteen_rows {
    ($p:ident, $step:ident, $part:ident, $out:ident, $rows:ident, |$mask:ident, $at:ident| $load:expr) => {{
        let $mask = ((1u32 << $part[1]) - (1u32 << $part[0])) as __mmask16;
        let mut t = [_mm512_setzero_ps(); 16];
        for e in 0..4 {
            let mut rows = [_mm512_setzero_ps(); 4];
            for i in 0..4 {
                if 4 * e + i < $rows {
                    let $at = $p.wrapping_offset((4 * e + i) as isize * $step);
                    rows[i] = $load;
                }
            }
            let (t0, t1) = (_mm512_unpacklo_ps(rows[0], rows[1]), _mm512_unpackhi_ps(rows[0], rows[1]));
            let (t2, t3) = (_mm512_unpacklo_ps(rows[2], rows[3]), _mm512_unpackhi_ps(rows[2], rows[3]));
            // quarter q of t[4 e + j] has element 4 q + j of the four rows of group e
            t[4 * e] = _mm512_shuffle_ps::<0x44>(t0, t2);
            t[4 * e + 1] = _mm512_shuffle_ps::<0xee>(t0, t2);
            t[4 * e + 2] = _mm512_shuffle_ps::<0x44>(t1, t3);
            t[4 * e + 3] = _mm512_shuffle_ps::<0xee>(t1, t3);
        }
        for j in 0..4 {
            let (even, odd) =
                (_mm512_shuffle_f32x4::<0x88>(t[j], t[4 + j]), _mm512_shuffle_f32x4::<0xdd>(t[j], t[4 + j]));
            let (t2, t3) = (t[8 + j], t[12 + j]);
            let (even_high, odd_high) = (_mm512_shuffle_f32x4::<0x88>(t2, t3), _mm512_shuffle_f32x4::<0xdd>(t2, t3));
            $out[j] = _mm512_shuffle_f32x4::<0x88>(even, even_high);
            $out[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd, odd_high);
            $out[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even, even_high);
            $out[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_high);
        }
    }};
}

#[cfg(target_arch = "x86_64")]
pub(super) use sixteen_rows;

/// Transposes 8 rows × 8 f64 into `$out`, as `sixteen_rows` does.
#[cfg(target_arch = "x86_64")]
macro_rules! eight_wide_rows {
    ($p:ident, $step:ident, $part:ident, $out:ident, $rows:ident) => {{
        let mask = ((1u32 << $part[1]) - (1u32 << $part[0])) as __mmask8;
        let mut t = [_mm512_setzero_pd(); 8];
        for e in 0..4 {
            let mut rows = [_mm512_setzero_pd(); 2];
            for i in 0..2 {
                if 2 * e + i < $rows {
                    rows[i] = _mm512_maskz_loadu_pd(mask, $p.wrapping_offset((2 * e + i) as isize * $step));
                }
            }
            // quarter q of t[2 e + j] has element 2 q + j of the two rows of pair e
            t[2 * e] = _mm512_unpacklo_pd(rows[0], rows[1]);
            t[2 * e + 1] = _mm512_unpackhi_pd(rows[0], rows[1]);
        }
        for j in 0..2 {
            let (even, odd) =
                (_mm512_shuffle_f64x2::<0x88>(t[j], t[2 + j]), _mm512_shuffle_f64x2::<0xdd>(t[j], t[2 + j]));
            let (t2, t3) = (t[4 + j], t[6 + j]);
            let (even_high, odd_high) = (_mm512_shuffle_f64x2::<0x88>(t2, t3), _mm512_shuffle_f64x2::<0xdd>(t2, t3));
            $out[j] = _mm512_shuffle_f64x2::<0x88>(even, even_high);
            $out[2 + j] = _mm512_shuffle_f64x2::<0x88>(odd, odd_high);
            $out[4 + j] = _mm512_shuffle_f64x2::<0xdd>(even, even_high);
            $out[6 + j] = _mm512_shuffle_f64x2::<0xdd>(odd, odd_high);
        }
    }};
}

/// Transposes 8 rows × 4 f32 into `$out`. `$load` loads four elements of a row, from address `$at` on.
#[cfg(target_arch = "x86_64")]
macro_rules! eight_rows {
    ($p:ident, $step:ident, $part:ident, $out:ident, $rows:ident, |$at:ident| $load:expr) => {{
        let mut v = [_mm256_setzero_ps(); 4];
        for q in 0..4 {
            let mut x = _mm256_setzero_ps();
            if q < $rows {
                let $at = $p.wrapping_offset(q as isize * $step);
                x = _mm256_zextps128_ps256($load);
            }
            if q + 4 < $rows {
                let $at = $p.wrapping_offset((q + 4) as isize * $step);
                x = _mm256_insertf128_ps::<1>(x, $load);
            }
            v[q] = x;
        }
        let (t0, t1) = (_mm256_unpacklo_ps(v[0], v[1]), _mm256_unpackhi_ps(v[0], v[1]));
        let (t2, t3) = (_mm256_unpacklo_ps(v[2], v[3]), _mm256_unpackhi_ps(v[2], v[3]));
        $out[0] = _mm256_shuffle_ps::<0x44>(t0, t2);
        $out[1] = _mm256_shuffle_ps::<0xee>(t0, t2);
        $out[2] = _mm256_shuffle_ps::<0x44>(t1, t3);
        $out[3] = _mm256_shuffle_ps::<0xee>(t1, t3);
    }};
}

#[cfg(target_arch = "x86_64")]
pub(super) use eight_rows;

/// Transposes 4 rows × 2 f64 into `$out`.
#[cfg(target_arch = "x86_64")]
macro_rules! four_wide_rows {
    ($p:ident, $step:ident, $out:ident, $rows:ident) => {{
        let mut v = [_mm256_setzero_pd(); 2];
        for q in 0..2 {
            let mut x = _mm256_setzero_pd();
            if q < $rows {
                x = _mm256_zextpd128_pd256(_mm_loadu_pd($p.wrapping_offset(q as isize * $step)));
            }
            if q + 2 < $rows {
                x = _mm256_insertf128_pd::<1>(x, _mm_loadu_pd($p.wrapping_offset((q + 2) as isize * $step)));
            }
            v[q] = x;
        }
        $out[0] = _mm256_unpacklo_pd(v[0], v[1]);
        $out[1] = _mm256_unpackhi_pd(v[0], v[1]);
    }};
}

#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of 16 f32 in one register of AVX-512.
    F32x16, f32, __m512, __mmask16, width 16, depth 16,
    zero _mm512_setzero_ps(), splat |x| _mm512_set1_ps(x),
    load |p| _mm512_loadu_ps(p), store |p, v| _mm512_storeu_ps(p, v),
    mask |n| ((1u32 << n) - 1) as __mmask16,
    load_masked |p, m| _mm512_maskz_loadu_ps(m, p), store_masked |p, m, v| _mm512_mask_storeu_ps(p, m, v),
    multiply_add |a, b, c| _mm512_fmadd_ps(a, b, c), add |a, b| _mm512_add_ps(a, b),
    parts true, transposed |p, step, part, out, ROWS| {
        sixteen_rows!(p, step, part, out, ROWS, |mask, at| _mm512_maskz_loadu_ps(mask, at))
    }
}
#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of eight f64 in one register of AVX-512.
    F64x8, f64, __m512d, __mmask8, width 8, depth 8,
    zero _mm512_setzero_pd(), splat |x| _mm512_set1_pd(x),
    load |p| _mm512_loadu_pd(p), store |p, v| _mm512_storeu_pd(p, v),
    mask |n| ((1u32 << n) - 1) as __mmask8,
    load_masked |p, m| _mm512_maskz_loadu_pd(m, p), store_masked |p, m, v| _mm512_mask_storeu_pd(p, m, v),
    multiply_add |a, b, c| _mm512_fmadd_pd(a, b, c), add |a, b| _mm512_add_pd(a, b),
    parts true, transposed |p, step, part, out, ROWS| { eight_wide_rows!(p, step, part, out, ROWS) }
}
#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of 16 integers of 32 bits in one register of AVX-512. Wrapping sums and products have the same bits for
    /// signed and unsigned integers.
    U32x16, u32, __m512i, __mmask16, width 16, depth 16,
    zero _mm512_setzero_si512(), splat |x| _mm512_set1_epi32(x as i32),
    load |p| _mm512_loadu_si512(p as *const __m512i), store |p, v| _mm512_storeu_si512(p as *mut __m512i, v),
    mask |n| ((1u32 << n) - 1) as __mmask16,
    load_masked |p, m| _mm512_maskz_loadu_epi32(m, p as *const i32),
    store_masked |p, m, v| _mm512_mask_storeu_epi32(p as *mut i32, m, v),
    multiply_add |a, b, c| _mm512_add_epi32(c, _mm512_mullo_epi32(a, b)), add |a, b| _mm512_add_epi32(a, b),
    parts true, transposed |p, step, part, out, ROWS| {
        let p = p as *const f32;
        let mut floats = [_mm512_setzero_ps(); MOST_DEPTH];
        sixteen_rows!(p, step, part, floats, ROWS, |mask, at| _mm512_maskz_loadu_ps(mask, at));
        for k in 0..MOST_DEPTH {
            out[k] = _mm512_castps_si512(floats[k]);
        }
    }
}
#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of 8 integers of 64 bits in one register of AVX-512.
    U64x8, u64, __m512i, __mmask8, width 8, depth 8,
    zero _mm512_setzero_si512(), splat |x| _mm512_set1_epi64(x as i64),
    load |p| _mm512_loadu_si512(p as *const __m512i), store |p, v| _mm512_storeu_si512(p as *mut __m512i, v),
    mask |n| ((1u32 << n) - 1) as __mmask8,
    load_masked |p, m| _mm512_maskz_loadu_epi64(m, p as *const i64),
    store_masked |p, m, v| _mm512_mask_storeu_epi64(p as *mut i64, m, v),
    multiply_add |a, b, c| _mm512_add_epi64(c, _mm512_mullo_epi64(a, b)), add |a, b| _mm512_add_epi64(a, b),
    parts true, transposed |p, step, part, out, ROWS| {
        let p = p as *const f64;
        let mut floats = [_mm512_setzero_pd(); MOST_DEPTH];
        eight_wide_rows!(p, step, part, floats, ROWS);
        for k in 0..8 {
            out[k] = _mm512_castpd_si512(floats[k]);
        }
    }
}
#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of 8 f32 in one register of AVX2.
    F32x8, f32, __m256, __m256i, width 8, depth 4,
    zero _mm256_setzero_ps(), splat |x| _mm256_set1_ps(x),
    load |p| _mm256_loadu_ps(p), store |p, v| _mm256_storeu_ps(p, v),
    mask |n| _mm256_loadu_si256(FIRST_OF_8.as_ptr().add(8 - n) as *const __m256i),
    load_masked |p, m| _mm256_maskload_ps(p, m), store_masked |p, m, v| _mm256_maskstore_ps(p, m, v),
    multiply_add |a, b, c| _mm256_fmadd_ps(a, b, c), add |a, b| _mm256_add_ps(a, b),
    parts false, transposed |p, step, _part, out, ROWS| { eight_rows!(p, step, _part, out, ROWS, |at| _mm_loadu_ps(at)) }
}
#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of 4 f64 in one register of AVX2.
    F64x4, f64, __m256d, __m256i, width 4, depth 2,
    zero _mm256_setzero_pd(), splat |x| _mm256_set1_pd(x),
    load |p| _mm256_loadu_pd(p), store |p, v| _mm256_storeu_pd(p, v),
    mask |n| _mm256_loadu_si256(FIRST_OF_4.as_ptr().add(4 - n) as *const __m256i),
    load_masked |p, m| _mm256_maskload_pd(p, m), store_masked |p, m, v| _mm256_maskstore_pd(p, m, v),
    multiply_add |a, b, c| _mm256_fmadd_pd(a, b, c), add |a, b| _mm256_add_pd(a, b),
    parts false, transposed |p, step, _part, out, ROWS| { four_wide_rows!(p, step, out, ROWS) }
}
#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of 8 integers of 32 bits in one register of AVX2.
    U32x8, u32, __m256i, __m256i, width 8, depth 4,
    zero _mm256_setzero_si256(), splat |x| _mm256_set1_epi32(x as i32),
    load |p| _mm256_loadu_si256(p as *const __m256i), store |p, v| _mm256_storeu_si256(p as *mut __m256i, v),
    mask |n| _mm256_loadu_si256(FIRST_OF_8.as_ptr().add(8 - n) as *const __m256i),
    load_masked |p, m| _mm256_maskload_epi32(p as *const i32, m),
    store_masked |p, m, v| _mm256_maskstore_epi32(p as *mut i32, m, v),
    multiply_add |a, b, c| _mm256_add_epi32(c, _mm256_mullo_epi32(a, b)), add |a, b| _mm256_add_epi32(a, b),
    parts false, transposed |p, step, _part, out, ROWS| {
        let p = p as *const f32;
        let mut floats = [_mm256_setzero_ps(); MOST_DEPTH];
        eight_rows!(p, step, _part, floats, ROWS, |at| _mm_loadu_ps(at));
        for k in 0..4 {
            out[k] = _mm256_castps_si256(floats[k]);
        }
    }
}
#[cfg(target_arch = "x86_64")]
lanes! {
    /// A vector of 4 integers of 64 bits in one register of AVX2. AVX2 multiplies only integers of 32 bits, so a
    /// product is the sum of products of halves. The product of the two high halves is left out, because it would
    /// change only bits above the lowest 64.
    U64x4, u64, __m256i, __m256i, width 4, depth 2,
    zero _mm256_setzero_si256(), splat |x| _mm256_set1_epi64x(x as i64),
    load |p| _mm256_loadu_si256(p as *const __m256i), store |p, v| _mm256_storeu_si256(p as *mut __m256i, v),
    mask |n| _mm256_loadu_si256(FIRST_OF_4.as_ptr().add(4 - n) as *const __m256i),
    load_masked |p, m| _mm256_maskload_epi64(p as *const i64, m),
    store_masked |p, m, v| _mm256_maskstore_epi64(p as *mut i64, m, v),
    multiply_add |a, b, c| {
        let (high_a, high_b) = (_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
        let cross = _mm256_add_epi64(_mm256_mul_epu32(a, high_b), _mm256_mul_epu32(high_a, b));
        let low = _mm256_add_epi64(c, _mm256_mul_epu32(a, b));
        _mm256_add_epi64(low, _mm256_slli_epi64::<32>(cross))
    },
    add |a, b| _mm256_add_epi64(a, b),
    parts false, transposed |p, step, _part, out, ROWS| {
        let p = p as *const f64;
        let mut floats = [_mm256_setzero_pd(); MOST_DEPTH];
        four_wide_rows!(p, step, floats, ROWS);
        for k in 0..2 {
            out[k] = _mm256_castpd_si256(floats[k]);
        }
    }
}
