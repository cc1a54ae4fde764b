//! Access to the system's memory: allocates and frees blocks, asks for huge pages, and reports how much memory is left.

use super::super::caches::LINE;
use super::POOLED;
use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

/// The size and alignment of a huge page. A block must have this alignment to consist of huge pages.
pub(super) const HUGE: usize = 2 << 20;
/// The alignment that the system's allocator gives to all blocks at no extra cost.
const ALIGN: usize = 16;

/// Returns the layout of a block of `size` bytes. It depends only on the size, because a block must be freed with the
/// layout that it was allocated with.
fn layout(size: usize) -> Option<Layout> {
    match size {
        0 => None,
        HUGE.. => Layout::from_size_align(size, HUGE).ok(),
        _ if is_shifted(size) => Layout::from_size_align(size + LINE, ALIGN).ok(),
        POOLED.. => Layout::from_size_align(size, LINE).ok(),
        _ => Layout::from_size_align(size, ALIGN).ok(),
    }
}

/// Returns whether a block of `size` bytes is aligned to a cache line by hand, inside a larger allocation. The system's
/// allocator takes 85 ns if it is asked for this alignment, and 15 ns if not. Pooled blocks are requested with this
/// alignment, because they are allocated only once. Arrays below 1 KiB need not begin at a cache line.
fn is_shifted(size: usize) -> bool {
    (1024..POOLED).contains(&size)
}

/// Asks the system for huge pages for memory that the caller owns, because touching a few large pages takes less time
/// than touching many small ones. The system may ignore this; nothing depends on it.
#[cfg(all(target_os = "linux", not(miri)))]
pub(in crate::cpu) fn advise_huge(ptr: *mut u8, size: usize) {
    // declared by hand, because `std` links the C library anyway, and this would be the only use of the crate `libc`
    unsafe extern "C" {
        fn madvise(addr: *mut std::ffi::c_void, length: usize, advice: std::ffi::c_int) -> std::ffi::c_int;
    }
    const MADV_HUGEPAGE: std::ffi::c_int = 14;
    // Reduces the range to the whole huge pages inside it, because the rest cannot be stored in huge pages. `madvise`
    // also requires an address at which a page of the system begins, and `first` is such an address.
    let first = ptr.wrapping_add((ptr as usize).wrapping_neg() % HUGE);
    let whole = size.saturating_sub(first as usize - ptr as usize) / HUGE * HUGE;
    if whole > 0 {
        // SAFETY: the range consists of whole pages of memory that the caller owns, and the advice changes no content.
        unsafe { madvise(first.cast(), whole, MADV_HUGEPAGE) };
    }
}

#[cfg(any(not(target_os = "linux"), miri))]
pub(in crate::cpu) fn advise_huge(_: *mut u8, _: usize) {}

/// Memory that comes from Linux itself. The system's allocator keeps freed blocks of up to 32 MiB, so that a process with
/// little memory may not have it for blocks of another size.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod mapped {
    use super::{HUGE, NonNull};
    use std::ffi::{c_int, c_void};

    // declared by hand, like `madvise` above; `i64` is the type `off_t` of these targets
    unsafe extern "C" {
        fn mmap(addr: *mut c_void, length: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
        fn munmap(addr: *mut c_void, length: usize) -> c_int;
    }
    const PROT_READ_AND_WRITE: c_int = 3;
    const MAP_PRIVATE_AND_ANONYMOUS: c_int = 0x22;
    /// The largest size of a page on these targets, in bytes.
    pub const PAGE: usize = 64 << 10;

    pub const EXISTS: bool = true;

    /// Allocates at least `size` bytes, and returns their address and number.
    pub fn allocate(size: usize) -> Option<(NonNull<u8>, usize)> {
        let size = size.checked_next_multiple_of(PAGE)?;
        // SAFETY: the system chooses addresses that nobody uses.
        let ptr = unsafe { mmap(std::ptr::null_mut(), size, PROT_READ_AND_WRITE, MAP_PRIVATE_AND_ANONYMOUS, -1, 0) };
        // a failed `mmap` returns -1
        NonNull::new(ptr.cast()).filter(|ptr| ptr.addr().get() != usize::MAX).map(|ptr| (ptr, size))
    }

    /// Allocates a block of at least `size` bytes. It begins with a huge page if the process has memory for another huge
    /// page meanwhile.
    pub fn block(size: usize) -> Option<NonNull<u8>> {
        let size = size.checked_next_multiple_of(PAGE)?;
        let Some((ptr, all)) = allocate(size.checked_add(HUGE)?) else { return Some(allocate(size)?.0) };
        let before = ptr.addr().get().wrapping_neg() % HUGE;
        // SAFETY: the block has `size` bytes, and begins less than `HUGE` bytes after the start of the allocation. The rest
        // before and behind the block consists of whole pages, because the system returns the address of a page and HUGE and
        // `size` are multiples of a page. Nobody uses these pages.
        unsafe {
            let block = ptr.add(before);
            if before > 0 {
                free(ptr, before);
            }
            if before < all - size {
                free(block.add(size), all - size - before);
            }
            Some(block)
        }
    }

    /// Frees memory of an allocation.
    ///
    /// # Safety
    /// The memory begins and ends with a page of the allocation, and nobody uses it any more.
    pub unsafe fn free(ptr: NonNull<u8>, size: usize) {
        // SAFETY: the caller ensures that the memory is allocated and not in use.
        unsafe { munmap(ptr.as_ptr().cast(), size) };
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod mapped {
    use super::NonNull;

    pub const PAGE: usize = 1;
    pub const EXISTS: bool = false;

    pub fn allocate(_: usize) -> Option<(NonNull<u8>, usize)> {
        None
    }

    pub fn block(_: usize) -> Option<NonNull<u8>> {
        None
    }

    /// Does nothing, because `allocate` and `aligned` return no memory.
    ///
    /// # Safety
    /// There are no conditions.
    pub unsafe fn free(_: NonNull<u8>, _: usize) {}
}

/// Allocates a block. Returns `None` if the system rejects the request, or if the size is 0.
pub(super) fn allocate(size: usize) -> Option<NonNull<u8>> {
    if mapped::EXISTS && size >= HUGE {
        let ptr = mapped::block(size)?;
        advise_huge(ptr.as_ptr(), size);
        return Some(ptr);
    }
    // SAFETY: the layout's size is not 0, because `layout` returns `None` for 0 bytes.
    let ptr = NonNull::new(unsafe { alloc(layout(size)?) })?;
    if size >= HUGE {
        advise_huge(ptr.as_ptr(), size);
    }
    if !is_shifted(size) {
        return Some(ptr);
    }
    let shift = LINE - ptr.addr().get() % LINE;
    // SAFETY: the allocation is a cache line larger than the block, and a shift is at most a line and at least `ALIGN`.
    // So the byte before the block, which stores the shift, is part of the allocation.
    unsafe {
        let block = ptr.add(shift);
        block.sub(1).write(shift as u8);
        Some(block)
    }
}

/// Frees a block.
///
/// # Safety
/// [`allocate`] has made the block with this size, and nobody uses it any more.
pub(super) unsafe fn free(ptr: NonNull<u8>, size: usize) {
    if mapped::EXISTS && size >= HUGE {
        // SAFETY: the caller ensures that `allocate` has made the block with this size.
        return unsafe { mapped::free(ptr, size.next_multiple_of(mapped::PAGE)) };
    }
    let Some(layout) = layout(size) else { return };
    // SAFETY: the caller ensures that `allocate` has made the block with this size. If the block is shifted, the byte
    // before the block holds the block's distance from the start of the allocation.
    unsafe {
        let shift = if is_shifted(size) { ptr.sub(1).read() as usize } else { 0 };
        dealloc(ptr.as_ptr().sub(shift), layout);
    }
}

/// Returns whether the limits of the process (`RLIMIT_DATA`, `RLIMIT_AS`) allow this many more bytes. Asks Linux for the
/// memory and gives it back, which takes 3 µs and touches no page.
pub(super) fn has_room(bytes: usize) -> bool {
    !mapped::EXISTS
        || mapped::allocate(bytes).is_some_and(|(ptr, size)| {
            // SAFETY: the memory is that of the call above.
            unsafe { mapped::free(ptr, size) };
            true
        })
}

/// Returns the number of bytes that Linux expects to have for new allocations without swapping, or `None` if the system
/// does not report them.
pub(super) fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// Returns how many bytes Linux would still give to this process: the memory that is available for new allocations, but
/// no more than the limits of the process (`RLIMIT_DATA`, `RLIMIT_AS`) allow.
pub(super) fn left() -> Option<usize> {
    let [limits, status] = ["/proc/self/limits", "/proc/self/status"].map(std::fs::read_to_string);
    let (limits, status) = (limits.ok()?, status.ok()?);
    let number = |text: &str, name: &str| -> Option<usize> {
        text.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
    };
    let within = |limit: &str, used: &str| {
        Some(number(&limits, limit)?.saturating_sub(number(&status, used)?.saturating_mul(1024)))
    };
    let all = [available(), within("Max data size", "VmData:"), within("Max address space", "VmSize:")];
    all.into_iter().flatten().min()
}
