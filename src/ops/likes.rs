//! Random numbers with the shape, the dtype and the device of another array.

use super::functions::named;
use super::random::Rng;
use crate::base::dtype::DType;
use crate::base::error::{Loc, Result};
use crate::base::layout::Shape;
use crate::graph::expr::{Called, Expr, Operand, operand};
use std::panic::Location;

/// What a draw adopts from another array.
struct Like {
    shape: Shape,
    dtype: DType,
    device: u32,
}

impl Like {
    fn of(x: impl Operand, at: Loc) -> Result<Like> {
        let x = operand(x, at);
        let node = x.checked()?;
        Ok(Like { shape: node.shape.clone(), dtype: node.dtype, device: node.device })
    }

    /// Returns a draw on the device. Errors name the operation `op`.
    fn placed(&self, op: &'static str, drawn: Expr, at: Loc) -> Expr {
        let drawn = named(op, drawn, at);
        if self.device == 0 { drawn } else { drawn.placed_on(self.device) }
    }
}

/// # Draws in the shape of another array
impl Rng {
    /// Draws normal numbers, as [`Rng::normal`] does, with the shape, dtype and device of another array.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let mean = array![[1., 2.], [3., 4.]];
    /// let z = &mean + Rng::new(0).normal_like(&mean) * 0.1;
    /// assert_eq!(z.shape()?, [2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("randn_like"))]
    #[track_caller]
    pub fn normal_like(&mut self, x: impl Operand) -> Expr {
        let at = Location::caller();
        let _called = Called::begin("normal_like", at);
        match Like::of(x, at) {
            Ok(like) => like.placed("normal_like", self.normal(&like.shape[..], like.dtype), at),
            Err(e) => Expr::failed(e, at),
        }
    }

    /// Draws numbers from [0, 1), as [`Rng::uniform`] does, with the shape, dtype and device of another array.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// assert_eq!(Rng::new(0).uniform_like(array![1., 2.]).shape()?, [2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("rand_like"))]
    #[track_caller]
    pub fn uniform_like(&mut self, x: impl Operand) -> Expr {
        let at = Location::caller();
        let _called = Called::begin("uniform_like", at);
        match Like::of(x, at) {
            Ok(like) => like.placed("uniform_like", self.uniform(&like.shape[..], like.dtype), at),
            Err(e) => Expr::failed(e, at),
        }
    }

    /// Draws integers from `low..high`, as [`Rng::integers`] does, with the shape, dtype and device of another array.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// assert_eq!(Rng::new(0).integers_like(4, 5, array![0, 0]).to_vec::<i32>()?, [4, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("randint_like"))]
    #[track_caller]
    pub fn integers_like(&mut self, low: impl Operand, high: impl Operand, x: impl Operand) -> Expr {
        let at = Location::caller();
        let _called = Called::begin("integers_like", at);
        match Like::of(x, at) {
            Ok(like) => like.placed("integers_like", self.integers(low, high, &like.shape[..], like.dtype), at),
            Err(e) => Expr::failed(e, at),
        }
    }

    /// Draws elements that are 1 with probability `p`, as [`Rng::bernoulli`] does, with the shape, dtype and device of
    /// another array.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// assert_eq!(Rng::new(0).bernoulli_like(1.0, array![0., 0.]).to_vec::<f32>()?, [1., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("bernoulli_"))]
    #[track_caller]
    pub fn bernoulli_like(&mut self, p: f64, x: impl Operand) -> Expr {
        let at = Location::caller();
        let _called = Called::begin("bernoulli_like", at);
        match Like::of(x, at) {
            Ok(like) => like.placed("bernoulli_like", self.bernoulli(p, &like.shape[..], like.dtype), at),
            Err(e) => Expr::failed(e, at),
        }
    }
}
