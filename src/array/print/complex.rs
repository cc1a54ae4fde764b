//! Printing of complex numbers, as NumPy's `str` does: `[1.+2.j 3.-1.j]`.

use super::{Page, PrintOptions, bare, cells, elements};
use crate::base::error::Result;
use crate::base::layout::Shape;
use crate::graph::expr::Expr;
use std::fmt;

/// Formats complex numbers, given their real and imaginary parts. If a part cannot be evaluated, prints the error.
pub(crate) fn write(re: &Expr, im: &Expr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let options = PrintOptions::of(f);
    let options = if f.alternate() { options.threshold(usize::MAX) } else { options };
    f.write_str(&text(re, im, options).unwrap_or_else(|e| format!("<error: {e}>")))
}

fn text(re: &Expr, im: &Expr, options: PrintOptions) -> Result<String> {
    im.shape()?;
    let (shape, dtype): (Shape, _) = (re.shape()?.into(), re.dtype()?);
    if shape.contains(&0) {
        return Ok("[]".into());
    }
    let ends = if re.size()? > options.threshold { Some(options.edge) } else { None };
    let [re, im] = [elements(re, &shape, ends)?, elements(im, &shape, ends)?];
    if let ([re], [im], true) = (&re[..], &im[..], shape.is_empty()) {
        let [re, im] = [re, im].map(|x| bare(*x, dtype).trim_end_matches(".0").to_string());
        return Ok(format!("({re}{}j)", signed(&im)));
    }
    let im: Vec<String> = cells(&im, dtype, options).iter().map(|cell| signed(cell.trim_start())).collect();
    let width = im.iter().map(String::len).max().unwrap_or(0);
    let both = |(re, im): (String, String)| {
        let digits = im.trim_end();
        let after = " ".repeat(im.len() - digits.len());
        format!("{re}{}{digits}j{after}", " ".repeat(width - im.len()))
    };
    let cells: Vec<String> = cells(&re, dtype, options).into_iter().zip(im).map(both).collect();
    let mut page = Page { out: String::new(), shape: &shape, ends, cells: cells.iter() };
    page.block(0, &mut " ".to_string(), options.line_width);
    Ok(page.out)
}

/// Returns a formatted number with a leading sign: `+` is added unless it starts with `-`.
fn signed(number: &str) -> String {
    if number.starts_with('-') { number.into() } else { format!("+{number}") }
}
