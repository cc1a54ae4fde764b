//! Positions of elements: loops over the indices of a shape, the operand element that each result reads, and reading
//! arrays from memory.

use super::ElementList;
use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::View;
use crate::graph::expr::Expr;
use crate::testing::number::{BoundedReal, decode};

/// Reads the elements of a stored array in C order. Downloads the part of its buffer that the array spans, and finds
/// each element by the array's strides.
pub(super) async fn read(x: &Expr) -> Result<ElementList> {
    let (Some((buffer, ..)), Some(layout)) = (x.0.stored(), x.0.layout()) else {
        return Ok(ElementList::Integers(vec![]));
    };
    let dtype: DType = x.0.dtype;
    let mut places: Vec<isize> = vec![];
    each_index(&layout.shape, |i| {
        let steps = i.iter().zip(&layout.strides).map(|(i, s)| *i as isize * s).sum::<isize>();
        places.push(layout.offset as isize + steps);
    });
    let first = places.iter().copied().min().unwrap_or(0);
    let length = places.iter().copied().max().map_or(0, |l| (l - first + 1) as usize);
    let size = dtype.size();
    let device = Device::of(x.0.device);
    let bytes = match length {
        0 => vec![],
        n => device.backend().download(buffer, first as usize * size, n * size).await?,
    };
    let at = places.iter().map(|p| decode(dtype, &bytes[(p - first) as usize * size..][..size]));
    Ok(match dtype.is_float() {
        true => ElementList::Floats(at.map(|v| BoundedReal::exact(v.1)).collect()),
        false => ElementList::Integers(at.map(|v| Some(v.0)).collect()),
    })
}

/// Calls `f` with each index of a shape, in C order.
pub(super) fn each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let mut i = vec![0; shape.len()];
    for _ in 0..shape.iter().product() {
        f(&i);
        for d in (0..shape.len()).rev() {
            i[d] += 1;
            if i[d] < shape[d] {
                break;
            }
            i[d] = 0;
        }
    }
}

/// Returns, for each element of a result in C order, the index of the operand's element that broadcasts to it.
pub(super) fn broadcast_places(from: &[usize], to: &[usize]) -> Vec<usize> {
    let lead = to.len() - from.len();
    let mut out = Vec::with_capacity(to.iter().product());
    if from == to {
        out.extend(0..to.iter().product());
        return out;
    }
    each_index(to, |i| {
        out.push((0..from.len()).fold(0, |p, d| p * from[d] + if from[d] == 1 { 0 } else { i[d + lead] }))
    });
    out
}

/// Returns, for each element of a view in C order, the index of that element in the operand's C order.
pub(super) fn view_places(v: &View, from: &[usize]) -> Vec<usize> {
    let n = v.shape.len();
    let mut out = Vec::with_capacity(v.shape.iter().product());
    each_index(&v.shape, |i| {
        let along = |d: usize| v.offset[d] + (0..n).map(|k| v.coef[d * n + k] * i[k] as isize).sum::<isize>();
        out.push((0..from.len()).fold(0, |p, d| p * from[d] + along(d) as usize));
    });
    out
}

/// Returns, for each result of a reduction in C order, the indices of the elements that it combines.
pub(super) fn groups(shape: &[usize], axes: &[usize]) -> Vec<Vec<usize>> {
    let kept: Vec<usize> = (0..shape.len()).filter(|d| !axes.contains(d)).collect();
    let mut all = vec![vec![]; kept.iter().map(|d| shape[*d]).product()];
    let mut place = 0;
    each_index(shape, |i| {
        all[kept.iter().fold(0, |g, d| g * shape[*d] + i[*d])].push(place);
        place += 1;
    });
    all
}
