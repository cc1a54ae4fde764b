//! Loss scaling, for derivatives in f16.

use super::tree::{built, leaves, wide};
use crate::array::Array;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::Shape;
use crate::graph::expr::{Called, Expr};
use crate::ops::functions::select;
use crate::ops::grad::Parameters;
use std::panic::Location;

/// The smallest and the largest scale of [`LossScale`]. The largest scale turns f16's smallest number, 2^-24, into 1. A
/// scale below 1 would make small derivatives smaller.
const SCALES: [f64; 2] = [1.0, 16_777_216.0];

/// Loss scaling (Micikevicius et al., "Mixed Precision Training", 2018, <https://arxiv.org/abs/1710.03740>). Small
/// derivatives become 0 in f16. So the loss is multiplied by a scale before its derivatives are computed, and the
/// derivatives are divided by the scale in f32. If a derivative is infinite or NaN, the step is skipped and the scale
/// is halved. After `interval` steps in a row whose derivatives are finite, the scale is doubled. The scale stays
/// between 1 and 2^24.
///
/// The state is a pair of 0-d arrays: the scale (f32), and the number of steps with finite derivatives since the scale
/// last changed (i32). Whether a step is skipped is decided on the device, so no value has to be copied to the host for
/// it. A derivative beyond f16's range is no reason to skip a step if a fused kernel computes it in f32 and never
/// stores it in f16, because its value is then correct.
///
/// ```
/// use cupric::train::{LossScale, Sgd, eval_tree};
/// use cupric::{DType, array, value_and_grad};
/// let (scaling, sgd) = (LossScale::default(), Sgd::new(0.5));
/// let params = (array![0., 4.].astype(DType::F16).eval()?,);
/// let (state, scale) = (sgd.init(&params)?, scaling.init(&params)?);
///
/// let (loss, grads) = value_and_grad(&params, |(w,)| scaling.scale(w.sqrt().sum(..), &scale));
/// let grads = scaling.unscale(&grads, &scale);
/// let next = sgd.update(&params, &grads, &state);
/// let (next, scale) = scaling.update(&grads, &scale, &(&params, &state), &next);
/// let (_, ((w,), _), [scale, good]) = eval_tree(&(loss, next, scale))?;
/// // the derivative at 0 is infinite: nothing has changed but the scale
/// assert_eq!(w.astype(DType::F32).to_vec::<f32>()?, [0., 4.]);
/// assert_eq!((scale.item::<f32>()?, good.item::<i32>()?), (16384., 0));
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("GradScaler", "DynamicLossScale"))]
#[derive(Clone, Copy, Debug)]
pub struct LossScale {
    /// The scale before the first step. The default is 2^15.
    pub start: f64,
    /// How many steps in a row must have finite derivatives before the scale is doubled. The default is 2000.
    pub interval: u32,
}

impl Default for LossScale {
    fn default() -> LossScale {
        LossScale { start: 32768.0, interval: 2000 }
    }
}

impl LossScale {
    /// Returns the state before the first step: the scale `start`, and the count 0. Both arrays are on the device of
    /// the first parameter.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if `start` is not between 1 and 2^24 or `interval` is 0, and the errors of
    /// [`Expr::eval`].
    #[track_caller]
    pub fn init<P: Parameters>(&self, params: &P) -> Result<[Array; 2]> {
        let at = Location::caller();
        let _called = Called::begin("LossScale::init", at);
        let wrong = |detail| Err(Error::with_line(ErrorKind::Argument, "LossScale::init", detail, at));
        if !(SCALES[0]..=SCALES[1]).contains(&self.start) {
            return wrong(format!("the scale {} is not between 1 and 2^24", self.start));
        }
        if self.interval == 0 {
            return wrong("the interval is 0; it is a number of steps".into());
        }
        let device = leaves(params).first().map_or(0, |p| p.0.device);
        let number = |value, dtype| Expr::fill_on(device, value, Shape::new(), dtype, at).eval_at(at);
        Ok([number(Scalar::Float(self.start), DType::F32)?, number(Scalar::Int(0), DType::I32)?])
    }

    /// Returns the loss times the scale, in f32, or in f64 for a loss of dtype f64.
    #[track_caller]
    pub fn scale(&self, loss: impl Into<Expr>, state: &[Array; 2]) -> Expr {
        let _called = Called::begin("LossScale::scale", Location::caller());
        let loss = loss.into();
        wide(&loss) * &*state[0]
    }

    /// Returns derivatives divided by the scale, in f32, or in f64 for derivatives of dtype f64.
    #[track_caller]
    pub fn unscale<P: Parameters>(&self, grads: &P, state: &[Array; 2]) -> P::With<Expr> {
        let at = Location::caller();
        let _called = Called::begin("LossScale::unscale", at);
        let list = leaves(grads).into_iter().map(|g| wide(g) / &*state[0]).collect();
        built(grads, list, "LossScale::unscale", at)
    }

    /// Returns the values with which training continues, and the next state of the scaling. `old` and `next` are trees
    /// of the same form, with the values before and after the step: the parameters, the optimiser's state and whatever
    /// else a skipped step must not change. The function returns the values of `next` if all derivatives are finite,
    /// and otherwise the values of `old`. The derivatives may be scaled or unscaled.
    ///
    /// The values carry [`ErrorKind::Shape`] if `old` and `next` differ in the number or the shapes of their leaves,
    /// and [`ErrorKind::DType`] if the dtypes differ.
    #[track_caller]
    pub fn update<P: Parameters>(
        &self,
        grads: &impl Parameters,
        state: &[Array; 2],
        old: &P,
        next: &impl Parameters,
    ) -> (P::With<Expr>, [Expr; 2]) {
        const OP: &str = "LossScale::update";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let is_finite = all_finite(grads);
        let (olds, nexts) = (leaves(old), leaves(next));
        let chosen = match misfit(OP, &olds, &nexts, at) {
            Some(e) => olds.iter().map(|_| Expr::failed(e.clone(), at)).collect(),
            None => olds.iter().zip(nexts).map(|(old, next)| select(&is_finite, next, *old)).collect(),
        };
        let [scale, good] = state.each_ref().map(|a| -> &Expr { a });
        let good = good + 1;
        let is_due = good.greater_equal(self.interval.min(i32::MAX as u32));
        let [least, most] = SCALES;
        let doubled = (scale * 2.0).minimum(most);
        let halved = (scale * 0.5).maximum(least);
        let scale = select(&is_finite, select(&is_due, doubled, scale), halved);
        let good = select(is_finite.logical_and(is_due.logical_not()), good, 0);
        (built(old, chosen, OP, at), [scale, good])
    }
}

/// Returns an error for the first leaf of `olds` whose counterpart in `nexts` has another shape or dtype, if there is
/// one.
fn misfit(op: &'static str, olds: &[&Expr], nexts: &[&Expr], at: Loc) -> Option<Error> {
    if olds.len() != nexts.len() {
        let detail = format!("there are {} old values and {} next ones", olds.len(), nexts.len());
        return Some(Error::with_line(ErrorKind::Shape, op, detail, at));
    }
    olds.iter().zip(nexts).enumerate().find_map(|(i, (old, next))| {
        if let Some(e) = old.error().or(next.error()) {
            return Some(e.clone());
        }
        let (a, b) = (&old.0, &next.0);
        let shapes = (a.shape.as_slice(), b.shape.as_slice());
        if shapes.0 != shapes.1 {
            let detail = format!("value {i} has shape {:?}; the next one has shape {:?}", shapes.0, shapes.1);
            return Some(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        let detail = format!("value {i} has dtype {}; the next one has dtype {}", a.dtype, b.dtype);
        (a.dtype != b.dtype).then(|| Error::with_line(ErrorKind::DType, op, detail, at))
    })
}

/// Returns whether all elements of all leaves of a tree are finite, as a 0-d array of dtype bool. The result is true
/// for a tree without leaves.
///
/// ```
/// use cupric::array;
/// use cupric::train::all_finite;
/// assert!(all_finite(&(array![1., 2.], array![3.])).item::<bool>()?);
/// assert!(!all_finite(&(array![1., 2.], array![f32::NAN])).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn all_finite<P: Parameters>(tree: &P) -> Expr {
    let at = Location::caller();
    let _called = Called::begin("all_finite", at);
    let each = leaves(tree).into_iter().map(|e| e.isfinite().all(..));
    each.reduce(|a, b| a.logical_and(b))
        .unwrap_or_else(|| Expr::fill(Scalar::Bool(true), Shape::new(), DType::Bool, at))
}
