//! Initialisers: random weights whose variance depends on the number of inputs and outputs of a layer.

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{IntoShape, Shape, shape_arg};
use crate::graph::expr::{Called, Expr, result_of};
use crate::ops::random::{Rng, is_float};
use std::panic::Location;

/// Returns the *fans* of weights: the number of inputs that one output reads, and the number of outputs that read one
/// input.
fn fans(op: &'static str, shape: &[usize], at: Loc) -> Result<[f64; 2]> {
    let product = |sizes: &[usize]| sizes.iter().map(|n| *n as f64).product::<f64>();
    match shape {
        [inputs, outputs] => Ok([*inputs as f64, *outputs as f64]),
        [outputs, inputs, window @ ..] => {
            let window = product(window);
            Ok([*inputs as f64 * window, *outputs as f64 * window])
        }
        _ => {
            let detail = format!("weights of shape {shape:?} have {} axes; two or more are needed", shape.len());
            Err(Error::with_line(ErrorKind::Shape, op, detail, at))
        }
    }
}

/// The distribution of the weights. Its mean is 0.
#[derive(Clone, Copy)]
enum Form {
    Uniform,
    Normal,
}

/// Draws weights with mean 0 and with the variance that `variance` computes from the two fans (see [`fans`]).
fn drawn(
    op: &'static str,
    shape: impl IntoShape,
    dtype: DType,
    rng: &mut Rng,
    (form, variance): (Form, fn([f64; 2]) -> f64),
    at: Loc,
) -> Expr {
    // f16 and bf16 weights are computed in f32 and rounded to their dtype at the end
    let _called = Called::begin(op, at);
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let shape: Result<Shape> = shape_arg(shape).map_err(|f| f.at(op, at));
    // the numbers are drawn before the arguments are checked, so that even a call with an error uses one stream of
    // `rng`
    let list = shape.as_ref().map(|s| s.to_vec()).unwrap_or_default();
    let numbers = match form {
        Form::Uniform => rng.uniform(list, wide),
        Form::Normal => rng.normal(list, wide),
    };
    result_of(op, at, || {
        let shape = shape?;
        is_float(op, dtype, at)?;
        let deviation = variance(fans(op, &shape, at)?).sqrt();
        if let Some(e) = numbers.error() {
            return Err(e.clone().named(op));
        }
        // for an array without elements the deviation may be infinite; use 0 then, because no element depends on the
        // deviation
        let deviation = if deviation.is_finite() { deviation } else { 0.0 };
        let weights = match form {
            // the variance of numbers between −1 and 1 is 1/3
            Form::Uniform => (numbers * 2.0 - 1.0) * (deviation * 3f64.sqrt()),
            Form::Normal => numbers * deviation,
        };
        Ok(weights.astype(dtype))
    })
}

macro_rules! initialisers {
    ($($(#[$doc:meta])* $name:ident: $form:ident, $alias:literal, $variance:expr;)*) => { $(
        $(#[$doc])*
        ///
        /// # Errors
        /// The expression carries [`ErrorKind::Shape`] for fewer than two axes, [`ErrorKind::DType`] for a dtype that
        /// is not a float, and [`ErrorKind::LimitExceeded`] for 2^32 elements or more.
        #[doc(alias = $alias)]
        #[track_caller]
        pub fn $name(shape: impl IntoShape, dtype: DType, rng: &mut Rng) -> Expr {
            drawn(stringify!($name), shape, dtype, rng, (Form::$form, $variance), Location::caller())
        }
    )* };
}

initialisers! {
    /// Draws weights uniformly between −√(6 / (in + out)) and √(6 / (in + out)), for a layer that is followed by tanh
    /// or sigmoid (Glorot and Bengio, 2010).
    ///
    /// A shape of two axes is `[in, out]`, as in `x.matmul(w)`. A shape with more axes is `[out, in, window…]`, as in a
    /// convolution; then `in` and `out` are multiplied by the size of the window. All four initialisers treat shapes in
    /// this way.
    ///
    /// ```
    /// use cupric::train::glorot_uniform;
    /// use cupric::{DType, Rng};
    /// let w = glorot_uniform([20, 30], DType::F32, &mut Rng::new(0)).eval()?;
    /// let bound = (6f32 / 50.0).sqrt();
    /// assert!(w.max(..).item::<f32>()? < bound && w.min(..).item::<f32>()? >= -bound);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    glorot_uniform: Uniform, "xavier_uniform", |[n, m]| 2.0 / (n + m);

    /// Draws weights from the normal distribution with mean 0 and variance 2 / (in + out), for a layer that is followed
    /// by tanh or sigmoid (Glorot and Bengio, 2010). [`glorot_uniform`] says which axes of the shape are `in` and
    /// `out`.
    ///
    /// ```
    /// use cupric::train::glorot_normal;
    /// use cupric::{DType, Rng};
    /// let w = glorot_normal([100, 100], DType::F32, &mut Rng::new(0));
    /// assert!((w.std(..).item::<f32>()? - 0.1).abs() < 0.01);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    glorot_normal: Normal, "xavier_normal", |[n, m]| 2.0 / (n + m);

    /// Draws weights uniformly between −√(6 / in) and √(6 / in), for a layer that is followed by relu. The factor is 6
    /// instead of 3, because relu halves the variance (He et al., 2015). [`glorot_uniform`] says which axes of the
    /// shape are `in` and `out`.
    ///
    /// ```
    /// use cupric::train::he_uniform;
    /// use cupric::{DType, Rng};
    /// let w = he_uniform([16, 8, 3, 3], DType::F32, &mut Rng::new(0));
    /// assert!(w.abs().max(..).item::<f32>()? <= (6f32 / 72.0).sqrt());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    he_uniform: Uniform, "kaiming_uniform", |[n, _]| 2.0 / n;

    /// Draws weights from the normal distribution with mean 0 and variance 2 / in, for a layer that is followed by
    /// relu. The variance is 2 / in instead of 1 / in, because relu halves it (He et al., 2015). [`glorot_uniform`]
    /// says which axes of the shape are `in` and `out`.
    ///
    /// ```
    /// use cupric::train::he_normal;
    /// use cupric::{DType, Rng};
    /// let w = he_normal([200, 50], DType::F32, &mut Rng::new(0));
    /// assert!((w.std(..).item::<f32>()? - 0.1).abs() < 0.01);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    he_normal: Normal, "kaiming_normal", |[n, _]| 2.0 / n;
}
