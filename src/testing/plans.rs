//! Devices with tight limits, and plans for devices that are not there.

use crate::device::{self, Device};
use crate::error::{Error, ErrorKind, Result};
use crate::expr::Expr;
use crate::kernel::Caps;
use crate::plan;
use std::collections::HashMap;
use std::sync::Mutex;

/// A CPU with the planner's limits of a small GPU.
///
/// # Errors
/// None that a test meets.
pub fn shrunk_cpu() -> Result<Device> {
    device::shrunk_cpu()
}

/// The first GPU with bindings of `max_binding` bytes and a grid of `max_groups` a dimension.
///
/// # Errors
/// No GPU.
#[cfg(feature = "gpu")]
pub fn shrunk_gpu(max_binding: u64, max_groups: u32) -> Result<Device> {
    device::shrunk_gpu(max_binding, max_groups)
}

/// The limits that plans are tested for: the CPU, a card, and the least that WebGPU promises.
pub const NAMED_CAPS: [&str; 3] = ["cpu", "card", "weak"];

fn named(name: &str) -> Option<Caps> {
    let card = Limits::default();
    match name {
        "cpu" => Some(Device::cpu().backend().caps().clone()),
        "card" => Some(card.caps(name)),
        "weak" => {
            let weak = Limits {
                int64: false,
                float64: false,
                max_binding: 128 << 20,
                max_buffer: 256 << 20,
                max_bindings: 6,
                ..card
            };
            Some(weak.caps(name))
        }
        _ => None,
    }
}

/// The limits of a GPU that need not be there; by default those of a card.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limits {
    /// i64 and u64.
    pub int64: bool,
    /// f64.
    pub float64: bool,
    /// The most bytes that one operand of one dispatch may span.
    pub max_binding: u64,
    /// The most bytes of one buffer.
    pub max_buffer: u64,
    /// Buffers bound in one dispatch, stores included.
    pub max_bindings: usize,
    /// Values of one kernel.
    pub max_values: usize,
    /// The longest row of a row kernel.
    pub max_row: usize,
    /// The most elements that one reduction over inner lanes, and over outer lanes, takes in one kernel.
    pub max_reduce: [usize; 2],
    /// The most indices of one dispatch.
    pub max_indices: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            int64: true,
            float64: true,
            max_binding: (1 << 31) - 256,
            max_buffer: 1 << 35,
            max_bindings: 14,
            max_values: 256,
            max_row: 16_384,
            max_reduce: [4096, 256],
            max_indices: 1 << 31,
        }
    }
}

impl Limits {
    fn caps(self, name: &str) -> Caps {
        let Limits { int64, float64, max_binding, max_buffer, .. } = self;
        let Limits { max_bindings, max_values, max_row, max_reduce, max_indices, .. } = self;
        Caps {
            name: name.to_string(),
            gpu: true,
            int64,
            float64,
            max_binding,
            max_buffer,
            max_bindings,
            max_values,
            max_row,
            max_reduce,
            max_indices,
            packs_words: true,
        }
    }
}

/// The plan of an expression of device-less or CPU arrays for a device of these limits, as text; and the WGSL of its
/// kernels, which need no device either.
///
/// # Errors
/// Those of planning.
pub fn plan_for(expression: &Expr, caps: &str) -> Result<(String, Vec<String>)> {
    let caps = named(caps).ok_or_else(|| Error::new(ErrorKind::Argument, "plan_for", "unknown caps", None))?;
    planned(expression, caps)
}

/// As [`plan_for`], for any limits.
///
/// # Errors
/// Those of planning.
pub fn plan_within(expression: &Expr, limits: &Limits) -> Result<(String, Vec<String>)> {
    planned(expression, limits.caps("limits"))
}

fn planned(expression: &Expr, caps: Caps) -> Result<(String, Vec<String>)> {
    static NUMBERS: Mutex<Option<HashMap<Caps, u32>>> = Mutex::new(None);
    expression.checked()?;
    // numbers beyond those of real devices keep these plans apart in the cache
    let id = {
        let mut numbers = NUMBERS.lock().unwrap_or_else(|e| e.into_inner());
        let numbers = numbers.get_or_insert_default();
        let next = u32::MAX - numbers.len() as u32;
        *numbers.entry(caps.clone()).or_insert(next)
    };
    let planned = plan::plan(&[expression], None, &caps, id)?;
    let plan = &planned.plan.plan;
    #[cfg(feature = "gpu")]
    let wgsl = match caps.gpu {
        true => plan.kernels.iter().map(crate::gpu::preview).collect::<Result<Vec<_>>>()?,
        false => vec![],
    };
    #[cfg(not(feature = "gpu"))]
    let wgsl = vec![];
    Ok((plan.to_string(), wgsl))
}
