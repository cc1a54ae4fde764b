//! The types of the values in the words of threaded code (of 4 or 8 bytes), and how functions apply to such words.

use super::ScalarFn;

/// A value that an instruction of threaded code reads from a word and stores in a word.
pub(crate) trait Lane<W>: Copy {
    fn of(word: W) -> Self;
    fn word(self) -> W;
}
macro_rules! lanes {
    ($($t:ident in $word:ident: |$w:ident| $of:expr, |$x:ident| $back:expr;)*) => { $(
        impl Lane<$word> for $t {
            #[inline(always)]
            fn of($w: $word) -> $t { $of }
            #[inline(always)]
            fn word(self) -> $word { let $x = self; $back }
        }
    )* };
}
lanes! {
    u32 in u32: |w| w, |x| x;
    i32 in u32: |w| w as i32, |x| x as u32;
    f32 in u32: |w| f32::from_bits(w), |x| x.to_bits();
    u8 in u32: |w| w as u8, |x| x as u32;
    u64 in u64: |w| w, |x| x;
    i64 in u64: |w| w as i64, |x| x as u64;
    f64 in u64: |w| f64::from_bits(w), |x| x.to_bits();
    u8 in u64: |w| w as u8, |x| x as u64;
}

/// Applies `F` to each word of a block.
#[inline(always)]
pub(super) fn apply<W: Copy, const N: usize, A, B, C, R, F>(x: &[W; N], y: &[W; N], z: &[W; N]) -> [W; N]
where
    A: Lane<W>,
    B: Lane<W>,
    C: Lane<W>,
    R: Lane<W>,
    F: ScalarFn<A, B, C, R>,
{
    let mut out = *x;
    if F::HAS_FAST_PATH && x.iter().fold(true, |all, x| all & F::on_fast_path(A::of(*x))) {
        for i in 0..N {
            out[i] = F::fast_path(A::of(x[i]), B::of(y[i]), C::of(z[i])).word();
        }
        return out;
    }
    for i in 0..N {
        out[i] = F::call(A::of(x[i]), B::of(y[i]), C::of(z[i])).word();
    }
    out
}

/// Reads elements that are `step` bytes apart, from `at` on, and converts them to words by the function `F`.
///
/// # Safety
/// The `N` elements are in live memory and aligned, and no other thread writes them meanwhile.
#[inline(always)]
pub(super) unsafe fn read<W: Copy + Default, const N: usize, S: Copy, R: Lane<W>, F>(
    at: *const S,
    step: isize,
) -> [W; N]
where
    F: ScalarFn<S, S, S, R>,
{
    let mut out = [W::default(); N];
    for (i, out) in out.iter_mut().enumerate() {
        // SAFETY: the caller ensures that element `i` is in live memory and aligned.
        let x = unsafe { *at.byte_offset(i as isize * step) };
        *out = F::call(x, x, x).word();
    }
    out
}
