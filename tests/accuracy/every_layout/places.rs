//! The 32 layouts: where the elements of an operand lie in the stored array.

use crate::contract::data::Data;
use crate::contract::elementwise::{Compiles, Trial};
use crate::contract::entry::Entry;
use crate::contract::layouts::Case;
use crate::contract::reduce;
use crate::contract::report::{Passed, Report};
use crate::kit;
use cupric::{Device, Expr, SliceItem};

/// One view operation. A sequence of them leads from the stored array to the operand.
#[derive(Clone, Copy)]
pub enum Step {
    Permute(&'static [usize]),
    /// The axis, the first position, the step, and the length.
    Slice(usize, isize, isize, usize),
    Broadcast(&'static [usize]),
    Expand(usize),
    Diagonal(isize),
    /// The axis, and the length of a sliding window.
    Windows(usize, usize),
}
use Step::*;

/// The shape of the stored array, and the view operations that make the operand from it.
pub type Place = (&'static [usize], &'static [Step]);

/// The layouts, each with one or more stored arrays and their views.
pub const PLACES: [(&str, &[Place]); 31] = [
    ("scalar", &[(&[], &[])]),
    ("empty", &[(&[0], &[])]),
    ("empty_rows", &[(&[0, 3], &[])]),
    ("empty_columns", &[(&[3, 0], &[])]),
    ("empty_inside", &[(&[2, 0, 3], &[Permute(&[2, 0, 1])])]),
    ("empty_slice", &[(&[4, 5], &[Slice(0, 3, 2, 0), Slice(1, 4, -1, 5)])]),
    ("one", &[(&[1], &[]), (&[1, 1, 1], &[])]),
    ("lengths_1_3", &[(&[1], &[]), (&[2], &[]), (&[3], &[])]),
    ("lengths_31_33", &[(&[31], &[]), (&[32], &[]), (&[33], &[])]),
    ("lengths_63_65", &[(&[63], &[]), (&[64], &[]), (&[65], &[])]),
    ("lengths_127_129", &[(&[127], &[]), (&[128], &[]), (&[129], &[])]),
    ("lengths_255_257", &[(&[255], &[]), (&[256], &[]), (&[257], &[])]),
    ("lengths_1023_1025", &[(&[1023], &[]), (&[1024], &[]), (&[1025], &[])]),
    ("transposed", &[(&[17, 11], &[Permute(&[1, 0])])]),
    ("transposed_3d", &[(&[5, 7, 6], &[Permute(&[2, 0, 1])])]),
    ("step_2", &[(&[71], &[Slice(0, 0, 2, 36)]), (&[9, 22], &[Slice(1, 1, 2, 10)])]),
    ("step_back", &[(&[67], &[Slice(0, 66, -1, 67)]), (&[9, 14], &[Slice(0, 8, -1, 9), Slice(1, 13, -1, 14)])]),
    ("step_3_back", &[(&[100], &[Slice(0, 98, -3, 33)]), (&[19, 20], &[Slice(0, 18, -3, 6)])]),
    ("repeated_rows", &[(&[13], &[Broadcast(&[9, 13])])]),
    ("repeated_columns", &[(&[9, 1], &[Broadcast(&[9, 13])])]),
    ("repeated_all", &[(&[], &[Broadcast(&[5, 7])])]),
    ("offset", &[(&[70], &[Slice(0, 1, 1, 69)]), (&[12, 9], &[Slice(0, 5, 1, 6)])]),
    ("offset_3", &[(&[132], &[Slice(0, 3, 1, 129)]), (&[9, 16], &[Slice(1, 3, 1, 11)])]),
    ("diagonal", &[(&[19, 19], &[Diagonal(0)])]),
    ("diagonal_beside", &[(&[3, 12, 9], &[Diagonal(-1)])]),
    ("windows", &[(&[40], &[Windows(0, 5)])]),
    ("windows_of_rows", &[(&[9, 14], &[Windows(0, 3)])]),
    ("permuted_6d", &[(&[2, 3, 2, 2, 3, 2], &[Permute(&[3, 0, 5, 1, 4, 2])])]),
    ("permuted_6d_back", &[(&[2, 3, 4, 2, 3, 2], &[Slice(2, 3, -2, 2), Permute(&[4, 2, 0, 5, 3, 1])])]),
    ("ones_between", &[(&[7, 5, 9], &[Slice(1, 3, 2, 1)])]),
    ("ones_everywhere", &[(&[3, 2, 11], &[Slice(0, 2, 3, 1), Expand(1), Permute(&[3, 1, 2, 0]), Slice(2, 1, -1, 1)])]),
];

/// The name of the last layout, in which each operand has a different layout.
pub const MIXED: &str = "mixed";

/// For each index of a shape in C order, the position of the element in the stored array.
#[derive(Clone)]
pub struct Map {
    pub shape: Vec<usize>,
    pub at: Vec<usize>,
}

fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let one = |k: usize| (0..shape.len()).map(|d| k / shape[d + 1..].iter().product::<usize>() % shape[d]).collect();
    (0..shape.iter().product()).map(one).collect()
}

impl Map {
    fn of(shape: &[usize]) -> Map {
        Map { shape: shape.to_vec(), at: (0..shape.iter().product()).collect() }
    }

    fn pick(&self, shape: Vec<usize>, from: impl Fn(&[usize]) -> Vec<usize>) -> Map {
        let flat = |i: Vec<usize>| i.iter().zip(&self.shape).fold(0, |p, (i, n)| p * n + i);
        let at = indices(&shape).iter().map(|i| self.at[flat(from(i))]).collect();
        Map { shape, at }
    }

    fn step(&self, step: &Step) -> Map {
        let mut shape = self.shape.clone();
        match *step {
            Permute(order) => {
                let shape = order.iter().map(|a| self.shape[*a]).collect();
                let back = |a: usize| order.iter().position(|b| *b == a).unwrap_or(0);
                self.pick(shape, |i| (0..i.len()).map(|a| i[back(a)]).collect())
            }
            Slice(axis, first, by, length) => {
                shape[axis] = length;
                self.pick(shape, |i| {
                    let mut j = i.to_vec();
                    j[axis] = (first + by * i[axis] as isize) as usize;
                    j
                })
            }
            Broadcast(to) => {
                let lead = to.len() - self.shape.len();
                let own = self.shape.clone();
                self.pick(to.to_vec(), |i| (0..own.len()).map(|d| if own[d] == 1 { 0 } else { i[d + lead] }).collect())
            }
            Expand(axis) => {
                shape.insert(axis, 1);
                self.pick(shape, |i| [&i[..axis], &i[axis + 1..]].concat())
            }
            Diagonal(offset) => {
                let n = shape.len();
                let (down, right) = ((-offset).max(0) as usize, offset.max(0) as usize);
                let length = (shape[n - 2] - down).min(shape[n - 1] - right);
                shape.truncate(n - 2);
                shape.push(length);
                self.pick(shape, |i| [&i[..n - 2], &[i[n - 2] + down, i[n - 2] + right]].concat())
            }
            Windows(axis, length) => {
                shape[axis] -= length - 1;
                shape.push(length);
                self.pick(shape, |i| {
                    let mut j = i[..i.len() - 1].to_vec();
                    j[axis] += i[i.len() - 1];
                    j
                })
            }
        }
    }
}

fn view(e: Expr, step: &Step) -> Expr {
    match *step {
        Permute(order) => e.permute_dims(order.iter().map(|a| *a as isize).collect::<Vec<_>>()),
        Slice(axis, first, by, length) => {
            let end = first + by * length as isize;
            let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; axis];
            items.push(SliceItem::Range { start: Some(first), end: (end >= 0).then_some(end), step: by });
            items.push(SliceItem::Ellipsis);
            e.slice(items)
        }
        Broadcast(to) => e.broadcast_to(to),
        Expand(axis) => e.expand_dims(axis as isize),
        Diagonal(offset) => e.diagonal(offset),
        Windows(axis, length) => e.sliding_windows(length, axis as isize),
    }
}

/// Makes an operand in a layout. Element k is `values(k)`, unless several indices share one stored element.
pub fn lay(
    place: &Place,
    dtype: cupric::DType,
    values: &dyn Fn(usize) -> u64,
    device: &Device,
) -> cupric::Result<(Expr, Vec<usize>, Vec<u64>)> {
    let map = place.1.iter().fold(Map::of(place.0), |m, s| m.step(s));
    // stored elements that the operand does not show hold other values
    let mut stored: Vec<u64> = (0..place.0.iter().product()).map(|k| values(k * 7 + 3)).collect();
    for (k, at) in map.at.iter().enumerate() {
        stored[*at] = values(k);
    }
    let array: Expr = kit::array(dtype, &stored, place.0, device)?.into();
    let seen = map.at.iter().map(|at| stored[*at]).collect();
    Ok((place.1.iter().fold(array, view), map.shape, seen))
}

/// The cases of a layout for operands of these types. Each case uses another section of the data.
pub fn cases(layout: usize, dtypes: &[cupric::DType], data: &Data, device: &Device) -> cupric::Result<Vec<Case>> {
    let n = data.columns[0].len();
    // a column of a matrix, every second element, and a plain array; each has 23 elements
    let mixed: [Place; 3] =
        [(&[23, 6], &[Slice(1, 4, 1, 1), Permute(&[1, 0])]), (&[1, 46], &[Slice(1, 45, -2, 23)]), (&[1, 23], &[])];
    let count = PLACES.get(layout).map_or(1, |p| p.1.len());
    let case = |k: usize| {
        let mut case = Case { operands: vec![], shape: vec![], values: vec![] };
        for (i, d) in dtypes.iter().enumerate() {
            let place = PLACES.get(layout).map_or(mixed[i], |p| p.1[k]);
            let first = layout * 61 + k * 17;
            let (e, shape, values) = lay(&place, *d, &|j| data.columns[i][(first + j) % n], device)?;
            case.operands.push(e);
            case.shape = shape;
            case.values.push(values);
        }
        Ok(case)
    };
    (0..count).map(case).collect()
}

/// Returns the names of all layouts.
pub fn names() -> impl Iterator<Item = (usize, &'static str)> {
    PLACES.iter().map(|p| p.0).chain([MIXED]).enumerate()
}

/// Returns the layouts in which a run tries an operation: all of them on the CPU. On a GPU a run takes a twelfth of them,
/// which changes with the turn (`kit/share.rs`) and from one operation to the next.
pub fn by_turns(name: &str, device: &Device) -> impl Iterator<Item = (usize, &'static str)> + use<> {
    let of_name: usize = name.bytes().map(usize::from).sum();
    let on_gpu = device.is_gpu();
    names().filter(move |(k, _)| !on_gpu || kit::in_turn(k + of_name, 12))
}

/// Runs the trials of one elementwise function and type.
pub fn elementwise(report: &mut Report, trial: &Trial, device: &Device) {
    let name = trial.name();
    if !report.wants(&name) {
        return;
    }
    let data = trial.data(trial.seed());
    let mut compiles = Compiles::default();
    for (k, layout) in by_turns(&name, device) {
        report.trial(&format!("{name}::{layout}"), || match cases(k, &trial.dtypes, &data, device) {
            Ok(c) => trial.check_cases(&c, device, &mut compiles),
            Err(e) if trial.refusable(&e) => Ok(Passed { unsupported: true, ..Passed::default() }),
            Err(e) => Err(format!("the operands: {e}")),
        });
    }
}

/// Runs the trials of one reduction and type.
pub fn reduction(report: &mut Report, entry: &Entry, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    let trial = reduce::Trial::new(entry, device);
    let data = Data { columns: vec![reduce::elements(entry, "usual", 37 * 53)], axes: None };
    for (k, layout) in by_turns(&name, device) {
        report.trial(&format!("{name}::{layout}"), || match cases(k, &[entry.dtype], &data, device) {
            Ok(c) => trial.check(&c, "usual"),
            Err(e) if trial.refusable(&e) => Ok(Passed { unsupported: true, ..Passed::default() }),
            Err(e) => Err(format!("the operands: {e}")),
        });
    }
}

#[test]
fn there_are_32_layouts_apart() {
    let mut all: Vec<&str> = names().map(|n| n.1).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 32);
    // the computed positions of the elements agree with the library's views
    let device = Device::cpu();
    for (_, places) in PLACES {
        for place in places {
            let (e, shape, seen) = lay(place, cupric::DType::U32, &|k| k as u64 * 3 + 1, &device).expect("an operand");
            assert_eq!(e.shape().expect("a shape"), shape);
            assert_eq!(kit::read(&e).expect("elements"), seen);
        }
    }
}
