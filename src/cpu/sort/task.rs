//! Compiles the loops of sorts for each instruction set, and runs them with the best instruction set that this CPU has.

use crate::math::simd::isa;

/// A loop that is compiled for each instruction set.
pub(super) trait Task {
    type Result;
    /// Runs the loop. This function is inlined into functions that enable an instruction set.
    fn run(self) -> Self::Result;
}

/// Runs a loop with the best instruction set that this CPU has.
pub(super) fn run<T: Task>(task: T) -> T::Result {
    match isa() {
        // SAFETY: `isa` has found the features on this machine.
        #[cfg(target_arch = "x86_64")]
        crate::math::simd::Isa::Avx512 => unsafe { run_avx512(task) },
        // SAFETY: `isa` has found AVX2 on this machine.
        #[cfg(target_arch = "x86_64")]
        crate::math::simd::Isa::Avx2 => unsafe { run_avx2(task) },
        _ => task.run(),
    }
}

/// Runs a loop with the instructions of AVX-512.
///
/// # Safety
/// The machine has the features that the attribute enables.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
unsafe fn run_avx512<T: Task>(task: T) -> T::Result {
    task.run()
}

/// Runs a loop with the instructions of AVX2.
///
/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn run_avx2<T: Task>(task: T) -> T::Result {
    task.run()
}
