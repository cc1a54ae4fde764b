//! Scaled dot-product attention, in blocks of queries.

use super::softmax::shares;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IntoAxes, Shape, SliceItem, View};
use crate::graph::expr::{
    Expr, NodeOp, Operand, binary, cast, choose, common, composed, operand, reduce, result_of, strong, unary, view,
};
use crate::graph::ufunc::{Fold, arithmetic, float, logic};
use crate::ops::functions::{join, matmul_at, promoted, wide};
use crate::ops::grad::checkpoint;
use smallvec::smallvec;
use std::panic::Location;

const OP: &str = "attention";

/// The maximum size in bytes of the scores (the products of queries and keys) of one block of queries: 32 MiB. Blocks
/// of this size are long enough for matrix products to run at full speed.
const BLOCK_BYTES: usize = 32 << 20;

/// The maximum number of blocks. Each block adds nodes to the graph. If more blocks would be needed, the blocks are
/// longer instead, and their scores are larger than [`BLOCK_BYTES`].
const MOST_BLOCKS: usize = 64;

/// The options of [`attention`]. The default scale is 1/√d, where d is the number of elements of a query. By default
/// each query reads all keys.
///
/// ```
/// use cupric::{Attention, DType, attention, ones};
/// let x = ones([2, 4, 8], DType::F32);
/// let y = attention(&x, &x, &x, Attention::default().causal().scale(0.5));
/// assert_eq!(y.shape()?, [2, 4, 8]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Attention {
    scale: Option<f64>,
    is_causal: bool,
    mask: Option<Expr>,
}

impl Attention {
    /// Sets the number by which the products of queries and keys are multiplied. The default is 1/√d, where d is the
    /// number of elements of a query.
    pub fn scale(self, scale: f64) -> Attention {
        Attention { scale: Some(scale), ..self }
    }

    /// Lets query i read only the keys 0 to i, even if there are more keys than queries. By default each query reads
    /// all keys.
    pub fn causal(self) -> Attention {
        Attention { is_causal: true, ..self }
    }

    /// Sets a mask that broadcasts to `[.., queries, keys]`. An element of a bool mask is true where a query may read a
    /// key. The elements of a float mask are added to the scores, which are the scaled products of queries and keys.
    #[doc(alias = "bias")]
    #[track_caller]
    pub fn mask(self, mask: impl Operand) -> Attention {
        Attention { mask: Some(mask.into_expr()), ..self }
    }
}

/// Returns scaled dot-product attention: `softmax(queries · keysᵀ · scale + mask) · values`, where the softmax is along
/// the keys (Vaswani et al. 2017, "Attention Is All You Need").
///
/// Queries have the shape `[.., n, d]`, keys `[.., m, d]`, and values `[.., m, e]`; the result has the shape
/// `[.., n, e]`. The leading axes, such as batch and heads, broadcast. All three arrays must be floats, and the result
/// has their promoted dtype. The scores and the softmax of f16 and bf16 are computed in f32. If a query may read no
/// key, because its mask is false for all keys or adds −∞ to all scores, its result is 0.
///
/// If all scores together take more than 32 MiB, the queries are divided into blocks, and the scores of one block are
/// computed at a time. The scores of a block take at most 32 MiB, unless this needs more than 64 blocks; then there are
/// 64 larger blocks. The derivative computes the scores of each block again ([`checkpoint`](crate::checkpoint)).
///
/// ```
/// use cupric::{Attention, array, attention};
/// let (q, k) = (array![[1., 0.], [0., 1.]], array![[1., 0.], [0., 1.]]);
/// let v = array![[1.], [3.]];
/// let y = attention(&q, &k, &v, Attention::default().scale(0.0));
/// assert_eq!(y.to_vec::<f32>()?, [2., 2.]);
/// let y = attention(&q, &k, &v, Attention::default().scale(0.0).causal());
/// assert_eq!(y.to_vec::<f32>()?, [1., 2.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries [`ErrorKind::Shape`] if the shapes do not fit each other. It carries [`ErrorKind::DType`] if
/// an operand is not a float, if the operands have no common type, or if the mask has integers.
#[doc(alias("scaled_dot_product_attention", "flash_attention", "dot_product_attention"))]
#[track_caller]
pub fn attention(queries: impl Operand, keys: impl Operand, values: impl Operand, options: Attention) -> Expr {
    let at = Location::caller();
    let all = [operand(queries, at), operand(keys, at), operand(values, at)];
    composed(|| result_of("attention", at, || Setting::of(all, options, at)?.blocks()))
}

struct Setting {
    q: Expr,
    k: Expr,
    v: Expr,
    mask: Option<Expr>,
    /// The lengths of all axes of the scores except the last two.
    batch: Shape,
    scale: f64,
    is_causal: bool,
    at: Loc,
}

impl Setting {
    fn of(all: [Expr; 3], options: Attention, at: Loc) -> Result<Setting> {
        let all = all.map(|e| strong(e, at));
        common(OP, all.iter().chain(&options.mask), at)?;
        if let Some(e) = all.iter().find(|e| !e.0.dtype.is_float()) {
            let detail = format!("an operand has dtype {}; floats are needed", e.0.dtype);
            return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
        }
        let dtype = promoted(OP, all.iter(), at)?;
        let [q, k, v] = all.map(|e| cast(e, dtype, at));
        let unfit = |why: &str| {
            let [q, k, v] = [&q, &k, &v].map(|e| e.0.shape.as_slice());
            let detail = format!("queries of shape {q:?}, keys of shape {k:?} and values of shape {v:?}: {why}");
            Error::with_line(ErrorKind::Shape, OP, detail, at)
        };
        if [&q, &k, &v].iter().any(|e| e.0.shape.len() < 2) {
            return Err(unfit("each needs at least two axes"));
        }
        let last = |e: &Expr, i: usize| e.0.shape[e.0.shape.len() - i];
        // where the axis of the heads is the last but one, as in other libraries, the lengths of two other axes differ
        let axes = "the axes must be [.., heads, queries or keys, width]; if the heads are on the last axis but one, \
                    exchange them with swapaxes(-3, -2)";
        if last(&q, 1) != last(&k, 1) {
            return Err(unfit("the last axes of queries and keys, their widths, differ"));
        }
        if last(&k, 2) != last(&v, 2) {
            return Err(unfit(&format!("there must be as many keys as values, along the last axis but one: {axes}")));
        }
        let lead = |e: &Expr| -> Shape { e.0.shape[..e.0.shape.len() - 2].into() };
        let heads = |a: &Shape, b: &Expr| {
            let why =
                |_| unfit(&format!("the axes before the last two, such as batch and heads, do not broadcast: {axes}"));
            layout::broadcast(a, &lead(b)).map_err(why)
        };
        let batch = heads(&lead(&q), &k)?;
        heads(&batch, &v)?;
        let mask = match options.mask {
            None => None,
            Some(mask) => {
                // a float that is a Rust number adopts the dtype of the operands
                let mask = match mask.0.untyped() {
                    Some(Scalar::Float(_)) => cast(mask, dtype, at),
                    Some(Scalar::Bool(_) | Scalar::Int(_)) | None => strong(mask, at),
                };
                if !mask.0.dtype.is_float() && mask.0.dtype != DType::Bool {
                    let detail = format!("the mask has dtype {}; bool or a float type is needed", mask.0.dtype);
                    return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
                }
                let mut full = batch.clone();
                full.extend([last(&q, 2), last(&k, 2)]);
                // the last two axes of the mask are broadcast to their full lengths, because blocks are cut from them
                let n = mask.0.shape.len();
                let mut own: Shape = mask.0.shape[..n.saturating_sub(2)].into();
                own.extend([last(&q, 2), last(&k, 2)]);
                Some(view(OP, &mask, at, |s| {
                    View::broadcast_to(s, &full)?;
                    View::broadcast_to(s, &own)
                }))
            }
        };
        if let Some(mask) = &mask {
            mask.checked()?;
        }
        let scale = options.scale.unwrap_or(1.0 / (last(&q, 1).max(1) as f64).sqrt());
        Ok(Setting { batch, mask, scale, is_causal: options.is_causal, at, q, k, v })
    }

    fn blocks(self) -> Result<Expr> {
        let at = self.at;
        let [rows, keys] = [&self.q, &self.k].map(|e| e.0.shape[e.0.shape.len() - 2]);
        let wide = if self.q.0.dtype == DType::F64 { 8 } else { 4 };
        let row = layout::product(&self.batch).saturating_mul(keys).saturating_mul(wide);
        let count = row.saturating_mul(rows).div_ceil(BLOCK_BYTES).clamp(1, MOST_BLOCKS);
        if count == 1 || rows < 2 {
            return Ok(self.block(0, rows));
        }
        let length = rows.div_ceil(count);
        let block = |from: usize| checkpoint(|| self.block(from, (from + length).min(rows)));
        let starts = (0..MOST_BLOCKS).map(|i| i * length).take_while(|from| *from < rows);
        Ok(join(OP, starts.map(block).collect(), -2, at))
    }

    /// Returns the attention of the queries from `from` up to but excluding `to`.
    fn block(&self, from: usize, to: usize) -> Expr {
        let at = self.at;
        let keys = self.k.0.shape[self.k.0.shape.len() - 2];
        let read = if self.is_causal { to.min(keys) } else { keys };
        // `View::slice` of a whole array adds no node to the graph, so a small attention has only the nodes of the
        // plain formula
        let cut = |e: &Expr, axis: usize, from: usize, to: usize| {
            let n = e.0.shape.len();
            let part = |d: usize| match d + axis == n {
                true => SliceItem::Range { start: Some(from as isize), end: Some(to as isize), step: 1 },
                false => SliceItem::Range { start: None, end: None, step: 1 },
            };
            view(OP, e, at, |s| View::slice(s, &(0..n).map(part).collect::<Vec<_>>()))
        };
        let (q, k, v) = (cut(&self.q, 2, from, to), cut(&self.k, 2, 0, read), cut(&self.v, 2, 0, read));
        let turned = view(OP, &k, at, |s| {
            let mut axes: Vec<isize> = (0..s.len() as isize).collect();
            axes.swap(s.len() - 2, s.len() - 1);
            View::permute(s, &axes)
        });
        let mut scores = binary(&arithmetic::multiply, wide(&matmul_at(OP, &q, &turned, at), at), self.scale, at);
        if scores.error().is_some() {
            return scores;
        }
        let low = f64::NEG_INFINITY;
        if let Some(mask) = &self.mask {
            let mask = cut(&cut(mask, 2, from, to), 1, 0, read);
            scores = match mask.0.dtype == DType::Bool {
                true => choose(mask, &scores, low, at),
                false => binary(&arithmetic::add, &scores, cast(mask, scores.0.dtype, at), at),
            };
        }
        if self.is_causal {
            let shape: Shape = smallvec![to - from, read];
            let place = |axis: usize| Expr::node(NodeOp::Iota(axis), smallvec![], shape.clone(), DType::I32, 0, at);
            let row = binary(&arithmetic::add, place(0), from, at);
            scores = choose(binary(&logic::greater_equal, row, place(1), at), &scores, low, at);
        }
        if scores.error().is_some() || read == 0 {
            return matmul_at(OP, &cast(scores, v.0.dtype, at), &v, at);
        }
        let axes = crate::keep(-1).into_axes();
        let mut max = reduce(OP, Fold::of(&arithmetic::maximum), &scores, &axes, at).stop_gradient();
        if self.mask.is_some() {
            // a maximum of −∞ is replaced by 0, because −∞ − (−∞) is NaN
            max = choose(unary(&logic::isfinite, &max, at), &max, 0.0, at).stop_gradient();
        }
        let y = unary(&float::exp, binary(&arithmetic::subtract, &scores, max, at), at);
        let mut sum = reduce(OP, Fold::of(&arithmetic::add), &y, &axes, at);
        if self.mask.is_some() {
            sum = choose(binary(&logic::equal, &sum, 0.0, at), 1.0, &sum, at);
        }
        let shares = shares(&y, sum, &scores, axes, at);
        matmul_at(OP, &cast(shares, v.0.dtype, at), &v, at)
    }
}
