//! The definitions of a quantile. Each definition says at which position of the sorted order the quantile lies, and how
//! a value between two elements is computed.

/// The definition of a quantile that [`Expr::quantile`](crate::Expr::quantile) uses, for n elements in ascending order.
/// The definitions and their names are the same as in NumPy. Nine of them are from Hyndman and Fan, Sample Quantiles in
/// Statistical Packages, The American Statistician 50 (1996).
///
/// A method defines the position of the quantile q, counted from 0. If the position is between two elements, the result
/// is interpolated linearly. If it is before the first element, the result is the first element. If it is after the
/// last element, the result is the last element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum QuantileMethod {
    /// The position is q·(n − 1), with interpolation: NumPy's default (definition 7 of Hyndman and Fan).
    #[default]
    Linear,
    /// The element at the position q·(n − 1) rounded down.
    Lower,
    /// The element at the position q·(n − 1) rounded up.
    Higher,
    /// The mean of the two elements around the position q·(n − 1), or the element there if it is an integer.
    Midpoint,
    /// The element nearest to the position q·(n − 1). If two elements are equally near, the quantile is the element at
    /// the even position.
    Nearest,
    /// The element at the position q·n − 1 rounded up (definition 1 of Hyndman and Fan).
    InvertedCdf,
    /// The element at the position q·n − 1 rounded up. If q·n is an integer, the mean of that element and the next one
    /// (definition 2 of Hyndman and Fan).
    AveragedInvertedCdf,
    /// The element nearest to the position q·n − 1. If two elements are equally near, the quantile is the element at
    /// the odd position (definition 3 of Hyndman and Fan).
    ClosestObservation,
    /// The position is q·n − 1, with interpolation (definition 4 of Hyndman and Fan).
    InterpolatedInvertedCdf,
    /// The position is q·n − 1/2, with interpolation (definition 5 of Hyndman and Fan).
    Hazen,
    /// The position is q·(n + 1) − 1, with interpolation (definition 6 of Hyndman and Fan).
    Weibull,
    /// The position is q·(n + 1/3) − 2/3, with interpolation (definition 8 of Hyndman and Fan).
    MedianUnbiased,
    /// The position is q·(n + 1/4) − 5/8, with interpolation (definition 9 of Hyndman and Fan).
    NormalUnbiased,
}

/// A quantile as two positions in the sorted order. `share` is the interpolation weight of the element at `high`, and 1
/// − `share` is the weight of the element at `low`.
pub(super) struct QuantilePosition {
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) share: f64,
}

impl QuantilePosition {
    /// Returns the position of the first element whose interpolation weight is not 0.
    pub(super) fn first(&self) -> usize {
        if self.share == 1.0 { self.high } else { self.low }
    }

    /// Returns the position of the last element whose interpolation weight is not 0.
    pub(super) fn second(&self) -> usize {
        if self.share == 0.0 { self.low } else { self.high }
    }
}

impl QuantileMethod {
    /// Returns whether the method always returns an element of the array, and never interpolates.
    pub(super) fn picks(self) -> bool {
        use QuantileMethod::*;
        match self {
            Lower | Higher | Nearest | InvertedCdf | ClosestObservation => true,
            Linear
            | Midpoint
            | AveragedInvertedCdf
            | InterpolatedInvertedCdf
            | Hazen
            | Weibull
            | MedianUnbiased
            | NormalUnbiased => false,
        }
    }

    /// Returns the position of the quantile `q` among `n` elements, where `n` is not 0. The formulas have the same
    /// operations in the same order as NumPy's, because the rounding of a product decides which element a method picks.
    pub(super) fn place(self, n: usize, q: f64) -> QuantilePosition {
        use QuantileMethod::*;
        let (last, count) = ((n - 1) as f64, n as f64);
        let between = |alpha: f64, beta: f64| count * q + (alpha + q * (1.0 - alpha - beta)) - 1.0;
        // returns the smallest integer above v, or v itself if v is an integer for which `stays` returns true
        let next = |v: f64, stays: fn(f64) -> bool| {
            let whole = v.floor();
            if v == whole && stays(whole) { whole } else { whole + 1.0 }
        };
        let v = match self {
            Linear => last * q,
            Lower => (last * q).floor(),
            Higher => (last * q).ceil(),
            Midpoint => 0.5 * ((last * q).floor() + (last * q).ceil()),
            Nearest => (last * q).round_ties_even(),
            InvertedCdf => next(count * q - 1.0, |_| true),
            ClosestObservation => next(count * q - 1.0 - 0.5, |whole| whole.rem_euclid(2.0) == 1.0),
            AveragedInvertedCdf => count * q - 1.0,
            InterpolatedInvertedCdf => between(0.0, 1.0),
            Hazen => between(0.5, 0.5),
            Weibull => between(0.0, 0.0),
            MedianUnbiased => between(1.0 / 3.0, 1.0 / 3.0),
            NormalUnbiased => between(3.0 / 8.0, 3.0 / 8.0),
        };
        let one = |i: usize| QuantilePosition { low: i, high: i, share: 0.0 };
        if v >= last {
            return one(n - 1);
        }
        if v < 0.0 {
            return one(0);
        }
        let low = v.floor();
        let share = match (self == AveragedInvertedCdf, v == low) {
            (true, true) => 0.5,
            (true, false) => 1.0,
            (false, _) => v - low,
        };
        QuantilePosition { low: low as usize, high: low as usize + 1, share }
    }
}
