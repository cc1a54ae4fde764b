//! `einsum`: parses the subscripts, takes diagonals, and passes the rest to `contract.rs`.

use super::contract::{Labelled, contract};
use super::labels::{Label, Labels, MOST};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::View;
use crate::graph::expr::{Expr, Operand, Unfit, common, operand_list, result_of, view};
use std::panic::Location;

/// The number of letters. Labels below this number are letters, A to Z and then a to z. Labels from this number on are
/// axes of the ellipsis.
const LETTERS: usize = 52;

/// Evaluates the Einstein summation convention: multiplies the elements of several arrays, and sums the products over
/// axes (NumPy's `einsum`). The subscripts have one term for each operand, separated by commas. A term has a letter for
/// each axis of its operand. `->` and the letters of the result's axes follow the terms. Products are summed over the
/// letters that are not in the result.
///
/// * `...` denotes all axes of an operand that have no letter. These axes broadcast. In the result they are at the
///   position of the result's `...`.
/// * A letter that occurs twice in one operand selects the diagonal of the two axes.
/// * Without `->` the result has the axes of `...` first, and then the letters that occur only once, in alphabetical
///   order with capitals first.
/// * An axis of length 1 matches any length that its letter has in other operands.
/// * Spaces are ignored.
///
/// The result has the promoted dtype of the operands, in which integers wrap. For bool the product is a logical and,
/// and the sum is a logical or. f16 and bf16 are summed in f32 and rounded once.
///
/// Diagonals and transposes are views. Operands are multiplied two at a time: up to six operands in the order that
/// needs the fewest multiplications, up to 64 by the cheapest pair in each step, and more from left to right. A pair is
/// multiplied by one batched matrix product, without copies if strides can merge the axes. If no letter of the pair is
/// summed, or if each remaining letter is in both operands, the pair is multiplied elementwise instead, and the
/// products are summed in the same kernel. [`Expr::plan`] prints the kernels that run.
///
/// # Errors
/// The expression carries an error:
/// * if the subscripts are malformed, or the number of terms is not the number of operands;
/// * if the result repeats a letter, has a letter that no operand has, or has no `...` although the `...` of an operand
///   stands for axes;
/// * if an operand's number of axes does not match its term, or if the lengths of a letter differ.
///
/// ```
/// use cupric::{DType, array, einsum, zeros};
/// let x = array![[1., 2.], [3., 4.]];
/// assert_eq!(einsum("ij,jk->ik", [&x, &x]).to_vec::<f32>()?, [7., 10., 15., 22.]);
/// assert_eq!(einsum("ii", [&x]).item::<f32>()?, 5.);                     // the trace
/// assert_eq!(einsum("ij->j", [&x]).to_vec::<f32>()?, [4., 6.]);          // a sum
/// assert_eq!(einsum("...i,...i->...", [&x, &x]).to_vec::<f32>()?, [5., 25.]);
/// // attention's scores are one batched matrix product
/// let q = zeros([2, 8, 100, 64], DType::F32).eval()?;
/// assert_eq!(einsum("bhqd,bhkd->bhqk", [&q, &q]).plan()?.kernels(), 1);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn einsum(subscripts: &str, operands: impl IntoIterator<Item = impl Operand>) -> Expr {
    let at = Location::caller();
    let operands = operand_list(operands, Unfit::Error("einsum"), at);
    result_of("einsum", at, || {
        common("einsum", operands.iter(), at)?;
        let (operands, out) = labelled(subscripts, operands, at)?;
        let name = |l: Label| match letter(l) {
            Some(c) => format!("`{c}` in \"{subscripts}\""),
            None => format!("an axis of `...` in \"{subscripts}\""),
        };
        contract("einsum", operands, &out, &name, at)
    })
}

fn letter(l: Label) -> Option<char> {
    let first = if l < 26 { b'A' } else { b'a' - 26 };
    ((l as usize) < LETTERS).then(|| (first + l) as char)
}

struct Term {
    /// The letters before and after the ellipsis. Without an ellipsis all letters are in `before`.
    before: Labels,
    after: Labels,
    has_ellipsis: bool,
}

impl Term {
    fn read(text: &str, subscripts: &str, at: Loc) -> Result<Term> {
        let wrong =
            |why: String| Error::with_line(ErrorKind::Argument, "einsum", format!("\"{subscripts}\": {why}"), at);
        let mut term = Term { before: Labels::new(), after: Labels::new(), has_ellipsis: false };
        let mut rest = text.trim_start();
        while let Some(c) = rest.chars().next() {
            let length = match c {
                'A'..='Z' | 'a'..='z' => {
                    let label = if c.is_ascii_uppercase() { c as u8 - b'A' } else { c as u8 - b'a' + 26 };
                    if term.has_ellipsis { &mut term.after } else { &mut term.before }.push(label);
                    1
                }
                '.' if rest.starts_with("...") && !term.has_ellipsis => {
                    term.has_ellipsis = true;
                    3
                }
                '.' => return Err(wrong("`.` is only allowed as part of an ellipsis `...`, once in a term".into())),
                _ => return Err(wrong(format!("{c:?} is not a letter from a to z or A to Z"))),
            };
            rest = rest[length..].trim_start();
        }
        Ok(term)
    }

    fn letters(&self) -> impl Iterator<Item = &Label> {
        self.before.iter().chain(&self.after)
    }

    /// Returns the labels of the axes of this term's operand. The term's ellipsis stands for `count` axes, and the
    /// longest ellipsis of all operands stands for `most` axes. The `count` axes get the last of these `most` labels,
    /// because axes broadcast from the right.
    fn labels(&self, count: usize, most: usize) -> Labels {
        let ellipsis = (most - count..most).map(|d| (LETTERS + d) as Label);
        self.before.iter().copied().chain(ellipsis).chain(self.after.iter().copied()).collect()
    }
}

/// Returns the operands with a label for each axis, after taking the diagonals of repeated letters, and the labels of
/// the result.
fn labelled(subscripts: &str, operands: Vec<Expr>, at: Loc) -> Result<(Vec<Labelled>, Labels)> {
    let wrong = |kind, why: String| Error::with_line(kind, "einsum", format!("\"{subscripts}\": {why}"), at);
    let (inputs, output) = match subscripts.split_once("->") {
        Some((inputs, output)) => (inputs, Some(Term::read(output, subscripts, at)?)),
        None => (subscripts, None),
    };
    let terms = inputs.split(',').map(|t| Term::read(t, subscripts, at)).collect::<Result<Vec<_>>>()?;
    if terms.len() != operands.len() {
        let why = format!("{} terms for {} operands", terms.len(), operands.len());
        return Err(wrong(ErrorKind::Argument, why));
    }
    let mut counts = vec![];
    for (term, e) in terms.iter().zip(&operands) {
        let (letters, axes) = (term.letters().count(), e.0.shape.len());
        if letters > axes || letters < axes && !term.has_ellipsis {
            let shape = e.0.shape.as_slice();
            let why = format!("a term of {letters} letters does not match an operand of shape {shape:?}");
            return Err(wrong(ErrorKind::Shape, why));
        }
        counts.push(axes - letters);
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    if LETTERS + most > MOST {
        return Err(wrong(ErrorKind::LimitExceeded, format!("`...` stands for too many axes ({most})")));
    }
    let out = match output {
        Some(term) => explicit(&term, &terms, most).map_err(|why| wrong(ErrorKind::Argument, why))?,
        None => {
            let count = |l: &Label| terms.iter().flat_map(Term::letters).filter(|x| *x == l).count();
            let once = (0..LETTERS as Label).filter(|l| count(l) == 1);
            (LETTERS..LETTERS + most).map(|l| l as Label).chain(once).collect()
        }
    };
    let mut all = vec![];
    for ((term, e), count) in terms.iter().zip(operands).zip(counts) {
        all.push(diagonals(e, term.labels(count, most), subscripts, at)?);
    }
    Ok((all, out))
}

/// Returns the labels of the result that is written after `->`, or a message that explains why it is invalid.
fn explicit(output: &Term, inputs: &[Term], most: usize) -> std::result::Result<Labels, String> {
    for (i, l) in output.letters().enumerate() {
        let c = letter(*l).unwrap_or_default();
        if output.letters().take(i).any(|x| x == l) {
            return Err(format!("the result has `{c}` twice"));
        }
        if !inputs.iter().flat_map(Term::letters).any(|x| x == l) {
            return Err(format!("the result has `{c}`, which no operand has"));
        }
    }
    if most > 0 && !output.has_ellipsis {
        return Err(format!("the result has no `...`, which stands for {most} axes of an operand"));
    }
    Ok(output.labels(if output.has_ellipsis { most } else { 0 }, most))
}

/// Replaces axes that share a letter by their diagonal.
fn diagonals(mut e: Expr, mut labels: Labels, subscripts: &str, at: Loc) -> Result<Labelled> {
    let twice = |labels: &Labels| {
        (1..labels.len()).find_map(|j| labels[..j].iter().position(|l| *l == labels[j]).map(|i| (i, j)))
    };
    while let Some((i, j)) = twice(&labels) {
        let shape = e.0.shape.as_slice();
        if shape[i] != shape[j] {
            let c = letter(labels[i]).unwrap_or_default();
            let detail = format!(
                "\"{subscripts}\": `{c}` occurs twice in an operand, with lengths {} and {}",
                shape[i], shape[j]
            );
            return Err(Error::with_line(ErrorKind::Shape, "einsum", detail, at));
        }
        e = view("einsum", &e, at, |shape| View::diagonal(shape, 0, i as isize, j as isize));
        let label = labels.remove(j);
        labels.remove(i);
        labels.push(label);
    }
    Ok(Labelled { e, labels })
}
