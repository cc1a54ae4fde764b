//! `fft` on the CPU: Stockham transforms of columns, with a transform in each lane of vectors. Short rows are transposed
//! so that each lane holds a row. A longer row is a matrix, whose columns and then rows are transformed. Everything that
//! decides bits follows from the length, so they are the same for any instruction set and number of threads.

mod butterflies;
mod passes;
mod plan;
mod rows;

use super::operands::{Refused, RoutineMemory, SharedTarget};
use super::share::share;
use super::threads::threads;
use crate::base::dtype::DType;
use crate::base::dtype::Element;
use crate::graph::routine::{INVERSE, ROW_OF_A_TASK, fft_scale};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::math::simd::{Isa, isa};
pub(super) use butterflies::FloatLanes;
use plan::{Real, Transform, plan};
use rows::{Job, JobPart, Kernels};

/// The number of elements that a task transforms, which takes some 100 µs.
const TASK: usize = 1 << 15;
/// The number of blocks of columns in a task of a long row. Fewer would make the memory of a task, which it clears
/// first, cost more than a few percent.
const BLOCKS: usize = 8;

trait Machine: Real + Element {
    /// Returns the functions for this machine.
    fn kernels() -> &'static Kernels<Self>;
}

macro_rules! machine {
    ($t:ty, $avx512:ident, $avx2:ident, $neon:ident, $plain:ident) => {
        impl Machine for $t {
            fn kernels() -> &'static Kernels<$t> {
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

/// Runs the routine.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    if call.call.operands[0].meta.dtype == DType::F64 {
        transform::<f64>(call);
    } else {
        // the methods convert every other dtype
        transform::<f32>(call);
    }
    Ok(())
}

fn transform<T: Machine>(call: &mut RoutineMemory<'_>) {
    let params = &call.call.params;
    let (length, inner) = (params[0] as usize, params[1] as usize);
    let (mut from, Some((mut to, between))) = ([0, 1].map(|n| call.operand::<T>(n)), call.two_targets::<T>()) else {
        return;
    };
    if params[2] & INVERSE != 0 {
        // the inverse transform is that of the numbers with real and imaginary parts exchanged
        from.swap(0, 1);
        to.swap(0, 1);
    }
    let plan = plan::<T>(length);
    let scale = fft_scale(params);
    let job = Job {
        plan: &plan,
        length,
        inner,
        rows: from[0].len() / length,
        from: from.map(|part| SharedTarget(part.as_ptr().cast_mut())),
        to: to.map(SharedTarget),
        between: [SharedTarget(between), SharedTarget(between.wrapping_add(length))],
        scale: (scale != 1.0).then(|| T::of(scale)),
    };
    if length == 1 {
        // a transform of one number has no pass
        for (from, to) in from.iter().zip(to) {
            // SAFETY: operand and result have as many elements, and share no memory.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        }
        return;
    }
    let kernels = T::kernels();
    let tasks = |part: JobPart, count: usize, each: usize, elements: usize| {
        let task = |i: usize| {
            let numbers = [i * each, ((i + 1) * each).min(count)];
            // SAFETY: the machine has the features of its kernels. The operands and results have `rows · length`
            // elements, and results are written by one task each; the memory between has the two parts of a row.
            unsafe { (kernels.run)(&job, part, numbers) }
        };
        share(count.div_ceil(each), elements < TASK, task);
    };
    match &*plan {
        Transform::Split { columns, rows, .. } if length > ROW_OF_A_TASK => {
            for row in 0..job.rows {
                tasks(JobPart::Columns(row), rows.length.div_ceil(kernels.width), BLOCKS, length);
                tasks(JobPart::Rows(row), columns.length.div_ceil(kernels.width), BLOCKS, length);
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
