//! The transform along one axis: a call of the routine, or Bluestein's method for a length with a large prime factor.

use super::{Call, Direction, Scale, resized};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Loc, Result};
use crate::base::layout::{self, View};
use crate::graph::expr::{Expr, binary, cast, choose, routine, unary, view};
use crate::graph::routine::{FFT, INVERSE, SCALE_BY_LENGTH, SCALE_BY_ROOT, fft_params, is_smooth};
use crate::graph::ufunc::{arithmetic, logic, special};
use crate::ops::create::iota;
use smallvec::smallvec;

/// The least number of neighbouring rows that are transformed where they are, along an axis that is not the last. Fewer
/// would leave lanes of vectors unused, so the axis is moved to the end first.
const NEIGHBOURS: usize = 16;

/// The longest transform along an axis that is not the last. A task of the CPU holds the rows of all lanes in memory.
const LONGEST: usize = 1 << 14;

/// Transforms complex numbers along an axis.
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
    let last = shape.len() - 1;
    let inner = layout::product(&shape[axis + 1..]);
    if inner == 1 || inner >= NEIGHBOURS && n <= LONGEST {
        return call_routine(parts, [n, inner], direction, scale, call.at);
    }
    let mut axes: Vec<isize> = (0..shape.len() as isize).collect();
    axes.swap(axis, last);
    let turned = |parts: [Expr; 2]| parts.map(|e| view(call.op, &e, call.at, |s| View::permute(s, &axes)));
    Ok(turned(call_routine(turned(parts), [n, 1], direction, scale, call.at)?))
}

/// Calls the routine: see its entry in the table for the two lengths. The derivative of a transform is its adjoint: the
/// transform in the opposite direction with the same factor.
fn call_routine(
    [re, im]: [Expr; 2],
    lengths: [usize; 2],
    direction: Direction,
    scale: Scale,
    at: Loc,
) -> Result<[Expr; 2]> {
    let kind = if direction == Direction::Inverse { INVERSE } else { 0 };
    let kind = kind
        | match scale {
            Scale::One => 0,
            Scale::Length => SCALE_BY_LENGTH,
            Scale::Root => SCALE_BY_ROOT,
        };
    let size = layout::product(&re.0.shape);
    let params = fft_params(lengths[0], lengths[1], kind, size);
    let results = routine(&FFT, smallvec![re.clone(), im.clone()], params, at)?;
    let ruled = |number: usize| {
        let back = move |g: &Expr, at: Loc| {
            let zeros = Expr::fill_on(g.0.device, Scalar::Float(0.0), g.0.shape.clone(), g.0.dtype, at);
            let parts = if number == 0 { [g.clone(), zeros] } else { [zeros, g.clone()] };
            Ok(call_routine(parts, lengths, direction.opposite(), scale, at)?.into())
        };
        results[number].with_rule(vec![re.clone(), im.clone()], Some(Box::new(back)))
    };
    Ok([ruled(0), ruled(1)])
}

/// Transforms a length with a large prime factor as a convolution, by transforms of a larger length: j·k is
/// (j² + k² − (k − j)²) / 2.
fn bluestein(mut parts: [Expr; 2], axis: usize, direction: Direction, scale: Scale, call: Call) -> Result<[Expr; 2]> {
    let at = call.at;
    if direction == Direction::Inverse {
        // the inverse transform is that of the numbers with real and imaginary parts exchanged
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
    // beyond n the square would not fit the reduction
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

/// Returns the numbers from 0 to below `n` along an axis of an operand, to which they broadcast.
pub(super) fn positions(like: &Expr, axis: usize, n: usize, at: Loc) -> Expr {
    let after = like.0.shape.len() - 1 - axis;
    iota(std::iter::once(n).chain(std::iter::repeat_n(1, after)).collect(), 0, at)
}

/// Returns the products of complex numbers.
pub(super) fn product([a, b]: &[Expr; 2], [c, d]: &[Expr; 2], at: Loc) -> [Expr; 2] {
    let times = |x: &Expr, y: &Expr| binary(&arithmetic::multiply, x, y, at);
    let re = binary(&arithmetic::subtract, times(a, c), times(b, d), at);
    [re, binary(&arithmetic::add, times(a, d), times(b, c), at)]
}

/// Returns exp(−πi·k²/n) for integers k below n. The angle is reduced exactly to an eighth of a turn, by integers.
fn half_turns(k: &Expr, n: usize, dtype: DType, at: Loc) -> [Expr; 2] {
    let whole = 2 * n as i64;
    let op = |row| move |a: &Expr, b: i64| binary(row, a, b, at);
    let (times, modulo, over) = (op(&arithmetic::multiply), op(&arithmetic::remainder), op(&arithmetic::floor_divide));
    let k = cast(k.clone(), DType::I64, at);
    let turns = times(&modulo(&binary(&arithmetic::multiply, &k, &k, at), whole), 8);
    let (octant, rest) = (over(&turns, whole), modulo(&turns, whole));
    let is_odd = binary(&logic::equal, modulo(&octant, 2), 1, at);
    let rest = choose(is_odd, binary(&arithmetic::subtract, whole, &rest, at), &rest, at);
    let x = binary(&arithmetic::divide, cast(rest, dtype, at), 4.0 * whole as f64, at);
    let (c, s) = (unary(&special::cospi, &x, at), unary(&special::sinpi, &x, at));
    // octants 1, 2, 5 and 6 exchange cosine and sine
    let swaps = binary(&logic::greater_equal, modulo(&op(&arithmetic::add)(&octant, 1), 4), 2, at);
    let (cosine, sine) = (choose(&swaps, &s, &c, at), choose(&swaps, &c, &s, at));
    let middle = modulo(&op(&arithmetic::add)(&octant, 2), 8);
    let negative = |e: &Expr| unary(&arithmetic::negative, e, at);
    let is_left = binary(&logic::greater_equal, &middle, 4, at);
    let is_below = binary(&logic::greater_equal, &octant, 4, at);
    [choose(is_left, negative(&cosine), &cosine, at), choose(is_below, &sine, negative(&sine), at)]
}
