//! The loops that measure the limits of memory. Each reads and writes as many arrays as a row of the benchmark, as fast
//! as the machine can, in memory that is laid out like the memory of the library's pool.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// The bytes that one pass over memory moves: it reads `arrays` arrays side by side, `read` bytes in all, and writes
/// `write` bytes of one array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    pub arrays: usize,
    pub read: f64,
    pub write: f64,
}

impl Flow {
    pub fn bytes(&self) -> f64 {
        self.read + self.write
    }
}

/// Bytes of the widest vector. A step of a loop moves whole vectors of this size whatever the machine has, so that all
/// machines do the same work.
const VECTOR: usize = 64;

/// A loop, described by its step: it reads `reads` vectors from each of `arrays` arrays, and writes `writes` vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    arrays: usize,
    reads: usize,
    writes: usize,
}

const fn step(arrays: usize, reads: usize, writes: usize) -> Step {
    Step { arrays, reads, writes }
}

/// All loops. A loop that only reads takes about eight vectors per step, which keeps enough loads in flight.
const STEPS: [Step; 13] = [
    step(1, 8, 0),
    step(2, 4, 0),
    step(3, 2, 0),
    step(0, 0, 1),
    step(1, 1, 1),
    step(2, 1, 1),
    step(3, 1, 1),
    step(1, 2, 1),
    step(1, 4, 1),
    step(2, 4, 1),
    step(1, 1, 2),
    step(1, 1, 4),
    step(3, 2, 3),
];

/// If a flow reads (or writes) less than this part of what it writes (or reads), the smaller side is left out.
const SMALL: f64 = 1.0 / 16.0;

impl Step {
    /// Returns the loop that is most like a flow, by the number of arrays and the ratio of bytes read to bytes written.
    pub fn like(flow: &Flow) -> Step {
        let only_reads = flow.write < SMALL * flow.read;
        let only_writes = flow.read < SMALL * flow.write;
        let apart = |s: &Step| {
            if only_reads != (s.writes == 0) || only_writes != (s.arrays == 0) {
                return f64::INFINITY;
            }
            // another number of arrays counts more than any difference in the ratio
            let arrays = if only_writes { 0 } else { s.arrays.abs_diff(flow.arrays.clamp(1, 3)) } as f64 * 100.0;
            let ratio = if s.writes == 0 || s.arrays == 0 {
                0.0
            } else {
                ((s.arrays * s.reads) as f64 / s.writes as f64 / (flow.read / flow.write)).ln().abs()
            };
            arrays + ratio
        };
        STEPS.into_iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap_or(STEPS[0])
    }

    /// Returns whether the loop writes, so that streaming stores, which bypass the caches, are possible.
    pub fn writes(&self) -> bool {
        self.writes > 0
    }

    /// Returns the bytes that a step moves.
    pub fn bytes(&self) -> usize {
        (self.arrays * self.reads + self.writes) * VECTOR
    }
}

/// A loop with its memory: one block for each array.
pub struct Pass {
    step: Step,
    steps: usize,
    from: Vec<Block>,
    to: Option<Block>,
}

/// A part of a pass, which one thread runs. The parts of a pass do not overlap.
pub struct Part {
    step: Step,
    steps: usize,
    from: [*const u8; 3],
    to: *mut u8,
}

// SAFETY: a part points into blocks that outlive it (`Pass::run` holds them). It reads memory that nobody writes, and
// writes a range that no other part touches. Only one thread runs it.
unsafe impl Sync for Part {}

impl Pass {
    pub fn new(flow: &Flow) -> Pass {
        let step = Step::like(flow);
        let steps = ((flow.bytes() / step.bytes() as f64).round() as usize).max(1);
        let from = (0..step.arrays).map(|_| Block::new(steps * step.reads * VECTOR)).collect();
        let to = step.writes().then(|| Block::new(steps * step.writes * VECTOR));
        Pass { step, steps, from, to }
    }

    pub fn writes(&self) -> bool {
        self.step.writes()
    }

    /// Returns the bytes that the pass moves: the bytes of the flow, rounded to whole steps.
    pub fn bytes(&self) -> f64 {
        (self.steps * self.step.bytes()) as f64
    }

    /// Runs the pass on `threads` threads.
    pub fn run(&mut self, threads: usize, streaming: bool) {
        if threads < 2 {
            return self.parts(1).for_each(|part| part.run(streaming));
        }
        let parts: Vec<Part> = self.parts(threads).collect();
        rayon::scope(|s| {
            for part in &parts {
                s.spawn(move |_| part.run(streaming));
            }
        });
    }

    /// Divides the pass into parts of equal length. The parts borrow the pass, because they write its memory.
    fn parts(&mut self, count: usize) -> impl Iterator<Item = Part> + use<'_> {
        let each = self.steps.div_ceil(count);
        (0..count).map(move |i| {
            let first = (i * each).min(self.steps);
            let steps = each.min(self.steps - first);
            let mut from = [std::ptr::null(); 3];
            for (from, block) in from.iter_mut().zip(&self.from) {
                *from = block.at(first * self.step.reads * VECTOR);
            }
            let to = self.to.as_ref().map_or(std::ptr::null_mut(), |b| b.at(first * self.step.writes * VECTOR));
            Part { step: self.step, steps, from, to }
        })
    }
}

impl Part {
    fn run(&self, streaming: bool) {
        macro_rules! choose {
            ($($a:literal $r:literal $w:literal),*) => {
                match (self.step.arrays, self.step.reads, self.step.writes) {
                    $(($a, $r, $w) => self.run_as::<$a, $r, $w>(streaming),)*
                    // `STEPS` has no other step
                    _ => 0,
                }
            };
        }
        std::hint::black_box(choose!(
            1 8 0, 2 4 0, 3 2 0, 0 0 1, 1 1 1, 2 1 1, 3 1 1, 1 2 1, 1 4 1, 2 4 1, 1 1 2, 1 1 4, 3 2 3
        ));
    }

    fn run_as<const A: usize, const R: usize, const W: usize>(&self, streaming: bool) -> u64 {
        let Part { from, to, steps, .. } = *self;
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: AVX-512 was detected; `Pass::parts` made the pointers for as many steps as it set.
                return unsafe {
                    match streaming {
                        true => x86::avx512::<A, R, W, true>(from, to, steps),
                        false => x86::avx512::<A, R, W, false>(from, to, steps),
                    }
                };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: AVX2 was detected; `Pass::parts` made the pointers for as many steps as it set.
                return unsafe {
                    match streaming {
                        true => x86::avx2::<A, R, W, true>(from, to, steps),
                        false => x86::avx2::<A, R, W, false>(from, to, steps),
                    }
                };
            }
        }
        let _ = streaming;
        // SAFETY: `Pass::parts` made the pointers for as many steps as it set.
        unsafe { body::<[u64; 8], A, R, W, false>(from, to, steps) }
    }
}

/// A vector of 64 bytes in the registers of one instruction set.
trait Vector: Copy {
    /// # Safety
    /// The machine must have the instruction set. This holds for each function of the trait.
    unsafe fn zero() -> Self;
    /// # Safety
    /// `p` must be valid for reads of 64 bytes.
    unsafe fn load(p: *const u8) -> Self;
    /// Stores the vector. With `streaming` the store bypasses the caches, if the machine can do this.
    ///
    /// # Safety
    /// `p` must be valid for writes of 64 bytes, and aligned to 64.
    unsafe fn store(self, p: *mut u8, streaming: bool);
    /// # Safety
    /// The machine must have the instruction set.
    unsafe fn xor(self, other: Self) -> Self;
    /// # Safety
    /// The machine must have the instruction set.
    unsafe fn word(self) -> u64;
}

/// The body of all loops. A step combines the vectors that it reads into as many as it writes. A loop that writes none
/// has an accumulator for each load, so no load waits for another. The result keeps the compiler from removing loads.
///
/// # Safety
/// The machine must have the vector's instruction set. The first `A` pointers of `from` must be valid for reads of
/// `64 * R * steps` bytes, and `to`, aligned to 64, for writes of `64 * W * steps` bytes that are not among those read.
#[inline(always)]
unsafe fn body<V: Vector, const A: usize, const R: usize, const W: usize, const STREAMING: bool>(
    from: [*const u8; 3],
    to: *mut u8,
    steps: usize,
) -> u64 {
    // SAFETY: the machine has the instruction set; the offsets stay within the ranges that the caller promises.
    unsafe {
        let made_of = const { if R < W { R } else { W } };
        let mut kept = [V::zero(); 8];
        for i in 0..steps {
            let mut made = [V::zero(); 4];
            for a in 0..A {
                for r in 0..R {
                    let x = V::load(from[a].add((i * R + r) * VECTOR));
                    if W == 0 {
                        kept[a * R + r] = kept[a * R + r].xor(x);
                    } else {
                        made[r % made_of] = made[r % made_of].xor(x);
                    }
                }
            }
            for w in 0..W {
                made[if A == 0 { 0 } else { w % made_of }].store(to.add((i * W + w) * VECTOR), STREAMING);
            }
        }
        kept.into_iter().fold(0, |word, v| word ^ v.word())
    }
}

impl Vector for [u64; 8] {
    #[inline(always)]
    unsafe fn zero() -> Self {
        [0; 8]
    }

    #[inline(always)]
    unsafe fn load(p: *const u8) -> Self {
        // SAFETY: the caller's pointer is valid; no alignment is assumed.
        unsafe { (p as *const Self).read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut u8, _: bool) {
        // SAFETY: the caller's pointer is valid; no alignment is assumed.
        unsafe { (p as *mut Self).write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        std::array::from_fn(|i| self[i] ^ other[i])
    }

    #[inline(always)]
    unsafe fn word(self) -> u64 {
        self.iter().fold(0, |a, b| a ^ b)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Vector, body};
    use std::arch::x86_64::*;

    macro_rules! flow {
        ($name:ident, $feature:literal, $v:ty) => {
            /// # Safety
            /// The machine must have the feature; the pointers must fulfil the conditions of `body`.
            #[target_feature(enable = $feature)]
            pub unsafe fn $name<const A: usize, const R: usize, const W: usize, const STREAMING: bool>(
                from: [*const u8; 3],
                to: *mut u8,
                steps: usize,
            ) -> u64 {
                // SAFETY: the caller ensures the conditions of `body`.
                let word = unsafe { body::<$v, A, R, W, STREAMING>(from, to, steps) };
                if STREAMING {
                    _mm_sfence();
                }
                word
            }
        };
    }
    flow!(avx512, "avx512f", __m512i);
    flow!(avx2, "avx2", [__m256i; 2]);

    // SAFETY, of all functions below: the caller has detected the instruction set, and its pointers are valid.
    impl Vector for __m512i {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller has detected the instruction set, and its pointers are valid.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn load(p: *const u8) -> Self {
            // SAFETY: the caller has detected the instruction set, and its pointers are valid.
            unsafe { _mm512_loadu_si512(p as *const __m512i) }
        }

        #[inline(always)]
        unsafe fn store(self, p: *mut u8, streaming: bool) {
            let p = p as *mut __m512i;
            // SAFETY: the caller has detected the instruction set, and its pointers are valid.
            unsafe { if streaming { _mm512_stream_si512(p, self) } else { _mm512_storeu_si512(p, self) } }
        }

        #[inline(always)]
        unsafe fn xor(self, other: Self) -> Self {
            // SAFETY: the caller has detected the instruction set, and its pointers are valid.
            unsafe { _mm512_xor_si512(self, other) }
        }

        #[inline(always)]
        unsafe fn word(self) -> u64 {
            // SAFETY: a vector register's type has the size of eight words, and every pattern of bits is a word.
            let words: [u64; 8] = unsafe { std::mem::transmute(self) };
            words.iter().fold(0, |a, b| a ^ b)
        }
    }

    impl Vector for [__m256i; 2] {
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller has detected the instruction set, and its pointers are valid.
            unsafe { [_mm256_setzero_si256(); 2] }
        }

        #[inline(always)]
        unsafe fn load(p: *const u8) -> Self {
            let p = p as *const __m256i;
            // SAFETY: the caller has detected AVX2, and its pointer is valid for 64 bytes, which are two vectors.
            unsafe { [_mm256_loadu_si256(p), _mm256_loadu_si256(p.add(1))] }
        }

        #[inline(always)]
        unsafe fn store(self, p: *mut u8, streaming: bool) {
            let p = p as *mut __m256i;
            // SAFETY: the caller has detected AVX2, and its pointer is valid for 64 bytes, which are two vectors.
            unsafe {
                if streaming {
                    _mm256_stream_si256(p, self[0]);
                    _mm256_stream_si256(p.add(1), self[1]);
                } else {
                    _mm256_storeu_si256(p, self[0]);
                    _mm256_storeu_si256(p.add(1), self[1]);
                }
            }
        }

        #[inline(always)]
        unsafe fn xor(self, other: Self) -> Self {
            // SAFETY: the caller has detected the instruction set, and its pointers are valid.
            unsafe { [_mm256_xor_si256(self[0], other[0]), _mm256_xor_si256(self[1], other[1])] }
        }

        #[inline(always)]
        unsafe fn word(self) -> u64 {
            // SAFETY: two vector registers' types have the size of eight words, and every pattern of bits is a word.
            let words: [u64; 8] = unsafe { std::mem::transmute(self) };
            words.iter().fold(0, |a, b| a ^ b)
        }
    }
}

/// Tests that each loop writes all of its target and nothing else, and reads its inputs; for `cargo test --benches`.
pub fn check() -> Result<(), String> {
    let (part, whole) = (0x3f3f_3f3f_3f3f_3f3f_u64, 64 * 13);
    for step in STEPS {
        for (threads, streaming) in [(1, false), (1, true), (2, false), (3, true)] {
            let flow = Flow {
                arrays: step.arrays,
                read: (step.arrays * step.reads * whole) as f64,
                write: (step.writes * whole) as f64,
            };
            let mut pass = Pass::new(&flow);
            if pass.step != step || pass.steps != 13 {
                return Err(format!("{flow:?} runs as {:?}, {} steps", pass.step, pass.steps));
            }
            if let Some(to) = &pass.to {
                to.words().fill(7);
            }
            pass.run(threads, streaming);
            // each vector that is written is the exclusive or of `of` equal vectors, which the step reads for it
            let of = step.arrays * step.reads / step.reads.min(step.writes).max(1);
            let expected = if of % 2 == 1 { part } else { 0 };
            if let Some(to) = pass.to.as_ref().filter(|to| to.words().iter().any(|w| *w != expected)) {
                return Err(format!("{step:?} on {threads} threads wrote {:x?}", to.words()));
            }
        }
    }
    Ok(())
}

/// The size and alignment of a huge page.
const HUGE: usize = 2 << 20;
/// The library's pool rounds sizes up from this number of bytes on, so that blocks can be reused.
const POOLED: usize = 64 << 10;

/// Memory for a limit, laid out like an array of the same size in the library's pool: a limit in small pages could be
/// slower than a row in huge pages. The pool itself cannot be used from outside the library.
struct Block {
    at: NonNull<u8>,
    bytes: usize,
    layout: Layout,
}

impl Block {
    /// Allocates, and writes every byte, because memory that was never written takes the system time.
    fn new(bytes: usize) -> Block {
        let up = bytes.next_power_of_two();
        let size = match bytes {
            POOLED.. if bytes <= up / 4 * 3 => up / 4 * 3,
            POOLED.. => up,
            _ => bytes.max(VECTOR),
        };
        // the stores of the loops need an alignment of 64
        let align = if size >= HUGE { HUGE } else { 64 };
        let layout = Layout::from_size_align(size, align).expect("a size far below the address space's");
        // SAFETY: the size is not 0.
        let Some(at) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        if size >= HUGE {
            advise_huge(at, size);
        }
        // SAFETY: the block has at least `bytes` bytes.
        unsafe { at.as_ptr().write_bytes(0x3f, bytes) };
        Block { at, bytes, layout }
    }

    /// Returns the `bytes` bytes as words.
    #[allow(clippy::mut_from_ref, reason = "for `check` alone, which holds one at a time")]
    fn words(&self) -> &mut [u64] {
        // SAFETY: the block has `bytes` initialised bytes, and is aligned to 64; nobody else uses it meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr() as *mut u64, self.bytes / 8) }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.at.as_ptr().wrapping_add(offset)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.at.as_ptr(), self.layout) };
    }
}

/// Asks the system for huge pages, as the pool does.
#[cfg(target_os = "linux")]
fn advise_huge(at: NonNull<u8>, size: usize) {
    // declared by hand, because `std` links the C library anyway
    unsafe extern "C" {
        fn madvise(addr: *mut std::ffi::c_void, length: usize, advice: std::ffi::c_int) -> std::ffi::c_int;
    }
    const MADV_HUGEPAGE: std::ffi::c_int = 14;
    // SAFETY: the range is whole pages of a block that the caller owns, and the advice changes no content.
    unsafe { madvise(at.as_ptr().cast(), size / HUGE * HUGE, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge(_: NonNull<u8>, _: usize) {}
