//! The routine `fft` on the CPU: discrete Fourier transforms by Stockham's algorithm. In this folder, a *row* is a
//! sequence of numbers to transform. Short rows are transposed, so that each lane of a vector transforms one row. A
//! long row is regarded as a matrix, whose columns and then rows are transformed. A row of real numbers is transformed
//! as half as many complex numbers, with another step before or after it (`halves.rs`).
//!
//! All choices that can change the bits of a result depend only on the length of the transform, so the bits are the
//! same for every instruction set and number of threads.

mod butterflies;
mod halves;
mod job;
mod passes;
mod plan;
mod rows;

use super::operands::{Refused, RoutineMemory, SharedTarget};
use super::thread_count::threads;
use super::work_sharing::share;
use crate::base::dtype::DType;
use crate::base::dtype::Element;
use crate::graph::routine::{INVERSE, REAL, ROW_OF_A_TASK, fft_scale};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::math::simd::{Isa, isa};
pub(super) use butterflies::FloatLanes;
use halves::{Halves, groups};
use job::{Job, JobPart};
use plan::{FftFloat, Transform, VECTOR, plan};
use rows::FftKernels;

/// The number of elements that a task transforms, which takes about 100 µs.
const TASK: usize = 1 << 15;
/// The number of blocks that a task transforms of a long row, which is regarded as a matrix. A block has as many
/// columns of this matrix as a vector has lanes. With fewer blocks, clearing scratch memory would take more than a few
/// percent of a task's time.
const BLOCKS: usize = 8;
/// The number of groups of pairs of numbers that a task combines in a long row of real numbers.
const GROUPS: usize = TASK / (2 * VECTOR);

trait Machine: FftFloat + Element {
    /// Returns the functions for the best instruction set of this machine.
    fn kernels() -> &'static FftKernels<Self>;
}

macro_rules! machine {
    ($t:ty, $avx512:ident, $avx2:ident, $neon:ident, $plain:ident) => {
        impl Machine for $t {
            fn kernels() -> &'static FftKernels<$t> {
                #[cfg(target_arch = "x86_64")]
                match isa() {
                    Isa::Avx512 => return &rows::x86::$avx512,
                    Isa::Avx2 => return &rows::x86::$avx2,
                    Isa::Portable | Isa::Neon => {}
                }
                #[cfg(target_arch = "aarch64")]
                if isa() == Isa::Neon {
                    return &rows::arm::$neon;
                }
                &rows::$plain
            }
        }
    };
}
machine!(f32, AVX512_F32, AVX2_F32, NEON_F32, PLAIN_F32);
machine!(f64, AVX512_F64, AVX2_F64, NEON_F64, PLAIN_F64);

/// Computes the Fourier transforms of a call.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    if call.call.operands[0].meta.dtype == DType::F64 {
        transform::<f64>(call);
    } else {
        // every dtype except f64 has been converted to f32 when the expression was built
        transform::<f32>(call);
    }
    Ok(())
}

fn transform<T: Machine>(call: &mut RoutineMemory<'_>) {
    let params = &call.call.params;
    let (length, inner) = (params[0] as usize, params[1] as usize);
    let (from, Some((to, between))) = ([0, 1].map(|n| call.operand::<T>(n)), call.two_targets::<T>()) else {
        return;
    };
    let (is_inverse, is_real) = (params[2] & INVERSE != 0, params[2] & REAL != 0);
    let plan = plan::<T>(length);
    let scale = fft_scale(params);
    let halves = is_real.then(|| {
        let factors = if is_inverse { [1.0; 2] } else { [0.5 * scale, scale] }.map(T::of);
        Halves { roots: plan.half_roots(length), is_inverse, factor: factors[0], factor_of_ends: factors[1] }
    });
    let scale = if is_real && !is_inverse { 1.0 } else { scale };
    let job = Job {
        plan: &plan.transform,
        length,
        inner,
        rows: params[3] as usize / length,
        is_inverse,
        halves,
        from: from.map(|part| SharedTarget(part.as_ptr().cast_mut())),
        to: to.map(SharedTarget),
        between: [SharedTarget(between), SharedTarget(between.wrapping_add(length))],
        scale: (scale != 1.0).then(|| T::of(scale)),
    };
    if from.iter().any(|part| part.len() != job.rows * job.lengths()[0]) {
        return;
    }
    if length == 1 {
        // a transform of one number returns the number; its plan has no passes to run
        for (from, to) in from.iter().zip(to) {
            // SAFETY: the operand and the result have the same number of elements, and share no memory.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        }
        return;
    }
    let kernels = T::kernels();
    let tasks = |part: JobPart, count: usize, each: usize, elements: usize| {
        let task = |i: usize| {
            let numbers = [i * each, ((i + 1) * each).min(count)];
            // SAFETY: the CPU has the instruction set of the kernels that `T::kernels` has selected. Each operand has
            // `rows` times `lengths()[0]` elements, as was checked above, and each result `rows` times `lengths()[1]`,
            // as the routine's table entry infers. Of the tasks that run at the same time, only one accesses an element
            // of a result or of `between`, which has room for the real and the imaginary parts of one row.
            unsafe { (kernels.run)(&job, part, numbers) }
        };
        share(count.div_ceil(each), elements < TASK, task);
    };
    match &plan.transform {
        Transform::Split { columns, rows, .. } if length > ROW_OF_A_TASK => {
            for row in 0..job.rows {
                let combine = || tasks(JobPart::Combine(row), groups(length), GROUPS, length);
                if is_real && is_inverse {
                    combine();
                }
                tasks(JobPart::Columns(row), rows.length.div_ceil(kernels.width), BLOCKS, length);
                tasks(JobPart::Rows(row), columns.length.div_ceil(kernels.width), BLOCKS, length);
                if is_real && !is_inverse {
                    combine();
                }
            }
        }
        Transform::Whole(_) | Transform::Split { .. } => {
            let units = job.units(kernels.width);
            let size = job.rows * length;
            let each = (TASK * units / size.max(1)).clamp(1, units.div_ceil(threads()).max(1));
            tasks(JobPart::Units, units, each, size);
        }
    }
}
