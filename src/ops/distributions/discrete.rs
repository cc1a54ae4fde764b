//! Distributions of integers, and choice of categories.

use super::table::{Table, check};
use super::{computed_in, counts, probability, times, unit_exponential, wrong};
use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, IntoAxes, IntoShape, Shape, View, shape_arg};
use crate::graph::expr::{Arg, Called, Expr, Operand, binary, cast, common, operand, reduce, strong, unary, view};
use crate::graph::ufunc::{ARGMAX, arithmetic, float};
use crate::ops::create::arange;
use crate::ops::index::added_at;
use crate::ops::random::Rng;
use smallvec::smallvec;
use std::panic::Location;

/// The largest mean (Poisson) or variance (binomial) x for which a table is built. A table has about 20·√x entries,
/// which is 632,000 at this limit.
const WIDEST: f64 = 1e9;
/// The largest number of trials: f64 represents this number and all smaller integers exactly.
const MOST_TRIALS: i128 = 1 << 53;

impl Rng {
    /// Draws the number of trials up to the first success: 1, 2, …, as i64. Each trial succeeds with probability `p`.
    /// The number is `⌈e / −log(1 − p)⌉`, where e is drawn from the exponential distribution with mean 1 in f32, so
    /// large numbers have 24 significant bits. On a GPU, a result may differ by 1 if the quotient is close to an
    /// integer.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).geometric(0.25, [10_000]);
    /// assert!((x.mean(..).item::<f32>()? - 4.0).abs() < 0.2);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] unless `p` is between 2^-56 and 1, and
    /// [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 elements.
    #[track_caller]
    pub fn geometric(&mut self, p: f64, shape: impl IntoShape) -> Expr {
        const OP: &str = "geometric";
        let at = Location::caller();
        self.draw(OP, shape, at, |word| {
            // this test also rejects NaN
            if !(2f64.powi(-56)..=1.0).contains(&p) {
                return Err(wrong(OP, format!("the probability is {p}; it must lie between 2^-56 and 1"), at));
            }
            let e = unit_exponential(word, 0, DType::F32, at);
            // for p = 1 the factor is 0, and the first trial succeeds
            let trials = unary(&arithmetic::ceil, times(e, -1.0 / (-p).ln_1p(), at), at);
            Ok(cast(binary(&arithmetic::maximum, trials, 1.0, at), DType::I64, at))
        })
    }

    /// Draws from the Poisson distribution with mean `lam`, as i64: the number of events when `lam` events are
    /// expected. `lam` is a number, or an array of means that broadcasts to `shape`.
    ///
    /// If `lam` is a number, the call builds a table of about 20·√`lam` probabilities. Each draw looks up a random
    /// number of 64 bits in this table. Every device draws the same numbers. The table and the draw are on the CPU, or
    /// on the device of [`Device::scope`]; [`Expr::to_device`] moves the result.
    ///
    /// If `lam` is an array, its device computes the draw when the expression is evaluated: in f32, or in f64 for an
    /// f64 array on the CPU. The draw inverts the distribution function at one uniform number (after Giles, "Algorithm
    /// 955", ACM TOMS 42, 2016). The cost is the same for all means. The result is −1 if the mean is NaN, negative or
    /// above 2^62.
    ///
    /// The absolute error of each probability is less than 10^-5. In f32, the mean is rounded to f32, and numbers with
    /// a probability below 2^-32 are not drawn. On a GPU, about √`lam` of 10^6 results differ by 1, because the
    /// quantile is close to an integer.
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
    /// The expression carries [`ErrorKind::Argument`] if the number `lam` is NaN, negative or above 10^9;
    /// [`ErrorKind::Shape`] for an array that does not broadcast to `shape`; and [`ErrorKind::LimitExceeded`] for more
    /// than 2^32 − 1 elements.
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

    /// Draws from the binomial distribution, as i64: how many of `n` trials succeed, each with probability `p`. `n` and
    /// `p` are numbers, or arrays that broadcast to `shape`. If `n` is an array, it must hold integers.
    ///
    /// If both are numbers, the call builds a table of probabilities. Each draw looks up a random number of 64 bits in
    /// this table.
    ///
    /// If one of them is an array, the draw inverts the distribution function at one uniform number, in f64 if `p` is
    /// an array of f64 and otherwise in f32. With this method, the absolute error of each probability is less than
    /// 2·10^-4, and less than 2·10^-5 for 12 or more trials. The result is −1 if an element of `p` is outside 0 to 1,
    /// or if an element of `n` is negative or above 2^53.
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
    /// The expression carries [`ErrorKind::Argument`] if a number `p` is outside 0 to 1, if a number `n` is not an
    /// integer from 0 to 2^53, or if both are numbers and the variance `n·p·(1 − p)` is above 10^9. It carries
    /// [`ErrorKind::DType`] if an array `n` does not hold integers, [`ErrorKind::Shape`] for an array that does not
    /// broadcast to `shape`, and [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 elements.
    #[track_caller]
    pub fn binomial(&mut self, n: impl Operand, p: impl Operand, shape: impl IntoShape) -> Expr {
        const OP: &str = "binomial";
        let at = Location::caller();
        let (n, p) = (n.into_arg(), p.into_arg());
        self.draw(OP, shape, at, |word| {
            // a parameter that is a number is checked here even if the other parameter is an array
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

    /// Draws a category for each row of logits along an axis, as i64. Category i has the probability
    /// `softmax(logits)[i]`. The result has the shape of the logits without this axis. To draw n times from one row of
    /// k logits, use `logits.broadcast_to([n, k])`. If you have weights, pass `weights.log()`, or use
    /// [`Rng::choice_weighted`], which is exact.
    ///
    /// The category is the position of the largest sum of a logit and Gumbel noise (Gumbel 1954), in f32, or in f64 for
    /// f64 logits. The draw fuses with other operations. A category with the logit −∞ is drawn only if all logits of
    /// the row are −∞; the result is then category 0. If a row contains a NaN, the result is the position of the NaN.
    /// On a GPU, another category may be drawn if two sums differ only by rounding errors.
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
    /// The expression carries [`ErrorKind::Axis`] if the axis does not exist, [`ErrorKind::Shape`] if it has length 0,
    /// [`ErrorKind::DType`] if the logits are not floats, and [`ErrorKind::LimitExceeded`] for more than 2^32 − 1
    /// logits.
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

    /// Draws numbers from 0 to n − 1 with equal probabilities and with replacement, as i64. To choose elements of an
    /// array, use `x.take(rng.choice(n, shape), 0)`.
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
    /// The expression carries [`ErrorKind::Argument`] for `n` = 0, and the errors of [`Rng::integers`].
    #[track_caller]
    pub fn choice(&mut self, n: usize, shape: impl IntoShape) -> Expr {
        let at = Location::caller();
        let _called = Called::begin("choice", at);
        if n == 0 {
            let e = wrong("choice", "there is nothing to choose from: n is 0".into(), at);
            return Expr::failed(e, at);
        }
        self.integers(0, n, shape, DType::I64)
    }

    /// Draws positions in a vector of weights with replacement, as i64. The probability of a position is its weight
    /// divided by the sum of the weights, so the weights need not sum to 1. The call reads the weights and builds a
    /// table of integer sums. Each draw looks up a random number of 64 bits in this table. Every device draws the same
    /// positions. A weight is rounded down by less than 2^-60 of the sum.
    ///
    /// ```
    /// use cupric::{DType, Rng, array};
    /// let x = Rng::new(1).choice_weighted(array![1., 0., 3.], [10_000]);
    /// assert!((x.mean(..).item::<f32>()? - 1.5).abs() < 0.05);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the weights are not a vector; [`ErrorKind::Argument`] if a weight
    /// is negative, infinite or NaN, or if all are 0; the errors of reading the weights; and
    /// [`ErrorKind::LimitExceeded`] for more than 2^32 − 1 elements.
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

    /// Draws `size` different positions in a vector of weights, as i64, one after another. The probability of a
    /// position is its weight divided by the sum of the weights that are left, as in NumPy's
    /// `choice(replace=False, p=weights)`. Positions of weight 0 are never drawn.
    ///
    /// For each position, the call draws a number e from the exponential distribution with mean 1. It returns the
    /// positions with the smallest quotients e / weight (Efraimidis and Spirakis 2006). The call reads the weights to
    /// check them.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = Rng::new(1).choice_weighted_without_replacement(array![1., 0., 3.], 2);
    /// assert_eq!(x.sort(0).to_vec::<i64>()?, [0, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the weights are not a vector; [`ErrorKind::Argument`] if a weight
    /// is negative, infinite or NaN, or if fewer than `size` weights are above 0; and the errors of reading the
    /// weights.
    #[track_caller]
    pub fn choice_weighted_without_replacement(&mut self, weights: impl Operand, size: usize) -> Expr {
        const OP: &str = "choice_weighted_without_replacement";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let weights = operand(weights, at);
        let shape = weights.0.shape.clone();
        let keys = self.draw(OP, &shape[..], at, |word| {
            let (host, _) = read(OP, &weights, at)?;
            check(OP, &host, at)?;
            let there = host.iter().filter(|w| **w > 0.0).count();
            if size > there {
                let detail = format!("cannot choose {size} positions, because only {there} have a weight above 0");
                return Err(wrong(OP, detail, at));
            }
            let wide = computed_in(weights.0.dtype);
            let e = unit_exponential(word, 0, wide, at);
            Ok(binary(&arithmetic::divide, e, cast(weights.clone(), wide, at), at))
        });
        super::order::first_of(OP, keys.argsort(0), size, at)
    }

    /// Counts how often each of k weights is drawn in `n` draws, as i64. The result has the shape `shape` with an
    /// additional last axis of length k, along which the counts sum to `n`. The weights are a vector and need not sum
    /// to 1. The function makes `n` draws of [`Rng::choice_weighted`] for each vector of counts.
    ///
    /// ```
    /// use cupric::{Rng, array};
    /// let x = Rng::new(1).multinomial(1000, array![1., 1., 2.], [5]).eval()?;
    /// assert_eq!(x.sum(1).to_vec::<i64>()?, [1000; 5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Rng::choice_weighted`] with `n` draws for each vector of counts.
    #[track_caller]
    pub fn multinomial(&mut self, n: usize, weights: impl Operand, shape: impl IntoShape) -> Expr {
        const OP: &str = "multinomial";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
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
        // the k counts of row r of `drawn` begin at r · k; `places` are the positions of the counts to increment
        let places = (drawn + arange(0, rows * k, k.max(1), DType::I64).expand_dims(1)).reshape([rows * n]);
        let counts = added_at(OP, &fill(0, cells), 0, places, fill(1, rows * n), at);
        counts.reshape(&out[..])
    }
}

/// Casts a parameter and broadcasts it to the shape of the draw.
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
        let detail = format!("{trials} trials of probability {p} have a variance above the limit of 10^9");
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

/// Reads a vector of weights. Returns its elements and its device.
fn read(op: &'static str, weights: &Expr, at: Loc) -> Result<(Vec<f64>, Device)> {
    let shape = &weights.checked()?.shape;
    if shape.len() != 1 || shape[0] == 0 {
        let detail = format!("the weights have shape {shape:?}; expected a vector of at least one element");
        return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
    }
    let array = weights.eval_at(at)?;
    let host = array.to_device(&Device::cpu())?.astype(DType::F64).to_vec::<f64>()?;
    Ok((host, array.device()))
}

/// Returns the first of several consecutive integers around `mode`, and the weights of these integers. The weight of
/// `mode` is 1. The integers are between 0 and `last`, and their weights are at least 2^-80. `ratio(k)` is the weight
/// of k + 1 divided by the weight of k.
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

/// Draws integers from a table of weights: the integer `first` + i has the weight `weights[i]`. The table is on the
/// CPU, or on the device of [`Device::scope`].
fn from_table(op: &'static str, first: f64, weights: &[f64], word: super::Words, at: Loc) -> Result<Expr> {
    let positions = Table::new(op, weights, &Device::of(0), at)?.positions(word(0), word(1), at);
    let first = Expr::fill(Scalar::Int(first as i128), smallvec![], DType::I64, at);
    Ok(binary(&arithmetic::add, positions, first, at))
}
