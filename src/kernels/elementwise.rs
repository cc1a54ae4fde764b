//! User-defined elementwise functions: [`ElementwiseKernel`].

use super::agreement::{Agreement, between};
use super::build::{converted, expressions};
use super::lower::{Lowering, WgslValue};
use super::operands::{Operands, fit};
use super::program::{Id, KernelProgram};
use super::signature::{Listed, Names, Param, computed, is_identifier};
use super::source::ModuleSource;
use super::{KernelOptions, Versions, float_type, outputs_are_named, refuse, rows, some_types, with_room};
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::{Error, Loc, Result};
use crate::base::layout::View;
use crate::graph::expr::{Arg, Expr, composed};
use crate::plan::backend::wait;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A user-defined elementwise function, written in WGSL. Like the library's own functions, it fuses with the operations
/// around it and runs on every backend.
///
/// The inputs and outputs are lists such as `"x: f32, y: T"`. Each has a dtype or a type name that starts with a
/// capital letter. In a call, a type name stands for the common dtype of the operands that are declared with it. The
/// body is the body of a WGSL function: it reads the inputs and assigns the outputs, which are 0 at the start.
///
/// ```
/// use cupric::{ElementwiseKernel, array, eval_all};
/// let smooth_l1 = ElementwiseKernel::new(
///     "x: T, y: T",
///     "z: T",
///     "let d = abs(x - y);
///      if d < 1.0 { z = 0.5 * d * d; } else { z = d - 0.5; }",
///     "smooth_l1",
/// )?;
/// let (x, y) = (array![0., 1., 5.], array![0.5, 1., 1.]);
/// let loss = smooth_l1.call((&x, &y)).mean(..);
/// assert_eq!(loss.plan()?.kernels(), 1);
/// assert_eq!(loss.item::<f32>()?, (0.125 + 0.0 + 3.5) / 3.0);
///
/// // two outputs, and a number as an operand
/// let divide = ElementwiseKernel::new("x: f32, y: f32", "whole: i32, rest: f32", "whole = i32(x / y); rest = x % y;", "divide")?;
/// let [whole, rest] = divide.call_many((array![7., 8.5], 2));
/// let [whole, rest] = eval_all([&whole, &rest])?; // one kernel
/// assert_eq!((whole.to_vec::<i32>()?, rest.to_vec::<f32>()?), (vec![3, 4], vec![1., 0.5]));
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Supported WGSL
///
/// * `let`, `var`, `const`, arithmetic, comparisons, conversions, `if`, `switch` and loops
/// * local vectors, arrays and structures
/// * helper functions ([`KernelOptions::helpers`])
/// * the built-in functions of arithmetic, rounding, exponents, logarithms, powers and trigonometry, and `select`,
///   `clamp`, `saturate`, `mix`, `step`, `smoothstep`, `fract`, `modf`, `fma`, `dot`, `cross`, `length`, `distance`,
///   `normalize`, `all`, `any`
/// * float functions of the library that WGSL does not have, under the names of the methods: `erf`, `log1p`, `cbrt`,
///   `isnan`. Their operands have the first float type among the parameters, or f32 if there is none.
///
/// A body can access only its operands: there are no textures, barriers or atomics.
///
/// In the body, 8- and 16-bit integers are widened to 32 bits, and bf16 to f32. An output is converted to its dtype at
/// the end; integers wrap there. The driver never sees the source, because the library builds from it the same nodes as
/// its own methods do. So a function has the [accuracy](crate::guide::accuracy) of the method with the same name, `min`
/// and `max` return NaN for NaN, and integers wrap. Integer division by 0 and shifts follow the WGSL specification.
///
/// If the condition of a branch differs between elements, both sides are computed for all elements, and each element
/// keeps the results of its side. Loops are unrolled. If some elements leave a loop before others, they keep their
/// values while the others continue; [`KernelOptions::loop_steps`] sets the maximum number of iterations.
///
/// # Differences from CuPy
///
/// The body is WGSL and parameters are written `name: type`. There are no `raw` operands, no index `i` (pass an
/// [`arange`](crate::arange)), and no `out` operand (pass the result to [`assign`](crate::Array::assign)).
pub struct ElementwiseKernel {
    name: String,
    inputs: Vec<Param>,
    outputs: Vec<Param>,
    names: Names,
    body: String,
    options: KernelOptions,
    versions: Versions<Lowered>,
}

/// The lowered kernel for one combination of dtypes.
struct Lowered {
    program: KernelProgram,
    outputs: Vec<Id>,
}

impl ElementwiseKernel {
    /// Makes a kernel from its inputs, its outputs, its body and its name.
    ///
    /// # Errors
    /// Returns an error if a parameter list or the name is not valid, or if the body is not valid WGSL or uses
    /// unsupported features. For an error in the body, the message states the line and column.
    #[track_caller]
    pub fn new(inputs: &str, outputs: &str, body: &str, name: &str) -> Result<ElementwiseKernel> {
        ElementwiseKernel::with_options(inputs, outputs, body, name, KernelOptions::default())
    }

    /// Makes a kernel with options: helper functions, or a maximum number of iterations for loops whose end depends on
    /// the elements.
    ///
    /// ```
    /// use cupric::{ElementwiseKernel, KernelOptions, array};
    /// let options = KernelOptions::default()
    ///     .helpers("fn is_odd(n: u32) -> bool { return n % 2u == 1u; }")
    ///     .loop_steps(200);
    /// let collatz = ElementwiseKernel::with_options(
    ///     "start: u32",
    ///     "steps: u32",
    ///     "var n = start;
    ///      while n > 1u {
    ///          if is_odd(n) { n = 3u * n + 1u; } else { n = n / 2u; }
    ///          steps += 1u;
    ///      }",
    ///     "collatz",
    ///     options,
    /// )?;
    /// let steps = collatz.call((array![1u32, 6, 27],));
    /// assert_eq!(steps.to_vec::<u32>()?, [0, 8, 111]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`new`](ElementwiseKernel::new).
    #[track_caller]
    pub fn with_options(
        inputs: &str,
        outputs: &str,
        body: &str,
        name: &str,
        options: KernelOptions,
    ) -> Result<ElementwiseKernel> {
        let at = Location::caller();
        let refuse = |detail: String| refuse(name, detail, at);
        if !is_identifier(name) {
            return Err(super::refuse(
                "ElementwiseKernel",
                format!("{name:?} is not a valid name: use letters, digits and _"),
                at,
            ));
        }
        let mut names = Names::default();
        let inputs = names.params("inputs", inputs).map_err(refuse)?;
        let known = names.len();
        let outputs = names.params("outputs", outputs).map_err(refuse)?;
        options.checked().map_err(refuse)?;
        outputs_are_named(&inputs, &outputs, known, &names).map_err(refuse)?;
        let kernel = ElementwiseKernel {
            name: name.to_string(),
            inputs,
            outputs,
            names,
            body: body.to_string(),
            options,
            versions: Versions::default(),
        };
        // lower the kernel once now, so that errors in its source are returned here
        some_types(kernel.names.len(), |named| kernel.version(named, at))?;
        Ok(kernel)
    }

    /// Returns the kernel's name, which error messages contain.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the result of a kernel that has one output. Operands broadcast, and numbers adopt the dtypes of the
    /// inputs. As for any operation, nothing is computed yet, and the result carries an error if the operands do not
    /// match the inputs.
    #[track_caller]
    pub fn call(&self, operands: impl Operands) -> Expr {
        let at = Location::caller();
        let [result] = self.results(operands.into_args(), at);
        result
    }

    /// Returns the results of a kernel that has `N` outputs, without computing them yet. [`eval_all`](crate::eval_all)
    /// computes all results in one kernel.
    #[track_caller]
    pub fn call_many<const N: usize>(&self, operands: impl Operands) -> [Expr; N] {
        self.results(operands.into_args(), Location::caller())
    }

    /// Computes the kernel on the CPU and on a device, and returns how far the results differ. Use this to test a
    /// kernel. Operands may be on any device.
    ///
    /// ```
    /// use cupric::{Device, ElementwiseKernel, array};
    /// let kernel = ElementwiseKernel::new("x: f32", "y: f32", "y = exp(x) / (1.0 + exp(x));", "logistic")?;
    /// let agreement = kernel.check((array![-1., 0., 2.],), &Device::best()?)?;
    /// assert!(agreement.most_ulps <= 8.0, "{agreement}");
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`call`](ElementwiseKernel::call) and [`eval`](Expr::eval).
    #[track_caller]
    pub fn check(&self, operands: impl Operands, device: &Device) -> Result<Agreement> {
        let at = Location::caller();
        wait("check", "check_async", self.agreement(operands.into_args(), device, at)).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`check`](ElementwiseKernel::check), for code that must not block.
    ///
    /// ```
    /// # let checked = async {
    /// use cupric::{Device, ElementwiseKernel, array};
    /// let kernel = ElementwiseKernel::new("x: f32", "y: f32", "y = x * 2.0;", "twice")?;
    /// let agreement = kernel.check_async((array![-1., 0., 2.],), &Device::best_async().await?).await?;
    /// assert_eq!(agreement.different, 0);
    /// # Ok::<(), cupric::Error>(())
    /// # };
    /// # pollster::block_on(checked)?;
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`check`](ElementwiseKernel::check).
    #[track_caller]
    pub fn check_async(&self, operands: impl Operands, device: &Device) -> impl Future<Output = Result<Agreement>> {
        self.agreement(operands.into_args(), device, Location::caller())
    }

    async fn agreement(&self, args: Vec<Arg>, device: &Device, at: Loc) -> Result<Agreement> {
        between(&args, device, ("check", at), |args| self.build(args, at)).await
    }

    fn results<const N: usize>(&self, args: Vec<Arg>, at: Loc) -> [Expr; N] {
        let built = match self.outputs.len() {
            n if n == N => self.build(args, at),
            n => {
                let list = Listed(&self.outputs, &self.names);
                Err(refuse(&self.name, format!("the kernel has {n} outputs \"{list}\", but {N} were requested"), at))
            }
        };
        let mut built = built.map(Vec::into_iter);
        std::array::from_fn(|_| match &mut built {
            Ok(results) => results.next().unwrap_or_else(|| Expr::failed(refuse(&self.name, "no such output", at), at)),
            Err(e) => Expr::failed(e.clone(), at),
        })
    }

    fn build(&self, args: Vec<Arg>, at: Loc) -> Result<Vec<Expr>> {
        let fitted = fit(&self.name, &self.inputs, &self.names, args, at)?;
        let version = self.version(&fitted.named, at)?;
        // all results of a call are made together, so that they share nodes
        let results = expressions(&version.program, &fitted.operands, fitted.device, &version.outputs, at);
        let finish = |(result, p): (Expr, &Param)| {
            composed(|| {
                let result = converted(result, p.ty.dtype(&fitted.named), at);
                match result.0.shape == fitted.shape {
                    true => result,
                    false => crate::graph::expr::view(&self.name, &result, at, |from| {
                        View::broadcast_to(from, &fitted.shape)
                    }),
                }
            })
        };
        Ok(results.into_iter().zip(&self.outputs).map(finish).collect())
    }

    /// Returns the kernel, lowered for the dtypes `named` of its type names.
    fn version(&self, named: &[DType], at: Loc) -> Result<Arc<Lowered>> {
        let lower = || {
            let mut source = ModuleSource::new(&self.names, named);
            source.ours("fn kernel_main(").list(&self.inputs, &self.names, "", ", ").ours(") {\n");
            source.list(&self.outputs, &self.names, "var ", ";\n").theirs("body", &self.body).ours("}\n");
            if !self.options.helpers.is_empty() {
                source.theirs("helpers", &self.options.helpers);
            }
            let rows = rows::called(&[&self.body, &self.options.helpers]);
            rows::declare(&mut source, &rows, float_type(&[&self.inputs, &self.outputs], named));
            let lowered = source.parse().and_then(|module| {
                let mut lowering = Lowering::new(&module, &rows, self.options.loop_steps);
                let args = self.inputs.iter().enumerate();
                let args =
                    args.map(|(n, p)| WgslValue::One(lowering.program.input(n, computed(p.ty.dtype(named))))).collect();
                let outputs: Vec<&str> = self.outputs.iter().map(|p| p.label.as_str()).collect();
                let values = lowering.function("kernel_main", args, &outputs)?;
                let ids =
                    values.into_iter().map(|v| lowering.one(v, naga::Span::UNDEFINED)).collect::<Result<_, _>>()?;
                Ok(Lowered { program: lowering.program, outputs: ids })
            });
            lowered.map_err(|complaint| self.complain(source.describe(&complaint), named, at))
        };
        self.versions.get(named, || with_room(&self.name, at, lower))
    }

    fn complain(&self, detail: String, named: &[DType], at: Loc) -> Error {
        let types: Vec<String> = self.names.iter().zip(named).map(|(n, d)| format!("{n} = {d}")).collect();
        match types.is_empty() {
            true => refuse(&self.name, detail, at),
            false => refuse(&self.name, format!("with {}: {detail}", types.join(", ")), at),
        }
    }
}

impl fmt::Debug for ElementwiseKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inputs, outputs) = (Listed(&self.inputs, &self.names), Listed(&self.outputs, &self.names));
        write!(f, "ElementwiseKernel {}({inputs}) -> ({outputs})", self.name)
    }
}
