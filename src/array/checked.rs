//! Evaluations whose results are checked for NaNs, infinities and overflow, because the user has asked for it: `check.rs` says how.

use super::evaluate::{Results, execute_unchecked};
use super::{Array, Loc};
use crate::backend::wait;
use crate::check::{self, Checked, Wanted};
use crate::device::Device;
use crate::error::Result;
use crate::expr::Expr;
use smallvec::SmallVec;

/// Computes expressions and their check by one plan, and waits for what the check has found.
pub(super) fn execute(roots: &[&Expr], wanted: Wanted, device: &Device, at: Loc, at_once: bool) -> Result<Results> {
    let Some(checked) = Checked::of(roots, wanted, at)? else {
        return execute_unchecked(roots, device, at, at_once);
    };
    checked.code.checked()?;
    let with_code: SmallVec<[&Expr; 2]> = roots.iter().copied().chain([&checked.code]).collect();
    let mut results = execute_unchecked(&with_code, device, at, at_once)?;
    refuse(&checked, results.pop(), at)?;
    Ok(results)
}

/// Checks a value before it is written, because a write that fails leaves the array as it was.
pub(super) fn before_write(value: &Expr, device: &Device, at: Loc) -> Result<()> {
    let wanted = check::of_device(device.id()).map_err(|e| e.or_at(at))?;
    if mutant!(written_before_it_is_checked, true, wanted.is_none()) {
        return Ok(());
    }
    let Some(checked) = Checked::of(&[value], wanted, at)? else { return Ok(()) };
    checked.code.checked()?;
    let mut results = execute_unchecked(&[&checked.code], device, at, false)?;
    refuse(&checked, results.pop(), at)
}

/// The error of what a check has found.
fn refuse(checked: &Checked, code: Option<Array>, at: Loc) -> Result<()> {
    let code = code.map(|code| wait(code.one::<i32>("check", at))).transpose()?;
    code.and_then(|code| checked.error(code)).map_or(Ok(()), Err)
}
