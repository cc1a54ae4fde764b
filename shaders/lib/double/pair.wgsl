// Parts of the functions of f64: sums and products with their rounding errors, whole numbers, powers of two. A driver
// may reassociate, fold and fuse operations. Where a sum must be computed in a certain order, d_block makes its terms
// opaque. No function in this folder needs a fused multiply-add, which a device may compute with two roundings. Instead
// of an fma, cd_product_error computes the rounding error of a product, from exact products of halves. Fusing these
// products changes nothing. As `cp_` does for f32, `cd_` in the name of a function of f64 says that it is a part of
// other functions.
//
// The source of the polynomials cd_poly_* is not in this file: the generator writes it from the coefficients in
// src/math/double, so that the functions of the CPU and of the GPU have the same coefficients.

// `x` with its low 27 bits cleared, so that a product of two such numbers is exact. Opaque to the compiler, like
// d_block.
fn cd_head(x: f64) -> f64 {
    return bitcast<f64>(bitcast<u64>(x) & 0xfffffffff8000000lu);
}

// a + b as the rounded sum and its rounding error
fn cd_two_sum(a: f64, b: f64) -> vec2<f64> {
    let s = d_block(a + b);
    let c = d_block(s - a);
    let d = d_block(s - c);
    return vec2<f64>(s, d_block(a - d) + d_block(b - c));
}

// a b - p, where p is the rounded product a b, opaque to the compiler
fn cd_product_error(a: f64, b: f64, p: f64) -> f64 {
    let ah = cd_head(a);
    let bh = cd_head(b);
    let al = d_block(a - ah);
    let bl = d_block(b - bh);
    let e = d_block(d_block(ah * bh) - p);
    let f = d_block(e + ah * bl);
    let g = d_block(f + al * bh);
    return g + al * bl;
}

// a b as the rounded product and its rounding error
fn cd_two_product(a: f64, b: f64) -> vec2<f64> {
    let p = d_block(a * b);
    return vec2<f64>(p, cd_product_error(a, b, p));
}

// n - q d for a q near n / d
fn cd_rest(n: f64, q: f64, d: f64) -> f64 {
    let p = d_block(q * d);
    return d_block(n - p) - cd_product_error(q, d, p);
}

// The product of two numbers, each of which is a sum of two f64
fn cd_pair_product(x: vec2<f64>, y: vec2<f64>) -> vec2<f64> {
    let p = cd_two_product(x.x, y.x);
    let cross = x.x * y.y + x.y * y.x;
    return vec2<f64>(p.x, p.y + cross);
}

fn cd_pair_sum(x: vec2<f64>, y: vec2<f64>) -> vec2<f64> {
    let s = cd_two_sum(x.x, y.x);
    return cd_two_sum(s.x, s.y + (x.y + y.y));
}

// (n.x + n.y) / (d.x + d.y), with an error that is little above half a unit in the last place
fn cd_quotient(n: vec2<f64>, d: vec2<f64>) -> f64 {
    let i = 1.0lf / d.x;
    let q = d_block(n.x * i);
    let rest = cd_rest(n.x, q, d.x) + (n.y - q * d.y);
    return q + rest * i;
}

// x rounded to a whole number, ties to even, for abs(x) <= 2^51: the sum with 1.5 2^52 has no bits for fractions.
fn cd_whole(x: f64) -> f64 {
    let k = d_block(x + 6755399441055744.0lf);
    return d_block(k - 6755399441055744.0lf);
}

// Converts a whole number below 2^31 to an integer, which is the low word of the sum.
fn cd_int(n: f64) -> i32 {
    return bitcast<i32>(low_u64(bitcast<u64>(n + 6755399441055744.0lf)));
}

// Converts an integer to f64: n + 2^31 is put into the low word of a number from 2^52 on, and 2^52 + 2^31 is
// subtracted.
fn cd_of_int(n: i32) -> f64 {
    let k = bitcast<f64>(make_u64(bitcast<u32>(n) ^ 0x80000000u, 0x43300000u));
    return d_block(k - 4503601774854144.0lf);
}

// 2^n for -1022 <= n <= 1023, and 0 for n = -1023
fn cd_power(n: i32) -> f64 {
    return bitcast<f64>(make_u64(0u, bitcast<u32>(n + 1023) << 20u));
}

// x 2^n for abs(n) <= 2044. It multiplies by two factors, because 2^n may be out of range where the result is not. The
// first product is exact. The result is opaque, because a compiler must not move the factors into an operation of the
// caller.
fn cd_scale(x: f64, n: i32) -> f64 {
    let half = n >> 1u;
    let part = d_block(x * cd_power(half));
    return d_block(part * cd_power(n - half));
}
