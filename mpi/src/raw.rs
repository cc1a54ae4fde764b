//! The calls of MPI, each with its status checked. This is the only file that calls C functions.
//!
//! The crate `mpi-sys` has the bindings. The crate `mpi` above it ignores the status of every call, so that MPI must
//! end the process at any error, and its destructor waits for ranks that have failed.

use crate::call::{Fallible, Fault, Reduce};
use cupric::{DType, ErrorKind};
use mpi_sys as ffi;
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null_mut;

/// MPI after its initialisation.
pub(crate) struct World {
    pub rank: usize,
    pub size: usize,
    /// One communicator for agreements and one for data, so that neither can receive the other's messages.
    comms: [ffi::MPI_Comm; 2],
    /// This crate's own minimum and maximum: for floats, because MPI's need not propagate NaN, and for unsigned
    /// integers, because MPICH 4.0 compares them as signed integers.
    ops: Vec<(DType, [ffi::MPI_Op; 2])>,
    /// The size in bytes of the largest message. MPI counts in 32 bits, so larger data is sent in several messages.
    pub message: Cell<usize>,
}

/// Which communicator a call uses.
#[derive(Clone, Copy)]
pub(crate) enum Channel {
    Agreement,
    Data,
}

/// A call of MPI that has been started. The memory that it uses must stay until it is done.
pub(crate) struct Started(ffi::MPI_Request);

/// A type of elements as MPI moves or reduces them.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    dtype: DType,
    raw: ffi::MPI_Datatype,
}

/// Returns an error for a status other than success.
fn check(call: &'static str, status: c_int) -> Fallible<()> {
    if status == ffi::MPI_SUCCESS as c_int {
        return Ok(());
    }
    let mut text = [0u8; ffi::MPI_MAX_ERROR_STRING as usize + 1];
    let mut length = 0;
    // SAFETY: the buffer is longer than the longest text, and stays terminated by a 0.
    unsafe { ffi::MPI_Error_string(status, text.as_mut_ptr().cast(), &mut length) };
    let text = CStr::from_bytes_until_nul(&text).map(CStr::to_string_lossy).unwrap_or_default();
    Err(Fault::new(ErrorKind::Internal, format!("{call}: {text}")))
}

/// Converts a number of elements for MPI, which counts in 32 bits.
pub(crate) fn count(n: usize) -> Fallible<c_int> {
    let too_many = |_| Fault::new(ErrorKind::LimitExceeded, format!("{n} elements exceed MPI's limit of 2^31 - 1"));
    c_int::try_from(n).map_err(too_many)
}

/// Returns the numbers of elements of all ranks, and the position at which each rank's elements start.
pub(crate) fn counts(all: &[usize]) -> Fallible<(Vec<c_int>, Vec<c_int>)> {
    let (mut lengths, mut starts, mut at) = (vec![], vec![], 0usize);
    for n in all {
        lengths.push(count(*n)?);
        starts.push(count(at)?);
        at = at.saturating_add(*n);
    }
    count(at)?;
    Ok((lengths, starts))
}

impl Kind {
    pub fn dtype(self) -> DType {
        self.dtype
    }

    /// Returns MPI's type for elements that are moved: the unsigned integer of the same size.
    pub fn moved(dtype: DType) -> Kind {
        // SAFETY: these are constants of the C library.
        let raw = unsafe {
            match dtype.size() {
                1 => ffi::RSMPI_UINT8_T,
                2 => ffi::RSMPI_UINT16_T,
                4 => ffi::RSMPI_UINT32_T,
                _ => ffi::RSMPI_UINT64_T,
            }
        };
        Kind { dtype, raw }
    }

    /// Returns MPI's type for elements that are reduced by `op`. Sums and products of signed integers use the unsigned
    /// type, whose operations wrap.
    fn reduced(dtype: DType, op: Reduce) -> Kind {
        let is_ordered = matches!(op, Reduce::Min | Reduce::Max);
        // SAFETY: these are constants of the C library.
        let raw = unsafe {
            match dtype {
                DType::F32 => ffi::RSMPI_FLOAT,
                DType::F64 => ffi::RSMPI_DOUBLE,
                DType::I8 if is_ordered => ffi::RSMPI_INT8_T,
                DType::I16 if is_ordered => ffi::RSMPI_INT16_T,
                DType::I32 if is_ordered => ffi::RSMPI_INT32_T,
                DType::I64 if is_ordered => ffi::RSMPI_INT64_T,
                _ => return Kind::moved(dtype),
            }
        };
        Kind { dtype, raw }
    }
}

/// A number that has a minimum and a maximum.
trait Ordered: Copy {
    fn is_first(self, other: Self, max: bool) -> bool;
}

macro_rules! float {
    ($($t:ty),*) => { $(impl Ordered for $t {
        fn is_first(self, other: $t, max: bool) -> bool {
            if self.is_nan() || other.is_nan() {
                return self.is_nan();
            }
            match max {
                true => self > other || (self == other && self.is_sign_positive()),
                false => self < other || (self == other && self.is_sign_negative()),
            }
        }
    })* };
}
float!(f32, f64);

macro_rules! unsigned {
    ($($t:ty),*) => { $(impl Ordered for $t {
        fn is_first(self, other: $t, max: bool) -> bool {
            if max { self > other } else { self < other }
        }
    })* };
}
unsigned!(u8, u16, u32, u64);

/// Returns the functions by which MPI computes the minimum and the maximum of elements of `T`.
fn both<T: Ordered>() -> [ffi::MPI_User_function; 2] {
    [Some(ordered::<T, false>), Some(ordered::<T, true>)]
}

/// Combines `length` elements of `from` into `into`, as MPI calls it.
///
/// # Safety
/// `length` points to a number, and both buffers point to as many elements of `T`, which nothing else uses meanwhile.
unsafe extern "C" fn ordered<T: Ordered, const MAX: bool>(
    from: *mut c_void,
    into: *mut c_void,
    length: *mut c_int,
    _: *mut ffi::MPI_Datatype,
) {
    // SAFETY: MPI passes buffers of `length` elements. They may be unaligned for `T`, because some are MPI's own.
    unsafe {
        let (from, into) = (from.cast::<T>(), into.cast::<T>());
        for i in 0..usize::try_from(*length).unwrap_or(0) {
            let (a, b) = (from.add(i).read_unaligned(), into.add(i).read_unaligned());
            into.add(i).write_unaligned(if a.is_first(b, MAX) { a } else { b });
        }
    }
}

impl World {
    /// Initialises MPI. Fails if it has been initialised before.
    pub fn new() -> Fallible<World> {
        let mut flag = 0;
        // SAFETY: each call gets pointers to variables of the right types. `MPI_Initialized` may be called at any time,
        // and the others after `MPI_Init_thread`.
        unsafe {
            check("MPI_Initialized", ffi::MPI_Initialized(&mut flag))?;
            if flag != 0 {
                return Err(Fault::new(ErrorKind::Argument, "MPI can be initialised only once in a process"));
            }
            let mut provided = 0;
            let wanted = ffi::RSMPI_THREAD_FUNNELED;
            check("MPI_Init_thread", ffi::MPI_Init_thread(null_mut(), null_mut(), wanted, &mut provided))?;
            if provided < wanted {
                return Err(Fault::new(ErrorKind::Unsupported, "this MPI does not work in a process with threads"));
            }
            let world = ffi::RSMPI_COMM_WORLD;
            check("MPI_Comm_set_errhandler", ffi::MPI_Comm_set_errhandler(world, ffi::RSMPI_ERRORS_RETURN))?;
            let (mut rank, mut size, mut comms) = (0, 0, [ffi::RSMPI_COMM_NULL; 2]);
            check("MPI_Comm_rank", ffi::MPI_Comm_rank(world, &mut rank))?;
            check("MPI_Comm_size", ffi::MPI_Comm_size(world, &mut size))?;
            for comm in &mut comms {
                // the copy inherits the error handler
                check("MPI_Comm_dup", ffi::MPI_Comm_dup(world, comm))?;
            }
            let mut ops = vec![];
            for (dtype, functions) in [
                (DType::F32, both::<f32>()),
                (DType::F64, both::<f64>()),
                (DType::U8, both::<u8>()),
                (DType::U16, both::<u16>()),
                (DType::U32, both::<u32>()),
                (DType::U64, both::<u64>()),
            ] {
                let mut pair = [ffi::RSMPI_MIN, ffi::RSMPI_MAX];
                for (op, function) in pair.iter_mut().zip(functions) {
                    check("MPI_Op_create", ffi::MPI_Op_create(function, 1, op))?;
                }
                ops.push((dtype, pair));
            }
            let [rank, size] = [rank, size].map(|n| usize::try_from(n).unwrap_or(0));
            Ok(World { rank, size, comms, ops, message: Cell::new(1 << 30) })
        }
    }

    /// Returns the maximum number of elements of a message.
    pub fn most(&self, dtype: DType) -> usize {
        (self.message.get() / dtype.size()).max(1)
    }

    /// Ends the use of MPI. All ranks must call it, and no call may be in progress.
    pub fn finalize(&self) -> Fallible<()> {
        // SAFETY: MPI is initialised, and the caller has waited for all calls.
        check("MPI_Finalize", unsafe { ffi::MPI_Finalize() })
    }

    /// Ends all ranks.
    pub fn abort() -> ! {
        // SAFETY: MPI is initialised, because a `World` was made before.
        unsafe { ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, 1) };
        std::process::exit(1)
    }

    fn comm(&self, channel: Channel) -> ffi::MPI_Comm {
        self.comms[channel as usize]
    }

    fn op(&self, dtype: DType, op: Reduce) -> ffi::MPI_Op {
        // SAFETY: these are constants of the C library.
        let [sum, prod, min, max] = unsafe { [ffi::RSMPI_SUM, ffi::RSMPI_PROD, ffi::RSMPI_MIN, ffi::RSMPI_MAX] };
        match (dtype, op) {
            // bools are bytes that are 0 or 1
            (DType::Bool, Reduce::Sum | Reduce::Max) => max,
            (DType::Bool, Reduce::Prod | Reduce::Min) => min,
            (_, Reduce::Sum) => sum,
            (_, Reduce::Prod) => prod,
            (_, Reduce::Min | Reduce::Max) => {
                let own = self.ops.iter().find(|(d, _)| *d == dtype);
                own.map_or([min, max], |(_, ops)| *ops)[usize::from(op == Reduce::Max)]
            }
        }
    }

    /// Starts an all-reduce of `n` numbers by the maximum, for the agreement of the ranks.
    ///
    /// # Safety
    /// Both pointers point to `n` numbers that live until the call is done. Nothing else uses `into` until then.
    pub unsafe fn max(&self, from: *const u64, into: *mut u64, n: usize) -> Fallible<Started> {
        let comm = self.comm(Channel::Agreement);
        start("MPI_Iallreduce", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe {
                let (n, kind, op) = (n as c_int, ffi::RSMPI_UINT64_T, ffi::RSMPI_MAX);
                ffi::MPI_Iallreduce(from.cast(), into.cast(), n, kind, op, comm, request)
            }
        })
    }

    /// Starts `MPI_Iallreduce`.
    ///
    /// # Safety
    /// Both pointers point to `n` elements of `dtype` that live until the call is done. Nothing else uses `into` until
    /// then.
    pub unsafe fn all_reduce(
        &self,
        (from, into): (*const u8, *mut u8),
        n: usize,
        dtype: DType,
        op: Reduce,
    ) -> Fallible<Started> {
        let (n, kind) = (count(n)?, Kind::reduced(dtype, op));
        let (op, comm) = (self.op(kind.dtype, op), self.comm(Channel::Data));
        start("MPI_Iallreduce", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe { ffi::MPI_Iallreduce(from.cast(), into.cast(), n, kind.raw, op, comm, request) }
        })
    }

    /// Starts `MPI_Ireduce_scatter`: rank r gets the part of `lengths[r]` elements of the reduced array.
    ///
    /// # Safety
    /// `from` points to as many elements as the sum of `lengths`, and `into` to as many as this rank's length. Both and
    /// `lengths` live until the call is done, and nothing else uses `into` until then.
    pub unsafe fn reduce_scatter(
        &self,
        (from, into): (*const u8, *mut u8),
        lengths: &[c_int],
        dtype: DType,
        op: Reduce,
    ) -> Fallible<Started> {
        let kind = Kind::reduced(dtype, op);
        let (op, comm) = (self.op(kind.dtype, op), self.comm(Channel::Data));
        start("MPI_Ireduce_scatter", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe { ffi::MPI_Ireduce_scatter(from.cast(), into.cast(), lengths.as_ptr(), kind.raw, op, comm, request) }
        })
    }

    /// Starts `MPI_Ireduce`: rank `root` gets the combined elements.
    ///
    /// # Safety
    /// `from` and, on `root`, `into` point to `n` elements of `dtype` that live until the call is done. Nothing else
    /// uses `into` until then.
    pub unsafe fn reduce(
        &self,
        (from, into): (*const u8, *mut u8),
        n: usize,
        dtype: DType,
        op: Reduce,
        root: usize,
    ) -> Fallible<Started> {
        let (n, kind, root) = (count(n)?, Kind::reduced(dtype, op), count(root)?);
        let (op, comm) = (self.op(kind.dtype, op), self.comm(Channel::Data));
        start("MPI_Ireduce", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe { ffi::MPI_Ireduce(from.cast(), into.cast(), n, kind.raw, op, root, comm, request) }
        })
    }

    /// Starts `MPI_Ibcast`.
    ///
    /// # Safety
    /// `data` points to `n` elements that live until the call is done. Nothing else uses them until then.
    pub unsafe fn broadcast(&self, data: *mut u8, n: usize, kind: Kind, root: usize) -> Fallible<Started> {
        let (n, root, comm) = (count(n)?, count(root)?, self.comm(Channel::Data));
        start("MPI_Ibcast", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe { ffi::MPI_Ibcast(data.cast(), n, kind.raw, root, comm, request) }
        })
    }

    /// Starts `MPI_Iallgatherv`: each rank gets `lengths[r]` elements from every rank r, in the order of the ranks.
    ///
    /// # Safety
    /// `from` and `into` point to as many elements as this rank sends and receives. Both and the lists live until the
    /// call is done, and nothing else uses `into` until then.
    pub unsafe fn all_gather(
        &self,
        (from, into): (*const u8, *mut u8),
        (lengths, starts): (&[c_int], &[c_int]),
        kind: Kind,
    ) -> Fallible<Started> {
        let (n, comm) = (lengths[self.rank], self.comm(Channel::Data));
        start("MPI_Iallgatherv", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe {
                let (lengths, starts) = (lengths.as_ptr(), starts.as_ptr());
                ffi::MPI_Iallgatherv(from.cast(), n, kind.raw, into.cast(), lengths, starts, kind.raw, comm, request)
            }
        })
    }

    /// Starts `MPI_Igatherv`: rank `root` gets `lengths[r]` elements from every rank r, in the order of the ranks.
    ///
    /// # Safety
    /// `from` and, on `root`, `into` point to as many elements as the rank sends and receives. Both and the lists live
    /// until the call is done, and nothing else uses `into` until then.
    pub unsafe fn gather(
        &self,
        (from, into): (*const u8, *mut u8),
        (lengths, starts): (&[c_int], &[c_int]),
        kind: Kind,
        root: usize,
    ) -> Fallible<Started> {
        let (n, root, comm) = (lengths[self.rank], count(root)?, self.comm(Channel::Data));
        start("MPI_Igatherv", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe {
                let (l, s) = (lengths.as_ptr(), starts.as_ptr());
                ffi::MPI_Igatherv(from.cast(), n, kind.raw, into.cast(), l, s, kind.raw, root, comm, request)
            }
        })
    }

    /// Starts `MPI_Iscatterv`: each rank r gets its part of the elements of `root`, with `lengths[r]` elements.
    ///
    /// # Safety
    /// `into` and, on `root`, `from` point to as many elements as the rank receives and sends. Both and the lists live
    /// until the call is done, and nothing else uses `into` until then.
    pub unsafe fn scatter(
        &self,
        (from, into): (*const u8, *mut u8),
        (lengths, starts): (&[c_int], &[c_int]),
        kind: Kind,
        root: usize,
    ) -> Fallible<Started> {
        let (n, root, comm) = (lengths[self.rank], count(root)?, self.comm(Channel::Data));
        start("MPI_Iscatterv", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe {
                let (l, s) = (lengths.as_ptr(), starts.as_ptr());
                ffi::MPI_Iscatterv(from.cast(), l, s, kind.raw, into.cast(), n, kind.raw, root, comm, request)
            }
        })
    }

    /// Starts `MPI_Ialltoallv`: `from` has a part for each rank, and `into` gets a part from each rank. The lists
    /// `sent` and `received` are the lengths and starts of these parts.
    ///
    /// # Safety
    /// `from` and `into` point to as many elements as the lists say. Both and the lists live until the call is done,
    /// and nothing else uses `into` until then.
    pub unsafe fn all_to_all(
        &self,
        (from, into): (*const u8, *mut u8),
        sent: (&[c_int], &[c_int]),
        received: (&[c_int], &[c_int]),
        kind: Kind,
    ) -> Fallible<Started> {
        let comm = self.comm(Channel::Data);
        start("MPI_Ialltoallv", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe {
                let ((a, b), (c, d)) = (sent, received);
                let (a, b, c, d) = (a.as_ptr(), b.as_ptr(), c.as_ptr(), d.as_ptr());
                ffi::MPI_Ialltoallv(from.cast(), a, b, kind.raw, into.cast(), c, d, kind.raw, comm, request)
            }
        })
    }

    /// Starts to send `n` elements to a rank.
    ///
    /// # Safety
    /// `data` points to `n` elements that live until the call is done.
    pub unsafe fn send(&self, data: *const u8, n: usize, kind: Kind, to: usize) -> Fallible<Started> {
        let (n, to, comm) = (count(n)?, count(to)?, self.comm(Channel::Data));
        start("MPI_Isend", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe { ffi::MPI_Isend(data.cast(), n, kind.raw, to, 0, comm, request) }
        })
    }

    /// Starts to receive `n` elements from a rank.
    ///
    /// # Safety
    /// `data` points to `n` elements that live until the call is done. Nothing else uses them until then.
    pub unsafe fn receive(&self, data: *mut u8, n: usize, kind: Kind, from: usize) -> Fallible<Started> {
        let (n, from, comm) = (count(n)?, count(from)?, self.comm(Channel::Data));
        start("MPI_Irecv", |request| {
            // SAFETY: the caller keeps the memory, which is large enough, until the call is done.
            unsafe { ffi::MPI_Irecv(data.cast(), n, kind.raw, from, 0, comm, request) }
        })
    }

    /// Tells the ranks above this one that this rank gives up. No answer is expected, and errors do not matter.
    pub fn tell_higher_ranks(&self) {
        let comm = self.comm(Channel::Agreement);
        for rank in self.rank + 1..self.size {
            // SAFETY: a message without elements reads no memory.
            let begin =
                |request| unsafe { ffi::MPI_Isend(null_mut(), 0, ffi::RSMPI_UINT8_T, rank as c_int, 0, comm, request) };
            let _ = start("MPI_Isend", begin);
        }
    }

    /// Returns whether a lower rank has told this rank that it gives up.
    pub fn is_told(&self) -> bool {
        let (mut flag, comm) = (0, self.comm(Channel::Agreement));
        // SAFETY: the flag lives during the call. Only `tell_higher_ranks` sends messages on this communicator.
        let status = unsafe { ffi::MPI_Iprobe(ffi::RSMPI_ANY_SOURCE, 0, comm, &mut flag, ffi::RSMPI_STATUS_IGNORE) };
        status == ffi::MPI_SUCCESS as c_int && flag != 0
    }
}

fn start(call: &'static str, begin: impl FnOnce(*mut ffi::MPI_Request) -> c_int) -> Fallible<Started> {
    // SAFETY: this is a constant of the C library.
    let mut request = unsafe { ffi::RSMPI_REQUEST_NULL };
    let status = begin(&mut request);
    check(call, status)?;
    Ok(Started(request))
}

impl Started {
    /// Returns whether the call is done, and lets MPI work on it.
    pub fn is_done(&mut self) -> Fallible<bool> {
        let mut flag = 0;
        // SAFETY: the request was started by MPI, or is null since it was done, which counts as done.
        let status = unsafe { ffi::MPI_Test(&mut self.0, &mut flag, ffi::RSMPI_STATUS_IGNORE) };
        check("MPI_Test", status)?;
        Ok(flag != 0)
    }
}
