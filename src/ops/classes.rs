//! Functions of class labels: `one_hot` and `cross_entropy`.

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, IndexMode, Shape, View};
use crate::graph::expr::{
    Expr, NodeOp, Operand, Reach, binary, cast, choose, common, composed, operand, result_of, strong, unary, view,
};
use crate::graph::ufunc::{arithmetic, float, logic};
use crate::ops::functions::{narrow, wide};
use crate::ops::index::{checked_positions, take_along};
use smallvec::smallvec;
use std::panic::Location;

/// Returns whether each label equals each of the classes `0..count`, as bools with a new last axis of length `count`. A
/// label outside `0..count` equals no class.
fn is_class(labels: &Expr, count: usize, at: Loc) -> Result<Expr> {
    let mut shape: Shape = labels.checked()?.shape.clone();
    shape.push(count);
    layout::size_of_shape(&shape).map_err(|f| f.at("one_hot", at))?;
    let axis = shape.len() - 1;
    let class = Expr::node(NodeOp::Iota(axis), smallvec![], shape, DType::I32, 0, at);
    Ok(binary(&logic::equal, class, view("one_hot", labels, at, |s| View::expand(s, -1)), at))
}

fn refuse_floats(op: &'static str, labels: &Expr, at: Loc) -> Result<()> {
    match labels.checked()?.dtype {
        d if d.is_integer() => Ok(()),
        d => Err(Error::with_line(ErrorKind::DType, op, format!("labels have dtype {d}; integers are needed"), at)),
    }
}

/// # Classes
impl Expr {
    /// Returns the one-hot vectors of integer labels, in `dtype`. The result has a new last axis of length `count`.
    /// Along this axis, the element at the position given by the label is 1, and the others are 0.
    ///
    /// ```
    /// use cupric::{DType, array};
    /// assert_eq!(array![2, 0].one_hot(3, DType::F32).to_vec::<f32>()?, [0., 0., 1., 1., 0., 0.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::DType`] if the labels are not integers. A label outside `0..count` is an
    /// [`ErrorKind::Index`] error, reported like a position out of range in [`Expr::take`]. Negative labels do not count
    /// from the end. `labels.expand_dims(-1).equal(arange(0, count, 1, DType::I32))` has zeros for such a label.
    #[track_caller]
    pub fn one_hot(&self, count: usize, dtype: DType) -> Expr {
        const OP: &str = "one_hot";
        let at = Location::caller();
        result_of(OP, at, || {
            let labels = strong(self.clone(), at);
            refuse_floats(OP, &labels, at)?;
            let mut shape = labels.0.shape.clone();
            if count == 0 {
                // fails if there are labels, because none of them is in range
                let _none = checked_positions(OP, labels.clone(), count, IndexMode::CheckFromStart, at)?;
            }
            shape.push(count);
            layout::size_of_shape(&shape).map_err(|f| f.at(OP, at))?;
            // Each element of the result checks its label. So the check has the shape of the result, and the planner
            // does not store it for a kernel of its own.
            let each = view(OP, &labels, at, |s| {
                let column = View::expand(s, -1)?;
                Ok(View::broadcast_to(&column.shape, &shape)?.after(&column))
            });
            let each = checked_positions(OP, each, count, IndexMode::CheckFromStart, at)?;
            let class = Expr::node(NodeOp::Iota(shape.len() - 1), smallvec![], shape, DType::I32, 0, at);
            Ok(cast(binary(&logic::equal, class, cast(each, DType::I32, at), at), dtype, at))
        })
    }

    /// Returns the cross entropy of scores (logits) and integer labels: minus the [`log_softmax`](Expr::log_softmax) of
    /// the scores along the last axis, at the position of the label. The labels and the result have the shape of the
    /// scores without the last axis. The mean of the result is the usual loss of a classifier. f16 and bf16 scores are
    /// computed in f32.
    ///
    /// ```
    /// use cupric::{array, grad};
    /// let scores = array![[0., 0.], [3., 3.]];
    /// let loss = scores.cross_entropy(array![0, 1]);
    /// assert_eq!(loss.to_vec::<f32>()?, [0.6931472, 0.6931472]);
    /// let [d] = grad(&loss.sum(..), [&scores]);
    /// assert_eq!(d.to_vec::<f32>()?, [-0.5, 0.5, 0.5, -0.5]);          // softmax minus one_hot
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::DType`] if the scores are not floats or if the labels are not integers, and
    /// [`ErrorKind::Shape`] if the shape of the labels does not fit. A label outside the range of classes is an
    /// [`ErrorKind::Index`] error, reported like a position out of range in [`Expr::take`].
    #[doc(alias("nll_loss", "sparse_categorical_crossentropy"))]
    #[track_caller]
    pub fn cross_entropy(&self, labels: impl Operand) -> Expr {
        const OP: &str = "cross_entropy";
        let at = Location::caller();
        let labels = operand(labels, at);
        result_of(OP, at, || {
            let scores = strong(self.clone(), at);
            common(OP, [&scores, &labels].into_iter(), at)?;
            refuse_floats(OP, &labels, at)?;
            let (of, wanted) = (scores.0.shape.as_slice(), labels.0.shape.as_slice());
            if !scores.0.dtype.is_float() {
                let detail = format!("scores have dtype {}; floats are needed", scores.0.dtype);
                return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
            }
            let Some((classes, vectors)) = of.split_last().filter(|(_, vectors)| *vectors == wanted) else {
                let detail = format!(
                    "labels of shape {wanted:?} for scores of shape {of:?}; one is needed for each vector along the last axis"
                );
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            };
            let (classes, last) = (*classes, vectors.len());
            let wide = wide(&scores, at);
            let log_p = wide.log_softmax(last);
            let loss = composed(|| {
                let index = view(OP, &labels, at, |s| View::expand(s, -1));
                let picked = take_along(OP, &log_p, index, last as isize, IndexMode::Check, at);
                let picked = view(OP, &picked, at, |s| Ok(View::drop_axes(s, &[last])));
                unary(&arithmetic::negative, picked, at)
            });
            loss.checked()?;
            // The derivative is softmax minus one_hot. The general rule of log_softmax would also compute the sum of
            // each one-hot vector, which is always 1.
            let back = move |g: &Expr, at: Loc| {
                let p = unary(&float::exp, &log_p, at);
                let p = choose(is_class(&labels, classes, at)?, binary(&arithmetic::subtract, &p, 1.0, at), &p, at);
                Ok(vec![binary(&arithmetic::multiply, view(OP, g, at, |s| View::expand(s, -1)), p, at)])
            };
            let along = Reach::Along(AxesArg { axes: Some(smallvec![-1]), keep: false });
            Ok(narrow(loss.with_rule_of(vec![wide], Some(Box::new(back)), along), &scores, at))
        })
    }
}
