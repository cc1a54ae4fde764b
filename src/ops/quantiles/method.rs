//! The definitions of a quantile: which elements of the order it lies between, and where.

/// Which of the definitions of a quantile [`Expr::quantile`](crate::Expr::quantile) takes, of n elements in ascending order:
/// those of NumPy, by the same names, of which nine are from Hyndman and Fan, Sample Quantiles in Statistical Packages, The
/// American Statistician 50 (1996).
///
/// A method says at which position v, counted from 0, the quantile q stands. Where v is between two elements, the result is on
/// the straight line between them; before the first and after the last element it is that element.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum QuantileMethod {
    /// v = q·(n − 1): NumPy's default (definition 7 of Hyndman and Fan).
    #[default]
    Linear,
    /// The element at q·(n − 1), rounded down.
    Lower,
    /// The element at q·(n − 1), rounded up.
    Higher,
    /// The mean of the two elements around q·(n − 1), or the one there.
    Midpoint,
    /// The element nearest to q·(n − 1); of two the one at the even position.
    Nearest,
    /// The element at q·n − 1, rounded up (definition 1).
    InvertedCdf,
    /// As `InvertedCdf`, but the mean of an element and the next where q·n is whole (definition 2).
    AveragedInvertedCdf,
    /// The element nearest to q·n − 1; of two the one at the odd position (definition 3).
    ClosestObservation,
    /// v = q·n − 1 (definition 4).
    InterpolatedInvertedCdf,
    /// v = q·n − 1/2 (definition 5).
    Hazen,
    /// v = q·(n + 1) − 1 (definition 6).
    Weibull,
    /// v = q·(n + 1/3) − 2/3 (definition 8).
    MedianUnbiased,
    /// v = q·(n + 1/4) − 5/8 (definition 9).
    NormalUnbiased,
}

/// Two positions among sorted elements, and the share of the second.
pub(super) struct Place {
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) share: f64,
}

impl Place {
    /// The position of the element, where it is not between two.
    pub(super) fn first(&self) -> usize {
        if self.share == 1.0 { self.high } else { self.low }
    }

    /// That of the second of two, or of the one.
    pub(super) fn second(&self) -> usize {
        if self.share == 0.0 { self.low } else { self.high }
    }
}

impl QuantileMethod {
    /// Whether a quantile is an element itself.
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

    /// Where the quantile `q` of `n` elements is, `n` not 0. The formulas are NumPy's to the last operation, because a rounding of a
    /// product decides which element a method picks.
    pub(super) fn place(self, n: usize, q: f64) -> Place {
        use QuantileMethod::*;
        let (last, count) = ((n - 1) as f64, n as f64);
        let between = |alpha: f64, beta: f64| count * q + (alpha + q * (1.0 - alpha - beta)) - 1.0;
        // the element after a position, or the one there if the position is whole and `stays` says so
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
        let one = |i: usize| Place { low: i, high: i, share: 0.0 };
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
        Place { low: low as usize, high: low as usize + 1, share }
    }
}
