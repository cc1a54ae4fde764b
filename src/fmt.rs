//! Floor 9: printing. `Display` writes what NumPy's `str` writes, for every dtype, shape and layout.
//!
//! Only the elements that are printed are read back: of a long axis the first and the last three, through one strided
//! view. Then every element becomes a cell of the same width, and the cells are set in rows and brackets.

use crate::array::Array;
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, ErrorKind, Result};
use crate::expr::{Expr, strong, view};
use crate::layout::{Shape, View, size_of_shape};
use half::{bf16, f16};
use smallvec::smallvec;
use std::fmt;

/// Arrays of more elements are shortened. This number and the next three are NumPy's defaults.
const THRESHOLD: usize = 1000;
/// Elements that are shown at each end of a shortened axis.
const EDGE: usize = 3;
/// Digits after the point, at most.
const PRECISION: usize = 8;
const LINE_WIDTH: usize = 75;
/// The most elements that are printed. Axes of up to six elements are not shortened and an array can have 62 of length 2, so
/// without a limit the text could be endless. The number is a judgement: four million are more than anybody reads.
const MOST_CELLS: usize = 1 << 22;

impl fmt::Display for Expr {
    /// As NumPy's `str`; an error is printed, not returned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match text(self) {
            Ok(text) => f.write_str(&text),
            Err(e) => write!(f, "<error: {e}>"),
        }
    }
}

impl fmt::Display for Array {
    /// As NumPy's `str`. Reads back only the elements that it prints; an error is printed, not returned.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![[1., 2.5], [-3., 0.]].to_string(), "[[ 1.   2.5]\n [-3.   0. ]]");
    /// let x = cupric::arange(0, 5000, 1, cupric::DType::I32).eval()?;
    /// assert_eq!(x.to_string(), "[   0    1    2 ... 4997 4998 4999]");
    /// # Ok::<(), cupric::Error>(())
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expr: &Expr = self;
        fmt::Display::fmt(expr, f)
    }
}

impl fmt::Debug for Expr {
    /// Dtype and shape; nothing is evaluated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.checked() {
            Ok(node) => write!(f, "Expr({}, {:?})", node.dtype, node.shape.as_slice()),
            Err(e) => write!(f, "Expr(<error: {e}>)"),
        }
    }
}

impl fmt::Debug for Array {
    /// Dtype, shape and device; nothing is transferred.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({}, {:?}, {})", self.dtype(), self.shape(), self.device().name())
    }
}

fn text(e: &Expr) -> Result<String> {
    let shape: Shape = e.shape()?.into();
    if shape.is_empty() {
        let dtype = e.dtype()?;
        let value = read(e, dtype)?;
        return Ok(value.first().map_or(String::new(), |v| bare(*v, dtype)));
    }
    if shape.contains(&0) {
        return Ok("[]".into());
    }
    let shorten = e.size()? > mutant!(print_shortens_1000, THRESHOLD - 1, THRESHOLD);
    let cells = cells(&shown(e, &shape, shorten)?, e.dtype()?);
    let mut page = Page { out: String::new(), shape: &shape, shorten, cells: cells.iter() };
    page.block(0, &mut String::from(" "), LINE_WIDTH);
    Ok(page.out)
}

// --- reading ---

/// The elements that are printed, in C order.
fn shown(e: &Expr, shape: &[usize], shorten: bool) -> Result<Vec<Scalar>> {
    let at = e.0.location;
    let long = |n: usize| shorten && n > 2 * EDGE;
    let count: Shape = shape.iter().map(|n| if long(*n) { 2 * EDGE } else { *n }).collect();
    if size_of_shape(&count).map_err(|f| f.at("print", at))? > MOST_CELLS {
        let detail = format!("shape {shape:?} would print more than {MOST_CELLS} elements");
        return Err(Error::new(ErrorKind::LimitExceeded, "print", detail, at));
    }
    let part = if shape.iter().any(|n| long(*n)) { view("print", e, at, |s| Ok(ends(s))) } else { e.clone() };
    read(&part, e.dtype()?)
}

/// A view of both ends of each long axis: an axis of n elements becomes two, of lengths 2 (which end) and EDGE (which element
/// of it), with steps n - EDGE and 1.
fn ends(shape: &[usize]) -> View {
    // (operand axis, step, length) of each axis of the result
    let mut axes: Vec<(usize, isize, usize)> = Vec::new();
    for (d, &n) in shape.iter().enumerate() {
        if n > 2 * EDGE {
            axes.push((d, (n - EDGE) as isize, 2));
            axes.push((d, 1, EDGE));
        } else {
            axes.push((d, 1, n));
        }
    }
    let mut v = View {
        shape: axes.iter().map(|a| a.2).collect(),
        offset: smallvec![0; shape.len()],
        coef: smallvec![0; shape.len() * axes.len()],
    };
    for (k, (d, step, _)) in axes.iter().enumerate() {
        v.coef[d * axes.len() + k] = *step;
    }
    v
}

fn read(e: &Expr, dtype: DType) -> Result<Vec<Scalar>> {
    fn of<T: Element>(e: &Expr) -> Result<Vec<Scalar>> {
        let all = e.eval_at(e.0.location)?.to_vec::<T>()?;
        Ok(all.into_iter().map(T::scalar).collect())
    }
    let e = &strong(e.clone(), e.0.location);
    match dtype {
        DType::Bool => of::<bool>(e),
        DType::U8 => of::<u8>(e),
        DType::I8 => of::<i8>(e),
        DType::U16 => of::<u16>(e),
        DType::I16 => of::<i16>(e),
        DType::U32 => of::<u32>(e),
        DType::I32 => of::<i32>(e),
        DType::U64 => of::<u64>(e),
        DType::I64 => of::<i64>(e),
        DType::F16 => of::<f16>(e),
        DType::BF16 => of::<bf16>(e),
        DType::F32 => of::<f32>(e),
        DType::F64 => of::<f64>(e),
    }
}

// --- rows and brackets ---

struct Page<'a> {
    out: String,
    shape: &'a [usize],
    shorten: bool,
    /// The texts of the printed elements, in order.
    cells: std::slice::Iter<'a, String>,
}

impl Page<'_> {
    /// The entries of an axis in print: `true` for an element or block, `false` for the dots.
    fn entries(&self, axis: usize) -> impl Iterator<Item = bool> + use<> {
        let n = self.shape[axis];
        let dots = self.shorten && n > 2 * EDGE;
        let (before, after) = if dots { (EDGE, EDGE) } else { (n, 0) };
        std::iter::repeat_n(true, before).chain(dots.then_some(false)).chain(std::iter::repeat_n(true, after))
    }

    /// Writes one axis and all within it. `indent` is the blank space that begins a new line under its opening bracket.
    fn block(&mut self, axis: usize, indent: &mut String, width: usize) {
        self.out.push('[');
        if axis + 1 == self.shape.len() {
            self.row(axis, indent, width);
        } else {
            let gap = "\n".repeat(self.shape.len() - axis - 1);
            for (i, entry) in self.entries(axis).enumerate() {
                if i > 0 {
                    self.out.push_str(&gap);
                    self.out.push_str(indent);
                }
                if entry {
                    indent.push(' ');
                    self.block(axis + 1, indent, width.saturating_sub(1));
                    indent.pop();
                } else {
                    self.out.push_str("...");
                }
            }
        }
        self.out.push(']');
    }

    /// Writes the cells of the last axis, with a new line where the next one would not fit.
    fn row(&mut self, axis: usize, indent: &str, width: usize) {
        let mut length = indent.len();
        for (i, entry) in self.entries(axis).enumerate() {
            let word = if entry { self.cells.next().map_or("", String::as_str) } else { "..." };
            if i > 0 {
                self.out.push(' ');
                length += 1;
            }
            // one column is left for the closing bracket; a word that is longer than a line stays on this one
            if length + word.len() > width.saturating_sub(mutant!(print_line_too_long, 0, 1)) && length > indent.len() {
                self.out.truncate(self.out.trim_end().len());
                self.out.push('\n');
                self.out.push_str(indent);
                length = indent.len();
            }
            self.out.push_str(word);
            length += word.len();
        }
    }
}

// --- elements ---

/// Every element as text of the same width.
fn cells(values: &[Scalar], dtype: DType) -> Vec<String> {
    if dtype.is_float() {
        return float_cells(&values.iter().map(|v| v.as_f64()).collect::<Vec<_>>(), dtype);
    }
    let text: Vec<String> = values.iter().map(|v| bare(*v, dtype)).collect();
    // NumPy gives True and False the same width even where only one of them is there
    let width = text.iter().map(String::len).max().unwrap_or(0).max(if dtype == DType::Bool { 5 } else { 0 });
    text.into_iter().map(|t| format!("{t:>width$}")).collect()
}

/// An element on its own, as a 0-d array prints it. Integers and bools are printed so in arrays too, but padded.
fn bare(value: Scalar, dtype: DType) -> String {
    match value {
        Scalar::Bool(true) => "True".into(),
        Scalar::Bool(false) => "False".into(),
        Scalar::Int(v) => v.to_string(),
        Scalar::Float(v) if !v.is_finite() => not_finite(v),
        Scalar::Float(v) => {
            let size = v.abs();
            let short = shortest(size, dtype);
            // NumPy prints a single f64 without an exponent up to 10^16, but in an array only up to 10^8
            let limit = if dtype == DType::F64 { 1e16 } else { scientific_from(dtype) };
            let (whole, fraction, exponent) = if size == 0.0 || (1e-4..limit).contains(&size) {
                let (whole, fraction) = short.plain();
                (whole, if fraction.is_empty() { "0".into() } else { fraction }, String::new())
            } else {
                let (whole, fraction) = short.scientific();
                (whole, fraction, exponent_text(short.exponent, 2))
            };
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{}{whole}{point}{fraction}{exponent}", sign(v))
        }
    }
}

fn not_finite(v: f64) -> String {
    if v.is_nan() { "nan".into() } else { format!("{}inf", sign(v)) }
}

fn sign(v: f64) -> &'static str {
    if v.is_sign_negative() { "-" } else { "" }
}

fn exponent_text(exponent: i32, width: usize) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:0width$}", exponent.unsigned_abs())
}

/// The magnitude from which on an array is printed with exponents, as in NumPy: 10 to the number of decimal digits that the
/// type holds in any case, but at most 10^8.
fn scientific_from(dtype: DType) -> f64 {
    use DType::*;
    match dtype {
        F16 | BF16 => 1e3,
        F32 => 1e6,
        F64 | Bool | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64 => 1e8,
    }
}

/// A number rounded to a float type, since NumPy compares its limits in the array's own type.
fn rounded(v: f64, dtype: DType) -> f64 {
    use DType::*;
    match dtype {
        F16 => f16::from_f32(v as f32).to_f64(),
        BF16 => bf16::from_f32(v as f32).to_f64(),
        F32 => v as f32 as f64,
        F64 | Bool | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64 => v,
    }
}

/// Whether an array with these values is printed with exponents.
fn is_scientific(finite: &[f64], dtype: DType) -> bool {
    let sizes = || finite.iter().map(|v| v.abs()).filter(|v| *v != 0.0);
    let Some(max) = sizes().reduce(f64::max) else { return false };
    let min = sizes().fold(max, f64::min);
    let apart = rounded(max / min, dtype);
    max >= scientific_from(dtype)
        || min < rounded(1e-4, dtype)
        || mutant!(exponents_at_a_ratio_of_1000, apart >= 1000.0, apart > 1000.0)
}

/// The cells of floats: all of them with exponents or all without, and the points in one column.
fn float_cells(values: &[f64], dtype: DType) -> Vec<String> {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let mut cells =
        if is_scientific(&finite, dtype) { scientific_cells(&finite, dtype) } else { positional_cells(&finite, dtype) }
            .into_iter();
    // nan and inf are aligned at the right, as the other cells
    let all: Vec<String> =
        values.iter().map(|v| if v.is_finite() { cells.next().unwrap_or_default() } else { not_finite(*v) }).collect();
    let width = all.iter().map(String::len).max().unwrap_or(0);
    all.into_iter().map(|t| format!("{t:>width$}")).collect()
}

/// Cells without exponents: each value has the digits after the point that it needs, at most eight, and blanks where others
/// have more.
fn positional_cells(values: &[f64], dtype: DType) -> Vec<String> {
    let parts: Vec<(String, String)> = values
        .iter()
        .map(|v| {
            let (mut whole, mut fraction) = shortest(v.abs(), dtype).plain();
            if fraction.len() > PRECISION {
                (whole, fraction) = split(&format!("{:.PRECISION$}", v.abs()));
            }
            whole.insert_str(0, sign(*v));
            (whole, fraction)
        })
        .collect();
    let left = parts.iter().map(|p| p.0.len()).max().unwrap_or(0);
    let right = parts.iter().map(|p| p.1.len()).max().unwrap_or(0);
    parts.into_iter().map(|(whole, fraction)| format!("{whole:>left$}.{fraction:<right$}")).collect()
}

/// Cells with exponents: all values have the same number of digits, at most eight after the point.
fn scientific_cells(values: &[f64], dtype: DType) -> Vec<String> {
    let short: Vec<Decimal> = values.iter().map(|v| shortest(v.abs(), dtype)).collect();
    let cut = |v: f64, digits: usize| Decimal::parse(&format!("{:.digits$e}", v.abs()));
    let needed = |v: f64, d: &Decimal| match d.digits.len() - 1 {
        n if n > PRECISION => cut(v, PRECISION).digits.len() - 1,
        n => n,
    };
    let digits = values.iter().zip(&short).map(|(v, d)| needed(*v, d)).max().unwrap_or(0);
    // a value whose shortest decimal has fewer digits shows more digits of its exact value, not zeros, as in NumPy: the f16
    // nearest to 0.1 becomes 9.9976e-02 beside a value that needs four digits after the point
    let shown = values.iter().zip(short).map(|(v, d)| if d.digits.len() == digits + 1 { d } else { cut(*v, digits) });
    let shown: Vec<Decimal> = shown.collect();
    let exponent = shown.iter().map(|d| exponent_text(d.exponent, 2).len() - 2).max().unwrap_or(2);
    let left = if values.iter().any(|v| v.is_sign_negative()) { 2 } else { 1 };
    let cell = |(v, d): (&f64, Decimal)| {
        let (whole, fraction) = d.scientific();
        let whole = format!("{}{whole}", sign(*v));
        format!("{whole:>left$}.{fraction:0<digits$}{}", exponent_text(d.exponent, exponent))
    };
    values.iter().zip(shown).map(cell).collect()
}

/// Splits a printed number into the digits before and after the point, the latter without the zeros at the end.
fn split(text: &str) -> (String, String) {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    (whole.into(), fraction.trim_end_matches('0').into())
}

/// A positive decimal number: digits without zeros at the end, and the power of ten of the first.
struct Decimal {
    digits: String,
    exponent: i32,
}

impl Decimal {
    /// Reads what Rust writes for `{:e}`.
    fn parse(text: &str) -> Decimal {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut digits = mantissa.replace('.', "");
        digits.truncate(digits.trim_end_matches('0').len().max(1));
        Decimal { digits, exponent: exponent.parse().unwrap_or(0) }
    }

    /// The decimal of `count` digits that follows this one.
    fn above(&self, count: usize) -> Decimal {
        let padded = format!("{:0<count$}", self.digits);
        let digits = (padded.parse::<u64>().unwrap_or(0) + 1).to_string();
        let exponent = self.exponent + (digits.len() - padded.len()) as i32;
        Decimal { digits: digits.trim_end_matches('0').into(), exponent }
    }

    /// Digits before and after the point, without an exponent.
    fn plain(&self) -> (String, String) {
        let before = self.exponent + 1;
        if before <= 0 {
            return ("0".into(), "0".repeat(before.unsigned_abs() as usize) + &self.digits);
        }
        let before = before as usize;
        if self.digits.len() > before {
            (self.digits[..before].into(), self.digits[before..].into())
        } else {
            (format!("{:0<before$}", self.digits), String::new())
        }
    }

    /// The first digit, and the others, as they stand before and after the point of a number with an exponent.
    fn scientific(&self) -> (String, String) {
        (self.digits[..1].into(), self.digits[1..].into())
    }

    /// Whether the decimal, rounded to `dtype`, is `v`.
    fn reads_back(&self, v: f64, dtype: DType) -> bool {
        let text = format!("{}e{}", self.digits, self.exponent - (self.digits.len() as i32 - 1));
        if dtype.is_half() {
            // the decimal may be parsed as f64 first: f64 holds the midpoints between neighbours of a half type exactly, and no
            // decimal of a few digits is so close to one that the rounding to f64 would move it there
            return text.parse().is_ok_and(|d: f64| half_rounds_to(d, v, dtype));
        }
        if dtype == DType::F32 { text.parse() == Ok(v as f32) } else { text.parse() == Ok(v) }
    }
}

/// Whether `d`, rounded to a half-precision type, is `v`, a value of that type that is not negative.
fn half_rounds_to(d: f64, v: f64, dtype: DType) -> bool {
    let bits = if dtype == DType::F16 { f16::from_f64(v).to_bits() } else { bf16::from_f64(v).to_bits() };
    let value =
        |bits: u16| if dtype == DType::F16 { f16::from_bits(bits).to_f64() } else { bf16::from_bits(bits).to_f64() };
    let below = value(bits.saturating_sub(1));
    let above = match value(bits.saturating_add(1)) {
        next if next.is_finite() => next,
        _ => v + (v - below),
    };
    let (low, high) = ((below + v) / 2.0, (v + above) / 2.0);
    // a midpoint rounds to the neighbour with even bits
    low < d && d < high || bits % 2 == 0 && (d == low || d == high)
}

/// The shortest decimal that reads back as `v` (not negative) in `dtype`. Of several as short it is the nearest, and of two as
/// near the one with an even last digit, as in NumPy's Dragon4 (Rust's own `{}` takes the upper one).
fn shortest(v: f64, dtype: DType) -> Decimal {
    if v == 0.0 {
        return Decimal { digits: "0".into(), exponent: 0 };
    }
    // Rust's shortest printing tells how many digits an f32 or f64 needs
    let known = |text: String| Decimal::parse(&text).digits.len();
    let least = if dtype.is_half() {
        1
    } else if dtype == DType::F32 {
        known(format!("{:e}", v as f32))
    } else {
        known(format!("{v:e}"))
    };
    for count in least..=17 {
        let near = Decimal::parse(&format!("{v:.*e}", count - 1));
        if near.reads_back(v, dtype) {
            return near;
        }
        // numbers above a power of two lie twice as far apart as below it, so the nearest decimal may not read back while the
        // next one above does
        let above = near.above(count);
        if above.reads_back(v, dtype) {
            return above;
        }
    }
    Decimal::parse(&format!("{v:.16e}"))
}
