//! The layouts of the trials: the same operands under other shapes, strides and offsets.

use crate::common;
use cupric::{DType, Device, Expr, Result, s};

use super::data::Data;

pub const LAYOUTS: [&str; 7] = ["contiguous", "transposed", "negative", "broadcast", "scalar", "empty", "odd"];

/// Operands ready for a function, the shape of its result, and the operands' bits for each of its elements in C order.
pub struct Case {
    pub operands: Vec<Expr>,
    pub shape: Vec<usize>,
    pub values: Vec<Vec<u64>>,
}

/// Values again and again until there are `n`.
fn cycle(values: &[u64], n: usize) -> Vec<u64> {
    (0..n).map(|i| values[i % values.len()]).collect()
}

/// The operands in a layout; some layouts make more than one case.
pub fn cases(layout: &str, dtypes: &[DType], data: &Data, device: &Device) -> Result<Vec<Case>> {
    let n = data.columns[0].len();
    let make = |i: usize, bits: &[u64], shape: &[usize]| common::array(dtypes[i], bits, shape, device);
    let each = |f: &mut dyn FnMut(usize, &[u64]) -> Result<Expr>| -> Result<Vec<Expr>> {
        data.columns.iter().enumerate().map(|(i, c)| f(i, c)).collect()
    };
    let all = data.columns.clone();
    Ok(match layout {
        "contiguous" => {
            let operands = each(&mut |i, c| Ok(make(i, c, &[n])?.into()))?;
            vec![Case { operands, shape: vec![n], values: all }]
        }
        "transposed" => {
            // all operands, and all but the second
            let (r, c) = (n.div_ceil(19), 19);
            let values: Vec<_> = all.iter().map(|v| cycle(v, r * c)).collect();
            let turned: Vec<u64> = vec![];
            let mut cases = vec![];
            for kept in [usize::MAX, 1].into_iter().take(dtypes.len().min(2)) {
                let operands = each(&mut |i, _| {
                    if i == kept {
                        return Ok(make(i, &values[i], &[c, r])?.into());
                    }
                    // element (a, b) of the transpose is (b, a) of what is stored
                    let mut stored = turned.clone();
                    stored.extend((0..r * c).map(|k| values[i][k % c * r + k / c]));
                    Ok(make(i, &stored, &[r, c])?.t())
                })?;
                cases.push(Case { operands, shape: vec![c, r], values: values.clone() });
            }
            cases
        }
        "negative" => {
            let (r, c) = (n.div_ceil(17), 17);
            let values: Vec<_> = all.iter().map(|v| cycle(v, r * c)).collect();
            let operands = each(&mut |i, _| {
                // what the steps leave out holds other values
                let other = |k: usize| values[i][(k * 7 + 3) % (r * c)];
                let (rows, columns) = ([1, 1, 3][i], [2, 1, 1][i]);
                let mut stored: Vec<u64> = (0..r * rows * c * columns).map(other).collect();
                for (k, value) in values[i].iter().enumerate() {
                    // index −1 − step·j along both axes
                    let (a, b) = (r * rows - 1 - rows * (k / c), c * columns - 1 - columns * (k % c));
                    stored[a * c * columns + b] = *value;
                }
                let stored = make(i, &stored, &[r * rows, c * columns])?;
                Ok(stored.slice(s![..;-(rows as isize), ..;-(columns as isize)]))
            })?;
            vec![Case { operands, shape: vec![r, c], values }]
        }
        "broadcast" => {
            let (axes, r, c) = match &data.axes {
                Some(axes) => (axes.clone(), axes[0].len(), axes.get(1).map_or(13, Vec::len)),
                None => (all.clone(), n, 3),
            };
            let free = data.axes.is_some();
            let mut values = vec![];
            let mut operands = vec![];
            for (i, axis) in axes.iter().enumerate() {
                // a column, a row, and a column again; what only goes together is a column each
                let is_row = i == 1 && free;
                let bits = cycle(axis, if is_row { c } else { r });
                let e = make(i, &bits, &if is_row { vec![c] } else { vec![r, 1] })?;
                operands.push(if free && dtypes.len() > 1 { e.into() } else { e.broadcast_to([r, c]) });
                values.push((0..r * c).map(|k| bits[if is_row { k % c } else { k / c }]).collect());
            }
            vec![Case { operands, shape: vec![r, c], values }]
        }
        "scalar" => {
            let count = if device.is_gpu() { 4 } else { 24 };
            let arrays = each(&mut |i, c| Ok(make(i, c, &[n])?.into()))?;
            let case = |k: usize| {
                let at = (k * (n / count).max(1) + k) % n;
                let operands = arrays.iter().map(|a| a.slice(s![at])).collect();
                Case { operands, shape: vec![], values: all.iter().map(|v| vec![v[at]]).collect() }
            };
            (0..count).map(case).collect()
        }
        "empty" => {
            let shapes: [&[usize]; 3] = [&[0], &[3, 0], &[4, 0]];
            let mut cases = vec![];
            for (k, shape) in shapes.into_iter().enumerate() {
                let view = |e: Expr| if k == 2 { e.t() } else { e };
                let operands = each(&mut |i, _| Ok(view(make(i, &[], shape)?.into())))?;
                let shape = if k == 2 { shape.iter().rev().copied().collect() } else { shape.to_vec() };
                cases.push(Case { operands, shape, values: vec![vec![]; dtypes.len()] });
            }
            cases
        }
        _ => {
            let lengths: &[usize] = if device.is_gpu() {
                &[1, 3, 33, 1025]
            } else {
                &[1, 2, 3, 31, 33, 63, 65, 127, 129, 255, 257, 1023, 1025]
            };
            let mut cases = vec![];
            for (k, &len) in lengths.iter().enumerate() {
                let values: Vec<_> = all.iter().map(|v| cycle(&[&v[k * 37 % n..], v].concat(), len)).collect();
                let operands = each(&mut |i, _| {
                    // each operand begins at an odd place of its own
                    let start = 2 * i + 1;
                    let stored = [cycle(&all[i], start), values[i].clone(), vec![all[i][0]; 2]].concat();
                    Ok(make(i, &stored, &[stored.len()])?.slice(s![start..start + len]))
                })?;
                cases.push(Case { operands, shape: vec![len], values });
            }
            cases
        }
    })
}
