//! Conversions of trees of parameters to lists of named arrays, and back.

use super::tree::leaves;
use crate::array::Array;
use crate::array::device::Device;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::{Expr, Operand};
use crate::ops::grad::{Parameters, built_arrays};
use std::collections::HashMap;
use std::panic::Location;

/// The maximum number of names in a message, so that the message can be read.
const MOST_NAMES: usize = 12;

/// Returns the names of a tree's leaves. Returns an error unless there is one name for each leaf, and all names are
/// different.
fn names<P: Parameters>(tree: &P, op: &'static str, at: Loc) -> Result<Vec<String>> {
    let (mut list, leaves) = (vec![], leaves(tree).len());
    tree.names("", &mut list);
    let wrong = |detail| Err(Error::with_line(ErrorKind::Argument, op, detail, at));
    if list.len() != leaves {
        return wrong(format!("the tree has {leaves} leaves; its method `names` lists {} names", list.len()));
    }
    let mut sorted: Vec<&String> = list.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => wrong(format!("two leaves of the tree have the name {:?}", pair[0])),
        None => Ok(list),
    }
}

/// Returns the message for a leaf without an array of its name.
fn absent(name: &str, found: &HashMap<String, Expr>) -> String {
    let mut there: Vec<&String> = found.keys().collect();
    there.sort_unstable();
    let more = if there.len() > MOST_NAMES { format!(" and {} more", there.len() - MOST_NAMES) } else { String::new() };
    let there: Vec<String> = there.iter().take(MOST_NAMES).map(|name| format!("{name:?}")).collect();
    let there =
        if there.is_empty() { "the list is empty".into() } else { format!("there are {}{more}", there.join(", ")) };
    format!(
        "there is no array {name:?}; {there}. Leaves of tuples and lists are named by their positions, and fields of a \
         struct by Parameters::names"
    )
}

/// Returns the leaves of a tree with their names, in the tree's order, in the form that `save_safetensors` takes. A
/// leaf in a tuple, a `Vec` or an array is named by its index. A struct may name its fields ([`Parameters::names`]).
/// The names of nested trees are joined by dots. A tree that is one array has the name "0".
///
/// ```
/// use cupric::array;
/// use cupric::train::named;
/// let params = vec![(array![[1.]], array![2.]), (array![[3.]], array![4.])];
/// let names: Vec<String> = named(&params)?.into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["0.0", "0.1", "1.0", "1.1"]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// Returns [`ErrorKind::Argument`] if the tree's method `names` does not list one name for each leaf, or lists a name
/// twice.
#[doc(alias = "state_dict")]
#[track_caller]
pub fn named<P: Parameters>(tree: &P) -> Result<Vec<(String, Expr)>> {
    let names = names(tree, "named", Location::caller())?;
    Ok(names.into_iter().zip(leaves(tree).into_iter().cloned()).collect())
}

/// Builds a tree of the same form as `like` from a list of named arrays, such as `SafeTensors::read_all` returns. Each
/// array must have the shape and the dtype of the leaf of `like` that has its name, and is moved to the device of that
/// leaf. Arrays with other names are ignored. If two arrays have the same name, the last one is used.
///
/// ```
/// use cupric::array;
/// use cupric::train::{Adam, named, with_named};
/// let params = (array![1., 2.], array![3.]);
/// let run = (&params, Adam::new(0.1).init(&params)?);         // what a run needs to go on
/// let list = named(&run)?;
/// let (params, (count, ..)) = with_named(&run, list)?;
/// assert_eq!(params.0.to_vec::<f32>()?, [1., 2.]);
/// assert_eq!(count.item::<f32>()?, 0.);
/// let e = with_named(&params, [("0", array![1., 2.])]).unwrap_err();
/// assert!(e.to_string().contains("there is no array \"1\""));
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// Returns [`ErrorKind::Argument`] if the list has no array with the name of a leaf (the
/// message lists the names that it has), [`ErrorKind::Shape`] or
/// [`ErrorKind::DType`] if an array does not have the shape or the dtype of its leaf, the errors of [`named`], and the
/// errors of the evaluation and the transfer of the arrays.
#[doc(alias = "load_state_dict")]
#[track_caller]
pub fn with_named<P: Parameters, N: AsRef<str>, A: Operand>(
    like: &P,
    arrays: impl IntoIterator<Item = (N, A)>,
) -> Result<P::With<Array>> {
    const OP: &str = "with_named";
    let at = Location::caller();
    let names = names(like, OP, at)?;
    let mut found: HashMap<String, Expr> = HashMap::new();
    for (name, array) in arrays {
        found.insert(name.as_ref().to_string(), array.into_expr());
    }
    let mut list = vec![];
    for (name, leaf) in names.iter().zip(leaves(like)) {
        let wrong = |kind, detail| Err(Error::with_line(kind, OP, detail, at));
        let Some(array) = found.get(name) else {
            return wrong(ErrorKind::Argument, absent(name, &found));
        };
        let (want, have) = (leaf.checked()?, array.checked()?);
        let shapes = (want.shape.as_slice(), have.shape.as_slice());
        if shapes.0 != shapes.1 {
            let detail = format!("the array {name:?} has shape {:?}; shape {:?} is needed", shapes.1, shapes.0);
            return wrong(ErrorKind::Shape, detail);
        }
        if want.dtype != have.dtype {
            let detail = format!("the array {name:?} has dtype {}; dtype {} is needed", have.dtype, want.dtype);
            return wrong(ErrorKind::DType, detail);
        }
        list.push(match want.device {
            0 => array.eval_at(at)?,
            device => array.moved(&Device::of(device), OP, at)?,
        });
    }
    built_arrays(like, list, OP, at)
}
