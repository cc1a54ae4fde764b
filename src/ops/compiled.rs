//! Functions of arrays whose graph is built and planned once.

use super::grad::{Parameters, built_arrays, missing};
use crate::array::Array;
use crate::array::eval_many;
use crate::array::traced::{Traced, placeholders};
use crate::base::error::{Loc, Result};
use crate::graph::expr::Expr;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const OP: &str = "Compiled::call";

/// The maximum number of plans that a compiled function keeps. Beyond this number, it drops the least recently used
/// plan. Eight are enough for the batches of a training loop, its shorter last batch, and the batches of a test.
const MOST_PLANS: usize = 8;

/// A function of arrays that builds its expression graph, and plans it as a list of kernels, only in the first call.
/// Later calls run only the kernels. Without `Compiled`, building and planning the graph of a training step takes
/// longer than the kernels of a small network.
///
/// The argument of the function is a tree of expressions (see [`Parameters`]): an expression, or a tuple, array, `Vec`
/// or struct of trees. The function returns another tree of expressions; [`Compiled::call`] evaluates them and returns
/// a tree of arrays. The function may capture other arrays. It may build any expressions from its argument and these
/// arrays, such as derivatives.
///
/// ```
/// use cupric::{Compiled, Expr, array, grad};
/// // a step of gradient descent
/// let step = Compiled::new(|(w, x, y): (Expr, Expr, Expr)| {
///     let loss = (x.matmul(&w) - y).square().mean(..);
///     let [dw] = grad(&loss, [&w]);
///     (loss, w - dw * 0.01)
/// });
/// let (x, y) = (array![[1., 2.], [3., 4.], [5., 7.]], array![3., 7., 12.]);
/// let mut w = array![0., 0.];
/// let mut losses = vec![];
/// for _ in 0..3 {
///     let (loss, next) = step.call(&(&w, &x, &y))?;
///     losses.push(loss.item::<f32>()?);
///     w = next;
/// }
/// assert!(losses[2] < losses[0]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// The function runs in the first call. It runs again if an input has another dtype, shape, memory order or device than
/// in earlier calls, or if the tree of inputs has another form. Other calls reuse a plan, and do not run the function.
/// So if the function reads a number from outside, such as a learning rate, later changes of the number have no effect.
/// Pass such a number as an input: a 0-d array.
///
/// Random numbers are different in each call, because each call adds its index, counted from 0, to the seeds. The first
/// call draws the same numbers as the function draws without `Compiled`. The same sequence of calls draws the same
/// numbers.
pub struct Compiled<F, R> {
    function: F,
    /// The plans, the most recently used one first. Each holds the tree of expressions that the function returned.
    plans: Mutex<Vec<Plan<R>>>,
    calls: AtomicU64,
}

type Plan<R> = Arc<Known<R>>;

struct Known<R> {
    traced: Traced,
    /// The names of the expressions in the tree of inputs, from [`Parameters::names`]. They distinguish trees of
    /// different forms with the same number of expressions.
    names: Vec<String>,
    results: R,
}

impl<F, R: Parameters> Compiled<F, R> {
    /// Returns the compiled form of a function. The function does not run before the first call.
    #[doc(alias("jit", "compile", "trace"))]
    pub fn new<T>(function: F) -> Compiled<F, R>
    where
        F: Fn(T) -> R,
    {
        Compiled { function, plans: Mutex::default(), calls: AtomicU64::new(0) }
    }

    /// Calls the function with a tree of arrays or expressions, and returns a tree of arrays with its results.
    /// Expressions in `inputs` are evaluated first.
    ///
    /// # Errors
    /// Returns the errors of [`eval_all`](crate::eval_all), which evaluates the inputs and the results. Returns
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if the function reads the elements of an input, or has an
    /// operation whose result has a shape that depends on these elements.
    #[track_caller]
    pub fn call<P: Parameters>(&self, inputs: &P) -> Result<R::With<Array>>
    where
        F: Fn(P::With<Expr>) -> R,
    {
        let at = Location::caller();
        let mut list = vec![];
        inputs.leaves(&mut list);
        let arrays = eval_many(list)?;
        let mut names = vec![];
        inputs.names("", &mut names);
        let plan = match self.find(&arrays, &names)? {
            Some(plan) => plan,
            None => self.plan(inputs, &arrays, names, at)?,
        };
        let results = plan.traced.run(&arrays, self.calls.fetch_add(1, Ordering::Relaxed), at)?;
        built_arrays(&plan.results, results, OP, at)
    }

    /// Returns the plan for inputs with the names, dtypes, shapes, memory orders and devices of these arrays, if there
    /// is one.
    fn find(&self, arrays: &[Array], names: &[String]) -> Result<Option<Plan<R>>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        for i in 0..plans.len() {
            if plans[i].traced.fits(arrays)? && mutant!(compiled_for_any_tree, true, plans[i].names == names) {
                plans[..=i].rotate_right(1);
                return Ok(Some(plans[0].clone()));
            }
        }
        Ok(None)
    }

    /// Runs the function with placeholders for the inputs, and plans the expressions that it returns.
    fn plan<P: Parameters>(&self, inputs: &P, arrays: &[Array], names: Vec<String>, at: Loc) -> Result<Plan<R>>
    where
        F: Fn(P::With<Expr>) -> R,
    {
        let placeholders = placeholders(arrays, at);
        let mut next = placeholders.iter();
        let made = inputs.with(&mut || next.next().cloned().unwrap_or_else(|| missing(OP, at)));
        // the lock is not held here, because the function may itself call this `Compiled`
        let results = (self.function)(made);
        let mut list = vec![];
        results.leaves(&mut list);
        let traced = Traced::new(OP, placeholders, &list, at)?;
        let plan = Arc::new(Known { traced, names, results });
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.truncate(MOST_PLANS - 1);
        plans.insert(0, plan.clone());
        Ok(plan)
    }
}

impl<F, R> std::fmt::Debug for Compiled<F, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Compiled").field("plans", &plans).field("calls", &self.calls).finish_non_exhaustive()
    }
}
