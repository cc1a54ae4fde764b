//! Distributions of integers, and choice of categories.

use super::table::{Table, check};
use super::{computed_in, counts, probability, times, unit_exponential, wrong};
use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{self, Integer, IntoAxes, IntoShape, Shape, View, shape_arg};
use crate::graph::expr::{Arg, Expr, Operand, cast, common, operand, reduce, strong, view};
use crate::graph::ufunc::{ARGMAX, arithmetic, float};
use crate::ops::create::arange;
use crate::ops::functions::{binary, unary};
use crate::ops::random::Rng;
use smallvec::smallvec;
use std::panic::Location;

type Loc = &'static Location<'static>;

/// The most a mean or variance of a table may be: the table has some 20 roots of it.
const WIDEST: f64 = 1e9;
/// The most trials that f64 holds exactly, and all fewer.
const MOST_TRIALS: i128 = 1 << 53;

impl Rng {
    /// How many trials the first success takes, each a success with probability `p`: 1, 2, …, as i64. It is ⌈e / −log(1 − p)⌉ of an
    /// exponential e in f32, so large numbers have 24 significant bits, and a number at a boundary may be the next one on a GPU.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).geometric(0.25, [10_000]);
    /// assert!((x.mean(..).item::<f32>()? - 4.0).abs() < 0.2);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] unless `p` is between 2^-56 and 1; [`ErrorKind::LimitExceeded`] for more than
    /// 2^32 − 1 elements.
    #[track_caller]
    pub fn geometric(&mut self, p: f64, shape: impl IntoShape) -> Expr {
        const OP: &str = "geometric";
        let at = Location::caller();
        self.draw(OP, shape, at, |word| {
            // NaN is not in the range
            if !(2f64.powi(-56)..=1.0).contains(&p) {
                return Err(wrong(OP, format!("the probability is {p}; it must lie between 2^-56 and 1"), at));
            }
            let e = unit_exponential(word, 0, DType::F32, at);
            // of p = 1 the factor is 0, and the first trial succeeds
            let trials = unary(&arithmetic::ceil, times(e, -1.0 / (-p).ln_1p(), at), at);
            Ok(cast(binary(&arithmetic::maximum, trials, 1.0, at), DType::I64, at))
        })
    }

    /// Poisson's distribution with mean `lam`, as i64: how many events occur where `lam` are expected. `lam` is a number, or an array
    /// that broadcasts to `shape`, of a mean for each draw.
    ///
    /// For a number a table of the probabilities, some 20·√`lam` numbers, is made at once, in which 64 random bits are looked up:
    /// the same numbers on every device. The table is on the CPU, and so is the draw; [`Expr::to_device`] moves the result.
    ///
    /// Of an array the draw is computed when it is evaluated, on the array's device, in f32 (of f64 in f64, on the CPU): by inversion
    /// of one uniform number, 0, 1 and 2 by their own probabilities, larger numbers by an expansion of the quantile (after Giles,
    /// "Algorithm 955", ACM TOMS 42, 2016). It costs the same for all means. Each probability is right within 10^-5, and a
    /// mean has the digits of f32; what is rarer than 2^-32 is not drawn. A mean that is NaN, negative or above 2^62 gives −1. On
    /// a GPU a number at a boundary may be the next one, about √`lam` times in 10^6.
    ///
    /// ```
    /// use cupric::{DType, Rng, array};
    /// let x = Rng::new(1).poisson(3.5, [10_000]);
    /// assert!((x.mean(..).item::<f32>()? - 3.5).abs() < 0.1);
    /// let x = Rng::new(1).poisson(array![0., 3.5, 1e6], [10_000, 3]);  // a mean for each column
    /// let means = x.mean(0).to_vec::<f32>()?;
    /// assert!(means[0] == 0. && (means[2] - 1e6).abs() < 100.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] for a number that is negative or NaN, or above 10^9; [`ErrorKind::Shape`] for an
    /// array that does not broadcast to `shape`; [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 elements.
    #[track_caller]
    pub fn poisson(&mut self, lam: impl Operand, shape: impl IntoShape) -> Expr {
        const OP: &str = "poisson";
        let at = Location::caller();
        let lam = lam.into_arg();
        self.draw(OP, shape, at, |word| {
            let lam = match lam {
                Arg::Scalar(lam) => lam.as_f64(),
                Arg::Expr(lam) => {
                    let wide = computed_in(lam.checked()?.dtype);
                    return Ok(counts::poisson(&each(OP, lam, wide, word, at)?, word, wide, at));
                }
            };
            if !(0.0..=WIDEST).contains(&lam) {
                return Err(wrong(OP, format!("the mean is {lam}; it must lie between 0 and 10^9"), at));
            }
            let (first, weights) = around(lam.floor(), f64::INFINITY, |k| lam / (k + 1.0));
            from_table(OP, first, &weights, word, at)
        })
    }

    /// How many of `n` trials succeed, each with probability `p`, as i64. Both are numbers, or either is an array that broadcasts to
    /// `shape`: of integers `n`, of floats `p`.
    ///
    /// Of two numbers by a table, as [`Rng::poisson`]. Else by inversion, as that of an array of means, in f64 if `p` is an array of
    /// f64. Each probability is right within 2·10^-4, and within 2·10^-5 from 12 trials on. A probability that is not in 0 to 1 gives −1,
    /// and so does a number of trials that is negative or above 2^53.
    ///
    /// ```
    /// use cupric::{DType, Rng, array};
    /// let x = Rng::new(1).binomial(10, 0.3, [10_000]);
    /// assert!((x.mean(..).item::<f32>()? - 3.0).abs() < 0.1);
    /// let x = Rng::new(1).binomial(array![10, 1_000_000], array![1., 0.5], [10_000, 2]).eval()?;
    /// assert_eq!(x.slice(cupric::s![.., 0]).min(..).item::<i64>()?, 10);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] for a number that is no probability, for one that is no number of trials up to 2^53,
    /// and of two numbers for a variance `n·p·(1 − p)` above 10^9; [`ErrorKind::DType`] for an array of trials that are no integers;
    /// [`ErrorKind::Shape`] for an array that does not broadcast to `shape`; [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 elements.
    #[track_caller]
    pub fn binomial(&mut self, n: impl Operand, p: impl Operand, shape: impl IntoShape) -> Expr {
        const OP: &str = "binomial";
        let at = Location::caller();
        let (n, p) = (n.into_arg(), p.into_arg());
        self.draw(OP, shape, at, |word| {
            // numbers are checked at once, whatever the other parameter is
            if let Arg::Scalar(p) = &p {
                probability(OP, p.as_f64(), at)?;
            }
            if let Arg::Scalar(n) = &n
                && !matches!(n, Scalar::Int(0..=MOST_TRIALS))
            {
                let detail = format!("the number of trials is {n}; an integer up to 2^53 is needed");
                return Err(wrong(OP, detail, at));
            }
            match (n, p) {
                (Arg::Scalar(n), Arg::Scalar(p)) => binomial_of_numbers(OP, n.as_f64(), p.as_f64(), word, at),
                (n, p) => {
                    let stored = |a: Arg| match a {
                        Arg::Expr(e) => e,
                        Arg::Scalar(s) => Expr::fill(s, smallvec![], s.default_dtype(), at),
                    };
                    binomial_of_arrays(OP, stored(n), stored(p), word, at)
                }
            }
        })
    }

    /// A category for each row of logarithms of weights along an axis, as i64: category i with the probability `softmax(logits)[i]`.
    /// The result lacks the axis. Several draws of one row are `logits.broadcast_to([n, k])`. For weights that are no logarithms
    /// take `weights.log()`, or [`Rng::choice_weighted`], which is exact.
    ///
    /// It is the position of the largest of `logits` + Gumbel noise (Gumbel 1954), in f32, of f64 in f64, and fuses. −∞ is never
    /// drawn where another category may be; of a row of −∞ the category is 0, and of one with a NaN the NaN's position. On a GPU
    /// a draw may be another where two sums are equal within rounding.
    ///
    /// ```
    /// use cupric::{DType, Rng, array};
    /// let logits = array![1., 3.].log().broadcast_to([10_000, 2]);
    /// let x = Rng::new(1).categorical(&logits, -1);
    /// assert!((x.mean(..).item::<f32>()? - 0.75).abs() < 0.02);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Axis`] for an axis that is not there; [`ErrorKind::Shape`] where it has length 0;
    /// [`ErrorKind::DType`] for logits that are no floats; [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 of them.
    #[track_caller]
    pub fn categorical(&mut self, logits: impl Operand, axis: impl Integer) -> Expr {
        const OP: &str = "categorical";
        let at = Location::caller();
        let logits = strong(operand(logits, at), at);
        let shape: Shape = logits.0.shape.clone();
        self.draw(OP, &shape[..], at, |word| {
            let dtype = logits.checked()?.dtype;
            if !dtype.is_float() {
                let detail = format!("the logits have dtype {dtype}; floats are needed");
                return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
            }
            let wide = computed_in(dtype);
            let noise = unary(&float::log, unit_exponential(word, 0, wide, at), at);
            let sum = binary(&arithmetic::subtract, cast(logits.clone(), wide, at), noise, at);
            Ok(cast(reduce(OP, *ARGMAX, &sum, &axis.saturated().into_axes(), at), DType::I64, at))
        })
    }

    /// Numbers from 0 to n − 1, each as likely, as i64, with repetition. To choose elements, `x.take(rng.choice(n, shape), 0)`.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = array![10., 20., 30.];
    /// let chosen = x.take(Rng::new(1).choice(3, [100]), 0);
    /// assert_eq!(chosen.max(..).item::<f32>()?, 30.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] for `n` = 0; those of [`Rng::integers`].
    #[track_caller]
    pub fn choice(&mut self, n: usize, shape: impl IntoShape) -> Expr {
        let at = Location::caller();
        if n == 0 {
            let e = wrong("choice", "there is nothing to choose from: n is 0".into(), at);
            return Expr::failed(e, at);
        }
        self.integers(0, n, shape, DType::I64)
    }

    /// Positions of weights, a vector, each with the probability that is its share of their sum, as i64, with repetition. The
    /// weights need not have the sum 1. They are read at once, and made a table of integer sums, in which 64 random bits are looked
    /// up: the same positions on every device. A weight is rounded down to a multiple of about 2^-62 of the sum.
    ///
    /// ```
    /// use cupric::{DType, Rng, array};
    /// let x = Rng::new(1).choice_weighted(array![1., 0., 3.], [10_000]);
    /// assert!((x.mean(..).item::<f32>()? - 1.5).abs() < 0.05);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] for weights that are no vector; [`ErrorKind::Argument`] for weights that are
    /// negative, infinite or NaN, or all 0; errors of the read; [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 elements.
    #[track_caller]
    pub fn choice_weighted(&mut self, weights: impl Operand, shape: impl IntoShape) -> Expr {
        let at = Location::caller();
        let weights = operand(weights, at);
        self.weighted("choice_weighted", &weights, shape, at)
    }

    fn weighted(&mut self, op: &'static str, weights: &Expr, shape: impl IntoShape, at: Loc) -> Expr {
        self.draw(op, shape, at, |word| {
            let (weights, device) = read(op, weights, at)?;
            let table = Table::new(op, &weights, &device, at)?;
            Ok(table.positions(word(0), word(1), at))
        })
    }

    /// `size` different positions of weights, a vector, as i64: one after another, each with the share of its weight in the sum of
    /// those that are left (NumPy's `choice(replace=False, p=weights)`). Positions of weight 0 are never chosen. They are those of the
    /// smallest of e / weight with exponentials e (Efraimidis and Spirakis 2006). The weights are read at once, to be checked.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = Rng::new(1).choice_weighted_without_replacement(array![1., 0., 3.], 2);
    /// assert_eq!(x.sort(0).to_vec::<i64>()?, [0, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] for weights that are no vector; [`ErrorKind::Argument`] for weights that are
    /// negative, infinite or NaN, and where fewer than `size` are above 0; errors of the read.
    #[track_caller]
    pub fn choice_weighted_without_replacement(&mut self, weights: impl Operand, size: usize) -> Expr {
        const OP: &str = "choice_weighted_without_replacement";
        let at = Location::caller();
        let weights = operand(weights, at);
        let shape = weights.0.shape.clone();
        let keys = self.draw(OP, &shape[..], at, |word| {
            let (host, _) = read(OP, &weights, at)?;
            check(OP, &host, at)?;
            let there = host.iter().filter(|w| **w > 0.0).count();
            if size > there {
                let detail = format!("{size} positions asked for, of {there} with a weight above 0");
                return Err(wrong(OP, detail, at));
            }
            let wide = computed_in(weights.0.dtype);
            let e = unit_exponential(word, 0, wide, at);
            Ok(binary(&arithmetic::divide, e, cast(weights.clone(), wide, at), at))
        });
        super::order::first_of(OP, keys.argsort(0), size, at)
    }

    /// How many of `n` draws fall on each of k weights, a vector, as i64: the result has another last axis of length k, whose sums are
    /// `n`. The weights need not have the sum 1. It makes `n` draws of [`Rng::choice_weighted`] for each result and counts them.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = Rng::new(1).multinomial(1000, array![1., 1., 2.], [5]).eval()?;
    /// assert_eq!(x.sum(1).to_vec::<i64>()?, [1000; 5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Rng::choice_weighted`], of `n` draws for each result.
    #[track_caller]
    pub fn multinomial(&mut self, n: usize, weights: impl Operand, shape: impl IntoShape) -> Expr {
        const OP: &str = "multinomial";
        let at = Location::caller();
        let weights = operand(weights, at);
        let shape = match shape_arg(shape) {
            Ok(shape) => shape,
            Err(f) => return Expr::failed(f.at(OP, at), at),
        };
        let rows = layout::product(&shape);
        let drawn = self.weighted(OP, &weights, [rows, n], at);
        if drawn.error().is_some() {
            return drawn;
        }
        let k = weights.0.shape[0];
        let mut out: Shape = shape;
        out.push(k);
        let cells = match layout::size_of_shape(&out) {
            Ok(cells) => cells,
            Err(f) => return Expr::failed(f.at(OP, at), at),
        };
        let device = drawn.0.device;
        let fill = |v: i128, n: usize| Expr::fill_on(device, Scalar::Int(v), smallvec![n], DType::I64, at);
        // the counts of all results lie one after another
        let places = (drawn + arange(0, rows * k, k.max(1), DType::I64).expand_dims(1)).reshape([rows * n]);
        let counts = fill(0, cells).index_add(0, places, fill(1, rows * n));
        counts.reshape(&out[..])
    }
}

/// A parameter for each element of a draw, in a type.
fn each(op: &'static str, e: Expr, dtype: DType, word: super::Words, at: Loc) -> Result<Expr> {
    let e = view(op, &cast(e, dtype, at), at, |from| View::broadcast_to(from, &word(0).0.shape));
    e.checked()?;
    Ok(e)
}

fn binomial_of_arrays(op: &'static str, n: Expr, p: Expr, word: super::Words, at: Loc) -> Result<Expr> {
    common(op, [&n, &p].into_iter(), at)?;
    if !n.0.dtype.is_integer() {
        let detail = format!("the numbers of trials have dtype {}; integers are needed", n.0.dtype);
        return Err(Error::with_line(ErrorKind::DType, op, detail, at));
    }
    let wide = computed_in(p.0.dtype);
    let (n, p) = (each(op, n, DType::I64, word, at)?, each(op, p, wide, word, at)?);
    Ok(counts::binomial(&n, &p, word, wide, at))
}

fn binomial_of_numbers(op: &'static str, trials: f64, p: f64, word: super::Words, at: Loc) -> Result<Expr> {
    if trials * p * (1.0 - p) > WIDEST {
        let detail = format!("{trials} trials of probability {p}; a variance up to 10^9 is taken");
        return Err(wrong(op, detail, at));
    }
    let (first, weights) = match p {
        1.0 => (trials, vec![1.0]),
        _ => {
            let odds = p / (1.0 - p);
            let mode = ((trials + 1.0) * p).floor().min(trials);
            around(mode, trials, |k| (trials - k) / (k + 1.0) * odds)
        }
    };
    from_table(op, first, &weights, word, at)
}

/// The elements of a vector of weights, and its device.
fn read(op: &'static str, weights: &Expr, at: Loc) -> Result<(Vec<f64>, Device)> {
    let shape = &weights.checked()?.shape;
    if shape.len() != 1 || shape[0] == 0 {
        let detail = format!("the weights have shape {shape:?}; a vector of one or more is needed");
        return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
    }
    let array = weights.eval_at(at)?;
    let host = array.to_device(&Device::cpu())?.astype(DType::F64).to_vec::<f64>()?;
    Ok((host, array.device()))
}

/// Weights of the numbers around the one of the largest, whose own is 1, up to `last`, as far as they are above 2^-80; and the
/// first number. `ratio(k)` is the weight of k + 1 over that of k.
fn around(mode: f64, last: f64, ratio: impl Fn(f64) -> f64) -> (f64, Vec<f64>) {
    const LEAST: f64 = 1.0 / (1u128 << 80) as f64;
    let mut weights = vec![];
    let (mut k, mut weight) = (mode, 1.0);
    while k > 0.0 {
        weight /= ratio(k - 1.0);
        if weight < LEAST || weight.is_nan() {
            break;
        }
        k -= 1.0;
        weights.push(weight);
    }
    let first = k;
    weights.reverse();
    (k, weight) = (mode, 1.0);
    while weight >= LEAST && k <= last {
        weights.push(weight);
        weight *= ratio(k);
        k += 1.0;
    }
    (first, weights)
}

/// Numbers from `first` on with weights, whose table is on the device of what has none.
fn from_table(op: &'static str, first: f64, weights: &[f64], word: super::Words, at: Loc) -> Result<Expr> {
    let positions = Table::new(op, weights, &Device::of(0), at)?.positions(word(0), word(1), at);
    let first = Expr::fill(Scalar::Int(first as i128), smallvec![], DType::I64, at);
    Ok(binary(&arithmetic::add, positions, first, at))
}
