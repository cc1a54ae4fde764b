//! Turns a scalar function into loops, which are compiled once for each instruction set and selected at run time.
//!
//! A function is a type that implements [`ScalarFn`]. [`Forms::of`] builds its loops, one for each *loop form* (element
//! by element, as a fold, as a scan, …). **A new loop form needs its body below, a field of [`Forms`] and a line in
//! `Forms::of`.** The instructions of [`threaded`] code are built from the same functions.

mod machine;
pub(crate) mod philox;
mod row_source;
mod rows;
mod short_rows;
mod squares;
#[cfg(target_arch = "x86_64")]
mod transposed_scans;
// processors other than x86-64 and aarch64 have no threaded code
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
pub(crate) mod threaded;

pub(crate) use machine::{Isa, isa, prefetch};
use row_source::StoredRows;
pub(crate) use rows::{BlockArgs, Columns, RowArgs};
use threaded::InstructionCodes;

/// A loop over `n` elements, as a function with untyped pointers. It does not read operands that the function does not
/// have.
///
/// # Safety
/// Two conditions, which SAFETY comments cite by name. *Operands*: each operand that the function has points to `n`
/// aligned elements of its type, which no other thread writes meanwhile. *Result*: `out` points to `n` aligned elements
/// of the result's type ([`LANES`] for a fold), which share no byte with an operand and which no other thread uses
/// meanwhile. [`Loops::fold`] and [`Loops::accumulate`] read `out` as the function's first operand and `a` as its
/// second, so the elements of `out` must hold values.
pub(crate) type Loop = unsafe fn(n: usize, a: *const u8, b: *const u8, c: *const u8, out: *mut u8);

/// A scalar function of up to three operands.
pub(crate) trait ScalarFn<A: Copy, B, C, R> {
    fn call(a: A, b: B, c: C) -> R;
    /// Whether [`ScalarFn::fast_path`] computes the same bits as [`ScalarFn::call`] for some operands, but faster. Only
    /// loops over one operand use it.
    const HAS_FAST_PATH: bool = false;
    /// Returns whether [`ScalarFn::fast_path`] may be called for this operand.
    #[inline(always)]
    fn on_fast_path(_: A) -> bool {
        false
    }
    /// Computes the same bits as [`ScalarFn::call`], but faster, for an operand on the fast path.
    #[inline(always)]
    fn fast_path(a: A, b: B, c: C) -> R {
        Self::call(a, b, c)
    }
}

/// The number of lanes of a fold. It is the same on every instruction set, so that sums have the same bits on all. 128
/// lanes of f32 fill eight AVX-512 registers, which gives a CPU enough independent additions to start one before
/// another has ended.
pub(crate) const LANES: usize = 128;

/// The number of elements that a lane of a fold combines one after another in a block. Another number changes the bits
/// of a fold (`cpu/fold/mod.rs`). A chain of 16 elements rounds a sum only 15 times; a shorter chain would leave more
/// blocks to merge.
pub(crate) const SERIAL: usize = 16;

/// The number of lanes of the fold of a short row, of 16 to 256 elements. 16 lanes of f32 fill whole SIMD registers.
const FEW: usize = 16;

/// Returns the number of lanes of the fold of a row of `n` elements: enough that each lane has at most [`SERIAL`]
/// elements, rounded up to a power of two, at least [`FEW`] and at most [`LANES`]. A row of fewer than [`FEW`] elements
/// has one lane.
pub(crate) fn lanes_of_row(n: usize) -> usize {
    match n >= SERIAL * LANES {
        true => LANES,
        false if n < FEW => 1,
        false => n.div_ceil(SERIAL).next_power_of_two().max(FEW),
    }
}

/// The maximum number of columns that the loop [`Loops::blocks`] accepts.
pub(crate) const NARROW: usize = 32;

/// The number of elements of a block of a scan, a cumulative reduction. Another number changes the bits of a scan
/// (`plan/kernel/scan.rs`). A GPU workgroup of 256 invocations scans a block; each invocation scans one run
/// ([`SCAN_RUN`]).
pub(crate) const SCAN_BLOCK: usize = 1024;
/// The number of elements of a run, the part of a scan's block that is combined one element after another. On a GPU one
/// invocation scans a run, so only the totals of runs pass through shared memory. A packed 32-bit word has at most four
/// elements, so all of them are in one run.
pub(crate) const SCAN_RUN: usize = 4;

/// The number of compiled versions of each loop. x86-64 has three: for [`Isa::Portable`], AVX2 and AVX-512. Other
/// processors have one; on aarch64 it uses NEON.
const LOOPS: usize = if cfg!(target_arch = "x86_64") { 3 } else { 1 };

/// One loop form of one function, compiled once for each instruction set that is selected at run time.
#[derive(Clone, Copy)]
pub(crate) struct Loops([Loop; LOOPS]);

impl Loops {
    /// Returns the loop for this machine.
    pub fn get(&self) -> Loop {
        let number = match isa() {
            Isa::Portable | Isa::Neon => 0,
            Isa::Avx2 => 1,
            Isa::Avx512 => 2,
        };
        self.0[number]
    }
}

/// The kind of loops by which a function reduces short rows and few columns.
///
/// Quick loops keep the lanes in registers. They are unrolled for each number of lanes, which takes 20 to 40 KB of code
/// per function; when every function had them, they took half of the library's compile time. So only sums, minima,
/// maxima, `any` and `all` have quick loops, because programs spend time in these functions. On x86-64 without AVX2 no
/// function has them.
#[derive(Clone, Copy)]
pub(crate) enum Reduces {
    Quickly,
    /// Quick loops, but [`Reduces::Plainly`] for 64-bit integers. This kind is used for minima and maxima. With quick
    /// loops for 64-bit integers, the library without the feature `gpu` was 305 KB larger.
    NarrowQuickly,
    /// Loops that keep the lanes in memory. Their results have the same bits as the results of quick loops. They are
    /// used for products and `logsumexp`, which would gain little from quick loops, and for every function on x86-64
    /// without AVX2.
    Plainly,
}

impl Reduces {
    /// Replaces `NarrowQuickly` by the kind that applies to a type. `is_long` states whether the type is a 64-bit
    /// integer.
    pub const fn of(reduces: Option<Reduces>, is_long: bool) -> Option<Reduces> {
        match reduces {
            Some(Reduces::NarrowQuickly) if is_long => Some(Reduces::Plainly),
            Some(Reduces::NarrowQuickly) => Some(Reduces::Quickly),
            other => other,
        }
    }
}

impl Loops {
    /// Returns the loops that fold whole rows.
    const fn rows_of<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(quick: bool) -> Loops {
        let plain = Loops::plain_rows::<A, B, C, R, F>();
        if quick { Loops::rows::<A, B, C, R, F>().without_avx2(plain) } else { plain }
    }

    /// Returns the loops that fold blocks of a few columns.
    const fn blocks_of<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(quick: bool) -> Loops {
        let plain = Loops::plain_blocks::<A, B, C, R, F>();
        if quick { Loops::blocks::<A, B, C, R, F>().without_avx2(plain) } else { plain }
    }

    /// Returns the loops that scan a block. AVX-512 has no loop of its own. Without the loops of `transposed_scans.rs`, one was
    /// measured: a scan of a million f32 took 0.9 of the time, a scan of 10 million 1.1, and all loops were 137 KB larger.
    const fn scan_of<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(quick: bool) -> Loops {
        let plain = Loops::plain_scan::<A, B, C, R, F>();
        let loops = if quick { Loops::scan::<A, B, C, R, F>().without_avx2(plain) } else { plain };
        loops.without_avx512()
    }

    /// Replaces the loop for AVX-512 by the loop for AVX2. Other processors have only one loop, which is kept.
    const fn without_avx512(self) -> Loops {
        #[cfg(target_arch = "x86_64")]
        return Loops([self.0[0], self.0[1], self.0[1]]);
        #[cfg(not(target_arch = "x86_64"))]
        return self;
    }

    /// Replaces the loop for x86-64 without AVX2 by the loop of `other`. Other processors have only one loop, which is
    /// kept.
    const fn without_avx2(mut self, other: Loops) -> Loops {
        if cfg!(target_arch = "x86_64") {
            self.0[0] = other.0[0];
        }
        self
    }
}

/// The loops of a function by rows ([`Loops::by_row`]): for operands and results of the compute type, and for f32 also
/// those that read the first operand as f16, and those that write the result as f16.
#[derive(Clone, Copy)]
pub(crate) struct RowLoops {
    pub plain: Loops,
    pub of_f16: Option<Loops>,
    pub to_f16: Option<Loops>,
}

impl RowLoops {
    /// Returns whether a function has these loops, which only the functions have in which programs spend time. `rule` is
    /// the value of the key `threaded` (see `graph/ufunc/define.rs`).
    pub const fn exist(rule: &str) -> bool {
        matches!(rule.as_bytes(), b"both" | b"products")
    }
}

/// All loops of one function for one compute type.
#[derive(Clone, Copy)]
pub(crate) struct Forms {
    /// Applies the function element by element.
    pub map: Loops,
    /// Applies a function to rows; the second operand is one element per row. `None` if the function has no such loop.
    pub by_row: Option<RowLoops>,
    /// Folds contiguous elements into [`LANES`] lanes; `None` if the function has no reduction.
    pub fold: Option<Loops>,
    /// Folds each row, of at most [`SERIAL`] · [`LANES`] elements, to one element; `None` if the function has no
    /// reduction.
    pub rows: Option<Loops>,
    /// Folds blocks of [`SERIAL`] rows and a few columns, each to one row; `None` if the function has no reduction.
    pub blocks: Option<Loops>,
    /// Combines several rows into one row, element by element; `None` if the function has no reduction.
    pub columns: Option<Loops>,
    /// Combines each element of a slice into the element at the same index of another slice; `None` if the function has
    /// no reduction.
    pub accumulate: Option<Loops>,
    /// Sets each element of a block to the combination of all elements up to it (a scan); `None` if the function has no
    /// reduction.
    pub scan: Option<Loops>,
    /// Computes only the last element of the scan of a whole block; `None` unless the function has quick loops.
    pub scan_total: Option<Loops>,
    /// The function as instructions of threaded code, for words of 4 bytes and of 8 bytes; `None` if the function does
    /// not support such words.
    pub threaded: [Option<InstructionCodes>; 2],
}

impl Forms {
    /// Builds the loops of `F`, which has `arity` operands. This happens at compile time. A loop that the result does
    /// not point to is not compiled, so a function without a reduction costs only the code of its map.
    pub const fn of<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
        arity: usize,
        reduces: Option<Reduces>,
    ) -> Forms {
        let quick = matches!(reduces, Some(Reduces::Quickly));
        let reduces = reduces.is_some();
        Forms {
            map: match arity {
                1 => Loops::unary::<A, B, C, R, F>(),
                2 => Loops::binary::<A, B, C, R, F>(),
                _ => Loops::ternary::<A, B, C, R, F>(),
            },
            by_row: None,
            fold: if reduces { Some(Loops::fold::<A, B, C, R, F>()) } else { None },
            rows: if reduces { Some(Loops::rows_of::<A, B, C, R, F>(quick)) } else { None },
            blocks: if reduces { Some(Loops::blocks_of::<A, B, C, R, F>(quick)) } else { None },
            columns: if reduces { Some(Loops::columns::<A, B, C, R, F>()) } else { None },
            accumulate: if reduces { Some(Loops::accumulate::<A, B, C, R, F>()) } else { None },
            scan: if reduces { Some(Loops::scan_of::<A, B, C, R, F>(quick)) } else { None },
            scan_total: if quick { Some(Loops::scan_total::<A, B, C, R, F>().without_avx512()) } else { None },
            threaded: [None; 2],
        }
    }

    /// Returns these loops together with those whose second operand is one element per row.
    pub const fn with_by_row(self, by_row: Option<RowLoops>) -> Forms {
        Forms { by_row, ..self }
    }

    /// Returns these loops together with the instructions of threaded code.
    pub const fn with_threaded(self, threaded: [Option<InstructionCodes>; 2]) -> Forms {
        Forms { threaded, ..self }
    }
}

/// Defines one loop form: a constructor of [`Loops`] that compiles the body once for each instruction set. In the body,
/// `REGISTER` is the size of a vector register in bytes.
/// `F` implements [`ScalarFn`], unless another trait is named before its arguments.
macro_rules! loop_form {
    ($(#[$doc:meta])* $form:ident, $module:ident, <$($g:ident),*>, $($body:tt)*) => {
        loop_form! { $(#[$doc])* $form, $module, ScalarFn<$($g),*>, $($body)* }
    };
    ($(#[$doc:meta])* $form:ident, $module:ident, $bound:ident<$($g:ident),*>, |$n:ident, $a:ident, $b:ident, $c:ident, $out:ident| $body:block) => {
        mod $module {
            use super::*;
            /// # Safety
            /// Each operand points to as many aligned elements as [`Loop`] requires, which no other thread writes
            /// meanwhile (its condition *operands*). `out` points to as many aligned elements as [`Loop`] requires,
            /// which nothing else uses (its condition *result*).
            #[inline(always)]
            unsafe fn body<$($g: Copy,)* F: $bound<$($g),*>, const REGISTER: usize>(
                $n: usize, $a: *const u8, $b: *const u8, $c: *const u8, $out: *mut u8,
            ) {
                let _ = ($a, $b, $c);
                // SAFETY: each body creates slices of exactly the elements to which the operands and `out` point by
                // this function's conditions.
                unsafe { $body }
            }
            /// # Safety
            /// Each operand points to as many aligned elements as [`Loop`] requires, which no other thread writes
            /// meanwhile (its condition *operands*). `out` points to as many aligned elements as [`Loop`] requires,
            /// which nothing else uses (its condition *result*).
            pub unsafe fn portable<$($g: Copy,)* F: $bound<$($g),*>>(
                n: usize, a: *const u8, b: *const u8, c: *const u8, out: *mut u8,
            ) {
                // SAFETY: the caller ensures the conditions of `body`, which are the same as the conditions of this
                // function.
                unsafe { body::<$($g,)* F, 16>(n, a, b, c, out) }
            }
            /// # Safety
            /// Each operand points to as many aligned elements as [`Loop`] requires, which no other thread writes
            /// meanwhile (its condition *operands*). `out` points to as many aligned elements as [`Loop`] requires,
            /// which nothing else uses (its condition *result*). The machine has the features that the attribute
            /// enables.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,f16c,fma,bmi1,bmi2,lzcnt,popcnt")]
            pub unsafe fn avx2<$($g: Copy,)* F: $bound<$($g),*>>(
                n: usize, a: *const u8, b: *const u8, c: *const u8, out: *mut u8,
            ) {
                // SAFETY: the caller ensures the conditions of `body`, which this function has too.
                unsafe { body::<$($g,)* F, 32>(n, a, b, c, out) }
            }
            /// # Safety
            /// Each operand points to as many aligned elements as [`Loop`] requires, which no other thread writes
            /// meanwhile (its condition *operands*). `out` points to as many aligned elements as [`Loop`] requires,
            /// which nothing else uses (its condition *result*). The machine has the features that the attribute
            /// enables.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
            pub unsafe fn avx512<$($g: Copy,)* F: $bound<$($g),*>>(
                n: usize, a: *const u8, b: *const u8, c: *const u8, out: *mut u8,
            ) {
                // SAFETY: the caller ensures the conditions of `body`, which this function has too.
                unsafe { body::<$($g,)* F, 64>(n, a, b, c, out) }
            }
        }
        impl Loops {
            $(#[$doc])*
            pub const fn $form<$($g: Copy,)* F: $bound<$($g),*>>() -> Loops {
                #[cfg(target_arch = "x86_64")]
                return Loops([$module::portable::<$($g,)* F>, $module::avx2::<$($g,)* F>, $module::avx512::<$($g,)* F>]);
                #[cfg(not(target_arch = "x86_64"))]
                return Loops([$module::portable::<$($g,)* F>]);
            }
        }
    };
}

// the macro above must come first
mod narrow;
mod products;
mod scans;

pub(crate) use narrow::{Narrow, NarrowArgs, StoredBool};
pub(crate) use products::{Factor, HalfFactor, ProductArgs, ProductColumns};

/// Returns a slice of `n` elements from an untyped pointer.
///
/// # Safety
/// `p` points to `n` aligned elements of `T`, which nobody writes while the slice lives.
#[inline(always)]
unsafe fn slice<'a, T>(p: *const u8, n: usize) -> &'a [T] {
    // SAFETY: the caller ensures what `from_raw_parts` requires.
    unsafe { std::slice::from_raw_parts(p as *const T, n) }
}

/// Returns a mutable slice of `n` elements from an untyped pointer.
///
/// # Safety
/// `p` points to `n` aligned elements of `T`, which nobody else uses while the slice lives.
#[inline(always)]
unsafe fn slice_mut<'a, T>(p: *mut u8, n: usize) -> &'a mut [T] {
    // SAFETY: the caller ensures what `from_raw_parts_mut` requires.
    unsafe { std::slice::from_raw_parts_mut(p as *mut T, n) }
}

loop_form! {
    /// Sets each `out[i]` to `f(a[i])`.
    unary, map1, <A, B, C, R>, |n, a, b, c, out| {
        let (a, out) = (slice::<A>(a, n), slice_mut::<R>(out, n));
        // a function ignores operands beyond its arity, so zeros are passed for them
        let (b, c): (B, C) = (std::mem::zeroed(), std::mem::zeroed());
        // if an operand is not on the fast path, `F::call` computes all elements, because a choice for each element
        // would not vectorise
        if F::HAS_FAST_PATH && a.iter().fold(true, |all, x| all & F::on_fast_path(*x)) {
            for i in 0..n {
                out[i] = F::fast_path(a[i], b, c);
            }
            return;
        }
        for i in 0..n {
            out[i] = F::call(a[i], b, c);
        }
    }
}
loop_form! {
    /// Sets each `out[i]` to `f(a[i], b[i])`.
    binary, map2, <A, B, C, R>, |n, a, b, c, out| {
        let (a, b, out) = (slice::<A>(a, n), slice::<B>(b, n), slice_mut::<R>(out, n));
        let c: C = std::mem::zeroed();
        for i in 0..mutant!(loop_tail_dropped, if n > 8 { n / 8 * 8 } else { n }, n) {
            out[i] = F::call(a[i], b[i], c);
        }
    }
}
loop_form! {
    /// Sets each element of row `r` of `out` to `f(a, b[r])`, where `a` is the element of the same row and column. The rows
    /// have `n` elements, and `c` points to their number, a usize.
    by_row, map_by_row, <A, B, C, R>, |n, a, b, c, out| {
        let rows = *(c as *const usize);
        let (a, b, out) = (slice::<A>(a, n * rows), slice::<B>(b, rows), slice_mut::<R>(out, n * rows));
        let c: C = std::mem::zeroed();
        for (r, y) in b.iter().enumerate() {
            let (a, out) = (&a[r * n..(r + 1) * n], &mut out[r * n..(r + 1) * n]);
            for i in 0..n {
                out[i] = F::call(a[i], *y, c);
            }
        }
    }
}
loop_form! {
    /// Sets each `out[i]` to `f(a[i], b[i], c[i])`.
    ternary, map3, <A, B, C, R>, |n, a, b, c, out| {
        let (a, b, c, out) = (slice::<A>(a, n), slice::<B>(b, n), slice::<C>(c, n), slice_mut::<R>(out, n));
        for i in 0..n {
            out[i] = F::call(a[i], b[i], c[i]);
        }
    }
}
loop_form! {
    /// Folds `a` into [`LANES`] lanes: for every `i` in order, sets `out[l]` to `f(out[l], a[i])`, where `l` is the
    /// remainder of `i` divided by [`LANES`]. `n` is a multiple of [`LANES`].
    fold, fold_lanes, <A, B, C, R>, |n, a, b, c, out| {
        let (a, out) = (slice::<B>(a, n), slice_mut::<R>(out, LANES));
        let c: C = std::mem::zeroed();
        let acc: &mut [A] = slice_mut(out.as_mut_ptr() as *mut u8, LANES);
        let mut lanes = [acc[0]; LANES];
        lanes.copy_from_slice(acc);
        for chunk in a.chunks_exact(LANES) {
            for l in 0..LANES {
                let r = F::call(lanes[l], chunk[l], c);
                // A and R are the same type, because a function that reduces returns the type of its first operand
                lanes[l] = std::mem::transmute_copy::<R, A>(&r);
            }
        }
        acc.copy_from_slice(&lanes);
    }
}
loop_form! {
    /// Sets `out[r]` to the fold of the `n` elements of row `r`, in the order that `cpu/fold/mod.rs` defines. The rows
    /// are contiguous in `a`, `b` points to a [`RowArgs`], and `n` is 1 to [`SERIAL`] · [`LANES`].
    rows, fold_rows, <A, B, C, R>, |n, a, b, c, out| {
        let RowArgs { count, prefetches } = *(b as *const RowArgs);
        // A, B and R are the same type in every fold
        let (a, out) = (slice::<A>(a, n * count), slice_mut::<A>(out, count));
        match n {
            0..FEW => short_rows::short_rows(n, StoredRows::<A, B, C, R, F>::new(n, a.as_ptr(), false), out),
            _ => rows::long_rows::<REGISTER, _>(n, StoredRows::<A, B, C, R, F>::new(n, a.as_ptr(), prefetches), out),
        }
    }
}
loop_form! {
    /// Computes the same as [`Loops::rows`], with the same bits, but keeps the lanes in memory.
    plain_rows, fold_rows_plainly, <A, B, C, R>, |n, a, b, c, out| {
        let RowArgs { count, .. } = *(b as *const RowArgs);
        // A, B and R are the same type in every fold
        rows::plain_rows::<A, B, C, R, F>(n, slice::<A>(a, n * count), slice_mut::<A>(out, count))
    }
}
loop_form! {
    /// Folds blocks of [`SERIAL`] rows, each to one row. `n` is the number of columns, 1 to [`NARROW`]. Blocks are
    /// contiguous in `a`, and `b` points to a [`BlockArgs`], which determines where in `out` the result of each block
    /// is.
    blocks, fold_blocks, <A, B, C, R>, |n, a, b, c, out| {
        let blocks = &*(b as *const BlockArgs);
        // A, B and R are the same type in every fold
        let (a, out) = (slice::<A>(a, blocks.len), out as *mut A);
        match n {
            0..=4 => rows::each_block::<4, 64, A, B, C, R, F>(n, a, blocks, out),
            5..=16 => rows::each_block::<16, 64, A, B, C, R, F>(n, a, blocks, out),
            _ => rows::each_block::<NARROW, 64, A, B, C, R, F>(n, a, blocks, out),
        }
    }
}
loop_form! {
    /// Computes the same as [`Loops::blocks`], with the same bits, one column after another.
    plain_blocks, fold_blocks_plainly, <A, B, C, R>, |n, a, b, c, out| {
        let blocks = &*(b as *const BlockArgs);
        // A, B and R are the same type in every fold
        rows::plain_blocks::<A, B, C, R, F>(n, slice::<A>(a, blocks.len), blocks, out as *mut A)
    }
}
loop_form! {
    /// Combines `k + 1` rows into `out`: sets each `out[i]` to `f(… f(out[i], a[i]) …, a[i + k · step])`. `b` points to
    /// a [`Columns`], which has the number of rows and `step`.
    columns, fold_columns, <A, B, C, R>, |n, a, b, c, out| {
        // A, B and R are the same type in every fold
        rows::columns::<A, B, C, R, F>(a as *const A, &*(b as *const Columns), slice_mut::<A>(out, n))
    }
}
loop_form! {
    /// Combines `a` into `out`: sets each `out[i]` to `f(out[i], a[i])`.
    accumulate, accumulate_elements, <A, B, C, R>, |n, a, b, c, out| {
        let (a, acc) = (slice::<B>(a, n), slice_mut::<A>(out, n));
        let c: C = std::mem::zeroed();
        for i in 0..n {
            let r = F::call(acc[i], a[i], c);
            acc[i] = std::mem::transmute_copy::<R, A>(&r);
        }
    }
}
