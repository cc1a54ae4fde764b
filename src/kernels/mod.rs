//! Floor 6: functions that users write in WGSL: [`ElementwiseKernel`] and [`ReductionKernel`], and whole shaders, [`RawKernel`].
//!
//! A text goes one way: `kernels/signature.rs` reads the lists of parameters, `kernels/source.rs` makes a WGSL module of the text
//! and lets naga parse it, `kernels/lower.rs` (statements, those of control in `kernels/control.rs`), `kernels/expressions.rs`, `kernels/types.rs` and `kernels/builtins.rs` turn naga's
//! functions into values over rows of the table of functions (`kernels/program.rs`), and `kernels/build.rs` makes nodes, or
//! formulas of a fold, of these; `kernels/order.rs` tries whether a reduction's order matters. No text reaches a driver, so that a function is as exact as the library's own of its name, and
//! planner and backends know nothing of kernels; `kernels/rows.rs` gives a text the functions that WGSL lacks. `kernels/raw.rs` has whole shaders, which a GPU's driver gets as they are. `kernels/operands.rs` fits a call's operands to the parameters, `kernels/agreement.rs` compares two devices.

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
use crate::base::error::{Error, ErrorKind, Result};
use crate::graph::expr::Loc;
use signature::{Names, Param, Type};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// What a kernel may have beside its parameters and its body.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    helpers: String,
    loop_steps: Option<usize>,
}

impl KernelOptions {
    /// WGSL that stands beside the kernel: functions, structures, constants. The kernel's names for types are known there.
    pub fn helpers(mut self, text: &str) -> KernelOptions {
        self.helpers = text.to_string();
        self
    }

    /// After how many turns all elements have left a loop whose end depends on them. Those that have not leave it then, with the values
    /// that they have. Such a loop is unrolled so often, and each turn costs all elements its operations. Without this maximum a
    /// kernel is refused that has a loop which some elements may be in after 1,024 turns.
    ///
    /// It is at least 1, and holds for each loop of the kernel that some elements leave before others: one that also ends after 100 turns
    /// for all needs a maximum of 100.
    pub fn loop_steps(mut self, most: usize) -> KernelOptions {
        self.loop_steps = Some(most);
        self
    }

    fn checked(&self) -> Result<(), String> {
        match self.loop_steps {
            Some(0) => Err("loop_steps(0): the elements leave a loop after one turn at the earliest".to_string()),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a kernel is for each combination of dtypes that it was called with. Two threads may make one at the same time; one stays.
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

/// Fails if the outputs use a name for types that no input has, the first `known` of the names, or have an input's name.
fn outputs_are_named(inputs: &[Param], outputs: &[Param], known: usize, names: &Names) -> Result<(), String> {
    for p in outputs {
        if inputs.iter().any(|i| i.label == p.label) {
            return Err(format!("{} is an input and an output", p.label));
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

/// Tries a kernel with dtypes for its `names` names for types: with floats, with one dtype for all, and of up to three names with each
/// combination of four dtypes. Fails as floats do.
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

/// Returns a copy of a kernel's name that lives as long as the process, as the names in plans do. Equal names share one copy.
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

/// Returns the float type of the first parameter that has one; f32 if none has.
fn float_type(params: &[&[Param]], named: &[DType]) -> DType {
    let mut types = params.iter().flat_map(|list| list.iter()).map(|p| signature::computed(p.ty.dtype(named)));
    types.find(|d| d.is_float()).unwrap_or(DType::F32)
}

/// Does work that calls itself for each level of a text on a thread with a stack of 256 MiB, of which the system gives only what is used:
/// a text of 64 KiB has at most 30,000 levels, each of which takes the parser a few KiB. Fails if there is no such thread, or if the
/// parser panics.
fn with_room<T: Send>(kernel: &str, at: Loc, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    const STACK: usize = 256 << 20;
    let failed = |kind, detail: &str| Err(Error::with_line(kind, kernel, detail, at));
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("cupric-kernel".into()).stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(|thread| thread.join()) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => failed(ErrorKind::Internal, "the WGSL parser failed at this text"),
            Err(_) => failed(ErrorKind::OutOfMemory, "no thread to read the kernel's text on"),
        }
    })
}
