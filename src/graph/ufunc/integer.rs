//! Integer arithmetic by cupric's rules, which are the same on both backends. Arithmetic wraps, and division by 0
//! returns 0. A shift by the type's width or more, or by a negative number, returns 0 (−1 for a right shift of a
//! negative number).

/// The arithmetic of the four integer compute types.
pub(crate) trait Int: Copy {
    /// Divides and rounds down. `x // 0` is 0, and `MIN // -1` wraps to `MIN`.
    fn floor_div(self, d: Self) -> Self;
    /// Returns the remainder with the sign of the divisor, or 0 for a divisor of 0.
    fn floor_mod(self, d: Self) -> Self;
    /// Returns the remainder with the sign of the dividend, or 0 for a divisor of 0.
    fn trunc_mod(self, d: Self) -> Self;
    fn shift_left(self, by: Self) -> Self;
    fn shift_right(self, by: Self) -> Self;
    /// Returns the wrapping power. For a negative exponent, returns the exact power truncated to an integer, and 0 for
    /// a base of 0.
    fn power(self, exponent: Self) -> Self;
    fn magnitude(self) -> Self;
    /// Returns the greatest common divisor of the magnitudes, wrapped.
    fn gcd(self, other: Self) -> Self;
    /// Returns the least common multiple of the magnitudes, wrapped, or 0 if one of them is 0.
    fn lcm(self, other: Self) -> Self;
    /// Returns −1, 0 or 1.
    fn signum_of(self) -> Self;
    fn is_negative_value(self) -> u8;
}

macro_rules! signed {
    ($($t:ty)*) => { $(
        impl Int for $t {
            #[inline(always)]
            fn floor_div(self, d: Self) -> Self {
                if d == 0 {
                    return 0;
                }
                let q = self.wrapping_div(d);
                let r = self.wrapping_rem(d);
                q - (r != 0 && (r < 0) != (d < 0)) as Self
            }
            #[inline(always)]
            fn floor_mod(self, d: Self) -> Self {
                if d == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(d);
                if r != 0 && mutant!(remainder_takes_dividends_sign, r < 0 && d < 0, (r < 0) != (d < 0)) { r + d } else { r }
            }
            #[inline(always)]
            fn trunc_mod(self, d: Self) -> Self {
                if d == 0 { 0 } else { self.wrapping_rem(d) }
            }
            #[inline(always)]
            fn shift_left(self, by: Self) -> Self {
                let shifted = self.wrapping_shl(by as u32);
                if by < 0 || by >= <$t>::BITS as Self { 0 } else { shifted }
            }
            #[inline(always)]
            fn shift_right(self, by: Self) -> Self {
                let shifted = self.wrapping_shr(by as u32);
                if by < 0 || by >= <$t>::BITS as Self { self >> (<$t>::BITS - 1) } else { shifted }
            }
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                if exponent >= 0 {
                    return pow(self as _, exponent as _) as Self;
                }
                match self {
                    1 => 1,
                    -1 => if exponent & 1 == 0 { 1 } else { -1 },
                    _ => 0,
                }
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                self.wrapping_abs()
            }
            #[inline(always)]
            fn gcd(self, other: Self) -> Self {
                gcd(self.unsigned_abs() as u64, other.unsigned_abs() as u64) as Self
            }
            #[inline(always)]
            fn lcm(self, other: Self) -> Self {
                lcm(self.unsigned_abs() as u64, other.unsigned_abs() as u64) as Self
            }
            #[inline(always)]
            fn signum_of(self) -> Self {
                self.signum()
            }
            #[inline(always)]
            fn is_negative_value(self) -> u8 {
                (self < 0) as u8
            }
        }
    )* };
}

macro_rules! unsigned {
    ($($t:ty)*) => { $(
        impl Int for $t {
            #[inline(always)]
            fn floor_div(self, d: Self) -> Self {
                if d == 0 { 0 } else { self / d }
            }
            #[inline(always)]
            fn floor_mod(self, d: Self) -> Self {
                if d == 0 { 0 } else { self % d }
            }
            #[inline(always)]
            fn trunc_mod(self, d: Self) -> Self {
                if d == 0 { 0 } else { self % d }
            }
            #[inline(always)]
            fn shift_left(self, by: Self) -> Self {
                let shifted = self.wrapping_shl(by as u32);
                if by >= <$t>::BITS as Self { 0 } else { shifted }
            }
            #[inline(always)]
            fn shift_right(self, by: Self) -> Self {
                let shifted = self.wrapping_shr(by as u32);
                if by >= <$t>::BITS as Self { 0 } else { shifted }
            }
            #[inline(always)]
            fn power(self, exponent: Self) -> Self {
                pow(self as _, exponent as _) as Self
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                self
            }
            #[inline(always)]
            fn gcd(self, other: Self) -> Self {
                gcd(self as u64, other as u64) as Self
            }
            #[inline(always)]
            fn lcm(self, other: Self) -> Self {
                lcm(self as u64, other as u64) as Self
            }
            #[inline(always)]
            fn signum_of(self) -> Self {
                (self != 0) as Self
            }
            #[inline(always)]
            fn is_negative_value(self) -> u8 {
                0
            }
        }
    )* };
}

signed! { i32 i64 }
unsigned! { u32 u64 }

/// Returns the power modulo 2^64, by repeated squaring. The low bits of the result are also the wrapped power of
/// narrower types, because 2^64 is a multiple of 2^width. This holds for a negative, sign-extended base too.
#[inline(always)]
fn pow(mut x: u64, mut n: u64) -> u64 {
    let mut r = 1u64;
    while n > 0 {
        if n & 1 == 1 {
            r = r.wrapping_mul(x);
        }
        x = x.wrapping_mul(x);
        n >>= 1;
    }
    r
}

/// Returns the greatest common divisor by Stein's binary algorithm (1967), which only divides by two. Each round
/// removes at least one bit from one of the two numbers.
#[inline(always)]
fn gcd(mut a: u64, mut b: u64) -> u64 {
    if a == 0 || b == 0 {
        return a | b;
    }
    let twos = (a | b).trailing_zeros();
    a >>= a.trailing_zeros();
    while b != 0 {
        b >>= b.trailing_zeros();
        (a, b) = (a.min(b), a.abs_diff(b));
    }
    a << twos
}

/// Returns the least common multiple modulo 2^64. The low bits of this number are the result for narrower types.
#[inline(always)]
fn lcm(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 { 0 } else { (a / gcd(a, b)).wrapping_mul(b) }
}

/// The reference implementations (`Ufunc::exact_int`): the same rules in i128, before the result wraps, for operands of
/// `w` bits.
pub(crate) mod exact {
    pub fn floor_div(a: i128, d: i128) -> i128 {
        if d == 0 { 0 } else { a.div_euclid(d) - ((d < 0) && a.rem_euclid(d) != 0) as i128 }
    }
    pub fn gcd(a: i128, b: i128) -> i128 {
        let (mut a, mut b) = (a.abs(), b.abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }
    pub fn lcm(a: i128, b: i128) -> i128 {
        if a == 0 || b == 0 { 0 } else { (a.abs() / gcd(a, b)).wrapping_mul(b.abs()) }
    }
    pub fn floor_mod(a: i128, d: i128) -> i128 {
        if d == 0 { 0 } else { a - d * floor_div(a, d) }
    }
    pub fn shift_left(a: i128, by: i128, w: u32) -> i128 {
        if by < 0 || by >= w as i128 { 0 } else { a << by }
    }
    pub fn shift_right(a: i128, by: i128, w: u32) -> i128 {
        if by < 0 || by >= w as i128 { if a < 0 { -1 } else { 0 } } else { a >> by }
    }
    /// Returns the power modulo 2^64, by repeated squaring. Each type uses the low bits of the result.
    pub fn pow(a: i128, n: i128) -> i128 {
        if n < 0 {
            return match a {
                1 => 1,
                -1 => 1 - 2 * (n & 1),
                _ => 0,
            };
        }
        let (mut r, mut x, mut n) = (1u64, a as u64, n as u64);
        while n > 0 {
            if n & 1 == 1 {
                r = r.wrapping_mul(x);
            }
            x = x.wrapping_mul(x);
            n >>= 1;
        }
        r as i128
    }
}
