//! N-dimensional arrays. Operations run on any GPU as WGSL compute shaders through wgpu, or on the CPU with SIMD and
//! threads. There is one array type; its shape, element type, memory order and device are chosen at run time. Names and
//! semantics follow NumPy.
//!
//! ```
//! use cupric::{DType, Device, Rng, array, keep, s, zeros};
//!
//! let device = Device::best()?;                              // a hardware GPU if there is one, else the CPU
//! let x = Rng::new(0).normal([100, 10], DType::F32).to_device(&device)?; // transfers are explicit
//! let z = ((&x - x.mean(0)) / (x.std(0) + 1e-6)).eval()?;    // three fused kernels, one `?`
//! let e = (&z - z.max(keep(-1))).exp();                      // nothing has run yet
//! let p = (&e / e.sum(keep(-1))).eval()?;                    // one kernel that holds a row at a time
//! let mut w = zeros([10], DType::F32).to_device(&device)?;
//! w.assign(&w * 0.9 + p.mean(0))?;                           // in place: nothing is allocated
//! let top = p.slice(s![..3, ..;2]).to_vec::<f32>()?;         // a view, copied to the host
//! assert_eq!(top.len(), 15);
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | NumPy and cupric side by side | [`guide::numpy`] |
//! | when an expression is computed, and which operations are fused | [`guide::laziness`], [`Expr::plan`] |
//! | slices, transposes, in-place writes | [`guide::views`], [`Expr::slice`], [`Array::set`] |
//! | derivatives, losses, training steps | [`guide::derivatives`], [`grad`] |
//! | Fourier transforms, complex numbers | [`fft`], [`Complex`] |
//! | QR, eigenvalues, singular values, least squares | [`linalg`] |
//! | the error bound of each function | [`guide::accuracy`] |
//! | GPUs, transfers, memory, waiting, timing | [`guide::devices`], [`Device`] |
//! | the time that each line of a program takes | [`Device::profile`] |
//! | the dtypes that each function accepts | [`guide::support`] |
//! | every operation | the methods of [`Expr`]; an [`Array`] has them all |
//! | errors | [Errors](#errors), [`Error`], [`ErrorKind`] |
//! | user-defined functions | [User-defined functions](#user-defined-functions) |
//!
//! `ARCHITECTURE.md` in the repository describes the implementation.
//!
//! # A short tour
//!
//! **Expressions and arrays.** An operation returns an [`Expr`]. Building one is cheap and computes nothing.
//! [`eval`](Expr::eval) computes it with as few passes over memory as possible and returns an [`Array`]. An Array
//! derefs to an Expr, so every method works on both. Evaluating an expression twice computes it twice: keep the Array
//! instead.
//!
//! ```
//! use cupric::{array, eval_all};
//! let x = array![[1., 2.], [3., 4.]];
//! let y = (&x * 2.0 + 1.0).sqrt();              // an Expr
//! assert_eq!(y.plan()?.kernels(), 1);           // the kernels that eval would run
//! let [sum, max] = eval_all([&y.sum(0), &y.max(..)])?; // shared parts are computed once
//! assert_eq!((sum.shape(), max.ndim()), (&[2][..], 0));
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! **Views and writes.** Slices, transposes, broadcasts, windows and most reshapes are views: they copy nothing. Arrays
//! are values: a write needs `&mut`, and it never changes other arrays and expressions. A write happens in place if
//! nothing else shares the memory.
//!
//! ```
//! use cupric::{array, s};
//! let mut x = array![[1., 2.], [3., 4.]];
//! let before = x.clone();
//! x.set(s![.., 0], 9.0)?;
//! x.update(|x| x * 10.0)?;
//! assert_eq!(x.t().to_vec::<f32>()?, [90., 90., 20., 40.]);
//! assert_eq!(before.to_vec::<f32>()?, [1., 2., 3., 4.]);
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! **Devices.** An array is on one device, and only [`to_device`](Expr::to_device) moves it to another. An expression
//! runs on the device of its arrays; mixing devices is an error that names both. The CPU and every GPU return the same
//! results within the bounds of the [accuracy](guide::accuracy) contract.
//!
//! **Types.** The dtypes are bool, integers of 8 to 64 bits, f16, bf16, f32 and f64. Rust numbers are weakly typed:
//! they adopt the dtype of the array they are combined with. f16 and bf16 compute and accumulate in f32; narrow
//! integers wrap at their own width.
//!
//! **Determinism.** On one build and device, the same inputs always produce the same bits; on the CPU with any number
//! of threads and any instruction set. NaNs are the exception: the sign and payload of a computed NaN are unspecified.
//!
//! # Errors
//!
//! No call panics, whatever its arguments. A formula needs no `?` inside: if shapes or dtypes do not match, the
//! expression carries an [`Error`] with the operation, the shapes and the caller's line. Methods that compute, move or
//! check immediately return it: `eval`, `to_vec`, `item`, `shape`, writes, transfers, files.
//!
//! ```
//! use cupric::{ErrorKind, array};
//! let sum = array![1., 2., 3.] + array![1., 2.]; // no error is returned yet
//! let e = (sum * 2.0).eval().unwrap_err();
//! assert_eq!(e.kind(), ErrorKind::Shape);
//! assert!(e.to_string().contains("cannot broadcast shapes [3] and [2]"));
//! ```
//!
//! # User-defined functions
//!
//! To compose operations, write a Rust function that takes and returns expressions. It fuses like a built-in function:
//!
//! ```
//! use cupric::{Expr, array, keep};
//! fn rms_norm(x: &Expr, epsilon: f64) -> Expr {
//!     x / (x.square().mean(keep(-1)) + epsilon).sqrt()
//! }
//! let x = array![[3., 4.], [6., 8.]];
//! assert_eq!(rms_norm(&x, 1e-6).plan()?.kernels(), 1);
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! With [`impl Operand`](Operand::into_expr) parameters, such a function accepts the same arguments as the library's
//! operations. To report errors as these operations do, convert an `Error` or a `Result<Expr>` with `into`: the result
//! is an `Expr` that carries the error. [`Error::new`] records the line of the function's caller.
//!
//! ```
//! use cupric::{Expr, Operand, array};
//! /// The attention of queries to keys, both of two axes.
//! #[track_caller]
//! fn attention(queries: impl Operand, keys: impl Operand) -> Expr {
//!     let (queries, keys) = (queries.into_expr(), keys.into_expr());
//!     let [_, width] = match queries.dims() {
//!         Ok(dims) => dims,
//!         Err(e) => return e.into(),
//!     };
//!     (queries.matmul(keys.t()) / (width as f64).sqrt()).softmax(-1)
//! }
//! let x = array![[1., 0.], [0., 1.]];
//! assert_eq!(attention(&x, &x * 2.0).shape()?, [2, 2]);
//! let e = attention(array![1., 2.], &x).eval().unwrap_err();
//! assert!(e.to_string().contains("shape [2] has 1 axes, where 2 are needed"));
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! For branches and loops, write an `ElementwiseKernel` or a `ReductionKernel` in WGSL, which runs on the CPU as well.
//! A `RawKernel` is a complete compute shader, which runs on a GPU only.
//!
//! ```
//! use cupric::{ElementwiseKernel, array};
//! let steps = ElementwiseKernel::new(
//!     "x: f32",
//!     "root: f32",
//!     "root = max(x, 1.0); for (var i = 0; i < 20; i++) { root = 0.5 * (root + x / root); }",
//!     "newton",
//! )?;
//! assert_eq!(steps.call((array![4., 9.],)).to_vec::<f32>()?, [2., 3.]);
//! # Ok::<(), cupric::Error>(())
//! ```
//!
//! # Numbers in formulas
//!
//! A number on the right of an operator may have any Rust number type. On the left it may be `f64`, `i64`, `f16`,
//! `bf16` or `bool`, so that literals need no suffix:
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
//! let y = lr * &x; // the compiler says: write `&x * lr`
//! ```
//!
//! There is no `==` between arrays (use [`array_equal`] or `equal`), no `x[..]` (use `slice`), and no `+=` or `-=` (use
//! `x.update(|x| x - 1.0)?`), because these operators cannot return an error:
//!
//! ```compile_fail,E0277
//! let mut x = cupric::array![1., 2.];
//! x += 1.0;
//! ```
//!
//! ```compile_fail,E0277
//! let x = cupric::array![1., 2.];
//! let same = x == x;
//! ```
//!
//! # Features
//!
//! Items that need a feature are marked with its name. The last column counts the packages, cupric included, of a build
//! for Linux with only that feature; without any feature there are 17, with the default ones 73.
//!
//! | feature | default | what it adds | packages |
//! |---|---|---|---|
//! | `gpu` | yes | GPUs through wgpu (Vulkan, Metal, DX12, and WebGPU in a browser); without it cupric runs on the CPU only | 67 |
//! | `rayon` | yes | the CPU backend uses the threads of your rayon pool; without it everything runs on the calling thread, with the same bits | 23 |
//! | `kernels` | yes | `ElementwiseKernel` and `ReductionKernel`: user-defined functions in WGSL, which run on the CPU as well | 36 |
//! | `gles` | no | `gpu`, and GPUs that have only an OpenGL driver: wgpu's feature of this name | 72 |
//! | `ndarray` | no | `as_ndarray` (a view, no copy), `from_ndarray`, `from_owned_ndarray` (no copy), `to_ndarray`, `into_ndarray` | 24 |
//! | `serde` | no | `Serialize` and `Deserialize` of [`Array`], [`DType`] and [`Device`] | 19 |
//! | `image` | no | `from_image`, `to_image` and `to_image_buffer`, without codecs | 23 |
//! | `dlpack` | no | `to_dlpack`, `into_dlpack`, `from_dlpack`: memory shared with NumPy, PyTorch and others | 17 |
//! | `wgpu` | no | with `gpu`: `Device::from_wgpu`, `Array::wgpu_buffer`, `Array::from_wgpu_buffer`, for programs that use wgpu directly | 17 |
//! | `interop` | no | the five features above | 30 |
//! | `npz` | no | `Npz`, `NpzWriter`, `save_npz`, `save_npz_compressed`: archives of named arrays | 22 |
//! | `safetensors` | no | `SafeTensors`, `save_safetensors`: named tensors in one or several files | 23 |
//! | `mmap` | no | `Array::map_npy`, `SafeTensors::map`: arrays backed by a memory-mapped file | 19 |
//! | `text` | no | `TextFormat`, `Array::from_text`, `to_text`, `TextChunks`: text tables of numbers, such as CSV | 17 |
//! | `formats` | no | the four features above | 30 |
//! | `train` | no | `cupric::train`: optimisers, learning rates, loss scaling, initialisers, batches, named parameters | 17 |
//!
//! `testing` is for cupric's own tests and not part of the public API.
//!
//! # Minimum supported Rust version
//!
//! Rust 1.95 is the oldest version that cupric is built and tested with. Its code uses features of the standard library
//! up to Rust 1.89 (the AVX-512 intrinsics), and its locked dependencies require at most 1.90 (`ordered-float`, through
//! wgpu).
//!
//! # Environment
//!
//! | variable | effect |
//! |---|---|
//! | `CUPRIC_DEVICE=cpu`, `gpu` or `gpu:N` | the device that [`Device::best`] returns |
//! | `CUPRIC_DEBUG=plan,wgsl` | prints plans and shaders as they run, to the program's logger or, if there is none, to the standard error |
//! | `CUPRIC_CHECK=nan,inf,overflow` | reports the operation that produced a NaN, an infinity or a wrapped integer: [`Device::check`] |
//! | `CUPRIC_TIMEOUT=10` | seconds without progress after which a wait for a GPU fails; more for much submitted work, for a driver on the CPU, and for each kernel's first run |
//! | `CUPRIC_CACHE_DIR=folder` | where GPUs keep compiled shaders; if empty, nothing is kept: [`guide::devices`] |
//! | `CUPRIC_ISA=portable` or `avx2` | keeps the CPU from using wider instructions; on 64-bit ARM `portable` disables threaded code |
//! | `CUPRIC_POISON=1` | with the feature `testing`: fills memory with a pattern when it is allocated |

// docs.rs shows which feature an item needs. This requires a nightly compiler, which docs.rs uses.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]
// Without the feature `testing`, code that only tests call would be reported as dead. `.ci/run` lints with this
// feature, which finds code that is really dead.
#![cfg_attr(not(feature = "testing"), allow(dead_code))]
// With the feature `testing`, tests in the same files may panic and use wildcards, so these lints are off. `.ci/run`
// also lints without this feature.
#![cfg_attr(
    not(feature = "testing"),
    // no call of a public function panics
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo, clippy::unimplemented),
    // a match on one of the crate's enums lists every variant, so that the compiler reports where a new variant is
    // missing
    warn(clippy::wildcard_enum_match_arm)
)]

#[macro_use]
mod base;

mod array;
mod cpu;
#[cfg(feature = "gpu")]
mod gpu;
mod graph;
pub mod guide;
mod interop;
mod io;
#[cfg(feature = "kernels")]
mod kernels;
mod math;
mod ops;
mod plan;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;

#[cfg(all(feature = "gpu", feature = "wgpu"))]
pub use ::wgpu;
pub use array::check::Check;
pub use array::device::{Device, Limits};
pub use array::print::{Displayed, PrintOptions};
pub use array::profile::{Profile, ProfileClock, ProfileEvent, ProfileRow};
pub use array::{Array, Chunks, Item, Nested, Plan, RowIter, SliceMut, array_equal, eval_all, eval_many, plan_many};
pub use base::dtype::{DType, Element, FloatInfo, IntegerInfo, Scalar};
pub use base::error::{Error, ErrorKind, Result};
pub use base::layout::{
    AxesArg, Integer, Integers, IntoAxes, IntoScanAxis, IntoShape, IntoSliceItem, IntoSortAxis, NewAxis, ScanAxis,
    SliceItem, SliceItems, SortAxis, Stepped, descending, exclusive, include_initial, keep, reverse,
};
pub use graph::expr::{Arg, Expr, Operand};
pub use half::{bf16, f16};
#[cfg(feature = "image")]
pub use interop::IntoImage;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
pub use interop::WgpuBuffer;
#[cfg(feature = "dlpack")]
pub use interop::{DlpackTensor, dlpack_abi};
pub use io::NpyWriter;
#[cfg(feature = "npz")]
pub use io::formats::{Npz, NpzWriter, save_npz, save_npz_compressed};
#[cfg(feature = "safetensors")]
pub use io::formats::{SafeTensors, save_safetensors, write_safetensors};
#[cfg(feature = "text")]
pub use io::formats::{TextChunks, TextFormat};
#[cfg(all(feature = "gpu", feature = "kernels"))]
pub use kernels::RawKernel;
#[cfg(feature = "kernels")]
pub use kernels::{Agreement, ElementwiseKernel, KernelOptions, Operands, Reduction, ReductionKernel};
pub use ops::compiled::Compiled;
pub use ops::complex::{Complex, ComplexOperand};
pub use ops::create::{
    Elements, LiteralArray, all_float_literals, arange, empty, empty_like, eye, full, full_like, geomspace, linspace,
    literal, logspace, ones, ones_like, zeros, zeros_like,
};
pub use ops::devices;
pub use ops::functions::*;
pub use ops::grad::{Parameters, checkpoint, grad, grad_many, grad_or_zeros, jvp, value_and_grad, vjp, with_vjp};
pub use ops::index::{Clip, IntoIndex, IntoIndices, Wrap};
pub use ops::linalg::MatrixNorm;
pub use ops::matrices::{Indexing, eye_shifted, indices, meshgrid, tri};
pub use ops::movement::{
    Blocks, IntoPadWidths, IntoPositions, IntoSections, Pad, block, broadcast_arrays, broadcast_shapes, column_stack,
    dstack, hstack, vstack,
};
pub use ops::network::{Attention, Conv, IntoPadding, Pool, attention};
pub use ops::picking::{ravel_multi_index, select_many};
pub use ops::products::*;
pub use ops::quantiles::{QuantileMethod, Quantiles};
pub use ops::random::Rng;
pub use ops::searching::{Side, interp, searchsorted};
pub use ops::sets::{UniqueAll, UniqueCounts, UniqueInverse};
pub use ops::sorting::partial::lexsort;
pub use ops::statistics::*;
#[cfg(feature = "train")]
pub use ops::train;
pub use plan::backend::{MemoryInfo, Numerics, Stats};

/// Discrete Fourier transforms: the functions of `fft` in the Array API and in NumPy, and SciPy's cosine transform,
/// short-time transform and convolution.
pub mod fft {
    pub use crate::ops::fourier::{
        Norm, Options, dct, fft, fftconvolve, fftfreq, fftn, fftshift, hfft, idct, ifft, ifftn, ifftshift, ihfft,
        irfft, irfftn, istft, rfft, rfftfreq, rfftn, stft,
    };
}

/// Linear algebra: factorisations of matrices, and functions that use a factorisation. Products and norms are methods
/// of [`Expr`].
///
/// The functions of this module convert f16, bf16 and integers to f32, like the functions of [`fft`], and their results
/// are f32 or f64. The methods of [`Expr`] for matrices keep f16 and bf16.
pub mod linalg {
    pub use crate::ops::linalg::{
        Mode, Tolerance, Triangle, cholesky, cond, det, eig, eigh, eigvals, eigvalsh, expm, inv, lstsq, lu,
        matrix_rank, pinv, qr, slogdet, solve, solve_refined, solve_triangular, svd, svdvals,
    };
}

/// Contains the README and the tour as documentation, so that their examples run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/TOUR.md")]
pub struct Readme;

/// Euler's number e, about 2.718.
pub const E: f64 = std::f64::consts::E;
/// Infinity.
pub const INF: f64 = f64::INFINITY;
/// Not a number.
pub const NAN: f64 = f64::NAN;
/// The number π, about 3.142.
pub const PI: f64 = std::f64::consts::PI;
