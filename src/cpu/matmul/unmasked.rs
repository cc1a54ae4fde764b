//! Vector registers without masked loads and stores, as the kernels of products see them: masked accesses go lane by
//! lane. `neon.rs` and `relaxed.rs` name the intrinsics.

/// Implements the operations of a vector type by its intrinsics. `transposed` receives the rows as vectors, and returns
/// as many vectors.
macro_rules! unmasked {
    (
        $(#[$doc:meta])* $name:ident, $element:ty, $vector:ty, width $width:literal, splat $splat:path, load $load:path, store $store:path,
        lanes [$($lane:literal)*] $load_lane:ident $store_lane:ident,
        multiply_add |$a:ident, $b:ident, $c:ident| $fma:expr, add $add:path, transposed |$rows:ident| $transposed:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(in crate::cpu) struct $name;
        // SAFETY (of each function): *features* holds for the intrinsics, *inside* for what they read and write.
        // the intrinsics of WebAssembly are safe where the whole module may use them
        #[allow(unused_unsafe)]
        impl Register for $name {
            type Element = $element;
            type Vector = $vector;
            type Mask = usize;
            const WIDTH: usize = $width;
            const DEPTH: usize = $width;
            #[inline(always)]
            unsafe fn zero() -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $splat(<$element>::default()) }
            }
            #[inline(always)]
            unsafe fn splat(x: $element) -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(p: *const $element) -> $vector {
                // SAFETY: *features*: the machine has the instruction set. *Inside*: the elements are in live memory.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut $element, v: $vector) {
                // SAFETY: *features*: the machine has the instruction set. *Inside*: the elements are in live memory.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            unsafe fn mask(n: usize) -> usize {
                n
            }
            #[inline(always)]
            unsafe fn load_masked(p: *const $element, mask: usize) -> $vector {
                // SAFETY: *features* and *inside*: only lanes of the mask are read.
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
                // SAFETY: *features* and *inside*: only lanes of the mask are written.
                unsafe {
                    $(if $lane < mask {
                        $store_lane::<$lane>(p.add($lane), v);
                    })*
                }
            }
            #[inline(always)]
            unsafe fn multiply_add($a: $vector, $b: $vector, $c: $vector) -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $fma }
            }
            #[inline(always)]
            unsafe fn add(a: $vector, b: $vector) -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            unsafe fn transposed<const ROWS: usize>(
                p: *const $element, step: isize, _part: [usize; 2], out: &mut [$vector; MOST_DEPTH],
            ) {
                // SAFETY: *features* and *inside*: only the rows below `ROWS` are read, `DEPTH` elements of each.
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
