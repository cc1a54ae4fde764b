//! Evaluations that check their results for NaNs, infinities and overflow, if the user has requested it; see
//! `array/check/mod.rs`.

use super::Array;
use super::execute::{self, Results, only};
use crate::array::check::{self, Checked};
use crate::array::device::Device;
use crate::base::error::{Loc, Result};
use crate::graph::expr::Expr;
use crate::plan::backend::wait;
use smallvec::SmallVec;

/// Computes a single expression. If the user has requested checks, also checks it for NaNs, infinities and overflow.
#[inline]
pub(super) fn execute_one(root: &Expr, device: &Device, at: Loc) -> Result<Array> {
    if check::of_device(device.backend().checks()).map_err(|e| e.or_at(at))?.is_none() {
        return execute::execute_one(root, device, at);
    }
    only(execute(&[root], device, at, false)?, "eval", at)
}

/// Computes unevaluated expressions. If the user has requested checks for NaNs, infinities or overflow, the same
/// evaluation also computes the checks, and this function waits for their result.
pub(super) fn execute(roots: &[&Expr], device: &Device, at: Loc, at_once: bool) -> Result<Results> {
    let wanted = check::of_device(device.backend().checks()).map_err(|e| e.or_at(at))?;
    if wanted.is_none() {
        return execute::execute(roots, device, at, at_once);
    }
    let Some(checked) = Checked::of(roots, wanted, at)? else {
        return execute::execute(roots, device, at, at_once);
    };
    checked.code.checked()?;
    let with_code: SmallVec<[&Expr; 2]> = roots.iter().copied().chain([&checked.code]).collect();
    let mut results = execute::execute(&with_code, device, at, at_once)?;
    refuse(&checked, results.pop(), at)?;
    Ok(results)
}

/// Checks a value before it is written, because a write that fails must leave the array unchanged.
pub(super) fn before_write(value: &Expr, device: &Device, at: Loc) -> Result<()> {
    let wanted = check::of_device(device.backend().checks()).map_err(|e| e.or_at(at))?;
    if mutant!(written_before_it_is_checked, true, wanted.is_none()) {
        return Ok(());
    }
    let Some(checked) = Checked::of(&[value], wanted, at)? else { return Ok(()) };
    checked.code.checked()?;
    let mut results = execute::execute(&[&checked.code], device, at, false)?;
    refuse(&checked, results.pop(), at)
}

/// Returns an error if a check has found a fault. `code` is the 0-d result of the check: 0 if there is no fault.
pub(super) fn refuse(checked: &Checked, code: Option<Array>, at: Loc) -> Result<()> {
    let code = code.map(|code| wait("check", "", code.one::<i32>("check", at)).map_err(|e| e.or_at(at))).transpose()?;
    code.and_then(|code| checked.error(code)).map_or(Ok(()), Err)
}
