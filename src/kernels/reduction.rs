//! User-defined reductions: [`ReductionKernel`].

use super::agreement::{Agreement, between};
use super::build::{converted, expressions, terms};
use super::lower::{Lowered, Lowering, WgslValue};
use super::operands::{Fitted, Operands, fit};
use super::order::Tried;
use super::program::{Id, KernelProgram, KernelStep};
use super::signature::{Listed, Names, Param, computed, is_identifier};
use super::source::ModuleSource;
use super::{KernelOptions, Versions, float_type, kept_name, outputs_are_named, refuse, rows, some_types, with_room};
use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, Loc, Result};
use crate::base::layout::{AxesArg, IntoAxes, Shape, View};
use crate::graph::expr::{Arg, Expr, cast, composed, reduce};
use crate::graph::ufunc::{Component, ComputeKind, Definition, Fold, Form, MOST_COMPONENTS, Neutral, Term, Ufunc};
use crate::plan::backend::wait;
use smallvec::smallvec;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// The parts of a [`ReductionKernel`]: a list of state variables, and three WGSL bodies that assign variables.
#[derive(Clone, Copy, Debug)]
pub struct Reduction<'a> {
    /// The one to three variables that hold a partial result, such as `"sum: f32 = 0"`. The value after `=` is the
    /// neutral number: combining it with any number leaves that number unchanged. It is `0`, `1`, `lowest` or
    /// `highest`; for floats, `lowest` is −∞ and `highest` is ∞. For floats, `0` means −0.
    pub state: &'a str,
    /// The body that assigns the state of one element, for example `"sum = x * x;"`.
    pub map: &'a str,
    /// The body that assigns the combination of the states `a` and `b`, for example `"sum = a.sum + b.sum;"`. Swapping
    /// `a` and `b` must not change the result. The order in which many states are combined must not change it either,
    /// except for rounding.
    pub combine: &'a str,
    /// The body that assigns the output from the state of all elements, for example `"y = sqrt(sum);"`.
    pub finish: &'a str,
}

/// A user-defined reduction, written in WGSL. Like the library's own reductions, it fuses with the operations before
/// and after it and runs on every backend.
///
/// ```
/// use cupric::{Reduction, ReductionKernel, array};
/// let logsumexp = ReductionKernel::new(
///     "x: T",
///     "y: T",
///     Reduction {
///         state: "most: T = lowest, sum: T = 0",
///         map: "most = x; sum = 1;",
///         combine: "let far = exp(-abs(a.most - b.most));
///                   most = max(a.most, b.most);
///                   if a.most > b.most { sum = a.sum + b.sum * far; }
///                   else if a.most < b.most { sum = a.sum * far + b.sum; }
///                   else { sum = a.sum + b.sum; }",
///         finish: "y = most + log(sum);",
///     },
///     "logsumexp",
/// )?;
/// let x = array![[0., 1., 2.], [1000., 1000., 1000.]];
/// let y = logsumexp.call((&x,), -1);
/// assert!(y.allclose(&x.logsumexp(-1), 1e-6, 1e-6, false).item::<bool>()?);
/// assert_eq!(y.plan()?.kernels(), 1);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// The parameters and the supported WGSL are the same as for an [`ElementwiseKernel`](super::ElementwiseKernel). The
/// order in which elements are combined depends only on the shape, as for [`sum`](crate::Expr::sum), so the same
/// operands give the same bits. The result of reducing no elements is `finish` of the neutral numbers. Each operand is
/// combined in the type of its input; f16 and bf16 are combined in f32. A reduction with a state of several numbers
/// must have exactly one input; combine several operands before the call.
///
/// [`new`](ReductionKernel::new) and [`with_options`](ReductionKernel::with_options) test with a few numbers whether
/// the neutral numbers leave others unchanged and whether the order of combination matters. A reduction's formulas are
/// kept in memory until the process ends, and equal formulas are stored once. So make a reduction once and call it
/// often.
///
/// # Differences from CuPy
///
/// The state has names and may be several numbers. The axis is an argument of the call; there is no `out`.
pub struct ReductionKernel {
    name: &'static str,
    inputs: Vec<Param>,
    output: Param,
    state: Vec<Param>,
    starts: Vec<Neutral>,
    names: Names,
    map: String,
    combine: String,
    finish: String,
    options: KernelOptions,
    versions: Versions<Version>,
}

/// The reduction, lowered for one combination of dtypes.
struct Version {
    /// Computes, from the operands, the number that the fold combines. `None` if the state is several numbers: then the
    /// fold's formulas include `map`.
    map: Option<(KernelProgram, Id)>,
    fold: Fold,
    /// Computes the result from the state. It is used if there are no elements, or if the fold is one of the library's
    /// own, because such a fold returns its state.
    finish: (KernelProgram, Id),
}

impl ReductionKernel {
    /// Makes a reduction from its inputs, its output, its state and three bodies (`steps`), and its name.
    ///
    /// # Errors
    /// Returns an error if a parameter list or the name is not valid, if a body is not valid WGSL or uses unsupported
    /// features (the message states the line and column), or if the test of the neutral numbers and of the order fails.
    #[track_caller]
    pub fn new(inputs: &str, output: &str, steps: Reduction<'_>, name: &str) -> Result<ReductionKernel> {
        ReductionKernel::with_options(inputs, output, steps, name, KernelOptions::default())
    }

    /// Makes a reduction with options: helper functions, or a maximum number of iterations for loops whose end depends
    /// on the elements.
    ///
    /// # Errors
    /// Returns the errors of [`new`](ReductionKernel::new).
    #[track_caller]
    pub fn with_options(
        inputs: &str,
        output: &str,
        steps: Reduction<'_>,
        name: &str,
        options: KernelOptions,
    ) -> Result<ReductionKernel> {
        let at = Location::caller();
        let no = |detail: String| refuse(name, detail, at);
        if !is_identifier(name) {
            return Err(refuse(
                "ReductionKernel",
                format!("{name:?} is not a valid name: use letters, digits and _"),
                at,
            ));
        }
        let mut names = Names::default();
        let inputs = names.params("inputs", inputs).map_err(no)?;
        let known = names.len();
        let outputs = names.params("output", output).map_err(no)?;
        let state = names.params_with_starts("state", steps.state).map_err(no)?;
        outputs_are_named(&inputs, &outputs, known, &names).map_err(no)?;
        outputs_are_named(&inputs, &state, known, &names).map_err(no)?;
        outputs_are_named(&state, &outputs, known, &names).map_err(no)?;
        options.checked().map_err(no)?;
        let [output] = <[Param; 1]>::try_from(outputs).map_err(|p| {
            no(format!("{} outputs; a reduction has one: make two reductions, and eval_all computes both", p.len()))
        })?;
        if state.len() > MOST_COMPONENTS {
            return Err(no(format!("a state of {} numbers; the maximum is {MOST_COMPONENTS}", state.len())));
        }
        if state.len() > 1 && inputs.len() > 1 {
            let detail = format!(
                "{} inputs with a state of {} numbers; such a reduction has one input",
                inputs.len(),
                state.len()
            );
            return Err(no(detail));
        }
        if let Some(p) = state.iter().find(|p| ["a", "b"].contains(&p.label.as_str())) {
            return Err(no(format!(
                "the state's {}: a and b are the names of combine's two states, so no number of the state may have such a name",
                p.label
            )));
        }
        let starts = state.iter().map(start).collect::<Result<_, _>>().map_err(no)?;
        let kernel = ReductionKernel {
            name: kept_name(name),
            inputs,
            output,
            state,
            starts,
            names,
            map: steps.map.to_string(),
            combine: steps.combine.to_string(),
            finish: steps.finish.to_string(),
            options,
            versions: Versions::default(),
        };
        some_types(kernel.names.len(), |named| kernel.version(named, at))?;
        Ok(kernel)
    }

    /// Returns the reduction's name, which error messages contain.
    pub fn name(&self) -> &str {
        self.name
    }

    /// Returns the operands reduced along axes. Axes are given as for [`sum`](crate::Expr::sum): `0`, `[0, 1]`, `..`
    /// for all, or [`keep`](crate::keep) of these. Operands broadcast. Nothing is computed yet, and the result carries
    /// an error if operands or axes do not match.
    #[track_caller]
    pub fn call(&self, operands: impl Operands, axes: impl IntoAxes) -> Expr {
        let (args, axes, at) = (operands.into_args(), axes.into_axes(), Location::caller());
        crate::graph::expr::carry(at, || self.build(args, &axes, at))
    }

    /// Computes the reduction on the CPU and on a device, and returns how far the results differ. Use this to test a
    /// reduction. Operands may be on any device.
    ///
    /// # Errors
    /// Returns the errors of [`call`](ReductionKernel::call) and [`eval`](Expr::eval).
    #[track_caller]
    pub fn check(&self, operands: impl Operands, axes: impl IntoAxes, device: &Device) -> Result<Agreement> {
        let at = Location::caller();
        let checked = self.agreement(operands.into_args(), axes.into_axes(), device, at);
        wait("check", "check_async", checked).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`check`](ReductionKernel::check), for code that must not block.
    ///
    /// # Errors
    /// Returns the errors of [`check`](ReductionKernel::check).
    #[track_caller]
    pub fn check_async(
        &self,
        operands: impl Operands,
        axes: impl IntoAxes,
        device: &Device,
    ) -> impl Future<Output = Result<Agreement>> {
        self.agreement(operands.into_args(), axes.into_axes(), device, Location::caller())
    }

    async fn agreement(&self, args: Vec<Arg>, axes: AxesArg, device: &Device, at: Loc) -> Result<Agreement> {
        between(&args, device, ("check", at), |args| Ok(vec![self.build(args, &axes, at)?])).await
    }

    fn build(&self, args: Vec<Arg>, axes: &AxesArg, at: Loc) -> Result<Expr> {
        let fitted = fit(self.name, &self.inputs, &self.names, args, at)?;
        let version = self.version(&fitted.named, at)?;
        let reduced = axes.resolve(fitted.shape.len()).map_err(|f| f.at(self.name, at))?;
        let is_empty = reduced.iter().any(|d| fitted.shape[*d] == 0);
        Ok(composed(|| {
            let mapped = self.mapped(&version, &fitted, at);
            let result = match is_empty {
                true => self.of_nothing(&version, &fitted.named, &mapped, axes, at),
                false => {
                    let reduced = reduce(self.name, version.fold, &mapped, axes, at);
                    match version.fold.is_plain() {
                        true => self.finished(&version, std::slice::from_ref(&reduced), &reduced, at),
                        false => reduced,
                    }
                }
            };
            converted(result, self.output.ty.dtype(&fitted.named), at)
        }))
    }

    /// Returns the operand of the fold: the result of `map`, or the kernel's only operand if the state is several
    /// numbers.
    fn mapped(&self, version: &Version, fitted: &Fitted, at: Loc) -> Expr {
        let mapped = match &version.map {
            Some((program, result)) => {
                the_one(expressions(program, &fitted.operands, fitted.device, &[*result], at), at)
            }
            None => fitted.operands[0].clone(),
        };
        // f16 numbers are combined in f32, even if they are stored between two kernels, so cast before the fold
        let mapped = match version.fold.is_plain() && mapped.0.dtype == DType::F16 {
            true => cast(mapped, DType::F32, at),
            false => mapped,
        };
        self.broadcast(mapped, &fitted.shape, at)
    }

    fn broadcast(&self, e: Expr, shape: &Shape, at: Loc) -> Expr {
        match e.0.shape == *shape || e.error().is_some() {
            true => e,
            false => crate::graph::expr::view(self.name, &e, at, |from| View::broadcast_to(from, shape)),
        }
    }

    /// Returns the result of a reduction of no elements: `finish` of the neutral numbers, with the shape of a sum.
    fn of_nothing(&self, version: &Version, named: &[DType], mapped: &Expr, axes: &AxesArg, at: Loc) -> Expr {
        let starts = self.state.iter().zip(&self.starts).map(|(p, start)| {
            let dtype = p.ty.dtype(named);
            let compute = computed(dtype).compute();
            let number = match start {
                // a sum of no floats is 0, although the neutral number is −0
                Neutral::Zero => Scalar::Int(0),
                // for an integer state of 8 or 16 bits, the limits of this type, although the state is combined in 32
                // bits
                Neutral::Lowest if dtype.is_integer() => Scalar::Int(dtype.integer_range().0),
                Neutral::Highest if dtype.is_integer() => Scalar::Int(dtype.integer_range().1),
                Neutral::One | Neutral::Lowest | Neutral::Highest => Scalar::from_bits(start.bits(compute), compute),
            };
            Expr::fill_on(mapped.0.device, number, smallvec![], computed(dtype), at)
        });
        let starts: Vec<Expr> = starts.collect();
        let like = reduce(self.name, Fold::of(&crate::graph::ufunc::arithmetic::add), mapped, axes, at);
        self.finished(version, &starts, &like, at)
    }

    /// Returns `finish` of a state, with the shape of `like`. If `like` carries an error, the result carries the same
    /// error.
    fn finished(&self, version: &Version, state: &[Expr], like: &Expr, at: Loc) -> Expr {
        if let Some(e) = like.error() {
            return Expr::failed(e.clone(), at);
        }
        let (program, result) = &version.finish;
        let made = the_one(expressions(program, state, like.0.device, &[*result], at), at);
        self.broadcast(made, &like.0.shape, at)
    }

    fn version(&self, named: &[DType], at: Loc) -> Result<Arc<Version>> {
        self.versions.get(named, || with_room(self.name, at, || self.lower(named, at)))
    }

    fn lower(&self, named: &[DType], at: Loc) -> Result<Version> {
        let mut source = ModuleSource::new(&self.names, named);
        let output = std::slice::from_ref(&self.output);
        source.ours("struct State {\n").list(&self.state, &self.names, "", ",\n").ours("}\n");
        source.ours("fn kernel_map(").list(&self.inputs, &self.names, "", ", ").ours(") {\n");
        source.list(&self.state, &self.names, "var ", ";\n").theirs("map", &self.map).ours("}\n");
        source.ours("fn kernel_combine(a: State, b: State) {\n");
        source.list(&self.state, &self.names, "var ", ";\n").theirs("combine", &self.combine).ours("}\n");
        source.ours("fn kernel_finish(").list(&self.state, &self.names, "", ", ").ours(") {\n");
        source.list(output, &self.names, "var ", ";\n").theirs("finish", &self.finish).ours("}\n");
        if !self.options.helpers.is_empty() {
            source.theirs("helpers", &self.options.helpers);
        }
        let rows = rows::called(&[&self.map, &self.combine, &self.finish, &self.options.helpers]);
        rows::declare(&mut source, &rows, float_type(&[&self.inputs, &self.state, output], named));
        let module = source.parse();
        let lowered = module.and_then(|module| self.steps(&module, &rows, named));
        let [map, combine, finish] =
            lowered.map_err(|complaint| self.complain(source.describe(&complaint), named, at))?;
        self.fold(map, combine, finish, named, at).map_err(|detail| self.complain(detail, named, at))
    }

    /// Lowers `map`, `combine` and `finish`; returns each program with its results.
    fn steps(
        &self,
        module: &naga::Module,
        rows: &[&'static Ufunc],
        named: &[DType],
    ) -> Lowered<[(KernelProgram, Vec<Id>); 3]> {
        let types = |params: &[Param]| -> Vec<DType> { params.iter().map(|p| computed(p.ty.dtype(named))).collect() };
        let lower = |function: &str, args: &dyn Fn(&mut KernelProgram) -> Vec<WgslValue>, outputs: &[Param]| {
            let mut lowering = Lowering::new(module, rows, self.options.loop_steps);
            let args = args(&mut lowering.program);
            let outputs: Vec<&str> = outputs.iter().map(|p| p.label.as_str()).collect();
            let values = lowering.function(function, args, &outputs)?;
            let ids = values.into_iter().map(|v| lowering.one(v, naga::Span::UNDEFINED)).collect::<Lowered<_>>()?;
            Ok((lowering.program, ids))
        };
        let inputs = |program: &mut KernelProgram, types: &[DType], from: usize| -> Vec<WgslValue> {
            types.iter().enumerate().map(|(n, dtype)| WgslValue::One(program.input(from + n, *dtype))).collect()
        };
        let (operands, state) = (types(&self.inputs), types(&self.state));
        let map = lower("kernel_map", &|p| inputs(p, &operands, 0), &self.state)?;
        let both = |p: &mut KernelProgram| {
            vec![WgslValue::Many(inputs(p, &state, 0)), WgslValue::Many(inputs(p, &state, state.len()))]
        };
        let combine = lower("kernel_combine", &both, &self.state)?;
        let finish = lower("kernel_finish", &|p| inputs(p, &state, 0), std::slice::from_ref(&self.output))?;
        Ok([map, combine, finish])
    }

    fn fold(
        &self,
        map: (KernelProgram, Vec<Id>),
        combine: (KernelProgram, Vec<Id>),
        finish: (KernelProgram, Vec<Id>),
        named: &[DType],
        at: Loc,
    ) -> Result<Version, String> {
        let n = self.state.len();
        let types = |params: &[Param]| -> Vec<DType> { params.iter().map(|p| computed(p.ty.dtype(named))).collect() };
        let [inputs, numbers] = [types(&self.inputs), types(&self.state)];
        let tried = Tried {
            map: &map,
            combine: &combine,
            finish: &finish,
            inputs: &inputs,
            state: &numbers,
            starts: &self.starts,
        };
        tried.check()?;
        if let Some(row) = self.function(&combine) {
            return Ok(Version { map: Some((map.0, map.1[0])), fold: Fold::of(row), finish: (finish.0, finish.1[0]) });
        }
        let state: Vec<Component> = self
            .state
            .iter()
            .zip(&self.starts)
            .map(|(p, init)| Component { kind: ComputeKind::Is(computed(p.ty.dtype(named)).compute()), init: *init })
            .collect();
        let states: Vec<Term> = (0..n).map(Term::A).chain((0..n).map(Term::B)).collect();
        let lift = match n {
            1 => vec![Term::X],
            _ => terms(&map.0, &[Term::X], &map.1).map_err(|e| format!("map: {e}"))?,
        };
        let combined = terms(&combine.0, &states, &combine.1).map_err(|e| format!("combine: {e}"))?;
        let finished = terms(&finish.0, &states, &finish.1).map_err(|e| format!("finish: {e}"))?;
        let result = computed(self.output.ty.dtype(named)).compute();
        let fold = Fold::new(Definition {
            name: self.name,
            method: self.name,
            state: Component::list(&state),
            lift: Term::list(&lift),
            combine: Term::list(&combined),
            finish: finished[0],
            result: ComputeKind::Is(result),
            empty: None,
            commutative: true,
            exact: false,
            in_sequence: false,
            bounds: None,
            form: Form::Formulas,
        });
        let fold = fold.map_err(|fault| fault.at(self.name, at).detail().to_string())?;
        let map = (n == 1).then(|| (map.0, map.1[0]));
        Ok(Version { map, fold, finish: (finish.0, finish.1[0]) })
    }

    /// Returns the ufunc that `combine` calls if `combine` is a single call with both states, and the neutral number is
    /// the ufunc's own. The library's fold of this ufunc is then used, because it is faster than a fold by formulas.
    fn function(&self, combine: &(KernelProgram, Vec<Id>)) -> Option<&'static Ufunc> {
        let (program, results) = combine;
        let [result] = results[..] else { return None };
        let (KernelStep::Call(row, args), _) = &program.steps()[result] else { return None };
        let inputs: Vec<usize> = args.iter().filter_map(|a| program.as_input(*a)).collect();
        let takes_both = matches!(inputs[..], [0, 1] | [1, 0]) && args.len() == 2;
        (takes_both && row.reduce?.neutral == self.starts[0]).then_some(*row)
    }

    fn complain(&self, detail: String, named: &[DType], at: Loc) -> Error {
        let types: Vec<String> = self.names.iter().zip(named).map(|(n, d)| format!("{n} = {d}")).collect();
        match types.is_empty() {
            true => refuse(self.name, detail, at),
            false => refuse(self.name, format!("with {}: {detail}", types.join(", ")), at),
        }
    }
}

/// Returns the only expression of a list.
fn the_one(mut list: Vec<Expr>, at: Loc) -> Expr {
    list.pop().unwrap_or_else(|| Expr::number(Scalar::Int(0), at))
}

/// Parses the neutral number of a state variable.
fn start(p: &Param) -> Result<Neutral, String> {
    match p.start.as_deref() {
        Some("0" | "0.0" | "false") => Ok(Neutral::Zero),
        Some("1" | "1.0" | "true") => Ok(Neutral::One),
        Some("lowest" | "-inf") => Ok(Neutral::Lowest),
        Some("highest" | "inf") => Ok(Neutral::Highest),
        Some(other) => {
            Err(format!("the state's {}: the neutral number {other} is not 0, 1, lowest or highest", p.label))
        }
        None => Err(format!(
            "the state's {} has no neutral number: write \"{}: type = 0\", or 1, lowest or highest",
            p.label, p.label
        )),
    }
}

impl fmt::Debug for ReductionKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let output = std::slice::from_ref(&self.output);
        write!(
            f,
            "ReductionKernel {}({}) -> {}",
            self.name,
            Listed(&self.inputs, &self.names),
            Listed(output, &self.names)
        )
    }
}
