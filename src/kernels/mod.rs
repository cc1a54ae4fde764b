//! Floor 6: functions that users write in WGSL: [`ElementwiseKernel`] and [`ReductionKernel`], and complete shaders,
//! [`RawKernel`].
//!
//! The source of a kernel passes through these files:
//!
//! * `kernels/signature.rs` parses the lists of parameters.
//! * `kernels/source.rs` builds a WGSL module from the user's source, and naga parses it. `kernels/rows.rs` declares
//!   the functions that WGSL does not have.
//! * `kernels/lower.rs` (statements; control flow is in `kernels/control.rs`), `kernels/expressions.rs`,
//!   `kernels/types.rs` and `kernels/builtins.rs` lower naga's functions to values (`kernels/program.rs`). A value
//!   calls a ufunc, a row of the library's table of functions.
//! * `kernels/build.rs` turns these values into nodes, or into formulas of a reduction's fold.
//!
//! The source itself does not reach a driver. So a function is as accurate as the library's own function of the same
//! name, and the planner and backends do not know about kernels.
//!
//! `kernels/operands.rs` fits the operands of a call to the parameters. `kernels/order.rs` tests whether the order of a
//! reduction matters. `kernels/agreement.rs` compares the results of two devices. `kernels/raw.rs` runs complete
//! shaders, which the driver gets unchanged.

mod agreement;
mod build;
mod builtins;
mod control;
mod elementwise;
mod expressions;
mod lower;
mod operands;
mod order;
mod program;
#[cfg(feature = "gpu")]
mod raw;
mod reduction;
mod rows;
mod signature;
mod source;
mod types;

pub use agreement::Agreement;
pub use elementwise::ElementwiseKernel;
pub use operands::Operands;
#[cfg(feature = "gpu")]
pub use raw::RawKernel;
pub use reduction::{Reduction, ReductionKernel};

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::platform::CAN_WAIT;
use signature::{Names, Param, Type};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Options of a kernel: helper functions, and a maximum number of iterations of its loops.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    helpers: String,
    loop_steps: Option<usize>,
}

impl KernelOptions {
    /// Adds WGSL declarations that the kernel can use: functions, structures, constants. The declarations may use the
    /// kernel's type names.
    pub fn helpers(mut self, text: &str) -> KernelOptions {
        self.helpers = text.to_string();
        self
    }

    /// Sets the maximum number of iterations of a loop that some elements leave before others. After this many
    /// iterations, the remaining elements leave the loop with their current values. The loop is unrolled this many
    /// times, and every element pays for the operations of each iteration. Without this maximum, a kernel is rejected
    /// if some elements may still be in a loop after 1,024 iterations.
    ///
    /// `most` must be at least 1. It applies to each loop of the kernel that some elements leave before others. For
    /// example, if some elements may leave a loop early and all have left it after 100 iterations, `most` must be at
    /// least 100; otherwise the loop ends too early.
    pub fn loop_steps(mut self, most: usize) -> KernelOptions {
        self.loop_steps = Some(most);
        self
    }

    fn checked(&self) -> Result<(), String> {
        match self.loop_steps {
            Some(0) => Err("loop_steps(0): the maximum must be at least 1".to_string()),
            Some(_) | None => Ok(()),
        }
    }
}

/// The lowered kernels, one for each combination of dtypes that was used in a call. If two threads lower the same
/// combination, the first result is kept.
struct Versions<T>(Mutex<HashMap<Vec<DType>, Arc<T>>>);

impl<T> Default for Versions<T> {
    fn default() -> Versions<T> {
        Versions(Mutex::default())
    }
}

impl<T> Versions<T> {
    fn get(&self, named: &[DType], make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(named) {
            return Ok(known.clone());
        }
        let new = Arc::new(make()?);
        Ok(lock().entry(named.to_vec()).or_insert(new).clone())
    }
}

fn refuse(kernel: &str, detail: impl Into<String>, at: Loc) -> Error {
    Error::with_line(ErrorKind::Argument, kernel, detail, at)
}

/// Returns an error if an output has the name of an input, or a type name that no input has. `known` is the number of
/// type names in the inputs.
fn outputs_are_named(inputs: &[Param], outputs: &[Param], known: usize, names: &Names) -> Result<(), String> {
    for p in outputs {
        if inputs.iter().any(|i| i.label == p.label) {
            return Err(format!("{} is both an input and an output", p.label));
        }
        if let Type::Named(n) = p.ty
            && n >= known
        {
            let name = names.iter().nth(n).unwrap_or_default();
            return Err(format!("the output {} has the type {name}, which no input has", p.label));
        }
    }
    Ok(())
}

/// Tries to lower a kernel that has `names` type names: with f32 for all names, then with each of seven other dtypes
/// for all names, and then, for at most three names, with each combination of four dtypes. Returns the first success.
/// If all of these fail, returns the error of the first try.
fn some_types<T>(names: usize, try_types: impl Fn(&[DType]) -> Result<T>) -> Result<T> {
    use DType::*;
    const MIXED: [DType; 4] = [F32, I32, U32, Bool];
    let of_floats = match try_types(&vec![F32; names]) {
        Ok(done) => return Ok(done),
        Err(e) => e,
    };
    let one = [I32, U32, Bool, I64, U64, F64, F16].into_iter().map(|dtype| vec![dtype; names]);
    let nth = |n: usize| (0..names).map(|name| MIXED[n / MIXED.len().pow(name as u32) % MIXED.len()]).collect();
    let mixed = (0..if names <= 3 { MIXED.len().pow(names as u32) } else { 0 }).map(nth);
    let mut others = one.chain(mixed).filter(|_| names > 0);
    others.find_map(|types: Vec<DType>| try_types(&types).ok()).ok_or(of_floats)
}

/// Returns a copy of a kernel's name that lives until the process ends, because plans contain `&'static str` names.
/// Equal names share one copy.
fn kept_name(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let new: &'static str = name.to_string().leak();
    names.insert(new);
    new
}

/// Returns the float type of the first parameter that has a float type, or f32 if there is no such parameter.
fn float_type(params: &[&[Param]], named: &[DType]) -> DType {
    let mut types = params.iter().flat_map(|list| list.iter()).map(|p| signature::computed(p.ty.dtype(named)));
    types.find(|d| d.is_float()).unwrap_or(DType::F32)
}

/// Runs `work` on a thread with a stack of 256 MiB, because parsing and lowering recurse for each nesting level of the
/// source: at most 30,000 levels of a few KiB each. The system commits only the pages that are used. Returns an error
/// if the thread cannot be created or the parser panics.
fn with_room<T: Send>(kernel: &str, at: Loc, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    const STACK: usize = 256 << 20;
    let failed = |kind, detail: &str| Err(Error::with_line(kind, kernel, detail, at));
    if !CAN_WAIT {
        return work();
    }
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("cupric-kernel".into()).stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(|thread| thread.join()) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => failed(ErrorKind::Internal, "the WGSL parser panicked on this source"),
            Err(_) => failed(ErrorKind::OutOfMemory, "cannot start a thread to parse the kernel's source"),
        }
    })
}
