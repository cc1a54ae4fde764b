//! cupric: n-d arrays whose operations run as WGSL compute shaders through wgpu on any GPU, or with SIMD and threads
//! on the CPU. One array type, chosen at run time: shape, element type, memory order, device.
//!
//! ```
//! use cupric::{DType, Device, Rng, array, keep, s, zeros};
//!
//! let device = Device::best()?;                              // a hardware GPU if there is one, else the CPU
//! let x = Rng::new(0).normal([100, 10]).to_device(&device)?; // transfers are explicit
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
//!   [`Expr::plan`] prints. Everything is decided there: promotion, broadcasting, collapsed dimensions, fusion,
//!   windows over arrays larger than a binding.
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
//! * The same inputs give the same bits, always, on one build and device; on the CPU with any number of threads.
//!
//! # Where things are
//!
//! Imports point only down; files of one floor do not know each other.
//!
//! | floor | file | what lives there | go there for |
//! |---|---|---|---|
//! | 0 | `error.rs` | [`Error`], [`ErrorKind`] | the caller's line in a message |
//! | 0 | `math/` | scalar exp, log, sin, … for f32 and f64, free of branches | an error of a function on the CPU |
//! | 1 | `dtype.rs` | [`DType`], [`Element`], [`Scalar`], promotion | a wrong result type |
//! | 1 | `layout.rs` | shapes, strides, views; all size arithmetic | a slice or reshape that shows the wrong element |
//! | 1 | `simd.rs` | a scalar function as a loop for each instruction set | |
//! | 2 | `ufunc/` | the table of elementwise functions | **a new function: one row** |
//! | 2 | `buffer.rs` | the handle on memory | |
//! | 3 | `expr.rs` | the DAG, operands, inference of shapes and dtypes | a new kind of node; deep graphs |
//! | 3 | `kernel.rs` | Plan, Kernel, Caps as data, and their printed form | what a backend is given |
//! | 4 | `backend.rs` | the trait of a device; `backend/faults.rs` the faults that tests plan | |
//! | 5 | `plan/` | `graph.rs` the cache's key; `fuse.rs` what runs together; `lower.rs` a kernel's values; `shape.rs` order and collapse of dimensions, splits, windows | why two operations did not fuse; a wrong stride after dimensions were collapsed; the plan cache (`plan.rs`) |
//! | 6 | `cpu/` | one file a kind of kernel; `memory.rs` the pool | |
//! | 6 | `gpu/` | `wgsl.rs` kernel to text; `batch.rs` submission; `memory.rs` the pool | a change in WGSL text; a leak in the GPU pool |
//! | 7 | `device.rs` | the registry of devices | a new backend |
//! | 8 | `array.rs` | Array, `eval`, transfers, writes | in place or not |
//! | 9 | `ops.rs` | operators, methods from the table, matmul, joins; `ops/reductions.rs` the rest | **a new reduction or composite** |
//! | 9 | `index.rs`, `create.rs`, `random.rs`, `fmt.rs`, `io.rs` | slicing and `take`; creation; Philox; printing; `.npy` | |
//!
//! `shaders/` holds the WGSL: one file a kind of kernel, with slots that the generator fills, and `shaders/lib/`.
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
//! ```compile_fail
//! let x = cupric::array![1., 2.];
//! let lr: f32 = 0.1;
//! let y = lr * &x; // write `&x * lr`
//! ```
//!
//! There is no `==` between arrays (use [`array_equal`] or `equal`), no `x[..]` (use `slice`) and no `+=` (use
//! `update`), because none of them could report an error:
//!
//! ```compile_fail
//! let mut x = cupric::array![1., 2.];
//! x += 1.0;
//! ```
//!
//! ```compile_fail
//! let x = cupric::array![1., 2.];
//! let same = x == x;
//! ```
//!
//! # Environment
//!
//! `CUPRIC_DEVICE=cpu|gpu|gpu:N` decides [`Device::best`]. `CUPRIC_DEBUG=plan,wgsl` prints plans and shaders as they
//! run. `CUPRIC_TIMEOUT` is how many seconds a wait may see no progress (10). `CUPRIC_ISA=portable|avx2` keeps the CPU
//! from using more. `CUPRIC_POISON=1` fills memory with a pattern before it is handed out, for tests.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

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
mod index;
mod io;
mod kernel;
mod layout;
mod math;
mod ops;
mod plan;
mod random;
mod simd;
#[doc(hidden)]
pub mod testing;
mod ufunc;

pub use array::{Array, Plan, SliceMut, array_equal, eval_all};
pub use backend::{MemoryInfo, Stats};
pub use create::{
    Elements, Literal, LiteralArray, arange, empty, empty_like, eye, full, full_like, linspace, literal, ones,
    ones_like, zeros, zeros_like,
};
pub use device::Device;
pub use dtype::{DType, Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use expr::{Arg, Expr, Operand};
#[cfg(feature = "gpu")]
pub use gpu::Numerics;
pub use half::{bf16, f16};
pub use layout::{AxesArg, IntoAxes, IntoShape, NewAxis, SliceItem, keep};
pub use ops::*;
pub use random::Rng;

/// e
pub const E: f64 = std::f64::consts::E;
/// Infinity.
pub const INF: f64 = f64::INFINITY;
/// Not a number.
pub const NAN: f64 = f64::NAN;
/// π
pub const PI: f64 = std::f64::consts::PI;
