//! Implements [`Register`](super::lanes::Register) for instruction sets without masked loads and stores: masked
//! accesses go lane by lane. `neon.rs` and `relaxed.rs` pass their intrinsics to the macro.

/// Implements the operations of a vector type by its intrinsics. `transposed` is an expression that gets the rows as an
/// array of vectors, and returns the transposed array.
macro_rules! unmasked {
    (
        $(#[$doc:meta])* $name:ident, $element:ty, $vector:ty, width $width:literal, splat $splat:path, load $load:path, store $store:path,
        lanes [$($lane:literal)*] $load_lane:ident $store_lane:ident,
        multiply_add |$a:ident, $b:ident, $c:ident| $fma:expr, add $add:path, transposed |$rows:ident| $transposed:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(in crate::cpu) struct $name;
        // SAFETY (of each function): the caller ensures that the CPU has the instruction set (*features*), and that the
        // elements that are read or written are in live memory (*inside*); see `Register`.
        // `unused_unsafe`: WebAssembly's intrinsics are safe functions if the whole module is compiled for its SIMD
        #[allow(unused_unsafe)]
        impl Register for $name {
            type Element = $element;
            type Vector = $vector;
            type Mask = usize;
            const WIDTH: usize = $width;
            const DEPTH: usize = $width;
            #[inline(always)]
            unsafe fn zero() -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $splat(<$element>::default()) }
            }
            #[inline(always)]
            unsafe fn splat(x: $element) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(p: *const $element) -> $vector {
                // SAFETY: the CPU has the instruction set (*features*), and the elements are in live memory (*inside*).
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut $element, v: $vector) {
                // SAFETY: the CPU has the instruction set (*features*), and the elements are in live memory (*inside*).
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            unsafe fn mask(n: usize) -> usize {
                n
            }
            #[inline(always)]
            unsafe fn load_masked(p: *const $element, mask: usize) -> $vector {
                // SAFETY: the CPU has the instruction set (*features*), and only lanes of the mask are read (*inside*).
                unsafe {
                    let mut v = Self::zero();
                    $(if $lane < mask {
                        v = $load_lane::<$lane>(p.add($lane), v);
                    })*
                    v
                }
            }
            #[inline(always)]
            unsafe fn store_masked(p: *mut $element, mask: usize, v: $vector) {
                // SAFETY: the CPU has the instruction set (*features*), and only lanes of the mask are written
                // (*inside*).
                unsafe {
                    $(if $lane < mask {
                        $store_lane::<$lane>(p.add($lane), v);
                    })*
                }
            }
            #[inline(always)]
            unsafe fn multiply_add($a: $vector, $b: $vector, $c: $vector) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $fma }
            }
            #[inline(always)]
            unsafe fn add(a: $vector, b: $vector) -> $vector {
                // SAFETY: the caller ensures that the CPU has the instruction set (*features*).
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            unsafe fn transposed<const ROWS: usize>(
                p: *const $element, step: isize, _part: [usize; 2], out: &mut [$vector; MOST_DEPTH],
            ) {
                // SAFETY: the CPU has the instruction set (*features*), and only `DEPTH` elements of the rows below
                // `ROWS` are read (*inside*).
                unsafe {
                    let mut $rows = [Self::zero(); $width];
                    for i in 0..$width {
                        if i < ROWS {
                            $rows[i] = $load(p.wrapping_offset(i as isize * step));
                        }
                    }
                    out[..$width].copy_from_slice(&$transposed);
                }
            }
        }
    };
}
pub(super) use unmasked;
