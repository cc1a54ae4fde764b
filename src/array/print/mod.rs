//! Printing. `Display` writes the same text as NumPy's `str`, for every dtype, shape and layout.
//!
//! Only the elements to be printed are read back. A strided view selects these, for example the first and last three of
//! a long axis. Each element is formatted as text of the same width, and the texts are arranged in rows and brackets.

pub(crate) mod complex;
mod decimal;
mod options;

pub use options::{Displayed, PrintOptions};

use crate::array::Array;
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{Shape, View, size_of_shape};
use crate::graph::expr::{Expr, strong, view};
use decimal::{Decimal, shortest, split};
use half::{bf16, f16};
use options::Precision;
use smallvec::smallvec;
use std::fmt;

/// The default limit on the number of digits after a float's point, as in NumPy.
const PRECISION: Precision = Precision::AtMost(8);
/// The maximum number of printed elements. Axes of up to six elements are always printed in full, so an array with 62
/// axes of length 2 would otherwise print 2^62 elements.
const MOST_CELLS: usize = 1 << 22;

impl fmt::Display for Expr {
    /// Formats like NumPy's `str`. `{:.3}` prints floats with three digits after the point, and `{:#}` prints all
    /// elements of a long array. [`Expr::display`] accepts more options. If the evaluation fails, prints the error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = PrintOptions::of(f);
        f.write_str(&shown(self, if f.alternate() { options.threshold(usize::MAX) } else { options }, ""))
    }
}

impl fmt::Display for Displayed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.e, self.options, ""))
    }
}

impl fmt::Debug for Displayed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Array {
    /// Formats like NumPy's `str`. Reads only the printed elements from the device. If the read fails, prints the
    /// error.
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
    /// Formats dtype and shape, without evaluating the expression.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.checked() {
            Ok(node) => write!(f, "Expr({}, {:?})", node.dtype, node.shape.as_slice()),
            Err(e) => write!(f, "Expr(<error: {e}>)"),
        }
    }
}

impl fmt::Debug for Array {
    /// Formats dtype, shape and device. For an array on the CPU, also prints the elements, as [`Display`](fmt::Display)
    /// does. `{:#?}`, which `dbg!` uses, also shortens a long array. Elements on a GPU are not printed, because reading
    /// them would wait, and would return late errors that belong to the program's own reads.
    ///
    /// ```
    /// let x = cupric::array![[1., 2.], [3., 4.]];
    /// assert_eq!(format!("{x:?}"), "Array([[1. 2.]\n       [3. 4.]], f32, [2, 2], cpu)");
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const OPENING: &str = "Array(";
        // a read from a GPU would wait, and would consume a late error that the program's next read must return
        if self.device().is_gpu() {
            return write!(f, "{OPENING}{}, {:?}, {})", self.dtype(), self.shape(), self.device().name());
        }
        let elements = shown(self, PrintOptions::of(f), OPENING);
        write!(f, "{OPENING}{elements}, {}, {:?}, {})", self.dtype(), self.shape(), self.device().name())
    }
}

/// Formats an expression, or the error of its evaluation. `before` is the text that precedes the result on its first
/// line, so that further lines are indented by its length.
fn shown(e: &Expr, options: PrintOptions, before: &str) -> String {
    text(e, options, before).unwrap_or_else(|e| format!("<error: {e}>"))
}

fn text(e: &Expr, options: PrintOptions, before: &str) -> Result<String> {
    let shape: Shape = e.shape()?.into();
    if shape.is_empty() {
        let dtype = e.dtype()?;
        let value = read(e, dtype)?;
        return Ok(match options.precision {
            None => value.first().map_or(String::new(), |v| bare(*v, dtype)),
            Some(_) => cells(&value, dtype, options).concat().trim().into(),
        });
    }
    if shape.contains(&0) {
        return Ok("[]".into());
    }
    let longest = mutant!(print_shortens_1000, options.threshold.saturating_sub(1), options.threshold);
    let ends = if e.size()? > longest { Some(options.edge) } else { None };
    let cells = cells(&elements(e, &shape, ends)?, e.dtype()?, options);
    let mut page = Page { out: String::new(), shape: &shape, ends, cells: cells.iter() };
    page.block(0, &mut " ".repeat(before.len() + 1), options.line_width);
    Ok(page.out)
}

// --- reading the printed elements ---

/// Returns whether only the ends of an axis of `n` elements are printed. `ends` is the number of elements at each end,
/// or `None` if the array is printed in full.
fn is_cut(n: usize, ends: Option<usize>) -> bool {
    ends.is_some_and(|edge| n > edge.saturating_mul(2))
}

/// Returns the elements of an expression that are printed, in C order. `ends` is the number of elements at each end of
/// a long axis, or `None` to print all.
fn elements(e: &Expr, shape: &[usize], ends: Option<usize>) -> Result<Vec<Scalar>> {
    let at = e.0.location;
    let edge = ends.unwrap_or(0);
    let count: Shape = shape.iter().map(|n| if is_cut(*n, ends) { 2 * edge } else { *n }).collect();
    if size_of_shape(&count).map_err(|f| f.at("print", at))? > MOST_CELLS {
        let detail = format!("shape {shape:?} would print more than {MOST_CELLS} elements");
        return Err(Error::with_line(ErrorKind::LimitExceeded, "print", detail, at));
    }
    let is_part = shape.iter().any(|n| is_cut(*n, ends));
    let part = if is_part { view("print", e, at, |s| Ok(view_of_ends(s, edge))) } else { e.clone() };
    read(&part, e.dtype()?)
}

/// Returns a view of the first and last `edge` elements of each long axis. A long axis of n elements becomes two axes:
/// one of length 2 and step n - edge that selects the end, and one of length `edge` that selects an element of that
/// end.
fn view_of_ends(shape: &[usize], edge: usize) -> View {
    // (operand axis, step, length) of each axis of the result
    let mut axes: Vec<(usize, isize, usize)> = Vec::new();
    for (d, &n) in shape.iter().enumerate() {
        if is_cut(n, Some(edge)) {
            axes.push((d, (n - edge) as isize, 2));
            axes.push((d, 1, edge));
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

// --- arranging the elements in rows and brackets ---

struct Page<'a> {
    out: String,
    shape: &'a [usize],
    /// The number of elements printed at each end of a long axis, or `None` if the array is printed in full.
    ends: Option<usize>,
    /// The texts of the printed elements, in order.
    cells: std::slice::Iter<'a, String>,
}

impl Page<'_> {
    /// Returns the printed entries of an axis: `true` for an element or block, `false` for the dots that replace the
    /// middle of a long axis.
    fn entries(&self, axis: usize) -> impl Iterator<Item = bool> + use<> {
        let n = self.shape[axis];
        let dots = is_cut(n, self.ends);
        let (before, after) = if dots { (self.ends.unwrap_or(0), self.ends.unwrap_or(0)) } else { (n, 0) };
        std::iter::repeat_n(true, before).chain(dots.then_some(false)).chain(std::iter::repeat_n(true, after))
    }

    /// Writes one axis and all axes inside it, in brackets. `indent` is the white space that starts a new line below
    /// the axis's opening bracket.
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

    /// Writes the formatted elements of the last axis, with a line break where the next element would not fit.
    fn row(&mut self, axis: usize, indent: &str, width: usize) {
        let mut length = indent.len();
        for (i, entry) in self.entries(axis).enumerate() {
            let word = if entry { self.cells.next().map_or("", String::as_str) } else { "..." };
            if i > 0 {
                self.out.push(' ');
                length += 1;
            }
            // one column is reserved for the closing bracket; an element that is longer than a line is not broken
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

// --- formatting the elements ---

/// Formats every element as text of the same width.
fn cells(values: &[Scalar], dtype: DType, options: PrintOptions) -> Vec<String> {
    if dtype.is_float() {
        return float_cells(&values.iter().map(|v| v.as_f64()).collect::<Vec<_>>(), dtype, options);
    }
    let text: Vec<String> = values.iter().map(|v| bare(*v, dtype)).collect();
    // NumPy gives True and False the same width even if only one of them occurs
    let width = text.iter().map(String::len).max().unwrap_or(0).max(if dtype == DType::Bool { 5 } else { 0 });
    text.into_iter().map(|t| format!("{t:>width$}")).collect()
}

/// Formats a single element, as a 0-d array prints it. Arrays print integers and bools the same way, but padded.
fn bare(value: Scalar, dtype: DType) -> String {
    match value {
        Scalar::Bool(true) => "True".into(),
        Scalar::Bool(false) => "False".into(),
        Scalar::Int(v) => v.to_string(),
        Scalar::Float(v) if !v.is_finite() => not_finite(v),
        Scalar::Float(v) => {
            let size = v.abs();
            let short = shortest(size, dtype);
            // NumPy prints a single f64 without an exponent up to 10^16, but f64 values in an array only up to 10^8
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

/// Returns the magnitude from which an array is printed with exponents, as in NumPy. It is 10 to the power of the
/// number of decimal digits that the type can always represent, but at most 10^8.
fn scientific_from(dtype: DType) -> f64 {
    match dtype.is_float().then(|| dtype.size()) {
        Some(2) => 1e3,
        Some(4) => 1e6,
        _ => 1e8,
    }
}

/// Rounds a number to a float type. NumPy does the arithmetic that decides about exponents in the array's own type.
fn rounded(v: f64, dtype: DType) -> f64 {
    use DType::*;
    match dtype {
        F16 => f16::from_f32(v as f32).to_f64(),
        BF16 => bf16::from_f32(v as f32).to_f64(),
        F32 => v as f32 as f64,
        F64 | Bool | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64 => v,
    }
}

/// Returns whether an array with these finite values is printed with exponents.
fn is_scientific(finite: &[f64], dtype: DType) -> bool {
    let sizes = || finite.iter().map(|v| v.abs()).filter(|v| *v != 0.0);
    let Some(max) = sizes().reduce(f64::max) else { return false };
    let min = sizes().fold(max, f64::min);
    let apart = rounded(max / min, dtype);
    max >= scientific_from(dtype)
        || min < rounded(1e-4, dtype)
        || mutant!(exponents_at_a_ratio_of_1000, apart >= 1000.0, apart > 1000.0)
}

/// Formats the elements of a float array, aligned at their points. Either all elements have exponents or none has.
fn float_cells(values: &[f64], dtype: DType, options: PrintOptions) -> Vec<String> {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let precision = options.precision.unwrap_or(PRECISION);
    let has_exponents = !options.suppress && is_scientific(&finite, dtype);
    let cells_of = if has_exponents { scientific_cells } else { positional_cells };
    let mut cells = cells_of(&finite, dtype, precision).into_iter();
    // nan and inf are right-aligned, like the other cells
    let all: Vec<String> =
        values.iter().map(|v| if v.is_finite() { cells.next().unwrap_or_default() } else { not_finite(*v) }).collect();
    let width = all.iter().map(String::len).max().unwrap_or(0);
    all.into_iter().map(|t| format!("{t:>width$}")).collect()
}

/// Formats floats without exponents. `precision` is either the exact number of digits after the point, or the maximum.
/// With a maximum, each value has the digits that it needs, and is padded with blanks to the width of the longest.
fn positional_cells(values: &[f64], dtype: DType, precision: Precision) -> Vec<String> {
    let parts: Vec<(String, String)> = values
        .iter()
        .map(|v| {
            let (mut whole, mut fraction) = shortest(v.abs(), dtype).plain();
            match precision {
                Precision::AtMost(most) if fraction.len() > most => {
                    (whole, fraction) = split(&format!("{:.most$}", v.abs()));
                }
                Precision::AtMost(_) => {}
                Precision::Exactly(digits) => {
                    (whole, fraction) = split(&format!("{:.digits$}", v.abs()));
                    fraction = format!("{fraction:0<digits$}");
                }
            }
            whole.insert_str(0, sign(*v));
            (whole, fraction)
        })
        .collect();
    let left = parts.iter().map(|p| p.0.len()).max().unwrap_or(0);
    let right = parts.iter().map(|p| p.1.len()).max().unwrap_or(0);
    parts.into_iter().map(|(whole, fraction)| format!("{whole:>left$}.{fraction:<right$}")).collect()
}

/// Formats floats with exponents. All values have the same number of digits after the point. `precision` is either that
/// number or its maximum.
fn scientific_cells(values: &[f64], dtype: DType, precision: Precision) -> Vec<String> {
    let short: Vec<Decimal> = values.iter().map(|v| shortest(v.abs(), dtype)).collect();
    let cut = |v: f64, digits: usize| Decimal::parse(&format!("{:.digits$e}", v.abs()));
    let needed = |v: f64, d: &Decimal, most: usize| match d.digits.len() - 1 {
        n if n > most => cut(v, most).digits.len() - 1,
        n => n,
    };
    let digits = match precision {
        Precision::AtMost(most) => values.iter().zip(&short).map(|(v, d)| needed(*v, d, most)).max().unwrap_or(0),
        Precision::Exactly(digits) => digits,
    };
    // As in NumPy, a value whose shortest decimal has fewer digits is filled with digits of its exact value instead of
    // zeros. For example, the f16 nearest to 0.1 becomes 9.9976e-02 beside a value that needs four digits after the
    // point.
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
