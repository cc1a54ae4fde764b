//! Matrix products: f32 and f64 by the `gemm` crate, integers and bool by loops of our own. Operands and result are in
//! the compute type: the planner makes conversions and epilogues kernels of their own (`plan/product.rs`).

use super::bind::Run;
use super::program::internal;
use super::share::share;
use super::strided::Axis;
use super::threads::threads;
use crate::dtype::Compute;
use crate::error::Result;
use crate::kernel::{BufferRef, Kernel, Load, Product};
use crate::layout::{Shape, Strides, span_of};
use crate::simd::{Isa, isa};
use smallvec::SmallVec;

/// An operand or the result in a run: the address of its element 0, and its strides in the order that [`Matmul`] says.
struct Matrix<'a> {
    ptr: *mut u8,
    strides: &'a Strides,
}

// SAFETY: tasks only read the operands, and write disjoint parts of the result.
unsafe impl Sync for Matrix<'_> {}

/// The sizes of a product, the type that it is computed in, and its strategy.
struct Sizes {
    batch: Shape,
    m: usize,
    n: usize,
    k: usize,
    compute: Compute,
    product: Product,
}

/// The memory of an operand or of the result: buffer, first element, the span to check, and strides.
struct MatrixLayout {
    buffer: BufferRef,
    first: isize,
    span: Option<(isize, isize)>,
    strides: Strides,
}

/// A product that is ready to be bound. Strides go over the batch axes first. Then those of `a` go over m and k, those of `b`
/// over n and k, those of `c` over m and n.
pub(super) struct Matmul {
    name: &'static str,
    sizes: Sizes,
    a: MatrixLayout,
    b: MatrixLayout,
    c: MatrixLayout,
}

/// Prepares a product whose result is not empty.
pub(super) fn prepare(kernel: &Kernel) -> Result<Matmul> {
    let rank = kernel.outer.len();
    // `validate` has checked that the kernel is only a product, that operands and result have the type that it is computed in,
    // and that each operand has one stride along k
    let (Some(product), [value], [a, b], [store], true) =
        (kernel.schedule.product(), &kernel.values[..], &kernel.loads[..], &kernel.stores[..], rank >= 2)
    else {
        return Err(internal(kernel.name, "a matmul without the strategy of one"));
    };
    let (batch, mn) = kernel.outer.split_at(rank - 2);
    let (k, compute) = (kernel.inner_size(), value.compute());
    let sizes = Sizes { batch: batch.into(), m: mn[0], n: mn[1], k, compute, product };
    let dims: Shape = kernel.outer.iter().chain(&kernel.inner).copied().collect();
    let operand = |load: &Load, own: usize| {
        // an inner space without elements may have no single stride, and needs none
        let k = Axis::new(&kernel.inner, &load.strides[rank..]).step.unwrap_or(0);
        let strides = load.strides[..rank - 2].iter().copied().chain([load.strides[own], k]).collect();
        MatrixLayout { buffer: load.buffer, first: load.offset, span: span_of(&dims, &load.strides), strides }
    };
    let (a, b) = (operand(a, rank - 2), operand(b, rank - 1));
    let span = span_of(&kernel.outer, &store.strides);
    let c = MatrixLayout { buffer: store.buffer, first: store.offset, span, strides: store.strides[..rank].into() };
    Ok(Matmul { name: kernel.name, sizes, a, b, c })
}

impl Matmul {
    /// Runs the product on the buffers of a run.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        let matrix = |p: &'_ MatrixLayout| run.locate(self.name, p.buffer, self.sizes.compute.size(), p.first, p.span);
        let a = Matrix { ptr: matrix(&self.a)?, strides: &self.a.strides };
        let b = Matrix { ptr: matrix(&self.b)?, strides: &self.b.strides };
        let c = Matrix { ptr: matrix(&self.c)?, strides: &self.c.strides };
        if !run.rehearses {
            multiply(&self.sizes, &a, &b, &c);
        }
        Ok(())
    }
}

/// Computes the products of all matrices of a batch.
fn multiply(sizes: &Sizes, a: &Matrix<'_>, b: &Matrix<'_>, c: &Matrix<'_>) {
    let rank = sizes.batch.len();
    let axis = |x: &Matrix<'_>| -> SmallVec<[isize; 6]> { x.strides[..rank].into() };
    let (sa, sb, sc) = (axis(a), axis(b), axis(c));
    let (xa, xb, xc) = (Axis::new(&sizes.batch, &sa), Axis::new(&sizes.batch, &sb), Axis::new(&sizes.batch, &sc));
    let count: usize = sizes.batch.iter().product();
    let threads = threads();
    let size = sizes.compute.size() as isize;
    let Product { library, piece, alone } = sizes.product;
    let vector = sizes.m == 1 || sizes.n == 1;
    let side = sizes.m.max(sizes.n);
    // a task computes one matrix of the batch, or `piece` rows (columns, if m is 1) of one. If the batch alone gives four tasks
    // a thread, products of integers stay whole; those of floats keep the schedule's pieces, since others may give other bits
    let piece = if piece == 0 || !library && count >= 4 * threads { usize::MAX } else { piece as usize };
    // the side of the result that is cut: n for a product of floats with m = 1, else m
    let long = if library && sizes.m == 1 { sizes.n } else { sizes.m };
    let pieces = if library && vector { side } else { long }.div_ceil(piece).max(1);
    // with fewer tasks than that the matrices come one after another, and `gemm` shares each between the threads; our own
    // loops use one thread then
    let inside = !alone && pieces == 1 && count < 4 * threads && threads > 1;
    let body = |i: usize| {
        let (batch, p) = (i / pieces, i % pieces);
        let from = if pieces == 1 { 0 } else { p * piece };
        let len = if pieces == 1 { long } else { piece.min(long - from) } as isize;
        let (mut m, mut n) = (sizes.m, sizes.n);
        let f = from as isize;
        let at = |x: &Matrix<'_>, axis: &Axis, step: isize| {
            let start = if pieces == 1 { 0 } else { f * step };
            x.ptr.wrapping_offset((axis.offset(batch) + start) * size)
        };
        let along_n = library && sizes.m == 1;
        let (ca, cb, cc) = match along_n {
            true => (0, b.strides[rank], c.strides[rank + 1]),
            false => (a.strides[rank], 0, c.strides[rank]),
        };
        let (pa, pb, pc) = (at(a, &xa, ca), at(b, &xb, cb), at(c, &xc, cc));
        if along_n {
            n = len as usize
        } else {
            m = len as usize
        }
        let (ma, ka) = (a.strides[rank], a.strides[rank + 1]);
        let (nb, kb) = (b.strides[rank], b.strides[rank + 1]);
        let (mc, nc) = (c.strides[rank], c.strides[rank + 1]);
        let product = One { m, n, k: sizes.k, a: pa, ma, ka, b: pb, kb, nb, c: pc, mc, nc };
        // SAFETY: *inside* ([`One`]): `locate` has checked the spans, and no two tasks have a part of the result in common.
        // *Apart*: the planner never writes a product in place. *Rows*: `validate` has checked the strides along n.
        unsafe { product.run(sizes.compute, inside) };
    };
    let tasks = count * pieces;
    if inside {
        (0..tasks).for_each(body);
    } else {
        share(tasks, alone, body);
    }
}

/// One product `c = a · b`, of `m × k` and `k × n` elements. Strides are in elements: `ma` is that of `a` along m, and so on.
///
/// Its unsafe functions have three conditions, cited by name. *Inside*: all elements of `a`, `b` and `c` lie in buffers that
/// live as long as the run, and nobody else uses those of `c`. *Apart*: `c` shares no byte with `a` or `b`. *Rows*: if the
/// elements are integers or bools, the rows of `b` and `c` are contiguous.
struct One {
    m: usize,
    n: usize,
    k: usize,
    a: *mut u8,
    ma: isize,
    ka: isize,
    b: *mut u8,
    kb: isize,
    nb: isize,
    c: *mut u8,
    mc: isize,
    nc: isize,
}

impl One {
    /// # Safety
    /// *Inside*, *apart* and *rows* ([`One`]).
    unsafe fn run(&self, compute: Compute, threads: bool) {
        // SAFETY: *inside*, *apart* and *rows* are what `gemm` and `loops` ask for.
        unsafe {
            match compute {
                Compute::F32 => self.gemm::<f32>(1.0, 0.0, threads),
                Compute::F64 => self.gemm::<f64>(1.0, 0.0, threads),
                Compute::Bool => self.loops::<u8>(),
                Compute::I32 | Compute::U32 => self.loops::<u32>(),
                Compute::I64 | Compute::U64 => self.loops::<u64>(),
            }
        }
    }

    /// Computes a product of floats by the `gemm` crate, which shares it between the threads of the pool if `threads` is true.
    ///
    /// # Safety
    /// *Inside* and *apart* ([`One`]), for elements of `T`.
    unsafe fn gemm<T: Copy + 'static>(&self, one: T, zero: T, threads: bool) {
        let c = self.c as *mut T;
        if self.k == 0 {
            for i in 0..self.m as isize {
                for j in 0..self.n as isize {
                    // SAFETY: *inside*: `i` and `j` are below `m` and `n`.
                    unsafe { *c.offset(i * self.mc + j * self.nc) = zero };
                }
            }
            return;
        }
        let parallelism = if threads { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
        // SAFETY: *inside* and *apart* are what gemm asks for; `T` is f32 or f64.
        unsafe {
            gemm::gemm(
                self.m,
                self.n,
                self.k,
                c,
                self.nc,
                self.mc,
                false,
                self.a as *const T,
                self.ka,
                self.ma,
                self.b as *const T,
                self.nb,
                self.kb,
                zero,
                one,
                false,
                false,
                false,
                parallelism,
            );
        }
    }

    /// Computes a product of integers or bools on this thread, by `body` as compiled for the machine's instruction set.
    ///
    /// # Safety
    /// *Inside*, *apart* and *rows* ([`One`]), for elements of `T`.
    unsafe fn loops<T: Ring>(&self) {
        // SAFETY: *inside*, *apart* and *rows* hold, as each of the three asks. `isa` says that the machine has the features.
        unsafe {
            match isa() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => self.avx512::<T>(),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => self.avx2::<T>(),
                _ => self.body::<T>(),
            }
        }
    }

    /// # Safety
    /// *Inside*, *apart* and *rows* ([`One`]); the machine has AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn avx2<T: Ring>(&self) {
        // SAFETY: *inside*, *apart* and *rows* are what `body` asks for.
        unsafe { self.body::<T>() }
    }

    /// # Safety
    /// *Inside*, *apart* and *rows* ([`One`]); the machine has AVX-512.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn avx512<T: Ring>(&self) {
        // SAFETY: *inside*, *apart* and *rows* are what `body` asks for.
        unsafe { self.body::<T>() }
    }

    /// Computes a product of integers or bools: for each piece of `K × N` elements of `b`, adds what it gives to the rows of
    /// `c`, one row after the other. A piece takes 256 KiB of 4-byte elements or 512 KiB of 8-byte ones, so most second level
    /// caches hold it until the last row has used it.
    ///
    /// # Safety
    /// *Inside*, *apart* and *rows* ([`One`]), for elements of `T`.
    #[inline(always)]
    unsafe fn body<T: Ring>(&self) {
        const N: usize = 512;
        const K: usize = 128;
        let (a, b, c) = (self.a as *const T, self.b as *const T, self.c as *mut T);
        // SAFETY: *inside*, *apart* and *rows*: all indices are below m, n and k.
        unsafe {
            for i in 0..self.m {
                std::slice::from_raw_parts_mut(c.offset(i as isize * self.mc), self.n).fill(T::default());
            }
            for j0 in (0..self.n).step_by(N) {
                let width = N.min(self.n - j0);
                for k0 in (0..self.k).step_by(K) {
                    let depth = K.min(self.k - k0);
                    for i in 0..self.m.min(mutant!(integer_rows_beyond_four, self.m.max(4) / 4 * 4, self.m)) {
                        let row = std::slice::from_raw_parts_mut(c.offset(i as isize * self.mc).add(j0), width);
                        for k in k0..k0 + depth {
                            let x = *a.offset(i as isize * self.ma + k as isize * self.ka);
                            let from = std::slice::from_raw_parts(b.offset(k as isize * self.kb).add(j0), width);
                            for (c, b) in row.iter_mut().zip(from) {
                                *c = T::add_product(*c, x, *b);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// An element type of products of integers or bools: says how a product of two elements is added to a sum.
trait Ring: Copy + Default {
    fn add_product(c: Self, a: Self, b: Self) -> Self;
}

/// Bools: the sum is *or*, the product is *and*.
impl Ring for u8 {
    #[inline(always)]
    fn add_product(c: u8, a: u8, b: u8) -> u8 {
        c | (a & b)
    }
}

/// Serves i32 too, as u64 serves i64: wrapping sums and products have the same bits, signed or not.
impl Ring for u32 {
    #[inline(always)]
    fn add_product(c: u32, a: u32, b: u32) -> u32 {
        c.wrapping_add(a.wrapping_mul(b))
    }
}
impl Ring for u64 {
    #[inline(always)]
    fn add_product(c: u64, a: u64, b: u64) -> u64 {
        c.wrapping_add(a.wrapping_mul(b))
    }
}
