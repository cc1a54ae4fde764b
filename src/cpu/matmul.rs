//! Matrix products: f32 and f64 by the `gemm` crate, integers and bool by loops of our own. Narrow operands are widened
//! first, the epilogue is an elementwise kernel over the product.

use super::elementwise::{self, share};
use super::program::{Bound, Memory, internal, locate};
use super::strided::Axis;
use super::threads::threads;
use crate::backend::Bindings;
use crate::dtype::{Compute, DType};
use crate::error::Result;
use crate::kernel::{Kernel, KernelKind, Load, Op, Store, Value, Window};
use crate::layout::{Shape, Strides, c_strides};
use crate::simd::{Isa, isa};
use smallvec::SmallVec;

/// Multiply-adds below which one thread does a product.
const ALONE: usize = 1 << 18;

/// An operand or the result: element 0, and strides over batch axes, rows and columns.
struct Matrix {
    ptr: *mut u8,
    strides: Strides,
}

// SAFETY: tasks read operands and write disjoint parts of the result.
unsafe impl Sync for Matrix {}

/// The sizes of a product.
struct Sizes<'a> {
    batch: &'a [usize],
    m: usize,
    n: usize,
    k: usize,
    compute: Compute,
}

pub(super) fn run(kernel: &Kernel, bound: &Bound<'_>) -> Result<()> {
    let rank = kernel.outer.len();
    let (Some(Value { op: Op::Dot, dtype, .. }), true, [a, b, ..]) =
        (kernel.values.first(), rank >= 2, &kernel.loads[..])
    else {
        return Err(internal(kernel, "a matmul without a product of two loads"));
    };
    if kernel.outer_size() == 0 {
        return Ok(());
    }
    let (batch, mn) = kernel.outer.split_at(rank - 2);
    let sizes = Sizes { batch, m: mn[0], n: mn[1], k: kernel.inner_size(), compute: dtype.compute() };
    let Bindings { inputs, outputs, scalars, lines, .. } = bound.bindings;
    let bindings = Bindings { inputs, outputs, scalars, lines, replaces: false };
    let mut own = Bound { bindings, temps: bound.temps.clone(), pool: bound.pool, rehearses: false };
    let ours = matches!(sizes.compute, Compute::F32 | Compute::F64);
    // loads[0] has no columns, loads[1] no rows
    let a = operand(kernel, &mut own, a, &sizes, rank - 1, false)?;
    let b = operand(kernel, &mut own, b, &sizes, rank - 2, !ours)?;
    // straight into the result, if there is nothing to do after and nobody reads what is written
    let direct = match (&kernel.values[..], &kernel.stores[..]) {
        ([_], [store]) if store.value == 0 && store.dtype == storage(sizes.compute) => {
            let to = own.memory(kernel, store.buffer)?;
            let mut alone = store.strides.len() >= rank && (ours || store.strides[rank - 1] == 1);
            for l in &kernel.loads {
                alone &= !to.overlaps(&own.memory(kernel, l.buffer)?);
            }
            alone.then_some((to, store))
        }
        _ => None,
    };
    if let Some((to, store)) = direct {
        let ptr = locate(kernel, to, store.dtype, &kernel.outer, &store.strides, store.offset)?;
        multiply(&sizes, &a, &b, &Matrix { ptr, strides: store.strides.clone() });
        return Ok(());
    }
    let product = own.temp(kernel.outer_size() * sizes.compute.size())?;
    let strides = c_strides(&kernel.outer);
    let c = Matrix { ptr: own.memory(kernel, product)?.ptr, strides: strides.clone() };
    multiply(&sizes, &a, &b, &c);
    let mut epilogue = kernel.clone();
    epilogue.kind = KernelKind::Elementwise;
    epilogue.inner = Shape::new();
    epilogue.values[0].op = Op::Load(epilogue.loads.len());
    for v in &mut epilogue.values {
        v.inner = false;
    }
    epilogue.loads.push(Load { buffer: product, dtype: storage(sizes.compute), strides, offset: 0 });
    // an operand that the epilogue does not read again is no part of it, and would count as read
    for operand in 0..2 {
        let reads = |v: &Value| matches!(v.op, Op::Load(n) | Op::Gather { load: n, .. } if n == operand);
        if mutant!(operands_lost_to_the_epilogue, true, !epilogue.values.iter().any(reads)) {
            epilogue.loads[operand] = epilogue.loads[kernel.loads.len()].clone();
        }
    }
    elementwise::run(&epilogue, &own)
}

/// The element type that is stored as this compute type.
fn storage(compute: Compute) -> DType {
    match compute {
        Compute::Bool => DType::Bool,
        Compute::I32 => DType::I32,
        Compute::U32 => DType::U32,
        Compute::I64 => DType::I64,
        Compute::U64 => DType::U64,
        Compute::F32 => DType::F32,
        Compute::F64 => DType::F64,
    }
}

/// An operand in the compute type: where it lies, or a converted copy. `absent` is the axis that it does not have.
fn operand(
    kernel: &Kernel,
    bound: &mut Bound<'_>,
    load: &Load,
    sizes: &Sizes<'_>,
    absent: usize,
    rows: bool,
) -> Result<Matrix> {
    let rank = kernel.outer.len();
    if load.strides.len() < rank + kernel.inner.len() {
        return Err(internal(kernel, "too few strides"));
    }
    let inner = Axis::new(&kernel.inner, &load.strides[rank..]);
    // over batch axes, the operand's own axis, k
    let own = if absent == rank - 2 { rank - 1 } else { rank - 2 };
    let mut dims: Shape = sizes.batch.iter().copied().chain([kernel.outer[own], sizes.k]).collect();
    let mut strides: Strides =
        load.strides[..rank - 2].iter().copied().chain([load.strides[own], inner.step.unwrap_or(0)]).collect();
    let memory = bound.memory(kernel, load.buffer)?;
    let wanted = storage(sizes.compute);
    // B by rows of n
    let last = if absent == rank - 2 { rank - 2 } else { rank - 1 };
    let loose =
        mutant!(transposed_b_read_as_rows, false, rows) && sizes.k > 0 && !(strides[last] == 1 || dims[last] == 1);
    if sizes.k == 0 || load.dtype == wanted && load.dtype != DType::Bool && inner.step.is_some() && !loose {
        let ptr = match sizes.k {
            0 => memory.ptr,
            _ => {
                let reach: Shape = kernel.outer.iter().chain(&kernel.inner).copied().collect();
                locate(kernel, memory, load.dtype, &reach, &load.strides, load.offset)?
            }
        };
        return Ok(Matrix { ptr, strides });
    }
    // a copy: without the batch axes along which nothing changes, and k axis by axis
    let mut source: Strides = strides[..rank - 1].into();
    source.extend_from_slice(&load.strides[rank..]);
    dims.truncate(rank - 1);
    for (d, s) in dims[..rank - 2].iter_mut().zip(&source) {
        if *s == 0 {
            *d = 1;
        }
    }
    dims.extend_from_slice(&kernel.inner);
    let mut to = c_strides(&dims);
    if absent == rank - 2 {
        // B has k before n: the last axes of the copy are n, k…, so n takes the unit stride
        let n = dims[rank - 2] as isize;
        for (d, t) in to.iter_mut().enumerate() {
            match d {
                _ if d < rank - 2 => {}
                _ if d == rank - 2 => *t = 1,
                _ => *t *= n,
            }
        }
    }
    for (d, t) in to.iter().enumerate().take(rank - 1) {
        strides[d] = if dims[d] == 1 { 0 } else { *t };
    }
    strides[rank - 1] = to[to.len() - 1].max(1);
    let temp = bound.temp(dims.iter().product::<usize>() * wanted.size())?;
    let window = Window { start: Shape::from_elem(0, dims.len()), shape: dims.clone() };
    let copy = Kernel {
        kind: KernelKind::Elementwise,
        outer: dims,
        inner: Shape::new(),
        loads: vec![Load { buffer: load.buffer, dtype: load.dtype, strides: source, offset: load.offset }],
        values: vec![
            Value { op: Op::Load(0), dtype: load.dtype, inner: false },
            Value { op: Op::Cast(0), dtype: wanted, inner: false },
        ],
        stores: vec![Store { buffer: temp, dtype: wanted, strides: to, offset: 0, value: 1 }],
        windows: vec![window],
        continues: false,
        name: kernel.name,
        node: kernel.node,
    };
    elementwise::run(&copy, bound)?;
    let Memory { ptr, .. } = bound.memory(kernel, temp)?;
    Ok(Matrix { ptr, strides })
}

/// All products of a batch. The strides of `a` end in m, k; of `b` in n, k; of `c` in m, n.
fn multiply(sizes: &Sizes<'_>, a: &Matrix, b: &Matrix, c: &Matrix) {
    let rank = sizes.batch.len();
    let axis = |x: &Matrix| -> SmallVec<[isize; 6]> { x.strides[..rank].into() };
    let (sa, sb, sc) = (axis(a), axis(b), axis(c));
    let (xa, xb, xc) = (Axis::new(sizes.batch, &sa), Axis::new(sizes.batch, &sb), Axis::new(sizes.batch, &sc));
    let count: usize = sizes.batch.iter().product();
    let work = sizes.m.saturating_mul(sizes.n).saturating_mul(sizes.k.max(1));
    let threads = threads();
    let size = sizes.compute.size() as isize;
    // pieces of the result: whole matrices, or rows or columns of one, of sizes that do not depend on threads
    let vector = sizes.m == 1 || sizes.n == 1;
    let floats = matches!(sizes.compute, Compute::F32 | Compute::F64);
    let side = sizes.m.max(sizes.n);
    let piece = if floats && !vector || count >= 4 * threads {
        usize::MAX
    } else if floats {
        (ALONE / sizes.k.max(1)).next_multiple_of(64).max(64)
    } else {
        (ALONE / (sizes.k.max(1) * sizes.n.max(1))).clamp(4, sizes.m.max(4)).next_multiple_of(4)
    };
    // vectors are cut along their only side, integers along m
    let long = if floats && sizes.m == 1 { sizes.n } else { sizes.m };
    let pieces = if floats && vector { side } else { long }.div_ceil(piece).max(1);
    let total = work.saturating_mul(count);
    let inside = total > ALONE && pieces == 1 && count < 4 * threads && threads > 1;
    let body = |i: usize| {
        let (batch, p) = (i / pieces, i % pieces);
        let from = if pieces == 1 { 0 } else { p * piece };
        let len = if pieces == 1 { long } else { piece.min(long - from) } as isize;
        let (mut m, mut n) = (sizes.m, sizes.n);
        let f = from as isize;
        let at = |x: &Matrix, axis: &Axis<'_>, step: isize| {
            let start = if pieces == 1 { 0 } else { f * step };
            x.ptr.wrapping_offset((axis.offset(batch) + start) * size)
        };
        let along_n = floats && sizes.m == 1;
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
        // SAFETY: operands and result were checked to lie in their buffers; the result is apart from the operands.
        unsafe { product.run(sizes.compute, inside) };
    };
    let tasks = count * pieces;
    if inside {
        (0..tasks).for_each(body);
    } else {
        share(tasks, if total > ALONE { usize::MAX } else { 0 }, body);
    }
}

/// One product `c = a · b`; strides in elements.
///
/// What its functions rely on, by name. *Inside*: the strides lead to elements of the compute type, `m × k`, `k × n` and
/// `m × n`, inside buffers that live as long as the run; nobody else uses those of `c`. *Apart*: `c` shares no byte
/// with `a` or `b`. *Rows*: for integers and truth values the rows of `b` and `c` are contiguous.
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
        // SAFETY: *inside* and *apart*; where the type is no float, *rows*.
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

    /// # Safety
    /// *Inside*, *apart* and *rows* ([`One`]), for elements of `T`.
    unsafe fn loops<T: Ring>(&self) {
        // SAFETY: *inside*, *apart* and *rows* are what all three ask for; `isa` has found the features on this machine.
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

    /// Four rows at a time over pieces of n and k that stay in L2.
    ///
    /// # Safety
    /// *Inside*, *apart* and *rows* ([`One`]), for elements of `T`.
    #[inline(always)]
    unsafe fn body<T: Ring>(&self) {
        const N: usize = 512;
        const K: usize = 128;
        const ROWS: usize = 4;
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
                    for i0 in (0..self.m).step_by(ROWS) {
                        for i in i0..(i0 + ROWS).min(mutant!(integer_rows_beyond_four, self.m.max(4) / 4 * 4, self.m)) {
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
}

/// What a product of matrices needs of its elements.
trait Ring: Copy + Default {
    fn add_product(c: Self, a: Self, b: Self) -> Self;
}

/// Truth values.
impl Ring for u8 {
    #[inline(always)]
    fn add_product(c: u8, a: u8, b: u8) -> u8 {
        c | (a & b)
    }
}

/// The bits of a wrapping product are the same for both signs.
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
