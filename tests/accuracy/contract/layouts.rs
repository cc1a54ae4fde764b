//! The layouts of the trials: the same operands with other shapes, strides and offsets.

use crate::kit;
use cupric::{Array, DType, Device, Expr, Result, s};

use super::data::Data;
use super::entry::Entry;

pub const LAYOUTS: [&str; 7] = ["contiguous", "transposed", "negative", "broadcast", "scalar", "empty", "odd"];

/// Returns the layouts in which a run tries an entry: all on the CPU and with `CUPRIC_FULL=1`. On a GPU, functions that
/// move or reduce elements need a kernel for each layout, and a software driver takes 50 ms to compile one. So a GPU
/// run takes at most one layout, which changes with the turn (`kit/share.rs`) and the entry.
pub fn by_turns(entry: &Entry) -> Vec<&'static str> {
    if !entry.gpu() {
        return LAYOUTS.to_vec();
    }
    let of_name: usize = entry.function.bytes().map(usize::from).sum();
    let first = of_name + kit::number_of(entry.dtype);
    (0..LAYOUTS.len()).filter(|k| kit::in_turn(k + first, 12)).map(|k| LAYOUTS[k]).collect()
}

/// Operands for a function, the shape of the result, and for each of its elements (in C order) the operands' bits.
pub struct Case {
    pub operands: Vec<Expr>,
    pub shape: Vec<usize>,
    pub values: Vec<Vec<u64>>,
}

/// Repeats the values until there are `n`.
fn cycle(values: &[u64], n: usize) -> Vec<u64> {
    (0..n).map(|i| values[i % values.len()]).collect()
}

/// Makes the operands in a layout. Some layouts give more than one case.
pub fn cases(layout: &str, dtypes: &[DType], data: &Data, device: &Device) -> Result<Vec<Case>> {
    let maker = Maker { dtypes, data, device, n: data.columns[0].len() };
    match layout {
        "contiguous" => maker.contiguous(),
        "transposed" => maker.transposed(),
        "negative" => maker.negative(),
        "broadcast" => maker.broadcast(),
        "scalar" => maker.scalar(),
        "empty" => maker.empty(),
        _ => maker.lengths(),
    }
}

/// Makes the cases of a layout, of operands with `n` values each.
struct Maker<'a> {
    dtypes: &'a [DType],
    data: &'a Data,
    device: &'a Device,
    n: usize,
}

impl Maker<'_> {
    /// Makes operand `i` from its elements.
    fn make(&self, i: usize, bits: &[u64], shape: &[usize]) -> Result<Array> {
        kit::array(self.dtypes[i], bits, shape, self.device)
    }

    /// Makes an expression for each operand.
    fn each(&self, mut f: impl FnMut(usize, &[u64]) -> Result<Expr>) -> Result<Vec<Expr>> {
        self.data.columns.iter().enumerate().map(|(i, c)| f(i, c)).collect()
    }

    fn contiguous(&self) -> Result<Vec<Case>> {
        let operands = self.each(|i, c| Ok(self.make(i, c, &[self.n])?.into()))?;
        Ok(vec![Case { operands, shape: vec![self.n], values: self.data.columns.clone() }])
    }

    fn transposed(&self) -> Result<Vec<Case>> {
        // first all operands are transposed, then all except the second
        let (r, c) = (self.n.div_ceil(19), 19);
        let values: Vec<_> = self.data.columns.iter().map(|v| cycle(v, r * c)).collect();
        let mut cases = vec![];
        for kept in [usize::MAX, 1].into_iter().take(self.dtypes.len().min(2)) {
            let operands = self.each(|i, _| {
                if i == kept {
                    return Ok(self.make(i, &values[i], &[c, r])?.into());
                }
                // element (a, b) of the transpose is element (b, a) of the stored matrix
                let stored: Vec<u64> = (0..r * c).map(|k| values[i][k % c * r + k / c]).collect();
                Ok(self.make(i, &stored, &[r, c])?.t())
            })?;
            cases.push(Case { operands, shape: vec![c, r], values: values.clone() });
        }
        Ok(cases)
    }

    fn negative(&self) -> Result<Vec<Case>> {
        let (r, c) = (self.n.div_ceil(17), 17);
        let values: Vec<_> = self.data.columns.iter().map(|v| cycle(v, r * c)).collect();
        let operands = self.each(|i, _| {
            // elements that the strided slice skips hold other values
            let other = |k: usize| values[i][(k * 7 + 3) % (r * c)];
            let (rows, columns) = ([1, 1, 3][i], [2, 1, 1][i]);
            let mut stored: Vec<u64> = (0..r * rows * c * columns).map(other).collect();
            for (k, value) in values[i].iter().enumerate() {
                // the index along each axis is −1 − step·j
                let (a, b) = (r * rows - 1 - rows * (k / c), c * columns - 1 - columns * (k % c));
                stored[a * c * columns + b] = *value;
            }
            let stored = self.make(i, &stored, &[r * rows, c * columns])?;
            Ok(stored.slice(s![..;-(rows as isize), ..;-(columns as isize)]))
        })?;
        Ok(vec![Case { operands, shape: vec![r, c], values }])
    }

    fn broadcast(&self) -> Result<Vec<Case>> {
        let (axes, r, c) = match &self.data.axes {
            Some(axes) => (axes.clone(), axes[0].len(), axes.get(1).map_or(13, Vec::len)),
            None => (self.data.columns.clone(), self.n, 3),
        };
        let free = self.data.axes.is_some();
        let mut values = vec![];
        let mut operands = vec![];
        for (i, axis) in axes.iter().enumerate() {
            // operands are a column, a row, a column; if their values cannot be combined freely, all are columns
            let is_row = i == 1 && free;
            let bits = cycle(axis, if is_row { c } else { r });
            let e = self.make(i, &bits, &if is_row { vec![c] } else { vec![r, 1] })?;
            operands.push(if free && self.dtypes.len() > 1 { e.into() } else { e.broadcast_to([r, c]) });
            values.push((0..r * c).map(|k| bits[if is_row { k % c } else { k / c }]).collect());
        }
        Ok(vec![Case { operands, shape: vec![r, c], values }])
    }

    fn scalar(&self) -> Result<Vec<Case>> {
        let count = if self.device.is_gpu() { 4 } else { 24 };
        let arrays = self.each(|i, c| Ok(self.make(i, c, &[self.n])?.into()))?;
        let case = |k: usize| {
            let at = (k * (self.n / count).max(1) + k) % self.n;
            let operands = arrays.iter().map(|a| a.slice(s![at])).collect();
            Case { operands, shape: vec![], values: self.data.columns.iter().map(|v| vec![v[at]]).collect() }
        };
        Ok((0..count).map(case).collect())
    }

    fn empty(&self) -> Result<Vec<Case>> {
        let shapes: [&[usize]; 3] = [&[0], &[3, 0], &[4, 0]];
        let mut cases = vec![];
        for (k, shape) in shapes.into_iter().enumerate() {
            let view = |e: Expr| if k == 2 { e.t() } else { e };
            let operands = self.each(|i, _| Ok(view(self.make(i, &[], shape)?.into())))?;
            let shape = if k == 2 { shape.iter().rev().copied().collect() } else { shape.to_vec() };
            cases.push(Case { operands, shape, values: vec![vec![]; self.dtypes.len()] });
        }
        Ok(cases)
    }

    /// Lengths near multiples of the vector and tile sizes, in slices that start at odd positions.
    fn lengths(&self) -> Result<Vec<Case>> {
        let all = &self.data.columns;
        let lengths: &[usize] = if self.device.is_gpu() {
            &[1, 3, 33, 1025]
        } else {
            &[1, 2, 3, 31, 33, 63, 65, 127, 129, 255, 257, 1023, 1025]
        };
        let mut cases = vec![];
        for (k, &len) in lengths.iter().enumerate() {
            let values: Vec<_> = all.iter().map(|v| cycle(&[&v[k * 37 % self.n..], v].concat(), len)).collect();
            let operands = self.each(|i, _| {
                // each operand starts at a different odd position
                let start = 2 * i + 1;
                let stored = [cycle(&all[i], start), values[i].clone(), vec![all[i][0]; 2]].concat();
                Ok(self.make(i, &stored, &[stored.len()])?.slice(s![start..start + len]))
            })?;
            cases.push(Case { operands, shape: vec![len], values });
        }
        Ok(cases)
    }
}
