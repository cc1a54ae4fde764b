//! cupric: n-d arrays whose operations run as WGSL compute shaders through wgpu on any GPU, or with SIMD and threads
//! on the CPU. One array type, chosen at run time: shape, element type, memory order, device.
//!
//! ```
//! use cupric::{DType, Device, Rng, array, keep, s, zeros};
//!
//! let device = Device::best()?;                              // a hardware GPU if there is one, else the CPU
//! let x = Rng::new(0).normal([100, 10], DType::F32).to_device(&device)?; // transfers are explicit
//! let z = ((&x - x.mean(0)) / (x.std(0) + 1e-6)).eval()?;    // three fused kernels, one `?`
//! let e = (&z - z.max(keep(-1))).exp();                      // nothing has run
//! let p = (&e / e.sum(keep(-1))).eval()?;                    // one kernel that holds a row at a time
//! let mut w = zeros([10], DType::F32).to_device(&device)?;
//! w.assign(&w * 0.9 + p.mean(0))?;                           // in place: nothing is allocated
//! let top = p.slice(s![..3, ..;2]).to_vec::<f32>()?;         // a view, and the way back to the host
//! assert_eq!(top.len(), 15);
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! The [`guide`] goes on from here: [for NumPy and CuPy users](guide::numpy), [laziness](guide::laziness), [views and
//! writes](guide::views), [accuracy](guide::accuracy), [devices](guide::devices).
//!
//! # The pipeline
//!
//! ```text
//! Array ──operators──▶ Expr ──eval──▶ Plan of Kernels ──Backend::run──▶ Array
//! ```
//!
//! * [`Expr`]: an operation not yet run; a node of a DAG. Shape and dtype are inferred when it is built; what does not
//!   fit makes it carry an [`Error`] with the caller's line, which `eval` returns. So a formula has no `?` inside.
//! * [`Array`]: an Expr that is known to be computed. Every operation is a method of Expr, and an Array derefs to one.
//! * Plan: what the planner makes of an expression and a device's limits: kernels as plain data, which
//!   [`Expr::plan`] prints. Everything about how it runs is decided there: what fuses, in which order dimensions are
//!   walked and which collapse, index widths, windows over arrays larger than a binding.
//! * Backend: runs kernels. The CPU and the GPU know the kernel data and nothing of each other.
//!
//! # The rules
//!
//! * Laziness is the only path: one `&a + &b` is a small plan. Evaluating twice computes twice: keep the Array.
//! * A `Result` comes from what computes, moves or checks at once: `eval`, `to_vec`, `item`, writes, transfers, files.
//! * Nothing that a caller does panics.
//! * Arrays are values. A write goes through `&mut`, happens in place where nothing else holds the memory, and never
//!   shows through another array or expression.
//! * Slices, transposes, broadcasts, windows and most reshapes are views; every kernel takes strides.
//! * Rust numbers are weak: they take the dtype of the array that they meet. f16 and bf16 compute and accumulate in
//!   f32; narrow integers wrap at their own width.
//! * The same inputs give the same bits, always, on one build and device; on the CPU with any number of threads. All
//!   NaNs count as one: their signs and payloads are unspecified where they are computed.
//!
//! # Where things are
//!
//! Imports point only down; files of one floor do not know each other.
//!
//! | floor | file | what lives there | go there for |
//! |---|---|---|---|
//! | 0 | `error.rs` | [`Error`], [`ErrorKind`] | the caller's line in a message |
//! | 0 | `mutants.rs` | the list of planted faults, and the macro that marks their places; in an ordinary build nothing | `./tests/run --mutants` |
//! | 0 | `math/` | scalar functions free of branches: `single/` f32 (`narrow.rs`: f16 and bf16 as f32 values; `wide.rs`: by way of f64), `double/` f64 | an error of a function on the CPU |
//! | 1 | `dtype.rs` | [`DType`], [`Element`], [`Scalar`], the promotion table | a wrong result type |
//! | 1 | `layout.rs` | shapes, strides, views (`layout/view.rs`), arguments (`layout/args.rs`); all size arithmetic | a slice or reshape that shows the wrong element |
//! | 1 | `simd.rs` | a scalar function as a loop for each instruction set | |
//! | 2 | `ufunc/` | the table of elementwise functions: arithmetic, `float.rs` (exp to atan2), `special.rs` (erf to gelu), logic, casts | **a new function: one row**, and functions of its own in `math/` and `shaders/lib/` where a formula is not enough |
//! | 2 | `buffer.rs` | the handle on memory | |
//! | 3 | `expr.rs` | the DAG, operands; `expr/build.rs` the nodes, inference of shapes and dtypes | a new kind of node; deep graphs |
//! | 3 | `kernel.rs` | Plan, Kernel, Caps as data, and their printed form; `kernel/validate.rs` what a backend may rely on | what a backend is given |
//! | 4 | `backend.rs` | the trait of a device; `backend/faults.rs` the faults that tests plan | |
//! | 5 | `plan.rs` | the planner's entry and the plan cache | the plan cache |
//! | 5 | `plan/` | `graph.rs` the cache's key; `fuse.rs` what runs together; `price.rs` what nodes cost; `lower.rs` a kernel's values; `shape.rs` order and collapse of dimensions, splits, windows; `buffers.rs` temporaries, in place or not | why two operations did not fuse; a wrong stride after dimensions were collapsed |
//! | 6 | `cpu/` | `compile.rs` kernel to `program.rs` (registers: `arena.rs`), which `tile.rs` runs; who calls it, one file a kind of kernel: `elementwise.rs` (`small.rs` for a few elements, `strided.rs` for copies), `reduce.rs` and `row.rs` (their trees in `fold.rs`), `matmul.rs`; `convert.rs` casts; `memory.rs` the pool; `threads.rs` who shares the work | f16 at a store; a slow kernel |
//! | 6 | `gpu/` | `wgsl.rs`, `wgsl/` the functions that `shaders/*.wgsl` call, written for each kernel (`declare.rs` bindings and parameters, `access.rs` one element of an operand, `place.rs` where it lies, `body.rs` values, `fold.rs` reductions, then a file a kind of kernel; `library.rs` what is taken of `shaders/lib/`); from the top: `prepare.rs` plan to prepared plan, `dispatch.rs` prepared plan to dispatches, `transfer.rs` copies to and from the host, `device.rs` the open device, `batch.rs` submission, `pipelines.rs` compiled kernels, `memory.rs` the pool, `connection.rs` errors, polling and waiting, `adapter.rs` which GPUs there are; `numerics.rs` the probe of the device's arithmetic | a change in WGSL text; a leak in the GPU pool |
//! | 7 | `device.rs` | the registry of devices | a new backend |
//! | 8 | `array.rs` | Array, `eval`, transfers; `array/write.rs` writes | |
//! | 9 | `ops.rs` | operators, methods from the table, matmul, joins; `ops/reductions.rs` reductions and composites | **a new reduction or composite: a method there**, which names the ufunc that folds (only what is no ufunc, as argmax, is also a `Fold` of `kernel.rs`) |
//! | 9 | `index.rs` | `slice` and the other views, `take` | |
//! | 9 | `create.rs` | zeros, arange, …; `create/line.rs` ranges of floats; `create/literal.rs` `array!` | a range that is off by ULP |
//! | 9 | `random.rs` | the generators | |
//! | 9 | `fmt.rs` | printing of arrays | |
//! | 9 | `io.rs`, `io/header.rs` | `.npy`; `io/replace.rs` how a file takes another's place | |
//! | 9 | `testing.rs` | what the tests need and nobody else, behind the feature `testing` | |
//!
//! `shaders/` holds the WGSL that runs: one file a kind of kernel, whose loops call small functions that `gpu/wgsl/` writes
//! for each kernel; `shaders/lib/` what several share: `frame.wgsl` the header of the parameters, `fold.wgsl` the trees of
//! reductions, and functions by the same families as `math/` (`bits.wgsl`: comparisons and rounding on bits; `int64.wgsl`,
//! `f64.wgsl`; `pack.wgsl`: narrow types in words); `numerics.wgsl` the probe.
//!
//! # Numbers in formulas
//!
//! A number on the right of an operator may be of any Rust type; on the left `f64`, `i64`, `f16`, `bf16` or `bool`, so
//! that literals need no suffix:
//!
//! ```
//! let x = cupric::array![1., 2.];
//! let lr: f32 = 0.1;
//! let y = (1.0 - &x).exp() * lr + 2u8;
//! assert_eq!(y.shape()?, [2]);
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! ```compile_fail,E0277
//! let x = cupric::array![1., 2.];
//! let lr: f32 = 0.1;
//! let y = lr * &x; // write `&x * lr`
//! ```
//!
//! There is no `==` between arrays (use [`array_equal`] or `equal`), no `x[..]` (use `slice`) and no `+=` (use
//! `update`), because none of them could report an error:
//!
//! ```compile_fail,E0368
//! let mut x = cupric::array![1., 2.];
//! x += 1.0;
//! ```
//!
//! ```compile_fail,E0369
//! let x = cupric::array![1., 2.];
//! let same = x == x;
//! ```
//!
//! # Environment
//!
//! `CUPRIC_DEVICE=cpu|gpu|gpu:N` decides [`Device::best`]. `CUPRIC_DEBUG=plan,wgsl` prints plans and shaders as they
//! run. `CUPRIC_TIMEOUT` is how many seconds a wait may see no progress (10); kernels that run for the first time, and
//! may have to be compiled by the driver, have 20 more each. `CUPRIC_ISA=portable|avx2` keeps the CPU
//! from using more. With the
//! feature `testing`, `CUPRIC_POISON=1` fills memory with a pattern before it is handed out.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
// What only tests read (the exact functions of rows, say) is no dead code; `.ci/run` lints with the feature too.
#![cfg_attr(not(feature = "testing"), allow(dead_code))]

#[macro_use]
mod mutants;

mod array;
mod backend;
mod buffer;
mod cpu;
mod create;
mod device;
mod dtype;
mod error;
mod expr;
mod fmt;
#[cfg(feature = "gpu")]
mod gpu;
pub mod guide;
mod index;
mod io;
mod kernel;
mod layout;
mod math;
mod ops;
mod plan;
mod random;
mod simd;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod ufunc;

pub use array::{Array, Plan, SliceMut, array_equal, eval_all};
pub use backend::{MemoryInfo, Numerics, Stats};
pub use create::{
    Elements, LiteralArray, all_float_literals, arange, empty, empty_like, eye, full, full_like, linspace, literal,
    ones, ones_like, zeros, zeros_like,
};
pub use device::Device;
pub use dtype::{DType, Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use expr::{Arg, Expr, Operand};
pub use half::{bf16, f16};
pub use layout::{AxesArg, IntoAxes, IntoShape, NewAxis, SliceItem, keep};
pub use ops::*;
pub use random::Rng;

/// The README's examples run as tests too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// e
pub const E: f64 = std::f64::consts::E;
/// Infinity.
pub const INF: f64 = f64::INFINITY;
/// Not a number.
pub const NAN: f64 = f64::NAN;
/// π
pub const PI: f64 = std::f64::consts::PI;
