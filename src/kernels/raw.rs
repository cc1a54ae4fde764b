//! Complete user-defined shaders: [`RawKernel`].

use super::signature::is_identifier;
use super::source::{Complaint, ModuleSource};
use super::{kept_name, refuse, with_room};
use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{IntoShape, Layout, shape_arg, size_of_shape};
use crate::graph::expr::{Expr, common};
use crate::plan::backend::{RawBinding, RawCall};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Module, ScalarKind, ShaderStage, StorageAccess, TypeInner};
use std::fmt;
use std::panic::Location;

/// A complete user-defined WGSL shader, for what an [`ElementwiseKernel`](super::ElementwiseKernel) cannot do:
/// workgroup memory, barriers, atomics, and computed indices. It runs only on a GPU, and the driver gets its source
/// unchanged. wgpu's run-time checks keep out-of-bounds indices inside the shader's own arrays. Only the driver can
/// stop an endless loop, and then the device is lost.
///
/// The shader's memory is `var<storage>` in group 0, with consecutive bindings from 0 on. Read-only bindings are the
/// inputs of a call, and bindings with `read_write` are its results, both in the order of the binding numbers. Uniforms
/// are not supported; pass numbers in a small array.
///
/// ```no_run
/// use cupric::{DType, Device, RawKernel, array};
/// let reversed = RawKernel::new(
///     "@group(0) @binding(0) var<storage, read> x: array<f32>;
///      @group(0) @binding(1) var<storage, read_write> y: array<f32>;
///      var<workgroup> tile: array<f32, 64>;
///      @compute @workgroup_size(64)
///      fn reversed(@builtin(local_invocation_index) i: u32) {
///          tile[i] = x[i];
///          workgroupBarrier();
///          y[i] = tile[63u - i];
///      }",
///     "reversed",
/// )?;
/// let x = cupric::arange(0, 64, 1, DType::F32).to_device(&Device::gpu()?)?;
/// let [y] = reversed.call([1, 1, 1], [&x], [([64], DType::F32)])?;
/// assert_eq!(y.to_vec::<f32>()?[0], 63.0);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # What the shader sees
///
/// An input is in C order and starts at the first byte of its binding; an array with another layout is copied first. An
/// `array<f32>`, `array<i32>` and so on accepts only arrays of that dtype, and an `array<u32>` accepts every dtype. 8-
/// and 16-bit types and bool (8 bits) are packed, 4 or 2 to a `u32`, and `arrayLength` is then rounded up to whole
/// words. Declare 64-bit integers as `array<vec2<u32>>` unless the shader uses WGSL's own. Results are new arrays that
/// are zero before the shader runs, so two calls never write to the same memory.
///
/// A call only enqueues the shader. The shader is not fused, not checked ([`Device::check`](crate::Device::check)) and
/// its results are not compared with a CPU's. Its functions are as accurate as the driver's: on some drivers `exp` is
/// 61 ULP off. Compiled shaders are kept until their device is closed.
///
/// # Differences from CuPy
///
/// The grid is counted in workgroups, whose size is in the source. Results are returned instead of passed as arguments.
pub struct RawKernel {
    name: &'static str,
    text: String,
    bindings: Vec<Bound>,
    /// The total size in bytes of the `var<workgroup>` variables that the entry point uses.
    workgroup_bytes: u64,
}

/// A binding of the shader.
struct Bound {
    label: String,
    is_result: bool,
    /// The dtype of the binding's elements, if they are scalars, vectors or atomics of one type.
    dtype: Option<DType>,
    /// The minimum size in bytes of a buffer for this binding.
    least: u64,
}

impl RawKernel {
    /// Parses a shader whose compute entry point is `entry`.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if the source is not valid WGSL (the message states the line and column), if it
    /// has no such entry point, or if its bindings do not follow the rules of [`RawKernel`].
    #[track_caller]
    pub fn new(wgsl: &str, entry: &str) -> Result<RawKernel> {
        let at = Location::caller();
        if !is_identifier(entry) {
            return Err(refuse("RawKernel", format!("{entry:?} is not a valid name of an entry point"), at));
        }
        let mut source = ModuleSource::default();
        source.theirs("shader", wgsl);
        let read = || -> Result<(Vec<Bound>, u64)> {
            let module = source.parse().map_err(|complaint| refuse(entry, source.describe(&complaint), at))?;
            let is_entry = |e: &naga::EntryPoint| entry.eq(&e.name) && e.stage == ShaderStage::Compute;
            if !module.entry_points.iter().any(is_entry) {
                let there: Vec<&str> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
                let detail = format!("the shader has no compute entry point of this name; it has {there:?}");
                return Err(refuse(entry, detail, at));
            }
            if !module.overrides.is_empty() {
                let detail = "the shader has `override` constants, which a call cannot set; use `const`";
                return Err(refuse(entry, detail, at));
            }
            let bindings = bindings(&module).map_err(|complaint| refuse(entry, source.describe(&complaint), at))?;
            Ok((bindings, workgroup_bytes(&module, entry)))
        };
        let (bindings, workgroup_bytes) = with_room(entry, at, read)?;
        Ok(RawKernel { name: kept_name(entry), text: wgsl.to_string(), bindings, workgroup_bytes })
    }

    /// Returns the name of the entry point, which error messages contain.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Runs the shader on the device of its inputs, and returns its results as arrays. `groups` is the number of
    /// workgroups along each of the three axes of the grid. `inputs` has one expression for each read-only binding, and
    /// `results` has a shape and a dtype for each `read_write` binding.
    ///
    /// # Errors
    /// Returns an error if the inputs are on the CPU or on several devices, if the number of inputs or results differs
    /// from the shader's, if a dtype differs from the declared one, if an array is too small for its declared type or
    /// too large for a binding, or if the driver rejects the shader. Also returns the errors of evaluating the inputs.
    #[track_caller]
    pub fn call<S: IntoShape, const M: usize, const N: usize>(
        &self,
        groups: [u32; 3],
        inputs: [&Expr; M],
        results: [(S, DType); N],
    ) -> Result<[Array; N]> {
        let at = Location::caller();
        let number = common(self.name, inputs.iter().copied(), at)?;
        if number == 0 {
            return Err(refuse(self.name, "no input has a device; choose one with call_on", at));
        }
        self.run(&Device::of(number), groups, &inputs, results, at)
    }

    /// Runs the shader like [`call`](RawKernel::call), on the given device. Inputs without a device are computed on
    /// that device. Also use this method for a shader without inputs.
    ///
    /// # Errors
    /// Returns the errors of [`call`](RawKernel::call).
    #[track_caller]
    pub fn call_on<S: IntoShape, const M: usize, const N: usize>(
        &self,
        device: &Device,
        groups: [u32; 3],
        inputs: [&Expr; M],
        results: [(S, DType); N],
    ) -> Result<[Array; N]> {
        let at = Location::caller();
        let number = common(self.name, inputs.iter().copied(), at)?;
        if ![0, device.id()].contains(&number) {
            let detail = format!("the inputs are on {}, but the call is on {device}", Device::of(number));
            return Err(Error::with_line(ErrorKind::DeviceMismatch, self.name, detail, at));
        }
        self.run(device, groups, &inputs, results, at)
    }

    fn run<S: IntoShape, const N: usize>(
        &self,
        device: &Device,
        groups: [u32; 3],
        inputs: &[&Expr],
        results: [(S, DType); N],
        at: Loc,
    ) -> Result<[Array; N]> {
        let has = |is_result| self.bindings.iter().filter(move |b| b.is_result == is_result);
        let (reads, writes) = (has(false).count(), has(true).count());
        if (inputs.len(), N) != (reads, writes) {
            let detail =
                format!("{} inputs and {N} results, but the shader reads {reads} and writes {writes}", inputs.len());
            return Err(refuse(self.name, detail, at));
        }
        let mut arrays = Vec::with_capacity(inputs.len());
        for (input, bound) in inputs.iter().zip(has(false)) {
            bound.takes(input.dtype()?, input.size()?).map_err(|detail| refuse(self.name, detail, at))?;
            arrays.push(whole(input, device, at)?);
        }
        let mut made = Vec::with_capacity(N);
        for ((shape, dtype), bound) in results.into_iter().zip(has(true)) {
            let shape = shape_arg(shape).map_err(|f| f.at(self.name, at))?;
            let count = size_of_shape(&shape).map_err(|f| f.at(self.name, at))?;
            bound.takes(dtype, count).map_err(|detail| refuse(self.name, detail, at))?;
            if !device.supports(dtype) {
                let detail = format!("{device} does not support {dtype}");
                return Err(Error::with_line(ErrorKind::Unsupported, self.name, detail, at));
            }
            let buffer = device.backend().allocate(count.saturating_mul(dtype.size())).map_err(|e| e.or_at(at))?;
            made.push(Array::new(buffer, Layout::c(&shape), dtype, at));
        }
        let (mut read, mut written) = (arrays.iter(), made.iter());
        let mut bound = Vec::with_capacity(self.bindings.len());
        for b in &self.bindings {
            let array = if b.is_result { written.next() } else { read.next() };
            let Some((array, (buffer, _, _))) = array.and_then(|a| Some((a, a.0.stored()?))) else {
                return Err(Error::with_line(ErrorKind::Internal, self.name, "an array has no memory", at));
            };
            bound.push(RawBinding { buffer, bytes: array.size() * array.dtype().size(), is_result: b.is_result });
        }
        let call = RawCall {
            name: self.name,
            text: &self.text,
            entry: self.name,
            bindings: &bound,
            workgroup_bytes: self.workgroup_bytes,
            groups,
            line: at,
        };
        device.backend().run_raw(&call).map_err(|e| e.or_at(at))?;
        drop(bound);
        made.try_into()
            .map_err(|_| Error::with_line(ErrorKind::Internal, self.name, "not an array for each result", at))
    }
}

/// Evaluates an input on the device, and copies it unless it is in C order and starts at the first byte of its memory.
fn whole(input: &Expr, device: &Device, at: Loc) -> Result<Array> {
    let array = match input.0.device {
        0 => device.scope(|| input.eval_at(at))?.to_device(device)?,
        _ => input.eval_at(at)?,
    };
    let is_whole = array.0.stored().is_some_and(|(_, strides, offset)| {
        offset == 0 && crate::base::layout::is_c_contiguous(array.shape(), strides)
    });
    if is_whole { Ok(array) } else { array.compact(at) }
}

impl Bound {
    /// Returns an error with the reason if an array of `count` elements of a dtype cannot be bound to this binding.
    fn takes(&self, dtype: DType, count: usize) -> Result<(), String> {
        // a shader may read the words of any dtype as u32
        if let Some(own) = self.dtype.filter(|own| *own != dtype && *own != DType::U32) {
            return Err(format!("the shader declares {} as {own}, but the array is {dtype}", self.label));
        }
        // an array that is too large is rejected when its memory is allocated
        let bytes = (count as u64).saturating_mul(dtype.size() as u64).checked_next_multiple_of(4).unwrap_or(u64::MAX);
        if bytes < self.least || count == 0 {
            return Err(format!(
                "{} needs at least {} bytes in the shader, but the array has {bytes}",
                self.label,
                self.least.max(4)
            ));
        }
        Ok(())
    }
}

/// Returns the bindings of a shader, in the order of their numbers.
#[allow(clippy::wildcard_enum_match_arm)] // naga's enums also have variants for other shader stages, all of which are rejected
fn bindings(module: &Module) -> Result<Vec<Bound>, Complaint> {
    let mut found = vec![];
    for (handle, variable) in module.global_variables.iter() {
        let span = module.global_variables.get_span(handle);
        match (variable.space, &variable.binding) {
            (AddressSpace::Private | AddressSpace::WorkGroup, _) => {}
            (AddressSpace::Storage { access }, Some(b)) if b.group == 0 => {
                found.push((b.binding, span, bound(module, variable, access)));
            }
            _ => {
                let detail = "a shader can only bind var<storage> in group 0; pass numbers in a small array";
                return Err(Complaint::new(span, detail));
            }
        }
    }
    found.sort_by_key(|(number, ..)| *number);
    for (n, (number, span, _)) in found.iter().enumerate() {
        if n as u32 != *number {
            return Err(Complaint::new(
                *span,
                format!(
                    "binding {number}, but bindings must be numbered from 0 without gaps: {n} is missing or declared twice"
                ),
            ));
        }
    }
    Ok(found.into_iter().map(|(.., bound)| bound).collect())
}

/// Returns the size in bytes of the workgroup memory that an entry point uses. Each variable is counted as a multiple
/// of 16 bytes, the largest alignment of a type.
fn workgroup_bytes(module: &Module, entry: &str) -> u64 {
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(module).ok();
    let number = module.entry_points.iter().position(|e| entry.eq(&e.name));
    // if it is not known which variables the entry point uses, count all variables
    let uses = info.as_ref().zip(number).map(|(info, number)| info.get_entry_point(number));
    let variables = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
    let used = variables.filter(|(handle, _)| uses.is_none_or(|uses| !uses[*handle].is_empty()));
    used.map(|(_, v)| u64::from(module.types[v.ty].inner.size(module.to_ctx())).next_multiple_of(16)).sum()
}

#[allow(clippy::wildcard_enum_match_arm)] // every type that is not an array is its own element
fn bound(module: &Module, variable: &GlobalVariable, access: StorageAccess) -> Bound {
    let inner = &module.types[variable.ty].inner;
    let element = match inner {
        TypeInner::Array { base, .. } => &module.types[*base].inner,
        _ => inner,
    };
    Bound {
        label: variable.name.clone().unwrap_or_default(),
        is_result: access.contains(StorageAccess::STORE),
        dtype: element.scalar().and_then(dtype_of),
        // naga counts one element for an array whose length depends on the buffer
        least: inner.size(module.to_ctx()) as u64,
    }
}

/// Returns the dtype of a WGSL scalar, or `None` if no dtype corresponds to it.
fn dtype_of(scalar: naga::Scalar) -> Option<DType> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 2) => Some(DType::F16),
        (ScalarKind::Float, 4) => Some(DType::F32),
        (ScalarKind::Float, 8) => Some(DType::F64),
        (ScalarKind::Sint, 4) => Some(DType::I32),
        (ScalarKind::Sint, 8) => Some(DType::I64),
        (ScalarKind::Uint, 4) => Some(DType::U32),
        (ScalarKind::Uint, 8) => Some(DType::U64),
        (ScalarKind::Float | ScalarKind::Sint | ScalarKind::Uint, _) => None,
        (ScalarKind::Bool | ScalarKind::AbstractInt | ScalarKind::AbstractFloat, _) => None,
    }
}

impl fmt::Debug for RawKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |is_result| {
            let labels = self.bindings.iter().filter(move |b| b.is_result == is_result).map(|b| b.label.as_str());
            labels.collect::<Vec<_>>().join(", ")
        };
        write!(f, "RawKernel {}({}) -> ({})", self.name, list(false), list(true))
    }
}
