//! Detects the instruction set of this machine, and provides operations that need an instruction of their own.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set of the CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Isa {
    Portable = 1,
    Avx2 = 2,
    Avx512 = 3,
    Neon = 4,
}

/// The instruction set that [`isa`] has chosen; 0 before its first call.
static ISA: AtomicU8 = AtomicU8::new(0);

/// Returns the best instruction set of this machine, or the one that `CUPRIC_ISA=portable|avx2|avx512` selects if the
/// machine has it. On aarch64 the best is NEON, and `portable` disables threaded code. The first call decides for the
/// whole process.
pub(crate) fn isa() -> Isa {
    match ISA.load(Ordering::Relaxed) {
        1 => Isa::Portable,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        4 => Isa::Neon,
        _ => {
            let best = detect();
            let isa = match std::env::var("CUPRIC_ISA").as_deref() {
                Ok("portable") => Isa::Portable,
                Ok("avx2") if best == Isa::Avx512 => Isa::Avx2,
                _ => best,
            };
            ISA.store(isa as u8, Ordering::Relaxed);
            isa
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Isa {
    // checks every feature that the loops enable, because a hypervisor may hide any of them
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    if avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
    {
        Isa::Avx512
    } else if avx2 {
        Isa::Avx2
    } else {
        Isa::Portable
    }
}

// NEON, with fused multiply-add, is part of every aarch64 that has the standard library
#[cfg(target_arch = "aarch64")]
fn detect() -> Isa {
    Isa::Neon
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Isa {
    Isa::Portable
}

/// Prefetches the cache line at an address. Any address is allowed.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    // SAFETY: SSE is part of every x86-64. A prefetch has no effect that a program could see, and never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast())
    };
    // SAFETY: a prefetch of any address has no effect that a program could see, and never faults; the instruction
    // changes no register. It is assembly because the standard library has no stable function for it.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at.addr(), options(nomem, nostack, preserves_flags))
    };
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
    let _ = at;
}
