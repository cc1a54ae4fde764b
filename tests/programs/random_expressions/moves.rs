//! Nodes that move, repeat, join or sort elements, and sums by key.

use super::generate::Made;
use super::program::{Given, Spec, positions};
use crate::kit::{Dice, operations, put};
use cupric::DType::{self, *};
use cupric::{Device, Expr, Pad, descending};

impl Made {
    /// A node that moves or sorts elements of node `a`, perhaps with node `b`. None if the random choices do not fit.
    pub fn moved(&self, d: &mut Dice, a: usize, b: usize) -> Option<Spec> {
        let (s, t) = (self.nodes[a].shape.clone(), self.nodes[a].dtype);
        let nd = s.len();
        if nd == 0 {
            return None;
        }
        let x = d.below(nd);
        let axis = x as i64;
        let made = |op: &str, args: &[usize], numbers: Vec<i64>, shape: Vec<usize>, dtype: DType| {
            let args = args.iter().map(|a| Given::Node(*a)).collect();
            Some(Spec { op: op.into(), args, numbers, shape, dtype })
        };
        let mut shape = s.clone();
        match d.below(9) {
            0 => made("roll", &[a], vec![axis, d.between(-9, 9)], shape, t),
            1 => {
                let n = d.below(4);
                shape[x] *= n;
                made("repeat", &[a], vec![axis, n as i64], shape, t)
            }
            2 => {
                let counts: Vec<usize> = (0..nd).map(|_| 1 + d.below(2)).collect();
                shape.iter_mut().zip(&counts).for_each(|(n, k)| *n *= k);
                made("tile", &[a], counts.iter().map(|n| *n as i64).collect(), shape, t)
            }
            3 => {
                // padding that repeats elements needs some elements
                let how = if s.contains(&0) { 0 } else { d.between(0, 4) };
                let widths: Vec<usize> = (0..2 * nd).map(|_| d.below(3)).collect();
                shape.iter_mut().zip(widths.chunks(2)).for_each(|(n, w)| *n += w[0] + w[1]);
                made("pad", &[a], std::iter::once(how).chain(widths.iter().map(|n| *n as i64)).collect(), shape, t)
            }
            4 if nd > 1 => {
                let op = *d.of(&["tril", "triu"]);
                made(op, &[a], vec![d.between(-2, 2)], shape, t)
            }
            // only integers, because for floats a rounding error could decide the order
            5 | 6 if !t.is_float() => {
                let (op, dtype) = *d.of(&[("sort", t), ("argsort", I64)]);
                made(op, &[a], vec![axis, d.one_in(2) as i64], shape, dtype)
            }
            7 => {
                let other = &self.nodes[b];
                if !other.dtype.is_integer() || other.shape != s || s[x] == 0 {
                    return None;
                }
                made("take_along_axis_clip", &[a, b], vec![axis], shape, t)
            }
            8 if !t.is_float() && s[0] < 100 => {
                let count = 1 + d.below(5);
                let keys = (0..s[0]).map(|_| d.below(count) as i64).collect();
                shape[0] = count;
                let dtype = operations::find("segment_sum").map_or(t, |o| (o.result)(t));
                made("segment_sum", &[a], [vec![count as i64], keys].concat(), shape, dtype)
            }
            _ => None,
        }
    }
}

/// Builds a one-operand node of [`Made::moved`] as a library expression.
pub fn moved(spec: &Spec, x: &Expr, d: &Device) -> Expr {
    let k = |i: usize| spec.numbers[i] as isize;
    match spec.op.as_str() {
        "roll" => x.roll(k(1), k(0)),
        "repeat" => x.repeat(k(1), k(0)),
        "tile" => x.tile(spec.numbers.iter().map(|n| *n as isize).collect::<Vec<_>>()),
        "pad" => {
            let widths: Vec<(usize, usize)> =
                spec.numbers[1..].chunks(2).map(|w| (w[0] as usize, w[1] as usize)).collect();
            let with = match spec.numbers[0] {
                0 => Pad::constant(1),
                1 => Pad::Edge,
                2 => Pad::Reflect,
                3 => Pad::Symmetric,
                _ => Pad::Wrap,
            };
            x.pad(widths, with)
        }
        "tril" => x.tril(k(0)),
        "triu" => x.triu(k(0)),
        "sort" if k(1) == 1 => x.sort(descending(k(0))),
        "sort" => x.sort(k(0)),
        "argsort" if k(1) == 1 => x.argsort(descending(k(0))),
        "argsort" => x.argsort(k(0)),
        _ => {
            let keys = put(d, positions(&spec.numbers[1..]), &[spec.numbers.len() - 1]);
            x.segment_sum(keys, spec.numbers[0] as usize)
        }
    }
}
