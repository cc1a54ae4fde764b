//! Random numbers from lazy generators, by Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
//! SC 2011). Philox computes a block of four random words of 32 bits from a key, the seed, and a counter. The counter
//! has the element's index divided by four, the index of the draw, and the index of the word. So every device draws the
//! same words, in whatever order it computes the elements.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IntoShape, Shape, shape_arg};
use crate::graph::expr::{Arg, Binding, Expr, NodeOp, Operand, binary, cast, composed, result_of, ufunc};
use crate::graph::ufunc::{arithmetic, float, logic};
use smallvec::smallvec;
use std::panic::Location;

/// A source of random numbers, made from a seed. Each call of a method that draws numbers uses a new stream of random
/// 32-bit words. The returned expression has the same numbers at each evaluation and on each device. Only the numbers
/// of [`Rng::normal`] may differ between devices, within the error bounds of the logarithm and the cosine.
///
/// ```
/// use cupric::{DType, Rng};
/// let mut rng = Rng::new(42);
/// let u = rng.uniform([1000], DType::F32);
/// let mean = u.mean(..).item::<f32>()?;
/// assert!((0.4..0.6).contains(&mean));
/// assert_eq!(u.to_vec::<f32>()?, u.to_vec::<f32>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rng {
    seed: u64,
    stream: u32,
}

/// Offsets that are added to the index of a word (see [`Stream::word`]). They select the words for the radius and the
/// angle of the Box–Muller transform, which two neighbouring elements share.
const RADIUS: u8 = 4;
const ANGLE: u8 = 8;

/// The stream of random words of one draw.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    seed: u64,
    stream: u32,
}

impl Stream {
    /// Returns one random word for each element of an array. Each element has four words, numbered 0 to 3, and `word`
    /// selects one of them. With [`RADIUS`] or [`ANGLE`] added to `word`, a pair of neighbouring elements shares a
    /// word. `shape` comes from [`drawn_shape`].
    pub(crate) fn word(self, word: u8, shape: &Shape, at: Loc) -> Expr {
        let bound = Binding::Random { seed: self.seed, stream: self.stream };
        Expr::leaf(NodeOp::Philox { word }, bound, shape.clone(), DType::U32, 0, at)
    }
}

/// Returns the shape of a draw, or an error if it has more elements than the counter's 32 bits can count.
pub(crate) fn drawn_shape(op: &'static str, shape: impl IntoShape, at: Loc) -> Result<Shape> {
    let shape: Shape = shape_arg(shape).map_err(|f| f.at(op, at))?;
    let n = layout::product(&shape);
    if n > u32::MAX as usize {
        let detail = format!("{n} elements requested; one draw has at most {}", u32::MAX);
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    Ok(shape)
}

/// Returns a constant of dtype u32.
pub(crate) fn word_constant(v: u32, at: Loc) -> Expr {
    Expr::fill(Scalar::Int(v as i128), smallvec![], DType::U32, at)
}

impl Rng {
    /// Creates a source from a seed. Two sources with the same seed draw the same numbers in the same sequence of
    /// calls.
    #[doc(alias("default_rng", "manual_seed", "RandomState"))]
    pub fn new(seed: u64) -> Rng {
        Rng { seed, stream: 0 }
    }

    /// Creates a new source from this one. The numbers that the two sources draw afterwards are independent.
    #[doc(alias("spawn"))]
    pub fn split(&mut self) -> Rng {
        let words = philox([0, 1, self.next(), 0], [self.seed as u32, (self.seed >> 32) as u32]);
        let high = mutant!(split_by_half_a_seed, 0, words[1]);
        Rng { seed: words[0] as u64 | (high as u64) << 32, stream: 0 }
    }

    fn next(&mut self) -> u32 {
        let stream = self.stream;
        self.stream = self.stream.wrapping_add(mutant!(random_streams_alike, 0, 1));
        stream
    }

    /// Returns the state: the seed, and the number of draws so far. [`Rng::from_state`] makes a new source from the
    /// state. The new source draws the numbers that this source would draw next. A state, like a seed, stays valid in
    /// later versions of this library.
    ///
    /// ```
    /// use cupric::{DType, Rng, array_equal};
    /// let mut rng = Rng::new(42);
    /// let _ = rng.uniform([10], DType::F32);
    /// let mut again = Rng::from_state(rng.state())?;
    /// assert!(array_equal(&rng.normal([5], DType::F32), &again.normal([5], DType::F32))?);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "get_state")]
    #[doc(alias = "bit_generator")]
    pub fn state(&self) -> [u64; 2] {
        [self.seed, self.stream as u64]
    }

    /// Creates a source from the state that [`Rng::state`] returned for another source. The new source draws the
    /// numbers that the other source draws after that call.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if the second number of the state is 2^32 or more.
    #[doc(alias = "set_state")]
    #[track_caller]
    pub fn from_state(state: [u64; 2]) -> Result<Rng> {
        match u32::try_from(state[1]) {
            Ok(stream) => Ok(Rng { seed: state[0], stream }),
            Err(_) => {
                let detail = format!("the second number of a state is {}; it must be below 2^32", state[1]);
                Err(Error::with_line(ErrorKind::Argument, "from_state", detail, Location::caller()))
            }
        }
    }

    /// Returns the next stream and advances the source.
    pub(crate) fn take_stream(&mut self) -> Stream {
        Stream { seed: self.seed, stream: self.next() }
    }

    /// Returns an expression of random numbers from the next stream. `make` builds the expression from a function that
    /// returns the random words with a given index (see [`Stream::word`]). The result carries an error if the draw has
    /// more elements than the counter's 32 bits can count.
    pub(crate) fn draw(
        &mut self,
        op: &'static str,
        shape: impl IntoShape,
        at: Loc,
        make: impl FnOnce(&dyn Fn(u8) -> Expr) -> Result<Expr>,
    ) -> Expr {
        let stream = self.take_stream();
        let build = || {
            let shape = drawn_shape(op, shape, at)?;
            make(&|word| stream.word(word, &shape, at))
        };
        composed(|| result_of(op, at, build))
    }

    /// Draws an array of the given shape from the uniform distribution over [0, 1), with as many random bits as `dtype`
    /// represents exactly: 24 for f32 (the upper bits of a random 32-bit word, times 2^-24), 53 for f64 (from two such
    /// words), 11 for f16, and 8 for bf16.
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::DType`] if `dtype` is not a float, and [`ErrorKind::LimitExceeded`] for 2^32
    /// elements or more.
    #[doc(alias("rand", "random"))]
    #[track_caller]
    pub fn uniform(&mut self, shape: impl IntoShape, dtype: DType) -> Expr {
        let at = Location::caller();
        self.draw("uniform", shape, at, |word| {
            is_float("uniform", dtype, at)?;
            Ok(unit([&|| word(0), &|| word(1)], 0, dtype, at))
        })
    }

    /// Draws an array of the given shape from the normal distribution with mean 0 and standard deviation 1. The
    /// Box–Muller transform turns two uniform numbers into two neighbouring elements; in f64, each element uses two
    /// uniform numbers of its own. f16 and bf16 are computed in f32 and rounded at the end. The errors are as in
    /// [`Rng::uniform`].
    #[doc(alias("randn", "standard_normal"))]
    #[track_caller]
    pub fn normal(&mut self, shape: impl IntoShape, dtype: DType) -> Expr {
        self.normal_at("normal", shape, dtype, Location::caller())
    }

    /// Draws like [`Rng::normal`]. Errors name the operation `op`.
    pub(crate) fn normal_at(&mut self, op: &'static str, shape: impl IntoShape, dtype: DType, at: Loc) -> Expr {
        self.draw(op, shape, at, |word| {
            is_float(op, dtype, at)?;
            Ok(normal_of(word, 0, dtype, at))
        })
    }

    /// Draws an array of integers, uniformly from `low..high`, in an integer dtype. A draw is `low` plus the upper 64
    /// bits of the product of 64 random bits and the width `high - low`. So the absolute error of the probability of
    /// each integer is at most 2^-64. The numbers do not depend on `dtype`.
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] if `low` and `high` are not Rust integers, if the range is empty,
    /// or if its integers do not fit `dtype`. It carries [`ErrorKind::DType`] if `dtype` is not an integer type, and
    /// [`ErrorKind::LimitExceeded`] for 2^32 elements or more.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let dice = Rng::new(1).integers(1, 7, [100], DType::U8);
    /// assert_eq!(dice.min(..).item::<u8>()?, 1);
    /// assert_eq!(dice.max(..).item::<u8>()?, 6);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("randint"))]
    #[track_caller]
    pub fn integers(&mut self, low: impl Operand, high: impl Operand, shape: impl IntoShape, dtype: DType) -> Expr {
        let at = Location::caller();
        let (low, high) = (low.into_arg(), high.into_arg());
        self.draw("integers", shape, at, |word| {
            let wrong = |detail: String| Error::with_line(ErrorKind::Argument, "integers", detail, at);
            let integer = |a: Arg| match a {
                Arg::Scalar(Scalar::Int(v)) => Ok(v),
                Arg::Expr(_) | Arg::Scalar(Scalar::Bool(_) | Scalar::Float(_)) => {
                    Err(wrong("the limits must be Rust integers".into()))
                }
            };
            let (low, high) = (integer(low)?, integer(high)?);
            if !dtype.is_integer() {
                let detail = format!("dtype {dtype} is not an integer type; draw integers, then use astype");
                return Err(Error::with_line(ErrorKind::DType, "integers", detail, at));
            }
            if low >= high {
                return Err(wrong(format!("the range {low}..{high} is empty")));
            }
            let (least, most) = dtype.integer_range();
            if let Some(v) = [low, high - 1].into_iter().find(|v| !(least..=most).contains(v)) {
                return Err(wrong(format!("{v} does not fit dtype {dtype}")));
            }
            let width = high - low;
            let above = match u32::try_from(width) {
                Ok(width) => mul_high_of_two(word(0), word(1), width, at),
                Err(_) if width == 1 << 32 => word(0),
                Err(_) => mul_high_wide(word(0), word(1), width as u64, at),
            };
            // the cast and the sum may wrap, but the result is exact, because every drawn integer fits the dtype
            let low = Expr::fill(Scalar::Int(low), smallvec![], dtype, at);
            Ok(binary(&arithmetic::add, cast(above, dtype, at), low, at).wrapping())
        })
    }

    /// Draws an array whose elements are 1 (or true) with probability `p`, and otherwise 0, in `dtype`. For each
    /// element, 64 random bits are compared with `p` · 2^64.
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Argument`] if `p` is not between 0 and 1, and [`ErrorKind::LimitExceeded`]
    /// for 2^32 elements or more.
    #[track_caller]
    pub fn bernoulli(&mut self, p: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        self.bernoulli_at("bernoulli", p, shape, dtype, Location::caller())
    }

    /// Draws like [`Rng::bernoulli`]. Errors name the operation `op`.
    pub(crate) fn bernoulli_at(
        &mut self,
        op: &'static str,
        p: f64,
        shape: impl IntoShape,
        dtype: DType,
        at: Loc,
    ) -> Expr {
        self.draw(op, shape, at, |word| {
            if !(0.0..=1.0).contains(&p) {
                return Err(Error::with_line(
                    ErrorKind::Argument,
                    op,
                    format!("{p} is not a probability: it must lie between 0 and 1"),
                    at,
                ));
            }
            // the first word decides unless it equals the upper 32 bits of p · 2^64; then the second word decides
            let limit = p * 2f64.powi(32);
            let (high, low) = (limit.floor(), (limit.fract() * 2f64.powi(32)) as u32);
            if high >= 2f64.powi(32) {
                return Ok(cast(binary(&logic::greater_equal, word(0), word_constant(0, at), at), dtype, at));
            }
            let high = high as u32;
            let mut hit = binary(&logic::less, word(0), word_constant(high, at), at);
            if mutant!(bernoulli_by_one_word, false, low != 0) {
                let same = binary(&logic::equal, word(0), word_constant(high, at), at);
                let below = binary(&logic::less, word(1), word_constant(low, at), at);
                hit = binary(&logic::logical_or, hit, binary(&logic::logical_and, same, below, at), at);
            }
            Ok(cast(hit, dtype, at))
        })
    }
}

/// Computes normal numbers by the Box–Muller transform. Two neighbouring elements share the words with the index
/// `first`. In f64, each element uses four words of its own, from the index `first` on.
pub(crate) fn normal_of(word: &dyn Fn(u8) -> Expr, first: u8, dtype: DType, at: Loc) -> Expr {
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    // 1 is added to the integer of the first uniform number, so that the number is in (0, 1] and its logarithm is
    // finite
    let plus = mutant!(normal_of_zero, 0, 1);
    let word = |k: u8| word(first + k);
    let (u, v) = if wide == DType::F64 {
        (unit([&|| word(0), &|| word(1)], plus, wide, at), unit([&|| word(2), &|| word(3)], 0, wide, at))
    } else {
        (unit([&|| word(RADIUS); 2], plus, wide, at), unit([&|| word(ANGLE); 2], 0, wide, at))
    };
    let log = ufunc(&float::log, smallvec![u.into_arg()], at);
    let radius = ufunc(&float::sqrt, smallvec![binary(&arithmetic::multiply, log, -2.0, at).into_arg()], at);
    let turn = binary(&arithmetic::multiply, v, std::f64::consts::TAU, at);
    let cos = ufunc(&float::cos, smallvec![turn.into_arg()], at);
    cast(binary(&arithmetic::multiply, radius, cos, at), dtype, at)
}

/// Returns an error unless the dtype is a float type.
pub(crate) fn is_float(op: &'static str, dtype: DType, at: Loc) -> Result<()> {
    match dtype.is_float() {
        true => Ok(()),
        false => Err(Error::with_line(ErrorKind::DType, op, format!("dtype {dtype} is not a float type"), at)),
    }
}

/// Returns (bits + plus) · 2^-n. `bits` is the integer of the upper n bits of a word (of two words for f64), and n is
/// the number of bits that `dtype` represents exactly.
fn unit(words: [&dyn Fn() -> Expr; 2], plus: u32, dtype: DType, at: Loc) -> Expr {
    let upper = |word: Expr, n: u32| binary(&logic::bitwise_right_shift, word, word_constant(32 - n, at), at);
    let digits = [(DType::F16, 11), (DType::BF16, 8), (DType::F64, 53)];
    let n = digits.iter().find(|d| d.0 == dtype).map_or(24, |d| d.1);
    let bits = if dtype == DType::F64 {
        let high = binary(&arithmetic::multiply, cast(upper(words[0](), 27), dtype, at), 2f64.powi(26), at);
        let bits = binary(&arithmetic::add, high, cast(upper(words[1](), 26), dtype, at), at);
        if plus == 0 { bits } else { binary(&arithmetic::add, bits, plus, at) }
    } else {
        let top = upper(words[0](), n as u32);
        cast(if plus == 0 { top } else { binary(&arithmetic::add, top, word_constant(plus, at), at) }, dtype, at)
    };
    binary(&arithmetic::multiply, bits, 2f64.powi(-n), at)
}

/// Returns the upper 64 bits of the product of `by` and the 64-bit number with the halves `high` and `low`. It
/// multiplies halves of 32 bits, because there is no dtype of 128 bits.
pub(crate) fn mul_high_wide(high: Expr, low: Expr, by: u64, at: Loc) -> Expr {
    let constant = |v: u64| Expr::fill(Scalar::Int(v as i128), smallvec![], DType::U64, at);
    let low_half = |e: &Expr| binary(&logic::bitwise_and, e, constant(u32::MAX as u64), at);
    let high_half = |e: &Expr| binary(&logic::bitwise_right_shift, e, constant(32), at);
    let times = |e: &Expr, k: u64| binary(&arithmetic::multiply, e, constant(k), at);
    let plus = |a: Expr, b: Expr| binary(&arithmetic::add, a, b, at);
    let (a, b) = (cast(high, DType::U64, at), cast(low, DType::U64, at));
    let (c, d) = (by >> 32, by & u32::MAX as u64);
    let (ad, bc, bd) = (times(&a, d), times(&b, c), times(&b, d));
    let middle = plus(plus(high_half(&bd), low_half(&ad)), low_half(&bc));
    plus(plus(times(&a, c), high_half(&middle)), plus(high_half(&ad), high_half(&bc)))
}

/// Returns the upper 64 bits of the product of `by` and the 64-bit number with the halves `high` and `low`. The result
/// fits 32 bits, because `by` does.
fn mul_high_of_two(high: Expr, low: Expr, by: u32, at: Loc) -> Expr {
    let below = mul_high(low, by, at);
    let product = binary(&arithmetic::multiply, &high, word_constant(by, at), at);
    let sum = binary(&arithmetic::add, &product, below, at);
    // the sum has overflowed 32 bits if it is less than a summand
    let carry = cast(binary(&logic::less, sum, product, at), DType::U32, at);
    let carry = mutant!(integers_of_one_word, word_constant(0, at), carry);
    binary(&arithmetic::add, mul_high(high, by, at), carry, at)
}

/// Returns the upper 32 bits of the 64-bit product of `word` and `by`. It multiplies halves of 16 bits, because a GPU
/// may have no 64-bit integers.
fn mul_high(word: Expr, by: u32, at: Loc) -> Expr {
    let low_half = |e: &Expr| binary(&logic::bitwise_and, e, word_constant(0xffff, at), at);
    let high_half = |e: &Expr| binary(&logic::bitwise_right_shift, e, word_constant(16, at), at);
    let times = |e: &Expr, k: u32| binary(&arithmetic::multiply, e, word_constant(k, at), at);
    let plus = |a: Expr, b: Expr| binary(&arithmetic::add, a, b, at);
    let (a, b) = (high_half(&word), low_half(&word));
    let (c, d) = (by >> 16, by & 0xffff);
    if by <= 1 << 16 {
        // neither of the two products nor their sum reaches 2^32
        return high_half(&plus(times(&a, by), high_half(&times(&b, by))));
    }
    let (ad, bc, bd) = (times(&a, d), times(&b, c), times(&b, d));
    let middle = plus(plus(high_half(&bd), low_half(&ad)), low_half(&bc));
    plus(
        plus(times(&a, c), high_half(&ad)),
        plus(high_half(&bc), mutant!(integers_lose_a_carry, word_constant(0, at), high_half(&middle))),
    )
}

/// Computes Philox4x32-10 on the host. Returns four random words for the counter `c` and the key `k`.
fn philox(mut c: [u32; 4], mut k: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let (p, q) = (0xD251_1F53u64 * c[0] as u64, 0xCD9E_8D57u64 * c[2] as u64);
        c = [(q >> 32) as u32 ^ c[1] ^ k[0], q as u32, (p >> 32) as u32 ^ c[3] ^ k[1], p as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

#[cfg(feature = "testing")]
mod tests {
    use super::philox;

    crate::testing::unit_tests!(random: philox_gives_the_published_vectors);

    fn philox_gives_the_published_vectors() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
