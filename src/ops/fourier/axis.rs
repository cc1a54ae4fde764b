//! The Fourier transform along one axis: a call of the routine `fft` (`graph/routine/fft.rs`), or Bluestein's method if
//! the length has a prime factor above 7. An even number of real numbers is transformed as half as many complex numbers.

use super::{Call, Direction, Scale, part, resized, strided};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Loc, Result};
use crate::base::layout::{self, View};
use crate::graph::expr::{Expr, binary, cast, choose, reshape, routine, unary, view};
use crate::graph::routine::{FFT, INVERSE, REAL, SCALE_BY_LENGTH, SCALE_BY_ROOT, axis_before, fft_params, is_smooth};
use crate::graph::ufunc::{arithmetic, logic, special};
use crate::ops::create::iota;
use crate::ops::functions::join;
use smallvec::{SmallVec, smallvec};

/// If the axes after the transformed axis hold fewer elements than this, the transformed axis is moved to the end
/// first. The elements of those axes are neighbours in memory, one for each SIMD lane, so fewer would leave lanes
/// unused.
const NEIGHBOURS: usize = 16;

/// The longest axis that is transformed in its place if it is not the last axis. A longer one is moved to the end
/// first, because a CPU task holds a sequence of this length for each SIMD lane.
const LONGEST: usize = 1 << 14;

/// Returns the Fourier transform of complex numbers along an axis. Both the input and the result are pairs of real and
/// imaginary parts.
pub(super) fn transform(
    parts: [Expr; 2],
    axis: usize,
    direction: Direction,
    scale: Scale,
    call: Call,
) -> Result<[Expr; 2]> {
    let shape = parts[0].checked()?.shape.clone();
    parts[1].checked()?;
    let n = shape[axis];
    if n == 0 {
        let detail = format!("axis {axis} of shape {:?} has length 0", shape.as_slice());
        return Err(call.error(ErrorKind::Shape, detail));
    }
    if n == 1 || shape.contains(&0) {
        return Ok(parts);
    }
    if !is_smooth(n) {
        return bluestein(parts, axis, direction, scale, call);
    }
    let kind = FourierKind { direction, scale, is_real: false };
    along_axis(parts, axis, n, kind, call)
}

/// Returns whether [`transform_of_reals`] and [`reals_of_transform`] compute the transform of `n` real numbers.
pub(super) fn is_by_halves(n: usize) -> bool {
    n >= 4 && n.is_multiple_of(2) && is_smooth(n / 2)
}

/// Returns the first n/2 + 1 numbers of the Fourier transform of `n` real numbers along an axis, from a transform of
/// n/2 complex numbers: those with even indices are the real parts, and those with odd indices the imaginary parts.
pub(super) fn transform_of_reals(x: &Expr, axis: usize, scale: Scale, call: Call) -> Result<[Expr; 2]> {
    let n = x.checked()?.shape[axis];
    if x.0.shape.contains(&0) {
        let half = part(x, axis, [0, n / 2 + 1], 1, call);
        return Ok([half.clone(), half]);
    }
    let parts = [0, 1].map(|first| strided(x, axis, first, 2, call));
    along_axis(parts, axis, n / 2, FourierKind { direction: Direction::Forward, scale, is_real: true }, call)
}

/// Returns the `n` real numbers along an axis whose transform begins with the n/2 + 1 given numbers.
pub(super) fn reals_of_transform(parts: [Expr; 2], axis: usize, n: usize, scale: Scale, call: Call) -> Result<Expr> {
    let mut shape = parts[0].checked()?.shape.clone();
    let dtype = parts[0].0.dtype;
    parts[1].checked()?;
    shape[axis] = n;
    if shape.contains(&0) {
        return Ok(Expr::fill_on(parts[0].0.device, Scalar::Float(0.0), shape, dtype, call.at));
    }
    let kind = FourierKind { direction: Direction::Inverse, scale, is_real: true };
    Ok(interleaved(along_axis(parts, axis, n / 2, kind, call)?, axis, call))
}

/// Returns the elements of two operands of the same shape in turn along an axis.
pub(super) fn interleaved(parts: [Expr; 2], axis: usize, call: Call) -> Expr {
    let mut shape: SmallVec<[isize; 6]> = parts[0].0.shape.iter().map(|n| *n as isize).collect();
    shape[axis] *= 2;
    let beside = parts.map(|e| view(call.op, &e, call.at, |s| View::expand(s, axis as isize + 1)));
    reshape(call.op, &join(call.op, beside.into(), axis as isize + 1, call.at), &shape, call.at)
}

/// What a call of the routine `fft` computes.
#[derive(Clone, Copy)]
struct FourierKind {
    direction: Direction,
    scale: Scale,
    /// Whether the operands of a forward transform, or the results of an inverse one, are the real numbers with even
    /// and with odd indices.
    is_real: bool,
}

/// Computes transforms of `length` complex numbers along an axis. If the elements of the transforms are not neighbours
/// in a useful order, the axis is moved to the end and back.
fn along_axis(parts: [Expr; 2], axis: usize, length: usize, kind: FourierKind, call: Call) -> Result<[Expr; 2]> {
    let shape = &parts[0].0.shape;
    let last = shape.len() - 1;
    let inner = layout::product(&shape[axis + 1..]);
    if inner == 1 || inner >= NEIGHBOURS && length <= LONGEST {
        return call_routine(parts, [length, inner], kind, call.at);
    }
    let mut axes: Vec<isize> = (0..shape.len() as isize).collect();
    axes.swap(axis, last);
    let turned = |parts: [Expr; 2]| parts.map(|e| view(call.op, &e, call.at, |s| View::permute(s, &axes)));
    Ok(turned(call_routine(turned(parts), [length, 1], kind, call.at)?))
}

/// Calls the routine `fft`. `lengths` are the length of the complex transform, and the number of elements in all axes
/// after its axis. The derivative of a transform is its adjoint: the transform in the opposite direction with the same
/// factor. In a transform of real numbers, each of the complex numbers but the first and the last stands for itself and
/// its conjugate, so that the adjoint has weights.
fn call_routine([re, im]: [Expr; 2], lengths: [usize; 2], kind: FourierKind, at: Loc) -> Result<[Expr; 2]> {
    let FourierKind { direction, scale, is_real } = kind;
    let bits = if direction == Direction::Inverse { INVERSE } else { 0 } | if is_real { REAL } else { 0 };
    let bits = bits
        | match scale {
            Scale::One => 0,
            Scale::Length => SCALE_BY_LENGTH,
            Scale::Root => SCALE_BY_ROOT,
        };
    let has_ends = is_real && direction == Direction::Inverse;
    let size = layout::product(&re.0.shape) / (lengths[0] + usize::from(has_ends)) * lengths[0];
    let params = fft_params(lengths[0], lengths[1], bits, size);
    let results = routine(&FFT, smallvec![re.clone(), im.clone()], params, at)?;
    let ruled = |number: usize| {
        let back = move |g: &Expr, at: Loc| {
            let zeros = Expr::fill_on(g.0.device, Scalar::Float(0.0), g.0.shape.clone(), g.0.dtype, at);
            let mut parts = if number == 0 { [g.clone(), zeros] } else { [zeros, g.clone()] };
            if is_real && !has_ends {
                parts = parts.map(|e| weighted(&e, lengths, 0.5, at));
            }
            let opposite = FourierKind { direction: direction.opposite(), ..kind };
            let gradients = call_routine(parts, lengths, opposite, at)?;
            Ok(if has_ends { gradients.map(|e| weighted(&e, lengths, 2.0, at)) } else { gradients }.into())
        };
        results[number].with_rule(vec![re.clone(), im.clone()], Some(Box::new(back)))
    };
    Ok([ruled(0), ruled(1)])
}

/// Multiplies all numbers along the axis of a transform but the first and the last by a factor. `lengths` are those of
/// [`call_routine`].
fn weighted(e: &Expr, lengths: [usize; 2], factor: f64, at: Loc) -> Expr {
    let shape = &e.0.shape;
    let position = positions(e, axis_before(shape, lengths[1]), lengths[0] + 1, at);
    let is_inside = binary(&logic::not_equal, binary(&arithmetic::remainder, position, lengths[0], at), 0, at);
    choose(is_inside, binary(&arithmetic::multiply, e, factor, at), e, at)
}

/// Transforms an axis whose length has a prime factor above 7, by Bluestein's method. Because j·k equals
/// (j² + k² − (k − j)²) / 2, the transform is a convolution. Three transforms of a larger length, which has no such
/// factor, compute this convolution.
fn bluestein(mut parts: [Expr; 2], axis: usize, direction: Direction, scale: Scale, call: Call) -> Result<[Expr; 2]> {
    let at = call.at;
    if direction == Direction::Inverse {
        // a forward transform between two exchanges of real and imaginary parts is the inverse transform
        parts.swap(0, 1);
    }
    let (n, dtype) = (parts[0].0.shape[axis], parts[0].0.dtype);
    if n > i32::MAX as usize / 4 {
        return Err(
            call.error(ErrorKind::LimitExceeded, format!("a transform of {n} numbers, whose factors are large"))
        );
    }
    let m = (2 * n - 1..).find(|m| is_smooth(*m)).unwrap_or(usize::MAX);
    let position = positions(&parts[0], axis, n, at);
    let chirp = half_turns(&position, n, dtype, at);
    let position = positions(&parts[0], axis, m, at);
    let from_end = binary(&arithmetic::subtract, m, &position, at);
    let distance = binary(&arithmetic::minimum, position, from_end, at);
    let is_used = binary(&logic::less, &distance, n, at);
    // `half_turns` accepts only integers below n, so larger distances are replaced by 0; the filter is 0 there
    let [c, s] = half_turns(&choose(&is_used, distance, 0, at), n, dtype, at);
    let filter = [choose(&is_used, c, 0.0, at), choose(&is_used, unary(&arithmetic::negative, s, at), 0.0, at)];
    let filter = transform(filter, 0, Direction::Forward, Scale::Length, call)?;
    let padded = product(&parts, &chirp, at);
    let padded = [resized(&padded[0], axis, m, call)?, resized(&padded[1], axis, m, call)?];
    let spectrum = product(&transform(padded, axis, Direction::Forward, Scale::One, call)?, &filter, at);
    let sums = transform(spectrum, axis, Direction::Inverse, Scale::One, call)?;
    let sums = [resized(&sums[0], axis, n, call)?, resized(&sums[1], axis, n, call)?];
    let mut results = product(&sums, &chirp, at);
    let factor = match scale {
        Scale::One => None,
        Scale::Length => Some(1.0 / n as f64),
        Scale::Root => Some(1.0 / (n as f64).sqrt()),
    };
    if let Some(factor) = factor {
        results = results.map(|e| binary(&arithmetic::multiply, e, factor, at));
    }
    if direction == Direction::Inverse {
        results.swap(0, 1);
    }
    Ok(results)
}

/// Returns the integers 0 to n − 1 along an axis of `like`, in a shape that broadcasts to the shape of `like`.
pub(super) fn positions(like: &Expr, axis: usize, n: usize, at: Loc) -> Expr {
    let after = like.0.shape.len() - 1 - axis;
    iota(std::iter::once(n).chain(std::iter::repeat_n(1, after)).collect(), 0, at)
}

/// Returns the elementwise products of complex numbers, which are given as real and imaginary parts.
pub(super) fn product([a, b]: &[Expr; 2], [c, d]: &[Expr; 2], at: Loc) -> [Expr; 2] {
    let times = |x: &Expr, y: &Expr| binary(&arithmetic::multiply, x, y, at);
    let re = binary(&arithmetic::subtract, times(a, c), times(b, d), at);
    [re, binary(&arithmetic::add, times(a, d), times(b, c), at)]
}

/// Returns the real and imaginary parts of exp(−πi·k²/n) for integers k below n. Integer arithmetic reduces the angle
/// exactly to at most an eighth of a turn, before sine and cosine are computed in `dtype`.
fn half_turns(k: &Expr, n: usize, dtype: DType, at: Loc) -> [Expr; 2] {
    let whole = 2 * n as i64;
    let op = |row| move |a: &Expr, b: i64| binary(row, a, b, at);
    let (times, modulo, over) = (op(&arithmetic::multiply), op(&arithmetic::remainder), op(&arithmetic::floor_divide));
    let k = cast(k.clone(), mutant!(chirp_in_i32, DType::I32, DType::I64), at);
    let turns = times(&modulo(&binary(&arithmetic::multiply, &k, &k, at), whole), 8);
    let (octant, rest) = (over(&turns, whole), modulo(&turns, whole));
    let is_odd = binary(&logic::equal, modulo(&octant, 2), 1, at);
    let rest = choose(is_odd, binary(&arithmetic::subtract, whole, &rest, at), &rest, at);
    let x = binary(&arithmetic::divide, cast(rest, dtype, at), 4.0 * whole as f64, at);
    let (c, s) = (unary(&special::cospi, &x, at), unary(&special::sinpi, &x, at));
    // in octants 1, 2, 5 and 6, cosine and sine are exchanged
    let swaps = binary(&logic::greater_equal, modulo(&op(&arithmetic::add)(&octant, 1), 4), 2, at);
    let (cosine, sine) = (choose(&swaps, &s, &c, at), choose(&swaps, &c, &s, at));
    let middle = modulo(&op(&arithmetic::add)(&octant, 2), 8);
    let negative = |e: &Expr| unary(&arithmetic::negative, e, at);
    let is_left = binary(&logic::greater_equal, &middle, 4, at);
    let is_below = binary(&logic::greater_equal, &octant, 4, at);
    [choose(is_left, negative(&cosine), &cosine, at), choose(is_below, &sine, negative(&sine), at)]
}
