//! The public methods for convolutions and transposed convolutions. They check shapes and options; `linear.rs` builds
//! the result.

use super::linear::Setting;
use super::options::{Conv, numbers, transposed, windows};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Shape, View};
use crate::graph::expr::{Expr, Operand, common, composed, operand, result_of, strong, view};
use smallvec::smallvec;
use std::panic::Location;

/// # Convolutions
///
/// Convolutions, as neural networks use them. They are cross-correlations: the weights are not reversed.
impl Expr {
    /// Returns the convolution over one spatial axis. The input has the shape `[batch, in, length]`, the weights have
    /// `[out, in / groups, window]`, and the result has `[batch, out, length]`. Options, dtypes and errors are as in
    /// [`Expr::conv2d`].
    ///
    /// ```
    /// use cupric::{Conv, array};
    /// let (x, w) = (array![[[1., 2., 3., 5.]]], array![[[1., -1.]]]);
    /// assert_eq!(x.conv1d(&w, Conv::default()).to_vec::<f32>()?, [-1., -1., -2.]);
    /// assert_eq!(x.conv1d(&w, Conv::default().padding([(1, 0)])).to_vec::<f32>()?, [-1., -1., -1., -2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn conv1d(&self, weights: impl Operand, options: Conv) -> Expr {
        let at = Location::caller();
        convolution("conv1d", self, operand(weights, at), 1, &options, at)
    }

    /// Returns the convolution over two spatial axes. For each window of the input, the elements are multiplied by the
    /// weights, and the products are summed over the elements of the window and over the input channels. The function
    /// is a cross-correlation: the weights are not reversed. [`Conv`] describes the options.
    ///
    /// | channels | input | weights | result |
    /// |---|---|---|---|
    /// | first | `[batch, in, height, width]` | `[out, in / groups, rows, columns]` | `[batch, out, height, width]` |
    /// | last | `[batch, height, width, in]` | `[out, rows, columns, in / groups]` | `[batch, height, width, out]` |
    ///
    /// The input may have no batch axis; then the result has none. Along a spatial axis of n elements the result has
    /// `(n + padding before and after - dilation * (window - 1) - 1) / stride + 1` elements, where the quotient is
    /// rounded down. A bias is added with `+`; with channels first it needs the shape `[out, 1, 1]`.
    ///
    /// The convolution and each of its derivatives are computed as one matrix product. The windows of the input are
    /// read as a view, so only a padded input is copied. The result has the promoted dtype. f16 and bf16 are summed in
    /// f32, and integers wrap.
    ///
    /// ```
    /// use cupric::{Conv, DType, array, ones};
    /// let x = ones([1, 1, 3, 3], DType::F32);
    /// let w = array![[[[1., 2.], [3., 4.]]]];
    /// assert_eq!(x.conv2d(&w, Conv::default()).to_vec::<f32>()?, [10.; 4]);
    /// let y = x.conv2d(&w, Conv::default().stride(2).padding(1));
    /// assert_eq!(y.to_vec::<f32>()?, [4., 7., 6., 10.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the shapes do not fit each other, or if a window is longer than a
    /// padded axis. It carries [`ErrorKind::Argument`] if an option is out of range, or if the groups do not divide the
    /// channels. It carries [`ErrorKind::DType`] if an operand is bool, or if the operands have no common type. It
    /// carries [`ErrorKind::LimitExceeded`] if the windows have too many elements.
    #[doc(alias("convolution", "cross_correlation", "conv_general"))]
    #[track_caller]
    pub fn conv2d(&self, weights: impl Operand, options: Conv) -> Expr {
        let at = Location::caller();
        convolution("conv2d", self, operand(weights, at), 2, &options, at)
    }

    /// Returns the convolution over three spatial axes. The input has the shape `[batch, in, depth, height, width]`,
    /// and the weights have a window of three axes. Everything else is as in [`Expr::conv2d`].
    ///
    /// ```
    /// use cupric::{Conv, DType, ones};
    /// let (x, w) = (ones([1, 2, 4, 4, 4], DType::F32), ones([3, 2, 2, 2, 2], DType::F32));
    /// assert_eq!(x.conv3d(&w, Conv::default()).shape()?, [1, 3, 3, 3, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn conv3d(&self, weights: impl Operand, options: Conv) -> Expr {
        let at = Location::caller();
        convolution("conv3d", self, operand(weights, at), 3, &options, at)
    }

    /// Returns the transposed convolution over one spatial axis. The input has the shape `[batch, in, length]`, the
    /// weights have `[in, out / groups, window]`, and the result has `[batch, out, length]`. Everything else is as in
    /// [`Expr::conv_transpose2d`].
    ///
    /// ```
    /// use cupric::{Conv, array};
    /// let (x, w) = (array![[[1., 2., 3.]]], array![[[1., 10.]]]);
    /// assert_eq!(x.conv_transpose1d(&w, Conv::default()).to_vec::<f32>()?, [1., 12., 23., 30.]);
    /// let y = x.conv_transpose1d(&w, Conv::default().stride(2));
    /// assert_eq!(y.to_vec::<f32>()?, [1., 10., 2., 20., 3., 30.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("deconvolution"))]
    #[track_caller]
    pub fn conv_transpose1d(&self, weights: impl Operand, options: Conv) -> Expr {
        let at = Location::caller();
        transposed_convolution("conv_transpose1d", self, operand(weights, at), 1, &options, at)
    }

    /// Returns the transposed convolution over two spatial axes: each element of the input is multiplied by the
    /// weights, and the products are added to a window of the result. This is the derivative of [`Expr::conv2d`] with
    /// respect to the input. It is not the inverse of a convolution. Channels, dtypes and errors are as in
    /// [`Expr::conv2d`].
    ///
    /// | channels | input | weights | result |
    /// |---|---|---|---|
    /// | first | `[batch, in, height, width]` | `[in, out / groups, rows, columns]` | `[batch, out, height, width]` |
    /// | last | `[batch, height, width, in]` | `[out, rows, columns, in / groups]` | `[batch, height, width, out]` |
    ///
    /// Along a spatial axis of n elements the result has `(n - 1) * stride + dilation * (window - 1) + 1 +
    /// output_padding` elements, minus the padding before and after.
    ///
    /// ```
    /// use cupric::{Conv, DType, ones};
    /// let (x, w) = (ones([1, 2, 4, 4], DType::F32), ones([2, 3, 3, 3], DType::F32));
    /// let y = x.conv_transpose2d(&w, Conv::default().stride(2).padding(1).output_padding(1));
    /// assert_eq!(y.shape()?, [1, 3, 8, 8]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("deconvolution"))]
    #[track_caller]
    pub fn conv_transpose2d(&self, weights: impl Operand, options: Conv) -> Expr {
        let at = Location::caller();
        transposed_convolution("conv_transpose2d", self, operand(weights, at), 2, &options, at)
    }

    /// Returns the transposed convolution over three spatial axes. The input has the shape `[batch, in, depth, height,
    /// width]`, and the weights have a window of three axes. Everything else is as in [`Expr::conv_transpose2d`].
    ///
    /// ```
    /// use cupric::{Conv, DType, ones};
    /// let (x, w) = (ones([1, 2, 3, 3, 3], DType::F32), ones([2, 1, 2, 2, 2], DType::F32));
    /// assert_eq!(x.conv_transpose3d(&w, Conv::default().stride(2)).shape()?, [1, 1, 6, 6, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("deconvolution"))]
    #[track_caller]
    pub fn conv_transpose3d(&self, weights: impl Operand, options: Conv) -> Expr {
        let at = Location::caller();
        transposed_convolution("conv_transpose3d", self, operand(weights, at), 3, &options, at)
    }
}

/// The operands of a convolution, whose numbers of axes have been checked.
struct Operands {
    op: &'static str,
    /// The input, with a batch axis.
    x: Expr,
    w: Expr,
    /// Whether the caller's input has no batch axis.
    is_single: bool,
    groups: usize,
    is_last: bool,
    at: Loc,
}

impl Operands {
    fn new(op: &'static str, x: &Expr, w: Expr, n: usize, options: &Conv, at: Loc) -> Result<Operands> {
        let x = strong(x.clone(), at);
        common(op, [&x, &w].into_iter(), at)?;
        for (what, e) in [("the input has", &x), ("the weights have", &w)] {
            if e.0.dtype == DType::Bool {
                let detail = format!("{what} dtype bool, which has no sums of products; use astype");
                return Err(Error::with_line(ErrorKind::DType, op, detail, at));
            }
        }
        let Ok(groups @ 1..) = usize::try_from(options.groups) else {
            let detail = format!("{} groups; at least one is needed", options.groups);
            return Err(Error::with_line(ErrorKind::Argument, op, detail, at));
        };
        let is_single = x.0.shape.len() == n + 1;
        let batch = if is_single { view(op, &x, at, |s| View::expand(s, 0)) } else { x.clone() };
        let this = Operands { op, x: batch, w, is_single, groups, is_last: options.is_last, at };
        if this.x.0.shape.len() != n + 2 || this.w.0.shape.len() != n + 2 {
            let axes = n + 2;
            return Err(this.unfit(&format!("each needs {axes} axes (the input {} without a batch)", n + 1)));
        }
        Ok(this)
    }

    /// Returns the error for an input and weights whose shapes do not fit each other. `why` is the reason.
    fn unfit(&self, why: &str) -> Error {
        let (x, w) = (&self.x.0.shape[self.is_single as usize..], self.w.0.shape.as_slice());
        let detail = format!("an input of shape {x:?} and weights of shape {w:?}: {why}");
        Error::with_line(ErrorKind::Shape, self.op, detail, self.at)
    }

    /// Returns the lengths of the spatial axes of an operand, and its number of channels.
    fn lengths(&self, e: &Expr) -> (Shape, usize) {
        let s = &e.0.shape;
        match self.is_last {
            true => (s[1..s.len() - 1].into(), s[s.len() - 1]),
            false => (s[2..].into(), s[1]),
        }
    }

    fn is_divided(&self, what: &str, channels: usize) -> Result<()> {
        match channels % self.groups {
            0 => Ok(()),
            _ => {
                let detail = format!("{} groups do not divide {channels} {what} channels", self.groups);
                Err(Error::with_line(ErrorKind::Argument, self.op, detail, self.at))
            }
        }
    }

    /// Returns an error if the input and the weights have different numbers of input channels.
    fn are_equal(&self, input: usize, weights: usize) -> Result<()> {
        match input == weights {
            true => Ok(()),
            false => {
                let groups = self.groups;
                Err(self.unfit(&format!(
                    "the input has {input} channels, and the weights have {weights} for {groups} groups together"
                )))
            }
        }
    }

    /// Returns an error if the result has too many elements for any array.
    fn fits(&self, channels: usize, spatial: impl Iterator<Item = usize>) -> Result<()> {
        let shape: Shape = [self.x.0.shape[0], channels].into_iter().chain(spatial).collect();
        layout::size_of_shape(&shape).map(|_| ()).map_err(|f| f.at(self.op, self.at))
    }

    /// Removes the batch axis from the result if the caller's input had none.
    fn finish(&self, y: Result<Expr>) -> Result<Expr> {
        let y = y?;
        Ok(if self.is_single { view(self.op, &y, self.at, |s| Ok(View::drop_axes(s, &[0]))) } else { y })
    }
}

fn convolution(op: &'static str, x: &Expr, w: Expr, n: usize, options: &Conv, at: Loc) -> Expr {
    let build = || {
        let o = Operands::new(op, x, w, n, options, at)?;
        if options.output_padding.is_some() {
            let detail = "output_padding is an option of transposed convolutions only";
            return Err(Error::with_line(ErrorKind::Argument, op, detail, at));
        }
        let ((lengths, input), (window, own), out) = (o.lengths(&o.x), o.lengths(&o.w), o.w.0.shape[0]);
        o.are_equal(input, own.saturating_mul(o.groups))?;
        o.is_divided("output", out)?;
        let steps = (options.stride.as_slice(), options.dilation.as_slice());
        let windows = windows(&lengths, &window, steps, &options.padding, (op, at))?;
        o.fits(out, windows.iter().map(|v| v.count))?;
        let setting = Setting { op, windows, groups: o.groups, is_last: o.is_last, is_turned: false };
        o.finish(setting.convolved(&o.x, &o.w, at))
    };
    composed(|| result_of(op, at, build))
}

fn transposed_convolution(op: &'static str, x: &Expr, w: Expr, n: usize, options: &Conv, at: Loc) -> Expr {
    let build = || {
        let o = Operands::new(op, x, w, n, options, at)?;
        let ((counts, input), (window, other), first) = (o.lengths(&o.x), o.lengths(&o.w), o.w.0.shape[0]);
        // With channels first, the first axis of the weights has all input channels, and the second has the output
        // channels of one group. With channels last, the first has all output channels, and the last has the input
        // channels of one group.
        let out = if o.is_last { first } else { other.saturating_mul(o.groups) };
        o.are_equal(input, if o.is_last { other.saturating_mul(o.groups) } else { first })?;
        o.is_divided("input", input)?;
        o.is_divided("output", out)?;
        let more = options.output_padding.clone().unwrap_or(smallvec![0]);
        let more = numbers("output_padding", &more, 0, n, (op, at))?;
        let steps = (options.stride.as_slice(), options.dilation.as_slice());
        let windows = transposed(&counts, &window, steps, &options.padding, &more, (op, at))?;
        o.fits(out, windows.iter().map(|v| v.length))?;
        let setting = Setting { op, windows, groups: o.groups, is_last: o.is_last, is_turned: o.is_last };
        o.finish(setting.spread(&o.x, &o.w, at))
    };
    composed(|| result_of(op, at, build))
}
