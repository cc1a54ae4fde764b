//! Routines (operations that are not loop nests, such as a sort) on the CPU: the list of the functions that implement
//! them, and their calls.

use super::bind::Run;
use super::operands::{Refused, RoutineMemory};
use super::parts::internal;
use crate::base::error::Result;
use crate::graph::routine::{
    ARGSORT, ARGTOPK, BINCOUNT, CHOLESKY, COMPRESS, EIG, EIGH, FFT, LU, NONZERO, QR, REDUCE_AT, Routine, SELECT, SOLVE,
    SOLVE_TRIANGULAR, SORT, SUM_BY_KEY, SVD,
};
use crate::plan::backend::refused_value;
use crate::plan::kernel::{BufferRef, RoutineCall};

/// A routine's implementation on the CPU.
pub(super) type RoutineFunction = fn(&mut RoutineMemory<'_>) -> Result<(), Refused>;

/// The function that implements each routine.
static FUNCTIONS: [(&Routine, RoutineFunction); 18] = [
    (&BINCOUNT, super::bincount::run),
    (&SORT, super::sort::sort),
    (&ARGSORT, super::sort::argsort),
    (&ARGTOPK, super::sort::argtopk),
    (&SELECT, super::sort::select),
    (&NONZERO, super::compress::nonzero),
    (&COMPRESS, super::compress::compress),
    (&SUM_BY_KEY, super::sums::by_key),
    (&REDUCE_AT, super::sums::ranges),
    (&FFT, super::fft::run),
    (&CHOLESKY, super::cholesky::run),
    (&SOLVE_TRIANGULAR, super::triangular::run),
    (&LU, super::lu::run),
    (&SOLVE, super::solve::run),
    (&EIGH, super::eigh::run),
    (&SVD, super::svd::run),
    (&QR, super::qr::run),
    (&EIG, super::eig::run),
];

/// Returns whether the CPU implements a routine.
#[cfg(feature = "testing")]
pub(crate) fn has(row: &Routine) -> bool {
    function(row).is_some()
}

fn function(row: &Routine) -> Option<RoutineFunction> {
    FUNCTIONS.iter().find(|(r, _)| *r == row).map(|(_, function)| *function)
}

/// The call of a routine in a plan, ready to be bound to the buffers of a run.
pub(super) struct PreparedCall {
    function: RoutineFunction,
    call: RoutineCall,
}

heap! { PreparedCall: call; }

/// Prepares a call. Returns an error if the CPU does not implement the routine.
pub(super) fn prepare(call: &RoutineCall) -> Result<PreparedCall> {
    match function(call.row) {
        Some(function) => Ok(PreparedCall { function, call: call.clone() }),
        None => Err(internal(call.row.name, "a routine without a function on the CPU")),
    }
}

impl PreparedCall {
    /// Runs the routine on the buffers of a run.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        if run.rehearses {
            return Ok(());
        }
        let call = &self.call;
        let mut operands = RoutineMemory::find(call, run)?;
        (self.function)(&mut operands)
            .map_err(|refused| refused_value(call.row, &call.params, refused.0, run.bindings.line(call.node)))
    }
}

/// Fills a temporary with zeros. A rehearsal only checks that the temporary exists.
pub(super) fn clear(temp: usize, run: &Run<'_>) -> Result<()> {
    let Some(bytes) = run.temps.get(temp).map(crate::base::buffer::Buffer::bytes) else {
        return Err(internal("clear", format!("temporary {temp} is missing")));
    };
    let Some(last) = bytes.checked_sub(1).filter(|_| !run.rehearses) else { return Ok(()) };
    let ptr = run.locate("clear", BufferRef::Temp(temp), 1, 0, Some((0, last as isize)))?;
    // SAFETY: `locate` has checked that all bytes are in the temporary, which nothing else uses during this step.
    unsafe { ptr.write_bytes(0, bytes) };
    Ok(())
}
